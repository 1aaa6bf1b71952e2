//! HGETALL, HKEYS, HVALS

use swytch_store::{Field, Keyspace};

use super::{LOOK, live};
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
    handler: Handler::Read(|call, keyspace| parts(call, keyspace, |field| field.name)),
    ..ALL
};

pub static HVALS: CommandSpec = CommandSpec {
    name: "hvals",
    summary: "Returns the value of every field of a hash, in no order that one may rely on; none for an absent hash.",
    reply: ReplyShape::TEXTS,
    handler: Handler::Read(|call, keyspace| parts(call, keyspace, |field| field.value)),
    ..ALL
};

fn hgetall(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let hash = live(call, keyspace)?;
    call.reply.map(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash {
        hash.iter().for_each(|field| {
            call.reply.bulk(field.name);
            call.reply.bulk(field.value);
        });
    }
    Ok(())
}

/// Answers with one part of each field: itself, or its value.
fn parts(
    call: &mut Call<'_>,
    keyspace: &Keyspace<'_>,
    part: impl for<'f> Fn(&Field<'f>) -> &'f [u8],
) -> CommandResult {
    let hash = live(call, keyspace)?;
    call.reply.array(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash {
        hash.iter().for_each(|field| call.reply.bulk(part(&field)));
    }
    Ok(())
}
