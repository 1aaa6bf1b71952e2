//! `cargo xtask ci`: everything that must hold before a change is taken, in the order of what is cheap first.
//!
//! A step that fails does not stop the others, so that one run shows all there is to mend; what it said last stands
//! below the table. The closing line counts the single tests where a step has them, and the step itself where not.
//! Each step is a process of its own, which tells what it and its children took of the processor: steps that leave a
//! core idle run side by side, and what only computes runs behind them.
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use swytch_testkit::random::SEED_VARIABLE;

use crate::conformance::{self, REDIS_7_0, REDIS_8_6, Summary};
use crate::{
    attack, benchmark, clients, cluster, crash, followers, fuzz, judges, lanes, licences, package, setup,
    storm, style, workspace,
};

/// Seconds each fuzz target runs.
const FUZZ_SECONDS: u64 = 15;
/// How the server is built that all steps judge: as for the tests, so that it is there already, and with assertions, which
/// the product is without. To optimise it takes four to six minutes of the processor; the judges wait for their clients most
/// of the time.
const PROFILE: &str = "dev";
/// Test binaries that are named with their time, the slowest first: where to look when the tests take long.
const SLOWEST_SHOWN: usize = 8;
/// What random choices begin with. Each run makes the same, so that one that fails judges the change and not its luck;
/// `cargo test` and the campaigns of xtask make others each time.
const SEED: &str = "1";
/// Lines of a failed step that are shown again at the end.
const LAST_LINES: usize = 12;

/// What of the newest suite takes little time and no server of its release, whose building takes minutes; `cargo xtask
/// conformance --suite 8.6` runs all of it.
const NEWEST_FILES: [&str; 8] = [
    "unit/type/string",
    "unit/type/incr",
    "unit/type/set",
    "unit/type/hash",
    "unit/type/hash-field-expire",
    "unit/scan",
    "unit/keyspace",
    "unit/bitops",
];

/// One step: its name and what it runs.
type Step = (&'static str, fn() -> Result<Summary>);

/// Steps in the order of what is cheap first, in groups that run side by side.
const STEPS: [&[Step]; 7] = [
    &[
        ("format", format_check),
        ("style", || style::check().map(whole)),
        ("licences", || licences::check().map(whole)),
    ],
    &[("clippy", clippy)],
    &[("unit and integration tests", tests)],
    &[
        ("conformance", || conformance::check(&REDIS_7_0, REDIS_7_0.core)),
        ("benchmarks run once", || benchmark::smoke().map(|()| ONE)),
        ("Debian package", || package::build(None).map(|_| ONE)),
    ],
    &[("conformance with Redis 8.6", newest_conformance)],
    // Both mostly wait.
    &[("attacks", attack::run_some), ("client libraries", || clients::run(Some(workspace::build_server()?)))],
    // None of them judges by the time that something takes.
    &[
        ("chaos", || judges::some(judges::chaos)),
        ("random bytes", || judges::some(judges::wire)),
        ("random commands", || judges::some(judges::commands)),
        ("storm", storm::some),
        ("crashes", crash::some),
        ("followers", followers::some),
    ],
];

/// Steps that only compute. They run behind the others, whose waiting leaves them most of a machine, and with so little weight
/// ([`BEHIND`]) that the others hardly notice. The cluster's have one thread each, and so has most of building what is fuzzed.
const STEPS_BEHIND: [&[Step]; 2] = [
    &[
        ("fuzzing", fuzzing),
        ("cluster model", || cluster::model_some().map(|()| ONE)),
        ("cluster simulation", || cluster::simulate_some().map(|()| ONE)),
    ],
    &[("documentation", documentation)],
];

/// What lets a program run behind all others.
const BEHIND: [&str; 3] = ["nice", "-n", "19"];

/// A step without single tests that passed.
const ONE: Summary = Summary { passed: 1, failed: 0 };

/// What came of a step.
struct Ended {
    name: &'static str,
    summary: Summary,
    time: Duration,
    /// What it said, without the closing line.
    said: String,
    /// Of the processor, with all children.
    processor: Duration,
}

impl Ended {
    fn line(&self) -> String {
        let Ended { name, summary, .. } = self;
        let state = match summary {
            Summary { failed: 1.., .. } => "FAILED",
            Summary { passed: 0, .. } => "not run",
            _ => "ok",
        };
        let (time, processor) = (minutes(self.time), minutes(self.processor));
        format!(
            "{state:7} {name:28} {:>6} passed {:>4} failed {time:>6}, processor {processor:>6}",
            summary.passed, summary.failed
        )
    }
}

/// Runs all steps, or those whose name contains one of the words.
///
/// # Errors
/// When anything failed; what, was printed.
pub(crate) fn run(words: &[String]) -> Result<()> {
    setup::everything()?;
    let begin = Instant::now();
    let track = |groups: &[&[Step]], weight| -> Vec<Ended> {
        let is_wanted =
            |name: &&str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
        let names =
            |group: &&[Step]| group.iter().map(|&(name, _)| name).filter(is_wanted).collect::<Vec<_>>();
        groups.iter().flat_map(|group| side_by_side(&names(group), weight)).collect()
    };
    let all = std::thread::scope(|scope| {
        let behind = scope.spawn(|| track(&STEPS_BEHIND, &BEHIND));
        let mut all = track(&STEPS, &[]);
        all.extend(behind.join().expect("a track only starts processes"));
        all
    });
    println!();
    all.iter().for_each(|ended| println!("{}", ended.line()));
    println!("\n{} in all", minutes(begin.elapsed()));
    let mut total = Summary::default();
    for ended in &all {
        total += ended.summary;
        if ended.summary.failed > 0 {
            println!("\n== {} failed\n{}", ended.name, workspace::last_lines(&ended.said, LAST_LINES));
        }
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        bail!("{} failed", total.failed);
    }
    Ok(())
}

/// Each step in a process of its own, started by the words of `weight`. What it says is shown line by line behind its
/// name, since others run beside it.
fn side_by_side(names: &[&'static str], weight: &[&str]) -> Vec<Ended> {
    std::thread::scope(|scope| {
        let running: Vec<_> = names.iter().map(|name| scope.spawn(move || apart(name, weight))).collect();
        let end = |handle: std::thread::ScopedJoinHandle<'_, Ended>| {
            let ended = handle.join().expect("the thread only waits");
            println!("== {}", ended.line());
            ended
        };
        running.into_iter().map(end).collect()
    })
}

/// The command that runs one step.
pub(crate) const STEP: &str = "ci-step";

fn apart(name: &'static str, weight: &[&str]) -> Ended {
    let begin = Instant::now();
    let mut said = String::new();
    let mut closing = None;
    let mut run = || -> Result<()> {
        let (reader, writer) = std::io::pipe()?;
        let own = std::env::current_exe()?;
        let mut words = weight.iter().map(OsStr::new).chain([own.as_os_str(), STEP.as_ref(), name.as_ref()]);
        let mut command = Command::new(words.next().context("no program")?);
        command.args(words).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        command.env(workspace::PROFILE_VARIABLE, PROFILE);
        if std::env::var_os(SEED_VARIABLE).is_none() {
            command.env(SEED_VARIABLE, SEED);
        }
        let mut child = command.spawn()?;
        // Its ends of the pipe would keep it open.
        drop(command);
        for line in BufReader::new(reader).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            // Behind it comes no end of the file while a server that a step left behind holds the pipe.
            if let Some(numbers) = line.strip_prefix(CLOSING) {
                closing = Some(numbers.to_owned());
                break;
            }
            println!("{name} | {line}");
            said.extend([&line, "\n"]);
        }
        child.wait()?;
        Ok(())
    };
    if let Err(failure) = run() {
        said.push_str(&format!("{failure:#}"));
    }
    let numbers: Vec<u64> = closing
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter_map(|word| word.parse().ok())
        .collect();
    let (summary, processor) = match numbers[..] {
        [passed, failed, milliseconds] => (
            Summary { passed: passed as usize, failed: failed as usize },
            Duration::from_millis(milliseconds),
        ),
        _ => (Summary { passed: 0, failed: 1 }, Duration::ZERO),
    };
    Ended { name, summary, time: begin.elapsed(), said, processor }
}

/// What the last line of a step begins with; the numbers that follow are tests passed, tests failed, and the
/// milliseconds of the processor.
const CLOSING: &str = "step ended: ";

/// Runs one step and says at last what came of it.
///
/// # Errors
/// When there is no such step.
pub(crate) fn run_step(words: &[String]) -> Result<()> {
    let named = STEPS.iter().chain(&STEPS_BEHIND).copied().flatten().find(|(name, _)| [*name] == words);
    let (_, step) = named.context("no such step")?;
    let Summary { passed, failed } = step().unwrap_or_else(|failure| {
        println!("{failure:#}");
        Summary { passed: 0, failed: 1 }
    });
    println!("{CLOSING}{passed} {failed} {}", processor_time()?.as_millis());
    Ok(())
}

/// What this process and its children that have ended took of the processor (proc(5), `stat`: utime, stime, cutime and
/// cstime, in hundredths of a second).
fn processor_time() -> Result<Duration> {
    let line = std::fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    let (_, fields) = line.rsplit_once(')').context("no name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok());
    Ok(Duration::from_millis(10 * ticks.sum::<u64>()))
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

/// What is tested, and how it is built: what simulates as the steps that use it, and not once more in the profile of all others.
const TESTED: [&[&str]; 2] =
    [&["--workspace", "--exclude", "swytch-sim"], &["--package", "swytch-sim", "--profile", cluster::SHORT]];

/// Unit tests, integration tests and the examples in documentation. Cargo runs one binary after the other; most of what
/// they do is to wait, so they run side by side.
fn tests() -> Result<Summary> {
    let mut binaries = Vec::new();
    for packages in TESTED {
        binaries.extend(built_tests(packages)?);
    }
    ensure!(!binaries.is_empty(), "cargo built no test");
    binaries.sort();
    let results = lanes::each(&mut vec![(); lanes::count()], binaries, |(), (binary, package)| {
        let begin = Instant::now();
        let mut command = workspace::with_tools(Command::new(&binary));
        let summary = counted(command.current_dir(package));
        (summary, begin.elapsed(), binary)
    });
    let mut slowest: Vec<_> = results.iter().map(|(_, time, binary)| (*time, binary)).collect();
    slowest.sort_by_key(|&(time, _)| std::cmp::Reverse(time));
    for (time, binary) in slowest.into_iter().take(SLOWEST_SHOWN) {
        println!("{} {}", minutes(time), binary.file_name().unwrap_or_default().display());
    }
    let mut total = Summary::default();
    for packages in TESTED {
        total +=
            counted(workspace::cargo().args(["test", "--quiet", "--no-fail-fast", "--doc"]).args(packages))?;
    }
    for (summary, ..) in results {
        total += summary?;
    }
    Ok(total)
}

/// Builds the tests of these packages: their binaries, each with the folder of its package.
fn built_tests(packages: &[&str]) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut build = workspace::cargo();
    build.args(["test", "--quiet", "--lib", "--bins", "--tests", "--no-run"]).args(packages);
    build.args(["--message-format", "json-render-diagnostics"]);
    let messages = workspace::output_of(build.stderr(Stdio::inherit()))?;
    Ok(messages.lines().filter_map(test_binary).collect())
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

/// The suite of the newest release, where its package is to be had: it moves on with the releases.
fn newest_conformance() -> Result<Summary> {
    match REDIS_8_6.source() {
        Ok(_) => conformance::check(&REDIS_8_6, &NEWEST_FILES),
        Err(failure) => {
            println!("not run: {failure:#}");
            Ok(Summary::default())
        }
    }
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
