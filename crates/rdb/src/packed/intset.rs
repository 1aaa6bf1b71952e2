//! Intset: a set of whole numbers, in ascending order and all of the width that the largest needs.
//!
//! `width u32 | count u32 | numbers`
//!
//! Source: Redis's `intset.c`.

use super::{Checked, Entry, Rest};

/// The numbers of an intset.
#[derive(Clone, Debug)]
pub struct IntSet<'a> {
    rest: Rest<'a>,
    width: usize,
    before: Option<i64>,
}

impl<'a> IntSet<'a> {
    /// Checks the head.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(bytes: &'a [u8]) -> Result<IntSet<'a>, &'static str> {
        let mut rest = Rest(bytes);
        let head = rest.u32().zip(rest.u32());
        let (width, count) = head.ok_or("an intset is shorter than its head")?;
        let width = width as usize;
        if !matches!(width, 2 | 4 | 8) || (count as usize).checked_mul(width) != Some(rest.0.len()) {
            return Err("the head of an intset contradicts its length");
        }
        Ok(IntSet { rest, width, before: None })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rest.0.len() / self.width
    }
}

impl<'a> Iterator for IntSet<'a> {
    type Item = Checked<'a>;

    fn next(&mut self) -> Option<Checked<'a>> {
        let number = self.rest.signed(self.width)?;
        if self.before.replace(number).is_some_and(|before| before >= number) {
            self.rest = Rest(&[]);
            return Some(Err("the numbers of an intset do not ascend"));
        }
        Some(Ok(Entry::Integer(number)))
    }
}

/// The bytes of an intset of these numbers, which are sorted for it and all differ.
pub(crate) fn write(numbers: &mut [i64]) -> Vec<u8> {
    numbers.sort_unstable();
    let ends = [numbers.first(), numbers.last()].into_iter().flatten();
    let width = ends.map(|number| match number {
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    });
    let width: usize = width.max().unwrap_or(2);
    let mut bytes = Vec::with_capacity(8 + numbers.len() * width);
    bytes.extend_from_slice(&(width as u32).to_le_bytes());
    bytes.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()[..width]));
    bytes
}
