//! The allocation of a packed value: a header and bytes behind it, behind one thin pointer.
//!
//! ```text
//! header (12 bytes): capacity, finish, start, count
//! [free room] [content: start .. finish] [free room]
//! ```
//!
//! Start and count have two bytes each, so there is never more room than that in front. `start <= finish <= capacity` holds whatever is called, so that the content is found without a check. The pointer is
//! thin so that a value's handle is a word, which is why this is unsafe code: the standard library has no such box.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;

use super::Side;

#[derive(Debug)]
#[repr(C)]
struct Header {
    capacity: u32,
    finish: u32,
    start: u16,
    count: u16,
}

/// Most room in front of the content.
const START_MAX: usize = u16::MAX as usize;

/// Bytes of an allocation that are not content.
pub(super) const HEADER_BYTES: usize = size_of::<Header>();

/// What all empty buffers point to, so that making one allocates nothing. It has no room, and so is never written.
static EMPTY: Header = Header { capacity: 0, finish: 0, start: 0, count: 0 };

/// Bytes with room on both sides, and a count of what they are.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Buffer(NonNull<Header>);

// SAFETY: a buffer owns its allocation; `EMPTY` is only read.
unsafe impl Send for Buffer {}

impl Buffer {
    /// A buffer that has no room and takes no memory.
    pub(super) fn new() -> Buffer {
        Buffer(NonNull::from(&EMPTY))
    }

    /// A buffer whose content is made of `parts`; its free room is on `side`.
    pub(super) fn of(parts: &[&[u8]], count: usize, capacity: usize, side: Side) -> Buffer {
        let used = parts.iter().map(|part| part.len()).sum();
        let capacity = capacity.max(used);
        if capacity == 0 {
            return Buffer::new();
        }
        let start = start_for(capacity - used, side);
        let layout = layout(capacity);
        // SAFETY: the layout is not empty and has room for a header and `capacity` bytes, within which the parts end.
        unsafe {
            let Some(header) = NonNull::new(alloc(layout).cast::<Header>()) else {
                handle_alloc_error(layout)
            };
            let (capacity, finish) = (capacity as u32, (start + used) as u32);
            header.write(Header { capacity, finish, start: start as u16, count: count as u16 });
            let mut at = header.as_ptr().cast::<u8>().add(HEADER_BYTES + start);
            for part in parts {
                std::ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
            Buffer(header)
        }
    }

    #[inline(always)]
    fn header(&self) -> &Header {
        // SAFETY: the header is alive, and changed only through `&mut self`.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// The capacity is not 0, and `start <= finish <= capacity` holds again when the borrow ends.
    #[inline(always)]
    unsafe fn header_mut(&mut self) -> &mut Header {
        // SAFETY: with a capacity the header is this buffer's own.
        unsafe { self.0.as_mut() }
    }

    #[inline(always)]
    fn bytes(&self) -> *mut u8 {
        // SAFETY: the bytes follow the header; those of `EMPTY` are none.
        unsafe { self.0.as_ptr().cast::<u8>().add(HEADER_BYTES) }
    }

    /// Bytes that fit.
    #[inline(always)]
    pub(super) fn capacity(&self) -> usize {
        self.header().capacity as usize
    }

    /// Bytes of content.
    #[inline(always)]
    pub(super) fn used(&self) -> usize {
        (self.header().finish - u32::from(self.header().start)) as usize
    }

    /// What the content counts as.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.header().count as usize
    }

    /// The content.
    #[inline(always)]
    pub(super) fn content(&self) -> &[u8] {
        // SAFETY: start and finish lie within the allocation, and what is between them has been written.
        unsafe { std::slice::from_raw_parts(self.bytes().add(self.header().start as usize), self.used()) }
    }

    /// The content, to change.
    pub(super) fn content_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes this the only borrow.
        unsafe { std::slice::from_raw_parts_mut(self.bytes().add(self.header().start as usize), self.used()) }
    }

    /// Free bytes on a side.
    #[inline(always)]
    pub(super) fn room(&self, side: Side) -> usize {
        let header = self.header();
        (match side {
            Side::Head => u32::from(header.start),
            Side::Tail => header.capacity - header.finish,
        }) as usize
    }

    /// Extends the content on a side by an entry, which lies between two lengths; false without the room for it there.
    #[inline(always)]
    pub(super) fn extend(&mut self, side: Side, length: &[u8], entry: &[u8], reversed: &[u8]) -> bool {
        let bytes = length.len() + entry.len() + reversed.len();
        if bytes == 0 || bytes > self.room(side) {
            return false;
        }
        // SAFETY: a buffer with room has a capacity, and the room is enough for the three parts.
        unsafe {
            let header = self.header_mut();
            header.count += 1;
            let at = match side {
                Side::Head => {
                    header.start -= bytes as u16;
                    header.start as usize
                }
                Side::Tail => {
                    header.finish += bytes as u32;
                    header.finish as usize - bytes
                }
            };
            let mut at = self.bytes().add(at);
            for part in [length, entry, reversed] {
                std::ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
        }
        true
    }

    /// Takes bytes that count as one off the content on a side.
    #[inline(always)]
    pub(super) fn release(&mut self, side: Side, bytes: usize) {
        assert!(bytes <= self.used() && bytes > 0, "only what is there can be released");
        if side == Side::Head && usize::from(self.header().start) + bytes > START_MAX {
            self.release_far(bytes);
            return;
        }
        // SAFETY: a buffer with content has a capacity, and the content was long enough.
        let header = unsafe { self.header_mut() };
        header.count -= 1;
        match side {
            Side::Head => header.start += bytes as u16,
            Side::Tail => header.finish -= bytes as u32,
        }
    }

    #[cold]
    fn release_far(&mut self, bytes: usize) {
        *self = Buffer::of(&[&self.content()[bytes..]], self.count() - 1, self.used() - bytes, Side::Tail);
    }

    /// Keeps the first bytes of the content only.
    pub(super) fn truncate(&mut self, bytes: usize, count: usize) {
        assert!(bytes <= self.used() && self.capacity() > 0, "only what is there can be kept");
        // SAFETY: as asserted.
        let header = unsafe { self.header_mut() };
        header.finish = u32::from(header.start) + bytes as u32;
        header.count = count as u16;
    }

    /// Replaces a range of the content by other bytes, with the free room at the tail afterwards. False if the buffer is
    /// too small.
    pub(super) fn replace(&mut self, range: Range<usize>, by: &[u8], count: usize) -> bool {
        let (used, start) = (self.used(), self.header().start as usize);
        assert!(range.start <= range.end && range.end <= used, "the range is one of the content");
        let bytes = by.len();
        let now = used - range.len() + bytes;
        if now > self.capacity() || self.capacity() == 0 {
            return false;
        }
        // SAFETY: old and new content lie within the capacity, which is not 0; the moved parts are copied in the order in
        // which none overwrites another: what moves towards the head first, if it does.
        unsafe {
            let base = self.bytes();
            let move_behind = || {
                let (from, to) = (start + range.end, range.start + bytes);
                std::ptr::copy(base.add(from), base.add(to), used - range.end);
            };
            let move_front = || std::ptr::copy(base.add(start), base, range.start);
            if range.start + bytes > start + range.end {
                move_behind();
                move_front();
            } else {
                move_front();
                move_behind();
            }
            std::ptr::copy_nonoverlapping(by.as_ptr(), base.add(range.start), bytes);
            let header = self.header_mut();
            (header.start, header.finish, header.count) = (0, now as u32, count as u16);
        }
        true
    }

    /// Moves the content so that the free room is on a side.
    pub(super) fn slide(&mut self, side: Side) {
        let (used, start, capacity) = (self.used(), self.header().start as usize, self.capacity());
        if capacity == 0 {
            return;
        }
        let to = start_for(capacity - used, side);
        // SAFETY: both places lie within the capacity, which is not 0.
        unsafe {
            std::ptr::copy(self.bytes().add(start), self.bytes().add(to), used);
            let header = self.header_mut();
            (header.start, header.finish) = (to as u16, (to + used) as u32);
        }
    }
}

/// Where content begins that leaves this much free room on a side.
fn start_for(room: usize, side: Side) -> usize {
    if side == Side::Head { room.min(START_MAX) } else { 0 }
}

/// The layout of a buffer. A length that no header can say is a broken promise of those who bound arguments.
fn layout(capacity: usize) -> Layout {
    assert!(u32::try_from(capacity).is_ok(), "an element of {capacity} bytes is too long");
    Layout::from_size_align(HEADER_BYTES + capacity, align_of::<Header>())
        .expect("four gigabytes are less than isize::MAX")
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        let capacity = self.capacity();
        if capacity > 0 {
            // SAFETY: it was allocated with this layout, and `drop` runs once.
            unsafe { dealloc(self.0.as_ptr().cast(), layout(capacity)) };
        }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Buffer::of(&[self.content()], self.count(), self.used(), Side::Tail)
    }
}
