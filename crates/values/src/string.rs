//! Ops on strings, on the wire and in merges.

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::{Effect as Primitive, Object, Value};
use swytch_store::types::string::op::tag;
use swytch_store::{Op, STRING_BYTES_MAX, StringOp};

use crate::wire;

/// The longest write into a string that is merged bit by bit; a longer one is merged as a SET of the result.
const MERGED_BY_BITS_MAX: usize = 64;

/// Whether a tag is of these ops.
pub(crate) fn has(tag: u8) -> bool {
    tag::ALL.contains(&tag)
}

/// Appends the fields of an op.
pub(crate) fn put(op: &StringOp<'_>, out: &mut Vec<u8>) {
    match *op {
        StringOp::Set { value, expire_at_ms } => {
            put_bytes(value, out);
            expire_at_ms.put(out);
        }
        StringOp::SetRange { offset, bytes } => {
            offset.put(out);
            put_bytes(bytes, out);
        }
        StringOp::SetBit { offset, bit } => {
            offset.put(out);
            bit.put(out);
        }
        StringOp::Append { bytes } => put_bytes(bytes, out),
        StringOp::IncrementBy { delta } => delta.put(out),
    }
}

/// Reads the fields of an op, which must fill what is left, and hands it on.
pub(crate) fn read(tag: u8, mut reader: Reader<'_>, act: &mut dyn FnMut(Op<'_>)) -> Result<(), WireError> {
    let fields = &mut reader;
    let op = match tag {
        tag::SET => StringOp::Set { value: fields.bytes()?, expire_at_ms: Wire::get(fields)? },
        tag::SET_RANGE => StringOp::SetRange { offset: Wire::get(fields)?, bytes: fields.bytes()? },
        tag::SET_BIT => StringOp::SetBit { offset: Wire::get(fields)?, bit: Wire::get(fields)? },
        tag::APPEND => StringOp::Append { bytes: fields.bytes()? },
        _ => StringOp::IncrementBy { delta: Wire::get(fields)? },
    };
    reader.end()?;
    act(Op::String(op));
    Ok(())
}

/// See [`crate::types::primitives`].
pub(crate) fn primitives(op: &StringOp<'_>, before: Option<&Object>) -> Vec<Primitive> {
    match *op {
        StringOp::Set { value, expire_at_ms } => {
            let deadline = expire_at_ms.map(|at_ms| Primitive::ExpireAt(Some(at_ms)));
            [Primitive::Set(value.to_vec())].into_iter().chain(deadline).collect()
        }
        StringOp::SetRange { offset, bytes } => set_range(before, offset, bytes),
        StringOp::SetBit { offset, bit } => vec![Primitive::SetBit(offset, bit)],
        StringOp::Append { bytes } => vec![Primitive::Append(bytes.to_vec())],
        StringOp::IncrementBy { delta } => vec![Primitive::Add(delta)],
    }
}

/// The op that a primitive is, if it is one of these.
pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
    let op = match effect {
        Primitive::Set(value) => StringOp::Set { value, expire_at_ms: None },
        Primitive::Add(delta) => StringOp::IncrementBy { delta: *delta },
        Primitive::Append(bytes) => StringOp::Append { bytes },
        Primitive::SetBit(offset, bit) => StringOp::SetBit { offset: *offset, bit: *bit },
        _ => return None,
    };
    Some(wire::blob(&Op::String(op)))
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
