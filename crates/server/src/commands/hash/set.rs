//! HSET, HMSET, HSETNX

use swytch_store::{Absent, Elements, FieldValue, Hash, KeyspaceMut};

use super::change;
use crate::command::KeySpec;
use crate::command::prelude::*;

pub(super) const DATA: Arg = Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple();

const SET: CommandSpec = CommandSpec {
    since: "2.0.0",
    group: Group::Hash,
    complexity: "O(N) for N given fields.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::HASH,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), DATA],
    ..CommandSpec::DEFAULT
};

pub static HSET: CommandSpec = CommandSpec {
    name: "hset",
    summary: "Gives fields of a hash their values and returns how many are new; an absent hash is created.",
    history: &[("4.0.0", "Takes several fields.")],
    member: Some(2),
    reply: ReplyShape::Count,
    handler: Handler::Write(|call, keyspace| {
        let created = set(call, keyspace)?;
        call.reply.count(created);
        Ok(())
    }),
    ..SET
};

pub static HMSET: CommandSpec = CommandSpec {
    name: "hmset",
    summary: "Gives fields of a hash their values; an absent hash is created.",
    deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
    reply: ReplyShape::OK,
    handler: Handler::Write(|call, keyspace| {
        set(call, keyspace)?;
        call.reply.ok();
        Ok(())
    }),
    ..SET
};

/// Sets the fields behind the key and returns how many are new.
fn set(call: &Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> Result<usize, CommandError> {
    if call.args.len() % 2 == 1 {
        return Err(CommandError::wrong_arity(call.command.spec.name));
    }
    let mut set = |fields: &[FieldValue<'_>]| {
        keyspace.change::<Hash, _>(&call.key(1), Absent::Create, |hash| hash.set(fields))
    };
    let created = if call.args.len() == 4 {
        set(&[[call.args.get(2), call.args.get(3)]])?
    } else {
        set(&pairs(call.args.from(2)))?
    };
    Ok(created.unwrap_or(0))
}

/// Fields and values in turn.
pub(super) fn pairs<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Vec<FieldValue<'a>> {
    std::iter::from_fn(|| Some([arguments.next()?, arguments.next()?])).collect()
}

pub static HSETNX: CommandSpec = CommandSpec {
    name: "hsetnx",
    summary: "Gives a field its value if there is no such field; returns whether it did.",
    complexity: "O(1)",
    arity: 4,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("field"), Arg::string("value")],
    reply: ReplyShape::Flag,
    handler: Handler::Write(hsetnx),
    ..SET
};

fn hsetnx(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (field, value) = (call.args.get(2), call.args.get(3));
    let created = change(call, keyspace, Absent::Create, Elements::One(field), |hash| {
        if hash.find(field).is_some() { 0 } else { hash.set(&[[field, value]]) }
    })?;
    call.reply.count(created.unwrap_or(0));
    Ok(())
}
