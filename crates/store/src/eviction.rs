//! Which key goes first when room is to be made.
//!
//! Nobody keeps keys in the order of their use. Some are looked at, wherever chance leads, and those that look best are
//! remembered in a small pool, so that with each key that goes the pool has better ones. Few keys may lie in a shard:
//! then several shards are looked at. Locks are taken one at a time, and a key of the pool may have been used meanwhile:
//! that is looked at again when it is to go.
//!
//! Source: `evictionPoolPopulate` in Redis's `src/evict.c`.

use crate::entry::EntryRef;
use crate::keyspace::KeyspaceMut;
use crate::shard::Shards;
use crate::usage::{SharedUsage, idle_seconds};
use crate::{Key, UnixMs, Value};

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// What has not been used, or changed, for longest.
    Idle,
    /// What is used least often.
    Frequency,
    /// What is worth least by the rule that is found out.
    Worth,
    /// What expires first.
    Expiry,
    /// Anything.
    Chance,
}

/// What may go, and what of it goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evictable {
    /// What goes first.
    pub order: Order,
    /// Only what has an expiry may go.
    pub only_expiring: bool,
    /// Keys looked at for one that goes.
    pub samples: usize,
}

/// How much a key should go: greater goes first.
type Claim = u64;

impl Evictable {
    fn claim(&self, entry: EntryRef<'_>, usage: &SharedUsage, now_ms: UnixMs) -> Option<Claim> {
        let expire_at_ms = entry.expire_at_ms();
        if self.only_expiring && expire_at_ms.is_none() {
            return None;
        }
        if expire_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            return Some(Claim::MAX);
        }
        Some(match self.order {
            Order::Idle => idle_seconds(entry.clock(), now_ms).into(),
            Order::Frequency => (u8::MAX - usage.counting().frequency(entry.clock(), now_ms)).into(),
            Order::Worth => Claim::MAX - 1 - usage.adaptive().worth(entry.clock(), rough_bytes(entry)),
            Order::Expiry => Claim::MAX - expire_at_ms.unwrap_or(Claim::MAX),
            Order::Chance => 0,
        })
    }
}

/// Bytes of a key and its value, to an order of magnitude and without looking at all of them.
fn rough_bytes(entry: EntryRef<'_>) -> usize {
    const PER_PART: usize = 32;
    let of_value = match entry.value() {
        Value::Integer(_) => size_of::<i64>(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Raw(raw) => raw.bytes().len(),
        Value::Collection(face) => face.len() * PER_PART,
    };
    entry.key().len() + of_value
}

/// A key that may go.
#[derive(Debug)]
pub struct Candidate {
    claim: Claim,
    /// What its entry told of its use.
    stamp: u32,
    db: u32,
    hash: u64,
    bytes: Box<[u8]>,
}

impl Candidate {
    /// The key.
    pub fn key(&self) -> Key<'_> {
        Key { db: self.db, bytes: &self.bytes, hash: self.hash }
    }
}

/// What a search for a key that may go has come to.
#[derive(Debug)]
pub enum Picked {
    /// This one.
    Key(Candidate),
    /// None was met, but there may be some.
    NotYet,
    /// There is none.
    Nothing,
}

/// Remembered candidates (Redis: EVPOOL_SIZE).
const POOL_MAX: usize = 16;

/// Looks for keys that may go.
#[derive(Debug, Default)]
pub struct Picker {
    /// The best that were seen, the best last.
    pool: Vec<Candidate>,
    rule: Option<(Evictable, u8)>,
    /// Number of the next shard to look at, before the remainder.
    next: usize,
}

impl Picker {
    /// The key that should go first, of those that were looked at.
    pub fn pick(&mut self, shards: &Shards, rule: &Evictable, now_ms: UnixMs) -> Picked {
        // By another rule of worth the claims are others, too.
        let rules = Some((*rule, shards.usage().adaptive().number()));
        if std::mem::replace(&mut self.rule, rules) != rules {
            self.pool.clear();
        }
        let (mut seen, mut is_certain) = (0, true);
        for _ in 0..shards.count() {
            let shard = (self.next % shards.count()) as u16;
            self.next = self.next.wrapping_add(1);
            let Some(looked_at) = self.look(shards, shard, rule, now_ms) else {
                is_certain = false;
                continue;
            };
            is_certain &= !looked_at.has_missed;
            seen += looked_at.entries;
            if seen >= rule.samples {
                break;
            }
        }
        match self.pool.pop() {
            Some(candidate) => Picked::Key(candidate),
            None if is_certain => Picked::Nothing,
            None => Picked::NotYet,
        }
    }

    /// Looks at some keys of a shard; nothing where a script has it for too long.
    fn look(&mut self, shards: &Shards, shard: u16, rule: &Evictable, now_ms: UnixMs) -> Option<LookedAt> {
        let locked = shards.lock_one_in_time(shard)?;
        let data = locked.data(shard);
        let mut looked_at = LookedAt::default();
        for (db, table) in data.tables.iter().enumerate() {
            let in_question = if rule.only_expiring { table.expiring() } else { table.len() };
            if in_question == 0 {
                continue;
            }
            let db = db as u32;
            let entries = table.sample(data.chance.draw(), rule.samples, rule.only_expiring, |entry| {
                if let Some(claim) = rule.claim(entry, shards.usage(), now_ms) {
                    self.remember(shards, claim, db, entry);
                }
            });
            looked_at.entries += entries;
            looked_at.has_missed |= entries == 0;
        }
        for (db, hash) in data.newcomers.due() {
            if let Some(entry) = data.tables[db].like(hash)
                && let Some(claim) = rule.claim(entry, shards.usage(), now_ms)
            {
                self.remember(shards, claim, db, entry);
            }
        }
        Some(looked_at)
    }

    /// Takes a key into the pool, if it is better than others there or there is room.
    fn remember(&mut self, shards: &Shards, claim: Claim, db: u32, entry: EntryRef<'_>) {
        let bytes = entry.key();
        let is_full = self.pool.len() >= POOL_MAX;
        if is_full && self.pool.first().is_some_and(|least| least.claim >= claim) {
            return;
        }
        if let Some(known) = self.pool.iter().position(|one| one.db == db && *one.bytes == *bytes) {
            self.pool.remove(known);
        } else if is_full {
            self.pool.remove(0);
        }
        let at = self.pool.partition_point(|one| one.claim <= claim);
        let hash = shards.hash(bytes);
        self.pool.insert(at, Candidate { claim, stamp: entry.clock(), db, hash, bytes: bytes.into() });
    }
}

/// What was looked at in one shard.
#[derive(Debug, Default)]
struct LookedAt {
    entries: usize,
    /// There are keys that may go, and none of them was met.
    has_missed: bool,
}

impl KeyspaceMut<'_, '_> {
    /// Removes a key that was picked, unless it has been used since or is no longer one that may go.
    pub fn evict_picked(&mut self, rule: &Evictable, picked: &Candidate) {
        let key = picked.key();
        let shards = self.locked().shards();
        let Some(entry) = self.stored(&key) else { return };
        let stamp = entry.clock();
        let claim = rule.claim(entry, shards.usage(), self.now_ms());
        if claim.is_some_and(|claim| stamp == picked.stamp || claim >= picked.claim)
            && self.evict(&key)
            && rule.order == Order::Worth
        {
            shards.usage().adaptive().gone(&key, stamp, self.shard_data(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::keyspace::{Expiry, Keyspace};
    use crate::shard::LockScope;
    use crate::{Counting, Event, HashSeed, Usage};

    /// Keys called by their numbers, of which every so many-th expires.
    fn filled(shards: usize, keys: usize, expiring: usize) -> Shards {
        let all = Shards::new(shards, 2, HashSeed::new([1, 2, 3]));
        let mut keyspace = KeyspaceMut::new(Keyspace::new(all.lock(LockScope::All), 1000), None);
        for number in 0..keys {
            let name = number.to_string();
            let key = all.key(u32::from(number % 3 == 0), name.as_bytes());
            let expiry =
                if number % expiring == 0 { Expiry::At(5000 + number as u64) } else { Expiry::Clear };
            keyspace.set(&key, b"v", expiry, Event::string("set"));
        }
        drop(keyspace);
        all
    }

    fn evict(shards: &Shards, picker: &mut Picker, rule: &Evictable) -> Option<usize> {
        loop {
            match picker.pick(shards, rule, 1000) {
                Picked::Nothing => return None,
                Picked::NotYet => {}
                Picked::Key(candidate) => {
                    let view = Keyspace::new(shards.lock_one(shards.shard_of(&candidate.key())), 1000);
                    let mut keyspace = KeyspaceMut::new(view, None);
                    keyspace.evict_picked(rule, &candidate);
                    if keyspace.changes_mut().evicted == 1 {
                        let retired = keyspace.changes_mut().take_retired();
                        drop((keyspace, retired));
                        return std::str::from_utf8(candidate.key().bytes).ok()?.parse().ok();
                    }
                }
            }
        }
    }

    #[test]
    fn every_key_that_may_go_goes_and_no_other() {
        for (order, samples) in [(Order::Expiry, 5), (Order::Chance, 1), (Order::Idle, 64)] {
            let shards = filled(16, 20_000, 1000);
            let rule = Evictable { order, only_expiring: true, samples };
            let mut picker = Picker::default();
            let mut gone: Vec<usize> = std::iter::from_fn(|| evict(&shards, &mut picker, &rule)).collect();
            gone.sort_unstable();
            assert_eq!(gone, (0..20).map(|number| number * 1000).collect::<Vec<_>>());
            let rule = Evictable { only_expiring: false, ..rule };
            let others = std::iter::from_fn(|| evict(&shards, &mut picker, &rule)).count();
            assert_eq!(others, 20_000 - 20);
        }
    }

    #[test]
    fn chance_meets_each_key_as_often_as_any_other() {
        let mut times: HashMap<usize, u32> = HashMap::new();
        for _ in 0..20 {
            // Where a key lies depends on its hash and on what came before it.
            let shards = filled(4, 1000, 1);
            let rule = Evictable { order: Order::Chance, only_expiring: false, samples: 1 };
            let mut picker = Picker { next: times.len(), ..Picker::default() };
            for _ in 0..500 {
                *times
                    .entry(evict(&shards, &mut picker, &rule).expect("half are left") / 100)
                    .or_default() += 1;
            }
        }
        // Ten groups of a hundred keys, of which half go: 1000 times each.
        assert!(times.values().all(|count| (800..1200).contains(count)), "{times:?}");
    }

    #[test]
    fn what_is_remembered_of_keys_that_have_gone_goes_with_the_rule() {
        let shards = filled(4, 2000, 2);
        shards.set_usage(Usage::Weighed, Counting::default());
        shards.expect_keys(1000);
        let rule = Evictable { order: Order::Worth, only_expiring: false, samples: 10 };
        let mut picker = Picker::default();
        (0..1000).for_each(|_| _ = evict(&shards, &mut picker, &rule).expect("there are more"));
        let remembered = || (0..4).any(|shard| shards.lock_one(shard).data(shard).ghosts.bytes() > 0);
        assert!(remembered());
        shards.forget_uses();
        assert!(remembered(), "it is in force");
        shards.set_usage(Usage::Accessed, Counting::default());
        shards.forget_uses();
        assert!(!remembered());
        assert_eq!(std::iter::from_fn(|| evict(&shards, &mut picker, &rule)).count(), 1000);
    }

    #[test]
    fn what_was_used_since_it_was_picked_stays() {
        let shards = filled(1, 1, 2);
        shards.set_usage(Usage::Counted, Counting { log_factor: 0, decay_minutes: 1 });
        let rule = Evictable { order: Order::Frequency, only_expiring: false, samples: 5 };
        let mut picker = Picker::default();
        let Picked::Key(candidate) = picker.pick(&shards, &rule, 1000) else { panic!("there is a key") };
        let mut keyspace = KeyspaceMut::new(Keyspace::new(shards.lock_one(0), 1000), None);
        assert!(keyspace.find(&candidate.key()).is_some());
        keyspace.evict_picked(&rule, &candidate);
        assert_eq!(keyspace.changes_mut().evicted, 0);
        drop(keyspace);
        assert_eq!(evict(&shards, &mut picker, &rule), Some(0));
    }
}
