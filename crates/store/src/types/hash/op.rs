//! What hashes are changed by: every op, what takes it back, and the editor's functions that do it.

use std::collections::BTreeSet;

use swytch_decimal::{Digits, parse_i64};

use super::{EXPIRE_AT_MAX_MS, FieldValue, Hash, PackedLimit};
use crate::UnixMs;
use crate::effect::{Elements, Event};
use crate::keyspace::{Editor, Expiry, Misfit};
use crate::types::collection::Face;
use crate::types::string::op::IncrementError;

/// A change to a hash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HashOp<'a> {
    /// Fields get values, at least one does. A field may come more than once: the last value holds.
    Set {
        /// Them.
        fields: &'a [FieldValue<'a>],
        /// Whether those that are there expire as before; else none of them expires.
        keep_ttl: bool,
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
    /// Fields, of which some may not be there, expire at a time, or never.
    Expire {
        /// Them.
        fields: Elements<'a>,
        /// When.
        at_ms: Option<UnixMs>,
    },
}

/// The numbers of ops in wire forms and logs. Append only: a number is never given to another op.
#[allow(missing_docs, reason = "they are the ops of the same names")]
pub mod tag {
    pub const SET: u8 = 40;
    pub const REMOVE: u8 = 41;
    pub const INCREMENT_BY: u8 = 42;
    pub const EXPIRE: u8 = 43;
    /// All of them.
    pub const ALL: [u8; 4] = [SET, REMOVE, INCREMENT_BY, EXPIRE];
}

impl HashOp<'_> {
    /// Its number.
    pub fn tag(&self) -> u8 {
        match self {
            HashOp::Set { .. } => tag::SET,
            HashOp::Remove { .. } => tag::REMOVE,
            HashOp::IncrementBy { .. } => tag::INCREMENT_BY,
            HashOp::Expire { .. } => tag::EXPIRE,
        }
    }
}

/// What takes a change to a hash back: what was in each field, and when it expired, if it was there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HashUndo(Vec<(Vec<u8>, Before)>);

/// The value of a field, and when it expired.
type Before = Option<(Vec<u8>, Option<UnixMs>)>;

impl HashUndo {
    fn of<'f>(hash: &Hash, names: impl IntoIterator<Item = &'f [u8]>) -> HashUndo {
        let distinct: BTreeSet<&[u8]> = names.into_iter().collect();
        let before = |name: &[u8]| hash.find(name).map(|field| (field.value.to_vec(), field.expire_at_ms));
        HashUndo(distinct.into_iter().map(|name| (name.to_vec(), before(name))).collect())
    }

    fn of_elements(hash: &Hash, names: Elements<'_>) -> HashUndo {
        let mut all = Vec::new();
        names.for_each(|name| all.push(name));
        HashUndo::of(hash, all)
    }
}

impl Editor<'_, Hash> {
    /// Gives fields their values and returns how many are new. None of them expires then.
    #[inline]
    pub fn set(&mut self, fields: &[FieldValue<'_>]) -> usize {
        self.set_for(fields, false, Event::hash("hset"))
    }

    /// [`Editor::set`] as the outcome of something else, which may keep when fields expire.
    pub fn set_for(&mut self, fields: &[FieldValue<'_>], keep_ttl: bool, event: Event) -> usize {
        let limit = self.limits().hash;
        // Said only where there is something to keep: logs are read by versions whose fields do not expire.
        let expires = |field: &[u8]| self.find(field).is_some_and(|field| field.expire_at_ms.is_some());
        let keep_ttl = keep_ttl && fields.iter().any(|[field, _]| expires(field));
        let expiry = if keep_ttl { Expiry::Keep } else { Expiry::Clear };
        self.alter(
            |hash| HashUndo::of(hash, fields.iter().map(|[field, _]| *field)),
            |hash| (hash.set(fields, expiry, limit), fields.len() as u64),
            |_| (HashOp::Set { fields, keep_ttl }, event),
        )
    }

    /// Removes fields and returns how many there were.
    pub fn remove(&mut self, fields: Elements<'_>) -> usize {
        self.remove_for(fields, Event::hash("hdel"))
    }

    /// [`Editor::remove`] as the outcome of something else.
    pub fn remove_for(&mut self, fields: Elements<'_>, event: Event) -> usize {
        self.alter(
            |hash| HashUndo::of_elements(hash, fields),
            |hash| {
                let mut removed = 0;
                fields.for_each(|field| removed += usize::from(hash.remove(field)));
                (removed, removed as u64)
            },
            |_| (HashOp::Remove { fields }, event),
        )
    }

    /// Lets fields, those of them that are there, expire at a time or never.
    pub fn expire(&mut self, fields: Elements<'_>, at_ms: Option<UnixMs>) {
        let event = Event::hash(if at_ms.is_some() { "hexpire" } else { "hpersist" });
        self.alter(
            |hash| HashUndo::of_elements(hash, fields),
            |hash| {
                let mut expiring = 0;
                fields.for_each(|name| {
                    if hash.find(name).is_some_and(|field| field.expire_at_ms != at_ms) {
                        hash.set_deadline(name, at_ms);
                        expiring += 1;
                    }
                });
                ((), expiring)
            },
            |()| (HashOp::Expire { fields, at_ms }, event),
        );
    }

    /// Takes the form in which fields can expire, whether or not one does (Redis: `hashTypeSetExInit`).
    pub fn make_room_for_deadlines(&mut self) {
        self.arrange(Hash::make_room_for_deadlines);
    }

    /// Removes those of some fields whose time is over.
    pub fn forget(&mut self, fields: Elements<'_>, now_ms: UnixMs) {
        if self.due_ms().is_none_or(|due_ms| due_ms > now_ms) {
            return;
        }
        let mut due = Vec::new();
        fields.for_each(|name| {
            if self.find(name).is_some_and(|field| !field.is_live(now_ms)) {
                due.push(name);
            }
        });
        self.expired(&due);
    }

    /// Removes fields whose time is over, at most `count`.
    pub(super) fn expire_due(&mut self, now_ms: UnixMs, count: usize) {
        let due = self.arrange(|hash| hash.take_due(now_ms, count));
        self.expired(&due.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    fn expired(&mut self, due: &[&[u8]]) {
        if !due.is_empty() {
            let removed = self.remove_for(Elements::Many(due), Event::hash("hexpired"));
            self.count_expired(removed as u64);
        }
    }

    /// Adds a number to the integer in a field, or to 0 where there is none, and returns the sum.
    ///
    /// # Errors
    /// If there is another value, or the sum is too large. Nothing is then changed.
    pub fn increment(&mut self, field: &[u8], delta: i64) -> Result<i64, IncrementError> {
        let number = match self.find(field) {
            Some(field) => parse_i64(field.value).ok_or(IncrementError::NotAnInteger)?,
            None => 0,
        };
        let sum = number.checked_add(delta).ok_or(IncrementError::Overflow)?;
        let limit = self.limits().hash;
        self.alter(
            |hash| HashUndo::of(hash, [field]),
            |hash| {
                hash.set(&[[field, &Digits::of(sum)]], Expiry::Keep, limit);
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
        HashOp::Set { fields: [], .. } => return Err(Misfit),
        HashOp::Set { fields, keep_ttl } => _ = hash.set_for(fields, keep_ttl, Event::hash("hset")),
        // That there is none is no misfit: another may have taken it.
        HashOp::Remove { fields } => _ = hash.remove(fields),
        HashOp::Expire { at_ms, .. } if at_ms > Some(EXPIRE_AT_MAX_MS) => return Err(Misfit),
        HashOp::Expire { fields, at_ms } => hash.expire(fields, at_ms),
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
            Some((value, at_ms)) => {
                let expiry = at_ms.map_or(Expiry::Clear, Expiry::At);
                hash.set(&[[field, value]], expiry, limit);
            }
            None => _ = hash.remove(field),
        }
    }
}

/// See [`crate::types::collection::Collection::undo_bytes`].
pub(super) fn undo_bytes(undo: &HashUndo) -> usize {
    let bytes = |before: &Before| before.as_ref().map_or(0, |(value, _)| value.len());
    undo.0.iter().map(|(field, before)| field.len() + bytes(before) + 64).sum()
}
