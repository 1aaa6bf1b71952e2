//! Transactions: the commands queued since MULTI, run under one lock set.

use std::sync::atomic::Ordering;

use swytch_store::{Keyspace, KeyspaceMut};

use super::admit::{self, abort_text};
use super::rights::{self, Denied};
use super::watch::discard;
use super::{changes, count, guard, locks, park, scope, show};
use crate::acl::Context;
use crate::clients::{Client, ClientFlags, QueuedCommand};
use crate::command::{Call, CommandError, CommandResult, CommandTable, CountedSlot, Origin};
use crate::server::{Conditions, Server};
use crate::system::clock::Ticks;
use crate::system::slot;

/// EXEC: runs the queue if no watched key has changed, as one atomic step.
pub fn exec(call: &mut Call<'_>) -> CommandResult {
    let result = if !call.client.in_multi() {
        Err(CommandError::text("ERR EXEC without MULTI"))
    } else if call.client.flags.contains(ClientFlags::DIRTY_EXEC) {
        discard(call.server, call.client);
        Err(CommandError::text("EXECABORT Transaction discarded because of previous errors."))
    } else {
        match lock_transaction(call) {
            Locked::Unchanged(keyspace) => return run_queue(call, keyspace),
            // It waits for the end of a pause as it is; an error ends it.
            Locked::Refused(Ok(())) => return Ok(()),
            Locked::Refused(Err(error)) => {
                discard(call.server, call.client);
                Err(CommandError::owned(abort_text(error.reply())))
            }
            Locked::Changed => {
                discard(call.server, call.client);
                call.reply.null_array();
                Ok(())
            }
        }
    };
    show(call);
    result
}

/// What was found when the locks of a transaction were taken.
enum Locked<'s> {
    /// It may run.
    Unchanged(Keyspace<'s>),
    /// A watched key has changed.
    Changed,
    /// Something else keeps it from running, or from running now.
    Refused(CommandResult),
}

fn lock_transaction<'s>(call: &mut Call<'s>) -> Locked<'s> {
    let server = call.server;
    let client = &*call.client;
    let scope = scope::of_transaction(call.commands, server, client);
    let keyspace = match locks::view(call, scope) {
        Ok(keyspace) => keyspace,
        Err(error) => return Locked::Refused(Err(error)),
    };
    if watched_key_changed(call.client, &keyspace, server) {
        return Locked::Changed;
    }
    let keyspace = match keyspace.locked().is_observed() {
        true => {
            let wide = park::widen(keyspace, server, |keyspace| {
                let concerns = |queued: &QueuedCommand| {
                    park::concerns_wide_waiter(keyspace, call.commands.queued(queued), &queued.args.as_args())
                };
                call.client.queue.iter().any(concerns)
            });
            match wide {
                Ok(keyspace) => keyspace,
                Err(error) => return Locked::Refused(Err(error)),
            }
        }
        false => keyspace,
    };
    if let Some(refused) = admit::refused_behind_locks(call) {
        return Locked::Refused(refused);
    }
    // While shards were added the first ones were released: look again.
    if watched_key_changed(call.client, &keyspace, server) {
        Locked::Changed
    } else {
        Locked::Unchanged(keyspace)
    }
}

fn run_queue<'s>(call: &mut Call<'s>, keyspace: Keyspace<'s>) -> CommandResult {
    let (commands, server, worker, now_ms) = (call.commands, call.server, call.worker, call.now_ms);
    call.freeze_time();
    if server.conditions().contains(Conditions::COUNTING_SLOTS) {
        call.counted_slot = slot_of(commands, &call.client.queue);
    }
    let queue = std::mem::take(&mut call.client.queue);
    call.client.flags &= !ClientFlags::MULTI;
    call.reply.array(queue.len());
    changes::make(server, worker, keyspace, |keyspace| {
        for queued in &queue {
            let (command, args) = (commands.queued(queued), queued.args.as_args());
            let reply = call.reply.nested(call.client.protocol);
            let client = &mut *call.client;
            let origin = Origin::Transaction;
            let mut inner = Call::new(commands, server, worker, client, command, args, reply, now_ms, origin);
            if let Some(others) = &mut call.others {
                inner.others = Some(&mut **others);
            }
            run_queued(&mut inner, keyspace);
        }
        show(call);
    });
    call.reply.set_protocol(call.client.protocol);
    call.origin = Origin::of(call.client);
    discard(server, call.client);
    Ok(())
}

/// The slot that a transaction is counted for: that of its first key.
fn slot_of(commands: &CommandTable, queue: &[QueuedCommand]) -> CountedSlot {
    let first = queue.iter().find_map(|queued| {
        let args = queued.args.as_args();
        let position = *commands.queued(queued).slot_positions(&args).first()?;
        Some(slot::of(args.get(position)))
    });
    first.map_or(CountedSlot::None, CountedSlot::Known)
}

/// One command of a transaction; its error is its reply and the others run all the same.
fn run_queued(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) {
    let started = Ticks::now();
    let failed =
        guard::run(call, |call| match rights::check(call, call.command, call.args, Context::Transaction) {
            Some(denied) => Err(CommandError::owned(no_longer_allowed(denied))),
            None => locks::handle_within(call, keyspace),
        });
    // What follows from what it met comes before what the next command does.
    keyspace.attend_to_met();
    show(call);
    count::lookups(call.worker, keyspace);
    count::call(call, Ticks::now().since(started), failed);
}

fn no_longer_allowed(denied: Denied) -> String {
    let reason = match denied {
        Denied::Database(..) => "no permission to access the database",
        Denied::Command => "no permission to execute the command or subcommand",
        Denied::Key(_) => "no permission to touch the specified keys",
        Denied::Channel(_) => "no permission to access one of the channels used as arguments",
    };
    format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
         is no longer allowed for the following reason: {reason}"
    )
}

/// True when the transaction must not run: a watched key was changed, or has expired since.
fn watched_key_changed(client: &Client, keyspace: &Keyspace<'_>, server: &Server) -> bool {
    client.watch_flag.load(Ordering::Acquire)
        || client
            .watched
            .iter()
            .any(|(db, key, was_live)| was_live && keyspace.is_expired(&server.shards.key(db, key)))
}
