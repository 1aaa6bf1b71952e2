//! `cargo xtask simulate`: whole clusters of the protocol's core on virtual time, judged by checkers;
//! `cargo xtask model`: the same core, model-checked.
use std::process::Command;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::workspace;

/// Seeds that the CI plays: far below three minutes of one core.
const CI_SEEDS: u64 = 300;

/// Those that it plays again with two copies of each key, and with the keyspace of the server instead of abstract values.
const CI_SEEDS_REAL: u64 = 100;

/// How a run of hours is built, and one of a minute.
const LONG: &str = "campaign";
pub(crate) const SHORT: &str = "short";

/// Runs the simulator, with its assertions, and the given options.
///
/// # Errors
/// When a seed breaks a promise; the seed was printed.
pub(crate) fn simulate(arguments: Arguments) -> Result<()> {
    simulate_built(LONG, arguments)
}

fn simulate_built(profile: &str, mut arguments: Arguments) -> Result<()> {
    let mut command = program(profile, ["--bin", "simulate"]);
    for name in ["--seeds", "--seed", "--from", "--minutes", "--jobs"] {
        if let Some(value) = arguments.number(name)? {
            command.arg(name).arg(value.to_string());
        }
    }
    for name in ["--keep-going", "--real-store", "--two-copies", "--availability", "--mutants"] {
        if arguments.flag(name) {
            command.arg(name);
        }
    }
    command.args(arguments.words()?);
    workspace::run(&mut command)
}

/// The share of the campaign that every change must pass.
///
/// # Errors
/// As [`simulate`].
pub(crate) fn simulate_some() -> Result<()> {
    let seeds = |seeds: u64| ["--seeds".to_owned(), seeds.to_string()];
    simulate_built(SHORT, Arguments::new(seeds(CI_SEEDS)))?;
    let kept = seeds(CI_SEEDS_REAL).into_iter().chain(["--two-copies".to_owned()]);
    simulate_built(SHORT, Arguments::new(kept))?;
    let real = seeds(CI_SEEDS_REAL).into_iter().chain(["--real-store".to_owned()]);
    simulate_built(SHORT, Arguments::new(real))
}

/// States per scope in the CI: with some forty scopes of walks and thirteen of searches over two million. Of the seeded faults that no
/// scenario shows, the one that the simulator's share does not notice either (`LeaseAcrossBases`) falls after 31,539 in the first
/// scope.
const CI_STATES: u64 = 50_000;

/// States per scope of the campaign: more than 10^8 in all, half an hour of one core.
const CAMPAIGN_STATES: u64 = 5_000_000;

/// Runs the model with the given words (`search STATES`, `deep STATES`, `walk SEED STATES`, `hunt STATES`,
/// `replay SCOPE SEED`), its whole campaign (`campaign`), or without words the CI's share.
///
/// # Errors
/// When a run breaks a promise, or a seeded fault survives.
pub(crate) fn model(arguments: Arguments) -> Result<()> {
    let words = arguments.words()?;
    match words.first().map(String::as_str) {
        None => model_some(),
        Some("campaign") => {
            let walks = run_model(LONG, &["walk", "1", &CAMPAIGN_STATES.to_string()]);
            let searches = run_model(LONG, &["deep", &CAMPAIGN_STATES.to_string()]);
            walks.and(searches)
        }
        Some(_) => run_model(LONG, &words.iter().map(String::as_str).collect::<Vec<_>>()),
    }
}

/// The share of the campaign that every change must pass.
///
/// # Errors
/// When a run breaks a promise.
pub(crate) fn model_some() -> Result<()> {
    run_model(SHORT, &["walk", "1", &CI_STATES.to_string()])?;
    run_model(SHORT, &["search", &CI_STATES.to_string()])
}

fn run_model(profile: &str, words: &[&str]) -> Result<()> {
    workspace::run(program(profile, ["--example", "model"]).args(words))
}

/// Cargo's call of one of the simulator's programs; the words behind it are the program's.
fn program(profile: &str, which: [&str; 2]) -> Command {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--profile", profile, "--package", "swytch-sim"]).args(which).arg("--");
    command
}
