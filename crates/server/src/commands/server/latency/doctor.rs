//! LATENCY DOCTOR: statistics of every event, and what may be done about it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::observe::latency::Series;
use crate::server::Server;

/// Something to do about slow events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Advice {
    EnableSlowlog,
    LowerSlowlog,
    ReadSlowlog,
    FindCpuTime,
    SplitBigValues,
}

/// The report.
pub(super) fn report(server: &Server) -> String {
    let all = server.latency.snapshot();
    let threshold_ms = server.config.latency_monitor_threshold();
    if all.is_empty() {
        return if threshold_ms == 0 {
            "Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on: events \
             that take longer are recorded from then on.\n"
                .to_owned()
        } else {
            format!("No event has taken {threshold_ms} ms or longer.\n")
        };
    }
    let mut text = "Events that took longer than latency-monitor-threshold:\n\n".to_owned();
    let mut advice = BTreeSet::new();
    for (index, (event, series)) in all.iter().enumerate() {
        let statistics = Statistics::of(series);
        // Writing to memory cannot fail.
        let _ = writeln!(
            text,
            "{}. {event}: {} latency spikes (average {}ms, mean deviation {}ms, period {:.2} sec). Worst all time \
             event {}ms.",
            index + 1,
            statistics.samples,
            statistics.average_ms,
            statistics.deviation_ms,
            statistics.period_s,
            series.max_ms
        );
        advice.extend(advice_for(server, event));
    }
    text.push_str("\nWhat may help:\n\n");
    for advice in advice {
        let _ = writeln!(text, "- {}", explain(advice, threshold_ms));
    }
    text
}

fn advice_for(server: &Server, event: &str) -> Vec<Advice> {
    let slower_than_us = server.config.slowlog_log_slower_than();
    let threshold_us = server.config.latency_monitor_threshold() as i64 * 1000;
    match event {
        "command" if slower_than_us < 0 || server.config.slowlog_max_len() == 0 => {
            vec![Advice::EnableSlowlog, Advice::SplitBigValues]
        }
        "command" if slower_than_us > threshold_us => {
            vec![Advice::LowerSlowlog, Advice::ReadSlowlog, Advice::SplitBigValues]
        }
        "command" => vec![Advice::ReadSlowlog, Advice::SplitBigValues],
        "expire-cycle" => vec![Advice::FindCpuTime, Advice::SplitBigValues],
        _ => vec![Advice::FindCpuTime],
    }
}

fn explain(advice: Advice, threshold_ms: u64) -> String {
    let threshold_us = threshold_ms * 1000;
    match advice {
        Advice::EnableSlowlog => format!(
            "The slow log is off, so the slow commands are not known. CONFIG SET slowlog-log-slower-than \
             {threshold_us} (and slowlog-max-len above 0) records them."
        ),
        Advice::LowerSlowlog => format!(
            "The slow log records only commands slower than the events shown here. CONFIG SET \
             slowlog-log-slower-than {threshold_us} records all of them."
        ),
        Advice::ReadSlowlog => {
            "SLOWLOG GET shows which commands were slow. Commands over many elements (KEYS, SORT, LRANGE 0 -1, \
             ...) have counterparts that work in steps."
                .to_owned()
        }
        Advice::FindCpuTime => {
            "Work that needs no more than microseconds took milliseconds: the threads do not get the processor \
             when they need it. Look for other load on the machine, for a limit on CPU time (containers), for \
             a busy neighbour (virtual machines), for swapping; measure with redis-cli --intrinsic-latency."
                .to_owned()
        }
        Advice::SplitBigValues => {
            "Changing or copying very large values in one command takes time in proportion to their size. Several \
             smaller values are faster to work with."
                .to_owned()
        }
    }
}

/// Statistics of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Statistics {
    samples: usize,
    average_ms: u64,
    /// Mean of the samples' distances from the average.
    deviation_ms: u64,
    /// Mean time between samples, counted up to now from the first.
    period_s: f64,
}

impl Statistics {
    fn of(series: &Series) -> Statistics {
        let latencies = || series.samples.iter().map(|(_, latency_ms)| *latency_ms);
        let samples = series.samples.len();
        let count = samples.max(1) as u64;
        let average_ms = latencies().sum::<u64>() / count;
        let deviation_ms = latencies().map(|latency_ms| latency_ms.abs_diff(average_ms)).sum::<u64>() / count;
        let first_s = series.samples.front().map_or(0, |sample| sample.0);
        let last_s = series.samples.back().map_or(0, |sample| sample.0);
        let period_s = (last_s - first_s).max(1) as f64 / count as f64;
        Statistics { samples, average_ms, deviation_ms, period_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_series() {
        let series = Series { samples: [(10, 100), (12, 300), (18, 200)].into(), max_ms: 300 };
        let statistics = Statistics::of(&series);
        assert_eq!((statistics.samples, statistics.average_ms, statistics.deviation_ms), (3, 200, 66));
        assert!((statistics.period_s - 8.0 / 3.0).abs() < 1e-9);
    }
}
