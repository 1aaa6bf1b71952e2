//! MULTI, EXEC, DISCARD, WATCH, UNWATCH

use crate::clients::ClientFlags;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::dispatch::{transaction, watch};

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[&DISCARD, &EXEC, &MULTI, &UNWATCH, &WATCH];

const AT_ANY_TIME: Flags =
    Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST).union(Flags::ALLOW_BUSY);
const OF_TRANSACTIONS: Flags = AT_ANY_TIME.union(Flags::IN_MULTI);

pub static MULTI: CommandSpec = CommandSpec {
    name: "multi",
    summary: "Begins a transaction: the commands that follow are queued until EXEC or DISCARD.",
    since: "1.2.0",
    group: Group::Transactions,
    arity: 1,
    flags: OF_TRANSACTIONS,
    categories: Categories::TRANSACTION,
    reply: ReplyShape::OK,
    handler: Handler::Session(multi),
    ..CommandSpec::DEFAULT
};

pub static EXEC: CommandSpec = CommandSpec {
    name: "exec",
    summary: "Runs the queued commands as one atomic step and returns their replies, or does nothing if a watched key has changed.",
    since: "1.2.0",
    group: Group::Transactions,
    complexity: "The sum of what the queued commands cost.",
    arity: 1,
    flags: Flags::NOSCRIPT
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::SKIP_SLOWLOG)
        .union(Flags::IN_MULTI)
        .union(Flags::RUNS_QUEUE),
    categories: Categories::TRANSACTION,
    reply: ReplyShape::OneOf(&[ReplyShape::List(&ReplyShape::Any), ReplyShape::NullArray]),
    handler: Handler::Session(transaction::exec),
    ..CommandSpec::DEFAULT
};

pub static DISCARD: CommandSpec = CommandSpec {
    name: "discard",
    summary: "Drops the queued commands, ends the transaction and stops watching keys.",
    since: "2.0.0",
    group: Group::Transactions,
    complexity: "O(N) for N queued commands.",
    arity: 1,
    flags: OF_TRANSACTIONS,
    categories: Categories::TRANSACTION,
    reply: ReplyShape::OK,
    handler: Handler::Session(discard),
    ..CommandSpec::DEFAULT
};

pub static WATCH: CommandSpec = CommandSpec {
    name: "watch",
    summary: "Makes the next EXEC run only if these keys are unchanged by then.",
    since: "2.2.0",
    group: Group::Transactions,
    complexity: "O(N) for N keys.",
    arity: -2,
    flags: OF_TRANSACTIONS,
    categories: Categories::TRANSACTION,
    key_specs: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    arguments: &[Arg::new("key", ArgKind::Key(0)).multiple()],
    reply: ReplyShape::OK,
    handler: Handler::Session(watch),
    ..CommandSpec::DEFAULT
};

pub static UNWATCH: CommandSpec = CommandSpec {
    name: "unwatch",
    summary: "Stops watching the keys named by WATCH.",
    since: "2.2.0",
    group: Group::Transactions,
    arity: 1,
    flags: AT_ANY_TIME,
    categories: Categories::TRANSACTION,
    reply: ReplyShape::OK,
    handler: Handler::Session(unwatch),
    ..CommandSpec::DEFAULT
};

fn multi(call: &mut Call<'_>) -> CommandResult {
    if call.client.in_multi() {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    call.client.flags |= ClientFlags::MULTI;
    call.client.queue_db = call.client.db;
    call.reply.ok();
    Ok(())
}

fn discard(call: &mut Call<'_>) -> CommandResult {
    if !call.client.in_multi() {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    watch::discard(call.server, call.client);
    call.reply.ok();
    Ok(())
}

fn watch(call: &mut Call<'_>) -> CommandResult {
    if call.client.in_multi() {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    watch::watch(call.server, call.client, call.args.from(1), call.now_ms)?;
    call.reply.ok();
    Ok(())
}

fn unwatch(call: &mut Call<'_>) -> CommandResult {
    // Inside EXEC the transaction holds locks that unregistering needs; its end forgets the keys anyway.
    if !call.origin.holds_locks() {
        watch::unwatch(call.server, call.client);
    }
    call.reply.ok();
    Ok(())
}
