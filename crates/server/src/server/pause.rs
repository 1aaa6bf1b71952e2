//! CLIENT PAUSE: commands, or only those that write, wait until a deadline or CLIENT UNPAUSE.
//!
//! This is what is known of the pause. `dispatch::conditions` begins and ends it, `dispatch::admit` asks.

use parking_lot::Mutex;

use crate::system::clock::MonotonicMs;

/// The pause in force, or the last one.
#[derive(Debug, Default)]
pub struct Pause(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    active: bool,
    until: MonotonicMs,
    writes_only: bool,
}

impl Pause {
    /// Begins or prolongs a pause, and tells that there is one. A pause of all commands is not weakened to one of
    /// writes.
    pub fn begin(&self, until: MonotonicMs, writes_only: bool, tell: impl FnOnce()) {
        let mut state = self.0.lock();
        *state = State {
            active: true,
            until: if state.active { state.until.max(until) } else { until },
            writes_only: writes_only && (!state.active || state.writes_only),
        };
        tell();
    }

    /// Ends the pause, if there is one whose time is over at `now`, and tells that it has ended.
    pub fn end(&self, now: MonotonicMs, tell: impl FnOnce()) {
        let mut state = self.0.lock();
        if state.active && now >= state.until {
            state.active = false;
            tell();
        }
    }

    /// True while a command must wait that `writes`, or one that does not.
    pub fn holds(&self, writes: bool, now: MonotonicMs) -> bool {
        let state = self.0.lock();
        state.active && now < state.until && (writes || !state.writes_only)
    }
}
