//! Names of writes made while a key is forked: sides, dots, stamps and contexts.
//!
//! Invariants the protocol keeps and merging relies on: one side has one order of a key's writes, numbered without
//! gaps; whoever holds write n of a side holds every earlier one of that side; a stamp is higher than every stamp its
//! writer had seen for the key (a hybrid logical clock).

use std::collections::BTreeMap;

/// One side of a partition: the view in which a write was ordered. The order is the order of precedence: the higher
/// generation wins, then the higher epoch, then the higher hash (of the view), which makes sides distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Side {
    /// Generation of the base the view was built on.
    pub generation: u64,
    /// Epoch of the key's token in that view.
    pub epoch: u64,
    /// Hash of the view identifier: no meaning, only distinctness.
    pub hash: u64,
}

/// The name of one write: unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dot {
    /// Where it was ordered.
    pub side: Side,
    /// Its number there, from 1.
    pub sequence: u64,
}

/// Which of two concurrent overwrites is the later: by clock, and only where the table of merging rules says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Stamp {
    /// Milliseconds since the epoch, never behind a stamp seen before.
    pub physical_ms: u64,
    /// Breaks ties within a millisecond.
    pub logical: u32,
    /// Breaks ties between writers.
    pub node: u64,
}

/// Where and when an effect was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name.
    pub dot: Dot,
    /// Its time.
    pub stamp: Stamp,
}

/// What a log has seen: for each side the highest write number. A dot that is covered by a context but absent from
/// its log was removed by someone who had seen it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Context {
    seen: BTreeMap<Side, u64>,
}

impl Context {
    /// True if the write was seen.
    pub fn covers(&self, dot: Dot) -> bool {
        self.seen.get(&dot.side).is_some_and(|&sequence| dot.sequence <= sequence)
    }

    /// Notes a write, and with it all earlier ones of its side.
    pub fn observe(&mut self, dot: Dot) {
        let sequence = self.seen.entry(dot.side).or_default();
        *sequence = (*sequence).max(dot.sequence);
    }

    /// Notes everything another context has seen.
    pub fn join(&mut self, other: &Self) {
        for (&side, &sequence) in &other.seen {
            self.observe(Dot { side, sequence });
        }
    }
}

/// Two logs that are being joined keep a named thing if both have it, or if one has it and the other never saw it.
pub(crate) fn survives(dot: Dot, in_other: bool, other: &Context) -> bool {
    in_other || !other.covers(dot)
}
