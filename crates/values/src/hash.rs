//! Hashes, on the wire and in merges.

use std::collections::BTreeMap;

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::{Effect as Primitive, Object, Value};
use swytch_store::types::hash::op::tag;
use swytch_store::{
    Builder, Elements, EncodingLimits, FieldValue, HashOp, Op, OwnedValue, Part, Type, Value as Stored,
};

use crate::wire;

/// Whether a tag is of these ops.
pub(crate) fn has(tag: u8) -> bool {
    tag::ALL.contains(&tag)
}

/// A hash as merging sees it.
pub(crate) fn merged(hash: Stored<'_>) -> Value {
    let mut fields = BTreeMap::new();
    hash.content(&mut |part| {
        if let Part::Field { field, value } = part {
            fields.insert(field.to_vec(), value.to_vec());
        }
    });
    Value::Hash(fields)
}

/// A merged hash as the store holds it.
pub(crate) fn unmerged(fields: BTreeMap<Vec<u8>, Vec<u8>>) -> OwnedValue {
    let mut builder = Builder::new(Type::Hash, EncodingLimits::default());
    for (field, value) in &fields {
        builder.add(Part::Field { field, value }).expect("a hash has fields");
    }
    builder.finish()
}

/// Reads a field.
pub(crate) fn part<'a>(reader: &mut Reader<'a>) -> Result<Part<'a>, WireError> {
    Ok(Part::Field { field: reader.bytes()?, value: reader.bytes()? })
}

/// Appends the fields of an op.
pub(crate) fn put(op: &HashOp<'_>, out: &mut Vec<u8>) {
    match *op {
        HashOp::Set { fields } => {
            (fields.len() as u64).put(out);
            fields.as_flattened().iter().for_each(|word| put_bytes(word, out));
        }
        HashOp::Remove { fields } => {
            (fields.len() as u64).put(out);
            fields.for_each(|field| put_bytes(field, out));
        }
        HashOp::IncrementBy { field, delta } => {
            put_bytes(field, out);
            delta.put(out);
        }
    }
}

/// Reads the fields of an op, which must fill what is left, and hands it on.
pub(crate) fn read(tag: u8, mut reader: Reader<'_>, act: &mut dyn FnMut(Op<'_>)) -> Result<(), WireError> {
    if tag == tag::INCREMENT_BY {
        let op = HashOp::IncrementBy { field: reader.bytes()?, delta: Wire::get(&mut reader)? };
        reader.end()?;
        act(Op::Hash(op));
        return Ok(());
    }
    let count = reader.count()?;
    if count == 0 {
        // It would make a hash without fields.
        return Err(WireError::Invalid);
    }
    if tag == tag::SET {
        let field = |_| Ok([reader.bytes()?, reader.bytes()?]);
        let fields: Vec<FieldValue<'_>> = (0..count).map(field).collect::<Result<_, _>>()?;
        reader.end()?;
        act(Op::Hash(HashOp::Set { fields: &fields }));
    } else {
        let fields: Vec<&[u8]> = (0..count).map(|_| reader.bytes()).collect::<Result<_, _>>()?;
        reader.end()?;
        act(Op::Hash(HashOp::Remove { fields: Elements::Many(&fields) }));
    }
    Ok(())
}

/// See [`crate::types::primitives`].
pub(crate) fn primitives(op: &HashOp<'_>, _: Option<&Object>) -> Vec<Primitive> {
    match *op {
        HashOp::Set { fields } => {
            let set = |[field, value]: &FieldValue<'_>| Primitive::HashSet(field.to_vec(), value.to_vec());
            fields.iter().map(set).collect()
        }
        HashOp::Remove { fields } => {
            let mut removed = Vec::new();
            fields.for_each(|field| removed.push(Primitive::HashDelete(field.to_vec())));
            removed
        }
        HashOp::IncrementBy { field, delta } => vec![Primitive::HashAdd(field.to_vec(), delta)],
    }
}

/// The op that a primitive is, if it is one of these.
pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
    Some(match effect {
        Primitive::HashSet(field, value) => wire::blob(&Op::Hash(HashOp::Set { fields: &[[field, value]] })),
        Primitive::HashDelete(field) => {
            wire::blob(&Op::Hash(HashOp::Remove { fields: Elements::One(field) }))
        }
        Primitive::HashAdd(field, delta) => {
            wire::blob(&Op::Hash(HashOp::IncrementBy { field, delta: *delta }))
        }
        _ => return None,
    })
}
