//! The hash against a map from the standard library, and its forms against what Redis 8.6.3 was seen to answer.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::effect::Elements;
use crate::types::tests::{Random, Sample, bytes};

const LIMIT: PackedLimit = PackedLimit { members: 6, bytes: 8 };

fn word(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0 => vec![b'l'; 9],
        1 => Vec::new(),
        2 => vec![b'e'; 8],
        _ => (random.below(12) as i64 - 6).to_string().into_bytes(),
    }
}

#[test]
fn agrees_with_a_map_in_both_forms() {
    let mut forms = BTreeSet::new();
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let (mut hash, mut model) = (Hash::default(), BTreeMap::new());
        for _ in 0..60 {
            let (field, value) = (word(&mut random), word(&mut random));
            if random.below(3) > 0 {
                let is_new = hash.set(&[[&field, &value]], LIMIT) == 1;
                assert_eq!(is_new, model.insert(field, value).is_none(), "seed {seed}");
            } else {
                assert_eq!(hash.remove(&field), model.remove(&field).is_some(), "seed {seed}");
            }
            forms.insert(hash.encoding().name());
            let mut content = Vec::new();
            let _ = hash.content(&mut |part| {
                let Part::Field { field, value } = part else { panic!("{part:?}") };
                content.push((field.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            });
            assert!(content.iter().map(|(field, value)| (field, value)).eq(model.iter()), "seed {seed}");
            let pair = |[field, value]: FieldValue<'_>| (field.to_vec(), value.to_vec());
            let ranked: BTreeMap<_, _> = (0..hash.len()).map(|rank| pair(hash.at(rank))).collect();
            assert_eq!(ranked, model);
            let mut scanned = BTreeMap::new();
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                cursor = hash.scan(from, 2, |field| scanned.extend([pair(field)]));
            }
            assert_eq!(scanned, model);
            assert!(model.iter().all(|(field, value)| hash.get(field) == Some(value)));
        }
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["hashtable", "listpack"]);
}

#[test]
fn the_form_is_the_one_that_redis_has() {
    let forms = |sets: &[&str]| {
        let mut hash = Hash::default();
        let mut forms = Vec::new();
        for set in sets {
            let words: Vec<&[u8]> = set.split(' ').map(str::as_bytes).collect();
            let fields: Vec<FieldValue<'_>> = words.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
            hash.set(&fields, LIMIT);
            forms.push(hash.encoding().name());
        }
        forms
    };
    assert_eq!(forms(&["a 1 b 2 c 3 d 4 e 5 f 6", "f 7", "g 8"]), ["listpack", "listpack", "hashtable"]);
    assert_eq!(forms(&["a 12345678", "a 123456789"]), ["listpack", "hashtable"]);
    assert_eq!(forms(&["123456789 1"]), ["hashtable"]);
    // More than fit, were they distinct.
    assert_eq!(forms(&["a 1 a 1 a 1 a 1 a 1 a 1 a 1"]), ["hashtable"]);
}

#[test]
fn every_field_is_drawn_as_often() {
    for count in [5, 3_000] {
        let mut hash = Hash::default();
        (0..count).for_each(|number| _ = hash.set(&[[format!("f{number}").as_bytes(), b"v"]], LIMIT));
        let mut random = Random::new(1);
        let mut drawn: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..count * 20 {
            *drawn.entry(hash.random(&mut || random.next())[0].to_vec()).or_default() += 1;
            for [field, _] in hash.sample(4, &mut || random.next()) {
                *drawn.entry(field.to_vec()).or_default() += 1;
            }
        }
        // Mean 100, standard deviation 10.
        assert!(drawn.len() == count && drawn.values().all(|times| (50..160).contains(times)), "{drawn:?}");
        assert_eq!(hash.sample(count + 1, &mut || random.next()).len(), count);
    }
}

#[test]
fn a_small_hash_that_comes_at_once_takes_what_it_needs() {
    let mut hash = Hash::default();
    let fields: Vec<String> = (0..8).map(|number| format!("field{number}")).collect();
    let fields: Vec<FieldValue<'_>> = fields.iter().map(|field| [field.as_bytes(), &b"value"[..]]).collect();
    hash.set(&fields, EncodingLimits::default().hash);
    // A header of 12 bytes, two for each length.
    assert_eq!(hash.memory_bytes(), (12 + 8 * (6 + 2 + 5 + 2_usize)).next_multiple_of(8));
}

impl Sample for Hash {
    const TAGS: &'static [u8] = &op::tag::ALL;

    fn sample(random: &mut Random, _: usize, act: &mut dyn FnMut(HashOp<'_>)) {
        let mut word =
            || if random.once_in(2) { random.below(700).to_string().into_bytes() } else { bytes(random) };
        let words: [Vec<u8>; 6] = [(); 6].map(|()| word());
        let fields: Vec<FieldValue<'_>> = words.chunks(2).map(|pair| [&pair[0][..], &pair[1]]).collect();
        let count = random.below(4) as usize;
        let names: Vec<&[u8]> = words[..count].iter().map(Vec::as_slice).collect();
        act(match random.below(5) {
            0 | 1 => HashOp::Set { fields: &fields[..count] },
            2 => HashOp::Remove { fields: Elements::Many(&names) },
            3 => HashOp::IncrementBy { field: b"0", delta: random.below(9) as i64 - 4 },
            _ => HashOp::IncrementBy { field: &words[0], delta: i64::MAX - 3 },
        });
    }
}
