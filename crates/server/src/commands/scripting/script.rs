//! SCRIPT EXISTS, FLUSH, KILL, LOAD, SHOW

use super::FLUSH_TYPE;
use crate::command::prelude::*;
use crate::command::reply_help;
use crate::dispatch::scope::{BUSY_FUNCTION, BUSY_SCRIPT};
use crate::scripting;
use crate::server::Server;

pub static SCRIPT: CommandSpec = CommandSpec {
    name: "script",
    summary: "Groups the commands about the scripts that the server knows.",
    since: "2.6.0",
    group: Group::Scripting,
    subcommands: &[&DEBUG, &EXISTS, &FLUSH, &HELP, &KILL, &LOAD, &SHOW],
    ..CommandSpec::CONTAINER
};

const SUB: CommandSpec = CommandSpec {
    since: "2.6.0",
    group: Group::Scripting,
    categories: Categories::SCRIPTING,
    flags: Flags::NOSCRIPT,
    ..CommandSpec::DEFAULT
};

static DEBUG: CommandSpec = CommandSpec {
    name: "debug",
    summary: "Refuses to debug scripts: there is no debugger.",
    since: "3.2.0",
    arity: 3,
    arguments: &[Arg::one_of(
        "mode",
        &[Arg::flag("yes", "YES"), Arg::flag("sync", "SYNC"), Arg::flag("no", "NO")],
    )],
    reply: ReplyShape::OK,
    differs: "There is no debugger: only `NO` is accepted.",
    handler: Handler::Session(debug),
    ..SUB
};

static EXISTS: CommandSpec = CommandSpec {
    name: "exists",
    summary: "Says of each SHA-1 whether the server has the script.",
    complexity: "O(N) for N scripts.",
    arity: -3,
    tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
    arguments: &[Arg::string("sha1").multiple()],
    reply: ReplyShape::List(&ReplyShape::Integer),
    handler: Handler::Session(exists),
    ..SUB
};

static FLUSH: CommandSpec = CommandSpec {
    name: "flush",
    summary: "Forgets all scripts.",
    complexity: "O(N) for N scripts.",
    arity: -2,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    history: &[("6.2.0", "ASYNC and SYNC.")],
    arguments: &[FLUSH_TYPE.since("6.2.0")],
    reply: ReplyShape::OK,
    handler: Handler::Session(flush),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Scripting,
    categories: Categories::SCRIPTING,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static KILL: CommandSpec = CommandSpec {
    name: "kill",
    summary: "Ends the scripts that run for too long and have written nothing yet.",
    arity: 2,
    flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    reply: ReplyShape::OK,
    differs: "Several may run for too long: all go that can be ended.",
    handler: Handler::Session(|call| kill(call, false)),
    ..SUB
};

static LOAD: CommandSpec = CommandSpec {
    name: "load",
    summary: "Adds a script to those that the server knows, without running it, and returns its SHA-1.",
    complexity: "O(N) for a script of N bytes.",
    arity: 3,
    flags: Flags::NOSCRIPT.union(Flags::STALE),
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[Arg::string("script")],
    reply: ReplyShape::Text,
    handler: Handler::Session(load),
    ..SUB
};

static SHOW: CommandSpec = CommandSpec {
    name: "show",
    summary: "The source of the script with this SHA-1.",
    since: "8.0.0",
    arity: 3,
    flags: Flags::NOSCRIPT.union(Flags::STALE),
    arguments: &[Arg::string("sha1")],
    reply: ReplyShape::Text,
    differs: "A command of Valkey, which Redis does not have.",
    handler: Handler::Session(show),
    ..SUB
};

fn debug(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    if arguments.word("NO") {
        call.reply.ok();
        return Ok(());
    }
    if arguments.word("YES") || arguments.word("SYNC") {
        return Err(CommandError::text("ERR SCRIPT DEBUG is not served: there is no debugger"));
    }
    Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

fn exists(call: &mut Call<'_>) -> CommandResult {
    let names = call.args.from(2);
    call.reply.array(names.len());
    for name in names {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        call.reply.integer(i64::from(call.server.scripts.get(&name).is_some()));
    }
    Ok(())
}

fn flush(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    let is_known = arguments.remaining() == 0 || arguments.word("SYNC") || arguments.word("ASYNC");
    if !is_known || arguments.remaining() > 0 {
        return Err(CommandError::text("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    call.server.scripts.flush();
    scripting::forget_removed(call.server);
    call.reply.ok();
    Ok(())
}

fn load(call: &mut Call<'_>) -> CommandResult {
    let name = scripting::load(call, call.args.get(2))?;
    call.reply.bulk(name.as_bytes());
    Ok(())
}

fn show(call: &mut Call<'_>) -> CommandResult {
    let name = String::from_utf8_lossy(call.args.get(2)).to_ascii_lowercase();
    let script = call.server.scripts.get(&name);
    let script = script.ok_or_else(|| CommandError::text("NOSCRIPT No matching script."))?;
    call.reply.bulk(&script.source);
    Ok(())
}

/// SCRIPT KILL and FUNCTION KILL.
pub(super) fn kill(call: &mut Call<'_>, functions: bool) -> CommandResult {
    const UNKILLABLE: &str = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can \
        either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";
    let (mut met, mut other, mut killed) = (false, false, false);
    for worker in &call.server.workers {
        if !worker.script.is_overdue() {
            continue;
        }
        if worker.script.is_function() != functions {
            other = true;
            continue;
        }
        met = true;
        if worker.script.kill() {
            tracing::info!("a script that ran for too long was killed");
            killed = true;
        }
    }
    match (killed, met, other) {
        (true, ..) => {
            call.reply.ok();
            Ok(())
        }
        (_, true, _) => Err(CommandError::text(UNKILLABLE)),
        (.., true) => Err(CommandError::text(if functions { BUSY_SCRIPT } else { BUSY_FUNCTION })),
        _ => Err(CommandError::text("NOTBUSY No scripts in execution right now.")),
    }
}

/// Whether a script that is no function runs for too long.
pub(super) fn is_script_overdue(server: &Server) -> bool {
    server.workers.iter().any(|worker| worker.script.is_overdue() && !worker.script.is_function())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "DEBUG NO",
            "    Leave the debug mode, of which there is none.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Whether the server has the scripts.",
            "FLUSH [ASYNC|SYNC]",
            "    Forget all scripts.",
            "KILL",
            "    End the scripts that run for too long.",
            "LOAD <script>",
            "    Add a script without running it.",
            "SHOW <sha1>",
            "    The source of a script.",
        ],
    );
    Ok(())
}
