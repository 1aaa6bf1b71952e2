//! A worker: one thread, one event loop, its own connections.
//!
//! A turn of the loop waits for events, serves the connections that have some, reads its mail, and does
//! what time asks for (parked clients that give up, expiry, idle clients). What a turn does for one
//! connection is bounded; what is left is done in the next turn.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use swytch_resp::{Limits, Protocol, Reply};
use swytch_store::Waiter;

use super::connection::{Connection, KEPT_BYTES_MAX, READ_BYTES, ReadOutcome, Stream};
use super::expiry::ExpiryCycle;
use super::mailbox::{Mail, WAKE};
use crate::clients::{Client, ClientFlags, ClientShared};
use crate::command::Call;
use crate::config::ClientClass;
use crate::dispatch::execute::count_error;
use crate::dispatch::{Outcome, execute, park, transaction};
use crate::server::{Conditions, Server, WorkerShared};
use crate::system::clock::{self, Ticks};

/// Events taken from the system at a time.
const EVENTS_MAX: usize = 1024;
/// Bytes read from one connection before others have their turn.
const READ_BYTES_PER_TURN: usize = 4 << 20;
/// Longest wait without events: the worker looks after expiry and idle clients that often.
const TICK_MS: u64 = 100;
/// How often a fresh output buffer may double before it is written, in bytes.
const OUTPUT_BYTES_BEFORE_WRITE: usize = 256 * 1024;

/// Output up to this size is below every sensible limit and not compared with it after each command; Redis
/// does not count its first 16 kB either.
const OUTPUT_BYTES_UNLIMITED: usize = 16 * 1024;
/// Output that a client may leave unread before it has authenticated (Redis:
/// REPLY_BUFFER_SIZE_UNAUTHENTICATED_CLIENT).
const UNAUTHENTICATED_OUTPUT_BYTES_MAX: u64 = 1024;

/// A worker thread's state.
#[derive(Debug)]
pub struct Worker {
    server: Arc<Server>,
    index: usize,
    poll: Poll,
    connections: Vec<Option<Box<Connection>>>,
    /// Where the connection of a client is in `connections`.
    slots: HashMap<u64, usize>,
    free_slots: Vec<usize>,
    /// Deadlines of parked clients, with their slots.
    deadlines: BTreeSet<(u64, usize)>,
    /// Slots of connections with work left from the last turn.
    unfinished: Vec<usize>,
    /// Slots of connections whose request waits for the end of a pause.
    paused: Vec<usize>,
    lent_input: Vec<u8>,
    lent_output: Vec<u8>,
    now_ms: u64,
    next_tick_ms: u64,
    expiry: ExpiryCycle,
    stopping: bool,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer closed it, or the server was told to.
    Closed,
}

impl Worker {
    /// The worker with this index of `server`.
    ///
    /// # Errors
    /// When it is already running.
    pub fn new(server: Arc<Server>, index: usize) -> std::io::Result<Worker> {
        let poll = server.workers[index]
            .mailbox
            .take_poll()
            .ok_or_else(|| std::io::Error::other("this worker is already running"))?;
        let now_ms = clock::unix_ms();
        Ok(Worker {
            server,
            index,
            poll,
            connections: Vec::new(),
            slots: HashMap::new(),
            free_slots: Vec::new(),
            deadlines: BTreeSet::new(),
            unfinished: Vec::new(),
            paused: Vec::new(),
            lent_input: Vec::with_capacity(READ_BYTES),
            lent_output: Vec::with_capacity(READ_BYTES),
            now_ms,
            next_tick_ms: now_ms,
            expiry: ExpiryCycle::default(),
            stopping: false,
        })
    }

    fn shared(&self) -> &WorkerShared {
        &self.server.workers[self.index]
    }

    /// Serves until the server stops.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.stopping {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "waiting for events failed; this worker stops");
                    break;
                }
            }
            let turn_began = Ticks::now();
            self.now_ms = clock::unix_ms();
            self.shared().epoch.enter();
            for slot in std::mem::take(&mut self.unfinished) {
                self.serve(slot);
            }
            for event in &events {
                self.on_event(event);
            }
            if self.shared().mailbox.has_mail() {
                for mail in self.shared().mailbox.take() {
                    self.on_mail(mail);
                }
            }
            self.on_time();
            self.shared().deadlines.store(self.deadlines.len() as u64, Ordering::Relaxed);
            self.shared().epoch.leave();
            let stats = &self.shared().stats;
            self.shared().turned_ms.store(self.now_ms, Ordering::Relaxed);
            stats.turns.add(1);
            stats.turn_ticks.add(Ticks::now().since(turn_began));
        }
        for slot in 0..self.connections.len() {
            self.flush_before_stop(slot);
            self.close(slot);
        }
    }

    fn timeout(&self) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let mut until_ms = self.next_tick_ms.min(self.expiry.next_ms());
        if let Some(&(deadline_ms, _)) = self.deadlines.first() {
            until_ms = until_ms.min(deadline_ms);
        }
        Duration::from_millis(until_ms.saturating_sub(clock::unix_ms()).min(TICK_MS))
    }

    fn on_event(&mut self, event: &Event) {
        if event.token() == WAKE {
            return;
        }
        let slot = event.token().0;
        if event.is_writable()
            && self.connection(slot).is_some_and(|connection| connection.awaits_writable)
            && self.flush(slot).is_err()
        {
            return self.close(slot);
        }
        if event.is_read_closed()
            && self
                .connection(slot)
                .is_some_and(|connection| connection.client.flags.contains(ClientFlags::BLOCKED))
        {
            // A parked client is not read, so what it may still have sent would hide that it has hung up.
            return self.close(slot);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            if (event.is_read_closed() || event.is_error())
                && let Some(connection) = self.connection(slot)
            {
                connection.hung_up = true;
            }
            self.serve(slot);
        }
    }

    /// Reads, runs and answers what a connection has to say.
    fn serve(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else { return };
        let end = self.serve_connection(&mut connection, slot);
        self.connections[slot] = Some(connection);
        if end.is_err() {
            self.close(slot);
        }
    }

    fn connection(&mut self, slot: usize) -> Option<&mut Connection> {
        self.connections.get_mut(slot)?.as_deref_mut()
    }

    fn serve_connection(&mut self, connection: &mut Connection, slot: usize) -> Result<(), End> {
        connection.unread = true;
        connection.active_ms = self.now_ms;
        if connection.client.flags.contains(ClientFlags::BLOCKED) || connection.paused {
            return self.notice_hangup(connection);
        }
        self.lend(connection);
        let mut read_total = 0;
        let result = loop {
            // What was parsed or read before comes first.
            if let Err(end) = self.run_input(connection, slot) {
                break Err(end);
            }
            let waits = connection.client.flags.contains(ClientFlags::BLOCKED) || connection.paused;
            if waits && connection.hung_up {
                break self.part_with(connection);
            }
            if waits || !connection.unread || connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY)
            {
                break Ok(());
            }
            if read_total >= READ_BYTES_PER_TURN {
                self.unfinished.push(slot);
                break Ok(());
            }
            let (outcome, read) = connection.read();
            read_total += read;
            self.shared().stats.reads.add(1);
            // The system tells of the end once, possibly together with the last bytes.
            connection.unread = outcome == ReadOutcome::More || connection.hung_up;
            if outcome == ReadOutcome::Closed {
                break self.part_with(connection);
            }
            if let Err(end) = self.check_query_limit(connection) {
                break Err(end);
            }
        };
        self.shared().stats.input_bytes.add(read_total as u64);
        if read_total > 0 {
            let total = &connection.client.shared.input_total;
            total.store(total.load(Ordering::Relaxed) + read_total as u64, Ordering::Relaxed);
        }
        // First, because whoever has read the reply may look at what it has changed.
        connection.client.publish();
        if result.is_ok() {
            self.write_out(connection)?;
        } else if connection.output.capacity() > READ_BYTES {
            // What is not written is not kept.
            connection.output = Vec::with_capacity(READ_BYTES);
        }
        self.take_back(connection);
        connection.publish();
        result
    }

    /// The peer will send nothing more, but may still read: it gets the replies to what it has sent.
    fn part_with(&mut self, connection: &mut Connection) -> Result<(), End> {
        // The connection ends in any case.
        let _ = connection.write();
        Err(End::Closed)
    }

    /// A connection whose client waits is not read, but a peer that hangs up must be noticed.
    fn notice_hangup(&mut self, connection: &mut Connection) -> Result<(), End> {
        if connection.hung_up {
            return Err(End::Closed);
        }
        let mut byte = [0u8; 1];
        match rustix::net::recv(&connection.stream, &mut byte, rustix::net::RecvFlags::PEEK) {
            Ok((0, _)) => Err(End::Closed),
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                connection.unread = false;
                Ok(())
            }
            Err(_) => Err(End::Closed),
        }
    }

    /// Gives an idle connection the worker's buffers.
    fn lend(&mut self, connection: &mut Connection) {
        if connection.input.is_empty() && connection.input.capacity() < self.lent_input.capacity() {
            std::mem::swap(&mut connection.input, &mut self.lent_input);
        }
        if connection.output.is_empty() && connection.output.capacity() < self.lent_output.capacity() {
            std::mem::swap(&mut connection.output, &mut self.lent_output);
        }
    }

    /// Takes the worker's buffers back; what is left in them moves to buffers of the connection.
    fn take_back(&mut self, connection: &mut Connection) {
        if self.lent_input.capacity() < READ_BYTES {
            let kept = connection.input.as_slice().to_vec();
            self.lent_input = std::mem::replace(&mut connection.input, kept);
            self.lent_input.clear();
        }
        if self.lent_output.capacity() < READ_BYTES {
            let kept = connection.output.as_slice().to_vec();
            self.lent_output = std::mem::replace(&mut connection.output, kept);
            self.lent_output.clear();
        }
        for buffer in [&mut self.lent_input, &mut self.lent_output] {
            if buffer.capacity() > KEPT_BYTES_MAX {
                *buffer = Vec::with_capacity(READ_BYTES);
            }
        }
    }

    fn check_query_limit(&mut self, connection: &Connection) -> Result<(), End> {
        let limit = self.server.config.client_query_buffer_limit().min(u32::MAX as usize);
        if connection.input.len() <= limit {
            return Ok(());
        }
        tracing::warn!(
            client = connection.client.id(),
            "closing a client that exceeds client-query-buffer-limit"
        );
        self.shared().stats.query_limit_disconnections.add(1);
        Err(End::Closed)
    }

    /// Runs every complete request in the query buffer, until the client has to wait.
    fn run_input(&mut self, connection: &mut Connection, slot: usize) -> Result<(), End> {
        connection.batch.forget_buckets();
        loop {
            match run_batch(&self.server, self.shared(), connection, self.now_ms) {
                BatchEnd::Done => {}
                BatchEnd::Wrote(outcome, mark) => {
                    if self.after_command(connection, slot, outcome, mark)? {
                        return Ok(());
                    }
                    continue;
                }
            }
            if connection.client.shared.killed.load(Ordering::Relaxed) {
                return Err(End::Closed);
            }
            let limits = Limits {
                bulk_bytes_max: self.server.config.proto_max_bulk_len() as u64,
                authenticated: connection.client.authenticated,
            };
            let filled = connection.batch.fill(
                &self.server,
                &mut connection.parser,
                &mut connection.input,
                &limits,
                connection.client.db,
            );
            if !connection.batch.is_done() {
                // An error behind these requests is found again once they have run.
                continue;
            }
            if let Err(error) = filled {
                count_error(&self.server, self.shared(), &error.to_string());
                Reply::new(&mut connection.output, Protocol::Resp2).error(&format!("ERR {error}"));
                connection.client.flags |= ClientFlags::CLOSE_AFTER_REPLY;
                connection.input.clear();
                connection.parser = Default::default();
                return Ok(());
            }
            connection.compact_input();
            return Ok(());
        }
    }

    /// What is to be done after a command that has not simply answered; true when no more of the connection's requests
    /// may run now.
    fn after_command(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        outcome: Outcome,
        mark: usize,
    ) -> Result<bool, End> {
        if connection.client.flags.contains(ClientFlags::TOOK_LONG) {
            connection.client.flags -= ClientFlags::TOOK_LONG;
            self.now_ms = clock::unix_ms();
        }
        if connection.client.flags.intersects(SILENT) && !matches!(outcome, Outcome::Blocked(..)) {
            silence(connection, mark);
        }
        if let Outcome::Paused = outcome {
            connection.paused = true;
            connection.client.flags |= ClientFlags::POSTPONED;
            self.paused.push(slot);
            return Ok(true);
        }
        connection.batch.go_on_at(connection.batch.next() + 1);
        if let Outcome::Blocked(waiter, deadline_ms) = outcome {
            self.block(connection, slot, waiter, deadline_ms);
            return Ok(true);
        }
        if connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY) {
            return Ok(true);
        }
        if connection.output.len() > OUTPUT_BYTES_UNLIMITED {
            self.check_hard_output_limit(connection)?;
        }
        if connection.output.len() > OUTPUT_BYTES_BEFORE_WRITE {
            self.write_out(connection)?;
        }
        Ok(false)
    }

    fn block(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        waiter: Arc<Waiter>,
        deadline_ms: Option<u64>,
    ) {
        connection.client.waiter = Some(waiter);
        connection.client.flags |= ClientFlags::BLOCKED;
        connection.deadline_ms = deadline_ms;
        if let Some(deadline_ms) = deadline_ms {
            self.deadlines.insert((deadline_ms, slot));
        }
        connection.compact_input();
    }

    /// Writes what a connection has to say and applies the limits to what the peer does not read.
    fn write_out(&mut self, connection: &mut Connection) -> Result<(), End> {
        if connection.pending_output() > 0 && !connection.awaits_writable {
            self.shared().stats.writes.add(1);
            let written = connection.write().map_err(|()| End::Closed)?;
            self.shared().stats.output_bytes.add(written as u64);
            let total = &connection.client.shared.output_total;
            total.store(total.load(Ordering::Relaxed) + written as u64, Ordering::Relaxed);
        }
        if connection.pending_output() == 0 {
            connection.over_soft_limit_since_ms = None;
            if connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY) {
                return Err(End::Closed);
            }
            return Ok(());
        }
        self.check_output_limit(connection)
    }

    /// A reply over the hard limit closes the connection before anything of it is written, as in Redis.
    #[cold]
    fn check_hard_output_limit(&self, connection: &Connection) -> Result<(), End> {
        let hard_bytes = self.server.config.output_buffer_limit(ClientClass::Normal).hard_bytes;
        if hard_bytes == 0 || connection.pending_output() as u64 <= hard_bytes {
            return Ok(());
        }
        self.close_for_output(connection)
    }

    fn close_for_output(&self, connection: &Connection) -> Result<(), End> {
        tracing::warn!(
            client = connection.client.id(),
            pending_bytes = connection.pending_output(),
            "closing a client that does not read its replies (client-output-buffer-limit)"
        );
        self.shared().stats.output_limit_disconnections.add(1);
        Err(End::Closed)
    }

    fn check_output_limit(&mut self, connection: &mut Connection) -> Result<(), End> {
        let pending = connection.pending_output() as u64;
        let limit = self.server.config.output_buffer_limit(ClientClass::Normal);
        let over_soft = limit.soft_bytes > 0 && pending > limit.soft_bytes;
        if !over_soft {
            connection.over_soft_limit_since_ms = None;
        }
        let since_ms = *connection.over_soft_limit_since_ms.get_or_insert(self.now_ms);
        let soft_reached = over_soft && self.now_ms - since_ms >= limit.soft_seconds * 1000;
        if !over_soft {
            connection.over_soft_limit_since_ms = None;
        }
        let unknown = !connection.client.authenticated && pending > UNAUTHENTICATED_OUTPUT_BYTES_MAX;
        if unknown || soft_reached || (limit.hard_bytes > 0 && pending > limit.hard_bytes) {
            return self.close_for_output(connection);
        }
        Ok(())
    }

    fn flush(&mut self, slot: usize) -> Result<(), End> {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else {
            return Ok(());
        };
        connection.awaits_writable = false;
        let result = self.write_out(&mut connection);
        connection.publish();
        self.connections[slot] = Some(connection);
        result
    }

    /// Gives a client that is to be told something at shutdown a last chance to be told.
    fn flush_before_stop(&mut self, slot: usize) {
        if let Some(connection) = self.connection(slot) {
            // The connection ends in any case.
            let _ = connection.write();
        }
    }

    fn on_mail(&mut self, mail: Mail) {
        let client = match &mail {
            Mail::Connection(..) | Mail::Resume | Mail::Stop => None,
            Mail::Served { client, .. } | Mail::Unblock { client, .. } | Mail::Deliver { client, .. } => {
                Some(*client)
            }
            Mail::Close(client) => Some(*client),
        };
        // Mail for a client that has left is dropped; a parked one was taken out of its queues when it left.
        let slot = match client {
            Some(client) => match self.slots.get(&client) {
                Some(slot) => *slot,
                None => return,
            },
            None => usize::MAX,
        };
        match mail {
            Mail::Connection(stream, shared) => self.adopt(stream, shared),
            Mail::Served { waiter, reply, .. } => self.on_served(slot, &waiter, &reply),
            Mail::Unblock { waiter, error, .. } => self.on_gave_up(slot, &waiter, error),
            Mail::Deliver { bytes, .. } => {
                let Some(connection) = self.connection(slot) else { return };
                connection.output.extend_from_slice(&bytes);
                if self.flush(slot).is_err() {
                    self.close(slot);
                }
            }
            Mail::Close(_) => self.close(slot),
            Mail::Resume => self.resume(),
            Mail::Stop => self.stopping = true,
        }
    }

    fn adopt(&mut self, mut stream: Stream, shared: Arc<ClientShared>) {
        let id = shared.id;
        let slot = self.free_slots.pop().unwrap_or(self.connections.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(slot), interest) {
            tracing::warn!(%error, "a new connection could not be registered and is closed");
            self.server.clients.remove(id);
            self.shared().connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let authenticated = self.server.config.requirepass().is_none_or(|password| password.is_empty());
        let mut client = Client::new(shared, authenticated);
        client.flags.set(ClientFlags::UNIX_SOCKET, matches!(stream, Stream::Unix(_)));
        if slot == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[slot] = Some(Box::new(Connection::new(stream, client, self.now_ms)));
        self.slots.insert(id, slot);
        self.serve(slot);
    }

    /// A parked client was served: its reply goes out and its next requests are run.
    fn on_served(&mut self, slot: usize, waiter: &Arc<Waiter>, reply: &[u8]) {
        if self.is_parked_as(slot, waiter) {
            park::leave_queues(&self.server, waiter);
            self.unblock(slot, reply);
        }
    }

    /// False for mail that has come too late: the slot has another client, or the client waits for something else.
    fn is_parked_as(&mut self, slot: usize, waiter: &Arc<Waiter>) -> bool {
        self.connection(slot)
            .and_then(|connection| connection.client.waiter.as_ref())
            .is_some_and(|mine| Arc::ptr_eq(mine, waiter))
    }

    fn unblock(&mut self, slot: usize, reply: &[u8]) {
        let Some(connection) = self.connection(slot) else { return };
        connection.client.waiter = None;
        *connection.client.shared.waiter.lock() = None;
        connection.client.flags &= !ClientFlags::BLOCKED;
        let mark = connection.output.len();
        connection.output.extend_from_slice(reply);
        if connection.client.flags.intersects(SILENT) {
            silence(connection, mark);
        }
        if let Some(deadline_ms) = connection.deadline_ms.take() {
            self.deadlines.remove(&(deadline_ms, slot));
        }
        self.serve(slot);
    }

    /// The time of a parked client is over.
    fn give_up(&mut self, slot: usize) {
        let Some(connection) = self.connection(slot) else { return };
        let Some(waiter) = connection.client.waiter.clone() else { return };
        // If somebody was faster, the reply is in the mail.
        if park::give_up(&self.server, &waiter) {
            self.on_gave_up(slot, &waiter, false);
        }
    }

    /// A parked client has stopped waiting: its time is over, or CLIENT UNBLOCK said so.
    fn on_gave_up(&mut self, slot: usize, waiter: &Arc<Waiter>, error: bool) {
        if self.is_parked_as(slot, waiter) {
            park::leave_queues(&self.server, waiter);
            let mut reply = Vec::new();
            park::answer_in_vain(&self.server, self.shared(), waiter, error, &mut reply);
            self.unblock(slot, &reply);
        }
    }

    fn resume(&mut self) {
        for slot in std::mem::take(&mut self.paused) {
            if let Some(connection) = self.connection(slot) {
                connection.paused = false;
                connection.client.flags -= ClientFlags::POSTPONED;
            }
            self.serve(slot);
        }
    }

    fn close(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else { return };
        let id = connection.client.id();
        self.slots.remove(&id);
        self.free_slots.push(slot);
        if let Some(waiter) = connection.client.waiter.take() {
            park::give_up(&self.server, &waiter);
            park::leave_queues(&self.server, &waiter);
        }
        if let Some(deadline_ms) = connection.deadline_ms.take() {
            self.deadlines.remove(&(deadline_ms, slot));
        }
        transaction::discard(&self.server, &mut connection.client);
        if connection.client.flags.contains(ClientFlags::MONITOR) {
            self.server.remove_monitor(id);
        }
        // Deregistering fails only for a descriptor that is already gone.
        let _ = self.poll.registry().deregister(&mut connection.stream);
        self.server.clients.remove(id);
        self.shared().connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// What time asks for.
    fn on_time(&mut self) {
        while let Some(&(deadline_ms, slot)) = self.deadlines.first() {
            if deadline_ms > self.now_ms {
                break;
            }
            self.deadlines.pop_first();
            if let Some(connection) = self.connection(slot) {
                connection.deadline_ms = None;
            }
            self.give_up(slot);
        }
        if self.now_ms >= self.next_tick_ms {
            self.next_tick_ms = self.now_ms + self.tick_ms();
            self.on_tick();
        }
        let tick_ms = self.tick_ms();
        self.expiry.run(&self.server, self.index, self.now_ms, tick_ms);
    }

    /// Milliseconds between two looks at expiry and idle clients: as `hz` says, but never rare.
    fn tick_ms(&self) -> u64 {
        (1000 / u64::from(self.server.config.hz())).clamp(1, TICK_MS)
    }

    fn on_tick(&mut self) {
        if self.index == 0 {
            self.server.check_memory();
            self.server.sample_rates(self.now_ms);
            let conditions = self.server.conditions();
            if conditions.contains(Conditions::PAUSED) {
                self.server.end_pause_if_over(self.now_ms);
            }
        }
        self.close_idle();
    }

    fn close_idle(&mut self) {
        let timeout_ms = self.server.config.timeout_seconds() * 1000;
        let mut doomed = Vec::new();
        let mut over = Vec::new();
        for (slot, connection) in self.connections.iter().enumerate() {
            let Some(connection) = connection else { continue };
            let killed = connection.client.shared.killed.load(Ordering::Relaxed);
            let waits = connection.client.flags.intersects(ClientFlags::BLOCKED | ClientFlags::MONITOR);
            let idle_ms = self.now_ms.saturating_sub(connection.active_ms);
            if killed || (timeout_ms > 0 && !waits && idle_ms > timeout_ms) {
                doomed.push(slot);
            } else if connection.over_soft_limit_since_ms.is_some() {
                over.push(slot);
            }
        }
        for slot in over {
            if self.flush(slot).is_err() {
                doomed.push(slot);
            }
        }
        doomed.into_iter().for_each(|slot| self.close(slot));
    }
}

/// Where the running of a batch has stopped.
enum BatchEnd {
    /// All its requests have run.
    Done,
    /// At a request after which something is to be done; its reply begins at this byte of the output.
    Wrote(Outcome, usize),
}

/// Runs a batch's requests as long as each simply answers: the innermost loop of the server, kept small so that what it
/// needs stays in registers.
#[inline(never)]
fn run_batch(server: &Server, worker: &WorkerShared, connection: &mut Connection, now_ms: u64) -> BatchEnd {
    let mut clock = Ticks::now();
    let mut next = connection.batch.next();
    let (batch, input) = (&connection.batch, &connection.input);
    let (client, output) = (&mut connection.client, &mut connection.output);
    let mut call = Call::without_request(server, worker, client, output, now_ms);
    let end = loop {
        let Some(request) = batch.request(next, input) else { break BatchEnd::Done };
        let mark = call.reply.mark();
        let outcome = execute(&mut call, request, &mut clock);
        if !matches!(outcome, Outcome::Done)
            || call.reply.mark() > OUTPUT_BYTES_UNLIMITED
            || call.client.flags.intersects(AFTER_COMMAND)
        {
            break BatchEnd::Wrote(outcome, mark);
        }
        next += 1;
        batch.prefetch_ahead(next);
    };
    connection.batch.go_on_at(next);
    end
}

/// Replies are taken back while any of these is set.
const SILENT: ClientFlags =
    ClientFlags::REPLY_OFF.union(ClientFlags::REPLY_SKIP).union(ClientFlags::REPLY_SKIP_NEXT);

/// Something is to be done after a command while any of these is set.
const AFTER_COMMAND: ClientFlags = SILENT.union(ClientFlags::CLOSE_AFTER_REPLY).union(ClientFlags::TOOK_LONG);

/// Takes back the reply of a command whose client does not want one (CLIENT REPLY).
#[cold]
fn silence(connection: &mut Connection, mark: usize) {
    let flags = &mut connection.client.flags;
    if flags.contains(ClientFlags::REPLY_OFF) {
        connection.output.truncate(mark);
    } else if flags.contains(ClientFlags::REPLY_SKIP_NEXT) {
        // CLIENT REPLY SKIP itself is silent; the command after it is the one to skip.
        connection.output.truncate(mark);
        *flags &= !ClientFlags::REPLY_SKIP_NEXT;
        *flags |= ClientFlags::REPLY_SKIP;
    } else if flags.contains(ClientFlags::REPLY_SKIP) {
        connection.output.truncate(mark);
        *flags &= !ClientFlags::REPLY_SKIP;
    }
}
