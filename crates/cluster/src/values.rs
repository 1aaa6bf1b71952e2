//! What the core asks of the values it replicates, without knowing a single data type.
//!
//! Commands, effects, replies and snapshots are [`Blob`]s: the store on the other side of [`Values`] gives them
//! meaning. A store must be deterministic: the same effects in the same order give the same value on every node.
//! Neighbours: `write` runs commands and applies effects, `regroup` installs snapshots, `heal` asks for merges.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Range;

use crate::ids::{Blob, OpId, Stamp, Version};
use crate::key::{Key, Mark, Slot};

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

    /// Whether the key exists.
    fn holds(&self, key: &Key) -> bool;

    /// All keys of the wanted slots that exist, in order.
    fn keys_in(&self, wanted: &dyn Fn(Slot) -> bool) -> Vec<Key>;

    /// Keys of the wanted slots that exist, in the order of their marks from one on: as many as wanted, if there are, and all
    /// that stand where the last one does. A store had better keep its keys in this order: then nothing looks at all of them.
    fn keys_from(&self, first: Mark, wanted: &dyn Fn(Slot) -> bool, count: usize) -> Vec<Key> {
        let mut keys = self.keys_in(&|slot| slot >= first.slot && wanted(slot));
        keys.retain(|key| key.mark() >= first);
        keys.sort_by_key(Key::mark);
        some_of(keys.iter(), count)
    }

    /// Whether a twin of the key exists ([`Key::is_twin_of`]). Asked for whenever a key goes, so a store had better find it
    /// by slot and hash.
    fn holds_twin(&self, key: &Key) -> bool {
        self.keys_in(&|slot| slot == key.slot()).iter().any(|other| other.is_twin_of(key))
    }

    /// Takes all keys of the wanted slots out of the store and keeps them aside under this number, with all that later merges
    /// need; of the `recorded` ones there may be more than a value. A store had better do so at once, however many they are.
    fn set_aside(
        &mut self,
        number: u64,
        wanted: &dyn Fn(Slot) -> bool,
        recorded: &mut dyn Iterator<Item = &Key>,
    ) {
        let mut keys = self.keys_in(wanted);
        keys.extend(recorded.cloned());
        for key in keys {
            let snapshot = self.snapshot(&key);
            self.install(&key, None);
            if let Some(snapshot) = snapshot {
                self.aside_mut().keep(number, key, snapshot);
            }
        }
    }

    /// Whether a value of the key is kept under this number.
    fn holds_aside(&self, number: u64, key: &Key) -> bool {
        self.aside().holds(number, key)
    }

    /// The whole value that was kept, as of [`Self::snapshot`], which goes by that.
    fn take_aside(&mut self, number: u64, key: &Key) -> Option<Blob> {
        self.aside_mut().take(number, key)
    }

    /// As [`Self::keys_from`], of what is kept.
    fn keys_aside(&self, number: u64, first: Mark, count: usize) -> Vec<Key> {
        self.aside().keys_from(number, first, count)
    }

    /// Nobody will ask for what is kept under this number.
    fn forget_aside(&mut self, number: u64) {
        self.aside_mut().forget(number);
    }

    /// What is kept aside, for a store that keeps it so.
    fn aside(&self) -> &Aside;

    /// As [`Self::aside`].
    fn aside_mut(&mut self) -> &mut Aside;

    /// What a write on several keys does to one of them, by its index, as a command for that key alone; nothing if it cannot go
    /// for each key by itself. What can are DEL, UNLINK and MSET.
    fn share(&self, command: &Blob, index: usize) -> Option<Blob> {
        let _ = (command, index);
        None
    }

    /// The reply to such a write, of the replies for each key in their order.
    fn join(&self, command: &Blob, replies: Vec<Blob>) -> Blob {
        let _ = command;
        replies.into_iter().next().unwrap_or_else(|| Blob::new(b""))
    }

    /// Whether all writes on the key are decided once, of whatever class they are (`cluster-decide-once`). All nodes are to
    /// say the same; where they do not, writes are decided once that come from a node that says so, or are ordered by one.
    fn is_decided_once(&self, key: &Key) -> bool {
        let _ = key;
        false
    }

    /// Whether a client blocked on the key could be served now.
    fn ready(&self, key: &Key) -> bool;

    /// The effect that deletes the key, when its time to live is over at `wall_ms`.
    fn expire(&self, key: &Key, wall_ms: u64) -> Option<Blob>;

    /// The effect that deletes the key, when it exists: the eviction of a last copy.
    fn delete(&self, key: &Key) -> Option<Blob>;

    /// Effects that carry a fork into the value this store holds.
    fn merge(&self, fork: &MergeInput<'_>) -> Vec<Blob>;

    /// The log of a key does not reach back beyond these entries any more: every holder has them. `rest` of the log
    /// remains. A store that keeps the state at the start of the log, for merges, moves it on.
    fn settle(&mut self, key: &Key, settled: History<'_>, rest: &[Entry]) {
        let _ = (key, settled, rest);
    }

    /// Shortens a stretch of a key's log: gives the effects that its entries are to have from now on, entry by entry,
    /// or `None` to leave them.
    ///
    /// `log` is the key's log; `stretch` are plain writes of one view, each on top of the one before, that no copy
    /// anywhere holds in part, of operations that ran nowhere else. An entry left without effects goes. What remains
    /// must take every state and every merge, now and later, to where all the entries would take it; it still stands
    /// under the dots and stamps of its entries.
    fn fold(&self, key: &Key, log: History<'_>, stretch: Range<usize>) -> Option<Vec<Vec<Blob>>> {
        let _ = (key, log, stretch);
        None
    }

    /// The effects of a batch in doubt, entry by entry, in a form that can follow on any later state of the key. The key
    /// is in the state that the batch was made for, which may be forgotten before the batch is settled.
    fn detach(&self, key: &Key, batch: &[Entry]) -> Vec<Vec<Blob>> {
        let _ = key;
        batch.iter().map(|entry| entry.effects.clone()).collect()
    }

    /// A digest of the value, equal exactly when the values are.
    fn digest(&self, key: &Key) -> u64;
}

/// Whole values that a store keeps aside, by the number and the place of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Aside(BTreeMap<u64, BTreeMap<(Mark, Key), Blob>>);

impl Aside {
    fn keep(&mut self, number: u64, key: Key, snapshot: Blob) {
        self.0.entry(number).or_default().insert((key.mark(), key), snapshot);
    }

    fn holds(&self, number: u64, key: &Key) -> bool {
        self.0.get(&number).is_some_and(|kept| kept.contains_key(&(key.mark(), key.clone())))
    }

    fn take(&mut self, number: u64, key: &Key) -> Option<Blob> {
        self.0.get_mut(&number)?.remove(&(key.mark(), key.clone()))
    }

    fn keys_from(&self, number: u64, first: Mark, count: usize) -> Vec<Key> {
        let Some(kept) = self.0.get(&number) else { return Vec::new() };
        let kept = kept.range((first, Key::new(b""))..).map(|((_, key), _)| key);
        some_of(kept, count)
    }

    fn forget(&mut self, number: u64) {
        self.0.remove(&number);
    }
}

/// The first keys of some that come in the order of their marks: as many as wanted, and all that stand where the last one
/// does.
pub fn some_of<'a>(keys: impl Iterator<Item = &'a Key>, count: usize) -> Vec<Key> {
    let mut some: Vec<Key> = Vec::new();
    for key in keys {
        if some.len() >= count && some.last().is_none_or(|last| last.mark() != key.mark()) {
            break;
        }
        some.push(key.clone());
    }
    some
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

/// A key's log as its store is shown it.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// When the state where it starts was written last. What another creation of the key has overwritten before, without
    /// having seen that state, does not overwrite it.
    pub since: Stamp,
    /// In order.
    pub entries: &'a [Entry],
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
    /// The version it was ordered on top of.
    pub prior: Version,
    /// What kind of step it is.
    pub step: Step,
}

impl Entry {
    /// Its stamp, if it is more than a change of subscribers.
    pub(crate) fn written(&self) -> Stamp {
        let is_write = self.step != Step::Write || !self.effects.is_empty();
        if is_write { self.stamp } else { Stamp::default() }
    }
}

/// Kinds of steps in a key's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A write.
    Write,
    /// The outcome of a merge that took in the fork of that version: the effects carry the value at [`Entry::prior`]
    /// into the merged one.
    Merge(Version),
    /// All that another creation of the key consists of up to here, of which nothing but the value is known. The one
    /// effect is a snapshot; what counts of it is the state where its own log started.
    Start,
}

/// The operation behind an entry: what makes a retry idempotent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryOp {
    /// Its name.
    pub id: OpId,
    /// Every operation of that node below this counter is answered; its record may go.
    pub floor: u64,
    /// Its origin had sent it to an owner in an earlier view already: it may have run there as well.
    pub exposed: bool,
    /// What the client is told; empty while no other node can ask.
    pub reply: Blob,
    /// How many keys it has changed.
    pub keys: u32,
}

/// A fork to be merged into the value the store holds.
#[derive(Clone, Debug)]
pub struct MergeInput<'a> {
    /// The key.
    pub key: &'a Key,
    /// How.
    pub by: MergeBy<'a>,
}

/// How a fork is merged.
///
/// Both logs together are a graph: each entry names the version it was ordered on top of and, if it is a merge, the
/// version that it took in ([`Step`]). An entry whose [`Entry::prior`] is in neither log was ordered on top of the state where
/// this store's log starts ([`Values::settle`]), or, if that prior has the seq 0, on top of the absence of the key: it
/// belongs to another creation of the key and has seen nothing of what this log starts from.
///
/// Two entries with one [`EntryOp::id`] are one operation that ran twice and counts once.
#[derive(Clone, Copy, Debug)]
pub enum MergeBy<'a> {
    /// By what both sides did.
    Logs {
        /// This store's log.
        ours: History<'a>,
        /// The version of the value that this store holds.
        our_version: Version,
        /// What the fork contains and `ours` and the state it starts from do not; an operation that is also part of
        /// that state comes without effects.
        theirs: &'a [Entry],
        /// The version of the fork.
        their_version: Version,
    },
    /// A log is missing, and the fork has the later write: its value takes the place of this one.
    Whole {
        /// The fork's value; `None`: absent.
        value: Option<&'a Blob>,
    },
}
