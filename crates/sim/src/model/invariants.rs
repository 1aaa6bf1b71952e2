//! What must hold in every state, and what must hold once everything has come to rest.

use std::collections::BTreeMap;

use swytch_cluster::{Change, Class, ClientError, Key, Node, NodeId, NodeSet, Rule, Space, Timers, Values};

use super::config::Scope;
use super::history::Outcome;
use super::journal::Journal;
use super::search::every_key;
use super::state::{KeyMask, Slot, State, indexes};

/// A broken promise: which, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// The evidence.
    pub evidence: String,
}

pub(super) fn broken<T>(promise: &'static str, evidence: String) -> Result<T, Violation> {
    Err(Violation { promise, evidence })
}

/// Checks a state in which only the `touched` nodes have acted since the last check.
///
/// # Errors
/// The first broken promise.
pub(super) fn check(state: &State, scope: &Scope, touched: NodeSet) -> Result<(), Violation> {
    if let Some(evidence) = &state.violation {
        return Err((**evidence).clone());
    }
    for (index, key) in scope.keys.iter().enumerate() {
        for at in touched.iter() {
            let Some(node) = state.node(at) else { continue };
            let key = &node.key_of(key);
            one_token(state, key, at, node)?;
            alone(state, key, at, node)?;
            replicas_equal(state, key, at, node)?;
            once_each(key, index, at, state)?;
        }
    }
    for (tag, outcome) in state.outcomes.iter().enumerate() {
        match &outcome.answer {
            Some(Err(error)) if error.is_clean() => never_applied(state, scope, tag, *error)?,
            Some(Ok(_)) if outcome.class == Class::Flush => flushed(state, scope, tag, outcome)?,
            Some(Ok(_)) => not_lost(state, scope, tag, outcome)?,
            _ => {}
        }
        stays_in_its_database(state, scope, tag, outcome)?;
    }
    decided_once(state)
}

fn one_token(state: &State, key: &Key, at: NodeId, node: &Node<Journal>) -> Result<(), Violation> {
    if !node.owns(key) {
        return Ok(());
    }
    let view = node.view().id;
    let other = state.running().find(|(id, other)| *id != at && other.view().id == view && other.owns(key));
    match other {
        Some((other, _)) => broken("one token per key and view", format!("{key:?} at {other:?} and {at:?}")),
        None => Ok(()),
    }
}

/// Who holds a key without a record, or any other member of its view, is the only one of them that holds it.
fn alone(state: &State, key: &Key, at: NodeId, node: &Node<Journal>) -> Result<(), Violation> {
    let Some(copy) = node.copy_of(key) else { return Ok(()) };
    let holds_too = |(id, other): &(NodeId, &Node<Journal>)| {
        let theirs = other.copy_of(key).filter(|_| *id != at && other.view().id == node.view().id);
        theirs.is_some_and(|theirs| copy.is_solo() || theirs.is_solo())
    };
    match state.running().find(holds_too) {
        Some((other, _)) => {
            broken("what has no record is held by one node", format!("{key:?} at {at:?} and {other:?}"))
        }
        None => Ok(()),
    }
}

fn replicas_equal(state: &State, key: &Key, at: NodeId, node: &Node<Journal>) -> Result<(), Violation> {
    let Some(copy) = node.copy_of(key).filter(|copy| !(copy.owns && copy.pending)) else { return Ok(()) };
    for (id, other) in state.running().filter(|(id, _)| *id != at) {
        let Some(theirs) = other.copy_of(key).filter(|copy| !(copy.owns && copy.pending)) else { continue };
        let same = (theirs.meta.birth, theirs.meta.version) == (copy.meta.birth, copy.meta.version);
        if same && node.values().tags(key) != other.values().tags(key) {
            let (ours, theirs) = (node.values().tags(key), other.values().tags(key));
            let evidence = format!("{key:?} at {:?}: {at:?} {ours:?}, {id:?} {theirs:?}", copy.meta.version);
            return broken("replicas are equal at equal versions", evidence);
        }
    }
    Ok(())
}

fn once_each(key: &Key, index: usize, at: NodeId, state: &State) -> Result<(), Violation> {
    let Some(slot) = &state.nodes[usize::from(at.0)] else { return Ok(()) };
    let tags = slot.node.values().tags(key);
    let again = slot.tags[index] & state.forgotten[index];
    if again != 0 {
        let evidence =
            format!("{key:?} at {at:?}: {tags:?}, of which {again:#b} were deleted with an earlier creation");
        return broken("an operation is applied once", evidence);
    }
    if slot.tags[index].count_ones() as usize == tags.len() {
        return Ok(());
    }
    broken("an operation is applied once", format!("{key:?} at {at:?}: {tags:?}"))
}

/// Whether the node's value of one of the keys contains the operation.
fn contains(slot: &Slot, keys: KeyMask, tag: usize) -> bool {
    indexes(keys).any(|index| slot.tags[index] >> tag & 1 == 1)
}

fn never_applied(state: &State, scope: &Scope, tag: usize, error: ClientError) -> Result<(), Violation> {
    match state.slots().find(|(_, slot)| contains(slot, every_key(scope), tag)) {
        Some((id, _)) => {
            broken("a clean error means never applied", format!("#{tag} {error:?} but held by {id:?}"))
        }
        None if state.known.shows(tag) => broken(
            "a clean error means never applied",
            format!("#{tag} {error:?} but an answer has shown it"),
        ),
        None => Ok(()),
    }
}

/// Operations that a crash, a flush or an ordered deletion may have taken away.
fn excused(state: &State, tag: usize, outcome: &Outcome) -> bool {
    tag < state.flushes_from || outcome.keys & state.deleted != 0
}

/// Nothing that was acknowledged before a FLUSHALL, or FLUSHDB, is seen in a base that has been flushed.
fn flushed(state: &State, scope: &Scope, tag: usize, outcome: &Outcome) -> Result<(), Violation> {
    let has_seen = |slot: &Slot| {
        let base = &slot.node.view().base;
        outcome.flush <= if outcome.change.is_some() { base.tag.generation.0 } else { base.flush }
    };
    let is_flushed = |key: &Key| match outcome.change {
        Some(Change::FlushDb(database)) => key.space().0 == database,
        Some(_) => false,
        None => true,
    };
    let flushed: Vec<usize> = (0..scope.keys.len()).filter(|index| is_flushed(&scope.keys[*index])).collect();
    for (id, slot) in state.slots().filter(|(_, slot)| has_seen(slot)) {
        if let Some(index) = flushed.iter().find(|index| slot.tags[**index] & outcome.before != 0) {
            let evidence = format!("#{tag}, but key {index} at {id:?} has {:#b}", slot.tags[*index]);
            return broken("FLUSHALL leaves no earlier key", evidence);
        }
    }
    Ok(())
}

/// What was asked for and answered while no database was swapped is in no other space than the one of then.
fn stays_in_its_database(
    state: &State,
    scope: &Scope,
    tag: usize,
    outcome: &Outcome,
) -> Result<(), Violation> {
    let Some((space, _, true)) = outcome.placed.filter(|_| matches!(outcome.answer, Some(Ok(_)))) else {
        return Ok(());
    };
    let Some(key) = indexes(outcome.keys).next().map(|index| &scope.keys[index]) else { return Ok(()) };
    for (id, node) in state.running() {
        for other in (0..2 * scope.databases).map(Space).filter(|other| *other != space) {
            if outcome.keys.count_ones() == 1
                && node.values().tags(&key.in_space(other)).contains(&(tag as u8))
            {
                return broken(
                    "SWAPDB leaves a key where it is",
                    format!("#{tag} is in {other:?} at {id:?}"),
                );
            }
        }
    }
    Ok(())
}

/// Of two lineages that have both forgotten where they parted, one is given up.
fn decided_late(state: &State, scope: &Scope) -> bool {
    let decided = |(_, node): (NodeId, &Node<Journal>)| node.tally().of(Rule::DecidedWhole) > 0;
    scope.retain_ms < Timers::default().retain_ms && state.running().any(decided)
}

fn not_lost(state: &State, scope: &Scope, tag: usize, outcome: &Outcome) -> Result<(), Violation> {
    if decided_late(state, scope)
        || !matches!(outcome.class, Class::W | Class::X)
        || excused(state, tag, outcome)
    {
        return Ok(());
    }
    let Some(first) = indexes(outcome.keys).next() else { return Ok(()) };
    if state.slots().any(|(_, slot)| slot.tags[first] >> tag & 1 == 1) {
        return Ok(());
    }
    let mut holder_lives = false;
    for (id, node) in state.running() {
        holder_lives |= outcome.held[first][usize::from(id.0)] == node.incarnation();
        let (_, forks, records) = node.unfinished();
        // A batch settled as committed stays prepared until its key is next regrouped.
        let prepared = indexes(outcome.keys).any(|index| {
            node.copy_of(&node.key_of(&scope.keys[index])).is_some_and(|copy| copy.prepared.is_some())
        });
        if prepared || forks > 0 || records > 0 {
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
    let committed = || {
        let outcomes = state.outcomes.iter().enumerate();
        outcomes
            .filter(|(tag, outcome)| outcome.class == Class::X && !excused(state, *tag, outcome))
            .filter_map(|(tag, outcome)| match &outcome.answer {
                Some(Ok(before)) => Some((tag, outcome, before)),
                _ => None,
            })
    };
    for (tag, one, before) in committed() {
        for (other_tag, other, other_before) in committed().take_while(|(other_tag, ..)| *other_tag < tag) {
            let ordered = before.contains(&(other_tag as u8)) || other_before.contains(&(tag as u8));
            if one.keys & other.keys != 0 && !ordered {
                return broken("one X commit per lineage and version", format!("#{other_tag} and #{tag}"));
            }
        }
    }
    Ok(())
}

/// Checks what an answer claims at the moment it is given: called after the node has acted.
pub(super) fn check_answer(state: &State, scope: &Scope, at: NodeId, tag: usize) -> Result<(), Violation> {
    let Some(outcome) = state.outcomes.get(tag) else { return Ok(()) };
    let Some(node) = state.node(at) else { return Ok(()) };
    // What is decided once has been decided by all who hold it, wherever that is told.
    let may = match outcome.class {
        Class::Read => scope.minority.reads,
        Class::W => scope.minority.writes,
        Class::X | Class::Flush => true,
    };
    if !may && !node.view().has_most() {
        return broken("a minority serves nobody if it is told so", format!("#{tag} at {at:?}"));
    }
    if !matches!(outcome.class, Class::W | Class::X) {
        return Ok(());
    }
    let keys = || indexes(outcome.keys).map(|index| node.key_of(&scope.keys[index]));
    let deleted = state.deleted_tags >> tag & 1 == 1;
    let deleted = |index: usize| deleted && (state.changed == 0 || state.changed >> index & 1 == 1);
    for index in indexes(outcome.keys).filter(|index| !deleted(*index)) {
        let key = &node.key_of(&scope.keys[index]);
        for (id, other) in state.running() {
            if other.view().id != node.view().id || state.holds_another(scope, id, index, tag) {
                continue;
            }
            let Some(copy) = other.copy_of(key) else { continue };
            let has = other.values().tags(key).contains(&(tag as u8)) || copy.prepared.is_some();
            // Nobody reads a pending copy; a regroup brings the settled batch in before anybody does.
            if copy.owner.is_some() && !copy.pending && !has && tag >= state.flushes_from {
                return broken(
                    "OK means that every subscriber held it",
                    format!("#{tag} {key:?} not at {id:?}"),
                );
            }
        }
    }
    if let Some(index) = indexes(outcome.keys).find(|index| is_kept_by_one(state, scope, node, tag, *index)) {
        return broken("OK means that two nodes hold it", format!("#{tag} {:?}", scope.keys[index]));
    }
    let owns_all = keys().all(|key| node.owns(&key));
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

/// Whether an acknowledged operation is held by one node although two were to, and there is nothing that excuses it: all
/// members of the view run, and nothing has been deleted.
fn is_kept_by_one(state: &State, scope: &Scope, node: &Node<Journal>, tag: usize, index: usize) -> bool {
    let members = node.view().members;
    let runs = |member: NodeId| {
        state.node(member).is_some_and(|other| node.view().base.has(member, other.incarnation()))
    };
    if scope.copies < 2 || scope.deletes || members.len() < 2 || !members.iter().all(runs) {
        return false;
    }
    if state.deleted >> index & 1 == 1 || tag < state.flushes_from {
        return false;
    }
    let holds = |slot: &Slot| {
        let key = &slot.node.key_of(&scope.keys[index]);
        let in_fork = slot.forked[index].is_some_and(|tags| tags >> tag & 1 == 1);
        let in_value = slot.node.values().tags(key).contains(&(tag as u8));
        in_value || in_fork || slot.node.copy_of(key).is_some_and(|copy| copy.prepared.is_some())
    };
    state.slots().filter(|(_, slot)| holds(slot)).count() < 2
}

/// Looks at what is to have two holders when all links have been up for a while, before clients ask for it everywhere.
pub(super) fn check_repair(state: &State, scope: &Scope) -> Result<(), Violation> {
    // An eviction that is cut short when its owner goes leaves a record behind that says too much.
    if scope.copies < 2 || state.running().count() < 2 || state.spent.evictions > 0 {
        return Ok(());
    }
    let held_by =
        |key: &Key| state.running().filter(|(_, node)| node.values().holds(&node.key_of(key))).count();
    match scope.keys.iter().find(|key| held_by(key) == 1) {
        Some(key) => {
            let told = |(id, node): (NodeId, &Node<Journal>)| {
                let view = node.view();
                format!(
                    "{id:?} in {:?} {:?} of {:?}: {:?}",
                    view.id,
                    view.members,
                    view.base.nodes(),
                    node.copy_of(&node.key_of(key))
                )
            };
            let told: Vec<String> = state.running().map(told).collect();
            broken("what one node holds is repaired", format!("{key:?}: {told:?}"))
        }
        None => Ok(()),
    }
}

/// Checks a state that has come to rest with all links up.
///
/// # Errors
/// The first broken promise.
pub(super) fn check_rest(state: &State, scope: &Scope) -> Result<(), Violation> {
    let all: NodeSet = (0..scope.nodes).map(NodeId).collect();
    check(state, scope, all)?;
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
    for key in &scope.keys {
        let mut first: Option<(NodeId, &[u8])> = None;
        for (id, node) in state.running() {
            let key = &node.key_of(key);
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
    transactions_are_whole(state)?;
    everything_acknowledged_is_there(state, scope)
}

/// A transaction is on all of its keys or on none, whatever its client was told, as long as each key has a holder that
/// has held it throughout: it has not crashed, dropped its copy, or been outside an installed base.
fn transactions_are_whole(state: &State) -> Result<(), Violation> {
    for (tag, outcome) in state.outcomes.iter().enumerate().filter(|(_, outcome)| outcome.class == Class::X) {
        let kept = || indexes(outcome.keys).filter(|index| !state.kept[*index].is_empty());
        let has = |index: usize| state.slots().any(|(_, slot)| slot.tags[index] >> tag & 1 == 1);
        if let (Some(with), Some(without)) =
            (kept().find(|index| has(*index)), kept().find(|index| !has(*index)))
        {
            return broken(
                "a transaction is whole",
                format!("#{tag} is in key {with} and not in key {without}"),
            );
        }
    }
    Ok(())
}

fn everything_acknowledged_is_there(state: &State, scope: &Scope) -> Result<(), Violation> {
    if decided_late(state, scope) {
        return Ok(());
    }
    for (tag, outcome) in state.outcomes.iter().enumerate() {
        let good = matches!(outcome.answer, Some(Ok(_))) && matches!(outcome.class, Class::W | Class::X);
        if !good || excused(state, tag, outcome) {
            continue;
        }
        for index in indexes(outcome.keys) {
            let held = |id: NodeId, node: &Node<Journal>| {
                outcome.held[index][usize::from(id.0)] == node.incarnation()
            };
            if !state.running().any(|(id, node)| held(id, node)) {
                continue;
            }
            let key = &scope.keys[index];
            for (id, slot) in state.slots() {
                let copy = slot.node.copy_of(&slot.node.key_of(key));
                let grouped = copy.is_some_and(|copy| copy.owner.is_some());
                if grouped && slot.tags[index] >> tag & 1 == 0 {
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
        see("a read answered", ok(Class::Read) >= 1);
        let watched = |good: bool| {
            answers().any(|(outcome, answer)| {
                outcome.watched.is_some()
                    && if good { answer.is_ok() } else { *answer == Err(ClientError::WatchFailed) }
            })
        };
        see("a watch held", watched(true));
        see("a watch failed", watched(false));
        see("a log was folded", state.running().any(|(_, node)| node.tally().of(Rule::Folded) > 0));
        see("a new base", state.running().any(|(_, node)| node.view().base.tag.generation.0 > 1));
    }
}
