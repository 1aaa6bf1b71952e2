//! HOTKEYS: which keys commands spend most time on, or most bytes, in a period that START and STOP bound.

use crate::command::help::reply_help;
use crate::command::prelude::*;
use crate::observe::hot_keys::{Plan, Session, Weights};
use crate::system::{clock, process};

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
    if !call.server.hot_keys.start(plan, call.server.workers.len(), now_ms) {
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
    let mut plan = Plan { cpu: false, net: false, shown: SHOWN_DEFAULT, duration_ms: None, sample_ratio: 1 };
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
            return Err(CommandError::text("ERR SLOTS parameter cannot be used in non-cluster mode"));
        } else {
            return Err(CommandError::Syntax);
        }
    }
    cursor.end()?;
    Ok(plan)
}

fn stop(call: &mut Call<'_>) -> CommandResult {
    if call.server.hot_keys.stop(clock::unix_ms()) {
        call.reply.ok();
    } else {
        call.reply.null();
    }
    Ok(())
}

fn reset(call: &mut Call<'_>) -> CommandResult {
    if !call.server.hot_keys.reset(clock::unix_ms()) {
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

fn show(call: &mut Call<'_>, session: &Session) {
    let (plan, counts, now_ms) = (session.plan, session.counts(), clock::unix_ms());
    let reply = &mut call.reply;
    reply.array(1);
    reply.map(7 + 3 * usize::from(plan.cpu) + 2 * usize::from(plan.net));
    let mut field = |name: &str, number: u64| {
        reply.bulk(name.as_bytes());
        reply.integer(number as i64);
    };
    field("tracking-active", u64::from(session.goes_on(now_ms)));
    field("sample-ratio", plan.sample_ratio);
    field("all-commands-all-slots-us", counts.ns / 1000);
    field("net-bytes-all-commands-all-slots", counts.bytes);
    field("collection-start-time-unix-ms", session.began_ms);
    field("collection-duration-ms", session.duration_ms(now_ms));
    if plan.cpu {
        let (now, before) = (process::cpu_time(), session.cpu_before);
        field("total-cpu-time-user-ms", now.user.saturating_sub(before.user).as_millis() as u64);
        field("total-cpu-time-sys-ms", now.system.saturating_sub(before.system).as_millis() as u64);
    }
    if plan.net {
        field("total-net-bytes", counts.by_bytes.total);
    }
    reply.bulk(b"selected-slots");
    reply.array(1);
    reply.array(2);
    reply.integer(0);
    reply.integer(16_383);
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

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "START METRICS <count> [CPU] [NET] [COUNT <k>] [DURATION <seconds>] [SAMPLE <ratio>]",
            "    Begin to count microseconds (CPU) or bytes (NET) by key. <k> keys are shown (default: 10);",
            "    it ends by itself after <seconds>; one command of <ratio> is looked at (default: each).",
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
