//! HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME, HPERSIST

use std::collections::BTreeSet;

use swytch_store::{Absent, Elements, Hash, Keyspace, KeyspaceMut};

use super::options::{FIELDS, TimeUnit, only_fields};
use super::{LOOK, change, live};
use crate::command::KeySpec;
use crate::command::prelude::*;

const BASE: CommandSpec = CommandSpec {
    since: "7.4.0",
    complexity: "O(N) for N given fields.",
    arity: -5,
    arguments: &[Arg::key("key"), FIELDS],
    reply: ReplyShape::List(&ReplyShape::Integer),
    ..LOOK
};

pub static HTTL: CommandSpec = CommandSpec {
    name: "httl",
    summary: "Tells in how many seconds fields expire: -1 for one that never does, -2 for one that is absent.",
    tips: &["nondeterministic_output"],
    handler: Handler::Read(|call, keyspace| ttl(call, keyspace, TimeUnit { seconds: true, relative: true })),
    ..BASE
};

pub static HPTTL: CommandSpec = CommandSpec {
    name: "hpttl",
    summary: "Tells in how many milliseconds fields expire: -1 for one that never does, -2 for one that is absent.",
    tips: &["nondeterministic_output"],
    handler: Handler::Read(|call, keyspace| ttl(call, keyspace, TimeUnit { seconds: false, relative: true })),
    ..BASE
};

pub static HEXPIRETIME: CommandSpec = CommandSpec {
    name: "hexpiretime",
    summary: "Tells the Unix times in seconds at which fields expire: -1 for one that never does, -2 for one that is absent.",
    handler: Handler::Read(|call, keyspace| ttl(call, keyspace, TimeUnit { seconds: true, relative: false })),
    ..BASE
};

pub static HPEXPIRETIME: CommandSpec = CommandSpec {
    name: "hpexpiretime",
    summary: "Tells the Unix times in milliseconds at which fields expire: -1 for one that never does, -2 for one that is absent.",
    handler: Handler::Read(|call, keyspace| {
        ttl(call, keyspace, TimeUnit { seconds: false, relative: false })
    }),
    ..BASE
};

pub static HPERSIST: CommandSpec = CommandSpec {
    name: "hpersist",
    summary: "Removes the expiry of fields, so that they stay; says 1 for each that had one, -1 for each that had none, -2 for each that is absent.",
    flags: Flags::WRITE.union(Flags::FAST),
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    handler: Handler::Write(hpersist),
    ..BASE
};

const NO_FIELD: i64 = -2;
const NO_EXPIRY: i64 = -1;

/// Seconds are rounded up.
fn ttl(call: &mut Call<'_>, keyspace: &Keyspace<'_>, unit: TimeUnit) -> CommandResult {
    let hash = live(call, keyspace)?;
    let fields = only_fields(call)?;
    let base_ms = if unit.relative { keyspace.now_ms() } else { 0 };
    call.reply.array(fields.len());
    for name in fields {
        call.reply.integer(match hash.and_then(|hash| hash.find(name)).map(|field| field.expire_at_ms) {
            None => NO_FIELD,
            Some(None) => NO_EXPIRY,
            Some(Some(at_ms)) => {
                let ms = at_ms.saturating_sub(base_ms);
                (if unit.seconds { ms.div_ceil(1000) } else { ms }) as i64
            }
        });
    }
    Ok(())
}

fn hpersist(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    keyspace.check::<Hash>(&call.key(1))?;
    let fields = only_fields(call)?;
    let outcomes = change(call, keyspace, Absent::Leave, Elements::Many(&fields), |hash| {
        let mut chosen: BTreeSet<&[u8]> = BTreeSet::new();
        let outcome = |name| match hash.find(name).map(|field| field.expire_at_ms) {
            None => NO_FIELD,
            Some(Some(_)) if chosen.insert(name) => 1,
            Some(_) => NO_EXPIRY,
        };
        let outcomes: Vec<i64> = fields.iter().copied().map(outcome).collect();
        if !chosen.is_empty() {
            let chosen: Vec<&[u8]> = chosen.into_iter().collect();
            hash.expire(Elements::Many(&chosen), None);
        }
        outcomes
    })?;
    let outcomes = outcomes.unwrap_or_else(|| vec![NO_FIELD; fields.len()]);
    call.reply.array(outcomes.len());
    outcomes.into_iter().for_each(|outcome| call.reply.integer(outcome));
    Ok(())
}
