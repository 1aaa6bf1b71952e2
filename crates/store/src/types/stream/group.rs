//! Consumer groups: how far a group has read, and who has not acknowledged what.
//!
//! What is pending is kept once, in the order of identifiers; each consumer has the identifiers of its own besides, and a
//! group that has been asked for entries to claim also those in the order of time. All of them are leaves that copies share.
//!
//! When a consumer was seen and active is no content of a group, as an access clock is none of a key: it is set without
//! anybody being told, goes along with what is told, and two groups that differ in nothing else are equal.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use super::StreamId;
use super::sorted::{Item, Sorted};
use crate::UnixMs;

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) id: StreamId,
    pub(super) delivered_ms: UnixMs,
    pub(super) count: u64,
    /// Whose it is.
    pub(super) consumer: u32,
}

impl Item for Pending {
    type Key = StreamId;

    fn key(&self) -> StreamId {
        self.id
    }
}

impl Item for StreamId {
    type Key = StreamId;

    fn key(&self) -> StreamId {
        *self
    }
}

impl Item for (UnixMs, StreamId) {
    type Key = (UnixMs, StreamId);

    fn key(&self) -> (UnixMs, StreamId) {
        *self
    }
}

/// What is pending, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PendingEntry<'a> {
    /// The entry, which may be deleted.
    pub id: StreamId,
    /// The consumer it was delivered to last.
    pub consumer: &'a [u8],
    /// When that was.
    pub delivered_ms: UnixMs,
    /// How often it was delivered.
    pub count: u64,
}

/// A consumer of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last asked for something.
    pub seen_ms: UnixMs,
    /// When it last got something; `None`: never.
    pub active_ms: Option<UnixMs>,
    pending: Sorted<StreamId>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has not acknowledged.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// What it has read: new entries are those above.
    pub last_id: StreamId,
    /// How many entries were ever read, if that is known.
    pub entries_read: Option<u64>,
    consumers: BTreeMap<Box<[u8]>, u32>,
    /// By their numbers, those of which that are gone are given again.
    numbered: Vec<Option<Consumer>>,
    pending: Sorted<Pending>,
    /// What is pending by the time of its delivery, once somebody has asked.
    by_time: Option<Sorted<(UnixMs, StreamId)>>,
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        let Group { last_id, entries_read, .. } = *self;
        (last_id, entries_read) == (other.last_id, other.entries_read)
            && self.consumers.keys().eq(other.consumers.keys())
            && self.pending().eq(other.pending())
    }
}

impl Eq for Group {}

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.last_id, self.entries_read, self.consumers.len(), self.pending.len()).hash(state);
        self.pending().for_each(|pending| pending.hash(state));
    }
}

impl Group {
    /// A group without consumers.
    pub(super) fn new(last_id: StreamId, entries_read: Option<u64>) -> Group {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// Its consumers by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.consumers.values().map(|number| self.numbered(*number))
    }

    /// A consumer.
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get(name).map(|number| self.numbered(*number))
    }

    fn numbered(&self, number: u32) -> &Consumer {
        self.numbered[number as usize].as_ref().expect("a number in use is a consumer's")
    }

    fn numbered_mut(&mut self, number: u32) -> &mut Consumer {
        self.numbered[number as usize].as_mut().expect("a number in use is a consumer's")
    }

    /// How many entries are pending.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    fn shown(&self, pending: &Pending) -> PendingEntry<'_> {
        let Pending { id, delivered_ms, count, consumer } = *pending;
        PendingEntry { id, consumer: &self.numbered(consumer).name, delivered_ms, count }
    }

    /// What is pending.
    pub fn pending(&self) -> impl DoubleEndedIterator<Item = PendingEntry<'_>> {
        self.pending.iter().map(|pending| self.shown(pending))
    }

    /// What is pending from an identifier on.
    pub fn pending_from(&self, id: StreamId) -> impl Iterator<Item = PendingEntry<'_>> {
        self.pending.from(id).map(|pending| self.shown(pending))
    }

    /// What is pending with one consumer, from an identifier on.
    pub fn pending_with(&self, consumer: &[u8], id: StreamId) -> impl Iterator<Item = PendingEntry<'_>> {
        let ids = self.consumer(consumer).into_iter().flat_map(move |consumer| consumer.pending.from(id));
        ids.filter_map(|id| self.pending_at(*id))
    }

    /// What is pending of one entry.
    pub fn pending_at(&self, id: StreamId) -> Option<PendingEntry<'_>> {
        self.pending.get(id).map(|pending| self.shown(pending))
    }

    /// Whether an entry is pending.
    pub fn has_pending(&self, id: StreamId) -> bool {
        self.pending.get(id).is_some()
    }

    /// What has been pending longest, if [`Group::order_by_time`] was called.
    pub fn oldest(&self) -> impl Iterator<Item = PendingEntry<'_>> {
        let ids = self.by_time.iter().flat_map(|by_time| by_time.iter().map(|(_, id)| *id));
        ids.filter_map(|id| self.pending_at(id))
    }

    /// Puts what is pending in the order of time too, from now on.
    pub(super) fn order_by_time(&mut self) {
        if self.by_time.is_some() {
            return;
        }
        let mut by_time = Sorted::default();
        for pending in self.pending.iter() {
            by_time.insert((pending.delivered_ms, pending.id));
        }
        self.by_time = Some(by_time);
    }

    /// Notes that a consumer asked for something, and makes it if there is none; true then.
    pub(super) fn see(&mut self, name: &[u8], seen_ms: UnixMs) -> bool {
        let before = self.consumers.len();
        let number = self.number_of(name);
        self.numbered_mut(number).seen_ms = seen_ms;
        self.consumers.len() > before
    }

    fn number_of(&mut self, name: &[u8]) -> u32 {
        if let Some(number) = self.consumers.get(name) {
            return *number;
        }
        let consumer =
            Consumer { name: name.into(), seen_ms: 0, active_ms: None, pending: Sorted::default() };
        let number = match self.numbered.iter().position(Option::is_none) {
            Some(free) if self.consumers.len() < self.numbered.len() => {
                self.numbered[free] = Some(consumer);
                free
            }
            _ => {
                self.numbered.push(Some(consumer));
                self.numbered.len() - 1
            }
        };
        self.consumers.insert(name.into(), number as u32);
        number as u32
    }

    /// Puts a consumer in with its times.
    pub(super) fn restore_consumer(&mut self, name: &[u8], seen_ms: UnixMs, active_ms: Option<UnixMs>) {
        let number = self.number_of(name);
        let consumer = self.numbered_mut(number);
        (consumer.seen_ms, consumer.active_ms) = (seen_ms, active_ms);
    }

    /// Delivers entries to a consumer, whoever had them.
    pub(super) fn deliver(
        &mut self,
        consumer: &[u8],
        delivered_ms: UnixMs,
        entries: impl Iterator<Item = (StreamId, u64)>,
    ) {
        let number = self.number_of(consumer);
        for (id, count) in entries {
            let now = Pending { id, delivered_ms, count, consumer: number };
            let before = self.pending.get_mut(id).map(|pending| std::mem::replace(pending, now.clone()));
            match before {
                Some(before) => {
                    if before.consumer != number {
                        self.numbered_mut(before.consumer).pending.remove(id);
                    }
                    if let Some(by_time) = &mut self.by_time {
                        by_time.remove((before.delivered_ms, id));
                    }
                }
                None => _ = self.pending.insert(now),
            }
            self.numbered_mut(number).pending.insert(id);
            if let Some(by_time) = &mut self.by_time {
                by_time.insert((delivered_ms, id));
            }
        }
    }

    /// Notes that a consumer got something.
    pub(super) fn activate(&mut self, consumer: &[u8], at_ms: UnixMs) {
        let number = self.number_of(consumer);
        let consumer = self.numbered_mut(number);
        (consumer.seen_ms, consumer.active_ms) = (at_ms, Some(at_ms));
    }

    /// An entry is pending no longer; false if it was not.
    pub(super) fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(Pending { delivered_ms, consumer, .. }) = self.pending.remove(id) else { return false };
        self.numbered_mut(consumer).pending.remove(id);
        if let Some(by_time) = &mut self.by_time {
            by_time.remove((delivered_ms, id));
        }
        true
    }

    /// Removes a consumer with all that is pending with it; false if there is none.
    pub(super) fn remove_consumer(&mut self, name: &[u8]) -> bool {
        let Some(number) = self.consumers.get(name).copied() else { return false };
        let ids: Vec<StreamId> = self.numbered(number).pending.iter().copied().collect();
        ids.into_iter().for_each(|id| _ = self.acknowledge(id));
        self.consumers.remove(name);
        self.numbered[number as usize] = None;
        true
    }

    /// Bytes of all allocations.
    pub(super) fn memory_bytes(&self) -> usize {
        let consumers = self.consumers().map(|consumer| {
            2 * consumer.name.len() + size_of::<(Box<[u8]>, u32)>() + consumer.pending.memory_bytes()
        });
        size_of::<Group>()
            + self.numbered.capacity() * size_of::<Option<Consumer>>()
            + consumers.sum::<usize>()
            + self.pending.memory_bytes()
            + self.by_time.as_ref().map_or(0, Sorted::memory_bytes)
    }

    /// How many allocations they are, roughly.
    pub(super) fn allocations(&self) -> usize {
        let consumers = self.consumers().map(|consumer| 2 + consumer.pending.allocations());
        1 + self.pending.allocations() + consumers.sum::<usize>()
    }
}
