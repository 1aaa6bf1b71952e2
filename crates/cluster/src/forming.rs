//! Nodes without a number: how the first of them form a cluster, and others are taken into one.
//!
//! Who starts for the first time knows nothing but addresses, those that discovery names. It greets them all until a
//! member of a cluster gives it a number. If none of them is in a cluster, more than half of those that are named, itself
//! included, make the first base: the one with the lowest uid proposes it, as one round of Paxos among all that are named.
//!
//! Invariants:
//! - What a node has promised and accepted is written down before it is said ([`Forming::Persist`] comes before what follows).
//! - Two sets that can make a first base meet in a node, if discovery names the same nodes to all; so at most one is made.
//!   Where it did not, there are two clusters, which become one when they meet (`naming`).
//! - A node is a member of a first base in the life that it has in it, or, if it has started again since, a node that is taken
//!   in like any other.
//!
//! Neighbours: `naming`, the side of those that have a number; `members`, all that comes after the first base.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Timers;
use crate::ids::{Blob, Contact, Generation, Incarnation, NODES_MAX, NodeId, NodeSet, Time, Uid, ViewId};
use crate::key::mix;
use crate::message::{Base, BaseTag};
use crate::mutant::Mutant;
use crate::wire::Stored;

/// Nodes that hear the same others for so long are ready to form a cluster.
const QUIET_MS: u64 = 1_000;

/// Whoever is named nobody for so long is on its own.
const NAMES_MS: u64 = 5_000;

/// What nodes say to each other as long as one of them has no number. It goes to an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Greeting {
    /// The sender.
    pub contact: Contact,
    /// Which start of it; larger than at every earlier one.
    pub life: u32,
    /// What it says.
    pub says: Says,
}

/// See [`Greeting`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Says {
    /// I have no number.
    Nameless,
    /// I am a member of a cluster: these are others.
    InCluster(Box<Base>),
    /// This is your number, and you begin in this life.
    Number {
        /// The number.
        id: NodeId,
        /// The life.
        incarnation: Incarnation,
        /// The base of the cluster, which the receiver may be a member of already.
        base: Box<Base>,
    },
    /// Promise to accept nothing of an earlier ballot.
    Prepare(Ballot),
    /// Promised.
    Promised {
        /// The ballot.
        ballot: Ballot,
        /// What was accepted last.
        accepted: Option<Draft>,
    },
    /// Accept this as the first base.
    Accept(Draft),
    /// Accepted what this ballot proposes.
    Accepted(Ballot),
    /// This one was promised before.
    Outbid(Ballot),
    /// Somebody else has the number that you come with.
    Taken(NodeId),
    /// You hear these: who are they?
    Who(NodeSet),
    /// Those among them that I know.
    These(BTreeMap<NodeId, Contact>),
}

/// Names an attempt at a first base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Above all that the proposer knew.
    pub counter: u64,
    /// The proposer.
    pub by: Uid,
}

/// A first base that may be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Draft {
    /// The attempt.
    pub ballot: Ballot,
    /// The base.
    pub base: Base,
}

/// What outlasts a life of a node without a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pledge {
    /// The highest ballot that it has promised.
    pub promised: Ballot,
    /// What it has accepted last.
    pub accepted: Option<Draft>,
}

impl Stored for Pledge {}

/// What a node without a number wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Forming {
    /// Send this; it may be lost, doubled or overtaken.
    Greet {
        /// The address.
        to: Blob,
        /// What to say.
        greeting: Box<Greeting>,
    },
    /// Write this down, and do what follows only when it is safe: the next life is to start with it.
    Persist(Box<Pledge>),
    /// It has a number: it becomes a [`Node`](crate::Node), and this is over.
    Start(Box<Start>),
}

/// How a node starts that has just got its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// Its number.
    pub id: NodeId,
    /// The life in which it begins.
    pub incarnation: Incarnation,
    /// The base of the cluster.
    pub base: Base,
}

impl Start {
    /// Whether the node is one of those who make the base ([`Node::found`](crate::Node::found)). Else it waits until it is
    /// taken in ([`Node::named`](crate::Node::named)).
    pub fn founds(&self) -> bool {
        self.base.tag.generation == Generation(1) && self.base.has(self.id, self.incarnation)
    }
}

/// A node without a number.
#[derive(Clone, Debug)]
pub struct Newcomer {
    contact: Contact,
    life: u32,
    timers: Timers,
    /// It forms a cluster with whoever is there.
    form_alone: bool,
    mutant: Option<Mutant>,
    pledge: Pledge,
    /// Addresses that discovery names, without its own.
    named: BTreeSet<Blob>,
    /// Further ones, of members of clusters.
    members: BTreeSet<Blob>,
    heard: BTreeMap<Uid, Heard>,
    /// Who was there, and since when they are.
    here: (BTreeSet<Uid>, u64),
    highest: Ballot,
    attempt: Option<Attempt>,
    since_ms: Option<u64>,
    greeted_ms: Option<u64>,
    is_over: bool,
}

#[derive(Clone, Debug)]
struct Heard {
    contact: Contact,
    life: u32,
    in_cluster: bool,
    at_ms: u64,
}

#[derive(Clone, Debug)]
struct Attempt {
    ballot: Ballot,
    started_ms: u64,
    promises: BTreeMap<Uid, Option<Draft>>,
    draft: Option<Draft>,
    accepts: BTreeSet<Uid>,
}

impl Newcomer {
    /// A node that starts in its `life`-th life, with what the one before has left.
    pub fn new(contact: Contact, life: u32, timers: Timers, pledge: Pledge) -> Self {
        Self {
            contact,
            life,
            timers,
            form_alone: false,
            mutant: None,
            highest: pledge.promised,
            pledge,
            named: BTreeSet::new(),
            members: BTreeSet::new(),
            heard: BTreeMap::new(),
            here: Default::default(),
            attempt: None,
            since_ms: None,
            greeted_ms: None,
            is_over: false,
        }
    }

    /// The same, but it forms a cluster with whoever is there, even if most of those that are named are not: the operator
    /// knows that they are in none.
    #[must_use]
    pub fn that_forms_alone(self) -> Self {
        Self { form_alone: true, ..self }
    }

    /// The same without a rule; without the feature `mutants` it has no effect.
    #[must_use]
    pub fn with_mutant(self, mutant: Option<Mutant>) -> Self {
        Self { mutant, ..self }
    }

    fn without(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.mutant == Some(mutant)
    }

    /// Discovery names these addresses; its own are not among them.
    pub fn name(&mut self, addresses: impl IntoIterator<Item = Blob>) {
        self.named = addresses.into_iter().filter(|address| *address != self.contact.address).collect();
    }

    /// Those that are named and do not answer: what a cluster that is not formed waits for.
    pub fn silent(&self, now: Time) -> Vec<Blob> {
        let answers = |address: &&Blob| {
            let mut here = self.heard.values().filter(|heard| self.is_fresh(heard, now));
            here.any(|heard| heard.contact.address == **address)
        };
        self.named.iter().filter(|address| !answers(address)).cloned().collect()
    }

    fn is_fresh(&self, heard: &Heard, now: Time) -> bool {
        now.mono_ms <= heard.at_ms + self.timers.suspect_ms
    }

    /// Time has passed; at least every [`Timers::tick_ms`].
    pub fn tick(&mut self, now: Time, out: &mut Vec<Forming>) {
        if self.is_over {
            return;
        }
        self.since_ms.get_or_insert(now.mono_ms);
        if self.greeted_ms.is_none_or(|last| now.mono_ms >= last + self.timers.heartbeat_ms) {
            self.greeted_ms = Some(now.mono_ms);
            // Who greets it may be named nobody else.
            let heard = self.heard.values().map(|heard| &heard.contact.address);
            let addresses: BTreeSet<Blob> =
                self.named.iter().chain(&self.members).chain(heard).cloned().collect();
            out.extend(addresses.into_iter().map(|address| self.greet(address, Says::Nameless)));
        }
        self.consider(now, out);
    }

    fn greet(&self, to: Blob, says: Says) -> Forming {
        let greeting = Greeting { contact: self.contact.clone(), life: self.life, says };
        Forming::Greet { to, greeting: Box::new(greeting) }
    }

    /// Somebody was heard.
    pub fn on_greeting(&mut self, now: Time, greeting: Greeting, out: &mut Vec<Forming>) {
        let Greeting { contact, life, says } = greeting;
        if self.is_over || contact.uid == self.contact.uid {
            return;
        }
        let in_cluster = matches!(says, Says::InCluster(_) | Says::Number { .. });
        let heard = Heard { contact: contact.clone(), life, in_cluster, at_ms: now.mono_ms };
        self.heard.retain(|_, heard| now.mono_ms <= heard.at_ms + self.timers.suspect_ms);
        self.heard.insert(contact.uid, heard);
        match says {
            Says::Nameless | Says::Taken(_) | Says::Who(_) | Says::These(_) => {}
            Says::InCluster(base) => {
                let addresses = base.contacts.into_values().map(|contact| contact.address);
                self.members = addresses.filter(|address| *address != self.contact.address).collect();
            }
            Says::Number { id, incarnation, base } => self.start(id, incarnation, *base, out),
            Says::Prepare(ballot) => self.on_prepare(contact, ballot, out),
            Says::Promised { ballot, accepted } => self.on_promised(contact.uid, ballot, accepted, now, out),
            Says::Accept(draft) => self.on_accept(contact, draft, out),
            Says::Accepted(ballot) => self.on_accepted(contact.uid, ballot, now, out),
            Says::Outbid(ballot) => {
                self.highest = self.highest.max(ballot);
                self.attempt = None;
            }
        }
    }

    fn start(&mut self, id: NodeId, incarnation: Incarnation, base: Base, out: &mut Vec<Forming>) {
        self.is_over = true;
        out.push(Forming::Start(Box::new(Start { id, incarnation, base })));
    }

    /// Who is there without a number, itself included.
    fn nameless(&self, now: Time) -> BTreeMap<Uid, (Contact, u32)> {
        let fresh = self.heard.iter().filter(|(_, heard)| self.is_fresh(heard, now) && !heard.in_cluster);
        let mut here: BTreeMap<_, _> =
            fresh.map(|(uid, heard)| (*uid, (heard.contact.clone(), heard.life))).collect();
        here.insert(self.contact.uid, (self.contact.clone(), self.life));
        here
    }

    /// Whether so many are more than half of all that are named.
    fn are_most(&self, count: usize, here: usize) -> bool {
        let all = if self.form_alone { here } else { here.max(self.named.len() + 1) };
        2 * count > all || 2 * count == all && self.without(Mutant::FormByHalf)
    }

    /// Starts an attempt at a first base when it is this node's turn.
    fn consider(&mut self, now: Time, out: &mut Vec<Forming>) {
        let here = self.nameless(now);
        let uids: BTreeSet<Uid> = here.keys().copied().collect();
        if uids != self.here.0 {
            self.here = (uids, now.mono_ms);
        }
        let knows_names = !self.named.is_empty() || now.mono_ms >= self.since_ms.unwrap_or(0) + NAMES_MS;
        let mut clusters = self.heard.values().filter(|heard| heard.in_cluster && self.is_fresh(heard, now));
        if !knows_names || now.mono_ms < self.here.1 + QUIET_MS || clusters.next().is_some() {
            return;
        }
        let is_first = here.keys().next() == Some(&self.contact.uid);
        let is_trying = |attempt: &Attempt| now.mono_ms < attempt.started_ms + self.timers.propose_ms;
        if !is_first || !self.are_most(here.len(), here.len()) || self.attempt.as_ref().is_some_and(is_trying)
        {
            return;
        }
        self.highest = Ballot { counter: self.highest.counter + 1, by: self.contact.uid };
        let ballot = self.highest;
        self.attempt = Some(Attempt {
            ballot,
            started_ms: now.mono_ms,
            promises: BTreeMap::new(),
            draft: None,
            accepts: BTreeSet::new(),
        });
        self.tell_all(&here, &Says::Prepare(ballot), out);
        if self.promise(ballot, out) {
            let accepted = self.accepted();
            self.on_promised(self.contact.uid, ballot, accepted, now, out);
        }
    }

    fn tell_all(&self, here: &BTreeMap<Uid, (Contact, u32)>, says: &Says, out: &mut Vec<Forming>) {
        let others = here.iter().filter(|(uid, _)| **uid != self.contact.uid);
        out.extend(others.map(|(_, (contact, _))| self.greet(contact.address.clone(), says.clone())));
    }

    fn promise(&mut self, ballot: Ballot, out: &mut Vec<Forming>) -> bool {
        let is_newest = ballot >= self.pledge.promised;
        if is_newest {
            self.pledge.promised = ballot;
            self.persist(out);
        }
        is_newest
    }

    /// What may have been made.
    fn accepted(&self) -> Option<Draft> {
        self.pledge.accepted.clone().filter(|_| !self.without(Mutant::ForgetDrafts))
    }

    fn persist(&self, out: &mut Vec<Forming>) {
        out.push(Forming::Persist(Box::new(self.pledge.clone())));
    }

    fn on_prepare(&mut self, from: Contact, ballot: Ballot, out: &mut Vec<Forming>) {
        self.highest = self.highest.max(ballot);
        let says = if self.promise(ballot, out) {
            Says::Promised { ballot, accepted: self.accepted() }
        } else {
            Says::Outbid(self.pledge.promised)
        };
        out.push(self.greet(from.address, says));
    }

    fn on_promised(
        &mut self,
        from: Uid,
        ballot: Ballot,
        accepted: Option<Draft>,
        now: Time,
        out: &mut Vec<Forming>,
    ) {
        let here = self.nameless(now);
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.ballot != ballot || attempt.draft.is_some() {
            return;
        }
        attempt.promises.insert(from, accepted);
        let count = attempt.promises.len();
        let latest = attempt.promises.values().flatten().max_by_key(|draft| draft.ballot);
        let base = latest.map_or_else(|| first_base(ballot, &here), |draft| draft.base.clone());
        if !self.are_most(count, here.len()) {
            return;
        }
        let draft = Draft { ballot, base };
        if let Some(attempt) = &mut self.attempt {
            attempt.draft = Some(draft.clone());
        }
        self.tell_all(&here, &Says::Accept(draft.clone()), out);
        if self.accept(draft, out) {
            self.on_accepted(self.contact.uid, ballot, now, out);
        }
    }

    fn accept(&mut self, draft: Draft, out: &mut Vec<Forming>) -> bool {
        let is_newest = draft.ballot >= self.pledge.promised;
        if is_newest {
            self.pledge = Pledge { promised: draft.ballot, accepted: Some(draft) };
            self.persist(out);
        }
        is_newest
    }

    fn on_accept(&mut self, from: Contact, draft: Draft, out: &mut Vec<Forming>) {
        let ballot = draft.ballot;
        let is_newest = self.accept(draft, out);
        let says = if is_newest { Says::Accepted(ballot) } else { Says::Outbid(self.pledge.promised) };
        out.push(self.greet(from.address, says));
    }

    fn on_accepted(&mut self, from: Uid, ballot: Ballot, now: Time, out: &mut Vec<Forming>) {
        let here = self.nameless(now).len();
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.ballot == ballot) else { return };
        attempt.accepts.insert(from);
        let count = attempt.accepts.len();
        if !self.are_most(count, here) {
            return;
        }
        let Some(Draft { base, .. }) = self.attempt.take().and_then(|attempt| attempt.draft) else { return };
        let mut own = None;
        for (id, contact) in &base.contacts {
            let Some(incarnation) = base.members.get(id).copied() else { continue };
            if contact.uid == self.contact.uid {
                own = Some((*id, incarnation));
            } else {
                let says = Says::Number { id: *id, incarnation, base: Box::new(base.clone()) };
                out.push(self.greet(contact.address.clone(), says));
            }
        }
        // An earlier life in the base is taken in like anybody else, by the others.
        if let Some((id, incarnation)) = own.filter(|(_, life)| life.life() == self.life) {
            self.start(id, incarnation, base, out);
        }
    }
}

/// The first base of these nodes.
fn first_base(ballot: Ballot, here: &BTreeMap<Uid, (Contact, u32)>) -> Base {
    let generation = Generation(1);
    let mut base = Base::default();
    for (uid, (contact, life)) in here {
        let Some(id) = free_number(*uid, |id| base.members.contains_key(&id)) else { break };
        base.members.insert(id, Incarnation::of_life(*life));
        base.since.insert(id, generation);
        base.contacts.insert(id, contact.clone());
    }
    let proposer = base.number_of(ballot.by).unwrap_or(NodeId(0));
    let cluster = mix(fold(ballot.by) ^ mix(ballot.counter));
    base.tag = BaseTag { generation, born: ViewId::new(1, proposer), cluster };
    base
}

fn fold(uid: Uid) -> u64 {
    uid.0 as u64 ^ (uid.0 >> 64) as u64
}

/// The number that a node gets if nobody has it, or the next one that is free. It follows from the uid, so that clusters that
/// were formed without each other seldom have numbers in common when they meet.
pub(crate) fn free_number(uid: Uid, is_taken: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let first = mix(fold(uid)) as u8;
    (0..NODES_MAX).map(|step| NodeId(first.wrapping_add(step) % NODES_MAX)).find(|id| !is_taken(*id))
}
