//! What a connection waits for before its next request may run.

use std::sync::Arc;

use swytch_store::Waiter;

use crate::dispatch::park;
use crate::system::clock::MonotonicMs;

/// What must happen before a connection's next request may run.
#[derive(Debug, Default)]
pub(super) enum Waits {
    /// Nothing.
    #[default]
    ForNothing,
    /// A blocking command is to be served or to give up.
    Parked {
        /// As what its client is known to those who may serve it.
        waiter: Arc<Waiter>,
        /// When it gives up, if ever.
        deadline: Option<MonotonicMs>,
    },
    /// A pause is to end; it holds the next request.
    Paused,
    /// The connection itself: it ends once the peer has its replies, and nothing it still sends is looked at.
    ForTheEnd,
}

impl Waits {
    /// True when requests may run.
    pub(super) fn for_nothing(&self) -> bool {
        matches!(self, Waits::ForNothing)
    }

    /// True when the wait is over and the reply is on its way.
    pub(super) fn is_served(&self) -> bool {
        matches!(self, Waits::Parked { waiter, .. } if !waiter.is_waiting())
    }

    /// Bytes kept for the wait.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Waits::Parked { waiter, .. } => park::held_bytes(waiter),
            Waits::ForNothing | Waits::Paused | Waits::ForTheEnd => 0,
        }
    }

    pub(super) fn deadline(&self) -> Option<MonotonicMs> {
        match self {
            Waits::Parked { deadline, .. } => *deadline,
            Waits::ForNothing | Waits::Paused | Waits::ForTheEnd => None,
        }
    }
}
