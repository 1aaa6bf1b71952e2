//! Runs a command that has passed all checks: takes its locks, gives it its view of the keyspace, and
//! deals with what it leaves behind.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use swytch_resp::Reply;
use swytch_store::{Changes, EffectSink, Keyspace, KeyspaceMut, LockScope, Locked};

use super::execute::{Outcome, count_error};
use super::park;
use super::prefetch;
use crate::clients::ClientFlags;
use crate::command::spec::{ReadHandler, WriteHandler};
use crate::command::{
    Args, Call, Command, CommandError, CommandResult, Flags, Handler, OwnedArgs, ShardSteps,
};
use crate::effects::Recorder;
use crate::observe::slowlog;
use crate::seeded_bug::{self, Bug};
use crate::server::{Conditions, Server, WorkerShared};
use crate::system::clock::{Ticks, ticks_to_ns};

/// Runs `call`, answers its error if it has one, and counts it.
#[inline(always)]
pub fn run(call: &mut Call<'_>, clock: &mut Ticks) -> Outcome {
    let mark = call.reply.mark();
    // The handler's result is looked at where it was written: only a bit of it leaves the closure.
    let failed = catch_unwind(AssertUnwindSafe(|| match handle(call) {
        Ok(()) => false,
        Err(error) => answer_error(call, mark, &error),
    }));
    let failed = failed.unwrap_or_else(|_| {
        let error = after_panic(call);
        answer_error(call, mark, &error)
    });
    if call.client.waiter.is_some() {
        // The command is counted when its client is served or gives up.
        let deadline_ms = call.block.take().and_then(|request| request.deadline_ms);
        return call
            .client
            .waiter
            .take()
            .map_or(Outcome::Done, |waiter| Outcome::Blocked(waiter, deadline_ms));
    }
    let ended = Ticks::now();
    count(call, ended.since(*clock), failed);
    *clock = ended;
    Outcome::Done
}

/// Replaces what was written of a reply by an error; true, because the command has failed.
#[cold]
pub fn answer_error(call: &mut Call<'_>, mark: usize, error: &CommandError) -> bool {
    call.reply.rewind(mark);
    let text = error.reply();
    count_error(call.server, call.worker, &text);
    call.reply.error(&text);
    // A command that has failed waits for nothing, and the call goes on to serve others.
    call.block = None;
    true
}

/// A handler panicked: that is a bug. Its client gets an error; the shards it had locked stay usable, since
/// every primitive of the store leaves them whole, and the panic hook has logged the backtrace.
#[cold]
pub fn after_panic(call: &Call<'_>) -> CommandError {
    crate::observe::logging::limited!(
        error,
        "failed commands",
        command = call.command.full_name,
        "a command panicked; its client was answered an error"
    );
    CommandError::text("ERR internal error: the command failed and the server's log says where")
}

/// Chooses the view for the handler and runs it.
#[inline(always)]
pub fn handle(call: &mut Call<'_>) -> CommandResult {
    match call.command.spec.handler {
        Handler::Read(handler) => {
            if seeded_bug::is_on(Bug::TornRead) && call.command.spec.name == "mget" {
                return torn_read(call);
            }
            match call.key_hash {
                Some(hash) => read(call, lock_of(call, hash), handler),
                None => read_in(call, scope_of_call(call), handler),
            }
        }
        Handler::Write(handler) => match call.key_hash {
            Some(hash) => write(call, lock_of(call, hash), handler),
            None => write_in(call, scope_of_call(call), handler),
        },
        Handler::Session(handler) => handler(call),
        Handler::ReadAll(handler) => read_in(call, LockScope::All, handler),
        Handler::WriteAll(handler) => write_in(call, LockScope::All, handler),
        Handler::Steps(handler) => steps(call, handler),
        Handler::Container => unreachable!("a container is resolved to a subcommand"),
    }
}

/// MGET as a row of GETs, each under its own lock: [`Bug::TornRead`].
#[cold]
fn torn_read(call: &mut Call<'_>) -> CommandResult {
    let get = call.server.commands.find(b"get").ok_or(CommandError::Syntax)?;
    call.reply.array(call.args.len() - 1);
    for key in call.args.from(1) {
        let words = OwnedArgs::from_words(&[b"GET", key]);
        let mut bytes = Vec::new();
        let mut part = Call {
            command: get,
            args: words.as_args(),
            reply: Reply::new(&mut bytes, call.client.protocol),
            client: &mut *call.client,
            server: call.server,
            worker: call.worker,
            now_ms: call.now_ms,
            key_hash: None,
            in_exec: false,
            ready_key: None,
            block: None,
        };
        handle(&mut part)?;
        call.reply.raw(&bytes);
        std::thread::yield_now();
    }
    Ok(())
}

/// Runs the handler of a queued command under the locks of its transaction.
pub fn handle_in_transaction(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    keyspace.set_db(call.client.db);
    match call.command.spec.handler {
        Handler::Session(handler) => handler(call),
        Handler::Read(handler) | Handler::ReadAll(handler) => handler(call, keyspace),
        Handler::Write(handler) | Handler::WriteAll(handler) => handler(call, keyspace),
        Handler::Steps(handler) => {
            let mut visit = |_: u16, look: &mut dyn FnMut(&Keyspace<'_>)| look(keyspace);
            handler(call, &mut ShardSteps { visit: &mut visit })
        }
        Handler::Container => unreachable!("a container is resolved to a subcommand"),
    }
}

fn scope_of_call(call: &Call<'_>) -> LockScope {
    scope_of_keys(call.server, call.command, &call.args, call.client.db)
}

/// The shards of a command's keys in database `db`.
fn scope_of_keys(server: &Server, command: &Command, args: &Args<'_>, db: u32) -> LockScope {
    if let Some(at) = command.single_key {
        let key = args.try_get(at).map(|bytes| server.shards.key(bytes));
        return key.map_or(LockScope::Nothing, |key| LockScope::One(server.shards.shard_of(&key)));
    }
    let positions = command.key_positions(args);
    let hashes: Vec<u64> = positions.into_iter().map(|at| server.shards.key(args.get(at)).hash).collect();
    prefetch::keys(server, db, &hashes);
    LockScope::of(hashes.iter().map(|hash| server.shards.shard_of_hash(*hash)).collect())
}

/// What a command needs locked, whatever its kind.
pub fn scope_of(server: &Server, command: &Command, args: &Args<'_>, db: u32) -> LockScope {
    match command.spec.handler {
        Handler::Session(_) | Handler::Container => LockScope::Nothing,
        Handler::Read(_) | Handler::Write(_) => scope_of_keys(server, command, args, db),
        Handler::ReadAll(_) | Handler::WriteAll(_) | Handler::Steps(_) => LockScope::All,
    }
}

/// A view with these locks.
pub fn view<'s>(call: &Call<'s>, scope: LockScope) -> Keyspace<'s> {
    view_of(call, call.server.shards.lock(scope))
}

/// The lock of a command whose only key has this hash.
#[inline(always)]
fn lock_of<'s>(call: &Call<'s>, hash: u64) -> Locked<'s> {
    let shards = &call.server.shards;
    shards.lock_one(shards.shard_of_hash(hash))
}

/// A view with these locks, for the call's client.
///
/// Here and in what takes the view over, everything is inlined, so that it is built where it stays: a copy made right
/// after its parts were written costs more than the rest of a short command's dispatch.
#[inline(always)]
fn view_of<'s>(call: &Call<'s>, locked: Locked<'s>) -> Keyspace<'s> {
    let flags = call.client.flags;
    let touches = !flags.contains(ClientFlags::NO_TOUCH) || call.command.spec.name == "touch";
    Keyspace::new(locked, call.client.db, call.now_ms)
        .touching(touches)
        .ignoring_expiry(flags.contains(ClientFlags::REPLAYS))
}

#[inline(never)]
fn read_in(call: &mut Call<'_>, scope: LockScope, handler: ReadHandler) -> CommandResult {
    let locked = call.server.shards.lock(scope);
    read(call, locked, handler)
}

#[inline(never)]
fn write_in(call: &mut Call<'_>, scope: LockScope, handler: WriteHandler) -> CommandResult {
    let locked = call.server.shards.lock(scope);
    write(call, locked, handler)
}

#[inline(always)]
fn read<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: ReadHandler) -> CommandResult {
    let mut keyspace = view_of(call, locked);
    let result = handler(call, &keyspace);
    count_lookups(call.worker, &keyspace);
    if keyspace.met_expired() {
        finish_read(call.server, call.worker, keyspace);
    } else if keyspace.close() {
        // Nothing is left to be dropped.
        std::mem::forget(keyspace);
    }
    result
}

/// Removes the expired keys that a reader met, then releases the locks.
#[cold]
pub fn finish_read(server: &Server, worker: &WorkerShared, keyspace: Keyspace<'_>) {
    if keyspace.met_expired() && !server.conditions().contains(Conditions::PAUSED) {
        change(server, worker, keyspace, |_| ());
    }
}

/// Runs `act` on a write view: with the listeners' recorder if there are any, and with everything that
/// follows from changes, before the locks are released. What a handler changed before it panicked is changed:
/// listeners hear of it and those who wait are served all the same.
#[inline]
pub fn change<'s, R>(
    server: &'s Server,
    worker: &WorkerShared,
    keyspace: Keyspace<'s>,
    act: impl FnOnce(&mut KeyspaceMut<'s, '_>) -> R,
) -> R {
    if server.conditions().contains(Conditions::RECORDING) {
        return change_recorded(server, worker, keyspace, act);
    }
    let mut keyspace = KeyspaceMut::new(keyspace, None);
    let result = catch_unwind(AssertUnwindSafe(|| act(&mut keyspace)));
    park::serve_ready(server, worker, &mut keyspace);
    let (keyspace, changes) = keyspace.finish();
    drop(keyspace);
    after_changes(server, worker, changes);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cold]
fn change_recorded<'s, R>(
    server: &'s Server,
    worker: &WorkerShared,
    keyspace: Keyspace<'s>,
    act: impl FnOnce(&mut KeyspaceMut<'s, '_>) -> R,
) -> R {
    let mut recorder = Recorder::default();
    let sink: &mut dyn EffectSink = &mut recorder;
    let mut keyspace = KeyspaceMut::new(keyspace, Some(sink));
    let result = catch_unwind(AssertUnwindSafe(|| act(&mut keyspace)));
    park::serve_ready(server, worker, &mut keyspace);
    let (keyspace, changes) = keyspace.finish();
    server.effects.publish(&mut recorder);
    drop(keyspace);
    after_changes(server, worker, changes);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

#[inline(always)]
fn write<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: WriteHandler) -> CommandResult {
    if call.server.conditions().contains(Conditions::RECORDING) || locked.is_observed() {
        return write_observed(call, locked, handler);
    }
    // The common case: nobody listens, nobody waits, nothing is left behind.
    let mut keyspace = KeyspaceMut::new(view_of(call, locked), None);
    let result = handler(call, &mut keyspace);
    count_lookups(call.worker, &keyspace);
    if call.block.is_none()
        && let Some(dirty) = keyspace.settled()
    {
        call.worker.stats.dirty.add(dirty);
        if keyspace.close() {
            // Nothing is left to be dropped.
            std::mem::forget(keyspace);
        }
        return result;
    }
    settle(call, keyspace, result)
}

/// A write of which somebody is told.
#[cold]
fn write_observed<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: WriteHandler) -> CommandResult {
    let (server, worker) = (call.server, call.worker);
    let keyspace = park::lock_for_writing(view_of(call, locked), call);
    change(server, worker, keyspace, |keyspace| {
        let result = handler(call, keyspace);
        count_lookups(call.worker, keyspace);
        if result.is_ok() && call.block.is_some() {
            park::park(call, keyspace);
        }
        result
    })
}

/// The rare rest of a write that nobody observed: its client parks, or there is memory to free.
#[cold]
fn settle(call: &mut Call<'_>, mut keyspace: KeyspaceMut<'_, '_>, result: CommandResult) -> CommandResult {
    if result.is_ok() && call.block.is_some() {
        park::park(call, &mut keyspace);
    }
    let (keyspace, changes) = keyspace.finish();
    drop(keyspace);
    after_changes(call.server, call.worker, changes);
    result
}

fn steps(
    call: &mut Call<'_>,
    handler: fn(&mut Call<'_>, &mut ShardSteps<'_>) -> CommandResult,
) -> CommandResult {
    let (server, worker, db, now_ms) = (call.server, call.worker, call.client.db, call.now_ms);
    let mut visit = |shard: u16, look: &mut dyn FnMut(&Keyspace<'_>)| {
        let keyspace = Keyspace::new(server.shards.lock(LockScope::One(shard)), db, now_ms);
        look(&keyspace);
        finish_read(server, worker, keyspace);
    };
    handler(call, &mut ShardSteps { visit: &mut visit })
}

#[inline(always)]
pub fn count_lookups(worker: &WorkerShared, keyspace: &Keyspace<'_>) {
    let lookups = keyspace.lookups();
    if lookups.hits.get() > 0 {
        worker.stats.keyspace_hits.add(lookups.hits.take());
    }
    if lookups.misses.get() > 0 {
        worker.stats.keyspace_misses.add(lookups.misses.take());
    }
}

#[inline]
fn after_changes(server: &Server, worker: &WorkerShared, mut changes: Changes) {
    worker.stats.dirty.add(changes.dirty);
    if changes.expired > 0 {
        worker.stats.expired_keys.add(changes.expired);
    }
    let retired = changes.take_retired();
    if !retired.is_empty() {
        server.reclaimer.retire(retired);
    }
}

/// A command that takes this many nanoseconds makes its worker look at the clock.
const LONG_NS: u64 = 1_000_000;

/// Statistics, SLOWLOG and LATENCY.
#[inline(always)]
pub fn count(call: &mut Call<'_>, ticks: u64, failed: bool) {
    let command = &call.worker.stats.commands[call.command.index];
    command.calls.add(1);
    command.ticks.add(ticks);
    if failed {
        command.failed.add(1);
    }
    let config = &call.server.config;
    let ns = ticks_to_ns(ticks);
    if ns >= LONG_NS {
        call.client.flags |= ClientFlags::TOOK_LONG;
    }
    if config.latency_tracking() {
        command.latency.add(ns);
    }
    // A negative threshold, as an unsigned number, is never reached.
    if ns / 1000 >= config.slowlog_log_slower_than() as u64 && !call.command.is(Flags::SKIP_SLOWLOG) {
        log_slow(call, ns);
    }
    let threshold_ms = config.latency_monitor_threshold();
    if threshold_ms > 0 {
        note_latency(call, ticks, threshold_ms);
    }
}

#[cold]
fn log_slow(call: &Call<'_>, ns: u64) {
    let entry = slowlog::Entry {
        id: 0,
        time_s: call.now_ms / 1000,
        duration_us: ns / 1000,
        arguments: slowlog::shorten(&call.args),
        address: call.client.shared.address.clone(),
        name: call.client.shared.names.lock().name.clone(),
    };
    call.server.slowlog.push(entry, call.server.config.slowlog_max_len());
}

#[cold]
fn note_latency(call: &Call<'_>, ticks: u64, threshold_ms: u64) {
    let ms = ticks_to_ns(ticks) / 1_000_000;
    if ms >= threshold_ms {
        let event = if call.command.is(Flags::FAST) { "fast-command" } else { "command" };
        call.server.latency.add(event, call.now_ms / 1000, ms);
    }
}
