//! The packed form: byte strings back to back in one allocation with room at both ends.
//!
//! ```text
//! entry: length (7 bits a byte, low first) | bytes | the length's bytes in reverse order
//! ```
//!
//! The length on both sides lets a packed value be read from either end; lengths below 128 take one byte. A small
//! collection is one of these, and a node of a big list is: `Handle` tells which. Places in it are offsets from the
//! beginning of its content, and its memory follows the content: it grows by a quarter, once it is big to
//! the next power of two, and shrinks when half of it is empty.

mod buffer;
mod handle;
mod record;
#[cfg(test)]
mod tests;

use super::limits::NodeLimit;
use super::side::Side;
use buffer::{Buffer, HEADER_BYTES};

/// What a collection may become whose own limits are looked at before.
pub(super) const UNLIMITED: NodeLimit = NodeLimit { bytes: u32::MAX, elements: u32::MAX };
/// Most bytes of a collection that is packed, whatever its own limits are (Redis: `LISTPACK_MAX_SAFETY_LIMIT`).
const BYTES_MAX: usize = 1 << 30;
/// Most entries that one can count.
pub(super) const ENTRIES_MAX: usize = u16::MAX as usize;

pub(super) use handle::{Form, Handle};
pub(super) use record::{ENTRIES_MAX as RECORD_ENTRIES_MAX, split_value};

/// Size from which on an allocation grows to the next power of two.
const DOUBLING_FROM_BYTES: usize = 1 << 10;
/// The first allocation of a node that is likely to be filled is this part of what it may become.
const PAGE_PART: usize = 8;
/// An allocation of which less than this part is used shrinks.
const USED_PART: usize = 2;

/// A sequence of byte strings.
#[derive(Clone, Debug)]
#[repr(transparent)]
pub(super) struct Packed(Buffer);

/// Bytes of an encoded length.
#[inline]
fn length_bytes(len: usize) -> usize {
    if len < 128 { 1 } else { (usize::BITS - len.leading_zeros()).div_ceil(7) as usize }
}

/// Bytes that an entry takes.
#[inline(always)]
pub(super) fn encoded_bytes(entry: &[u8]) -> usize {
    entry.len() + 2 * length_bytes(entry.len())
}

/// The length at the beginning of `bytes`, read forwards, and how many bytes it takes.
#[inline(always)]
fn length<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> (usize, usize) {
    let (mut len, mut head) = (0, 0);
    for byte in bytes {
        len |= usize::from(byte & 0x7f) << (7 * head);
        head += 1;
        if *byte < 0x80 {
            break;
        }
    }
    (len, head)
}

/// The length that content begins with, which is nearly always of a byte, and how many it takes.
#[inline(always)]
fn first_length(content: &[u8]) -> (usize, usize) {
    match content[0] {
        short @ ..0x80 => (usize::from(short), 1),
        _ => length(content),
    }
}

/// The entry that content begins with, and the bytes it takes.
#[inline(always)]
fn first(content: &[u8]) -> (&[u8], usize) {
    let (len, head) = first_length(content);
    (&content[head..head + len], len + 2 * head)
}

/// The bytes of the entry that content ends with.
#[inline(always)]
fn last_bytes(content: &[u8]) -> usize {
    let (len, head) = match content[content.len() - 1] {
        short @ ..0x80 => (usize::from(short), 1),
        _ => length(content.iter().rev()),
    };
    len + 2 * head
}

/// Most bytes of an encoded length.
const LENGTH_BYTES_MAX: usize = 5;

/// The length of an entry as it stands before it and behind it.
struct Length {
    forwards: [u8; LENGTH_BYTES_MAX],
    backwards: [u8; LENGTH_BYTES_MAX],
    /// How many of them it takes.
    bytes: usize,
}

impl Length {
    fn of(entry: &[u8]) -> Length {
        let bytes = length_bytes(entry.len());
        let (mut forwards, mut backwards) = ([0; LENGTH_BYTES_MAX], [0; LENGTH_BYTES_MAX]);
        for index in 0..bytes {
            let more = if index + 1 < bytes { 0x80 } else { 0 };
            let byte = (entry.len() >> (7 * index)) as u8 & 0x7f | more;
            (forwards[index], backwards[bytes - 1 - index]) = (byte, byte);
        }
        Length { forwards, backwards, bytes }
    }
}

/// An entry as it is encoded.
fn encoded(entry: &[u8]) -> Vec<u8> {
    let Length { forwards, backwards, bytes } = Length::of(entry);
    [&forwards[..bytes], entry, &backwards[..bytes]].concat()
}

/// The capacity for so many bytes with some room to grow.
fn roomy(bytes: usize, limit: NodeLimit) -> usize {
    let all = bytes + HEADER_BYTES;
    let roomy = if all < DOUBLING_FROM_BYTES { all + all / 4 } else { all.next_power_of_two() };
    roomy.next_multiple_of(8).min(limit.bytes as usize).saturating_sub(HEADER_BYTES).max(bytes)
}

impl Packed {
    /// No entries; takes no memory.
    pub(super) fn new() -> Packed {
        Packed(Buffer::new())
    }

    /// A single entry.
    pub(super) fn of(entry: &[u8]) -> Packed {
        Packed::with_room(0, Side::Tail, entry)
    }

    fn with_room(capacity: usize, side: Side, entry: &[u8]) -> Packed {
        let Length { forwards, backwards, bytes } = Length::of(entry);
        Packed(Buffer::of(&[&forwards[..bytes], entry, &backwards[..bytes]], 1, capacity, side))
    }

    /// A node of an entry, which other entries will join on `side` if the limit lets them.
    pub(super) fn page(side: Side, entry: &[u8], limit: NodeLimit) -> Packed {
        let bytes = encoded_bytes(entry);
        let most = bytes.saturating_mul(limit.elements as usize);
        let page = (limit.bytes as usize / PAGE_PART).saturating_sub(HEADER_BYTES).min(most);
        let alone = bytes + HEADER_BYTES > limit.bytes as usize;
        Packed::with_room(if alone { bytes } else { bytes.max(page) }, side, entry)
    }

    /// Number of entries.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.0.count()
    }

    /// Bytes of the content.
    #[inline(always)]
    pub(super) fn used(&self) -> usize {
        self.0.used()
    }

    /// Bytes of its allocation.
    pub(super) fn memory_bytes(&self) -> usize {
        match self.0.capacity() {
            0 => 0,
            capacity => HEADER_BYTES + capacity,
        }
    }

    /// True if so many entries of so many bytes more are within a limit.
    fn fits(&self, count: usize, bytes: usize, limit: NodeLimit) -> bool {
        let all = HEADER_BYTES + self.used() + bytes;
        self.count() + count <= limit.elements as usize && all <= limit.bytes as usize
    }

    /// Adds an entry at one end.
    #[inline(always)]
    pub(super) fn push(&mut self, side: Side, entry: &[u8], limit: NodeLimit) {
        if !self.put(side, entry) {
            self.push_anew(side, entry, limit);
        }
    }

    /// Adds an entry at one end unless that goes beyond the limit; false then.
    #[inline(always)]
    pub(super) fn try_push(&mut self, side: Side, entry: &[u8], limit: NodeLimit) -> bool {
        // Without looking at the bytes: no node has more room than the limit of its time allowed.
        self.count() < limit.elements as usize
            && (self.put(side, entry) || self.try_push_anew(side, entry, limit))
    }

    /// Writes an entry at one end if there is room.
    #[inline(always)]
    fn put(&mut self, side: Side, entry: &[u8]) -> bool {
        // Nearly always the length takes a byte.
        if let len @ 0..0x80 = entry.len() {
            return self.0.extend(side, &[len as u8], entry, &[len as u8]);
        }
        self.put_long(side, entry)
    }

    #[cold]
    fn put_long(&mut self, side: Side, entry: &[u8]) -> bool {
        let Length { forwards, backwards, bytes } = Length::of(entry);
        self.0.extend(side, &forwards[..bytes], entry, &backwards[..bytes])
    }

    #[cold]
    fn try_push_anew(&mut self, side: Side, entry: &[u8], limit: NodeLimit) -> bool {
        let fits = self.can_insert(entry, limit);
        if fits {
            self.push_anew(side, entry, limit);
        }
        fits
    }

    /// Adds an entry at one end where there is no room.
    #[cold]
    fn push_anew(&mut self, side: Side, entry: &[u8], limit: NodeLimit) {
        let Length { forwards, backwards, bytes } = Length::of(entry);
        let needed = self.used() + entry.len() + 2 * bytes;
        // A half-empty buffer is shifted: either way is paid by as many pushes.
        if needed * 2 <= self.0.capacity() {
            self.0.slide(side);
            if self.put(side, entry) {
                return;
            }
        }
        let capacity = match self.count() {
            0 => (HEADER_BYTES + needed).next_multiple_of(8) - HEADER_BYTES,
            _ => roomy(needed, limit).max(self.0.capacity()),
        };
        let (content, forwards, backwards) = (self.0.content(), &forwards[..bytes], &backwards[..bytes]);
        let parts = match side {
            Side::Head => [forwards, entry, backwards, content],
            Side::Tail => [content, forwards, entry, backwards],
        };
        self.0 = Buffer::of(&parts, self.count() + 1, capacity, side);
    }

    /// False if entries of this many bytes more would make it too long to be read from end to end.
    pub(super) fn is_safe_to_grow(&self, bytes: usize) -> bool {
        self.used() + bytes <= BYTES_MAX
    }

    /// Makes room at the tail for entries of this many encoded bytes; while there is nothing, that room alone.
    pub(super) fn reserve(&mut self, bytes: usize, limit: NodeLimit) {
        if bytes > self.0.room(Side::Tail) {
            let needed = self.used() + bytes;
            let capacity = match self.count() {
                0 => (HEADER_BYTES + needed).next_multiple_of(8) - HEADER_BYTES,
                _ => roomy(needed, limit).max(self.0.capacity()),
            };
            self.relocate(capacity, Side::Tail);
        }
    }

    fn relocate(&mut self, capacity: usize, side: Side) {
        self.0 = Buffer::of(&[self.0.content()], self.count(), capacity, side);
    }

    /// The entry at one end, if there is one.
    #[inline(always)]
    pub(super) fn end(&self, side: Side) -> Option<&[u8]> {
        let content = self.0.content();
        if content.is_empty() {
            return None;
        }
        Some(match side {
            Side::Head => first(content).0,
            Side::Tail => first(&content[content.len() - last_bytes(content)..]).0,
        })
    }

    /// Takes the entry at one end and hands it to `take` before it is gone. The room it had stays until
    /// [`Packed::give_back_room`].
    #[inline(always)]
    pub(super) fn pop_with<R>(&mut self, side: Side, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let content = self.0.content();
        if content.is_empty() {
            return None;
        }
        let (entry, bytes) = match side {
            Side::Head => first(content),
            Side::Tail => first(&content[content.len() - last_bytes(content)..]),
        };
        let result = take(entry);
        self.0.release(side, bytes);
        Some(result)
    }

    /// Shrinks an allocation that is mostly empty.
    #[inline(always)]
    pub(super) fn give_back_room(&mut self) {
        if self.used() * USED_PART < self.0.capacity() {
            self.shrink();
        }
    }

    #[cold]
    fn shrink(&mut self) {
        let used = self.used();
        let capacity = (HEADER_BYTES + used + used / 4).next_multiple_of(8) - HEADER_BYTES;
        if capacity < self.0.capacity() {
            self.relocate(capacity, Side::Tail);
        }
    }

    /// The entry at `offset`, and the offset behind it.
    #[inline(always)]
    pub(super) fn entry_at(&self, offset: usize) -> (&[u8], usize) {
        let (entry, bytes) = first(&self.0.content()[offset..]);
        (entry, offset + bytes)
    }

    /// Offset of the first entry that is equal to this one, among those at multiples of `width`.
    pub(super) fn find(&self, wanted: &[u8], width: usize) -> Option<usize> {
        let mut rest = self.from(0);
        while !rest.is_empty() {
            let (entry, behind) = Packed::split_first(rest);
            if entry == wanted {
                return Some(self.used() - rest.len());
            }
            rest = (1..width).fold(behind, |rest, _| Packed::split_first(rest).1);
        }
        None
    }

    /// Offset of the entry that ends at `finish`.
    pub(super) fn offset_before(&self, finish: usize) -> usize {
        finish - last_bytes(&self.0.content()[..finish])
    }

    /// Offset of the entry at `index`.
    pub(super) fn offset_of(&self, index: usize) -> usize {
        if index <= self.count() / 2 {
            (0..index).fold(0, |offset, _| self.entry_at(offset).1)
        } else {
            (index..self.count()).fold(self.used(), |finish, _| self.offset_before(finish))
        }
    }

    /// The content from `offset` on, for [`Packed::split_first`].
    #[inline(always)]
    pub(super) fn from(&self, offset: usize) -> &[u8] {
        &self.0.content()[offset..]
    }

    /// The first entry of some content and the rest; the content is not empty.
    #[inline(always)]
    pub(super) fn split_first(content: &[u8]) -> (&[u8], &[u8]) {
        let (entry, bytes) = first(content);
        (entry, &content[bytes..])
    }

    /// Entries from head to tail.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut content = self.from(0);
        std::iter::from_fn(move || {
            if content.is_empty() {
                return None;
            }
            let (entry, rest) = Packed::split_first(content);
            content = rest;
            Some(entry)
        })
    }

    /// Entries from tail to head.
    pub(super) fn iter_rev(&self) -> impl Iterator<Item = &[u8]> {
        let mut finish = self.used();
        (0..self.count()).map(move |_| {
            finish = self.offset_before(finish);
            self.entry_at(finish).0
        })
    }

    /// Puts an entry in the place of the one at `offset`.
    pub(super) fn replace(&mut self, offset: usize, entry: &[u8], limit: NodeLimit) {
        let (old, next) = self.entry_at(offset);
        if old.len() == entry.len() {
            let head = length_bytes(entry.len());
            self.0.content_mut()[offset + head..next - head].copy_from_slice(entry);
        } else {
            self.splice(offset, next, &encoded(entry), self.count(), limit);
        }
    }

    /// True if an entry in the place of the one at `offset` is within the limit.
    pub(super) fn can_replace(&self, offset: usize, entry: &[u8], limit: NodeLimit) -> bool {
        let bytes = self.entry_at(offset).1 - offset;
        HEADER_BYTES + self.used() - bytes + encoded_bytes(entry) <= limit.bytes as usize
    }

    /// Inserts an entry before the one at `offset`.
    pub(super) fn insert(&mut self, offset: usize, entry: &[u8], limit: NodeLimit) {
        self.splice(offset, offset, &encoded(entry), self.count() + 1, limit);
    }

    /// True if one more entry is within the limit.
    pub(super) fn can_insert(&self, entry: &[u8], limit: NodeLimit) -> bool {
        self.fits(1, encoded_bytes(entry), limit)
    }

    /// Takes out the entry at `offset`.
    pub(super) fn remove(&mut self, offset: usize, limit: NodeLimit) {
        let next = self.entry_at(offset).1;
        self.splice(offset, next, &[], self.count() - 1, limit);
    }

    /// Replaces the bytes between two offsets by others.
    fn splice(&mut self, from: usize, to: usize, by: &[u8], count: usize, limit: NodeLimit) {
        if !self.0.replace(from..to, by, count) {
            let parts = [&self.0.content()[..from], by, &self.0.content()[to..]];
            let capacity = roomy(parts.iter().map(|part| part.len()).sum(), limit);
            self.0 = Buffer::of(&parts, count, capacity, Side::Tail);
        }
        // What was made for one long entry is left with it: its room is more than a node may have.
        let size_max = limit.bytes as usize;
        if self.0.capacity() + HEADER_BYTES > size_max && self.used() + HEADER_BYTES <= size_max {
            self.relocate(roomy(self.used(), limit), Side::Tail);
        }
        self.give_back_room();
    }

    /// Moves the entries from `offset` on to a new value.
    pub(super) fn split_off(&mut self, offset: usize) -> Packed {
        let moved = &self.0.content()[offset..];
        let mut kept = 0;
        let mut at = 0;
        while at < offset {
            at = self.entry_at(at).1;
            kept += 1;
        }
        let rest = Packed(Buffer::of(&[moved], self.count() - kept, moved.len(), Side::Tail));
        self.0.truncate(offset, kept);
        self.give_back_room();
        rest
    }

    /// Takes over the entries of the next node if both together are at most half a node; more would soon be split
    /// again by insertions.
    pub(super) fn absorb(&mut self, next: &Packed, limit: NodeLimit) -> bool {
        let half = NodeLimit { bytes: limit.bytes / 2, elements: limit.elements / 2 };
        if !self.fits(next.count(), next.used(), half) {
            return false;
        }
        let parts = [self.0.content(), next.0.content()];
        let capacity = roomy(self.used() + next.used(), limit);
        self.0 = Buffer::of(&parts, self.count() + next.count(), capacity, Side::Tail);
        true
    }

    /// Removes up to `limit` matching entries, from one end on; returns how many.
    pub(super) fn remove_where(
        &mut self,
        from: Side,
        limit: usize,
        matches: &impl Fn(&[u8]) -> bool,
    ) -> usize {
        let mut doomed = Vec::new();
        let mut offset = if from == Side::Head { 0 } else { self.used() };
        for _ in 0..self.count() {
            if doomed.len() == limit {
                break;
            }
            if from == Side::Tail {
                offset = self.offset_before(offset);
            }
            let (entry, next) = self.entry_at(offset);
            if matches(entry) {
                doomed.push((offset, next));
            }
            if from == Side::Head {
                offset = next;
            }
        }
        if from == Side::Tail {
            doomed.reverse();
        }
        let Some(&(first, _)) = doomed.first() else { return 0 };
        let (used, count) = (self.used(), self.count() - doomed.len());
        let content = self.0.content_mut();
        let mut to = first;
        for (index, &(_, next)) in doomed.iter().enumerate() {
            let until = doomed.get(index + 1).map_or(used, |&(offset, _)| offset);
            content.copy_within(next..until, to);
            to += until - next;
        }
        self.0.truncate(to, count);
        self.give_back_room();
        doomed.len()
    }
}

impl Default for Packed {
    fn default() -> Self {
        Packed::new()
    }
}
