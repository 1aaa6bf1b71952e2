//! OBJECT ENCODING, FREQ, IDLETIME, REFCOUNT, HELP

use swytch_store::{EntryRef, Keyspace};

use crate::command::prelude::*;
use crate::command::{KeySpec, reply_help};
use crate::config::MaxmemoryPolicy;

pub static OBJECT: CommandSpec = CommandSpec {
    name: "object",
    summary: "Groups the commands that look at how the value of a key is kept.",
    since: "2.2.3",
    subcommands: &[&ENCODING, &FREQ, &HELP, &IDLETIME, &REFCOUNT],
    ..CommandSpec::CONTAINER
};

const BASE: CommandSpec = CommandSpec {
    group: Group::Generic,
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    key_specs: &[KeySpec::one(2, KeyFlags::RO)],
    arguments: &[Arg::key("key")],
    tips: &["nondeterministic_output"],
    ..CommandSpec::DEFAULT
};

static ENCODING: CommandSpec = CommandSpec {
    name: "encoding",
    summary: "Names the internal form of a key's value.",
    since: "2.2.3",
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Read(encoding),
    ..BASE
};

static FREQ: CommandSpec = CommandSpec {
    name: "freq",
    summary: "Returns the counter of how often a key is used, which grows logarithmically and decays with time.",
    since: "4.0.0",
    reply: ReplyShape::OneOf(&[ReplyShape::Count, ReplyShape::Null]),
    differs: "No LFU policy can be set yet, so it is always the error that Redis gives without one.",
    handler: Handler::Read(freq),
    ..BASE
};

static IDLETIME: CommandSpec = CommandSpec {
    name: "idletime",
    summary: "Tells how many seconds have passed since a key was last used.",
    since: "2.2.3",
    reply: ReplyShape::OneOf(&[ReplyShape::Count, ReplyShape::Null]),
    handler: Handler::Read(idle_time),
    ..BASE
};

static REFCOUNT: CommandSpec = CommandSpec {
    name: "refcount",
    summary: "Tells how many references the value of a key has.",
    since: "2.2.3",
    reply: ReplyShape::OneOf(&[ReplyShape::Count, ReplyShape::Null]),
    handler: Handler::Read(reference_count),
    ..BASE
};

static HELP: CommandSpec = CommandSpec {
    since: "6.2.0",
    categories: Categories::KEYSPACE,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

/// What the access counter of a new key begins with (Redis: LFU_INIT_VAL).
const FREQUENCY_INITIAL: u64 = 5;

/// Seconds since the last access; the clock has 24 bits, so it wraps after 194 days.
pub fn idle_seconds(entry: EntryRef<'_>, now_ms: u64) -> u64 {
    let now_clock = (now_ms / 1000) as u32 & 0xff_ffff;
    u64::from(now_clock.wrapping_sub(entry.clock()) & 0xff_ffff)
}

fn by_frequency(policy: MaxmemoryPolicy) -> bool {
    matches!(policy, MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu)
}

fn encoding(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    match keyspace.inspect(&call.key(2)) {
        Some(entry) => call.reply.bulk(entry.encoding().name().as_bytes()),
        None => call.reply.null(),
    }
    Ok(())
}

fn idle_time(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let Some(entry) = keyspace.inspect(&call.key(2)) else {
        call.reply.null();
        return Ok(());
    };
    if by_frequency(call.server.config.maxmemory_policy()) {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
             between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    call.reply.integer(idle_seconds(entry, keyspace.now_ms()) as i64);
    Ok(())
}

/// Accesses are not counted, only remembered: the answer is that of a key that decays since its last access.
fn freq(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let Some(entry) = keyspace.inspect(&call.key(2)) else {
        call.reply.null();
        return Ok(());
    };
    let config = &call.server.config;
    if !by_frequency(config.maxmemory_policy()) {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let idle_minutes = idle_seconds(entry, keyspace.now_ms()) / 60;
    let decay = idle_minutes.checked_div(u64::from(config.lfu_decay_time())).unwrap_or(0);
    call.reply.integer(FREQUENCY_INITIAL.saturating_sub(decay) as i64);
    Ok(())
}

/// Nothing is shared among keys, since Redis 8.2 not even small integers.
fn reference_count(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    match keyspace.inspect(&call.key(2)) {
        Some(_) => call.reply.integer(1),
        None => call.reply.null(),
    }
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "ENCODING <key>",
            "    Tell how the value of <key> is stored.",
            "FREQ <key>",
            "    Tell the access counter of <key>, which grows with the logarithm of its accesses.",
            "IDLETIME <key>",
            "    Tell how many seconds ago <key> was last used.",
            "REFCOUNT <key>",
            "    Tell how many references the value of <key> has.",
        ],
    );
    Ok(())
}
