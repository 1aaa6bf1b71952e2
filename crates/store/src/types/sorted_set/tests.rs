//! The sorted set against an ordered list from the standard library, in both forms and with hashes that collide; its forms
//! against what Redis 8.6.3 was seen to answer.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::effect::Elements;
use crate::types::tests::{Random, Sample, bytes};

const LIMITS: PackedLimit = PackedLimit { members: 9, bytes: 8 };

fn score(random: &mut Random) -> f64 {
    match random.below(12) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => -0.0,
        3 => 0.1 * random.below(5_u8) as f64,
        4 => -1e300,
        5 => 3_000_000_000.0,
        6 => 40_000.0,
        _ => random.below(5_u8) as f64 - 2.0,
    }
}

fn member(random: &mut Random, kinds: u64) -> Vec<u8> {
    match random.below(60) {
        0 => Vec::new(),
        1 => vec![b'l'; 1_500 + random.below(3_usize)],
        _ => random.below(kinds).to_string().into_bytes(),
    }
}

/// The members of a model, in order.
fn ordered(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(f64, Vec<u8>)> {
    let mut all: Vec<(f64, Vec<u8>)> = model.iter().map(|(member, score)| (*score, member.clone())).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(&other.1)));
    all
}

fn owned(scored: Scored<'_>) -> (f64, Vec<u8>) {
    (scored.score, scored.member.to_vec())
}

#[test]
fn agrees_with_an_ordered_list_in_both_forms() {
    let mut forms = BTreeSet::new();
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let kinds = [6, 15, 2_000][seed as usize % 3];
        let (mut set, mut model) = (SortedSet::new(), BTreeMap::new());
        for _ in 0..if kinds == 2_000 { 3_000 } else { 100 } {
            let member = member(&mut random, kinds);
            if random.below(4) > 0 {
                let score = canonical(score(&mut random));
                let placed = match model.insert(member.clone(), score) {
                    None => Placed::New,
                    Some(old) if old == score => Placed::Same,
                    Some(_) => Placed::Moved,
                };
                assert_eq!(set.put(Scored { score, member: &member }, LIMITS), placed, "seed {seed}");
            } else {
                assert_eq!(set.remove(&member), model.remove(&member), "seed {seed}");
            }
            forms.insert(set.encoding().name());
        }
        let all = ordered(&model);
        assert!(set.iter().map(owned).eq(all.iter().cloned()), "seed {seed}");
        assert!(set.iter().rev().map(owned).eq(all.iter().rev().cloned()), "seed {seed}");
        for (rank, (score, member)) in all.iter().enumerate() {
            assert_eq!(set.rank(member), Some((rank, *score)));
            assert_eq!(owned(set.at(rank)), (*score, member.clone()));
        }
        let ranks = set.len() / 3..set.len();
        let spots: Vec<Spot> = set.spots(ranks.clone()).collect();
        let shown = spots.iter().map(|spot| (spot.score, set.member(*spot).to_vec()));
        assert!(shown.eq(all[ranks].iter().cloned()), "seed {seed}");
        for _ in 0..20 {
            let (from, to) = (score(&mut random), score(&mut random));
            for (from, to) in [(Cut::Before(from), Cut::After(to)), (Cut::After(from), Cut::Before(to))] {
                let is_in = |(score, _): &&(f64, Vec<u8>)| !from.is_behind(*score) && to.is_behind(*score);
                let expected: Vec<_> = all.iter().filter(is_in).cloned().collect();
                assert!(set.range(set.with_scores(from, to)).map(owned).eq(expected), "{from:?} {to:?}");
            }
        }
        let again = SortedSet::gathered(set.iter().collect(), LIMITS);
        assert_eq!(again, set);
        let copy = set.clone();
        all.iter().step_by(2).for_each(|(_, member)| _ = set.remove(member));
        assert!(copy.iter().map(owned).eq(all.iter().cloned()), "a copy keeps what it had");
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["listpack", "skiplist"]);
}

/// Hashes of which there are three.
#[derive(Clone, Copy, Debug)]
struct Hostile;

impl Shape for Hostile {
    const VALUES: bool = true;

    fn hash(member: &[u8]) -> u64 {
        (member.len() as u64 % 3) << 62 | 77
    }
}

#[test]
fn members_whose_hashes_are_the_same_are_told_apart() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let (mut paged, mut model) = (Paged::<Hostile>::default(), BTreeMap::new());
        for _ in 0..700 {
            let member = random.below(120).to_string().into_bytes();
            if random.below(3) > 0 {
                let score = random.below(3_u8) as f64;
                paged.put(&member, |_| Some(score));
                model.insert(member, score);
            } else {
                assert_eq!(paged.remove(&member), model.remove(&member), "seed {seed}");
            }
            if random.once_in(50) {
                let many: BTreeMap<Vec<u8>, f64> = (0..random.below(200))
                    .map(|_| (random.below(20_000).to_string().into_bytes(), random.below(3_u8) as f64))
                    .collect();
                let members: Vec<Scored<'_>> =
                    many.iter().map(|(member, score)| Scored { member, score: *score }).collect();
                let are_new = many.keys().all(|member| !model.contains_key(member));
                let are_put = paged.put_many(&members);
                assert_eq!(are_put, are_new && many.len() >= model.len(), "seed {seed}");
                if are_put {
                    model.extend(many);
                }
            }
            let all = ordered(&model);
            assert!(paged.range(0..paged.len()).map(owned).eq(all.iter().cloned()), "seed {seed}");
            let named =
                paged.items(0..paged.len()).enumerate().map(|(rank, item)| paged.member_of(item, &|| rank));
            assert!(named.eq(all.iter().map(|(_, member)| &member[..])), "seed {seed}");
        }
    }
}

#[test]
fn members_of_one_score_lie_in_the_order_of_their_bytes() {
    for limits in [PackedLimit { members: 1_000, bytes: 64 }, PackedLimit { members: 0, bytes: 0 }] {
        let names: Vec<String> = (0..500).map(|number| format!("{number:03}")).collect();
        let members = names.iter().map(|name| Scored { score: 1.0, member: name.as_bytes() });
        let set = SortedSet::gathered(members.rev().collect(), limits);
        let lex = |from: Cut<&[u8]>, to| set.with_members(from, to);
        assert_eq!(lex(Cut::Start, Cut::End), 0..500);
        assert_eq!(lex(Cut::Before(b"010"), Cut::After(b"019")), 10..20);
        assert_eq!(lex(Cut::After(b"010"), Cut::Before(b"019")), 11..19);
        assert_eq!(lex(Cut::Before(b"0195"), Cut::End), 20..500);
        assert_eq!(lex(Cut::Before(b"3"), Cut::After(b"2")), 300..300);
        assert_eq!(lex(Cut::End, Cut::Start), 500..500);
    }
}

#[test]
fn the_form_is_the_one_that_redis_has() {
    let forms = |adds: &[&str]| {
        let mut set = SortedSet::new();
        let mut forms = Vec::new();
        for add in adds {
            let members: Vec<Scored<'_>> =
                add.split(' ').map(|member| Scored { score: 1.0, member: member.as_bytes() }).collect();
            set.expect(&members, LIMITS);
            members.iter().for_each(|scored| _ = set.put(*scored, LIMITS));
            forms.push(set.encoding().name());
        }
        forms
    };
    assert_eq!(forms(&["a b c d e f g h i", "j"]), ["listpack", "skiplist"]);
    assert_eq!(forms(&["a", "123456789"]), ["listpack", "skiplist"]);
    assert_eq!(forms(&["a", "12345678"]), ["listpack", "listpack"]);
    // More than fit in a listpack, were they distinct.
    assert_eq!(forms(&["a a a a a a a a a a"]), ["skiplist"]);
    assert_eq!(forms(&["a b", "a a a a a a a a a"]), ["listpack", "listpack"]);
}

#[test]
fn scores_come_back_from_the_packed_form() {
    for score in [0.0, 1.0, -128.0, 128.0, 32_767.0, -32_769.0, 2_147_483_647.0, 2_147_483_648.0, 0.5, 1e300]
    {
        let scored = Scored { score, member: b"member" };
        assert_eq!(decoded(&encoded(scored)), scored);
    }
    assert_eq!(encoded(Scored { score: -3.0, member: b"m" }).len(), 3);
}

#[test]
fn sorted_sets_take_little() {
    let mut set = SortedSet::new();
    set.put(Scored { score: 7.0, member: b"0123456789" }, EncodingLimits::default().sorted_set);
    assert_eq!(set.memory_bytes(), 32);
    let mut random = Random::new(7);
    (0..100_000).for_each(|number: u32| {
        let (score, member) = (random.below(1_000_000_u32) as f64, format!("member:{number:08}"));
        _ = set.put(Scored { score, member: member.as_bytes() }, EncodingLimits::default().sorted_set);
    });
    let bytes = set.memory_bytes() / 100_000;
    assert!(bytes <= 55, "{bytes} a member of 15");
}

impl Sample for SortedSet {
    const TAGS: &'static [u8] = &op::tag::ALL;

    fn sample(random: &mut Random, _: usize, act: &mut dyn FnMut(SortedSetOp<'_>)) {
        let names: Vec<Vec<u8>> =
            (0..random.below(5))
                .map(|_| {
                    if random.once_in(2) { random.below(300).to_string().into_bytes() } else { bytes(random) }
                })
                .collect();
        let is_new = [None, None, Some(true), Some(false)][random.below(4_usize)];
        let compares = [None, None, Some(Ordering::Less), Some(Ordering::Greater)][random.below(4_usize)];
        match random.below(5) {
            0 => {
                let member = names.first().map_or(&b"a"[..], Vec::as_slice);
                act(SortedSetOp::Increment { member, delta: score(random) });
            }
            1 => {
                let members: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
                act(SortedSetOp::Remove { members: Elements::Many(&members) });
            }
            _ => {
                let members: Vec<Scored<'_>> =
                    names.iter().map(|member| Scored { score: score(random), member }).collect();
                act(SortedSetOp::Add { members: &members, when: Condition { is_new, compares } });
            }
        }
    }
}
