//! Convergence: replicas that should hold the same state do, key by key, by digest.
//!
//! The digest of a replica is the sum of the digests of its (key, value) pairs, so it does not depend on the order in
//! which a table is walked; on a difference the keys are named.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

/// FNV-1a with a final mix: small, and the same in every run and build. Not for adversarial input.
#[derive(Clone, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn finish(&self) -> u64 {
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The digest of one value.
pub fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = Digest::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What one replica holds: key to digest of its value (and of what belongs to it: deadline, version).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// Name in reports.
    pub name: String,
    /// The keys it holds.
    pub keys: BTreeMap<u64, u64>,
}

impl Replica {
    /// One number for the whole replica, as `DEBUG DIGEST` gives.
    pub fn digest(&self) -> u64 {
        self.keys.iter().fold(0u64, |sum, pair| sum.wrapping_add(digest(&pair)))
    }
}

/// Checks that all replicas that hold a key agree on it. A replica that does not hold a key (it never subscribed) is
/// no witness; use [`identical`] where all must hold everything.
///
/// # Errors
/// Names the first key on which two holders differ.
pub fn agreeing(replicas: &[Replica]) -> Result<(), String> {
    let mut seen: BTreeMap<u64, (&str, u64)> = BTreeMap::new();
    for replica in replicas {
        for (&key, &value) in &replica.keys {
            let (other, expected) = *seen.entry(key).or_insert((&replica.name, value));
            if expected != value {
                return Err(format!("key {key} differs between {other} and {}", replica.name));
            }
        }
    }
    Ok(())
}

/// Checks that all replicas hold the same keys with the same values.
///
/// # Errors
/// Names the keys that differ.
pub fn identical(replicas: &[Replica]) -> Result<(), String> {
    let Some((first, rest)) = replicas.split_first() else { return Ok(()) };
    for replica in rest {
        if replica.digest() == first.digest() && replica.keys == first.keys {
            continue;
        }
        let all: BTreeSet<_> = first.keys.keys().chain(replica.keys.keys()).collect();
        let differing: Vec<_> =
            all.into_iter().filter(|key| first.keys.get(key) != replica.keys.get(key)).collect();
        return Err(format!("{} and {} differ on keys {differing:?}", first.name, replica.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str, pairs: &[(u64, &str)]) -> Replica {
        Replica { name: name.into(), keys: pairs.iter().map(|(key, value)| (*key, digest(*value))).collect() }
    }

    #[test]
    fn equal_replicas_agree() {
        let (a, b) = (replica("a", &[(1, "x"), (2, "y")]), replica("b", &[(2, "y"), (1, "x")]));
        assert_eq!(a.digest(), b.digest());
        assert_eq!(identical(&[a.clone(), b.clone()]), Ok(()));
        assert_eq!(agreeing(&[a, b]), Ok(()));
    }

    #[test]
    fn a_differing_value_is_named() {
        let (a, b) = (replica("a", &[(1, "x"), (2, "y")]), replica("b", &[(1, "x"), (2, "z")]));
        assert_ne!(a.digest(), b.digest());
        assert_eq!(agreeing(&[a.clone(), b.clone()]), Err("key 2 differs between a and b".into()));
        assert_eq!(identical(&[a, b]), Err("a and b differ on keys [2]".into()));
    }

    #[test]
    fn a_missing_key_is_a_difference_only_where_all_must_hold_it() {
        let (a, b) = (replica("a", &[(1, "x"), (2, "y")]), replica("b", &[(1, "x")]));
        assert_eq!(agreeing(&[a.clone(), b.clone()]), Ok(()));
        assert!(identical(&[a, b]).is_err());
    }
}
