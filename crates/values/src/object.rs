//! Whole keys: as merging sees them, and their wire form.
//!
//! A [`Snapshot`] is a key together with the state where the core's log of it starts.

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::Object;
use swytch_store::{Builder, EncodingLimits, OwnedEntry, OwnedValue, Part, Text, Type, UnixMs, Value};

use crate::{stream, types};

/// A key as merging sees it.
pub(crate) fn object_of(entry: &OwnedEntry) -> Object {
    Object { value: types::merged(Value::of(&entry.value)), deadline_ms: entry.expire_at_ms }
}

/// A merged key as the store holds it. `None`: it has no such type, or nothing of the value is left.
pub(crate) fn entry_of(object: Object) -> Option<OwnedEntry> {
    let value = types::unmerged(object.value)?;
    // A stream without entries has parts.
    let is_there = value.face().is_none_or(|face| face.parts() > 0);
    is_there.then_some(OwnedEntry { value, expire_at_ms: object.deadline_ms })
}

/// The number of a type on the wire; 0 is that of no key.
fn number(data_type: Type) -> u8 {
    data_type.number() + 1
}

/// Appends the wire form of a value with its expiry, which may be absent.
pub(crate) fn put_entry(entry: Option<(Value<'_>, Option<UnixMs>)>, out: &mut Vec<u8>) {
    put_entry_by(entry, out, put_part);
}

/// Appends what two replicas have in common of an entry: its wire form without what is set without anybody being told.
pub(crate) fn put_content(entry: Option<&OwnedEntry>, out: &mut Vec<u8>) {
    let entry = entry.map(|entry| (Value::of(&entry.value), entry.expire_at_ms));
    put_entry_by(entry, out, |part, out| match part {
        Part::Stream(part) => stream::put_part(stream::content_of(part), out),
        part => put_part(part, out),
    });
}

fn put_entry_by(
    entry: Option<(Value<'_>, Option<UnixMs>)>,
    out: &mut Vec<u8>,
    put_part: fn(Part<'_>, &mut Vec<u8>),
) {
    let Some((value, expire_at_ms)) = entry else { return out.push(0) };
    out.push(number(value.data_type()));
    if let Some(text) = Text::of(value) {
        put_bytes(&text, out);
    } else if let Value::Collection(face) = value {
        (face.parts() as u64).put(out);
        value.content(&mut |part| put_part(part, out));
    }
    expire_at_ms.put(out);
}

/// Appends a part of a collection.
pub(crate) fn put_part(part: Part<'_>, out: &mut Vec<u8>) {
    match part {
        Part::Element(element) | Part::Member(element) => put_bytes(element, out),
        Part::Field { field, value, expire_at_ms } => {
            put_bytes(field, out);
            put_bytes(value, out);
            expire_at_ms.put(out);
        }
        Part::Scored { member, score } => {
            put_bytes(member, out);
            score.to_bits().put(out);
        }
        Part::Stream(part) => stream::put_part(part, out),
    }
}

/// [`put_entry`] of an entry that is owned.
pub(crate) fn put_owned(entry: Option<&OwnedEntry>, out: &mut Vec<u8>) {
    put_entry(entry.map(|entry| (Value::of(&entry.value), entry.expire_at_ms)), out);
}

/// Reads a key, which may be absent.
pub(crate) fn get_entry(reader: &mut Reader<'_>) -> Result<Option<OwnedEntry>, WireError> {
    let Some(number) = u8::get(reader)?.checked_sub(1) else { return Ok(None) };
    let value = match Type::of_number(number).ok_or(WireError::Invalid)? {
        Type::String => OwnedValue::String(reader.bytes()?.to_vec()),
        collection => {
            let count = reader.count()?;
            if count == 0 {
                // An empty collection does not exist.
                return Err(WireError::Invalid);
            }
            let mut builder = Builder::new(collection, EncodingLimits::default());
            for _ in 0..count {
                if collection == Type::Stream {
                    stream::add_part(reader, &mut builder)?;
                    continue;
                }
                builder.add(types::part(collection, reader)?).map_err(|_| WireError::Invalid)?;
            }
            builder.finish()
        }
    };
    Ok(Some(OwnedEntry { value, expire_at_ms: Wire::get(reader)? }))
}

/// A key with all that later merges need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The key now.
    pub now: Option<OwnedEntry>,
    /// The key where its log starts, if it has one.
    pub start: Option<Option<OwnedEntry>>,
}

impl Snapshot {
    /// Its wire form.
    pub fn blob(&self) -> Blob {
        let mut out = Vec::new();
        put_owned(self.now.as_ref(), &mut out);
        self.start.is_some().put(&mut out);
        if let Some(start) = &self.start {
            put_owned(start.as_ref(), &mut out);
        }
        out.into()
    }

    /// Reads the wire form, which must fill `bytes`.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let now = get_entry(&mut reader)?;
        let start = if bool::get(&mut reader)? { Some(get_entry(&mut reader)?) } else { None };
        reader.end()?;
        Ok(Self { now, start })
    }
}
