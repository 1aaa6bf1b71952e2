//! The errors that commands answer with, in Redis's exact words.

use std::borrow::Cow;

use swytch_store::{GrowError, IncrementError, WrongType};

use crate::system::escape::up_to_zero;

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The key holds another type.
    WrongType,
    /// The arguments make no sense.
    Syntax,
    /// Not a 64-bit integer.
    NotAnInteger,
    /// Not a floating-point number.
    NotAFloat,
    /// An integer outside its range.
    OutOfRange,
    /// The result of an increment does not fit.
    Overflow,
    /// The key does not exist.
    NoSuchKey,
    /// An index beyond the list.
    IndexOutOfRange,
    /// A string would be longer than `proto-max-bulk-len`.
    StringTooLong,
    /// A database that does not exist.
    DbIndexOutOfRange,
    /// A blocking command's timeout is not a number.
    TimeoutNotAFloat,
    /// A blocking command's timeout is negative.
    TimeoutNegative,
    /// A blocking command's timeout is too far away.
    TimeoutOutOfRange,
    /// Any other text, with its code; bytes, because it may quote what a client has sent. Boxed, so that a result fits in
    /// two registers: nearly all are good.
    Other(Box<Cow<'static, [u8]>>),
    /// The error of a command that this one has run, in whose statistics it is already.
    Counted(Box<Vec<u8>>),
}

// A handler's result is returned for every command.
const _: () = assert!(size_of::<CommandError>() <= 16);

impl CommandError {
    /// An error with a fixed text.
    #[cold]
    pub fn text(text: &'static str) -> Self {
        CommandError::Other(Box::new(Cow::Borrowed(text.as_bytes())))
    }

    /// A wrong number of arguments for the command or subcommand with this full name.
    pub fn wrong_arity(name: &str) -> Self {
        CommandError::owned(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// An expiry that makes no sense.
    pub fn invalid_expire(command: &str) -> Self {
        CommandError::owned(format!("ERR invalid expire time in '{command}' command"))
    }

    /// An error with a composed text.
    #[cold]
    pub fn owned(text: impl Into<Vec<u8>>) -> Self {
        CommandError::Other(Box::new(Cow::Owned(text.into())))
    }

    /// An error that quotes what a client has sent, up to a zero byte, where Redis's strings end.
    #[cold]
    pub fn quoting(before: &str, quoted: &[u8], after: &str) -> Self {
        CommandError::owned([before.as_bytes(), up_to_zero(quoted), after.as_bytes()].concat())
    }

    /// The text behind the minus sign.
    pub fn reply(&self) -> &[u8] {
        let text = match self {
            CommandError::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            CommandError::Syntax => "ERR syntax error",
            CommandError::NotAnInteger => "ERR value is not an integer or out of range",
            CommandError::NotAFloat => "ERR value is not a valid float",
            CommandError::OutOfRange => "ERR value is out of range",
            CommandError::Overflow => "ERR increment or decrement would overflow",
            CommandError::NoSuchKey => "ERR no such key",
            CommandError::IndexOutOfRange => "ERR index out of range",
            CommandError::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            CommandError::DbIndexOutOfRange => "ERR DB index is out of range",
            CommandError::TimeoutNotAFloat => "ERR timeout is not a float or out of range",
            CommandError::TimeoutNegative => "ERR timeout is negative",
            CommandError::TimeoutOutOfRange => "ERR timeout is out of range",
            CommandError::Other(text) => return text,
            CommandError::Counted(text) => return text,
        };
        text.as_bytes()
    }
}

/// Most bytes of a name that errors quote where it may be anything.
pub const QUOTED_BYTES_MAX: usize = 128;

/// What errors quote of a name that may be anything.
pub fn start_of(name: &[u8]) -> &[u8] {
    &name[..name.len().min(QUOTED_BYTES_MAX)]
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> Self {
        CommandError::WrongType
    }
}

impl From<IncrementError> for CommandError {
    fn from(error: IncrementError) -> Self {
        match error {
            IncrementError::WrongType => CommandError::WrongType,
            IncrementError::NotAnInteger => CommandError::NotAnInteger,
            IncrementError::Overflow => CommandError::Overflow,
        }
    }
}

impl From<GrowError> for CommandError {
    fn from(error: GrowError) -> Self {
        match error {
            GrowError::WrongType => CommandError::WrongType,
            GrowError::TooLong => CommandError::StringTooLong,
        }
    }
}
