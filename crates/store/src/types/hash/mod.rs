//! Hashes: one packed value of fields and values in turn while that is small, a table of pages beyond it.
//!
//! The forms go by the names that Redis gives to the same content under the same limits: `listpack` and `hashtable`, and
//! `listpackex` for a packed value with room for a deadline behind each value. As in Redis a hash never comes back from one
//! form to the one before. Names that many small hashes have in common lie in a [`Schema`], once, and those hashes hold their
//! values alone; nobody sees that but in how much memory they take. A field whose time is over stays until somebody says that it is gone: who must not see it says
//! what time it is ([`Hash::live`]).

mod live;
pub mod op;
mod schema;

use std::hash::Hasher;
use std::ops::{ControlFlow, Range};

use super::Encoding;
use super::collection::{Collection, Face, add_each};
use super::content::Part;
use super::limits::{EncodingLimits, PackedLimit};
use super::packed::{Form, Handle, Packed, RECORD_ENTRIES_MAX, UNLIMITED, encoded_bytes, split_value};
use super::pages::{Entry, Shape, Table};
use super::side::Side;
use crate::UnixMs;
use crate::hash::HashSeed;
use crate::keyspace::{Editor, Expiry, Misfit};

use schema::Schema;

pub use live::Live;
pub use op::{HashOp, HashUndo};

/// Entries of a field in a packed hash: itself and its value, and where it can expire, its deadline.
const WIDTH: usize = 2;
const TIMED_WIDTH: usize = 3;

/// The latest time at which a field expires (Redis: `EB_EXPIRE_TIME_MAX`).
const EXPIRE_AT_MAX_MS: UnixMs = (1 << 48) - 1;

/// A field and its value, as they are set.
pub type FieldValue<'a> = [&'a [u8]; 2];

/// A field as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// When it expires, if ever.
    pub expire_at_ms: Option<UnixMs>,
}

impl<'a> Field<'a> {
    #[inline]
    fn of(entry: Entry<'a>) -> Field<'a> {
        Field { name: entry.member, value: entry.value, expire_at_ms: entry.deadline_ms }
    }

    /// The field at an offset.
    #[inline]
    fn packed_at(packed: &'a Packed, width: usize, offset: usize) -> Field<'a> {
        let (name, rest) = Packed::split_first(packed.from(offset));
        let (value, rest) = Packed::split_first(rest);
        let deadline = if width == TIMED_WIDTH { Packed::split_first(rest).0 } else { &[] };
        Field { name, value, expire_at_ms: deadline.first_chunk().map(|bytes| UnixMs::from_le_bytes(*bytes)) }
    }

    fn part(&self) -> Part<'a> {
        Part::Field { field: self.name, value: self.value, expire_at_ms: self.expire_at_ms }
    }

    /// Whether its time is not over.
    #[inline]
    pub fn is_live(&self, now_ms: UnixMs) -> bool {
        self.expire_at_ms.is_none_or(|at_ms| at_ms > now_ms)
    }
}

/// A map from fields to values.
#[derive(Clone, Debug, Default)]
pub struct Hash(Handle<Large>);

/// What has more than a packed value of fields and values.
#[derive(Clone, Debug)]
enum Large {
    Timed(Timed),
    Table(Table<Fields>),
}

/// A packed value with deadlines.
#[derive(Clone, Debug, Default)]
struct Timed {
    packed: Packed,
    /// Fields that have one.
    count: usize,
    /// No field has an earlier one.
    due_ms: UnixMs,
}

/// Any form, to look at.
enum Stored<'a> {
    Record(Record<'a>),
    Packed(&'a Packed, usize),
    Table(&'a Table<Fields>),
}

/// The values of fields whose names lie elsewhere.
#[derive(Clone, Copy)]
struct Record<'a> {
    schema: &'static Schema,
    values: &'a [u8],
}

impl<'a> Record<'a> {
    /// What a packed value is, if it is one.
    #[inline]
    fn of(packed: &'a Packed) -> Option<Record<'a>> {
        let (label, values) = packed.as_record()?;
        Some(Record { schema: Schema::numbered(label), values })
    }

    /// Its fields, in the order in which they came.
    #[inline]
    fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let mut rest = self.values;
        self.schema.names().map(move |name| {
            let (value, behind) = split_value(rest);
            rest = behind;
            Field { name, value, expire_at_ms: None }
        })
    }

    /// Where the value of a field lies, with its length.
    fn place(self, name: &[u8]) -> Option<Range<usize>> {
        let index = self.schema.names().position(|own| own == name)?;
        let rest = (0..index).fold(self.values, |rest, _| split_value(rest).1);
        let start = self.values.len() - rest.len();
        Some(start..self.values.len() - split_value(rest).1.len())
    }
}

/// Fields with values.
#[derive(Clone, Copy, Debug)]
struct Fields;

impl Shape for Fields {
    const VALUES: bool = true;
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|field| other.find(field.name) == Some(field))
    }
}

impl Eq for Hash {}

impl std::hash::Hash for Hash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Fields have no order.
        let seed = HashSeed::new([1, 2, 3]);
        let of_field = |field: Field<'_>| seed.hash(field.name).rotate_left(1) ^ seed.hash(field.value);
        let sum = self.iter().map(of_field).fold(0, u64::wrapping_add);
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
            Form::Big(Large::Timed(_)) => Encoding::Listpackex,
            Form::Big(Large::Table(_)) => Encoding::Hashtable,
        }
    }

    fn memory_bytes(&self) -> usize {
        match self.0.form() {
            Form::Small(packed) => packed.memory_bytes(),
            Form::Big(Large::Timed(timed)) => size_of::<Large>() + timed.packed.memory_bytes(),
            Form::Big(Large::Table(table)) => size_of::<Large>() + table.memory_bytes(),
        }
    }

    fn allocations(&self) -> usize {
        match self.0.form() {
            Form::Small(_) => 1,
            Form::Big(Large::Timed(_)) => 2,
            Form::Big(Large::Table(table)) => 1 + table.allocations(),
        }
    }

    #[inline]
    fn due_ms(&self) -> Option<UnixMs> {
        match self.0.form() {
            Form::Small(_) => None,
            Form::Big(Large::Timed(timed)) => (timed.count > 0).then_some(timed.due_ms),
            Form::Big(Large::Table(table)) => table.due_ms(),
        }
    }

    fn content(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut fields: Vec<Field<'_>> = self.iter().collect();
        fields.sort_unstable();
        fields.iter().try_for_each(|field| visit(field.part()))
    }

    fn any_order(&self, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.iter().try_for_each(|field| visit(field.part()))
    }

    fn add(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        let (field, expiry) = field_of(part)?;
        self.set(&[field], expiry, limits.hash);
        Ok(())
    }

    fn add_new(&mut self, part: Part<'_>, limits: &EncodingLimits) -> Result<(), Misfit> {
        let (field, expiry) = field_of(part)?;
        self.prepare(&[field], expiry, limits.hash);
        self.append(&field, expiry, limits.hash);
        Ok(())
    }

    fn add_many(&mut self, parts: &[Part<'_>], limits: &EncodingLimits) -> Result<(), Misfit> {
        let Form::Big(Large::Table(table)) = self.0.form_mut() else { return add_each(self, parts, limits) };
        let entries = parts.iter().map(|part| match *part {
            Part::Field { field, value, expire_at_ms } => {
                Ok(Entry { member: field, value, deadline_ms: expire_at_ms })
            }
            _ => Err(Misfit),
        });
        table.put_many(&entries.collect::<Result<Vec<_>, _>>()?);
        Ok(())
    }

    fn expect_many(&mut self, parts: usize, limits: &EncodingLimits) {
        if parts > fields_max(limits.hash, WIDTH) && self.is_searched() {
            self.become_table();
        }
    }

    fn fits(&self, part: Part<'_>) -> bool {
        field_of(part).is_ok()
    }

    fn takes_many(&self) -> bool {
        !self.is_searched()
    }

    fn prefetch(&self, fields: &mut dyn Iterator<Item = &[u8]>) {
        if let Stored::Table(table) = self.stored() {
            table.prefetch(fields);
        }
    }

    fn is_searched(&self) -> bool {
        !matches!(self.stored(), Stored::Table(_))
    }

    fn settle(&mut self) {
        if let Stored::Packed(_, WIDTH) = self.stored() {
            let fields: Vec<FieldValue<'_>> = self.iter().map(|field| [field.name, field.value]).collect();
            if let Some(record) = Hash::record(fields.into_iter()) {
                self.0 = Handle::small(record);
            }
        }
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

    fn expire_parts(editor: &mut Editor<'_, Self>, now_ms: UnixMs, count: usize) {
        editor.expire_due(now_ms, count);
    }
}

impl Hash {
    /// Number of fields, those included whose time is over.
    #[inline]
    pub fn len(&self) -> usize {
        match self.stored() {
            Stored::Record(record) => record.schema.len(),
            Stored::Packed(packed, width) => packed.count() / width,
            Stored::Table(table) => table.len(),
        }
    }

    /// True when there is no field.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn stored(&self) -> Stored<'_> {
        match self.0.form() {
            Form::Small(packed) => Record::of(packed).map_or(Stored::Packed(packed, WIDTH), Stored::Record),
            Form::Big(Large::Timed(timed)) => Stored::Packed(&timed.packed, TIMED_WIDTH),
            Form::Big(Large::Table(table)) => Stored::Table(table),
        }
    }

    /// It at a time.
    #[inline]
    pub fn live(&self, now_ms: UnixMs) -> Live<'_> {
        Live::new(self, now_ms)
    }

    /// A field, be its time over or not.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Field<'_>> {
        match self.stored() {
            Stored::Record(record) => record.fields().find(|field| field.name == name),
            Stored::Packed(packed, width) => Some(Field::packed_at(packed, width, packed.find(name, width)?)),
            Stored::Table(table) => table.get(name).map(Field::of),
        }
    }

    /// Gives fields their values and returns how many are new. The expiry is that of each of them.
    pub fn set(&mut self, fields: &[FieldValue<'_>], expiry: Expiry, limit: PackedLimit) -> usize {
        self.prepare(fields, expiry, limit);
        if let Form::Small(packed) = self.0.form_mut()
            && packed.count() == 0
        {
            if let Some(record) = Hash::record(fields.iter().copied()) {
                *packed = record;
                return fields.len();
            }
            packed.reserve(fields.iter().flatten().map(|entry| encoded_bytes(entry)).sum(), UNLIMITED);
        }
        fields.iter().filter(|field| self.set_one(field, expiry, limit)).count()
    }

    /// The values of fields alone, if their names are those of many. A single field is mostly the first of several that
    /// come one by one.
    fn record<'f>(fields: impl Iterator<Item = FieldValue<'f>> + Clone) -> Option<Packed> {
        fields.clone().nth(1)?;
        let schema = Schema::of(fields.clone().map(|[name, _]| name))?;
        Some(Packed::record(schema.id(), fields.map(|[_, value]| value)))
    }

    /// Takes the names back that lie elsewhere, since others are to join them or one is to go.
    fn spell_out(&mut self) {
        let Stored::Record(record) = self.stored() else { return };
        let mut packed = Packed::new();
        let bytes = |field: Field<'_>| encoded_bytes(field.name) + encoded_bytes(field.value);
        packed.reserve(record.fields().map(bytes).sum(), UNLIMITED);
        for field in record.fields() {
            packed.push(Side::Tail, field.name, UNLIMITED);
            packed.push(Side::Tail, field.value, UNLIMITED);
        }
        self.0 = Handle::small(packed);
    }

    /// Takes the form that fits the fields to come, with this expiry.
    #[inline]
    fn prepare(&mut self, fields: &[FieldValue<'_>], expiry: Expiry, limit: PackedLimit) {
        self.expect(fields, limit);
        if matches!(expiry, Expiry::At(_)) {
            self.make_room_for_deadlines();
        }
    }

    /// Takes the form that fits the fields to come (Redis: `hashTypeTryConversion`).
    #[inline]
    fn expect(&mut self, fields: &[FieldValue<'_>], limit: PackedLimit) {
        let (packed, width) = match self.0.form() {
            Form::Small(packed) => (packed, WIDTH),
            Form::Big(Large::Timed(timed)) => (&timed.packed, TIMED_WIDTH),
            Form::Big(Large::Table(_)) => return,
        };
        let bytes_max = limit.bytes as usize;
        let is_short = |[name, value]: &FieldValue<'_>| name.len() <= bytes_max && value.len() <= bytes_max;
        let bytes = fields.iter().flatten().map(|entry| encoded_bytes(entry)).sum();
        if fields.len() > fields_max(limit, width)
            || !fields.iter().all(is_short)
            || !packed.is_safe_to_grow(bytes)
        {
            self.become_table();
        }
    }

    fn set_one(&mut self, field: &FieldValue<'_>, expiry: Expiry, limit: PackedLimit) -> bool {
        let [name, value] = field;
        let (packed, width) = match self.0.form_mut() {
            Form::Big(Large::Table(table)) => {
                let deadline_ms = match expiry {
                    Expiry::Clear => None,
                    Expiry::At(at_ms) => Some(at_ms),
                    Expiry::Keep => {
                        table.due_ms().and_then(|_| table.get(name)).and_then(|entry| entry.deadline_ms)
                    }
                };
                return table.put(Entry { member: name, value, deadline_ms });
            }
            Form::Big(Large::Timed(timed)) => (&mut timed.packed, TIMED_WIDTH),
            Form::Small(packed) => match Record::of(packed) {
                None => (packed, WIDTH),
                Some(record) => {
                    let Some(place) = record.place(name) else {
                        self.append(field, expiry, limit);
                        return true;
                    };
                    packed.replace_value(place, value);
                    return false;
                }
            },
        };
        let Some(offset) = packed.find(name, width) else {
            self.append(field, expiry, limit);
            return true;
        };
        let (_, value_at) = packed.entry_at(offset);
        packed.replace(value_at, value, UNLIMITED);
        if let Form::Big(Large::Timed(timed)) = self.0.form_mut() {
            match expiry {
                Expiry::Keep => {}
                Expiry::Clear => timed.set_deadline(name, None),
                Expiry::At(at_ms) => timed.set_deadline(name, Some(at_ms)),
            }
        }
        false
    }

    /// Adds a field that is none of those that are there.
    fn append(&mut self, field: &FieldValue<'_>, expiry: Expiry, limit: PackedLimit) {
        let [name, value] = field;
        self.spell_out();
        let deadline_ms = if let Expiry::At(at_ms) = expiry { Some(at_ms) } else { None };
        let (packed, width) = match self.0.form_mut() {
            Form::Big(Large::Table(table)) => {
                table.put(Entry { member: name, value, deadline_ms });
                return;
            }
            Form::Big(Large::Timed(timed)) => (&mut timed.packed, TIMED_WIDTH),
            Form::Small(packed) => (packed, WIDTH),
        };
        if packed.count() / width >= fields_max(limit, width) {
            self.become_table();
            return self.append(field, expiry, limit);
        }
        packed.reserve(encoded_bytes(name) + encoded_bytes(value), UNLIMITED);
        packed.push(Side::Tail, name, UNLIMITED);
        packed.push(Side::Tail, value, UNLIMITED);
        if let Form::Big(Large::Timed(timed)) = self.0.form_mut() {
            let bytes = deadline_ms.map(UnixMs::to_le_bytes);
            timed.packed.push(Side::Tail, bytes.as_ref().map_or(&[][..], |bytes| bytes), UNLIMITED);
            timed.note(deadline_ms, false);
        }
    }

    /// Sets when a field expires, if it is there.
    fn set_deadline(&mut self, name: &[u8], deadline_ms: Option<UnixMs>) {
        self.make_room_for_deadlines();
        match self.0.form_mut() {
            Form::Big(Large::Timed(timed)) => timed.set_deadline(name, deadline_ms),
            Form::Big(Large::Table(table)) => {
                if let Some(entry) = table.get(name) {
                    let value = entry.value.to_vec();
                    table.put(Entry { member: name, value: &value, deadline_ms });
                }
            }
            Form::Small(_) => unreachable!("there is room for deadlines"),
        }
    }

    /// Lets a packed hash have deadlines.
    fn make_room_for_deadlines(&mut self) {
        let Form::Small(_) = self.0.form() else { return };
        let bytes =
            |field: Field<'_>| encoded_bytes(field.name) + encoded_bytes(field.value) + encoded_bytes(&[]);
        if self.len() > RECORD_ENTRIES_MAX / TIMED_WIDTH {
            return self.become_table();
        }
        let mut timed = Timed::default();
        timed.packed.reserve(self.iter().map(bytes).sum(), UNLIMITED);
        self.iter().for_each(|field| {
            [field.name, field.value, &[]]
                .iter()
                .for_each(|entry| timed.packed.push(Side::Tail, entry, UNLIMITED));
        });
        self.0 = Handle::big(Large::Timed(timed));
    }

    #[cold]
    fn become_table(&mut self) {
        let mut table = Table::default();
        let entries = self.iter().map(|Field { name, value, expire_at_ms }| Entry {
            member: name,
            value,
            deadline_ms: expire_at_ms,
        });
        table.put_many(&entries.collect::<Vec<_>>());
        self.0 = Handle::big(Large::Table(table));
    }

    /// Removes a field; false if there is none.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        if let Stored::Record(record) = self.stored() {
            if record.place(name).is_none() {
                return false;
            }
            self.spell_out();
        }
        let (packed, width) = match self.0.form_mut() {
            Form::Big(Large::Table(table)) => return table.remove(name),
            Form::Big(Large::Timed(timed)) => {
                timed.set_deadline(name, None);
                (&mut timed.packed, TIMED_WIDTH)
            }
            Form::Small(packed) => (packed, WIDTH),
        };
        let place = packed.find(name, width);
        if let Some(offset) = place {
            (0..width).for_each(|_| packed.remove(offset, UNLIMITED));
        }
        place.is_some()
    }

    /// Fields whose time is over, at most `count`, for the caller to remove.
    fn take_due(&mut self, now_ms: UnixMs, count: usize) -> Vec<Vec<u8>> {
        if let Form::Big(Large::Table(table)) = self.0.form_mut() {
            return table.take_due(now_ms, count);
        }
        let (mut due, mut next_ms) = (Vec::new(), UnixMs::MAX);
        for field in self.iter() {
            match field.expire_at_ms {
                Some(at_ms) if at_ms <= now_ms && due.len() < count => due.push(field.name.to_vec()),
                at_ms => next_ms = next_ms.min(at_ms.unwrap_or(UnixMs::MAX)),
            }
        }
        if let Form::Big(Large::Timed(timed)) = self.0.form_mut() {
            timed.due_ms = next_ms;
        }
        due
    }

    /// All fields, those included whose time is over; few in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        let (record, packed, table) = match self.stored() {
            Stored::Record(record) => (Some(record), None, None),
            Stored::Packed(packed, width) => (None, Some((packed, width)), None),
            Stored::Table(table) => (None, None, Some(table)),
        };
        let fields = packed.into_iter().flat_map(|(packed, width)| {
            let mut offset = 0;
            std::iter::from_fn(move || {
                let field = (offset < packed.used()).then(|| Field::packed_at(packed, width, offset))?;
                offset = (0..width).fold(offset, |offset, _| packed.entry_at(offset).1);
                Some(field)
            })
        });
        let of_record = record.into_iter().flat_map(Record::fields);
        of_record.chain(fields).chain(table.into_iter().flat_map(Table::iter).map(Field::of))
    }

    /// The field of a rank below the length; ranks are those of [`Hash::iter`].
    fn at(&self, rank: usize) -> Field<'_> {
        match self.stored() {
            Stored::Record(record) => record.fields().nth(rank).expect("the rank is below the length"),
            Stored::Packed(packed, width) => Field::packed_at(packed, width, packed.offset_of(rank * width)),
            Stored::Table(table) => Field::of(table.at(rank)),
        }
    }
}

impl Timed {
    /// Sets or takes away a field's deadline, if it is there.
    fn set_deadline(&mut self, name: &[u8], deadline_ms: Option<UnixMs>) {
        let Some(offset) = self.packed.find(name, TIMED_WIDTH) else { return };
        let before = Field::packed_at(&self.packed, TIMED_WIDTH, offset).expire_at_ms;
        let at = (0..TIMED_WIDTH - 1).fold(offset, |offset, _| self.packed.entry_at(offset).1);
        let bytes = deadline_ms.map(UnixMs::to_le_bytes);
        self.packed.replace(at, bytes.as_ref().map_or(&[][..], |bytes| bytes), UNLIMITED);
        self.note(deadline_ms, before.is_some());
    }

    /// Counts a deadline that a field has got, or that it has none, and whether it had one before.
    fn note(&mut self, deadline_ms: Option<UnixMs>, had_one: bool) {
        self.count = self.count + usize::from(deadline_ms.is_some()) - usize::from(had_one);
        if let Some(at_ms) = deadline_ms {
            self.due_ms = if self.count == 1 { at_ms } else { at_ms.min(self.due_ms) };
        }
    }
}

/// The field that a part is, and its expiry.
fn field_of(part: Part<'_>) -> Result<(FieldValue<'_>, Expiry), Misfit> {
    match part {
        Part::Field { field, value, expire_at_ms } if expire_at_ms <= Some(EXPIRE_AT_MAX_MS) => {
            Ok(([field, value], expire_at_ms.map_or(Expiry::Clear, Expiry::At)))
        }
        _ => Err(Misfit),
    }
}

/// Most fields of a packed hash.
fn fields_max(limit: PackedLimit, width: usize) -> usize {
    (limit.members as usize).min(RECORD_ENTRIES_MAX / width)
}

#[cfg(test)]
mod tests;
