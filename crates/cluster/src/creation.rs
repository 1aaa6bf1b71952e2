//! The creation lease: a home has one node create the unseen keys of a slot by itself, so that local work pays no
//! round trip.
//!
//! Invariants:
//! - A slot is leased only while its home knows all holders (every member has reported, none of the base is missing)
//!   and in this view nobody but the lessee holds or has touched a key of it. So what the lessee does not hold of
//!   the slot is held by nobody.
//! - Somebody else's touch waits until the lease is recalled: the lessee creates nothing more, and the home has
//!   every name created under it. That goes for keys with an owner as well: the lessee could leave such a key to the
//!   joiner and then take it for an unseen one.
//! - A lessee tells the home what it creates, as numbered *news*. The home acknowledges up to the first number it lacks, and
//!   the answer to a recall tells the last: messages may be lost, doubled and reordered as they like.
//! - A copy that is dropped is news as well, of any member, in the same order. A home takes news in their order, and who has
//!   told that it holds a key no more does not touch it before that is acknowledged: so a home never forgets a holder
//!   because of what is over.
//! - A lease has a number of its own; once recalled it does not come back with a grant that the recall overtook.
//! - A lease dies with the view, and what its home has not acknowledged by then is part of the lessee's report.
//!
//! Neighbour: `directory` asks here when a key is touched, at the toucher and at the home, and sends the reports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::directory::Touched;
use crate::ids::{NodeId, NodeSet};
use crate::key::{Key, Mark, Slot};
use crate::message::{Message, News};
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;

/// What a node knows of the leases it was given in this view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct HeldLeases {
    /// The leases by slot.
    held: BTreeMap<Slot, u64>,
    /// The newest lease by slot that was recalled or given up: its grant may still be on its way.
    recalled: BTreeMap<Slot, u64>,
    /// By home, news not yet acknowledged.
    unreported: BTreeMap<NodeId, Unreported>,
    /// How many of these say that keys of a mark are gone.
    gone: BTreeMap<Mark, u32>,
}

/// News in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Unreported {
    /// How many were told and acknowledged before `news`.
    before: u64,
    news: VecDeque<News>,
    /// How many of `news` were sent.
    sent: usize,
    /// When the first of `news` was sent or came to be the first.
    since_ms: u64,
}

/// What a home knows of the leases it gave in this view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct GivenLeases {
    given: BTreeMap<Slot, Given>,
    /// Slots whose lease is being recalled.
    recalling: BTreeSet<Slot>,
    /// By slot, who has come to hold or has touched a key of it in this view.
    seen: BTreeMap<Slot, NodeSet>,
    /// By member, how many of its news are known here.
    known: BTreeMap<NodeId, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Given {
    to: NodeId,
    lease: u64,
    recall: Option<Recall>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Recall {
    /// How many news the lessee has told in all, once it has answered.
    told: Option<u64>,
    /// Touches that wait for the end of the recall.
    touches: BTreeMap<(Key, NodeId), Touched>,
    sent_ms: u64,
}

impl HeldLeases {
    /// Ends the view and returns the news that their homes may not know.
    pub(crate) fn end(&mut self) -> impl Iterator<Item = News> + use<> {
        std::mem::take(self).unreported.into_values().flat_map(|unreported| unreported.news)
    }

    /// Whether a home has to hear first that this node holds the key or a twin of it no more.
    pub(crate) fn is_leaving(&self, key: &Key) -> bool {
        self.gone.contains_key(&key.mark())
    }

    /// Whether more news can be kept for a home.
    pub(crate) fn has_room(&self, home: NodeId, unreported_max: usize) -> bool {
        self.unreported.get(&home).is_none_or(|unreported| unreported.news.len() < unreported_max)
    }

    /// The slot's lease counts no more.
    pub(crate) fn give_up(&mut self, slot: Slot) {
        if let Some(lease) = self.held.remove(&slot) {
            let recalled = self.recalled.entry(slot).or_default();
            *recalled = lease.max(*recalled);
        }
    }

    /// Whether the unseen keys of the slot are this node's to create: whatever it does not hold, nobody does.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.held.contains_key(&slot)
    }

    fn may_create(&self, slot: Slot, home: NodeId, unreported_max: usize) -> bool {
        self.has_room(home, unreported_max) && self.has(slot)
    }
}

impl GivenLeases {
    /// A node holds or has touched a key of the slot.
    pub(crate) fn see(&mut self, slot: Slot, nodes: NodeSet) {
        let seen = self.seen.entry(slot).or_default();
        *seen = *seen | nodes;
    }
}

impl<V: Values> Turn<'_, V> {
    // The lessee's side.

    /// Creates a key that nobody holds because its slot is leased to this node. False: its home has to be asked.
    pub(crate) fn create_by_lease(&mut self, key: &Key) -> bool {
        if self.part.copies.contains(key) || !self.may_create(key) {
            return false;
        }
        self.tell_created(key);
        self.create(key, NodeSet::EMPTY);
        // Whoever asked for the key is not waiting for it yet.
        self.part.born.insert(key.clone());
        true
    }

    /// Whether this node may create a key that it does not hold.
    pub(crate) fn may_create(&self, key: &Key) -> bool {
        let unreported_max = self.config.limits.unreported_max;
        let may = |home| self.part.leases.may_create(key.slot(), home, unreported_max);
        self.part.leases.has(key.slot()) && self.home_of(key).is_some_and(may)
    }

    /// This node has created a key under a lease: the home is to know.
    pub(crate) fn tell_created(&mut self, key: &Key) {
        if let Some(home) = self.home_of(key) {
            self.tell_news(home, News { key: key.clone(), gone: false });
            self.count(Rule::CreatedByLease);
        }
    }

    /// This node has dropped its copy: the home is to know, unless it has a twin of the key.
    pub(crate) fn tell_gone(&mut self, key: &Key) {
        let Some(home) = self.home_of(key).filter(|_| !self.has_twin(key)) else { return };
        *self.part.leases.gone.entry(key.mark()).or_default() += 1;
        self.tell_news(home, News { key: key.clone(), gone: true });
    }

    /// Has news for a home: sent with the next tick, or when there are many.
    fn tell_news(&mut self, home: NodeId, news: News) {
        let now = self.now.mono_ms;
        let unreported = self.part.leases.unreported.entry(home).or_default();
        if unreported.news.is_empty() {
            unreported.since_ms = now;
        }
        unreported.news.push_back(news);
        if unreported.news.len() - unreported.sent >= self.config.limits.report_max.max(1) {
            self.send_news(home);
        }
    }

    /// A grant came with the permission to create a key.
    pub(crate) fn take_lease(&mut self, slot: Slot, lease: u64) {
        let overtaken = self.part.leases.recalled.get(&slot).is_some_and(|recalled| lease <= *recalled)
            && !self.config.without(Mutant::HonourRecalledLease);
        let room = self.part.leases.held.len() < self.config.limits.leases_max;
        if room && !overtaken {
            self.part.leases.held.insert(slot, lease);
        }
    }

    /// Sends the news that were not sent yet.
    pub(crate) fn send_news(&mut self, home: NodeId) {
        let chunk = self.config.limits.report_max.max(1);
        let Some(unreported) = self.part.leases.unreported.get_mut(&home) else { return };
        let mut messages = Vec::new();
        while unreported.sent < unreported.news.len() {
            let after = unreported.before + unreported.sent as u64;
            let news: Vec<News> = unreported.news.range(unreported.sent..).take(chunk).cloned().collect();
            unreported.sent += news.len();
            messages.push(Message::News { after, news });
        }
        for message in messages {
            self.send(home, message);
        }
    }

    pub(crate) fn on_noted(&mut self, from: NodeId, known: u64) {
        let now = self.now.mono_ms;
        let leases = &mut self.part.leases;
        let Some(unreported) = leases.unreported.get_mut(&from) else { return };
        let mut left = Vec::new();
        while unreported.before < known
            && let Some(news) = unreported.news.pop_front()
        {
            unreported.before += 1;
            unreported.sent = unreported.sent.saturating_sub(1);
            unreported.since_ms = now;
            let mark = news.key.mark();
            if let Some(count) = leases.gone.get_mut(&mark).filter(|_| news.gone) {
                *count -= 1;
                if *count == 0 {
                    leases.gone.remove(&mark);
                    left.push(news.key);
                }
            }
        }
        if unreported.news.is_empty() {
            // A rush of keys is to leave nothing.
            unreported.news.shrink_to_fit();
        }
        for key in left {
            self.repeat_touches(&key);
        }
    }

    pub(crate) fn on_recall(&mut self, from: NodeId, slot: Slot, lease: u64) {
        let recalled = self.part.leases.recalled.entry(slot).or_default();
        let again = *recalled >= lease;
        *recalled = lease.max(*recalled);
        if self.part.leases.held.get(&slot).is_some_and(|held| *held <= lease)
            && !self.config.without(Mutant::KeepCreatingAfterRecall)
        {
            self.part.leases.held.remove(&slot);
        }
        let unreported = self.part.leases.unreported.entry(from).or_default();
        if again {
            // The home still waits: what was sent before may be lost.
            unreported.sent = 0;
        }
        let told = unreported.before + unreported.news.len() as u64;
        self.send_news(from);
        self.send(from, Message::Recalled { slot, lease, told });
    }

    // The home's side.

    /// The lease that comes with the permission to create a key of the slot, if one can be given or was.
    pub(crate) fn lease_for(&mut self, slot: Slot, to: NodeId) -> Option<u64> {
        let before = self.part.directory.held_before(slot) & self.installed.view.members;
        let leases = &self.part.directory.leases;
        if let Some(given) = leases.given.get(&slot) {
            return (given.to == to && given.recall.is_none()).then_some(given.lease);
        }
        let alone = leases.seen.get(&slot).is_some_and(|seen| *seen | before == NodeSet::only(to));
        let room = leases.given.len() < self.config.limits.leases_max;
        let all_known = self.part.directory.is_complete(&self.installed.view);
        if !alone || !room || !all_known {
            return None;
        }
        let lease = self.next_number();
        self.part.directory.leases.given.insert(slot, Given { to, lease, recall: None });
        self.count(Rule::Leased);
        Some(lease)
    }

    /// Whether a touch has to wait because the slot is leased to somebody else. The lease is recalled then.
    pub(crate) fn awaits_recall(&mut self, from: NodeId, key: &Key, touch: Touched) -> bool {
        let touches_max = self.config.limits.queue_max;
        if self.part.directory.leases.given.get(&key.slot()).is_none_or(|given| given.to == from) {
            return false;
        }
        let Some(recall) = self.recall(key.slot()) else { return false };
        let name = (key.clone(), from);
        // A touch that finds no room is repeated by its node.
        if recall.touches.len() < touches_max || recall.touches.contains_key(&name) {
            recall.touches.insert(name, touch);
        }
        !self.config.without(Mutant::AnswerBeforeRecall)
    }

    /// Recalls the slot's lease, unless that is under way; `None`: the slot is not leased.
    pub(crate) fn recall(&mut self, slot: Slot) -> Option<&mut Recall> {
        let now = self.now.mono_ms;
        let given = self.part.directory.leases.given.get_mut(&slot)?;
        if given.recall.is_none() {
            given.recall = Some(Recall { sent_ms: now, ..Recall::default() });
            let (to, lease) = (given.to, given.lease);
            self.part.directory.leases.recalling.insert(slot);
            self.send(to, Message::Recall { slot, lease });
        }
        self.part.directory.leases.given.get_mut(&slot)?.recall.as_mut()
    }

    pub(crate) fn on_news(&mut self, from: NodeId, after: u64, news: Vec<News>) {
        let until = after.saturating_add(news.len() as u64);
        let known = self.part.directory.leases.known.get(&from).copied().unwrap_or_default();
        let twice = self.config.without(Mutant::NewsTwice);
        let directory = &mut self.part.directory;
        for (number, News { key, gone }) in (after..until).zip(&news) {
            if after > known || number < known && !twice {
                continue;
            }
            if *gone {
                directory.leave(key, from);
            } else {
                directory.enter(key, from);
                directory.expect_owner(key, from);
            }
        }
        let known = if after <= known { until.max(known) } else { known };
        self.part.directory.leases.known.insert(from, known);
        self.send(from, Message::Noted { known });
        self.end_recalls(from);
    }

    pub(crate) fn on_recalled(&mut self, from: NodeId, slot: Slot, lease: u64, told: u64) {
        let Some(given) = self.part.directory.leases.given.get_mut(&slot) else { return };
        if (given.to, given.lease) != (from, lease) {
            return;
        }
        if let Some(recall) = &mut given.recall {
            recall.told = Some(told);
            self.end_recalls(from);
        }
    }

    /// Ends the recalls of a lessee that has answered and whose names are all known; the touches go on.
    fn end_recalls(&mut self, lessee: NodeId) {
        let leases = &mut self.part.directory.leases;
        let known = leases.known.get(&lessee).copied().unwrap_or_default();
        let is_over = |given: &Given| {
            let told = given.recall.as_ref().and_then(|recall| recall.told);
            given.to == lessee && told.is_some_and(|told| told <= known)
        };
        let over: Vec<Slot> = leases
            .recalling
            .iter()
            .filter(|slot| leases.given.get(slot).is_some_and(is_over))
            .copied()
            .collect();
        for slot in over {
            self.part.directory.leases.recalling.remove(&slot);
            let given = self.part.directory.leases.given.remove(&slot);
            self.count(Rule::RecalledLease);
            for ((key, node), touch) in given.and_then(|given| given.recall).unwrap_or_default().touches {
                self.on_touch(node, key, touch);
            }
        }
    }

    /// Reports what is new, and repeats what was not answered.
    pub(crate) fn creation_tick(&mut self) {
        let (now, retry) = (self.now.mono_ms, self.config.timers.retry_ms);
        let mut homes = Vec::new();
        for (home, unreported) in &mut self.part.leases.unreported {
            if unreported.sent > 0 && now >= unreported.since_ms + retry {
                (unreported.sent, unreported.since_ms) = (0, now);
            }
            if unreported.sent < unreported.news.len() {
                homes.push(*home);
            }
        }
        for home in homes {
            self.send_news(home);
        }
        let mut due = Vec::new();
        let leases = &mut self.part.directory.leases;
        for slot in &leases.recalling {
            let Some(given) = leases.given.get_mut(slot) else { continue };
            let Some(recall) = &mut given.recall else { continue };
            if now >= recall.sent_ms + retry {
                recall.sent_ms = now;
                due.push((given.to, *slot, given.lease));
            }
        }
        for (to, slot, lease) in due {
            self.send(to, Message::Recall { slot, lease });
        }
    }
}
