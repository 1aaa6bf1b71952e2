//! What one thread tells a worker: that it has new connections, replies for its parked clients, messages for those that
//! are subscribed, orders to close.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Poll, Token, Waker};
use parking_lot::Mutex;
use swytch_resp::{Output, SharedBytes};
use swytch_store::Waiter;

/// A message to a worker.
#[derive(Debug)]
pub enum Mail {
    /// Connections have arrived.
    Arrivals,
    /// A parked client was served by another client's write.
    Served {
        /// Who.
        client: u64,
        /// As what it was parked.
        waiter: Arc<Waiter>,
        /// Its reply.
        reply: Output,
    },
    /// CLIENT UNBLOCK has ended a client's wait.
    Unblock {
        /// Who.
        client: u64,
        /// As what it was parked.
        waiter: Arc<Waiter>,
        /// Answer an error instead of a timeout.
        error: bool,
    },
    /// Bytes for a client's output (MONITOR).
    Deliver {
        /// Who.
        client: u64,
        /// What.
        bytes: SharedBytes,
    },
    /// There is more for a follower to read.
    Feed(u64),
    /// These clients have messages in their inboxes.
    Messages(Vec<u64>),
    /// CLIENT KILL.
    Close(u64),
    /// A pause has ended.
    Resume,
    /// More of the order of effects was read: replies that have waited for that may leave.
    Released,
    /// The server stops.
    Stop,
}

/// Token of the wake-up channel in a worker's poll.
pub const WAKE: Token = Token(usize::MAX);

/// A worker's incoming mail.
#[derive(Debug)]
pub struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    /// Set while there is mail the worker has not looked at, so that only the first sender wakes it.
    waiting: AtomicBool,
    waker: Waker,
    poll: Mutex<Option<Poll>>,
}

impl Mailbox {
    /// A mailbox with the poll that its worker will wait on.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new() -> std::io::Result<Mailbox> {
        let poll = Poll::new()?;
        Ok(Mailbox {
            mail: Mutex::default(),
            waiting: AtomicBool::new(false),
            waker: Waker::new(poll.registry(), WAKE)?,
            poll: Mutex::new(Some(poll)),
        })
    }

    /// The worker's poll; only the worker asks, once.
    pub(crate) fn take_poll(&self) -> Option<Poll> {
        self.poll.lock().take()
    }

    /// Puts mail in and wakes the worker if it may be asleep.
    pub fn send(&self, mail: Mail) {
        self.mail.lock().push(mail);
        if !self.waiting.swap(true, Ordering::AcqRel) {
            // The channel is full only when a wake-up is already on its way.
            let _ = self.waker.wake();
        }
    }

    /// True when there is mail.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes all mail.
    pub(crate) fn take(&self) -> Vec<Mail> {
        self.waiting.store(false, Ordering::Release);
        std::mem::take(&mut *self.mail.lock())
    }
}
