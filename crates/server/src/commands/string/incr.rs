//! INCR, INCRBY, DECR, DECRBY

use swytch_store::KeyspaceMut;

use crate::command::KeySpec;
use crate::command::prelude::*;

const COUNTER: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Integer,
    ..CommandSpec::DEFAULT
};

pub static INCR: CommandSpec = CommandSpec {
    name: "incr",
    summary: "Adds 1 to the integer in a key and returns the sum; an absent key counts as 0.",
    arity: 2,
    handler: Handler::Write(|call, keyspace| add(call, keyspace, 1)),
    ..COUNTER
};

pub static DECR: CommandSpec = CommandSpec {
    name: "decr",
    summary: "Subtracts 1 from the integer in a key and returns the difference; an absent key counts as 0.",
    arity: 2,
    handler: Handler::Write(|call, keyspace| add(call, keyspace, -1)),
    ..COUNTER
};

pub static INCRBY: CommandSpec = CommandSpec {
    name: "incrby",
    summary: "Adds a number to the integer in a key and returns the sum; an absent key counts as 0.",
    arity: 3,
    arguments: &[Arg::key("key"), Arg::integer("increment")],
    handler: Handler::Write(|call, keyspace| {
        let delta = call.args.integer(2)?;
        add(call, keyspace, delta)
    }),
    ..COUNTER
};

pub static DECRBY: CommandSpec = CommandSpec {
    name: "decrby",
    summary: "Subtracts a number from the integer in a key and returns the difference; an absent key counts as 0.",
    arity: 3,
    arguments: &[Arg::key("key"), Arg::integer("decrement")],
    handler: Handler::Write(|call, keyspace| {
        let delta = call.args.integer(2)?;
        let delta = delta.checked_neg().ok_or_else(|| CommandError::text("ERR decrement would overflow"))?;
        add(call, keyspace, delta)
    }),
    ..COUNTER
};

fn add(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, delta: i64) -> CommandResult {
    let sum = keyspace.increment(&call.key(1), delta)?;
    call.reply.integer(sum);
    Ok(())
}
