//! The directory: the home of a slot knows the names of the slot's keys, who holds them, and who owns them.
//!
//! Invariants:
//! - What a home knows of holders is a superset: a node is entered before it is given a copy, and taken out only
//!   when it says that it has none.
//! - A home appoints an owner at most once per key and view, after every node that may hold the key has answered,
//!   and never while one of them knows the key to be owned in this view already. There is one home per slot and
//!   view, hence one token.
//! - An answer "I do not hold it" does not count if its node was entered since the question was sent: it may be older.
//! - Whoever answers "I do not hold it" voids its own pending touch, so a late `Create` cannot make a second owner.
//!
//! After a view change members report the names they hold to homes they had not reported to before. Neighbour:
//! `creation`, where a home leaves the unseen keys of a slot to one node.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::copy::{Copy, Meta, Role};
use crate::creation::GivenLeases;
use crate::ids::{FlightId, NodeId, NodeSet, Version, ViewId};
use crate::key::{Key, Slot, mix};
use crate::message::{Held, Message};
use crate::mutant::Mutant;
use crate::table::Table;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;
use crate::view::View;

/// What a home keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Directory {
    entries: Table<DirEntry>,
    /// Keys of which there is only one holder to tell: nearly all of them.
    sole: Table<Sole>,
    /// Keys with an entry that has something to repeat.
    asking: BTreeSet<Key>,
    /// Members whose reports are complete.
    reported: NodeSet,
    /// Parts of reports received so far.
    parts: BTreeMap<NodeId, BTreeSet<u32>>,
    /// This node's reports that were not acknowledged, by home.
    unreported: BTreeMap<NodeId, Report>,
    report_sent_ms: u64,
    /// Nothing of earlier views is known here: only full reports are of use.
    blank: bool,
    next_round: u64,
    /// Slots left to one node.
    pub(crate) leases: GivenLeases,
}

/// What this node reports to a home. The names stay the same however often it is sent, because the home counts parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Report {
    /// Everything, not only what is new to the home.
    full: bool,
    names: Vec<Key>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct DirEntry {
    holders: NodeSet,
    owner: Option<NodeId>,
    /// The owner was named by this home in answer to this touch, and not heard of since.
    created: Option<(NodeId, u64)>,
    appointed: Option<NodeSet>,
    question: Option<Question>,
    touchers: BTreeMap<NodeId, Touched>,
}

/// All that an entry says of most keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sole {
    holder: NodeId,
    /// It has said that it is the owner.
    owns: bool,
}

impl DirEntry {
    /// What it says, if that is little.
    fn as_sole(&self) -> Option<Sole> {
        let holder = self.holders.first().filter(|holder| self.holders == NodeSet::only(*holder))?;
        let is_settled = self.created.is_none() && self.appointed.is_none();
        let is_quiet = self.question.is_none() && self.touchers.is_empty();
        let alone = self.owner.is_none_or(|owner| owner == holder);
        (is_settled && is_quiet && alone).then_some(Sole { holder, owns: self.owner.is_some() })
    }

    /// Whether it says nothing that the home would not know without it.
    fn is_blank(&self) -> bool {
        self.holders.is_empty() && self.owner.is_none() && self.question.is_none() && self.touchers.is_empty()
    }
}

/// A key that this node has asked its home for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Touch {
    /// Its name.
    pub(crate) nonce: u64,
    /// When it was last sent.
    sent_ms: u64,
    /// Only to read: that nobody holds the key is an answer to operations before this number.
    pub(crate) reads_before: Option<u64>,
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
    /// Holders that were entered since it was sent: their answers may be older.
    entered: NodeSet,
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
        match self.sole.get(key) {
            Some(sole) if sole.holder == holder => {}
            None if !self.entries.contains(key) => {
                self.sole.insert(key.clone(), Sole { holder, owns: false });
            }
            _ => {
                let entry = self.open(key);
                entry.holders.insert(holder);
                if let Some(question) = &mut entry.question {
                    question.entered.insert(holder);
                }
            }
        }
        self.leases.see(key.slot(), NodeSet::only(holder));
    }

    /// A node holds the key no more.
    pub(crate) fn leave(&mut self, key: &Key, holder: NodeId) {
        if !self.knows(key) {
            return;
        }
        let entry = self.open(key);
        entry.holders.remove(holder);
        if entry.owner == Some(holder) {
            (entry.owner, entry.created, entry.appointed) = (None, None, None);
        }
        self.tidy(key);
    }

    /// Whether a home has everything that this node had to report.
    pub(crate) fn is_known_at(&self, home: NodeId) -> bool {
        !self.unreported.contains_key(&home)
    }

    fn knows(&self, key: &Key) -> bool {
        self.sole.contains(key) || self.entries.contains(key)
    }

    /// The entry of a key, an empty one if there is none. To be tidied afterwards.
    fn open(&mut self, key: &Key) -> &mut DirEntry {
        let sole = self.sole.remove(key);
        self.entries.entry_or(key, || {
            let holders = sole.map_or(NodeSet::EMPTY, |sole| NodeSet::only(sole.holder));
            let owner = sole.filter(|sole| sole.owns).map(|sole| sole.holder);
            DirEntry { holders, owner, ..DirEntry::default() }
        })
    }

    /// Forgets a key that there is nothing to say of, and keeps little of one that there is little to say of.
    fn tidy(&mut self, key: &Key) {
        let Some(entry) = self.entries.get(key) else { return };
        let (sole, blank) = (entry.as_sole(), entry.is_blank());
        if sole.is_some() || blank {
            self.entries.remove(key);
            self.asking.remove(key);
        }
        if let Some(sole) = sole {
            self.sole.insert(key.clone(), sole);
        }
    }

    /// Notes who is likely to own the key, when nothing better is known.
    pub(crate) fn expect_owner(&mut self, key: &Key, owner: NodeId) {
        if self.knows(key) {
            let entry = self.open(key);
            if entry.question.is_none() {
                entry.owner.get_or_insert(owner);
            }
            self.tidy(key);
        }
    }

    /// Names of keys of these slots; some may be gone.
    pub(crate) fn names_in(&self, slots: &Range<u16>) -> Vec<Key> {
        let mut names = self.entries.keys_where(|key, _| slots.contains(&key.slot().0));
        names.extend(self.sole.keys_where(|key, _| slots.contains(&key.slot().0)));
        names
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
        if !self.part.touches.contains_key(key) && self.is_serving() {
            self.start_touch(key, Some(self.part.next_operation));
        }
    }

    fn start_touch(&mut self, key: &Key, reads_before: Option<u64>) {
        let touch = Touch { nonce: self.next_nonce(), sent_ms: self.now.mono_ms, reads_before };
        self.part.touches.insert(key.clone(), touch);
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

    /// Sends the touch of a key again, if there is one.
    pub(crate) fn repeat_touch(&mut self, key: &Key) {
        if let Some(touch) = self.part.touches.get(key).copied() {
            self.send_touch(key, touch);
        }
    }

    /// Reports names after a view change: to homes that are new to this node's slots, what was created under a lease
    /// that its home may not have heard of, or everything when asked to.
    pub(crate) fn start_reports(&mut self, dropped: NodeSet) {
        let members = self.installed.view.members;
        // A home that has not confirmed the last report may not know what did not move either.
        let behind = std::mem::take(&mut self.part.directory.unreported);
        let new = |home| (home, Report { full: behind.contains_key(&home), names: Vec::new() });
        let mut reports: BTreeMap<NodeId, Report> = members.iter().map(new).collect();
        let (mut created, gone) = self.part.leases.end();
        if self.config.without(Mutant::ForgetUnreportedCreations) {
            created.clear();
        }
        let (_, old_members) = self.part.previous;
        let is_new = |slot: Slot| {
            let home = slot.home(members);
            home != slot.home(old_members) || home.is_some_and(|home| behind.contains_key(&home))
        };
        let mut names = match self.config.without(Mutant::ReportRecordsOnly) {
            true => self.part.copies.keys_where(|key, _| is_new(key.slot())),
            false => self.held_keys(is_new),
        };
        created.retain(|key| self.is_held(key));
        names.extend(created);
        names.sort_unstable();
        names.dedup();
        for key in names {
            let home = key.slot().home(members);
            if let Some(report) = home.and_then(|home| reports.get_mut(&home)) {
                report.names.push(key);
            }
        }
        self.list_spares(dropped);
        self.part.directory.unreported = reports;
        self.send_reports();
        for key in gone {
            if !self.is_held(&key) {
                self.tell_gone(&key);
            }
        }
    }

    fn send_reports(&mut self) {
        self.part.directory.report_sent_ms = self.now.mono_ms;
        let (previous, _) = self.part.previous;
        let chunk = self.config.limits.report_max.max(1);
        let mut messages = Vec::new();
        for (home, Report { full, names }) in &self.part.directory.unreported {
            let parts = names.len().div_ceil(chunk).max(1) as u32;
            for part in 0..parts {
                let keys = names.iter().skip(part as usize * chunk).take(chunk).cloned().collect();
                messages.push((*home, Message::Report { previous, full: *full, part, parts, keys }));
            }
        }
        for (home, message) in messages {
            self.send(home, message);
        }
    }

    pub(crate) fn on_reported(&mut self, from: NodeId, again: bool) {
        let members = self.installed.view.members;
        match self.part.directory.unreported.get(&from) {
            Some(report) if again && !report.full => {
                let names = self.held_keys(|slot| slot.home(members) == Some(from));
                self.part.directory.unreported.insert(from, Report { full: true, names });
                self.send_reports();
            }
            Some(_) if !again => {
                self.part.directory.unreported.remove(&from);
            }
            _ => {}
        }
    }

    pub(crate) fn on_query(&mut self, from: NodeId, key: Key, round: u64) {
        let view = self.installed.view.id;
        let me = self.config.id;
        let held = self
            .copy_or_record(&key)
            .map(|copy| Held { version: copy.meta.version, owner: copy.owner(view, me) });
        if held.is_none() {
            self.void_touch(&key);
        }
        self.send(from, Message::Holding { key, round, held });
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
                _ => {}
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
        if !full && (self.part.directory.blank || previous != self.part.previous.0) {
            self.send(from, Message::Reported { again: true });
            return;
        }
        // A stray duplicate may tell of what is gone meanwhile.
        if !self.part.directory.reported.contains(from) {
            keys.iter().for_each(|key| self.part.directory.enter(key, from));
        }
        let seen = self.part.directory.parts.entry(from).or_default();
        seen.insert(part);
        if seen.len() >= parts as usize || self.config.without(Mutant::CountFirstPart) {
            self.send(from, Message::Reported { again: false });
            self.part.directory.reported.insert(from);
            self.begin_scans();
        }
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
        for key in directory.sole.keys() {
            let Some(sole) = directory.sole.get_mut(&key) else { continue };
            sole.owns = false;
            let holder = sole.holder;
            if key.slot().home(members) != Some(me) || dropped.contains(holder) {
                directory.sole.remove(&key);
            } else {
                directory.leases.see(key.slot(), NodeSet::only(holder) & members);
            }
        }
        for key in directory.entries.keys() {
            if key.slot().home(members) != Some(me) {
                directory.entries.remove(&key);
            } else if let Some(entry) = directory.entries.get_mut(&key) {
                // What is held by a node that was dropped is a fork.
                *entry = DirEntry { holders: entry.holders - dropped, ..DirEntry::default() };
                directory.leases.see(key.slot(), entry.holders & members);
                directory.tidy(&key);
            }
        }
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
        let (me, owned_here) = (self.config.id, self.owns(&key));
        let entry = self.part.directory.open(&key);
        if owned_here {
            // Late news of a former owner may say otherwise, and that one would send the joiner back here.
            (entry.owner, entry.created, entry.appointed) = (Some(me), None, None);
        }
        if entry.question.is_some() {
            entry.touchers.insert(from, touch);
            return;
        }
        match entry.owner {
            Some(owner) => {
                entry.holders.insert(from);
                let (created, appointed) = (entry.created, entry.appointed);
                self.part.directory.leases.see(key.slot(), NodeSet::only(from));
                if let Some((creator, created)) = created.filter(|(creator, _)| *creator == from) {
                    // The answer was lost; a touch with another name has voided it and comes with a new question.
                    if created == nonce {
                        let doubt = self.doubt_of_creation();
                        let lease = self.lease_for(key.slot(), creator);
                        self.send(creator, Message::Create { key, doubt, nonce, lease });
                        return;
                    }
                }
                if let Some(holders) = appointed {
                    // The appointment may be lost, and the owner may have no use for the key itself.
                    self.send(owner, Message::Own { key: key.clone(), holders });
                }
                self.part.directory.tidy(&key);
                if owner != from || appointed.is_none() {
                    self.send(owner, Message::Join { key, joiner: from, nonce });
                }
            }
            None => {
                entry.touchers.insert(from, touch);
                self.ask_holders(&key);
            }
        }
    }

    /// Asks everyone who may hold the key.
    fn ask_holders(&mut self, key: &Key) {
        let members = self.installed.view.members;
        let complete =
            self.part.directory.have_reported(members) || self.config.without(Mutant::AbsentBeforeReports);
        self.part.directory.next_round += 1;
        let round = self.part.directory.next_round;
        let now = self.now.mono_ms;
        let Some(entry) = self.part.directory.entries.get_mut(key) else { return };
        let asked = if complete { entry.holders & members } else { members };
        let (found, entered) = (BTreeMap::new(), NodeSet::EMPTY);
        entry.question = Some(Question { round, waiting: asked, found, entered, sent_ms: now });
        self.part.directory.asking.insert(key.clone());
        for node in asked.iter() {
            self.send(node, Message::Query { key: key.clone(), round });
        }
        if asked.is_empty() {
            self.conclude(key);
        }
    }

    pub(crate) fn on_holding(&mut self, from: NodeId, key: Key, round: u64, held: Option<Held>) {
        let Some(entry) = self.part.directory.entries.get_mut(&key) else { return };
        let Some(question) = entry.question.as_mut().filter(|question| question.round == round) else {
            return;
        };
        if !question.waiting.contains(from) {
            return;
        }
        let is_stale = held.is_none() && question.entered.contains(from);
        if is_stale && !self.config.without(Mutant::CountStaleAnswers) {
            // It may hold the key by now.
            self.ask_holders(&key);
            return;
        }
        question.waiting.remove(from);
        match held {
            Some(held) => {
                question.found.insert(from, held);
                entry.holders.insert(from);
                self.part.directory.leases.see(key.slot(), NodeSet::only(from));
            }
            None => entry.holders.remove(from),
        }
        if question.waiting.is_empty() {
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
        if let Some((owner, _)) = owned {
            entry.owner = Some(*owner);
            entry.appointed = None;
            entry.created = None;
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
            for (node, nonce) in readers {
                self.send(node, Message::Absent { key: key.clone(), nonce });
            }
            let Some((creator, Touched { nonce, .. })) = creator else {
                self.part.directory.asking.remove(key);
                self.part.directory.tidy(key);
                return;
            };
            let Some(entry) = self.part.directory.entries.get_mut(key) else { return };
            entry.holders.insert(creator);
            entry.owner = Some(creator);
            entry.created = Some((creator, nonce));
            entry.appointed = None;
            let lease = self.lease_for(key.slot(), creator);
            self.send(creator, Message::Create { key: key.clone(), doubt, nonce, lease });
        } else {
            let preferred = |node: &NodeId| entry.touchers.contains_key(node);
            let best =
                question.found.iter().max_by_key(|(node, held)| (held.version, preferred(node), **node));
            let worst = question.found.iter().min_by_key(|(node, held)| (held.version, **node));
            let Some((owner, _)) = (if lowest { worst } else { best }) else { return };
            let (owner, holders) = (*owner, question.found.keys().copied().collect::<NodeSet>());
            entry.owner = Some(owner);
            entry.created = None;
            entry.appointed = Some(holders);
            // Holders are brought in by the regroup; only strangers have to join.
            entry.touchers.retain(|node, _| !holders.contains(*node));
            self.send(owner, Message::Own { key: key.clone(), holders });
        }
        self.part.directory.asking.remove(key);
        let Some(entry) = self.part.directory.entries.get_mut(key) else { return };
        let joiners = std::mem::take(&mut entry.touchers);
        let Some(owner) = entry.owner else { return };
        for (joiner, Touched { nonce, .. }) in joiners {
            self.part.directory.enter(key, joiner);
            self.send(owner, Message::Join { key: key.clone(), joiner, nonce });
        }
        self.part.directory.tidy(key);
    }

    pub(crate) fn on_owned(&mut self, from: NodeId, key: Key, gone: bool) {
        if !self.part.directory.knows(&key) {
            return;
        }
        let entry = self.part.directory.open(&key);
        if !gone {
            entry.holders.insert(from);
            entry.owner = Some(from);
            entry.created = None;
            entry.appointed = None;
        } else if entry.owner == Some(from) {
            entry.owner = None;
            entry.created = None;
            entry.appointed = None;
        }
        self.part.directory.tidy(&key);
    }

    pub(crate) fn directory_tick(&mut self) {
        let now = self.now.mono_ms;
        let retry = self.config.timers.retry_ms;
        let view = self.installed.view.id;
        let due: Vec<(Key, Touch)> = self
            .part
            .touches
            .iter_mut()
            .filter(|(_, touch)| now >= touch.sent_ms + retry)
            .map(|(key, touch)| {
                touch.sent_ms = now;
                (key.clone(), *touch)
            })
            .collect();
        for (key, touch) in due {
            let me = self.config.id;
            if self.copy_now(&key).is_some_and(|copy| copy.owner(view, me).is_some()) {
                self.part.touches.remove(&key);
            } else {
                let home = self.home_of(&key).map_or(NodeSet::EMPTY, NodeSet::only);
                self.doubt_way_to(home);
                self.send_touch(&key, touch);
            }
        }
        if now >= self.part.directory.report_sent_ms + retry {
            let homes = self.part.directory.unreported.keys().copied().collect();
            self.doubt_way_to(homes);
            self.send_reports();
        }
        for key in self.part.directory.asking.clone() {
            let Some(question) =
                self.part.directory.entries.get_mut(&key).and_then(|entry| entry.question.as_mut())
            else {
                self.part.directory.asking.remove(&key);
                continue;
            };
            if now < question.sent_ms + retry {
                continue;
            }
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
