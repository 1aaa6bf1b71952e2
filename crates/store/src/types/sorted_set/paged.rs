//! The form of a big sorted set: a table of pages from members to scores, and a tree of scores in order.
//!
//! Each member lies in the table alone. The tree has its score and the tag of its hash, by which the table finds it again:
//! 13 bytes an item in the tree and 13 beside the member in the table. A tree that held the members would be read faster,
//! but they have to lie in the order of their hashes as well, because a walk in steps (ZSCAN) must not miss one whose
//! score changes meanwhile; twice they would take more than what a peer needs.
//!
//! Members are compared where scores are equal. Two whose tags and scores are the same are told apart by their order:
//! of the items that look like theirs, the first is that of the lesser member ([`Paged::one_of_many`]).

use std::cmp::Ordering;
use std::ops::Range;

use super::super::pages::{AT_ONCE, Entry, Shape, Table, Tag, tag_of};
use super::tree::{Item, Items, Tree};
use super::{Placed, Scored};

/// See the file's head.
#[derive(Clone, Debug)]
pub(super) struct Paged<S> {
    scores: Table<S>,
    order: Tree,
}

impl<S: Shape> Default for Paged<S> {
    fn default() -> Self {
        Paged { scores: Table::default(), order: Tree::default() }
    }
}

/// The value of a member with a score.
fn value_of(score: f64) -> [u8; 8] {
    score.to_le_bytes()
}

fn score_of(entry: Entry<'_>) -> f64 {
    f64::from_le_bytes(entry.value.try_into().expect("the table's values are scores"))
}

fn put_scores<S: Shape>(scores: &mut Table<S>, members: &[Scored<'_>]) {
    let values: Vec<[u8; 8]> = members.iter().map(|scored| value_of(scored.score)).collect();
    let entries = members.iter().zip(&values);
    let entries = entries.map(|(scored, value)| Entry { member: scored.member, value, deadline_ms: None });
    scores.put_many(&entries.collect::<Vec<_>>());
}

/// Members in their order, each once.
fn order_of<S: Shape>(members: &[Scored<'_>]) -> Tree {
    let item = |&Scored { score, member }: &Scored<'_>| Item { score, tag: tag_of(S::hash(member)) };
    Tree::of(&members.iter().map(item).collect::<Vec<_>>())
}

impl<S: Shape> Paged<S> {
    /// Of members in their order, each once.
    pub(super) fn of<'m>(members: impl Iterator<Item = Scored<'m>>) -> Self {
        let members: Vec<Scored<'m>> = members.collect();
        let mut scores = Table::default();
        put_scores(&mut scores, &members);
        Paged { scores, order: order_of::<S>(&members) }
    }

    /// Puts members that are at least as many as there are; false, and nothing is done, if they are fewer, or if two are the
    /// same or one is there.
    pub(super) fn put_many(&mut self, members: &[Scored<'_>]) -> bool {
        if members.len() < self.len() {
            return false;
        }
        let mut scores = self.scores.clone();
        put_scores(&mut scores, members);
        if scores.len() < self.len() + members.len() {
            return false;
        }
        let mut all: Vec<Scored<'_>> = self.range(0..self.len()).chain(members.iter().copied()).collect();
        all.sort_unstable_by(Scored::order);
        (self.order, self.scores) = (order_of::<S>(&all), scores);
        true
    }

    /// Number of members.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Bytes of all allocations; what is shared with a copy counts for both.
    pub(super) fn memory_bytes(&self) -> usize {
        self.scores.memory_bytes() + self.order.memory_bytes()
    }

    /// How many allocations there are, roughly.
    pub(super) fn allocations(&self) -> usize {
        self.scores.allocations() + self.order.allocations()
    }

    /// The score of a member.
    #[inline]
    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).map(score_of)
    }

    /// Sends for what looking members up reads.
    pub(super) fn prefetch(&self, members: &mut dyn Iterator<Item = &[u8]>) {
        self.scores.prefetch(members);
    }

    /// The member of an item, whose rank may have to be worked out.
    #[inline]
    pub(super) fn member_of(&self, item: Item, rank: &dyn Fn() -> usize) -> &[u8] {
        let (mut first, mut is_alone) = (None, true);
        self.scores.each_candidate(item.tag, |entry| {
            if score_of(entry) == item.score {
                is_alone = first.is_none();
                first.get_or_insert(entry.member);
            }
        });
        let first = first.expect("each item is some member's");
        if is_alone { first } else { self.one_of_many(item, rank) }
    }

    /// The member of an item where several have its score and perhaps its tag.
    #[cold]
    fn one_of_many(&self, item: Item, rank: &dyn Fn() -> usize) -> &[u8] {
        let mut twins = Vec::new();
        self.scores.each_candidate(item.tag, |entry| {
            if score_of(entry) == item.score && tag_of(S::hash(entry.member)) == item.tag {
                twins.push(entry.member);
            }
        });
        if let [member] = twins[..] {
            return member;
        }
        twins.sort_unstable();
        let before = self.order.range(0..rank()).rev().take_while(|other| other.score == item.score);
        twins[before.filter(|other| other.tag == item.tag).count()]
    }

    /// How many members lie before something.
    #[inline]
    pub(super) fn partition<'p>(&'p self, is_before: impl Fn(f64, &dyn Fn() -> &'p [u8]) -> bool) -> usize {
        self.order.partition(|item, rank| is_before(item.score, &|| self.member_of(item, rank)))
    }

    /// How many members lie before one with a score, which is among them or not.
    fn rank_of(&self, Scored { score, member }: Scored<'_>) -> usize {
        self.order.partition(|item, rank| match item.score.partial_cmp(&score) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => self.member_of(item, rank) < member,
            _ => false,
        })
    }

    /// The rank of a member, and its score.
    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.rank_of(Scored { score, member }), score))
    }

    /// Gives a member the score that follows from the one it has; none leaves everything as it is.
    pub(super) fn put(&mut self, member: &[u8], score: impl FnOnce(Option<f64>) -> Option<f64>) -> Placed {
        let hash = S::hash(member);
        let place = self.scores.find(hash, member);
        let old = place.as_ref().map(|place| score_of(self.scores.entry(place)));
        let Some(score) = score(old).filter(|score| Some(*score) != old) else { return Placed::Same };
        let item = Item { score, tag: tag_of(hash) };
        let rank = self.rank_of(Scored { score, member });
        let entry = Entry { member, value: &value_of(score), deadline_ms: None };
        let (Some(place), Some(old)) = (place, old) else {
            self.order.insert(rank, item);
            self.scores.put_new(hash, entry);
            return Placed::New;
        };
        // It lies before its new place itself if its score grows.
        let to = rank - usize::from(old < score);
        self.order.shift(self.rank_of(Scored { score: old, member }), to, item);
        if !self.scores.overwrite(&place, entry.value) {
            self.scores.put(entry);
        }
        Placed::Moved
    }

    /// Removes a member and returns its score.
    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (rank, score) = self.rank(member)?;
        self.order.remove(rank);
        self.scores.remove(member);
        Some(score)
    }

    /// The members of some ranks.
    pub(super) fn range(&self, ranks: Range<usize>) -> Members<'_, S> {
        Members { paged: self, items: self.order.range(ranks), front: Vec::new(), back: Vec::new() }
    }

    /// The items of some ranks, whose members nobody looks up.
    pub(super) fn items(&self, ranks: Range<usize>) -> Items<'_> {
        self.order.range(ranks)
    }

    /// See [`Table::scan`].
    pub(super) fn scan(&self, from: u64, count: usize, mut show: impl FnMut(Scored<'_>)) -> Option<u64> {
        self.scores.scan(from, count, |entry| show(Scored { score: score_of(entry), member: entry.member }))
    }
}

/// Members of a range, from either end. They are found some at a time, so that the processor waits for several of the
/// table's pages at once.
#[derive(Debug)]
pub(super) struct Members<'p, S> {
    paged: &'p Paged<S>,
    /// Those whose members are not found yet.
    items: Items<'p>,
    /// Members before them and behind them; the next from its end is the last.
    front: Vec<Scored<'p>>,
    back: Vec<Scored<'p>>,
}

impl<'p, S: Shape> Members<'p, S> {
    /// Finds the members of the next items from one end.
    fn find(&mut self, mut next: impl FnMut(&mut Items<'p>) -> Option<(usize, Item)>) -> Vec<Scored<'p>> {
        // Apart, as what looks for the tags reads nothing else.
        let (mut tags, mut places) = ([Tag::default(); AT_ONCE], [(0, 0.0); AT_ONCE]);
        let mut count = 0;
        while count < AT_ONCE
            && let Some((rank, Item { score, tag })) = next(&mut self.items)
        {
            (tags[count], places[count]) = (tag, (rank, score));
            count += 1;
        }
        let mut members = Vec::with_capacity(count);
        self.paged.scores.each_only_candidate(&tags[..count], |entry| {
            let at = members.len();
            let (rank, score) = places[at];
            let member = match entry {
                Some(entry) if score_of(entry) == score => entry.member,
                _ => self.paged.member_of(Item { score, tag: tags[at] }, &|| rank),
            };
            members.push(Scored { score, member });
        });
        members.reverse();
        members
    }
}

impl<'p, S: Shape> Iterator for Members<'p, S> {
    type Item = Scored<'p>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'p>> {
        if self.front.is_empty() {
            self.front = self.find(|items| {
                let rank = items.rank();
                items.next().map(|item| (rank, item))
            });
        }
        self.front.pop().or_else(|| (!self.back.is_empty()).then(|| self.back.remove(0)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.items.len() + self.front.len() + self.back.len();
        (len, Some(len))
    }
}

impl<S: Shape> DoubleEndedIterator for Members<'_, S> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.back.is_empty() {
            self.back = self.find(|items| {
                let item = items.next_back()?;
                Some((items.rank_back(), item))
            });
        }
        self.back.pop().or_else(|| (!self.front.is_empty()).then(|| self.front.remove(0)))
    }
}
