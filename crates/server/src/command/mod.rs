//! What a command is: its declaration, one call of it, and the table that finds it.
//!
//! The words that every command is written in. The commands themselves are in `commands/`, and nothing here names one:
//! the table is given their declarations.

pub mod call;
mod client_line;
pub mod first;
pub mod help;
mod names;
pub mod origin;
pub mod reply_shape;
pub mod scan;
pub mod several;
pub mod spec;
pub mod table;

#[cfg(test)]
mod table_tests;

pub use crate::request::{ArgCursor, Args, CommandError, OwnedArgs};
pub use call::{
    BlockRequest, Call, CountedSlot, Others, Outcome, Progress, Ready, ShardSteps, TimeoutReply, When,
};
pub use client_line::client_line;
pub use help::reply_help;
pub use origin::Origin;
pub use reply_shape::ReplyShape;
pub use several::PopFromSeveral;
pub use spec::{
    Arg, ArgKind, BeginSearch, Categories, ChannelSpec, CommandSpec, DatabaseSpec, FindKeys, Flags,
    FoundScript, Group, Guard, Handler, KeyFlags, KeySpec, RequestKeys, ScriptHandler,
};
pub use table::{Command, CommandTable};

/// What a handler returns: its reply is written, or is this error.
pub type CommandResult = Result<(), CommandError>;

/// What nearly every file of `commands/` needs.
pub mod prelude {
    pub use super::{
        Arg, ArgCursor, ArgKind, Args, Call, Categories, ChannelSpec, CommandError, CommandResult,
        CommandSpec, DatabaseSpec, Flags, Group, Handler, KeyFlags, ReplyShape,
    };
}
