//! Commands about users and what they may do.

mod change;
mod show;

use crate::command::help::reply_help;
use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[&ACL];

/// For everybody.
const SUB: CommandSpec = CommandSpec {
    since: "6.0.0",
    group: Group::Server,
    arity: 2,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE),
    ..CommandSpec::DEFAULT
};

/// For those who administer.
const ADMIN: CommandSpec = CommandSpec { flags: SUB.flags.union(Flags::ADMIN), ..SUB };

static ACL: CommandSpec = CommandSpec {
    name: "acl",
    summary: "Groups the commands about users and what they may do.",
    since: "6.0.0",
    group: Group::Server,
    subcommands: &[
        &show::CAT,
        &change::DELUSER,
        &show::DRYRUN,
        &show::GENPASS,
        &show::GETUSER,
        &HELP,
        &show::LIST,
        &change::LOAD,
        &show::LOG,
        &change::SAVE,
        &change::SETUSER,
        &show::USERS,
        &show::WHOAMI,
    ],
    ..CommandSpec::CONTAINER
};

static HELP: CommandSpec = CommandSpec {
    since: "6.0.0",
    group: Group::Server,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "CAT [<category>]",
            "    Command categories, or the commands of <category>.",
            "DELUSER <username> [<username> ...]",
            "    Removes users and ends their connections.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Whether the user may run the command, which is not run.",
            "GENPASS [<bits>]",
            "    A random password of 256 bits, or of <bits>.",
            "GETUSER <username>",
            "    What the user may do, in parts.",
            "LIST",
            "    All users, as a file describes them.",
            "LOAD",
            "    Reads the users anew from the file of 'aclfile'.",
            "LOG [<count> | RESET]",
            "    What was refused to whom, the latest first.",
            "SAVE",
            "    Writes the users into the file of 'aclfile'.",
            "SETUSER <username> <rule> [<rule> ...]",
            "    Adds a user, or changes what it may do.",
            "USERS",
            "    Names of all users.",
            "WHOAMI",
            "    User of this connection.",
        ],
    );
    Ok(())
}
