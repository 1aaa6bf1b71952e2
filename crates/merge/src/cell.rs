//! The cell: one independently written place (a field, a member, a whole string, a group) while its key is forked.
//!
//! A cell keeps the writes that nobody has overwritten or removed *having seen them*, each under its dot, and what
//! followed each of them (increments, appended text). The later stamp decides what is visible; the others stay until
//! someone overwrites the cell, because a removal of the winner must bring the loser back (see docs/cluster-merge.md,
//! "why losers are kept").
//!
//! Invariant: `join` is commutative, associative and idempotent, given the invariants of [`crate::dot`].

use std::collections::BTreeMap;

use crate::dot::{Context, Dot, Origin, Side, Stamp, survives};

/// What may follow a write without replacing it.
pub(crate) trait Follow: Clone + Default {
    /// Takes in what another log knows.
    fn join(&mut self, mine: &Context, other: &Self, theirs: &Context);
    /// The written value was overwritten: everything seen so far is void; what was not seen survives.
    fn cut(&mut self);
    /// True if something survives by itself, without the value that it followed.
    fn is_live(&self) -> bool;
    /// How much is held, for the bound.
    fn size(&self) -> usize;
}

/// Nothing can follow.
impl Follow for () {
    fn join(&mut self, _: &Context, _: &Self, _: &Context) {}
    fn cut(&mut self) {}
    fn is_live(&self) -> bool {
        false
    }
    fn size(&self) -> usize {
        0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry<V, X> {
    pub(crate) stamp: Stamp,
    pub(crate) value: V,
    pub(crate) follow: X,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cell<V, X> {
    /// Writes nobody has overwritten knowingly.
    pub(crate) entries: BTreeMap<Dot, Entry<V, X>>,
    /// The value from before the fork was overwritten or removed.
    pub(crate) base_gone: bool,
    /// What followed the value from before the fork.
    pub(crate) base_follow: X,
}

impl<V, X: Default> Default for Cell<V, X> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), base_gone: false, base_follow: X::default() }
    }
}

impl<V: Clone, X: Follow> Cell<V, X> {
    pub(crate) fn write(&mut self, origin: Origin, value: V) {
        self.remove();
        self.entries.insert(origin.dot, Entry { stamp: origin.stamp, value, follow: X::default() });
    }

    pub(crate) fn remove(&mut self) {
        self.entries.clear();
        self.base_gone = true;
        self.base_follow.cut();
    }

    /// Takes out writes up to that time.
    pub(crate) fn keep_later(&mut self, since: Stamp) {
        self.entries.retain(|_, entry| entry.stamp > since);
    }

    /// The write that is visible: the latest.
    pub(crate) fn winner(&self) -> Option<(Dot, &Entry<V, X>)> {
        self.entries.iter().max_by_key(|(dot, entry)| (entry.stamp, **dot)).map(|(dot, entry)| (*dot, entry))
    }

    /// What followed the visible value.
    pub(crate) fn follow(&self) -> &X {
        self.winner().map_or(&self.base_follow, |(_, entry)| &entry.follow)
    }

    /// Where a following effect goes.
    pub(crate) fn follow_mut(&mut self) -> &mut X {
        let winner = self.winner().map(|(dot, _)| dot);
        match winner.and_then(|dot| self.entries.get_mut(&dot)) {
            Some(entry) => &mut entry.follow,
            None => &mut self.base_follow,
        }
    }

    /// True if the cell exists, given whether it existed before the fork.
    pub(crate) fn is_present(&self, in_base: bool) -> bool {
        !self.entries.is_empty() || (in_base && !self.base_gone) || self.base_follow.is_live()
    }

    pub(crate) fn join(&mut self, mine: &Context, other: &Self, theirs: &Context) {
        self.entries.retain(|dot, _| survives(*dot, other.entries.contains_key(dot), theirs));
        for (dot, entry) in &other.entries {
            match self.entries.get_mut(dot) {
                Some(own) => own.follow.join(mine, &entry.follow, theirs),
                None if survives(*dot, false, mine) => {
                    self.entries.insert(*dot, entry.clone());
                }
                None => {}
            }
        }
        self.base_gone |= other.base_gone;
        self.base_follow.join(mine, &other.base_follow, theirs);
    }

    pub(crate) fn size(&self) -> usize {
        1 + self.base_follow.size()
            + self.entries.values().map(|entry| 1 + entry.follow.size()).sum::<usize>()
    }
}

/// Joins two maps of cells; a cell that one of them lacks is an untouched one.
pub(crate) fn join_cells<K: Ord + Clone, V: Clone, X: Follow>(
    own: &mut BTreeMap<K, Cell<V, X>>,
    mine: &Context,
    other: &BTreeMap<K, Cell<V, X>>,
    theirs: &Context,
) {
    let untouched = Cell::default();
    for (key, cell) in own.iter_mut() {
        cell.join(mine, other.get(key).unwrap_or(&untouched), theirs);
    }
    for (key, cell) in other {
        if !own.contains_key(key) {
            let mut fresh = Cell::default();
            fresh.join(mine, cell, theirs);
            own.insert(key.clone(), fresh);
        }
    }
}

/// Of cells that the base has as well takes out the writes up to that time.
pub(crate) fn keep_later_cells<K: Ord, V: Clone, X: Follow>(
    cells: &mut BTreeMap<K, Cell<V, X>>,
    is_in_base: impl Fn(&K) -> bool,
    since: Stamp,
) {
    for (_, cell) in cells.iter_mut().filter(|(key, _)| is_in_base(key)) {
        cell.keep_later(since);
    }
}

/// A number that increments add up to: exact for integers (wide enough not to wrap), in the order of the sides for
/// floating point, so that every replica computes the same bits.
pub(crate) trait Amount: Copy + Default + PartialEq {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
}

impl Amount for i128 {
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
    fn minus(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Amount for crate::value::Score {
    fn plus(self, other: Self) -> Self {
        Self::new(self.get() + other.get())
    }
    fn minus(self, other: Self) -> Self {
        Self::new(self.get() - other.get())
    }
}

impl Default for crate::value::Score {
    fn default() -> Self {
        Self::new(0.0)
    }
}

/// Increments: for each side its running sum, and how much of that sum was overwritten by someone who had seen it.
/// However many increments there are, it holds two numbers for each side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tally<N> {
    runs: BTreeMap<Side, (u64, N)>,
    cuts: BTreeMap<Side, (u64, N)>,
}

impl<N> Default for Tally<N> {
    fn default() -> Self {
        Self { runs: BTreeMap::new(), cuts: BTreeMap::new() }
    }
}

impl<N: Amount> Tally<N> {
    pub(crate) fn add(&mut self, dot: Dot, delta: N) {
        let run = self.runs.entry(dot.side).or_default();
        *run = (dot.sequence, run.1.plus(delta));
    }

    pub(crate) fn sum(&self) -> N {
        self.live_runs().fold(N::default(), |total, (run, cut)| total.plus(run.minus(cut)))
    }

    fn live_runs(&self) -> impl Iterator<Item = (N, N)> + '_ {
        self.runs.iter().filter_map(|(side, (sequence, sum))| {
            let (cut_at, cut) = self.cuts.get(side).copied().unwrap_or_default();
            (*sequence > cut_at).then_some((*sum, cut))
        })
    }
}

impl<N: Amount> Follow for Tally<N> {
    fn join(&mut self, _: &Context, other: &Self, _: &Context) {
        for (own, others) in [(&mut self.runs, &other.runs), (&mut self.cuts, &other.cuts)] {
            for (side, &(sequence, sum)) in others {
                let known = own.entry(*side).or_insert((sequence, sum));
                if known.0 < sequence {
                    *known = (sequence, sum);
                }
            }
        }
    }

    fn cut(&mut self) {
        self.cuts = self.runs.clone();
    }

    fn is_live(&self) -> bool {
        self.live_runs().next().is_some()
    }

    fn size(&self) -> usize {
        self.runs.len()
    }
}
