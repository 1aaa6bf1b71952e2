//! Databases: which space of keys each of them has. FLUSHDB gives a database a space that is empty, SWAPDB exchanges the
//! spaces of two; neither looks at a key.
//!
//! All of that is part of the base, so it changes for all members at once (`flush`). What lay in a space that no database
//! has any more is *waste*: nobody can name it, and each partition drops it, some keys with every tick. Spaces are few, so
//! they are given out again.
//!
//! Invariants:
//! - A space is given out only when every member has said, for all its partitions, that it holds nothing of it.
//! - What was set aside in a space counts as long as a database has had that space ever since (`attic`).
//! - A change is made once, however often it is proposed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::Config;
use crate::ids::{Generation, NodeId};
use crate::interface::{Action, Change, Evicted, Request};
use crate::key::{Key, Mark, Space};
use crate::message::Base;
use crate::mutant::Mutant;
use crate::part::Part;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;
use crate::view::Candidate;

/// The most databases there can be.
pub const DATABASES_MAX: u16 = 256;

/// Every database can be flushed once while what it had before is still being dropped.
pub const SPACES_MAX: u16 = 2 * DATABASES_MAX;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Databases {
    /// The space of each database that has not the one of its own number.
    pub(crate) spaces: BTreeMap<u16, Space>,
    /// When spaces were given out, or given up, if they ever were.
    pub(crate) given: BTreeMap<Space, Given>,
    /// By node, its last change that is part of this.
    pub(crate) made: BTreeMap<NodeId, u64>,
}

/// What became of a space last, and by which generation of the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Given {
    /// A database has it.
    Out(Generation),
    /// None has it any more.
    Up(Generation),
}

/// Changes that a node wants.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The node.
    pub(crate) by: Config,
    /// By number.
    pub(crate) wanted: BTreeMap<u64, Change>,
}

impl Changes {
    /// None.
    pub(crate) fn none(by: Config) -> Self {
        Self { by, wanted: BTreeMap::new() }
    }

    /// A FLUSHALL is among them.
    pub(crate) fn flushes_all(&self) -> bool {
        self.wanted.values().any(|change| *change == Change::FlushAll)
    }

    /// The databases of the base of this generation, which follows on `previous`, with all changes up to the first that has
    /// to wait.
    pub(crate) fn make(
        &self,
        previous: &Base,
        generation: Generation,
        candidates: &BTreeMap<NodeId, Candidate>,
    ) -> Arc<Databases> {
        let mut databases = Arc::clone(&previous.databases);
        let first = databases.made.get(&self.by.id).map_or(0, |made| made + 1);
        for (number, change) in self.wanted.range(first..) {
            let next = Arc::make_mut(&mut databases);
            match *change {
                Change::FlushAll => {}
                Change::SwapDb(one, other) => next.swap(one, other),
                Change::FlushDb(database) => {
                    let Some(space) = self.free_space(next, previous, candidates) else { break };
                    next.flush(database, space, generation);
                }
            }
            next.made.insert(self.by.id, *number);
        }
        databases
    }

    /// A space that no database has, and no member anything of.
    fn free_space(
        &self,
        databases: &Databases,
        previous: &Base,
        candidates: &BTreeMap<NodeId, Candidate>,
    ) -> Option<Space> {
        let anyway = self.by.without(Mutant::ReuseSpacesAtOnce);
        databases.free_space(self.by.databases, |space, given_up| {
            candidates.iter().all(|(node, candidate)| {
                let knows = candidate.base.tag.generation >= given_up;
                // Who is no member starts empty.
                let is_empty = knows && !candidate.waste.contains(&space);
                is_empty || anyway || !previous.has(*node, candidate.incarnation)
            })
        })
    }
}

impl Databases {
    /// The space of a database.
    pub fn space_of(&self, database: u16) -> Space {
        self.spaces.get(&database).copied().unwrap_or(Space(database))
    }

    /// The database that has this space.
    pub fn database_of(&self, space: Space) -> Option<u16> {
        let moved = self.spaces.iter().find(|(_, other)| **other == space).map(|(database, _)| *database);
        let is_own = !self.spaces.contains_key(&space.0)
            && !matches!(self.given.get(&space), Some(Given::Up(_)))
            && space.0 < DATABASES_MAX;
        moved.or(is_own.then_some(space.0))
    }

    /// The key that a client means by this name.
    #[inline]
    pub fn key_of(&self, name: &Key) -> Key {
        match self.spaces.get(&name.space().0) {
            Some(space) => name.in_space(*space),
            None => name.clone(),
        }
    }

    /// Has a request mean the keys that its client names.
    #[inline]
    pub(crate) fn find_keys_of(&self, request: &mut Request) {
        if !self.spaces.is_empty() {
            let watched = request.watches.iter_mut().map(|(key, _)| key);
            request.keys.iter_mut().chain(watched).for_each(|key| *key = self.key_of(key));
        }
    }

    /// What clients call this key, if they can name it.
    pub fn name_of(&self, key: &Key) -> Option<Key> {
        self.database_of(key.space()).map(|database| key.in_space(Space(database)))
    }

    /// Since when the database that has the space has had it, or another database before.
    fn since(&self, space: Space) -> Generation {
        match self.given.get(&space) {
            Some(Given::Out(at)) => *at,
            _ => Generation::default(),
        }
    }

    /// Whether what lay in this space in generation `then` of the base is still in a database.
    pub(crate) fn keeps(&self, space: Space, then: Generation) -> bool {
        self.database_of(space).is_some() && self.since(space) <= then
    }

    fn set(&mut self, database: u16, space: Space) {
        if space.0 == database {
            self.spaces.remove(&database);
        } else {
            self.spaces.insert(database, space);
        }
    }

    fn swap(&mut self, one: u16, other: u16) {
        let (space, others) = (self.space_of(one), self.space_of(other));
        self.set(one, others);
        self.set(other, space);
    }

    fn flush(&mut self, database: u16, free: Space, generation: Generation) {
        self.given.insert(self.space_of(database), Given::Up(generation));
        self.given.insert(free, Given::Out(generation));
        self.set(database, free);
    }

    /// A space that none of these databases has, and that is empty since it was given up, if it was.
    pub(crate) fn free_space(
        &self,
        count: u16,
        is_empty: impl Fn(Space, Generation) -> bool,
    ) -> Option<Space> {
        let is_had = |space: Space| (0..count).any(|database| self.space_of(database) == space);
        let is_free = |space: &Space| match self.given.get(space) {
            _ if is_had(*space) => false,
            Some(Given::Up(at)) => is_empty(*space, *at),
            _ => true,
        };
        (0..2 * count).map(Space).find(is_free)
    }

    /// Spaces that were given up, and when.
    pub(crate) fn waste(&self) -> impl Iterator<Item = (Space, Generation)> {
        self.given.iter().filter_map(|(space, given)| match given {
            Given::Up(at) => Some((*space, *at)),
            Given::Out(_) => None,
        })
    }

    /// Whether it may have come from a peer: no two databases have one space.
    pub(crate) fn is_sound(&self) -> bool {
        let named = self.spaces.keys().all(|database| *database < DATABASES_MAX);
        let spaces: BTreeSet<Space> = self.spaces.values().copied().collect();
        named && spaces.len() == self.spaces.len()
    }
}

/// Where the keys of a partition belonged before it entered another view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Era {
    cluster: u64,
    generation: Generation,
    flush: u64,
    databases: Arc<Databases>,
}

impl Era {
    /// Whether a FLUSHALL has taken all keys of then. Those of another cluster are counted apart, and were not for these keys.
    pub(crate) fn is_flushed(&self, base: &Base, config: &Config) -> bool {
        let same = base.tag.cluster == self.cluster || config.without(Mutant::MeetByFlushes);
        same && base.flush > self.flush
    }

    /// What the key is now, if it still is in a database: in another cluster, in the one of the same number.
    pub(crate) fn now(&self, key: &Key, base: &Base, config: &Config) -> Option<Key> {
        if base.tag.cluster != self.cluster && !config.without(Mutant::MeetBySpaces) {
            return self.databases.name_of(key).map(|name| base.databases.key_of(&name));
        }
        let anyway = config.without(Mutant::KeepForksOfFlushed);
        (anyway || base.databases.keeps(key.space(), self.generation)).then(|| key.clone())
    }

    /// What the key was then.
    pub(crate) fn then(&self, key: &Key, base: &Base, config: &Config) -> Option<Key> {
        if base.tag.cluster != self.cluster && !config.without(Mutant::MeetBySpaces) {
            return base.databases.name_of(key).map(|name| self.databases.key_of(&name));
        }
        self.now(key, base, config)
    }

    /// The keys that a client means now by the names that it meant these by then.
    pub(crate) fn renamed(&self, keys: &[Key], base: &Base) -> Option<Vec<Key>> {
        keys.iter().map(|key| self.databases.name_of(key).map(|name| base.databases.key_of(&name))).collect()
    }

    /// Whether these databases are the ones of then.
    pub(crate) fn is_past(&self, base: &Base) -> bool {
        base.databases != self.databases
    }
}

/// Waste of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Waste {
    /// Spaces of which it may still hold something.
    spaces: BTreeMap<Space, Generation>,
    /// Those that it has said to be empty.
    said: BTreeMap<Space, Generation>,
    /// There is nothing of them before this mark.
    next: Mark,
}

impl Default for Waste {
    fn default() -> Self {
        Self { spaces: BTreeMap::new(), said: BTreeMap::new(), next: Mark::FIRST }
    }
}

impl Waste {
    /// Whether nobody can name a key of this space.
    #[inline]
    pub(crate) fn has(&self, space: Space) -> bool {
        !self.spaces.is_empty() && self.spaces.contains_key(&space)
    }
}

impl<U> Part<U> {
    /// Where its keys belong in the view that it has entered.
    pub(crate) fn era(&self) -> Era {
        let (cluster, generation, flush) = (self.cluster, self.generation, self.flush);
        Era { cluster, generation, flush, databases: Arc::clone(&self.databases) }
    }

    /// Keys of spaces that were given up, by when.
    fn note_waste(&mut self, given_up: &BTreeMap<Space, Generation>) -> bool {
        let said = &self.waste.said;
        let spaces: BTreeMap<Space, Generation> = given_up
            .iter()
            .filter(|(space, at)| said.get(space) != Some(*at))
            .map(|(space, at)| (*space, *at))
            .collect();
        let more = spaces.keys().any(|space| !self.waste.has(*space));
        self.waste.spaces = spaces;
        if more {
            self.waste.next = Mark::FIRST;
        }
        more
    }
}

impl<V: Values> Turn<'_, V> {
    /// Whether no client can name the key any more.
    #[inline]
    pub(crate) fn is_waste(&self, key: &Key) -> bool {
        self.part.waste.has(key.space())
    }

    /// The databases have changed: what is known of keys that nobody can name any more goes, as far as it is little.
    pub(crate) fn enter_databases(&mut self) {
        let installed = self.installed;
        self.part.databases = Arc::clone(&installed.view.base.databases);
        if !self.part.note_waste(&installed.waste) {
            return;
        }
        let waste = &self.part.waste;
        for record in
            self.part.records.values_mut().filter(|_| !self.config.without(Mutant::KeepFlushedParts))
        {
            record.parts.retain(|part| !waste.has(part.key.space()));
        }
        self.part.stash.retain(|(key, _), _| !waste.has(key.space()));
        let evicted: Vec<Key> =
            self.part.evicting.keys().filter(|key| waste.has(key.space())).cloned().collect();
        for key in evicted {
            self.part.evicting.remove(&key);
            self.out.actions.push(Action::Evict { key, outcome: Evicted::NotHeld });
        }
    }

    /// Nothing of any space is here any more.
    pub(crate) fn waste_is_gone(&mut self) {
        let waste = &mut self.part.waste;
        for (space, at) in std::mem::take(&mut waste.spaces) {
            waste.said.insert(space, at);
            self.out.emptied.push((space, at));
        }
    }

    /// Drops some of what nobody can name, and tells its homes.
    pub(crate) fn waste_tick(&mut self) {
        if self.part.waste.spaces.is_empty() || self.config.without(Mutant::KeepFlushed) {
            return;
        }
        let first = self.part.waste.next;
        let (keys, next) = self.all_keys_of_step(first, self.config.limits.walk_max.max(1), &|_| true);
        for key in keys {
            self.count(Rule::Walked);
            if self.is_waste(&key) && !self.drop_waste(&key) {
                // With the next tick.
                self.part.waste.next = key.mark();
                return;
            }
        }
        match next {
            Some(next) => self.part.waste.next = next,
            None => self.waste_is_gone(),
        }
    }

    /// False: the key's home cannot be told yet.
    pub(crate) fn drop_waste(&mut self, key: &Key) -> bool {
        let unreported_max = self.config.limits.unreported_max;
        let can_tell =
            |home| self.part.reports.is_known_at(home) && self.part.leases.has_room(home, unreported_max);
        if !self.home_of(key).is_some_and(can_tell) {
            return false;
        }
        self.part.copies.remove(key);
        self.values.install(key, None);
        self.part.unconfirmed.remove(key);
        self.part.busy_keys.remove(key);
        self.tell_gone(key);
        true
    }
}
