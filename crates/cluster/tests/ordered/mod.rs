//! A store that keeps its keys in the order of their marks and sets all of them aside at once: what nothing in the core
//! costs more than it has to. It counts how many keys it was made to look at.

#![allow(unreachable_pub, dead_code, reason = "a module shared by inclusion")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use swytch_cluster::*;

type Keys = BTreeSet<(Mark, Key)>;

/// Keys that exist, without values. `set` and `del`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordered {
    held: Keys,
    kept: BTreeMap<u64, Keys>,
    /// Keys that it has looked at for a walk.
    looked: Cell<u64>,
    aside: Aside,
}

fn place(key: &Key) -> (Mark, Key) {
    (key.mark(), key.clone())
}

impl Ordered {
    /// How many keys it has looked at since it was asked last.
    pub fn looked(&self) -> u64 {
        self.looked.take()
    }

    fn some(&self, keys: &Keys, first: Mark, wanted: &dyn Fn(Slot) -> bool, count: usize) -> Vec<Key> {
        let mut found: Vec<Key> = Vec::new();
        let mut next = first;
        'slots: while let Some((mark, _)) = keys.range((next, Key::new(b""))..).next() {
            let slot = mark.slot;
            if wanted(slot) {
                for (mark, key) in keys.range((next.max(*mark), Key::new(b""))..) {
                    if mark.slot != slot {
                        break;
                    }
                    if found.len() >= count && found.last().is_none_or(|last| last.mark() != *mark) {
                        break 'slots;
                    }
                    self.looked.set(self.looked.get() + 1);
                    found.push(key.clone());
                }
            }
            next = Mark { slot: Slot(slot.0 + 1), hash: 0 };
        }
        found
    }
}

impl Values for Ordered {
    type Undo = bool;

    fn execute(&mut self, command: &Blob, keys: &[Key], _: Stamp) -> Executed<bool> {
        let held = self.holds(&keys[0]);
        self.apply(&keys[0], command, Stamp::default());
        Executed { reply: command.clone(), effects: vec![(0, command.clone())], undo: vec![(0, held)] }
    }

    fn read(&self, _: &Blob, keys: &[Key], _: u64) -> Blob {
        if self.holds(&keys[0]) { Blob::new(b"set") } else { Blob::new(b"") }
    }

    fn apply(&mut self, key: &Key, effect: &Blob, _: Stamp) {
        match effect.bytes() {
            b"set" => self.held.insert(place(key)),
            _ => self.held.remove(&place(key)),
        };
    }

    fn undo(&mut self, key: &Key, held: bool) {
        self.apply(key, &Blob::new(if held { b"set" } else { b"del" }), Stamp::default());
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        self.holds(key).then(|| Blob::new(b"set"))
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        self.apply(key, &Blob::new(if snapshot.is_some() { b"set" } else { b"del" }), Stamp::default());
    }

    fn holds(&self, key: &Key) -> bool {
        self.held.contains(&place(key))
    }

    fn keys_in(&self, _: &dyn Fn(Slot) -> bool) -> Vec<Key> {
        panic!("nothing looks at all keys");
    }

    fn keys_from(&self, first: Mark, wanted: &dyn Fn(Slot) -> bool, count: usize) -> Vec<Key> {
        self.some(&self.held, first, wanted, count)
    }

    fn holds_twin(&self, _: &Key) -> bool {
        false
    }

    fn set_aside(&mut self, number: u64, _: &dyn Fn(Slot) -> bool, _: &mut dyn Iterator<Item = &Key>) {
        self.kept.insert(number, std::mem::take(&mut self.held));
    }

    fn holds_aside(&self, number: u64, key: &Key) -> bool {
        self.kept.get(&number).is_some_and(|kept| kept.contains(&place(key)))
    }

    fn take_aside(&mut self, number: u64, key: &Key) -> Option<Blob> {
        self.kept.get_mut(&number)?.remove(&place(key)).then(|| Blob::new(b"set"))
    }

    fn keys_aside(&self, number: u64, first: Mark, count: usize) -> Vec<Key> {
        self.kept.get(&number).map(|kept| self.some(kept, first, &|_| true, count)).unwrap_or_default()
    }

    fn forget_aside(&mut self, number: u64) {
        // A server would do so little by little.
        self.kept.remove(&number);
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

    fn delete(&self, key: &Key) -> Option<Blob> {
        self.holds(key).then(|| Blob::new(b"del"))
    }

    fn merge(&self, _: &MergeInput<'_>) -> Vec<Blob> {
        vec![Blob::new(b"set")]
    }

    fn digest(&self, key: &Key) -> u64 {
        u64::from(self.holds(key))
    }
}

/// Nodes with a clock of their own, and the worst that one of their steps has cost.
pub struct Nodes {
    pub nodes: BTreeMap<NodeId, Node<Ordered>>,
    pub now_ms: u64,
    pub cut: Option<NodeId>,
    /// The most keys that one step has looked at.
    pub looked_most: u64,
    /// How long each step has taken, in nanoseconds.
    pub steps_ns: Vec<u64>,
    /// Tells what has been spent so far, of whatever a step is to be measured by, and the most that one has spent.
    pub meter: Option<fn() -> u64>,
    pub spent_most: (u64, String),
    pub evacuated: bool,
    wire: std::collections::VecDeque<Envelope>,
    asked: u64,
    answers: BTreeMap<u64, Result<Answer, ClientError>>,
}

impl Nodes {
    /// Some nodes in one view, of which all keys are in one partition.
    pub fn new(count: u8) -> Self {
        let members: NodeSet = (0..count).map(NodeId).collect();
        let now = Time { mono_ms: 100_000, wall_ms: 100_000 };
        let node = |id| (id, Node::in_view(Config::new(id), Ordered::default(), members, now));
        Self {
            nodes: members.iter().map(node).collect(),
            now_ms: 100_000,
            cut: None,
            looked_most: 0,
            steps_ns: Vec::new(),
            meter: None,
            spent_most: Default::default(),
            evacuated: false,
            wire: Default::default(),
            asked: 0,
            answers: BTreeMap::new(),
        }
    }

    /// Forgets what steps have cost so far, and tells how long they have taken.
    pub fn measure(&mut self) -> Vec<u64> {
        self.looked_most = 0;
        self.spent_most = Default::default();
        std::mem::take(&mut self.steps_ns)
    }

    fn time(&self) -> Time {
        Time { mono_ms: self.now_ms, wall_ms: self.now_ms }
    }

    pub fn input(&mut self, id: NodeId, input: Input) {
        let time = self.time();
        let step = match &input {
            Input::Message(envelope) => format!("{:?}", std::mem::discriminant(&envelope.message)),
            other => format!("{:?}", std::mem::discriminant(other)),
        };
        let spent = self.change(id, |node, out| node.handle(time, input, out));
        if spent > self.spent_most.0 {
            self.spent_most = (spent, format!("{step} at {id:?}"));
        }
    }

    /// The node starts an attempt at a view of these nodes, whatever it hears.
    pub fn attempt(&mut self, id: NodeId, candidates: NodeSet) {
        let time = self.time();
        self.change(id, |node, out| node.propose_view(time, candidates, out));
    }

    fn change(&mut self, id: NodeId, change: impl FnOnce(&mut Node<Ordered>, &mut Vec<Action>)) -> u64 {
        let Some(node) = self.nodes.get_mut(&id) else { return 0 };
        let (before, mut out) = (node.tally().of(Rule::Walked), Vec::new());
        node.values().looked();
        let spent = self.meter.map_or(0, |meter| meter());
        let started = std::time::Instant::now();
        change(node, &mut out);
        let (took, spent) = (started.elapsed(), self.meter.map_or(0, |meter| meter() - spent));
        self.steps_ns.push(took.as_nanos() as u64);
        let walked = node.tally().of(Rule::Walked) - before;
        self.looked_most = self.looked_most.max(walked).max(node.values().looked());
        for action in out {
            match action {
                Action::Send(envelope) => self.wire.push_back(*envelope),
                Action::Reply { ticket, result } => drop(self.answers.insert(ticket, result)),
                Action::Evacuated => self.evacuated = true,
                Action::Persist(_)
                | Action::Greet { .. }
                | Action::Nameless
                | Action::Wake { .. }
                | Action::Evict { .. }
                | Action::View { .. } => {}
            }
        }
        spent
    }

    /// Hands over all messages.
    pub fn deliver(&mut self) {
        while let Some(envelope) = self.wire.pop_front() {
            if self.cut.is_none_or(|cut| cut != envelope.from && cut != envelope.to) {
                self.input(envelope.to, Input::Message(Box::new(envelope)));
            }
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, ms: u64) {
        self.deliver();
        for _ in 0..ms / 50 {
            self.now_ms += 50;
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.input(id, Input::Tick);
            }
            self.deliver();
        }
    }

    pub fn ask(&mut self, id: NodeId, class: Class, key: &Key, command: &[u8]) -> u64 {
        self.asked += 1;
        let (ticket, keys, command) = (self.asked, vec![key.clone()], Blob::new(command));
        let (watches, local_read, watch) = (Vec::new(), false, false);
        self.input(
            id,
            Input::Client(Request { ticket, class, keys, command, watches, local_read, watch, claims: None }),
        );
        ticket
    }

    /// Whether the node's clients find the key.
    pub fn finds(&mut self, id: NodeId, key: &Key) -> bool {
        let ticket = self.ask(id, Class::Read, key, b"get");
        for _ in 0..100 {
            self.deliver();
            if let Some(answer) = self.answers.remove(&ticket) {
                return answer.is_ok_and(|answer| answer.reply == Blob::new(b"set"));
            }
            self.run(50);
        }
        false
    }

    pub fn answer(&self, ticket: u64) -> Option<&Result<Answer, ClientError>> {
        self.answers.get(&ticket)
    }
}
