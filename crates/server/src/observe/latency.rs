//! LATENCY: time series of slow events.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// Samples kept of an event (Redis: LATENCY_TS_LEN).
pub const SAMPLES_MAX: usize = 160;

/// The samples of one event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Time in Unix seconds and latency in milliseconds; one per second, the highest.
    pub samples: VecDeque<(u64, u64)>,
    /// The highest latency ever, in milliseconds.
    pub max_ms: u64,
}

/// All series by the name of their event.
#[derive(Debug, Default)]
pub struct LatencyMonitor(Mutex<BTreeMap<&'static str, Series>>);

impl LatencyMonitor {
    /// Adds a sample; the caller has compared it with `latency-monitor-threshold`.
    pub fn add(&self, event: &'static str, time_s: u64, latency_ms: u64) {
        let mut all = self.0.lock();
        let series = all.entry(event).or_default();
        series.max_ms = series.max_ms.max(latency_ms);
        if let Some(last) = series.samples.back_mut()
            && last.0 == time_s
        {
            last.1 = last.1.max(latency_ms);
            return;
        }
        if series.samples.len() == SAMPLES_MAX {
            series.samples.pop_front();
        }
        series.samples.push_back((time_s, latency_ms));
    }

    /// All series.
    pub fn snapshot(&self) -> Vec<(&'static str, Series)> {
        self.0.lock().iter().map(|(event, series)| (*event, series.clone())).collect()
    }

    /// One series.
    pub fn get(&self, event: &[u8]) -> Option<Series> {
        self.0.lock().iter().find(|(name, _)| name.as_bytes() == event).map(|(_, series)| series.clone())
    }

    /// Forgets the named events, or all when none is named; returns how many there were.
    pub fn reset(&self, events: &[&[u8]]) -> usize {
        let mut all = self.0.lock();
        let before = all.len();
        all.retain(|name, _| !(events.is_empty() || events.contains(&name.as_bytes())));
        before - all.len()
    }
}
