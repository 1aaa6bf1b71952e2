//! Lives of nodes that are over: by a later one that was seen, by their own word, or because an operator says so.
//!
//! Neighbours: `view` says what that means for a base, `members` takes nothing more from them.

use crate::ids::{Incarnation, NodeId};
use crate::members::Members;
use crate::message::Message;

impl Members {
    /// Whether this life of the node is known to be over.
    pub(crate) fn is_over(&self, node: NodeId, incarnation: Incarnation) -> bool {
        self.over.get(&node).is_some_and(|over| incarnation <= *over)
            || self.peers.get(&node).is_some_and(|peer| peer.incarnation > incarnation)
    }

    pub(crate) fn note_over(&mut self, node: NodeId, incarnation: Incarnation) {
        if node != self.config.id {
            let over = self.over.entry(node).or_default();
            *over = incarnation.max(*over);
        }
    }

    /// The operator asserts that the node's present life is over or, where it has come back, what it was before.
    pub(crate) fn forget(&mut self, node: NodeId) {
        let heard = self.peers.get(&node).map(|peer| peer.incarnation);
        let bases = [self.stands_on(), &self.installed.view.base];
        let lives = bases.into_iter().filter_map(|base| base.members.get(&node).copied());
        let earlier = lives.clone().filter(|life| heard.is_some_and(|heard| *life < heard)).max();
        let Some(life) = earlier.or_else(|| lives.max()).or(heard) else { return };
        self.note_over(node, life);
        self.tell_over(vec![(node, life)]);
    }

    /// Ends this node's part in the cluster for good.
    pub(crate) fn leave(&mut self) {
        self.left = true;
        self.persist();
        self.tell_over(vec![(self.config.id, self.incarnation)]);
    }

    fn tell_over(&mut self, dead: Vec<(NodeId, Incarnation)>) {
        for node in self.known.without(self.config.id).iter() {
            self.send(node, Message::Over { dead: dead.clone() });
        }
    }
}
