//! Whole keys: as merging sees them, and their wire form.
//!
//! A [`Snapshot`] is a key together with the state where the core's log of it starts.

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::{Object, Value};
use swytch_store::{OwnedEntry, OwnedValue};

/// A key as merging sees it.
pub(crate) fn object_of(entry: OwnedEntry) -> Object {
    let value = match entry.value {
        OwnedValue::String(bytes) => Value::String(bytes),
        OwnedValue::List(elements) => Value::List(elements),
    };
    Object { value, deadline_ms: entry.expire_at_ms }
}

/// A merged key as the store holds it. `None`: it has no such type.
pub(crate) fn entry_of(object: Object) -> Option<OwnedEntry> {
    let value = match object.value {
        Value::String(bytes) => OwnedValue::String(bytes),
        Value::List(elements) => OwnedValue::List(elements),
        _ => return None,
    };
    Some(OwnedEntry { value, expire_at_ms: object.deadline_ms })
}

/// Appends the wire form of a key, which may be absent.
pub(crate) fn put_entry(entry: Option<&OwnedEntry>, out: &mut Vec<u8>) {
    let Some(entry) = entry else { return out.push(0) };
    match &entry.value {
        OwnedValue::String(bytes) => {
            out.push(1);
            put_bytes(bytes, out);
        }
        OwnedValue::List(elements) => {
            out.push(2);
            (elements.len() as u64).put(out);
            elements.iter().for_each(|element| put_bytes(element, out));
        }
    }
    entry.expire_at_ms.put(out);
}

/// Reads a key, which may be absent.
pub(crate) fn get_entry(reader: &mut Reader<'_>) -> Result<Option<OwnedEntry>, WireError> {
    let value = match u8::get(reader)? {
        0 => return Ok(None),
        1 => OwnedValue::String(reader.bytes()?.to_vec()),
        2 => {
            let count = reader.count()?;
            if count == 0 {
                // A list without elements does not exist.
                return Err(WireError::Invalid);
            }
            let element = |_| reader.bytes().map(<[u8]>::to_vec);
            OwnedValue::List((0..count).map(element).collect::<Result<_, _>>()?)
        }
        _ => return Err(WireError::Invalid),
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
        put_entry(self.now.as_ref(), &mut out);
        self.start.is_some().put(&mut out);
        if let Some(start) = &self.start {
            put_entry(start.as_ref(), &mut out);
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
