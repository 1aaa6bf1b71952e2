//! LZF, as compressed strings are written in it.
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
            // Source and target may overlap: a short distance repeats itself.
            for at in from..from + length + 2 {
                output.push(output[at]);
            }
            rest = after;
        }
        if output.len() - begin > len {
            return false;
        }
    }
    output.len() - begin == len
}

#[cfg(test)]
mod tests {
    use super::*;

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
