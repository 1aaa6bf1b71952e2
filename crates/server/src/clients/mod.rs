//! Clients: what a connection is to the commands it sends, and what others may see of it.
//!
//! [`Client`] belongs to the worker that owns the connection. [`ClientShared`] is the part that CLIENT LIST,
//! CLIENT KILL and their kin reach from any thread, through the [`Registry`]. A [`Subscriber`] is what publishers reach,
//! through the [`Channels`].

pub mod channels;
pub mod introduction;
mod memory;
mod registry;
pub mod telling;
pub mod tracking;
mod watched;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bitflags::bitflags;
use swytch_resp::Protocol;
use swytch_store::WatchFlag;

use crate::acl::{Rights, Seen, User, Users};
use crate::request::OwnedArgs;

pub use channels::{Channels, Subscriber};
use introduction::Introduction;
pub use memory::ClientMemory;
pub use registry::{ClientShared, Names, Registry};
use tracking::{Modes, Tracker};
pub use watched::WatchedKeys;

bitflags! {
    /// State of a connection that commands set.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ClientFlags: u32 {
        /// Close once everything is written.
        const CLOSE_AFTER_REPLY = 1 << 0;
        /// CLIENT REPLY OFF: answer nothing.
        const REPLY_OFF = 1 << 1;
        /// CLIENT REPLY SKIP: do not answer this command.
        const REPLY_SKIP = 1 << 2;
        /// CLIENT REPLY SKIP was just answered with silence: skip from the next command on.
        const REPLY_SKIP_NEXT = 1 << 3;
        /// CLIENT NO-TOUCH.
        const NO_TOUCH = 1 << 4;
        /// CLIENT NO-EVICT.
        const NO_EVICT = 1 << 5;
        /// Sees every command (MONITOR).
        const MONITOR = 1 << 6;
        /// Parked by a blocking command.
        const BLOCKED = 1 << 7;
        /// In a transaction (MULTI).
        const MULTI = 1 << 8;
        /// The transaction will be refused: a command in it was not accepted.
        const DIRTY_EXEC = 1 << 9;
        /// Came through the unix socket.
        const UNIX_SOCKET = 1 << 10;
        /// Its next command waits for the end of a pause (CLIENT PAUSE).
        const POSTPONED = 1 << 11;
        /// A watched key has changed; only set where flags are shown to others.
        const DIRTY_WATCH = 1 << 12;
        /// Its commands are recorded effects: expiry was decided where they were recorded.
        const REPLAYS = 1 << 13;
        /// Its last command took so long that the worker's time is no longer true.
        const TOOK_LONG = 1 << 14;
        /// Its command has changed conditions: whoever holds locks must be done before it is answered.
        const CHANGED_CONDITIONS = 1 << 15;
        /// Subscribed to a channel or pattern.
        const PUBSUB = 1 << 16;
        /// Tracks (CLIENT TRACKING).
        const TRACKING = 1 << 17;
        /// Is told of all names with its prefixes; only set where flags are shown to others, like the next one.
        const BROADCAST = 1 << 18;
        /// The client that is told instead is gone.
        const BROKEN_REDIRECTION = 1 << 19;
        /// Has spoken of its next command (CLIENT CACHING).
        const CACHING = 1 << 20;
        /// What it reads is noted.
        const NOTES_READS = 1 << 21;
        /// Follows the stream of effects (PSYNC).
        const FOLLOWER = 1 << 22;
        /// Has said that a replica may answer it (READONLY).
        const READS_ONLY = 1 << 23;
        /// Is told before the server ends (CLIENT MAINT_NOTIFICATIONS).
        const HEARS_OF_END = 1 << 24;
        /// CLIENT IMPORT-SOURCE: it says itself which keys go, as far as the server is in import mode.
        const IMPORT_SOURCE = 1 << 25;
        /// Wants to be told an address to go to when it is told of the end.
        const WANTS_ADDRESS = 1 << 26;
        /// What is to Redis some kind of replica.
        const REPLICAS = Self::FOLLOWER.bits() | Self::MONITOR.bits();
    }
}

impl ClientFlags {
    /// What holds for a client's command whoever runs it.
    const OF_DEPUTIES: ClientFlags = ClientFlags::NO_TOUCH
        .union(ClientFlags::IMPORT_SOURCE)
        .union(ClientFlags::UNIX_SOCKET)
        .union(ClientFlags::REPLAYS)
        .union(ClientFlags::NOTES_READS);
}

/// A command queued by MULTI.
#[derive(Debug)]
pub struct QueuedCommand {
    /// Its index in the table of commands.
    pub command: usize,
    /// Its arguments.
    pub args: OwnedArgs,
}

/// A client as its own commands see it.
#[derive(Debug)]
pub struct Client {
    /// What others see.
    pub shared: Arc<ClientShared>,
    /// Selected database.
    pub db: u32,
    /// Protocol of replies.
    pub protocol: Protocol,
    /// AUTH has succeeded or is not needed.
    pub authenticated: bool,
    /// Whom it is logged in as.
    pub user: Arc<User>,
    /// What that user might do when it was last asked.
    seen: Seen,
    /// State.
    pub flags: ClientFlags,
    /// Commands queued since MULTI.
    pub queue: Vec<QueuedCommand>,
    /// The database that those commands will have selected.
    pub queue_db: u32,
    /// Bytes that the commands in `queue` take.
    pub queued_bytes: u64,
    /// Keys watched.
    pub watched: WatchedKeys,
    /// Raised when a watched key changes.
    pub watch_flag: WatchFlag,
    /// How it tracks, if it does.
    pub tracker: Option<Arc<Tracker>>,
    /// How far it has written.
    pub wrote: Wrote,
    /// What it has said of itself (REPLCONF).
    pub introduction: Option<Box<Introduction>>,
    /// The time, in Unix microseconds, that all commands of the script or transaction have which runs for it.
    pub frozen_us: u64,
}

/// Places in the order of effects, as far as somebody reads it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wrote {
    /// Behind what a client has written with requests that were run before those that run now.
    pub until: u64,
    /// Behind what its thread has published before those that run now.
    pub lane_end: u64,
}

impl Wrote {
    /// Behind all that the client has written, if its thread has published what lies before `lane_end`.
    pub fn until_now(self, lane_end: u64) -> u64 {
        if lane_end > self.lane_end { lane_end } else { self.until }
    }
}

impl Client {
    /// A new connection's client.
    pub fn new(shared: Arc<ClientShared>, users: &Users) -> Client {
        Client::of(shared, Arc::clone(users.default()), users.lets_everybody_in())
    }

    /// A client that is this user.
    pub fn of(shared: Arc<ClientShared>, user: Arc<User>, authenticated: bool) -> Client {
        Client {
            shared,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated,
            user,
            seen: Seen::default(),
            flags: ClientFlags::empty(),
            frozen_us: 0,
            queue: Vec::new(),
            queue_db: 0,
            queued_bytes: 0,
            watched: WatchedKeys::default(),
            watch_flag: WatchFlag::default(),
            tracker: None,
            wrote: Wrote::default(),
            introduction: None,
        }
    }

    /// What stands for this client while its own worker has it: the same user with the same rights in the same database.
    /// The command of a parked client is run on its behalf by the thread that serves it.
    pub fn deputy(&self) -> Client {
        Client {
            db: self.db,
            protocol: self.protocol,
            flags: self.flags & ClientFlags::OF_DEPUTIES,
            ..Client::of(Arc::clone(&self.shared), Arc::clone(&self.user), self.authenticated)
        }
    }

    /// Its number, never used twice.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// It is this user from now on.
    pub fn become_user(&mut self, user: &Arc<User>, authenticated: bool) {
        *self.shared.user.lock() = Arc::clone(user);
        (self.user, self.seen, self.authenticated) = (Arc::clone(user), Seen::default(), authenticated);
    }

    /// What its user may do at present.
    pub fn rights(&mut self) -> Arc<Rights> {
        Arc::clone(self.user.look(&mut self.seen))
    }

    /// True when its commands are neither refused for want of a password, of rights or because it is subscribed or follows, nor
    /// queued.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.authenticated
            && self.user.is_free()
            && !self
                .flags
                .intersects(ClientFlags::MULTI.union(ClientFlags::PUBSUB).union(ClientFlags::FOLLOWER))
    }

    /// True when it may send nothing but what has to do with its subscriptions: under RESP2 a message cannot be told from
    /// a reply.
    pub fn only_listens(&self) -> bool {
        self.flags.contains(ClientFlags::PUBSUB) && self.protocol == Protocol::Resp2
    }

    /// Queues the command with this index for EXEC. It selects a database, or none.
    pub fn enqueue(&mut self, command: usize, args: OwnedArgs, selects: Option<u32>) {
        self.queue_db = selects.unwrap_or(self.queue_db);
        self.queued_bytes += (size_of::<QueuedCommand>() + args.held_bytes()) as u64;
        self.queue.push(QueuedCommand { command, args });
    }

    /// True between MULTI and EXEC.
    #[inline]
    pub fn in_multi(&self) -> bool {
        self.flags.contains(ClientFlags::MULTI)
    }

    /// Shows flags and database to other threads.
    pub fn publish(&self) {
        self.shared.db.store(self.db, Ordering::Relaxed);
        let mut flags = self.flags;
        flags.set(ClientFlags::DIRTY_WATCH, self.watch_flag.load(Ordering::Relaxed));
        let tracker = self.tracker.as_deref();
        let broadcast = |tracker: &Tracker| tracker.modes.contains(Modes::BROADCAST);
        flags.set(ClientFlags::BROADCAST, tracker.is_some_and(broadcast));
        flags.set(ClientFlags::BROKEN_REDIRECTION, tracker.is_some_and(Tracker::is_broken));
        self.shared.flags.store(flags.bits(), Ordering::Relaxed);
        let redirection = tracker.map_or(-1, |tracker| tracker.redirection_id() as i64);
        self.shared.redirection.store(redirection, Ordering::Relaxed);
        self.shared
            .queued
            .store(if self.in_multi() { self.queue.len() as i64 } else { -1 }, Ordering::Relaxed);
        self.shared.queued_bytes.store(self.queued_bytes, Ordering::Relaxed);
        self.shared.watched.store(self.watched.len() as u64, Ordering::Relaxed);
        let named_bytes = self.watched.bytes() + tracker.map_or(0, Tracker::prefix_bytes);
        self.shared.named_bytes.store(named_bytes as u64, Ordering::Relaxed);
        self.shared.protocol.store(if self.protocol == Protocol::Resp3 { 3 } else { 2 }, Ordering::Relaxed);
    }
}
