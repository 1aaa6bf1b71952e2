//! SET, SETNX, SETEX, PSETEX, GETSET

use swytch_store::{Event, Expiry, Key, KeyspaceMut, SetCondition};

use super::options::{ExpiryUnit, OptionsOf, StringOptions};
use super::{reply_text, set_argument};
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
    arguments: &[
        Arg::key("key"),
        Arg::string("value"),
        Arg::one_of("condition", &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX")]).optional().since("2.6.12"),
        Arg::flag("get", "GET").optional().since("6.2.0"),
        Arg::one_of(
            "expiration",
            &[
                Arg::integer("seconds").token("EX").since("2.6.12"),
                Arg::integer("milliseconds").token("PX").since("2.6.12"),
                Arg::new("unix-time-seconds", ArgKind::UnixTime).token("EXAT").since("6.2.0"),
                Arg::new("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT").since("6.2.0"),
                Arg::flag("keepttl", "KEEPTTL").since("6.0.0"),
            ],
        )
        .optional(),
    ],
    history: &[
        ("2.6.12", "Expiry with EX and PX, conditions with NX and XX."),
        ("6.0.0", "KEEPTTL leaves the expiry as it is."),
        ("6.2.0", "GET returns the old value; EXAT and PXAT name the time of expiry."),
        ("7.0.0", "GET goes together with NX."),
    ],
    reply: ReplyShape::OneOf(&[ReplyShape::OK, ReplyShape::Text, ReplyShape::Null]),
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

fn set(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    if call.args.len() == 3 {
        set_argument(call, keyspace, &key, 2, Expiry::Clear);
        call.reply.ok();
        return Ok(());
    }
    let options = StringOptions::parse(call.args.cursor(3), OptionsOf::Set)?;
    let expiry = options.set_expiry(options.deadline(call, "set")?);
    let applies = if options.get {
        reply_value(call, keyspace, &key)?.is_allowed(options.condition)
    } else {
        options.condition == SetCondition::Always
            || Presence::of(keyspace, &key).is_allowed(options.condition)
    };
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
    let absent = Presence::of(keyspace, &key) == Presence::Absent;
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
    set_argument(call, keyspace, key, index, expiry);
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

impl Presence {
    fn of(keyspace: &KeyspaceMut<'_, '_>, key: &Key<'_>) -> Presence {
        if keyspace.peek(key).is_some() { Presence::Present } else { Presence::Absent }
    }

    fn is_allowed(self, condition: SetCondition) -> bool {
        match condition {
            SetCondition::Always => true,
            SetCondition::IfAbsent => self == Presence::Absent,
            SetCondition::IfPresent => self == Presence::Present,
        }
    }
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
