//! Counting and finding bits many at a time.
//!
//! The only `unsafe` is the choice, while running, of a loop compiled for wider vectors than every x86 has.

/// Number of set bits.
pub(super) fn count_ones(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has just been asked for the feature.
            return unsafe { count_ones_avx2(bytes) };
        }
        if std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: as above.
            return unsafe { count_ones_popcnt(bytes) };
        }
    }
    count_ones_portable(bytes)
}

/// The same loop, compiled for processors with wide vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn count_ones_avx2(bytes: &[u8]) -> u64 {
    count_ones_portable(bytes)
}

/// The same loop, compiled for processors that count the bits of a word.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn count_ones_popcnt(bytes: &[u8]) -> u64 {
    count_ones_portable(bytes)
}

#[inline(always)]
fn count_ones_portable(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// Position of the first bit with a value.
pub(super) fn find_bit(bytes: &[u8], bit: bool) -> Option<u64> {
    /// Words looked at together, without a branch in between, so that vectors can be used.
    const BLOCK_WORDS: usize = 16;
    let boring = if bit { 0 } else { u64::MAX };
    let (words, _) = bytes.as_chunks::<8>();
    let (blocks, _) = words.as_chunks::<BLOCK_WORDS>();
    let is_boring = |block: &&[[u8; 8]; BLOCK_WORDS]| {
        block.iter().fold(0, |other, word| other | (u64::from_ne_bytes(*word) ^ boring)) == 0
    };
    let skipped = blocks.iter().take_while(is_boring).count() * BLOCK_WORDS * 8;
    let at = skipped + bytes[skipped..].iter().position(|byte| u64::from(*byte) != boring & 0xFF)?;
    let byte = if bit { bytes[at] } else { !bytes[at] };
    Some(at as u64 * 8 + u64::from(byte.leading_zeros()))
}

#[cfg(test)]
mod tests {
    use swytch_testkit::Random;

    use super::*;

    #[test]
    fn every_way_of_counting_agrees_with_counting_bytes() {
        let mut random = Random::from_environment();
        let mut bytes = Vec::new();
        for len in 0..300 {
            for start in 0..len.min(9) {
                let part = &bytes[start..];
                let expect: u64 = part.iter().map(|byte: &u8| u64::from(byte.count_ones())).sum();
                assert_eq!(count_ones(part), expect);
                assert_eq!(count_ones_portable(part), expect);
            }
            bytes.push(random.next() as u8);
        }
    }

    #[test]
    fn the_first_bit_is_found_wherever_it_is() {
        for len in [1, 7, 8, 63, 64, 65, 200] {
            assert_eq!(find_bit(&vec![0; len], true), None);
            assert_eq!(find_bit(&vec![0xFF; len], false), None);
            for at in 0..len * 8 {
                let mut bytes = vec![0; len];
                bytes[at / 8] |= 0x80 >> (at % 8);
                assert_eq!(find_bit(&bytes, true), Some(at as u64));
                bytes.iter_mut().for_each(|byte| *byte = !*byte);
                assert_eq!(find_bit(&bytes, false), Some(at as u64));
            }
        }
    }
}
