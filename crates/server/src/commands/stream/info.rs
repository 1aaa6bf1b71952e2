//! XINFO CONSUMERS, GROUPS, HELP, STREAM

use swytch_store::types::stream::Group as ConsumerGroup;
use swytch_store::{Keyspace, Stream, StreamId};

use super::add::Settings;
use super::{SHOWN, no_group, reply_entry, reply_id};
use crate::command::prelude::*;
use crate::command::{KeySpec, reply_help};

const SUB: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Stream,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    key_specs: &[KeySpec::one(2, SHOWN)],
    ..CommandSpec::DEFAULT
};

pub static XINFO: CommandSpec = CommandSpec {
    name: "xinfo",
    summary: "Groups the commands that describe streams and their groups.",
    since: "5.0.0",
    group: Group::Stream,
    subcommands: &[&CONSUMERS, &GROUPS, &HELP, &STREAM],
    ..CommandSpec::CONTAINER
};

/// Names of figures with what they are.
const FIGURES: ReplyShape = ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any);

static CONSUMERS: CommandSpec = CommandSpec {
    name: "consumers",
    summary: "Lists the consumers of a group with how much is pending with each and when it was last heard of.",
    complexity: "O(N) for N consumers.",
    arity: 4,
    arguments: &[Arg::key("key"), Arg::string("group")],
    tips: &["nondeterministic_output"],
    history: &[("7.2.0", "Tells when a consumer last got something too.")],
    reply: ReplyShape::List(&FIGURES),
    handler: Handler::Read(consumers),
    ..SUB
};

static GROUPS: CommandSpec = CommandSpec {
    name: "groups",
    summary: "Lists the groups of a stream with how far each has read.",
    complexity: "O(N) for N groups.",
    arity: 3,
    arguments: &[Arg::key("key")],
    history: &[("7.0.0", "Tells how many entries a group has read, and how many it has still to read.")],
    reply: ReplyShape::List(&FIGURES),
    handler: Handler::Read(groups),
    ..SUB
};

static STREAM: CommandSpec = CommandSpec {
    name: "stream",
    summary: "Describes a stream; with FULL also its first entries and its groups.",
    complexity: "O(N) for N pages, and what FULL shows.",
    arity: -3,
    arguments: &[
        Arg::key("key"),
        Arg::block(
            "full-block",
            &[Arg::flag("full", "FULL"), Arg::integer("count").token("COUNT").optional()],
        )
        .optional(),
    ],
    history: &[
        ("6.0.0", "FULL was added."),
        ("7.0.0", "Tells what it knows of entries that are gone, and how far groups have read."),
        ("7.2.0", "Tells when a consumer last got something too."),
        ("8.6.0", "Tells what it knows of its producers."),
    ],
    reply: FIGURES,
    differs: "`radix-tree-nodes` is one more than the number of pages.",
    handler: Handler::Read(stream),
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
                "CONSUMERS <key> <groupname>",
                "    List the consumers of a group.",
                "GROUPS <key>",
                "    List the groups of a stream.",
                "STREAM <key> [FULL [COUNT <count>]",
                "    Describe a stream.",
            ],
        );
        Ok(())
    }),
    ..CommandSpec::HELP
};

fn find<'k>(call: &Call<'_>, keyspace: &'k Keyspace<'_>) -> Result<&'k Stream, CommandError> {
    keyspace.get::<Stream>(&call.key(2))?.ok_or(CommandError::NoSuchKey)
}

fn number(call: &mut Call<'_>, name: &str, number: i64) {
    call.reply.bulk(name.as_bytes());
    call.reply.integer(number);
}

fn number_or_null(call: &mut Call<'_>, name: &str, number: Option<i64>) {
    call.reply.bulk(name.as_bytes());
    match number {
        Some(number) => call.reply.integer(number),
        None => call.reply.null(),
    }
}

fn identifier(call: &mut Call<'_>, name: &str, id: StreamId) {
    call.reply.bulk(name.as_bytes());
    reply_id(call, id);
}

fn text(call: &mut Call<'_>, name: &str, text: &[u8]) {
    call.reply.bulk(name.as_bytes());
    call.reply.bulk(text);
}

fn consumers(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let (stream, name) = (find(call, keyspace)?, call.args.get(3));
    let group = stream.group(name).ok_or_else(|| no_group(call.args.get(2), name))?;
    let now_ms = call.now_ms as i64;
    call.reply.array(group.consumers().len());
    for consumer in group.consumers() {
        call.reply.map(4);
        text(call, "name", consumer.name());
        number(call, "pending", consumer.pending() as i64);
        number(call, "idle", (now_ms - consumer.seen_ms as i64).max(0));
        number(call, "inactive", consumer.active_ms.map_or(-1, |ms| now_ms - ms as i64));
    }
    Ok(())
}

/// What is told of how far a group has read.
fn progress(call: &mut Call<'_>, stream: &Stream, group: &ConsumerGroup) {
    identifier(call, "last-delivered-id", group.last_id);
    number_or_null(call, "entries-read", group.entries_read.map(|read| read as i64));
    number_or_null(call, "lag", stream.lag(group));
}

fn groups(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let stream = find(call, keyspace)?;
    call.reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        call.reply.map(6);
        text(call, "name", name);
        number(call, "consumers", group.consumers().len() as i64);
        number(call, "pending", group.pending_len() as i64);
        progress(call, stream, group);
    }
    Ok(())
}

/// How many entries FULL shows, 0 for all; `None` without it.
fn full(call: &Call<'_>) -> Result<Option<usize>, CommandError> {
    /// Unless it is told.
    const ENTRIES: usize = 10;
    let mut arguments = call.args.cursor(3);
    match arguments.remaining() {
        0 => Ok(None),
        1 if arguments.word("FULL") => Ok(Some(ENTRIES)),
        3 if arguments.word("FULL") && arguments.word("COUNT") => {
            Ok(Some(usize::try_from(arguments.integer()?).unwrap_or(ENTRIES)))
        }
        _ => Err(call.subcommand_syntax()),
    }
}

fn stream(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let stream = find(call, keyspace)?;
    let full = full(call)?;
    let marks = stream.marks();
    call.reply.map(if full.is_some() { 15 } else { 16 });
    number(call, "length", stream.len() as i64);
    number(call, "radix-tree-keys", stream.pages() as i64);
    number(call, "radix-tree-nodes", stream.pages() as i64 + 1);
    identifier(call, "last-generated-id", marks.last_id);
    identifier(call, "max-deleted-entry-id", marks.max_deleted_id);
    number(call, "entries-added", marks.entries_added as i64);
    identifier(call, "recorded-first-entry-id", stream.first_id());
    let settings = Settings::of(call);
    let (producers, known) = stream.idempotence().count_since(settings.expired_ms(stream, call.now_ms));
    number(call, "idmp-duration", settings.duration_s(stream).into());
    number(call, "idmp-maxsize", settings.size_max(stream).into());
    number(call, "pids-tracked", producers as i64);
    number(call, "iids-tracked", known as i64);
    number(call, "iids-added", stream.idempotence().added as i64);
    number(call, "iids-duplicates", stream.duplicates() as i64);
    match full {
        None => summary(call, stream),
        Some(count) => everything(call, stream, if count == 0 { usize::MAX } else { count }),
    }
    Ok(())
}

fn summary(call: &mut Call<'_>, stream: &Stream) {
    number(call, "groups", stream.groups().len() as i64);
    for (name, id) in [("first-entry", stream.first_id()), ("last-entry", stream.top_id())] {
        call.reply.bulk(name.as_bytes());
        match stream.get(id) {
            Some(entry) => reply_entry(call, &entry),
            None => call.reply.null(),
        }
    }
}

/// Entries, and what is pending, are at most so many.
fn everything(call: &mut Call<'_>, stream: &Stream, count: usize) {
    call.reply.bulk(b"entries");
    call.reply.array(stream.len().min(count));
    for entry in stream.iter().take(count) {
        reply_entry(call, &entry);
    }
    call.reply.bulk(b"groups");
    call.reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        call.reply.map(7);
        text(call, "name", name);
        progress(call, stream, group);
        number(call, "pel-count", group.pending_len() as i64);
        call.reply.bulk(b"pending");
        call.reply.array(group.pending_len().min(count));
        for pending in group.pending().take(count) {
            call.reply.array(4);
            reply_id(call, pending.id);
            call.reply.bulk(pending.consumer);
            call.reply.integer(pending.delivered_ms as i64);
            call.reply.integer(pending.count as i64);
        }
        call.reply.bulk(b"consumers");
        call.reply.array(group.consumers().len());
        for consumer in group.consumers() {
            call.reply.map(5);
            text(call, "name", consumer.name());
            number(call, "seen-time", consumer.seen_ms as i64);
            number(call, "active-time", consumer.active_ms.map_or(-1, |ms| ms as i64));
            number(call, "pel-count", consumer.pending() as i64);
            call.reply.bulk(b"pending");
            call.reply.array(consumer.pending().min(count));
            for pending in group.pending_with(consumer.name(), StreamId::MIN).take(count) {
                call.reply.array(3);
                reply_id(call, pending.id);
                call.reply.integer(pending.delivered_ms as i64);
                call.reply.integer(pending.count as i64);
            }
        }
    }
}
