//! A page: entries of some range of hashes in one allocation, which copies share.
//!
//! ```text
//! tags: low byte of the hash, one an entry | slots: 12 bits offset, 4 more bits of the hash | entries, in no order
//! entry: length of the member | member | length of the value | [deadline] | value   (the latter if the shape has values)
//!    or: MARK_FAR | index of an allocation of its own                               (over a quarter of a page)
//! ```
//!
//! A length below 128 takes a byte, others two; where a deadline of eight bytes follows, a bit of the first of two says so. All tags are compared, eight at a time, so entries need no order and no
//! empty slots between them; twelve bits of a hash let one of twenty absent members be compared with an entry. What is
//! removed leaves a hole until the page is laid out anew.

use std::ops::Range;
use std::sync::Arc;

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
/// Bytes of a tag and a slot.
const SLOT_BYTES: usize = 3;
/// Tags are compared this many at a time.
const GROUP: usize = 8;
const OFFSET_BITS: u32 = 12;

/// What a page with these entries takes.
fn needed(count: usize, bytes: usize) -> usize {
    count.next_multiple_of(GROUP) * SLOT_BYTES + bytes
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

/// True if what takes this many bytes has enough room in so many pages to stay there for a while.
pub(super) fn is_roomy_together(bytes: usize, pages: usize) -> bool {
    bytes <= pages * (PAGE_BYTES - PAGE_BYTES / 8)
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
    /// In the parts that it is made of.
    Parts([&'a [u8]; 5]),
    /// As it lies in another page.
    Near(&'a [u8]),
    Far(Far),
}

impl Stored<'_> {
    fn bytes(&self) -> usize {
        match self {
            Stored::Parts(parts) => parts.iter().map(|part| part.len()).sum(),
            Stored::Near(bytes) => bytes.len(),
            Stored::Far(_) => FAR_BYTES,
        }
    }

    /// Bytes of it in a page.
    pub(super) fn needed_bytes(&self) -> usize {
        self.bytes() + SLOT_BYTES
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

/// Makes an entry and hands it to `take`.
#[inline]
pub(super) fn encode<S: Shape, R>(entry: Entry<'_>, take: impl FnOnce(&Stored<'_>) -> R) -> R {
    let Entry { member, value, deadline_ms } = entry;
    if member.len() + value.len() + 4 + DEADLINE_BYTES > NEAR_BYTES_MAX {
        return take(&Stored::Far(entry.to_far()));
    }
    let (member_head, member_bytes) = head(member.len());
    let (value_head, value_bytes) = match deadline_ms {
        None => head(value.len()),
        Some(_) => ([0x80 | TIMED | (value.len() >> 8) as u8, value.len() as u8], 2),
    };
    let deadline = deadline_ms.map(UnixMs::to_le_bytes);
    let deadline = deadline.as_ref().map_or(&[][..], |bytes| bytes);
    let value_head = if S::VALUES { &value_head[..value_bytes] } else { &[] };
    take(&Stored::Parts([&member_head[..member_bytes], member, value_head, deadline, value]))
}

/// See the file's head.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    bytes: Arc<[u8]>,
    rare: Option<Arc<Rare>>,
    count: u16,
    /// Entries for which there are tags and slots; a multiple of the group.
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
        let more = spare / (bytes.div_ceil(count.max(1)) + SLOT_BYTES);
        let slots = ((count + more) / GROUP * GROUP).max(count.next_multiple_of(GROUP));
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
    fn slot(&self, index: usize) -> u16 {
        let at = self.slots() + 2 * index;
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    #[inline(always)]
    fn offset(&self, index: usize) -> usize {
        usize::from(self.slot(index) & ((1 << OFFSET_BITS) - 1))
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
        let Entry { member, value, deadline_ms } = self.entry_at::<S>(offset);
        let value_head = match deadline_ms {
            Some(_) => 2 + DEADLINE_BYTES,
            None if S::VALUES => head(value.len()).1,
            None => 0,
        };
        head(member.len()).1 + member.len() + value_head + value.len()
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
    pub(super) fn find<S: Shape>(&self, hash: u64, member: &[u8]) -> Option<usize> {
        self.find_where::<S>(hash, |entry| entry.member == member)
    }

    /// The index of the entry that is the wanted one, of those that may have a hash with such low bits.
    #[inline]
    pub(super) fn find_where<'p, S: Shape>(
        &'p self,
        hash: u64,
        mut is_wanted: impl FnMut(Entry<'p>) -> bool,
    ) -> Option<usize> {
        self.find_candidate(hash, |index| is_wanted(self.entry::<S>(index)))
    }

    /// The index that is the wanted one, of those whose entries may have a hash with such low bits.
    #[inline]
    fn find_candidate(&self, hash: u64, mut is_wanted: impl FnMut(usize) -> bool) -> Option<usize> {
        const LOW: u64 = u64::MAX / 0xff;
        let wanted = LOW * (hash & 0xff);
        let count = self.count();
        let groups = self.bytes[..self.slots()].chunks_exact(GROUP).take(count.div_ceil(GROUP));
        for (group, tags) in groups.enumerate() {
            let word = u64::from_le_bytes(tags.try_into().expect("a group is a word")) ^ wanted;
            // The high bit of each byte that is 0, and perhaps of some above it.
            let mut hits = word.wrapping_sub(LOW) & !word & (LOW << 7);
            while hits != 0 {
                let index = group * GROUP + hits.trailing_zeros() as usize / 8;
                hits &= hits - 1;
                if index < count
                    && u64::from(self.slot(index) >> OFFSET_BITS) == hash >> 8 & 0xf
                    && is_wanted(index)
                {
                    return Some(index);
                }
            }
        }
        None
    }

    /// Sends for what a search reads before it reads an entry: tags and slots.
    #[inline]
    pub(super) fn prefetch(&self) {
        const LINE: usize = 64;
        for line in self.bytes[..self.slots() * SLOT_BYTES].chunks(LINE) {
            prefetch(line.as_ptr());
        }
    }

    /// Sends for the first entry that may have a hash with such low bits.
    #[inline]
    pub(super) fn prefetch_first(&self, hash: u64) {
        if let Some(index) = self.find_candidate(hash, |_| true) {
            prefetch(self.bytes[self.offset(index)..].as_ptr());
        }
    }

    /// The index of the only entry that may have a hash with such low bits, which is sent for.
    #[inline]
    pub(super) fn prefetch_only(&self, hash: u64) -> Option<usize> {
        let mut only = None;
        let more = self.find_candidate(hash, |index| only.replace(index).is_some());
        let index = only.filter(|_| more.is_none())?;
        prefetch(self.bytes[self.offset(index)..].as_ptr());
        Some(index)
    }

    /// The bytes, to change: a copy of them if they are shared.
    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        Arc::make_mut(&mut self.bytes)
    }

    /// Adds an entry; false if the page is full. One that is alone is as small as it may be.
    pub(super) fn add<S: Shape>(&mut self, hash: u64, entry: &Stored<'_>, is_alone: bool) -> bool {
        let fits = usize::from(self.end) + entry.bytes() <= self.bytes.len();
        if self.count < self.slots && fits {
            self.write::<S>(hash, entry);
            return true;
        }
        let (count, bytes) = (self.count() + 1, self.live_bytes() + entry.bytes());
        let needed = needed(count, bytes);
        if needed > PAGE_BYTES - PAGE_BYTES / SPARE_PART {
            return false;
        }
        let size = if is_alone { roomy(needed) } else { PAGE_BYTES };
        let mut page = Page::of_size(size, count, bytes);
        self.stored::<S>().for_each(|(hash, entry)| page.write::<S>(hash, &entry));
        page.write::<S>(hash, entry);
        *self = page;
        true
    }

    /// Makes a page that is alone as small as it may be.
    pub(super) fn shrink<S: Shape>(&mut self) {
        let size = roomy(self.needed_bytes());
        if size < self.bytes.len() {
            let mut page = Page::of_size(size, self.count(), self.live_bytes());
            self.stored::<S>().for_each(|(hash, entry)| page.write::<S>(hash, &entry));
            *self = page;
        }
    }

    /// Writes an entry where there is room.
    fn write<S: Shape>(&mut self, hash: u64, entry: &Stored<'_>) {
        let (index, slots, offset) = (self.count(), self.slots(), usize::from(self.end));
        let mut end = offset;
        let marked;
        let parts = match entry {
            Stored::Parts(parts) => *parts,
            Stored::Near(bytes) => [*bytes, &[], &[], &[], &[]],
            Stored::Far(far) => {
                let allocations = &mut self.rare_mut().far;
                let [low, high] = (allocations.len() as u16).to_le_bytes();
                allocations.push(Arc::clone(far));
                marked = [MARK_FAR, low, high];
                [&marked[..], &[], &[], &[], &[]]
            }
        };
        let bytes = self.bytes_mut();
        bytes[index] = hash as u8;
        let slot = offset as u16 | ((hash >> 8 & 0xf) as u16) << OFFSET_BITS;
        bytes[slots + 2 * index..slots + 2 * index + 2].copy_from_slice(&slot.to_le_bytes());
        for part in parts {
            bytes[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        self.end = end as u16;
        self.count += 1;
        if S::VALUES
            && let Some(at_ms) = self.entry_at::<S>(offset).deadline_ms
        {
            let due_ms = &mut self.rare_mut().due_ms;
            *due_ms = at_ms.min(*due_ms);
        }
    }

    /// Removes the entry of an index; the last one takes it.
    pub(super) fn remove<S: Shape>(&mut self, index: usize) {
        let offset = self.offset(index);
        let (size, last, slots) = (self.size_at::<S>(offset), self.count() - 1, self.slots());
        if self.bytes[offset] == MARK_FAR {
            let at = self.far_index(offset);
            self.rare_mut().far[at] = Far::default();
        }
        let bytes = self.bytes_mut();
        bytes[index] = bytes[last];
        bytes.copy_within(slots + 2 * last..slots + 2 * last + 2, slots + 2 * index);
        self.count -= 1;
        if offset + size == usize::from(self.end) {
            self.end -= size as u16;
        } else {
            self.dead += size as u16;
        }
    }
}

/// Lays entries out in pages, at least one, each with its first position: in equal shares of the range where that fits,
/// else by their bytes. What has no room because its position is that of a whole page is given back.
pub(super) fn spread<S: Shape>(
    mut entries: Vec<(u64, Stored<'_>)>,
    range: Range<u64>,
    parts: usize,
) -> (Vec<(u64, Page)>, Vec<Far>) {
    let share = (range.end - range.start).div_ceil(parts as u64);
    let start_of = |part: usize| range.start + share * part as u64;
    let mut sizes = vec![(0, 0); parts];
    for (hash, entry) in &entries {
        let (count, bytes) = &mut sizes[((position(*hash) - range.start) / share) as usize];
        (*count, *bytes) = (*count + 1, *bytes + entry.bytes());
    }
    let fits =
        |(count, bytes): &(usize, usize)| needed(*count, *bytes) <= PAGE_BYTES - PAGE_BYTES / SPARE_PART;
    if sizes.iter().all(fits) && start_of(parts - 1) < range.end {
        let page = |(part, (count, bytes)): (usize, &(usize, usize))| {
            (start_of(part), Page::of_size(PAGE_BYTES, *count, *bytes))
        };
        let mut pages: Vec<(u64, Page)> = sizes.iter().enumerate().map(page).collect();
        for (hash, entry) in &entries {
            pages[((position(*hash) - range.start) / share) as usize].1.write::<S>(*hash, entry);
        }
        return (pages, Vec::new());
    }
    entries.sort_by_key(|(hash, _)| position(*hash));
    let whole: usize = entries.iter().map(|(_, entry)| entry.needed_bytes()).sum();
    let (mut pages, mut chained) = (Vec::new(), Vec::new());
    let (mut start, mut page_entries, mut bytes) = (range.start, Vec::new(), 0);
    for same in entries.chunk_by(|(one, _), (other, _)| position(*one) == position(*other)) {
        let same_bytes: usize = same.iter().map(|(_, entry)| entry.bytes()).sum();
        let is_full = needed(page_entries.len() + same.len(), bytes + same_bytes) > PAGE_BYTES
            || bytes + page_entries.len() * SLOT_BYTES >= whole / parts;
        if is_full && !page_entries.is_empty() {
            pages.push((start, lay_out::<S>(&page_entries, bytes)));
            (start, bytes) = (position(same[0].0), 0);
            page_entries.clear();
        }
        for (hash, entry) in same {
            if needed(page_entries.len() + 1, bytes + entry.bytes()) <= PAGE_BYTES {
                bytes += entry.bytes();
                page_entries.push((*hash, entry));
            } else {
                chained.push(far_of::<S>(entry));
            }
        }
    }
    pages.push((start, lay_out::<S>(&page_entries, bytes)));
    (pages, chained)
}

fn lay_out<S: Shape>(entries: &[(u64, &Stored<'_>)], bytes: usize) -> Page {
    let mut page = Page::of_size(PAGE_BYTES, entries.len(), bytes);
    entries.iter().for_each(|(hash, entry)| page.write::<S>(*hash, entry));
    page
}

/// An entry in an allocation of its own.
fn far_of<S: Shape>(entry: &Stored<'_>) -> Far {
    let near = match entry {
        Stored::Far(far) => return Arc::clone(far),
        Stored::Near(bytes) => bytes.to_vec(),
        Stored::Parts(parts) => parts.concat(),
    };
    let page = Page { bytes: near.into(), ..Page::default() };
    page.entry_at::<S>(0).to_far()
}

#[cfg(test)]
impl Page {
    /// True if both are one allocation.
    pub(super) fn shares_with(&self, other: &Page) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
    }
}
