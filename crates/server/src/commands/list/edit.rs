//! LSET, LINSERT, LREM, LTRIM

use swytch_store::{Absent, Inserted, KeyspaceMut, List, range};

use super::ADDED_TO;
use crate::command::KeySpec;
use crate::command::call::invertible;
use crate::command::prelude::*;

pub static LSET: CommandSpec = CommandSpec {
    name: "lset",
    summary: "Replaces the element at a position of a list.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) for a position N elements from the nearer end.",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), Arg::integer("index"), Arg::string("element")],
    reply: ReplyShape::OK,
    handler: Handler::Write(lset),
    ..CommandSpec::DEFAULT
};

pub static LINSERT: CommandSpec = CommandSpec {
    name: "linsert",
    summary: "Inserts an element in front of or behind the first occurrence of another one.",
    since: "2.2.0",
    group: Group::List,
    complexity: "O(N) for a pivot behind N elements, because the search begins at the front.",
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
    reply: ReplyShape::Integer,
    handler: Handler::Write(linsert),
    ..CommandSpec::DEFAULT
};

pub static LREM: CommandSpec = CommandSpec {
    name: "lrem",
    summary: "Removes elements equal to a value from a list: all of them, or the first or last few.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) for a list of N elements.",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), Arg::integer("count"), Arg::string("element")],
    reply: ReplyShape::Count,
    handler: Handler::Write(lrem),
    ..CommandSpec::DEFAULT
};

pub static LTRIM: CommandSpec = CommandSpec {
    name: "ltrim",
    summary: "Shortens a list to the elements between two positions; an empty range deletes the list.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) for N elements removed.",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
    reply: ReplyShape::OK,
    handler: Handler::Write(ltrim),
    ..CommandSpec::DEFAULT
};

fn lset(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    let is_set = keyspace.change::<List, _>(&key, Absent::Leave, |list| {
        let index = range::index(call.args.integer(2)?, list.len()).ok_or(CommandError::IndexOutOfRange)?;
        list.set(index, call.args.get(3));
        Ok::<_, CommandError>(())
    })?;
    is_set.ok_or(CommandError::NoSuchKey)??;
    call.reply.ok();
    Ok(())
}

fn linsert(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let place = call.args.get(2);
    let before = place.eq_ignore_ascii_case(b"BEFORE");
    if !before && !place.eq_ignore_ascii_case(b"AFTER") {
        return Err(CommandError::Syntax);
    }
    let inserted = keyspace.change::<List, _>(&call.key(1), Absent::Leave, |list| {
        list.insert(call.args.get(3), before, call.args.get(4))
    })?;
    call.reply.integer(match inserted {
        Some(Inserted::Len(len)) => len as i64,
        Some(Inserted::NoPivot) => -1,
        None => 0,
    });
    Ok(())
}

fn lrem(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let count = invertible(call.args.get(2))?;
    let element = call.args.get(3);
    let removed =
        keyspace.change::<List, _>(&call.key(1), Absent::Leave, |list| list.remove(count, element))?;
    call.reply.count(removed.unwrap_or(0));
    Ok(())
}

fn ltrim(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (start, stop) = (call.args.integer(2)?, call.args.integer(3)?);
    keyspace.change::<List, _>(&call.key(1), Absent::Leave, |list| list.trim(start, stop))?;
    call.reply.ok();
    Ok(())
}
