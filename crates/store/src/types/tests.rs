//! Every op of every type, done at random: done again on a copy it gives the same, and taken back it gives what was
//! there, in place and apart from the keyspace. A value's content builds an equal value.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

pub(crate) use swytch_testkit::random::Random;

use super::collection::{Face, Row};
use super::content::{Builder, Part, Value};
use super::limits::EncodingLimits;
use super::string::op::StringOp;
use super::{Op, OwnedValue, Type};
use crate::effect::{At, Effect, Event, KeyOp, Sink, Wants};
use crate::table::Figures;
use crate::undo::{EffectUndo, OwnedEntry, Undo};
use crate::{HashSeed, Key, Keyspace, KeyspaceMut, LockScope, Shards};

/// A short string of few kinds, so that equal ones meet; now and then a long one.
pub(crate) fn bytes(random: &mut Random) -> Vec<u8> {
    let length = if random.once_in(20) { 5_000 } else { random.below(4) };
    vec![b'x' + random.below(3_u8); length]
}

/// What a type's own tests say of its ops.
pub(crate) trait Sample: Row {
    /// The numbers of its ops.
    const TAGS: &'static [u8];

    /// Makes an op, which may fit a value of this length or not, and hands it to `act`.
    fn sample(random: &mut Random, len: usize, act: &mut dyn FnMut(Self::Op<'_>));
}

/// Walks a type.
pub(crate) fn walk_type<C: Sample>() {
    walk(C::TAGS, |random, len, act| C::sample(random, len, &mut |op| act(C::op(op))));
}

#[test]
fn strings_are_walked() {
    walk(&super::string::op::tag::ALL, |random, len, act| {
        let (bytes, number) = (bytes(random), random.below(9) as i64 - 4);
        let offset = random.below(len as u64 + 4);
        let expire_at_ms = (random.below(3) == 0).then_some(77);
        let digits = number.to_string();
        act(Op::String(match random.below(7) {
            0 => StringOp::Set { value: &bytes, expire_at_ms },
            1 => StringOp::Set { value: digits.as_bytes(), expire_at_ms },
            2 => StringOp::SetRange { offset, bytes: &bytes },
            3 => StringOp::SetBit { offset: offset as u32, bit: number > 0 },
            4 => StringOp::Append { bytes: &bytes },
            _ => StringOp::IncrementBy { delta: number },
        }));
    });
}

const NAME: &[u8] = b"key";

fn shards() -> Shards {
    Shards::new(1, 1, HashSeed::new([1, 2, 3]))
}

fn entry(shards: &Shards) -> Option<OwnedEntry> {
    Keyspace::new(shards.lock(LockScope::All), 0).stored(&shards.key(0, NAME)).map(OwnedEntry::of)
}

/// Does something on a keyspace where expired keys are visible.
fn change<R>(
    shards: &Shards,
    sink: Option<&mut dyn Sink>,
    act: impl FnOnce(&mut KeyspaceMut<'_, '_>, &Key<'_>) -> R,
) -> R {
    let view = Keyspace::new(shards.lock(LockScope::All), 0).ignoring_expiry(true);
    let mut keyspace = KeyspaceMut::new(view, sink);
    let result = act(&mut keyspace, &shards.key(0, NAME));
    let (_, mut left) = keyspace.finish();
    drop(left.take_retired());
    result
}

/// Does on another keyspace what it hears, and keeps what takes it back.
struct Follower<'s> {
    copy: &'s Shards,
    undos: Vec<Undo>,
    tags: BTreeSet<u8>,
}

impl Sink for Follower<'_> {
    fn wants(&self) -> Wants {
        Wants { undo: true, events: true }
    }

    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        let At::Key { op, .. } = effect.at else { panic!("{effect:?} is on more than one key") };
        self.tags.insert(op.tag());
        change(self.copy, None, |keyspace, key| op.apply(keyspace, key)).expect("what was done can be done");
        undo.expect("it was wanted").each_key(effect, |_, _, undo| self.undos.push(undo));
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}
}

fn walk(tags: &[u8], make: impl Fn(&mut Random, usize, &mut dyn FnMut(Op<'_>))) {
    let (mut asked, mut heard) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (source, copy) = (shards(), shards());
        for step in 0..40 {
            let before = entry(&source);
            let len = match before.as_ref().map(|entry| &entry.value) {
                Some(OwnedValue::String(text)) => text.len(),
                Some(other) => other.face().map_or(0, Face::len),
                None => 0,
            };
            let mut follower = Follower { copy: &copy, undos: Vec::new(), tags: BTreeSet::new() };
            let whole = before.clone();
            let mut act = |op: Op<'_>| {
                asked.insert(op.tag());
                let fits = change(&source, Some(&mut follower), |keyspace, key| op.apply(keyspace, key));
                if fits.is_err() {
                    assert_eq!(entry(&source), before, "seed {seed} step {step}: {op:?} did not fit");
                }
            };
            match random.below(16) {
                0 => act(Op::Key(KeyOp::Delete)),
                1 => act(Op::Key(KeyOp::ExpireAt { at_ms: random.below(3) })),
                2 => act(Op::Key(KeyOp::Persist)),
                3 => {
                    if let Some(OwnedEntry { value, .. }) = &whole {
                        act(Op::Key(KeyOp::Replace {
                            value: Some(Value::of(value)),
                            expire_at_ms: Some(step),
                        }));
                    }
                }
                _ => make(&mut random, len, &mut act),
            }
            let now = entry(&source);
            assert_eq!(now, entry(&copy), "seed {seed} step {step}: done again it gives something else");
            check_content(now.as_ref());
            check_figures(&source, now.as_ref());
            heard.append(&mut follower.tags);
            if random.below(3) == 0 {
                let mut apart = now;
                for undo in follower.undos.iter().rev() {
                    undo.roll_back(&mut apart);
                    for shards in [&source, &copy] {
                        change(shards, None, |keyspace, key| keyspace.undo(key, undo));
                        assert_eq!(
                            entry(shards),
                            apart,
                            "seed {seed} step {step}: {undo:?} in place and apart"
                        );
                        check_figures(shards, apart.as_ref());
                    }
                }
                assert_eq!(apart, before, "seed {seed} step {step}: not taken back");
            }
        }
    }
    assert!(tags.iter().all(|tag| asked.contains(tag)), "{tags:?} are not all among {asked:?}");
    assert!(heard.is_subset(&asked), "{heard:?} was said and is not among {asked:?}");
}

/// What the table counts is this entry.
fn check_figures(shards: &Shards, entry: Option<&OwnedEntry>) {
    let mut figures = Figures::default();
    Keyspace::new(shards.lock(LockScope::All), 0).add_to(&mut figures, 0, 0);
    let lengths = &figures.lengths;
    let counted: Vec<_> =
        Type::ALL.iter().flat_map(|kind| lengths.of(*kind).map(|class| (*kind, class))).collect();
    let expected = entry.map(|entry| {
        let (kind, len) = match (&entry.value, entry.value.face()) {
            (_, Some(face)) => (face.data_type(), face.len() as u64),
            (OwnedValue::String(text), None) => (Type::String, text.len() as u64),
            (value, None) => panic!("{value:?} is no string and has no face"),
        };
        (kind, (if len == 0 { 0 } else { 1 << len.ilog2() }, 1))
    });
    assert_eq!(counted, Vec::from_iter(expected));
    let expire_at_ms = entry.and_then(|entry| entry.expire_at_ms);
    assert_eq!(figures.expiring, usize::from(expire_at_ms.is_some()));
    assert_eq!(figures.time_to_live_ms(0), expire_at_ms.unwrap_or(0));
}

/// What the content shows builds an equal value.
fn check_content(entry: Option<&OwnedEntry>) {
    let Some(face) = entry.and_then(|entry| entry.value.face()) else { return };
    let mut builder = Builder::new(face.data_type(), EncodingLimits::default());
    let mut parts = 0;
    let shown = face.content(&mut |part| {
        parts += 1;
        builder.add(part).expect("of the same type");
        ControlFlow::Continue(())
    });
    assert_eq!((shown, parts), (ControlFlow::Continue(()), face.parts()));
    assert_eq!(Some(&builder.finish()), entry.map(|entry| &entry.value));
}

/// What no value has is refused at once, also where parts are gathered.
#[test]
fn a_part_that_no_value_has_is_refused_when_it_comes() {
    let field = |expire_at_ms| Part::Field { field: b"f", value: b"v", expire_at_ms };
    for (data_type, good, bad) in [
        (
            Type::SortedSet,
            Part::Scored { member: b"m", score: 1.0 },
            Part::Scored { member: b"n", score: f64::NAN },
        ),
        (Type::Hash, field(Some(5)), field(Some(u64::MAX))),
    ] {
        for new in [Builder::new, Builder::of_many] {
            let mut builder = new(data_type, EncodingLimits::default());
            assert!(builder.add(good).is_ok());
            assert!(builder.add(bad).is_err(), "{bad:?}");
            assert_eq!(builder.finish().face().map(Face::parts), Some(1), "{data_type:?}");
        }
    }
}

/// Parts in any order build what adding one after the other does, also where some are said twice: the last counts.
#[test]
fn many_parts_build_what_one_after_the_other_does() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let (limits, kinds) = (EncodingLimits::default(), if seed % 2 == 0 { 300 } else { u64::MAX });
        let names: Vec<String> =
            (0..[40, 200, 5_000][seed as usize % 3]).map(|_| random.below(kinds).to_string()).collect();
        for data_type in [Type::Set, Type::Hash, Type::SortedSet] {
            let mut built = match seed {
                0..3 => Builder::new(data_type, limits),
                _ => Builder::of_many(data_type, limits),
            };
            let mut added = OwnedValue::empty(data_type);
            for (at, name) in names.iter().enumerate() {
                let (name, value) = (name.as_bytes(), at.to_string());
                let part = match data_type {
                    Type::Set => Part::Member(name),
                    Type::Hash => {
                        let expire_at_ms = at.is_multiple_of(3).then_some(7 + at as u64);
                        Part::Field { field: name, value: value.as_bytes(), expire_at_ms }
                    }
                    _ => Part::Scored { member: name, score: (at % 100) as f64 },
                };
                built.add(part).expect("a part of the type");
                added.face_mut().expect("a collection").add(part, &limits).expect("a part of the type");
            }
            assert!(built.add(Part::Element(b"of a list")).is_err());
            assert!(built.finish() == added, "seed {seed}: {data_type:?}");
        }
    }
}
