//! WAIT, WAITAOF
//!
//! There are no replicas that acknowledge, so nothing could change while a client waits for them: both answer at once.

use std::sync::atomic::Ordering;

use crate::command::prelude::*;

const BASE: CommandSpec = CommandSpec {
    group: Group::Generic,
    flags: Flags::BLOCKING,
    categories: Categories::CONNECTION,
    ..CommandSpec::DEFAULT
};

pub static WAIT: CommandSpec = CommandSpec {
    name: "wait",
    summary: "Waits until enough replicas have received the writes of this connection, and tells how many have.",
    since: "3.0.0",
    arity: 3,
    arguments: &[Arg::integer("numreplicas"), Arg::integer("timeout")],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    reply: ReplyShape::Count,
    differs: "There are no replicas to wait for: it answers 0 at once.",
    handler: Handler::Session(wait),
    ..BASE
};

pub static WAITAOF: CommandSpec = CommandSpec {
    name: "waitaof",
    summary: "Waits until the writes of this connection are safely in the append-only logs of this server and of enough replicas.",
    since: "7.2.0",
    arity: 4,
    arguments: &[Arg::integer("numlocal"), Arg::integer("numreplicas"), Arg::integer("timeout")],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    reply: ReplyShape::Tuple(&[ReplyShape::Count, ReplyShape::Count]),
    differs: "Waiting for this server's log is an error; with `appendfsync always` every reply waits for it.",
    handler: Handler::Session(wait_for_log),
    ..BASE
};

fn wait(call: &mut Call<'_>) -> CommandResult {
    call.args.integer(1)?;
    check_timeout(call, 2)?;
    call.reply.integer(0);
    Ok(())
}

fn wait_for_log(call: &mut Call<'_>) -> CommandResult {
    let local = call.args.integer(1)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::text("ERR value is out of range, value must between 0 and 1"));
    }
    if !call.args.integer(2).is_ok_and(|replicas| replicas >= 0) {
        return Err(CommandError::text("ERR value is out of range, must be positive"));
    }
    check_timeout(call, 3)?;
    if local > 0 && call.server.log.state.is_on.load(Ordering::Relaxed) {
        return Err(CommandError::text(
            "ERR WAITAOF does not wait for the log of this server: with appendfsync always every reply does",
        ));
    }
    if local > 0 {
        return Err(CommandError::text(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    call.reply.array(2);
    call.reply.integer(0);
    call.reply.integer(0);
    Ok(())
}

/// A timeout in milliseconds.
fn check_timeout(call: &Call<'_>, index: usize) -> CommandResult {
    let timeout_ms = swytch_decimal::parse_i64(call.args.get(index))
        .ok_or_else(|| CommandError::text("ERR timeout is not an integer or out of range"))?;
    if timeout_ms < 0 {
        return Err(CommandError::TimeoutNegative);
    }
    match timeout_ms.checked_add(call.now_ms as i64) {
        Some(_) => Ok(()),
        None => Err(CommandError::TimeoutOutOfRange),
    }
}
