//! The table against a map from the standard library.

use std::collections::{HashMap, HashSet};

use swytch_testkit::random::Random;

use super::*;
use crate::entry::NewValue;

fn add(table: &mut Table, name: &[u8], hash: u64, expire_at_ms: Option<UnixMs>) {
    table.insert(hash, Entry::new(name, NewValue::String(name), expire_at_ms, 0));
}

fn spread(number: u64) -> u64 {
    Random::new(number).next()
}

/// Runs random insertions and removals with the given hash and compares with a model.
fn check(seed: u64, hash_of: impl Fn(u64) -> u64, keys: u64, steps: usize) {
    let mut random = Random::new(seed);
    let mut table = Table::new(seed as usize);
    let mut model: HashMap<u64, Option<UnixMs>> = HashMap::new();
    for step in 0..steps {
        let number = random.next() % keys;
        let name = format!("key:{number}");
        let key = Key { db: 0, bytes: name.as_bytes(), hash: hash_of(number) };
        let found = table.find_place(&key);
        assert_eq!(found.is_some(), model.contains_key(&number), "seed {seed} step {step} {name}");
        // Grow in the first half of the steps, shrink in the second.
        let insert = random.next() % 8 < if step < steps / 2 { 6 } else { 2 };
        match (insert, found) {
            (true, None) => {
                let expire_at_ms = random.next().is_multiple_of(2).then(|| random.next() % 1000);
                add(&mut table, name.as_bytes(), key.hash, expire_at_ms);
                model.insert(number, expire_at_ms);
            }
            (false, Some(found)) => {
                assert_eq!(table.remove(key.hash, found).as_ref().key(), name.as_bytes());
                model.remove(&number);
            }
            _ => {}
        }
        assert_eq!(table.len(), model.len());
        assert_eq!(table.expiring(), model.values().flatten().count());
        table.take_retired();
    }
    assert_eq!(counted(&table), listed(&table), "seed {seed}");
    let seen: HashSet<Vec<u8>> = table.iter().map(|entry| entry.key().to_vec()).collect();
    let expect: HashSet<Vec<u8>> = model.keys().map(|number| format!("key:{number}").into_bytes()).collect();
    assert_eq!(seen, expect, "seed {seed}");
}

/// What a table counts of its keys.
fn counted(table: &Table) -> (usize, u64, Vec<(u64, u32)>) {
    let mut figures = Figures::default();
    table.add_to(&mut figures);
    (figures.expiring, figures.time_to_live_ms(0), figures.lengths.of(Type::String).collect())
}

/// The same, by looking at each.
fn listed(table: &Table) -> (usize, u64, Vec<(u64, u32)>) {
    let mut classes = std::collections::BTreeMap::new();
    for entry in table.iter() {
        let len = crate::Text::of(entry.value()).expect("a string").len() as u64;
        let class = if len == 0 { 0 } else { 1 << len.ilog2() };
        *classes.entry(class).or_insert(0) += 1;
    }
    let times: Vec<_> = table.iter().filter_map(|entry| entry.expire_at_ms()).collect();
    let average_ms = times.iter().sum::<u64>() / (times.len() as u64).max(1);
    (times.len(), average_ms, classes.into_iter().collect())
}

/// Whatever becomes of a value, the table knows how many there are of its length and when they expire.
#[test]
fn figures_are_those_of_the_entries() {
    let mut random = Random::new(7);
    let mut table = Table::new(0);
    for _ in 0..20_000 {
        let number = random.below(300_u64);
        let name = number.to_string();
        let key = Key { db: 0, bytes: name.as_bytes(), hash: spread(number) };
        let text = vec![b'x'; random.below(70_usize)];
        let digits = (random.next() as i64 >> random.below(64_u32)).to_string();
        let value = if random.once_in(2) { &text } else { digits.as_bytes() };
        let expire_at_ms = random.once_in(2).then(|| random.below(1000_u64));
        let entry = Entry::new(key.bytes, NewValue::String(value), expire_at_ms, 0);
        match table.find_place(&key) {
            None => table.insert(key.hash, entry),
            Some(found) if random.once_in(4) => _ = table.remove(key.hash, found),
            Some(found) => {
                if !table.overwrite(found, &NewValue::String(value), expire_at_ms) {
                    table.update(found, |_| (entry, ()));
                }
            }
        }
    }
    assert_eq!(counted(&table), listed(&table));
    assert!(counted(&table).2.len() > 6);
}

#[test]
fn agrees_with_a_map() {
    for seed in 0..8 {
        check(seed, spread, 6000, 40_000);
    }
}

#[test]
fn agrees_with_a_map_when_hashes_collide() {
    check(1, |_| 0, 60, 3000);
    check(2, |number| number % 3, 800, 10_000);
    check(3, |number| (number % 7) << 60, 1500, 10_000);
    check(4, |number| (number % 5) << 16, 900, 10_000);
}

#[test]
fn a_scan_sees_every_key_that_stays_while_the_table_grows_and_shrinks() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut table = Table::new(seed as usize);
        let stay: Vec<String> = (0..500).map(|number| format!("stay:{number}")).collect();
        for name in &stay {
            add(&mut table, name.as_bytes(), Random::new(name.len() as u64 ^ hash(name)).next(), None);
        }
        let mut seen = HashSet::new();
        let mut position = Some(0);
        let mut extra = Vec::new();
        let grows = seed % 2 == 0;
        if !grows {
            for number in 0..8000 {
                extra.push(number);
                add(&mut table, format!("extra:{number}").as_bytes(), spread(number), None);
            }
        }
        while let Some(at) = position {
            position = table.scan(at, |entry| {
                seen.insert(entry.key().to_vec());
            });
            for _ in 0..random.next() % 40 {
                if grows {
                    let number = random.next();
                    let name = format!("extra:{number}");
                    add(&mut table, name.as_bytes(), spread(number), None);
                } else if let Some(number) = extra.pop() {
                    let name = format!("extra:{number}");
                    let key = Key { db: 0, bytes: name.as_bytes(), hash: spread(number) };
                    let found = table.find_place(&key).expect("was inserted");
                    table.remove(key.hash, found);
                    table.take_retired();
                }
            }
        }
        for name in &stay {
            assert!(seen.contains(name.as_bytes()), "seed {seed}: {name} was missed");
        }
    }
}

fn hash(name: &str) -> u64 {
    name.bytes().fold(7, |state: u64, byte| state.wrapping_mul(1_000_003) ^ u64::from(byte))
}

#[test]
fn the_expiry_cycle_finds_exactly_what_is_due() {
    let mut table = Table::new(0);
    for number in 0..5000u64 {
        add(&mut table, format!("k{number}").as_bytes(), spread(number), (number % 2 == 0).then_some(number));
    }
    assert!(table.next_expiry_ms() <= 2);
    let mut keys = Vec::new();
    let mut prefix = Some(0);
    while let Some(at) = prefix {
        prefix = table.expired_keys(1000, at, usize::MAX, &mut keys);
    }
    assert_eq!(keys.len(), 501);
    assert!(table.next_expiry_ms() > 1000);
}

#[test]
fn segments_fill_well_before_they_split() {
    let mut table = Table::new(3);
    let mut number = 0;
    let mut worst: f64 = 1.0;
    while number < 200_000 {
        let before = table.shape().1;
        add(&mut table, format!("k{number}").as_bytes(), spread(number), None);
        number += 1;
        if table.shape().1 > before && before == 1 {
            worst = worst.min(number as f64 / (63.0 * 8.0));
        }
    }
    let (_, segments) = table.shape();
    let load = number as f64 / (segments as f64 * 63.0 * 8.0);
    assert!(worst > 0.7, "first split at load {worst}");
    assert!(load > 0.4, "load {load}");
}
