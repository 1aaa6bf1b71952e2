//! GET, GETDEL, GETEX

use swytch_store::{Keyspace, KeyspaceMut, Value};

use super::options::{EXPIRATIONS, OptionsOf, StringOptions};
use super::reply_raw;
use super::set::{Presence, reply_value};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static GET: CommandSpec = CommandSpec {
    name: "get",
    summary: "Returns the string in a key, or null when the key is absent.",
    since: "1.0.0",
    group: Group::String,
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Read(get),
    ..CommandSpec::DEFAULT
};

pub static GETDEL: CommandSpec = CommandSpec {
    name: "getdel",
    summary: "Returns the string in a key and deletes the key in the same step.",
    since: "6.2.0",
    group: Group::String,
    arity: 2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Write(getdel),
    ..CommandSpec::DEFAULT
};

pub static GETEX: CommandSpec = CommandSpec {
    name: "getex",
    summary: "Returns the string in a key and, in the same step, sets or removes the expiry of the key.",
    since: "6.2.0",
    group: Group::String,
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec {
        notes: "the value is read, the expiry may change",
        ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
    }],
    arguments: &[
        Arg::key("key"),
        Arg::one_of(
            "expiration",
            &[
                EXPIRATIONS[0],
                EXPIRATIONS[1],
                EXPIRATIONS[2],
                EXPIRATIONS[3],
                Arg::flag("persist", "PERSIST"),
            ],
        )
        .optional(),
    ],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Write(getex),
    ..CommandSpec::DEFAULT
};

fn get(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    match keyspace.value(&call.key(1)) {
        None => call.reply.null(),
        Some(Value::Bytes(bytes)) => call.reply.bulk(bytes),
        Some(Value::Raw(raw)) => reply_raw(call, raw),
        Some(Value::Integer(number)) => call.reply.bulk_integer(number),
        Some(_) => return Err(CommandError::WrongType),
    }
    Ok(())
}

fn getdel(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    if reply_value(call, keyspace, &key)? == Presence::Present {
        keyspace.delete(&key);
    }
    Ok(())
}

fn getex(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let options = StringOptions::parse(call.args.cursor(2), OptionsOf::GetEx)?;
    let key = call.key(1);
    if reply_value(call, keyspace, &key)? == Presence::Absent {
        return Ok(());
    }
    // Only a key that exists has its expiry looked at; an error takes the value back from the reply.
    match options.deadline(call, "getex")? {
        Some(at_ms) if at_ms <= call.now_ms && !keyspace.ignores_expiry() => _ = keyspace.delete(&key),
        Some(at_ms) => _ = keyspace.expire_at(&key, at_ms),
        None if options.persist => _ = keyspace.persist(&key),
        None => {}
    }
    Ok(())
}
