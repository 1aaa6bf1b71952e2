//! Whom a node reaches: peers whose heartbeats it hears and that answer.
//!
//! Heartbeats have a way of their own, so they say nothing of the way that everything else takes. Whoever has to ask a peer
//! again has it probed on that way, through the partition that waits; a peer that does not answer a probe for as long as one
//! that is silent is not reached either. Neighbour: `members`, which makes views of those who reach one another.

use std::collections::BTreeMap;

use crate::ids::{Incarnation, NodeId, NodeSet};
use crate::members::{Members, Peer};
use crate::message::Message;
use crate::mutant::Mutant;

/// Asks a partition of a peer for an answer until one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Probe {
    pub(crate) since_ms: u64,
    pub(crate) part: u8,
}

impl Members {
    /// Partitions wait for these peers.
    pub(crate) fn probe(&mut self, doubted: BTreeMap<NodeId, u8>) {
        let since_ms = self.now.mono_ms;
        for (node, part) in doubted {
            if let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.probe.is_none()) {
                peer.probe = Some(Probe { since_ms, part });
                self.send_to(node, part, Message::Probe { sent_ms: since_ms });
            }
        }
    }

    pub(crate) fn on_probed(&mut self, from: NodeId, life: Incarnation, sent_ms: u64) {
        if let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.incarnation == life) {
            peer.probe = peer.probe.filter(|probe| sent_ms < probe.since_ms);
        }
    }

    /// This node and everyone it hears, unless nothing but heartbeats gets through.
    pub(crate) fn reach(&self) -> NodeSet {
        let now = self.now.mono_ms;
        let suspect_ms = self.config.timers.suspect_ms;
        let any_way = self.config.without(Mutant::HeartbeatsSuffice);
        let recent = |peer: &&Peer| now <= peer.heard_ms + suspect_ms;
        self.peers
            .iter()
            .filter(|(node, peer)| {
                peer.sent_ms.is_some()
                    && recent(peer)
                    && (any_way || peer.probe.is_none_or(|probe| now <= probe.since_ms + suspect_ms))
                    && self.over.get(node).is_none_or(|over| peer.incarnation > *over)
            })
            .fold(NodeSet::only(self.config.id), |reach, (node, _)| reach.with(*node))
    }

    /// The largest set of mutually reachable nodes that a greedy walk in node order finds.
    pub(crate) fn clique(&self) -> NodeSet {
        let me = self.config.id;
        let mut clique = NodeSet::only(me);
        for node in self.reach().without(me).iter() {
            let Some(peer) = self.peers.get(&node) else { continue };
            let hears_all = clique.is_subset(peer.reach);
            let heard_by_all = clique
                .without(me)
                .iter()
                .all(|other| self.peers.get(&other).is_some_and(|other| other.reach.contains(node)));
            if hears_all && heard_by_all {
                clique.insert(node);
            }
        }
        clique
    }
}
