//! Lists: one packed value while that is small, a deque of packed nodes beyond it.
//!
//! What is small is said by the limit on nodes, `list-max-listpack-size`; a list is small again when it has come down to
//! one node and half the limit, so that it does not change its form at each step about the limit. Redis does the same
//! with `listpack` and `quicklist`, by whose names the two forms go. A push or pop at the head costs no more than one at
//! the tail: nothing is moved. Finding an index walks nodes by their counts from the nearer end, then elements within
//! one node.

mod chain;
pub mod op;

use std::hash::{Hash, Hasher};
use std::iter::{Chain as Chained, FusedIterator};
use std::ops::ControlFlow;
use std::slice;

use super::Encoding;
use super::collection::{Collection, Face};
use super::content::Part;
use super::limits::{EncodingLimits, NodeLimit};
use super::packed::{Form, Handle, Packed};
use crate::effect::Elements;
use crate::keyspace::{Editor, Misfit};
use chain::Chain;

pub use super::side::Side;
pub use op::{Inserted, ListOp, ListUndo};

/// A list of byte strings.
#[derive(Clone, Debug, Default)]
pub struct List(Handle<Chain>);

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for List {}

impl Hash for List {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|element| element.hash(state));
    }
}

impl Face for List {
    fn len(&self) -> usize {
        List::len(self)
    }

    fn encoding(&self) -> Encoding {
        match self.0.form() {
            Form::Small(_) => Encoding::Listpack,
            Form::Big(_) => Encoding::Quicklist,
        }
    }

    fn memory_bytes(&self) -> usize {
        let nodes = self.nodes().map(Packed::memory_bytes).sum::<usize>();
        match self.0.form() {
            Form::Small(_) => nodes,
            Form::Big(chain) => size_of::<Chain>() + chain.nodes().capacity() * size_of::<Packed>() + nodes,
        }
    }

    fn allocations(&self) -> usize {
        match self.0.form() {
            Form::Small(_) => 1,
            Form::Big(chain) => chain.nodes().len(),
        }
    }

    fn content(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.iter().try_for_each(|element| visit(Part::Element(element)))
    }

    fn add(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        let Part::Element(element) = part else { return Err(Misfit) };
        self.push(Side::Tail, Elements::One(element), limits.list_node);
        Ok(())
    }
}

impl Collection for List {
    const NAME: &'static str = "list";
    const PLURAL: &'static str = "lists";
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

impl List {
    /// An empty list.
    pub fn new() -> Self {
        List::default()
    }

    /// Number of elements.
    #[inline(always)]
    pub fn len(&self) -> usize {
        match self.0.form() {
            Form::Small(packed) => packed.count(),
            Form::Big(chain) => chain.len(),
        }
    }

    /// True when there is no element.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn nodes(&self) -> Nodes<'_> {
        let (front, behind) = match self.0.form() {
            Form::Small(packed) => (slice::from_ref(packed), &[][..]),
            Form::Big(chain) => chain.nodes().as_slices(),
        };
        front.iter().chain(behind)
    }

    /// Adds elements one after the other at one end.
    #[inline(always)]
    pub fn push(&mut self, side: Side, elements: Elements<'_>, limit: NodeLimit) {
        match (self.0.form_mut(), elements) {
            (Form::Big(chain), Elements::One(element)) => chain.push(side, element, limit),
            _ => self.push_seldom(side, elements, limit),
        }
    }

    #[inline(never)]
    fn push_seldom(&mut self, side: Side, elements: Elements<'_>, limit: NodeLimit) {
        if let Form::Small(packed) = self.0.form_mut() {
            if limit.packs(packed.used() + elements.bytes(), packed.count() + elements.len()) {
                return elements.for_each(|element| packed.push(side, element, limit));
            }
            self.become_big();
        }
        if let Form::Big(chain) = self.0.form_mut() {
            elements.for_each(|element| chain.push(side, element, limit));
        }
    }

    /// Prepares for so many bytes of one element more: that may make the list big.
    fn expect(&mut self, bytes: usize, limit: NodeLimit) {
        if let Form::Small(packed) = self.0.form()
            && !limit.packs(packed.used() + bytes, packed.count() + 1)
        {
            self.become_big();
        }
    }

    #[cold]
    fn become_big(&mut self) {
        if let Form::Small(packed) = self.0.form_mut() {
            self.0 = Handle::big(Chain::from(std::mem::take(packed)));
        }
    }

    /// Makes a list that has become small one packed value again.
    fn settle(&mut self, limit: NodeLimit) {
        if let Form::Big(chain) = self.0.form_mut()
            && let Some(packed) = chain.take_packed(|packed| limit.packs_again(packed.used(), packed.count()))
        {
            self.0 = Handle::small(packed);
        }
    }

    /// The element at one end.
    #[inline]
    pub fn peek(&self, side: Side) -> Option<&[u8]> {
        match (self.0.form(), side) {
            (Form::Small(packed), _) => packed.end(side),
            (Form::Big(chain), Side::Head) => chain.nodes().front()?.end(side),
            (Form::Big(chain), Side::Tail) => chain.nodes().back()?.end(side),
        }
    }

    /// Takes the element at one end and hands it to `take` before it is gone.
    #[inline(always)]
    pub fn pop_with<R>(&mut self, side: Side, limit: NodeLimit, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        match self.0.form_mut() {
            Form::Small(packed) => {
                let result = packed.pop_with(side, take);
                packed.give_back_room();
                result
            }
            Form::Big(chain) => {
                let result = chain.pop_with(side, take);
                if chain.nodes().len() <= 1 {
                    self.settle(limit);
                }
                result
            }
        }
    }

    /// Takes the element at one end.
    pub fn pop(&mut self, side: Side, limit: NodeLimit) -> Option<Vec<u8>> {
        self.pop_with(side, limit, <[u8]>::to_vec)
    }

    /// Moves the element at one end to one end and returns it.
    pub fn rotate(&mut self, from: Side, to: Side, limit: NodeLimit) -> Option<Vec<u8>> {
        let element = self.pop(from, limit)?;
        self.push(to, Elements::One(&element), limit);
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
                let indexed = self.iter_rev().enumerate().map(|(step, other)| (self.len() - 1 - step, other));
                let mut equal: Vec<_> =
                    indexed.filter(|(_, other)| *other == element).take(limit).map(found).collect();
                equal.reverse();
                equal
            }
        }
    }

    /// Node and offset of the element at `index`, which exists, and that node with those behind it.
    fn locate(&self, index: usize) -> ((usize, usize), Nodes<'_>) {
        debug_assert!(index < self.len());
        let nodes = self.nodes();
        let (mut at, mut before) = (0, 0);
        if index <= self.len() / 2 {
            for node in nodes.clone() {
                if index < before + node.count() {
                    break;
                }
                before += node.count();
                at += 1;
            }
        } else {
            (at, before) = (self.allocations(), self.len());
            for node in nodes.clone().rev() {
                before -= node.count();
                at -= 1;
                if index >= before {
                    break;
                }
            }
        }
        let mut rest = nodes;
        if at > 0 {
            rest.nth(at - 1);
        }
        let node = rest.clone().next().expect("the nodes' counts add up to len");
        ((at, node.offset_of(index - before)), rest)
    }

    /// The element at `index`, from the head.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.iter_from(index).next()
    }

    /// The elements from `index` towards the tail.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        if index >= self.len() {
            return Iter { content: &[], nodes: self.nodes(), remaining: 0 };
        }
        let ((_, offset), mut nodes) = self.locate(index);
        let content = nodes.next().map_or(&[][..], |node| node.from(offset));
        Iter { content, nodes, remaining: self.len() - index }
    }

    /// All elements from head to tail.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// All elements from tail to head.
    pub fn iter_rev(&self) -> impl Iterator<Item = &[u8]> {
        self.nodes().rev().flat_map(Packed::iter_rev)
    }

    /// Puts another element in the place of the one at `index`, which exists.
    pub fn set(&mut self, index: usize, element: &[u8], limit: NodeLimit) {
        self.expect(element.len(), limit);
        let (place, _) = self.locate(index);
        match self.0.form_mut() {
            Form::Small(packed) => packed.replace(place.1, element, limit),
            Form::Big(chain) => chain.set(place, element, limit),
        }
        self.settle(limit);
    }

    /// Inserts an element so that it has `index`, which is at most the length.
    pub fn insert(&mut self, index: usize, element: &[u8], limit: NodeLimit) {
        if index == 0 || index == self.len() {
            let side = if index == 0 { Side::Head } else { Side::Tail };
            return self.push(side, Elements::One(element), limit);
        }
        self.expect(element.len(), limit);
        let (place, _) = self.locate(index);
        match self.0.form_mut() {
            Form::Small(packed) => packed.insert(place.1, element, limit),
            Form::Big(chain) => chain.insert(place, element, limit),
        }
    }

    /// Takes out the element at `index`, which exists.
    pub fn remove(&mut self, index: usize, limit: NodeLimit) {
        let (place, _) = self.locate(index);
        match self.0.form_mut() {
            Form::Small(packed) => packed.remove(place.1, limit),
            Form::Big(chain) => chain.remove(place, limit),
        }
        self.settle(limit);
    }

    /// Removes up to `count` elements for which `matches` holds, from the head or the tail on, and returns how many.
    pub fn remove_where(
        &mut self,
        from: Side,
        count: usize,
        matches: impl Fn(&[u8]) -> bool,
        limit: NodeLimit,
    ) -> usize {
        let removed = match self.0.form_mut() {
            Form::Small(packed) => packed.remove_where(from, count, &matches),
            Form::Big(chain) => chain.remove_where(from, count, &matches, limit),
        };
        self.settle(limit);
        removed
    }

    /// Removes `count` elements from one end; nodes at a time where possible.
    pub fn drop_from(&mut self, side: Side, count: usize, limit: NodeLimit) {
        match self.0.form_mut() {
            Form::Small(packed) => {
                (0..count).map_while(|_| packed.pop_with(side, |_| ())).for_each(drop);
                packed.give_back_room();
            }
            Form::Big(chain) => chain.drop_from(side, count),
        }
        self.settle(limit);
    }
}

/// The nodes of a list, from head to tail.
type Nodes<'a> = Chained<slice::Iter<'a, Packed>, slice::Iter<'a, Packed>>;

/// Iterator from some index to the tail.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    /// What is left of a node.
    content: &'a [u8],
    /// Those behind it.
    nodes: Nodes<'a>,
    remaining: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.remaining == 0 {
            return None;
        }
        if self.content.is_empty() {
            self.content = self.nodes.next()?.from(0);
        }
        let (element, rest) = Packed::split_first(self.content);
        self.content = rest;
        self.remaining -= 1;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

#[cfg(test)]
mod tests;
