//! Ops on streams.

use swytch_store::types::stream::PendingEntry;
use swytch_store::{Marks, References, StreamId, StreamOp, StreamPart};

use super::Commands;

/// Words, to be put together to a command.
type Words<'a> = Vec<std::borrow::Cow<'a, [u8]>>;

fn words<'a>(words: &[&'a [u8]]) -> Words<'a> {
    words.iter().map(|word| (*word).into()).collect()
}

fn text<'a>(number: impl std::fmt::Display) -> std::borrow::Cow<'a, [u8]> {
    number.to_string().into_bytes().into()
}

fn push(commands: &mut Commands<'_>, words: &Words<'_>) {
    commands.push(&words.iter().map(|word| &**word).collect::<Vec<_>>());
}

/// The commands of an op.
pub(super) fn form(commands: &mut Commands<'_>, key: &[u8], op: StreamOp<'_>) {
    let command = match op {
        StreamOp::Append { id, fields } => return append(commands, key, id, fields),
        StreamOp::Remove { ids, references } => {
            let mut command = match references {
                true => {
                    let mut command = words(&[b"XDELEX", key, b"DELREF", b"IDS"]);
                    command.push(text(ids.len()));
                    command
                }
                false => words(&[b"XDEL", key]),
            };
            command.extend(ids.iter().map(text));
            command
        }
        StreamOp::Trim { len, references } => {
            let mut command = words(&[b"XTRIM", key, b"MAXLEN", b"="]);
            command.push(text(len));
            match references {
                References::Keep => {}
                References::Delete => command.push(b"DELREF"[..].into()),
                References::Respect => command.push(b"ACKED"[..].into()),
            }
            command
        }
        StreamOp::Mark(marks) => return mark(commands, key, marks),
        StreamOp::CreateGroup { group, last_id, entries_read } => {
            let mut command = words(&[b"XGROUP", b"CREATE", key, group]);
            command.push(text(last_id));
            command.push(b"MKSTREAM"[..].into());
            put_read(&mut command, entries_read);
            command
        }
        StreamOp::DropGroup { group } => words(&[b"XGROUP", b"DESTROY", key, group]),
        StreamOp::SetGroup { group, last_id, entries_read } => {
            let mut command = words(&[b"XGROUP", b"SETID", key, group]);
            command.push(text(last_id));
            put_read(&mut command, entries_read);
            command
        }
        StreamOp::AddConsumer { group, consumer, .. } => {
            words(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer])
        }
        StreamOp::DropConsumer { group, consumer } => {
            words(&[b"XGROUP", b"DELCONSUMER", key, group, consumer])
        }
        StreamOp::Deliver { group, consumer, delivered_ms, entries, .. } => {
            for alike in entries.chunk_by(|(_, one), (_, other)| one == other) {
                let ids = alike.iter().map(|(id, _)| *id);
                deliver(commands, key, group, consumer, delivered_ms, alike[0].1, ids);
            }
            return;
        }
        StreamOp::Acknowledge { group, ids } => {
            let mut command = words(&[b"XACK", key, group]);
            command.extend(ids.iter().map(text));
            command
        }
        StreamOp::Record { producer, identifier, id, .. } => {
            return record(commands, key, producer, identifier, id);
        }
        // Whoever replays this forgets by its own clock.
        StreamOp::Forget { .. } => return,
        StreamOp::Configure { duration_s, size_max } => {
            return configure(commands, key, duration_s, size_max);
        }
        StreamOp::TakeOut { .. } | StreamOp::Restore { .. } => {
            unreachable!("they are told as a new value")
        }
    };
    push(commands, &command);
}

/// The commands that make a stream without entries.
pub(super) fn create(commands: &mut Commands<'_>, key: &[u8]) {
    commands.push(&[b"XADD", key, b"MAXLEN", b"0", b"0-1", b"field", b"value"]);
}

/// The command of a part of a stream that is made anew.
pub(super) fn part(commands: &mut Commands<'_>, key: &[u8], part: StreamPart<'_>) {
    match part {
        StreamPart::Entry { id, fields } => append(commands, key, id, fields),
        StreamPart::Marks(marks) => mark(commands, key, marks),
        StreamPart::Producers { duration_s, size_max, .. } => configure(commands, key, duration_s, size_max),
        StreamPart::Produced { producer, identifier, id } => record(commands, key, producer, identifier, id),
        StreamPart::Group { name: group, last_id, entries_read } => {
            form(commands, key, StreamOp::CreateGroup { group, last_id, entries_read });
        }
        StreamPart::Consumer { group, name: consumer, seen_ms, .. } => {
            form(commands, key, StreamOp::AddConsumer { group, consumer, seen_ms });
        }
        StreamPart::Pending { group, pending: PendingEntry { id, consumer, delivered_ms, count } } => {
            deliver(commands, key, group, consumer, delivered_ms, count, [id].into_iter());
        }
    }
}

fn append(commands: &mut Commands<'_>, key: &[u8], id: StreamId, fields: &[&[u8]]) {
    commands.begin(3 + fields.len());
    commands.word(b"XADD");
    commands.word(key);
    commands.word(id.to_string().as_bytes());
    fields.iter().for_each(|word| commands.word(word));
}

fn mark(commands: &mut Commands<'_>, key: &[u8], marks: Marks) {
    let mut command = words(&[b"XSETID", key]);
    command.extend([text(marks.last_id), b"ENTRIESADDED"[..].into(), text(marks.entries_added)]);
    command.extend([b"MAXDELETEDID"[..].into(), text(marks.max_deleted_id)]);
    push(commands, &command);
}

fn put_read(command: &mut Words<'_>, entries_read: Option<u64>) {
    command.push(b"ENTRIESREAD"[..].into());
    command.push(entries_read.map_or_else(|| text(-1), text));
}

fn deliver(
    commands: &mut Commands<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    delivered_ms: u64,
    count: u64,
    ids: impl Iterator<Item = StreamId>,
) {
    let mut command = words(&[b"XCLAIM", key, group, consumer, b"0"]);
    command.extend(ids.map(text));
    command.extend([b"TIME"[..].into(), text(delivered_ms), b"RETRYCOUNT"[..].into(), text(count)]);
    command.extend([b"FORCE"[..].into(), b"JUSTID"[..].into()]);
    push(commands, &command);
}

fn record(commands: &mut Commands<'_>, key: &[u8], producer: &[u8], identifier: &[u8], id: StreamId) {
    commands.push(&[b"XIDMPRECORD", key, producer, identifier, id.to_string().as_bytes()]);
}

fn configure(commands: &mut Commands<'_>, key: &[u8], duration_s: Option<u32>, size_max: Option<u32>) {
    let mut command = words(&[b"XCFGSET", key]);
    for (name, value) in [(&b"IDMP-DURATION"[..], duration_s), (b"IDMP-MAXSIZE", size_max)] {
        if let Some(value) = value {
            command.extend([name.into(), text(value)]);
        }
    }
    if command.len() > 2 {
        push(commands, &command);
    }
}
