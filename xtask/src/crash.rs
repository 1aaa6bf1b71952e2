//! `cargo xtask crash`: whether anything is lost that was acknowledged. The files of the log lie on a disk that tears, forgets and
//! fails, in virtual time (`crates/server/src/aof/tests.rs`); and a real server is killed under load, again and again.

use std::process::Stdio;

use anyhow::Result;
use swytch_testkit::{Program, Random, crash};

use crate::arguments::Arguments;
use crate::conformance::Summary;
use crate::{server_option, workspace};

/// Kills, unless it is told.
const ROUNDS: u64 = 200;
/// Kills that every change must pass. The torn disk is among the unit tests.
const CI_ROUNDS: u64 = 25;

/// Both halves.
///
/// # Errors
/// When a server does not start, or answers an error.
pub(crate) fn run(mut arguments: Arguments) -> Result<Summary> {
    let rounds = arguments.number("--rounds")?.unwrap_or(ROUNDS);
    let server = server_option(&mut arguments)?.map_or_else(workspace::build_server, Ok)?;
    arguments.nothing_else()?;
    workspace::run(
        workspace::cargo()
            .args(["test", "--quiet", "--package", "swytch", "--lib", "aof::tests"])
            .stdin(Stdio::null()),
    )?;
    kill(&Program::at("swytch", server), rounds)
}

/// The share that every change must pass.
///
/// # Errors
/// As [`run`].
pub(crate) fn some() -> Result<Summary> {
    kill(&Program::at("swytch", workspace::build_server()?), CI_ROUNDS)
}

fn kill(program: &Program, rounds: u64) -> Result<Summary> {
    let report = crash::run(program, usize::try_from(rounds)?, &mut Random::from_environment())?;
    report.findings.iter().for_each(|finding| println!("crash, round {}: {finding}", report.rounds));
    println!(
        "crash: killed {} times, {} operations acknowledged; under everysec {} were not there afterwards, of at most {} ms",
        report.rounds,
        report.acknowledged,
        report.lost,
        report.lost_for.as_millis()
    );
    let failed = report.findings.len();
    Ok(Summary { passed: report.rounds - failed.min(1), failed })
}
