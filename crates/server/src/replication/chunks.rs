//! Bytes of a stream from some position on, which those who read it share.

use std::collections::VecDeque;
use std::sync::Arc;

use swytch_resp::{Output, SharedBytes};

/// What is allocated for a chunk beside its bytes: two counts and a vector.
const COUNTED_VEC_BYTES: usize = 2 * size_of::<usize>() + size_of::<Vec<u8>>();

/// Bytes that are appended at one end, read from anywhere, and forgotten at the other end a chunk at a time.
#[derive(Debug)]
pub struct Chunks {
    /// Full chunks, with their positions.
    full: VecDeque<(u64, SharedBytes)>,
    tail_at: u64,
    tail: Vec<u8>,
    /// Bytes of memory of the full ones.
    full_bytes: usize,
}

impl Chunks {
    /// None yet; the first one will have this position.
    pub fn new(start: u64) -> Chunks {
        Chunks { full: VecDeque::new(), tail_at: start, tail: Vec::new(), full_bytes: 0 }
    }

    /// The position of the first byte that is there.
    pub fn start(&self) -> u64 {
        self.full.front().map_or(self.tail_at, |(at, _)| *at)
    }

    /// The position behind the last one.
    pub fn end(&self) -> u64 {
        self.tail_at + self.tail.len() as u64
    }

    /// Bytes of memory.
    pub fn held_bytes(&self) -> usize {
        let entries = self.full.capacity() * size_of::<(u64, SharedBytes)>();
        entries + self.full.len() * COUNTED_VEC_BYTES + self.full_bytes + self.tail.capacity()
    }

    /// Appends bytes, in chunks of at most `chunk_bytes`.
    pub fn append(&mut self, mut bytes: &[u8], chunk_bytes: usize) {
        while !bytes.is_empty() {
            if self.tail.len() == self.tail.capacity() {
                let end = self.end();
                if !self.tail.is_empty() {
                    self.full_bytes += self.tail.capacity();
                    self.full.push_back((self.tail_at, Arc::new(std::mem::take(&mut self.tail))));
                }
                self.tail_at = end;
                // One that grows piece by piece would be half as large again in the end.
                self.tail.reserve_exact(chunk_bytes);
            }
            let (first, rest) = bytes.split_at(bytes.len().min(self.tail.capacity() - self.tail.len()));
            self.tail.extend_from_slice(first);
            bytes = rest;
        }
    }

    /// Lets go of chunks before a position.
    pub fn forget(&mut self, until: u64) {
        while self.full.front().is_some_and(|(at, chunk)| at + chunk.len() as u64 <= until) {
            let gone = self.full.pop_front();
            self.full_bytes -= gone.map_or(0, |(_, chunk)| chunk.capacity());
        }
        if self.full.capacity() > 4 * self.full.len() + 64 {
            self.full.shrink_to_fit();
        }
    }

    /// Appends to an output what there is from a position on, up to about `bytes_max`; the position behind that.
    pub fn read(&self, from: u64, bytes_max: usize, out: &mut Output) -> u64 {
        debug_assert!((self.start()..=self.end()).contains(&from));
        let (mut at, until) = (from, from + bytes_max as u64);
        let first = self.full.partition_point(|(start, chunk)| start + chunk.len() as u64 <= from);
        for (start, chunk) in self.full.iter().skip(first) {
            if at >= until {
                return at;
            }
            out.extend_message(chunk, (at - start) as usize..chunk.len());
            at = start + chunk.len() as u64;
        }
        if at < until {
            out.extend(&self.tail[(at - self.tail_at) as usize..]);
            at = self.end();
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use swytch_resp::output::CHUNK_BYTES;

    use super::*;

    #[test]
    fn what_was_appended_is_read_from_everywhere() {
        let bytes: Vec<u8> = (0..5 * CHUNK_BYTES as u32 / 2).map(|number| (number % 251) as u8).collect();
        for chunk_bytes in [CHUNK_BYTES / 16, CHUNK_BYTES] {
            are_read(&bytes, chunk_bytes);
        }
    }

    fn are_read(bytes: &[u8], chunk_bytes: usize) {
        let mut chunks = Chunks::new(1000);
        bytes.chunks(7777).for_each(|piece| chunks.append(piece, chunk_bytes));
        assert_eq!((chunks.start(), chunks.end()), (1000, 1000 + bytes.len() as u64));
        let read = |chunks: &Chunks, from: u64, step: usize| {
            let (mut all, mut at) = (Vec::new(), from);
            loop {
                let mut out = Output::default();
                let next = chunks.read(at, step, &mut out);
                let piece = out.to_vec();
                assert_eq!(next - at, piece.len() as u64);
                if piece.is_empty() {
                    return all;
                }
                all.extend(piece);
                at = next;
            }
        };
        for from in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, bytes.len() - 1, bytes.len()] {
            for step in [1, CHUNK_BYTES, usize::MAX >> 1] {
                assert!(read(&chunks, 1000 + from as u64, step) == bytes[from..], "from {from} by {step}");
            }
        }
        let held: usize = chunks.full.iter().map(|(_, chunk)| chunk.capacity()).sum();
        let told = chunks.held_bytes() - held - chunks.tail.capacity();
        assert!(told < 100 * chunks.full.len() + 1000, "{told} bytes beside the chunks'");
        chunks.forget(1000 + chunk_bytes as u64 + 3);
        assert_eq!(chunks.start(), 1000 + chunk_bytes as u64, "a chunk that is needed stays");
        assert!(read(&chunks, chunks.start(), chunk_bytes) == bytes[chunk_bytes..]);
    }
}
