//! The table against maps of the standard library.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use swytch_testkit::random::Random;

use super::*;
use crate::hash::HashSeed;

fn seeded(member: &[u8]) -> u64 {
    HashSeed::new([1, 2, 3]).hash(member)
}

/// Members alone.
#[derive(Clone, Copy, Debug)]
struct Members;

impl Shape for Members {
    const VALUES: bool = false;

    fn hash(member: &[u8]) -> u64 {
        seeded(member)
    }
}

/// Members with values.
#[derive(Clone, Copy, Debug)]
struct Fields;

impl Shape for Fields {
    const VALUES: bool = true;

    fn hash(member: &[u8]) -> u64 {
        seeded(member)
    }
}

/// Hashes that few members do not share: those of equal length modulo 4 have one.
#[derive(Clone, Copy, Debug)]
struct Hostile;

impl Shape for Hostile {
    const VALUES: bool = true;

    fn hash(member: &[u8]) -> u64 {
        (member.len() as u64 % 4) << 62 | 77
    }
}

fn word(random: &mut Random, kinds: u64) -> Vec<u8> {
    let mut word = format!("{}", random.below(kinds)).into_bytes();
    match random.below(40) {
        0 => word.resize(1000 + random.below(60_usize), b'l'),
        1 => word.resize(5000, b'l'),
        2 => word.resize(120 + random.below(20_usize), b'm'),
        3 => word.clear(),
        _ => {}
    }
    word
}

fn put<S: Shape>(table: &mut Table<S>, member: &[u8], value: &[u8]) -> bool {
    table.put(Entry { member, value, deadline_ms: None })
}

/// The invariants that no change may break.
fn check<S: Shape>(table: &Table<S>) {
    let mut len = table.chain.len();
    assert_eq!(table.branches[0].scale.start(), 0);
    for (at, branch) in table.branches.iter().enumerate() {
        let Block { scales, pages } = &*branch.block;
        assert_eq!((scales.len(), scales[0].start()), (pages.len(), branch.scale.start()));
        assert!(pages.len() < BLOCK_PAGES_MAX);
        assert_eq!(branch.len, pages.iter().map(Page::count).sum::<usize>());
        len += branch.len;
        for (index, page) in pages.iter().enumerate() {
            let range = scales[index].start()..branch.block.end_of(index, table.end_of(at));
            assert!(range.start < range.end, "{range:?}");
            assert!(page.is_in_order::<S>(scales[index]));
            assert!(page.entries::<S>().all(|entry| range.contains(&position(S::hash(entry.member)))));
        }
    }
    assert_eq!(table.len(), len);
}

fn content<S: Shape>(table: &Table<S>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    table.iter().map(|entry| (entry.member.to_vec(), entry.value.to_vec())).collect()
}

fn agrees_with_a_map<S: Shape + Clone>(steps: usize, kinds: &[u64]) {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let kinds = kinds[seed as usize % kinds.len()];
        let (mut table, mut model) = (Table::<S>::default(), HashMap::new());
        let mut snapshots = Vec::new();
        // Phases of growth and of loss.
        for step in 0..steps {
            let member = word(&mut random, kinds);
            let value = if S::VALUES { word(&mut random, 50) } else { Vec::new() };
            let adds = if (step / (steps / 4)).is_multiple_of(2) { 8 } else { 2 };
            if random.below(10) < adds {
                let is_new = model.insert(member.clone(), value.clone()).is_none();
                assert_eq!(put(&mut table, &member, &value), is_new, "seed {seed} step {step}");
            } else {
                assert_eq!(table.remove(&member), model.remove(&member).is_some(), "seed {seed} step {step}");
            }
            if random.once_in(steps as u64 / 20) {
                let count = random.below([5, 300, 6_000][step % 3]);
                let many: Vec<_> = (0..count)
                    .map(|_| {
                        let value = if S::VALUES { word(&mut random, 50) } else { Vec::new() };
                        (word(&mut random, kinds), value)
                    })
                    .collect();
                let entries = many.iter().map(|(member, value)| Entry { member, value, deadline_ms: None });
                table.put_many(&entries.collect::<Vec<_>>());
                model.extend(many);
                check(&table);
            }
            let asked = word(&mut random, kinds);
            assert_eq!(table.get(&asked).map(|entry| entry.value), model.get(&asked).map(Vec::as_slice));
            assert_eq!(table.len(), model.len());
            if random.once_in(steps as u64 / 4) {
                snapshots.push((table.clone(), model.clone()));
            }
        }
        snapshots.push((table, model));
        for (table, model) in snapshots {
            check(&table);
            assert_eq!(content(&table), model.into_iter().collect(), "seed {seed}");
        }
    }
}

#[test]
fn members_agree_with_a_map() {
    agrees_with_a_map::<Members>(8_000, &[100, 3_000, 50_000]);
}

#[test]
fn members_with_values_agree_with_a_map() {
    agrees_with_a_map::<Fields>(8_000, &[100, 3_000, 50_000]);
}

#[test]
fn members_whose_hashes_are_equal_agree_with_a_map() {
    agrees_with_a_map::<Hostile>(3_000, &[100, 1_000]);
}

fn numbered(count: u32) -> Table<Members> {
    let mut table = Table::default();
    (0..count).for_each(|number| _ = put(&mut table, format!("member:{number:08}").as_bytes(), b""));
    table
}

#[test]
fn a_million_members_take_little_more_than_their_bytes_in_every_phase_of_growth() {
    let mut table = Table::<Members>::default();
    for number in 0..200_000 {
        put(&mut table, format!("member:{number:08}").as_bytes(), b"");
        if number > 5_000 && number % 5_000 == 0 {
            let each = table.memory_bytes() as f64 / table.len() as f64;
            assert!(each < 30.0, "{each} bytes for each of {number}");
        }
    }
    check(&table);
}

#[test]
fn memory_follows_the_members_down() {
    let mut table = numbered(50_000);
    let before = table.memory_bytes();
    for number in (0..50_000).filter(|number| number % 10 != 0) {
        assert!(table.remove(format!("member:{number:08}").as_bytes()));
    }
    check(&table);
    assert!(table.memory_bytes() < before / 4, "{} of {before} bytes", table.memory_bytes());
    for number in (0..50_000).step_by(10) {
        table.remove(format!("member:{number:08}").as_bytes());
    }
    assert_eq!((table.len(), table.pages().count()), (0, 1));
    assert!(table.memory_bytes() < 9_000, "{} bytes", table.memory_bytes());
    let mut few = Table::<Members>::default();
    put(&mut few, &[b'x'; 100], b"");
    assert!(few.memory_bytes() < 600, "{} bytes for one member", few.memory_bytes());
}

#[test]
fn a_write_after_a_copy_copies_one_page() {
    let mut table = numbered(100_000);
    let copy = table.clone();
    assert!(table.branches.len() > 4);
    put(&mut table, b"one more", b"");
    let own = |page: &&Page| !copy.pages().any(|other| other.shares_with(page));
    let copied = table.pages().filter(own).count();
    assert!(copied <= 3, "{copied} pages");
    assert_eq!((copy.len(), table.len()), (100_000, 100_001));
}

#[test]
fn a_walk_shows_what_stays_exactly_once_however_the_table_changes() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let mut table = numbered(3_000);
        let mut seen = BTreeMap::new();
        let mut from = Some(0);
        while let Some(at) = from {
            from = table.scan(at, 20, |entry| *seen.entry(entry.member.to_vec()).or_insert(0) += 1);
            let grows = seed < 5;
            for _ in 0..60 {
                let other = format!("other:{}", random.below(20_000));
                if grows {
                    put(&mut table, other.as_bytes(), b"")
                } else {
                    table.remove(other.as_bytes())
                };
                if !grows {
                    table.remove(format!("member:{:08}", 1_000 + random.below(2_000)).as_bytes());
                }
            }
        }
        let stays = |number: u32| seen.get(format!("member:{number:08}").as_bytes()) == Some(&1);
        assert!((0..1_000).all(stays), "seed {seed}");
    }
    let mut hostile = Table::<Hostile>::default();
    (0..3_000).for_each(|number| _ = put(&mut hostile, number.to_string().as_bytes(), b"value"));
    assert!(!hostile.chain.is_empty());
    let (mut seen, mut from) = (BTreeSet::new(), Some(0));
    while let Some(at) = from {
        from = hostile.scan(at, 1, |entry| _ = seen.insert(entry.member.to_vec()));
    }
    assert_eq!(seen.len(), 3_000);
}

#[test]
fn every_rank_is_another_member() {
    for table in [numbered(10), numbered(10_000)] {
        let members: BTreeSet<&[u8]> = (0..table.len()).map(|rank| table.at(rank).member).collect();
        assert_eq!(members.len(), table.len());
        assert!(table.iter().enumerate().all(|(rank, entry)| table.at(rank) == entry));
    }
}

/// Deadlines come and go with their entries, and whoever asks what is due is told exactly that, in bounded pieces.
fn what_is_due_is_found<S: Shape + Clone>(kinds: u64) {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let (mut table, mut model) = (Table::<S>::default(), BTreeMap::new());
        let mut now_ms = 1_000;
        for step in 0..6_000 {
            let (member, value) = (word(&mut random, kinds), word(&mut random, 50));
            let deadline_ms = random.once_in(2).then(|| now_ms + random.below(3_000));
            if random.below(10) < 7 {
                table.put(Entry { member: &member, value: &value, deadline_ms });
                model.insert(member.clone(), (value, deadline_ms));
            } else {
                table.remove(&member);
                model.remove(&member);
            }
            if random.once_in(300) {
                let deadlines: Vec<_> =
                    (0..random.below(500_u64)).map(|at| (at % 3 > 0).then_some(now_ms + at)).collect();
                let many: Vec<_> =
                    deadlines.into_iter().map(|at_ms| (word(&mut random, kinds), at_ms)).collect();
                let entries = many.iter().map(|(member, at_ms)| Entry {
                    member,
                    value: b"of many",
                    deadline_ms: *at_ms,
                });
                table.put_many(&entries.collect::<Vec<_>>());
                model.extend(many.into_iter().map(|(member, at_ms)| (member, (b"of many".to_vec(), at_ms))));
            }
            let found = table.get(&member).map(|entry| (entry.value.to_vec(), entry.deadline_ms));
            assert_eq!(found, model.get(&member).cloned(), "seed {seed} step {step}");
            let deadlines = || model.values().filter_map(|(_, at_ms)| *at_ms);
            assert_eq!(table.due_ms().is_some(), deadlines().next().is_some());
            assert!(deadlines().min() >= table.due_ms(), "seed {seed} step {step}");
            if random.once_in(50) {
                now_ms += random.below(2_000);
                let copy = table.clone();
                let expected: BTreeSet<Vec<u8>> = model
                    .iter()
                    .filter(|(_, (_, at_ms))| at_ms.is_some_and(|at_ms| at_ms <= now_ms))
                    .map(|(member, _)| member.clone())
                    .collect();
                let mut gone = BTreeSet::new();
                while table.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
                    let due = table.take_due(now_ms, 7);
                    assert!(due.len() <= 7);
                    due.iter().for_each(|member| assert!(table.remove(member)));
                    gone.extend(due);
                }
                assert_eq!(gone, expected, "seed {seed} step {step}");
                model.retain(|member, _| !gone.contains(member));
                check(&table);
                assert_eq!(copy.len(), table.len() + gone.len());
            }
        }
    }
}

#[test]
fn what_is_due_is_found_in_pages() {
    what_is_due_is_found::<Fields>(2_000);
}

#[test]
fn what_is_due_is_found_among_equal_hashes() {
    what_is_due_is_found::<Hostile>(300);
}

/// A table that is laid out at once has no more room to spare than one that has grown may have, be it small or large.
#[test]
fn many_at_once_take_no_more_memory_than_one_by_one() {
    for count in [1, 30, 60, 150, 300, 1_000, 20_000] {
        let members: Vec<Vec<u8>> = (0..count).map(|number| format!("{number}").into_bytes()).collect();
        let (mut grown, mut laid) = (Table::<Members>::default(), Table::<Members>::default());
        members.iter().for_each(|member| _ = put(&mut grown, member, b""));
        laid.put_many(&members.iter().map(|member| Entry::of_member(member)).collect::<Vec<_>>());
        let (laid, grown) = (laid.memory_bytes(), grown.memory_bytes());
        assert!(
            laid <= grown + grown / 4,
            "{laid} bytes for {count} members, {grown} if they come one by one"
        );
    }
}
