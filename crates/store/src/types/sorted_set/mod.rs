//! Sorted sets: members in the order of their scores, and of their bytes where scores are equal; one packed value while
//! they are few, pages beyond that.
//!
//! The two forms go by the names that Redis gives to the same content under the same limits, `listpack` and `skiplist`. As
//! in Redis a sorted set that grows never comes back to the smaller one. A score is never NaN, and -0 is 0.

pub mod op;
mod paged;
mod tree;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::{ControlFlow, Range};

use super::Encoding;
use super::collection::{Collection, Face, add_each};
use super::content::Part;
use super::draw::{below, distinct_below};
use super::limits::{EncodingLimits, PackedLimit};
use super::packed::{ENTRIES_MAX, Form, Handle, Packed, UNLIMITED};
use super::pages::{Shape, Tag};
use super::side::Side;
use crate::hash::HashSeed;
use crate::keyspace::{Editor, Misfit};
use paged::Paged;
use tree::Item;

pub use op::{Condition, NotANumber, SortedSetOp, SortedSetUndo};

/// A set of byte strings, each with a score.
#[derive(Clone, Debug, Default)]
pub struct SortedSet(Handle<Paged<Scores>>);

/// Members with their scores, hashed with the secret of the process.
#[derive(Clone, Copy, Debug)]
struct Scores;

impl Shape for Scores {
    const VALUES: bool = true;

    #[inline]
    fn hash(member: &[u8]) -> u64 {
        HashSeed::of_process().hash(member)
    }
}

/// A member and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<'a> {
    /// The score.
    pub score: f64,
    /// The member.
    pub member: &'a [u8],
}

impl Scored<'_> {
    /// The order of a sorted set.
    #[inline]
    pub fn order(&self, other: &Scored<'_>) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| self.member.cmp(other.member))
    }
}

/// A score, and where its member is: to look at many scores and only at the members that are wanted. It is of no use once
/// the sorted set has changed.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// The score.
    pub score: f64,
    /// The rank or, in a packed value, the offset.
    place: usize,
    /// Nothing in a packed value.
    tag: Tag,
}

/// A place between members: where a range begins or ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut<T> {
    /// Before all members.
    Start,
    /// Before those at this value.
    Before(T),
    /// Behind those at this value.
    After(T),
    /// Behind all members.
    End,
}

impl<T: PartialOrd> Cut<T> {
    /// True if what is at `value` lies before it.
    #[inline]
    fn is_behind(&self, value: T) -> bool {
        match self {
            Cut::Start => false,
            Cut::Before(at) => value < *at,
            Cut::After(at) => value <= *at,
            Cut::End => true,
        }
    }
}

/// The member and score that a part is.
fn scored_of(part: Part<'_>) -> Result<Scored<'_>, Misfit> {
    match part {
        Part::Scored { member, score } if !score.is_nan() => Ok(Scored { score: canonical(score), member }),
        _ => Err(Misfit),
    }
}

/// -0 becomes 0, which nobody can tell from it by comparing.
#[inline]
fn canonical(score: f64) -> f64 {
    score + 0.0
}

impl PartialEq for SortedSet {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for SortedSet {}

impl Hash for SortedSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|Scored { score, member }| (score.to_bits(), member).hash(state));
    }
}

impl Face for SortedSet {
    fn len(&self) -> usize {
        SortedSet::len(self)
    }

    fn encoding(&self) -> Encoding {
        match self.0.form() {
            Form::Small(_) => Encoding::Listpack,
            Form::Big(_) => Encoding::Skiplist,
        }
    }

    fn memory_bytes(&self) -> usize {
        match self.0.form() {
            Form::Small(packed) => packed.memory_bytes(),
            Form::Big(paged) => size_of::<Paged<Scores>>() + paged.memory_bytes(),
        }
    }

    fn allocations(&self) -> usize {
        match self.0.form() {
            Form::Small(_) => 1,
            Form::Big(paged) => 1 + paged.allocations(),
        }
    }

    fn content(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.iter().try_for_each(|Scored { score, member }| visit(Part::Scored { member, score }))
    }

    fn add(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        self.put(scored_of(part)?, limits.sorted_set);
        Ok(())
    }

    fn add_new(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        self.put_new(scored_of(part)?, limits.sorted_set);
        Ok(())
    }

    fn add_many(&mut self, parts: &[Part<'_>], limits: &EncodingLimits) -> Result<(), Misfit> {
        let Form::Big(paged) = self.0.form_mut() else { return add_each(self, parts, limits) };
        let members = parts.iter().map(|part| scored_of(*part)).collect::<Result<Vec<_>, _>>()?;
        if !paged.put_many(&members) {
            members.iter().for_each(|scored| _ = paged.put(scored.member, |_| Some(scored.score)));
        }
        Ok(())
    }

    fn expect_many(&mut self, parts: usize, limits: &EncodingLimits) {
        if parts > limits.sorted_set.members as usize && !self.is_paged() {
            self.become_paged();
        }
    }

    fn fits(&self, part: Part<'_>) -> bool {
        scored_of(part).is_ok()
    }

    fn takes_many(&self) -> bool {
        self.is_paged()
    }

    fn prefetch(&self, members: &mut dyn Iterator<Item = &[u8]>) {
        if let Form::Big(paged) = self.0.form() {
            paged.prefetch(members);
        }
    }

    fn is_searched(&self) -> bool {
        matches!(self.0.form(), Form::Small(_))
    }
}

impl Collection for SortedSet {
    const NAME: &'static str = "zset";
    const PLURAL: &'static str = "zsets";
    const NUMBER: u8 = 3;

    type Op<'a> = SortedSetOp<'a>;
    type Undo = SortedSetUndo;

    fn apply(editor: &mut Editor<'_, Self>, op: &SortedSetOp<'_>) -> Result<(), Misfit> {
        op::apply(editor, op)
    }

    fn take_back(&mut self, undo: &SortedSetUndo, limits: &EncodingLimits) {
        op::take_back(self, undo, limits.sorted_set);
    }

    fn undo_bytes(undo: &SortedSetUndo) -> usize {
        op::undo_bytes(undo)
    }
}

impl SortedSet {
    /// An empty sorted set.
    pub fn new() -> Self {
        SortedSet::default()
    }

    /// Of members that come in any order, each once; in the small form if the limits allow.
    pub fn gathered<'m>(mut members: Vec<Scored<'m>>, limits: PackedLimit) -> SortedSet {
        members.iter_mut().for_each(|scored| scored.score = canonical(scored.score));
        members.sort_unstable_by(Scored::order);
        let longest = members.iter().map(|scored| scored.member.len()).max();
        if !members.is_empty() && !packs(members.len() - 1, longest.unwrap_or(0), limits) {
            return SortedSet(Handle::big(Paged::of(members.into_iter())));
        }
        let mut packed = Packed::new();
        members.iter().for_each(|scored| packed.push(Side::Tail, &encoded(*scored), UNLIMITED));
        SortedSet(Handle::small(packed))
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0.form() {
            Form::Small(packed) => packed.count(),
            Form::Big(paged) => paged.len(),
        }
    }

    /// True when there is no member.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if it has a form that many members may have: a walk over it has to be taken in steps.
    pub fn is_paged(&self) -> bool {
        matches!(self.0.form(), Form::Big(_))
    }

    /// The score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self.0.form() {
            Form::Small(packed) => place_in(packed, member).map(|place| place.score),
            Form::Big(paged) => paged.score(member),
        }
    }

    /// How many members lie before a member, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self.0.form() {
            Form::Small(packed) => place_in(packed, member).map(|place| (place.rank, place.score)),
            Form::Big(paged) => paged.rank(member),
        }
    }

    /// The ranks of the members whose scores lie between two cuts.
    pub fn with_scores(&self, from: Cut<f64>, to: Cut<f64>) -> Range<usize> {
        let rank = |cut: Cut<f64>| match self.0.form() {
            Form::Small(packed) => partition(packed, |scored| cut.is_behind(scored.score)),
            Form::Big(paged) => paged.partition(|score, _| cut.is_behind(score)),
        };
        let start = rank(from);
        start..rank(to).max(start)
    }

    /// The ranks of the members between two cuts, where all have the same score.
    pub fn with_members(&self, from: Cut<&[u8]>, to: Cut<&[u8]>) -> Range<usize> {
        let rank = |cut: Cut<&[u8]>| match self.0.form() {
            Form::Small(packed) => partition(packed, |scored| cut.is_behind(scored.member)),
            Form::Big(paged) => paged.partition(|_, member| cut.is_behind(member())),
        };
        let start = rank(from);
        start..rank(to).max(start)
    }

    /// The members of some ranks up to the length, in order; they can be taken from either end.
    pub fn range(&self, ranks: Range<usize>) -> Members<'_> {
        debug_assert!(ranks.end <= self.len(), "{ranks:?} are of another sorted set");
        Members(match self.0.form() {
            Form::Small(packed) => {
                let (from, to) = (packed.offset_of(ranks.start), packed.offset_of(ranks.end));
                Walk::Packed { packed, left: ranks.len(), from, to }
            }
            Form::Big(paged) => Walk::Paged(paged.range(ranks)),
        })
    }

    /// The scores of some ranks up to the length, in order.
    pub fn spots(&self, ranks: Range<usize>) -> impl Iterator<Item = Spot> + use<'_> {
        let (packed, paged) = match self.0.form() {
            Form::Small(packed) => (Some(packed), None),
            Form::Big(paged) => (None, Some(paged)),
        };
        let of_packed = packed.map(|packed| {
            let mut place = packed.offset_of(ranks.start);
            ranks.clone().map(move |_| {
                let (entry, next) = packed.entry_at(place);
                let place = std::mem::replace(&mut place, next);
                Spot { score: decoded(entry).score, place, tag: Tag::default() }
            })
        });
        let of_pages = paged.map(|paged| {
            let items = ranks.clone().zip(paged.items(ranks));
            items.map(|(place, Item { score, tag })| Spot { score, place, tag })
        });
        of_packed.into_iter().flatten().chain(of_pages.into_iter().flatten())
    }

    /// The member that a spot is of.
    #[inline]
    pub fn member(&self, spot: Spot) -> &[u8] {
        match self.0.form() {
            Form::Small(packed) => decoded(packed.entry_at(spot.place).0).member,
            Form::Big(paged) => paged.member_of(Item { score: spot.score, tag: spot.tag }, &|| spot.place),
        }
    }

    /// All members, in order.
    pub fn iter(&self) -> Members<'_> {
        self.range(0..self.len())
    }

    /// The member of a rank below the length.
    fn at(&self, rank: usize) -> Scored<'_> {
        self.range(rank..rank + 1).next().expect("the rank is below the length")
    }

    /// A random member of a sorted set that has some; `random` gives 64 random bits.
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> Scored<'_> {
        self.at(below(self.len(), random))
    }

    /// `count` random members, no two the same; all of them if they are fewer.
    pub fn sample(&self, count: usize, random: &mut dyn FnMut() -> u64) -> Vec<Scored<'_>> {
        if count >= self.len() {
            return self.iter().collect();
        }
        distinct_below(self.len(), count, random).into_iter().map(|rank| self.at(rank)).collect()
    }

    /// Shows members from a cursor on, about `count` of them, and gives the cursor to go on from; `None` at the end. A
    /// member that is there from the first step to the last is shown whatever becomes of its score meanwhile, and once only
    /// while the sorted set keeps its form.
    pub fn scan(&self, cursor: u64, count: usize, mut show: impl FnMut(Scored<'_>)) -> Option<u64> {
        match self.0.form() {
            Form::Big(paged) => paged.scan(cursor, count, show),
            Form::Small(_) => {
                self.iter().for_each(&mut show);
                None
            }
        }
    }

    /// Gives a member a score.
    fn put(&mut self, scored: Scored<'_>, limits: PackedLimit) -> Placed {
        self.put_with(scored.member, limits, |_| Some(scored.score))
    }

    /// Gives a member the score that follows from the one it has; none leaves everything as it is.
    fn put_with(
        &mut self,
        member: &[u8],
        limits: PackedLimit,
        score: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Placed {
        let score = |old| score(old).map(canonical);
        match self.0.form_mut() {
            Form::Big(paged) => paged.put(member, score),
            Form::Small(packed) => {
                let place = place_in(packed, member);
                let old = place.as_ref().map(|place| place.score);
                let Some(score) = score(old).filter(|score| Some(*score) != old) else { return Placed::Same };
                let scored = Scored { score, member };
                let Some(place) = place else { return self.put_new(scored, limits) };
                packed.remove(place.offset, UNLIMITED);
                insert(packed, scored);
                Placed::Moved
            }
        }
    }

    /// Adds a member that is none of those that are there.
    fn put_new(&mut self, scored: Scored<'_>, limits: PackedLimit) -> Placed {
        match self.0.form_mut() {
            Form::Small(packed) if packs(packed.count(), scored.member.len(), limits) => {
                insert(packed, scored);
                Placed::New
            }
            Form::Small(_) => self.become_paged().put(scored.member, |_| Some(scored.score)),
            Form::Big(paged) => paged.put(scored.member, |_| Some(scored.score)),
        }
    }

    /// Takes the form that fits so many members to come (Redis: `zsetTypeCreate`, `zsetTypeMaybeConvert`).
    fn expect(&mut self, members: &[Scored<'_>], limits: PackedLimit) {
        if let Form::Small(packed) = self.0.form() {
            let is_long = |scored: &Scored<'_>| scored.member.len() > limits.bytes as usize;
            let is_new = packed.count() == 0;
            if members.len() > limits.members as usize || is_new && members.iter().any(is_long) {
                self.become_paged();
            }
        }
    }

    #[cold]
    fn become_paged(&mut self) -> &mut Paged<Scores> {
        self.0 = Handle::big(Paged::of(self.iter()));
        match self.0.form_mut() {
            Form::Big(paged) => paged,
            Form::Small(_) => unreachable!("it has just become big"),
        }
    }

    /// Removes a member and returns its score.
    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self.0.form_mut() {
            Form::Big(paged) => paged.remove(member),
            Form::Small(packed) => {
                let place = place_in(packed, member)?;
                packed.remove(place.offset, UNLIMITED);
                Some(place.score)
            }
        }
    }
}

/// What giving a member a score did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    /// The member is new.
    New,
    /// It had another score.
    Moved,
    /// It had this score.
    Same,
}

/// Members of a range, from either end.
#[derive(Debug)]
pub struct Members<'s>(Walk<'s>);

#[derive(Debug)]
enum Walk<'s> {
    /// Between two offsets.
    Packed {
        packed: &'s Packed,
        left: usize,
        from: usize,
        to: usize,
    },
    Paged(paged::Members<'s, Scores>),
}

impl<'s> Iterator for Members<'s> {
    type Item = Scored<'s>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'s>> {
        match &mut self.0 {
            Walk::Paged(members) => members.next(),
            Walk::Packed { packed, left, from, .. } => {
                *left = left.checked_sub(1)?;
                let (entry, next) = packed.entry_at(*from);
                *from = next;
                Some(decoded(entry))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Walk::Paged(members) => members.size_hint(),
            Walk::Packed { left, .. } => (*left, Some(*left)),
        }
    }
}

impl DoubleEndedIterator for Members<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Paged(members) => members.next_back(),
            Walk::Packed { packed, left, to, .. } => {
                *left = left.checked_sub(1)?;
                *to = packed.offset_before(*to);
                Some(decoded(packed.entry_at(*to).0))
            }
        }
    }
}

impl ExactSizeIterator for Members<'_> {}

/// True if one more member of this length is within the limits of a packed value.
fn packs(count: usize, bytes: usize, limits: PackedLimit) -> bool {
    count < (limits.members as usize).min(ENTRIES_MAX) && bytes <= limits.bytes as usize
}

/// The entry of a packed value: how many bytes the score takes, the score, the member. A score that is a short integer
/// takes few bytes, another eight.
fn encoded(Scored { score, member }: Scored<'_>) -> Vec<u8> {
    let (number, double) = (score as i64, score.to_le_bytes());
    let digits = number.to_le_bytes();
    let bytes: &[u8] = match number {
        _ if number as f64 != score => &double,
        -0x80..0x80 => &digits[..1],
        -0x8000..0x8000 => &digits[..2],
        -0x8000_0000..0x8000_0000 => &digits[..4],
        _ => &double,
    };
    [&[bytes.len() as u8][..], bytes, member].concat()
}

fn decoded(entry: &[u8]) -> Scored<'_> {
    let (score, member) = entry[1..].split_at(usize::from(entry[0]));
    let score = match *score {
        [a] => f64::from(a as i8),
        [a, b] => f64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => f64::from(i32::from_le_bytes([a, b, c, d])),
        _ => f64::from_le_bytes(score.try_into().expect("a longer score takes eight bytes")),
    };
    Scored { score, member }
}

/// Where in a packed value a member is.
struct Place {
    offset: usize,
    rank: usize,
    score: f64,
}

fn place_in(packed: &Packed, member: &[u8]) -> Option<Place> {
    let mut offset = 0;
    for rank in 0..packed.count() {
        let (entry, next) = packed.entry_at(offset);
        if entry.ends_with(member) && entry.len() == 1 + usize::from(entry[0]) + member.len() {
            return Some(Place { offset, rank, score: decoded(entry).score });
        }
        offset = next;
    }
    None
}

/// Puts a member where its score belongs.
fn insert(packed: &mut Packed, scored: Scored<'_>) {
    let entry = encoded(scored);
    // Members often come in order.
    if packed.end(Side::Tail).is_none_or(|last| decoded(last).order(&scored).is_lt()) {
        return packed.push(Side::Tail, &entry, UNLIMITED);
    }
    let mut offset = 0;
    while decoded(packed.entry_at(offset).0).order(&scored).is_lt() {
        offset = packed.entry_at(offset).1;
    }
    packed.insert(offset, &entry, UNLIMITED);
}

/// How many members of a packed value lie before something.
fn partition(packed: &Packed, is_before: impl Fn(Scored<'_>) -> bool) -> usize {
    packed.iter().take_while(|entry| is_before(decoded(entry))).count()
}

#[cfg(test)]
mod tests;
