//! REPLICAOF, SLAVEOF: this server follows nobody.

use crate::command::prelude::*;

const BASE: CommandSpec = CommandSpec {
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING).union(Flags::STALE),
    arguments: &[Arg::one_of(
        "args",
        &[
            Arg::block("host-port", &[Arg::string("host"), Arg::integer("port")]),
            Arg::block("no-one", &[Arg::flag("no", "NO"), Arg::flag("one", "ONE")]),
        ],
    )],
    reply: ReplyShape::OK,
    differs: "Replicas can follow this server; it follows nobody itself, so only NO ONE is accepted.",
    handler: Handler::Session(replicaof),
    ..CommandSpec::DEFAULT
};

pub static REPLICAOF: CommandSpec = CommandSpec {
    name: "replicaof",
    summary: "Makes a server follow another one, or nobody.",
    since: "5.0.0",
    ..BASE
};

pub static SLAVEOF: CommandSpec = CommandSpec {
    name: "slaveof",
    summary: "Does what REPLICAOF does, under its older name.",
    since: "1.0.0",
    deprecated: Some(("5.0.0", "`REPLICAOF`")),
    ..BASE
};

fn replicaof(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(1);
    if arguments.word("NO") && arguments.word("ONE") {
        call.reply.ok();
        return Ok(());
    }
    if !(0..=0xffff)
        .contains(&call.args.integer(2).map_err(|_| CommandError::text("ERR Invalid master port"))?)
    {
        return Err(CommandError::text("ERR Invalid master port"));
    }
    Err(CommandError::text("ERR this server does not replicate from a primary; replicas can follow it"))
}
