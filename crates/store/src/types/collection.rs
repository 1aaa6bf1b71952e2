//! What every collection is: its face to all who only look at it, and what changing it takes.
//!
//! [`Face`] is all that anybody outside a type's folder may ask of a value: DEBUG DIGEST, dumps, snapshots, copies for
//! other nodes, MEMORY USAGE, how long freeing takes. [`Collection`] is what the door needs to change one: its ops, what takes each
//! back, and a property that `types::tests` checks for every row: an op done again on a copy gives the same, and its undo
//! gives what was there. [`Row`] is an unsafe trait, because an entry trusts it.

use std::fmt::Debug;
use std::hash::Hash;
use std::ops::ControlFlow;

use super::content::Part;
use super::limits::EncodingLimits;
use super::{Encoding, Kind, Op, OwnedValue, PartUndo, Type};
use crate::UnixMs;
use crate::keyspace::{Editor, Misfit};

/// What the row of a collection's type says of it.
pub trait Typed {
    /// Its type.
    fn data_type(&self) -> Type;

    /// A copy.
    fn to_owned_value(&self) -> OwnedValue;

    /// It as a value of a type that is to be found out.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// What all may ask of a collection, whatever its type.
pub trait Face: Typed + Debug + Send {
    /// Number of elements, members or fields.
    fn len(&self) -> usize;

    /// True when there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What OBJECT ENCODING answers.
    fn encoding(&self) -> Encoding;

    /// Bytes outside of its entry.
    fn memory_bytes(&self) -> usize;

    /// How many allocations they are, roughly: the time that freeing them takes.
    fn allocations(&self) -> usize;

    /// A time before which no part of it expires; none where no part ever does.
    #[inline]
    fn due_ms(&self) -> Option<UnixMs> {
        None
    }

    /// How many parts [`Face::content`] shows.
    fn parts(&self) -> usize {
        self.len()
    }

    /// Shows the whole value, part by part, in an order that depends on the content only, until told to stop.
    fn content(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()>;

    /// [`Face::content`] in whatever order costs least, for who makes nothing of the order of members.
    fn any_order(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.content(visit)
    }

    /// Adds a part as [`Face::content`] shows it, behind those that are there.
    ///
    /// # Errors
    /// If it is of another type.
    fn add(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit>;

    /// [`Face::add`] of a part whose name no other has; it need not be looked for.
    ///
    /// # Errors
    /// If it is of another type.
    fn add_new(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        self.add(part, limits)
    }

    /// [`Face::add`] of one part after the other.
    ///
    /// # Errors
    /// If one is of another type.
    fn add_many(&mut self, parts: &[Part<'_>], limits: &EncodingLimits) -> Result<(), Misfit> {
        add_each(self, parts, limits)
    }

    /// Takes the form of as many parts as are about to be added, if they need a big one.
    fn expect_many(&mut self, _parts: usize, _limits: &EncodingLimits) {}

    /// Whether a part can be added, said before many are; what adds them one by one says so then.
    fn fits(&self, _part: Part<'_>) -> bool {
        false
    }

    /// True while adding many at once takes less time than adding one after the other.
    fn takes_many(&self) -> bool {
        false
    }

    /// Takes the form that costs least, now that all parts are there.
    fn settle(&mut self) {}

    /// Sends for what looking these members up reads, where that may lie far from the processor.
    fn prefetch(&self, _: &mut dyn Iterator<Item = &[u8]>) {}

    /// True while finding a member takes a look at all before it.
    fn is_searched(&self) -> bool {
        false
    }
}

/// Adds parts one by one.
pub(super) fn add_each<F: Face + ?Sized>(
    face: &mut F,
    parts: &[Part<'_>],
    limits: &EncodingLimits,
) -> Result<(), Misfit> {
    parts.iter().try_for_each(|part| face.add(*part, limits))
}

/// Ties a type to its row in [`collections!`](super).
///
/// # Safety
/// The kind is no other type's, and the type has the size of a word.
pub unsafe trait Row: Collection {
    #[doc(hidden)]
    const KIND: Kind;

    /// The type.
    const TYPE: Type;

    /// It as a value of any type.
    fn owned(self) -> OwnedValue;

    /// An op of it as an op on any type.
    fn op(op: Self::Op<'_>) -> Op<'_>;

    /// An undo of it as that of any type.
    fn part(undo: Self::Undo) -> PartUndo;
}

/// A collection.
pub trait Collection: Face + Clone + Default + PartialEq + Eq + Hash + 'static {
    /// What TYPE answers.
    const NAME: &'static str;
    /// What several are called.
    const PLURAL: &'static str;
    /// Its number in Redis's files and digests.
    const NUMBER: u8;
    /// Streams stay when they are empty; the key of any other collection goes.
    const STAYS_EMPTY: bool = false;

    /// Its ops.
    type Op<'a>: Copy + Debug;
    /// What takes an op back.
    type Undo: Clone + Debug + Eq + Hash;

    /// Does an op that a log or a peer says. Where there is no key the editor is that of an empty value.
    ///
    /// # Errors
    /// If it does not fit; nothing is then changed.
    fn apply(editor: &mut Editor<'_, Self>, op: &Self::Op<'_>) -> Result<(), Misfit>
    where
        Self: Row;

    /// Takes an op back on a value that is as the op has left it.
    fn take_back(&mut self, undo: &Self::Undo, limits: &EncodingLimits);

    /// Bytes that an undo holds, roughly.
    fn undo_bytes(undo: &Self::Undo) -> usize;

    /// Removes parts whose time is over, at most `count`; only a type with such parts has something to do.
    fn expire_parts(_: &mut Editor<'_, Self>, _: UnixMs, _: usize)
    where
        Self: Row,
    {
    }
}
