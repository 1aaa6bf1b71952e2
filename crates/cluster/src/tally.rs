//! How often each rule was used: the coverage that model, simulator and metrics report.

use std::hash::{Hash, Hasher};

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// A transition rule worth counting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* $name),*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

rules! {
    /// A data message of another view was dropped.
    RejectedByView,
    /// A view was installed.
    InstalledView,
    /// A node got a number.
    GaveNumber,
    /// Members of another cluster were met.
    MetCluster,
    /// One of them has the number of somebody else.
    NumberClash,
    /// A base took nodes in.
    Joined,
    /// A base dropped silent nodes.
    Expired,
    /// A base dropped dead nodes.
    DroppedDead,
    /// This node was outside the base and starts empty.
    Reborn,
    /// The store was emptied by FLUSHALL.
    Flushed,
    /// A key was created here.
    Created,
    /// A key was created while part of the base was missing.
    CreatedInDoubt,
    /// A read was answered without a copy, because nobody holds the key.
    ReadAbsent,
    /// A key without a value was forgotten.
    Forgot,
    /// A key that only this node holds got a record.
    Recorded,
    /// Its record went again.
    Solo,
    /// A key was looked at because of a new view.
    Walked,
    /// An operation on such a key was answered without one.
    AnsweredSolo,
    /// A slot was leased to one node.
    Leased,
    /// A lease was recalled.
    RecalledLease,
    /// A key was created under a lease.
    CreatedByLease,
    /// A keeper was given a key that only its owner held.
    Enlisted,
    /// A key that had come to have one holder has two again.
    Repaired,
    /// A subscriber joined a key.
    JoinedKey,
    /// A subscriber left a key.
    LeftKey,
    /// A last copy was deleted by eviction.
    DeletedLast,
    /// An eviction was refused.
    RefusedEviction,
    /// The owner deleted an expired key.
    ExpiredKey,
    /// A batch of class W was sent to subscribers.
    SentW,
    /// A batch of class X was prepared at subscribers.
    PreparedX,
    /// A batch of class X committed.
    CommittedX,
    /// A batch of class X was aborted by its coordinator.
    AbortedX,
    /// An X was refused because of a missing subscriber.
    RefusedX,
    /// An X was refused because the lease was over.
    Fenced,
    /// A retried operation was answered from memory.
    Deduped,
    /// A token moved.
    MovedToken,
    /// A key was regrouped without forks.
    Regrouped,
    /// A fork was merged at a regroup.
    MergedFork,
    /// A fork of an expired node was merged.
    MergedStash,
    /// An in-doubt batch was settled as committed.
    SettledCommit,
    /// An in-doubt batch was settled as aborted.
    SettledAbort,
    /// A regroup had to leave a batch in doubt.
    LeftInDoubt,
    /// It was settled in the same view after all, and the key regrouped again.
    SettledLate,
    /// An operation on several keys committed.
    ExecutedMulti,
    /// A watched key had changed.
    WatchFailed,
    /// A waiting client was woken.
    Woke,
    /// A key was reserved for a woken client that did not come.
    ReservedInVain,
    /// A read had to wait for a pending write.
    ReadWaited,
    /// A write that may have been applied was given more time.
    WaitedOn,
    /// A log became shorter because entries were folded.
    Folded,
    /// A log grew past its bound.
    Overflowed,
    /// Two creations of a key met of which neither had kept its log from the start.
    UnitedCreations,
    /// A fork was merged that began before the start of the log: what it did counts as another creation of the key.
    MergedLate,
    /// It was not known any more what of a fork a key contains: the later writer has the whole key.
    DecidedForgotten,
    /// Two forks of a key could not be merged: the later writer took the whole key.
    DecidedWhole,
}

/// Counters per rule. Not part of a node's identity: two nodes that differ only here are equal.
#[derive(Clone, Debug)]
pub struct Tally([u64; Rule::ALL.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; Rule::ALL.len()])
    }
}

impl Tally {
    /// How often `rule` was used.
    pub fn of(&self, rule: Rule) -> u64 {
        self.0[rule as usize]
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(count, more)| *count += more);
    }

    pub(crate) fn add(&mut self, rule: Rule) {
        self.0[rule as usize] += 1;
    }
}

impl PartialEq for Tally {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Tally {}

impl Hash for Tally {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
