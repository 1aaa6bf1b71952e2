//! What an answer must have seen: reads, the replies of writes, and WATCH.
//!
//! The model's clients are told, with every answer, which operations the keys contained. An operation is *known* from
//! the moment a client has been told of it: it was acknowledged, or an answer has shown it. Whoever asks later must see
//! it as far as the table of promises says so:
//!
//! - *Connected*: an answer given in the view in which the operation was known sees it. A write is executed before it
//!   is answered, so it counts only if it was asked for in that view as well.
//! - *A side sees what it wrote*: a read sees what a member of its view holds for good, unless that member was expired
//!   and has not brought it back yet.
//! - *Strictly serializable*: an X sees every X that a node holds which was never expired, whatever view it is in.
//! - *Several keys*: an answer sees a transaction that was asked for in the same view on all keys they have in common
//!   or on none. As long as a first holder of each key lives, an X sees any transaction so, and so does a read in a view
//!   of the whole base.
//! - *WATCH*: a watched key is, when the X is executed, what the read had shown.
//!
//! An eviction that deleted a key excuses what the key contained, and a FLUSHALL what was asked for before its end.

use std::collections::BTreeMap;

use swytch_cluster::{Class, Node, NodeId, ViewId};

use super::config::{KEYS_MAX, Scope};
use super::history::Outcome;
use super::invariants::{Violation, broken};
use super::journal::lists;
use super::state::{KeyMask, State, bits, indexes, mask_of};

/// Operations by key of the scope: bit `i` is tag `i`.
pub(super) type Tags = [u64; KEYS_MAX];

/// What clients have been told, by the view in which they were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Known(BTreeMap<ViewId, Tags>);

impl Known {
    /// A client was told in `view` that `key` contains these operations.
    pub(super) fn learn(&mut self, view: ViewId, key: usize, tags: u64) {
        self.0.entry(view).or_default()[key] |= tags;
    }

    /// What was told of `key` in `view`.
    pub(super) fn within(&self, view: ViewId, key: usize) -> u64 {
        self.0.get(&view).map_or(0, |tags| tags[key])
    }

    /// What was told of `key` anywhere.
    fn anywhere(&self, key: usize) -> u64 {
        self.0.values().fold(0, |all, tags| all | tags[key])
    }

    /// Whether a client was ever told of the operation.
    pub(super) fn shows(&self, tag: usize) -> bool {
        self.0.values().flatten().any(|tags| tags >> tag & 1 == 1)
    }
}

impl Outcome {
    /// What a good answer says of each of its keys: the operations before this one.
    pub(super) fn shown(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let reply = match &self.answer {
            Some(Ok(reply)) if self.class != Class::Flush => Some(&reply[..]),
            _ => None,
        };
        reply.into_iter().flat_map(|reply| indexes(self.keys).zip(lists(reply)))
    }

    fn shown_of(&self, key: usize) -> Option<&[u8]> {
        self.shown().find(|(index, _)| *index == key).map(|(_, list)| list)
    }
}

/// Checks an answer, just given at `at`, against what was known when it was asked for.
pub(super) fn check_shown(state: &State, scope: &Scope, at: NodeId, tag: usize) -> Result<(), Violation> {
    let outcome = &state.outcomes[tag];
    for (key, list) in outcome.shown() {
        let shown = mask_of(list);
        if let Some(missing) = bits(due(state, scope, at, outcome, key) & !shown).next() {
            return broken(
                "an answer sees what was known before",
                format!("#{tag} at {at:?} shows {list:?} of key {key}, without #{missing}"),
            );
        }
        let refused =
            |tag: &usize| matches!(&state.outcomes[*tag].answer, Some(Err(error)) if error.is_clean());
        if let Some(refused) = bits(shown).find(refused) {
            return broken("a clean error means never applied", format!("#{refused} but shown by #{tag}"));
        }
    }
    several_keys(state, at, tag, outcome)?;
    watched(state, scope, at, tag, outcome)
}

/// The operations on `key` that an answer given at `at` must have seen.
fn due(state: &State, scope: &Scope, at: NodeId, outcome: &Outcome, key: usize) -> u64 {
    let Some(view) = state.node(at).map(|node| node.view().id) else { return 0 };
    let read = outcome.class == Class::Read;
    let connected = if read || outcome.view == view { outcome.known.within(view, key) } else { 0 };
    let flushed = state.flushes_from > 0;
    let elsewhere = outcome.known.anywhere(key) & !connected;
    let held =
        bits(elsewhere).filter(|tag| !flushed && is_held_for(state, scope, at, outcome.class, key, *tag));
    let excused = if state.deleted >> key & 1 == 1 { state.deleted_tags } else { 0 };
    held.fold(connected, |due, tag| due | 1 << tag) & !excused
}

/// Whether a node that the answer has to heed holds the operation.
fn is_held_for(state: &State, scope: &Scope, at: NodeId, class: Class, key: usize, tag: usize) -> bool {
    let Some(view) = state.node(at).map(|node| node.view().id) else { return false };
    let operation = &state.outcomes[tag];
    state.running().any(|(id, node)| {
        let heeded = if class == Class::Read {
            let key = node.key_of(&scope.keys[key]);
            node.view().id == view
                && node.copy_of(&key).is_some_and(|copy| !copy.pending)
                && !node.has_fork(&key)
        } else {
            class == Class::X && operation.class == Class::X && state.stayed.contains(id)
        };
        heeded && operation.held[key][usize::from(id.0)] == node.incarnation()
    })
}

fn several_keys(state: &State, at: NodeId, tag: usize, outcome: &Outcome) -> Result<(), Violation> {
    if outcome.keys.count_ones() < 2 || outcome.keys & state.deleted != 0 {
        return Ok(());
    }
    let Some(view) = state.node(at).map(Node::view) else { return Ok(()) };
    let kept = |keys: KeyMask| indexes(keys).all(|key| !state.kept[key].is_empty());
    let (read, decided) = (outcome.class == Class::Read, outcome.class == Class::X);
    for (other_tag, other) in state.outcomes.iter().enumerate().filter(|(other, _)| *other != tag) {
        let common = outcome.keys & other.keys;
        let same_view = other.view == view.id && (read || outcome.view == view.id);
        let connected = decided || read && view.missing().is_empty();
        let bound = same_view || connected && kept(common);
        if other.class != Class::X || common.count_ones() < 2 || !bound {
            continue;
        }
        let sees = |key: &usize| outcome.shown_of(*key).is_some_and(|list| list.contains(&(other_tag as u8)));
        let (with, without): (Vec<usize>, Vec<usize>) = indexes(common).partition(sees);
        if !with.is_empty() && !without.is_empty() {
            return broken(
                "a transaction is seen whole",
                format!("#{tag} at {at:?} sees #{other_tag} in keys {with:?} and not in {without:?}"),
            );
        }
    }
    Ok(())
}

fn watched(state: &State, scope: &Scope, at: NodeId, tag: usize, outcome: &Outcome) -> Result<(), Violation> {
    let Some(read) = outcome.watched.and_then(|read| state.outcomes.get(usize::from(read))) else {
        return Ok(());
    };
    for (key, seen) in read.shown() {
        let changed = match outcome.shown_of(key) {
            Some(now) => now != seen,
            None => due(state, scope, at, outcome, key) & !mask_of(seen) != 0,
        };
        if changed && outcome.answer.as_ref().is_some_and(Result::is_ok) {
            return broken(
                "WATCH fails when the key was changed",
                format!("#{tag} at {at:?} with a watch on {seen:?} of key {key}"),
            );
        }
    }
    Ok(())
}
