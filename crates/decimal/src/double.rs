//! Doubles in decimal.

use crate::grisu::digits_of;

/// The integer that a double is, where Redis writes it as one.
#[inline]
pub fn double_as_integer(value: f64) -> Option<i64> {
    const LARGEST: f64 = (i64::MAX / 2) as f64;
    let integer = value as i64;
    let is_safe = value.abs() <= LARGEST && !(value == 0.0 && value.is_sign_negative());
    (is_safe && integer as f64 == value).then_some(integer)
}

/// A double as Redis 8 writes it in replies: an integer, or [its shortest form](shortest_double).
pub fn format_double(value: f64) -> String {
    double_as_integer(value).map_or_else(|| shortest_double(value), |integer| integer.to_string())
}

/// A double in few digits that read back as the same value, with an exponent where that saves zeros, `inf` or `nan`; bit for
/// bit what fpconv makes of it, with which Redis writes.
pub fn shortest_double(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let made = digits_of(value.abs());
    let (digits, zeros) = (made.text(), made.exponent);
    let (count, sign) = (digits.len() as i32, if value < 0.0 { "-" } else { "" });
    let exponent = zeros + count - 1;
    if zeros >= 0 && exponent < count + 7 {
        return format!("{sign}{digits}{:0<1$}", "", zeros as usize);
    }
    if zeros < 0 && (zeros > -7 || exponent.abs() < 4) {
        return match usize::try_from(count + zeros) {
            Ok(before @ 1..) => format!("{sign}{}.{}", &digits[..before], &digits[before..]),
            _ => format!("{sign}0.{:0>1$}", digits, zeros.unsigned_abs() as usize),
        };
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}e{exponent:+}")
}

/// Reads a number as Redis does: decimal or hexadecimal, with or without point and exponent, `inf`, `infinity`. `None` for
/// anything else, NaN among it, and for a number that is too big or that is not zero but rounds to it.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let unsigned = match text {
        [b'-' | b'+', rest @ ..] => rest,
        rest => rest,
    };
    if let [b'0', b'x' | b'X', digits @ ..] = unsigned {
        let value = parse_hexadecimal(digits)?;
        return Some(if text[0] == b'-' { -value } else { value });
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let is_word = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    let mantissa = unsigned.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    let is_zero = mantissa.iter().all(|byte| matches!(byte, b'0' | b'.'));
    let fits = is_word || value.is_finite() && (value != 0.0 || is_zero);
    (fits && !value.is_nan()).then_some(value)
}

/// What follows `0x`.
fn parse_hexadecimal(text: &[u8]) -> Option<f64> {
    let (digits, power) = match text.iter().position(|byte| matches!(byte, b'p' | b'P')) {
        Some(at) => {
            let power = std::str::from_utf8(&text[at + 1..]).ok()?;
            (&text[..at], power.parse::<i32>().ok()?.clamp(-100_000, 100_000))
        }
        None => (text, 0),
    };
    let (mut mantissa, mut exponent, mut is_behind, mut count) = (0u64, power, false, 0);
    for byte in digits {
        if *byte == b'.' && !is_behind {
            is_behind = true;
            continue;
        }
        let digit = u64::from(char::from(*byte).to_digit(16)?);
        count += 1;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if is_behind { 4 } else { 0 };
        } else {
            // Beyond what a double holds only whether there is something matters.
            mantissa |= u64::from(digit != 0);
            exponent += if is_behind { 0 } else { 4 };
        }
    }
    let half = exponent / 2;
    let value = mantissa as f64 * 2f64.powi(half) * 2f64.powi(exponent - half);
    (count > 0 && value.is_finite() && (value != 0.0 || mantissa == 0)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_short() {
        for (value, expect) in [
            (0.1, "0.1"),
            (3.0, "3"),
            (1e17, "100000000000000000"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
            (1e21, "1e+21"),
            (1e300, "1e+300"),
            (0.000001, "0.000001"),
            (-1e-7, "-1e-7"),
            (5e-324, "5e-324"),
            (0.00012345, "1.2345e-4"),
            (0.30000000000000004, "0.30000000000000004"),
            (123_456_789.123_456_79, "1.2345678912345679e+8"),
            (2.458033897794038e17, "245803389779403808"),
            // Where Grisu does not find the fewest digits.
            (0.007494600000000001, "0.0074946000000000006"),
            (-9.79094e20, "-979094000000000100000"),
            (-2.665395735562245e186, "-2.6653957355622448e+186"),
            (4_503_599_627_370_498.0, "4503599627370498"),
            (f64::INFINITY, "inf"),
            (-0.0, "-0"),
            (123456789.125, "123456789.125"),
        ] {
            assert_eq!(format_double(value), expect);
        }
    }

    #[test]
    fn numbers_are_read_as_redis_reads_them() {
        for (text, expect) in [
            ("1", Some(1.0)),
            ("+5", Some(5.0)),
            ("-.5e1", Some(-5.0)),
            ("5.", Some(5.0)),
            ("0x10", Some(16.0)),
            ("-0x1p3", Some(-8.0)),
            ("0x.8", Some(0.5)),
            ("0x", None),
            ("0x1p99999", None),
            ("INF", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("0e999", Some(0.0)),
            ("5e-324", Some(5e-324)),
            ("2e-324", None),
            ("1e400", None),
            ("nan", None),
            (" 5", None),
            ("5 ", None),
            ("1_", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(parse_double(text.as_bytes()), expect, "{text:?}");
        }
    }
}
