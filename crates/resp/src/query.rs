//! What a client has sent: bytes in a buffer, and long arguments in memory of their own.
//!
//! Nearly all arguments lie in the buffer. A long one that arrives in many pieces is read into memory that a command may
//! keep as it is: such an argument is never copied.

use std::sync::Arc;

/// An argument of at least this many bytes that has not arrived whole is read into memory of its own (Redis:
/// PROTO_MBULK_BIG_ARG).
pub const LONG_ARGUMENT_BYTES_MIN: usize = 32 * 1024;

/// A long argument.
pub type LongArgument = Arc<Vec<u8>>;

/// A query buffer.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Requests as they have arrived, without what lies in `long`.
    pub bytes: Vec<u8>,
    /// Long arguments of requests that have not run.
    pub long: Vec<LongArgument>,
}

impl Query {
    /// Nothing.
    pub const EMPTY: &Query = &Query { bytes: Vec::new(), long: Vec::new() };

    /// Bytes of memory that the long arguments hold.
    pub fn long_bytes(&self) -> usize {
        self.long.iter().map(|argument| size_of::<LongArgument>() + argument.capacity()).sum()
    }
}

/// An argument.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// In the buffer.
    Short(&'a [u8]),
    /// In memory of its own, which can be kept.
    Long(&'a LongArgument),
}

/// Where one argument lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgRange {
    /// First byte in the buffer, or [`ArgRange::LONG`].
    start: u32,
    /// Length in bytes, or the number of the long argument.
    len: u32,
}

impl ArgRange {
    /// In place of the first byte of a long argument. No argument begins so far back: a buffer is shorter.
    const LONG: u32 = u32::MAX;

    /// Of an argument in the buffer.
    #[inline]
    pub fn new(start: usize, len: usize) -> ArgRange {
        ArgRange { start: start as u32, len: len as u32 }
    }

    /// Of the long argument of this number.
    pub fn long(number: usize) -> ArgRange {
        ArgRange { start: Self::LONG, len: number as u32 }
    }

    /// First byte in the buffer, of an argument that lies there.
    pub fn start(self) -> Option<usize> {
        (self.start != Self::LONG).then_some(self.start as usize)
    }

    /// The buffer has lost bytes at its front.
    pub fn rebase(&mut self, removed: usize) {
        if self.start != Self::LONG {
            self.start -= removed as u32;
        }
    }

    /// The bytes of this argument.
    #[inline]
    pub fn of(self, query: &Query) -> &[u8] {
        let start = self.start as usize;
        // A long argument begins behind every buffer's end.
        match query.bytes.get(start..start + self.len as usize) {
            Some(bytes) => bytes,
            None => self.of_long(query),
        }
    }

    #[cold]
    fn of_long(self, query: &Query) -> &LongArgument {
        &query.long[self.len as usize]
    }

    /// This argument.
    #[inline]
    pub fn argument(self, query: &Query) -> Argument<'_> {
        if self.start == Self::LONG {
            return Argument::Long(self.of_long(query));
        }
        Argument::Short(self.of(query))
    }
}

/// First byte of the buffer that arguments lie in.
pub fn keep_from(ranges: &[ArgRange]) -> Option<usize> {
    ranges.iter().find_map(|range| range.start())
}

/// Bytes of arguments.
pub fn bytes_of(ranges: &[ArgRange], query: &Query) -> usize {
    ranges.iter().map(|range| range.of(query).len()).sum()
}
