//! One turn of a partition: its state, the values of its keys, what is installed, the time, and what comes of it.
//!
//! Rules of the protocol are methods of [`Turn`], each in the module that its idea belongs to. A turn holds the one
//! partition that an input concerns, or several for an operation on several keys: then it is *focused* on one of them at a
//! time, and moves on with [`Turn::focus_on`]. What has to be done in a partition that the turn does not hold is left as
//! [`Mail`] for whoever holds all that it needs (its scope).
//!
//! Work that follows from an input (messages to itself, keys whose queue may move, operations that may go on) is kept in
//! lists and done afterwards, so no rule calls another deeply and the order is fixed.
//!
//! Invariants: a turn begins with the partition entering the installed view; a rule about one key uses nothing but that
//! key's partition, so a message never needs two.

use std::collections::{BTreeMap, VecDeque};

use crate::config::Config;
use crate::copy::{Copy, Owning, Role};
use crate::deadlines::When;
use crate::directory::Touched;
use crate::fold::Folder;
use crate::ids::{FlightId, Generation, Incarnation, NodeId, NodeSet, OpId, Stamp, Time, ViewId};
use crate::installed::{Fence, Installed};
use crate::interface::Action;
use crate::key::{Key, Space};
use crate::message::{Envelope, Message};
use crate::mutant::Mutant;
use crate::part::Part;
use crate::tally::{Rule, Tally};
use crate::values::Values;

/// What turns leave behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    pub(crate) actions: Vec<Action>,
    pub(crate) mail: VecDeque<Mail>,
    /// Nodes that have not answered something in time, and a partition that waits for it.
    pub(crate) doubted: BTreeMap<NodeId, u8>,
    /// Spaces of which a partition holds nothing any more, and when they were given up.
    pub(crate) emptied: Vec<(Space, Generation)>,
    pub(crate) tally: Tally,
}

/// Something to be done in this very node, in a partition that a turn may not hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mail {
    /// A message of one partition to another or to itself, in a view.
    Message { view: ViewId, from_part: u8, part: u8, message: Message },
    /// The operation may go on.
    Ready(OpId),
    /// The operation's time is over.
    Late(OpId),
    /// The key was pinned for the operation, which is in another partition.
    Pinned(OpId, Key),
    /// The operation, which is in another partition, has no more use for the key.
    Disengage(OpId, Key),
    /// Another partition has learned that the batch is committed.
    Learned(u8, FlightId),
    /// Everyone holds the batch.
    Decide(FlightId),
    /// Everyone has taken the decision over.
    Close(FlightId),
}

/// See the module.
pub(crate) struct Turn<'a, V: Values> {
    /// The partition in focus.
    pub(crate) part: &'a mut Part<V::Undo>,
    /// The others that the turn holds.
    pub(crate) others: Vec<&'a mut Part<V::Undo>>,
    pub(crate) values: &'a mut V,
    pub(crate) installed: &'a Installed,
    pub(crate) fence: Fence,
    pub(crate) life: Incarnation,
    pub(crate) config: &'a Config,
    pub(crate) now: Time,
    pub(crate) out: &'a mut Outbox,
}

impl<V: Values> Turn<'_, V> {
    /// Turns to the partition of `key`.
    pub(crate) fn focus_on(&mut self, key: &Key) {
        self.focus(key.part(self.config.parts));
    }

    /// Turns to the partition `id`.
    ///
    /// # Panics
    /// If this turn does not hold it: a rule needs more than its input said.
    pub(crate) fn focus(&mut self, id: u8) {
        if self.part.id != id {
            let other = self.others.iter_mut().find(|part| part.id == id);
            std::mem::swap(&mut self.part, other.expect("a turn holds the partitions of its keys"));
        }
    }

    /// Whether the turn holds this partition.
    pub(crate) fn holds(&self, id: u8) -> bool {
        self.part.id == id || self.others.iter().any(|part| part.id == id)
    }

    /// Whether data messages are handled: a view is installed and no newer one is promised.
    pub(crate) fn is_serving(&self) -> bool {
        self.fence.serving
    }

    /// Whether X may go on: most of the base have confirmed recently enough that it still counts on this node.
    pub(crate) fn lease_holds(&self) -> bool {
        self.now.mono_ms < self.fence.lease_until_ms
    }

    pub(crate) fn when(&self) -> When {
        let (is_serving, view) = (self.is_serving(), self.installed.view.id);
        When { now_ms: self.now.mono_ms, timers: self.config.timers, is_serving, view }
    }

    pub(crate) fn count(&mut self, rule: Rule) {
        self.out.tally.add(rule);
    }

    /// Queues a message to the same partition of a node; one to this node itself is handled soon after this turn.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        self.send_to(to, self.part.id, message);
    }

    /// Queues a message to a partition of a node.
    pub(crate) fn send_to(&mut self, to: NodeId, part: u8, message: Message) {
        let (view, from_part) = (self.installed.view.id, self.part.id);
        if to == self.config.id {
            self.out.mail.push_back(Mail::Message { view, from_part, part, message });
            return;
        }
        let (from, incarnation) = (self.config.id, self.life);
        let envelope = Envelope { from, incarnation, to, view, part, from_part, message };
        self.out.actions.push(Action::Send(Box::new(envelope)));
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

    /// These nodes are asked again because they have not answered in time: does anything of what is sent to them arrive?
    pub(crate) fn doubt_way_to(&mut self, nodes: NodeSet) {
        for node in nodes.without(self.config.id).iter() {
            self.out.doubted.insert(node, self.part.id);
        }
    }

    /// Lets an operation go on, in whichever partition it is.
    pub(crate) fn make_ready(&mut self, op: OpId) {
        if op.part() == self.part.id {
            self.part.ready.insert(op);
        } else {
            self.out.mail.push_back(Mail::Ready(op));
        }
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.part.next_number()
    }

    /// The next reading of the hybrid clock.
    pub(crate) fn next_stamp(&mut self) -> Stamp {
        self.part.clock.tick(self.now.wall_ms, self.config.id)
    }

    pub(crate) fn see_stamp(&mut self, stamp: Stamp) {
        self.part.see_stamp(stamp);
    }

    /// The copy of `key`, brought into the installed view: roles of an older one are void. A solo key has none.
    pub(crate) fn copy_now(&mut self, key: &Key) -> Option<&mut Copy> {
        debug_assert_eq!(
            self.part.id,
            key.part(self.config.parts),
            "a key is looked at in its own partition"
        );
        let view = &self.installed.view;
        let copy = self.part.copies.get_mut(key)?;
        if copy.view != view.id {
            if copy.is_preparing_in(copy.view)
                && let Some(record) = copy.prepared.and_then(|left| self.part.records.get_mut(&left.flight))
            {
                record.detach(key, &*self.values);
            }
            Folder { key, values: &*self.values, config: self.config, tally: &mut self.out.tally }
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
            let (dropped, expired) = self.installed.dropped_since(copy.generation);
            let holders = copy.possible_holders();
            if !copy.meta.doubt.is_empty() && !self.config.without(Mutant::NarrowDoubt) {
                // Whoever was out of sight since may have subscribed at one of those that could not be asked, dropped or not.
                copy.meta.doubt = copy.meta.doubt | (base - copy.meta.subscribers);
            }
            if !(holders & dropped).is_empty() && !self.config.without(Mutant::LoseHoldersOnly) {
                // They may have taken in others that this copy has never heard of.
                copy.meta.lost = copy.meta.lost | base;
            }
            copy.meta.lost = copy.meta.lost | (holders & expired);
            copy.meta.subscribers = copy.meta.subscribers - dropped;
            copy.meta.doubt = copy.meta.doubt - dropped;
            copy.generation = view.base.tag.generation;
        }
        Some(copy)
    }

    /// The owner of `key` in the installed view, once the key is regrouped there.
    pub(crate) fn owner_of(&mut self, key: &Key) -> Option<NodeId> {
        let (view, me) = (self.installed.view.id, self.config.id);
        self.copy_or_record(key)?.owner(view, me)
    }

    /// What this node keeps as the owner of `key` in the installed view.
    pub(crate) fn owning(&self, key: &Key) -> Option<&Owning> {
        self.part.owning(key, self.installed.view.id)
    }

    /// As [`Self::owning`].
    pub(crate) fn owning_mut(&mut self, key: &Key) -> Option<&mut Owning> {
        self.part.copies.get_mut(key)?.owning_mut(self.installed.view.id)
    }

    /// Whether this node orders the key's writes in the installed view.
    pub(crate) fn owns(&self, key: &Key) -> bool {
        self.owning(key).is_some_and(|owning| !owning.hands_over())
    }

    /// Whether this node has a fork of the key, which its clients have to go on seeing.
    pub(crate) fn has_fork(&self, key: &Key) -> bool {
        self.part.has_stashed(key) || self.is_set_aside(key)
    }

    pub(crate) fn tick(&mut self) {
        if self.is_serving() {
            self.directory_tick();
            self.report_tick();
            self.creation_tick();
            self.write_tick();
            self.settle_tick();
            self.wait_tick();
            self.heal_tick();
            self.leave_tick();
            self.forget_left();
            self.absence_tick();
            self.solo_tick();
            self.evacuation_tick();
            self.waste_tick();
            self.repair_tick();
            self.part.rubbish.shrink(self.config.limits.walk_max.max(1));
            self.stalled_tick();
        }
        self.operation_tick();
    }

    /// Does the partition's next piece of work that needs no other one.
    pub(crate) fn step(&mut self) {
        if let Some(key) = self.part.born.pop_first() {
            self.key_changed(&key);
        } else if let Some(key) = self.part.work.pop_first() {
            self.pump(&key);
        }
    }

    /// Does what was left by another turn.
    pub(crate) fn on_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Message { view, from_part, message, .. } => {
                if view == self.installed.view.id {
                    self.on_message(self.config.id, from_part, message);
                }
            }
            Mail::Ready(op) => self.part.ready.insert(op),
            Mail::Late(op) => self.run_late(op),
            Mail::Pinned(op, key) => self.on_pinned(op, &key),
            Mail::Disengage(op, key) => self.disengage(op, &key),
            Mail::Learned(_, flight) => self.on_learned(flight),
            Mail::Decide(flight) => self.decide(flight),
            Mail::Close(flight) => self.close_flight(flight),
        }
    }

    pub(crate) fn on_message(&mut self, from: NodeId, from_part: u8, message: Message) {
        match message {
            Message::Report { previous, full, part, parts, keys } => {
                self.on_report(from, previous, full, (part, parts), keys);
            }
            Message::Reported { part, again } => self.on_reported(from, part, again),
            Message::Touch { key, nonce, reads } => self.on_touch(from, key, Touched { nonce, reads }),
            Message::Query { key, round } => self.on_query(from, key, round),
            Message::Holding { key, round, held, twin } => self.on_holding(from, key, round, (held, twin)),
            Message::Create { key, doubt, nonce, lease } => self.on_create(key, doubt, nonce, lease),
            Message::Absent { key, nonce } => self.on_absent(&key, nonce),
            Message::Own { key, holders } => self.on_own(key, holders),
            Message::Join { key, joiner, nonce } => self.on_join(from, key, joiner, nonce),
            Message::NotJoining { key, nonce } => self.on_not_joining(from, &key, nonce),
            Message::Owned { key, gone } => self.on_owned(from, key, gone),
            Message::NotOwned { key } => self.on_not_owned(from, &key),
            Message::News { after, news } => self.on_news(from, after, news),
            Message::Noted { known } => self.on_noted(from, known),
            Message::Recall { slot, lease } => self.on_recall(from, slot, lease),
            Message::Recalled { slot, lease, told } => self.on_recalled(from, slot, lease, told),
            Message::RegroupAsk { key, birth, whole } => self.on_regroup_ask(from, key, birth, whole),
            Message::RegroupState { key, state } => self.on_regroup_state(from, key, state),
            Message::Align { key, round, meta, body } => self.on_align(from, key, round, *meta, *body),
            Message::AlignAck { key, round } => self.on_align_ack(from, key, round),
            Message::AlignDone { key, round, stable } => self.on_align_done(key, round, stable),
            Message::SettleAsk { flight } => self.on_settle_ask((from, from_part), flight),
            Message::SettleState { flight, outcome } => {
                self.on_settle_state((from, from_part), flight, outcome);
            }
            Message::SettleOrder { flight, commit } => {
                self.on_settle_order((from, from_part), flight, commit);
            }
            Message::SettleAck { flight } => self.on_settle_ack((from, from_part), flight),
            Message::Close { flight, stable, over } => self.on_close(from, flight, stable, over),
            Message::Inv { flight, parts } => self.on_inv(from, flight, parts),
            Message::Keep { flight, over, key, meta, body } => {
                self.on_keep(from, (flight, over), key, (*meta, *body));
            }
            Message::Prep { flight, participants, parts } => self.on_prep(from, flight, participants, parts),
            Message::Ack { flight } => self.on_ack((from, from_part), flight),
            Message::Val { flight, stable } => self.on_val(flight, stable),
            Message::Commit { flight } => self.on_commit(from, flight),
            Message::Decided { flight } => self.on_decided((from, from_part), flight),
            Message::Abort { flight } => self.on_abort(from, flight),
            Message::Ask { flight, key } => self.on_ask((from, from_part), flight, key),
            Message::Forward(forwarded) => self.on_forward(from, *forwarded),
            Message::Answered { op, result } => self.on_answered(op, result),
            Message::Redirect { op, owner } => self.on_redirect(from, op, owner),
            Message::OwnerIs { key, owner } => self.on_owner_is(from, &key, owner),
            Message::TokenRequest { key, to } => self.on_token_request(from, key, to),
            Message::Grant { key, token } => self.on_grant(from, key, *token),
            Message::GrantAck { key, tenure } => self.on_grant_ack(from, key, tenure),
            Message::WaitFor { key, node, ticket } => self.on_wait_for(from, key, node, ticket),
            Message::WaitOver { key, node, ticket } => self.on_wait_over(key, node, ticket),
            Message::Wake { key, ticket } => self.on_wake(from, key, ticket),
            Message::LeaveKey { key, leave } => self.on_leave_key(from, key, leave),
            Message::MayDrop { key, leave, version } => self.on_may_drop(from, key, leave, version),
            Message::Dropped { key, leave, version, gone } => {
                self.on_dropped(from, key, leave, version, gone);
            }
            Message::Invite { key } => self.on_invite(&key),
            Message::Fade { key } => self.on_fade(from, &key),
            Message::ForkLog { key, birth, fork } => self.on_fork_log(from, key, birth, fork),
            Message::ForkMerged { key, version } => self.on_fork_merged(key, version),
            Message::Probe { sent_ms } => self.send(from, Message::Probed { sent_ms }),
            Message::Heartbeat { .. }
            | Message::Collect { .. }
            | Message::Promise { .. }
            | Message::Refuse { .. }
            | Message::Propose { .. }
            | Message::Accept { .. }
            | Message::Install { .. }
            | Message::Over { .. }
            | Message::Probed { .. } => {}
        }
    }
}
