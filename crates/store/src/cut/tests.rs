//! What a cut shows is what there was, whatever happens while it is read.

use std::collections::HashMap;

use swytch_testkit::Random;

use super::*;
use crate::effect::{Effect, Event, Sink, Wants};
use crate::types::collection::Row;
use crate::types::hash::Hash;
use crate::types::list::{List, Side};
use crate::types::set::Set;
use crate::types::sorted_set::SortedSet;
use crate::types::stream::Stream;
use crate::types::tests::{Sample, bytes};
use crate::undo::EffectUndo;
use crate::{Absent, Elements, Expiry, HashSeed, Keyspace, KeyspaceMut, OwnedEntry, Undo};

const DATABASES: u64 = 3;

type State = HashMap<(u32, Vec<u8>), OwnedEntry>;

/// Keeps what takes changes back.
#[derive(Default)]
struct Journal(Vec<(u32, Vec<u8>, Undo)>);

impl Sink for Journal {
    fn wants(&self) -> Wants {
        Wants { undo: true, events: false }
    }

    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        let Some(undo) = undo else { return };
        undo.each_key(effect, |db, key, undo| self.0.push((db, key.to_vec(), undo)));
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}
}

fn view(shards: &Shards, now_ms: u64) -> Keyspace<'_> {
    Keyspace::new(shards.lock(LockScope::All), now_ms)
}

fn state(shards: &Shards) -> State {
    let keyspace = view(shards, 0);
    let of = |db| {
        keyspace.stored_entries(db).map(move |entry| ((db, entry.key().to_vec()), OwnedEntry::of(entry)))
    };
    (0..DATABASES as u32).flat_map(of).collect()
}

fn sampled<C: Sample + Row>(keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>, random: &mut Random) {
    let len = keyspace.check::<C>(key).ok().flatten().map_or(0, |value| value.len());
    C::sample(random, len, &mut |op| _ = keyspace.apply_to::<C>(key, &op));
}

/// Changes a key, or two.
fn change(keyspace: &mut KeyspaceMut<'_, '_>, keys: u64, random: &mut Random) {
    let (first, second) = (random.below(keys).to_string(), random.below(keys).to_string());
    let shards = keyspace.locked().shards();
    let (db, to_db) = (random.below(DATABASES) as u32, random.below(DATABASES) as u32);
    let (key, other) = (shards.key(db, first.as_bytes()), shards.key(db, second.as_bytes()));
    let (text, event) = (bytes(random), Event::string("set"));
    match random.below(20) {
        0 | 1 => keyspace.set(&key, &text, Expiry::Clear, event),
        2 => keyspace.set(&key, &text, Expiry::At(500 + random.below(1000u64)), event),
        3 => _ = keyspace.increment(&key, 7),
        4 => _ = keyspace.append(&key, &text, 1 << 20),
        5 | 6 => _ = keyspace.delete(&key),
        7 => _ = keyspace.expire_at(&key, 500 + random.below(1000u64)),
        8 => _ = keyspace.persist(&key),
        9 => _ = keyspace.rename(&key, &other),
        10 => _ = keyspace.copy(&key, &other.in_db(to_db)),
        11 => _ = keyspace.move_to(&key, to_db),
        12 => _ = keyspace.move_element(&key, &other, Side::Head, Side::Tail),
        13 => {
            let many: Vec<String> = (0..300).map(|at| format!("member {at}")).collect();
            let many: Vec<&[u8]> = many.iter().map(|member| member.as_bytes()).collect();
            _ = keyspace.change::<Set, _>(&key, Absent::Create, |set| set.add(Elements::Many(&many)));
        }
        14 => sampled::<List>(keyspace, &key, random),
        15 => sampled::<Set>(keyspace, &key, random),
        16 | 17 => sampled::<Hash>(keyspace, &key, random),
        18 => sampled::<SortedSet>(keyspace, &key, random),
        _ => sampled::<Stream>(keyspace, &key, random),
    }
}

/// Something happens.
fn happen(shards: &Shards, keys: u64, now_ms: u64, random: &mut Random) {
    match random.below(400) {
        0 => {
            let mut keyspace = KeyspaceMut::new(view(shards, now_ms), None);
            let db = (!random.once_in(4)).then(|| random.below(DATABASES) as u32);
            keyspace.flush(db, 0);
            keyspace.finish().1.take_retired();
        }
        1 | 2 => {
            let mut keyspace = KeyspaceMut::new(view(shards, now_ms), None);
            keyspace.swap_db(random.below(DATABASES) as u32, random.below(DATABASES) as u32);
        }
        3..10 => {
            let shard = random.below(shards.count() as u64) as u16;
            let mut keyspace = KeyspaceMut::new(view(shards, now_ms), None);
            keyspace.expire_due(shard, 50);
            keyspace.finish().1.take_retired();
        }
        10..20 => {
            let shard = random.below(shards.count() as u64) as u16;
            let db = random.below(DATABASES) as u32;
            shards.lock(LockScope::One(shard)).move_entries(shard, db, 0, 50);
        }
        20..80 => {
            // As a script that begins again.
            let mut journal = Journal::default();
            let mut keyspace = KeyspaceMut::new(view(shards, 0).ignoring_expiry(true), Some(&mut journal));
            (0..random.below(5)).for_each(|_| change(&mut keyspace, keys, random));
            keyspace.finish().1.take_retired();
            let mut keyspace = KeyspaceMut::new(view(shards, 0).ignoring_expiry(true), None);
            for (db, key, undo) in journal.0.into_iter().rev() {
                keyspace.undo(&shards.key(db, &key), &undo);
            }
            keyspace.finish().1.take_retired();
        }
        _ => {
            let mut keyspace = KeyspaceMut::new(view(shards, now_ms), None);
            change(&mut keyspace, keys, random);
            keyspace.finish().1.take_retired();
        }
    }
}

/// All that a cut shows.
fn read(cut: &mut Cut, shards: &Shards, mut between: impl FnMut()) -> State {
    let mut seen = State::new();
    while let Some(entries) = cut.read(shards) {
        for shown in entries {
            let key = (shown.db, shown.entry().key().to_vec());
            let twice = seen.insert(key.clone(), OwnedEntry::of(shown.entry()));
            assert!(twice.is_none(), "{key:?} is shown twice");
        }
        between();
    }
    seen
}

fn begin(shards: &Shards) -> Option<Cut> {
    Cut::begin(&mut shards.lock(LockScope::All))
}

#[test]
fn a_cut_shows_each_key_once_as_it_was_whatever_happens_meanwhile() {
    let mut random = Random::from_environment();
    for round in 0..12u64 {
        let keys = [30, 300, 6000][round as usize % 3];
        let shards = Shards::new(4, DATABASES as usize, HashSeed::new([round, 2, 3]));
        (0..keys * 2).for_each(|_| happen(&shards, keys, 0, &mut random));
        let (before, mut cut) = (state(&shards), begin(&shards).expect("there is no other"));
        for db in 0..DATABASES as u32 {
            let of_db = before.iter().filter(|((of, _), _)| *of == db);
            let expiring = of_db.clone().filter(|(_, entry)| entry.expire_at_ms.is_some()).count();
            assert_eq!(cut.sizes(db).0, of_db.count());
            assert!(cut.sizes(db).1 == expiring);
        }
        assert!(begin(&shards).is_none(), "there is one at a time");
        let busy = random.below(60);
        let seen = read(&mut cut, &shards, || {
            (0..busy).for_each(|_| happen(&shards, keys, random.below(2000u64), &mut random));
        });
        assert!(seen.len() == before.len(), "round {round}: {} of {} keys", seen.len(), before.len());
        assert!(seen == before, "round {round}");
        // It has left nothing behind that the next one would see.
        let (before, mut next) = (state(&shards), begin(&shards).expect("the first one was read"));
        if random.once_in(2) {
            drop(next.read(&shards));
            (0..200).for_each(|_| happen(&shards, keys, 1000, &mut random));
            next.pass_over(&shards);
            let (before, mut last) = (state(&shards), begin(&shards).expect("the other was given up"));
            assert!(read(&mut last, &shards, || ()) == before, "round {round}, behind one that was given up");
        } else {
            assert!(read(&mut next, &shards, || ()) == before, "round {round}, once more");
        }
        assert!(!shards.lock(LockScope::All).is_observed());
    }
}

#[test]
fn a_key_is_kept_once_however_often_it_changes() {
    let shards = Shards::new(1, 1, HashSeed::new([1, 2, 3]));
    let key = shards.key(0, b"counter");
    let count = |by| _ = KeyspaceMut::new(view(&shards, 0), None).increment(&key, by);
    count(1);
    let mut cut = begin(&shards).expect("there is no other");
    (0..100).for_each(|_| count(1));
    assert_eq!(shards.lock_one(0).data(0).cut.as_ref().map(|cut| cut.kept.len()), Some(1));
    assert_eq!(read(&mut cut, &shards, || count(1)).len(), 1);
}
