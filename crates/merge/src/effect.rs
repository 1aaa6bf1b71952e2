//! Effect primitives on abstract values, each with an exact undo.
//!
//! An effect is what a command turned into: deterministic, with every choice made (SPOP is [`Effect::SetRemove`]).
//! Applying an effect gives back what it overwrote, and undoing restores the state bit for bit: the in-doubt write of
//! a token that died and the writes of a loser before a rebase are taken back this way.

use crate::value::{Bytes, Group, Kind, Object, Score, Stream, StreamId, Value};

/// One end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// Index 0.
    Head,
    /// The highest index.
    Tail,
}

/// A primitive change to one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// SET: replaces whatever is there, and its deadline.
    Set(Bytes),
    /// DEL, and the expiry of the key.
    Delete,
    /// PEXPIREAT, or PERSIST if `None`.
    ExpireAt(Option<u64>),
    /// INCRBY.
    Add(i64),
    /// APPEND.
    Append(Bytes),
    /// SETBIT; the offset counts bits, the highest bit of byte 0 first.
    SetBit(u32, bool),
    /// HSET of one field.
    HashSet(Bytes, Bytes),
    /// HDEL of one field.
    HashDelete(Bytes),
    /// HINCRBY.
    HashAdd(Bytes, i64),
    /// SADD of one member. Logged during a fork also where the member is there already: the add must win over a
    /// concurrent remove.
    SetAdd(Bytes),
    /// SREM or SPOP of one member.
    SetRemove(Bytes),
    /// ZADD of one member.
    SortedSetPut(Bytes, Score),
    /// ZINCRBY.
    SortedSetAdd(Bytes, Score),
    /// ZREM or ZPOPMIN of one member.
    SortedSetRemove(Bytes),
    /// LPUSH or RPUSH of one element.
    ListPush(End, Bytes),
    /// LINSERT: the element gets this index.
    ListInsert(usize, Bytes),
    /// A pop, LREM or LTRIM of the element at this index.
    ListRemove(usize),
    /// LREM of the first element equal to this one, from this end on; none is no error.
    ListTake(End, Bytes),
    /// LSET.
    ListSet(usize, Bytes),
    /// XADD with its identifier decided.
    StreamAdd(StreamId, Bytes),
    /// XDEL of one entry; XTRIM of one if false.
    StreamDelete(StreamId, bool),
    /// Everything about a stream but its entries and groups: the highest identifiers given and deleted, how many entries
    /// there were, and what else the store knows. It cannot be merged: from then on the key is decided whole.
    StreamMark(StreamId, StreamId, u64, Bytes),
    /// XGROUP CREATE (replacing a group of that name).
    GroupCreate(Bytes, StreamId),
    /// XGROUP DESTROY.
    GroupDestroy(Bytes),
    /// XREADGROUP or XCLAIM of one entry: group, entry, consumer.
    GroupDeliver(Bytes, StreamId, Bytes),
    /// XACK of one entry.
    GroupAcknowledge(Bytes, StreamId),
    /// PFADD: raise a register to at least this rank.
    HyperLogLogRaise(u16, u8),
}

/// Why an effect cannot be applied. The command that made it would have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectError {
    /// The key holds another type.
    WrongType,
    /// A number is needed and there is none, or it would overflow.
    NotANumber,
    /// An index, identifier, member or group does not exist, or an identifier is too low.
    OutOfRange,
}

/// What an effect overwrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It changed nothing.
    Nothing,
    /// It created, replaced or removed the key: the whole object before.
    Object(Option<Box<Object>>),
    /// The deadline before.
    Deadline(Option<u64>),
    /// The string before INCRBY: at most 20 bytes.
    Number(Bytes),
    /// The string's length before APPEND.
    Length(usize),
    /// The bit, and the string's length, before SETBIT.
    Bit(u32, bool, usize),
    /// The field before.
    Field(Bytes, Option<Bytes>),
    /// Whether the member was there before.
    Member(Bytes, bool),
    /// The member's score before.
    Score(Bytes, Option<Score>),
    /// Take the element at this index out.
    TakeOut(usize),
    /// Put this element back at this index.
    PutBack(usize, Bytes),
    /// The element at this index before.
    Element(usize, Bytes),
    /// Take this entry out; the highest identifier before.
    Entry(StreamId, StreamId),
    /// Put this entry back, also into the backfill of these groups; the highest identifier deleted before.
    EntryBack(StreamId, Bytes, Vec<Bytes>, StreamId),
    /// What [`Effect::StreamMark`] sets, before.
    Mark(StreamId, StreamId, u64, Bytes),
    /// The group before.
    Group(Bytes, Option<Box<Group>>),
    /// The register before (0: none).
    Register(u16, u8),
}

impl Effect {
    /// The type of key it needs; `None` if any type will do.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Effect::Set(_) | Effect::Delete | Effect::ExpireAt(_) => None,
            Effect::Add(_) | Effect::Append(_) | Effect::SetBit(..) => Some(Kind::String),
            Effect::HashSet(..) | Effect::HashDelete(_) | Effect::HashAdd(..) => Some(Kind::Hash),
            Effect::SetAdd(_) | Effect::SetRemove(_) => Some(Kind::Set),
            Effect::SortedSetPut(..) | Effect::SortedSetAdd(..) | Effect::SortedSetRemove(_) => {
                Some(Kind::SortedSet)
            }
            Effect::ListPush(..)
            | Effect::ListInsert(..)
            | Effect::ListRemove(_)
            | Effect::ListTake(..)
            | Effect::ListSet(..) => Some(Kind::List),
            Effect::StreamAdd(..)
            | Effect::StreamDelete(..)
            | Effect::StreamMark(..)
            | Effect::GroupCreate(..)
            | Effect::GroupDestroy(_)
            | Effect::GroupDeliver(..)
            | Effect::GroupAcknowledge(..) => Some(Kind::Stream),
            Effect::HyperLogLogRaise(..) => Some(Kind::HyperLogLog),
        }
    }

    /// A removal by content as the removal by index that it is on a list in the given state. `None`: it is none, or
    /// there is nothing to remove.
    pub(crate) fn located(&self, state: Option<&Object>) -> Option<Effect> {
        match (self, state.map(|object| &object.value)) {
            (Effect::ListTake(end, element), Some(Value::List(elements))) => {
                position(elements, *end, element).map(Effect::ListRemove)
            }
            _ => None,
        }
    }

    /// The effects in a form that can follow on any later state: what it does to a place in a list, it does to the
    /// element there, wherever that is then. What is put into the middle comes to the nearer end.
    pub(crate) fn detached(self, state: Option<&Object>) -> Vec<Effect> {
        let nothing = Vec::new();
        let elements = match state.map(|object| &object.value) {
            Some(Value::List(elements)) => elements,
            _ => &nothing,
        };
        let nearer = |index: usize| if index <= elements.len() / 2 { End::Head } else { End::Tail };
        match self {
            Effect::ListRemove(index) if index < elements.len() => {
                vec![Effect::ListTake(nearer(index), elements[index].clone())]
            }
            Effect::ListInsert(index, element) => vec![Effect::ListPush(nearer(index), element)],
            Effect::ListSet(index, element) if index < elements.len() => vec![
                Effect::ListTake(nearer(index), elements[index].clone()),
                Effect::ListPush(nearer(index), element),
            ],
            other => vec![other],
        }
    }

    /// True if it takes something away rather than creating: on an absent key it does nothing.
    fn needs_key(&self) -> bool {
        matches!(
            self,
            Effect::Delete
                | Effect::ExpireAt(_)
                | Effect::HashDelete(_)
                | Effect::SetRemove(_)
                | Effect::SortedSetRemove(_)
                | Effect::ListInsert(..)
                | Effect::ListRemove(_)
                | Effect::ListTake(..)
                | Effect::ListSet(..)
                | Effect::StreamDelete(..)
                | Effect::GroupDestroy(_)
                | Effect::GroupDeliver(..)
                | Effect::GroupAcknowledge(..)
        )
    }

    /// Applies the effect and gives back what it overwrote.
    ///
    /// # Errors
    /// If it does not fit the state; nothing is then changed.
    pub fn apply(&self, state: &mut Option<Object>) -> Result<Undo, EffectError> {
        match self {
            Effect::Set(bytes) => {
                let object = Object { value: Value::String(bytes.clone()), deadline_ms: None };
                return Ok(Undo::Object(state.replace(object).map(Box::new)));
            }
            Effect::Delete => {
                return Ok(state.take().map_or(Undo::Nothing, |o| Undo::Object(Some(o.into()))));
            }
            Effect::ExpireAt(deadline) => {
                let Some(object) = state else { return Ok(Undo::Nothing) };
                return Ok(Undo::Deadline(std::mem::replace(&mut object.deadline_ms, *deadline)));
            }
            _ => {}
        }
        let kind = self.kind().expect("the effects without a type were handled above");
        match state {
            Some(object) if object.value.kind() != kind => Err(EffectError::WrongType),
            Some(object) => {
                let undo = self.apply_to(&mut object.value)?;
                if !object.value.is_vanished() {
                    return Ok(undo);
                }
                // The last member went: rebuild the object as it was, and let it go.
                let mut before = state.take();
                undo.restore(&mut before);
                Ok(Undo::Object(before.map(Box::new)))
            }
            None if self.needs_key() => match self {
                Effect::HashDelete(_)
                | Effect::SetRemove(_)
                | Effect::SortedSetRemove(_)
                | Effect::ListTake(..) => Ok(Undo::Nothing),
                _ => Err(EffectError::OutOfRange),
            },
            None => {
                let mut value = Value::empty(kind);
                if let Effect::Add(_) = self {
                    value = Value::String(b"0".to_vec());
                }
                self.apply_to(&mut value)?;
                *state = Some(Object { value, deadline_ms: None });
                Ok(Undo::Object(None))
            }
        }
    }

    fn apply_to(&self, value: &mut Value) -> Result<Undo, EffectError> {
        match (self, value) {
            (Effect::Add(delta), Value::String(text)) => {
                let number = parse_integer(text).ok_or(EffectError::NotANumber)?;
                let sum = number.checked_add(*delta).ok_or(EffectError::NotANumber)?;
                Ok(Undo::Number(std::mem::replace(text, sum.to_string().into_bytes())))
            }
            (Effect::Append(more), Value::String(text)) => {
                let length = text.len();
                text.extend_from_slice(more);
                Ok(Undo::Length(length))
            }
            (Effect::SetBit(offset, bit), Value::String(text)) => {
                let length = text.len();
                let old = set_bit(text, *offset, *bit);
                Ok(Undo::Bit(*offset, old, length))
            }
            (Effect::HashSet(field, new), Value::Hash(fields)) => {
                Ok(Undo::Field(field.clone(), fields.insert(field.clone(), new.clone())))
            }
            (Effect::HashDelete(field), Value::Hash(fields)) => match fields.remove(field) {
                Some(old) => Ok(Undo::Field(field.clone(), Some(old))),
                None => Ok(Undo::Nothing),
            },
            (Effect::HashAdd(field, delta), Value::Hash(fields)) => {
                let number = match fields.get(field) {
                    Some(text) => parse_integer(text).ok_or(EffectError::NotANumber)?,
                    None => 0,
                };
                let sum = number.checked_add(*delta).ok_or(EffectError::NotANumber)?;
                Ok(Undo::Field(field.clone(), fields.insert(field.clone(), sum.to_string().into_bytes())))
            }
            (Effect::SetAdd(member), Value::Set(members)) => {
                Ok(Undo::Member(member.clone(), !members.insert(member.clone())))
            }
            (Effect::SetRemove(member), Value::Set(members)) => {
                Ok(Undo::Member(member.clone(), members.remove(member)))
            }
            (Effect::SortedSetPut(member, score), Value::SortedSet(members)) => {
                Ok(Undo::Score(member.clone(), members.insert(member.clone(), *score)))
            }
            (Effect::SortedSetAdd(member, delta), Value::SortedSet(members)) => {
                let sum = members.get(member).map_or(0.0, |score| score.get()) + delta.get();
                if sum.is_nan() {
                    return Err(EffectError::NotANumber);
                }
                Ok(Undo::Score(member.clone(), members.insert(member.clone(), Score::new(sum))))
            }
            (Effect::SortedSetRemove(member), Value::SortedSet(members)) => match members.remove(member) {
                Some(old) => Ok(Undo::Score(member.clone(), Some(old))),
                None => Ok(Undo::Nothing),
            },
            (_, Value::List(elements)) => self.apply_to_list(elements),
            (Effect::HyperLogLogRaise(register, rank), Value::HyperLogLog(registers)) => {
                let old = registers.get(register).copied().unwrap_or(0);
                if *rank > old {
                    registers.insert(*register, *rank);
                }
                Ok(Undo::Register(*register, old))
            }
            (_, Value::Stream(stream)) => self.apply_to_stream(stream),
            _ => Err(EffectError::WrongType),
        }
    }

    fn apply_to_list(&self, elements: &mut Vec<Bytes>) -> Result<Undo, EffectError> {
        let (index, end) = match self {
            Effect::ListTake(end, element) => match position(elements, *end, element) {
                Some(index) => (index, elements.len()),
                None => return Ok(Undo::Nothing),
            },
            Effect::ListPush(End::Head, _) => (0, elements.len() + 1),
            Effect::ListPush(End::Tail, _) => (elements.len(), elements.len() + 1),
            Effect::ListInsert(index, _) => (*index, elements.len() + 1),
            Effect::ListRemove(index) | Effect::ListSet(index, _) => (*index, elements.len()),
            _ => return Err(EffectError::WrongType),
        };
        if index >= end {
            return Err(EffectError::OutOfRange);
        }
        Ok(match self {
            Effect::ListPush(_, element) | Effect::ListInsert(_, element) => {
                elements.insert(index, element.clone());
                Undo::TakeOut(index)
            }
            Effect::ListSet(_, element) => {
                Undo::Element(index, std::mem::replace(&mut elements[index], element.clone()))
            }
            _ => Undo::PutBack(index, elements.remove(index)),
        })
    }
}

impl Effect {
    fn apply_to_stream(&self, stream: &mut Stream) -> Result<Undo, EffectError> {
        match self {
            Effect::StreamAdd(id, fields) => {
                if *id <= stream.last_id {
                    return Err(EffectError::OutOfRange);
                }
                stream.entries.insert(*id, fields.clone());
                stream.entries_added += 1;
                Ok(Undo::Entry(*id, std::mem::replace(&mut stream.last_id, *id)))
            }
            Effect::StreamMark(last_id, max_deleted, entries_added, rest) => {
                let highest = stream.entries.last_key_value().map(|(id, _)| *id).unwrap_or_default();
                if *last_id < highest {
                    return Err(EffectError::OutOfRange);
                }
                Ok(Undo::Mark(
                    std::mem::replace(&mut stream.last_id, *last_id),
                    std::mem::replace(&mut stream.max_deleted, *max_deleted),
                    std::mem::replace(&mut stream.entries_added, *entries_added),
                    std::mem::replace(&mut stream.rest, rest.clone()),
                ))
            }
            Effect::StreamDelete(id, is_deletion) => {
                let Some(fields) = stream.entries.remove(id) else { return Ok(Undo::Nothing) };
                let waiting = stream
                    .groups
                    .iter_mut()
                    .filter_map(|(name, group)| group.backfill.remove(id).then(|| name.clone()));
                let waiting = waiting.collect();
                let before = stream.max_deleted;
                if *is_deletion {
                    stream.max_deleted = before.max(*id);
                }
                Ok(Undo::EntryBack(*id, fields, waiting, before))
            }
            Effect::GroupCreate(name, start) => {
                let group = Group { last_delivered: *start, ..Group::default() };
                let before = stream.groups.insert(name.clone(), group);
                Ok(Undo::Group(name.clone(), before.map(Box::new)))
            }
            Effect::GroupDestroy(name) => {
                let before = stream.groups.remove(name);
                Ok(before.map_or(Undo::Nothing, |group| Undo::Group(name.clone(), Some(group.into()))))
            }
            Effect::GroupDeliver(name, id, consumer) => {
                let group = stream.groups.get_mut(name).ok_or(EffectError::OutOfRange)?;
                let before = group.clone();
                group.last_delivered = group.last_delivered.max(*id);
                group.backfill.remove(id);
                group.pending.insert(*id, consumer.clone());
                Ok(Undo::Group(name.clone(), Some(before.into())))
            }
            Effect::GroupAcknowledge(name, id) => {
                let group = stream.groups.get_mut(name).ok_or(EffectError::OutOfRange)?;
                let before = group.clone();
                group.pending.remove(id);
                Ok(Undo::Group(name.clone(), Some(before.into())))
            }
            _ => Err(EffectError::WrongType),
        }
    }
}

impl Undo {
    /// Takes the effect back. The state must be the one right after the effect was applied.
    pub fn restore(self, state: &mut Option<Object>) {
        match self {
            Undo::Nothing => {}
            Undo::Object(before) => *state = before.map(|object| *object),
            Undo::Deadline(before) => {
                if let Some(object) = state {
                    object.deadline_ms = before;
                }
            }
            other => {
                if let Some(object) = state {
                    other.restore_value(&mut object.value);
                }
            }
        }
    }

    fn restore_value(self, value: &mut Value) {
        match (self, value) {
            (Undo::Number(before), Value::String(text)) => *text = before,
            (Undo::Length(length), Value::String(text)) => text.truncate(length),
            (Undo::Bit(offset, bit, length), Value::String(text)) => {
                set_bit(text, offset, bit);
                text.truncate(length);
            }
            (Undo::Field(field, before), Value::Hash(fields)) => put_back(fields, field, before),
            (Undo::Score(member, before), Value::SortedSet(members)) => put_back(members, member, before),
            (Undo::Member(member, true), Value::Set(members)) => {
                members.insert(member);
            }
            (Undo::Member(member, false), Value::Set(members)) => {
                members.remove(&member);
            }
            (Undo::TakeOut(index), Value::List(elements)) => {
                elements.remove(index);
            }
            (Undo::PutBack(index, element), Value::List(elements)) => elements.insert(index, element),
            (Undo::Element(index, element), Value::List(elements)) => elements[index] = element,
            (Undo::Register(register, before), Value::HyperLogLog(registers)) => {
                put_back(registers, register, (before > 0).then_some(before));
            }
            (Undo::Entry(id, last_id), Value::Stream(stream)) => {
                stream.entries.remove(&id);
                stream.last_id = last_id;
                stream.entries_added -= 1;
            }
            (Undo::Mark(last_id, max_deleted, entries_added, rest), Value::Stream(stream)) => {
                (stream.last_id, stream.max_deleted) = (last_id, max_deleted);
                (stream.entries_added, stream.rest) = (entries_added, rest);
            }
            (Undo::EntryBack(id, fields, waiting, max_deleted), Value::Stream(stream)) => {
                stream.entries.insert(id, fields);
                stream.max_deleted = max_deleted;
                for name in waiting {
                    stream.groups.entry(name).or_default().backfill.insert(id);
                }
            }
            (Undo::Group(name, before), Value::Stream(stream)) => {
                put_back(&mut stream.groups, name, before.map(|group| *group));
            }
            (undo, value) => unreachable!("{undo:?} does not belong to {value:?}"),
        }
    }
}

/// Where the first element equal to this one is, from an end on.
fn position(elements: &[Bytes], end: End, element: &Bytes) -> Option<usize> {
    match end {
        End::Head => elements.iter().position(|other| other == element),
        End::Tail => elements.iter().rposition(|other| other == element),
    }
}

/// Redis's rule for integers: canonical decimal, no leading zeros, plus sign or spaces.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// Sets a bit, lengthening the string as needed, and returns the old one.
pub(crate) fn set_bit(text: &mut Bytes, offset: u32, bit: bool) -> bool {
    let (byte, mask) = ((offset / 8) as usize, 0x80u8 >> (offset % 8));
    if text.len() <= byte {
        text.resize(byte + 1, 0);
    }
    let old = text[byte] & mask != 0;
    if bit {
        text[byte] |= mask;
    } else {
        text[byte] &= !mask;
    }
    old
}

fn put_back<K: Ord, V>(map: &mut std::collections::BTreeMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}
