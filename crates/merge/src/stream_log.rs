//! A stream while its key is forked: entries by dot, what is left of the base, groups and their progress.
//!
//! XADD is a union, XDEL and XTRIM take away what they saw. What a group was not shown, although its identifier is
//! below the last one shown, is late: it becomes the group's backfill.

use std::collections::{BTreeMap, BTreeSet};

use crate::cell::{Cell, Follow, Tally, join_cells};
use crate::dot::{Context, Dot, Origin, Side, Stamp, survives};
use crate::value::{Bytes, Group, Stream, StreamId};

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct StreamLog {
    entries: BTreeMap<Dot, (StreamId, Bytes)>,
    base_removed: BTreeSet<StreamId>,
    /// For each side the highest identifier it gave out; a deletion of the key forgets what it saw.
    last_ids: BTreeMap<Side, (u64, StreamId)>,
    /// For each side the highest identifier it deleted, likewise.
    deleted_ids: BTreeMap<Side, (u64, StreamId)>,
    added: Tally<i128>,
    groups: BTreeMap<Bytes, Cell<StreamId, Progress>>,
}

/// What happened in a group since it was created (or since the fork).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Progress {
    last_delivered: StreamId,
    delivered: BTreeSet<StreamId>,
    pending: BTreeMap<StreamId, (Stamp, Bytes)>,
    acknowledged: BTreeSet<StreamId>,
}

impl Follow for Progress {
    fn join(&mut self, _: &Context, other: &Self, _: &Context) {
        self.last_delivered = self.last_delivered.max(other.last_delivered);
        self.delivered.extend(&other.delivered);
        self.acknowledged.extend(&other.acknowledged);
        for (id, theirs) in &other.pending {
            let own = self.pending.entry(*id).or_insert_with(|| theirs.clone());
            if *own < *theirs {
                *own = theirs.clone();
            }
        }
    }

    /// Deliveries and acknowledgements die with their group.
    fn cut(&mut self) {}

    fn is_live(&self) -> bool {
        false
    }

    fn size(&self) -> usize {
        self.delivered.len() + self.pending.len() + self.acknowledged.len()
    }
}

impl StreamLog {
    pub(crate) fn touch(&mut self, origin: Origin, id: StreamId) {
        self.last_ids.insert(origin.dot.side, (origin.dot.sequence, id));
    }

    pub(crate) fn add(&mut self, origin: Origin, id: StreamId, fields: Bytes) {
        self.entries.insert(origin.dot, (id, fields));
        self.added.add(origin.dot, 1);
        self.touch(origin, id);
    }

    pub(crate) fn delete(&mut self, origin: Origin, id: StreamId, is_deletion: bool) {
        self.entries.retain(|_, (of, _)| *of != id);
        self.base_removed.insert(id);
        if is_deletion {
            let known = self.deleted_ids.get(&origin.dot.side).map(|(_, id)| *id);
            let highest = known.map_or(id, |known| known.max(id));
            self.deleted_ids.insert(origin.dot.side, (origin.dot.sequence, highest));
        }
    }

    /// Drops what is said about the base.
    pub(crate) fn forget_base(&mut self) {
        self.base_removed.clear();
        self.groups.values_mut().for_each(|cell| cell.base_gone = false);
    }

    pub(crate) fn create_group(&mut self, origin: Origin, name: Bytes, start: StreamId) {
        self.groups.entry(name).or_default().write(origin, start);
    }

    pub(crate) fn destroy_group(&mut self, name: &Bytes) {
        self.groups.entry(name.clone()).or_default().remove();
    }

    pub(crate) fn deliver(&mut self, origin: Origin, name: &Bytes, id: StreamId, consumer: Bytes) {
        let progress = self.groups.entry(name.clone()).or_default().follow_mut();
        progress.last_delivered = progress.last_delivered.max(id);
        progress.delivered.insert(id);
        progress.acknowledged.remove(&id);
        progress.pending.insert(id, (origin.stamp, consumer));
    }

    pub(crate) fn acknowledge(&mut self, name: &Bytes, id: StreamId) {
        let progress = self.groups.entry(name.clone()).or_default().follow_mut();
        progress.acknowledged.insert(id);
        progress.pending.remove(&id);
    }

    /// The key was absent: what another side has deleted of a former stream is of no concern to a new one.
    pub(crate) fn begin(&mut self) {
        self.deleted_ids.clear();
    }

    /// Removes everything seen.
    pub(crate) fn remove_all(&mut self, base: Option<&Stream>) {
        self.entries.clear();
        self.last_ids.clear();
        self.deleted_ids.clear();
        self.added.cut();
        if let Some(base) = base {
            self.base_removed.extend(base.entries.keys());
            for name in base.groups.keys() {
                self.destroy_group(name);
            }
        }
        for cell in self.groups.values_mut() {
            cell.remove();
        }
    }

    /// True if the fork left something of its own.
    pub(crate) fn is_written(&self) -> bool {
        !self.entries.is_empty() || !self.last_ids.is_empty()
    }

    /// The visible stream; the number tells how many entries were hidden by another one of the same identifier.
    pub(crate) fn render(&self, base: Option<&Stream>) -> (Stream, u64) {
        let mut stream = Stream::default();
        let mut hidden = 0;
        // In the order of the dots: of two entries with one identifier the higher side's stays.
        for (id, fields) in self.entries.values() {
            hidden += u64::from(stream.entries.insert(*id, fields.clone()).is_some());
        }
        let late: BTreeSet<StreamId> = stream.entries.keys().copied().collect();
        let ids = self.last_ids.values().map(|(_, id)| *id);
        stream.last_id = ids.chain(stream.entries.keys().copied()).max().unwrap_or_default();
        stream.max_deleted = self.deleted_ids.values().map(|(_, id)| *id).max().unwrap_or_default();
        let mut added = self.added.sum();
        if let Some(base) = base {
            added += i128::from(base.entries_added);
            stream.last_id = stream.last_id.max(base.last_id);
            stream.max_deleted = stream.max_deleted.max(base.max_deleted);
            stream.rest.clone_from(&base.rest);
            for (id, fields) in base.entries.iter().filter(|(id, _)| !self.base_removed.contains(id)) {
                hidden += u64::from(stream.entries.insert(*id, fields.clone()).is_some());
            }
        }
        stream.entries_added = u64::try_from(added).unwrap_or(0);
        let names = self.groups.keys().chain(base.iter().flat_map(|base| base.groups.keys()));
        let names: BTreeSet<&Bytes> = names.collect();
        for name in names {
            let base_group = base.and_then(|base| base.groups.get(name));
            if let Some(group) = self.render_group(name, base_group, &stream, &late) {
                stream.groups.insert(name.clone(), group);
            }
        }
        (stream, hidden)
    }

    fn render_group(
        &self,
        name: &Bytes,
        base: Option<&Group>,
        stream: &Stream,
        late: &BTreeSet<StreamId>,
    ) -> Option<Group> {
        let untouched = Cell::default();
        let cell = self.groups.get(name).unwrap_or(&untouched);
        let (mut group, progress) = match cell.winner() {
            Some((_, entry)) => (Group { last_delivered: entry.value, ..Group::default() }, &entry.follow),
            None if cell.base_gone => return None,
            None => (base?.clone(), &cell.base_follow),
        };
        let start = group.last_delivered;
        group.last_delivered = start.max(progress.last_delivered);
        for (id, (_, consumer)) in &progress.pending {
            group.pending.insert(*id, consumer.clone());
        }
        group.pending.retain(|id, _| !progress.acknowledged.contains(id));
        group.backfill.extend(late.iter().filter(|id| **id > start && **id <= group.last_delivered));
        group.backfill.retain(|id| stream.entries.contains_key(id) && !progress.delivered.contains(id));
        Some(group)
    }

    pub(crate) fn join(&mut self, mine: &Context, other: &Self, theirs: &Context) {
        self.entries.retain(|dot, _| survives(*dot, other.entries.contains_key(dot), theirs));
        for (dot, entry) in &other.entries {
            if !mine.covers(*dot) {
                self.entries.insert(*dot, entry.clone());
            }
        }
        self.base_removed.extend(&other.base_removed);
        join_highest(&mut self.last_ids, mine, &other.last_ids, theirs);
        join_highest(&mut self.deleted_ids, mine, &other.deleted_ids, theirs);
        self.added.join(mine, &other.added, theirs);
        join_cells(&mut self.groups, mine, &other.groups, theirs);
    }

    pub(crate) fn size(&self) -> usize {
        self.entries.len()
            + self.base_removed.len()
            + self.last_ids.len()
            + self.deleted_ids.len()
            + self.groups.values().map(Cell::size).sum::<usize>()
    }
}

/// Joins what is the highest of each side.
fn join_highest(
    highest: &mut BTreeMap<Side, (u64, StreamId)>,
    mine: &Context,
    other: &BTreeMap<Side, (u64, StreamId)>,
    theirs: &Context,
) {
    highest.retain(|side, (sequence, _)| {
        let same = other.get(side).is_some_and(|theirs| theirs.0 == *sequence);
        survives(Dot { side: *side, sequence: *sequence }, same, theirs)
    });
    for (side, last) in other {
        if !mine.covers(Dot { side: *side, sequence: last.0 }) {
            highest.insert(*side, *last);
        }
    }
}
