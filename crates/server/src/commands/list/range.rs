//! LLEN, LRANGE

use swytch_store::{Keyspace, List, range};

use crate::command::KeySpec;
use crate::command::prelude::*;

pub static LLEN: CommandSpec = CommandSpec {
    name: "llen",
    summary: "Counts the elements of a list; an absent key counts as an empty list.",
    since: "1.0.0",
    group: Group::List,
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RO)],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Count,
    handler: Handler::Read(llen),
    ..CommandSpec::DEFAULT
};

pub static LRANGE: CommandSpec = CommandSpec {
    name: "lrange",
    summary: "Returns the elements of a list between two positions; negative ones count from the end.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(S+N) for N elements that begin S elements from the nearer end.",
    arity: 4,
    flags: Flags::READONLY,
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
    reply: ReplyShape::TEXTS,
    handler: Handler::Read(lrange),
    ..CommandSpec::DEFAULT
};

fn llen(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let len = keyspace.get::<List>(&call.key(1))?.map_or(0, |list| list.len());
    call.reply.count(len);
    Ok(())
}

fn lrange(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let (start, stop) = (call.args.integer(2)?, call.args.integer(3)?);
    let Some(list) = keyspace.get::<List>(&call.key(1))? else {
        call.reply.array(0);
        return Ok(());
    };
    let range = range::inclusive(start, stop, list.len());
    call.reply.array(range.len());
    for element in list.iter_from(range.start).take(range.len()) {
        call.reply.bulk(element);
    }
    Ok(())
}
