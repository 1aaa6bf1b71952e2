//! The list while its key is forked: the positions of the base, and a tree of inserted elements.
//!
//! Every element has a name: its position in the base, or its dot. A pushed element hangs before (head) or after
//! (tail) its neighbour at the moment of the push, the outermost ones on the ends of the base. Walking the tree gives
//! one order that agrees with the order every side has seen, whatever is joined in whatever order. Among elements
//! that hang in the same place the winner's stand nearer to the base: "loser's head pushes, winner's head pushes,
//! base, winner's tail, loser's tail". A side's run of pushes hangs on itself, so it stays together.
//!
//! Removed elements keep their place (without their value) until the log is freed, because others may hang on them.

use std::collections::{BTreeMap, BTreeSet};

use crate::cell::Follow;
use crate::dot::{Context, Dot, Origin, Stamp};
use crate::effect::End;
use crate::value::Bytes;

/// The name of a place to hang an element on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Before everything of the base, present or gone.
    Start,
    /// The element at this position of the base.
    Base(u32),
    /// An element inserted during the fork.
    Inserted(Dot),
    /// After everything of the base.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Anchor {
    place: Place,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    anchor: Anchor,
    /// `None` once removed.
    element: Option<Bytes>,
}

/// Inserted and removed elements, relative to a base that the caller supplies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Sequence {
    nodes: BTreeMap<Dot, Node>,
    base_removed: BTreeSet<u32>,
    /// LSET: the later stamp wins; a removal beats any.
    replaced: BTreeMap<Place, (Stamp, Bytes)>,
}

impl Sequence {
    /// The visible elements with their names, left to right. `base` is the length of the list before the fork.
    pub(crate) fn places(&self, base: usize) -> Vec<Place> {
        self.walk(base).into_iter().filter(|place| self.is_visible(*place)).collect()
    }

    /// The element at a place.
    pub(crate) fn element<'a>(&'a self, place: Place, base: &'a [Bytes]) -> &'a Bytes {
        if let Some((_, element)) = self.replaced.get(&place) {
            return element;
        }
        match place {
            Place::Base(position) => &base[position as usize],
            Place::Inserted(dot) => self.nodes[&dot].element.as_ref().expect("a visible element has a value"),
            Place::Start | Place::End => unreachable!("the ends of the base are not elements"),
        }
    }

    /// The visible list.
    pub(crate) fn elements(&self, base: &[Bytes]) -> Vec<Bytes> {
        self.places(base.len()).into_iter().map(|place| self.element(place, base).clone()).collect()
    }

    pub(crate) fn push(&mut self, origin: Origin, end: End, element: Bytes) {
        let outermost = self.outermost(end);
        self.nodes
            .insert(origin.dot, Node { anchor: Anchor { place: outermost, end }, element: Some(element) });
    }

    /// LINSERT so that the element gets this visible index.
    pub(crate) fn insert(&mut self, origin: Origin, base: usize, index: usize, element: Bytes) {
        let walk = self.walk(base);
        let visible: Vec<usize> = (0..walk.len()).filter(|&at| self.is_visible(walk[at])).collect();
        let Some(&right) = visible.get(index) else { return self.push(origin, End::Tail, element) };
        // Hang it after whatever stands directly before, visible or not: then nothing can come between.
        match right.checked_sub(1).map(|left| walk[left]) {
            Some(left) if !self.has_child(left, End::Tail) => {
                let anchor = Anchor { place: left, end: End::Tail };
                self.nodes.insert(origin.dot, Node { anchor, element: Some(element) });
            }
            _ => {
                // The right neighbour is then the leftmost of its subtree: hang on its head side.
                let anchor = Anchor { place: walk[right], end: End::Head };
                self.nodes.insert(origin.dot, Node { anchor, element: Some(element) });
            }
        }
    }

    /// Removes what is visible at this index.
    pub(crate) fn remove_at(&mut self, base: usize, index: usize) {
        if let Some(place) = self.places(base).get(index) {
            self.remove(*place);
        }
    }

    /// LSET at this visible index.
    pub(crate) fn replace_at(&mut self, origin: Origin, base: usize, index: usize, element: Bytes) {
        if let Some(place) = self.places(base).get(index) {
            self.replaced.insert(*place, (origin.stamp, element));
        }
    }

    /// Removes everything of the base and everything inserted so far.
    pub(crate) fn remove_all(&mut self, base: usize) {
        self.base_removed.extend(0..base as u32);
        self.cut();
    }

    /// Drops what is said about the base.
    pub(crate) fn forget_base(&mut self) {
        self.base_removed.clear();
        self.replaced.retain(|place, _| !matches!(place, Place::Base(_)));
    }

    /// True if an inserted element is visible.
    pub(crate) fn is_inserted(&self) -> bool {
        self.nodes.values().any(|node| node.element.is_some())
    }

    fn remove(&mut self, place: Place) {
        match place {
            Place::Base(position) => {
                self.base_removed.insert(position);
            }
            Place::Inserted(dot) => {
                if let Some(node) = self.nodes.get_mut(&dot) {
                    node.element = None;
                }
            }
            Place::Start | Place::End => {}
        }
        self.replaced.remove(&place);
    }

    fn is_visible(&self, place: Place) -> bool {
        match place {
            Place::Base(position) => !self.base_removed.contains(&position),
            Place::Inserted(dot) => self.nodes.get(&dot).is_some_and(|node| node.element.is_some()),
            Place::Start | Place::End => false,
        }
    }

    fn has_child(&self, place: Place, end: End) -> bool {
        let anchor = Anchor { place, end };
        self.nodes.values().any(|node| node.anchor == anchor)
    }

    /// The leftmost element hanging on the start of the base (rightmost, on its end), or that end itself.
    fn outermost(&self, end: End) -> Place {
        let mut hanging = self.children();
        let mut place = match end {
            End::Head => Place::Start,
            End::Tail => Place::End,
        };
        // The outermost child of the outermost child, and so on. Children are sorted innermost first.
        while let Some(outer) = hanging.remove(&Anchor { place, end }).and_then(|mut dots| dots.pop()) {
            place = Place::Inserted(outer);
        }
        place
    }

    /// Children by anchor, nearest to the anchor first: the higher side, and within one side the older write.
    fn children(&self) -> BTreeMap<Anchor, Vec<Dot>> {
        let mut children: BTreeMap<Anchor, Vec<Dot>> = BTreeMap::new();
        for (dot, node) in &self.nodes {
            children.entry(node.anchor).or_default().push(*dot);
        }
        for dots in children.values_mut() {
            dots.sort_by(|a, b| b.side.cmp(&a.side).then(a.sequence.cmp(&b.sequence)));
        }
        children
    }

    /// All places in order, visible or not, without recursion: a run of pushes is a deep chain.
    fn walk(&self, base: usize) -> Vec<Place> {
        enum Step {
            Open(Place),
            Emit(Place),
        }
        let children = self.children();
        let of = |place: Place, end: End| {
            children.get(&Anchor { place, end }).map(Vec::as_slice).unwrap_or_default()
        };
        let roots = std::iter::once(Place::Start)
            .chain((0..base as u32).map(Place::Base))
            .chain(std::iter::once(Place::End));
        let mut order = Vec::with_capacity(base + self.nodes.len());
        let mut stack = Vec::new();
        for root in roots {
            stack.push(Step::Open(root));
            while let Some(step) = stack.pop() {
                match step {
                    Step::Emit(place) => order.push(place),
                    Step::Open(place) => {
                        // The stack is last in, first out: what comes last is pushed first.
                        stack.extend(
                            of(place, End::Tail).iter().rev().map(|dot| Step::Open(Place::Inserted(*dot))),
                        );
                        stack.push(Step::Emit(place));
                        stack
                            .extend(of(place, End::Head).iter().map(|dot| Step::Open(Place::Inserted(*dot))));
                    }
                }
            }
        }
        order.retain(|place| !matches!(place, Place::Start | Place::End));
        order
    }
}

impl Follow for Sequence {
    fn join(&mut self, _: &Context, other: &Self, _: &Context) {
        for (dot, node) in &other.nodes {
            match self.nodes.get_mut(dot) {
                Some(own) if node.element.is_none() => own.element = None,
                Some(_) => {}
                None => {
                    self.nodes.insert(*dot, node.clone());
                }
            }
        }
        self.base_removed.extend(&other.base_removed);
        for (place, theirs) in &other.replaced {
            match self.replaced.get_mut(place) {
                Some(own) if *own < *theirs => *own = theirs.clone(),
                Some(_) => {}
                None => {
                    self.replaced.insert(*place, theirs.clone());
                }
            }
        }
        let visible: BTreeSet<Place> =
            self.replaced.keys().copied().filter(|place| self.is_visible(*place)).collect();
        self.replaced.retain(|place, _| visible.contains(place));
    }

    fn cut(&mut self) {
        for node in self.nodes.values_mut() {
            node.element = None;
        }
        let removed = &self.base_removed;
        self.replaced.retain(|place, _| matches!(place, Place::Base(at) if !removed.contains(at)));
    }

    fn is_live(&self) -> bool {
        self.is_inserted()
    }

    fn size(&self) -> usize {
        self.nodes.len() + self.base_removed.len() + self.replaced.len()
    }
}
