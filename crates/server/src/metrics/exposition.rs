//! What is on the page of metrics.
//!
//! What Redis has, too, is named as the widely used redis_exporter names it, so that dashboards and alerts made for
//! Redis keep working; what only this server has begins with `swytch_`. The fields of INFO come from INFO's own sections,
//! under the names of `names.rs`; here is what INFO does not say.

use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;

use swytch_store::Keyspace;

use super::names::{self, Family, INSTANCE};
use super::page::{Kind, Metric, Page};
use crate::command::CommandTable;
use crate::commands::server::info::{self, Facts, Totals, Visitor};
use crate::config::ClientClass;
use crate::server::Server;
use crate::system::allocator;
use crate::system::clock::{self, ticks_to_ns};

/// All metrics of the server.
pub(super) fn text(commands: &CommandTable, server: &Server) -> String {
    let mut page = Page::default();
    page.sample(&Metric::gauge("redis_up", "The server answers."), &[], 1);
    let started_s = server.started_ms as f64 / 1000.0;
    page.sample(&Metric::gauge("redis_start_time_seconds", "Start in Unix time."), &[], started_s);
    let now_ms = clock::unix_ms();
    let facts = Facts {
        used_bytes: allocator::settled_bytes(),
        server,
        commands,
        now_ms,
        totals: totals(server, now_ms),
        memory: Vec::new(),
    };
    let mut fields = Fields { page, instance: Vec::new() };
    info::tell_all(&mut fields, &facts);
    let mut page = fields.into_page();
    facts.totals.iter().for_each(|totals| empty_databases(&mut page, totals));
    latencies(&mut page, commands, server);
    logs(&mut page, server);
    command_logs(&mut page, server);
    limits(&mut page, server);
    workers(&mut page, server);
    page.into_text()
}

/// What is known of all shards, unless a script has one for too long: that cannot be counted.
fn totals(server: &Server, now_ms: u64) -> Option<Totals> {
    let mut totals = Totals::new(server.shards.databases());
    (0..server.shards.count() as u16)
        .all(|shard| {
            let locked = server.shards.lock_one_in_time(shard);
            locked.map(|locked| totals.add(&Keyspace::new(locked, now_ms), shard)).is_some()
        })
        .then_some(totals)
}

/// Makes samples of INFO's fields.
struct Fields {
    page: Page,
    /// Texts that say what the server is.
    instance: Vec<(&'static str, String)>,
}

impl Visitor for Fields {
    fn section(&mut self, _: &str) {}

    fn field(&mut self, name: &str, value: &dyn Display) {
        if let Some(label) = INSTANCE.iter().find(|label| **label == name) {
            self.instance.push((label, value.to_string()));
        }
        for (_, metric, scale) in names::of_field(name) {
            if let Some(number) = number(value) {
                self.page.sample(metric, &[], number * scale);
            }
        }
    }

    fn record(&mut self, name: &str, values: &[(&str, &dyn Display)]) {
        let Some((family, label)) = Family::of(name) else { return };
        for (part, metric, scale) in family.parts {
            let value = values.iter().find(|(name, _)| name == part);
            if let Some(number) = value.and_then(|(_, value)| number(value)) {
                self.page.sample(metric, &[(family.label, label)], number * scale);
            }
        }
    }
}

impl Fields {
    fn into_page(mut self) -> Page {
        let labels: Vec<(&str, &str)> =
            self.instance.iter().map(|(label, text)| (*label, text.as_str())).collect();
        self.page.sample(&Metric::gauge("redis_instance_info", "What the server is."), &labels, 1);
        self.page
    }
}

/// A field's value as a number; states are 1 when they are good.
fn number(value: &dyn Display) -> Option<f64> {
    match value.to_string().as_str() {
        "ok" => Some(1.0),
        "err" => Some(0.0),
        text => text.parse().ok(),
    }
}

/// Databases without keys, which INFO does not show.
fn empty_databases(page: &mut Page, totals: &Totals) {
    for db in totals.empty_databases() {
        let labels = [("db", &*format!("db{db}"))];
        page.sample(&names::DB_KEYS, &labels, 0);
        page.sample(&names::DB_KEYS_EXPIRING, &labels, 0);
    }
}

/// How long commands take, as a summary and as a histogram.
fn latencies(page: &mut Page, commands: &CommandTable, server: &Server) {
    const SUMMARY: Metric = Metric {
        name: "redis_latency_percentiles_usec",
        kind: Kind::Summary,
        help: "Microseconds that percentages of a command's calls did not exceed.",
    };
    const HISTOGRAM: Metric = Metric {
        name: "redis_commands_latencies_usec",
        kind: Kind::Histogram,
        help: "Microseconds that calls of a command took.",
    };
    if !server.config.latency_tracking() {
        return;
    }
    let percentiles = server.config.latency_tracking_info_percentiles();
    for command in commands.iter_all() {
        let snapshot = server.latency_of(command.index);
        let calls = snapshot.total();
        if calls == 0 {
            continue;
        }
        let name = command.full_name.as_str();
        let us = ticks_to_ns(server.total(|stats| stats.commands[command.index].ticks.get())) / 1000;
        for percent in &percentiles {
            let labels = [("cmd", name), ("quantile", &percent.to_string())];
            page.sample(&SUMMARY, &labels, snapshot.percentile_ns(*percent) as f64 / 1000.0);
        }
        for (bound_ns, count) in snapshot.cumulative_by_power_of_two() {
            let labels = [("cmd", name), ("le", &(bound_ns as f64 / 1000.0).to_string())];
            page.part(&HISTOGRAM, "_bucket", &labels, count);
        }
        page.part(&HISTOGRAM, "_bucket", &[("cmd", name), ("le", "+Inf")], calls);
        for metric in [&SUMMARY, &HISTOGRAM] {
            page.part(metric, "_sum", &[("cmd", name)], us);
            page.part(metric, "_count", &[("cmd", name)], calls);
        }
    }
}

/// SLOWLOG, LATENCY and the server's own log.
fn logs(page: &mut Page, server: &Server) {
    let length = server.command_logs.slow.len();
    page.sample(&Metric::gauge("redis_slowlog_length", "Entries in SLOWLOG."), &[], length);
    let (id, seconds) = match server.command_logs.slow.newest(1).first() {
        Some(entry) => (entry.id, entry.amount as f64 / 1e6),
        None => (0, 0.0),
    };
    page.sample(&Metric::gauge("redis_slowlog_last_id", "Number of SLOWLOG's newest entry."), &[], id);
    let help = "Time that the command of SLOWLOG's newest entry took.";
    page.sample(&Metric::gauge("redis_last_slow_execution_duration_seconds", help), &[], seconds);
    for (event, series) in server.latency.snapshot() {
        let Some((time_s, latency_ms)) = series.samples.back() else { continue };
        let labels = [("event_name", event)];
        let help = "Unix time of the newest sample of an event of LATENCY.";
        page.sample(&Metric::gauge("redis_latency_spike_last", help), &labels, time_s);
        let help = "Latency of the newest sample of an event of LATENCY.";
        let seconds = *latency_ms as f64 / 1000.0;
        page.sample(&Metric::gauge("redis_latency_spike_duration_seconds", help), &labels, seconds);
    }
    let help = "Log lines that could not be written in time.";
    let missing = crate::observe::logging::missing_lines();
    page.sample(&Metric::counter("swytch_log_lines_missing_total", help), &[], missing);
    if server.traces.is_on() {
        let (sent, missing) = server.traces.counts();
        let help = "Commands that the collector of traces has been told of.";
        page.sample(&Metric::counter("swytch_traces_sent_total", help), &[], sent);
        let help = "Commands that it should have been told of and was not.";
        page.sample(&Metric::counter("swytch_traces_missing_total", help), &[], missing);
    }
}

/// The logs of COMMANDLOG and what they hold at most.
fn command_logs(page: &mut Page, server: &Server) {
    let (logs, config) = (&server.command_logs, &server.config);
    let lengths = [
        ("redis_commandlog_slow_length", logs.slow.len()),
        ("redis_commandlog_large_request_length", logs.large_requests.len()),
        ("redis_commandlog_large_reply_length", logs.large_replies.len()),
    ];
    for (name, length) in lengths {
        page.sample(&Metric::gauge(name, "Entries in a log of COMMANDLOG."), &[], length);
    }
    let lengths_max = [
        ("redis_commandlog_slow_execution_max_len", config.slowlog_max_len()),
        ("redis_commandlog_large_request_max_len", config.commandlog_large_request_max_len()),
        ("redis_commandlog_large_reply_max_len", config.commandlog_large_reply_max_len()),
    ];
    for (name, length) in lengths_max {
        page.sample(&Metric::gauge(name, "Entries kept in a log of COMMANDLOG."), &[], length);
    }
    let thresholds = [
        ("redis_commandlog_execution_slower_than", config.slowlog_log_slower_than()),
        ("redis_commandlog_request_larger_than", config.commandlog_request_larger_than()),
        ("redis_commandlog_reply_larger_than", config.commandlog_reply_larger_than()),
    ];
    for (name, threshold) in thresholds {
        let help = "Microseconds or bytes from which a command is in a log of COMMANDLOG.";
        page.sample(&Metric::gauge(name, help), &[], threshold);
    }
}

/// Limits that the configuration sets.
fn limits(page: &mut Page, server: &Server) {
    let config = &server.config;
    page.sample(&Metric::gauge("redis_config_maxclients", "maxclients."), &[], config.maxclients());
    page.sample(&Metric::gauge("redis_config_io_threads", "io-threads."), &[], config.io_threads());
    let help = "maxmemory; 0 for no limit.";
    page.sample(&Metric::gauge("redis_config_maxmemory", help), &[], config.maxmemory());
    let classes =
        [("normal", ClientClass::Normal), ("slave", ClientClass::Replica), ("pubsub", ClientClass::Pubsub)];
    for (class, limit) in classes.map(|(name, class)| (name, config.output_buffer_limit(class))) {
        let help = "Bytes of output from which on a client of a class is closed, at once or after a time.";
        let metric = Metric::gauge("redis_config_client_output_buffer_limit_bytes", help);
        page.sample(&metric, &[("class", class), ("limit", "hard")], limit.hard_bytes);
        page.sample(&metric, &[("class", class), ("limit", "soft")], limit.soft_bytes);
        let help = "Seconds for which a client of a class may be over its soft limit.";
        let metric = Metric::gauge("redis_config_client_output_buffer_limit_overcome_seconds", help);
        page.sample(&metric, &[("class", class), ("limit", "soft")], limit.soft_seconds);
    }
}

fn workers(page: &mut Page, server: &Server) {
    for (index, worker) in server.workers.iter().enumerate() {
        let index = index.to_string();
        let labels = [("worker", index.as_str())];
        let metric = Metric::gauge("swytch_worker_connections", "Connections of a worker thread.");
        page.sample(&metric, &labels, worker.connections.load(Relaxed));
        let metric = Metric::counter("swytch_worker_commands_total", "Commands run by a worker thread.");
        page.sample(&metric, &labels, worker.stats.commands_processed());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn server() -> (&'static CommandTable, std::sync::Arc<Server>) {
        let commands = CommandTable::new(crate::commands::SPECS, &[]).expect("names of one command each");
        let disk = std::sync::Arc::new(crate::system::disk::SystemDisk);
        let server = Server::new(crate::config::Config::new(), 2, commands, disk).expect("a server");
        server.log.state.is_on.store(true, Relaxed);
        (commands, server)
    }

    /// The rules of the format that a scraper checks: one block per name, every sample under its own name.
    #[test]
    fn the_page_of_a_server_is_well_formed() {
        let (commands, server) = server();
        let stats = &server.workers[0].stats.commands[0];
        stats.calls.add(2);
        stats.latency.add(3000);
        let page = text(commands, &server);
        let (mut seen, mut current) = (HashSet::new(), String::new());
        for line in page.lines() {
            let mut words = line.split(' ');
            if line.starts_with("# HELP ") {
                current = words.nth(2).expect("a name").to_owned();
                assert!(seen.insert(current.clone()), "{current} twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("a name");
                let suffix = name.strip_prefix(&current);
                assert!(
                    suffix.is_some_and(|suffix| ["", "_bucket", "_sum", "_count"].contains(&suffix)),
                    "{line}"
                );
                let value = line.rsplit(' ').next().expect("a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        for name in ["redis_up", "redis_commands_total", "redis_commands_latencies_usec", "redis_db_keys"] {
            assert!(seen.contains(name), "{name}");
        }
    }

    #[derive(Default)]
    struct Names(HashSet<String>);

    impl Visitor for Names {
        fn section(&mut self, _: &str) {}

        fn field(&mut self, name: &str, _: &dyn Display) {
            self.0.insert(name.to_owned());
        }

        fn record(&mut self, _: &str, _: &[(&str, &dyn Display)]) {}
    }

    /// A metric whose field is gone would be missing from the page without a word.
    #[test]
    fn info_has_every_field_that_has_a_name() {
        let (commands, server) = server();
        let now_ms = clock::unix_ms();
        let facts = Facts {
            used_bytes: 0,
            server: &server,
            commands,
            now_ms,
            totals: totals(&server, now_ms),
            memory: Vec::new(),
        };
        let mut told = Names::default();
        info::tell_all(&mut told, &facts);
        let named = names::fields().chain(INSTANCE.iter().copied());
        let missing: Vec<&str> = named.filter(|field| !told.0.contains(*field)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
