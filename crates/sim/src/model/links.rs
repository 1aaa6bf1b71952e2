//! Which links are up, each direction by itself.

use std::fmt;

use swytch_cluster::NodeId;

use super::config::NODES_MAX;
use crate::rng::Rng;

/// A bit per ordered pair of nodes; set when messages from the first to the second are lost.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Links(u32);

impl Links {
    /// Everyone reaches everyone.
    pub(super) const WHOLE: Self = Self(0);

    fn bit(from: NodeId, to: NodeId) -> u32 {
        1 << (usize::from(from.0) * NODES_MAX + usize::from(to.0))
    }

    /// Whether messages get from one node to the other.
    pub(super) fn up(self, from: NodeId, to: NodeId) -> bool {
        self.0 & Self::bit(from, to) == 0
    }

    fn cut(&mut self, from: NodeId, to: NodeId) {
        self.0 |= Self::bit(from, to);
    }

    /// Some way of losing links: two sides, one deaf or mute node, or single directions.
    pub(super) fn random(nodes: u8, rng: &mut Rng) -> Self {
        let mut links = Self::WHOLE;
        let kind = rng.below(6);
        let (side, one) = (rng.below(1 << nodes), NodeId(rng.below(u64::from(nodes)) as u8));
        for from in (0..nodes).map(NodeId) {
            for to in (0..nodes).map(NodeId).filter(|to| *to != from) {
                let apart = side >> from.0 & 1 != side >> to.0 & 1;
                let lost = match kind {
                    0..=2 => apart,
                    3 => from == one,
                    4 => to == one && apart,
                    _ => rng.below(4) == 0,
                };
                if lost {
                    links.cut(from, to);
                }
            }
        }
        links
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = (0..NODES_MAX as u8).map(NodeId);
        let pairs = all.clone().flat_map(|from| all.clone().map(move |to| (from, to)));
        let lost = pairs.filter(|(from, to)| !self.up(*from, *to));
        f.write_str("lost ")?;
        f.debug_list().entries(lost.map(|(from, to)| format!("{from:?}->{to:?}"))).finish()
    }
}
