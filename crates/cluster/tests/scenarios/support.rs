//! A cluster in one process for scenario tests: first-in-first-out links that can be cut, one clock.
//!
//! Values are sets of words with three commands: `add w`, `take` (the smallest word: an X), `swap w` (replaces all,
//! an X that replies with the old words), `more n` (adds to the number that stands among the words as `#number`), `set w`
//! (of those words the one set last stands among the others as `=w`); a read lists the words, and `watch` wants their
//! version as well. Writes on keys whose names begin with `once` are decided once.

#![allow(unreachable_pub, reason = "a test module shared by inclusion")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use swytch_cluster::wire::Stored;
use swytch_cluster::*;

/// Sets of words. Adds win over concurrent removals; a merge adds the loser's words and removes what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Words(pub BTreeMap<Key, BTreeSet<String>>, pub Aside);

fn text(blob: &Blob) -> String {
    String::from_utf8(blob.bytes().to_vec()).expect("words are text")
}

/// What an entry does; the start of another creation of the key adds what that was then.
fn changes(entry: &Entry) -> Vec<String> {
    let effects = entry.effects.iter().map(text);
    if entry.step != Step::Start {
        return effects.collect();
    }
    let words: Vec<String> =
        effects.flat_map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let change =
        |word: &String| word.strip_prefix('=').map_or(format!("add {word}"), |word| format!("set {word}"));
    words.iter().map(change).collect()
}

fn id(entry: &Entry) -> Option<OpId> {
    entry.origin.as_ref().map(|origin| origin.id)
}

impl Words {
    fn run(&mut self, key: &Key, effect: &str) {
        let words = self.0.entry(key.clone()).or_default();
        match effect.split_once(' ') {
            Some(("add", word)) => {
                words.insert(word.into());
            }
            Some(("rem", word)) => {
                words.remove(word);
            }
            Some(("more", more)) => {
                let number = words.iter().find_map(|word| word.strip_prefix('#')?.parse::<u64>().ok());
                words.retain(|word| !word.starts_with('#'));
                words.insert(format!("#{}", number.unwrap_or(0) + more.parse::<u64>().expect("a number")));
            }
            Some(("set", word)) => {
                words.retain(|word| !word.starts_with('='));
                words.insert(format!("={word}"));
            }
            Some(("all", list)) => *words = list.split_whitespace().map(Into::into).collect(),
            _ => words.clear(),
        }
        if words.is_empty() {
            self.0.remove(key);
        }
    }

    fn list(&self, key: &Key) -> String {
        self.0.get(key).map(|words| words.iter().cloned().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    }
}

impl Values for Words {
    type Undo = String;

    fn execute(&mut self, command: &Blob, keys: &[Key], _: Stamp) -> Executed<String> {
        let command = text(command);
        let mut executed = Executed { reply: "OK".into(), effects: Vec::new(), undo: Vec::new() };
        for (index, key) in keys.iter().enumerate() {
            let before = self.list(key);
            let effect = match command.split_once(' ') {
                Some(("swap", list)) => {
                    executed.reply = before.as_str().into();
                    format!("all {list}")
                }
                Some(_) => command.clone(),
                None => {
                    let first = before.split(' ').next().unwrap_or_default().to_string();
                    executed.reply = first.as_str().into();
                    if first.is_empty() {
                        continue;
                    }
                    format!("rem {first}")
                }
            };
            self.run(key, &effect);
            executed.effects.push((index, effect.as_str().into()));
            executed.undo.push((index, before));
        }
        executed
    }

    fn read(&self, _: &Blob, keys: &[Key], _: u64) -> Blob {
        keys.iter().map(|key| self.list(key)).collect::<Vec<_>>().join("|").as_str().into()
    }

    fn apply(&mut self, key: &Key, effect: &Blob, _: Stamp) {
        self.run(key, &text(effect));
    }

    fn undo(&mut self, key: &Key, undo: String) {
        self.run(key, &format!("all {undo}"));
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        self.0.contains_key(key).then(|| self.list(key).as_str().into())
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        let list = snapshot.map(text).unwrap_or_default();
        self.run(key, &format!("all {list}"));
    }

    fn holds(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    fn keys_in(&self, wanted: &dyn Fn(Slot) -> bool) -> Vec<Key> {
        self.0.keys().filter(|key| wanted(key.slot())).cloned().collect()
    }

    fn aside(&self) -> &Aside {
        &self.1
    }

    fn aside_mut(&mut self) -> &mut Aside {
        &mut self.1
    }

    fn is_decided_once(&self, key: &Key) -> bool {
        key.bytes().starts_with(b"once")
    }

    fn share(&self, command: &Blob, _: usize) -> Option<Blob> {
        text(command).starts_with("add ").then(|| command.clone())
    }

    fn join(&self, _: &Blob, replies: Vec<Blob>) -> Blob {
        replies.iter().map(text).collect::<Vec<_>>().join(" ").as_str().into()
    }

    fn ready(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    fn expire(&self, key: &Key, _: u64) -> Option<Blob> {
        self.0.get(key).filter(|words| words.contains("mortal")).map(|_| "none".into())
    }

    fn delete(&self, key: &Key) -> Option<Blob> {
        self.0.contains_key(key).then(|| "none".into())
    }

    fn merge(&self, fork: &MergeInput<'_>) -> Vec<Blob> {
        match fork.by {
            MergeBy::Logs { ours, theirs, .. } => {
                let is_new = |entry: &&Entry| {
                    !matches!(entry.step, Step::Merge(_))
                        && (entry.origin.is_none() || ours.entries.iter().all(|own| id(own) != id(entry)))
                };
                let sets = |entry: &Entry| changes(entry).iter().any(|change| change.starts_with("set "));
                let since = ours.entries.iter().filter(|entry| sets(entry)).map(|entry| entry.stamp).max();
                // What began with nothing has not seen the state where this log starts.
                let mut unrelated = BTreeSet::new();
                let mut effects = Vec::new();
                for entry in theirs.iter().filter(is_new) {
                    if entry.prior.seq == 0 || unrelated.contains(&entry.prior) {
                        unrelated.insert(entry.dot);
                    }
                    let seen = since.max(unrelated.contains(&entry.dot).then_some(ours.since));
                    let counts = |change: &String| match change.split_once(' ') {
                        Some(("all", _)) => false,
                        Some(("set", _)) => Some(entry.stamp) > seen,
                        _ => true,
                    };
                    effects.extend(
                        changes(entry).into_iter().filter(counts).map(|change| change.as_str().into()),
                    );
                }
                effects
            }
            MergeBy::Whole { value } => {
                vec![format!("all {}", value.map(text).unwrap_or_default()).as_str().into()]
            }
        }
    }

    /// Of each word the last effect stays, and of the number one that adds all.
    fn fold(&self, _: &Key, log: History<'_>, stretch: Range<usize>) -> Option<Vec<Vec<Blob>>> {
        let mut effects: Vec<Vec<Blob>> =
            log.entries[stretch].iter().map(|entry| entry.effects.clone()).collect();
        let (mut later, mut number) = (BTreeSet::new(), 0);
        for effect in effects.iter_mut().rev() {
            effect.retain(|effect| match text(effect).split_once(' ') {
                Some(("add" | "rem", word)) => later.insert(word.to_owned()),
                Some(("more", more)) => {
                    number += more.parse::<u64>().expect("a number");
                    false
                }
                Some(("set", _)) => later.insert("=".to_owned()),
                _ => true,
            });
        }
        if number > 0 {
            effects.last_mut()?.push(format!("more {number}").as_str().into());
        }
        Some(effects)
    }

    fn digest(&self, key: &Key) -> u64 {
        self.list(key).bytes().fold(0, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)))
    }
}

pub type Outcome = Result<Answer, ClientError>;

pub struct Cluster {
    pub nodes: BTreeMap<NodeId, Node<Words>>,
    pub wire: VecDeque<Envelope>,
    pub now: u64,
    pub cut: BTreeSet<(NodeId, NodeId)>,
    /// Links that heartbeats pass, and nothing else.
    pub grey: BTreeSet<(NodeId, NodeId)>,
    pub replies: BTreeMap<u64, Outcome>,
    pub woken: Vec<u64>,
    pub evicted: Vec<(NodeId, Key, Evicted)>,
    pub evacuated: Vec<NodeId>,
    /// What nodes have written down.
    pub disks: BTreeMap<NodeId, Durable>,
    ticket: u64,
}

/// What the nodes of a scenario are set up with, besides what the scenario itself wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// The partitions of each node; a scenario that is about several says so itself.
    pub parts: Option<u16>,
    pub mutant: Option<Mutant>,
}

thread_local! {
    static SETUP: Cell<Setup> = const { Cell::new(Setup { parts: None, mutant: None }) };
}

/// Plays a scenario with this setup.
pub fn with_setup<T>(setup: Setup, scenario: impl FnOnce() -> T) -> T {
    SETUP.set(setup);
    let played = scenario();
    SETUP.set(Setup::default());
    played
}

/// The configuration of a node.
pub fn config(node: u8) -> Config {
    let setup = SETUP.get();
    let (parts, timers) = (setup.parts.unwrap_or(1), Timers::of_any_clocks());
    Config { parts, timers, mutant: setup.mutant, ..Config::new(NodeId(node)) }
}

/// A key of this name, or the one of some twins that is meant: `twin-TAG-NUMBER`; `N:NAME` in database N.
pub fn key(name: &str) -> Key {
    if let Some((database, name)) = name.split_once(':') {
        return key(name).in_space(Space(database.parse().expect("a number")));
    }
    let twin = name.strip_prefix("twin-").and_then(|twin| twin.split_once('-'));
    let twin = twin.and_then(|(tag, number)| Some((tag.chars().next()?, number.parse().ok()?)));
    twin.map_or_else(|| Key::new(name.as_bytes()), |(tag, number)| Key::twin(tag, number))
}

impl Cluster {
    pub fn new(count: u8) -> Self {
        Self::with(count, |_| {})
    }

    pub fn with(count: u8, adjust: impl Fn(&mut Config)) -> Self {
        let members: NodeSet = (0..count).map(NodeId).collect();
        let mut cluster = Self::empty();
        for node in members.iter() {
            let mut config = config(node.0);
            adjust(&mut config);
            let started = Node::in_view(config, Words::default(), members, cluster.time());
            cluster.disks.insert(node, started.durable());
            cluster.nodes.insert(node, started);
        }
        cluster
    }

    pub fn empty() -> Self {
        Self {
            nodes: BTreeMap::new(),
            wire: VecDeque::new(),
            now: 100_000,
            cut: BTreeSet::new(),
            grey: BTreeSet::new(),
            replies: BTreeMap::new(),
            woken: Vec::new(),
            evicted: Vec::new(),
            evacuated: Vec::new(),
            disks: BTreeMap::new(),
            ticket: 0,
        }
    }

    pub fn time(&self) -> Time {
        Time { mono_ms: self.now, wall_ms: self.now }
    }

    pub fn input(&mut self, node: u8, input: Input) {
        let time = self.time();
        self.change(node, |node, out| node.handle(time, input, out));
    }

    /// The node starts an attempt at a view of these nodes, whatever it hears.
    pub fn attempt(&mut self, node: u8, candidates: &[u8]) {
        let time = self.time();
        let candidates = candidates.iter().map(|node| NodeId(*node)).collect();
        self.change(node, |node, out| node.propose_view(time, candidates, out));
    }

    fn change(&mut self, node: u8, change: impl FnOnce(&mut Node<Words>, &mut Vec<Action>)) {
        let mut out = Vec::new();
        let Some(target) = self.nodes.get_mut(&NodeId(node)) else { return };
        change(target, &mut out);
        for action in out {
            match action {
                Action::Send(envelope) => {
                    // Everything crosses the wire form on its way.
                    let mut bytes = Vec::new();
                    wire::encode(&envelope, &mut bytes);
                    assert_eq!(wire::decode(&bytes).as_ref(), Ok(&*envelope));
                    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                        assert!(
                            wire::decode::<Envelope>(&bytes[..length]).is_err(),
                            "a part of a message is no message"
                        );
                    }
                    bytes.push(0);
                    assert_eq!(wire::decode::<Envelope>(&bytes), Err(wire::WireError::Trailing));
                    self.wire.push_back(*envelope);
                }
                Action::Reply { ticket, result } => {
                    assert!(self.replies.insert(ticket, result).is_none(), "answered twice");
                }
                Action::Wake { ticket } => self.woken.push(ticket),
                Action::Evict { key, outcome } => self.evicted.push((NodeId(node), key, outcome)),
                Action::Evacuated => self.evacuated.push(NodeId(node)),
                Action::Persist(durable) => {
                    let read = Durable::decode(&durable.encode()).expect("it was written just now");
                    self.disks.insert(NodeId(node), read);
                }
                Action::View { .. } | Action::Greet { .. } | Action::Nameless => {}
            }
        }
    }

    pub fn deliver_all(&mut self) {
        self.deliver_but(|_| false);
    }

    /// Delivers everything but the messages that are `lost`.
    pub fn deliver_but(&mut self, lost: impl Fn(&Message) -> bool) {
        let mut steps = 0;
        while let Some(envelope) = self.wire.pop_front() {
            steps += 1;
            assert!(steps < 200_000, "messages without end: {envelope:?}");
            let link = (envelope.from, envelope.to);
            let is_grey = self.grey.contains(&link) && !matches!(envelope.message, Message::Heartbeat { .. });
            if !self.cut.contains(&link) && !is_grey && !lost(&envelope.message) {
                self.input(envelope.to.0, Input::Message(Box::new(envelope)));
            }
        }
    }

    /// Delivers everything and lets time pass.
    pub fn run(&mut self, ms: u64) {
        self.run_but(ms, |_| false);
    }

    /// As [`Self::run`]; some messages are `lost`.
    pub fn run_but(&mut self, ms: u64, lost: impl Fn(&Message) -> bool) {
        self.deliver_but(&lost);
        for _ in 0..ms / 50 {
            self.now += 50;
            for node in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.input(node.0, Input::Tick);
            }
            self.deliver_but(&lost);
        }
    }

    pub fn submit(&mut self, node: u8, class: Class, keys: &[&str], command: &str) -> u64 {
        self.submit_watching(node, class, keys, command, Vec::new())
    }

    pub fn submit_watching(
        &mut self,
        node: u8,
        class: Class,
        keys: &[&str],
        command: &str,
        watches: Vec<(Key, Watch)>,
    ) -> u64 {
        self.ticket += 1;
        let ticket = self.ticket;
        let keys = keys.iter().map(|name| key(name)).collect();
        let (command, watch) = (command.into(), command == "watch");
        let request =
            Request { ticket, class, keys, command, watches, local_read: false, watch, claims: None };
        self.input(node, Input::Client(request));
        ticket
    }

    /// Runs one operation to its end.
    pub fn op(
        &mut self,
        node: u8,
        class: Class,
        keys: &[&str],
        command: &str,
    ) -> Result<String, ClientError> {
        let ticket = self.submit(node, class, keys, command);
        for _ in 0..150 {
            self.deliver_all();
            if let Some(result) = self.replies.get(&ticket) {
                return result.clone().map(|answer| text(&answer.reply));
            }
            self.run(50);
        }
        panic!("operation {command} on {keys:?} was never answered");
    }

    /// A client that was woken takes what it has waited for.
    pub fn claim(&mut self, node: u8, name: &str, claims: u64) -> u64 {
        self.ticket += 1;
        let (ticket, class, keys, command) = (self.ticket, Class::X, vec![key(name)], "take".into());
        let (watches, claims) = (Vec::new(), Some(claims));
        let request =
            Request { ticket, class, keys, command, watches, local_read: false, watch: false, claims };
        self.input(node, Input::Client(request));
        ticket
    }

    /// What a client was told.
    pub fn told(&self, ticket: u64) -> Option<Result<String, ClientError>> {
        self.replies.get(&ticket).map(|result| result.clone().map(|answer| text(&answer.reply)))
    }

    /// Asks for another keyspace.
    pub fn ask_change(&mut self, node: u8, change: Change) -> u64 {
        self.ticket += 1;
        let ticket = self.ticket;
        self.input(node, Input::Change { ticket, change });
        ticket
    }

    /// Changes the keyspace.
    pub fn change_databases(&mut self, node: u8, change: Change) -> Result<(), ClientError> {
        let ticket = self.ask_change(node, change);
        for _ in 0..150 {
            self.deliver_all();
            if let Some(result) = self.replies.get(&ticket) {
                return result.clone().map(|_| ());
            }
            self.run(50);
        }
        panic!("{change:?} was never answered");
    }

    pub fn add(&mut self, node: u8, name: &str, word: &str) -> Result<String, ClientError> {
        self.op(node, Class::W, &[name], &format!("add {word}"))
    }

    pub fn take(&mut self, node: u8, name: &str) -> Result<String, ClientError> {
        self.op(node, Class::X, &[name], "take")
    }

    pub fn read(&mut self, node: u8, name: &str) -> Result<String, ClientError> {
        self.op(node, Class::Read, &[name], "list")
    }

    pub fn partition(&mut self, sides: &[&[u8]]) {
        self.cut.clear();
        for (index, side) in sides.iter().enumerate() {
            for other in
                sides.iter().enumerate().filter(|(other, _)| *other != index).flat_map(|(_, other)| *other)
            {
                for node in *side {
                    self.cut.insert((NodeId(*node), NodeId(*other)));
                }
            }
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn crash(&mut self, node: u8) {
        self.nodes.remove(&NodeId(node));
    }

    pub fn restart(&mut self, node: u8, life: u32) {
        let config = Config { incarnation: Incarnation::of_life(life), ..config(node) };
        self.nodes.insert(NodeId(node), Node::new(config, Words::default()));
        for other in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.input(node, Input::Peer(other));
        }
    }

    /// Starts it with what its earlier lives have written down.
    pub fn come_back(&mut self, node: u8, life: u32) {
        let config = Config { incarnation: Incarnation::of_life(life), ..config(node) };
        let durable = self.disks[&NodeId(node)].clone();
        let started = Node::restore(config, Words::default(), durable, self.time());
        self.nodes.insert(NodeId(node), started);
    }

    pub fn node(&self, node: u8) -> &Node<Words> {
        &self.nodes[&NodeId(node)]
    }

    /// Every copy of every key is equal to every other, and nothing is left unfinished.
    pub fn assert_converged(&self) {
        let mut versions: BTreeMap<Key, (NodeId, Version, u64)> = BTreeMap::new();
        for (id, node) in &self.nodes {
            for key in node.keys() {
                let copy = node.copy_of(&key).expect("a listed key has a copy");
                let here = (copy.meta.version, node.values().digest(&key));
                let first = versions.entry(key.clone()).or_insert((*id, here.0, here.1));
                if copy.owner.is_some() {
                    assert_eq!((first.1, first.2), here, "{key:?} differs between {:?} and {id:?}", first.0);
                }
            }
            assert_eq!(node.unfinished(), (0, 0, 0), "{id:?} has unfinished business");
        }
    }

    pub fn owners(&self, name: &str) -> Vec<NodeId> {
        let owns = |node: &Node<Words>| node.copy_of(&key(name)).is_some_and(|copy| copy.owns);
        self.nodes.iter().filter(|(_, node)| owns(node)).map(|(id, _)| *id).collect()
    }
}
