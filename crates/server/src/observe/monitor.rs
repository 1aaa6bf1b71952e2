//! The clients that MONITOR, and the order of what they are shown.
//!
//! A line is shown while the locks of its command are held, so what happens to a key is shown in the order in which it
//! happens. One lock gives all lines one order, and their times rise in it. What a line says is made in `dispatch::show`.

use std::sync::Arc;

use parking_lot::Mutex;
use swytch_resp::SharedBytes;

/// The monitoring clients.
#[derive(Debug, Default)]
pub struct Monitors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    clients: Vec<Monitor>,
    /// The time of the last line, in Unix microseconds.
    last_us: u64,
}

/// A client that monitors.
#[derive(Clone, Copy, Debug)]
pub struct Monitor {
    /// Its number.
    pub client: u64,
    /// The worker that has its connection.
    pub worker: usize,
}

impl Monitors {
    /// Adds a client, and tells that somebody looks.
    pub fn add(&self, monitor: Monitor, tell: impl FnOnce()) {
        let mut state = self.0.lock();
        if !state.clients.iter().any(|other| other.client == monitor.client) {
            state.clients.push(monitor);
        }
        tell();
    }

    /// Removes a client, if it looks, and tells when nobody does any more.
    pub fn remove(&self, client: u64, tell: impl FnOnce()) {
        let mut state = self.0.lock();
        state.clients.retain(|other| other.client != client);
        if state.clients.is_empty() {
            tell();
        }
    }

    /// Gives a line to all of them: its time, now, in Unix microseconds, and then `rest`.
    pub fn show(&self, now_us: u64, rest: &[u8], mut deliver: impl FnMut(Monitor, SharedBytes)) {
        let mut state = self.0.lock();
        // The clock may be set back, and another thread may have looked later and be here first.
        state.last_us = state.last_us.max(now_us);
        let (seconds, micros) = (state.last_us / 1_000_000, state.last_us % 1_000_000);
        let mut line = format!("+{seconds}.{micros:06} ").into_bytes();
        line.extend_from_slice(rest);
        let line = Arc::new(line);
        state.clients.iter().for_each(|monitor| deliver(*monitor, Arc::clone(&line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_never_go_back() {
        let monitors = Monitors::default();
        monitors.add(Monitor { client: 1, worker: 0 }, || ());
        let mut lines = Vec::new();
        for now_us in [2_000_001, 1_999_999, 2_000_002] {
            monitors.show(now_us, b"x", |_, line| lines.push(String::from_utf8_lossy(&line).into_owned()));
        }
        assert_eq!(lines, ["+2.000001 x", "+2.000001 x", "+2.000002 x"]);
        let mut alone = false;
        monitors.remove(1, || alone = true);
        assert!(alone);
    }
}
