//! The hash table of one database in one shard: extendible hashing over cache-line buckets.
//!
//! A *directory* maps the upper bits of a hash to *segments* of a few hundred slots. A full segment
//! splits in two, on its own, so growing never moves more than one segment's entries (some
//! microseconds) and there is no rehash pause. Which half a slot goes to is read from the hash bits kept in
//! the slot: a split touches no entry.
//!
//! Shards differ in segment size (see [`Table::new`]), so that their splits do not fall together and
//! memory per key stays even over all key counts.
//!
//! A directory, once published, is never freed before the table: [`prefetch`](TableHint) reads it without
//! the shard's lock. Segments that merging frees and whole tables go to their owner, who must let all
//! such readers pass before freeing them.
//!
//! Source: Fagin et al., "Extendible Hashing" (1979); bucket layout after Lu et al., "Dash" (VLDB 2020).
//!
//! Segments and directories are raw pointers, and so unsafe, because they outlive the lock for such readers.

mod census;
mod reading;
mod segment;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::entry::{Entry, EntryRef, Mark, NewValue, Unfit};
use crate::types::Type;
use crate::types::collection::Row;
use crate::{Key, UnixMs};
use census::Census;
use reading::Reading;
use segment::{Place, Sample, Segment};

pub use census::{Figures, Lengths};
pub use segment::PrefetchedBucket;

/// Hash bits in a slot's tag, and so the deepest a directory can grow.
pub(crate) const TAG_BITS: u32 = 16;

/// Cache lines of a segment, its header included; the sizes divide a doubling evenly, and each fits a
/// size class of the usual allocators.
const SEGMENT_LINES: [usize; 4] = [40, 48, 56, 64];

/// Bits of a scan position: 16 of hash prefix, 5 of depth, 6 of bucket.
pub const SCAN_POSITION_BITS: u32 = TAG_BITS + 5 + 6;

/// How far a scan has come: all smaller prefixes, and of the hash range that `prefix` begins at `depth`
/// all smaller buckets.
struct Position {
    prefix: u32,
    depth: u32,
    bucket: usize,
}

impl Position {
    fn unpack(packed: u64) -> Position {
        Position {
            prefix: (packed >> 11) as u32 & ((1 << TAG_BITS) - 1),
            depth: ((packed >> 6) as u32 & 31).min(TAG_BITS),
            bucket: (packed & 63) as usize,
        }
    }

    fn pack(&self) -> u64 {
        u64::from(self.prefix) << 11 | u64::from(self.depth) << 6 | self.bucket as u64
    }
}

/// A directory: `1 << depth` pointers to segments. A plain pair of pointer and depth, so that a table holds it without
/// one more line of memory between itself and the segments.
#[derive(Clone, Copy)]
struct Directory {
    segments: *mut AtomicPtr<Segment>,
    depth: u32,
}

/// Directories are aligned so that a depth fits below their address.
const DIRECTORY_ALIGN: usize = 32;
const DEPTH_MASK: usize = DIRECTORY_ALIGN - 1;
const _: () = assert!(TAG_BITS as usize <= DEPTH_MASK);

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("depth", &self.depth).finish_non_exhaustive()
    }
}

impl Directory {
    /// That of a table without segments.
    const NONE: Directory = Directory { segments: std::ptr::null_mut(), depth: 0 };

    fn is_none(self) -> bool {
        self.segments.is_null()
    }

    fn bytes(self) -> usize {
        if self.is_none() { 0 } else { Self::layout(self.depth).size() }
    }

    fn layout(depth: u32) -> Layout {
        Layout::array::<AtomicPtr<Segment>>(1 << depth)
            .and_then(|layout| layout.align_to(DIRECTORY_ALIGN))
            .expect("a depth is at most 16")
    }

    /// A directory whose pointers are given by their index.
    fn allocate(depth: u32, segment: impl Fn(usize) -> *mut Segment) -> Directory {
        let layout = Self::layout(depth);
        // SAFETY: the layout is not empty and has room for `1 << depth` pointers.
        unsafe {
            let segments = alloc(layout).cast::<AtomicPtr<Segment>>();
            if segments.is_null() {
                handle_alloc_error(layout);
            }
            for index in 0..1 << depth {
                segments.add(index).write(AtomicPtr::new(segment(index)));
            }
            Directory { segments, depth }
        }
    }

    /// # Safety
    /// The directory comes from [`Directory::allocate`] and is used by nobody else.
    unsafe fn free(self) {
        // SAFETY: by the contract.
        unsafe { dealloc(self.segments.cast(), Self::layout(self.depth)) };
    }

    /// # Safety
    /// The directory is not none, and is alive for `'a`.
    #[inline]
    unsafe fn segments<'a>(self) -> &'a [AtomicPtr<Segment>] {
        // SAFETY: by the contract.
        unsafe { std::slice::from_raw_parts(self.segments, 1 << self.depth) }
    }

    #[inline]
    fn index(self, hash: u64) -> usize {
        // Two shifts, since a shift by 64 (depth 0) is not defined.
        ((hash >> 1) >> (63 - self.depth)) as usize
    }

    /// # Safety
    /// The directory is not none and alive.
    #[inline]
    unsafe fn segment(self, hash: u64) -> *mut Segment {
        // SAFETY: `index` is below `1 << depth`. Relaxed is enough under the lock, and a prefetch may read either
        // value.
        unsafe { (*self.segments.add(self.index(hash))).load(Ordering::Relaxed) }
    }
}

/// Where unlocked prefetching finds a table's directory: its address, with its depth in the bits that are always 0.
#[derive(Debug, Default)]
pub struct TableHint(AtomicPtr<u8>);

impl TableHint {
    fn store(&self, directory: Directory) {
        let tagged = directory.segments.cast::<u8>().map_addr(|address| address | directory.depth as usize);
        self.0.store(tagged, Ordering::Release);
    }

    /// First step of a prefetch: brings the bucket of `hash`, in a table of this [`variant`](Table::new), into the cache.
    ///
    /// # Safety
    /// The caller is between two quiescent points of its thread (see the module's head).
    #[inline]
    pub unsafe fn prefetch_bucket(&self, variant: usize, hash: u64) -> PrefetchedBucket {
        let tagged = self.0.load(Ordering::Acquire);
        let directory = Directory {
            segments: tagged.map_addr(|address| address & !DEPTH_MASK).cast(),
            depth: (tagged.addr() & DEPTH_MASK) as u32,
        };
        if directory.is_none() {
            return PrefetchedBucket::NONE;
        }
        // SAFETY: directories outlive every reader; so does the segment until the next quiescent point.
        unsafe { Segment::prefetch_bucket(directory.segment(hash), buckets_of(variant), hash) }
    }
}

/// The hint at which a table publishes its directory.
#[derive(Debug)]
pub struct PublishedAt {
    hints: Arc<[TableHint]>,
    index: usize,
}

impl PublishedAt {
    /// The hint with this index.
    pub fn new(hints: &Arc<[TableHint]>, index: usize) -> PublishedAt {
        assert!(index < hints.len(), "there is a hint for each table");
        PublishedAt { hints: Arc::clone(hints), index }
    }

    fn store(&self, directory: Directory) {
        self.hints[self.index].store(directory);
    }
}

/// Buckets of a segment of tables of this [`variant`](Table::new).
#[inline]
fn buckets_of(variant: usize) -> usize {
    SEGMENT_LINES[variant % SEGMENT_LINES.len()] - 1
}

/// A slot that holds an entry, found by [`Table::find_place`].
#[derive(Clone, Copy, Debug)]
pub struct Found {
    segment: *mut Segment,
    place: Place,
}

/// Memory that unlocked readers may still look at; drop it after they have passed.
#[derive(Debug)]
pub struct RetiredSegment(*mut Segment);

// SAFETY: a retired segment is empty and owned by whoever holds it.
unsafe impl Send for RetiredSegment {}

impl Drop for RetiredSegment {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, by construction in `Table::merge`.
        unsafe { Segment::free(self.0) };
    }
}

/// The table of one database in one shard.
///
/// What a lookup needs comes first, so that it shares a line of memory with the shard's lock.
#[derive(Debug)]
#[repr(C)]
pub struct Table {
    directory: Directory,
    buckets: usize,
    len: usize,
    /// No key expires before this time; `u64::MAX` when none expires.
    next_expiry_ms: UnixMs,
    census: Census,
    /// Smaller directories that unlocked readers may still hold.
    outgrown: Vec<Directory>,
    retired: Vec<RetiredSegment>,
    hint: Option<PublishedAt>,
    /// A cut that is read.
    reading: Option<Reading>,
}

// SAFETY: the table owns its directories, segments and entries; access is under the shard's lock.
unsafe impl Send for Table {}

impl Table {
    /// An empty table; it allocates nothing before its first key. `variant` staggers segment sizes.
    pub fn new(variant: usize) -> Self {
        Table::with_buckets(buckets_of(variant))
    }

    fn with_buckets(buckets: usize) -> Self {
        Table {
            directory: Directory::NONE,
            buckets,
            len: 0,
            next_expiry_ms: UnixMs::MAX,
            census: Census::default(),
            outgrown: Vec::new(),
            retired: Vec::new(),
            hint: None,
            reading: None,
        }
    }

    /// An empty table of the same segment size.
    pub fn emptied(&self) -> Self {
        Table::with_buckets(self.buckets)
    }

    /// Publishes the directory, now and whenever it changes, for unlocked prefetching.
    pub fn attach(&mut self, hint: PublishedAt) {
        hint.store(self.directory);
        self.hint = Some(hint);
    }

    /// Stops publishing; the hint shows nothing until another table is attached.
    pub fn detach(&mut self) -> Option<PublishedAt> {
        let hint = self.hint.take()?;
        hint.store(Directory::NONE);
        Some(hint)
    }

    /// Keys, those that have expired but are not yet removed included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keys that have an expiry.
    pub fn expiring(&self) -> usize {
        self.census.expiring
    }

    /// Adds what is known of the keys to that of other tables.
    pub fn add_to(&self, figures: &mut Figures) {
        figures.keys += self.len;
        self.census.add_to(figures);
    }

    /// A time before which no key expires.
    pub fn next_expiry_ms(&self) -> UnixMs {
        self.next_expiry_ms
    }

    /// Segments that merging freed since the last call.
    pub fn take_retired(&mut self) -> Vec<RetiredSegment> {
        std::mem::take(&mut self.retired)
    }

    #[inline]
    fn segment(&self, hash: u64) -> Option<*mut Segment> {
        if self.directory.is_none() {
            return None;
        }
        // SAFETY: a directory that is not none is ours and alive.
        Some(unsafe { self.directory.segment(hash) })
    }

    /// The entry of a key.
    #[inline]
    pub fn find(&self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        self.find_place(key).map(|found| self.entry_at(found))
    }

    /// Sends for what looking a key up reads first.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            // SAFETY: segments in the directory are alive.
            unsafe { Segment::prefetch_bucket(segment, self.buckets, hash) };
        }
    }

    /// The place of a key, for the calls below; true until the next insertion or removal.
    #[inline]
    pub fn find_place(&self, key: &Key<'_>) -> Option<Found> {
        let segment = self.segment(key.hash)?;
        // SAFETY: segments in the directory are alive; the slots hold live entries.
        let place = unsafe { (*segment).find(self.buckets, key) }?;
        Some(Found { segment, place })
    }

    /// The entry at a place.
    #[inline]
    pub fn entry_at(&self, found: Found) -> EntryRef<'_> {
        // SAFETY: `found` was given out by this table and nothing moved since.
        unsafe { found.place.entry() }
    }

    /// Lets `change` replace or alter the entry at a place. The key must stay the same.
    #[inline]
    pub fn update<R>(&mut self, found: Found, change: impl FnOnce(Entry) -> (Entry, R)) -> R {
        // SAFETY: as in `entry_at`; an entry is taken out and one put back.
        unsafe {
            let before = found.place.entry().mark();
            let (entry, result) = change(found.place.take());
            let after = entry.as_ref().mark();
            found.place.put(entry);
            self.recount(found, before, after);
            result
        }
    }

    /// Alters a value in place; the entry stays where it is and keeps having an expiry or none.
    #[inline]
    pub fn with_entry<R>(&mut self, found: Found, change: impl FnOnce(&mut Entry) -> R) -> R {
        // SAFETY: as in `update`. The entry is only borrowed: it is forgotten again, not dropped.
        let mut entry = std::mem::ManuallyDrop::new(unsafe { found.place.take() });
        let before = entry.as_ref().mark();
        let result = change(&mut entry);
        self.recount(found, before, entry.as_ref().mark());
        result
    }

    /// Overwrites a string in place if its entry can hold the new one.
    #[inline(always)]
    pub fn overwrite(&mut self, found: Found, new: &NewValue<'_>, expire_at_ms: Option<UnixMs>) -> bool {
        self.overwrite_by(found, |entry| entry.overwrite(new, expire_at_ms))
    }

    /// Overwrites an integer in place, if it is one and the entry can hold the new one.
    #[inline(always)]
    pub fn overwrite_integer(&mut self, found: Found, old: i64, new: i64) -> bool {
        self.overwrite_by(found, |entry| entry.overwrite_integer(old, new))
    }

    #[inline(always)]
    fn overwrite_by(
        &mut self,
        found: Found,
        overwrite: impl FnOnce(&mut Entry) -> Result<Option<Mark>, Unfit>,
    ) -> bool {
        // SAFETY: as in `with_entry`.
        let mut entry = std::mem::ManuallyDrop::new(unsafe { found.place.take() });
        match overwrite(&mut entry) {
            Ok(None) => true,
            Ok(Some(before)) => {
                self.count_anew(found, before, entry.as_ref().mark());
                true
            }
            Err(Unfit) => false,
        }
    }

    /// Keeps the figures true after an entry has changed.
    fn recount(&mut self, found: Found, before: Mark, after: Mark) {
        if !before.counts_as(after) {
            self.count_anew(found, before, after);
        }
    }

    #[cold]
    fn count_anew(&mut self, found: Found, before: Mark, after: Mark) {
        self.census.remove(before);
        self.census.add(after);
        self.lower_next_expiry(found.segment, after);
    }

    /// Keeps the figures true after a collection has got another length.
    #[cold]
    pub(crate) fn resized(&mut self, data_type: Type, before: usize, after: usize) {
        self.census.resize(data_type, before, after);
    }

    /// Keeps figures and bounds true after parts of the value at a place have got other deadlines, or may be due still.
    #[cold]
    pub(crate) fn rescheduled(&mut self, found: Found, had_deadlines: bool) {
        // SAFETY: as in `update`: the slot is written anew with the same entry.
        let mark = unsafe {
            let entry = found.place.take();
            let mark = entry.as_ref().mark();
            found.place.put(entry);
            mark
        };
        self.census.reschedule(had_deadlines, mark.part_due_ms.is_some());
        self.lower_next_expiry(found.segment, mark);
    }

    /// The collection at a place, to change; `None` when it is of another type.
    #[inline]
    pub(crate) fn collection_mut<C: Row>(&mut self, found: Found) -> Option<&mut C> {
        // SAFETY: as in `entry_at`; `&mut self` makes this the only borrow of the entry.
        unsafe { found.place.entry().collection_mut() }
    }

    /// Keeps the lower bounds of expiry true.
    fn lower_next_expiry(&mut self, segment: *mut Segment, mark: Mark) {
        if let Some(at_ms) = mark.due_ms() {
            self.next_expiry_ms = self.next_expiry_ms.min(at_ms);
            // SAFETY: the segment is alive.
            unsafe { (*segment).lower_next_expiry(at_ms) };
        }
    }

    /// Adds an entry whose key is not in the table.
    pub fn insert(&mut self, hash: u64, entry: Entry) {
        debug_assert!(self.find(&Key { db: 0, bytes: entry.as_ref().key(), hash }).is_none());
        if self.directory.is_none() {
            let first = Segment::allocate(self.buckets, 0);
            self.publish(Directory::allocate(0, |_| first));
        }
        let mark = entry.as_ref().mark();
        self.census.add(mark);
        self.len += 1;
        let mut raw = segment::tagged(hash, entry);
        loop {
            // SAFETY: the directory was just made sure of; its segments are alive.
            unsafe {
                let segment = self.directory.segment(hash);
                match (*segment).insert(self.buckets, hash, raw) {
                    Ok(()) => return self.lower_next_expiry(segment, mark),
                    Err(refused) => raw = refused,
                }
                if !self.split(segment, hash) {
                    (*segment).stash(self.buckets, hash, raw);
                    return self.lower_next_expiry(segment, mark);
                }
            }
        }
    }

    /// Removes the entry at a place.
    pub fn remove(&mut self, hash: u64, found: Found) -> Entry {
        // SAFETY: as in `entry_at`.
        let entry = unsafe { (*found.segment).remove(self.buckets, found.place) };
        self.len -= 1;
        self.census.remove(entry.as_ref().mark());
        // SAFETY: the segment is alive.
        if unsafe { (*found.segment).is_sparse(self.buckets) } {
            self.merge(found.segment, hash);
        }
        entry
    }

    fn publish(&mut self, directory: Directory) {
        if !self.directory.is_none() {
            self.outgrown.push(self.directory);
        }
        self.directory = directory;
        if let Some(hint) = &self.hint {
            hint.store(directory);
        }
    }

    /// Splits a full segment; false when its entries cannot be told apart by their tags any more.
    fn split(&mut self, segment: *mut Segment, hash: u64) -> bool {
        // SAFETY: segment and directory are alive and, under the lock, ours alone to change.
        unsafe {
            let depth = (*segment).depth();
            // A segment that is full with few entries holds colliding keys; splitting would not help.
            if depth == TAG_BITS || !(*segment).is_worth_splitting(self.buckets) {
                return false;
            }
            if depth == self.directory.depth {
                let old = self.directory.segments();
                let segment = |index: usize| old[index / 2].load(Ordering::Relaxed);
                self.publish(Directory::allocate(depth + 1, segment));
            }
            let sibling = Segment::allocate(self.buckets, depth + 1);
            (*segment).split_into(self.buckets, &mut *sibling);
            let directory = self.directory;
            let span = 1usize << (directory.depth - depth);
            let first = directory.index(hash) & !(span - 1);
            for slot in &directory.segments()[first + span / 2..first + span] {
                slot.store(sibling, Ordering::Relaxed);
            }
        }
        true
    }

    /// Merges a sparse segment with its buddy, if that is sparse too.
    fn merge(&mut self, segment: *mut Segment, hash: u64) {
        // SAFETY: as in `split`.
        unsafe {
            let depth = (*segment).depth();
            if depth == 0 {
                return;
            }
            let directory = self.directory;
            let span = 1usize << (directory.depth - depth);
            let first = directory.index(hash) & !(span - 1);
            let low_first = first & !(2 * span - 1);
            let segments = directory.segments();
            let low = segments[low_first].load(Ordering::Relaxed);
            let high = segments[low_first + span].load(Ordering::Relaxed);
            if (*low).depth() != depth
                || (*high).depth() != depth
                || !(*low).has_room_for(self.buckets, &*high)
            {
                return;
            }
            (*low).absorb(self.buckets, &mut *high);
            for slot in &segments[low_first + span..low_first + 2 * span] {
                slot.store(low, Ordering::Relaxed);
            }
            self.retired.push(RetiredSegment(high));
        }
    }

    /// The segment that holds `prefix`, where its range begins, and the prefix at which the next one does.
    fn segment_at(&self, prefix: u32) -> Option<(u32, *mut Segment, Option<u32>)> {
        if self.directory.is_none() {
            return None;
        }
        // SAFETY: directory and segments are alive.
        unsafe {
            let segment = self.directory.segment(u64::from(prefix) << (64 - TAG_BITS));
            let span = 1u32 << (TAG_BITS - (*segment).depth());
            let start = prefix & !(span - 1);
            Some((start, segment, (start + span < 1 << TAG_BITS).then_some(start + span)))
        }
    }

    /// Each segment once, in order of hash prefix, from the one that holds `prefix`.
    fn segments_from(&self, prefix: u32) -> impl Iterator<Item = (u32, *mut Segment)> + '_ {
        let mut next = Some(prefix);
        std::iter::from_fn(move || {
            let (start, segment, following) = self.segment_at(next?)?;
            next = following;
            Some((start, segment))
        })
    }

    /// Every entry.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> + '_ {
        // SAFETY: segments and entries are alive as long as the borrow of the table.
        self.segments_from(0).flat_map(move |(_, segment)| unsafe { (*segment).entries(self.buckets) })
    }

    /// Visits the entries of the bucket at `position` and returns the next position, or `None` at the
    /// end of the table.
    ///
    /// An entry that is in the table from the first to the last call of a full scan is visited at least
    /// once, however the table grows or shrinks meanwhile: positions are in order of hash prefix, and within
    /// a segment in order of the home bucket, which never changes. Split or merged segments repeat
    /// buckets but skip none.
    pub fn scan(&self, position: u64, mut visit: impl FnMut(EntryRef<'_>)) -> Option<u64> {
        let Position { prefix, depth, bucket } = Position::unpack(position);
        let (_, segment) = self.segments_from(prefix).next()?;
        if bucket < self.buckets {
            // SAFETY: the segment is alive.
            unsafe { (*segment).entries_at_home(self.buckets, bucket, &mut visit) };
        }
        // SAFETY: as above. After a split the segment is deeper, after a merge the position is: go by the
        // smaller range, since of the rest of a merged segment only these buckets have been seen.
        let depth = depth.max(unsafe { (*segment).depth() });
        if bucket + 1 < self.buckets {
            return Some(Position { prefix, depth, bucket: bucket + 1 }.pack());
        }
        let span = 1u32 << (TAG_BITS - depth);
        let prefix = (prefix & !(span - 1)) + span;
        (prefix < 1 << TAG_BITS).then(|| Position { prefix, depth: 0, bucket: 0 }.pack())
    }

    /// A random entry: uniform over slots, so uniform over keys.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<EntryRef<'_>> {
        if self.len == 0 {
            return None;
        }
        // A segment is drawn in proportion to its share of the hash space; a slot of it may be empty, then
        // draw again. At worst (one key left after mass deletion) fall back to the first entry.
        for _ in 0..4096 {
            let draw = random();
            let segment = self.segment(draw)?;
            // SAFETY: the segment is alive.
            if let Some(entry) = unsafe { (*segment).random_slot(self.buckets, random()) } {
                return Some(entry);
            }
        }
        self.iter().next()
    }

    /// Visits some entries, at most `wanted` or [`SAMPLE_MAX`], from a place that `random` says, and says how many: each entry
    /// is as likely to be met as any other. Where only those that expire are wanted it may meet none although there are
    /// some; a key of which only parts expire may be among them.
    pub(crate) fn sample(
        &self,
        random: u64,
        wanted: usize,
        only_expiring: bool,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> usize {
        let mut sample = Sample::new(wanted, only_expiring);
        let begin = (random >> (64 - TAG_BITS)) as u32;
        // Round the table: behind the last segment comes the first.
        let segments = self.segments_from(begin).chain(self.segments_from(0));
        for (_, segment) in segments.take(self.directory_len().min(SEGMENTS_SAMPLED)) {
            // SAFETY: the segment is alive.
            unsafe { (*segment).sample(self.buckets, random, &mut sample) };
            if sample.is_full() {
                break;
            }
        }
        // SAFETY: the entries are alive as long as the table is borrowed.
        sample.entries().for_each(|entry| visit(unsafe { EntryRef::from_raw(entry) }));
        sample.len()
    }

    /// An entry whose key has this hash, as far as its slot tells: nearly always.
    pub(crate) fn like(&self, hash: u64) -> Option<EntryRef<'_>> {
        let segment = self.segment(hash)?;
        // SAFETY: segments in the directory are alive; the slots hold live entries.
        unsafe { Some(EntryRef::from_raw((*segment).like(self.buckets, hash)?)) }
    }

    /// No fewer than there are segments.
    fn directory_len(&self) -> usize {
        if self.directory.is_none() { 0 } else { 1 << self.directory.depth }
    }

    /// Collects the keys that have expired by `now_ms`, or whose values may have parts that have, at most `limit`, beginning at `prefix`; returns
    /// the prefix to go on from, or `None` when the whole table has been looked at.
    pub fn expired_keys(
        &mut self,
        now_ms: UnixMs,
        prefix: u32,
        limit: usize,
        keys: &mut Vec<Box<[u8]>>,
    ) -> Option<u32> {
        let (mut looked_at, mut searched) = (0, 0);
        let mut next = (!self.directory.is_none()).then_some(prefix);
        while let Some(at) = next {
            if keys.len() >= limit || looked_at == SEGMENTS_PER_STEP || searched == SEARCHED_PER_STEP {
                return Some(at);
            }
            let Some((_, segment, following)) = self.segment_at(at) else { break };
            looked_at += 1;
            // SAFETY: the segment is alive.
            unsafe {
                searched += usize::from((*segment).next_expiry_ms() <= now_ms);
                (*segment).expired_keys(self.buckets, now_ms, keys);
            }
            next = following;
        }
        self.next_expiry_ms = self
            .segments_from(0)
            // SAFETY: the segment is alive.
            .map(|(_, segment)| unsafe { (*segment).next_expiry_ms() })
            .min()
            .unwrap_or(UnixMs::MAX);
        None
    }

    /// Moves at least `count` entries, from those of a hash prefix on, to memory that is allocated now: what they leave can
    /// be given back to the system. `None` behind the last one, else where to go on.
    pub fn move_entries(&mut self, prefix: u32, count: usize) -> Option<u32> {
        let (mut moved, mut next) = (0, Some(prefix));
        while moved < count {
            let (_, segment, following) = self.segment_at(next?)?;
            // SAFETY: segment and entries are alive, and the table is borrowed.
            moved += unsafe { (*segment).move_entries(self.buckets) };
            next = following;
        }
        next
    }

    /// Bytes of directories and segments, without the entries.
    pub fn overhead_bytes(&self) -> usize {
        let directories = std::iter::once(&self.directory).chain(&self.outgrown);
        directories.map(|directory| directory.bytes()).sum::<usize>()
            + self.segments_from(0).count() * (self.buckets + 1) * 64
    }

    /// Depth of the directory and number of segments (DEBUG HTSTATS).
    pub fn shape(&self) -> (u32, usize) {
        (self.directory.depth, self.segments_from(0).count())
    }
}

/// Segments whose bounds one step of the expiry cycle looks at, and those of them that it searches because a key
/// in them is due: some hundred entries each.
const SEGMENTS_PER_STEP: usize = 256;
const SEARCHED_PER_STEP: usize = 4;

/// Segments that a search for entries that expire looks at: most have a header that says no.
const SEGMENTS_SAMPLED: usize = 256;
/// Most entries of a sample.
pub(crate) const SAMPLE_MAX: usize = 64;

impl Drop for Table {
    fn drop(&mut self) {
        self.detach();
        let segments: Vec<*mut Segment> = self.segments_from(0).map(|(_, segment)| segment).collect();
        // SAFETY: the table owns its segments and directories; each segment is listed once.
        unsafe {
            for segment in segments {
                Segment::drop_entries(segment, self.buckets);
                Segment::free(segment);
            }
            for directory in self.outgrown.drain(..).chain([self.directory]) {
                if !directory.is_none() {
                    directory.free();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
