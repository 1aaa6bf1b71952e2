//! What outlasts a life of a node: what it has promised and accepted, so that it is a voter again when it comes back.
//!
//! A node that starts with this has nothing of what it held, but it can be asked what it has agreed to. Bases that lack more
//! than half of their lives go on by that: it counts among those who change a base that an earlier life of it is a member
//! of, and is taken in with its new life at the same time.
//!
//! Invariants:
//! - It is written down before anything is said that relies on it ([`Action::Persist`] comes before what follows).
//! - A node that once had it either has it still or says that it has not: as long as it may come back with it, an earlier
//!   life is not known to be out of the way.
//! - Whoever comes back has not heard anybody for as long as it runs, however long it was away: it may have supported a lease.
//!
//! Neighbours: `members` starts with it, `view` counts the votes.

use crate::ids::{NodeId, Time, ViewId};
use crate::interface::Action;
use crate::members::{Members, Peer};
use crate::message::{Base, Vote};
use crate::mutant::Mutant;
use crate::wire::Stored;

/// See the module. The default is that of a node that has agreed to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Durable {
    /// The highest view that it has promised.
    pub promised: ViewId,
    /// The base of the view installed last.
    pub base: Base,
    /// A later one that it has accepted.
    pub vote: Option<Vote>,
}

impl Stored for Durable {}

impl Members {
    /// What is to outlast this life.
    pub(crate) fn durable(&self) -> Durable {
        if self.left {
            return Durable { promised: self.promised, ..Durable::default() };
        }
        Durable { promised: self.promised, base: self.known_base().clone(), vote: self.vote.clone() }
    }

    /// Something is going to be said that must not be forgotten.
    pub(crate) fn persist(&mut self) {
        if !self.config.without(Mutant::ForgetVotes) {
            self.out.push(Action::Persist(Box::new(self.durable())));
        }
    }

    /// Starts with what an earlier life has left.
    pub(crate) fn remember(&mut self, durable: Durable, now: Time) {
        self.now = now;
        let Durable { promised, base, vote } = durable;
        self.promised = promised;
        if base.tag.generation.0 == 0 && vote.is_none() {
            return;
        }
        self.is_heir = true;
        let bases = std::iter::once(&base).chain(vote.as_ref().map(|vote| &vote.base));
        let others = bases.flat_map(|base| &base.members).filter(|(node, _)| **node != self.config.id);
        let heard_ms = if self.config.without(Mutant::ForgetSilence) { 0 } else { now.mono_ms };
        for (node, life) in others {
            let peer = Peer::new(*life, heard_ms);
            self.known.insert(*node);
            let known = self.peers.entry(*node).or_insert_with(|| peer.clone());
            if known.incarnation < peer.incarnation {
                *known = peer;
            }
        }
        (self.inherited, self.vote) = (base, vote);
    }

    /// The base of the view installed last, in this life or in one before.
    pub(crate) fn known_base(&self) -> &Base {
        let installed = &self.installed.view.base;
        if installed.tag.generation.0 == 0 { &self.inherited } else { installed }
    }

    /// Whether this node has a vote in changes of the base: it is a member, or an earlier life is.
    pub(crate) fn votes_in(&self, base: &Base) -> bool {
        let me: NodeId = self.config.id;
        base.has(me, self.incarnation) || self.is_heir && base.members.contains_key(&me)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Incarnation;
    use crate::wire::WireError;

    #[test]
    fn what_is_written_down_is_read_again_and_nothing_else() {
        let mut durable = Durable { promised: ViewId::new(7, NodeId(2)), ..Durable::default() };
        durable.base.members.insert(NodeId(2), Incarnation(5));
        let base = durable.base.clone();
        durable.vote = Some(Vote { view: ViewId::new(8, NodeId(1)), base, settled: Default::default() });
        let bytes = durable.encode();
        assert_eq!(Durable::decode(&bytes), Ok(durable));
        for length in 0..bytes.len() {
            assert!(Durable::decode(&bytes[..length]).is_err(), "a part of {length} bytes");
        }
        assert_eq!(Durable::decode(&[bytes, vec![0]].concat()), Err(WireError::Trailing));
        assert_eq!(Durable::decode(&[0]), Err(WireError::Version(0)));
    }
}
