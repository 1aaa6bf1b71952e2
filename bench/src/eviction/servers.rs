//! The policies of servers that run: what is wanted of them over TCP, and how often it was not there.
//!
//! Their LRU counts in seconds and their LFU in minutes, in which a cache of some thousand keys would be gone through many
//! times. So their clocks go faster (libfaketime): to a server a request is as long as it is to what is simulated.
//!
//! A server has bytes and no number of keys. It is given the `maxmemory` with which it was seen to hold as many keys as the
//! simulated cache, and beside what it has missed stand the figures for what it has held in fact.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use swytch_testkit::{PATIENCE, Program, Server};

use super::traces::{Trace, Traces};
use super::{ADAPTIVE, POLICIES, REQUESTS_PER_MINUTE, miss_ratio};
use crate::client::{Client, Reply, encode};

/// The servers that are played with.
#[derive(Debug)]
pub struct Servers {
    /// Our server.
    pub ours: Program,
    /// Redis.
    pub redis: Program,
    /// The library that hurries the clock of a process.
    pub clock: PathBuf,
}

/// What came of a trace and a server.
pub(super) struct Played {
    pub(super) trace: &'static str,
    pub(super) server: &'static str,
    pub(super) policy: &'static str,
    /// What it has held when it was full, of what the trace says that keys take.
    pub(super) held: u64,
    pub(super) miss_ratio: f64,
    /// That of the simulated policy, and of the optimum, with as much room.
    pub(super) simulated: f64,
    pub(super) optimum: f64,
}

/// Whose server, its policy, and where that is among what is simulated.
const PLAYED: [(&str, &str, usize); 5] = [
    (OURS, "allkeys-adaptive", ADAPTIVE),
    (REDIS, "allkeys-lru", 1),
    (REDIS, "allkeys-lfu", 2),
    (OURS, "allkeys-lru", 6),
    (OURS, "allkeys-lfu", 7),
];
/// The first so many are plotted.
pub(super) const PLOTTED: usize = 3;
pub(super) const OURS: &str = "swytch";
const REDIS: &str = "Redis";

/// What is played with servers: of traces that are alike one, and none that leaves so little room that a server has as much to
/// hold for itself.
const TRACES: [&str; 6] =
    ["Zipf 0.99", "Zipf and scans", "loop and Zipf", "drifting", "in turn", "mixed sizes"];
/// The room, in thousandths of what all keys take.
pub(super) const ROOM: u64 = 100;

/// Requests that are sent at a time.
const GROUP: usize = 50;
/// What one of a trace's units of room is, where all keys take one.
const UNIT_BYTES: usize = 512;
/// What it is where they take up to 128: a server adds about as much to each.
const MIXED_UNIT_BYTES: usize = 64;
/// How much faster the clock of a server goes.
const HASTE: u64 = 100;
/// Looks at what is held, in the second half of a trace.
const LOOKS: usize = 5;
/// Attempts to find the `maxmemory` for so many keys.
const ATTEMPTS: usize = 4;

/// Plays the traces, as far as they are played with servers.
pub(super) fn play(traces: &Traces, servers: &Servers) -> Result<Vec<Played>> {
    let mut all = Vec::new();
    for trace in traces.0.iter().filter(|trace| TRACES.contains(&trace.name)) {
        for (server, policy, simulated) in PLAYED {
            let program = if server == OURS { &servers.ours } else { &servers.redis };
            let run = Run { program, policy, clock: &servers.clock, trace };
            let (held, misses) = run.play().with_context(|| format!("{server} {policy}, {}", trace.name))?;
            let ratio = |policy: usize| miss_ratio(trace, (POLICIES[policy].1)(trace, held.max(1)));
            all.push(Played {
                trace: trace.name,
                server,
                policy,
                held,
                miss_ratio: misses as f64 / trace.requests.len() as f64,
                simulated: ratio(simulated),
                optimum: ratio(super::OPTIMUM),
            });
        }
    }
    Ok(all)
}

struct Run<'r> {
    program: &'r Program,
    policy: &'static str,
    clock: &'r PathBuf,
    trace: &'r Trace,
}

impl Run<'_> {
    /// What the server held, and how many requests found nothing.
    fn play(&self) -> Result<(u64, usize)> {
        let wanted = self.trace.footprint() * ROOM / 1000;
        let maxmemory = self.maxmemory_for(wanted)?;
        let mut playing = self.start(maxmemory)?;
        let (requests, mut held) = (&self.trace.requests, Vec::new());
        let (first, second) = requests.split_at(requests.len() / 2);
        let mut misses = playing.request(first, true)?;
        for part in second.chunks(second.len().div_ceil(LOOKS)) {
            misses += playing.request(part, true)?;
            held.push(playing.held()?);
        }
        playing.end()?;
        Ok((held.iter().sum::<u64>() / held.len() as u64, misses))
    }

    /// The `maxmemory` with which the server holds what takes so much room.
    fn maxmemory_for(&self, wanted: u64) -> Result<u64> {
        let mut playing = self.start(0)?;
        let empty = playing.used_bytes()?;
        let mut filling: Vec<u32> = (0..self.trace.sizes.len() as u32).collect();
        filling.retain(|key| self.trace.sizes[*key as usize] > 0);
        let mut room = wanted;
        let fits = |key: &&u32| {
            room = room.saturating_sub(self.trace.sizes[**key as usize].into());
            room > 0
        };
        let enough = filling.iter().take_while(fits).count();
        filling.truncate(2 * enough);
        playing.request(&filling[..enough], false)?;
        let mut limit = playing.used_bytes()?;
        for _ in 0..ATTEMPTS {
            playing.set_limit(limit)?;
            playing.request(&filling, false)?;
            let held = playing.held()?.max(1);
            let of_one = (limit.saturating_sub(empty) / held).max(1);
            limit = (limit + wanted * of_one).saturating_sub(held * of_one).max(empty);
        }
        playing.end()?;
        Ok(limit)
    }

    fn start(&self, maxmemory: u64) -> Result<Playing<'_>> {
        let clock = self.clock.to_str().context("a path of ordinary characters")?;
        let is_ours = self.program.is_swytch();
        // Redis has a clock for LRU that it looks at with each of these rounds.
        let own: &[&str] = if is_ours { &["--threads", "1"] } else { &["--hz", "500"] };
        let server = self
            .program
            .launch("eviction")
            .arguments(&["--bind", "127.0.0.1", "--save", "", "--maxmemory-samples", "10"])
            .arguments(&["--maxmemory-policy", self.policy, "--maxmemory", &maxmemory.to_string()])
            .arguments(own)
            .variable("LD_PRELOAD", clock)
            .variable("FAKETIME", &format!("+0 x{HASTE}"))
            // Only the time of day, not the clock that counts from some moment on.
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .run()?;
        let client = Client::connect(server.port)?;
        let units =
            if self.trace.sizes.iter().all(|size| *size <= 1) { UNIT_BYTES } else { MIXED_UNIT_BYTES };
        Ok(Playing { server, client, sizes: &self.trace.sizes, unit_bytes: units })
    }
}

/// A server that is wanted from.
struct Playing<'p> {
    server: Server,
    client: Client,
    sizes: &'p [u32],
    unit_bytes: usize,
}

impl Playing<'_> {
    /// Wants these keys, and sets those that are not there; how many that are. Those of one group are wanted at once, and one that is
    /// wanted twice in it was missed once. `paced` is as fast as the server's clock says that requests come.
    fn request(&mut self, keys: &[u32], paced: bool) -> Result<usize> {
        let apart = Duration::from_secs(60) / (REQUESTS_PER_MINUTE * HASTE) as u32;
        let (begin, mut misses, mut commands, mut absent) = (Instant::now(), 0, Vec::new(), Vec::new());
        let value = vec![b'v'; self.unit_bytes * self.sizes.iter().max().map_or(0, |size| *size as usize)];
        for (number, group) in keys.chunks(GROUP).enumerate() {
            if paced {
                let due = begin + apart * (number * GROUP) as u32;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            commands.clear();
            group.iter().for_each(|key| encode(&mut commands, &["GET", &name_of(*key)]));
            self.client.send(&commands)?;
            absent.clear();
            for key in group {
                match self.client.receive()? {
                    Reply::Bulk(None) if !absent.contains(key) => absent.push(*key),
                    Reply::Bulk(_) => {}
                    other => bail!("GET was answered {other:?}"),
                }
            }
            commands.clear();
            for key in &absent {
                let value = &value[..self.sizes[*key as usize] as usize * self.unit_bytes];
                encode(&mut commands, &[b"SET", name_of(*key).as_bytes(), value]);
            }
            self.client.send(&commands)?;
            for _ in &absent {
                let reply = self.client.receive()?;
                if reply != Reply::Simple("OK".to_owned()) {
                    bail!("SET was answered {reply:?}");
                }
            }
            misses += absent.len();
        }
        Ok(misses)
    }

    /// The room that the keys take that are there.
    fn held(&mut self) -> Result<u64> {
        let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
        loop {
            let reply = self.client.call(&["SCAN", &cursor, "COUNT", "1000"])?;
            let Reply::Array(Some(parts)) = &reply else { bail!("SCAN was answered {reply:?}") };
            let [next, Reply::Array(Some(names))] = &parts[..] else { bail!("SCAN was answered {reply:?}") };
            cursor = next.text();
            for name in names {
                keys.push(name.text().parse::<usize>()?);
            }
            if cursor == "0" {
                break;
            }
        }
        // One may be told of twice.
        keys.sort_unstable();
        keys.dedup();
        Ok(keys.iter().map(|key| u64::from(self.sizes[*key])).sum())
    }

    fn used_bytes(&mut self) -> Result<u64> {
        self.client.info_number("memory", "used_memory")
    }

    fn set_limit(&mut self, maxmemory: u64) -> Result<()> {
        self.client.call(&["CONFIG", "SET", "maxmemory", &maxmemory.to_string()]).map(drop)
    }

    /// Asked to end, the process takes with it what the clock's library has shared.
    fn end(mut self) -> Result<()> {
        self.server.signal("TERM");
        self.server.await_end(PATIENCE).map(drop).context("it does not end")
    }
}

/// All are as long.
fn name_of(key: u32) -> String {
    format!("{key:08}")
}
