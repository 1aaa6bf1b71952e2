//! Effects: the canonical, deterministic form of every change to the keyspace.
//!
//! A command decides, an effect changes. Replaying the effects of a run into an empty keyspace gives
//! the same keyspace; a log, a following replica, cluster peers, keyspace notifications, WATCH and
//! parked clients all listen to this one stream. Each primitive can be undone given what it overwrote ([`Undo`]).

use crate::UnixMs;
use crate::types::list::Side;
use crate::undo::Undo;

/// One change. Borrowed: an effect costs nothing when nobody listens.
#[allow(missing_docs, reason = "the fields say what the commands of the same name take")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect<'a> {
    /// The key now holds this string, with this expiry or none.
    Set { key: &'a [u8], value: &'a [u8], expire_at_ms: Option<UnixMs> },
    /// Bytes written into a string at an offset, zero-filled before it.
    SetRange { key: &'a [u8], offset: u64, bytes: &'a [u8] },
    /// Bytes added to the end of a string.
    Append { key: &'a [u8], bytes: &'a [u8] },
    /// A signed number added to an integer string.
    IncrementBy { key: &'a [u8], delta: i64 },
    /// The key is gone.
    Delete { key: &'a [u8] },
    /// The key expires at this time.
    ExpireAt { key: &'a [u8], at_ms: UnixMs },
    /// The key no longer expires.
    Persist { key: &'a [u8] },
    /// The value of `from` with its expiry is now at `to`, in place of what was there.
    Rename { from: &'a [u8], to: &'a [u8] },
    /// The value of `key` with its expiry is now in database `to_db` and no longer here.
    Move { key: &'a [u8], to_db: u32 },
    /// A copy of `from` with its expiry is now at `to` in database `to_db`, in place of what was there.
    Copy { from: &'a [u8], to: &'a [u8], to_db: u32 },
    /// Elements pushed one after the other to one side of a list.
    ListPush { key: &'a [u8], side: Side, elements: Elements<'a> },
    /// Elements taken from one side of a list.
    ListPop { key: &'a [u8], side: Side, count: u64 },
    /// One element moved between two lists or within one.
    ListMove { from: &'a [u8], to: &'a [u8], from_side: Side, to_side: Side },
    /// The element at a non-negative index replaced.
    ListSet { key: &'a [u8], index: u64, element: &'a [u8] },
    /// An element put before the one at an index.
    ListInsert { key: &'a [u8], pivot: &'a [u8], before: bool, element: &'a [u8] },
    /// Elements equal to one removed; the count's sign says from which side, 0 means all.
    ListRemove { key: &'a [u8], count: i64, element: &'a [u8] },
    /// Only the elements between two indices remain.
    ListTrim { key: &'a [u8], start: i64, stop: i64 },
    /// Every key of the database at hand is gone.
    FlushDb,
    /// Every key is gone.
    FlushAll,
    /// Two databases changed places.
    SwapDb { first: u32, second: u32 },
}

/// The elements of a push: one, or several where they lie in the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Elements<'a> {
    /// A single element.
    One(&'a [u8]),
    /// Several, in order.
    Many(&'a [&'a [u8]]),
}

impl<'a> Elements<'a> {
    /// Hands out the elements in order.
    #[inline]
    pub fn for_each(&self, mut act: impl FnMut(&'a [u8])) {
        match *self {
            Elements::One(element) => act(element),
            Elements::Many(elements) => elements.iter().copied().for_each(act),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Elements::One(_) => 1,
            Elements::Many(elements) => elements.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The class of a keyspace event, as `notify-keyspace-events` selects them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// `g`: DEL, EXPIRE, RENAME, ...
    Generic,
    /// `$`
    String,
    /// `l`
    List,
    /// `x`: a key reached its expiry.
    Expired,
    /// `e`: a key was evicted.
    Evicted,
    /// `n`: a key came to be.
    New,
}

/// What a keyspace notification says about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: EventClass,
    /// Its name in Redis's notifications.
    pub name: &'static str,
}

impl Event {
    /// An event of the generic class.
    pub const fn generic(name: &'static str) -> Self {
        Event { class: EventClass::Generic, name }
    }

    /// An event of the string class.
    pub const fn string(name: &'static str) -> Self {
        Event { class: EventClass::String, name }
    }

    /// An event of the list class.
    pub const fn list(name: &'static str) -> Self {
        Event { class: EventClass::List, name }
    }
}

/// A listener to the effects of one command or transaction.
pub trait EffectSink {
    /// Takes one effect on database `db`. Called under the locks of every shard it touches.
    fn record(&mut self, db: u32, effect: &Effect<'_>);

    /// Whether [`EffectSink::undo`] is wanted: keeping what is overwritten costs something.
    fn wants_undo(&self) -> bool {
        false
    }

    /// Takes what will take the next effect back on one of its keys. An effect on two keys has two, that of its source
    /// first; the copied key's, which stays as it is, has its value.
    fn undo(&mut self, db: u32, key: &[u8], undo: Undo) {
        let _ = (db, key, undo);
    }

    /// Takes a keyspace event about a key.
    fn notify(&mut self, db: u32, event: Event, key: &[u8]);
}
