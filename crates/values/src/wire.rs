//! Ops as the cluster carries them: a tag byte, then the op's fields in order, with the primitives of
//! [`swytch_cluster::wire`]. The tags are the store's, beside each type's ops, and the fields are in a file for each type.
//!
//! An op can be applied to a keyspace, and it can be put into the primitives of merging (`primitives`), given the state
//! before it. Both lead to the same state.

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError};
use swytch_merge::{Effect as Primitive, Meaning, Object};
use swytch_store::Op;

use crate::object::object_of;
use crate::{Snapshot, types};

/// The wire form of an op.
pub fn blob(op: &Op<'_>) -> Blob {
    let mut out = vec![op.tag()];
    types::put(op, &mut out);
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
    let tag = u8::get(&mut reader)?;
    types::read(tag, reader, &mut |op| result = act.take().map(|act| act(&op)))?;
    result.ok_or(WireError::Invalid)
}

/// What ops mean to merging.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InMerges;

impl Meaning for InMerges {
    fn effects(&self, blob: &Blob, before: Option<&Object>) -> Vec<Primitive> {
        read(blob.bytes(), |op| types::primitives(op, before)).unwrap_or_default()
    }

    fn start(&self, snapshot: &Blob) -> Option<Object> {
        let snapshot = Snapshot::decode(snapshot.bytes()).ok()?;
        snapshot.start.unwrap_or(snapshot.now).map(|entry| object_of(&entry))
    }

    fn blob(&self, effect: &Primitive) -> Blob {
        types::of_primitive(effect).expect("what came from ops are ops")
    }
}
