//! Regrouping: how a key gets an owner again after a view change, and how its copies become one.
//!
//! The home names the holder with the highest version (`directory`). That owner collects the state of the other
//! holders, has batches left in doubt settled, merges what others have and it lacks (`heal`), and then aligns
//! everyone: a copy that is a prefix gets the missing entries, any other copy is replaced. Only when all have
//! acknowledged do reads and writes go on. A joiner gets its snapshot through the same alignment.
//!
//! Invariant: nothing changes a copy between its answer to the owner and its alignment, because a copy without a role
//! in the installed view takes no writes.

use std::collections::{BTreeMap, BTreeSet};

use crate::copy::{
    Aligning, Busy, Copy, CopyState, Doubt, Invalid, Log, Meta, Owning, Prepared, PreparedPart, Regroup,
    Role, Whole,
};
use crate::ids::{FlightId, NodeId, NodeSet, Version};
use crate::key::Key;
use crate::message::{Alignment, Message, Outcome};
use crate::mutant::Mutant;
use crate::settle::Settlement;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::{Entry, Values};
use crate::write::After;

impl<V: Values> Turn<'_, V> {
    pub(crate) fn on_own(&mut self, key: Key, holders: NodeSet) {
        let Some(copy) = self.copy_or_record(&key) else {
            self.tell_owned(&key, true);
            return;
        };
        match copy.role {
            Role::Follower { .. } => return,
            Role::Owner(_) => {
                self.tell_owned(&key, false);
                return;
            }
            Role::Idle => {}
        }
        copy.role = Role::Owner(Box::default());
        self.part.touches.remove(&key);
        self.start_regroup(&key, holders);
        // Writes may queue up from now on.
        self.key_changed(&key);
    }

    /// Brings the copies of these nodes together, at their owner.
    pub(crate) fn start_regroup(&mut self, key: &Key, holders: NodeSet) {
        let stale = self.config.without(Mutant::LowestSurvives);
        let waiting = if stale { NodeSet::EMPTY } else { holders.without(self.config.id) };
        let sent_ms = self.now.mono_ms;
        let regroup = Regroup { waiting, states: BTreeMap::new(), settling: BTreeSet::new(), sent_ms };
        self.set_busy(key, Busy::Regroup(Box::new(regroup)));
        self.send_regroup_asks(key);
        if waiting.is_empty() {
            self.regroup_step(key);
        }
    }

    pub(crate) fn send_regroup_asks(&mut self, key: &Key) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get(key) else { return };
        let Some(Busy::Regroup(regroup)) = copy.owning(view).and_then(|owning| owning.busy.as_ref()) else {
            return;
        };
        let (birth, whole) = (copy.meta.birth, copy.log.overflow);
        for node in regroup.waiting.iter().collect::<Vec<_>>() {
            self.send(node, Message::RegroupAsk { key: key.clone(), birth, whole });
        }
    }

    pub(crate) fn on_regroup_ask(&mut self, from: NodeId, key: Key, birth: FlightId, whole: bool) {
        let state = self.copy_or_record(&key).is_some().then(|| self.state_of(&key, birth, whole)).flatten();
        self.send(from, Message::RegroupState { key, state: state.map(Box::new) });
    }

    /// The state of a copy as a regrouping owner needs it.
    pub(crate) fn state_of(&self, key: &Key, birth: FlightId, whole: bool) -> Option<CopyState> {
        let copy = self.part.copies.get(key)?;
        let whole = whole || copy.log.overflow || copy.meta.birth != birth;
        Some(CopyState {
            meta: copy.meta.clone(),
            log: copy.log.clone(),
            done: copy.done.clone(),
            prepared: self.prepared_part(key, copy),
            value: whole.then(|| Whole { snapshot: self.values.snapshot(key) }),
        })
    }

    pub(crate) fn prepared_part(&self, key: &Key, copy: &Copy) -> Option<PreparedPart> {
        let flight = copy.prepared?.flight;
        let record = self.part.records.get(&flight)?;
        let part = record.parts.iter().find(|part| part.key == *key)?.clone();
        let detached = record.detached.get(key).cloned();
        // If not yet, the copy is in the state that the batch was made for.
        let detached = detached.unwrap_or_else(|| self.values.detach(key, &part.entries));
        let committed = record.outcome == Outcome::Committed;
        Some(PreparedPart { flight, participants: record.participants.clone(), part, detached, committed })
    }

    pub(crate) fn on_regroup_state(&mut self, from: NodeId, key: Key, state: Option<Box<CopyState>>) {
        let Some(copy) = self.part.copies.get(&key) else { return };
        let lacks_value = state.as_ref().is_some_and(|state| lacks_value(copy, state));
        let birth = copy.meta.birth;
        let Some(owning) = self.owning_mut(&key) else { return };
        let Some(Busy::Regroup(regroup)) = &mut owning.busy else { return };
        if !regroup.waiting.contains(from) {
            return;
        }
        if lacks_value {
            self.send(from, Message::RegroupAsk { key, birth, whole: true });
            return;
        }
        regroup.waiting.remove(from);
        if let Some(state) = state {
            regroup.states.insert(from, *state);
        }
        if regroup.waiting.is_empty() {
            self.regroup_step(&key);
        }
    }

    /// All states are in: settles what is in doubt, then brings the copies together.
    pub(crate) fn regroup_step(&mut self, key: &Key) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get(key) else { return };
        let own = self.prepared_part(key, copy);
        let Some(Busy::Regroup(regroup)) = copy.owning(view).and_then(|owning| owning.busy.clone()) else {
            return;
        };
        if !regroup.waiting.is_empty() {
            return;
        }
        let mut parts: BTreeMap<FlightId, PreparedPart> = BTreeMap::new();
        for part in own.iter().chain(regroup.states.values().filter_map(|state| state.prepared.as_ref())) {
            let known = parts.entry(part.flight).or_insert_with(|| part.clone());
            known.committed |= part.committed;
        }
        let mut commits = Vec::new();
        let mut pending = BTreeSet::new();
        let mut doubt = Doubt::None;
        for (flight, part) in parts {
            let committed_here =
                self.part.records.get(&flight).is_some_and(|record| record.outcome == Outcome::Committed);
            if part.committed || committed_here {
                commits.push(part);
                continue;
            }
            match self.settle(flight, part.participants.clone(), Some(key)) {
                Settlement::Done { commit: true } => commits.push(part),
                Settlement::Done { commit: false } => {}
                Settlement::Pending => {
                    pending.insert(flight);
                }
                Settlement::Impossible => doubt = Doubt::Open,
            }
        }
        let Some(owning) = self.owning_mut(key) else { return };
        owning.doubt = doubt;
        if !pending.is_empty() {
            if let Some(Busy::Regroup(regroup)) = &mut owning.busy {
                regroup.settling = pending;
            }
            return;
        }
        if doubt == Doubt::Open {
            self.count(Rule::LeftInDoubt);
        }
        self.finish_regroup(key, regroup.states, commits);
    }

    fn finish_regroup(&mut self, key: &Key, states: BTreeMap<NodeId, CopyState>, commits: Vec<PreparedPart>) {
        let me = self.config.id;
        let (members, base) = (self.installed.view.members, self.installed.view.base.nodes());
        let group: NodeSet = states.keys().copied().collect::<NodeSet>().with(me);
        let mut order: Vec<&NodeId> = states.keys().collect();
        order.sort_by_key(|node| std::cmp::Reverse((states[*node].meta.version, **node)));
        let mut merged = false;
        for node in order {
            merged |= self.merge_copy(key, &states[node]);
        }
        self.count(if merged { Rule::MergedFork } else { Rule::Regrouped });
        for commit in commits {
            self.apply_settled(key, &commit);
        }
        let retired = self.awaited();
        let Some(meta) = self.part.copies.get_mut(key).map(|copy| &mut copy.meta) else { return };
        for state in states.values() {
            meta.subscribers = meta.subscribers | state.meta.subscribers;
            meta.doubt = meta.doubt | state.meta.doubt;
            meta.lost = meta.lost | state.meta.lost;
        }
        let known = meta.subscribers | meta.doubt;
        // A member that is here and has no copy is no subscriber; it may have lost the copy when it was expired.
        let without_copy = (known & members) - group;
        meta.lost = meta.lost | (without_copy & retired) | ((known - base) & retired);
        // Whoever is here and brings no fork back has none.
        meta.lost = meta.lost - (members - retired);
        meta.subscribers = ((meta.subscribers & base) | group) - (members - group);
        meta.doubt = (meta.doubt & base) - members;
        let bodies =
            group.without(me).iter().map(|node| (node, self.alignment_for(key, states.get(&node)))).collect();
        let round = self.next_number();
        self.start_align(key, round, group.without(me), bodies);
    }

    /// What brings a copy in the given state up to this node's.
    fn alignment_for(&self, key: &Key, state: Option<&CopyState>) -> Alignment {
        let Some(copy) = self.part.copies.get(key) else { return Alignment::Tail(Vec::new()) };
        if let Some(tail) = state.and_then(|state| missing_tail(copy, state)) {
            return Alignment::Tail(tail);
        }
        Alignment::Whole { value: self.values.snapshot(key), log: copy.log.clone(), done: copy.done.clone() }
    }

    /// Replaces the copies of subscribers after a merge outside a regroup.
    pub(crate) fn align_all(&mut self, key: &Key, to: NodeSet) {
        let bodies = to.iter().map(|node| (node, self.alignment_for(key, None))).collect();
        let round = self.next_number();
        self.start_align(key, round, to, bodies);
    }

    fn start_align(&mut self, key: &Key, round: u64, to: NodeSet, bodies: BTreeMap<NodeId, Alignment>) {
        let aligning = Aligning { round, waiting: to, all: to, bodies, sent_ms: self.now.mono_ms };
        self.set_busy(key, Busy::Align(Box::new(aligning)));
        if to.is_empty() {
            self.end_align(key);
        } else {
            self.send_aligns(key);
        }
    }

    pub(crate) fn send_aligns(&mut self, key: &Key) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get(key) else { return };
        let Some(Busy::Align(aligning)) = copy.owning(view).and_then(|owning| owning.busy.as_ref()) else {
            return;
        };
        let messages: Vec<(NodeId, Message)> = aligning
            .waiting
            .iter()
            .filter_map(|node| {
                let body = Box::new(aligning.bodies.get(&node)?.clone());
                let (round, meta) = (aligning.round, Box::new(copy.meta.clone()));
                Some((node, Message::Align { key: key.clone(), round, meta, body }))
            })
            .collect();
        for (node, message) in messages {
            self.send(node, message);
        }
    }

    pub(crate) fn on_align(&mut self, from: NodeId, key: Key, round: u64, meta: Meta, body: Alignment) {
        let touched = self.part.touches.get(&key).map(|touch| touch.nonce);
        let view = self.installed.view.id;
        let generation = self.installed.view.base.tag.generation;
        let version = meta.version;
        match self.copy_or_record(&key) {
            None if touched.is_none() => {
                self.decline_snapshot(from, key, round);
                return;
            }
            // The owner will hear of the newer touch.
            None if touched != Some(round) => return,
            // Without a copy, entries alone are of no use.
            None if matches!(body, Alignment::Tail(_)) => return,
            None => {
                let mut copy = Copy::new(meta.clone(), view);
                copy.generation = generation;
                self.part.copies.insert(key.clone(), copy);
            }
            Some(copy) => match copy.role {
                Role::Owner(_) => return,
                Role::Follower { .. } if copy.meta.version.seq >= version.seq => {
                    self.part.touches.remove(&key);
                    self.send(from, Message::AlignAck { key, round });
                    return;
                }
                _ => {}
            },
        }
        self.part.touches.remove(&key);
        self.take_alignment(&key, meta, body);
        self.resolve_prepared(&key, version);
        if let Some(copy) = self.part.copies.get_mut(&key) {
            copy.role = Role::Follower { owner: from, tenure: 0 };
            copy.invalid = Some(Invalid::Align(round));
        }
        self.part.unconfirmed.insert(key.clone(), (from, self.now.mono_ms));
        self.part.due.unconfirmed.open(key.clone());
        self.key_changed(&key);
        self.send(from, Message::AlignAck { key, round });
    }

    pub(crate) fn take_alignment(&mut self, key: &Key, meta: Meta, body: Alignment) {
        self.see_stamp(meta.written);
        match body {
            Alignment::Tail(entries) => {
                let main = Log::main_line(&entries, meta.version);
                for (entry, _) in entries.iter().zip(main).filter(|(_, main)| *main) {
                    for effect in &entry.effects {
                        self.values.apply(key, effect, entry.stamp);
                    }
                }
                if let Some(copy) = self.part.copies.get_mut(key) {
                    copy.append(entries, self.config);
                    copy.meta = Meta { stable: copy.meta.stable, ..meta };
                }
            }
            Alignment::Whole { value, log, done } => {
                self.values.install(key, value.as_ref());
                if let Some(copy) = self.part.copies.get_mut(key) {
                    (copy.meta, copy.log) = (meta, log);
                    copy.log_replaced();
                    copy.done.absorb(&done);
                }
            }
        }
    }

    /// Clears a prepared batch that the aligned copy contains, or that was aborted.
    fn resolve_prepared(&mut self, key: &Key, version: Version) {
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        let Some(Prepared { flight, .. }) = copy.prepared else { return };
        let Some(record) = self.part.records.get_mut(&flight) else {
            copy.prepared = None;
            return;
        };
        let last = record.parts.iter().find(|part| part.key == *key).and_then(|part| part.entries.last());
        let contained = last.is_some_and(|last| copy.meta.covers_dot(last.dot));
        debug_assert!(version >= copy.meta.stable);
        let learned = contained && record.outcome == Outcome::Prepared;
        if learned {
            record.outcome = Outcome::Committed;
        }
        if contained || record.outcome == Outcome::Aborted {
            record.parts.retain(|part| part.key != *key);
            copy.prepared = None;
            if learned {
                self.tell_learned(flight);
            }
            self.doubt_resolved(flight);
            self.drop_closed(flight);
        }
    }

    pub(crate) fn on_align_ack(&mut self, from: NodeId, key: Key, round: u64) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get_mut(&key) else { return };
        let stable = copy.meta.stable;
        let busy = copy.owning_mut(view).and_then(|owning| owning.busy.as_mut());
        match busy {
            Some(Busy::Align(aligning)) if aligning.round == round => {
                aligning.waiting.remove(from);
                if aligning.waiting.is_empty() {
                    self.end_align(&key);
                }
            }
            _ => self.send(from, Message::AlignDone { key, round, stable }),
        }
    }

    /// Everyone is at the owner's version.
    fn end_align(&mut self, key: &Key) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get(key) else { return };
        let Some(Busy::Align(aligning)) = copy.owning(view).and_then(|owning| owning.busy.clone()) else {
            return;
        };
        let stable = self.stable_version(key, copy);
        self.settle_stable(key, stable);
        self.comes_to_be_ours(key);
        for node in aligning.all.iter() {
            self.send(node, Message::AlignDone { key: key.clone(), round: aligning.round, stable });
        }
        self.tell_owned(key, false);
        self.release(key);
        if aligning.is_join() {
            self.evacuated(key);
        } else if self.has_one_holder(key, false) && !self.enlist(key) {
            self.list_lone(key);
        }
    }

    pub(crate) fn on_align_done(&mut self, key: Key, round: u64, stable: Version) {
        if self.part.copies.get(&key).is_some_and(|copy| copy.invalid == Some(Invalid::Align(round))) {
            self.settle_stable(&key, stable);
            self.confirm(&key, Invalid::Align(round));
        }
    }

    /// Orders a join: first the subscribers learn of the joiner, then it gets the value.
    pub(crate) fn admit_joiner(&mut self, key: &Key, joiner: NodeId, nonce: u64) {
        let members = self.installed.view.members;
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        if !members.contains(joiner) || joiner == self.config.id {
            return;
        }
        if copy.meta.subscribers.contains(joiner) {
            self.send_snapshot(key, joiner, nonce);
            return;
        }
        let recipients = copy.meta.subscribers;
        if self.config.without(Mutant::SnapshotBeforeJoin) {
            self.send_snapshot(key, joiner, nonce);
            return;
        }
        copy.meta.subscribers.insert(joiner);
        copy.meta.doubt.remove(joiner);
        self.count(Rule::JoinedKey);
        self.order(key, Vec::new(), recipients, After::Join(joiner, nonce));
    }

    /// A snapshot has come that nobody here waits for: somebody else's answer to the touch was the first, or a duplicate of
    /// the join came when this node had left the key again. The owner must not wait for an acknowledgement.
    fn decline_snapshot(&mut self, owner: NodeId, key: Key, nonce: u64) {
        if self.config.without(Mutant::IgnoreUnwantedSnapshots) {
            return;
        }
        let is_room = |home| self.part.leases.has_room(home, self.config.limits.unreported_max);
        if self.home_of(&key).is_some_and(is_room) && !self.part.leases.is_leaving(&key) {
            // It has entered this node as a holder.
            self.tell_gone(&key);
        }
        self.send(owner, Message::NotJoining { key, nonce });
    }

    /// The node that a snapshot was sent to does not subscribe: the others are told that it is gone again.
    pub(crate) fn on_not_joining(&mut self, from: NodeId, key: &Key, nonce: u64) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        let is_it = |owning: &Owning| {
            matches!(&owning.busy, Some(Busy::Align(aligning))
                if aligning.is_join() && aligning.round == nonce && aligning.all == NodeSet::only(from))
        };
        if copy.owning(view).is_some_and(is_it) {
            copy.meta.subscribers.remove(from);
            let subscribers = copy.meta.subscribers;
            self.comes_to_be_ours(key);
            self.list_lone(key);
            self.release(key);
            self.order(key, Vec::new(), subscribers, After::Nothing);
        }
    }

    pub(crate) fn send_snapshot(&mut self, key: &Key, joiner: NodeId, nonce: u64) {
        let body = self.alignment_for(key, None);
        self.start_align(key, nonce, NodeSet::only(joiner), [(joiner, body)].into());
    }
}

/// Whether the other copy can only be merged with its value in hand: its log starts at a state that this copy never
/// knew, because its holder believed to be the only one and trimmed it.
fn lacks_value(copy: &Copy, state: &CopyState) -> bool {
    let start = state.log.start(&state.meta);
    state.value.is_none()
        && start.seq != 0
        && !copy.meta.covers_dot(start)
        && !copy.meta.covers_dot(state.meta.version)
}

/// The entries a copy lacks, if the owner's value went through its state and they have all seen it.
fn missing_tail(copy: &Copy, state: &CopyState) -> Option<Vec<Entry>> {
    let comparable = copy.meta.birth == state.meta.birth && copy.log.overflow == state.log.overflow;
    let tail = copy.log.since(&copy.meta, state.meta.version).filter(|_| comparable)?;
    Log::follows(tail, state.meta.version).then(|| tail.to_vec())
}
