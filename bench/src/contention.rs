//! What our shard locks cost when two threads want them: how often one was found taken, and how long commands, which
//! hold their locks at most as long, took.
use anyhow::{Context, Result};
use swytch_testkit::client::field_of;

use crate::server::Server;
use crate::throughput::{Generator, Workload};

/// Pipeline depth of these loads.
const PIPELINE: u32 = 16;

/// One load on a server with two threads.
#[derive(Debug)]
pub(crate) struct Contention {
    /// What was sent.
    pub(crate) load: &'static str,
    /// How often a shard's lock was found taken, per million commands.
    pub(crate) waits_per_million: f64,
    /// Microseconds that these shares of the commands did not exceed, as INFO has them: 50, 99, 99.9.
    pub(crate) percentiles_us: Vec<String>,
}

/// Keys spread over all shards, and the one key of a hot list.
const LOADS: [(&str, &str); 3] =
    [("SET, random keys", "SET"), ("INCR, random keys", "INCR"), ("LPUSH, one list", "LPUSH")];

/// Runs the loads on a server with two threads.
///
/// # Errors
/// When a load fails or INFO lacks a field.
pub(crate) fn measure(
    server: &Server,
    generator: &Generator<'_>,
    operations: u64,
) -> Result<Vec<Contention>> {
    let one = |&(load, command): &(&'static str, &str)| {
        measure_one(server, generator, Workload::named(command)?, load, operations)
    };
    LOADS.iter().map(one).collect()
}

fn measure_one(
    server: &Server,
    generator: &Generator<'_>,
    workload: &Workload,
    load: &'static str,
    operations: u64,
) -> Result<Contention> {
    workload.prepare(server, generator.keys)?;
    let mut client = server.connect()?;
    let mut info = |section: &str| Ok::<_, anyhow::Error>(client.call(&["INFO", section])?.text());
    let waits = |text: &str| -> Result<f64> {
        Ok(field_of(text, "shard_lock_waits").context("INFO has no shard_lock_waits")?.parse()?)
    };
    let before = waits(&info("stats")?)?;
    server.connect()?.call(&["CONFIG", "RESETSTAT"])?;
    workload.turn(server, generator, PIPELINE, operations)?;
    let after = waits(&info("stats")?)?;
    let latency = info("latencystats")?;
    let name = format!("latency_percentiles_usec_{}", workload.name.to_lowercase());
    let percentiles = field_of(&latency, &name).with_context(|| format!("INFO has no {name}"))?;
    Ok(Contention {
        load,
        waits_per_million: (after - before) * 1e6 / operations as f64,
        percentiles_us: percentiles
            .split(',')
            .filter_map(|pair| pair.split_once('=').map(|(_, us)| us.to_owned()))
            .collect(),
    })
}
