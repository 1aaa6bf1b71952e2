//! Transactions: the commands queued since MULTI, run under one lock set.

use std::sync::atomic::Ordering;

use swytch_store::{Keyspace, KeyspaceMut, LockScope, WatchFlag};

use super::{admit, changes, count, guard, locks, park, show};
use crate::clients::{Client, ClientFlags, QueuedCommand, WatchedKeys};
use crate::command::{Call, CommandError, CommandResult, Origin};
use crate::server::Server;
use crate::system::clock::Ticks;

/// Registers a client at keys it watches. The caller holds no locks.
pub fn watch<'k>(server: &Server, client: &mut Client, keys: impl Iterator<Item = &'k [u8]>, now_ms: u64) {
    let db = client.db;
    for bytes in keys {
        if client.watched.contains(db, bytes) {
            continue;
        }
        let key = server.shards.key(db, bytes);
        let shard = server.shards.shard_of(&key);
        let mut keyspace = Keyspace::new(server.shards.lock(LockScope::One(shard)), now_ms);
        let was_live = keyspace.is_live(&key);
        keyspace
            .locked_mut()
            .with_observers(shard, |observers| observers.watch(db, bytes, &client.watch_flag, was_live));
        client.watched.insert(db, bytes, was_live);
    }
}

/// Forgets all watched keys. The caller holds no locks.
pub fn unwatch(server: &Server, client: &mut Client) {
    for (db, bytes, _) in std::mem::take(&mut client.watched).iter() {
        let shard = server.shards.shard_of_name(bytes);
        let mut locked = server.shards.lock(LockScope::One(shard));
        locked.with_observers(shard, |observers| observers.unwatch(db, bytes, &client.watch_flag));
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
    let result = if !call.client.in_multi() {
        Err(CommandError::text("ERR EXEC without MULTI"))
    } else if call.client.flags.contains(ClientFlags::DIRTY_EXEC) {
        discard(call.server, call.client);
        Err(CommandError::text("EXECABORT Transaction discarded because of previous errors."))
    } else {
        match lock_transaction(call) {
            Locked::Unchanged(keyspace) => return run_queue(call, keyspace),
            // It waits for the end of a pause as it is; an error ends it.
            Locked::Refused(Ok(())) => return Ok(()),
            Locked::Refused(Err(error)) => {
                discard(call.server, call.client);
                Err(CommandError::owned(abort_text(&error.reply())))
            }
            Locked::Changed => {
                discard(call.server, call.client);
                call.reply.null_array();
                Ok(())
            }
        }
    };
    show(call);
    result
}

/// The error of EXEC that is refused for a reason other than its commands.
pub fn abort_text(reason: &str) -> String {
    format!("EXECABORT Transaction discarded because of: {}", reason.trim_start_matches("ERR "))
}

/// What was found when the locks of a transaction were taken.
enum Locked<'s> {
    /// It may run.
    Unchanged(Keyspace<'s>),
    /// A watched key has changed.
    Changed,
    /// Something else keeps it from running, or from running now.
    Refused(CommandResult),
}

fn lock_transaction<'s>(call: &mut Call<'s>) -> Locked<'s> {
    let server = call.server;
    let client = &*call.client;
    let scope = scope_of_transaction(server, &client.queue, &client.watched, client.db);
    let keyspace = locks::view(call, scope);
    if watched_key_changed(call.client, &keyspace, server) {
        return Locked::Changed;
    }
    let keyspace = match keyspace.locked().is_observed() {
        true => park::widen(keyspace, server, |keyspace| {
            let concerns = |queued: &QueuedCommand| {
                park::concerns_wide_waiter(keyspace, queued.command, &queued.args.as_args())
            };
            call.client.queue.iter().any(concerns)
        }),
        false => keyspace,
    };
    if let Some(refused) = admit::refused_behind_locks(call) {
        return Locked::Refused(refused);
    }
    // While shards were added the first ones were released: look again.
    if watched_key_changed(call.client, &keyspace, server) {
        Locked::Changed
    } else {
        Locked::Unchanged(keyspace)
    }
}

fn run_queue<'s>(call: &mut Call<'s>, keyspace: Keyspace<'s>) -> CommandResult {
    let (server, worker, now_ms) = (call.server, call.worker, call.now_ms);
    let queue = std::mem::take(&mut call.client.queue);
    call.client.flags &= !ClientFlags::MULTI;
    call.reply.array(queue.len());
    changes::make(server, worker, keyspace, |keyspace| {
        for queued in &queue {
            let args = queued.args.as_args();
            let reply = call.reply.nested(call.client.protocol);
            let client = &mut *call.client;
            let origin = Origin::Transaction;
            let mut inner = Call::new(server, worker, client, queued.command, args, reply, now_ms, origin);
            run_queued(&mut inner, keyspace);
        }
        show(call);
    });
    call.reply.set_protocol(call.client.protocol);
    call.origin = Origin::of(call.client);
    discard(server, call.client);
    Ok(())
}

/// What a transaction needs locked: the keys of its commands, and those it watches.
fn scope_of_transaction(
    server: &Server,
    queue: &[QueuedCommand],
    watched: &WatchedKeys,
    db: u32,
) -> LockScope {
    let mut shards = Vec::new();
    for queued in queue {
        match locks::scope_of(server, queued.command, &queued.args.as_args(), db) {
            LockScope::Nothing => {}
            LockScope::One(shard) => shards.push(shard),
            LockScope::Several(several) => shards.extend(several),
            LockScope::All => return LockScope::All,
        }
    }
    shards.extend(watched.iter().map(|(_, key, _)| server.shards.shard_of_name(key)));
    LockScope::of(shards)
}

/// One command of a transaction; its error is its reply and the others run all the same.
fn run_queued(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) {
    let started = Ticks::now();
    let failed = guard::run(call, |call| locks::handle_within(call, keyspace));
    show(call);
    count::lookups(call.worker, keyspace);
    count::call(call, Ticks::now().since(started), failed);
}

/// True when the transaction must not run: a watched key was changed, or has expired since.
fn watched_key_changed(client: &Client, keyspace: &Keyspace<'_>, server: &Server) -> bool {
    client.watch_flag.load(Ordering::Acquire)
        || client
            .watched
            .iter()
            .any(|(db, key, was_live)| was_live && keyspace.is_expired(&server.shards.key(db, key)))
}
