//! `cargo xtask ci`: everything that must hold before a change is taken, in the order of what is cheap first.
//!
//! A step that fails does not stop the others, so that one run shows all there is to mend. The closing line
//! counts the single tests where a step has them, and the step itself where not.
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::conformance::{self, CORE_FILES, Summary};
use crate::{benchmark, clients, cluster, fuzz, licences, setup, style, workspace};

/// Seconds each fuzz target runs.
const FUZZ_SECONDS: u64 = 60;

/// One step: its name and what it runs.
type Step = (&'static str, fn() -> Result<Summary>);

const STEPS: [Step; 13] = [
    ("format", format_check),
    ("style", || style::check().map(whole)),
    ("licences", || licences::check().map(whole)),
    ("clippy", clippy),
    ("unit and integration tests", tests),
    ("documentation", documentation),
    ("release build", || workspace::build_server().map(|_| ONE)),
    ("client libraries", || clients::run(Some(workspace::build_server()?))),
    ("conformance", || {
        conformance::run(&conformance::Options::check(&CORE_FILES, workspace::build_server()?))
    }),
    ("benchmarks run once", || benchmark::smoke().map(|()| ONE)),
    ("cluster simulation", || cluster::simulate_some().map(|()| ONE)),
    ("cluster model", || cluster::model_some().map(|()| ONE)),
    ("fuzzing", fuzzing),
];

/// A step without single tests that passed.
const ONE: Summary = Summary { passed: 1, failed: 0 };

/// Runs all steps, or those whose name contains one of the words.
///
/// # Errors
/// When anything failed; what, was printed.
pub(crate) fn run(words: &[String]) -> Result<()> {
    setup::everything()?;
    let mut total = Summary::default();
    let mut table = Vec::new();
    let begin = Instant::now();
    for (name, step) in STEPS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        println!("\n== {name}");
        let started = Instant::now();
        let summary = step().unwrap_or_else(|failure| {
            println!("{failure:#}");
            Summary { passed: 0, failed: 1 }
        });
        total.passed += summary.passed;
        total.failed += summary.failed;
        let state = if summary.failed == 0 { "ok" } else { "FAILED" };
        let line = format!(
            "{state:7} {name:30} {:>7} passed {:>4} failed  {}",
            summary.passed,
            summary.failed,
            minutes(started.elapsed())
        );
        println!("== {line}");
        table.push(line);
    }
    println!("\n{}\n\n{} in all", table.join("\n"), minutes(begin.elapsed()));
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        bail!("{} failed", total.failed);
    }
    Ok(())
}

fn format_check() -> Result<Summary> {
    workspace::run(workspace::cargo().args(["fmt", "--all", "--check"]))?;
    workspace::run(workspace::cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))?;
    Ok(ONE)
}

fn clippy() -> Result<Summary> {
    let arguments = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    workspace::run(workspace::cargo().args(arguments)).map(|()| ONE)
}

fn documentation() -> Result<Summary> {
    let mut command = workspace::cargo();
    command.args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links");
    workspace::run(&mut command).map(|()| ONE)
}

/// Unit tests, integration tests and the examples in documentation.
fn tests() -> Result<Summary> {
    let mut command = workspace::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().context("running cargo test")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut summary = Summary::default();
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        summary.passed += number_before(line, " passed");
        summary.failed += number_before(line, " failed");
    }
    if !output.status.success() {
        // What cargo prints for the failed ones stands between the results.
        println!("{text}");
        summary.failed = summary.failed.max(1);
    }
    Ok(summary)
}

fn fuzzing() -> Result<Summary> {
    let mut summary = Summary::default();
    for target in fuzz::targets()? {
        match fuzz::run(&target, FUZZ_SECONDS) {
            Ok(inputs) => {
                println!("{target}: {inputs} inputs, no finding");
                summary.passed += 1;
            }
            Err(finding) => {
                println!("{finding:#}");
                summary.failed += 1;
            }
        }
    }
    Ok(summary)
}

/// A check over many things is one test.
fn whole(count: usize) -> Summary {
    println!("{count} looked at");
    ONE
}

fn minutes(duration: Duration) -> String {
    format!("{}:{:02}", duration.as_secs() / 60, duration.as_secs() % 60)
}

/// `12 passed` in `ok. 12 passed; 0 failed`.
fn number_before(line: &str, word: &str) -> usize {
    let before = line.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_cargo_test_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!((number_before(line, " passed"), number_before(line, " failed")), (12, 3));
    }
}
