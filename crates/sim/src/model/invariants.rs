//! What must hold in every state, and what must hold once everything has come to rest.

use std::collections::BTreeMap;

use swytch_cluster::{Class, ClientError, Key, Node, NodeId, NodeSet};

use super::journal::Journal;
use super::state::{Outcome, State};

/// A broken promise: which, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// The evidence.
    pub evidence: String,
}

fn broken<T>(promise: &'static str, evidence: String) -> Result<T, Violation> {
    Err(Violation { promise, evidence })
}

/// Checks a state.
///
/// # Errors
/// The first broken promise.
pub(super) fn check(state: &State, keys: &[Key]) -> Result<(), Violation> {
    if let Some(evidence) = &state.violation {
        return Err(evidence.clone());
    }
    for key in keys {
        one_token(state, key)?;
        replicas_equal(state, key)?;
    }
    once_each(state, keys)?;
    for (tag, outcome) in state.outcomes.iter().enumerate() {
        match &outcome.answer {
            Some(Err(error)) if error.is_clean() => never_applied(state, tag, outcome, *error)?,
            Some(Ok(_)) => not_lost(state, tag, outcome)?,
            _ => {}
        }
    }
    decided_once(state)
}

fn one_token(state: &State, key: &Key) -> Result<(), Violation> {
    let mut owners = BTreeMap::new();
    for (id, node) in state.running() {
        if node.copy_of(key).is_some_and(|copy| copy.owns) {
            if let Some(other) = owners.insert(node.view().id, id) {
                return broken("one token per key and view", format!("{key:?} at {other:?} and {id:?}"));
            }
        }
    }
    Ok(())
}

fn replicas_equal(state: &State, key: &Key) -> Result<(), Violation> {
    let mut known = BTreeMap::new();
    for (id, node) in state.running() {
        let Some(copy) = node.copy_of(key) else { continue };
        let tentative = copy.owns && copy.pending;
        if tentative {
            continue;
        }
        let tags = node.values().tags(key);
        let (other, theirs) = *known.entry((copy.meta.birth, copy.meta.version)).or_insert((id, tags));
        if theirs != tags {
            let evidence =
                format!("{key:?} at {:?}: {other:?} {theirs:?}, {id:?} {tags:?}", copy.meta.version);
            return broken("replicas are equal at equal versions", evidence);
        }
    }
    Ok(())
}

fn once_each(state: &State, keys: &[Key]) -> Result<(), Violation> {
    for (id, node) in state.running() {
        for key in keys {
            let tags = node.values().tags(key);
            let mut sorted = tags.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            if sorted.len() != tags.len() {
                return broken("an operation is applied once", format!("{key:?} at {id:?}: {tags:?}"));
            }
        }
    }
    Ok(())
}

fn never_applied(state: &State, tag: usize, outcome: &Outcome, error: ClientError) -> Result<(), Violation> {
    for (id, node) in state.running() {
        if outcome.keys.iter().any(|key| node.values().tags(key).contains(&(tag as u8))) {
            return broken(
                "a clean error means never applied",
                format!("#{tag} {error:?} but held by {id:?}"),
            );
        }
    }
    Ok(())
}

/// Operations that a crash, a flush or an ordered deletion may have taken away.
fn excused(state: &State, tag: usize, outcome: &Outcome) -> bool {
    tag < state.flushes_from || outcome.keys.iter().any(|key| state.deleted.contains(key))
}

fn not_lost(state: &State, tag: usize, outcome: &Outcome) -> Result<(), Violation> {
    if !matches!(outcome.class, Class::W | Class::X) || excused(state, tag, outcome) {
        return Ok(());
    }
    let mut holder_lives = false;
    for (id, node) in state.running() {
        holder_lives |= outcome.held.get(&(0, id)) == Some(&node.incarnation());
        let has = outcome.keys.first().is_some_and(|key| node.values().tags(key).contains(&(tag as u8)));
        let (_, forks, records) = node.unfinished();
        // A batch settled as committed stays prepared until its key is next regrouped.
        let prepared =
            outcome.keys.iter().any(|key| node.copy_of(key).is_some_and(|copy| copy.prepared.is_some()));
        if has || prepared || forks > 0 || records > 0 {
            return Ok(());
        }
    }
    if holder_lives {
        return broken(
            "an acknowledged write is not lost while a holder lives",
            format!("#{tag} is nowhere"),
        );
    }
    Ok(())
}

/// Of two X on a key one has seen the other, unless the first was lost with its only holders.
fn decided_once(state: &State) -> Result<(), Violation> {
    if state.lineage_may_change {
        return Ok(());
    }
    let committed: Vec<(usize, &Outcome, &Vec<u8>)> = state
        .outcomes
        .iter()
        .enumerate()
        .filter(|(tag, outcome)| outcome.class == Class::X && !excused(state, *tag, outcome))
        .filter_map(|(tag, outcome)| match &outcome.answer {
            Some(Ok(before)) => Some((tag, outcome, before)),
            _ => None,
        })
        .collect();
    for (index, (tag, one, before)) in committed.iter().enumerate() {
        for (other_tag, other, other_before) in &committed[..index] {
            let shares = one.keys.iter().any(|key| other.keys.contains(key));
            let ordered = before.contains(&(*other_tag as u8)) || other_before.contains(&(*tag as u8));
            if shares && !ordered {
                return broken("one X commit per lineage and version", format!("#{other_tag} and #{tag}"));
            }
        }
    }
    Ok(())
}

/// Checks what an answer claims at the moment it is given: called after the node has acted.
pub(super) fn check_answer(state: &State, at: NodeId, tag: usize) -> Result<(), Violation> {
    let Some(outcome) = state.outcomes.get(tag) else { return Ok(()) };
    let Some(node) = state.node(at) else { return Ok(()) };
    if !matches!(outcome.class, Class::W | Class::X) {
        return Ok(());
    }
    for key in &outcome.keys {
        for (id, other) in state.running() {
            if other.view().id != node.view().id {
                continue;
            }
            let Some(copy) = other.copy_of(key) else { continue };
            let has = other.values().tags(key).contains(&(tag as u8)) || copy.prepared.is_some();
            if copy.owner.is_some() && !has && tag >= state.flushes_from {
                return broken(
                    "OK means that every subscriber held it",
                    format!("#{tag} {key:?} not at {id:?}"),
                );
            }
        }
    }
    let owns_all = outcome.keys.iter().all(|key| node.copy_of(key).is_some_and(|copy| copy.owns));
    if outcome.class == Class::X && owns_all {
        let superseded = state.running().find(|(_, other)| {
            let base = &other.view().base;
            base.tag.generation > node.view().base.tag.generation && !base.has(at, node.incarnation())
        });
        if let Some((id, _)) = superseded {
            let evidence = format!("#{tag} at {at:?}, which the base of {id:?} has dropped");
            return broken("no X commit in a superseded lineage", evidence);
        }
    }
    Ok(())
}

/// Checks a state that has come to rest with all links up.
///
/// # Errors
/// The first broken promise.
pub(super) fn check_rest(state: &State, keys: &[Key], nodes: u8) -> Result<(), Violation> {
    check(state, keys)?;
    let all: NodeSet = (0..nodes).map(NodeId).collect();
    for (id, node) in state.running() {
        if node.view().members != all || !node.is_serving() {
            let view = node.view();
            return broken(
                "healing leads to one view",
                format!("{id:?} is in {:?} of {:?}", view.id, view.members),
            );
        }
        let (operations, forks, records) = node.unfinished();
        if (operations, forks, records) != (0, 0, 0) {
            let evidence = format!("{id:?}: {operations} operations, {forks} forks, {records} batches");
            return broken("nothing stays unfinished", evidence);
        }
    }
    for key in keys {
        let mut first: Option<(NodeId, &[u8])> = None;
        for (id, node) in state.running() {
            if node.copy_of(key).is_none_or(|copy| copy.owner.is_none()) {
                continue;
            }
            let tags = node.values().tags(key);
            let (other, theirs) = *first.get_or_insert((id, tags));
            if theirs != tags {
                return broken(
                    "healing converges",
                    format!("{key:?}: {other:?} {theirs:?}, {id:?} {tags:?}"),
                );
            }
        }
    }
    for (tag, outcome) in state.outcomes.iter().enumerate() {
        let (asked_at, life) = outcome.node;
        let client_is_there = state.node(asked_at).is_some_and(|node| node.incarnation() == life);
        if outcome.answer.is_none() && client_is_there {
            return broken("every operation is answered", format!("#{tag}"));
        }
    }
    everything_acknowledged_is_there(state)
}

fn everything_acknowledged_is_there(state: &State) -> Result<(), Violation> {
    for (tag, outcome) in state.outcomes.iter().enumerate() {
        let good = matches!(outcome.answer, Some(Ok(_))) && matches!(outcome.class, Class::W | Class::X);
        if !good || excused(state, tag, outcome) {
            continue;
        }
        for (index, key) in outcome.keys.iter().enumerate() {
            let held = |id, node: &Node<Journal>| outcome.held.get(&(index, id)) == Some(&node.incarnation());
            if !state.running().any(|(id, node)| held(id, node)) {
                continue;
            }
            for (id, node) in state.running() {
                let grouped = node.copy_of(key).is_some_and(|copy| copy.owner.is_some());
                if grouped && !node.values().tags(key).contains(&(tag as u8)) {
                    return broken(
                        "healing keeps what was acknowledged",
                        format!("#{tag} is not in {key:?} at {id:?}"),
                    );
                }
            }
        }
    }
    Ok(())
}

/// What a run should have seen at least once, or its silence says nothing.
#[derive(Clone, Debug, Default)]
pub struct Sometimes(pub BTreeMap<&'static str, u64>);

impl Sometimes {
    /// Looks at a state.
    pub(super) fn look(&mut self, state: &State) {
        let mut see = |what, seen: bool| *self.0.entry(what).or_default() += u64::from(seen);
        let answers =
            || state.outcomes.iter().filter_map(|outcome| Some((outcome, outcome.answer.as_ref()?)));
        let ok =
            |class| answers().filter(|(outcome, answer)| outcome.class == class && answer.is_ok()).count();
        see("two X committed", ok(Class::X) >= 2);
        see("a W acknowledged", ok(Class::W) >= 1);
        see(
            "a clean error",
            answers().any(|(_, answer)| answer.as_ref().is_err_and(|error| error.is_clean())),
        );
        see("two views at once", {
            let mut views: Vec<_> = state.running().map(|(_, node)| node.view().id).collect();
            views.sort();
            views.dedup();
            views.len() > 1
        });
        see("a new base", state.running().any(|(_, node)| node.view().base.tag.generation.0 > 1));
    }
}
