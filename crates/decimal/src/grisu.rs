//! The digits of a double, few enough and mostly the fewest that read back as the same value.
//!
//! Source: Grisu2 of Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers" (PLDI 2010), with
//! the choices of fpconv, which Redis 8 writes doubles with: where these are not the fewest digits, one more is written.

/// Most digits of a double.
pub(crate) const DIGITS_MAX: usize = 17;

/// Digits, and the power of ten that the integer they make is multiplied by.
pub(crate) struct Digits {
    digits: [u8; DIGITS_MAX + 1],
    len: usize,
    pub(crate) exponent: i32,
}

impl Digits {
    /// In ASCII, without leading zeros.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.len]).expect("digits are ASCII")
    }
}

/// `fraction * 2^exponent`
#[derive(Clone, Copy)]
struct Float {
    fraction: u64,
    exponent: i32,
}

impl Float {
    fn normalized(self) -> Float {
        let shift = self.fraction.leading_zeros();
        Float { fraction: self.fraction << shift, exponent: self.exponent - shift as i32 }
    }

    /// The upper half of the product, rounded.
    fn times(self, other: Float) -> Float {
        let product = u128::from(self.fraction) * u128::from(other.fraction) + (1 << 63);
        Float { fraction: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const HIDDEN_BIT: u64 = 1 << FRACTION_BITS;
const EXPONENT_BIAS: i32 = 1023 + FRACTION_BITS as i32;
/// Between these lies the exponent of what has been multiplied by a power of ten: its integer part fits in 32 bits.
const EXPONENT_RANGE: std::ops::RangeInclusive<i32> = -60..=-32;

/// Powers of ten from 10^-348 on in steps of 10^8: the mantissa, to the nearest, and the exponent of two.
const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;
#[rustfmt::skip]
const POWERS: [(u64, i32); 87] = [
    (0xfa8fd5a0081c0288, -1220), (0xbaaee17fa23ebf76, -1193), (0x8b16fb203055ac76, -1166),
    (0xcf42894a5dce35ea, -1140), (0x9a6bb0aa55653b2d, -1113), (0xe61acf033d1a45df, -1087),
    (0xab70fe17c79ac6ca, -1060), (0xff77b1fcbebcdc4f, -1034), (0xbe5691ef416bd60c, -1007),
    (0x8dd01fad907ffc3c, -980), (0xd3515c2831559a83, -954), (0x9d71ac8fada6c9b5, -927),
    (0xea9c227723ee8bcb, -901), (0xaecc49914078536d, -874), (0x823c12795db6ce57, -847),
    (0xc21094364dfb5637, -821), (0x9096ea6f3848984f, -794), (0xd77485cb25823ac7, -768),
    (0xa086cfcd97bf97f4, -741), (0xef340a98172aace5, -715), (0xb23867fb2a35b28e, -688),
    (0x84c8d4dfd2c63f3b, -661), (0xc5dd44271ad3cdba, -635), (0x936b9fcebb25c996, -608),
    (0xdbac6c247d62a584, -582), (0xa3ab66580d5fdaf6, -555), (0xf3e2f893dec3f126, -529),
    (0xb5b5ada8aaff80b8, -502), (0x87625f056c7c4a8b, -475), (0xc9bcff6034c13053, -449),
    (0x964e858c91ba2655, -422), (0xdff9772470297ebd, -396), (0xa6dfbd9fb8e5b88f, -369),
    (0xf8a95fcf88747d94, -343), (0xb94470938fa89bcf, -316), (0x8a08f0f8bf0f156b, -289),
    (0xcdb02555653131b6, -263), (0x993fe2c6d07b7fac, -236), (0xe45c10c42a2b3b06, -210),
    (0xaa242499697392d3, -183), (0xfd87b5f28300ca0e, -157), (0xbce5086492111aeb, -130),
    (0x8cbccc096f5088cc, -103), (0xd1b71758e219652c, -77), (0x9c40000000000000, -50),
    (0xe8d4a51000000000, -24), (0xad78ebc5ac620000, 3), (0x813f3978f8940984, 30),
    (0xc097ce7bc90715b3, 56), (0x8f7e32ce7bea5c70, 83), (0xd5d238a4abe98068, 109),
    (0x9f4f2726179a2245, 136), (0xed63a231d4c4fb27, 162), (0xb0de65388cc8ada8, 189),
    (0x83c7088e1aab65db, 216), (0xc45d1df942711d9a, 242), (0x924d692ca61be758, 269),
    (0xda01ee641a708dea, 295), (0xa26da3999aef774a, 322), (0xf209787bb47d6b85, 348),
    (0xb454e4a179dd1877, 375), (0x865b86925b9bc5c2, 402), (0xc83553c5c8965d3d, 428),
    (0x952ab45cfa97a0b3, 455), (0xde469fbd99a05fe3, 481), (0xa59bc234db398c25, 508),
    (0xf6c69a72a3989f5c, 534), (0xb7dcbf5354e9bece, 561), (0x88fcf317f22241e2, 588),
    (0xcc20ce9bd35c78a5, 614), (0x98165af37b2153df, 641), (0xe2a0b5dc971f303a, 667),
    (0xa8d9d1535ce3b396, 694), (0xfb9b7cd9a4a7443c, 720), (0xbb764c4ca7a44410, 747),
    (0x8bab8eefb6409c1a, 774), (0xd01fef10a657842c, 800), (0x9b10a4e5e9913129, 827),
    (0xe7109bfba19c0c9d, 853), (0xac2820d9623bf429, 880), (0x80444b5e7aa7cf85, 907),
    (0xbf21e44003acdd2d, 933), (0x8e679c2f5e44ff8f, 960), (0xd433179d9c8cb841, 986),
    (0x9e19db92b4e31ba9, 1013), (0xeb96bf6ebadf77d9, 1039), (0xaf87023b9bf0ee6b, 1066),
];

/// A power of ten that brings a number with this binary exponent into the range, and its decimal exponent.
fn power_for(exponent: i32) -> (Float, i32) {
    const LOG10_OF_2: f64 = 0.301_029_995_663_981_14;
    let near = -f64::from(exponent + POWERS.len() as i32) * LOG10_OF_2;
    let mut index = (near as i32 - FIRST_POWER) / POWER_STEP;
    loop {
        let (fraction, power) = POWERS[index as usize];
        let reached = exponent + power + 64;
        if reached < *EXPONENT_RANGE.start() {
            index += 1;
        } else if reached > *EXPONENT_RANGE.end() {
            index -= 1;
        } else {
            return (Float { fraction, exponent: power }, FIRST_POWER + index * POWER_STEP);
        }
    }
}

/// The digits of a finite number above zero.
pub(crate) fn digits_of(value: f64) -> Digits {
    let bits = value.to_bits();
    let (fraction, exponent) = (bits & (HIDDEN_BIT - 1), (bits >> FRACTION_BITS & 0x7ff) as i32);
    let exact = match exponent {
        0 => Float { fraction, exponent: 1 - EXPONENT_BIAS },
        _ => Float { fraction: fraction | HIDDEN_BIT, exponent: exponent - EXPONENT_BIAS },
    };
    // Half way to the neighbours; below a power of two they are closer.
    let upper = Float { fraction: (exact.fraction << 1) + 1, exponent: exact.exponent - 1 }.normalized();
    let shift = if exact.fraction == HIDDEN_BIT { 2 } else { 1 };
    let lower = Float { fraction: (exact.fraction << shift) - 1, exponent: exact.exponent - shift };
    let lower = lower.fraction << (lower.exponent - upper.exponent);
    let lower = Float { fraction: lower, exponent: upper.exponent };
    let (power, decimal) = power_for(upper.exponent);
    let (exact, mut upper, mut lower) =
        (exact.normalized().times(power), upper.times(power), lower.times(power));
    // The product is off by at most one.
    lower.fraction += 1;
    upper.fraction -= 1;
    generate(exact, upper, lower, -decimal)
}

/// The fewest digits of a number between two others, near to an exact one.
fn generate(exact: Float, upper: Float, lower: Float, exponent: i32) -> Digits {
    let mut made = Digits { digits: [0; DIGITS_MAX + 1], len: 0, exponent };
    let push = |made: &mut Digits, digit: u64| {
        if digit > 0 || made.len > 0 {
            made.digits[made.len] = b'0' + digit as u8;
            made.len += 1;
        }
    };
    let shift = -upper.exponent;
    let one = 1u64 << shift;
    let mut off = upper.fraction - exact.fraction;
    let mut delta = upper.fraction - lower.fraction;
    let (mut whole, mut part) = (upper.fraction >> shift, upper.fraction & (one - 1));
    for kappa in (0..10).rev() {
        let unit = 10u64.pow(kappa);
        push(&mut made, whole / unit);
        whole %= unit;
        let rest = (whole << shift) + part;
        if rest <= delta {
            made.exponent += kappa as i32;
            approach(&mut made, delta, rest, unit << shift, off);
            return made;
        }
    }
    let mut kappa = 0;
    loop {
        part *= 10;
        delta *= 10;
        off = off.wrapping_mul(10);
        kappa -= 1;
        push(&mut made, part >> shift);
        part &= one - 1;
        if part < delta {
            made.exponent += kappa;
            approach(&mut made, delta, part, one, off);
            return made;
        }
    }
}

/// Lowers the last digit while that comes nearer to the exact number.
fn approach(made: &mut Digits, delta: u64, mut rest: u64, unit: u64, off: u64) {
    while rest < off && delta - rest >= unit && (rest + unit < off || off - rest > rest + unit - off) {
        made.digits[made.len - 1] -= 1;
        rest += unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_read_back_as_the_same_number() {
        let mut bits = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits((bits ^ bits >> 29) >> 1);
            if value.is_finite() && value > 0.0 {
                let digits = digits_of(value);
                let text = format!("{}e{}", digits.text(), digits.exponent);
                assert_eq!(text.parse(), Ok(value), "{value:e}");
            }
        }
        for value in [f64::MIN_POSITIVE, 5e-324, f64::MAX, 1.0, 0.1, 4_503_599_627_370_496.0] {
            let digits = digits_of(value);
            assert_eq!(format!("{}e{}", digits.text(), digits.exponent).parse(), Ok(value));
        }
    }
}
