//! SPOP, SRANDMEMBER: members by chance.

use swytch_store::{Absent, Keyspace, KeyspaceMut, Set};

use super::SHOWN;
use crate::command::KeySpec;
use crate::command::call::{DRAWS_MAX, invertible};
use crate::command::prelude::*;
use crate::system::random::next_u64;

const DRAW: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(N) for N members returned.",
    arity: -2,
    categories: Categories::SET,
    tips: &["nondeterministic_output"],
    ..CommandSpec::DEFAULT
};

pub static SPOP: CommandSpec = CommandSpec {
    name: "spop",
    summary: "Takes members, chosen at random, out of a set and returns them; a set left empty is deleted.",
    flags: Flags::WRITE.union(Flags::FAST),
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), Arg::integer("count").optional().since("3.2.0")],
    history: &[("3.2.0", "Takes a count, and then answers with a set.")],
    reply: ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Null, ReplyShape::Set(&ReplyShape::Text)]),
    handler: Handler::Write(spop),
    ..DRAW
};

pub static SRANDMEMBER: CommandSpec = CommandSpec {
    name: "srandmember",
    summary: "Returns members of a set, chosen at random; with a negative count the same one may come again.",
    flags: Flags::READONLY,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[Arg::key("key"), Arg::integer("count").optional().since("2.6.0")],
    history: &[("2.6.0", "Takes a count, and then answers with an array.")],
    reply: ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Null, ReplyShape::TEXTS]),
    handler: Handler::Read(srandmember),
    ..DRAW
};

fn spop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let count = match call.args.len() {
        2 => None,
        3 => Some(
            swytch_decimal::parse_i64(call.args.get(2))
                .and_then(|count| usize::try_from(count).ok())
                .ok_or_else(|| CommandError::text("ERR value is out of range, must be positive"))?,
        ),
        _ => return Err(CommandError::Syntax),
    };
    let popped = keyspace
        .change::<Set, _>(&call.key(1), Absent::Leave, |set| set.pop(count.unwrap_or(1), &mut next_u64))?;
    match (count, popped) {
        (None, popped) => call.reply.bulk_or_null(popped.unwrap_or_default().first().map(Vec::as_slice)),
        (Some(_), popped) => {
            let popped = popped.unwrap_or_default();
            call.reply.set(popped.len());
            popped.iter().for_each(|member| call.reply.bulk(member));
        }
    }
    Ok(())
}

fn srandmember(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let count = match call.args.len() {
        2 => None,
        3 => Some(invertible(call.args.get(2))?),
        _ => return Err(CommandError::Syntax),
    };
    let set = keyspace.get::<Set>(&call.key(1))?;
    match (count, set) {
        (None, None) => call.reply.null(),
        (None, Some(set)) => call.reply.bulk(&set.random(&mut next_u64)),
        (Some(_), None) => call.reply.array(0),
        (Some(count @ 0..), Some(set)) => {
            let drawn = set.sample(usize::try_from(count).unwrap_or(usize::MAX), &mut next_u64);
            call.reply.array(drawn.len());
            drawn.iter().for_each(|member| call.reply.bulk(member));
        }
        (Some(count), Some(set)) => {
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            if count > DRAWS_MAX {
                return Err(CommandError::text("ERR value is out of range"));
            }
            call.reply.array(count);
            (0..count).for_each(|_| call.reply.bulk(&set.random(&mut next_u64)));
        }
    }
    Ok(())
}
