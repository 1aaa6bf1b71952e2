//! PSYNC, SYNC: the client is sent the data, or goes on where it was, and then reads the stream of effects.

use std::sync::atomic::Ordering;

use crate::clients::ClientFlags;
use crate::command::prelude::*;
use crate::persistence::replicate;

const BASE: CommandSpec = CommandSpec {
    group: Group::Server,
    complexity: "",
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING).union(Flags::NO_MULTI),
    reply: ReplyShape::Any,
    ..CommandSpec::DEFAULT
};

pub static PSYNC: CommandSpec = CommandSpec {
    name: "psync",
    summary: "Sends the data and then every change of it, or only the changes from an offset on, to a replica.",
    since: "2.8.0",
    arity: -3,
    arguments: &[Arg::string("replicationid"), Arg::integer("offset")],
    handler: Handler::Session(psync),
    ..BASE
};

pub static SYNC: CommandSpec = CommandSpec {
    name: "sync",
    summary: "Sends the data and then every change of it to a client that acknowledges nothing.",
    since: "1.0.0",
    arity: 1,
    handler: Handler::Session(sync),
    ..BASE
};

fn psync(call: &mut Call<'_>) -> CommandResult {
    let (name, next) = (call.args.get(1), call.args.integer(2));
    let next = next.inspect_err(|_| {
        let address = &call.client.shared.address;
        tracing::warn!("Replica {address} asks for synchronization but with a wrong offset");
    })?;
    if call.args.try_get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"FAILOVER")) {
        return Err(CommandError::text("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if call.client.flags.contains(ClientFlags::FOLLOWER) {
        return Ok(());
    }
    let introduction = call.client.introduction.take().unwrap_or_default();
    // What is kept is what is kept behind all that was answered.
    replicate::catch_up(call.server);
    let replication = &call.server.replication;
    // The offset of the first byte is 1.
    let position = u64::try_from(next).ok().and_then(|next| next.checked_sub(1));
    let went_on = position.and_then(|at| replication.go_on(&call.client.shared, &introduction, name, at));
    match went_on {
        Some(name) if introduction.knows_names => call.reply.simple(&format!("CONTINUE {name}")),
        Some(_) => call.reply.simple("CONTINUE"),
        None => {
            if name != b"?" {
                replication.partial_refused.fetch_add(1, Ordering::Relaxed);
            }
            replication.begin(&call.client.shared, &introduction, false);
        }
    }
    call.client.flags |= ClientFlags::FOLLOWER;
    Ok(())
}

fn sync(call: &mut Call<'_>) -> CommandResult {
    if !call.client.flags.contains(ClientFlags::FOLLOWER) {
        let introduction = call.client.introduction.take().unwrap_or_default();
        call.server.replication.begin(&call.client.shared, &introduction, true);
        call.client.flags |= ClientFlags::FOLLOWER;
    }
    Ok(())
}
