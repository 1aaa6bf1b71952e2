//! Settling batches of class X that a view change left in doubt.
//!
//! A batch can have been committed by its coordinator only if every participant held the PREP. So the participants
//! that are present in a view are asked: if anyone has committed, the outcome is commit. Once every participant that
//! is still in the base is present, it is also commit if all hold the PREP, and otherwise abort. The outcome is taken
//! over by everyone present before anything is done with it, and then, if nobody is missing, closed.
//!
//! What is decided, or learned from a copy that contains the batch, after the copies of another key were brought
//! together without it is brought in late: that key is regrouped once more (`Doubt::Settled`).
//!
//! Invariant: two nodes that settle the same batch in one view, or in two views, come to the same outcome: a commit
//! needs all to hold the PREP or one to have committed, and neither can come about after one participant lacked it;
//! an abort is acted upon only when nobody holds the PREP any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::copy::{Busy, Doubt, Role};
use crate::deadlines::When;
use crate::ids::{Blob, FlightId, NodeId, OpId};
use crate::key::Key;
use crate::message::{Message, Outcome, Part};
use crate::mutant::Mutant;
use crate::participants::Participants;
use crate::tally::Rule;
use crate::turn::{Mail, Turn};
use crate::values::Values;

/// What a participant keeps of a batch until everyone has decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) outcome: Outcome,
    pub(crate) participants: Participants,
    /// Parts for copies here that do not contain them yet.
    pub(crate) parts: Vec<Part>,
    /// Their effects, entry by entry, for copies that may not remember the state they were made for.
    pub(crate) detached: BTreeMap<Key, Vec<Vec<Blob>>>,
    /// The coordinator's answers, in case of a commit.
    pub(crate) replies: Vec<(OpId, Blob)>,
    pub(crate) closed: bool,
    pub(crate) asked_ms: u64,
}

impl Record {
    /// The view of the batch is over: it has to do without the state of the key that it was made for from now on.
    pub(crate) fn detach(&mut self, key: &Key, values: &impl Values) {
        if let Some(part) = self.parts.iter().find(|part| part.key == *key) {
            self.detached.insert(key.clone(), values.detach(key, &part.entries));
        }
    }

    /// When it is to be asked about, or settled, again. `is_current`: it is of the installed view.
    pub(crate) fn due_ms(&self, is_current: bool, is_settling: bool, when: When) -> Option<u64> {
        let (retry_ms, is_open) = (when.timers.retry_ms, !self.closed);
        match is_current {
            true => is_open.then_some(self.asked_ms + retry_ms),
            false if is_open && !is_settling => Some(0),
            false if !self.parts.is_empty() => Some(self.asked_ms + retry_ms),
            false => is_open.then_some(when.now_ms + retry_ms),
        }
    }

    /// A batch that must not be prepared any more.
    pub(crate) fn aborted(now_ms: u64) -> Self {
        Self {
            outcome: Outcome::Aborted,
            participants: Participants::default(),
            parts: Vec::new(),
            detached: BTreeMap::new(),
            replies: Vec::new(),
            closed: true,
            asked_ms: now_ms,
        }
    }
}

/// A settlement this node conducts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settling {
    participants: Participants,
    waiting: Participants,
    states: BTreeMap<(NodeId, u8), Outcome>,
    /// Nobody is missing.
    complete: bool,
    /// Commit or abort.
    decided: Option<bool>,
    /// Everyone has taken it over, or it cannot be decided in this view.
    pub(crate) done: bool,
    /// Keys whose regroup waits for it.
    keys: BTreeSet<Key>,
    pub(crate) sent_ms: u64,
}

/// Whether a batch can be settled in this view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// A participant is missing.
    Impossible,
    /// Under way.
    Pending,
    /// Everyone has taken it over.
    Done { commit: bool },
}

impl<V: Values> Turn<'_, V> {
    /// Conducts, or looks up, the settlement of a batch of an earlier view, for which the regroup of a key may wait.
    pub(crate) fn settle(
        &mut self,
        flight: FlightId,
        participants: Participants,
        key: Option<&Key>,
    ) -> Settlement {
        if let Some(settling) = self.part.settling.get_mut(&flight) {
            return match settling.decided {
                _ if !settling.done => {
                    settling.keys.extend(key.cloned());
                    Settlement::Pending
                }
                Some(commit) => Settlement::Done { commit },
                None => Settlement::Impossible,
            };
        }
        let view = &self.installed.view;
        let (members, mut living) = (view.members, participants);
        living.keep_nodes(view.base.nodes());
        let all_here = living.all_nodes().is_subset(members);
        let complete = all_here || self.config.without(Mutant::SettleWithoutParticipants);
        living.keep_nodes(members);
        let settling = Settling {
            participants: living.clone(),
            waiting: living.clone(),
            states: BTreeMap::new(),
            complete,
            decided: None,
            done: false,
            keys: key.cloned().into_iter().collect(),
            sent_ms: self.now.mono_ms,
        };
        self.part.settling.insert(flight, settling);
        self.part.due.settling.open(flight);
        for (node, part) in living.each() {
            self.send_to(node, part, Message::SettleAsk { flight });
        }
        Settlement::Pending
    }

    pub(crate) fn on_settle_ask(&mut self, (node, part): (NodeId, u8), flight: FlightId) {
        let outcome = self.part.records.get(&flight).map_or(Outcome::Unknown, |record| record.outcome);
        self.send_to(node, part, Message::SettleState { flight, outcome });
    }

    pub(crate) fn on_settle_state(&mut self, from: (NodeId, u8), flight: FlightId, outcome: Outcome) {
        let lenient = self.config.without(Mutant::SettleCommitWithoutAll);
        let Some(settling) = self.part.settling.get_mut(&flight) else { return };
        if settling.decided.is_some() || !settling.waiting.contains(from) {
            return;
        }
        settling.waiting.remove(from);
        settling.states.insert(from, outcome);
        if !settling.waiting.is_empty() {
            return;
        }
        let mut states = settling.states.values();
        let committed = states.clone().any(|state| *state == Outcome::Committed);
        let all_hold = if lenient {
            states.any(|state| *state == Outcome::Prepared)
        } else {
            states.all(|state| *state == Outcome::Prepared)
        };
        if !committed && !settling.complete {
            settling.done = true;
            self.regroup_settled(flight);
            return;
        }
        let commit = committed || all_hold;
        settling.decided = Some(commit);
        let participants = settling.participants.clone();
        settling.waiting = participants.clone();
        self.count(if commit { Rule::SettledCommit } else { Rule::SettledAbort });
        for (node, part) in participants.each() {
            self.send_to(node, part, Message::SettleOrder { flight, commit });
        }
    }

    pub(crate) fn on_settle_order(&mut self, (node, part): (NodeId, u8), flight: FlightId, commit: bool) {
        if let Some(record) = self.part.records.get_mut(&flight)
            && record.outcome == Outcome::Prepared
        {
            record.outcome = if commit { Outcome::Committed } else { Outcome::Aborted };
            if commit {
                // The parts stay until a regroup brings them into the copies in their place.
                self.tell_learned(flight);
                self.doubt_resolved(flight);
            } else {
                for part in std::mem::take(&mut record.parts) {
                    self.end_prepared(&part.key, flight);
                }
            }
        }
        self.send_to(node, part, Message::SettleAck { flight });
    }

    /// A batch is committed: the other partitions of this node that take part in it need not wait to be told.
    pub(crate) fn tell_learned(&mut self, flight: FlightId) {
        let Some(record) = self.part.records.get(&flight) else { return };
        if self.config.without(Mutant::KeepOutcomeFromSiblings) {
            return;
        }
        for (part, nodes) in record.participants.iter() {
            if part != self.part.id && nodes.contains(self.config.id) {
                self.out.mail.push_back(Mail::Learned(part, flight));
            }
        }
    }

    pub(crate) fn on_learned(&mut self, flight: FlightId) {
        if let Some(record) = self.part.records.get_mut(&flight)
            && record.outcome == Outcome::Prepared
        {
            record.outcome = Outcome::Committed;
            self.doubt_resolved(flight);
        }
    }

    pub(crate) fn on_settle_ack(&mut self, from: (NodeId, u8), flight: FlightId) {
        let Some(settling) = self.part.settling.get_mut(&flight) else { return };
        if settling.decided.is_none() || settling.done {
            return;
        }
        settling.waiting.remove(from);
        if !settling.waiting.is_empty() {
            return;
        }
        settling.done = true;
        // Who is missing may still have to be told.
        let informed =
            if settling.complete { settling.participants.clone() } else { Participants::default() };
        for (node, part) in informed.each() {
            self.send_to(node, part, Message::Close { flight, stable: Vec::new(), over: 0 });
        }
        self.regroup_settled(flight);
    }

    /// Lets regroups that wait for the settlement go on.
    fn regroup_settled(&mut self, flight: FlightId) {
        let settling = self.part.settling.get_mut(&flight);
        for key in settling.map(|settling| std::mem::take(&mut settling.keys)).unwrap_or_default() {
            let busy = self.owning(&key).and_then(|owning| owning.busy.as_ref());
            if matches!(busy, Some(Busy::Regroup(regroup)) if regroup.settling.contains(&flight)) {
                self.regroup_step(&key);
            }
        }
    }

    /// Has copies that were brought together without the batch, which is committed, brought together once more.
    pub(crate) fn bring_in_settled(&mut self, flight: FlightId) {
        let Some(record) =
            self.part.records.get(&flight).filter(|record| record.outcome == Outcome::Committed)
        else {
            return;
        };
        let me = self.config.id;
        for key in record.parts.iter().map(|part| part.key.clone()).collect::<Vec<_>>() {
            let Some(copy) = self.copy_now(&key).filter(|copy| copy.is_prepared_for(flight)) else {
                continue;
            };
            match &mut copy.role {
                Role::Owner(owning) if owning.doubt == Doubt::Open => {
                    owning.doubt = Doubt::Settled;
                    self.part.work.insert(key);
                }
                // The owner does not know the batch: this node takes over.
                Role::Follower { owner, .. } => {
                    let owner = *owner;
                    self.send(owner, Message::TokenRequest { key, to: me });
                }
                Role::Owner(_) | Role::Idle => {}
            }
        }
    }

    pub(crate) fn settle_tick(&mut self) {
        let now = self.now.mono_ms;
        let retry = self.config.timers.retry_ms;
        let view = self.installed.view.id;
        for flight in self.part.due_settling(self.when()) {
            let Some(settling) = self.part.settling.get_mut(&flight) else { continue };
            settling.sent_ms = now;
            let message = match settling.decided {
                None => Message::SettleAsk { flight },
                Some(commit) => Message::SettleOrder { flight, commit },
            };
            for (node, part) in settling.waiting.each().collect::<Vec<_>>() {
                self.send_to(node, part, message.clone());
            }
        }
        for flight in self.part.due_records(self.when()) {
            let Some(record) = self.part.records.get_mut(&flight) else { continue };
            let is_late = now >= record.asked_ms + retry;
            if flight.view == view {
                record.asked_ms = now;
                self.send_to(flight.node(), flight.part(), Message::Ask { flight, key: None });
                continue;
            }
            let (is_open, participants) = (!record.closed, record.participants.clone());
            if is_late && !record.parts.is_empty() {
                record.asked_ms = now;
                self.bring_in_settled(flight);
            }
            if is_open && !self.part.settling.contains_key(&flight) && self.part.records.contains(&flight) {
                self.settle(flight, participants, None);
            }
        }
    }
}
