//! The keyspace: shards, hash table, values, expiry, effects.
//!
//! No IO, no RESP, no clock of its own (`now_ms` is an argument), no threads. Commands live in the
//! server; they read through [`Keyspace`] and change through the primitives of [`KeyspaceMut`], each
//! of which is one [`Effect`]. There is no other way to change a value, so whoever listens to the
//! effects knows every change.

pub mod effect;
pub mod entry;
pub mod hash;
pub mod keyspace;
pub mod observe;
pub mod shard;
pub mod table;
pub mod types;
pub mod undo;

pub use effect::{Effect, EffectSink, Elements, Event, EventClass};
pub use entry::{EntryRef, RawString, Type, Value};
pub use hash::{HashSeed, Key};
pub use keyspace::{
    Changes, Expiry, GrowError, IncrementError, Keyspace, KeyspaceMut, PIECE_BYTES_MAX, ScanCursor,
    SetCondition, StringEdit, WrongType, access_clock, clamp_range,
};
pub use observe::{Observers, Waiter, WaiterState, WatchFlag};
pub use shard::{LockScope, Locked, Retired, Shards};
pub use types::list::{List, Side};
pub use types::string::Text;
pub use undo::{OwnedEntry, OwnedValue, Undo};

/// Milliseconds since the Unix epoch.
pub type UnixMs = u64;
