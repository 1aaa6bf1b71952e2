//! What may follow the SET of a string (or its value before the fork): bits, increments, appended text.
//!
//! They are applied in that order: first bits, then the sum of the increments, then the appended text. An effect that
//! would have to come earlier than one that is already there cannot be expressed and is logged as a SET of the result
//! (see `KeyLog::record`), so within one side nothing is ever reordered.

use std::collections::BTreeMap;

use crate::cell::{Follow, Tally};
use crate::dot::{Context, Dot, Origin, Side, Stamp, survives};
use crate::effect::{parse_integer, set_bit};
use crate::sequence::Sequence;
use crate::value::Bytes;

/// For each bit the latest write of each side that nobody has overwritten knowingly.
type Bits = BTreeMap<u32, BTreeMap<Side, (u64, Stamp, bool)>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct StringFollow {
    bits: Bits,
    pub(crate) increments: Tally<i128>,
    pub(crate) appended: Sequence,
}

impl StringFollow {
    /// SETBIT: this write has seen, and so replaces, every other one of that bit.
    pub(crate) fn set_bit(&mut self, origin: Origin, offset: u32, bit: bool) {
        let write = (origin.dot.sequence, origin.stamp, bit);
        self.bits.insert(offset, BTreeMap::from([(origin.dot.side, write)]));
    }

    /// Takes out the bits of the first bytes that were written up to that time.
    pub(crate) fn keep_later_bits(&mut self, bytes: usize, since: Stamp) {
        self.bits.retain(|offset, writes| {
            if (*offset as usize) / 8 < bytes {
                writes.retain(|_, (_, stamp, _)| *stamp > since);
            }
            !writes.is_empty()
        });
    }

    pub(crate) fn has_bits(&self) -> bool {
        !self.bits.is_empty()
    }

    /// The string with everything that followed. The flag tells that increments were dropped because there was no
    /// number to add them to.
    pub(crate) fn render(&self, value: Option<&Bytes>, text: &mut Bytes) -> bool {
        let mut number_expected = value.is_none();
        if let Some(value) = value {
            text.extend_from_slice(value);
        }
        for (offset, writes) in &self.bits {
            let latest = writes.iter().max_by_key(|(side, (sequence, stamp, _))| (*stamp, **side, *sequence));
            if let Some((_, (_, _, bit))) = latest {
                set_bit(text, *offset, *bit);
                number_expected = false;
            }
        }
        let mut dropped = false;
        if self.increments.is_live() {
            let number = if number_expected { Some(0) } else { parse_integer(text) };
            match number {
                Some(number) => {
                    let sum = (i128::from(number) + self.increments.sum())
                        .clamp(i128::from(i64::MIN), i128::from(i64::MAX));
                    *text = sum.to_string().into_bytes();
                }
                None => dropped = true,
            }
        }
        for element in self.appended.elements(&[]) {
            text.extend_from_slice(&element);
        }
        dropped
    }
}

impl Follow for StringFollow {
    fn join(&mut self, mine: &Context, other: &Self, theirs: &Context) {
        join_bits(&mut self.bits, mine, &other.bits, theirs);
        self.increments.join(mine, &other.increments, theirs);
        self.appended.join(mine, &other.appended, theirs);
    }

    fn cut(&mut self) {
        self.bits.clear();
        self.increments.cut();
        self.appended.cut();
    }

    fn is_live(&self) -> bool {
        self.has_bits() || self.increments.is_live() || self.appended.is_live()
    }

    fn size(&self) -> usize {
        self.bits.len() + self.increments.size() + self.appended.size()
    }
}

fn join_bits(own: &mut Bits, mine: &Context, other: &Bits, theirs: &Context) {
    for (offset, writes) in own.iter_mut() {
        let others = other.get(offset);
        writes.retain(|side, (sequence, ..)| {
            let same = others.and_then(|others| others.get(side)).is_some_and(|write| write.0 == *sequence);
            survives(Dot { side: *side, sequence: *sequence }, same, theirs)
        });
    }
    for (offset, others) in other {
        for (side, write) in others {
            if !mine.covers(Dot { side: *side, sequence: write.0 }) {
                own.entry(*offset).or_default().insert(*side, *write);
            }
        }
    }
    own.retain(|_, writes| !writes.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_without_a_number_are_dropped_and_reported() {
        let mut follow = StringFollow::default();
        let dot = Dot { side: Side::default(), sequence: 1 };
        follow.increments.add(dot, 5);
        for (value, expected, dropped) in
            [(Some("10"), "15", false), (Some("x"), "x", true), (None, "5", false)]
        {
            let mut text = Bytes::new();
            let value = value.map(|text| text.as_bytes().to_vec());
            assert_eq!(follow.render(value.as_ref(), &mut text), dropped);
            assert_eq!(text, expected.as_bytes());
        }
    }
}
