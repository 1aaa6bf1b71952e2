//! A page: entries of some range of positions in one allocation, which copies share.
//!
//! ```text
//! slots, in the order of their keys: 12 bits offset, 12 bits key | entries, in no order
//! entry: length of the member | member | length of the value | [deadline] | value   (the latter if the shape has values)
//!    or: MARK_FAR | index of an allocation of its own                               (over a quarter of a page)
//! ```
//!
//! A length below 128 takes a byte, others two; where a deadline of eight bytes follows, a bit of the first of two says so.
//! The key of an entry is the part of the page's range that its position lies in ([`Scale`]; the table has it, beside the page). Positions are those of hashes,
//! so an even division of the slots leads to within a few of the right one: a search reads one or two lines of the
//! processor's cache however many entries there are, and one of thirty absent members is compared with an entry. What
//! is removed leaves a hole until the page is laid out anew.

use std::ops::Range;
use std::sync::Arc;

use super::scale::{KEY_BITS, Scale};
use super::{Shape, position};
use crate::UnixMs;
use crate::prefetch::prefetch;

/// An entry in an allocation of its own: length of the member in four bytes, deadline if the highest bit of that says so,
/// member, value.
pub(super) type Far = Arc<[u8]>;

/// What an allocation that is shared has before its bytes.
const COUNTS_BYTES: usize = 2 * size_of::<usize>();
/// Most bytes of a page: with the counts of its sharers it is a page of the machine.
const PAGE_BYTES: usize = 4096 - COUNTS_BYTES;
/// A page is not laid out anew for less room than this part of it.
const SPARE_PART: usize = 16;
/// The sizes of a page that is alone are multiples of this.
const STEP_BYTES: usize = 256;
/// Longer entries have an allocation of their own.
const NEAR_BYTES_MAX: usize = PAGE_BYTES / 4;
/// The first byte of an entry that has; no length begins with it.
const MARK_FAR: u8 = 0xff;
const FAR_BYTES: usize = 3;
/// Says in the length of a value, or in that of a far member, that a deadline follows.
const TIMED: u8 = 0x40;
const FAR_TIMED: u32 = 1 << 31;
const DEADLINE_BYTES: usize = size_of::<UnixMs>();
const SLOT_BYTES: usize = 3;
const OFFSET_BITS: u32 = 12;
const _: () = assert!(OFFSET_BITS + KEY_BITS == 8 * SLOT_BYTES as u32);
/// How far from where an even division has it an entry may be for its slot to have been sent for.
const NEAR_SLOTS: usize = 8;

/// What a page with these entries takes.
fn needed(count: usize, bytes: usize) -> usize {
    count * SLOT_BYTES + bytes
}

/// The size of a page that is alone and needs this many bytes.
fn roomy(needed: usize) -> usize {
    let roomy = (needed + needed / 4 + COUNTS_BYTES).next_multiple_of(STEP_BYTES) - COUNTS_BYTES;
    roomy.min(PAGE_BYTES)
}

/// True if a page of this many bytes should be joined with another.
pub(super) fn is_thin(bytes: usize) -> bool {
    bytes < PAGE_BYTES / 4
}

/// What pages are filled with, where nothing says otherwise: they have room to grow for a while.
pub(super) const PAGE_ROOMY: usize = PAGE_BYTES - PAGE_BYTES / 8;

/// True if what takes this many bytes has enough room in so many pages to stay there for a while.
pub(super) fn is_roomy_together(bytes: usize, pages: usize) -> bool {
    bytes <= pages * PAGE_ROOMY
}

/// A member with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Entry<'a> {
    pub(in super::super) member: &'a [u8],
    /// Empty where the shape has none.
    pub(in super::super) value: &'a [u8],
    /// When it is to go, if ever.
    pub(in super::super) deadline_ms: Option<UnixMs>,
}

impl<'a> Entry<'a> {
    /// One that has nothing but itself.
    pub(in super::super) fn of_member(member: &'a [u8]) -> Entry<'a> {
        Entry { member, value: &[], deadline_ms: None }
    }

    /// Bytes of it in a page.
    #[inline]
    fn bytes<S: Shape>(&self) -> usize {
        let value_head = match self.deadline_ms {
            _ if !S::VALUES => 0,
            Some(_) => 2 + DEADLINE_BYTES,
            None => head(self.value.len()).1,
        };
        head(self.member.len()).1 + self.member.len() + value_head + self.value.len()
    }

    /// Writes it to the beginning of some bytes, and tells how many it takes.
    #[inline]
    fn write<S: Shape>(&self, bytes: &mut [u8]) -> usize {
        let mut end = 0;
        let mut put = |part: &[u8]| {
            bytes[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        };
        let (member_head, bytes) = head(self.member.len());
        put(&member_head[..bytes]);
        put(self.member);
        if S::VALUES {
            match self.deadline_ms {
                None => {
                    let (value_head, bytes) = head(self.value.len());
                    put(&value_head[..bytes]);
                }
                Some(at_ms) => {
                    let len = self.value.len();
                    put(&[0x80 | TIMED | (len >> 8) as u8, len as u8]);
                    put(&at_ms.to_le_bytes());
                }
            }
            put(self.value);
        }
        end
    }

    pub(super) fn of_far(far: &'a [u8]) -> Entry<'a> {
        let (head, mut rest) = far.split_at(4);
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let deadline_ms = (len & FAR_TIMED != 0).then(|| take_deadline(&mut rest));
        let (member, value) = rest.split_at((len & !FAR_TIMED) as usize);
        Entry { member, value, deadline_ms }
    }

    fn to_far(self) -> Far {
        let timed = if self.deadline_ms.is_some() { FAR_TIMED } else { 0 };
        let len = (self.member.len() as u32 | timed).to_le_bytes();
        let deadline = self.deadline_ms.map(UnixMs::to_le_bytes);
        let deadline = deadline.as_ref().map_or(&[][..], |bytes| bytes);
        [&len[..], deadline, self.member, self.value].concat().into()
    }
}

/// Takes a deadline off the beginning of some bytes.
fn take_deadline(bytes: &mut &[u8]) -> UnixMs {
    let (deadline, rest) = bytes.split_first_chunk().expect("a length says that a deadline follows");
    *bytes = rest;
    UnixMs::from_le_bytes(*deadline)
}

/// An entry on its way into a page.
#[derive(Clone, Debug)]
pub(super) enum Stored<'a> {
    /// One that is in no page yet, small enough for one.
    New(Entry<'a>),
    /// As it lies in another page.
    Near(&'a [u8]),
    Far(Far),
}

impl<'a> Stored<'a> {
    /// An entry that is in no page yet.
    #[inline]
    pub(super) fn new(entry: Entry<'a>) -> Stored<'a> {
        let bytes = entry.member.len() + entry.value.len() + 4 + DEADLINE_BYTES;
        if bytes > NEAR_BYTES_MAX { Stored::Far(entry.to_far()) } else { Stored::New(entry) }
    }

    #[inline]
    fn bytes<S: Shape>(&self) -> usize {
        match self {
            Stored::New(entry) => entry.bytes::<S>(),
            Stored::Near(bytes) => bytes.len(),
            Stored::Far(_) => FAR_BYTES,
        }
    }

    /// Bytes of it in a page.
    pub(super) fn needed_bytes<S: Shape>(&self) -> usize {
        self.bytes::<S>() + SLOT_BYTES
    }
}

/// The length of a part, in one byte or two.
fn head(len: usize) -> ([u8; 2], usize) {
    if len < 0x80 { ([len as u8, 0], 1) } else { ([0x80 | (len >> 8) as u8, len as u8], 2) }
}

/// The length at the beginning of an entry, and the bytes it takes.
#[inline(always)]
fn read_head(bytes: &[u8]) -> (usize, usize) {
    match bytes[0] {
        short @ ..0x80 => (usize::from(short), 1),
        long => (usize::from(long & 0x3f) << 8 | usize::from(bytes[1]), 2),
    }
}

/// See the file's head.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    bytes: Arc<[u8]>,
    rare: Option<Arc<Rare>>,
    count: u16,
    /// Entries for which there are slots.
    slots: u16,
    /// Where the next entry goes.
    end: u16,
    /// Bytes of holes.
    dead: u16,
}

/// What most pages do without.
#[derive(Clone, Debug)]
struct Rare {
    /// The allocations of entries that have one; that of a removed entry is empty.
    far: Vec<Far>,
    /// No entry has an earlier deadline.
    due_ms: UnixMs,
}

impl Default for Rare {
    fn default() -> Self {
        Rare { far: Vec::new(), due_ms: UnixMs::MAX }
    }
}

impl Page {
    /// A page of a size, for entries of which the given ones are a sample.
    fn of_size(size: usize, count: usize, bytes: usize) -> Page {
        let spare = size - needed(count, bytes);
        let slots = count + spare / (bytes.div_ceil(count.max(1)) + SLOT_BYTES);
        let end = (slots * SLOT_BYTES) as u16;
        let bytes = std::iter::repeat_n(0, size).collect();
        Page { bytes, rare: None, count: 0, slots: slots as u16, end, dead: 0 }
    }

    /// Number of entries.
    #[inline]
    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    fn slots(&self) -> usize {
        usize::from(self.slots)
    }

    /// Bytes of all entries.
    fn live_bytes(&self) -> usize {
        usize::from(self.end) - self.slots() * SLOT_BYTES - usize::from(self.dead)
    }

    /// Bytes that its entries need.
    pub(super) fn needed_bytes(&self) -> usize {
        needed(self.count(), self.live_bytes())
    }

    /// Bytes of all its allocations.
    pub(super) fn memory_bytes(&self) -> usize {
        let far = |far: &Vec<Far>| {
            far.iter().map(|far| far.len() + COUNTS_BYTES).sum::<usize>() + far.capacity() * size_of::<Far>()
        };
        let rare = |rare: &Arc<Rare>| COUNTS_BYTES + size_of::<Rare>() + far(&rare.far);
        self.bytes.len() + COUNTS_BYTES + self.rare.as_ref().map_or(0, rare)
    }

    fn rare_mut(&mut self) -> &mut Rare {
        Arc::make_mut(self.rare.get_or_insert_default())
    }

    /// A time before which no entry has a deadline.
    pub(super) fn due_ms(&self) -> UnixMs {
        self.rare.as_ref().map_or(UnixMs::MAX, |rare| rare.due_ms)
    }

    /// Appends the members whose deadlines have come, until there are `count`, taking those for removed.
    pub(super) fn take_due<S: Shape>(&mut self, now_ms: UnixMs, count: usize, due: &mut Vec<Vec<u8>>) {
        let mut next_ms = UnixMs::MAX;
        for entry in self.entries::<S>() {
            match entry.deadline_ms {
                Some(at_ms) if at_ms <= now_ms && due.len() < count => due.push(entry.member.to_vec()),
                Some(at_ms) => next_ms = next_ms.min(at_ms),
                None => {}
            }
        }
        self.rare_mut().due_ms = next_ms;
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> u32 {
        // At least a byte of an entry follows the last slot.
        let bytes = self.bytes[index * SLOT_BYTES..].first_chunk().expect("an entry follows");
        u32::from_le_bytes(*bytes) & 0xff_ffff
    }

    #[inline(always)]
    fn offset(&self, index: usize) -> usize {
        (self.slot(index) & ((1 << OFFSET_BITS) - 1)) as usize
    }

    #[inline(always)]
    fn key(&self, index: usize) -> u32 {
        self.slot(index) >> OFFSET_BITS
    }

    /// The entry that begins at an offset.
    #[inline(always)]
    fn entry_at<S: Shape>(&self, offset: usize) -> Entry<'_> {
        let bytes = &self.bytes[offset..];
        if bytes[0] == MARK_FAR {
            return Entry::of_far(self.far_at(offset));
        }
        let (len, head) = read_head(bytes);
        let member = &bytes[head..head + len];
        if !S::VALUES {
            return Entry { member, value: &[], deadline_ms: None };
        }
        let rest = &bytes[head + len..];
        let (len, head) = read_head(rest);
        let (is_timed, mut rest) = (rest[0] & (0x80 | TIMED) == 0x80 | TIMED, &rest[head..]);
        let deadline_ms = is_timed.then(|| take_deadline(&mut rest));
        Entry { member, value: &rest[..len], deadline_ms }
    }

    fn far_index(&self, offset: usize) -> usize {
        usize::from(u16::from_le_bytes([self.bytes[offset + 1], self.bytes[offset + 2]]))
    }

    fn far_at(&self, offset: usize) -> &Far {
        &self.rare.as_deref().expect("a marked entry has an allocation").far[self.far_index(offset)]
    }

    /// Bytes of the entry that begins at an offset.
    fn size_at<S: Shape>(&self, offset: usize) -> usize {
        if self.bytes[offset] == MARK_FAR {
            return FAR_BYTES;
        }
        self.entry_at::<S>(offset).bytes::<S>()
    }

    /// The entry of an index below the count.
    #[inline]
    pub(super) fn entry<S: Shape>(&self, index: usize) -> Entry<'_> {
        self.entry_at::<S>(self.offset(index))
    }

    /// Where the value of an entry lies, if it is in the page and has no deadline.
    pub(super) fn value_range<S: Shape>(&self, index: usize) -> Option<Range<usize>> {
        let offset = self.offset(index);
        let end = offset + self.size_at::<S>(offset);
        let entry = self.entry_at::<S>(offset);
        let is_plain = self.bytes[offset] != MARK_FAR && entry.deadline_ms.is_none();
        is_plain.then(|| end - entry.value.len()..end)
    }

    /// Overwrites part of an entry.
    pub(super) fn write_at(&mut self, at: usize, bytes: &[u8]) {
        self.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// All entries.
    pub(super) fn entries<S: Shape>(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.count()).map(|index| self.entry::<S>(index))
    }

    /// All entries with their hashes, to be put into other pages.
    pub(super) fn stored<S: Shape>(&self) -> impl Iterator<Item = (u64, Stored<'_>)> {
        (0..self.count()).map(|index| {
            let offset = self.offset(index);
            let stored = match self.bytes[offset] {
                MARK_FAR => Stored::Far(Arc::clone(self.far_at(offset))),
                _ => Stored::Near(&self.bytes[offset..offset + self.size_at::<S>(offset)]),
            };
            (S::hash(self.entry_at::<S>(offset).member), stored)
        })
    }

    /// The index of a member.
    #[inline]
    pub(super) fn find<S: Shape>(&self, scale: Scale, hash: u64, member: &[u8]) -> Option<usize> {
        self.candidates(scale, hash, hash).find(|index| self.entry::<S>(*index).member == member)
    }

    /// The index of each entry whose hash may be one of a range, that of the last included.
    #[inline]
    pub(super) fn candidates(&self, scale: Scale, first: u64, last: u64) -> impl Iterator<Item = usize> {
        let last = scale.key(position(last));
        (self.place_of(scale, first)..self.count()).take_while(move |index| self.key(*index) <= last)
    }

    /// The index of the first entry whose key is not below that of a hash.
    #[inline]
    fn place_of(&self, scale: Scale, hash: u64) -> usize {
        let key = scale.key(position(hash));
        let mut index = scale.place(position(hash), self.count());
        while index > 0 && self.key(index - 1) >= key {
            index -= 1;
        }
        while index < self.count() && self.key(index) < key {
            index += 1;
        }
        index
    }

    /// Sends for what a search for a hash reads before it reads an entry.
    #[inline]
    pub(super) fn prefetch(&self, scale: Scale, hash: u64) {
        let likely = scale.place(position(hash), self.count());
        for slot in [likely.saturating_sub(NEAR_SLOTS), likely + NEAR_SLOTS] {
            prefetch(self.bytes.as_ptr().wrapping_add(slot * SLOT_BYTES));
        }
    }

    /// Sends for the first entry that may have a hash.
    #[inline]
    pub(super) fn prefetch_first(&self, scale: Scale, hash: u64) {
        if let Some(index) = self.candidates(scale, hash, hash).next() {
            prefetch(self.bytes[self.offset(index)..].as_ptr());
        }
    }

    /// The index of the only entry whose hash may be one of a range ([`Page::candidates`]), which is sent for.
    #[inline]
    pub(super) fn prefetch_only(&self, scale: Scale, first: u64, last: u64) -> Option<usize> {
        let mut candidates = self.candidates(scale, first, last);
        let index = candidates.next().filter(|_| candidates.next().is_none())?;
        prefetch(self.bytes[self.offset(index)..].as_ptr());
        Some(index)
    }

    /// The bytes, to change: a copy of them if they are shared.
    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        Arc::make_mut(&mut self.bytes)
    }

    /// Adds an entry; false if the page is full. One that is alone is as small as it may be.
    pub(super) fn add<S: Shape>(
        &mut self,
        scale: Scale,
        hash: u64,
        entry: &Stored<'_>,
        is_alone: bool,
    ) -> bool {
        let fits = usize::from(self.end) + entry.bytes::<S>() <= self.bytes.len();
        if self.count < self.slots && fits {
            self.write::<S>(scale, hash, entry);
            return true;
        }
        let (count, bytes) = (self.count() + 1, self.live_bytes() + entry.bytes::<S>());
        let needed = needed(count, bytes);
        if needed > PAGE_BYTES - PAGE_BYTES / SPARE_PART {
            return false;
        }
        let size = if is_alone { roomy(needed) } else { PAGE_BYTES };
        let mut page = Page::of_size(size, count, bytes);
        self.stored::<S>().for_each(|(hash, entry)| page.write::<S>(scale, hash, &entry));
        page.write::<S>(scale, hash, entry);
        *self = page;
        true
    }

    /// Makes a page that is alone as small as it may be.
    pub(super) fn shrink<S: Shape>(&mut self, scale: Scale) {
        let size = roomy(self.needed_bytes());
        if size < self.bytes.len() {
            let mut page = Page::of_size(size, self.count(), self.live_bytes());
            self.stored::<S>().for_each(|(hash, entry)| page.write::<S>(scale, hash, &entry));
            *self = page;
        }
    }

    /// Writes an entry where there is room.
    fn write<S: Shape>(&mut self, scale: Scale, hash: u64, entry: &Stored<'_>) {
        let (count, offset, key) = (self.count(), usize::from(self.end), scale.key(position(hash)));
        // What is laid out anew comes in this order.
        let is_last = count == 0 || self.key(count - 1) <= key;
        let at = if is_last { count } else { self.place_of(scale, hash) } * SLOT_BYTES;
        let marked;
        let (from, entry) = match entry {
            Stored::New(entry) => (&[][..], Some(entry)),
            Stored::Near(bytes) => (*bytes, None),
            Stored::Far(far) => {
                let allocations = &mut self.rare_mut().far;
                let [low, high] = (allocations.len() as u16).to_le_bytes();
                allocations.push(Arc::clone(far));
                marked = [MARK_FAR, low, high];
                (&marked[..], None)
            }
        };
        let bytes = self.bytes_mut();
        let slot = (offset as u32 | key << OFFSET_BITS).to_le_bytes();
        bytes.copy_within(at..count * SLOT_BYTES, at + SLOT_BYTES);
        bytes[at..at + SLOT_BYTES].copy_from_slice(&slot[..SLOT_BYTES]);
        let end = offset
            + match entry {
                Some(entry) => entry.write::<S>(&mut bytes[offset..]),
                None => {
                    bytes[offset..offset + from.len()].copy_from_slice(from);
                    from.len()
                }
            };
        self.end = end as u16;
        self.count += 1;
        if S::VALUES
            && let Some(at_ms) = self.entry_at::<S>(offset).deadline_ms
        {
            let due_ms = &mut self.rare_mut().due_ms;
            *due_ms = at_ms.min(*due_ms);
        }
    }

    /// Removes the entry of an index, which the one behind it takes.
    pub(super) fn remove<S: Shape>(&mut self, index: usize) {
        let offset = self.offset(index);
        let (size, slots) = (self.size_at::<S>(offset), self.count() * SLOT_BYTES);
        if self.bytes[offset] == MARK_FAR {
            let at = self.far_index(offset);
            self.rare_mut().far[at] = Far::default();
        }
        self.bytes_mut().copy_within((index + 1) * SLOT_BYTES..slots, index * SLOT_BYTES);
        self.count -= 1;
        if offset + size == usize::from(self.end) {
            self.end -= size as u16;
        } else {
            self.dead += size as u16;
        }
    }
}

/// Lays entries out in pages, at least one, each with the scale of its positions: in equal shares of the range where that fits,
/// else by their bytes. What has no room because its position is that of a whole page is given back.
pub(super) fn spread<S: Shape>(
    mut entries: Vec<(u64, Stored<'_>)>,
    range: Range<u64>,
    parts: usize,
) -> (Vec<(Scale, Page)>, Vec<Far>) {
    let share = (range.end - range.start).div_ceil(parts as u64);
    let start_of = |part: usize| range.start + share * part as u64;
    let mut sizes = vec![(0, 0); parts];
    for (hash, entry) in &entries {
        let (count, bytes) = &mut sizes[((position(*hash) - range.start) / share) as usize];
        (*count, *bytes) = (*count + 1, *bytes + entry.bytes::<S>());
    }
    let fits =
        |(count, bytes): &(usize, usize)| needed(*count, *bytes) <= PAGE_BYTES - PAGE_BYTES / SPARE_PART;
    if sizes.iter().all(fits) && start_of(parts - 1) < range.end {
        let page = |(part, (count, bytes)): (usize, &(usize, usize))| {
            let start = start_of(part);
            (Scale::of(&(start..start + share)), Page::of_size(PAGE_BYTES, *count, *bytes))
        };
        let mut pages: Vec<(Scale, Page)> = sizes.iter().enumerate().map(page).collect();
        for (hash, entry) in &entries {
            let (scale, page) = &mut pages[((position(*hash) - range.start) / share) as usize];
            page.write::<S>(*scale, *hash, entry);
        }
        return (pages, Vec::new());
    }
    entries.sort_by_key(|(hash, _)| position(*hash));
    let whole: usize = entries.iter().map(|(_, entry)| entry.needed_bytes::<S>()).sum();
    let (mut pages, mut chained) = (Vec::new(), Vec::new());
    let (mut start, mut page_entries, mut bytes) = (range.start, Vec::new(), 0);
    for same in entries.chunk_by(|(one, _), (other, _)| position(*one) == position(*other)) {
        let same_bytes: usize = same.iter().map(|(_, entry)| entry.bytes::<S>()).sum();
        let is_full = needed(page_entries.len() + same.len(), bytes + same_bytes) > PAGE_BYTES
            || bytes + page_entries.len() * SLOT_BYTES >= whole / parts;
        if is_full && !page_entries.is_empty() {
            let next = position(same[0].0);
            pages.push(lay_out::<S>(&page_entries, start..next, bytes));
            (start, bytes) = (next, 0);
            page_entries.clear();
        }
        for (hash, entry) in same {
            if needed(page_entries.len() + 1, bytes + entry.bytes::<S>()) <= PAGE_BYTES {
                bytes += entry.bytes::<S>();
                page_entries.push((*hash, entry));
            } else {
                chained.push(far_of::<S>(entry));
            }
        }
    }
    pages.push(lay_out::<S>(&page_entries, start..range.end, bytes));
    (pages, chained)
}

fn lay_out<S: Shape>(entries: &[(u64, &Stored<'_>)], range: Range<u64>, bytes: usize) -> (Scale, Page) {
    let (scale, mut page) = (Scale::of(&range), Page::of_size(PAGE_BYTES, entries.len(), bytes));
    entries.iter().for_each(|(hash, entry)| page.write::<S>(scale, *hash, entry));
    (scale, page)
}

/// An entry in an allocation of its own.
fn far_of<S: Shape>(entry: &Stored<'_>) -> Far {
    match entry {
        Stored::Far(far) => Arc::clone(far),
        Stored::New(entry) => entry.to_far(),
        Stored::Near(bytes) => Page { bytes: (*bytes).into(), ..Page::default() }.entry_at::<S>(0).to_far(),
    }
}

#[cfg(test)]
impl Page {
    /// True if slots lie in the order of their keys, which are those of their entries.
    pub(super) fn is_in_order<S: Shape>(&self, scale: Scale) -> bool {
        let key = |entry: Entry<'_>| scale.key(position(S::hash(entry.member)));
        (0..self.count()).is_sorted_by_key(|index| self.key(index))
            && self.entries::<S>().enumerate().all(|(index, entry)| self.key(index) == key(entry))
    }

    /// True if both are one allocation.
    pub(super) fn shares_with(&self, other: &Page) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
    }
}
