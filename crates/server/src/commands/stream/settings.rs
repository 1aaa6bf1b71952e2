//! XSETID, XCFGSET, XIDMPRECORD

use swytch_store::{Absent, KeyspaceMut, Marks, Stream, StreamId};

use super::add::Settings;
use super::{UPDATED, id, replays};
use crate::command::KeySpec;
use crate::command::prelude::*;

const SET: CommandSpec = CommandSpec {
    group: Group::Stream,
    categories: Categories::STREAM,
    key_specs: &[KeySpec::one(1, UPDATED)],
    reply: ReplyShape::OK,
    ..CommandSpec::DEFAULT
};

pub static XSETID: CommandSpec = CommandSpec {
    name: "xsetid",
    summary: "Sets the last identifier of a stream and what else it knows of entries that are gone.",
    since: "5.0.0",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    arguments: &[
        Arg::key("key"),
        Arg::string("last-id"),
        Arg::integer("entries-added").token("ENTRIESADDED").optional().since("7.0.0"),
        Arg::string("max-deleted-id").token("MAXDELETEDID").optional().since("7.0.0"),
    ],
    history: &[("7.0.0", "ENTRIESADDED and MAXDELETEDID were added.")],
    handler: Handler::Write(xsetid),
    ..SET
};

pub static XCFGSET: CommandSpec = CommandSpec {
    name: "xcfgset",
    summary: "Sets for how long, and how many, identifiers of producers a stream knows; a change forgets all of them.",
    since: "8.6.0",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    arguments: &[
        Arg::key("key"),
        Arg::block(
            "idmp-duration-block",
            &[Arg::flag("idmp-duration-token", "IDMP-DURATION"), Arg::integer("duration")],
        )
        .optional(),
        Arg::block(
            "idmp-maxsize-block",
            &[Arg::flag("idmp-maxsize-token", "IDMP-MAXSIZE"), Arg::integer("maxsize")],
        )
        .optional(),
    ],
    handler: Handler::Write(xcfgset),
    ..SET
};

pub static XIDMPRECORD: CommandSpec = CommandSpec {
    name: "xidmprecord",
    summary: "Notes which entry of a stream an identifier of a producer has become.",
    since: "8.6.2",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    arguments: &[Arg::key("key"), Arg::string("pid"), Arg::string("iid"), Arg::string("stream-id")],
    handler: Handler::Write(xidmprecord),
    ..SET
};

/// Changes the stream, which must be there.
fn in_stream<R>(
    call: &Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    act: impl FnOnce(&mut swytch_store::Editor<'_, Stream>) -> Result<R, CommandError>,
) -> Result<R, CommandError> {
    let done = keyspace.change::<Stream, _>(&call.key(1), Absent::Leave, act)?;
    done.unwrap_or(Err(CommandError::NoSuchKey))
}

fn xsetid(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let last_id = id::strict(call.args.get(2))?;
    let (mut entries_added, mut max_deleted_id) = (None, StreamId::MIN);
    let mut arguments = call.args.cursor(3);
    while arguments.remaining() > 0 {
        let has_value = arguments.remaining() > 1;
        if has_value && arguments.word("ENTRIESADDED") {
            let added = u64::try_from(arguments.integer()?);
            entries_added =
                Some(added.map_err(|_| CommandError::text("ERR entries_added must be positive"))?);
        } else if has_value && arguments.word("MAXDELETEDID") {
            max_deleted_id = id::strict(arguments.expect()?)?;
            if last_id < max_deleted_id {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(CommandError::Syntax);
        }
    }
    in_stream(call, keyspace, |stream| {
        let marks = stream.marks();
        if last_id < marks.max_deleted_id {
            return Err(CommandError::text(
                "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
            ));
        }
        if last_id < stream.top_id() {
            return Err(CommandError::text(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if !stream.is_empty() && entries_added.is_some_and(|added| added < stream.len() as u64) {
            return Err(CommandError::text(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
        let max_deleted_id =
            if max_deleted_id == StreamId::MIN { marks.max_deleted_id } else { max_deleted_id };
        let entries_added = entries_added.unwrap_or(marks.entries_added);
        stream.mark(Marks { last_id, max_deleted_id, entries_added });
        Ok(())
    })?;
    call.reply.ok();
    Ok(())
}

/// Reads the value of an option that may come once.
fn once(
    arguments: &mut ArgCursor<'_>,
    before: Option<u32>,
    (name, max, unit): (&str, u32, &str),
) -> Result<u32, CommandError> {
    if before.is_some() {
        return Err(CommandError::owned(format!("ERR {name} specified multiple times")));
    }
    let number = u32::try_from(arguments.integer()?).ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| CommandError::owned(format!("ERR {name} must be between 1 and {max} {unit}")))
}

fn xcfgset(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let server = Settings::of(call);
    in_stream(call, keyspace, |stream| {
        let (mut duration_s, mut size_max) = (None, None);
        let mut arguments = call.args.cursor(2);
        while arguments.remaining() > 0 {
            let has_value = arguments.remaining() > 1;
            if has_value && arguments.word("IDMP-DURATION") {
                duration_s = Some(once(&mut arguments, duration_s, ("IDMP-DURATION", 86_400, "seconds"))?);
            } else if has_value && arguments.word("IDMP-MAXSIZE") {
                size_max = Some(once(&mut arguments, size_max, ("IDMP-MAXSIZE", 10_000, "entries"))?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if duration_s.is_none() && size_max.is_none() {
            return Err(CommandError::text("ERR At least one parameter must be specified"));
        }
        let now = (server.duration_s(stream), server.size_max(stream));
        if (duration_s.unwrap_or(now.0), size_max.unwrap_or(now.1)) != now {
            let before = (stream.idempotence().duration_s, stream.idempotence().size_max);
            stream.configure(duration_s.or(before.0), size_max.or(before.1));
        }
        Ok(())
    })?;
    call.reply.ok();
    Ok(())
}

fn xidmprecord(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let id = id::strict(call.args.get(4))?;
    let (producer, identifier) = (call.args.get(2), call.args.get(3));
    if producer.is_empty() {
        return Err(CommandError::text("ERR producer ID must be non-empty"));
    }
    if identifier.is_empty() {
        return Err(CommandError::text("ERR idempotent ID must be non-empty"));
    }
    let server = Settings::of(call);
    // What is replayed may tell of an entry that has gone since.
    let may_be_gone = replays(call);
    in_stream(call, keyspace, |stream| {
        if !may_be_gone && stream.get(id).is_none() {
            return Err(CommandError::text("ERR No such message in stream"));
        }
        match stream.idempotence().get(producer, identifier) {
            Some(known) if known != id && !may_be_gone => {
                Err(CommandError::text("ERR IID already exists for this producer with a different stream ID"))
            }
            Some(known) if known == id => Ok(()),
            before => {
                // Nothing that is replayed tells what was forgotten meanwhile because it was old.
                if let Some(forgotten) = before {
                    stream.forget(forgotten.ms);
                }
                stream.record(producer, identifier, id, server.size_max(stream));
                Ok(())
            }
        }
    })?;
    call.reply.ok();
    Ok(())
}
