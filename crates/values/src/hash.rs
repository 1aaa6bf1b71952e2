//! Hashes, on the wire and in merges.
//!
//! To merging a field's deadline is a field of its own, so that two sides may change the one and the other, and the last to
//! set either wins. A byte in front of a name says which of the two it is; in the order of names, which folding keeps, a value
//! comes before its deadline.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

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

/// Most fields that one change removes because their time is over.
const FIELDS_EXPIRED_MAX: usize = 64;

const VALUE: u8 = b'=';
const DEADLINE: u8 = b'>';

/// What merging calls the value or the deadline of a field.
fn name_of(part: u8, field: &[u8]) -> Vec<u8> {
    [&[part], field].concat()
}

/// A hash as merging sees it.
pub(crate) fn merged(hash: Stored<'_>) -> Value {
    let mut fields = BTreeMap::new();
    hash.content(&mut |part| {
        if let Part::Field { field, value, expire_at_ms } = part {
            fields.insert(name_of(VALUE, field), value.to_vec());
            if let Some(at_ms) = expire_at_ms {
                fields.insert(name_of(DEADLINE, field), at_ms.to_be_bytes().to_vec());
            }
        }
    });
    Value::Hash(fields)
}

/// A merged hash as the store holds it. A deadline may have outlived its field.
pub(crate) fn unmerged(fields: BTreeMap<Vec<u8>, Vec<u8>>) -> OwnedValue {
    let mut builder = Builder::new(Type::Hash, EncodingLimits::default());
    for (name, value) in &fields {
        if let [VALUE, field @ ..] = &name[..] {
            let deadline = fields.get(&name_of(DEADLINE, field));
            let expire_at_ms = deadline.and_then(|bytes| deadline_of(bytes));
            builder.add(Part::Field { field, value, expire_at_ms }).expect("a hash has fields");
        }
    }
    builder.finish()
}

fn deadline_of(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Reads a field.
pub(crate) fn part<'a>(reader: &mut Reader<'a>) -> Result<Part<'a>, WireError> {
    Ok(Part::Field { field: reader.bytes()?, value: reader.bytes()?, expire_at_ms: Wire::get(reader)? })
}

/// Appends the fields of an op.
pub(crate) fn put(op: &HashOp<'_>, out: &mut Vec<u8>) {
    match *op {
        HashOp::Set { fields, keep_ttl } => {
            keep_ttl.put(out);
            (fields.len() as u64).put(out);
            fields.as_flattened().iter().for_each(|word| put_bytes(word, out));
        }
        HashOp::Remove { fields } => put_fields(fields, out),
        HashOp::Expire { fields, at_ms } => {
            at_ms.put(out);
            put_fields(fields, out);
        }
        HashOp::IncrementBy { field, delta } => {
            put_bytes(field, out);
            delta.put(out);
        }
    }
}

fn put_fields(fields: Elements<'_>, out: &mut Vec<u8>) {
    (fields.len() as u64).put(out);
    fields.for_each(|field| put_bytes(field, out));
}

/// Reads a number of fields and that many of what `read` reads, to the end.
fn several<'a, T>(
    mut reader: Reader<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count = reader.count()?;
    if count == 0 {
        // It would make a hash without fields.
        return Err(WireError::Invalid);
    }
    let several = (0..count).map(|_| read(&mut reader)).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(several)
}

/// Reads the fields of an op, which must fill what is left, and hands it on.
pub(crate) fn read(tag: u8, mut reader: Reader<'_>, act: &mut dyn FnMut(Op<'_>)) -> Result<(), WireError> {
    let (values, fields);
    let op = match tag {
        tag::SET => {
            let keep_ttl = Wire::get(&mut reader)?;
            values = several(reader, |reader| Ok::<FieldValue<'_>, _>([reader.bytes()?, reader.bytes()?]))?;
            HashOp::Set { fields: &values, keep_ttl }
        }
        tag::REMOVE => {
            fields = several(reader, Reader::bytes)?;
            HashOp::Remove { fields: Elements::Many(&fields) }
        }
        tag::EXPIRE => {
            let at_ms = Wire::get(&mut reader)?;
            fields = several(reader, Reader::bytes)?;
            HashOp::Expire { fields: Elements::Many(&fields), at_ms }
        }
        _ => {
            let op = HashOp::IncrementBy { field: reader.bytes()?, delta: Wire::get(&mut reader)? };
            reader.end()?;
            op
        }
    };
    act(Op::Hash(op));
    Ok(())
}

/// See [`crate::types::primitives`].
pub(crate) fn primitives(op: &HashOp<'_>, before: Option<&Object>) -> Vec<Primitive> {
    let nothing = BTreeMap::new();
    let before = match before.map(|object| &object.value) {
        Some(Value::Hash(fields)) => fields,
        _ => &nothing,
    };
    let mut primitives = Vec::new();
    // A deadline that is not there is not taken away: another side may be setting one.
    let persist = |primitives: &mut Vec<Primitive>, field: &[u8]| {
        let deadline = name_of(DEADLINE, field);
        if before.contains_key(&deadline) && !primitives.contains(&Primitive::HashDelete(deadline.clone())) {
            primitives.push(Primitive::HashDelete(deadline));
        }
    };
    // One that stays is set again, behind what it belongs to: folding may leave nothing of its field from before.
    let keep = |primitives: &mut Vec<Primitive>, field: &[u8]| {
        let deadline = name_of(DEADLINE, field);
        let set = before.get(&deadline).map(|at_ms| Primitive::HashSet(deadline, at_ms.clone()));
        primitives.extend(set);
    };
    match *op {
        HashOp::Set { fields, keep_ttl } => {
            for [field, value] in fields {
                primitives.push(Primitive::HashSet(name_of(VALUE, field), value.to_vec()));
                if keep_ttl {
                    keep(&mut primitives, field);
                } else {
                    persist(&mut primitives, field);
                }
            }
        }
        HashOp::Remove { fields } => fields.for_each(|field| {
            persist(&mut primitives, field);
            primitives.push(Primitive::HashDelete(name_of(VALUE, field)));
        }),
        HashOp::Expire { fields, at_ms } => fields.for_each(|field| match at_ms {
            Some(at_ms) if before.contains_key(&name_of(VALUE, field)) => {
                let deadline = at_ms.to_be_bytes().to_vec();
                primitives.push(Primitive::HashSet(name_of(DEADLINE, field), deadline));
            }
            Some(_) => {}
            None => persist(&mut primitives, field),
        }),
        HashOp::IncrementBy { field, delta } => {
            primitives.push(Primitive::HashAdd(name_of(VALUE, field), delta));
            keep(&mut primitives, field);
        }
    }
    primitives
}

/// The op that a primitive is, if it is one of these.
pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
    let op = match effect {
        Primitive::HashSet(name, value) => match &name[..] {
            [DEADLINE, field @ ..] => {
                HashOp::Expire { fields: Elements::One(field), at_ms: deadline_of(value) }
            }
            name => {
                let fields = [[value_field(name), &value[..]]];
                return Some(wire::blob(&Op::Hash(HashOp::Set { fields: &fields, keep_ttl: true })));
            }
        },
        Primitive::HashDelete(name) => match &name[..] {
            [DEADLINE, field @ ..] => HashOp::Expire { fields: Elements::One(field), at_ms: None },
            name => HashOp::Remove { fields: Elements::One(value_field(name)) },
        },
        Primitive::HashAdd(name, delta) => HashOp::IncrementBy { field: value_field(name), delta: *delta },
        _ => return None,
    };
    Some(wire::blob(&Op::Hash(op)))
}

/// The field whose value merging calls by this name.
fn value_field(name: &[u8]) -> &[u8] {
    name.get(1..).unwrap_or_default()
}

/// The removal of fields whose time is over, if there are some: as many as expire at once.
pub(crate) fn expired(value: Stored<'_>, now_ms: u64) -> Option<Blob> {
    let Stored::Collection(face) = value else { return None };
    face.due_ms().filter(|due_ms| *due_ms <= now_ms)?;
    let mut due = Vec::new();
    let _ = face.content(&mut |part| {
        if let Part::Field { field, expire_at_ms: Some(at_ms), .. } = part
            && at_ms <= now_ms
        {
            due.push(field.to_vec());
        }
        if due.len() < FIELDS_EXPIRED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let due: Vec<&[u8]> = due.iter().map(Vec::as_slice).collect();
    let fields = Elements::Many(&due);
    (!due.is_empty()).then(|| wire::blob(&Op::Hash(HashOp::Remove { fields })))
}
