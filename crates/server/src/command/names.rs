//! Finds a command by the name in a request: one probe, no loop over bytes, whatever the case.

/// Slots: a power of two well above the number of commands.
const SLOTS: usize = 1024;

/// A name's first and last eight bytes, with upper case folded to lower case, and its length. Of a name of up to eight
/// bytes the first word holds all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FoldedName {
    first: u64,
    last: u64,
    len: usize,
}

impl FoldedName {
    #[inline]
    fn of(name: &[u8]) -> FoldedName {
        /// Setting this bit makes a letter lower case, and no other byte a letter.
        const LOWER: u64 = 0x2020_2020_2020_2020;
        let len = name.len();
        let (first, last) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32, 0)
                }
                _ => match *name {
                    [] => (0, 0),
                    [only] => (u64::from(only), 0),
                    [first, .., last] => {
                        (u64::from(first) | u64::from(name[len / 2]) << 8 | u64::from(last) << 16, 0)
                    }
                },
            },
        };
        FoldedName { first: first | LOWER, last: last | LOWER, len }
    }

    #[inline]
    fn slot(self) -> usize {
        let mixed = self.first ^ self.last.rotate_left(29) ^ self.len as u64;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % SLOTS
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    folded: FoldedName,
    /// The folded form is that of no other sequence of bytes, but for upper case.
    exact: bool,
    name: &'static str,
    value: T,
}

/// Whatever is called by names: commands.
#[derive(Debug)]
pub(super) struct NameTable<T>(Box<[Option<Entry<T>>; SLOTS]>);

impl<T: Copy> NameTable<T> {
    pub(super) fn new(names: impl Iterator<Item = (&'static str, T)>) -> NameTable<T> {
        let mut slots: Box<[Option<Entry<T>>; SLOTS]> = Box::new([None; SLOTS]);
        for (name, value) in names {
            let folded = FoldedName::of(name.as_bytes());
            // Up to sixteen bytes the two halves hold all of them, and only letters fold to letters.
            let exact = name.len() <= 16 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
            let mut slot = folded.slot();
            while slots[slot].is_some() {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = Some(Entry { folded, exact, name, value });
        }
        NameTable(slots)
    }

    #[inline(always)]
    pub(super) fn find(&self, name: &[u8]) -> Option<T> {
        let folded = FoldedName::of(name);
        let mut slot = folded.slot();
        loop {
            let entry = self.0[slot].as_ref()?;
            if entry.folded == folded && (entry.exact || entry.name.as_bytes().eq_ignore_ascii_case(name)) {
                return Some(entry.value);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::CommandTable;

    #[test]
    fn names_are_found_in_any_case_and_near_misses_are_not() {
        let table = CommandTable::new(crate::commands::SPECS, &[]).expect("names of one command each");
        for command in table.iter() {
            let name = command.spec.name;
            for spelling in [name.to_owned(), name.to_uppercase()] {
                let found = table.find(spelling.as_bytes()).map(|command| command.spec.name);
                assert_eq!(found, Some(name));
            }
            for at in 0..name.len() {
                for byte in [0u8, 0x20, b'@', b'{', 0x80, b'0', 0x10] {
                    let mut near = name.as_bytes().to_vec();
                    near[at] = byte;
                    assert!(
                        table.find(&near).is_none_or(|found| found.spec.name.as_bytes() == near),
                        "{near:?}"
                    );
                }
            }
        }
        assert!(table.find(b"").is_none());
    }
}
