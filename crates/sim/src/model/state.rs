//! One state of the modelled cluster: real nodes, a set of messages on their way, and what the clients saw.
//!
//! The nodes are the very code of `swytch_cluster`. The network is a set: a message stays possible to deliver in any
//! order with any other, may be delivered twice, and one that is never chosen is a lost one.
//!
//! States share what they have in common: a step copies only the node it touches, and only that node is looked at
//! again for the state's fingerprint ([`State::fingerprint`]). The set of messages is known by the sum of its
//! members' fingerprints.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use swytch_cluster::{
    Action, Blob, Change, Class, Config, Durable, Envelope, Evicted, FlightId, Incarnation, Input, Key,
    Message, Node, NodeId, NodeSet, Repairs, Request, Rule, Time, ViewId,
};

use super::answers::Known;
use super::config::{KEYS_MAX, Memory, NODES_MAX, Scope};
use super::history::Outcome;
use super::invariants::{Violation, check_repair};
use super::journal::{DELETED, Journal, is_once};
use super::links::Links;
use super::seen::{Fingerprint, fingerprint};

/// A step of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Deliver the message at this place of the wire; `keep` leaves a copy on its way.
    Deliver { index: usize, keep: bool },
    /// A client asks its node for the next operation of the plan, `watch`ing what the last read there has shown. It may
    /// `delete` its keys.
    Submit { node: NodeId, class: Class, keys: KeyMask, watch: bool, delete: bool },
    /// A client wants the databases changed.
    Change { node: NodeId, change: Change },
    /// A node starts an attempt at a view, whatever it hears.
    Propose { node: NodeId, candidates: NodeSet },
    /// A node stops for good.
    Crash(NodeId),
    /// It starts again, empty, and may remember what it has agreed to.
    Restart { node: NodeId, remembers: bool },
    /// The store of a node wants a copy's memory back.
    Evict { node: NodeId, key: usize },
    /// Time passes under the given links; heartbeats get through, and membership messages too if `views` is set.
    Advance { ms: u64, links: Links, views: bool },
}

/// Keys of a scope: bit `i` is its `i`-th key.
pub(super) type KeyMask = u8;

/// The places of a mask's bits.
pub(super) fn indexes(mask: KeyMask) -> impl Iterator<Item = usize> {
    (0..KEYS_MAX).filter(move |index| mask >> index & 1 == 1)
}

/// A node and what is derived from it.
#[derive(Clone)]
pub(super) struct Slot {
    /// The node.
    pub(super) node: Arc<Node<Journal>>,
    /// Per key of the scope, the operations its value contains: bit `i` is tag `i`.
    pub(super) tags: [u64; KEYS_MAX],
    /// The same of the fork that it keeps of the key, if it does.
    pub(super) forked: [Option<u64>; KEYS_MAX],
    print: u64,
}

/// A state of the cluster.
#[derive(Clone)]
pub(super) struct State {
    /// Nodes; `None` after a crash.
    pub(super) nodes: [Option<Slot>; NODES_MAX],
    /// The views that the nodes have spoken of last.
    pub(super) views: [ViewId; NODES_MAX],
    /// What the nodes have written down, with its fingerprint.
    disks: [Option<(u64, Arc<Durable>)>; NODES_MAX],
    /// Nodes that have acted since the last [`State::refresh`].
    touched: NodeSet,
    /// Messages on their way, sorted by fingerprint.
    pub(super) wire: Vec<(u64, Arc<Envelope>)>,
    wire_print: u64,
    /// The clock, the same at every node.
    pub(super) now_ms: u64,
    /// Links as of the last advance.
    pub(super) links: Links,
    /// Operations so far; the index is the tag.
    pub(super) outcomes: Arc<Vec<Outcome>>,
    /// Fingerprint of the operations; zero when they have changed.
    outcomes_print: u64,
    /// What clients have been told.
    pub(super) known: Arc<Known>,
    /// Budgets spent.
    pub(super) spent: Spent,
    /// Operations below this tag may have been flushed.
    pub(super) flushes_from: usize,
    /// Swaps of databases that are under way or in doubt, and all that were asked for.
    pub(super) swaps: (u8, u8),
    /// Keys of databases that may have been flushed.
    pub(super) changed: KeyMask,
    /// Keys whose last copy was deleted by an eviction.
    pub(super) deleted: KeyMask,
    /// Operations that such a copy contained: bit `i` is tag `i`. The answer to one may come after the key was deleted
    /// and created anew.
    pub(super) deleted_tags: u64,
    /// Per key of the scope, operations of a creation of it that is forgotten because it was deleted.
    pub(super) forgotten: [u64; KEYS_MAX],
    /// Per key of the scope, the nodes that have held a copy of it all the time.
    pub(super) kept: [NodeSet; KEYS_MAX],
    /// Nodes that run since the beginning and were in every base that was installed.
    pub(super) stayed: NodeSet,
    /// A crash or an expiry may have taken a key's only holders away.
    pub(super) lineage_may_change: bool,
    /// An answer that was not true when it was given.
    pub(super) violation: Option<Arc<Violation>>,
}

/// A copy of a key.
#[derive(Clone, Copy)]
struct Held {
    birth: FlightId,
    is_solo: bool,
    owns: bool,
}

impl Held {
    fn of(node: &Node<Journal>, key: &Key) -> Option<Self> {
        let copy = node.copy_of(key)?;
        Some(Self { birth: copy.meta.birth, is_solo: copy.is_solo(), owns: copy.owns })
    }
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

impl State {
    /// The first state: all nodes of `scope` in one view, and each of its keys shared as asked for.
    pub(super) fn new(scope: &Scope) -> Self {
        let members: NodeSet = (0..scope.nodes).map(NodeId).collect();
        let now_ms = 100_000;
        let time = Time { mono_ms: now_ms, wall_ms: now_ms };
        let nodes = std::array::from_fn(|index| {
            let id = NodeId(index as u8);
            members.contains(id).then(|| {
                let config = Config { mutant: scope.mutant, ..scope.config(id, 1) };
                Slot::new(Node::in_view(config, Journal::default(), members, time))
            })
        });
        let mut state = Self {
            views: std::array::from_fn(|index| {
                nodes[index].as_ref().map(|slot: &Slot| slot.node.view().id).unwrap_or_default()
            }),
            disks: std::array::from_fn(|index| {
                let remembers = scope.memory != Memory::None;
                let durable =
                    nodes[index].as_ref().filter(|_| remembers).map(|slot: &Slot| slot.node.durable())?;
                Some((fingerprint(&durable), Arc::new(durable)))
            }),
            nodes,
            touched: members,
            wire: Vec::new(),
            wire_print: 0,
            now_ms,
            links: Links::WHOLE,
            outcomes: Arc::default(),
            outcomes_print: 0,
            known: Arc::default(),
            spent: Spent::default(),
            flushes_from: 0,
            swaps: (0, 0),
            changed: 0,
            deleted: 0,
            deleted_tags: 0,
            forgotten: [0; KEYS_MAX],
            kept: [NodeSet::EMPTY; KEYS_MAX],
            stayed: members,
            lineage_may_change: false,
            violation: None,
        };
        for (key, holders) in &scope.shared {
            for node in holders.iter() {
                // The first one creates it.
                let class = if Some(node) == holders.first() { Class::W } else { Class::Read };
                state.input(scope, node, Input::Client(Request { class, ..read_of(key) }));
                state.deliver_all(scope);
                // Who was sent to the owner of a twin asks again after a while.
                for _ in 0..SETTLING_TICKS {
                    if state.node(node).is_some_and(|node| node.copy_of(key).is_some()) {
                        break;
                    }
                    state.tick_all(scope);
                }
            }
        }
        for _ in (0..SETTLING_TICKS).filter(|_| scope.settled) {
            state.tick_all(scope);
        }
        for (key, holders) in &scope.shared {
            // One that never held it would count as a holder that has held it throughout.
            let holds = |id: NodeId| state.node(id).is_some_and(|node| node.copy_of(key).is_some());
            assert!(holders.iter().all(holds), "{}: {key:?} is not at each of {holders:?}", scope.name);
        }
        for (kept, key) in state.kept.iter_mut().zip(&scope.keys) {
            *kept = scope
                .shared
                .iter()
                .filter(|(shared, _)| shared == key)
                .map(|(_, holders)| *holders)
                .next()
                .unwrap_or_default();
        }
        state.refresh(scope);
        state
    }

    fn tick_all(&mut self, scope: &Scope) {
        self.now_ms += Scope::TICK_MS;
        for id in (0..scope.nodes).map(NodeId) {
            self.tick(scope, id, true);
        }
        self.deliver_all(scope);
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
        self.slots().map(|(id, slot)| (id, &*slot.node))
    }

    /// Running nodes with what is derived from them; up to date after [`Self::refresh`].
    pub(super) fn slots(&self) -> impl Iterator<Item = (NodeId, &Slot)> {
        self.nodes.iter().flatten().map(|slot| (slot.node.config().id, slot))
    }

    /// Whether the links as they are let the message through.
    pub(super) fn can_pass(&self, message: &Envelope) -> bool {
        self.links.up(message.from, message.to)
    }

    /// Does one step; everything not chosen stays possible. Returns the nodes that have acted.
    pub(super) fn apply(&mut self, scope: &Scope, step: &Step) -> NodeSet {
        match *step {
            Step::Deliver { index, keep } => self.deliver(scope, index, keep),
            Step::Submit { node, class, keys, watch, delete } => {
                self.submit(scope, node, class, keys, (watch, delete));
            }
            Step::Change { node, change } => self.submit_change(scope, node, change),
            Step::Propose { node, candidates } => {
                self.spent.proposals += 1;
                let time = self.time();
                self.change(scope, node, |node, out| node.propose_view(time, candidates, out));
            }
            Step::Crash(node) => {
                self.spent.crashes += 1;
                self.lineage_may_change = true;
                self.note_gone(NodeSet::only(node));
                self.nodes[usize::from(node.0)] = None;
                self.wire.retain(|(_, message)| message.to != node);
                self.wire_print = self.wire.iter().fold(0, |sum, (print, _)| sum.wrapping_add(*print));
            }
            Step::Restart { node, remembers } => self.restart(scope, node, remembers),
            Step::Evict { node, key } => {
                self.spent.evictions += 1;
                let key = self.node(node).map(|node| node.key_of(&scope.keys[key]));
                key.into_iter().for_each(|key| self.input(scope, node, Input::Evict(key)));
            }
            Step::Advance { ms, links, views } => self.advance(scope, ms, links, views),
        }
        self.refresh(scope)
    }

    fn restart(&mut self, scope: &Scope, id: NodeId, remembers: bool) {
        self.spent.lives += 1;
        let life = u32::from(self.spent.lives) + 1;
        self.views[usize::from(id.0)] = ViewId::default();
        let config = Config { mutant: scope.mutant, ..scope.config(id, life) };
        let node = match &self.disks[usize::from(id.0)] {
            Some((_, durable)) if remembers => {
                Node::restore(config, Journal::default(), Durable::clone(durable), self.time())
            }
            _ => Node::new(config, Journal::default()),
        };
        self.write_down(scope, id, node.durable());
        self.nodes[usize::from(id.0)] = Some(Slot::new(node));
        for other in (0..scope.nodes).map(NodeId) {
            self.input(scope, id, Input::Peer(other));
        }
    }

    fn write_down(&mut self, scope: &Scope, id: NodeId, durable: Durable) {
        if scope.memory != Memory::None {
            self.disks[usize::from(id.0)] = Some((fingerprint(&durable), Arc::new(durable)));
        }
    }

    fn submit(
        &mut self,
        scope: &Scope,
        node: NodeId,
        class: Class,
        keys: KeyMask,
        (watch, delete): (bool, bool),
    ) {
        let tag = self.outcomes.len() as u64;
        self.spent.operations += 1;
        let life = self.node(node).map(Node::incarnation).unwrap_or_default();
        let watched = self.last_read((node, life)).filter(|_| watch);
        let watches = watched.map(|read| self.outcomes[usize::from(read)].versions.clone());
        // It is decided once because of its key.
        let by_key = class == Class::X && scope.keys.iter().all(is_once);
        let request = Request {
            ticket: tag,
            class: if by_key { Class::W } else { class },
            keys: indexes(keys).map(|index| scope.keys[index].clone()).collect(),
            command: [tag as u8, DELETED][..1 + usize::from(delete)].to_vec().into(),
            watches: watches.unwrap_or_default(),
            local_read: false,
            watch: class == Class::Read && scope.watches,
            claims: None,
        };
        if class == Class::Flush {
            // Whether or not it is ever answered, from now on it may happen.
            self.flushes_from = usize::MAX;
            self.kept = [NodeSet::EMPTY; KEYS_MAX];
        }
        let outcome = Outcome { watched, ..self.asked(scope, node, class, keys) };
        self.outcomes_mut().push(outcome);
        self.input(scope, node, Input::Client(request));
    }

    /// An operation that nobody has handled yet.
    fn asked(&self, scope: &Scope, node: NodeId, class: Class, keys: KeyMask) -> Outcome {
        let good =
            |(tag, outcome): (usize, &Outcome)| u64::from(matches!(outcome.answer, Some(Ok(_)))) << tag;
        let (open, asked) = self.swaps;
        let space = self.place_of(scope, node, keys).filter(|_| open == 0);
        Outcome {
            class,
            keys,
            node: (node, self.node(node).map(Node::incarnation).unwrap_or_default()),
            view: self.node(node).map(|node| node.view().id).unwrap_or_default(),
            known: self.known.clone(),
            watched: None,
            versions: Vec::new(),
            answer: None,
            change: None,
            placed: space.map(|space| (space, asked, false)),
            before: self.outcomes.iter().enumerate().map(good).fold(0, |mask, bit| mask | bit),
            flush: 0,
            held: Default::default(),
        }
    }

    /// Whether or not it is ever answered, from now on it may happen.
    fn submit_change(&mut self, scope: &Scope, node: NodeId, change: Change) {
        let ticket = self.outcomes.len() as u64;
        self.spent.operations += 1;
        let outcome = Outcome { change: Some(change), ..self.asked(scope, node, Class::Flush, 0) };
        match change {
            Change::FlushAll => {}
            Change::FlushDb(database) => {
                let keys = scope.keys.iter().enumerate().filter(|(_, key)| key.space().0 == database);
                for (index, _) in keys {
                    self.changed |= 1 << index;
                    self.kept[index] = NodeSet::EMPTY;
                }
                self.deleted |= self.changed;
                self.deleted_tags = u64::MAX;
            }
            Change::SwapDb(..) => {
                self.swaps = (self.swaps.0 + 1, self.swaps.1 + 1);
                self.flushes_from = usize::MAX;
                self.kept = [NodeSet::EMPTY; KEYS_MAX];
            }
        }
        self.outcomes_mut().push(outcome);
        self.input(scope, node, Input::Change { ticket, change });
    }

    pub(super) fn outcomes_mut(&mut self) -> &mut Vec<Outcome> {
        self.outcomes_print = 0;
        Arc::make_mut(&mut self.outcomes)
    }

    fn deliver(&mut self, scope: &Scope, index: usize, keep: bool) {
        let message = if keep {
            self.spent.duplicates += 1;
            self.wire[index].1.clone()
        } else {
            let (print, message) = self.wire.remove(index);
            self.wire_print = self.wire_print.wrapping_sub(print);
            message
        };
        self.input(scope, message.to, Input::Message(Box::new(Arc::unwrap_or_clone(message))));
    }

    /// Delivers everything in a fixed order: for the way into the first state and for healing at the end.
    pub(super) fn deliver_all(&mut self, scope: &Scope) {
        let mut rounds = 0;
        while !self.wire.is_empty() {
            rounds += 1;
            assert!(rounds < 10_000, "messages without end");
            self.wire_print = 0;
            for (_, message) in std::mem::take(&mut self.wire) {
                if self.links.up(message.from, message.to) {
                    let message = Box::new(Arc::unwrap_or_clone(message));
                    self.input(scope, message.to, Input::Message(message));
                }
            }
        }
    }

    fn input(&mut self, scope: &Scope, id: NodeId, input: Input) {
        let time = self.time();
        self.change(scope, id, |node, out| node.handle(time, input, out));
    }

    /// Runs `change` on a copy of the node and carries its actions out.
    fn change(
        &mut self,
        scope: &Scope,
        id: NodeId,
        change: impl FnOnce(&mut Node<Journal>, &mut Vec<Action>),
    ) {
        for action in self.act(scope, id, change) {
            self.carry_out(scope, id, action);
        }
    }

    /// Runs `change` on a copy of the node and notes what it forgets. Returns its actions.
    fn act(
        &mut self,
        scope: &Scope,
        id: NodeId,
        change: impl FnOnce(&mut Node<Journal>, &mut Vec<Action>),
    ) -> Vec<Action> {
        let mut out = Vec::new();
        let Some(Some(slot)) = self.nodes.get_mut(usize::from(id.0)) else { return out };
        self.touched.insert(id);
        let held = |node: &Node<Journal>| -> Vec<Option<Held>> {
            scope.keys.iter().map(|key| Held::of(node, &node.key_of(key))).collect()
        };
        let forgot = |node: &Node<Journal>| node.tally().of(Rule::Forgot);
        let era = |node: &Node<Journal>| {
            let base = &node.view().base;
            (node.tally().of(Rule::Reborn), base.flush, base.databases.clone())
        };
        let (before, then, forgotten) = (held(&slot.node), era(&slot.node), forgot(&slot.node));
        let node = Arc::make_mut(&mut slot.node);
        change(node, &mut out);
        let removed = node.values_mut().take_removed();
        if era(node) != then {
            // All keys went together, or their names mean others.
            return out;
        }
        let (after, view, forgets) = (held(node), node.view().id, forgot(node) > forgotten);
        let own: Vec<Key> = scope.keys.iter().map(|key| node.key_of(key)).collect();
        for (index, key) in own.iter().enumerate() {
            let told =
                |action: &Action| matches!(action, Action::Evict { key: evicted, .. } if evicted == key);
            if out.iter().any(told) {
                continue;
            }
            let of_key = removed.iter().filter(|(other, _)| other == key);
            let deleted = of_key.fold(0, |tags, (_, removed)| tags | removed);
            let (before, after) = (before[index], after[index]);
            // The only holder of a key without a value forgets it without a word, and may have created it anew since.
            let is_forgotten = match before {
                Some(copy) if !copy.is_solo => {
                    copy.owns && forgets && after.is_none_or(|after| after.birth != copy.birth)
                }
                _ => true,
            };
            if deleted != 0 && is_forgotten {
                self.note_forgotten(view, index, deleted);
            } else if before.is_some() && after.is_none() {
                self.note_drop(scope, id, key);
            }
        }
        out
    }

    fn carry_out(&mut self, scope: &Scope, id: NodeId, action: Action) {
        match action {
            Action::Send(envelope) => self.post(*envelope),
            Action::Reply { ticket, result } => self.note_answer(scope, id, ticket as usize, result),
            Action::Evict { key, outcome: Evicted::Deleted } => self.note_deletion(scope, id, &key),
            Action::Evict { key, outcome: Evicted::Dropped } => self.note_drop(scope, id, &key),
            Action::View { id: view, .. } => self.note_view(scope, id, view),
            Action::Persist(durable) => self.write_down(scope, id, *durable),
            Action::Wake { .. } | Action::Evict { .. } | Action::Evacuated => {}
            // All nodes of the model have their numbers from the start.
            Action::Greet { .. } | Action::Nameless => {}
        }
    }

    fn post(&mut self, envelope: Envelope) {
        if passes(&envelope.message, false) || self.node(envelope.to).is_none() {
            return;
        }
        let print = fingerprint(&envelope);
        if let Err(index) = self.wire.binary_search_by_key(&print, |(print, _)| *print) {
            self.wire_print = self.wire_print.wrapping_add(print);
            self.wire.insert(index, (print, Arc::new(envelope)));
        }
    }

    /// Lets time pass in steps of the tick. Heartbeats cross all links that are up; nothing else does unless `views`.
    fn advance(&mut self, scope: &Scope, ms: u64, links: Links, views: bool) {
        self.spent.advances += 1;
        self.links = links;
        self.lineage_may_change |= links != Links::WHOLE;
        let until = self.now_ms + ms;
        let mut touched = NodeSet::EMPTY;
        while self.now_ms < until {
            self.now_ms += Scope::TICK_MS;
            for id in (0..scope.nodes).map(NodeId) {
                self.tick(scope, id, views);
            }
            touched = touched | self.refresh(scope);
        }
        self.touched = touched;
    }

    /// A tick of one node; the heartbeats (and membership messages, if `views`) that follow from it are delivered at
    /// once where a link is up.
    fn tick(&mut self, scope: &Scope, id: NodeId, views: bool) {
        let time = self.time();
        let mut passing = vec![(id, Input::Tick)];
        while let Some((to, input)) = passing.pop() {
            for action in self.act(scope, to, |node, out| node.handle(time, input, out)) {
                match action {
                    Action::Send(envelope) if passes(&envelope.message, views) => {
                        if self.links.up(envelope.from, envelope.to) {
                            passing.push((envelope.to, Input::Message(envelope)));
                        }
                    }
                    other => self.carry_out(scope, to, other),
                }
            }
        }
    }

    /// Heals all links and lets everything come to rest.
    pub(super) fn come_to_rest(&mut self, scope: &Scope) {
        self.links = Links::WHOLE;
        for id in (0..scope.nodes).map(NodeId) {
            if self.node(id).is_none() {
                self.restart(scope, id, scope.memory != Memory::None);
            }
        }
        self.rest_for(scope, 60_000);
        if scope.memory != Memory::Kept {
            self.forget_the_dead(scope);
        }
        if let Err(violation) = check_repair(self, scope) {
            self.violation.get_or_insert(Arc::new(violation));
        }
        for id in (0..scope.nodes).map(NodeId) {
            for key in &scope.keys {
                self.input(scope, id, Input::Client(read_of(key)));
            }
        }
        self.rest_for(scope, 20_000);
        self.refresh(scope);
    }

    /// What an operator does when more than half of a base is dead: nothing can be agreed without him then.
    fn forget_the_dead(&mut self, scope: &Scope) {
        let lives: Vec<(NodeId, Incarnation)> =
            self.running().map(|(id, node)| (id, node.incarnation())).collect();
        let dead: Vec<(NodeId, NodeId)> = self
            .running()
            .flat_map(|(id, node)| {
                let members =
                    [node.accepted_base(), &node.view().base].into_iter().flat_map(|base| &base.members);
                let gone = members.filter(|(member, life)| !lives.contains(&(**member, **life)));
                gone.map(move |(member, _)| (id, *member)).collect::<Vec<_>>()
            })
            .collect();
        for (id, member) in &dead {
            self.input(scope, *id, Input::Forget(*member));
        }
        if !dead.is_empty() {
            self.rest_for(scope, 60_000);
        }
    }

    /// Lets time pass with all links up, until nothing moves any more or for `ms`.
    fn rest_for(&mut self, scope: &Scope, ms: u64) {
        let until = self.now_ms + ms;
        let mut quiet = 0;
        while self.now_ms < until && quiet < QUIET_TICKS {
            self.now_ms += Scope::TICK_MS;
            for id in (0..scope.nodes).map(NodeId) {
                self.tick(scope, id, true);
            }
            quiet = if self.wire.is_empty() && self.is_quiet(scope) { quiet + 1 } else { 0 };
            self.deliver_all(scope);
            self.refresh(scope);
        }
    }

    fn is_quiet(&self, scope: &Scope) -> bool {
        let all: NodeSet = (0..scope.nodes).map(NodeId).collect();
        self.running().all(|(_, node)| {
            let is_repaired = node.repairs() == Repairs { alone: 0, all_seen: true };
            let is_idle = node.unfinished() == (0, 0, 0) && is_repaired;
            node.is_serving() && node.view().members == all && is_idle
        })
    }

    /// Looks at the nodes that have acted: what their values contain and their fingerprints. Returns which.
    fn refresh(&mut self, scope: &Scope) -> NodeSet {
        let touched = std::mem::take(&mut self.touched);
        for id in touched.iter() {
            let at = usize::from(id.0);
            let Some(slot) = &mut self.nodes[at] else { continue };
            slot.print = 0;
            let life = slot.node.incarnation();
            for (index, key) in scope.keys.iter().enumerate() {
                let key = &slot.node.key_of(key);
                let mask = mask_of(slot.node.values().tags(key));
                let before = std::mem::replace(&mut slot.tags[index], mask);
                // When it becomes one, it is what was held before.
                slot.forked[index] = slot.node.has_fork(key).then(|| slot.forked[index].unwrap_or(before));
                let missing =
                    |outcome: &Outcome| outcome.keys >> index & 1 == 1 && outcome.held[index][at] != life;
                // What the owner has executed and not decided may be taken back.
                let open = slot.node.copy_of(key).is_some_and(|copy| copy.owns && copy.pending);
                for tag in bits(mask) {
                    let decided = !open || self.known.shows(tag);
                    if decided && self.outcomes.get(tag).is_some_and(missing) {
                        self.outcomes_print = 0;
                        Arc::make_mut(&mut self.outcomes)[tag].held[index][at] = life;
                    }
                }
            }
        }
        touched
    }

    /// What tells this state from others.
    pub(super) fn fingerprint(&mut self) -> u64 {
        let mut hasher = Fingerprint::default();
        for slot in &mut self.nodes {
            if let Some(slot) = slot {
                if slot.print == 0 {
                    slot.print = fingerprint(&*slot.node);
                }
                hasher.write_u64(slot.print);
            } else {
                hasher.write_u64(0);
            }
        }
        self.disks.iter().flatten().for_each(|(print, _)| hasher.write_u64(*print));
        if self.outcomes_print == 0 {
            self.outcomes_print = fingerprint(&(&*self.outcomes, &*self.known));
        }
        (self.wire_print, self.outcomes_print, self.now_ms, self.links, self.spent).hash(&mut hasher);
        hasher.finish()
    }
}

/// Ticks in which records that nobody needs go.
const SETTLING_TICKS: u32 = 6;

/// Ticks without anything in progress after which a healed cluster counts as being at rest.
const QUIET_TICKS: u32 = 4;

/// A bit per operation.
pub(super) fn mask_of(tags: &[u8]) -> u64 {
    tags.iter().fold(0, |mask, tag| mask | 1 << (tag & 63))
}

/// The places of set bits.
pub(super) fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(next)
    })
}

impl Slot {
    fn new(node: Node<Journal>) -> Self {
        Self { node: Arc::new(node), tags: [0; KEYS_MAX], forked: [None; KEYS_MAX], print: 0 }
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
        watch: false,
        claims: None,
    }
}

fn passes(message: &Message, views: bool) -> bool {
    match message {
        Message::Heartbeat { .. } | Message::Probe { .. } | Message::Probed { .. } => true,
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
