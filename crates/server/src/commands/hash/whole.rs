//! HGETALL, HKEYS, HVALS

use swytch_store::{Hash, Keyspace};

use super::LOOK;
use crate::command::prelude::*;

const ALL: CommandSpec = CommandSpec {
    complexity: "O(N) for a hash of N fields.",
    arity: 2,
    flags: Flags::READONLY,
    arguments: &[Arg::key("key")],
    tips: &["nondeterministic_output_order"],
    ..LOOK
};

pub static HGETALL: CommandSpec = CommandSpec {
    name: "hgetall",
    summary: "Returns every field of a hash with its value, in no order that one may rely on; none for an absent hash.",
    reply: ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Text),
    handler: Handler::Read(hgetall),
    ..ALL
};

pub static HKEYS: CommandSpec = CommandSpec {
    name: "hkeys",
    summary: "Returns every field of a hash, in no order that one may rely on; none for an absent hash.",
    reply: ReplyShape::TEXTS,
    handler: Handler::Read(|call, keyspace| parts(call, keyspace, 0)),
    ..ALL
};

pub static HVALS: CommandSpec = CommandSpec {
    name: "hvals",
    summary: "Returns the value of every field of a hash, in no order that one may rely on; none for an absent hash.",
    reply: ReplyShape::TEXTS,
    handler: Handler::Read(|call, keyspace| parts(call, keyspace, 1)),
    ..ALL
};

fn hgetall(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let hash = keyspace.get::<Hash>(&call.key(1))?;
    call.reply.map(hash.map_or(0, Hash::len));
    if let Some(hash) = hash {
        hash.iter().for_each(|field| field.into_iter().for_each(|part| call.reply.bulk(part)));
    }
    Ok(())
}

/// Answers with one part of each field: itself, or its value.
fn parts(call: &mut Call<'_>, keyspace: &Keyspace<'_>, part: usize) -> CommandResult {
    let hash = keyspace.get::<Hash>(&call.key(1))?;
    call.reply.array(hash.map_or(0, Hash::len));
    if let Some(hash) = hash {
        hash.iter().for_each(|field| call.reply.bulk(field[part]));
    }
    Ok(())
}
