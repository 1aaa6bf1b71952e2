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
    ..CommandSpec::DEFAULT
};

const REMOVE: CommandSpec = CommandSpec {
    key_specs: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
    handler: Handler::Write(del),
    ..COUNT_OF_KEYS
};

pub static DEL: CommandSpec = CommandSpec {
    name: "del",
    summary: "Deletes one or more keys.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys that will be removed. Values are freed in the background.",
    flags: Flags::WRITE,
    ..REMOVE
};

pub static UNLINK: CommandSpec = CommandSpec {
    name: "unlink",
    summary: "Asynchronously deletes one or more keys.",
    since: "4.0.0",
    complexity: "O(1) for each key removed. Values are freed in the background.",
    flags: Flags::WRITE.union(Flags::FAST),
    ..REMOVE
};

pub static EXISTS: CommandSpec = CommandSpec {
    name: "exists",
    summary: "Determines whether one or more keys exist.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys to check.",
    history: &[("3.0.3", "Accepts multiple `key` arguments.")],
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
