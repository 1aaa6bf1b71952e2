//! Abstract values with typed commands, behind the core's [`Values`] door.
//!
//! Blobs are eight bytes: a number in a table that all nodes of one simulation share, so nothing has to be encoded and
//! the core still sees only bytes. Each key keeps the state where its log starts, and a merge replays the graph of
//! entries from there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use swytch_cluster::{Aside, Blob, Entry, Executed, History, Key, MergeBy, MergeInput, Space, Stamp, Values};
use swytch_merge::{
    Bytes, Effect, End, Kind, Line, Meaning, Object, Value, detached, fold_log, merge_logs, state_at,
};

use crate::check::convergence::digest;
use crate::check::model::{
    CounterInput, CounterOutput, ListInput, ListOutput, RegisterInput, RegisterOutput, SetInput, SetOutput,
    Side,
};

/// One request on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// On a string used as a register.
    Register(RegisterInput),
    /// On a counter.
    Counter(CounterInput),
    /// On a set.
    Set(SetInput),
    /// On a list.
    List(ListInput),
    /// PEXPIREAT.
    ExpireAt(u64),
    /// SET after a WATCH that saw the first value: whatever is there is overwritten, so that only the watch can make
    /// it a compare-and-set.
    WatchedWrite(Option<u64>, u64),
}

/// Its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// See [`Operation::Register`].
    Register(RegisterOutput),
    /// See [`Operation::Counter`].
    Counter(CounterOutput),
    /// See [`Operation::Set`].
    Set(SetOutput),
    /// See [`Operation::List`].
    List(ListOutput),
    /// Whether the key was there.
    Done(bool),
    /// The key holds another type.
    WrongType,
}

/// What a blob stands for.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Requests, each with an index into the command's keys.
    Command(Vec<(usize, Operation)>),
    /// One reply for each request.
    Replies(Vec<Reply>),
    /// A primitive change.
    Effect(Effect),
    /// The outcome of a merge: the key after it.
    Merged(Rc<Option<Object>>),
    /// A whole key.
    Slot(Rc<Slot>),
}

/// A key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The key now.
    pub object: Option<Object>,
    /// The state where the core's log of it starts, when that is another one.
    start: Option<Option<Object>>,
}

impl Slot {
    fn start(&self) -> &Option<Object> {
        self.start.as_ref().unwrap_or(&self.object)
    }
}

/// The payloads of one simulation, and which of its keys are decided once.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    table: Rc<RefCell<Vec<Payload>>>,
    decided: Rc<BTreeSet<Key>>,
}

impl Payloads {
    /// None yet. Keys of one name are decided once in all spaces.
    pub fn new(decided: BTreeSet<Key>) -> Self {
        Self { decided: Rc::new(decided), ..Self::default() }
    }

    /// Whether all writes on the key are decided once.
    pub fn is_decided_once(&self, key: &Key) -> bool {
        self.decided.contains(&key.in_space(Space(0)))
    }

    /// The blob of a payload.
    pub fn put(&self, payload: Payload) -> Blob {
        let mut table = self.table.borrow_mut();
        table.push(payload);
        Blob::new(&(table.len() as u64 - 1).to_be_bytes())
    }

    /// The payload of a blob.
    ///
    /// # Panics
    /// If the blob was not made by this table: the core changed bytes it must not look into.
    pub fn get(&self, blob: &Blob) -> Payload {
        let bytes: [u8; 8] = blob.bytes().try_into().expect("a blob comes back as it was given");
        self.table.borrow()[u64::from_be_bytes(bytes) as usize].clone()
    }

    /// The replies in a blob.
    ///
    /// # Panics
    /// If it holds something else.
    pub fn replies(&self, blob: &Blob) -> Vec<Reply> {
        match self.get(blob) {
            Payload::Replies(replies) => replies,
            other => panic!("a reply was expected: {other:?}"),
        }
    }

    /// What a command does to one of its keys.
    pub fn share(&self, command: &Blob, index: usize) -> Option<Blob> {
        let Payload::Command(requests) = self.get(command) else { return None };
        let of_key = requests.into_iter().filter(|(key, _)| *key == index);
        Some(self.put(Payload::Command(of_key.map(|(_, operation)| (0, operation)).collect())))
    }

    /// The replies to a command's requests, of those for each of its keys.
    pub fn join(&self, command: &Blob, replies: &[Blob]) -> Blob {
        let Payload::Command(requests) = self.get(command) else { panic!("a command was expected") };
        let mut of_keys: Vec<_> = replies.iter().map(|replies| self.replies(replies).into_iter()).collect();
        let replies = requests.iter().map(|(key, _)| of_keys[*key].next().expect("a reply to each request"));
        self.put(Payload::Replies(replies.collect()))
    }

    fn effect(&self, effect: Effect) -> Blob {
        self.put(Payload::Effect(effect))
    }
}

/// The store of one node.
#[derive(Clone, Debug)]
pub struct SimValues {
    payloads: Payloads,
    slots: BTreeMap<Key, Slot>,
    aside: Aside,
}

/// Takes an execution back: the state before.
pub type SimUndo = Option<Object>;

impl SimValues {
    /// An empty store.
    pub fn new(payloads: Payloads) -> Self {
        Self { payloads, slots: BTreeMap::new(), aside: Aside::default() }
    }

    /// What its blobs stand for.
    pub fn payloads(&self) -> &Payloads {
        &self.payloads
    }

    /// The state of a key.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.slots.get(key)?.object.as_ref()
    }

    /// The slot of a key that is about to change.
    fn changing(&mut self, key: &Key) -> &mut Slot {
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.start.is_none() {
            slot.start = Some(slot.object.clone());
        }
        slot
    }
}

impl Values for SimValues {
    type Undo = SimUndo;

    fn execute(&mut self, command: &Blob, keys: &[Key], _: Stamp) -> Executed<SimUndo> {
        let Payload::Command(requests) = self.payloads.get(command) else {
            panic!("a command was expected");
        };
        let mut executed = Executed { reply: Blob::new(&[]), effects: Vec::new(), undo: Vec::new() };
        let mut replies = Vec::with_capacity(requests.len());
        for (index, operation) in &requests {
            let (reply, effects) = run(operation, self.object(&keys[*index]));
            for effect in effects {
                let before = self.object(&keys[*index]).cloned();
                let slot = self.changing(&keys[*index]);
                effect.apply(&mut slot.object).expect("an effect fits the state it was made from");
                executed.undo.push((*index, before));
                executed.effects.push((*index, self.payloads.effect(effect)));
            }
            replies.push(reply);
        }
        executed.reply = self.payloads.put(Payload::Replies(replies));
        executed
    }

    fn read(&self, command: &Blob, keys: &[Key], _wall_ms: u64) -> Blob {
        let Payload::Command(requests) = self.payloads.get(command) else {
            panic!("a command was expected");
        };
        let replies = requests
            .iter()
            .map(|(index, operation)| {
                let (reply, effects) = run(operation, self.object(&keys[*index]));
                assert!(effects.is_empty(), "a read changed something");
                reply
            })
            .collect();
        self.payloads.put(Payload::Replies(replies))
    }

    fn apply(&mut self, key: &Key, effect: &Blob, _: Stamp) {
        let payload = self.payloads.get(effect);
        let slot = self.changing(key);
        match payload {
            Payload::Effect(effect) => {
                // A replica that is not equal to the owner is found by the digests; here it must not stop the run.
                let _ = effect.apply(&mut slot.object);
            }
            Payload::Merged(state) => slot.object = (*state).clone(),
            other => panic!("an effect was expected: {other:?}"),
        }
    }

    fn undo(&mut self, key: &Key, before: SimUndo) {
        self.slots.entry(key.clone()).or_default().object = before;
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        let slot = self.slots.get(key)?;
        if slot.object.is_none() && slot.start.is_none() {
            return None;
        }
        Some(self.payloads.put(Payload::Slot(Rc::new(slot.clone()))))
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        match snapshot.map(|blob| self.payloads.get(blob)) {
            Some(Payload::Slot(slot)) => {
                self.slots.insert(key.clone(), (*slot).clone());
            }
            Some(other) => panic!("a snapshot was expected: {other:?}"),
            None => {
                self.slots.remove(key);
            }
        }
    }

    fn holds(&self, key: &Key) -> bool {
        self.object(key).is_some()
    }

    fn keys_in(&self, wanted: &dyn Fn(swytch_cluster::key::Slot) -> bool) -> Vec<Key> {
        let held = self.slots.iter().filter(|(key, slot)| slot.object.is_some() && wanted(key.slot()));
        held.map(|(key, _)| key.clone()).collect()
    }

    fn aside(&self) -> &Aside {
        &self.aside
    }

    fn aside_mut(&mut self) -> &mut Aside {
        &mut self.aside
    }

    fn ready(&self, key: &Key) -> bool {
        self.holds(key)
    }

    fn expire(&self, key: &Key, wall_ms: u64) -> Option<Blob> {
        let deadline = self.object(key)?.deadline_ms?;
        (deadline <= wall_ms).then(|| self.payloads.effect(Effect::Delete))
    }

    fn delete(&self, key: &Key) -> Option<Blob> {
        self.object(key)?;
        Some(self.payloads.effect(Effect::Delete))
    }

    fn merge(&self, fork: &MergeInput<'_>) -> Vec<Blob> {
        let untouched = Slot::default();
        let slot = self.slots.get(fork.key).unwrap_or(&untouched);
        let state = match fork.by {
            MergeBy::Whole { value } => value.and_then(|blob| match self.payloads.get(blob) {
                Payload::Slot(slot) => slot.object.clone(),
                other => panic!("a snapshot was expected: {other:?}"),
            }),
            MergeBy::Logs { ours, our_version, theirs, their_version } => {
                let ours = Line { start: slot.start().as_ref(), log: ours };
                let merged = merge_logs(self, ours, our_version, theirs, their_version);
                assert_eq!(merged.ours, slot.object, "the log of {:?} does not lead to its value", fork.key);
                merged.both
            }
        };
        vec![self.payloads.put(Payload::Merged(Rc::new(state)))]
    }

    fn settle(&mut self, key: &Key, settled: History<'_>, rest: &[Entry]) {
        let Some(slot) = self.slots.get(key) else { return };
        let start = match settled.entries.last() {
            Some(last) if !rest.is_empty() => {
                Some(state_at(self, Line { start: slot.start().as_ref(), log: settled }, last.dot))
            }
            _ => None,
        };
        if let Some(slot) = self.slots.get_mut(key) {
            slot.start = start;
        }
    }

    fn fold(&self, key: &Key, log: History<'_>, stretch: Range<usize>) -> Option<Vec<Vec<Blob>>> {
        let start = self.slots.get(key).and_then(|slot| slot.start().as_ref());
        fold_log(self, Line { start, log }, stretch)
    }

    fn detach(&self, key: &Key, batch: &[Entry]) -> Vec<Vec<Blob>> {
        detached(self, self.object(key), batch)
    }

    fn digest(&self, key: &Key) -> u64 {
        digest(&self.object(key))
    }
}

impl Meaning for SimValues {
    fn effects(&self, blob: &Blob, _: Option<&Object>) -> Vec<Effect> {
        match self.payloads.get(blob) {
            Payload::Effect(effect) => vec![effect],
            other => panic!("an effect was expected: {other:?}"),
        }
    }

    fn start(&self, snapshot: &Blob) -> Option<Object> {
        match self.payloads.get(snapshot) {
            Payload::Slot(slot) => slot.start().clone(),
            other => panic!("a snapshot was expected: {other:?}"),
        }
    }

    fn blob(&self, effect: &Effect) -> Blob {
        self.payloads.put(Payload::Effect(effect.clone()))
    }
}

pub(super) fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn bytes(number: u64) -> Bytes {
    number.to_string().into_bytes()
}

pub(super) fn element(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// What an operation replies on a state, and what it does to it.
fn run(operation: &Operation, object: Option<&Object>) -> (Reply, Vec<Effect>) {
    let value = object.map(|object| &object.value);
    let wanted = match operation {
        Operation::Register(_) | Operation::Counter(_) | Operation::WatchedWrite(..) => Some(Kind::String),
        Operation::Set(_) => Some(Kind::Set),
        Operation::List(_) => Some(Kind::List),
        Operation::ExpireAt(_) => None,
    };
    if value.is_some_and(|value| wanted.is_some_and(|wanted| value.kind() != wanted)) {
        return (Reply::WrongType, Vec::new());
    }
    match operation {
        Operation::Register(input) => {
            let text = match value {
                Some(Value::String(text)) => Some(element(text)),
                _ => None,
            };
            let (reply, effects) = run_register(*input, text);
            (Reply::Register(reply), effects)
        }
        Operation::Counter(input) => {
            let now = match value {
                Some(Value::String(text)) => number(text).unwrap_or(i64::MIN),
                _ => 0,
            };
            match input {
                CounterInput::Read => (Reply::Counter(CounterOutput(now)), Vec::new()),
                CounterInput::Add(delta) => {
                    (Reply::Counter(CounterOutput(now + delta)), vec![Effect::Add(*delta)])
                }
            }
        }
        Operation::Set(input) => {
            let empty = BTreeSet::new();
            let members = if let Some(Value::Set(members)) = value { members } else { &empty };
            let (reply, effects) = run_set(*input, members);
            (Reply::Set(reply), effects)
        }
        Operation::List(input) => {
            let elements: &[Bytes] = if let Some(Value::List(elements)) = value { elements } else { &[] };
            let (reply, effects) = run_list(input, elements);
            (Reply::List(reply), effects)
        }
        Operation::WatchedWrite(_, value) => {
            (Reply::Register(RegisterOutput::Done(true)), vec![Effect::Set(bytes(*value))])
        }
        Operation::ExpireAt(deadline) => match object {
            Some(_) => (Reply::Done(true), vec![Effect::ExpireAt(Some(*deadline))]),
            None => (Reply::Done(false), Vec::new()),
        },
    }
}

fn run_register(input: RegisterInput, now: Option<u64>) -> (RegisterOutput, Vec<Effect>) {
    use RegisterOutput::{Done, Value, Written};
    let write = |value: u64| vec![Effect::Set(bytes(value))];
    match input {
        RegisterInput::Read => (Value(now), Vec::new()),
        RegisterInput::Write(value) => (Written, write(value)),
        RegisterInput::WriteIfAbsent(value) if now.is_none() => (Done(true), write(value)),
        RegisterInput::WriteIfAbsent(_) => (Done(false), Vec::new()),
        RegisterInput::Swap(value) => (Value(now), write(value)),
        RegisterInput::Take => (Value(now), now.map(|_| Effect::Delete).into_iter().collect()),
        RegisterInput::Delete => (Done(now.is_some()), now.map(|_| Effect::Delete).into_iter().collect()),
        RegisterInput::CompareAndSet(expected, value) if expected == now => (Done(true), write(value)),
        RegisterInput::CompareAndSet(..) => (Done(false), Vec::new()),
    }
}

fn run_set(input: SetInput, members: &BTreeSet<Bytes>) -> (SetOutput, Vec<Effect>) {
    match input {
        SetInput::Add(member) => {
            let member = bytes(member);
            (SetOutput::Done(!members.contains(&member)), vec![Effect::SetAdd(member)])
        }
        SetInput::Remove(member) => {
            let member = bytes(member);
            let found = members.contains(&member);
            (SetOutput::Done(found), found.then_some(Effect::SetRemove(member)).into_iter().collect())
        }
        SetInput::Contains(member) => (SetOutput::Done(members.contains(&bytes(member))), Vec::new()),
        SetInput::Pop => match members.first() {
            Some(member) => {
                (SetOutput::Popped(Some(element(member))), vec![Effect::SetRemove(member.clone())])
            }
            None => (SetOutput::Popped(None), Vec::new()),
        },
        SetInput::Members => {
            (SetOutput::Members(members.iter().map(|member| element(member)).collect()), Vec::new())
        }
        SetInput::Count => (SetOutput::Count(members.len() as u64), Vec::new()),
    }
}

fn run_list(input: &ListInput, elements: &[Bytes]) -> (ListOutput, Vec<Effect>) {
    match input {
        ListInput::Push(side, values) => {
            let end = if *side == Side::Left { End::Head } else { End::Tail };
            let effects = values.iter().map(|value| Effect::ListPush(end, bytes(*value))).collect();
            (ListOutput::Length((elements.len() + values.len()) as u64), effects)
        }
        ListInput::Pop(side) => {
            let index = if *side == Side::Left { 0 } else { elements.len().saturating_sub(1) };
            match elements.get(index) {
                Some(popped) => (ListOutput::Popped(Some(element(popped))), vec![Effect::ListRemove(index)]),
                None => (ListOutput::Popped(None), Vec::new()),
            }
        }
        ListInput::Range => {
            (ListOutput::Range(elements.iter().map(|popped| element(popped)).collect()), Vec::new())
        }
        ListInput::Length => (ListOutput::Length(elements.len() as u64), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swytch_cluster::{Generation, NodeId, Step, Version, ViewId};

    /// One replica of one key, with the log a core would keep of it since the fork.
    struct Replica {
        values: SimValues,
        key: Key,
        entries: Vec<Entry>,
        epoch: ViewId,
        version: Version,
        since: Stamp,
        written: Stamp,
    }

    impl Replica {
        fn new(payloads: &Payloads, epoch: u64) -> Self {
            Self {
                values: SimValues::new(payloads.clone()),
                key: Key::new(b"key"),
                entries: Vec::new(),
                epoch: ViewId::new(epoch, NodeId(0)),
                version: Version::default(),
                since: Stamp::default(),
                written: Stamp::default(),
            }
        }

        fn entry(&mut self, effects: Vec<Blob>, step: Step) {
            let prior = self.version;
            self.version = Version { generation: Generation(1), epoch: self.epoch, seq: prior.seq + 1 };
            let (dot, stamp) = (self.version, self.written);
            self.entries.push(Entry { dot, prior, stamp, effects, origin: None, step });
        }

        fn tick(&mut self) -> Stamp {
            let node = NodeId(self.epoch.counter() as u8);
            self.written = Stamp { wall_ms: self.written.wall_ms + 10, logical: 0, node };
            self.written
        }

        fn run(&mut self, operation: Operation) -> Reply {
            let stamp = self.tick();
            let payloads = self.values.payloads.clone();
            let command = payloads.put(Payload::Command(vec![(0, operation)]));
            let executed = self.values.execute(&command, std::slice::from_ref(&self.key), stamp);
            self.entry(executed.effects.into_iter().map(|(_, effect)| effect).collect(), Step::Write);
            payloads.replies(&executed.reply).remove(0)
        }

        fn merge(&mut self, other: &Replica) {
            let known = |entry: &&Entry| self.entries.iter().all(|own| own.dot != entry.dot);
            let theirs: Vec<Entry> = other.entries.iter().filter(known).cloned().collect();
            let by = MergeBy::Logs {
                ours: History { since: self.since, entries: &self.entries },
                our_version: self.version,
                theirs: &theirs,
                their_version: other.version,
            };
            let effects = self.values.merge(&MergeInput { key: &self.key, by });
            let stamp = self.tick();
            for effect in &effects {
                self.values.apply(&self.key.clone(), effect, stamp);
            }
            self.entries.extend(theirs);
            self.entry(effects, Step::Merge(other.version));
        }

        /// Everyone has the first `count` entries.
        fn settle(&mut self, count: usize) {
            let settled: Vec<Entry> = self.entries.drain(..count).collect();
            let since = self.since;
            self.since = settled.last().map_or(since, |last| last.stamp);
            self.values.settle(&self.key.clone(), History { since, entries: &settled }, &self.entries);
        }

        fn counter(&mut self) -> Reply {
            self.run(Operation::Counter(CounterInput::Read))
        }
    }

    fn add(delta: i64) -> Operation {
        Operation::Counter(CounterInput::Add(delta))
    }

    #[test]
    fn an_execution_can_be_undone() {
        let mut replica = Replica::new(&Payloads::default(), 1);
        replica.run(add(5));
        let before = replica.values.slots.clone();
        let stamp = replica.tick();
        let command = replica.values.payloads.put(Payload::Command(vec![(0, add(1)), (0, add(2))]));
        let executed = replica.values.execute(&command, &[replica.key.clone()], stamp);
        assert_ne!(replica.values.slots, before);
        for (_, undo) in executed.undo.into_iter().rev() {
            replica.values.undo(&replica.key.clone(), undo);
        }
        assert_eq!(replica.values.slots, before);
    }

    #[test]
    fn forks_of_forks_count_every_increment_once() {
        let payloads = Payloads::default();
        let (mut a, mut b, mut c) =
            (Replica::new(&payloads, 1), Replica::new(&payloads, 2), Replica::new(&payloads, 3));
        a.run(add(1));
        b.run(add(10));
        c.run(add(100));
        // b reaches both others, and both carry it into the last merge.
        a.merge(&b);
        c.merge(&b);
        a.run(add(1000));
        c.merge(&a);
        assert_eq!(c.counter(), Reply::Counter(CounterOutput(1111)));
    }

    #[test]
    fn another_creation_of_the_key_adds_to_a_settled_start() {
        let payloads = Payloads::default();
        let (mut a, mut b, mut c) =
            (Replica::new(&payloads, 1), Replica::new(&payloads, 2), Replica::new(&payloads, 3));
        a.run(add(1));
        a.run(add(10));
        b.run(add(100));
        c.merge(&b);
        a.settle(1);
        a.merge(&b);
        a.run(add(1000));
        a.settle(1);
        // c has nothing that a lacks, whatever was settled in between.
        a.merge(&c);
        assert_eq!(a.counter(), Reply::Counter(CounterOutput(1111)));
    }

    /// Of two creations of a register the later write stays, whoever merges and whatever is settled.
    #[test]
    fn another_creation_of_the_key_overwrites_only_what_is_older() {
        for later in [false, true] {
            let payloads = Payloads::default();
            let (mut a, mut b) = (Replica::new(&payloads, 1), Replica::new(&payloads, 2));
            let set = |number| Operation::Register(RegisterInput::Write(number));
            b.written.wall_ms = if later { 100 } else { 0 };
            a.run(set(1));
            a.run(set(2));
            b.run(set(3));
            a.settle(2);
            a.merge(&b);
            let value = RegisterOutput::Value(Some(if later { 3 } else { 2 }));
            assert_eq!(a.run(Operation::Register(RegisterInput::Read)), Reply::Register(value));
        }
    }
}
