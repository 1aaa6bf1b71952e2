//! BLPOP, BRPOP, BLMPOP: pops that wait for an element.
//!
//! A handler that finds nothing asks for its client to be parked; `dispatch::park` runs it again, from its
//! first key on, once one of the keys has become a list.

use swytch_store::{Absent, KeyspaceMut, List, Side, Type};

use super::pop::{MANY_POP, pop_from_first};
use super::{POP_FROM_SEVERAL, TAKEN_FROM};
use crate::command::call::parse_side;
use crate::command::prelude::*;
use crate::command::{KeySpec, PopFromSeveral};

const BLOCKING_POP: CommandSpec = CommandSpec {
    since: "2.0.0",
    group: Group::List,
    complexity: "O(N) to look at N keys.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    categories: Categories::LIST,
    key_specs: &[KeySpec::range(1, -2, 1, TAKEN_FROM)],
    arguments: &[Arg::new("key", ArgKind::Key(0)).multiple(), Arg::double("timeout")],
    history: &[("6.0.0", "The timeout may have a fraction.")],
    reply: ReplyShape::OneOf(&[
        ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text]),
        ReplyShape::NullArray,
    ]),
    ..CommandSpec::DEFAULT
};

pub static BLPOP: CommandSpec = CommandSpec {
    name: "blpop",
    summary: "Removes and returns the first element of the first list that has one, and waits for an element if none has.",
    handler: Handler::Write(|call, keyspace| blocking_pop(call, keyspace, Side::Head)),
    ..BLOCKING_POP
};

pub static BRPOP: CommandSpec = CommandSpec {
    name: "brpop",
    summary: "Removes and returns the last element of the first list that has one, and waits for an element if none has.",
    handler: Handler::Write(|call, keyspace| blocking_pop(call, keyspace, Side::Tail)),
    ..BLOCKING_POP
};

pub static BLMPOP: CommandSpec = CommandSpec {
    name: "blmpop",
    summary: "Does what LMPOP does, and waits for an element when all of the lists are empty.",
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
    handler: Handler::Write(blmpop),
    ..MANY_POP
};

fn blocking_pop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, side: Side) -> CommandResult {
    let timeout_at = call.args.len() - 1;
    let deadline = call.deadline(call.args.get(timeout_at))?;
    for at in 1..timeout_at {
        let key = call.key(at);
        let reply = &mut call.reply;
        let taken = keyspace.change::<List, _>(&key, Absent::Leave, |list| {
            list.pop(side, 1, |element| {
                reply.array(2);
                reply.bulk(key.bytes);
                reply.bulk(element);
            })
        })?;
        if taken.is_some() {
            return Ok(());
        }
    }
    call.wait_for((1..timeout_at).collect(), Type::List, deadline);
    Ok(())
}

fn blmpop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let wanted = PopFromSeveral::parse(call.args.cursor(2), parse_side)?;
    let deadline = call.deadline(call.args.get(1))?;
    if !pop_from_first(call, keyspace, &wanted)? {
        call.wait_for(wanted.keys.collect(), Type::List, deadline);
    }
    Ok(())
}
