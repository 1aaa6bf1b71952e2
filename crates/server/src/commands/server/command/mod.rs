//! COMMAND and its subcommands: the command table as clients see it.
//!
//! Everything here is derived from the [`CommandSpec`]s. `describe.rs` writes COMMAND INFO entries, `docs.rs`
//! COMMAND DOCS, `keys.rs` finds the keys of a given request, `list.rs` is COMMAND LIST.

mod describe;
mod docs;
mod keys;
mod list;

use crate::command::help::reply_help;
use crate::command::prelude::*;

const SUB: CommandSpec = CommandSpec {
    group: Group::Server,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    ..CommandSpec::DEFAULT
};

const NAMES: &[Arg] = &[Arg::string("command-name").optional().multiple()];
const REQUEST: &[Arg] = &[Arg::string("command"), Arg::string("arg").optional().multiple()];
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

/// What COMMAND and COMMAND INFO say of each command, null for one that does not exist.
const ENTRIES: ReplyShape = ReplyShape::List(&ReplyShape::OneOf(&[
    ReplyShape::Null,
    ReplyShape::Tuple(&[
        ReplyShape::Text,
        ReplyShape::Integer,
        ReplyShape::Set(&ReplyShape::Line),
        ReplyShape::Integer,
        ReplyShape::Integer,
        ReplyShape::Integer,
        ReplyShape::Set(&ReplyShape::Line),
        ReplyShape::Set(&ReplyShape::Text),
        ReplyShape::Set(&ReplyShape::Any),
        // Subcommands: entries again.
        ReplyShape::Any,
    ]),
]));

pub static COMMAND: CommandSpec = CommandSpec {
    name: "command",
    summary: "Describes every command: arity, flags, keys, categories and subcommands.",
    since: "2.8.13",
    complexity: "O(N) for N commands in the table.",
    arity: -1,
    tips: ANY_ORDER,
    subcommands: &[&COUNT, &DOCS, &GETKEYS, &GETKEYSANDFLAGS, &HELP, &INFO, &LIST],
    reply: ENTRIES,
    handler: Handler::Session(info),
    ..SUB
};

static COUNT: CommandSpec = CommandSpec {
    name: "count",
    summary: "Counts the commands of this server.",
    since: "2.8.13",
    arity: 2,
    reply: ReplyShape::Count,
    handler: Handler::Session(count),
    ..SUB
};

static DOCS: CommandSpec = CommandSpec {
    name: "docs",
    summary: "Documents commands: what they do, what they cost, their arguments and history.",
    since: "7.0.0",
    complexity: "O(N) for N commands described.",
    arity: -2,
    tips: ANY_ORDER,
    arguments: NAMES,
    reply: ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any)),
    differs: "Summaries, costs and histories are this server's own words.",
    handler: Handler::Session(docs::docs),
    ..SUB
};

static GETKEYS: CommandSpec = CommandSpec {
    name: "getkeys",
    summary: "Finds the keys among the words of a command, without running it.",
    since: "2.8.13",
    complexity: "O(N) for N words of the command.",
    arity: -3,
    arguments: REQUEST,
    reply: ReplyShape::TEXTS,
    handler: Handler::Session(keys::getkeys),
    ..SUB
};

static GETKEYSANDFLAGS: CommandSpec = CommandSpec {
    name: "getkeysandflags",
    summary: "Finds the keys among the words of a command, and what the command would do to each.",
    since: "7.0.0",
    complexity: "O(N) for N words of the command.",
    arity: -3,
    arguments: REQUEST,
    reply: ReplyShape::List(&ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Set(&ReplyShape::Line)])),
    handler: Handler::Session(keys::getkeysandflags),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Server,
    categories: Categories::CONNECTION,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static INFO: CommandSpec = CommandSpec {
    name: "info",
    summary: "Describes the named commands in the form that COMMAND uses.",
    since: "2.8.13",
    complexity: "O(N) for N commands described.",
    arity: -2,
    tips: ANY_ORDER,
    history: &[("7.0.0", "Without a name it describes all commands.")],
    arguments: NAMES,
    reply: ENTRIES,
    handler: Handler::Session(info),
    ..SUB
};

static LIST: CommandSpec = CommandSpec {
    name: "list",
    summary: "Lists the names of commands, all or those of a category, module or pattern.",
    since: "7.0.0",
    complexity: "O(N) for N commands in the table.",
    arity: -2,
    tips: ANY_ORDER,
    arguments: &[Arg::one_of(
        "filterby",
        &[
            Arg::string("module-name").token("MODULE"),
            Arg::string("category").token("ACLCAT"),
            Arg::new("pattern", crate::command::ArgKind::Pattern).token("PATTERN"),
        ],
    )
    .token("FILTERBY")
    .optional()],
    reply: ReplyShape::TEXTS,
    handler: Handler::Session(list::list),
    ..SUB
};

/// COMMAND and COMMAND INFO: an entry per command, null for an unknown name.
fn info(call: &mut Call<'_>) -> CommandResult {
    let table = call.commands;
    if call.args.len() <= 2 {
        call.reply.array(table.iter().count());
        table.iter().for_each(|command| describe::describe(&mut call.reply, command));
        return Ok(());
    }
    call.reply.array(call.args.len() - 2);
    for name in call.args.from(2) {
        match table.find_full(name) {
            Some(command) => describe::describe(&mut call.reply, command),
            None => call.reply.null(),
        }
    }
    Ok(())
}

fn count(call: &mut Call<'_>) -> CommandResult {
    call.reply.count(call.commands.iter().count());
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    Number of commands of this server.",
            "DOCS [<command-name> [<command-name> ...]]",
            "    Documentation of the named commands, or of all.",
            "GETKEYS <full-command>",
            "    Keys among the arguments of a command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Keys among the arguments of a command, with what is done to them.",
            "INFO [<command-name> [<command-name> ...]]",
            "    Description of the named commands, or of all.",
            "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    Names of the commands, or of those that pass the filter.",
        ],
    );
    Ok(())
}
