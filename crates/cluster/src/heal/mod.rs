//! Healing: forks become one history again.
//!
//! One node computes the merge, everyone else copies its outcome, so convergence needs no algebra. A fork inside the
//! base is merged while the key is regrouped; a fork of a node that was expired is kept by that node (`stash`), sent
//! to the owner once the node is back, and merged as an ordered write.
//!
//! A copy is the state at which its log starts and the log, a graph of entries under their own dots; what it contains
//! is known exactly by epochs ([`Meta::covers`]). A merge keeps the entries it takes in, so a copy that is the outcome
//! of merges meets the next one no differently: what one of them lacks is what its log lacks.
//!
//! Invariants: an entry is merged once, and an operation that ran on both sides of a partition under one name counts
//! once. Of two copies one contains the state at which the other's log starts: a log is trimmed only where every
//! holder is known to be, and a key created in doubt keeps its log from the start.
//!
//! [`Meta::covers`]: crate::copy::Meta

use std::collections::BTreeSet;

use crate::copy::{Copy, CopyState, PreparedPart, Queued};
use crate::ids::{Blob, FlightId, NodeId, OpId, Stamp, Version};
use crate::key::Key;
use crate::message::Message;
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::{Entry, History, MergeBy, MergeInput, Step, Values};

impl<V: Values> Turn<'_, V> {
    /// Merges what another copy has and this one, owned here, lacks. True if there was a fork.
    pub(crate) fn merge_copy(&mut self, key: &Key, other: &CopyState) -> bool {
        let Some(copy) = self.part.copies.get(key) else { return false };
        if copy.meta.covers_dot(other.meta.version) || self.config.without(Mutant::DropForks) {
            self.absorb(key, other);
            return false;
        }
        let (start, their_start) = (copy.log.start(&copy.meta), other.log.start(&other.meta));
        let value = other.value.as_ref();
        if self.is_forgotten(copy, other) {
            let is_later = other.meta.written > copy.meta.written;
            self.count(Rule::DecidedForgotten);
            if is_later {
                self.take_whole(key, other);
            }
        } else if copy.log.overflow || other.log.overflow {
            self.take_whole(key, other);
        } else if their_start.seq == 0 || copy.meta.covers_dot(their_start) {
            self.take_in_fork(key, &other.log.entries, other.meta.version, other.meta.written);
        } else if value.is_some()
            && (start.seq == 0 || other.meta.covers_dot(start))
            && !other.meta.has_forgotten(&copy.log.entries, copy.meta.version)
        {
            self.change_sides(key, other);
            return true;
        } else if let Some(value) = value.filter(|_| copy.meta.birth != other.meta.birth) {
            let stamp = other.log.history(&other.meta).since;
            let effects = value.snapshot.iter().cloned().collect();
            let (prior, step) = (Version::default(), Step::Start);
            let first = Entry { dot: their_start, prior, stamp, effects, origin: None, step };
            let entries: Vec<Entry> =
                std::iter::once(first).chain(other.log.entries.iter().cloned()).collect();
            self.count(Rule::UnitedCreations);
            self.take_in_fork(key, &entries, other.meta.version, other.meta.written);
        } else {
            self.take_whole(key, other);
        }
        self.absorb(key, other);
        true
    }

    /// Whether it is not known any more what the copy contains of the other one. Then the later writer has the whole key:
    /// what was merged before is never the later.
    fn is_forgotten(&self, copy: &Copy, other: &CopyState) -> bool {
        copy.meta.has_forgotten(&other.log.entries, other.meta.version)
            && !self.config.without(Mutant::MergeTheForgotten)
    }

    /// Takes over what the other copy contained and which operations it had answered.
    fn absorb(&mut self, key: &Key, other: &CopyState) {
        if let Some(copy) = self.part.copies.get_mut(key) {
            copy.meta.absorb(&other.meta);
            copy.done.absorb(&other.done);
            copy.bound_covers(self.config);
        }
    }

    /// Merges entries of a fork that this copy may lack. It contains the state where their log starts.
    fn take_in_fork(&mut self, key: &Key, entries: &[Entry], version: Version, written: Stamp) {
        let Some(copy) = self.part.copies.get(key) else { return };
        let on_top = self.config.without(Mutant::LateForksOnTop);
        match detached(copy, entries).filter(|_| !on_top) {
            Some(entries) => {
                self.count(Rule::MergedLate);
                self.take_in(key, &entries, version, written);
            }
            None => self.take_in(key, entries, version, written),
        }
    }

    /// Merges entries that this copy may lack.
    fn take_in(&mut self, key: &Key, entries: &[Entry], version: Version, written: Stamp) {
        let Some(copy) = self.part.copies.get(key) else { return };
        let by_replies = self.config.without(Mutant::ForgetWhatRanElsewhere);
        let theirs = missing(copy, entries, by_replies);
        let effects = if theirs.iter().all(|entry| entry.effects.is_empty()) {
            Vec::new()
        } else {
            let (ours, our_version) = (copy.log.history(&copy.meta), copy.meta.version);
            let by = MergeBy::Logs { ours, our_version, theirs: &theirs, their_version: version };
            self.values.merge(&MergeInput { key, by })
        };
        self.append_merged(key, theirs, effects, version, written);
    }

    /// The other copy contains the state where this copy's log starts, and not the other way round: this node goes
    /// over to the other copy and merges what it had itself.
    fn change_sides(&mut self, key: &Key, other: &CopyState) {
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        let snapshot = other.value.as_ref().and_then(|whole| whole.snapshot.as_ref());
        self.values.install(key, snapshot);
        let meta = std::mem::replace(&mut copy.meta, other.meta.clone());
        let log = std::mem::replace(&mut copy.log, other.log.clone());
        let done = std::mem::replace(&mut copy.done, other.done.clone());
        // Who holds the key here stays the same; whom the other copy knew belongs to its time.
        copy.meta.subscribers = meta.subscribers;
        copy.meta.doubt = meta.doubt;
        copy.meta.lost = meta.lost;
        copy.log_replaced();
        self.take_in_fork(key, &log.entries, meta.version, meta.written);
        if let Some(copy) = self.part.copies.get_mut(key) {
            copy.meta.absorb(&meta);
            copy.done.absorb(&done);
            copy.bound_covers(self.config);
        }
    }

    /// Without the logs the later writer takes the whole key. Not with it goes a batch of class X that only the other
    /// one contains: that would undo what its client was told.
    fn take_whole(&mut self, key: &Key, other: &CopyState) {
        self.count(Rule::DecidedWhole);
        let Some(copy) = self.part.copies.get(key) else { return };
        let mut effects = Vec::new();
        let (prepared, loser) = if other.meta.written > copy.meta.written && other.value.is_some() {
            let value = other.value.as_ref().and_then(|whole| whole.snapshot.as_ref());
            effects = self.values.merge(&MergeInput { key, by: MergeBy::Whole { value } });
            (other.prepared.clone(), &copy.meta)
        } else {
            (self.prepared_part(key, copy), &other.meta)
        };
        let decided = prepared.filter(|part| part.last_dot().is_some_and(|dot| loser.covers_dot(dot)));
        effects.extend(decided.into_iter().flat_map(|part| part.detached).flatten());
        self.append_merged(key, Vec::new(), effects, other.meta.version, other.meta.written);
        if let Some(copy) = self.part.copies.get_mut(key) {
            copy.log.give_up();
        }
    }

    /// Applies the effects of a merge and appends them as one entry, behind what was taken in.
    fn append_merged(
        &mut self,
        key: &Key,
        taken: Vec<Entry>,
        effects: Vec<Blob>,
        version: Version,
        written: Stamp,
    ) {
        self.see_stamp(written);
        let stamp = self.next_stamp();
        for effect in &effects {
            self.values.apply(key, effect, stamp);
        }
        let log_max = self.config.limits.log_max;
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        taken.iter().for_each(|entry| copy.done.learn(entry));
        copy.log.extend(taken, copy.meta.written, log_max);
        let prior = copy.meta.version;
        // The entries taken in may be of this very view, when the node has changed sides.
        let last = Version { seq: prior.seq.max(version.seq), ..prior };
        let dot = self.next_dot(last, 0);
        self.append(
            key,
            vec![Entry { dot, prior, stamp, effects, origin: None, step: Step::Merge(version) }],
        );
    }

    /// Brings a settled batch into the copy of this node, which regroups the key.
    pub(crate) fn apply_settled(&mut self, key: &Key, prepared: &PreparedPart) {
        let part = &prepared.part;
        let Some(last) = part.entries.last() else { return };
        let Some(copy) = self.part.copies.get(key) else { return };
        if !copy.meta.covers_dot(last.dot) {
            if copy.meta.version == part.prior {
                for entry in &part.entries {
                    for effect in &entry.effects {
                        self.values.apply(key, effect, entry.stamp);
                    }
                }
                self.append(key, part.entries.clone());
            } else {
                if copy.log.overflow {
                    // What the batch was ordered on top of is not known any more: it comes after all there is.
                    let since = copy.meta.written;
                    self.count(Rule::DecidedWhole);
                    self.values.settle(key, History { since, entries: &[] }, &[]);
                    self.take_in(key, &prepared.detached_entries(), last.dot, last.stamp);
                } else {
                    self.take_in(key, &part.entries, last.dot, last.stamp);
                }
                if let Some(copy) = self.part.copies.get_mut(key) {
                    let covered = copy.meta.covers.entry(last.dot.epoch).or_default();
                    *covered = last.dot.seq.max(*covered);
                }
            }
        }
        if let Some(record) = self.part.records.get_mut(&prepared.flight) {
            record.outcome = crate::message::Outcome::Committed;
            record.parts.retain(|other| other.key != *key);
            self.tell_learned(prepared.flight);
            self.doubt_resolved(prepared.flight);
        }
        if let Some(copy) = self.part.copies.get_mut(key).filter(|copy| copy.is_prepared_for(prepared.flight))
        {
            copy.prepared = None;
        }
        self.drop_closed(prepared.flight);
    }

    /// Sends forks from before this node was dropped to the keys' owners, some at a time.
    pub(crate) fn heal_tick(&mut self) {
        let now = self.now.mono_ms;
        let retry = self.config.timers.retry_ms;
        let window = self.config.limits.walk_max.max(1);
        self.unpack_some(window.saturating_sub(self.part.stash.len()));
        let due: Vec<(Key, Version)> = self
            .part
            .stash
            .iter()
            .filter(|(_, stashed)| stashed.sent_ms.is_none_or(|sent| now >= sent + retry))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let key = name.0.clone();
            let Some(owner) = self.owner_of(&key) else {
                self.touch(&key);
                continue;
            };
            let Some(birth) = self.part.copies.get(&key).map(|copy| copy.meta.birth) else { continue };
            if let Some(stashed) = self.part.stash.get_mut(&name) {
                stashed.sent_ms = Some(now);
                let fork = Box::new(stashed.state.clone());
                self.send(owner, Message::ForkLog { key, birth, fork });
            }
        }
    }

    pub(crate) fn on_fork_log(&mut self, from: NodeId, key: Key, birth: FlightId, fork: Box<CopyState>) {
        let same = self.part.copies.get(&key).is_some_and(|copy| copy.meta.birth == birth);
        if !self.owns_or_tells(from, &key) || !same {
            return;
        }
        let queued = self.owning(&key).map(|owning| {
            let same = |queued: &Queued| matches!(queued, Queued::Fork(node, _) if *node == from);
            owning.queue.iter().any(same)
        });
        if queued == Some(false) {
            self.enqueue(&key, Queued::Fork(from, fork));
        }
    }

    /// Merges a returned node's fork as an ordered write. It goes out as an alignment, which also tells the subscribers
    /// what the value contains now.
    pub(crate) fn merge_fork(&mut self, key: &Key, from: NodeId, fork: CopyState) {
        let awaited = self.awaited();
        let Some(copy) = self.part.copies.get(key) else { return };
        let version = fork.meta.version;
        let forgotten = self.is_forgotten(copy, &fork);
        let contained = copy.meta.covers_dot(version) || forgotten && fork.meta.written <= copy.meta.written;
        let settled = fork
            .prepared
            .clone()
            .filter(|part| !part.last_dot().is_none_or(|dot| copy.meta.covers_dot(dot)) && !forgotten);
        if contained && settled.is_none() {
            if forgotten {
                self.count(Rule::DecidedForgotten);
            }
            if let Some(copy) = self.part.copies.get_mut(key) {
                copy.meta.lost.remove(from);
            }
            self.send(from, Message::ForkMerged { key: key.clone(), version });
            return;
        }
        let others = (copy.meta.subscribers & self.installed.view.members).without(self.config.id);
        // Whoever else held the fork may bring its own.
        let holders = (fork.meta.subscribers | fork.meta.doubt | fork.meta.lost).without(self.config.id);
        let Some(copy) = self.part.copies.get_mut(key) else { return };
        copy.meta.lost = copy.meta.lost | (holders & awaited);
        if !contained {
            self.merge_copy(key, &fork);
        }
        if let Some(settled) = settled {
            self.apply_settled(key, &settled);
        }
        self.count(Rule::MergedStash);
        // The returned node asks again and is then told that its fork is merged.
        self.align_all(key, others);
    }

    pub(crate) fn on_fork_merged(&mut self, key: Key, version: Version) {
        if self.part.stash.remove(&(key.clone(), version)).is_some() {
            self.key_changed(&key);
        }
    }
}

/// Entries that a copy lacks. Those of operations that are part of the state where its own log starts have no effects
/// any more.
fn missing(copy: &Copy, entries: &[Entry], by_replies: bool) -> Vec<Entry> {
    let name = |entry: &Entry| entry.origin.as_ref().map(|origin| origin.id);
    let logged: BTreeSet<OpId> = copy.log.entries.iter().filter_map(name).collect();
    let counts = |op| if by_replies { copy.done.reply(op).is_some() } else { copy.done.counts(op) };
    let settled = |op: OpId| counts(op) && !logged.contains(&op);
    let lacking = entries.iter().filter(|entry| !copy.meta.covers_dot(entry.dot));
    lacking
        .map(|entry| match name(entry) {
            Some(op) if settled(op) => Entry { effects: Vec::new(), ..entry.clone() },
            _ => entry.clone(),
        })
        .collect()
}

/// The entries of a fork, if some were ordered on top of a state from before the one where the log of the copy starts.
/// That is known no more, nor what came after it entry by entry: what stands on it has seen nothing of what is here, and
/// counts as another creation of the key.
fn detached(copy: &Copy, entries: &[Entry]) -> Option<Vec<Entry>> {
    let lacking = entries.iter().filter(|entry| !copy.meta.covers_dot(entry.dot));
    let known: BTreeSet<Version> = copy.log.entries.iter().chain(lacking).map(|entry| entry.dot).collect();
    let start = copy.log.start(&copy.meta);
    let is_known = |state: Version| state.seq == 0 || state == start || known.contains(&state);
    if start.seq == 0 || entries.iter().all(|entry| copy.meta.covers_dot(entry.dot) || is_known(entry.prior))
    {
        return None;
    }
    let detach = |entry: &Entry| match is_known(entry.prior) {
        true => entry.clone(),
        false => Entry { prior: Version::default(), ..entry.clone() },
    };
    Some(entries.iter().map(detach).collect())
}
