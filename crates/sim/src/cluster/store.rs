//! The store of a simulated node: abstract values, or the real ones of `swytch_store`.
//!
//! The real store knows the types that the server has so far, and plays with keys of these types only
//! ([`Profile::on_real_store`](super::Profile::on_real_store)). Requests and replies are the same either way, so are the
//! judges.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use swytch_cluster::{Aside, Blob, Entry, Executed, History, Key, MergeInput, Slot, Stamp, Values};
use swytch_merge::Object;
use swytch_store::{
    Absent, Changes, Editor, Elements, Event, Expiry, HashSeed, Keyspace, KeyspaceMut, List, Shards,
    Side as StoreSide,
};
use swytch_values::{Host, StoreValues, stored_key};

use super::values::{Operation, Payload, Payloads, Reply, SimUndo, SimValues, bytes, element, number};
use crate::check::model::{
    CounterInput, CounterOutput, ListInput, ListOutput, RegisterInput, RegisterOutput, Side,
};

/// Which store the nodes of a run have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// Abstract values of every type.
    #[default]
    Abstract,
    /// The keyspace of the server.
    Real,
}

/// The store of one node.
#[derive(Debug)]
pub enum Store {
    /// See [`StoreKind::Abstract`].
    Abstract(SimValues),
    /// See [`StoreKind::Real`].
    Real(Box<StoreValues<Commands>>),
}

/// Takes an execution back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Undo {
    /// On abstract values.
    Abstract(SimUndo),
    /// On the real store.
    Real(swytch_store::Undo),
}

impl Store {
    /// An empty store.
    pub fn new(kind: StoreKind, payloads: Payloads) -> Self {
        match kind {
            StoreKind::Abstract => Self::Abstract(SimValues::new(payloads)),
            StoreKind::Real => {
                let shards = Shards::new(4, 4, HashSeed::new([1, 2, 3]));
                Self::Real(Box::new(StoreValues::new(Arc::new(shards), Commands { payloads })))
            }
        }
    }

    fn payloads(&self) -> &Payloads {
        match self {
            Self::Abstract(values) => values.payloads(),
            Self::Real(values) => &values.host().payloads,
        }
    }

    /// The state of a key.
    pub fn object(&self, key: &Key) -> Option<Cow<'_, Object>> {
        match self {
            Self::Abstract(values) => values.object(key).map(Cow::Borrowed),
            Self::Real(values) => values.object(key).map(Cow::Owned),
        }
    }

    /// Changes that could not be used; there are none among nodes of one version.
    pub fn misfits(&self) -> u64 {
        match self {
            Self::Abstract(_) => 0,
            Self::Real(values) => values.misfits(),
        }
    }
}

fn wrap<A, U>(executed: Executed<A>, wrap: impl Fn(A) -> U) -> Executed<U> {
    let Executed { reply, effects, undo } = executed;
    let undo = undo.into_iter().map(|(index, undo)| (index, wrap(undo))).collect();
    Executed { reply, effects, undo }
}

impl Values for Store {
    type Undo = Undo;

    fn is_decided_once(&self, key: &Key) -> bool {
        self.payloads().is_decided_once(key)
    }

    fn share(&self, command: &Blob, index: usize) -> Option<Blob> {
        self.payloads().share(command, index)
    }

    fn join(&self, command: &Blob, replies: Vec<Blob>) -> Blob {
        self.payloads().join(command, &replies)
    }

    fn execute(&mut self, command: &Blob, keys: &[Key], stamp: Stamp) -> Executed<Undo> {
        match self {
            Self::Abstract(values) => wrap(values.execute(command, keys, stamp), Undo::Abstract),
            Self::Real(values) => wrap(values.execute(command, keys, stamp), Undo::Real),
        }
    }

    fn read(&self, command: &Blob, keys: &[Key], wall_ms: u64) -> Blob {
        match self {
            Self::Abstract(values) => values.read(command, keys, wall_ms),
            Self::Real(values) => values.read(command, keys, wall_ms),
        }
    }

    fn apply(&mut self, key: &Key, effect: &Blob, stamp: Stamp) {
        match self {
            Self::Abstract(values) => values.apply(key, effect, stamp),
            Self::Real(values) => values.apply(key, effect, stamp),
        }
    }

    fn undo(&mut self, key: &Key, undo: Undo) {
        match (self, undo) {
            (Self::Abstract(values), Undo::Abstract(undo)) => values.undo(key, undo),
            (Self::Real(values), Undo::Real(undo)) => values.undo(key, undo),
            (_, undo) => panic!("{undo:?} is of another store"),
        }
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        match self {
            Self::Abstract(values) => values.snapshot(key),
            Self::Real(values) => values.snapshot(key),
        }
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        match self {
            Self::Abstract(values) => values.install(key, snapshot),
            Self::Real(values) => values.install(key, snapshot),
        }
    }

    fn holds(&self, key: &Key) -> bool {
        match self {
            Self::Abstract(values) => values.holds(key),
            Self::Real(values) => values.holds(key),
        }
    }

    fn keys_in(&self, wanted: &dyn Fn(Slot) -> bool) -> Vec<Key> {
        match self {
            Self::Abstract(values) => values.keys_in(wanted),
            Self::Real(values) => values.keys_in(wanted),
        }
    }

    fn aside(&self) -> &Aside {
        match self {
            Self::Abstract(values) => values.aside(),
            Self::Real(values) => values.aside(),
        }
    }

    fn aside_mut(&mut self) -> &mut Aside {
        match self {
            Self::Abstract(values) => values.aside_mut(),
            Self::Real(values) => values.aside_mut(),
        }
    }

    fn ready(&self, key: &Key) -> bool {
        match self {
            Self::Abstract(values) => values.ready(key),
            Self::Real(values) => values.ready(key),
        }
    }

    fn expire(&self, key: &Key, wall_ms: u64) -> Option<Blob> {
        match self {
            Self::Abstract(values) => values.expire(key, wall_ms),
            Self::Real(values) => values.expire(key, wall_ms),
        }
    }

    fn delete(&self, key: &Key) -> Option<Blob> {
        match self {
            Self::Abstract(values) => values.delete(key),
            Self::Real(values) => values.delete(key),
        }
    }

    fn merge(&self, fork: &MergeInput<'_>) -> Vec<Blob> {
        match self {
            Self::Abstract(values) => values.merge(fork),
            Self::Real(values) => values.merge(fork),
        }
    }

    fn settle(&mut self, key: &Key, settled: History<'_>, rest: &[Entry]) {
        match self {
            Self::Abstract(values) => values.settle(key, settled, rest),
            Self::Real(values) => values.settle(key, settled, rest),
        }
    }

    fn fold(&self, key: &Key, log: History<'_>, stretch: Range<usize>) -> Option<Vec<Vec<Blob>>> {
        match self {
            Self::Abstract(values) => values.fold(key, log, stretch),
            Self::Real(values) => values.fold(key, log, stretch),
        }
    }

    fn detach(&self, key: &Key, batch: &[Entry]) -> Vec<Vec<Blob>> {
        match self {
            Self::Abstract(values) => values.detach(key, batch),
            Self::Real(values) => values.detach(key, batch),
        }
    }

    fn digest(&self, key: &Key) -> u64 {
        match self {
            Self::Abstract(values) => values.digest(key),
            Self::Real(values) => values.digest(key),
        }
    }
}

/// Runs the requests of the workloads on a keyspace.
#[derive(Debug)]
pub struct Commands {
    payloads: Payloads,
}

impl Commands {
    fn requests(&self, command: &[u8]) -> Vec<(usize, Operation)> {
        match self.payloads.get(&Blob::new(command)) {
            Payload::Command(requests) => requests,
            other => panic!("a command was expected: {other:?}"),
        }
    }

    fn reply(&self, replies: Vec<Reply>) -> Vec<u8> {
        self.payloads.put(Payload::Replies(replies)).bytes().to_vec()
    }
}

impl Host for Commands {
    fn execute(&mut self, command: &[u8], keys: &[Key], keyspace: &mut KeyspaceMut<'_, '_>) -> Vec<u8> {
        let requests = self.requests(command);
        let write = |(index, operation): &(usize, Operation)| run(operation, keyspace, &keys[*index]);
        let replies = requests.iter().map(write).collect();
        self.reply(replies)
    }

    fn read(&self, command: &[u8], keys: &[Key], keyspace: &Keyspace<'_>) -> Vec<u8> {
        let look = |(index, operation): &(usize, Operation)| look(operation, keyspace, &keys[*index]);
        self.reply(self.requests(command).iter().map(look).collect())
    }

    fn left(&mut self, mut left: Changes) {
        // One thread: nobody else is looking at it.
        drop(left.take_retired());
    }
}

/// A request that changes nothing.
fn look(operation: &Operation, keyspace: &Keyspace<'_>, key: &Key) -> Reply {
    let key = keyspace.key(u32::from(key.space().0), key.bytes());
    match operation {
        Operation::Register(RegisterInput::Read) => match keyspace.string(&key) {
            Ok(text) => Reply::Register(RegisterOutput::Value(text.map(|text| element(&text)))),
            Err(_) => Reply::WrongType,
        },
        Operation::Counter(CounterInput::Read) => match keyspace.string(&key) {
            Ok(text) => {
                let now = text.map_or(0, |text| number(&text).unwrap_or(i64::MIN));
                Reply::Counter(CounterOutput(now))
            }
            Err(_) => Reply::WrongType,
        },
        Operation::List(ListInput::Range) => match keyspace.get::<List>(&key) {
            Ok(list) => {
                let elements = list.map(|list| list.iter().map(element).collect()).unwrap_or_default();
                Reply::List(ListOutput::Range(elements))
            }
            Err(_) => Reply::WrongType,
        },
        Operation::List(ListInput::Length) => match keyspace.get::<List>(&key) {
            Ok(list) => Reply::List(ListOutput::Length(list.map_or(0, |list| list.len() as u64))),
            Err(_) => Reply::WrongType,
        },
        other => panic!("{other:?} is no read of a type that the store has"),
    }
}

fn run(operation: &Operation, keyspace: &mut KeyspaceMut<'_, '_>, name: &Key) -> Reply {
    let shards = keyspace.locked().shards();
    let key = stored_key(shards, name);
    let event = Event::string("set");
    match operation {
        Operation::Register(RegisterInput::Read)
        | Operation::Counter(CounterInput::Read)
        | Operation::List(ListInput::Range | ListInput::Length) => look(operation, keyspace, name),
        Operation::Register(input) => {
            let Ok(now) = keyspace.string(&key).map(|text| text.map(|text| element(&text))) else {
                return Reply::WrongType;
            };
            Reply::Register(run_register(*input, now, keyspace, &key))
        }
        Operation::WatchedWrite(_, value) => {
            if keyspace.string(&key).is_err() {
                return Reply::WrongType;
            }
            keyspace.set(&key, &bytes(*value), Expiry::Clear, event);
            Reply::Register(RegisterOutput::Done(true))
        }
        Operation::Counter(CounterInput::Add(delta)) => match keyspace.increment(&key, *delta) {
            Ok(sum) => Reply::Counter(CounterOutput(sum)),
            Err(_) => Reply::WrongType,
        },
        Operation::List(ListInput::Push(side, values)) => {
            let elements: Vec<Vec<u8>> = values.iter().map(|value| bytes(*value)).collect();
            let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
            let push = |list: &mut Editor<'_, List>| list.push(store_side(*side), Elements::Many(&elements));
            match keyspace.change(&key, Absent::Create, push) {
                Ok(length) => Reply::List(ListOutput::Length(length.unwrap_or(0) as u64)),
                Err(_) => Reply::WrongType,
            }
        }
        Operation::List(ListInput::Pop(side)) => {
            let mut popped = None;
            let pop = |list: &mut Editor<'_, List>| {
                list.pop(store_side(*side), 1, |taken| popped = Some(element(taken)))
            };
            match keyspace.change(&key, Absent::Leave, pop) {
                Ok(_) => Reply::List(ListOutput::Popped(popped)),
                Err(_) => Reply::WrongType,
            }
        }
        Operation::ExpireAt(deadline) => Reply::Done(keyspace.expire_at(&key, *deadline)),
        Operation::Set(input) => panic!("the store has no sets yet, and none is used: {input:?}"),
    }
}

fn store_side(side: Side) -> StoreSide {
    match side {
        Side::Left => StoreSide::Head,
        Side::Right => StoreSide::Tail,
    }
}

fn run_register(
    input: RegisterInput,
    now: Option<u64>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    key: &swytch_store::Key<'_>,
) -> RegisterOutput {
    use RegisterOutput::{Done, Value, Written};
    let write = |keyspace: &mut KeyspaceMut<'_, '_>, value: u64| {
        keyspace.set(key, &bytes(value), Expiry::Clear, Event::string("set"));
    };
    match input {
        RegisterInput::Read => Value(now),
        RegisterInput::Write(value) => {
            write(keyspace, value);
            Written
        }
        RegisterInput::WriteIfAbsent(value) => {
            if now.is_none() {
                write(keyspace, value);
            }
            Done(now.is_none())
        }
        RegisterInput::Swap(value) => {
            write(keyspace, value);
            Value(now)
        }
        RegisterInput::Take => {
            keyspace.delete(key);
            Value(now)
        }
        RegisterInput::Delete => Done(keyspace.delete(key)),
        RegisterInput::CompareAndSet(expected, value) => {
            if expected == now {
                write(keyspace, value);
            }
            Done(expected == now)
        }
    }
}
