//! HOTKEYS: which keys commands spend most time on, or most bytes, in a period that START and STOP bound.

use crate::command::help::reply_help;
use crate::command::prelude::*;
use crate::observe::hot_keys::{Done, Plan, Session, Weights};
use crate::server::{Conditions, Server};
use crate::system::{clock, process, slot};

const SUB: CommandSpec = CommandSpec {
    since: "8.6.0",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT),
    tips: &["request_policy:special"],
    ..CommandSpec::DEFAULT
};

pub static HOTKEYS: CommandSpec = CommandSpec {
    name: "hotkeys",
    summary: "Groups the commands that find the keys on which most is spent.",
    since: "8.6.0",
    group: Group::Server,
    subcommands: &[&GET, &HELP, &RESET, &START, &STOP],
    ..CommandSpec::CONTAINER
};

static GET: CommandSpec = CommandSpec {
    name: "get",
    summary: "Returns the heaviest keys of the last period, with what it has counted; null if there was none.",
    complexity: "O(N) for N keys counted.",
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    reply: ReplyShape::OneOf(&[
        ReplyShape::Null,
        ReplyShape::Tuple(&[ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any)]),
    ]),
    handler: Handler::Session(get),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "8.6.1",
    group: Group::Server,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static RESET: CommandSpec = CommandSpec {
    name: "reset",
    summary: "Forgets the last period, which must have ended.",
    reply: ReplyShape::OK,
    handler: Handler::Session(reset),
    ..SUB
};

static START: CommandSpec = CommandSpec {
    name: "start",
    summary: "Begins a period in which time or bytes are counted by key, and forgets the one before.",
    arity: -2,
    arguments: &[
        Arg::block(
            "metrics",
            &[Arg::integer("count"), Arg::flag("cpu", "CPU").optional(), Arg::flag("net", "NET").optional()],
        )
        .token("METRICS"),
        Arg::integer("k").token("COUNT").optional(),
        Arg::integer("seconds").token("DURATION").optional(),
        Arg::integer("ratio").token("SAMPLE").optional(),
        Arg::block("slots", &[Arg::integer("count"), Arg::integer("slot").multiple()])
            .token("SLOTS")
            .optional(),
    ],
    reply: ReplyShape::OK,
    handler: Handler::Session(start),
    ..SUB
};

static STOP: CommandSpec = CommandSpec {
    name: "stop",
    summary: "Ends the period; null if none goes on. What was counted can still be read.",
    reply: ReplyShape::OneOf(&[ReplyShape::OK, ReplyShape::Null]),
    handler: Handler::Session(stop),
    ..SUB
};

/// Metrics there are.
const METRICS: i64 = 2;
/// Keys shown unless START says how many, and the most.
const SHOWN_DEFAULT: usize = 10;
const SHOWN_MAX: i64 = 64;
const DURATION_SECONDS_MAX: i64 = 1_000_000;

fn start(call: &mut Call<'_>) -> CommandResult {
    let in_progress = CommandError::text("ERR hotkey tracking session already in progress");
    let now_ms = clock::unix_ms();
    if call.server.hot_keys.look(|session| session.goes_on(now_ms)) == Some(true) {
        return Err(in_progress);
    }
    let plan = parse(call)?;
    let tell = || call.server.set_conditions(Conditions::COUNTING_KEYS, true);
    if !call.server.hot_keys.start(plan, call.server.workers.len(), now_ms, tell) {
        return Err(in_progress);
    }
    call.reply.ok();
    Ok(())
}

/// An integer within bounds, or else this error.
fn bounded(word: &[u8], max: i64, error: &'static str) -> Result<i64, CommandError> {
    let number = swytch_decimal::parse_i64(word).filter(|number| (1..=max).contains(number));
    number.ok_or(CommandError::text(error))
}

fn parse(call: &Call<'_>) -> Result<Plan, CommandError> {
    let mut cursor = call.args.cursor(2);
    if call.args.len() < 4 || !cursor.word("METRICS") {
        return Err(CommandError::text("ERR METRICS parameter is required"));
    }
    let count = bounded(cursor.expect()?, METRICS, "ERR METRICS count must be > 0 and <= 2")?;
    let mut plan = Plan {
        cpu: false,
        net: false,
        shown: SHOWN_DEFAULT,
        duration_ms: None,
        sample_ratio: 1,
        slots: None,
    };
    for _ in 0..count {
        let Some(metric) = cursor.next() else {
            let error = "ERR METRICS count does not match number of metric types provided";
            return Err(CommandError::text(error));
        };
        // What a later version counts is passed over.
        if metric.eq_ignore_ascii_case(b"CPU") {
            if std::mem::replace(&mut plan.cpu, true) {
                return Err(CommandError::text("ERR METRICS CPU defined more than once!"));
            }
        } else if metric.eq_ignore_ascii_case(b"NET") && std::mem::replace(&mut plan.net, true) {
            return Err(CommandError::text("ERR METRICS NET defined more than once!"));
        }
    }
    if !plan.cpu && !plan.net {
        return Err(CommandError::text("ERR METRICS no valid metrics passed. Supported: CPU|NET"));
    }
    while cursor.remaining() > 1 {
        if cursor.word("COUNT") {
            let error = "ERR COUNT must be between 1 and 64";
            plan.shown = bounded(cursor.expect()?, SHOWN_MAX, error)? as usize;
        } else if cursor.word("DURATION") {
            let error = "ERR DURATION must be between 1 and 1000000";
            plan.duration_ms = Some(bounded(cursor.expect()?, DURATION_SECONDS_MAX, error)? as u64 * 1000);
        } else if cursor.word("SAMPLE") {
            let error = "ERR SAMPLE ratio must be positive";
            plan.sample_ratio = bounded(cursor.expect()?, i64::from(i32::MAX), error)? as u64;
        } else if cursor.word("SLOTS") {
            if !call.server.config.cluster_enabled() {
                return Err(CommandError::text("ERR SLOTS parameter cannot be used in non-cluster mode"));
            }
            if plan.slots.is_some() {
                return Err(CommandError::text("ERR SLOTS parameter already specified"));
            }
            plan.slots = Some(parse_slots(&mut cursor)?);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    cursor.end()?;
    Ok(plan)
}

/// Slots behind their number, in ascending order.
fn parse_slots(cursor: &mut ArgCursor<'_>) -> Result<Box<[u16]>, CommandError> {
    let error = "ERR SLOTS count must be between 1 and 16384";
    let count = bounded(cursor.expect()?, slot::SLOTS.into(), error)? as usize;
    if cursor.remaining() < count {
        return Err(CommandError::text("ERR not enough slot numbers provided"));
    }
    let parse = |word: &[u8]| {
        let slot = swytch_decimal::parse_i64(word).and_then(slot::numbered);
        slot.ok_or(CommandError::text("ERR Invalid or out of range slot"))
    };
    let mut slots = (0..count).map(|_| parse(cursor.expect()?)).collect::<Result<Vec<u16>, _>>()?;
    slots.sort_unstable();
    if slots.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(CommandError::text("ERR duplicate slot number"));
    }
    Ok(slots.into())
}

/// Commands are not counted any more.
fn no_more(server: &Server) {
    server.set_conditions(Conditions::COUNTING_KEYS, false);
}

fn stop(call: &mut Call<'_>) -> CommandResult {
    if call.server.hot_keys.stop(clock::unix_ms(), || no_more(call.server)) {
        call.reply.ok();
    } else {
        call.reply.null();
    }
    Ok(())
}

fn reset(call: &mut Call<'_>) -> CommandResult {
    if !call.server.hot_keys.reset(clock::unix_ms(), || no_more(call.server)) {
        let error = "ERR hotkey tracking session in progress, stop tracking first";
        return Err(CommandError::text(error));
    }
    call.reply.ok();
    Ok(())
}

fn get(call: &mut Call<'_>) -> CommandResult {
    let server = call.server;
    if server.hot_keys.look(|session| show(call, session)).is_none() {
        call.reply.null();
    }
    Ok(())
}

/// What of it is shown.
type Amount = fn(Done) -> u64;

fn show(call: &mut Call<'_>, session: &Session) {
    let (plan, counts, now_ms) = (&session.plan, session.counts(), clock::unix_ms());
    let all = [(0, slot::SLOTS - 1)];
    let ranges = plan.slots.as_ref().map_or_else(|| all.to_vec(), |slots| ranges_of(slots));
    let mut amounts = Vec::new();
    let mut amount = |name: &'static str, number: u64| amounts.push((name, number));
    let is_sampled = plan.sample_ratio > 1;
    let parts: [([&str; 3], Amount); 2] = [
        (
            [
                "sampled-commands-selected-slots-us",
                "all-commands-selected-slots-us",
                "all-commands-all-slots-us",
            ],
            |done| done.ns / 1000,
        ),
        (
            [
                "net-bytes-sampled-commands-selected-slots",
                "net-bytes-all-commands-selected-slots",
                "net-bytes-all-commands-all-slots",
            ],
            |done| done.bytes,
        ),
    ];
    for ([sampled, selected, all], told) in parts {
        if plan.slots.is_some() && is_sampled {
            amount(sampled, told(counts.sampled));
        }
        if plan.slots.is_some() {
            amount(selected, told(counts.selected));
        }
        amount(all, told(counts.all));
    }
    amount("collection-start-time-unix-ms", session.began_ms);
    amount("collection-duration-ms", session.duration_ms(now_ms));
    if plan.cpu {
        let (now, before) = (process::cpu_time(), session.cpu_before);
        amount("total-cpu-time-user-ms", now.user.saturating_sub(before.user).as_millis() as u64);
        amount("total-cpu-time-sys-ms", now.system.saturating_sub(before.system).as_millis() as u64);
    }
    if plan.net {
        amount("total-net-bytes", counts.by_bytes.total);
    }
    let reply = &mut call.reply;
    reply.array(1);
    reply.map(3 + amounts.len() + usize::from(plan.cpu) + usize::from(plan.net));
    reply.bulk(b"tracking-active");
    reply.integer(i64::from(session.goes_on(now_ms)));
    reply.bulk(b"sample-ratio");
    reply.integer(plan.sample_ratio as i64);
    reply.bulk(b"selected-slots");
    reply.array(ranges.len());
    for (first, last) in ranges {
        reply.array(1 + usize::from(first < last));
        reply.integer(first.into());
        if first < last {
            reply.integer(last.into());
        }
    }
    for (name, number) in amounts {
        reply.bulk(name.as_bytes());
        reply.integer(number as i64);
    }
    let mut keys = |name: &str, weights: &Weights, unit| {
        let heaviest = weights.heaviest(plan.shown, unit);
        reply.bulk(name.as_bytes());
        reply.array(2 * heaviest.len());
        for (key, weight) in heaviest {
            reply.bulk(key);
            reply.integer(weight as i64);
        }
    };
    if plan.cpu {
        keys("by-cpu-time-us", &counts.by_ns, 1000);
    }
    if plan.net {
        keys("by-net-bytes", &counts.by_bytes, 1);
    }
}

/// The ranges that ascending numbers make: first and last of each.
fn ranges_of(slots: &[u16]) -> Vec<(u16, u16)> {
    slots.chunk_by(|slot, next| slot + 1 == *next).map(|range| (range[0], range[range.len() - 1])).collect()
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "START METRICS <count> [CPU] [NET] [COUNT <k>] [DURATION <seconds>] [SAMPLE <ratio>]",
            "      [SLOTS <count> <slot> [<slot> ...]]",
            "    Begin to count microseconds (CPU) or bytes (NET) by key. <k> keys are shown (default: 10);",
            "    it ends by itself after <seconds>; one command of <ratio> is looked at (default: each);",
            "    with cluster-enabled, only keys of these slots are.",
            "STOP",
            "    End it; GET still shows what was counted.",
            "GET",
            "    What was counted, and the heaviest keys.",
            "RESET",
            "    Forget what was counted.",
        ],
    );
    Ok(())
}
