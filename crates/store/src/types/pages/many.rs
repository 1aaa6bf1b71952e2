//! Many entries at once: sorted by their positions and laid out page by page, which takes a fraction of what searching
//! the place of each does, and leaves pages that are as full as those that have grown.

use super::page::{self, PAGE_ROOMY, Page, Stored};
use super::{Arc, BLOCK_PAGES_MAX, Block, Branch, Entry, Shape, Table, UnixMs, position};

/// A block is laid out anew if it gets at least this part of what it has.
const PART_NEW: usize = 4;

/// An entry with the hash of its member.
type New<'a> = (u64, Entry<'a>);

impl<S: Shape> Table<S> {
    /// [`Table::put`] of entries one after the other: of those with the same member the last stays.
    pub(in super::super) fn put_many(&mut self, entries: &[Entry<'_>]) {
        if self.len > 0 && self.len <= entries.len() {
            // Then all are sorted together, and none is searched for.
            let old = std::mem::take(self);
            return self.put_many(&old.iter().chain(entries.iter().copied()).collect::<Vec<_>>());
        }
        let mut order: Vec<(u64, usize)> =
            entries.iter().enumerate().map(|(at, entry)| (S::hash(entry.member), at)).collect();
        order.sort_unstable();
        let mut new = Vec::with_capacity(entries.len());
        for (at, &(hash, number)) in order.iter().enumerate() {
            let entry = entries[number];
            let mut same = order[at + 1..].iter().take_while(|(other, _)| *other == hash);
            if same.any(|(_, later)| entries[*later].member == entry.member) {
                continue;
            }
            if self.len > 0 && self.find(hash, entry.member).is_some() {
                self.put(entry);
            } else {
                new.push((hash, entry));
            }
        }
        self.put_sorted(&new);
    }

    /// Adds entries in the order of their hashes, whose members are none of those that are there.
    fn put_sorted(&mut self, mut new: &[New<'_>]) {
        while let Some((first, _)) = new.first() {
            let (branch, _) = self.locate(position(*first));
            let end = self.end_of(branch);
            let count = new.partition_point(|(hash, _)| position(*hash) < end);
            let (of_block, rest) = new.split_at(count);
            new = rest;
            self.len += count;
            for at_ms in deadlines(of_block) {
                self.timed += 1;
                self.due_ms = if self.timed == 1 { at_ms } else { at_ms.min(self.due_ms) };
            }
            if count * PART_NEW < self.branches[branch].len {
                let add = |(hash, entry): &New<'_>| self.add(*hash, &Stored::new(*entry), entry.deadline_ms);
                of_block.iter().for_each(add);
            } else {
                self.lay_out(branch, end, of_block);
            }
        }
        if let [Branch { block, .. }] = &mut self.branches[..]
            && let Block { scales, pages } = Arc::make_mut(block)
            && let ([scale], [page]) = (&scales[..], &mut pages[..])
        {
            page.shrink::<S>(*scale);
        }
    }

    /// Lays out a block anew, with entries that belong there, and makes several of it where they are too many.
    fn lay_out(&mut self, branch: usize, end: u64, new: &[New<'_>]) {
        let Branch { scale, len, due_ms, block } = &mut self.branches[branch];
        let block = Arc::make_mut(block);
        *len += new.len();
        *due_ms = deadlines(new).fold(*due_ms, UnixMs::min);
        let mut all: Vec<(u64, Stored<'_>)> = block.pages.iter().flat_map(Page::stored::<S>).collect();
        all.extend(new.iter().map(|(hash, entry)| (*hash, Stored::new(*entry))));
        let bytes: usize = all.iter().map(|(_, stored)| stored.needed_bytes::<S>()).sum();
        let parts = bytes.div_ceil(PAGE_ROOMY).max(1);
        let (pages, chained) = page::spread::<S>(all, scale.start()..end, parts);
        block.replace(0, block.pages.len(), pages);
        *len -= chained.len();
        self.chain.extend(chained);
        let mut blocks = branch..branch + 1;
        while let Some(at) = blocks.next() {
            if self.branches[at].block.pages.len() >= BLOCK_PAGES_MAX {
                self.cut(at);
                blocks = at..blocks.end + 1;
            }
        }
    }
}

fn deadlines(entries: &[New<'_>]) -> impl Iterator<Item = UnixMs> {
    entries.iter().filter_map(|(_, entry)| entry.deadline_ms)
}
