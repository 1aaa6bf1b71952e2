//! Operations on several keys: EXEC, scripts, RENAME, SMOVE and the like.
//!
//! The node that runs one first becomes the owner of all its keys, watched ones included: it takes the tokens in key
//! order and keeps each *pinned* (its queue stands still) until the operation is over, so two such operations cannot
//! wait for each other in a circle. Then it checks the watched versions, executes, and prepares one batch at the
//! union of the subscribers of the keys that changed.

use std::collections::BTreeMap;

use crate::copy::Queued;
use crate::ids::{NodeSet, OpId, Stamp};
use crate::interface::{Class, ClientError};
use crate::key::Key;
use crate::message::{Message, Part};
use crate::mutant::Mutant;
use crate::operation::Stage;
use crate::tally::Rule;
use crate::turn::{Mail, Turn};
use crate::values::{Entry, Step, Values};
use crate::write::Admission;

impl<V: Values> Turn<'_, V> {
    /// The operation is at the head of the key's queue: nothing else moves until it is over.
    pub(crate) fn pin(&mut self, key: &Key, op: OpId) {
        if op.part() == self.part.id && !self.is_acquiring(op) {
            return;
        }
        if let Some(owning) = self.owning_mut(key) {
            owning.pinned = Some(op);
        }
        if op.part() != self.part.id {
            self.out.mail.push_back(Mail::Pinned(op, key.clone()));
        }
    }

    fn is_acquiring(&self, op: OpId) -> bool {
        self.part.operations.get(&op).is_some_and(|operation| operation.stage == Stage::Acquiring)
    }

    /// A key of another partition was pinned for an operation of the partition in focus, which may be over.
    pub(crate) fn on_pinned(&mut self, op: OpId, key: &Key) {
        let wanted = self.is_acquiring(op);
        self.focus_on(key);
        if !wanted && self.owning(key).is_some_and(|owning| owning.pinned == Some(op)) {
            self.unpin(key);
        }
        self.focus(op.part());
    }

    pub(crate) fn unpin(&mut self, key: &Key) {
        if let Some(owning) = self.owning_mut(key) {
            owning.pinned = None;
        }
        self.part.work.insert(key.clone());
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
        let Some(operation) = self.part.operations.get(&op) else { return };
        let keys = operation.all_keys();
        for key in &keys {
            self.focus_on(key);
            if !self.acquire_one(op, key, &keys) {
                self.focus(op.part());
                return;
            }
        }
        self.focus(op.part());
        self.execute_multi(op, &keys);
    }

    /// Whether the key, in whose partition the turn is, is pinned for the operation. If not, that is under way.
    fn acquire_one(&mut self, op: OpId, key: &Key, keys: &[Key]) -> bool {
        let (view, me) = (self.installed.view.id, self.config.id);
        match self.owner_of(key) {
            Some(owner) if owner == me => {}
            Some(owner) => {
                self.send(owner, Message::TokenRequest { key: key.clone(), to: me });
                self.park(op, key);
                return false;
            }
            None => {
                self.touch(key);
                self.park(op, key);
                return false;
            }
        }
        let Some(owning) = self.part.copies.get_mut(key).and_then(|copy| copy.owning_mut(view)) else {
            return false;
        };
        if owning.pinned == Some(op) {
            return true;
        }
        if !owning.queue.contains(&Queued::Pin(op)) && !self.enqueue(key, Queued::Pin(op)) {
            self.end_multi(op, keys, ClientError::TryAgain);
        }
        false
    }

    fn end_multi(&mut self, op: OpId, keys: &[Key], error: ClientError) {
        self.focus(op.part());
        self.refuse(op, error);
        self.give_up_pins(op, keys);
    }

    /// Lets go of all keys of an operation.
    pub(crate) fn give_up_pins(&mut self, op: OpId, keys: &[Key]) {
        for key in keys {
            self.focus_on(key);
            self.give_up_pin(key, op);
        }
        self.focus(op.part());
    }

    fn execute_multi(&mut self, op: OpId, keys: &[Key]) {
        for key in keys {
            self.focus_on(key);
            // A batch, a join or the like that began before the pin has to end first.
            let waits = self.waits_for_keeper(key, op, Class::X);
            if waits {
                self.part.work.insert(key.clone());
            }
            if waits || self.owning(key).is_none_or(|own| own.busy.is_some()) {
                self.focus(op.part());
                return;
            }
        }
        for key in keys {
            self.focus_on(key);
            if self.answered_before(key, op) {
                self.give_up_pins(op, keys);
                return;
            }
        }
        let mut wait = false;
        for key in keys {
            self.focus_on(key);
            match self.admits_x(key) {
                Admission::Granted => {}
                Admission::Wait => wait = true,
                Admission::Refused => {
                    self.end_multi(op, keys, ClientError::Unreachable);
                    return;
                }
            }
        }
        self.focus(op.part());
        if wait {
            self.part.stalled.extend(keys.first().cloned());
            return;
        }
        if !self.watches_hold(op) && !self.config.without(Mutant::IgnoreWatches) {
            self.count(Rule::WatchFailed);
            self.end_multi(op, keys, ClientError::WatchFailed);
            return;
        }
        self.run_multi(op, keys);
    }

    /// Whether no watched key has changed.
    fn watches_hold(&mut self, op: OpId) -> bool {
        let operation = self.part.operations.get(&op);
        let watches = operation.map(|operation| operation.watches.clone()).unwrap_or_default();
        let versions_only = self.config.without(Mutant::WatchVersionsOnly);
        let unchanged = watches.iter().all(|(key, watch)| {
            self.focus_on(key);
            self.part.copies.get(key).is_some_and(|copy| {
                copy.is_as_watched(*watch) || versions_only && copy.meta.version == watch.version
            })
        });
        self.focus(op.part());
        unchanged
    }

    fn run_multi(&mut self, op: OpId, keys: &[Key]) {
        let stamp = self.stamp_of(keys);
        self.focus(op.part());
        let Some(operation) = self.part.operations.get(&op) else { return };
        let own_keys = operation.keys.clone();
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
            self.focus_on(key);
            let Some(copy) = self.part.copies.get(key) else { continue };
            let (prior, subscribers): (_, NodeSet) = (copy.meta.version, copy.meta.subscribers);
            let dot = self.next_dot(prior, 0);
            let entry = Entry { dot, prior, stamp, effects, origin: origin.clone(), step: Step::Write };
            parts.push(Part { key: key.clone(), prior, entries: vec![entry], subscribers });
        }
        self.focus(op.part());
        if parts.is_empty() {
            self.succeed(op, executed.reply);
            self.give_up_pins(op, keys);
            return;
        }
        let undo = executed
            .undo
            .into_iter()
            .filter_map(|(index, undo)| Some((own_keys.get(index)?.clone(), undo)))
            .collect();
        for key in keys {
            self.focus_on(key);
            self.note_run(key, op.node);
        }
        self.focus(op.part());
        self.launch_x(keys.to_vec(), parts, vec![(op, executed.reply)], undo);
    }

    /// A reading of the clock that is ahead of what any of the keys' partitions has seen, and that all of them see.
    fn stamp_of(&mut self, keys: &[Key]) -> Stamp {
        let mut newest = Stamp::default();
        for key in keys {
            self.focus_on(key);
            newest = newest.max(self.part.clock);
        }
        self.see_stamp(newest);
        let stamp = self.next_stamp();
        for key in keys {
            self.focus_on(key);
            self.see_stamp(stamp);
        }
        stamp
    }
}
