//! Values as bytes: what DUMP takes, how fast RESTORE takes them back, and how fast a file of them is read at a start.
//!
//! All servers get the same payloads and the same file, written by ours in a form that every peer reads. What a command takes
//! is measured with one server thread; how fast bytes become data with two, and the client, which only sends what it has
//! prepared, on the same cores.
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::client::{Client, Reply, encode};
use crate::load::{fill, words};
use crate::server::Server;
use crate::throughput::VALUE;

/// Connections that restore.
const CONNECTIONS: usize = 4;
/// Bytes that are sent, or asked for, at a time: less than what makes either side wait for the other.
const BATCH_BYTES: usize = 64 << 10;
/// Elements that the background frees in a millisecond, at least.
const FREED_PER_MS: u64 = 6000;

/// One row: keys of one type, which have this many elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values {
    /// The name in tables.
    pub(crate) name: &'static str,
    elements: u64,
    command: fn(u64, u64) -> Vec<String>,
}

/// The rows.
pub(crate) const VALUES: [Values; 9] = [
    Values { name: "strings of 32 B", elements: 1, command: |key, _| words(&format!("SET k:{key} {VALUE}")) },
    Values { name: "lists of 100", elements: 100, command: list },
    Values { name: "sets of 100", elements: 100, command: set },
    Values { name: "sets of 1,000", elements: 1000, command: set },
    Values { name: "hashes of 100", elements: 100, command: hash },
    Values { name: "hashes of 1,000", elements: 1000, command: hash },
    Values { name: "sorted sets of 100", elements: 100, command: sorted_set },
    Values { name: "sorted sets of 1,000", elements: 1000, command: sorted_set },
    Values { name: "streams of 1,000", elements: 1000, command: stream },
];

fn list(key: u64, number: u64) -> Vec<String> {
    words(&format!("RPUSH k:{key} element:{number:06}:{key}"))
}

fn set(key: u64, number: u64) -> Vec<String> {
    words(&format!("SADD k:{key} member:{number:06}:{key}"))
}

fn hash(key: u64, number: u64) -> Vec<String> {
    words(&format!("HSET k:{key} field:{number:06} value:{key}:{number}"))
}

fn sorted_set(key: u64, number: u64) -> Vec<String> {
    words(&format!("ZADD k:{key} {} member:{number:06}", number * 7919 % 100_003))
}

fn stream(key: u64, number: u64) -> Vec<String> {
    words(&format!("XADD k:{key} {}-0 sensor {number} text value:{key}", number + 1))
}

/// What one server came to, once per turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serialized {
    /// Microseconds of CPU for a DUMP.
    pub(crate) dump_us: Vec<f64>,
    /// Megabytes of payload a second.
    pub(crate) restore_mbs: Vec<f64>,
    /// Microseconds of CPU for a RESTORE.
    pub(crate) restore_us: Vec<f64>,
    /// Megabytes of the file a second.
    pub(crate) load_mbs: Vec<f64>,
}

impl Values {
    /// Servers in turns, each with one thread, and with two; the first makes payloads and file. `items` elements in all.
    ///
    /// # Errors
    /// When a server refuses something.
    pub(crate) fn measure(
        self,
        one: &[Server],
        two: &mut [Server],
        items: u64,
        rounds: u32,
    ) -> Result<Vec<Serialized>> {
        let keys = (items / self.elements).max(1);
        for server in one {
            let mut client = server.connect()?;
            client.call(&["FLUSHALL"])?;
            fill(&mut client, keys * self.elements, |number| {
                (self.command)(number / self.elements, number % self.elements)
            })?;
        }
        let [ours, ..] = one else { return Ok(Vec::new()) };
        let mut client = ours.connect()?;
        agree(&mut client, one)?;
        client.call(&["SAVE"])?;
        let file = fs::read(file_of(&mut client)?)?;
        let payloads = dump_all(&mut client, keys)?;
        let payload_bytes: usize = payloads.iter().map(Vec::len).sum();
        let per_key_us = |used: Duration| used.as_secs_f64() * 1e6 / keys as f64;
        let flush = |client: &mut Client| {
            client.call(&["FLUSHALL"])?;
            std::thread::sleep(Duration::from_millis(items / FREED_PER_MS));
            anyhow::Ok(())
        };
        let mut all = vec![Serialized::default(); one.len()];
        for _ in 0..rounds {
            for turn in (0..one.len()).chain((0..one.len()).rev()) {
                let (figures, server) = (&mut all[turn], &one[turn]);
                let mut client = server.connect()?;
                let before = server.cpu_time()?;
                dump_all(&mut client, keys)?;
                let dumped = server.cpu_time()?;
                flush(&mut client)?;
                let flushed = server.cpu_time()?;
                restore_all(server, &payloads, 1)?;
                figures.dump_us.push(per_key_us(dumped - before));
                figures.restore_us.push(per_key_us(server.cpu_time()? - flushed));

                let server = &mut two[turn];
                let mut client = server.connect()?;
                flush(&mut client)?;
                let took = restore_all(server, &payloads, CONNECTIONS)?;
                figures.restore_mbs.push(payload_bytes as f64 / 1e6 / took.as_secs_f64());
                fs::write(file_of(&mut client)?, &file)?;
                let took = server.load_again()?;
                figures.load_mbs.push(file.len() as f64 / 1e6 / took.as_secs_f64());
                let there = server.connect()?.call(&["DBSIZE"])?;
                ensure!(there == Reply::Integer(keys as i64), "{there:?} of {keys} keys were read");
            }
        }
        Ok(all)
    }
}

/// Has the first write the newest version that all others read, as far back as Redis 7.0's.
fn agree(ours: &mut Client, servers: &[Server]) -> Result<()> {
    for version in ["11", "10"] {
        ours.call(&["CONFIG", "SET", "rdb-version", version])?;
        let payload = dump_all(ours, 1)?;
        let mut request = Vec::new();
        encode(&mut request, &[&b"RESTORE"[..], b"k:0", b"0", &payload[0], b"REPLACE"]);
        let is_read_by = |server: &Server| {
            let mut client = server.connect()?;
            client.send(&request)?;
            anyhow::Ok(!matches!(client.receive()?, Reply::Error(_)))
        };
        if servers.iter().map(is_read_by).collect::<Result<Vec<_>>>()?.into_iter().all(|is_read| is_read) {
            return Ok(());
        }
    }
    anyhow::bail!("there is no version that all servers read")
}

/// Where a server has its file.
fn file_of(client: &mut Client) -> Result<PathBuf> {
    let mut value = |directive| match client.call(&["CONFIG", "GET", directive])? {
        Reply::Array(Some(pair)) => pair.get(1).map(Reply::text).context("CONFIG GET has no value"),
        other => anyhow::bail!("CONFIG GET {directive} was answered {other:?}"),
    };
    Ok(PathBuf::from(value("dir")?).join(value("dbfilename")?))
}

/// The payloads of all keys.
fn dump_all(client: &mut Client, keys: u64) -> Result<Vec<Vec<u8>>> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    while (payloads.len() as u64) < keys {
        let known = payloads.last().map_or(BATCH_BYTES, Vec::len).max(64);
        let first = payloads.len() as u64;
        let end = keys.min(first + (BATCH_BYTES / known).clamp(1, 500) as u64);
        let mut requests = Vec::new();
        (first..end).for_each(|key| encode(&mut requests, &["DUMP", &format!("k:{key}")]));
        client.send(&requests)?;
        for key in first..end {
            let Reply::Bulk(Some(payload)) = client.receive()? else {
                anyhow::bail!("k:{key} has no payload")
            };
            payloads.push(payload);
        }
    }
    Ok(payloads)
}

/// Restores them on some connections, and tells how long that took.
fn restore_all(server: &Server, payloads: &[Vec<u8>], connections: usize) -> Result<Duration> {
    let mut batches: Vec<Vec<(Vec<u8>, usize)>> = vec![Vec::new(); connections];
    for (number, payload) in payloads.iter().enumerate() {
        let batches = &mut batches[number % connections];
        if batches.last().is_none_or(|(requests, _)| requests.len() >= BATCH_BYTES) {
            batches.push((Vec::new(), 0));
        }
        let (requests, count) = batches.last_mut().expect("one was just begun");
        encode(requests, &[b"RESTORE", format!("k:{number}").as_bytes(), b"0", payload]);
        *count += 1;
    }
    let mut clients = (0..connections).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    for turn in 0..batches[0].len() {
        let sent = || batches.iter().map(|batches| batches.get(turn));
        for (client, batch) in clients.iter_mut().zip(sent()) {
            batch.map_or(Ok(()), |(requests, _)| client.send(requests))?;
        }
        for (client, batch) in clients.iter_mut().zip(sent()) {
            for _ in 0..batch.map_or(0, |(_, count)| *count) {
                let reply = client.receive()?;
                ensure!(reply == Reply::Simple("OK".to_owned()), "RESTORE was answered {reply:?}");
            }
        }
    }
    Ok(began.elapsed())
}
