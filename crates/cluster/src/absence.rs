//! Keys without a value: after a while nobody keeps anything of them.
//!
//! A key whose value is gone, or that was only asked for, is *listed* at its owner. When it has no value some time later
//! ([`Timers::forget_ms`](crate::Timers)), the owner has the subscribers leave (`leave`), and when it is the only one to
//! hold the key it drops the record and tells the home, which then knows the key no more than one that never was.
//!
//! What a record knew of the past is gone with it. Invariants that make up for it:
//! - A node whose own operation on the key is not answered and may be at another node (it is *engaged*), or that has a
//!   fork of the key to bring back, does not drop its copy, and so nobody else forgets the key.
//! - An operation is sent to the owner of one creation of its first key, a fork likewise: a stray duplicate that finds
//!   another creation is not executed, though that one does not know that the operation was answered.
//! - While anything of the base is missing, or may come back, nothing is forgotten.

use std::collections::VecDeque;

use crate::copy::Doubt;
use crate::ids::{NodeId, NodeSet, OpId};
use crate::key::Key;
use crate::message::Message;
use crate::mutant::Mutant;
use crate::operation::Operation;
use crate::table::Table;
use crate::tally::Rule;
use crate::turn::{Mail, Turn};
use crate::values::Values;

/// Listed keys that one tick looks at; the others wait for the next.
const LOOKS_MAX: usize = 1_024;

/// Keys that may need no record, by the time at which to look again. Each waits as long as the others, so they come in
/// the order in which they were listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Listed {
    /// In pieces, so that none is moved for want of room when others come.
    queue: VecDeque<VecDeque<(u64, Key)>>,
    listed: Table<()>,
}

/// Keys of a piece.
const PIECE: usize = 512;

impl Listed {
    pub(crate) fn list(&mut self, key: &Key, due_ms: u64) {
        if !self.listed.contains(key) {
            self.listed.insert(key.clone(), ());
            if self.queue.back().is_none_or(|piece| piece.len() >= PIECE) {
                self.queue.push_back(VecDeque::new());
            }
            self.queue.back_mut().into_iter().for_each(|piece| piece.push_back((due_ms, key.clone())));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.listed.len()
    }

    pub(crate) fn next_due(&mut self, now_ms: u64) -> Option<Key> {
        let piece = self.queue.front_mut()?;
        piece.front().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        let (_, key) = piece.pop_front()?;
        if piece.is_empty() {
            self.queue.pop_front();
        }
        self.listed.remove(&key);
        if self.queue.is_empty() {
            // A rush of keys is to leave nothing.
            self.queue = VecDeque::new();
        }
        Some(key)
    }
}

impl<V: Values> Turn<'_, V> {
    /// Lists a key that has no value.
    pub(crate) fn list_absent(&mut self, key: &Key) {
        if !self.values.holds(key) {
            let due_ms = self.now.mono_ms + self.config.timers.forget_ms;
            self.part.fading.list(key, due_ms);
        }
    }

    pub(crate) fn absence_tick(&mut self) {
        for _ in 0..LOOKS_MAX {
            let Some(key) = self.part.fading.next_due(self.now.mono_ms) else { break };
            if self.part.copies.contains(&key) && !self.values.holds(&key) && !self.is_waste(&key) {
                self.fade(&key);
            }
        }
    }

    /// Does the next thing that leads to the end of a key without a value.
    fn fade(&mut self, key: &Key) {
        let (view, me) = (self.installed.view.id, self.config.id);
        let complete = self.installed.view.missing().is_empty();
        let Some(copy) = self.copy_now(key) else { return };
        let others = copy.meta.subscribers.without(me);
        match copy.owner(view, me) {
            _ if !complete => {}
            None => self.touch(key),
            Some(owner) if owner != me => self.leave_absent(key),
            Some(_) if self.may_forget(key) => {
                self.count(Rule::Forgot);
                self.drop_copy(key);
                return;
            }
            // They wait for it to have one.
            Some(_) if self.owning(key).is_some_and(|owning| !owning.waiters.is_empty()) => {}
            Some(_) => self.send_all(others, Message::Fade { key: key.clone() }),
        }
        self.list_absent(key);
    }

    /// The owner finds no value.
    pub(crate) fn on_fade(&mut self, from: NodeId, key: &Key) {
        let (view, me) = (self.installed.view.id, self.config.id);
        let follows = self.copy_now(key).is_some_and(|copy| copy.owner(view, me) == Some(from));
        if follows && !self.values.holds(key) {
            // Should the owner be gone before this node has left.
            self.list_absent(key);
            self.leave_absent(key);
        }
    }

    /// Whether nothing is lost when this node, the owner, drops its record of a key without a value.
    fn may_forget(&self, key: &Key) -> bool {
        self.needs_no_record(key) && self.may_drop_absent(key)
    }

    /// Whether nothing but the value is known here that anybody may ask for: this node owns the key, no other holds it or
    /// can come back with it, and nothing is under way.
    pub(crate) fn needs_no_record(&self, key: &Key) -> bool {
        let (view, me) = (&self.installed.view, self.config.id);
        let Some(copy) = self.part.copies.get(key) else { return false };
        let Some(owning) = copy.owning(view.id) else { return false };
        let idle = owning.is_idle()
            && owning.doubt == Doubt::None
            && !self.part.parked.contains_key(key)
            && !self.part.touches.contains(key)
            && !self.part.evicting.contains_key(key);
        let alone =
            copy.possible_holders() == NodeSet::only(me) || self.config.without(Mutant::ForgetSharedKeys);
        // A node that was expired since may have collected this state to own the key, and nobody may know it for a holder.
        let unseen = self.awaited_since(copy.meta.birth.view);
        let unseen = if self.config.without(Mutant::ForgetTheAwaited) { NodeSet::EMPTY } else { unseen };
        let settled = copy.prepared.is_none()
            && copy.log.entries.is_empty()
            && !copy.log.overflow
            && (unseen | copy.meta.lost & self.awaited_for(copy.meta.birth.view)).is_empty();
        idle && alone && settled
    }

    /// Whether this node has no more use for a key without a value, and can tell its home so.
    pub(crate) fn may_drop_absent(&self, key: &Key) -> bool {
        let home = self.home_of(key);
        let limits = self.config.limits;
        self.may_drop(key)
            && !self.is_waited_for(key)
            && home.is_some_and(|home| {
                self.part.reports.is_known_at(home) && self.part.leases.has_room(home, limits.unreported_max)
            })
    }

    /// Whether no operation of this node's own clients, and no fork, needs its copy.
    pub(crate) fn may_drop(&self, key: &Key) -> bool {
        let engaged = self.part.engaged.contains_key(key) && !self.config.without(Mutant::LeaveWhileEngaged);
        !engaged && !self.has_fork(key)
    }

    /// Whether clients of this node block until the key has a value.
    fn is_waited_for(&self, key: &Key) -> bool {
        self.part.waited_for.contains_key(key)
    }

    /// An operation of this node's own clients goes to another node.
    pub(crate) fn engage(&mut self, op: OpId, keys: &[Key]) {
        for key in keys {
            self.focus_on(key);
            self.part.engaged.entry(key.clone()).or_default().insert(op);
        }
        self.focus(op.part());
    }

    /// Ends an operation: takes it out.
    pub(crate) fn take_operation(&mut self, op: OpId) -> Option<Box<Operation>> {
        let operation = self.part.operations.remove(&op)?;
        if operation.ticket.is_some() && operation.forwarded {
            for key in operation.all_keys() {
                if key.part(self.config.parts) == self.part.id {
                    self.disengage(op, &key);
                } else {
                    self.out.mail.push_back(Mail::Disengage(op, key));
                }
            }
        }
        Some(operation)
    }

    pub(crate) fn disengage(&mut self, op: OpId, key: &Key) {
        if let Some(ops) = self.part.engaged.get_mut(key) {
            ops.remove(&op);
            if ops.is_empty() {
                self.part.engaged.remove(key);
            }
        }
    }
}
