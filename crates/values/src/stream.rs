//! Streams, on the wire and in merges.
//!
//! Merging unites entries and what was deleted. The rest of a stream, its groups with what is pending in them and what its
//! producers have sent, is one lot to it ([`Primitive::StreamMark`]): where both sides have a say on that, the last one has
//! it for the whole key.

use std::collections::BTreeSet;

use swytch_cluster::Blob;
use swytch_cluster::wire::{Reader, Wire, WireError, put_bytes};
use swytch_merge::{Bytes, Effect as Primitive, Object, Stream as Merged, StreamId as MergedId, Value};
use swytch_store::types::stream::PendingEntry;
use swytch_store::types::stream::op::tag;
use swytch_store::{
    Builder, EncodingLimits, HashSeed, Keyspace, KeyspaceMut, LockScope, Marks, Op, OwnedEntry, OwnedValue,
    Part, References, Shards, StreamId, StreamOp, StreamPart, Type, Value as Stored,
};

use crate::wire;

/// Whether a tag is of these ops.
pub(crate) fn has(tag: u8) -> bool {
    tag::ALL.contains(&tag)
}

fn put_id(id: StreamId, out: &mut Vec<u8>) {
    id.ms.put(out);
    id.sequence.put(out);
}

fn get_id(reader: &mut Reader<'_>) -> Result<StreamId, WireError> {
    Ok(StreamId { ms: Wire::get(reader)?, sequence: Wire::get(reader)? })
}

fn put_ids(ids: &[StreamId], out: &mut Vec<u8>) {
    (ids.len() as u64).put(out);
    ids.iter().for_each(|id| put_id(*id, out));
}

fn get_ids(reader: &mut Reader<'_>) -> Result<Vec<StreamId>, WireError> {
    let count = reader.count()?;
    (0..count).map(|_| get_id(reader)).collect()
}

fn put_words(words: &[&[u8]], out: &mut Vec<u8>) {
    (words.len() as u64).put(out);
    words.iter().for_each(|word| put_bytes(word, out));
}

fn get_words<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, WireError> {
    let count = reader.count()?;
    (0..count).map(|_| reader.bytes()).collect()
}

fn put_marks(marks: Marks, out: &mut Vec<u8>) {
    put_id(marks.last_id, out);
    put_id(marks.max_deleted_id, out);
    marks.entries_added.put(out);
}

fn get_marks(reader: &mut Reader<'_>) -> Result<Marks, WireError> {
    let (last_id, max_deleted_id) = (get_id(reader)?, get_id(reader)?);
    Ok(Marks { last_id, max_deleted_id, entries_added: Wire::get(reader)? })
}

fn put_references(references: References, out: &mut Vec<u8>) {
    out.push(references as u8);
}

fn get_references(reader: &mut Reader<'_>) -> Result<References, WireError> {
    match u8::get(reader)? {
        0 => Ok(References::Keep),
        1 => Ok(References::Delete),
        2 => Ok(References::Respect),
        _ => Err(WireError::Invalid),
    }
}

/// The numbers of parts.
mod part_tag {
    pub(super) const ENTRY: u8 = 0;
    pub(super) const MARKS: u8 = 1;
    pub(super) const PRODUCERS: u8 = 2;
    pub(super) const PRODUCED: u8 = 3;
    pub(super) const GROUP: u8 = 4;
    pub(super) const CONSUMER: u8 = 5;
    pub(super) const PENDING: u8 = 6;
}

/// Appends a part.
pub(crate) fn put_part(part: StreamPart<'_>, out: &mut Vec<u8>) {
    match part {
        StreamPart::Entry { id, fields } => {
            out.push(part_tag::ENTRY);
            put_id(id, out);
            put_words(fields, out);
        }
        StreamPart::Marks(marks) => {
            out.push(part_tag::MARKS);
            put_marks(marks, out);
        }
        StreamPart::Producers { duration_s, size_max, added, duplicates } => {
            out.push(part_tag::PRODUCERS);
            duration_s.map(u64::from).put(out);
            size_max.map(u64::from).put(out);
            added.put(out);
            duplicates.put(out);
        }
        StreamPart::Produced { producer, identifier, id } => {
            out.push(part_tag::PRODUCED);
            put_bytes(producer, out);
            put_bytes(identifier, out);
            put_id(id, out);
        }
        StreamPart::Group { name, last_id, entries_read } => {
            out.push(part_tag::GROUP);
            put_bytes(name, out);
            put_id(last_id, out);
            entries_read.put(out);
        }
        StreamPart::Consumer { group, name, seen_ms, active_ms } => {
            out.push(part_tag::CONSUMER);
            put_bytes(group, out);
            put_bytes(name, out);
            seen_ms.put(out);
            active_ms.put(out);
        }
        StreamPart::Pending { group, pending } => {
            out.push(part_tag::PENDING);
            put_bytes(group, out);
            put_id(pending.id, out);
            put_bytes(pending.consumer, out);
            pending.delivered_ms.put(out);
            pending.count.put(out);
        }
    }
}

fn get_small(reader: &mut Reader<'_>) -> Result<Option<u32>, WireError> {
    let number: Option<u64> = Wire::get(reader)?;
    number.map(|number| u32::try_from(number).map_err(|_| WireError::Invalid)).transpose()
}

/// Reads a part into a value that is built.
pub(crate) fn add_part(reader: &mut Reader<'_>, builder: &mut Builder) -> Result<(), WireError> {
    let words;
    let part = match u8::get(reader)? {
        part_tag::ENTRY => {
            let id = get_id(reader)?;
            words = get_words(reader)?;
            StreamPart::Entry { id, fields: &words }
        }
        tag => rest_part(tag, reader)?,
    };
    builder.add(Part::Stream(part)).map_err(|_| WireError::Invalid)
}

/// Reads a part that is no entry.
pub(crate) fn part<'a>(reader: &mut Reader<'a>) -> Result<Part<'a>, WireError> {
    let tag = u8::get(reader)?;
    rest_part(tag, reader).map(Part::Stream)
}

fn rest_part<'a>(tag: u8, reader: &mut Reader<'a>) -> Result<StreamPart<'a>, WireError> {
    Ok(match tag {
        part_tag::MARKS => StreamPart::Marks(get_marks(reader)?),
        part_tag::PRODUCERS => {
            let (duration_s, size_max) = (get_small(reader)?, get_small(reader)?);
            let (added, duplicates) = (Wire::get(reader)?, Wire::get(reader)?);
            StreamPart::Producers { duration_s, size_max, added, duplicates }
        }
        part_tag::PRODUCED => {
            let (producer, identifier) = (reader.bytes()?, reader.bytes()?);
            StreamPart::Produced { producer, identifier, id: get_id(reader)? }
        }
        part_tag::GROUP => {
            let (name, last_id) = (reader.bytes()?, get_id(reader)?);
            StreamPart::Group { name, last_id, entries_read: Wire::get(reader)? }
        }
        part_tag::CONSUMER => {
            let (group, name) = (reader.bytes()?, reader.bytes()?);
            StreamPart::Consumer { group, name, seen_ms: Wire::get(reader)?, active_ms: Wire::get(reader)? }
        }
        part_tag::PENDING => {
            let (group, id, consumer) = (reader.bytes()?, get_id(reader)?, reader.bytes()?);
            let (delivered_ms, count) = (Wire::get(reader)?, Wire::get(reader)?);
            StreamPart::Pending { group, pending: PendingEntry { id, consumer, delivered_ms, count } }
        }
        _ => return Err(WireError::Invalid),
    })
}

/// Appends the fields of an op.
pub(crate) fn put(op: &StreamOp<'_>, out: &mut Vec<u8>) {
    match *op {
        StreamOp::Append { id, fields } => {
            put_id(id, out);
            put_words(fields, out);
        }
        StreamOp::Remove { ids, references } => {
            put_ids(ids, out);
            references.put(out);
        }
        StreamOp::TakeOut { ids } => put_ids(ids, out),
        StreamOp::Trim { len, references } => {
            len.put(out);
            put_references(references, out);
        }
        StreamOp::Mark(marks) => put_marks(marks, out),
        StreamOp::CreateGroup { group, last_id, entries_read }
        | StreamOp::SetGroup { group, last_id, entries_read } => {
            put_bytes(group, out);
            put_id(last_id, out);
            entries_read.put(out);
        }
        StreamOp::DropGroup { group } => put_bytes(group, out),
        StreamOp::AddConsumer { group, consumer, seen_ms } => {
            put_words(&[group, consumer], out);
            seen_ms.put(out);
        }
        StreamOp::DropConsumer { group, consumer } => put_words(&[group, consumer], out),
        StreamOp::Deliver { group, consumer, active_ms, delivered_ms, entries } => {
            put_words(&[group, consumer], out);
            active_ms.put(out);
            delivered_ms.put(out);
            (entries.len() as u64).put(out);
            for (id, count) in entries {
                put_id(*id, out);
                count.put(out);
            }
        }
        StreamOp::Acknowledge { group, ids } => {
            put_bytes(group, out);
            put_ids(ids, out);
        }
        StreamOp::Record { producer, identifier, id, size_max } => {
            put_words(&[producer, identifier], out);
            put_id(id, out);
            u64::from(size_max).put(out);
        }
        StreamOp::Forget { until_ms } => until_ms.put(out),
        StreamOp::Configure { duration_s, size_max } => {
            duration_s.map(u64::from).put(out);
            size_max.map(u64::from).put(out);
        }
        StreamOp::Restore { parts } => {
            (parts.len() as u64).put(out);
            parts.iter().for_each(|part| put_part(*part, out));
        }
    }
}

fn pair<'a>(reader: &mut Reader<'a>) -> Result<[&'a [u8]; 2], WireError> {
    get_words(reader)?.try_into().map_err(|_| WireError::Invalid)
}

/// Reads the fields of an op, which must fill what is left, and hands it on.
pub(crate) fn read(tag: u8, mut reader: Reader<'_>, act: &mut dyn FnMut(Op<'_>)) -> Result<(), WireError> {
    let fields = &mut reader;
    let (ids, words, entries, parts);
    let op = match tag {
        tag::APPEND => {
            let id = get_id(fields)?;
            words = get_words(fields)?;
            StreamOp::Append { id, fields: &words }
        }
        tag::REMOVE => {
            ids = get_ids(fields)?;
            StreamOp::Remove { ids: &ids, references: Wire::get(fields)? }
        }
        tag::TAKE_OUT => {
            ids = get_ids(fields)?;
            StreamOp::TakeOut { ids: &ids }
        }
        tag::TRIM => StreamOp::Trim { len: Wire::get(fields)?, references: get_references(fields)? },
        tag::MARK => StreamOp::Mark(get_marks(fields)?),
        tag::CREATE_GROUP | tag::SET_GROUP => {
            let (group, last_id, entries_read) = (fields.bytes()?, get_id(fields)?, Wire::get(fields)?);
            match tag {
                tag::CREATE_GROUP => StreamOp::CreateGroup { group, last_id, entries_read },
                _ => StreamOp::SetGroup { group, last_id, entries_read },
            }
        }
        tag::DROP_GROUP => StreamOp::DropGroup { group: fields.bytes()? },
        tag::ADD_CONSUMER => {
            let [group, consumer] = pair(fields)?;
            StreamOp::AddConsumer { group, consumer, seen_ms: Wire::get(fields)? }
        }
        tag::DROP_CONSUMER => {
            let [group, consumer] = pair(fields)?;
            StreamOp::DropConsumer { group, consumer }
        }
        tag::DELIVER => {
            let [group, consumer] = pair(fields)?;
            let (active_ms, delivered_ms) = (Wire::get(fields)?, Wire::get(fields)?);
            let count = fields.count()?;
            entries = (0..count)
                .map(|_| Ok((get_id(fields)?, Wire::get(fields)?)))
                .collect::<Result<Vec<_>, WireError>>()?;
            StreamOp::Deliver { group, consumer, active_ms, delivered_ms, entries: &entries }
        }
        tag::ACKNOWLEDGE => {
            let group = fields.bytes()?;
            ids = get_ids(fields)?;
            StreamOp::Acknowledge { group, ids: &ids }
        }
        tag::RECORD => {
            let [producer, identifier] = pair(fields)?;
            let id = get_id(fields)?;
            let size_max = u32::try_from(u64::get(fields)?).map_err(|_| WireError::Invalid)?;
            StreamOp::Record { producer, identifier, id, size_max }
        }
        tag::FORGET => StreamOp::Forget { until_ms: Wire::get(fields)? },
        tag::RESTORE => {
            let count = fields.count()?;
            let part = |_| u8::get(fields).and_then(|tag| rest_part(tag, fields));
            parts = (0..count).map(part).collect::<Result<Vec<_>, _>>()?;
            StreamOp::Restore { parts: &parts }
        }
        _ => StreamOp::Configure { duration_s: get_small(fields)?, size_max: get_small(fields)? },
    };
    reader.end()?;
    act(Op::Stream(op));
    Ok(())
}

fn merged_id(StreamId { ms, sequence }: StreamId) -> MergedId {
    MergedId { ms, sequence }
}

fn stored_id(MergedId { ms, sequence }: MergedId) -> StreamId {
    StreamId { ms, sequence }
}

/// A stream as merging sees it.
pub(crate) fn merged(stream: Stored<'_>) -> Value {
    let mut merged = Merged::default();
    let (mut count, mut rest) = (0_u64, Vec::new());
    stream.content(&mut |part| match part {
        Part::Stream(StreamPart::Entry { id, fields }) => {
            let mut bytes = Vec::new();
            put_words(fields, &mut bytes);
            merged.entries.insert(merged_id(id), bytes);
        }
        Part::Stream(StreamPart::Marks(Marks { last_id, max_deleted_id, entries_added })) => {
            (merged.last_id, merged.max_deleted) = (merged_id(last_id), merged_id(max_deleted_id));
            merged.entries_added = entries_added;
        }
        Part::Stream(part) if is_nothing(part) => {}
        Part::Stream(part) => {
            count += 1;
            put_part(content_of(part), &mut rest);
        }
        other => unreachable!("{other:?} is no part of a stream"),
    });
    if count > 0 {
        count.put(&mut merged.rest);
        merged.rest.extend(rest);
    }
    Value::Stream(merged)
}

/// A part without what is no content: when consumers were seen and active, how often something came again.
pub(crate) fn content_of(part: StreamPart<'_>) -> StreamPart<'_> {
    match part {
        StreamPart::Consumer { group, name, .. } => {
            StreamPart::Consumer { group, name, seen_ms: 0, active_ms: None }
        }
        StreamPart::Producers { duration_s, size_max, added, .. } => {
            StreamPart::Producers { duration_s, size_max, added, duplicates: 0 }
        }
        part => part,
    }
}

/// What a stream has that nobody has told anything.
fn is_nothing(part: StreamPart<'_>) -> bool {
    matches!(part, StreamPart::Producers { duration_s: None, size_max: None, added: 0, .. })
}

/// A merged stream as the store holds it.
pub(crate) fn unmerged(merged: Merged) -> OwnedValue {
    let mut builder = Builder::new(Type::Stream, EncodingLimits::default());
    for (id, fields) in &merged.entries {
        let fields = get_words(&mut Reader::new(fields)).expect("they were put so");
        let part = StreamPart::Entry { id: stored_id(*id), fields: &fields };
        builder.add(Part::Stream(part)).expect("entries are in order");
    }
    rest_of(&merged, &mut |parts| {
        let added = parts.iter().try_for_each(|part| builder.add(Part::Stream(*part)));
        added.expect("they were a stream's");
    });
    builder.finish()
}

/// Shows all parts of a stream that are no entries.
fn rest_of(merged: &Merged, act: &mut dyn FnMut(&[StreamPart<'_>])) {
    let mut parts = vec![StreamPart::Marks(Marks {
        last_id: stored_id(merged.last_id),
        max_deleted_id: stored_id(merged.max_deleted),
        entries_added: merged.entries_added,
    })];
    if !merged.rest.is_empty() {
        let mut reader = Reader::new(&merged.rest);
        let count = reader.count().expect("it was put so");
        parts.extend((0..count).map(|_| match part(&mut reader) {
            Ok(Part::Stream(part)) => part,
            other => unreachable!("{other:?} was put there"),
        }));
    }
    act(&parts);
}

/// What an op makes of a stream.
fn altered(before: Option<&Object>, op: &StreamOp<'_>) -> Option<Merged> {
    let stream = match before.map(|object| &object.value) {
        Some(Value::Stream(stream)) => Some(stream.clone()),
        _ => None,
    };
    let shards = Shards::new(1, 1, HashSeed::new([0, 0, 0]));
    let key = shards.key(0, b"stream");
    let view = Keyspace::new(shards.lock(LockScope::All), 0).ignoring_expiry(true);
    let mut keyspace = KeyspaceMut::new(view, None);
    let entry = stream.map(|stream| OwnedEntry { value: unmerged(stream), expire_at_ms: None });
    keyspace.restore(&key, entry.as_ref());
    let fits = Op::Stream(*op).apply(&mut keyspace, &key);
    let after = keyspace.stored(&key).map(|entry| merged(entry.value()));
    let (view, mut left) = keyspace.finish();
    drop(view);
    drop(left.take_retired());
    match (fits, after) {
        (Ok(()), Some(Value::Stream(after))) => Some(after),
        _ => None,
    }
}

/// See [`crate::types::primitives`].
pub(crate) fn primitives(op: &StreamOp<'_>, before: Option<&Object>) -> Vec<Primitive> {
    let nothing = Merged::default();
    let stream = match before.map(|object| &object.value) {
        Some(Value::Stream(stream)) => stream,
        _ => &nothing,
    };
    let deletions = |ids: &[StreamId], is_deletion: bool| -> Vec<Primitive> {
        let ids: BTreeSet<MergedId> = ids.iter().map(|id| merged_id(*id)).collect();
        let there = ids.into_iter().filter(|id| stream.entries.contains_key(id));
        there.map(|id| Primitive::StreamDelete(id, is_deletion)).collect()
    };
    let mut primitives = match *op {
        StreamOp::Append { id, fields } => {
            let mut bytes = Bytes::new();
            put_words(fields, &mut bytes);
            return vec![Primitive::StreamAdd(merged_id(id), bytes)];
        }
        StreamOp::Remove { ids, references: false } => return deletions(ids, true),
        StreamOp::TakeOut { ids } => return deletions(ids, false),
        StreamOp::Trim { len, references: References::Keep } => {
            let gone = stream.entries.len().saturating_sub(usize::try_from(len).unwrap_or(usize::MAX));
            let ids = stream.entries.keys().take(gone);
            return ids.map(|id| Primitive::StreamDelete(*id, false)).collect();
        }
        StreamOp::Remove { ids, references: true } => deletions(ids, true),
        _ => Vec::new(),
    };
    let Some(after) = altered(before, op) else { return Vec::new() };
    if let StreamOp::Trim { .. } = op {
        let gone = stream.entries.keys().filter(|id| !after.entries.contains_key(id));
        primitives.extend(gone.map(|id| Primitive::StreamDelete(*id, false)));
    }
    let is_other = before.is_none() || after.rest != stream.rest;
    if is_other
        || (after.last_id, after.entries_added) != (stream.last_id, stream.entries_added)
        || matches!(op, StreamOp::Mark(_))
    {
        let Merged { last_id, max_deleted, entries_added, rest, .. } = after;
        primitives.push(Primitive::StreamMark(last_id, max_deleted, entries_added, rest));
    }
    primitives
}

/// The op that a primitive is, if it is one of these.
pub(crate) fn of_primitive(effect: &Primitive) -> Option<Blob> {
    let ids: [StreamId; 1];
    let fields;
    let op = match effect {
        Primitive::StreamAdd(id, bytes) => {
            fields = get_words(&mut Reader::new(bytes)).ok()?;
            StreamOp::Append { id: stored_id(*id), fields: &fields }
        }
        Primitive::StreamDelete(id, is_deletion) => {
            ids = [stored_id(*id)];
            match is_deletion {
                true => StreamOp::Remove { ids: &ids, references: false },
                false => StreamOp::TakeOut { ids: &ids },
            }
        }
        Primitive::StreamMark(last_id, max_deleted, entries_added, rest) => {
            let (last_id, max_deleted, entries_added) = (*last_id, *max_deleted, *entries_added);
            let merged =
                Merged { last_id, max_deleted, entries_added, rest: rest.clone(), ..Merged::default() };
            let mut blob = None;
            rest_of(&merged, &mut |parts| {
                blob = Some(wire::blob(&Op::Stream(StreamOp::Restore { parts })));
            });
            return blob;
        }
        _ => return None,
    };
    Some(wire::blob(&Op::Stream(op)))
}
