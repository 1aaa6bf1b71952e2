//! Abstract values: what a key holds, in the plainest form that has Redis's meaning.
//!
//! The protocol's core never looks inside a value; these types serve the model, the simulator and the laws of
//! merging. The store's real types must agree with them.

use std::collections::{BTreeMap, BTreeSet};

/// A key, member, field or element.
pub type Bytes = Vec<u8>;

/// A key's whole state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// What it holds. Never an empty hash, set, sorted set or list: such a key is absent.
    pub value: Value,
    /// When it expires, in milliseconds since the epoch.
    pub deadline_ms: Option<u64>,
}

/// A value by type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Text, number or bitmap.
    String(Bytes),
    /// Field to value.
    Hash(BTreeMap<Bytes, Bytes>),
    /// Members.
    Set(BTreeSet<Bytes>),
    /// Member to score (also geo).
    SortedSet(BTreeMap<Bytes, Score>),
    /// Elements, left to right.
    List(Vec<Bytes>),
    /// Entries and groups.
    Stream(Stream),
    /// Register to rank, registers of rank 0 left out. Redis stores it in a string; merging must know the difference.
    HyperLogLog(BTreeMap<u16, u8>),
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// See [`Value::String`].
    String,
    /// See [`Value::Hash`].
    Hash,
    /// See [`Value::Set`].
    Set,
    /// See [`Value::SortedSet`].
    SortedSet,
    /// See [`Value::List`].
    List,
    /// See [`Value::Stream`].
    Stream,
    /// See [`Value::HyperLogLog`].
    HyperLogLog,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] =
        [Kind::String, Kind::Hash, Kind::Set, Kind::SortedSet, Kind::List, Kind::Stream, Kind::HyperLogLog];
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Value::String(_) => Kind::String,
            Value::Hash(_) => Kind::Hash,
            Value::Set(_) => Kind::Set,
            Value::SortedSet(_) => Kind::SortedSet,
            Value::List(_) => Kind::List,
            Value::Stream(_) => Kind::Stream,
            Value::HyperLogLog(_) => Kind::HyperLogLog,
        }
    }

    /// An empty value of a type, before its first effect.
    pub fn empty(kind: Kind) -> Self {
        match kind {
            Kind::String => Value::String(Bytes::new()),
            Kind::Hash => Value::Hash(BTreeMap::new()),
            Kind::Set => Value::Set(BTreeSet::new()),
            Kind::SortedSet => Value::SortedSet(BTreeMap::new()),
            Kind::List => Value::List(Vec::new()),
            Kind::Stream => Value::Stream(Stream::default()),
            Kind::HyperLogLog => Value::HyperLogLog(BTreeMap::new()),
        }
    }

    /// True for a collection without members: the key is then absent. An empty string, stream or HyperLogLog exists.
    pub fn is_vanished(&self) -> bool {
        match self {
            Value::Hash(fields) => fields.is_empty(),
            Value::Set(members) => members.is_empty(),
            Value::SortedSet(members) => members.is_empty(),
            Value::List(elements) => elements.is_empty(),
            Value::String(_) | Value::Stream(_) | Value::HyperLogLog(_) => false,
        }
    }
}

/// A score, compared and hashed by its bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Score(u64);

impl Score {
    /// From a number.
    pub fn new(score: f64) -> Self {
        // Adding 0.0 turns -0.0 into 0.0, so that equal scores have equal bits.
        Self((score + 0.0).to_bits())
    }

    /// As a number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl std::fmt::Debug for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// The identifier of a stream entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// Number within the millisecond. While a key is forked, an automatic identifier carries the ordering node's
    /// number in the top 16 bits, so that two sides cannot invent the same one.
    pub sequence: u64,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Stream {
    /// The entries left.
    pub entries: BTreeMap<StreamId, Bytes>,
    /// The highest identifier ever added.
    pub last_id: StreamId,
    /// The highest identifier that XDEL ever deleted.
    pub max_deleted: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
    /// Consumer groups by name.
    pub groups: BTreeMap<Bytes, Group>,
    /// What else the store knows of the stream, in a form of its own.
    pub rest: Bytes,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Group {
    /// New entries are those above.
    pub last_delivered: StreamId,
    /// Delivered and not acknowledged: entry to consumer.
    pub pending: BTreeMap<StreamId, Bytes>,
    /// Entries that arrived through a merge below `last_delivered`; they are delivered before new ones.
    pub backfill: BTreeSet<StreamId>,
}
