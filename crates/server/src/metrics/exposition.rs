//! The metrics themselves, in Prometheus's text format (version 0.0.4).
//!
//! What Redis has, too, is named as the widely used redis_exporter names it, so that dashboards and alerts made for
//! Redis keep working; what only this server has begins with `swytch_`.

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use swytch_store::{Figures, Keyspace};

use crate::clients::{ClientFlags, channels};
use crate::command::CommandTable;
use crate::observe::stats::CommandStats;
use crate::server::Server;
use crate::system::clock::{self, ticks_to_ns};
use crate::system::{allocator, process};

/// The format's content type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The kind of a metric.
#[derive(Clone, Copy)]
enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, until a restart or CONFIG RESETSTAT.
    Counter,
}

use Kind::{Counter, Gauge};

/// All metrics of the server.
pub(super) fn text(commands: &CommandTable, server: &Server) -> String {
    let mut page = Page::default();
    instance(&mut page, server);
    clients(&mut page, server);
    memory(&mut page, server);
    traffic(&mut page, server);
    calls(&mut page, commands, server);
    keyspace(&mut page, server);
    threads(&mut page, server);
    page.0
}

fn instance(page: &mut Page, server: &Server) {
    page.single("redis_up", Gauge, "The server answers.", 1);
    page.metric("redis_instance_info", Gauge, "What the server is.");
    page.sample(
        "redis_instance_info",
        &[
            ("redis_version", crate::REDIS_VERSION),
            ("swytch_version", crate::SWYTCH_VERSION),
            ("redis_mode", "standalone"),
            ("role", "master"),
            ("os", std::env::consts::OS),
            ("run_id", &server.run_id),
        ],
        1,
    );
    page.single(
        "swytch_log_lines_missing_total",
        Counter,
        "Log lines that could not be written in time.",
        crate::observe::logging::missing_lines(),
    );
    let uptime_s = server.started.elapsed().as_secs();
    page.single("redis_uptime_in_seconds", Gauge, "Seconds since the start.", uptime_s);
    let started_s = server.started_ms as f64 / 1000.0;
    page.single("redis_start_time_seconds", Gauge, "Start in Unix time.", started_s);
    let cpu = process::cpu_time();
    let help = "Processor time in user mode.";
    page.single("redis_cpu_user_seconds_total", Counter, help, cpu.user.as_secs_f64());
    let help = "Processor time in system mode.";
    page.single("redis_cpu_sys_seconds_total", Counter, help, cpu.system.as_secs_f64());
}

fn clients(page: &mut Page, server: &Server) {
    let mut blocked = 0;
    server.clients.for_each(|client| {
        let flags = ClientFlags::from_bits_retain(client.flags.load(Relaxed));
        blocked += u64::from(flags.contains(ClientFlags::BLOCKED));
    });
    let connected = server.clients.connected();
    page.single("redis_connected_clients", Gauge, "Clients connected.", connected);
    page.single("redis_blocked_clients", Gauge, "Clients that wait in a blocking command.", blocked);
    for (name, help, kind) in [
        ("redis_pubsub_channels", "Channels with a subscriber.", channels::Kind::Channel),
        ("redis_pubsub_patterns", "Patterns with a subscriber.", channels::Kind::Pattern),
        ("redis_pubsubshard_channels", "Shard channels with a subscriber.", channels::Kind::ShardChannel),
    ] {
        page.single(name, Gauge, help, server.channels.count(kind));
    }
    page.single("redis_pubsub_clients", Gauge, "Clients with a subscription.", server.channels.subscribers());
    page.single("redis_config_maxclients", Gauge, "maxclients.", server.config.maxclients());
    page.single(
        "redis_connections_received_total",
        Counter,
        "Connections accepted.",
        server.clients.accepted.load(Relaxed),
    );
    page.single(
        "redis_rejected_connections_total",
        Counter,
        "Connections refused because of maxclients or protected mode.",
        server.clients.rejected.load(Relaxed),
    );
}

fn memory(page: &mut Page, server: &Server) {
    page.single("redis_memory_used_bytes", Gauge, "Bytes allocated.", allocator::used_bytes());
    page.single("redis_memory_used_peak_bytes", Gauge, "Most bytes allocated.", allocator::peak_bytes());
    page.single("redis_memory_used_rss_bytes", Gauge, "Bytes resident.", process::resident_bytes());
    page.single("redis_memory_max_bytes", Gauge, "maxmemory; 0 for no limit.", server.config.maxmemory());
    page.single(
        "redis_lazyfree_pending_objects",
        Gauge,
        "Values that wait to be freed in the background.",
        server.reclaimer.pending(),
    );
}

fn traffic(page: &mut Page, server: &Server) {
    let counters: [(&str, &str, u64); 12] = [
        ("redis_commands_processed_total", "Commands run.", server.total(|stats| stats.commands_processed())),
        ("redis_net_input_bytes_total", "Bytes read.", server.total(|stats| stats.input_bytes.get())),
        ("redis_net_output_bytes_total", "Bytes written.", server.total(|stats| stats.output_bytes.get())),
        (
            "redis_keyspace_hits_total",
            "Reads of keys that existed.",
            server.total(|stats| stats.keyspace_hits.get()),
        ),
        (
            "redis_keyspace_misses_total",
            "Reads of keys that did not exist.",
            server.total(|stats| stats.keyspace_misses.get()),
        ),
        ("redis_expired_keys_total", "Keys expired.", server.total(|stats| stats.expired_keys.get())),
        ("redis_evicted_keys_total", "Keys evicted.", server.total(|stats| stats.evicted_keys.get())),
        ("redis_total_error_replies", "Error replies.", server.total(|stats| stats.error_replies.get())),
        ("redis_total_reads_processed", "Reads from sockets.", server.total(|stats| stats.reads.get())),
        ("redis_total_writes_processed", "Writes to sockets.", server.total(|stats| stats.writes.get())),
        (
            "redis_client_output_buffer_limit_disconnections_total",
            "Clients closed because they did not read their replies.",
            server.total(|stats| stats.output_limit_disconnections.get()),
        ),
        (
            "redis_client_query_buffer_limit_disconnections_total",
            "Clients closed because of a request that was too large.",
            server.total(|stats| stats.query_limit_disconnections.get()),
        ),
    ];
    for (name, help, value) in counters {
        page.single(name, Counter, help, value);
    }
    page.metric("redis_errors_total", Counter, "Error replies by code.");
    for (code, count) in server.errors.snapshot() {
        page.sample("redis_errors_total", &[("err", &code)], count);
    }
    page.single("redis_slowlog_length", Gauge, "Entries in SLOWLOG.", server.slowlog.len());
    page.single("redis_rdb_changes_since_last_save", Gauge, "Changes since the last save.", server.dirty());
}

fn calls(page: &mut Page, commands: &CommandTable, server: &Server) {
    type Read = fn(&CommandStats) -> f64;
    let metrics: [(&str, &str, Read); 4] = [
        ("redis_commands_total", "Calls of a command.", |stats| stats.calls.get() as f64),
        ("redis_commands_duration_seconds_total", "Time a command took.", |stats| {
            ticks_to_ns(stats.ticks.get()) as f64 / 1e9
        }),
        ("redis_commands_failed_calls_total", "Calls that answered an error.", |stats| {
            stats.failed.get() as f64
        }),
        ("redis_commands_rejected_calls_total", "Calls refused before they ran.", |stats| {
            stats.rejected.get() as f64
        }),
    ];
    for (name, help, read) in metrics {
        page.metric(name, Counter, help);
        for command in commands.iter_all() {
            let stats = || server.workers.iter().map(|worker| &worker.stats.commands[command.index]);
            if stats().all(|stats| stats.calls.get() + stats.rejected.get() + stats.failed.get() == 0) {
                continue;
            }
            page.sample(name, &[("cmd", &command.full_name)], stats().map(read).sum::<f64>());
        }
    }
}

fn keyspace(page: &mut Page, server: &Server) {
    let mut databases = vec![Figures::default(); server.shards.databases()];
    for shard in 0..server.shards.count() as u16 {
        // What a script has for too long cannot be counted.
        let Some(locked) = server.shards.lock_one_in_time(shard) else { return };
        let keyspace = Keyspace::new(locked, clock::unix_ms());
        for (db, figures) in databases.iter_mut().enumerate() {
            keyspace.add_to(figures, shard, db as u32);
        }
    }
    page.metric("redis_db_keys", Gauge, "Keys in a database.");
    for (db, figures) in databases.iter().enumerate() {
        page.sample("redis_db_keys", &[("db", &format!("db{db}"))], figures.keys);
    }
    page.metric("redis_db_keys_expiring", Gauge, "Keys in a database that expire.");
    for (db, figures) in databases.iter().enumerate() {
        page.sample("redis_db_keys_expiring", &[("db", &format!("db{db}"))], figures.expiring);
    }
}

fn threads(page: &mut Page, server: &Server) {
    page.single("swytch_threads", Gauge, "Worker threads.", server.workers.len());
    page.single("swytch_shards", Gauge, "Shards of the keyspace.", server.shards.count());
    page.single(
        "swytch_shard_lock_waits_total",
        Counter,
        "How often a shard's lock was found taken.",
        server.shards.contended(),
    );
    page.metric("swytch_worker_connections", Gauge, "Connections of a worker thread.");
    for (index, worker) in server.workers.iter().enumerate() {
        let connections = worker.connections.load(Relaxed);
        page.sample("swytch_worker_connections", &[("worker", &index.to_string())], connections);
    }
    page.metric("swytch_worker_commands_total", Counter, "Commands run by a worker thread.");
    for (index, worker) in server.workers.iter().enumerate() {
        let commands = worker.stats.commands_processed();
        page.sample("swytch_worker_commands_total", &[("worker", &index.to_string())], commands);
    }
}

/// The text while it is written.
#[derive(Default)]
struct Page(String);

impl Page {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Gauge => "gauge",
            Counter => "counter",
        };
        // Writing to memory cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A value of the metric begun last.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric with one value.
    fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// A label's text: the format escapes three characters.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_labels() {
        let mut page = Page::default();
        page.single("a_total", Counter, "Some help.", 1.5);
        page.metric("b", Gauge, "More.");
        page.sample("b", &[("x", "1"), ("y", "q\"\\\n")], 2);
        assert_eq!(
            page.0,
            "# HELP a_total Some help.\n# TYPE a_total counter\na_total 1.5\n\
             # HELP b More.\n# TYPE b gauge\nb{x=\"1\",y=\"q\\\"\\\\\\n\"} 2\n"
        );
    }

    /// The rules of the format that a scraper checks: one block per name, every sample under its own name.
    #[test]
    fn the_page_of_a_server_is_well_formed() {
        let commands = crate::command::CommandTable::new(crate::commands::SPECS, &[])
            .expect("names of one command each");
        let server = Server::new(crate::config::Config::new(), 2, commands).expect("a server");
        let page = text(commands, &server);
        let mut seen = std::collections::HashSet::new();
        let mut current = String::new();
        for line in page.lines() {
            let mut words = line.split(' ');
            if line.starts_with("# HELP ") {
                current = words.nth(2).expect("a name").to_owned();
                assert!(seen.insert(current.clone()), "{current} twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("a name");
                assert_eq!(name, current, "{line}");
                let value = line.rsplit(' ').next().expect("a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        for name in ["redis_up", "redis_connected_clients", "redis_db_keys", "swytch_threads"] {
            assert!(seen.contains(name), "{name}");
        }
    }
}
