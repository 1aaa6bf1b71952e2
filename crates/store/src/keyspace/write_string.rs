//! Primitives that change strings.

use super::{Expiry, KeyspaceMut, WrongType};
use crate::effect::{Effect, Event};
use crate::entry::{Entry, NewValue, Value};
use crate::table::Found;
use crate::types::string::{Text, grow_zeroed, reserve_amortised};
use crate::{Key, Undo, UnixMs};

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

impl KeyspaceMut<'_, '_> {
    /// Puts a string at a key, whatever was there.
    #[inline]
    pub fn set(&mut self, key: &Key<'_>, value: &[u8], expiry: Expiry, event: Event) {
        let clock = self.clock();
        let found = self.live_place(key);
        let expire_at_ms = match (expiry, found) {
            (Expiry::Clear, _) | (Expiry::Keep, None) => None,
            (Expiry::At(at_ms), _) => Some(at_ms),
            (Expiry::Keep, Some(found)) => self.table_mut(key).entry_at(found).expire_at_ms(),
        };
        self.foresee(key, || Effect::Set { key: key.bytes, value, expire_at_ms });
        match found {
            Some(found) => {
                let overwritten = self.table_mut(key).with_entry(found, |entry| {
                    entry.as_ref().set_clock(clock);
                    entry.overwrite(value, expire_at_ms)
                });
                if !overwritten {
                    self.put(key, Entry::new(key.bytes, NewValue::String(value), expire_at_ms, clock));
                }
            }
            None => self.insert_new(key, NewValue::String(value), expire_at_ms),
        }
        self.emit(key, || (Effect::Set { key: key.bytes, value, expire_at_ms }, event));
    }

    /// Puts a long string at a key, whatever was there, without copying it. The expiry is cleared.
    pub fn set_owned(&mut self, key: &Key<'_>, value: Vec<u8>, event: Event) {
        // An effect is told after its change, and by then the value belongs to the entry.
        let copy = if self.is_observed() { value.clone() } else { Vec::new() };
        let found = self.live_place(key);
        self.foresee(key, || Effect::Set { key: key.bytes, value: &copy, expire_at_ms: None });
        match found {
            Some(_) => {
                let entry = Entry::new(key.bytes, NewValue::Raw(value), None, self.clock());
                self.put(key, entry);
            }
            None => self.insert_new(key, NewValue::Raw(value), None),
        }
        self.emit(key, || (Effect::Set { key: key.bytes, value: &copy, expire_at_ms: None }, event));
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
        let clock = self.clock();
        let sum = match self.live_place(key) {
            Some(found) => {
                if self.is_observed() {
                    self.foresee_increment(key, found, delta);
                }
                let table = self.table_mut(key);
                let entry = table.entry_at(found);
                entry.set_clock(clock);
                let sum = incremented(entry.value(), delta)?;
                if !table.with_entry(found, |entry| entry.overwrite_integer(sum)) {
                    table.update(found, |entry| {
                        let expire_at_ms = entry.as_ref().expire_at_ms();
                        (Entry::new(key.bytes, NewValue::Integer(sum), expire_at_ms, clock), ())
                    });
                }
                sum
            }
            None => {
                self.foresee(key, || Effect::IncrementBy { key: key.bytes, delta });
                self.insert_new(key, NewValue::Integer(delta), None);
                delta
            }
        };
        self.emit(key, || (Effect::IncrementBy { key: key.bytes, delta }, Event::string("incrby")));
        Ok(sum)
    }

    /// Shows listeners an increment, unless it is going to fail.
    #[cold]
    fn foresee_increment(&mut self, key: &Key<'_>, found: Found, delta: i64) {
        if incremented(self.table_mut(key).entry_at(found).value(), delta).is_ok() {
            self.foresee(key, || Effect::IncrementBy { key: key.bytes, delta });
        }
    }

    /// Adds bytes to the end of a string, up to `bytes_max` in all, and returns its new length.
    pub fn append(&mut self, key: &Key<'_>, bytes: &[u8], bytes_max: u64) -> Result<usize, GrowError> {
        let len = match self.live_place(key) {
            Some(found) => self.change_raw(
                key,
                found,
                Some(Effect::Append { key: key.bytes, bytes }),
                |old| checked_len(old as u64, bytes.len(), bytes_max),
                |string, len| {
                    reserve_amortised(string, len);
                    string.extend_from_slice(bytes);
                    len
                },
            )?,
            None => {
                self.foresee(key, || Effect::Append { key: key.bytes, bytes });
                self.insert_new(key, NewValue::String(bytes), None);
                bytes.len()
            }
        };
        self.emit(key, || (Effect::Append { key: key.bytes, bytes }, Event::string("append")));
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
        let end = checked_len(offset, bytes.len(), bytes_max);
        let len = match self.live_place(key) {
            Some(found) => self.change_raw(
                key,
                found,
                Some(Effect::SetRange { key: key.bytes, offset, bytes }),
                |old| end.map(|end| end.max(old)),
                |string, len| {
                    grow_zeroed(string, len);
                    string[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                    len
                },
            )?,
            None => {
                let len = end?;
                self.foresee(key, || Effect::SetRange { key: key.bytes, offset, bytes });
                let mut string = vec![0; len];
                string[offset as usize..].copy_from_slice(bytes);
                self.insert_new(key, NewValue::Raw(string), None);
                len
            }
        };
        self.emit(key, || (Effect::SetRange { key: key.bytes, offset, bytes }, event));
        Ok(len)
    }

    /// Writes pieces into a string that is first made `len_min` bytes long, at least 1, all as one change with one
    /// event; none when nothing has changed. The caller has checked the limit.
    pub fn edit_string<R>(
        &mut self,
        key: &Key<'_>,
        len_min: usize,
        event: Event,
        edit: impl FnOnce(&mut StringEdit<'_>) -> R,
    ) -> Result<R, WrongType> {
        let observed = self.is_observed();
        let edit = |string: &mut Vec<u8>, len_before: usize| {
            let grown = len_before < string.len();
            let mut editing = StringEdit { bytes: string, grown, observed, changes: 0, pieces: Vec::new() };
            let result = edit(&mut editing);
            editing.note_growth();
            (result, editing.changes, editing.pieces)
        };
        let mut len_before = None;
        let mut expire_at_ms = None;
        let (result, changes, pieces) = match self.live_place(key) {
            Some(found) => {
                expire_at_ms = self.table_mut(key).entry_at(found).expire_at_ms();
                let plan = |old: usize| Ok(old.max(len_min));
                let outcome = self.change_raw(key, found, None, plan, |string, len| {
                    let before = *len_before.insert(string.len());
                    grow_zeroed(string, len);
                    edit(string, before)
                });
                outcome.map_err(|_| WrongType)?
            }
            None => {
                let mut string = vec![0; len_min];
                let outcome = edit(&mut string, 0);
                self.insert_new(key, NewValue::Raw(string), None);
                outcome
            }
        };
        if changes > 0 {
            let effects = pieces.iter().map(|piece| {
                let bytes = &piece.bytes[..piece.len];
                let effect = Effect::SetRange { key: key.bytes, offset: piece.offset as u64, bytes };
                let overwritten = &piece.overwritten[..piece.len];
                // Applied one by one, the first pieces of a string that has grown make it longer.
                let end = piece.offset + piece.len;
                let before = len_before;
                let undo = move || Undo::of_piece(before, piece.offset, overwritten, expire_at_ms);
                len_before = Some(len_before.map_or(end, |len| len.max(end)));
                (effect, undo)
            });
            self.emit_several(key, changes, effects, event);
        }
        Ok(result)
    }

    /// Runs `change` on the growable form of an existing string. `plan` says from its length how long it
    /// will be, or that this must not be. `effect` is the change, if it is known before.
    fn change_raw<R>(
        &mut self,
        key: &Key<'_>,
        found: Found,
        effect: Option<Effect<'_>>,
        plan: impl FnOnce(usize) -> Result<usize, GrowError>,
        change: impl FnOnce(&mut Vec<u8>, usize) -> R,
    ) -> Result<R, GrowError> {
        let clock = self.clock();
        let table = self.table_mut(key);
        let entry = table.entry_at(found);
        let old_len = Text::of(entry.value()).ok_or(GrowError::WrongType)?.len();
        let len = plan(old_len)?;
        entry.set_clock(clock);
        if let Some(effect) = effect {
            self.foresee(key, || effect);
        }
        let table = self.table_mut(key);
        if !table.with_entry(found, |entry| entry.raw_mut().is_some()) {
            table.update(found, |entry| (raw_form(&entry, len), ()));
        }
        Ok(table.with_entry(found, |entry| change(entry.raw_mut().expect("was just given this form"), len)))
    }
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
        Value::List(_) => return Err(IncrementError::WrongType),
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
    Entry::new(entry.key(), NewValue::Raw(bytes), expire_at_ms, entry.clock())
}

#[cfg(test)]
mod tests;
