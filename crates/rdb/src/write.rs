//! One value: from its parts to its type byte and its bytes. The mirror of `object`.
//!
//! What a value is written as follows from its kind, the form that its owner has it in, and the version: small forms are
//! listpacks from the version on that has them, and ziplists or element by element before. A value that no form of the
//! version can say raises the version ([`Value::version_min`]).

use std::io::Write;

use crate::object::{NODE_PACKED, NODE_PLAIN};
use crate::output::Output;
use crate::packed::{Entry, ListpackWriter, ZiplistWriter, intset};
use crate::{Kind, Layout, Part, stream_writer};

/// Versions that can be written: from what Redis 5 and 6 read to what Redis 8.6 writes.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 9..=13;
/// The version that is written by default: the newest that Redis 7.2, Valkey and all later ones read.
pub const VERSION_DEFAULT: u32 = 11;

/// The version in which Valkey, from 9.0 on, lets fields of a hash expire. It knows no producers of streams.
pub const VERSION_VALKEY: u32 = 80;

/// How values are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// The version, one of [`VERSIONS`] or [`VERSION_VALKEY`].
    pub version: u32,
    /// Whether strings are compressed where that makes them shorter.
    pub compress: bool,
}

impl Default for WriteOptions {
    fn default() -> WriteOptions {
        WriteOptions { version: VERSION_DEFAULT, compress: true }
    }
}

/// How the owner of a value has it, which is how its reader will have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Small enough to be one packed string.
    Packed,
    /// A set of integers, small enough to be one string.
    Integers,
    /// Anything else.
    Open,
}

/// Shows a value's parts to who is given; the same each time.
pub type Show<'v> = dyn Fn(&mut dyn FnMut(Part<'_>)) + 'v;

/// A value to be written.
pub struct Value<'v> {
    /// What it is.
    pub kind: Kind,
    /// How it is to be written.
    pub form: Form,
    /// How many parts it has.
    pub len: usize,
    /// It is a hash of which fields may expire: nobody looks for them otherwise.
    pub may_expire: bool,
    /// It is a stream that knows producers.
    pub has_producers: bool,
    /// Shows them; those of a small sorted set in its order.
    pub parts: &'v Show<'v>,
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value")
            .field("kind", &self.kind)
            .field("form", &self.form)
            .field("len", &self.len)
            .finish()
    }
}

impl Value<'_> {
    /// The oldest version that can say the value.
    pub fn version_min(&self) -> u32 {
        if self.has_producers {
            IDEMPOTENT_VERSION_MIN
        } else if self.earliest_ms().is_some() {
            EXPIRING_VERSION_MIN
        } else {
            *VERSIONS.start()
        }
    }

    /// When the first of its fields expires, if one does.
    fn earliest_ms(&self) -> Option<u64> {
        let mut earliest_ms: Option<u64> = None;
        if self.may_expire {
            (self.parts)(&mut |part| {
                if let Part::Field { expires_ms: Some(at_ms), .. } = part {
                    earliest_ms = Some(earliest_ms.map_or(at_ms, |earliest_ms| earliest_ms.min(at_ms)));
                }
            });
        }
        earliest_ms
    }
}

/// Bytes of several elements that one node of a list has at most, as it has in Redis by default.
const NODE_BYTES_MAX: usize = 8 << 10;
/// Longest element that is packed; a longer one has a node for itself, or in old versions a list without nodes.
const PACKED_BYTES_MAX: usize = 1 << 30;

/// Versions from which on there are lists of listpacks, hashes and sorted sets that are one; and sets that are one.
const LISTPACK_VERSION_MIN: u32 = 10;
const LISTPACK_SET_VERSION_MIN: u32 = 11;
/// The version from which on fields of a hash can expire.
const EXPIRING_VERSION_MIN: u32 = 12;
/// The version from which on a stream knows producers.
const IDEMPOTENT_VERSION_MIN: u32 = 13;

/// Whether a version says what needs another one.
pub fn version_says(version: u32, needed: u32) -> bool {
    if version == VERSION_VALKEY { needed < IDEMPOTENT_VERSION_MIN } else { needed <= version }
}

/// Type bytes, as in `object::meaning`.
mod number {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const HASH: u8 = 4;
    pub(super) const SORTED_SET: u8 = 5;
    pub(super) const INTSET: u8 = 11;
    pub(super) const SORTED_SET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const QUICKLIST: u8 = 14;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const SORTED_SET_LISTPACK: u8 = 17;
    pub(super) const QUICKLIST_2: u8 = 18;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM: u8 = 15;
    pub(super) const STREAM_HISTORY: u8 = 19;
    pub(super) const STREAM_ACTIVE: u8 = 21;
    pub(super) const STREAM_IDEMPOTENT: u8 = 26;
    pub(super) const HASH_EXPIRING_VALKEY: u8 = 22;
    pub(super) const HASH_EXPIRING: u8 = 24;
    pub(super) const HASH_LISTPACK_EXPIRING: u8 = 25;
}

/// Writes the type byte, what `between` writes, and the value.
pub(crate) fn write<W: Write>(
    output: &mut Output<W>,
    version: u32,
    value: &Value<'_>,
    between: impl FnOnce(&mut Output<W>),
) {
    let is_valkey = version == VERSION_VALKEY;
    if let Some(earliest_ms) = value.earliest_ms() {
        output.byte(match value.form {
            _ if is_valkey => number::HASH_EXPIRING_VALKEY,
            Form::Packed => number::HASH_LISTPACK_EXPIRING,
            _ => number::HASH_EXPIRING,
        });
        between(output);
        return match is_valkey {
            true => write_expiring_behind(output, value),
            false => write_expiring(output, earliest_ms, value),
        };
    }
    let number = number_of(if is_valkey { VERSION_DEFAULT } else { version }, value);
    output.byte(number);
    between(output);
    match number {
        number::STRING => (value.parts)(&mut |part| output.string(text(&part))),
        number::QUICKLIST => write_nodes(output, Node::Ziplist(ZiplistWriter::new()), value),
        number::QUICKLIST_2 => write_nodes(output, Node::Listpack(ListpackWriter::new()), value),
        number::INTSET => {
            let mut numbers = Vec::with_capacity(value.len);
            (value.parts)(&mut |part| numbers.extend(swytch_decimal::parse_i64(text(&part))));
            output.string(&intset::write(&mut numbers));
        }
        number::SET_LISTPACK | number::HASH_LISTPACK | number::SORTED_SET_LISTPACK => {
            let mut packed = ListpackWriter::new();
            (value.parts)(&mut |part| pack(part, |entry| packed.push(entry)));
            packed.finish(|bytes| output.string(bytes));
        }
        number::HASH_ZIPLIST | number::SORTED_SET_ZIPLIST => {
            let mut packed = ZiplistWriter::new();
            (value.parts)(&mut |part| pack(part, |entry| packed.push(entry)));
            packed.finish(|bytes| output.string(bytes));
        }
        number::STREAM => stream_writer::write(output, Layout::First, value),
        number::STREAM_HISTORY => stream_writer::write(output, Layout::History, value),
        number::STREAM_ACTIVE => stream_writer::write(output, Layout::Active, value),
        number::STREAM_IDEMPOTENT => stream_writer::write(output, Layout::Idempotent, value),
        _ => {
            output.length(value.len as u64);
            (value.parts)(&mut |part| write_plain(output, part));
        }
    }
}

/// The type byte of what the value is written as.
fn number_of(version: u32, value: &Value<'_>) -> u8 {
    match (value.kind, value.form) {
        (Kind::String, _) => number::STRING,
        (Kind::List, _) if version >= LISTPACK_VERSION_MIN => number::QUICKLIST_2,
        (Kind::List, _) => {
            let mut longest = 0;
            (value.parts)(&mut |part| longest = longest.max(text(&part).len()));
            if longest < PACKED_BYTES_MAX { number::QUICKLIST } else { number::LIST }
        }
        (Kind::Set, Form::Integers) => number::INTSET,
        (Kind::Set, Form::Packed) if version >= LISTPACK_SET_VERSION_MIN => number::SET_LISTPACK,
        (Kind::Set, _) => number::SET,
        (Kind::Hash, Form::Packed) if version >= LISTPACK_VERSION_MIN => number::HASH_LISTPACK,
        (Kind::Hash, Form::Packed) => number::HASH_ZIPLIST,
        (Kind::Hash, _) => number::HASH,
        (Kind::SortedSet, Form::Packed) if version >= LISTPACK_VERSION_MIN => number::SORTED_SET_LISTPACK,
        (Kind::SortedSet, Form::Packed) => number::SORTED_SET_ZIPLIST,
        (Kind::SortedSet, _) => number::SORTED_SET,
        (Kind::Stream, _) => match version {
            ..10 => number::STREAM,
            10 => number::STREAM_HISTORY,
            11..IDEMPOTENT_VERSION_MIN => number::STREAM_ACTIVE,
            _ => number::STREAM_IDEMPOTENT,
        },
        (Kind::Module, _) => {
            unreachable!("{value:?} is of a kind that no owner has")
        }
    }
}

/// The bytes of a part that is nothing else.
fn text<'a>(part: &Part<'a>) -> &'a [u8] {
    match part {
        Part::Text(bytes) | Part::Element(bytes) => bytes,
        _ => unreachable!("{part:?} is not of the kind that was announced"),
    }
}

/// Shows the entries of a packed value that a part is.
#[inline]
fn pack(part: Part<'_>, mut push: impl FnMut(Entry<'_>)) {
    match part {
        Part::Field { field, value, .. } => {
            push(Entry::of_text(field));
            push(Entry::of_text(value));
        }
        Part::Scored { member, score } => {
            push(Entry::of_text(member));
            match whole(score) {
                Some(number) => push(Entry::Integer(number)),
                None => push(Entry::of_text(swytch_decimal::format_double(score).as_bytes())),
            }
        }
        part => push(Entry::of_text(text(&part))),
    }
}

/// The whole number that a score is, if it is packed as one: without a sign if it is zero, and without an exponent (Redis:
/// `zzlInsertAt`).
fn whole(score: f64) -> Option<i64> {
    const WHOLE_MAX: f64 = (1u64 << 52) as f64;
    (score.abs() <= WHOLE_MAX && score.fract() == 0.0).then_some(score as i64)
}

fn write_plain<W: Write>(output: &mut Output<W>, part: Part<'_>) {
    match part {
        Part::Field { field, value, .. } => {
            output.string(field);
            output.string(value);
        }
        Part::Scored { member, score } => {
            output.string(member);
            output.bytes(&score.to_le_bytes());
        }
        part => output.string(text(&part)),
    }
}

/// Writes a hash of which fields expire: one listpack, or field by field with the distance from the earliest.
fn write_expiring<W: Write>(output: &mut Output<W>, earliest_ms: u64, value: &Value<'_>) {
    output.bytes(&earliest_ms.to_le_bytes());
    if value.form != Form::Packed {
        output.length(value.len as u64);
        return (value.parts)(&mut |part| {
            if let Part::Field { expires_ms, .. } = part {
                // Zero says that there is no time, so what stands is one more than the distance.
                output.length(expires_ms.map_or(0, |at_ms| (at_ms - earliest_ms).saturating_add(1)));
            }
            write_plain(output, part);
        });
    }
    // In the order of their times, and those without one at the end: so Redis keeps them.
    let mut fields = Vec::with_capacity(value.len);
    (value.parts)(&mut |part| {
        if let Part::Field { field, value, expires_ms } = part {
            fields.push((expires_ms.unwrap_or(u64::MAX), field.to_vec(), value.to_vec()));
        }
    });
    fields.sort_by_key(|(at_ms, ..)| *at_ms);
    let mut packed = ListpackWriter::new();
    for (at_ms, field, value) in &fields {
        packed.push(Entry::of_text(field));
        packed.push(Entry::of_text(value));
        packed.push(Entry::Integer(if *at_ms == u64::MAX { 0 } else { *at_ms as i64 }));
    }
    packed.finish(|bytes| output.string(bytes));
}

/// Writes such a hash as Valkey does: each field with its time behind it, or -1.
fn write_expiring_behind<W: Write>(output: &mut Output<W>, value: &Value<'_>) {
    output.length(value.len as u64);
    (value.parts)(&mut |part| {
        write_plain(output, part);
        if let Part::Field { expires_ms, .. } = part {
            output.bytes(&expires_ms.map_or(-1, |at_ms| at_ms as i64).to_le_bytes());
        }
    });
}

/// Where one node of a list ends and the next begins.
#[derive(Default)]
struct Split {
    bytes: usize,
    /// Nothing joins the node, be it as small as it may.
    closed: bool,
    any: bool,
}

impl Split {
    /// True if the element begins a node.
    fn begins(&mut self, element: &[u8]) -> bool {
        // What an entry takes beside its bytes is bounded by this.
        let bytes = element.len() + 8;
        let begins = !self.any || self.closed || self.bytes + bytes > NODE_BYTES_MAX;
        self.bytes = if begins { bytes } else { self.bytes + bytes };
        self.closed = element.len() >= PACKED_BYTES_MAX;
        self.any = true;
        begins
    }
}

/// A node of several elements that is being written.
enum Node {
    Listpack(ListpackWriter),
    Ziplist(ZiplistWriter),
}

impl Node {
    fn push(&mut self, element: &[u8]) {
        match self {
            Node::Listpack(listpack) => listpack.push(Entry::of_text(element)),
            Node::Ziplist(ziplist) => ziplist.push(Entry::of_text(element)),
        }
    }

    /// Writes it, and is empty again.
    fn end<W: Write>(&mut self, output: &mut Output<W>) {
        match self {
            Node::Listpack(listpack) => {
                output.length(NODE_PACKED);
                listpack.finish(|bytes| output.string(bytes));
            }
            Node::Ziplist(ziplist) => ziplist.finish(|bytes| output.string(bytes)),
        }
    }
}

/// Writes a list node by node. Their number comes first, so they are counted before.
fn write_nodes<W: Write>(output: &mut Output<W>, mut node: Node, value: &Value<'_>) {
    let (mut split, mut nodes) = (Split::default(), 0);
    (value.parts)(&mut |part| nodes += u64::from(split.begins(text(&part))));
    output.length(nodes);
    let mut split = Split::default();
    let mut is_open = false;
    (value.parts)(&mut |part| {
        let element = text(&part);
        if split.begins(element) && std::mem::take(&mut is_open) {
            node.end(output);
        }
        if element.len() >= PACKED_BYTES_MAX {
            output.length(NODE_PLAIN);
            output.length(element.len() as u64);
            output.bytes(element);
        } else {
            node.push(element);
            is_open = true;
        }
    });
    if is_open {
        node.end(output);
    }
}

#[cfg(test)]
mod tests;
