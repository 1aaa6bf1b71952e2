//! The views, their expiry and what observers hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::effect::{Effect, EffectSink, Elements, Event};
use crate::types::list::Side;
use crate::{HashSeed, Shards};

#[derive(Default)]
struct Heard(Vec<String>);

impl EffectSink for Heard {
    fn record(&mut self, db: u32, effect: &Effect<'_>) {
        let name = format!("{effect:?}");
        self.0.push(format!("{db} {}", name.split([' ', '{']).next().unwrap_or_default()));
    }

    fn notify(&mut self, _: u32, event: Event, key: &[u8]) {
        self.0.push(format!("{} {}", event.name, String::from_utf8_lossy(key)));
    }
}

fn shards() -> Shards {
    Shards::new(4, 2, HashSeed::new([1, 2, 3]))
}

/// Runs `act` at a time and returns what a listener heard.
fn heard(shards: &Shards, now_ms: u64, act: impl FnOnce(&mut KeyspaceMut<'_, '_>)) -> Vec<String> {
    let mut sink = Heard::default();
    let base = Keyspace::new(shards.lock(LockScope::All), 0, now_ms);
    let mut keyspace = KeyspaceMut::new(base, Some(&mut sink));
    act(&mut keyspace);
    keyspace.finish();
    sink.0
}

#[test]
fn an_expired_key_is_gone_for_readers_and_removed_with_an_effect() {
    let shards = shards();
    let key = shards.key(b"k");
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
            let key = shards.key(name.as_bytes());
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
    let key = shards.key(b"l");
    let effects = heard(&shards, 0, |keyspace| {
        keyspace.list_push(&key, Side::Tail, Elements::Many(&[b"a", b"b"]), true).expect("no other type");
        keyspace.list_pop(&key, Side::Head, 5, |_| {}).expect("a list");
        assert!(!keyspace.exists(&key));
    });
    assert_eq!(effects, ["new l", "0 ListPush", "rpush l", "0 ListPop", "lpop l", "del l"]);
}

#[test]
fn a_watched_key_raises_its_flag_and_others_do_not() {
    let shards = shards();
    let flag = Arc::new(AtomicBool::new(false));
    let key = shards.key(b"watched");
    let mut locked = shards.lock(LockScope::All);
    locked.with_observers(shards.shard_of(&key), |observers| observers.watch(0, b"watched", &flag, false));
    drop(locked);
    let set = |name: &[u8], db: u32| {
        let mut base = Keyspace::new(shards.lock(LockScope::All), 0, 0);
        base.set_db(db);
        let mut keyspace = KeyspaceMut::new(base, None);
        keyspace.set(&shards.key(name), b"v", Expiry::Clear, Event::string("set"));
    };
    set(b"other", 0);
    set(b"watched", 1);
    assert!(!flag.load(Ordering::Acquire));
    set(b"watched", 0);
    assert!(flag.load(Ordering::Acquire));
}

#[test]
fn ranges_are_clamped_as_redis_does() {
    for (start, stop, expect) in [
        (0, -1, 0..5),
        (1, 2, 1..3),
        (-3, -2, 2..4),
        (-100, 100, 0..5),
        (3, 1, 3..3),
        (9, 12, 5..5),
        (0, -6, 0..0),
        (-100, -100, 0..0),
    ] {
        assert_eq!(write_list::clamp_range(start, stop, 5), expect, "{start} {stop}");
    }
}

#[test]
#[should_panic(expected = "not among the locks")]
fn a_shard_that_is_not_locked_cannot_be_read() {
    let shards = shards();
    let key = shards.key(b"k");
    let other = (shards.shard_of(&key) + 1) % 4;
    Keyspace::new(shards.lock(LockScope::One(other)), 0, 0).exists(&key);
}
