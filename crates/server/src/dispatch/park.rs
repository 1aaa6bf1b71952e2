//! Parked clients: BLPOP and its kin wait as data, not as threads.
//!
//! A client whose command found nothing is registered as a [`Waiter`] at each of its keys, under the locks
//! of their shards. A writer that makes a key ready serves the waiters of that key in the order they came,
//! before it releases its locks: nobody can take an element between a push and the client that was
//! promised it. Who waits for no key but for [`Progress`] is registered nowhere: its own worker looks again whenever somebody
//! may have come further. Serving runs the waiter's command again, from its first key on, and may need more shards
//! than the writer's own command does (other keys of BLPOP, the destination of BLMOVE and those who wait for
//! it in turn): a writer to a key that is awaited by such a client locks all of them before it begins
//! ([`lock_for_writing`]).
//!
//! Invariants:
//! - Whoever wins [`Waiter::claim`] answers the client, exactly once: a writer with the reply, its own worker
//!   when the time is over, CLIENT UNBLOCK, or nobody when the connection ends.
//! - A claimed waiter may still stand in queues; it is passed over there, and its worker takes it out.
//! - The waiter is made and claimed for serving under the lock of the key's shard, so a push either finds it
//!   or happens before its command looked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swytch_resp::{Output, Reply};
use swytch_store::{Keyspace, KeyspaceMut, LockScope, Observers, Type, UnixMs, Value, Waiter, WaiterState};

use super::{admit, changes, count, guard, locks, scope, tracking};
use crate::clients::{Client, ClientShared};
use crate::command::{
    Args, Call, Command, CommandError, CommandTable, Origin, Outcome, OwnedArgs, Progress, Ready,
    TimeoutReply, When,
};
use crate::config::ClientClass;
use crate::server::{Conditions, Mail, Outbox, Server, WorkerShared};
use crate::system::clock::{self, MonotonicMs, Ticks};

/// What is kept of a parked client's command.
#[derive(Debug)]
pub struct Parked {
    /// Who waits, as its command is to see it.
    pub client: Client,
    /// Where its command stands.
    pub commands: &'static CommandTable,
    /// Its command.
    pub command: &'static Command,
    /// Its arguments.
    pub args: OwnedArgs,
    /// The keys it waits for, by their argument positions, in the client's database.
    pub keys: Vec<usize>,
    /// The type that a key must have to serve it, if it waits for keys; one of another type lets it wait on.
    pub kind: Option<Type>,
    /// What decides instead of the type, if there is more to it.
    pub ready: Option<Ready>,
    /// What it waits for instead of keys.
    pub progress: Option<Box<dyn Progress>>,
    /// What it is answered when its time is over.
    pub on_timeout: TimeoutReply,
    /// When that is.
    pub deadline: Option<MonotonicMs>,
}

impl Parked {
    fn of(waiter: &Waiter) -> &Parked {
        waiter.payload.downcast_ref().expect("every waiter of this server is made by `park`")
    }

    /// Whether a key that holds this serves it at a time, which has to be that of the command when it runs again.
    fn is_served_by(&self, key: &[u8], value: Option<Value<'_>>, now_ms: UnixMs) -> bool {
        match &self.ready {
            Some(Ready(when)) => match when(key, value) {
                When::Now => true,
                When::At(ms) => ms <= now_ms,
                When::NotBefore(_) | When::Later => false,
            },
            None => value.is_some_and(|value| Some(value.data_type()) == self.kind),
        }
    }

    /// When to look after it next: at the latest when it gives up.
    fn next_look(&self, keyspace: &Keyspace<'_>) -> Option<MonotonicMs> {
        let args = self.args.as_args();
        let Some(Ready(when)) = &self.ready else { return self.deadline };
        let at_ms = self.keys.iter().filter_map(|at| {
            let bytes = args.get(*at);
            let value = keyspace.stored(&keyspace.key(self.client.db, bytes)).map(|entry| entry.value());
            match when(bytes, value) {
                When::At(ms) | When::NotBefore(ms) => Some(ms),
                When::Now | When::Later => None,
            }
        });
        let first =
            at_ms.min().map(|ms| MonotonicMs::now().after(ms.saturating_sub(clock::unix_ms()).max(1)));
        self.deadline.into_iter().chain(first).min()
    }
}

/// Most rounds of adding shards before all are locked.
const WIDENING_ROUNDS_MAX: usize = 3;

/// Widens the locks of a writer so that every client parked on its keys can be served.
#[inline]
pub fn lock_for_writing<'s>(keyspace: Keyspace<'s>, call: &Call<'s>) -> Result<Keyspace<'s>, CommandError> {
    if !keyspace.locked().is_observed() {
        return Ok(keyspace);
    }
    widen(keyspace, call.server, |keyspace| concerns_wide_waiter(keyspace, call.command, &call.args))
}

/// True when a client parked on a key is served once there is no such key any more.
pub fn awaits_absence(key: &[u8], waiter: &Waiter) -> bool {
    let parked = Parked::of(waiter);
    parked.ready.is_some() && parked.is_served_by(key, None, clock::unix_ms())
}

/// True when a client parked on a key of the command needs more than that key's shard.
pub fn concerns_wide_waiter(keyspace: &Keyspace<'_>, command: &Command, args: &Args<'_>) -> bool {
    command.key_positions(args).into_iter().any(|at| {
        let shard = keyspace.locked().shards().shard_of_name(args.get(at));
        keyspace.locked().covers(shard) && keyspace.locked().observers(shard).is_awaited_widely(args.get(at))
    })
}

/// While `concerned`, widens the locks until they cover every shard that clients parked in them may need.
///
/// # Errors
/// If a script has one of them for too long.
#[cold]
pub fn widen<'s>(
    mut keyspace: Keyspace<'s>,
    server: &'s Server,
    concerned: impl Fn(&Keyspace<'s>) -> bool,
) -> Result<Keyspace<'s>, CommandError> {
    for round in 0.. {
        if keyspace.scope() == LockScope::All || !concerned(&keyspace) {
            break;
        }
        let locked = keyspace.locked();
        let needed: Vec<u16> = locked
            .shard_indices()
            .into_iter()
            .flat_map(|shard| locked.observers(shard).shards_needed())
            .collect();
        if needed.iter().all(|shard| locked.covers(*shard)) {
            break;
        }
        // Waiters come and go while the locks are released, so this may take several rounds.
        let scope = if round == WIDENING_ROUNDS_MAX {
            LockScope::All
        } else {
            locked.scope().union(LockScope::of(needed))
        };
        keyspace = keyspace.relock_in_time(&server.shards, scope).ok_or_else(|| scope::busy(server))?;
    }
    Ok(keyspace)
}

/// Registers the client of `call` at the keys it asked to wait for. Its command's locks are held.
pub fn park(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) {
    let Some(request) = call.block.take() else { return };
    let server = call.server;
    let positions = call.command.key_positions(&call.args);
    let only_takes = positions.len() == request.keys.len();
    let mut shards: Vec<u16> =
        positions.into_iter().map(|at| server.shards.shard_of_name(call.args.get(at))).collect();
    if only_takes && shards.iter().all(|shard| *shard == shards[0]) {
        shards.clear();
    }
    let parked = Parked {
        client: call.client.deputy(),
        commands: call.commands,
        command: call.command,
        args: rewritten(&call.args, &request.rewritten),
        keys: request.keys.clone(),
        kind: Some(request.kind),
        ready: request.ready,
        progress: None,
        on_timeout: request.on_timeout,
        deadline: request.deadline,
    };
    let next_look = parked.next_look(keyspace);
    let waiter = Arc::new(Waiter::new(shards, Box::new(parked)));
    for at in &request.keys {
        let key = call.key(*at);
        let shard = server.shards.shard_of(&key);
        keyspace
            .locked_mut()
            .with_observers(shard, |observers| observers.park(call.client.db, key.bytes, &waiter));
    }
    await_reply(call, waiter, next_look);
}

/// Answers the client of `call` when somebody has come far enough, or the time is over, or at once if it may not wait.
pub fn until(call: &mut Call<'_>, progress: Box<dyn Progress>, deadline: Option<MonotonicMs>) {
    if !call.origin.may_block() || progress.is_enough(call.server, call.worker) {
        progress.answer(call.server, &mut call.reply);
        return;
    }
    let parked = Parked {
        client: call.client.deputy(),
        commands: call.commands,
        command: call.command,
        args: call.args.to_owned(),
        keys: Vec::new(),
        kind: None,
        ready: None,
        progress: Some(progress),
        on_timeout: TimeoutReply::Null,
        deadline,
    };
    await_reply(call, Arc::new(Waiter::new(Vec::new(), Box::new(parked))), deadline);
}

fn await_reply(call: &mut Call<'_>, waiter: Arc<Waiter>, next_look: Option<MonotonicMs>) {
    call.server.parked_clients.fetch_add(1, Ordering::SeqCst);
    *call.client.shared.waiter.lock() = Some(Arc::clone(&waiter));
    call.outcome = Outcome::Blocked(waiter, next_look);
}

/// Whether a client waits for somebody to come far enough.
pub fn awaits_progress(waiter: &Waiter) -> bool {
    Parked::of(waiter).progress.is_some()
}

/// Whether that has been reached.
pub fn has_reached(server: &Server, worker: &WorkerShared, waiter: &Waiter) -> bool {
    Parked::of(waiter).progress.as_ref().is_some_and(|progress| progress.is_enough(server, worker))
}

/// Arguments, some of which are replaced.
fn rewritten(args: &Args<'_>, replaced: &[(usize, Vec<u8>)]) -> OwnedArgs {
    if replaced.is_empty() {
        return args.to_owned();
    }
    let mut words: Vec<&[u8]> = args.from(0).collect();
    replaced.iter().for_each(|(at, word)| words[*at] = word);
    OwnedArgs::from_words(&words)
}

/// Bytes kept of the command of a parked client.
pub fn held_bytes(waiter: &Waiter) -> usize {
    let parked = Parked::of(waiter);
    let args = parked.args.as_args();
    // The keys stand in the queues as well.
    let keys: usize = parked.keys.iter().map(|at| args.get(*at).len()).sum();
    size_of::<Parked>() + parked.args.held_bytes() + keys
}

/// Looks after a client that waits for a time as well as for a change. When to look next; `None`: its time is over.
pub fn look_again(server: &Server, worker: &WorkerShared, waiter: &Waiter) -> Option<Option<MonotonicMs>> {
    /// While nothing may change.
    const PAUSE_MS: u64 = 100;
    let parked = Parked::of(waiter);
    if parked.deadline.is_some_and(|deadline| deadline <= MonotonicMs::now()) {
        return None;
    }
    if server.conditions().contains(Conditions::PAUSED) {
        let next = MonotonicMs::now().after(PAUSE_MS);
        return Some(Some(parked.deadline.map_or(next, |deadline| deadline.min(next))));
    }
    let (db, args) = (parked.client.db, parked.args.as_args());
    let scope = scope::of(server, parked.command, &args, db);
    let view = || Some(Keyspace::new(server.shards.lock_in_time(scope.clone())?, clock::unix_ms()));
    // What a script has for too long is looked at later.
    let later = Some(Some(MonotonicMs::now().after(PAUSE_MS)));
    let Some(keyspace) = view() else { return later };
    let wide = widen(keyspace, server, |keyspace| concerns_wide_waiter(keyspace, parked.command, &args));
    let Ok(keyspace) = wide else { return later };
    changes::make(server, worker, keyspace, |keyspace| {
        parked.keys.iter().for_each(|at| keyspace.changes_mut().make_ready(db, args.get(*at)));
    });
    view().map_or(later, |keyspace| Some(parked.next_look(&keyspace)))
}

/// Ends the wait without serving; false when somebody has served the client, and its reply is on the way.
pub fn give_up(server: &Server, waiter: &Waiter) -> bool {
    claim(server, waiter, WaiterState::Gone)
}

fn claim(server: &Server, waiter: &Waiter, to: WaiterState) -> bool {
    let won = waiter.claim(to);
    if won {
        server.parked_clients.fetch_sub(1, Ordering::SeqCst);
    }
    won
}

/// Takes a waiter that is claimed out of the queues it still stands in. The caller holds no locks.
pub fn leave_queues(server: &Server, waiter: &Arc<Waiter>) {
    debug_assert!(!waiter.is_waiting(), "one that still waits would be forgotten");
    let parked = Parked::of(waiter);
    let leave = |observers: &mut Observers, waiter: &Waiter, at: usize| {
        let parked = Parked::of(waiter);
        observers.unpark(parked.client.db, parked.args.as_args().get(at), waiter);
    };
    for &at in &parked.keys {
        let shard = server.shards.shard_of_name(parked.args.as_args().get(at));
        if let Some(mut locked) = server.shards.lock_one_in_time(shard) {
            locked.with_observers(shard, |observers| leave(observers, waiter, at));
            continue;
        }
        let waiter = Arc::clone(waiter);
        server.departures.add(shard, move |observers| leave(observers, &waiter, at));
    }
}

/// CLIENT UNBLOCK: the client waits no longer from this moment on, and its worker answers it; false when it does
/// not wait. Takes no shard's lock.
pub fn unblock(server: &Server, client: &ClientShared, error: bool) -> bool {
    let waiter = client.waiter.lock().clone();
    let Some(waiter) = waiter.filter(|waiter| give_up(server, waiter)) else { return false };
    server.workers[client.worker].mailbox.send(Mail::Unblock { client: client.id, waiter, error });
    true
}

/// Writes what a parked client is answered when its time is over, and counts its command.
pub fn answer_in_vain(
    server: &Server,
    worker: &WorkerShared,
    waiter: &Waiter,
    error: bool,
    out: &mut Output,
) {
    let parked = Parked::of(waiter);
    let mut reply = Reply::new(out, parked.client.protocol);
    let stats = &worker.stats.commands[parked.command.index];
    stats.calls.add(1);
    if error {
        let text = b"UNBLOCKED client unblocked via CLIENT UNBLOCK";
        count::error(server, worker, text);
        stats.failed.add(1);
        reply.error(text);
        return;
    }
    if let Some(progress) = &parked.progress {
        return progress.answer(server, &mut reply);
    }
    match parked.on_timeout {
        TimeoutReply::Null => reply.null(),
        TimeoutReply::NullArray => reply.null_array(),
    }
}

/// Serves the clients parked on the keys that the changes so far have made ready. Serving changes the
/// keyspace too, so it goes on until nothing is ready; it ends because each round ends somebody's wait.
#[inline]
pub fn serve_ready(server: &Server, worker: &WorkerShared, keyspace: &mut KeyspaceMut<'_, '_>) {
    if keyspace.changes_mut().has_ready() {
        serve(server, worker, keyspace);
    }
}

#[cold]
fn serve(server: &Server, worker: &WorkerShared, keyspace: &mut KeyspaceMut<'_, '_>) {
    let mut ready: VecDeque<(u32, Box<[u8]>)> = keyspace.changes_mut().take_ready().into();
    // What a transaction pushed may have expired before it ended.
    keyspace.set_now_ms(clock::unix_ms());
    while let Some((db, bytes)) = ready.pop_front() {
        let key = server.shards.key(db, &bytes);
        let shard = server.shards.shard_of(&key);
        let mut behind: Option<Arc<Waiter>> = None;
        loop {
            // One that has expired is removed, so that it serves nobody.
            keyspace.live_entry(&key);
            let value = keyspace.stored(&key).map(|entry| entry.value());
            let now_ms = keyspace.now_ms();
            let wanted = |waiter: &Waiter| Parked::of(waiter).is_served_by(&bytes, value, now_ms);
            let first = keyspace.locked().observers(shard).first(db, &bytes, behind.as_deref(), wanted);
            let Some(waiter) = first else { break };
            keyspace.locked_mut().with_observers(shard, |observers| observers.unpark(db, &bytes, &waiter));
            // A client that was killed is gone for everybody, although its worker has not closed it yet.
            if Parked::of(&waiter).client.shared.killed.load(Ordering::SeqCst) {
                give_up(server, &waiter);
            } else if claim(server, &waiter, WaiterState::Served) {
                serve_one(server, worker, keyspace, &waiter);
                ready.extend(keyspace.changes_mut().take_ready());
            }
            // Whom the key did not serve before, it does not serve now, unless it is ready again.
            behind = Some(waiter);
        }
    }
    keyspace.refresh_observed();
}

/// Runs a parked client's command again and sends the reply to the worker that owns the client.
fn serve_one(
    server: &Server,
    worker: &WorkerShared,
    keyspace: &mut KeyspaceMut<'_, '_>,
    waiter: &Arc<Waiter>,
) {
    let started = Ticks::now();
    let parked = Parked::of(waiter);
    let mut client = parked.client.deputy();
    let mut output = Output::default();
    output.set_limit(server.config.output_bytes_max(ClientClass::Normal));
    let reply = Reply::new(&mut output, client.protocol);
    let (commands, command, args) = (parked.commands, parked.command, parked.args.as_args());
    let now_ms = keyspace.now_ms();
    let mut call =
        Call::new(commands, server, worker, &mut client, command, args, reply, now_ms, Origin::Parked);
    // Whoever has served it is not who does this.
    tracking::tell(server, worker, keyspace.changes_mut());
    let writer = worker.serving.swap(parked.client.id(), Ordering::Relaxed);
    if !admit::is_refused_when_served(&mut call) {
        let failed = guard::run(&mut call, |call| locks::handle_within(call, keyspace));
        count::call(&mut call, Ticks::now().since(started), failed);
    }
    let to = &parked.client.shared;
    let mail = Mail::Served { client: to.id, waiter: Arc::clone(waiter), reply: output };
    Outbox::send(server, to.worker, mail);
    // Behind the reply.
    tracking::tell(server, worker, keyspace.changes_mut());
    worker.serving.store(writer, Ordering::Relaxed);
}
