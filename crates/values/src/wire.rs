//! Ops as the cluster carries them: a tag byte, then the op's fields in order, with the primitives of
//! [`swytch_cluster::wire`]. The tags are the store's, beside each type's ops, and the fields are in a file for each type.
//!
//! An op can be applied to a keyspace, and it can be put into the primitives of merging ([`primitives`]), given the state
//! before it. Both lead to the same state.

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError};
use swytch_merge::{Effect as Primitive, Meaning, Object};
use swytch_store::Op;

use crate::object::object_of;
use crate::{Snapshot, key, list, string};

/// The wire form of an op.
pub fn blob(op: &Op<'_>) -> Blob {
    let mut out = vec![op.tag()];
    match op {
        Op::Key(op) => key::put(op, &mut out),
        Op::String(op) => string::put(op, &mut out),
        Op::List(op) => list::put(op, &mut out),
    }
    out.into()
}

/// Reads the wire form of an op, which must fill `bytes`, and hands it to `act`.
///
/// # Errors
/// If it is none.
pub fn read<R>(bytes: &[u8], act: impl FnOnce(&Op<'_>) -> R) -> Result<R, WireError> {
    let mut reader = Reader::new(bytes);
    let mut act = Some(act);
    let mut result = None;
    let mut take = |op: Op<'_>| result = act.take().map(|act| act(&op));
    match u8::get(&mut reader)? {
        tag if key::has(tag) => key::read(tag, reader, &mut take),
        tag if string::has(tag) => string::read(tag, reader, &mut take),
        tag if list::has(tag) => list::read(tag, reader, &mut take),
        _ => Err(WireError::Invalid),
    }?;
    result.ok_or(WireError::Invalid)
}

/// What an op is in primitives of merging, on a key in the given state.
pub(crate) fn primitives(op: &Op<'_>, before: Option<&Object>) -> Vec<Primitive> {
    match op {
        Op::Key(op) => key::primitives(op, before),
        Op::String(op) => string::primitives(op, before),
        Op::List(op) => list::primitives(op, before),
    }
}

/// The wire form of the op that a primitive of merging is. `None`: it is on a type that the store has not.
fn blob_of(effect: &Primitive) -> Option<Blob> {
    key::of_primitive(effect).or_else(|| string::of_primitive(effect)).or_else(|| list::of_primitive(effect))
}

/// What ops mean to merging.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InMerges;

impl Meaning for InMerges {
    fn effects(&self, blob: &Blob, before: Option<&Object>) -> Vec<Primitive> {
        read(blob.bytes(), |op| primitives(op, before)).unwrap_or_default()
    }

    fn start(&self, snapshot: &Blob) -> Option<Object> {
        let snapshot = Snapshot::decode(snapshot.bytes()).ok()?;
        snapshot.start.unwrap_or(snapshot.now).map(|entry| object_of(&entry))
    }

    fn blob(&self, effect: &Primitive) -> Blob {
        blob_of(effect).expect("what came from ops are ops")
    }
}
