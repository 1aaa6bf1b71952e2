//! What the 24 bits of an entry tell of its use, and how using the entry changes them.
//!
//! What they mean is set for the whole keyspace and follows from what is evicted first (`eviction`). Where the meaning
//! changes they are left as they are, and come right as keys are used: as in Redis. In most meanings they are a
//! [clock](access_clock); a counter of accesses is logarithmic and decays:
//!
//! ```text
//! 16 bits: minutes when it last decayed │ 8 bits: the counter
//! ```
//!
//! Source: `LFULogIncr` and its neighbours in Redis's `src/evict.c`.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::adaptive::Adaptive;
use crate::shard::ShardData;
use crate::{Key, UnixMs};

/// The access clock at a time: seconds, modulo 2^24 (Redis: LRU_CLOCK).
pub fn access_clock(now_ms: UnixMs) -> u32 {
    (now_ms / 1000) as u32 & CLOCK_MASK
}

const CLOCK_MASK: u32 = 0xff_ffff;

/// Seconds since a clock was set; it wraps after 194 days.
pub fn idle_seconds(clock: u32, now_ms: UnixMs) -> u32 {
    access_clock(now_ms).wrapping_sub(clock) & CLOCK_MASK
}

/// What is kept of an entry's use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Usage {
    /// When it was last read or changed.
    #[default]
    Accessed,
    /// When it was last changed.
    Modified,
    /// How often it was read or changed.
    Counted,
    /// How often and when, by a rule that is found out (`adaptive`).
    Weighed,
}

/// What a counter of accesses begins with, so that a new key is not the first to go (Redis: LFU_INIT_VAL).
pub(crate) const FREQUENCY_INITIAL: u8 = 5;

/// How counters of accesses grow and decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    /// How much less likely a counter grows with each access that it counts: 0 counts each.
    pub log_factor: u32,
    /// Minutes after which a counter is less by one; 0 for never.
    pub decay_minutes: u32,
}

impl Default for Counting {
    fn default() -> Self {
        Counting { log_factor: 10, decay_minutes: 1 }
    }
}

fn minutes(now_ms: UnixMs) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

impl Counting {
    /// The stamp of a counter that has this value now.
    pub fn stamp(frequency: u8, now_ms: UnixMs) -> u32 {
        minutes(now_ms) << 8 | u32::from(frequency)
    }

    /// What a counter has come to.
    pub fn frequency(self, stamp: u32, now_ms: UnixMs) -> u8 {
        let elapsed = minutes(now_ms).wrapping_sub(stamp >> 8) & 0xffff;
        let decayed = elapsed.checked_div(self.decay_minutes).unwrap_or(0);
        (stamp as u8).saturating_sub(u8::try_from(decayed).unwrap_or(u8::MAX))
    }

    /// The stamp after one more access.
    fn counted(self, stamp: u32, now_ms: UnixMs, random: u64) -> u32 {
        let frequency = self.frequency(stamp, now_ms);
        let above = u64::from(frequency.saturating_sub(FREQUENCY_INITIAL));
        let odds = above * u64::from(self.log_factor) + 1;
        let grows = (u128::from(random) * u128::from(odds)) >> 64 == 0;
        Counting::stamp(frequency.saturating_add(u8::from(grows)), now_ms)
    }
}

/// The keyspace's usage, which may change at any time.
#[derive(Debug, Default)]
pub(crate) struct SharedUsage {
    usage: AtomicU8,
    log_factor: AtomicU32,
    decay_minutes: AtomicU32,
    adaptive: Adaptive,
}

impl SharedUsage {
    pub(crate) fn set(&self, usage: Usage, counting: Counting) {
        self.log_factor.store(counting.log_factor, Ordering::Relaxed);
        self.decay_minutes.store(counting.decay_minutes, Ordering::Relaxed);
        self.usage.store(usage as u8, Ordering::Relaxed);
        if usage != Usage::Weighed {
            self.adaptive.rest();
        }
    }

    #[inline(always)]
    pub(crate) fn is(&self, usage: Usage) -> bool {
        self.usage.load(Ordering::Relaxed) == usage as u8
    }

    pub(crate) fn counting(&self) -> Counting {
        Counting {
            log_factor: self.log_factor.load(Ordering::Relaxed),
            decay_minutes: self.decay_minutes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn adaptive(&self) -> &Adaptive {
        &self.adaptive
    }

    /// True where the stamp of an entry that is used depends on the one it had.
    #[inline(always)]
    pub(crate) fn looks_back(&self) -> bool {
        self.is(Usage::Counted) || self.is(Usage::Weighed)
    }

    /// The stamp of an entry that is used now, of a shard that is locked: of a new one, or of one that has a stamp.
    #[cold]
    pub(crate) fn stamp(&self, before: Option<u32>, key: &Key<'_>, shard: &ShardData, now_ms: UnixMs) -> u32 {
        match before {
            Some(stamp) if self.is(Usage::Weighed) => self.adaptive.used(key, stamp),
            None if self.is(Usage::Weighed) => self.adaptive.first(key, shard),
            Some(stamp) => self.counting().counted(stamp, now_ms, shard.chance.draw()),
            None => Counting::stamp(FREQUENCY_INITIAL, now_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    /// A counter after so many accesses in one moment, with odds that are met as often as they say.
    fn counted(counting: Counting, accesses: u64) -> u8 {
        let mut stamp = Counting::stamp(FREQUENCY_INITIAL, 0);
        let mut state = 1u64;
        for _ in 0..accesses {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            stamp = counting.counted(stamp, 0, state);
        }
        counting.frequency(stamp, 0)
    }

    #[test]
    fn a_counter_grows_as_the_table_in_redis_conf_says() {
        // Factor, accesses, the counter there; ours begins at 5 as well.
        for (log_factor, accesses, told) in
            [(0, 100, 104), (1, 1000, 49), (10, 1000, 18), (10, 100_000, 142), (100, 100_000, 49)]
        {
            let counter = counted(Counting { log_factor, decay_minutes: 1 }, accesses);
            assert!(
                counter.abs_diff(told) <= told / 7 + 2,
                "factor {log_factor}, {accesses}: {counter}, not {told}"
            );
        }
        assert_eq!(counted(Counting { log_factor: 0, decay_minutes: 1 }, 1000), u8::MAX);
    }

    #[test]
    fn a_counter_decays_with_time_and_minutes_may_wrap() {
        let counting = Counting { log_factor: 10, decay_minutes: 2 };
        let begin_ms = 0xfffe * MINUTE_MS;
        let stamp = Counting::stamp(100, begin_ms);
        for (minutes, left) in [(0, 100), (1, 100), (2, 99), (9, 96), (200, 0), (5000, 0)] {
            assert_eq!(counting.frequency(stamp, begin_ms + minutes * MINUTE_MS), left, "{minutes}");
        }
        let still = Counting { decay_minutes: 0, ..counting };
        assert_eq!(still.frequency(stamp, begin_ms + 5000 * MINUTE_MS), 100);
    }

    #[test]
    fn idle_time_survives_the_wrap_of_the_clock() {
        let now_ms = (1u64 << 24) * 1000 + 5000;
        assert_eq!(idle_seconds(access_clock(now_ms - 9000), now_ms), 9);
    }
}
