//! Which shards a command needs, and who cannot have them because a script has had them for too long.

use swytch_store::{LockScope, Locked};

use super::prefetch;
use crate::clients::{Client, QueuedCommand};
use crate::command::{Args, Call, Command, CommandError, CommandTable, Flags, Handler};
use crate::server::{Server, WorkerShared};

/// What a command needs locked, whatever its kind.
pub fn of(server: &Server, command: &Command, args: &Args<'_>, db: u32) -> LockScope {
    match command.spec.handler {
        Handler::Session(_) | Handler::Container => LockScope::Nothing,
        Handler::Read(_) | Handler::Write(_) | Handler::Wait(_) => of_keys(server, command, args, db),
        // A script may turn to any key, and others' commands cannot be taken back because it does.
        Handler::ReadAll(_) | Handler::WriteAll(_) | Handler::Steps(_) | Handler::Script(_) => LockScope::All,
    }
}

/// What a transaction needs locked: the keys of its commands, and those it watches.
pub fn of_transaction(commands: &CommandTable, server: &Server, client: &Client) -> LockScope {
    let mut shards = Vec::new();
    for queued in &client.queue {
        match of(server, commands.queued(queued), &queued.args.as_args(), client.db) {
            LockScope::Nothing => {}
            LockScope::One(shard) => shards.push(shard),
            LockScope::Several(several) => shards.extend(several),
            LockScope::All => return LockScope::All,
        }
    }
    shards.extend(client.watched.iter().map(|(_, key, _)| server.shards.shard_of_name(key)));
    LockScope::of(shards)
}

/// The shards of a call's keys.
pub fn of_call(call: &Call<'_>) -> LockScope {
    of_keys(call.server, call.command, &call.args, call.client.db)
}

/// The shards of the keys that a script names, of which there are this many.
pub fn of_script(call: &Call<'_>, keys: usize) -> LockScope {
    match (keys, call.key_hash) {
        (0, _) => LockScope::Nothing,
        (1, Some(hash)) => LockScope::One(call.server.shards.shard_of_hash(hash)),
        _ => of_call(call),
    }
}

/// The shards of a command's keys in database `db`.
fn of_keys(server: &Server, command: &Command, args: &Args<'_>, db: u32) -> LockScope {
    if let Some(at) = command.single_key {
        let shard = args.try_get(at).map(|bytes| server.shards.shard_of_name(bytes));
        return shard.map_or(LockScope::Nothing, LockScope::One);
    }
    if command.reaches_any(args) {
        return LockScope::All;
    }
    let positions = command.key_positions(args);
    let hashes: Vec<u64> = positions.into_iter().map(|at| server.shards.hash(args.get(at))).collect();
    prefetch::keys(server, db, &hashes);
    LockScope::of(hashes.iter().map(|hash| server.shards.shard_of_hash(*hash)).collect())
}

/// These locks.
///
/// # Errors
/// If a script has one of them for too long.
pub fn lock_in_time(server: &Server, scope: LockScope) -> Result<Locked<'_>, CommandError> {
    server.shards.lock_in_time(scope).ok_or_else(|| busy(server))
}

/// Whether a script that runs for too long keeps a call from running, or from being queued. A thread runs one script at a
/// time, and one that has begun may have to be waited for.
#[cold]
pub fn is_kept_by_script(call: &Call<'_>) -> bool {
    let (server, runs_script) =
        (call.server, |command: &Command| matches!(command.spec.handler, Handler::Script(_)));
    let queue = if call.command.is(Flags::RUNS_QUEUE) { &call.client.queue[..] } else { &[] };
    let queued = |queued: &QueuedCommand| call.commands.queued(queued);
    if call.worker.script.is_overdue()
        && (runs_script(call.command) || queue.iter().any(|command| runs_script(queued(command))))
    {
        return true;
    }
    let scope = match call.command.spec.handler {
        _ if call.command.is(Flags::RUNS_QUEUE) => of_transaction(call.commands, server, call.client),
        Handler::Script(_) => of_call(call),
        _ => of(server, call.command, &call.args, call.client.db),
    };
    server.shards.is_one_overdue(&scope)
}

/// The answer where a script has a lock for too long.
#[cold]
pub fn busy(server: &Server) -> CommandError {
    let is_function = |worker: &WorkerShared| worker.script.is_overdue() && worker.script.is_function();
    CommandError::text(if server.workers.iter().any(is_function) { BUSY_FUNCTION } else { BUSY_SCRIPT })
}

/// What others are answered while a script, or a function, runs for too long.
pub const BUSY_SCRIPT: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
pub const BUSY_FUNCTION: &str =
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
