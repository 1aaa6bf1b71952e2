//! Recent rates: commands, bytes and turns of the event loops per second, averaged over the last 16 samples.
//!
//! `server::housekeeping` samples the totals; INFO reads the averages.

use parking_lot::Mutex;

use crate::system::clock::MonotonicMs;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Commands run.
    Commands,
    /// Bytes read from clients.
    InputBytes,
    /// Bytes written to clients.
    OutputBytes,
    /// Those of them that were written to followers.
    FollowerBytes,
    /// Turns of the event loops.
    Turns,
}

const METRICS: usize = 5;
/// Samples that an average covers (Redis: STATS_METRIC_SAMPLES).
const SAMPLES: usize = 16;

/// The sampled rates.
#[derive(Debug, Default)]
pub struct Rates(Mutex<Samples>);

#[derive(Debug, Default)]
struct Samples {
    at: Option<MonotonicMs>,
    totals: [u64; METRICS],
    per_second: [[u64; SAMPLES]; METRICS],
    next: usize,
}

impl Rates {
    /// Takes a sample at `now`; `totals` are counts since start, in the order of [`Metric`].
    pub fn sample(&self, now: MonotonicMs, totals: [u64; METRICS]) {
        let mut samples = self.0.lock();
        let next = samples.next;
        // The first sample has nothing to be compared with.
        if let Some(before) = samples.at {
            let elapsed_ms = now.since(before);
            if elapsed_ms == 0 {
                return;
            }
            for (metric, total) in totals.iter().enumerate() {
                // CONFIG RESETSTAT takes totals back.
                let grown = total.saturating_sub(samples.totals[metric]);
                samples.per_second[metric][next] = grown * 1000 / elapsed_ms;
            }
            samples.next = (next + 1) % SAMPLES;
        }
        samples.at = Some(now);
        samples.totals = totals;
    }

    /// The average of the last samples, per second.
    pub fn per_second(&self, metric: Metric) -> u64 {
        self.0.lock().per_second[metric as usize].iter().sum::<u64>() / SAMPLES as u64
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        *self.0.lock() = Samples::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_average_of_sixteen_samples() {
        let rates = Rates::default();
        let at = |ms| MonotonicMs::default().after(ms);
        for sample in 0..=16u64 {
            rates.sample(at(sample * 100), [sample * 50, 0, 0, 0, sample]);
        }
        assert_eq!(rates.per_second(Metric::Commands), 500);
        assert_eq!(rates.per_second(Metric::OutputBytes), 0);
        assert_eq!(rates.per_second(Metric::Turns), 10);
        // Totals that went back count as nothing, and the same millisecond is not sampled twice.
        rates.sample(at(1700), [0; METRICS]);
        rates.sample(at(1700), [1000; METRICS]);
        assert_eq!(rates.per_second(Metric::Commands), 500 * 15 / 16);
    }
}
