//! The worst a single command waits while the table grows.
//!
//! One connection sends small batches of SET for ever new keys and measures every round trip; a pause of the
//! server (a table being rebuilt) shows as one slow batch. A machine that is busy elsewhere pauses as well, so
//! batches without growth are measured on the same server beside it.
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::client::{Client, Reply, encode};
use crate::server::Server;
use crate::throughput::VALUE;

/// Commands per round trip: few, so that the time of the batch is close to that of its slowest command.
const BATCH: u64 = 16;
/// The steady load is this part of the growing one: enough to see what the machine adds.
const STEADY_PART: u64 = 5;

/// Round trips of one run.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    /// The longest.
    pub(crate) worst: Duration,
    /// One in ten thousand took longer.
    pub(crate) p9999: Duration,
    /// How many took longer than a millisecond.
    pub(crate) over_millisecond: usize,
}

/// Growth and, on the same server, no growth.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    /// While `keys` new keys came.
    pub(crate) growing: Latency,
    /// A fifth as many over keys that are there.
    pub(crate) steady: Latency,
}

/// Grows the server from nothing to `keys` keys and then overwrites as many.
pub(crate) fn measure(server: &Server, keys: u64) -> Result<Growth> {
    let mut client = server.connect()?;
    client.call(&["FLUSHALL"])?;
    let growing = round_trips(&mut client, keys, |number| number)?;
    // Strides of a large prime visit keys all over the table.
    let steady =
        round_trips(&mut client, keys / STEADY_PART, |number| number.wrapping_mul(1_000_003) % keys)?;
    Ok(Growth { growing, steady })
}

fn round_trips(client: &mut Client, count: u64, key: impl Fn(u64) -> u64) -> Result<Latency> {
    let mut durations = Vec::with_capacity((count / BATCH) as usize);
    let mut requests = Vec::new();
    for first in (0..count).step_by(BATCH as usize) {
        requests.clear();
        for number in first..first + BATCH {
            encode(&mut requests, &["SET", &format!("key:{:012}", key(number)), VALUE]);
        }
        let sent = Instant::now();
        client.send(&requests)?;
        for _ in 0..BATCH {
            if let Reply::Error(text) = client.receive()? {
                bail!("SET answered: {text}");
            }
        }
        durations.push(sent.elapsed());
    }
    Ok(summary(durations))
}

fn summary(mut durations: Vec<Duration>) -> Latency {
    durations.sort();
    let at = |share: f64| durations.get((durations.len() as f64 * share) as usize).or(durations.last());
    Latency {
        worst: durations.last().copied().unwrap_or_default(),
        p9999: at(0.9999).copied().unwrap_or_default(),
        over_millisecond: durations.iter().filter(|duration| **duration > Duration::from_millis(1)).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_and_the_tail_are_told_apart() {
        let mut durations = vec![Duration::from_micros(20); 99_989];
        durations.extend([Duration::from_millis(2); 10]);
        durations.push(Duration::from_millis(50));
        let latency = summary(durations);
        assert_eq!(latency.worst, Duration::from_millis(50));
        assert_eq!(latency.p9999, Duration::from_millis(2));
        assert_eq!(latency.over_millisecond, 11);
    }
}
