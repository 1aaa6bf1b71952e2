//! The types, a row each: whoever needs something of an op or a value of any type asks here, and the type's file answers.
//!
//! Merging calls the types as the store does.

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, WireError};
use swytch_merge::{Effect as Primitive, Object, Value as Merged};
use swytch_store::{Op, OwnedValue, Part, Text, Type, Value};

use crate::{hash, key, list, set, sorted_set, stream, string};

macro_rules! types {
    ($($variant:ident($module:ident)),* $(,)?) => {
        /// Appends the fields of an op.
        pub(crate) fn put(op: &Op<'_>, out: &mut Vec<u8>) {
            match op {
                Op::Key(op) => key::put(op, out),
                Op::String(op) => string::put(op, out),
                $(Op::$variant(op) => $module::put(op, out)),*
            }
        }

        /// Reads the fields of the op with a tag, which must fill what is left, and hands it on.
        pub(crate) fn read(
            tag: u8,
            reader: Reader<'_>,
            act: &mut dyn FnMut(Op<'_>),
        ) -> Result<(), WireError> {
            match tag {
                tag if key::has(tag) => key::read(tag, reader, act),
                tag if string::has(tag) => string::read(tag, reader, act),
                $(tag if $module::has(tag) => $module::read(tag, reader, act),)*
                _ => Err(WireError::Invalid),
            }
        }

        /// What an op is in primitives of merging, on a key in the given state.
        pub(crate) fn primitives(op: &Op<'_>, before: Option<&Object>) -> Vec<Primitive> {
            match op {
                Op::Key(op) => key::primitives(op, before),
                Op::String(op) => string::primitives(op, before),
                $(Op::$variant(op) => $module::primitives(op, before)),*
            }
        }

        /// The wire form of the op that a primitive of merging is. `None`: it is on a type that the store has not.
        pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
            key::of_primitive(effect)
                .or_else(|| string::of_primitive(effect))
                $(.or_else(|| $module::of_primitive(effect)))*
        }

        /// A value as merging sees it.
        pub(crate) fn merged(value: Value<'_>) -> Merged {
            match value.data_type() {
                Type::String => Merged::String(Text::of(value).map(|text| text.to_vec()).unwrap_or_default()),
                $(Type::$variant => $module::merged(value)),*
            }
        }

        /// A merged value as the store holds it. `None`: it has no such type.
        pub(crate) fn unmerged(value: Merged) -> Option<OwnedValue> {
            match value {
                Merged::String(bytes) => Some(OwnedValue::String(bytes)),
                $(Merged::$variant(value) => Some($module::unmerged(value)),)*
                _ => None,
            }
        }

        /// Reads a part of a collection of this type, as [`put_part`](crate::object::put_part) writes it.
        pub(crate) fn part<'a>(data_type: Type, reader: &mut Reader<'a>) -> Result<Part<'a>, WireError> {
            match data_type {
                Type::String => Err(WireError::Invalid),
                $(Type::$variant => $module::part(reader)),*
            }
        }
    };
}

types! {
    List(list),
    Set(set),
    Hash(hash),
    SortedSet(sorted_set),
    Stream(stream),
}
