//! `cargo xtask simulate`: whole clusters of the protocol's core on virtual time, judged by checkers;
//! `cargo xtask model`: the same core, model-checked.
use anyhow::Result;

use crate::arguments::Arguments;
use crate::workspace;

/// Seeds that the CI plays: far below three minutes of one core.
const CI_SEEDS: u64 = 300;

/// Runs the simulator, with its assertions, and the given options.
///
/// # Errors
/// When a seed breaks a promise; the seed was printed.
pub(crate) fn simulate(mut arguments: Arguments) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--package", "swytch-sim", "--bin", "simulate", "--"]);
    for name in ["--seeds", "--seed", "--from", "--minutes"] {
        if let Some(value) = arguments.number(name)? {
            command.arg(name).arg(value.to_string());
        }
    }
    for name in ["--keep-going", "--mutants"] {
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
    simulate(Arguments::new(["--seeds".to_owned(), CI_SEEDS.to_string()]))
}

/// States per scope when nothing else is asked for: a share that fits a CI run.
const STATES: &str = "150000";

/// Runs the model with the given words (`search STATES`, `walk SEED STATES`, `hunt STATES`), or a walk and a search.
///
/// # Errors
/// When a run breaks a promise, or a seeded fault survives.
pub(crate) fn model(arguments: Arguments) -> Result<()> {
    let words = arguments.words()?;
    if !words.is_empty() {
        return run_model(&words);
    }
    run_model(&["walk".to_owned(), "1".to_owned(), STATES.to_owned()])?;
    run_model(&["search".to_owned(), STATES.to_owned()])
}

fn run_model(words: &[String]) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--release", "--package", "swytch-sim", "--example", "model", "--"]);
    workspace::run(command.args(words))
}
