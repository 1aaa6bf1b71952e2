//! Sets: integers in order while they are few, one packed value while that is small, a table of pages beyond it.
//!
//! The three forms go by the names that Redis gives to the same content under the same limits: `intset`, `listpack` and
//! `hashtable`. As in Redis a set never comes back from one form to the one before.

mod integers;
pub mod op;

use std::hash::{Hash, Hasher};
use std::ops::{ControlFlow, Deref};

use swytch_decimal::{Digits, parse_i64};

use super::Encoding;
use super::collection::{Collection, Face, add_each};
use super::content::Part;
use super::draw::{below, distinct_below};
use super::limits::{EncodingLimits, PackedLimit};
use super::packed::{ENTRIES_MAX, Form, Handle, Packed, UNLIMITED};
use super::pages::{Entry, Shape, Table};
use super::side::Side;
use crate::effect::Elements;
use crate::hash::HashSeed;
use crate::keyspace::{Editor, Misfit};
use integers::Integers;

pub use op::{SetOp, SetUndo};

/// A set of byte strings.
#[derive(Clone, Debug, Default)]
pub struct Set(Handle<Large>);

/// Forms that have more than one allocation.
#[derive(Clone, Debug)]
enum Large {
    Integers(Integers),
    Table(Table<Members>),
}

/// Members without values.
#[derive(Clone, Copy, Debug)]
struct Members;

impl Shape for Members {
    const VALUES: bool = false;
}

/// Up to where a set has a small form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLimits {
    /// `set-max-intset-entries`.
    pub integers: u32,
    /// `set-max-listpack-entries` and `set-max-listpack-value`.
    pub packed: PackedLimit,
}

impl Default for SetLimits {
    fn default() -> Self {
        SetLimits { integers: 512, packed: PackedLimit { members: 128, bytes: 64 } }
    }
}

/// A member, which has no bytes of its own where the set stores integers.
#[derive(Clone, Copy, Debug)]
pub enum Member<'a> {
    /// Where it lies in the set.
    Bytes(&'a [u8]),
    /// Of an integer.
    Digits(Digits),
}

impl Deref for Member<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Member::Bytes(bytes) => bytes,
            Member::Digits(digits) => digits,
        }
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|member| other.contains(&member))
    }
}

impl Eq for Set {}

impl Hash for Set {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Members have no order.
        let seed = HashSeed::new([1, 2, 3]);
        let sum = self.iter().fold(0u64, |sum, member| sum.wrapping_add(seed.hash(&member)));
        (self.len(), sum).hash(state);
    }
}

impl Face for Set {
    fn len(&self) -> usize {
        Set::len(self)
    }

    fn encoding(&self) -> Encoding {
        match self.0.form() {
            Form::Small(_) => Encoding::Listpack,
            Form::Big(Large::Integers(_)) => Encoding::Intset,
            Form::Big(Large::Table(_)) => Encoding::Hashtable,
        }
    }

    fn memory_bytes(&self) -> usize {
        match self.0.form() {
            Form::Small(packed) => packed.memory_bytes(),
            Form::Big(Large::Integers(integers)) => size_of::<Large>() + integers.memory_bytes(),
            Form::Big(Large::Table(table)) => size_of::<Large>() + table.memory_bytes(),
        }
    }

    fn allocations(&self) -> usize {
        match self.0.form() {
            Form::Small(_) => 1,
            Form::Big(Large::Integers(_)) => 2,
            Form::Big(Large::Table(table)) => 1 + table.allocations(),
        }
    }

    fn content(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut members: Vec<Member<'_>> = self.iter().collect();
        members.sort_unstable_by(|one, other| one[..].cmp(other));
        members.iter().try_for_each(|member| visit(Part::Member(member)))
    }

    fn any_order(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.iter().try_for_each(|member| visit(Part::Member(&member)))
    }

    fn add(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        let Part::Member(member) = part else { return Err(Misfit) };
        Set::add(self, Elements::One(member), limits.set);
        Ok(())
    }

    fn add_new(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        let Part::Member(member) = part else { return Err(Misfit) };
        self.expect(Elements::One(member), limits.set);
        self.add_one::<true>(member, limits.set);
        Ok(())
    }

    fn add_many(&mut self, parts: &[Part<'_>], limits: &EncodingLimits) -> Result<(), Misfit> {
        let Form::Big(Large::Table(table)) = self.0.form_mut() else { return add_each(self, parts, limits) };
        let members = parts.iter().map(|part| match *part {
            Part::Member(member) => Ok(Entry::of_member(member)),
            _ => Err(Misfit),
        });
        table.put_many(&members.collect::<Result<Vec<_>, _>>()?);
        Ok(())
    }

    fn expect_many(&mut self, parts: usize, limits: &EncodingLimits) {
        if parts > limits.set.integers.max(limits.set.packed.members) as usize && !self.is_table() {
            self.become_table();
        }
    }

    fn fits(&self, part: Part<'_>) -> bool {
        matches!(part, Part::Member(_))
    }

    fn takes_many(&self) -> bool {
        self.is_table()
    }

    fn prefetch(&self, members: &mut dyn Iterator<Item = &[u8]>) {
        if let Form::Big(Large::Table(table)) = self.0.form() {
            table.prefetch(members);
        }
    }

    fn is_searched(&self) -> bool {
        matches!(self.0.form(), Form::Small(_))
    }
}

impl Collection for Set {
    const NAME: &'static str = "set";
    const PLURAL: &'static str = "sets";
    const NUMBER: u8 = 2;

    type Op<'a> = SetOp<'a>;
    type Undo = SetUndo;

    fn apply(editor: &mut Editor<'_, Self>, op: &SetOp<'_>) -> Result<(), Misfit> {
        op::apply(editor, op)
    }

    fn take_back(&mut self, undo: &SetUndo, limits: &EncodingLimits) {
        op::take_back(self, undo, limits.set);
    }

    fn undo_bytes(undo: &SetUndo) -> usize {
        op::undo_bytes(undo)
    }
}

impl Set {
    /// An empty set.
    pub fn new() -> Self {
        Set::default()
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0.form() {
            Form::Small(packed) => packed.count(),
            Form::Big(Large::Integers(integers)) => integers.len(),
            Form::Big(Large::Table(table)) => table.len(),
        }
    }

    /// True when there is no member.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if it has a form without an order that many members may have: a walk over it has to be taken in steps.
    pub fn is_table(&self) -> bool {
        matches!(self.0.form(), Form::Big(Large::Table(_)))
    }

    /// True if it has a member.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self.0.form() {
            Form::Small(packed) => packed.find(member, 1).is_some(),
            Form::Big(Large::Integers(integers)) => {
                parse_i64(member).is_some_and(|number| integers.contains(number))
            }
            Form::Big(Large::Table(table)) => table.get(member).is_some(),
        }
    }

    /// Adds members and returns how many are new.
    pub fn add(&mut self, members: Elements<'_>, limits: SetLimits) -> usize {
        self.expect(members, limits);
        let mut added = 0;
        members.for_each(|member| added += usize::from(self.add_one::<false>(member, limits)));
        added
    }

    /// A set of members that come one by one, and may all be integers in the end (Redis: `maybeConvertToIntset`). A set
    /// that [grows](Set::add) is no `intset` any more once it has been something else.
    pub fn gathered<'m>(members: impl Iterator<Item = Member<'m>>, limits: SetLimits) -> Set {
        let mut set = Set::new();
        members.for_each(|member| _ = set.add_one::<false>(&member, limits));
        if set.len() <= limits.integers as usize {
            let numbers: Option<Vec<i64>> = set.iter().map(|member| parse_i64(&member)).collect();
            if let Some(numbers) = numbers {
                let mut integers = Integers::default();
                numbers.into_iter().for_each(|number| _ = integers.insert(number));
                return Set(Handle::big(Large::Integers(integers)));
            }
        }
        set
    }

    /// Takes the form that fits so many members to come (Redis: `setTypeCreate`, `setTypeMaybeConvert`).
    #[inline]
    fn expect(&mut self, members: Elements<'_>, limits: SetLimits) {
        let count = members.len();
        let of_integers = count <= limits.integers as usize;
        let is_within = match self.0.form() {
            Form::Small(packed) if packed.count() == 0 => {
                if of_integers && members.first().is_some_and(|first| parse_i64(first).is_some()) {
                    self.0 = Handle::big(Large::Integers(Integers::default()));
                    return;
                }
                count <= limits.packed.members as usize
            }
            Form::Small(_) => count <= limits.packed.members as usize,
            Form::Big(Large::Integers(_)) => of_integers,
            Form::Big(Large::Table(_)) => true,
        };
        if !is_within {
            self.become_table();
        }
    }

    /// Adds a member, which may be known to be none of them; true if it is new.
    fn add_one<const NEW: bool>(&mut self, member: &[u8], limits: SetLimits) -> bool {
        match self.0.form_mut() {
            Form::Big(Large::Table(table)) => return table.put(Entry::of_member(member)),
            Form::Small(packed) => {
                if !NEW && packed.find(member, 1).is_some() {
                    return false;
                }
                if packs(packed.count(), member.len(), limits) && packed.is_safe_to_grow(member.len()) {
                    packed.push(Side::Tail, member, UNLIMITED);
                    return true;
                }
            }
            Form::Big(Large::Integers(integers)) => match parse_i64(member) {
                Some(number) => {
                    let is_new = integers.insert(number);
                    if integers.len() > limits.integers as usize {
                        self.become_table();
                    }
                    return is_new;
                }
                None => {
                    if packs(integers.len(), member.len().max(integers.digits_max()), limits) {
                        let mut packed = Packed::new();
                        self.iter().for_each(|member| packed.push(Side::Tail, &member, UNLIMITED));
                        packed.push(Side::Tail, member, UNLIMITED);
                        self.0 = Handle::small(packed);
                        return true;
                    }
                }
            },
        }
        self.become_table();
        self.add_one::<NEW>(member, limits)
    }

    #[cold]
    fn become_table(&mut self) {
        let (mut table, members) = (Table::default(), self.iter().collect::<Vec<_>>());
        table.put_many(&members.iter().map(|member| Entry::of_member(member)).collect::<Vec<_>>());
        self.0 = Handle::big(Large::Table(table));
    }

    /// Removes a member; false if there is none.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.0.form_mut() {
            Form::Small(packed) => {
                let place = packed.find(member, 1);
                if let Some(offset) = place {
                    packed.remove(offset, UNLIMITED);
                }
                place.is_some()
            }
            Form::Big(Large::Integers(integers)) => {
                parse_i64(member).is_some_and(|number| integers.remove(number))
            }
            Form::Big(Large::Table(table)) => table.remove(member),
        }
    }

    /// All members; integers ascending, few others in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        let (packed, integers, table) = match self.0.form() {
            Form::Small(packed) => (Some(packed), None, None),
            Form::Big(Large::Integers(integers)) => (None, Some(integers), None),
            Form::Big(Large::Table(table)) => (None, None, Some(table)),
        };
        let packed = packed.into_iter().flat_map(|packed| packed.iter().map(Member::Bytes));
        let integers = integers
            .into_iter()
            .flat_map(|integers| integers.iter().map(|number| Member::Digits(Digits::of(number))));
        let table = table.into_iter().flat_map(|table| table.iter().map(|entry| Member::Bytes(entry.member)));
        packed.chain(integers).chain(table)
    }

    /// The member of a rank below the length; ranks are those of [`Set::iter`].
    fn at(&self, rank: usize) -> Member<'_> {
        match self.0.form() {
            Form::Small(packed) => Member::Bytes(packed.entry_at(packed.offset_of(rank)).0),
            Form::Big(Large::Integers(integers)) => Member::Digits(Digits::of(integers.get(rank))),
            Form::Big(Large::Table(table)) => Member::Bytes(table.at(rank).member),
        }
    }

    /// A random member of a set that has some; `random` gives 64 random bits.
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> Member<'_> {
        self.at(below(self.len(), random))
    }

    /// `count` random members, no two the same; all of them if they are fewer.
    pub fn sample(&self, count: usize, random: &mut dyn FnMut() -> u64) -> Vec<Member<'_>> {
        if count >= self.len() {
            return self.iter().collect();
        }
        if count == 1 {
            return vec![self.random(random)];
        }
        distinct_below(self.len(), count, random).into_iter().map(|rank| self.at(rank)).collect()
    }

    /// Shows members from a cursor on, about `count` of them, and gives the cursor to go on from; `None` at the end. A
    /// member that is there from the first step to the last is shown, and once only while the set keeps its form.
    pub fn scan(&self, cursor: u64, count: usize, mut show: impl FnMut(&[u8])) -> Option<u64> {
        match self.0.form() {
            Form::Big(Large::Table(table)) => table.scan(cursor, count, |entry| show(entry.member)),
            _ => {
                self.iter().for_each(|member| show(&member));
                None
            }
        }
    }
}

/// True if one more member of this length is within the limits of a packed value.
fn packs(count: usize, bytes: usize, limits: SetLimits) -> bool {
    count < (limits.packed.members as usize).min(ENTRIES_MAX) && bytes <= limits.packed.bytes as usize
}

#[cfg(test)]
mod tests;
