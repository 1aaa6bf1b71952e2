//! The node: its state, the one entry point, and the dispatch of messages.
//!
//! Work that follows from an input (messages to itself, keys whose queue may move, operations that may go on) is
//! kept in lists and done before [`Node::handle`] returns, so no rule calls another deeply and the order is fixed.
//! Neighbours: every other module adds its rules to [`Node`] in an `impl` block of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::agenda::Agenda;
use crate::config::Config;
use crate::copy::{Copy, CopyState, Owning, Prepared, Role};
use crate::creation::HeldLeases;
use crate::directory::Directory;
use crate::fold::Folder;
use crate::ids::{FlightId, Incarnation, NodeId, NodeSet, OpId, Stamp, Time, Version, ViewId};
use crate::interface::{Action, Input};
use crate::key::Key;
use crate::leave::Eviction;
use crate::membership::Membership;
use crate::message::{Base, Envelope, Message};
use crate::mutant::Mutant;
use crate::operation::Operation;
use crate::scan::Scan;
use crate::settle::{Record, Settling};
use crate::table::Table;
use crate::tally::{Rule, Tally};
use crate::values::Values;
use crate::view::{Plan, View};
use crate::wait::Waiting;
use crate::write::Flight;

/// One node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node<V: Values> {
    pub(crate) config: Config,
    pub(crate) values: V,
    pub(crate) now: Time,
    pub(crate) clock: Stamp,
    pub(crate) membership: Membership,
    pub(crate) copies: Table<Copy>,
    pub(crate) directory: Directory,
    /// Batches this node coordinates.
    pub(crate) flights: Table<Flight<V::Undo>, FlightId>,
    /// Batches of class X this node takes part in or has decided.
    pub(crate) records: Table<Record, FlightId>,
    pub(crate) settling: BTreeMap<FlightId, Settling>,
    pub(crate) operations: BTreeMap<OpId, Box<Operation>>,
    /// Operations that wait for something to happen to a key.
    pub(crate) parked: BTreeMap<Key, BTreeSet<OpId>>,
    /// Keys requested at their home: the touch's name and when it was last sent.
    pub(crate) touches: BTreeMap<Key, (u64, u64)>,
    /// Slots whose unseen keys this node creates by itself.
    pub(crate) leases: HeldLeases,
    /// Keys it has just created so: whoever waits for them is to be told.
    pub(crate) born: BTreeSet<Key>,
    /// Copies whose last change is not confirmed to be everywhere: whom to ask, and when that was done last.
    pub(crate) unconfirmed: Table<(NodeId, u64)>,
    pub(crate) waits: BTreeMap<u64, Waiting>,
    /// Scans of slots this node is home of.
    pub(crate) scans: BTreeMap<u64, Scan>,
    /// Forks kept from the time before this node was dropped from the base.
    pub(crate) stash: BTreeMap<(Key, Version), Stashed>,
    /// What each base change dropped, for copies that have not been looked at since.
    pub(crate) drops: Vec<DroppedMembers>,
    /// Expired nodes whose forks may come back, and until when logs are kept for them.
    pub(crate) retired: BTreeMap<NodeId, u64>,
    pub(crate) next_number: u64,
    pub(crate) next_operation: u64,
    pub(crate) loopback: VecDeque<Message>,
    /// Keys whose queue may move.
    pub(crate) work: Agenda<Key>,
    /// Operations that may go on.
    pub(crate) ready: Agenda<OpId>,
    /// Keys owned here that are busy with something other than a batch.
    pub(crate) busy_keys: BTreeSet<Key>,
    /// Copies the store wants back.
    pub(crate) evicting: BTreeMap<Key, Eviction>,
    /// Keys whose queue waits for the lease.
    pub(crate) stalled: BTreeSet<Key>,
    pub(crate) out: Vec<Action>,
    pub(crate) tally: Tally,
}

/// A fork to be merged once this node is back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stashed {
    pub(crate) state: CopyState,
    pub(crate) sent_ms: Option<u64>,
}

/// Members one change of the base dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DroppedMembers {
    pub(crate) generation: crate::ids::Generation,
    pub(crate) nodes: NodeSet,
    /// Those that were only silent and may come back.
    pub(crate) expired: NodeSet,
}

/// What an observer may see of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyInfo<'a> {
    /// Versions and subscribers.
    pub meta: &'a crate::copy::Meta,
    /// Whether this node orders the key's writes in the installed view.
    pub owns: bool,
    /// The owner, once the key is regrouped in the installed view.
    pub owner: Option<NodeId>,
    /// Whether a read would have to wait.
    pub pending: bool,
    /// A batch of class X that is prepared here and not decided, and the last of its entries for this key.
    pub prepared: Option<(FlightId, Option<Version>)>,
    /// Entries not yet known to be everywhere.
    pub log_len: usize,
    /// The log cannot stand for what happened: a fork would be decided whole.
    pub overflowed: bool,
}

impl<V: Values> Node<V> {
    /// A node that has just started, with an empty store.
    pub fn new(config: Config, values: V) -> Self {
        let life = config.incarnation.0 >> 16;
        Self {
            membership: Membership::new(&config),
            config,
            values,
            now: Time::default(),
            clock: Stamp { wall_ms: 0, logical: 0, node: config.id },
            copies: Table::default(),
            directory: Directory::default(),
            flights: Table::default(),
            records: Table::default(),
            settling: BTreeMap::new(),
            operations: BTreeMap::new(),
            parked: BTreeMap::new(),
            touches: BTreeMap::new(),
            leases: HeldLeases::default(),
            born: BTreeSet::new(),
            unconfirmed: Table::default(),
            waits: BTreeMap::new(),
            scans: BTreeMap::new(),
            stash: BTreeMap::new(),
            drops: Vec::new(),
            retired: BTreeMap::new(),
            next_number: 1,
            next_operation: (life << 32) + 1,
            loopback: VecDeque::new(),
            work: Agenda::default(),
            ready: Agenda::default(),
            busy_keys: BTreeSet::new(),
            evicting: BTreeMap::new(),
            stalled: BTreeSet::new(),
            out: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// A node that starts in an installed first view of `members`, all in the life `config.incarnation`: for tests,
    /// models and benches that do not care how a cluster comes together.
    pub fn in_view(config: Config, values: V, members: NodeSet, now: Time) -> Self {
        let mut node = Self::new(Config { bootstrap: false, ..config }, values);
        node.now = now;
        let view = ViewId::new(1, NodeId(0));
        let tag = crate::message::BaseTag { generation: crate::ids::Generation(1), born: view, cluster: 1 };
        let since = members.iter().map(|member| (member, tag.generation)).collect();
        let members = members.iter().map(|member| (member, config.incarnation)).collect();
        node.membership.adopt(view, Base { tag, flush: 0, members, since });
        node.membership.adopt_peers(config.id, now.mono_ms);
        node.membership.installed_ms = now.mono_ms;
        node.directory.start_complete(node.membership.view.members);
        node
    }

    /// Takes one input at `now` and appends what is to be done to `out`.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Action>) {
        self.now = Time { mono_ms: now.mono_ms.max(self.now.mono_ms), ..now };
        match input {
            Input::Tick => self.on_tick(),
            Input::Message(envelope) => self.on_envelope(*envelope),
            Input::Client(request) => self.on_client(request),
            Input::Wait { ticket, key } => self.on_wait(ticket, key),
            Input::CancelWait { ticket } => self.on_cancel_wait(ticket),
            Input::Expire(key) => self.on_expire(key),
            Input::Evict(key) => self.on_evict(key),
            Input::Scan { ticket, slots } => self.on_scan(ticket, slots),
            Input::Peer(node) => self.membership.known.insert(node),
            Input::Forget(node) => self.forget(node),
            Input::Leave => self.leave(),
        }
        self.settle_down();
        out.append(&mut self.out);
    }

    /// The store.
    pub fn values(&self) -> &V {
        &self.values
    }

    /// The store, for what happens beside the protocol (tests, memory accounting).
    pub fn values_mut(&mut self) -> &mut V {
        &mut self.values
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether this node orders the key's writes in the installed view: `copy_of(key).owns` without the rest.
    pub fn owns(&self, key: &Key) -> bool {
        self.owning(key).is_some_and(|owning| !owning.hands_over())
    }

    /// The installed view.
    pub fn view(&self) -> &View {
        &self.membership.view
    }

    /// The base this node stands on: newer than the view's while it is accepted and not known to be installed.
    pub fn accepted_base(&self) -> &Base {
        self.membership.stands_on()
    }

    /// Which life of the node this is.
    pub fn incarnation(&self) -> Incarnation {
        self.membership.incarnation
    }

    /// Whether data messages are handled: a view is installed and no newer one is promised.
    pub fn is_serving(&self) -> bool {
        self.membership.view.id != ViewId::default() && !self.membership.frozen()
    }

    /// Whether X is allowed at present as far as the lease goes.
    pub fn has_lease(&self) -> bool {
        self.lease_holds()
    }

    /// Keys held here, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.copies.keys()
    }

    /// What is known of a copy.
    pub fn copy_of(&self, key: &Key) -> Option<CopyInfo<'_>> {
        let copy = self.copies.get(key)?;
        let view = self.membership.view.id;
        Some(CopyInfo {
            meta: &copy.meta,
            owns: self.owns(key),
            owner: copy.owner(view, self.config.id),
            pending: self.is_pending(copy),
            prepared: copy.prepared.map(|Prepared { flight, .. }| {
                let parts = self.records.get(&flight).map_or(&[][..], |record| &record.parts);
                let part = parts.iter().find(|part| part.key == *key);
                (flight, part.and_then(|part| part.entries.last()).map(|entry| entry.dot))
            }),
            log_len: copy.log.entries.len(),
            overflowed: copy.log.overflow,
        })
    }

    /// Client operations, forks and in-doubt batches not finished: all zero in a healthy cluster at rest.
    pub fn unfinished(&self) -> (usize, usize, usize) {
        let open = self.records.values().filter(|record| !record.closed).count();
        (self.operations.len(), self.stash.len(), open + self.flights.len())
    }

    /// How often each rule was used.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn count(&mut self, rule: Rule) {
        self.tally.add(rule);
    }

    /// Queues a message; one to this node itself is handled before `handle` returns.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        if to == self.config.id {
            self.loopback.push_back(message);
            return;
        }
        self.out.push(Action::Send(Box::new(Envelope {
            from: self.config.id,
            incarnation: self.membership.incarnation,
            to,
            view: self.membership.view.id,
            message,
        })));
    }

    /// Queues a message to each of `nodes`, in their order.
    pub(crate) fn send_all(&mut self, nodes: NodeSet, message: Message) {
        let mut nodes = nodes.iter().peekable();
        while let Some(node) = nodes.next() {
            if nodes.peek().is_none() {
                self.send(node, message);
                return;
            }
            self.send(node, message.clone());
        }
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// The next reading of the hybrid clock.
    pub(crate) fn next_stamp(&mut self) -> Stamp {
        self.clock.tick(self.now.wall_ms, self.config.id)
    }

    /// Keeps the hybrid clock ahead of every stamp seen.
    pub(crate) fn see_stamp(&mut self, stamp: Stamp) {
        if (stamp.wall_ms, stamp.logical) > (self.clock.wall_ms, self.clock.logical) {
            self.clock = Stamp { node: self.config.id, ..stamp };
        }
    }

    /// The copy of `key`, brought into the installed view: roles of an older one are void.
    pub(crate) fn copy_now(&mut self, key: &Key) -> Option<&mut Copy> {
        let view = &self.membership.view;
        let copy = self.copies.get_mut(key)?;
        if copy.view != view.id {
            if copy.is_preparing_in(copy.view)
                && let Some(record) = copy.prepared.and_then(|left| self.records.get_mut(&left.flight))
            {
                record.detach(key, &self.values);
            }
            Folder { key, values: &self.values, config: &self.config, tally: &mut self.tally }
                .fold_ended_view(copy);
            if !self.config.without(Mutant::TokenSurvivesView) || copy.owning(copy.view).is_none() {
                copy.role = Role::Idle;
                copy.invalid = None;
            } else if let Role::Owner(owning) = &mut copy.role {
                owning.busy = None;
                owning.queue.clear();
            }
            copy.view = view.id;
            let base = view.base.nodes().without(self.config.id);
            for drop in self.drops.iter().filter(|drop| drop.generation > copy.generation) {
                if !(copy.possible_holders() & drop.nodes).is_empty() {
                    // It may have taken in others that this copy has never heard of.
                    copy.meta.lost = copy.meta.lost | base;
                }
                copy.meta.lost = copy.meta.lost | (copy.possible_holders() & drop.expired);
                copy.meta.subscribers = copy.meta.subscribers - drop.nodes;
                copy.meta.doubt = copy.meta.doubt - drop.nodes;
            }
            copy.generation = view.base.tag.generation;
            if !copy.meta.doubt.is_empty() {
                // Whoever was out of sight since may have subscribed at one of those that could not be asked.
                copy.meta.doubt = copy.meta.doubt | (base - copy.meta.subscribers);
            }
        }
        Some(copy)
    }

    /// The owner of `key` in the installed view, once the key is regrouped there.
    pub(crate) fn owner_of(&mut self, key: &Key) -> Option<NodeId> {
        let (view, me) = (self.membership.view.id, self.config.id);
        self.copy_now(key)?.owner(view, me)
    }

    /// What this node keeps as the owner of `key` in the installed view.
    pub(crate) fn owning(&self, key: &Key) -> Option<&Owning> {
        self.copies.get(key)?.owning(self.membership.view.id)
    }

    /// As [`Self::owning`].
    pub(crate) fn owning_mut(&mut self, key: &Key) -> Option<&mut Owning> {
        self.copies.get_mut(key)?.owning_mut(self.membership.view.id)
    }

    fn on_tick(&mut self) {
        self.membership_tick();
        if self.is_serving() {
            self.directory_tick();
            self.creation_tick();
            self.write_tick();
            self.settle_tick();
            self.wait_tick();
            self.heal_tick();
            self.leave_tick();
            for key in std::mem::take(&mut self.stalled) {
                self.work.insert(key);
            }
        }
        self.operation_tick();
        self.scan_tick();
    }

    /// Does all work that follows from what was done so far.
    pub(crate) fn settle_down(&mut self) {
        loop {
            if let Some(message) = self.loopback.pop_front() {
                let (me, life) = (self.config.id, self.membership.incarnation);
                self.on_message(me, life, message);
            } else if let Some(key) = self.born.pop_first() {
                self.key_changed(&key);
            } else if let Some(key) = self.work.pop_first() {
                self.pump(&key);
            } else if let Some(op) = self.ready.pop_first() {
                self.advance(op);
            } else {
                break;
            }
        }
    }

    fn on_envelope(&mut self, envelope: Envelope) {
        let Envelope { from, incarnation, to, view, message } = envelope;
        if to != self.config.id || from == self.config.id || self.membership.left {
            return;
        }
        if self.membership.is_over(from, incarnation) && !matches!(message, Message::Heartbeat { .. }) {
            return;
        }
        self.on_install(view);
        let member = self.membership.view.base.has(from, incarnation);
        let same_view = view == self.membership.view.id && member;
        if same_view {
            self.note_flushed(from);
        }
        let is_data = !is_membership(&message);
        if is_data && !same_view && !self.config.without(Mutant::AcceptOtherViews) {
            self.count(Rule::RejectedByView);
            return;
        }
        self.on_message(from, incarnation, message);
    }

    fn on_message(&mut self, from: NodeId, life: Incarnation, message: Message) {
        match message {
            Message::Heartbeat { sent_ms, echo_ms, reach, base, promised } => {
                self.on_heartbeat(from, life, (sent_ms, echo_ms), reach, (base, promised));
            }
            Message::Collect { view } => self.on_collect(from, view),
            Message::Promise { view, base, vote } => {
                self.on_promise(from, life, view, *base, vote.map(|vote| *vote));
            }
            Message::Refuse { view, promised } => self.on_refuse(view, promised),
            Message::Propose { view, members, base, previous, settled, dead } => {
                let plan = Plan { members, base: *base, previous: *previous, settled };
                self.on_propose(from, view, plan, &dead);
            }
            Message::Accept { view } => self.on_accept(from, view),
            Message::Install { view } => self.on_install(view),
            Message::Over { dead } => dead.iter().for_each(|(node, life)| self.note_over(*node, *life)),
            Message::Report { previous, full, part, parts, keys } => {
                self.on_report(from, previous, full, (part, parts), keys);
            }
            Message::Reported { again } => self.on_reported(from, again),
            Message::Touch { key, nonce } => self.on_touch(from, key, nonce),
            Message::Query { key, round } => self.on_query(from, key, round),
            Message::Holding { key, round, held } => self.on_holding(from, key, round, held),
            Message::Create { key, doubt, nonce, lease } => self.on_create(key, doubt, nonce, lease),
            Message::Own { key, holders } => self.on_own(key, holders),
            Message::Join { key, joiner, nonce } => self.on_join(from, key, joiner, nonce),
            Message::Owned { key, gone } => self.on_owned(from, key, gone),
            Message::Created { after, keys } => self.on_created(from, after, keys),
            Message::Noted { known } => self.on_noted(from, known),
            Message::Recall { slot, lease } => self.on_recall(from, slot, lease),
            Message::Recalled { slot, lease, created } => self.on_recalled(from, slot, lease, created),
            Message::RegroupAsk { key, birth, whole } => self.on_regroup_ask(from, key, birth, whole),
            Message::RegroupState { key, state } => self.on_regroup_state(from, key, state),
            Message::Align { key, round, meta, body } => self.on_align(from, key, round, *meta, *body),
            Message::AlignAck { key, round } => self.on_align_ack(from, key, round),
            Message::AlignDone { key, round, stable } => self.on_align_done(key, round, stable),
            Message::SettleAsk { flight } => self.on_settle_ask(from, flight),
            Message::SettleState { flight, outcome } => self.on_settle_state(from, flight, outcome),
            Message::SettleOrder { flight, commit } => self.on_settle_order(from, flight, commit),
            Message::SettleAck { flight } => self.on_settle_ack(from, flight),
            Message::Close { flight, stable } => self.on_close(flight, stable),
            Message::Inv { flight, parts } => self.on_inv(from, flight, parts),
            Message::Prep { flight, participants, parts } => self.on_prep(from, flight, participants, parts),
            Message::Ack { flight } => self.on_ack(from, flight),
            Message::Val { flight, stable } => self.on_val(flight, stable),
            Message::Commit { flight } => self.on_commit(from, flight),
            Message::Decided { flight } => self.on_decided(from, flight),
            Message::Abort { flight } => self.on_abort(from, flight),
            Message::Ask { flight } => self.on_ask(from, flight),
            Message::Forward(forwarded) => self.on_forward(from, *forwarded),
            Message::Answered { op, result } => self.on_answered(op, result),
            Message::Redirect { op, owner } => self.on_redirect(from, op, owner),
            Message::OwnerIs { key, owner } => self.on_owner_is(from, &key, owner),
            Message::TokenRequest { key, to } => self.on_token_request(from, key, to),
            Message::Grant { key, token } => self.on_grant(from, key, *token),
            Message::GrantAck { key, tenure } => self.on_grant_ack(from, key, tenure),
            Message::WaitFor { key, node, ticket } => self.on_wait_for(from, key, node, ticket),
            Message::WaitOver { key, node, ticket } => self.on_wait_over(key, node, ticket),
            Message::Wake { key, ticket } => self.on_wake(&key, ticket),
            Message::LeaveKey { key, leave } => self.on_leave_key(from, key, leave),
            Message::MayDrop { key, leave, version } => self.on_may_drop(from, key, leave, version),
            Message::Dropped { key, leave, version, gone } => {
                self.on_dropped(from, key, leave, version, gone);
            }
            Message::ForkLog { key, fork } => self.on_fork_log(from, key, fork),
            Message::ForkMerged { key, version } => self.on_fork_merged(key, version),
        }
    }
}

/// Messages that count whatever view the sender is in.
pub(crate) fn is_membership(message: &Message) -> bool {
    matches!(
        message,
        Message::Heartbeat { .. }
            | Message::Collect { .. }
            | Message::Promise { .. }
            | Message::Refuse { .. }
            | Message::Propose { .. }
            | Message::Accept { .. }
            | Message::Install { .. }
            | Message::Over { .. }
    )
}
