//! FUNCTION FLUSH, FUNCTION LIST: of a server that has no functions.
//!
//! Tools that bring a server into a known state (test suites, importers) call FLUSH beside FLUSHALL; functions
//! cannot be loaded, so there are none to remove and none to list.

use crate::command::prelude::*;
use crate::command::reply_help;

const SUB: CommandSpec = CommandSpec {
    since: "7.0.0",
    group: Group::Scripting,
    complexity: "O(N) for N functions.",
    arity: -2,
    categories: Categories::SCRIPTING,
    ..CommandSpec::DEFAULT
};

pub static FUNCTION: CommandSpec = CommandSpec {
    name: "function",
    summary: "Groups the commands about libraries of functions.",
    since: "7.0.0",
    group: Group::Scripting,
    subcommands: &[&FLUSH, &HELP, &LIST],
    ..CommandSpec::CONTAINER
};

static FLUSH: CommandSpec = CommandSpec {
    name: "flush",
    summary: "Removes all libraries and their functions.",
    complexity: "O(N) for N functions removed.",
    flags: Flags::NOSCRIPT.union(Flags::WRITE),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[
        Arg::one_of("flush-type", &[Arg::flag("async", "ASYNC"), Arg::flag("sync", "SYNC")]).optional()
    ],
    reply: ReplyShape::OK,
    differs: "There are no functions yet to remove.",
    handler: Handler::Session(flush),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "7.0.0",
    group: Group::Scripting,
    categories: Categories::SCRIPTING,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static LIST: CommandSpec = CommandSpec {
    name: "list",
    summary: "Describes the loaded libraries and the functions in them.",
    flags: Flags::NOSCRIPT,
    tips: &["nondeterministic_output_order"],
    arguments: &[
        Arg::string("library-name-pattern").token("LIBRARYNAME").optional(),
        Arg::flag("withcode", "WITHCODE").optional(),
    ],
    reply: ReplyShape::List(&ReplyShape::Any),
    differs: "There are no functions yet: the list is empty.",
    handler: Handler::Session(list),
    ..SUB
};

fn flush(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    match arguments.remaining() {
        0 => {}
        1 if arguments.word("SYNC") || arguments.word("ASYNC") => {}
        1 => return Err(CommandError::text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")),
        _ => return Err(call.subcommand_syntax()),
    }
    call.reply.ok();
    Ok(())
}

fn list(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    let (mut with_code, mut pattern) = (false, None);
    while arguments.remaining() > 0 {
        if !with_code && arguments.word("WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && arguments.word("LIBRARYNAME") {
            pattern = arguments.next();
            if pattern.is_none() {
                return Err(CommandError::text("ERR library name argument was not given"));
            }
        } else {
            return Err(CommandError::quoting("ERR Unknown argument ", arguments.expect()?, ""));
        }
    }
    call.reply.array(0);
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "FLUSH [ASYNC|SYNC]",
            "    Remove all functions.",
            "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
            "    Describe the libraries of functions.",
        ],
    );
    Ok(())
}
