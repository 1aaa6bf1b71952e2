//! What a client waits for that wants to know that followers have what it has written (WAIT, WAITAOF).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Follower, Phase, Replication};
use crate::effects::Place;

/// A position that is not known yet.
const UNKNOWN: u64 = u64::MAX;

/// All before a place of the order of effects, as a part of the stream.
#[derive(Debug)]
pub struct Awaited {
    place: Place,
    /// Where it ends, once the stream has come that far.
    position: AtomicU64,
}

impl Awaited {
    /// All before this place.
    pub fn new(place: Place) -> Awaited {
        Awaited { place, position: AtomicU64::new(UNKNOWN) }
    }

    /// How many followers say that they have it, and that it is in their logs.
    pub fn count(&self, replication: &Replication) -> (usize, usize) {
        self.position(replication).map_or((0, 0), |position| replication.count_acknowledged(position))
    }

    /// The followers that do not say that they have it.
    pub fn lacking(&self, replication: &Replication) -> Vec<Arc<Follower>> {
        let position = self.position(replication);
        let mut followers = replication.followers();
        followers.retain(|one| {
            one.phase() != Some(Phase::Online) || position.is_none_or(|position| !one.has(position))
        });
        followers
    }

    fn position(&self, replication: &Replication) -> Option<u64> {
        let known = self.position.load(Ordering::SeqCst);
        if known != UNKNOWN {
            return Some(known);
        }
        let found = replication.position_of(self.place)?;
        self.position.store(found, Ordering::SeqCst);
        Some(found)
    }
}
