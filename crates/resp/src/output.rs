//! What a connection has to say: replies as a list of chunks, taken from the front by the socket.
//!
//! ```text
//! chunks: [owned 64 KiB] [owned "$67108864\r\n"] [reference to the value] ...   tail: [... being written    ]
//!          ^ taken
//! ```
//!
//! Replies are written into the tail, one contiguous buffer that a worker lends; when it is full it becomes a chunk
//! and a new one is begun, so nothing is ever copied to make room. A long value is a chunk that refers to the value
//! itself.
//!
//! Invariants:
//! - A position counts from the front of the first chunk. What has been taken stays part of it until its chunk is
//!   dropped, so a mark holds for as long as nothing is taken: within a command.
//! - Over its limit an output is full for good: it holds nothing, takes everything, and its connection is to be
//!   closed. While it is silent, what is written will be taken back, so nothing of it is kept when room runs out.
//! - Everything but the check for room is on cold paths: a short reply costs what appending to a `Vec` does.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

/// Size of a chunk, and of the buffer that a worker lends.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Values of at least this many bytes go out by reference. Below, copying them costs less than the chunks before and
/// behind a reference.
pub const REFERENCE_BYTES_MIN: usize = 16 * 1024;
/// A tail with no more than this is copied when a reference follows, and goes on being the tail: chunks are half full.
const COPIED_BYTES_MAX: usize = CHUNK_BYTES / 2;
/// What the list of chunks may keep room for when it is empty.
const KEPT_CHUNKS_MAX: usize = 16;
/// Where the chunks of a full output end: beyond every limit, so that whoever compares a position with one looks.
const FULL: usize = usize::MAX / 2;

/// Bytes that the store and an output share.
pub type SharedBytes = Arc<Vec<u8>>;

#[derive(Debug)]
enum Chunk {
    Owned(Vec<u8>),
    Reference(SharedBytes, Range<usize>, Counted),
}

/// Who counts the memory of what an output refers to.
#[derive(Clone, Copy, Debug)]
enum Counted {
    /// The keyspace, whose value it is.
    Elsewhere,
    /// Every output that refers to it: the last one to let go of it holds it alone.
    Here,
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Owned(bytes) => bytes,
            Chunk::Reference(bytes, range, _) => &bytes[range.clone()],
        }
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Memory that nobody else counts.
    fn held_bytes(&self) -> usize {
        size_of::<Chunk>()
            + match self {
                Chunk::Owned(bytes) => bytes.capacity(),
                Chunk::Reference(_, range, Counted::Here) => range.len(),
                Chunk::Reference(_, _, Counted::Elsewhere) => 0,
            }
    }
}

/// Replies that wait to be written to a socket.
#[derive(Debug)]
pub struct Output {
    /// What is being written.
    pub(crate) tail: Vec<u8>,
    /// Where the tail begins: the length of all chunks.
    tail_at: usize,
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk, or of the tail if there is none, that have been taken.
    taken: usize,
    /// Memory of the chunks that is theirs alone.
    chunks_held_bytes: usize,
    bytes_max: usize,
    /// Where the reply begins that will be taken back.
    silent_from: Option<usize>,
}

impl Default for Output {
    fn default() -> Output {
        Output {
            tail: Vec::new(),
            tail_at: 0,
            chunks: VecDeque::new(),
            taken: 0,
            chunks_held_bytes: 0,
            bytes_max: usize::MAX,
            silent_from: None,
        }
    }
}

impl Output {
    /// Sets how many bytes may be pending; with more the output is full.
    pub fn set_limit(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// True when more was written than the limit allows. All of it is gone, and the connection is to be closed.
    pub fn is_full(&self) -> bool {
        self.tail_at >= FULL
    }

    /// Bytes not yet taken; none of a full output.
    pub fn pending(&self) -> usize {
        if self.is_full() { 0 } else { self.position() - self.taken }
    }

    /// True when everything has been taken.
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Chunks before the buffer that is being written; none of a short output.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of memory that the output holds. Values that it refers to are the keyspace's.
    pub fn held_bytes(&self) -> usize {
        self.chunks_held_bytes + self.tail.capacity()
    }

    /// Where the next byte will be written.
    #[inline(always)]
    pub fn position(&self) -> usize {
        self.tail_at + self.tail.len()
    }

    /// What was written from a position on, where none of it has become a chunk.
    pub(crate) fn since(&self, position: usize) -> Option<&[u8]> {
        self.tail.get(position.checked_sub(self.tail_at)?..)
    }

    /// Takes back everything from a position on, which nothing was taken behind.
    #[inline]
    pub fn rewind(&mut self, position: usize) {
        match position.checked_sub(self.tail_at) {
            Some(len) => self.tail.truncate(len),
            None => self.rewind_chunks(position),
        }
    }

    #[cold]
    fn rewind_chunks(&mut self, position: usize) {
        if self.is_full() {
            return;
        }
        self.tail.clear();
        while self.tail_at > position {
            let Some(chunk) = self.pop(VecDeque::pop_back) else { return };
            let keep = position.saturating_sub(self.tail_at);
            match chunk {
                _ if keep == 0 => {}
                // It goes on where it was cut; the tail's memory is that of the chunk again.
                Chunk::Owned(mut bytes) => {
                    bytes.truncate(keep);
                    self.tail = bytes;
                }
                Chunk::Reference(bytes, range, counted) => {
                    self.push(Chunk::Reference(bytes, range.start..range.start + keep, counted));
                }
            }
        }
    }

    /// Says that what is written from here on will be taken back, or that it no longer will.
    pub fn set_silent(&mut self, silent: bool) {
        self.silent_from = silent.then(|| self.position());
    }

    /// True while what is written will be taken back.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent_from.is_some()
    }

    /// Appends bytes.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.tail.capacity() - self.tail.len() < bytes.len() {
            return self.extend_slowly(bytes);
        }
        self.tail.extend_from_slice(bytes);
    }

    #[cold]
    #[inline(never)]
    fn extend_slowly(&mut self, bytes: &[u8]) {
        if bytes.len() <= CHUNK_BYTES / 4 {
            self.make_room(bytes.len());
            self.tail.extend_from_slice(bytes);
        } else if self.accepts(bytes.len()) {
            let room =
                if self.tail.capacity() < CHUNK_BYTES { 0 } else { self.tail.capacity() - self.tail.len() };
            let (first, rest) = bytes.split_at(room.min(bytes.len()));
            self.tail.extend_from_slice(first);
            for piece in rest.chunks(CHUNK_BYTES) {
                self.begin_tail(CHUNK_BYTES);
                self.tail.extend_from_slice(piece);
            }
        }
    }

    /// Makes sure that `bytes` more, at most [`CHUNK_BYTES`], fit into the tail.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if self.tail.capacity() - self.tail.len() < bytes {
            self.make_room(bytes);
        }
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, bytes: usize) {
        debug_assert!(bytes <= CHUNK_BYTES);
        self.accepts(bytes);
        if self.tail.capacity() - self.tail.len() >= bytes {
            return;
        }
        if self.tail.len() + bytes <= CHUNK_BYTES {
            // A buffer that was not lent begins small.
            let doubled = (self.tail.capacity() * 2).clamp(self.tail.len() + bytes, CHUNK_BYTES);
            self.tail.reserve_exact(doubled - self.tail.len());
            return;
        }
        self.begin_tail(CHUNK_BYTES);
    }

    /// True when as many bytes more are to be kept. Otherwise the tail has given up what nobody will read.
    fn accepts(&mut self, bytes: usize) -> bool {
        if self.is_full() {
            self.tail.clear();
            return false;
        }
        if let Some(position) = self.silent_from {
            self.rewind(position);
            return false;
        }
        let fits = self.pending().saturating_add(bytes) <= self.bytes_max;
        if !fits {
            self.fill_up();
        }
        fits
    }

    #[cold]
    fn fill_up(&mut self) {
        self.tail.clear();
        *self = Output { tail: std::mem::take(&mut self.tail), tail_at: FULL, ..Output::default() };
    }

    /// Appends a part of a value that nobody will change: a reference to it, if it is long.
    pub fn extend_shared(&mut self, bytes: SharedBytes, part: Range<usize>) {
        if part.len() < REFERENCE_BYTES_MIN {
            return self.extend(&bytes[part]);
        }
        self.refer_to(bytes, part, Counted::Elsewhere);
    }

    /// Appends a part of a message that several outputs are given: a reference to it, if it is long.
    pub fn extend_message(&mut self, message: &SharedBytes, part: Range<usize>) {
        if part.len() < REFERENCE_BYTES_MIN {
            return self.extend(&message[part]);
        }
        self.refer_to(Arc::clone(message), part, Counted::Here);
    }

    fn refer_to(&mut self, bytes: SharedBytes, part: Range<usize>, counted: Counted) {
        if self.accepts(part.len()) {
            self.seal();
            self.push(Chunk::Reference(bytes, part, counted));
        }
    }

    /// Appends what another output holds.
    pub fn append(&mut self, mut other: Output) {
        if other.is_full() && self.silent_from.is_none() {
            return self.fill_up();
        }
        if !self.accepts(other.pending()) {
            return;
        }
        while let Some(chunk) = other.pop(VecDeque::pop_front) {
            self.seal();
            self.push(chunk);
        }
        self.extend(&other.tail);
    }

    /// Makes a chunk of the tail, if there is something in it.
    fn seal(&mut self) {
        if self.tail.len() > COPIED_BYTES_MAX {
            self.begin_tail(CHUNK_BYTES);
        } else if !self.tail.is_empty() {
            let copy = self.tail.as_slice().to_vec();
            self.tail.clear();
            self.push(Chunk::Owned(copy));
        }
    }

    /// Makes a chunk of the tail and begins another one.
    fn begin_tail(&mut self, capacity: usize) {
        let full = std::mem::replace(&mut self.tail, Vec::with_capacity(capacity));
        if !full.is_empty() {
            self.push(Chunk::Owned(full));
        }
    }

    /// Appends a chunk; the tail is empty.
    fn push(&mut self, chunk: Chunk) {
        debug_assert!(self.tail.is_empty());
        self.tail_at += chunk.len();
        self.chunks_held_bytes += chunk.held_bytes();
        self.chunks.push_back(chunk);
    }

    fn pop(&mut self, end: impl FnOnce(&mut VecDeque<Chunk>) -> Option<Chunk>) -> Option<Chunk> {
        let chunk = end(&mut self.chunks)?;
        self.tail_at -= chunk.len();
        self.chunks_held_bytes -= chunk.held_bytes();
        Some(chunk)
    }

    /// A copy of everything that is pending.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all =
            self.chunks.iter().map(Chunk::bytes).chain([self.tail.as_slice()]).collect::<Vec<_>>().concat();
        all.drain(..self.taken);
        all
    }

    /// What is pending, if it lies in one buffer, as most replies do.
    #[inline]
    pub fn only_slice(&self) -> Option<&[u8]> {
        if self.chunks.is_empty() && !self.is_full() { Some(&self.tail[self.taken..]) } else { None }
    }

    /// Puts what is to be written first into `slices`; how many of them there are.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.is_full() {
            return 0;
        }
        let all = self.chunks.iter().map(Chunk::bytes).chain([self.tail.as_slice()]);
        let mut skip = self.taken;
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(&bytes[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    /// Drops the first `bytes`, which have been written.
    pub fn advance(&mut self, bytes: usize) {
        self.taken += bytes;
        while let Some(first) = self.chunks.front() {
            let len = first.len();
            if self.taken < len {
                return;
            }
            self.taken -= len;
            self.pop(VecDeque::pop_front);
        }
        if self.taken == self.tail.len() {
            self.taken = 0;
            self.tail.clear();
        }
        if self.chunks.capacity() > KEPT_CHUNKS_MAX {
            self.chunks = VecDeque::new();
        }
    }

    /// Swaps the tail of an empty output for a buffer that has more room.
    pub fn lend(&mut self, buffer: &mut Vec<u8>) {
        if self.is_empty() && self.tail.capacity() < buffer.capacity() {
            std::mem::swap(&mut self.tail, buffer);
        }
    }

    /// Gives back what was lent, if `buffer` is without memory since: what is left moves to memory of the output's own.
    pub fn give_back(&mut self, buffer: &mut Vec<u8>) {
        if buffer.capacity() >= CHUNK_BYTES {
            return;
        }
        let taken = if self.chunks.is_empty() { self.taken } else { 0 };
        if self.tail.capacity() < CHUNK_BYTES || self.tail.len() - taken > CHUNK_BYTES / 2 {
            *buffer = Vec::with_capacity(CHUNK_BYTES);
            return;
        }
        let kept = self.tail[taken..].to_vec();
        self.taken -= taken;
        *buffer = std::mem::replace(&mut self.tail, kept);
        buffer.clear();
    }

    /// Gives memory back that is not needed for what is pending.
    pub fn shrink(&mut self) {
        if self.tail.capacity() > 2 * self.tail.len() {
            self.tail.shrink_to_fit();
        }
        self.chunks.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
