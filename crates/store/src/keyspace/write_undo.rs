//! Taking effects back, and putting whole values in place.

use super::{Expiry, KeyspaceMut};
use crate::Key;
use crate::effect::{Elements, Event};
use crate::types::list::Side;
use crate::undo::{Overwritten, OwnedEntry, OwnedValue, Undo};

impl KeyspaceMut<'_, '_> {
    /// Takes back an effect whose [`Undo`] this is, on a key that is as the effect has left it. Expired keys have to be
    /// [visible](super::Keyspace::ignoring_expiry).
    pub fn undo(&mut self, key: &Key<'_>, undo: &Undo) {
        match &undo.overwritten {
            Overwritten::Expiry => {}
            Overwritten::Pushed(side, count) => {
                let taken = self.list_pop(key, *side, *count, |_| {});
                debug_assert_eq!(taken, Ok(Some(*count)), "the undo is for another state");
            }
            Overwritten::Popped(side, elements) => {
                let elements: Vec<&[u8]> = elements.iter().rev().map(Vec::as_slice).collect();
                let pushed = self.list_push(key, *side, Elements::Many(&elements), true);
                debug_assert!(pushed.is_ok(), "the undo is for another state");
            }
            Overwritten::Element(index, element) => {
                let done = self.list_set(key, *index, element);
                debug_assert_eq!(done, Ok(true), "the undo is for another state");
            }
            _ => {
                let mut entry = self.stored(key).map(OwnedEntry::of);
                undo.roll_back(&mut entry);
                return self.restore(key, entry.as_ref());
            }
        }
        self.set_expiry(key, undo.expire_at_ms);
    }

    /// Puts a whole value at a key, whatever was there, or removes it. Expired keys have to be visible.
    pub fn restore(&mut self, key: &Key<'_>, entry: Option<&OwnedEntry>) {
        let Some(OwnedEntry { value, expire_at_ms }) = entry else {
            self.delete(key);
            return;
        };
        match value {
            OwnedValue::String(bytes) => {
                self.set(key, bytes, expire_at_ms.map_or(Expiry::Clear, Expiry::At), Event::string("set"));
            }
            OwnedValue::List(elements) => {
                self.delete(key);
                let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
                let pushed = self.list_push(key, Side::Tail, Elements::Many(&elements), true);
                debug_assert!(pushed.is_ok(), "whatever was there is gone");
                self.set_expiry(key, *expire_at_ms);
            }
        }
    }

    fn set_expiry(&mut self, key: &Key<'_>, expire_at_ms: Option<crate::UnixMs>) {
        match expire_at_ms {
            Some(at_ms) => self.expire_at(key, at_ms),
            None => self.persist(key),
        };
    }
}
