//! The views, their expiry and what observers hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::effect::{At, Effect, Elements, Event, Sink};
use crate::types::Op;
use crate::types::list::{List, Side};
use crate::undo::EffectUndo;
use crate::{HashSeed, Shards};

#[derive(Default)]
struct Heard(Vec<String>);

impl Sink for Heard {
    fn changed(&mut self, effect: &Effect<'_>, _: Option<EffectUndo>) {
        let name = match effect.at {
            At::Key { op: Op::Key(op), .. } => format!("{op:?}"),
            At::Key { op: Op::List(op), .. } => format!("{op:?}"),
            other => format!("{other:?}"),
        };
        self.0.push(format!("{} {}", effect.db, name.split([' ', '{']).next().unwrap_or_default()));
    }

    fn event(&mut self, _: u32, event: Event, key: &[u8]) {
        self.0.push(format!("{} {}", event.name, String::from_utf8_lossy(key)));
    }
}

fn shards() -> Shards {
    Shards::new(4, 2, HashSeed::new([1, 2, 3]))
}

/// Runs `act` at a time and returns what a listener heard.
fn heard(shards: &Shards, now_ms: u64, act: impl FnOnce(&mut KeyspaceMut<'_, '_>)) -> Vec<String> {
    let mut sink = Heard::default();
    let base = Keyspace::new(shards.lock(LockScope::All), now_ms);
    let mut keyspace = KeyspaceMut::new(base, Some(&mut sink));
    act(&mut keyspace);
    keyspace.finish();
    sink.0
}

#[test]
fn an_expired_key_is_gone_for_readers_and_removed_with_an_effect() {
    let shards = shards();
    let key = shards.key(0, b"k");
    heard(&shards, 0, |keyspace| keyspace.set(&key, b"v", Expiry::At(10), Event::string("set")));
    assert!(heard(&shards, 9, |keyspace| assert!(keyspace.exists(&key))).is_empty());
    let effects = heard(&shards, 10, |keyspace| assert!(!keyspace.exists(&key)));
    assert_eq!(effects, ["0 Delete", "expired k"]);
    heard(&shards, 0, |keyspace| assert_eq!(keyspace.sizes(0), (0, 0)));
}

#[test]
fn active_expiry_removes_what_is_due_without_a_reader() {
    let shards = shards();
    heard(&shards, 0, |keyspace| {
        for number in 0..1000u64 {
            let name = number.to_string();
            let key = shards.key(0, name.as_bytes());
            keyspace.set(&key, b"v", Expiry::At(100 + number), Event::string("set"));
        }
    });
    for shard in 0..4 {
        heard(&shards, 599, |keyspace| while keyspace.expire_due(shard, 10) {});
    }
    heard(&shards, 599, |keyspace| assert_eq!(keyspace.sizes(0), (500, 500)));
}

#[test]
fn popping_the_last_element_removes_the_key() {
    let shards = shards();
    let key = shards.key(0, b"l");
    let effects = heard(&shards, 0, |keyspace| {
        let elements = Elements::Many(&[b"a", b"b"]);
        let push = |list: &mut Editor<'_, List>| list.push(Side::Tail, elements);
        keyspace.change(&key, Absent::Create, push).expect("no other type");
        keyspace
            .change::<List, _>(&key, Absent::Leave, |list| list.pop(Side::Head, 5, |_| {}))
            .expect("a list");
        assert!(!keyspace.exists(&key));
    });
    assert_eq!(effects, ["new l", "0 Push", "rpush l", "0 Pop", "lpop l", "del l"]);
}

#[test]
fn a_watched_key_raises_its_flag_and_others_do_not() {
    let shards = shards();
    let flag = Arc::new(AtomicBool::new(false));
    let key = shards.key(0, b"watched");
    let mut locked = shards.lock(LockScope::All);
    locked.with_observers(shards.shard_of(&key), |observers| observers.watch(0, b"watched", &flag, false));
    drop(locked);
    let set = |name: &[u8], db: u32| {
        let base = Keyspace::new(shards.lock(LockScope::All), 0);
        let mut keyspace = KeyspaceMut::new(base, None);
        keyspace.set(&shards.key(db, name), b"v", Expiry::Clear, Event::string("set"));
    };
    set(b"other", 0);
    set(b"watched", 1);
    assert!(!flag.load(Ordering::Acquire));
    set(b"watched", 0);
    assert!(flag.load(Ordering::Acquire));
}

#[test]
#[should_panic(expected = "not among the locks")]
fn a_shard_that_is_not_locked_cannot_be_read() {
    let shards = shards();
    let key = shards.key(0, b"k");
    let other = (shards.shard_of(&key) + 1) % 4;
    Keyspace::new(shards.lock(LockScope::One(other)), 0).exists(&key);
}
