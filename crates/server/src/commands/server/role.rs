//! ROLE

use crate::command::prelude::*;

pub static ROLE: CommandSpec = CommandSpec {
    name: "role",
    summary: "Tells whether the server is a primary or a replica, with its replicas or its primary.",
    since: "2.8.12",
    group: Group::Server,
    arity: 1,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST),
    categories: Categories::ADMIN.union(Categories::DANGEROUS),
    reply: ReplyShape::List(&ReplyShape::Any),
    differs: "Always `master` without replicas.",
    handler: Handler::Session(role),
    ..CommandSpec::DEFAULT
};

/// A primary at offset 0 without replicas.
fn role(call: &mut Call<'_>) -> CommandResult {
    call.reply.array(3);
    call.reply.bulk(b"master");
    call.reply.integer(0);
    call.reply.array(0);
    Ok(())
}
