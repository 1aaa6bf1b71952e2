//! What strings are changed by: every op, what takes it back, and the functions that do it.

use std::sync::Arc;

use crate::effect::{Event, expiry_of};
use crate::entry::{Entry, NewValue};
use crate::keyspace::{Expiry, KeyspaceMut, Misfit, Tables, WrongType};
use crate::table::Found;
use crate::types::content::Value;
use crate::types::string::{Text, grow_zeroed, reserve_amortised};
use crate::types::{Op, PartUndo};
use crate::undo::Undo;
use crate::{Key, UnixMs};

/// A change to a string.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StringOp<'a> {
    /// The key holds this string, with this expiry or none, whatever was there.
    Set {
        /// The string.
        value: &'a [u8],
        /// When it expires.
        expire_at_ms: Option<UnixMs>,
    },
    /// Bytes written at an offset, zero-filled before it.
    SetRange {
        /// The offset.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// One bit. Merging makes it; SETBIT is a [`StringOp::SetRange`].
    SetBit {
        /// The bit's number, from the highest bit of byte 0.
        offset: u32,
        /// What it is now.
        bit: bool,
    },
    /// Bytes added to the end.
    Append {
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A number added to an integer string.
    IncrementBy {
        /// The number.
        delta: i64,
    },
}

/// The numbers of ops in wire forms and logs. Append only: a number is never given to another op.
#[allow(missing_docs, reason = "they are the ops of the same names")]
pub mod tag {
    pub const SET: u8 = 1;
    pub const SET_RANGE: u8 = 2;
    pub const SET_BIT: u8 = 3;
    pub const APPEND: u8 = 4;
    pub const INCREMENT_BY: u8 = 5;
    /// All of them.
    pub const ALL: [u8; 5] = [SET, SET_RANGE, SET_BIT, APPEND, INCREMENT_BY];
}

/// What takes a change to part of a string back: bytes, from an offset on, of a string that was this long.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StringUndo {
    len: usize,
    offset: usize,
    bytes: Vec<u8>,
}

/// The longest string that an op from elsewhere makes: Redis's default limit. What a peer states beyond it is refused.
pub const STRING_BYTES_MAX: u64 = 512 << 20;

/// Longest piece that one [`StringEdit::write`] takes: a 64-bit field that begins inside a byte.
pub const PIECE_BYTES_MAX: usize = 9;

/// Why a string was not made longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowError {
    /// The value is not a string.
    WrongType,
    /// It would be longer than the caller allows.
    TooLong,
}

/// Why an increment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncrementError {
    /// The value is not a string.
    WrongType,
    /// The string is not an integer.
    NotAnInteger,
    /// The result has no place in 64 bits.
    Overflow,
}

impl StringOp<'_> {
    /// Its number.
    pub fn tag(&self) -> u8 {
        match self {
            StringOp::Set { .. } => tag::SET,
            StringOp::SetRange { .. } => tag::SET_RANGE,
            StringOp::SetBit { .. } => tag::SET_BIT,
            StringOp::Append { .. } => tag::APPEND,
            StringOp::IncrementBy { .. } => tag::INCREMENT_BY,
        }
    }

    /// See [`Op::apply`].
    pub(crate) fn apply(&self, keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>) -> Result<(), Misfit> {
        let fits = match *self {
            StringOp::Set { value, expire_at_ms } => {
                keyspace.set(key, value, expiry_of(expire_at_ms), Event::string("set"));
                true
            }
            StringOp::SetRange { offset, bytes } => {
                let event = Event::string("setrange");
                keyspace.set_range(key, offset, bytes, STRING_BYTES_MAX, event).is_ok()
            }
            StringOp::SetBit { offset, bit } => keyspace.set_bit(key, offset, bit),
            StringOp::Append { bytes } => keyspace.append(key, bytes, STRING_BYTES_MAX).is_ok(),
            StringOp::IncrementBy { delta } => keyspace.increment(key, delta).is_ok(),
        };
        if fits { Ok(()) } else { Err(Misfit) }
    }
}

impl StringUndo {
    /// What a write of `bytes` bytes at an offset overwrites.
    fn of_range(text: &[u8], offset: u64, bytes: usize) -> StringUndo {
        let len = text.len();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(len);
        let end = offset.saturating_add(bytes).min(len);
        StringUndo { len, offset, bytes: text[offset..end].to_vec() }
    }

    /// Takes the change back.
    pub(crate) fn take_back(&self, text: &mut Vec<u8>) {
        text.truncate(self.len);
        text.splice(self.offset..self.offset + self.bytes.len(), self.bytes.iter().copied());
    }

    /// Bytes that it holds, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// What takes back a change to a string that is no longer than it was, or longer by what was written.
fn undo_of_range(before: Option<crate::EntryRef<'_>>, offset: u64, bytes: usize) -> Undo {
    let Some(entry) = before else { return Undo::ABSENT };
    let part = Text::of(entry.value()).map(|text| StringUndo::of_range(&text, offset, bytes));
    part.map_or_else(|| Undo::of(before), |part| Undo::of_part(PartUndo::String(part), entry.expire_at_ms()))
}

impl KeyspaceMut<'_, '_> {
    /// Puts a string at a key, whatever was there.
    #[inline]
    pub fn set(&mut self, key: &Key<'_>, value: &[u8], expiry: Expiry, event: Event) {
        let found = self.live_place(key);
        let clock = self.stamp_at(key, found);
        let expire_at_ms = self.expiry_after(key, found, expiry);
        self.alter(
            key,
            Undo::of,
            |tables| put(tables, key, found, NewValue::String(value), expire_at_ms, clock),
            || (Op::String(StringOp::Set { value, expire_at_ms }), event),
        );
    }

    /// Puts a string at a key, with the expiry that is there. It is not stored as an integer although it may be one: so are
    /// sums of floats in Redis (`createStringObjectFromLongDouble`).
    pub fn set_text(&mut self, key: &Key<'_>, value: &[u8], event: Event) {
        let found = self.live_place(key);
        let clock = self.stamp_at(key, found);
        let expire_at_ms = self.expiry_after(key, found, Expiry::Keep);
        self.alter(
            key,
            Undo::of,
            |tables| put(tables, key, found, NewValue::Text(value), expire_at_ms, clock),
            || (Op::String(StringOp::Set { value, expire_at_ms }), event),
        );
    }

    /// Puts a long string at a key, whatever was there, without copying it.
    pub fn set_long(&mut self, key: &Key<'_>, value: &Arc<Vec<u8>>, expiry: Expiry, event: Event) {
        self.attend_to_met();
        let found = self.live_place(key);
        let clock = self.stamp_at(key, found);
        let expire_at_ms = self.expiry_after(key, found, expiry);
        self.alter(
            key,
            Undo::of,
            |tables| put(tables, key, found, NewValue::Raw(Arc::clone(value)), expire_at_ms, clock),
            || (Op::String(StringOp::Set { value, expire_at_ms }), event),
        );
    }

    /// When the key at a place expires after a write.
    #[inline]
    fn expiry_after(&mut self, key: &Key<'_>, found: Option<Found>, expiry: Expiry) -> Option<UnixMs> {
        match (expiry, found) {
            (Expiry::Clear, _) | (Expiry::Keep, None) => None,
            (Expiry::At(at_ms), _) => Some(at_ms),
            (Expiry::Keep, Some(found)) => self.entry_at(key, found).expire_at_ms(),
        }
    }

    /// Length of the string at a key in bytes, without counting as a read of its value.
    pub fn string_len(&mut self, key: &Key<'_>) -> Result<Option<usize>, WrongType> {
        match self.live_entry(key) {
            None => Ok(None),
            Some(entry) => Text::of(entry.value()).map(|text| Some(text.len())).ok_or(WrongType),
        }
    }

    /// Adds to an integer string; an absent key counts as 0.
    #[inline]
    pub fn increment(&mut self, key: &Key<'_>, delta: i64) -> Result<i64, IncrementError> {
        let said = || (Op::String(StringOp::IncrementBy { delta }), Event::string("incrby"));
        let place = self.live_place(key);
        let clock = self.stamp_at(key, place);
        let Some(found) = place else {
            let entry = Entry::new(key.bytes, NewValue::Integer(delta), None, clock);
            self.alter(key, Undo::of, |tables| tables.insert(key, entry), said);
            return Ok(delta);
        };
        let entry = self.entry_at(key, found);
        let sum = incremented(entry.value(), delta)?;
        entry.set_clock(clock);
        self.alter(
            key,
            Undo::of,
            |tables| {
                let table = tables.table(key);
                if !table.overwrite_integer(found, sum.wrapping_sub(delta), sum) {
                    table.update(found, |entry| {
                        let expire_at_ms = entry.as_ref().expire_at_ms();
                        (Entry::new(key.bytes, NewValue::Integer(sum), expire_at_ms, clock), ())
                    });
                }
            },
            said,
        );
        Ok(sum)
    }

    /// Adds bytes to the end of a string, up to `bytes_max` in all, and returns its new length.
    pub fn append(&mut self, key: &Key<'_>, bytes: &[u8], bytes_max: u64) -> Result<usize, GrowError> {
        let found = self.live_place(key);
        let clock = self.stamp_at(key, found);
        let old = self.string_at(key, found)?;
        let len = match old {
            Some(old) => checked_len(old as u64, bytes.len(), bytes_max)?,
            None => bytes.len(),
        };
        self.alter(
            key,
            |before| undo_of_range(before, u64::MAX, 0),
            |tables| match found {
                Some(found) => edit_raw(tables, key, found, len, clock, |string| {
                    reserve_amortised(string, len);
                    string.extend_from_slice(bytes);
                }),
                None => tables.insert(key, Entry::new(key.bytes, NewValue::String(bytes), None, clock)),
            },
            || (Op::String(StringOp::Append { bytes }), Event::string("append")),
        );
        Ok(len)
    }

    /// Writes bytes into a string at an offset, zero-filled up to it, and returns its length, at most `bytes_max`.
    pub fn set_range(
        &mut self,
        key: &Key<'_>,
        offset: u64,
        bytes: &[u8],
        bytes_max: u64,
        event: Event,
    ) -> Result<usize, GrowError> {
        let found = self.live_place(key);
        let clock = self.stamp_at(key, found);
        let old = self.string_at(key, found)?;
        let len = checked_len(offset, bytes.len(), bytes_max)?.max(old.unwrap_or(0));
        let write = |string: &mut Vec<u8>| {
            grow_zeroed(string, len);
            string[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        };
        self.alter(
            key,
            |before| undo_of_range(before, offset, bytes.len()),
            |tables| match found {
                Some(found) => edit_raw(tables, key, found, len, clock, write),
                None => {
                    let mut string = vec![0; len];
                    write(&mut string);
                    tables.insert(key, Entry::new(key.bytes, NewValue::Raw(string.into()), None, clock));
                }
            },
            || (Op::String(StringOp::SetRange { offset, bytes }), event),
        );
        Ok(len)
    }

    /// Sets one bit; false when the key holds no string.
    fn set_bit(&mut self, key: &Key<'_>, offset: u32, bit: bool) -> bool {
        let at = offset / 8;
        let found = self.live_place(key);
        let byte = |value: Value<'_>| Text::of(value).map(|text| text.get(at as usize).copied().unwrap_or(0));
        let Some(old) = found.map_or(Some(0), |found| byte(self.entry_at(key, found).value())) else {
            return false;
        };
        let mask = 0x80 >> (offset % 8);
        let new = if bit { old | mask } else { old & !mask };
        self.set_range(key, u64::from(at), &[new], STRING_BYTES_MAX, Event::string("setbit")).is_ok()
    }

    /// Length of the string at a place, which must hold one.
    fn string_at(&mut self, key: &Key<'_>, found: Option<Found>) -> Result<Option<usize>, GrowError> {
        let Some(found) = found else { return Ok(None) };
        let text = Text::of(self.entry_at(key, found).value()).ok_or(GrowError::WrongType)?;
        Ok(Some(text.len()))
    }

    /// Writes pieces into a string that is first made `len_min` bytes long, at least 1, all as one change with one
    /// event or none; none when nothing has changed. The caller has checked the limit.
    pub fn edit_string<R>(
        &mut self,
        key: &Key<'_>,
        len_min: usize,
        event: impl Into<Option<Event>>,
        edit: impl FnOnce(&mut StringEdit<'_>) -> R,
    ) -> Result<R, WrongType> {
        let observed = self.is_observed();
        let found = self.live_place(key);
        let clock = self.stamp_at(key, found);
        let len_before = self.string_at(key, found).map_err(|_| WrongType)?;
        let expire_at_ms = self.expiry_after(key, found, Expiry::Keep);
        let edit = |string: &mut Vec<u8>| {
            let grown = len_before.unwrap_or(0) < string.len();
            let mut editing = StringEdit { bytes: string, grown, observed, changes: 0, pieces: Vec::new() };
            let result = edit(&mut editing);
            editing.note_growth();
            (result, editing.changes, editing.pieces)
        };
        let act = |tables: &mut Tables<'_, '_>| match found {
            Some(found) => {
                let len = len_before.unwrap_or(0).max(len_min);
                edit_raw(tables, key, found, len, clock, |string| {
                    grow_zeroed(string, len);
                    edit(string)
                })
            }
            None => {
                let mut string = vec![0; len_min];
                let outcome = edit(&mut string);
                tables.insert(key, Entry::new(key.bytes, NewValue::Raw(string.into()), None, clock));
                outcome
            }
        };
        Ok(self.alter_in_parts(key, act, |pieces| said_of(pieces, len_before, expire_at_ms), event.into()))
    }
}

/// The pieces in words. `len` is how long the string was before the first of them; `None`: there was no key.
fn said_of(pieces: &[Piece], mut len: Option<usize>, expire_at_ms: Option<UnixMs>) -> Vec<(Op<'_>, Undo)> {
    // Applied one by one, the first pieces of a string that has grown make it longer.
    let mut said = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let undo = piece.undo(len, expire_at_ms);
        let end = piece.offset + piece.len;
        len = Some(len.map_or(end, |len| len.max(end)));
        let op = StringOp::SetRange { offset: piece.offset as u64, bytes: &piece.bytes[..piece.len] };
        said.push((Op::String(op), undo));
    }
    said
}

/// Puts a string at a key, where one was found or none.
#[inline(always)]
fn put(
    tables: &mut Tables<'_, '_>,
    key: &Key<'_>,
    found: Option<Found>,
    new: NewValue<'_>,
    expire_at_ms: Option<UnixMs>,
    clock: u32,
) {
    let Some(found) = found else {
        return tables.insert(key, Entry::new(key.bytes, new, expire_at_ms, clock));
    };
    let table = tables.table(key);
    table.entry_at(found).set_clock(clock);
    if !table.overwrite(found, &new, expire_at_ms) {
        tables.put(key, Entry::new(key.bytes, new, expire_at_ms, clock));
    }
}

/// Runs `edit` on the growable form of an existing string that is going to have `len` bytes.
fn edit_raw<R>(
    tables: &mut Tables<'_, '_>,
    key: &Key<'_>,
    found: Found,
    len: usize,
    clock: u32,
    edit: impl FnOnce(&mut Vec<u8>) -> R,
) -> R {
    let table = tables.table(key);
    table.entry_at(found).set_clock(clock);
    if !table.with_entry(found, |entry| entry.raw_mut().is_some()) {
        table.update(found, |entry| (raw_form(&entry, len), ()));
    }
    table.with_entry(found, |entry| edit(entry.raw_mut().expect("was just given this form")))
}

/// A string while [`KeyspaceMut::edit_string`] changes it.
#[derive(Debug)]
pub struct StringEdit<'a> {
    bytes: &'a mut Vec<u8>,
    /// The string is new or longer than before: then every write changes something.
    grown: bool,
    /// Without observers nobody asks for the pieces.
    observed: bool,
    changes: u64,
    pieces: Vec<Piece>,
}

/// A piece as it was written.
#[derive(Debug)]
struct Piece {
    offset: usize,
    len: usize,
    bytes: [u8; PIECE_BYTES_MAX],
    /// What was there before; zeros behind the string's former end.
    overwritten: [u8; PIECE_BYTES_MAX],
}

impl Piece {
    /// What takes it back, where the string was `len` bytes long before; `None`: where there was no key.
    fn undo(&self, len: Option<usize>, expire_at_ms: Option<UnixMs>) -> Undo {
        let Some(len) = len else { return Undo::ABSENT };
        let kept = self.len.min(len.saturating_sub(self.offset));
        let (offset, bytes) = (self.offset.min(len), self.overwritten[..kept].to_vec());
        Undo::of_part(PartUndo::String(StringUndo { len, offset, bytes }), expire_at_ms)
    }
}

impl StringEdit<'_> {
    /// The string as it is now.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Overwrites at most [`PIECE_BYTES_MAX`] bytes within the string's length.
    #[inline]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        if self.bytes[offset..offset + bytes.len()] == *bytes && !self.grown {
            return;
        }
        self.changes += 1;
        if self.observed {
            self.note(offset, bytes);
        }
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Notes a piece that is about to be written.
    fn note(&mut self, offset: usize, bytes: &[u8]) {
        let (len, blank) = (bytes.len(), [0; PIECE_BYTES_MAX]);
        let mut piece = Piece { offset, len, bytes: blank, overwritten: blank };
        piece.bytes[..len].copy_from_slice(bytes);
        piece.overwritten[..len].copy_from_slice(&self.bytes[offset..offset + len]);
        self.pieces.push(piece);
    }

    /// A string that has grown beyond every written piece has changed too.
    fn note_growth(&mut self) {
        let Some(last) = self.bytes.len().checked_sub(1).filter(|_| self.grown) else { return };
        self.changes = self.changes.max(1);
        let covered =
            self.pieces.iter().any(|piece| (piece.offset..piece.offset + piece.len).contains(&last));
        if self.observed && !covered {
            self.note(last, &[self.bytes[last]]);
        }
    }
}

/// The sum of an integer string and a number.
#[inline(always)]
fn incremented(value: Value<'_>, delta: i64) -> Result<i64, IncrementError> {
    let old = match value {
        Value::Integer(number) => number,
        Value::Bytes(bytes) => swytch_decimal::parse_i64(bytes).ok_or(IncrementError::NotAnInteger)?,
        Value::Raw(raw) => swytch_decimal::parse_i64(raw.bytes()).ok_or(IncrementError::NotAnInteger)?,
        Value::Collection(_) => return Err(IncrementError::WrongType),
    };
    old.checked_add(delta).ok_or(IncrementError::Overflow)
}

/// The length of `len` bytes and `more`, if it is within a limit.
fn checked_len(len: u64, more: usize, bytes_max: u64) -> Result<usize, GrowError> {
    let sum = len.checked_add(more as u64).filter(|sum| *sum <= bytes_max).ok_or(GrowError::TooLong)?;
    usize::try_from(sum).map_err(|_| GrowError::TooLong)
}

/// The same string in its growable form, with room for `len` bytes.
fn raw_form(entry: &Entry, len: usize) -> Entry {
    let entry = entry.as_ref();
    let mut bytes = Vec::new();
    if let Some(text) = Text::of(entry.value()) {
        if len > text.len() {
            reserve_amortised(&mut bytes, len);
        }
        bytes.extend_from_slice(&text);
    }
    let expire_at_ms: Option<UnixMs> = entry.expire_at_ms();
    Entry::new(entry.key(), NewValue::Raw(bytes.into()), expire_at_ms, entry.clock())
}

#[cfg(test)]
mod tests;
