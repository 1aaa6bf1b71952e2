//! What hashes are changed by: every op, what takes it back, and the editor's functions that do it.

use std::collections::BTreeSet;

use swytch_decimal::{INTEGER_DIGITS_MAX, format_i64, parse_i64};

use super::{FieldValue, Hash, PackedLimit};
use crate::effect::{Elements, Event};
use crate::keyspace::{Editor, Misfit};
use crate::types::string::op::IncrementError;

/// A change to a hash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HashOp<'a> {
    /// Fields get values, at least one does. A field may come more than once: the last value holds.
    Set {
        /// Them.
        fields: &'a [FieldValue<'a>],
    },
    /// Fields removed, of which some may not be there.
    Remove {
        /// Them.
        fields: Elements<'a>,
    },
    /// A number added to that in a field; one that is not there counts as 0.
    IncrementBy {
        /// The field.
        field: &'a [u8],
        /// The number.
        delta: i64,
    },
}

/// The numbers of ops in wire forms and logs. Append only: a number is never given to another op.
#[allow(missing_docs, reason = "they are the ops of the same names")]
pub mod tag {
    pub const SET: u8 = 40;
    pub const REMOVE: u8 = 41;
    pub const INCREMENT_BY: u8 = 42;
    /// All of them.
    pub const ALL: [u8; 3] = [SET, REMOVE, INCREMENT_BY];
}

impl HashOp<'_> {
    /// Its number.
    pub fn tag(&self) -> u8 {
        match self {
            HashOp::Set { .. } => tag::SET,
            HashOp::Remove { .. } => tag::REMOVE,
            HashOp::IncrementBy { .. } => tag::INCREMENT_BY,
        }
    }
}

/// What takes a change to a hash back: what was in each field, if it was there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HashUndo(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl HashUndo {
    fn of<'f>(hash: &Hash, fields: impl Iterator<Item = &'f [u8]>) -> HashUndo {
        let distinct: BTreeSet<&[u8]> = fields.collect();
        let before = |field: &[u8]| (field.to_vec(), hash.get(field).map(<[u8]>::to_vec));
        HashUndo(distinct.into_iter().map(before).collect())
    }
}

impl Editor<'_, Hash> {
    /// Gives fields their values and returns how many are new.
    #[inline]
    pub fn set(&mut self, fields: &[FieldValue<'_>]) -> usize {
        self.set_for(fields, Event::hash("hset"))
    }

    /// [`Editor::set`] as the outcome of something else.
    pub fn set_for(&mut self, fields: &[FieldValue<'_>], event: Event) -> usize {
        let limit = self.limits().hash;
        self.alter(
            |hash| HashUndo::of(hash, fields.iter().map(|[field, _]| *field)),
            |hash| (hash.set(fields, limit), fields.len() as u64),
            |_| (HashOp::Set { fields }, event),
        )
    }

    /// Removes fields and returns how many there were.
    pub fn remove(&mut self, fields: Elements<'_>) -> usize {
        self.alter(
            |hash| {
                let mut there = Vec::new();
                fields.for_each(|field| there.push(field));
                HashUndo::of(hash, there.into_iter())
            },
            |hash| {
                let mut removed = 0;
                fields.for_each(|field| removed += usize::from(hash.remove(field)));
                (removed, removed as u64)
            },
            |_| (HashOp::Remove { fields }, Event::hash("hdel")),
        )
    }

    /// Adds a number to the integer in a field, or to 0 where there is none, and returns the sum.
    ///
    /// # Errors
    /// If there is another value, or the sum is too large. Nothing is then changed.
    pub fn increment(&mut self, field: &[u8], delta: i64) -> Result<i64, IncrementError> {
        let number = match self.get(field) {
            Some(value) => parse_i64(value).ok_or(IncrementError::NotAnInteger)?,
            None => 0,
        };
        let sum = number.checked_add(delta).ok_or(IncrementError::Overflow)?;
        let limit = self.limits().hash;
        self.alter(
            |hash| HashUndo::of(hash, std::iter::once(field)),
            |hash| {
                let mut digits = [0; INTEGER_DIGITS_MAX];
                hash.set(&[[field, format_i64(&mut digits, sum)]], limit);
                ((), 1)
            },
            |()| (HashOp::IncrementBy { field, delta }, Event::hash("hincrby")),
        );
        Ok(sum)
    }
}

/// See [`crate::types::collection::Collection::apply`].
pub(super) fn apply(hash: &mut Editor<'_, Hash>, op: &HashOp<'_>) -> Result<(), Misfit> {
    match *op {
        HashOp::Set { fields: [] } => return Err(Misfit),
        HashOp::Set { fields } => _ = hash.set(fields),
        // That there is none to remove is no misfit: another may have taken it.
        HashOp::Remove { fields } => _ = hash.remove(fields),
        HashOp::IncrementBy { field, delta } => {
            hash.increment(field, delta).map_err(|_| Misfit)?;
        }
    }
    Ok(())
}

/// See [`crate::types::collection::Collection::take_back`].
pub(super) fn take_back(hash: &mut Hash, undo: &HashUndo, limit: PackedLimit) {
    for (field, before) in &undo.0 {
        match before {
            Some(value) => _ = hash.set(&[[field, value]], limit),
            None => _ = hash.remove(field),
        }
    }
}

/// See [`crate::types::collection::Collection::undo_bytes`].
pub(super) fn undo_bytes(undo: &HashUndo) -> usize {
    let bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
    undo.0.iter().map(|(field, value)| field.len() + bytes(value) + 48).sum()
}
