//! Small caches, each with a rule of its own, that see the same few keys: which rule finds most?
//!
//! Source: Waldspurger, Saemundsson, Ahmad, Park: Cache modeling and optimization using miniature simulations, USENIX ATC 2017.

use std::collections::VecDeque;

use super::ghosts::Ghosts;
use super::newcomers::YOUNG_PART;
use super::rule::{Rule, Stamp, TICKS_PER_TURN};
use crate::shard::Chance;

/// Keys that a small cache holds at most.
pub(super) const KEYS_MAX: u32 = 1024;
const SLOTS: usize = 2 * KEYS_MAX as usize;
const SLOT_MASK: usize = SLOTS - 1;
/// Keys looked at for one that goes.
const SAMPLES: usize = 16;
/// Comparisons in the time in which as many keys are used as fit, or as these.
const LOOKS_PER_TURN: u32 = 4;
/// Of a few hundred uses a small cache finds too little to tell by.
const LOOKED_AT_MIN: u32 = 640;
/// What counts of the comparisons before.
const KEPT: f64 = 0.85;

/// Rules, of which one is the best.
pub(super) const RULES: [Rule; 8] = [
    Rule::new(0, true),
    Rule::new(1, true),
    Rule::new(2, true),
    Rule::new(3, true),
    Rule::new(4, true),
    Rule::new(6, true),
    Rule::new(3, false),
    Rule::new(6, false),
];

/// What holds until it is known better: what serves most, and where all keys are few, what keeps some of a loop. There a loop that
/// does not fit is the rule, and that it is one would be known only when it comes again.
pub(super) const FIRST: usize = 4;
const FIRST_OF_FEW: usize = 6;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Of a key, 0 for none.
    hash: u64,
    stamp: Stamp,
}

/// A small cache: an open table with linear probing.
#[derive(Debug)]
struct Trial {
    rule: Rule,
    slots: Box<[Slot]>,
    len: u32,
    ghosts: Ghosts,
    newcomers: VecDeque<u64>,
    hits: u32,
    score: f64,
}

impl Trial {
    fn new(rule: Rule) -> Trial {
        let slots = vec![Slot::default(); SLOTS].into();
        Trial {
            rule,
            slots,
            len: 0,
            ghosts: Ghosts::default(),
            newcomers: VecDeque::new(),
            hits: 0,
            score: 0.0,
        }
    }

    /// Where a key is, or where it would be.
    fn find(&self, hash: u64) -> usize {
        let mut at = hash as usize & SLOT_MASK;
        while self.slots[at].hash != hash && self.slots[at].hash != 0 {
            at = (at + 1) & SLOT_MASK;
        }
        at
    }

    fn remove(&mut self, mut at: usize) {
        self.len -= 1;
        let mut next = at;
        loop {
            next = (next + 1) & SLOT_MASK;
            let slot = self.slots[next];
            if slot.hash == 0 {
                break;
            }
            // What could not have been found any more moves up.
            let home = slot.hash as usize & SLOT_MASK;
            if (next.wrapping_sub(home) & SLOT_MASK) >= (next.wrapping_sub(at) & SLOT_MASK) {
                self.slots[at] = slot;
                at = next;
            }
        }
        self.slots[at] = Slot::default();
    }

    fn evict(&mut self, clock: u32, chance: &Chance) {
        let mut least = (u64::MAX, 0);
        while self.newcomers.len() > self.len as usize / YOUNG_PART + 1
            && let Some(hash) = self.newcomers.pop_front()
        {
            let at = self.find(hash);
            if self.slots[at].hash != 0 {
                least = least.min((self.rule.worth(self.slots[at].stamp, clock, 1), at));
            }
        }
        let mut seen = 0;
        while seen < SAMPLES {
            let at = chance.draw() as usize & SLOT_MASK;
            let slot = &self.slots[at];
            if slot.hash != 0 {
                seen += 1;
                least = least.min((self.rule.worth(slot.stamp, clock, 1), at));
            }
        }
        let gone = self.slots[least.1];
        self.remove(least.1);
        self.ghosts.remember(gone.hash, self.rule.uses(gone.stamp, clock), chance.draw());
    }

    fn access(&mut self, hash: u64, keys: u32, clock: u32, chance: &Chance) {
        let at = self.find(hash);
        if self.slots[at].hash != 0 {
            self.hits += 1;
            self.slots[at].stamp = self.rule.used(self.slots[at].stamp, clock);
            return;
        }
        while self.len >= keys {
            self.evict(clock, chance);
        }
        let stamp = self.rule.first(self.ghosts.uses(hash), clock);
        let at = self.find(hash);
        self.slots[at] = Slot { hash, stamp };
        self.newcomers.push_back(hash);
        self.len += 1;
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Trials {
    all: Vec<Trial>,
    best: usize,
    /// Some has found more than another.
    is_known: bool,
    clock: u32,
    /// Keys that each holds.
    keys: u32,
    /// Uses since the last tick, and since the last comparison.
    since_tick: u32,
    since_look: u32,
    chance: Chance,
}

impl Trials {
    pub(super) fn new() -> Trials {
        let all = RULES.map(Trial::new).into();
        Trials {
            all,
            best: FIRST,
            is_known: false,
            clock: 0,
            keys: KEYS_MAX,
            since_tick: 0,
            since_look: 0,
            chance: Chance::new(1),
        }
    }

    /// How many keys each holds, at most [`KEYS_MAX`].
    pub(super) fn set_keys(&mut self, keys: u32) {
        self.keys = keys.clamp(1, KEYS_MAX);
        if !self.is_known {
            self.best = if self.keys < KEYS_MAX { FIRST_OF_FEW } else { FIRST };
        }
        for trial in &mut self.all {
            trial.ghosts.fit(self.keys as usize);
        }
    }

    /// The clock, and which rule is the best.
    pub(super) fn verdict(&self) -> (u32, usize) {
        (self.clock, self.best)
    }

    /// A key is used. True if the verdict is another now.
    pub(super) fn access(&mut self, hash: u64) -> bool {
        // No key has the hash of none.
        let hash = hash.max(1);
        for trial in &mut self.all {
            trial.access(hash, self.keys, self.clock, &self.chance);
        }
        self.since_look += 1;
        if self.since_look >= self.keys.max(LOOKED_AT_MIN) / LOOKS_PER_TURN {
            self.since_look = 0;
            self.compare();
        }
        self.since_tick += 1;
        let ticks = self.since_tick * TICKS_PER_TURN / self.keys;
        if ticks > 0 {
            self.since_tick = 0;
            self.clock = self.clock.wrapping_add(ticks);
            for trial in &mut self.all {
                trial.ghosts.pass_time(trial.rule, self.clock);
            }
        }
        ticks > 0
    }

    fn compare(&mut self) {
        for trial in &mut self.all {
            trial.score = trial.score * KEPT + f64::from(std::mem::take(&mut trial.hits));
        }
        let score = |at: usize| self.all[at].score;
        let best = (0..self.all.len()).max_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap_or(self.best);
        if score(best) > score(self.best) {
            self.best = best;
            self.is_known = true;
        }
    }
}
