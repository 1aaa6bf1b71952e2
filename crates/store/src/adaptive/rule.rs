//! What an entry's 24 bits say of its use where the rule is found out, and which of two entries is worth more.
//!
//! ```text
//! 14 bits: the clock at the last use │ 10 bits: uses, in eighths, halved once for each half-life since
//! ```

/// Ticks of the clock in the time in which as many keys are used as fit.
pub(super) const TICKS_PER_TURN: u32 = 1 << TICKS_LOG2;
const TICKS_LOG2: u32 = 5;
const CLOCK_BITS: u32 = 14;
const CLOCK_MASK: u32 = (1 << CLOCK_BITS) - 1;
const USES_BITS: u32 = 10;
const USES_MAX: u32 = (1 << USES_BITS) - 1;
/// One use.
pub(super) const ONE: u32 = 8;

/// How fast uses are forgotten, and what a key that has just come is worth.
///
/// With a short half-life the least worth is what was not used for longest (LRU), with a long one what is used least often
/// (LFU). Where a key's first use counts for nothing, what is there stays as long as it is used: the only way to keep some
/// of a loop that is too long to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// As a power of two, in ticks.
    half_life_log2: u32,
    newcomers_count: bool,
}

impl Rule {
    /// A half-life as a power of two, in the time in which as many keys are used as fit.
    pub(super) const fn new(half_life_log2: u32, newcomers_count: bool) -> Rule {
        Rule { half_life_log2: half_life_log2 + TICKS_LOG2, newcomers_count }
    }

    /// In the time in which as many keys are used as fit.
    pub(super) fn half_life(self) -> u32 {
        1 << (self.half_life_log2 - TICKS_LOG2)
    }

    pub(super) fn ticks(self) -> u32 {
        1 << self.half_life_log2
    }

    /// The stamp of a new entry, whose key had so many uses when it went the last time.
    pub(super) fn first(self, uses: u32, clock: u32) -> Stamp {
        Stamp::new(uses + if self.newcomers_count { ONE } else { 0 }, clock)
    }

    /// The stamp after one more use.
    pub(super) fn used(self, stamp: Stamp, clock: u32) -> Stamp {
        Stamp::new(self.uses(stamp, clock) + ONE, clock)
    }

    /// What is left of its uses.
    pub(super) fn uses(self, stamp: Stamp, clock: u32) -> u32 {
        stamp.uses() >> self.halvings(stamp, clock).min(31)
    }

    /// All that was used in one half-life is halved at the same moment, however long ago within it: so what is used in a
    /// loop is worth the same, wherever the loop is.
    fn halvings(self, stamp: Stamp, clock: u32) -> u32 {
        let life = |clock: u32| (clock & CLOCK_MASK) >> self.half_life_log2;
        life(clock).wrapping_sub(life(stamp.clock())) & (CLOCK_MASK >> self.half_life_log2)
    }

    /// How much an entry is worth: what is worth less goes first. `weight` is what it takes.
    pub(super) fn worth(self, stamp: Stamp, clock: u32, weight: u32) -> u64 {
        let uses = (u64::from(stamp.uses()) << 32) >> self.halvings(stamp, clock).min(63);
        let age = clock.wrapping_sub(stamp.clock()) & CLOCK_MASK;
        let of_equals = if self.newcomers_count { CLOCK_MASK - age } else { age };
        (uses / u64::from(weight.max(1))) << CLOCK_BITS | u64::from(of_equals)
    }
}

/// The 24 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u32);

impl Stamp {
    fn new(uses: u32, clock: u32) -> Stamp {
        Stamp((clock & CLOCK_MASK) << USES_BITS | uses.min(USES_MAX))
    }

    fn uses(self) -> u32 {
        self.0 & USES_MAX
    }

    fn clock(self) -> u32 {
        self.0 >> USES_BITS & CLOCK_MASK
    }
}
