//! SAVE, BGREWRITEAOF, LASTSAVE

use swytch_store::Keyspace;

use crate::command::prelude::*;
use crate::persistence::{append, save};
use crate::system::files;

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

pub static BGREWRITEAOF: CommandSpec = CommandSpec {
    name: "bgrewriteaof",
    summary: "Begins the append-only log anew with a base of the data as it is now.",
    since: "1.0.0",
    group: Group::Server,
    complexity: "O(N) for N bytes of data.",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING),
    reply: ReplyShape::Line,
    handler: Handler::ReadAll(rewrite_log),
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

fn rewrite_log(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    append::rewrite(call.server, keyspace).map_err(|error| {
        CommandError::owned(format!(
            "ERR Can't execute an AOF background rewriting. {}",
            files::error_text(&error)
        ))
    })?;
    // It is done, by the time that either can be read; Redis begins it behind a transaction.
    let word = if call.origin.holds_locks() { "scheduled" } else { "started" };
    call.reply.simple(&format!("Background append only file rewriting {word}"));
    Ok(())
}

fn lastsave(call: &mut Call<'_>) -> CommandResult {
    call.reply.integer(call.server.saves.last_s() as i64);
    Ok(())
}
