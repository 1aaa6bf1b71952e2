//! One value: from its type byte and its bytes to its parts.

use std::io::BufRead;

use crate::input::Input;
use crate::packed::{Checked, Entry, IntSet, Listpack, Ziplist, Zipmap};
use crate::stream::{self, Layout, Told};
use crate::{Fault, FaultKind, StreamPart, Writer};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A string.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    SortedSet,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
    /// A value of a module.
    Module,
}

impl Kind {
    /// What TYPE calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::SortedSet => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
            Kind::Module => "module",
        }
    }
}

/// A part of a value, in the order in which it is written.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A whole string.
    Text(&'a [u8]),
    /// An element of a list or a member of a set.
    Element(&'a [u8]),
    /// A member of a sorted set.
    Scored {
        /// The member.
        member: &'a [u8],
        /// Its score.
        score: f64,
    },
    /// A field of a hash.
    Field {
        /// Its name.
        field: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// When it expires, in Unix milliseconds.
        expires_ms: Option<u64>,
    },
    /// A part of a stream.
    Stream(StreamPart<'a>),
    /// The module whose value this is, by its nine letters; what it says is skipped.
    Module([u8; 9]),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// Element by element.
    Plain,
    /// Element by element, with scores as text.
    PlainText,
    /// Element by element, with expiry.
    Expiring,
    /// Element by element, with expiry as Redis 7.4's candidates had it.
    ExpiringAbsolute,
    /// Element by element, with expiry as Valkey writes it.
    ExpiringBehind,
    /// One ziplist.
    Ziplist,
    /// One listpack.
    Listpack,
    /// One listpack of fields, values and times.
    ListpackExpiring,
    /// The same as Redis 7.4's candidates had it.
    ListpackExpiringAbsolute,
    /// One intset.
    Intset,
    /// One zipmap.
    Zipmap,
    /// Ziplists.
    Quicklist,
    /// Listpacks and long elements.
    Quicklist2,
    /// Listpacks of items, in one of four layouts.
    Stream(Layout),
    /// A module's own.
    Module,
}

impl Shape {
    /// Element by element, which is how values are written that are too large for anything else.
    pub fn is_plain(self) -> bool {
        matches!(
            self,
            Shape::Plain
                | Shape::PlainText
                | Shape::Expiring
                | Shape::ExpiringAbsolute
                | Shape::ExpiringBehind
        )
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Plain | Shape::PlainText => "plain",
            Shape::Expiring | Shape::ExpiringAbsolute | Shape::ExpiringBehind => "plain, with expiry",
            Shape::Ziplist => "ziplist",
            Shape::Listpack => "listpack",
            Shape::ListpackExpiring | Shape::ListpackExpiringAbsolute => "listpack, with expiry",
            Shape::Intset => "intset",
            Shape::Zipmap => "zipmap",
            Shape::Quicklist => "quicklist of ziplists",
            Shape::Quicklist2 => "quicklist",
            Shape::Stream(_) => "stream",
            Shape::Module => "module",
        }
    }
}

/// What a type byte means, if it is one of a value.
///
/// Source: `RDB_TYPE_*` in Redis's and Valkey's `rdb.h`.
pub(crate) fn meaning(number: u8, writer: Writer) -> Option<(Kind, Shape)> {
    Some(match (number, writer) {
        (0, _) => (Kind::String, Shape::Plain),
        (1, _) => (Kind::List, Shape::Plain),
        (2, _) => (Kind::Set, Shape::Plain),
        (3, _) => (Kind::SortedSet, Shape::PlainText),
        (4, _) => (Kind::Hash, Shape::Plain),
        (5, _) => (Kind::SortedSet, Shape::Plain),
        (7, _) => (Kind::Module, Shape::Module),
        (9, _) => (Kind::Hash, Shape::Zipmap),
        (10, _) => (Kind::List, Shape::Ziplist),
        (11, _) => (Kind::Set, Shape::Intset),
        (12, _) => (Kind::SortedSet, Shape::Ziplist),
        (13, _) => (Kind::Hash, Shape::Ziplist),
        (14, _) => (Kind::List, Shape::Quicklist),
        (15, _) => (Kind::Stream, Shape::Stream(Layout::First)),
        (16, _) => (Kind::Hash, Shape::Listpack),
        (17, _) => (Kind::SortedSet, Shape::Listpack),
        (18, _) => (Kind::List, Shape::Quicklist2),
        (19, _) => (Kind::Stream, Shape::Stream(Layout::History)),
        (20, _) => (Kind::Set, Shape::Listpack),
        (21, _) => (Kind::Stream, Shape::Stream(Layout::Active)),
        (22, Writer::Redis) => (Kind::Hash, Shape::ExpiringAbsolute),
        (22, Writer::Valkey) => (Kind::Hash, Shape::ExpiringBehind),
        (23, Writer::Redis) => (Kind::Hash, Shape::ListpackExpiringAbsolute),
        (24, Writer::Redis) => (Kind::Hash, Shape::Expiring),
        (25, Writer::Redis) => (Kind::Hash, Shape::ListpackExpiring),
        (26, Writer::Redis) => (Kind::Stream, Shape::Stream(Layout::Idempotent)),
        _ => return None,
    })
}

/// An element of a list that has a node for itself.
pub(crate) const NODE_PLAIN: u64 = 1;
/// A node of several.
pub(crate) const NODE_PACKED: u64 = 2;

/// Reads the parts of a value.
pub(crate) fn read<R: BufRead>(
    input: &mut Input<R>,
    kind: Kind,
    shape: Shape,
    told: &mut Told<'_>,
) -> Result<(), Fault> {
    let mut text = Vec::new();
    match shape {
        Shape::Stream(layout) => return stream::read(input, layout, told),
        Shape::Module => {
            let id = input.length()?;
            tell(input, Part::Module(module_name(id)), told)?;
            return skip_module(input);
        }
        _ if kind == Kind::String => {
            input.string(&mut text)?;
            return tell(input, Part::Text(&text), told);
        }
        _ if shape.is_plain() => return read_plain(input, kind, shape, told),
        Shape::Quicklist | Shape::Quicklist2 => {
            for _ in 0..input.length()? {
                let container = if shape == Shape::Quicklist2 { input.length()? } else { NODE_PACKED };
                input.string(&mut text)?;
                if text.is_empty() {
                    return Err(input.malformed("a list's node has no bytes"));
                }
                match (container, shape) {
                    (NODE_PLAIN, _) => tell(input, Part::Element(&text), told)?,
                    (NODE_PACKED, Shape::Quicklist) => unpack(input, kind, Ziplist::new(&text), told)?,
                    (NODE_PACKED, _) => unpack(input, kind, Listpack::new(&text), told)?,
                    _ => return Err(input.malformed("a list's node is neither one element nor several")),
                }
            }
            return Ok(());
        }
        _ => {}
    }
    let base_ms = match shape {
        Shape::ListpackExpiring => Some(input.time_ms()?),
        _ => None,
    };
    input.string(&mut text)?;
    match shape {
        Shape::Ziplist => unpack(input, kind, Ziplist::new(&text), told),
        Shape::Intset => unpack(input, kind, IntSet::new(&text), told),
        Shape::Zipmap => unpack(input, kind, Zipmap::new(&text), told),
        Shape::ListpackExpiring | Shape::ListpackExpiringAbsolute => {
            if base_ms.is_some_and(|base_ms| base_ms < 0) {
                return Err(input.malformed("a hash's earliest expiry lies before time"));
            }
            unpack_expiring(input, Listpack::new(&text), told)
        }
        _ => unpack(input, kind, Listpack::new(&text), told),
    }
}

/// Passes a value, up to what follows it. What it is made of is not looked at, as far as its end is found without.
pub(crate) fn skip<R: BufRead>(input: &mut Input<R>, kind: Kind, shape: Shape) -> Result<(), Fault> {
    match shape {
        Shape::Stream(layout) => return stream::skip(input, layout),
        Shape::Module => return read(input, kind, shape, &mut |_| Ok(())),
        Shape::Expiring | Shape::ListpackExpiring => drop(input.time_ms()?),
        _ => {}
    }
    match shape {
        Shape::Quicklist | Shape::Quicklist2 => {
            for _ in 0..input.length()? {
                if shape == Shape::Quicklist2 {
                    input.length()?;
                }
                input.skip_string()?;
            }
        }
        _ if shape.is_plain() && kind != Kind::String => {
            for _ in 0..input.length()? {
                if matches!(shape, Shape::Expiring | Shape::ExpiringAbsolute) {
                    input.length()?;
                }
                input.skip_string()?;
                match (kind, shape) {
                    (Kind::SortedSet, Shape::PlainText) => drop(input.double_in_text()?),
                    (Kind::SortedSet, _) => drop(input.double()?),
                    (Kind::Hash, _) => input.skip_string()?,
                    _ => {}
                }
                if shape == Shape::ExpiringBehind {
                    input.time_ms()?;
                }
            }
        }
        _ => input.skip_string()?,
    }
    Ok(())
}

fn tell<R: BufRead>(input: &Input<R>, part: Part<'_>, told: &mut Told<'_>) -> Result<(), Fault> {
    told(part).map_err(|why| input.fault(FaultKind::Refused(why)))
}

fn read_plain<R: BufRead>(
    input: &mut Input<R>,
    kind: Kind,
    shape: Shape,
    told: &mut Told<'_>,
) -> Result<(), Fault> {
    let (mut text, mut value) = (Vec::new(), Vec::new());
    let base_ms = match shape {
        Shape::Expiring => input.time_ms()?,
        // The time is written as it is, and one more than it for the other form.
        _ => 1,
    };
    for _ in 0..input.length()? {
        match kind {
            Kind::SortedSet => {
                input.string(&mut text)?;
                let score =
                    if shape == Shape::PlainText { input.double_in_text()? } else { input.double()? };
                if score.is_nan() {
                    return Err(input.malformed("a score is no number"));
                }
                tell(input, Part::Scored { member: &text, score }, told)?;
            }
            Kind::Hash => {
                let in_front = matches!(shape, Shape::Expiring | Shape::ExpiringAbsolute);
                let distance = if in_front { input.length()? } else { 0 };
                input.string(&mut text)?;
                input.string(&mut value)?;
                let expires_ms = match shape {
                    Shape::ExpiringBehind => u64::try_from(input.time_ms()?).ok(),
                    _ if distance == 0 => None,
                    _ => {
                        let at_ms = i64::try_from(distance)
                            .ok()
                            .and_then(|distance| base_ms.checked_add(distance - 1));
                        let at_ms = at_ms.and_then(|at_ms| u64::try_from(at_ms).ok());
                        let at_ms = at_ms.filter(|at_ms| *at_ms <= EXPIRES_MS_MAX);
                        Some(at_ms.ok_or_else(|| input.malformed(NO_TIME))?)
                    }
                };
                tell(input, Part::Field { field: &text, value: &value, expires_ms }, told)?;
            }
            _ => {
                input.string(&mut text)?;
                tell(input, Part::Element(&text), told)?;
            }
        }
    }
    Ok(())
}

/// Tells the entries of a packed value: single ones, or pairs of member and score, or of field and value.
fn unpack<'a, R: BufRead, E: Iterator<Item = Checked<'a>>>(
    input: &Input<R>,
    kind: Kind,
    entries: Result<E, &'static str>,
    told: &mut Told<'_>,
) -> Result<(), Fault> {
    let malformed = |what| input.malformed(what);
    let mut entries = entries.map_err(malformed)?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(malformed)?;
        let mut partner = || entries.next().unwrap_or(Err("a packed value has an odd number of entries"));
        let part = match kind {
            Kind::SortedSet => {
                let score =
                    score(partner().map_err(malformed)?).ok_or_else(|| malformed("a score is no number"))?;
                Part::Scored { member: entry.text(&mut first), score }
            }
            Kind::Hash => {
                let value = partner().map_err(malformed)?;
                Part::Field {
                    field: entry.text(&mut first),
                    value: value.text(&mut second),
                    expires_ms: None,
                }
            }
            _ => Part::Element(entry.text(&mut first)),
        };
        tell(input, part, told)?;
    }
    Ok(())
}

/// The last millisecond at which Redis lets a field of a hash expire (`EB_EXPIRE_TIME_MAX`).
const EXPIRES_MS_MAX: u64 = (1 << 48) - 1;
const NO_TIME: &str = "a field expires at no time that there is";

/// Tells fields whose times stand behind their values, zero for none; the first to expire comes first, and those that do not
/// expire come last.
fn unpack_expiring<'a, R: BufRead>(
    input: &Input<R>,
    entries: Result<Listpack<'a>, &'static str>,
    told: &mut Told<'_>,
) -> Result<(), Fault> {
    let malformed = |what| input.malformed(what);
    let mut entries = entries.map_err(malformed)?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut before_ms = Some(0);
    while let Some(field) = entries.next() {
        let field = field.map_err(malformed)?;
        let mut next =
            || entries.next().unwrap_or(Err("a field lacks its value or its time")).map_err(malformed);
        let (value, at_ms) = (next()?, next()?);
        let Entry::Integer(at_ms) = at_ms else { return Err(malformed(NO_TIME)) };
        let at_ms = u64::try_from(at_ms).ok().filter(|at_ms| *at_ms <= EXPIRES_MS_MAX);
        let at_ms = at_ms.ok_or_else(|| malformed(NO_TIME))?;
        let expires_ms = Some(at_ms).filter(|at_ms| *at_ms != 0);
        if expires_ms.is_some() && before_ms.is_none_or(|before_ms| at_ms < before_ms) {
            return Err(malformed("the fields of a hash are not in the order of their times"));
        }
        before_ms = expires_ms;
        let part = Part::Field { field: field.text(&mut first), value: value.text(&mut second), expires_ms };
        tell(input, part, told)?;
    }
    Ok(())
}

fn score(entry: Entry<'_>) -> Option<f64> {
    match entry {
        Entry::Integer(number) => Some(number as f64),
        Entry::Bytes(bytes) => {
            let score: f64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
            (!score.is_nan()).then_some(score)
        }
    }
}

/// The nine letters that a module's number stands for; ten bits below them are a version of its own.
///
/// Source: `moduleTypeNameByID` in Redis's `module.c`.
fn module_name(id: u64) -> [u8; 9] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::array::from_fn(|at| LETTERS[(id >> (10 + 6 * (8 - at)) & 63) as usize])
}

/// Skips what modules keep of the key that follows, behind its opcode.
pub(crate) fn skip_key_remarks<R: BufRead>(input: &mut Input<R>) -> Result<(), Fault> {
    for _ in 0..input.length()? {
        input.bytes::<4>()?;
        skip_module(input)?;
    }
    Ok(())
}

/// Skips what a module has written, which says of each item what it is, up to the mark of its end.
pub(crate) fn skip_module<R: BufRead>(input: &mut Input<R>) -> Result<(), Fault> {
    let mut text = Vec::new();
    loop {
        match input.length()? {
            0 => return Ok(()),
            1 | 2 => drop(input.length()?),
            3 => drop(input.bytes::<4>()?),
            4 => drop(input.double()?),
            5 => input.string(&mut text)?,
            _ => return Err(input.malformed("a module's value has an item of no known kind")),
        }
    }
}
