//! Folding: a run of effects of one side becomes the few that make up the same log.
//!
//! What a later effect of the run overwrites, having seen it, is dropped; what adds up is added up. The result takes
//! every log to where the run takes it, for all joins with other sides, as long as no other side has seen a part of
//! the run. The laws in `tests/fold.rs` say so.
//!
//! A key's *life* goes from its creation, or a SET, to its deletion; only the last life of the run counts. Within it,
//! cell by cell:
//!
//! - a write drops what came before it; increments, and appended text, go to the first of their kind;
//! - a removal drops what came before it, and itself unless the cell was there when the life began;
//! - of a list, an element that was pushed and removed in the run goes, if it stood between two others that were pushed
//!   at that end: what hung on it hangs on its neighbour instead, which gives the same order. The innermost (the
//!   *anchor*) and the outermost stay as removed ones, because others stand next to them. LINSERT stays, and nothing
//!   is folded across it, because it asks for removed neighbours;
//! - removals that stay move to the end of the run: they do not ask when, and before it the key could lose its last
//!   cell too early, which would be a deletion.
//!
//! Increments of scores are added up only where that is exact, because sums are compared bit by bit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::Forked;
use crate::dot::Origin;
use crate::effect::{Effect, End};
use crate::value::{Bytes, Object, Score, StreamId, Value};

/// An effect and its place: the index of the effect of the run whose dot and stamp it has.
type Placed = (usize, Effect);

/// Folds effects, all of one side, that were applied one after the other to `before`. Gives the effects that remain,
/// each with the index of the effect whose origin it takes, in order; `None` if nothing can be gained.
pub fn fold(before: &Forked, run: &[(Origin, Effect)]) -> Option<Vec<(usize, Effect)>> {
    let mut now = before.clone();
    let mut folded = Vec::new();
    let mut first = 0;
    let is_insert = |(_, effect): &(Origin, Effect)| matches!(effect, Effect::ListInsert(..));
    for stretch in run.split_inclusive(is_insert) {
        let insert = stretch.last().filter(|last| is_insert(last));
        let rest = &stretch[..stretch.len() - usize::from(insert.is_some())];
        let placed = fold_stretch(&mut now, rest)?;
        folded.extend(placed.into_iter().map(|(at, effect)| (first + at, effect)));
        if let Some((origin, effect)) = insert
            && now.apply(*origin, effect).is_ok()
        {
            folded.push((first + rest.len(), effect.clone()));
        }
        first += stretch.len();
    }
    let unchanged = folded.len() == run.len() && folded.iter().map(|(at, _)| *at).eq(0..run.len());
    (!unchanged).then_some(folded)
}

/// Folds a run without LINSERT, on which `now` moves on. `None`: the log has overflowed.
fn fold_stretch(now: &mut Forked, run: &[(Origin, Effect)]) -> Option<Vec<Placed>> {
    let before = now.clone();
    let mut history = History::default();
    for (at, (origin, effect)) in run.iter().enumerate() {
        let existed = now.state.is_some();
        let is_set = matches!(effect, Effect::Set(_)) || now.log.is_set_of_result(effect);
        let anchor = anchor_of(effect, now).filter(|_| !is_set);
        if now.apply(*origin, effect).is_err() {
            continue;
        }
        if now.log.is_overflowed() {
            return None;
        }
        match &now.state {
            None if existed => history.end(at),
            None => {}
            Some(after) if is_set => history.begin_set(at, after, existed),
            Some(after) if !existed => history.begin(at, effect, after),
            Some(_) => history.life.push((at, effect.clone())),
        }
        if let (Some(anchor), true) = (anchor, now.state.is_some()) {
            history.anchors_of_life.entry(anchor).or_insert_with(|| (at, effect.clone()));
        }
    }
    let start = history.start.as_ref().or(before.state.as_ref());
    let mut folded = history.head;
    if let Some(start) = start {
        let anchors: Vec<usize> = history
            .anchors_of_life
            .iter()
            .filter(|(anchor, _)| !history.anchored.contains(anchor))
            .map(|(_, (at, _))| *at)
            .collect();
        folded.extend(fold_life(start, history.life, &anchors, run.len().saturating_sub(1)));
    }
    // Those of one place stay in order.
    folded.sort_by_key(|(at, _)| *at);
    if leads_to(&before, run, &folded, now) {
        return Some(folded);
    }
    Some(run.iter().enumerate().map(|(at, (_, effect))| (at, effect.clone())).collect())
}

/// A place where what one side puts next to each other hangs on its first element.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Anchor {
    Head,
    Tail,
    Text,
}

/// The place where the effect hangs an element. Text that follows a SET goes with the SET.
fn anchor_of(effect: &Effect, now: &Forked) -> Option<Anchor> {
    match effect {
        Effect::ListPush(End::Head, _) => Some(Anchor::Head),
        Effect::ListPush(End::Tail, _) => Some(Anchor::Tail),
        Effect::Append(_) if !now.log.has_set() => Some(Anchor::Text),
        _ => None,
    }
}

/// Whether the key is there all the time between its creations and deletions, and ends in the same state.
fn leads_to(before: &Forked, run: &[(Origin, Effect)], folded: &[Placed], now: &Forked) -> bool {
    let mut state = before.state.clone();
    let lives_on = folded.iter().all(|(at, effect)| {
        *at < run.len()
            && effect.apply(&mut state).is_ok()
            && state.is_none() == matches!(effect, Effect::Delete)
    });
    lives_on && state == now.state
}

/// What a run has done to the key as a whole.
#[derive(Default)]
struct History {
    /// What remains of former lives, and the beginning of the last one.
    head: Vec<Placed>,
    /// What first created the key, if it did not exist before the run: without it there would be nothing to delete.
    creation: Option<Placed>,
    /// What remains of former lives that had anchors, up to these.
    anchors: Vec<Placed>,
    anchored: BTreeSet<Anchor>,
    /// The first element at each place that the last life has hung elements on.
    anchors_of_life: BTreeMap<Anchor, Placed>,
    /// The key at the beginning of its last life, if that is in the run.
    start: Option<Object>,
    /// The effects of the last life.
    life: Vec<Placed>,
    /// Some life began or ended.
    is_later: bool,
}

impl History {
    fn end(&mut self, at: usize) {
        self.keep_anchors();
        self.head = self.anchors.clone();
        if self.head.is_empty() {
            self.head.extend(self.creation.clone());
        }
        self.head.push((at, Effect::Delete));
        self.start = None;
        self.life.clear();
        self.is_later = true;
    }

    /// The places on which a life has hung elements keep one of them, though it is removed: it is what others that
    /// come later, from this side or not, stand next to.
    fn keep_anchors(&mut self) {
        let anchors = std::mem::take(&mut self.anchors_of_life);
        let fresh: Vec<Placed> = anchors
            .into_iter()
            .filter(|(anchor, _)| self.anchored.insert(*anchor))
            .map(|(_, placed)| placed)
            .collect();
        if fresh.is_empty() {
            return;
        }
        self.anchors = self.head.clone();
        self.anchors.extend(fresh.into_iter().filter(|placed| !self.head.contains(placed)));
        self.anchors.sort_by_key(|(at, _)| *at);
    }

    fn begin(&mut self, at: usize, effect: &Effect, after: &Object) {
        let first = !std::mem::replace(&mut self.is_later, true);
        if first {
            self.creation = Some((at, effect.clone()));
        }
        self.head.push((at, effect.clone()));
        self.start = Some(after.clone());
        self.life.clear();
    }

    fn begin_set(&mut self, at: usize, after: &Object, existed: bool) {
        let Value::String(text) = &after.value else { return };
        self.keep_anchors();
        self.head = self.anchors.clone();
        self.is_later |= existed;
        self.begin(at, &Effect::Set(text.clone()), after);
        if after.deadline_ms.is_some() {
            self.head.push((at, Effect::ExpireAt(after.deadline_ms)));
        }
    }
}

/// Folds the effects of one life of a key that began as `start`. Pushes at `anchors` are the first ones of their end;
/// `last` is the place for what moves to the end.
fn fold_life(start: &Object, mut life: Vec<Placed>, anchors: &[usize], last: usize) -> Vec<Placed> {
    let deadline = life.iter().rposition(|(_, effect)| matches!(effect, Effect::ExpireAt(_)));
    let deadline = deadline.map(|index| life[index].clone());
    life.retain(|(_, effect)| !matches!(effect, Effect::ExpireAt(_)));
    let mut folded = match &start.value {
        Value::String(_) => fold_string(life),
        Value::Hash(fields) => fold_cells(fields.keys(), life, last),
        Value::Set(members) => fold_cells(members.iter(), life, last),
        Value::SortedSet(members) => fold_cells(members.keys(), life, last),
        Value::List(elements) => fold_list(elements.len(), life, anchors, last),
        Value::Stream(_) => fold_stream(life),
        Value::HyperLogLog(_) => fold_registers(life),
    };
    folded.extend(deadline);
    folded
}

/// Bits, increments, appended text come in this order: what does not is a SET of the result, and a new life.
fn fold_string(life: Vec<Placed>) -> Vec<Placed> {
    let mut bits: BTreeMap<u32, Placed> = BTreeMap::new();
    let mut rest: Vec<Placed> = Vec::new();
    for (at, effect) in life {
        if let Effect::SetBit(offset, _) = effect {
            bits.insert(offset, (at, effect));
        } else {
            accumulate(&mut rest, at, effect);
        }
    }
    bits.into_values().chain(rest).collect()
}

/// Adds an increment, or appended text, to the one before.
fn accumulate(rest: &mut Vec<Placed>, at: usize, effect: Effect) {
    match rest.last_mut().and_then(|(_, last)| sum(last, &effect).map(|sum| (last, sum))) {
        Some((last, sum)) => *last = sum,
        None => rest.push((at, effect)),
    }
}

/// One effect for two that follow each other, if they add up without loss.
fn sum(first: &Effect, second: &Effect) -> Option<Effect> {
    Some(match (first, second) {
        (Effect::Add(first), Effect::Add(second)) => Effect::Add(first.checked_add(*second)?),
        (Effect::Append(first), Effect::Append(second)) => Effect::Append([&first[..], second].concat()),
        (Effect::HashAdd(field, first), Effect::HashAdd(_, second)) => {
            Effect::HashAdd(field.clone(), first.checked_add(*second)?)
        }
        (Effect::SortedSetAdd(member, first), Effect::SortedSetAdd(_, second)) => {
            let sum = first.get() + second.get();
            let exact = [first.get(), second.get(), sum].into_iter().all(is_exact);
            Effect::SortedSetAdd(member.clone(), exact.then(|| Score::new(sum))?)
        }
        _ => return None,
    })
}

/// Multiples of 1/1024 below 2^40 in absolute value add up to multiples of 1/1024 without rounding.
fn is_exact(number: f64) -> bool {
    number.abs() < (1u64 << 40) as f64 && (number * 1024.0).fract() == 0.0
}

/// What remains of the effects on one field or member.
#[derive(Default)]
struct CellFold {
    was_there: bool,
    /// The effect that removed what was there.
    removal: Option<Effect>,
    written: Option<Placed>,
    increments: Vec<Placed>,
}

/// Fields of a hash, members of a set or sorted set. `there` are those that exist when the life begins.
fn fold_cells<'a>(there: impl Iterator<Item = &'a Bytes>, life: Vec<Placed>, last: usize) -> Vec<Placed> {
    let mut present: BTreeSet<Bytes> = there.cloned().collect();
    let mut cells: BTreeMap<Bytes, CellFold> = BTreeMap::new();
    for (at, effect) in life {
        let Some(name) = cell_name(&effect).cloned() else { continue };
        let exists = present.contains(&name);
        let fresh = |was_there| CellFold { was_there, ..CellFold::default() };
        let cell = cells.entry(name.clone()).or_insert_with(|| fresh(exists));
        match effect {
            Effect::HashDelete(_) | Effect::SetRemove(_) | Effect::SortedSetRemove(_) => {
                if present.remove(&name) {
                    *cell = CellFold { removal: cell.was_there.then_some(effect), ..fresh(cell.was_there) };
                }
                continue;
            }
            Effect::HashAdd(..) => accumulate(&mut cell.increments, at, effect),
            Effect::SortedSetAdd(..) if exists => accumulate(&mut cell.increments, at, effect),
            // On an absent member ZINCRBY is a ZADD.
            Effect::SortedSetAdd(member, score) => {
                let write = Some((at, Effect::SortedSetPut(member, score)));
                *cell = CellFold { written: write, ..fresh(cell.was_there) };
            }
            write => *cell = CellFold { written: Some((at, write)), ..fresh(cell.was_there) },
        }
        present.insert(name);
    }
    let mut folded = Vec::new();
    let mut removals = Vec::new();
    for cell in cells.into_values() {
        match (cell.removal, cell.increments.first()) {
            // A field that was incremented after it was removed.
            (Some(removal), Some((at, _))) => folded.push((*at, removal)),
            (Some(removal), None) => removals.push((last, removal)),
            (None, _) => {}
        }
        folded.extend(cell.written);
        folded.extend(cell.increments);
    }
    folded.extend(removals);
    folded
}

fn cell_name(effect: &Effect) -> Option<&Bytes> {
    match effect {
        Effect::HashSet(name, _)
        | Effect::HashDelete(name)
        | Effect::HashAdd(name, _)
        | Effect::SetAdd(name)
        | Effect::SetRemove(name)
        | Effect::SortedSetPut(name, _)
        | Effect::SortedSetAdd(name, _)
        | Effect::SortedSetRemove(name) => Some(name),
        _ => None,
    }
}

/// An element of a list in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Element {
    /// It was there when the life began, at this position.
    Base(usize),
    /// Pushed by this effect of the life.
    Pushed(usize),
}

/// `length` is that of the list when the life begins.
fn fold_list(length: usize, life: Vec<Placed>, anchors: &[usize], last: usize) -> Vec<Placed> {
    let mut visible: VecDeque<Element> = (0..length).map(Element::Base).collect();
    let mut removed: BTreeSet<Element> = BTreeSet::new();
    // The last LSET of each element.
    let mut set: BTreeMap<Element, usize> = BTreeMap::new();
    for (number, (_, effect)) in life.iter().enumerate() {
        match effect {
            Effect::ListPush(End::Head, _) => visible.push_front(Element::Pushed(number)),
            Effect::ListPush(End::Tail, _) => visible.push_back(Element::Pushed(number)),
            Effect::ListRemove(index) => removed.extend(visible.remove(*index)),
            Effect::ListSet(index, _) => {
                visible.get(*index).map(|element| set.insert(*element, number));
            }
            _ => {}
        }
    }
    let outermost = |end: End| {
        let pushes = |(_, effect): &Placed| matches!(effect, Effect::ListPush(other, _) if *other == end);
        life.iter().rposition(pushes)
    };
    let outermost = [outermost(End::Head), outermost(End::Tail)];
    let remains = |number: usize, at: usize| {
        let removed = removed.contains(&Element::Pushed(number));
        !removed || anchors.contains(&at) || outermost.contains(&Some(number))
    };
    let set: BTreeMap<usize, Element> = set.into_iter().map(|(element, number)| (number, element)).collect();
    let mut visible: VecDeque<Element> = (0..length).map(Element::Base).collect();
    let mut folded = Vec::new();
    for (number, (at, effect)) in life.iter().enumerate() {
        if let Effect::ListPush(end, _) = effect
            && remains(number, *at)
        {
            match end {
                End::Head => visible.push_front(Element::Pushed(number)),
                End::Tail => visible.push_back(Element::Pushed(number)),
            }
            folded.push((*at, effect.clone()));
        }
        if let Effect::ListSet(_, value) = effect {
            let kept = set.get(&number).filter(|element| !removed.contains(element));
            let index = kept.and_then(|kept| visible.iter().position(|element| element == kept));
            folded.extend(index.map(|index| (*at, Effect::ListSet(index, value.clone()))));
        }
    }
    let gone = visible.iter().enumerate().filter(|(_, element)| removed.contains(element));
    // Each removal moves what stands behind it.
    folded.extend(gone.enumerate().map(|(before, (at, _))| (last, Effect::ListRemove(at - before))));
    folded
}

/// What remains of the effects on one group of a stream.
#[derive(Default)]
struct GroupFold {
    created: Option<Placed>,
    destroyed: Option<Placed>,
    delivered: BTreeMap<StreamId, Placed>,
    acknowledged: BTreeMap<StreamId, Placed>,
}

/// Entries stay, because how many there were and the highest identifier stay; of a group the last word on each entry.
fn fold_stream(life: Vec<Placed>) -> Vec<Placed> {
    let mut folded = Vec::new();
    let mut groups: BTreeMap<Bytes, GroupFold> = BTreeMap::new();
    for (at, effect) in life {
        let (Effect::GroupCreate(name, _)
        | Effect::GroupDestroy(name)
        | Effect::GroupDeliver(name, ..)
        | Effect::GroupAcknowledge(name, _)) = &effect
        else {
            folded.push((at, effect));
            continue;
        };
        let group = groups.entry(name.clone()).or_default();
        match effect {
            Effect::GroupCreate(..) => {
                *group = GroupFold { created: Some((at, effect)), ..GroupFold::default() }
            }
            Effect::GroupDeliver(_, id, _) => {
                group.acknowledged.remove(&id);
                group.delivered.insert(id, (at, effect));
            }
            Effect::GroupAcknowledge(_, id) => {
                group.acknowledged.insert(id, (at, effect));
            }
            _ => {
                let created = group.created.take();
                *group = GroupFold { created, destroyed: Some((at, effect)), ..GroupFold::default() };
            }
        }
    }
    for group in groups.into_values() {
        folded.extend(group.created.into_iter().chain(group.destroyed));
        folded.extend(group.delivered.into_values().chain(group.acknowledged.into_values()));
    }
    folded
}

/// Of each register the highest rank.
fn fold_registers(life: Vec<Placed>) -> Vec<Placed> {
    let mut registers: BTreeMap<u16, (u8, Placed)> = BTreeMap::new();
    for (at, effect) in life {
        if let Effect::HyperLogLogRaise(register, rank) = effect {
            let known = registers.get(&register).map_or(0, |(known, _)| *known);
            if rank > known || !registers.contains_key(&register) {
                registers.insert(register, (rank, (at, effect)));
            }
        }
    }
    registers.into_values().map(|(_, placed)| placed).collect()
}
