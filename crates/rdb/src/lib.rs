//! Redis's RDB format: what `dump.rdb` and DUMP hold, of every version and of both families.
//!
//! - `file`: a whole file, told item by item to a [`Sink`]
//! - `object`: one value, told part by part; `stream` the parts of a stream
//! - `packed`: the small encodings that values lie in (ziplist, listpack, intset, zipmap)
//! - `input`: bytes with their offset and checksum; lengths, numbers and strings as the format writes them
//! - `lzf`: compressed strings
//!
//! Nothing here knows files, sockets, the store or a server. Every length that the bytes state is bounded by what they
//! carry before memory is taken for it, and an error says at which byte it was found.
//!
//! Redis and Valkey use the same type numbers for different things from version 12 on, so a reader is told, by the
//! file's head or by a payload's footer, whose bytes they are ([`Writer`]).
//!
//! Source: `rdb.h` and `rdb.c` of Redis 2.6 to 8.6 and of Valkey 9.1.

mod fault;
mod file;
mod input;
mod lzf;
mod object;
pub mod packed;
mod stream;

pub use fault::{Fault, FaultKind};
pub use file::{KeyFacts, Sink, read_file};
pub use object::{Kind, Part, Shape};
pub use stream::{Layout, StreamId, StreamPart};

/// Whose dialect the bytes are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Redis, and Valkey up to version 11, which they share.
    Redis,
    /// Valkey from 9.0 on.
    Valkey,
}

impl Writer {
    /// The oldest version of Valkey's own numbering; those between Redis's newest and this belong to nobody.
    ///
    /// Source: `RDB_FOREIGN_VERSION_MAX` in Valkey's `rdb.h`.
    const VALKEY_VERSION_MIN: u32 = 80;

    /// The dialect of a version, as a payload's footer states it.
    pub fn of_version(version: u32) -> Writer {
        if version >= Self::VALKEY_VERSION_MIN { Writer::Valkey } else { Writer::Redis }
    }
}
