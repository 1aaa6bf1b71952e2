//! SWAPDB

use swytch_store::KeyspaceMut;

use crate::command::prelude::*;

pub static SWAPDB: CommandSpec = CommandSpec {
    name: "swapdb",
    summary: "Exchanges two databases at once: clients of either see the other's keys.",
    since: "4.0.0",
    group: Group::Server,
    complexity: "O(N) for N clients that watch keys of either database or wait for them.",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    arguments: &[Arg::integer("index1"), Arg::integer("index2")],
    databases: DatabaseSpec::At(&[1, 2]),
    reply: ReplyShape::OK,
    handler: Handler::WriteAll(swap),
    ..CommandSpec::DEFAULT
};

fn swap(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    call.refused_in_cluster("ERR SWAPDB is not allowed in cluster mode")?;
    let index = |at: usize, error: CommandError| {
        call.args.integer(at).ok().and_then(|index| i32::try_from(index).ok()).ok_or(error)
    };
    let first = index(1, CommandError::text("ERR invalid first DB index"))?;
    let second = index(2, CommandError::text("ERR invalid second DB index"))?;
    let databases = keyspace.databases();
    let in_range = |index: i32| u32::try_from(index).ok().filter(|index| *index < databases);
    let (Some(first), Some(second)) = (in_range(first), in_range(second)) else {
        return Err(CommandError::DbIndexOutOfRange);
    };
    call.server.note_cluster_incompatible();
    keyspace.swap_db(first, second);
    call.reply.ok();
    Ok(())
}
