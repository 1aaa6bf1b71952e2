//! Replies of a connection that wait until what they tell of is safe.

use std::collections::VecDeque;

use crate::effects::Place;

/// Bytes of output that may wait before further requests do.
const BYTES_MAX: usize = 1 << 20;
/// Parts of the output that may wait for different places before further requests do.
const PARTS_MAX: usize = 256;

/// What of a connection's output waits, and for what.
#[derive(Debug, Default)]
pub(super) struct Held {
    parts: VecDeque<Part>,
}

/// Output that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Its first byte, of all that the connection was ever sent.
    pub(super) from: u64,
    /// Everything before this place is to be safe, which others may have written.
    pub(super) until: Place,
    /// Behind what was written for the connection itself.
    pub(super) own: Place,
}

/// How far it is safe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Released {
    /// Everything before this place is.
    pub(super) until: Place,
    /// It will not be more before the disk works again: nobody waits for what others have written.
    pub(super) has_failed: bool,
}

impl Held {
    /// A part of the output waits. It lies behind those that do already, and its places are no smaller.
    pub(super) fn add(&mut self, part: Part) {
        self.parts.push_back(part);
    }

    /// How many bytes may leave behind the first `sent`.
    #[inline]
    pub(super) fn free_bytes(&mut self, sent: u64, released: Released) -> usize {
        if self.parts.is_empty() { usize::MAX } else { self.free_bytes_of_some(sent, released) }
    }

    #[cold]
    fn free_bytes_of_some(&mut self, sent: u64, released: Released) -> usize {
        let waits_for = |part: &Part| if released.has_failed { part.own } else { part.until };
        while self.parts.front().is_some_and(|part| waits_for(part) <= released.until) {
            self.parts.pop_front();
        }
        self.parts.front().map_or(usize::MAX, |part| part.from.saturating_sub(sent) as usize)
    }

    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// True when so much waits that no further request is to run.
    pub(super) fn is_full(&self, pending_bytes: usize) -> bool {
        !self.parts.is_empty() && (pending_bytes > BYTES_MAX || self.parts.len() >= PARTS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_a_part_that_waits_may_leave() {
        let released = |until| Released { until, has_failed: false };
        let mut held = Held::default();
        assert_eq!(held.free_bytes(0, released(0)), usize::MAX);
        held.add(Part { from: 10, until: 3, own: 0 });
        held.add(Part { from: 25, until: 7, own: 7 });
        assert_eq!(held.free_bytes(4, released(2)), 6);
        assert_eq!(held.free_bytes(10, released(2)), 0);
        let failed = Released { until: 2, has_failed: true };
        assert_eq!(held.free_bytes(10, failed), 15, "what others have written is not waited for");
        assert_eq!(held.free_bytes(10, released(3)), 15);
        assert!(!held.is_empty());
        assert_eq!(held.free_bytes(25, released(9)), usize::MAX);
        assert!(held.is_empty());
    }
}
