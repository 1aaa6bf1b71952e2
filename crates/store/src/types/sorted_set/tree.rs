//! Scores in order, in pages that copies share: a B+ tree that knows how many items each of its parts has.
//!
//! ```text
//! node of up to 64 nodes -> ... -> node of up to 64 leaves -> leaf: a page of up to 312 scores with the tags of their members
//! ```
//!
//! Places are ranks: an item is put at a rank and taken from one, and a rank is found by asking items whether they lie
//! before it ([`Tree::partition`]). What order they are in is the caller's affair, so the tree needs no members. A full
//! leaf shares with a neighbour or makes three of two, thin ones are joined, and what is added behind the last item begins
//! a new leaf. Nodes and leaves are shared by count and copied before they are changed.

use std::ops::Range;
use std::sync::Arc;

use super::super::pages::Tag;

/// Items of a leaf: with the counts of its sharers it is a page of the machine.
const LEAF_ITEMS_MAX: usize = 312;
/// A leaf of fewer items is joined with a neighbour that has room for them.
const LEAF_ITEMS_THIN: usize = LEAF_ITEMS_MAX / 4;
/// Items that leaves are given when they are laid out anew, so that they do not fill up again at once.
const LEAF_ITEMS_ROOMY: usize = LEAF_ITEMS_MAX - LEAF_ITEMS_MAX / 8;
/// Children of a node from which on it is cut in two.
const CHILDREN_MAX: usize = 64;
/// Two neighbouring nodes of together at most this many children become one.
const CHILDREN_JOINED: usize = CHILDREN_MAX / 2;
/// What an allocation that is shared has before its content.
const COUNTS_BYTES: usize = 2 * size_of::<usize>();

/// A score, and whose it is: the tag of the member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) score: f64,
    pub(super) tag: Tag,
}

#[derive(Clone, Debug)]
struct Leaf {
    scores: [f64; LEAF_ITEMS_MAX],
    tags: [Tag; LEAF_ITEMS_MAX],
    len: u16,
}

const _: () = assert!(size_of::<Leaf>() + COUNTS_BYTES <= 4096);

impl Leaf {
    fn of(items: &[Item]) -> Arc<Leaf> {
        let mut leaf = Leaf { scores: [0.0; LEAF_ITEMS_MAX], tags: [Tag::default(); LEAF_ITEMS_MAX], len: 0 };
        for (at, item) in items.iter().enumerate() {
            (leaf.scores[at], leaf.tags[at]) = (item.score, item.tag);
        }
        leaf.len = items.len() as u16;
        Arc::new(leaf)
    }

    #[inline]
    fn len(&self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    fn item(&self, at: usize) -> Item {
        Item { score: self.scores[at], tag: self.tags[at] }
    }

    fn items(&self) -> impl Iterator<Item = Item> {
        (0..self.len()).map(|at| self.item(at))
    }

    /// Puts an item at a place; the leaf is not full.
    fn insert(&mut self, at: usize, item: Item) {
        let len = self.len();
        self.scores.copy_within(at..len, at + 1);
        self.tags.copy_within(at..len, at + 1);
        (self.scores[at], self.tags[at]) = (item.score, item.tag);
        self.len += 1;
    }

    /// Puts another item in the place of one, so that it comes to lie at `to`.
    fn shift(&mut self, from: usize, to: usize, item: Item) {
        let (moved, into) = if from < to { (from + 1..to + 1, from) } else { (to..from, to + 1) };
        self.scores.copy_within(moved.clone(), into);
        self.tags.copy_within(moved, into);
        (self.scores[to], self.tags[to]) = (item.score, item.tag);
    }

    fn remove(&mut self, at: usize) -> Item {
        let (len, removed) = (self.len(), self.item(at));
        self.scores.copy_within(at + 1..len, at);
        self.tags.copy_within(at + 1..len, at);
        self.len -= 1;
        removed
    }
}

/// Children of one kind, with the first item and the number of items of each.
#[derive(Clone, Debug)]
struct Node {
    firsts: Vec<Item>,
    counts: Vec<usize>,
    children: Children,
}

#[derive(Clone, Debug)]
enum Children {
    Leaves(Vec<Arc<Leaf>>),
    Nodes(Vec<Arc<Node>>),
}

impl Node {
    fn of_leaves(leaves: Vec<Arc<Leaf>>) -> Node {
        let firsts = leaves.iter().map(|leaf| leaf.item(0)).collect();
        let counts = leaves.iter().map(|leaf| leaf.len()).collect();
        Node { firsts, counts, children: Children::Leaves(leaves) }
    }

    fn of_nodes(nodes: Vec<Arc<Node>>) -> Node {
        let firsts = nodes.iter().map(|node| node.firsts[0]).collect();
        let counts = nodes.iter().map(|node| node.len()).collect();
        Node { firsts, counts, children: Children::Nodes(nodes) }
    }

    /// Number of children.
    fn width(&self) -> usize {
        self.counts.len()
    }

    /// Number of items.
    fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The child that has an item, and its rank there. An item behind the last belongs to the last child.
    #[inline]
    fn child_of(&self, rank: usize) -> (usize, usize) {
        let mut left = rank;
        let last = self.counts.len() - 1;
        for (child, count) in self.counts[..last].iter().enumerate() {
            if left < *count {
                return (child, left);
            }
            left -= count;
        }
        (last, left)
    }

    /// Puts an item at a rank; `is_last` where nothing follows this node.
    fn insert(&mut self, rank: usize, item: Item, is_last: bool) {
        let (child, rank) = self.child_of(rank);
        let is_last = is_last && child + 1 == self.width();
        self.counts[child] += 1;
        match &mut self.children {
            Children::Leaves(leaves) => {
                if leaves[child].len() < LEAF_ITEMS_MAX {
                    Arc::make_mut(&mut leaves[child]).insert(rank, item);
                    if rank == 0 {
                        self.firsts[child] = item;
                    }
                } else {
                    self.make_room(child, rank, item, is_last);
                }
            }
            Children::Nodes(nodes) => {
                let node = Arc::make_mut(&mut nodes[child]);
                node.insert(rank, item, is_last);
                self.firsts[child] = node.firsts[0];
                if node.width() >= CHILDREN_MAX {
                    let behind = node.cut(is_last);
                    self.counts[child] = node.len();
                    nodes.insert(child + 1, Arc::new(behind));
                    self.firsts.insert(child + 1, nodes[child + 1].firsts[0]);
                    self.counts.insert(child + 1, nodes[child + 1].len());
                }
            }
        }
    }

    /// See [`Tree::shift`]; false, and nothing is changed, where the ranks are not in one leaf.
    fn shift(&mut self, from: usize, to: usize, item: Item) -> bool {
        let ((child, from), (other, to)) = (self.child_of(from), self.child_of(to));
        if child != other {
            return false;
        }
        match &mut self.children {
            Children::Leaves(leaves) => {
                let leaf = Arc::make_mut(&mut leaves[child]);
                leaf.shift(from, to, item);
                self.firsts[child] = leaf.item(0);
                true
            }
            Children::Nodes(nodes) => {
                let node = Arc::make_mut(&mut nodes[child]);
                let is_done = node.shift(from, to, item);
                self.firsts[child] = node.firsts[0];
                is_done
            }
        }
    }

    /// Takes the second half of the children off, or only the last where more will follow it.
    fn cut(&mut self, is_last: bool) -> Node {
        self.cut_at(if is_last { self.width() - 1 } else { self.width() / 2 })
    }

    fn cut_at(&mut self, at: usize) -> Node {
        let (firsts, counts) = (self.firsts.split_off(at), self.counts.split_off(at));
        let children = match &mut self.children {
            Children::Leaves(leaves) => Children::Leaves(leaves.split_off(at)),
            Children::Nodes(nodes) => Children::Nodes(nodes.split_off(at)),
        };
        Node { firsts, counts, children }
    }

    /// The child beside another that has fewer items.
    fn neighbour(&self, child: usize) -> Option<usize> {
        let behind = Some(child + 1).filter(|child| *child < self.width());
        child.checked_sub(1).into_iter().chain(behind).min_by_key(|child| self.counts[*child])
    }

    /// Puts an item into a leaf that is full: its neighbour takes a share, or both become three.
    #[cold]
    fn make_room(&mut self, child: usize, rank: usize, item: Item, is_last: bool) {
        let Children::Leaves(leaves) = &self.children else { return };
        if is_last && rank == leaves[child].len() {
            let mut leaves = leaves.clone();
            leaves.push(Leaf::of(&[item]));
            *self = Node::of_leaves(leaves);
            return;
        }
        let other = self.neighbour(child).unwrap_or(child);
        let (first, last) = (child.min(other), child.max(other));
        let full = &leaves[first..=last];
        let mut items: Vec<Item> = full.iter().flat_map(|leaf| leaf.items()).collect();
        items.insert(if first < child { leaves[first].len() + rank } else { rank }, item);
        let parts = if items.len() <= full.len() * LEAF_ITEMS_ROOMY { full.len() } else { full.len() + 1 };
        self.lay_out(first..last + 1, &items, parts);
    }

    /// Puts items in the place of leaves, in so many of about the same length.
    fn lay_out(&mut self, replaced: Range<usize>, items: &[Item], parts: usize) {
        let Children::Leaves(leaves) = &mut self.children else { return };
        let laid: Vec<Arc<Leaf>> = items.chunks(items.len().div_ceil(parts)).map(Leaf::of).collect();
        self.firsts.splice(replaced.clone(), laid.iter().map(|leaf| leaf.item(0)));
        self.counts.splice(replaced.clone(), laid.iter().map(|leaf| leaf.len()));
        leaves.splice(replaced, laid);
    }

    /// Takes the item of a rank out. A node that is left without children is its parent's to remove.
    fn remove(&mut self, rank: usize) -> Item {
        let (child, rank) = self.child_of(rank);
        self.counts[child] -= 1;
        let removed = match &mut self.children {
            Children::Leaves(leaves) => {
                let leaf = Arc::make_mut(&mut leaves[child]);
                let removed = leaf.remove(rank);
                if leaf.len > 0 {
                    self.firsts[child] = leaf.item(0);
                }
                removed
            }
            Children::Nodes(nodes) => {
                let node = Arc::make_mut(&mut nodes[child]);
                let removed = node.remove(rank);
                if node.width() > 0 {
                    self.firsts[child] = node.firsts[0];
                }
                removed
            }
        };
        self.join(child);
        removed
    }

    /// Joins a child that has become thin with a neighbour that has room, and lets an empty one go.
    #[inline]
    fn join(&mut self, child: usize) {
        let other = self.neighbour(child);
        match &mut self.children {
            _ if self.counts[child] == 0 => {
                self.firsts.remove(child);
                self.counts.remove(child);
                match &mut self.children {
                    Children::Leaves(leaves) => _ = leaves.remove(child),
                    Children::Nodes(nodes) => _ = nodes.remove(child),
                }
            }
            Children::Leaves(leaves) => {
                let Some(other) = other.filter(|_| leaves[child].len() < LEAF_ITEMS_THIN) else { return };
                if leaves[child].len() + leaves[other].len() <= LEAF_ITEMS_ROOMY {
                    let both = child.min(other)..child.max(other) + 1;
                    let items: Vec<Item> =
                        leaves[both.clone()].iter().flat_map(|leaf| leaf.items()).collect();
                    self.lay_out(both, &items, 1);
                }
            }
            Children::Nodes(nodes) => {
                let Some(other) = other else { return };
                if nodes[child].width() + nodes[other].width() <= CHILDREN_JOINED {
                    let (first, second) = (child.min(other), child.max(other));
                    let behind = Arc::unwrap_or_clone(nodes.remove(second));
                    Arc::make_mut(&mut nodes[first]).append(behind);
                    self.firsts.remove(second);
                    self.counts[first] += self.counts.remove(second);
                }
            }
        }
    }

    fn append(&mut self, mut behind: Node) {
        self.firsts.append(&mut behind.firsts);
        self.counts.append(&mut behind.counts);
        match (&mut self.children, behind.children) {
            (Children::Leaves(leaves), Children::Leaves(more)) => leaves.extend(more),
            (Children::Nodes(nodes), Children::Nodes(more)) => nodes.extend(more),
            _ => unreachable!("neighbours are at one height"),
        }
    }

    /// Bytes and number of all allocations; what is shared with a copy counts for both.
    fn weigh(&self) -> (usize, usize) {
        let lists = self.firsts.capacity() * size_of::<Item>() + self.counts.capacity() * size_of::<usize>();
        match &self.children {
            Children::Leaves(leaves) => {
                let leaf_bytes = size_of::<Leaf>() + COUNTS_BYTES;
                let bytes = leaves.capacity() * size_of::<usize>() + leaves.len() * leaf_bytes;
                (lists + bytes, 3 + leaves.len())
            }
            Children::Nodes(nodes) => nodes.iter().fold((lists, 3), |(bytes, count), node| {
                let (more_bytes, more) = node.weigh();
                (bytes + more_bytes + size_of::<Node>() + COUNTS_BYTES + size_of::<usize>(), count + more + 1)
            }),
        }
    }
}

/// See the file's head.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    root: Node,
    len: usize,
}

impl Default for Tree {
    fn default() -> Self {
        let children = Children::Leaves(Vec::new());
        Tree { root: Node { firsts: Vec::new(), counts: Vec::new(), children }, len: 0 }
    }
}

impl Tree {
    /// A tree of items that are in order.
    pub(super) fn of(items: &[Item]) -> Tree {
        let mut root = Node::of_leaves(items.chunks(LEAF_ITEMS_ROOMY).map(Leaf::of).collect());
        while root.width() >= CHILDREN_MAX {
            let mut nodes = Vec::new();
            while root.width() > CHILDREN_MAX / 2 {
                let at = root.width() - CHILDREN_MAX / 2;
                nodes.push(Arc::new(root.cut_at(at)));
            }
            nodes.push(Arc::new(root));
            nodes.reverse();
            root = Node::of_nodes(nodes);
        }
        Tree { root, len: items.len() }
    }

    /// Number of items.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all allocations; what is shared with a copy counts for both.
    pub(super) fn memory_bytes(&self) -> usize {
        self.root.weigh().0
    }

    /// How many allocations there are.
    pub(super) fn allocations(&self) -> usize {
        self.root.weigh().1
    }

    /// The leaf that has an item, and the item's place there.
    #[inline]
    fn leaf_of(&self, rank: usize) -> (&Leaf, usize) {
        let (mut node, mut rank) = (&self.root, rank);
        loop {
            let (child, left) = node.child_of(rank);
            match &node.children {
                Children::Leaves(leaves) => return (&leaves[child], left),
                Children::Nodes(nodes) => (node, rank) = (&nodes[child], left),
            }
        }
    }

    /// How many items, from the first on, lie before something. An item's rank comes as what works it out, since hardly
    /// anybody wants it.
    #[inline]
    pub(super) fn partition(&self, is_before: impl Fn(Item, &dyn Fn() -> usize) -> bool) -> usize {
        if self.len == 0 {
            return 0;
        }
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            // What lies before the first item lies in the first child.
            let (mut low, mut high) = (0, node.width());
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                let rank_of = || rank + node.counts[..middle].iter().sum::<usize>();
                if is_before(node.firsts[middle], &rank_of) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            rank += node.counts[..low].iter().sum::<usize>();
            match &node.children {
                Children::Nodes(nodes) => node = &nodes[low],
                Children::Leaves(leaves) => {
                    let (leaf, mut low, mut high) = (&leaves[low], 0, leaves[low].len());
                    while low < high {
                        let middle = low + (high - low) / 2;
                        if is_before(leaf.item(middle), &|| rank + middle) {
                            low = middle + 1;
                        } else {
                            high = middle;
                        }
                    }
                    return rank + low;
                }
            }
        }
    }

    /// Puts an item at a rank up to the length.
    pub(super) fn insert(&mut self, rank: usize, item: Item) {
        self.len += 1;
        if self.len == 1 {
            self.root = Node::of_leaves(vec![Leaf::of(&[item])]);
            return;
        }
        self.root.insert(rank, item, true);
        if self.root.width() >= CHILDREN_MAX {
            let behind = self.root.cut(rank + 1 == self.len);
            let before = std::mem::replace(&mut self.root, Tree::default().root);
            self.root = Node::of_nodes(vec![Arc::new(before), Arc::new(behind)]);
        }
    }

    /// Puts another item in the place of that of a rank, so that it comes to lie at the rank `to`.
    pub(super) fn shift(&mut self, from: usize, to: usize, item: Item) {
        if !self.root.shift(from, to, item) {
            self.remove(from);
            self.insert(to, item);
        }
    }

    /// Takes the item of a rank below the length out.
    pub(super) fn remove(&mut self, rank: usize) -> Item {
        self.len -= 1;
        let removed = self.root.remove(rank);
        while let (1, Children::Nodes(nodes)) = (self.root.width(), &mut self.root.children) {
            let only = nodes.remove(0);
            self.root = Arc::unwrap_or_clone(only);
        }
        removed
    }

    /// The items of some ranks.
    pub(super) fn range(&self, ranks: Range<usize>) -> Items<'_> {
        Items { tree: self, ranks, front: None, back: None }
    }
}

/// Items of a range, from either end.
#[derive(Clone, Debug)]
pub(super) struct Items<'t> {
    tree: &'t Tree,
    ranks: Range<usize>,
    /// The leaf that the next item is in, and its place there.
    front: Option<(&'t Leaf, usize)>,
    /// The leaf that the last item left is in, and the place behind it.
    back: Option<(&'t Leaf, usize)>,
}

impl Items<'_> {
    /// The rank of the next item.
    pub(super) fn rank(&self) -> usize {
        self.ranks.start
    }

    /// The rank behind the last item left.
    pub(super) fn rank_back(&self) -> usize {
        self.ranks.end
    }
}

impl Iterator for Items<'_> {
    type Item = Item;

    #[inline]
    fn next(&mut self) -> Option<Item> {
        let rank = self.ranks.next()?;
        let (leaf, at) = match self.front {
            Some((leaf, at)) if at < leaf.len() => (leaf, at),
            _ => self.tree.leaf_of(rank),
        };
        self.front = Some((leaf, at + 1));
        Some(leaf.item(at))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranks.size_hint()
    }
}

impl ExactSizeIterator for Items<'_> {}

impl DoubleEndedIterator for Items<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Item> {
        let rank = self.ranks.next_back()?;
        let (leaf, behind) = match self.back {
            Some((leaf, behind @ 1..)) => (leaf, behind),
            _ => {
                let (leaf, at) = self.tree.leaf_of(rank);
                (leaf, at + 1)
            }
        };
        self.back = Some((leaf, behind - 1));
        Some(leaf.item(behind - 1))
    }
}

#[cfg(test)]
mod tests {
    use swytch_testkit::random::Random;

    use super::*;

    fn item(number: u64) -> Item {
        Item { score: number as f64, tag: Tag::default() }
    }

    /// What every node says of its children is so, and none is too thin, too wide or empty.
    fn check(node: &Node, height: usize) -> usize {
        assert_eq!(node.firsts.len(), node.counts.len());
        assert!(node.width() > 0 && node.width() < CHILDREN_MAX, "{}", node.width());
        match &node.children {
            Children::Leaves(leaves) => {
                assert_eq!(leaves.len(), node.width());
                for ((leaf, count), first) in leaves.iter().zip(&node.counts).zip(&node.firsts) {
                    assert_eq!((leaf.len(), leaf.item(0)), (*count, *first));
                }
                height
            }
            Children::Nodes(nodes) => {
                assert_eq!(nodes.len(), node.width());
                let heights: Vec<usize> = nodes.iter().map(|node| check(node, height + 1)).collect();
                for ((node, count), first) in nodes.iter().zip(&node.counts).zip(&node.firsts) {
                    assert_eq!((node.len(), node.firsts[0]), (*count, *first));
                }
                assert!(heights.iter().all(|height| *height == heights[0]), "{heights:?}");
                heights[0]
            }
        }
    }

    fn content(tree: &Tree) -> Vec<f64> {
        if tree.len() > 0 {
            check(&tree.root, 0);
        }
        let scores: Vec<f64> = tree.range(0..tree.len()).map(|item| item.score).collect();
        let mut backwards: Vec<f64> = tree.range(0..tree.len()).rev().map(|item| item.score).collect();
        backwards.reverse();
        assert_eq!(scores, backwards);
        scores
    }

    #[test]
    fn agrees_with_a_vector_through_growth_and_loss_and_copies_keep_what_they_had() {
        for seed in 0..4 {
            let mut random = Random::new(seed);
            let (mut tree, mut model) = (Tree::default(), Vec::new());
            let mut copies = Vec::new();
            for step in 0..60_000_u64 {
                let grows = if (step / 15_000).is_multiple_of(2) { 9 } else { 1 };
                if random.once_in(3) && !model.is_empty() {
                    let from = random.below(model.len() as u64) as usize;
                    let number = if random.once_in(2) { model[from] + 1 } else { random.below(1 << 40) };
                    model.remove(from);
                    let to = model.partition_point(|other: &u64| *other < number);
                    tree.shift(from, to, item(number));
                    model.insert(to, number);
                } else if random.below(10) < grows || model.is_empty() {
                    let number = if seed == 0 { step } else { random.below(1 << 40) };
                    let rank = model.partition_point(|other: &u64| *other < number);
                    let found = tree.partition(|item, _| item.score < number as f64);
                    assert_eq!(found, rank);
                    tree.insert(rank, item(number));
                    model.insert(rank, number);
                } else {
                    let rank = random.below(model.len() as u64) as usize;
                    assert_eq!(tree.remove(rank).score, model.remove(rank) as f64);
                }
                if random.once_in(20_000) || step == 59_000 {
                    copies.push((tree.clone(), model.clone()));
                }
            }
            while let Some((mut tree, model)) = copies.pop() {
                assert!(content(&tree).iter().copied().eq(model.iter().map(|number| *number as f64)));
                let rebuilt = Tree::of(&tree.range(0..tree.len()).collect::<Vec<Item>>());
                assert_eq!(content(&rebuilt), content(&tree));
                let at = |rank: usize| tree.range(rank..rank + 1).next().map(|item| item.score);
                (0..tree.len()).for_each(|rank| assert_eq!(at(rank), Some(model[rank] as f64)));
                (0..model.len()).for_each(|_| _ = tree.remove(tree.len() / 2));
                assert_eq!(content(&tree), Vec::<f64>::new());
            }
        }
    }

    #[test]
    fn the_rank_of_an_item_can_be_asked_for() {
        let items: Vec<Item> = (0..50_000).map(item).collect();
        let tree = Tree::of(&items);
        let found = tree.partition(|item, rank| {
            assert_eq!(item.score, rank() as f64);
            item.score < 31_415.0
        });
        assert_eq!(found, 31_415);
    }

    #[test]
    fn leaves_are_well_filled_whatever_the_order_of_growth() {
        let mut random = Random::new(1);
        for (what, filled_percent) in [("ascending", 95), ("descending", 55), ("random", 70)] {
            let mut tree = Tree::default();
            for number in 0..200_000 {
                let rank = match what {
                    "ascending" => number,
                    "descending" => 0,
                    _ => random.below(number as u64 + 1) as usize,
                };
                tree.insert(rank, item(7));
            }
            let bytes = 200_000 * 13 * 100 / filled_percent;
            assert!(tree.memory_bytes() < bytes, "{what}: {} of {bytes}", tree.memory_bytes());
        }
    }
}
