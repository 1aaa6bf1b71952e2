//! Parked clients: BLPOP and its kin wait as data, not as threads.
//!
//! A client whose command found nothing is registered as a [`Waiter`] at each of its keys, under the locks
//! of their shards. A writer that makes a key ready serves the waiters of that key in the order they came,
//! before it releases its locks: nobody can take an element between a push and the client that was
//! promised it. Serving may need more shards (BLMOVE's destination): a writer whose shards have
//! parked clients takes the union of what they need before it runs ([`lock_for_writing`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swytch_resp::{Protocol, Reply};
use swytch_store::{Keyspace, KeyspaceMut, LockScope, Type, Waiter, WaiterState};

use super::run;
use crate::clients::{Client, ClientShared};
use crate::commands::call::TimeoutReply;
use crate::commands::{Call, Command, OwnedArgs};
use crate::net::Mail;
use crate::server::{Server, WorkerShared};

/// What is kept of a parked client's command.
#[derive(Debug)]
pub struct Parked {
    /// Who waits.
    pub client: Arc<ClientShared>,
    /// Its command.
    pub command: &'static Command,
    /// Its arguments.
    pub args: OwnedArgs,
    /// The keys it waits for, by their argument positions.
    pub keys: Vec<usize>,
    /// The database they are in.
    pub db: u32,
    /// The protocol to answer in.
    pub protocol: Protocol,
    /// What it is answered when its time is over.
    pub on_timeout: TimeoutReply,
}

/// Most rounds of adding shards before all are locked.
const WIDENING_ROUNDS_MAX: usize = 3;

/// Widens the locks of a writer so that every client parked in them can be served.
#[inline]
pub fn lock_for_writing<'s>(keyspace: Keyspace<'s>, call: &Call<'s>) -> Keyspace<'s> {
    if !keyspace.locked().is_observed() {
        return keyspace;
    }
    widen(keyspace, call.server)
}

/// Widens the locks until they cover every shard that a client parked in them may need.
#[cold]
pub fn widen<'s>(mut keyspace: Keyspace<'s>, server: &'s Server) -> Keyspace<'s> {
    for round in 0.. {
        let locked = keyspace.locked();
        let needed: Vec<u16> = locked
            .shard_indices()
            .into_iter()
            .flat_map(|shard| locked.observers(shard).shards_of_waiters())
            .collect();
        if needed.iter().all(|shard| locked.scope().covers(*shard)) {
            break;
        }
        let scope = if round == WIDENING_ROUNDS_MAX {
            LockScope::All
        } else {
            locked.scope().clone().union(LockScope::of(needed))
        };
        keyspace = keyspace.relock(&server.shards, scope);
    }
    keyspace
}

/// Registers the client of `call` at the keys it asked to wait for.
pub fn park(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) {
    let Some(request) = &call.block else { return };
    let shards = call
        .command
        .key_positions(&call.args)
        .into_iter()
        .map(|at| call.server.shards.shard_of(&call.server.shards.key(call.args.get(at))))
        .collect();
    let parked = Parked {
        client: Arc::clone(&call.client.shared),
        command: call.command,
        args: call.args.to_owned(),
        keys: request.keys.clone(),
        db: call.client.db,
        protocol: call.client.protocol,
        on_timeout: request.on_timeout,
    };
    let waiter = Arc::new(Waiter::new(shards, Box::new(parked)));
    for at in &request.keys {
        let key = call.key(*at);
        let shard = call.server.shards.shard_of(&key);
        keyspace
            .locked_mut()
            .with_observers(shard, |observers| observers.park(call.client.db, key.bytes, &waiter));
    }
    call.client.waiter = Some(waiter);
}

/// Takes a waiter out of all queues. Afterwards nobody serves it: the result says whether it was still
/// waiting, or has been served and its reply is on the way.
pub fn unpark(server: &Server, waiter: &Arc<Waiter>) -> bool {
    let Some(parked) = waiter.payload.downcast_ref::<Parked>() else { return false };
    let mut locked = server.shards.lock(LockScope::of(waiter.shards.clone()));
    for at in &parked.keys {
        let bytes = parked.args.as_args().get(*at);
        let shard = server.shards.shard_of(&server.shards.key(bytes));
        locked.with_observers(shard, |observers| observers.unpark(parked.db, bytes, waiter));
    }
    waiter.claim(WaiterState::Gone)
}

/// Writes what a parked client is answered when its time is over.
pub fn timeout_reply(waiter: &Waiter, reply: &mut Reply<'_>) {
    match waiter.payload.downcast_ref::<Parked>().map(|parked| parked.on_timeout) {
        Some(TimeoutReply::Null) => reply.null(),
        Some(TimeoutReply::NullArray) | None => reply.null_array(),
    }
}

/// Serves the clients parked on the keys that the changes so far have made ready. Serving changes the
/// keyspace too, so it goes on until nothing is ready.
#[inline]
pub fn serve_ready(server: &Server, worker: &WorkerShared, keyspace: &mut KeyspaceMut<'_, '_>) {
    if !keyspace.changes_mut().ready.is_empty() {
        serve(server, worker, keyspace);
    }
}

#[cold]
fn serve(server: &Server, worker: &WorkerShared, keyspace: &mut KeyspaceMut<'_, '_>) {
    let mut ready: VecDeque<(u32, Box<[u8]>)> = std::mem::take(&mut keyspace.changes_mut().ready).into();
    while let Some((db, bytes)) = ready.pop_front() {
        keyspace.set_db(db);
        let key = server.shards.key(&bytes);
        let shard = server.shards.shard_of(&key);
        let waiters = keyspace.locked_mut().with_observers(shard, |observers| observers.parked(db, &bytes));
        for waiter in waiters {
            // Only a list can serve those who wait for one; a key of another type lets them wait on.
            if keyspace.live_entry(&key).is_none_or(|entry| entry.data_type() != Type::List) {
                break;
            }
            // What is given to a client that CLIENT KILL has closed would be lost.
            let gone = waiter
                .payload
                .downcast_ref::<Parked>()
                .is_some_and(|parked| parked.client.killed.load(Ordering::SeqCst));
            if gone || !waiter.claim(WaiterState::Served) {
                continue;
            }
            serve_one(server, worker, keyspace, &waiter, db, &bytes);
            keyspace.locked_mut().with_observers(shard, |observers| observers.unpark(db, &bytes, &waiter));
            ready.extend(std::mem::take(&mut keyspace.changes_mut().ready));
        }
    }
    keyspace.refresh_observed();
}

/// Counts the command that a client is parked with as failed: it was answered an error after all.
pub fn count_failed(worker: &WorkerShared, waiter: &Waiter) {
    if let Some(parked) = waiter.payload.downcast_ref::<Parked>() {
        worker.stats.commands[parked.command.index].failed.add(1);
    }
}

/// Runs a parked client's command again, for one key, and sends the reply to the worker that owns it.
fn serve_one(
    server: &Server,
    worker: &WorkerShared,
    keyspace: &mut KeyspaceMut<'_, '_>,
    waiter: &Arc<Waiter>,
    db: u32,
    key: &[u8],
) {
    let Some(parked) = waiter.payload.downcast_ref::<Parked>() else { return };
    let mut reply = Vec::new();
    let mut client = Client::new(Arc::clone(&parked.client), true);
    client.db = db;
    client.protocol = parked.protocol;
    let mut call = Call {
        command: parked.command,
        args: parked.args.as_args(),
        reply: Reply::new(&mut reply, parked.protocol),
        client: &mut client,
        server,
        worker,
        now_ms: keyspace.now_ms(),
        key_hash: None,
        in_exec: false,
        ready_key: Some(key),
        block: None,
    };
    if let Err(error) = run::handle_in_transaction(&mut call, keyspace) {
        run::answer_error(&mut call, 0, &error);
    }
    let mail = Mail::Served { client: parked.client.id, waiter: Arc::clone(waiter), reply };
    server.workers[parked.client.worker].mailbox.send(mail);
}
