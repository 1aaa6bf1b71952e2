//! What CLUSTER SLOT-STATS tells of slots besides their keys: the time that commands about them take, and the bytes.
//!
//! All workers add to the same numbers, which are only kept from when they are first asked for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::system::slot::SLOTS;

/// The counts of all slots.
#[derive(Debug, Default)]
pub struct SlotStats(OnceLock<Box<[Counts]>>);

/// Those of one slot.
#[derive(Debug, Default)]
struct Counts {
    ns: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// What commands about a slot took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Nanoseconds.
    pub ns: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of replies.
    pub bytes_out: u64,
}

impl SlotStats {
    /// Counts what a command took.
    pub fn add(&self, slot: u16, taken: Taken) {
        let slots = self.0.get_or_init(|| (0..SLOTS).map(|_| Counts::default()).collect());
        let counts = &slots[usize::from(slot)];
        counts.ns.fetch_add(taken.ns, Ordering::Relaxed);
        counts.bytes_in.fetch_add(taken.bytes_in, Ordering::Relaxed);
        counts.bytes_out.fetch_add(taken.bytes_out, Ordering::Relaxed);
    }

    /// The counts of a slot.
    pub fn of(&self, slot: u16) -> Taken {
        let Some(slots) = self.0.get() else { return Taken::default() };
        let counts = &slots[usize::from(slot)];
        Taken {
            ns: counts.ns.load(Ordering::Relaxed),
            bytes_in: counts.bytes_in.load(Ordering::Relaxed),
            bytes_out: counts.bytes_out.load(Ordering::Relaxed),
        }
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for counts in self.0.get().into_iter().flatten() {
            let all = [&counts.ns, &counts.bytes_in, &counts.bytes_out];
            all.into_iter().for_each(|count| count.store(0, Ordering::Relaxed));
        }
    }
}
