//! The protocol, model-checked: the real core, every order of messages, every choice of views, crashes and times.
//!
//! Two searches share one model (`state`), one set of promises (`invariants`) and one table of states seen:
//!
//! - [`search`]: breadth first, exhaustive within a small scope; gives the shortest counterexample.
//! - [`walk`]: seeded random walks through a large scope; after each walk all links heal and everything must come to
//!   rest converged. Distinct states are counted.
//!
//! Mapping: a node is `swytch_cluster::Node` over values that list the operations applied ([`journal`]); the network
//! is a set of messages of which any may be delivered next, twice, or never. Time stands still in exhaustive scopes,
//! where views are proposed freely; in walks it passes in large steps under chosen partitions. All nodes share one
//! clock here; drift and jumps are the simulator's part.

mod config;
mod invariants;
mod journal;
mod seen;
mod state;

use std::collections::VecDeque;
use std::sync::Arc;

use swytch_cluster::{Class, Key, Mutant, NodeId, NodeSet};

use crate::rng::Rng;
pub use config::Scope;
pub use invariants::{Sometimes, Violation};
use invariants::{check, check_rest};
use seen::{Seen, fingerprint};
use state::{Sides, State, Step};

/// What a run found.
#[derive(Debug)]
pub struct Report {
    /// The scope's name.
    pub name: String,
    /// Distinct states.
    pub states: usize,
    /// Transitions taken.
    pub steps: u64,
    /// The whole scope was explored.
    pub complete: bool,
    /// What was seen at least once.
    pub sometimes: Sometimes,
    /// The first broken promise, with the way there.
    pub violation: Option<(Violation, Vec<String>)>,
}

impl Report {
    /// One line.
    pub fn line(&self) -> String {
        let how = if self.complete { "complete" } else { "part" };
        let end = self.violation.as_ref().map_or("no violation".into(), |(violation, trace)| {
            format!("VIOLATED after {} steps: {} ({})", trace.len(), violation.promise, violation.evidence)
        });
        format!("{:<36} {:>11} states {:>12} steps  {how:<8} {end}", self.name, self.states, self.steps)
    }
}

/// Explores `scope` breadth first, up to `states_max` distinct states.
pub fn search(scope: &Scope, states_max: usize) -> Report {
    let mut report = Report {
        name: scope.name.into(),
        states: 0,
        steps: 0,
        complete: false,
        sometimes: Sometimes::default(),
        violation: None,
    };
    let mut seen = Seen::new();
    let first = State::new(scope);
    seen.insert(fingerprint(&first));
    // A path is a list that shares its tail with the paths it came from.
    let mut queue: VecDeque<(State, Option<Arc<Path>>)> = VecDeque::from([(first, None)]);
    let mut steps = Vec::new();
    while let Some((state, path)) = queue.pop_front() {
        report.sometimes.look(&state);
        steps.clear();
        choices(scope, &state, &mut steps);
        for step in steps.drain(..) {
            let mut next = state.clone();
            next.apply(scope, &step);
            report.steps += 1;
            if !seen.insert(fingerprint(&next)) {
                continue;
            }
            let path = Arc::new(Path { step: describe(&step), before: path.clone() });
            if let Err(violation) = check(&next, &scope.keys) {
                report.states = seen.len();
                report.violation = Some((violation, path.unroll()));
                return report;
            }
            if seen.len() >= states_max {
                report.states = seen.len();
                return report;
            }
            queue.push_back((next, Some(path)));
        }
    }
    report.states = seen.len();
    report.complete = true;
    report
}

struct Path {
    step: String,
    before: Option<Arc<Path>>,
}

impl Path {
    fn unroll(&self) -> Vec<String> {
        let mut trace = vec![self.step.clone()];
        let mut at = self.before.as_ref();
        while let Some(path) = at {
            trace.push(path.step.clone());
            at = path.before.as_ref();
        }
        trace.reverse();
        trace
    }
}

fn describe(step: &Step) -> String {
    match step {
        Step::Deliver { message, keep } => {
            let twice = if *keep { " (kept)" } else { "" };
            format!("{:?} -> {:?}{twice}: {:?}", message.from, message.to, message.message)
        }
        other => format!("{other:?}"),
    }
}

/// Walks at random through `scope` from `seed` on until `states_max` distinct states were seen.
pub fn walk(scope: &Scope, seed: u64, states_max: usize) -> Report {
    let mut report = Report {
        name: scope.name.into(),
        states: 0,
        steps: 0,
        complete: false,
        sometimes: Sometimes::default(),
        violation: None,
    };
    let mut seen = Seen::new();
    let mut rng = Rng::new(seed);
    while seen.len() < states_max && report.violation.is_none() {
        let walk_seed = rng.next_u64();
        if let Err((violation, mut trace)) = one_walk(scope, walk_seed, &mut seen, &mut report) {
            trace.insert(0, format!("walk {walk_seed:#x}"));
            report.violation = Some((violation, trace));
        }
    }
    report.states = seen.len();
    report
}

/// Steps of one walk before everything is healed.
const WALK_STEPS: u64 = 400;

fn one_walk(
    scope: &Scope,
    seed: u64,
    seen: &mut Seen,
    report: &mut Report,
) -> Result<(), (Violation, Vec<String>)> {
    let mut rng = Rng::new(seed);
    let mut state = State::new(scope);
    let mut trace = Vec::new();
    let length = rng.between(WALK_STEPS / 4, WALK_STEPS);
    for _ in 0..length {
        let Some(step) = random_step(scope, &state, &mut rng) else { break };
        trace.push(describe(&step));
        state.apply(scope, &step);
        report.steps += 1;
        if seen.insert(fingerprint(&state)) {
            if let Err(violation) = check(&state, &scope.keys) {
                trace.extend(portrait(scope, &state));
                return Err((violation, trace));
            }
        }
    }
    report.sometimes.look(&state);
    state.come_to_rest(scope);
    trace.push("all links heal, everything comes to rest".into());
    check_rest(&state, &scope.keys, scope.nodes).map_err(|violation| {
        trace.extend(portrait(scope, &state));
        (violation, trace)
    })
}

/// The state a violation was found in.
fn portrait(scope: &Scope, state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, node) in state.running() {
        let view = node.view();
        let generation = view.base.tag.generation;
        lines.push(format!("{id:?} is in {:?} {:?} of {generation:?}", view.id, view.members));
        for key in &scope.keys {
            lines.push(format!("    {key:?} {:?} {:?}", node.values().tags(key), node.copy_of(key)));
        }
    }
    lines.extend(state.outcomes.iter().enumerate().map(|(tag, outcome)| format!("#{tag} {outcome:?}")));
    lines
}

/// Repeats one walk, for looking into it.
///
/// # Errors
/// The violation it ends in, with its trace.
pub fn replay(scope: &Scope, seed: u64) -> Result<(), (Violation, Vec<String>)> {
    let mut report = walk(scope, 0, 0);
    one_walk(scope, seed, &mut Seen::new(), &mut report)
}

fn random_step(scope: &Scope, state: &State, rng: &mut Rng) -> Option<Step> {
    for _ in 0..20 {
        let node = NodeId(rng.below(u64::from(scope.nodes)) as u8);
        let runs = state.node(node).is_some();
        let spent = state.spent;
        let step = match rng.below(100) {
            0..=69 if !state.wire.is_empty() => {
                let (_, message) = &state.wire[rng.below(state.wire.len() as u64) as usize];
                if !state.can_pass(message) {
                    continue;
                }
                let keep = spent.duplicates < scope.duplicates && rng.below(20) == 0;
                Step::Deliver { message: Box::new((**message).clone()), keep }
            }
            70..=83 if runs && spent.operations < scope.operations => {
                let class = scope.classes[rng.below(scope.classes.len() as u64) as usize];
                if class == Class::Flush && rng.below(4) != 0 {
                    continue;
                }
                let pair = scope.transactions && class == Class::X && rng.below(3) == 0;
                Step::Submit { node, class, keys: some_keys(scope, class, pair, rng) }
            }
            84..=86 if runs && spent.proposals < scope.proposals => {
                let candidates = NodeSet(rng.below(1 << scope.nodes)).with(node);
                Step::Propose { node, candidates }
            }
            87 if runs && spent.crashes < scope.crashes => Step::Crash(node),
            88..=89 if !runs && spent.lives < scope.restarts => Step::Restart(node),
            90 if runs && spent.evictions < scope.evictions => {
                let key = scope.keys[rng.below(scope.keys.len() as u64) as usize].clone();
                Step::Evict { node, key }
            }
            91..=99 if spent.advances < scope.advances => {
                let mut sides = state.sides;
                if rng.below(2) == 0 {
                    sides = Sides::WHOLE;
                    if rng.below(3) != 0 {
                        sides.0.iter_mut().for_each(|side| *side = rng.below(2) as u8);
                    }
                }
                let ms = [500, 1_000, 4_000, 4_000, 12_000, 36_000][rng.below(6) as usize];
                Step::Advance { ms, sides, views: rng.below(4) != 0 }
            }
            _ => continue,
        };
        return Some(step);
    }
    None
}

fn some_keys(scope: &Scope, class: Class, pair: bool, rng: &mut Rng) -> Vec<Key> {
    match class {
        Class::Flush => Vec::new(),
        _ if pair => scope.keys.clone(),
        _ => vec![scope.keys[rng.below(scope.keys.len() as u64) as usize].clone()],
    }
}

/// Every step possible in `state`, for the exhaustive search.
fn choices(scope: &Scope, state: &State, steps: &mut Vec<Step>) {
    let spent = state.spent;
    for (_, message) in &state.wire {
        steps.push(Step::Deliver { message: Box::new((**message).clone()), keep: false });
        if spent.duplicates < scope.duplicates {
            steps.push(Step::Deliver { message: Box::new((**message).clone()), keep: true });
        }
    }
    let all: Vec<NodeId> = state.running().map(|(id, _)| id).collect();
    if spent.operations < scope.operations {
        // The classes take turns, so that every order of nodes is tried with every mix of them.
        let class = scope.classes[usize::from(spent.operations) % scope.classes.len()];
        for node in &all {
            if scope.transactions {
                steps.push(Step::Submit { node: *node, class, keys: scope.keys.clone() });
            } else {
                let keys = scope.keys.iter();
                steps.extend(keys.map(|key| Step::Submit { node: *node, class, keys: vec![key.clone()] }));
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
        for node in &all {
            let keys = scope.keys.iter();
            steps.extend(keys.map(|key| Step::Evict { node: *node, key: key.clone() }));
        }
    }
}

/// The exhaustive scopes.
pub fn exhaustive_scopes() -> Vec<Scope> {
    vec![
        Scope::mixed(),
        Scope::touch(),
        Scope::create(),
        Scope::transactions(),
        Scope::crash(),
        Scope::decided_once(),
    ]
}

/// The scopes of random walks.
pub fn walk_scopes() -> Vec<Scope> {
    vec![Scope::partitions(3), Scope::everything(3), Scope::partitions(5), Scope::everything(5)]
}

/// Looks for a violation under a seeded fault, in the walks and then in the exhaustive scopes.
pub fn hunt(mutant: Mutant, states_max: usize) -> Option<(String, Report)> {
    for scope in walk_scopes() {
        let scope = Scope { mutant: Some(mutant), ..scope };
        let report = walk(&scope, 1, states_max);
        if report.violation.is_some() {
            return Some((scope.name.into(), report));
        }
    }
    for scope in exhaustive_scopes() {
        let scope = Scope { mutant: Some(mutant), ..scope };
        let report = search(&scope, states_max);
        if report.violation.is_some() {
            return Some((scope.name.into(), report));
        }
    }
    None
}
