//! ACL WHOAMI, ACL CAT: what client libraries ask for when they connect.
//!
//! There is one user, `default`, who may do everything.

use crate::command::Command;
use crate::command::help::reply_help;
use crate::command::prelude::*;
use crate::request::start_of;

const SUB: CommandSpec = CommandSpec {
    since: "6.0.0",
    group: Group::Server,
    arity: 2,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE),
    ..CommandSpec::DEFAULT
};

pub static ACL: CommandSpec = CommandSpec {
    name: "acl",
    summary: "Groups the commands about users and what they may do.",
    since: "6.0.0",
    group: Group::Server,
    subcommands: &[&CAT, &HELP, &WHOAMI],
    ..CommandSpec::CONTAINER
};

static CAT: CommandSpec = CommandSpec {
    name: "cat",
    summary: "Lists the categories of commands, or the commands in one of them.",
    complexity: "O(1), the number of commands being fixed.",
    arity: -2,
    arguments: &[Arg::string("category").optional()],
    reply: ReplyShape::TEXTS,
    handler: Handler::Session(cat),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "6.0.0",
    group: Group::Server,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static WHOAMI: CommandSpec = CommandSpec {
    name: "whoami",
    summary: "Names the user that this connection is logged in as.",
    reply: ReplyShape::Text,
    handler: Handler::Session(whoami),
    ..SUB
};

fn whoami(call: &mut Call<'_>) -> CommandResult {
    call.reply.bulk(call.client.shared.user.lock().as_bytes());
    Ok(())
}

fn cat(call: &mut Call<'_>) -> CommandResult {
    match call.args.len() {
        2 => {
            call.reply.array(Categories::NAMES.len());
            Categories::NAMES.iter().for_each(|(_, name)| call.reply.bulk(name.as_bytes()));
        }
        3 => {
            let name = call.args.get(2);
            let category = Categories::named(name)
                .ok_or_else(|| CommandError::quoting("ERR Unknown category '", start_of(name), "'"))?;
            let all = call.commands.iter_all();
            let commands: Vec<&Command> =
                all.filter(|command| command.spec.categories().contains(category)).collect();
            call.reply.array(commands.len());
            commands.iter().for_each(|command| call.reply.bulk(command.full_name.as_bytes()));
        }
        _ => return Err(call.subcommand_syntax()),
    }
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "CAT [<category>]",
            "    Command categories, or the commands of <category>.",
            "WHOAMI",
            "    User of this connection.",
        ],
    );
    Ok(())
}
