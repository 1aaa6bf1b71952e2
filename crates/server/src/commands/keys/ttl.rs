//! TTL, PTTL, EXPIRETIME, PEXPIRETIME, PERSIST

use swytch_store::{Keyspace, KeyspaceMut};

use crate::command::KeySpec;
use crate::command::prelude::*;

const BASE: CommandSpec = CommandSpec {
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Integer,
    ..CommandSpec::DEFAULT
};

pub static TTL: CommandSpec = CommandSpec {
    name: "ttl",
    summary: "Tells in how many seconds a key expires: -1 when it never does, -2 when it is absent.",
    since: "1.0.0",
    tips: &["nondeterministic_output"],
    history: &[("2.8.0", "Answers -2 for a key that is absent.")],
    handler: Handler::Read(|call, keyspace| ttl(call, keyspace, true, true)),
    ..BASE
};

pub static PTTL: CommandSpec = CommandSpec {
    name: "pttl",
    summary: "Tells in how many milliseconds a key expires: -1 when it never does, -2 when it is absent.",
    since: "2.6.0",
    tips: &["nondeterministic_output"],
    history: &[("2.8.0", "Answers -2 for a key that is absent.")],
    handler: Handler::Read(|call, keyspace| ttl(call, keyspace, false, true)),
    ..BASE
};

pub static EXPIRETIME: CommandSpec = CommandSpec {
    name: "expiretime",
    summary: "Tells the Unix time in seconds at which a key expires: -1 when it never does, -2 when it is absent.",
    since: "7.0.0",
    handler: Handler::Read(|call, keyspace| ttl(call, keyspace, true, false)),
    ..BASE
};

pub static PEXPIRETIME: CommandSpec = CommandSpec {
    name: "pexpiretime",
    summary: "Tells the Unix time in milliseconds at which a key expires: -1 when it never does, -2 when it is absent.",
    since: "7.0.0",
    handler: Handler::Read(|call, keyspace| ttl(call, keyspace, false, false)),
    ..BASE
};

pub static PERSIST: CommandSpec = CommandSpec {
    name: "persist",
    summary: "Removes the expiry of a key, so that it stays until it is deleted.",
    since: "2.2.0",
    flags: Flags::WRITE.union(Flags::FAST),
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    reply: ReplyShape::Flag,
    handler: Handler::Write(persist),
    ..BASE
};

/// -2 stands for no key and -1 for no expiry; seconds are rounded to the nearest.
fn ttl(call: &mut Call<'_>, keyspace: &Keyspace<'_>, seconds: bool, relative: bool) -> CommandResult {
    let answer = match keyspace.look(&call.key(1)).map(|entry| entry.expire_at_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at_ms)) => {
            let ms = if relative { at_ms.saturating_sub(keyspace.now_ms()) } else { at_ms };
            (if seconds { (ms + 500) / 1000 } else { ms }) as i64
        }
    };
    call.reply.integer(answer);
    Ok(())
}

fn persist(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let persisted = keyspace.persist(&call.key(1));
    call.reply.count(usize::from(persisted));
    Ok(())
}
