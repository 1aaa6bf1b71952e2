//! Merging along the graph of a key's log: from the core's entries to [`KeyLog`](crate::KeyLog)s and back.
//!
//! The entries of two logs that are to be merged are a graph ([`MergeBy::Logs`](swytch_cluster::MergeBy)): each names what it
//! was ordered on top of and, if it is a merge, what it took in. Playing it from the state where the log starts gives
//! the key at every version, with all that joining needs to know. A state is kept as long as something follows from it.
//!
//! Invariants: an effect's name is that of its operation, so one that ran on two sides counts once; a lineage that
//! began from nothing says nothing about the state where the log starts, and overwrites of it only what is older
//! (`KeyLog::unrelated`).
//!
//! Neighbours: stores of values ([`Values`](swytch_cluster::Values)) say with [`Meaning`] what their blobs stand for, and leave merging,
//! moving a log's start and folding to the functions here.

use std::collections::BTreeMap;
use std::ops::Range;

use swytch_cluster::{Blob, Entry, History, Step, Version};

use crate::dot::{Dot, Origin, Side, Stamp};
use crate::effect::{Effect, End};
use crate::value::{Object, Stream, Value};
use crate::{Forked, fold};

/// What the blobs of a log stand for.
pub trait Meaning {
    /// The primitive effects of a write's blob on a key in the given state.
    fn effects(&self, blob: &Blob, before: Option<&Object>) -> Vec<Effect>;

    /// The state where the log of a snapshot starts.
    fn start(&self, snapshot: &Blob) -> Option<Object>;

    /// The blob of a primitive effect.
    fn blob(&self, effect: &Effect) -> Blob;
}

/// A log: the state it starts from, and its entries.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The state before the first entry.
    pub start: Option<&'a Object>,
    /// What came since.
    pub log: History<'a>,
}

/// What two logs have in common and what comes of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The key as this side's log alone leads to it.
    pub ours: Option<Object>,
    /// The key with both.
    pub both: Option<Object>,
}

/// Merges a fork into the key that `ours` leads to at `our_version`.
pub fn merge_logs(
    meaning: &impl Meaning,
    ours: Line<'_>,
    our_version: Version,
    theirs: &[Entry],
    their_version: Version,
) -> Merged {
    let entries = ours.log.entries.iter().chain(theirs);
    let mut graph = Graph::new(meaning, ours, entries, &[our_version, their_version]);
    let own = graph.take(our_version);
    let state = own.forked.state().cloned();
    let theirs = graph.take(their_version);
    Merged { ours: state, both: own.join(theirs, graph.since).forked.state }
}

/// The key at a version that the log leads through.
pub fn state_at(meaning: &impl Meaning, log: Line<'_>, version: Version) -> Option<Object> {
    Graph::new(meaning, log, log.log.entries.iter(), &[version]).take(version).forked.state
}

/// Folds a stretch of a log, see [`Values::fold`](swytch_cluster::Values::fold).
pub fn fold_log(meaning: &impl Meaning, log: Line<'_>, stretch: Range<usize>) -> Option<Vec<Vec<Blob>>> {
    let (earlier, stretch) = (&log.log.entries[..stretch.start], &log.log.entries[stretch]);
    let prior = stretch.first()?.prior;
    let before = Graph::new(meaning, log, earlier.iter(), &[prior]).take(prior).forked;
    let mut now = before.state().cloned();
    let mut run = Vec::new();
    let mut of_entry = Vec::new();
    for (at, entry) in stretch.iter().enumerate() {
        let mut index = 0;
        for blob in &entry.effects {
            for effect in meaning.effects(blob, now.as_ref()) {
                // What does not fit was an error where it was ordered, too, and changed nothing.
                let _ = effect.apply(&mut now);
                run.push((origin_of(entry, index), effect));
                of_entry.push(at);
                index += 1;
            }
        }
    }
    let mut effects = vec![Vec::new(); stretch.len()];
    for (at, effect) in fold(&before, &run)? {
        effects[of_entry[at]].push(meaning.blob(&effect));
    }
    Some(effects)
}

/// The effects of a batch, entry by entry, that was made for the given state, in a form that can follow on any later
/// one: see [`Values::detach`](swytch_cluster::Values::detach).
pub fn detached(meaning: &impl Meaning, state: Option<&Object>, batch: &[Entry]) -> Vec<Vec<Blob>> {
    let mut now = state.cloned();
    let mut of_entries = Vec::with_capacity(batch.len());
    for entry in batch {
        let mut blobs = Vec::new();
        for blob in &entry.effects {
            for effect in meaning.effects(blob, now.as_ref()) {
                let free = effect.clone().detached(now.as_ref());
                // What does not fit was an error where it was ordered, too, and changed nothing.
                if effect.apply(&mut now).is_ok() {
                    blobs.extend(free.iter().map(|effect| meaning.blob(effect)));
                }
            }
        }
        of_entries.push(blobs);
    }
    of_entries
}

/// The states of a key along the graph of its entries, each kept as long as something follows from it.
struct Graph<'a> {
    start: Option<&'a Object>,
    /// When that was written last.
    since: Stamp,
    states: BTreeMap<Version, Lineage>,
    uses: BTreeMap<Version, usize>,
}

/// A state in the graph.
#[derive(Clone)]
struct Lineage {
    forked: Forked,
    /// It goes back to where the log starts, and not to another creation of the key.
    related: bool,
}

impl Lineage {
    /// Both together; the start was written last at `since`.
    fn join(self, other: Self, since: Stamp) -> Self {
        let (mut into, from) = if self.related || !other.related { (self, other) } else { (other, self) };
        match into.forked.base() {
            Some(base) if into.related != from.related => {
                let log = from.forked.log().unrelated(base, since);
                into.forked.merge(&log);
            }
            _ => {
                into.forked.merge(from.forked.log());
            }
        }
        into
    }

    fn play(&mut self, meaning: &impl Meaning, entry: &Entry) {
        let mut index = 0;
        for blob in &entry.effects {
            let effects = match entry.step {
                Step::Start => meaning.start(blob).iter().flat_map(creation).collect(),
                Step::Write | Step::Merge(_) => meaning.effects(blob, self.forked.state()),
            };
            for effect in effects {
                let _ = self.forked.apply(origin_of(entry, index), &effect);
                index += 1;
            }
        }
    }
}

impl<'a> Graph<'a> {
    /// Plays all entries; `wanted` are the versions that are going to be taken, once each.
    fn new<'e>(
        meaning: &impl Meaning,
        Line { start, log }: Line<'a>,
        entries: impl Iterator<Item = &'e Entry> + Clone,
        wanted: &[Version],
    ) -> Self {
        let since = stamp_of(log.since);
        let mut graph = Self { start, since, states: BTreeMap::new(), uses: BTreeMap::new() };
        let parents = entries.clone().flat_map(|entry| match entry.step {
            Step::Merge(merged) => vec![entry.prior, merged],
            Step::Write | Step::Start => vec![entry.prior],
        });
        for version in parents.chain(wanted.iter().copied()) {
            *graph.uses.entry(version).or_default() += 1;
        }
        for entry in entries {
            let mut state = graph.take(entry.prior);
            match entry.step {
                Step::Merge(merged) => state = state.join(graph.take(merged), since),
                Step::Write | Step::Start => state.play(meaning, entry),
            }
            graph.states.insert(entry.dot, state);
        }
        graph
    }

    fn take(&mut self, version: Version) -> Lineage {
        let uses = self.uses.entry(version).or_insert(1);
        *uses = uses.saturating_sub(1);
        let known =
            if *uses == 0 { self.states.remove(&version) } else { self.states.get(&version).cloned() };
        known.unwrap_or_else(|| {
            let related = version.seq > 0 || self.start.is_none();
            Lineage { forked: Forked::new(self.start.filter(|_| related).cloned()), related }
        })
    }
}

/// The dots of a log need one number for each effect of an entry; a folded one may have many.
const EFFECTS_PER_ENTRY: u64 = 1 << 24;

/// The name of an effect. That of an operation is the operation's, so that one which ran on two sides is one.
fn origin_of(entry: &Entry, index: usize) -> Origin {
    let dot = entry.dot;
    let (side, number) = match &entry.origin {
        Some(origin) => {
            let hash = u64::from(origin.id.node.0);
            (Side { generation: 0, epoch: origin.id.counter, hash }, 0)
        }
        None => {
            let (epoch, hash) = (dot.epoch.counter(), u64::from(dot.epoch.proposer().0));
            (Side { generation: dot.generation.0, epoch, hash }, dot.seq)
        }
    };
    let sequence = number * EFFECTS_PER_ENTRY + index as u64 + 1;
    Origin { dot: Dot { side, sequence }, stamp: stamp_of(entry.stamp) }
}

fn stamp_of(swytch_cluster::Stamp { wall_ms, logical, node }: swytch_cluster::Stamp) -> Stamp {
    Stamp { physical_ms: wall_ms, logical, node: u64::from(node.0) }
}

/// Effects that make a value from nothing.
pub fn creation(object: &Object) -> Vec<Effect> {
    let mut effects: Vec<Effect> = match &object.value {
        Value::String(text) => vec![Effect::Set(text.clone())],
        Value::Hash(fields) => {
            fields.iter().map(|(field, value)| Effect::HashSet(field.clone(), value.clone())).collect()
        }
        Value::Set(members) => members.iter().cloned().map(Effect::SetAdd).collect(),
        Value::SortedSet(members) => {
            members.iter().map(|(member, score)| Effect::SortedSetPut(member.clone(), *score)).collect()
        }
        Value::List(elements) => {
            elements.iter().map(|element| Effect::ListPush(End::Tail, element.clone())).collect()
        }
        Value::Stream(stream) => creation_of_stream(stream),
        Value::HyperLogLog(registers) => {
            registers.iter().map(|(register, rank)| Effect::HyperLogLogRaise(*register, *rank)).collect()
        }
    };
    if object.deadline_ms.is_some() {
        effects.push(Effect::ExpireAt(object.deadline_ms));
    }
    effects
}

fn creation_of_stream(stream: &Stream) -> Vec<Effect> {
    let entries = stream.entries.iter().map(|(id, fields)| Effect::StreamAdd(*id, fields.clone()));
    let mut effects: Vec<Effect> = entries.collect();
    for (name, group) in &stream.groups {
        effects.push(Effect::GroupCreate(name.clone(), group.last_delivered));
        let pending = group.pending.iter();
        effects
            .extend(pending.map(|(id, consumer)| Effect::GroupDeliver(name.clone(), *id, consumer.clone())));
    }
    let highest = stream.entries.last_key_value().map(|(id, _)| *id).unwrap_or_default();
    let made = Stream { last_id: highest, entries_added: stream.entries.len() as u64, ..Stream::default() };
    let Stream { last_id, max_deleted, entries_added, rest, .. } = stream;
    let has_more = (*last_id, *max_deleted, *entries_added, rest)
        != (made.last_id, made.max_deleted, made.entries_added, &made.rest);
    if has_more || effects.is_empty() {
        effects.push(Effect::StreamMark(*last_id, *max_deleted, *entries_added, rest.clone()));
    }
    effects
}

#[cfg(test)]
mod tests {
    use swytch_cluster::Generation;

    use super::*;

    /// Blobs are indices of effects.
    struct Table(Vec<Effect>, std::cell::RefCell<Vec<Effect>>);

    impl Meaning for Table {
        fn effects(&self, blob: &Blob, _: Option<&Object>) -> Vec<Effect> {
            vec![self.0[usize::from(blob.bytes()[0])].clone()]
        }

        fn start(&self, _: &Blob) -> Option<Object> {
            None
        }

        fn blob(&self, effect: &Effect) -> Blob {
            self.1.borrow_mut().push(effect.clone());
            Blob::new(&[0])
        }
    }

    fn list(elements: &[&str]) -> Option<Object> {
        let elements = elements.iter().map(|element| element.as_bytes().to_vec()).collect();
        Some(Object { value: Value::List(elements), deadline_ms: None })
    }

    #[test]
    fn a_detached_batch_takes_what_it_took() {
        let made_for = list(&["a", "b", "c", "d"]);
        let effects = vec![
            Effect::ListRemove(0),
            Effect::ListRemove(2),
            Effect::ListSet(1, b"C".to_vec()),
            Effect::ListInsert(1, b"between".to_vec()),
        ];
        let table = Table(effects, std::cell::RefCell::default());
        let dot = Version { generation: Generation(1), ..Version::default() };
        let entry = |index: u8| Entry {
            dot,
            prior: dot,
            stamp: swytch_cluster::Stamp::default(),
            effects: vec![Blob::new(&[index])],
            origin: None,
            step: Step::Write,
        };
        let batch: Vec<Entry> = (0..4).map(entry).collect();
        assert_eq!(detached(&table, made_for.as_ref(), &batch).len(), 4);
        let mut later = list(&["new", "a", "b", "a", "c", "d", "x", "d", "newest"]);
        for effect in table.1.into_inner() {
            effect.apply(&mut later).expect("it fits any list");
        }
        assert_eq!(later, list(&["between", "C", "new", "b", "a", "d", "x", "newest"]));
    }
}
