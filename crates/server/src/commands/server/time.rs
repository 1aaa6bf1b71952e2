//! TIME, LASTSAVE

use std::sync::atomic::Ordering;

use crate::command::prelude::*;
use crate::system::clock;

const TELL: CommandSpec = CommandSpec {
    group: Group::Server,
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    tips: &["nondeterministic_output"],
    ..CommandSpec::DEFAULT
};

pub static TIME: CommandSpec = CommandSpec {
    name: "time",
    summary: "Returns the server's clock as Unix seconds and microseconds.",
    since: "2.6.0",
    reply: ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text]),
    handler: Handler::Session(time),
    ..TELL
};

pub static LASTSAVE: CommandSpec = CommandSpec {
    name: "lastsave",
    summary: "Returns the Unix time, in seconds, of the last successful save.",
    since: "1.0.0",
    categories: Categories::ADMIN.union(Categories::DANGEROUS),
    reply: ReplyShape::Count,
    differs: "Nothing is saved yet: the time is that of the start.",
    handler: Handler::Session(lastsave),
    ..TELL
};

fn time(call: &mut Call<'_>) -> CommandResult {
    let now_us = clock::unix_us() as i64;
    call.reply.array(2);
    call.reply.bulk_integer(now_us / 1_000_000);
    call.reply.bulk_integer(now_us % 1_000_000);
    Ok(())
}

/// As in Redis, a server that has never saved answers the time of its start.
fn lastsave(call: &mut Call<'_>) -> CommandResult {
    call.reply.integer(call.server.last_save_s.load(Ordering::Relaxed) as i64);
    Ok(())
}
