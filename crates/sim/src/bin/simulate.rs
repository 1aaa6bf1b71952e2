//! Plays seeds of the cluster simulator and judges them.
//!
//! ```text
//! simulate [--seeds N] [--from S]     N seeds from S (default 300 from 0); ends with 1 if a promise is broken
//! simulate --seed S [--key K]         one seed, with all that was found; with all that happened to key number K
//! simulate --availability             what clients wait for when something happens to a node, as a table
//! simulate --mutants [NAME...] [--seeds N]   for each seeded fault the first seed that notices it
//! simulate ... --two-copies           each key is to have two holders; every other seed plays crashes one by one
//! simulate ... --real-store           nodes with the server's keyspace instead of abstract values
//! simulate ... --minutes M            stop after so long
//! simulate ... --keep-going           do not stop at the first broken promise
//! simulate ... --jobs J               play on this many threads (default 1)
//! ```

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use swytch_cluster::Mutant;
use swytch_sim::availability;
use swytch_sim::cluster::{Coverage, Outcome, Profile, run_profile, try_run};

/// Between two lines about the progress of a campaign.
const TELL_EVERY: Duration = Duration::from_secs(20);

struct Options {
    seeds: u64,
    from: u64,
    one: Option<u64>,
    key: Option<usize>,
    mutants: Option<Vec<Mutant>>,
    limit: Duration,
    keep_going: bool,
    real_store: bool,
    two_copies: bool,
    availability: bool,
    jobs: u64,
}

impl Options {
    fn profile(&self, seed: u64) -> Profile {
        let profile = if self.two_copies { Profile::of_two_copies(seed) } else { Profile::of_seed(seed) };
        if self.real_store { profile.on_real_store() } else { profile }
    }
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("simulate: {message}");
            return ExitCode::from(2);
        }
    };
    if options.availability {
        print!("{}", availability::table());
        return ExitCode::SUCCESS;
    }
    // What panics is reported as a broken promise.
    std::panic::set_hook(Box::new(|_| {}));
    let good = match (&options.one, &options.mutants) {
        (Some(seed), mutants) => {
            one(&options, *seed, mutants.as_ref().and_then(|mutants| mutants.first().copied()))
        }
        (None, Some(mutants)) => kill(&options, mutants),
        (None, None) => campaign(&options),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        seeds: 300,
        from: 0,
        one: None,
        key: None,
        mutants: None,
        limit: Duration::MAX,
        keep_going: false,
        real_store: false,
        two_copies: false,
        availability: false,
        jobs: 1,
    };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().ok_or(format!("{argument} needs a number"))?;
            text.parse::<u64>().map_err(|error| format!("{argument} {text}: {error}"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--seed" => options.one = Some(number()?),
            "--key" => options.key = Some(number()? as usize),
            "--minutes" => options.limit = Duration::from_secs(60 * number()?),
            "--jobs" => options.jobs = number()?.max(1),
            "--keep-going" => options.keep_going = true,
            "--real-store" => options.real_store = true,
            "--two-copies" => options.two_copies = true,
            "--availability" => options.availability = true,
            "--mutants" => options.mutants = Some(Vec::new()),
            name => {
                let mutant = Mutant::ALL.iter().copied().find(|mutant| format!("{mutant:?}") == name);
                match (&mut options.mutants, mutant) {
                    (Some(mutants), Some(mutant)) => mutants.push(mutant),
                    _ => return Err(format!("unknown argument {name}")),
                }
            }
        }
    }
    Ok(options)
}

fn one(options: &Options, seed: u64, mutant: Option<Mutant>) -> bool {
    let outcome = match options.key {
        Some(_) => run_profile(options.profile(seed), mutant, options.key),
        None => try_run(options.profile(seed), mutant),
    };
    report(&outcome);
    println!(
        "seed {seed}: {} operations, {} events, trace {:016x}",
        outcome.operations, outcome.events, outcome.trace
    );
    outcome.violations.is_empty()
}

/// What a campaign has played so far.
#[derive(Default)]
struct Sum {
    seeds: u64,
    operations: u64,
    events: u64,
    bad: Vec<u64>,
    coverage: Coverage,
    told: Option<Instant>,
}

impl Sum {
    /// Now and then, how far a long campaign has come.
    fn tell(&mut self, of: u64) {
        if self.told.get_or_insert_with(Instant::now).elapsed() > TELL_EVERY {
            self.told = Some(Instant::now());
            let (seeds, operations, bad) = (self.seeds, self.operations, self.bad.len());
            eprintln!("{seeds} of {of} seeds, {operations} operations, broken promises in {bad}");
        }
    }

    fn add(&mut self, outcome: &Outcome) {
        report(outcome);
        self.seeds += 1;
        self.operations += outcome.operations;
        self.events += outcome.events;
        self.coverage.add(&outcome.coverage);
        if !outcome.violations.is_empty() {
            self.bad.push(outcome.seed);
        }
    }
}

fn report(outcome: &Outcome) {
    for violation in &outcome.violations {
        println!("seed {}: {violation}", outcome.seed);
    }
}

fn campaign(options: &Options) -> bool {
    let start = Instant::now();
    let next = AtomicU64::new(options.from);
    let end = options.from.saturating_add(options.seeds);
    let stop = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && start.elapsed() <= options.limit {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let outcome = try_run(options.profile(seed), None);
                    let good = outcome.violations.is_empty();
                    let mut sum = sum.lock().expect("nothing panics while it is held");
                    sum.add(&outcome);
                    sum.tell(options.seeds);
                    drop(sum);
                    if !good && !options.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut sum = sum.into_inner().expect("nothing panics while it is held");
    sum.bad.sort_unstable();
    let Sum { seeds, operations, events, bad, coverage, told: _ } = sum;
    println!("seeds {seeds} (from {}), operations {operations}, events {events}", options.from);
    println!("seconds {:.0}", start.elapsed().as_secs_f64());
    println!("seeds with a broken promise: {} {:?}", bad.len(), &bad[..bad.len().min(50)]);
    print_coverage(&coverage);
    bad.is_empty()
}

fn print_coverage(coverage: &Coverage) {
    let line = |name: &str, count: u64| println!("  {name:<20} {count}");
    println!("messages delivered:");
    coverage.messages.iter().for_each(|(name, count)| line(name, *count));
    println!("rules used:");
    coverage.rules.iter().for_each(|(name, count)| line(name, *count));
    println!("never seen: {:?}", coverage.missing());
}

fn kill(options: &Options, chosen: &[Mutant]) -> bool {
    let all = if chosen.is_empty() { Mutant::ALL.to_vec() } else { chosen.to_vec() };
    let mut survivors = Vec::new();
    for mutant in all {
        let start = Instant::now();
        let mut killed = None;
        for seed in options.from..options.from.saturating_add(options.seeds) {
            if start.elapsed() > options.limit {
                break;
            }
            let outcome = try_run(options.profile(seed), Some(mutant));
            if let Some(violation) = outcome.violations.first() {
                killed = Some((seed, violation.kind));
                break;
            }
        }
        match killed {
            Some((seed, kind)) => println!("| {mutant:?} | seed {seed} | {kind} |"),
            None => {
                println!("| {mutant:?} | survived | |");
                survivors.push(mutant);
            }
        }
    }
    println!("survivors: {survivors:?}");
    survivors.is_empty()
}
