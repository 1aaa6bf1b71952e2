//! Sections Commandstats, Errorstats, Latencystats.

use super::text::{Text, safe};
use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::observe::stats::CommandStats;
use crate::system::clock::ticks_to_ns;

pub(super) fn commandstats(text: &mut Text, call: &Call<'_>, _: &mut ShardSteps<'_>) {
    text.section("Commandstats");
    for command in call.commands.iter_all() {
        let total = |counter: fn(&CommandStats) -> u64| {
            call.server.total(|stats| counter(&stats.commands[command.index]))
        };
        let calls = total(|stats| stats.calls.get());
        let rejected = total(|stats| stats.rejected.get());
        let failed = total(|stats| stats.failed.get());
        if calls + rejected + failed == 0 {
            continue;
        }
        let us = ticks_to_ns(total(|stats| stats.ticks.get())) / 1000;
        let us_per_call = us as f64 / calls.max(1) as f64;
        text.field(
            &format!("cmdstat_{}", safe(&command.full_name)),
            format_args!(
                "calls={calls},usec={us},usec_per_call={us_per_call:.2},rejected_calls={rejected},\
                 failed_calls={failed}"
            ),
        );
    }
}

pub(super) fn errorstats(text: &mut Text, call: &Call<'_>, _: &mut ShardSteps<'_>) {
    text.section("Errorstats");
    for (code, count) in call.server.errors.snapshot() {
        text.field(&format!("errorstat_{}", safe(&code)), format_args!("count={count}"));
    }
}

pub(super) fn latencystats(text: &mut Text, call: &Call<'_>, _: &mut ShardSteps<'_>) {
    text.section("Latencystats");
    if !call.server.config.latency_tracking() {
        return;
    }
    let percentiles = call.server.config.latency_tracking_info_percentiles();
    for command in call.commands.iter_all() {
        let snapshot = call.server.latency_of(command.index);
        if snapshot.total() == 0 {
            continue;
        }
        let values: Vec<String> = percentiles
            .iter()
            .map(|percent| format!("p{percent}={:.3}", snapshot.percentile_ns(*percent) as f64 / 1000.0))
            .collect();
        text.field(&format!("latency_percentiles_usec_{}", safe(&command.full_name)), values.join(","));
    }
}
