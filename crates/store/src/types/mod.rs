//! The data types: a folder and a row each.
//!
//! A row in `collections!` makes a type known: to entries, which hold it, to effects, which say its ops, and to undos.
//! Whoever works with values of any type asks their [`Face`]; nothing outside a type's own files names it. Strings have a
//! folder and no row: they are what an entry holds itself.
//!
//! The rows are where a word of an entry is taken for a collection's handle, by unsafe code: its kind says whose it is.

pub mod collection;
pub mod content;
mod draw;
pub mod hash;
pub mod limits;
pub mod list;
mod packed;
mod pages;
pub mod range;
pub mod set;
pub mod side;
pub mod sorted_set;
pub mod stream;
pub mod string;

use collection::{Collection, Face, Row, Typed};
use limits::EncodingLimits;
use string::op::{StringOp, StringUndo};

use crate::effect::KeyOp;
use crate::entry::{Entry, NewValue};
use crate::keyspace::{KeyspaceMut, Misfit};
use crate::{Key, UnixMs};

/// How a value is stored, by the names of OBJECT ENCODING. Where our form differs from Redis's it has the name that
/// Redis would give the same content under the same limits.
#[allow(missing_docs, reason = "they are names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Int,
    Embstr,
    Raw,
    Listpack,
    Listpackex,
    Quicklist,
    Intset,
    /// What Redis before 7.0 had in a listpack's place.
    Ziplist,
    Hashtable,
    Skiplist,
    Stream,
}

impl Encoding {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Raw => "raw",
            Encoding::Listpack => "listpack",
            Encoding::Listpackex => "listpackex",
            Encoding::Quicklist => "quicklist",
            Encoding::Intset => "intset",
            Encoding::Ziplist => "ziplist",
            Encoding::Hashtable => "hashtable",
            Encoding::Skiplist => "skiplist",
            Encoding::Stream => "stream",
        }
    }
}

/// Makes everything that lists the types, from a row for each: its folder, its type, its ops and what takes them back.
macro_rules! collections {
    ($($variant:ident($module:ident::{$collection:ident, $op:ident, $undo:ident})),* $(,)?) => {
        /// The data type of a value.
        #[allow(missing_docs, reason = "they are names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Type {
            String,
            $($variant),*
        }

        impl Type {
            /// All of them, in their order.
            pub const ALL: &[Type] = &[Type::String, $(Type::$variant),*];

            /// The name that TYPE and SCAN's TYPE option use.
            pub fn name(self) -> &'static str {
                match self {
                    Type::String => "string",
                    $(Type::$variant => $module::$collection::NAME),*
                }
            }

            /// The name of several.
            pub fn plural(self) -> &'static str {
                match self {
                    Type::String => "strings",
                    $(Type::$variant => $module::$collection::PLURAL),*
                }
            }

            /// The type of this number.
            pub fn of_number(number: u8) -> Option<Type> {
                match number {
                    0 => Some(Type::String),
                    $($module::$collection::NUMBER => Some(Type::$variant),)*
                    _ => None,
                }
            }

            /// Removes parts of a value of this type whose time is over, at most `count`.
            pub(crate) fn expire_parts(self, keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>, count: usize) {
                match self {
                    Type::String => {}
                    $(Type::$variant => keyspace.expire_parts_of::<$module::$collection>(key, count)),*
                }
            }

            /// Its number in Redis's files and digests.
            pub fn number(self) -> u8 {
                match self {
                    Type::String => 0,
                    $(Type::$variant => $module::$collection::NUMBER),*
                }
            }
        }

        /// How an entry holds its value.
        #[doc(hidden)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Kind {
            /// An integer in the entry, little-endian.
            Integer,
            /// A string in the entry.
            Embedded,
            /// A string in its own growable allocation, which replies may share.
            Raw,
            // Collections, whose handle is a word of the entry.
            $($variant),*
        }

        impl Kind {
            /// The data type.
            #[inline]
            pub(crate) fn data_type(self) -> Type {
                match self {
                    Kind::Integer | Kind::Embedded | Kind::Raw => Type::String,
                    $(Kind::$variant => Type::$variant),*
                }
            }

            /// The collection whose handle is at `word`; `None` for a string.
            ///
            /// # Safety
            /// The handle there is of this kind, and for `'a` nobody changes it.
            #[inline]
            pub(crate) unsafe fn face<'a>(self, word: *const u64) -> Option<&'a dyn Face> {
                match self {
                    Kind::Integer | Kind::Embedded | Kind::Raw => None,
                    // SAFETY: by the contract.
                    $(Kind::$variant => Some(unsafe { &*word.cast::<$module::$collection>() })),*
                }
            }

            /// Frees the collection whose handle is at `word`, if there is one.
            ///
            /// # Safety
            /// The handle there is of this kind and not used any more.
            #[inline]
            pub(crate) unsafe fn drop_in_place(self, word: *mut u64) {
                match self {
                    Kind::Integer | Kind::Embedded | Kind::Raw => {}
                    // SAFETY: by the contract.
                    $(Kind::$variant => unsafe { word.cast::<$module::$collection>().drop_in_place() }),*
                }
            }
        }

        $(
            impl Typed for $module::$collection {
                fn data_type(&self) -> Type {
                    Type::$variant
                }

                fn to_owned_value(&self) -> OwnedValue {
                    OwnedValue::$variant(self.clone())
                }

                fn as_any(&self) -> &dyn std::any::Any {
                    self
                }
            }

            // SAFETY: the kind is this row's alone, and a handle is a word.
            unsafe impl Row for $module::$collection {
                const KIND: Kind = {
                    assert!(size_of::<$module::$collection>() == size_of::<u64>());
                    assert!(align_of::<$module::$collection>() <= align_of::<u64>());
                    Kind::$variant
                };
                const TYPE: Type = Type::$variant;

                fn owned(self) -> OwnedValue {
                    OwnedValue::$variant(self)
                }

                fn op(op: Self::Op<'_>) -> Op<'_> {
                    Op::$variant(op)
                }

                fn part(undo: Self::Undo) -> PartUndo {
                    PartUndo::$variant(undo)
                }
            }
        )*

        /// A value of its own, apart from any keyspace. Two are equal when their contents are.
        #[allow(missing_docs, reason = "they are the types")]
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum OwnedValue {
            String(Vec<u8>),
            $($variant($module::$collection)),*
        }

        impl OwnedValue {
            /// An empty value of a type.
            pub fn empty(data_type: Type) -> OwnedValue {
                match data_type {
                    Type::String => OwnedValue::String(Vec::new()),
                    $(Type::$variant => OwnedValue::$variant($module::$collection::default())),*
                }
            }

            /// The collection, if it is one.
            pub fn face(&self) -> Option<&dyn Face> {
                match self {
                    OwnedValue::String(_) => None,
                    $(OwnedValue::$variant(value) => Some(value)),*
                }
            }

            /// The collection, if it is one, to change.
            pub(crate) fn face_mut(&mut self) -> Option<&mut dyn Face> {
                match self {
                    OwnedValue::String(_) => None,
                    $(OwnedValue::$variant(value) => Some(value)),*
                }
            }

            /// Takes a change to part of the value back.
            pub(crate) fn take_back(&mut self, undo: &PartUndo, limits: &EncodingLimits) {
                match (self, undo) {
                    (OwnedValue::String(text), PartUndo::String(undo)) => undo.take_back(text),
                    $((OwnedValue::$variant(value), PartUndo::$variant(undo)) => value.take_back(undo, limits),)*
                    (value, undo) => debug_assert!(false, "{undo:?} is for another state than {value:?}"),
                }
            }

            /// The value at a key.
            pub(crate) fn into_entry(self, key: &[u8], expire_at_ms: Option<UnixMs>, clock: u32) -> Entry {
                match self {
                    OwnedValue::String(text) => Entry::new(key, NewValue::String(&text), expire_at_ms, clock),
                    $(OwnedValue::$variant(value) => Entry::holding(key, value, expire_at_ms, clock)),*
                }
            }
        }

        /// A change to one key, in a deterministic form that says all there is to it.
        #[allow(missing_docs, reason = "they are the types")]
        #[derive(Clone, Copy, Debug)]
        pub enum Op<'a> {
            /// On a value of any type.
            Key(KeyOp<'a>),
            String(StringOp<'a>),
            $($variant($module::$op<'a>)),*
        }

        impl Op<'_> {
            /// Its number in wire forms and logs, which is no other op's.
            pub fn tag(&self) -> u8 {
                match self {
                    Op::Key(op) => op.tag(),
                    Op::String(op) => op.tag(),
                    $(Op::$variant(op) => op.tag()),*
                }
            }

            /// Does the op on a key that is as it was where the op was said first.
            ///
            /// # Errors
            /// If it does not fit; nothing is then changed.
            pub fn apply(&self, keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>) -> Result<(), Misfit> {
                match self {
                    Op::Key(op) => op.apply(keyspace, key),
                    Op::String(op) => op.apply(keyspace, key),
                    $(Op::$variant(op) => keyspace.apply_to::<$module::$collection>(key, op)),*
                }
            }
        }

        /// What takes a change to part of a value back.
        #[allow(missing_docs, reason = "they are the types")]
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum PartUndo {
            String(StringUndo),
            $($variant($module::$undo)),*
        }

        impl PartUndo {
            /// The type it is for.
            pub(crate) fn data_type(&self) -> Type {
                match self {
                    PartUndo::String(_) => Type::String,
                    $(PartUndo::$variant(_) => Type::$variant),*
                }
            }

            /// Bytes that it holds, roughly.
            pub(crate) fn size_bytes(&self) -> usize {
                match self {
                    PartUndo::String(undo) => undo.size_bytes(),
                    $(PartUndo::$variant(undo) => $module::$collection::undo_bytes(undo)),*
                }
            }

            /// Takes it back on the value of a key where that needs no whole value; false where it does.
            pub(crate) fn take_back_at(&self, keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>) -> bool {
                match self {
                    PartUndo::String(_) => false,
                    $(PartUndo::$variant(undo) => {
                        keyspace.take_back_at::<$module::$collection>(key, undo);
                        true
                    }),*
                }
            }
        }

        /// Every type's ops are done, done again, and taken back.
        #[cfg(test)]
        #[test]
        fn every_row_is_walked() {
            $(tests::walk_type::<$module::$collection>();)*
        }

        /// No number is given to two ops.
        #[cfg(test)]
        #[test]
        fn every_op_has_a_number_of_its_own() {
            use crate::effect::tag::{DELETE, EXPIRE_AT, REPLACE};
            let mut tags = vec![DELETE, EXPIRE_AT, REPLACE];
            tags.extend(string::op::tag::ALL);
            $(tags.extend(<$module::$collection as tests::Sample>::TAGS);)*
            let distinct: std::collections::BTreeSet<u8> = tags.iter().copied().collect();
            assert_eq!(tags.len(), distinct.len(), "{tags:?}");
        }
    };
}

collections! {
    List(list::{List, ListOp, ListUndo}),
    Set(set::{Set, SetOp, SetUndo}),
    Hash(hash::{Hash, HashOp, HashUndo}),
    SortedSet(sorted_set::{SortedSet, SortedSetOp, SortedSetUndo}),
    Stream(stream::{Stream, StreamOp, StreamUndo}),
}

#[cfg(test)]
pub(crate) mod tests;
