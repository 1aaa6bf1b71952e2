//! The content of a value, part by part: the one way to walk a value of any type, and to build one.

use std::ops::ControlFlow;

use super::collection::Face;
use super::limits::EncodingLimits;
use super::stream::StreamPart;
use super::string::Text;
use super::{OwnedValue, Type};
use crate::hash::HashSeed;
use crate::keyspace::Misfit;
use crate::{RawString, UnixMs};

/// A part of a value. A type whose parts have another shape adds it here; whoever walks values then has to say what it
/// makes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// The next element of a sequence.
    Element(&'a [u8]),
    /// A member, whose place among others means nothing.
    Member(&'a [u8]),
    /// A field, whose place among others means nothing, with its value.
    Field {
        /// The field.
        field: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// When it expires, if ever.
        expire_at_ms: Option<UnixMs>,
    },
    /// A member with its score.
    #[allow(missing_docs, reason = "they are what they are called")]
    Scored { member: &'a [u8], score: f64 },
    /// Of a stream.
    Stream(StreamPart<'a>),
}

impl<'a> Part<'a> {
    /// What no other part of the value may be called, if it has a name.
    #[inline]
    fn name(&self) -> Option<&'a [u8]> {
        match *self {
            Part::Member(name) | Part::Field { field: name, .. } | Part::Scored { member: name, .. } => {
                Some(name)
            }
            Part::Element(_) | Part::Stream(_) => None,
        }
    }
}

/// A value as readers see it.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string that is a canonical 64-bit integer.
    Integer(i64),
    /// Any other string, where it lies in its entry.
    Bytes(&'a [u8]),
    /// A string in an allocation of its own.
    Raw(RawString<'a>),
    /// A value of another type.
    Collection(&'a dyn Face),
}

impl<'a> Value<'a> {
    /// The value that is owned elsewhere.
    pub fn of(value: &'a OwnedValue) -> Value<'a> {
        match (value.face(), value) {
            (Some(face), _) => Value::Collection(face),
            (None, OwnedValue::String(text)) => Value::Bytes(text),
            #[allow(unreachable_patterns, reason = "whatever has no face is a string")]
            (None, _) => Value::Bytes(&[]),
        }
    }

    /// The data type.
    pub fn data_type(self) -> Type {
        match self {
            Value::Integer(_) | Value::Bytes(_) | Value::Raw(_) => Type::String,
            Value::Collection(face) => face.data_type(),
        }
    }

    /// A copy that is owned.
    pub fn to_owned_value(self) -> OwnedValue {
        match self {
            Value::Collection(face) => face.to_owned_value(),
            string => OwnedValue::String(Text::of(string).map(|text| text.to_vec()).unwrap_or_default()),
        }
    }

    /// Shows the parts of a collection; a string has none.
    pub fn content(self, visit: &mut dyn FnMut(Part<'_>)) {
        if let Value::Collection(face) = self {
            let _ = face.content(&mut |part| {
                visit(part);
                ControlFlow::Continue(())
            });
        }
    }
}

/// Builds a value from its parts: the mirror of [`Face::content`].
#[derive(Debug)]
pub struct Builder {
    value: OwnedValue,
    limits: EncodingLimits,
    names: Names,
    gathered: Gathered,
    /// Parts are gathered: the value takes many at once, or all that have come are to be known before it takes a form.
    gathers: bool,
}

impl Builder {
    /// A value of a type, which has no parts yet.
    pub fn new(data_type: Type, limits: EncodingLimits) -> Builder {
        let (names, gathered) = (Names::Few(Vec::new()), Gathered::default());
        Builder { value: OwnedValue::empty(data_type), limits, names, gathered, gathers: false }
    }

    /// A value that is likely to be a big one.
    pub fn of_many(data_type: Type, limits: EncodingLimits) -> Builder {
        let gathers = matches!(data_type, Type::Set | Type::Hash | Type::SortedSet);
        Builder { gathers, ..Builder::new(data_type, limits) }
    }

    /// Adds a part.
    ///
    /// # Errors
    /// If it is of another type, or no value has such a part.
    #[inline]
    pub fn add(&mut self, part: Part<'_>) -> Result<(), Misfit> {
        let face = self.value.face_mut().ok_or(Misfit)?;
        self.gathers = self.gathers || face.takes_many();
        if !self.gathers {
            return self.names.add(part, face, &self.limits);
        }
        if !face.fits(part) {
            return Err(Misfit);
        }
        self.gathered.add(part)?;
        if self.gathered.bytes.len() >= GATHERED_BYTES_MAX {
            self.put_gathered();
        }
        Ok(())
    }

    #[cold]
    fn put_gathered(&mut self) {
        let (gathered, limits) = (std::mem::take(&mut self.gathered), &self.limits);
        let Some(face) = self.value.face_mut() else { return };
        face.expect_many(gathered.parts.len(), limits);
        let mut parts = gathered.parts.iter().map(|part| gathered.part(*part));
        let added = match face.takes_many() {
            true => face.add_many(&parts.collect::<Vec<_>>(), limits),
            false => parts.try_for_each(|part| self.names.add(part, face, limits)),
        };
        added.expect("only what fits is gathered");
    }

    /// The value.
    pub fn finish(mut self) -> OwnedValue {
        if !self.gathered.parts.is_empty() {
            self.put_gathered();
        }
        if let Some(face) = self.value.face_mut() {
            face.settle();
        }
        self.value
    }
}

/// Most bytes that are gathered.
const GATHERED_BYTES_MAX: usize = 64 << 20;

/// Parts of one kind that are to be added at once.
#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<u8>,
    parts: Vec<GatheredPart>,
}

/// A part whose bytes lie elsewhere: those of its name from one place to the next, and behind them those of its value.
#[derive(Clone, Copy, Debug)]
struct GatheredPart {
    begin: usize,
    name_end: usize,
    rest: GatheredRest,
}

#[derive(Clone, Copy, Debug)]
enum GatheredRest {
    Member,
    Field { end: usize, expire_at_ms: Option<UnixMs> },
    Scored(f64),
}

impl Gathered {
    #[inline]
    fn add(&mut self, part: Part<'_>) -> Result<(), Misfit> {
        let begin = self.bytes.len();
        let name = part.name().ok_or(Misfit)?;
        let name_end = begin + name.len();
        let (value, rest) = match part {
            Part::Member(_) => (&[][..], GatheredRest::Member),
            Part::Scored { score, .. } => (&[][..], GatheredRest::Scored(score)),
            Part::Field { value, expire_at_ms, .. } => {
                (value, GatheredRest::Field { end: name_end + value.len(), expire_at_ms })
            }
            _ => return Err(Misfit),
        };
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.parts.push(GatheredPart { begin, name_end, rest });
        Ok(())
    }

    fn part(&self, GatheredPart { begin, name_end, rest }: GatheredPart) -> Part<'_> {
        let name = &self.bytes[begin..name_end];
        match rest {
            GatheredRest::Member => Part::Member(name),
            GatheredRest::Scored(score) => Part::Scored { member: name, score },
            GatheredRest::Field { end, expire_at_ms } => {
                Part::Field { field: name, value: &self.bytes[name_end..end], expire_at_ms }
            }
        }
    }
}

/// Which names a value has that is searched from end to end for each: by their hashes, so that building it takes no such
/// search. A name that is not known here is certainly new; one that is may be.
#[derive(Debug)]
enum Names {
    /// Hashes in the order in which they came.
    Few(Vec<u64>),
    /// Hashes where they belong, zero for no hash; at least half of the places are free.
    Many { places: Vec<u64>, count: usize },
    /// The value finds its members itself.
    Unneeded,
}

impl Names {
    /// Up to here looking through all costs least.
    const FEW: usize = 8;

    /// Adds a part.
    #[inline]
    fn add(&mut self, part: Part<'_>, face: &mut dyn Face, limits: &EncodingLimits) -> Result<(), Misfit> {
        match part.name().is_some_and(|name| self.is_new(name, &*face)) {
            true => face.add_new(part, limits),
            false => face.add(part, limits),
        }
    }

    /// Takes a name; true if it is certainly none of those before it.
    #[inline]
    fn is_new(&mut self, name: &[u8], face: &dyn Face) -> bool {
        if self.is_full() {
            self.grow(face);
        }
        let hash = || HashSeed::of_process().hash(name).max(1);
        match self {
            Names::Unneeded => false,
            Names::Few(hashes) => {
                let hash = hash();
                let is_new = !hashes.contains(&hash);
                if is_new {
                    hashes.push(hash);
                }
                is_new
            }
            Names::Many { places, count } => {
                let is_new = take_place(places, hash());
                *count += usize::from(is_new);
                is_new
            }
        }
    }

    /// True where one more would be too much.
    #[inline]
    fn is_full(&self) -> bool {
        match self {
            Names::Unneeded => false,
            Names::Few(hashes) => hashes.len() == Names::FEW,
            Names::Many { places, count } => *count * 2 >= places.len(),
        }
    }

    #[cold]
    fn grow(&mut self, face: &dyn Face) {
        let hashes = match std::mem::replace(self, Names::Unneeded) {
            _ if !face.is_searched() => return,
            Names::Few(hashes) | Names::Many { places: hashes, .. } => hashes,
            Names::Unneeded => return,
        };
        let mut places = vec![0; hashes.len() * 4];
        let count = hashes.iter().filter(|hash| **hash != 0 && take_place(&mut places, **hash)).count();
        *self = Names::Many { places, count };
    }
}

/// Puts a hash where it belongs; false if it is there. Some places are free, and their number is a power of two.
#[inline]
fn take_place(places: &mut [u64], hash: u64) -> bool {
    let mut at = hash as usize;
    loop {
        at &= places.len() - 1;
        match places[at] {
            0 => {
                places[at] = hash;
                return true;
            }
            there if there == hash => return false,
            _ => at += 1,
        }
    }
}
