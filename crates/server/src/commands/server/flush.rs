//! DBSIZE, FLUSHALL, FLUSHDB
//!
//! Flushing swaps in empty tables; the old ones are freed in the background with SYNC and ASYNC alike. With SYNC the client is
//! answered when that is done and what it writes next finds the memory, as in Redis since 8.0; nobody else waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use swytch_resp::Reply;
use swytch_store::{Keyspace, KeyspaceMut};

use crate::command::prelude::*;
use crate::command::{Origin, Progress};
use crate::dispatch::park;
use crate::persistence::save;
use crate::server::background::Task;
use crate::server::{Mail, Server, WorkerShared};

pub static DBSIZE: CommandSpec = CommandSpec {
    name: "dbsize",
    summary: "Counts the keys of the selected database.",
    since: "1.0.0",
    group: Group::Server,
    arity: 1,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    reply: ReplyShape::Count,
    handler: Handler::ReadAll(dbsize),
    ..CommandSpec::DEFAULT
};

const FLUSH: CommandSpec = CommandSpec {
    group: Group::Server,
    arity: -1,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[Arg::one_of(
        "flush-type",
        &[Arg::flag("async", "ASYNC").since("4.0.0"), Arg::flag("sync", "SYNC").since("6.2.0")],
    )
    .optional()],
    history: &[
        ("4.0.0", "ASYNC frees memory in the background."),
        ("6.2.0", "SYNC asks for the opposite of ASYNC by name."),
    ],
    reply: ReplyShape::OK,
    ..CommandSpec::DEFAULT
};

pub static FLUSHALL: CommandSpec = CommandSpec {
    name: "flushall",
    summary: "Deletes the keys of all databases.",
    since: "1.0.0",
    complexity: "O(1) for others; the keys are freed in the background, and with SYNC the reply waits for that.",
    databases: DatabaseSpec::All,
    handler: Handler::WriteAll(|call, keyspace| {
        flush(call, keyspace, None)?;
        save_the_absence(call, keyspace);
        Ok(())
    }),
    ..FLUSH
};

pub static FLUSHDB: CommandSpec = CommandSpec {
    name: "flushdb",
    summary: "Deletes the keys of the selected database.",
    since: "1.0.0",
    complexity: "O(1) for others; the keys are freed in the background, and with SYNC the reply waits for that.",
    handler: Handler::WriteAll(|call, keyspace| {
        let db = call.client.db;
        flush(call, keyspace, Some(db))
    }),
    ..FLUSH
};

fn dbsize(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    call.reply.count(keyspace.sizes(call.client.db).0);
    Ok(())
}

fn flush(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, db: Option<u32>) -> CommandResult {
    let mut arguments = call.args.cursor(1);
    let is_lazy = match arguments.remaining() {
        0 => call.server.config.lazyfree_lazy_user_flush(),
        _ if arguments.word("ASYNC") => true,
        _ if arguments.word("SYNC") => false,
        _ => return Err(CommandError::Syntax),
    };
    arguments.end()?;
    keyspace.flush(db, call.client.db);
    if is_lazy || call.origin != Origin::Client {
        call.reply.ok();
    } else {
        answer_when_freed(call, keyspace);
    }
    Ok(())
}

fn answer_when_freed(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) {
    let left = keyspace.changes_mut().take_retired();
    if left.is_empty() {
        call.reply.ok();
        return;
    }
    let (freed, mailbox) = (Freed::default(), Arc::clone(&call.worker.mailbox));
    let is_done = Arc::clone(&freed.0);
    call.server.reclaimer.retire_and(left, move || {
        is_done.store(true, Ordering::SeqCst);
        mailbox.send(Mail::Released);
    });
    park::until(call, Box::new(freed), None);
}

/// Whether what was flushed has been freed.
#[derive(Debug, Default)]
struct Freed(Arc<AtomicBool>);

impl Progress for Freed {
    fn is_enough(&self, _: &Server, _: &WorkerShared) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn answer(&self, _: &Server, reply: &mut Reply<'_>) {
        reply.ok();
    }
}

/// Where data is saved by itself it does not come back from an older file once all of it was deleted, as in Redis.
fn save_the_absence(call: &Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) {
    // What is written is not to come back either.
    call.server.background.cancel(Task::Save);
    if call.server.config.save_points().is_empty() || !call.origin.is_limited() {
        return;
    }
    // The log says why it failed; the next save point tries again.
    if save::save(call.server, keyspace).is_ok() {
        keyspace.changes_mut().dirty = 0;
    }
}
