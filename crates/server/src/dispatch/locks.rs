//! The view of the keyspace that a command's handler is given under its locks.

use swytch_store::{Keyspace, KeyspaceMut, LockScope, Locked};

use super::conditions::BEHIND_LOCKS;
use super::{admit, changes, conditions, count, guard, park, scope, tracking};
use crate::clients::ClientFlags;
use crate::command::spec::{ReadHandler, WriteHandler};
use crate::command::{
    Call, CommandError, CommandResult, Flags, FoundScript, Handler, Outcome, ScriptHandler, ShardSteps,
};
use crate::effects::{OpenGroup, Recorder};
use crate::server::Conditions;

/// Chooses the view for the handler and runs it.
#[inline(always)]
pub fn handle(call: &mut Call<'_>) -> CommandResult {
    match call.command.spec.handler {
        Handler::Read(handler) => match call.key_hash {
            Some(hash) => match lock_of(call, hash) {
                Some(locked) => read(call, locked, handler),
                None => Err(scope::busy(call.server)),
            },
            None => read_in(call, scope::of_call(call), handler),
        },
        Handler::Write(handler) => match call.key_hash {
            Some(hash) => match lock_of(call, hash) {
                Some(locked) => write(call, locked, handler),
                None => Err(scope::busy(call.server)),
            },
            None => write_in(call, scope::of_call(call), handler),
        },
        Handler::Wait(handler) => wait_in(call, scope::of_call(call), handler),
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
        Handler::Read(handler) => read_shown(call, scope::of_call(call), handler),
        Handler::Wait(handler) => {
            let locked = scope::lock_in_time(call.server, scope::of_call(call))?;
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
    let touches = call.client.flags.contains(ClientFlags::NO_TOUCH) && call.command.is(Flags::ALWAYS_TOUCHES);
    if touches {
        keyspace.set_touching(true);
    }
    let result = run_within(call, keyspace);
    if touches {
        keyspace.set_touching(false);
    }
    if call.client.flags.contains(ClientFlags::NOTES_READS) {
        tracking::note_reads(call, keyspace);
        keyspace.refresh_observed();
    }
    result
}

fn run_within(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    match call.command.spec.handler {
        Handler::Session(handler) => {
            changes::forward_within(call, keyspace);
            handler(call)
        }
        Handler::Read(handler) | Handler::Wait(handler) | Handler::ReadAll(handler) => {
            handler(call, keyspace)
        }
        Handler::Write(handler) | Handler::WriteAll(handler) => handler(call, keyspace),
        Handler::Script(handler) => {
            find_script(call, handler).and_then(|found| (handler.run)(call, keyspace, found))
        }
        Handler::Steps(handler) => {
            let mut visit = |_: u16, look: &mut dyn FnMut(&Keyspace<'_>)| look(keyspace);
            handler(call, &mut ShardSteps { visit: &mut visit })
        }
        Handler::Container => unreachable!("a container is resolved to a subcommand"),
    }
}

/// A view with these locks.
///
/// # Errors
/// If a script has one of them for too long.
pub fn view<'s>(call: &Call<'s>, scope: LockScope) -> Result<Keyspace<'s>, CommandError> {
    Ok(view_of(call, scope::lock_in_time(call.server, scope)?))
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
        .ignoring_expiry(sees_expired(call))
}

/// Whether keys whose time is over are there for a call: effects say themselves which went, and so does who brings data over.
#[inline(always)]
fn sees_expired(call: &Call<'_>) -> bool {
    !call.origin.expires_by_clock()
        || call.client.flags.contains(ClientFlags::IMPORT_SOURCE)
            && call.server.conditions().contains(Conditions::IMPORTING)
}

#[inline(never)]
fn read_in(call: &mut Call<'_>, scope: LockScope, handler: ReadHandler) -> CommandResult {
    let locked = scope::lock_in_time(call.server, scope)?;
    read(call, locked, handler)
}

#[cold]
fn read_shown(call: &mut Call<'_>, scope: LockScope, handler: ReadHandler) -> CommandResult {
    let locked = scope::lock_in_time(call.server, scope)?;
    super::show(call);
    read(call, locked, handler)
}

#[inline(never)]
fn wait_in(call: &mut Call<'_>, scope: LockScope, handler: ReadHandler) -> CommandResult {
    let locked = scope::lock_in_time(call.server, scope)?;
    wait(call, locked, handler)
}

/// As a read; its client may park.
fn wait<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: ReadHandler) -> CommandResult {
    let mut keyspace = view_of(call, locked);
    let result = handler(call, &keyspace);
    count::lookups(call.worker, &keyspace);
    // One that parks has read nothing yet.
    if call.client.flags.contains(ClientFlags::NOTES_READS) && call.block.is_none() {
        tracking::note_reads(call, &mut keyspace);
    }
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
    let locked = scope::lock_in_time(call.server, scope)?;
    write(call, locked, handler)
}

#[inline(always)]
fn read<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: ReadHandler) -> CommandResult {
    let mut keyspace = view_of(call, locked);
    let result = handler(call, &keyspace);
    count::lookups(call.worker, &keyspace);
    if call.client.flags.contains(ClientFlags::NOTES_READS) {
        tracking::note_reads(call, &mut keyspace);
    }
    if keyspace.has_met() {
        changes::attend_to_met(call.server, call.worker, keyspace);
    } else {
        guard::release(keyspace);
    }
    result
}

#[inline(always)]
fn write<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: WriteHandler) -> CommandResult {
    let conditions = call.server.conditions() & BEHIND_LOCKS;
    let is_noted = locked.is_observed() || call.client.flags.contains(ClientFlags::NOTES_READS);
    if !conditions.is_empty() || is_noted {
        if conditions == Conditions::RECORDING && !is_noted {
            return write_recorded(call, locked, handler);
        }
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

/// A write of which nobody is told but whoever reads the order of effects: the common case of a server with a log.
#[inline(never)]
fn write_recorded<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: WriteHandler) -> CommandResult {
    let (server, worker) = (call.server, call.worker);
    let group = OpenGroup::new(Recorder::of_thread());
    let mut sink = &group;
    let mut keyspace = KeyspaceMut::new(view_of(call, locked), Some(&mut sink));
    // A panic goes on when what has changed until then has its place in the order.
    let result = guard::catch(|| handler(call, &mut keyspace));
    count::lookups(call.worker, &keyspace);
    if call.block.is_none()
        && let Some(dirty) = keyspace.settled()
    {
        server.effects.publish(&worker.lane, group.take());
        worker.stats.dirty.add(dirty);
        guard::release(keyspace);
        return guard::go_on(result);
    }
    if matches!(result, Ok(Ok(()))) && call.block.is_some() {
        park::park(call, &mut keyspace);
    }
    let (keyspace, mut changes) = keyspace.finish();
    server.effects.publish(&worker.lane, group.take());
    tracking::tell(server, worker, &mut changes);
    drop(keyspace);
    changes::count(server, worker, changes);
    guard::go_on(result)
}

/// A write that something may still refuse, or of which somebody is told.
#[cold]
fn write_observed<'s>(call: &mut Call<'s>, locked: Locked<'s>, handler: WriteHandler) -> CommandResult {
    let (server, worker) = (call.server, call.worker);
    let keyspace = park::lock_for_writing(view_of(call, locked), call)?;
    if let Some(refused) = admit::refused_behind_locks(call) {
        return refused;
    }
    changes::make(server, worker, keyspace, |keyspace| {
        let result = handler(call, keyspace);
        count::lookups(call.worker, keyspace);
        if call.client.flags.contains(ClientFlags::NOTES_READS) {
            // Some that only read may write what they have worked out.
            tracking::note_reads(call, keyspace);
        }
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

/// Finds the script of a call. It is shown by whoever runs it, and here where nobody does.
fn find_script(call: &mut Call<'_>, handler: &ScriptHandler) -> Result<FoundScript, CommandError> {
    let found = (handler.find)(call);
    if found.is_err() {
        super::show_script(call);
    }
    found
}

/// A script: under the locks of the keys it names, and once more under all where that was not enough. Whoever watches
/// its commands is not to see them twice.
#[inline(never)]
fn script(call: &mut Call<'_>, handler: &ScriptHandler) -> CommandResult {
    let (server, worker) = (call.server, call.worker);
    let found = find_script(call, handler)?;
    let is_wide = found.is_wide || server.conditions().contains(Conditions::MONITORED);
    let mut scope = if is_wide { LockScope::All } else { scope::of_script(call, found.keys) };
    loop {
        let locked = scope::lock_in_time(server, scope)?;
        let keyspace = park::lock_for_writing(view_of(call, locked), call)?;
        if let Some(refused) = admit::refused_behind_locks(call) {
            return refused;
        }
        let result = changes::make_or_take_back(server, worker, keyspace, |keyspace| {
            let result = (handler.run)(call, keyspace, found);
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
    let (mut is_busy, sees_expired) = (false, sees_expired(call));
    let mut visit = |shard: u16, look: &mut dyn FnMut(&Keyspace<'_>)| {
        let Some(locked) = server.shards.lock_one_in_time(shard) else {
            is_busy = true;
            return;
        };
        let keyspace = Keyspace::new(locked, now_ms).ignoring_expiry(sees_expired);
        look(&keyspace);
        changes::attend_to_met(server, worker, keyspace);
    };
    let result = handler(call, &mut ShardSteps { visit: &mut visit });
    if is_busy { Err(scope::busy(server)) } else { result }
}
