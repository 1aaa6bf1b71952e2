//! A worker: one thread, one event loop, its own connections.
//!
//! A turn of the loop waits for events, serves the connections that have some, reads its mail, and does
//! what time asks for. A connection's share of a turn is bounded in bytes and in time. One that has not come to its end
//! waits in a queue, behind those that ask for little: the queue is served for a bounded time between two looks at
//! events. Replies are written when a connection's share ends, but those of long shares wait for each other for a
//! bounded time.
//!
//! - `serve`: a connection's turn, from its bytes to its replies
//! - `output`: replies on their way out, and their limits; `held`: those that wait until what they tell of is safe
//! - `secure`: what is to be done about TLS
//! - `parked`: connections that wait before their next request may run
//! - `tick`: what time asks for (parked clients that give up, expiry, idle clients)
//!
//! A turn can take place inside another one: while a script of one connection runs for too long, the others are served
//! ([`Others`]). What a turn has before it is therefore in the worker's own queues and not in loops, and each thing is
//! taken out before it is done; the connection of the script is out of its slot. Scripts do not begin in such a turn, so
//! there is never a third.

mod held;
mod output;
mod parked;
mod secure;
mod serve;
mod tick;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use swytch_resp::output::CHUNK_BYTES;

use self::parked::Parked;
use super::arrivals::Arrivals;
use super::connection::{Connection, READ_BYTES};
use super::expiry::ExpiryCycle;
use super::stream::Stream;
use super::transport::Transport;
use crate::clients::{Client, ClientFlags, ClientShared};
use crate::command::{CommandTable, Others};
use crate::dispatch::{conditions, watch};
use crate::effects::Place;
use crate::server::{Mail, Outbox, Server, WAKE, WorkerShared};
use crate::system::clock::{self, MonotonicMs, Ticks};
use crate::system::process;

/// Events taken from the system at a time.
const EVENTS_MAX: usize = 1024;

/// Longest time that goes into requests of one connection before others have their turn, but for a single command.
const SHARE_US: u64 = 500;
/// A connection whose last share took longer than this waits behind the others.
const SLOW_US: u64 = 100;
/// Longest time that goes into connections that wait in the queue before there is a look at events, but for one share.
const QUEUE_US: u64 = 1000;
/// A share that took longer than this may leave its replies for later: a client that gets nothing for so long sleeps.
const LONG_US: u64 = 10;
/// Longest time that such replies wait for those of connections served after theirs, but for a single share.
const LATE_US: u64 = 200;

/// Shares of time, in ticks.
#[derive(Debug)]
struct Share {
    ticks: u64,
    slow_ticks: u64,
    queue_ticks: u64,
    long_ticks: u64,
    late_ticks: u64,
}

/// Pieces of mail for which a worker keeps the room: a burst of them gives it back.
const MAIL_KEPT_MAX: usize = 64;

/// What has happened to a connection.
#[derive(Clone, Copy, Debug)]
struct Happened {
    slot: usize,
    is_writable: bool,
    is_readable: bool,
    is_over: bool,
}

/// A worker thread's state.
#[derive(Debug)]
pub struct Worker<'s> {
    commands: &'static CommandTable,
    server: &'s Server,
    index: usize,
    poll: Poll,
    arrivals: Arc<Arrivals>,
    connections: Vec<Option<Box<Connection>>>,
    /// Where the connection of a client is in `connections`.
    slots: HashMap<u64, usize>,
    free_slots: Vec<usize>,
    /// Events of this turn that are still to be looked at.
    happened: VecDeque<Happened>,
    /// Mail that is still to be read.
    mail: VecDeque<Mail>,
    /// Others had a turn while a command ran.
    has_served_others: bool,
    /// Connections that wait.
    parked: Parked,
    /// Clients with replies that wait until everything before a place is safe.
    holding: BTreeSet<(Place, u64)>,
    /// Slots of connections that have more to do than their share of a turn, each once ([`Connection::is_queued`]).
    unfinished: VecDeque<usize>,
    /// Slots of connections whose replies are written when those after them have run ([`Connection::is_late`]).
    late: Vec<usize>,
    /// Since when the first of them waits.
    late_since: Ticks,
    share: Share,
    lent_input: Vec<u8>,
    lent_output: Vec<u8>,
    /// The turn's time, in Unix milliseconds: what commands go by.
    now_ms: u64,
    /// The turn's time: what timers go by.
    now: MonotonicMs,
    next_tick: MonotonicMs,
    expiry: ExpiryCycle,
    stopping: bool,
}

/// A connection is over: its peer has closed it, or the server has a reason to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End;

impl<'s> Worker<'s> {
    /// The worker with this index of `server`, to be given connections through `arrivals`, which may call `commands`.
    ///
    /// # Errors
    /// When it is already running.
    pub fn new(
        commands: &'static CommandTable,
        server: &'s Server,
        index: usize,
        arrivals: Arc<Arrivals>,
    ) -> io::Result<Worker<'s>> {
        let poll = server.workers[index]
            .mailbox
            .take_poll()
            .ok_or_else(|| io::Error::other("this worker is already running"))?;
        let now = MonotonicMs::now();
        Ok(Worker {
            commands,
            server,
            index,
            poll,
            arrivals,
            connections: Vec::new(),
            slots: HashMap::new(),
            free_slots: Vec::new(),
            happened: VecDeque::new(),
            mail: VecDeque::new(),
            has_served_others: false,
            parked: Parked::default(),
            holding: BTreeSet::new(),
            unfinished: VecDeque::new(),
            late: Vec::new(),
            late_since: Ticks::now(),
            share: Share {
                ticks: clock::us_to_ticks(SHARE_US),
                slow_ticks: clock::us_to_ticks(SLOW_US),
                queue_ticks: clock::us_to_ticks(QUEUE_US),
                long_ticks: clock::us_to_ticks(LONG_US),
                late_ticks: clock::us_to_ticks(LATE_US),
            },
            lent_input: Vec::with_capacity(READ_BYTES),
            lent_output: Vec::with_capacity(CHUNK_BYTES),
            now_ms: clock::unix_ms(),
            now,
            next_tick: now,
            expiry: ExpiryCycle::default(),
            stopping: false,
        })
    }

    /// Serves until the server stops.
    pub fn run(mut self) {
        self.shared().thread_id.store(process::thread_id(), Ordering::Relaxed);
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.stopping {
            match self.poll.poll(&mut events, Some(self.timeout())) {
                Ok(()) => self.turn(&events),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "waiting for events failed; this worker stops");
                    break;
                }
            }
        }
        for slot in 0..self.connections.len() {
            self.flush_before_stop(slot);
            self.close(slot);
        }
    }

    /// One round of the loop, between two quiescent points.
    fn turn(&mut self, events: &Events) {
        let began = Ticks::now();
        self.shared().epoch.enter();
        self.do_what_is_to_be_done(events);
        let shared = self.shared();
        shared.epoch.leave();
        shared.stats.turns.add(1);
        shared.stats.turn_ticks.add(Ticks::now().since(began));
    }

    fn do_what_is_to_be_done(&mut self, events: &Events) {
        self.read_clocks();
        self.happened.extend(events.iter().filter(|event| event.token() != WAKE).map(Happened::of));
        self.look_at_events();
        if self.shared().mailbox.has_mail() {
            self.mail.extend(self.shared().mailbox.take());
        }
        while let Some(mail) = self.mail.pop_front() {
            self.on_mail(mail);
            self.look_at_events();
        }
        if self.mail.capacity() > MAIL_KEPT_MAX {
            self.mail = VecDeque::new();
        }
        self.go_on();
        self.on_time();
        let shared = self.shared();
        shared.deadlines.store(self.parked.deadlines() as u64, Ordering::Relaxed);
        shared.turned.set(self.now);
    }

    fn look_at_events(&mut self) {
        while let Some(happened) = self.happened.pop_front() {
            self.on_event(happened);
        }
        self.write_late();
    }

    /// Goes on with connections that have more to do, each once at most.
    fn go_on(&mut self) {
        let began = Ticks::now();
        for _ in 0..self.unfinished.len() {
            let Some(slot) = self.unfinished.pop_front() else { return };
            if let Some(connection) = self.connection(slot) {
                connection.is_queued = false;
            }
            self.serve(slot);
            if Ticks::now().since(began) > self.share.queue_ticks {
                return;
            }
        }
    }

    fn read_clocks(&mut self) {
        self.now_ms = clock::unix_ms();
        self.now = MonotonicMs::now();
    }

    fn shared(&self) -> &'s WorkerShared {
        &self.server.workers[self.index]
    }

    fn connection(&mut self, slot: usize) -> Option<&mut Connection> {
        self.connections.get_mut(slot)?.as_deref_mut()
    }

    fn on_event(&mut self, happened: Happened) {
        let slot = happened.slot;
        if happened.is_writable {
            self.on_writable(slot);
        }
        if !(happened.is_readable || happened.is_over) {
            return;
        }
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        connection.unread = true;
        connection.hung_up |= happened.is_over;
        if !connection.is_slow && !connection.is_queued {
            self.serve(slot);
        } else if !connection.is_queued {
            connection.is_queued = true;
            self.unfinished.push_back(slot);
        }
    }

    fn on_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Arrivals => {
                for (transport, shared) in self.arrivals.take() {
                    self.adopt(transport, shared);
                }
            }
            Mail::Served { client, waiter, reply } => self.on_served(client, &waiter, reply),
            Mail::Unblock { client, waiter, error } => self.on_gave_up(client, &waiter, error),
            Mail::Deliver { client, bytes } => self.deliver(client, &bytes),
            Mail::Feed(client) => self.feed(client),
            Mail::Messages(clients) => self.deliver_messages(&clients),
            Mail::Close(client) => {
                // One that has left by itself is gone already.
                if let Some(&slot) = self.slots.get(&client) {
                    self.close(slot);
                }
            }
            Mail::Resume => self.resume(),
            Mail::Released => {
                self.release_held();
                self.answer_awaiting();
            }
            Mail::Stop => self.stopping = true,
        }
    }

    fn adopt(&mut self, mut transport: Transport, shared: Arc<ClientShared>) {
        let id = shared.id;
        let slot = self.free_slots.pop().unwrap_or(self.connections.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(transport.source(), Token(slot), interest) {
            tracing::warn!(%error, "a new connection could not be registered and is closed");
            conditions::closed(self.server, &shared);
            self.shared().connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let mut client = Client::new(shared, &self.server.users);
        client.flags.set(ClientFlags::UNIX_SOCKET, matches!(transport.stream(), Stream::Unix(_)));
        if slot == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[slot] = Some(Box::new(Connection::new(transport, client, self.now)));
        self.slots.insert(id, slot);
        self.happened.push_back(Happened { slot, is_writable: false, is_readable: true, is_over: false });
    }

    fn close(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else { return };
        let id = connection.client.id();
        self.slots.remove(&id);
        self.free_slots.push(slot);
        if connection.is_queued {
            self.unfinished.retain(|queued| *queued != slot);
        }
        self.wait_no_more(&mut connection, slot);
        if connection.is_late {
            // It has been answered, and ends in any case.
            let _ = connection.write(usize::MAX, self.released());
        }
        connection.transport.say_end();
        watch::discard(self.server, &mut connection.client);
        if connection.client.flags.contains(ClientFlags::FOLLOWER) {
            self.begin_to_feed(&mut connection);
            if let Some(follower) = connection.follower.take() {
                self.server.replication.leave(&follower);
            }
        }
        if connection.client.flags.contains(ClientFlags::MONITOR) {
            conditions::end_monitoring(self.server, id);
        }
        // Deregistering fails only for a descriptor that is already gone.
        let _ = self.poll.registry().deregister(connection.transport.source());
        conditions::closed(self.server, &connection.client.shared);
        self.shared().connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Others for Worker<'_> {
    fn serve(&mut self) {
        // What these do and tell is no part of what the script does.
        let _aside = Outbox::set_aside(self.server);
        let mut events = Events::with_capacity(EVENTS_MAX);
        match self.poll.poll(&mut events, Some(Duration::ZERO)) {
            Ok(()) => self.do_what_is_to_be_done(&events),
            // What was missed is found the next time.
            Err(error) => tracing::debug!(%error, "no events while a script runs"),
        }
        self.has_served_others = true;
    }
}

impl Happened {
    fn of(event: &Event) -> Happened {
        Happened {
            slot: event.token().0,
            is_writable: event.is_writable(),
            is_readable: event.is_readable(),
            is_over: event.is_read_closed() || event.is_error(),
        }
    }
}
