//! Solo keys: what only this node holds has a value and nothing else.
//!
//! A key with a value and without a record ([`crate::copy::Copy`]) is *solo*: this node owns it, and nobody else holds anything of it.
//! Reads and writes run at once and leave no trace. Whoever asks for it (another node, an operation on several keys, a
//! WATCH) makes it a record of a new birth; the record goes again when it tells nothing more than the value does.
//!
//! Invariants:
//! - A record goes only when no other node holds the key, can come back with it, or is owed an answer
//!   ([`Turn::needs_no_record`]): as when an absent key is forgotten.
//! - Versions of one key in one view do not come twice, whichever births they belong to: a duplicate of an old message
//!   fits nowhere.
//! - A solo key keeps its owner through a view change if all members come from the view that this node comes from, or
//!   start empty: none of them can hold another creation of it. Otherwise all solo keys are `unowned`.
//! - As long as part of the base is missing, or one that was just expired may come back, writes are recorded, because
//!   what they overwrite has to be told from what others write meanwhile. What was written before counts as written when
//!   the last key without a record was.
//!
//! Neighbours: `absence` forgets keys without a value, `creation` has the home know what was created here, `enter` says
//! what survives a view.

use crate::copy::{Copy, Meta, Role};
use crate::ids::{FlightId, NodeSet, Time, ViewId};
use crate::installed::Fence;
use crate::interface::{Action, Answer, Class, Request};
use crate::key::{Key, Mark, Slot};
use crate::mutant::Mutant;
use crate::part::Part;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::unowned::Past;
use crate::values::{History, Values};

/// Records that one tick looks at; the others wait for the next.
const LOOKS_MAX: usize = 64;

/// Unowned keys wait for their records while there are so many that only this node holds.
const LONELY_MAX: usize = 1_024;

impl<U> Part<U> {
    /// Stamps a write on a key without a record, if it needs none.
    #[inline]
    pub(crate) fn write_solo(&mut self, fence: Fence, now: Time) -> bool {
        if now.mono_ms < fence.solo_from_ms {
            return false;
        }
        self.solo_written = self.clock.tick(now.wall_ms, self.clock.node);
        true
    }

    /// How the view looks that this partition is in, when it has ended.
    fn past(&self) -> Past {
        Past { generation: self.generation, view: self.view, written: self.solo_written }
    }

    /// What a record would say of a key that has none; of one that is owned, with a birth in no view.
    pub(crate) fn solo_meta(&self, mark: Mark) -> Meta {
        let past = self.unowned.of(mark);
        let meta = past.unwrap_or(self.past()).meta(self.clock.node, 0, self.solo_seq.max(1));
        let view = if past.is_some() { meta.birth.view } else { ViewId::default() };
        let birth = FlightId::new(view, self.clock.node, 0);
        Meta { birth, ..meta }
    }
}

impl<V: Values> Turn<'_, V> {
    /// Whether the key is here without a record.
    fn is_solo(&self, key: &Key) -> bool {
        !self.part.copies.contains(key) && self.values.holds(key)
    }

    /// Whether this node has a record or a value of the key.
    pub(crate) fn is_held(&self, key: &Key) -> bool {
        self.part.copies.contains(key) || self.values.holds(key)
    }

    /// As [`Self::copy_now`]; a solo key gets a record.
    pub(crate) fn copy_or_record(&mut self, key: &Key) -> Option<&mut Copy> {
        if self.is_solo(key) {
            self.insert_record(key);
            self.list_spare(key);
        }
        self.copy_now(key)
    }

    /// Who owns the solo keys in the next view has to be found out.
    pub(crate) fn disown_solos(&mut self) {
        let past = self.part.past();
        self.part.unowned.add(past);
    }

    fn insert_record(&mut self, key: &Key) {
        let number = self.next_number();
        self.part.solo_seq += 1;
        let past = self.part.unowned.of(key.mark());
        let of = past.unwrap_or(self.part.past());
        let mut copy = Copy::new(of.meta(self.config.id, number, self.part.solo_seq), of.view);
        if past.is_none() {
            copy.role = Role::Owner(Box::default());
        }
        self.part.copies.insert(key.clone(), copy);
        self.count(Rule::Recorded);
    }

    /// Gives some unowned keys records.
    fn record_some(&mut self) {
        let room = LONELY_MAX.saturating_sub(self.part.lonely.len()).min(self.config.limits.walk_max);
        if let Some(next) = self.part.unowned.next().filter(|_| room > 0) {
            let keys = self.values.keys_from(next, &self.slots_of_part(), room);
            for key in &keys {
                if self.is_solo(key) && !self.is_waste(key) {
                    self.insert_record(key);
                    self.list_lonely(key);
                }
            }
            let last = keys.last().filter(|_| keys.len() >= room);
            self.part.unowned.advance(last.map_or(Mark::END, |last| last.mark().next()));
        }
        for _ in 0..LOOKS_MAX {
            let Some(key) = self.part.unowned.released() else { break };
            self.list_lonely(&key);
        }
    }

    /// Which slots are of this partition.
    pub(crate) fn slots_of_part(&self) -> impl Fn(Slot) -> bool + use<V> {
        let (id, parts) = (self.part.id, self.config.parts);
        move |slot| slot.part(parts) == id
    }

    /// Lists a key that may need no record, or no record any more.
    pub(crate) fn list_spare(&mut self, key: &Key) {
        if !self.values.holds(key) {
            self.list_absent(key);
        } else if self.is_alone_with(key) {
            self.list_lonely(key);
        }
    }

    fn list_lonely(&mut self, key: &Key) {
        if self.fence.keepers {
            // It is to have a second holder.
            return;
        }
        let due_ms = self.now.mono_ms + self.config.timers.forget_ms;
        self.part.lonely.list(key, due_ms);
    }

    /// Lists a key that may need no record any more in a new view.
    pub(crate) fn list_if_spare(&mut self, key: &Key) {
        let Some(copy) = self.part.copies.get(key) else { return };
        let (dropped, _) = self.installed.dropped_since(copy.generation);
        if copy.possible_holders() - dropped == NodeSet::only(self.config.id) || !self.values.holds(key) {
            self.list_absent(key);
            self.list_lonely(key);
        }
    }

    fn is_alone_with(&self, key: &Key) -> bool {
        let copy = self.part.copies.get(key);
        copy.is_some_and(|copy| copy.possible_holders() == NodeSet::only(self.config.id))
    }

    pub(crate) fn solo_tick(&mut self) {
        self.record_some();
        // Not before writes would do without records as well.
        if self.now.mono_ms < self.fence.solo_from_ms {
            return;
        }
        for _ in 0..LOOKS_MAX {
            let Some(key) = self.part.lonely.next_due(self.now.mono_ms) else { break };
            if self.values.holds(&key) && !self.is_waste(&key) {
                self.drop_record(&key);
            }
        }
    }

    /// Drops the record of a key that is nothing but its value, or does what leads there.
    fn drop_record(&mut self, key: &Key) {
        let (now, view, me) = (self.now.mono_ms, self.installed.view.id, self.config.id);
        let watch_ms = self.config.timers.watch_ms;
        let Some(copy) = self.copy_now(key).filter(|copy| copy.possible_holders() == NodeSet::only(me))
        else {
            return;
        };
        let watched = copy.watched_ms.is_some_and(|watched_ms| now < watched_ms + watch_ms);
        let unowned = copy.owner(view, me).is_none();
        let watched = watched && !self.config.without(Mutant::DropWatchedRecords);
        if unowned {
            self.touch(key);
        } else if !watched
            && self.part.unowned.lacks(key.mark())
            && self.needs_no_record(key)
            && self.may_drop(key)
        {
            if let Some(copy) = self.part.copies.remove(key) {
                if !self.config.without(Mutant::RepeatVersions) {
                    self.part.solo_seq = self.part.solo_seq.max(copy.meta.version.seq);
                }
                self.part.solo_written = self.part.solo_written.max(copy.meta.written);
            }
            self.count(Rule::Solo);
            return;
        }
        if self.part.unowned.lacks(key.mark()) {
            self.list_lonely(key);
        } else {
            self.part.unowned.keep(key);
        }
    }

    /// Runs an operation on a key that only this node holds, or that it creates under a lease. False: it has to take the
    /// long way.
    pub(crate) fn answer_solo(&mut self, request: &Request) -> bool {
        let [key] = &request.keys[..] else { return false };
        let is_read = request.class == Class::Read;
        let exists = self.values.holds(key);
        let plain = request.watches.is_empty() && !request.watch && self.is_serving() && !self.fence.left;
        let plain = plain && self.part.unowned.lacks(key.mark()) && self.fence.may.allows(request.class);
        let leased = request.class != Class::X || self.lease_holds();
        let free = exists || !is_read && self.may_create(key) && !self.has_fork(key);
        if !plain || !leased || !free || self.part.copies.contains(key) {
            return false;
        }
        let reply = if is_read {
            self.values.read(&request.command, &request.keys, self.now.wall_ms)
        } else if self.part.write_solo(self.fence, self.now) {
            let stamp = self.part.solo_written;
            let executed = self.values.execute(&request.command, &request.keys, stamp);
            // Nobody will ask for what led to the value.
            self.values.settle(key, History { since: stamp, entries: &[] }, &[]);
            match (exists, self.values.holds(key)) {
                (false, true) => {
                    self.tell_created(key);
                    self.comes_to_be_ours(key);
                }
                (true, false) => self.forget_solo(key),
                (false, false) => self.values.install(key, None),
                (true, true) => {}
            }
            executed.reply
        } else {
            return false;
        };
        self.count(Rule::AnsweredSolo);
        let answer = Answer { reply, watches: Vec::new() };
        self.out.actions.push(Action::Reply { ticket: request.ticket, result: Ok(answer) });
        true
    }

    /// A solo key has no value any more.
    pub(crate) fn forget_solo(&mut self, key: &Key) {
        if self.part.copies.contains(key) {
            self.list_absent(key);
        } else if self.may_drop_absent(key) {
            self.count(Rule::Forgot);
            self.values.install(key, None);
            if !self.config.without(Mutant::LeaveNamesOfSolos) {
                self.tell_gone(key);
            }
        } else {
            // Its home cannot be told yet.
            self.insert_record(key);
            self.list_absent(key);
        }
    }
}
