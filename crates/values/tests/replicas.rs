//! Two replicas of real values: what one executes the other applies, takes back, folds, merges and snapshots.

use std::cmp::Ordering;
use std::sync::Arc;

use swytch_cluster::{
    Blob, Entry, Generation, History, Key, MergeBy, MergeInput, NodeId, Stamp, Step, Values, Version, ViewId,
};
use swytch_store::{
    Absent, Builder, Changes, Condition, Editor, Elements, EncodingLimits, Event, Expiry, Hash, HashOp,
    HashSeed, Keyspace, KeyspaceMut, List, ListOp, Marks, Op, OwnedEntry, OwnedValue, Part, References,
    Scored, Set, Shards, Side, SortedSet, Stream, StreamId, StringOp, Trim, TrimTo, Type,
};
use swytch_testkit::random::Random;
use swytch_values::{Host, Snapshot, StoreValues, wire};

/// Commands are numbers that say what to do at random.
struct Chaos;

fn side(random: &mut Random) -> Side {
    if random.once_in(2) { Side::Head } else { Side::Tail }
}

fn bytes(random: &mut Random) -> Vec<u8> {
    let length = if random.once_in(16) { 90 } else { random.below(4) };
    vec![b'x' + random.below(3_u8); length]
}

fn stream_id(random: &mut Random) -> StreamId {
    StreamId { ms: random.below(9_u64), sequence: random.below(3_u64) }
}

fn stream_chaos(
    random: &mut Random,
    keyspace: &mut KeyspaceMut<'_, '_>,
    key: &swytch_store::Key<'_>,
    choice: u64,
    element: &[u8],
) {
    let (one, ids) = (stream_id(random), [stream_id(random), stream_id(random)]);
    let group = [&b"g"[..], b"h"][random.below(2_usize)];
    let consumer = [&b"c"[..], b"d"][random.below(2_usize)];
    let references =
        [References::Keep, References::Keep, References::Delete, References::Respect][random.below(4_usize)];
    let absent = if choice < 27 { Absent::Create } else { Absent::Leave };
    _ = keyspace.change::<Stream, _>(key, absent, |stream| match choice {
        23..26 => {
            let last = stream.marks().last_id;
            let id = if one > last { Some(one) } else { last.next() };
            stream.append(id.expect("far from the end"), &[b"f", element]);
        }
        26 => _ = stream.create_group(group, one, random.once_in(2).then_some(3)),
        27 => _ = stream.remove(&ids, random.once_in(3)),
        28 => {
            let to = TrimTo::Len(random.below(3_u64));
            _ = stream.trim(Trim { to, by_pages: None, references });
        }
        29 => {
            let last_id = stream.top_id().max(one);
            stream.mark(Marks { last_id, max_deleted_id: ids[0], entries_added: 7 });
        }
        30 => _ = stream.drop_group(group),
        _ if stream.group(group).is_none() => {
            if random.once_in(2) {
                stream.configure(Some(9), None);
            } else {
                _ = stream.record(consumer, element, one, 2);
            }
        }
        31 => stream.set_group(group, one, None),
        32 => _ = stream.see_consumer(group, consumer, 5),
        33 => _ = stream.drop_consumer(group, consumer),
        34 => stream.deliver(group, consumer, (Some(7), 6), &ids.map(|id| (id, 1))),
        _ => _ = stream.acknowledge(group, &ids),
    });
}

impl Host for Chaos {
    fn execute(&mut self, command: &[u8], keys: &[Key], keyspace: &mut KeyspaceMut<'_, '_>) -> Vec<u8> {
        let mut random = Random::new(u64::from_be_bytes(command.try_into().expect("a number")));
        let shards = keyspace.locked().shards();
        let mut name = || keys[random.below(keys.len() as u64) as usize].bytes().to_vec();
        let (first, second) = (name(), name());
        let (key, other) = (shards.key(0, &first), shards.key(0, &second));
        let (element, more) = (bytes(&mut random), bytes(&mut random));
        let number = random.below(9) as i64 - 4;
        let event = Event::string("set");
        match random.below(50) {
            0 => {
                let expiry = [Expiry::Clear, Expiry::Keep, Expiry::At(70)][random.below(3) as usize];
                keyspace.set(&key, &element, expiry, event);
            }
            1 => keyspace.set(&key, number.to_string().as_bytes(), Expiry::Keep, event),
            2 | 3 => _ = keyspace.increment(&key, number),
            4 => _ = keyspace.append(&key, &element, 100_000),
            5 => _ = keyspace.set_range(&key, random.below(12), &element, 100_000, event),
            6 => {
                let offsets = [random.below(9) as usize, random.below(9) as usize];
                _ = keyspace.edit_string(&key, 12, event, |string| {
                    string.write(offsets[0], b"abc");
                    string.write(offsets[1], b"de");
                });
            }
            7 => _ = keyspace.delete(&key),
            8 => _ = keyspace.expire_at(&key, 60 + random.below(30)),
            9 => _ = keyspace.persist(&key),
            10 if first != second => _ = keyspace.rename(&key, &other),
            10 | 11 => _ = keyspace.copy(&key, &other),
            12 | 13 => {
                let elements: [&[u8]; 3] = [&element, &more, b"x"];
                let side = side(&mut random);
                let absent = if random.below(4) > 0 { Absent::Create } else { Absent::Leave };
                let push = |list: &mut Editor<'_, List>| list.push(side, Elements::Many(&elements));
                _ = keyspace.change(&key, absent, push);
            }
            choice @ 19..23 => {
                let digits = number.to_string();
                let members: [&[u8]; 3] = [&element, digits.as_bytes(), &more];
                let absent = if choice < 21 { Absent::Create } else { Absent::Leave };
                _ = keyspace.change::<Set, _>(&key, absent, |set| match choice {
                    19 | 20 => _ = set.add(Elements::Many(&members)),
                    21 => _ = set.remove(Elements::Many(&members)),
                    _ => _ = set.pop(1 + random.below(2) as usize, &mut || random.next()),
                });
            }
            choice @ 23..32 => {
                let (field, digits) = (&bytes(&mut random)[..], number.to_string());
                let fields = [[field, &element], [b"n", digits.as_bytes()], [&more, &element]];
                let absent = if choice < 26 { Absent::Create } else { Absent::Leave };
                _ = keyspace.change::<Hash, _>(&key, absent, |hash| match choice {
                    23 | 24 => _ = hash.set(&fields[..1 + random.below(3) as usize]),
                    25 | 26 => _ = hash.increment(if random.once_in(3) { field } else { b"n" }, number),
                    27 => _ = hash.remove(Elements::Many(&[field, b"n"])),
                    28 => hash.expire(Elements::Many(&[field, b"n"]), Some(60 + random.below(9))),
                    29 => hash.expire(Elements::Many(&[field, b"n"]), None),
                    30 => hash.forget(Elements::Many(&[field, b"n", b"x"]), 65),
                    _ => _ = hash.set_for(&fields[..1], true, Event::hash("hincrbyfloat")),
                });
            }
            choice @ 37..50 => stream_chaos(&mut random, keyspace, &key, choice - 14, &element),
            choice @ 32..37 => {
                let halves = |number: i64| number as f64 / 2.0;
                let scored = [
                    Scored { score: halves(number), member: &element },
                    Scored { score: halves(random.below(9) as i64), member: &more },
                    Scored { score: 1.0, member: b"x" },
                ];
                let is_new = [None, None, Some(true), Some(false)][random.below(4) as usize];
                let compares = [None, None, Some(Ordering::Less), Some(Ordering::Greater)];
                let when = Condition { is_new, compares: compares[random.below(4) as usize] };
                let absent = if choice < 35 { Absent::Create } else { Absent::Leave };
                let delta = if random.once_in(9) { f64::INFINITY } else { halves(number) };
                _ = keyspace.change::<SortedSet, _>(&key, absent, |set| match choice {
                    32 | 33 => _ = set.add(&scored, when),
                    34 => _ = set.increment(&element, delta, when),
                    35 => _ = set.remove(Elements::Many(&[&element, b"x"])),
                    _ => set.pop(side(&mut random), 1 + random.below(2) as usize, |_| {}),
                });
            }
            15 => _ = keyspace.move_element(&key, &other, side(&mut random), side(&mut random)),
            choice => {
                _ = keyspace.change::<List, _>(&key, Absent::Leave, |list| match choice {
                    14 => _ = list.pop(side(&mut random), random.below(4) as usize, |_| {}),
                    16 => _ = list.set(random.below(6) as usize, &element),
                    17 => _ = list.insert(b"x", random.below(2) == 0, &element),
                    _ if random.below(2) == 0 => _ = list.remove(number / 2, b"x"),
                    _ => list.trim(number, random.below(9) as i64 - 4),
                });
            }
        }
        Vec::new()
    }

    fn read(&self, _: &[u8], _: &[Key], _: &Keyspace<'_>) -> Vec<u8> {
        Vec::new()
    }

    fn left(&mut self, mut left: Changes) {
        drop(left.take_retired());
    }
}

type Store = StoreValues<Chaos>;

fn store() -> Store {
    StoreValues::new(Arc::new(Shards::new(2, 1, HashSeed::new([1, 2, 3]))), Chaos)
}

fn keys() -> Vec<Key> {
    ["a", "b", "c"].map(|name| Key::new(name.as_bytes())).to_vec()
}

/// A push of one element.
fn push(side: Side, element: &[u8]) -> Blob {
    wire::blob(&Op::List(ListOp::Push { side, elements: Elements::One(element) }))
}

fn command(number: u64) -> Blob {
    Blob::new(&number.to_be_bytes())
}

fn stamp(wall_ms: u64) -> Stamp {
    Stamp { wall_ms, logical: 0, node: NodeId(0) }
}

fn state(store: &Store) -> Vec<Option<OwnedEntry>> {
    keys().iter().map(|key| store.entry(key)).collect()
}

/// A log as a store is shown it; nothing in these tests comes from another creation of the key.
fn history(entries: &[Entry]) -> History<'_> {
    History { since: Stamp::default(), entries }
}

/// One side's history of one key.
#[derive(Clone)]
struct Line {
    log: Vec<Entry>,
    version: Version,
    view: ViewId,
}

impl Line {
    fn new(view: u64) -> Self {
        let view = ViewId::new(view, NodeId(view as u8));
        Self { log: Vec::new(), version: Version::default(), view }
    }

    fn write(&mut self, wall_ms: u64, effects: Vec<Blob>, step: Step) {
        let prior = self.version;
        self.version = Version { generation: Generation(1), epoch: self.view, seq: prior.seq + 1 };
        let stamp = Stamp { node: self.view.proposer(), ..stamp(wall_ms) };
        self.log.push(Entry { dot: self.version, stamp, effects, origin: None, prior, step });
    }

    fn execute(&mut self, values: &mut Store, key: &Key, number: u64, wall_ms: u64) {
        let executed = values.execute(&command(number), std::slice::from_ref(key), stamp(wall_ms));
        let effects = executed.effects.into_iter().map(|(_, effect)| effect).collect();
        self.write(wall_ms, effects, Step::Write);
    }
}

#[test]
fn what_one_executes_the_other_applies_and_both_take_it_back() {
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let (mut owner, mut follower) = (store(), store());
        let keys = keys();
        for step in 0..12 {
            let before = state(&owner);
            let number = random.next();
            let executed = owner.execute(&command(number), &keys, stamp(50 + step));
            if random.below(4) == 0 {
                for (index, undo) in executed.undo.into_iter().rev() {
                    owner.undo(&keys[index], undo);
                }
                assert_eq!(state(&owner), before, "seed {seed}: not taken back");
                continue;
            }
            for (index, effect) in &executed.effects {
                follower.apply(&keys[*index], effect, stamp(50 + step));
                let again = wire::read(effect.bytes(), wire::blob).expect("an op");
                assert_eq!(again, *effect, "seed {seed}: two forms of one op");
            }
            assert_eq!(state(&owner), state(&follower), "seed {seed}, command {number}");
            for key in &keys {
                assert_eq!(owner.digest(key), follower.digest(key));
            }
        }
        assert_eq!((owner.misfits(), follower.misfits()), (0, 0), "seed {seed}");
    }
}

/// A store keeps the state where a log starts, through writes and settling, whatever it keeps it as; a snapshot carries
/// it over.
#[test]
fn a_log_leads_from_its_start_to_the_value() {
    for seed in 0..3_000 {
        let mut random = Random::new(seed ^ 0x5eed);
        let key = Key::new(b"a");
        let mut store = store();
        let mut line = Line::new(1);
        for step in 0..40 {
            line.execute(&mut store, &key, random.next(), step);
            match random.below(6) {
                0 | 1 => {
                    let count = random.below(line.log.len() as u64 + 1) as usize;
                    let settled: Vec<Entry> = line.log.drain(..count).collect();
                    if count > 0 {
                        store.settle(&key, history(&settled), &line.log);
                    }
                }
                2 => {
                    let snapshot = store.snapshot(&key);
                    store = crate::store();
                    store.install(&key, snapshot.as_ref());
                }
                _ => {}
            }
            // A merge with nothing new; that the log leads to the value is asserted within.
            let (ours, our_version, their_version) = (history(&line.log), line.version, line.version);
            let by = MergeBy::Logs { ours, our_version, theirs: &[], their_version };
            let effects = store.merge(&MergeInput { key: &key, by });
            assert_eq!(effects, Vec::<Blob>::new(), "seed {seed}, step {step}");
        }
    }
}

/// Both sides of a fork come to the same value, whoever merges, folded or not.
#[test]
fn forks_merge_to_one_value_whoever_merges_and_whatever_was_folded() {
    for seed in 0..1_500 {
        let mut random = Random::new(seed ^ 0xf04c);
        let key = Key::new(b"a");
        let mut sides = [(store(), Line::new(2)), (store(), Line::new(3))];
        for step in 0..16 {
            let (values, line) = &mut sides[random.below(2) as usize];
            line.execute(values, &key, random.next(), step);
        }
        let merged = |own: &(Store, Line), other: &(Store, Line)| {
            let by = MergeBy::Logs {
                ours: history(&own.1.log),
                our_version: own.1.version,
                theirs: &other.1.log,
                their_version: other.1.version,
            };
            let effects = own.0.merge(&MergeInput { key: &key, by });
            let snapshot = own.0.snapshot(&key);
            let mut merged = store();
            merged.install(&key, snapshot.as_ref());
            effects.iter().for_each(|effect| merged.apply(&key, effect, stamp(99)));
            merged.entry(&key)
        };
        let [first, second] = &sides;
        if first.1.log.is_empty() || second.1.log.is_empty() {
            continue;
        }
        let one = merged(first, second);
        assert_eq!(one, merged(second, first), "seed {seed}");
        let mut folded = (store(), first.1.clone());
        folded.0.install(&key, first.0.snapshot(&key).as_ref());
        if let Some(effects) = first.0.fold(&key, history(&first.1.log), 0..first.1.log.len()) {
            for (entry, effects) in folded.1.log.iter_mut().zip(effects) {
                entry.effects = effects;
            }
            assert_eq!(one, merged(&folded, second), "seed {seed}: folded");
            // A copy that has none of it gets there as well.
            let mut late = store();
            for entry in &folded.1.log {
                entry.effects.iter().for_each(|effect| late.apply(&key, effect, entry.stamp));
            }
            assert_eq!(late.entry(&key), first.0.entry(&key), "seed {seed}: folded and applied");
        }
    }
}

#[test]
fn bytes_that_are_no_change_harm_nobody_and_are_counted() {
    let key = Key::new(b"a");
    let mut values = store();
    values.apply(&key, &wire::blob(&Op::String(StringOp::Append { bytes: b"text" })), stamp(1));
    for bytes in [
        &b""[..],
        b"\xff",
        b"\x01",
        b"\x07\x00\xff\xff\xff\xff\x0f",
        b"\x02\xff\xff\xff\xff\xff\xff\x7f\x01x",
    ] {
        values.apply(&key, &Blob::new(bytes), stamp(2));
    }
    // Of another type, or out of range.
    values.apply(&key, &wire::blob(&Op::List(ListOp::RemoveAt { index: 3 })), stamp(2));
    values.apply(&key, &wire::blob(&Op::String(StringOp::IncrementBy { delta: 1 })), stamp(2));
    values.install(&Key::new(b"b"), Some(&Blob::new(b"\x02\x00\x00")));
    assert_eq!(values.misfits(), 8);
    let text = OwnedEntry { value: OwnedValue::String(b"text".to_vec()), expire_at_ms: None };
    assert_eq!(values.entry(&key), Some(text));
}

#[test]
fn snapshots_have_one_form() {
    let mut list = Builder::new(Type::List, EncodingLimits::default());
    for element in [&b"a"[..], b""] {
        list.add(Part::Element(element)).expect("a list has elements");
    }
    let list = list.finish();
    let entries = [
        None,
        Some(OwnedEntry { value: OwnedValue::String(b"12".to_vec()), expire_at_ms: Some(7) }),
        Some(OwnedEntry { value: list, expire_at_ms: None }),
    ];
    for now in &entries {
        for start in entries.iter().map(|entry| Some(entry.clone())).chain([None]) {
            let snapshot = Snapshot { now: now.clone(), start };
            let blob = snapshot.blob();
            assert_eq!(Snapshot::decode(blob.bytes()), Ok(snapshot));
            for length in 0..blob.bytes().len() {
                assert!(Snapshot::decode(&blob.bytes()[..length]).is_err());
            }
        }
    }
}

#[test]
fn expiry_and_eviction_are_deletions_that_somebody_orders() {
    let key = Key::new(b"a");
    let mut values = store();
    values.apply(
        &key,
        &wire::blob(&Op::String(StringOp::Set { value: b"v", expire_at_ms: Some(100) })),
        stamp(1),
    );
    assert_eq!(values.expire(&key, 99), None);
    let deletion = values.expire(&key, 100).expect("its time is over");
    assert!(values.entry(&key).is_some(), "a replica waits for the owner");
    values.apply(&key, &deletion, stamp(101));
    assert_eq!((values.entry(&key), values.delete(&key), values.misfits()), (None, None, 0));
    assert!(!values.ready(&key));
    values.apply(&key, &push(Side::Tail, b"e"), stamp(102));
    assert!(values.ready(&key));
}

#[test]
fn fields_expire_by_a_change_that_somebody_orders() {
    let key = Key::new(b"a");
    let mut values = store();
    let mut apply = |op: HashOp<'_>| values.apply(&key, &wire::blob(&Op::Hash(op)), stamp(1));
    apply(HashOp::Set { fields: &[[b"f", b"1"], [b"g", b"2"]], keep_ttl: false });
    apply(HashOp::Expire { fields: Elements::One(b"f"), at_ms: Some(100) });
    assert_eq!(values.expire(&key, 99), None);
    let removal = values.expire(&key, 100).expect("the time of a field is over");
    let both = values.entry(&key);
    values.apply(&key, &removal, stamp(101));
    assert_ne!(values.entry(&key), both);
    let rest = wire::blob(&Op::Hash(HashOp::Remove { fields: Elements::One(b"g") }));
    values.apply(&key, &rest, stamp(102));
    assert_eq!((values.entry(&key), values.misfits()), (None, 0));
}

/// However long a log becomes, the state where it starts can be told, and what is kept for that does not outgrow the
/// value by much.
#[test]
fn the_start_of_a_long_log_is_kept() {
    let key = Key::new(b"a");
    let mut values = store();
    values.apply(&key, &push(Side::Tail, b"first"), stamp(1));
    values.settle(&key, history(&[]), &[]);
    let first = values.entry(&key);
    for step in 0..2_000 {
        values.apply(&key, &push(Side::Head, &[b'x'; 100]), stamp(step));
        values.apply(&key, &push(Side::Tail, &[b'y'; 100]), stamp(step));
        if step % 3 == 0 {
            values.apply(
                &key,
                &wire::blob(&Op::List(ListOp::Pop { side: Side::Head, count: 1 })),
                stamp(step),
            );
        }
    }
    let snapshot = values.snapshot(&key).expect("there is a value");
    assert_eq!(Snapshot::decode(snapshot.bytes()).expect("a snapshot").start, Some(first));
}
