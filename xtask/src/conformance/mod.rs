//! `cargo xtask conformance`: the test suites of two releases of Redis as judges.
//!
//! `release` says which and what of them, `suite` runs one file, `output` reads what it prints, `replay` proves that its changes are effects, `reference`
//! holds what a real Redis gives, `report` holds what we committed to. This module compares them.
mod output;
mod reference;
mod release;
pub(crate) mod replay;
mod report;
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use output::Outcome;
use reference::{Reference, ReferenceRun};
pub(crate) use release::{REDIS_7_0, REDIS_8_6, Release};
use report::{Figures, NotPassed, Table, UNEXPLAINED};
use suite::{Mode, Suite};
use swytch_bench::progress;
use swytch_testkit::Program;

use crate::arguments::Arguments;
use crate::{lanes, server_option, setup, workspace};

/// A file runs at most this often before a loss is believed: some tests measure time on a busy machine.
const ATTEMPTS_MAX: usize = 3;
/// Seconds one file may take.
const FILE_SECONDS_MAX: u64 = 420;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Whose suite.
    pub(crate) release: &'static Release,
    /// Files to run; none stands for the usual set.
    pub(crate) files: Vec<String>,
    /// The server binary; none builds ours.
    pub(crate) server: Option<PathBuf>,
    /// External, own, or both; or over TLS.
    pub(crate) modes: Vec<Mode>,
    /// Compare with the committed results and fail on a loss.
    pub(crate) check: bool,
    /// Write the results to docs/conformance.md and the list.
    pub(crate) update: bool,
    /// Measure a real Redis and keep its figures as the reference.
    pub(crate) against_redis: bool,
    /// Limit per file.
    pub(crate) file_seconds_max: u64,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn from_arguments(mut arguments: Arguments) -> Result<Options> {
        let modes = match arguments.value("--mode")?.as_deref() {
            None | Some("both") => Mode::BOTH.to_vec(),
            Some("external") => vec![Mode::External],
            Some("own") => vec![Mode::Own],
            Some("tls") => vec![Mode::Tls],
            Some(other) => bail!("--mode is external, own, both or tls, not {other:?}"),
        };
        let release = arguments.value("--suite")?;
        let options = Options {
            release: release.as_deref().map_or(Ok(&REDIS_7_0), release::by_name)?,
            server: server_option(&mut arguments)?,
            modes,
            check: arguments.flag("--check"),
            update: arguments.flag("--update"),
            against_redis: arguments.flag("--against-redis"),
            file_seconds_max: arguments.number("--file-seconds")?.unwrap_or(FILE_SECONDS_MAX),
            files: arguments.words()?,
        };
        if options.check && (options.update || options.against_redis) {
            bail!("--check changes nothing, so it goes with neither --update nor --against-redis");
        }
        Ok(options)
    }

    /// Whether a test that passes in all of these modes has no place in the list.
    fn judge_lists(&self) -> bool {
        self.modes.contains(&Mode::Tls) || self.modes.len() == Mode::BOTH.len()
    }

    /// The files to run: named ones, or a set by its name, or the usual set.
    fn file_list(&self) -> Vec<String> {
        let mut list: Vec<String> = Vec::new();
        let owned = |files: &[&str]| files.iter().map(|&file| file.to_owned()).collect::<Vec<String>>();
        let wanted: Vec<&str> = if self.files.is_empty() {
            vec!["core", "extra"]
        } else {
            self.files.iter().map(String::as_str).collect()
        };
        for name in wanted {
            match name {
                "core" => list.extend(owned(self.release.core)),
                "extra" => list.extend(owned(self.release.extra)),
                file if file.starts_with("unit/") || file.starts_with("integration/") => {
                    list.push(file.to_owned())
                }
                file => list.push(format!("unit/{file}")),
            }
        }
        list
    }
}

/// What a run found, for the closing line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    /// Tests passed.
    pub(crate) passed: usize,
    /// Losses against what is committed (with a check), or tests that Redis passes and we do not.
    pub(crate) failed: usize,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Checks files of a suite with the server that is built here, in both modes.
pub(crate) fn check(release: &'static Release, files: &[&str]) -> Result<Summary> {
    run(&Options {
        release,
        files: files.iter().map(|&file| file.to_owned()).collect(),
        server: None,
        modes: Mode::BOTH.to_vec(),
        check: true,
        update: false,
        against_redis: false,
        file_seconds_max: FILE_SECONDS_MAX,
    })
}

/// Runs the files and compares, updates or records, as the options say.
pub(crate) fn run(options: &Options) -> Result<Summary> {
    setup::suite_tools()?;
    let release = options.release;
    let program = if options.against_redis {
        let path = options.server.clone().map_or_else(release.server, Ok)?;
        Program::at("redis", &path)
    } else {
        let path = options.server.clone().map_or_else(workspace::build_server, Ok)?;
        Program::at("swytch", &path)
    };
    let limit = Duration::from_secs(options.file_seconds_max);
    // A check tries again what fails, and waits so much that a lane more than elsewhere finds a core. What is recorded is
    // measured once, with nothing beside it.
    let lanes = if options.check { lanes::count() + 1 } else { 1 };
    let follows = |file: &String| release.follows(file).is_some();
    let follower = match program.is_swytch() && options.file_list().iter().any(follows) {
        true => Some((release.server)()?),
        false => None,
    };
    // Behind the servers, which are built where it lies.
    let source = release.source()?;
    release.account_for_all(&source)?;
    let prepare = |lane| Suite::prepare(release, &source, program.clone(), limit, lane, follower.as_deref());
    let mut suites = (0..lanes).map(prepare).collect::<Result<Vec<Suite>>>()?;
    if options.modes.contains(&Mode::Tls) {
        setup::suite_tls_tools()?;
        suites.iter().try_for_each(Suite::make_certificates)?;
    }
    if options.against_redis { record_reference(options, &mut suites) } else { judge(options, &mut suites) }
}

/// Measures a real Redis.
fn record_reference(options: &Options, suites: &mut [Suite]) -> Result<Summary> {
    let mut reference = Reference::load(options.release).unwrap_or_default();
    let mut summary = Summary::default();
    each_run(options, suites, Suite::run, |file, mode, outcome| {
        summary.passed += outcome.ok.len();
        summary.failed += outcome.failed.len();
        reference.set(file, mode, &outcome);
        reference.save(options.release)?;
        Ok(describe(&outcome, None))
    })?;
    Ok(summary)
}

/// Measures our server and holds it against the reference and the committed results.
fn judge(options: &Options, suites: &mut [Suite]) -> Result<Summary> {
    let release = options.release;
    let reference = Reference::load(release)?;
    let committed = Table::load(release);
    let mut table = committed.clone();
    let mut list = NotPassed::load(release)?;
    let mut summary = Summary::default();
    let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut complaints: Vec<String> = Vec::new();
    let none = ReferenceRun::default();
    let theirs_of = |file: &str, mode| reference.get(file, mode).unwrap_or(&none);
    let lost =
        |file: &str, mode, run: &Outcome| losses(file, mode, run, theirs_of(file, mode), &list, &committed);
    let best_of = |suite: &Suite, file: &str, mode, tick: &dyn Fn(&str)| -> Result<Outcome> {
        let mut best = suite.run(file, mode, tick)?;
        let mut attempts = 1;
        while attempts < ATTEMPTS_MAX && options.check && !lost(file, mode, &best).is_empty() {
            let again = suite.run(file, mode, tick)?;
            if lost(file, mode, &again).len() < lost(file, mode, &best).len() {
                best = again;
            }
            attempts += 1;
        }
        Ok(best)
    };
    each_run(options, suites, best_of, |file, mode, best| {
        let theirs = theirs_of(file, mode);
        summary.passed += best.ok.len();
        let found = lost(file, mode, &best);
        if options.check {
            summary.failed += found.len();
            complaints.extend(found.iter().map(|loss| format!("{file} ({}): {loss}", mode.name())));
        } else {
            summary.failed += not_passed(&best, theirs).len() + usize::from(best.unfaithful.is_some());
        }
        let of_mode = missing.entry(NotPassed::listed_as(file, mode)).or_default();
        // What fails without TLS is no matter of TLS.
        let known = |name: &String| mode == Mode::Tls && list.reason(file, name).is_some();
        of_mode.extend(not_passed(&best, theirs).into_iter().filter(|name| !known(name)));
        table.set(file, mode, Figures { ok: best.ok.len(), err: best.failed.len(), ignored: best.ignored });
        Ok(describe(&best, Some(theirs)))
    })?;
    if options.check {
        for complaint in &complaints {
            println!("LOST {complaint}");
        }
        report_unneeded(&missing, &list, options);
        return Ok(summary);
    }
    println!("\n{}\nfull output: {}", table.to_markdown(&reference), suites[0].logs().display());
    if options.update {
        for (file, names) in &missing {
            if options.judge_lists() {
                list.replace(file, names);
            }
        }
        list.save(release)?;
        report::write_document(release, &table)?;
    }
    Ok(summary)
}

/// Measures every file in every mode, side by side in as many copies of the suite as there are, and prints what `take`
/// says of what came out.
fn each_run(
    options: &Options,
    suites: &mut [Suite],
    measure: impl Fn(&Suite, &str, Mode, &dyn Fn(&str)) -> Result<Outcome> + Sync,
    take: impl FnMut(&str, Mode, Outcome) -> Result<String> + Send,
) -> Result<()> {
    let files = options.file_list();
    let runs: Vec<(&str, Mode)> =
        files.iter().flat_map(|file| options.modes.iter().map(move |&mode| (file.as_str(), mode))).collect();
    let bar = progress::bar(runs.len() as u64);
    let take = Mutex::new(take);
    let ended = lanes::each(suites, runs, |suite, (file, mode)| -> Result<()> {
        let started = Instant::now();
        let tick = |line: &str| bar.set_message(format!("{file} {}: {line:.60}", mode.name()));
        tick("");
        let outcome = measure(suite, file, mode, &tick)?;
        let said = take.lock().expect("no thread panics with it")(file, mode, outcome)?;
        bar.inc(1);
        bar.suspend(|| {
            println!("{file:24} {:8} {:5.1} s  {said}", mode.name(), started.elapsed().as_secs_f64());
        });
        Ok(())
    });
    bar.finish_and_clear();
    ended.into_iter().collect()
}

/// Tests that Redis passes and this run did not.
fn not_passed(ours: &Outcome, theirs: &ReferenceRun) -> Vec<String> {
    let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &ours.ok {
        *passed.entry(name).or_default() += 1;
    }
    let mut missing = Vec::new();
    for name in &theirs.ok {
        match passed.get_mut(name.as_str()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => missing.push(name.clone()),
        }
    }
    missing
}

/// Where this run falls behind what is committed.
fn losses(
    file: &str,
    mode: Mode,
    ours: &Outcome,
    theirs: &ReferenceRun,
    list: &NotPassed,
    table: &Table,
) -> Vec<String> {
    let mut found: Vec<String> = not_passed(ours, theirs)
        .into_iter()
        .filter(|name| list.reason_in(file, mode, name).is_none_or(|reason| reason == UNEXPLAINED))
        .collect();
    found.extend(ours.unfaithful.iter().map(|fault| format!("replayed effects: {fault}")));
    if let Some(committed) = table.get(file, mode)
        && ours.ok.len() < committed.ok
        && found.is_empty()
    {
        found.push(format!("{} tests pass, {} did before", ours.ok.len(), committed.ok));
    }
    found
}

/// Says which listed tests pass by now, so that the list can shrink.
fn report_unneeded(missing: &BTreeMap<String, BTreeSet<String>>, list: &NotPassed, options: &Options) {
    if !options.judge_lists() {
        return;
    }
    for (file, names) in missing {
        for listed in list.of_file(file).filter(|&name| !names.contains(name)) {
            println!("passes now, so its entry can go: {listed} | {file}");
        }
    }
}

/// One line about a run, and the failed tests below it.
fn describe(ours: &Outcome, theirs: Option<&ReferenceRun>) -> String {
    let of = theirs.map(|run| format!(" of {}", run.ok.len())).unwrap_or_default();
    let mut text = format!("{}{of} ok, {} err, {} ignored", ours.ok.len(), ours.failed.len(), ours.ignored);
    if let Some(reason) = &ours.broken_off {
        text.push_str(&format!(", broken off: {reason}"));
    }
    if let Some(fault) = &ours.unfaithful {
        text.push_str(&format!("\n    replayed effects: {fault}"));
    }
    for failed in &ours.failed {
        text.push_str(&format!("\n    err  {}\n           {:.200}", failed.name, failed.detail));
    }
    let Some(theirs) = theirs else { return text };
    let reported: BTreeSet<&str> = ours.failed.iter().map(|failed| failed.name.as_str()).collect();
    for name in not_passed(ours, theirs).iter().filter(|name| !reported.contains(name.as_str())) {
        text.push_str(&format!("\n    not run  {name}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ok: &[&str]) -> Outcome {
        Outcome { ok: ok.iter().map(|&name| name.to_owned()).collect(), ..Outcome::default() }
    }

    fn reference(ok: &[&str]) -> ReferenceRun {
        ReferenceRun { ok: ok.iter().map(|&name| name.to_owned()).collect(), ..ReferenceRun::default() }
    }

    #[test]
    fn a_name_that_stands_twice_must_pass_twice() {
        assert_eq!(not_passed(&outcome(&["a", "b"]), &reference(&["a", "a", "b"])), ["a"]);
    }

    #[test]
    fn a_listed_test_is_no_loss_and_a_lower_figure_is() {
        let (theirs, mut list, mut table) = (reference(&["a", "b"]), NotPassed::default(), Table::default());
        let lost = |list: &NotPassed, table: &Table| {
            losses("unit/scan", Mode::Own, &outcome(&["a"]), &theirs, list, table).len()
        };
        assert_eq!(lost(&list, &table), 1);
        list.replace("unit/scan", &["b".to_owned()].into());
        assert_eq!(lost(&list, &table), 1, "an unexplained entry excuses nothing");
        let explained = NotPassed::from_entry("unit/scan", "b", "needs sets");
        assert_eq!(lost(&explained, &table), 0);
        table.set("unit/scan", Mode::Own, Figures { ok: 2, ..Figures::default() });
        assert_eq!(lost(&explained, &table), 1);
    }

    #[test]
    fn what_fails_over_tls_alone_is_listed_apart() {
        let theirs = reference(&["a", "b"]);
        let list = NotPassed::from_entry("unit/scan over TLS", "b", "left out there");
        let lost =
            |mode| losses("unit/scan", mode, &outcome(&["a"]), &theirs, &list, &Table::default()).len();
        assert_eq!((lost(Mode::Tls), lost(Mode::Own)), (0, 1));
    }

    #[test]
    fn sets_of_files_have_names() {
        let options = Options::from_arguments(Arguments::new(["extra".to_owned(), "type/zset".to_owned()]));
        let files = options.expect("valid").file_list();
        assert_eq!(files.len(), REDIS_7_0.extra.len() + 1);
        assert_eq!(files.last().map(String::as_str), Some("unit/type/zset"));
    }
}
