//! Replies that leave when what they tell of is safe (`appendfsync always`): the connection waits, and nobody else.
//!
//! A reply may tell of what others have written as well as of what its own client has, so all of what a connection's requests
//! answered waits until everything is safe that was published when they had run. While the log fails, which may be for long,
//! replies wait only for what was written for their own connection: reading goes on.

use std::sync::atomic::Ordering;

use super::Worker;
use crate::effects::Place;
use crate::net::connection::Connection;
use crate::net::held::{Part, Released};
use crate::server::Conditions;

/// Where a connection and its thread are before requests run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    from: u64,
    /// Behind what the thread has published, where that matters.
    lane_end: Option<Place>,
    /// Replies wait.
    holds: bool,
}

impl Worker<'_> {
    /// Where a connection is before its requests run.
    #[inline]
    pub(super) fn mark(&self, connection: &mut Connection) -> Mark {
        let conditions = self.server.conditions();
        let is_read = conditions.contains(Conditions::RECORDING);
        let lane_end = is_read.then(|| self.shared().lane.end());
        connection.client.wrote.lane_end = lane_end.unwrap_or(0);
        Mark { from: connection.position(), lane_end, holds: conditions.contains(Conditions::HOLDING) }
    }

    /// What has been appended to a connection's output since a mark waits, if it has to.
    #[inline]
    pub(super) fn hold(&mut self, connection: &mut Connection, mark: Mark) {
        if let Some(before) = mark.lane_end {
            let end = self.shared().lane.end();
            let own = if end > before { end } else { 0 };
            self.hold_behind(connection, mark, own);
        }
    }

    /// The same of a reply that another thread has made.
    pub(super) fn hold_served(&mut self, connection: &mut Connection, mark: Mark) {
        if mark.lane_end.is_some() {
            self.hold_behind(connection, mark, self.server.effects.next());
        }
    }

    fn hold_behind(&mut self, connection: &mut Connection, mark: Mark, own: Place) {
        connection.client.wrote.until = connection.client.wrote.until.max(own);
        if mark.holds {
            self.hold_from(connection, mark.from, own);
        }
    }

    #[cold]
    fn hold_from(&mut self, connection: &mut Connection, from: u64, own: Place) {
        let until = self.server.effects.next();
        if connection.position() == from || until <= self.server.effects.released() {
            return;
        }
        connection.held.add(Part { from, until, own });
        self.holding.insert((until, connection.client.id()));
        // Before it is looked at what may leave: whoever releases later than that sees it.
        self.shared().holds.store(true, Ordering::SeqCst);
    }

    /// How far it is safe.
    pub(super) fn released(&self) -> Released {
        let has_failed = self.server.conditions().contains(Conditions::LOG_FAILED);
        Released { until: self.server.effects.released(), has_failed }
    }

    /// More is safe, or nothing more will be for some time: the replies leave that have waited for it.
    pub(super) fn release_held(&mut self) {
        let now = self.released();
        let until = if now.has_failed { Place::MAX } else { now.until };
        let ready: Vec<_> = self.holding.range(..=(until, u64::MAX)).copied().collect();
        for part in ready {
            if part.0 <= now.until {
                self.holding.remove(&part);
            }
            self.release_client(part.1);
        }
        if !self.holding.is_empty() {
            self.shared().holds.store(true, Ordering::SeqCst);
            // Whoever has released more meanwhile has not seen that.
            if self.server.effects.released() > now.until {
                self.server.wake_holders();
            }
        }
    }

    fn release_client(&mut self, client: u64) {
        // One that has left needs no reply.
        let Some(&slot) = self.slots.get(&client) else { return };
        if self.flush(slot).is_err() {
            return self.close(slot);
        }
        if self.connection(slot).is_some_and(|connection| connection.waits.for_nothing()) {
            self.serve(slot);
        }
    }
}
