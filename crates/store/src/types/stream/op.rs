//! What streams are changed by: every op, what takes it back, and the editor's functions that do it.

use std::sync::Arc;

use super::group::Group;
use super::{Marks, References, Stream, StreamId, StreamPart, Trim};
use crate::UnixMs;
use crate::effect::Event;
use crate::keyspace::{Editor, Misfit};
use crate::types::collection::Face;
use crate::types::content::Part;
use crate::types::limits::EncodingLimits;

/// A change to a stream. Every identifier and time is given.
#[allow(missing_docs, reason = "the fields say what the commands of Redis take")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StreamOp<'a> {
    /// An entry: names and values of its fields by turns.
    Append {
        id: StreamId,
        fields: &'a [&'a [u8]],
    },
    /// Entries deleted; what is pending of them too, or not.
    Remove {
        ids: &'a [StreamId],
        references: bool,
    },
    /// Entries removed as trimming does.
    TakeOut {
        ids: &'a [StreamId],
    },
    /// Entries removed from the first on until so many are left.
    Trim {
        len: u64,
        references: References,
    },
    /// What is known of entries that are gone.
    Mark(Marks),
    /// A group that was not there.
    CreateGroup {
        group: &'a [u8],
        last_id: StreamId,
        entries_read: Option<u64>,
    },
    DropGroup {
        group: &'a [u8],
    },
    /// How far a group has read.
    SetGroup {
        group: &'a [u8],
        last_id: StreamId,
        entries_read: Option<u64>,
    },
    /// A consumer, seen at a time.
    AddConsumer {
        group: &'a [u8],
        consumer: &'a [u8],
        seen_ms: UnixMs,
    },
    DropConsumer {
        group: &'a [u8],
        consumer: &'a [u8],
    },
    /// Entries, each with how often it was delivered, are pending with a consumer, which may have been active at a time.
    Deliver {
        group: &'a [u8],
        consumer: &'a [u8],
        active_ms: Option<UnixMs>,
        delivered_ms: UnixMs,
        entries: &'a [(StreamId, u64)],
    },
    /// Entries are pending no longer.
    Acknowledge {
        group: &'a [u8],
        ids: &'a [StreamId],
    },
    /// What an identifier of a producer has become, of which so many are kept.
    Record {
        producer: &'a [u8],
        identifier: &'a [u8],
        id: StreamId,
        size_max: u32,
    },
    /// What became entries up to a time is forgotten.
    Forget {
        until_ms: UnixMs,
    },
    /// How long, and how many, identifiers of producers are known; all that are known are forgotten.
    Configure {
        duration_s: Option<u32>,
        size_max: Option<u32>,
    },
    /// All there is but entries.
    Restore {
        parts: &'a [StreamPart<'a>],
    },
}

/// The numbers of ops in wire forms and logs. Append only: a number is never given to another op.
#[allow(missing_docs, reason = "they are the ops of the same names")]
pub mod tag {
    pub const APPEND: u8 = 64;
    pub const REMOVE: u8 = 65;
    pub const TRIM: u8 = 66;
    pub const MARK: u8 = 67;
    pub const CREATE_GROUP: u8 = 68;
    pub const DROP_GROUP: u8 = 69;
    pub const SET_GROUP: u8 = 70;
    pub const ADD_CONSUMER: u8 = 71;
    pub const DROP_CONSUMER: u8 = 72;
    pub const DELIVER: u8 = 73;
    pub const ACKNOWLEDGE: u8 = 74;
    pub const RECORD: u8 = 75;
    pub const FORGET: u8 = 76;
    pub const CONFIGURE: u8 = 77;
    pub const TAKE_OUT: u8 = 78;
    pub const RESTORE: u8 = 79;
    /// All of them.
    pub const ALL: [u8; 16] = [
        APPEND,
        REMOVE,
        TRIM,
        MARK,
        CREATE_GROUP,
        DROP_GROUP,
        SET_GROUP,
        ADD_CONSUMER,
        DROP_CONSUMER,
        DELIVER,
        ACKNOWLEDGE,
        RECORD,
        FORGET,
        CONFIGURE,
        TAKE_OUT,
        RESTORE,
    ];
}

impl StreamOp<'_> {
    /// Its number.
    pub fn tag(&self) -> u8 {
        match self {
            StreamOp::Append { .. } => tag::APPEND,
            StreamOp::Remove { .. } => tag::REMOVE,
            StreamOp::TakeOut { .. } => tag::TAKE_OUT,
            StreamOp::Trim { .. } => tag::TRIM,
            StreamOp::Mark(_) => tag::MARK,
            StreamOp::CreateGroup { .. } => tag::CREATE_GROUP,
            StreamOp::DropGroup { .. } => tag::DROP_GROUP,
            StreamOp::SetGroup { .. } => tag::SET_GROUP,
            StreamOp::AddConsumer { .. } => tag::ADD_CONSUMER,
            StreamOp::DropConsumer { .. } => tag::DROP_CONSUMER,
            StreamOp::Deliver { .. } => tag::DELIVER,
            StreamOp::Acknowledge { .. } => tag::ACKNOWLEDGE,
            StreamOp::Record { .. } => tag::RECORD,
            StreamOp::Forget { .. } => tag::FORGET,
            StreamOp::Configure { .. } => tag::CONFIGURE,
            StreamOp::Restore { .. } => tag::RESTORE,
        }
    }
}

/// What takes a change to a stream back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StreamUndo {
    /// The last entry is new; the last identifier was this.
    Appended {
        /// It.
        last_id: StreamId,
    },
    /// The stream as it was, which shares all that has not changed.
    Before(Stream),
}

/// Roughly the bytes that a change makes a stream that is kept have of its own.
const CHANGED_BYTES: usize = 8 << 10;

impl Editor<'_, Stream> {
    /// A change, of which the stream as it was is kept.
    fn alter_stream<'a, R>(
        &mut self,
        act: impl FnOnce(&mut Stream) -> (R, u64),
        said: impl FnOnce(&R) -> (StreamOp<'a>, Event),
    ) -> R {
        self.alter(|stream| StreamUndo::Before(stream.clone()), act, said)
    }

    /// Adds an entry, whose identifier is above the last one.
    #[inline]
    pub fn append(&mut self, id: StreamId, fields: &[&[u8]]) {
        let limit = self.limits().stream_node;
        self.alter(
            |stream| StreamUndo::Appended { last_id: stream.marks().last_id },
            |stream| {
                stream.append(id, fields, limit);
                ((), 1)
            },
            |()| (StreamOp::Append { id, fields }, Event::stream("xadd")),
        );
    }

    /// Deletes entries and says of each whether it was there. `references`: what is pending of them goes too.
    pub fn remove(&mut self, ids: &[StreamId], references: bool) -> Vec<bool> {
        self.alter_stream(
            |stream| {
                let mut forgotten = false;
                let delete = |id: &StreamId| {
                    forgotten |= references && stream.forget_references(*id);
                    let was_there = stream.remove(*id);
                    if was_there && *id > stream.marks().max_deleted_id {
                        stream.body().marks.max_deleted_id = *id;
                    }
                    was_there
                };
                let deleted: Vec<bool> = ids.iter().map(delete).collect();
                let count = deleted.iter().filter(|was_there| **was_there).count() as u64;
                (deleted, count.max(forgotten.into()))
            },
            |_| (StreamOp::Remove { ids, references }, Event::stream("xdel")),
        )
    }

    /// Trims the stream and returns how many entries went.
    pub fn trim(&mut self, trim: Trim) -> usize {
        let gone = self.trimmed(trim);
        self.trim_to(self.len() - gone, trim.references)
    }

    fn trim_to(&mut self, len: usize, references: References) -> usize {
        self.alter_stream(
            |stream| {
                let gone = stream.trim_to(len, references);
                (gone, gone as u64)
            },
            |_| (StreamOp::Trim { len: len as u64, references }, Event::stream("xtrim")),
        )
    }

    /// Sets what is known of entries that are gone. The last identifier is none below that of an entry.
    pub fn mark(&mut self, marks: Marks) {
        self.alter_stream(
            |stream| {
                stream.body().marks = marks;
                ((), 1)
            },
            |()| (StreamOp::Mark(marks), Event::stream("xsetid")),
        );
    }

    /// Makes a group; false if there is one of this name.
    pub fn create_group(&mut self, group: &[u8], last_id: StreamId, entries_read: Option<u64>) -> bool {
        if self.group(group).is_some() {
            return false;
        }
        self.alter_stream(
            |stream| {
                stream.body().groups.insert(group.into(), Arc::new(Group::new(last_id, entries_read)));
                ((), 1)
            },
            |()| (StreamOp::CreateGroup { group, last_id, entries_read }, Event::stream("xgroup-create")),
        );
        true
    }

    /// Removes a group; false if there is none.
    pub fn drop_group(&mut self, group: &[u8]) -> bool {
        self.alter_stream(
            |stream| {
                let is_gone = stream.body().groups.remove(group).is_some();
                (is_gone, is_gone.into())
            },
            |_| (StreamOp::DropGroup { group }, Event::stream("xgroup-destroy")),
        )
    }

    /// A change to a group that is there.
    fn alter_group<'a, R: Default>(
        &mut self,
        group: &[u8],
        act: impl FnOnce(&mut Group) -> (R, u64),
        said: impl FnOnce(&R) -> (StreamOp<'a>, Event),
    ) -> R {
        self.alter_stream(|stream| stream.group_mut(group).map(act).unwrap_or_default(), said)
    }

    /// Sets how far a group has read.
    pub fn set_group(&mut self, group: &[u8], last_id: StreamId, entries_read: Option<u64>) {
        self.set_group_for(group, last_id, entries_read, Event::stream("xgroup-setid"));
    }

    /// Notes how far a group has read.
    pub fn advance_group(&mut self, group: &[u8], last_id: StreamId, entries_read: Option<u64>) {
        self.set_group_for(group, last_id, entries_read, Event::SILENT);
    }

    fn set_group_for(&mut self, group: &[u8], last_id: StreamId, entries_read: Option<u64>, event: Event) {
        self.alter_group(
            group,
            |group| {
                (group.last_id, group.entries_read) = (last_id, entries_read);
                ((), 1)
            },
            |()| (StreamOp::SetGroup { group, last_id, entries_read }, event),
        );
    }

    /// Notes that a consumer asked for something, and makes it if there is none; true then.
    pub fn see_consumer(&mut self, group: &[u8], consumer: &[u8], seen_ms: UnixMs) -> bool {
        self.alter_group(
            group,
            |group| {
                let is_new = group.see(consumer, seen_ms);
                (is_new, is_new.into())
            },
            |_| (StreamOp::AddConsumer { group, consumer, seen_ms }, Event::stream("xgroup-createconsumer")),
        )
    }

    /// Removes a consumer with all that is pending with it; false if there is none.
    pub fn drop_consumer(&mut self, group: &[u8], consumer: &[u8]) -> bool {
        self.alter_group(
            group,
            |group| {
                let is_gone = group.remove_consumer(consumer);
                (is_gone, is_gone.into())
            },
            |_| (StreamOp::DropConsumer { group, consumer }, Event::stream("xgroup-delconsumer")),
        )
    }

    /// Entries, each with how often it was delivered, are pending with a consumer from now on.
    pub fn deliver(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        (active_ms, delivered_ms): (Option<UnixMs>, UnixMs),
        entries: &[(StreamId, u64)],
    ) {
        self.alter_group(
            group,
            |group| {
                group.deliver(consumer, delivered_ms, entries.iter().copied());
                if let Some(active_ms) = active_ms {
                    group.activate(consumer, active_ms);
                }
                ((), entries.len() as u64)
            },
            |()| (StreamOp::Deliver { group, consumer, active_ms, delivered_ms, entries }, Event::SILENT),
        );
    }

    /// Entries are pending no longer; returns how many were.
    pub fn acknowledge(&mut self, group: &[u8], ids: &[StreamId]) -> usize {
        self.alter_group(
            group,
            |group| {
                let count = ids.iter().filter(|id| group.acknowledge(**id)).count();
                (count, count as u64)
            },
            |_| (StreamOp::Acknowledge { group, ids }, Event::SILENT),
        )
    }

    /// Lets what is pending with a group be found by its age.
    pub fn order_by_time(&mut self, group: &[u8]) {
        self.quietly(|stream| {
            if let Some(group) = stream.group_mut(group) {
                group.order_by_time();
            }
        });
    }

    /// Counts something that came again.
    pub fn count_duplicate(&mut self) {
        self.quietly(|stream| stream.body().duplicates += 1);
    }

    /// Changes something that is no content.
    fn quietly(&mut self, act: impl FnOnce(&mut Stream)) {
        let act = |stream: &mut Stream| {
            act(stream);
            ((), 0)
        };
        self.alter_stream(act, |()| unreachable!("it counts as nothing"));
    }

    /// Records what an identifier of a producer has become; of a producer's so many are kept.
    pub fn record(&mut self, producer: &[u8], identifier: &[u8], id: StreamId, size_max: u32) -> bool {
        self.alter_stream(
            |stream| {
                let idempotence = Arc::make_mut(&mut stream.body().idempotence);
                let is_new = idempotence.record(producer, identifier, id, size_max);
                (is_new, is_new.into())
            },
            |_| (StreamOp::Record { producer, identifier, id, size_max }, Event::SILENT),
        )
    }

    /// Forgets what became entries up to a time.
    pub fn forget(&mut self, until_ms: UnixMs) {
        if !self.idempotence().has_until(until_ms) {
            return;
        }
        self.alter_stream(
            |stream| {
                Arc::make_mut(&mut stream.body().idempotence).forget_until(until_ms);
                ((), 1)
            },
            |()| (StreamOp::Forget { until_ms }, Event::SILENT),
        );
    }

    /// Sets how long, and how many, identifiers of producers are known; all that are known are forgotten.
    pub fn configure(&mut self, duration_s: Option<u32>, size_max: Option<u32>) {
        self.alter_stream(
            |stream| {
                let idempotence = Arc::make_mut(&mut stream.body().idempotence);
                (idempotence.duration_s, idempotence.size_max) = (duration_s, size_max);
                idempotence.clear();
                ((), 1)
            },
            |()| (StreamOp::Configure { duration_s, size_max }, Event::SILENT),
        );
    }

    /// Removes entries as trimming does. Redis has no command for that, so it is told as a new value.
    fn take_out(&mut self, ids: &[StreamId]) {
        if ids.iter().any(|id| self.get(*id).is_some()) {
            let act = |stream: &mut Stream| ids.iter().for_each(|id| _ = stream.remove(*id));
            self.alter_as_whole(|stream| StreamUndo::Before(stream.clone()), act, Event::stream("xtrim"));
        }
    }

    /// Puts a stream with these entries and other parts in the place of this one.
    fn replace(&mut self, now: Stream) {
        let undo = |stream: &Stream| StreamUndo::Before(stream.clone());
        self.alter_as_whole(undo, |stream| *stream = now, Event::SILENT);
    }
}

/// A stream of the same entries and these other parts.
fn restored(stream: &Stream, parts: &[StreamPart<'_>]) -> Result<Stream, Misfit> {
    let mut now = stream.clone();
    let body = now.body();
    body.groups.clear();
    body.idempotence = Arc::default();
    for part in parts {
        if matches!(part, StreamPart::Entry { .. }) {
            return Err(Misfit);
        }
        now.add(Part::Stream(*part), &EncodingLimits::default())?;
    }
    Ok(now)
}

/// See [`crate::types::collection::Collection::apply`].
pub(super) fn apply(stream: &mut Editor<'_, Stream>, op: &StreamOp<'_>) -> Result<(), Misfit> {
    let has_group = |group: &[u8]| stream.group(group).is_some();
    let fits = match *op {
        StreamOp::Append { id, fields } => {
            id > stream.marks().last_id && !fields.is_empty() && fields.len() % 2 == 0
        }
        StreamOp::Mark(marks) => !stream.is_new() && marks.last_id >= stream.top_id(),
        StreamOp::CreateGroup { group, .. } => !has_group(group),
        StreamOp::SetGroup { group, .. }
        | StreamOp::AddConsumer { group, .. }
        | StreamOp::DropConsumer { group, .. }
        | StreamOp::Deliver { group, .. }
        | StreamOp::Acknowledge { group, .. } => has_group(group),
        StreamOp::Record { .. } | StreamOp::Configure { .. } => !stream.is_new(),
        // That there is nothing to remove is no misfit: another may have done so.
        StreamOp::Remove { .. }
        | StreamOp::TakeOut { .. }
        | StreamOp::Trim { .. }
        | StreamOp::DropGroup { .. }
        | StreamOp::Forget { .. }
        | StreamOp::Restore { .. } => true,
    };
    if !fits {
        return Err(Misfit);
    }
    match *op {
        StreamOp::Append { id, fields } => stream.append(id, fields),
        StreamOp::Remove { ids, references } => _ = stream.remove(ids, references),
        StreamOp::Trim { len, references } => {
            _ = stream.trim_to(usize::try_from(len).unwrap_or(usize::MAX), references);
        }
        StreamOp::Mark(marks) => stream.mark(marks),
        StreamOp::CreateGroup { group, last_id, entries_read } => {
            _ = stream.create_group(group, last_id, entries_read);
        }
        StreamOp::DropGroup { group } => _ = stream.drop_group(group),
        StreamOp::SetGroup { group, last_id, entries_read } => {
            stream.advance_group(group, last_id, entries_read);
        }
        StreamOp::AddConsumer { group, consumer, seen_ms } => {
            _ = stream.see_consumer(group, consumer, seen_ms);
        }
        StreamOp::DropConsumer { group, consumer } => _ = stream.drop_consumer(group, consumer),
        StreamOp::Deliver { group, consumer, active_ms, delivered_ms, entries } => {
            stream.deliver(group, consumer, (active_ms, delivered_ms), entries);
        }
        StreamOp::Acknowledge { group, ids } => _ = stream.acknowledge(group, ids),
        StreamOp::Record { producer, identifier, id, size_max } => {
            _ = stream.record(producer, identifier, id, size_max);
        }
        StreamOp::Forget { until_ms } => stream.forget(until_ms),
        StreamOp::Configure { duration_s, size_max } => stream.configure(duration_s, size_max),
        StreamOp::TakeOut { ids } => stream.take_out(ids),
        StreamOp::Restore { parts } => {
            let now = restored(stream, parts)?;
            stream.replace(now);
        }
    }
    Ok(())
}

/// See [`crate::types::collection::Collection::take_back`].
pub(super) fn take_back(stream: &mut Stream, undo: &StreamUndo) {
    match undo {
        StreamUndo::Appended { last_id } => stream.take_back_append(*last_id),
        StreamUndo::Before(before) => *stream = before.clone(),
    }
}

/// See [`crate::types::collection::Collection::undo_bytes`].
pub(super) fn undo_bytes(undo: &StreamUndo) -> usize {
    match undo {
        StreamUndo::Appended { .. } => 0,
        StreamUndo::Before(_) => CHANGED_BYTES,
    }
}
