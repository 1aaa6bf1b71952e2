//! The keyspace: shards, hash table, values, expiry, effects.
//!
//! No IO, no RESP, no clock of its own (`now_ms` is an argument), no threads. Commands live in the
//! server; they read through [`Keyspace`] and change through [`KeyspaceMut`], whose one door (`keyspace::door`) makes
//! each change one [`Effect`]. There is no other way to change a value, so whoever listens to the effects knows every
//! change. A data type is a folder in `types` and a row there.

mod adaptive;
pub mod cut;
pub mod effect;
pub mod entry;
pub mod eviction;
pub mod hash;
pub mod keyspace;
pub mod observe;
mod prefetch;
mod raw_string;
pub mod readers;
pub mod shard;
pub mod table;
pub mod types;
pub mod undo;
pub mod usage;

pub use effect::{At, Effect, Elements, Event, EventClass, KeyOp, KeyspaceOp, Overwriting, Sink, Wants};
pub use entry::EntryRef;
pub use eviction::{Evictable, Order, Picker};
pub use hash::{HashSeed, Key};
pub use keyspace::{Absent, Changes, Editor, Expiry, Keyspace, KeyspaceMut, Misfit, ScanCursor, WrongType};
pub use observe::{Observers, Waiter, WaiterState, WatchFlag};
pub use prefetch::prefetch;
pub use raw_string::RawString;
pub use readers::{Readers, Stale};
pub use shard::{LockScope, Locked, Retired, Shards};
pub use table::{Figures, Lengths};
pub use types::collection::{Collection, Face, Row};
pub use types::content::{Builder, Part, Value};
pub use types::hash::{Field, FieldValue, Hash, HashOp, Live};
pub use types::limits::{EncodingLimits, NodeLimit, PackedLimit, StreamNodeLimit};
pub use types::list::{Inserted, List, ListOp, Side};
pub use types::range;
pub use types::set::{Member, Set, SetLimits, SetOp};
pub use types::sorted_set::{Condition, Cut, NotANumber, Scored, SortedSet, SortedSetOp, Spot};
pub use types::stream::{Marks, References, Stream, StreamId, StreamOp, StreamPart, Trim, TrimTo};
pub use types::string::Text;
pub use types::string::op::{
    GrowError, IncrementError, PIECE_BYTES_MAX, STRING_BYTES_MAX, StringEdit, StringOp,
};
pub use types::{Encoding, Op, OwnedValue, Type};
pub use undo::{EffectUndo, OwnedEntry, Undo};
pub use usage::{Counting, Usage, access_clock, idle_seconds};

/// Milliseconds since the Unix epoch.
pub type UnixMs = u64;
