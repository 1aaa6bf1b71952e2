//! MGET, MSET, MSETEX, MSETNX

use std::ops::Range;

use swytch_store::{Event, Expiry, Keyspace, KeyspaceMut, Overwriting, Value};

use super::condition::Condition;
use super::options::{EXPIRATIONS, OptionsOf, StringOptions};
use super::{SET_EVENT, reply_raw, set_argument};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static MGET: CommandSpec = CommandSpec {
    name: "mget",
    summary: "Returns the strings in several keys as of one moment; null for each that is absent or holds another type.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(N) for N keys.",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key").multiple()],
    tips: &["request_policy:multi_shard"],
    reply: ReplyShape::List(&ReplyShape::TEXT_OR_NULL),
    handler: Handler::Read(mget),
    ..CommandSpec::DEFAULT
};

const PAIRS: CommandSpec = CommandSpec {
    since: "1.0.1",
    group: Group::String,
    complexity: "O(N) for N keys.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    arguments: &[Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple()],
    ..CommandSpec::DEFAULT
};

pub static MSET: CommandSpec = CommandSpec {
    name: "mset",
    summary: "Sets several keys to strings in one atomic step, whatever they held.",
    key_specs: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    reply: ReplyShape::OK,
    handler: Handler::Write(mset),
    ..PAIRS
};

pub static MSETEX: CommandSpec = CommandSpec {
    name: "msetex",
    summary: "Sets several keys to strings in one atomic step, with one expiry for all, and if asked so only where all or none of them exist.",
    since: "8.4.0",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    key_specs: &[KeySpec::counted_every(1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    arguments: &[
        Arg::integer("numkeys"),
        Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple(),
        Arg::one_of("condition", &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX")]).optional(),
        Arg::one_of("expiration", &EXPIRATIONS).optional(),
    ],
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    reply: ReplyShape::Flag,
    handler: Handler::Write(msetex),
    ..PAIRS
};

pub static MSETNX: CommandSpec = CommandSpec {
    name: "msetnx",
    summary: "Sets several keys to strings, but only if none of them exists; either all are set or none.",
    key_specs: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))],
    reply: ReplyShape::Flag,
    handler: Handler::Write(msetnx),
    ..PAIRS
};

fn mget(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    call.reply.array(call.args.len() - 1);
    for index in 1..call.args.len() {
        match keyspace.value(&call.key(index)) {
            Some(Value::Bytes(bytes)) => call.reply.bulk(bytes),
            Some(Value::Raw(raw)) => reply_raw(call, raw),
            Some(Value::Integer(number)) => call.reply.bulk_integer(number),
            _ => call.reply.null(),
        }
    }
    Ok(())
}

fn check_pairs(call: &Call<'_>) -> CommandResult {
    if call.args.len().is_multiple_of(2) {
        return Err(CommandError::wrong_arity(&call.command.full_name));
    }
    Ok(())
}

/// Sets all pairs between two arguments, and tells of an expiry, which is heard before the string, unlike that of SET.
fn set_all(call: &Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, pairs: Range<usize>, expiry: Expiry) {
    for index in pairs.step_by(2) {
        let key = call.key(index);
        if let Expiry::At(_) = expiry {
            let replaced = Event::SILENT.overwriting(Overwriting::ToldBefore);
            set_argument(call, keyspace, &key, index + 1, expiry, replaced);
            keyspace.notify(Event::generic("expire"), &key);
            keyspace.notify(Event::string("set"), &key);
        } else {
            set_argument(call, keyspace, &key, index + 1, expiry, SET_EVENT);
        }
    }
}

/// Whether a condition holds for the key of each pair.
fn holds_for_all(
    call: &Call<'_>,
    keyspace: &KeyspaceMut<'_, '_>,
    pairs: Range<usize>,
    condition: Condition<'_>,
) -> Result<bool, CommandError> {
    for index in pairs.step_by(2) {
        if !condition.holds(keyspace, &call.key(index))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn mset(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    check_pairs(call)?;
    set_all(call, keyspace, 1..call.args.len(), Expiry::Clear);
    call.reply.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    check_pairs(call)?;
    set_all_if(call, keyspace, 1..call.args.len(), Condition::Exists(false), Expiry::Clear)
}

fn msetex(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let pairs = swytch_decimal::parse_i64(call.args.get(1))
        .filter(|count| (1..=i64::from(i32::MAX)).contains(count))
        .ok_or_else(|| CommandError::text("ERR invalid numkeys value"))?;
    let behind = 2 + 2 * pairs as usize;
    if behind > call.args.len() {
        return Err(CommandError::text("ERR wrong number of key-value pairs"));
    }
    let options = StringOptions::parse(call.args.cursor(behind), OptionsOf::MSetEx)?;
    let expiry = options.set_expiry(options.deadline(call, "msetex")?);
    set_all_if(call, keyspace, 2..behind, options.condition, expiry)
}

/// Sets all pairs if a condition holds for all keys, and answers whether it did.
fn set_all_if(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    pairs: Range<usize>,
    condition: Condition<'_>,
    expiry: Expiry,
) -> CommandResult {
    let applies = holds_for_all(call, keyspace, pairs.clone(), condition)?;
    if applies {
        set_all(call, keyspace, pairs, expiry);
    }
    call.reply.integer(i64::from(applies));
    Ok(())
}
