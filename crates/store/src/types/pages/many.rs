//! Many entries at once: sorted by their positions and laid out page by page, which takes a fraction of what searching
//! the place of each does, and leaves pages that are as full as those that have grown.

use super::page::{self, Far, PAGE_ROOMY, Page, Stored};
use super::{Arc, BLOCK_PAGES_MAX, Branch, Entry, Shape, Table, UnixMs, position};

/// A block is laid out anew if it gets at least this part of what it has.
const PART_NEW: usize = 4;

/// Where an entry lies that has been encoded.
enum Encoded {
    Near { begin: usize, end: usize },
    Far(Far),
}

/// Entries that are encoded, in the order of their positions.
#[derive(Default)]
struct Sorted {
    bytes: Vec<u8>,
    entries: Vec<(u64, Encoded, Option<UnixMs>)>,
}

impl Sorted {
    fn push<S: Shape>(&mut self, hash: u64, entry: Entry<'_>) {
        let begin = self.bytes.len();
        let encoded = page::encode::<S, _>(entry, |stored| match stored {
            Stored::Far(far) => Encoded::Far(Arc::clone(far)),
            Stored::Near(bytes) => self.near(begin, &[bytes]),
            Stored::Parts(parts) => self.near(begin, *parts),
        });
        self.entries.push((hash, encoded, entry.deadline_ms));
    }

    fn near(&mut self, begin: usize, parts: &[&[u8]]) -> Encoded {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        Encoded::Near { begin, end: self.bytes.len() }
    }

    fn stored(&self, at: usize) -> (u64, Stored<'_>) {
        let (hash, encoded, _) = &self.entries[at];
        let stored = match encoded {
            Encoded::Near { begin, end } => Stored::Near(&self.bytes[*begin..*end]),
            Encoded::Far(far) => Stored::Far(Arc::clone(far)),
        };
        (*hash, stored)
    }
}

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
        let mut new = Sorted::default();
        for (at, &(hash, number)) in order.iter().enumerate() {
            let entry = entries[number];
            let mut same = order[at + 1..].iter().take_while(|(other, _)| *other == hash);
            if same.any(|(_, later)| entries[*later].member == entry.member) {
                continue;
            }
            if self.len > 0 && self.find(hash, entry.member).is_some() {
                self.put(entry);
            } else {
                new.push::<S>(hash, entry);
            }
        }
        self.put_sorted(&new);
    }

    /// Adds entries whose members are none of those that are there.
    fn put_sorted(&mut self, new: &Sorted) {
        let mut next = 0;
        while next < new.entries.len() {
            let (branch, _) = self.locate(position(new.entries[next].0));
            let end = self.end_of(branch);
            let count = new.entries[next..].partition_point(|(hash, ..)| position(*hash) < end);
            let of_block = next..next + count;
            next += count;
            self.len += count;
            for at_ms in new.entries[of_block.clone()].iter().filter_map(|(.., deadline_ms)| *deadline_ms) {
                self.timed += 1;
                self.due_ms = if self.timed == 1 { at_ms } else { at_ms.min(self.due_ms) };
            }
            let is_small = self.len <= PAGE_ROOMY / 64;
            if is_small || count * PART_NEW < self.branches[branch].len {
                for at in of_block {
                    let (hash, stored) = new.stored(at);
                    self.add(hash, &stored, new.entries[at].2);
                }
            } else {
                self.lay_out(branch, end, new, of_block);
            }
        }
    }

    /// Lays out a block anew, with entries that belong there, and makes several of it where they are too many.
    fn lay_out(&mut self, branch: usize, end: u64, new: &Sorted, of_block: std::ops::Range<usize>) {
        let Branch { scale, len, due_ms, block } = &mut self.branches[branch];
        let block = Arc::make_mut(block);
        *len += of_block.len();
        let deadlines = new.entries[of_block.clone()].iter().filter_map(|(.., deadline_ms)| *deadline_ms);
        *due_ms = deadlines.fold(*due_ms, UnixMs::min);
        let mut all: Vec<(u64, Stored<'_>)> = block.pages.iter().flat_map(Page::stored::<S>).collect();
        all.extend(of_block.map(|at| new.stored(at)));
        let bytes: usize = all.iter().map(|(_, stored)| stored.needed_bytes()).sum();
        let (pages, chained) = page::spread::<S>(all, scale.start()..end, bytes.div_ceil(PAGE_ROOMY).max(1));
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
