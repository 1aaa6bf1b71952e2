//! Distinct integers in ascending order, each in as many bytes as the widest of them needs.

/// See the file's head.
#[derive(Clone, Debug)]
pub(super) enum Integers {
    /// All of 16 bits.
    Narrow(Vec<i16>),
    /// All of 32 bits.
    Middle(Vec<i32>),
    /// Any.
    Wide(Vec<i64>),
}

impl Default for Integers {
    fn default() -> Self {
        Integers::Narrow(Vec::new())
    }
}

/// Does something with the vector, whatever its numbers are.
macro_rules! each_width {
    ($integers:expr, $numbers:ident => $act:expr) => {
        match $integers {
            Integers::Narrow($numbers) => $act,
            Integers::Middle($numbers) => $act,
            Integers::Wide($numbers) => $act,
        }
    };
}

#[allow(clippy::useless_conversion, reason = "one of the widths is what numbers are converted to")]
impl Integers {
    pub(super) fn len(&self) -> usize {
        each_width!(self, numbers => numbers.len())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        each_width!(self, numbers => numbers.capacity() * size_of_val(&numbers[..]) / numbers.len().max(1))
    }

    /// The one at an index below the length.
    pub(super) fn get(&self, index: usize) -> i64 {
        each_width!(self, numbers => i64::from(numbers[index]))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Where a number is, or would be.
    fn find(&self, number: i64) -> Result<usize, usize> {
        each_width!(self, numbers => numbers.binary_search_by_key(&number, |other| i64::from(*other)))
    }

    pub(super) fn contains(&self, number: i64) -> bool {
        self.find(number).is_ok()
    }

    /// Digits of the longest, with its sign.
    pub(super) fn digits_max(&self) -> usize {
        let ends = [0, self.len().saturating_sub(1)];
        let digits = |index: usize| if index < self.len() { self.get(index).to_string().len() } else { 0 };
        ends.into_iter().map(digits).max().unwrap_or(0)
    }

    /// Adds a number; false if it is there.
    pub(super) fn insert(&mut self, number: i64) -> bool {
        let Err(index) = self.find(number) else { return false };
        self.widen(number);
        match self {
            Integers::Narrow(numbers) => insert(numbers, index, number as i16),
            Integers::Middle(numbers) => insert(numbers, index, number as i32),
            Integers::Wide(numbers) => insert(numbers, index, number),
        }
        true
    }

    /// Makes the numbers as wide as one needs.
    fn widen(&mut self, number: i64) {
        if matches!(self, Integers::Narrow(_)) && i16::try_from(number).is_err() {
            *self = Integers::Middle(self.iter().map(|number| number as i32).collect());
        }
        if matches!(self, Integers::Middle(_)) && i32::try_from(number).is_err() {
            *self = Integers::Wide(self.iter().collect());
        }
    }

    /// Removes a number; false if there is none.
    pub(super) fn remove(&mut self, number: i64) -> bool {
        let Ok(index) = self.find(number) else { return false };
        each_width!(self, numbers => {
            numbers.remove(index);
            if numbers.len() * 2 < numbers.capacity() {
                numbers.shrink_to(numbers.len() + numbers.len() / 4);
            }
        });
        true
    }
}

/// Inserts a number; where there is no room for it, with little more than it needs.
fn insert<N>(numbers: &mut Vec<N>, index: usize, number: N) {
    if numbers.len() == numbers.capacity() {
        numbers.reserve_exact(numbers.len() / 4 + 1);
    }
    numbers.insert(index, number);
}
