//! Solo keys of an earlier view: who owns them in this one is not known, because members have met that came from
//! different views.
//!
//! They get records without an owner, which are brought together with what others hold: at once when somebody asks for
//! them, and a few with every tick, in the order of their marks. Until then they have none, so that a view costs nothing
//! for each key.
//!
//! Invariants:
//! - Where their turn has not come yet, every key without a record is one of them: nothing else runs without a record
//!   there, and no record goes.
//! - A record says what it would have said when that view ended, however long ago that is: nothing was written since.
//!
//! Neighbour: `solo`, whose keys these are.

use std::collections::BTreeSet;

use crate::copy::Meta;
use crate::ids::{FlightId, Generation, NodeId, Stamp, ViewId};
use crate::key::{Key, Mark};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unowned {
    /// Whose turn comes next.
    next: Option<Mark>,
    /// The past of those before this mark, in order.
    pasts: Vec<(Mark, Past)>,
    /// Records that could go, but for these keys.
    kept: BTreeSet<(Mark, Key)>,
}

/// The end of a view, as far as solo keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Past {
    pub(crate) generation: Generation,
    pub(crate) view: ViewId,
    /// When one of them was written to last, at most.
    pub(crate) written: Stamp,
}

impl Past {
    /// What a record says of a key.
    pub(crate) fn meta(self, me: NodeId, number: u64, seq: u64) -> Meta {
        let birth = FlightId::new(self.view, me, number);
        Meta::alone(birth, (self.generation, self.view), seq, self.written)
    }
}

impl Unowned {
    /// A view ends: all solo keys are of this past, or of the one that they were of before.
    pub(crate) fn add(&mut self, past: Past) {
        match self.next {
            None => self.pasts.push((Mark::END, past)),
            Some(Mark::FIRST) => {}
            Some(next) => self.pasts.insert(0, (next, past)),
        }
        self.next = Some(Mark::FIRST);
    }

    /// The past of a key that has no record, if it is one of these.
    pub(crate) fn of(&self, mark: Mark) -> Option<Past> {
        let next = self.next.filter(|next| *next <= mark)?;
        debug_assert!(next < Mark::END);
        self.pasts.iter().find(|(until, _)| mark < *until).map(|(_, past)| *past)
    }

    /// Whether a solo key is none of these.
    #[inline]
    pub(crate) fn lacks(&self, mark: Mark) -> bool {
        self.next.is_none_or(|next| mark < next)
    }

    /// Whose turn comes next.
    pub(crate) fn next(&self) -> Option<Mark> {
        self.next
    }

    /// Before this mark there is no such key any more.
    pub(crate) fn advance(&mut self, next: Mark) {
        self.pasts.retain(|(until, _)| *until > next);
        self.next = Some(next).filter(|_| !self.pasts.is_empty());
    }

    /// A record has to stay until the turn of its key has come.
    pub(crate) fn keep(&mut self, key: &Key) {
        self.kept.insert((key.mark(), key.clone()));
    }

    /// A record that need not stay for that any more.
    pub(crate) fn released(&mut self) -> Option<Key> {
        let (mark, _) = self.kept.first()?;
        if !self.lacks(*mark) {
            return None;
        }
        self.kept.pop_first().map(|(_, key)| key)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Slot;

    fn past(number: u64) -> Past {
        Past { generation: Generation(number), view: ViewId::default(), written: Stamp::default() }
    }

    fn mark(slot: u16) -> Mark {
        Mark { slot: Slot(slot), hash: 7 }
    }

    #[test]
    fn keys_that_nobody_has_looked_at_keep_the_past_that_they_had() {
        let mut unowned = Unowned::default();
        assert!(unowned.lacks(mark(0)) && unowned.next().is_none());
        unowned.add(past(1));
        unowned.advance(mark(100));
        assert!(unowned.lacks(mark(99)) && unowned.of(mark(100)) == Some(past(1)));
        for _ in 0..2 {
            unowned.add(past(2));
            assert_eq!((unowned.of(mark(99)), unowned.of(mark(100))), (Some(past(2)), Some(past(1))));
        }
        unowned.advance(mark(99));
        unowned.keep(&Key::new(b"k"));
        assert_eq!(
            (unowned.of(mark(98)), unowned.of(mark(99)), unowned.released()),
            (None, Some(past(2)), None)
        );
        unowned.advance(mark(100));
        assert_eq!(unowned.of(mark(100)), Some(past(1)));
        unowned.advance(Mark::END);
        assert_eq!((unowned.released(), unowned.released()), (Some(Key::new(b"k")), None));
        assert_eq!(unowned, Unowned::default());
    }
}
