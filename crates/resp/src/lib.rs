//! RESP2, RESP3 and inline requests: an incremental parser and a reply writer.
//!
//! Nothing here knows sockets, commands or the keyspace. The parser borrows from the caller's query
//! buffer, and long arguments are read into memory of their own, so none is copied; the writer appends to
//! an output, a list of chunks.
//!
//! Source: the Redis protocol specification (RESP2, RESP3) and the limits of Redis 7 and 8.

pub mod output;
pub mod parse;
pub mod push;
pub mod query;
pub mod reply;

pub use output::{Output, SharedBytes};
pub use parse::{Limits, Parsed, Parser, ProtocolError};
pub use push::{MessageRow, PushMessage};
pub use query::{ArgRange, Argument, LONG_ARGUMENT_BYTES_MIN, LongArgument, Query};
pub use reply::{Protocol, Reply};
