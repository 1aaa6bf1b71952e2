//! `cargo xtask followers`: whether servers of other families that follow ours have what it has, and what it has told its clients
//! that they have, through cut links and ends of either side.

use anyhow::Result;
use swytch_testkit::{Program, Random, following};

use crate::arguments::Arguments;
use crate::conformance::Summary;
use crate::{server_option, setup, workspace};

/// Rounds, unless it is told.
const ROUNDS: u64 = 100;
/// Rounds that every change must pass.
const CI_ROUNDS: u64 = 8;

/// As many rounds as are wanted.
///
/// # Errors
/// When a server does not start, or answers an error.
pub(crate) fn run(mut arguments: Arguments) -> Result<Summary> {
    let rounds = arguments.number("--rounds")?.unwrap_or(ROUNDS);
    let server = server_option(&mut arguments)?.map_or_else(workspace::build_server, Ok)?;
    arguments.nothing_else()?;
    follow(&Program::at("swytch", server), rounds)
}

/// The share that every change must pass.
///
/// # Errors
/// As [`run`].
pub(crate) fn some() -> Result<Summary> {
    follow(&Program::at("swytch", workspace::build_server()?), CI_ROUNDS)
}

/// Whoever is there of the other families follows.
fn follow(program: &Program, rounds: u64) -> Result<Summary> {
    let others = std::iter::once(Program::at("redis", setup::redis_server()?)).chain(Program::peers());
    let named: Vec<(String, Program)> =
        others.map(|other| (format!("{} {}", other.name, other.version()), other)).collect();
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let report = following::run(program, &named, usize::try_from(rounds)?, &mut Random::from_environment())?;
    report.findings.iter().for_each(|finding| println!("followers, round {}: {finding}", report.rounds));
    println!(
        "followers: {} through {} rounds; ours was killed {} times, one of them {} times, {} links were cut or stood still; \
         {} times all was sent and {} times only what was missing; {} operations acknowledged, {} of them by a follower",
        names.join(", "),
        report.rounds,
        report.kills,
        report.follower_kills,
        report.cuts,
        report.full,
        report.partial,
        report.acknowledged,
        report.awaited
    );
    let failed = report.findings.len();
    Ok(Summary { passed: report.rounds - failed.min(1).min(report.rounds), failed })
}
