//! Undo: what an effect overwrote, and how it is taken back.
//!
//! What is kept is in proportion to the change and not to the value: a pop keeps the popped elements, an append the
//! length before. Only what replaces or removes a whole value keeps it. An undo is good for the very state its effect
//! has left; undos of several effects come in the reverse order.
//!
//! Undos are made by the door (`keyspace::door`), together with the change. [`Undo::roll_back`] works on a value apart
//! from any keyspace, [`crate::KeyspaceMut::undo`] in place; both end in the same function of the type.

use crate::UnixMs;
use crate::effect::{At, Effect, KeyspaceOp};
use crate::entry::EntryRef;
use crate::types::limits::EncodingLimits;
use crate::types::{OwnedValue, PartUndo};

/// A value of its own, apart from any keyspace, with its expiry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnedEntry {
    /// The value.
    pub value: OwnedValue,
    /// When it expires.
    pub expire_at_ms: Option<UnixMs>,
}

impl OwnedEntry {
    /// A copy of an entry.
    pub fn of(entry: EntryRef<'_>) -> Self {
        OwnedEntry { value: entry.value().to_owned_value(), expire_at_ms: entry.expire_at_ms() }
    }
}

/// What takes one effect back.
#[allow(missing_docs, reason = "the fields say what the variants keep")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EffectUndo {
    /// On its one key.
    Key(Undo),
    /// [`At::Transfer`], on either key.
    Transfer { from: Undo, to: Undo },
    /// [`KeyspaceOp::Rename`] and [`KeyspaceOp::Move`]: what was moved, and what was there where it came to.
    Moved { moved: OwnedEntry, overwritten: Undo },
    /// [`KeyspaceOp::Copy`]: the copy, and what was there where it came to.
    Copied { copy: OwnedEntry, overwritten: Undo },
}

impl EffectUndo {
    /// What takes the effect whose undo this is back on each of its keys, in the order of what happened.
    pub fn each_key(self, effect: &Effect<'_>, mut take: impl FnMut(u32, &[u8], Undo)) {
        let db = effect.db;
        match (self, effect.at) {
            (EffectUndo::Key(undo), At::Key { key, .. }) => take(db, key, undo),
            (EffectUndo::Transfer { from: source, to: target }, At::Transfer { from, to, .. }) => {
                take(db, from, source);
                take(db, to, target);
            }
            (EffectUndo::Moved { moved, overwritten }, At::Keyspace(KeyspaceOp::Rename { from, to })) => {
                take(db, from, Undo::of_whole(moved));
                take(db, to, overwritten);
            }
            (EffectUndo::Moved { moved, overwritten }, At::Keyspace(KeyspaceOp::Move { key, to_db })) => {
                take(db, key, Undo::of_whole(moved));
                take(to_db, key, overwritten);
            }
            (EffectUndo::Copied { overwritten, .. }, At::Keyspace(KeyspaceOp::Copy { to, to_db, .. })) => {
                take(to_db, to, overwritten);
            }
            (undo, _) => debug_assert!(false, "{undo:?} is for another effect than {effect:?}"),
        }
    }
}

/// What takes one effect back on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Undo {
    pub(crate) overwritten: Overwritten,
    /// The expiry before, where the key was there.
    pub(crate) expire_at_ms: Option<UnixMs>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Overwritten {
    /// There was no key.
    Absent,
    /// The whole value.
    Whole(OwnedValue),
    /// Nothing but the expiry.
    Expiry,
    /// Part of the value.
    Part(PartUndo),
}

impl Undo {
    /// There was no key before.
    pub(crate) const ABSENT: Undo = Undo { overwritten: Overwritten::Absent, expire_at_ms: None };

    /// The whole entry was what is given before.
    pub(crate) fn of_whole(before: OwnedEntry) -> Undo {
        Undo { overwritten: Overwritten::Whole(before.value), expire_at_ms: before.expire_at_ms }
    }

    /// The entry, or its absence, before.
    pub(crate) fn of(before: Option<EntryRef<'_>>) -> Undo {
        before.map_or(Undo::ABSENT, |entry| Undo::of_whole(OwnedEntry::of(entry)))
    }

    /// The value stays; the expiry was that of the entry.
    pub(crate) fn of_expiry(before: Option<EntryRef<'_>>) -> Undo {
        let expire_at_ms = before.and_then(EntryRef::expire_at_ms);
        Undo { overwritten: Overwritten::Expiry, expire_at_ms }
    }

    /// Part of a value that was there.
    pub(crate) fn of_part(part: PartUndo, expire_at_ms: Option<UnixMs>) -> Undo {
        Undo { overwritten: Overwritten::Part(part), expire_at_ms }
    }

    /// Bytes that it holds, roughly.
    pub fn size_bytes(&self) -> usize {
        size_of::<Undo>()
            + match &self.overwritten {
                Overwritten::Whole(OwnedValue::String(bytes)) => bytes.len(),
                Overwritten::Whole(value) => value.face().map_or(0, |face| face.memory_bytes()),
                Overwritten::Part(part) => part.size_bytes(),
                Overwritten::Absent | Overwritten::Expiry => 0,
            }
    }

    /// Takes the effect back on a key that is as the effect has left it.
    pub fn roll_back(&self, entry: &mut Option<OwnedEntry>) {
        let value = match &self.overwritten {
            Overwritten::Absent => return *entry = None,
            Overwritten::Whole(value) => Some(value.clone()),
            Overwritten::Expiry => entry.take().map(|entry| entry.value),
            Overwritten::Part(part) => {
                // A collection that lost its last element is gone.
                let now = entry.take().map(|entry| entry.value);
                let mut value = now.unwrap_or_else(|| OwnedValue::empty(part.data_type()));
                value.take_back(part, &EncodingLimits::default());
                Some(value)
            }
        };
        *entry = value.map(|value| OwnedEntry { value, expire_at_ms: self.expire_at_ms });
    }
}

#[cfg(test)]
mod tests;
