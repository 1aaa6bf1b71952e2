//! Reads, answered from this node's copies, or by the home's word that nobody holds the key.
//!
//! Invariant: a read waits while one of its keys is pending, unless it is one that need not (READMODE local).
//! Neighbour: `operation` brings a read here once all its keys have an owner.

use crate::directory::Touch;
use crate::ids::{Blob, OpId};
use crate::interface::{Action, Answer, Class, Watch};
use crate::key::Key;
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;

impl<V: Values> Turn<'_, V> {
    pub(crate) fn try_read(&mut self, op: OpId, keys: &[Key]) {
        let Some(local_read) = self.part.operations.get(&op).map(|operation| operation.local_read) else {
            return;
        };
        for key in keys {
            self.focus_on(key);
            let pending = self.part.copies.get(key).is_none_or(|copy| {
                let local = local_read && copy.prepared.is_none();
                copy.is_pending(self.installed.view.id) && !local
            });
            if pending && !self.config.without(Mutant::ReadPending) {
                self.count(Rule::ReadWaited);
                self.park(op, key);
                return;
            }
        }
        self.focus(op.part());
        let Some(operation) = self.part.operations.remove(&op) else { return };
        let reply = self.values.read(&operation.command, &operation.keys, self.now.wall_ms);
        let mut watches = Vec::new();
        for key in operation.keys.iter().filter(|_| operation.watch) {
            self.focus_on(key);
            if let Some(copy) = self.part.copies.get_mut(key) {
                copy.watched_ms = Some(self.now.mono_ms);
                watches.push((key.clone(), copy.watch()));
            }
        }
        self.focus(op.part());
        self.answer_read(operation.ticket, reply, watches);
    }

    /// What was watched is named as the client does.
    fn answer_read(&mut self, ticket: Option<u64>, reply: Blob, mut watches: Vec<(Key, Watch)>) {
        let databases = &self.part.databases;
        watches.iter_mut().for_each(|(key, _)| *key = databases.name_of(key).unwrap_or_else(|| key.clone()));
        if let Some(ticket) = ticket {
            self.out.actions.push(Action::Reply { ticket, result: Ok(Answer { reply, watches }) });
        }
    }

    /// The read's one key is held by nobody.
    pub(crate) fn answer_absent(&mut self, op: OpId) {
        let Some(operation) = self.part.operations.remove(&op) else { return };
        self.count(Rule::ReadAbsent);
        let reply = self.values.read(&operation.command, &operation.keys, self.now.wall_ms);
        let watched = operation.keys.into_iter().filter(|_| operation.watch);
        let watches = watched.map(|key| (key, Watch::default())).collect();
        self.answer_read(operation.ticket, reply, watches);
    }

    /// Nobody held the key when its home was asked. That goes for the reads that the question was asked for: one that came
    /// later may have to see a write that the home had not heard of then.
    pub(crate) fn on_absent(&mut self, key: &Key, nonce: u64) {
        let is_it = |touch: &&Touch| touch.nonce == nonce;
        let Some(mut before) = self.part.touches.get(key).filter(is_it).and_then(|touch| touch.reads_before)
        else {
            return;
        };
        self.part.touches.remove(key);
        if self.config.without(Mutant::AbsentForLaterReads) {
            before = u64::MAX;
        }
        if !self.has_something_of(key) {
            let waiting = self.part.parked.get(key).cloned().unwrap_or_default();
            for op in waiting {
                let asked = self.part.operations.get(&op).is_some_and(|operation| {
                    operation.class == Class::Read && operation.keys.len() == 1 && op.counter >> 8 < before
                });
                if asked {
                    self.answer_absent(op);
                }
            }
        }
        self.key_changed(key);
    }
}
