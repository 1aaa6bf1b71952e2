//! SLOWLOG: the commands that took longer than `slowlog-log-slower-than`. COMMANDLOG, of Valkey: those, and the commands that
//! were large or had large replies.

use swytch_resp::Reply;

use crate::command::help::reply_help;
use crate::command::prelude::*;
use crate::observe::command_log::{CommandLog, Entry};

const SUB: CommandSpec = CommandSpec {
    since: "2.2.12",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    ..CommandSpec::DEFAULT
};

pub static SLOWLOG: CommandSpec = CommandSpec {
    name: "slowlog",
    summary: "Groups the commands about the log of slow commands.",
    since: "2.2.12",
    group: Group::Server,
    subcommands: &[&GET, &HELP, &LEN, &RESET],
    ..CommandSpec::CONTAINER
};

static GET: CommandSpec = CommandSpec {
    name: "get",
    summary: "Returns the newest entries of the slow log: when, how long, which command, by whom.",
    complexity: "O(N) for N entries returned.",
    arity: -2,
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    history: &[("4.0.0", "Entries name the client and its address.")],
    arguments: &[Arg::integer("count").optional()],
    reply: ENTRIES,
    handler: Handler::Session(get),
    ..SUB
};

static LEN: CommandSpec = CommandSpec {
    name: "len",
    summary: "Counts the entries in the slow log.",
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    reply: ReplyShape::Count,
    handler: Handler::Session(len),
    ..SUB
};

static RESET: CommandSpec = CommandSpec {
    name: "reset",
    summary: "Empties the slow log.",
    complexity: "O(N) for N entries in the log.",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    reply: ReplyShape::OK,
    handler: Handler::Session(reset),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "6.2.0",
    group: Group::Server,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

const ENTRIES: ReplyShape = ReplyShape::List(&ReplyShape::Tuple(&[
    ReplyShape::Count,
    ReplyShape::Count,
    ReplyShape::Count,
    ReplyShape::TEXTS,
    ReplyShape::Text,
    ReplyShape::Text,
]));

/// Entries that SLOWLOG GET shows when it is not told how many.
const COUNT_DEFAULT: usize = 10;

fn get(call: &mut Call<'_>) -> CommandResult {
    let count = match call.args.len() {
        2 => COUNT_DEFAULT,
        3 => parse_count(call.args.get(2))?,
        _ => return Err(call.subcommand_syntax()),
    };
    let entries = call.server.command_logs.slow.newest(count);
    show(&mut call.reply, entries);
    Ok(())
}

fn parse_count(word: &[u8]) -> Result<usize, CommandError> {
    match swytch_decimal::parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count) if count >= 0 => Ok(count as usize),
        _ => Err(CommandError::text("ERR count should be greater than or equal to -1")),
    }
}

fn show(reply: &mut Reply<'_>, entries: Vec<Entry>) {
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.time_s as i64);
        reply.integer(entry.amount as i64);
        reply.array(entry.arguments.len());
        entry.arguments.iter().for_each(|argument| reply.bulk(argument));
        reply.bulk(entry.address.as_bytes());
        reply.bulk(&entry.name);
    }
}

fn len(call: &mut Call<'_>) -> CommandResult {
    call.reply.count(call.server.command_logs.slow.len());
    Ok(())
}

fn reset(call: &mut Call<'_>) -> CommandResult {
    call.server.command_logs.slow.reset();
    call.reply.ok();
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "GET [<count>]",
            "    The newest <count> entries (default: 10, -1 for all). An entry is made of:",
            "    id, Unix time, microseconds taken, arguments, client address and client name.",
            "LEN",
            "    Number of entries.",
            "RESET",
            "    Remove all entries.",
        ],
    );
    Ok(())
}

/// The subcommands of COMMANDLOG, which came with Valkey.
const LOG_SUB: CommandSpec = CommandSpec { since: "8.1.0", ..SUB };

pub static COMMANDLOG: CommandSpec = CommandSpec {
    name: "commandlog",
    summary: "Groups the commands about the logs of slow and of large commands.",
    since: "8.1.0",
    group: Group::Server,
    subcommands: &[&LOG_GET, &LOG_HELP, &LOG_LEN, &LOG_RESET],
    ..CommandSpec::CONTAINER
};

const LOG_TYPE: Arg = Arg::one_of(
    "type",
    &[
        Arg::flag("slow", "slow"),
        Arg::flag("large-request", "large-request"),
        Arg::flag("large-reply", "large-reply"),
    ],
);

static LOG_GET: CommandSpec = CommandSpec {
    name: "get",
    summary: "Returns the newest entries of one of the logs: when, how long or how large, which command, by whom.",
    complexity: "O(N) for N entries returned.",
    arity: 4,
    tips: GET.tips,
    arguments: &[Arg::integer("count"), LOG_TYPE],
    differs: "A command in a transaction is logged by its own size, and its reply by its own.",
    reply: ENTRIES,
    handler: Handler::Session(get_of),
    ..LOG_SUB
};

static LOG_LEN: CommandSpec = CommandSpec {
    name: "len",
    summary: "Counts the entries in one of the logs.",
    arity: 3,
    tips: LEN.tips,
    arguments: &[LOG_TYPE],
    reply: ReplyShape::Count,
    handler: Handler::Session(len_of),
    ..LOG_SUB
};

static LOG_RESET: CommandSpec = CommandSpec {
    name: "reset",
    summary: "Empties one of the logs.",
    complexity: "O(N) for N entries in the log.",
    arity: 3,
    tips: RESET.tips,
    arguments: &[LOG_TYPE],
    reply: ReplyShape::OK,
    handler: Handler::Session(reset_of),
    ..LOG_SUB
};

static LOG_HELP: CommandSpec = CommandSpec {
    since: "8.1.0",
    group: Group::Server,
    handler: Handler::Session(help_of_logs),
    ..CommandSpec::HELP
};

/// The log that the argument at `index` names.
fn log_at<'s>(call: &Call<'s>, index: usize) -> Result<&'s CommandLog, CommandError> {
    let logs = &call.server.command_logs;
    match call.args.get(index).to_ascii_lowercase().as_slice() {
        b"slow" => Ok(&logs.slow),
        b"large-request" => Ok(&logs.large_requests),
        b"large-reply" => Ok(&logs.large_replies),
        _ => Err(CommandError::text(
            "ERR type should be one of the following: slow, large-request, large-reply",
        )),
    }
}

fn get_of(call: &mut Call<'_>) -> CommandResult {
    let count = parse_count(call.args.get(2))?;
    let entries = log_at(call, 3)?.newest(count);
    show(&mut call.reply, entries);
    Ok(())
}

fn len_of(call: &mut Call<'_>) -> CommandResult {
    let len = log_at(call, 2)?.len();
    call.reply.count(len);
    Ok(())
}

fn reset_of(call: &mut Call<'_>) -> CommandResult {
    log_at(call, 2)?.reset();
    call.reply.ok();
    Ok(())
}

fn help_of_logs(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "GET <count> <type>",
            "    The newest <count> entries of a log (-1 for all). An entry is made of: id, Unix time,",
            "    microseconds taken (slow) or bytes (large-request, large-reply), arguments, client address",
            "    and client name.",
            "LEN <type>",
            "    Number of entries.",
            "RESET <type>",
            "    Remove all entries.",
        ],
    );
    Ok(())
}
