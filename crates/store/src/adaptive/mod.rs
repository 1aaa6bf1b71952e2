//! What goes first where that is found out while the server runs.
//!
//! Each entry counts its uses, which are halved with time, and of those looked at the least worth goes (`rule`). Which half-life
//! is the best depends on who asks for what, and changes: several are tried at the same time on the same few keys, and what
//! has found most of late holds for all (`trial`). A key that has gone and comes back has not begun anew (`ghosts`).
//!
//! Time is counted in uses and not in seconds, by the few keys that are tried: a server that rests forgets nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::Key;
use crate::shard::ShardData;

pub(crate) use ghosts::Ghosts;
pub(crate) use newcomers::Newcomers;
use rule::{Rule, Stamp};
use trial::Trials;

mod ghosts;
mod newcomers;
mod rule;
mod trial;

#[cfg(test)]
mod tests;

/// What is known of how keys are used.
#[derive(Debug)]
pub(crate) struct Adaptive {
    /// The clock, and in the low bits which rule holds.
    verdict: AtomicU64,
    /// Keys whose hashes are below this are tried.
    tried_below: AtomicU32,
    trials: Mutex<Option<Box<Trials>>>,
    /// Shards may remember something.
    has_memory: AtomicBool,
}

const RULE_BITS: u32 = 8;

impl Default for Adaptive {
    fn default() -> Self {
        Adaptive {
            verdict: AtomicU64::new(trial::FIRST as u64),
            tried_below: AtomicU32::new(0),
            trials: Mutex::default(),
            has_memory: AtomicBool::new(false),
        }
    }
}

/// What uses of a key are kept by: keys of the same name in other databases have others.
fn use_hash(key: &Key<'_>) -> u64 {
    key.hash.wrapping_add(u64::from(key.db).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Evenly spread, whatever bits of the hash other choices have been made by.
fn tried_at(hash: u64) -> u32 {
    (hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32
}

/// Weights of entries count by their order of magnitude: a key of many bytes takes the room of many, but is also dear to make
/// again.
fn weight_of(bytes: usize) -> u32 {
    bytes.max(16).ilog2()
}

impl Adaptive {
    /// So many keys fit, as far as is known.
    pub(crate) fn expect(&self, keys: u64) {
        let tried = keys.clamp(1, trial::KEYS_MAX.into());
        let below = (u64::from(u32::MAX) * tried).checked_div(keys).unwrap_or(u32::MAX.into());
        if self.tried_below.swap(below as u32, Ordering::Relaxed) != below as u32 {
            self.has_memory.store(true, Ordering::Relaxed);
            let mut trials = self.trials.lock();
            let trials = trials.get_or_insert_with(|| Box::new(Trials::new()));
            trials.set_keys(tried as u32);
            self.follow(trials);
        }
    }

    /// Nothing is tried any more.
    pub(crate) fn rest(&self) {
        self.tried_below.store(0, Ordering::Relaxed);
        *self.trials.lock() = None;
    }

    /// Whether shards may remember something, which they are to forget now.
    pub(crate) fn take_memory(&self) -> bool {
        self.has_memory.swap(false, Ordering::Relaxed)
    }

    fn rule(&self) -> (Rule, u32) {
        let verdict = self.verdict.load(Ordering::Relaxed);
        (trial::RULES[verdict as usize & ((1 << RULE_BITS) - 1)], (verdict >> RULE_BITS) as u32)
    }

    /// Which rule holds.
    pub(crate) fn number(&self) -> u8 {
        self.verdict.load(Ordering::Relaxed) as u8
    }

    /// The half-life of uses now, in the time in which as many keys are used as fit.
    pub(crate) fn half_life(&self) -> u32 {
        self.rule().0.half_life()
    }

    fn note(&self, hash: u64) {
        if tried_at(hash) < self.tried_below.load(Ordering::Relaxed)
            && let Some(mut trials) = self.trials.try_lock()
            && let Some(trials) = &mut *trials
            && trials.access(hash)
        {
            self.follow(trials);
        }
    }

    fn follow(&self, trials: &Trials) {
        let (clock, rule) = trials.verdict();
        self.verdict.store(u64::from(clock) << RULE_BITS | rule as u64, Ordering::Relaxed);
    }

    /// The stamp of an entry that comes to a shard.
    pub(crate) fn first(&self, key: &Key<'_>, shard: &ShardData) -> u32 {
        let hash = use_hash(key);
        self.note(hash);
        shard.newcomers.add((key.db, key.hash), shard.keys());
        let (rule, clock) = self.rule();
        rule.first(shard.ghosts.uses(hash), clock).0
    }

    /// The stamp of an entry that is used.
    pub(crate) fn used(&self, key: &Key<'_>, stamp: u32) -> u32 {
        self.note(use_hash(key));
        let (rule, clock) = self.rule();
        rule.used(Stamp(stamp), clock).0
    }

    /// What an entry is worth: what is worth least goes.
    pub(crate) fn worth(&self, stamp: u32, bytes: usize) -> u64 {
        let (rule, clock) = self.rule();
        rule.worth(Stamp(stamp), clock, weight_of(bytes))
    }

    /// An entry has gone from a shard.
    pub(crate) fn gone(&self, key: &Key<'_>, stamp: u32, shard: &mut ShardData) {
        let (rule, clock) = self.rule();
        shard.ghosts.fit(shard.keys());
        shard.ghosts.pass_time(rule, clock);
        shard.ghosts.remember(use_hash(key), rule.uses(Stamp(stamp), clock), shard.chance.draw());
    }
}
