//! Random walks through large scopes, each followed by the healing of everything.

use swytch_cluster::{Class, NodeId, NodeSet};

use super::config::{Memory, Scope};
use super::invariants::{Sometimes, check, check_rest};
use super::links::Links;
use super::search::every_key;
use super::seen::Seen;
use super::state::{KeyMask, State, Step};
use super::{Counterexample, Report, Violation, describe, portrait};
use crate::rng::Rng;

/// Steps of one walk before everything is healed.
const WALK_STEPS: u64 = 400;

/// Walks at random through `scope` from `seed` on until `states_max` distinct states were seen.
pub fn walk(scope: &Scope, seed: u64, states_max: usize) -> Report {
    let mut report = Report::new(scope);
    let mut seen = Seen::new();
    let mut rng = Rng::new(seed);
    let first = State::new(scope);
    while seen.len() < states_max {
        let walk_seed = rng.next_u64();
        let mut walk = Walk { seen: &mut seen, sometimes: &mut report.sometimes, steps: 0, trace: None };
        let end = walk.go(scope, first.clone(), walk_seed);
        report.steps += walk.steps;
        if let Err(found) = end {
            // The seed finds it again; only then is every step put into words.
            let (violation, mut trace) = replay(scope, walk_seed).err().unwrap_or((found, Vec::new()));
            trace.insert(0, format!("walk {walk_seed:#x}"));
            report.violation = Some((violation, trace));
            break;
        }
    }
    report.states = seen.len();
    report
}

/// Repeats one walk, for looking into it.
///
/// # Errors
/// The violation it ends in, with its trace.
pub fn replay(scope: &Scope, seed: u64) -> Result<(), Counterexample> {
    let (mut seen, mut sometimes) = (Seen::new(), Sometimes::default());
    let trace = Some(Vec::new());
    let mut walk = Walk { seen: &mut seen, sometimes: &mut sometimes, steps: 0, trace };
    walk.go(scope, State::new(scope), seed).map_err(|found| (found, walk.trace.unwrap_or_default()))
}

/// One walk under way.
struct Walk<'a> {
    seen: &'a mut Seen,
    sometimes: &'a mut Sometimes,
    steps: u64,
    /// The steps in words, when somebody wants to read them.
    trace: Option<Vec<String>>,
}

impl Walk<'_> {
    fn go(&mut self, scope: &Scope, mut state: State, seed: u64) -> Result<(), Violation> {
        let mut rng = Rng::new(seed);
        let length = rng.between(WALK_STEPS / 4, WALK_STEPS);
        for _ in 0..length {
            let Some(step) = random_step(scope, &state, &mut rng) else { break };
            if let Some(trace) = &mut self.trace {
                trace.push(describe(&state, &step));
            }
            let touched = state.apply(scope, &step);
            self.steps += 1;
            if self.seen.insert(state.fingerprint()) {
                let found = check(&state, scope, touched);
                self.picture(scope, &state, found)?;
            }
        }
        self.sometimes.look(&state);
        state.come_to_rest(scope);
        if let Some(trace) = &mut self.trace {
            trace.push("all links heal, everything comes to rest".into());
        }
        let found = check_rest(&state, scope);
        self.picture(scope, &state, found)
    }

    /// Adds the state a violation was found in to the trace.
    fn picture(
        &mut self,
        scope: &Scope,
        state: &State,
        found: Result<(), Violation>,
    ) -> Result<(), Violation> {
        if let (Err(_), Some(trace)) = (&found, &mut self.trace) {
            trace.extend(portrait(scope, state));
        }
        found
    }
}

fn random_step(scope: &Scope, state: &State, rng: &mut Rng) -> Option<Step> {
    for _ in 0..20 {
        let node = NodeId(rng.below(u64::from(scope.nodes)) as u8);
        let runs = state.node(node).is_some();
        let spent = state.spent;
        if runs && !scope.changes.is_empty() && spent.operations < scope.operations && rng.below(60) == 0 {
            let change = scope.changes[rng.below(scope.changes.len() as u64) as usize];
            return Some(Step::Change { node, change });
        }
        let step = match rng.below(100) {
            0..=69 if !state.wire.is_empty() => {
                let index = rng.below(state.wire.len() as u64) as usize;
                if !state.can_pass(&state.wire[index].1) {
                    continue;
                }
                let keep = spent.duplicates < scope.duplicates && rng.below(20) == 0;
                Step::Deliver { index, keep }
            }
            70..=83 if runs && spent.operations < scope.operations => {
                let class = scope.classes[rng.below(scope.classes.len() as u64) as usize];
                if class == Class::Flush && rng.below(4) != 0 {
                    continue;
                }
                let may_be_several = scope.transactions && matches!(class, Class::X | Class::Read);
                let several = may_be_several && rng.below(3) == 0;
                let watch = scope.watches && class == Class::X && rng.below(2) == 0;
                let delete = scope.deletes && class != Class::Read && rng.below(3) == 0;
                Step::Submit { node, class, keys: some_keys(scope, class, several, rng), watch, delete }
            }
            84..=86 if runs && spent.proposals < scope.proposals => {
                let candidates = NodeSet(rng.below(1 << scope.nodes)).with(node);
                Step::Propose { node, candidates }
            }
            87 if runs && spent.crashes < scope.crashes => Step::Crash(node),
            88..=89 if !runs && spent.lives < scope.restarts => {
                let remembers = match scope.memory {
                    Memory::None => false,
                    Memory::Kept => true,
                    Memory::Uncertain => rng.below(3) != 0,
                };
                Step::Restart { node, remembers }
            }
            90 if runs && spent.evictions < scope.evictions => {
                Step::Evict { node, key: rng.below(scope.keys.len() as u64) as usize }
            }
            91..=99 if spent.advances < scope.advances => {
                let mut links = state.links;
                if rng.below(2) == 0 {
                    links = if rng.below(3) == 0 { Links::WHOLE } else { Links::random(scope.nodes, rng) };
                }
                let ms = [500, 1_000, 4_000, 4_000, 12_000, 36_000][rng.below(6) as usize];
                Step::Advance { ms, links, views: rng.below(4) != 0 }
            }
            _ => continue,
        };
        return Some(step);
    }
    None
}

fn some_keys(scope: &Scope, class: Class, several: bool, rng: &mut Rng) -> KeyMask {
    let one = |rng: &mut Rng| 1 << rng.below(scope.keys.len() as u64);
    match class {
        Class::Flush => 0,
        // Two of them, more often than all.
        _ if several && scope.keys.len() > 2 => every_key(scope) & !(one(rng) & !one(rng)),
        _ if several => every_key(scope),
        _ => one(rng),
    }
}
