//! What a client waits for that wants to know that followers have what it has written (WAIT, WAITAOF).

use std::sync::atomic::{AtomicU64, Ordering};

use super::Replication;
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
        let mut position = self.position.load(Ordering::SeqCst);
        if position == UNKNOWN {
            let Some(found) = replication.position_of(self.place) else { return (0, 0) };
            self.position.store(found, Ordering::SeqCst);
            position = found;
        }
        replication.count_acknowledged(position)
    }
}
