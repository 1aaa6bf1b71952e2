//! What a home keeps of the keys of its slots: who holds them, by hash.
//!
//! Nearly every key has one holder; that takes a hash and a byte. Names are kept by whoever has the values.
//!
//! Invariants:
//! - *Twins*, names that agree in slot and hash, share an entry: it says who may hold any of them, and who is likely to own
//!   one.
//! - A slot is brought into the present view when it is next looked at, so that a view change does not walk through all of
//!   them.
//!
//! Neighbour: `directory`, which asks the holders before it says anything about one name.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use crate::ids::{NodeId, NodeSet};
use crate::key::{Mark, Slot};
use crate::table::Table;

/// What is known of all keys of one mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Known {
    /// All who may hold one of them.
    pub(crate) holders: NodeSet,
    /// One who has said in this view that it owns one of them.
    pub(crate) owner: Option<NodeId>,
}

impl Known {
    /// A node holds none of them.
    pub(crate) fn leave(&mut self, holder: NodeId) {
        self.holders.remove(holder);
        self.disown(holder);
    }

    /// A node does not own what it was taken to own.
    pub(crate) fn disown(&mut self, owner: NodeId) {
        self.owner = self.owner.filter(|known| *known != owner);
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Holders {
    slots: BTreeMap<Slot, OfSlot>,
    /// Views that were entered.
    views: u64,
    /// In which of them each node was dropped last.
    dropped: BTreeMap<NodeId, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct OfSlot {
    /// The number of the view it was brought into.
    view: u64,
    /// Who held anything when the view began.
    before: NodeSet,
    /// Keys of which there is only one holder to tell.
    sole: Table<Sole, Packed>,
    /// The others.
    shared: BTreeMap<u64, Known>,
}

/// A hash that needs no alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packed([u8; 8]);

impl Packed {
    fn new(hash: u64) -> Self {
        Self(hash.to_le_bytes())
    }
}

impl Hash for Packed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_le_bytes(self.0));
    }
}

/// A holder, and whether it has said that it is the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sole(u8);

impl Sole {
    const OWNS: u8 = 1 << 7;

    fn of(known: Known) -> Option<Self> {
        let holder = known.holders.first().filter(|holder| known.holders == NodeSet::only(*holder))?;
        match known.owner {
            None => Some(Self(holder.0)),
            Some(owner) if owner == holder => Some(Self(holder.0 | Self::OWNS)),
            Some(_) => None,
        }
    }

    fn holder(self) -> NodeId {
        NodeId(self.0 & !Self::OWNS)
    }

    fn known(self) -> Known {
        let holder = self.holder();
        Known { holders: NodeSet::only(holder), owner: (self.0 & Self::OWNS != 0).then_some(holder) }
    }
}

impl OfSlot {
    fn of(&self, hash: u64) -> Known {
        let shared = || self.shared.get(&hash).copied().unwrap_or_default();
        self.sole.get(&Packed::new(hash)).map_or_else(shared, |sole| sole.known())
    }

    fn set(&mut self, hash: u64, known: Known) {
        let sole = Sole::of(known);
        match sole {
            Some(sole) => self.sole.insert(Packed::new(hash), sole),
            None => drop(self.sole.remove(&Packed::new(hash))),
        }
        if sole.is_some() || known == Known::default() {
            self.shared.remove(&hash);
        } else {
            self.shared.insert(hash, known);
        }
    }

    /// Forgets who owned what in an earlier view, and nodes that were dropped since.
    fn begin(&mut self, view: u64, dropped: NodeSet) {
        self.view = view;
        self.sole.retain(|_, sole| {
            *sole = Sole(sole.holder().0);
            !dropped.contains(sole.holder())
        });
        for (hash, known) in std::mem::take(&mut self.shared) {
            self.set(hash, Known { holders: known.holders - dropped, owner: None });
        }
        let sole = self.sole.values().map(|sole| NodeSet::only(sole.holder()));
        let shared = self.shared.values().map(|known| known.holders);
        self.before = sole.chain(shared).fold(NodeSet::EMPTY, |all, holders| all | holders);
    }

    fn is_empty(&self) -> bool {
        self.sole.len() == 0 && self.shared.is_empty()
    }
}

impl Holders {
    /// Begins a view that has dropped these nodes, with the slots that this node is home of.
    pub(crate) fn enter_view(&mut self, dropped: NodeSet, is_home: impl Fn(Slot) -> bool) {
        self.views += 1;
        self.dropped.extend(dropped.iter().map(|node| (node, self.views)));
        self.slots.retain(|slot, of_slot| !of_slot.is_empty() && is_home(*slot));
    }

    /// What is known of the keys of a mark.
    pub(crate) fn of(&mut self, mark: Mark) -> Known {
        self.slot(mark.slot).map(|of_slot| of_slot.of(mark.hash)).unwrap_or_default()
    }

    pub(crate) fn change(&mut self, mark: Mark, change: impl FnOnce(&mut Known)) {
        let known = self.of(mark);
        let mut changed = known;
        change(&mut changed);
        if changed == known {
            return;
        }
        let view = self.views;
        let of_slot = self.slots.entry(mark.slot).or_insert_with(|| OfSlot { view, ..OfSlot::default() });
        of_slot.set(mark.hash, changed);
        if of_slot.is_empty() && of_slot.before.is_empty() {
            self.slots.remove(&mark.slot);
        }
    }

    /// Who held a key of the slot when the view began.
    pub(crate) fn before(&mut self, slot: Slot) -> NodeSet {
        self.slot(slot).map_or(NodeSet::EMPTY, |of_slot| of_slot.before)
    }

    fn slot(&mut self, slot: Slot) -> Option<&mut OfSlot> {
        let of_slot = self.slots.get_mut(&slot)?;
        if of_slot.view != self.views {
            let since = |(_, view): &(&NodeId, &u64)| **view > of_slot.view;
            let dropped = self.dropped.iter().filter(since).map(|(node, _)| *node).collect();
            of_slot.begin(self.views, dropped);
        }
        Some(of_slot)
    }

    /// How many marks there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.values().map(|of_slot| of_slot.sole.len() + of_slot.shared.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Mark = Mark { slot: Slot(1), hash: 7 };

    fn holders(nodes: &[u8]) -> Holders {
        let mut holders = Holders::default();
        nodes.iter().for_each(|node| holders.change(ONE, |known| known.holders.insert(NodeId(*node))));
        holders.change(ONE, |known| known.owner = Some(NodeId(nodes[0])));
        holders
    }

    #[test]
    fn one_holder_and_several_are_told_alike() {
        for nodes in [&[63][..], &[3, 0], &[0, 63, 5]] {
            let mut known = holders(nodes);
            let all: NodeSet = nodes.iter().map(|node| NodeId(*node)).collect();
            assert_eq!(known.of(ONE), Known { holders: all, owner: Some(NodeId(nodes[0])) });
            assert_eq!((known.of(Mark { hash: 8, ..ONE }), known.len()), (Known::default(), 1));
            nodes.iter().for_each(|node| known.change(ONE, |known| known.leave(NodeId(*node))));
            assert_eq!(known, Holders::default());
        }
    }

    #[test]
    fn a_slot_that_has_skipped_views_knows_all_that_they_have_dropped() {
        let mut known = holders(&[3, 1, 2]);
        known.enter_view(NodeSet::only(NodeId(3)), |_| true);
        known.enter_view(NodeSet::only(NodeId(2)), |_| true);
        known.change(Mark { slot: Slot(2), hash: 1 }, |known| known.holders.insert(NodeId(2)));
        known.enter_view(NodeSet::EMPTY, |slot| slot == Slot(1));
        let left = NodeSet::only(NodeId(1));
        assert_eq!((known.before(Slot(1)), known.before(Slot(2))), (left, NodeSet::EMPTY));
        assert_eq!(known.of(ONE), Known { holders: left, owner: None });
    }
}
