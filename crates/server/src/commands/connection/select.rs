//! SELECT

use crate::commands::{
    Arg, Call, Categories, CommandError, CommandResult, CommandSpec, Flags, Group, Handler,
};

pub static SELECT: CommandSpec = CommandSpec {
    name: "select",
    summary: "Changes the selected database.",
    since: "1.0.0",
    group: Group::Connection,
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::CONNECTION,
    arguments: &[Arg::integer("index")],
    handler: Handler::Session(select),
    ..CommandSpec::DEFAULT
};

fn select(call: &mut Call<'_>) -> CommandResult {
    let invalid = |error| match error {
        CommandError::NotAnInteger => CommandError::text("ERR invalid DB index"),
        other => other,
    };
    call.client.db = call.db_index(call.args.get(1)).map_err(invalid)?;
    call.reply.ok();
    Ok(())
}
