//! ASKING, READONLY, READWRITE: what a client of a cluster says about the slot it asks, and about the age of what it reads.
//! No slot is on its way here and nothing is read from a replica, so nothing follows from them; CLIENT LIST shows who has said
//! READONLY.

use super::must_be_enabled;
use crate::clients::ClientFlags;
use crate::command::prelude::*;

const MODE: CommandSpec = CommandSpec {
    since: "3.0.0",
    group: Group::Cluster,
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::CONNECTION,
    reply: ReplyShape::OK,
    handler: Handler::Session(|call| agree(call, |_| ())),
    ..CommandSpec::DEFAULT
};

pub(super) static ASKING: CommandSpec = CommandSpec {
    name: "asking",
    summary: "Says that the next command is about a slot that is on its way to this node.",
    flags: Flags::FAST,
    ..MODE
};

pub(super) static READONLY: CommandSpec = CommandSpec {
    name: "readonly",
    summary: "Says that the connection may be answered by a replica.",
    handler: Handler::Session(|call| agree(call, |flags| *flags |= ClientFlags::READS_ONLY)),
    ..MODE
};

pub(super) static READWRITE: CommandSpec = CommandSpec {
    name: "readwrite",
    summary: "Takes back what READONLY has said.",
    handler: Handler::Session(|call| agree(call, |flags| *flags -= ClientFlags::READS_ONLY)),
    ..MODE
};

fn agree(call: &mut Call<'_>, follow: fn(&mut ClientFlags)) -> CommandResult {
    must_be_enabled(call)?;
    follow(&mut call.client.flags);
    call.reply.ok();
    Ok(())
}
