//! DEL, UNLINK, EXISTS
//!
//! Big values are freed in the background either way, so DEL never takes longer than UNLINK.

use swytch_store::{Keyspace, KeyspaceMut};

use crate::command::KeySpec;
use crate::command::prelude::*;

/// A command that does something to each of its keys and answers with a number of keys.
pub(super) const COUNT_OF_KEYS: CommandSpec = CommandSpec {
    group: Group::Generic,
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    key_specs: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    arguments: &[Arg::key("key").multiple()],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    reply: ReplyShape::Count,
    ..CommandSpec::DEFAULT
};

const REMOVE: CommandSpec = CommandSpec {
    key_specs: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
    handler: Handler::Write(del),
    ..COUNT_OF_KEYS
};

pub static DEL: CommandSpec = CommandSpec {
    name: "del",
    summary: "Deletes keys with their values, and tells how many existed.",
    since: "1.0.0",
    complexity: "O(N) for N keys; large values are freed in the background.",
    flags: Flags::WRITE,
    ..REMOVE
};

pub static UNLINK: CommandSpec = CommandSpec {
    name: "unlink",
    summary: "Deletes keys at once, leaves freeing their values to a background thread, and tells how many existed.",
    since: "4.0.0",
    complexity: "O(N) for N keys; large values are freed in the background.",
    flags: Flags::WRITE.union(Flags::FAST),
    ..REMOVE
};

pub static EXISTS: CommandSpec = CommandSpec {
    name: "exists",
    summary: "Counts how many of the given keys exist; a key that is given twice counts twice.",
    since: "1.0.0",
    complexity: "O(N) for N keys.",
    history: &[("3.0.3", "Takes several keys.")],
    handler: Handler::Read(exists),
    ..COUNT_OF_KEYS
};

fn del(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let removed = (1..call.args.len()).filter(|index| keyspace.delete(&call.key(*index))).count();
    call.reply.count(removed);
    Ok(())
}

fn exists(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let found = (1..call.args.len()).filter(|index| keyspace.exists(&call.key(*index))).count();
    call.reply.count(found);
    Ok(())
}
