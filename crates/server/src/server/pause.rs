//! CLIENT PAUSE: commands, or only those that write, wait until a deadline or CLIENT UNPAUSE.
//!
//! This is what is known of the pause. `dispatch::conditions` begins and ends it, `dispatch::admit` asks.

use parking_lot::Mutex;

/// The pause in force, or the last one.
#[derive(Debug, Default)]
pub struct Pause(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    active: bool,
    until_ms: u64,
    writes_only: bool,
}

impl Pause {
    /// Begins or prolongs a pause, and tells that there is one. A pause of all commands is not weakened to one of
    /// writes.
    pub fn begin(&self, until_ms: u64, writes_only: bool, tell: impl FnOnce()) {
        let mut state = self.0.lock();
        *state = State {
            active: true,
            until_ms: if state.active { state.until_ms.max(until_ms) } else { until_ms },
            writes_only: writes_only && (!state.active || state.writes_only),
        };
        tell();
    }

    /// Ends the pause, if there is one whose time is over at `now_ms`, and tells that it has ended.
    pub fn end(&self, now_ms: u64, tell: impl FnOnce()) {
        let mut state = self.0.lock();
        if state.active && now_ms >= state.until_ms {
            state.active = false;
            tell();
        }
    }

    /// True while a command must wait that `writes`, or one that does not.
    pub fn holds(&self, writes: bool, now_ms: u64) -> bool {
        let state = self.0.lock();
        state.active && now_ms < state.until_ms && (writes || !state.writes_only)
    }
}
