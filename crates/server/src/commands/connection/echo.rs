//! ECHO

use crate::command::prelude::*;

pub static ECHO: CommandSpec = CommandSpec {
    name: "echo",
    summary: "Answers with the text it is given.",
    since: "1.0.0",
    group: Group::Connection,
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::CONNECTION,
    arguments: &[Arg::string("message")],
    reply: ReplyShape::Text,
    handler: Handler::Session(echo),
    ..CommandSpec::DEFAULT
};

fn echo(call: &mut Call<'_>) -> CommandResult {
    call.reply.bulk(call.args.get(1));
    Ok(())
}
