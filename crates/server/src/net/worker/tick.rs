//! What time asks of a worker: parked clients that give up, expiry, idle clients.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Worker;
use crate::clients::ClientFlags;
use crate::dispatch::{client_room, room, tracking};
use crate::net::connection::READ_BYTES;
use crate::scripting;
use crate::server::Conditions;
use crate::system::allocator;
use crate::system::clock::MonotonicMs;

/// Longest wait without events: the worker looks after expiry and idle clients that often.
const TICK_MS: u64 = 100;
/// A connection that has been idle for so long keeps no room that it does not need (Redis: two seconds as well).
const IDLE_MS: u64 = 2000;

impl Worker<'_> {
    /// How long to wait for events.
    pub(super) fn timeout(&self) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        if self.is_to_make_room() {
            return Duration::from_millis(1);
        }
        let until = self.next_tick.min(self.expiry.next());
        let until = self.parked.next_deadline().map_or(until, |deadline| deadline.min(until));
        Duration::from_millis(until.since(MonotonicMs::now()).min(TICK_MS))
    }

    /// What time asks for.
    pub(super) fn on_time(&mut self) {
        while let Some(slot) = self.parked.pop_due(self.now) {
            self.give_up(slot);
        }
        let tick_ms = self.tick_ms();
        if self.now >= self.next_tick {
            self.next_tick = self.now.after(tick_ms);
            self.look_after_connections();
            self.shrink_lent();
            scripting::forget_removed(self.server);
            tracking::keep_limit(self.server);
            client_room::look_again(self.server);
            self.server.departures.go(&self.server.shards);
            allocator::give_back();
        }
        self.expiry.run(self.server, self.index, self.now, self.now_ms, tick_ms);
        if self.server.config.maxmemory() > 0 {
            // What this turn has taken is looked at before the next one, however little it is.
            allocator::settle();
        }
        if self.is_to_make_room() {
            room::make(self.server, self.shared());
        }
    }

    /// Memory is over its limit, and something may be done about it.
    fn is_to_make_room(&self) -> bool {
        let conditions = self.server.conditions();
        conditions.contains(Conditions::OVER_LIMIT) && !conditions.contains(Conditions::OUT_OF_MEMORY)
    }

    /// A long request has made the lent buffer grow, and the next one may be short.
    fn shrink_lent(&mut self) {
        if self.lent_input.capacity() > READ_BYTES {
            self.lent_input = Vec::with_capacity(READ_BYTES);
        }
    }

    /// Milliseconds between two looks at expiry and idle clients: as `hz` says, but never rare.
    fn tick_ms(&self) -> u64 {
        (1000 / u64::from(self.server.config.hz())).clamp(1, TICK_MS)
    }

    /// Closes what was killed or has been idle for too long, takes back what idle connections keep, and applies the soft
    /// limits of output.
    fn look_after_connections(&mut self) {
        let timeout_ms = self.server.config.timeout_seconds() * 1000;
        let (mut doomed, mut over) = (Vec::new(), Vec::new());
        for (slot, connection) in self.connections.iter().enumerate() {
            if connection.as_ref().is_some_and(|connection| self.is_overdue(connection)) {
                doomed.push(slot);
            }
        }
        for (slot, connection) in self.connections.iter_mut().enumerate() {
            let Some(connection) = connection else { continue };
            let killed = connection.client.shared.killed.load(Ordering::Relaxed);
            let listens = ClientFlags::BLOCKED | ClientFlags::MONITOR | ClientFlags::PUBSUB;
            let waits = connection.client.flags.intersects(listens | ClientFlags::FOLLOWER);
            let idle_ms = self.now.since(connection.active);
            if killed || (timeout_ms > 0 && !waits && idle_ms > timeout_ms) {
                doomed.push(slot);
            } else if connection.over_soft_limit_since.is_some() {
                over.push(slot);
            }
            if idle_ms >= IDLE_MS && !connection.is_shrunk {
                connection.shrink(self.server);
            }
        }
        for slot in over {
            if self.flush(slot).is_err() {
                doomed.push(slot);
            }
        }
        doomed.into_iter().for_each(|slot| self.close(slot));
    }
}
