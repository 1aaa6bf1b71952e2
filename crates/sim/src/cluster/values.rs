//! The store of a simulated node: abstract values with typed commands, behind the core's [`Values`] door.
//!
//! Blobs are eight bytes: a number in a table that all nodes of one simulation share, so nothing has to be encoded and
//! the core still sees only bytes. Each key keeps a short history of its states, because a merge starts from the state
//! at the fork; a real store keeps the base positions and undo information for that.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use swytch_cluster::merge::{
    Bytes, Dot, Effect, End, Forked, KeyLog, Kind, Object, Origin, Score, Side as ForkSide,
    Stamp as MergeStamp, Value,
};
use swytch_cluster::{Blob, Entry, Executed, Key, MergeInput, OpId, Stamp, Values, Version};

use crate::check::convergence::digest;
use crate::check::model::{
    CounterInput, CounterOutput, ListInput, ListOutput, RegisterInput, RegisterOutput, SetInput, SetOutput,
    Side,
};

/// States a key remembers; a fork older than that is merged as a whole key.
const HISTORY_MAX: usize = 2048;

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
    /// The outcome of a merge.
    Rebase(Rc<Rebase>),
    /// A whole key.
    Slot(Rc<Slot>),
}

/// What a merge hands to all replicas of the winner.
#[derive(Clone, Debug)]
pub struct Rebase {
    /// The key after the merge.
    state: Option<Object>,
    /// The state at the fork.
    base: Option<Object>,
    /// What the loser did.
    log: KeyLog,
    /// Every write the loser contains.
    seen: BTreeSet<Stamp>,
}

/// A key and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The key now.
    pub object: Option<Object>,
    /// The state before each write, by the write's stamp, oldest first.
    history: VecDeque<(Stamp, Option<Object>)>,
    /// Every write this value contains, also through merges.
    seen: BTreeSet<Stamp>,
}

impl Slot {
    /// The state before the write of that stamp, or the next one if that changed nothing here.
    fn before(&self, stamp: Stamp) -> Option<Object> {
        match self.history.iter().find(|(of, _)| *of >= stamp) {
            Some((_, before)) => before.clone(),
            None => self.object.clone(),
        }
    }

    /// The state where the writes begin that the other lacks; `None` if the two have no write in common.
    fn beyond(&self, other: &Self) -> Option<Option<Object>> {
        let first = self.seen.iter().find(|stamp| !other.seen.contains(*stamp));
        let Some(first) = first else { return Some(self.object.clone()) };
        (self.seen.range(..first).count() > 0).then(|| self.before(*first))
    }
}

/// The payloads of one simulation.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    table: Rc<RefCell<Vec<Payload>>>,
}

impl Payloads {
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

    fn effect(&self, effect: Effect) -> Blob {
        self.put(Payload::Effect(effect))
    }
}

/// The store of one node.
#[derive(Clone, Debug)]
pub struct SimValues {
    payloads: Payloads,
    slots: BTreeMap<Key, Slot>,
}

/// Takes an execution back: the state before, and the stamp of the execution.
pub type SimUndo = (Stamp, Option<Object>);

impl SimValues {
    /// An empty store.
    pub fn new(payloads: Payloads) -> Self {
        Self { payloads, slots: BTreeMap::new() }
    }

    /// The state of a key.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.slots.get(key)?.object.as_ref()
    }

    /// Every key with a value.
    pub fn objects(&self) -> impl Iterator<Item = (&Key, &Object)> {
        self.slots.iter().filter_map(|(key, slot)| Some((key, slot.object.as_ref()?)))
    }

    fn remember(&mut self, key: &Key, stamp: Stamp) -> &mut Slot {
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.history.back().is_none_or(|(last, _)| *last != stamp) {
            slot.history.push_back((stamp, slot.object.clone()));
            slot.seen.insert(stamp);
            if slot.history.len() > HISTORY_MAX {
                slot.history.pop_front();
            }
        }
        slot
    }
}

impl Values for SimValues {
    type Undo = SimUndo;

    fn execute(&mut self, command: &Blob, keys: &[Key], stamp: Stamp) -> Executed<SimUndo> {
        let Payload::Command(requests) = self.payloads.get(command) else {
            panic!("a command was expected");
        };
        let mut executed = Executed { reply: Blob::new(&[]), effects: Vec::new(), undo: Vec::new() };
        let mut replies = Vec::with_capacity(requests.len());
        for (index, operation) in &requests {
            let (reply, effects) = run(operation, self.object(&keys[*index]));
            for effect in effects {
                let before = self.object(&keys[*index]).cloned();
                let slot = self.remember(&keys[*index], stamp);
                effect.apply(&mut slot.object).expect("an effect fits the state it was made from");
                executed.undo.push((*index, (stamp, before)));
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

    fn apply(&mut self, key: &Key, effect: &Blob, stamp: Stamp) {
        let payload = self.payloads.get(effect);
        let slot = self.remember(key, stamp);
        match payload {
            Payload::Effect(effect) => {
                // A replica that is not equal to the owner is found by the digests; here it must not stop the run.
                let _ = effect.apply(&mut slot.object);
            }
            Payload::Rebase(rebase) => {
                slot.object = rebase.state.clone();
                slot.seen.extend(&rebase.seen);
            }
            other => panic!("an effect was expected: {other:?}"),
        }
    }

    fn undo(&mut self, key: &Key, (stamp, before): SimUndo) {
        let slot = self.slots.entry(key.clone()).or_default();
        slot.object = before;
        while slot.history.back().is_some_and(|(last, _)| *last >= stamp) {
            slot.history.pop_back();
        }
        slot.seen.remove(&stamp);
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        let slot = self.slots.get(key)?;
        slot.object.as_ref()?;
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

    fn ready(&self, key: &Key) -> bool {
        self.object(key).is_some()
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
        let current = self.object(fork.key).cloned();
        let loser_slot = fork.loser_value.map(|blob| match self.payloads.get(blob) {
            Payload::Slot(slot) => slot,
            other => panic!("a snapshot was expected: {other:?}"),
        });
        let loser_value = loser_slot.as_ref().and_then(|slot| slot.object.clone());
        let mut seen: BTreeSet<Stamp> = fork.loser.iter().map(|entry| entry.stamp).collect();
        seen.extend(loser_slot.iter().flat_map(|slot| &slot.seen));
        if fork.overflow {
            if fork.loser_stamp <= fork.winner_stamp {
                return Vec::new();
            }
            let rebase = Rebase { base: None, log: KeyLog::default(), state: loser_value, seen };
            return vec![self.payloads.put(Payload::Rebase(Rc::new(rebase)))];
        }
        let operations = |entries: &[Entry]| -> BTreeSet<OpId> {
            entries.iter().filter_map(|entry| Some(entry.origin.as_ref()?.id)).collect()
        };
        // An operation that was executed on both sides counts once: both logs call it by the same dot.
        let both = &operations(fork.winner) & &operations(fork.loser);
        let (base, mut winner, loser) = if fork.shared_base {
            let base = self.state_before(fork.key, fork.winner.iter().map(|entry| entry.stamp).min());
            let winner = self.replay(&base, fork.winner, &both);
            let loser = self.replay(&base, fork.loser, &both);
            (base, winner, loser)
        } else if let Some(state) = self.meet(fork.key, loser_slot.as_deref()) {
            let rebase = Rebase { state, base: None, log: KeyLog::default(), seen };
            return vec![self.payloads.put(Payload::Rebase(Rc::new(rebase)))];
        } else if fork.winner_from_birth && fork.loser_from_birth {
            (None, self.replay(&None, fork.winner, &both), self.replay(&None, fork.loser, &both))
        } else if fork.loser_from_birth {
            // All that the loser ever did, on top of a value that knows nothing of it.
            (current.clone(), Forked::new(current), self.replay(&None, fork.loser, &both))
        } else if fork.winner_from_birth {
            // The same the other way round.
            let mut result = Forked::new(loser_value.clone());
            result.merge(self.replay(&None, fork.winner, &both).log());
            let loser = rebuild(loser_value.as_ref(), fork.loser_stamp, 1);
            let (state, log) = (result.state().cloned(), loser.log().clone());
            let rebase = Rebase { state, base: None, log, seen };
            return vec![self.payloads.put(Payload::Rebase(Rc::new(rebase)))];
        } else {
            let winner = rebuild(current.as_ref(), fork.winner_stamp, 2);
            let loser = rebuild(loser_value.as_ref(), fork.loser_stamp, 1);
            (None, winner, loser)
        };
        winner.merge(loser.log());
        let rebase = Rebase { state: winner.state().cloned(), base, log: loser.log().clone(), seen };
        vec![self.payloads.put(Payload::Rebase(Rc::new(rebase)))]
    }

    fn digest(&self, key: &Key) -> u64 {
        digest(&self.object(key))
    }
}

impl SimValues {
    /// Two values of different births of which one contains the other up to its newest writes, because they had been
    /// merged before: those writes on top of the one that contains more.
    fn meet(&self, key: &Key, loser: Option<&Slot>) -> Option<Option<Object>> {
        let (winner, loser) = (self.slots.get(key)?, loser?);
        if let Some(before) = loser.beyond(winner) {
            return Some(applied(winner.object.clone(), before.as_ref(), loser.object.as_ref()));
        }
        let before = winner.beyond(loser)?;
        Some(applied(loser.object.clone(), before.as_ref(), winner.object.as_ref()))
    }

    fn state_before(&self, key: &Key, stamp: Option<Stamp>) -> Option<Object> {
        let slot = self.slots.get(key)?;
        stamp.map_or_else(|| slot.object.clone(), |stamp| slot.before(stamp))
    }

    /// A side of a fork, from its entries.
    fn replay(&self, base: &Option<Object>, entries: &[Entry], both: &BTreeSet<OpId>) -> Forked {
        let mut side = Forked::new(base.clone());
        for entry in entries {
            for (index, effect) in entry.effects.iter().enumerate() {
                let operation = entry.origin.as_ref().map(|origin| origin.id).filter(|id| both.contains(id));
                let origin = origin(entry.dot, operation, entry.stamp, index);
                match self.payloads.get(effect) {
                    Payload::Effect(effect) => {
                        let _ = side.apply(origin, &effect);
                    }
                    Payload::Rebase(rebase) if rebase.base == *base => {
                        side.merge(&rebase.log);
                    }
                    Payload::Rebase(rebase) => {
                        // A merge of a fork with another base: what it changed, as effects of its own.
                        for (number, effect) in
                            difference(side.state(), rebase.state.as_ref()).iter().enumerate()
                        {
                            let _ = side.apply(origin_of_part(origin, number), effect);
                        }
                    }
                    other => panic!("an effect was expected: {other:?}"),
                }
            }
        }
        side
    }
}

/// Effects per entry are few; the dots of a log need one number each.
const EFFECTS_PER_ENTRY: u64 = 1024;

fn origin(dot: Version, operation: Option<OpId>, stamp: Stamp, index: usize) -> Origin {
    let (side, number) = match operation {
        Some(id) => (ForkSide { generation: 0, epoch: id.counter, hash: u64::from(id.node.0) }, 0),
        None => {
            let (epoch, hash) = (dot.epoch.counter, u64::from(dot.epoch.proposer));
            (ForkSide { generation: dot.generation.0, epoch, hash }, dot.seq)
        }
    };
    let sequence = number * EFFECTS_PER_ENTRY + index as u64 + 1;
    let stamp =
        MergeStamp { physical_ms: stamp.wall_ms, logical: stamp.logical, node: u64::from(stamp.node.0) };
    Origin { dot: Dot { side, sequence }, stamp }
}

fn origin_of_part(origin: Origin, part: usize) -> Origin {
    Origin { dot: Dot { sequence: origin.dot.sequence + part as u64 + 1, ..origin.dot }, ..origin }
}

/// A value whose history is not shared, as if it had been made by one writer during the fork.
fn rebuild(object: Option<&Object>, stamp: Stamp, precedence: u64) -> Forked {
    let mut side = Forked::new(None);
    let stamp =
        MergeStamp { physical_ms: stamp.wall_ms, logical: stamp.logical, node: u64::from(stamp.node.0) };
    for (index, effect) in difference(None, object).iter().enumerate() {
        let side_of = ForkSide { generation: precedence, ..ForkSide::default() };
        let dot = Dot { side: side_of, sequence: index as u64 + 1 };
        let _ = side.apply(Origin { dot, stamp }, effect);
    }
    side
}

/// Effects that lead from one state to another.
fn difference(from: Option<&Object>, to: Option<&Object>) -> Vec<Effect> {
    let Some(to) = to else { return from.map(|_| Effect::Delete).into_iter().collect() };
    let mut effects = Vec::new();
    let from = from.map(|object| &object.value).filter(|value| value.kind() == to.value.kind());
    match (&to.value, from) {
        (Value::Set(to), from) => {
            let empty = BTreeSet::new();
            let from = if let Some(Value::Set(from)) = from { from } else { &empty };
            effects.extend(to.difference(from).cloned().map(Effect::SetAdd));
            effects.extend(from.difference(to).cloned().map(Effect::SetRemove));
        }
        (Value::List(to), from) => {
            let from: &[Bytes] = if let Some(Value::List(from)) = from { from } else { &[] };
            for index in (0..from.len()).rev() {
                if !to.contains(&from[index]) {
                    effects.push(Effect::ListRemove(index));
                }
            }
            let mut kept: Vec<&Bytes> = from.iter().filter(|element| to.contains(element)).collect();
            for (index, element) in to.iter().enumerate() {
                if kept.get(index) != Some(&element) {
                    let end = index >= kept.len();
                    kept.insert(index, element);
                    effects.push(if end {
                        Effect::ListPush(End::Tail, element.clone())
                    } else {
                        Effect::ListInsert(index, element.clone())
                    });
                }
            }
        }
        (Value::String(to), Some(Value::String(from))) => match (number(to), number(from)) {
            (Some(to), Some(from)) if to != from => effects.push(Effect::Add(to - from)),
            _ if to != from => effects.push(Effect::Set(to.clone())),
            _ => {}
        },
        (Value::String(to), _) => effects.push(Effect::Set(to.clone())),
        (Value::Hash(to), _) => {
            effects.extend(to.iter().map(|(field, value)| Effect::HashSet(field.clone(), value.clone())));
        }
        (Value::SortedSet(to), _) => {
            effects.extend(
                to.iter()
                    .map(|(member, score)| Effect::SortedSetPut(member.clone(), Score::new(score.get()))),
            );
        }
        (other, _) => unreachable!("the workloads make no {:?}", other.kind()),
    }
    if to.deadline_ms.is_some() {
        effects.push(Effect::ExpireAt(to.deadline_ms));
    }
    effects
}

/// The change from one state to another, carried over to a third; a list's elements are found by what they are.
fn applied(mut state: Option<Object>, before: Option<&Object>, after: Option<&Object>) -> Option<Object> {
    let list = |object: Option<&Object>| match object.map(|object| &object.value) {
        Some(Value::List(elements)) => Some(elements.clone()),
        None => Some(Vec::new()),
        _ => None,
    };
    if let (Some(own), Some(old), Some(new)) = (list(state.as_ref()), list(before), list(after)) {
        if own.is_empty() && old.is_empty() && new.is_empty() {
            return state;
        }
        let kept = own.iter().filter(|element| !old.contains(element) || new.contains(element));
        let added = new.iter().filter(|element| !old.contains(element) && !own.contains(element));
        let elements: Vec<Bytes> = kept.chain(added).cloned().collect();
        let deadline_ms = state.as_ref().and_then(|object| object.deadline_ms);
        return (!elements.is_empty()).then_some(Object { value: Value::List(elements), deadline_ms });
    }
    for effect in difference(before, after) {
        // What no longer fits has nothing left to act on.
        let _ = effect.apply(&mut state);
    }
    state
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn bytes(number: u64) -> Bytes {
    number.to_string().into_bytes()
}

fn element(bytes: &[u8]) -> u64 {
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
    use swytch_cluster::{Generation, NodeId, ViewId};

    /// One replica of one key, with the log a core would keep of it since the fork.
    struct Replica {
        values: SimValues,
        key: Key,
        entries: Vec<Entry>,
        epoch: ViewId,
        written: Stamp,
    }

    impl Replica {
        fn new(payloads: &Payloads, epoch: u64) -> Self {
            Self {
                values: SimValues::new(payloads.clone()),
                key: Key::new(b"key"),
                entries: Vec::new(),
                epoch: ViewId { counter: epoch, proposer: 0 },
                written: Stamp::default(),
            }
        }

        fn entry(&mut self, effects: Vec<Blob>, rebase: bool) {
            let seq = self.entries.len() as u64 + 1;
            let dot = Version { generation: Generation(1), epoch: self.epoch, seq };
            self.entries.push(Entry { dot, stamp: self.written, effects, origin: None, rebase });
        }

        fn tick(&mut self) -> Stamp {
            let node = NodeId(self.epoch.counter as u8);
            self.written = Stamp { wall_ms: self.written.wall_ms + 10, logical: 0, node };
            self.written
        }

        fn run(&mut self, operation: Operation) -> Reply {
            let stamp = self.tick();
            let payloads = self.values.payloads.clone();
            let command = payloads.put(Payload::Command(vec![(0, operation)]));
            let executed = self.values.execute(&command, std::slice::from_ref(&self.key), stamp);
            self.entry(executed.effects.into_iter().map(|(_, effect)| effect).collect(), false);
            payloads.replies(&executed.reply).remove(0)
        }

        fn merge(&mut self, loser: &Replica, shared_base: bool) {
            let value = loser.values.snapshot(&self.key);
            let effects = self.values.merge(&MergeInput {
                key: &self.key,
                winner: &self.entries,
                loser: &loser.entries,
                known: &vec![false; loser.entries.len()],
                winner_from_birth: false,
                loser_from_birth: false,
                loser_value: value.as_ref().filter(|_| !shared_base),
                shared_base,
                overflow: false,
                winner_stamp: self.written,
                loser_stamp: loser.written,
            });
            let stamp = self.tick();
            for effect in &effects {
                self.values.apply(&self.key.clone(), effect, stamp);
            }
            self.entry(effects, true);
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
        a.merge(&b, true);
        c.merge(&b, true);
        a.run(add(1000));
        c.merge(&a, true);
        assert_eq!(c.counter(), Reply::Counter(CounterOutput(1111)));
    }

    #[test]
    fn values_without_a_shared_base_are_united() {
        let payloads = Payloads::default();
        let (mut a, mut b) = (Replica::new(&payloads, 1), Replica::new(&payloads, 2));
        a.run(Operation::Set(SetInput::Add(1)));
        b.run(Operation::Set(SetInput::Add(2)));
        a.merge(&b, false);
        let members = a.run(Operation::Set(SetInput::Members));
        assert_eq!(members, Reply::Set(SetOutput::Members(BTreeSet::from([1, 2]))));
    }
}
