//! Lists: a deque of packed nodes.
//!
//! Each node holds its elements back to back in one buffer with room at either end, so a push or pop at
//! the head costs no more than one at the tail: nothing is moved. A node has at most
//! [`NODE_BYTES_MAX`] bytes; a longer element has a node of its own. Finding an index walks nodes by
//! their counts from the nearer end, then elements within one node.

mod node;
pub mod op;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::ops::{ControlFlow, Deref, DerefMut};

use super::collection::{Collection, Face, Footprint};
use super::content::Part;
use super::limits::EncodingLimits;
use super::{Encoding, OwnedValue};
use crate::keyspace::{Editor, Misfit};
use node::Node;

pub use op::{Inserted, ListOp, ListUndo};

/// Largest buffer of a node that holds several elements.
pub const NODE_BYTES_MAX: usize = 4096;

/// The two ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The left end, index 0.
    Head,
    /// The right end, index -1.
    Tail,
}

impl Side {
    /// The other end.
    pub fn opposite(self) -> Side {
        match self {
            Side::Head => Side::Tail,
            Side::Tail => Side::Head,
        }
    }

    /// The name in arguments of LMOVE and its kin.
    pub fn name(self) -> &'static str {
        match self {
            Side::Head => "LEFT",
            Side::Tail => "RIGHT",
        }
    }
}

/// A list of byte strings.
#[derive(Clone, Debug, Default)]
pub struct List(Box<Chain>);

impl Deref for List {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.0
    }
}

impl DerefMut for List {
    fn deref_mut(&mut self) -> &mut Chain {
        &mut self.0
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for List {}

impl Hash for List {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.iter().for_each(|element| element.hash(state));
    }
}

impl Face for List {
    fn data_type(&self) -> super::Type {
        <Self as super::collection::Row>::TYPE
    }

    fn len(&self) -> usize {
        self.len
    }

    fn encoding(&self) -> Encoding {
        Encoding::Quicklist
    }

    fn footprint(&self) -> Footprint {
        Footprint { bytes: self.memory_bytes(), allocations: self.nodes.len() }
    }

    fn content(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.iter().try_for_each(|element| visit(Part::Element(element)))
    }

    fn add(&mut self, part: Part<'_>, _: &EncodingLimits) -> Result<(), Misfit> {
        match part {
            Part::Element(element) => self.push(Side::Tail, element),
        }
        Ok(())
    }

    fn to_owned_value(&self) -> OwnedValue {
        super::collection::Row::owned(self.clone())
    }

    fn free_some(&mut self, allocations: usize) -> bool {
        let some = allocations.min(self.nodes.len());
        self.nodes.drain(..some);
        self.nodes.is_empty()
    }
}

impl Collection for List {
    const NAME: &'static str = "list";
    const NUMBER: u8 = 1;

    type Op<'a> = ListOp<'a>;
    type Undo = ListUndo;

    fn apply(editor: &mut Editor<'_, Self>, op: &ListOp<'_>) -> Result<(), Misfit> {
        op::apply(editor, op)
    }

    fn take_back(&mut self, undo: &ListUndo, limits: &EncodingLimits) {
        op::take_back(self, undo, limits);
    }

    fn undo_bytes(undo: &ListUndo) -> usize {
        op::undo_bytes(undo)
    }
}

/// The nodes of a list.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    nodes: VecDeque<Node>,
    len: usize,
}

impl List {
    /// An empty list.
    pub fn new() -> Self {
        List::default()
    }
}

impl Chain {
    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of nodes (DEBUG OBJECT).
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Adds an element at one end.
    #[inline]
    pub fn push(&mut self, side: Side, element: &[u8]) {
        let end = match side {
            Side::Head => self.nodes.front_mut(),
            Side::Tail => self.nodes.back_mut(),
        };
        if !end.is_some_and(|node| node.push(side, element)) {
            self.push_node(side, element);
        }
        self.len += 1;
    }

    #[cold]
    fn push_node(&mut self, side: Side, element: &[u8]) {
        // A list that has filled a node is likely to fill another.
        let mut node =
            if self.nodes.is_empty() { Node::for_element(element) } else { Node::large_for(element) };
        let fits = node.push(side, element);
        debug_assert!(fits, "a node is made to hold its first element");
        match side {
            Side::Head => self.nodes.push_front(node),
            Side::Tail => self.nodes.push_back(node),
        }
    }

    /// The element at one end.
    #[inline]
    pub fn peek(&self, side: Side) -> Option<&[u8]> {
        match side {
            Side::Head => self.nodes.front().map(|node| node.end(side)),
            Side::Tail => self.nodes.back().map(|node| node.end(side)),
        }
    }

    /// Takes the element at one end and hands it to `take` before it is gone.
    #[inline]
    pub fn pop_with<R>(&mut self, side: Side, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let node = match side {
            Side::Head => self.nodes.front_mut()?,
            Side::Tail => self.nodes.back_mut()?,
        };
        let result = take(node.end(side));
        node.drop_end(side);
        if node.count() == 0 {
            match side {
                Side::Head => self.nodes.pop_front(),
                Side::Tail => self.nodes.pop_back(),
            };
        }
        self.len -= 1;
        Some(result)
    }

    /// Takes the element at one end.
    pub fn pop(&mut self, side: Side) -> Option<Vec<u8>> {
        self.pop_with(side, <[u8]>::to_vec)
    }

    /// Moves the element at one end to one end and returns it.
    pub fn rotate(&mut self, from: Side, to: Side) -> Option<Vec<u8>> {
        let element = self.pop(from)?;
        self.push(to, &element);
        Some(element)
    }

    /// The first elements from an end on.
    fn ends(&self, side: Side, count: usize) -> Vec<Vec<u8>> {
        match side {
            Side::Head => self.iter().take(count).map(<[u8]>::to_vec).collect(),
            Side::Tail => self.iter_rev().take(count).map(<[u8]>::to_vec).collect(),
        }
    }

    /// The first elements from an end on that are equal to one, at most `limit`, with their indices, ascending.
    fn equal_to(&self, element: &[u8], from: Side, limit: usize) -> Vec<(usize, Vec<u8>)> {
        let found = |(index, element): (usize, &[u8])| (index, element.to_vec());
        match from {
            Side::Head => {
                let indexed = self.iter().enumerate();
                indexed.filter(|(_, other)| *other == element).take(limit).map(found).collect()
            }
            Side::Tail => {
                let indexed = self.iter_rev().enumerate().map(|(step, other)| (self.len - 1 - step, other));
                let mut equal: Vec<_> =
                    indexed.filter(|(_, other)| *other == element).take(limit).map(found).collect();
                equal.reverse();
                equal
            }
        }
    }

    /// Node and offset of the element at `index`.
    fn locate(&self, index: usize) -> (usize, usize) {
        debug_assert!(index < self.len);
        if index <= self.len / 2 {
            let mut before = 0;
            for (at, node) in self.nodes.iter().enumerate() {
                if index < before + node.count() {
                    return (at, node.offset_of(index - before));
                }
                before += node.count();
            }
        } else {
            let mut after = self.len;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                after -= node.count();
                if index >= after {
                    return (at, node.offset_of(index - after));
                }
            }
        }
        unreachable!("the nodes' counts add up to len");
    }

    /// The element at `index`, from the head.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.len {
            return None;
        }
        let (at, offset) = self.locate(index);
        Some(self.nodes[at].element_at(offset).0)
    }

    /// The elements from `index` towards the tail.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        if index >= self.len {
            return Iter { list: self, node: self.nodes.len(), offset: 0, remaining: 0 };
        }
        let (node, offset) = self.locate(index);
        Iter { list: self, node, offset, remaining: self.len - index }
    }

    /// All elements from head to tail.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// All elements from tail to head.
    pub fn iter_rev(&self) -> impl Iterator<Item = &[u8]> {
        self.nodes.iter().rev().flat_map(Node::iter_rev)
    }

    /// Puts another element in the place of the one at `index`, which exists.
    pub fn set(&mut self, index: usize, element: &[u8]) {
        let (at, offset) = self.locate(index);
        if !self.nodes[at].replace(offset, element) {
            self.cut_at(at, offset);
            // The old element is now the first of node `at + 1` or, uncut, of `at` itself.
            let at = if offset == self.nodes[at].start() { at } else { at + 1 };
            self.nodes[at].drop_end(Side::Head);
            if self.nodes[at].count() == 0 {
                self.nodes.remove(at);
            }
            self.insert_node(at, element);
        }
    }

    /// Inserts an element so that it has `index`, which is at most the length.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        if index == 0 {
            return self.push(Side::Head, element);
        }
        if index == self.len {
            return self.push(Side::Tail, element);
        }
        let (at, offset) = self.locate(index);
        if !self.nodes[at].insert(offset, element) {
            let at = if offset == self.nodes[at].start() {
                at
            } else {
                self.cut_at(at, offset);
                at + 1
            };
            self.insert_node(at, element);
        }
        self.len += 1;
    }

    /// Takes out the element at `index`, which exists.
    pub fn remove(&mut self, index: usize) {
        let (at, offset) = self.locate(index);
        self.cut_at(at, offset);
        // The element is now the first of node `at + 1` or, uncut, of `at` itself.
        let at = if offset == self.nodes[at].start() { at } else { at + 1 };
        self.nodes[at].drop_end(Side::Head);
        if self.nodes[at].count() == 0 {
            self.nodes.remove(at);
        }
        self.len -= 1;
    }

    /// Splits node `at` so that the element at `offset` begins a node; at a node's start nothing is done.
    fn cut_at(&mut self, at: usize, offset: usize) {
        if offset != self.nodes[at].start() {
            let rest = self.nodes[at].split_off(offset);
            self.nodes.insert(at + 1, rest);
        }
    }

    fn insert_node(&mut self, at: usize, element: &[u8]) {
        let mut node = Node::for_element(element);
        let fits = node.push(Side::Tail, element);
        debug_assert!(fits, "a node is made to hold its first element");
        self.nodes.insert(at, node);
    }

    /// Removes up to `limit` elements for which `matches` holds, from the head or the tail on, and
    /// returns how many.
    pub fn remove_where(&mut self, from: Side, limit: usize, matches: impl Fn(&[u8]) -> bool) -> usize {
        let mut removed = 0;
        let mut touched = None;
        let mut several = false;
        let nodes = self.nodes.len();
        for step in 0..nodes {
            if removed == limit {
                break;
            }
            let at = if from == Side::Head { step } else { nodes - 1 - step };
            let here = self.nodes[at].remove_where(from, limit - removed, &matches);
            if here > 0 {
                several |= touched.replace(at).is_some();
                removed += here;
            }
        }
        self.len -= removed;
        match touched {
            None => {}
            Some(_) if several => self.close_gaps(),
            Some(at) if self.nodes[at].count() == 0 => {
                self.nodes.remove(at);
            }
            Some(at) => self.nodes[at].give_back_room(),
        }
        removed
    }

    /// Drops empty nodes and joins neighbours that have become small, so that memory follows the content.
    fn close_gaps(&mut self) {
        let mut kept = VecDeque::with_capacity(self.nodes.len());
        for mut node in std::mem::take(&mut self.nodes) {
            if node.count() == 0 || kept.back_mut().is_some_and(|last: &mut Node| last.absorb(&node)) {
                continue;
            }
            node.give_back_room();
            kept.push_back(node);
        }
        kept.shrink_to_fit();
        self.nodes = kept;
    }

    /// Removes `count` elements from one end; nodes at a time where possible.
    pub fn drop_from(&mut self, side: Side, count: usize) {
        let mut left = count.min(self.len);
        self.len -= left;
        while left > 0 {
            let node = match side {
                Side::Head => self.nodes.front_mut(),
                Side::Tail => self.nodes.back_mut(),
            };
            let node = node.expect("the nodes' counts add up to len");
            if node.count() <= left {
                left -= node.count();
                match side {
                    Side::Head => self.nodes.pop_front(),
                    Side::Tail => self.nodes.pop_back(),
                };
            } else {
                (0..left).for_each(|_| node.drop_end(side));
                left = 0;
            }
        }
    }

    /// Bytes of all buffers and of the list itself.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Chain>()
            + self.nodes.capacity() * size_of::<Node>()
            + self.nodes.iter().map(Node::capacity).sum::<usize>()
    }
}

/// Iterator from some index to the tail.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    list: &'a Chain,
    node: usize,
    offset: usize,
    remaining: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.remaining == 0 {
            return None;
        }
        let node = &self.list.nodes[self.node];
        let (element, next) = node.element_at(self.offset);
        self.remaining -= 1;
        if next == node.finish() {
            self.node += 1;
            self.offset = self.list.nodes.get(self.node).map_or(0, Node::start);
        } else {
            self.offset = next;
        }
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests;
