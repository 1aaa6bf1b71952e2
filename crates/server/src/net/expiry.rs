//! Active expiry: keys go when their time is over, although nobody asks for them.
//!
//! Each worker looks after its share of the shards. It works in slices of a millisecond with pauses between
//! them, so that however many keys expire in the same moment, a client of this worker waits for one slice at most,
//! and a shard's lock is held for one step of it. `active-expire-effort` sets the share of time that goes into it.

use std::sync::atomic::Ordering;

use swytch_store::{Keyspace, KeyspaceMut};

use crate::dispatch::changes;
use crate::server::{Conditions, Server};
use crate::system::clock::{self, MonotonicMs, Ticks};

/// Longest work at a time, in microseconds.
const SLICE_US: u64 = 1000;
/// Keys that one step removes under a shard's lock, but for those that lie together.
const KEYS_PER_STEP: usize = 64;
/// Percent of the time that may go into expiry, and what each step of `active-expire-effort` adds
/// (Redis: ACTIVE_EXPIRE_CYCLE_SLOW_TIME_PERC).
const SHARE_PERCENT: u64 = 25;
const SHARE_PERCENT_PER_EFFORT: u64 = 2;

/// Where a worker's expiry has come to.
#[derive(Debug, Default)]
pub(super) struct ExpiryCycle {
    /// Number of the next shard among those of the worker.
    position: usize,
    /// When to go on.
    next: MonotonicMs,
}

impl ExpiryCycle {
    /// When to call [`ExpiryCycle::run`] next.
    pub(super) fn next(&self) -> MonotonicMs {
        self.next
    }

    /// Removes keys of the worker's shards, whose time is over by the wall clock, for one slice. If nothing is left, the
    /// next slice is in `tick_ms`.
    pub(super) fn run(
        &mut self,
        server: &Server,
        worker: usize,
        now: MonotonicMs,
        now_ms: u64,
        tick_ms: u64,
    ) {
        if now < self.next {
            return;
        }
        self.next = now.after(tick_ms);
        let started = Ticks::now();
        let stats = &server.workers[worker].stats;
        if !self.slice(server, worker, now_ms, started) {
            stats.expiry_cuts.add(1);
            let share =
                SHARE_PERCENT + (server.config.active_expire_effort() as u64 - 1) * SHARE_PERCENT_PER_EFFORT;
            let pause_ms = (SLICE_US * (100 - share) / share).div_ceil(1000);
            // The slice itself is not part of `now`.
            self.next = now.after((SLICE_US / 1000 + pause_ms).min(tick_ms));
        }
        let threshold_ms = server.config.latency_monitor_threshold();
        let took = Ticks::now().since(started);
        stats.expiry_ticks.add(took);
        let took_ms = clock::ticks_to_ns(took) / 1_000_000;
        if threshold_ms > 0 && took_ms >= threshold_ms {
            server.latency.add("expire-cycle", now_ms / 1000, took_ms);
        }
    }

    /// Goes through all shards of the worker; false when the slice was over before.
    fn slice(&mut self, server: &Server, worker: usize, now_ms: u64, started: Ticks) -> bool {
        let budget = clock::us_to_ticks(SLICE_US);
        let workers = server.workers.len();
        let shards = server.shards.count();
        for _ in 0..shards.div_ceil(workers) {
            let shard = self.position * workers + worker;
            if shard >= shards {
                self.position = 0;
                continue;
            }
            loop {
                // What a script has for too long is looked at when it is done.
                let Some(locked) = server.shards.lock_one_in_time(shard as u16) else { break };
                // While clients are paused nothing changes: keys whose time is over are only invisible. A pause that
                // begins now waits for this lock.
                // So it is while those lag behind who have to hear of it, while a log is read or data imported that
                // says itself which went, and where a test wants to see what has expired.
                let holds = Conditions::PAUSED
                    .union(Conditions::LAGGING)
                    .union(Conditions::LOADING)
                    .union(Conditions::IMPORTING);
                let is_held =
                    server.conditions().intersects(holds) || !server.active_expire.load(Ordering::Relaxed);
                if is_held || !locked.has_due(shard as u16, now_ms) {
                    break;
                }
                let keyspace = Keyspace::new(locked, now_ms);
                let act =
                    |keyspace: &mut KeyspaceMut<'_, '_>| keyspace.expire_due(shard as u16, KEYS_PER_STEP);
                let stats = &server.workers[worker].stats;
                let before = (stats.expired_keys.get(), stats.expired_parts.get());
                let more = changes::make(server, &server.workers[worker], keyspace, act);
                stats.expired_keys_active.add(stats.expired_keys.get().saturating_sub(before.0));
                stats.expired_parts_active.add(stats.expired_parts.get().saturating_sub(before.1));
                if Ticks::now().since(started) > budget {
                    return false;
                }
                if !more {
                    break;
                }
            }
            self.position += 1;
        }
        true
    }
}
