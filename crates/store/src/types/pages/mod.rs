//! A big collection of byte strings, each with a value or without one: a table made of pages in the order of their hashes.
//!
//! ```text
//! table -> blocks of up to 128 pages -> page of up to 4 KB, which holds the members themselves
//! ```
//!
//! A page has the members of a range of positions, which are the upper 48 bits of a keyed hash. A full page gives to a
//! neighbour that has room, and two full ones become three, so that pages are well filled in all phases of growth and
//! growing never moves more than three of them; thin neighbours become one. Blocks and pages are shared by count and
//! copied before they are changed: a copy of the table is a copy of its list of blocks, and a write then copies one page.
//!
//! Walking by position ([`Table::scan`]) shows a member once however pages change meanwhile, and members have ranks, so
//! that one can be drawn at random without bias. Members whose positions are equal stay in one page; those that it has no
//! room for, which a keyed hash makes next to impossible, form a chain beside the pages.

mod page;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use page::{Far, Page, Stored, is_roomy_together, is_thin};

use crate::UnixMs;
use crate::hash::HashSeed;

pub(super) use page::Entry;

/// Pages of a block from which on it is cut in two.
const BLOCK_PAGES_MAX: usize = 128;
/// Two neighbouring blocks of together at most this many pages become one.
const BLOCK_PAGES_JOINED: usize = 64;
/// How many entries are looked for at once where many are wanted.
pub(super) const AT_ONCE: usize = 16;
/// Bits of a hash that are no part of the position.
const TAG_BITS: u32 = 16;

/// So much of a hash that hardly two members have the same. It finds an entry without its member.
pub(super) type Tag = [u8; 5];

/// Bits of a tag that say where in the table an entry is, and those that say which it is there.
const TAG_HIGH_BITS: u32 = 28;
const TAG_LOW_BITS: u32 = 12;

/// The tag of a hash.
#[inline]
pub(super) fn tag_of(hash: u64) -> Tag {
    let low = hash & ((1 << TAG_LOW_BITS) - 1);
    let tag = hash >> (u64::BITS - TAG_HIGH_BITS) << TAG_LOW_BITS | low;
    let [bytes @ .., _, _, _] = tag.to_le_bytes();
    bytes
}

/// The lowest hash with a tag.
#[inline]
fn hash_of(tag: Tag) -> u64 {
    let [a, b, c, d, e] = tag;
    let tag = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
    let low = tag & ((1 << TAG_LOW_BITS) - 1);
    tag >> TAG_LOW_BITS << (u64::BITS - TAG_HIGH_BITS) | low
}

/// What a table's entries are.
pub(super) trait Shape {
    /// Whether a member has a value.
    const VALUES: bool;

    /// The hash of a member, which clients cannot foresee.
    #[inline]
    fn hash(member: &[u8]) -> u64 {
        HashSeed::of_process().hash(member)
    }
}

/// Members, each with a value if the shape says so.
#[derive(Clone, Debug)]
pub(super) struct Table<S> {
    /// In the order of their positions; the first begins at 0.
    branches: Vec<Branch>,
    /// Entries whose positions filled a page.
    chain: Vec<Far>,
    len: usize,
    /// Entries that have a deadline.
    timed: usize,
    /// No entry has an earlier deadline.
    due_ms: UnixMs,
    shape: PhantomData<S>,
}

#[derive(Clone, Debug)]
struct Branch {
    /// The first position.
    start: u64,
    /// Entries of its pages.
    len: usize,
    /// None of them has an earlier deadline.
    due_ms: UnixMs,
    block: Arc<Block>,
}

#[derive(Clone, Debug)]
struct Block {
    /// The first position of each page.
    starts: Vec<u64>,
    pages: Vec<Page>,
}

/// Where an entry is, until something changes.
pub(super) enum Place {
    Page { branch: usize, page: usize, slot: usize },
    Chain(usize),
}

/// How many positions there are.
const POSITIONS: u64 = 1 << (u64::BITS - TAG_BITS);

fn position(hash: u64) -> u64 {
    hash >> TAG_BITS
}

/// The last of `count` ascending starts that is at most a position; the first is. They divide a range about evenly, since
/// hashes do, so the search begins where an even division would have it and is over after a step or two.
#[inline]
fn last_until(position: u64, count: usize, range: Range<u64>, start: impl Fn(usize) -> u64) -> usize {
    // Without their lower bits, positions leave room enough for a product with any count.
    const LOWER: u32 = 16;
    let even =
        ((position - range.start) >> LOWER) * count as u64 / ((range.end - range.start) >> LOWER).max(1);
    let mut at = (even as usize).min(count - 1);
    while start(at) > position {
        at -= 1;
    }
    while at + 1 < count && start(at + 1) <= position {
        at += 1;
    }
    at
}

impl Block {
    /// Behind the last position of a page, in a block that ends at `end`.
    fn end_of(&self, page: usize, end: u64) -> u64 {
        self.starts.get(page + 1).copied().unwrap_or(end)
    }

    /// A page beside another: the one with fewer bytes.
    fn neighbour(&self, page: usize) -> Option<usize> {
        let before = page.checked_sub(1);
        let behind = Some(page + 1).filter(|page| *page < self.pages.len());
        before.into_iter().chain(behind).min_by_key(|page| self.pages[*page].needed_bytes())
    }

    fn replace(&mut self, from: usize, count: usize, by: Vec<(u64, Page)>) {
        let (starts, pages): (Vec<u64>, Vec<Page>) = by.into_iter().unzip();
        self.starts.splice(from..from + count, starts);
        self.pages.splice(from..from + count, pages);
    }
}

impl<S: Shape> Default for Table<S> {
    fn default() -> Self {
        let block = Block { starts: vec![0], pages: vec![Page::default()] };
        let branch = Branch { start: 0, len: 0, due_ms: UnixMs::MAX, block: Arc::new(block) };
        let (branches, chain) = (vec![branch], Vec::new());
        Table { branches, chain, len: 0, timed: 0, due_ms: UnixMs::MAX, shape: PhantomData }
    }
}

impl<S: Shape> Table<S> {
    /// Number of members.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn pages(&self) -> impl Iterator<Item = &Page> {
        self.branches.iter().flat_map(|branch| &branch.block.pages)
    }

    /// Bytes of all allocations; what is shared with a copy counts for both.
    pub(super) fn memory_bytes(&self) -> usize {
        let blocks = self.branches.iter().map(|branch| {
            size_of::<Block>()
                + branch.block.starts.capacity() * size_of::<u64>()
                + branch.block.pages.capacity() * size_of::<Page>()
        });
        let chain = self.chain.iter().map(|far| size_of::<Far>() + far.len());
        self.branches.capacity() * size_of::<Branch>()
            + blocks.sum::<usize>()
            + chain.sum::<usize>()
            + self.pages().map(Page::memory_bytes).sum::<usize>()
    }

    /// How many allocations there are, roughly.
    pub(super) fn allocations(&self) -> usize {
        self.branches.iter().map(|branch| 1 + branch.block.pages.len()).sum()
    }

    /// The block and the page of a position.
    #[inline]
    fn locate(&self, position: u64) -> (usize, usize) {
        let branches = &self.branches;
        let branch = last_until(position, branches.len(), 0..POSITIONS, |branch| branches[branch].start);
        let starts = &branches[branch].block.starts;
        let range = branches[branch].start..self.end_of(branch);
        (branch, last_until(position, starts.len(), range, |page| starts[page]))
    }

    /// Where the entry of a member of this hash is.
    #[inline]
    pub(super) fn find(&self, hash: u64, member: &[u8]) -> Option<Place> {
        let (branch, page) = self.locate(position(hash));
        if let Some(slot) = self.branches[branch].block.pages[page].find::<S>(hash, member) {
            return Some(Place::Page { branch, page, slot });
        }
        self.chain.iter().position(|far| Entry::of_far(far).member == member).map(Place::Chain)
    }

    /// The entry of a member.
    #[inline]
    pub(super) fn get(&self, member: &[u8]) -> Option<Entry<'_>> {
        Some(self.entry(&self.find(S::hash(member), member)?))
    }

    /// The entry at a place.
    #[inline]
    pub(super) fn entry(&self, place: &Place) -> Entry<'_> {
        match *place {
            Place::Page { branch, page, slot } => self.branches[branch].block.pages[page].entry::<S>(slot),
            Place::Chain(at) => Entry::of_far(&self.chain[at]),
        }
    }

    /// Shows the entries whose members may have a tag: all that do, and one in some thousand others.
    #[inline]
    pub(super) fn each_candidate<'t>(&'t self, tag: Tag, mut show: impl FnMut(Entry<'t>)) {
        let hash = hash_of(tag);
        let last = position(hash | u64::MAX >> TAG_HIGH_BITS);
        let mut from = position(hash);
        let mut show_on = |entry: Entry<'t>| {
            show(entry);
            false
        };
        while from <= last {
            let (branch, page) = self.locate(from);
            let block = &self.branches[branch].block;
            block.pages[page].find_where::<S>(hash, &mut show_on);
            from = block.end_of(page, self.end_of(branch));
        }
        self.chain.iter().for_each(|far| _ = show_on(Entry::of_far(far)));
    }

    /// Shows for each of at most [`AT_ONCE`] tags the entry whose member may have it, if there is only one. All that lies
    /// far from the processor is sent for before any of it is looked at.
    #[inline]
    pub(super) fn each_only_candidate<'t>(&'t self, tags: &[Tag], mut show: impl FnMut(Option<Entry<'t>>)) {
        let (mut pages, mut found) = ([None; AT_ONCE], [None; AT_ONCE]);
        for (place, tag) in pages.iter_mut().zip(tags) {
            let hash = hash_of(*tag);
            let (branch, page) = self.locate(position(hash));
            let block = &self.branches[branch].block;
            let last = position(hash | u64::MAX >> TAG_HIGH_BITS);
            if last < block.end_of(page, self.end_of(branch)) && self.chain.is_empty() {
                block.pages[page].prefetch();
                *place = Some((&block.pages[page], hash));
            }
        }
        for (found, place) in found.iter_mut().zip(pages) {
            *found = place.and_then(|(page, hash)| page.prefetch_only(hash).map(|index| (page, index)));
        }
        found
            .iter()
            .take(tags.len())
            .for_each(|found| show(found.map(|(page, index)| page.entry::<S>(index))));
    }

    /// Sends for what looking members up reads: first where it begins on their pages, then what that leads to.
    pub(super) fn prefetch(&self, members: &mut dyn Iterator<Item = &[u8]>) {
        let mut places = [None; AT_ONCE];
        loop {
            let mut count = 0;
            for (place, member) in places.iter_mut().zip(&mut *members) {
                let hash = S::hash(member);
                let (branch, page) = self.locate(position(hash));
                let page = &self.branches[branch].block.pages[page];
                page.prefetch();
                *place = Some((page, hash));
                count += 1;
            }
            places[..count].iter().flatten().for_each(|(page, hash)| page.prefetch_first(*hash));
            if count < AT_ONCE {
                break;
            }
        }
    }

    /// A time before which no entry has a deadline; none where no entry has one.
    #[inline]
    pub(super) fn due_ms(&self) -> Option<UnixMs> {
        (self.timed > 0).then_some(self.due_ms)
    }

    /// Members whose deadlines have come, at most `count`, for the caller to remove.
    pub(super) fn take_due(&mut self, now_ms: UnixMs, count: usize) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        for branch in self.branches.iter_mut().filter(|branch| branch.due_ms <= now_ms) {
            let block = Arc::make_mut(&mut branch.block);
            let pages = block.pages.iter_mut().filter(|page| page.due_ms() <= now_ms);
            pages.for_each(|page| page.take_due::<S>(now_ms, count, &mut due));
            branch.due_ms = block.pages.iter().map(Page::due_ms).min().unwrap_or(UnixMs::MAX);
            if due.len() >= count {
                break;
            }
        }
        let mut chain_due_ms = UnixMs::MAX;
        for entry in self.chain.iter().map(|far| Entry::of_far(far)) {
            match entry.deadline_ms {
                Some(at_ms) if at_ms <= now_ms && due.len() < count => due.push(entry.member.to_vec()),
                at_ms => chain_due_ms = chain_due_ms.min(at_ms.unwrap_or(UnixMs::MAX)),
            }
        }
        self.due_ms = self.branches.iter().map(|branch| branch.due_ms).fold(chain_due_ms, UnixMs::min);
        due
    }

    /// Puts an entry, whose value is empty and which has no deadline where the shape has none; true if its member is new.
    pub(super) fn put(&mut self, entry: Entry<'_>) -> bool {
        let hash = S::hash(entry.member);
        let found = self.find(hash, entry.member);
        let is_new = found.is_none();
        if let Some(place) = found {
            if !S::VALUES || entry.deadline_ms.is_none() && self.overwrite(&place, entry.value) {
                return false;
            }
            self.take_out(place);
        }
        self.put_new(hash, entry);
        is_new
    }

    /// [`Table::put`] of an entry whose member, of this hash, is none of those that are there.
    pub(super) fn put_new(&mut self, hash: u64, entry: Entry<'_>) {
        self.len += 1;
        if let Some(at_ms) = entry.deadline_ms {
            self.timed += 1;
            self.due_ms = if self.timed == 1 { at_ms } else { at_ms.min(self.due_ms) };
        }
        page::encode::<S, _>(entry, |stored| self.add(hash, stored, entry.deadline_ms));
    }

    /// Overwrites the value at a place that has no deadline, if the new one is as long.
    pub(super) fn overwrite(&mut self, place: &Place, value: &[u8]) -> bool {
        let Place::Page { branch, page, slot } = *place else { return false };
        let block = &mut self.branches[branch].block;
        let range = block.pages[page].value_range::<S>(slot).filter(|range| range.len() == value.len());
        if let Some(range) = &range {
            Arc::make_mut(block).pages[page].write_at(range.start, value);
        }
        range.is_some()
    }

    /// Removes a member; false if there is none.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(place) = self.find(S::hash(member), member) else { return false };
        let thin = self.take_out(place);
        if let Some((branch, page)) = thin {
            self.join(branch, page);
        }
        true
    }

    /// Takes an entry out, and tells which page is thin now.
    fn take_out(&mut self, place: Place) -> Option<(usize, usize)> {
        self.len -= 1;
        match place {
            Place::Page { branch, page, slot } => {
                let Branch { len, block, .. } = &mut self.branches[branch];
                *len -= 1;
                let changed = &mut Arc::make_mut(block).pages[page];
                if S::VALUES && changed.entry::<S>(slot).deadline_ms.is_some() {
                    self.timed -= 1;
                }
                changed.remove::<S>(slot);
                is_thin(changed.needed_bytes()).then_some((branch, page))
            }
            Place::Chain(at) => {
                let far = self.chain.swap_remove(at);
                self.timed -= usize::from(Entry::of_far(&far).deadline_ms.is_some());
                None
            }
        }
    }

    fn add(&mut self, hash: u64, entry: &Stored<'_>, deadline_ms: Option<UnixMs>) {
        let (branch, page) = self.locate(position(hash));
        let is_alone = self.branches.len() == 1 && self.branches[0].block.pages.len() == 1;
        let Branch { len, due_ms, block, .. } = &mut self.branches[branch];
        *len += 1;
        *due_ms = deadline_ms.map_or(*due_ms, |at_ms| at_ms.min(*due_ms));
        if !Arc::make_mut(block).pages[page].add::<S>(hash, entry, is_alone) {
            self.make_room(branch, page, hash, entry);
        }
    }

    /// The end of a branch's positions.
    fn end_of(&self, branch: usize) -> u64 {
        self.branches.get(branch + 1).map_or(POSITIONS, |next| next.start)
    }

    /// Adds an entry to a page that is full: its neighbour takes a share, or both become three.
    #[cold]
    fn make_room(&mut self, branch: usize, page: usize, hash: u64, entry: &Stored<'_>) {
        let end = self.end_of(branch);
        let block = Arc::make_mut(&mut self.branches[branch].block);
        let (first, last) = match block.neighbour(page) {
            Some(other) => (page.min(other), page.max(other)),
            None => (page, page),
        };
        let range = block.starts[first]..block.end_of(last, end);
        let full = &block.pages[first..=last];
        let bytes = full.iter().map(Page::needed_bytes).sum::<usize>() + entry.needed_bytes();
        let parts = if is_roomy_together(bytes, full.len()) { full.len() } else { full.len() + 1 };
        let mut entries: Vec<(u64, Stored<'_>)> = full.iter().flat_map(Page::stored::<S>).collect();
        entries.push((hash, entry.clone()));
        let (pages, chained) = page::spread::<S>(entries, range, parts);
        block.replace(first, last + 1 - first, pages);
        let is_large = block.pages.len() >= BLOCK_PAGES_MAX;
        self.branches[branch].len -= chained.len();
        self.chain.extend(chained);
        if is_large {
            self.cut(branch);
        }
    }

    /// Makes two blocks of one.
    fn cut(&mut self, branch: usize) {
        let Branch { len, due_ms, block, .. } = &mut self.branches[branch];
        let (block, due_ms) = (Arc::make_mut(block), *due_ms);
        let half = block.pages.len() / 2;
        let (starts, pages) = (block.starts.split_off(half), block.pages.split_off(half));
        let moved = pages.iter().map(Page::count).sum::<usize>();
        *len -= moved;
        let (start, block) = (starts[0], Arc::new(Block { starts, pages }));
        self.branches.insert(branch + 1, Branch { start, len: moved, due_ms, block });
    }

    /// Joins a thin page with a neighbour if they have room in one, and its block with one beside it.
    #[cold]
    fn join(&mut self, branch: usize, page: usize) {
        let end = self.end_of(branch);
        let block = Arc::make_mut(&mut self.branches[branch].block);
        if let Some(other) = block.neighbour(page) {
            let (first, last) = (page.min(other), page.max(other));
            let bytes = block.pages[first].needed_bytes() + block.pages[last].needed_bytes();
            if !is_roomy_together(bytes, 1) {
                return;
            }
            let range = block.starts[first]..block.end_of(last, end);
            let entries = block.pages[first..=last].iter().flat_map(Page::stored::<S>).collect();
            let (pages, _) = page::spread::<S>(entries, range, 1);
            block.replace(first, 2, pages);
        } else if end == POSITIONS && branch == 0 {
            block.pages[page].shrink::<S>();
        }
        if self.branches.len() > 1 {
            self.join_blocks(branch);
        }
    }

    fn join_blocks(&mut self, branch: usize) {
        let first = branch.min(self.branches.len() - 2);
        let pages = |branch: usize| self.branches[branch].block.pages.len();
        if pages(first) + pages(first + 1) > BLOCK_PAGES_JOINED {
            return;
        }
        let Branch { len, due_ms, block, .. } = self.branches.remove(first + 1);
        let Block { starts, pages } = Arc::unwrap_or_clone(block);
        let into = &mut self.branches[first];
        into.len += len;
        into.due_ms = into.due_ms.min(due_ms);
        let block = Arc::make_mut(&mut into.block);
        block.starts.extend(starts);
        block.pages.extend(pages);
    }

    /// All entries, in an order that means nothing.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.pages().flat_map(Page::entries::<S>).chain(self.chain.iter().map(|far| Entry::of_far(far)))
    }

    /// The entry of a rank below the length. Ranks are those of [`Table::iter`] until something changes.
    pub(super) fn at(&self, rank: usize) -> Entry<'_> {
        let mut left = rank;
        for branch in &self.branches {
            if left >= branch.len {
                left -= branch.len;
                continue;
            }
            for page in &branch.block.pages {
                if left < page.count() {
                    return page.entry::<S>(left);
                }
                left -= page.count();
            }
        }
        Entry::of_far(&self.chain[left])
    }

    /// Shows entries from a position on, about `count` of them, and gives the position to go on from; `None` at the end.
    pub(super) fn scan(&self, from: u64, count: usize, mut show: impl FnMut(Entry<'_>)) -> Option<u64> {
        let (mut from, mut shown) = (from, 0);
        while from <= position(u64::MAX) {
            let (branch, page) = self.locate(from);
            let Branch { block, .. } = &self.branches[branch];
            let mut entries: Vec<(u64, Entry<'_>)> = block.pages[page]
                .entries::<S>()
                .map(|entry| (position(S::hash(entry.member)), entry))
                .filter(|(position, _)| *position >= from)
                .collect();
            entries.sort_unstable_by_key(|(position, _)| *position);
            let mut last = None;
            for (position, entry) in entries {
                if shown >= count && last != Some(position) {
                    return Some(position);
                }
                last = Some(position);
                shown += 1;
                show(entry);
            }
            from = block.end_of(page, self.end_of(branch));
        }
        self.chain.iter().for_each(|far| show(Entry::of_far(far)));
        None
    }
}
