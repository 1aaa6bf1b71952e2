//! What this node held when it turned out that a base had gone on without it: all of it is a fork.
//!
//! The records and the values are set aside at once and as they are. They become forks one by one, when a client asks for
//! their key, or when it is their turn to be sent (`heal`), in the order of their marks. Until then the values are in the
//! store, where nothing but this sees them.
//!
//! Invariants:
//! - A key that is set aside counts as a fork: this node's clients wait until it is brought back.
//! - A node that is reborn twice has two attics. The newer one does not contain what is in the older.

use crate::config::Config;
use crate::copies::Copies;
use crate::copy::{Copy, CopyState, PreparedPart, Whole};
use crate::databases::Era;
use crate::ids::FlightId;
use crate::key::{Key, Mark};
use crate::message::{Base, Outcome, Part};
use crate::mutant::Mutant;
use crate::part::Stashed;
use crate::rubbish::Litter;
use crate::settle::Record;
use crate::table::Table;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::unowned::Unowned;
use crate::values::Values;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attic {
    /// What the store knows it by.
    number: u64,
    copies: Copies,
    records: Table<Record, FlightId>,
    /// Of which past the keys are that have no record.
    solos: Unowned,
    /// Where its keys belonged.
    era: Era,
    /// There is nothing before this mark any more.
    next: Mark,
}

impl Attic {
    /// Whether it has something of the key.
    pub(crate) fn has(&self, key: &Key, values: &impl Values, base: &Base, config: &Config) -> bool {
        let key = self.era.then(key, base, config);
        key.is_some_and(|key| self.copies.contains(&key) || values.holds_aside(self.number, &key))
    }

    fn committed_part(&self, key: &Key, now: &Key, copy: &Copy) -> Option<PreparedPart> {
        let flight = copy.prepared?.flight;
        let record = self.records.get(&flight).filter(|record| record.outcome == Outcome::Committed)?;
        let part = record.parts.iter().find(|part| part.key == *key)?;
        let part = Part { key: now.clone(), ..part.clone() };
        let detached = record.detached.get(key)?.clone();
        let participants = record.participants.clone();
        Some(PreparedPart { flight, participants, part, detached, committed: true })
    }
}

impl<V: Values> Turn<'_, V> {
    /// Everything that this node holds is a fork. Solo keys were disowned before.
    pub(crate) fn set_aside(&mut self, era: Era) {
        for record in self.part.records.values_mut().filter(|record| record.outcome == Outcome::Committed) {
            // In the state of its keys, which is out of reach later.
            for key in record.parts.iter().map(|part| part.key.clone()).collect::<Vec<_>>() {
                if !record.detached.contains_key(&key) {
                    record.detach(&key, &*self.values);
                }
            }
        }
        let number = self.next_number();
        let is_here = self.slots_of_part();
        let part = &mut *self.part;
        self.values.set_aside(number, &is_here, &mut part.copies.keys());
        let attic = Attic {
            number,
            copies: std::mem::take(&mut part.copies),
            records: std::mem::take(&mut part.records),
            solos: std::mem::take(&mut part.unowned),
            era,
            next: Mark::FIRST,
        };
        if attic.copies.len() > 0 || !self.values.keys_aside(number, Mark::FIRST, 1).is_empty() {
            part.attics.push(attic);
        }
    }

    /// Nothing that this node holds, or has set aside, is to be seen any more.
    pub(crate) fn throw_away(&mut self) {
        let number = self.next_number();
        let is_here = self.slots_of_part();
        self.values.set_aside(number, &is_here, &mut self.part.copies.keys());
        self.values.forget_aside(number);
        let copies = std::mem::take(&mut self.part.copies);
        self.part.rubbish.throw(Litter::Copies(copies));
    }

    /// Forgets all that is set aside.
    pub(crate) fn clear_attics(&mut self) {
        for attic in std::mem::take(&mut self.part.attics) {
            self.values.forget_aside(attic.number);
            self.part.rubbish.throw(Litter::Copies(attic.copies));
        }
    }

    /// Whether something of the key is set aside.
    pub(crate) fn is_set_aside(&self, key: &Key) -> bool {
        let overlook = self.config.without(Mutant::OverlookTheAttic);
        let mut attics = self.part.attics.iter().filter(|_| !overlook);
        attics.any(|attic| attic.has(key, self.values, &self.installed.view.base, self.config))
    }

    /// Makes forks of what is set aside of the key.
    pub(crate) fn unpack(&mut self, key: &Key) {
        for index in 0..self.part.attics.len() {
            if let Some(key) = self.part.attics[index].era.then(key, &self.installed.view.base, self.config) {
                self.unpack_from(index, &key);
            }
        }
    }

    fn unpack_from(&mut self, index: usize, key: &Key) {
        let attic = &mut self.part.attics[index];
        let snapshot = self.values.take_aside(attic.number, key);
        let copy = match attic.copies.remove(key) {
            Some(copy) => copy,
            None if snapshot.is_none() || self.config.without(Mutant::LoseSolosAtRebirth) => return,
            None => {
                let Some(past) = attic.solos.of(key.mark()) else { return };
                let number = self.part.next_number();
                self.part.solo_seq += 1;
                Copy::new(past.meta(self.config.id, number, self.part.solo_seq), past.view)
            }
        };
        let attic = &self.part.attics[index];
        // What was flushed while this node was away is gone.
        let Some(now) = attic.era.now(key, &self.installed.view.base, self.config) else { return };
        // What was settled as committed and not yet brought into the copy is part of the fork.
        let prepared = attic.committed_part(key, &now, &copy);
        let Copy { meta, log, done, .. } = copy;
        let state = CopyState { meta, log, done, prepared, value: Some(Whole { snapshot }) };
        self.part.stash.insert((now, state.meta.version), Stashed { state, sent_ms: None });
    }

    /// Makes forks of as many of the next keys.
    pub(crate) fn unpack_some(&mut self, count: usize) {
        let Some(attic) = self.part.attics.first().filter(|_| count > 0) else { return };
        let (number, next) = (attic.number, attic.next);
        let mut keys = attic.copies.some_from(next, count);
        let values = self.values.keys_aside(number, next, count);
        let last = |keys: &[Key]| keys.last().filter(|_| keys.len() >= count).map(Key::mark);
        let end = [last(&keys), last(&values)].into_iter().flatten().min();
        keys.extend(values);
        keys.retain(|key| end.is_none_or(|end| key.mark() <= end));
        for key in keys {
            self.count(Rule::Walked);
            self.unpack_from(0, &key);
        }
        match end {
            Some(end) => self.part.attics[0].next = end.next(),
            None => {
                self.values.forget_aside(number);
                self.part.attics.remove(0);
            }
        }
    }
}
