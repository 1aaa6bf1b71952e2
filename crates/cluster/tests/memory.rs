//! What keys cost the core besides their values, counted by an allocator: nothing at a node that holds a key alone, a hash
//! at the home of its slot, and nothing anywhere when it is gone.
//!
//! An allocator cannot be written without unsafe code.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicIsize, Ordering};

use swytch_cluster::*;

struct Counting;

static HELD_BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD_BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Keys with a value that costs nothing. `set` and `del`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(BTreeMap<(key::Slot, u64), Key>, Aside);

fn place(key: &Key) -> (key::Slot, u64) {
    (key.slot(), key.hash64())
}

impl Values for Names {
    type Undo = bool;

    fn execute(&mut self, command: &Blob, keys: &[Key], _: Stamp) -> Executed<bool> {
        let held = self.holds(&keys[0]);
        self.apply(&keys[0], command, Stamp::default());
        Executed { reply: command.clone(), effects: vec![(0, command.clone())], undo: vec![(0, held)] }
    }

    fn read(&self, _: &Blob, _: &[Key], _: u64) -> Blob {
        Blob::new(b"")
    }

    fn apply(&mut self, key: &Key, effect: &Blob, _: Stamp) {
        match effect.bytes() {
            b"set" => drop(self.0.insert(place(key), key.clone())),
            _ => drop(self.0.remove(&place(key))),
        }
    }

    fn undo(&mut self, key: &Key, held: bool) {
        self.apply(key, &Blob::new(if held { b"set" } else { b"del" }), Stamp::default());
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        self.holds(key).then(|| Blob::new(b""))
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        self.apply(key, &Blob::new(if snapshot.is_some() { b"set" } else { b"del" }), Stamp::default());
    }

    fn holds(&self, key: &Key) -> bool {
        self.0.contains_key(&place(key))
    }

    fn keys_in(&self, wanted: &dyn Fn(key::Slot) -> bool) -> Vec<Key> {
        let mut keys: Vec<Key> = self.0.values().filter(|key| wanted(key.slot())).cloned().collect();
        keys.sort_unstable();
        keys
    }

    fn holds_twin(&self, key: &Key) -> bool {
        self.0.get(&place(key)).is_some_and(|other| other != key)
    }

    fn aside(&self) -> &Aside {
        &self.1
    }

    fn aside_mut(&mut self) -> &mut Aside {
        &mut self.1
    }

    fn ready(&self, _: &Key) -> bool {
        false
    }

    fn expire(&self, _: &Key, _: u64) -> Option<Blob> {
        None
    }

    fn delete(&self, _: &Key) -> Option<Blob> {
        None
    }

    fn merge(&self, _: &MergeInput<'_>) -> Vec<Blob> {
        Vec::new()
    }

    fn digest(&self, _: &Key) -> u64 {
        0
    }
}

/// Two nodes of 64 partitions with a clock of their own.
struct Pair {
    nodes: [Node<Names>; 2],
    now_ms: u64,
    asked: u64,
}

impl Pair {
    fn new() -> Self {
        let members: NodeSet = (0..2).map(NodeId).collect();
        let now = Time { mono_ms: 100_000, wall_ms: 100_000 };
        let node = |id| {
            let config = Config { parts: 64, ..Config::new(NodeId(id)) };
            Node::in_view(config, Names::default(), members, now)
        };
        Self { nodes: [node(0), node(1)], now_ms: 100_000, asked: 0 }
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = Time { mono_ms: self.now_ms, wall_ms: self.now_ms };
        let mut out = Vec::new();
        self.nodes[node].handle(now, input, &mut out);
        while let Some(action) = out.pop() {
            if let Action::Send(envelope) = action {
                let mut bytes = Vec::new();
                wire::encode(&envelope, &mut bytes);
                let envelope: Envelope = wire::decode(&bytes).expect("it was encoded just now");
                let to = usize::from(envelope.to.0);
                self.nodes[to].handle(now, Input::Message(Box::new(envelope)), &mut out);
            }
        }
    }

    fn ask(&mut self, class: Class, name: &str, command: &[u8]) {
        self.asked += 1;
        let (keys, command) = (vec![Key::new(name.as_bytes())], Blob::new(command));
        let (watches, local_read, watch) = (Vec::new(), false, false);
        let request =
            Request { ticket: self.asked, class, keys, command, watches, local_read, watch, claims: None };
        self.input(0, Input::Client(request));
    }

    /// Lets time pass, and gives what the core holds at both nodes besides the values.
    fn rest(&mut self) -> isize {
        for _ in 0..400 {
            self.now_ms += 50;
            (0..2).for_each(|node| self.input(node, Input::Tick));
        }
        let before = HELD_BYTES.load(Ordering::Relaxed);
        let mut values = self.nodes[0].values().0.clone();
        values.values_mut().for_each(|key| *key = Key::new(key.bytes()));
        let of_values = HELD_BYTES.load(Ordering::Relaxed) - before;
        drop(values);
        before - of_values
    }
}

/// Short names in few slots, so many in each that its table has just grown.
fn names() -> impl Iterator<Item = String> {
    (0..KEYS).map(|number| format!("{{{}}}k{}", number % TAGS, number / TAGS))
}

const KEYS: isize = 225 * TAGS;

const TAGS: isize = 64;

/// A home's share: a hash and a holder in a table that has just grown, so that it is half empty, and its part of what a
/// slot costs.
const HOME_BYTES: isize = 25;

/// The room that the tables of all partitions keep, for however many keys.
const ROOM_BYTES: isize = 2 * 64 * 4_096;

#[test]
fn what_one_node_holds_costs_a_hash_at_its_home_and_what_is_gone_nothing() {
    let mut pair = Pair::new();
    let empty = pair.rest();
    names().for_each(|name| pair.ask(Class::W, &name, b"set"));
    names().for_each(|name| pair.ask(Class::X, &name, b"del"));
    let emptied = pair.rest();
    names().for_each(|name| pair.ask(Class::W, &name, b"set"));
    let held = (pair.rest() - emptied) / KEYS;
    assert_eq!((pair.nodes[0].recorded(), pair.nodes[1].recorded()), (0, 0));
    assert!(held <= HOME_BYTES, "{held} bytes a key");
    names().for_each(|name| pair.ask(Class::X, &name, b"del"));
    names().for_each(|name| pair.ask(Class::Read, &name, b"get"));
    let left = pair.rest() - empty;
    assert!(left <= ROOM_BYTES, "{left} bytes for keys that are gone");
    println!("{held} bytes for each key, {left} for all that are gone");
}
