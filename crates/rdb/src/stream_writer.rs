//! Writing a stream, the mirror of `stream`: its items in nodes, what it remembers, and its groups.

use std::io::Write;

use crate::output::Output;
use crate::packed::{Entry, ListpackWriter};
use crate::write::Value;
use crate::{Layout, Part, StreamId, StreamPart};

/// Items and bytes of a node, as Redis has them by default.
const NODE_ITEMS_MAX: usize = 100;
const NODE_BYTES_MAX: usize = 4096;
/// The item has the field names of the node's first.
const FLAG_SAME_FIELDS: i64 = 2;

/// Nodes that are being written.
#[derive(Default)]
struct Nodes {
    /// Keys of those that are whole, and where their listpacks end.
    ends: Vec<(StreamId, usize)>,
    /// Their listpacks, one behind the other.
    bytes: Vec<u8>,
    /// The first item of the last one, and its names.
    master: StreamId,
    names: Vec<Vec<u8>>,
    /// Its items.
    items: ListpackWriter,
    items_count: usize,
    items_bytes: usize,
}

impl Nodes {
    fn item(&mut self, id: StreamId, fields: &[&[u8]]) {
        let bytes: usize = fields.iter().map(|word| word.len()).sum();
        if self.items_count == NODE_ITEMS_MAX || self.items_bytes + bytes > NODE_BYTES_MAX {
            self.end_node();
        }
        if self.items_count == 0 {
            self.master = id;
            self.names = fields.iter().step_by(2).map(|name| name.to_vec()).collect();
        }
        self.items_count += 1;
        self.items_bytes += bytes;
        let is_same = fields.iter().step_by(2).eq(&self.names);
        let items = &mut self.items;
        items.push(Entry::Integer(if is_same { FLAG_SAME_FIELDS } else { 0 }));
        items.push(Entry::Integer(id.ms.wrapping_sub(self.master.ms) as i64));
        items.push(Entry::Integer(id.sequence.wrapping_sub(self.master.sequence) as i64));
        let entries = if is_same {
            fields.iter().skip(1).step_by(2).for_each(|value| items.push(Entry::of_text(value)));
            3 + self.names.len()
        } else {
            items.push(Entry::Integer(fields.len() as i64 / 2));
            fields.iter().for_each(|word| items.push(Entry::of_text(word)));
            4 + fields.len()
        };
        items.push(Entry::Integer(entries as i64));
    }

    /// What is ahead of the items needs their number.
    fn end_node(&mut self) {
        if self.items_count == 0 {
            return;
        }
        let mut node = ListpackWriter::new();
        node.push(Entry::Integer(self.items_count as i64));
        node.push(Entry::Integer(0));
        node.push(Entry::Integer(self.names.len() as i64));
        self.names.iter().for_each(|name| node.push(Entry::of_text(name)));
        node.push(Entry::Integer(0));
        node.append(&mut self.items);
        node.finish(|packed| self.bytes.extend_from_slice(packed));
        self.ends.push((self.master, self.bytes.len()));
        (self.items_count, self.items_bytes) = (0, 0);
    }

    fn write<W: Write>(mut self, output: &mut Output<W>) {
        self.end_node();
        output.length(self.ends.len() as u64);
        let mut begin = 0;
        for (key, end) in self.ends {
            output.string(&raw(key));
            output.string(&self.bytes[begin..end]);
            begin = end;
        }
    }
}

/// A place as sixteen bytes.
fn raw(id: StreamId) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.sequence)).to_be_bytes()
}

fn put_id<W: Write>(output: &mut Output<W>, id: StreamId) {
    output.length(id.ms);
    output.length(id.sequence);
}

/// A group with what belongs to it.
struct Group {
    name: Vec<u8>,
    delivered: StreamId,
    read: Option<u64>,
    pending: Vec<(StreamId, i64, u64)>,
    consumers: Vec<Consumer>,
}

/// Its name, when it was seen and active, and what it has.
type Consumer = (Vec<u8>, i64, Option<i64>, Vec<StreamId>);
/// A producer, and its names with what they are of.
type Producer = (Vec<u8>, Vec<(Vec<u8>, StreamId)>);

/// What a stream is made of besides its items.
#[derive(Default)]
struct Rest {
    marks: (u64, StreamId, Option<(StreamId, StreamId, u64)>),
    groups: Vec<Group>,
    idempotency: (u64, u64),
    producers: Vec<Producer>,
    additions: (u64, u64),
}

/// Writes a stream.
pub(crate) fn write<W: Write>(output: &mut Output<W>, layout: Layout, value: &Value<'_>) {
    let (mut nodes, mut rest) = (Nodes::default(), Rest::default());
    (value.parts)(&mut |part| match part {
        Part::Stream(StreamPart::Item { id, fields }) => nodes.item(id, fields),
        Part::Stream(part) => rest.take(part),
        part => unreachable!("{part:?} is not of a stream"),
    });
    nodes.write(output);
    rest.write(output, layout);
}

impl Rest {
    fn take(&mut self, part: StreamPart<'_>) {
        match part {
            StreamPart::Item { .. } => unreachable!("items are taken elsewhere"),
            StreamPart::Marks { len, last, history } => self.marks = (len, last, history),
            StreamPart::Group { name, delivered, read } => {
                let (pending, consumers) = (Vec::new(), Vec::new());
                self.groups.push(Group { name: name.to_vec(), delivered, read, pending, consumers });
            }
            StreamPart::Pending { id, delivered_ms, count } => {
                if let Some(group) = self.groups.last_mut() {
                    group.pending.push((id, delivered_ms, count));
                }
            }
            StreamPart::Consumer { name, seen_ms, active_ms } => {
                if let Some(group) = self.groups.last_mut() {
                    group.consumers.push((name.to_vec(), seen_ms, active_ms, Vec::new()));
                }
            }
            StreamPart::Held(id) => {
                let consumer = self.groups.last_mut().and_then(|group| group.consumers.last_mut());
                if let Some((.., held)) = consumer {
                    held.push(id);
                }
            }
            StreamPart::Idempotency { duration, entries_max } => self.idempotency = (duration, entries_max),
            StreamPart::Addition { producer, name, id } => {
                if self.producers.last().is_none_or(|(last, _)| last != producer) {
                    self.producers.push((producer.to_vec(), Vec::new()));
                }
                if let Some((_, names)) = self.producers.last_mut() {
                    names.push((name.to_vec(), id));
                }
            }
            StreamPart::Additions { added, duplicates } => self.additions = (added, duplicates),
        }
    }

    fn write<W: Write>(&self, output: &mut Output<W>, layout: Layout) {
        let (len, last, history) = self.marks;
        output.length(len);
        put_id(output, last);
        if layout >= Layout::History {
            let (first, deleted, added) = history.unwrap_or_default();
            put_id(output, first);
            put_id(output, deleted);
            output.length(added);
        }
        output.length(self.groups.len() as u64);
        for group in &self.groups {
            output.string(&group.name);
            put_id(output, group.delivered);
            if layout >= Layout::History {
                output.length(group.read.unwrap_or(u64::MAX));
            }
            output.length(group.pending.len() as u64);
            for (id, delivered_ms, count) in &group.pending {
                output.bytes(&raw(*id));
                output.bytes(&delivered_ms.to_le_bytes());
                output.length(*count);
            }
            output.length(group.consumers.len() as u64);
            for (name, seen_ms, active_ms, held) in &group.consumers {
                output.string(name);
                output.bytes(&seen_ms.to_le_bytes());
                if layout >= Layout::Active {
                    output.bytes(&active_ms.unwrap_or(-1).to_le_bytes());
                }
                output.length(held.len() as u64);
                held.iter().for_each(|id| output.bytes(&raw(*id)));
            }
        }
        if layout < Layout::Idempotent {
            return;
        }
        output.length(self.idempotency.0);
        output.length(self.idempotency.1);
        output.length(self.producers.len() as u64);
        for (producer, names) in &self.producers {
            output.string(producer);
            output.length(names.len() as u64);
            for (name, id) in names {
                output.string(name);
                put_id(output, *id);
            }
        }
        output.length(self.additions.0);
        output.length(self.additions.1);
    }
}
