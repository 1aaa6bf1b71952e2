//! What a write costs in the core alone: a key that only this node holds (fast path), and a key shared by two and by
//! three nodes, with all messages handed over in memory; and what a new key costs with and without a creation lease.
//! Words behind the number of writes choose some of it: `create`, `alone`, or `2X16` for two nodes, class X, 16 at once.
//! Prints nanoseconds per write in the best of many rounds, because what else runs on the machine only ever adds to one;
//! and messages per new key.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::time::Instant;

use swytch_cluster::*;

/// Keys have a hash at hand.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Keys that exist, without values.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    reply: Blob,
    held: HashSet<Key, BuildHasherDefault<AsItIs>>,
    aside: Aside,
}

impl Names {
    fn new() -> Self {
        Self { reply: Blob::new(b"x"), held: HashSet::default(), aside: Aside::default() }
    }

    fn hold(&mut self, key: &Key) {
        if !self.held.contains(key) {
            self.held.insert(key.clone());
        }
    }
}

impl Values for Names {
    type Undo = ();

    fn execute(&mut self, command: &Blob, keys: &[Key], _: Stamp) -> Executed<()> {
        keys.iter().for_each(|key| self.hold(key));
        Executed { reply: command.clone(), effects: vec![(0, command.clone())], undo: vec![(0, ())] }
    }

    fn read(&self, _: &Blob, _: &[Key], _: u64) -> Blob {
        self.reply.clone()
    }

    fn apply(&mut self, key: &Key, _: &Blob, _: Stamp) {
        self.hold(key);
    }

    fn undo(&mut self, _: &Key, (): ()) {}

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        self.held.contains(key).then(|| self.reply.clone())
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        match snapshot {
            Some(_) => self.hold(key),
            None => drop(self.held.remove(key)),
        }
    }

    fn holds(&self, key: &Key) -> bool {
        self.held.contains(key)
    }

    fn keys_in(&self, wanted: &dyn Fn(Slot) -> bool) -> Vec<Key> {
        let mut keys: Vec<Key> = self.held.iter().filter(|key| wanted(key.slot())).cloned().collect();
        keys.sort_unstable();
        keys
    }

    fn holds_twin(&self, _: &Key) -> bool {
        false
    }

    fn aside(&self) -> &Aside {
        &self.aside
    }

    fn aside_mut(&mut self) -> &mut Aside {
        &mut self.aside
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

const NOW: Time = Time { mono_ms: 100_000, wall_ms: 100_000 };

fn request(class: Class, key: &Key) -> Input {
    let (command, keys) = (Blob::new(b"x"), vec![key.clone()]);
    let (watches, local_read, watch) = (Vec::new(), false, false);
    Input::Client(Request { ticket: 1, class, keys, command, watches, local_read, watch, claims: None })
}

/// Clients that write at the same time, in the second figure: what comes while a batch is on its way is the next.
const TOGETHER: u32 = 16;

/// The writes are divided into this many rounds.
const ROUNDS: u32 = 200;

/// Gives all inputs to one node, then hands messages over until none is left.
///
/// Returns how many those were.
fn run(
    nodes: &mut [Node<Names>],
    at: usize,
    inputs: impl Iterator<Item = Input>,
    out: &mut Vec<Action>,
) -> u64 {
    for input in inputs {
        nodes[at].handle(NOW, input, out);
    }
    let mut messages = 0;
    while let Some(action) = out.pop() {
        if let Action::Send(envelope) = action {
            messages += 1;
            let to = usize::from(envelope.to.0);
            nodes[to].handle(NOW, Input::Message(envelope), out);
        }
    }
    messages
}

/// Creates keys of one slot at the node that is not its home.
fn create(writes: u32, leases_max: usize, copies: u8) {
    let members: NodeSet = (0..2).map(NodeId).collect();
    let limits = Limits { leases_max, ..Limits::default() };
    let config = |id| Config { limits, copies, ..Config::new(id) };
    let mut nodes: Vec<Node<Names>> =
        members.iter().map(|id| Node::in_view(config(id), Names::new(), members, NOW)).collect();
    let home = nodes[0].home_of(&Key::new(b"{slot}")).map_or(0, |home| usize::from(home.0));
    let mut out = Vec::new();
    let keys: Vec<Key> = (0..writes).map(|number| Key::new(format!("{{slot}}{number}").as_bytes())).collect();
    let started = Instant::now();
    let mut messages = 0;
    for key in &keys {
        messages += run(&mut nodes, 1 - home, std::iter::once(request(Class::W, key)), &mut out);
    }
    let each = started.elapsed().as_nanos() as f64 / f64::from(writes);
    let per_key = messages as f64 / f64::from(writes);
    let with = if leases_max == 0 { "without" } else { "with" };
    println!(
        "2 nodes, {copies} copies, new keys {with} a lease: {each:.0} ns and {per_key:.3} messages each"
    );
}

/// Writes to a key that only its node holds.
fn alone(what: &str, node: &mut Node<Names>, key: &Key, times: u32) {
    let time = |act: &mut dyn FnMut() -> bool| {
        let started = Instant::now();
        let done = (0..times).filter(|_| act()).count();
        started.elapsed().as_nanos() as f64 / done as f64
    };
    let writes = time(&mut || node.write_alone(black_box(key), Class::W, true));
    let decided = time(&mut || node.write_alone(black_box(key), Class::X, true));
    println!("alone, {what}: {writes:.1} ns per W, {decided:.1} per X");
}

fn main() {
    let mut now = NOW;
    let mut words = std::env::args().skip(1);
    let writes: u32 = words.next().and_then(|count| count.parse().ok()).unwrap_or(400_000);
    let only: Vec<String> = words.collect();
    let is_wanted = |what: &str| only.is_empty() || only.iter().any(|only| only == what);
    if is_wanted("create") {
        for (leases_max, copies) in
            [(0, 1), (Limits::default().leases_max, 1), (Limits::default().leases_max, 2)]
        {
            create(writes, leases_max, copies);
        }
    }
    let mut out = Vec::new();
    for count in 1..=3_u8 {
        let members: NodeSet = (0..count).map(NodeId).collect();
        let mut nodes: Vec<Node<Names>> =
            members.iter().map(|id| Node::in_view(Config::new(id), Names::new(), members, NOW)).collect();
        let key = Key::new(b"key");
        for at in 0..nodes.len() {
            let class = if at == 0 { Class::W } else { Class::Read };
            run(&mut nodes, at, std::iter::once(request(class, &key)), &mut out);
        }
        if count == 1 && !is_wanted("alone") {
            continue;
        }
        if count == 1 {
            alone("with a record", &mut nodes[0], &key, writes * 50);
            for _ in 0..2 {
                now.mono_ms += 2_000;
                nodes[0].handle(now, Input::Tick, &mut out);
            }
            alone("solo", &mut nodes[0], &key, writes * 50);
            continue;
        }
        for (class, together) in [(Class::W, 1), (Class::X, 1), (Class::W, TOGETHER), (Class::X, TOGETHER)] {
            if !is_wanted(&format!("{count}{class:?}{together}")) {
                continue;
            }
            let times = writes / ROUNDS / together;
            let rounds = (0..ROUNDS).map(|_| {
                let started = Instant::now();
                for _ in 0..times {
                    run(&mut nodes, 0, (0..together).map(|_| request(class, &key)), &mut out);
                }
                // What has ended leaves the line of what may become due, as it does in a server.
                for at in 0..nodes.len() {
                    run(&mut nodes, at, std::iter::once(Input::Tick), &mut out);
                }
                started.elapsed().as_nanos() as f64 / f64::from(times * together)
            });
            let each = rounds.fold(f64::INFINITY, f64::min);
            let others = f64::from(count - 1);
            println!(
                "{count} nodes, {class:?}, {together:2} at once: {each:.0} ns per write, {:.0} ns per subscriber",
                each / others
            );
        }
    }
}
