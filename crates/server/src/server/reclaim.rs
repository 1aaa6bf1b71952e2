//! Freeing memory where it delays nobody: flushed tables, big values, merged segments.
//!
//! Workers prefetch from the hash tables without locks, so what they may look at is freed only after every
//! worker has passed a quiescent point: the moment between two batches of commands. A worker's
//! [`Epoch`] is odd while it works and even while it waits for events.
//!
//! Source: quiescent-state-based reclamation, McKenney & Slingwine (1998).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use swytch_store::Retired;

/// A worker's place: odd while it may hold pointers from the tables, even while it cannot.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Epoch(AtomicU64);

impl Epoch {
    /// The worker begins to work.
    pub fn enter(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        // What is read from the tables must be read after the epoch is seen to be odd.
        fence(Ordering::SeqCst);
    }

    /// The worker holds no pointer any more.
    pub fn leave(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Waits until the worker has been quiescent once.
    fn wait(&self) {
        let seen = self.0.load(Ordering::Acquire);
        if seen.is_multiple_of(2) {
            return;
        }
        while self.0.load(Ordering::Acquire) == seen {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The way to the thread that frees.
#[derive(Debug)]
pub struct Reclaimer {
    queue: Sender<Vec<Retired>>,
    pending: Arc<AtomicU64>,
    freed: Arc<AtomicU64>,
}

impl Reclaimer {
    /// Starts the thread.
    pub fn start(epochs: Vec<Arc<Epoch>>) -> Reclaimer {
        let (queue, incoming) = channel();
        let (pending, freed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counts = (Arc::clone(&pending), Arc::clone(&freed));
        std::thread::Builder::new()
            .name("swytch-reclaim".into())
            .spawn(move || run(&incoming, &epochs, &counts.0, &counts.1))
            .expect("a process that cannot start one thread cannot serve");
        Reclaimer { queue, pending, freed }
    }

    /// Takes over what a command left behind.
    #[cold]
    pub fn retire(&self, retired: Vec<Retired>) {
        self.pending.fetch_add(retired.len() as u64, Ordering::Relaxed);
        // The thread ends only with the process; then nothing needs freeing.
        let _ = self.queue.send(retired);
    }

    /// Objects waiting to be freed (INFO lazyfree_pending_objects).
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Objects freed so far (INFO lazyfreed_objects).
    pub fn freed(&self) -> u64 {
        self.freed.load(Ordering::Relaxed)
    }
}

fn run(incoming: &Receiver<Vec<Retired>>, epochs: &[Arc<Epoch>], pending: &AtomicU64, freed: &AtomicU64) {
    while let Ok(mut retired) = incoming.recv() {
        retired.extend(incoming.try_iter().flatten());
        fence(Ordering::SeqCst);
        epochs.iter().for_each(|epoch| epoch.wait());
        for object in retired {
            drop(object);
            pending.fetch_sub(1, Ordering::Relaxed);
            freed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
