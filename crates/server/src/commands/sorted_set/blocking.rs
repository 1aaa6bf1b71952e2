//! BZPOPMIN, BZPOPMAX, BZMPOP: pops that wait for a member.
//!
//! A handler that finds nothing asks for its client to be parked; `dispatch::park` runs it again, from its
//! first key on, once one of the keys has become a sorted set.

use swytch_store::{Absent, KeyspaceMut, Side, SortedSet, Type};

use super::TAKEN_FROM;
use super::pop::{MANY_POP, POP_FROM_SEVERAL, parse_end, pop_from_first};
use crate::command::prelude::*;
use crate::command::{KeySpec, PopFromSeveral};

const BLOCKING_POP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::SortedSet,
    complexity: "O(K)+O(log(N)) to look at K keys and take from a sorted set of N members.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST).union(Flags::BLOCKING),
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::range(1, -2, 1, TAKEN_FROM)],
    arguments: &[Arg::new("key", ArgKind::Key(0)).multiple(), Arg::double("timeout")],
    history: &[("6.0.0", "The timeout may have a fraction.")],
    reply: ReplyShape::OneOf(&[
        ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text, ReplyShape::Double]),
        ReplyShape::NullArray,
    ]),
    ..CommandSpec::DEFAULT
};

pub static BZPOPMIN: CommandSpec = CommandSpec {
    name: "bzpopmin",
    summary: "Takes the member with the lowest score out of the first sorted set that has one, and waits for a member if none has.",
    handler: Handler::Write(|call, keyspace| blocking_pop(call, keyspace, Side::Head)),
    ..BLOCKING_POP
};

pub static BZPOPMAX: CommandSpec = CommandSpec {
    name: "bzpopmax",
    summary: "Takes the member with the highest score out of the first sorted set that has one, and waits for a member if none has.",
    handler: Handler::Write(|call, keyspace| blocking_pop(call, keyspace, Side::Tail)),
    ..BLOCKING_POP
};

pub static BZMPOP: CommandSpec = CommandSpec {
    name: "bzmpop",
    summary: "Does what ZMPOP does, and waits for a member when all of the sorted sets are empty.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
    key_specs: &[KeySpec::counted(2, TAKEN_FROM)],
    arguments: &[
        Arg::double("timeout"),
        POP_FROM_SEVERAL[0],
        POP_FROM_SEVERAL[1],
        POP_FROM_SEVERAL[2],
        POP_FROM_SEVERAL[3],
    ],
    handler: Handler::Write(bzmpop),
    ..MANY_POP
};

fn blocking_pop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, side: Side) -> CommandResult {
    let timeout_at = call.args.len() - 1;
    let deadline = call.deadline(call.args.get(timeout_at))?;
    for at in 1..timeout_at {
        let key = call.key(at);
        let reply = &mut call.reply;
        let taken = keyspace.change::<SortedSet, _>(&key, Absent::Leave, |set| {
            set.pop(side, 1, |scored| {
                reply.array(3);
                reply.bulk(key.bytes);
                reply.bulk(scored.member);
                reply.double(scored.score);
            });
        })?;
        if taken.is_some() {
            return Ok(());
        }
    }
    call.wait_for((1..timeout_at).collect(), Type::SortedSet, deadline);
    Ok(())
}

fn bzmpop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let wanted = PopFromSeveral::parse(call.args.cursor(2), parse_end)?;
    let deadline = call.deadline(call.args.get(1))?;
    if !pop_from_first(call, keyspace, &wanted)? {
        call.wait_for(wanted.keys.collect(), Type::SortedSet, deadline);
    }
    Ok(())
}
