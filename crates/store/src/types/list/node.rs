//! A node: elements back to back in one buffer with room at both ends.
//!
//! ```text
//! element: length (7 bits a byte, low first) | bytes | the length's bytes in reverse order
//! ```
//!
//! The length on both sides lets a node be read from either end; lengths below 128 take one byte.

use super::{NODE_BYTES_MAX, Side};

/// Smallest buffer of a node.
const NODE_BYTES_MIN: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Node {
    buffer: Box<[u8]>,
    start: u32,
    finish: u32,
    count: u32,
}

/// Bytes of an encoded length.
#[inline]
fn length_bytes(len: usize) -> usize {
    if len < 128 { 1 } else { (usize::BITS - len.leading_zeros()).div_ceil(7) as usize }
}

#[inline]
fn encoded_bytes(element: &[u8]) -> usize {
    element.len() + 2 * length_bytes(element.len())
}

impl Node {
    /// An empty node with room for `element`.
    pub(super) fn for_element(element: &[u8]) -> Node {
        let bytes = encoded_bytes(element);
        let capacity =
            if bytes > NODE_BYTES_MAX { bytes } else { bytes.next_power_of_two().max(NODE_BYTES_MIN) };
        Node::with_capacity(capacity)
    }

    /// An empty node of the full size, or more if `element` needs it.
    pub(super) fn large_for(element: &[u8]) -> Node {
        Node::with_capacity(encoded_bytes(element).max(NODE_BYTES_MAX))
    }

    fn with_capacity(capacity: usize) -> Node {
        Node { buffer: vec![0; capacity].into_boxed_slice(), start: 0, finish: 0, count: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    pub(super) fn finish(&self) -> usize {
        self.finish as usize
    }

    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    fn used(&self) -> usize {
        (self.finish - self.start) as usize
    }

    /// Moves the content into a buffer of `capacity` bytes, leaving the free room on `side`.
    fn relocate(&mut self, capacity: usize, side: Side) {
        let used = self.used();
        let start = if side == Side::Head { capacity - used } else { 0 };
        if capacity == self.buffer.len() {
            self.buffer.copy_within(self.start as usize..self.finish as usize, start);
        } else {
            let mut buffer = vec![0; capacity].into_boxed_slice();
            buffer[start..start + used]
                .copy_from_slice(&self.buffer[self.start as usize..self.finish as usize]);
            self.buffer = buffer;
        }
        self.start = start as u32;
        self.finish = (start + used) as u32;
    }

    /// Makes room for `bytes` on `side`; false when the node is full.
    #[cold]
    fn make_room(&mut self, side: Side, bytes: usize) -> bool {
        if self.count == 0 {
            let at = if side == Side::Head { self.buffer.len() } else { 0 };
            (self.start, self.finish) = (at as u32, at as u32);
            return bytes <= self.buffer.len();
        }
        let needed = self.used() + bytes;
        if needed > NODE_BYTES_MAX {
            return false;
        }
        // Growing doubles, and a half-empty buffer is shifted instead: either is paid by as many pushes.
        let capacity = if needed * 2 <= self.buffer.len() {
            self.buffer.len()
        } else {
            (needed.next_power_of_two().max(self.buffer.len())).min(NODE_BYTES_MAX)
        };
        self.relocate(capacity, side);
        true
    }

    /// Adds an element at one end; false when the node is full.
    #[inline]
    pub(super) fn push(&mut self, side: Side, element: &[u8]) -> bool {
        let bytes = encoded_bytes(element);
        let room = match side {
            Side::Head => self.start as usize,
            Side::Tail => self.buffer.len() - self.finish as usize,
        };
        if room < bytes && !self.make_room(side, bytes) {
            return false;
        }
        let at = match side {
            Side::Head => {
                self.start -= bytes as u32;
                self.start as usize
            }
            Side::Tail => {
                self.finish += bytes as u32;
                self.finish as usize - bytes
            }
        };
        self.count += 1;
        let len = element.len();
        match &mut self.buffer[at..][..bytes] {
            // Nearly always the length takes a byte.
            [before, inside @ .., after] if len < 128 => {
                (*before, *after) = (len as u8, len as u8);
                inside.copy_from_slice(element);
            }
            _ => self.write(at, element),
        }
        true
    }

    fn write(&mut self, at: usize, element: &[u8]) {
        let len = element.len();
        let head = length_bytes(len);
        let slot = &mut self.buffer[at..at + len + 2 * head];
        if head == 1 {
            slot[0] = len as u8;
            slot[1..=len].copy_from_slice(element);
            slot[len + 1] = len as u8;
            return;
        }
        let mut rest = len;
        for (index, byte) in slot[..head].iter_mut().enumerate() {
            let more = if index + 1 < head { 0x80 } else { 0 };
            *byte = (rest & 0x7f) as u8 | more;
            rest >>= 7;
        }
        slot[head..head + len].copy_from_slice(element);
        for index in 0..head {
            slot[2 * head + len - 1 - index] = slot[index];
        }
    }

    /// The element at `offset` and the offset behind it.
    #[inline]
    pub(super) fn element_at(&self, offset: usize) -> (&[u8], usize) {
        let first = self.buffer[offset];
        if first < 0x80 {
            let len = usize::from(first);
            return (&self.buffer[offset + 1..offset + 1 + len], offset + len + 2);
        }
        let mut len = 0;
        let mut head = 0;
        loop {
            let byte = self.buffer[offset + head];
            len |= usize::from(byte & 0x7f) << (7 * head);
            head += 1;
            if byte < 0x80 {
                break;
            }
        }
        (&self.buffer[offset + head..offset + head + len], offset + len + 2 * head)
    }

    /// Offset of the element that ends at `finish`.
    #[inline]
    fn offset_before(&self, finish: usize) -> usize {
        let mut len = 0;
        let mut head = 0;
        loop {
            let byte = self.buffer[finish - 1 - head];
            len |= usize::from(byte & 0x7f) << (7 * head);
            head += 1;
            if byte < 0x80 {
                break;
            }
        }
        finish - len - 2 * head
    }

    /// Offset of the element at `index`.
    pub(super) fn offset_of(&self, index: usize) -> usize {
        if index <= self.count() / 2 {
            (0..index).fold(self.start(), |offset, _| self.element_at(offset).1)
        } else {
            (index..self.count()).fold(self.finish(), |offset, _| self.offset_before(offset))
        }
    }

    /// The element at one end; the node has one.
    #[inline]
    pub(super) fn end(&self, side: Side) -> &[u8] {
        match side {
            Side::Head => self.element_at(self.start()).0,
            Side::Tail => self.element_at(self.offset_before(self.finish())).0,
        }
    }

    /// Drops the element at one end; the node has one.
    #[inline]
    pub(super) fn drop_end(&mut self, side: Side) {
        match side {
            Side::Head => self.start = self.element_at(self.start()).1 as u32,
            Side::Tail => self.finish = self.offset_before(self.finish()) as u32,
        }
        self.count -= 1;
    }

    /// Elements from tail to head.
    pub(super) fn iter_rev(&self) -> impl Iterator<Item = &[u8]> {
        let mut finish = self.finish();
        (0..self.count).map(move |_| {
            finish = self.offset_before(finish);
            self.element_at(finish).0
        })
    }

    /// Puts `element` in the place of the one at `offset`; false when the node has no room.
    pub(super) fn replace(&mut self, offset: usize, element: &[u8]) -> bool {
        let next = self.element_at(offset).1;
        if encoded_bytes(element) == next - offset {
            self.write(offset, element);
            return true;
        }
        if !self.splice(offset, next, element) {
            return false;
        }
        true
    }

    /// Inserts `element` before the one at `offset`; false when the node has no room.
    pub(super) fn insert(&mut self, offset: usize, element: &[u8]) -> bool {
        if !self.splice(offset, offset, element) {
            return false;
        }
        self.count += 1;
        true
    }

    /// Replaces the bytes between two offsets by an encoded element.
    fn splice(&mut self, from: usize, to: usize, element: &[u8]) -> bool {
        let bytes = encoded_bytes(element);
        let needed = self.used() - (to - from) + bytes;
        if needed > NODE_BYTES_MAX {
            return false;
        }
        let (from, to) = (from - self.start(), to - self.start());
        // A buffer made for one long element is left with it: full of others it would be too big to be split.
        if self.buffer.len() > NODE_BYTES_MAX {
            let mut node = Node::with_capacity(needed.next_power_of_two().max(NODE_BYTES_MIN));
            let start = self.start();
            node.buffer[..from].copy_from_slice(&self.buffer[start..start + from]);
            node.buffer[from + bytes..needed].copy_from_slice(&self.buffer[start + to..self.finish()]);
            *self = Node { count: self.count, ..node };
        } else {
            let capacity =
                if needed <= self.buffer.len() { self.buffer.len() } else { needed.next_power_of_two() };
            self.relocate(capacity, Side::Tail);
            let used = self.used();
            self.buffer.copy_within(to..used, from + bytes);
        }
        self.write(from, element);
        self.finish = needed as u32;
        true
    }

    /// Moves the elements from `offset` on to a new node.
    pub(super) fn split_off(&mut self, offset: usize) -> Node {
        let moved = &self.buffer[offset..self.finish()];
        let mut rest =
            Node::with_capacity(moved.len().next_power_of_two().clamp(NODE_BYTES_MIN, NODE_BYTES_MAX));
        rest.buffer[..moved.len()].copy_from_slice(moved);
        rest.finish = moved.len() as u32;
        let mut kept = 0;
        let mut at = self.start();
        while at < offset {
            at = self.element_at(at).1;
            kept += 1;
        }
        rest.count = self.count - kept;
        self.count = kept;
        self.finish = offset as u32;
        rest
    }

    /// Takes over the elements of the next node if both together are at most half a node; more would soon be
    /// split again by insertions.
    pub(super) fn absorb(&mut self, next: &Node) -> bool {
        let (used, added) = (self.used(), next.used());
        if used + added > NODE_BYTES_MAX / 2 {
            return false;
        }
        if self.buffer.len() - self.finish() < added {
            self.relocate((used + added).next_power_of_two().max(self.buffer.len()), Side::Tail);
        }
        let finish = self.finish();
        self.buffer[finish..finish + added].copy_from_slice(&next.buffer[next.start()..next.finish()]);
        self.finish += added as u32;
        self.count += next.count;
        true
    }

    /// Shrinks a buffer that is mostly empty.
    pub(super) fn give_back_room(&mut self) {
        let capacity = self.used().next_power_of_two().max(NODE_BYTES_MIN);
        if capacity <= self.buffer.len() / 4 {
            self.relocate(capacity, Side::Tail);
        }
    }

    /// Removes up to `limit` matching elements, from one end on; returns how many.
    pub(super) fn remove_where(
        &mut self,
        from: Side,
        limit: usize,
        matches: &impl Fn(&[u8]) -> bool,
    ) -> usize {
        let mut doomed = Vec::new();
        let mut offset = if from == Side::Head { self.start() } else { self.finish() };
        for _ in 0..self.count {
            if doomed.len() == limit {
                break;
            }
            if from == Side::Tail {
                offset = self.offset_before(offset);
            }
            let (element, next) = self.element_at(offset);
            if matches(element) {
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
        let mut to = first;
        for (index, &(_, next)) in doomed.iter().enumerate() {
            let until = doomed.get(index + 1).map_or(self.finish(), |&(offset, _)| offset);
            self.buffer.copy_within(next..until, to);
            to += until - next;
        }
        self.finish = to as u32;
        self.count -= doomed.len() as u32;
        doomed.len()
    }
}
