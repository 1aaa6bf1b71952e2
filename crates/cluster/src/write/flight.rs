//! The owner's side of a batch: rounds of questions and acknowledgements.
//!
//! Invariants: a batch of class X is committed only in the view it was begun in, while the lease holds and every
//! participant holds the PREP; once it is aborting it cannot commit; it is closed (and its keys go on) only after
//! every participant has taken the decision over, so that whoever is asked later either knows or was never involved.

use std::collections::BTreeMap;

use super::{After, Flight, Guest, Phase};
use crate::copy::Busy;
use crate::ids::{Blob, FlightId, NodeId, NodeSet, OpId, Version};
use crate::interface::{Class, ClientError};
use crate::key::Key;
use crate::message::{Message, Outcome, Part};
use crate::mutant::Mutant;
use crate::part::Part as PartOf;
use crate::participants::Participants;
use crate::settle::Record;
use crate::tally::Rule;
use crate::turn::{Mail, Turn};
use crate::values::{Entry, Values};

impl<V: Values> Turn<'_, V> {
    /// Appends entries whose effects the store has, and sends them to `recipients` (of whom those in the view count).
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
        let others = (recipients & self.installed.view.members).without(me);
        let log_max = self.config.limits.log_max;
        let Some(copy) = self.part.copies.get(key) else { return };
        let subscribers = copy.meta.subscribers;
        let may_overflow = copy.log.overflow || copy.log.entries.len() + entries.len() > log_max;
        // What the log keeps is sent from there.
        let kept = if may_overflow { entries.clone() } else { Vec::new() };
        self.append(key, entries);
        let now = self.now.mono_ms;
        let flight = Flight {
            class: Class::W,
            keys: vec![key.clone()],
            parts: vec![Part { key: key.clone(), prior, entries: kept, subscribers }],
            participants: Participants::of(self.part.id, others.with(me)),
            waiting: Participants::of(self.part.id, others),
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
            let replies = self.part.flights.get_mut(&id).map(|flight| std::mem::take(&mut flight.replies));
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
        let lead = keys.first().map_or(self.part.id, |key| key.part(self.config.parts));
        let counted = if self.config.without(Mutant::PrepareFirstKeyOnly) { &parts[..1] } else { &parts[..] };
        let mut participants = Participants::of(lead, NodeSet::only(me));
        for part in counted {
            participants.add(part.key.part(self.config.parts), part.subscribers.with(me));
        }
        if self.config.without(Mutant::XWithoutAllSubscribers) {
            participants.keep_nodes(self.installed.view.members);
        }
        let mut waiting = participants.clone();
        waiting.remove_nodes(NodeSet::only(me));
        let alone = waiting.is_empty();
        let now = self.now.mono_ms;
        self.focus(lead);
        let (undo, undo_of_guests): (Vec<_>, Vec<_>) =
            undo.into_iter().partition(|(key, _)| key.part(self.config.parts) == lead);
        let flight = Flight {
            class: Class::X,
            keys,
            parts,
            participants,
            waiting,
            phase: Phase::Preparing,
            replies,
            undo,
            started_ms: now,
            sent_ms: now,
            after: After::Nothing,
        };
        let id = self.take_off(flight);
        self.leave_guests(id, undo_of_guests);
        if alone {
            self.commit_flight(id);
        } else {
            self.count(Rule::PreparedX);
            self.send_phase(id);
        }
    }

    /// Leaves with the other partitions of this node what is theirs of a batch that begins.
    fn leave_guests(&mut self, id: FlightId, mut undo: Vec<(Key, V::Undo)>) {
        let Some(flight) = self.part.flights.get(&id).filter(|flight| !flight.participants.rest.is_empty())
        else {
            return;
        };
        let (parts_max, me) = (self.config.parts, self.config.id);
        let (participants, replies) = (flight.participants.clone(), flight.replies.clone());
        let parts = flight.parts.clone();
        for (part, _) in participants.rest.iter().filter(|(_, nodes)| nodes.contains(me)) {
            let parts = parts.iter().filter(|other| other.key.part(parts_max) == *part).cloned().collect();
            let (own, rest) = undo.into_iter().partition(|(key, _)| key.part(parts_max) == *part);
            undo = rest;
            let (participants, replies) = (participants.clone(), replies.clone());
            self.focus(*part);
            self.part.guests.insert(id, Guest { participants, parts, undo: own, replies });
        }
        self.focus(id.part());
    }

    /// Sends what the batch's phase asks of those who have not answered.
    pub(crate) fn send_phase(&mut self, id: FlightId) {
        let now = self.now.mono_ms;
        let Some(flight) = self.part.flights.get_mut(&id) else { return };
        flight.sent_ms = now;
        if flight.waiting.rest.is_empty() {
            let (part, nodes) = (flight.waiting.part, flight.waiting.nodes);
            for node in nodes.iter() {
                self.send_phase_to(id, (node, part));
            }
            return;
        }
        for to in flight.waiting.each().collect::<Vec<_>>() {
            self.send_phase_to(id, to);
        }
    }

    fn send_phase_to(&mut self, id: FlightId, to: (NodeId, u8)) {
        if let Some(message) = self.phase_message(id, to) {
            self.send_to(to.0, to.1, message);
        }
    }

    /// What the batch's phase asks of a partition of a node.
    fn phase_message(&self, id: FlightId, (node, part): (NodeId, u8)) -> Option<Message> {
        let flight = self.part.flights.get(&id)?;
        let is_theirs =
            |other: &&Part| other.subscribers.contains(node) && other.key.part(self.config.parts) == part;
        let parts = || match &flight.parts[..] {
            [part] if part.entries.is_empty() => vec![self.part_from_log(part)],
            [_] => flight.parts.clone(),
            parts => parts.iter().filter(is_theirs).cloned().collect(),
        };
        Some(match (flight.class, flight.phase) {
            (Class::X, Phase::Preparing) => {
                Message::Prep { flight: id, participants: flight.participants.clone(), parts: parts() }
            }
            (_, Phase::Preparing) if matches!(flight.after, After::Keep(_)) => {
                return self.keep_message(id, flight.keys.first()?);
            }
            (_, Phase::Preparing) => Message::Inv { flight: id, parts: parts() },
            (_, Phase::Committing) => Message::Commit { flight: id },
            (_, Phase::Aborting) => Message::Abort { flight: id },
        })
    }

    /// A part of a batch of class W whose entries are those that came last in the log.
    fn part_from_log(&self, part: &Part) -> Part {
        let copy = self.part.copies.get(&part.key);
        let entries = copy.and_then(|copy| copy.log.since(&copy.meta, part.prior)).unwrap_or_default();
        Part { entries: entries.to_vec(), ..part.clone() }
    }

    /// Notes, per key of a batch, up to where everyone has it.
    fn settle_all(&mut self, parts: Vec<Part>) -> Vec<(Key, Version)> {
        let mut settled = Vec::with_capacity(parts.len());
        for Part { key, .. } in parts {
            self.focus_on(&key);
            let Some(copy) = self.part.copies.get(&key) else { continue };
            let (stable, has_lost) = (self.stable_version(&key, copy), !copy.meta.lost.is_empty());
            self.settle_stable(&key, stable);
            if has_lost {
                self.give_up_the_lost(&key);
            }
            settled.push((key, stable));
        }
        settled
    }

    pub(crate) fn on_ack(&mut self, from: (NodeId, u8), id: FlightId) {
        let first_is_enough = self.config.without(Mutant::CommitOnFirstAck);
        let for_all = self.config.without(Mutant::AckForAllPartitions);
        let Some(flight) = self.part.flights.get_mut(&id) else { return };
        if flight.phase != Phase::Preparing {
            return;
        }
        flight.waiting.remove(from);
        if for_all {
            flight.waiting.remove_nodes(NodeSet::only(from.0));
        }
        let class = flight.class;
        if !(flight.waiting.is_empty() || first_is_enough && class == Class::X) {
            return;
        }
        if class != Class::X {
            self.land_w(id);
        } else if flight.participants.rest.is_empty() {
            self.decide(id);
        } else {
            self.out.mail.push_back(Mail::Decide(id));
        }
    }

    /// Every participant holds the PREP.
    pub(crate) fn decide(&mut self, id: FlightId) {
        let preparing = |flight: &Flight<V::Undo>| flight.phase == Phase::Preparing;
        if !self.part.flights.get(&id).is_some_and(preparing) {
            return;
        }
        if self.lease_holds() {
            self.commit_flight(id);
        } else {
            self.abort_flight(id);
        }
    }

    /// A batch of class W is everywhere it can be.
    fn land_w(&mut self, id: FlightId) {
        let Some(flight) = self.part.flights.remove(&id) else { return };
        let stable = self.settle_all(flight.parts);
        let others = flight.participants.nodes.without(self.config.id);
        self.send_all(others, Message::Val { flight: id, stable });
        for (op, reply) in flight.replies {
            self.succeed(op, reply);
        }
        for key in &flight.keys {
            self.release(key);
        }
        match (flight.after, flight.keys.first()) {
            (After::Join(joiner, nonce), Some(key)) => self.send_snapshot(key, joiner, nonce),
            (After::Keep(keeper), Some(key)) => {
                self.part.enlisting.remove(&id.number());
                self.has_kept(key, keeper);
            }
            _ => {}
        }
    }

    /// The commit point: every participant holds the PREP.
    fn commit_flight(&mut self, id: FlightId) {
        let me = self.config.id;
        let Some(flight) = self.part.flights.get_mut(&id) else { return };
        flight.phase = Phase::Committing;
        flight.waiting = flight.participants.clone();
        flight.waiting.remove_nodes(NodeSet::only(me));
        flight.undo.clear();
        let replies = std::mem::take(&mut flight.replies);
        let many = flight.keys.len() > 1;
        // From here on nobody needs the entries, only which keys they were for.
        let mut parts = std::mem::take(&mut flight.parts);
        for part in &mut parts {
            self.focus_on(&part.key);
            self.append(&part.key, std::mem::take(&mut part.entries));
            self.commit_guest(id);
        }
        self.focus(id.part());
        if let Some(flight) = self.part.flights.get_mut(&id) {
            flight.parts = parts;
        }
        self.count(if many { Rule::ExecutedMulti } else { Rule::CommittedX });
        // Before the answers: who hears that its operation is done is to know that it is decided.
        self.send_phase(id);
        for (op, reply) in replies {
            self.succeed(op, reply);
        }
        let alone = self.part.flights.get(&id).is_some_and(|flight| flight.waiting.is_empty());
        if alone || self.config.without(Mutant::CloseEarly) {
            self.close_flight(id);
        }
    }

    /// The partition in focus takes the decision over for its part of another partition's batch, if it has one.
    fn commit_guest(&mut self, id: FlightId) {
        let Some(Guest { participants, replies, .. }) = self.part.guests.remove(&id) else { return };
        let record = Record {
            outcome: Outcome::Committed,
            participants,
            parts: Vec::new(),
            detached: BTreeMap::new(),
            replies,
            closed: false,
            asked_ms: self.now.mono_ms,
        };
        self.part.records.insert(id, record);
        self.part.due.records.open(id);
    }

    /// Gives a batch of class X up. From here on it cannot commit.
    pub(crate) fn abort_flight(&mut self, id: FlightId) {
        let me = self.config.id;
        let Some(flight) = self.part.flights.get_mut(&id) else { return };
        if flight.class != Class::X || flight.phase != Phase::Preparing {
            return;
        }
        flight.phase = Phase::Aborting;
        flight.waiting = flight.participants.clone();
        flight.waiting.remove_nodes(NodeSet::only(me));
        self.count(Rule::AbortedX);
        self.send_phase(id);
        if self.config.without(Mutant::AbortWithoutAcks) {
            self.end_flight(id);
        }
    }

    pub(crate) fn on_decided(&mut self, from: (NodeId, u8), id: FlightId) {
        let Some(flight) = self.part.flights.get_mut(&id).filter(|flight| flight.phase != Phase::Preparing)
        else {
            return;
        };
        flight.waiting.remove(from);
        if flight.waiting.is_empty() {
            self.end_flight(id);
        }
    }

    /// Closes a batch, at once or when all partitions that it needs are held.
    fn end_flight(&mut self, id: FlightId) {
        let Some(flight) = self.part.flights.get(&id) else { return };
        if flight.keys.iter().all(|key| key.part(self.config.parts) == self.part.id) {
            self.close_flight(id);
        } else {
            self.out.mail.push_back(Mail::Close(id));
        }
    }

    /// Every participant knows the decision.
    pub(crate) fn close_flight(&mut self, id: FlightId) {
        let Some(flight) = self.part.flights.remove(&id) else { return };
        let aborted = flight.phase == Phase::Aborting;
        let mut undo = flight.undo;
        for (part, _) in flight.participants.iter() {
            if self.holds(part) {
                self.focus(part);
                undo.extend(self.part.guests.remove(&id).map(|guest| guest.undo).unwrap_or_default());
                if part != id.part() {
                    self.part.records.remove(&id);
                }
            }
        }
        self.focus(id.part());
        if aborted {
            self.take_back(undo);
            for (op, _) in &flight.replies {
                self.refuse(*op, ClientError::Aborted);
            }
        }
        // Of one that was committed nobody keeps a record any more.
        let over = if aborted { self.over_below() } else { 0 };
        // Only now does everyone have it: a subscriber that was merely prepared could still fork off below it.
        let stable = self.settle_all(flight.parts);
        self.focus(id.part());
        if flight.participants.rest.is_empty() {
            let others = flight.participants.nodes.without(self.config.id);
            self.send_all(others, Message::Close { flight: id, stable, over });
        } else {
            self.send_closes(id, &flight.participants, &stable, over);
        }
        for key in &flight.keys {
            self.focus_on(key);
            if let Some(owning) = self.owning_mut(key) {
                owning.pinned = None;
            }
            self.release(key);
        }
        self.focus(id.part());
    }

    /// All batches of this partition below this number are over.
    fn over_below(&mut self) -> u64 {
        let PartOf { due, flights, .. } = &mut *self.part;
        let open = due.decided.first(|id| flights.contains(id)).map(|id| id.number());
        open.unwrap_or_else(|| self.part.number_after(1))
    }

    /// Tells each partition that took part that the batch is over, and what that says of its keys.
    fn send_closes(
        &mut self,
        id: FlightId,
        participants: &Participants,
        stable: &[(Key, Version)],
        over: u64,
    ) {
        for (part, nodes) in participants.iter() {
            let of_part = |(key, _): &&(Key, Version)| key.part(self.config.parts) == part;
            let stable: Vec<(Key, Version)> = stable.iter().filter(of_part).cloned().collect();
            for node in nodes.without(self.config.id).iter() {
                let stable = stable.clone();
                self.send_to(node, part, Message::Close { flight: id, stable, over });
            }
        }
    }

    /// Undoes executed operations, last first.
    pub(crate) fn take_back(&mut self, undo: Vec<(Key, V::Undo)>) {
        for (key, undo) in undo.into_iter().rev() {
            self.values.undo(&key, undo);
        }
    }

    /// A participant has heard nothing since it prepared or applied.
    pub(crate) fn on_ask(&mut self, from: (NodeId, u8), id: FlightId, key: Option<Key>) {
        match self.part.flights.get(&id) {
            None if id.node() == self.config.id && id.view == self.installed.view.id => {
                // It is over; up to where all hold the key was said then, or will be with the next batch.
                let stable = key.map(|key| (key, Version::default())).into_iter().collect();
                self.send_to(from.0, from.1, Message::Val { flight: id, stable });
                let over = self.over_below();
                self.send_to(from.0, from.1, Message::Close { flight: id, stable: Vec::new(), over });
            }
            Some(flight) if flight.phase != Phase::Preparing => self.send_phase_to(id, from),
            _ => {}
        }
    }

    pub(crate) fn write_tick(&mut self) {
        let now = self.now.mono_ms;
        let timers = self.config.timers;
        for id in self.part.due_flights(self.when()) {
            let Some(flight) = self.part.flights.get(&id) else { continue };
            if flight.is_to_abort(now, &timers) {
                self.abort_flight(id);
            } else {
                let waiting = flight.waiting.each().map(|(node, _)| node).collect();
                self.doubt_way_to(waiting);
                self.send_phase(id);
            }
        }
        for key in self.part.due_busy(self.when()) {
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
            Some(Busy::Reserved { .. }) => {
                self.count(Rule::ReservedInVain);
                self.end_reservation(key);
                return;
            }
            Some(Busy::Flight(_)) | None => return,
        };
        if now < *sent_ms + retry {
            return;
        }
        *sent_ms = now;
        let waiting = match &owning.busy {
            Some(Busy::Regroup(regroup)) => regroup.waiting,
            Some(Busy::Align(aligning)) => aligning.waiting,
            Some(Busy::Leaving { node, .. } | Busy::Granting { to: node, .. }) => NodeSet::only(*node),
            Some(Busy::Flight(_) | Busy::Reserved { .. }) | None => NodeSet::EMPTY,
        };
        self.doubt_way_to(waiting);
        let Some(owning) = self.owning_mut(key) else { return };
        match owning.busy {
            Some(Busy::Regroup(_)) => self.send_regroup_asks(key),
            Some(Busy::Align(_)) => self.send_aligns(key),
            Some(Busy::Leaving { node, leave, .. }) => self.send_may_drop(key, node, leave),
            Some(Busy::Granting { to, .. }) => self.send_grant(key, to),
            Some(Busy::Flight(_) | Busy::Reserved { .. }) | None => {}
        }
    }
}
