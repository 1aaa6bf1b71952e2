//! MULTI, EXEC, DISCARD, WATCH, UNWATCH

use crate::clients::ClientFlags;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::dispatch::transaction;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[&DISCARD, &EXEC, &MULTI, &UNWATCH, &WATCH];

const AT_ANY_TIME: Flags =
    Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST).union(Flags::ALLOW_BUSY);

pub static MULTI: CommandSpec = CommandSpec {
    name: "multi",
    summary: "Starts a transaction.",
    since: "1.2.0",
    group: Group::Transactions,
    arity: 1,
    flags: AT_ANY_TIME,
    categories: Categories::TRANSACTION,
    handler: Handler::Session(multi),
    ..CommandSpec::DEFAULT
};

pub static EXEC: CommandSpec = CommandSpec {
    name: "exec",
    summary: "Executes all commands in a transaction.",
    since: "1.2.0",
    group: Group::Transactions,
    complexity: "Depends on commands in the transaction",
    arity: 1,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::SKIP_SLOWLOG),
    categories: Categories::TRANSACTION,
    handler: Handler::Session(transaction::exec),
    ..CommandSpec::DEFAULT
};

pub static DISCARD: CommandSpec = CommandSpec {
    name: "discard",
    summary: "Discards a transaction.",
    since: "2.0.0",
    group: Group::Transactions,
    complexity: "O(N), when N is the number of queued commands",
    arity: 1,
    flags: AT_ANY_TIME,
    categories: Categories::TRANSACTION,
    handler: Handler::Session(discard),
    ..CommandSpec::DEFAULT
};

pub static WATCH: CommandSpec = CommandSpec {
    name: "watch",
    summary: "Monitors changes to keys to determine the execution of a transaction.",
    since: "2.2.0",
    group: Group::Transactions,
    complexity: "O(1) for every key.",
    arity: -2,
    flags: AT_ANY_TIME,
    categories: Categories::TRANSACTION,
    key_specs: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    arguments: &[Arg::new("key", ArgKind::Key(0)).multiple()],
    handler: Handler::Session(watch),
    ..CommandSpec::DEFAULT
};

pub static UNWATCH: CommandSpec = CommandSpec {
    name: "unwatch",
    summary: "Forgets about watched keys of a transaction.",
    since: "2.2.0",
    group: Group::Transactions,
    arity: 1,
    flags: AT_ANY_TIME,
    categories: Categories::TRANSACTION,
    handler: Handler::Session(unwatch),
    ..CommandSpec::DEFAULT
};

fn multi(call: &mut Call<'_>) -> CommandResult {
    if call.client.in_multi() {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    call.client.flags |= ClientFlags::MULTI;
    call.reply.ok();
    Ok(())
}

fn discard(call: &mut Call<'_>) -> CommandResult {
    if !call.client.in_multi() {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    transaction::discard(call.server, call.client);
    call.reply.ok();
    Ok(())
}

fn watch(call: &mut Call<'_>) -> CommandResult {
    if call.client.in_multi() {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    let keys: Vec<&[u8]> = call.args.from(1).collect();
    transaction::watch(call.server, call.client, &keys, call.now_ms);
    call.reply.ok();
    Ok(())
}

fn unwatch(call: &mut Call<'_>) -> CommandResult {
    // Inside EXEC the transaction holds locks that unregistering needs; its end forgets the keys anyway.
    if !call.in_exec {
        transaction::unwatch(call.server, call.client);
    }
    call.reply.ok();
    Ok(())
}
