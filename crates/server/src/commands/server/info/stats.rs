//! Sections Threads, Stats, CPU.

use std::sync::atomic::Ordering::Relaxed;

use super::{Facts, Visitor};
use crate::acl::Reason;
use crate::clients::channels::Kind;
use crate::observe::rates::Metric;
use crate::server::Conditions;
use crate::system::clock::ticks_to_ns;
use crate::system::process;

pub(super) fn threads(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Threads");
    for (index, worker) in facts.server.workers.iter().enumerate() {
        let (clients, stats) = (worker.connections.load(Relaxed), &worker.stats);
        info.record(
            &format!("io_thread_{index}"),
            &[("clients", &clients), ("reads", &stats.reads.get()), ("writes", &stats.writes.get())],
        );
    }
}

pub(super) fn stats(info: &mut dyn Visitor, facts: &Facts<'_>) {
    let server = facts.server;
    let rate = |metric| server.rates.per_second(metric);
    let turns_per_second = rate(Metric::Turns);
    let turns = server.total(|stats| stats.turns.get());
    let turn_us = ticks_to_ns(server.total(|stats| stats.turn_ticks.get())) / 1000;
    let command_ticks: u64 =
        server.total(|stats| stats.commands.iter().map(|command| command.ticks.get()).sum());
    info.section("Stats");
    info.fields(&[
        ("total_connections_received", &server.clients.accepted.load(Relaxed)),
        ("total_commands_processed", &server.total(|stats| stats.commands_processed())),
        ("instantaneous_ops_per_sec", &rate(Metric::Commands)),
        ("total_net_input_bytes", &server.total(|stats| stats.input_bytes.get())),
        ("total_net_output_bytes", &server.total(|stats| stats.output_bytes.get())),
        ("total_net_repl_input_bytes", &0),
        ("total_net_repl_output_bytes", &server.total(|stats| stats.follower_bytes.get())),
    ]);
    info.decimal("instantaneous_input_kbps", rate(Metric::InputBytes) as f64 / 1024.0);
    info.decimal("instantaneous_output_kbps", rate(Metric::OutputBytes) as f64 / 1024.0);
    info.decimal("instantaneous_input_repl_kbps", 0.0);
    info.decimal("instantaneous_output_repl_kbps", rate(Metric::FollowerBytes) as f64 / 1024.0);
    info.fields(&[
        ("rejected_connections", &server.clients.rejected.load(Relaxed)),
        ("sync_full", &server.replication.full.load(Relaxed)),
        ("sync_partial_ok", &server.replication.partial.load(Relaxed)),
        ("sync_partial_err", &server.replication.partial_refused.load(Relaxed)),
        ("expired_subkeys", &server.total(|stats| stats.expired_parts.get())),
        ("expired_subkeys_active", &server.total(|stats| stats.expired_parts_active.get())),
        ("expired_keys", &server.total(|stats| stats.expired_keys.get())),
        ("expired_keys_active", &server.total(|stats| stats.expired_keys_active.get())),
        ("expired_stale_perc", &"0.00"),
        ("expired_time_cap_reached_count", &server.total(|stats| stats.expiry_cuts.get())),
        (
            "expire_cycle_cpu_milliseconds",
            &(ticks_to_ns(server.total(|stats| stats.expiry_ticks.get())) / 1_000_000),
        ),
        ("evicted_keys", &server.total(|stats| stats.evicted_keys.get())),
        ("evicted_clients", &server.client_memory.evicted.load(Relaxed)),
        ("evicted_scripts", &server.scripts.evicted.load(std::sync::atomic::Ordering::Relaxed)),
        ("total_eviction_exceeded_time", &server.excess.total_ms()),
        ("current_eviction_exceeded_time", &server.excess.current_ms()),
        ("keyspace_hits", &server.total(|stats| stats.keyspace_hits.get())),
        ("keyspace_misses", &server.total(|stats| stats.keyspace_misses.get())),
        ("pubsub_channels", &server.channels.count(Kind::Channel)),
        ("pubsub_patterns", &server.channels.count(Kind::Pattern)),
        ("pubsubshard_channels", &server.channels.count(Kind::ShardChannel)),
        ("latest_fork_usec", &0),
        ("total_forks", &0),
        ("migrate_cached_sockets", &server.transfers.kept()),
        ("slave_expires_tracked_keys", &0),
        ("active_defrag_hits", &0),
        ("active_defrag_misses", &0),
        ("active_defrag_key_hits", &0),
        ("active_defrag_key_misses", &0),
        ("total_active_defrag_time", &0),
        ("current_active_defrag_time", &0),
        ("tracking_total_keys", &server.trackers.names()),
        ("tracking_total_items", &server.trackers.items()),
        ("tracking_total_prefixes", &server.trackers.prefixes()),
        ("unexpected_error_replies", &0),
        ("total_error_replies", &server.total(|stats| stats.error_replies.get())),
        ("dump_payload_sanitizations", &0),
        ("total_reads_processed", &server.total(|stats| stats.reads.get())),
        ("total_writes_processed", &server.total(|stats| stats.writes.get())),
        (
            "io_threaded_reads_processed",
            &server.workers[1..].iter().map(|w| w.stats.reads.get()).sum::<u64>(),
        ),
        (
            "io_threaded_writes_processed",
            &server.workers[1..].iter().map(|w| w.stats.writes.get()).sum::<u64>(),
        ),
        (
            "client_query_buffer_limit_disconnections",
            &server.total(|stats| stats.query_limit_disconnections.get()),
        ),
        (
            "client_output_buffer_limit_disconnections",
            &server.total(|stats| stats.output_limit_disconnections.get()),
        ),
        ("reply_buffer_shrinks", &0),
        ("reply_buffer_expands", &0),
        ("eventloop_cycles", &turns),
        ("eventloop_duration_sum", &turn_us),
        ("eventloop_duration_cmd_sum", &(ticks_to_ns(command_ticks) / 1000)),
        ("instantaneous_eventloop_cycles_per_sec", &turns_per_second),
        ("instantaneous_eventloop_duration_usec", &(turn_us / turns.max(1))),
        ("acl_access_denied_auth", &server.users.refused(Reason::Login)),
        ("acl_access_denied_cmd", &server.users.refused(Reason::Command)),
        ("acl_access_denied_key", &server.users.refused(Reason::Key)),
        ("acl_access_denied_channel", &server.users.refused(Reason::Channel)),
        ("acl_access_denied_tls_cert", &server.users.refused(Reason::Certificate)),
        ("acl_access_denied_db", &server.users.refused(Reason::Database)),
        ("shard_lock_waits", &server.shards.contended()),
    ]);
    if server.conditions().contains(Conditions::FITTING) {
        info.field("cluster_incompatible_ops", &server.cluster_incompatible.load(Relaxed));
    }
}

pub(super) fn cpu(info: &mut dyn Visitor, facts: &Facts<'_>) {
    let (own, children) = (process::cpu_time(), process::children_cpu_time());
    // Commands run on every worker: the first stands for the thread that runs them elsewhere.
    let thread = process::thread_cpu_time(facts.server.workers[0].thread_id.load(Relaxed));
    info.section("CPU");
    info.seconds("used_cpu_sys", own.system);
    info.seconds("used_cpu_user", own.user);
    info.seconds("used_cpu_sys_children", children.system);
    info.seconds("used_cpu_user_children", children.user);
    info.seconds("used_cpu_sys_main_thread", thread.system);
    info.seconds("used_cpu_user_main_thread", thread.user);
}

/// Nothing but its head before the first HOTKEYS START.
pub(super) fn hot_keys(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Hotkeys");
    facts.server.hot_keys.look(|session| {
        info.field("hotkeys-tracking-active", &u8::from(session.goes_on(facts.now_ms)));
        info.field("hotkeys-cmd-cpu-time", &(session.counts().own_ns / 1_000_000));
    });
}
