//! Sorted sets, on the wire and in merges.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::{Effect as Primitive, Object, Score, Value};
use swytch_store::types::sorted_set::op::tag;
use swytch_store::{
    Builder, Condition, Elements, EncodingLimits, Op, OwnedValue, Part, Scored, SortedSetOp, Type,
    Value as Stored,
};

use crate::wire;

/// Whether a tag is of these ops.
pub(crate) fn has(tag: u8) -> bool {
    tag::ALL.contains(&tag)
}

/// A sorted set as merging sees it.
pub(crate) fn merged(set: Stored<'_>) -> Value {
    let mut members = BTreeMap::new();
    set.content(&mut |part| {
        if let Part::Scored { member, score } = part {
            members.insert(member.to_vec(), Score::new(score));
        }
    });
    Value::SortedSet(members)
}

/// A merged sorted set as the store holds it.
pub(crate) fn unmerged(members: BTreeMap<Vec<u8>, Score>) -> OwnedValue {
    let mut builder = Builder::new(Type::SortedSet, EncodingLimits::default());
    for (member, score) in &members {
        builder.add(Part::Scored { member, score: score.get() }).expect("a sorted set has scores");
    }
    builder.finish()
}

/// Reads a score.
fn score(reader: &mut Reader<'_>) -> Result<f64, WireError> {
    let score = f64::from_bits(u64::get(reader)?);
    if score.is_nan() { Err(WireError::Invalid) } else { Ok(score) }
}

/// Reads a member with its score.
pub(crate) fn part<'a>(reader: &mut Reader<'a>) -> Result<Part<'a>, WireError> {
    Ok(Part::Scored { member: reader.bytes()?, score: score(reader)? })
}

/// The numbers of conditions on the wire.
const IS_NEW: [Option<bool>; 3] = [None, Some(true), Some(false)];
const COMPARES: [Option<Ordering>; 3] = [None, Some(Ordering::Greater), Some(Ordering::Less)];

fn number_of<T: PartialEq>(numbers: &[T], of: &T) -> u8 {
    numbers.iter().position(|one| one == of).expect("every condition has a number") as u8
}

fn of_number<T: Copy>(numbers: &[T], number: u8) -> Result<T, WireError> {
    numbers.get(usize::from(number)).copied().ok_or(WireError::Invalid)
}

/// Appends the fields of an op.
pub(crate) fn put(op: &SortedSetOp<'_>, out: &mut Vec<u8>) {
    match *op {
        SortedSetOp::Add { members, when } => {
            out.extend([number_of(&IS_NEW, &when.is_new), number_of(&COMPARES, &when.compares)]);
            (members.len() as u64).put(out);
            for scored in members {
                put_bytes(scored.member, out);
                scored.score.to_bits().put(out);
            }
        }
        SortedSetOp::Increment { member, delta } => {
            put_bytes(member, out);
            delta.to_bits().put(out);
        }
        SortedSetOp::Remove { members } => {
            (members.len() as u64).put(out);
            members.for_each(|member| put_bytes(member, out));
        }
    }
}

/// Reads the fields of an op, which must fill what is left, and hands it on.
pub(crate) fn read(tag: u8, mut reader: Reader<'_>, act: &mut dyn FnMut(Op<'_>)) -> Result<(), WireError> {
    // A sorted set without members does not exist.
    let some = |count: usize| if count == 0 { Err(WireError::Invalid) } else { Ok(count) };
    match tag {
        tag::ADD => {
            let is_new = of_number(&IS_NEW, u8::get(&mut reader)?)?;
            let compares = of_number(&COMPARES, u8::get(&mut reader)?)?;
            let members: Vec<Scored<'_>> = (0..some(reader.count()?)?)
                .map(|_| Ok(Scored { member: reader.bytes()?, score: score(&mut reader)? }))
                .collect::<Result<_, WireError>>()?;
            reader.end()?;
            act(Op::SortedSet(SortedSetOp::Add { members: &members, when: Condition { is_new, compares } }));
        }
        tag::INCREMENT => {
            let (member, delta) = (reader.bytes()?, score(&mut reader)?);
            reader.end()?;
            act(Op::SortedSet(SortedSetOp::Increment { member, delta }));
        }
        _ => {
            let members: Vec<&[u8]> =
                (0..some(reader.count()?)?).map(|_| reader.bytes()).collect::<Result<_, _>>()?;
            reader.end()?;
            act(Op::SortedSet(SortedSetOp::Remove { members: Elements::Many(&members) }));
        }
    }
    Ok(())
}

/// See [`crate::types::primitives`].
pub(crate) fn primitives(op: &SortedSetOp<'_>, before: Option<&Object>) -> Vec<Primitive> {
    match *op {
        SortedSetOp::Add { members, when } => {
            // A member may be named twice, and be measured by what it was given first.
            let mut given: BTreeMap<&[u8], f64> = BTreeMap::new();
            let score_of = |member: &[u8]| match before.map(|object| &object.value) {
                Some(Value::SortedSet(members)) => members.get(member).map(|score| score.get()),
                _ => None,
            };
            let mut primitives = Vec::new();
            for Scored { member, score } in members {
                let old = given.get(member).copied().or_else(|| score_of(member));
                if when.admits(old, *score) {
                    given.insert(member, *score);
                    primitives.push(Primitive::SortedSetPut(member.to_vec(), Score::new(*score)));
                }
            }
            primitives
        }
        SortedSetOp::Increment { member, delta } => {
            vec![Primitive::SortedSetAdd(member.to_vec(), Score::new(delta))]
        }
        SortedSetOp::Remove { members } => {
            let mut primitives = Vec::new();
            members.for_each(|member| primitives.push(Primitive::SortedSetRemove(member.to_vec())));
            primitives
        }
    }
}

/// The op that a primitive is, if it is one of these.
pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
    let scored;
    let op = match effect {
        Primitive::SortedSetPut(member, score) => {
            scored = [Scored { member, score: score.get() }];
            SortedSetOp::Add { members: &scored, when: Condition::default() }
        }
        Primitive::SortedSetAdd(member, delta) => SortedSetOp::Increment { member, delta: delta.get() },
        Primitive::SortedSetRemove(member) => SortedSetOp::Remove { members: Elements::One(member) },
        _ => return None,
    };
    Some(wire::blob(&Op::SortedSet(op)))
}
