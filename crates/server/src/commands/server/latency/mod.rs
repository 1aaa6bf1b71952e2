//! LATENCY: what took long, and how long commands take.
//!
//! Events over `latency-monitor-threshold` are kept as time series (`crate::observe::latency`); every command's durations
//! are kept as a histogram while `latency-tracking` is on. `graph.rs` draws, `doctor.rs` advises.

mod doctor;
mod graph;

use crate::command::Command;
use crate::command::help::reply_help;
use crate::command::prelude::*;
use crate::observe::histogram::Snapshot;

const EVERY_NODE: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

const SUB: CommandSpec = CommandSpec {
    since: "2.8.13",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    tips: EVERY_NODE,
    ..CommandSpec::DEFAULT
};

pub static LATENCY: CommandSpec = CommandSpec {
    name: "latency",
    summary: "Groups the commands about what made clients wait, and how long commands take.",
    since: "2.8.13",
    group: Group::Server,
    subcommands: &[&DOCTOR, &GRAPH, &HELP, &HISTOGRAM, &HISTORY, &LATEST, &RESET],
    ..CommandSpec::CONTAINER
};

static DOCTOR: CommandSpec = CommandSpec {
    name: "doctor",
    summary: "Explains in words which events made clients wait, and what may help.",
    reply: ReplyShape::Report,
    differs: "Advice is about this server, in its own words.",
    handler: Handler::Session(doctor),
    ..SUB
};

static GRAPH: CommandSpec = CommandSpec {
    name: "graph",
    summary: "Draws the recorded latencies of an event as a chart of characters.",
    arity: 3,
    arguments: &[Arg::string("event")],
    reply: ReplyShape::Report,
    handler: Handler::Session(graph),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "2.8.13",
    group: Group::Server,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static HISTOGRAM: CommandSpec = CommandSpec {
    name: "histogram",
    summary: "Returns how the durations of commands are distributed, for all of them or the named ones.",
    since: "7.0.0",
    complexity: "O(N) for N commands reported on.",
    arity: -2,
    arguments: &[Arg::string("command").optional().multiple()],
    reply: ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any)),
    handler: Handler::Session(histogram),
    ..SUB
};

static HISTORY: CommandSpec = CommandSpec {
    name: "history",
    summary: "Returns the recorded latencies of an event, with the time of each.",
    arity: 3,
    arguments: &[Arg::string("event")],
    reply: ReplyShape::List(&ReplyShape::Tuple(&[ReplyShape::Count, ReplyShape::Count])),
    handler: Handler::Session(history),
    ..SUB
};

static LATEST: CommandSpec = CommandSpec {
    name: "latest",
    summary: "Returns the last and the highest latency recorded for each event.",
    reply: ReplyShape::List(&ReplyShape::Tuple(&[
        ReplyShape::Text,
        ReplyShape::Count,
        ReplyShape::Count,
        ReplyShape::Count,
    ])),
    handler: Handler::Session(latest),
    ..SUB
};

static RESET: CommandSpec = CommandSpec {
    name: "reset",
    summary: "Forgets the recorded latencies, of all events or of the named ones.",
    arity: -2,
    tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
    arguments: &[Arg::string("event").optional().multiple()],
    reply: ReplyShape::Count,
    handler: Handler::Session(reset),
    ..SUB
};

fn doctor(call: &mut Call<'_>) -> CommandResult {
    let report = doctor::report(call.server);
    call.reply.verbatim("txt", report.as_bytes());
    Ok(())
}

fn graph(call: &mut Call<'_>) -> CommandResult {
    let event = call.args.get(2);
    let name = String::from_utf8_lossy(event);
    let series = call
        .server
        .latency
        .get(event)
        .ok_or_else(|| CommandError::quoting("ERR No samples available for event '", event, "'"))?;
    call.reply.verbatim("txt", graph::draw(&name, &series, call.now_ms / 1000).as_bytes());
    Ok(())
}

fn history(call: &mut Call<'_>) -> CommandResult {
    let samples = call.server.latency.get(call.args.get(2)).map(|series| series.samples).unwrap_or_default();
    call.reply.array(samples.len());
    for (time_s, latency_ms) in samples {
        call.reply.array(2);
        call.reply.integer(time_s as i64);
        call.reply.integer(latency_ms as i64);
    }
    Ok(())
}

fn latest(call: &mut Call<'_>) -> CommandResult {
    let all = call.server.latency.snapshot();
    call.reply.array(all.len());
    for (event, series) in all {
        let (time_s, latency_ms) = series.samples.back().copied().unwrap_or_default();
        call.reply.array(4);
        call.reply.bulk(event.as_bytes());
        call.reply.integer(time_s as i64);
        call.reply.integer(latency_ms as i64);
        call.reply.integer(series.max_ms as i64);
    }
    Ok(())
}

fn reset(call: &mut Call<'_>) -> CommandResult {
    let events: Vec<&[u8]> = call.args.from(2).collect();
    call.reply.count(call.server.latency.reset(&events));
    Ok(())
}

/// Only commands that have run since CONFIG RESETSTAT are shown; a container stands for its subcommands.
fn histogram(call: &mut Call<'_>) -> CommandResult {
    let table = call.commands;
    let commands: Vec<&Command> = if call.args.len() == 2 {
        table.iter_all().collect()
    } else {
        let named = call.args.from(2).filter_map(|name| table.find_full(name));
        named
            .flat_map(|command| std::iter::once(command).chain(command.subcommands.iter().copied()))
            .collect()
    };
    let snapshots: Vec<(&Command, Snapshot)> = commands
        .into_iter()
        .map(|command| (command, call.server.latency_of(command.index)))
        .filter(|(_, snapshot)| snapshot.total() > 0)
        .collect();
    call.reply.map(snapshots.len());
    for (command, snapshot) in snapshots {
        call.reply.bulk(command.full_name.as_bytes());
        call.reply.map(2);
        call.reply.bulk(b"calls");
        call.reply.integer(snapshot.total() as i64);
        call.reply.bulk(b"histogram_usec");
        let points = snapshot.cumulative_by_power_of_two();
        call.reply.map(points.len());
        for (bound_ns, count) in points {
            call.reply.integer(shown_us(bound_ns) as i64);
            call.reply.integer(count as i64);
        }
    }
    Ok(())
}

/// A bound in microseconds as Redis shows it: its histogram has two significant digits, and it names the
/// highest value that it cannot tell from the bound.
fn shown_us(bound_ns: u64) -> u64 {
    (bound_ns + bound_ns / 128) / 1000
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "DOCTOR",
            "    Readable report on latency events.",
            "GRAPH <event>",
            "    Drawing of the latencies of <event>.",
            "HISTOGRAM [COMMAND ...]",
            "    Distribution of the durations of the named commands, or of all.",
            "HISTORY <event>",
            "    Latencies of <event> with their times.",
            "LATEST",
            "    Latest latency of every event.",
            "RESET [<event> ...]",
            "    Forget the latencies of the named events, or of all.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::shown_us;

    #[test]
    fn bounds_are_named_as_in_redis() {
        let shown: Vec<u64> = (10..21).map(|exponent| shown_us(1 << exponent)).collect();
        assert_eq!(shown, [1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056]);
    }
}
