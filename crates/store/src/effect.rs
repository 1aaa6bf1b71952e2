//! Effects: the canonical, deterministic form of every change to the keyspace.
//!
//! A command decides, an effect changes. Replaying the effects of a run into an empty keyspace gives
//! the same keyspace; a log, a following replica, cluster peers, keyspace notifications, WATCH and
//! parked clients all listen to this one stream. On one key an effect is an [`Op`], of which each type has its own. What
//! takes an effect back is told together with it ([`EffectUndo`]).

use crate::keyspace::{Expiry, KeyspaceMut, Misfit};
use crate::types::Op;
use crate::types::content::Value;
use crate::undo::EffectUndo;
use crate::{Key, UnixMs};

/// One change. Borrowed: an effect costs nothing when nobody listens.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a> {
    /// The database it is in.
    pub db: u32,
    /// What changed.
    pub at: At<'a>,
}

/// What an effect changes.
#[allow(missing_docs, reason = "the fields say what the variants take")]
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// One key.
    Key { key: &'a [u8], op: Op<'a> },
    /// An element went from one key to another, as one change: what that is at either.
    Transfer { from: &'a [u8], taken: Op<'a>, to: &'a [u8], given: Op<'a> },
    /// Keys, and not their values.
    Keyspace(KeyspaceOp<'a>),
}

/// A change to a key whatever the type of its value.
#[allow(missing_docs, reason = "the fields say what the commands of the same name take")]
#[derive(Clone, Copy, Debug)]
pub enum KeyOp<'a> {
    /// The key holds this value, with this expiry or none, whatever was there; without a value it is gone.
    Replace { value: Option<Value<'a>>, expire_at_ms: Option<UnixMs> },
    /// The key is gone.
    Delete,
    /// The key expires at this time.
    ExpireAt { at_ms: UnixMs },
    /// The key no longer expires.
    Persist,
}

/// The numbers of ops in wire forms and logs. Append only: a number is never given to another op.
#[allow(missing_docs, reason = "they are the ops of the same names")]
pub mod tag {
    pub const DELETE: u8 = 0;
    /// Also of [`KeyOp::Persist`](super::KeyOp::Persist): an expiry, or none.
    pub const EXPIRE_AT: u8 = 6;
    pub const REPLACE: u8 = 16;
}

/// A change to keys whose values stay what they are, or go.
#[allow(missing_docs, reason = "the fields say what the commands of the same name take")]
#[derive(Clone, Copy, Debug)]
pub enum KeyspaceOp<'a> {
    /// The value of `from` with its expiry is now at `to`, in place of what was there.
    Rename { from: &'a [u8], to: &'a [u8] },
    /// The value of `key` with its expiry is now in database `to_db` and no longer here.
    Move { key: &'a [u8], to_db: u32 },
    /// A copy of `from` with its expiry is now at `to` in database `to_db`, in place of what was there.
    Copy { from: &'a [u8], to: &'a [u8], to_db: u32 },
    /// Every key of the database is gone.
    FlushDb,
    /// Every key is gone.
    FlushAll,
    /// Two databases changed places.
    SwapDb { first: u32, second: u32 },
}

impl KeyOp<'_> {
    /// Its number.
    pub fn tag(&self) -> u8 {
        match self {
            KeyOp::Replace { .. } => tag::REPLACE,
            KeyOp::Delete => tag::DELETE,
            KeyOp::ExpireAt { .. } | KeyOp::Persist => tag::EXPIRE_AT,
        }
    }

    /// See [`Op::apply`].
    pub(crate) fn apply(&self, keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>) -> Result<(), Misfit> {
        let fits = match *self {
            KeyOp::Replace { value: Some(value), expire_at_ms } => {
                keyspace.replace(key, value.to_owned_value(), expire_at_ms, Event::generic("restore"));
                true
            }
            KeyOp::Replace { value: None, .. } => {
                keyspace.delete(key);
                true
            }
            KeyOp::Delete => keyspace.delete(key),
            KeyOp::ExpireAt { at_ms } => keyspace.expire_at(key, at_ms),
            KeyOp::Persist => {
                keyspace.persist(key);
                true
            }
        };
        if fits { Ok(()) } else { Err(Misfit) }
    }
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

    /// Bytes of all of them.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Elements::One(element) => element.len(),
            Elements::Many(elements) => elements.iter().map(|element| element.len()).sum(),
        }
    }

    /// The first.
    pub(crate) fn first(&self) -> Option<&'a [u8]> {
        match *self {
            Elements::One(element) => Some(element),
            Elements::Many(elements) => elements.first().copied(),
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
    /// `s`
    Set,
    /// `h`
    Hash,
    /// `z`
    SortedSet,
    /// `t`
    Stream,
    /// `x`: a key reached its expiry.
    Expired,
    /// `e`: a key was evicted.
    Evicted,
    /// `n`: a key came to be.
    New,
    /// `o`: a value took the place of another.
    Overwritten,
    /// `c`: a value took the place of another of a different type.
    TypeChanged,
    /// `m`: a read found no key.
    KeyMiss,
}

/// Whether listeners hear that a value took the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwriting {
    /// They do not: the value was changed and not replaced.
    Untold,
    /// Before the event of the command.
    ToldBefore,
    /// After it. The old value was removed first, so that the key is a new one.
    ToldAfter,
}

/// What a keyspace notification says about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: EventClass,
    /// Its name in Redis's notifications.
    pub name: &'static str,
    /// What is heard besides, where there was a value.
    pub overwriting: Overwriting,
}

impl Event {
    /// A key came to be.
    pub(crate) const NEW: Event = Event::of(EventClass::New, "new");
    /// Of a change that Redis notifies nobody of. No listener hears it.
    pub const SILENT: Event = Event::generic("");
    /// A key reached its expiry.
    pub(crate) const EXPIRED: Event = Event::of(EventClass::Expired, "expired");
    /// A key went to make room.
    pub(crate) const EVICTED: Event = Event::of(EventClass::Evicted, "evicted");
    /// A value took the place of another.
    pub(crate) const OVERWRITTEN: Event = Event::of(EventClass::Overwritten, "overwritten");
    /// A value took the place of one of another type.
    pub(crate) const TYPE_CHANGED: Event = Event::of(EventClass::TypeChanged, "type_changed");
    /// A read found no key.
    pub(crate) const KEY_MISS: Event = Event::of(EventClass::KeyMiss, "keymiss");

    const fn of(class: EventClass, name: &'static str) -> Self {
        Event { class, name, overwriting: Overwriting::Untold }
    }

    /// The event of a command that puts a value in place of another.
    pub const fn overwriting(self, overwriting: Overwriting) -> Self {
        Event { overwriting, ..self }
    }

    /// An event of the generic class.
    pub const fn generic(name: &'static str) -> Self {
        Event::of(EventClass::Generic, name)
    }

    /// An event of the string class.
    pub const fn string(name: &'static str) -> Self {
        Event::of(EventClass::String, name)
    }

    /// An event of the list class.
    pub const fn list(name: &'static str) -> Self {
        Event::of(EventClass::List, name)
    }

    /// An event of the set class.
    pub const fn set(name: &'static str) -> Self {
        Event::of(EventClass::Set, name)
    }

    /// An event of the hash class.
    pub const fn hash(name: &'static str) -> Self {
        Event::of(EventClass::Hash, name)
    }

    /// An event of the sorted set class.
    pub const fn sorted_set(name: &'static str) -> Self {
        Event::of(EventClass::SortedSet, name)
    }

    /// An event of the stream class.
    pub const fn stream(name: &'static str) -> Self {
        Event::of(EventClass::Stream, name)
    }
}

/// What a listener wants to be told; what nobody wants is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// What takes each effect back: keeping what is overwritten costs something.
    pub undo: bool,
    /// Events.
    pub events: bool,
}

impl Wants {
    /// Effects alone.
    pub const OPS: Wants = Wants { undo: false, events: false };
}

impl Default for Wants {
    fn default() -> Wants {
        Wants { undo: false, events: true }
    }
}

/// A listener to the effects of one command or transaction. It is called under the locks of every shard it hears of.
pub trait Sink {
    /// What it wants to be told, the same all its life.
    fn wants(&self) -> Wants {
        Wants::default()
    }

    /// Takes an effect and, if it [wants](Wants::undo) that and the effect can be taken back, what does so.
    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>);

    /// Takes a keyspace event about a key.
    fn event(&mut self, db: u32, event: Event, key: &[u8]);

    /// A key of this name has changed in some database, or has gone because its time was over, so that what was read of it is no
    /// longer true.
    fn touched(&mut self, _key: &[u8], _has_expired: bool) {}

    /// Takes a command that changes nothing and has its place among the changes: a message to somebody.
    fn message(&mut self, _db: u32, _words: &[&[u8]]) {}
}

/// What `expire_at_ms` means to a write of a whole value.
pub(crate) fn expiry_of(expire_at_ms: Option<UnixMs>) -> Expiry {
    expire_at_ms.map_or(Expiry::Clear, Expiry::At)
}
