//! PING

use crate::command::prelude::*;

pub static PING: CommandSpec = CommandSpec {
    name: "ping",
    summary: "Answers PONG, or the given text: a sign that the server is alive and reads this connection.",
    since: "1.0.0",
    group: Group::Connection,
    arity: -1,
    flags: Flags::FAST.union(Flags::TELLS_HEALTH).union(Flags::WHILE_LISTENING),
    categories: Categories::CONNECTION,
    arguments: &[Arg::string("message").optional()],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    reply: ReplyShape::OneOf(&[ReplyShape::Word(&["PONG"]), ReplyShape::Text, ReplyShape::TEXTS]),
    handler: Handler::Session(ping),
    ..CommandSpec::DEFAULT
};

fn ping(call: &mut Call<'_>) -> CommandResult {
    match call.args.len() {
        1 | 2 if call.client.only_listens() => {
            call.reply.array(2);
            call.reply.bulk(b"pong");
            call.reply.bulk(call.args.try_get(1).unwrap_or_default());
        }
        1 => call.reply.simple("PONG"),
        2 => call.reply.bulk(call.args.get(1)),
        _ => return Err(CommandError::wrong_arity("ping")),
    }
    Ok(())
}
