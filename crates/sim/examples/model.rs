//! Runs the model; all numbers of states are per scope.
//!
//! - `model search STATES`: exhaustive scopes, breadth first.
//! - `model deep STATES`: the same, depth first, for more states than fit in memory.
//! - `model walk SEED STATES [SCOPE ...]`: random walks.
//! - `model hunt STATES [FAULT|SCOPE ...]`: looks for seeded faults.
//! - `model replay SCOPE SEED`: one walk again, in words.

use std::process::ExitCode;
use std::time::Instant;

use swytch_cluster::Mutant;
use swytch_sim::model::{Order, Report, Scope, exhaustive_scopes, hunt, replay, search, walk, walk_scopes};

fn number(text: &str) -> Option<u64> {
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())
}

fn show(report: &Report, started: Instant) -> bool {
    println!("{} {:.1} s", report.line(), started.elapsed().as_secs_f32());
    println!("    {:?}", report.sometimes.0);
    if let Some((_, trace)) = &report.violation {
        trace.iter().for_each(|step| println!("    {step}"));
    }
    report.violation.is_none()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut good = true;
    match words[..] {
        [how @ ("search" | "deep"), states] => {
            let order = if how == "deep" { Order::Depth } else { Order::Breadth };
            for scope in exhaustive_scopes() {
                let started = Instant::now();
                good &= show(&search(&scope, order, number(states).unwrap_or(100_000) as usize), started);
            }
        }
        ["walk", seed, states, ref names @ ..] => {
            let named = |scope: &Scope| names.is_empty() || names.contains(&scope.name);
            for scope in walk_scopes().into_iter().filter(named) {
                let started = Instant::now();
                let report =
                    walk(&scope, number(seed).unwrap_or(1), number(states).unwrap_or(100_000) as usize);
                good &= show(&report, started);
            }
        }
        ["replay", name, seed] => {
            for scope in walk_scopes().iter().filter(|scope| scope.name == name) {
                if let Err((violation, trace)) = replay(scope, number(seed).unwrap_or(1)) {
                    trace.iter().for_each(|step| println!("{step}"));
                    println!("{violation:?}");
                    good = false;
                }
            }
        }
        ["hunt", states, ref names @ ..] => {
            let is_scope = |name: &&str| names.contains(name);
            let is_named = |mutant: &Mutant| names.contains(&format!("{mutant:?}").as_str());
            let all = !Mutant::ALL.iter().any(is_named);
            let named = |mutant: &Mutant| all || is_named(mutant);
            let scopes = walk_scopes().into_iter().chain(exhaustive_scopes());
            let scopes: Vec<&str> = scopes.map(|scope| scope.name).filter(is_scope).collect();
            for mutant in Mutant::ALL.iter().copied().filter(named) {
                match hunt(mutant, number(states).unwrap_or(100_000) as usize, &scopes) {
                    Some((scope, report)) => println!("{mutant:?}: {scope}: {}", report.line()),
                    None => {
                        println!("{mutant:?}: SURVIVES");
                        good = false;
                    }
                }
            }
        }
        _ => good = false,
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
