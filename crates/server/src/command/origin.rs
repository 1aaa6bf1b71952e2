//! Whom a call comes from, and what therefore holds for it.
//!
//! A handler is the same whoever calls it. What differs between callers (may its client be parked, are there limits, who
//! is shown and counted) is asked here and nowhere else; a new caller is one more variant with its answers.

use crate::clients::{Client, ClientFlags};

/// Whom a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A connected client sent it.
    Client,
    /// A client queued it, and EXEC runs it.
    Transaction,
    /// A script calls it, under the script's locks.
    Script,
    /// A parked client sent it; the thread that serves the client runs it again, on its behalf.
    Parked,
    /// A connection that replays recorded effects sent it: what it says was decided where it was recorded.
    Replay,
}

impl Origin {
    /// The origin of what a client sends.
    pub fn of(client: &Client) -> Origin {
        if client.flags.contains(ClientFlags::REPLAYS) { Origin::Replay } else { Origin::Client }
    }

    /// The locks are held already, so the handler takes none.
    pub fn holds_locks(self) -> bool {
        matches!(self, Origin::Transaction | Origin::Script | Origin::Parked)
    }

    /// Its client may be parked.
    pub fn may_block(self) -> bool {
        !self.holds_locks()
    }

    /// It is refused what is too long, and what may use memory when there is none left.
    pub fn is_limited(self) -> bool {
        self != Origin::Replay
    }

    /// MONITOR shows it. A parked client's command was shown when it was sent.
    pub fn is_shown(self) -> bool {
        self != Origin::Parked
    }

    /// Keys go when their time is over. Replayed effects say themselves which keys went.
    #[inline(always)]
    pub fn expires_by_clock(self) -> bool {
        self != Origin::Replay
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn what_holds_for_whom() {
        // Holds locks, may block, is limited, is shown, expires by clock.
        for (origin, answers) in [
            (Origin::Client, [false, true, true, true, true]),
            (Origin::Transaction, [true, false, true, true, true]),
            (Origin::Script, [true, false, true, true, true]),
            (Origin::Parked, [true, false, true, false, true]),
            (Origin::Replay, [false, true, false, true, false]),
        ] {
            let given = [
                origin.holds_locks(),
                origin.may_block(),
                origin.is_limited(),
                origin.is_shown(),
                origin.expires_by_clock(),
            ];
            assert_eq!(given, answers, "{origin:?}");
        }
    }
}
