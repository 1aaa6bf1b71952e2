//! How much of `maxmemory` is in use, and what follows from that. `dispatch/room` makes room.
//!
//! What is not counted: values that are on their way to be freed, and effects that wait to be read and what clients are told,
//! since each key that goes adds to them.

use std::sync::atomic::{AtomicU64, Ordering};

use swytch_store::eviction::Order;
use swytch_store::{Counting, Evictable, Usage};

use super::{Conditions, Server};
use crate::clients::telling;
use crate::config::MaxmemoryPolicy as Policy;
use crate::system::allocator;
use crate::system::clock::MonotonicMs;

/// Where keys are evicted it is down to this part below the limit, but not by more than so many bytes: else each command
/// that adds a key would have to look for one that goes.
const SLACK_PART: u64 = 1024;
const SLACK_BYTES_MAX: u64 = 64 << 10;
/// Where keys are worth more and less, too few of those that are worth nothing would be met among fewer.
const WORTH_SAMPLES_MIN: usize = 10;

impl Server {
    /// What may be evicted, if anything.
    pub fn evictable(&self) -> Option<Evictable> {
        let config = &self.config;
        let (order, only_expiring) = match config.maxmemory_policy() {
            Policy::NoEviction => return None,
            Policy::AllkeysLru | Policy::AllkeysLrm => (Order::Idle, false),
            Policy::VolatileLru | Policy::VolatileLrm => (Order::Idle, true),
            Policy::AllkeysLfu => (Order::Frequency, false),
            Policy::VolatileLfu => (Order::Frequency, true),
            Policy::AllkeysAdaptive => (Order::Worth, false),
            Policy::VolatileAdaptive => (Order::Worth, true),
            Policy::AllkeysRandom => (Order::Chance, false),
            Policy::VolatileRandom => (Order::Chance, true),
            Policy::VolatileTtl => (Order::Expiry, true),
        };
        let samples = match order {
            Order::Worth => config.maxmemory_samples().max(WORTH_SAMPLES_MIN),
            _ => config.maxmemory_samples(),
        };
        Some(Evictable { order, only_expiring, samples })
    }

    /// Applies `maxmemory` and what says how it is kept.
    pub fn apply_memory_limit(&self) {
        let config = &self.config;
        let usage = match config.maxmemory_policy() {
            Policy::AllkeysLfu | Policy::VolatileLfu => Usage::Counted,
            Policy::AllkeysLrm | Policy::VolatileLrm => Usage::Modified,
            Policy::AllkeysAdaptive | Policy::VolatileAdaptive => Usage::Weighed,
            _ => Usage::Accessed,
        };
        let counting =
            Counting { log_factor: config.lfu_log_factor(), decay_minutes: config.lfu_decay_time() };
        self.shards.set_usage(usage, counting);
        self.client_memory.set_limit(config.maxmemory_clients(), config.maxmemory());
        if self.client_memory.is_limited() {
            // Those who say nothing count as well.
            self.clients.for_each(|client| {
                self.client_memory.count(client);
            });
        }
        allocator::set_limit(Some(config.maxmemory()).filter(|limit| *limit > 0).unwrap_or(u64::MAX));
        self.check_memory();
    }

    /// Whether the rule of eviction is found out.
    pub fn is_adaptive(&self) -> bool {
        matches!(self.config.maxmemory_policy(), Policy::AllkeysAdaptive | Policy::VolatileAdaptive)
    }

    /// Where the rule of eviction is found out: says how many keys there are when memory is full, about. Where it is not any more,
    /// what was remembered for it goes.
    pub fn expect_keys(&self) {
        let limit = self.config.maxmemory();
        if !self.is_adaptive() {
            return self.shards.forget_uses();
        }
        if limit > 0 {
            let used = allocator::used_bytes_here().max(1);
            let keys = u128::from(self.shards.keys_in_time()) * u128::from(limit) / u128::from(used);
            self.shards.expect_keys(u64::try_from(keys).unwrap_or(u64::MAX));
        }
    }

    /// Bytes in use beyond the limit; none where there is no limit.
    fn excess_bytes(&self, limit: u64) -> u64 {
        let used = allocator::used_bytes_here();
        // Most often not even what is not counted has to be looked at.
        if limit == 0 || used <= limit {
            0
        } else {
            used.saturating_sub(self.uncounted_bytes()).saturating_sub(limit)
        }
    }

    /// Bytes in use that `maxmemory` is not about.
    pub fn uncounted_bytes(&self) -> u64 {
        let held =
            self.effects.held_bytes() + self.stream_held_for_followers() + self.replication.output_bytes();
        telling::bytes() + self.reclaimer.pending_bytes() + held as u64
    }

    /// Bytes of the stream that are kept because followers have not been sent them yet. What is kept in any case is none of
    /// these, as in Redis.
    pub fn stream_held_for_followers(&self) -> usize {
        match self.replication.has_followers() {
            true => self.replication.held_bytes().saturating_sub(self.config.repl_backlog_size() as usize),
            false => 0,
        }
    }

    /// True as long as keys are to be evicted.
    pub fn wants_room(&self) -> bool {
        let limit = self.config.maxmemory();
        self.excess_bytes(limit - (limit / SLACK_PART).min(SLACK_BYTES_MAX)) > 0
    }

    /// Compares the memory in use with `maxmemory` and sets the conditions that go by it.
    pub fn check_memory(&self) {
        let over = self.excess_bytes(self.config.maxmemory()) > 0;
        match over {
            true => self.raise_over_limit(),
            false => self.has_room(true),
        }
    }

    /// Memory is over its limit. Takes no locks.
    pub(super) fn raise_over_limit(&self) {
        let evicts = self.config.maxmemory_policy() != Policy::NoEviction;
        let condition = if evicts { Conditions::OVER_LIMIT } else { Conditions::OUT_OF_MEMORY };
        if !self.conditions().contains(condition) {
            self.set_conditions(condition, true);
        }
    }

    /// Memory is within its limit again, or nothing can be done about it.
    pub fn has_room(&self, has_room: bool) {
        let conditions = self.conditions();
        if has_room {
            let over = Conditions::OVER_LIMIT | Conditions::OUT_OF_MEMORY;
            if conditions.intersects(over) {
                self.set_conditions(over, false);
            }
        } else if !conditions.contains(Conditions::OUT_OF_MEMORY) {
            self.set_conditions(Conditions::OUT_OF_MEMORY, true);
        }
        self.excess.note(!has_room);
    }
}

/// Since the server has begun.
fn now_ms() -> u64 {
    MonotonicMs::now().since(MonotonicMs::default())
}

/// How long memory has been over its limit, in milliseconds.
#[derive(Debug, Default)]
pub struct Excess {
    /// When it began, 0 when it is not.
    since_ms: AtomicU64,
    total_ms: AtomicU64,
}

impl Excess {
    /// Whether memory is over its limit now, and stays so.
    pub fn note(&self, is_over: bool) {
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        if is_over == (since_ms != 0) {
            return;
        }
        let next_ms = if is_over { now_ms().max(1) } else { 0 };
        if self.since_ms.compare_exchange(since_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && since_ms != 0
        {
            self.total_ms.fetch_add(now_ms().saturating_sub(since_ms), Ordering::Relaxed);
        }
    }

    /// Since it is over its limit now; 0 when it is not.
    pub fn current_ms(&self) -> u64 {
        match self.since_ms.load(Ordering::Relaxed) {
            0 => 0,
            since_ms => now_ms().saturating_sub(since_ms),
        }
    }

    /// All in all.
    pub fn total_ms(&self) -> u64 {
        self.total_ms.load(Ordering::Relaxed) + self.current_ms()
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.total_ms.store(0, Ordering::Relaxed);
        self.note(false);
    }
}
