//! Sections Commandstats, Errorstats, Latencystats.

use std::fmt::Display;

use super::text::safe;
use super::{Facts, Visitor};
use crate::observe::stats::CommandStats;
use crate::system::clock::ticks_to_ns;

pub(super) fn commandstats(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Commandstats");
    for command in facts.commands.iter_all() {
        let total = |counter: fn(&CommandStats) -> u64| {
            facts.server.total(|stats| counter(&stats.commands[command.index]))
        };
        let calls = total(|stats| stats.calls.get());
        let rejected = total(|stats| stats.rejected.get());
        let failed = total(|stats| stats.failed.get());
        if calls + rejected + failed == 0 {
            continue;
        }
        let us = ticks_to_ns(total(|stats| stats.ticks.get())) / 1000;
        let us_per_call = us as f64 / calls.max(1) as f64;
        info.record(
            &format!("cmdstat_{}", safe(&command.full_name)),
            &[
                ("calls", &calls),
                ("usec", &us),
                ("usec_per_call", &format_args!("{us_per_call:.2}")),
                ("rejected_calls", &rejected),
                ("failed_calls", &failed),
            ],
        );
    }
}

pub(super) fn errorstats(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Errorstats");
    for (code, count) in facts.server.errors.snapshot() {
        info.record(&format!("errorstat_{}", safe(&code)), &[("count", &count)]);
    }
}

pub(super) fn latencystats(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Latencystats");
    if !facts.server.config.latency_tracking() {
        return;
    }
    let percentiles = facts.server.config.latency_tracking_info_percentiles();
    let names: Vec<String> = percentiles.iter().map(|percent| format!("p{percent}")).collect();
    for command in facts.commands.iter_all() {
        let snapshot = facts.server.latency_of(command.index);
        if snapshot.total() == 0 {
            continue;
        }
        let values: Vec<String> = percentiles
            .iter()
            .map(|percent| format!("{:.3}", snapshot.percentile_ns(*percent) as f64 / 1000.0))
            .collect();
        let named = names.iter().zip(&values).map(|(name, value)| (name.as_str(), value as &dyn Display));
        let name = format!("latency_percentiles_usec_{}", safe(&command.full_name));
        info.record(&name, &named.collect::<Vec<_>>());
    }
}
