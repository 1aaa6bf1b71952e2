//! The store as the cluster's protocol sees it: [`swytch_cluster::Values`] over the real types of [`swytch_store`].
//!
//! The store knows nothing of the protocol and the protocol nothing of Redis's types; this crate is where they meet. A
//! command runs in a [`Host`] under the locks of its keys, its effects become ops in their [wire form](wire), and what it
//! overwrote becomes its undo. Forks are merged by `swytch_merge`.
//!
//! Invariants: a change leads the store and the abstract state of merging to the same value; the state where a key's
//! log starts can be told as long as the log has entries (`start`); nothing that a peer sends stops the node: bytes
//! that are no op are left out and counted ([`StoreValues::misfits`]).

mod hash;
mod key;
mod list;
mod object;
mod recorder;
mod set;
mod sorted_set;
mod start;
mod stream;
mod string;
mod types;
pub mod wire;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use swytch_cluster::{
    Aside, Blob, Entry, Executed, History, Key, MergeBy, MergeInput, Slot, Space, Stamp, Values,
};
use swytch_merge::{Line, Object, detached, fold_log, merge_logs, state_at};
use swytch_store::{
    Changes, EntryRef, KeyOp, Keyspace, KeyspaceMut, LockScope, Misfit, Op, OwnedEntry, Shards, Sink, Undo,
    UnixMs, Value,
};

pub use object::Snapshot;

use key::replacing;
use object::{entry_of, object_of};
use recorder::{Recorder, Undos};
use start::Start;
use wire::InMerges;

/// What runs commands, and takes what they leave behind.
pub trait Host {
    /// Runs a command that may write to these keys, and gives its reply.
    fn execute(&mut self, command: &[u8], keys: &[Key], keyspace: &mut KeyspaceMut<'_, '_>) -> Vec<u8>;

    /// Runs a command that changes nothing.
    fn read(&self, command: &[u8], keys: &[Key], keyspace: &Keyspace<'_>) -> Vec<u8>;

    /// Takes what a change has left: memory to free when no reader can look at it any more.
    fn left(&mut self, left: Changes);
}

/// The keyspace of one node of a cluster: a database of the store for each space that keys may lie in.
#[derive(Debug)]
pub struct StoreValues<H> {
    shards: Arc<Shards>,
    host: H,
    /// Keys whose log has entries.
    starts: HashMap<Key, Start>,
    misfits: u64,
    aside: Aside,
    /// The latest time seen, for the access clocks of what comes from other nodes.
    now_ms: UnixMs,
}

impl<H: Host> StoreValues<H> {
    /// The values of a keyspace.
    pub fn new(shards: Arc<Shards>, host: H) -> Self {
        Self { shards, host, starts: HashMap::new(), misfits: 0, aside: Aside::default(), now_ms: 0 }
    }

    /// How many changes and snapshots could not be used: bytes that are none, or did not fit the key they came to. More
    /// than none means that a peer runs another version, or a bug.
    pub fn misfits(&self) -> u64 {
        self.misfits
    }

    /// What runs the commands.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// A key now, be it expired or not.
    pub fn entry(&self, key: &Key) -> Option<OwnedEntry> {
        self.view(key, |keyspace, key| keyspace.stored(key).map(OwnedEntry::of))
    }

    /// A key now, as merging sees it.
    pub fn object(&self, key: &Key) -> Option<Object> {
        self.entry(key).as_ref().map(object_of)
    }

    fn view<R>(&self, key: &Key, look: impl FnOnce(&Keyspace<'_>, &swytch_store::Key<'_>) -> R) -> R {
        let key = stored_key(&self.shards, key);
        let locked = self.shards.lock_one(self.shards.shard_of(&key));
        look(&Keyspace::new(locked, 0), &key)
    }

    /// Changes one key without looking at expiries: whoever orders the key has done so.
    fn change<R>(
        &mut self,
        key: &Key,
        sink: Option<&mut dyn Sink>,
        change: impl FnOnce(&mut KeyspaceMut<'_, '_>, &swytch_store::Key<'_>) -> R,
    ) -> R {
        let shards = Arc::clone(&self.shards);
        let key = stored_key(&shards, key);
        let locked = shards.lock_one(shards.shard_of(&key));
        let view = Keyspace::new(locked, self.now_ms).ignoring_expiry(true);
        let mut keyspace = KeyspaceMut::new(view, sink);
        let result = change(&mut keyspace, &key);
        let (view, left) = keyspace.finish();
        drop(view);
        self.host.left(left);
        result
    }

    /// Notes a change for the start of the key's log.
    fn note(&mut self, key: &Key, change: &Blob, undos: Vec<Undo>) {
        let start = match self.starts.get_mut(key) {
            Some(start) => start,
            None => self.starts.entry(key.clone()).or_default(),
        };
        start.step(change, undos);
        if !start.is_to_compare() {
            return;
        }
        let memory = |entry: EntryRef<'_>| entry.memory_bytes();
        let value_bytes = self.view(key, |keyspace, key| keyspace.stored(key).map_or(0, memory));
        if self.starts.get_mut(key).is_some_and(|start| start.outgrows(value_bytes)) {
            let state = self.start(key);
            self.starts.insert(key.clone(), Start::at(state));
        }
    }

    /// The state where the log of a key starts.
    fn start(&self, key: &Key) -> Option<OwnedEntry> {
        let now = self.entry(key);
        match self.starts.get(key) {
            Some(start) => start.state(now),
            None => now,
        }
    }

    fn decode_snapshot(&mut self, blob: Option<&Blob>) -> Snapshot {
        let nothing = Snapshot { now: None, start: None };
        let Some(blob) = blob else { return nothing };
        Snapshot::decode(blob.bytes()).unwrap_or_else(|_| {
            self.misfits += 1;
            nothing
        })
    }
}

impl<H: Host> Values for StoreValues<H> {
    type Undo = Undo;

    fn execute(&mut self, command: &Blob, keys: &[Key], stamp: Stamp) -> Executed<Undo> {
        self.now_ms = self.now_ms.max(stamp.wall_ms);
        let mut recorder = Recorder::new(keys);
        let shards = Arc::clone(&self.shards);
        let view = Keyspace::new(shards.lock(scope(&shards, keys)), stamp.wall_ms);
        let mut keyspace = KeyspaceMut::new(view, Some(&mut recorder));
        let reply = self.host.execute(command.bytes(), keys, &mut keyspace).into();
        let (view, left) = keyspace.finish();
        drop(view);
        self.host.left(left);
        let mut executed = Executed { reply, effects: Vec::new(), undo: Vec::new() };
        for recorded in recorder.recorded {
            let (index, key) = (recorded.index, &keys[recorded.index]);
            self.note(key, &recorded.change, vec![recorded.undo.clone()]);
            executed.undo.push((index, recorded.undo));
            executed.effects.push((index, recorded.change));
        }
        executed
    }

    fn read(&self, command: &Blob, keys: &[Key], wall_ms: UnixMs) -> Blob {
        let locked = self.shards.lock(scope(&self.shards, keys));
        self.host.read(command.bytes(), keys, &Keyspace::new(locked, wall_ms)).into()
    }

    fn apply(&mut self, key: &Key, effect: &Blob, stamp: Stamp) {
        self.now_ms = self.now_ms.max(stamp.wall_ms);
        let mut undos = Undos::default();
        let apply = |op: &Op<'_>| self.change(key, Some(&mut undos), |keyspace, key| op.apply(keyspace, key));
        let fits = wire::read(effect.bytes(), apply).unwrap_or(Err(Misfit));
        self.misfits += u64::from(fits.is_err());
        self.note(key, effect, undos.0);
    }

    fn undo(&mut self, key: &Key, undo: Undo) {
        self.change(key, None, |keyspace, key| keyspace.undo(key, &undo));
        if self.starts.get_mut(key).is_some_and(|start| start.step_back(&undo)) {
            self.starts.remove(key);
        }
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        let now = self.entry(key);
        let start = self.starts.get(key).map(|start| start.state(now.clone()));
        (now.is_some() || start.is_some()).then(|| Snapshot { now, start }.blob())
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        let snapshot = self.decode_snapshot(snapshot);
        self.change(key, None, |keyspace, key| keyspace.restore(key, snapshot.now.as_ref()));
        match snapshot.start {
            Some(start) => self.starts.insert(key.clone(), Start::at(start)),
            None => self.starts.remove(key),
        };
    }

    fn holds(&self, key: &Key) -> bool {
        self.view(key, |keyspace, key| keyspace.stored(key).is_some())
    }

    fn keys_in(&self, wanted: &dyn Fn(Slot) -> bool) -> Vec<Key> {
        let keyspace = Keyspace::new(self.shards.lock(LockScope::All), 0);
        let names = (0..keyspace.databases()).flat_map(|space| {
            let of_space = keyspace.stored_entries(space).map(|entry| Key::new(entry.key()));
            of_space.map(move |key| key.in_space(Space(space as u16)))
        });
        let mut keys: Vec<Key> = names.filter(|key| wanted(key.slot())).collect();
        keys.sort_unstable();
        keys
    }

    fn aside(&self) -> &Aside {
        &self.aside
    }

    fn aside_mut(&mut self) -> &mut Aside {
        &mut self.aside
    }

    fn ready(&self, key: &Key) -> bool {
        self.view(key, |keyspace, key| {
            keyspace.stored(key).is_some_and(|entry| matches!(entry.value(), Value::Collection(_)))
        })
    }

    fn expire(&self, key: &Key, wall_ms: UnixMs) -> Option<Blob> {
        self.view(key, |keyspace, key| {
            let entry = keyspace.stored(key)?;
            match entry.expire_at_ms() {
                Some(at_ms) if at_ms <= wall_ms => Some(wire::blob(&Op::Key(KeyOp::Delete))),
                _ => hash::expired(entry.value(), wall_ms),
            }
        })
    }

    fn delete(&self, key: &Key) -> Option<Blob> {
        self.holds(key).then(|| wire::blob(&Op::Key(KeyOp::Delete)))
    }

    fn merge(&self, fork: &MergeInput<'_>) -> Vec<Blob> {
        match fork.by {
            MergeBy::Whole { value } => {
                let snapshot = value.and_then(|blob| Snapshot::decode(blob.bytes()).ok());
                let now = snapshot.and_then(|snapshot| snapshot.now);
                vec![wire::blob(&Op::Key(replacing(now.as_ref())))]
            }
            MergeBy::Logs { ours, our_version, theirs, their_version } => {
                let now = self.object(fork.key);
                let start = self.start(fork.key).as_ref().map(object_of);
                let ours = Line { start: start.as_ref(), log: ours };
                let merged = merge_logs(&InMerges, ours, our_version, theirs, their_version);
                debug_assert_eq!(merged.ours, now, "the log of {:?} does not lead to its value", fork.key);
                if merged.both == now {
                    return Vec::new();
                }
                let both = merged.both.and_then(entry_of);
                vec![wire::blob(&Op::Key(replacing(both.as_ref())))]
            }
        }
    }

    fn settle(&mut self, key: &Key, settled: History<'_>, rest: &[Entry]) {
        let Some(start) = self.starts.get_mut(key) else { return };
        let Some(last) = settled.entries.last().filter(|_| !rest.is_empty()) else {
            self.starts.remove(key);
            return;
        };
        if start.advance(changes(settled.entries), changes(rest)) {
            return;
        }
        let from = self.start(key).as_ref().map(object_of);
        let state = state_at(&InMerges, Line { start: from.as_ref(), log: settled }, last.dot);
        self.starts.insert(key.clone(), Start::at(state.and_then(entry_of)));
    }

    fn fold(&self, key: &Key, log: History<'_>, stretch: Range<usize>) -> Option<Vec<Vec<Blob>>> {
        let start = self.start(key).as_ref().map(object_of);
        fold_log(&InMerges, Line { start: start.as_ref(), log }, stretch)
    }

    fn detach(&self, key: &Key, batch: &[Entry]) -> Vec<Vec<Blob>> {
        detached(&InMerges, self.object(key).as_ref(), batch)
    }

    fn digest(&self, key: &Key) -> u64 {
        let mut bytes = Vec::new();
        object::put_content(self.entry(key).as_ref(), &mut bytes);
        // FNV-1a.
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// The changes of entries, in order.
fn changes(entries: &[Entry]) -> impl Iterator<Item = &Blob> {
    entries.iter().flat_map(|entry| &entry.effects)
}

/// A key as the store knows it.
pub fn stored_key<'k>(shards: &Shards, key: &'k Key) -> swytch_store::Key<'k> {
    shards.key(u32::from(key.space().0), key.bytes())
}

/// The locks of a command's keys.
fn scope(shards: &Shards, keys: &[Key]) -> LockScope {
    LockScope::of(keys.iter().map(|key| shards.shard_of_name(key.bytes())).collect())
}
