//! Undo: what an effect overwrote, and how it is taken back.
//!
//! What is kept is in proportion to the change and not to the value: a pop keeps the popped elements, an append the
//! length before. Only what replaces or removes a whole value keeps it. An undo is good for the very state its effect
//! has left; undos of several effects come in the reverse order.
//!
//! [`Undo::roll_back`] works on an [`OwnedValue`] apart from any keyspace; [`crate::KeyspaceMut::undo`] does the same
//! in place where that is cheaper.

use crate::effect::Effect;
use crate::entry::{EntryRef, Value};
use crate::types::list::{List, Side};
use crate::types::string::Text;
use crate::{UnixMs, clamp_range};

/// A value of its own, apart from any keyspace, with its expiry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnedEntry {
    /// The value.
    pub value: OwnedValue,
    /// When it expires.
    pub expire_at_ms: Option<UnixMs>,
}

/// A value of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OwnedValue {
    /// Bytes.
    String(Vec<u8>),
    /// Elements from head to tail; never none.
    List(Vec<Vec<u8>>),
}

impl OwnedEntry {
    /// A copy of an entry.
    pub fn of(entry: EntryRef<'_>) -> Self {
        let value = match entry.value() {
            Value::List(list) => OwnedValue::List(list.iter().map(<[u8]>::to_vec).collect()),
            text => OwnedValue::String(bytes_of(text)),
        };
        OwnedEntry { value, expire_at_ms: entry.expire_at_ms() }
    }
}

/// What takes one effect back on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Undo {
    pub(crate) overwritten: Overwritten,
    /// The expiry before, where the key was there.
    pub(crate) expire_at_ms: Option<UnixMs>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Overwritten {
    /// There was no key.
    Absent,
    /// The whole value.
    Whole(OwnedValue),
    /// Nothing but the expiry.
    Expiry,
    /// Bytes of a string, from an offset on, that was this long.
    Bytes { len: usize, offset: usize, bytes: Vec<u8> },
    /// Nothing: this many elements came to one end.
    Pushed(Side, usize),
    /// Elements, the first taken first, of one end.
    Popped(Side, Vec<Vec<u8>>),
    /// The element at an index.
    Element(usize, Vec<u8>),
    /// Nothing: an element came to this index.
    Inserted(usize),
    /// Elements with the indices they had, ascending.
    Removed(Vec<(usize, Vec<u8>)>),
}

fn bytes_of(value: Value<'_>) -> Vec<u8> {
    Text::of(value).map(|text| text.to_vec()).unwrap_or_default()
}

fn count(len: usize, count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).min(len)
}

impl Undo {
    /// What will take `effect` back on a key whose entry is as given before it.
    pub fn of(effect: &Effect<'_>, before: Option<EntryRef<'_>>) -> Self {
        let Some(entry) = before else {
            return Undo { overwritten: Overwritten::Absent, expire_at_ms: None };
        };
        let overwritten = match (effect, entry.value()) {
            (Effect::ExpireAt { .. } | Effect::Persist { .. }, _) => Overwritten::Expiry,
            (effect, Value::List(list)) => of_list(effect, list),
            (Effect::Append { .. }, text) => {
                let len = Text::of(text).map_or(0, |text| text.len());
                Overwritten::Bytes { len, offset: len, bytes: Vec::new() }
            }
            (Effect::SetRange { offset, bytes, .. }, text) => {
                Text::of(text).map_or(Overwritten::Expiry, |text| of_range(&text, *offset, bytes.len()))
            }
            (_, text) => Overwritten::Whole(OwnedValue::String(bytes_of(text))),
        };
        Undo { overwritten, expire_at_ms: entry.expire_at_ms() }
    }

    /// What will take a piece of a string back that was overwritten while the string was `len` bytes long; `None`: while
    /// there was no key.
    pub(crate) fn of_piece(
        len: Option<usize>,
        offset: usize,
        bytes: &[u8],
        expire_at_ms: Option<UnixMs>,
    ) -> Self {
        let Some(len) = len else { return Undo { overwritten: Overwritten::Absent, expire_at_ms: None } };
        let bytes = bytes[..bytes.len().min(len.saturating_sub(offset))].to_vec();
        Undo { overwritten: Overwritten::Bytes { len, offset: offset.min(len), bytes }, expire_at_ms }
    }

    /// The whole value before, if that is what is kept.
    pub fn entry_before(&self) -> Option<OwnedEntry> {
        match &self.overwritten {
            Overwritten::Whole(value) => {
                Some(OwnedEntry { value: value.clone(), expire_at_ms: self.expire_at_ms })
            }
            _ => None,
        }
    }

    /// The elements that a pop took, the first taken first.
    pub fn popped(&self) -> Option<&[Vec<u8>]> {
        match &self.overwritten {
            Overwritten::Popped(_, elements) => Some(elements),
            _ => None,
        }
    }

    /// Bytes that it holds, roughly.
    pub fn size_bytes(&self) -> usize {
        let elements =
            |elements: &[Vec<u8>]| elements.iter().map(|element| element.len() + 24).sum::<usize>();
        size_of::<Undo>()
            + match &self.overwritten {
                Overwritten::Whole(OwnedValue::String(bytes))
                | Overwritten::Bytes { bytes, .. }
                | Overwritten::Element(_, bytes) => bytes.len(),
                Overwritten::Whole(OwnedValue::List(list)) | Overwritten::Popped(_, list) => elements(list),
                Overwritten::Removed(removed) => removed.iter().map(|(_, element)| element.len() + 32).sum(),
                Overwritten::Absent
                | Overwritten::Expiry
                | Overwritten::Pushed(..)
                | Overwritten::Inserted(_) => 0,
            }
    }

    /// Takes the effect back on a key that is as the effect has left it.
    pub fn roll_back(&self, entry: &mut Option<OwnedEntry>) {
        let value = match &self.overwritten {
            Overwritten::Absent => return *entry = None,
            Overwritten::Whole(value) => value.clone(),
            change => {
                // A list that lost its last element is gone.
                let now = entry.take().map(|entry| entry.value);
                change.take_back(now.unwrap_or(OwnedValue::List(Vec::new())))
            }
        };
        let is_gone = matches!(&value, OwnedValue::List(list) if list.is_empty());
        *entry = (!is_gone).then_some(OwnedEntry { value, expire_at_ms: self.expire_at_ms });
    }
}

/// What a write of `bytes` bytes at an offset overwrites.
fn of_range(text: &[u8], offset: u64, bytes: usize) -> Overwritten {
    let len = text.len();
    let offset = count(len, offset);
    let end = offset.saturating_add(bytes).min(len);
    Overwritten::Bytes { len, offset, bytes: text[offset..end].to_vec() }
}

fn of_list(effect: &Effect<'_>, list: &List) -> Overwritten {
    let removed = |wanted: &mut dyn Iterator<Item = (usize, &[u8])>| {
        Overwritten::Removed(wanted.map(|(index, element)| (index, element.to_vec())).collect())
    };
    match *effect {
        Effect::ListPush { side, elements, .. } => Overwritten::Pushed(side, elements.len()),
        Effect::ListPop { side, count: wanted, .. } => popped(list, side, count(list.len(), wanted)),
        Effect::ListSet { index, .. } => {
            let index = count(list.len(), index);
            Overwritten::Element(index, list.get(index).unwrap_or_default().to_vec())
        }
        Effect::ListInsert { pivot, before, .. } => {
            let at = list.iter().position(|element| element == pivot).unwrap_or(list.len());
            Overwritten::Inserted(at + usize::from(!before))
        }
        Effect::ListRemove { count: wanted, element, .. } => {
            let limit = if wanted == 0 { usize::MAX } else { wanted.unsigned_abs() as usize };
            let equal = |(_, other): &(usize, &[u8])| *other == element;
            if wanted >= 0 {
                return removed(&mut list.iter().enumerate().filter(equal).take(limit));
            }
            let last = list.len().wrapping_sub(1);
            let from_tail = list.iter_rev().enumerate().map(|(step, element)| (last - step, element));
            let mut last: Vec<(usize, &[u8])> = from_tail.filter(equal).take(limit).collect();
            last.reverse();
            removed(&mut last.into_iter())
        }
        Effect::ListTrim { start, stop, .. } => {
            let kept = clamp_range(start, stop, list.len());
            removed(&mut list.iter().enumerate().filter(|(index, _)| !kept.contains(index)))
        }
        _ => Overwritten::Whole(OwnedValue::List(list.iter().map(<[u8]>::to_vec).collect())),
    }
}

/// What a pop takes.
fn popped(list: &List, side: Side, count: usize) -> Overwritten {
    let elements = match side {
        Side::Head => list.iter().take(count).map(<[u8]>::to_vec).collect(),
        Side::Tail => list.iter_rev().take(count).map(<[u8]>::to_vec).collect(),
    };
    Overwritten::Popped(side, elements)
}

impl Overwritten {
    /// The value before a change to part of it.
    fn take_back(&self, value: OwnedValue) -> OwnedValue {
        match (value, self) {
            (OwnedValue::String(mut text), Overwritten::Bytes { len, offset, bytes }) => {
                text.truncate(*len);
                text.splice(*offset..*offset + bytes.len(), bytes.iter().copied());
                OwnedValue::String(text)
            }
            (OwnedValue::List(mut list), Overwritten::Pushed(Side::Head, pushed)) => {
                list.drain(..*pushed);
                OwnedValue::List(list)
            }
            (OwnedValue::List(mut list), Overwritten::Pushed(Side::Tail, pushed)) => {
                list.truncate(list.len() - pushed);
                OwnedValue::List(list)
            }
            (OwnedValue::List(mut list), Overwritten::Popped(Side::Head, popped)) => {
                list.splice(..0, popped.iter().cloned());
                OwnedValue::List(list)
            }
            (OwnedValue::List(mut list), Overwritten::Popped(Side::Tail, popped)) => {
                list.extend(popped.iter().rev().cloned());
                OwnedValue::List(list)
            }
            (OwnedValue::List(mut list), Overwritten::Element(index, element)) => {
                list[*index].clone_from(element);
                OwnedValue::List(list)
            }
            (OwnedValue::List(mut list), Overwritten::Inserted(index)) => {
                list.remove(*index);
                OwnedValue::List(list)
            }
            (OwnedValue::List(list), Overwritten::Removed(removed)) => {
                OwnedValue::List(put_back(list, removed))
            }
            // Nothing but the expiry has changed.
            (value, _) => value,
        }
    }
}

/// A list with elements put back at the indices they had, ascending.
fn put_back(list: Vec<Vec<u8>>, removed: &[(usize, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut whole = Vec::with_capacity(list.len() + removed.len());
    let mut rest = list.into_iter();
    for (index, element) in removed {
        whole.extend(rest.by_ref().take(index - whole.len()));
        whole.push(element.clone());
    }
    whole.extend(rest);
    whole
}

#[cfg(test)]
mod tests;
