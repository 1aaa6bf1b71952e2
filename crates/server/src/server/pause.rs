//! CLIENT PAUSE, and an end of the server that waits for followers: commands, or only those that write, wait.
//!
//! This is what is known of the pauses. `dispatch::conditions` begins and ends them, `dispatch::admit` asks.

use parking_lot::Mutex;

use crate::system::clock::MonotonicMs;

/// Why commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// CLIENT PAUSE, until a deadline or CLIENT UNPAUSE.
    Client,
    /// The server is to end, and followers are to have everything first.
    Ending,
}

/// The pauses in force, by why.
#[derive(Debug, Default)]
pub struct Pause(Mutex<[Option<Hold>; 2]>);

#[derive(Clone, Copy, Debug)]
struct Hold {
    until: MonotonicMs,
    writes_only: bool,
}

impl Pause {
    /// Begins or prolongs a pause, and tells that there is one. A pause of all commands is not weakened to one of
    /// writes.
    pub fn begin(&self, why: Why, until: MonotonicMs, writes_only: bool, tell: impl FnOnce()) {
        let mut holds = self.0.lock();
        let hold = &mut holds[why as usize];
        let before = hold.unwrap_or(Hold { until, writes_only });
        *hold = Some(Hold { until: before.until.max(until), writes_only: before.writes_only && writes_only });
        tell();
    }

    /// Ends the pauses whose time is over at `now`, and the one with this reason. If there was any it tells whether there is
    /// none any more.
    pub fn end(&self, now: MonotonicMs, why: Option<Why>, tell: impl FnOnce(bool)) {
        let mut holds = self.0.lock();
        let before = holds.iter().flatten().count();
        for (index, hold) in holds.iter_mut().enumerate() {
            hold.take_if(|hold| now >= hold.until || why.is_some_and(|why| why as usize == index));
        }
        let left = holds.iter().flatten().count();
        if left < before {
            tell(left == 0);
        }
    }

    /// True while a command must wait that `writes`, or one that does not.
    pub fn holds(&self, writes: bool, now: MonotonicMs) -> bool {
        let holds = |hold: &Hold| now < hold.until && (writes || !hold.writes_only);
        self.0.lock().iter().flatten().any(holds)
    }
}
