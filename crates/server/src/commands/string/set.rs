//! SET, SETNX, SETEX, PSETEX, GETSET

use swytch_store::{Event, Expiry, Key, KeyspaceMut};

use super::condition::Condition;
use super::delex::COMPARISONS;
use super::options::{EXPIRATIONS, ExpiryUnit, OptionsOf, StringOptions};
use super::{SET_EVENT, reply_text, set_argument};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static SET: CommandSpec = CommandSpec {
    name: "set",
    summary: "Sets a key to a string, whatever it held; options make that conditional, give an expiry, or return the old value.",
    since: "1.0.0",
    group: Group::String,
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    key_specs: &[KeySpec {
        notes: "RW and ACCESS with GET only; otherwise it overwrites",
        ..KeySpec::one(
            1,
            KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
        )
    }],
    key_flags: Some(key_flags),
    arguments: &[
        Arg::key("key"),
        Arg::string("value"),
        Arg::one_of(
            "condition",
            &[
                Arg::flag("nx", "NX"),
                Arg::flag("xx", "XX"),
                COMPARISONS[0].since("8.4.0"),
                COMPARISONS[1].since("8.4.0"),
                COMPARISONS[2].since("8.4.0"),
                COMPARISONS[3].since("8.4.0"),
            ],
        )
        .optional()
        .since("2.6.12"),
        Arg::flag("get", "GET").optional().since("6.2.0"),
        Arg::one_of(
            "expiration",
            &[
                EXPIRATIONS[0].since("2.6.12"),
                EXPIRATIONS[1].since("2.6.12"),
                EXPIRATIONS[2].since("6.2.0"),
                EXPIRATIONS[3].since("6.2.0"),
                EXPIRATIONS[4].since("6.0.0"),
            ],
        )
        .optional(),
    ],
    history: &[
        ("2.6.12", "Expiry with EX and PX, conditions with NX and XX."),
        ("6.0.0", "KEEPTTL leaves the expiry as it is."),
        ("6.2.0", "GET returns the old value; EXAT and PXAT name the time of expiry."),
        ("7.0.0", "GET goes together with NX."),
        ("8.4.0", "IFEQ, IFNE, IFDEQ and IFDNE compare with the string that is there, or with its digest."),
    ],
    reply: ReplyShape::OneOf(&[ReplyShape::OK, ReplyShape::Text, ReplyShape::Null]),
    differs: "NX or XX behind a comparison is a syntax error, as it is before one.",
    handler: Handler::Write(set),
    ..CommandSpec::DEFAULT
};

pub static SETNX: CommandSpec = CommandSpec {
    name: "setnx",
    summary: "Sets a key to a string, but only if the key does not exist.",
    since: "1.0.0",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))],
    arguments: &[Arg::key("key"), Arg::string("value")],
    deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
    reply: ReplyShape::Flag,
    handler: Handler::Write(setnx),
    ..CommandSpec::DEFAULT
};

pub static SETEX: CommandSpec = CommandSpec {
    name: "setex",
    summary: "Sets a key to a string that expires after a number of seconds.",
    since: "2.0.0",
    group: Group::String,
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), Arg::integer("seconds"), Arg::string("value")],
    deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
    reply: ReplyShape::OK,
    handler: Handler::Write(|call, keyspace| set_with_expiry(call, keyspace, ExpiryUnit::EX, "setex")),
    ..CommandSpec::DEFAULT
};

pub static PSETEX: CommandSpec = CommandSpec {
    name: "psetex",
    summary: "Sets a key to a string that expires after a number of milliseconds.",
    since: "2.6.0",
    arguments: &[Arg::key("key"), Arg::integer("milliseconds"), Arg::string("value")],
    deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
    handler: Handler::Write(|call, keyspace| set_with_expiry(call, keyspace, ExpiryUnit::PX, "psetex")),
    ..SETEX
};

pub static GETSET: CommandSpec = CommandSpec {
    name: "getset",
    summary: "Sets a key to a string and returns the one it held before.",
    since: "1.0.0",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), Arg::string("value")],
    deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Write(getset),
    ..CommandSpec::DEFAULT
};

/// What a SET does to its key.
fn key_flags(args: &Args<'_>) -> KeyFlags {
    if args.from(3).any(|word| word.eq_ignore_ascii_case(b"GET")) {
        KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE
    } else if (3..args.len()).any(|index| Condition::is_comparison(args, index)) {
        KeyFlags::RW | KeyFlags::UPDATE
    } else {
        KeyFlags::OW | KeyFlags::UPDATE
    }
}

fn set(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    if call.args.len() == 3 {
        set_argument(call, keyspace, &key, 2, Expiry::Clear, SET_EVENT);
        call.reply.ok();
        return Ok(());
    }
    let options = StringOptions::parse(call.args.cursor(3), OptionsOf::Set)?;
    let expiry = options.set_expiry(options.deadline(call, "set")?);
    let applies = options.condition.holds(keyspace, &key)?;
    if options.get {
        reply_value(call, keyspace, &key)?;
    }
    if applies {
        put(call, keyspace, &key, 2, expiry);
    }
    if !options.get {
        if applies { call.reply.ok() } else { call.reply.null() }
    }
    Ok(())
}

fn setnx(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    let absent = Condition::Exists(false).holds(keyspace, &key)?;
    if absent {
        put(call, keyspace, &key, 2, Expiry::Clear);
    }
    call.reply.integer(i64::from(absent));
    Ok(())
}

fn set_with_expiry(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    unit: ExpiryUnit,
    command: &'static str,
) -> CommandResult {
    let at_ms = unit.deadline(call.args.get(2), call.now_ms, command)?;
    put(call, keyspace, &call.key(1), 3, Expiry::At(at_ms));
    call.reply.ok();
    Ok(())
}

fn getset(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    reply_value(call, keyspace, &key)?;
    put(call, keyspace, &key, 2, Expiry::Clear);
    Ok(())
}

/// Sets, and tells of the expiry too. One already past is stored like any other: the next reader, or the
/// expiry cycle, removes the key and counts it as expired.
fn put(call: &Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>, index: usize, expiry: Expiry) {
    set_argument(call, keyspace, key, index, expiry, SET_EVENT);
    if let Expiry::At(_) = expiry {
        keyspace.notify(Event::generic("expire"), key);
    }
}

/// Whether a key exists, of whatever type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    Present,
}

/// Answers with the string at a key, or null.
pub(super) fn reply_value(
    call: &mut Call<'_>,
    keyspace: &KeyspaceMut<'_, '_>,
    key: &Key<'_>,
) -> Result<Presence, CommandError> {
    match keyspace.string(key)? {
        Some(text) => {
            reply_text(call, &text, 0..text.len());
            Ok(Presence::Present)
        }
        None => {
            call.reply.null();
            Ok(Presence::Absent)
        }
    }
}
