//! Folding: a log that cannot be trimmed grows with the cells that are touched, not with the writes.
//!
//! While a subscriber is missing a copy keeps all its entries. Of those, the ones that nobody can hold in part need
//! not stay apart: the store adds up what adds up and drops what was overwritten ([`Values::fold`]). Every copy folds
//! its own log when it likes; no two have to agree, and nothing about it travels.
//!
//! Invariants:
//! - Folded is only what is *held*: a batch is ordered only after all present subscribers hold the one before it, so
//!   whoever holds anything of this view holds everything below the batch that comes now. Members that are absent
//!   hold nothing of this view, whoever joins gets the whole log, and a vote of an earlier view can only be about what
//!   came last in that view. So nobody ever asks for a state in the middle of a folded run, or brings one.
//! - A run is a chain of plain writes of one view. Merges and starts of other creations stay, and so does its last
//!   entry, for what comes next is ordered on top of it.
//! - An operation that may run, or may have run, under another view as well keeps an entry of its own, because a merge
//!   knows by its name that it counts once: one that its origin sent to an owner in an earlier view already
//!   ([`EntryOp::exposed`](crate::EntryOp)), and one that may still be requested again.
//!
//! Neighbours: `write` and `node` say when, `copy` holds the log, `heal` merges logs and never sees a difference.

use std::ops::Range;

use crate::config::Config;
use crate::copy::{Copy, Done};
use crate::ids::{Blob, Version, ViewId};
use crate::key::Key;
use crate::mutant::Mutant;
use crate::tally::{Rule, Tally};
use crate::values::{Entry, History, Step, Values};

/// A log that nears its bound is folded again when it has grown by one part in this many of the bound.
const LAST_STEPS: usize = 8;

/// What a copy knows about its log besides the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Folding {
    /// Whoever holds anything of this version's view holds everything up to here.
    held: Option<Version>,
    /// The states that the log leads through from its start to this seq are not all true ones any more, so the log
    /// cannot be made to start at one of them.
    pub(crate) from_seq: u64,
    /// Entries left when the log was last folded.
    kept: usize,
}

impl Folding {
    /// Whether it is time: each entry is looked at a bounded number of times on average.
    fn is_due(&mut self, entries: usize, more: usize, entries_min: usize, entries_max: usize) -> bool {
        self.kept = self.kept.min(entries);
        let doubled = entries >= entries_min && entries >= 2 * self.kept;
        let last_step = (entries_max / LAST_STEPS).max(1);
        doubled || entries + more > entries_max && entries >= self.kept + last_step
    }
}

/// Folds logs with the means of a node. It is handed the copy, so that a write looks its copy up once.
pub(crate) struct Folder<'a, V> {
    pub(crate) key: &'a Key,
    pub(crate) values: &'a V,
    pub(crate) config: &'a Config,
    pub(crate) tally: &'a mut Tally,
}

impl<V: Values> Folder<'_, V> {
    /// Folds the log, when it is time, before a batch of `more` entries that was ordered in the installed `view`.
    pub(crate) fn fold_below_batch(&mut self, copy: &mut Copy, view: ViewId, more: usize) {
        let limits = self.config.limits;
        let version = copy.meta.version;
        // What came before this view may be held in part by those who are absent.
        copy.folding.held = (version.epoch == view).then_some(version);
        if copy.folding.is_due(copy.log.entries.len(), more, limits.fold_min, limits.log_max) {
            self.fold_log(copy);
        }
    }

    /// The seeded fault: also what nobody may hold yet.
    pub(crate) fn fold_unvalidated(&mut self, copy: &mut Copy) {
        if self.config.without(Mutant::FoldUnvalidated) {
            copy.folding.held = Some(copy.meta.version);
            self.fold_log(copy);
        }
    }

    /// The view in which the copy was last written is over: folds what it has added. Later would be too late, because
    /// a regroup teaches the copy which operations are over elsewhere.
    pub(crate) fn fold_ended_view(&mut self, copy: &mut Copy) {
        if copy.log.entries.len() > copy.folding.kept {
            self.fold_log(copy);
        }
        copy.folding.held = None;
    }

    /// Folds all that is held of the view it belongs to.
    fn fold_log(&mut self, copy: &mut Copy) {
        let open_as_well = self.config.without(Mutant::FoldOpenOperations);
        let Some(held) = copy.folding.held else { return };
        let since = copy.log.since;
        let log = &mut copy.log.entries;
        let run = run_up_to(log, held);
        let free = |entry: &Entry| open_as_well || is_free(entry, &copy.done);
        let folded: Vec<(usize, Vec<Vec<Blob>>)> = stretches(log, run.clone(), free)
            .into_iter()
            .filter_map(|stretch| {
                let history = History { since, entries: log };
                Some((stretch.start, self.values.fold(self.key, history, stretch)?))
            })
            .collect();
        let before = log.len();
        for (start, effects) in folded {
            for (entry, effects) in log[start..].iter_mut().zip(effects) {
                entry.effects = effects;
            }
        }
        drop_empty(log, run, free);
        copy.folding.kept = log.len();
        if copy.folding.kept < before {
            copy.folding.from_seq = held.seq;
            self.tally.add(Rule::Folded);
        }
    }
}

impl Copy {
    /// The log comes from elsewhere, folded or not.
    pub(crate) fn log_replaced(&mut self) {
        self.folding = Folding { from_seq: self.meta.version.seq, ..Folding::default() };
    }
}

/// Whether the entry's operation runs under no other view, neither before nor after.
fn is_free(entry: &Entry, done: &Done) -> bool {
    entry.origin.as_ref().is_none_or(|origin| {
        // The owner's own client has its answer as soon as everyone holds the entry.
        let answered = done.is_over(origin.id) || entry.stamp.node == origin.id.node;
        answered && !origin.exposed
    })
}

/// The chain of plain writes of one view that ends at `held`.
fn run_up_to(log: &[Entry], held: Version) -> Range<usize> {
    let Some(last) = log.iter().rposition(|entry| entry.dot == held && entry.step == Step::Write) else {
        return 0..0;
    };
    let mut first = last;
    while let Some(before) = first.checked_sub(1).map(|index| &log[index])
        && before.step == Step::Write
        && before.dot.epoch == held.epoch
        && before.dot == log[first].prior
    {
        first -= 1;
    }
    first..last + 1
}

/// The parts of `run`, of two entries at least, in which all may be folded.
fn stretches(log: &[Entry], run: Range<usize>, free: impl Fn(&Entry) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = run.start;
    for index in run.clone() {
        if !free(&log[index]) {
            found.push(start..index);
            start = index + 1;
        }
    }
    found.push(start..run.end);
    found.retain(|stretch| stretch.len() > 1);
    found
}

/// Takes out the entries of `run` that do nothing and may go, except the last one, and closes the chain.
fn drop_empty(log: &mut Vec<Entry>, run: Range<usize>, free: impl Fn(&Entry) -> bool) {
    let Some(mut prior) = log.get(run.start).map(|entry| entry.prior) else { return };
    let mut index = 0;
    log.retain_mut(|entry| {
        let at = index;
        index += 1;
        if !run.contains(&at) {
            return true;
        }
        if entry.effects.is_empty() && at + 1 < run.end && free(entry) {
            return false;
        }
        entry.prior = std::mem::replace(&mut prior, entry.dot);
        true
    });
}
