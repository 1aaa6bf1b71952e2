//! The event loop: virtual time, hosts with their clocks, the network, and what is observed on the way.
//!
//! Invariants: events are handled in the order of (time, number); every random choice comes from generators forked
//! from the seed in a fixed order; nothing iterates over an unordered container.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use swytch_cluster::{
    Action, Config, Durable, Envelope, Evicted, FlightId, Greeting, Incarnation, Input, Key, Message, Mutant,
    Newcomer, Node, NodeId, NodeSet, Pledge, Rule, Space, Time, ViewId,
};

use super::clients::{Client, Record};
use super::coverage::{self, Coverage};
use super::judge::Violation;
use super::lines::Line;
use super::nemesis::{Exile, Nemesis};
use super::newcomers;
use super::profile::{KeyUse, PlannedKey, Profile};
use super::scans::Scan;
use super::store::Store;
use super::values::Payloads;
use crate::check::convergence::Digest;
use crate::rng::Rng;

/// The wall clock at the start of every run, in milliseconds since the epoch.
pub const WALL_START_MS: u64 = 1_700_000_000_000;
/// Quiet time before faults begin.
const SETTLE_MS: u64 = 3_000;
/// Quiet time after the faults, before the last reads.
const HEAL_MS: u64 = 15_000;
/// Time for the last answers after the clients have stopped asking: more than any node takes to answer.
const CLOSE_MS: u64 = 12_000;
/// The last reads must succeed within this time after that.
const FINAL_MS: u64 = 200_000;
/// Interval of the observer.
const OBSERVE_MS: u64 = 500;
/// A run with more events than this has lost itself.
const EVENTS_MAX: u64 = 20_000_000;

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Start { host: usize },
    Tick { host: usize, life: u32 },
    Deliver(Box<Envelope>),
    Greet { from: usize, to: usize, greeting: Box<Greeting> },
    Client { client: usize, turn: u64 },
    Nemesis { number: usize },
    Exile(Exile),
    Restart { host: usize },
    Mend { cut: u64 },
    Resume { host: usize },
    Observe,
    Heal,
    Close,
    Final,
    End,
}

/// A machine: at most one life of a node at a time, and two clocks.
pub(super) struct Host {
    pub(super) node: Option<Node<Store>>,
    /// A node that has no number yet, and what it has written down.
    pub(super) newcomer: Option<Box<Newcomer>>,
    pub(super) pledge: Pledge,
    pub(super) life: u32,
    /// Speed of the monotonic clock, of 1000.
    pub(super) rate_permille: u64,
    pub(super) wall_offset_ms: i64,
    pub(super) started_us: u64,
    pub(super) paused_until_us: u64,
    pub(super) leaving: bool,
    pub(super) left: bool,
    /// What its nodes have written down, if they remember.
    pub(super) disk: Option<Durable>,
    pub(super) view: ViewId,
}

/// A cluster being played.
pub struct World {
    /// What is played.
    pub profile: Profile,
    /// What the clients did.
    pub history: Vec<Record>,
    /// Events handled.
    pub events: u64,
    /// Keys of which every copy was lost in a way the design allows, by index.
    pub tainted: BTreeSet<usize>,
    /// Keys of which acknowledged mergeable writes may be gone, by index.
    pub lenient: BTreeSet<usize>,
    /// Elements that died with every host that had them.
    pub excused: BTreeSet<(usize, u64)>,
    /// Who held what an acknowledged transaction has pushed, by key and element, when it was acknowledged. It is promised
    /// as long as one of them lives.
    pub(super) promised: BTreeMap<(usize, u64), Vec<(NodeId, Incarnation)>>,
    /// Copies given up by eviction: (event, host, key index). A session on that host cannot rely on them any more.
    pub dropped: Vec<(u64, usize, usize)>,
    /// Promises seen to be broken while the run was going on.
    pub observed: Vec<Violation>,
    /// A view changed after the first quiet time, or left a member of the base out.
    pub disturbed: bool,
    /// The last reads, by key index.
    pub last_reads: BTreeMap<usize, usize>,
    /// Print everything that concerns this key (by index), and every fault and view.
    pub watch: Option<usize>,
    pub(super) hosts: Vec<Host>,
    pub(super) clients: Vec<Client>,
    pub(super) nemesis: Nemesis,
    pub(super) payloads: Payloads,
    pub(super) now_us: u64,
    pub(super) rng: Rng,
    pub(super) workload: Rng,
    pub(super) healing: bool,
    pub(super) closing: bool,
    /// The last reads come next, when all is healed.
    finishing: bool,
    /// The last reads are under way.
    reading: bool,
    pub(super) tickets: BTreeMap<u64, usize>,
    /// Keys created while a host that holds them was out of reach: key index and that host's life.
    pub(super) doubts: Vec<(usize, NodeId, Incarnation)>,
    /// Creations seen so far, by key index.
    pub(super) births: BTreeSet<(usize, FlightId)>,
    /// Looks of the observer.
    pub(super) looks: u64,
    pub(super) scan: Option<Scan>,
    /// Who waits, by key index.
    pub(super) lines: BTreeMap<usize, Line>,
    mutant: Option<Mutant>,
    queue: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    ended: bool,
    last_delivery: BTreeMap<(usize, usize), u64>,
    coverage: Coverage,
    trace: Digest,
}

impl World {
    /// A world before its first event.
    pub fn new(profile: Profile, mutant: Option<Mutant>) -> Self {
        let mut root = Rng::new(profile.seed ^ 0x5EED);
        let (rng, workload, faults, mut clocks) = (root.fork(), root.fork(), root.fork(), root.fork());
        let is_decided = |planned: &&PlannedKey| planned.used_as == KeyUse::DecidedRegister;
        let decided = profile.keys.iter().filter(is_decided).map(|planned| planned.key.in_space(Space(0)));
        let payloads = Payloads::new(decided.collect());
        let hosts = (0..profile.hosts)
            .map(|_| Host {
                node: None,
                newcomer: None,
                pledge: Pledge::default(),
                life: 0,
                rate_permille: if profile.drift {
                    clocks.between(578, 1_730)
                } else {
                    clocks.between(990, 1_010)
                },
                wall_offset_ms: clocks.below(200) as i64 - 100,
                started_us: 0,
                paused_until_us: 0,
                leaving: false,
                left: false,
                disk: None,
                view: ViewId::default(),
            })
            .collect();
        let mut world = Self {
            history: Vec::new(),
            events: 0,
            tainted: BTreeSet::new(),
            lenient: BTreeSet::new(),
            excused: BTreeSet::new(),
            promised: BTreeMap::new(),
            dropped: Vec::new(),
            observed: Vec::new(),
            disturbed: false,
            last_reads: BTreeMap::new(),
            watch: None,
            hosts,
            clients: (0..profile.clients).map(|index| Client::new(index as u32)).collect(),
            nemesis: Nemesis::new(faults, &profile),
            payloads,
            now_us: 0,
            rng,
            workload,
            healing: false,
            closing: false,
            finishing: false,
            reading: false,
            tickets: BTreeMap::new(),
            doubts: Vec::new(),
            births: BTreeSet::new(),
            looks: 0,
            scan: None,
            lines: BTreeMap::new(),
            mutant,
            queue: BTreeMap::new(),
            next_event: 0,
            ended: false,
            last_delivery: BTreeMap::new(),
            coverage: Coverage::default(),
            trace: Digest::default(),
            profile,
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        for host in 0..self.profile.hosts {
            let at = if host < self.profile.initial {
                if self.profile.formed { 0 } else { self.rng.below(500_000) }
            } else {
                1_000 * self.rng.between(SETTLE_MS, SETTLE_MS + self.profile.disturbed_ms / 2)
            };
            self.at(at, Event::Start { host });
        }
        for client in 0..self.profile.clients {
            let at = self.rng.between(200_000, 1_500_000);
            self.at(at, Event::Client { client, turn: 0 });
        }
        Nemesis::plan(self, SETTLE_MS * 1_000);
        let heal = (SETTLE_MS + self.profile.disturbed_ms) * 1_000;
        self.at(heal, Event::Heal);
        let close = heal + HEAL_MS * 1_000;
        self.at(close, Event::Close);
        self.at(close + CLOSE_MS * 1_000, Event::Final);
        self.at(close + (CLOSE_MS + FINAL_MS) * 1_000, Event::End);
        self.at(OBSERVE_MS * 1_000, Event::Observe);
    }

    /// Plays to the end.
    pub fn play(&mut self) {
        while !self.ended && self.events < EVENTS_MAX && self.observed.len() < 20 {
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            self.now_us = at;
            self.events += 1;
            self.note(at);
            self.handle(event);
        }
        if self.events >= EVENTS_MAX {
            self.violate("too many events", String::new());
        }
        for host in 0..self.hosts.len() {
            self.collect_tally(host);
        }
    }

    /// The rule that is left out.
    pub(super) fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }

    /// The digest of everything that happened so far.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// What was exercised so far.
    pub fn coverage(&self) -> Coverage {
        self.coverage.clone()
    }

    /// Virtual milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    pub(super) fn at(&mut self, at_us: u64, event: Event) {
        self.next_event += 1;
        self.queue.insert((at_us, self.next_event), event);
    }

    pub(super) fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us + delay_us, event);
    }

    pub(super) fn violate(&mut self, kind: &'static str, detail: String) {
        let detail = format!("at {} ms: {detail}", self.now_ms());
        self.observed.push(Violation { kind, detail });
    }

    pub(super) fn note(&mut self, what: impl Hash) {
        what.hash(&mut self.trace);
    }

    /// Prints a line if a key is being watched.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if self.watch.is_some() {
            println!("{:>9.3} #{} {}", self.now_us as f64 / 1e6, self.events, line());
        }
    }

    /// Prints a line if it is about the key being watched.
    fn tell_of(&self, host: usize, line: impl FnOnce() -> String) {
        let Some(index) = self.watch else { return };
        let line = line();
        let key = &self.profile.keys[index].key;
        let mentioned = line.contains(&*String::from_utf8_lossy(key.bytes()));
        let Some(node) = self.hosts[host].node.as_ref().filter(|_| mentioned) else { return };
        let key = &node.key_of(key);
        self.tell(|| {
            let copy = node.copy_of(key).map(|copy| {
                format!(
                    "{:?} stable {:?} of {:?} owns {}",
                    copy.meta.version, copy.meta.stable, copy.meta.subscribers, copy.owns
                )
            });
            format!(
                "{line}\n              now {:?} {copy:?}",
                node.values().object(key).map(|object| object.into_owned().value)
            )
        });
    }

    pub(super) fn is_up(&self, host: usize) -> bool {
        self.hosts[host].node.is_some()
    }

    /// The nodes of all running hosts.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node<Store>> {
        self.hosts.iter().filter_map(|host| host.node.as_ref())
    }

    pub(super) fn up_hosts(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|&host| self.is_up(host)).collect()
    }

    /// The planned key that is called so at a host.
    pub(super) fn key_index(&self, host: usize, key: &Key) -> Option<usize> {
        let name = self.hosts[host].node.as_ref()?.name_of(key)?;
        self.profile.keys.iter().position(|planned| planned.key == name)
    }

    /// A planned key, as a node knows it.
    pub(super) fn key_at(&self, node: &Node<Store>, index: usize) -> Key {
        node.key_of(&self.profile.keys[index].key)
    }

    pub(super) fn time_of(&self, host: usize) -> Time {
        let state = &self.hosts[host];
        let elapsed_us = self.now_us.saturating_sub(state.started_us);
        let wall = WALL_START_MS as i64 + (self.now_us / 1_000) as i64 + state.wall_offset_ms;
        Time { mono_ms: elapsed_us * state.rate_permille / 1_000_000 + 1_000, wall_ms: wall as u64 }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Start { host } | Event::Restart { host } => self.start(host),
            Event::Tick { host, life } => self.tick(host, life),
            Event::Deliver(envelope) => self.deliver(envelope),
            Event::Greet { from, to, greeting } => self.greeted(from, to, *greeting),
            Event::Client { client, turn } => self.client_turn(client, turn),
            Event::Nemesis { number } => Nemesis::strike(self, number),
            Event::Exile(step) => Nemesis::exile(self, step),
            Event::Mend { cut } => self.nemesis.mend(cut),
            Event::Resume { host } => self.note(("resume", host)),
            Event::Observe => self.observe(),
            Event::Heal => Nemesis::heal(self),
            Event::Close => self.closing = true,
            Event::Final => self.finishing = true,
            Event::End => self.ended = true,
        }
    }

    fn start(&mut self, host: usize) {
        if self.is_up(host) || self.hosts[host].left || self.hosts[host].newcomer.is_some() {
            return;
        }
        let now_us = self.now_us;
        let state = &mut self.hosts[host];
        state.life += 1;
        state.started_us = now_us;
        state.leaving = false;
        let life = state.life;
        let phase = self.rng.below(50_000);
        self.after(phase, Event::Tick { host, life });
        if self.profile.named && life == 1 {
            self.start_without_number(host);
            return;
        }
        let config =
            Config { bootstrap: host == 0 && life == 1, ..self.config_of(host, Incarnation::of_life(life)) };
        let values = Store::new(self.profile.store, self.payloads.clone());
        let formed = self.profile.formed && life == 1 && host < self.profile.initial;
        let node = if formed {
            let members: NodeSet = (0..self.profile.initial).map(|member| NodeId(member as u8)).collect();
            Node::in_view(config, values, members, self.time_of(host))
        } else if let Some(durable) = self.hosts[host].disk.clone() {
            Node::restore(config, values, durable, self.time_of(host))
        } else {
            Node::new(config, values)
        };
        let node = if self.profile.named { node.at(newcomers::contact(host)) } else { node };
        self.install(host, node);
        for peer in 0..self.hosts.len() {
            if peer != host {
                self.input(host, Input::Peer(NodeId(peer as u8)));
            }
        }
    }

    pub(super) fn config_of(&self, host: usize, incarnation: Incarnation) -> Config {
        Config {
            incarnation,
            parts: self.profile.parts,
            databases: 2,
            copies: self.profile.copies,
            timers: self.profile.timers,
            limits: self.profile.limits,
            minority: self.profile.minority,
            multi_key: self.profile.multi_key,
            mutant: self.mutant,
            ..Config::new(NodeId(host as u8))
        }
    }

    /// A node runs from here on.
    pub(super) fn install(&mut self, host: usize, node: Node<Store>) {
        let (state, life) = (&mut self.hosts[host], node.incarnation());
        state.newcomer = None;
        if self.profile.remembers {
            state.disk = Some(node.durable());
        }
        state.view = node.view().id;
        state.node = Some(node);
        self.note(("start", host, life));
        self.tell(|| format!("host {host} starts in {life:?}"));
    }

    fn tick(&mut self, host: usize, life: u32) {
        let has_number = self.is_up(host);
        if !has_number && self.hosts[host].newcomer.is_none() || self.hosts[host].life != life {
            return;
        }
        let state = &self.hosts[host];
        if state.paused_until_us > self.now_us {
            self.at(self.hosts[host].paused_until_us, Event::Tick { host, life });
            return;
        }
        let interval_us = self.profile.timers.tick_ms * 1_000_000 / state.rate_permille;
        if has_number {
            self.input(host, Input::Tick);
        } else {
            self.newcomer_tick(host);
        }
        self.after(interval_us.max(1_000), Event::Tick { host, life });
    }

    fn deliver(&mut self, envelope: Box<Envelope>) {
        let to = usize::from(envelope.to.0);
        if !self.is_up(to) {
            return;
        }
        let paused = self.hosts[to].paused_until_us;
        if paused > self.now_us {
            self.at(paused, Event::Deliver(envelope));
            return;
        }
        if !self.admits(to, &envelope) {
            return;
        }
        *self.coverage.messages.entry(coverage::name(&envelope.message)).or_default() += 1;
        self.note((envelope.from, envelope.to, coverage::name(&envelope.message)));
        if let Message::MayDrop { key, .. } = &envelope.message {
            self.observe_permission(&envelope, key);
        }
        let evict = Nemesis::evicts_at(self, &envelope.message);
        let proposal = matches!(envelope.message, Message::Propose { .. } | Message::Promise { .. });
        let line = self.watch.map(|_| {
            format!("{:?} -> {:?} in {:?}: {:?}", envelope.from, envelope.to, envelope.view, envelope.message)
        });
        self.input(to, Input::Message(envelope));
        if let Some(line) = line {
            if proposal {
                self.tell(|| line);
            } else {
                self.tell_of(to, || line);
            }
        }
        if let Some(key) = evict {
            self.input(to, Input::Evict(key));
        }
    }

    /// Hands an input to a node and does what it asks for.
    pub(super) fn input(&mut self, host: usize, input: Input) {
        let time = self.time_of(host);
        let Some(node) = &mut self.hosts[host].node else { return };
        let mut actions = Vec::new();
        let before = node.tally();
        let is_wake = matches!(&input, Input::Message(of) if matches!(of.message, Message::Wake { .. }));
        node.handle(time, input, &mut actions);
        let after = node.tally();
        let has_more = |rule: Rule| after.of(rule) > before.of(rule);
        if has_more(Rule::Created) || has_more(Rule::CreatedInDoubt) {
            self.observe_creations(host);
        } else if has_more(Rule::Recorded) {
            self.note_births(host);
        }
        if has_more(Rule::DecidedWhole) {
            self.observe_decided_whole(host);
        }
        if has_more(Rule::DecidedForgotten) {
            self.observe_forgotten_fork(host);
        }
        self.follow_scan(host);
        self.follow_lines(host, &actions, is_wake);
        for action in actions {
            match action {
                Action::Send(envelope) => {
                    if Nemesis::crashes_at(self, host, &envelope.message) {
                        // Crashed before or after this message left; the rest of the actions died with the host.
                        if self.rng.chance(1, 2) {
                            self.send(host, envelope);
                        }
                        self.crash(host);
                        return;
                    }
                    self.send(host, envelope);
                }
                Action::Greet { to, greeting } => self.greet(host, &to, greeting),
                // Each host's uid asks for a number of its own.
                Action::Nameless => self.violate("a number is somebody else's", format!("host {host}")),
                Action::Reply { ticket, result } => self.reply(host, ticket, result),
                Action::Wake { ticket } => self.wake(ticket),
                Action::Evict { key, outcome } => self.evicted(host, &key, outcome),
                Action::Evacuated => self.evacuated(host),
                Action::Persist(durable) => {
                    if self.profile.remembers {
                        self.hosts[host].disk = Some(*durable);
                    }
                }
                Action::View { id, members } => {
                    self.note((host, id, members));
                    self.tell(|| format!("host {host} installs {id:?} {members:?}"));
                    self.hosts[host].view = id;
                    let parted =
                        self.hosts[host].node.as_ref().is_some_and(|node| !node.view().missing().is_empty());
                    self.disturbed |= parted || self.now_us > SETTLE_MS * 1_000;
                    self.resolve_doubts(host);
                }
            }
        }
    }

    fn send(&mut self, from: usize, envelope: Box<Envelope>) {
        let to = usize::from(envelope.to.0);
        if to >= self.hosts.len() || self.nemesis.is_cut(from, to, &envelope.message) {
            return;
        }
        self.transmit(from, to, Event::Deliver(envelope));
    }

    /// The network between two hosts that are not cut off from each other.
    pub(super) fn transmit(&mut self, from: usize, to: usize, event: Event) {
        let lossy = !self.healing;
        if lossy && self.rng.below(1_000) < self.profile.loss_permille {
            return;
        }
        let copies = if lossy && self.rng.below(1_000) < self.profile.duplicate_permille { 2 } else { 1 };
        for _ in 0..copies {
            let (low, high) = self.profile.delay_us;
            // Mostly near the lower end, as networks are; now and then far out.
            let spread = self.rng.below(high - low + 1) * self.rng.below(1_000) / 1_000;
            let mut at = self.now_us + low + spread;
            if !self.profile.reorder {
                let last = self.last_delivery.entry((from, to)).or_default();
                at = at.max(*last + 1);
                *last = at;
            }
            self.at(at, event.clone());
        }
    }

    /// Ends a life. What only this host had is gone, and nobody is to blame.
    pub(super) fn crash(&mut self, host: usize) {
        self.note(("crash", host));
        self.tell(|| format!("host {host} crashes"));
        self.collect_tally(host);
        let Some(node) = self.hosts[host].node.take() else { return };
        self.note_losses(&node);
        let restart = self.rng.between(100_000, 12_000_000);
        self.after(restart, Event::Restart { host });
        self.disconnect(host);
    }

    fn collect_tally(&mut self, host: usize) {
        if let Some(node) = &self.hosts[host].node {
            self.coverage.add_tally(&node.tally());
        }
    }

    pub(super) fn leave(&mut self, host: usize) {
        self.input(host, Input::Leave);
        // Its last messages are on their way; then the machine is switched off.
        self.collect_tally(host);
        self.hosts[host].node = None;
        self.hosts[host].left = true;
        self.disconnect(host);
    }

    fn evicted(&mut self, host: usize, key: &Key, outcome: Evicted) {
        self.note((host, key.hash64(), outcome));
        if let Some(index) = self.key_index(host, key) {
            if outcome == Evicted::Deleted {
                self.forgive(index);
            }
            self.dropped.push((self.events, host, index));
        }
    }

    /// All that the host holds is held by others as well: if it was to leave, it goes. Else the observer asks again.
    fn evacuated(&mut self, host: usize) {
        if self.hosts[host].leaving && self.is_up(host) && Nemesis::may_crash(self, host) {
            self.leave(host);
        }
    }

    /// Looks at the whole cluster at once, as no node can.
    fn observe(&mut self) {
        for index in 0..self.profile.keys.len() {
            let key = self.profile.keys[index].key.clone();
            let mut owners: BTreeMap<(ViewId, FlightId), usize> = BTreeMap::new();
            let mut found = Vec::new();
            let mut holders: BTreeMap<ViewId, (usize, bool)> = BTreeMap::new();
            for (host, state) in self.hosts.iter().enumerate() {
                let Some(node) = &state.node else { continue };
                let key = node.key_of(&key);
                let Some(copy) = node.copy_of(&key) else { continue };
                let (other, solo) = holders.entry(node.view().id).or_insert((host, copy.is_solo()));
                if *other != host && (*solo || copy.is_solo()) {
                    let detail = format!("{key:?}: hosts {other} and {host} hold it");
                    found.push(("held by others as well as without a record", detail));
                }
                if copy.owns
                    && node.is_serving()
                    && let Some(other) = owners.insert((node.view().id, copy.meta.birth), host)
                {
                    let view = node.view().id;
                    let detail = format!("{key:?}: hosts {other} and {host} both own it in {view:?}");
                    found.push(("two owners in one view", detail));
                }
            }
            if self.profile.one_by_one && self.is_whole() && self.has_one_holder(&key) {
                found.push(("a key has one holder though nothing is left to repair", format!("{key:?}")));
            }
            for (kind, detail) in found {
                self.violate(kind, detail);
            }
        }
        for host in self.up_hosts() {
            let time = self.time_of(host);
            let Some(node) = &self.hosts[host].node else { continue };
            let is_due = |key: &Key| {
                let deadline_ms = node.values().object(key).and_then(|object| object.deadline_ms);
                deadline_ms.is_some_and(|deadline_ms| deadline_ms <= time.wall_ms)
            };
            let keys = (0..self.profile.keys.len()).map(|index| self.key_at(node, index));
            let mut due: Vec<Key> = keys.filter(is_due).collect();
            due.sort();
            for key in due {
                self.input(host, Input::Expire(key));
            }
            if self.hosts[host].leaving {
                self.input(host, Input::Evacuate);
            }
        }
        self.scan_now_and_then();
        self.looks += 1;
        if self.finishing && !self.reading && self.is_healed() {
            self.reading = true;
            self.start_last_reads();
        }
        if self.reading && self.is_finished() {
            self.ended = true;
        }
        self.after(OBSERVE_MS * 1_000, Event::Observe);
    }

    /// All hosts are in one view, and nobody has forks to bring back.
    fn is_healed(&self) -> bool {
        let mut nodes = self.hosts.iter().filter(|host| !host.left).map(|host| host.node.as_ref());
        let view = nodes.clone().flatten().next().map(|node| node.view().id);
        nodes.all(|node| {
            node.is_some_and(|node| {
                node.is_serving() && Some(node.view().id) == view && node.unfinished().1 == 0
            })
        })
    }

    /// All last reads are in and all copies agree.
    fn is_finished(&self) -> bool {
        self.last_reads.len() == self.profile.keys.len() && super::judge::diverging(self).is_none()
    }
}
