//! Floating-point numbers with 64 bits of mantissa: x87 "extended precision", C's `long double` on x86.
//!
//! INCRBYFLOAT and HINCRBYFLOAT compute in them. Here they are integers, so every platform gives the same
//! results, those of Redis on x86-64: reading rounds to the nearest number, ties to even, and so does adding;
//! writing gives 17 digits behind the point, rounded likewise from the exact value, without trailing zeros.
//!
//! Short numbers take a few operations on 128 bits; the rest goes through [`Natural`], exact and slow.

use crate::natural::Natural;

/// Longest text that is read, and longest that is written (Redis: MAX_LONG_DOUBLE_CHARS).
pub const EXTENDED_TEXT_MAX: usize = 5 * 1024 - 1;

/// The exponent of the smallest number above zero, when the mantissa is an integer.
const EXPONENT_MIN: i32 = -16445;
/// The exponent of the largest numbers.
const EXPONENT_MAX: i32 = 16320;
/// Digits behind the point that are written.
const FRACTION_DIGITS: usize = 17;
/// Ten to the number of digits behind the point.
const FRACTION_UNIT: u128 = 100_000_000_000_000_000;
/// No finite number has more decimal digits in front of the point, and none above zero more zeros behind it.
const DECIMAL_EXPONENT_MAX: i64 = 4960;

/// A number of 64 bits of mantissa, or an infinity. NaN has no place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    /// `mantissa * 2^exponent`. Bit 63 of the mantissa is set unless the exponent is the smallest.
    Finite {
        mantissa: u64,
        exponent: i32,
    },
    Infinite,
    /// What infinities of both signs add up to.
    Undefined,
}

impl Extended {
    /// Zero.
    pub const ZERO: Extended =
        Extended { negative: false, magnitude: Magnitude::Finite { mantissa: 0, exponent: EXPONENT_MIN } };

    /// Reads a number as C's `strtold` does, where all of the text must be one: decimal or hexadecimal, with or
    /// without point and exponent, `inf`, `infinity`. `None` for anything else, and for a number that is too big
    /// or that is not zero but rounds to it.
    pub fn parse(text: &[u8]) -> Option<Extended> {
        if text.len() > EXTENDED_TEXT_MAX {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let magnitude = match digits {
            [b'0', b'x' | b'X', hexadecimal @ ..] => parse_hexadecimal(hexadecimal)?,
            word if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") => {
                Magnitude::Infinite
            }
            decimal => parse_decimal(decimal)?,
        };
        Some(Extended { negative, magnitude })
    }

    /// False for an infinity, and for what is no number.
    pub fn is_finite(&self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { .. })
    }

    /// The number times a thousand, rounded up to an integer: seconds in milliseconds. What does not fit becomes the
    /// largest or the smallest integer.
    pub fn thousandfold(&self) -> i128 {
        let limit = if self.negative { i128::MIN } else { i128::MAX };
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else { return limit };
        // Rounded as a product of C's long doubles is, or a tenth would be a little more than a hundred thousandths.
        let Magnitude::Finite { mantissa, exponent } = rounded(u128::from(mantissa) * 1000, exponent) else {
            return limit;
        };
        let mantissa = i128::from(mantissa);
        match exponent {
            64.. => limit,
            0.. if self.negative => -(mantissa << exponent),
            0.. => mantissa << exponent,
            _ => {
                let shift = exponent.unsigned_abs().min(64);
                let (whole, lost) = (mantissa >> shift, mantissa & ((1 << shift) - 1));
                if self.negative { -whole } else { whole + i128::from(lost != 0) }
            }
        }
    }

    /// The number in decimal, with at most 17 digits behind the point; `None` unless it is finite.
    pub fn format(&self) -> Option<String> {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else { return None };
        let mut text = String::new();
        if self.negative {
            text.push('-');
        }
        if exponent >= 0 {
            text.push_str(&Natural::from(mantissa).shifted_left(exponent as usize).to_decimal());
            return Some(text);
        }
        let (whole, fraction) = split_decimal(mantissa, exponent.unsigned_abs());
        text.push_str(&whole.to_string());
        if fraction > 0 {
            let digits = format!("{fraction:0FRACTION_DIGITS$}");
            text.push('.');
            text.push_str(digits.trim_end_matches('0'));
        }
        if text == "-0" {
            text.remove(0);
        }
        Some(text)
    }
}

impl std::ops::Add for Extended {
    type Output = Extended;

    fn add(self, other: Extended) -> Extended {
        let (Magnitude::Finite { .. }, Magnitude::Finite { .. }) = (self.magnitude, other.magnitude) else {
            return add_infinite(self, other);
        };
        add_finite(self, other)
    }
}

fn add_infinite(first: Extended, second: Extended) -> Extended {
    match (first.magnitude, second.magnitude) {
        (Magnitude::Finite { .. }, _) => second,
        (_, Magnitude::Finite { .. }) => first,
        (Magnitude::Infinite, Magnitude::Infinite) if first.negative == second.negative => first,
        _ => Extended { negative: false, magnitude: Magnitude::Undefined },
    }
}

fn add_finite(first: Extended, second: Extended) -> Extended {
    /// Room below the mantissa, so that cutting off the smaller number leaves enough to round by.
    const GUARD_BITS: i32 = 62;
    let parts = |number: Extended| match number.magnitude {
        Magnitude::Finite { mantissa, exponent } => (mantissa, exponent),
        Magnitude::Infinite | Magnitude::Undefined => unreachable!("the caller has looked"),
    };
    let (mut big, mut small) = (first, second);
    if parts(small).1 > parts(big).1 {
        (big, small) = (small, big);
    }
    let ((big_mantissa, exponent), (small_mantissa, small_exponent)) = (parts(big), parts(small));
    let big_bits = u128::from(big_mantissa) << GUARD_BITS;
    let small_bits =
        shift_right_sticky(u128::from(small_mantissa) << GUARD_BITS, (exponent - small_exponent) as u32);
    let (negative, bits) = if big.negative == small.negative {
        (big.negative, big_bits + small_bits)
    } else if big_bits >= small_bits {
        // Equal numbers of opposite signs make a positive zero.
        (big.negative && big_bits != small_bits, big_bits - small_bits)
    } else {
        (small.negative, small_bits - big_bits)
    };
    Extended { negative, magnitude: rounded(bits, exponent - GUARD_BITS) }
}

/// Shifts right; the lowest bit says too whether any bit was lost.
fn shift_right_sticky(bits: u128, by: u32) -> u128 {
    match by {
        0 => bits,
        1..=127 => bits >> by | u128::from(bits << (128 - by) != 0),
        _ => u128::from(bits != 0),
    }
}

/// The nearest number to `bits * 2^exponent`, ties to even. The lowest bit of `bits` may stand for more bits lost
/// before, if `bits` has 66 bits or more.
fn rounded(bits: u128, exponent: i32) -> Magnitude {
    if bits == 0 {
        return Extended::ZERO.magnitude;
    }
    let length = 128 - bits.leading_zeros() as i32;
    // How far the mantissa's lowest bit lies above the lowest bit of `bits`.
    let shift = (length - 64).max(EXPONENT_MIN - exponent);
    if shift <= 0 {
        return finite((bits << -shift) as u64, exponent + shift);
    }
    let kept = if shift >= 128 { 0 } else { bits >> shift };
    let half = if shift > 128 { u128::MAX } else { 1_u128 << (shift - 1) };
    let lost = if shift >= 128 { bits } else { bits & ((1 << shift) - 1) };
    let up = lost > half || (lost == half && shift <= 128 && kept & 1 == 1);
    let mantissa = kept + u128::from(up);
    if mantissa >> 64 != 0 {
        finite(1 << 63, exponent + shift + 1)
    } else {
        finite(mantissa as u64, exponent + shift)
    }
}

fn finite(mantissa: u64, exponent: i32) -> Magnitude {
    if exponent > EXPONENT_MAX { Magnitude::Infinite } else { Magnitude::Finite { mantissa, exponent } }
}

/// A number that was read: neither too big nor rounded to zero.
fn read(magnitude: Magnitude) -> Option<Magnitude> {
    match magnitude {
        Magnitude::Finite { mantissa: 1.., .. } => Some(magnitude),
        _ => None,
    }
}

/// `mantissa / 2^shift` as a whole number and, after it, a number of [`FRACTION_UNIT`]ths.
fn split_decimal(mantissa: u64, shift: u32) -> (u128, u128) {
    // Below 2^121, so nothing is lost.
    let scaled = u128::from(mantissa) * FRACTION_UNIT;
    let quotient = match shift {
        0..=127 => {
            let (kept, lost, half) = (scaled >> shift, scaled & ((1 << shift) - 1), 1_u128 << (shift - 1));
            kept + u128::from(lost > half || (lost == half && kept & 1 == 1))
        }
        _ => 0,
    };
    (quotient / FRACTION_UNIT, quotient % FRACTION_UNIT)
}

/// Digits with at most one point among them, without leading zeros: the digits, how many of them are behind the
/// point, and the text that follows. `None` when there is no digit at all.
fn take_digits(text: &[u8], is_digit: fn(u8) -> bool) -> Option<(Vec<u8>, i64, &[u8])> {
    let mut digits = Vec::new();
    let (mut behind_point, mut seen_point, mut seen_digit, mut at) = (0, false, false, 0);
    while let Some(&byte) = text.get(at) {
        if byte == b'.' && !seen_point {
            seen_point = true;
        } else if is_digit(byte) {
            seen_digit = true;
            behind_point += i64::from(seen_point);
            if byte != b'0' || !digits.is_empty() {
                digits.push(byte);
            }
        } else {
            break;
        }
        at += 1;
    }
    seen_digit.then_some((digits, behind_point, &text[at..]))
}

/// The exponent behind a letter, if there is one; it must end the text.
fn take_exponent(text: &[u8], letter: u8) -> Option<i64> {
    /// Beyond it every exponent means the same.
    const EXPONENT_ENOUGH: i64 = 1 << 40;
    let Some((first, rest)) = text.split_first() else { return Some(0) };
    if !first.eq_ignore_ascii_case(&letter) {
        return None;
    }
    let (sign, digits) = match rest {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_ENOUGH));
    Some(sign * value)
}

fn parse_decimal(text: &[u8]) -> Option<Magnitude> {
    let (mut digits, behind_point, rest) = take_digits(text, |byte| byte.is_ascii_digit())?;
    let mut exponent = take_exponent(rest, b'e')? - behind_point;
    while let Some(b'0') = digits.last() {
        digits.pop();
        exponent += 1;
    }
    if digits.is_empty() {
        return Some(Extended::ZERO.magnitude);
    }
    let decimal_length = digits.len() as i64 + exponent;
    if decimal_length.abs() > DECIMAL_EXPONENT_MAX {
        return None;
    }
    read(match short_decimal(&digits, exponent) {
        Some(magnitude) => magnitude,
        None => long_decimal(&digits, exponent),
    })
}

/// Up to 19 digits times a small power of ten, by one multiplication or division.
fn short_decimal(digits: &[u8], exponent: i64) -> Option<Magnitude> {
    /// Ten to this power is below 2^60, so that a quotient of 127 bits by it has 67 or more.
    const POWER_MAX: i64 = 18;
    if digits.len() > 19 || exponent.abs() > POWER_MAX {
        return None;
    }
    let value = digits.iter().fold(0, |value: u128, digit| value * 10 + u128::from(digit - b'0'));
    let power = 10_u128.pow(exponent.unsigned_abs() as u32);
    if exponent >= 0 {
        // Below 2^64 * 2^60.
        return Some(rounded(value * power, 0));
    }
    let shift = value.leading_zeros() - 1;
    let (quotient, remainder) = ((value << shift) / power, (value << shift) % power);
    Some(rounded(quotient | u128::from(remainder != 0), -(shift as i32)))
}

fn long_decimal(digits: &[u8], exponent: i64) -> Magnitude {
    let value = Natural::from_decimal(digits);
    let power = Natural::power_of_ten(exponent.unsigned_abs() as usize);
    if exponent >= 0 {
        let (bits, lost) = value.times(&power).leading_bits();
        return rounded(bits, lost as i32);
    }
    // Shifted so that the quotient has 66 to 68 bits.
    let shift = power.bits() as i64 - value.bits() as i64 + 67;
    let (numerator, denominator) = if shift >= 0 {
        (value.shifted_left(shift as usize), power)
    } else {
        (value, power.shifted_left(shift.unsigned_abs() as usize))
    };
    let (quotient, is_exact) = numerator.divided_by(&denominator, 68);
    rounded(quotient | u128::from(!is_exact), -shift as i32)
}

fn parse_hexadecimal(text: &[u8]) -> Option<Magnitude> {
    let (digits, behind_point, rest) = take_digits(text, |byte| byte.is_ascii_hexdigit())?;
    let exponent = take_exponent(rest, b'p')?;
    if digits.is_empty() {
        return Some(Extended::ZERO.magnitude);
    }
    let (mut bits, mut exponent) = (0_u128, exponent - behind_point * 4);
    for digit in digits {
        let value = (digit as char).to_digit(16).unwrap_or_default();
        if bits >> 120 == 0 {
            bits = bits << 4 | u128::from(value);
        } else {
            bits |= u128::from(value != 0);
            exponent += 4;
        }
    }
    let exponent = i32::try_from(exponent).unwrap_or(if exponent > 0 { i32::MAX / 2 } else { i32::MIN / 2 });
    read(rounded(bits, exponent.clamp(-1 << 24, 1 << 24)))
}

#[cfg(test)]
mod tests;
