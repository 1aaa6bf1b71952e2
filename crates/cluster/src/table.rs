//! A table with constant-time lookup whose order of iteration is that of its keys.
//!
//! Invariant: nothing depends on hash order; whoever walks the table in order pays for the sort.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::key::Key;

/// Mixes the few words that a name consists of; a [`Key`] hands over the hash that it carries.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // Folded multiplication, as in wyhash (Wang Yi).
        let product = u128::from(self.0 ^ value) * 0xe703_7ed1_a0b4_28db_u128;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

type Bucket<T, K> = HashMap<K, T, BuildHasherDefault<NameHasher>>;

/// `K` -> `T`. A large table is divided into *buckets*, of which one is divided at a time, so that no insertion moves more
/// than the entries of one (linear hashing: Litwin 1980).
#[derive(Clone, Debug)]
pub(crate) struct Table<T, K = Key> {
    /// Never none. Where there are `2^n + m`, the first `m` and the last `m` have an n+1st bit of the hash, the others n.
    buckets: Vec<Bucket<T, K>>,
    len: usize,
}

/// Room for this many entries is never given back.
const ROOM_MIN: usize = 16;

/// What a bucket of large entries takes, about: nobody is to wait for the division of one.
const BUCKET_BYTES: usize = 40_960;

impl<T, K> Default for Table<T, K> {
    fn default() -> Self {
        Self { buckets: vec![HashMap::default()], len: 0 }
    }
}

/// The bucket of a hash, of so many. The table of a bucket goes by the lowest and the highest bits.
fn bucket_of(hash: u64, buckets: usize) -> usize {
    let bits = (hash >> 24) as usize;
    let wide = buckets.next_power_of_two();
    let bucket = bits & (wide - 1);
    if bucket < buckets { bucket } else { bucket & (wide / 2 - 1) }
}

impl<T, K: Clone + Ord + Hash> Table<T, K> {
    /// Entries of a bucket, on average, when another one is added. Twice as many, and some by chance, just have room in a
    /// table of 2^n places, which is given to each bucket when it begins, so that none is moved to a larger one.
    const BUCKET_MAX: usize = {
        let mut entries = 840;
        while entries > 105 && entries * size_of::<(K, T)>() > BUCKET_BYTES {
            entries /= 2;
        }
        entries
    };

    /// And when one is taken back: few enough that there is time between the two.
    const BUCKET_MIN: usize = Self::BUCKET_MAX / 4;

    fn bucket(&self, key: &K) -> usize {
        if self.buckets.len() == 1 { 0 } else { bucket_of(hash_of(key), self.buckets.len()) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&T> {
        self.buckets[self.bucket(key)].get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let bucket = self.bucket(key);
        self.buckets[bucket].get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: T) {
        self.make_room();
        let bucket = self.bucket(&key);
        self.len += usize::from(self.buckets[bucket].insert(key, value).is_none());
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<T> {
        let bucket = self.bucket(key);
        let removed = self.buckets[bucket].remove(key);
        self.len -= usize::from(removed.is_some());
        self.give_back(bucket);
        removed
    }

    /// Divides the next bucket if there is going to be much in each.
    fn make_room(&mut self) {
        let count = self.buckets.len();
        if self.len < count * Self::BUCKET_MAX {
            return;
        }
        let next = bucket_of((count as u64) << 24, count);
        let mut bucket = Bucket::with_capacity_and_hasher(2 * Self::BUCKET_MAX, Default::default());
        bucket.extend(self.buckets[next].extract_if(|key, _| bucket_of(hash_of(key), count + 1) == count));
        self.buckets.push(bucket);
    }

    /// What a rush has left behind is given back; rarely enough that each entry pays for it once.
    fn give_back(&mut self, bucket: usize) {
        let count = self.buckets.len();
        if count > 1 && self.len < count * Self::BUCKET_MIN {
            let last = self.buckets.pop().unwrap_or_default();
            self.buckets[bucket_of(((count - 1) as u64) << 24, count - 1)].extend(last);
        }
        let Some(bucket) = self.buckets.get_mut(bucket) else { return };
        if bucket.len() < bucket.capacity() / 8 && bucket.capacity() > ROOM_MIN {
            bucket.shrink_to(2 * bucket.len());
        }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.buckets[self.bucket(key)].contains_key(key)
    }

    pub(crate) fn entry_or(&mut self, key: &K, value: impl FnOnce() -> T) -> &mut T {
        self.make_room();
        let bucket = self.bucket(key);
        let len = &mut self.len;
        self.buckets[bucket].entry(key.clone()).or_insert_with(|| {
            *len += 1;
            value()
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.buckets.iter().flatten()
    }

    /// Keys in their order.
    pub(crate) fn keys(&self) -> Vec<K> {
        let mut keys: Vec<K> = self.iter().map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// Values in no order: for what comes out the same in any.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.buckets.iter().flat_map(HashMap::values)
    }

    /// As [`Self::values`].
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.buckets.iter_mut().flat_map(HashMap::values_mut)
    }

    /// Keeps the entries for which this holds.
    pub(crate) fn retain(&mut self, mut holds: impl FnMut(&K, &mut T) -> bool) {
        for index in (0..self.buckets.len()).rev() {
            let before = self.buckets[index].len();
            self.buckets[index].retain(|key, value| holds(key, value));
            self.len -= before - self.buckets[index].len();
            self.give_back(index);
        }
    }

    /// Empties the table; entries come in the order of their keys.
    pub(crate) fn take(&mut self) -> Vec<(K, T)> {
        let mut entries: Vec<(K, T)> = std::mem::take(self).buckets.into_iter().flatten().collect();
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        entries
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets the entries of one bucket.
    pub(crate) fn drop_bucket(&mut self) {
        let bucket = self.buckets.pop().unwrap_or_default();
        self.len -= bucket.len();
        if self.buckets.is_empty() {
            self.buckets.push(HashMap::default());
        }
    }
}

fn hash_of<K: Hash>(key: &K) -> u64 {
    let mut hasher = NameHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

impl<T: PartialEq, K: Clone + Ord + Hash> PartialEq for Table<T, K> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<T: Eq, K: Clone + Ord + Hash> Eq for Table<T, K> {}

impl<T: Hash, K: Clone + Ord + Hash> Hash for Table<T, K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut entries: Vec<(&K, &T)> = self.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_grows_and_shrinks_by_one_bucket_at_a_time() {
        let mut table: Table<u64, u64> = Table::default();
        let mut most = 1;
        for number in 0..100_000 {
            let before = table.buckets.len();
            table.insert(number, number);
            assert!(table.buckets.len() <= before + 1);
            most = table.buckets.iter().map(HashMap::len).max().unwrap_or(0).max(most);
        }
        let bucket_max = Table::<u64, u64>::BUCKET_MAX;
        assert!(most < 4 * bucket_max, "{most} in one bucket");
        assert_eq!((table.len(), table.buckets.len()), (100_000, 100_000 / bucket_max + 1));
        assert!((0..100_000).all(|number| table.get(&number) == Some(&number)));
        table.retain(|number, _| number % 2 == 0);
        assert_eq!((table.len(), table.keys().len(), table.values().count()), (50_000, 50_000, 50_000));
        for number in 0..100_000 {
            let expected = (number % 2 == 0).then_some(number);
            assert_eq!(table.remove(&number), expected);
        }
        assert_eq!((table.len(), table.buckets.len()), (0, 1));
        assert!(table.buckets[0].capacity() <= 2 * ROOM_MIN);
    }
}
