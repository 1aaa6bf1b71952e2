//! What is counted of a command: statistics, SLOWLOG, COMMANDLOG, HOTKEYS, LATENCY, traces.

use std::sync::atomic::Ordering;

use swytch_store::Keyspace;

use crate::clients::ClientFlags;
use crate::command::{Call, CountedSlot, Flags, Origin};
use crate::observe::command_log::{self, CommandLog};
use crate::observe::hot_keys::Done;
use crate::observe::slot_stats::Taken;
use crate::observe::traces::Span;
use crate::server::{Conditions, Server, WorkerShared};
use crate::system::clock::{self, ticks_to_ns};
use crate::system::{random, slot};

/// Bytes of a request that begins a transaction.
const MULTI_BYTES: u64 = b"*1\r\n$5\r\nmulti\r\n".len() as u64;
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
    // Only one thread at a time runs commands of a client.
    let of_client = &call.client.shared.commands;
    of_client.store(of_client.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    let config = &call.server.config;
    let ns = ticks_to_ns(ticks);
    if ns >= LONG_NS {
        call.client.flags |= ClientFlags::TOOK_LONG;
    }
    if config.latency_tracking() {
        command.latency.add(ns);
    }
    if is_slow(call, ns) {
        log(call, &call.server.command_logs.slow, ns / 1000, config.slowlog_max_len());
        trace(call, ns, failed);
    }
    if call.args.may_have_bytes(config.commandlog_request_larger_than() as u64) {
        log_large_request(call);
    }
    if call.reply.bytes() as u64 >= config.commandlog_reply_larger_than() as u64 {
        log_large_reply(call);
    }
    if call.server.conditions().intersects(Conditions::COUNTED) {
        counted(call, ns, failed);
    }
    let threshold_ms = config.latency_monitor_threshold();
    if threshold_ms > 0 {
        note_latency(call, ticks, threshold_ms);
    }
}

/// Whether a command took as long as SLOWLOG wants.
#[inline(always)]
fn is_slow(call: &Call<'_>, ns: u64) -> bool {
    // A negative threshold, as an unsigned number, is never reached.
    ns / 1000 >= call.server.config.slowlog_log_slower_than() as u64
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
fn log_large_request(call: &Call<'_>) {
    let config = &call.server.config;
    let bytes = call.args.request_bytes() as u64;
    if bytes >= config.commandlog_request_larger_than() as u64 {
        let len_max = config.commandlog_large_request_max_len();
        log(call, &call.server.command_logs.large_requests, bytes, len_max);
    }
}

#[cold]
fn log_large_reply(call: &Call<'_>) {
    // What an output that is full would have had is not known.
    if !call.reply.is_full() {
        let len_max = call.server.config.commandlog_large_reply_max_len();
        log(call, &call.server.command_logs.large_replies, call.reply.bytes() as u64, len_max);
    }
}

#[cold]
fn log(call: &Call<'_>, log: &CommandLog, amount: u64, len_max: usize) {
    if call.command.is(Flags::SKIP_SLOWLOG) {
        return;
    }
    // What a script calls has no client of its own.
    let (address, name) = match call.origin {
        Origin::Script => Default::default(),
        _ => (call.client.shared.address.clone(), call.client.shared.names.lock().name.clone()),
    };
    let arguments = command_log::shorten(&call.args);
    let entry = command_log::Entry { id: 0, time_s: call.now_ms / 1000, amount, arguments, address, name };
    log.push(entry, len_max);
}

/// Gives a command to those who trace. What a script calls is part of the script.
#[cold]
fn trace(call: &Call<'_>, ns: u64, failed: bool) {
    if !call.server.traces.is_on() || call.origin == Origin::Script || call.command.is(Flags::SKIP_SLOWLOG) {
        return;
    }
    let code = || call.reply.error_code().map(|code| String::from_utf8_lossy(code).into_owned());
    call.server.traces.push(Span {
        command: &call.command.full_name,
        arguments: call.args.len(),
        ended_us: clock::unix_us(),
        took_ns: ns,
        db: call.client.db,
        address: call.client.shared.address.clone(),
        client: call.client.shared.names.lock().name.clone(),
        error: failed.then(|| code().unwrap_or_else(|| "ERR".to_owned())),
        is_slow: is_slow(call, ns),
    });
}

/// Counts a command for its keys, and for the slot that they are in; one in so many is traced. What a script calls counts with
/// the script.
#[cold]
fn counted(call: &mut Call<'_>, ns: u64, failed: bool) {
    let conditions = call.server.conditions();
    if conditions.contains(Conditions::SAMPLING)
        && !is_slow(call, ns)
        && random::next_u64() % 1_000_000 < u64::from(call.server.config.otel_samples_per_million())
    {
        trace(call, ns, failed);
    }
    if conditions.contains(Conditions::COUNTING_KEYS) && call.origin != Origin::Script {
        for_hot_keys(call, ns);
    }
    if conditions.contains(Conditions::COUNTING_SLOTS)
        && !matches!(call.origin, Origin::Script | Origin::Transaction)
    {
        for_slot(call, ns);
    }
}

/// Counts a command that waits in its transaction. EXEC counts for what it runs.
#[cold]
pub fn queued(call: &mut Call<'_>) {
    for_slot(call, 0);
}

fn for_slot(call: &mut Call<'_>, ns: u64) {
    let slot = match std::mem::take(&mut call.counted_slot) {
        CountedSlot::OfArguments => {
            let position = call.command.slot_positions(&call.args).first().copied();
            position.map(|at| slot::of(call.args.get(at)))
        }
        CountedSlot::Known(slot) => Some(slot),
        CountedSlot::None => None,
    };
    let Some(slot) = slot else { return };
    // MULTI named no keys yet.
    let begin = if call.command.is(Flags::RUNS_QUEUE) { MULTI_BYTES } else { 0 };
    let bytes_in = call.args.request_bytes() as u64 + begin;
    call.server.slot_stats.add(slot, Taken { ns, bytes_in, bytes_out: call.reply.bytes() as u64 });
}

fn for_hot_keys(call: &Call<'_>, ns: u64) {
    let positions = call.command.key_positions(&call.args);
    if positions.is_empty() {
        return;
    }
    let done = Done { ns, bytes: (call.args.request_bytes() + call.reply.bytes()) as u64 };
    let keys = positions.iter().map(|at| call.args.get(*at));
    call.server.hot_keys.count(call.client.shared.worker, clock::unix_ms(), done, keys);
}

#[cold]
fn note_latency(call: &Call<'_>, ticks: u64, threshold_ms: u64) {
    let ms = ticks_to_ns(ticks) / 1_000_000;
    if ms >= threshold_ms {
        let event = if call.command.is(Flags::FAST) { "fast-command" } else { "command" };
        call.server.latency.add(event, call.now_ms / 1000, ms);
    }
}
