//! Changes: the store's effects as the cluster carries them, each on one key.
//!
//! A store's [`Effect`] that names two keys becomes a change on each, in a form that needs nothing of the other key
//! (RENAME is a whole value at its destination). Besides there are the changes that merging and folding make.
//!
//! A change can be applied to a keyspace, and it can be put into the primitives of merging ([`Change::effects`]), given
//! the state before it. Both lead to the same state.
//!
//! Wire form: a tag byte, then fields in order, with the primitives of [`swytch_cluster::wire`].

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::{Effect as Primitive, End, Meaning, Object, Value, creation};
use swytch_store::{
    Effect, Elements, Event, Expiry, Key, KeyspaceMut, OwnedEntry, Side, Text, UnixMs, clamp_range,
};

use crate::object::{Snapshot, get_entry, object_of, put_entry};

/// The longest string in a cluster: Redis's default limit. What a peer states beyond it is refused.
pub const STRING_BYTES_MAX: u64 = 512 << 20;

/// The longest write into a string that is merged bit by bit; a longer one is merged as a SET of the result.
const MERGED_BY_BITS_MAX: usize = 64;

/// One change to one key.
#[allow(missing_docs, reason = "the fields say what the effects of the same name take")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key is gone.
    Delete,
    /// It holds this string, with this expiry or none.
    Set { value: &'a [u8], expire_at_ms: Option<UnixMs> },
    /// Bytes written into a string at an offset.
    SetRange { offset: u64, bytes: &'a [u8] },
    /// One bit; the offset counts from the highest bit of byte 0.
    SetBit { offset: u32, bit: bool },
    /// Bytes added to the end of a string.
    Append { bytes: &'a [u8] },
    /// A number added to an integer string.
    IncrementBy { delta: i64 },
    /// The key expires at this time, or never.
    ExpireAt { at_ms: Option<UnixMs> },
    /// Elements pushed one after the other to one end.
    ListPush { side: Side, elements: Vec<&'a [u8]> },
    /// Elements taken from one end.
    ListPop { side: Side, count: u64 },
    /// One element moved from one end to one end: the list is never empty meanwhile.
    ListRotate { from: Side, to: Side },
    /// The element at an index replaced.
    ListSet { index: u64, element: &'a [u8] },
    /// An element put next to the first one equal to another.
    ListInsert { pivot: &'a [u8], before: bool, element: &'a [u8] },
    /// An element put at an index.
    ListInsertAt { index: u64, element: &'a [u8] },
    /// Elements equal to one removed, as LREM counts.
    ListRemove { count: i64, element: &'a [u8] },
    /// The element at an index removed.
    ListRemoveAt { index: u64 },
    /// Only the elements between two indices remain.
    ListTrim { start: i64, stop: i64 },
    /// The whole key.
    Whole(Option<OwnedEntry>),
}

/// The change does not fit the key it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit;

fn get_side(reader: &mut Reader<'_>) -> Result<Side, WireError> {
    Ok(if bool::get(reader)? { Side::Tail } else { Side::Head })
}

fn put_side(side: Side, out: &mut Vec<u8>) {
    (side == Side::Tail).put(out);
}

fn end(side: Side) -> End {
    match side {
        Side::Head => End::Head,
        Side::Tail => End::Tail,
    }
}

impl<'a> Change<'a> {
    /// The key of an effect on one key, and the change that it is there. `None`: it names two, or none.
    pub fn of(effect: &Effect<'a>) -> Option<(&'a [u8], Self)> {
        Some(match *effect {
            Effect::Set { key, value, expire_at_ms } => (key, Change::Set { value, expire_at_ms }),
            Effect::SetRange { key, offset, bytes } => (key, Change::SetRange { offset, bytes }),
            Effect::Append { key, bytes } => (key, Change::Append { bytes }),
            Effect::IncrementBy { key, delta } => (key, Change::IncrementBy { delta }),
            Effect::Delete { key } => (key, Change::Delete),
            Effect::ExpireAt { key, at_ms } => (key, Change::ExpireAt { at_ms: Some(at_ms) }),
            Effect::Persist { key } => (key, Change::ExpireAt { at_ms: None }),
            Effect::ListPush { key, side, elements } => {
                let mut several = Vec::with_capacity(elements.len());
                elements.for_each(|element| several.push(element));
                (key, Change::ListPush { side, elements: several })
            }
            Effect::ListPop { key, side, count } => (key, Change::ListPop { side, count }),
            Effect::ListSet { key, index, element } => (key, Change::ListSet { index, element }),
            Effect::ListInsert { key, pivot, before, element } => {
                (key, Change::ListInsert { pivot, before, element })
            }
            Effect::ListRemove { key, count, element } => (key, Change::ListRemove { count, element }),
            Effect::ListTrim { key, start, stop } => (key, Change::ListTrim { start, stop }),
            Effect::Rename { .. }
            | Effect::Move { .. }
            | Effect::Copy { .. }
            | Effect::ListMove { .. }
            | Effect::FlushDb
            | Effect::FlushAll
            | Effect::SwapDb { .. } => return None,
        })
    }

    /// The change that a primitive of merging on a string, a list or any key is. `None`: the store has no such type.
    pub fn of_primitive(effect: &'a Primitive) -> Option<Self> {
        Some(match effect {
            Primitive::Set(value) => Change::Set { value, expire_at_ms: None },
            Primitive::Delete => Change::Delete,
            Primitive::ExpireAt(at_ms) => Change::ExpireAt { at_ms: *at_ms },
            Primitive::Add(delta) => Change::IncrementBy { delta: *delta },
            Primitive::Append(bytes) => Change::Append { bytes },
            Primitive::SetBit(offset, bit) => Change::SetBit { offset: *offset, bit: *bit },
            Primitive::ListPush(End::Head, element) => {
                Change::ListPush { side: Side::Head, elements: vec![element] }
            }
            Primitive::ListPush(End::Tail, element) => {
                Change::ListPush { side: Side::Tail, elements: vec![element] }
            }
            Primitive::ListInsert(index, element) => Change::ListInsertAt { index: *index as u64, element },
            Primitive::ListRemove(index) => Change::ListRemoveAt { index: *index as u64 },
            Primitive::ListTake(End::Head, element) => Change::ListRemove { count: 1, element },
            Primitive::ListTake(End::Tail, element) => Change::ListRemove { count: -1, element },
            Primitive::ListSet(index, element) => Change::ListSet { index: *index as u64, element },
            _ => return None,
        })
    }

    /// Its wire form.
    pub fn blob(&self) -> Blob {
        let mut out = Vec::new();
        self.put(&mut out);
        out.into()
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Change::Delete => out.push(0),
            Change::Set { value, expire_at_ms } => {
                out.push(1);
                put_bytes(value, out);
                expire_at_ms.put(out);
            }
            Change::SetRange { offset, bytes } => {
                out.push(2);
                offset.put(out);
                put_bytes(bytes, out);
            }
            Change::SetBit { offset, bit } => {
                out.push(3);
                offset.put(out);
                bit.put(out);
            }
            Change::Append { bytes } => {
                out.push(4);
                put_bytes(bytes, out);
            }
            Change::IncrementBy { delta } => {
                out.push(5);
                delta.put(out);
            }
            Change::ExpireAt { at_ms } => {
                out.push(6);
                at_ms.put(out);
            }
            Change::ListPush { side, elements } => {
                out.push(7);
                put_side(*side, out);
                (elements.len() as u64).put(out);
                elements.iter().for_each(|element| put_bytes(element, out));
            }
            Change::ListPop { side, count } => {
                out.push(8);
                put_side(*side, out);
                count.put(out);
            }
            Change::ListRotate { from, to } => {
                out.push(9);
                put_side(*from, out);
                put_side(*to, out);
            }
            Change::ListSet { index, element } => {
                out.push(10);
                index.put(out);
                put_bytes(element, out);
            }
            Change::ListInsert { pivot, before, element } => {
                out.push(11);
                put_bytes(pivot, out);
                before.put(out);
                put_bytes(element, out);
            }
            Change::ListInsertAt { index, element } => {
                out.push(12);
                index.put(out);
                put_bytes(element, out);
            }
            Change::ListRemove { count, element } => {
                out.push(13);
                count.put(out);
                put_bytes(element, out);
            }
            Change::ListRemoveAt { index } => {
                out.push(14);
                index.put(out);
            }
            Change::ListTrim { start, stop } => {
                out.push(15);
                start.put(out);
                stop.put(out);
            }
            Change::Whole(entry) => {
                out.push(16);
                put_entry(entry.as_ref(), out);
            }
        }
    }

    /// Reads the wire form, which must fill `bytes`.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let change = Self::get(&mut reader)?;
        reader.end()?;
        Ok(change)
    }

    fn get(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match u8::get(reader)? {
            0 => Change::Delete,
            1 => Change::Set { value: reader.bytes()?, expire_at_ms: Wire::get(reader)? },
            2 => Change::SetRange { offset: Wire::get(reader)?, bytes: reader.bytes()? },
            3 => Change::SetBit { offset: Wire::get(reader)?, bit: Wire::get(reader)? },
            4 => Change::Append { bytes: reader.bytes()? },
            5 => Change::IncrementBy { delta: Wire::get(reader)? },
            6 => Change::ExpireAt { at_ms: Wire::get(reader)? },
            7 => {
                let (side, count) = (get_side(reader)?, reader.count()?);
                if count == 0 {
                    // It would make a list without elements.
                    return Err(WireError::Invalid);
                }
                let elements = (0..count).map(|_| reader.bytes()).collect::<Result<_, _>>()?;
                Change::ListPush { side, elements }
            }
            8 => Change::ListPop { side: get_side(reader)?, count: Wire::get(reader)? },
            9 => Change::ListRotate { from: get_side(reader)?, to: get_side(reader)? },
            10 => Change::ListSet { index: Wire::get(reader)?, element: reader.bytes()? },
            11 => {
                let (pivot, before) = (reader.bytes()?, Wire::get(reader)?);
                Change::ListInsert { pivot, before, element: reader.bytes()? }
            }
            12 => Change::ListInsertAt { index: Wire::get(reader)?, element: reader.bytes()? },
            13 => Change::ListRemove { count: Wire::get(reader)?, element: reader.bytes()? },
            14 => Change::ListRemoveAt { index: Wire::get(reader)? },
            15 => Change::ListTrim { start: Wire::get(reader)?, stop: Wire::get(reader)? },
            16 => Change::Whole(get_entry(reader)?),
            _ => return Err(WireError::Invalid),
        })
    }

    /// Applies the change to a key whose expiry is not looked at.
    ///
    /// # Errors
    /// If it does not fit; nothing is then changed.
    pub fn apply(&self, keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>) -> Result<(), Misfit> {
        let fits = match self {
            Change::Delete => keyspace.delete(key),
            Change::Set { value, expire_at_ms } => {
                let expiry = expire_at_ms.map_or(Expiry::Clear, Expiry::At);
                keyspace.set(key, value, expiry, Event::string("set"));
                true
            }
            Change::SetRange { offset, bytes } => {
                let event = Event::string("setrange");
                keyspace.set_range(key, *offset, bytes, STRING_BYTES_MAX, event).is_ok()
            }
            Change::SetBit { offset, bit } => set_bit(keyspace, key, *offset, *bit),
            Change::Append { bytes } => keyspace.append(key, bytes, STRING_BYTES_MAX).is_ok(),
            Change::IncrementBy { delta } => keyspace.increment(key, *delta).is_ok(),
            Change::ExpireAt { at_ms: Some(at_ms) } => keyspace.expire_at(key, *at_ms),
            Change::ExpireAt { at_ms: None } => {
                keyspace.persist(key);
                true
            }
            Change::ListPush { side, elements } => {
                keyspace.list_push(key, *side, Elements::Many(elements), true).is_ok()
            }
            Change::ListPop { side, count } => {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                keyspace.list_pop(key, *side, count, |_| {}).is_ok_and(|taken| taken.is_some())
            }
            Change::ListRotate { from, to } => {
                keyspace.list_move(key, key, *from, *to).is_ok_and(|moved| moved.is_some())
            }
            Change::ListSet { index, element } => {
                let index = usize::try_from(*index).unwrap_or(usize::MAX);
                keyspace.list_set(key, index, element).unwrap_or(false)
            }
            Change::ListInsert { pivot, before, element } => {
                let inserted = keyspace.list_insert(key, pivot, *before, element);
                inserted.is_ok_and(|length| length.flatten().is_some())
            }
            Change::ListInsertAt { index, element } => insert_at(keyspace, key, *index, element),
            Change::ListRemove { count, element } => keyspace.list_remove(key, *count, element).is_ok(),
            Change::ListRemoveAt { index } => remove_at(keyspace, key, *index),
            Change::ListTrim { start, stop } => keyspace.list_trim(key, *start, *stop).is_ok(),
            Change::Whole(entry) => {
                keyspace.restore(key, entry.as_ref());
                true
            }
        };
        if fits { Ok(()) } else { Err(Misfit) }
    }

    /// The change in primitives of merging, on a key in the given state.
    pub fn effects(&self, before: Option<&Object>) -> Vec<Primitive> {
        let nothing = Vec::new();
        let list = match before.map(|object| &object.value) {
            Some(Value::List(elements)) => elements,
            _ => &nothing,
        };
        let remove = |side: Side, count: usize| -> Vec<Primitive> {
            let at = |taken: usize| if side == Side::Head { 0 } else { list.len() - 1 - taken };
            (0..count.min(list.len())).map(|taken| Primitive::ListRemove(at(taken))).collect()
        };
        match self {
            Change::Delete => vec![Primitive::Delete],
            Change::Set { value, expire_at_ms } => {
                let deadline = expire_at_ms.map(|at_ms| Primitive::ExpireAt(Some(at_ms)));
                [Primitive::Set(value.to_vec())].into_iter().chain(deadline).collect()
            }
            Change::SetRange { offset, bytes } => set_range(before, *offset, bytes),
            Change::SetBit { offset, bit } => vec![Primitive::SetBit(*offset, *bit)],
            Change::Append { bytes } => vec![Primitive::Append(bytes.to_vec())],
            Change::IncrementBy { delta } => vec![Primitive::Add(*delta)],
            Change::ExpireAt { at_ms } => vec![Primitive::ExpireAt(*at_ms)],
            Change::ListPush { side, elements } => {
                elements.iter().map(|element| Primitive::ListPush(end(*side), element.to_vec())).collect()
            }
            Change::ListPop { side, count } => remove(*side, usize::try_from(*count).unwrap_or(usize::MAX)),
            Change::ListRotate { from, to } => rotate(list, *from, *to),
            Change::ListSet { index, element } => vec![Primitive::ListSet(*index as usize, element.to_vec())],
            Change::ListInsert { pivot, before, element } => {
                let at = list.iter().position(|other| other == pivot);
                let at = at.map(|at| at + usize::from(!before));
                at.map(|at| Primitive::ListInsert(at, element.to_vec())).into_iter().collect()
            }
            Change::ListInsertAt { index, element } => {
                vec![Primitive::ListInsert(*index as usize, element.to_vec())]
            }
            Change::ListRemove { count, element } => {
                let equal = list.iter().enumerate().filter(|(_, other)| other == element).map(|(at, _)| at);
                let limit = if *count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
                let mut removed: Vec<usize> =
                    if *count < 0 { equal.rev().take(limit).collect() } else { equal.take(limit).collect() };
                removed.sort_unstable();
                // Each removal moves what stands behind it.
                removed.iter().enumerate().map(|(before, at)| Primitive::ListRemove(at - before)).collect()
            }
            Change::ListRemoveAt { index } => vec![Primitive::ListRemove(*index as usize)],
            Change::ListTrim { start, stop } => {
                let kept = clamp_range(*start, *stop, list.len());
                let mut effects = remove(Side::Tail, list.len() - kept.end);
                effects.extend(remove(Side::Head, kept.start));
                effects
            }
            Change::Whole(entry) => {
                let deletion = before.map(|_| Primitive::Delete);
                deletion.into_iter().chain(entry.clone().map(object_of).iter().flat_map(creation)).collect()
            }
        }
    }
}

fn set_bit(keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>, offset: u32, bit: bool) -> bool {
    let at = offset / 8;
    let Some(text) = keyspace.stored(key).map_or(Some(None), |entry| Text::of(entry.value()).map(Some))
    else {
        return false;
    };
    let old = text.and_then(|text| text.get(at as usize).copied()).unwrap_or(0);
    let mask = 0x80 >> (offset % 8);
    let new = if bit { old | mask } else { old & !mask };
    let event = Event::string("setbit");
    keyspace.set_range(key, u64::from(at), &[new], STRING_BYTES_MAX, event).is_ok()
}

fn list_len(keyspace: &KeyspaceMut<'_, '_>, key: &Key<'_>) -> Option<usize> {
    match keyspace.stored(key)?.value() {
        swytch_store::Value::List(list) => Some(list.len()),
        _ => None,
    }
}

fn insert_at(keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>, index: u64, element: &[u8]) -> bool {
    let len = list_len(keyspace, key);
    let (Some(len), Ok(index)) = (len, usize::try_from(index)) else { return false };
    if index > len {
        return false;
    }
    if index == 0 || index == len {
        let side = if index == 0 { Side::Head } else { Side::Tail };
        return keyspace.list_push(key, side, Elements::One(element), false).is_ok();
    }
    edit_list(keyspace, key, |list| list.insert(index, element.to_vec()))
}

fn remove_at(keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>, index: u64) -> bool {
    let len = list_len(keyspace, key);
    let (Some(len), Ok(index)) = (len, usize::try_from(index)) else { return false };
    if index >= len {
        return false;
    }
    if index == 0 || index + 1 == len {
        let side = if index == 0 { Side::Head } else { Side::Tail };
        return keyspace.list_pop(key, side, 1, |_| {}).is_ok();
    }
    edit_list(keyspace, key, |list| drop(list.remove(index)))
}

/// Changes a list in its middle, which only folded changes do.
fn edit_list(
    keyspace: &mut KeyspaceMut<'_, '_>,
    key: &Key<'_>,
    edit: impl FnOnce(&mut Vec<Vec<u8>>),
) -> bool {
    let Some(mut entry) = keyspace.stored(key).map(OwnedEntry::of) else { return false };
    let swytch_store::OwnedValue::List(elements) = &mut entry.value else { return false };
    edit(elements);
    keyspace.restore(key, Some(&entry));
    true
}

/// A write into a string: bit by bit, or as a SET of the result.
fn set_range(before: Option<&Object>, offset: u64, bytes: &[u8]) -> Vec<Primitive> {
    let text: &[u8] = match before.map(|object| &object.value) {
        Some(Value::String(text)) => text,
        None => &[],
        Some(_) => return Vec::new(),
    };
    let length = offset.saturating_add(bytes.len() as u64);
    if length > STRING_BYTES_MAX {
        return Vec::new();
    }
    // What makes a string longer without writing anything is no write of bits.
    if bytes.is_empty() || bytes.len() > MERGED_BY_BITS_MAX {
        let mut result = text.to_vec();
        result.resize(result.len().max(length as usize), 0);
        result[offset as usize..length as usize].copy_from_slice(bytes);
        let deadline = before.and_then(|object| object.deadline_ms);
        let deadline = deadline.map(|at_ms| Primitive::ExpireAt(Some(at_ms)));
        return [Primitive::Set(result)].into_iter().chain(deadline).collect();
    }
    let bit = |at: usize| bytes[at / 8] & (0x80 >> (at % 8)) != 0;
    (0..bytes.len() * 8).map(|at| Primitive::SetBit((offset * 8) as u32 + at as u32, bit(at))).collect()
}

/// One element moved within a list: first the push, so that the list is never empty.
fn rotate(list: &[Vec<u8>], from: Side, to: Side) -> Vec<Primitive> {
    let element = if from == Side::Head { list.first() } else { list.last() };
    let Some(element) = element else { return Vec::new() };
    let index = match (from, to) {
        (Side::Head, Side::Head) => 1,
        (Side::Head, Side::Tail) => 0,
        (Side::Tail, Side::Head) => list.len(),
        (Side::Tail, Side::Tail) => list.len() - 1,
    };
    vec![Primitive::ListPush(end(to), element.clone()), Primitive::ListRemove(index)]
}

/// What changes mean to merging.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InMerges;

impl Meaning for InMerges {
    fn effects(&self, blob: &Blob, before: Option<&Object>) -> Vec<Primitive> {
        Change::decode(blob.bytes()).map(|change| change.effects(before)).unwrap_or_default()
    }

    fn start(&self, snapshot: &Blob) -> Option<Object> {
        let snapshot = Snapshot::decode(snapshot.bytes()).ok()?;
        snapshot.start.unwrap_or(snapshot.now).map(object_of)
    }

    fn blob(&self, effect: &Primitive) -> Blob {
        Change::of_primitive(effect).expect("what came from changes are changes").blob()
    }
}
