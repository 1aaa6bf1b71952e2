//! `cargo xtask ci`: everything that must hold before a change is taken, in the order of what is cheap first.
//!
//! A step that fails does not stop the others, so that one run shows all there is to mend. The closing line
//! counts the single tests where a step has them, and the step itself where not. Steps that leave a core idle run
//! side by side, each in a process of its own whose output is shown when it has ended.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::conformance::{self, CORE_FILES, Summary};
use crate::{attack, benchmark, clients, cluster, fuzz, judges, lanes, licences, setup, style, workspace};

/// Seconds each fuzz target runs.
const FUZZ_SECONDS: u64 = 25;

/// One step: its name and what it runs.
type Step = (&'static str, fn() -> Result<Summary>);

/// The steps, in groups that run side by side.
const STEPS: [&[Step]; 13] = [
    &[("format", format_check)],
    &[("style", || style::check().map(whole))],
    &[("licences", || licences::check().map(whole))],
    &[("clippy", clippy)],
    &[("unit and integration tests", tests)],
    &[("documentation", documentation)],
    &[("release build", || workspace::build_server().map(|_| ONE))],
    &[("conformance", || {
        conformance::run(&conformance::Options::check(&CORE_FILES, workspace::build_server()?))
    })],
    &[("benchmarks run once", || benchmark::smoke().map(|()| ONE))],
    // Both mostly wait.
    &[("attacks", attack::run_some), ("client libraries", || clients::run(Some(workspace::build_server()?)))],
    &[("judges", judges::some)],
    // Both have one thread.
    &[
        ("cluster model", || cluster::model_some().map(|()| ONE)),
        ("cluster simulation", || cluster::simulate_some().map(|()| ONE)),
    ],
    &[("fuzzing", fuzzing)],
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
    for group in STEPS {
        let wanted: Vec<&Step> = group
            .iter()
            .filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word.as_str())))
            .collect();
        let ended = match &wanted[..] {
            [step] => vec![run_here(step)],
            steps => side_by_side(steps),
        };
        for (name, summary, time) in ended {
            total += summary;
            let state = if summary.failed == 0 { "ok" } else { "FAILED" };
            let line = format!(
                "{state:7} {name:30} {:>7} passed {:>4} failed  {}",
                summary.passed,
                summary.failed,
                minutes(time)
            );
            println!("== {line}");
            table.push(line);
        }
    }
    println!("\n{}\n\n{} in all", table.join("\n"), minutes(begin.elapsed()));
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        bail!("{} failed", total.failed);
    }
    Ok(())
}

/// What came of a step.
type Ended = (&'static str, Summary, Duration);

fn run_here((name, step): &Step) -> Ended {
    println!("\n== {name}");
    let started = Instant::now();
    let summary = step().unwrap_or_else(|failure| {
        println!("{failure:#}");
        Summary { passed: 0, failed: 1 }
    });
    (name, summary, started.elapsed())
}

/// Each step in a process of its own; what they print comes in the order of the list.
fn side_by_side(steps: &[&Step]) -> Vec<Ended> {
    std::thread::scope(|scope| {
        let running: Vec<_> = steps.iter().map(|(name, _)| scope.spawn(|| run_apart(name))).collect();
        let end = |handle: std::thread::ScopedJoinHandle<'_, (String, Ended)>| {
            let (output, ended) = handle.join().expect("the thread only waits");
            println!("\n== {}\n{output}", ended.0);
            ended
        };
        running.into_iter().map(end).collect()
    })
}

fn run_apart(name: &'static str) -> (String, Ended) {
    let started = Instant::now();
    let run = || -> Result<String> {
        let program = std::env::current_exe()?;
        let output = std::process::Command::new(program).args(["ci", name]).stdin(Stdio::null()).output()?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let output = run().unwrap_or_else(|failure| format!("{failure:#}"));
    let closing = output.lines().rev().find(|line| line.contains(" passed, ") && line.ends_with(" failed"));
    let summary = closing.map_or(Summary { passed: 0, failed: 1 }, |line| Summary {
        passed: number_before(line, " passed"),
        failed: number_before(line, " failed"),
    });
    (output, (name, summary, started.elapsed()))
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

/// Unit tests, integration tests and the examples in documentation. Cargo runs one binary after the other; most of what
/// they do is to wait, so they run side by side.
fn tests() -> Result<Summary> {
    let mut build = workspace::cargo();
    build.args(["test", "--quiet", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
    let messages = workspace::output_of(build.stderr(Stdio::inherit()))?;
    let mut binaries: Vec<_> = messages.lines().filter_map(test_binary).collect();
    ensure!(!binaries.is_empty(), "cargo built no test");
    binaries.sort();
    let summaries = lanes::each(&mut vec![(); lanes::count()], binaries, |(), (binary, package)| {
        let mut command = workspace::with_tools(Command::new(binary));
        counted(command.current_dir(package))
    });
    let mut examples = workspace::cargo();
    examples.args(["test", "--quiet", "--workspace", "--no-fail-fast", "--doc"]);
    let mut total = counted(&mut examples)?;
    for summary in summaries {
        total += summary?;
    }
    Ok(total)
}

/// A test binary and the folder of its package, if a line of cargo's messages is about one.
fn test_binary(line: &str) -> Option<(PathBuf, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let binary = message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    Some((binary.into(), manifest.parent()?.to_owned()))
}

/// Runs tests, counts their results, and shows their output where one failed.
fn counted(command: &mut Command) -> Result<Summary> {
    let output = command.stdin(Stdio::null()).output().context("running tests")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut summary = Summary::default();
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        summary.passed += number_before(line, " passed");
        summary.failed += number_before(line, " failed");
    }
    if !output.status.success() {
        println!("{text}{}", String::from_utf8_lossy(&output.stderr));
        summary.failed = summary.failed.max(1);
    }
    Ok(summary)
}

fn fuzzing() -> Result<Summary> {
    let mut summary = Summary::default();
    for (target, outcome) in fuzz::run_all(FUZZ_SECONDS)? {
        match outcome {
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
