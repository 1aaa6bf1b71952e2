//! The exhaustive search: every step from every state of a small scope.

use std::collections::VecDeque;
use std::sync::Arc;

use swytch_cluster::{Class, NodeId, NodeSet};

use super::config::Scope;
use super::invariants::{Violation, check};
use super::seen::Seen;
use super::state::{KeyMask, State, Step};
use super::{Counterexample, Report, describe, portrait};

/// Which state is looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one found first: counterexamples are the shortest, the states in memory many.
    Breadth,
    /// The one found last: the states in memory are the siblings along one path, which [`DEPTH_MAX`] bounds.
    Depth,
}

/// Steps after which a path is not followed any further. Some scopes have endless paths of ever new states (a question
/// may be asked again under a new number), and every step of a path keeps the siblings that wait in memory.
const DEPTH_MAX: usize = 200;

/// Steps from the first state; a path shares its beginning with those it came from.
struct Path {
    step: Step,
    before: Option<Arc<Path>>,
    length: usize,
}

/// Explores `scope` up to `states_max` distinct states.
pub fn search(scope: &Scope, order: Order, states_max: usize) -> Report {
    let mut report = Report::new(scope);
    let mut seen = Seen::new();
    let mut first = State::new(scope);
    seen.insert(first.fingerprint());
    let mut frontier: VecDeque<(State, Option<Arc<Path>>)> = VecDeque::from([(first, None)]);
    let mut steps = Vec::new();
    let next_state = |frontier: &mut VecDeque<_>| match order {
        Order::Breadth => frontier.pop_front(),
        Order::Depth => frontier.pop_back(),
    };
    let mut followed_all = true;
    while let Some((state, path)) = next_state(&mut frontier) {
        report.sometimes.look(&state);
        let length = path.as_ref().map_or(0, |path| path.length) + 1;
        if length > DEPTH_MAX {
            followed_all = false;
            continue;
        }
        steps.clear();
        choices(scope, &state, &mut steps);
        for step in steps.drain(..) {
            let mut next = state.clone();
            let touched = next.apply(scope, &step);
            report.steps += 1;
            if !seen.insert(next.fingerprint()) {
                continue;
            }
            let path = Arc::new(Path { step, before: path.clone(), length });
            if let Err(violation) = check(&next, scope, touched) {
                report.violation = Some(retrace(scope, &path, violation));
                report.states = seen.len();
                return report;
            }
            frontier.push_back((next, Some(path)));
        }
        if seen.len() >= states_max {
            break;
        }
    }
    report.complete = followed_all && frontier.is_empty();
    report.states = seen.len();
    report
}

/// Goes a path again and describes it.
fn retrace(scope: &Scope, path: &Path, violation: Violation) -> Counterexample {
    let mut steps = vec![&path.step];
    let mut at = path.before.as_ref();
    while let Some(path) = at {
        steps.push(&path.step);
        at = path.before.as_ref();
    }
    let mut state = State::new(scope);
    let mut trace = Vec::new();
    for step in steps.into_iter().rev() {
        trace.push(describe(&state, step));
        state.apply(scope, step);
    }
    trace.extend(portrait(scope, &state));
    (violation, trace)
}

/// Every step possible in `state`.
fn choices(scope: &Scope, state: &State, steps: &mut Vec<Step>) {
    let spent = state.spent;
    for index in 0..state.wire.len() {
        steps.push(Step::Deliver { index, keep: false });
        if spent.duplicates < scope.duplicates {
            steps.push(Step::Deliver { index, keep: true });
        }
    }
    let all: Vec<NodeId> = state.running().map(|(id, _)| id).collect();
    let key_count = scope.keys.len();
    if spent.operations < scope.operations {
        // The classes take turns, so that every order of nodes is tried with every mix of them.
        let class = scope.classes[usize::from(spent.operations) % scope.classes.len()];
        let watch = scope.watches && class == Class::X;
        for node in all.iter().copied() {
            if scope.transactions {
                steps.push(Step::Submit { node, class, keys: every_key(scope), watch, delete: false });
            } else {
                let submit =
                    |key: usize| Step::Submit { node, class, keys: 1 << key as u8, watch, delete: false };
                steps.extend((0..key_count).map(submit));
            }
        }
    }
    if spent.proposals < scope.proposals {
        for mask in 1..1_u64 << scope.nodes {
            let candidates = NodeSet(mask);
            if let Some(node) = candidates.first().filter(|_| candidates.iter().all(|id| all.contains(&id))) {
                steps.push(Step::Propose { node, candidates });
            }
        }
    }
    if spent.crashes < scope.crashes {
        steps.extend(all.iter().map(|node| Step::Crash(*node)));
    }
    if spent.evictions < scope.evictions {
        for node in all.iter().copied() {
            steps.extend((0..key_count).map(|key| Step::Evict { node, key }));
        }
    }
}

/// All keys of a scope.
pub(super) fn every_key(scope: &Scope) -> KeyMask {
    ((1_u16 << scope.keys.len()) - 1) as KeyMask
}
