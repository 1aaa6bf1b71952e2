//! CLIENT CACHING, GETREDIR, TRACKINGINFO: the answers of a connection that is not in tracking mode.
//!
//! Client-side caching is not served, so no connection ever is, and these answer what Redis answers then.

use super::SUB;
use crate::command::prelude::*;

pub(super) static CACHING: CommandSpec = CommandSpec {
    name: "caching",
    summary: "Chooses whether the keys that the next command reads are tracked for client-side caching.",
    since: "6.0.0",
    arity: 3,
    arguments: &[Arg::one_of("mode", &[Arg::flag("yes", "YES"), Arg::flag("no", "NO")])],
    reply: ReplyShape::OK,
    differs: "Tracking cannot be turned on yet, so it is always the error that Redis gives then.",
    handler: Handler::Session(caching),
    ..SUB
};

pub(super) static GETREDIR: CommandSpec = CommandSpec {
    name: "getredir",
    summary: "Returns the number of the connection that receives this one's invalidation messages.",
    since: "6.0.0",
    reply: ReplyShape::Integer,
    differs: "Tracking cannot be turned on yet: the answer is -1.",
    handler: Handler::Session(getredir),
    ..SUB
};

pub(super) static TRACKINGINFO: CommandSpec = CommandSpec {
    name: "trackinginfo",
    summary: "Describes how this connection uses client-side caching.",
    since: "6.2.0",
    reply: ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any),
    differs: "Tracking cannot be turned on yet.",
    handler: Handler::Session(trackinginfo),
    ..SUB
};

/// GETREDIR's answer while tracking is off.
const NOT_TRACKING: i64 = -1;

fn caching(_: &mut Call<'_>) -> CommandResult {
    Err(CommandError::text(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
         enabled",
    ))
}

fn getredir(call: &mut Call<'_>) -> CommandResult {
    call.reply.integer(NOT_TRACKING);
    Ok(())
}

fn trackinginfo(call: &mut Call<'_>) -> CommandResult {
    let reply = &mut call.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.integer(NOT_TRACKING);
    reply.bulk(b"prefixes");
    reply.array(0);
    Ok(())
}
