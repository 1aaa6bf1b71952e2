//! What listeners hear of changed strings, and that it is enough to make the same strings elsewhere.

use swytch_testkit::Random;

use super::*;
use crate::effect::Elements;
use crate::effect::{At, Effect, KeyOp, Sink};
use crate::keyspace::{Absent, Keyspace};
use crate::shard::LockScope;
use crate::types::list::{List, Side};
use crate::undo::EffectUndo;
use crate::{HashSeed, Shards};

/// Effects in a form that outlives their command, and events.
#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Set(Vec<u8>, Vec<u8>, Option<UnixMs>),
    SetRange(Vec<u8>, u64, Vec<u8>),
    Append(Vec<u8>, Vec<u8>),
    IncrementBy(Vec<u8>, i64),
    Delete(Vec<u8>),
    Event(&'static str),
}

#[derive(Default)]
struct Listener(Vec<Heard>);

impl Sink for Listener {
    fn changed(&mut self, effect: &Effect<'_>, _: Option<EffectUndo>) {
        let At::Key { key, op } = effect.at else { panic!("not an effect on one key: {effect:?}") };
        self.0.push(match op {
            Op::String(StringOp::Set { value, expire_at_ms }) => {
                Heard::Set(key.into(), value.into(), expire_at_ms)
            }
            Op::String(StringOp::SetRange { offset, bytes }) => {
                Heard::SetRange(key.into(), offset, bytes.into())
            }
            Op::String(StringOp::Append { bytes }) => Heard::Append(key.into(), bytes.into()),
            Op::String(StringOp::IncrementBy { delta }) => Heard::IncrementBy(key.into(), delta),
            Op::Key(KeyOp::Delete) => Heard::Delete(key.into()),
            other => panic!("not an op that commands on strings make: {other:?}"),
        });
    }

    fn event(&mut self, _: u32, event: Event, _: &[u8]) {
        self.0.push(Heard::Event(event.name));
    }
}

fn shards() -> Shards {
    Shards::new(4, 1, HashSeed::new([1, 2, 3]))
}

/// Runs `act`; what was heard, and how many changes were counted.
fn heard(shards: &Shards, act: impl FnOnce(&mut KeyspaceMut<'_, '_>)) -> (Vec<Heard>, u64) {
    let mut listener = Listener::default();
    let base = Keyspace::new(shards.lock(LockScope::All), 0);
    let mut keyspace = KeyspaceMut::new(base, Some(&mut listener));
    act(&mut keyspace);
    let (_, changes) = keyspace.finish();
    (listener.0, changes.dirty)
}

fn apply(keyspace: &mut KeyspaceMut<'_, '_>, effect: &Heard) {
    let event = Event::string("replayed");
    match effect {
        Heard::Set(name, value, expire_at_ms) => {
            let (key, expiry) = (keyspace.key(0, name), expire_at_ms.map_or(Expiry::Clear, Expiry::At));
            keyspace.set(&key, value, expiry, event);
        }
        Heard::SetRange(name, offset, bytes) => {
            let key = keyspace.key(0, name);
            keyspace.set_range(&key, *offset, bytes, u64::MAX, event).expect("a string");
        }
        Heard::Append(name, bytes) => {
            let key = keyspace.key(0, name);
            keyspace.append(&key, bytes, u64::MAX).expect("a string");
        }
        Heard::IncrementBy(name, delta) => {
            let key = keyspace.key(0, name);
            keyspace.increment(&key, *delta).expect("a number");
        }
        Heard::Delete(name) => {
            let key = keyspace.key(0, name);
            keyspace.delete(&key);
        }
        Heard::Event(_) => {}
    }
}

const KEYS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// Every string with its expiry.
fn contents(shards: &Shards) -> Vec<Option<(Vec<u8>, Option<UnixMs>)>> {
    let keyspace = Keyspace::new(shards.lock(LockScope::All), 0);
    KEYS.iter()
        .map(|name| {
            let entry = keyspace.peek(&shards.key(0, name))?;
            Some((Text::of(entry.value()).expect("a string").to_vec(), entry.expire_at_ms()))
        })
        .collect()
}

#[test]
fn effects_make_the_same_strings_in_another_keyspace() {
    let (source, copy) = (shards(), shards());
    let mut random = Random::from_environment();
    for round in 0..4000 {
        let key = source.key(0, KEYS[random.below(3_usize)]);
        let len = random.below(30);
        let text: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let number = random.below(1000_i64) - 500;
        let (at, len_min) = (random.below(60_usize), 1 + random.below(80_usize));
        let choice = random.below(9);
        let (effects, _) = heard(&source, |keyspace| match choice {
            0 => keyspace.set(&key, &text, Expiry::Keep, Event::string("set")),
            1 => keyspace.set(&key, number.to_string().as_bytes(), Expiry::At(5), Event::string("set")),
            2 => keyspace.set_long(&key, &text.clone().into(), Expiry::Clear, Event::string("set")),
            3 => _ = keyspace.append(&key, &text, 500),
            4 => _ = keyspace.set_range(&key, at as u64, &text, 100, Event::string("setrange")),
            5 => _ = keyspace.increment(&key, number),
            6 => _ = keyspace.delete(&key),
            _ => {
                let edited = keyspace.edit_string(&key, len_min, Event::string("setbit"), |string| {
                    let piece = &text[..text.len().min(PIECE_BYTES_MAX)];
                    if at + piece.len() <= string.bytes().len() {
                        string.write(at, piece);
                        string.write(0, &[number as u8]);
                    }
                });
                edited.expect("every key holds a string");
            }
        });
        heard(&copy, |keyspace| effects.iter().for_each(|effect| apply(keyspace, effect)));
        assert_eq!(contents(&copy), contents(&source), "round {round}, choice {choice}: {effects:?}");
    }
}

#[test]
fn an_edit_that_changes_nothing_is_silent_and_one_with_several_pieces_one_event() {
    let shards = shards();
    let key = shards.key(0, b"a");
    let edit = |len_min: usize, pieces: &'static [(usize, &'static [u8])]| {
        heard(&shards, |keyspace| {
            let all =
                |string: &mut StringEdit<'_>| pieces.iter().for_each(|(at, bytes)| string.write(*at, bytes));
            keyspace.edit_string(&key, len_min, Event::string("setbit"), all).expect("a string");
        })
    };
    let piece = |offset, bytes: &[u8]| Heard::SetRange(b"a".to_vec(), offset, bytes.to_vec());
    let event = Heard::Event("setbit");
    // A new string has changed even where only zeros were written, or nothing.
    assert_eq!(
        edit(2, &[(0, b"\0")]),
        (vec![Heard::Event("new"), piece(0, b"\0"), piece(1, b"\0"), event.clone()], 1)
    );
    assert_eq!(edit(2, &[(0, b"\0\0")]), (vec![], 0));
    assert_eq!(
        edit(1, &[(0, b"x"), (0, b"x"), (1, b"y")]),
        (vec![piece(0, b"x"), piece(1, b"y"), event.clone()], 2)
    );
    assert_eq!(edit(4, &[]), (vec![piece(3, b"\0"), event], 1));
}

#[test]
fn limits_and_other_types_leave_everything_as_it_was() {
    let shards = shards();
    let (text, list) = (shards.key(0, b"a"), shards.key(0, b"b"));
    heard(&shards, |keyspace| {
        keyspace.set(&text, b"1234", Expiry::Clear, Event::string("set"));
    });
    let mut keyspace = KeyspaceMut::new(Keyspace::new(shards.lock(LockScope::All), 0), None);
    let push = |list: &mut crate::Editor<'_, List>| list.push(Side::Tail, Elements::One(b"x"));
    keyspace.change(&list, Absent::Create, push).expect("there is none");
    drop(keyspace);
    let (effects, dirty) = heard(&shards, |keyspace| {
        let event = Event::string("setrange");
        assert_eq!(keyspace.append(&text, b"567", 6), Err(GrowError::TooLong));
        assert_eq!(keyspace.set_range(&text, u64::MAX, b"x", 6, event), Err(GrowError::TooLong));
        assert_eq!(keyspace.set_range(&shards.key(0, b"c"), 6, b"x", 6, event), Err(GrowError::TooLong));
        assert_eq!(keyspace.append(&list, b"x", 6), Err(GrowError::WrongType));
        assert_eq!(keyspace.set_range(&list, 9, b"x", 6, event), Err(GrowError::WrongType));
        assert_eq!(keyspace.edit_string(&list, 1, event, |_| ()), Err(WrongType));
        assert_eq!(keyspace.string_len(&list), Err(WrongType));
        assert_eq!(keyspace.string_len(&text), Ok(Some(4)));
        assert_eq!(keyspace.string_len(&shards.key(0, b"c")), Ok(None));
    });
    assert_eq!((effects, dirty), (vec![], 0));
}
