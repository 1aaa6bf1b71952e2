//! ROLE

use std::sync::Arc;

use crate::command::prelude::*;
use crate::persistence::replicate;
use crate::replication::{Follower, Phase};

pub static ROLE: CommandSpec = CommandSpec {
    name: "role",
    summary: "Tells whether the server is a primary or a replica, with its replicas or its primary.",
    since: "2.8.12",
    group: Group::Server,
    arity: 1,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST),
    categories: Categories::ADMIN.union(Categories::DANGEROUS),
    reply: ReplyShape::List(&ReplyShape::Any),
    differs: "Always `master`.",
    handler: Handler::Session(role),
    ..CommandSpec::DEFAULT
};

/// A primary, where its stream ends, and those who read it.
fn role(call: &mut Call<'_>) -> CommandResult {
    replicate::catch_up(call.server);
    let facts = call.server.replication.facts();
    let is_online = |follower: &&Arc<Follower>| follower.phase() == Some(Phase::Online);
    let online: Vec<_> = facts.followers.iter().filter(is_online).collect();
    call.reply.array(3);
    call.reply.bulk(b"master");
    call.reply.integer(facts.end as i64);
    call.reply.array(online.len());
    for follower in online {
        let (address, port) = follower.address();
        call.reply.array(3);
        call.reply.bulk(address.as_bytes());
        call.reply.bulk(port.to_string().as_bytes());
        call.reply.bulk(follower.acknowledged().to_string().as_bytes());
    }
    Ok(())
}
