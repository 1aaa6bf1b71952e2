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

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<UnixMs>)>;

fn owned(field: Field<'_>) -> (Vec<u8>, (Vec<u8>, Option<UnixMs>)) {
    (field.name.to_vec(), (field.value.to_vec(), field.expire_at_ms))
}

/// All ways to look at the hash show what is in the model, and those at a time what is not over then.
fn check(hash: &Hash, model: &Model, now_ms: UnixMs) {
    let mut content = Vec::new();
    let _ = hash.content(&mut |part| {
        let Part::Field { field, value, expire_at_ms } = part else { panic!("{part:?}") };
        content.push((field.to_vec(), (value.to_vec(), expire_at_ms)));
        ControlFlow::Continue(())
    });
    assert!(content.iter().map(|(name, rest)| (name, rest)).eq(model.iter()));
    assert_eq!((0..hash.len()).map(|rank| owned(hash.at(rank))).collect::<Model>(), *model);
    assert!(model.keys().all(|name| hash.find(name).map(owned).as_ref().map(|field| &field.0) == Some(name)));
    let deadlines = || model.values().filter_map(|(_, at_ms)| *at_ms);
    assert_eq!(hash.due_ms().is_some(), deadlines().next().is_some());
    assert!(deadlines().min() >= hash.due_ms());
    let live: Model = model
        .iter()
        .filter(|(_, (_, at_ms))| at_ms.is_none_or(|at_ms| at_ms > now_ms))
        .map(|(name, rest)| (name.clone(), rest.clone()))
        .collect();
    let view = hash.live(now_ms);
    assert_eq!((view.len(), view.is_empty()), (live.len(), live.is_empty()));
    assert_eq!(view.iter().map(owned).collect::<Model>(), live);
    assert!(model.keys().all(|name| view.get(name) == live.get(name).map(|(value, _)| &value[..])));
    let (mut scanned, mut cursor) = (Model::new(), Some(0));
    while let Some(from) = cursor {
        cursor = view.scan(from, 2, |field| scanned.extend([owned(field)]));
    }
    assert_eq!(scanned, live);
}

#[test]
fn agrees_with_a_map_in_all_forms() {
    let mut forms = BTreeSet::new();
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let (mut hash, mut model) = (Hash::default(), Model::new());
        if random.once_in(2) {
            // After some seeds these names are kept apart.
            let values = [word(&mut random), word(&mut random), word(&mut random)];
            let fields: Vec<FieldValue<'_>> = [&b"0"[..], b"3", b"-2"]
                .iter()
                .zip(&values)
                .map(|(name, value)| [*name, &value[..]])
                .collect();
            hash.set(&fields, Expiry::Clear, LIMIT);
            model.extend(fields.iter().map(|[name, value]| (name.to_vec(), (value.to_vec(), None))));
            check(&hash, &model, 0);
        }
        for now_ms in 0..60 {
            let (name, value) = (word(&mut random), word(&mut random));
            let at_ms = (seed % 2 == 0 && random.once_in(3)).then(|| now_ms + random.below(20));
            match random.below(9) {
                0..5 => {
                    let expiry = match at_ms {
                        Some(at_ms) => Expiry::At(at_ms),
                        None if random.once_in(2) => Expiry::Keep,
                        None => Expiry::Clear,
                    };
                    let before = model.get(&name).and_then(|(_, at_ms)| *at_ms);
                    let after = if expiry == Expiry::Keep { before } else { at_ms };
                    let is_new = hash.set(&[[&name, &value]], expiry, LIMIT) == 1;
                    assert_eq!(is_new, model.insert(name, (value, after)).is_none(), "seed {seed}");
                }
                5 if seed % 2 == 0 => {
                    hash.set_deadline(&name, at_ms);
                    model.entry(name).and_modify(|field| field.1 = at_ms);
                }
                6 => {
                    let due = hash.take_due(now_ms, 3);
                    let all = model.values().filter(|(_, at_ms)| at_ms.is_some_and(|at_ms| at_ms <= now_ms));
                    assert_eq!(due.len(), all.count().min(3));
                    for name in due {
                        let (_, at_ms) = model.remove(&name).expect("what is due is there");
                        assert!(hash.remove(&name) && at_ms.is_some_and(|at_ms| at_ms <= now_ms));
                    }
                }
                _ => assert_eq!(hash.remove(&name), model.remove(&name).is_some(), "seed {seed}"),
            }
            forms.insert(hash.encoding().name());
            check(&hash, &model, now_ms);
            assert_eq!(hash, hash.clone());
        }
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["hashtable", "listpack", "listpackex"]);
}

#[test]
fn the_form_is_the_one_that_redis_has() {
    let forms = |sets: &[&str]| {
        let mut hash = Hash::default();
        let mut forms = Vec::new();
        for set in sets {
            let words: Vec<&[u8]> = set.split(' ').map(str::as_bytes).collect();
            let fields: Vec<FieldValue<'_>> = words.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
            hash.set(&fields, Expiry::Clear, LIMIT);
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
        (0..count).for_each(|number| {
            _ = hash.set(&[[format!("f{number}").as_bytes(), b"v"]], Expiry::Clear, LIMIT)
        });
        // One more, whose time is over.
        hash.set(&[[b"over", b"v"]], Expiry::At(5), LIMIT);
        let mut random = Random::new(1);
        for now_ms in [0, 7] {
            let (live, len) = (hash.live(now_ms), count + usize::from(now_ms == 0));
            let mut drawn: BTreeMap<&[u8], u32> = BTreeMap::new();
            for field in live.draw(len * 60, true, &mut || random.next()) {
                *drawn.entry(field.name).or_default() += 1;
            }
            for _ in 0..if count < 10 { len * 10 } else { 0 } {
                let four = live.draw(4, false, &mut || random.next());
                assert_eq!(four.iter().map(|field| field.name).collect::<BTreeSet<_>>().len(), 4);
                four.iter().for_each(|field| *drawn.entry(field.name).or_default() += 1);
            }
            // Mean 60 or 100, standard deviation 10 at most.
            assert!(drawn.len() == len && drawn.values().all(|times| (20..160).contains(times)), "{drawn:?}");
            assert_eq!(live.draw(count + 2, false, &mut || random.next()).len(), len);
        }
    }
}

#[test]
fn a_small_hash_that_comes_at_once_takes_what_it_needs() {
    let mut hash = Hash::default();
    let fields: Vec<String> = (0..8).map(|number| format!("field{number}")).collect();
    let fields: Vec<FieldValue<'_>> = fields.iter().map(|field| [field.as_bytes(), &b"value"[..]]).collect();
    hash.set(&fields, Expiry::Clear, EncodingLimits::default().hash);
    // A header of 12 bytes, two for each length.
    assert_eq!(hash.memory_bytes(), (12 + 8 * (6 + 2 + 5 + 2_usize)).next_multiple_of(8));
}

#[test]
fn hashes_with_the_same_names_hold_their_values_alone() {
    let names: Vec<String> = (0..8).map(|number| format!("name-{number}")).collect();
    let hash_of = |value: &[u8], names: &[String]| {
        let fields: Vec<FieldValue<'_>> = names.iter().map(|name| [name.as_bytes(), value]).collect();
        let mut hash = Hash::default();
        hash.set(&fields, Expiry::Clear, EncodingLimits::default().hash);
        hash
    };
    let alone = hash_of(b"value", &names);
    let many: Vec<Hash> = (0..100).map(|_| hash_of(b"value", &names)).collect();
    // A header of 12 bytes, a length for each value.
    assert_eq!(many[99].memory_bytes(), (12 + 8 * (1 + 5_usize)).next_multiple_of(8));
    assert_eq!((alone.encoding(), &alone), (many[99].encoding(), &many[99]));
    assert!(alone.iter().eq(many[99].iter()), "in the order in which they came");
    // Values of any length take the place of others, in a copy alone.
    let (mut changed, mut model) = (many[99].clone(), Model::new());
    for (number, name) in names.iter().enumerate() {
        let value = vec![b'v'; [0, 1, 5, 64, 4, 63, 5, 0][number]];
        assert_eq!(
            changed.set(&[[name.as_bytes(), &value]], Expiry::Clear, EncodingLimits::default().hash),
            0
        );
        model.insert(name.clone().into_bytes(), (value, None));
    }
    check(&changed, &model, 0);
    assert!(matches!(changed.stored(), Stored::Record(_)) && alone == many[99]);
    // Names that come twice are never kept, nor are long ones.
    let twice = [&names[..], &names[..1]].concat();
    let long = ["l".repeat(200), "m".to_owned()];
    for names in [&twice[..], &long] {
        let hash = (0..100).map(|_| hash_of(b"v", names)).next_back().expect("a hundred");
        assert!(matches!(hash.stored(), Stored::Packed(..)) || names.len() == 2, "{hash:?}");
        assert_eq!(hash.len(), names.len() - usize::from(names.len() == 9));
    }
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
        let at_ms = random.once_in(2).then(|| 50 + random.below(3));
        act(match random.below(7) {
            0 | 1 => HashOp::Set { fields: &fields[..count], keep_ttl: random.once_in(2) },
            2 => HashOp::Remove { fields: Elements::Many(&names) },
            3 => HashOp::IncrementBy { field: b"0", delta: random.below(9) as i64 - 4 },
            4 => HashOp::IncrementBy { field: &words[0], delta: i64::MAX - 3 },
            5 => HashOp::Expire { fields: Elements::Many(&names), at_ms },
            _ => HashOp::Expire { fields: Elements::Many(&[b"0", b"x"]), at_ms },
        });
    }
}
