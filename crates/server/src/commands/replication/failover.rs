//! FAILOVER: what is wrong with the request is said as Redis says it, and what is not cannot be done: the server would have to
//! follow the one that takes its place.
//!
//! Source: `failoverCommand` in Redis's `src/replication.c`.

use crate::command::prelude::*;
use crate::replication::Phase;

pub static FAILOVER: CommandSpec = CommandSpec {
    name: "failover",
    summary: "Lets a replica take the place of this server.",
    since: "6.2.0",
    group: Group::Server,
    arity: -1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE),
    arguments: &[
        Arg::block(
            "target",
            &[Arg::string("host"), Arg::integer("port"), Arg::flag("force", "FORCE").optional()],
        )
        .token("TO")
        .optional(),
        Arg::flag("abort", "ABORT").optional(),
        Arg::integer("milliseconds").token("TIMEOUT").optional(),
    ],
    reply: ReplyShape::OK,
    differs: "Refused, with Redis's reason where there is one: this server follows nobody and would have to afterwards.",
    handler: Handler::Session(failover),
    ..CommandSpec::DEFAULT
};

fn failover(call: &mut Call<'_>) -> CommandResult {
    let refused = |why: &'static str| Err(CommandError::text(why));
    let mut arguments = call.args.cursor(1);
    if call.args.len() == 2 && arguments.word("ABORT") {
        return refused("ERR No failover in progress.");
    }
    let (mut target, mut timeout_ms, mut is_forced) = (None, 0, false);
    while arguments.peek().is_some() {
        if timeout_ms == 0 && arguments.word("TIMEOUT") {
            timeout_ms = arguments.integer()?;
            if timeout_ms <= 0 {
                return refused("ERR FAILOVER timeout must be greater than 0");
            }
        } else if target.is_none() && arguments.word("TO") {
            target = Some((arguments.expect()?, arguments.integer()?));
        } else if !is_forced && arguments.word("FORCE") {
            is_forced = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let followers = call.server.replication.followers();
    if followers.is_empty() {
        return refused("ERR FAILOVER requires connected replicas.");
    }
    if is_forced && (timeout_ms == 0 || target.is_none()) {
        return refused("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    }
    if let Some((host, port)) = target {
        let is_target =
            |(address, listens): (String, u16)| address.as_bytes() == host && i64::from(listens) == port;
        match followers.iter().find(|follower| is_target(follower.address())) {
            None => return refused("ERR FAILOVER target HOST and PORT is not a replica."),
            Some(follower) if follower.phase() != Some(Phase::Online) => {
                return refused("ERR FAILOVER target replica is not online.");
            }
            Some(_) => {}
        }
    }
    refused(
        "ERR FAILOVER is not served: this server does not replicate from a primary, which it would have to afterwards",
    )
}
