//! SLOWLOG: the commands that took longer than `slowlog-log-slower-than`.

use crate::command::help::reply_help;
use crate::command::prelude::*;

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
    reply: ReplyShape::List(&ReplyShape::Tuple(&[
        ReplyShape::Count,
        ReplyShape::Count,
        ReplyShape::Count,
        ReplyShape::TEXTS,
        ReplyShape::Text,
        ReplyShape::Text,
    ])),
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

/// Entries that SLOWLOG GET shows when it is not told how many.
const COUNT_DEFAULT: usize = 10;

fn get(call: &mut Call<'_>) -> CommandResult {
    let count = match call.args.len() {
        2 => COUNT_DEFAULT,
        3 => match swytch_decimal::parse_i64(call.args.get(2)) {
            Some(-1) => usize::MAX,
            Some(count) if count >= 0 => count as usize,
            _ => return Err(CommandError::text("ERR count should be greater than or equal to -1")),
        },
        _ => return Err(call.subcommand_syntax()),
    };
    let entries = call.server.slowlog.newest(count);
    let reply = &mut call.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.time_s as i64);
        reply.integer(entry.duration_us as i64);
        reply.array(entry.arguments.len());
        entry.arguments.iter().for_each(|argument| reply.bulk(argument));
        reply.bulk(entry.address.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(())
}

fn len(call: &mut Call<'_>) -> CommandResult {
    call.reply.count(call.server.slowlog.len());
    Ok(())
}

fn reset(call: &mut Call<'_>) -> CommandResult {
    call.server.slowlog.reset();
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
