//! Who wants which key when: made of seeds, so that everybody gets the same, or recorded.

use std::path::Path;

use anyhow::Result;
use swytch_testkit::Random;

use super::recorded;

/// What is played.
pub struct Traces(pub(super) Vec<Trace>);

impl Traces {
    /// Those that are made, each of about so many requests.
    pub fn made(requests: usize) -> Traces {
        let of = Trace::of;
        let mut traces = vec![
            of("Zipf 0.8", zipf(0.8, requests)),
            of("Zipf 0.99", zipf(0.99, requests)),
            of("Zipf 1.2", zipf(1.2, requests)),
            of("Zipf and scans", with_scans(&zipf(0.99, requests))),
            of("loop", looped(20_000, requests)),
            of("loop and Zipf", with_loop(&zipf(0.99, requests))),
            of("drifting", drifting(requests)),
            of("in turn", in_turn(requests)),
        ];
        let keys = zipf(0.99, requests);
        traces.push(Trace { sizes: mixed_sizes(&keys), ..of("mixed sizes", keys) });
        Traces(traces)
    }

    /// With the one that was recorded, from the unpacked source of Ristretto.
    ///
    /// # Errors
    /// When it is not there.
    pub fn with_recorded(mut self, source: &Path) -> Result<Traces> {
        self.0.push(recorded::glimpse(source)?);
        Ok(self)
    }

    /// Those whose name contains one of these words; all, if there are none.
    pub fn named(mut self, words: &[String]) -> Traces {
        self.0.retain(|trace| words.is_empty() || words.iter().any(|word| trace.name.contains(&**word)));
        self
    }
}

/// Requests, one after the other.
pub(super) struct Trace {
    /// What is special about it, in few letters.
    pub(super) name: &'static str,
    /// The keys that are wanted, called by numbers from 0 on.
    pub(super) requests: Vec<u32>,
    /// What each key takes of the room there is.
    pub(super) sizes: Vec<u32>,
}

/// Keys of the traces in which some are wanted more often than others.
const KEYS: u32 = 100_000;
const SEED: u64 = 20;

impl Trace {
    /// One whose keys take one each.
    pub(super) fn of(name: &'static str, keys: Vec<u32>) -> Trace {
        Trace { name, sizes: unit_sizes(&keys), requests: keys }
    }

    /// What all its keys take.
    pub(super) fn footprint(&self) -> u64 {
        self.sizes.iter().map(|size| u64::from(*size)).sum()
    }
}

fn key_count(keys: &[u32]) -> usize {
    keys.iter().max().map_or(0, |last| *last as usize + 1)
}

/// Each key that is wanted takes one; a number that none has takes nothing.
fn unit_sizes(keys: &[u32]) -> Vec<u32> {
    let mut sizes = vec![0; key_count(keys)];
    keys.iter().for_each(|key| sizes[*key as usize] = 1);
    sizes
}

/// Most are small and some are large: 1 to 128, and as many of each power of two.
fn mixed_sizes(keys: &[u32]) -> Vec<u32> {
    let mut random = Random::new(SEED + 1);
    let mut sizes = unit_sizes(keys);
    for size in &mut sizes {
        let power = random.below(7u32);
        *size *= (1 << power) + random.below(1u32 << power);
    }
    sizes
}

/// Draws ranks of which the n-th comes 1/n^s as often as the first.
struct Zipf {
    /// How often one of the first so many comes.
    cumulated: Vec<f64>,
}

impl Zipf {
    fn new(exponent: f64, ranks: u32) -> Zipf {
        let mut sum = 0.0;
        let weights = (1..=ranks).map(|rank| f64::from(rank).powf(-exponent));
        let cumulated = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        Zipf { cumulated }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let all = self.cumulated.last().copied().unwrap_or_default();
        let at = (random.next() >> 11) as f64 / (1u64 << 53) as f64 * all;
        (self.cumulated.partition_point(|sum| *sum <= at) as u32).min(self.cumulated.len() as u32 - 1)
    }
}

fn zipf(exponent: f64, requests: usize) -> Vec<u32> {
    let (zipf, mut random) = (Zipf::new(exponent, KEYS), Random::new(SEED));
    (0..requests).map(|_| zipf.draw(&mut random)).collect()
}

/// Between the requests, now and then, a row of keys that are wanted only once: a fifth of all.
fn with_scans(keys: &[u32]) -> Vec<u32> {
    const APART: usize = 10_000;
    let mut next = KEYS;
    let mut requests = Vec::new();
    for run in keys[..keys.len() * 4 / 5].chunks(APART) {
        requests.extend_from_slice(run);
        let end = next + APART as u32 / 4;
        requests.extend(next..end);
        next = end;
    }
    requests
}

fn looped(length: u32, requests: usize) -> Vec<u32> {
    (0..requests as u32).map(|at| at % length).collect()
}

/// Each second request is the next of a loop over other keys.
fn with_loop(keys: &[u32]) -> Vec<u32> {
    const LENGTH: u32 = 30_000;
    let wanted = keys[..keys.len() / 2].iter().zip(looped(LENGTH, keys.len() / 2));
    wanted.flat_map(|(key, at)| [*key, KEYS + at]).collect()
}

/// Each key is hot for a while, always as hot as any other, and then a new one takes its place.
fn drifting(requests: usize) -> Vec<u32> {
    const HOT: u32 = 20_000;
    const APART: usize = 10;
    let (zipf, mut random) = (Zipf::new(0.8, HOT), Random::new(SEED));
    let wanted = |at: usize| {
        let first = (at / APART) as u32;
        // The place says how hot; whoever has it is the first from `first` on whose number fits.
        let place = zipf.draw(&mut random) * 7_919 % HOT;
        first + (place + HOT - first % HOT) % HOT
    };
    (0..requests).map(wanted).collect()
}

/// Ten times all that was hot is cold from one moment to the next, and other keys are hot.
fn in_turn(requests: usize) -> Vec<u32> {
    const TURNS: usize = 10;
    let (zipf, mut random) = (Zipf::new(0.99, KEYS), Random::new(SEED));
    let turn = |at: usize| (at * TURNS / requests) as u32;
    (0..requests).map(|at| (zipf.draw(&mut random) + turn(at) * 31_337) % KEYS).collect()
}
