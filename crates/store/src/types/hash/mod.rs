//! Hashes: one packed value of fields and values in turn while that is small, a table of pages beyond it.
//!
//! The forms go by the names that Redis gives to the same content under the same limits: `listpack` and `hashtable`. As in
//! Redis a hash never comes back from the latter to the former.

pub mod op;

use std::hash::Hasher;
use std::ops::ControlFlow;

use super::Encoding;
use super::collection::{Collection, Face};
use super::content::Part;
use super::draw::{below, distinct_below};
use super::limits::{EncodingLimits, PackedLimit};
use super::packed::{ENTRIES_MAX, Form, Handle, UNLIMITED, encoded_bytes};
use super::pages::{Shape, Table};
use super::side::Side;
use crate::hash::HashSeed;
use crate::keyspace::{Editor, Misfit};

pub use op::{HashOp, HashUndo};

/// Entries of a field in a packed hash: itself and its value.
const WIDTH: usize = 2;

/// A field and its value.
pub type FieldValue<'a> = [&'a [u8]; 2];

/// A map from fields to values.
#[derive(Clone, Debug, Default)]
pub struct Hash(Handle<Table<Fields>>);

/// Fields with values.
#[derive(Clone, Copy, Debug)]
struct Fields;

impl Shape for Fields {
    const VALUES: bool = true;
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|[field, value]| other.get(field) == Some(value))
    }
}

impl Eq for Hash {}

impl std::hash::Hash for Hash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Fields have no order.
        let seed = HashSeed::new([1, 2, 3]);
        let of_pair = |[field, value]: FieldValue<'_>| seed.hash(field).rotate_left(1) ^ seed.hash(value);
        let sum = self.iter().map(of_pair).fold(0, u64::wrapping_add);
        (self.len(), sum).hash(state);
    }
}

impl Face for Hash {
    fn len(&self) -> usize {
        Hash::len(self)
    }

    fn encoding(&self) -> Encoding {
        match self.0.form() {
            Form::Small(_) => Encoding::Listpack,
            Form::Big(_) => Encoding::Hashtable,
        }
    }

    fn memory_bytes(&self) -> usize {
        match self.0.form() {
            Form::Small(packed) => packed.memory_bytes(),
            Form::Big(table) => size_of::<Table<Fields>>() + table.memory_bytes(),
        }
    }

    fn allocations(&self) -> usize {
        match self.0.form() {
            Form::Small(_) => 1,
            Form::Big(table) => 1 + table.allocations(),
        }
    }

    fn content(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut fields: Vec<FieldValue<'_>> = self.iter().collect();
        fields.sort_unstable();
        fields.iter().try_for_each(|[field, value]| visit(Part::Field { field, value }))
    }

    fn any_order(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.iter().try_for_each(|[field, value]| visit(Part::Field { field, value }))
    }

    fn add(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        let Part::Field { field, value } = part else { return Err(Misfit) };
        self.set(&[[field, value]], limits.hash);
        Ok(())
    }
}

impl Collection for Hash {
    const NAME: &'static str = "hash";
    const PLURAL: &'static str = "hashes";
    const NUMBER: u8 = 4;

    type Op<'a> = HashOp<'a>;
    type Undo = HashUndo;

    fn apply(editor: &mut Editor<'_, Self>, op: &HashOp<'_>) -> Result<(), Misfit> {
        op::apply(editor, op)
    }

    fn take_back(&mut self, undo: &HashUndo, limits: &EncodingLimits) {
        op::take_back(self, undo, limits.hash);
    }

    fn undo_bytes(undo: &HashUndo) -> usize {
        op::undo_bytes(undo)
    }
}

impl Hash {
    /// Number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0.form() {
            Form::Small(packed) => packed.count() / WIDTH,
            Form::Big(table) => table.len(),
        }
    }

    /// True when there is no field.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match self.0.form() {
            Form::Small(packed) => {
                let (_, value_at) = packed.entry_at(packed.find(field, WIDTH)?);
                Some(packed.entry_at(value_at).0)
            }
            Form::Big(table) => table.get(field).map(|entry| entry.value),
        }
    }

    /// Gives fields their values and returns how many are new.
    pub fn set(&mut self, fields: &[FieldValue<'_>], limit: PackedLimit) -> usize {
        self.expect(fields, limit);
        fields.iter().filter(|field| self.set_one(field, limit)).count()
    }

    /// Takes the form that fits the fields to come (Redis: `hashTypeTryConversion`).
    #[inline]
    fn expect(&mut self, fields: &[FieldValue<'_>], limit: PackedLimit) {
        let Form::Small(packed) = self.0.form_mut() else { return };
        let bytes_max = limit.bytes as usize;
        let is_short = |[field, value]: &FieldValue<'_>| field.len() <= bytes_max && value.len() <= bytes_max;
        let bytes = fields.iter().flatten().map(|entry| encoded_bytes(entry)).sum();
        if fields.len() > fields_max(limit) || !fields.iter().all(is_short) || !packed.is_safe_to_grow(bytes)
        {
            self.become_table();
        } else if packed.count() == 0 {
            packed.reserve(bytes, UNLIMITED);
        }
    }

    fn set_one(&mut self, [field, value]: &FieldValue<'_>, limit: PackedLimit) -> bool {
        match self.0.form_mut() {
            Form::Big(table) => table.put(field, value),
            Form::Small(packed) => match packed.find(field, WIDTH) {
                Some(offset) => {
                    let (_, value_at) = packed.entry_at(offset);
                    packed.replace(value_at, value, UNLIMITED);
                    false
                }
                None if packed.count() / WIDTH < fields_max(limit) => {
                    packed.reserve(encoded_bytes(field) + encoded_bytes(value), UNLIMITED);
                    packed.push(Side::Tail, field, UNLIMITED);
                    packed.push(Side::Tail, value, UNLIMITED);
                    true
                }
                None => {
                    self.become_table();
                    self.set_one(&[field, value], limit)
                }
            },
        }
    }

    #[cold]
    fn become_table(&mut self) {
        let mut table = Table::default();
        self.iter().for_each(|[field, value]| _ = table.put(field, value));
        self.0 = Handle::big(table);
    }

    /// Removes a field; false if there is none.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self.0.form_mut() {
            Form::Small(packed) => {
                let place = packed.find(field, WIDTH);
                if let Some(offset) = place {
                    (0..WIDTH).for_each(|_| packed.remove(offset, UNLIMITED));
                }
                place.is_some()
            }
            Form::Big(table) => table.remove(field),
        }
    }

    /// All fields with their values; few in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = FieldValue<'_>> {
        let (packed, table) = match self.0.form() {
            Form::Small(packed) => (Some(packed), None),
            Form::Big(table) => (None, Some(table)),
        };
        let pairs = packed.into_iter().flat_map(|packed| {
            let mut entries = packed.iter();
            std::iter::from_fn(move || Some([entries.next()?, entries.next()?]))
        });
        let entries = table.into_iter().flat_map(Table::iter);
        pairs.chain(entries.map(|entry| [entry.member, entry.value]))
    }

    /// The field of a rank below the length; ranks are those of [`Hash::iter`].
    fn at(&self, rank: usize) -> FieldValue<'_> {
        match self.0.form() {
            Form::Small(packed) => {
                let (field, value_at) = packed.entry_at(packed.offset_of(rank * WIDTH));
                [field, packed.entry_at(value_at).0]
            }
            Form::Big(table) => {
                let entry = table.at(rank);
                [entry.member, entry.value]
            }
        }
    }

    /// A random field of a hash that has some; `random` gives 64 random bits.
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> FieldValue<'_> {
        self.at(below(self.len(), random))
    }

    /// `count` random fields, no two the same; all of them if they are fewer.
    pub fn sample(&self, count: usize, random: &mut dyn FnMut() -> u64) -> Vec<FieldValue<'_>> {
        if count >= self.len() {
            return self.iter().collect();
        }
        distinct_below(self.len(), count, random).into_iter().map(|rank| self.at(rank)).collect()
    }

    /// Shows fields from a cursor on, about `count` of them, and gives the cursor to go on from; `None` at the end. A field
    /// that is there from the first step to the last is shown, and once only while the hash keeps its form.
    pub fn scan(&self, cursor: u64, count: usize, mut show: impl FnMut(FieldValue<'_>)) -> Option<u64> {
        match self.0.form() {
            Form::Big(table) => table.scan(cursor, count, |entry| show([entry.member, entry.value])),
            Form::Small(_) => {
                self.iter().for_each(show);
                None
            }
        }
    }
}

/// Most fields of a packed hash.
fn fields_max(limit: PackedLimit) -> usize {
    (limit.members as usize).min(ENTRIES_MAX / WIDTH)
}

#[cfg(test)]
mod tests;
