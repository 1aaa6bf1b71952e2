//! Connections on their way from the accepting thread to the workers that will serve them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::transport::Transport;
use crate::clients::ClientShared;

/// The connections that have been given to one worker and that it has not taken yet.
#[derive(Debug, Default)]
pub struct Arrivals(Mutex<Vec<(Transport, Arc<ClientShared>)>>);

impl Arrivals {
    /// Gives the worker a connection; mail tells it to look.
    pub(super) fn add(&self, transport: Transport, client: Arc<ClientShared>) {
        self.0.lock().push((transport, client));
    }

    /// All that have come.
    pub(super) fn take(&self) -> Vec<(Transport, Arc<ClientShared>)> {
        std::mem::take(&mut *self.0.lock())
    }
}
