//! A list that does not fit in one packed value: a deque of them, none of which is empty.
//!
//! Nodes that changes inside the list have made small are joined again; those at its ends come and go with what is pushed
//! and popped, as Redis's do.

use std::collections::VecDeque;

use super::Side;
use crate::types::limits::NodeLimit;
use crate::types::packed::Packed;

/// A deque shrinks when this many times as many nodes have room in it as are there.
const ROOM_FACTOR: usize = 4;

/// In a list of more nodes than this the room at its ends is little beside what is in between.
const SHORT_NODES: usize = 4;

/// The nodes of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    nodes: VecDeque<Packed>,
    len: usize,
}

impl From<Packed> for Chain {
    fn from(node: Packed) -> Self {
        let len = node.count();
        Chain { nodes: (len > 0).then_some(node).into_iter().collect(), len }
    }
}

impl Chain {
    /// Number of elements.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The nodes.
    pub(super) fn nodes(&self) -> &VecDeque<Packed> {
        &self.nodes
    }

    #[inline(always)]
    fn end_mut(&mut self, side: Side) -> Option<&mut Packed> {
        match side {
            Side::Head => self.nodes.front_mut(),
            Side::Tail => self.nodes.back_mut(),
        }
    }

    /// Adds an element at one end.
    #[inline(always)]
    pub(super) fn push(&mut self, side: Side, element: &[u8], limit: NodeLimit) {
        if !self.end_mut(side).is_some_and(|node| node.try_push(side, element, limit)) {
            self.push_node(side, Packed::page(side, element, limit));
        }
        self.len += 1;
    }

    #[cold]
    fn push_node(&mut self, side: Side, node: Packed) {
        match side {
            Side::Head => self.nodes.push_front(node),
            Side::Tail => self.nodes.push_back(node),
        }
    }

    #[cold]
    fn pop_node(&mut self, side: Side) -> Option<Packed> {
        let node = match side {
            Side::Head => self.nodes.pop_front(),
            Side::Tail => self.nodes.pop_back(),
        };
        if self.nodes.capacity() > ROOM_FACTOR * (self.nodes.len() + 1) {
            self.nodes.shrink_to(2 * self.nodes.len());
        }
        node
    }

    /// Takes the element at one end and hands it to `take` before it is gone.
    #[inline(always)]
    pub(super) fn pop_with<R>(&mut self, side: Side, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let is_short = self.nodes.len() <= SHORT_NODES;
        let node = self.end_mut(side)?;
        let result = node.pop_with(side, take);
        if node.count() == 0 {
            self.pop_node(side);
        } else if is_short {
            node.give_back_room();
        }
        self.len -= 1;
        result
    }

    /// All of it as one packed value if it is one node that is small enough.
    pub(super) fn take_packed(&mut self, is_small: impl FnOnce(&Packed) -> bool) -> Option<Packed> {
        match self.nodes.len() {
            0 => Some(Packed::new()),
            1 if is_small(&self.nodes[0]) => self.nodes.pop_front(),
            _ => None,
        }
    }

    /// Puts another element in the place of one.
    pub(super) fn set(&mut self, (at, offset): (usize, usize), element: &[u8], limit: NodeLimit) {
        let node = &mut self.nodes[at];
        if node.can_replace(offset, element, limit) {
            node.replace(offset, element, limit);
        } else if node.count() == 1 {
            *node = Packed::of(element);
        } else {
            node.remove(offset, limit);
            self.insert_near((at, offset), element, limit);
        }
        self.tidy(at, limit);
    }

    /// Inserts an element before the one at a place.
    pub(super) fn insert(&mut self, place: (usize, usize), element: &[u8], limit: NodeLimit) {
        self.insert_near(place, element, limit);
        self.len += 1;
    }

    /// Puts an element at a place, which may be the end of a node, whether the node has room or not.
    fn insert_near(&mut self, (at, offset): (usize, usize), element: &[u8], limit: NodeLimit) {
        let node = &mut self.nodes[at];
        if node.can_insert(element, limit) {
            return node.insert(offset, element, limit);
        }
        // The place becomes one between two nodes, and then belongs to the one before, which often has room.
        let between = if offset == 0 { at } else { at + 1 };
        if offset != 0 && offset != node.used() {
            let rest = node.split_off(offset);
            self.nodes.insert(between, rest);
        }
        if between > 0 && self.nodes[between - 1].try_push(Side::Tail, element, limit) {
            return;
        }
        self.nodes.insert(between, Packed::of(element));
    }

    /// Takes out the element at a place.
    pub(super) fn remove(&mut self, (at, offset): (usize, usize), limit: NodeLimit) {
        self.nodes[at].remove(offset, limit);
        self.len -= 1;
        self.tidy(at, limit);
    }

    /// Drops a node that has become empty, and joins one that has become small with its neighbours.
    fn tidy(&mut self, at: usize, limit: NodeLimit) {
        if self.nodes[at].count() == 0 {
            self.nodes.remove(at);
        }
        for left in [at, at.saturating_sub(1)] {
            if left + 1 < self.nodes.len() {
                let (front, behind) = (left, left + 1);
                let next = std::mem::take(&mut self.nodes[behind]);
                if self.nodes[front].absorb(&next, limit) {
                    self.nodes.remove(behind);
                } else {
                    self.nodes[behind] = next;
                }
            }
        }
    }

    /// Removes up to `count` elements for which `matches` holds, from the head or the tail on, and returns how many.
    pub(super) fn remove_where(
        &mut self,
        from: Side,
        count: usize,
        matches: &impl Fn(&[u8]) -> bool,
        limit: NodeLimit,
    ) -> usize {
        let (mut removed, nodes) = (0, self.nodes.len());
        for step in 0..nodes {
            if removed == count {
                break;
            }
            let at = if from == Side::Head { step } else { nodes - 1 - step };
            removed += self.nodes[at].remove_where(from, count - removed, matches);
        }
        self.len -= removed;
        if removed > 0 {
            self.join_all(limit);
        }
        removed
    }

    /// Drops empty nodes and joins neighbours that are small.
    fn join_all(&mut self, limit: NodeLimit) {
        let mut kept = VecDeque::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes) {
            if node.count() > 0 && !kept.back_mut().is_some_and(|last: &mut Packed| last.absorb(&node, limit))
            {
                kept.push_back(node);
            }
        }
        kept.shrink_to_fit();
        self.nodes = kept;
    }

    /// Removes `count` elements from one end; nodes at a time where possible.
    pub(super) fn drop_from(&mut self, side: Side, count: usize) {
        let mut left = count.min(self.len);
        self.len -= left;
        while left > 0 {
            let node = self.end_mut(side).expect("the nodes' counts add up to len");
            if node.count() > left {
                (0..left).for_each(|_| _ = node.pop_with(side, |_| ()));
                return node.give_back_room();
            }
            left -= node.count();
            self.pop_node(side);
        }
    }
}
