//! What is wrong with bytes that should have been an RDB file or a payload, and where.

use std::fmt;
use std::io;

/// A fault and the offset of the byte at which it was noticed.
#[derive(Debug)]
pub struct Fault {
    /// Bytes from the beginning.
    pub offset: u64,
    /// What it is.
    pub kind: FaultKind,
}

/// What can be wrong.
#[derive(Debug)]
pub enum FaultKind {
    /// The bytes end before what they announce.
    Truncated,
    /// They could not be read.
    Unreadable(io::Error),
    /// They begin with something else than an RDB file.
    NoRdb,
    /// They are of a version that this reader does not know.
    Version(u32),
    /// The checksum at their end is another one.
    Checksum {
        /// What the end says.
        stated: u64,
        /// What the bytes give.
        computed: u64,
    },
    /// A type or opcode that the version does not have.
    Type(u8),
    /// Something that no writer writes; the text says what.
    Malformed(&'static str),
    /// Whoever was told of the content has refused it, and says why.
    Refused(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Truncated => write!(f, "the data ends in the middle of something")?,
            FaultKind::Unreadable(error) => write!(f, "reading failed: {error}")?,
            FaultKind::NoRdb => write!(f, "this is no RDB file: it begins with neither REDIS nor VALKEY")?,
            FaultKind::Version(version) => write!(f, "version {version} is not known")?,
            FaultKind::Checksum { stated, computed } => {
                write!(f, "CRC error: the checksum is {computed:016x}, and the end says {stated:016x}")?;
            }
            FaultKind::Type(number) => write!(f, "there is no type or opcode {number} in this version")?,
            FaultKind::Malformed(what) => f.write_str(what)?,
            FaultKind::Refused(why) => f.write_str(why)?,
        }
        write!(f, " (at byte {})", self.offset)
    }
}

impl std::error::Error for Fault {}
