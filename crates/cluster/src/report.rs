//! Reports: in a new view members tell the homes of their keys what they hold, some keys at a time.
//!
//! A walk goes through the keys of the partition in the order of their marks, a bounded number with every step: with the
//! first when the view is entered, then with every tick and whenever a home has acknowledged something. On its way it lists
//! the records that may not be needed any more.
//!
//! Invariants:
//! - A home has all of a report when it has all of its parts; the last one says how many there are. So what is held when the
//!   view begins, and still held when the walk comes to it, is in it.
//! - Names are kept until they are acknowledged, and the walk waits while a home has many to acknowledge.
//! - What a home was told last in the view before and has not acknowledged is told again, before anything else.
//!
//! Neighbours: `directory`, the home's side; `creation`, whose news these are.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{NodeId, NodeSet, ViewId};
use crate::key::{Key, Mark, Slot};
use crate::message::{Message, News};
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;

/// Parts of a report that are on their way at the same time.
const PARTS_MAX: usize = 8;

/// What is reported in a view, and how far that has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reports {
    /// Those that are not acknowledged, by home.
    open: BTreeMap<NodeId, Report>,
    walk: Option<Walk>,
    /// News of earlier views that their homes may not know.
    news: VecDeque<News>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Report {
    /// Everything, not only what is new to the home.
    full: bool,
    /// What is in none of the parts yet.
    names: Vec<Key>,
    /// Parts that are not acknowledged. They stay the same however often they are sent, because the home counts them.
    sent: BTreeMap<u32, Vec<Key>>,
    /// How many parts there are so far.
    parts: u32,
    /// There will be no more.
    complete: bool,
    /// When the oldest of them was sent last.
    since_ms: u64,
}

impl Report {
    fn message(&self, part: u32, previous: ViewId) -> Option<Message> {
        let is_last = self.complete && self.names.is_empty() && part + 1 == self.parts;
        let parts = if is_last { self.parts } else { 0 };
        let keys = self.sent.get(&part)?.clone();
        Some(Message::Report { previous, full: self.full, part, parts, keys })
    }
}

/// A walk through all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Walk {
    next: Mark,
    /// Homes that are told on it.
    homes: NodeSet,
    /// Homes that want to know everything: they are told on another one.
    again: NodeSet,
    /// It lists records that may not be needed.
    lists: bool,
}

impl Walk {
    fn new(homes: NodeSet, lists: bool) -> Self {
        Self { next: Mark::FIRST, homes, again: NodeSet::EMPTY, lists }
    }
}

impl Reports {
    /// Whether a home has everything that this node had to report.
    pub(crate) fn is_known_at(&self, home: NodeId) -> bool {
        !self.open.contains_key(&home)
    }

    fn must_wait(&self) -> bool {
        self.open.values().any(|report| report.sent.len() >= PARTS_MAX)
    }
}

impl<V: Values> Turn<'_, V> {
    /// Reports keys after a view change: to homes that are new to this node's slots, what was created under a lease that its
    /// home may not have heard of, or everything when asked to.
    pub(crate) fn start_reports(&mut self) {
        let members = self.installed.view.members;
        let news = self.part.leases.end();
        let reports = &mut self.part.reports;
        // A home that has not confirmed the last report may not know what did not move either.
        let behind = std::mem::take(&mut reports.open);
        let new = |home| (home, Report { full: behind.contains_key(&home), ..Report::default() });
        reports.open = members.iter().map(new).collect();
        reports.news.extend(news);
        reports.walk = Some(Walk::new(members, true));
        self.walk();
    }

    /// Takes the walk one step further.
    fn walk(&mut self) {
        let Some(walk) = self.part.reports.walk.filter(|_| !self.part.reports.must_wait()) else { return };
        let count = self.config.limits.walk_max.max(1);
        let told = self.slots_told(walk);
        self.repeat_news(count, &told);
        if self.part.reports.news.is_empty() {
            let (keys, next) = self.keys_of_step(walk.next, count, &told);
            for key in keys {
                self.count(Rule::Walked);
                if walk.lists {
                    self.list_if_spare(&key);
                }
                let is_named =
                    self.part.copies.contains(&key) || !self.config.without(Mutant::ReportRecordsOnly);
                if is_named && told(key.slot()) {
                    self.name_to_home(key);
                }
            }
            self.go_on_from(walk, next);
        }
        self.send_parts();
    }

    /// Of which slots the homes are told on this walk.
    fn slots_told(&self, walk: Walk) -> impl Fn(Slot) -> bool + use<V> {
        let members = self.installed.view.members;
        let (_, old_members) = self.part.previous;
        let full = |(home, report): (&NodeId, &Report)| report.full.then_some(*home);
        let full: NodeSet = self.part.reports.open.iter().filter_map(full).collect();
        move |slot| {
            let home = slot.home(members);
            let moved = home != slot.home(old_members);
            home.is_some_and(|home| walk.homes.contains(home) && (moved || full.contains(home)))
        }
    }

    /// Tells homes again what they may not have heard before the view ended.
    fn repeat_news(&mut self, count: usize, told: &impl Fn(Slot) -> bool) {
        for _ in 0..count {
            let Some(News { key, gone }) = self.part.reports.news.pop_front() else { break };
            let is_held = self.is_held(&key);
            if gone && !is_held && !self.part.touches.contains(&key) {
                self.tell_gone(&key);
            } else if !gone
                && is_held
                && !told(key.slot())
                && !self.config.without(Mutant::ForgetUnreportedCreations)
            {
                self.name_to_home(key);
            }
        }
    }

    fn name_to_home(&mut self, key: Key) {
        let home = self.home_of(&key);
        if let Some(report) = home.and_then(|home| self.part.reports.open.get_mut(&home)) {
            report.names.push(key);
        }
    }

    /// Some keys with a record, and as many with a value in the slots that are `wanted`, from this mark on; and where the
    /// next step begins, if there is one.
    pub(crate) fn keys_of_step(
        &self,
        first: Mark,
        count: usize,
        wanted: &impl Fn(Slot) -> bool,
    ) -> (Vec<Key>, Option<Mark>) {
        let (mut keys, next) = self.all_keys_of_step(first, count, wanted);
        keys.retain(|key| !self.is_waste(key));
        (keys, next)
    }

    /// The same, with those that nobody can name any more.
    pub(crate) fn all_keys_of_step(
        &self,
        first: Mark,
        count: usize,
        wanted: &impl Fn(Slot) -> bool,
    ) -> (Vec<Key>, Option<Mark>) {
        let mut keys = self.part.copies.some_from(first, count);
        let is_here = self.slots_of_part();
        let values = self.values.keys_from(first, &|slot| is_here(slot) && wanted(slot), count);
        let last = |keys: &[Key]| keys.last().filter(|_| keys.len() >= count).map(Key::mark);
        let end = [last(&keys), last(&values)].into_iter().flatten().min();
        keys.extend(values);
        keys.retain(|key| end.is_none_or(|end| key.mark() <= end));
        keys.sort_unstable_by(|a, b| (a.mark(), a).cmp(&(b.mark(), b)));
        keys.dedup();
        (keys, end.map(Mark::next))
    }

    fn go_on_from(&mut self, walk: Walk, next: Option<Mark>) {
        let first_only = self.config.without(Mutant::ReportFirstStep);
        let reports = &mut self.part.reports;
        if let Some(next) = next.filter(|_| !first_only) {
            reports.walk = Some(Walk { next, ..walk });
            return;
        }
        for (_, report) in reports.open.iter_mut().filter(|(home, _)| walk.homes.contains(**home)) {
            report.complete = true;
        }
        reports.walk = Some(Walk::new(walk.again, false)).filter(|walk| !walk.homes.is_empty());
    }

    /// Sends what has come together: whole parts, and what is left when there will be no more.
    fn send_parts(&mut self) {
        let (now, chunk) = (self.now.mono_ms, self.config.limits.report_max.max(1));
        let (previous, _) = self.part.previous;
        let mut messages = Vec::new();
        for (home, report) in &mut self.part.reports.open {
            let closed = report.complete && report.parts > 0 && report.names.is_empty();
            if report.sent.is_empty() {
                report.since_ms = now;
            }
            let mut last = report.complete && !closed;
            while report.names.len() > chunk || std::mem::take(&mut last) {
                let rest = report.names.split_off(chunk.min(report.names.len()));
                let part = report.parts;
                report.parts += 1;
                report.sent.insert(part, std::mem::replace(&mut report.names, rest));
                messages.extend(report.message(part, previous).map(|message| (*home, message)));
            }
        }
        for (home, message) in messages {
            self.send(home, message);
        }
    }

    pub(crate) fn on_reported(&mut self, from: NodeId, part: u32, again: bool) {
        let reports = &mut self.part.reports;
        let Some(report) = reports.open.get_mut(&from) else { return };
        if again {
            if report.full {
                return;
            }
            *report = Report { full: true, ..Report::default() };
            match &mut reports.walk {
                Some(walk) => {
                    walk.homes.remove(from);
                    walk.again.insert(from);
                }
                None => reports.walk = Some(Walk::new(NodeSet::only(from), false)),
            }
        } else {
            report.sent.remove(&part);
            report.since_ms = self.now.mono_ms;
            if report.complete && report.sent.is_empty() && report.names.is_empty() {
                reports.open.remove(&from);
            }
        }
        // What it acknowledges itself is no sign that there is time.
        if from != self.config.id {
            self.walk();
        }
    }

    pub(crate) fn report_tick(&mut self) {
        let (now, retry) = (self.now.mono_ms, self.config.timers.retry_ms);
        let (previous, _) = self.part.previous;
        let mut messages = Vec::new();
        let mut late = NodeSet::EMPTY;
        for (home, report) in &mut self.part.reports.open {
            if !report.sent.is_empty() && now >= report.since_ms + retry {
                report.since_ms = now;
                late.insert(*home);
                let parts = report.sent.keys().filter_map(|part| report.message(*part, previous));
                messages.extend(parts.map(|message| (*home, message)));
            }
        }
        self.doubt_way_to(late);
        for (home, message) in messages {
            self.send(home, message);
        }
        self.walk();
    }
}
