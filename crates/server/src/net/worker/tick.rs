//! What time asks of a worker: parked clients that give up, expiry, idle clients, and for the first worker what is to
//! be looked after once in the server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Worker;
use crate::clients::ClientFlags;
use crate::server::Conditions;
use crate::system::clock;

/// Longest wait without events: the worker looks after expiry and idle clients that often.
const TICK_MS: u64 = 100;

impl Worker {
    /// How long to wait for events.
    pub(super) fn timeout(&self) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let until_ms = self.next_tick_ms.min(self.expiry.next_ms());
        let until_ms =
            self.parked.next_deadline_ms().map_or(until_ms, |deadline_ms| deadline_ms.min(until_ms));
        Duration::from_millis(until_ms.saturating_sub(clock::unix_ms()).min(TICK_MS))
    }

    /// What time asks for.
    pub(super) fn on_time(&mut self) {
        while let Some(slot) = self.parked.pop_due(self.now_ms) {
            self.give_up(slot);
        }
        if self.now_ms >= self.next_tick_ms {
            self.next_tick_ms = self.now_ms + self.tick_ms();
            self.on_tick();
        }
        let tick_ms = self.tick_ms();
        self.expiry.run(&self.server, self.index, self.now_ms, tick_ms);
    }

    /// Milliseconds between two looks at expiry and idle clients: as `hz` says, but never rare.
    fn tick_ms(&self) -> u64 {
        (1000 / u64::from(self.server.config.hz())).clamp(1, TICK_MS)
    }

    fn on_tick(&mut self) {
        if self.index == 0 {
            self.server.check_memory();
            self.server.sample_rates(self.now_ms);
            let conditions = self.server.conditions();
            if conditions.contains(Conditions::PAUSED) {
                self.server.end_pause_if_over(self.now_ms);
            }
        }
        self.close_idle();
    }

    fn close_idle(&mut self) {
        let timeout_ms = self.server.config.timeout_seconds() * 1000;
        let mut doomed = Vec::new();
        let mut over = Vec::new();
        for (slot, connection) in self.connections.iter().enumerate() {
            let Some(connection) = connection else { continue };
            let killed = connection.client.shared.killed.load(Ordering::Relaxed);
            let waits = connection.client.flags.intersects(ClientFlags::BLOCKED | ClientFlags::MONITOR);
            let idle_ms = self.now_ms.saturating_sub(connection.active_ms);
            if killed || (timeout_ms > 0 && !waits && idle_ms > timeout_ms) {
                doomed.push(slot);
            } else if connection.over_soft_limit_since_ms.is_some() {
                over.push(slot);
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
