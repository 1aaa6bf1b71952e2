//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE

use swytch_store::Keyspace;

use crate::command::prelude::*;
use crate::dispatch::scope::busy;
use crate::persistence::background::{self, Refused};
use crate::persistence::save;
use crate::server::background::Task;

const SAVING: &str = "ERR Background save already in progress";
const REWRITING: &str = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
    schedule a BGSAVE whenever possible.";

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

pub static BGSAVE: CommandSpec = CommandSpec {
    name: "bgsave",
    summary: "Writes all data as it is now to its file, in the background.",
    since: "1.0.0",
    group: Group::Server,
    complexity: "O(1) before it is answered; O(N) for N bytes of data in the background.",
    arity: -1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING),
    history: &[("3.2.2", "SCHEDULE.")],
    arguments: &[Arg::flag("schedule", "SCHEDULE").optional().since("3.2.2")],
    reply: ReplyShape::Line,
    handler: Handler::Session(save_in_background),
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
    handler: Handler::Session(rewrite_log),
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
    if call.server.background.since_s(Task::Save).is_some() {
        return Err(CommandError::text(SAVING));
    }
    save::save(call.server, keyspace).map_err(|error| CommandError::owned(format!("ERR {error}")))?;
    call.reply.ok();
    Ok(())
}

fn save_in_background(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(1);
    let (schedules, cancels) = (arguments.word("SCHEDULE"), arguments.word("CANCEL"));
    if arguments.remaining() > 0 || (schedules && cancels) {
        return Err(CommandError::Syntax);
    }
    let background = &call.server.background;
    if cancels {
        let word = match (background.cancel(Task::Save), background.unschedule(Task::Save)) {
            (true, _) => "Background saving cancelled",
            (false, true) => "Scheduled background saving cancelled",
            (false, false) => {
                return Err(CommandError::text(
                    "ERR Background saving is currently not in progress or scheduled",
                ));
            }
        };
        call.reply.simple(word);
        return Ok(());
    }
    match begin(call, Task::Save)? {
        Ok(()) => call.reply.simple("Background saving started"),
        Err(Some(Task::Save | Task::Sync)) if !schedules => return Err(CommandError::text(SAVING)),
        Err(Some(Task::Save)) => return Err(CommandError::text(SAVING)),
        Err(None) => schedule(call, Task::Save, "Background saving scheduled"),
        Err(Some(Task::Rewrite | Task::Sync)) if schedules => {
            schedule(call, Task::Save, "Background saving scheduled")
        }
        Err(Some(_)) => return Err(CommandError::text(REWRITING)),
    }
    Ok(())
}

fn rewrite_log(call: &mut Call<'_>) -> CommandResult {
    match begin(call, Task::Rewrite)? {
        Ok(()) => call.reply.simple("Background append only file rewriting started"),
        Err(Some(Task::Rewrite)) => {
            return Err(CommandError::text("ERR Background append only file rewriting already in progress"));
        }
        Err(_) => schedule(call, Task::Rewrite, "Background append only file rewriting scheduled"),
    }
    Ok(())
}

/// Begins to write, or says what is written already; nothing in a transaction, which has locks that the moment of the data would
/// wait for.
fn begin(call: &Call<'_>, task: Task) -> Result<Result<(), Option<Task>>, CommandError> {
    if let Some((running, _)) = call.server.background.running() {
        // As in Redis it is said in a transaction, too.
        if running == task || !call.origin.holds_locks() {
            return Ok(Err(Some(running)));
        }
    }
    if call.origin.holds_locks() {
        return Ok(Err(None));
    }
    match background::begin(call.server, task) {
        Ok(()) => Ok(Ok(())),
        Err(Refused::Running(running)) => Ok(Err(Some(running))),
        Err(Refused::Busy) => Err(busy(call.server)),
    }
}

fn schedule(call: &mut Call<'_>, task: Task, answer: &str) {
    call.server.background.schedule(task);
    call.reply.simple(answer);
}

fn lastsave(call: &mut Call<'_>) -> CommandResult {
    call.reply.integer(call.server.saves.last_s() as i64);
    Ok(())
}
