//! Keys that have gone, with what was left of their uses: one byte for each that fits, and what is forgotten is worth least.
//!
//! ```text
//! 5 bits: a few of the key's hash │ 3 bits: uses, as a power of two
//! ```

use super::rule::{ONE, Rule};

/// Keys that have gone.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    cells: Vec<u8>,
    /// What is halved next.
    next: usize,
    /// The clock up to which all are halved as they should be.
    clock: u32,
}

const TAG_SHIFT: u32 = 3;
const LEVEL_MASK: u8 = 7;
/// Levels that make a halving.
const HALVING: u8 = 1;
const CELLS_MIN: usize = 16;
/// They may be so much more or fewer than the keys.
const SLACK_PART: usize = 8;
/// One of so many is remembered instead of one that is worth more.
const REPLACED_ODDS: u64 = 4;

/// Uses in eighths at a level, from 1 on.
const USES: [u32; 8] = [0, 8, 16, 32, 64, 128, 256, 512];

fn level_of(uses: u32) -> u8 {
    if uses < ONE / 2 {
        return 0;
    }
    // The nearest.
    let above = USES[1..].partition_point(|level| *level < uses) + 1;
    let level = match above {
        1 => 1,
        8 => 7,
        _ if uses - USES[above - 1] < USES[above] - uses => above - 1,
        _ => above,
    };
    level as u8
}

impl Ghosts {
    /// Makes room for as many as there are keys, about.
    pub(super) fn fit(&mut self, keys: usize) {
        let (before, wanted) = (self.cells.len(), keys.max(CELLS_MIN));
        // Not for every key that comes and goes.
        if wanted.abs_diff(before) <= before / SLACK_PART {
            return;
        }
        // A key's place is a share of all. Where several come together the best is kept.
        let mut cells = vec![0u8; wanted];
        for at in 0..before.max(wanted) {
            let (from, to) = (at * before / before.max(wanted), at * wanted / before.max(wanted));
            let cell = self.cells.get(from).copied().unwrap_or(0);
            if cell & LEVEL_MASK > cells[to] & LEVEL_MASK {
                cells[to] = cell;
            }
        }
        self.cells = cells;
        self.next = self.next.min(wanted);
    }

    /// What they take.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.cells.len()
    }

    fn place(&self, hash: u64) -> (usize, u8) {
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((((mixed >> 32) * self.cells.len() as u64) >> 32) as usize, (mixed >> 27) as u8 & 31)
    }

    /// What is remembered of a key's uses.
    pub(super) fn uses(&self, hash: u64) -> u32 {
        let (at, tag) = self.place(hash);
        match self.cells.get(at) {
            Some(cell) if cell >> TAG_SHIFT == tag => USES[usize::from(cell & LEVEL_MASK)],
            _ => 0,
        }
    }

    /// A key goes that has so many uses left.
    pub(super) fn remember(&mut self, hash: u64, uses: u32, random: u64) {
        let (at, tag) = self.place(hash);
        let level = level_of(uses);
        let Some(cell) = self.cells.get_mut(at) else { return };
        if level > 0 && (level >= *cell & LEVEL_MASK || random.is_multiple_of(REPLACED_ODDS)) {
            *cell = tag << TAG_SHIFT | level;
        }
    }

    /// Halves what is due: each once in a half-life.
    pub(super) fn pass_time(&mut self, rule: Rule, clock: u32) {
        let ticks = clock.wrapping_sub(self.clock).min(rule.ticks());
        let due = self.cells.len() as u64 * u64::from(ticks) / u64::from(rule.ticks());
        if due == 0 {
            return;
        }
        for _ in 0..due {
            if self.next >= self.cells.len() {
                self.next = 0;
            }
            let cell = &mut self.cells[self.next];
            *cell = *cell & !LEVEL_MASK | (*cell & LEVEL_MASK).saturating_sub(HALVING);
            self.next += 1;
        }
        self.clock = clock;
    }
}
