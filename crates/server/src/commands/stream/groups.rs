//! XGROUP CREATE, CREATECONSUMER, DELCONSUMER, DESTROY, HELP, SETID

use swytch_store::{Absent, KeyspaceMut, Stream, StreamId};

use super::{DELETED_FROM, UPDATED, id, no_group};
use crate::command::prelude::*;
use crate::command::{KeySpec, reply_help};

const SUB: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Stream,
    flags: Flags::WRITE,
    categories: Categories::STREAM,
    ..CommandSpec::DEFAULT
};

pub static XGROUP: CommandSpec = CommandSpec {
    name: "xgroup",
    summary: "Groups the commands that make, set and remove consumer groups.",
    since: "5.0.0",
    group: Group::Stream,
    subcommands: &[&CREATE, &CREATECONSUMER, &DELCONSUMER, &DESTROY, &HELP, &SETID],
    ..CommandSpec::CONTAINER
};

const INSERTED: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);
const START: Arg = Arg::one_of("id-selector", &[Arg::string("id"), Arg::flag("new-id", "$")]);
const READ: Arg = Arg::integer("entriesread").token("ENTRIESREAD").optional().display("entries-read");

static CREATE: CommandSpec = CommandSpec {
    name: "create",
    summary: "Makes a consumer group that reads a stream from an identifier on.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    key_specs: &[KeySpec::one(2, INSERTED)],
    arguments: &[
        Arg::key("key"),
        Arg::string("group"),
        START,
        Arg::flag("mkstream", "MKSTREAM").optional(),
        READ,
    ],
    history: &[("7.0.0", "ENTRIESREAD was added.")],
    reply: ReplyShape::OK,
    handler: Handler::Write(create),
    ..SUB
};

static SETID: CommandSpec = CommandSpec {
    name: "setid",
    summary: "Sets up to where a consumer group has read.",
    arity: -5,
    key_specs: &[KeySpec::one(2, UPDATED)],
    arguments: &[Arg::key("key"), Arg::string("group"), START, READ],
    history: &[("7.0.0", "ENTRIESREAD was added.")],
    reply: ReplyShape::OK,
    handler: Handler::Write(set_id),
    ..SUB
};

static DESTROY: CommandSpec = CommandSpec {
    name: "destroy",
    summary: "Removes a consumer group with all that is pending in it: 1, or 0 when there is none.",
    complexity: "O(N) for N entries pending.",
    arity: 4,
    key_specs: &[KeySpec::one(2, DELETED_FROM)],
    arguments: &[Arg::key("key"), Arg::string("group")],
    reply: ReplyShape::Flag,
    handler: Handler::Write(|call, keyspace| {
        let group = call.args.get(3);
        let is_gone = in_stream(call, keyspace, |stream| Ok(stream.drop_group(group)))?;
        call.reply.integer(is_gone.into());
        Ok(())
    }),
    ..SUB
};

static CREATECONSUMER: CommandSpec = CommandSpec {
    name: "createconsumer",
    summary: "Makes a consumer of a group: 1, or 0 when there is one of this name.",
    since: "6.2.0",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    key_specs: &[KeySpec::one(2, INSERTED)],
    arguments: &[Arg::key("key"), Arg::string("group"), Arg::string("consumer")],
    reply: ReplyShape::Flag,
    handler: Handler::Write(|call, keyspace| {
        let (key, group, consumer, now_ms) =
            (call.args.get(2), call.args.get(3), call.args.get(4), call.now_ms);
        let is_new = in_stream(call, keyspace, |stream| {
            let there = stream.group(group).ok_or_else(|| no_group(key, group))?;
            Ok(there.consumer(consumer).is_none() && stream.see_consumer(group, consumer, now_ms))
        })?;
        call.reply.integer(is_new.into());
        Ok(())
    }),
    ..SUB
};

static DELCONSUMER: CommandSpec = CommandSpec {
    name: "delconsumer",
    summary: "Removes a consumer from a group and returns how many entries were pending with it.",
    complexity: "O(N) for N entries pending with it.",
    arity: 5,
    key_specs: &[KeySpec::one(2, DELETED_FROM)],
    arguments: &[Arg::key("key"), Arg::string("group"), Arg::string("consumer")],
    reply: ReplyShape::Count,
    handler: Handler::Write(|call, keyspace| {
        let (key, group, consumer) = (call.args.get(2), call.args.get(3), call.args.get(4));
        let pending = in_stream(call, keyspace, |stream| {
            let there = stream.group(group).ok_or_else(|| no_group(key, group))?;
            let pending = there.consumer(consumer).map_or(0, |consumer| consumer.pending());
            stream.drop_consumer(group, consumer);
            Ok(pending)
        })?;
        call.reply.count(pending);
        Ok(())
    }),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Stream,
    categories: Categories::STREAM,
    handler: Handler::Session(|call| {
        reply_help(
            call,
            &[
                "CREATE <key> <groupname> <id|$> [option]",
                "    Make a group that reads from an identifier on. Options are:",
                "    * MKSTREAM",
                "      Make the stream, without entries, if there is none.",
                "    * ENTRIESREAD entries_read",
                "      Say how many entries it has read (for internal use).",
                "CREATECONSUMER <key> <groupname> <consumer>",
                "    Make a consumer of a group.",
                "DELCONSUMER <key> <groupname> <consumer>",
                "    Remove a consumer and what is pending with it.",
                "DESTROY <key> <groupname>",
                "    Remove a group.",
                "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
                "    Set up to where a group has read, and how many entries that were.",
            ],
        );
        Ok(())
    }),
    ..CommandSpec::HELP
};

/// Changes the stream, which must be there.
fn in_stream<R>(
    call: &Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    act: impl FnOnce(&mut swytch_store::Editor<'_, Stream>) -> Result<R, CommandError>,
) -> Result<R, CommandError> {
    keyspace.change::<Stream, _>(&call.key(2), Absent::Leave, act)?.unwrap_or_else(|| Err(no_stream()))
}

fn no_stream() -> CommandError {
    CommandError::text(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
         option to create an empty stream automatically.",
    )
}

/// The options behind the identifier.
#[derive(Default)]
struct Options {
    makes_stream: bool,
    /// -1 for unknown.
    entries_read: Option<i64>,
}

fn options(call: &Call<'_>, may_make_stream: bool) -> Result<Options, CommandError> {
    let mut arguments = call.args.cursor(5);
    let mut options = Options::default();
    while arguments.remaining() > 0 {
        if may_make_stream && arguments.word("MKSTREAM") {
            options.makes_stream = true;
        } else if arguments.remaining() > 1 && arguments.word("ENTRIESREAD") {
            let read = arguments.integer()?;
            if read < -1 {
                return Err(CommandError::text("ERR value for ENTRIESREAD must be positive or -1"));
            }
            options.entries_read = Some(read);
        } else {
            return Err(call.subcommand_syntax());
        }
    }
    Ok(options)
}

/// How many entries a group has read: no more than there ever were.
fn bounded_read(stream: &Stream, options: &Options) -> Option<u64> {
    let read = options.entries_read.and_then(|read| u64::try_from(read).ok());
    read.map(|read| read.min(stream.marks().entries_added))
}

fn create(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let options = options(call, true)?;
    let key = call.key(2);
    if keyspace.check::<Stream>(&key)?.is_none() && !options.makes_stream {
        return Err(no_stream());
    }
    if call.args.len() > 8 {
        return Err(call.subcommand_syntax());
    }
    let (group, start) = (call.args.get(3), call.args.get(4));
    let given = if start == b"$" { None } else { Some(id::strict(start)?) };
    let created = keyspace.change::<Stream, _>(&key, Absent::Create, |stream| {
        let start = given.unwrap_or(stream.marks().last_id);
        stream.create_group(group, start, bounded_read(stream, &options))
    })?;
    if created != Some(true) {
        return Err(CommandError::text("BUSYGROUP Consumer Group name already exists"));
    }
    call.reply.ok();
    Ok(())
}

fn set_id(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let options = options(call, false)?;
    let (key, group, start) = (call.args.get(2), call.args.get(3), call.args.get(4));
    let argument_count = call.args.len();
    let syntax = call.subcommand_syntax();
    in_stream(call, keyspace, |stream| {
        if stream.group(group).is_none() {
            return Err(no_group(key, group));
        }
        if argument_count != 5 && argument_count != 7 {
            return Err(syntax);
        }
        let start: StreamId = if start == b"$" { stream.marks().last_id } else { id::open_ended(start, 0)? };
        let read = bounded_read(stream, &options);
        stream.set_group(group, start, read);
        Ok(())
    })?;
    call.reply.ok();
    Ok(())
}
