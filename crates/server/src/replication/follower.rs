//! One follower: what is known of it, and how far it has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::transfer::Transfer;
use crate::clients::ClientShared;
use crate::clients::introduction::Introduction;
use crate::system::clock::{AtomicMonotonicMs, MonotonicMs};

/// [`Follower::needs_from`] of one that needs nothing of the stream yet.
pub(super) const NOTHING: u64 = u64::MAX;

/// A client that follows.
#[derive(Debug)]
pub struct Follower {
    /// Its connection.
    pub client: Arc<ClientShared>,
    /// What it has said of itself.
    pub introduction: Introduction,
    /// It has said SYNC: it is told no name and no position, and acknowledges nothing.
    pub is_plain: bool,
    pub(super) reading: Mutex<Reading>,
    /// From where on it needs the stream.
    pub(super) needs_from: AtomicU64,
    /// It has been given all there was.
    pub(super) is_hungry: AtomicBool,
    /// It is to be sent a line end, so that it does not think that nobody is there.
    pub(super) is_to_wait: AtomicBool,
    /// One more than how much of the stream it says that it has, and that is in its log; 0 while it has said nothing: who has been
    /// sent all before the first position need not have read it.
    acknowledged: AtomicU64,
    in_log: AtomicU64,
    /// When it said that last.
    heard: AtomicMonotonicMs,
    /// Since when it has been over the soft limit of outputs.
    over_soft_limit_since: Mutex<Option<MonotonicMs>>,
}

/// What a follower reads.
#[derive(Debug)]
pub(super) enum Reading {
    /// Nothing yet: since this time it is to have the data.
    Waits(MonotonicMs),
    /// The data.
    Receives(Arc<Transfer>),
    /// Nothing, until it says that it has the data; then the stream from this position on.
    Loads(u64),
    /// The stream from this position on.
    Streams(u64),
    /// Nothing any more.
    Ended,
}

/// How far a follower is, as INFO names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for the data, or is sent it while it is written.
    Waits,
    /// It is sent the data from a file.
    Receives,
    /// It has the data, and reads the stream.
    Online,
}

impl Phase {
    /// Its name in INFO.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Waits => "wait_bgsave",
            Phase::Receives => "send_bulk",
            Phase::Online => "online",
        }
    }
}

impl Follower {
    pub(super) fn new(
        client: &Arc<ClientShared>,
        introduction: Introduction,
        is_plain: bool,
        reading: Reading,
    ) -> Follower {
        let from = if let Reading::Streams(from) = reading { from } else { NOTHING };
        Follower {
            client: Arc::clone(client),
            introduction,
            is_plain,
            reading: Mutex::new(reading),
            needs_from: AtomicU64::new(from),
            is_hungry: AtomicBool::new(false),
            is_to_wait: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            in_log: AtomicU64::new(0),
            heard: AtomicMonotonicMs::new(MonotonicMs::now()),
            over_soft_limit_since: Mutex::default(),
        }
    }

    /// It says that it has the stream up to a position.
    pub fn acknowledge(&self, until: u64) {
        self.acknowledged.fetch_max(until.saturating_add(1), Ordering::SeqCst);
        self.heard.set(MonotonicMs::now());
        let mut reading = self.reading.lock();
        if let Reading::Loads(from) = *reading {
            *reading = Reading::Streams(from);
        }
    }

    /// How much of the stream it says that it has.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst).saturating_sub(1)
    }

    /// Whether it says that it has all before a position.
    pub fn has(&self, position: u64) -> bool {
        self.acknowledged.load(Ordering::SeqCst) > position
    }

    /// It says that it has the stream up to a position in its log.
    pub fn acknowledge_log(&self, until: u64) {
        self.in_log.fetch_max(until.saturating_add(1), Ordering::SeqCst);
    }

    /// Whether it says that all before a position is in its log.
    pub fn has_in_log(&self, position: u64) -> bool {
        self.in_log.load(Ordering::SeqCst) > position
    }

    /// How far it is; nothing once it follows no more.
    pub fn phase(&self) -> Option<Phase> {
        match *self.reading.lock() {
            Reading::Receives(ref transfer) if transfer.is_sent_from_file() => Some(Phase::Receives),
            Reading::Waits(_) | Reading::Receives(_) => Some(Phase::Waits),
            Reading::Loads(_) | Reading::Streams(_) => Some(Phase::Online),
            Reading::Ended => None,
        }
    }

    /// Milliseconds since it was heard of.
    pub fn silent_ms(&self, now: MonotonicMs) -> u64 {
        now.since(self.heard.get())
    }

    /// It is told that it has to wait.
    pub fn let_wait(&self) {
        self.is_to_wait.store(true, Ordering::SeqCst);
    }

    /// It is, or is not, over the soft limit of outputs; for how many milliseconds it has been, if it is.
    pub fn is_over_for(&self, is_over: bool) -> Option<u64> {
        let mut since = self.over_soft_limit_since.lock();
        let now = MonotonicMs::now();
        *since = is_over.then(|| since.unwrap_or(now));
        since.map(|since| now.since(since))
    }

    /// It is not taken for silent because of the time that it was sent the data.
    pub(super) fn begin_to_count(&self) {
        self.heard.set(MonotonicMs::now());
    }

    /// The address and the port where others reach it.
    pub fn address(&self) -> (String, u16) {
        let host = || self.client.address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
        let announced = self.introduction.address.clone();
        let host = announced.unwrap_or_else(|| host().trim_matches(['[', ']']).to_owned());
        (host, self.introduction.port)
    }
}
