//! One state of the modelled cluster: real nodes, a set of messages on their way, and what the clients saw.
//!
//! The nodes are the very code of `swytch_cluster`. The network is a set: a message stays possible to deliver in any
//! order with any other, may be delivered twice, and one that is never chosen is a lost one.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use swytch_cluster::{
    Action, Blob, Class, ClientError, Config, Envelope, Evicted, Incarnation, Input, Key, Message, Node,
    NodeId, NodeSet, Request, Time,
};

use super::config::Scope;
use super::invariants::{Violation, check_answer};
use super::journal::Journal;
use super::seen::fingerprint;

/// A step of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Deliver this message; `keep` leaves a copy on its way.
    Deliver { message: Box<Envelope>, keep: bool },
    /// A client asks its node for the next operation of the plan.
    Submit { node: NodeId, class: Class, keys: Vec<Key> },
    /// A node starts an attempt at a view, whatever it hears.
    Propose { node: NodeId, candidates: NodeSet },
    /// A node stops for good.
    Crash(NodeId),
    /// It starts again, empty.
    Restart(NodeId),
    /// The store of a node wants a copy's memory back.
    Evict { node: NodeId, key: Key },
    /// Time passes under the given links; heartbeats get through, and membership messages too if `views` is set.
    Advance { ms: u64, sides: Sides, views: bool },
}

/// Who can reach whom: nodes with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sides(pub(super) [u8; 5]);

impl Sides {
    /// Everyone reaches everyone.
    pub(super) const WHOLE: Self = Self([0; 5]);

    fn joined(self, a: NodeId, b: NodeId) -> bool {
        self.0[usize::from(a.0)] == self.0[usize::from(b.0)]
    }
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    /// Its class.
    pub(super) class: Class,
    /// Its keys.
    pub(super) keys: Vec<Key>,
    /// Where it was asked for, and in which life of that node.
    pub(super) node: (NodeId, Incarnation),
    /// The answer, once there is one.
    pub(super) answer: Option<Result<Vec<u8>, ClientError>>,
    /// Nodes (with their lives) whose value has contained it, per index of a key.
    pub(super) held: BTreeMap<(usize, NodeId), Incarnation>,
}

/// A node and its fingerprint.
#[derive(Clone)]
pub(super) struct Slot {
    /// The node.
    pub(super) node: Arc<Node<Journal>>,
    print: u64,
}

/// A state of the cluster.
#[derive(Clone)]
pub(super) struct State {
    /// Nodes; `None` after a crash.
    pub(super) nodes: Vec<Option<Slot>>,
    /// Messages on their way, sorted.
    pub(super) wire: Vec<(u64, Arc<Envelope>)>,
    /// The clock, the same at every node.
    pub(super) now_ms: u64,
    /// Links as of the last advance.
    pub(super) sides: Sides,
    /// Operations so far; the index is the tag.
    pub(super) outcomes: Vec<Outcome>,
    /// Budgets spent.
    pub(super) spent: Spent,
    /// Operations below this tag may have been flushed.
    pub(super) flushes_from: usize,
    /// Keys whose last copy was deleted by an eviction.
    pub(super) deleted: Vec<Key>,
    /// A crash or an expiry may have taken a key's only holders away.
    pub(super) lineage_may_change: bool,
    /// An answer that was not true when it was given.
    pub(super) violation: Option<Violation>,
}

/// What a run has used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Spent {
    pub(super) operations: u8,
    pub(super) proposals: u8,
    pub(super) crashes: u8,
    pub(super) evictions: u8,
    pub(super) duplicates: u8,
    pub(super) advances: u8,
    pub(super) lives: u8,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for slot in &self.nodes {
            hasher.write_u64(slot.as_ref().map_or(0, |slot| slot.print));
        }
        for (print, _) in &self.wire {
            hasher.write_u64(*print);
        }
        (self.now_ms, self.sides, self.spent, &self.outcomes).hash(hasher);
    }
}

impl State {
    /// The first state: all nodes of `scope` in one view, and each of its keys shared as asked for.
    pub(super) fn new(scope: &Scope) -> Self {
        let members: NodeSet = (0..scope.nodes).map(NodeId).collect();
        let now_ms = 100_000;
        let time = Time { mono_ms: now_ms, wall_ms: now_ms };
        let nodes = members
            .iter()
            .map(|id| {
                let config = Config { mutant: scope.mutant, ..scope.config(id, 1) };
                Some(Slot::new(Node::in_view(config, Journal::default(), members, time)))
            })
            .collect();
        let mut state = Self {
            nodes,
            wire: Vec::new(),
            now_ms,
            sides: Sides::WHOLE,
            outcomes: Vec::new(),
            spent: Spent::default(),
            flushes_from: 0,
            deleted: Vec::new(),
            lineage_may_change: false,
            violation: None,
        };
        for (key, holders) in &scope.shared {
            for node in holders.iter() {
                state.input(node, Input::Client(read_of(key)));
                state.deliver_all();
            }
        }
        state
    }

    fn time(&self) -> Time {
        Time { mono_ms: self.now_ms, wall_ms: self.now_ms }
    }

    /// The node, if it runs.
    pub(super) fn node(&self, id: NodeId) -> Option<&Node<Journal>> {
        self.nodes.get(usize::from(id.0))?.as_ref().map(|slot| &*slot.node)
    }

    /// Running nodes.
    pub(super) fn running(&self) -> impl Iterator<Item = (NodeId, &Node<Journal>)> {
        self.nodes.iter().flatten().map(|slot| (slot.node.config().id, &*slot.node))
    }

    /// Whether the links as they are let the message through.
    pub(super) fn can_pass(&self, message: &Envelope) -> bool {
        self.sides.joined(message.from, message.to)
    }

    /// Does one step; everything not chosen stays possible.
    pub(super) fn apply(&mut self, scope: &Scope, step: &Step) {
        match step {
            Step::Deliver { message, keep } => self.deliver(message, *keep),
            Step::Submit { node, class, keys } => self.submit(*node, *class, keys.clone()),
            Step::Propose { node, candidates } => {
                self.spent.proposals += 1;
                let time = self.time();
                self.change(*node, |node, out| node.propose_view(time, *candidates, out));
            }
            Step::Crash(node) => {
                self.spent.crashes += 1;
                self.lineage_may_change = true;
                self.nodes[usize::from(node.0)] = None;
                self.wire.retain(|(_, message)| message.to != *node);
            }
            Step::Restart(node) => self.restart(scope, *node),
            Step::Evict { node, key } => {
                self.spent.evictions += 1;
                self.input(*node, Input::Evict(key.clone()));
            }
            Step::Advance { ms, sides, views } => self.advance(*ms, *sides, *views),
        }
        self.note_holders();
    }

    fn restart(&mut self, scope: &Scope, id: NodeId) {
        self.spent.lives += 1;
        let life = u32::from(self.spent.lives) + 1;
        let config = Config { mutant: scope.mutant, ..scope.config(id, life) };
        self.nodes[usize::from(id.0)] = Some(Slot::new(Node::new(config, Journal::default())));
        for other in (0..scope.nodes).map(NodeId) {
            self.input(id, Input::Peer(other));
        }
    }

    fn submit(&mut self, node: NodeId, class: Class, keys: Vec<Key>) {
        let tag = self.outcomes.len() as u64;
        self.spent.operations += 1;
        let request = Request {
            ticket: tag,
            class,
            keys: keys.clone(),
            command: Blob::new(&[tag as u8]),
            watches: Vec::new(),
            local_read: false,
        };
        if class == Class::Flush {
            // Whether or not it is ever answered, from now on it may happen.
            self.flushes_from = usize::MAX;
        }
        let life = self.node(node).map(Node::incarnation).unwrap_or_default();
        let held = BTreeMap::new();
        self.outcomes.push(Outcome { class, keys, node: (node, life), answer: None, held });
        self.input(node, Input::Client(request));
    }

    fn deliver(&mut self, message: &Envelope, keep: bool) {
        let found = self.wire.iter().position(|(_, other)| **other == *message);
        if keep {
            self.spent.duplicates += 1;
        } else if let Some(index) = found {
            self.wire.remove(index);
        }
        self.input(message.to, Input::Message(Box::new(message.clone())));
    }

    /// Delivers everything in a fixed order: for the way into the first state and for healing at the end.
    pub(super) fn deliver_all(&mut self) {
        let mut rounds = 0;
        while !self.wire.is_empty() {
            rounds += 1;
            assert!(rounds < 10_000, "messages without end");
            for (_, message) in std::mem::take(&mut self.wire) {
                if self.sides.joined(message.from, message.to) {
                    self.input(message.to, Input::Message(Box::new((*message).clone())));
                }
            }
        }
    }

    fn input(&mut self, id: NodeId, input: Input) {
        let time = self.time();
        self.change(id, |node, out| node.handle(time, input, out));
    }

    /// Runs `change` on a copy of the node and carries its actions out.
    fn change(&mut self, id: NodeId, change: impl FnOnce(&mut Node<Journal>, &mut Vec<Action>)) {
        let Some(Some(slot)) = self.nodes.get_mut(usize::from(id.0)) else { return };
        let mut out = Vec::new();
        change(Arc::make_mut(&mut slot.node), &mut out);
        slot.print = fingerprint(&*slot.node);
        for action in out {
            match action {
                Action::Send(envelope) => self.post(*envelope),
                Action::Reply { ticket, result } => {
                    let Some(outcome) = self.outcomes.get_mut(ticket as usize) else { continue };
                    let good = result.is_ok();
                    outcome.answer = Some(result.map(|answer| answer.reply.bytes().to_vec()));
                    if good && self.violation.is_none() {
                        self.violation = check_answer(self, id, ticket as usize).err();
                    }
                }
                Action::Evict { key, outcome: Evicted::Deleted } => self.note_deletion(id, key),
                Action::Wake { .. } | Action::Evict { .. } | Action::View { .. } => {}
            }
        }
    }

    /// A last copy was deleted: then no member of the same view may hold another.
    fn note_deletion(&mut self, at: NodeId, key: Key) {
        let view = self.node(at).map(|node| node.view().id);
        let other = self.running().find(|(id, node)| {
            *id != at && Some(node.view().id) == view && !node.values().tags(&key).is_empty()
        });
        if let Some((other, _)) = other {
            self.violation = Some(Violation {
                promise: "only a last copy is deleted by eviction",
                evidence: format!("{key:?} at {at:?}, but {other:?} holds it"),
            });
        }
        self.deleted.push(key);
    }

    fn post(&mut self, envelope: Envelope) {
        if matches!(envelope.message, Message::Heartbeat { .. }) || self.node(envelope.to).is_none() {
            return;
        }
        let entry = (fingerprint(&envelope), Arc::new(envelope));
        if let Err(index) = self.wire.binary_search(&entry) {
            self.wire.insert(index, entry);
        }
    }

    /// Lets time pass in steps of the tick. Heartbeats cross all links that are up; nothing else does unless `views`.
    fn advance(&mut self, ms: u64, sides: Sides, views: bool) {
        self.spent.advances += 1;
        self.sides = sides;
        self.lineage_may_change |= sides != Sides::WHOLE;
        let ids: Vec<NodeId> = self.running().map(|(id, _)| id).collect();
        let until = self.now_ms + ms;
        while self.now_ms < until {
            self.now_ms += Scope::TICK_MS;
            let time = self.time();
            for id in &ids {
                self.tick(*id, time, views);
            }
        }
    }

    fn tick(&mut self, id: NodeId, time: Time, views: bool) {
        let mut pending = vec![(id, Input::Tick)];
        while let Some((to, input)) = pending.pop() {
            let mut passing = Vec::new();
            self.change_passing(to, time, input, views, &mut passing);
            pending
                .extend(passing.into_iter().map(|message| (message.to, Input::Message(Box::new(message)))));
        }
    }

    /// Like [`Self::input`], but heartbeats (and membership messages, if `views`) are handed back to be delivered at
    /// once where a link is up.
    fn change_passing(
        &mut self,
        id: NodeId,
        time: Time,
        input: Input,
        views: bool,
        passing: &mut Vec<Envelope>,
    ) {
        let Some(Some(slot)) = self.nodes.get_mut(usize::from(id.0)) else { return };
        let mut out = Vec::new();
        Arc::make_mut(&mut slot.node).handle(time, input, &mut out);
        slot.print = fingerprint(&*slot.node);
        let mut rest = Vec::new();
        for action in out {
            match action {
                Action::Send(envelope) if passes(&envelope.message, views) => {
                    if self.sides.joined(envelope.from, envelope.to) {
                        passing.push(*envelope);
                    }
                }
                other => rest.push(other),
            }
        }
        // The rest is carried out as usual; nothing in it concerns the node itself.
        self.change(id, |_, out| out.extend(rest));
    }

    /// Heals all links and lets everything come to rest.
    pub(super) fn come_to_rest(&mut self, scope: &Scope) {
        self.sides = Sides::WHOLE;
        for id in (0..scope.nodes).map(NodeId) {
            if self.node(id).is_none() {
                self.restart(scope, id);
            }
        }
        let keys: Vec<Key> = scope.keys.clone();
        self.rest_for(scope, 60_000);
        self.forget_the_dead(scope);
        for id in (0..scope.nodes).map(NodeId) {
            for key in &keys {
                self.input(id, Input::Client(read_of(key)));
            }
        }
        self.rest_for(scope, 20_000);
        self.note_holders();
    }

    /// What an operator does when more than half of a base is dead: nothing can be agreed without him then.
    fn forget_the_dead(&mut self, scope: &Scope) {
        let lives: BTreeMap<NodeId, Incarnation> =
            self.running().map(|(id, node)| (id, node.incarnation())).collect();
        let dead: Vec<(NodeId, NodeId)> = self
            .running()
            .flat_map(|(id, node)| {
                let members = node.accepted_base().members.clone();
                let gone = members.into_iter().filter(|(member, life)| lives.get(member) != Some(life));
                gone.map(move |(member, _)| (id, member)).collect::<Vec<_>>()
            })
            .collect();
        for (id, member) in &dead {
            self.input(*id, Input::Forget(*member));
        }
        if !dead.is_empty() {
            self.rest_for(scope, 60_000);
        }
    }

    fn rest_for(&mut self, scope: &Scope, ms: u64) {
        let until = self.now_ms + ms;
        while self.now_ms < until {
            self.now_ms += Scope::TICK_MS;
            let time = self.time();
            for id in (0..scope.nodes).map(NodeId) {
                self.tick(id, time, true);
            }
            self.deliver_all();
        }
    }

    fn note_holders(&mut self) {
        let Self { nodes, outcomes, .. } = self;
        for slot in nodes.iter().flatten() {
            let (id, life) = (slot.node.config().id, slot.node.incarnation());
            for (tag, outcome) in outcomes.iter_mut().enumerate() {
                let Outcome { keys, held, .. } = outcome;
                for (index, key) in keys.iter().enumerate() {
                    if slot.node.values().tags(key).contains(&(tag as u8)) {
                        held.insert((index, id), life);
                    }
                }
            }
        }
    }
}

impl Slot {
    fn new(node: Node<Journal>) -> Self {
        Self { print: fingerprint(&node), node: Arc::new(node) }
    }
}

/// A read that makes its node a subscriber.
fn read_of(key: &Key) -> Request {
    Request {
        ticket: u64::MAX,
        class: Class::Read,
        keys: vec![key.clone()],
        command: Blob::new(b""),
        watches: Vec::new(),
        local_read: false,
    }
}

fn passes(message: &Message, views: bool) -> bool {
    match message {
        Message::Heartbeat { .. } => true,
        Message::Collect { .. }
        | Message::Promise { .. }
        | Message::Refuse { .. }
        | Message::Propose { .. }
        | Message::Accept { .. }
        | Message::Install { .. }
        | Message::Over { .. } => views,
        _ => false,
    }
}
