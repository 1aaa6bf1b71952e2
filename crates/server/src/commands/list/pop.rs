//! LPOP, RPOP

use swytch_store::{KeyspaceMut, Side};

use crate::commands::{
    Arg, Call, Categories, CommandError, CommandResult, CommandSpec, Flags, Group, Handler, KeyFlags, KeySpec,
};

const POP: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) where N is the number of elements returned",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), Arg::integer("count").optional().since("6.2.0")],
    history: &[("6.2.0", "Added the `count` argument.")],
    ..CommandSpec::DEFAULT
};

pub static LPOP: CommandSpec = CommandSpec {
    name: "lpop",
    summary: "Returns the first elements in a list after removing it. Deletes the list if the last element was popped.",
    handler: Handler::Write(|call, keyspace| pop(call, keyspace, Side::Head)),
    ..POP
};

pub static RPOP: CommandSpec = CommandSpec {
    name: "rpop",
    summary: "Returns and removes the last elements of a list. Deletes the list if the last element was popped.",
    handler: Handler::Write(|call, keyspace| pop(call, keyspace, Side::Tail)),
    ..POP
};

fn pop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, side: Side) -> CommandResult {
    let key = call.key(1);
    let reply = &mut call.reply;
    match call.args.len() {
        2 => {
            if keyspace.list_pop(&key, side, 1, |element| reply.bulk(element))?.is_none() {
                reply.null();
            }
        }
        3 => {
            let count = swytch_decimal::parse_i64(call.args.get(2))
                .filter(|count| *count >= 0)
                .ok_or(CommandError::text("ERR value is out of range, must be positive"))?;
            let Some(len) = keyspace.list(&key)?.map(|list| list.len()) else {
                reply.null_array();
                return Ok(());
            };
            let count = len.min(count as usize);
            reply.array(count);
            keyspace.list_pop(&key, side, count, |element| reply.bulk(element))?;
        }
        _ => return Err(CommandError::WrongArity(call.command.full_name.as_str().into())),
    }
    Ok(())
}
