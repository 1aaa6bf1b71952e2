//! `cargo xtask simulate`: whole clusters of the protocol's core on virtual time, judged by checkers.
use anyhow::Result;

use crate::arguments::Arguments;
use crate::workspace;

/// Runs the simulator in the release profile with the given options.
///
/// # Errors
/// When a seed breaks a promise; the seed was printed.
pub(crate) fn simulate(mut arguments: Arguments) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--release", "--package", "swytch-sim", "--bin", "simulate", "--"]);
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
