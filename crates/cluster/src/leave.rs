//! Dropping copies: ordered leaves, eviction of a last copy, expiry.
//!
//! Invariants: a copy is dropped only after the owner has said so, and the owner says so to one node at a time and
//! never to itself, so the last copy cannot go by accident; the last copy is deleted by an ordered write; a copy
//! whose subscribers are not all reachable stays, because it may hold what they lack. A leave has a name, which the
//! leaving node gives it: what is said of a former leave of the same node moves nobody, and a leave that its node has
//! called off is never carried out. Duplicates of one leave are told apart by the version at which it was allowed. A scan
//! under way is told of what was dropped during it, because it may have passed whoever holds the key now.

use std::collections::VecDeque;

use crate::copy::{Busy, Queued};
use crate::ids::{NodeId, NodeSet, Version};
use crate::interface::{Action, Evicted};
use crate::key::Key;
use crate::message::Message;
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;
use crate::write::{Admission, After};

/// A scan takes `op_ms` of its node's clock at most, and clocks run at rates up to this factor apart.
const DRIFT: u64 = 3;

/// A copy that the store wants back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Eviction {
    /// When the last step was taken.
    pub(crate) sent_ms: u64,
    /// The name of the leave that was requested.
    leave: u64,
    /// It was not the store that wanted it: the copy is to go only if the key still has no value.
    absent: bool,
}

impl<V: Values> Turn<'_, V> {
    pub(crate) fn on_evict(&mut self, key: Key) {
        if self.is_waste(&key) {
            let outcome = if self.drop_waste(&key) { Evicted::NotHeld } else { Evicted::Refused };
            self.evicted(&key, outcome);
        } else if self.copy_or_record(&key).is_none() {
            self.evicted(&key, Evicted::NotHeld);
        } else if self.config.without(Mutant::DropWithoutLeave) {
            self.drop_copy(&key);
            self.evicted(&key, Evicted::Dropped);
        } else {
            match self.part.evicting.get_mut(&key) {
                Some(eviction) => eviction.absent = false,
                None => self.name_leave(&key, false),
            }
            self.evict_step(&key, true);
        }
    }

    /// Gives up the copy of a key without a value, which others hold as well.
    pub(crate) fn leave_absent(&mut self, key: &Key) {
        if !self.part.evicting.contains_key(key) && self.may_drop_absent(key) {
            self.name_leave(key, true);
            self.evict_step(key, true);
        }
    }

    /// Gives the leave that is to be asked for a name of its own.
    fn name_leave(&mut self, key: &Key, absent: bool) {
        let leave = self.next_number();
        self.part.due.evictions.open(key.clone());
        self.part.evicting.insert(key.clone(), Eviction { sent_ms: self.now.mono_ms, leave, absent });
    }

    fn evicted(&mut self, key: &Key, outcome: Evicted) {
        let eviction = self.part.evicting.remove(key);
        match outcome {
            Evicted::Dropped => self.count(Rule::LeftKey),
            Evicted::Deleted => self.count(Rule::DeletedLast),
            Evicted::Refused => self.count(Rule::RefusedEviction),
            Evicted::NotHeld => {}
        }
        if eviction.is_some_and(|eviction| eviction.absent) {
            return;
        }
        self.out.actions.push(Action::Evict { key: key.clone(), outcome });
    }

    pub(crate) fn drop_copy(&mut self, key: &Key) {
        if self.values.holds(key) && !self.config.without(Mutant::ForgetWhatLeft) {
            self.part.left.push_back((self.now.mono_ms + DRIFT * self.config.timers.op_ms, key.clone()));
        }
        self.part.copies.remove(key);
        self.tell_gone(key);
        self.values.install(key, None);
        self.part.unconfirmed.remove(key);
        self.part.busy_keys.remove(key);
        self.key_changed(key);
    }

    /// Takes an eviction as far as it can go. An owner hands its token over only some time after the `first` step:
    /// subscribers that want to leave as well can do so meanwhile, instead of passing the token around.
    fn evict_step(&mut self, key: &Key, first: bool) {
        let Some(eviction) = self.part.evicting.get_mut(key) else { return };
        eviction.sent_ms = self.now.mono_ms;
        let (leave, absent) = (eviction.leave, eviction.absent);
        if !self.is_serving() {
            return;
        }
        if absent && (self.values.holds(key) || self.owns(key)) {
            self.part.evicting.remove(key);
            self.list_absent(key);
            return;
        }
        let (view, members, me) = (self.installed.view.id, self.installed.view.members, self.config.id);
        let Some(copy) = self.copy_now(key) else {
            self.evicted(key, Evicted::NotHeld);
            return;
        };
        let Some(owner) = copy.owner(view, me) else {
            self.touch(key);
            return;
        };
        let others = copy.possible_holders().without(me);
        // In turn, so that the token comes to whoever wants to keep the key.
        let wanted = others.after(me).map_or(Queued::Delete, Queued::Grant);
        let can_queue = copy.owning(view).is_some_and(|owning| {
            let leaves = owning.queue.iter().any(|queued| matches!(queued, Queued::Leave(..)));
            !leaves && !owning.queue.contains(&wanted) && !owning.hands_over()
        });
        if !others.is_subset(members) || self.has_two_at_most(key) {
            self.evicted(key, Evicted::Refused);
            return;
        }
        if owner != me {
            self.send(owner, Message::LeaveKey { key: key.clone(), leave });
        } else if can_queue && (others.is_empty() || !first) {
            self.enqueue(key, wanted);
        }
    }

    /// Scans of the time when these copies were dropped are over.
    pub(crate) fn forget_left(&mut self) {
        let now = self.now.mono_ms;
        while self.part.left.front().is_some_and(|(until_ms, _)| *until_ms <= now) {
            self.part.left.pop_front();
        }
        if self.part.left.is_empty() {
            // A rush of evictions is to leave nothing.
            self.part.left = VecDeque::new();
        }
    }

    pub(crate) fn leave_tick(&mut self) {
        for key in self.part.due_evictions(self.when()) {
            self.evict_step(&key, false);
        }
    }

    pub(crate) fn on_leave_key(&mut self, from: NodeId, key: Key, leave: u64) {
        if !self.owns_or_tells(from, &key) {
            return;
        }
        let Some(owning) = self.owning_mut(&key) else { return };
        let queued = owning.queue.iter_mut().find_map(|queued| match queued {
            Queued::Leave(node, leave) if *node == from => Some(leave),
            _ => None,
        });
        let under_way = matches!(owning.busy, Some(Busy::Leaving { node, .. }) if node == from);
        match queued {
            Some(queued) => *queued = leave,
            None if under_way => {}
            None => {
                self.enqueue(&key, Queued::Leave(from, leave));
            }
        }
    }

    /// Tells a subscriber to drop its copy and waits until it has.
    pub(crate) fn let_leave(&mut self, key: &Key, node: NodeId, leave: u64) {
        let subscribed = self.part.copies.get(key).is_some_and(|copy| copy.meta.subscribers.contains(node));
        if subscribed && node != self.config.id && !self.has_two_at_most(key) {
            self.set_busy(key, Busy::Leaving { node, leave, sent_ms: self.now.mono_ms });
            self.send_may_drop(key, node, leave);
        }
    }

    pub(crate) fn send_may_drop(&mut self, key: &Key, node: NodeId, leave: u64) {
        if let Some(copy) = self.part.copies.get(key) {
            let version = copy.meta.version;
            self.send(node, Message::MayDrop { key: key.clone(), leave, version });
        }
    }

    pub(crate) fn on_may_drop(&mut self, from: NodeId, key: Key, leave: u64, version: Version) {
        let view = self.installed.view.id;
        let eviction = self.part.evicting.get(&key).copied().filter(|eviction| eviction.leave == leave);
        let wanted = eviction.is_some_and(|eviction| !eviction.absent || !self.values.holds(&key));
        let unused = self.may_drop(&key);
        let gone = match self.copy_now(&key) {
            None => true,
            Some(copy) => {
                let idle =
                    copy.meta.version == version && copy.prepared.is_none() && copy.owning(view).is_none();
                idle && wanted && unused
            }
        };
        if gone && self.part.copies.contains(&key) {
            self.give_up_lease(key.slot());
            self.drop_copy(&key);
            self.evicted(&key, Evicted::Dropped);
        } else if let Some(eviction) = eviction.filter(|_| !gone) {
            // The owner goes on without this leave: a permission that comes late must not be used.
            self.name_leave(&key, eviction.absent);
        }
        self.send(from, Message::Dropped { key, leave, version, gone });
    }

    pub(crate) fn on_dropped(&mut self, from: NodeId, key: Key, named: u64, version: Version, gone: bool) {
        let view = self.installed.view.id;
        let any = self.config.without(Mutant::EndAnyLeave);
        let Some(copy) = self.part.copies.get_mut(&key) else { return };
        let leaving = copy.owning(view).is_some_and(|owning| {
            matches!(owning.busy, Some(Busy::Leaving { node, leave, .. }) if node == from && (leave == named || any))
        });
        // The node may have left, joined again, and be leaving on a stray duplicate of its wish.
        if !leaving || copy.meta.version != version && !any {
            return;
        }
        if gone {
            copy.meta.subscribers.remove(from);
            let subscribers = copy.meta.subscribers;
            self.comes_to_be_ours(&key);
            self.list_lone(&key);
            self.release(&key);
            self.order(&key, Vec::new(), subscribers, After::Nothing);
        } else {
            self.release(&key);
        }
    }

    /// Deletes the key when this node is still its only holder.
    pub(crate) fn delete_last(&mut self, key: &Key) {
        let Some(copy) = self.part.copies.get(key) else { return };
        let last = copy.possible_holders() == NodeSet::only(self.config.id) && copy.prepared.is_none();
        if !last || !self.part.evicting.contains_key(key) {
            return;
        }
        if let Some(effect) = self.values.delete(key) {
            let stamp = self.next_stamp();
            self.values.apply(key, &effect, stamp);
        }
        self.drop_copy(key);
        self.tell_owned(key, true);
        self.evicted(key, Evicted::Deleted);
    }

    /// The store found the key past its deadline. Only the owner deletes; replicas follow.
    pub(crate) fn on_expire(&mut self, key: Key) {
        let (view, me) = (self.installed.view.id, self.config.id);
        if self.is_waste(&key) {
            return;
        }
        let Some(copy) = self.copy_or_record(&key) else { return };
        match copy.owning(view) {
            Some(owning) if owning.queue.contains(&Queued::Expire) => {}
            Some(_) => {
                self.enqueue(&key, Queued::Expire);
            }
            None if copy.owner(view, me).is_none() => self.touch(&key),
            None => {}
        }
    }

    pub(crate) fn delete_expired(&mut self, key: &Key) {
        let may_differ = self.values.is_decided_once(key) && !self.config.without(Mutant::ExpireOnEachSide);
        if may_differ && self.admits_x(key) != Admission::Granted {
            // On another side its time to live may be made longer. Whoever reads it here finds it expired all the same.
            return;
        }
        let Some(effect) = self.values.expire(key, self.now.wall_ms) else { return };
        let stamp = self.next_stamp();
        self.values.apply(key, &effect, stamp);
        self.count(Rule::ExpiredKey);
        let subscribers = self.part.copies.get(key).map_or(NodeSet::EMPTY, |copy| copy.meta.subscribers);
        self.order(key, vec![effect], subscribers, After::Nothing);
    }
}
