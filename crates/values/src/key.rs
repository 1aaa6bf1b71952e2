//! Ops on keys of any type, on the wire and in merges.

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError};
use swytch_merge::{Effect as Primitive, Object, creation};
use swytch_store::effect::tag;
use swytch_store::{KeyOp, Op, OwnedEntry, Value};

use crate::object::{get_entry, object_of, put_entry};
use crate::wire;

/// Whether a tag is of these ops.
pub(crate) fn has(tag: u8) -> bool {
    matches!(tag, tag::DELETE | tag::EXPIRE_AT | tag::REPLACE)
}

/// Appends the fields of an op.
pub(crate) fn put(op: &KeyOp<'_>, out: &mut Vec<u8>) {
    match *op {
        KeyOp::Delete => {}
        KeyOp::ExpireAt { at_ms } => Some(at_ms).put(out),
        KeyOp::Persist => None::<u64>.put(out),
        KeyOp::Replace { value, expire_at_ms } => put_entry(value.map(|value| (value, expire_at_ms)), out),
    }
}

/// Reads the fields of an op, which must fill what is left, and hands it on.
pub(crate) fn read(tag: u8, mut reader: Reader<'_>, act: &mut dyn FnMut(Op<'_>)) -> Result<(), WireError> {
    let mut entry = None;
    let op = match tag {
        tag::DELETE => KeyOp::Delete,
        tag::EXPIRE_AT => match Wire::get(&mut reader)? {
            Some(at_ms) => KeyOp::ExpireAt { at_ms },
            None => KeyOp::Persist,
        },
        _ => {
            entry = get_entry(&mut reader)?;
            replacing(entry.as_ref())
        }
    };
    reader.end()?;
    act(Op::Key(op));
    drop(entry);
    Ok(())
}

/// The op that puts an entry at a key, or removes the key.
pub(crate) fn replacing(entry: Option<&OwnedEntry>) -> KeyOp<'_> {
    KeyOp::Replace {
        value: entry.map(|entry| Value::of(&entry.value)),
        expire_at_ms: entry.and_then(|entry| entry.expire_at_ms),
    }
}

/// See [`crate::types::primitives`].
pub(crate) fn primitives(op: &KeyOp<'_>, before: Option<&Object>) -> Vec<Primitive> {
    match *op {
        KeyOp::Delete => vec![Primitive::Delete],
        KeyOp::ExpireAt { at_ms } => vec![Primitive::ExpireAt(Some(at_ms))],
        KeyOp::Persist => vec![Primitive::ExpireAt(None)],
        KeyOp::Replace { value, expire_at_ms } => {
            let deletion = before.map(|_| Primitive::Delete);
            let entry = value.map(|value| OwnedEntry { value: value.to_owned_value(), expire_at_ms });
            let object = entry.map(|entry| object_of(&entry));
            deletion.into_iter().chain(object.iter().flat_map(creation)).collect()
        }
    }
}

/// The op that a primitive is, if it is one of these.
pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
    let op = match effect {
        Primitive::Delete => KeyOp::Delete,
        Primitive::ExpireAt(Some(at_ms)) => KeyOp::ExpireAt { at_ms: *at_ms },
        Primitive::ExpireAt(None) => KeyOp::Persist,
        _ => return None,
    };
    Some(wire::blob(&Op::Key(op)))
}
