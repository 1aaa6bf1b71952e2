//! MODULE LIST, HELP: modules are compiled against the inside of Redis, so there are none.

use crate::command::prelude::*;
use crate::command::reply_help;

pub static MODULE: CommandSpec = CommandSpec {
    name: "module",
    summary: "Groups the commands about modules.",
    since: "4.0.0",
    group: Group::Server,
    subcommands: &[&HELP, &LIST],
    ..CommandSpec::CONTAINER
};

static HELP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Server,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static LIST: CommandSpec = CommandSpec {
    name: "list",
    summary: "Lists the modules, of which there are none.",
    since: "4.0.0",
    group: Group::Server,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT),
    tips: &["nondeterministic_output_order"],
    reply: ReplyShape::Report,
    handler: Handler::Session(list),
    ..CommandSpec::DEFAULT
};

fn list(call: &mut Call<'_>) -> CommandResult {
    call.reply.array(0);
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(call, &["LIST", "    List the modules that are loaded: none."]);
    Ok(())
}
