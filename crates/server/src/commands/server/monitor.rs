//! MONITOR

use crate::clients::ClientFlags;
use crate::command::prelude::*;
use crate::dispatch::conditions;

pub static MONITOR: CommandSpec = CommandSpec {
    name: "monitor",
    summary: "Shows every command that any client sends, from now on, as it is run.",
    since: "1.0.0",
    group: Group::Server,
    complexity: "",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    reply: ReplyShape::OK,
    handler: Handler::Session(monitor),
    ..CommandSpec::DEFAULT
};

fn monitor(call: &mut Call<'_>) -> CommandResult {
    if !call.origin.may_block() {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    // A second MONITOR is not answered, as in Redis.
    if !call.client.flags.contains(ClientFlags::MONITOR) {
        call.client.flags |= ClientFlags::MONITOR;
        call.reply.ok();
        conditions::begin_monitoring(call);
    }
    Ok(())
}
