//! FUNCTION DELETE, DUMP, FLUSH, KILL, LIST, LOAD, RESTORE, STATS

use super::FLUSH_TYPE;
use super::script::{is_script_overdue, kill};
use crate::command::prelude::*;
use crate::command::reply_help;
use crate::dispatch::changes;
use crate::dispatch::scope::BUSY_SCRIPT;
use crate::persistence::payload;
use crate::scripting;
use crate::scripting::libraries::{self, Policy};
use crate::system::clock::MonotonicMs;
use crate::system::glob;

const SUB: CommandSpec = CommandSpec {
    since: "7.0.0",
    group: Group::Scripting,
    arity: 2,
    flags: Flags::NOSCRIPT,
    categories: Categories::SCRIPTING,
    ..CommandSpec::DEFAULT
};

/// One that changes the libraries.
const CHANGES: CommandSpec = CommandSpec {
    flags: Flags::NOSCRIPT.union(Flags::WRITE),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..SUB
};

pub static FUNCTION: CommandSpec = CommandSpec {
    name: "function",
    summary: "Groups the commands about libraries of functions.",
    since: "7.0.0",
    group: Group::Scripting,
    subcommands: &[&DELETE, &DUMP, &FLUSH, &HELP, &KILL, &LIST, &LOAD, &RESTORE, &STATS],
    ..CommandSpec::CONTAINER
};

static DELETE: CommandSpec = CommandSpec {
    name: "delete",
    summary: "Removes a library with its functions.",
    arity: 3,
    arguments: &[Arg::string("library-name")],
    reply: ReplyShape::OK,
    handler: Handler::Session(delete),
    ..CHANGES
};

static DUMP: CommandSpec = CommandSpec {
    name: "dump",
    summary: "Returns all libraries in the form that FUNCTION RESTORE takes.",
    complexity: "O(N) for N functions.",
    reply: ReplyShape::Text,
    differs: "Written is the version that `rdb-version` says, which older servers read too.",
    handler: Handler::Session(dump),
    ..SUB
};

static FLUSH: CommandSpec = CommandSpec {
    name: "flush",
    summary: "Removes all libraries and their functions.",
    complexity: "O(N) for N functions removed.",
    arity: -2,
    arguments: &[FLUSH_TYPE],
    reply: ReplyShape::OK,
    handler: Handler::Session(flush),
    ..CHANGES
};

static HELP: CommandSpec = CommandSpec {
    since: "7.0.0",
    group: Group::Scripting,
    categories: Categories::SCRIPTING,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static KILL: CommandSpec = CommandSpec {
    name: "kill",
    summary: "Ends the functions that run for too long and have written nothing yet.",
    flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    reply: ReplyShape::OK,
    differs: "Several may run for too long: all go that can be ended.",
    handler: Handler::Session(|call| kill(call, true)),
    ..SUB
};

static LIST: CommandSpec = CommandSpec {
    name: "list",
    summary: "Describes the loaded libraries and the functions in them.",
    complexity: "O(N) for N functions.",
    arity: -2,
    tips: &["nondeterministic_output_order"],
    arguments: &[
        Arg::string("library-name-pattern").token("LIBRARYNAME").optional(),
        Arg::flag("withcode", "WITHCODE").optional(),
    ],
    reply: ReplyShape::List(&ReplyShape::Any),
    handler: Handler::Session(list),
    ..SUB
};

static LOAD: CommandSpec = CommandSpec {
    name: "load",
    summary: "Adds a library of functions, whose name its first line says, and returns that name.",
    arity: -3,
    flags: Flags::NOSCRIPT.union(Flags::WRITE).union(Flags::DENYOOM),
    arguments: &[Arg::flag("replace", "REPLACE").optional(), Arg::string("function-code")],
    reply: ReplyShape::Text,
    handler: Handler::Session(load),
    ..CHANGES
};

static RESTORE: CommandSpec = CommandSpec {
    name: "restore",
    summary: "Adds the libraries that FUNCTION DUMP has returned, here or on another server.",
    complexity: "O(N) for N functions.",
    arity: -3,
    flags: Flags::NOSCRIPT.union(Flags::WRITE).union(Flags::DENYOOM),
    arguments: &[
        Arg::string("serialized-value"),
        Arg::one_of(
            "policy",
            &[Arg::flag("flush", "FLUSH"), Arg::flag("append", "APPEND"), Arg::flag("replace", "REPLACE")],
        )
        .optional(),
    ],
    reply: ReplyShape::OK,
    handler: Handler::Session(restore),
    ..CHANGES
};

static STATS: CommandSpec = CommandSpec {
    name: "stats",
    summary: "Tells which function runs for too long, if one does, and how many libraries and functions there are.",
    flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    reply: ReplyShape::Any,
    handler: Handler::Session(stats),
    ..SUB
};

/// An error in Redis's words.
fn error(text: String) -> CommandError {
    CommandError::owned(format!("ERR {text}"))
}

fn delete(call: &mut Call<'_>) -> CommandResult {
    let name = String::from_utf8_lossy(call.args.get(2));
    if !libraries::delete(call.server, &name) {
        return Err(CommandError::text("ERR Library not found"));
    }
    changes::tell(call.server, call.worker, &[b"FUNCTION", b"DELETE", name.as_bytes()]);
    call.worker.stats.dirty.add(1);
    call.reply.ok();
    Ok(())
}

fn dump(call: &mut Call<'_>) -> CommandResult {
    let sources = libraries::sources(call.server);
    let options = payload::write_options(&call.server.config);
    call.reply.bulk(&swytch_rdb::write_functions(sources.iter().map(|source| &source[..]), options));
    Ok(())
}

fn flush(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    match arguments.remaining() {
        0 => {}
        1 if arguments.word("SYNC") || arguments.word("ASYNC") => {}
        1 => return Err(CommandError::text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")),
        _ => return Err(call.subcommand_syntax()),
    }
    libraries::flush(call.server);
    scripting::forget_removed(call.server);
    changes::tell(call.server, call.worker, &[b"FUNCTION", b"FLUSH"]);
    call.worker.stats.dirty.add(1);
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
    let libraries = call.server.scripts.libraries();
    let is_meant = |name: &str| pattern.is_none_or(|pattern| glob::matches(pattern, name.as_bytes(), true));
    let meant: Vec<_> = libraries.iter().filter(|library| is_meant(&library.name)).collect();
    call.reply.array(meant.len());
    for library in meant {
        call.reply.map(if with_code { 4 } else { 3 });
        call.reply.bulk(b"library_name");
        call.reply.bulk(library.name.as_bytes());
        call.reply.bulk(b"engine");
        call.reply.bulk(b"LUA");
        call.reply.bulk(b"functions");
        call.reply.array(library.functions.len());
        for function in &library.functions {
            call.reply.map(3);
            call.reply.bulk(b"name");
            call.reply.bulk(function.name.as_bytes());
            call.reply.bulk(b"description");
            call.reply.bulk_or_null(function.description.as_deref());
            call.reply.bulk(b"flags");
            let flags: Vec<_> = function.flags.names().collect();
            call.reply.set(flags.len());
            flags.into_iter().for_each(|flag| call.reply.simple(flag));
        }
        if with_code {
            call.reply.bulk(b"library_code");
            call.reply.bulk(&library.source);
        }
    }
    Ok(())
}

fn load(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    let mut replace = false;
    while arguments.remaining() > 1 {
        if !arguments.word("REPLACE") {
            return Err(CommandError::quoting("ERR Unknown option given: ", arguments.expect()?, ""));
        }
        replace = true;
    }
    let source = arguments.expect()?;
    let name = libraries::load(call.server, source, replace).map_err(error)?;
    changes::tell(call.server, call.worker, &[b"FUNCTION", b"LOAD", b"REPLACE", source]);
    call.worker.stats.dirty.add(1);
    call.reply.bulk(name.as_bytes());
    Ok(())
}

fn restore(call: &mut Call<'_>) -> CommandResult {
    if call.args.len() > 4 {
        return Err(call.subcommand_syntax());
    }
    let mut arguments = call.args.cursor(3);
    let policy = match arguments.remaining() {
        0 => Policy::Append,
        _ if arguments.word("APPEND") => Policy::Append,
        _ if arguments.word("REPLACE") => Policy::Replace,
        _ if arguments.word("FLUSH") => Policy::Flush,
        _ => {
            return Err(CommandError::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let sources = swytch_rdb::read_functions(call.args.get(2)).map_err(|fault| {
        CommandError::text(if fault.is_of_footer() {
            "ERR DUMP payload version or checksum are wrong"
        } else {
            "ERR given type is not a function"
        })
    })?;
    libraries::restore(call.server, &sources, policy).map_err(error)?;
    // The payload is of a version that whoever reads may not know. Where the log has begun meanwhile they may be there already.
    let loads: Vec<[&[u8]; 4]> =
        sources.iter().map(|source| [&b"FUNCTION"[..], b"LOAD", b"REPLACE", source.as_ref()]).collect();
    let flush: &[&[u8]] = &[b"FUNCTION", b"FLUSH"];
    let first = (policy == Policy::Flush).then_some(flush);
    changes::tell_together(
        call.server,
        call.worker,
        first.into_iter().chain(loads.iter().map(|load| &load[..])),
    );
    call.worker.stats.dirty.add(1);
    call.reply.ok();
    Ok(())
}

fn stats(call: &mut Call<'_>) -> CommandResult {
    if is_script_overdue(call.server) {
        return Err(CommandError::text(BUSY_SCRIPT));
    }
    call.reply.map(2);
    call.reply.bulk(b"running_script");
    match call.server.workers.iter().find_map(|worker| worker.script.details()) {
        None => call.reply.null(),
        Some(details) => {
            call.reply.map(3);
            call.reply.bulk(b"name");
            call.reply.bulk(details.name.as_bytes());
            call.reply.bulk(b"command");
            let command = details.command.as_args();
            call.reply.array(command.len());
            command.from(0).for_each(|word| call.reply.bulk(word));
            call.reply.bulk(b"duration_ms");
            call.reply.integer(MonotonicMs::now().since(details.began) as i64);
        }
    }
    let libraries = call.server.scripts.libraries();
    call.reply.bulk(b"engines");
    call.reply.map(1);
    call.reply.bulk(b"LUA");
    call.reply.map(2);
    call.reply.bulk(b"libraries_count");
    call.reply.count(libraries.len());
    call.reply.bulk(b"functions_count");
    call.reply.count(libraries.functions());
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "DELETE <library>",
            "    Remove a library.",
            "DUMP",
            "    All libraries as RESTORE takes them.",
            "FLUSH [ASYNC|SYNC]",
            "    Remove all functions.",
            "KILL",
            "    End the functions that run for too long.",
            "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
            "    Describe the libraries of functions.",
            "LOAD [REPLACE] <code>",
            "    Add a library.",
            "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
            "    Add the libraries that DUMP has returned. Without FLUSH those that there are stay; with REPLACE",
            "    one that is restored takes the place of one of its name.",
            "STATS",
            "    The function that runs for too long, and how many there are.",
        ],
    );
    Ok(())
}
