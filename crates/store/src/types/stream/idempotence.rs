//! What producers have sent already: for each its last identifiers and the entries they became, so that one that is sent
//! again adds nothing.

use std::collections::{BTreeMap, VecDeque};

use super::StreamId;

/// What a stream knows of its producers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Idempotence {
    /// For how many seconds an identifier is known, if the stream was told.
    pub duration_s: Option<u32>,
    /// How many are known of a producer, if the stream was told.
    pub size_max: Option<u32>,
    /// How many were ever recorded.
    pub added: u64,
    producers: BTreeMap<Box<[u8]>, Producer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Producer {
    entries: BTreeMap<Box<[u8]>, StreamId>,
    /// The oldest first.
    order: VecDeque<Box<[u8]>>,
}

impl Producer {
    fn forget_first(&mut self) {
        if let Some(first) = self.order.pop_front() {
            self.entries.remove(&first);
        }
    }

    fn oldest(&self) -> Option<StreamId> {
        self.order.front().map(|first| self.entries[first])
    }
}

impl Idempotence {
    /// The entry that an identifier of a producer has become.
    pub fn get(&self, producer: &[u8], identifier: &[u8]) -> Option<StreamId> {
        self.producers.get(producer)?.entries.get(identifier).copied()
    }

    /// All there is: producer, identifier, entry; those of a producer from the oldest on.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], StreamId)> {
        self.producers.iter().flat_map(|(name, producer)| {
            producer.order.iter().map(|identifier| (&name[..], &identifier[..], producer.entries[identifier]))
        })
    }

    /// How many producers and identifiers are known whose entries are younger than a time.
    pub fn count_since(&self, ms: u64) -> (usize, usize) {
        let mut counts = (0, 0);
        for producer in self.producers.values() {
            let known = producer.entries.values().filter(|id| id.ms > ms).count();
            counts = (counts.0 + usize::from(known > 0), counts.1 + known);
        }
        counts
    }

    /// Number of identifiers.
    pub fn len(&self) -> usize {
        self.producers.values().map(|producer| producer.order.len()).sum()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Records what an identifier has become; of a producer's so many are kept. False, and nothing done, if it is known.
    pub(super) fn record(&mut self, producer: &[u8], identifier: &[u8], id: StreamId, size_max: u32) -> bool {
        let producer = self.producers.entry(producer.into()).or_default();
        if producer.entries.contains_key(identifier) {
            return false;
        }
        producer.entries.insert(identifier.into(), id);
        producer.order.push_back(identifier.into());
        while producer.order.len() > size_max.max(1) as usize {
            producer.forget_first();
        }
        self.added += 1;
        true
    }

    /// Whether something became an entry of this time or before.
    pub fn has_until(&self, ms: u64) -> bool {
        self.producers.values().any(|producer| producer.oldest().is_some_and(|id| id.ms <= ms))
    }

    /// Forgets what became entries of this time or before.
    pub(super) fn forget_until(&mut self, ms: u64) {
        for producer in self.producers.values_mut() {
            while producer.oldest().is_some_and(|id| id.ms <= ms) {
                producer.forget_first();
            }
        }
        self.producers.retain(|_, producer| !producer.order.is_empty());
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.producers.clear();
    }

    /// Bytes of allocations, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        let entries = self.iter().map(|(_, identifier, _)| 2 * (identifier.len() + 16) + 16);
        let producers = self.producers.keys().map(|name| name.len() + 16 + size_of::<Producer>());
        entries.sum::<usize>() + producers.sum::<usize>()
    }
}
