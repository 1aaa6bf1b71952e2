//! KEYS, RANDOMKEY

use swytch_store::Keyspace;

use crate::command::prelude::*;
use crate::command::scan::leaves_strangers;
use crate::system::glob;

pub static KEYS: CommandSpec = CommandSpec {
    name: "keys",
    summary: "Returns every key that matches a glob pattern; it looks at all keys, so use SCAN where others must not wait.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(N) for N keys in the database.",
    arity: 2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    arguments: &[Arg::new("pattern", ArgKind::Pattern)],
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    reply: ReplyShape::TEXTS,
    handler: Handler::ReadAll(keys),
    ..CommandSpec::DEFAULT
};

pub static RANDOMKEY: CommandSpec = CommandSpec {
    name: "randomkey",
    summary: "Returns some key of the database, or null when it is empty.",
    since: "1.0.0",
    group: Group::Generic,
    arity: 1,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::ReadAll(random_key),
    ..CommandSpec::DEFAULT
};

fn keys(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let pattern = call.args.get(1);
    let all = pattern == b"*";
    let found: Vec<&[u8]> = keyspace
        .entries(call.client.db)
        .map(|entry| entry.key())
        .filter(|key| all || glob::matches(pattern, key, false))
        .collect();
    call.reply.array(found.len());
    found.into_iter().for_each(|key| call.reply.bulk(key));
    Ok(())
}

fn random_key(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    keyspace.leaving_strangers(leaves_strangers(call));
    let key = keyspace.random_key(call.client.db, crate::system::random::next_u64);
    call.reply.bulk_or_null(key.as_deref());
    Ok(())
}
