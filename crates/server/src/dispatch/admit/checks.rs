//! The checks, each a function of its own.
//!
//! Source: `processCommand` in Redis's `src/server.c`, whose order decides which of two errors a client sees.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use super::super::{rights, room, scope};
use super::Refusal;
use crate::clients::ClientFlags;
use crate::command::{Args, Call, Command, CommandError, Flags, Handler};
use crate::config::ProtectedAction;
use crate::server::{Conditions, Server};
use crate::system::clock::MonotonicMs;
use crate::system::{random, slot};

type Check = Result<(), Refusal>;

/// Every check, in Redis's order.
pub(super) fn in_order(call: &mut Call<'_>) -> Check {
    alive(call)?;
    arity(call)?;
    guard(call)?;
    authentication(call)?;
    transaction(call)?;
    rights(call)?;
    one_slot(call)?;
    memory_after_eviction(call)?;
    writable(call)?;
    listening(call)?;
    loading(call)?;
    script(call)?;
    monitor(call)?;
    pause(call)
}

/// The checks whose answer others can change while a command takes its locks.
pub(super) fn behind_locks(call: &mut Call<'_>) -> Check {
    alive(call)?;
    rights(call)?;
    memory(call)?;
    pause(call)
}

/// The checks of a parked client's command, once there is something to serve it with.
pub(super) fn when_served(call: &mut Call<'_>) -> Check {
    rights(call)?;
    memory(call)
}

/// The answer to a command that may use memory when too much is used.
pub(in crate::dispatch) const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// The answer to a write where too few followers keep up.
const FEW_FOLLOWERS: &str = "NOREPLICAS Not enough good replicas to write.";

/// The answer to a write where saves fail.
const DISK_FAILED: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to \
    disk. Commands that may modify the data set are disabled, because this instance is configured to report errors \
    during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for \
    details about the RDB error.";

/// The answer to a command that needs data that is not there yet.
const LOADING: &str = "LOADING Redis is loading the dataset in memory";

/// A killed client is gone for everybody, although its worker has not closed the connection yet. So are all when the data
/// was saved for the last time.
fn alive(call: &Call<'_>) -> Check {
    if call.server.conditions().contains(Conditions::STOPPING) {
        return Err(Refusal::Gone);
    }
    let killed = call.server.conditions().contains(Conditions::KILLING)
        && call.client.shared.killed.load(Ordering::SeqCst);
    if killed { Err(Refusal::Gone) } else { Ok(()) }
}

fn arity(call: &Call<'_>) -> Check {
    if call.command.accepts_arity(call.args.len()) {
        return Ok(());
    }
    Err(Refusal::Error(CommandError::wrong_arity(&call.command.full_name)))
}

/// Commands that a directive switches on, for all clients or those of this machine.
fn guard(call: &Call<'_>) -> Check {
    let Some(guard) = call.command.spec.guard else { return Ok(()) };
    let allowed = match (guard.level)(&call.server.config) {
        ProtectedAction::Yes => true,
        ProtectedAction::Local => call.client.shared.is_local(),
        ProtectedAction::No => false,
    };
    if allowed {
        return Ok(());
    }
    let text = format!(
        "ERR {} command not allowed. If the {} option is set to \"local\", you can run it from a local connection, \
         otherwise you need to set this option in the configuration file, and then restart the server.",
        call.command.spec.name.to_uppercase(),
        guard.directive
    );
    Err(Refusal::Error(CommandError::owned(text)))
}

fn authentication(call: &Call<'_>) -> Check {
    let is_known = call.client.authenticated || call.server.users.lets_everybody_in();
    if is_known || call.command.is(Flags::NO_AUTH) {
        return Ok(());
    }
    Err(Refusal::Error(CommandError::text("NOAUTH Authentication required.")))
}

fn transaction(call: &Call<'_>) -> Check {
    if call.client.in_multi() && call.command.is(Flags::NO_MULTI) {
        return Err(Refusal::Error(CommandError::text("ERR Command not allowed inside a transaction")));
    }
    Ok(())
}

/// What the client's user may not do is refused, and noted.
fn rights(call: &mut Call<'_>) -> Check {
    let context = rights::context_of(call);
    let Some(denied) = rights::check(call, call.command, call.args, context) else { return Ok(()) };
    let text = denied.text(&call.client.user, call.command, &call.args, false);
    Err(Refusal::Error(CommandError::owned([b"NOPERM ", &text[..]].concat())))
}

/// Keys, and those of all commands of a transaction that is to run, may have to be in one slot.
fn one_slot(call: &Call<'_>) -> Check {
    let rule = SlotRule::of(call);
    if rule == SlotRule::None {
        return Ok(());
    }
    let queue = call.client.queue.iter().filter(|_| call.command.is(Flags::RUNS_QUEUE));
    let queued = queue.map(|queued| (call.commands.queued(queued), queued.args.as_args()));
    let all = std::iter::once((call.command, call.args)).chain(queued);
    if !are_across_slots(all) {
        return Ok(());
    }
    rule.note(call);
    if rule == SlotRule::Kept { Err(Refusal::AcrossSlots) } else { Ok(()) }
}

/// What it means that keys are in several slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotRule {
    /// Nothing.
    #[default]
    None,
    /// It is counted as what a cluster would refuse.
    Counted,
    /// It is refused.
    Kept,
}

impl SlotRule {
    /// What it means for a call; where it is counted, for so many of a hundred.
    pub fn of(call: &Call<'_>) -> SlotRule {
        let conditions = call.server.conditions();
        let is_looked_at = || {
            let ratio = call.server.config.cluster_compatibility_sample_ratio();
            conditions.contains(Conditions::FITTING) && random::next_u64() % 100 < u64::from(ratio)
        };
        match () {
            () if !call.origin.is_limited() => SlotRule::None,
            () if conditions.contains(Conditions::ONE_SLOT) => SlotRule::Kept,
            () if is_looked_at() => SlotRule::Counted,
            () => SlotRule::None,
        }
    }

    /// Counts what a cluster would refuse.
    pub fn note(self, call: &Call<'_>) {
        if self == SlotRule::Counted {
            call.server.note_cluster_incompatible();
        }
    }
}

/// Whether commands that run together have keys in several slots.
pub(in crate::dispatch) fn are_across_slots<'a>(
    commands: impl Iterator<Item = (&'static Command, Args<'a>)>,
) -> bool {
    slot::are_several(
        commands.flat_map(|(command, args)| {
            command.slot_positions(&args).into_iter().map(move |at| args.get(at))
        }),
    )
}

/// Makes room where memory is over its limit, as far as that can be done.
fn memory_after_eviction(call: &Call<'_>) -> Check {
    let conditions = call.server.conditions();
    // Where nothing can be evicted only those look again who are to be refused.
    if conditions.contains(Conditions::OVER_LIMIT) && !conditions.contains(Conditions::OUT_OF_MEMORY)
        || memory(call).is_err()
    {
        room::make(call.server, call.worker);
    }
    memory(call)
}

fn memory(call: &Call<'_>) -> Check {
    let refused = call.server.conditions().contains(Conditions::OUT_OF_MEMORY)
        && call.origin.is_limited()
        && flags(call).contains(Flags::DENYOOM);
    if refused { Err(Refusal::Error(CommandError::text(OUT_OF_MEMORY))) } else { Ok(()) }
}

fn writable(call: &Call<'_>) -> Check {
    let holds = !(call.server.conditions() & UNWRITABLE).is_empty() && call.origin.is_limited();
    let fault = if holds { unwritable(call.server, flags(call)) } else { None };
    fault.map_or(Ok(()), |fault| Err(Refusal::Error(CommandError::owned(fault.into_owned()))))
}

/// Conditions under which nothing may be written.
const UNWRITABLE: Conditions =
    Conditions::SAVE_FAILED.union(Conditions::LOG_FAILED).union(Conditions::FEW_FOLLOWERS);

/// Why a command with these properties does not run, if that is because too little of what it writes could be saved, or too
/// few followers keep up. While saves fail PING says so too, to whoever watches the server.
pub(in crate::dispatch) fn unwritable(server: &Server, flags: Flags) -> Option<Cow<'static, str>> {
    let told = flags.intersects(Flags::WRITE | Flags::TELLS_HEALTH);
    if told && let Some(fault) = disk_fault(server) {
        return Some(Cow::Owned(fault));
    }
    let few = if flags.contains(Flags::WRITE) { lacks_followers(server) } else { None };
    few.map(Cow::Borrowed)
}

/// Why nothing may be written, if that is because too few followers keep up.
pub fn lacks_followers(server: &Server) -> Option<&'static str> {
    server.conditions().contains(Conditions::FEW_FOLLOWERS).then_some(FEW_FOLLOWERS)
}

fn listening(call: &Call<'_>) -> Check {
    if !call.client.only_listens() || call.command.is(Flags::WHILE_LISTENING) {
        return Ok(());
    }
    Err(Refusal::Error(CommandError::owned(format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        call.command.full_name
    ))))
}

/// Whether nothing may be written because it could not be saved.
pub fn refuses_writes(server: &Server) -> bool {
    disk_fault(server).is_some()
}

/// Why nothing may be written, if that is because it could not be saved.
fn disk_fault(server: &Server) -> Option<String> {
    let failed = Conditions::SAVE_FAILED | Conditions::LOG_FAILED;
    if !server.conditions().intersects(failed) {
        return None;
    }
    let config = &server.config;
    if server.conditions().contains(Conditions::SAVE_FAILED)
        && config.stop_writes_on_bgsave_error()
        && !config.save_points().is_empty()
    {
        return Some(DISK_FAILED.to_owned());
    }
    let fault = server.log.state.fault.lock();
    fault.as_ref().map(|fault| format!("MISCONF Errors writing to the AOF file: {fault}"))
}

fn loading(call: &Call<'_>) -> Check {
    let refused = call.server.conditions().contains(Conditions::LOADING)
        && call.origin.is_limited()
        && !call.command.is(Flags::LOADING);
    if refused { Err(Refusal::Error(CommandError::text(LOADING))) } else { Ok(()) }
}

/// A script has shards for too long that the command needs; a transaction is spoilt before it comes to that.
fn script(call: &Call<'_>) -> Check {
    let refused = call.server.conditions().contains(Conditions::OVERDUE) && scope::is_kept_by_script(call);
    if refused { Err(Refusal::Error(scope::busy(call.server))) } else { Ok(()) }
}

/// A client that follows is never paused, so it must not touch the data. One that monitors is to Redis of that kind.
fn monitor(call: &Call<'_>) -> Check {
    let touches = Flags::WRITE | Flags::READONLY | Flags::MAY_REPLICATE;
    if call.client.flags.intersects(ClientFlags::REPLICAS) && flags(call).intersects(touches) {
        return Err(Refusal::Error(CommandError::text("ERR Replica can't interact with the keyspace")));
    }
    Ok(())
}

fn pause(call: &Call<'_>) -> Check {
    let server = call.server;
    if server.conditions().contains(Conditions::LAGGING) && writes(call) {
        return Err(Refusal::Later);
    }
    let is_paused = server.conditions().contains(Conditions::PAUSED);
    if !is_paused || call.client.flags.intersects(ClientFlags::REPLICAS) {
        return Ok(());
    }
    let now = MonotonicMs::now();
    server.end_pause(now, None);
    if server.pause.holds(writes(call), now) { Err(Refusal::Later) } else { Ok(()) }
}

/// Whether something may come of it that others read in its order.
fn writes(call: &Call<'_>) -> bool {
    flags(call).intersects(Flags::WRITE | Flags::MAY_REPLICATE)
}

/// The properties of the command; of one that runs a queue, also those of the commands in it; of one that runs a script,
/// those of the script.
fn flags(call: &Call<'_>) -> Flags {
    let of = |command: &Command, args: &Args<'_>| match command.spec.handler {
        Handler::Script(script) => (script.flags)(call.server, command, args),
        _ => command.spec.flags,
    };
    let own = of(call.command, &call.args);
    if !own.contains(Flags::RUNS_QUEUE) {
        return own;
    }
    let queued = call.client.queue.iter();
    queued.fold(own, |all, queued| all | of(call.commands.queued(queued), &queued.args.as_args()))
}
