//! SADD, SREM, SCARD, SISMEMBER, SMISMEMBER, SMEMBERS, SMOVE

use swytch_store::{Absent, Elements, Keyspace, KeyspaceMut, Set};

use super::SHOWN;
use crate::command::KeySpec;
use crate::command::prelude::*;

const CHANGE: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::Set,
    arity: -3,
    categories: Categories::SET,
    arguments: &[Arg::key("key"), Arg::string("member").multiple()],
    history: &[("2.4.0", "Takes several members.")],
    reply: ReplyShape::Count,
    ..CommandSpec::DEFAULT
};

pub static SADD: CommandSpec = CommandSpec {
    name: "sadd",
    summary: "Puts members into a set and returns how many are new; an absent set is created.",
    complexity: "O(N) for N given members.",
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    member: Some(2),
    handler: Handler::Write(|call, keyspace| {
        let key = call.key(1);
        let added = with_members(call, |members| {
            keyspace.change::<Set, _>(&key, Absent::Create, |set| set.add(members))
        })?;
        call.reply.count(added.unwrap_or(0));
        Ok(())
    }),
    ..CHANGE
};

pub static SREM: CommandSpec = CommandSpec {
    name: "srem",
    summary: "Takes members out of a set and returns how many there were; a set left empty is deleted.",
    complexity: "O(N) for N given members.",
    flags: Flags::WRITE.union(Flags::FAST),
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    member: Some(2),
    handler: Handler::Write(|call, keyspace| {
        let key = call.key(1);
        let removed = with_members(call, |members| {
            keyspace.change::<Set, _>(&key, Absent::Leave, |set| set.remove(members))
        })?;
        call.reply.count(removed.unwrap_or(0));
        Ok(())
    }),
    ..CHANGE
};

/// Hands on the arguments behind the key, where they lie in the request.
#[inline]
fn with_members<R>(call: &Call<'_>, act: impl FnOnce(Elements<'_>) -> R) -> R {
    if call.args.len() == 3 {
        return act(Elements::One(call.args.get(2)));
    }
    let members: Vec<&[u8]> = call.args.from(2).collect();
    act(Elements::Many(&members))
}

const LOOK: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::Set,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SET,
    key_specs: &[KeySpec::one(1, KeyFlags::RO)],
    ..CommandSpec::DEFAULT
};

pub static SCARD: CommandSpec = CommandSpec {
    name: "scard",
    summary: "Returns how many members a set has; 0 for an absent one.",
    complexity: "O(1)",
    arity: 2,
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Count,
    handler: Handler::Read(|call, keyspace| {
        let len = keyspace.get::<Set>(&call.key(1))?.map_or(0, Set::len);
        call.reply.count(len);
        Ok(())
    }),
    ..LOOK
};

pub static SISMEMBER: CommandSpec = CommandSpec {
    name: "sismember",
    summary: "Says whether a set has a member: 1 or 0, which is also that of an absent set.",
    complexity: "O(1)",
    arity: 3,
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("member")],
    reply: ReplyShape::Flag,
    handler: Handler::Read(|call, keyspace| {
        let member = call.args.get(2);
        let has = keyspace.get::<Set>(&call.key(1))?.is_some_and(|set| set.contains(member));
        call.reply.integer(has.into());
        Ok(())
    }),
    ..LOOK
};

pub static SMISMEMBER: CommandSpec = CommandSpec {
    name: "smismember",
    summary: "Says for each of several members whether a set has it: 1 or 0.",
    since: "6.2.0",
    complexity: "O(N) for N given members.",
    arity: -3,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[Arg::key("key"), Arg::string("member").multiple()],
    reply: ReplyShape::List(&ReplyShape::Flag),
    handler: Handler::Read(|call, keyspace| {
        let set = keyspace.get::<Set>(&call.key(1))?;
        let members = call.args.from(2);
        call.reply.array(members.len());
        members.for_each(|member| {
            call.reply.integer(set.is_some_and(|set| set.contains(member)).into());
        });
        Ok(())
    }),
    ..LOOK
};

pub static SMEMBERS: CommandSpec = CommandSpec {
    name: "smembers",
    summary: "Returns every member of a set, in no order that one may rely on; none for an absent set.",
    complexity: "O(N) for a set of N members.",
    arity: 2,
    flags: Flags::READONLY,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[Arg::key("key")],
    tips: &["nondeterministic_output_order"],
    reply: ReplyShape::Set(&ReplyShape::Text),
    handler: Handler::Read(smembers),
    ..LOOK
};

fn smembers(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let set = keyspace.get::<Set>(&call.key(1))?;
    call.reply.set(set.map_or(0, Set::len));
    if let Some(set) = set {
        set.iter().for_each(|member| call.reply.bulk(&member));
    }
    Ok(())
}

pub static SMOVE: CommandSpec = CommandSpec {
    name: "smove",
    summary: "Takes a member out of a set and puts it into another; returns 0, with nothing moved, if the former has no such member.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(1)",
    arity: 4,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SET,
    key_specs: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    arguments: &[
        Arg::new("source", ArgKind::Key(0)),
        Arg::new("destination", ArgKind::Key(1)),
        Arg::string("member"),
    ],
    reply: ReplyShape::Flag,
    handler: Handler::Write(smove),
    ..CommandSpec::DEFAULT
};

fn smove(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (from, to, member) = (call.key(1), call.key(2), call.args.get(3));
    let has = match keyspace.check::<Set>(&from)? {
        Some(set) => {
            let has = set.contains(member);
            keyspace.check::<Set>(&to)?;
            has
        }
        None => false,
    };
    if has && !from.is(&to) {
        let members = Elements::One(member);
        keyspace.change::<Set, _>(&from, Absent::Leave, |set| set.remove(members))?;
        keyspace.change::<Set, _>(&to, Absent::Create, |set| set.add(members))?;
    }
    call.reply.integer(has.into());
    Ok(())
}
