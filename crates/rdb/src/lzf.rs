//! LZF, in which compressed strings are written.
//!
//! The format is a row of runs. A byte below 32 announces that many bytes plus one as they are; any other begins a copy
//! of earlier output: three bits of length (seven: one more byte of it), 13 bits of distance.
//!
//! Source: LibLZF by Marc Lehmann, whose format Redis took.

/// Longest output for each byte of input: a copy of 264 bytes is written in three.
const GROWTH_MAX: usize = 88;

/// Appends what `input` stands for to `output`; false if it is not `len` bytes, or no LZF at all. Memory is taken as
/// `input` accounts for it.
pub(crate) fn decompress(input: &[u8], len: usize, output: &mut Vec<u8>) -> bool {
    if len > input.len().saturating_mul(GROWTH_MAX) {
        return false;
    }
    let begin = output.len();
    output.reserve(len);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        let control = usize::from(control);
        if control < 32 {
            let Some((run, after)) = after.split_at_checked(control + 1) else { return false };
            output.extend_from_slice(run);
            rest = after;
        } else {
            let (mut length, mut after) = (control >> 5, after);
            if length == 7 {
                let Some((&more, left)) = after.split_first() else { return false };
                length += usize::from(more);
                after = left;
            }
            let Some((&low, after)) = after.split_first() else { return false };
            let distance = ((control & 31) << 8 | usize::from(low)) + 1;
            let Some(from) = output.len().checked_sub(distance).filter(|from| *from >= begin) else {
                return false;
            };
            if distance >= length + 2 {
                output.extend_from_within(from..from + length + 2);
            } else {
                // Source and target overlap: a short distance repeats itself.
                for at in from..from + length + 2 {
                    output.push(output[at]);
                }
            }
            rest = after;
        }
        if output.len() - begin > len {
            return false;
        }
    }
    output.len() - begin == len
}

/// Longest run, and longest copy and farthest distance of one.
const RUN_MAX: usize = 32;
const COPY_MAX: usize = 264;
const DISTANCE_MAX: usize = 1 << 13;
/// Bytes that are looked up, which is also the shortest copy.
const PREFIX_BYTES: usize = 3;
/// Bits of the fewest and most places that are remembered.
const TABLE_BITS: std::ops::RangeInclusive<u32> = 8..=14;
/// Bytes by which a compressed string must be shorter, as in Redis.
const GAIN_MIN: usize = 4;

/// Compresses one string after the other.
#[derive(Debug, Default)]
pub(crate) struct Compressor {
    /// Where a prefix was last seen, counted over all strings, so that the table need not be emptied for each.
    places: Vec<u32>,
    /// The number of the first place of the string.
    begin: u32,
    output: Vec<u8>,
}

impl Compressor {
    /// What the last string became.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    /// Compresses a string; false if that does not make it shorter.
    pub(crate) fn compress(&mut self, input: &[u8]) -> bool {
        self.output.clear();
        let Some(len_max) = input.len().checked_sub(GAIN_MIN) else { return false };
        let bits = input.len().ilog2().clamp(*TABLE_BITS.start(), *TABLE_BITS.end());
        let Some(end) = u32::try_from(input.len()).ok().and_then(|len| self.begin.max(1).checked_add(len))
        else {
            // The places are numbered anew; a string of more than 4 GB is not compressed.
            if self.begin <= 1 {
                return false;
            }
            (self.begin, self.places) = (0, Vec::new());
            return self.compress(input);
        };
        if self.places.len() < 1 << bits {
            self.places.resize(1 << bits, 0);
        }
        let begin = self.begin.max(1);
        self.begin = end;
        let shift = u32::BITS - bits;
        let (mut at, mut run) = (0, 0);
        while at + PREFIX_BYTES <= input.len() {
            let prefix = u32::from_be_bytes([0, input[at], input[at + 1], input[at + 2]]);
            let slot = (prefix.wrapping_mul(0x9e37_79b1) >> shift) as usize;
            let seen = std::mem::replace(&mut self.places[slot], begin + at as u32);
            let from = seen.checked_sub(begin).map(|from| from as usize);
            let from = from.filter(|from| at - from <= DISTANCE_MAX);
            let Some(from) = from.filter(|from| input[*from..from + 3] == input[at..at + 3]) else {
                at += 1;
                if at - run == RUN_MAX {
                    self.push_run(&input[run..at]);
                    run = at;
                    if self.output.len() > len_max {
                        return false;
                    }
                }
                continue;
            };
            let longest = (input.len() - at).min(COPY_MAX);
            let same = (PREFIX_BYTES..longest).take_while(|more| input[from + more] == input[at + more]);
            let length = PREFIX_BYTES + same.count();
            self.push_run(&input[run..at]);
            self.push_copy(at - from, length);
            at += length;
            run = at;
        }
        for rest in input[run..].chunks(RUN_MAX) {
            self.push_run(rest);
        }
        self.output.len() <= len_max
    }

    fn push_run(&mut self, bytes: &[u8]) {
        if let Some(longer) = bytes.len().checked_sub(1) {
            self.output.push(longer as u8);
            self.output.extend_from_slice(bytes);
        }
    }

    fn push_copy(&mut self, distance: usize, length: usize) {
        let (back, length) = (distance - 1, length - 2);
        let high = (back >> 8) as u8;
        if length < 7 {
            self.output.push((length as u8) << 5 | high);
        } else {
            self.output.extend_from_slice(&[7 << 5 | high, (length - 7) as u8]);
        }
        self.output.push(back as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of all kinds of repetition come back, with one compressor for all of them.
    #[test]
    fn what_is_compressed_comes_back() {
        let mut compressor = Compressor::default();
        let mut state = 1u64;
        let mut random = move |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        let mut shorter = 0;
        for round in 0..2000 {
            let (len, letters) = (random(if round % 50 == 0 { 30_000 } else { 300 }) + 1, random(40) + 1);
            let mut text = Vec::new();
            while (text.len() as u64) < len {
                if text.len() > 4 && random(4) == 0 {
                    let from = random(text.len() as u64) as usize;
                    let until = text.len().min(from + random(400) as usize);
                    text.extend_from_within(from..until);
                }
                text.push(random(letters) as u8);
            }
            if compressor.compress(&text) {
                shorter += 1;
                assert!(compressor.output().len() + GAIN_MIN <= text.len());
                let mut output = Vec::new();
                assert!(decompress(compressor.output(), text.len(), &mut output), "{text:?}");
                assert_eq!(output, text);
            }
        }
        assert!(shorter > 1000, "{shorter} of 2000");
        assert!(!compressor.compress(b"abcdefghijklmnopqrstuvwxyz"));
        assert!(!compressor.compress(b""));
    }

    fn decompressed(input: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut output = b"before".to_vec();
        decompress(input, len, &mut output).then(|| output.split_off(6))
    }

    #[test]
    fn runs_and_copies_come_back() {
        assert_eq!(decompressed(b"\x02abc", 3).as_deref(), Some(&b"abc"[..]));
        // "ab", then eight bytes from two back: the copy overlaps itself.
        assert_eq!(decompressed(b"\x01ab\xc0\x01", 10).as_deref(), Some(&b"ababababab"[..]));
        // A long copy: 7 + 9 + 2 bytes from one back.
        assert_eq!(decompressed(b"\x00a\xe0\x09\x00", 19), Some(vec![b'a'; 19]));
    }

    #[test]
    fn hostile_input_is_refused() {
        for (input, len) in [
            (&b"\x02ab"[..], 3),    // a run that is not there
            (b"\x02abc", 4),        // less than announced
            (b"\x02abc", 2),        // more than announced
            (b"\x00a\x20\x05", 4),  // a copy from before the beginning
            (b"\x00a\xe0", 9),      // a copy without its length
            (b"\x00a", usize::MAX), // an announcement that no input accounts for
        ] {
            assert_eq!(decompressed(input, len), None, "{input:?}");
        }
    }
}
