//! Leaving without a loss: before a node goes, another member subscribes to each key that only this one holds.
//!
//! The node *invites* the member that would be home of the key without it, and goes on serving meanwhile. The invited
//! one touches the key as for a read, so its home and its owner do the rest (`directory`, `regroup`). Invitations may be
//! lost, doubled or late: a key that is still held by nobody else is asked for again, and one that is gone is no loss.
//!
//! What it shares with others is brought together with them first, if it was not yet in this view: its copy may contain
//! what it has written without them.
//!
//! All keys are looked at once in a view, some with every tick; what comes to be held here only after that is noted.
//!
//! Invariant: nothing counts as handed over before its new holder has the value.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::copy::{Busy, Invalid};
use crate::ids::NodeSet;
use crate::key::{Key, Mark};
use crate::message::Message;
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;
use crate::write::After;

/// Keys of a partition that are on their way at the same time.
const INVITED_MAX: usize = 1_024;

/// What a partition has to hand over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Evacuation {
    /// Where the walk through all keys goes on, if it is not over.
    next: Option<Mark>,
    /// Keys to be looked at.
    queue: VecDeque<Key>,
    /// Keys for which somebody was invited, and when.
    invited: BTreeMap<Key, u64>,
    /// Keys that may have come to be held here only. Some may have no value yet.
    fresh: BTreeSet<Key>,
}

impl Evacuation {
    fn new() -> Self {
        Self {
            next: Some(Mark::FIRST),
            queue: VecDeque::new(),
            invited: BTreeMap::new(),
            fresh: BTreeSet::new(),
        }
    }
}

impl<V: Values> Turn<'_, V> {
    /// The node wants to leave: looks at all keys, if that is not under way.
    pub(crate) fn evacuate(&mut self) {
        self.part.evacuation.get_or_insert_with(Evacuation::new);
        self.evacuation_tick();
    }

    /// In a new view others may be gone that held what this node holds.
    pub(crate) fn restart_evacuation(&mut self) {
        if self.part.evacuation.is_some() {
            self.part.evacuation = Some(Evacuation::new());
        }
    }

    /// The key may be held here only from now on.
    pub(crate) fn comes_to_be_ours(&mut self, key: &Key) {
        let overlook = self.config.without(Mutant::LeaveWithTheFresh);
        if let Some(evacuation) = self.part.evacuation.as_mut().filter(|_| !overlook) {
            evacuation.fresh.insert(key.clone());
        }
    }

    /// Whether nothing is held here only.
    pub(crate) fn is_evacuated(&self) -> bool {
        self.part.evacuation.as_ref().is_some_and(|evacuation| {
            let Evacuation { next, queue, invited, fresh } = evacuation;
            let is_over = next.is_none() && queue.is_empty() && invited.is_empty();
            is_over && (self.is_alone() || !fresh.iter().any(|key| self.values.holds(key)))
        })
    }

    pub(crate) fn evacuation_tick(&mut self) {
        let Some(mut evacuation) = self.part.evacuation.take() else { return };
        let (now, retry) = (self.now.mono_ms, self.config.timers.retry_ms);
        if self.is_serving() {
            for (key, sent_ms) in std::mem::take(&mut evacuation.invited) {
                if now < sent_ms + retry {
                    evacuation.invited.insert(key, sent_ms);
                } else {
                    evacuation.queue.push_front(key);
                }
            }
            if let Some(next) = evacuation.next.filter(|_| evacuation.queue.is_empty()) {
                let (keys, next) = self.keys_of_step(next, self.config.limits.walk_max.max(1), &|_| true);
                keys.iter().for_each(|_| self.count(Rule::Walked));
                evacuation.queue.extend(keys);
                evacuation.next = next;
            }
            for key in std::mem::take(&mut evacuation.fresh) {
                if self.values.holds(&key) {
                    evacuation.queue.push_back(key);
                } else if self.part.copies.contains(&key) {
                    evacuation.fresh.insert(key);
                }
            }
            self.invite(&mut evacuation);
        }
        self.part.evacuation = Some(evacuation);
    }

    /// Somebody has the value of a key.
    pub(crate) fn evacuated(&mut self, key: &Key) {
        let Some(mut evacuation) = self.part.evacuation.take() else { return };
        evacuation.invited.remove(key);
        self.invite(&mut evacuation);
        self.part.evacuation = Some(evacuation);
    }

    fn invite(&mut self, evacuation: &mut Evacuation) {
        let others = self.installed.view.members.without(self.config.id);
        while evacuation.invited.len() < INVITED_MAX
            && let Some(key) = evacuation.queue.pop_front()
        {
            if self.is_alone() {
                // Nobody is left to whom it could matter.
                continue;
            } else if self.is_unmerged(&key) {
                self.touch(&key);
            } else if !self.is_only_here(&key) {
                continue;
            } else if let Some(heir) = key.slot().home(others) {
                self.send(heir, Message::Invite { key: key.clone() });
            }
            // Without anybody else it waits for somebody to come back.
            evacuation.invited.insert(key, self.now.mono_ms);
        }
    }

    /// Whether this node's copy may contain what others lack, because it was not brought together with theirs in this view.
    fn is_unmerged(&mut self, key: &Key) -> bool {
        let (view, me) = (self.installed.view.id, self.config.id);
        let anyway = self.config.without(Mutant::LeaveUnmerged);
        let Some(copy) = self.copy_or_record(key).filter(|_| !anyway) else { return false };
        let is_settled = copy.log.entries.is_empty() && !copy.log.overflow && copy.prepared.is_none();
        let busy = copy.owning(view).and_then(|owning| owning.busy.as_ref());
        let is_together = copy.owner(view, me).is_some()
            && !matches!(copy.invalid, Some(Invalid::Align(_)))
            && !matches!(busy, Some(Busy::Regroup(_)));
        let in_doubt = copy.prepared.is_some_and(|prepared| prepared.flight.view != view);
        !is_settled && !is_together || in_doubt
    }

    /// Whether the key goes if this node does.
    fn is_only_here(&self, key: &Key) -> bool {
        let (view, me) = (&self.installed.view, self.config.id);
        if self.config.without(Mutant::LeaveWithTheOnlyCopy) {
            return false;
        }
        let Some(copy) = self.part.copies.get(key) else { return false };
        let holders = (copy.meta.subscribers & view.members).without(me);
        // Whoever subscribes at this moment has no value yet.
        let joins = match copy.owning(view.id).and_then(|owning| owning.busy.as_ref()) {
            Some(Busy::Align(aligning)) => aligning.is_join(),
            Some(Busy::Flight(flight)) => {
                let flight = self.part.flights.get(flight);
                flight.is_some_and(|flight| matches!(flight.after, After::Join(..) | After::Keep(_)))
            }
            _ => false,
        };
        let only_here = holders.is_empty() || joins && holders.len() == 1;
        only_here && self.values.holds(key)
    }

    /// Whether the base is this node.
    fn is_alone(&self) -> bool {
        self.installed.view.base.nodes() == NodeSet::only(self.config.id)
    }

    /// A node that is about to leave wants this one to hold the key.
    pub(crate) fn on_invite(&mut self, key: &Key) {
        if self.owner_of(key).is_none() {
            self.touch_to_read(key);
        }
    }
}
