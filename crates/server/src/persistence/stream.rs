//! Streams as the parts of RDB, whose order differs: what is pending comes before the consumers that have it.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use swytch_rdb::StreamPart as Rdb;
use swytch_store::types::stream::PendingEntry;
use swytch_store::{Builder, Face, Marks, Part, StreamId, StreamPart};

fn id(id: swytch_rdb::StreamId) -> StreamId {
    StreamId { ms: id.ms, sequence: id.sequence }
}

/// Times before 1970 are taken for none.
fn time(ms: i64) -> Option<u64> {
    u64::try_from(ms).ok()
}

fn written(id: StreamId) -> swytch_rdb::StreamId {
    swytch_rdb::StreamId { ms: id.ms, sequence: id.sequence }
}

/// Seconds, and how many identifiers of a producer are known, where nobody said anything else.
const DEFAULT: u32 = 100;

/// What belongs to a group that is being shown.
#[derive(Default)]
struct Shown {
    pending: Vec<(StreamId, u64, u64)>,
    consumers: Vec<Consumer>,
    /// Where each lies.
    places: HashMap<Vec<u8>, usize>,
}

/// Its name, when it was seen and active, and what it has.
type Consumer = (Vec<u8>, u64, Option<u64>, Vec<StreamId>);

impl Shown {
    fn show(self, visit: &mut dyn FnMut(Rdb<'_>)) {
        for (id, delivered_ms, count) in self.pending {
            visit(Rdb::Pending { id: written(id), delivered_ms: delivered_ms as i64, count });
        }
        for (name, seen_ms, active_ms, held) in self.consumers {
            let active_ms = Some(active_ms.map_or(-1, |ms| ms as i64));
            visit(Rdb::Consumer { name: &name, seen_ms: seen_ms as i64, active_ms });
            held.into_iter().for_each(|id| visit(Rdb::Held(written(id))));
        }
    }
}

/// Shows a stream's parts as they are written. What it was not told of its producers is the server's to say.
pub(super) fn show(stream: &dyn Face, visit: &mut dyn FnMut(Rdb<'_>)) {
    let (mut group, mut first) = (Shown::default(), None);
    let _ = stream.content(&mut |part| {
        let Part::Stream(part) = part else { return ControlFlow::Continue(()) };
        match part {
            StreamPart::Entry { id, fields } => {
                first = first.or(Some(id));
                visit(Rdb::Item { id: written(id), fields });
            }
            StreamPart::Marks(Marks { last_id, max_deleted_id, entries_added }) => {
                let history =
                    Some((written(first.unwrap_or_default()), written(max_deleted_id), entries_added));
                visit(Rdb::Marks { len: stream.len() as u64, last: written(last_id), history });
            }
            StreamPart::Producers { duration_s, size_max, added, duplicates } => {
                let (duration, entries_max) = (duration_s.unwrap_or(DEFAULT), size_max.unwrap_or(DEFAULT));
                let (duration, entries_max) = (duration.into(), entries_max.into());
                visit(Rdb::Idempotency { duration, entries_max });
                visit(Rdb::Additions { added, duplicates });
            }
            StreamPart::Produced { producer, identifier: name, id } => {
                visit(Rdb::Addition { producer, name, id: written(id) });
            }
            StreamPart::Group { name, last_id, entries_read } => {
                std::mem::take(&mut group).show(visit);
                visit(Rdb::Group {
                    name,
                    delivered: written(last_id),
                    read: Some(entries_read.unwrap_or(u64::MAX)),
                });
            }
            StreamPart::Consumer { name, seen_ms, active_ms, .. } => {
                group.places.insert(name.to_vec(), group.consumers.len());
                group.consumers.push((name.to_vec(), seen_ms, active_ms, Vec::new()));
            }
            StreamPart::Pending { pending: PendingEntry { id, consumer, delivered_ms, count }, .. } => {
                group.pending.push((id, delivered_ms, count));
                if let Some(place) = group.places.get(consumer) {
                    group.consumers[*place].3.push(id);
                }
            }
        }
        ControlFlow::Continue(())
    });
    group.show(visit);
}

/// What is known of a stream that is read part by part.
#[derive(Debug, Default)]
pub(super) struct Reader {
    group: Vec<u8>,
    consumer: Vec<u8>,
    /// What is pending in the group and with none of its consumers yet: when it was delivered, and how often.
    pending: BTreeMap<StreamId, (u64, u64)>,
    duration_s: Option<u32>,
    size_max: Option<u32>,
    /// The first entry, how many there are, and the last identifier.
    first: Option<StreamId>,
    len: u64,
    last: StreamId,
}

impl Reader {
    /// How many entries a group has read, of which an old version does not tell: where nothing is known to be deleted, what
    /// the place of its last one says (Redis: `streamEstimateDistanceFromFirstEverEntry`).
    fn read_until(&self, delivered: StreamId) -> Option<u64> {
        let first = self.first?;
        match delivered {
            id if id == self.last => Some(self.len),
            id if id > self.last => None,
            id if id < first => Some(0),
            id => (id == first).then_some(1),
        }
    }

    /// Adds a part to the value.
    ///
    /// # Errors
    /// If the value cannot have it.
    pub(super) fn part(&mut self, part: Rdb<'_>, builder: &mut Builder) -> Result<(), String> {
        let mut add = |part: StreamPart<'_>| {
            builder.add(Part::Stream(part)).map_err(|_| "a stream has a part that does not fit".to_owned())
        };
        match part {
            Rdb::Item { id: at, fields } => {
                self.first = self.first.or(Some(id(at)));
                add(StreamPart::Entry { id: id(at), fields })
            }
            Rdb::Marks { len, last, history } => {
                let (_, deleted, added) = history.unwrap_or((last, swytch_rdb::StreamId::default(), len));
                let (last_id, max_deleted_id) = (id(last), id(deleted));
                (self.len, self.last) = (len, last_id);
                add(StreamPart::Marks(Marks { last_id, max_deleted_id, entries_added: added }))
            }
            Rdb::Group { name, delivered, read } => {
                self.end_of_group()?;
                self.group = name.to_vec();
                let entries_read = match read {
                    Some(read) => Some(read).filter(|read| i64::try_from(*read).is_ok()),
                    None => self.read_until(id(delivered)),
                };
                add(StreamPart::Group { name, last_id: id(delivered), entries_read })
            }
            Rdb::Pending { id: at, delivered_ms, count } => {
                let is_new = self.pending.insert(id(at), (time(delivered_ms).unwrap_or(0), count)).is_none();
                if is_new { Ok(()) } else { Err("an entry is pending twice".to_owned()) }
            }
            Rdb::Consumer { name, seen_ms, active_ms } => {
                self.consumer = name.to_vec();
                let seen_ms = time(seen_ms).unwrap_or(0);
                let active_ms = active_ms.map_or(Some(seen_ms), time);
                add(StreamPart::Consumer { group: &self.group, name, seen_ms, active_ms })
            }
            Rdb::Held(at) => {
                let held = self.pending.remove(&id(at));
                let (delivered_ms, count) = held.ok_or("a consumer has what is not pending")?;
                let pending = PendingEntry { id: id(at), consumer: &self.consumer, delivered_ms, count };
                add(StreamPart::Pending { group: &self.group, pending })
            }
            Rdb::Idempotency { duration, entries_max } => {
                let given = |number: u64| u32::try_from(number).ok().filter(|number| *number != DEFAULT);
                (self.duration_s, self.size_max) = (given(duration), given(entries_max));
                Ok(())
            }
            Rdb::Addition { producer, name, id: at } => {
                add(StreamPart::Produced { producer, identifier: name, id: id(at) })
            }
            Rdb::Additions { added, duplicates } => {
                let (duration_s, size_max) = (self.duration_s, self.size_max);
                add(StreamPart::Producers { duration_s, size_max, added, duplicates })
            }
        }
    }

    /// Nothing more comes of a group.
    ///
    /// # Errors
    /// If something is pending that no consumer has.
    pub(super) fn end_of_group(&self) -> Result<(), String> {
        match self.pending.is_empty() {
            true => Ok(()),
            false => Err("an entry is pending with no consumer".to_owned()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A stream of an entry for each text, with groups, in a form that old versions can say too.
    pub(in crate::persistence) fn sample(texts: &[Vec<u8>], builder: &mut Builder) {
        let mut add = |part: StreamPart<'_>| builder.add(Part::Stream(part)).expect("a part of a stream");
        let at = |number: usize| StreamId { ms: 7 + number as u64 / 3, sequence: 3 + number as u64 % 3 };
        for (number, text) in texts.iter().enumerate() {
            let fields: [&[u8]; 4] = [b"name", text, if number % 5 == 0 { text } else { b"other" }, b"12"];
            add(StreamPart::Entry { id: at(number), fields: &fields });
        }
        let last_id = at(texts.len() - 1);
        let max_deleted_id = StreamId::MIN;
        add(StreamPart::Marks(Marks { last_id, max_deleted_id, entries_added: texts.len() as u64 }));
        let (duration_s, size_max) = (None, None);
        add(StreamPart::Producers { duration_s, size_max, added: 0, duplicates: 0 });
        for (group, last_id, entries_read) in [(b"g", last_id, texts.len() as u64), (b"h", StreamId::MIN, 0)]
        {
            add(StreamPart::Group { name: group, last_id, entries_read: Some(entries_read) });
            for name in [b"alice", b"carol"] {
                add(StreamPart::Consumer { group, name, seen_ms: 5, active_ms: Some(5) });
            }
            for number in 0..texts.len().min(5) {
                let consumer: &[u8] = if number % 2 == 0 { b"alice" } else { b"carol" };
                let pending = PendingEntry { id: at(number), consumer, delivered_ms: 9, count: 2 };
                add(StreamPart::Pending { group, pending });
            }
        }
    }
}
