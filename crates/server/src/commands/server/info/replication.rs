//! Section Replication: a primary with those who follow it.

use std::fmt::Display;
use std::sync::atomic::Ordering;

use super::{Facts, Visitor};
use crate::persistence::replicate;
use crate::replication::Phase;
use crate::system::clock::MonotonicMs;

/// The name of a history that does not exist.
const NO_HISTORY: &str = "0000000000000000000000000000000000000000";

pub(super) fn replication(info: &mut dyn Visitor, facts: &Facts<'_>) {
    replicate::catch_up(facts.server);
    let (config, replication) = (&facts.server.config, &facts.server.replication);
    let (facts, now) = (replication.facts(), MonotonicMs::now());
    info.section("Replication");
    info.fields(&[("role", &"master"), ("connected_slaves", &facts.followers.len())]);
    if config.min_replicas_to_write() > 0 && config.min_replicas_max_lag_seconds() > 0 {
        info.fields(&[("min_slaves_good_slaves", &replication.good.load(Ordering::Relaxed))]);
    }
    for (index, follower) in facts.followers.iter().enumerate() {
        let Some(phase) = follower.phase() else { continue };
        let (address, port) = follower.address();
        let lag_s = if phase == Phase::Online { follower.silent_ms(now) / 1000 } else { 0 };
        let (state, offset) = (phase.name(), follower.acknowledged());
        let values: [(&str, &dyn Display); 5] =
            [("ip", &address), ("port", &port), ("state", &state), ("offset", &offset), ("lag", &lag_s)];
        info.record(&format!("slave{index}"), &values);
    }
    let (start, bytes) = facts.kept.map_or((0, 0), |(start, bytes)| (start + 1, bytes));
    let (before, until) =
        facts.before.map_or((NO_HISTORY.to_owned(), -1), |(name, end)| (name, end as i64 + 1));
    info.fields(&[
        ("master_failover_state", &"no-failover"),
        ("master_replid", &facts.name),
        ("master_replid2", &before),
        ("master_repl_offset", &facts.end),
        ("second_repl_offset", &until),
        ("repl_backlog_active", &u8::from(facts.kept.is_some())),
        ("repl_backlog_size", &config.repl_backlog_size()),
        ("repl_backlog_first_byte_offset", &start),
        ("repl_backlog_histlen", &bytes),
    ]);
}
