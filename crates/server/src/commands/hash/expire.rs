//! HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT
//!
//! All four come down to one effect, the absolute time in milliseconds; a time already past removes the fields at once, as
//! HDEL does.

use std::collections::BTreeSet;

use swytch_store::{Absent, Elements, Hash, KeyspaceMut};

use super::change;
use super::options::{FIELDS, TimeUnit, condition_and_fields};
use crate::command::KeySpec;
use crate::command::prelude::*;

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX"), Arg::flag("gt", "GT"), Arg::flag("lt", "LT")],
)
.optional();

const EXPIRE: CommandSpec = CommandSpec {
    since: "7.4.0",
    group: Group::Hash,
    complexity: "O(N) for N given fields.",
    arity: -6,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::HASH,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    reply: ReplyShape::List(&ReplyShape::Integer),
    ..CommandSpec::DEFAULT
};

pub static HEXPIRE: CommandSpec = CommandSpec {
    name: "hexpire",
    summary: "Makes fields of a hash expire after a number of seconds; says for each whether it does.",
    arguments: &[Arg::key("key"), Arg::integer("seconds"), CONDITION, FIELDS],
    handler: Handler::Write(|call, keyspace| {
        expire(call, keyspace, TimeUnit { seconds: true, relative: true })
    }),
    ..EXPIRE
};

pub static HPEXPIRE: CommandSpec = CommandSpec {
    name: "hpexpire",
    summary: "Makes fields of a hash expire after a number of milliseconds; says for each whether it does.",
    arguments: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION, FIELDS],
    handler: Handler::Write(|call, keyspace| {
        expire(call, keyspace, TimeUnit { seconds: false, relative: true })
    }),
    ..EXPIRE
};

pub static HEXPIREAT: CommandSpec = CommandSpec {
    name: "hexpireat",
    summary: "Makes fields of a hash expire at a Unix time in seconds; says for each whether it does.",
    arguments: &[Arg::key("key"), Arg::new("unix-time-seconds", ArgKind::UnixTime), CONDITION, FIELDS],
    handler: Handler::Write(|call, keyspace| {
        expire(call, keyspace, TimeUnit { seconds: true, relative: false })
    }),
    ..EXPIRE
};

pub static HPEXPIREAT: CommandSpec = CommandSpec {
    name: "hpexpireat",
    summary: "Makes fields of a hash expire at a Unix time in milliseconds; says for each whether it does.",
    arguments: &[Arg::key("key"), Arg::new("unix-time-milliseconds", ArgKind::UnixTime), CONDITION, FIELDS],
    handler: Handler::Write(|call, keyspace| {
        expire(call, keyspace, TimeUnit { seconds: false, relative: false })
    }),
    ..EXPIRE
};

const NO_FIELD: i64 = -2;
const NOT_MET: i64 = 0;
const SET: i64 = 1;
const REMOVED: i64 = 2;

fn expire(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, unit: TimeUnit) -> CommandResult {
    keyspace.check::<Hash>(&call.key(1))?;
    let at_ms = unit.read(call, call.args.get(2))?;
    let (condition, fields) = condition_and_fields(call)?;
    // A time that is over was over where the command was run first.
    let is_past = at_ms <= keyspace.visible_ms();
    let outcome = change(call, keyspace, Absent::Leave, Elements::Many(&fields), |hash| {
        hash.make_room_for_deadlines();
        let mut chosen: BTreeSet<&[u8]> = BTreeSet::new();
        let mut outcomes = Vec::new();
        for name in &fields {
            let is_chosen = chosen.contains(name);
            outcomes.push(match hash.find(name) {
                // Once more: it has gone, or expires at this time already.
                Some(_) if is_chosen && is_past => NO_FIELD,
                Some(field) => {
                    let before = if is_chosen { Some(at_ms) } else { field.expire_at_ms };
                    if !condition.allows(before, at_ms) {
                        NOT_MET
                    } else {
                        chosen.insert(name);
                        if is_past { REMOVED } else { SET }
                    }
                }
                None => NO_FIELD,
            });
        }
        let chosen: Vec<&[u8]> = chosen.into_iter().collect();
        match Elements::Many(&chosen) {
            none if none.is_empty() => {}
            over if is_past => _ = hash.remove(over),
            chosen => hash.expire(chosen, Some(at_ms)),
        }
        outcomes
    })?;
    let outcomes = outcome.unwrap_or_else(|| vec![NO_FIELD; fields.len()]);
    call.reply.array(outcomes.len());
    outcomes.into_iter().for_each(|outcome| call.reply.integer(outcome));
    Ok(())
}
