//! A histogram of durations with one writer: a count is a load and a store, a bucket is found without division.
//!
//! Every power of two nanoseconds is divided into four buckets, so a value read back is at most a quarter too
//! high. The bounds 2^10, 2^11, ... ns are bucket bounds: LATENCY HISTOGRAM's buckets are exact.

use std::sync::OnceLock;

use crate::observe::stats::Counter;

/// Buckets of a power of two.
const STEPS: u64 = 4;
/// Buckets: up to 2^33 ns, about 8.6 seconds; longer durations count in the last.
const BUCKETS: usize = 128;

/// Counts of durations. It takes memory once something is counted: most commands are never used.
#[derive(Debug, Default)]
pub struct Histogram(OnceLock<Box<[Counter; BUCKETS]>>);

impl Histogram {
    /// Counts a duration; only the owning worker calls this.
    #[inline]
    pub fn add(&self, ns: u64) {
        let counts = self.0.get_or_init(|| Box::new([const { Counter::zero() }; BUCKETS]));
        counts[bucket(ns)].add(1);
    }

    /// Forgets all durations; a concurrent addition may survive.
    pub fn reset(&self) {
        self.0.get().into_iter().flat_map(|counts| counts.iter()).for_each(Counter::reset);
    }
}

/// Counts of several histograms together, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    counts: [u64; BUCKETS],
}

impl Snapshot {
    /// The sum of some histograms.
    pub fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Snapshot {
        let mut counts = [0; BUCKETS];
        for histogram in histograms.filter_map(|histogram| histogram.0.get()) {
            for (sum, counter) in counts.iter_mut().zip(histogram.iter()) {
                *sum += counter.get();
            }
        }
        Snapshot { counts }
    }

    /// Durations counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration, in nanoseconds, that `percent` of all do not exceed; 0 when nothing was counted.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        let total = self.total();
        let wanted = ((total as f64 * percent / 100.0).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_bound_ns(index);
            }
        }
        0
    }

    /// The cumulative counts up to 2^10, 2^11, ... nanoseconds, the last of which is the first that holds
    /// all; only the bounds below which something new was counted.
    pub fn cumulative_by_power_of_two(&self) -> Vec<(u64, u64)> {
        let total = self.total();
        let mut points: Vec<(u64, u64)> = Vec::new();
        let (mut seen, mut index) = (0, 0);
        for exponent in 10u32.. {
            let bound_ns = 1u64 << exponent;
            while index < BUCKETS && (upper_bound_ns(index) < bound_ns || exponent >= 33) {
                seen += self.counts[index];
                index += 1;
            }
            if seen > points.last().map_or(0, |point| point.1) {
                points.push((bound_ns, seen));
            }
            if seen == total {
                break;
            }
        }
        points
    }
}

#[inline]
fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let exponent = u64::from(63 - ns.leading_zeros());
    let step = (ns >> (exponent - 2)) & (STEPS - 1);
    (((exponent - 1) * STEPS + step) as usize).min(BUCKETS - 1)
}

/// The longest duration of a bucket.
fn upper_bound_ns(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (exponent, step) = (bucket / STEPS + 1, bucket % STEPS);
    ((STEPS + step + 1) << (exponent - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        for index in 0..BUCKETS - 1 {
            let last = upper_bound_ns(index);
            assert_eq!((bucket(last), bucket(last + 1)), (index, index + 1), "{last} ns");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_at_most_a_quarter_too_high() {
        let histogram = Histogram::default();
        (1..=1000u64).for_each(|us| histogram.add(us * 1000));
        let snapshot = Snapshot::of([&histogram, &Histogram::default()].into_iter());
        assert_eq!(snapshot.total(), 1000);
        for (percent, exact_us) in [(50.0, 500), (99.0, 990), (99.9, 999), (100.0, 1000), (0.0, 1)] {
            let ns = snapshot.percentile_ns(percent);
            assert!((exact_us * 1000..=exact_us * 1250).contains(&ns), "p{percent}: {ns}");
        }
        histogram.reset();
        assert_eq!(Snapshot::of([&histogram].into_iter()).percentile_ns(50.0), 0);
    }

    #[test]
    fn powers_of_two_are_exact() {
        let histogram = Histogram::default();
        [100, 1023, 1024, 5000, 1 << 40].into_iter().for_each(|ns| histogram.add(ns));
        let points = Snapshot::of([&histogram].into_iter()).cumulative_by_power_of_two();
        assert_eq!(points, [(1 << 10, 2), (1 << 11, 3), (1 << 13, 4), (1 << 33, 5)]);
    }
}
