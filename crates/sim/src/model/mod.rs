//! The protocol, model-checked: the real core, every order of messages, every choice of views, crashes and times.
//!
//! Two searches share one model (`state`) with its history (`history`), one set of promises (`invariants` about states,
//! `answers` about what clients are shown) and one table of states seen:
//!
//! - [`search()`]: exhaustive within a small scope; breadth first, which gives the shortest counterexample, or depth
//!   first, which keeps few states in memory.
//! - [`walk()`]: seeded random walks through a large scope; after each walk all links heal and everything must come to
//!   rest converged. Distinct states are counted.
//!
//! Mapping: a node is `swytch_cluster::Node` over values that list the operations applied ([`journal`]); the network
//! is a set of messages of which any may be delivered next, twice, or never. Time stands still in exhaustive scopes,
//! where views are proposed freely; in walks it passes in large steps under chosen links, each direction of which may
//! be lost by itself. All nodes share one clock here; drift and jumps are the simulator's part.

mod answers;
mod config;
mod history;
mod invariants;
mod journal;
mod links;
mod search;
mod seen;
mod state;
mod walk;

use swytch_cluster::Mutant;

pub use config::{Memory, Scope};
pub use invariants::{Sometimes, Violation};
pub(crate) use journal::Journal;
pub use search::{Order, search};
use state::{State, Step};
pub use walk::{replay, walk};

/// A broken promise and the way there, one line a step.
pub type Counterexample = (Violation, Vec<String>);

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
    pub violation: Option<Counterexample>,
}

impl Report {
    fn new(scope: &Scope) -> Self {
        Self {
            name: scope.name.into(),
            states: 0,
            steps: 0,
            complete: false,
            sometimes: Sometimes::default(),
            violation: None,
        }
    }

    /// One line.
    pub fn line(&self) -> String {
        let how = if self.complete { "complete" } else { "part" };
        let end = self.violation.as_ref().map_or("no violation".into(), |(violation, trace)| {
            format!("VIOLATED after {} steps: {} ({})", trace.len(), violation.promise, violation.evidence)
        });
        format!("{:<36} {:>11} states {:>12} steps  {how:<8} {end}", self.name, self.states, self.steps)
    }
}

/// What a step does in the state it is about to be taken in.
fn describe(state: &State, step: &Step) -> String {
    match step {
        Step::Deliver { index, keep } => {
            let message = &state.wire[*index].1;
            let twice = if *keep { " (kept)" } else { "" };
            format!("{:?} -> {:?}{twice}: {:?}", message.from, message.to, message.message)
        }
        other => format!("{other:?}"),
    }
}

/// The state a violation was found in.
fn portrait(scope: &Scope, state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, node) in state.running() {
        let view = node.view();
        let generation = view.base.tag.generation;
        lines.push(format!("{id:?} is in {:?} {:?} of {generation:?}", view.id, view.members));
        for key in &scope.keys {
            let key = node.key_of(key);
            lines.push(format!("    {key:?} {:?} {:?}", node.values().tags(&key), node.copy_of(&key)));
        }
    }
    lines.extend(state.outcomes.iter().enumerate().map(|(tag, outcome)| format!("#{tag} {outcome:?}")));
    lines
}

/// The exhaustive scopes.
pub fn exhaustive_scopes() -> Vec<Scope> {
    vec![
        Scope::mixed(),
        Scope::touch(),
        Scope::watch(),
        Scope::solo(),
        Scope::create(),
        Scope::lease(),
        Scope::lease_and_view(),
        Scope::lease_and_view().of_twins("creation lease of twins, a view, 2 nodes"),
        Scope::keep(),
        Scope::transactions(),
        Scope::transactions().in_parts(2, "transactions on 2 keys, 2 partitions"),
        Scope::crash(),
        Scope::decided_once(),
    ]
}

/// The scopes of random walks.
pub fn walk_scopes() -> Vec<Scope> {
    vec![
        Scope::partitions(3),
        Scope::doubt(),
        Scope::decided_by_key(),
        Scope::transactions_in_doubt(),
        Scope::overlapping(),
        Scope::overlapping_four(),
        Scope::overlapping_in_time(),
        Scope::reads(),
        Scope::reads_in_time(),
        Scope::expiry(),
        Scope::late_forks(),
        Scope::flushes(),
        Scope::flushed_databases(),
        Scope::swapped_databases(),
        Scope::leases(),
        Scope::leases_and_views(),
        Scope::deletions(),
        Scope::deletions_and_leases(),
        Scope::solo_in_time(),
        Scope::solo_and_restarts(),
        Scope::keepers(),
        Scope::keepers_and_leases(),
        Scope::keepers_and_restarts(),
        Scope::voters(3),
        Scope::voters(5),
        Scope::forgetful_voters(),
        Scope::everything(3),
        Scope::partitions(2),
        Scope::partitions(4),
        Scope::partitions(5),
        Scope::no_minority(),
        Scope::everything(5),
        Scope::transactions_in_doubt().in_parts(2, "transactions in doubt, 2 partitions"),
        Scope::overlapping().in_parts(4, "overlapping keys, 4 partitions"),
        Scope::reads_in_time().in_parts(2, "reads in partitions, 2 partitions"),
        Scope::deletions().in_parts(2, "deletions, 2 partitions"),
        Scope::solo_and_restarts().in_parts(2, "solo keys and restarts, 2 partitions"),
        Scope::everything(3).in_parts(4, "everything, 4 partitions"),
        Scope::keepers_and_leases().of_twins("two copies of twins and leases, 3 nodes"),
        Scope::keepers().in_parts(2, "two copies, 2 partitions"),
        Scope::leases().of_twins("creation leases of twins, 3 nodes"),
        Scope::deletions().of_twins("deletions of twins, 3 nodes"),
        Scope::solo_and_restarts().of_twins("solo twins and restarts, 3 nodes"),
    ]
}

/// Looks for a violation under a seeded fault, in the walks and then in the exhaustive scopes; in those of these names, if
/// there are any.
pub fn hunt(mutant: Mutant, states_max: usize, names: &[&str]) -> Option<(String, Report)> {
    let is_named = |scope: &Scope| names.is_empty() || names.contains(&scope.name);
    for scope in walk_scopes().into_iter().filter(is_named) {
        let scope = Scope { mutant: Some(mutant), ..scope };
        let report = walk(&scope, 1, states_max);
        if report.violation.is_some() {
            return Some((scope.name.into(), report));
        }
    }
    for scope in exhaustive_scopes().into_iter().filter(is_named) {
        let scope = Scope { mutant: Some(mutant), ..scope };
        let report = search(&scope, Order::Breadth, states_max);
        if report.violation.is_some() {
            return Some((scope.name.into(), report));
        }
    }
    None
}
