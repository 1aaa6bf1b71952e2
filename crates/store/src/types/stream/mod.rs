//! Streams: entries in the order of their identifiers, in pages, and the groups of consumers that read them.
//!
//! A stream is a counted body: a copy is a count more, and a write after it copies the body, which is small, the block and
//! the page it changes. Pages are found by the identifiers they begin with ([`tree`]); what they hold is [`page`]'s affair.
//! Whatever comes is put at the end, what goes is marked in its page, and a page without entries goes.

mod group;
mod id;
mod idempotence;
pub mod op;
mod page;
mod sorted;
mod tree;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Encoding;
use super::collection::{Collection, Face};
use super::content::Part;
use super::limits::{EncodingLimits, StreamNodeLimit};
use crate::UnixMs;
use crate::keyspace::{Editor, Misfit};
use page::{Page, Words};
use tree::Tree;

pub use group::{Consumer, Group, PendingEntry};
pub use id::StreamId;
pub use idempotence::Idempotence;
pub use op::{StreamOp, StreamUndo};
pub use page::Entry;

/// Bytes that a listpack of Redis takes for a text.
pub fn listpack_text_bytes(text: &[u8]) -> usize {
    page::listpack::text_bytes(text)
}

/// Most bytes of the fields of an entry (Redis: `STREAM_LISTPACK_MAX_SIZE`).
pub const ENTRY_BYTES_MAX: usize = 1 << 30;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream(Arc<Body>);

#[derive(Clone, Debug, Default)]
struct Body {
    pages: Tree<StreamId, Page>,
    len: usize,
    /// Of the first entry and of the last one; 0 where there is none.
    ends: (StreamId, StreamId),
    marks: Marks,
    groups: BTreeMap<Box<[u8]>, Arc<Group>>,
    idempotence: Arc<Idempotence>,
    /// How often something came that was known. No content: it is counted without anybody being told.
    duplicates: u64,
}

/// What a stream knows of entries that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// The highest identifier ever given.
    pub last_id: StreamId,
    /// The highest one that was deleted, trimming aside.
    pub max_deleted_id: StreamId,
    /// How many entries there ever were.
    pub entries_added: u64,
}

/// A part of a stream. Entries come first, then the marks; what belongs to a group comes behind it.
#[allow(missing_docs, reason = "the fields say what the variants have")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamPart<'a> {
    /// Names and values of its fields by turns.
    Entry {
        id: StreamId,
        fields: &'a [&'a [u8]],
    },
    Marks(Marks),
    /// What producers have sent, as far as it is no identifier.
    Producers {
        duration_s: Option<u32>,
        size_max: Option<u32>,
        added: u64,
        duplicates: u64,
    },
    /// An identifier of a producer, behind those that came before.
    Produced {
        producer: &'a [u8],
        identifier: &'a [u8],
        id: StreamId,
    },
    Group {
        name: &'a [u8],
        last_id: StreamId,
        entries_read: Option<u64>,
    },
    Consumer {
        group: &'a [u8],
        name: &'a [u8],
        seen_ms: UnixMs,
        active_ms: Option<UnixMs>,
    },
    Pending {
        group: &'a [u8],
        pending: PendingEntry<'a>,
    },
}

/// What becomes of references to entries that are removed: in what is pending with groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum References {
    /// They stay.
    #[default]
    Keep,
    /// They go too.
    Delete,
    /// Entries with references stay, and those that a group has still to read.
    Respect,
}

/// What is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// All but so many entries.
    Len(u64),
    /// Entries below.
    Id(StreamId),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// What goes.
    pub to: TrimTo,
    /// Only whole pages, and at most so many entries of those; 0 for any number.
    pub by_pages: Option<usize>,
    /// References to what goes.
    pub references: References,
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return true;
        }
        let (one, two) = (&*self.0, &*other.0);
        (one.len, one.marks) == (two.len, two.marks)
            && one.groups == two.groups
            && one.idempotence == two.idempotence
            && self
                .iter()
                .zip(other.iter())
                .all(|(one, two)| one.id == two.id && one.to_vec() == two.to_vec())
    }
}

impl Eq for Stream {}

impl Hash for Stream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.len, self.0.marks, &self.0.groups, &self.0.idempotence).hash(state);
        self.iter().for_each(|entry| (entry.id, entry.to_vec()).hash(state));
    }
}

impl Face for Stream {
    fn len(&self) -> usize {
        self.0.len
    }

    fn encoding(&self) -> Encoding {
        Encoding::Stream
    }

    fn memory_bytes(&self) -> usize {
        let Body { pages, groups, idempotence, .. } = &*self.0;
        let groups = groups.iter().map(|(name, group)| 2 * name.len() + group.memory_bytes());
        size_of::<Body>()
            + pages.memory_bytes()
            + pages.leaves().map(Page::memory_bytes).sum::<usize>()
            + groups.sum::<usize>()
            + idempotence.memory_bytes()
    }

    fn allocations(&self) -> usize {
        let Body { pages, groups, idempotence, .. } = &*self.0;
        let groups = groups.values().map(|group| group.allocations());
        1 + 2 * pages.len() + groups.sum::<usize>() + idempotence.len()
    }

    fn parts(&self) -> usize {
        let Body { len, groups, idempotence, .. } = &*self.0;
        let groups = groups.values().map(|group| 1 + group.consumers().len() + group.pending_len());
        len + 2 + idempotence.len() + groups.sum::<usize>()
    }

    fn content(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let Body { marks, groups, idempotence, duplicates, .. } = &*self.0;
        let mut visit = |part: StreamPart<'_>| visit(Part::Stream(part));
        let mut words = Words::default();
        for entry in self.iter() {
            entry.with_words(&mut words, |fields| visit(StreamPart::Entry { id: entry.id, fields }))?;
        }
        visit(StreamPart::Marks(*marks))?;
        let Idempotence { duration_s, size_max, added, .. } = **idempotence;
        visit(StreamPart::Producers { duration_s, size_max, added, duplicates: *duplicates })?;
        for (producer, identifier, id) in idempotence.iter() {
            visit(StreamPart::Produced { producer, identifier, id })?;
        }
        for (name, group) in groups {
            let Group { last_id, entries_read, .. } = **group;
            visit(StreamPart::Group { name, last_id, entries_read })?;
            for consumer in group.consumers() {
                let Consumer { seen_ms, active_ms, .. } = *consumer;
                visit(StreamPart::Consumer { group: name, name: consumer.name(), seen_ms, active_ms })?;
            }
            for pending in group.pending() {
                visit(StreamPart::Pending { group: name, pending })?;
            }
        }
        ControlFlow::Continue(())
    }

    fn add(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        let Part::Stream(part) = part else { return Err(Misfit) };
        let fits = match part {
            StreamPart::Entry { id, fields } => {
                let fits = id > self.0.marks.last_id && !fields.is_empty() && fields.len() % 2 == 0;
                if fits {
                    self.append(id, fields, limits.stream_node);
                }
                fits
            }
            StreamPart::Marks(marks) => {
                self.body().marks = marks;
                marks.last_id >= self.0.ends.1
            }
            StreamPart::Producers { duration_s, size_max, added, duplicates } => {
                let body = self.body();
                body.duplicates = duplicates;
                let idempotence = Arc::make_mut(&mut body.idempotence);
                (idempotence.duration_s, idempotence.size_max) = (duration_s, size_max);
                idempotence.added = added;
                true
            }
            StreamPart::Produced { producer, identifier, id } => {
                let idempotence = Arc::make_mut(&mut self.body().idempotence);
                let added = idempotence.added;
                let is_new = idempotence.record(producer, identifier, id, u32::MAX);
                idempotence.added = added;
                is_new
            }
            StreamPart::Group { name, last_id, entries_read } => {
                let group = Arc::new(Group::new(last_id, entries_read));
                self.body().groups.insert(name.into(), group).is_none()
            }
            StreamPart::Consumer { group, name, seen_ms, active_ms } => {
                let Some(group) = self.group_mut(group) else { return Err(Misfit) };
                let is_new = group.consumer(name).is_none();
                group.restore_consumer(name, seen_ms, active_ms);
                is_new
            }
            StreamPart::Pending { group, pending: PendingEntry { id, consumer, delivered_ms, count } } => {
                let Some(group) = self.group_mut(group) else { return Err(Misfit) };
                if group.consumer(consumer).is_none() || group.has_pending(id) {
                    return Err(Misfit);
                }
                group.deliver(consumer, delivered_ms, std::iter::once((id, count)));
                true
            }
        };
        if fits { Ok(()) } else { Err(Misfit) }
    }
}

impl Collection for Stream {
    const NAME: &'static str = "stream";
    const PLURAL: &'static str = "streams";
    const NUMBER: u8 = 6;
    const STAYS_EMPTY: bool = true;

    type Op<'a> = StreamOp<'a>;
    type Undo = StreamUndo;

    fn apply(editor: &mut Editor<'_, Self>, op: &StreamOp<'_>) -> Result<(), Misfit> {
        op::apply(editor, op)
    }

    fn take_back(&mut self, undo: &StreamUndo, _: &EncodingLimits) {
        op::take_back(self, undo);
    }

    fn undo_bytes(undo: &StreamUndo) -> usize {
        op::undo_bytes(undo)
    }
}

impl Stream {
    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Whether it knows what producers have sent, or was told how long to.
    pub fn has_producers(&self) -> bool {
        let idempotence = &self.0.idempotence;
        !idempotence.is_empty() || idempotence.duration_s.is_some() || idempotence.size_max.is_some()
    }

    /// The identifier of the first entry; 0 without one.
    pub fn first_id(&self) -> StreamId {
        self.0.ends.0
    }

    /// The identifier of the last entry that is there; 0 without one.
    #[inline]
    pub fn top_id(&self) -> StreamId {
        self.0.ends.1
    }

    /// What is known of entries that are gone.
    #[inline]
    pub fn marks(&self) -> Marks {
        self.0.marks
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.0.pages.len()
    }

    /// Its groups by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.0.groups.iter().map(|(name, group)| (&**name, &**group))
    }

    /// A group.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name).map(|group| &**group)
    }

    /// What producers have sent already.
    pub fn idempotence(&self) -> &Idempotence {
        &self.0.idempotence
    }

    /// How often something came that was known.
    pub fn duplicates(&self) -> u64 {
        self.0.duplicates
    }

    /// The entry of an identifier.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let place = self.0.pages.place_of(id)?;
        self.0.pages.leaf(place).get(id)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.0.pages.leaves().flat_map(Page::entries)
    }

    /// Entries from one identifier to another, both included.
    #[inline]
    pub fn range(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let pages = &self.0.pages;
        let place = pages.place_of(from).or_else(|| pages.first());
        let places = std::iter::successors(place, |place| pages.behind(*place));
        let entries = places.flat_map(|place| pages.leaf(place).entries());
        entries.skip_while(move |entry| entry.id < from).take_while(move |entry| entry.id <= to)
    }

    /// The same from the last one on.
    pub fn range_back(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let pages = &self.0.pages;
        let places = std::iter::successors(pages.place_of(to), |place| pages.before(*place));
        let entries = places.flat_map(|place| {
            let entries: Vec<Entry<'_>> = pages.leaf(place).entries().collect();
            entries.into_iter().rev()
        });
        entries.skip_while(move |entry| entry.id > to).take_while(move |entry| entry.id >= from)
    }

    fn body(&mut self) -> &mut Body {
        Arc::make_mut(&mut self.0)
    }

    fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.body().groups.get_mut(name).map(Arc::make_mut)
    }

    /// Adds an entry, whose identifier is above the last one.
    fn append(&mut self, id: StreamId, fields: &[&[u8]], limit: StreamNodeLimit) {
        let body = self.body();
        match body.pages.last() {
            Some(last) if body.pages.leaf(last).takes(fields, limit) => {
                body.pages.leaf_mut(last).push(id, fields);
            }
            last => {
                if let Some(last) = last {
                    body.pages.leaf_mut(last).seal();
                }
                body.pages.insert(last, id, Page::of(id, fields));
            }
        }
        body.len += 1;
        body.marks.last_id = id;
        body.marks.entries_added += 1;
        body.ends = (if body.len == 1 { id } else { body.ends.0 }, id);
    }

    /// Takes the last entry back, and what was the last identifier before.
    fn take_back_append(&mut self, last_id: StreamId) {
        let body = self.body();
        let Some(place) = body.pages.last() else { return };
        let page = body.pages.leaf_mut(place);
        page.forget_last();
        if page.live() == 0 {
            body.pages.remove(place);
        }
        body.len -= 1;
        body.marks.last_id = last_id;
        body.marks.entries_added -= 1;
        body.find_ends();
    }

    /// Removes an entry; false if there is none.
    fn remove(&mut self, id: StreamId) -> bool {
        if self.get(id).is_none() {
            return false;
        }
        let body = self.body();
        let Some(place) = body.pages.place_of(id) else { return false };
        let page = body.pages.leaf_mut(place);
        page.delete(id);
        if page.live() == 0 {
            body.pages.remove(place);
        }
        body.len -= 1;
        if id == body.ends.0 || id == body.ends.1 {
            body.find_ends();
        }
        true
    }

    /// How many entries a trim takes (Redis: `streamTrim`).
    pub fn trimmed(&self, trim: Trim) -> usize {
        let Trim { to, by_pages, references } = trim;
        let limit = by_pages.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let (mut deleted, mut len) = (0, self.len() as u64);
        for page in self.0.pages.leaves() {
            let entries = page.live();
            if matches!(to, TrimTo::Len(max) if len <= max) || deleted + entries > limit {
                break;
            }
            let goes_whole = match to {
                TrimTo::Len(max) => len - entries as u64 >= max,
                TrimTo::Id(id) => page.last() < id,
            };
            if references == References::Keep {
                if goes_whole {
                    deleted += entries;
                    len -= entries as u64;
                    continue;
                }
                if by_pages.is_some() {
                    break;
                }
            }
            for entry in page.entries() {
                let is_over = match to {
                    TrimTo::Len(max) => len <= max,
                    TrimTo::Id(id) => entry.id >= id,
                };
                if is_over {
                    break;
                }
                if references != References::Respect || !self.is_referenced(entry.id) {
                    deleted += 1;
                    len -= 1;
                }
            }
            if !goes_whole {
                break;
            }
        }
        deleted
    }

    /// Removes entries from the first on until so many are left, and returns how many those were.
    fn trim_to(&mut self, len: usize, references: References) -> usize {
        let before = self.len();
        let mut excess = before.saturating_sub(len);
        if excess == 0 {
            return 0;
        }
        match references {
            References::Keep => {}
            References::Delete => {
                let gone: Vec<StreamId> = self.iter().take(excess).map(|entry| entry.id).collect();
                gone.iter().for_each(|id| _ = self.forget_references(*id));
            }
            References::Respect => {
                let ids = self.iter().map(|entry| entry.id);
                let gone: Vec<StreamId> = ids.filter(|id| !self.is_referenced(*id)).take(excess).collect();
                gone.iter().for_each(|id| _ = self.remove(*id));
                return gone.len();
            }
        }
        let body = self.body();
        while let Some(place) = body.pages.first().filter(|_| excess > 0) {
            let live = body.pages.leaf(place).live();
            if live <= excess {
                body.pages.remove(place);
                excess -= live;
            } else {
                body.pages.leaf_mut(place).delete_first(excess);
                excess = 0;
            }
        }
        body.len = len;
        body.find_ends();
        before - len
    }

    /// Whether a group has an entry pending or has still to read it (Redis: `streamEntryIsReferenced`).
    pub fn is_referenced(&self, id: StreamId) -> bool {
        self.0.groups.values().any(|group| group.last_id < id || group.has_pending(id))
    }

    /// Takes an entry out of all that is pending; true if it was there.
    fn forget_references(&mut self, id: StreamId) -> bool {
        if !self.0.groups.values().any(|group| group.has_pending(id)) {
            return false;
        }
        for group in self.body().groups.values_mut() {
            if group.has_pending(id) {
                Arc::make_mut(group).acknowledge(id);
            }
        }
        true
    }

    /// Whether an entry was deleted at an identifier or behind it (Redis: `streamRangeHasTombstones`).
    fn has_gaps_from(&self, id: StreamId) -> bool {
        let max_deleted_id = self.0.marks.max_deleted_id;
        !self.is_empty() && max_deleted_id != StreamId::MIN && id <= max_deleted_id
    }

    /// How many entries were added up to an identifier, where that can be told (Redis:
    /// `streamEstimateDistanceFromFirstEverEntry`).
    fn added_until(&self, id: StreamId) -> Option<u64> {
        let Marks { last_id, max_deleted_id, entries_added } = self.0.marks;
        if entries_added == 0 {
            return Some(0);
        }
        if self.is_empty() && id <= last_id {
            return Some(entries_added);
        }
        if id != StreamId::MIN && id < max_deleted_id || id > last_id {
            return None;
        }
        if id == last_id {
            return Some(entries_added);
        }
        let first = self.first_id();
        if max_deleted_id != StreamId::MIN && max_deleted_id >= first || id > first {
            return None;
        }
        let before_first = entries_added.wrapping_sub(self.len() as u64);
        Some(before_first.wrapping_add(u64::from(id == first)))
    }

    /// How many entries a group has still to read, where that can be told (Redis: `streamReplyWithCGLag`).
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let Marks { max_deleted_id, entries_added, .. } = self.0.marks;
        if entries_added == 0 || self.is_empty() {
            return Some(0);
        }
        if group.last_id < self.first_id() && max_deleted_id < self.first_id() {
            return Some(self.len() as i64);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_gaps_from(group.last_id) => Some(read),
            _ => self.added_until(group.last_id),
        };
        read.map(|read| entries_added.wrapping_sub(read) as i64)
    }

    /// What a group has read once it has read entries up to one, which are in order and above what it has read.
    pub fn read_until<'i>(
        &self,
        group: &Group,
        ids: impl IntoIterator<Item = &'i StreamId>,
    ) -> (StreamId, Option<u64>) {
        let (mut last_id, mut entries_read) = (group.last_id, group.entries_read);
        for id in ids {
            entries_read = match entries_read {
                Some(read) if last_id >= self.first_id() && !self.has_gaps_from(last_id) => Some(read + 1),
                read if self.0.marks.entries_added == 0 => read,
                _ => self.added_until(*id),
            };
            last_id = *id;
        }
        (last_id, entries_read)
    }
}

impl Body {
    fn find_ends(&mut self) {
        let first = self.pages.first().and_then(|page| self.pages.leaf(page).entries().next());
        let last = self.pages.last().and_then(|page| self.pages.leaf(page).entries().last());
        self.ends =
            (first.map(|entry| entry.id).unwrap_or_default(), last.map(|entry| entry.id).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
