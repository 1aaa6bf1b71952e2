//! What a new view means for keys, batches and operations.
//!
//! Tokens, touches, questions and queues die with the old view. Batches of class W stay in the log, batches of class
//! X become prepared records to be settled, whoever coordinated them. Operations of this node's own clients go on
//! under their old names. A node that was outside the base in between starts empty and keeps what it had as forks.

use std::collections::BTreeMap;

use crate::copy::{CopyState, Prepared, Whole};
use crate::ids::{FlightId, NodeId, NodeSet, OpId, ViewId};
use crate::interface::{Action, Class};
use crate::message::{Base, Outcome};
use crate::mutant::Mutant;
use crate::node::{DroppedMembers, Node, Stashed, is_membership};
use crate::operation::{Operation, Stage};
use crate::settle::Record;
use crate::tally::Rule;
use crate::values::Values;
use crate::view::View;
use crate::write::{Flight, Phase};

/// Base changes remembered for copies that are looked at late; beyond it all copies are brought up to date at once.
const DROPS_MAX: usize = 256;

impl<V: Values> Node<V> {
    /// Installs the accepted proposal.
    pub(crate) fn install_view(&mut self) {
        let accepted = self.membership.accepted.clone();
        let old = self.membership.view.clone();
        self.cut_short();
        self.count(Rule::InstalledView);
        let me = self.config.id;
        let reborn = !old.base.kept_from(&accepted.base).contains(me);
        let flushed = accepted.base.flush > old.base.flush;
        self.membership.previous = (old.id, old.members);
        self.membership.view =
            View { id: accepted.view, members: accepted.members, base: accepted.base.clone() };
        self.membership.end_votes(accepted.base.tag.generation);
        self.membership.installed_ms = self.now.mono_ms;
        self.note_base_change(&old.base, &accepted.base);
        self.directory.remember();
        if flushed {
            let (before, after) = (old.base.nodes() | accepted.previous.nodes(), accepted.base.nodes());
            self.membership.unflushed = (before | after).without(me);
            self.flush_all();
        }
        if reborn {
            self.be_reborn(old.base.flush, accepted.base.flush);
        }
        self.forget_view();
        self.restart_directory();
        self.restart_scans();
        self.start_reports();
        self.reroute(flushed || reborn);
        let view = &self.membership.view;
        self.out.push(Action::View { id: view.id, members: view.members });
    }

    /// Turns batches in flight into what they are without their coordinator's view.
    fn cut_short(&mut self) {
        for (id, flight) in self.flights.take() {
            match (flight.class, flight.phase) {
                (Class::X, phase) => self.cut_short_x(id, flight, phase),
                (_, _) => {
                    for (op, reply) in flight.replies {
                        if let Some(operation) = self.operations.get_mut(&op) {
                            operation.stage = Stage::Applied { reply };
                        }
                    }
                }
            }
        }
    }

    fn cut_short_x(&mut self, id: FlightId, flight: Flight<V::Undo>, phase: Phase) {
        let outcome = match phase {
            Phase::Preparing => Outcome::Prepared,
            Phase::Committing => Outcome::Committed,
            Phase::Aborting => Outcome::Aborted,
        };
        if phase != Phase::Committing {
            self.take_back(flight.undo);
        }
        let parts = if phase == Phase::Preparing { flight.parts } else { Vec::new() };
        for part in &parts {
            if let Some(copy) = self.copies.get_mut(&part.key) {
                copy.prepared = Some(Prepared { flight: id, prior: part.prior });
            }
        }
        for (op, _) in &flight.replies {
            if let Some(operation) = self.operations.get_mut(op) {
                operation.stage = Stage::Doubt { flight: id };
            }
        }
        let record = Record {
            outcome,
            participants: flight.participants,
            parts,
            detached: BTreeMap::new(),
            replies: flight.replies,
            closed: false,
            asked_ms: self.now.mono_ms,
        };
        self.records.insert(id, record);
    }

    fn note_base_change(&mut self, old: &Base, new: &Base) {
        if old.tag == new.tag {
            return;
        }
        let kept = new.kept_from(old);
        let nodes = old.nodes() - kept;
        let expired: NodeSet = nodes
            .iter()
            .filter(|node| {
                let life = old.members.get(node).copied().unwrap_or_default();
                !self.membership.is_over(*node, life)
            })
            .collect();
        if !(new.nodes() - old.nodes()).is_empty() {
            self.count(Rule::Joined);
        }
        if !expired.is_empty() {
            self.count(Rule::Expired);
        }
        if !(nodes - expired).is_empty() {
            self.count(Rule::DroppedDead);
        }
        let now = self.now.mono_ms;
        self.retired.retain(|_, until| now < *until);
        for node in expired.iter() {
            self.retired.insert(node, now + self.config.timers.retain_ms);
        }
        for record in self.records.values_mut() {
            record.participants = record.participants - nodes;
        }
        if nodes.is_empty() {
            return;
        }
        if self.drops.len() >= DROPS_MAX {
            for key in self.copies.keys() {
                self.copy_now(&key);
            }
            self.drops.clear();
        }
        self.drops.push(DroppedMembers { generation: new.tag.generation, nodes, expired });
    }

    /// FLUSHALL: nothing of before stays.
    fn flush_all(&mut self) {
        self.count(Rule::Flushed);
        for key in self.copies.keys() {
            self.values.install(&key, None);
        }
        self.copies.clear();
        self.records.clear();
        self.directory.clear();
        if !self.config.without(Mutant::FlushKeepsStragglers) {
            self.stash.clear();
        }
        let keys: Vec<_> = self.evicting.keys().cloned().collect();
        for key in keys {
            self.evicting.remove(&key);
            self.out.push(Action::Evict { key, outcome: crate::interface::Evicted::NotHeld });
        }
    }

    /// This node was not in every base since its last one: what it holds is a fork.
    fn be_reborn(&mut self, old_flush: u64, flush: u64) {
        self.count(Rule::Reborn);
        let keeps = old_flush == flush || self.config.without(Mutant::FlushKeepsStragglers);
        let states: BTreeMap<_, Option<CopyState>> = self
            .copies
            .keys()
            .into_iter()
            .map(|key| {
                let birth = FlightId::new(ViewId::default(), self.config.id, 0);
                let state = self.state_of(&key, birth, true).map(|state| CopyState {
                    value: Some(Whole { snapshot: self.values.snapshot(&key) }),
                    // What was settled as committed and not yet brought into the copy is part of the fork.
                    prepared: state.prepared.filter(|part| part.committed),
                    ..state
                });
                (key, state)
            })
            .collect();
        for (key, state) in states {
            self.values.install(&key, None);
            if let Some(state) = state.filter(|_| keeps) {
                // A node dropped twice in a row has two forks of a key; the newer does not contain the older.
                self.stash.insert((key, state.meta.version), Stashed { state, sent_ms: None });
            }
        }
        self.copies.clear();
        self.records.clear();
        self.directory.clear();
        self.drops.clear();
    }

    /// Everything that lived in the old view only.
    fn forget_view(&mut self) {
        self.loopback.retain(is_membership);
        self.settling.clear();
        self.touches.clear();
        self.born.clear();
        self.unconfirmed.clear();
        self.parked.clear();
        self.work.clear();
        self.stalled.clear();
        self.busy_keys.clear();
        self.ready.clear();
        let view = self.membership.view.id;
        self.records.retain(|_, record| {
            !(record.closed && record.parts.is_empty()) || record.outcome == Outcome::Unknown
        });
        debug_assert!(self.records.keys().iter().all(|flight| flight.view < view));
        self.waits.values_mut().for_each(|waiting| waiting.again());
    }

    /// Starts this node's own operations afresh. `lost_history`: what retries are recognised by is gone.
    fn reroute(&mut self, lost_history: bool) {
        let me = self.config.id;
        self.operations.retain(|op, _| op.node == me);
        let mut doubtful: Vec<OpId> = Vec::new();
        for (op, operation) in &mut self.operations {
            let was_flush = matches!(operation.stage, Stage::Flushing { .. });
            match &operation.stage {
                Stage::Forwarded(_) => operation.exposed = true,
                Stage::Doubt { .. } if lost_history => doubtful.push(*op),
                Stage::Applied { .. } | Stage::Doubt { .. } | Stage::Flushing { .. } => continue,
                _ => operation.exposed |= operation.forwarded,
            }
            if lost_history && operation.exposed {
                doubtful.push(*op);
            }
            if !was_flush {
                operation.stage = Stage::Routing;
            }
        }
        for op in doubtful {
            if let Some(ticket) = self.operations.remove(&op).and_then(|operation| operation.ticket) {
                let result = Err(crate::interface::ClientError::InDoubt);
                self.out.push(Action::Reply { ticket, result });
            }
        }
        self.ready.extend(self.operations.keys().copied());
    }

    // FLUSHALL is a change of the base: it needs all of it, and every view from then on stands on it. It is answered
    // when all members are known to have emptied their stores: one that has accepted it and was cut off before it
    // learned the outcome, or never heard of it, goes on with W in the old base, and what it acknowledges there goes
    // with the FLUSHALL.

    /// A message came from a node in this very view: it has installed every FLUSHALL that this view stands on.
    pub(crate) fn note_flushed(&mut self, node: NodeId) {
        let unflushed = &mut self.membership.unflushed;
        if !unflushed.contains(node) {
            return;
        }
        unflushed.remove(node);
        if unflushed.is_empty() {
            let flushes: Vec<OpId> = self.flushes().collect();
            self.ready.extend(flushes);
        }
    }

    /// This node's clients' FLUSHALLs that are not answered yet.
    pub(crate) fn flushes(&self) -> impl Iterator<Item = OpId> {
        let is_flush = |operation: &Operation| matches!(operation.stage, Stage::Flushing { .. });
        self.operations.iter().filter(move |(_, operation)| is_flush(operation)).map(|(op, _)| *op)
    }

    pub(crate) fn advance_flush(&mut self, op: OpId) {
        let base = &self.membership.view.base;
        let complete = base.nodes() == self.membership.view.members;
        let now_flush = base.flush;
        let everywhere = self.membership.unflushed.is_empty();
        let Some(operation) = self.operations.get_mut(&op) else { return };
        let Stage::Flushing { target, proposed } = &mut operation.stage else { return };
        let wanted = *target.get_or_insert(now_flush + 1);
        let was_proposed = *proposed;
        if now_flush >= wanted && !everywhere {
            *proposed = true;
        } else if now_flush >= wanted {
            self.succeed(op, crate::ids::Blob::new(b""));
        } else if !complete {
            if !was_proposed {
                self.refuse(op, crate::interface::ClientError::Unreachable);
            }
        } else if !self.is_proposing() {
            let members = self.membership.view.members;
            self.start_attempt(members, true);
        }
    }

    /// A flush has been sent to others: from now on it may happen.
    pub(crate) fn flush_is_proposed(&mut self) {
        for operation in self.operations.values_mut() {
            if let Stage::Flushing { proposed, .. } = &mut operation.stage {
                *proposed = true;
            }
        }
    }
}
