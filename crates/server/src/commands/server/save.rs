//! SAVE, LASTSAVE

use swytch_store::Keyspace;

use crate::command::prelude::*;
use crate::persistence::save;

pub static SAVE: CommandSpec = CommandSpec {
    name: "save",
    summary: "Writes all data to the file that `dir` and `dbfilename` name, and answers when it is on the disk.",
    since: "1.0.0",
    group: Group::Server,
    complexity: "O(N) for N bytes of data.",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING).union(Flags::NO_MULTI),
    reply: ReplyShape::OK,
    handler: Handler::ReadAll(save),
    ..CommandSpec::DEFAULT
};

pub static LASTSAVE: CommandSpec = CommandSpec {
    name: "lastsave",
    summary: "Returns the Unix time, in seconds, of the last successful save.",
    since: "1.0.0",
    group: Group::Server,
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::ADMIN.union(Categories::DANGEROUS),
    tips: &["nondeterministic_output"],
    reply: ReplyShape::Count,
    handler: Handler::Session(lastsave),
    ..CommandSpec::DEFAULT
};

fn save(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    save::save(call.server, keyspace).map_err(|error| CommandError::owned(format!("ERR {error}")))?;
    call.reply.ok();
    Ok(())
}

fn lastsave(call: &mut Call<'_>) -> CommandResult {
    call.reply.integer(call.server.saves.last_s() as i64);
    Ok(())
}
