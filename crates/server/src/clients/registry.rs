//! All connected clients, as other threads see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use swytch_store::Waiter;

use super::{ClientFlags, Subscriber};
use crate::acl::User;
use crate::system::clock::{AtomicMonotonicMs, MonotonicMs};

/// Texts a client or its commands set about itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub library_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub library_version: Vec<u8>,
}

/// The part of a client that any thread may read, and that its worker keeps up to date.
#[derive(Debug)]
pub struct ClientShared {
    /// Its number, never used twice.
    pub id: u64,
    /// The worker that owns the connection.
    pub worker: usize,
    /// The peer's address.
    pub address: String,
    /// The address it connected to.
    pub local_address: String,
    /// File descriptor, for CLIENT LIST alone.
    pub fd: i32,
    /// When it connected.
    pub created: MonotonicMs,
    /// When it last sent something.
    pub active: AtomicMonotonicMs,
    /// Selected database.
    pub db: AtomicU32,
    /// [`ClientFlags`].
    pub flags: AtomicU32,
    /// Commands queued, or -1 outside of a transaction.
    pub queued: AtomicI64,
    /// Bytes of the arguments of queued commands.
    pub queued_bytes: AtomicU64,
    /// Keys watched.
    pub watched: AtomicU64,
    /// The client that is told instead of it what it has read and is no longer true, 0 for none; -1 when it does not track.
    pub redirection: AtomicI64,
    /// 2 or 3.
    pub protocol: AtomicU8,
    /// Index of the last command, or `usize::MAX`.
    pub last_command: AtomicUsize,
    /// Bytes of the names of keys that it watches, and of the prefixes that it tracks by.
    pub named_bytes: AtomicU64,
    /// What [`ClientMemory`](super::ClientMemory) has counted of it.
    pub counted_bytes: AtomicU64,
    /// Bytes of unprocessed input.
    pub query_bytes: AtomicU64,
    /// Capacity of the query buffer.
    pub query_capacity: AtomicU64,
    /// Bytes of arguments of a command that has not fully arrived, or is queued or parked.
    pub argument_bytes: AtomicU64,
    /// Bytes held beside the buffers: where arguments lie, and what a parked command keeps.
    pub held_bytes: AtomicU64,
    /// Bytes of replies not yet written.
    pub output_bytes: AtomicU64,
    /// Memory that the replies hold, without values of the keyspace that they refer to.
    pub output_held_bytes: AtomicU64,
    /// Chunks of replies before the buffer that is being written.
    pub output_chunks: AtomicU64,
    /// Bytes read in all.
    pub input_total: AtomicU64,
    /// Bytes written in all.
    pub output_total: AtomicU64,
    /// Commands run.
    pub commands: AtomicU64,
    /// Set by CLIENT KILL, and once the connection is closed.
    pub killed: AtomicBool,
    /// It has said QUIT: whoever has read the reply to that counts it as gone.
    pub leaves: AtomicBool,
    /// What the client is parked as, or was last.
    pub waiter: Mutex<Option<Arc<Waiter>>>,
    /// Names.
    pub names: Mutex<Names>,
    /// Whom it is logged in as.
    pub user: Mutex<Arc<User>>,
    /// What it is to those who tell it something, once it has subscribed to anything or was told anything.
    pub subscriber: OnceLock<Arc<Subscriber>>,
}

impl ClientShared {
    /// Of a client that has just connected.
    pub fn new(
        id: u64,
        worker: usize,
        address: String,
        local_address: String,
        fd: i32,
        user: Arc<User>,
    ) -> ClientShared {
        let now = MonotonicMs::now();
        ClientShared {
            id,
            worker,
            address,
            local_address,
            fd,
            created: now,
            active: AtomicMonotonicMs::new(now),
            db: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            queued: AtomicI64::new(-1),
            queued_bytes: AtomicU64::new(0),
            watched: AtomicU64::new(0),
            redirection: AtomicI64::new(-1),
            protocol: AtomicU8::new(2),
            last_command: AtomicUsize::new(usize::MAX),
            named_bytes: AtomicU64::new(0),
            counted_bytes: AtomicU64::new(0),
            query_bytes: AtomicU64::new(0),
            query_capacity: AtomicU64::new(0),
            argument_bytes: AtomicU64::new(0),
            held_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            output_held_bytes: AtomicU64::new(0),
            output_chunks: AtomicU64::new(0),
            input_total: AtomicU64::new(0),
            output_total: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            waiter: Mutex::default(),
            names: Mutex::default(),
            user: Mutex::new(user),
            subscriber: OnceLock::new(),
        }
    }

    /// Bytes of memory that the client takes: itself, its buffers, what it has queued, watches, is parked with or
    /// subscribed to.
    pub fn memory_bytes(&self) -> u64 {
        let parts = [
            &self.query_capacity,
            &self.held_bytes,
            &self.queued_bytes,
            &self.named_bytes,
            &self.output_held_bytes,
        ];
        size_of::<Self>() as u64
            + parts.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum::<u64>()
            + self.subscriber.get().map_or(0, |subscriber| subscriber.memory_bytes())
    }

    /// Its flags, as its worker has last shown them.
    pub fn flags(&self) -> ClientFlags {
        ClientFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// True when it follows (PSYNC): what it holds is the business of replication.
    pub fn is_follower(&self) -> bool {
        self.flags().contains(ClientFlags::FOLLOWER)
    }

    /// What it is to those who tell it something, from now on.
    pub fn as_subscriber(&self) -> &Arc<Subscriber> {
        self.subscriber.get_or_init(|| Arc::new(Subscriber::new(self.id, self.worker)))
    }

    /// True when it connected from this machine: through the unix socket or the loopback interface.
    pub fn is_local(&self) -> bool {
        match self.address.parse::<SocketAddr>() {
            Ok(address) => address.ip().to_canonical().is_loopback(),
            Err(_) => true,
        }
    }
}

/// All clients.
#[derive(Debug, Default)]
pub struct Registry {
    clients: Mutex<BTreeMap<u64, Arc<ClientShared>>>,
    /// Clients that were killed and whose connections are not closed yet.
    dying: Mutex<usize>,
    next_id: AtomicU64,
    connected: AtomicUsize,
    /// Connections accepted since start.
    pub accepted: AtomicU64,
    /// Connections refused because of `maxclients`.
    pub rejected: AtomicU64,
}

impl Registry {
    /// A client number that was never used.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds a connected client.
    pub fn add(&self, client: &Arc<ClientShared>) {
        self.clients.lock().insert(client.id, Arc::clone(client));
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes one that has disconnected.
    pub fn remove(&self, id: u64) {
        if self.clients.lock().remove(&id).is_some() {
            self.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Number of connected clients.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// All clients in order of their numbers.
    pub fn snapshot(&self) -> Vec<Arc<ClientShared>> {
        self.clients.lock().values().cloned().collect()
    }

    /// Calls `look` for each client, in order of their numbers, while nobody can connect or leave.
    pub fn for_each(&self, look: impl FnMut(&Arc<ClientShared>)) {
        self.clients.lock().values().for_each(look);
    }

    /// Bytes of memory that all of them take: those who send commands, and those who follow.
    pub fn memory_bytes(&self) -> [u64; 2] {
        let mut bytes = [0; 2];
        self.for_each(|client| bytes[usize::from(client.is_follower())] += client.memory_bytes());
        bytes
    }

    /// One client.
    pub fn get(&self, id: u64) -> Option<Arc<ClientShared>> {
        self.clients.lock().get(&id).cloned()
    }

    /// A client is gone for everybody at once, although its worker has not closed the connection yet: `dying` is told
    /// whether there are such clients, under a lock that keeps what it does in order.
    pub fn kill(&self, client: &ClientShared, dying: impl FnOnce(bool)) {
        self.remove(client.id);
        let mut count = self.dying.lock();
        if !client.killed.swap(true, Ordering::SeqCst) {
            *count += 1;
            dying(true);
        }
    }

    /// The connection of a client is closed.
    pub fn close(&self, client: &ClientShared, dying: impl FnOnce(bool)) {
        self.remove(client.id);
        let mut count = self.dying.lock();
        // Whoever is the first to set the flag decides whether it was killed.
        if client.killed.swap(true, Ordering::SeqCst) {
            *count -= 1;
            dying(*count > 0);
        }
    }
}
