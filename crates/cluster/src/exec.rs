//! Operations on several keys: EXEC, scripts, RENAME, SMOVE and the like.
//!
//! The node that runs one first becomes the owner of all its keys, watched ones included: it takes the tokens in key
//! order and keeps each *pinned* (its queue stands still) until the operation is over, so two such operations cannot
//! wait for each other in a circle. Then it checks the watched versions, executes, and prepares one batch at the
//! union of the subscribers of the keys that changed.

use std::collections::BTreeMap;

use crate::copy::Queued;
use crate::ids::{NodeSet, OpId};
use crate::interface::ClientError;
use crate::key::Key;
use crate::message::{Message, Part};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::operation::Stage;
use crate::tally::Rule;
use crate::values::{Entry, Step, Values};
use crate::write::Admission;

impl<V: Values> Node<V> {
    /// The operation is at the head of the key's queue: nothing else moves until it is over.
    pub(crate) fn pin(&mut self, key: &Key, op: OpId) {
        let wanted = self.operations.get(&op).is_some_and(|operation| operation.stage == Stage::Acquiring);
        if !wanted {
            return;
        }
        if let Some(owning) = self.owning_mut(key) {
            owning.pinned = Some(op);
        }
    }

    pub(crate) fn unpin(&mut self, key: &Key) {
        if let Some(owning) = self.owning_mut(key) {
            owning.pinned = None;
        }
        self.work.insert(key.clone());
    }

    /// Lets go of a key the operation had pinned or was queued for.
    pub(crate) fn give_up_pin(&mut self, key: &Key, op: OpId) {
        let Some(owning) = self.owning_mut(key) else { return };
        owning.queue.retain(|queued| *queued != Queued::Pin(op) && *queued != Queued::Op(op));
        if owning.pinned == Some(op) {
            self.unpin(key);
        }
    }

    /// Takes the next token, or runs the operation when it has them all.
    pub(crate) fn acquire(&mut self, op: OpId) {
        let Some(operation) = self.operations.get(&op) else { return };
        let keys = operation.all_keys();
        let view = self.membership.view.id;
        let me = self.config.id;
        for key in &keys {
            let Some(copy) = self.copy_now(key) else {
                self.touch(key);
                self.park(op, key);
                return;
            };
            match copy.owner(view, me) {
                Some(owner) if owner == me => {}
                Some(owner) => {
                    self.send(owner, Message::TokenRequest { key: key.clone(), to: me });
                    self.park(op, key);
                    return;
                }
                None => {
                    self.touch(key);
                    self.park(op, key);
                    return;
                }
            }
            let Some(owning) = copy.owning_mut(view) else { return };
            if owning.pinned == Some(op) {
                continue;
            }
            if !owning.queue.contains(&Queued::Pin(op)) && !self.enqueue(key, Queued::Pin(op)) {
                self.end_multi(op, &keys, ClientError::TryAgain);
            }
            return;
        }
        self.execute_multi(op, &keys);
    }

    fn end_multi(&mut self, op: OpId, keys: &[Key], error: ClientError) {
        self.refuse(op, error);
        for key in keys {
            self.give_up_pin(key, op);
        }
    }

    fn execute_multi(&mut self, op: OpId, keys: &[Key]) {
        for key in keys {
            // A batch, a join or the like that began before the pin has to end first.
            let busy = self.owning(key).is_none_or(|own| own.busy.is_some());
            if busy {
                return;
            }
        }
        for key in keys {
            if self.answered_before(key, op) {
                keys.iter().for_each(|key| self.give_up_pin(key, op));
                return;
            }
        }
        let mut wait = false;
        for key in keys {
            match self.admits_x(key) {
                Admission::Granted => {}
                Admission::Wait => wait = true,
                Admission::Refused => {
                    self.end_multi(op, keys, ClientError::Unreachable);
                    return;
                }
            }
        }
        if wait {
            self.stalled.extend(keys.first().cloned());
            return;
        }
        let Some(operation) = self.operations.get(&op) else { return };
        let unchanged = operation
            .watches
            .iter()
            .all(|(key, watch)| self.copies.get(key).is_some_and(|copy| copy.watch() == *watch));
        if !unchanged && !self.config.without(Mutant::IgnoreWatches) {
            self.count(Rule::WatchFailed);
            self.end_multi(op, keys, ClientError::WatchFailed);
            return;
        }
        let own_keys = operation.keys.clone();
        let stamp = self.clock.tick(self.now.wall_ms, self.config.id);
        let executed = self.values.execute(&operation.command, &own_keys, stamp);
        let mut effects: BTreeMap<&Key, Vec<_>> = BTreeMap::new();
        for (index, effect) in executed.effects {
            if let Some(key) = own_keys.get(index) {
                effects.entry(key).or_default().push(effect);
            }
        }
        let origin = Some(operation.as_entry_op(op, self.config.id, &executed.reply, effects.len()));
        let mut parts = Vec::new();
        for (key, effects) in effects {
            let Some(copy) = self.copies.get(key) else { continue };
            let (prior, subscribers): (_, NodeSet) = (copy.meta.version, copy.meta.subscribers);
            let dot = self.next_dot(prior, 0);
            let entry = Entry { dot, prior, stamp, effects, origin: origin.clone(), step: Step::Write };
            parts.push(Part { key: key.clone(), prior, entries: vec![entry], subscribers });
        }
        if parts.is_empty() {
            self.succeed(op, executed.reply);
            keys.iter().for_each(|key| self.give_up_pin(key, op));
            return;
        }
        let undo = executed
            .undo
            .into_iter()
            .filter_map(|(index, undo)| Some((own_keys.get(index)?.clone(), undo)))
            .collect();
        for key in keys {
            self.note_run(key, op.node);
        }
        self.launch_x(keys.to_vec(), parts, vec![(op, executed.reply)], undo);
    }
}
