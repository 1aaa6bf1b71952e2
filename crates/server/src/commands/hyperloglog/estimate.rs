//! From an element to its register, and from registers to the number of elements.
//!
//! Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog" (2007); Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (2017), whose estimator needs neither tables nor thresholds. Hash, seed and split are Redis's, so
//! that both put the same element into the same register.

use super::registers::REGISTERS;

/// Bits of a hash behind those that number the register; the rank is at most one more.
const RANK_BITS: u32 = 64 - REGISTERS.trailing_zeros();
/// What Redis seeds the hash with.
const SEED: u64 = 0xadc8_3b19;

/// How many registers have each rank.
pub(super) type Histogram = [u32; 64];

/// The register of an element and the rank that it has there: one more than the zeros at the lower end of what is left of
/// its hash.
pub(super) fn register_of(element: &[u8]) -> (u16, u8) {
    let hash = hash(element);
    let register = hash % REGISTERS as u64;
    let rest = hash >> REGISTERS.trailing_zeros() | 1 << RANK_BITS;
    (register as u16, rest.trailing_zeros() as u8 + 1)
}

/// MurmurHash2 for 64-bit machines (`MurmurHash64A`), by Austin Appleby.
fn hash(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

/// The number of elements that registers like these stand for.
pub(super) fn cardinality(histogram: &Histogram) -> u64 {
    /// 1 / (2 ln 2)
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let registers = REGISTERS as f64;
    let share = |rank: usize| f64::from(histogram[rank]) / registers;
    let highest = RANK_BITS as usize + 1;
    let mut sum = registers * tau((registers - f64::from(histogram[highest])) / registers);
    for rank in (1..highest).rev() {
        sum = 0.5 * (sum + f64::from(histogram[rank]));
    }
    sum += registers * sigma(share(0));
    (ALPHA * registers * registers / sum).round() as u64
}

/// What empty registers add (Ertl's σ): x + Σ 2^(k-1) x^(2^k).
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

/// What full registers add (Ertl's τ): (1 - x - Σ (1 - x^(2^-k))² 2^-k) / 3.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x).powi(2) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_go_where_redis_puts_them() {
        // As PFDEBUG DECODE of Redis shows them after PFADD of one element: Z:n v:rank,1.
        assert_eq!(register_of(b"a"), (12_711, 2));
        assert_eq!(register_of(b"b"), (15_780, 1));
        assert_eq!(register_of(b"hello world this is long"), (265, 1));
        assert_eq!(register_of(b"c"), (8_436, 1));
    }

    #[test]
    fn estimates_are_within_their_error() {
        let mut registers = vec![0_u8; REGISTERS];
        let mut next = 1;
        for number in 1..=300_000_u64 {
            let (register, rank) = register_of(&number.to_le_bytes());
            let register = &mut registers[usize::from(register)];
            *register = rank.max(*register);
            if number == next {
                let mut histogram = [0; 64];
                registers.iter().for_each(|rank| histogram[usize::from(*rank)] += 1);
                // 1.04 / sqrt(registers) is one standard deviation.
                let error = cardinality(&histogram).abs_diff(number) as f64;
                assert!(error <= 1.0 + 4.0 * 0.008_125 * number as f64, "{number}: off by {error}");
                next = next * 3 / 2 + 1;
            }
        }
    }

    #[test]
    fn no_registers_and_full_ones_have_an_estimate() {
        let mut histogram = [0; 64];
        histogram[0] = REGISTERS as u32;
        assert_eq!(cardinality(&histogram), 0);
        let mut histogram = [0; 64];
        histogram[RANK_BITS as usize + 1] = REGISTERS as u32;
        assert!(cardinality(&histogram) > 1 << 60);
    }
}
