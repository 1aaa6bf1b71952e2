//! Lists, on the wire and in merges.

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::{Effect as Primitive, End, Object, Value};
use swytch_store::types::list::op::tag;
use swytch_store::{
    Builder, Elements, EncodingLimits, ListOp, Op, OwnedValue, Part, Side, Type, Value as Stored, range,
};

use crate::wire;

/// Whether a tag is of these ops.
pub(crate) fn has(tag: u8) -> bool {
    tag::ALL.contains(&tag)
}

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

fn side(end: End) -> Side {
    match end {
        End::Head => Side::Head,
        End::Tail => Side::Tail,
    }
}

/// A list as merging sees it.
pub(crate) fn merged(list: Stored<'_>) -> Value {
    let mut elements = Vec::new();
    list.content(&mut |part| {
        if let Part::Element(element) = part {
            elements.push(element.to_vec());
        }
    });
    Value::List(elements)
}

/// A merged list as the store holds it.
pub(crate) fn unmerged(elements: Vec<Vec<u8>>) -> OwnedValue {
    let mut builder = Builder::new(Type::List, EncodingLimits::default());
    for element in &elements {
        builder.add(Part::Element(element)).expect("a list has elements");
    }
    builder.finish()
}

/// Reads an element.
pub(crate) fn part<'a>(reader: &mut Reader<'a>) -> Result<Part<'a>, WireError> {
    reader.bytes().map(Part::Element)
}

/// Appends the fields of an op.
pub(crate) fn put(op: &ListOp<'_>, out: &mut Vec<u8>) {
    match *op {
        ListOp::Push { side, elements } => {
            put_side(side, out);
            (elements.len() as u64).put(out);
            elements.for_each(|element| put_bytes(element, out));
        }
        ListOp::Pop { side, count } => {
            put_side(side, out);
            count.put(out);
        }
        ListOp::Rotate { from, to } => {
            put_side(from, out);
            put_side(to, out);
        }
        ListOp::Set { index, element } | ListOp::InsertAt { index, element } => {
            index.put(out);
            put_bytes(element, out);
        }
        ListOp::Insert { pivot, before, element } => {
            put_bytes(pivot, out);
            before.put(out);
            put_bytes(element, out);
        }
        ListOp::Remove { count, element } => {
            count.put(out);
            put_bytes(element, out);
        }
        ListOp::RemoveAt { index } => index.put(out),
        ListOp::Trim { start, stop } => {
            start.put(out);
            stop.put(out);
        }
    }
}

/// Reads the fields of an op, which must fill what is left, and hands it on.
pub(crate) fn read(tag: u8, mut reader: Reader<'_>, act: &mut dyn FnMut(Op<'_>)) -> Result<(), WireError> {
    let fields = &mut reader;
    let several: Vec<&[u8]>;
    let op = match tag {
        tag::PUSH => {
            let (side, count) = (get_side(fields)?, fields.count()?);
            if count == 0 {
                // It would make a list without elements.
                return Err(WireError::Invalid);
            }
            several = (0..count).map(|_| fields.bytes()).collect::<Result<_, _>>()?;
            ListOp::Push { side, elements: Elements::Many(&several) }
        }
        tag::POP => ListOp::Pop { side: get_side(fields)?, count: Wire::get(fields)? },
        tag::ROTATE => ListOp::Rotate { from: get_side(fields)?, to: get_side(fields)? },
        tag::SET => ListOp::Set { index: Wire::get(fields)?, element: fields.bytes()? },
        tag::INSERT => {
            let (pivot, before) = (fields.bytes()?, Wire::get(fields)?);
            ListOp::Insert { pivot, before, element: fields.bytes()? }
        }
        tag::INSERT_AT => ListOp::InsertAt { index: Wire::get(fields)?, element: fields.bytes()? },
        tag::REMOVE => ListOp::Remove { count: Wire::get(fields)?, element: fields.bytes()? },
        tag::REMOVE_AT => ListOp::RemoveAt { index: Wire::get(fields)? },
        _ => ListOp::Trim { start: Wire::get(fields)?, stop: Wire::get(fields)? },
    };
    reader.end()?;
    act(Op::List(op));
    Ok(())
}

/// See [`crate::types::primitives`].
pub(crate) fn primitives(op: &ListOp<'_>, before: Option<&Object>) -> Vec<Primitive> {
    let nothing = Vec::new();
    let list = match before.map(|object| &object.value) {
        Some(Value::List(elements)) => elements,
        _ => &nothing,
    };
    let remove = |side: Side, count: usize| -> Vec<Primitive> {
        let at = |taken: usize| if side == Side::Head { 0 } else { list.len() - 1 - taken };
        (0..count.min(list.len())).map(|taken| Primitive::ListRemove(at(taken))).collect()
    };
    match *op {
        ListOp::Push { side, elements } => {
            let mut pushes = Vec::with_capacity(elements.len());
            elements.for_each(|element| pushes.push(Primitive::ListPush(end(side), element.to_vec())));
            pushes
        }
        ListOp::Pop { side, count } => remove(side, usize::try_from(count).unwrap_or(usize::MAX)),
        ListOp::Rotate { from, to } => rotate(list, from, to),
        ListOp::Set { index, element } => vec![Primitive::ListSet(index as usize, element.to_vec())],
        ListOp::Insert { pivot, before, element } => {
            let at = list.iter().position(|other| other == pivot);
            let at = at.map(|at| at + usize::from(!before));
            at.map(|at| Primitive::ListInsert(at, element.to_vec())).into_iter().collect()
        }
        ListOp::InsertAt { index, element } => vec![Primitive::ListInsert(index as usize, element.to_vec())],
        ListOp::Remove { count, element } => {
            let equal = list.iter().enumerate().filter(|(_, other)| *other == element).map(|(at, _)| at);
            let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
            let mut removed: Vec<usize> =
                if count < 0 { equal.rev().take(limit).collect() } else { equal.take(limit).collect() };
            removed.sort_unstable();
            // Each removal moves what stands behind it.
            removed.iter().enumerate().map(|(before, at)| Primitive::ListRemove(at - before)).collect()
        }
        ListOp::RemoveAt { index } => vec![Primitive::ListRemove(index as usize)],
        ListOp::Trim { start, stop } => {
            let kept = range::inclusive(start, stop, list.len());
            let mut effects = remove(Side::Tail, list.len() - kept.end);
            effects.extend(remove(Side::Head, kept.start));
            effects
        }
    }
}

/// The op that a primitive is, if it is one of these.
pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
    let op = match effect {
        Primitive::ListPush(end, element) => {
            ListOp::Push { side: side(*end), elements: Elements::One(element) }
        }
        Primitive::ListInsert(index, element) => ListOp::InsertAt { index: *index as u64, element },
        Primitive::ListRemove(index) => ListOp::RemoveAt { index: *index as u64 },
        Primitive::ListTake(End::Head, element) => ListOp::Remove { count: 1, element },
        Primitive::ListTake(End::Tail, element) => ListOp::Remove { count: -1, element },
        Primitive::ListSet(index, element) => ListOp::Set { index: *index as u64, element },
        _ => return None,
    };
    Some(wire::blob(&Op::List(op)))
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
