//! Which locks a command needs, and the view of the keyspace that its handler is given under them.

use swytch_store::{Keyspace, KeyspaceMut, LockScope, Locked};

use super::conditions::BEHIND_LOCKS;
use super::{admit, changes, conditions, count, guard, park, prefetch};
use crate::clients::ClientFlags;
use crate::command::spec::{ReadHandler, WriteHandler};
use crate::command::{
    Args, Call, Command, CommandError, CommandResult, Flags, Handler, Outcome, ScriptHandler, ShardSteps,
};
use crate::server::{Conditions, Server, WorkerShared};

/// Chooses the view for the handler and runs it.
#[inline(always)]
pub fn handle(call: &mut Call<'_>) -> CommandResult {
    match call.command.spec.handler {
        Handler::Read(handler) => match call.key_hash {
            Some(hash) => match lock_of(call, hash) {
                Some(locked) => read(call, locked, handler),
                None => Err(busy(call.server)),
            },
            None => read_in(call, scope_of_call(call), handler),
        },
        Handler::Write(handler) => match call.key_hash {
            Some(hash) => match lock_of(call, hash) {
                Some(locked) => write(call, locked, handler),
                None => Err(busy(call.server)),
            },
            None => write_in(call, scope_of_call(call), handler),
        },
        Handler::Wait(handler) => wait_in(call, scope_of_call(call), handler),
        Handler::Session(handler) => session(call, handler),
        Handler::Script(handler) => script(call, handler),
        Handler::ReadAll(handler) => read_in(call, LockScope::All, handler),
        Handler::WriteAll(handler) => write_in(call, LockScope::All, handler),
        Handler::Steps(handler) => steps(call, handler),
        Handler::Container => unreachable!("a container is resolved to a subcommand"),
    }
}

/// As [`handle`]; MONITOR is shown the command while its locks are held.
#[inline(never)]
pub fn handle_shown(call: &mut Call<'_>) -> CommandResult {
    match call.command.spec.handler {
        Handler::Read(handler) => read_shown(call, scope_of_call(call), handler),
        Handler::Wait(handler) => {
            let locked = lock_in_time(call.server, scope_of_call(call))?;
            super::show(call);
            wait(call, locked, handler)
        }
        Handler::ReadAll(handler) => read_shown(call, LockScope::All, handler),
        // These show themselves: a write behind its locks in any case, a script before its commands, EXEC behind those of
        // its queue.
        Handler::Write(_) | Handler::WriteAll(_) | Handler::Script(_) => handle(call),
        _ if call.command.is(Flags::RUNS_QUEUE) => handle(call),
        Handler::Session(_) | Handler::Steps(_) | Handler::Container => {
            let result = handle(call);
            super::show(call);
            result
        }
    }
}

/// Runs the handler of a call under locks that are held for it already.
pub fn handle_within(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    match call.command.spec.handler {
        Handler::Session(handler) => handler(call),
        Handler::Read(handler) | Handler::Wait(handler) | Handler::ReadAll(handler) => {
            handler(call, keyspace)
        }
        Handler::Write(handler) | Handler::WriteAll(handler) => handler(call, keyspace),
        Handler::Script(handler) => (handler.run)(call, keyspace),
        Handler::Steps(handler) => {
            let mut visit = |_: u16, look: &mut dyn FnMut(&Keyspace<'_>)| look(keyspace);
            handler(call, &mut ShardSteps { visit: &mut visit })
        }
        Handler::Container => unreachable!("a container is resolved to a subcommand"),
    }
}

/// What a command needs locked, whatever its kind.
pub fn scope_of(server: &Server, command: &Command, args: &Args<'_>, db: u32) -> LockScope {
    match command.spec.handler {
        Handler::Session(_) | Handler::Container => LockScope::Nothing,
        Handler::Read(_) | Handler::Write(_) | Handler::Wait(_) => scope_of_keys(server, command, args, db),
        // A script may turn to any key, and others' commands cannot be taken back because it does.
        Handler::ReadAll(_) | Handler::WriteAll(_) | Handler::Steps(_) | Handler::Script(_) => LockScope::All,
    }
}

/// A view with these locks.
///
/// # Errors
/// If a script has one of them for too long.
pub fn view<'s>(call: &Call<'s>, scope: LockScope) -> Result<Keyspace<'s>, CommandError> {
    Ok(view_of(call, lock_in_time(call.server, scope)?))
}

/// These locks, unless a script has one of them for too long.
fn lock_in_time(server: &Server, scope: LockScope) -> Result<Locked<'_>, CommandError> {
    server.shards.lock_in_time(scope).ok_or_else(|| busy(server))
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

fn scope_of_call(call: &Call<'_>) -> LockScope {
    scope_of_keys(call.server, call.command, &call.args, call.client.db)
}

/// The shards of a command's keys in database `db`.
fn scope_of_keys(server: &Server, command: &Command, args: &Args<'_>, db: u32) -> LockScope {
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

/// The lock of a command whose only key has this hash, unless a script has it for too long.
#[inline(always)]
fn lock_of<'s>(call: &Call<'s>, hash: u64) -> Option<Locked<'s>> {
    let shards = &call.server.shards;
    shards.lock_one_in_time(shards.shard_of_hash(hash))
}

/// A view with these locks, for the call's client.
///
/// Here and in what takes the view over, everything is inlined, so that it is built where it stays: a copy made right
/// after its parts were written costs more than the rest of a short command's dispatch.
#[inline(always)]
fn view_of<'s>(call: &Call<'s>, locked: Locked<'s>) -> Keyspace<'s> {
    let no_touch = call.client.flags.contains(ClientFlags::NO_TOUCH);
    Keyspace::new(locked, call.now_ms)
        .touching(!no_touch || call.command.is(Flags::ALWAYS_TOUCHES))
        .ignoring_expiry(!call.origin.expires_by_clock())
}

#[inline(never)]
fn read_in(call: &mut Call<'_>, scope: LockScope, handler: ReadHandler) -> CommandResult {
    let locked = lock_in_time(call.server, scope)?;
    read(call, locked, handler)
}

#[cold]
fn read_shown(call: &mut Call<'_>, scope: LockScope, handler: ReadHandler) -> CommandResult {
    let locked = lock_in_time(call.server, scope)?;
    super::show(call);
    read(call, locked, handler)
}

#[inline(never)]
fn wait_in(call: &mut Call<'_>, scope: LockScope, handler: ReadHandler) -> CommandResult {
    let locked = lock_in_time(call.server, scope)?;
    wait(call, locked, handler)
}

/// As a read; its client may park.
fn wait<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: ReadHandler) -> CommandResult {
    let keyspace = view_of(call, locked);
    let result = handler(call, &keyspace);
    count::lookups(call.worker, &keyspace);
    let (server, worker) = (call.server, call.worker);
    if result.is_ok() && call.block.is_some() {
        changes::make(server, worker, keyspace, |keyspace| park::park(call, keyspace));
    } else {
        changes::attend_to_met(server, worker, keyspace);
    }
    result
}

#[inline(never)]
fn write_in(call: &mut Call<'_>, scope: LockScope, handler: WriteHandler) -> CommandResult {
    let locked = lock_in_time(call.server, scope)?;
    write(call, locked, handler)
}

#[inline(always)]
fn read<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: ReadHandler) -> CommandResult {
    let keyspace = view_of(call, locked);
    let result = handler(call, &keyspace);
    count::lookups(call.worker, &keyspace);
    if keyspace.has_met() {
        changes::attend_to_met(call.server, call.worker, keyspace);
    } else {
        guard::release(keyspace);
    }
    result
}

#[inline(always)]
fn write<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: WriteHandler) -> CommandResult {
    if call.server.conditions().intersects(BEHIND_LOCKS) || locked.is_observed() {
        return write_observed(call, locked, handler);
    }
    // The common case: nobody listens, nobody waits, nothing is left behind.
    let mut keyspace = KeyspaceMut::new(view_of(call, locked), None);
    let result = handler(call, &mut keyspace);
    count::lookups(call.worker, &keyspace);
    if call.block.is_none()
        && let Some(dirty) = keyspace.settled()
    {
        call.worker.stats.dirty.add(dirty);
        guard::release(keyspace);
        return result;
    }
    settle(call, keyspace, result)
}

/// A write that something may still refuse, or of which somebody is told.
#[cold]
fn write_observed<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: WriteHandler) -> CommandResult {
    let (server, worker) = (call.server, call.worker);
    let keyspace = park::lock_for_writing(view_of(call, locked), call);
    if let Some(refused) = admit::refused_behind_locks(call) {
        return refused;
    }
    changes::make(server, worker, keyspace, |keyspace| {
        let result = handler(call, keyspace);
        count::lookups(call.worker, keyspace);
        if result.is_ok() && call.block.is_some() {
            park::park(call, keyspace);
        }
        super::show(call);
        result
    })
}

/// The rare rest of a write that nobody observed: its client parks, or there is memory to free.
#[cold]
fn settle(call: &mut Call<'_>, mut keyspace: KeyspaceMut<'_, '_>, result: CommandResult) -> CommandResult {
    if result.is_ok() && call.block.is_some() {
        park::park(call, &mut keyspace);
    }
    changes::finish(call.server, call.worker, keyspace);
    result
}

/// A script: under the locks of the keys it names, and once more under all where that was not enough. Whoever watches
/// its commands is not to see them twice.
#[inline(never)]
fn script(call: &mut Call<'_>, handler: &ScriptHandler) -> CommandResult {
    let (server, worker) = (call.server, call.worker);
    let is_wide = server.conditions().contains(Conditions::MONITORED) || (handler.is_wide)(call);
    let mut scope = if is_wide { LockScope::All } else { scope_of_call(call) };
    loop {
        let locked = lock_in_time(server, scope)?;
        let keyspace = park::lock_for_writing(view_of(call, locked), call);
        if let Some(refused) = admit::refused_behind_locks(call) {
            return refused;
        }
        let result = changes::make_or_take_back(server, worker, keyspace, |keyspace| {
            let result = (handler.run)(call, keyspace);
            if matches!(call.outcome, Outcome::Again) {
                return None;
            }
            count::lookups(call.worker, keyspace);
            Some(result)
        });
        if let Some(result) = result {
            return result;
        }
        call.outcome = Outcome::Done;
        call.reply.restart();
        scope = LockScope::All;
    }
}

/// A command that needs no locks, or takes those it needs itself.
#[inline(always)]
fn session(call: &mut Call<'_>, handler: fn(&mut Call<'_>) -> CommandResult) -> CommandResult {
    let result = handler(call);
    if call.client.flags.contains(ClientFlags::CHANGED_CONDITIONS) {
        conditions::wait_for_holders(call);
    }
    result
}

fn steps(
    call: &mut Call<'_>,
    handler: fn(&mut Call<'_>, &mut ShardSteps<'_>) -> CommandResult,
) -> CommandResult {
    let (server, worker, now_ms) = (call.server, call.worker, call.now_ms);
    if (0..server.shards.count() as u16).any(|shard| server.shards.is_overdue(shard)) {
        return Err(busy(server));
    }
    let mut visit = |shard: u16, look: &mut dyn FnMut(&Keyspace<'_>)| {
        let keyspace = Keyspace::new(server.shards.lock(LockScope::One(shard)), now_ms);
        look(&keyspace);
        changes::attend_to_met(server, worker, keyspace);
    };
    handler(call, &mut ShardSteps { visit: &mut visit })
}
