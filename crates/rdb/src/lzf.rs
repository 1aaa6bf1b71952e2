//! LZF, in which compressed strings are written.
//!
//! The format is a row of runs. A byte below 32 announces that many bytes plus one as they are; any other begins a copy
//! of earlier output: three bits of length (seven: one more byte of it), 13 bits of distance.
//!
//! Source: LibLZF by Marc Lehmann, whose format Redis took.

use std::cell::Cell;

/// Longest output for each byte of input: a copy of 264 bytes is written in three.
const GROWTH_MAX: usize = 88;

/// Appends what `input` stands for to `output`; false if it is not `len` bytes, or no LZF at all. Memory is taken as
/// `input` accounts for it.
pub(crate) fn decompress(input: &[u8], len: usize, output: &mut Vec<u8>) -> bool {
    if len > input.len().saturating_mul(GROWTH_MAX) {
        return false;
    }
    let begin = output.len();
    output.resize(begin + len, 0);
    let is_whole = fill(input, &mut output[begin..]).is_some();
    if !is_whole {
        output.truncate(begin);
    }
    is_whole
}

/// Longest run.
const RUN_MAX: usize = 32;
/// Copies from at least so far back are made in steps of so many bytes, the last of which may go too far: what is there is
/// yet to be written.
const STEP: usize = 16;

/// Fills all of `output`; none if the input is not made for that.
fn fill(mut input: &[u8], output: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while let Some((&control, rest)) = input.split_first() {
        let control = usize::from(control);
        if control < RUN_MAX {
            let run = control + 1;
            match (rest.first_chunk::<RUN_MAX>(), output[at..].first_chunk_mut::<RUN_MAX>()) {
                (Some(from), Some(to)) => *to = *from,
                _ => output[at..].get_mut(..run)?.copy_from_slice(rest.get(..run)?),
            }
            at += run;
            input = &rest[run..];
            continue;
        }
        let (mut length, mut rest) = (control >> 5, rest);
        if length == 7 {
            let (&more, behind) = rest.split_first()?;
            (length, rest) = (length + usize::from(more), behind);
        }
        let (&low, rest) = rest.split_first()?;
        let distance = ((control & 31) << 8 | usize::from(low)) + 1;
        let (from, end) = (at.checked_sub(distance)?, at + length + 2);
        if end > output.len() {
            return None;
        }
        if distance >= STEP && end + STEP <= output.len() {
            for step in (0..end - at).step_by(STEP) {
                output.copy_within(from + step..from + step + STEP, at + step);
            }
        } else if distance >= end - at {
            output.copy_within(from..from + (end - at), at);
        } else {
            // Source and target overlap: a short distance repeats itself.
            (at..end).for_each(|at| output[at] = output[at - distance]);
        }
        at = end;
        input = rest;
    }
    (at == output.len()).then_some(())
}

/// Longest copy, and farthest distance of one.
const COPY_MAX: usize = 264;
const DISTANCE_MAX: usize = 1 << 13;
/// Bytes that are looked up, which is also the shortest copy; they are read with one more.
const PREFIX_BYTES: usize = 3;
/// After so many places at which nothing was found, one more is left out at a time, and so on.
const MISSES: u32 = 64;
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

thread_local! {
    /// One that nobody uses, for its memory.
    static IDLE: Cell<Option<Compressor>> = const { Cell::new(None) };
}

/// What the output of an idle compressor keeps of its memory.
const IDLE_BYTES_MAX: usize = 64 << 10;

impl Compressor {
    /// One that has been used before, or a new one.
    pub(crate) fn of_thread() -> Compressor {
        IDLE.take().unwrap_or_default()
    }

    /// Keeps it for the next who asks for one.
    pub(crate) fn set_aside(mut self) {
        self.output.clear();
        self.output.shrink_to(IDLE_BYTES_MAX);
        IDLE.set(Some(self));
    }

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
        let places = &mut self.places[..1 << bits];
        let (mut at, mut run, mut misses) = (0, 0, 0);
        while let Some(prefix) = prefix_at(input, at) {
            let slot = (prefix.wrapping_mul(0x9e37_79b1) >> shift) as usize;
            let seen = std::mem::replace(&mut places[slot], begin + at as u32);
            // What was seen in another string lies behind.
            let from = seen.wrapping_sub(begin) as usize;
            if from >= at || at - from > DISTANCE_MAX || prefix_at(input, from) != Some(prefix) {
                at += 1 + (misses / MISSES) as usize;
                misses += 1;
                continue;
            }
            misses = 0;
            push_run(&mut self.output, input, run, at);
            if self.output.len() > len_max {
                return false;
            }
            let longest = (input.len() - at).min(COPY_MAX);
            let length =
                PREFIX_BYTES + same(&input[from + PREFIX_BYTES..], &input[at + PREFIX_BYTES..at + longest]);
            push_copy(&mut self.output, at - from, length);
            at += length;
            run = at;
        }
        push_run(&mut self.output, input, run, input.len());
        self.output.len() <= len_max
    }
}

/// The bytes that are looked up at a place, if there are as many and one more.
#[inline]
fn prefix_at(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) << 8)
}

/// How many bytes at the beginning are the same; `second` is not longer.
#[inline]
fn same(first: &[u8], second: &[u8]) -> usize {
    let mut count = 0;
    while let (Some(ours), Some(theirs)) = (first[count..].first_chunk(), second[count..].first_chunk()) {
        let differing = u64::from_le_bytes(*ours) ^ u64::from_le_bytes(*theirs);
        if differing != 0 {
            return count + differing.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    count + first[count..].iter().zip(&second[count..]).take_while(|(ours, theirs)| ours == theirs).count()
}

/// Puts the bytes from `run` to `at` into the output as they are.
#[inline]
fn push_run(output: &mut Vec<u8>, input: &[u8], mut run: usize, at: usize) {
    while run < at {
        let len = (at - run).min(RUN_MAX);
        output.push((len - 1) as u8);
        match input[run..].first_chunk::<RUN_MAX>() {
            Some(bytes) => {
                let end = output.len() + len;
                output.extend_from_slice(bytes);
                output.truncate(end);
            }
            None => output.extend_from_slice(&input[run..run + len]),
        }
        run += len;
    }
}

fn push_copy(output: &mut Vec<u8>, distance: usize, length: usize) {
    let (back, length) = (distance - 1, length - 2);
    let high = (back >> 8) as u8;
    if length < 7 {
        output.push((length as u8) << 5 | high);
    } else {
        output.extend_from_slice(&[7 << 5 | high, (length - 7) as u8]);
    }
    output.push(back as u8);
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
