//! `cargo xtask wire`, `commands` and `chaos`: the judges that know no single fault, only that a real Redis does the
//! same, or that nothing may be left. They run for as long as they are given, and a share of each runs in the CI.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use swytch_testkit::commands::Vocabulary;
use swytch_testkit::differential::{
    DOUBLES, ENCODING_OF_LISTS, ENCODING_OF_SETS, ENCODING_OF_SHORT_STRINGS, Explained, Options, Pair,
    WITHSCORE,
};
use swytch_testkit::wire::Laboratory;
use swytch_testkit::{Program, Random, chaos};

use crate::arguments::Arguments;
use crate::conformance::Summary;
use crate::{server_option, setup, workspace};

/// Seconds of a judge, unless it is told.
const SECONDS: u64 = 600;
/// Seconds of each judge that every change must pass.
const CI_SECONDS: u64 = 60;
/// Findings after which a run shows no more.
const FINDINGS_MAX: usize = 20;
/// Random commands between two new beginnings.
const STEPS_PER_ROUND: usize = 400;

/// What both are started with.
const FILE: &str = "save \"\"\nenable-debug-command yes\nproto-max-bulk-len 4mb\n";

/// Differences of commands that are meant, each with its reason.
const EXPLAINED: &[Explained] = &[
    DOUBLES,
    ENCODING_OF_LISTS,
    ENCODING_OF_SETS,
    ENCODING_OF_SHORT_STRINGS,
    WITHSCORE,
    Explained {
        reason: "Redis 7.0 looks for the key before it reads the range, later ones after",
        versions: "7.0.",
        holds: |step, ours, theirs| {
            (step.is("bitcount") || step.is("bitpos"))
                && ours.starts_with(b"-ERR")
                && (!theirs.starts_with(b"-ERR") || theirs.starts_with(b"-WRONGTYPE"))
        },
    },
    Explained {
        reason: "later versions tell more of a stream than Redis 7.0; the server's own tests compare it",
        versions: "7.0.",
        holds: |step, ours, theirs| step.is("xinfo") && !ours.starts_with(b"-") && !theirs.starts_with(b"-"),
    },
    Explained {
        reason: "a timeout beyond the range overflows in Redis 7.0 and is called negative",
        versions: "7.0.",
        holds: |_, ours, theirs| {
            ours == b"-ERR timeout is out of range\r\n" && theirs == b"-ERR timeout is negative\r\n"
        },
    },
];

/// What a command line says of a judge.
struct Given {
    ours: Program,
    peer: Program,
    time: Duration,
    threads: Option<u64>,
}

impl Given {
    fn from_arguments(mut arguments: Arguments) -> Result<Given> {
        let ours = server_option(&mut arguments)?.map_or_else(workspace::build_server, Ok)?;
        let peer = match arguments.value("--peer")? {
            Some(path) => {
                Program::at("redis", std::path::absolute(path.rsplit('=').next().unwrap_or(&path))?)
            }
            None => Program::at("redis", setup::redis_server()?),
        };
        let time = Duration::from_secs(arguments.number("--seconds")?.unwrap_or(SECONDS));
        let threads = arguments.number("--threads")?;
        arguments.nothing_else()?;
        Ok(Given { ours: Program::at("swytch", ours), peer, time, threads })
    }
}

/// Random bytes in random cuts.
pub(crate) fn wire(arguments: Arguments) -> Result<Summary> {
    wire_of(&Given::from_arguments(arguments)?)
}

/// Random commands from the argument trees.
pub(crate) fn commands(arguments: Arguments) -> Result<Summary> {
    commands_of(&Given::from_arguments(arguments)?)
}

/// Clients that behave badly, on two threads and on eight, or as many as were given.
pub(crate) fn chaos(arguments: Arguments) -> Result<Summary> {
    chaos_of(&Given::from_arguments(arguments)?)
}

/// The share of a judge that every change must pass.
pub(crate) fn some(judge: fn(Arguments) -> Result<Summary>) -> Result<Summary> {
    judge(Arguments::new(["--seconds".to_owned(), CI_SECONDS.to_string()]))
}

fn wire_of(given: &Given) -> Result<Summary> {
    let mut random = Random::from_environment();
    let mut laboratory = Laboratory::open(&given.ours, &given.peer)?;
    let (mut scripts, mut findings) = (0, 0);
    let begin = Instant::now();
    while begin.elapsed() < given.time && findings < FINDINGS_MAX {
        scripts += 1;
        if let Some(finding) = laboratory.try_one(&mut random).context("a server is gone")? {
            findings += 1;
            println!("wire, script {scripts}:\n{finding}");
        }
    }
    println!("wire: {scripts} scripts of bytes, {findings} differences");
    Ok(outcome(findings == 0))
}

fn commands_of(given: &Given) -> Result<Summary> {
    let mut random = Random::from_environment();
    let mut pair = Pair::start(&given.ours, &given.peer, "commands", FILE);
    let vocabulary = Vocabulary::of(&mut pair.ours.client, &mut pair.theirs.client);
    let options = Options { explained: EXPLAINED, steps_per_protocol: 100, ..Options::default() };
    let (mut rounds, mut findings) = (0, 0);
    let begin = Instant::now();
    while begin.elapsed() < given.time && findings < FINDINGS_MAX {
        rounds += 1;
        if let Err(difference) =
            pair.run(&mut random, STEPS_PER_ROUND, &options, |random| vocabulary.step(random))
        {
            findings += 1;
            println!("commands, round {rounds}:\n{difference}");
        }
    }
    ensure!(rounds > 0, "no time for a round");
    println!(
        "commands: {rounds} rounds of {STEPS_PER_ROUND} out of {} commands, {findings} differences",
        vocabulary.len()
    );
    Ok(outcome(findings == 0))
}

fn chaos_of(given: &Given) -> Result<Summary> {
    let mut random = Random::from_environment();
    let numbers = given.threads.map_or_else(|| vec![2, 8], |threads| vec![threads]);
    let time = given.time / numbers.len() as u32;
    let mut total = Summary::default();
    for threads in numbers {
        let report = chaos::run(&given.ours, usize::try_from(threads)?, time, &mut random)?;
        let summary = outcome(report.is_clean());
        println!(
            "chaos, {threads} threads: {} acts, {}\n    before {:?}\n    after  {:?}",
            report.acts,
            if report.is_clean() { "nothing is left" } else { "SOMETHING IS LEFT" },
            report.before,
            report.after
        );
        total += summary;
    }
    Ok(total)
}

fn outcome(is_good: bool) -> Summary {
    if is_good { Summary { passed: 1, failed: 0 } } else { Summary { passed: 0, failed: 1 } }
}
