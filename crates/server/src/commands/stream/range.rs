//! XLEN, XRANGE, XREVRANGE

use swytch_store::{Keyspace, Stream};

use super::{ENTRIES, SHOWN, id, reply_entry};
use crate::command::KeySpec;
use crate::command::prelude::*;

const LOOK: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Stream,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    ..CommandSpec::DEFAULT
};

pub static XLEN: CommandSpec = CommandSpec {
    name: "xlen",
    summary: "Returns how many entries a stream has; 0 for an absent one.",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    key_specs: &[KeySpec::one(1, KeyFlags::RO)],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Count,
    handler: Handler::Read(|call, keyspace| {
        let len = keyspace.get::<Stream>(&call.key(1))?.map_or(0, Stream::len);
        call.reply.count(len);
        Ok(())
    }),
    ..LOOK
};

const RANGE: CommandSpec = CommandSpec {
    complexity: "O(log(N)+M) for M entries returned of N.",
    arity: -4,
    key_specs: &[KeySpec::one(1, SHOWN)],
    history: &[("6.2.0", "Either end may be excluded.")],
    reply: ReplyShape::OneOf(&[ENTRIES, ReplyShape::NullArray]),
    ..LOOK
};

pub static XRANGE: CommandSpec = CommandSpec {
    name: "xrange",
    summary: "Returns the entries of a stream from one identifier to another; none of an absent one.",
    arguments: &[
        Arg::key("key"),
        Arg::string("start"),
        Arg::string("end"),
        Arg::integer("count").token("COUNT").optional(),
    ],
    handler: Handler::Read(|call, keyspace| range(call, keyspace, false)),
    ..RANGE
};

pub static XREVRANGE: CommandSpec = CommandSpec {
    name: "xrevrange",
    summary: "Returns the entries of a stream between two identifiers, the last one first; none of an absent one.",
    arguments: &[
        Arg::key("key"),
        Arg::string("end"),
        Arg::string("start"),
        Arg::integer("count").token("COUNT").optional(),
    ],
    handler: Handler::Read(|call, keyspace| range(call, keyspace, true)),
    ..RANGE
};

fn range(call: &mut Call<'_>, keyspace: &Keyspace<'_>, is_back: bool) -> CommandResult {
    let (start_at, end_at) = if is_back { (3, 2) } else { (2, 3) };
    let (from, to) = (id::interval_start(call.args.get(start_at))?, id::interval_end(call.args.get(end_at))?);
    let mut count = usize::MAX;
    let mut arguments = call.args.cursor(4);
    while arguments.remaining() > 0 {
        if arguments.remaining() < 2 || !arguments.word("COUNT") {
            return Err(CommandError::Syntax);
        }
        count = usize::try_from(arguments.integer()?).unwrap_or(0);
    }
    let Some(stream) = keyspace.get::<Stream>(&call.key(1))? else {
        call.reply.array(0);
        return Ok(());
    };
    if count == 0 {
        call.reply.null_array();
        return Ok(());
    }
    if is_back {
        let entries: Vec<_> = stream.range_back(from, to).take(count).collect();
        call.reply.array(entries.len());
        entries.iter().for_each(|entry| reply_entry(call, entry));
    } else {
        let entries: Vec<_> = stream.range(from, to).take(count).collect();
        call.reply.array(entries.len());
        entries.iter().for_each(|entry| reply_entry(call, entry));
    }
    Ok(())
}
