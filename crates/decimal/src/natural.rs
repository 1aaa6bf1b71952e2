//! Natural numbers of any size, as far as reading and writing long decimal numbers needs them.

/// The largest power of ten that a limb holds, and its exponent.
const LIMB_UNIT: u64 = 10_000_000_000_000_000_000;
const LIMB_DIGITS: usize = 19;

/// A natural number; its size is bounded by the texts it is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Natural {
    /// Lowest first, without zeros at the end.
    limbs: Vec<u64>,
}

impl From<u64> for Natural {
    fn from(value: u64) -> Natural {
        Natural { limbs: if value == 0 { Vec::new() } else { vec![value] } }
    }
}

impl Natural {
    /// The number that ASCII digits say.
    pub(crate) fn from_decimal(digits: &[u8]) -> Natural {
        let mut number = Natural::from(0);
        for chunk in digits.chunks(LIMB_DIGITS) {
            let value = chunk.iter().fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0'));
            number.multiply_add(10_u64.pow(chunk.len() as u32), value);
        }
        number
    }

    /// Ten to a power.
    pub(crate) fn power_of_ten(power: usize) -> Natural {
        let mut number = Natural::from(10_u64.pow((power % LIMB_DIGITS) as u32));
        for _ in 0..power / LIMB_DIGITS {
            number.multiply_add(LIMB_UNIT, 0);
        }
        number
    }

    /// The number in decimal.
    pub(crate) fn to_decimal(&self) -> String {
        let mut rest = self.clone();
        let mut parts = Vec::new();
        while !rest.limbs.is_empty() {
            parts.push(rest.divide_by_limb(LIMB_UNIT));
        }
        let mut text = parts.pop().unwrap_or(0).to_string();
        for part in parts.iter().rev() {
            text.push_str(&format!("{part:0LIMB_DIGITS$}"));
        }
        text
    }

    /// Number of bits up to the highest that is set.
    pub(crate) fn bits(&self) -> usize {
        self.limbs.last().map_or(0, |last| self.limbs.len() * 64 - last.leading_zeros() as usize)
    }

    /// The product of two numbers.
    pub(crate) fn times(&self, other: &Natural) -> Natural {
        let mut limbs = vec![0; self.limbs.len() + other.limbs.len()];
        for (at, &first) in self.limbs.iter().enumerate() {
            let mut carry = 0;
            for (place, &second) in limbs[at..].iter_mut().zip(&other.limbs) {
                let sum = u128::from(first) * u128::from(second) + u128::from(*place) + u128::from(carry);
                (*place, carry) = (sum as u64, (sum >> 64) as u64);
            }
            limbs[at + other.limbs.len()] = carry;
        }
        Natural::trimmed(limbs)
    }

    /// The number times a power of two.
    pub(crate) fn shifted_left(&self, by: usize) -> Natural {
        let (limbs, bits) = (by / 64, by % 64);
        let mut shifted = vec![0; limbs];
        let mut carry = 0;
        for &limb in &self.limbs {
            shifted.push(limb << bits | carry);
            carry = if bits == 0 { 0 } else { limb >> (64 - bits) };
        }
        shifted.push(carry);
        Natural::trimmed(shifted)
    }

    /// The highest 128 bits, and how many lie below them. The lowest bit says too whether any of those is set.
    pub(crate) fn leading_bits(&self) -> (u128, usize) {
        let lost = self.bits().saturating_sub(128);
        let limb = |at: usize| u128::from(self.limbs.get(at).copied().unwrap_or(0));
        let (at, shift) = (lost / 64, lost % 64);
        let low = limb(at) | limb(at + 1) << 64;
        let bits = if shift == 0 { low } else { low >> shift | limb(at + 2) << (128 - shift) };
        let below =
            self.limbs.iter().take(at).any(|limb| *limb != 0) || limb(at) & ((1_u128 << shift) - 1) != 0;
        (bits | u128::from(below), lost)
    }

    /// The quotient, which has at most `bits_max` bits, and whether nothing remains.
    pub(crate) fn divided_by(&self, divisor: &Natural, bits_max: u32) -> (u128, bool) {
        let mut rest = self.clone();
        let mut subtrahend = divisor.shifted_left(bits_max as usize);
        let mut quotient = 0;
        for _ in 0..=bits_max {
            quotient <<= 1;
            if rest.subtract(&subtrahend) {
                quotient |= 1;
            }
            subtrahend.halve();
        }
        (quotient, rest.limbs.is_empty())
    }

    /// Subtracts a number that is not greater; otherwise does nothing and says so.
    fn subtract(&mut self, other: &Natural) -> bool {
        let by_length = self.limbs.len().cmp(&other.limbs.len());
        let order = by_length.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()));
        if order.is_lt() {
            return false;
        }
        let mut borrow = false;
        for (at, place) in self.limbs.iter_mut().enumerate() {
            let (rest, first) = place.overflowing_sub(other.limbs.get(at).copied().unwrap_or(0));
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            (*place, borrow) = (rest, first || second);
        }
        self.trim();
        true
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.limbs.iter_mut().rev() {
            (*limb, carry) = (*limb >> 1 | carry, *limb << 63);
        }
        self.trim();
    }

    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = summand;
        for limb in &mut self.limbs {
            let sum = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            (*limb, carry) = (sum as u64, (sum >> 64) as u64);
        }
        if carry != 0 {
            self.limbs.push(carry);
        }
    }

    /// Divides by a limb and returns the remainder.
    fn divide_by_limb(&mut self, divisor: u64) -> u64 {
        let mut remainder = 0_u128;
        for limb in self.limbs.iter_mut().rev() {
            let dividend = remainder << 64 | u128::from(*limb);
            *limb = (dividend / u128::from(divisor)) as u64;
            remainder = dividend % u128::from(divisor);
        }
        self.trim();
        remainder as u64
    }

    fn trimmed(limbs: Vec<u64>) -> Natural {
        let mut number = Natural { limbs };
        number.trim();
        number
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_digits_come_back() {
        for digits in ["0", "7", "18446744073709551616", "10000000000000000000000000000000000000001"] {
            assert_eq!(Natural::from_decimal(digits.as_bytes()).to_decimal(), digits);
        }
        let long = "9876543210".repeat(60);
        assert_eq!(Natural::from_decimal(long.as_bytes()).to_decimal(), long);
        assert_eq!(Natural::power_of_ten(100).to_decimal(), format!("1{}", "0".repeat(100)));
    }

    #[test]
    fn arithmetic_agrees_with_128_bits() {
        let (first, second) = (0xFEDC_BA98_7654_3210_u64, 0x1234_5678_9ABC_DEF1_u64);
        let product = Natural::from(first).times(&Natural::from(second));
        assert_eq!(product.to_decimal(), (u128::from(first) * u128::from(second)).to_string());
        assert_eq!(product.leading_bits(), (u128::from(first) * u128::from(second), 0));
        let shifted = Natural::from(first).shifted_left(61);
        assert_eq!(shifted.to_decimal(), (u128::from(first) << 61).to_string());
        assert_eq!(shifted.bits(), 125);
        let (quotient, is_exact) = shifted.divided_by(&Natural::from(second), 68);
        assert_eq!(quotient, (u128::from(first) << 61) / u128::from(second));
        assert!(!is_exact);
        assert_eq!(product.divided_by(&Natural::from(first), 68), (u128::from(second), true));
    }

    #[test]
    fn leading_bits_tell_of_lost_ones() {
        let number = Natural::from(1).shifted_left(200);
        assert_eq!(number.leading_bits(), (1 << 127, 73));
        let mut number = number;
        number.multiply_add(1, 1);
        assert_eq!(number.leading_bits(), (1 << 127 | 1, 73));
    }
}
