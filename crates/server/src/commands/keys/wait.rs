//! WAIT, WAITAOF
//!
//! A client waits as data (`dispatch/park`) for the log of this server, and for what replicas acknowledge.

use std::sync::atomic::Ordering;

use swytch_resp::Reply;

use crate::command::Progress;
use crate::command::prelude::*;
use crate::dispatch::park;
use crate::effects::Place;
use crate::replication::Awaited;
use crate::server::{Server, WorkerShared};
use crate::system::clock::MonotonicMs;

const BASE: CommandSpec = CommandSpec {
    group: Group::Generic,
    flags: Flags::BLOCKING,
    categories: Categories::CONNECTION,
    ..CommandSpec::DEFAULT
};

pub static WAIT: CommandSpec = CommandSpec {
    name: "wait",
    summary: "Waits until enough replicas have received the writes of this connection, and tells how many have.",
    since: "3.0.0",
    arity: 3,
    arguments: &[Arg::integer("numreplicas"), Arg::integer("timeout")],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    reply: ReplyShape::Count,
    handler: Handler::Session(wait),
    ..BASE
};

pub static WAITAOF: CommandSpec = CommandSpec {
    name: "waitaof",
    summary: "Waits until the writes of this connection are safely in the append-only logs of this server and of enough replicas.",
    since: "7.2.0",
    arity: 4,
    arguments: &[Arg::integer("numlocal"), Arg::integer("numreplicas"), Arg::integer("timeout")],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    reply: ReplyShape::Tuple(&[ReplyShape::Count, ReplyShape::Count]),
    handler: Handler::Session(wait_for_log),
    ..BASE
};

fn wait(call: &mut Call<'_>) -> CommandResult {
    // Fewer than none are there at once.
    let enough = usize::try_from(call.args.integer(1)?).unwrap_or(0);
    let deadline = timeout(call, 2)?;
    park::until(call, Box::new(Received { what: written(call, enough > 0), enough }), deadline);
    Ok(())
}

/// What the client has written until now. Where `asks`, followers are to say soon whether they have it.
fn written(call: &Call<'_>, asks: bool) -> Awaited {
    if asks && call.server.replication.has_followers() {
        call.server.replication.want_acknowledgements();
        call.server.effects.ring();
    }
    Awaited::new(call.client.wrote.until_now(call.worker.lane.end()))
}

/// Whether enough replicas have what a client has written.
#[derive(Debug)]
struct Received {
    what: Awaited,
    enough: usize,
}

impl Progress for Received {
    fn is_enough(&self, server: &Server, _: &WorkerShared) -> bool {
        self.what.count(&server.replication).0 >= self.enough
    }

    fn answer(&self, server: &Server, reply: &mut Reply<'_>) {
        reply.count(self.what.count(&server.replication).0);
    }
}

fn wait_for_log(call: &mut Call<'_>) -> CommandResult {
    let local = call.args.integer(1)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::text("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = call.args.integer(2).ok().filter(|replicas| *replicas >= 0);
    let replicas =
        replicas.ok_or_else(|| CommandError::text("ERR value is out of range, must be positive"))?;
    let deadline = timeout(call, 3)?;
    let until = call.client.wrote.until_now(call.worker.lane.end());
    let enough = usize::try_from(replicas).unwrap_or(usize::MAX);
    let safety = Safety { until, local: local > 0, replicas: written(call, enough > 0), enough };
    if safety.has_no_log(call.server) {
        return Err(CommandError::text(NO_LOG));
    }
    park::until(call, Box::new(safety), deadline);
    Ok(())
}

const NO_LOG: &str = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// Whether what a client has written is safe.
#[derive(Debug)]
struct Safety {
    /// The place behind it.
    until: Place,
    /// It is to be in the log of this server.
    local: bool,
    /// It is to be in the logs of enough replicas.
    replicas: Awaited,
    enough: usize,
}

impl Safety {
    fn has_no_log(&self, server: &Server) -> bool {
        self.local && !server.log.state.is_on.load(Ordering::SeqCst)
    }

    fn is_in_log(&self, server: &Server) -> bool {
        let log = &server.log.state;
        // What was written while nobody recorded it is in the base, and nowhere before there is one.
        log.promises() && log.safe_until.load(Ordering::SeqCst) >= self.until
    }
}

impl Progress for Safety {
    fn is_enough(&self, server: &Server, _: &WorkerShared) -> bool {
        let are_enough = || self.replicas.count(&server.replication).1 >= self.enough;
        self.has_no_log(server) || (!self.local || self.is_in_log(server)) && are_enough()
    }

    fn answer(&self, server: &Server, reply: &mut Reply<'_>) {
        if self.has_no_log(server) {
            return reply.error(NO_LOG.as_bytes());
        }
        reply.array(2);
        reply.integer(i64::from(self.is_in_log(server)));
        reply.count(self.replicas.count(&server.replication).1);
    }
}

/// When a timeout in milliseconds is over; `None` for 0, which waits forever.
fn timeout(call: &Call<'_>, index: usize) -> Result<Option<MonotonicMs>, CommandError> {
    let timeout_ms = swytch_decimal::parse_i64(call.args.get(index))
        .ok_or_else(|| CommandError::text("ERR timeout is not an integer or out of range"))?;
    if timeout_ms < 0 {
        return Err(CommandError::TimeoutNegative);
    }
    match timeout_ms.checked_add(call.now_ms as i64) {
        Some(_) => Ok((timeout_ms > 0).then(|| MonotonicMs::now().after(timeout_ms as u64))),
        None => Err(CommandError::TimeoutOutOfRange),
    }
}
