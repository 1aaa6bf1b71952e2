//! OBJECT ENCODING, FREQ, IDLETIME, REFCOUNT, HELP

use swytch_store::{Keyspace, idle_seconds};

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
    if call.server.is_adaptive() {
        return Err(CommandError::text(
            "ERR An adaptive maxmemory policy is selected, idle time not tracked: it counts time in uses.",
        ));
    }
    call.reply.integer(idle_seconds(entry.clock(), keyspace.now_ms()).into());
    Ok(())
}

fn freq(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let Some(entry) = keyspace.inspect(&call.key(2)) else {
        call.reply.null();
        return Ok(());
    };
    if !by_frequency(call.server.config.maxmemory_policy()) {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let frequency = call.server.shards.counting().frequency(entry.clock(), keyspace.now_ms());
    call.reply.integer(frequency.into());
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
