//! Strings: reading one as bytes or as an integer.

use swytch_decimal::{INTEGER_DIGITS_MAX, format_i64};

use crate::Value;

/// A string value's bytes, whatever its encoding.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// Bytes that lie in the entry.
    Borrowed(&'a [u8]),
    /// The digits of an integer.
    Digits([u8; INTEGER_DIGITS_MAX], u8),
}

impl<'a> Text<'a> {
    /// The bytes of a string value; `None` for any other type.
    #[inline]
    pub fn of(value: Value<'a>) -> Option<Text<'a>> {
        match value {
            Value::Bytes(bytes) => Some(Text::Borrowed(bytes)),
            Value::Integer(number) => {
                let mut digits = [0; INTEGER_DIGITS_MAX];
                let len = format_i64(&mut digits, number).len();
                digits.copy_within(INTEGER_DIGITS_MAX - len.., 0);
                Some(Text::Digits(digits, len as u8))
            }
            _ => None,
        }
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Text::Borrowed(bytes) => bytes,
            Text::Digits(digits, len) => &digits[..usize::from(*len)],
        }
    }
}
