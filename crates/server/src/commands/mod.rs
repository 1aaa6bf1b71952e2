//! The commands: one folder per group, one file per command or close family, each with its
//! [`CommandSpec`] beside its handler.
//!
//! [`SPECS`] is the one list of them; a command that is not in it does not exist.

pub mod args;
pub mod call;
pub mod error;
pub mod help;
mod names;
pub mod spec;
pub mod table;

pub mod bitmap;
pub mod connection;
pub mod keys;
pub mod list;
pub mod scripting;
pub mod server;
pub mod string;
pub mod transactions;

#[cfg(test)]
mod table_tests;

pub use args::{ArgCursor, Args, OwnedArgs};
pub use call::{BlockRequest, Call, ShardSteps, TimeoutReply};
pub use error::CommandError;
pub use help::reply_help;
pub use spec::{
    Arg, ArgKind, BeginSearch, Categories, CommandSpec, FindKeys, Flags, Group, Handler, KeyFlags, KeySpec,
};
pub use table::{Command, CommandTable};

/// What a handler returns: its reply is written, or is this error.
pub type CommandResult = Result<(), CommandError>;

/// Every command, by group.
pub const SPECS: &[&[&CommandSpec]] = &[
    bitmap::SPECS,
    connection::SPECS,
    keys::SPECS,
    list::SPECS,
    scripting::SPECS,
    server::SPECS,
    string::SPECS,
    transactions::SPECS,
];
