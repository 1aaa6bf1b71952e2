//! The set against a set from the standard library, and its forms against what Redis 8.6.3 was seen to answer.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::types::tests::{Random, Sample, bytes};

const LIMITS: SetLimits = SetLimits { integers: 6, packed: PackedLimit { members: 9, bytes: 8 } };

fn member(random: &mut Random) -> Vec<u8> {
    match random.below(30) {
        0 => vec![b'l'; 9],
        1 => b"007".to_vec(),
        2 => Vec::new(),
        3 => b"9223372036854775807".to_vec(),
        4 => b"-70000".to_vec(),
        5..15 => vec![b'a' + random.below(8_u8); 2],
        _ => (random.below(12) as i64 - 6).to_string().into_bytes(),
    }
}

#[test]
fn agrees_with_a_set_in_all_forms() {
    let mut forms = BTreeSet::new();
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let (mut set, mut model) = (Set::new(), BTreeSet::new());
        let only_integers = seed % 3 == 0;
        for _ in 0..60 {
            let member =
                if only_integers { random.below(9).to_string().into_bytes() } else { member(&mut random) };
            if random.below(3) > 0 {
                let added = set.add(Elements::One(&member), LIMITS);
                assert_eq!(added == 1, model.insert(member));
            } else {
                assert_eq!(set.remove(&member), model.remove(&member), "seed {seed}");
            }
            forms.insert(set.encoding().name());
            let mut content = Vec::new();
            let _ = set.content(&mut |part| {
                let Part::Member(member) = part else { panic!("{part:?}") };
                content.push(member.to_vec());
                ControlFlow::Continue(())
            });
            assert!(content.iter().eq(model.iter()), "seed {seed}");
            let ranked: BTreeSet<Vec<u8>> = (0..set.len()).map(|rank| set.at(rank).to_vec()).collect();
            assert_eq!(ranked, model);
            assert!(model.iter().all(|member| set.contains(member)));
        }
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["hashtable", "intset", "listpack"]);
}

#[test]
fn the_form_is_the_one_that_redis_has() {
    let forms = |adds: &[&str]| {
        let mut set = Set::new();
        let mut forms = Vec::new();
        for add in adds {
            let members: Vec<&[u8]> = add.split(' ').map(str::as_bytes).collect();
            set.add(Elements::Many(&members), LIMITS);
            forms.push(set.encoding().name());
        }
        forms
    };
    assert_eq!(forms(&["1 2", "3 4 5 6", "7"]), ["intset", "intset", "hashtable"]);
    assert_eq!(forms(&["1 2", "x", "3"]), ["intset", "listpack", "listpack"]);
    assert_eq!(forms(&["a b c d e f g h i", "j"]), ["listpack", "hashtable"]);
    assert_eq!(forms(&["a", "123456789"]), ["listpack", "hashtable"]);
    assert_eq!(forms(&["123456789", "a"]), ["intset", "hashtable"]);
    let gathered = |members: &[&str]| {
        let members = members.iter().map(|member| Member::Bytes(member.as_bytes()));
        Set::gathered(members, LIMITS).encoding().name()
    };
    assert_eq!(gathered(&["1", "2"]), "intset");
    assert_eq!(gathered(&["1", "a"]), "listpack");
    assert_eq!(gathered(&["1", "2", "3", "4", "5", "6", "7"]), "listpack");
    assert_eq!(gathered(&["123456789", "2"]), "intset");
    // More than fit in an intset, were they distinct.
    assert_eq!(forms(&["1 1 1 1 1 1 1"]), ["listpack"]);
    assert_eq!(forms(&["1", "1 1 1 1 1 1 1"]), ["intset", "hashtable"]);
    assert_eq!(forms(&["a a a a a a a a a a"]), ["hashtable"]);
}

#[test]
fn every_member_is_drawn_as_often() {
    for count in [5, 20, 3_000] {
        let mut set = Set::new();
        (0..count).for_each(|number| _ = set.add(Elements::One(format!("m{number}").as_bytes()), LIMITS));
        let mut random = Random::new(1);
        let mut drawn: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..count * 20 {
            *drawn.entry(set.random(&mut || random.next()).to_vec()).or_default() += 1;
            for member in set.sample(4, &mut || random.next()) {
                *drawn.entry(member.to_vec()).or_default() += 1;
            }
        }
        // Mean 100, standard deviation 10.
        assert!(drawn.len() == count && drawn.values().all(|times| (50..160).contains(times)), "{drawn:?}");
        let sample: BTreeSet<Vec<u8>> =
            set.sample(count - 1, &mut || random.next()).iter().map(|member| member.to_vec()).collect();
        assert_eq!(sample.len(), count - 1);
        assert_eq!(set.sample(count + 1, &mut || random.next()).len(), count);
    }
}

#[test]
fn small_sets_take_little() {
    let mut set = Set::new();
    set.add(Elements::One(b"0123456789"), SetLimits::default());
    assert_eq!(set.memory_bytes(), 24);
    let mut integers = Set::new();
    (0..500).for_each(|number: u32| {
        _ = integers.add(Elements::One(number.to_string().as_bytes()), SetLimits::default())
    });
    assert!(integers.memory_bytes() < 1_400, "{}", integers.memory_bytes());
}

impl Sample for Set {
    const TAGS: &'static [u8] = &op::tag::ALL;

    fn sample(random: &mut Random, _: usize, act: &mut dyn FnMut(SetOp<'_>)) {
        let several: Vec<Vec<u8>> =
            (0..random.below(5))
                .map(|_| {
                    if random.once_in(2) { random.below(700).to_string().into_bytes() } else { bytes(random) }
                })
                .collect();
        let several: Vec<&[u8]> = several.iter().map(Vec::as_slice).collect();
        let members = Elements::Many(&several);
        act(if random.below(3) > 0 { SetOp::Add { members } } else { SetOp::Remove { members } });
    }
}
