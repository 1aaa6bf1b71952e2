//! What can refuse or delay a command, in Redis's order; once before it takes its locks, and once behind them.
//!
//! Neighbours: `conditions` says which condition must be asked about where; `execute` comes here unless a command is
//! plain, its client too, and no condition holds.

mod checks;

pub(super) use checks::{OUT_OF_MEMORY, are_across_slots, unwritable};
pub use checks::{SlotRule, lacks_followers, refuses_writes};

use super::conditions::BEHIND_LOCKS;
use super::{count, watch};
use crate::clients::ClientFlags;
use crate::command::{Call, CommandError, CommandResult, Flags, Outcome};

/// Why a command does not run.
#[derive(Debug)]
enum Refusal {
    /// It is answered this error.
    Error(CommandError),
    /// Its keys are in several slots.
    AcrossSlots,
    /// It is tried again when the pause has ended.
    Later,
    /// Its client was killed: nothing of it counts any more.
    Gone,
}

/// Asks everything of a command that is about to run; what has become of it when it may not.
pub(super) fn admit(call: &mut Call<'_>) -> Option<Outcome> {
    match checks::in_order(call) {
        Ok(()) => None,
        Err(Refusal::Error(error)) => Some(reject(call, error.reply())),
        Err(Refusal::AcrossSlots) => Some(reject_across_slots(call)),
        Err(Refusal::Later) => Some(Outcome::Paused),
        Err(Refusal::Gone) => {
            call.close_after_reply();
            Some(Outcome::Done)
        }
    }
}

/// Asks again of a command that holds its locks, and has changed nothing yet, what others may have changed meanwhile;
/// its result when it may not run after all.
#[inline]
pub(super) fn refused_behind_locks(call: &mut Call<'_>) -> Option<CommandResult> {
    if !call.server.conditions().intersects(BEHIND_LOCKS) && call.client.user.is_free() {
        return None;
    }
    match checks::behind_locks(call).err()? {
        Refusal::Error(error) => return Some(Err(error)),
        Refusal::AcrossSlots => return Some(Err(CommandError::text(ACROSS_SLOTS))),
        Refusal::Later => call.outcome = Outcome::Paused,
        Refusal::Gone => call.close_after_reply(),
    }
    Some(Ok(()))
}

/// Asks of a parked client's command whether it may run although it was sent long ago, and answers it if it may not. A
/// pause that has begun since waits for the writer that serves the client.
pub(super) fn is_refused_when_served(call: &mut Call<'_>) -> bool {
    match checks::when_served(call) {
        Err(Refusal::Error(error)) => {
            reject(call, error.reply());
            true
        }
        Ok(()) | Err(Refusal::AcrossSlots | Refusal::Later | Refusal::Gone) => false,
    }
}

/// Answers an error to a request that names no command.
#[cold]
pub(super) fn reject_unknown(call: &mut Call<'_>, error: &CommandError) -> Outcome {
    spoil(call);
    answer(call, error.reply())
}

/// Answers an error to a command that does not run. EXEC that cannot run ends the transaction, if there is one, with its
/// own error.
#[cold]
fn reject(call: &mut Call<'_>, text: &[u8]) -> Outcome {
    spoil(call);
    call.worker.stats.commands[call.command.index].rejected.add(1);
    if call.command.is(Flags::RUNS_QUEUE) {
        watch::discard(call.server, call.client);
        let outcome = answer(call, &abort_text(text));
        super::show(call);
        return outcome;
    }
    answer(call, text)
}

/// The answer to keys of several slots where that is not allowed.
const ACROSS_SLOTS: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// Answers the error that clients of a cluster know by its code, also to EXEC, which ends its transaction.
#[cold]
fn reject_across_slots(call: &mut Call<'_>) -> Outcome {
    spoil(call);
    call.worker.stats.commands[call.command.index].rejected.add(1);
    if call.command.is(Flags::RUNS_QUEUE) {
        watch::discard(call.server, call.client);
    }
    answer(call, ACROSS_SLOTS.as_bytes())
}

/// The error of EXEC that is refused for a reason other than its commands.
pub(super) fn abort_text(reason: &[u8]) -> Vec<u8> {
    [b"EXECABORT Transaction discarded because of: ", reason.strip_prefix(b"ERR ").unwrap_or(reason)].concat()
}

/// A transaction that is being queued is spoilt by a command that is not accepted.
fn spoil(call: &mut Call<'_>) {
    if call.client.in_multi() {
        call.client.flags |= ClientFlags::DIRTY_EXEC;
    }
}

fn answer(call: &mut Call<'_>, text: &[u8]) -> Outcome {
    count::error(call.server, call.worker, text);
    call.reply.error(text);
    Outcome::Done
}
