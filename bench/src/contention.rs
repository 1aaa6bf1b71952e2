//! What threads cost each other: how often a shard's lock was found taken, how long commands took that hold theirs at most as long,
//! and what a command costs the workers when there are two of them; without and with somebody who reads the order of effects (the
//! log), which all writers take a place in.
//!
//! A machine with more cores is simulated from that ([`Threads`]).
use std::time::Duration;

use anyhow::{Context, Result};
use swytch_testkit::client::field_of;
use swytch_testkit::{Program, Random};

use crate::process;
use crate::server::{LOGGED, Server};
use crate::throughput::{Generator, Workload};

/// Pipeline depth of these loads.
const PIPELINE: u32 = 16;
/// Shards for each thread of the server (`SHARDS_PER_THREAD`).
const SHARDS_PER_THREAD: usize = 32;
/// What it takes to have a cache line that another core of the same socket wrote last, in nanoseconds.
pub(crate) const LINE_NS: u32 = 80;
const LINE_US: f64 = LINE_NS as f64 / 1e3;
/// Threads of the machine that is simulated.
pub(crate) const SIMULATED: usize = 16;

/// One load on a server with two threads, beside the same with one.
#[derive(Debug)]
pub(crate) struct Contention {
    /// What was sent.
    pub(crate) load: &'static str,
    /// Whether the log reads what is written.
    pub(crate) is_logged: bool,
    /// Microseconds of the workers per command, with one thread and with two.
    pub(crate) worker_us: [f64; 2],
    /// Microseconds of the log's thread per command.
    pub(crate) log_us: f64,
    /// How often a shard's lock was found taken, per million commands.
    pub(crate) waits_per_million: f64,
    /// Microseconds that these shares of the commands did not exceed, as INFO has them: 50, 99, 99.9.
    pub(crate) percentiles_us: Vec<String>,
    has_one_key: bool,
}

impl Contention {
    /// Times as much that two threads do as one, each with a core of its own.
    pub(crate) fn doubled(&self) -> f64 {
        2.0 * self.worker_us[0] / self.worker_us[1]
    }

    /// What so many threads are simulated to do.
    pub(crate) fn simulated(&self, count: usize) -> Simulated {
        let shards = if self.has_one_key { 1 } else { (count * SHARDS_PER_THREAD).next_power_of_two() };
        let held_us = self.percentiles_us.first().and_then(|us| us.parse().ok()).unwrap_or(0.0);
        Threads { count, shards, command_us: self.worker_us[0], held_us, takes_places: self.is_logged }.play()
    }
}

/// Keys spread over all shards, and the one key of a hot list.
const LOADS: [(&str, &str); 3] =
    [("SET, random keys", "SET"), ("INCR, random keys", "INCR"), ("LPUSH, one list", "LPUSH")];

/// Runs the loads on servers with one thread and with two.
///
/// # Errors
/// When a load fails or INFO lacks a field.
pub(crate) fn measure(
    program: &Program,
    directives: impl Fn(u32) -> Vec<&'static str>,
    cores: &[usize],
    generator: &Generator<'_>,
    operations: u64,
) -> Result<Vec<Contention>> {
    let mut rows = Vec::new();
    for is_logged in [false, true] {
        let start = |threads| {
            let mut directives = directives(threads);
            if is_logged {
                directives.extend(LOGGED);
            }
            Server::start(program, &directives, Some(cores))
        };
        let [one, two] = [start(1)?, start(2)?];
        for (load, command) in LOADS {
            let workload = Workload::named(command)?;
            let alone = Turn::measure(&one, generator, workload, operations)?;
            let both = Turn::measure(&two, generator, workload, operations)?;
            rows.push(Contention {
                load,
                is_logged,
                worker_us: [alone.worker_us, both.worker_us],
                log_us: both.log_us,
                waits_per_million: both.waits_per_million,
                percentiles_us: both.percentiles_us,
                has_one_key: command == "LPUSH",
            });
        }
    }
    Ok(rows)
}

/// A load on one server.
struct Turn {
    worker_us: f64,
    log_us: f64,
    waits_per_million: f64,
    percentiles_us: Vec<String>,
}

impl Turn {
    fn measure(
        server: &Server,
        generator: &Generator<'_>,
        workload: &Workload,
        operations: u64,
    ) -> Result<Turn> {
        workload.prepare(server, generator.keys)?;
        let mut client = server.connect()?;
        let mut waits = || client.info_number("stats", "shard_lock_waits");
        let times = || -> Result<[Duration; 2]> {
            let pid = server.pid();
            Ok([
                process::threads_time(pid, is_worker)?,
                process::threads_time(pid, |name| name == "swytch-log")?,
            ])
        };
        let (waits_before, times_before) = (waits()?, times()?);
        server.connect()?.call(&["CONFIG", "RESETSTAT"])?;
        workload.turn(server, generator, PIPELINE, operations)?;
        let (waits_after, times_after) = (waits()?, times()?);
        let latency = client.call(&["INFO", "latencystats"])?.text();
        let name = format!("latency_percentiles_usec_{}", workload.name.to_lowercase());
        let percentiles = field_of(&latency, &name).with_context(|| format!("INFO has no {name}"))?;
        let us = |of: usize| (times_after[of] - times_before[of]).as_secs_f64() * 1e6 / operations as f64;
        Ok(Turn {
            worker_us: us(0),
            log_us: us(1),
            waits_per_million: (waits_after - waits_before) as f64 * 1e6 / operations as f64,
            percentiles_us: percentiles
                .split(',')
                .filter_map(|pair| pair.split_once('=').map(|(_, us)| us.to_owned()))
                .collect(),
        })
    }
}

fn is_worker(name: &str) -> bool {
    name.strip_prefix("swytch-").is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Threads that do nothing but commands which take a random shard's lock and, where somebody reads the order, a place in it: one
/// counter that all of them write. A lock and a counter come in a cache line each, from whoever wrote it last.
struct Threads {
    count: usize,
    shards: usize,
    /// A command takes so long where nobody else is.
    command_us: f64,
    /// Of this under its shard's lock.
    held_us: f64,
    takes_places: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simulated {
    /// Times as much as one thread does.
    pub(crate) times: f64,
    /// How often a shard's lock was found taken, per million commands.
    pub(crate) waits_per_million: f64,
}

/// Something that one thread has at a time: until when, and who had it last.
#[derive(Clone, Copy, Default)]
struct Line {
    free_us: f64,
    owner: usize,
}

impl Line {
    /// When this thread has it, if it asks now.
    fn take(&mut self, thread: usize, now_us: f64) -> f64 {
        let came_us = if self.owner == thread { 0.0 } else { LINE_US };
        self.owner = thread;
        now_us.max(self.free_us) + came_us
    }
}

impl Threads {
    fn play(&self) -> Simulated {
        const COMMANDS: usize = 200_000;
        let mut random = Random::new(1);
        let mut locks = vec![Line::default(); self.shards];
        let mut counter = Line::default();
        // Commands begin at different times.
        let mut ready_us: Vec<f64> =
            (0..self.count).map(|thread| self.command_us * thread as f64 / self.count as f64).collect();
        let (mut waits, mut end_us) = (0, 0.0);
        for _ in 0..COMMANDS {
            let thread = (0..self.count).min_by(|a, b| ready_us[*a].total_cmp(&ready_us[*b])).expect("some");
            let lock = &mut locks[random.below(self.shards as u32) as usize];
            waits += usize::from(lock.free_us > ready_us[thread]);
            let mut has_us = lock.take(thread, ready_us[thread]);
            if self.takes_places {
                has_us = counter.take(thread, has_us);
                counter.free_us = has_us;
            }
            lock.free_us = has_us + self.held_us;
            // What is left of it has nothing to do with others, and is what the next one begins with.
            ready_us[thread] = lock.free_us + self.command_us - self.held_us;
            end_us = f64::max(end_us, lock.free_us);
        }
        Simulated {
            times: COMMANDS as f64 * self.command_us / end_us,
            waits_per_million: waits as f64 * 1e6 / COMMANDS as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(count: usize, shards: usize, takes_places: bool) -> f64 {
        Threads { count, shards, command_us: 1.0, held_us: 0.1, takes_places }.play().times
    }

    #[test]
    fn threads_are_held_up_by_what_they_share() {
        assert!((times(1, 1, true) - 1.0).abs() < 0.01, "nobody is there");
        // A lock's line comes from another core nearly always, and is free nearly always.
        assert!((times(16, 1 << 16, false) - 16.0 / (1.0 + LINE_US)).abs() < 0.3);
        // One shard is held for its time and that of its line.
        assert!((times(16, 1, false) - 1.0 / (0.1 + LINE_US)).abs() < 0.1);
        // All write one counter.
        assert!((times(16, 1 << 16, true) - 1.0 / LINE_US).abs() < 0.1);
    }
}
