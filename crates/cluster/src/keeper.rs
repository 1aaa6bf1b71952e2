//! Keepers: where the base wants two copies, a key whose owner would be alone with it in its view is given a second holder,
//! before anything that is written to it is answered.
//!
//! The keeper is the home of the key, or the member that comes next in line where that is the owner. It subscribes by the
//! write itself: in place of an INV it gets the whole value, and the batch is answered when it has that. So the first write
//! of a new key costs one round trip, and no join. What is decided once, or turns out to be done already, has the keeper
//! subscribe first.
//!
//! Invariants:
//! - Nobody else of the view holds the key at that moment, so there is nobody who would have to learn of the keeper first.
//! - The home knows of the keeper before it has the value: it is the keeper, or it is the one that sends it.
//! - A value is taken once. Its batch is remembered until its sender says that it is over: by then the keeper may have
//!   left the key, with leave, and a duplicate must not make it a holder that nobody knows of.
//! - Who drops a copy that others hold gives up the creation lease of its slot: what it does not hold may be held now.
//!
//! Neighbours: `write` asks here before it runs a batch, `repair` for keys that have come to have one holder, `leave` keeps
//! the last two.

use std::collections::BTreeSet;

use crate::copy::{Busy, Copy, Invalid, Meta, Role};
use crate::ids::{FlightId, NodeId, NodeSet, OpId};
use crate::interface::Class;
use crate::key::{Key, Slot};
use crate::message::{Alignment, Message};
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;
use crate::write::After;

/// What a keeper knows of the values that one partition of another node has sent it in this view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    /// Batches below this number are over.
    over: u64,
    /// Those from there on that were taken.
    taken: BTreeSet<u64>,
}

impl Kept {
    fn raise(&mut self, over: u64) {
        if over > self.over {
            self.over = over;
            self.taken = self.taken.split_off(&over);
        }
    }

    fn is_new(&self, number: u64) -> bool {
        number >= self.over && !self.taken.contains(&number)
    }
}

impl<V: Values> Turn<'_, V> {
    /// Whether this node, the owner of the key, is the only one of the view that holds it, and should not be.
    pub(crate) fn is_only_holder(&self, key: &Key) -> bool {
        let (members, me) = (self.installed.view.members, self.config.id);
        let is_alone = |copy: &Copy| copy.meta.subscribers & members == NodeSet::only(me);
        self.fence.keepers
            && self.owns(key)
            && members.len() > 1
            && self.part.copies.get(key).is_some_and(is_alone)
    }

    /// Whether a keeper has to have the key before this operation is looked at: it is decided once, or may have been executed
    /// here already.
    pub(crate) fn waits_for_keeper(&self, key: &Key, op: OpId, class: Class) -> bool {
        let is_done = || self.part.copies.get(key).is_some_and(|copy| copy.done.reply(op).is_some());
        let answers_alone = self.config.without(Mutant::AnswerWhatOneHolds);
        self.is_only_holder(key)
            && (class == Class::X && !self.config.without(Mutant::WriteAlone) || is_done() && !answers_alone)
    }

    /// Makes somebody a subscriber who gets the value with the batch that comes next.
    pub(crate) fn take_in_keeper(&mut self, key: &Key) -> Option<NodeId> {
        let me = self.config.id;
        let keeper = key.slot().home(self.installed.view.members.without(me))?;
        let copy = self.part.copies.get_mut(key)?;
        copy.meta.subscribers.insert(keeper);
        copy.meta.doubt.remove(keeper);
        if self.home_of(key) == Some(me) && !self.config.without(Mutant::KeepUnnoticed) {
            self.part.directory.enter(key, keeper);
        }
        self.count(Rule::Enlisted);
        Some(keeper)
    }

    /// A keeper has the value. What its home has heard since it was entered was of an earlier copy.
    pub(crate) fn has_kept(&mut self, key: &Key, keeper: NodeId) {
        let once = [Mutant::KeepUnnoticed, Mutant::EnterKeepersOnce]
            .iter()
            .any(|mutant| self.config.without(*mutant));
        if self.home_of(key) == Some(self.config.id) && !once {
            self.part.directory.enter(key, keeper);
        }
        self.repaired(key);
        self.evacuated(key);
    }

    /// Has a keeper subscribe to a key that this node owns and is alone with, if nothing else is under way there.
    pub(crate) fn enlist(&mut self, key: &Key) -> bool {
        let is_free = self.owning(key).is_some_and(|owning| owning.busy.is_none());
        if !is_free || !self.is_only_holder(key) {
            return false;
        }
        let Some(keeper) = self.take_in_keeper(key) else { return false };
        self.order(key, Vec::new(), NodeSet::only(keeper), After::Keep(keeper));
        true
    }

    /// Whether what this node has of the key may be told to be done: somebody else holds it, or need not. If not, that is under
    /// way.
    pub(crate) fn is_kept(&mut self, key: &Key) -> bool {
        let is_kept = !self.is_only_holder(key) || self.config.without(Mutant::AnswerWhatOneHolds);
        if !is_kept {
            self.enlist(key);
        }
        is_kept
    }

    /// Whether a keeper is to get the key, and has not said that it has it.
    pub(crate) fn is_on_its_way(&self, key: &Key) -> bool {
        let busy = self.owning(key).and_then(|owning| owning.busy.as_ref());
        matches!(busy, Some(Busy::Flight(flight)) if self.part.enlisting.contains(&flight.number()))
    }

    /// What a keeper gets of a batch.
    pub(crate) fn keep_message(&self, flight: FlightId, key: &Key) -> Option<Message> {
        let copy = self.part.copies.get(key)?;
        let over = self.part.enlisting.first().copied().unwrap_or_default();
        let body = Alignment::Whole {
            value: self.values.snapshot(key),
            log: copy.log.clone(),
            done: copy.done.clone(),
        };
        let (meta, body) = (Box::new(copy.meta.clone()), Box::new(body));
        Some(Message::Keep { flight, over, key: key.clone(), meta, body })
    }

    pub(crate) fn on_keep(
        &mut self,
        from: NodeId,
        message: (FlightId, u64),
        key: Key,
        sent: (Meta, Alignment),
    ) {
        let ((flight, over), (meta, body)) = (message, sent);
        let again = self.config.without(Mutant::KeepAgain);
        let kept = self.part.kept.entry((from, flight.part())).or_default();
        kept.raise(over);
        let is_new = kept.is_new(flight.number()) || again;
        let is_held = self.values.holds(&key);
        let is_leaving = self.part.leases.is_leaving(&key) && !self.config.without(Mutant::KeepBeforeNews);
        if is_new && !self.part.copies.contains(&key) && is_leaving {
            // Its home would take the news of an earlier copy for that of this one: the value comes again.
            if let Some(home) = self.home_of(&key) {
                self.send_news(home);
            }
            return;
        }
        match self.copy_now(&key) {
            Some(copy) => {
                let follows = matches!(copy.role, Role::Follower { .. });
                if !follows || copy.meta.birth != meta.birth || !copy.meta.covers_dot(meta.version) {
                    return;
                }
            }
            None if !is_new || is_held => return,
            None => self.keep(from, flight, &key, meta, body),
        }
        self.send_to(from, flight.part(), Message::Ack { flight });
    }

    fn keep(&mut self, from: NodeId, flight: FlightId, key: &Key, meta: Meta, body: Alignment) {
        let (view, generation) = (self.installed.view.id, self.installed.view.base.tag.generation);
        self.part.kept.entry((from, flight.part())).or_default().taken.insert(flight.number());
        let mut copy = Copy::new(meta.clone(), view);
        copy.generation = generation;
        copy.role = Role::Follower { owner: from, tenure: 0 };
        copy.invalid = Some(Invalid::Flight(flight));
        self.part.copies.insert(key.clone(), copy);
        self.take_alignment(key, meta, body);
        self.part.touches.remove(key);
        self.part.unconfirmed.insert(key.clone(), (from, self.now.mono_ms));
        self.part.due.unconfirmed.open(key.clone());
        if self.home_of(key) == Some(self.config.id) {
            let directory = &mut self.part.directory;
            directory.enter(key, from);
            directory.enter(key, self.config.id);
            directory.expect_owner(key, from);
        }
        self.key_changed(key);
    }

    /// A copy goes that others keep: this node does not know any more that what it lacks is nowhere.
    pub(crate) fn give_up_lease(&mut self, slot: Slot) {
        if !self.config.without(Mutant::KeepLeaseOfWhatIsLeft) {
            self.part.leases.give_up(slot);
        }
    }

    /// Whether the key would have fewer than two holders if one of those in the view dropped its copy.
    pub(crate) fn has_two_at_most(&self, key: &Key) -> bool {
        let members = self.installed.view.members;
        let few = |copy: &Copy| (copy.meta.subscribers & members).len() <= 2;
        self.fence.keepers
            && self.values.holds(key)
            && self.part.copies.get(key).is_some_and(few)
            && !self.config.without(Mutant::EvictBelowTwo)
    }
}
