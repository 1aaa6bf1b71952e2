//! DELEX, DELIFEQ, DIGEST

use swytch_store::{Keyspace, KeyspaceMut, Type};

use super::condition::{Condition, Operand, digest_of};
use crate::command::KeySpec;
use crate::command::prelude::*;

const REMOVE: CommandSpec = CommandSpec {
    group: Group::String,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STRING,
    reply: ReplyShape::Flag,
    ..CommandSpec::DEFAULT
};

pub static DELEX: CommandSpec = CommandSpec {
    name: "delex",
    summary: "Deletes a key, if asked so only where its string, or the string's digest, is equal to a given one or is not.",
    since: "8.4.0",
    complexity: "O(1), and O(N) to compare N bytes.",
    arity: -2,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE).union(KeyFlags::VARIABLE_FLAGS))],
    key_flags: Some(|args| {
        let kind = if Condition::is_comparison(args, 2) { KeyFlags::RW } else { KeyFlags::RM };
        kind | KeyFlags::DELETE
    }),
    arguments: &[Arg::key("key"), Arg::one_of("condition", &COMPARISONS).optional()],
    handler: Handler::Write(delex),
    ..REMOVE
};

pub static DELIFEQ: CommandSpec = CommandSpec {
    name: "delifeq",
    summary: "Deletes a key, but only if its string is equal to a given one.",
    since: "9.0.0",
    complexity: "O(N) to compare N bytes.",
    arity: 3,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), Arg::string("value")],
    handler: Handler::Write(delifeq),
    ..REMOVE
};

pub static DIGEST: CommandSpec = CommandSpec {
    name: "digest",
    summary: "Returns the XXH3 digest of a string as 16 hexadecimal digits.",
    since: "8.4.0",
    group: Group::String,
    complexity: "O(N) for a string of N bytes.",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Read(digest),
    ..CommandSpec::DEFAULT
};

/// The comparisons, as SET has them too.
pub(super) const COMPARISONS: [Arg; 4] = [
    Arg::string("ifeq-value").token("IFEQ"),
    Arg::string("ifne-value").token("IFNE"),
    Arg::integer("ifdeq-digest").token("IFDEQ"),
    Arg::integer("ifdne-digest").token("IFDNE"),
];

fn delex(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let condition = match call.args.len() {
        2 => Condition::None,
        4 => {
            let key = call.key(1);
            if keyspace.look(&key).is_some_and(|entry| entry.data_type() != Type::String) {
                return Err(CommandError::text(
                    "ERR Key should be of string type if conditions are specified",
                ));
            }
            Condition::comparison(&mut call.args.cursor(2))?
                .ok_or_else(|| CommandError::text("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"))?
        }
        _ => return Err(CommandError::wrong_arity(&call.command.full_name)),
    };
    delete_if(call, keyspace, condition)
}

fn delifeq(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let condition = Condition::Compares { equal: true, with: Operand::Value(call.args.get(2)) };
    delete_if(call, keyspace, condition)
}

/// Deletes the first key where the condition holds, and answers whether it was there and is gone.
fn delete_if(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    condition: Condition<'_>,
) -> CommandResult {
    let key = call.key(1);
    let deleted = condition.holds(keyspace, &key)? && keyspace.delete(&key);
    call.reply.integer(i64::from(deleted));
    Ok(())
}

fn digest(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    match keyspace.string(&call.key(1))? {
        Some(text) => call.reply.bulk(digest_of(&text).as_bytes()),
        None => call.reply.null(),
    }
    Ok(())
}
