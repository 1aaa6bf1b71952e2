//! `cargo xtask fuzz`: builds a fuzz target with coverage counters and runs it for a while.
//!
//! libFuzzer needs coverage instrumentation, which the compiler's own pass gives on the stable toolchain; the
//! sanitizers that need a nightly one are left out, since almost all of the code is safe Rust. Findings lie in
//! `fuzz/artifacts/`, the growing corpus in `fuzz/corpus/`, and the committed starting points in `fuzz/seeds/`.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{lanes, setup, workspace};

/// What cargo-fuzz passes too: counters per edge, their table, and comparisons that guide the mutations.
const COVERAGE_FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Longest run of one input before it counts as a hang, in seconds: long, because other work may keep the machine busy.
const INPUT_SECONDS_MAX: u32 = 120;
/// Most memory of a run in MiB.
const MEMORY_MEBIBYTES_MAX: u32 = 2048;

/// The names of all targets: one file each.
pub(crate) fn targets() -> Result<Vec<String>> {
    let directory = workspace::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Runs all targets side by side for a short time and gives what came of each.
///
/// # Errors
/// When the targets cannot be listed or built.
pub(crate) fn run_all(seconds: u64) -> Result<Vec<(String, Result<u64>)>> {
    let targets = targets()?;
    let folder = build(&targets, "short")?;
    Ok(lanes::each(&mut vec![(); lanes::count()], targets, |(), target| {
        let outcome = run_built(&target, &folder.join(&target), seconds);
        (target, outcome)
    }))
}

/// Runs one target for this many seconds and gives the number of inputs tried.
///
/// # Errors
/// When the target finds something; the error carries the end of libFuzzer's report and the way to repeat it.
pub(crate) fn run(target: &str, seconds: u64) -> Result<u64> {
    if !targets()?.iter().any(|name| name == target) {
        bail!("no fuzz target {target:?}; there are: {}", targets()?.join(", "));
    }
    run_built(target, &build(&[target.to_owned()], "release")?.join(target), seconds)
}

fn run_built(target: &str, binary: &Path, seconds: u64) -> Result<u64> {
    let fuzz = workspace::root().join("fuzz");
    let (corpus, artifacts) = (fuzz.join("corpus").join(target), fuzz.join("artifacts").join(target));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(binary);
    command.arg(&corpus);
    let seeds = fuzz.join("seeds").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MEBIBYTES_MAX}"),
        format!("-artifact_prefix={}/", artifacts.display()),
        // Inputs may grow soon: a short run would else see short ones only.
        "-len_control=10".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    let output = command.output().with_context(|| format!("running the fuzz target {target}"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        // A server that runs in the target logs to standard output, libFuzzer and panics go to the other one.
        let log = String::from_utf8_lossy(&output.stdout);
        bail!(
            "{target} found something:\n{}\n{}",
            workspace::last_lines(&log, 30),
            workspace::last_lines(&report, 60)
        );
    }
    let executed = report.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    executed.and_then(|count| count.trim().parse().ok()).context("libFuzzer reported no statistics")
}

/// Builds these targets at once in a profile of theirs and gives the folder where they lie.
fn build(targets: &[String], profile: &str) -> Result<PathBuf> {
    setup::fuzz_toolchain()?;
    let manifest = workspace::root().join("fuzz/Cargo.toml");
    let output = workspace::root().join("fuzz/target");
    let host = host_triple()?;
    // With an explicit target the flags leave build scripts alone.
    let mut command = workspace::cargo();
    command
        .args(["build", "--quiet", "--profile", profile, "--target", &host])
        .args(targets.iter().flat_map(|target| ["--bin", target]))
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&output)
        .env("RUSTFLAGS", COVERAGE_FLAGS);
    workspace::run(&mut command)?;
    Ok(output.join(host).join(profile))
}

fn host_triple() -> Result<String> {
    let version = workspace::output_of(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc names no host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_a_binary_of_the_fuzz_crate() {
        let manifest =
            fs::read_to_string(workspace::root().join("fuzz/Cargo.toml")).expect("the fuzz crate exists");
        for target in targets().expect("the folder exists") {
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
                "{target} is in no [[bin]]"
            );
        }
    }
}
