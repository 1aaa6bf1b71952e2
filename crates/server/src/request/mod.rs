//! What a client sends and the words that refuse it: arguments, how they are read, which of them are secrets, errors.
//!
//! It knows no command: whoever keeps or shows a request (a queue, a log) needs no more than this.

pub mod args;
pub mod error;
pub mod redact;

pub use args::{ArgCursor, Args, OwnedArgs};
pub use error::{CommandError, QUOTED_BYTES_MAX, start_of};
