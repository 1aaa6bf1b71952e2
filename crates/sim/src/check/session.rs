//! Session guarantees on grow-only state (a set that is only added to, a list that is only pushed to): a session
//! reads its own acknowledged writes, and what it has read once it reads again.
//!
//! They hold in every mode, also for `READMODE local` and within each side of a partition, where linearizability does
//! not. A session ends when its client moves to another node.
//! Source: Terry et al., "Session guarantees for weakly consistent replicated data", 1994.

use std::collections::{BTreeMap, BTreeSet};

/// One step of a session on one key, in the order in which the session made them (one outstanding at a time).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStep {
    /// Which session.
    pub session: u64,
    /// Which key.
    pub key: u64,
    /// What it did.
    pub event: SessionEvent,
}

/// What a session did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// An acknowledged write of this item.
    Wrote(u64),
    /// A read that saw exactly these items.
    Read(BTreeSet<u64>),
}

/// A broken guarantee.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionAnomaly {
    /// The session wrote the item, and a later read of its own lacks it.
    OwnWriteUnread {
        /// Which session.
        session: u64,
        /// Which key.
        key: u64,
        /// Which item.
        item: u64,
    },
    /// The session read the item, and a later read of its own lacks it.
    ReadWentBack {
        /// Which session.
        session: u64,
        /// Which key.
        key: u64,
        /// Which item.
        item: u64,
    },
}

/// Checks all sessions; steps of one session must be in its order, sessions may be interleaved in any way.
///
/// # Errors
/// Every anomaly found.
pub fn check(steps: &[SessionStep]) -> Result<(), Vec<SessionAnomaly>> {
    let mut known: BTreeMap<(u64, u64), BTreeMap<u64, bool>> = BTreeMap::new();
    let mut anomalies = BTreeSet::new();
    for SessionStep { session, key, event } in steps {
        let (session, key) = (*session, *key);
        // Item to "was it read", else it was only written.
        let items = known.entry((session, key)).or_default();
        match event {
            SessionEvent::Wrote(item) => {
                items.entry(*item).or_insert(false);
            }
            SessionEvent::Read(seen) => {
                for (&item, &was_read) in items.iter().filter(|(item, _)| !seen.contains(item)) {
                    anomalies.insert(if was_read {
                        SessionAnomaly::ReadWentBack { session, key, item }
                    } else {
                        SessionAnomaly::OwnWriteUnread { session, key, item }
                    });
                }
                items.extend(seen.iter().map(|&item| (item, true)));
            }
        }
    }
    if anomalies.is_empty() { Ok(()) } else { Err(anomalies.into_iter().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(session: u64, item: u64) -> SessionStep {
        SessionStep { session, key: 0, event: SessionEvent::Wrote(item) }
    }

    fn read(session: u64, items: &[u64]) -> SessionStep {
        SessionStep { session, key: 0, event: SessionEvent::Read(items.iter().copied().collect()) }
    }

    #[test]
    fn growing_reads_are_right_and_sessions_do_not_bind_each_other() {
        let steps =
            [wrote(1, 10), read(1, &[10]), read(2, &[]), wrote(2, 20), read(1, &[10, 20]), read(2, &[20])];
        assert_eq!(check(&steps), Ok(()));
    }

    #[test]
    fn an_own_write_that_is_not_read_is_refuted() {
        let steps = [wrote(1, 10), read(1, &[])];
        let expected = SessionAnomaly::OwnWriteUnread { session: 1, key: 0, item: 10 };
        assert_eq!(check(&steps), Err(vec![expected]));
    }

    #[test]
    fn a_read_that_goes_back_is_refuted() {
        let steps = [wrote(1, 10), read(2, &[10]), read(2, &[])];
        let expected = SessionAnomaly::ReadWentBack { session: 2, key: 0, item: 10 };
        assert_eq!(check(&steps), Err(vec![expected]));
    }
}
