//! What is written in the background: the data's file, a new base of the log, or what followers are sent; one of them at a time.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use swytch_store::cut::Cut;

use super::reclaim::Reclaimer;
use super::scripts::Libraries;
use crate::effects::Place;
use crate::replication::Transfer;
use crate::system::clock;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// The data's file.
    Save,
    /// A new base of the log.
    Rewrite,
    /// What followers are sent.
    Sync,
}

/// The data at one moment.
#[derive(Debug)]
pub struct Moment {
    /// What it is for.
    pub task: Task,
    /// The keyspace.
    pub cut: Cut,
    /// The libraries of functions.
    pub libraries: Arc<Libraries>,
    /// Changes that were counted until then.
    pub changes: u64,
    /// Effects before this place are in it.
    pub place: Place,
    /// The history that followers have, and where that was then, if the data's file is to tell it.
    pub history: Option<(String, u64)>,
    /// How it is sent, if followers are to have it.
    pub transfer: Option<Arc<Transfer>>,
}

impl Moment {
    /// Has memory freed that only the moment has held.
    pub fn retire(&mut self, reclaimer: &Reclaimer) {
        reclaimer.retire(self.cut.take_retired());
    }
}

/// Who writes in the background, and what is asked of it.
#[derive(Debug, Default)]
pub struct Background {
    state: Mutex<State>,
    bell: Condvar,
    cancelled: AtomicBool,
    /// Held while what was written takes its place.
    publishing: Mutex<()>,
    /// Keys that were written, and that are to be.
    pub keys: AtomicU64,
    /// Keys that are to be written.
    pub keys_total: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    running: Option<(Task, u64)>,
    next: Option<Moment>,
    /// What is to begin when nothing else is written.
    scheduled: BTreeSet<Task>,
}

impl Background {
    /// What is written now, and since when, in Unix seconds.
    pub fn running(&self) -> Option<(Task, u64)> {
        self.state.lock().running
    }

    /// Since when this is written, in Unix seconds, if it is.
    pub fn since_s(&self, task: Task) -> Option<u64> {
        self.running().filter(|(running, _)| *running == task).map(|(_, since_s)| since_s)
    }

    /// Begins, if nothing is written, with a moment of the data that `take` takes.
    ///
    /// # Errors
    /// With what is written already.
    pub fn begin(&self, task: Task, take: impl FnOnce() -> Option<Moment>) -> Result<(), Task> {
        let mut state = self.state.lock();
        if let Some((running, _)) = state.running {
            return Err(running);
        }
        let Some(moment) = take() else { return Err(task) };
        state.running = Some((task, clock::unix_ms() / 1000));
        state.next = Some(moment);
        state.scheduled.remove(&task);
        self.cancelled.store(false, Ordering::SeqCst);
        self.bell.notify_all();
        Ok(())
    }

    /// Waits for something to be written.
    pub fn next(&self, at_most: Duration) -> Option<Moment> {
        let mut state = self.state.lock();
        if state.next.is_none() {
            self.bell.wait_for(&mut state, at_most);
        }
        state.next.take()
    }

    /// It is written, or has failed.
    pub fn end(&self) {
        self.state.lock().running = None;
    }

    /// It is to begin when nothing else is written.
    pub fn schedule(&self, task: Task) {
        self.state.lock().scheduled.insert(task);
    }

    /// Whether it is to begin when nothing else is written.
    pub fn is_scheduled(&self, task: Task) -> bool {
        self.state.lock().scheduled.contains(&task)
    }

    /// It is not to begin; whether it was.
    pub fn unschedule(&self, task: Task) -> bool {
        self.state.lock().scheduled.remove(&task)
    }

    /// What is written does not take its place, unless it has; whether it was written.
    pub fn cancel(&self, task: Task) -> bool {
        let was_running = {
            let state = self.state.lock();
            let is_running = state.running.is_some_and(|(running, _)| running == task);
            if is_running {
                self.cancelled.store(true, Ordering::SeqCst);
            }
            is_running
        };
        // What takes its place at this moment has it.
        drop(self.publishing.lock());
        was_running
    }

    /// Whether what is written is of no use any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Puts what was written in its place.
    ///
    /// # Errors
    /// Those of `act`; if it is of no use any more.
    pub fn publish(&self, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let _publishing = self.publishing.lock();
        if self.is_cancelled() {
            return Err(cancelled());
        }
        act()
    }
}

/// What is written is of no use any more.
pub fn cancelled() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "it was cancelled")
}
