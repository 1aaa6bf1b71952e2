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

mod many;
mod page;
mod scale;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::sync::Arc;

use page::{Far, Page, Stored, is_roomy_together, is_thin};
use scale::Scale;

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
const LOWER_BITS: u32 = 16;

/// The upper bits of a hash, so many that hardly two members have the same. They find an entry without its member.
pub(super) type Tag = [u8; 5];

/// The tag of a hash.
#[inline]
pub(super) fn tag_of(hash: u64) -> Tag {
    let [tag @ .., _, _, _] = hash.to_be_bytes();
    tag
}

/// The first hash with a tag, and the last.
#[inline]
fn hashes_of([a, b, c, d, e]: Tag) -> (u64, u64) {
    let first = u64::from_be_bytes([a, b, c, d, e, 0, 0, 0]);
    (first, first | u64::MAX >> (8 * size_of::<Tag>()))
}

/// What a table's entries are.
pub(super) trait Shape: Copy {
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
    /// Of its positions.
    scale: Scale,
    /// Entries of its pages.
    len: usize,
    /// None of them has an earlier deadline.
    due_ms: UnixMs,
    block: Arc<Block>,
}

#[derive(Clone, Debug)]
struct Block {
    /// Of the positions of each page.
    scales: Vec<Scale>,
    pages: Vec<Page>,
}

/// Where an entry is, until something changes.
pub(super) enum Place {
    Page { branch: usize, page: usize, slot: usize },
    Chain(usize),
}

/// How many positions there are.
const POSITIONS: u64 = 1 << (u64::BITS - LOWER_BITS);

fn position(hash: u64) -> u64 {
    hash >> LOWER_BITS
}

/// The last of some ascending starts that is at most a position; the first is. It is sought from a likely one on.
#[inline]
fn last_until(position: u64, count: usize, likely: usize, start: impl Fn(usize) -> u64) -> usize {
    let mut at = likely;
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
        self.scales.get(page + 1).map_or(end, |next| next.start())
    }

    /// A page beside another: the one with fewer bytes.
    fn neighbour(&self, page: usize) -> Option<usize> {
        let before = page.checked_sub(1);
        let behind = Some(page + 1).filter(|page| *page < self.pages.len());
        before.into_iter().chain(behind).min_by_key(|page| self.pages[*page].needed_bytes())
    }

    fn replace(&mut self, from: usize, count: usize, by: Vec<(Scale, Page)>) {
        let (scales, pages): (Vec<Scale>, Vec<Page>) = by.into_iter().unzip();
        self.scales.splice(from..from + count, scales);
        self.pages.splice(from..from + count, pages);
    }
}

impl<S: Shape> Default for Table<S> {
    fn default() -> Self {
        let scale = Scale::of(&(0..POSITIONS));
        let block = Block { scales: vec![scale], pages: vec![Page::default()] };
        let branch = Branch { scale, len: 0, due_ms: UnixMs::MAX, block: Arc::new(block) };
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
                + branch.block.scales.capacity() * size_of::<Scale>()
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
        let likely = (u128::from(position) * branches.len() as u128 / u128::from(POSITIONS)) as usize;
        let branch = last_until(position, branches.len(), likely, |branch| branches[branch].scale.start());
        let Branch { scale, block, .. } = &branches[branch];
        let (scales, likely) = (&block.scales, scale.place(position, block.scales.len()));
        (branch, last_until(position, scales.len(), likely, |page| scales[page].start()))
    }

    /// Where the entry of a member of this hash is.
    #[inline]
    pub(super) fn find(&self, hash: u64, member: &[u8]) -> Option<Place> {
        let (branch, page) = self.locate(position(hash));
        let Block { scales, pages } = &*self.branches[branch].block;
        if let Some(slot) = pages[page].find::<S>(scales[page], hash, member) {
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

    /// Shows the entries whose members may have a tag: all that do, and one in some dozens others.
    #[inline]
    pub(super) fn each_candidate<'t>(&'t self, tag: Tag, mut show: impl FnMut(Entry<'t>)) {
        let (first, last) = hashes_of(tag);
        let mut from = position(first);
        while from <= position(last) {
            let (branch, page) = self.locate(from);
            let block = &self.branches[branch].block;
            let candidates = block.pages[page].candidates(block.scales[page], first, last);
            candidates.for_each(|index| show(block.pages[page].entry::<S>(index)));
            from = block.end_of(page, self.end_of(branch));
        }
        self.chain.iter().for_each(|far| show(Entry::of_far(far)));
    }

    /// Shows for each of at most [`AT_ONCE`] tags the entry whose member may have it, if there is only one. All that lies
    /// far from the processor is sent for before any of it is looked at.
    #[inline]
    pub(super) fn each_only_candidate<'t>(&'t self, tags: &[Tag], mut show: impl FnMut(Option<Entry<'t>>)) {
        let (mut pages, mut found) = ([None; AT_ONCE], [None; AT_ONCE]);
        for (place, tag) in pages.iter_mut().zip(tags) {
            let (first, last) = hashes_of(*tag);
            let (branch, page) = self.locate(position(first));
            let block = &self.branches[branch].block;
            if position(last) < block.end_of(page, self.end_of(branch)) && self.chain.is_empty() {
                let (scale, page) = (block.scales[page], &block.pages[page]);
                page.prefetch(scale, first);
                *place = Some((page, scale, first, last));
            }
        }
        for (found, place) in found.iter_mut().zip(pages) {
            *found = place.and_then(|(page, scale, first, last): (&Page, Scale, u64, u64)| {
                Some((page, page.prefetch_only(scale, first, last)?))
            });
        }
        found
            .iter()
            .take(tags.len())
            .for_each(|found| show(found.map(|(page, index): (&Page, usize)| page.entry::<S>(index))));
    }

    /// Sends for what looking members up reads: first where it begins on their pages, then what that leads to.
    pub(super) fn prefetch(&self, members: &mut dyn Iterator<Item = &[u8]>) {
        let mut places = [None; AT_ONCE];
        loop {
            let mut count = 0;
            for (place, member) in places.iter_mut().zip(&mut *members) {
                let hash = S::hash(member);
                let (branch, page) = self.locate(position(hash));
                let Block { scales, pages } = &*self.branches[branch].block;
                pages[page].prefetch(scales[page], hash);
                *place = Some((&pages[page], scales[page], hash));
                count += 1;
            }
            places[..count]
                .iter()
                .flatten()
                .for_each(|(page, scale, hash)| page.prefetch_first(*scale, *hash));
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
        self.add(hash, &Stored::new(entry), entry.deadline_ms);
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
        let Block { scales, pages } = Arc::make_mut(block);
        if !pages[page].add::<S>(scales[page], hash, entry, is_alone) {
            self.make_room(branch, page, hash, entry);
        }
    }

    /// The end of a branch's positions.
    fn end_of(&self, branch: usize) -> u64 {
        self.branches.get(branch + 1).map_or(POSITIONS, |next| next.scale.start())
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
        let range = block.scales[first].start()..block.end_of(last, end);
        let full = &block.pages[first..=last];
        let bytes = full.iter().map(Page::needed_bytes).sum::<usize>() + entry.needed_bytes::<S>();
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
        let end = self.end_of(branch);
        let Branch { scale, len, due_ms, block } = &mut self.branches[branch];
        let (block, due_ms) = (Arc::make_mut(block), *due_ms);
        let half = block.pages.len() / 2;
        let (scales, pages) = (block.scales.split_off(half), block.pages.split_off(half));
        let moved = pages.iter().map(Page::count).sum::<usize>();
        *len -= moved;
        let middle = scales[0].start();
        *scale = Scale::of(&(scale.start()..middle));
        let (scale, block) = (Scale::of(&(middle..end)), Arc::new(Block { scales, pages }));
        self.branches.insert(branch + 1, Branch { scale, len: moved, due_ms, block });
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
            let range = block.scales[first].start()..block.end_of(last, end);
            let entries = block.pages[first..=last].iter().flat_map(Page::stored::<S>).collect();
            let (pages, _) = page::spread::<S>(entries, range, 1);
            block.replace(first, 2, pages);
        } else if end == POSITIONS && branch == 0 {
            block.pages[page].shrink::<S>(block.scales[page]);
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
        let end = self.end_of(first + 1);
        let Branch { len, due_ms, block, .. } = self.branches.remove(first + 1);
        let Block { scales, pages } = Arc::unwrap_or_clone(block);
        let into = &mut self.branches[first];
        into.scale = Scale::of(&(into.scale.start()..end));
        into.len += len;
        into.due_ms = into.due_ms.min(due_ms);
        let block = Arc::make_mut(&mut into.block);
        block.scales.extend(scales);
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
