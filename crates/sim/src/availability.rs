//! What clients wait for when something happens to a node: the longest wait and the errors of each event, in virtual time.
//!
//! Clients of node 0 read, write (W), decide (X) and create keys all the time, on keys that all nodes hold: of each kind one
//! that their own node owns and one that the last node owns, to which the event happens. Messages take a millisecond.
//!
//! Invariant: nothing is drawn by chance, so the [`table`] is the same each time, and a test holds the documentation to it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use swytch_cluster::{
    Action, Class, ClientError, Config, Envelope, Incarnation, Input, Key, Node, NodeId, NodeSet, Request,
    Time, Timers,
};

use crate::model::Journal;

/// What happens to the last node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It crashes and never comes back.
    Crash,
    /// It crashes and starts again, empty, after this time.
    Restart {
        /// Milliseconds.
        after_ms: u64,
    },
    /// No message reaches it or comes from it for this time.
    Cut {
        /// Milliseconds.
        for_ms: u64,
    },
    /// It hands over what only it holds, and leaves.
    Leave,
    /// Another one joins.
    Join,
}

impl Event {
    fn name(self) -> String {
        match self {
            Self::Crash => "crash for good".into(),
            Self::Restart { after_ms } => format!("crash, back after {} s", after_ms / 1_000),
            Self::Cut { for_ms } => format!("cut off for {} s", for_ms / 1_000),
            Self::Leave => "leaves".into(),
            Self::Join => "another one joins".into(),
        }
    }
}

/// Sizes of clusters that are judged.
pub const SIZES: [u8; 3] = [2, 3, 5];

/// What is played, by how many copies of each key are wanted.
pub const PLAYED: [(u8, Event); 9] = [
    (1, Event::Crash),
    (1, Event::Restart { after_ms: 1_000 }),
    (1, Event::Restart { after_ms: 10_000 }),
    (1, Event::Cut { for_ms: 5_000 }),
    (1, Event::Leave),
    (1, Event::Join),
    (2, Event::Crash),
    (2, Event::Restart { after_ms: 1_000 }),
    (2, Event::Leave),
];

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A read of a shared key.
    Read,
    /// A write of class W on one.
    W,
    /// A write of class X on one.
    X,
    /// The creation of a key.
    New,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Read, Self::W, Self::X, Self::New];

    fn class(self) -> Class {
        match self {
            Self::Read => Class::Read,
            Self::W | Self::New => Class::W,
            Self::X => Class::X,
        }
    }
}

/// What clients have met.
#[derive(Clone, Debug, Default)]
pub struct Met {
    /// The longest time until an answer, in milliseconds, by kind.
    pub longest_ms: BTreeMap<Kind, u64>,
    /// How many were refused or left in doubt, by kind and error.
    pub errors: BTreeMap<(Kind, ClientError), u32>,
    /// When the last operation was refused, in milliseconds after the event.
    pub refused_until_ms: Option<u64>,
}

/// Clients ask this often, each without waiting for earlier answers.
const ASK_EVERY_MS: u64 = 20;
/// They begin so long before the event, and go on for so long after it.
const BEFORE_MS: u64 = 1_000;
const AFTER_MS: u64 = 45_000;
const WIRE_MS: u64 = 1;
/// What every operation does: only that it is done matters.
const OPERATION: &str = "x";
const START_MS: u64 = 100_000;

/// A cluster on virtual time, in steps of a millisecond.
struct Scene {
    copies: u8,
    nodes: Vec<Option<Node<Journal>>>,
    now_ms: u64,
    /// Messages by the time of their arrival.
    wire: VecDeque<(u64, Box<Envelope>)>,
    /// A node that no message passes.
    cut: Option<NodeId>,
    evacuated: bool,
    asked: BTreeMap<u64, (Kind, u64)>,
    next_ticket: u64,
    event_ms: u64,
    met: Met,
}

impl Scene {
    fn new(size: u8, copies: u8) -> Self {
        let members: NodeSet = (0..size).map(NodeId).collect();
        let nodes = members.iter().map(|id| {
            let now = Time { mono_ms: START_MS, wall_ms: START_MS };
            Some(Node::in_view(Self::config(id, 1, copies), Journal::default(), members, now))
        });
        Self {
            copies,
            nodes: nodes.collect(),
            now_ms: START_MS,
            wire: VecDeque::new(),
            cut: None,
            evacuated: false,
            asked: BTreeMap::new(),
            next_ticket: 0,
            event_ms: u64::MAX,
            met: Met::default(),
        }
    }

    fn config(id: NodeId, life: u32, copies: u8) -> Config {
        Config { incarnation: Incarnation::of_life(life), copies, ..Config::new(id) }
    }

    fn start(&mut self, id: NodeId, life: u32) {
        let node = Node::new(Self::config(id, life, self.copies), Journal::default());
        let index = usize::from(id.0);
        self.nodes.resize_with(self.nodes.len().max(index + 1), || None);
        self.nodes[index] = Some(node);
        for other in 0..self.nodes.len() as u8 {
            self.input(id, Input::Peer(NodeId(other)));
        }
    }

    fn input(&mut self, id: NodeId, input: Input) {
        let now = Time { mono_ms: self.now_ms, wall_ms: self.now_ms };
        let Some(Some(node)) = self.nodes.get_mut(usize::from(id.0)) else { return };
        let mut out = Vec::new();
        node.handle(now, input, &mut out);
        for action in out {
            match action {
                Action::Send(envelope) => self.wire.push_back((self.now_ms + WIRE_MS, envelope)),
                Action::Reply { ticket, result } => self.answered(ticket, result.err()),
                Action::Evacuated => self.evacuated = true,
                Action::Persist(_)
                | Action::Greet { .. }
                | Action::Nameless
                | Action::Wake { .. }
                | Action::Evict { .. }
                | Action::View { .. } => {}
            }
        }
    }

    fn answered(&mut self, ticket: u64, error: Option<ClientError>) {
        let Some((kind, asked_ms)) = self.asked.remove(&ticket) else { return };
        let longest = self.met.longest_ms.entry(kind).or_default();
        *longest = (self.now_ms - asked_ms).max(*longest);
        if let Some(error) = error {
            *self.met.errors.entry((kind, error)).or_default() += 1;
            self.met.refused_until_ms = Some(self.now_ms.saturating_sub(self.event_ms));
        }
    }

    fn ask(&mut self, at: NodeId, kind: Kind, name: &str) {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.asked.insert(ticket, (kind, self.now_ms));
        let (keys, command) = (vec![Key::new(name.as_bytes())], OPERATION.into());
        let (watches, local_read, watch) = (Vec::new(), false, false);
        let class = kind.class();
        self.input(
            at,
            Input::Client(Request { ticket, class, keys, command, watches, local_read, watch, claims: None }),
        );
    }

    /// The next millisecond.
    fn step(&mut self) {
        self.now_ms += 1;
        while self.wire.front().is_some_and(|(at_ms, _)| *at_ms <= self.now_ms) {
            let Some((_, envelope)) = self.wire.pop_front() else { break };
            if ![Some(envelope.from), Some(envelope.to)].contains(&self.cut) || self.cut.is_none() {
                self.input(envelope.to, Input::Message(envelope));
            }
        }
        for id in (0..self.nodes.len() as u8).map(NodeId) {
            // Each at moments of its own.
            if (self.now_ms + 17 * u64::from(id.0)).is_multiple_of(Timers::default().tick_ms) {
                self.input(id, Input::Tick);
            }
        }
    }

    fn run(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step());
    }

    /// Keys that all nodes hold, owned by node 0 and by the last one.
    fn share(&mut self, last: NodeId) {
        for (owner, name) in [(NodeId(0), "ours"), (last, "theirs")] {
            for node in std::iter::once(owner).chain((0..=last.0).map(NodeId)) {
                let kind = if node == owner { Kind::W } else { Kind::Read };
                self.ask(node, kind, name);
                self.run(50);
            }
        }
        self.run(3_000);
        assert!(self.asked.is_empty() && self.met.errors.is_empty(), "nothing has happened yet");
        self.met = Met::default();
    }

    fn clients_turn(&mut self) {
        for kind in Kind::ALL {
            if kind == Kind::New {
                let name = format!("new{}", self.next_ticket);
                self.ask(NodeId(0), kind, &name);
            } else {
                ["ours", "theirs"].iter().for_each(|name| self.ask(NodeId(0), kind, name));
            }
        }
    }
}

/// Plays an event in a cluster of `size` nodes that want so many copies of each key.
///
/// # Panics
/// If a client is never answered.
pub fn play(event: Event, size: u8, copies: u8) -> Met {
    let last = NodeId(size - 1);
    let mut scene = Scene::new(size, copies);
    scene.share(last);
    scene.event_ms = scene.now_ms + BEFORE_MS;
    let (event_ms, end_ms) = (scene.event_ms, scene.event_ms + AFTER_MS);
    let mut left_ms = u64::MAX;
    while scene.now_ms < end_ms {
        if scene.now_ms.is_multiple_of(ASK_EVERY_MS) {
            scene.clients_turn();
        }
        let since_ms = scene.now_ms.checked_sub(event_ms);
        match (event, since_ms) {
            (Event::Crash | Event::Restart { .. }, Some(0)) => scene.nodes[usize::from(last.0)] = None,
            (Event::Restart { after_ms }, Some(since_ms)) if since_ms == after_ms => scene.start(last, 2),
            (Event::Cut { .. }, Some(0)) => scene.cut = Some(last),
            (Event::Cut { for_ms }, Some(since_ms)) if since_ms == for_ms => scene.cut = None,
            (Event::Leave, Some(0)) => scene.input(last, Input::Evacuate),
            (Event::Join, Some(0)) => scene.start(NodeId(size), 1),
            _ => {}
        }
        if std::mem::take(&mut scene.evacuated) {
            scene.input(last, Input::Leave);
            left_ms = scene.now_ms;
        }
        if scene.now_ms == left_ms.saturating_add(100) {
            scene.nodes[usize::from(last.0)] = None;
        }
        scene.step();
    }
    scene.run(10_000);
    assert!(scene.asked.is_empty(), "{event:?} of {size}: {} operations have no answer", scene.asked.len());
    scene.met
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02}", ms / 1_000, ms % 1_000 / 10)
}

/// All events in clusters of all sizes, in Markdown; waits in seconds.
pub fn table() -> String {
    let mut table =
        String::from("| event | nodes | read | W | X | new key | errors |\n|---|---|---|---|---|---|---|\n");
    for (copies, event) in PLAYED {
        for size in SIZES {
            let met = play(event, size, copies);
            let wait = |kind| seconds(met.longest_ms.get(&kind).copied().unwrap_or_default());
            let [read, w, x, new] = Kind::ALL.map(wait);
            let mut errors: Vec<String> = Vec::new();
            for (kind, error) in met.errors.keys() {
                let prefix = error.to_string();
                let prefix = prefix.split(' ').next().unwrap_or_default().to_owned();
                errors.push(format!("{kind:?} {prefix}"));
            }
            errors.dedup();
            let until = met.refused_until_ms.map(|until_ms| format!(" until {} s", seconds(until_ms)));
            let errors = if errors.is_empty() { "none".into() } else { errors.join(", ") };
            let name = event.name() + if copies > 1 { ", two copies" } else { "" };
            let errors = errors + &until.unwrap_or_default();
            let _ = writeln!(table, "| {name} | {size} | {read} | {w} | {x} | {new} | {errors} |");
        }
    }
    table
}
