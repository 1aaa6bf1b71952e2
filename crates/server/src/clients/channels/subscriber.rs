//! A client that others have something to tell: what it is subscribed to, and the inbox that they fill.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use swytch_resp::PushMessage;

use super::run::Part;
use crate::clients::telling::{self, News};

/// What a client can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel (SUBSCRIBE).
    Channel,
    /// All channels whose names match a pattern (PSUBSCRIBE).
    Pattern,
    /// A shard channel (SSUBSCRIBE).
    ShardChannel,
}

pub(super) const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::ShardChannel];

/// Places that an empty inbox keeps.
const KEPT_PLACES_MAX: usize = 8;

/// What a client is told by others.
#[derive(Clone, Debug)]
pub enum Message {
    /// A message was published.
    Published(PushMessage),
    /// Several were, to one channel.
    Several(Part),
    /// What was read of these keys is no longer true; without names, whatever was read.
    Stale {
        /// The names of the keys.
        names: Option<Arc<[Box<[u8]>]>>,
        /// Another client is told through this one.
        is_redirected: bool,
    },
    /// The client with this number is gone, which was to be told what was read and is no longer true.
    RedirectionEnded(u64),
    /// The server ends.
    Moving {
        /// The number of this news: whoever has several connections hears it on each.
        number: u64,
        /// After so many seconds at the latest.
        seconds: u64,
        /// Where to go, if that is not where the name leads that the client came by.
        endpoint: Option<Arc<[u8]>>,
    },
}

impl Message {
    /// Takes in one that follows; false if that has to stand by itself.
    fn grow(&mut self, next: &Message) -> bool {
        match (self, next) {
            (Message::Several(part), Message::Several(next)) => part.grow(next),
            _ => false,
        }
    }

    /// Bytes that it takes in an inbox.
    fn bytes(&self) -> usize {
        match self {
            Message::Published(message) => message.bytes(),
            Message::Several(part) => part.bytes(),
            Message::Stale { names: Some(names), .. } => {
                names.iter().map(|name| name.len() + size_of::<Box<[u8]>>()).sum()
            }
            Message::Stale { names: None, .. } | Message::RedirectionEnded(_) | Message::Moving { .. } => {
                size_of::<Message>()
            }
        }
    }
}

/// A client that was told anything since it connected, or has subscribed to something.
#[derive(Debug)]
pub struct Subscriber {
    /// The client's number.
    pub client: u64,
    /// The worker that has its connection.
    pub worker: usize,
    holdings: Mutex<Holdings>,
    /// How many names it holds of each kind.
    counts: [AtomicU64; KINDS.len()],
    /// Bytes of those names.
    held_bytes: AtomicU64,
    inbox: Mutex<Inbox>,
}

/// The names that a client is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    names: [BTreeSet<Arc<[u8]>>; KINDS.len()],
    bytes: usize,
    /// The client is gone, or as good as gone.
    pub(super) has_left: bool,
}

/// Messages that the client's worker has not seen.
#[derive(Debug, Default)]
struct Inbox {
    messages: VecDeque<Message>,
    bytes: usize,
    /// What some of them belong to.
    news: Vec<Arc<News>>,
    /// More came than it may hold: it holds nothing any more, and the connection is to be closed.
    overflowed: bool,
}

impl Subscriber {
    /// A client of a worker, subscribed to nothing.
    pub fn new(client: u64, worker: usize) -> Subscriber {
        Subscriber {
            client,
            worker,
            holdings: Mutex::default(),
            counts: Default::default(),
            held_bytes: AtomicU64::new(0),
            inbox: Mutex::default(),
        }
    }

    /// How many names it holds of a kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize].load(Ordering::Relaxed)
    }

    /// True when it is subscribed to nothing.
    pub fn is_idle(&self) -> bool {
        KINDS.iter().all(|kind| self.count(*kind) == 0)
    }

    /// The names it holds of a kind.
    pub fn names(&self, kind: Kind) -> Vec<Arc<[u8]>> {
        self.holdings.lock().of(kind).iter().cloned().collect()
    }

    /// Bytes of memory that its subscriptions and its inbox take.
    pub fn memory_bytes(&self) -> u64 {
        size_of::<Self>() as u64 + self.held_bytes.load(Ordering::Relaxed) + self.inbox_bytes()
    }

    /// Bytes of messages that its worker has not seen.
    pub fn inbox_bytes(&self) -> u64 {
        self.inbox.lock().bytes as u64
    }

    /// Takes all messages, unless they have to wait; false when some were lost because there were too many.
    pub fn take_messages(&self, wait: impl FnOnce() -> bool, mut take: impl FnMut(&Message)) -> bool {
        let mut inbox = self.inbox.lock();
        // Asked behind the lock: what made them wait came before they did.
        if wait() {
            return true;
        }
        inbox.messages.drain(..).for_each(|message| take(&message));
        inbox.messages.shrink_to(KEPT_PLACES_MAX);
        inbox.bytes = 0;
        inbox.news = Vec::new();
        !inbox.overflowed
    }

    pub(super) fn holdings(&self) -> MutexGuard<'_, Holdings> {
        self.holdings.lock()
    }

    /// Tells others what it holds.
    pub(super) fn tell(&self, holdings: &Holdings) {
        for kind in KINDS {
            self.counts[kind as usize].store(holdings.of(kind).len() as u64, Ordering::Relaxed);
        }
        self.held_bytes.store(holdings.bytes as u64, Ordering::Relaxed);
    }

    /// Takes a message; true when the client's worker does not know yet that there is one.
    pub fn receive(&self, message: &Message, bytes_max: usize) -> bool {
        let mut inbox = self.inbox.lock();
        if inbox.overflowed {
            return false;
        }
        let was_empty = inbox.messages.is_empty();
        inbox.bytes += message.bytes();
        if inbox.bytes > bytes_max {
            *inbox = Inbox { overflowed: true, ..Inbox::default() };
        } else if !inbox.messages.back_mut().is_some_and(|last| last.grow(message)) {
            inbox.messages.push_back(message.clone());
        }
        if let Some(news) = telling::news()
            && !inbox.news.last().is_some_and(|last| Arc::ptr_eq(last, &news))
        {
            inbox.news.push(news);
        }
        was_empty
    }
}

impl Holdings {
    pub(super) fn of(&self, kind: Kind) -> &BTreeSet<Arc<[u8]>> {
        &self.names[kind as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }

    pub(super) fn insert(&mut self, kind: Kind, name: Arc<[u8]>) {
        self.bytes += bytes_of(&name);
        self.names[kind as usize].insert(name);
    }

    /// False when it was not held.
    pub(super) fn remove(&mut self, kind: Kind, name: &[u8]) -> bool {
        let held = self.names[kind as usize].remove(name);
        if held {
            self.bytes -= bytes_of(name);
        }
        held
    }
}

/// Bytes that a name takes here.
fn bytes_of(name: &[u8]) -> usize {
    size_of::<Arc<[u8]>>() + name.len()
}
