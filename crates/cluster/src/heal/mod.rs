//! Healing: forks become one history again.
//!
//! One node computes the merge, everyone else copies its outcome, so convergence needs no algebra. A fork inside the
//! base is merged while the key is regrouped; a fork of a node that was expired is kept by that node (`stash`), sent
//! to the owner once the node is back, and merged as an ordered write.
//!
//! Invariant: an entry is merged once. What a value contains is known per epoch ([`Meta::covers`]), and an operation
//! that ran on both sides of a partition under one name counts once.
//!
//! [`Meta::covers`]: crate::copy::Meta

use crate::copy::{CopyState, Log, Meta, PreparedPart, Queued};
use crate::ids::{NodeId, Stamp, Version};
use crate::key::Key;
use crate::message::Message;
use crate::mutant::Mutant;
use crate::node::Node;
use crate::tally::Rule;
use crate::values::{Entry, MergeInput, Values};

impl<V: Values> Node<V> {
    /// Merges what another copy has and this one, owned here, lacks. True if there was a fork.
    ///
    /// `in_base`: the other copy belongs to a member that never left the base, so everything up to the common stable
    /// version is shared.
    pub(crate) fn merge_copy(&mut self, key: &Key, other: &CopyState, in_base: bool) -> bool {
        let Some(copy) = self.copies.get(key) else { return false };
        let same_birth = copy.meta.birth == other.meta.birth;
        let contained = |dot: Version| {
            if same_birth && in_base { copy.meta.contains(dot) } else { copy.meta.covers_dot(dot) }
        };
        let overflow = copy.log.overflow || other.log.overflow;
        if contained(other.meta.version) || self.config.without(Mutant::DropForks) {
            self.absorb(key, other);
            return false;
        }
        // Both logs start from the same value: the stable one of a common birth, or the absence before two births.
        let common = match (same_birth, in_base) {
            (true, true) => copy.meta.stable.seq.max(other.meta.stable.seq),
            (true, false) => other.meta.stable.seq,
            (false, _) => 0,
        };
        let from_birth = |meta: &Meta, log: &Log| meta.stable.seq == 0 && !log.overflow;
        let winner_from_birth = from_birth(&copy.meta, &copy.log);
        let loser_from_birth = from_birth(&other.meta, &other.log);
        let shared_base = if same_birth {
            in_base || copy.meta.stable.seq <= other.meta.stable.seq
        } else {
            winner_from_birth && loser_from_birth
        };
        let (winner, loser) = diverged(&copy.log, &other.log, common);
        let ran_here = |entry: &Entry| {
            let op = entry.origin.as_ref().map(|origin| origin.id);
            op.is_some_and(|op| {
                copy.done.replies.contains_key(&op)
                    || winner.iter().any(|ours| ours.origin.as_ref().is_some_and(|ours| ours.id == op))
            })
        };
        let known: Vec<bool> = loser.iter().map(|entry| contained(entry.dot) || ran_here(entry)).collect();
        let input = MergeInput {
            key,
            winner: &winner,
            loser: &loser,
            known: &known,
            winner_from_birth,
            loser_from_birth,
            loser_value: other.value.as_ref().and_then(|whole| whole.snapshot.as_ref()),
            shared_base,
            overflow,
            winner_stamp: copy.meta.written,
            loser_stamp: other.meta.written,
        };
        let effects = self.values.merge(&input);
        self.append_merged(key, effects, other.meta.written);
        self.absorb(key, other);
        true
    }

    /// Takes over what the other copy contained and which operations it had answered.
    fn absorb(&mut self, key: &Key, other: &CopyState) {
        if let Some(copy) = self.copies.get_mut(key) {
            copy.meta.absorb(&other.meta);
            copy.done.absorb(&other.done);
        }
    }

    /// Applies the effects of a merge and appends them as one entry.
    fn append_merged(&mut self, key: &Key, effects: Vec<crate::ids::Blob>, seen: Stamp) {
        self.see_stamp(seen);
        let stamp = self.next_stamp();
        for effect in &effects {
            self.values.apply(key, effect, stamp);
        }
        let Some(prior) = self.copies.get(key).map(|copy| copy.meta.version) else { return };
        let entry = Entry { dot: self.next_dot(prior, 0), stamp, effects, origin: None, rebase: true };
        self.append_all(key, &[entry]);
    }

    /// Brings a settled batch into the copy of this node, which regroups the key.
    pub(crate) fn apply_settled(&mut self, key: &Key, prepared: &PreparedPart) {
        let part = &prepared.part;
        let Some(last) = part.entries.last() else { return };
        let Some(copy) = self.copies.get(key) else { return };
        if !copy.meta.contains(last.dot) {
            if copy.meta.version == part.prior {
                for entry in &part.entries {
                    for effect in &entry.effects {
                        self.values.apply(key, effect, entry.stamp);
                    }
                }
                self.append_all(key, &part.entries);
            } else {
                let since: Vec<Entry> =
                    copy.log.entries.iter().filter(|entry| entry.dot.seq > part.prior.seq).cloned().collect();
                let stamp = part.entries.iter().map(|entry| entry.stamp).max().unwrap_or_default();
                let input = MergeInput {
                    key,
                    winner: &since,
                    loser: &part.entries,
                    known: &vec![false; part.entries.len()],
                    winner_from_birth: false,
                    loser_from_birth: false,
                    loser_value: None,
                    shared_base: true,
                    overflow: false,
                    winner_stamp: copy.meta.written,
                    loser_stamp: stamp,
                };
                let effects = self.values.merge(&input);
                self.append_merged(key, effects, stamp);
                if let Some(copy) = self.copies.get_mut(key) {
                    let covered = copy.meta.covers.entry(last.dot.epoch).or_default();
                    *covered = last.dot.seq.max(*covered);
                    part.entries.iter().for_each(|entry| copy.done.learn(entry));
                }
            }
        }
        if let Some(record) = self.records.get_mut(&prepared.flight) {
            record.outcome = crate::message::Outcome::Committed;
            record.parts.retain(|other| other.key != *key);
            self.doubt_resolved(prepared.flight);
        }
        if let Some(copy) = self.copies.get_mut(key).filter(|copy| copy.prepared == Some(prepared.flight)) {
            copy.prepared = None;
        }
        self.drop_closed(prepared.flight);
    }

    /// Whether a fork of the key waits here to be merged.
    pub(crate) fn has_fork(&self, key: &Key) -> bool {
        let first = (key.clone(), Version::default());
        !self.stash.is_empty()
            && self.stash.range(first..).next().is_some_and(|((forked, _), _)| forked == key)
    }

    /// Sends forks from before this node was dropped to the keys' owners.
    pub(crate) fn heal_tick(&mut self) {
        let now = self.now.mono_ms;
        let retry = self.config.timers.retry_ms;
        let (view, me) = (self.membership.view.id, self.config.id);
        let due: Vec<(Key, Version)> = self
            .stash
            .iter()
            .filter(|(_, stashed)| stashed.sent_ms.is_none_or(|sent| now >= sent + retry))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let key = name.0.clone();
            let Some(owner) = self.copy_now(&key).and_then(|copy| copy.owner(view, me)) else {
                self.touch(&key);
                continue;
            };
            if let Some(stashed) = self.stash.get_mut(&name) {
                stashed.sent_ms = Some(now);
                let fork = Box::new(stashed.state.clone());
                self.send(owner, Message::ForkLog { key, fork });
            }
        }
    }

    pub(crate) fn on_fork_log(&mut self, from: NodeId, key: Key, fork: Box<CopyState>) {
        let view = self.membership.view.id;
        if !self.owns_or_tells(from, &key) {
            return;
        }
        let queued = self.copy_now(&key).and_then(|copy| copy.owning(view)).map(|owning| {
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
        let Some(copy) = self.copies.get_mut(key) else { return };
        let version = fork.meta.version;
        if copy.meta.covers_dot(version) {
            copy.meta.lost.remove(from);
            self.send(from, Message::ForkMerged { key: key.clone(), version });
            return;
        }
        let others = (copy.meta.subscribers & self.membership.view.members).without(self.config.id);
        self.merge_copy(key, &fork, false);
        self.count(Rule::MergedStash);
        // The returned node asks again and is then told that its fork is merged.
        self.align_all(key, others);
    }

    pub(crate) fn on_fork_merged(&mut self, key: Key, version: Version) {
        if self.stash.remove(&(key.clone(), version)).is_some() {
            self.key_changed(&key);
        }
    }
}

/// Both logs from `common` on, without the entries at their beginning that are the same.
fn diverged(ours: &Log, theirs: &Log, common: u64) -> (Vec<Entry>, Vec<Entry>) {
    let after = |log: &Log| -> Vec<Entry> {
        log.entries.iter().filter(|entry| entry.dot.seq > common).cloned().collect()
    };
    let (mut ours, mut theirs) = (after(ours), after(theirs));
    let same = ours.iter().zip(&theirs).take_while(|(one, other)| one.dot == other.dot).count();
    (ours.split_off(same), theirs.split_off(same))
}
