//! HGET, HMGET, HEXISTS, HSTRLEN, HLEN, HDEL

use swytch_store::{Absent, Elements, Hash, KeyspaceMut};

use super::{LOOK, live};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static HGET: CommandSpec = CommandSpec {
    name: "hget",
    summary: "Returns the value of a field, or null where there is none.",
    complexity: "O(1)",
    arity: 3,
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("field")],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Read(|call, keyspace| {
        let field = call.args.get(2);
        let value = live(call, keyspace)?.and_then(|hash| hash.get(field));
        call.reply.bulk_or_null(value);
        Ok(())
    }),
    ..LOOK
};

pub static HMGET: CommandSpec = CommandSpec {
    name: "hmget",
    summary: "Returns the values of several fields, null for each that is not there.",
    complexity: "O(N) for N given fields.",
    arity: -3,
    arguments: &[Arg::key("key"), Arg::string("field").multiple()],
    reply: ReplyShape::List(&ReplyShape::TEXT_OR_NULL),
    handler: Handler::Read(|call, keyspace| {
        let hash = live(call, keyspace)?;
        let fields = call.args.from(2);
        call.reply.array(fields.len());
        fields.for_each(|field| call.reply.bulk_or_null(hash.and_then(|hash| hash.get(field))));
        Ok(())
    }),
    ..LOOK
};

/// Tells something of a key and shows nothing of it.
const TELL: CommandSpec = CommandSpec { key_specs: &[KeySpec::one(1, KeyFlags::RO)], ..LOOK };

pub static HEXISTS: CommandSpec = CommandSpec {
    name: "hexists",
    summary: "Says whether a hash has a field: 1 or 0, which is also that of an absent hash.",
    complexity: "O(1)",
    arity: 3,
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("field")],
    reply: ReplyShape::Flag,
    handler: Handler::Read(|call, keyspace| {
        let field = call.args.get(2);
        let has = live(call, keyspace)?.is_some_and(|hash| hash.get(field).is_some());
        call.reply.integer(has.into());
        Ok(())
    }),
    ..TELL
};

pub static HSTRLEN: CommandSpec = CommandSpec {
    name: "hstrlen",
    summary: "Returns how many bytes the value of a field has; 0 where there is none.",
    since: "3.2.0",
    complexity: "O(1)",
    arity: 3,
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("field")],
    reply: ReplyShape::Count,
    handler: Handler::Read(|call, keyspace| {
        let field = call.args.get(2);
        let value = live(call, keyspace)?.and_then(|hash| hash.get(field));
        call.reply.count(value.map_or(0, <[u8]>::len));
        Ok(())
    }),
    ..TELL
};

pub static HLEN: CommandSpec = CommandSpec {
    name: "hlen",
    summary: "Returns how many fields a hash has, those that have just expired included; 0 for an absent one.",
    complexity: "O(1)",
    arity: 2,
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Count,
    handler: Handler::Read(|call, keyspace| {
        let len = keyspace.get::<Hash>(&call.key(1))?.map_or(0, Hash::len);
        call.reply.count(len);
        Ok(())
    }),
    ..TELL
};

pub static HDEL: CommandSpec = CommandSpec {
    name: "hdel",
    summary: "Takes fields out of a hash and returns how many there were; a hash left empty is deleted.",
    since: "2.0.0",
    group: Group::Hash,
    complexity: "O(N) for N given fields.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::HASH,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("field").multiple()],
    history: &[("2.4.0", "Takes several fields.")],
    reply: ReplyShape::Count,
    handler: Handler::Write(hdel),
    ..CommandSpec::DEFAULT
};

fn hdel(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let fields: Vec<&[u8]> = call.args.from(2).collect();
    let remove = |hash: &mut swytch_store::Editor<'_, Hash>| hash.remove(Elements::Many(&fields));
    let removed = keyspace.change::<Hash, _>(&call.key(1), Absent::Leave, remove)?;
    call.reply.count(removed.unwrap_or(0));
    Ok(())
}
