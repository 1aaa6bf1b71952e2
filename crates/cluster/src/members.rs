//! Who is there: heartbeats, suspicion, the lease, and the exchange that leads from one view to the next.
//!
//! Invariants:
//! - A node takes part in one view at a time, the one it has installed. From its promise of a newer view until an
//!   installation it is *frozen*: it begins nothing new in the old one, since that would only be cut short; what is
//!   under way may end, for all that a promise tells is bases, and copies are requested after the installation.
//! - The lease holds only while nodes that make up most of the installed base (this node included) have echoed a
//!   heartbeat this node sent less than `lease_ms` ago, and stand on the very same base: they have accepted none after
//!   it. Most are more than half, or half with the base's lowest member ([`Base::is_most`]). A node that accepts a base without some member has not heard that member for `expiry_ms`. The two sets of nodes meet, so
//!   the lease of a dropped node is over before the base that drops it exists.
//!
//! There is one `Members` in a node; the partitions of its keys see it through [`Installed`] and [`Fence`] only, and act
//! on a new view when they next do anything.
//!
//! Neighbours: `reach` says who is there, `view` has the rules, `installed` what partitions are shown, `flush` makes FLUSHALL a change of the base,
//! `enter` does what a new view means for keys and operations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::config::Config;
use crate::databases::Changes;
use crate::flush::Flushing;
use crate::ids::{COUNTER_MAX, Contact, Generation, Incarnation, NodeId, NodeSet, Time, ViewId, is_near};
use crate::installed::{Fence, Installed};
use crate::interface::Action;
use crate::key::{Space, mix};
use crate::message::{Base, BaseTag, Envelope, Message, Vote};
use crate::mutant::Mutant;
use crate::naming::Claim;
use crate::reach::Probe;
use crate::tally::{Rule, Tally};
use crate::view::{Absence, Candidate, Plan, Quorum, View, may_drop, plan};

/// What a node knows of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) incarnation: Incarnation,
    /// Own clock at the last heartbeat from it.
    pub(crate) heard_ms: u64,
    /// Its clock in that heartbeat; `None` until the first.
    pub(crate) sent_ms: Option<u64>,
    /// Own clock in the newest own heartbeat it has echoed.
    pub(crate) echoed_ms: Option<u64>,
    pub(crate) reach: NodeSet,
    pub(crate) base: BaseTag,
    pub(crate) promised: ViewId,
    /// It remembers what its earlier lives have agreed to.
    pub(crate) is_heir: bool,
    /// Something that was sent to it is not answered.
    pub(crate) probe: Option<Probe>,
}

impl Peer {
    /// One that was not heard yet, or counts as heard at this moment.
    pub(crate) fn new(incarnation: Incarnation, heard_ms: u64) -> Self {
        Self {
            incarnation,
            heard_ms,
            sent_ms: None,
            echoed_ms: None,
            reach: NodeSet::EMPTY,
            base: BaseTag::default(),
            promised: ViewId::default(),
            is_heir: false,
            probe: None,
        }
    }
}

/// A proposal this node has accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Accepted {
    pub(crate) view: ViewId,
    pub(crate) members: NodeSet,
    pub(crate) base: Base,
    pub(crate) previous: Base,
    /// The view that all members come from that do not start empty.
    pub(crate) from: ViewId,
}

/// A view this node is trying to bring about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    view: ViewId,
    started_ms: u64,
    flush: bool,
    candidates: NodeSet,
    promises: BTreeMap<NodeId, Candidate>,
    proposal: Option<Plan>,
    accepts: NodeSet,
}

/// Everything a node knows about who is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Members {
    pub(crate) config: Config,
    pub(crate) now: Time,
    pub(crate) incarnation: Incarnation,
    /// What partitions are shown of the installed view.
    pub(crate) installed: Arc<Installed>,
    pub(crate) promised: ViewId,
    pub(crate) accepted: Accepted,
    /// A base after the installed one that this node has accepted.
    pub(crate) vote: Option<Vote>,
    /// This life remembers what earlier ones have agreed to.
    pub(crate) is_heir: bool,
    /// The base that the last of them had installed.
    pub(crate) inherited: Base,
    /// Members of the base before the last FLUSHALL, and of the one it made, that were not seen in a view with it.
    pub(crate) unflushed: NodeSet,
    /// Who this node is.
    pub(crate) contact: Contact,
    /// Numbers that no base names yet.
    pub(crate) claims: BTreeMap<NodeId, Claim>,
    /// Peers with an address.
    pub(crate) known: NodeSet,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    /// Lives up to this one are over.
    pub(crate) over: BTreeMap<NodeId, Incarnation>,
    /// Which life of a node was expired last.
    pub(crate) exiles: BTreeMap<NodeId, Incarnation>,
    attempt: Option<Attempt>,
    wanted_since_ms: Option<u64>,
    next_attempt_ms: u64,
    heartbeat_ms: Option<u64>,
    /// The highest view heard of in a refusal.
    highest: ViewId,
    /// A base that does not have this node: its members, not this node's own attempts, bring it in.
    outside: BaseTag,
    /// When that was last found out.
    outside_ms: u64,
    pub(crate) left: bool,
    /// Spaces that were given up: when, and how many partitions may still hold something of them.
    pub(crate) waste: BTreeMap<Space, (Generation, u16)>,
    /// Changes that this node's clients want, by number.
    pub(crate) flushes: BTreeMap<u64, Flushing>,
    pub(crate) next_flush: u64,
    pub(crate) fence: Fence,
    loopback: VecDeque<Message>,
    pub(crate) out: Vec<Action>,
    pub(crate) tally: Tally,
}

impl Members {
    pub(crate) fn new(config: &Config) -> Self {
        let mut membership = Self {
            config: *config,
            now: Time::default(),
            incarnation: config.incarnation,
            installed: Arc::default(),
            promised: ViewId::default(),
            accepted: Accepted::default(),
            vote: None,
            is_heir: false,
            inherited: Base::default(),
            unflushed: NodeSet::EMPTY,
            contact: Contact::default(),
            claims: BTreeMap::new(),
            known: NodeSet::EMPTY,
            peers: BTreeMap::new(),
            over: BTreeMap::new(),
            exiles: BTreeMap::new(),
            attempt: None,
            wanted_since_ms: None,
            next_attempt_ms: 0,
            heartbeat_ms: None,
            highest: ViewId::default(),
            outside: BaseTag::default(),
            outside_ms: 0,
            left: false,
            waste: BTreeMap::new(),
            flushes: BTreeMap::new(),
            next_flush: (config.incarnation.0 >> 16) << 32,
            fence: Fence::default(),
            loopback: VecDeque::new(),
            out: Vec::new(),
            tally: Tally::default(),
        };
        if config.bootstrap {
            let born = ViewId::new(1, config.id);
            let members = [(config.id, config.incarnation)].into();
            let cluster = mix((config.incarnation.0 << 8) | u64::from(config.id.0));
            let since = [(config.id, Generation(1))].into();
            let tag = BaseTag { generation: Generation(1), born, cluster };
            let base = Base { tag, copies: config.copies, members, since, ..Base::default() };
            membership.adopt(born, base, 0);
        }
        membership
    }

    /// Starts out as if this view had been installed.
    pub(crate) fn adopt(&mut self, view: ViewId, base: Base, now_ms: u64) {
        let members = base.nodes();
        self.promised = view;
        let from = ViewId::default();
        self.accepted = Accepted { view, members, base: base.clone(), previous: base.clone(), from };
        self.installed = Arc::new(Installed {
            view: View { id: view, members, base },
            at_ms: now_ms,
            ..Installed::default()
        });
        self.known = self.known | members;
        self.refresh_fence();
    }

    /// Starts out as if every peer's heartbeat had just been heard, and an own one of this moment echoed.
    pub(crate) fn adopt_peers(&mut self, me: NodeId, now_ms: u64, echoed_ms: Option<u64>) {
        let base = self.accepted.base.clone();
        for (node, incarnation) in base.members.iter().filter(|(node, _)| **node != me) {
            let peer = Peer {
                sent_ms: Some(now_ms),
                echoed_ms,
                reach: base.nodes(),
                base: base.tag,
                promised: self.promised,
                ..Peer::new(*incarnation, now_ms)
            };
            self.peers.insert(*node, peer);
        }
        self.heartbeat_ms = Some(now_ms);
        self.refresh_fence();
    }

    /// The base whose leases this node supports.
    pub(crate) fn stands_on(&self) -> &Base {
        self.vote.as_ref().map_or(self.known_base(), |vote| &vote.base)
    }

    /// A base of this generation is installed: votes for it or an earlier one are over.
    pub(crate) fn end_votes(&mut self, generation: Generation) {
        self.vote = self.vote.take().filter(|vote| vote.base.tag.generation > generation);
    }

    /// Whether a newer view is promised than the one installed.
    pub(crate) fn frozen(&self) -> bool {
        self.promised != self.installed.view.id || self.left
    }

    /// Takes one input; returns the message when it is for a partition, and may be handled in the installed view.
    pub(crate) fn take(&mut self, envelope: Box<Envelope>) -> Option<Box<Envelope>> {
        let Envelope { from, incarnation, to, view, .. } = *envelope;
        if to != self.config.id || from == self.config.id || self.left {
            return None;
        }
        if self.is_over(from, incarnation) && !matches!(envelope.message, Message::Heartbeat { .. }) {
            return None;
        }
        if view > self.installed.view.id {
            self.on_install(view);
            self.settle_down();
        }
        let installed = &self.installed.view;
        let same_view = view == installed.id && installed.base.has(from, incarnation);
        if same_view {
            self.note_flushed(from);
        }
        if !envelope.message.is_membership() {
            let is_probe = matches!(envelope.message, Message::Probe { .. });
            if same_view || is_probe || self.config.without(Mutant::AcceptOtherViews) {
                return Some(envelope);
            }
            self.tally.add(Rule::RejectedByView);
            return None;
        }
        self.on_message(from, incarnation, envelope.message);
        self.settle_down();
        None
    }

    fn on_message(&mut self, from: NodeId, life: Incarnation, message: Message) {
        match message {
            Message::Heartbeat { sent_ms, echo_ms, reach, base, promised, is_heir } => {
                self.on_heartbeat((from, life, is_heir), (sent_ms, echo_ms), reach, (base, promised));
            }
            Message::Collect { view } => self.on_collect(from, view),
            Message::Promise { base, .. } if !self.is_near_base(&base) => {}
            Message::Promise { view, base, vote, from: installed, is_heir, contact, waste, copies } => {
                let (incarnation, base, vote, view_of) = (life, *base, vote.map(|vote| *vote), installed);
                let candidate =
                    Candidate { incarnation, base, vote, view: view_of, is_heir, contact, waste, copies };
                self.on_promise(from, view, candidate);
            }
            Message::Refuse { view, promised } => self.on_refuse(view, promised),
            Message::Propose { view, members, base, previous, settled, dead, from: origin } => {
                let plan = Plan { members, base: *base, previous: *previous, settled, from: origin };
                self.on_propose(from, view, plan, &dead);
            }
            Message::Accept { view } => self.on_accept(from, view),
            Message::Install { view } => self.on_install(view),
            Message::Probed { sent_ms } => self.on_probed(from, life, sent_ms),
            Message::Over { dead } => dead.iter().for_each(|(node, life)| self.note_over(*node, *life)),
            _ => {}
        }
    }

    /// Does what follows from what was done so far.
    pub(crate) fn settle_down(&mut self) {
        while let Some(message) = self.loopback.pop_front() {
            self.on_message(self.config.id, self.incarnation, message);
        }
        self.refresh_fence();
    }

    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        if to == self.config.id {
            self.loopback.push_back(message);
            return;
        }
        self.send_to(to, 0, message);
    }

    pub(crate) fn send_to(&mut self, to: NodeId, part: u8, message: Message) {
        let (from, view) = (self.config.id, self.installed.view.id);
        let envelope =
            Envelope { from, incarnation: self.incarnation, to, view, part, from_part: 0, message };
        self.out.push(Action::Send(Box::new(envelope)));
    }

    /// Shows partitions a new view.
    pub(crate) fn publish(&mut self, installed: Installed) {
        let (id, members) = (installed.view.id, installed.view.members);
        self.installed = Arc::new(installed);
        self.refresh_fence();
        self.out.push(Action::View { id, members });
    }

    /// Whether this node counts for its own lease.
    pub(crate) fn supports_itself(&self) -> bool {
        self.vote.is_none() || self.config.without(Mutant::LeaseAcrossBases)
    }

    /// When the heartbeats were sent that members of the base on the very same base have echoed last.
    pub(crate) fn supporting_echoes(&self) -> Vec<(u64, NodeId)> {
        let base = &self.installed.view.base;
        let any_base = self.config.without(Mutant::LeaseAcrossBases);
        let echo = |(node, life): (&NodeId, &Incarnation)| {
            let peer = self.peers.get(node)?;
            let supports = peer.incarnation == *life && (peer.base == base.tag || any_base);
            Some((peer.echoed_ms.filter(|_| supports)?, *node))
        };
        base.members.iter().filter_map(echo).collect()
    }

    pub(crate) fn tick(&mut self) {
        self.membership_tick();
        self.flush_tick();
        self.settle_down();
    }

    fn membership_tick(&mut self) {
        let now = self.now.mono_ms;
        let timers = self.config.timers;
        if self.heartbeat_ms.is_none_or(|last| now >= last + timers.heartbeat_ms) {
            self.send_heartbeats();
        }
        if let Some(attempt) = &self.attempt {
            if now >= attempt.started_ms + timers.propose_ms {
                self.end_attempt();
            } else if attempt.proposal.is_none() && now >= attempt.started_ms + timers.propose_ms / 2 {
                // Whoever has not promised by now stays outside: a part of a clique is a clique.
                self.propose();
            }
        }
        if self.attempt.is_none() && !self.left {
            self.consider_view();
        }
    }

    pub(crate) fn send_heartbeats(&mut self) {
        let now = self.now.mono_ms;
        self.heartbeat_ms = Some(now);
        if self.left {
            return;
        }
        let reach = self.reach();
        // A vote without a base before it may be for one that nobody has any more: others must not wait for it.
        let installed = self.installed.view.base.tag;
        let base = if installed.generation == Generation(0) { installed } else { self.stands_on().tag };
        for node in self.known.without(self.config.id).iter() {
            let message = Message::Heartbeat {
                sent_ms: now,
                echo_ms: self.peers.get(&node).and_then(|peer| peer.sent_ms),
                reach,
                base,
                promised: self.promised,
                is_heir: self.is_heir,
            };
            self.send(node, message);
            if let Some(probe) = self.peers.get(&node).and_then(|peer| peer.probe) {
                self.send_to(node, probe.part, Message::Probe { sent_ms: now });
            }
        }
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        (from, incarnation, is_heir): (NodeId, Incarnation, bool),
        (sent_ms, echo_ms): (u64, Option<u64>),
        reach: NodeSet,
        (base, promised): (BaseTag, ViewId),
    ) {
        let now = self.now.mono_ms;
        // Who is in no view has nothing to compare with.
        let believed = self.installed.view.id == ViewId::default() || self.is_near_view(promised);
        let fresh = Peer { reach, base, is_heir, ..Peer::new(incarnation, now) };
        let peer = self.peers.entry(from).or_insert_with(|| fresh.clone());
        if incarnation < peer.incarnation {
            return;
        }
        if incarnation > peer.incarnation {
            *peer = fresh;
        }
        if peer.sent_ms.is_some_and(|newest| sent_ms < newest) {
            return;
        }
        peer.heard_ms = now;
        peer.sent_ms = Some(sent_ms);
        // An echo is only good for heartbeats of this life; those of an earlier one lie in its future or were cleared.
        peer.echoed_ms = peer.echoed_ms.max(echo_ms.filter(|echo| *echo <= now));
        peer.reach = reach;
        peer.base = base;
        peer.is_heir = is_heir;
        if believed {
            peer.promised = promised;
        }
        // Addresses travel with the heartbeats: whom a peer hears, this node tries as well.
        self.known = (self.known | reach).with(from);
        self.ask_who(from, reach);
    }

    /// Whether this life of a base member may be dropped, as far as this node knows.
    fn absence(&self, node: NodeId, incarnation: Incarnation) -> Absence {
        if self.over.get(&node).is_some_and(|over| incarnation <= *over) {
            return Absence::Declared;
        }
        // A later life that remembers is as good as this one where votes are counted.
        let remembers = |peer: &&Peer| peer.is_heir;
        let is_remembered = self.peers.get(&node).filter(remembers).is_some();
        if self.is_over(node, incarnation) && !is_remembered {
            return Absence::Dead;
        }
        let silent = self.peers.get(&node).is_some_and(|peer| {
            peer.incarnation >= incarnation && self.now.mono_ms > peer.heard_ms + self.config.timers.expiry_ms
        });
        if silent { Absence::Silent } else { Absence::Missing }
    }

    fn quorum(&self) -> Quorum {
        Quorum {
            half_expires: self.config.without(Mutant::ExpireByHalf),
            half_is_less: self.config.without(Mutant::HalfIsLess),
            half_outlives: self.config.without(Mutant::HalfOutlives),
        }
    }

    /// Starts an attempt when the installed view is not the one this node could be in.
    fn consider_view(&mut self) {
        let now = self.now.mono_ms;
        let membership = &*self;
        let installed = &membership.installed.view.base;
        // Not one that was only accepted, as long as another is known: it may never have been made.
        let known = membership.known_base();
        let base = if known.tag.generation == Generation(0) { membership.stands_on() } else { known };
        let me = self.config.id;
        if base.tag.generation == Generation(0) {
            return;
        }
        let stands_on = membership.stands_on().tag;
        let heard = self.clique();
        let base_of = |node: NodeId| membership.peers.get(&node).map_or(stands_on, |peer| peer.base);
        // What has failed, or is likely to, is not tried again at once.
        let patience_ms = 4 * self.config.timers.propose_ms;
        // An attempt on top of a base without this node has failed: another one would disturb its members, who need time
        // among themselves.
        let gives_time = membership.frozen() || now < membership.outside_ms + patience_ms;
        let outside = membership.outside > installed.tag && gives_time;
        if outside && installed.tag.generation == Generation(0) {
            return;
        }
        let clique: NodeSet =
            heard.iter().filter(|node| !outside || base_of(*node) < membership.outside).collect();
        let life = |node: NodeId| {
            if node == me {
                Some(membership.incarnation)
            } else {
                membership.peers.get(&node).map(|peer| peer.incarnation)
            }
        };
        let lives: BTreeMap<NodeId, Incarnation> =
            clique.iter().filter_map(|node| Some((node, life(node)?))).collect();
        let present: NodeSet =
            lives.iter().filter(|(node, life)| base.has(**node, **life)).map(|(node, _)| *node).collect();
        let remembers = |node: NodeId| {
            node == me && self.is_heir || self.peers.get(&node).is_some_and(|peer| peer.is_heir)
        };
        let heirs: NodeSet = (clique & base.nodes()).iter().filter(|node| remembers(*node)).collect();
        let voters = present | heirs;
        let mut lacks_copies = false;
        let (target, changes_base) = if (base.nodes() - voters).is_empty() {
            // How many copies there are to be is agreed on at once.
            lacks_copies = self.config.copies > base.copies.max(1) && base.tag == installed.tag;
            (clique, lives != base.members || membership.vote.is_some())
        } else if may_drop(base, voters, |node, life| self.absence(node, life), self.quorum()) {
            (voters, true)
        } else {
            (present, false)
        };
        // An heir that cannot change the base has no place in the views of it.
        if self.is_heir && installed.tag.generation == Generation(0) && !target.contains(me) {
            return;
        }
        // Others may have heard later of those that are to go, or a vote may have to wait for those who know of it.
        let changes_base = changes_base && now >= membership.installed.at_ms + patience_ms || lacks_copies;
        let outdated = heard.iter().any(|node| base_of(node) > stands_on);
        let settled = target == membership.installed.view.members && !changes_base && !membership.frozen();
        if settled || outdated && !membership.frozen() {
            self.wanted_since_ms = None;
            return;
        }
        let since = *self.wanted_since_ms.get_or_insert(now);
        let timers = self.config.timers;
        let rank = target.iter().take_while(|node| *node != me).count() as u64;
        let patience = if self.frozen() { timers.propose_ms } else { timers.heartbeat_ms };
        if now >= since + patience + rank * timers.propose_ms && now >= self.next_attempt_ms {
            self.start_attempt(target, false);
        }
    }

    /// Starts an attempt at a view of `candidates` whatever the failure detector says.
    pub(crate) fn propose_view(&mut self, candidates: NodeSet) {
        if !self.left && self.stands_on().tag.generation != Generation(0) {
            self.start_attempt(candidates, false);
        }
    }

    /// Asks `candidates` (and this node itself) for promises of a new view.
    pub(crate) fn start_attempt(&mut self, candidates: NodeSet, flush: bool) {
        let view = ViewId::new((self.highest_known().counter() + 1).min(COUNTER_MAX), self.config.id);
        let candidates = candidates.with(self.config.id);
        self.attempt = Some(Attempt {
            view,
            started_ms: self.now.mono_ms,
            flush,
            candidates,
            promises: BTreeMap::new(),
            proposal: None,
            accepts: NodeSet::EMPTY,
        });
        for node in candidates.iter() {
            self.send(node, Message::Collect { view });
        }
    }

    /// Whether an attempt of this node's own is under way.
    pub(crate) fn is_proposing(&self) -> bool {
        self.attempt.is_some()
    }

    /// The highest view heard of.
    fn highest_known(&self) -> ViewId {
        let promised = self.peers.values().map(|peer| peer.promised).max().unwrap_or_default();
        promised.max(self.promised).max(self.highest)
    }

    /// Whether a view may come next.
    fn is_near_view(&self, view: ViewId) -> bool {
        is_near(view.counter(), self.highest_known().counter())
            || self.config.without(Mutant::BelieveAnyNumber)
    }

    /// Whether a base may come next.
    fn is_near_base(&self, base: &Base) -> bool {
        is_near(base.tag.generation.0, self.stands_on().tag.generation.0)
            || self.config.without(Mutant::BelieveAnyNumber)
    }

    fn end_attempt(&mut self) {
        self.attempt = None;
        let jitter = mix(self.now.mono_ms ^ (u64::from(self.config.id.0) << 48));
        let pause = jitter % self.config.timers.propose_ms.max(1);
        self.next_attempt_ms = self.now.mono_ms + pause;
    }

    pub(crate) fn on_collect(&mut self, from: NodeId, view: ViewId) {
        if !self.is_near_view(view) {
            return;
        }
        if self.left || view < self.promised || self.accepted.view >= view {
            let promised = self.promised;
            self.send(from, Message::Refuse { view, promised });
            return;
        }
        if view > self.promised {
            self.promised = view;
            self.wanted_since_ms = None;
            if self.attempt.as_ref().is_some_and(|attempt| attempt.view < view) {
                self.end_attempt();
            }
        }
        self.persist();
        let base = Box::new(self.known_base().clone());
        let forgets = self.config.without(Mutant::BuildOnInstalledBase);
        let vote = self.vote.clone().filter(|_| !forgets).map(Box::new);
        let installed = self.installed.view.id;
        let contact = self.contact.clone();
        let votes_anew =
            self.vote.as_ref().is_some_and(|vote| vote.base.has(self.config.id, self.incarnation));
        let is_heir = self.is_heir && !(votes_anew && self.config.without(Mutant::HeirsForgetAtOnce));
        let (waste, copies, from_view) = (self.waste(), self.config.copies, installed);
        let promise = Message::Promise { view, base, vote, from: from_view, is_heir, contact, waste, copies };
        self.send(from, promise);
    }

    pub(crate) fn on_promise(&mut self, from: NodeId, view: ViewId, candidate: Candidate) {
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.view != view || attempt.proposal.is_some() || !attempt.candidates.contains(from) {
            return;
        }
        attempt.promises.insert(from, candidate);
        if attempt.promises.len() == attempt.candidates.len() as usize {
            self.propose();
        }
    }

    fn propose(&mut self) {
        let Some(attempt) = &self.attempt else { return };
        let view = attempt.view;
        // Clients may have been told meanwhile that there will be no change.
        let changes = if attempt.flush { self.changes() } else { Changes::none(self.config) };
        let absence = |node, life| self.absence(node, life);
        let plan = plan(view, &attempt.promises, absence, &changes, self.quorum())
            .filter(|plan| plan.members.contains(self.config.id));
        let Some(mut plan) = plan else {
            let bases = attempt.promises.values().map(|promise| &promise.base);
            let highest = bases.max_by_key(|base| base.tag);
            let lacking = highest.filter(|base| !base.has(self.config.id, self.incarnation));
            let lacking = lacking.map(|base| (base.tag, self.votes_in(base)));
            self.end_attempt();
            match lacking {
                // Its members need time among themselves; they may be able to do what this node is not.
                Some((_, true)) => self.next_attempt_ms += 4 * self.config.timers.propose_ms,
                Some((tag, false)) => {
                    self.outside = tag.max(self.outside);
                    self.outside_ms = self.now.mono_ms;
                }
                None => {}
            }
            return;
        };
        if plan.base.tag.born == view {
            self.note_awaited(&mut plan, &attempt.promises);
        }
        let me = (self.config.id, self.incarnation);
        let dead = plan
            .previous
            .members
            .iter()
            .filter(|(node, life)| self.is_over(**node, **life) || **node == me.0 && **life < me.1)
            .map(|(node, life)| (*node, *life))
            .collect::<Vec<_>>();
        if let Some(attempt) = &mut self.attempt {
            attempt.proposal = Some(plan.clone());
        }
        if plan.base.changes_keys_of(&plan.previous) {
            self.flush_is_proposed();
        }
        for node in plan.members.iter() {
            let message = Message::Propose {
                view,
                members: plan.members,
                base: Box::new(plan.base.clone()),
                previous: Box::new(plan.previous.clone()),
                settled: plan.settled.clone(),
                dead: dead.clone(),
                from: plan.from,
            };
            self.send(node, message);
        }
    }

    pub(crate) fn on_propose(
        &mut self,
        from: NodeId,
        view: ViewId,
        plan: Plan,
        dead: &[(NodeId, Incarnation)],
    ) {
        if !self.is_near_view(view) || !self.is_near_base(&plan.base) {
            return;
        }
        let me = (self.config.id, self.incarnation);
        let accepted = &self.accepted;
        if accepted.view == view {
            self.send(from, Message::Accept { view });
            return;
        }
        // Dropping a peer ends its lease, so this node must not have supported that lease of late.
        let drops_one_of = |base: &Base| {
            self.votes_in(&plan.previous)
                && self.votes_in(base)
                && base.members.iter().any(|(node, life)| {
                    *node != me.0
                        && !plan.base.has(*node, *life)
                        && !dead.contains(&(*node, *life))
                        && self.absence(*node, *life) == Absence::Missing
                })
        };
        // A view on the base that is installed here drops nobody, whatever this node has voted for since.
        let stays = plan.base.tag == self.installed.view.base.tag;
        let drops_the_living = !stays
            && [self.known_base(), self.stands_on(), &plan.previous]
                .into_iter()
                .any(|base| !plan.settled.contains(&base.tag) && drops_one_of(base))
            && !self.config.without(Mutant::ExpireWithoutSilence);
        let names_me = plan.base.has(me.0, me.1) && plan.base.agrees_with(me.0, self.contact.uid);
        if view < self.promised || drops_the_living || !names_me {
            let promised = self.promised;
            self.send(from, Message::Refuse { view, promised });
            return;
        }
        self.heed_numbers(&plan.base);
        let now = self.now.mono_ms;
        for (node, incarnation) in plan.base.members.iter().filter(|(node, _)| **node != me.0) {
            self.known.insert(*node);
            let peer = self.peers.entry(*node).or_insert(Peer::new(*incarnation, now));
            if peer.incarnation < *incarnation {
                peer.incarnation = *incarnation;
                peer.heard_ms = now;
                (peer.sent_ms, peer.echoed_ms) = (None, None);
            }
        }
        self.promised = view;
        if plan.base.tag != self.installed.view.base.tag {
            self.vote = Some(Vote { view, base: plan.base.clone(), settled: plan.settled });
        }
        let Plan { members, base, previous, from: origin, .. } = plan;
        self.accepted = Accepted { view, members, base, previous, from: origin };
        self.persist();
        self.send(from, Message::Accept { view });
    }

    pub(crate) fn on_accept(&mut self, from: NodeId, view: ViewId) {
        let Some(attempt) = &mut self.attempt else { return };
        let Some(plan) = attempt.proposal.as_ref().filter(|_| attempt.view == view) else { return };
        attempt.accepts.insert(from);
        if plan.members.is_subset(attempt.accepts) {
            let members = plan.members;
            self.attempt = None;
            for node in members.iter() {
                self.send(node, Message::Install { view });
            }
        }
    }

    pub(crate) fn on_refuse(&mut self, view: ViewId, promised: ViewId) {
        if self.is_near_view(promised) && self.attempt.as_ref().is_some_and(|attempt| attempt.view == view) {
            self.highest = self.highest.max(promised);
            self.end_attempt();
        }
    }

    /// Everyone accepted `view`; also learned from any message of a node that has installed it.
    pub(crate) fn on_install(&mut self, view: ViewId) {
        let membership = &*self;
        if membership.accepted.view == view
            && membership.promised == view
            && membership.installed.view.id < view
        {
            self.install_view();
            self.advance_flushes();
            self.send_heartbeats();
        }
    }
}
