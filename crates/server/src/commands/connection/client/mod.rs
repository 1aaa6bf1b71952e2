//! CLIENT: what a connection is called, how it behaves, and what others may do to it.
//!
//! `about.rs`, `tracking.rs` and `maintenance.rs` set and tell things of the calling connection; `list.rs` describes connections;
//! `kill.rs`, `pause.rs` and `unblock.rs` act on others.

mod about;
mod kill;
mod list;
mod maintenance;
mod pause;
mod tracking;
mod unblock;

pub use about::validate_name;
pub use list::ClientType;

use crate::command::help::reply_help;
use crate::command::prelude::*;

/// Flags of the subcommands that any client may call.
const OWN: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::KEEPS_CACHING);
/// Flags of the subcommands that look at or act on other clients.
const OTHERS: Flags = OWN.union(Flags::ADMIN);

/// What all subcommands have in common.
const SUB: CommandSpec = CommandSpec {
    group: Group::Connection,
    arity: 2,
    flags: OWN,
    categories: Categories::CONNECTION,
    ..CommandSpec::DEFAULT
};

pub static CLIENT: CommandSpec = CommandSpec {
    name: "client",
    summary: "Groups the commands that describe, control and close connections.",
    since: "2.4.0",
    group: Group::Connection,
    subcommands: &[
        &tracking::CACHING,
        &about::CAPA,
        &about::GETNAME,
        &tracking::GETREDIR,
        &HELP,
        &about::ID,
        &about::IMPORT_SOURCE,
        &list::INFO,
        &kill::KILL,
        &list::LIST,
        &maintenance::MAINT_NOTIFICATIONS,
        &about::NO_EVICT,
        &about::NO_TOUCH,
        &pause::PAUSE,
        &about::REPLY,
        &about::SETINFO,
        &about::SETNAME,
        &tracking::TRACKING,
        &tracking::TRACKINGINFO,
        &unblock::UNBLOCK,
        &pause::UNPAUSE,
    ],
    ..CommandSpec::CONTAINER
};

static HELP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Connection,
    categories: Categories::CONNECTION,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "CACHING (YES|NO)",
            "    Choose whether the next command's keys are tracked, in OPTIN or OPTOUT mode.",
            "GETNAME",
            "    Name of this connection.",
            "GETREDIR",
            "    Id of the client that invalidation messages are redirected to.",
            "ID",
            "    Id of this connection.",
            "INFO",
            "    Description of this connection.",
            "KILL <ip:port>",
            "    Close the connection made from <ip:port>.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Close the connections that match every option:",
            "    * ADDR (<ip:port>|<unixsocket>:0)",
            "      Made from this address.",
            "    * LADDR (<ip:port>|<unixsocket>:0)",
            "      Made to this address.",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Of this type.",
            "    * USER <username>",
            "      Authenticated as this user.",
            "    * SKIPME (YES|NO)",
            "      Spare the calling connection (default: yes).",
            "    * ID <client-id>",
            "      With this id.",
            "    * MAXAGE <maxage>",
            "      At least this many seconds old.",
            "LIST [options ...]",
            "    Description of connections. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Those of this type.",
            "    * ID <client-id> [<client-id> [...]]",
            "      Those with these ids.",
            "MAINT_NOTIFICATIONS (ON|OFF) [MOVING-ENDPOINT-TYPE <type>]",
            "    Choose whether this connection is told before the server ends.",
            "NO-EVICT (ON|OFF)",
            "    Exempt this connection from client eviction.",
            "IMPORT-SOURCE (ON|OFF)",
            "    Bring data over: see keys whose time is over while the server is in import mode.",
            "NO-TOUCH (ON|OFF)",
            "    Leave access times and counters of keys as they are.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Hold back all commands, or those that write, for <timeout> milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Choose whether this connection is answered.",
            "SETINFO <option> <value>",
            "    Describe the client's library. Options are:",
            "    * LIB-NAME: its name.",
            "    * LIB-VER: its version.",
            "SETNAME <name>",
            "    Give this connection a name.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
            "         [OPTIN] [OPTOUT] [NOLOOP]",
            "    Choose whether this connection is told when keys change that it has read, or those",
            "    with a prefix.",
            "TRACKINGINFO",
            "    Tracking status of this connection.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    End the wait of a blocked client.",
            "UNPAUSE",
            "    End a pause.",
        ],
    );
    Ok(())
}
