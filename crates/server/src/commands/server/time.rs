//! TIME

use crate::command::Origin;
use crate::command::prelude::*;
use crate::system::clock;

pub static TIME: CommandSpec = CommandSpec {
    name: "time",
    summary: "Returns the server's clock as Unix seconds and microseconds.",
    since: "2.6.0",
    group: Group::Server,
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    tips: &["nondeterministic_output"],
    reply: ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text]),
    handler: Handler::Session(time),
    ..CommandSpec::DEFAULT
};

fn time(call: &mut Call<'_>) -> CommandResult {
    let now_us = match call.origin {
        Origin::Script | Origin::Transaction => call.client.frozen_us,
        _ => clock::unix_us(),
    } as i64;
    call.reply.array(2);
    call.reply.bulk_integer(now_us / 1_000_000);
    call.reply.bulk_integer(now_us % 1_000_000);
    Ok(())
}
