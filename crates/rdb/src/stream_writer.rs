//! Writing a stream, the mirror of `stream`: its items in nodes, what it remembers, and its groups.

use std::io::Write;

use crate::output::Output;
use crate::packed::ListpackWriter;
use crate::write::Value;
use crate::{Layout, Part, StreamId, StreamPart};

/// Items and bytes of a node, as Redis has them by default.
const NODE_ITEMS_MAX: usize = 100;
const NODE_BYTES_MAX: usize = 4096;
/// The item has the field names of the node's first.
const FLAG_SAME_FIELDS: i64 = 2;

/// A node that is being written.
#[derive(Default)]
struct Node {
    items: Vec<(StreamId, Vec<Vec<u8>>)>,
    bytes: usize,
}

impl Node {
    /// The key and the listpack; nothing without items. Empty again.
    fn finish(&mut self) -> Option<([u8; 16], Vec<u8>)> {
        let items = std::mem::take(self).items;
        let (master, first) = items.first()?;
        let names: Vec<&Vec<u8>> = first.iter().step_by(2).collect();
        let mut packed = ListpackWriter::new();
        let number = |packed: &mut ListpackWriter, number: i64| packed.push(number.to_string().as_bytes());
        number(&mut packed, items.len() as i64);
        number(&mut packed, 0);
        number(&mut packed, names.len() as i64);
        names.iter().for_each(|name| packed.push(name));
        number(&mut packed, 0);
        for (id, fields) in &items {
            let is_same = fields.iter().step_by(2).eq(names.iter().copied());
            number(&mut packed, if is_same { FLAG_SAME_FIELDS } else { 0 });
            number(&mut packed, id.ms.wrapping_sub(master.ms) as i64);
            number(&mut packed, id.sequence.wrapping_sub(master.sequence) as i64);
            let mut entries = 3;
            if is_same {
                fields.iter().skip(1).step_by(2).for_each(|value| packed.push(value));
                entries += names.len();
            } else {
                number(&mut packed, fields.len() as i64 / 2);
                fields.iter().for_each(|word| packed.push(word));
                entries += fields.len() + 1;
            }
            number(&mut packed, entries as i64);
        }
        Some((raw(*master), packed.finish()))
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
    let (mut nodes, mut node, mut rest) = (Vec::new(), Node::default(), Rest::default());
    (value.parts)(&mut |part| match part {
        Part::Stream(StreamPart::Item { id, fields }) => {
            let bytes: usize = fields.iter().map(|word| word.len()).sum();
            if node.items.len() == NODE_ITEMS_MAX || node.bytes + bytes > NODE_BYTES_MAX {
                nodes.extend(node.finish());
            }
            node.bytes += bytes;
            node.items.push((id, fields.iter().map(|word| word.to_vec()).collect()));
        }
        Part::Stream(part) => rest.take(part),
        part => unreachable!("{part:?} is not of a stream"),
    });
    nodes.extend(node.finish());
    output.length(nodes.len() as u64);
    for (key, packed) in nodes {
        output.string(&key);
        output.string(&packed);
    }
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
