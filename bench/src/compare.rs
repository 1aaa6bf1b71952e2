//! The whole comparison: which servers, which parts, how large, and in which order.
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use swytch_testkit::Program;

use crate::contention::{self, Contention};
use crate::fairness::{self, Crowd, Waiting};
use crate::growth::{self, Growth};
use crate::memory::{DATA_SETS, Footprint};
use crate::messages::{self, Deliveries};
use crate::output::{Load, Sending};
use crate::process;
use crate::progress;
use crate::release::{Release, Rest};
use crate::serialized::{Serialized, VALUES};
use crate::server::{Secret, Server};
use crate::snapshot::{Writing, Written};
use crate::statistics::median;
use crate::throughput::{Generator, Sample, WORKLOADS, Workload};

/// Directives every server gets: no persistence, so that only the commands are measured.
const DIRECTIVES: [&str; 4] = ["--save", "", "--appendonly", "no"];
/// Pipeline depths of the throughput table.
pub(crate) const PIPELINES: [u32; 3] = [1, 16, 100];
/// The commands and depths of the two-thread part.
const TWO_THREAD_CELLS: [(&str, u32); 4] = [("SET", 1), ("GET", 1), ("SET", 16), ("GET", 16)];

/// The commands of the part over TLS, at all depths.
const TLS_COMMANDS: [&str; 2] = ["SET", "GET"];

/// A turn delivers so many times as many messages as it has SETs at pipeline 1.
const DELIVERIES_PER_SET: u64 = 5;

/// A part of the comparison that can run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// CPU per operation and ops/s on one core.
    Throughput,
    /// CPU per operation where clients speak TLS.
    Tls,
    /// Two server threads on two cores.
    TwoThreads,
    /// Resident memory per item.
    Memory,
    /// Latency while growing.
    Growth,
    /// What others wait beside clients that send without end, and how a crowd is served.
    Fairness,
    /// Messages to very many subscribers.
    Messages,
    /// Peak memory and time of large replies.
    Output,
    /// What stays resident of what is gone.
    Release,
    /// DUMP, RESTORE, and files that are read.
    Serialized,
    /// What clients wait while the data is written.
    Snapshot,
}

impl Part {
    /// All of them, in the order of the report.
    pub const ALL: [Part; 11] = [
        Part::Throughput,
        Part::Tls,
        Part::TwoThreads,
        Part::Memory,
        Part::Growth,
        Part::Fairness,
        Part::Messages,
        Part::Output,
        Part::Release,
        Part::Serialized,
        Part::Snapshot,
    ];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Part::Throughput => "throughput",
            Part::Tls => "tls",
            Part::TwoThreads => "threads",
            Part::Memory => "memory",
            Part::Growth => "growth",
            Part::Fairness => "fairness",
            Part::Messages => "messages",
            Part::Output => "output",
            Part::Release => "release",
            Part::Serialized => "serialized",
            Part::Snapshot => "snapshot",
        }
    }
}

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Turns forth and back per cell.
    pub rounds: u32,
    /// Keys of the throughput and release parts, and items of the memory and serialized parts.
    pub keys: u64,
    /// SETs of one turn at pipeline 1; deeper pipelines get more.
    pub operations: u64,
    /// Keys of the growth part.
    pub growth_keys: u64,
    /// How long each turn of the fairness part takes.
    pub fairness_time: Duration,
    /// Replies of the output part are this many times smaller than in the report.
    pub output_part: usize,
    /// Keys of the snapshot part.
    pub snapshot_keys: u64,
    /// How long clients of the snapshot part write before.
    pub snapshot_time: Duration,
}

impl Scale {
    /// The figures of the report.
    pub const FULL: Scale = Scale {
        rounds: 3,
        keys: 1_000_000,
        operations: 200_000,
        growth_keys: 10_000_000,
        fairness_time: Duration::from_secs(4),
        output_part: 1,
        snapshot_keys: 10_000_000,
        snapshot_time: Duration::from_secs(4),
    };
    /// A run that only shows that everything works.
    pub const SMOKE: Scale = Scale {
        rounds: 1,
        keys: 1000,
        operations: 2000,
        growth_keys: 20_000,
        fairness_time: Duration::from_millis(300),
        output_part: 32,
        snapshot_keys: 20_000,
        snapshot_time: Duration::from_millis(100),
    };

    /// Operations of a turn, so that every depth runs for about as long.
    fn operations_at(&self, pipeline: u32) -> u64 {
        match pipeline {
            1 => self.operations,
            2..=16 => self.operations * 6,
            _ => self.operations * 10,
        }
    }
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ours first, then the peers.
    pub programs: Vec<Program>,
    /// What runs [`crate::floor`].
    pub floor: Program,
    /// The load generator, `redis-benchmark` or a compatible one.
    pub generator: PathBuf,
    /// Which parts to run.
    pub parts: Vec<Part>,
    /// Beginnings of names to which the commands of the throughput part, what the serialized part holds and what the snapshot
    /// part writes are limited; none means all.
    pub commands: Vec<String>,
    /// How large.
    pub scale: Scale,
}

impl Options {
    fn want(&self, name: &str) -> bool {
        let is_begun = |wanted: &String| name.to_lowercase().starts_with(&wanted.to_lowercase());
        self.commands.is_empty() || self.commands.iter().any(is_begun)
    }
}

/// Everything that was measured. Each list has one entry per program, in the order of the options.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Names with versions, ours first.
    pub(crate) programs: Vec<String>,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) scale: Option<Scale>,
    pub(crate) throughput: Vec<Cell>,
    /// CPU per operation of the floor, in microseconds, for each of [`PIPELINES`].
    pub(crate) floor_us: Vec<f64>,
    pub(crate) tls: Vec<Cell>,
    pub(crate) two_threads: Vec<Cell>,
    /// Of our server alone.
    pub(crate) contention: Vec<Contention>,
    pub(crate) memory: Vec<MemoryRow>,
    pub(crate) growth: Vec<Growth>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) crowd: Vec<Crowd>,
    pub(crate) deliveries: Vec<Deliveries>,
    /// A row per load, by name.
    pub(crate) output: Vec<(String, Vec<Sending>)>,
    pub(crate) release: Vec<(Release, Vec<Rest>)>,
    /// A row per kind of value.
    pub(crate) serialized: Vec<(&'static str, Vec<Serialized>)>,
    /// A row per kind of writing; of each server one entry per turn.
    pub(crate) snapshot: Vec<(Writing, Vec<Vec<Written>>)>,
}

/// One command at one pipeline depth.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) command: &'static str,
    pub(crate) pipeline: u32,
    /// The samples of each program, in the order they were taken.
    pub(crate) samples: Vec<Vec<Sample>>,
}

/// One data set.
#[derive(Debug)]
pub(crate) struct MemoryRow {
    pub(crate) name: &'static str,
    pub(crate) short_name: &'static str,
    pub(crate) floor_bytes: u32,
    pub(crate) footprints: Vec<Footprint>,
}

/// Runs the comparison.
///
/// # Errors
/// When a server does not start, a command is answered with an error, or the machine has fewer than two cores
/// where a part needs them.
pub fn compare(options: &Options) -> Result<Comparison> {
    let cores = process::allowed_cores()?;
    let mut comparison = Comparison {
        programs: options
            .programs
            .iter()
            .map(|program| format!("{} {}", program.name, program.version()))
            .collect(),
        processor: process::processor_model(),
        cores: cores.len(),
        scale: Some(options.scale),
        ..Comparison::default()
    };
    let [server_core, generator_core] = *cores.first_chunk::<2>().context("two cores are needed")?;
    if options.parts.contains(&Part::Throughput) {
        comparison.throughput = throughput(options, server_core, generator_core)?;
        comparison.floor_us = floor(options, server_core, generator_core)?;
    }
    if options.parts.contains(&Part::Tls) {
        comparison.tls = tls(options, server_core, generator_core)?;
    }
    if options.parts.contains(&Part::TwoThreads) {
        comparison.two_threads = two_threads(options, &cores)?;
        comparison.contention = contention(options, &cores)?;
    }
    if options.parts.contains(&Part::Memory) {
        comparison.memory = memory(options)?;
    }
    if options.parts.contains(&Part::Fairness) {
        (comparison.waiting, comparison.crowd) = fairness(options, &cores)?;
    }
    if options.parts.contains(&Part::Messages) {
        let servers = start_all(options, 1, &[server_core])?;
        let deliveries = options.scale.operations * DELIVERIES_PER_SET;
        comparison.deliveries = messages::measure(&servers, deliveries, options.scale.rounds)?;
    }
    if options.parts.contains(&Part::Growth) {
        for program in &options.programs {
            println!("growth: {}", program.name);
            let server = Server::start(program, &directives(program, 1), Some(&[server_core]))?;
            comparison.growth.push(growth::measure(&server, options.scale.growth_keys)?);
        }
    }
    if options.parts.contains(&Part::Output) {
        for load in Load::all(options.scale.output_part) {
            println!("output: {}", load.name());
            let measure = |program: &Program| load.measure(program, &directives(program, 1));
            let sendings = options.programs.iter().map(measure).collect::<Result<_>>()?;
            comparison.output.push((load.name(), sendings));
        }
    }
    if options.parts.contains(&Part::Release) {
        for release in Release::ALL {
            println!("release: {}", release.name());
            let measure =
                |program: &Program| release.measure(program, &directives(program, 1), options.scale.keys);
            let rests = options.programs.iter().map(measure).collect::<Result<_>>()?;
            comparison.release.push((release, rests));
        }
    }
    if options.parts.contains(&Part::Serialized) {
        let (one, mut two) = (start_all(options, 1, &[server_core])?, start_all(options, 2, &cores)?);
        for values in VALUES.into_iter().filter(|values| options.want(values.name)) {
            println!("serialized: {}", values.name);
            let row = values.measure(&one, &mut two, options.scale.keys, options.scale.rounds)?;
            comparison.serialized.push((values.name, row));
        }
    }
    if options.parts.contains(&Part::Snapshot) {
        comparison.snapshot = snapshot(options)?;
    }
    Ok(comparison)
}

fn throughput(options: &Options, server_core: usize, generator_core: usize) -> Result<Vec<Cell>> {
    let servers = start_all(options, 1, &[server_core])?;
    let generator = Generator {
        path: &options.generator,
        cores: Some(&[generator_core]),
        threads: 1,
        keys: options.scale.keys,
    };
    let workloads: Vec<_> = WORKLOADS.iter().filter(|workload| options.want(workload.name)).collect();
    cells(&workloads, &servers, &generator, options.scale)
}

/// All depths of some commands, servers in turns.
fn cells(
    workloads: &[&'static Workload],
    servers: &[Server],
    generator: &Generator<'_>,
    scale: Scale,
) -> Result<Vec<Cell>> {
    let bar = progress::bar((workloads.len() * PIPELINES.len()) as u64 * u64::from(scale.rounds));
    let mut cells = Vec::new();
    for workload in workloads {
        for server in servers {
            workload.prepare(server, scale.keys)?;
        }
        for pipeline in PIPELINES {
            bar.set_message(format!("{} at pipeline {pipeline}", workload.name));
            let mut samples = vec![Vec::new(); servers.len()];
            let operations = workload.operations(scale.operations_at(pipeline));
            for _ in 0..scale.rounds {
                for turn in there_and_back(servers.len()) {
                    samples[turn].push(workload.turn(&servers[turn], generator, pipeline, operations)?);
                }
                bar.inc(1);
            }
            cells.push(Cell { command: workload.name, pipeline, samples });
        }
    }
    bar.finish_and_clear();
    Ok(cells)
}

/// Servers that speak TLS with a certificate of their own, as they choose its version and cipher by themselves.
fn tls(options: &Options, server_core: usize, generator_core: usize) -> Result<Vec<Cell>> {
    let secret = Secret::new()?;
    let start = |program: &Program| {
        Server::start_secured(program, &directives(program, 1), Some(&[server_core]), &secret)
    };
    let servers = options.programs.iter().map(start).collect::<Result<Vec<_>>>()?;
    let cores = [generator_core];
    let generator =
        Generator { path: &options.generator, cores: Some(&cores), threads: 1, keys: options.scale.keys };
    let workloads = TLS_COMMANDS.into_iter().map(Workload::named).collect::<Result<Vec<_>>>()?;
    cells(&workloads, &servers, &generator, options.scale)
}

fn floor(options: &Options, server_core: usize, generator_core: usize) -> Result<Vec<f64>> {
    let server = Server::start(&options.floor, &[], Some(&[server_core]))?;
    let cores = [generator_core];
    let generator =
        Generator { path: &options.generator, cores: Some(&cores), threads: 1, keys: options.scale.keys };
    let get = Workload::named("GET")?;
    let turn = |pipeline| {
        let operations = get.operations(options.scale.operations_at(pipeline));
        let samples = (0..2 * options.scale.rounds)
            .map(|_| Ok(get.turn(&server, &generator, pipeline, operations)?.cpu_us))
            .collect::<Result<Vec<_>>>()?;
        Ok(median(&samples))
    };
    PIPELINES.into_iter().map(turn).collect()
}

fn two_threads(options: &Options, cores: &[usize]) -> Result<Vec<Cell>> {
    let pair = &cores[..2];
    let servers = start_all(options, 2, pair)?;
    let generator =
        Generator { path: &options.generator, cores: Some(pair), threads: 2, keys: options.scale.keys };
    let mut cells = Vec::new();
    for (name, pipeline) in TWO_THREAD_CELLS {
        let workload = Workload::named(name)?;
        println!("two threads: {name} at pipeline {pipeline}");
        for server in &servers {
            workload.prepare(server, options.scale.keys)?;
        }
        let mut samples = vec![Vec::new(); servers.len()];
        let operations = workload.operations(options.scale.operations_at(pipeline));
        for _ in 0..options.scale.rounds {
            for turn in there_and_back(servers.len()) {
                samples[turn].push(workload.turn(&servers[turn], &generator, pipeline, operations)?);
            }
        }
        cells.push(Cell { command: name, pipeline, samples });
    }
    Ok(cells)
}

fn contention(options: &Options, cores: &[usize]) -> Result<Vec<Contention>> {
    let Some(ours) = options.programs.iter().find(|program| program.is_swytch()) else {
        return Ok(Vec::new());
    };
    println!("contention: {}", ours.name);
    let cores = &cores[..2];
    let generator =
        Generator { path: &options.generator, cores: Some(cores), threads: 2, keys: options.scale.keys };
    let operations = options.scale.operations_at(16);
    contention::measure(ours, |threads| directives(ours, threads), cores, &generator, operations)
}

fn memory(options: &Options) -> Result<Vec<MemoryRow>> {
    let mut rows = Vec::new();
    for data_set in DATA_SETS {
        println!("memory: {}", data_set.name);
        let measure =
            |program: &Program| data_set.measure(program, &directives(program, 1), options.scale.keys);
        let footprints = options.programs.iter().map(measure).collect::<Result<_>>()?;
        rows.push(MemoryRow {
            name: data_set.name,
            short_name: data_set.short_name,
            floor_bytes: data_set.floor_bytes,
            footprints,
        });
    }
    Ok(rows)
}

/// Others are measured on one server thread, with the load on the other core; the crowd has both cores with it.
fn fairness(options: &Options, cores: &[usize]) -> Result<(Vec<Waiting>, Vec<Crowd>)> {
    let time = options.scale.fairness_time;
    let waiting = fairness::waiting(&start_all(options, 1, &cores[..1])?, time)?;
    // A fifth of the keys, because values are thirty times as long as elsewhere.
    let keys = options.scale.keys.div_ceil(5);
    let crowd = fairness::crowd(&start_all(options, 2, &cores[..2])?, keys, options.scale.rounds, time)?;
    Ok((waiting, crowd))
}

/// Servers with two threads in turns, a fresh process each.
fn snapshot(options: &Options) -> Result<Vec<(Writing, Vec<Vec<Written>>)>> {
    let Scale { rounds, snapshot_keys, snapshot_time, .. } = options.scale;
    let mut rows = Vec::new();
    for writing in Writing::ALL.into_iter().filter(|writing| options.want(writing.name())) {
        println!("snapshot: {}", writing.name());
        let mut turns = vec![Vec::new(); options.programs.len()];
        for _ in 0..rounds {
            for (program, turns) in options.programs.iter().zip(&mut turns) {
                turns.push(writing.measure(
                    program,
                    &directives(program, 2),
                    snapshot_keys,
                    snapshot_time,
                )?);
            }
        }
        rows.push((writing, turns));
    }
    Ok(rows)
}

fn start_all(options: &Options, threads: u32, cores: &[usize]) -> Result<Vec<Server>> {
    options
        .programs
        .iter()
        .map(|program| Server::start(program, &directives(program, threads), Some(cores)))
        .collect()
}

/// Peers keep one thread for commands and can have threads for input and output beside it.
fn directives(program: &Program, threads: u32) -> Vec<&'static str> {
    let mut directives = DIRECTIVES.to_vec();
    let number = if threads == 2 { "2" } else { "1" };
    directives.extend([if program.is_swytch() { "--threads" } else { "--io-threads" }, number]);
    directives
}

/// 0 1 2 2 1 0.
fn there_and_back(count: usize) -> impl Iterator<Item = usize> {
    (0..count).chain((0..count).rev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_there_and_back() {
        assert_eq!(there_and_back(3).collect::<Vec<_>>(), [0, 1, 2, 2, 1, 0]);
    }
}
