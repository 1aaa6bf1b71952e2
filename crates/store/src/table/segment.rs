//! A segment: a header line and some dozens of cache-line buckets of eight slots.
//!
//! ```text
//! slot: tag (16 bits of hash) | entry address (45 bits) | expires (1) | displacement (2)
//! ```
//!
//! An entry lives in its home bucket or, when that is full, in one of the next three; the slot says how
//! many buckets away from home it is. Invariant: an entry is displaced over full buckets only, so a lookup
//! ends at the first bucket with a free slot. Removal keeps that true by pulling displaced entries back.
//! Entries that find no room at all and cannot be split apart (16 equal hash bits) go to the stash.
//!
//! Slots are atomics because prefetching reads them without the lock; with the lock, Relaxed suffices.
//!
//! A segment is one allocation of a length known at run time, so its buckets are reached by unsafe code.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{SAMPLE_MAX, TAG_BITS};
use crate::entry::{Entry, EntryRef};
use crate::prefetch::prefetch;
use crate::{Key, UnixMs};

/// Slots of a bucket: one cache line.
pub(super) const SLOTS: usize = 8;
/// Buckets an entry may be away from home.
const DISPLACEMENT_MAX: usize = 3;
const DISPLACEMENT_MASK: u64 = 0b11;
/// Buckets away from home in which a free slot is still worth hopping for.
const SEARCH_MAX: usize = 38;
const EXPIRES_BIT: u64 = 0b100;
/// Entries that are sent for at a time where all are read.
const READ_AT_A_TIME: usize = 32;
const ADDRESS_MASK: u64 = 0x0000_ffff_ffff_fff8;
const TAG_SHIFT: u32 = 64 - TAG_BITS;

#[repr(C, align(64))]
struct Bucket([AtomicU64; SLOTS]);

/// The header; the buckets follow it in the same allocation.
#[repr(C, align(64))]
pub(super) struct Segment {
    next_expiry_ms: UnixMs,
    stash: Vec<Stashed>,
    buckets: u32,
    depth: u16,
    len: u16,
}

/// A key's home bucket, and the next one, on their way into the cache; what they lead to is prefetched by the second step.
#[derive(Clone, Copy, Debug)]
pub struct PrefetchedBucket {
    home: *const Bucket,
    /// Another bucket of the segment lies behind it.
    has_next: bool,
}

// SAFETY: what the pointer leads to is only reached under the contract of `prefetch_entry`.
unsafe impl Send for PrefetchedBucket {}

impl PrefetchedBucket {
    /// No bucket: the table is empty.
    pub const NONE: PrefetchedBucket = PrefetchedBucket { home: std::ptr::null(), has_next: false };

    /// Second step of a prefetch: the entries of the bucket that the key with this hash may have.
    ///
    /// # Safety
    /// The thread has passed no quiescent point since the first step.
    #[inline]
    pub unsafe fn prefetch_entry(self, hash: u64) {
        if self.home.is_null() {
            return;
        }
        // SAFETY: by the contract the segment, and so the bucket, is alive; only atomics are read.
        let bucket = unsafe { &(*self.home).0 };
        let candidates = matching(bucket, hash >> TAG_SHIFT);
        if candidates != 0 {
            return prefetch_candidates(bucket, candidates);
        }
        // It may have been displaced into the next bucket.
        if self.has_next {
            // SAFETY: as above; the next bucket is in the same segment.
            let bucket = unsafe { &(*self.home.add(1)).0 };
            prefetch_candidates(bucket, matching(bucket, hash >> TAG_SHIFT));
        }
    }
}

#[inline(always)]
fn prefetch_candidates(bucket: &[AtomicU64; SLOTS], mut candidates: u32) {
    while candidates != 0 {
        let entry = address(bucket[candidates.trailing_zeros() as usize].load(Ordering::Relaxed));
        candidates &= candidates - 1;
        prefetch(entry);
        // A small entry has at most 64 bytes; it reaches into the next line unless it begins one.
        if entry as usize & 63 > 8 {
            prefetch(entry.wrapping_add(56));
        }
    }
}

/// Where an entry is: the slot that holds it, in a bucket or in the stash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(NonNull<AtomicU64>);

impl Place {
    #[inline]
    unsafe fn slot<'a>(self) -> &'a AtomicU64 {
        // SAFETY: by the callers' contracts the slot is alive.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// The place holds a live entry, for as long as the result is used.
    #[inline]
    pub(super) unsafe fn entry<'a>(self) -> EntryRef<'a> {
        // SAFETY: by the contract.
        unsafe { EntryRef::from_raw(address(self.slot().load(Ordering::Relaxed))) }
    }

    /// # Safety
    /// As for [`Place::entry`]; the caller forgets the result, or gives one back with [`Place::put`].
    #[inline]
    pub(super) unsafe fn take(self) -> Entry {
        // SAFETY: by the contract.
        unsafe { Entry::from_raw(address(self.slot().load(Ordering::Relaxed))) }
    }

    /// Puts an entry with the same key into a place whose entry was taken.
    ///
    /// # Safety
    /// The slot is alive.
    pub(super) unsafe fn put(self, entry: Entry) {
        let expires = if entry.as_ref().due_ms().is_some() { EXPIRES_BIT } else { 0 };
        // SAFETY: by the contract.
        let slot = unsafe { self.slot() };
        let kept = slot.load(Ordering::Relaxed) & !(ADDRESS_MASK | EXPIRES_BIT);
        slot.store(kept | entry.into_raw() as u64 | expires, Ordering::Relaxed);
    }
}

/// Entries that are to be looked at, on their way into the cache.
pub(super) struct Sample {
    wanted: usize,
    only_expiring: bool,
    entries: [*mut u8; SAMPLE_MAX],
    len: usize,
}

impl Sample {
    /// An empty one of so many entries, or only of such that expire or parts of which do.
    pub(super) fn new(wanted: usize, only_expiring: bool) -> Sample {
        let entries = [std::ptr::null_mut(); SAMPLE_MAX];
        Sample { wanted: wanted.min(SAMPLE_MAX), only_expiring, entries, len: 0 }
    }

    /// A slot of this value is not empty, and of interest.
    fn is_wanted(&self, value: u64) -> bool {
        value != 0 && (!self.only_expiring || value & EXPIRES_BIT != 0)
    }

    fn add(&mut self, entry: *mut u8) {
        prefetch(entry);
        self.entries[self.len] = entry;
        self.len += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.wanted
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Addresses of the entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = *mut u8> + '_ {
        self.entries[..self.len].iter().copied()
    }
}

/// An entry that no bucket could take, and its home.
struct Stashed {
    slot: AtomicU64,
    home: u16,
}

impl Stashed {
    fn new(value: u64, home: u16) -> Stashed {
        Stashed { slot: AtomicU64::new(value & !DISPLACEMENT_MASK), home }
    }

    fn value(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }
}

/// The slot value of an entry, without displacement.
pub(super) fn tagged(hash: u64, entry: Entry) -> u64 {
    let expires = if entry.as_ref().due_ms().is_some() { EXPIRES_BIT } else { 0 };
    let address = entry.into_raw() as u64;
    debug_assert_eq!(address & !ADDRESS_MASK, 0, "user addresses have 47 bits and entries are 8-aligned");
    hash >> TAG_SHIFT << TAG_SHIFT | address | expires
}

#[inline]
fn address(slot: u64) -> *mut u8 {
    (slot & ADDRESS_MASK) as *mut u8
}

#[inline]
fn home(hash: u64, buckets: usize) -> usize {
    // Bits 16..32, scaled: the shard uses lower bits and the tag higher ones.
    (((hash >> 16) & 0xffff) as usize * buckets) >> 16
}

impl Segment {
    fn layout(buckets: usize) -> Layout {
        Layout::from_size_align((buckets + 1) * 64, 64).expect("a segment has a few KiB")
    }

    /// An empty segment.
    pub(super) fn allocate(buckets: usize, depth: u32) -> *mut Segment {
        let layout = Self::layout(buckets);
        // SAFETY: the layout is not empty; zeroed slots are empty slots; the header is written before use.
        unsafe {
            let segment = alloc_zeroed(layout).cast::<Segment>();
            if segment.is_null() {
                handle_alloc_error(layout);
            }
            segment.write(Segment {
                next_expiry_ms: UnixMs::MAX,
                stash: Vec::new(),
                buckets: buckets as u32,
                depth: depth as u16,
                len: 0,
            });
            segment
        }
    }

    /// # Safety
    /// `segment` comes from [`Segment::allocate`], is used by nobody else, and its entries have been
    /// dropped or moved away.
    pub(super) unsafe fn free(segment: *mut Segment) {
        // SAFETY: by the contract.
        unsafe {
            let layout = Self::layout((*segment).buckets as usize);
            std::ptr::drop_in_place(segment);
            dealloc(segment.cast(), layout);
        }
    }

    /// # Safety
    /// As for [`Segment::free`]; the entries must be owned by the segment. They are dropped.
    pub(super) unsafe fn drop_entries(segment: *mut Segment, buckets: usize) {
        // SAFETY: by the contract; each slot is emptied as its entry is dropped.
        unsafe {
            for (slot, _) in (*segment).drain(buckets) {
                drop(Entry::from_raw(address(slot)));
            }
        }
    }

    #[inline]
    fn bucket(&self, index: usize) -> &[AtomicU64; SLOTS] {
        // SAFETY: the buckets follow the header in the same allocation; callers pass `index < buckets`.
        unsafe { &(*(std::ptr::from_ref(self).add(1).cast::<Bucket>()).add(index)).0 }
    }

    #[inline]
    fn load(&self, bucket: usize, slot: usize) -> u64 {
        self.bucket(bucket)[slot].load(Ordering::Relaxed)
    }

    #[inline]
    fn store(&self, bucket: usize, slot: usize, value: u64) {
        self.bucket(bucket)[slot].store(value, Ordering::Relaxed);
    }

    /// # Safety
    /// `segment` is alive; only its address is used.
    #[inline]
    pub(super) unsafe fn prefetch_bucket(
        segment: *mut Segment,
        buckets: usize,
        hash: u64,
    ) -> PrefetchedBucket {
        let home = home(hash, buckets);
        // SAFETY: by the contract; the home bucket is one of the segment's.
        let bucket = unsafe { segment.add(1).cast::<Bucket>().add(home) };
        prefetch(bucket.cast());
        prefetch(bucket.wrapping_add(1).cast());
        PrefetchedBucket { home: bucket, has_next: home + 1 < buckets }
    }

    pub(super) fn depth(&self) -> u32 {
        u32::from(self.depth)
    }

    pub(super) fn next_expiry_ms(&self) -> UnixMs {
        self.next_expiry_ms
    }

    pub(super) fn lower_next_expiry(&mut self, at_ms: UnixMs) {
        self.next_expiry_ms = self.next_expiry_ms.min(at_ms);
    }

    /// The place of a key: nearly always it is in its home bucket, at the first slot with its tag.
    ///
    /// # Safety
    /// The slots hold live entries.
    #[inline(always)]
    pub(super) unsafe fn find(&self, buckets: usize, key: &Key<'_>) -> Option<Place> {
        let home = home(key.hash, buckets);
        let slots = self.bucket(home);
        let candidates = matching(slots, key.hash >> TAG_SHIFT);
        // SAFETY: by the contract.
        unsafe {
            if let Some(place) = Self::find_among(slots, candidates, 0, key) {
                return Some(place);
            }
            if has_room(slots) { None } else { self.find_displaced(buckets, home, key) }
        }
    }

    /// What the home bucket of a hash holds with its tag.
    pub(super) fn like(&self, buckets: usize, hash: u64) -> Option<*mut u8> {
        let slots = self.bucket(home(hash, buckets));
        let candidates = matching(slots, hash >> TAG_SHIFT);
        let slot = slots.get(candidates.trailing_zeros() as usize)?;
        let value = slot.load(Ordering::Relaxed);
        (value != 0).then(|| address(value))
    }

    /// The place of a key among the slots of a bucket that have its tag, for entries displaced so far.
    ///
    /// # Safety
    /// The slots are empty or hold live entries.
    #[inline(always)]
    unsafe fn find_among(
        slots: &[AtomicU64; SLOTS],
        mut candidates: u32,
        displacement: u64,
        key: &Key<'_>,
    ) -> Option<Place> {
        while candidates != 0 {
            let slot = &slots[candidates.trailing_zeros() as usize];
            candidates &= candidates - 1;
            let value = slot.load(Ordering::Relaxed);
            if value & DISPLACEMENT_MASK == displacement && value != 0 {
                // SAFETY: by the contract.
                if unsafe { EntryRef::from_raw(address(value)) }.has_key(key.bytes) {
                    return Some(Place(NonNull::from(slot)));
                }
            }
        }
        None
    }

    /// [`Segment::find`] beyond the home bucket, which is full.
    ///
    /// # Safety
    /// As for `find`.
    #[inline(never)]
    unsafe fn find_displaced(&self, buckets: usize, home: usize, key: &Key<'_>) -> Option<Place> {
        let tag = key.hash >> TAG_SHIFT;
        let mut bucket = home;
        for displacement in 1..=DISPLACEMENT_MAX as u64 {
            bucket = next(bucket, buckets);
            let slots = self.bucket(bucket);
            // SAFETY: by the contract.
            if let Some(place) = unsafe { Self::find_among(slots, matching(slots, tag), displacement, key) } {
                return Some(place);
            }
            if has_room(slots) {
                return None;
            }
        }
        let is_key = |value: u64| {
            // SAFETY: by the contract.
            value >> TAG_SHIFT == tag && unsafe { EntryRef::from_raw(address(value)) }.has_key(key.bytes)
        };
        let stashed = self.stash.iter().find(|stashed| is_key(stashed.value()))?;
        Some(Place(NonNull::from(&stashed.slot)))
    }

    fn free_slot(&self, bucket: usize) -> Option<usize> {
        (0..SLOTS).find(|&slot| self.load(bucket, slot) == 0)
    }

    /// Puts an entry into the first bucket from its home on that has room. If that is too far away, entries in between make
    /// place for each other (hopscotch hashing, Herlihy et al., DISC 2008): each hop moves the free slot nearer.
    fn insert_at_home(&mut self, buckets: usize, home: usize, value: u64) -> Result<(), u64> {
        let (mut bucket, mut distance) = (home, 0);
        let mut slot = loop {
            if let Some(slot) = self.free_slot(bucket) {
                break slot;
            }
            if distance == SEARCH_MAX {
                return Err(value);
            }
            bucket = next(bucket, buckets);
            distance += 1;
        };
        while distance > DISPLACEMENT_MAX {
            let Some((nearer, freed, hop)) = self.hop(buckets, bucket, slot) else {
                // What has hopped is pulled back over the slot that stays free.
                self.fill_hole(buckets, bucket, slot);
                return Err(value);
            };
            (bucket, slot, distance) = (nearer, freed, distance - hop);
        }
        self.store(bucket, slot, value & !DISPLACEMENT_MASK | distance as u64);
        self.len += 1;
        Ok(())
    }

    /// Moves an entry from one of the buckets before `bucket` into its free `slot`: from as far away as an entry may go.
    /// Returns the bucket and slot that have become free and how many buckets nearer they are.
    fn hop(&mut self, buckets: usize, bucket: usize, slot: usize) -> Option<(usize, usize, usize)> {
        for hop in (1..=DISPLACEMENT_MAX).rev() {
            let from = (bucket + buckets - hop) % buckets;
            for candidate in 0..SLOTS {
                let value = self.load(from, candidate);
                if (value & DISPLACEMENT_MASK) as usize + hop <= DISPLACEMENT_MAX {
                    self.store(bucket, slot, value + hop as u64);
                    self.store(from, candidate, 0);
                    return Some((from, candidate, hop));
                }
            }
        }
        None
    }

    /// Puts a tagged entry into a slot, or gives it back when there is no room.
    pub(super) fn insert(&mut self, buckets: usize, hash: u64, value: u64) -> Result<(), u64> {
        self.insert_at_home(buckets, home(hash, buckets), value)
    }

    /// Keeps a tagged entry that no slot can take.
    pub(super) fn stash(&mut self, buckets: usize, hash: u64, value: u64) {
        self.stash.push(Stashed::new(value, home(hash, buckets) as u16));
        self.len += 1;
    }

    /// Removes and returns the entry at a place.
    ///
    /// # Safety
    /// `place` holds a live entry.
    pub(super) unsafe fn remove(&mut self, buckets: usize, place: Place) -> Entry {
        // SAFETY: by the contract; the slot is emptied below.
        let entry = unsafe { place.take() };
        self.len -= 1;
        let address = place.0.addr().get();
        let index = address.wrapping_sub(self.bucket(0).as_ptr().addr()) / size_of::<AtomicU64>();
        if index < buckets * SLOTS {
            let (bucket, slot) = (index / SLOTS, index % SLOTS);
            let was_full = self.free_slot(bucket).is_none();
            self.store(bucket, slot, 0);
            if was_full {
                self.fill_hole(buckets, bucket, slot);
            }
        } else {
            self.stash.retain(|stashed| std::ptr::from_ref(&stashed.slot).addr() != address);
        }
        entry
    }

    /// Pulls a displaced entry into the hole, then fills the hole it leaves, and so on.
    fn fill_hole(&mut self, buckets: usize, mut bucket: usize, mut slot: usize) {
        'holes: loop {
            let mut from = bucket;
            for distance in 1..=DISPLACEMENT_MAX as u64 {
                from = next(from, buckets);
                for candidate in 0..SLOTS {
                    let value = self.load(from, candidate);
                    if value != 0 && value & DISPLACEMENT_MASK >= distance {
                        self.store(bucket, slot, value - distance);
                        self.store(from, candidate, 0);
                        (bucket, slot) = (from, candidate);
                        continue 'holes;
                    }
                }
            }
            let reaches = |home: usize| (bucket + buckets - home) % buckets <= DISPLACEMENT_MAX;
            if let Some(index) = self.stash.iter().position(|stashed| reaches(usize::from(stashed.home))) {
                let stashed = self.stash.swap_remove(index);
                let displacement = ((bucket + buckets - usize::from(stashed.home)) % buckets) as u64;
                self.store(bucket, slot, stashed.value() | displacement);
            }
            return;
        }
    }

    /// Empties the segment and returns its slot values with their home buckets.
    fn drain(&mut self, buckets: usize) -> Vec<(u64, u16)> {
        let mut all = Vec::with_capacity(usize::from(self.len));
        for bucket in 0..buckets {
            for slot in 0..SLOTS {
                let value = self.load(bucket, slot);
                if value != 0 {
                    let displacement = (value & DISPLACEMENT_MASK) as usize;
                    all.push((value, ((bucket + buckets - displacement) % buckets) as u16));
                    self.store(bucket, slot, 0);
                }
            }
        }
        all.extend(self.stash.drain(..).map(|stashed| (stashed.value(), stashed.home)));
        self.len = 0;
        all
    }

    fn refill(&mut self, buckets: usize, value: u64, home: u16) {
        if let Err(value) = self.insert_at_home(buckets, usize::from(home), value) {
            self.stash.push(Stashed::new(value, home));
            self.len += 1;
        }
    }

    /// Moves the upper half of the hash range to `sibling`, one level deeper.
    pub(super) fn split_into(&mut self, buckets: usize, sibling: &mut Segment) {
        let bit = 1 << (63 - self.depth);
        self.depth += 1;
        sibling.next_expiry_ms = self.next_expiry_ms;
        for (value, home) in self.drain(buckets) {
            let target = if value & bit != 0 { &mut *sibling } else { &mut *self };
            target.refill(buckets, value, home);
        }
    }

    /// Takes over everything in `buddy`, one level up.
    pub(super) fn absorb(&mut self, buckets: usize, buddy: &mut Segment) {
        self.depth -= 1;
        self.next_expiry_ms = self.next_expiry_ms.min(buddy.next_expiry_ms);
        for (value, home) in buddy.drain(buckets) {
            self.refill(buckets, value, home);
        }
    }

    /// At least half full, so that a split frees room.
    pub(super) fn is_worth_splitting(&self, buckets: usize) -> bool {
        usize::from(self.len) * 2 >= buckets * SLOTS
    }

    /// Less than an eighth full.
    pub(super) fn is_sparse(&self, buckets: usize) -> bool {
        usize::from(self.len) * 8 < buckets * SLOTS
    }

    /// Both together would be at most a third full.
    pub(super) fn has_room_for(&self, buckets: usize, buddy: &Segment) -> bool {
        (usize::from(self.len) + usize::from(buddy.len)) * 3 <= buckets * SLOTS
    }

    /// Every entry.
    ///
    /// # Safety
    /// The entries and the segment stay alive and unmoved for `'a`.
    pub(super) unsafe fn entries<'a>(&'a self, buckets: usize) -> impl Iterator<Item = EntryRef<'a>> + 'a {
        (0..buckets * SLOTS)
            .map(|index| self.load(index / SLOTS, index % SLOTS))
            .filter(|&value| value != 0)
            .chain(self.stash.iter().map(Stashed::value))
            // SAFETY: by the contract.
            .map(|value| unsafe { EntryRef::from_raw(address(value)) })
    }

    /// Visits the entries whose home is `bucket`.
    ///
    /// # Safety
    /// The slots hold live entries.
    pub(super) unsafe fn entries_at_home(
        &self,
        buckets: usize,
        bucket: usize,
        visit: &mut impl FnMut(EntryRef<'_>),
    ) {
        let mut at = bucket;
        for displacement in 0..=DISPLACEMENT_MAX as u64 {
            let mut full = true;
            for slot in 0..SLOTS {
                let value = self.load(at, slot);
                full &= value != 0;
                if value != 0 && value & DISPLACEMENT_MASK == displacement {
                    // SAFETY: by the contract.
                    visit(unsafe { EntryRef::from_raw(address(value)) });
                }
            }
            if !full {
                return;
            }
            at = next(at, buckets);
        }
        for stashed in &self.stash {
            if usize::from(stashed.home) == bucket {
                // SAFETY: by the contract.
                visit(unsafe { EntryRef::from_raw(address(stashed.value())) });
            }
        }
    }

    /// # Safety
    /// The slots hold live entries, for as long as the result is used.
    pub(super) unsafe fn random_slot<'a>(&self, buckets: usize, random: u64) -> Option<EntryRef<'a>> {
        let slots = buckets * SLOTS;
        let index = (random % (slots + self.stash.len()) as u64) as usize;
        let value = if index < slots {
            self.load(index / SLOTS, index % SLOTS)
        } else {
            self.stash[index - slots].value()
        };
        // SAFETY: by the contract.
        (value != 0).then(|| unsafe { EntryRef::from_raw(address(value)) })
    }

    /// Adds entries to a sample, from one on that chance chooses. Since each is as likely to be that one, each is as likely to
    /// be any of those behind it.
    pub(super) fn sample(&self, buckets: usize, mut random: u64, sample: &mut Sample) {
        /// Slots that are tried for the first: more are empty, or of no interest, only where few are not.
        const TRIES: usize = 32;
        if sample.only_expiring && self.next_expiry_ms == UnixMs::MAX {
            return;
        }
        let slots = buckets * SLOTS;
        let all = slots + self.stash.len();
        let value_at = |index: usize| match index.checked_sub(slots) {
            None => self.load(index / SLOTS, index % SLOTS),
            Some(stashed) => self.stash[stashed].value(),
        };
        let mut first = 0;
        for _ in 0..TRIES {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            first = (random >> 32) as usize % all;
            if sample.is_wanted(value_at(first)) {
                break;
            }
        }
        for index in (first..all).chain(0..first) {
            let value = value_at(index);
            if sample.is_wanted(value) {
                sample.add(address(value));
                if sample.is_full() {
                    return;
                }
            }
        }
    }

    /// Appends the keys of which something may have expired by `now_ms` and makes the segment's bound exact, taking them
    /// for removed.
    ///
    /// # Safety
    /// The slots hold live entries.
    pub(super) unsafe fn expired_keys(&mut self, buckets: usize, now_ms: UnixMs, keys: &mut Vec<Box<[u8]>>) {
        if self.next_expiry_ms > now_ms {
            return;
        }
        let mut next_expiry_ms = UnixMs::MAX;
        let values = (0..buckets * SLOTS)
            .map(|index| self.load(index / SLOTS, index % SLOTS))
            .chain(self.stash.iter().map(Stashed::value));
        for value in values {
            if value & EXPIRES_BIT == 0 {
                continue;
            }
            // SAFETY: by the contract.
            let entry = unsafe { EntryRef::from_raw(address(value)) };
            match entry.due_ms() {
                Some(at_ms) if at_ms <= now_ms => keys.push(entry.key().into()),
                Some(at_ms) => next_expiry_ms = next_expiry_ms.min(at_ms),
                None => {}
            }
        }
        self.next_expiry_ms = next_expiry_ms;
    }
}

impl Segment {
    /// Moves each entry to memory that is allocated now, and counts them.
    ///
    /// # Safety
    /// The slots hold live entries that nobody else uses.
    pub(super) unsafe fn move_entries(&mut self, buckets: usize) -> usize {
        let slots =
            (0..buckets).flat_map(|bucket| self.bucket(bucket)).chain(self.stash.iter().map(|one| &one.slot));
        let mut moved = 0;
        for slot in slots {
            let value = slot.load(Ordering::Relaxed);
            if value == 0 {
                continue;
            }
            // SAFETY: by the contract; the slot is given the entry that took this one's place.
            let entry = unsafe { Entry::from_raw(address(value)) }.moved();
            slot.store(value & !ADDRESS_MASK | entry.into_raw() as u64, Ordering::Relaxed);
            moved += 1;
        }
        moved
    }
}

impl Segment {
    /// Entries.
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Shows the entries of some hash prefixes that are not new, takes that mark off the others, and counts all of them.
    ///
    /// # Safety
    /// The slots hold live entries that nobody else uses.
    pub(super) unsafe fn read(
        &mut self,
        buckets: usize,
        prefixes: Range<u32>,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> usize {
        let slots =
            (0..buckets).flat_map(|bucket| self.bucket(bucket)).chain(self.stash.iter().map(|one| &one.slot));
        let mut seen = 0;
        let mut show = |entries: &[*mut u8]| {
            for &entry in entries {
                // SAFETY: by the contract; the entry stays in its slot.
                let mut entry = ManuallyDrop::new(unsafe { Entry::from_raw(entry) });
                match entry.as_ref().is_new() {
                    true => entry.set_new(false),
                    false => visit(entry.as_ref()),
                }
            }
            seen += entries.len();
        };
        // They lie anywhere, and a lock is held: some are sent for at a time.
        let (mut sent_for, mut count) = ([std::ptr::null_mut(); READ_AT_A_TIME], 0);
        for slot in slots {
            let value = slot.load(Ordering::Relaxed);
            if value == 0 || !prefixes.contains(&((value >> TAG_SHIFT) as u32)) {
                continue;
            }
            sent_for[count] = address(value);
            prefetch(sent_for[count]);
            count += 1;
            if count == READ_AT_A_TIME {
                show(&sent_for);
                count = 0;
            }
        }
        show(&sent_for[..count]);
        seen
    }
}

/// True when one of the slots is empty: no entry was displaced over the bucket.
#[inline]
fn has_room(slots: &[AtomicU64; SLOTS]) -> bool {
    slots.iter().any(|value| value.load(Ordering::Relaxed) == 0)
}

#[inline]
fn next(bucket: usize, buckets: usize) -> usize {
    if bucket + 1 == buckets { 0 } else { bucket + 1 }
}

/// One bit for each slot with this tag. An empty slot has tag 0 and may be among them.
#[cfg(target_arch = "x86_64")]
#[inline]
fn matching(slots: &[AtomicU64; SLOTS], tag: u64) -> u32 {
    use std::arch::x86_64::{
        __m128i, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_load_si128, _mm_movemask_ps,
        _mm_set1_epi32, _mm_shuffle_ps, _mm_srli_epi32,
    };
    let base = slots.as_ptr().cast::<__m128i>();
    let mut mask = 0;
    // SAFETY: SSE2 is part of x86-64; the bucket is one aligned cache line. Under the lock nobody writes the
    // slots; without it, when prefetching, an aligned vector load sees each word old or new, and either is fine.
    unsafe {
        let wanted = _mm_set1_epi32(tag as i32);
        for half in 0..2 {
            let low = _mm_castsi128_ps(_mm_load_si128(base.add(half * 2)));
            let high = _mm_castsi128_ps(_mm_load_si128(base.add(half * 2 + 1)));
            // The upper words of four slots, whose upper sixteen bits are the tags.
            let upper = _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(low, high));
            let equal = _mm_cmpeq_epi32(_mm_srli_epi32::<16>(upper), wanted);
            mask |= (_mm_movemask_ps(_mm_castsi128_ps(equal)) as u32) << (half * 4);
        }
    }
    mask
}

/// One bit for each slot with this tag. An empty slot has tag 0 and may be among them.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn matching(slots: &[AtomicU64; SLOTS], tag: u64) -> u32 {
    slots.iter().enumerate().fold(0, |mask, (slot, value)| {
        mask | u32::from(value.load(Ordering::Relaxed) >> TAG_SHIFT == tag) << slot
    })
}
