//! Whatever a command has done to a keyspace can be taken back, step by step.

use super::*;
use crate::effect::{Event, Sink, Wants};
use crate::types::list::{List, Side};
use crate::types::tests::{Random, bytes};
use crate::{Absent, Elements, Expiry, HashSeed, Keyspace, KeyspaceMut, LockScope, Shards};

/// Listens to effects together with their undos.
#[derive(Default)]
struct Journal {
    undos: Vec<(Vec<u8>, Undo)>,
    effects: usize,
}

impl Sink for Journal {
    fn wants(&self) -> Wants {
        Wants { undo: true, events: true }
    }

    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        self.effects += 1;
        let undo = undo.expect("it was wanted");
        undo.each_key(effect, |_, key, undo| self.undos.push((key.to_vec(), undo)));
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}
}

const KEYS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

fn state(keyspace: &Keyspace<'_>) -> Vec<Option<OwnedEntry>> {
    KEYS.iter().map(|name| keyspace.stored(&keyspace.key(0, name)).map(OwnedEntry::of)).collect()
}

/// Does something, by primitives of every kind.
fn change(keyspace: &mut KeyspaceMut<'_, '_>, random: &mut Random) {
    let shards = keyspace.locked().shards();
    let key = shards.key(0, KEYS[random.below(4) as usize]);
    let other = shards.key(0, KEYS[random.below(4) as usize]);
    let side = [Side::Head, Side::Tail][random.below(2) as usize];
    let to_side = [Side::Head, Side::Tail][random.below(2) as usize];
    let (element, second) = (bytes(random), bytes(random));
    let number = random.below(9) as i64 - 4;
    let event = Event::string("set");
    match random.below(22) {
        0 => {
            let expiry = [Expiry::Clear, Expiry::Keep, Expiry::At(70)][random.below(3) as usize];
            keyspace.set(&key, &element, expiry, event);
        }
        1 => keyspace.set_long(&key, &element.into(), Expiry::Clear, event),
        2 => keyspace.set(&key, number.to_string().as_bytes(), Expiry::Keep, event),
        3 | 4 => _ = keyspace.increment(&key, number),
        5 => _ = keyspace.append(&key, &element, 100_000),
        6 => _ = keyspace.set_range(&key, random.below(12), &element, 100_000, event),
        7 => {
            let offsets = [random.below(9) as usize, random.below(9) as usize];
            let _ = keyspace.edit_string(&key, 12, event, |string| {
                string.write(offsets[0], b"abc");
                string.write(offsets[1], b"de");
                string.write(offsets[0], b"f");
            });
        }
        8 => _ = keyspace.delete(&key),
        9 => _ = keyspace.expire_at(&key, 60 + random.below(30)),
        10 => _ = keyspace.persist(&key),
        11 => _ = keyspace.rename(&key, &other),
        12 => _ = keyspace.copy(&key, &other),
        13 | 14 => {
            let elements: [&[u8]; 3] = [&element, &second, b"x"];
            let absent = if random.below(4) > 0 { Absent::Create } else { Absent::Leave };
            let push = |list: &mut crate::Editor<'_, List>| list.push(side, Elements::Many(&elements));
            let _ = keyspace.change(&key, absent, push);
        }
        16 => _ = keyspace.move_element(&key, &other, side, to_side),
        15 | 17..=20 => {
            let (choice, index, other) = (random.below(5), random.below(8), random.below(9) as i64 - 4);
            let _ = keyspace.change::<List, _>(&key, Absent::Leave, |list| match choice {
                0 => _ = list.pop(side, index as usize / 2, |_| {}),
                1 => _ = list.set(index as usize, &element),
                2 => _ = list.insert(b"x", index % 2 == 0, &element),
                3 => _ = list.remove(number / 2, b"x"),
                _ => list.trim(number, other),
            });
        }
        _ => _ = keyspace.remove_if_expired(&key),
    }
}

#[test]
fn undos_in_reverse_order_lead_back() {
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let shards = Shards::new(4, 1, HashSeed::new([1, 2, 3]));
        let mut journal = Journal::default();
        let mut states = Vec::new();
        let view = |now_ms| Keyspace::new(shards.lock(LockScope::All), now_ms);
        for step in 0..30 {
            let mut keyspace = KeyspaceMut::new(view(50 + step), Some(&mut journal));
            states.push(state(&keyspace));
            change(&mut keyspace, &mut random);
            keyspace.finish();
        }
        let first = states[0].clone();
        let mut keyspace = KeyspaceMut::new(view(0).ignoring_expiry(true), None);
        let mut apart = state(&keyspace);
        for (name, undo) in journal.undos.iter().rev() {
            let key = shards.key(0, name);
            keyspace.undo(&key, undo);
            let at = KEYS.iter().position(|other| other == name).expect("one of the keys");
            undo.roll_back(&mut apart[at]);
            assert_eq!(state(&keyspace), apart, "seed {seed}: in place and apart differ after {undo:?}");
        }
        assert_eq!(apart, first, "seed {seed}");
        assert!(journal.effects > 0 && journal.undos.len() >= journal.effects);
        keyspace.finish();
    }
}

/// What a pop, a push, an append or a write into a string keeps does not grow with the value.
#[test]
fn an_undo_is_as_large_as_its_change() {
    let shards = Shards::new(1, 1, HashSeed::new([1, 2, 3]));
    let mut journal = Journal::default();
    let base = Keyspace::new(shards.lock(LockScope::All), 0);
    let mut keyspace = KeyspaceMut::new(base, Some(&mut journal));
    let (list, text) = (shards.key(0, b"a"), shards.key(0, b"b"));
    let elements = [b"element".as_slice(); 10_000];
    let change = |list: &mut crate::Editor<'_, List>| {
        list.push(Side::Tail, Elements::Many(&elements));
        list.pop(Side::Head, 2, |_| {});
        list.set(5_000, b"other");
        list.insert(b"other", true, b"third");
        list.remove(1, b"other");
    };
    keyspace.change(&list, Absent::Create, change).expect("no other type");
    keyspace.set_long(&text, &vec![b'x'; 100_000].into(), Expiry::Clear, Event::string("set"));
    keyspace.append(&text, b"more", 1_000_000).expect("a string");
    keyspace.set_range(&text, 50_000, b"within", 1_000_000, Event::string("setrange")).expect("a string");
    keyspace.finish();
    for (_, undo) in &journal.undos {
        assert!(undo.size_bytes() < 200, "{undo:?}");
    }
}
