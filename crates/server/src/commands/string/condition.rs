//! What must hold before a string is set or deleted (SET, MSETEX, DELEX, DELIFEQ), and the digest that two of the
//! conditions and DIGEST speak of.

use swytch_store::{Key, KeyspaceMut, Text};
use twox_hash::XxHash3_64;

use crate::command::prelude::*;

/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 16;

/// What must hold for a write to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    #[default]
    None,
    /// The key exists, or does not, whatever its type.
    Exists(bool),
    /// The string at the key compares so with something. A key that is absent is equal to nothing.
    Compares {
        /// Whether it must be equal or must not.
        equal: bool,
        /// With what.
        with: Operand<'a>,
    },
}

/// What a string is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand<'a> {
    /// Another string.
    Value(&'a [u8]),
    /// The digest of a string, in hexadecimal digits.
    Digest(&'a [u8]),
}

impl<'a> Condition<'a> {
    /// Reads IFEQ, IFNE, IFDEQ or IFDNE and what follows it, if it is next.
    pub fn comparison(arguments: &mut ArgCursor<'a>) -> Result<Option<Condition<'a>>, CommandError> {
        type Make = for<'b> fn(&'b [u8]) -> Operand<'b>;
        let words: [(&str, bool, Make); 4] = [
            ("IFEQ", true, |value| Operand::Value(value)),
            ("IFNE", false, |value| Operand::Value(value)),
            ("IFDEQ", true, |digest| Operand::Digest(digest)),
            ("IFDNE", false, |digest| Operand::Digest(digest)),
        ];
        let Some((_, equal, make)) = words.into_iter().find(|(word, ..)| arguments.word(word)) else {
            return Ok(None);
        };
        Ok(Some(Condition::Compares { equal, with: make(arguments.expect()?) }))
    }

    /// Whether the argument at a position is the word of a comparison, which may be incomplete.
    pub fn is_comparison(args: &Args<'_>, index: usize) -> bool {
        !matches!(Condition::comparison(&mut args.cursor(index)), Ok(None))
    }

    /// Whether both are conditions of one kind, whatever they compare with.
    pub fn is_like(&self, other: &Condition<'_>) -> bool {
        match (self, other) {
            (
                Condition::Compares { equal, with },
                Condition::Compares { equal: other_equal, with: other_with },
            ) => equal == other_equal && std::mem::discriminant(with) == std::mem::discriminant(other_with),
            _ => self == other,
        }
    }

    /// Whether it holds for a key.
    ///
    /// # Errors
    /// If the key holds no string that could be compared.
    pub fn holds(&self, keyspace: &KeyspaceMut<'_, '_>, key: &Key<'_>) -> Result<bool, CommandError> {
        let (equal, with) = match *self {
            Condition::None => return Ok(true),
            Condition::Exists(exists) => return Ok(keyspace.peek(key).is_some() == exists),
            Condition::Compares { equal, with } => (equal, with),
        };
        let Some(entry) = keyspace.peek(key) else { return Ok(!equal) };
        let text = Text::of(entry.value()).ok_or(CommandError::WrongType)?;
        let is_equal = match with {
            Operand::Value(value) => *text == *value,
            Operand::Digest(digest) if digest.len() != DIGEST_DIGITS => {
                return Err(CommandError::text("ERR must be exactly 16 hexadecimal characters"));
            }
            Operand::Digest(digest) => digest_of(&text).as_bytes().eq_ignore_ascii_case(digest),
        };
        Ok(is_equal == equal)
    }
}

/// The digest of a string: XXH3 with 64 bits, in hexadecimal digits.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash3_64::oneshot(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_redis() {
        assert_eq!(digest_of(b"Hello world"), "b6acb9d84a38ff74");
        assert_eq!(digest_of(b"12345"), "f34099ede96b5581");
        assert_eq!(digest_of(b""), "2d06800538d394c2");
    }
}
