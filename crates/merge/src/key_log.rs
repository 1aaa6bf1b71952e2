//! The log of one forked key: what its type logs hold, when each type was created, and the deadline.

use std::collections::BTreeMap;

use crate::cell::{Cell, Follow, Tally, join_cells, keep_later_cells};
use crate::dot::{Context, Dot, Origin, Side, Stamp, survives};
use crate::effect::{Effect, parse_integer};
use crate::sequence::Sequence;
use crate::stream_log::StreamLog;
use crate::string_log::StringFollow;
use crate::value::{Bytes, Kind, Object, Score, Value};

/// For each register the highest rank each side raised it to, as far as nobody has overwritten it knowingly.
type Registers = BTreeMap<u16, BTreeMap<Side, (u64, u8)>>;

/// Everything that happened to one key since a fork, in a form that can be joined. See the module's head.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct KeyLog {
    context: Context,
    /// The whole base was overwritten or deleted by someone.
    base_gone: bool,
    creations: BTreeMap<Dot, (Kind, Stamp)>,
    deadline: Option<(Stamp, Option<u64>)>,
    string: Cell<Bytes, StringFollow>,
    hash: BTreeMap<Bytes, Cell<Bytes, Tally<i128>>>,
    set: BTreeMap<Bytes, Cell<(), ()>>,
    sorted_set: BTreeMap<Bytes, Cell<Score, Tally<Score>>>,
    list: Sequence,
    stream: StreamLog,
    registers: Registers,
    /// Set when the bound was reached, or by what cannot be merged: the whole key, of those sides the last writer's.
    whole: Option<(Stamp, Option<Object>)>,
}

/// What has to be known of the visible state before an effect.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    /// The key was there.
    pub(crate) existed: bool,
    /// Of a ZINCRBY: so was the member.
    pub(crate) was_member: bool,
}

/// What a merge had to give up, for INFO. All of it is in the table of docs/cluster-merge.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Losses {
    /// Types that lost a type clash.
    pub type_clashes: u64,
    /// Overwrites of a cell that lost to a later one.
    pub overwritten: u64,
    /// Cells whose increments found no number.
    pub increments_dropped: u64,
    /// Stream entries hidden by another one with the same identifier.
    pub entries_hidden: u64,
    /// 1 if the key was decided whole: a log had overflowed, or something cannot be merged.
    pub whole_key: u64,
}

impl KeyLog {
    /// How much it holds, in cells.
    pub fn size(&self) -> usize {
        self.string.size()
            + self.hash.values().map(Cell::size).sum::<usize>()
            + self.set.values().map(Cell::size).sum::<usize>()
            + self.sorted_set.values().map(Cell::size).sum::<usize>()
            + self.list.size()
            + self.stream.size()
            + self.registers.values().map(BTreeMap::len).sum::<usize>()
    }

    /// What it has seen.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// True once it was decided whole.
    pub fn is_overflowed(&self) -> bool {
        self.whole.is_some()
    }

    /// From now on the key is decided whole: this is its state after the write of that stamp.
    pub(crate) fn record_whole(&mut self, stamp: Stamp, state: Option<Object>) {
        self.whole = Some((stamp, state));
    }

    /// Logs an effect that took the visible state to `after`.
    pub(crate) fn record(
        &mut self,
        origin: Origin,
        effect: &Effect,
        base: Option<&Object>,
        before: Before,
        after: Option<&Object>,
    ) {
        self.context.observe(origin.dot);
        let Some(after) = after else {
            // Deleted, or its last member went: whatever else was hidden below goes as well.
            self.remove_all(base);
            self.deadline = Some((origin.stamp, None));
            return;
        };
        if let Effect::Set(bytes) = effect {
            return self.record_set(origin, base, bytes.clone(), None);
        }
        if !before.existed {
            self.creations.insert(origin.dot, (after.value.kind(), origin.stamp));
            self.deadline = Some((origin.stamp, None));
            self.stream.begin();
        }
        match effect {
            Effect::Set(_) | Effect::Delete => unreachable!("recorded above"),
            Effect::ListTake(..) => unreachable!("located before it is recorded"),
            Effect::ExpireAt(deadline) => self.deadline = Some((origin.stamp, *deadline)),
            Effect::Add(_) | Effect::Append(_) | Effect::SetBit(..) => {
                self.record_string(origin, effect, base, after);
            }
            Effect::HashSet(field, value) => {
                self.hash.entry(field.clone()).or_default().write(origin, value.clone());
            }
            Effect::HashDelete(field) => self.hash.entry(field.clone()).or_default().remove(),
            Effect::HashAdd(field, delta) => {
                let cell = self.hash.entry(field.clone()).or_default();
                cell.follow_mut().add(origin.dot, i128::from(*delta));
            }
            Effect::SetAdd(member) => self.set.entry(member.clone()).or_default().write(origin, ()),
            Effect::SetRemove(member) => self.set.entry(member.clone()).or_default().remove(),
            Effect::SortedSetPut(member, score) => {
                self.sorted_set.entry(member.clone()).or_default().write(origin, *score);
            }
            Effect::SortedSetAdd(member, delta) => {
                let cell = self.sorted_set.entry(member.clone()).or_default();
                // On an absent member ZINCRBY is a ZADD: an increment then follows a value, never nothing.
                if before.was_member {
                    cell.follow_mut().add(origin.dot, *delta);
                } else {
                    cell.write(origin, *delta);
                }
            }
            Effect::SortedSetRemove(member) => self.sorted_set.entry(member.clone()).or_default().remove(),
            Effect::ListPush(end, element) => self.list.push(origin, *end, element.clone()),
            Effect::ListInsert(index, element) => {
                self.list.insert(origin, list_length(base), *index, element.clone());
            }
            Effect::ListRemove(index) => self.list.remove_at(list_length(base), *index),
            Effect::ListSet(index, element) => {
                self.list.replace_at(origin, list_length(base), *index, element.clone());
            }
            Effect::StreamAdd(id, fields) => self.stream.add(origin, *id, fields.clone()),
            Effect::StreamDelete(id, is_deletion) => self.stream.delete(origin, *id, *is_deletion),
            Effect::StreamMark(..) => unreachable!("recorded whole"),
            Effect::GroupCreate(name, start) => {
                self.stream.create_group(origin, name.clone(), *start);
                if let Value::Stream(stream) = &after.value {
                    self.stream.touch(origin, stream.last_id);
                }
            }
            Effect::GroupDestroy(name) => self.stream.destroy_group(name),
            Effect::GroupDeliver(name, id, consumer) => {
                self.stream.deliver(origin, name, *id, consumer.clone());
            }
            Effect::GroupAcknowledge(name, id) => self.stream.acknowledge(name, *id),
            Effect::HyperLogLogRaise(register, rank) => {
                let ranks = self.registers.entry(*register).or_default();
                // Logged also where it raises nothing: it must survive a concurrent DEL of what made it needless.
                let own = ranks.get(&origin.dot.side).map_or(*rank, |(_, own)| *rank.max(own));
                ranks.retain(|_, (_, known)| *known > own);
                ranks.insert(origin.dot.side, (origin.dot.sequence, own));
            }
        }
    }

    fn record_set(&mut self, origin: Origin, base: Option<&Object>, bytes: Bytes, deadline_ms: Option<u64>) {
        self.remove_all(base);
        self.string.write(origin, bytes);
        self.creations.insert(origin.dot, (Kind::String, origin.stamp));
        self.deadline = Some((origin.stamp, deadline_ms));
    }

    /// Bits come before increments, increments before appended text; what does not fit is a SET of the result.
    fn record_string(&mut self, origin: Origin, effect: &Effect, base: Option<&Object>, after: &Object) {
        if self.is_set_of_result(effect) {
            if let Value::String(bytes) = &after.value {
                self.record_set(origin, base, bytes.clone(), after.deadline_ms);
            }
            return;
        }
        let follow = self.string.follow_mut();
        match effect {
            Effect::SetBit(offset, bit) => follow.set_bit(origin, *offset, *bit),
            Effect::Add(delta) => follow.increments.add(origin.dot, i128::from(*delta)),
            Effect::Append(text) => follow.appended.push(origin, crate::effect::End::Tail, text.clone()),
            other => unreachable!("{other:?} is not an effect on a string"),
        }
    }

    /// Whether an effect on a string comes after one that it would have to come before.
    pub(crate) fn is_set_of_result(&self, effect: &Effect) -> bool {
        let mixed = self.string.winner().is_some() && self.string.base_follow.is_live();
        let follow = self.string.follow();
        match effect {
            Effect::SetBit(..) => mixed || follow.increments.is_live() || follow.appended.is_live(),
            Effect::Add(_) => mixed || follow.appended.is_live(),
            Effect::Append(_) => mixed,
            _ => false,
        }
    }

    /// Whether a SET is visible, so that what follows belongs to it.
    pub(crate) fn has_set(&self) -> bool {
        self.string.winner().is_some()
    }

    fn remove_all(&mut self, base: Option<&Object>) {
        self.base_gone = true;
        self.creations.clear();
        self.string.remove();
        self.hash.values_mut().for_each(Cell::remove);
        self.set.values_mut().for_each(Cell::remove);
        self.sorted_set.values_mut().for_each(Cell::remove);
        self.registers.clear();
        match base.map(|object| &object.value) {
            Some(Value::List(elements)) => self.list.remove_all(elements.len()),
            _ => self.list.remove_all(0),
        }
        match base.map(|object| &object.value) {
            Some(Value::Stream(stream)) => self.stream.remove_all(Some(stream)),
            _ => self.stream.remove_all(None),
        }
    }

    /// Takes in another log of the same base. Commutative, associative, idempotent.
    pub fn join(&mut self, other: &Self) {
        let (mine, theirs) = (self.context.clone(), &other.context);
        self.base_gone |= other.base_gone;
        self.creations.retain(|dot, _| survives(*dot, other.creations.contains_key(dot), theirs));
        for (dot, creation) in &other.creations {
            if !mine.covers(*dot) {
                self.creations.insert(*dot, *creation);
            }
        }
        self.deadline = self.deadline.max(other.deadline);
        self.string.join(&mine, &other.string, theirs);
        join_cells(&mut self.hash, &mine, &other.hash, theirs);
        join_cells(&mut self.set, &mine, &other.set, theirs);
        join_cells(&mut self.sorted_set, &mine, &other.sorted_set, theirs);
        self.list.join(&mine, &other.list, theirs);
        self.stream.join(&mine, &other.stream, theirs);
        join_registers(&mut self.registers, &mine, &other.registers, theirs);
        if let Some((stamp, state)) = &other.whole
            && self.whole.as_ref().is_none_or(|(own, _)| own < stamp)
        {
            self.whole = Some((*stamp, state.clone()));
        }
        self.context.join(theirs);
    }

    /// The log of a side that started from an absent key, for a base that this side has never seen and that was last written
    /// at `since`: what it says about its own base does not hold for that one, and what it has written before does not
    /// overwrite it.
    #[must_use]
    pub fn unrelated(&self, base: &Object, since: Stamp) -> Self {
        let mut log = self.clone();
        log.base_gone = false;
        log.deadline = log.deadline.filter(|(at, deadline)| deadline.is_some() && *at > since);
        log.keep_later(&base.value, since);
        log.string.base_gone = false;
        log.hash.values_mut().for_each(|cell| cell.base_gone = false);
        log.set.values_mut().for_each(|cell| cell.base_gone = false);
        log.sorted_set.values_mut().for_each(|cell| cell.base_gone = false);
        log.list.forget_base();
        log.stream.forget_base();
        log
    }

    /// Takes out what was written where the base has something as well, and earlier.
    fn keep_later(&mut self, base: &Value, since: Stamp) {
        let earlier =
            |kind: Kind| kind != base.kind() && self.created(kind).is_some_and(|created| created <= since);
        let clashes: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| earlier(*kind)).collect();
        for kind in clashes {
            self.forget_kind(kind);
        }
        match base {
            Value::String(text) => {
                self.string.keep_later(since);
                self.string.base_follow.keep_later_bits(text.len(), since);
            }
            Value::Hash(fields) => {
                keep_later_cells(&mut self.hash, |field| fields.contains_key(field), since)
            }
            Value::SortedSet(members) => {
                keep_later_cells(&mut self.sorted_set, |member| members.contains_key(member), since);
            }
            Value::Set(_) | Value::List(_) | Value::Stream(_) | Value::HyperLogLog(_) => {}
        }
    }

    /// Takes out all that makes a value of this type.
    fn forget_kind(&mut self, kind: Kind) {
        self.creations.retain(|_, (of, _)| *of != kind);
        match kind {
            Kind::String => self.string = Cell::default(),
            Kind::Hash => self.hash.clear(),
            Kind::Set => self.set.clear(),
            Kind::SortedSet => self.sorted_set.clear(),
            Kind::List => self.list = Sequence::default(),
            Kind::Stream => self.stream = StreamLog::default(),
            Kind::HyperLogLog => self.registers.clear(),
        }
    }

    /// The key's state: the base with everything in the log.
    pub fn render(&self, base: Option<&Object>) -> (Option<Object>, Losses) {
        let mut losses = Losses::default();
        if let Some((_, state)) = &self.whole {
            losses.whole_key = 1;
            return (state.clone(), losses);
        }
        let base_value = base.map(|object| &object.value).filter(|_| !self.base_gone);
        let mut candidates: Vec<(Option<Stamp>, Value)> = Vec::new();
        for kind in Kind::ALL {
            let of_base = base_value.filter(|value| value.kind() == kind);
            // The list needs the positions of the base also where all of them are gone: others hang on them.
            let of_base = if kind == Kind::List { base.map(|object| &object.value) } else { of_base };
            if let Some(value) = self.render_kind(kind, of_base, &mut losses)
                && !value.is_vanished()
            {
                candidates.push((self.created(kind), value));
            }
        }
        losses.type_clashes = candidates.len().saturating_sub(1) as u64;
        let winner = candidates.into_iter().max_by_key(|(created, value)| (*created, value.kind()));
        let deadline_ms = match self.deadline {
            Some((_, deadline)) => deadline,
            None => base.and_then(|object| object.deadline_ms),
        };
        (winner.map(|(_, value)| Object { value, deadline_ms }), losses)
    }

    fn created(&self, kind: Kind) -> Option<Stamp> {
        self.creations.values().filter(|(of, _)| *of == kind).map(|(_, stamp)| *stamp).max()
    }

    fn render_kind(&self, kind: Kind, base: Option<&Value>, losses: &mut Losses) -> Option<Value> {
        match kind {
            Kind::String => {
                let base = match base {
                    Some(Value::String(text)) => Some(text),
                    _ => None,
                };
                self.render_string(base, losses).map(Value::String)
            }
            Kind::Hash => {
                let empty = BTreeMap::new();
                let base = if let Some(Value::Hash(fields)) = base { fields } else { &empty };
                Some(Value::Hash(render_cells(base, &self.hash, self.base_gone, losses, render_field)))
            }
            Kind::Set => {
                let base = match base {
                    Some(Value::Set(members)) => members.iter().map(|member| (member.clone(), ())).collect(),
                    _ => BTreeMap::new(),
                };
                let members = render_cells(&base, &self.set, self.base_gone, losses, |cell, base, _| {
                    cell.is_present(base.is_some()).then_some(())
                });
                Some(Value::Set(members.into_keys().collect()))
            }
            Kind::SortedSet => {
                let empty = BTreeMap::new();
                let base = if let Some(Value::SortedSet(members)) = base { members } else { &empty };
                Some(Value::SortedSet(render_cells(
                    base,
                    &self.sorted_set,
                    self.base_gone,
                    losses,
                    render_score,
                )))
            }
            Kind::List => {
                let base = if let Some(Value::List(elements)) = base { elements.as_slice() } else { &[] };
                Some(Value::List(self.list.elements(base)))
            }
            Kind::Stream => {
                let base = if let Some(Value::Stream(stream)) = base { Some(stream) } else { None };
                if base.is_none() && !self.stream.is_written() {
                    return None;
                }
                let (stream, hidden) = self.stream.render(base);
                losses.entries_hidden += hidden;
                Some(Value::Stream(stream))
            }
            Kind::HyperLogLog => {
                let mut registers = match base {
                    Some(Value::HyperLogLog(registers)) => registers.clone(),
                    _ if self.registers.is_empty() => return None,
                    _ => BTreeMap::new(),
                };
                for (register, ranks) in &self.registers {
                    let highest = ranks.values().map(|(_, rank)| *rank).max().unwrap_or(0);
                    let known = registers.entry(*register).or_insert(0);
                    *known = (*known).max(highest);
                }
                registers.retain(|_, rank| *rank > 0);
                Some(Value::HyperLogLog(registers))
            }
        }
    }

    fn render_string(&self, base: Option<&Bytes>, losses: &mut Losses) -> Option<Bytes> {
        let cell = &self.string;
        if !cell.is_present(base.is_some()) {
            return None;
        }
        losses.overwritten += cell.entries.len().saturating_sub(1) as u64;
        let mut text = Bytes::new();
        let base = base.filter(|_| !cell.base_gone);
        let Some((_, entry)) = cell.winner() else {
            losses.increments_dropped += u64::from(cell.base_follow.render(base, &mut text));
            return Some(text);
        };
        losses.increments_dropped += u64::from(entry.follow.render(Some(&entry.value), &mut text));
        if cell.base_follow.is_live() {
            // Concurrent with the SET: it follows the SET's value, as it would have followed the base.
            let set = std::mem::take(&mut text);
            losses.increments_dropped += u64::from(cell.base_follow.render(Some(&set), &mut text));
        }
        Some(text)
    }
}

fn join_registers(own: &mut Registers, mine: &Context, other: &Registers, theirs: &Context) {
    for (register, ranks) in own.iter_mut() {
        let others = other.get(register);
        ranks.retain(|side, (sequence, _)| {
            let same = others.and_then(|others| others.get(side)).is_some_and(|rank| rank.0 == *sequence);
            survives(Dot { side: *side, sequence: *sequence }, same, theirs)
        });
    }
    for (register, others) in other {
        for (side, rank) in others {
            if !mine.covers(Dot { side: *side, sequence: rank.0 }) {
                own.entry(*register).or_default().insert(*side, *rank);
            }
        }
    }
    own.retain(|_, ranks| !ranks.is_empty());
}

fn list_length(base: Option<&Object>) -> usize {
    match base.map(|object| &object.value) {
        Some(Value::List(elements)) => elements.len(),
        _ => 0,
    }
}

/// Applies cells to the members of a collection.
fn render_cells<V: Clone, X: Follow, W: Clone>(
    base: &BTreeMap<Bytes, W>,
    cells: &BTreeMap<Bytes, Cell<V, X>>,
    base_gone: bool,
    losses: &mut Losses,
    render: impl Fn(&Cell<V, X>, Option<&W>, &mut Losses) -> Option<W>,
) -> BTreeMap<Bytes, W> {
    let mut members = if base_gone { BTreeMap::new() } else { base.clone() };
    for (name, cell) in cells {
        losses.overwritten += cell.entries.len().saturating_sub(1) as u64;
        match render(cell, members.get(name), losses) {
            Some(value) => members.insert(name.clone(), value),
            None => members.remove(name),
        };
    }
    members
}

fn render_field(cell: &Cell<Bytes, Tally<i128>>, base: Option<&Bytes>, losses: &mut Losses) -> Option<Bytes> {
    if !cell.is_present(base.is_some()) {
        return None;
    }
    let base = base.filter(|_| !cell.base_gone);
    let (mut value, mut increments) = (base.cloned(), 0i128);
    let mut counted = cell.base_follow.is_live();
    if counted {
        increments += cell.base_follow.sum();
    }
    if let Some((_, entry)) = cell.winner() {
        value = Some(entry.value.clone());
        counted |= entry.follow.is_live();
        increments += entry.follow.sum();
    }
    if !counted {
        return value;
    }
    let number = match &value {
        Some(text) => parse_integer(text),
        None => Some(0),
    };
    match number {
        Some(number) => {
            let sum = (i128::from(number) + increments).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            Some(sum.to_string().into_bytes())
        }
        None => {
            losses.increments_dropped += 1;
            value
        }
    }
}

fn render_score(cell: &Cell<Score, Tally<Score>>, base: Option<&Score>, _: &mut Losses) -> Option<Score> {
    if !cell.is_present(base.is_some()) {
        return None;
    }
    let base = base.filter(|_| !cell.base_gone).map_or(0.0, |score| score.get());
    let (start, own) = match cell.winner() {
        Some((_, entry)) => (entry.value.get(), entry.follow.sum().get()),
        None => (base, 0.0),
    };
    let sum = start + own + cell.base_follow.sum().get();
    // Opposite infinities have no sum; the value they were added to stands.
    Some(Score::new(if sum.is_nan() { start } else { sum }))
}
