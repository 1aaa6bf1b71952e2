//! Writing: the owner's queue and its batches.
//!
//! Per key one thing is in progress at a time: a batch, a join, a leave, a move of the token. Operations that come
//! in meanwhile wait in the queue and form the next batch (group commit).
//!
//! - **W**: executed and applied at the owner, sent as INV, applied by the subscribers, answered when all reachable
//!   subscribers have acknowledged, made readable everywhere by VAL.
//! - **X**: executed at the owner with undo, sent as PREP, kept aside by the subscribers; all acknowledgements are
//!   the commit point; then the answer and COMMIT. The batch is closed when everyone has taken the decision over.
//!
//! Neighbours: `flight` drives the rounds at the owner, `subscriber` is the other end, `exec` builds batches over
//! several keys, `regroup` and `settle` take over when a view change cuts a batch short.

mod flight;
mod subscriber;

use crate::config::Timers;
use crate::copy::{Busy, Copy, Doubt, Owning, Queued, Role};
use crate::fold::Folder;
use crate::ids::{Blob, FlightId, NodeId, NodeSet, OpId, Version, ViewId};
use crate::installed::Retired;
use crate::interface::{Class, ClientError};
use crate::key::Key;
use crate::message::Part;
use crate::mutant::Mutant;
use crate::operation::Stage;
use crate::part::Part as PartOf;
use crate::participants::Participants;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::{Entry, History, Step, Values};

/// Keys whose queues have waited for the lease and move with one tick; the others wait for the next.
const STALLED_MAX: usize = 1_024;

/// A batch this node coordinates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight<U> {
    /// W or X.
    pub(crate) class: Class,
    /// Keys whose queues wait for it.
    pub(crate) keys: Vec<Key>,
    pub(crate) parts: Vec<Part>,
    /// Everyone who gets a part, this node included.
    pub(crate) participants: Participants,
    /// Who has not answered in this phase.
    pub(crate) waiting: Participants,
    pub(crate) phase: Phase,
    pub(crate) replies: Vec<(OpId, Blob)>,
    pub(crate) undo: Vec<(Key, U)>,
    pub(crate) started_ms: u64,
    pub(crate) sent_ms: u64,
    pub(crate) after: After,
}

impl<U> Flight<U> {
    /// When it is to be sent again, or taken back.
    pub(crate) fn due_ms(&self, timers: &Timers) -> u64 {
        let again_ms = self.sent_ms + timers.retry_ms;
        if self.may_be_aborted() { again_ms.min(self.started_ms + timers.abort_ms) } else { again_ms }
    }

    fn may_be_aborted(&self) -> bool {
        self.class == Class::X && self.phase == Phase::Preparing
    }

    /// Whether it has not been acknowledged for too long.
    fn is_to_abort(&self, now_ms: u64, timers: &Timers) -> bool {
        self.may_be_aborted() && now_ms >= self.started_ms + timers.abort_ms
    }
}

/// One partition's part of a batch that another partition of the same node coordinates. Its values have the batch
/// executed; nobody reads them, because its keys are busy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Guest<U> {
    pub(crate) participants: Participants,
    pub(crate) parts: Vec<Part>,
    pub(crate) undo: Vec<(Key, U)>,
    /// The coordinator's answers, in case of a commit.
    pub(crate) replies: Vec<(OpId, Blob)>,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Preparing,
    Committing,
    Aborting,
}

/// What follows when a batch of class W is everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum After {
    Nothing,
    /// The subscribers know the joiner; it gets its snapshot under the name of its touch.
    Join(NodeId, u64),
    /// It was the first that this keeper has got of the key.
    Keep(NodeId),
}

/// Whether an X may be executed on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    Refused,
    /// The lease of a new base is not confirmed yet.
    Wait,
}

impl Owning {
    /// Whether nothing is under way, and nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.is_none() && self.pinned.is_none() && self.queue.is_empty() && self.waiters.is_empty()
    }

    /// Whether the token is being given away.
    pub(crate) fn hands_over(&self) -> bool {
        matches!(self.busy, Some(Busy::Granting { .. }))
    }

    /// The joiner has given up the touch its snapshot is being sent under: goes on under the new name, or the joiner
    /// would never take the snapshot and the key would wait for it.
    pub(crate) fn rename_join(&mut self, joiner: NodeId, nonce: u64) -> bool {
        match &mut self.busy {
            Some(Busy::Align(aligning)) if aligning.all == NodeSet::only(joiner) && aligning.is_join() => {
                aligning.round = nonce;
                true
            }
            _ => false,
        }
    }

    /// Queues a subscription, once.
    pub(crate) fn join(&mut self, joiner: NodeId, nonce: u64, queue_max: usize) {
        let full = self.queue.len() >= queue_max;
        let queued = self.queue.iter_mut().find_map(|queued| match queued {
            Queued::Join(node, nonce) if *node == joiner => Some(nonce),
            _ => None,
        });
        match queued {
            Some(queued) => *queued = nonce,
            None if !full => self.queue.push_back(Queued::Join(joiner, nonce)),
            None => {}
        }
    }
}

impl<U> PartOf<U> {
    /// Counts and stamps a write on a key that only this node holds and that nothing is waiting for, if that is so. Without
    /// a `wall_ms` it is not stamped. `None`: there is no record of the key.
    #[inline]
    pub(crate) fn write_recorded(&mut self, key: &Key, view: ViewId, wall_ms: Option<u64>) -> Option<bool> {
        let me = self.clock.node;
        let copy = self.copies.get_mut(key)?;
        let Role::Owner(owning) = &copy.role else { return Some(false) };
        let idle = owning.is_idle();
        let meta = &mut copy.meta;
        let alone = copy.view == view
            && meta.version.epoch == view
            && meta.subscribers == NodeSet::only(me)
            && (meta.doubt | meta.lost).is_empty()
            && copy.prepared.is_none();
        if !alone || !idle {
            return Some(false);
        }
        meta.version.seq += 1;
        meta.stable = meta.version;
        if let Some(wall_ms) = wall_ms {
            meta.written = self.clock.tick(wall_ms, me);
        }
        Some(true)
    }
}

impl<V: Values> Turn<'_, V> {
    /// Lets a key's queue move as far as it can.
    pub(crate) fn pump(&mut self, key: &Key) {
        if !self.is_serving() {
            return;
        }
        let view = self.installed.view.id;
        loop {
            let Some(copy) = self.copy_now(key) else { return };
            let Some(owning) = copy.owning_mut(view) else { return };
            if owning.busy.is_some() {
                return;
            }
            if owning.doubt == Doubt::Settled {
                self.count(Rule::SettledLate);
                let members = self.installed.view.members;
                self.start_regroup(key, members);
                return;
            }
            if let Some(op) = owning.pinned {
                if !self.waits_for_keeper(key, op, Class::X) || !self.enlist(key) {
                    self.make_ready(op);
                }
                return;
            }
            if self.wake_next(key) {
                return;
            }
            let Some(next) = self.owning_mut(key).and_then(|owning| owning.queue.pop_front()) else { break };
            match next {
                Queued::Op(op) => {
                    if !self.run_batch(key, op) {
                        return;
                    }
                }
                Queued::Pin(op) => self.pin(key, op),
                Queued::Wait(node, ticket) => self.line_up(key, node, ticket),
                Queued::Grant(to) => self.grant(key, to),
                Queued::Join(joiner, nonce) => self.admit_joiner(key, joiner, nonce),
                Queued::Leave(node, leave) => self.let_leave(key, node, leave),
                Queued::Expire => self.delete_expired(key),
                Queued::Delete => self.delete_last(key),
                Queued::Fork(node, fork) => self.merge_fork(key, node, *fork),
            }
        }
        self.list_spare(key);
    }

    /// Whether X may be executed on `key`, which this node owns.
    pub(crate) fn admits_x(&mut self, key: &Key) -> Admission {
        let members = self.installed.view.members;
        let view = self.installed.view.id;
        let anyway = self.config.without(Mutant::XWithoutAllSubscribers);
        let Some(copy) = self.copy_now(key) else { return Admission::Refused };
        let doubtful =
            copy.prepared.is_some() || copy.owning(view).is_none_or(|owning| owning.doubt != Doubt::None);
        if doubtful || !(copy.possible_holders().is_subset(members) || anyway) {
            self.count(Rule::RefusedX);
            return Admission::Refused;
        }
        if self.lease_holds() {
            return Admission::Granted;
        }
        if self.is_lease_to_come() {
            return Admission::Wait;
        }
        self.count(Rule::Fenced);
        Admission::Refused
    }

    /// Whether the view has just begun, and most of the base may not have confirmed it yet.
    fn is_lease_to_come(&self) -> bool {
        self.now.mono_ms < self.installed.at_ms + self.config.timers.suspect_ms
    }

    /// Has some queues move that waited for the lease, when it is known whether there is one.
    pub(crate) fn stalled_tick(&mut self) {
        if self.lease_holds() || !self.is_lease_to_come() {
            let some = std::iter::from_fn(|| self.part.stalled.pop_first()).take(STALLED_MAX);
            self.part.work.extend(some);
        }
    }

    /// Executes the operation and those of its class queued behind it as one batch. False: what comes next has to wait.
    fn run_batch(&mut self, key: &Key, first: OpId) -> bool {
        let Some(class) = self.part.operations.get(&first).map(|operation| operation.class) else {
            return true;
        };
        if self.waits_for_keeper(key, first, class) {
            if let Some(owning) = self.owning_mut(key) {
                owning.queue.push_front(Queued::Op(first));
            }
            self.enlist(key);
            return false;
        }
        if self.answered_before(key, first) {
            return true;
        }
        if class == Class::X {
            match self.admits_x(key) {
                Admission::Granted => {}
                Admission::Refused => {
                    self.refuse(first, ClientError::Unreachable);
                    return true;
                }
                Admission::Wait => {
                    if let Some(owning) = self.owning_mut(key) {
                        owning.queue.push_front(Queued::Op(first));
                    }
                    self.part.stalled.insert(key.clone());
                    return false;
                }
            }
        }
        let is_alone = self.is_only_holder(key) && !self.config.without(Mutant::WriteAlone);
        // What comes after the first may be done already, and must not be answered before the keeper has it.
        let batch = if is_alone { vec![first] } else { self.take_batch(key, first, class) };
        let mut entries = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        let mut undo = Vec::new();
        let Some(copy) = self.part.copies.get(key) else { return true };
        let (prior, subscribers) = (copy.meta.version, copy.meta.subscribers);
        let mut last = prior;
        for op in batch {
            if op != first && self.answered_before(key, op) {
                continue;
            }
            let Some(operation) = self.part.operations.get(&op) else { continue };
            let stamp = self.part.clock.tick(self.now.wall_ms, self.config.id);
            let executed = self.values.execute(&operation.command, &operation.keys, stamp);
            if class == Class::X {
                undo.extend(executed.undo.into_iter().map(|(_, undo)| (key.clone(), undo)));
            }
            if !executed.effects.is_empty() {
                let effects = executed.effects.into_iter().map(|(_, effect)| effect).collect();
                let origin = Some(operation.as_entry_op(op, self.config.id, &executed.reply, 1));
                let dot = self.next_dot(prior, entries.len());
                entries.push(Entry { dot, prior: last, stamp, effects, origin, step: Step::Write });
                last = dot;
            }
            replies.push((op, executed.reply));
            self.note_run(key, op.node);
        }
        if entries.is_empty() {
            for (op, reply) in replies {
                self.succeed(op, reply);
            }
            return true;
        }
        match class {
            Class::X => {
                let part = Part { key: key.clone(), prior, entries, subscribers };
                self.launch_x(vec![key.clone()], vec![part], replies, undo);
            }
            _ => {
                let keeper = if is_alone { self.take_in_keeper(key) } else { None };
                let recipients = keeper.map_or(subscribers, NodeSet::only);
                let after = keeper.map_or(After::Nothing, After::Keep);
                self.launch_w(key, prior, entries, replies, recipients, after);
            }
        }
        false
    }

    /// The dot of the `index`-th entry after `prior` in the installed view.
    pub(crate) fn next_dot(&self, prior: Version, index: usize) -> Version {
        let view = &self.installed.view;
        Version { generation: view.base.tag.generation, epoch: view.id, seq: prior.seq + 1 + index as u64 }
    }

    /// `first` and the operations of the same class directly behind it.
    fn take_batch(&mut self, key: &Key, first: OpId, class: Class) -> Vec<OpId> {
        let view = self.installed.view.id;
        let batch_max = self.config.limits.batch_max.max(1);
        let mut batch = vec![first];
        while batch.len() < batch_max {
            let Some(owning) = self.part.copies.get_mut(key).and_then(|copy| copy.owning_mut(view)) else {
                break;
            };
            let Some(Queued::Op(next)) = owning.queue.front().cloned() else { break };
            if self.part.operations.get(&next).is_some_and(|operation| operation.class != class) {
                break;
            }
            owning.queue.pop_front();
            batch.push(next);
        }
        batch
    }

    /// Answers a retry of an operation this copy already contains. If another key has lost its part of it, with the last
    /// that held it, the operation has been decided and is not there: it is in doubt.
    pub(crate) fn answered_before(&mut self, key: &Key, op: OpId) -> bool {
        if self.config.without(Mutant::NoDedupe) {
            return false;
        }
        if self.answered_in_view(key, op) {
            return true;
        }
        let Some(copy) = self.part.copies.get(key) else { return false };
        let (reply, over) = (copy.done.reply(op).cloned(), copy.done.is_over(op));
        if let Some(reply) = reply {
            self.count(Rule::Deduped);
            self.focus(op.part());
            if reply.keys <= 1 || self.keys_with(op) >= reply.keys as usize {
                self.succeed(op, reply.text);
            } else {
                self.end(op, ClientError::InDoubt);
            }
            return true;
        }
        if over {
            self.focus(op.part());
            self.part.operations.remove(&op);
        }
        over
    }

    /// How many of the operation's keys contain it here.
    fn keys_with(&mut self, op: OpId) -> usize {
        let keys = self.part.operations.get(&op).map(|operation| operation.all_keys()).unwrap_or_default();
        let mut count = 0;
        for key in &keys {
            self.focus_on(key);
            let contains = self.part.copies.get(key).is_some_and(|copy| copy.done.reply(op).is_some());
            count += usize::from(contains);
        }
        self.focus(op.part());
        count
    }

    /// Appends entries whose effects the store already has. Returns the copy.
    pub(crate) fn append(&mut self, key: &Key, entries: Vec<Entry>) -> Option<&mut Copy> {
        let view = self.installed.view.id;
        let copy = self.part.copies.get_mut(key)?;
        let mut folder =
            Folder { key, values: &*self.values, config: self.config, tally: &mut self.out.tally };
        let is_batch = |entry: &Entry| entry.step == Step::Write && entry.dot.epoch == view;
        if entries.first().is_some_and(is_batch) {
            folder.fold_below_batch(copy, view, entries.len());
        }
        copy.append(entries, self.config);
        if copy.log.overflow {
            folder.tally.add(Rule::Overflowed);
        }
        folder.fold_unvalidated(copy);
        Some(copy)
    }

    /// Orders one write of the owner's own making (an expiry, a change of subscribers) whose effects the store already
    /// has.
    pub(crate) fn order(&mut self, key: &Key, effects: Vec<Blob>, recipients: NodeSet, after: After) {
        let Some(prior) = self.part.copies.get(key).map(|copy| copy.meta.version) else { return };
        let stamp = self.next_stamp();
        let entry =
            Entry { dot: self.next_dot(prior, 0), prior, stamp, effects, origin: None, step: Step::Write };
        self.launch_w(key, prior, vec![entry], Vec::new(), recipients, after);
    }

    /// Expired nodes that may come back with forks.
    pub(crate) fn awaited(&self) -> NodeSet {
        self.awaited_that(|_| self.config.timers.retain_ms)
    }

    /// Those for which a key that came into being in this view keeps its log.
    pub(crate) fn awaited_for(&self, birth: ViewId) -> NodeSet {
        let timers = &self.config.timers;
        let alike = self.config.without(Mutant::AwaitAlikeForNewKeys);
        self.awaited_that(|retired| match alike || birth < retired.view {
            true => timers.retain_ms,
            // Its key of that name is another one.
            false => timers.retain_ms.min(timers.return_ms),
        })
    }

    /// Those that may have held a key that came into being in this view.
    pub(crate) fn awaited_since(&self, birth: ViewId) -> NodeSet {
        let retain_ms = self.config.timers.retain_ms;
        self.awaited_that(|retired| if birth < retired.view { retain_ms } else { 0 })
    }

    fn awaited_that(&self, wait_ms: impl Fn(&Retired) -> u64) -> NodeSet {
        let now = self.now.mono_ms;
        let retired = self.installed.retired.iter();
        let awaited = retired.filter(|(_, retired)| now < retired.at_ms.saturating_add(wait_ms(retired)));
        awaited.map(|(node, _)| *node).collect::<NodeSet>() - self.fence.over
    }

    /// Waits no more for forks of the key that nobody can bring back.
    pub(crate) fn give_up_the_lost(&mut self, key: &Key) {
        let Some(copy) = self.part.copies.get(key) else { return };
        let awaited = self.awaited_for(copy.meta.birth.view);
        if let Some(copy) = self.part.copies.get_mut(key) {
            copy.meta.lost = copy.meta.lost & (awaited | self.installed.view.base.nodes());
        }
    }

    /// Up to where all possible holders are known to hold the key.
    pub(crate) fn stable_version(&self, key: &Key, copy: &Copy) -> Version {
        let view = &self.installed.view;
        let awaited = self.awaited_for(copy.meta.birth.view);
        let doubtful = copy.owning(view.id).is_some_and(|owning| owning.doubt != Doubt::None);
        let complete = copy.possible_holders().is_subset(view.members)
            && (copy.meta.lost & (awaited | (view.base.nodes() - view.members))).is_empty()
            && !doubtful
            && !self.has_fork(key);
        if complete || self.config.without(Mutant::TrimEarly) { copy.meta.version } else { copy.meta.stable }
    }

    /// Notes that all subscribers hold the key up to `stable`.
    pub(crate) fn settle_stable(&mut self, key: &Key, stable: Version) {
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        if let Some((since, settled)) = copy.settle_stable(stable, self.config) {
            self.values.settle(key, History { since, entries: &settled }, &copy.log.entries);
        }
    }

    /// Counts consecutive operations of one node and sends the token after them.
    pub(crate) fn note_run(&mut self, key: &Key, origin: NodeId) {
        let view = self.installed.view.id;
        let (me, members) = (self.config.id, self.installed.view.members);
        let run_max = self.config.limits.token_run;
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        let can_own = copy.meta.subscribers.contains(origin) && members.contains(origin) && origin != me;
        let Some(owning) = copy.owning_mut(view) else { return };
        let run = match owning.run {
            Some((node, run)) if node == origin => run + 1,
            _ => 1,
        };
        owning.run = Some((origin, run));
        if run >= run_max && can_own {
            owning.run = None;
            owning.queue.push_front(Queued::Grant(origin));
        }
    }

    /// Marks a key's queue as waiting for `flight`.
    pub(crate) fn occupy(&mut self, key: &Key, flight: FlightId) {
        if let Some(owning) = self.owning_mut(key) {
            owning.busy = Some(Busy::Flight(flight));
        }
    }

    /// Marks a key's queue as waiting for something other than a batch.
    pub(crate) fn set_busy(&mut self, key: &Key, busy: Busy) {
        if let Some(owning) = self.owning_mut(key) {
            owning.busy = Some(busy);
            self.part.busy_keys.insert(key.clone());
            self.part.due.busy.open(key.clone());
        }
    }

    /// Lets the queue of a key move on after what it was busy with.
    pub(crate) fn release(&mut self, key: &Key) {
        self.part.busy_keys.remove(key);
        if let Some(owning) = self.owning_mut(key) {
            owning.busy = None;
        }
        self.part.work.insert(key.clone());
        self.key_changed(key);
    }

    /// Puts an operation into its key's queue.
    pub(crate) fn enqueue(&mut self, key: &Key, queued: Queued) -> bool {
        let queue_max = self.config.limits.queue_max;
        if let Queued::Op(op) = queued
            && self.claims_now(key, op)
        {
            self.release(key);
            self.owning_mut(key).into_iter().for_each(|owning| owning.queue.push_front(Queued::Op(op)));
            return true;
        }
        let Some(owning) = self.owning_mut(key) else {
            return false;
        };
        if owning.queue.len() >= queue_max {
            return false;
        }
        owning.queue.push_back(queued);
        self.part.work.insert(key.clone());
        true
    }

    /// Enters a new flight and returns its name.
    fn take_off(&mut self, flight: Flight<V::Undo>) -> FlightId {
        let number = self.next_number();
        let id = FlightId::new(self.installed.view.id, self.config.id, number);
        for (op, _) in &flight.replies {
            if let Some(operation) = self.part.operations.get_mut(op) {
                operation.stage = Stage::Flying { flight: id };
            }
        }
        for key in &flight.keys {
            self.focus_on(key);
            self.occupy(key, id);
            if matches!(flight.after, After::Keep(_)) {
                self.part.enlisting.insert(id.number());
            }
            if flight.after != After::Nothing {
                self.part.busy_keys.insert(key.clone());
            }
        }
        self.focus(id.part());
        if flight.class == Class::X {
            self.part.due.decided.open(id);
        }
        self.part.flights.insert(id, flight);
        self.part.due.flights.open(id);
        id
    }
}
