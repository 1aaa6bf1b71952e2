//! Decimal integers as Redis reads and writes them.

/// Bytes that the longest 64-bit integer takes in decimal, sign included.
pub const INTEGER_DIGITS_MAX: usize = 20;

/// Parses a canonical decimal integer: no spaces, no plus sign, no leading zeros, no overflow.
///
/// This is the strict rule by which Redis decides that a string *is* an integer (`string2ll`).
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    match digits {
        [] => return None,
        [b'0'] => return if negative { None } else { Some(0) },
        [b'0', ..] => return None,
        _ => {}
    }
    if digits.len() > 19 {
        return None;
    }
    let mut magnitude: u64 = 0;
    for &digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        // Nineteen digits stay below 10^19, which a u64 holds.
        magnitude = magnitude * 10 + u64::from(value);
    }
    if negative {
        if magnitude > 1 << 63 { None } else { Some((magnitude as i64).wrapping_neg()) }
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Two decimal digits for every value below one hundred.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Appends `value` in decimal.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; INTEGER_DIGITS_MAX];
    out.extend_from_slice(format_i64(&mut digits, value));
}

/// Writes `value` in decimal into `digits` and returns the part that holds it.
#[inline]
pub fn format_i64(digits: &mut [u8; INTEGER_DIGITS_MAX], value: i64) -> &[u8] {
    let start = write_i64_before(digits, INTEGER_DIGITS_MAX, value);
    &digits[start..]
}

/// The decimal form of an integer, which needs no other bytes.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    /// It is the end of them.
    bytes: [u8; INTEGER_DIGITS_MAX],
    start: u8,
}

impl Digits {
    /// That of `value`.
    #[inline]
    pub fn of(value: i64) -> Digits {
        let mut bytes = [0; INTEGER_DIGITS_MAX];
        let start = write_i64_before(&mut bytes, INTEGER_DIGITS_MAX, value) as u8;
        Digits { bytes, start }
    }
}

impl std::ops::Deref for Digits {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

/// Powers of ten that fit in 64 bits.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// How many bytes `value` takes in decimal, sign included.
#[inline]
pub fn decimal_len(value: i64) -> usize {
    let magnitude = value.unsigned_abs();
    // 1233 / 4096 is the logarithm of two to the base ten, rounded up: right, or one too high.
    let log = ((64 - (magnitude | 1).leading_zeros() as usize) * 1233) >> 12;
    log + usize::from(magnitude >= POWERS[log] || log == 0) + usize::from(value < 0)
}

/// Writes `value` in decimal so that it ends before `end`, and returns where it begins. There must be room for
/// [`decimal_len`] bytes.
#[inline]
pub fn write_i64_before(buffer: &mut [u8], end: usize, value: i64) -> usize {
    let mut rest = value.unsigned_abs();
    let mut at = end;
    while rest >= 100 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if rest >= 10 {
        let pair = rest as usize * 2;
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        buffer[at] = b'0' + rest as u8;
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_digits() {
        let powers = (0..19).map(|exponent| 10_i64.pow(exponent));
        for value in powers.flat_map(|power| [power - 1, power, power + 1, -power, 1 - power]) {
            assert_eq!(decimal_len(value), value.to_string().len(), "{value}");
        }
        for value in [i64::MAX, i64::MIN, 0] {
            assert_eq!(decimal_len(value), value.to_string().len(), "{value}");
        }
    }

    #[test]
    fn only_canonical_integers_parse() {
        for (text, expect) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("+1", None),
            ("01", None),
            ("-0", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn formatting_is_the_inverse_of_parsing() {
        for value in [0, 7, 10, 99, 100, 101, 12345, -1, -10, -999, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_i64(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
            assert_eq!(parse_i64(&out), Some(value));
        }
    }
}
