//! A subscriber's side of a batch.
//!
//! Invariants: an entry is applied only on top of the very version the owner had before it; a batch of class X is
//! kept aside until a decision comes; whoever has acknowledged a PREP keeps its record until it is told that every
//! participant has decided.

use std::collections::BTreeMap;

use crate::copy::{Copy, Invalid, Prepared, Role};
use crate::ids::{FlightId, NodeId, NodeSet, Version};
use crate::key::Key;
use crate::message::{Message, Outcome, Part};
use crate::mutant::Mutant;
use crate::participants::Participants;
use crate::settle::Record;
use crate::turn::Turn;
use crate::values::Values;

/// How a part of a batch relates to the copy here.
enum Fit {
    /// It comes next.
    Next,
    /// The copy contains it.
    Old,
    /// It cannot be used now; the owner will repeat it. Or it is a stray duplicate: a copy is dropped only with its
    /// owner's permission, which has no batch under way then.
    Not,
}

impl Copy {
    /// Notes who orders the key.
    fn follow(&mut self, by: NodeId) {
        if let Role::Follower { owner, .. } = &mut self.role {
            *owner = by;
        }
    }
}

impl<V: Values> Turn<'_, V> {
    fn fit(&mut self, part: &Part) -> Fit {
        let Some(copy) = self.copy_now(&part.key) else { return Fit::Not };
        let follows = matches!(copy.role, Role::Follower { .. });
        let Some(last) = part.entries.last() else { return Fit::Not };
        if !follows {
            Fit::Not
        } else if copy.meta.covers_dot(last.dot) {
            Fit::Old
        } else if copy.meta.version == part.prior {
            Fit::Next
        } else {
            Fit::Not
        }
    }

    /// Applies a part that comes next, and returns the copy.
    pub(crate) fn apply_part(&mut self, part: Part) -> Option<&mut Copy> {
        for entry in &part.entries {
            for effect in &entry.effects {
                self.values.apply(&part.key, effect, entry.stamp);
            }
            self.see_stamp(entry.stamp);
        }
        let copy = self.append(&part.key, part.entries)?;
        copy.meta.subscribers = part.subscribers;
        Some(copy)
    }

    /// Notes who orders the key, as seen from a message only the owner sends.
    pub(crate) fn follow(&mut self, key: &Key, owner: NodeId) {
        if let Some(copy) = self.part.copies.get_mut(key) {
            copy.follow(owner);
        }
    }

    pub(crate) fn on_inv(&mut self, from: NodeId, flight: FlightId, parts: Vec<Part>) {
        for part in parts {
            match self.fit(&part) {
                Fit::Not => return,
                Fit::Old => {}
                Fit::Next => {
                    let key = part.key.clone();
                    if let Some(copy) = self.apply_part(part) {
                        copy.follow(from);
                        copy.invalid = Some(Invalid::Flight(flight));
                    }
                    self.part.due.unconfirmed.open(key.clone());
                    self.part.unconfirmed.insert(key, (from, self.now.mono_ms));
                }
            }
        }
        self.send_to(from, flight.part(), Message::Ack { flight });
    }

    pub(crate) fn on_val(&mut self, flight: FlightId, stable: Vec<(Key, Version)>) {
        for (key, version) in stable {
            self.settle_stable(&key, version);
            self.confirm(&key, Invalid::Flight(flight));
        }
    }

    /// Makes a copy readable again, if it is `reason` that stood in the way.
    pub(crate) fn confirm(&mut self, key: &Key, reason: Invalid) {
        if let Some(copy) = self.part.copies.get_mut(key).filter(|copy| copy.invalid == Some(reason)) {
            copy.invalid = None;
            self.part.unconfirmed.remove(key);
            self.key_changed(key);
        }
    }

    pub(crate) fn on_prep(
        &mut self,
        from: NodeId,
        flight: FlightId,
        participants: Participants,
        parts: Vec<Part>,
    ) {
        if self.is_known_over(flight) {
            return;
        }
        match self.part.records.get(&flight).map(|record| record.outcome) {
            Some(Outcome::Aborted) => return,
            Some(_) => {
                self.send_to(from, flight.part(), Message::Ack { flight });
                return;
            }
            None => {}
        }
        let mut fresh = Vec::with_capacity(parts.len());
        for part in parts {
            match self.fit(&part) {
                Fit::Not => return,
                Fit::Old => {}
                Fit::Next => fresh.push(part),
            }
        }
        let blocked =
            |part: &Part| self.part.copies.get(&part.key).is_some_and(|copy| copy.prepared.is_some());
        if fresh.iter().any(blocked) {
            return;
        }
        if !fresh.is_empty() {
            for part in &fresh {
                if let Some(copy) = self.part.copies.get_mut(&part.key) {
                    copy.follow(from);
                    copy.prepared = Some(Prepared { flight, prior: part.prior });
                }
            }
            let record = Record {
                outcome: Outcome::Prepared,
                participants,
                parts: fresh,
                detached: BTreeMap::new(),
                replies: Vec::new(),
                closed: false,
                asked_ms: self.now.mono_ms,
            };
            self.part.records.insert(flight, record);
            self.part.due.records.open(flight);
        }
        self.send_to(from, flight.part(), Message::Ack { flight });
    }

    pub(crate) fn on_commit(&mut self, from: NodeId, flight: FlightId) {
        if let Some(record) = self.part.records.get_mut(&flight) {
            if record.outcome == Outcome::Prepared {
                record.outcome = Outcome::Committed;
                for part in std::mem::take(&mut record.parts) {
                    let key = part.key.clone();
                    self.apply_part(part);
                    self.end_prepared(&key, flight);
                }
            }
        }
        self.send_to(from, flight.part(), Message::Decided { flight });
    }

    pub(crate) fn on_abort(&mut self, from: NodeId, flight: FlightId) {
        let now = self.now.mono_ms;
        if !self.is_known_over(flight) {
            self.part.due.records.open(flight);
            let record = self.part.records.entry_or(&flight, || Record::aborted(now));
            if record.outcome == Outcome::Prepared {
                record.outcome = Outcome::Aborted;
                for part in std::mem::take(&mut record.parts) {
                    self.end_prepared(&part.key, flight);
                }
            }
            self.note_aborted(flight);
        }
        self.send_to(from, flight.part(), Message::Decided { flight });
    }

    /// Its coordinator will say when no duplicate of the PREP has to be known any more.
    fn note_aborted(&mut self, flight: FlightId) {
        if flight.view == self.installed.view.id {
            let of_coordinator = self.part.aborted.entry((flight.node(), flight.part())).or_default();
            of_coordinator.insert(flight.number(), flight);
        }
    }

    /// The batch no longer stands in the way of the key.
    pub(crate) fn end_prepared(&mut self, key: &Key, flight: FlightId) {
        if let Some(copy) = self.part.copies.get_mut(key).filter(|copy| copy.is_prepared_for(flight)) {
            copy.prepared = None;
            self.key_changed(key);
        }
    }

    /// Whether the batch is one of those of which its coordinator has said that they are over.
    fn is_known_over(&self, flight: FlightId) -> bool {
        let over = self.part.over.get(&(flight.node(), flight.part()));
        flight.view == self.installed.view.id
            && over.is_some_and(|over| flight.number() < *over)
            && !self.config.without(Mutant::RememberAborts)
    }

    /// A coordinator's batches below this number are over: a duplicate of a PREP is known by that.
    fn forget_aborted(&mut self, coordinator: (NodeId, u8), below: u64) {
        let over = self.part.over.entry(coordinator).or_default();
        *over = below.max(*over);
        if self.config.without(Mutant::RememberAborts) {
            return;
        }
        let Some(aborted) = self.part.aborted.get_mut(&coordinator) else { return };
        let later = aborted.split_off(over);
        for flight in std::mem::replace(aborted, later).into_values() {
            let records = &mut self.part.records;
            if records.get(&flight).is_some_and(|record| record.outcome == Outcome::Aborted) {
                records.remove(&flight);
            }
        }
    }

    /// Everyone has decided; nobody will ask this node about the batch.
    pub(crate) fn on_close(
        &mut self,
        from: NodeId,
        flight: FlightId,
        stable: Vec<(Key, Version)>,
        over: u64,
    ) {
        let decided =
            self.part.records.get(&flight).is_some_and(|record| record.outcome == Outcome::Committed);
        for (key, version) in stable.into_iter().filter(|_| decided) {
            self.settle_stable(&key, version);
        }
        let Some(record) = self.part.records.get_mut(&flight) else { return };
        match record.outcome {
            // A stray duplicate of a PREP that was taken back long ago.
            Outcome::Prepared if flight.view == self.installed.view.id => {
                for part in std::mem::take(&mut record.parts) {
                    self.end_prepared(&part.key, flight);
                }
                self.part.records.insert(flight, Record::aborted(self.now.mono_ms));
                self.part.due.records.open(flight);
                self.note_aborted(flight);
            }
            _ => record.closed = true,
        }
        self.drop_closed(flight);
        if over > 0 && from == flight.node() && flight.view == self.installed.view.id {
            self.forget_aborted((from, flight.part()), over);
        }
    }

    /// Forgets a batch that everyone has decided and that no operation here waits for. One that was aborted is kept until
    /// its coordinator says that all up to it are over: a duplicate of its PREP could still be on the way.
    pub(crate) fn drop_closed(&mut self, flight: FlightId) {
        let view = self.installed.view.id;
        if self.part.is_awaited(flight) && !self.config.without(Mutant::ForgetAwaitedBatch) {
            return;
        }
        if self.part.records.get(&flight).is_some_and(|record| {
            record.closed
                && record.parts.is_empty()
                && (record.outcome == Outcome::Committed || flight.view != view)
        }) {
            self.part.records.remove(&flight);
        }
    }

    /// Asks owners that have not confirmed for longer than the retry interval.
    pub(crate) fn subscriber_tick(&mut self) {
        let now = self.now.mono_ms;
        for key in self.part.due_unconfirmed(self.when()) {
            let Some((owner, sent)) = self.part.unconfirmed.get_mut(&key) else { continue };
            let owner = *owner;
            *sent = now;
            self.doubt_way_to(NodeSet::only(owner));
            match self.part.copies.get(&key).and_then(|copy| copy.invalid) {
                Some(Invalid::Flight(flight)) => {
                    self.send_to(owner, flight.part(), Message::Ask { flight, key: Some(key) });
                }
                Some(Invalid::Align(round)) => self.send(owner, Message::AlignAck { key, round }),
                None => {
                    self.part.unconfirmed.remove(&key);
                }
            }
        }
    }
}
