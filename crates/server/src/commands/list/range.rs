//! LLEN, LRANGE

use swytch_store::{Keyspace, clamp_range};

use crate::command::KeySpec;
use crate::command::prelude::*;

pub static LLEN: CommandSpec = CommandSpec {
    name: "llen",
    summary: "Returns the length of a list.",
    since: "1.0.0",
    group: Group::List,
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RO)],
    arguments: &[Arg::key("key")],
    handler: Handler::Read(llen),
    ..CommandSpec::DEFAULT
};

pub static LRANGE: CommandSpec = CommandSpec {
    name: "lrange",
    summary: "Returns the elements of a list between two indices.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the specified range.",
    arity: 4,
    flags: Flags::READONLY,
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
    handler: Handler::Read(lrange),
    ..CommandSpec::DEFAULT
};

fn llen(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let len = keyspace.list(&call.key(1))?.map_or(0, |list| list.len());
    call.reply.count(len);
    Ok(())
}

fn lrange(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let (start, stop) = (call.args.integer(2)?, call.args.integer(3)?);
    let Some(list) = keyspace.list(&call.key(1))? else {
        call.reply.array(0);
        return Ok(());
    };
    let range = clamp_range(start, stop, list.len());
    call.reply.array(range.len());
    for element in list.iter_from(range.start).take(range.len()) {
        call.reply.bulk(element);
    }
    Ok(())
}
