//! LPOP, RPOP, LMPOP

use swytch_store::{Absent, Editor, KeyspaceMut, List, Side};

use super::{POP_FROM_SEVERAL, TAKEN_FROM};
use crate::command::call::parse_side;
use crate::command::prelude::*;
use crate::command::{KeySpec, PopFromSeveral};

const POP: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) for N elements returned.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, TAKEN_FROM)],
    arguments: &[Arg::key("key"), Arg::integer("count").optional().since("6.2.0")],
    history: &[("6.2.0", "A count makes the reply an array.")],
    reply: ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Null, ReplyShape::TEXTS, ReplyShape::NullArray]),
    ..CommandSpec::DEFAULT
};

pub static LPOP: CommandSpec = CommandSpec {
    name: "lpop",
    summary: "Removes elements from the front of a list and returns them; a list left empty is deleted.",
    handler: Handler::Write(|call, keyspace| pop(call, keyspace, Side::Head)),
    ..POP
};

pub static RPOP: CommandSpec = CommandSpec {
    name: "rpop",
    summary: "Removes elements from the end of a list and returns them; a list left empty is deleted.",
    handler: Handler::Write(|call, keyspace| pop(call, keyspace, Side::Tail)),
    ..POP
};

/// What LMPOP and BLMPOP have in common.
pub(super) const MANY_POP: CommandSpec = CommandSpec {
    since: "7.0.0",
    group: Group::List,
    complexity: "O(N+M) to look at N keys and return M elements.",
    categories: Categories::LIST,
    reply: ReplyShape::OneOf(&[
        ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::TEXTS]),
        ReplyShape::NullArray,
    ]),
    ..CommandSpec::DEFAULT
};

pub static LMPOP: CommandSpec = CommandSpec {
    name: "lmpop",
    summary: "Removes elements from one end of the first of several lists that is not empty, and returns them with its key.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
    key_specs: &[KeySpec::counted(1, TAKEN_FROM)],
    arguments: &POP_FROM_SEVERAL,
    handler: Handler::Write(lmpop),
    ..MANY_POP
};

#[inline]
fn pop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, side: Side) -> CommandResult {
    let key = call.key(1);
    let reply = &mut call.reply;
    match call.args.len() {
        2 => {
            let pop = |list: &mut Editor<'_, List>| list.pop(side, 1, |element| reply.bulk(element));
            if keyspace.change(&key, Absent::Leave, pop)?.is_none() {
                reply.null();
            }
        }
        3 => {
            let count = swytch_decimal::parse_i64(call.args.get(2))
                .filter(|count| *count >= 0)
                .ok_or_else(|| CommandError::text("ERR value is out of range, must be positive"))?;
            let popped = keyspace.change::<List, _>(&key, Absent::Leave, |list| {
                let count = list.len().min(count as usize);
                reply.array(count);
                list.pop(side, count, |element| reply.bulk(element));
            })?;
            if popped.is_none() {
                reply.null_array();
            }
        }
        _ => return Err(CommandError::wrong_arity(&call.command.full_name)),
    }
    Ok(())
}

fn lmpop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let wanted = PopFromSeveral::parse(call.args.cursor(1), parse_side)?;
    if !pop_from_first(call, keyspace, &wanted)? {
        call.reply.null_array();
    }
    Ok(())
}

/// Takes from the first of the lists that exists and answers with its key and the elements; false, with
/// nothing answered, when none exists.
pub(super) fn pop_from_first(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    wanted: &PopFromSeveral,
) -> Result<bool, CommandError> {
    for at in wanted.keys.clone() {
        let key = call.key(at);
        let reply = &mut call.reply;
        let popped = keyspace.change::<List, _>(&key, Absent::Leave, |list| {
            let count = list.len().min(wanted.count);
            reply.array(2);
            reply.bulk(key.bytes);
            reply.array(count);
            list.pop(wanted.side, count, |element| reply.bulk(element));
        })?;
        if popped.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
