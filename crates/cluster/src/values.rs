//! What the core asks of the values it replicates, without knowing a single data type.
//!
//! Commands, effects, replies and snapshots are [`Blob`]s: the store on the other side of [`Values`] gives them
//! meaning. A store must be deterministic: the same effects in the same order give the same value on every node.
//! Neighbours: `write` runs commands and applies effects, `regroup` installs snapshots, `heal` asks for merges.

use std::fmt::Debug;
use std::hash::Hash;

use crate::ids::{Blob, OpId, Stamp, Version};
use crate::key::Key;

/// A store of values as the protocol sees it.
pub trait Values {
    /// What takes one executed command back on one key. Never leaves the node.
    type Undo: Clone + Eq + Hash + Debug;

    /// Runs a write command and applies it at once. An effect or an undo names its key by index into `keys`.
    /// No effects means that nothing changed.
    fn execute(&mut self, command: &Blob, keys: &[Key], stamp: Stamp) -> Executed<Self::Undo>;

    /// Runs a command that changes nothing.
    fn read(&self, command: &Blob, keys: &[Key], wall_ms: u64) -> Blob;

    /// Applies an effect another node (or a merge) produced.
    fn apply(&mut self, key: &Key, effect: &Blob, stamp: Stamp);

    /// Takes an executed command back. Undos of a batch come in the reverse order of execution.
    fn undo(&mut self, key: &Key, undo: Self::Undo);

    /// The whole value with all that later merges need; `None` when the key is absent.
    fn snapshot(&self, key: &Key) -> Option<Blob>;

    /// Replaces the value by a snapshot, or removes the key.
    fn install(&mut self, key: &Key, snapshot: Option<&Blob>);

    /// Whether a client blocked on the key could be served now.
    fn ready(&self, key: &Key) -> bool;

    /// The effect that deletes the key, when its time to live is over at `wall_ms`.
    fn expire(&self, key: &Key, wall_ms: u64) -> Option<Blob>;

    /// The effect that deletes the key, when it exists: the eviction of a last copy.
    fn delete(&self, key: &Key) -> Option<Blob>;

    /// Effects that carry a losing fork into the value this store holds (the winner's).
    fn merge(&self, fork: &MergeInput<'_>) -> Vec<Blob>;

    /// A digest of the value, equal exactly when the values are.
    fn digest(&self, key: &Key) -> u64;
}

/// The outcome of a command run at the owner.
#[derive(Clone, Debug)]
pub struct Executed<U> {
    /// What the client is told once the batch is safe.
    pub reply: Blob,
    /// Deterministic effects, in order: (index into the command's keys, effect).
    pub effects: Vec<(usize, Blob)>,
    /// What takes the effects back, in the order of execution.
    pub undo: Vec<(usize, U)>,
}

/// One ordered step in the history of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Where it stands.
    pub dot: Version,
    /// When it was ordered, for merges.
    pub stamp: Stamp,
    /// What it does to the key.
    pub effects: Vec<Blob>,
    /// The client operation it came from, if it came from one.
    pub origin: Option<EntryOp>,
    /// Set when the entry is the outcome of a merge (a rebase) and not a client's write.
    pub rebase: bool,
}

/// The operation behind an entry: what makes a retry idempotent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryOp {
    /// Its name.
    pub id: OpId,
    /// Every operation of that node below this counter is answered; its record may go.
    pub floor: u64,
    /// What the client is told; empty while no other node can ask.
    pub reply: Blob,
}

/// A fork to be merged into the value the store holds.
#[derive(Clone, Debug)]
pub struct MergeInput<'a> {
    /// The key.
    pub key: &'a Key,
    /// What the winner did since the point both histories have in common.
    pub winner: &'a [Entry],
    /// What the loser did since that point.
    pub loser: &'a [Entry],
    /// Per entry of `loser`: the winner contains it already, by an earlier merge or because the same operation was
    /// also executed there.
    pub known: &'a [bool],
    /// The winner's log starts where the key came into being.
    pub winner_from_birth: bool,
    /// The loser's log starts where the key came into being.
    pub loser_from_birth: bool,
    /// The loser's whole value: present unless `shared_base` holds and no log overflowed.
    pub loser_value: Option<&'a Blob>,
    /// Both logs start from the same value (possibly from an absent key).
    pub shared_base: bool,
    /// A log grew past its bound and was dropped: the later writer takes the whole key.
    pub overflow: bool,
    /// The winner's last write.
    pub winner_stamp: Stamp,
    /// The loser's last write.
    pub loser_stamp: Stamp,
}
