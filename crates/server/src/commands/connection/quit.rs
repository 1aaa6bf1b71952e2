//! QUIT, RESET

use std::sync::atomic::Ordering;

use swytch_resp::Protocol;

use super::ANY_TIME;
use crate::clients::ClientFlags;
use crate::command::Origin;
use crate::command::prelude::*;
use crate::dispatch::{conditions, subscriptions, tracking, watch};

const IN_EVERY_STATE: Flags = ANY_TIME.union(Flags::IN_MULTI).union(Flags::WHILE_LISTENING);

pub static QUIT: CommandSpec = CommandSpec {
    name: "quit",
    summary: "Answers OK and ends the connection once that is sent.",
    since: "1.0.0",
    group: Group::Connection,
    arity: -1,
    flags: IN_EVERY_STATE,
    categories: Categories::CONNECTION,
    deprecated: Some(("7.2.0", "just closing the connection")),
    reply: ReplyShape::OK,
    handler: Handler::Session(quit),
    ..CommandSpec::DEFAULT
};

pub static RESET: CommandSpec = CommandSpec {
    name: "reset",
    summary: "Puts the connection into the state of a new one: database 0, RESP2, no transaction, name, watched keys, subscriptions, tracking or monitoring.",
    since: "6.2.0",
    group: Group::Connection,
    arity: 1,
    flags: IN_EVERY_STATE,
    categories: Categories::CONNECTION,
    reply: ReplyShape::Word(&["RESET"]),
    handler: Handler::Session(reset),
    ..CommandSpec::DEFAULT
};

fn quit(call: &mut Call<'_>) -> CommandResult {
    // Who has read the reply counts no longer among the receivers.
    subscriptions::end_all(call);
    call.client.shared.leaves.store(true, Ordering::Release);
    call.reply.ok();
    call.close_after_reply();
    Ok(())
}

/// Everything about the connection is as if it were new.
fn reset(call: &mut Call<'_>) -> CommandResult {
    if call.client.flags.contains(ClientFlags::FOLLOWER) {
        return Err(CommandError::text("ERR can only reset normal client connections"));
    }
    watch::discard(call.server, call.client);
    if call.client.flags.contains(ClientFlags::MONITOR) {
        conditions::end_monitoring(call.server, call.client.id());
    }
    subscriptions::end_all(call);
    tracking::end(call);
    // Only what says that this very reply is to be skipped stays, as in Redis.
    call.client.flags &= ClientFlags::UNIX_SOCKET | ClientFlags::REPLY_SKIP;
    call.origin = Origin::Client;
    call.client.db = 0;
    call.client.protocol = Protocol::Resp2;
    call.client.shared.names.lock().name.clear();
    let users = &call.server.users;
    call.client.become_user(users.default(), users.lets_everybody_in());
    call.reply.set_protocol(Protocol::Resp2);
    call.reply.simple("RESET");
    Ok(())
}
