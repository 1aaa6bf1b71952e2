//! Transactions: the commands queued since MULTI, run under one lock set.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use swytch_resp::Reply;
use swytch_store::{Keyspace, LockScope, WatchFlag};

use super::{park, run};
use crate::clients::{Client, ClientFlags, QueuedCommand, WatchedKey};
use crate::command::{Call, CommandError, CommandResult, Flags};
use crate::seeded_bug::{self, Bug};
use crate::server::{Conditions, Server};
use crate::system::clock::Ticks;

/// Registers a client at keys it watches. The caller holds no locks.
pub fn watch(server: &Server, client: &mut Client, keys: &[&[u8]], now_ms: u64) {
    let db = client.db;
    let before: HashSet<Box<[u8]>> =
        client.watched.iter().filter(|watched| watched.db == db).map(|watched| watched.key.clone()).collect();
    let mut seen: HashSet<&[u8]> = before.iter().map(|key| &**key).collect();
    for bytes in keys.iter().copied() {
        if !seen.insert(bytes) {
            continue;
        }
        let key = server.shards.key(bytes);
        let shard = server.shards.shard_of(&key);
        let mut keyspace = Keyspace::new(server.shards.lock(LockScope::One(shard)), db, now_ms);
        let was_live = keyspace.is_live_in(db, &key);
        keyspace
            .locked_mut()
            .with_observers(shard, |observers| observers.watch(db, bytes, &client.watch_flag, was_live));
        client.watched.push(WatchedKey { db, key: bytes.into(), was_live });
    }
}

/// Forgets all watched keys. The caller holds no locks.
pub fn unwatch(server: &Server, client: &mut Client) {
    for watched in std::mem::take(&mut client.watched) {
        let shard = server.shards.shard_of(&server.shards.key(&watched.key));
        let mut locked = server.shards.lock(LockScope::One(shard));
        locked.with_observers(shard, |observers| {
            observers.unwatch(watched.db, &watched.key, &client.watch_flag)
        });
    }
    // A writer that found the old flag may still raise it: the next WATCH has a new one.
    client.watch_flag = WatchFlag::default();
}

/// Ends the transaction without running it.
pub fn discard(server: &Server, client: &mut Client) {
    client.queue.clear();
    client.queued_bytes = 0;
    client.flags &= !(ClientFlags::MULTI | ClientFlags::DIRTY_EXEC);
    unwatch(server, client);
}

/// EXEC: runs the queue if no watched key has changed, as one atomic step.
pub fn exec(call: &mut Call<'_>) -> CommandResult {
    if !call.client.in_multi() {
        return Err(CommandError::text("ERR EXEC without MULTI"));
    }
    if call.client.flags.contains(ClientFlags::DIRTY_EXEC) {
        discard(call.server, call.client);
        return Err(CommandError::text("EXECABORT Transaction discarded because of previous errors."));
    }
    let queue = std::mem::take(&mut call.client.queue);
    call.client.flags &= !ClientFlags::MULTI;
    let server = call.server;
    let keyspace =
        run::view(call, scope_of_transaction(server, &queue, &call.client.watched, call.client.db));
    if watched_key_changed(call.client, &keyspace, server) {
        return abort(call, keyspace);
    }
    let keyspace = match keyspace.locked().is_observed() {
        true => park::widen(keyspace, server, |keyspace| {
            let concerns = |queued: &QueuedCommand| {
                park::concerns_wide_waiter(keyspace, queued.command, &queued.args.as_args())
            };
            queue.iter().any(concerns)
        }),
        false => keyspace,
    };
    // While shards were added the first ones were released: look again.
    if watched_key_changed(call.client, &keyspace, server) {
        return abort(call, keyspace);
    }
    let mut replies = Vec::new();
    let worker = call.worker;
    run::change(server, worker, keyspace, |keyspace| {
        for queued in &queue {
            let protocol = call.client.protocol;
            let mut inner = Call {
                command: queued.command,
                args: queued.args.as_args(),
                reply: Reply::new(&mut replies, protocol),
                client: call.client,
                server,
                worker,
                now_ms: call.now_ms,
                key_hash: None,
                in_exec: true,
                ready_key: None,
                block: None,
            };
            run_queued(&mut inner, keyspace);
        }
    });
    call.reply.array(queue.len());
    call.reply.raw(&replies);
    call.reply.set_protocol(call.client.protocol);
    discard(server, call.client);
    Ok(())
}

/// What a transaction needs locked: the keys of its commands, and those it watches.
fn scope_of_transaction(
    server: &Server,
    queue: &[QueuedCommand],
    watched: &[WatchedKey],
    db: u32,
) -> LockScope {
    let mut shards = Vec::new();
    for queued in queue {
        match run::scope_of(server, queued.command, &queued.args.as_args(), db) {
            LockScope::Nothing => {}
            LockScope::One(shard) => shards.push(shard),
            LockScope::Several(several) => shards.extend(several),
            LockScope::All => return LockScope::All,
        }
    }
    shards.extend(watched.iter().map(|watched| server.shards.shard_of(&server.shards.key(&watched.key))));
    LockScope::of(shards)
}

/// EXEC of a transaction whose watched keys have changed.
fn abort(call: &mut Call<'_>, keyspace: Keyspace<'_>) -> CommandResult {
    drop(keyspace);
    discard(call.server, call.client);
    call.reply.null_array();
    Ok(())
}

/// One command of a transaction; its error is its reply and the others run all the same.
fn run_queued(call: &mut Call<'_>, keyspace: &mut swytch_store::KeyspaceMut<'_, '_>) {
    let started = Ticks::now();
    let mark = call.reply.mark();
    if call.server.conditions().contains(Conditions::MONITORED)
        && !call.command.spec.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN)
    {
        call.server.show_to_monitors(call.client.db, call.client, &call.args);
    }
    let result = catch_unwind(AssertUnwindSafe(|| run::handle_in_transaction(call, keyspace)));
    let result = result.unwrap_or_else(|_| Err(run::after_panic(call)));
    if let Err(error) = &result {
        run::answer_error(call, mark, error);
    }
    run::count_lookups(call.worker, keyspace);
    run::count(call, Ticks::now().since(started), result.is_err());
}

/// True when the transaction must not run: a watched key was changed, or has expired since.
fn watched_key_changed(client: &Client, keyspace: &Keyspace<'_>, server: &Server) -> bool {
    if seeded_bug::is_on(Bug::BlindExec) {
        return false;
    }
    client.watch_flag.load(Ordering::Acquire)
        || client.watched.iter().any(|watched| {
            watched.was_live && keyspace.is_expired_in(watched.db, &server.shards.key(&watched.key))
        })
}
