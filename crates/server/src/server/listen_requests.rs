//! Orders to the accepting thread to listen on other addresses.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use mio::Waker;
use parking_lot::Mutex;

/// How long CONFIG SET waits for the accepting thread to listen on other addresses.
const LISTEN_ANEW_PATIENCE: Duration = Duration::from_secs(10);

/// How long whoever stops the server waits for the accepting thread.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// Orders to the accepting thread to listen on the addresses configured now.
#[derive(Debug, Default)]
pub struct ListenRequests {
    waiting: Mutex<Vec<SyncSender<io::Result<()>>>>,
    waker: OnceLock<Waker>,
    has_ended: AtomicBool,
}

impl ListenRequests {
    /// Has the accepting thread listen on the addresses configured now, and waits until it does. When it fails,
    /// some of the old addresses may be closed: put the old configuration back and call this again.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub fn listen_anew(&self) -> io::Result<()> {
        // Before the thread accepts, it has still to read the configuration.
        let Some(waker) = self.waker.get() else { return Ok(()) };
        let (sender, answer) = sync_channel(1);
        self.waiting.lock().push(sender);
        waker.wake()?;
        answer.recv_timeout(LISTEN_ANEW_PATIENCE).map_err(io::Error::other)?
    }

    /// Waits until nobody is accepted any more, because the server stops: whoever has been told so finds it gone.
    pub fn await_end(&self) {
        let (Some(waker), began) = (self.waker.get(), Instant::now()) else { return };
        // It ends soon without.
        let _ = waker.wake();
        while !self.has_ended.load(Ordering::Acquire) && began.elapsed() < END_PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Nobody is accepted any more.
    pub(crate) fn note_end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Wakes the accepting thread at each order from now on.
    pub(crate) fn wake_by(&self, waker: Waker) {
        // Only the first counts; one thread accepts.
        let _ = self.waker.set(waker);
    }

    /// The orders that wait, each to be told what has become of it.
    pub(crate) fn take(&self) -> Vec<SyncSender<io::Result<()>>> {
        std::mem::take(&mut *self.waiting.lock())
    }
}
