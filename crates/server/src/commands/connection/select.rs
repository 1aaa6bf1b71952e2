//! SELECT

use crate::command::prelude::*;

pub static SELECT: CommandSpec = CommandSpec {
    name: "select",
    summary: "Switches the connection to another numbered database.",
    since: "1.0.0",
    group: Group::Connection,
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::CONNECTION,
    arguments: &[Arg::integer("index")],
    databases: DatabaseSpec::Selects,
    reply: ReplyShape::OK,
    handler: Handler::Session(select),
    ..CommandSpec::DEFAULT
};

fn select(call: &mut Call<'_>) -> CommandResult {
    let index = call.args.integer(1)?;
    if i32::try_from(index).is_err() {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    if index != 0 {
        call.refused_in_cluster("ERR SELECT is not allowed in cluster mode")?;
        call.server.note_cluster_incompatible();
    }
    call.client.db = call.db_index(call.args.get(1))?;
    call.reply.ok();
    Ok(())
}
