//! Who has which number: what members of a cluster say to nodes that have none, and to other clusters.
//!
//! A number belongs to the node that the base says. Before a base does, the lowest member of a view gives it, and of several
//! that come with one number the one with the lowest uid has it; the others begin again without one.
//!
//! Invariants:
//! - Messages of a number are taken of one node only: the caller asks ([`Members::admit`]) before it hands them in. A node is
//!   in no base that has its number for somebody else.
//! - A number is not given again while another is left, and never with a life that it has had: names of operations, views and
//!   writes stay unique.
//!
//! Neighbours: `forming`, the other side; `members`, which takes whoever has a number into a base.

use crate::forming::{Greeting, Says, free_number};
use crate::ids::{Contact, Incarnation, NodeId, NodeSet, Uid};
use crate::interface::Action;
use crate::members::Members;
use crate::message::Base;
use crate::mutant::Mutant;
use crate::tally::Rule;

/// A number that no base names yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) contact: Contact,
    /// The life in which it begins, if the number was given here.
    incarnation: Incarnation,
    since_ms: u64,
}

impl Members {
    /// Bases whose members have their numbers: the one that this node works on, and one that may come after it.
    fn named_in(&self) -> impl Iterator<Item = &Base> {
        std::iter::once(self.known_base()).chain(self.vote.as_ref().map(|vote| &vote.base))
    }

    /// An address became known.
    pub(crate) fn meet(&mut self, node: NodeId) {
        self.known.insert(node);
    }

    /// Who has a number, as far as this node knows.
    pub(crate) fn contact_of(&self, id: NodeId) -> Option<&Contact> {
        let named = self.named_in().filter_map(|base| base.contacts.get(&id)).last();
        named.or(self.claims.get(&id).map(|claim| &claim.contact))
    }

    /// Whether a claim still counts: who is silent for long has lost it.
    fn is_alive(&self, id: NodeId, claim: &Claim) -> bool {
        let heard_ms = self.peers.get(&id).map_or(0, |peer| peer.heard_ms);
        self.now.mono_ms <= heard_ms.max(claim.since_ms) + self.config.timers.expiry_ms
    }

    /// Whether this number is that node's: of several that come with one that no base names, the lowest has it.
    fn is_number_of(&mut self, id: NodeId, contact: &Contact) -> bool {
        if id == self.config.id || !self.named_in().all(|base| base.agrees_with(id, contact.uid)) {
            return false;
        }
        if self.named_in().any(|base| base.contacts.contains_key(&id)) {
            return true;
        }
        let since_ms = self.now.mono_ms;
        let incarnation = match self.claims.get(&id) {
            Some(claim) if claim.contact.uid == contact.uid => claim.incarnation,
            Some(claim) if self.is_alive(id, claim) && claim.contact.uid < contact.uid => return false,
            known => {
                if known.is_some() {
                    // What was heard of it was heard of another one.
                    self.peers.remove(&id);
                }
                Incarnation::default()
            }
        };
        self.claims.insert(id, Claim { contact: contact.clone(), incarnation, since_ms });
        true
    }

    /// A node shows up that says that this is its number. If it is not, it is to be told so.
    pub(crate) fn admit(&mut self, id: NodeId, contact: &Contact) -> Result<(), Box<Greeting>> {
        if self.config.without(Mutant::AdmitAnybody) || self.is_number_of(id, contact) {
            return Ok(());
        }
        self.tally.add(Rule::NumberClash);
        Err(Box::new(self.say(Says::Taken(id))))
    }

    /// A base is accepted: numbers belong to whom it says.
    pub(crate) fn heed_numbers(&mut self, base: &Base) {
        for (id, contact) in &base.contacts {
            let claim = self.claims.remove(id);
            if claim.is_some_and(|claim| claim.contact.uid != contact.uid) {
                // What was heard of it was heard of another one.
                self.peers.remove(id);
            }
        }
    }

    /// What this node says to an address that it does not know.
    pub(crate) fn greeting(&self) -> Greeting {
        self.say(Says::InCluster(Box::new(self.known_base().clone())))
    }

    fn say(&self, says: Says) -> Greeting {
        Greeting { contact: self.contact.clone(), life: self.incarnation.life(), says }
    }

    fn greet(&mut self, to: &Contact, greeting: Greeting) {
        self.out.push(Action::Greet { to: to.address.clone(), greeting: Box::new(greeting) });
    }

    /// A peer hears these: asks it for the addresses of those that are unknown here.
    pub(crate) fn ask_who(&mut self, from: NodeId, heard: NodeSet) {
        let unknown = |id: &NodeId| *id != self.config.id && self.contact_of(*id).is_none();
        let unknown: NodeSet = heard.iter().filter(unknown).collect();
        let contact = self.contact_of(from).cloned();
        if let Some(contact) = contact.filter(|_| !unknown.is_empty()) {
            let greeting = self.say(Says::Who(unknown));
            self.greet(&contact, greeting);
        }
    }

    /// A node without a number, or of another cluster, was heard.
    pub(crate) fn on_greeting(&mut self, greeting: Greeting) {
        let Greeting { contact, life, says } = greeting;
        if self.left || contact.uid == self.contact.uid {
            return;
        }
        let is_member = self.stands_on().tag.generation.0 > 0;
        match says {
            Says::Who(ids) => {
                let contact_of = |id| Some((id, self.contact_of(id)?.clone()));
                let contacts = ids.iter().filter_map(contact_of).collect();
                let greeting = self.say(Says::These(contacts));
                self.greet(&contact, greeting);
            }
            Says::These(contacts) => contacts.iter().for_each(|(id, other)| {
                self.is_number_of(*id, other);
            }),
            // Who is in no base has lost nothing yet.
            Says::Taken(id) if id == self.config.id && !is_member => self.out.push(Action::Nameless),
            _ if !is_member => {}
            Says::InCluster(base) => self.meet_cluster(&contact, &base),
            Says::Number { .. } | Says::Taken(_) => {}
            Says::Nameless => {
                let greeting = match self.number_for(&contact, life) {
                    Some((id, incarnation)) => {
                        let base = Box::new(self.known_base().clone());
                        self.say(Says::Number { id, incarnation, base })
                    }
                    None => self.greeting(),
                };
                self.greet(&contact, greeting);
            }
            // There is a cluster already.
            _ => {
                let greeting = self.greeting();
                self.greet(&contact, greeting);
            }
        }
    }

    /// The number of a node that asks for one, and the life in which it begins: the one that it had, or a new one.
    fn number_for(&mut self, contact: &Contact, life: u32) -> Option<(NodeId, Incarnation)> {
        let starts = Incarnation::of_life(life);
        let after = |last: Incarnation| starts.max(Incarnation::of_life(last.life().saturating_add(1)));
        let base = self.known_base();
        if let Some(id) = base.number_of(contact.uid) {
            let last = base.members.get(&id).copied().unwrap_or_default();
            // A founder may not have heard yet that the base was made.
            return Some((id, if last == starts { last } else { after(last) }));
        }
        let former = base.former.iter().find(|(_, former)| former.uid == contact.uid);
        if let Some((id, former)) = former {
            return Some((*id, after(former.life)));
        }
        let given = self.claims.iter().find(|(_, claim)| claim.contact.uid == contact.uid);
        if let Some((id, claim)) = given.filter(|(_, claim)| claim.incarnation != Incarnation::default()) {
            return Some((*id, claim.incarnation.max(starts)));
        }
        let gives = self.fence.serving && self.installed.view.members.first() == Some(self.config.id);
        let id = self.free_number(contact.uid).filter(|_| gives)?;
        let incarnation = self.known_base().former.get(&id).map_or(starts, |former| after(former.life));
        let claim = Claim { contact: contact.clone(), incarnation, since_ms: self.now.mono_ms };
        self.claims.insert(id, claim);
        self.peers.remove(&id);
        self.tally.add(Rule::GaveNumber);
        Some((id, incarnation))
    }

    /// One that nobody has had, or the one of a former member that cannot come back with a fork.
    fn free_number(&self, uid: Uid) -> Option<NodeId> {
        let is_claimed = |id: NodeId| self.claims.get(&id).is_some_and(|claim| self.is_alive(id, claim));
        let is_member = |id: NodeId| {
            id == self.config.id
                || is_claimed(id)
                || self.named_in().any(|base| base.members.contains_key(&id))
        };
        let reuses = self.config.without(Mutant::GiveNumbersAgain);
        let was_member = |id: NodeId| self.known_base().former.contains_key(&id) && !reuses;
        let is_awaited = |id: NodeId| {
            let retired = self.installed.retired.get(&id);
            retired.is_some_and(|retired| self.now.mono_ms < retired.at_ms + self.config.timers.retain_ms)
        };
        free_number(uid, |id| is_member(id) || was_member(id))
            .or_else(|| free_number(uid, |id| is_member(id) || is_awaited(id)))
    }

    /// A member of another cluster was heard. Those of its members whose numbers nobody has here are met: the clusters become
    /// one, and what those have who are not of the higher base comes as forks.
    fn meet_cluster(&mut self, contact: &Contact, base: &Base) {
        if base.tag.cluster == self.known_base().tag.cluster {
            return;
        }
        let mut is_new = false;
        for (id, other) in &base.contacts {
            let is_known = self.contact_of(*id).is_some_and(|known| known.uid == other.uid);
            if self.is_number_of(*id, other) {
                is_new |= !is_known;
                self.known.insert(*id);
            } else {
                self.tally.add(Rule::NumberClash);
            }
        }
        if is_new {
            self.tally.add(Rule::MetCluster);
            let greeting = self.greeting();
            self.greet(contact, greeting);
        }
    }
}
