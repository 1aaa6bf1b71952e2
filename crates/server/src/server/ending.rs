//! The end of the server, from when somebody asks for it: it may wait for followers, be given up, and come to nothing.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How the server ends.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Whether the data is saved.
    pub at_end: AtEnd,
    /// Whatever cannot be saved.
    pub force: bool,
    /// It waits for no follower.
    pub now: bool,
}

/// Whether the data is saved when the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// If there are save points.
    AsConfigured,
    /// In any case.
    Save,
    /// In no case.
    Leave,
}

impl AtEnd {
    /// What two options that exclude each other say.
    pub fn asked(save: bool, leave: bool) -> AtEnd {
        match (save, leave) {
            (true, _) => AtEnd::Save,
            (_, true) => AtEnd::Leave,
            _ => AtEnd::AsConfigured,
        }
    }
}

/// What is known of the end.
#[derive(Debug, Default)]
pub struct Ending {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How the server is to end, while it is.
    how: Option<How>,
    /// Until when it waits for others, once it does.
    until: Option<Instant>,
    /// How often it has gone on although it was to end.
    in_vain: u64,
}

impl Ending {
    /// The server is to end, by the thread for that; one that is to end already does so as it was told first. The attempt that
    /// this is.
    pub fn begin(&self, how: How) -> u64 {
        let mut state = self.state.lock();
        state.how.get_or_insert(how);
        self.changed.notify_all();
        state.in_vain
    }

    /// True while the server is to end.
    pub fn is_going_on(&self) -> bool {
        self.state.lock().how.is_some()
    }

    /// The end waits for others until then, at most.
    pub fn wait_until(&self, time: Instant) {
        self.state.lock().until = Some(time);
    }

    /// How much longer the server waits at most, while it is to end.
    pub fn time_left(&self) -> Option<Duration> {
        let state = self.state.lock();
        let until = state.until.filter(|_| state.how.is_some());
        until.map(|time| time.saturating_duration_since(Instant::now()))
    }

    /// The server goes on; false where it was not to end.
    pub fn give_up(&self) -> bool {
        let mut state = self.state.lock();
        let was_to_end = state.how.is_some();
        *state = State { in_vain: state.in_vain + u64::from(was_to_end), ..State::default() };
        was_to_end
    }

    /// An attempt has failed, if it was not given up.
    pub fn fail(&self, attempt: u64) {
        let mut state = self.state.lock();
        if state.in_vain == attempt {
            *state = State { in_vain: attempt + 1, ..State::default() };
        }
    }

    /// Waits until the server is to end, this long at most: how, and which attempt that is.
    pub fn wait(&self, patience: Duration) -> Option<(How, u64)> {
        let mut state = self.state.lock();
        if state.how.is_none() {
            self.changed.wait_for(&mut state, patience);
        }
        state.how.map(|how| (how, state.in_vain))
    }

    /// Whether an attempt has come to nothing.
    pub fn was_in_vain(&self, attempt: u64) -> bool {
        self.state.lock().in_vain > attempt
    }
}
