//! An output is compared with the plain bytes it stands for.

use std::io::IoSlice;
use std::sync::Arc;

use super::{CHUNK_BYTES, Output, REFERENCE_BYTES_MIN};
use crate::{Protocol, Reply};

/// Lengths on both sides of every bound.
const LENGTHS: [usize; 12] = [
    0,
    1,
    99,
    100,
    9000,
    REFERENCE_BYTES_MIN - 1,
    REFERENCE_BYTES_MIN,
    CHUNK_BYTES - 30,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    2 * CHUNK_BYTES + 7,
];

/// Text of a length that no other part of a test repeats at the same place.
fn text(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|at| b'a' + ((at / 7 + salt) % 26) as u8).collect()
}

/// Appends a bulk string in each way there is, to the output and to the bytes it stands for.
fn put(output: &mut Output, plain: &mut Vec<u8>, len: usize, salt: usize) {
    let bytes = Arc::new(text(len + 2, salt));
    let mut reply = Reply::new(output, Protocol::Resp2);
    reply.bulk(&bytes[1..=len]);
    reply.bulk_shared(&bytes, 1..len + 1, || Arc::clone(&bytes));
    for _ in 0..2 {
        plain.extend_from_slice(format!("${len}\r\n").as_bytes());
        plain.extend_from_slice(&bytes[1..=len]);
        plain.extend_from_slice(b"\r\n");
    }
}

/// Takes up to `count` bytes as a socket would.
fn take(output: &mut Output, count: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 5];
    let used = output.slices(&mut slices);
    let mut taken = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>();
    taken.truncate(count);
    output.advance(taken.len());
    taken
}

#[test]
fn what_was_written_is_taken_whatever_the_cuts() {
    for step in [1000, CHUNK_BYTES, usize::MAX] {
        let (mut output, mut plain, mut taken) = (Output::default(), Vec::new(), Vec::new());
        for (salt, len) in LENGTHS.iter().chain(LENGTHS.iter().rev()).enumerate() {
            put(&mut output, &mut plain, *len, salt);
            taken.extend(take(&mut output, step));
            assert_eq!(output.pending(), plain.len() - taken.len());
        }
        while !output.is_empty() {
            taken.extend(take(&mut output, step));
        }
        assert!(taken == plain);
        assert_eq!(output.chunk_count(), 0);
        assert_eq!(output.held_bytes(), output.tail.capacity());
    }
}

#[test]
fn a_mark_holds_across_chunks() {
    for before in LENGTHS {
        for behind in LENGTHS {
            let (mut output, mut plain) = (Output::default(), Vec::new());
            put(&mut output, &mut plain, before, 0);
            // A reference may be cut, too.
            for cut in [0, 1, before / 2] {
                let mark = output.position() - cut;
                plain.truncate(plain.len() - cut);
                put(&mut output, &mut Vec::new(), behind, 1);
                output.rewind(mark);
                assert_eq!(output.position(), mark);
                assert!(output.to_vec() == plain, "{before} {behind} {cut}");
                put(&mut output, &mut plain, 5, 2);
                assert!(output.to_vec() == plain, "{before} {behind} {cut}");
            }
        }
    }
}

#[test]
fn no_buffer_is_larger_than_a_chunk() {
    let mut output = Output::default();
    for _ in 0..100 {
        put(&mut output, &mut Vec::new(), 10_000, 0);
        put(&mut output, &mut Vec::new(), 300_000, 0);
        assert!(output.tail.capacity() <= CHUNK_BYTES);
    }
    // Half of it is referred to; a chunk is rarely left half empty.
    assert!(output.held_bytes() < output.pending() * 2 / 3, "{} {}", output.held_bytes(), output.pending());
}

#[test]
fn a_long_value_is_not_copied() {
    let value = Arc::new(text(1 << 20, 0));
    let mut output = Output::default();
    Reply::new(&mut output, Protocol::Resp2).bulk_shared(&value, 0..value.len(), || Arc::clone(&value));
    assert_eq!(Arc::strong_count(&value), 2);
    assert!(output.held_bytes() < 1000, "{}", output.held_bytes());
    take(&mut output, usize::MAX);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn over_its_limit_an_output_holds_nothing() {
    for len in [100, 20_000, 1 << 20] {
        let mut output = Output::default();
        output.set_limit(2 << 20);
        let mark = output.position();
        let value = Arc::new(text(len, 0));
        for _ in 0..(4 << 20) / len {
            let mut reply = Reply::new(&mut output, Protocol::Resp2);
            reply.bulk(&value);
            reply.bulk_shared(&value, 0..len, || Arc::clone(&value));
            assert!(output.held_bytes() <= (2 << 20) + 2 * CHUNK_BYTES);
        }
        assert!(output.is_full() && output.is_empty());
        assert!(output.position() > 2 << 20, "whoever compares the position with a limit sees it");
        assert!(output.held_bytes() <= CHUNK_BYTES);
        assert_eq!(Arc::strong_count(&value), 1);
        // An error of the command, and the next command.
        output.rewind(mark);
        assert!(output.is_full() && output.slices(&mut [IoSlice::new(&[])]) == 0);
    }
}

#[test]
fn nothing_is_kept_in_silence() {
    let (mut output, mut plain) = (Output::default(), Vec::new());
    output.set_limit(1 << 20);
    put(&mut output, &mut plain, 50_000, 0);
    let mark = output.position();
    output.set_silent(true);
    for _ in 0..100 {
        put(&mut output, &mut Vec::new(), 60_000, 1);
        put(&mut output, &mut Vec::new(), 200, 1);
        assert!(output.held_bytes() < 300_000);
    }
    output.rewind(mark);
    output.set_silent(false);
    assert!(output.to_vec() == plain);
    assert!(!output.is_full());
}

#[test]
fn outputs_are_joined_in_order() {
    for first in LENGTHS {
        for second in LENGTHS {
            let (mut output, mut other, mut plain) = (Output::default(), Output::default(), Vec::new());
            put(&mut output, &mut plain, first, 0);
            put(&mut other, &mut plain, second, 1);
            output.append(other);
            assert!(output.to_vec() == plain, "{first} {second}");
        }
    }
}

#[test]
fn a_lent_buffer_comes_back() {
    for len in LENGTHS {
        for taken in [0, 10, 40_000, usize::MAX] {
            let mut buffer = Vec::with_capacity(CHUNK_BYTES);
            let (mut output, mut plain) = (Output::default(), Vec::new());
            output.lend(&mut buffer);
            assert_eq!(buffer.capacity(), 0);
            put(&mut output, &mut plain, len, 0);
            let taken = take(&mut output, taken).len();
            output.give_back(&mut buffer);
            assert!(buffer.capacity() >= CHUNK_BYTES && buffer.is_empty());
            assert!(output.to_vec() == plain[taken..]);
            output.shrink();
            assert!(output.to_vec() == plain[taken..]);
            if output.is_empty() {
                assert_eq!(output.held_bytes(), 0);
            }
        }
    }
}
