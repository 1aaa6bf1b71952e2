//! Transactions: the commands queued since MULTI, run under one lock set.

use std::panic::{AssertUnwindSafe, catch_unwind};

use std::sync::atomic::Ordering;

use swytch_resp::Reply;
use swytch_store::{Keyspace, LockScope, WatchFlag};

use super::{park, run};
use crate::clients::{Client, ClientFlags, WatchedKey};
use crate::clock::Ticks;
use crate::commands::{Call, CommandError, CommandResult, Flags};
use crate::server::{Conditions, Server};

/// Registers a client at keys it watches. The caller holds no locks.
pub fn watch(server: &Server, client: &mut Client, keys: &[&[u8]], now_ms: u64) {
    for bytes in keys {
        let db = client.db;
        if client.watched.iter().any(|watched| watched.db == db && &*watched.key == *bytes) {
            continue;
        }
        let key = server.shards.key(bytes);
        let shard = server.shards.shard_of(&key);
        let mut locked = server.shards.lock(LockScope::One(shard));
        locked.with_observers(shard, |observers| observers.watch(db, bytes, &client.watch_flag));
        // A key that has expired but is still stored counts as absent from the beginning.
        let was_expired = Keyspace::new(locked, db, now_ms).is_expired(&key);
        client.watched.push(WatchedKey { db, key: (*bytes).into(), was_expired });
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
    let writes = queue.iter().any(|queued| queued.command.is(Flags::WRITE));
    if writes && server.conditions().contains(Conditions::OUT_OF_MEMORY) {
        let refused = queue.iter().any(|queued| queued.command.is(Flags::DENYOOM));
        if refused {
            discard(server, call.client);
            return Err(CommandError::text("OOM command not allowed when used memory > 'maxmemory'."));
        }
    }
    let mut scope = queue.iter().fold(LockScope::Nothing, |scope, queued| {
        scope.union(run::scope_of(server, queued.command, &queued.args.as_args()))
    });
    for watched in &call.client.watched {
        let shard = server.shards.shard_of(&server.shards.key(&watched.key));
        scope = scope.union(LockScope::One(shard));
    }
    let keyspace = run::view(call, scope);
    if watched_key_changed(call.client, &keyspace, server) {
        drop(keyspace);
        discard(server, call.client);
        call.reply.null_array();
        return Ok(());
    }
    let keyspace = park::lock_for_writing(keyspace, call);
    // While shards were added the first ones were released: look again.
    if watched_key_changed(call.client, &keyspace, server) {
        drop(keyspace);
        discard(server, call.client);
        call.reply.null_array();
        return Ok(());
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
    client.watch_flag.load(Ordering::Acquire)
        || client.watched.iter().any(|watched| {
            !watched.was_expired && keyspace.is_expired_in(watched.db, &server.shards.key(&watched.key))
        })
}
