//! TYPE, TOUCH

use swytch_store::Keyspace;

use super::del::COUNT_OF_KEYS;
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static TYPE: CommandSpec = CommandSpec {
    name: "type",
    summary: "Names the type of the value in a key, or `none` when the key is absent.",
    since: "1.0.0",
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    key_specs: &[KeySpec::one(1, KeyFlags::RO)],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Word(&["none", "string", "list", "hash", "set", "zset", "stream"]),
    handler: Handler::Read(type_of),
    ..CommandSpec::DEFAULT
};

pub static TOUCH: CommandSpec = CommandSpec {
    name: "touch",
    summary: "Marks keys as just used, and tells how many of them exist.",
    since: "3.2.1",
    complexity: "O(N) for N keys.",
    flags: COUNT_OF_KEYS.flags.union(Flags::ALWAYS_TOUCHES),
    reply: ReplyShape::Count,
    handler: Handler::Read(touch),
    ..COUNT_OF_KEYS
};

fn type_of(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let name = keyspace.look(&call.key(1)).map_or("none", |entry| entry.data_type().name());
    call.reply.simple(name);
    Ok(())
}

fn touch(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let found = (1..call.args.len()).filter(|index| keyspace.find(&call.key(*index)).is_some()).count();
    call.reply.count(found);
    Ok(())
}
