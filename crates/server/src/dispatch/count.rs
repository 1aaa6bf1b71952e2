//! What is counted of a command: statistics, SLOWLOG, LATENCY.

use swytch_store::Keyspace;

use crate::clients::ClientFlags;
use crate::command::{Call, Flags, Origin};
use crate::observe::slowlog;
use crate::server::{Server, WorkerShared};
use crate::system::clock::ticks_to_ns;

/// A command that takes so many nanoseconds makes its worker look at the clock.
const LONG_NS: u64 = 1_000_000;

/// Counts a command that has run.
#[inline(always)]
pub fn call(call: &mut Call<'_>, ticks: u64, failed: bool) {
    let command = &call.worker.stats.commands[call.command.index];
    command.calls.add(1);
    command.ticks.add(ticks);
    if failed {
        command.failed.add(1);
    }
    let config = &call.server.config;
    let ns = ticks_to_ns(ticks);
    if ns >= LONG_NS {
        call.client.flags |= ClientFlags::TOOK_LONG;
    }
    if config.latency_tracking() {
        command.latency.add(ns);
    }
    // A negative threshold, as an unsigned number, is never reached.
    if ns / 1000 >= config.slowlog_log_slower_than() as u64 && !call.command.is(Flags::SKIP_SLOWLOG) {
        log_slow(call, ns);
    }
    let threshold_ms = config.latency_monitor_threshold();
    if threshold_ms > 0 {
        note_latency(call, ticks, threshold_ms);
    }
}

/// Counts what was looked for.
#[inline(always)]
pub fn lookups(worker: &WorkerShared, keyspace: &Keyspace<'_>) {
    let lookups = keyspace.lookups();
    if lookups.hits.get() > 0 {
        worker.stats.keyspace_hits.add(lookups.hits.take());
    }
    if lookups.misses.get() > 0 {
        worker.stats.keyspace_misses.add(lookups.misses.take());
    }
}

/// Counts an error reply.
#[cold]
pub fn error(server: &Server, worker: &WorkerShared, text: &[u8]) {
    worker.stats.error_replies.add(1);
    server.errors.count(text);
}

#[cold]
fn log_slow(call: &Call<'_>, ns: u64) {
    // What a script calls has no client of its own.
    let (address, name) = match call.origin {
        Origin::Script => Default::default(),
        _ => (call.client.shared.address.clone(), call.client.shared.names.lock().name.clone()),
    };
    let entry = slowlog::Entry {
        id: 0,
        time_s: call.now_ms / 1000,
        duration_us: ns / 1000,
        arguments: slowlog::shorten(&call.args),
        address,
        name,
    };
    call.server.slowlog.push(entry, call.server.config.slowlog_max_len());
}

#[cold]
fn note_latency(call: &Call<'_>, ticks: u64, threshold_ms: u64) {
    let ms = ticks_to_ns(ticks) / 1_000_000;
    if ms >= threshold_ms {
        let event = if call.command.is(Flags::FAST) { "fast-command" } else { "command" };
        call.server.latency.add(event, call.now_ms / 1000, ms);
    }
}
