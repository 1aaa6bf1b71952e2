//! Which clients keep what they have read of a key, so that they are told once it is no longer true (client tracking).
//!
//! A shard has one table of them, under its lock: a read is noted under the lock that it reads under, and a change takes the
//! note out under the lock that it changes under, so neither can miss the other. Names count whatever their database, as
//! in Redis. The hash of a name is its identity: of two names with one hash the later takes the place of the earlier,
//! whose readers are told as if it had changed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Who has read one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Stale {
    /// The key's name.
    pub name: Box<[u8]>,
    /// The numbers of those who have read it, ascending.
    pub readers: Vec<u64>,
}

/// A list of so many readers of one name is looked through for those who have left, before it grows.
const LOOK_THROUGH_MIN: usize = 16;

/// The readers of a shard's keys.
#[derive(Debug, Default)]
pub struct Readers {
    /// Where the name with a hash is in `names`.
    places: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    names: Vec<(u64, Stale)>,
    items: usize,
}

impl Readers {
    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True when nobody keeps anything.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many readers there are of all names together.
    pub fn items(&self) -> usize {
        self.items
    }

    /// A client has read a name with this hash. Returns the name that had to make room for it, if one had. Of many readers
    /// those are forgotten who do not read on.
    pub fn add(
        &mut self,
        hash: u64,
        name: &[u8],
        reader: u64,
        reads_on: impl Fn(u64) -> bool,
    ) -> Option<Stale> {
        let mut replaced = None;
        let at = match self.places.get(&hash) {
            Some(at) if *self.names[*at as usize].1.name == *name => *at as usize,
            Some(_) => {
                replaced = self.take_hash(hash);
                self.insert(hash, name)
            }
            None => self.insert(hash, name),
        };
        let readers = &mut self.names[at].1.readers;
        if let Err(mut place) = readers.binary_search(&reader) {
            if readers.len() >= LOOK_THROUGH_MIN && readers.len() == readers.capacity() {
                let before = readers.len();
                readers.retain(|reader| reads_on(*reader));
                self.items -= before - readers.len();
                place = readers.partition_point(|other| *other < reader);
            }
            readers.insert(place, reader);
            self.items += 1;
        }
        replaced
    }

    fn insert(&mut self, hash: u64, name: &[u8]) -> usize {
        self.places.insert(hash, self.names.len() as u32);
        self.names.push((hash, Stale { name: name.into(), readers: Vec::new() }));
        self.names.len() - 1
    }

    /// Takes out who has read a name with this hash.
    #[inline]
    pub fn take(&mut self, hash: u64, name: &[u8]) -> Option<Stale> {
        let at = *self.places.get(&hash)?;
        if *self.names[at as usize].1.name != *name {
            return None;
        }
        self.take_hash(hash)
    }

    /// Takes out any name, of those that `choice` chooses from; the latest only when there is no other.
    pub fn take_any(&mut self, choice: usize) -> Option<Stale> {
        let others = self.names.len().saturating_sub(1).max(1);
        let hash = self.names.get(choice % others)?.0;
        self.take_hash(hash)
    }

    fn take_hash(&mut self, hash: u64) -> Option<Stale> {
        let at = self.places.remove(&hash)? as usize;
        let (_, stale) = self.names.swap_remove(at);
        if let Some((moved, _)) = self.names.get(at) {
            self.places.insert(*moved, at as u32);
        }
        self.items -= stale.readers.len();
        Some(stale)
    }
}

/// A hash that is used as it is: names are hashed already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stale(name: &str, readers: &[u64]) -> Option<Stale> {
        Some(Stale { name: name.as_bytes().into(), readers: readers.to_vec() })
    }

    #[test]
    fn a_name_is_taken_with_all_its_readers_once() {
        let mut readers = Readers::default();
        for (hash, name, reader) in [(7, "a", 3), (8, "b", 1), (7, "a", 1), (7, "a", 3), (9, "c", 2)] {
            assert_eq!(readers.add(hash, name.as_bytes(), reader, |_| true), None);
        }
        assert_eq!((readers.len(), readers.items()), (3, 4));
        assert_eq!(readers.take(7, b"other"), None);
        assert_eq!(readers.take(7, b"a"), stale("a", &[1, 3]));
        assert_eq!(readers.take(7, b"a"), None);
        assert_eq!(readers.take(9, b"c"), stale("c", &[2]));
        assert_eq!(readers.take(8, b"b"), stale("b", &[1]));
        assert!(readers.is_empty() && readers.items() == 0);
    }

    #[test]
    fn of_two_names_with_one_hash_the_earlier_is_given_up() {
        let mut readers = Readers::default();
        readers.add(7, b"a", 1, |_| true);
        assert_eq!(readers.add(7, b"b", 2, |_| true), stale("a", &[1]));
        assert_eq!(readers.take(7, b"a"), None);
        assert_eq!(readers.take(7, b"b"), stale("b", &[2]));
    }

    #[test]
    fn any_other_name_makes_room_before_the_latest_does() {
        let mut readers = Readers::default();
        for (at, name) in ["a", "b", "c"].iter().enumerate() {
            readers.add(at as u64, name.as_bytes(), 1, |_| true);
        }
        for choice in [5, 2] {
            assert_ne!(readers.take_any(choice), stale("c", &[1]));
        }
        assert_eq!(readers.take_any(9), stale("c", &[1]));
        assert_eq!(readers.take_any(0), None);
    }

    #[test]
    fn readers_who_have_left_do_not_add_up() {
        let mut readers = Readers::default();
        for reader in 0..10_000 {
            readers.add(1, b"hot", reader, |other| other + 5 > reader);
            assert!(readers.items() <= 2 * LOOK_THROUGH_MIN, "{}", readers.items());
        }
        let taken = readers.take(1, b"hot").expect("read");
        assert!(taken.readers.is_sorted() && taken.readers.ends_with(&[9997, 9998, 9999]));
    }
}
