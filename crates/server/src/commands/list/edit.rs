//! LSET, LINSERT, LREM, LTRIM

use swytch_store::KeyspaceMut;

use super::{ADDED_TO, index_in, invertible};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static LSET: CommandSpec = CommandSpec {
    name: "lset",
    summary: "Replaces the element at an index of a list.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) where N is the length of the list. Setting either the first or the last element of the list is O(1).",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), Arg::integer("index"), Arg::string("element")],
    handler: Handler::Write(lset),
    ..CommandSpec::DEFAULT
};

pub static LINSERT: CommandSpec = CommandSpec {
    name: "linsert",
    summary: "Inserts an element before or after another one of a list.",
    since: "2.2.0",
    group: Group::List,
    complexity: "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the right end (tail) is O(N).",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, ADDED_TO)],
    arguments: &[
        Arg::key("key"),
        Arg::one_of("where", &[Arg::flag("before", "BEFORE"), Arg::flag("after", "AFTER")]),
        Arg::string("pivot"),
        Arg::string("element"),
    ],
    handler: Handler::Write(linsert),
    ..CommandSpec::DEFAULT
};

pub static LREM: CommandSpec = CommandSpec {
    name: "lrem",
    summary: "Removes elements of a value from a list; an emptied list is deleted.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N+M) where N is the length of the list and M is the number of elements removed.",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), Arg::integer("count"), Arg::string("element")],
    handler: Handler::Write(lrem),
    ..CommandSpec::DEFAULT
};

pub static LTRIM: CommandSpec = CommandSpec {
    name: "ltrim",
    summary: "Keeps only a range of a list; an emptied list is deleted.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) where N is the number of elements to be removed by the operation.",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
    handler: Handler::Write(ltrim),
    ..CommandSpec::DEFAULT
};

fn lset(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    let len = keyspace.list_to_change(&key)?.ok_or(CommandError::NoSuchKey)?.len();
    let index = index_in(call.args.integer(2)?, len).ok_or(CommandError::IndexOutOfRange)?;
    keyspace.list_set(&key, index, call.args.get(3))?;
    call.reply.ok();
    Ok(())
}

fn linsert(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let place = call.args.get(2);
    let before = place.eq_ignore_ascii_case(b"BEFORE");
    if !before && !place.eq_ignore_ascii_case(b"AFTER") {
        return Err(CommandError::Syntax);
    }
    let len = keyspace.list_insert(&call.key(1), call.args.get(3), before, call.args.get(4))?;
    call.reply.integer(match len {
        Some(Some(len)) => len as i64,
        Some(None) => -1,
        None => 0,
    });
    Ok(())
}

fn lrem(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let count = invertible(call.args.get(2))?;
    let removed = keyspace.list_remove(&call.key(1), count, call.args.get(3))?;
    call.reply.count(removed);
    Ok(())
}

fn ltrim(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (start, stop) = (call.args.integer(2)?, call.args.integer(3)?);
    keyspace.list_trim(&call.key(1), start, stop)?;
    call.reply.ok();
    Ok(())
}
