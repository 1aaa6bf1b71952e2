//! LPUSH, LPUSHX, RPUSH, RPUSHX

use swytch_store::{Absent, Elements, KeyspaceMut, List, Side};

use super::ADDED_TO;
use crate::command::KeySpec;
use crate::command::prelude::*;

const PUSH: CommandSpec = CommandSpec {
    group: Group::List,
    complexity: "O(N) for N new elements.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, ADDED_TO)],
    arguments: &[Arg::key("key"), Arg::string("element").multiple()],
    reply: ReplyShape::Count,
    ..CommandSpec::DEFAULT
};

pub static LPUSH: CommandSpec = CommandSpec {
    name: "lpush",
    summary: "Puts elements at the front of a list, one after the other, and returns its length; an absent list is created.",
    since: "1.0.0",
    history: &[("2.4.0", "Takes several elements.")],
    handler: Handler::Write(|call, keyspace| push(call, keyspace, Side::Head, Absent::Create)),
    ..PUSH
};

pub static RPUSH: CommandSpec = CommandSpec {
    name: "rpush",
    summary: "Puts elements at the end of a list and returns its length; an absent list is created.",
    since: "1.0.0",
    history: &[("2.4.0", "Takes several elements.")],
    handler: Handler::Write(|call, keyspace| push(call, keyspace, Side::Tail, Absent::Create)),
    ..PUSH
};

pub static LPUSHX: CommandSpec = CommandSpec {
    name: "lpushx",
    summary: "Puts elements at the front of a list, but only if the list exists.",
    since: "2.2.0",
    history: &[("4.0.0", "Takes several elements.")],
    handler: Handler::Write(|call, keyspace| push(call, keyspace, Side::Head, Absent::Leave)),
    ..PUSH
};

pub static RPUSHX: CommandSpec = CommandSpec {
    name: "rpushx",
    summary: "Puts elements at the end of a list, but only if the list exists.",
    since: "2.2.0",
    history: &[("4.0.0", "Takes several elements.")],
    handler: Handler::Write(|call, keyspace| push(call, keyspace, Side::Tail, Absent::Leave)),
    ..PUSH
};

fn push(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    side: Side,
    absent: Absent,
) -> CommandResult {
    let key = call.key(1);
    let len = if call.args.len() == 3 {
        let element = Elements::One(call.args.get(2));
        keyspace.change::<List, _>(&key, absent, |list| list.push(side, element))?
    } else {
        let elements: Vec<&[u8]> = call.args.from(2).collect();
        keyspace.change::<List, _>(&key, absent, |list| list.push(side, Elements::Many(&elements)))?
    };
    call.reply.count(len.unwrap_or(0));
    Ok(())
}
