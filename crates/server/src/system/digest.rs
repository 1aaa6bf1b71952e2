//! The fingerprint of values and of the whole keyspace that DEBUG DIGEST shows, bit for bit that of Redis, so
//! that two servers of either kind can be compared.
//!
//! Parts whose order matters are *mixed* in: `digest = SHA1(digest ^ SHA1(part))`. Parts without an order are
//! combined by exclusive or alone.
//!
//! Source: `xorObjectDigest` and `computeDatasetDigest` in Redis 7.0's `src/debug.c`; scores are written as in 8.6.

use sha1_smol::Sha1;
use swytch_decimal::shortest_double;
use swytch_store::{EntryRef, Keyspace, Part, StreamPart, Text};

const DIGEST_BYTES: usize = 20;

/// A fingerprint; that of nothing is all zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; DIGEST_BYTES]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Digest {
    fn of(part: &[u8]) -> Digest {
        let mut hash = Sha1::new();
        hash.update(part);
        Digest(hash.digest().bytes())
    }

    /// Adds a part whose place among others does not matter.
    fn combine(&mut self, part: &[u8]) {
        let hash = Digest::of(part);
        self.0.iter_mut().zip(hash.0).for_each(|(byte, other)| *byte ^= other);
    }

    /// Adds the next part of a sequence.
    fn mix(&mut self, part: &[u8]) {
        self.combine(part);
        *self = Digest::of(&self.0);
    }

    /// Mixes in the value of an entry: its type, its content and whether, not when, it expires.
    pub fn mix_value(&mut self, entry: EntryRef<'_>) {
        self.mix(&u32::from(entry.data_type().number()).to_be_bytes());
        let value = entry.value();
        match Text::of(value) {
            Some(text) => self.mix(&text),
            None => value.content(&mut |part| match part {
                Part::Element(element) => self.mix(element),
                Part::Member(member) => self.combine(member),
                Part::Field { field, value, expire_at_ms } => {
                    let mut one = Digest::default();
                    one.mix(field);
                    one.mix(value);
                    if expire_at_ms.is_some() {
                        one.combine(b"!!hexpire!!");
                    }
                    self.combine(&one.0);
                }
                Part::Scored { member, score } => {
                    let mut one = Digest::default();
                    one.mix(member);
                    one.mix(shortest_double(score).as_bytes());
                    self.combine(&one.0);
                }
                Part::Stream(StreamPart::Entry { id, fields }) => {
                    self.mix(format!("{}.{}", id.ms, id.sequence).as_bytes());
                    fields.iter().for_each(|word| self.mix(word));
                }
                // What else there is of a stream has no part in it.
                Part::Stream(_) => {}
            }),
        }
        if entry.expire_at_ms().is_some() {
            self.combine(b"!!expire!!");
        }
    }

    /// The fingerprint of all databases, keys that have expired but are still stored included. Needs all
    /// locks.
    pub fn of_keyspace(keyspace: &Keyspace<'_>) -> Digest {
        let mut all = Digest::default();
        for db in 0..keyspace.databases() {
            if keyspace.sizes(db).0 == 0 {
                continue;
            }
            all.mix(&db.to_be_bytes());
            for entry in keyspace.stored_entries(db) {
                let mut one = Digest::default();
                one.mix(entry.key());
                one.mix_value(entry);
                all.combine(&one.0);
            }
        }
        all
    }
}
