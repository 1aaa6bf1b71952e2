//! Runs the model: `model search STATES`, `model walk SEED STATES`, `model hunt STATES`, `model replay SCOPE SEED`.

use std::process::ExitCode;
use std::time::Instant;

use swytch_cluster::Mutant;
use swytch_sim::model::{Order, Report, exhaustive_scopes, hunt, replay, search, walk, walk_scopes};

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
        ["search", states] => {
            for scope in exhaustive_scopes() {
                let started = Instant::now();
                good &= show(
                    &search(&scope, Order::Breadth, number(states).unwrap_or(100_000) as usize),
                    started,
                );
            }
        }
        ["walk", seed, states] => {
            for scope in walk_scopes() {
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
        ["hunt", states] => {
            for mutant in Mutant::ALL {
                match hunt(mutant, number(states).unwrap_or(100_000) as usize) {
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
