//! Takes a request: lets it run, queues it in a transaction, or answers why not.

use std::sync::atomic::Ordering;

use super::{admit, count, lookup, rights, run};
use crate::command::{Args, Call, Command, Flags, Outcome};
use crate::server::Conditions;
use crate::system::clock::Ticks;

/// A request with what is known about it before it runs.
#[derive(Debug)]
pub struct Request<'a> {
    /// The command's name and arguments.
    pub args: Args<'a>,
    /// What the name means, if the batch has looked it up.
    pub command: Option<&'static Command>,
    /// See [`Call::key_hash`].
    pub key_hash: Option<u64>,
}

/// Runs one request of the call's client and appends its reply. What the call holds of another request is replaced.
/// `clock` is read where the last request ended and set to where this one did.
#[inline(always)]
pub fn execute<'a>(call: &mut Call<'a>, request: Request<'a>, clock: &mut Ticks) -> Outcome {
    call.args = request.args;
    call.key_hash = request.key_hash;
    if let Some(command) = request.command
        && command.runs_with(request.args.len())
        && call.client.is_plain()
        && Conditions::REFUSING.intersection(call.server.conditions()).is_empty()
    {
        // The common case: nothing can refuse or delay the command, and nobody watches it.
        call.client.shared.last_command.store(command.index, Ordering::Relaxed);
        call.command = command;
        return run::run(call, clock);
    }
    execute_checked(call, request.command, clock)
}

/// [`execute`] where something may refuse, delay, queue or show the command.
#[inline(never)]
fn execute_checked(call: &mut Call<'_>, command: Option<&'static Command>, clock: &mut Ticks) -> Outcome {
    call.command = match command {
        Some(command) if command.subcommands.is_empty() => command,
        _ => match lookup::resolve(call.commands, &call.args) {
            Ok(command) => command,
            Err(_) if lookup::is_of_a_web_page(&call.args) => {
                lookup::turn_away(call.client);
                return Outcome::Done;
            }
            Err(error) => {
                call.client.shared.last_command.store(usize::MAX, Ordering::Relaxed);
                return admit::reject_unknown(call, &error);
            }
        },
    };
    // Who is seen to have asked to leave its channels has left them.
    let (shown, is_shown_after) = (call.command.index, call.command.is(Flags::PUBSUB));
    if !is_shown_after {
        call.client.shared.last_command.store(shown, Ordering::Relaxed);
    }
    let outcome = admit_and_run(call, clock);
    if is_shown_after {
        call.client.shared.last_command.store(shown, Ordering::Release);
    }
    outcome
}

fn admit_and_run(call: &mut Call<'_>, clock: &mut Ticks) -> Outcome {
    if let Some(outcome) = admit::admit(call) {
        return outcome;
    }
    if call.client.in_multi() && !call.command.is(Flags::IN_MULTI) {
        let selects = rights::selected_by(call.command, &call.args, call.server.shards.databases() as u32);
        call.client.enqueue(call.command.index, call.args.to_owned(), selects);
        call.reply.simple("QUEUED");
        if call.server.conditions().contains(Conditions::COUNTING_SLOTS) {
            count::queued(call);
        }
        return Outcome::Done;
    }
    run::run_shown(call, clock)
}
