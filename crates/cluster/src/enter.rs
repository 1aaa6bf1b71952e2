//! What a new view means for the keys, batches and operations of a partition.
//!
//! A partition enters the installed view when it is next used, however many views it has skipped: that is as if it were a
//! slower node. Tokens, touches, questions and queues die with the old view. Batches of class W stay in the log, batches
//! of class X become prepared records to be settled, whoever coordinated them. Operations of this node's own clients go on
//! under their old names. Where the node was outside the base in between, the partition starts empty and keeps what it
//! had as forks.

use std::collections::BTreeMap;

use crate::copy::Prepared;
use crate::databases::Era;
use crate::ids::FlightId;
use crate::interface::{Action, Evicted};
use crate::message::{Outcome, Part};
use crate::mutant::Mutant;
use crate::operation::Stage;
use crate::rubbish::Litter;
use crate::settle::Record;
use crate::turn::Turn;
use crate::values::Values;
use crate::write::{Flight, Guest, Phase};

impl<V: Values> Turn<'_, V> {
    /// Enters the installed view, if the partition in focus has not.
    #[inline]
    pub(crate) fn enter(&mut self) {
        if self.part.view != self.installed.view.id {
            self.enter_next();
        }
    }

    fn enter_next(&mut self) {
        let installed = self.installed;
        let (view, base) = (&installed.view, &installed.view.base);
        self.cut_short();
        let era = self.part.era();
        let old_generation = self.part.generation;
        let reborn = installed.rebirths > self.part.rebirths;
        let flushed = era.is_flushed(base, self.config);
        let met = installed.meetings > self.part.meetings;
        if reborn || met && !self.config.without(Mutant::SoloTokensSurvive) {
            self.disown_solos();
        }
        self.part.previous = (self.part.view, self.part.members);
        (self.part.view, self.part.members) = (view.id, view.members);
        (self.part.generation, self.part.flush) = (base.tag.generation, base.flush);
        self.part.cluster = base.tag.cluster;
        self.part.rebirths = installed.rebirths;
        self.part.meetings = installed.meetings;
        let (dropped, _) = installed.dropped_since(old_generation);
        for record in self.part.records.values_mut() {
            record.participants.remove_nodes(dropped);
        }
        self.part.directory.remember();
        self.enter_databases();
        if flushed {
            self.flush_all();
        }
        if reborn {
            self.be_reborn(era.clone());
        }
        if flushed || reborn {
            self.waste_is_gone();
        }
        self.forget_view();
        self.restart_directory(dropped);
        self.start_reports();
        self.restart_evacuation();
        self.restart_repair();
        self.list_again();
        self.leave_over(flushed || reborn, era);
    }

    /// Turns batches in flight into what they are without their coordinator's view.
    fn cut_short(&mut self) {
        // Those of class W are left over with their operations.
        for id in self.part.due.decided.take() {
            if let Some(flight) = self.part.flights.remove(&id) {
                self.cut_short_x(id, flight);
            }
        }
        for (id, guest) in self.part.guests.take() {
            self.cut_short_guest(id, guest);
        }
    }

    fn cut_short_x(&mut self, id: FlightId, flight: Flight<V::Undo>) {
        let phase = flight.phase;
        let outcome = match phase {
            Phase::Preparing => Outcome::Prepared,
            Phase::Committing => Outcome::Committed,
            Phase::Aborting => Outcome::Aborted,
        };
        if phase != Phase::Committing {
            self.take_back(flight.undo);
        }
        let mut parts = if phase == Phase::Preparing { flight.parts } else { Vec::new() };
        parts.retain(|part| part.key.part(self.config.parts) == self.part.id);
        self.prepare_copies(id, &parts);
        for (op, _) in &flight.replies {
            if let Some(operation) = self.part.operations.get_mut(op) {
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
        self.part.records.insert(id, record);
    }

    /// What another partition of this node coordinates is prepared here, as at any other participant.
    fn cut_short_guest(&mut self, id: FlightId, guest: Guest<V::Undo>) {
        let Guest { participants, parts, undo, replies } = guest;
        if !self.config.without(Mutant::GuestsStayExecuted) {
            self.take_back(undo);
        }
        self.prepare_copies(id, &parts);
        let record = Record {
            outcome: Outcome::Prepared,
            participants,
            parts,
            detached: BTreeMap::new(),
            replies,
            closed: false,
            asked_ms: self.now.mono_ms,
        };
        self.part.records.insert(id, record);
    }

    fn prepare_copies(&mut self, flight: FlightId, parts: &[Part]) {
        for part in parts {
            if let Some(copy) = self.part.copies.get_mut(&part.key) {
                copy.prepared = Some(Prepared { flight, prior: part.prior });
            }
        }
    }

    /// FLUSHALL: nothing of before stays.
    fn flush_all(&mut self) {
        self.throw_away();
        self.part.unowned.clear();
        self.part.records.clear();
        self.part.directory.clear();
        if !self.config.without(Mutant::FlushKeepsStragglers) {
            self.part.stash.clear();
            self.clear_attics();
        }
        let keys: Vec<_> = self.part.evicting.keys().cloned().collect();
        for key in keys {
            self.part.evicting.remove(&key);
            self.out.actions.push(Action::Evict { key, outcome: Evicted::NotHeld });
        }
    }

    /// This node was not in every base since its last one: what it holds is a fork.
    fn be_reborn(&mut self, era: Era) {
        self.set_aside(era);
        self.part.unowned.clear();
        self.part.records.clear();
        self.part.directory.clear();
    }

    /// Everything that lived in the old view only.
    fn forget_view(&mut self) {
        self.part.settling.clear();
        self.part.kept.clear();
        self.part.over.clear();
        self.part.aborted.clear();
        let touches = std::mem::take(&mut self.part.touches);
        let busy = std::mem::take(&mut self.part.busy_keys);
        self.part.enlisting.clear();
        if let Some(touches) = self.repair_later(busy, touches) {
            self.part.rubbish.throw(Litter::Touches(touches));
        }
        self.part.left.clear();
        self.part.born.clear();
        self.part.woken.clear();
        self.part.unconfirmed.clear();
        self.part.rubbish.throw(Litter::Parked(std::mem::take(&mut self.part.parked)));
        self.part.work.clear();
        self.part.stalled.clear();
        self.part.ready.clear();
        for flight in self.part.records.keys() {
            let over = self.part.records.get(&flight).is_some_and(|record| {
                record.closed && record.parts.is_empty() && record.outcome != Outcome::Unknown
            });
            if over && !self.part.is_awaited(flight) {
                self.part.records.remove(&flight);
            }
        }
    }

    /// What is to be looked at in the new view is listed, as far as that is little.
    fn list_again(&mut self) {
        self.part.unregistered_from = Some(0);
        // What is said of them differs in another view.
        for flight in self.part.records.keys() {
            self.part.due.records.open(flight);
        }
    }
}
