//! The owner's side of a batch: rounds of questions and acknowledgements.
//!
//! Invariants: a batch of class X is committed only in the view it was begun in, while the lease holds and every
//! participant holds the PREP; once it is aborting it cannot commit; it is closed (and its keys go on) only after
//! every participant has taken the decision over, so that whoever is asked later either knows or was never involved.

use super::{After, Flight, Phase};
use crate::copy::Busy;
use crate::ids::{Blob, FlightId, NodeId, NodeSet, OpId, Version};
use crate::interface::{Class, ClientError};
use crate::key::Key;
use crate::message::{Message, Part};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::tally::Rule;
use crate::values::{Entry, Values};

impl<V: Values> Node<V> {
    /// Sends applied entries to `recipients` (of whom those in the view count).
    pub(crate) fn launch_w(
        &mut self,
        key: &Key,
        prior: Version,
        entries: Vec<Entry>,
        replies: Vec<(OpId, Blob)>,
        recipients: NodeSet,
        after: After,
    ) {
        let me = self.config.id;
        let others = (recipients & self.membership.view.members).without(me);
        let subscribers = self.copies.get(key).map_or(NodeSet::EMPTY, |copy| copy.meta.subscribers);
        let now = self.now.mono_ms;
        let flight = Flight {
            class: Class::W,
            keys: vec![key.clone()],
            parts: vec![Part { key: key.clone(), prior, entries, subscribers }],
            participants: others.with(me),
            waiting: others,
            phase: Phase::Preparing,
            replies,
            undo: Vec::new(),
            started_ms: now,
            sent_ms: now,
            after,
        };
        let id = self.take_off(flight);
        if others.is_empty() {
            self.land_w(id);
            return;
        }
        self.count(Rule::SentW);
        self.send_phase(id);
        if self.config.without(Mutant::AnswerWithoutAcks) {
            let replies = self.flights.get_mut(&id).map(|flight| std::mem::take(&mut flight.replies));
            for (op, reply) in replies.into_iter().flatten() {
                self.succeed(op, reply);
            }
        }
    }

    /// Prepares executed operations at every subscriber of the parts.
    pub(crate) fn launch_x(
        &mut self,
        keys: Vec<Key>,
        parts: Vec<Part>,
        replies: Vec<(OpId, Blob)>,
        undo: Vec<(Key, V::Undo)>,
    ) {
        let me = self.config.id;
        let counted = if self.config.without(Mutant::PrepareFirstKeyOnly) { &parts[..1] } else { &parts[..] };
        let mut participants = counted.iter().fold(NodeSet::only(me), |all, part| all | part.subscribers);
        if self.config.without(Mutant::XWithoutAllSubscribers) {
            participants = participants & self.membership.view.members;
        }
        let now = self.now.mono_ms;
        let flight = Flight {
            class: Class::X,
            keys,
            parts,
            participants,
            waiting: participants.without(me),
            phase: Phase::Preparing,
            replies,
            undo,
            started_ms: now,
            sent_ms: now,
            after: After::Nothing,
        };
        let id = self.take_off(flight);
        if participants == NodeSet::only(me) {
            self.commit_flight(id);
        } else {
            self.count(Rule::PreparedX);
            self.send_phase(id);
        }
    }

    /// Sends what the batch's phase asks of those who have not answered.
    pub(crate) fn send_phase(&mut self, id: FlightId) {
        let now = self.now.mono_ms;
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.sent_ms = now;
        for node in flight.waiting.iter() {
            if let Some(message) = self.phase_message(id, node) {
                self.send(node, message);
            }
        }
    }

    /// What the batch's phase asks of `node`.
    fn phase_message(&self, id: FlightId, node: NodeId) -> Option<Message> {
        let flight = self.flights.get(&id)?;
        let parts = || match &flight.parts[..] {
            [_] => flight.parts.clone(),
            parts => parts.iter().filter(|part| part.subscribers.contains(node)).cloned().collect(),
        };
        Some(match (flight.class, flight.phase) {
            (Class::X, Phase::Preparing) => {
                Message::Prep { flight: id, participants: flight.participants, parts: parts() }
            }
            (_, Phase::Preparing) => Message::Inv { flight: id, parts: parts() },
            (_, Phase::Committing) => Message::Commit { flight: id },
            (_, Phase::Aborting) => Message::Abort { flight: id },
        })
    }

    /// Notes, per key of a batch, up to where everyone has it.
    fn settle_all(&mut self, parts: Vec<Part>) -> Vec<(Key, Version)> {
        let mut settled = Vec::with_capacity(parts.len());
        for Part { key, .. } in parts {
            if let Some(stable) = self.copies.get(&key).map(|copy| self.stable_version(copy)) {
                self.settle_stable(&key, stable);
                settled.push((key, stable));
            }
        }
        settled
    }

    pub(crate) fn on_ack(&mut self, from: NodeId, id: FlightId) {
        let first_is_enough = self.config.without(Mutant::CommitOnFirstAck);
        let Some(flight) = self.flights.get_mut(&id) else { return };
        if flight.phase != Phase::Preparing {
            return;
        }
        flight.waiting.remove(from);
        let class = flight.class;
        if !(flight.waiting.is_empty() || first_is_enough && class == Class::X) {
            return;
        }
        if class != Class::X {
            self.land_w(id);
        } else if self.lease_holds() {
            self.commit_flight(id);
        } else {
            self.abort_flight(id);
        }
    }

    /// A batch of class W is everywhere it can be.
    fn land_w(&mut self, id: FlightId) {
        let Some(flight) = self.flights.remove(&id) else { return };
        let stable = self.settle_all(flight.parts);
        let others = flight.participants.without(self.config.id);
        self.send_all(others, Message::Val { flight: id, stable });
        for (op, reply) in flight.replies {
            self.succeed(op, reply);
        }
        for key in &flight.keys {
            self.release(key);
        }
        if let (After::Join(joiner, nonce), Some(key)) = (flight.after, flight.keys.first()) {
            self.send_snapshot(key, joiner, nonce);
        }
    }

    /// The commit point: every participant holds the PREP.
    fn commit_flight(&mut self, id: FlightId) {
        let me = self.config.id;
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.phase = Phase::Committing;
        flight.waiting = flight.participants.without(me);
        flight.undo.clear();
        let replies = std::mem::take(&mut flight.replies);
        let many = flight.keys.len() > 1;
        // From here on nobody needs the entries, only which keys they were for.
        let mut parts = std::mem::take(&mut flight.parts);
        for part in &mut parts {
            self.append(&part.key, std::mem::take(&mut part.entries));
        }
        if let Some(flight) = self.flights.get_mut(&id) {
            flight.parts = parts;
        }
        self.count(if many { Rule::ExecutedMulti } else { Rule::CommittedX });
        // Before the answers: who hears that its operation is done is to know that it is decided.
        self.send_phase(id);
        for (op, reply) in replies {
            self.succeed(op, reply);
        }
        let alone = self.flights.get(&id).is_some_and(|flight| flight.waiting.is_empty());
        if alone || self.config.without(Mutant::CloseEarly) {
            self.close_flight(id);
        }
    }

    /// Gives a batch of class X up. From here on it cannot commit.
    pub(crate) fn abort_flight(&mut self, id: FlightId) {
        let me = self.config.id;
        let Some(flight) = self.flights.get_mut(&id) else { return };
        if flight.class != Class::X || flight.phase != Phase::Preparing {
            return;
        }
        flight.phase = Phase::Aborting;
        flight.waiting = flight.participants.without(me);
        self.count(Rule::AbortedX);
        self.send_phase(id);
        if self.config.without(Mutant::AbortWithoutAcks) {
            self.close_flight(id);
        }
    }

    pub(crate) fn on_decided(&mut self, from: NodeId, id: FlightId) {
        let Some(flight) = self.flights.get_mut(&id).filter(|flight| flight.phase != Phase::Preparing) else {
            return;
        };
        flight.waiting.remove(from);
        if flight.waiting.is_empty() {
            self.close_flight(id);
        }
    }

    /// Every participant knows the decision.
    fn close_flight(&mut self, id: FlightId) {
        let Some(flight) = self.flights.remove(&id) else { return };
        if flight.phase == Phase::Aborting {
            self.take_back(flight.undo);
            for (op, _) in &flight.replies {
                self.refuse(*op, ClientError::Aborted);
            }
        }
        // Only now does everyone have it: a subscriber that was merely prepared could still fork off below it.
        let stable = self.settle_all(flight.parts);
        let others = flight.participants.without(self.config.id);
        self.send_all(others, Message::Close { flight: id, stable });
        for key in &flight.keys {
            if let Some(owning) = self.owning_mut(key) {
                owning.pinned = None;
            }
            self.release(key);
        }
    }

    /// Undoes executed operations, last first.
    pub(crate) fn take_back(&mut self, undo: Vec<(Key, V::Undo)>) {
        for (key, undo) in undo.into_iter().rev() {
            self.values.undo(&key, undo);
        }
    }

    /// A participant has heard nothing since it prepared or applied.
    pub(crate) fn on_ask(&mut self, from: NodeId, id: FlightId) {
        match self.flights.get(&id) {
            None if id.node() == self.config.id && id.view == self.membership.view.id => {
                self.send(from, Message::Val { flight: id, stable: Vec::new() });
                self.send(from, Message::Close { flight: id, stable: Vec::new() });
            }
            Some(flight) if flight.phase != Phase::Preparing => {
                if let Some(message) = self.phase_message(id, from) {
                    self.send(from, message);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn write_tick(&mut self) {
        let now = self.now.mono_ms;
        let timers = self.config.timers;
        for id in self.flights.keys() {
            let Some(flight) = self.flights.get(&id) else { continue };
            let (sent, started) = (flight.sent_ms, flight.started_ms);
            if flight.class == Class::X
                && flight.phase == Phase::Preparing
                && now >= started + timers.abort_ms
            {
                self.abort_flight(id);
            } else if now >= sent + timers.retry_ms {
                self.send_phase(id);
            }
        }
        for key in self.busy_keys.iter().cloned().collect::<Vec<_>>() {
            self.repeat_busy(&key);
        }
        self.subscriber_tick();
    }

    /// Sends again what a key's join, leave, grant or regroup is waiting for.
    fn repeat_busy(&mut self, key: &Key) {
        let now = self.now.mono_ms;
        let retry = self.config.timers.retry_ms;
        let Some(owning) = self.owning_mut(key) else { return };
        let sent_ms = match &mut owning.busy {
            Some(Busy::Regroup(regroup)) => &mut regroup.sent_ms,
            Some(Busy::Align(aligning)) => &mut aligning.sent_ms,
            Some(Busy::Leaving { sent_ms, .. } | Busy::Granting { sent_ms, .. }) => sent_ms,
            Some(Busy::Flight(_)) | None => return,
        };
        if now < *sent_ms + retry {
            return;
        }
        *sent_ms = now;
        match owning.busy {
            Some(Busy::Regroup(_)) => self.send_regroup_asks(key),
            Some(Busy::Align(_)) => self.send_aligns(key),
            Some(Busy::Leaving { node, leave, .. }) => self.send_may_drop(key, node, leave),
            Some(Busy::Granting { to, .. }) => self.send_grant(key, to),
            Some(Busy::Flight(_)) | None => {}
        }
    }
}
