//! Client operations from their arrival to their answer.
//!
//! Invariants: an operation keeps its name through every retry; it is answered exactly once; an error other than
//! `InDoubt` is given only if nothing was and nothing will be applied. What may stand in the way of that:
//!
//! - It was sent to an owner in an earlier view, and may have been applied there: from then on a refusal that does not
//!   come from its history says `InDoubt` (`end`).
//! - Other nodes have copies of it in this view. Whoever runs a copy first looks at what was answered with the token
//!   of its first key, so a node refuses an operation that others know of only with that token in hand, and leaves the
//!   refusal with it (`refuse`).

use crate::copy::Queued;
use crate::ids::{Blob, FlightId, NodeId, NodeSet, OpId};
use crate::interface::{Action, Answer, Class, ClientError, Request, Watch};
use crate::key::Key;
use crate::message::{Forwarded, Message, Outcome};
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::{Mail, Turn};
use crate::values::{EntryOp, Values};

/// A forwarded operation is passed on this often before its origin has to look for the owner again.
const HOPS_MAX: u8 = 8;

/// A client operation in progress at this node: one of its own clients', or one sent here to be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Operation {
    /// The client's ticket; `None` for another node's operation.
    pub(crate) ticket: Option<u64>,
    pub(crate) class: Class,
    pub(crate) keys: Vec<Key>,
    pub(crate) command: Blob,
    pub(crate) watches: Vec<(Key, Watch)>,
    pub(crate) local_read: bool,
    /// The versions that were read are wanted.
    pub(crate) watch: bool,
    /// The wait of its node that was woken for it.
    pub(crate) claims: Option<u64>,
    /// All operations of the origin below this counter are answered.
    pub(crate) floor: u64,
    pub(crate) deadline_ms: u64,
    /// The deadline if it may have been applied by then.
    pub(crate) last_ms: u64,
    pub(crate) since_ms: u64,
    pub(crate) stage: Stage,
    /// It was sent to another node at some time.
    pub(crate) forwarded: bool,
    /// It was sent to another node in an earlier view and may have been applied there.
    pub(crate) exposed: bool,
}

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// To be looked at.
    Routing,
    /// Waiting for something to happen to one of its keys.
    Parked,
    /// At another node.
    Forwarded(NodeId),
    /// In the queue of a key owned here.
    Queued,
    /// Collecting the tokens of several keys.
    Acquiring,
    /// In a batch.
    Flying { flight: FlightId },
    /// Class W, applied here when the view changed: good once the key is regrouped.
    Applied { reply: Blob },
    /// Class X, prepared here when the view changed: to be settled.
    Doubt { flight: FlightId },
}

impl Operation {
    /// When it is to be looked at again, if nothing happens before.
    pub(crate) fn due_ms(&self, serving: bool, retry_ms: u64) -> u64 {
        match self.stage {
            Stage::Routing if serving => 0,
            Stage::Flying { .. } | Stage::Queued => self.deadline_ms,
            _ if serving => self.deadline_ms.min(self.since_ms + retry_ms),
            _ => self.deadline_ms,
        }
    }

    /// All keys, watched ones included, in token order.
    pub(crate) fn all_keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> =
            self.keys.iter().chain(self.watches.iter().map(|(key, _)| key)).cloned().collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// The operation as its entries carry it, under the name `op` at node `me`. Also for an own client's operation: it
    /// may have been executed on the other side of a partition before, and a merge must not count it twice.
    pub(crate) fn as_entry_op(&self, op: OpId, me: NodeId, reply: &Blob, keys: usize) -> EntryOp {
        let needed = op.node != me || self.forwarded;
        let reply = if needed { reply.clone() } else { Blob::new(b"") };
        EntryOp { id: op, floor: self.floor, exposed: self.exposed, reply, keys: keys as u32 }
    }

    /// The key whose token goes with the answer, and whose partition the operation is in.
    fn first_key(&self) -> Option<Key> {
        self.keys.iter().chain(self.watches.iter().map(|(key, _)| key)).min().cloned()
    }

    /// Whether other nodes may have copies of it.
    fn is_known_elsewhere(&self) -> bool {
        self.ticket.is_none() || self.forwarded
    }

    fn is_single(&self) -> bool {
        self.keys.len() == 1 && self.watches.is_empty()
    }

    /// Its time is over, and it may have been applied: gives it more, if there is any.
    fn waits_on(&mut self) -> bool {
        let may_be_applied =
            self.forwarded || matches!(self.stage, Stage::Applied { .. } | Stage::Flying { .. });
        let waits_on = may_be_applied && self.deadline_ms < self.last_ms;
        if waits_on {
            self.deadline_ms = self.last_ms;
        }
        waits_on
    }
}

impl<V: Values> Turn<'_, V> {
    /// The class that a write has here. What is done with several keys in hand is decided once.
    fn class_of(&self, class: Class, keys: &[Key], watches: &[(Key, Watch)]) -> Class {
        let by_pattern = || {
            let is_decided_once = |key: &Key| self.values.is_decided_once(key);
            keys.iter().any(is_decided_once) && !self.config.without(Mutant::DecideByCommandOnly)
        };
        match class {
            Class::W if keys.len() > 1 || !watches.is_empty() || by_pattern() => Class::X,
            class => class,
        }
    }

    pub(crate) fn on_client(&mut self, mut request: Request) {
        let ticket = request.ticket;
        self.part.databases.find_keys_of(&mut request);
        request.claims.iter().for_each(|ticket| drop(self.part.woken.remove(ticket)));
        request.class = self.class_of(request.class, &request.keys, &request.watches);
        if self.answer_solo(&request) {
            return;
        }
        let mut reply = |result| self.out.actions.push(Action::Reply { ticket, result });
        if self.fence.left || request.keys.is_empty() || !self.fence.may.allows(request.class) {
            reply(Err(ClientError::NotServing));
            return;
        }
        if self.part.operations_len() >= self.config.limits.ops_max {
            reply(Err(ClientError::TryAgain));
            return;
        }
        let counter = self.part.next_operation << 8 | u64::from(self.part.id);
        let op = OpId { node: self.config.id, counter };
        self.part.next_operation += 1;
        let (now, timers) = (self.now.mono_ms, &self.config.timers);
        let waits = request.class == Class::W && !self.config.without(Mutant::EndWritesInDoubt);
        let operation = Operation {
            ticket: Some(ticket),
            class: request.class,
            keys: request.keys,
            command: request.command,
            watches: request.watches,
            local_read: request.local_read,
            watch: request.watch,
            claims: request.claims,
            floor: self.floor().unwrap_or(op.counter),
            deadline_ms: now + timers.op_ms,
            last_ms: now + if waits { timers.write_ms } else { timers.op_ms },
            since_ms: now,
            stage: Stage::Routing,
            forwarded: false,
            exposed: false,
        };
        self.part.operations.insert(op, Box::new(operation));
        self.part.due.operations.open(op);
        self.part.ready.insert(op);
    }

    /// The lowest of this node's own operations that is not answered.
    fn floor(&self) -> Option<u64> {
        let mine = OpId { node: self.config.id, counter: 0 };
        let all = self.part.all_operations();
        // Those of this view come last.
        let overlooked =
            if self.config.without(Mutant::OverlookTheLeftOver) { self.part.left_over.len() } else { 0 };
        let firsts = all.skip(overlooked).filter_map(|operations| operations.range(mine..).next());
        firsts.filter(|(op, _)| op.node == mine.node).map(|(op, _)| op.counter).min()
    }

    /// Takes the operation as far as it can go now.
    pub(crate) fn advance(&mut self, op: OpId) {
        let Some(operation) = self.part.operations.get(&op) else { return };
        if !self.is_serving() {
            return;
        }
        let may = self.may_answer(operation);
        match operation.stage.clone() {
            Stage::Routing | Stage::Parked if !may => self.wait_for_most(op),
            Stage::Applied { .. } if !may && !self.config.without(Mutant::AnswerInMinority) => {}
            Stage::Routing | Stage::Parked => self.route(op),
            Stage::Acquiring => self.acquire(op),
            Stage::Applied { reply } => self.confirm_applied(op, reply),
            Stage::Doubt { flight } => self.look_at_doubt(op, flight),
            Stage::Forwarded(_) | Stage::Queued | Stage::Flying { .. } => {}
        }
    }

    /// Whether the client of an operation, if it is one of this node's, may be told that it is done.
    fn may_answer(&self, operation: &Operation) -> bool {
        self.fence.may.allows(operation.class) || operation.ticket.is_none()
    }

    /// Nothing is done for clients here as long as most of the base is out of reach. What may have been applied when it was
    /// not cannot be refused any more.
    fn wait_for_most(&mut self, op: OpId) {
        let Some(operation) = self.part.operations.get(&op) else { return };
        if operation.forwarded {
            self.set_stage(op, Stage::Parked);
        } else {
            self.refuse(op, ClientError::NotServing);
        }
    }

    fn route(&mut self, op: OpId) {
        let Some(operation) = self.part.operations.get(&op) else { return };
        let (class, single) = (operation.class, operation.is_single());
        let view = self.installed.view.id;
        let me = self.config.id;
        if single && class != Class::Read {
            let key = operation.keys[0].clone();
            if !self.has_fork(&key)
                && self.part.copies.get(&key).is_some_and(|copy| copy.owning(view).is_some())
            {
                self.set_stage(op, Stage::Queued);
                if !self.enqueue(&key, Queued::Op(op)) {
                    self.refuse(op, ClientError::TryAgain);
                }
                return;
            }
        }
        let Some(operation) = self.part.operations.get(&op) else { return };
        let keys = operation.all_keys();
        let mut owners = Vec::new();
        let mut complete = true;
        for key in &keys {
            self.focus_on(key);
            if self.has_fork(key) {
                // This node's clients have written what the owner does not know yet; they must go on seeing it.
                complete = false;
                self.unpack(key);
                self.park(op, key);
                self.focus_on(key);
            }
            match self.owner_of(key) {
                Some(owner) => owners.push(owner),
                None => {
                    complete = false;
                    // A read of one key has no use for a copy of what is not there.
                    let may_be_absent =
                        class == Class::Read && keys.len() == 1 && !self.has_something_of(key);
                    if may_be_absent && self.part.leases.has(key.slot()) {
                        self.answer_absent(op);
                        return;
                    }
                    if may_be_absent {
                        self.touch_to_read(key);
                    } else {
                        self.touch(key);
                    }
                    self.park(op, key);
                }
            }
        }
        self.focus(op.part());
        if !complete {
            return;
        }
        if class == Class::Read {
            self.try_read(op, &keys);
            return;
        }
        let same = owners.iter().all(|owner| *owner == owners[0]);
        if same && owners[0] != me {
            self.forward(op, owners[0]);
        } else if single {
            self.set_stage(op, Stage::Queued);
            if !self.enqueue(&keys[0], Queued::Op(op)) {
                self.refuse(op, ClientError::TryAgain);
            }
        } else {
            self.set_stage(op, Stage::Acquiring);
            self.acquire(op);
        }
    }

    /// Whether this node has a copy of the key, or a fork.
    pub(crate) fn has_something_of(&self, key: &Key) -> bool {
        self.part.copies.contains(key) || self.has_fork(key)
    }

    fn set_stage(&mut self, op: OpId, stage: Stage) {
        if let Some(operation) = self.part.operations.get_mut(&op) {
            // In a queue or a batch it waits until its deadline.
            if !matches!(stage, Stage::Queued | Stage::Flying { .. }) {
                self.part.due.operations.open(op);
            }
            operation.stage = stage;
        }
    }

    /// Waits until something happens to `key`.
    pub(crate) fn park(&mut self, op: OpId, key: &Key) {
        self.focus_on(key);
        self.part.parked.entry(key.clone()).or_default().insert(op);
        self.focus(op.part());
        if let Some(operation) = self.part.operations.get_mut(&op)
            && operation.stage == Stage::Routing
        {
            operation.stage = Stage::Parked;
            self.part.due.operations.open(op);
        }
    }

    /// Something happened to `key`: whoever waits for it looks again.
    pub(crate) fn key_changed(&mut self, key: &Key) {
        for op in self.part.parked.remove(key).into_iter().flatten() {
            self.make_ready(op);
        }
    }

    /// Whether the turn holds the partitions of all of the operation's keys.
    fn holds_all_of(&self, op: OpId) -> bool {
        let keys = self.part.operations.get(&op).map(|operation| operation.all_keys()).unwrap_or_default();
        keys.iter().all(|key| self.holds(key.part(self.config.parts)))
    }

    fn forward(&mut self, op: OpId, to: NodeId) {
        let now = self.now.mono_ms;
        let Some(operation) = self.part.operations.get_mut(&op) else { return };
        operation.stage = Stage::Forwarded(to);
        operation.since_ms = now;
        operation.forwarded = true;
        self.part.due.operations.open(op);
        let (own, keys) = (operation.ticket.is_some(), operation.all_keys());
        if own {
            self.engage(op, &keys);
        }
        let birth = self.birth_for(op, &keys);
        let Some(operation) = self.part.operations.get(&op) else { return };
        let forwarded = Forwarded {
            op,
            floor: operation.floor,
            exposed: operation.exposed,
            birth,
            class: operation.class,
            keys: operation.keys.clone(),
            command: operation.command.clone(),
            watches: operation.watches.clone(),
            claims: operation.claims,
            hops: 0,
        };
        if !own {
            self.part.operations.remove(&op);
        }
        self.send(to, Message::Forward(Box::new(forwarded)));
    }

    /// The creation of the operation's first key that this node has a copy of.
    fn birth_for(&mut self, op: OpId, keys: &[Key]) -> FlightId {
        let Some(first) = keys.first() else { return FlightId::default() };
        self.focus_on(first);
        let birth = self.part.copies.get(first).map(|copy| copy.meta.birth);
        self.focus(op.part());
        birth.unwrap_or_default()
    }

    /// Whether this node has no room for another operation of that one. It will be asked again, and its client is told in
    /// the end.
    fn is_over_budget(&self, node: NodeId) -> bool {
        let ops_max = self.config.limits.ops_max;
        if self.part.operations.len() < ops_max || self.config.without(Mutant::TakeAnyNumber) {
            return false;
        }
        let budget = (ops_max / self.installed.view.members.len().max(1) as usize).max(1);
        let first = OpId { node, counter: 0 };
        let theirs = self.part.operations.range(first..).take_while(|(op, _)| op.node == node);
        theirs.take(budget).count() == budget
    }

    pub(crate) fn on_forward(&mut self, from: NodeId, forwarded: Forwarded) {
        let op = forwarded.op;
        if op.node == self.config.id
            || self.part.operations.contains_key(&op)
            || forwarded.keys.is_empty()
            || !self.is_next_of_its_node(op, forwarded.floor)
            || matches!(forwarded.class, Class::Read | Class::Flush)
        {
            return;
        }
        let now = self.now.mono_ms;
        let deadline_ms = now + self.config.timers.op_ms;
        let operation = Operation {
            ticket: None,
            class: self.class_of(forwarded.class, &forwarded.keys, &forwarded.watches),
            keys: forwarded.keys.clone(),
            command: forwarded.command.clone(),
            watches: forwarded.watches.clone(),
            local_read: false,
            watch: false,
            claims: forwarded.claims,
            floor: forwarded.floor,
            deadline_ms,
            last_ms: deadline_ms,
            since_ms: now,
            stage: Stage::Routing,
            forwarded: false,
            exposed: forwarded.exposed,
        };
        let me = self.config.id;
        let keys = operation.all_keys();
        let owner_of = |key: &Key| {
            self.focus_on(key);
            self.owner_of(key)
        };
        let owners: Vec<Option<NodeId>> = keys.iter().map(owner_of).collect();
        if owners.iter().all(|owner| *owner == Some(me)) {
            let birth = self.birth_for(op, &keys);
            if birth != forwarded.birth && !self.config.without(Mutant::RunForAnotherCreation) {
                self.send(op.node, Message::Redirect { op, owner: None });
                return;
            }
            for key in &keys {
                self.focus_on(key);
                self.raise_floor(key, OpId { counter: forwarded.floor, ..op });
            }
            self.focus(op.part());
            if self.answered_in_view(&keys[0], op) || self.is_over_budget(op.node) {
                return;
            }
            self.part.operations.insert(op, Box::new(operation));
            self.part.due.operations.open(op);
            self.part.ready.insert(op);
            return;
        }
        self.focus(op.part());
        let elsewhere = owners.first().copied().flatten().filter(|owner| {
            *owner != me
                && *owner != from
                && *owner != op.node
                && owners.iter().all(|other| *other == Some(*owner))
        });
        match elsewhere {
            Some(owner) if forwarded.hops < HOPS_MAX => {
                let onward = Forwarded { hops: forwarded.hops + 1, ..forwarded };
                self.send(owner, Message::Forward(Box::new(onward)));
            }
            _ => {
                let hint = keys.into_iter().zip(owners).find_map(|(key, owner)| Some((key, owner?)));
                self.send(op.node, Message::Redirect { op, owner: hint });
            }
        }
    }

    /// Whether an operation and the one before which all are answered may be of its node's present life.
    fn is_next_of_its_node(&self, op: OpId, floor: u64) -> bool {
        let life = self.installed.view.base.members.get(&op.node);
        life.is_some_and(|life| op.life() == life.0 >> 16 && floor <= op.counter)
            || self.config.without(Mutant::BelieveAnyNumber)
    }

    pub(crate) fn on_redirect(&mut self, from: NodeId, op: OpId, owner: Option<(Key, NodeId)>) {
        if let Some((key, owner)) = owner.filter(|(_, owner)| *owner != self.config.id) {
            self.focus_on(&key);
            self.follow(&key, owner);
        }
        self.focus(op.part());
        let Some(operation) = self.part.operations.get_mut(&op) else { return };
        if operation.ticket.is_some() && operation.stage == Stage::Forwarded(from) {
            // Looked at again with the next tick: two nodes that point at each other must not spin.
            operation.stage = Stage::Routing;
            self.part.due.operations.open(op);
        }
    }

    pub(crate) fn on_answered(&mut self, op: OpId, result: Result<Blob, ClientError>) {
        let waits = self.part.operations.get(&op).is_some_and(|operation| {
            operation.ticket.is_some()
                && matches!(operation.stage, Stage::Forwarded(_) | Stage::Routing | Stage::Parked)
        });
        match result {
            _ if !waits => {}
            Ok(reply) => self.succeed(op, reply),
            Err(error) => self.end(op, error),
        }
    }

    /// Repeats the answer to an operation that left no entry behind: it changed nothing, or was refused. Without this
    /// memory a second copy of the request, sent because the first answer was slow, would be executed afresh.
    pub(crate) fn answered_in_view(&mut self, key: &Key, op: OpId) -> bool {
        let answer = self.owning(key).and_then(|owning| owning.answers.get(&op).cloned());
        match answer.filter(|_| !self.config.without(Mutant::NoDedupe)) {
            Some(result) => {
                self.count(Rule::Deduped);
                if self.part.operations.get(&op).is_none_or(|operation| operation.ticket.is_none()) {
                    self.part.operations.remove(&op);
                    self.send(op.node, Message::Answered { op, result });
                } else {
                    match result {
                        Ok(reply) => self.succeed(op, reply),
                        Err(error) => self.end(op, error),
                    }
                }
                true
            }
            None => false,
        }
    }

    /// Remembers the answer to an operation that other nodes know of with the token of its first key.
    fn remember(&mut self, key: &Key, op: OpId, floor: u64, result: Result<Blob, ClientError>) {
        if op.node == self.config.id {
            self.raise_floor(key, OpId { counter: floor, ..op });
        }
        if let Some(owning) = self.owning_mut(key) {
            owning.answers.insert(op, result);
        }
    }

    /// Forgets what was answered to operations of the same node and partition before `floor`, and takes such no more.
    fn raise_floor(&mut self, key: &Key, floor: OpId) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        copy.done.raise(floor);
        if let Some(owning) = copy.owning_mut(view) {
            let same = |other: &OpId| (other.node, other.part()) == (floor.node, floor.part());
            owning.answers.retain(|other, _| !same(other) || other.counter >= floor.counter);
        }
    }

    /// Ends an operation well.
    pub(crate) fn succeed(&mut self, op: OpId, reply: Blob) {
        let operation = self.take_operation(op);
        if let Some(operation) = operation.as_ref().filter(|operation| operation.is_known_elsewhere())
            && let Some(key) = operation.first_key()
        {
            self.remember(&key, op, operation.floor, Ok(reply.clone()));
        }
        match operation.and_then(|operation| operation.ticket) {
            Some(ticket) => {
                let answer = Answer { reply, watches: Vec::new() };
                self.out.actions.push(Action::Reply { ticket, result: Ok(answer) });
            }
            None if op.node != self.config.id => {
                self.send(op.node, Message::Answered { op, result: Ok(reply) });
            }
            None => {}
        }
    }

    /// Refuses an operation, which this node has not executed in this view or has taken back. Every refusal of this
    /// node's own goes through here.
    ///
    /// If other nodes know of the operation, one of them may have run it already, or get its request later and run it.
    /// With the token of its first key in hand the first is known and the second ruled out, because the answer goes
    /// with the token. Without it the client is told that its operation is in doubt, and another node's operation goes
    /// unanswered: its origin asks again.
    pub(crate) fn refuse(&mut self, op: OpId, error: ClientError) {
        let Some(operation) = self.part.operations.get(&op) else { return };
        if !operation.is_known_elsewhere() {
            self.end(op, error);
            return;
        }
        let (own, floor) = (operation.ticket.is_some(), operation.floor);
        // Not done without most of the base, even if it turns out here that it was.
        let may = self.may_answer(operation) || self.config.without(Mutant::RecallInMinority);
        match operation.first_key().filter(|key| may && self.owns(key)) {
            Some(key) if self.answered_before(&key, op) => {}
            Some(key) => {
                self.remember(&key, op, floor, Err(error));
                self.end(op, error);
            }
            None if own => self.end(op, ClientError::InDoubt),
            None => {
                self.part.operations.remove(&op);
            }
        }
    }

    /// Ends an operation with an error that holds for all copies of it in this view.
    pub(crate) fn end(&mut self, op: OpId, error: ClientError) {
        let Some(operation) = self.take_operation(op) else { return };
        let Some(ticket) = operation.ticket else {
            self.send(op.node, Message::Answered { op, result: Err(error) });
            return;
        };
        let knows_nothing_of_before =
            matches!(error, ClientError::Unreachable | ClientError::TryAgain | ClientError::NotServing);
        let exposed = operation.exposed && knows_nothing_of_before;
        let error = if exposed { ClientError::InDoubt } else { error };
        self.out.actions.push(Action::Reply { ticket, result: Err(error) });
    }

    /// A W that was applied here when the view changed: the regroup has carried it to everyone reachable.
    fn confirm_applied(&mut self, op: OpId, reply: Blob) {
        let Some(key) = self.part.operations.get(&op).and_then(|operation| operation.keys.first().cloned())
        else {
            return;
        };
        let (view, grouped) = (self.installed.view.id, self.owner_of(&key).is_some());
        let settled = self.part.copies.get(&key).is_some_and(|copy| !copy.is_pending(view));
        if grouped && settled && self.is_kept(&key) {
            self.succeed(op, reply);
            return;
        }
        self.touch(&key);
        self.park(op, &key);
    }

    /// An X that was prepared here when the view changed. It is answered once the copies here contain it: where the
    /// decision comes from a former view, copies of this one were brought together without the batch, and lack it.
    fn look_at_doubt(&mut self, op: OpId, flight: FlightId) {
        let Some(operation) = self.part.operations.get(&op) else { return };
        let mut contained = true;
        for key in operation.all_keys() {
            self.focus_on(&key);
            // Once it is closed, nothing of it is missing.
            let record = self.part.records.get(&flight).filter(|record| !record.parts.is_empty());
            if let Some(record) = record {
                contained = false;
                // A regroup brings it in, which nobody else may have a reason to ask for.
                if record.outcome == Outcome::Committed && self.owner_of(&key).is_none() {
                    self.touch(&key);
                }
            }
        }
        self.focus(op.part());
        let Some(record) = self.part.records.get(&flight) else { return };
        let reply = record.replies.iter().find(|(replied, _)| *replied == op).map(|(_, reply)| reply.clone());
        match (record.outcome, reply) {
            (Outcome::Committed, Some(reply)) if contained => self.succeed(op, reply),
            // Its tokens were here when the view ended, so nobody else ran it in that view.
            (Outcome::Aborted, _) if record.closed => self.end(op, ClientError::Aborted),
            _ => return,
        }
        self.drop_closed(flight);
    }

    /// More is known of a batch that was in doubt, or a copy has got its part of it.
    pub(crate) fn doubt_resolved(&mut self, flight: FlightId) {
        let Some(record) = self.part.records.get(&flight) else { return };
        for op in record.replies.iter().map(|(op, _)| *op).collect::<Vec<_>>() {
            self.make_ready(op);
        }
        self.bring_in_settled(flight);
    }

    pub(crate) fn operation_tick(&mut self) {
        let now = self.now.mono_ms;
        let retry = self.config.timers.retry_ms;
        self.reroute_some();
        let found = self.part.due_operations(self.when());
        let mut late = Vec::new();
        let mut again = Vec::new();
        for op in found {
            let Some(operation) = self.part.operations.get_mut(&op) else { continue };
            let is_over = now >= operation.deadline_ms;
            if is_over && !operation.waits_on() {
                late.push(op);
            } else {
                again.push(op);
                if is_over {
                    self.out.tally.add(Rule::WaitedOn);
                }
            }
            if now >= operation.since_ms + retry {
                operation.since_ms = now;
            }
        }
        for op in late {
            if self.holds_all_of(op) {
                self.run_late(op);
            } else {
                self.out.mail.push_back(Mail::Late(op));
            }
        }
        for op in again {
            if let Some(operation) = self.part.operations.get_mut(&op)
                && let Stage::Forwarded(owner) = operation.stage
            {
                // The owner may have changed since.
                operation.stage = Stage::Routing;
                self.doubt_way_to(NodeSet::only(owner));
            }
            self.part.ready.insert(op);
        }
    }

    /// The operation's time is over.
    pub(crate) fn run_late(&mut self, op: OpId) {
        let Some(operation) = self.part.operations.get(&op) else { return };
        let keys = operation.all_keys();
        match operation.stage {
            Stage::Acquiring | Stage::Queued => {
                self.give_up_pins(op, &keys);
                self.refuse(op, ClientError::TryAgain);
            }
            Stage::Routing | Stage::Parked if self.installed.view.members.is_empty() => {
                self.refuse(op, ClientError::NotServing);
            }
            Stage::Routing | Stage::Parked => {
                // It may have lost the token of one key while another was pinned for it.
                self.give_up_pins(op, &keys);
                self.refuse(op, ClientError::TryAgain);
            }
            // The end of the batch is to be remembered, for whoever else has a copy of the operation.
            Stage::Flying { .. } if operation.ticket.is_none() => {}
            Stage::Doubt { flight } => {
                self.end(op, ClientError::InDoubt);
                self.drop_closed(flight);
            }
            _ => self.end(op, ClientError::InDoubt),
        }
    }
}
