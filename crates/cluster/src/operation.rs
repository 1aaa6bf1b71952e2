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

use crate::copy::{Busy, Copy, Queued};
use crate::ids::{Blob, FlightId, NodeId, OpId};
use crate::interface::{Action, Answer, Class, ClientError, Request, Watch};
use crate::key::Key;
use crate::message::{Forwarded, Message, Outcome};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::tally::Rule;
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
    /// All operations of the origin below this counter are answered.
    pub(crate) floor: u64,
    pub(crate) deadline_ms: u64,
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
    /// FLUSHALL: waiting for the view that carries it out.
    Flushing { target: Option<u64>, proposed: bool },
}

impl Operation {
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

    /// The key whose token goes with the answer.
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
}

impl<V: Values> Node<V> {
    pub(crate) fn on_client(&mut self, request: Request) {
        let ticket = request.ticket;
        let mut reply = |result| self.out.push(Action::Reply { ticket, result });
        if self.membership.left || request.keys.is_empty() && request.class != Class::Flush {
            reply(Err(ClientError::NotServing));
            return;
        }
        if self.operations.len() >= self.config.limits.ops_max {
            reply(Err(ClientError::TryAgain));
            return;
        }
        let op = OpId { node: self.config.id, counter: self.next_operation };
        self.next_operation += 1;
        let now = self.now.mono_ms;
        let stage = match request.class {
            Class::Flush => Stage::Flushing { target: None, proposed: false },
            _ => Stage::Routing,
        };
        let operation = Operation {
            ticket: Some(ticket),
            // Whatever writes with several keys in hand is decided once.
            class: match request.class {
                Class::W if request.keys.len() > 1 || !request.watches.is_empty() => Class::X,
                class => class,
            },
            keys: request.keys,
            command: request.command,
            watches: request.watches,
            local_read: request.local_read,
            floor: self.floor().unwrap_or(op.counter),
            deadline_ms: now + self.config.timers.op_ms,
            since_ms: now,
            stage,
            forwarded: false,
            exposed: false,
        };
        self.operations.insert(op, Box::new(operation));
        self.ready.insert(op);
    }

    /// The lowest of this node's own operations that is not answered.
    fn floor(&self) -> Option<u64> {
        let mine = OpId { node: self.config.id, counter: 0 };
        self.operations.range(mine..).next().filter(|(op, _)| op.node == mine.node).map(|(op, _)| op.counter)
    }

    /// Takes the operation as far as it can go now.
    pub(crate) fn advance(&mut self, op: OpId) {
        let Some(operation) = self.operations.get(&op) else { return };
        if !self.is_serving() {
            return;
        }
        match operation.stage.clone() {
            Stage::Routing | Stage::Parked => self.route(op),
            Stage::Acquiring => self.acquire(op),
            Stage::Applied { reply } => self.confirm_applied(op, reply),
            Stage::Doubt { flight } => self.look_at_doubt(op, flight),
            Stage::Flushing { .. } => self.advance_flush(op),
            Stage::Forwarded(_) | Stage::Queued | Stage::Flying { .. } => {}
        }
    }

    fn route(&mut self, op: OpId) {
        let Some(operation) = self.operations.get(&op) else { return };
        let (class, single) = (operation.class, operation.is_single());
        let view = self.membership.view.id;
        let me = self.config.id;
        if single && class != Class::Read {
            let key = operation.keys[0].clone();
            if !self.has_fork(&key) && self.copies.get(&key).is_some_and(|copy| copy.owning(view).is_some()) {
                self.set_stage(op, Stage::Queued);
                if !self.enqueue(&key, Queued::Op(op)) {
                    self.refuse(op, ClientError::TryAgain);
                }
                return;
            }
        }
        let Some(operation) = self.operations.get(&op) else { return };
        let keys = operation.all_keys();
        let mut owners = Vec::new();
        let mut complete = true;
        for key in &keys {
            if self.has_fork(key) {
                // This node's clients have written what the owner does not know yet; they must go on seeing it.
                complete = false;
                self.park(op, key);
            }
            match self.owner_of(key) {
                Some(owner) => owners.push(owner),
                None => {
                    complete = false;
                    self.touch(key);
                    self.park(op, key);
                }
            }
        }
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

    fn set_stage(&mut self, op: OpId, stage: Stage) {
        if let Some(operation) = self.operations.get_mut(&op) {
            operation.stage = stage;
        }
    }

    /// Waits until something happens to `key`.
    pub(crate) fn park(&mut self, op: OpId, key: &Key) {
        self.parked.entry(key.clone()).or_default().insert(op);
        if let Some(operation) = self.operations.get_mut(&op)
            && operation.stage == Stage::Routing
        {
            operation.stage = Stage::Parked;
        }
    }

    /// Something happened to `key`: whoever waits for it looks again.
    pub(crate) fn key_changed(&mut self, key: &Key) {
        if let Some(ops) = self.parked.remove(key) {
            self.ready.extend(ops);
        }
    }

    /// Whether a read of the copy would return what not every subscriber has yet, or miss what others may have.
    pub(crate) fn is_pending(&self, copy: &Copy) -> bool {
        let view = self.membership.view.id;
        let busy = copy.owning(view).and_then(|owning| owning.busy.as_ref());
        // A batch left over from an earlier view is in doubt: reads return the last committed state.
        let prepared = copy.is_preparing_in(view);
        copy.invalid.is_some()
            || prepared
            || matches!(busy, Some(Busy::Flight(_) | Busy::Regroup(_) | Busy::Align(_)))
    }

    fn try_read(&mut self, op: OpId, keys: &[Key]) {
        let Some(operation) = self.operations.get(&op) else { return };
        let pending = keys.iter().find(|key| {
            self.copies.get(key).is_none_or(|copy| {
                let local = operation.local_read && copy.prepared.is_none();
                self.is_pending(copy) && !local
            })
        });
        if let Some(key) = pending.filter(|_| !self.config.without(Mutant::ReadPending)) {
            let key = key.clone();
            self.count(Rule::ReadWaited);
            self.park(op, &key);
            return;
        }
        let reply = self.values.read(&operation.command, &operation.keys, self.now.wall_ms);
        let watches = operation.keys.iter().filter_map(|key| {
            let copy = self.copies.get(key)?;
            Some((key.clone(), copy.watch()))
        });
        let answer = Answer { reply, watches: watches.collect() };
        if let Some(ticket) = operation.ticket {
            self.out.push(Action::Reply { ticket, result: Ok(answer) });
        }
        self.operations.remove(&op);
    }

    fn forward(&mut self, op: OpId, to: NodeId) {
        let now = self.now.mono_ms;
        let Some(operation) = self.operations.get_mut(&op) else { return };
        operation.stage = Stage::Forwarded(to);
        operation.since_ms = now;
        operation.forwarded = true;
        let forwarded = Forwarded {
            op,
            floor: operation.floor,
            exposed: operation.exposed,
            class: operation.class,
            keys: operation.keys.clone(),
            command: operation.command.clone(),
            watches: operation.watches.clone(),
            hops: 0,
        };
        if operation.ticket.is_none() {
            self.operations.remove(&op);
        }
        self.send(to, Message::Forward(Box::new(forwarded)));
    }

    pub(crate) fn on_forward(&mut self, from: NodeId, forwarded: Forwarded) {
        let op = forwarded.op;
        if op.node == self.config.id
            || self.operations.contains_key(&op)
            || forwarded.keys.is_empty()
            || matches!(forwarded.class, Class::Read | Class::Flush)
        {
            return;
        }
        let now = self.now.mono_ms;
        let operation = Operation {
            ticket: None,
            class: forwarded.class,
            keys: forwarded.keys.clone(),
            command: forwarded.command.clone(),
            watches: forwarded.watches.clone(),
            local_read: false,
            floor: forwarded.floor,
            deadline_ms: now + self.config.timers.op_ms,
            since_ms: now,
            stage: Stage::Routing,
            forwarded: false,
            exposed: forwarded.exposed,
        };
        let me = self.config.id;
        let keys = operation.all_keys();
        let owners: Vec<Option<NodeId>> = keys.iter().map(|key| self.owner_of(key)).collect();
        if owners.iter().all(|owner| *owner == Some(me)) {
            for key in &keys {
                self.raise_floor(key, op.node, forwarded.floor);
            }
            if self.answered_in_view(&keys[0], op) {
                return;
            }
            self.operations.insert(op, Box::new(operation));
            self.ready.insert(op);
            return;
        }
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

    pub(crate) fn on_redirect(&mut self, from: NodeId, op: OpId, owner: Option<(Key, NodeId)>) {
        if let Some((key, owner)) = owner.filter(|(_, owner)| *owner != self.config.id) {
            self.follow(&key, owner);
        }
        let Some(operation) = self.operations.get_mut(&op) else { return };
        if operation.ticket.is_some() && operation.stage == Stage::Forwarded(from) {
            // Looked at again with the next tick: two nodes that point at each other must not spin.
            operation.stage = Stage::Routing;
        }
    }

    pub(crate) fn on_answered(&mut self, op: OpId, result: Result<Blob, ClientError>) {
        let waits = self.operations.get(&op).is_some_and(|operation| {
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
                if self.operations.get(&op).is_none_or(|operation| operation.ticket.is_none()) {
                    self.operations.remove(&op);
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
            self.raise_floor(key, op.node, floor);
        }
        if let Some(owning) = self.owning_mut(key) {
            owning.answers.insert(op, result);
        }
    }

    /// Forgets what was answered to operations of `node` below `floor`, and takes such no more.
    fn raise_floor(&mut self, key: &Key, node: NodeId, floor: u64) {
        let view = self.membership.view.id;
        let Some(copy) = self.copies.get_mut(key) else { return };
        copy.done.raise(node, floor);
        if let Some(owning) = copy.owning_mut(view) {
            owning.answers.retain(|other, _| other.node != node || other.counter >= floor);
        }
    }

    /// Ends an operation well.
    pub(crate) fn succeed(&mut self, op: OpId, reply: Blob) {
        let operation = self.operations.remove(&op);
        if let Some(operation) = operation.as_ref().filter(|operation| operation.is_known_elsewhere())
            && let Some(key) = operation.first_key()
        {
            self.remember(&key, op, operation.floor, Ok(reply.clone()));
        }
        match operation.and_then(|operation| operation.ticket) {
            Some(ticket) => {
                let answer = Answer { reply, watches: Vec::new() };
                self.out.push(Action::Reply { ticket, result: Ok(answer) });
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
        let Some(operation) = self.operations.get(&op) else { return };
        if !operation.is_known_elsewhere() {
            self.end(op, error);
            return;
        }
        let (own, floor) = (operation.ticket.is_some(), operation.floor);
        match operation.first_key().filter(|key| self.owns(key)) {
            Some(key) if self.answered_before(&key, op) => {}
            Some(key) => {
                self.remember(&key, op, floor, Err(error));
                self.end(op, error);
            }
            None if own => self.end(op, ClientError::InDoubt),
            None => {
                self.operations.remove(&op);
            }
        }
    }

    /// Ends an operation with an error that holds for all copies of it in this view.
    pub(crate) fn end(&mut self, op: OpId, error: ClientError) {
        let Some(operation) = self.operations.remove(&op) else { return };
        let Some(ticket) = operation.ticket else {
            self.send(op.node, Message::Answered { op, result: Err(error) });
            return;
        };
        let knows_nothing_of_before =
            matches!(error, ClientError::Unreachable | ClientError::TryAgain | ClientError::NotServing);
        let exposed = operation.exposed && knows_nothing_of_before;
        let error = if exposed { ClientError::InDoubt } else { error };
        self.out.push(Action::Reply { ticket, result: Err(error) });
    }

    /// A W that was applied here when the view changed: the regroup has carried it to everyone reachable.
    fn confirm_applied(&mut self, op: OpId, reply: Blob) {
        let Some(key) = self.operations.get(&op).and_then(|operation| operation.keys.first().cloned()) else {
            return;
        };
        let view = self.membership.view.id;
        let me = self.config.id;
        let grouped = self.copy_now(&key).is_some_and(|copy| copy.owner(view, me).is_some());
        if grouped && self.copies.get(&key).is_some_and(|copy| !self.is_pending(copy)) {
            self.succeed(op, reply);
            return;
        }
        self.touch(&key);
        self.park(op, &key);
    }

    /// An X that was prepared here when the view changed. It is answered once the copies here contain it: where the
    /// decision comes from a former view, copies of this one were brought together without the batch, and lack it.
    fn look_at_doubt(&mut self, op: OpId, flight: FlightId) {
        let Some(record) = self.records.get(&flight) else { return };
        let reply = record.replies.iter().find(|(replied, _)| *replied == op).map(|(_, reply)| reply.clone());
        match (record.outcome, reply) {
            (Outcome::Committed, Some(reply)) if record.parts.is_empty() => self.succeed(op, reply),
            // Its tokens were here when the view ended, so nobody else ran it in that view.
            (Outcome::Aborted, _) if record.closed => self.end(op, ClientError::Aborted),
            _ => {}
        }
    }

    /// More is known of a batch that was in doubt, or a copy has got its part of it.
    pub(crate) fn doubt_resolved(&mut self, flight: FlightId) {
        let Some(record) = self.records.get(&flight) else { return };
        self.ready.extend(record.replies.iter().map(|(op, _)| *op));
        self.bring_in_settled(flight);
    }

    pub(crate) fn operation_tick(&mut self) {
        let now = self.now.mono_ms;
        let retry = self.config.timers.retry_ms;
        let mut late = Vec::new();
        let mut again = Vec::new();
        for (op, operation) in &mut self.operations {
            if now >= operation.deadline_ms {
                late.push(*op);
                continue;
            }
            let due = now >= operation.since_ms + retry;
            match operation.stage {
                Stage::Routing => again.push(*op),
                Stage::Flying { .. } | Stage::Queued => {}
                _ if due => again.push(*op),
                _ => {}
            }
            if due {
                operation.since_ms = now;
            }
        }
        for op in late {
            self.run_late(op);
        }
        if !self.is_serving() {
            return;
        }
        for op in again {
            let forwarded = |operation: &&mut Box<Operation>| matches!(operation.stage, Stage::Forwarded(_));
            if let Some(operation) = self.operations.get_mut(&op).filter(forwarded) {
                // The owner may have changed since.
                operation.stage = Stage::Routing;
            }
            self.ready.insert(op);
        }
    }

    /// The operation's time is over.
    fn run_late(&mut self, op: OpId) {
        let Some(operation) = self.operations.get(&op) else { return };
        let keys = operation.all_keys();
        match operation.stage {
            Stage::Acquiring | Stage::Queued => {
                for key in &keys {
                    self.give_up_pin(key, op);
                }
                self.refuse(op, ClientError::TryAgain);
            }
            Stage::Routing | Stage::Parked if self.membership.view.members.is_empty() => {
                self.refuse(op, ClientError::NotServing);
            }
            Stage::Routing | Stage::Parked => self.refuse(op, ClientError::TryAgain),
            Stage::Flushing { proposed: false, .. } => self.refuse(op, ClientError::Unreachable),
            // The end of the batch is to be remembered, for whoever else has a copy of the operation.
            Stage::Flying { .. } if operation.ticket.is_none() => {}
            _ => self.end(op, ClientError::InDoubt),
        }
    }
}
