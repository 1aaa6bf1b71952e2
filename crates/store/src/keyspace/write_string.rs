//! Primitives that change strings.

use super::{Expiry, KeyspaceMut, WrongType};
use crate::effect::{Effect, Event};
use crate::entry::{Entry, NewValue, Type, Value};
use crate::types::string::Text;
use crate::{Key, UnixMs};

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
        let expire_at_ms = match self.live_place(key) {
            Some(found) => {
                let table = self.table_mut(key);
                let old = table.entry_at(found);
                old.set_clock(clock);
                let expire_at_ms = match expiry {
                    Expiry::Clear => None,
                    Expiry::Keep => old.expire_at_ms(),
                    Expiry::At(at_ms) => Some(at_ms),
                };
                if !table.with_entry(found, |entry| entry.overwrite(value, expire_at_ms)) {
                    self.put(key, Entry::new(key.bytes, NewValue::String(value), expire_at_ms, clock));
                }
                expire_at_ms
            }
            None => {
                let expire_at_ms = match expiry {
                    Expiry::At(at_ms) => Some(at_ms),
                    Expiry::Clear | Expiry::Keep => None,
                };
                self.insert_new(key, NewValue::String(value), expire_at_ms);
                expire_at_ms
            }
        };
        self.emit(key, Effect::Set { key: key.bytes, value, expire_at_ms }, event);
    }

    /// SET with an expiry option: tells of the expiry too, and a time already past deletes the key instead.
    pub fn set_or_expire(&mut self, key: &Key<'_>, value: &[u8], expiry: Expiry) {
        if let Expiry::At(at_ms) = expiry
            && at_ms <= self.now_ms()
            && !self.ignores_expiry()
        {
            self.delete(key);
            return;
        }
        self.set(key, value, expiry, Event::string("set"));
        if let Expiry::At(_) = expiry {
            self.notify(Event::generic("expire"), key.bytes);
        }
    }

    /// Adds to an integer string; an absent key counts as 0.
    #[inline]
    pub fn increment(&mut self, key: &Key<'_>, delta: i64) -> Result<i64, IncrementError> {
        let clock = self.clock();
        let sum = match self.live_place(key) {
            Some(found) => {
                let table = self.table_mut(key);
                let entry = table.entry_at(found);
                entry.set_clock(clock);
                let old = match entry.value() {
                    Value::Integer(number) => number,
                    Value::Bytes(bytes) => {
                        swytch_decimal::parse_i64(bytes).ok_or(IncrementError::NotAnInteger)?
                    }
                    Value::List(_) => return Err(IncrementError::WrongType),
                };
                let sum = old.checked_add(delta).ok_or(IncrementError::Overflow)?;
                if !table.with_entry(found, |entry| entry.overwrite_integer(sum)) {
                    table.update(found, |entry| {
                        let expire_at_ms = entry.as_ref().expire_at_ms();
                        (Entry::new(key.bytes, NewValue::Integer(sum), expire_at_ms, clock), ())
                    });
                }
                sum
            }
            None => {
                self.insert_new(key, NewValue::Integer(delta), None);
                delta
            }
        };
        self.emit(key, Effect::IncrementBy { key: key.bytes, delta }, Event::string("incrby"));
        Ok(sum)
    }

    /// Adds bytes to the end of a string and returns its new length. The caller has checked the limit.
    pub fn append(&mut self, key: &Key<'_>, bytes: &[u8]) -> Result<usize, WrongType> {
        let len = match self.live_place(key) {
            Some(_) => self.change_raw(key, |string| string.extend_from_slice(bytes))?,
            None => {
                self.insert_new(key, NewValue::String(bytes), None);
                bytes.len()
            }
        };
        self.emit(key, Effect::Append { key: key.bytes, bytes }, Event::string("append"));
        Ok(len)
    }

    /// Writes bytes into a string at an offset, zero-filled up to it, and returns its length. The
    /// caller has checked the limit.
    pub fn set_range(
        &mut self,
        key: &Key<'_>,
        offset: usize,
        bytes: &[u8],
        event: Event,
    ) -> Result<usize, WrongType> {
        if self.live_place(key).is_none() {
            self.insert_new(key, NewValue::Raw(Vec::with_capacity(offset + bytes.len())), None);
        }
        let len = self.change_raw(key, |string| {
            let end = offset + bytes.len();
            if string.len() < end {
                string.resize(end, 0);
            }
            string[offset..end].copy_from_slice(bytes);
        })?;
        self.emit(key, Effect::SetRange { key: key.bytes, offset: offset as u64, bytes }, event);
        Ok(len)
    }

    /// Runs `change` on the growable form of an existing string and returns its length.
    fn change_raw(&mut self, key: &Key<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Result<usize, WrongType> {
        let clock = self.clock();
        let found = self.live_place(key).expect("the caller has looked");
        let table = self.table_mut(key);
        let entry = table.entry_at(found);
        if entry.data_type() != Type::String {
            return Err(WrongType);
        }
        entry.set_clock(clock);
        if !table.with_entry(found, |entry| entry.raw_mut().is_some()) {
            table.update(found, |entry| (raw_form(&entry), ()));
        }
        Ok(table.with_entry(found, |entry| {
            let string = entry.raw_mut().expect("was just given this form");
            change(string);
            string.len()
        }))
    }
}

/// The same string in its growable form.
fn raw_form(entry: &Entry) -> Entry {
    let entry = entry.as_ref();
    let bytes = Text::of(entry.value()).map(|text| text.to_vec()).unwrap_or_default();
    let expire_at_ms: Option<UnixMs> = entry.expire_at_ms();
    Entry::new(entry.key(), NewValue::Raw(bytes), expire_at_ms, entry.clock())
}
