//! Sets, on the wire and in merges.

use std::collections::BTreeSet;

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::{Effect as Primitive, Object, Value};
use swytch_store::types::set::op::tag;
use swytch_store::{Builder, Elements, EncodingLimits, Op, OwnedValue, Part, SetOp, Type, Value as Stored};

use crate::wire;

/// Whether a tag is of these ops.
pub(crate) fn has(tag: u8) -> bool {
    tag::ALL.contains(&tag)
}

/// A set as merging sees it.
pub(crate) fn merged(set: Stored<'_>) -> Value {
    let mut members = BTreeSet::new();
    set.content(&mut |part| {
        if let Part::Member(member) = part {
            members.insert(member.to_vec());
        }
    });
    Value::Set(members)
}

/// A merged set as the store holds it.
pub(crate) fn unmerged(members: BTreeSet<Vec<u8>>) -> OwnedValue {
    let mut builder = Builder::new(Type::Set, EncodingLimits::default());
    for member in &members {
        builder.add(Part::Member(member)).expect("a set has members");
    }
    builder.finish()
}

/// Reads a member.
pub(crate) fn part<'a>(reader: &mut Reader<'a>) -> Result<Part<'a>, WireError> {
    reader.bytes().map(Part::Member)
}

/// Appends the fields of an op.
pub(crate) fn put(op: &SetOp<'_>, out: &mut Vec<u8>) {
    let (SetOp::Add { members } | SetOp::Remove { members }) = *op;
    (members.len() as u64).put(out);
    members.for_each(|member| put_bytes(member, out));
}

/// Reads the fields of an op, which must fill what is left, and hands it on.
pub(crate) fn read(tag: u8, mut reader: Reader<'_>, act: &mut dyn FnMut(Op<'_>)) -> Result<(), WireError> {
    let count = reader.count()?;
    if count == 0 {
        // It would make a set without members.
        return Err(WireError::Invalid);
    }
    let members: Vec<&[u8]> = (0..count).map(|_| reader.bytes()).collect::<Result<_, _>>()?;
    reader.end()?;
    let members = Elements::Many(&members);
    act(Op::Set(if tag == tag::ADD { SetOp::Add { members } } else { SetOp::Remove { members } }));
    Ok(())
}

/// See [`crate::types::primitives`].
pub(crate) fn primitives(op: &SetOp<'_>, _: Option<&Object>) -> Vec<Primitive> {
    let mut primitives = Vec::new();
    match *op {
        SetOp::Add { members } => {
            members.for_each(|member| primitives.push(Primitive::SetAdd(member.to_vec())));
        }
        SetOp::Remove { members } => {
            members.for_each(|member| primitives.push(Primitive::SetRemove(member.to_vec())));
        }
    }
    primitives
}

/// The op that a primitive is, if it is one of these.
pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
    let op = match effect {
        Primitive::SetAdd(member) => SetOp::Add { members: Elements::One(member) },
        Primitive::SetRemove(member) => SetOp::Remove { members: Elements::One(member) },
        _ => return None,
    };
    Some(wire::blob(&Op::Set(op)))
}
