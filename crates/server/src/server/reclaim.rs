//! Freeing memory where it delays nobody: flushed tables, big values, merged segments.
//!
//! Workers prefetch from the hash tables without locks, so what they may look at (tables and their segments) is freed
//! only after every worker has passed a quiescent point: the moment between two turns. A worker's [`Epoch`] is odd
//! while it works and even while it waits for events. Values are only ever read under a lock: they are freed at once,
//! whatever the workers do.
//!
//! Source: quiescent-state-based reclamation, McKenney & Slingwine (1998).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use swytch_store::Retired;

use crate::system::allocator;

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

    /// The worker's place now.
    fn place(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// True when the worker has been quiescent since it was at `place`.
    fn has_passed(&self, place: u64) -> bool {
        place.is_multiple_of(2) || self.place() != place
    }
}

/// What is done when something has been freed.
type Then = Box<dyn FnOnce() + Send>;

/// What is left behind at once.
struct Left {
    objects: Vec<Retired>,
    then: Option<Then>,
}

/// The way to the thread that frees.
#[derive(Debug)]
pub struct Reclaimer {
    queue: Sender<Left>,
    pending: Arc<AtomicU64>,
    pending_bytes: Arc<AtomicU64>,
    freed: Arc<AtomicU64>,
}

impl Reclaimer {
    /// Starts the thread.
    pub fn start(epochs: Vec<Arc<Epoch>>) -> Reclaimer {
        let (queue, incoming) = channel();
        let (pending, freed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let pending_bytes = Arc::new(AtomicU64::new(0));
        let counts = Counts {
            pending: Arc::clone(&pending),
            pending_bytes: Arc::clone(&pending_bytes),
            freed: Arc::clone(&freed),
        };
        std::thread::Builder::new()
            .name("swytch-reclaim".into())
            .spawn(move || run(&incoming, &epochs, &counts))
            .expect("a process that cannot start one thread cannot serve");
        Reclaimer { queue, pending, pending_bytes, freed }
    }

    /// Takes over what a command left behind, which mostly is nothing.
    #[inline]
    pub fn retire(&self, retired: Vec<Retired>) {
        if !retired.is_empty() {
            self.take_over(Left { objects: retired, then: None });
        }
    }

    /// The same, and does something when it has been freed.
    pub fn retire_and(&self, retired: Vec<Retired>, then: impl FnOnce() + Send + 'static) {
        self.take_over(Left { objects: retired, then: Some(Box::new(then)) });
    }

    #[cold]
    fn take_over(&self, left: Left) {
        self.pending.fetch_add(left.objects.iter().map(Retired::keys).sum(), Ordering::Relaxed);
        self.pending_bytes.fetch_add(left.objects.iter().map(Retired::value_bytes).sum(), Ordering::Relaxed);
        // The thread ends only with the process; then nothing needs freeing.
        let _ = self.queue.send(left);
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.freed.store(0, Ordering::Relaxed);
    }

    /// Keys whose values wait to be freed (INFO lazyfree_pending_objects).
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Bytes of values that wait to be freed, those of flushed databases aside.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    /// Keys whose values were freed so far (INFO lazyfreed_objects).
    pub fn freed(&self) -> u64 {
        self.freed.load(Ordering::Relaxed)
    }
}

/// How long to wait before looking again whether the workers have passed.
const PATIENCE: Duration = Duration::from_millis(1);

/// What may still be looked at by a worker that has not passed the place it was at.
struct Held {
    places: Vec<u64>,
    objects: Vec<Retired>,
    then: Vec<Then>,
}

/// What there is to be freed, and what was.
struct Counts {
    pending: Arc<AtomicU64>,
    pending_bytes: Arc<AtomicU64>,
    freed: Arc<AtomicU64>,
}

fn run(incoming: &Receiver<Left>, epochs: &[Arc<Epoch>], counts: &Counts) {
    let free = |object: Retired| {
        let (keys, bytes) = (object.keys(), object.value_bytes());
        drop(object);
        // First it is out of use, then it is no longer waited for.
        allocator::settle();
        counts.pending.fetch_sub(keys, Ordering::Relaxed);
        counts.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
        counts.freed.fetch_add(keys, Ordering::Relaxed);
    };
    let mut held: VecDeque<Held> = VecDeque::new();
    loop {
        let arrived = match held.is_empty() {
            true => incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => incoming.recv_timeout(PATIENCE),
        };
        match arrived {
            Ok(first) => {
                let (mut values, mut objects, mut then) = (Vec::new(), Vec::new(), Vec::new());
                for left in std::iter::once(first).chain(incoming.try_iter()) {
                    then.extend(left.then);
                    for object in left.objects {
                        let is_value = matches!(object, Retired::Entry(_));
                        if is_value { values.push(object) } else { objects.push(object) }
                    }
                }
                values.into_iter().for_each(free);
                if !objects.is_empty() || !then.is_empty() {
                    fence(Ordering::SeqCst);
                    let places = epochs.iter().map(|epoch| epoch.place()).collect();
                    held.push_back(Held { places, objects, then });
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Some(first) = held.pop_front() {
            if !epochs.iter().zip(&first.places).all(|(epoch, place)| epoch.has_passed(*place)) {
                held.push_front(first);
                break;
            }
            first.objects.into_iter().for_each(free);
            first.then.into_iter().for_each(|then| then());
        }
        allocator::settle();
    }
}
