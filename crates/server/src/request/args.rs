//! Arguments of a command, and a cursor that reads them the way the command's syntax is written.

use swytch_resp::query::bytes_of;
use swytch_resp::{ArgRange, Argument, Query};

use super::CommandError;

/// The arguments of one request, the command's name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    query: &'a Query,
    ranges: &'a [ArgRange],
}

impl<'a> Args<'a> {
    /// No arguments.
    pub const NONE: Args<'static> = Args { query: Query::EMPTY, ranges: &[] };

    /// Arguments that lie in a query buffer.
    #[inline]
    pub fn new(query: &'a Query, ranges: &'a [ArgRange]) -> Self {
        Args { query, ranges }
    }

    /// How many there are, the name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// True for a request without even a name.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// An argument that the command's arity guarantees.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        self.ranges[index].of(self.query)
    }

    /// As [`Args::get`], to be kept without a copy if it is a long one.
    #[inline]
    pub fn argument(&self, index: usize) -> Argument<'a> {
        self.ranges[index].argument(self.query)
    }

    /// An argument, if there are that many.
    pub fn try_get(&self, index: usize) -> Option<&'a [u8]> {
        self.ranges.get(index).map(|range| range.of(self.query))
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let Args { query, ranges } = *self;
        ranges[index.min(ranges.len())..].iter().map(move |range| range.of(query))
    }

    /// The arguments from `index` on, as a request of their own.
    pub fn tail(&self, index: usize) -> Args<'a> {
        Args { ranges: &self.ranges[index.min(self.ranges.len())..], ..*self }
    }

    /// A cursor that begins at `index`.
    pub fn cursor(&self, index: usize) -> ArgCursor<'a> {
        ArgCursor { args: *self, at: index }
    }

    /// An integer argument.
    pub fn integer(&self, index: usize) -> Result<i64, CommandError> {
        swytch_decimal::parse_i64(self.get(index)).ok_or(CommandError::NotAnInteger)
    }

    /// Total bytes of all arguments.
    pub fn bytes(&self) -> usize {
        bytes_of(self.ranges, self.query)
    }

    /// True unless the request is known at a glance to have fewer bytes.
    #[inline]
    pub fn may_have_bytes(&self, bytes: u64) -> bool {
        /// The most that is around an argument.
        const FRAME_BYTES_MAX: usize = 32;
        !self.query.long.is_empty()
            || (self.query.bytes.len() + (self.ranges.len() + 1) * FRAME_BYTES_MAX) as u64 >= bytes
    }

    /// Bytes of the request that these arguments come from, had it no superfluous ones.
    pub fn request_bytes(&self) -> usize {
        let digits = |number: usize| number.max(1).ilog10() as usize + 1;
        let head = |number: usize| 1 + digits(number) + 2;
        let argument = |len: usize| head(len) + len + 2;
        head(self.ranges.len()) + self.from(0).map(|bytes| argument(bytes.len())).sum::<usize>()
    }

    /// A copy that outlives the query buffer. Long arguments are shared with it.
    pub fn to_owned(&self) -> OwnedArgs {
        OwnedArgs::gather((0..self.len()).map(|index| self.argument(index)))
    }
}

/// Arguments that own their bytes: queued in a transaction, or of a parked client.
#[derive(Clone, Debug)]
pub struct OwnedArgs {
    query: Query,
    ranges: Box<[ArgRange]>,
}

impl OwnedArgs {
    /// Copies arguments, and shares long ones.
    fn gather<'a>(arguments: impl Iterator<Item = Argument<'a>> + Clone) -> OwnedArgs {
        let copied = |argument| if let Argument::Short(bytes) = argument { bytes.len() } else { 0 };
        let bytes = arguments.clone().map(copied).sum();
        let mut query = Query { bytes: Vec::with_capacity(bytes), long: Vec::new() };
        let place = |argument| match argument {
            Argument::Short(bytes) => {
                let range = ArgRange::new(query.bytes.len(), bytes.len());
                query.bytes.extend_from_slice(bytes);
                range
            }
            Argument::Long(argument) => {
                query.long.push(argument.clone());
                ArgRange::long(query.long.len() - 1)
            }
        };
        let ranges = arguments.map(place).collect();
        OwnedArgs { query, ranges }
    }

    /// From separate words.
    pub fn from_words(words: &[&[u8]]) -> OwnedArgs {
        OwnedArgs::gather(words.iter().map(|word| Argument::Short(word)))
    }

    /// Borrows them.
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.query, &self.ranges)
    }

    /// Bytes of memory that they take, without this struct itself.
    pub fn held_bytes(&self) -> usize {
        self.query.bytes.len() + size_of_val(&*self.ranges) + self.query.long_bytes()
    }
}

/// Reads arguments one after the other.
#[derive(Clone, Copy, Debug)]
pub struct ArgCursor<'a> {
    args: Args<'a>,
    at: usize,
}

impl<'a> ArgCursor<'a> {
    /// The next argument, if there is one.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "a cursor is not an iterator: it also looks ahead")]
    pub fn next(&mut self) -> Option<&'a [u8]> {
        let argument = self.args.try_get(self.at)?;
        self.at += 1;
        Some(argument)
    }

    /// The next argument; its absence is a syntax error.
    pub fn expect(&mut self) -> Result<&'a [u8], CommandError> {
        self.next().ok_or(CommandError::Syntax)
    }

    /// The next argument as an integer.
    pub fn integer(&mut self) -> Result<i64, CommandError> {
        swytch_decimal::parse_i64(self.expect()?).ok_or(CommandError::NotAnInteger)
    }

    /// Steps over `word`, in any case, if it is next.
    pub fn word(&mut self, word: &str) -> bool {
        let is_next = self.peek().is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()));
        if is_next {
            self.at += 1;
        }
        is_next
    }

    /// The next argument without stepping over it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.args.try_get(self.at)
    }

    /// Arguments left.
    pub fn remaining(&self) -> usize {
        self.args.len().saturating_sub(self.at)
    }

    /// Index of the next argument.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Nothing may follow.
    pub fn end(&self) -> Result<(), CommandError> {
        if self.remaining() == 0 { Ok(()) } else { Err(CommandError::Syntax) }
    }
}
