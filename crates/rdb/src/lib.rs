//! Redis's RDB format: what `dump.rdb` and DUMP hold, of every version and of both families.
//!
//! - `file`: a whole file, told item by item to a [`Sink`]; `file_writer`: one that is written
//! - `payload`: what DUMP gives and RESTORE takes: one value between its type and a footer
//! - `object`: one value, told part by part; `stream` the parts of a stream; `write`: one that is written
//! - `packed`: the small encodings that values lie in (ziplist, listpack, intset, zipmap)
//! - `input`, `output`: bytes with their offset and checksum; lengths, numbers and strings as the format writes them
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
mod file_writer;
mod input;
mod lzf;
mod object;
mod output;
pub mod packed;
mod payload;
mod stream;
mod stream_writer;
mod write;

pub use fault::{Fault, FaultKind};
pub use file::{KeyFacts, Sink, Unread, read_file};
pub use file_writer::FileWriter;
pub use object::{Kind, Part, Shape};
pub use payload::{
    CHECKSUM_BYTES, PAYLOAD_FRAME_BYTES, Payload, read_functions, write_functions, write_payload,
};
pub use stream::{Layout, StreamId, StreamPart};
pub use write::{Form, Show, VERSION_DEFAULT, VERSION_VALKEY, VERSIONS, Value, WriteOptions, version_says};

/// Whose dialect the bytes are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Redis, and Valkey up to version 11, which they share.
    Redis,
    /// Valkey from 9.0 on.
    Valkey,
}

impl Writer {
    /// The versions that are read, of either dialect. Those between Redis's newest and Valkey's oldest belong to nobody.
    ///
    /// Source: `RDB_VERSION` in Redis's `rdb.h`, `RDB_FOREIGN_VERSION_MAX` in Valkey's.
    const REDIS_VERSION_MAX: u32 = 13;
    const VALKEY_VERSIONS: std::ops::RangeInclusive<u32> = 80..=80;

    /// The dialect of a version, as a file's head or a payload's footer states it; nothing for one that is not known.
    pub fn of_version(version: u32) -> Option<Writer> {
        match version {
            0..=Self::REDIS_VERSION_MAX => Some(Writer::Redis),
            _ => Self::VALKEY_VERSIONS.contains(&version).then_some(Writer::Valkey),
        }
    }
}
