//! `cargo xtask simulate`: whole clusters of the protocol's core on virtual time, judged by checkers;
//! `cargo xtask model`: the same core, model-checked.
use anyhow::Result;

use crate::arguments::Arguments;
use crate::workspace;

/// Seeds that the CI plays: far below three minutes of one core.
const CI_SEEDS: u64 = 300;

/// Those that it plays again with the keyspace of the server instead of abstract values.
const CI_SEEDS_REAL: u64 = 100;

/// Runs the simulator, with its assertions, and the given options.
///
/// # Errors
/// When a seed breaks a promise; the seed was printed.
pub(crate) fn simulate(mut arguments: Arguments) -> Result<()> {
    let mut command = workspace::cargo();
    command.args([
        "run",
        "--quiet",
        "--profile",
        "campaign",
        "--package",
        "swytch-sim",
        "--bin",
        "simulate",
        "--",
    ]);
    for name in ["--seeds", "--seed", "--from", "--minutes", "--jobs"] {
        if let Some(value) = arguments.number(name)? {
            command.arg(name).arg(value.to_string());
        }
    }
    for name in ["--keep-going", "--real-store", "--mutants"] {
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
    simulate(Arguments::new(seeds(CI_SEEDS)))?;
    simulate(Arguments::new(seeds(CI_SEEDS_REAL).into_iter().chain(["--real-store".to_owned()])))
}

/// States per scope in the CI: with 24 scopes of walks and ten of searches more than four million, in two minutes.
const CI_STATES: u64 = 100_000;

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
            let walks = run_model(&["walk", "1", &CAMPAIGN_STATES.to_string()]);
            let searches = run_model(&["deep", &CAMPAIGN_STATES.to_string()]);
            walks.and(searches)
        }
        Some(_) => run_model(&words.iter().map(String::as_str).collect::<Vec<_>>()),
    }
}

/// The share of the campaign that every change must pass.
///
/// # Errors
/// When a run breaks a promise.
pub(crate) fn model_some() -> Result<()> {
    run_model(&["walk", "1", &CI_STATES.to_string()])?;
    run_model(&["search", &CI_STATES.to_string()])
}

fn run_model(words: &[&str]) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--release", "--package", "swytch-sim", "--example", "model", "--"]);
    workspace::run(command.args(words))
}
