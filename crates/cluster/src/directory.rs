//! The directory: the home of a slot knows who holds the slot's keys, by hash, and tells who owns them, by name.
//!
//! Invariants:
//! - What a home knows of holders is a superset: a node is entered before it is given a copy, and taken out only
//!   when it says that it has none. Keys of one slot and hash (*twins*) have their holders in common: a node says that it
//!   has none when it has no copy of any of them, and has asked for none.
//! - Everything else is said of names. Who owns a key is but a hint for those who want to join it: the one may own a twin,
//!   and says so.
//! - A home appoints an owner at most once per key and view, after every node that may hold the key has answered,
//!   and never while one of them knows the key to be owned in this view already. There is one home per slot and
//!   view, hence one token.
//! - An answer "I do not hold it" does not count if its node was entered since the question was sent: it may be older.
//! - Whoever answers "I do not hold it" voids its own pending touch, so a late `Create` cannot make a second owner.
//!
//! After a view change members report the names they hold to homes they had not reported to before (`report`). Neighbours:
//! `holders`, the table; `creation`, where a home leaves the unseen keys of a slot to one node.

use std::collections::{BTreeMap, BTreeSet};

use crate::copy::{Copy, Meta, Role};
use crate::creation::GivenLeases;
use crate::holders::Holders;
use crate::ids::{FlightId, NodeId, NodeSet, Version, ViewId};
use crate::key::{Key, Mark, Slot, mix};
use crate::message::{Held, Message};
use crate::mutant::Mutant;
use crate::rubbish::Litter;
use crate::table::Table;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;
use crate::view::View;

/// What a home keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Directory {
    holders: Holders,
    /// Keys of which something is under way.
    entries: Table<DirEntry>,
    /// Keys with a question, and who was entered since.
    asking: BTreeMap<Mark, BTreeMap<Key, Entered>>,
    /// Members whose reports are complete.
    reported: NodeSet,
    /// Parts of reports received so far.
    parts: BTreeMap<NodeId, Parts>,
    /// Nothing of earlier views is known here: only full reports are of use.
    blank: bool,
    next_round: u64,
    /// Slots left to one node.
    pub(crate) leases: GivenLeases,
}

/// Parts of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Parts {
    seen: BTreeSet<u32>,
    /// How many there are, once the last one has said so.
    of: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct DirEntry {
    /// Who was named owner by this home, and not heard of since.
    appointed: Option<(NodeId, Appointment)>,
    question: Option<Question>,
    touchers: BTreeMap<NodeId, Touched>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Appointment {
    /// It may create the key, in answer to this touch.
    Creator(u64),
    /// It is to bring the copies of these together.
    Among(NodeSet),
}

/// Holders that were entered since a question was sent: their answers may be older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Entered {
    here: NodeSet,
    at_twins: NodeSet,
}

/// A key that this node has asked its home for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Touch {
    /// Its name.
    pub(crate) nonce: u64,
    /// When it was last sent.
    pub(crate) sent_ms: u64,
    /// Only to read: that nobody holds the key is an answer to operations before this number.
    pub(crate) reads_before: Option<u64>,
}

/// Keys that this node has asked their homes for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Touches(BTreeMap<Mark, Vec<(Key, Touch)>>);

impl Touches {
    pub(crate) fn get(&self, key: &Key) -> Option<&Touch> {
        self.0.get(&key.mark())?.iter().find(|(name, _)| name == key).map(|(_, touch)| touch)
    }

    fn get_mut(&mut self, key: &Key) -> Option<&mut Touch> {
        self.0.get_mut(&key.mark())?.iter_mut().find(|(name, _)| name == key).map(|(_, touch)| touch)
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    fn has_twin(&self, key: &Key) -> bool {
        self.0.get(&key.mark()).is_some_and(|alike| alike.iter().any(|(name, _)| name != key))
    }

    /// Those among them that are the key or twins of it.
    fn alike(&self, key: &Key) -> Vec<Key> {
        self.0.get(&key.mark()).into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    fn insert(&mut self, key: &Key, touch: Touch) {
        self.remove(key);
        self.0.entry(key.mark()).or_default().push((key.clone(), touch));
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(alike) = self.0.get_mut(&key.mark()) {
            alike.retain(|(name, _)| name != key);
            if alike.is_empty() {
                self.0.remove(&key.mark());
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes some out that are twins, or one that has none.
    pub(crate) fn pop_first(&mut self) -> Option<Vec<(Key, Touch)>> {
        self.0.pop_first().map(|(_, alike)| alike)
    }
}

/// A touch as its home sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Touched {
    /// Its name.
    pub(crate) nonce: u64,
    /// Only if somebody holds the key.
    pub(crate) reads: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    round: u64,
    waiting: NodeSet,
    found: BTreeMap<NodeId, Held>,
    sent_ms: u64,
}

impl Directory {
    /// Begins a view in which nobody holds anything yet.
    pub(crate) fn start_complete(&mut self, members: NodeSet) {
        self.reported = members;
    }

    /// What was learned in the view that ends is known from here on.
    pub(crate) fn remember(&mut self) {
        self.blank = false;
    }

    /// Forgets everything, as the view that is being installed asks.
    pub(crate) fn clear(&mut self) {
        *self = Self { next_round: self.next_round, blank: true, ..Self::default() };
    }

    /// Notes a holder.
    pub(crate) fn enter(&mut self, key: &Key, holder: NodeId) {
        self.holders.change(key.mark(), |known| known.holders.insert(holder));
        if let Some(asked) = self.asking.get_mut(&key.mark()) {
            for (name, entered) in asked {
                let entered = if name == key { &mut entered.here } else { &mut entered.at_twins };
                entered.insert(holder);
            }
        }
        self.leases.see(key.slot(), NodeSet::only(holder));
    }

    /// A node holds neither the key nor a twin of it any more.
    pub(crate) fn leave(&mut self, key: &Key, holder: NodeId) {
        self.holders.change(key.mark(), |known| known.leave(holder));
        self.disappoint(key, holder);
    }

    /// Notes who owns the key.
    fn own(&mut self, key: &Key, owner: NodeId) {
        self.holders.change(key.mark(), |known| known.owner = Some(owner));
        if let Some(entry) = self.entries.get_mut(key) {
            entry.appointed = None;
            self.tidy(key);
        }
    }

    /// A node does not own the key that it was named owner of.
    fn disappoint(&mut self, key: &Key, owner: NodeId) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.appointed = entry.appointed.filter(|(appointed, _)| *appointed != owner);
            self.tidy(key);
        }
    }

    /// Forgets an entry that says nothing.
    fn tidy(&mut self, key: &Key) {
        if self.entries.get(key) == Some(&DirEntry::default()) {
            self.entries.remove(key);
        }
    }

    /// The key's question is answered.
    fn end_question(&mut self, key: &Key) {
        if let Some(asked) = self.asking.get_mut(&key.mark()) {
            asked.remove(key);
            if asked.is_empty() {
                self.asking.remove(&key.mark());
            }
        }
    }

    /// When the key's question is to be asked again, or forgotten if it is answered.
    pub(crate) fn question_due_ms(&self, key: &Key, retry_ms: u64) -> Option<u64> {
        let is_asked = self.asking.get(&key.mark()).is_some_and(|asked| asked.contains_key(key));
        let question = self.entries.get(key).and_then(|entry| entry.question.as_ref());
        is_asked.then(|| question.map_or(0, |question| question.sent_ms + retry_ms))
    }

    fn entered_since(&self, key: &Key) -> Entered {
        self.asking.get(&key.mark()).and_then(|asked| asked.get(key)).copied().unwrap_or_default()
    }

    /// Notes who is likely to own the key, when nothing better is known.
    pub(crate) fn expect_owner(&mut self, key: &Key, owner: NodeId) {
        self.holders.change(key.mark(), |known| {
            known.owner.get_or_insert(owner);
        });
    }

    /// Who held a key of the slot when the view began.
    pub(crate) fn held_before(&mut self, slot: Slot) -> NodeSet {
        self.holders.before(slot)
    }

    /// Of how many keys something is known; twins count as one.
    pub(crate) fn len(&self) -> usize {
        self.holders.len()
    }

    /// Whether all these members have reported.
    pub(crate) fn have_reported(&self, members: NodeSet) -> bool {
        members.is_subset(self.reported)
    }

    /// Whether every holder of the view's base is known.
    pub(crate) fn is_complete(&self, view: &View) -> bool {
        self.have_reported(view.members) && view.missing().is_empty()
    }
}

impl<V: Values> Turn<'_, V> {
    /// The home of a key in the installed view.
    pub(crate) fn home_of(&self, key: &Key) -> Option<NodeId> {
        key.slot().home(self.installed.view.members)
    }

    // The member's side.

    /// Asks the key's home for its owner, unless that is under way or this node may create the key by itself.
    pub(crate) fn touch(&mut self, key: &Key) {
        let asked = self.part.touches.get(key).is_some_and(|touch| touch.reads_before.is_none());
        if !asked && self.is_serving() && !self.create_by_lease(key) {
            self.start_touch(key, None);
        }
    }

    /// Asks the key's home for its owner if there is one, unless that is under way.
    pub(crate) fn touch_to_read(&mut self, key: &Key) {
        if !self.part.touches.contains(key) && self.is_serving() {
            self.start_touch(key, Some(self.part.next_operation));
        }
    }

    fn start_touch(&mut self, key: &Key, reads_before: Option<u64>) {
        let touch = Touch { nonce: self.next_nonce(), sent_ms: self.now.mono_ms, reads_before };
        self.part.touches.insert(key, touch);
        self.part.due.touches.open(key.clone());
        self.send_touch(key, touch);
    }

    fn next_nonce(&mut self) -> u64 {
        // The high bit tells a touch from an owner's own alignment round.
        mix((self.next_number() << 8) | u64::from(self.config.id.0)) | 1 << 63
    }

    fn send_touch(&mut self, key: &Key, Touch { nonce, reads_before, .. }: Touch) {
        let Some(home) = self.home_of(key) else { return };
        if self.part.leases.is_leaving(key) && !self.config.without(Mutant::TouchBeforeNews) {
            // It is sent when the home has heard the news.
            self.send_news(home);
        } else {
            self.send(home, Message::Touch { key: key.clone(), nonce, reads: reads_before.is_some() });
        }
    }

    /// Sends the touches of a key and its twins again.
    pub(crate) fn repeat_touches(&mut self, key: &Key) {
        for name in self.part.touches.alike(key) {
            if let Some(touch) = self.part.touches.get(&name).copied() {
                self.send_touch(&name, touch);
            }
        }
    }

    pub(crate) fn on_query(&mut self, from: NodeId, key: Key, round: u64) {
        let view = self.installed.view.id;
        let me = self.config.id;
        let held = self
            .copy_or_record(&key)
            .map(|copy| Held { version: copy.meta.version, owner: copy.owner(view, me) });
        let twin = held.is_none() && self.has_twin(&key);
        if held.is_none() {
            self.void_touch(&key);
        }
        self.send(from, Message::Holding { key, round, held, twin });
    }

    /// Whether this node holds, or has asked for, another key that the home does not tell from this one: the home must go on
    /// taking it for a holder.
    pub(crate) fn has_twin(&self, key: &Key) -> bool {
        let holds = self.part.copies.has_twin(key) || self.values.holds_twin(key);
        holds && !self.config.without(Mutant::DenyTwins)
            || self.part.touches.has_twin(key) && !self.config.without(Mutant::DenyTouchedTwins)
    }

    /// Having said that it holds nothing, this node must not be made an owner by an answer to an earlier touch.
    fn void_touch(&mut self, key: &Key) {
        let touches = self.part.touches.get(key).is_some_and(|touch| touch.reads_before.is_none());
        if touches && !self.config.without(Mutant::KeepVoidedTouch) {
            self.start_touch(key, None);
        }
    }

    pub(crate) fn on_create(&mut self, key: Key, doubt: NodeSet, nonce: u64, lease: Option<u64>) {
        if self.part.touches.get(&key).is_none_or(|touch| touch.nonce != nonce) {
            return;
        }
        self.part.touches.remove(&key);
        if let Some(lease) = lease {
            self.take_lease(key.slot(), lease);
        }
        // It may have been created under a lease meanwhile.
        if !self.is_held(&key) {
            self.create(&key, doubt);
        }
        if self.owner_of(&key) == Some(self.config.id) {
            self.tell_owned(&key, false);
        }
        self.key_changed(&key);
    }

    /// Brings a key that nobody holds into being, owned by this node.
    pub(crate) fn create(&mut self, key: &Key, doubt: NodeSet) {
        // They may have held the key and come back with it.
        let mut lost = self.awaited_for(self.installed.view.id).without(self.config.id);
        if self.has_fork(key) {
            lost.insert(self.config.id);
        }
        let view = &self.installed.view;
        let version = Version { generation: view.base.tag.generation, epoch: view.id, seq: 0 };
        let birth = FlightId::new(view.id, self.config.id, self.next_number());
        let meta = Meta {
            birth,
            version,
            stable: version,
            subscribers: NodeSet::only(self.config.id),
            doubt,
            lost,
            covers: BTreeMap::new(),
            forgotten: ViewId::default(),
            written: Default::default(),
        };
        let mut copy = Copy::new(meta, self.installed.view.id);
        copy.role = Role::Owner(Box::default());
        self.part.copies.insert(key.clone(), copy);
        self.comes_to_be_ours(key);
        self.list_absent(key);
        self.count(if doubt.is_empty() { Rule::Created } else { Rule::CreatedInDoubt });
    }

    /// Tells the home who owns the key now.
    pub(crate) fn tell_owned(&mut self, key: &Key, gone: bool) {
        if let Some(home) = self.home_of(key) {
            self.send(home, Message::Owned { key: key.clone(), gone });
        }
    }

    /// A join that reached a node which is not the owner goes on to the one it believes to be.
    pub(crate) fn on_join(&mut self, from: NodeId, key: Key, joiner: NodeId, nonce: u64) {
        let view = self.installed.view.id;
        let me = self.config.id;
        let queue_max = self.config.limits.queue_max;
        match self.copy_or_record(&key) {
            None => {
                self.tell_owned(&key, true);
                self.void_touch(&key);
            }
            Some(copy) => match copy.owner(view, me) {
                Some(owner) if owner == me => {
                    let Some(owning) = copy.owning_mut(view) else { return };
                    if owning.rename_join(joiner, nonce) {
                        self.send_aligns(&key);
                    } else {
                        owning.join(joiner, nonce, queue_max);
                        self.part.work.insert(key);
                    }
                }
                Some(owner) if owner != joiner && owner != from => {
                    self.send(owner, Message::Join { key, joiner, nonce })
                }
                // It may own a twin.
                _ => {
                    if let Some(home) = self.home_of(&key) {
                        self.send(home, Message::NotOwned { key });
                    }
                }
            },
        }
    }

    // The home's side.

    pub(crate) fn on_report(
        &mut self,
        from: NodeId,
        previous: ViewId,
        full: bool,
        (part, parts): (u32, u32),
        keys: Vec<Key>,
    ) {
        // "Only moved slots" is enough when home and member come from the same view; otherwise one of them has missed
        // a view in which the other's knowledge changed.
        let directory = &mut self.part.directory;
        let again = !full && (directory.blank || previous != self.part.previous.0);
        if !again {
            let known = directory.parts.entry(from).or_default();
            // A stray duplicate may tell of what is gone meanwhile.
            if known.seen.insert(part) {
                known.of = known.of.or(Some(parts).filter(|parts| *parts > 0));
                let complete = known.of.is_some_and(|of| known.seen.len() >= of as usize);
                if complete || self.config.without(Mutant::CountFirstPart) {
                    directory.reported.insert(from);
                }
                keys.iter().for_each(|key| directory.enter(key, from));
            }
        }
        self.send(from, Message::Reported { part, again });
    }

    /// Forgets who owns what: tokens die with the view.
    pub(crate) fn restart_directory(&mut self, dropped: NodeSet) {
        let members = self.installed.view.members;
        let me = self.config.id;
        let directory = &mut self.part.directory;
        directory.asking.clear();
        directory.parts.clear();
        directory.reported = NodeSet::EMPTY;
        directory.leases = GivenLeases::default();
        self.part.rubbish.throw(Litter::Entries(std::mem::take(&mut directory.entries)));
        directory.holders.enter_view(dropped, |slot| slot.home(members) == Some(me));
    }

    pub(crate) fn on_touch(&mut self, from: NodeId, key: Key, touch: Touched) {
        let members = self.installed.view.members;
        if key.slot().home(members) != Some(self.config.id) {
            return;
        }
        if self.awaits_recall(from, &key, touch) {
            return;
        }
        let Touched { nonce, reads } = touch;
        if !reads {
            self.part.directory.leases.see(key.slot(), NodeSet::only(from));
        }
        if self.owns(&key) {
            // Late news of a former owner may say otherwise, and that one would send the joiner back here.
            self.part.directory.own(&key, self.config.id);
        }
        let directory = &mut self.part.directory;
        let (asked, appointed) = directory
            .entries
            .get(&key)
            .map_or((false, None), |entry| (entry.question.is_some(), entry.appointed));
        let hint = directory.holders.of(key.mark()).owner;
        let owner = appointed.map_or(hint, |(owner, _)| Some(owner)).filter(|_| !asked);
        let Some(owner) = owner else {
            directory.entries.entry_or(&key, DirEntry::default).touchers.insert(from, touch);
            if !asked {
                self.ask_holders(&key);
            }
            return;
        };
        directory.enter(&key, from);
        match appointed {
            // The answer was lost; a touch with another name has voided it and comes with a new question.
            Some((creator, Appointment::Creator(created))) if creator == from && created == nonce => {
                let doubt = self.doubt_of_creation();
                let lease = self.lease_for(key.slot(), creator);
                self.send(creator, Message::Create { key, doubt, nonce, lease });
                return;
            }
            // The appointment may be lost, and the owner may have no use for the key itself.
            Some((owner, Appointment::Among(holders))) => {
                self.send(owner, Message::Own { key: key.clone(), holders });
                if owner == from {
                    return;
                }
            }
            _ => {}
        }
        self.send(owner, Message::Join { key, joiner: from, nonce });
    }

    /// Asks everyone who may hold the key.
    fn ask_holders(&mut self, key: &Key) {
        let members = self.installed.view.members;
        let complete =
            self.part.directory.have_reported(members) || self.config.without(Mutant::AbsentBeforeReports);
        self.part.directory.next_round += 1;
        let round = self.part.directory.next_round;
        let now = self.now.mono_ms;
        let directory = &mut self.part.directory;
        let holders = directory.holders.of(key.mark()).holders;
        let Some(entry) = directory.entries.get_mut(key) else { return };
        let asked = if complete { holders & members } else { members };
        entry.question = Some(Question { round, waiting: asked, found: BTreeMap::new(), sent_ms: now });
        directory.asking.entry(key.mark()).or_default().insert(key.clone(), Entered::default());
        self.part.due.questions.open(key.clone());
        for node in asked.iter() {
            self.send(node, Message::Query { key: key.clone(), round });
        }
        if asked.is_empty() {
            self.conclude(key);
        }
    }

    pub(crate) fn on_holding(
        &mut self,
        from: NodeId,
        key: Key,
        round: u64,
        (held, twin): (Option<Held>, bool),
    ) {
        let entered = match self.config.without(Mutant::CountStaleAnswers) {
            true => Entered::default(),
            false => self.part.directory.entered_since(&key),
        };
        let directory = &mut self.part.directory;
        let entry = directory.entries.get_mut(&key).and_then(|entry| entry.question.as_mut());
        let asked = entry.filter(|question| question.round == round && question.waiting.contains(from));
        let Some(question) = asked else { return };
        if held.is_none() && entered.here.contains(from) {
            // It may hold the key by now.
            self.ask_holders(&key);
            return;
        }
        question.waiting.remove(from);
        let is_over = question.waiting.is_empty();
        // Whoever has come to hold it since may have answered before.
        let is_old = is_over && held.is_none() && question.found.is_empty() && !entered.here.is_empty();
        match held {
            Some(held) => {
                question.found.insert(from, held);
                directory.enter(&key, from);
            }
            None if twin || entered.at_twins.contains(from) => {}
            None => directory.holders.change(key.mark(), |known| known.leave(from)),
        }
        if is_old && !self.config.without(Mutant::CountEarlierAnswers) {
            self.ask_holders(&key);
        } else if is_over {
            self.conclude(&key);
        }
    }

    fn doubt_of_creation(&self) -> NodeSet {
        if self.config.without(Mutant::CreateWithoutDoubt) {
            NodeSet::EMPTY
        } else {
            self.installed.view.missing()
        }
    }

    /// Everyone has answered: names an owner, or lets the first toucher create the key.
    fn conclude(&mut self, key: &Key) {
        let doubt = self.doubt_of_creation();
        let lowest = self.config.without(Mutant::LowestSurvives);
        let Some(entry) = self.part.directory.entries.get_mut(key) else { return };
        let Some(question) = entry.question.take() else { return };
        let owned = question.found.iter().find(|(node, held)| held.owner == Some(**node));
        let owner = if let Some((owner, _)) = owned {
            entry.appointed = None;
            let owner = *owner;
            self.part.directory.holders.change(key.mark(), |known| known.owner = Some(owner));
            owner
        } else if question.found.values().any(|held| held.owner.is_some()) {
            // The token is on its way between two holders; ask again a little later.
            entry.question = Some(Question { waiting: NodeSet::EMPTY, found: BTreeMap::new(), ..question });
            return;
        } else if question.found.is_empty() {
            let readers: Vec<(NodeId, u64)> = entry
                .touchers
                .iter()
                .filter(|(_, touch)| touch.reads)
                .map(|(node, touch)| (*node, touch.nonce))
                .collect();
            entry.touchers.retain(|_, touch| !touch.reads);
            let creator = entry.touchers.pop_first();
            entry.appointed = creator.map(|(node, touch)| (node, Appointment::Creator(touch.nonce)));
            for (node, nonce) in readers {
                self.send(node, Message::Absent { key: key.clone(), nonce });
            }
            let Some((creator, Touched { nonce, .. })) = creator else {
                self.part.directory.end_question(key);
                self.part.directory.tidy(key);
                return;
            };
            self.part.directory.enter(key, creator);
            let lease = self.lease_for(key.slot(), creator);
            self.send(creator, Message::Create { key: key.clone(), doubt, nonce, lease });
            creator
        } else {
            let preferred = |node: &NodeId| entry.touchers.contains_key(node);
            let best =
                question.found.iter().max_by_key(|(node, held)| (held.version, preferred(node), **node));
            let worst = question.found.iter().min_by_key(|(node, held)| (held.version, **node));
            let Some((owner, _)) = (if lowest { worst } else { best }) else { return };
            let (owner, holders) = (*owner, question.found.keys().copied().collect::<NodeSet>());
            entry.appointed = Some((owner, Appointment::Among(holders)));
            // Holders are brought in by the regroup; only strangers have to join.
            entry.touchers.retain(|node, _| !holders.contains(*node));
            self.send(owner, Message::Own { key: key.clone(), holders });
            owner
        };
        self.part.directory.end_question(key);
        let Some(entry) = self.part.directory.entries.get_mut(key) else { return };
        for (joiner, Touched { nonce, .. }) in std::mem::take(&mut entry.touchers) {
            self.part.directory.enter(key, joiner);
            self.send(owner, Message::Join { key: key.clone(), joiner, nonce });
        }
        self.part.directory.tidy(key);
    }

    pub(crate) fn on_owned(&mut self, from: NodeId, key: Key, gone: bool) {
        let directory = &mut self.part.directory;
        if gone {
            directory.holders.change(key.mark(), |known| known.disown(from));
            directory.disappoint(&key, from);
        } else if !directory.holders.of(key.mark()).holders.is_empty() || directory.entries.contains(&key) {
            directory.holders.change(key.mark(), |known| known.holders.insert(from));
            directory.own(&key, from);
        }
    }

    /// A node was asked to let somebody join a key that it does not own. If it was appointed it may hear of that later.
    pub(crate) fn on_not_owned(&mut self, from: NodeId, key: &Key) {
        self.part.directory.holders.change(key.mark(), |known| known.disown(from));
    }

    pub(crate) fn directory_tick(&mut self) {
        let now = self.now.mono_ms;
        let view = self.installed.view.id;
        for key in self.part.due_touches(self.when()) {
            let Some(touch) = self.part.touches.get_mut(&key) else { continue };
            touch.sent_ms = now;
            let touch = *touch;
            let me = self.config.id;
            if self.copy_now(&key).is_some_and(|copy| copy.owner(view, me).is_some()) {
                self.part.touches.remove(&key);
            } else {
                let home = self.home_of(&key).map_or(NodeSet::EMPTY, NodeSet::only);
                self.doubt_way_to(home);
                self.send_touch(&key, touch);
            }
        }
        for key in self.part.due_questions(self.when()) {
            let Some(question) =
                self.part.directory.entries.get_mut(&key).and_then(|entry| entry.question.as_mut())
            else {
                self.part.directory.end_question(&key);
                continue;
            };
            question.sent_ms = now;
            let (round, waiting) = (question.round, question.waiting);
            if waiting.is_empty() {
                self.ask_holders(&key);
            }
            self.doubt_way_to(waiting);
            for node in waiting.iter() {
                self.send(node, Message::Query { key: key.clone(), round });
            }
        }
    }
}
