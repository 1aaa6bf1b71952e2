//! Integers of 1 to 64 bits that lie anywhere in a string, and what happens when they overflow.

/// Bytes that a field can touch: 64 bits that begin inside a byte.
pub(super) const FIELD_BYTES_MAX: usize = 9;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldType {
    pub(super) signed: bool,
    /// 1 to 64 for signed fields, 1 to 63 for unsigned ones, since replies are signed.
    pub(super) bits: u32,
}

/// What to do with a value that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Overflow {
    /// Keep its low bits.
    #[default]
    Wrap,
    /// Take the nearest that fits.
    Saturate,
    /// Change nothing and answer null.
    Fail,
}

impl FieldType {
    /// Reads `i8`, `u63` and the like.
    pub(super) fn parse(text: &[u8]) -> Option<FieldType> {
        let (signed, digits, bits_max) = match text {
            [b'i', digits @ ..] => (true, digits, 64),
            [b'u', digits @ ..] => (false, digits, 63),
            _ => return None,
        };
        let bits = swytch_decimal::parse_i64(digits).filter(|bits| (1..=bits_max).contains(bits))?;
        Some(FieldType { signed, bits: bits as u32 })
    }

    /// The values it can hold.
    fn limits(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// The value that the field's bits stand for.
    fn interpret(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { (bits << unused) as i64 >> unused } else { (bits << unused >> unused) as i64 }
    }

    /// Makes a value fit; `None` when it does not and must.
    pub(super) fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = self.limits();
        match overflow {
            _ if (min..=max).contains(&value) => Some(value as i64),
            Overflow::Wrap => Some(self.interpret(value as u64)),
            Overflow::Saturate => Some(value.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }

    /// The bytes that a field at a bit's position touches.
    pub(super) fn bytes(self, offset: u64) -> std::ops::Range<usize> {
        (offset / 8) as usize..((offset + u64::from(self.bits) - 1) / 8 + 1) as usize
    }

    /// Reads the field at a bit's position; the string goes on with zeros.
    pub(super) fn read(self, string: &[u8], offset: u64) -> i64 {
        let start = ((offset / 8) as usize).min(string.len());
        let end = self.bytes(offset).end.clamp(start, string.len());
        let word = load(&string[start..end]);
        self.interpret((word >> self.shift(offset)) as u64)
    }

    /// The bytes the field touches as they are with a value in it, given as they were.
    pub(super) fn write(self, touched: &mut [u8], offset: u64, value: i64) {
        let mask = u128::from(u64::MAX >> (64 - self.bits)) << self.shift(offset);
        let word = load(touched) & !mask | (value as u128) << self.shift(offset) & mask;
        touched.copy_from_slice(&word.to_be_bytes()[..touched.len()]);
    }

    /// How far the field's lowest bit lies from the right of a 128-bit word that begins at its first byte.
    fn shift(self, offset: u64) -> u32 {
        128 - (offset % 8) as u32 - self.bits
    }
}

/// At most sixteen bytes as the high ones of a word.
fn load(bytes: &[u8]) -> u128 {
    let mut word = [0; 16];
    word[..bytes.len()].copy_from_slice(bytes);
    u128::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use swytch_testkit::Random;

    use super::*;

    #[test]
    fn fields_agree_with_bit_by_bit() {
        let mut random = Random::from_environment();
        for _ in 0..5000 {
            let signed = random.once_in(2);
            let field = FieldType { signed, bits: 1 + random.below(if signed { 64_u32 } else { 63 }) };
            let mut string: Vec<u8> = (0..20).map(|_| random.below(256_u64) as u8).collect();
            let offset = random.below(90_u64);
            let before = string.clone();
            let value =
                field.fit(i128::from(random.next() as i64), Overflow::Wrap).expect("wrapping always fits");
            field.write(&mut string[field.bytes(offset)], offset, value);
            assert_eq!(field.read(&string, offset), value, "{field:?} at {offset}");
            let bit = |bytes: &[u8], at: u64| bytes[(at / 8) as usize] >> (7 - at % 8) & 1;
            for at in 0..160_u64 {
                let expect = match at.checked_sub(offset) {
                    Some(place) if place < u64::from(field.bits) => {
                        (value as u64 >> (u64::from(field.bits) - 1 - place) & 1) as u8
                    }
                    _ => bit(&before, at),
                };
                assert_eq!(bit(&string, at), expect, "{field:?} at {offset}, bit {at}");
            }
        }
    }

    #[test]
    fn reading_behind_the_end_finds_zeros() {
        let field = FieldType { signed: false, bits: 16 };
        assert_eq!(field.read(b"\xFF", 4), 0xF000);
        assert_eq!(field.read(b"\xFF", 800), 0);
    }

    #[test]
    fn values_wrap_saturate_or_fail() {
        let (u8_type, i8_type) = (FieldType { signed: false, bits: 8 }, FieldType { signed: true, bits: 8 });
        let i64_type = FieldType { signed: true, bits: 64 };
        for (field, value, wrapped, saturated) in [
            (u8_type, 256, 0, 255),
            (u8_type, -1, 255, 0),
            (i8_type, 128, -128, 127),
            (i8_type, -129, 127, -128),
            (i8_type, i128::from(i64::MIN), 0, -128),
            (i64_type, i128::from(i64::MAX) + 1, i64::MIN, i64::MAX),
            (i64_type, i128::from(i64::MIN) - 1, i64::MAX, i64::MIN),
        ] {
            assert_eq!(field.fit(value, Overflow::Wrap), Some(wrapped));
            assert_eq!(field.fit(value, Overflow::Saturate), Some(saturated));
            assert_eq!(field.fit(value, Overflow::Fail), None);
        }
        assert_eq!(i8_type.fit(-128, Overflow::Fail), Some(-128));
    }

    #[test]
    fn types_have_one_to_64_bits() {
        for text in ["i0", "i65", "u64", "u0", "i", "x8", "", "I8", "i08", "u-1"] {
            assert_eq!(FieldType::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(FieldType::parse(b"i64"), Some(FieldType { signed: true, bits: 64 }));
        assert_eq!(FieldType::parse(b"u63"), Some(FieldType { signed: false, bits: 63 }));
    }
}
