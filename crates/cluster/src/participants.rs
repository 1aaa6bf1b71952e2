//! Who takes part in a batch: partitions of nodes.
//!
//! Nearly every batch is about keys of one partition, so that one stands beside the list of others, which is empty and
//! costs nothing then.

use crate::ids::{NodeId, NodeSet};

/// Partitions of nodes, by partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Participants {
    /// One partition.
    pub part: u8,
    /// The nodes whose partition of that number takes part.
    pub nodes: NodeSet,
    /// The same for further partitions.
    pub rest: Vec<(u8, NodeSet)>,
}

impl Participants {
    /// This partition of these nodes.
    pub fn of(part: u8, nodes: NodeSet) -> Self {
        Self { part, nodes, rest: Vec::new() }
    }

    /// Adds a partition of some nodes.
    pub fn add(&mut self, part: u8, nodes: NodeSet) {
        match self.at_mut(part) {
            Some(here) => *here = *here | nodes,
            None => self.rest.push((part, nodes)),
        }
    }

    fn at_mut(&mut self, part: u8) -> Option<&mut NodeSet> {
        if part == self.part {
            return Some(&mut self.nodes);
        }
        self.rest.iter_mut().find(|(other, _)| *other == part).map(|(_, nodes)| nodes)
    }

    /// Partitions with their nodes.
    pub fn iter(&self) -> impl Iterator<Item = (u8, NodeSet)> {
        std::iter::once((self.part, self.nodes)).chain(self.rest.iter().copied())
    }

    /// Each partition of each node.
    pub fn each(&self) -> impl Iterator<Item = (NodeId, u8)> {
        self.iter().flat_map(|(part, nodes)| nodes.iter().map(move |node| (node, part)))
    }

    /// Whether a partition of a node takes part.
    pub fn contains(&self, (node, part): (NodeId, u8)) -> bool {
        self.iter().any(|(other, nodes)| other == part && nodes.contains(node))
    }

    /// Takes a partition of a node out.
    pub fn remove(&mut self, (node, part): (NodeId, u8)) {
        if let Some(nodes) = self.at_mut(part) {
            nodes.remove(node);
        }
    }

    /// Takes all partitions of these nodes out.
    pub fn remove_nodes(&mut self, gone: NodeSet) {
        self.nodes = self.nodes - gone;
        self.rest.iter_mut().for_each(|(_, nodes)| *nodes = *nodes - gone);
    }

    /// Leaves only partitions of these nodes.
    pub fn keep_nodes(&mut self, kept: NodeSet) {
        self.nodes = self.nodes & kept;
        self.rest.iter_mut().for_each(|(_, nodes)| *nodes = *nodes & kept);
    }

    /// Whether nobody takes part.
    pub fn is_empty(&self) -> bool {
        self.iter().all(|(_, nodes)| nodes.is_empty())
    }

    /// The nodes.
    pub fn all_nodes(&self) -> NodeSet {
        self.iter().fold(NodeSet::EMPTY, |all, (_, nodes)| all | nodes)
    }
}
