//! Development commands of the project: `cargo xtask help` lists them.
//!
//! Each command is one module and can be run alone; `ci` runs them all, the same here and elsewhere. Whatever a
//! command needs beyond the Rust toolchain it gets by itself through `setup`.
mod arguments;
mod attack;
mod benchmark;
mod ci;
mod clients;
mod cluster;
mod conformance;
mod crash;
mod floors;
mod followers;
mod fuzz;
mod judges;
mod lanes;
mod licences;
mod mutants;
mod package;
mod page;
mod setup;
mod storm;
mod style;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use arguments::Arguments;

const HELP: &str = "\
Development commands of swytch.

  cargo xtask ci [STEP...]          every check and every test; installs what they need
  cargo xtask setup                 only install what the tests need
  cargo xtask clients [--server PATH]  client libraries and task queues against the server
  cargo xtask conformance [FILE...] the Redis test suite, file by file
      --suite 7.0|8.6|valkey        that of Redis 7.0.15 (default), of Redis 8.6.3, or of Valkey 9.1.2
      FILE                          unit/scan, or core (what each change must keep), extra; without any: both
      --server PATH                 this binary instead of a fresh release build
      --mode external|own|both|tls  who starts the server: we, the suite, or both in turn (default); or the suite,
                                    and all of its clients speak TLS
      --check                       fail where a result is behind the committed one
      --update                      write docs/conformance.md and xtask/data/expected-failures-*.txt
      --against-redis               measure a real Redis and keep its figures
      --file-seconds N              limit per file (default 420)
  cargo xtask bench [PART...]       speed and memory against Redis and Valkey
      PART                          throughput, tls, threads, memory, growth, fairness, messages,
                                    output, release, serialized, snapshot; without any: all
      --server PATH                 this binary instead of a fresh release build
      --peer NAME=PATH              a peer's server binary; can be given several times
      --build-peers                 Redis 8 and Valkey, built from Debian's source packages
      --command NAME                only these commands of the throughput part, or what the snapshot
                                    part writes; several times
      --generator PATH              another redis-benchmark
      --rounds N                    rounds per cell (default 3)
      --snapshot-keys N             keys of the snapshot part (default 10,000,000)
      --smoke                       a small run that shows that everything works
      --update                      write docs/performance.md, of some parts only their sections; of all the plot, too
  cargo xtask eviction [WORD...]    miss ratios of the policies of eviction beside others, Redis that runs and the optimum
      WORD                          only traces whose names contain one of these
      --requests N                  requests of each trace (default 1,000,000)
      --server PATH                 this binary instead of a fresh release build
      --simulated                   no servers
      --update                      write docs/eviction.md and its plot
  cargo xtask fuzz TARGET|all [--seconds N]   a fuzz target for so long (default 60)
  cargo xtask attack [NAME...]      what once brought servers down, held against ours and a live Redis
      --server PATH                 this binary instead of a fresh release build
      --peer NAME=PATH              another Redis; can be given several times
      --update                      write docs/attacks.md
  cargo xtask wire                  random bytes in random cuts: the same replies and the same end as Redis
  cargo xtask commands              random commands from COMMAND DOCS: the same replies and keyspace as Redis
  cargo xtask chaos                 clients that behave badly: nothing may be left of them
      --seconds N                   how long (default 600)
      --threads N                   of chaos, instead of 2 and then 8
      --server PATH --peer PATH     these binaries
  cargo xtask storm                 all commands at random from 50 clients, half of them over TLS, beside eviction: nothing
                                    crashes or is left, and the recorded effects give the same data
      --seconds N                   how long (default 600)
      --server PATH                 this binary
  cargo xtask crash                 nothing acknowledged is lost: a disk that tears, and a server that is killed under load
      --rounds N                    kills (default 200)
      --server PATH                 this binary
  cargo xtask followers             Redis and Valkey follow through cut links and kills: all have the same, and what WAIT told
      --rounds N                    times that all is compared (default 100)
      --server PATH                 this binary
  cargo xtask model [campaign|search STATES|walk SEED STATES|hunt STATES]  the cluster protocol, model-checked
  cargo xtask simulate [OPTION...]  whole clusters on virtual time; ends with an error if a promise is broken
      --seeds N --from S            this many seeds (default 300), from this one (default 0)
      --seed S                      one seed, with all that was found
      --minutes M --keep-going      stop after so long; do not stop at the first broken promise
      --real-store                  nodes with the server's keyspace instead of abstract values
      --mutants [NAME...]           for each seeded fault the first seed that notices it
  cargo xtask mutants [NAME...]     bugs made on purpose, in a copy of the tree, and whether the tests notice them
      --update                      write docs/mutants.md
  cargo xtask peers                 build Redis 8 and Valkey from Debian's sources
  cargo xtask package [--server PATH]  a Debian package of the release build, checked
  cargo xtask page [--server PATH]  the page of the metrics port as a browser draws it; metrics and alert rules by promtool
  cargo xtask style                 the rules of STYLE.md
  cargo xtask floors                who imports whom in the server: circles, and imports from above
  cargo xtask licences              the licences of all dependencies
";

fn main() -> ExitCode {
    let mut given = std::env::args().skip(1);
    let mut command = given.next().unwrap_or_else(|| "help".to_owned());
    let mut given = given.peekable();
    if given.next_if(|word| word == "--help" || word == "-h").is_some() {
        // What takes minutes to build first is not what was asked for.
        command = "help".to_owned();
    }
    match dispatch(&command, Arguments::new(given)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{command}: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &str, mut arguments: Arguments) -> Result<()> {
    match command {
        "attack" => close(attack::run(arguments)?),
        "bench" => benchmark::run(arguments),
        "chaos" => close(judges::chaos(arguments)?),
        benchmark::FLOOR => benchmark::serve_floor(arguments),
        "ci" => ci::run(&arguments.words()?),
        ci::STEP => ci::run_step(&arguments.words()?),
        "style" => {
            arguments.nothing_else().and_then(|()| style::check()).map(|files| println!("{files} files"))
        }
        "floors" => {
            arguments.nothing_else()?;
            let survey = floors::survey()?;
            for circle in &survey.circles {
                println!("circle of {}: {}", circle.len(), circle.join(", "));
            }
            survey.faults.iter().for_each(|fault| println!("{fault}"));
            println!("{} modules, {} faults", survey.modules, survey.faults.len());
            Ok(())
        }
        "licences" => arguments
            .nothing_else()
            .and_then(|()| licences::check())
            .map(|packages| println!("{packages} packages")),
        "peers" => {
            arguments.nothing_else()?;
            for package in ["redis", "valkey"] {
                println!("{}", setup::peer_build(package)?.display());
            }
            Ok(())
        }
        "eviction" => benchmark::eviction(arguments),
        "fuzz" => run_fuzz(arguments),
        "package" => {
            let server = server_option(&mut arguments)?;
            arguments.nothing_else()?;
            package::build(server).map(drop)
        }
        "page" => {
            let server = server_option(&mut arguments)?;
            arguments.nothing_else()?;
            page::check(server)
        }
        "clients" => {
            let server = server_option(&mut arguments)?;
            arguments.nothing_else()?;
            close(clients::run(server)?)
        }
        "commands" => close(judges::commands(arguments)?),
        "crash" => close(crash::run(arguments)?),
        "storm" => close(storm::run(arguments)?),
        "followers" => close(followers::run(arguments)?),
        "conformance" => close(conformance::run(&conformance::Options::from_arguments(arguments)?)?),
        "mutants" => mutants::run(arguments),
        "simulate" => cluster::simulate(arguments),
        "model" => cluster::model(arguments),
        "wire" => close(judges::wire(arguments)?),
        "setup" => arguments.nothing_else().and_then(|()| setup::everything()),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => bail!("no such command {unknown:?}\n\n{HELP}"),
    }
}

/// The closing line of a command that ran tests.
fn close(summary: conformance::Summary) -> Result<()> {
    println!("{} passed, {} failed", summary.passed, summary.failed);
    if summary.failed > 0 { bail!("not every test passed") } else { Ok(()) }
}

fn run_fuzz(mut arguments: Arguments) -> Result<()> {
    let seconds = arguments.number("--seconds")?.unwrap_or(60);
    let mut wanted = arguments.words()?;
    if wanted.is_empty() || wanted == ["all"] {
        wanted = fuzz::targets()?;
    }
    for target in wanted {
        println!("{target}: {} inputs, no finding", fuzz::run(&target, seconds)?);
    }
    Ok(())
}

/// `--server PATH`, as a path that holds wherever the command runs.
pub(crate) fn server_option(arguments: &mut Arguments) -> Result<Option<PathBuf>> {
    Ok(arguments.value("--server")?.map(std::path::absolute).transpose()?)
}
