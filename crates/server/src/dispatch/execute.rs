//! Checks a request in Redis's order, queues it in a transaction, or runs it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swytch_resp::Reply;
use swytch_store::Waiter;

use super::run;
use crate::clients::{Client, ClientFlags, QueuedCommand};
use crate::clock::Ticks;
use crate::commands::server::debug;
use crate::commands::{Args, Call, Command, CommandError, Flags, Handler};
use crate::server::{Conditions, Server, WorkerShared};

/// A request with what is known about it before it runs.
#[derive(Debug)]
pub struct Request<'a> {
    /// The command's name and arguments.
    pub args: Args<'a>,
    /// What the name means, if the batch has looked it up.
    pub command: Option<&'static Command>,
    /// Hash of the only key, if the batch has computed it.
    pub key_hash: Option<u64>,
}

/// The answer to a command that may use memory when too much is used.
pub const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// What has become of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It is answered, or needs no answer.
    Done,
    /// The client waits; its next request must too.
    Blocked(Arc<Waiter>, Option<u64>),
    /// It must be tried again when the pause ends.
    Paused,
}

/// Runs one request of a client and appends its reply to `out`. `clock` is read where the last request ended
/// and set to where this one did.
#[inline(always)]
pub fn execute(
    server: &Server,
    worker: &WorkerShared,
    client: &mut Client,
    request: Request<'_>,
    out: &mut Vec<u8>,
    now_ms: u64,
    clock: &mut Ticks,
) -> Outcome {
    let Request { args, command, key_hash } = request;
    if let Some(command) = command
        && command.runs_with(args.len())
        && client.is_plain()
        && server.conditions().is_empty()
    {
        // The common case: nothing can refuse or delay the command, and nobody watches it.
        return run_now(server, worker, client, command, args, key_hash, out, now_ms, clock);
    }
    // Put together anew, so that in the common case its parts stay in registers.
    let request = Request { args, command, key_hash };
    execute_checked(server, worker, client, request, out, now_ms, clock)
}

/// [`execute`] where something may refuse, delay, queue or show the command.
fn execute_checked(
    server: &Server,
    worker: &WorkerShared,
    client: &mut Client,
    request: Request<'_>,
    out: &mut Vec<u8>,
    now_ms: u64,
    clock: &mut Ticks,
) -> Outcome {
    let args = request.args;
    let command = match request.command {
        Some(command) if command.subcommands.is_empty() => command,
        _ => match resolve(server, &args) {
            Ok(command) => command,
            Err(error) => {
                let text = error.reply().into_owned();
                return reject(server, worker, client, None, &text, out);
            }
        },
    };
    if let Err(text) = admit(server, client, command, &args) {
        return reject(server, worker, client, Some(command), &text, out);
    }
    let conditions = server.conditions();
    if conditions.contains(Conditions::PAUSED) && server.is_paused_for(command, client, now_ms) {
        return Outcome::Paused;
    }
    if client.in_multi() && !is_transaction_control(command) {
        if command.is(Flags::NO_MULTI) {
            let text = "ERR Command not allowed inside a transaction";
            return reject(server, worker, client, Some(command), text, out);
        }
        if command.spec.name == "debug"
            && let Err(error) = debug::check_allowed(server, client)
        {
            return reject(server, worker, client, Some(command), &error.reply(), out);
        }
        client.queued_bytes += args.bytes() as u64;
        client.queue.push(QueuedCommand { command, args: args.to_owned() });
        out.extend_from_slice(b"+QUEUED\r\n");
        return Outcome::Done;
    }
    let db = client.db;
    let outcome = run_now(server, worker, client, command, args, request.key_hash, out, now_ms, clock);
    // Afterwards, so that EXEC is shown behind the commands of its transaction.
    if conditions.contains(Conditions::MONITORED)
        && !command.spec.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN)
    {
        server.show_to_monitors(db, client, &args);
    }
    outcome
}

/// Runs a command that has passed all checks.
#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "one call site each, and a struct of them would be built per command"
)]
fn run_now(
    server: &Server,
    worker: &WorkerShared,
    client: &mut Client,
    command: &'static Command,
    args: Args<'_>,
    key_hash: Option<u64>,
    out: &mut Vec<u8>,
    now_ms: u64,
    clock: &mut Ticks,
) -> Outcome {
    client.shared.last_command.store(command.index, Ordering::Relaxed);
    let mut call = Call {
        command,
        args,
        reply: Reply::new(out, client.protocol),
        client,
        server,
        worker,
        now_ms,
        key_hash,
        in_exec: false,
        ready_key: None,
        block: None,
    };
    run::run(&mut call, clock)
}

/// The command or subcommand that the arguments name.
pub fn lookup(server: &Server, args: &Args<'_>) -> Option<&'static Command> {
    let command = server.commands.find(args.try_get(0)?)?;
    match args.try_get(1) {
        Some(name) if !command.subcommands.is_empty() => command.subcommand(name),
        _ => Some(command),
    }
}

/// Finds the command or subcommand that the arguments name, for running it.
pub fn resolve(server: &Server, args: &Args<'_>) -> Result<&'static Command, CommandError> {
    if let Some(command) = lookup(server, args) {
        return match command.spec.handler {
            Handler::Container => Err(CommandError::wrong_arity(command.spec.name)),
            _ => Ok(command),
        };
    }
    let Some(container) = server.commands.find(args.get(0)) else { return Err(unknown_command(args)) };
    let sub = args.try_get(1).unwrap_or_default();
    Err(CommandError::owned(format!(
        "ERR unknown subcommand '{}'. Try {} HELP.",
        String::from_utf8_lossy(&sub[..sub.len().min(128)]),
        container.spec.name.to_uppercase()
    )))
}

/// `ERR unknown command 'FOO', with args beginning with: 'a' 'b' `, bounded as in Redis.
fn unknown_command(args: &Args<'_>) -> CommandError {
    const SHOWN_BYTES: usize = 128;
    let mut shown = String::new();
    for argument in args.from(1) {
        if shown.len() >= SHOWN_BYTES {
            break;
        }
        let room = SHOWN_BYTES - shown.len();
        let part = String::from_utf8_lossy(&argument[..argument.len().min(room)]).into_owned();
        shown.push_str(&format!("'{part}' "));
    }
    let name = args.get(0);
    let name = String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES)]).into_owned();
    CommandError::owned(format!("ERR unknown command '{name}', with args beginning with: {shown}"))
}

/// Everything that can refuse a known command before it runs.
#[inline]
fn admit(
    server: &Server,
    client: &Client,
    command: &'static Command,
    args: &Args<'_>,
) -> Result<(), Cow<'static, str>> {
    if !command.accepts_arity(args.len()) {
        let error = CommandError::wrong_arity(&command.full_name);
        return Err(error.reply().into_owned().into());
    }
    if !client.authenticated && !command.is(Flags::NO_AUTH) {
        return Err("NOAUTH Authentication required.".into());
    }
    if server.conditions().contains(Conditions::OUT_OF_MEMORY) && may_use_memory(client, command) {
        server.check_memory();
        if server.conditions().contains(Conditions::OUT_OF_MEMORY) {
            return Err(OUT_OF_MEMORY.into());
        }
    }
    Ok(())
}

/// Whether a command is refused when memory is over its limit: EXEC is when one that it would run is.
#[cold]
fn may_use_memory(client: &Client, command: &Command) -> bool {
    command.is(Flags::DENYOOM)
        || (command.spec.name == "exec"
            && client.queue.iter().any(|queued| queued.command.is(Flags::DENYOOM)))
}

/// The commands that act at once while a transaction is queued.
fn is_transaction_control(command: &Command) -> bool {
    matches!(command.spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
        && command.container.is_none()
}

/// Answers an error to a request that did not run; a transaction that is being queued is spoilt.
#[cold]
fn reject(
    server: &Server,
    worker: &WorkerShared,
    client: &mut Client,
    command: Option<&'static Command>,
    text: &str,
    out: &mut Vec<u8>,
) -> Outcome {
    if client.in_multi() {
        client.flags |= ClientFlags::DIRTY_EXEC;
    }
    if let Some(command) = command {
        worker.stats.commands[command.index].rejected.add(1);
    }
    // EXEC that cannot run ends the transaction, if there is one, with its own error.
    if command.is_some_and(|command| command.spec.name == "exec") {
        super::transaction::discard(server, client);
        let reason = text.trim_start_matches("ERR ");
        let text = format!("EXECABORT Transaction discarded because of: {reason}");
        count_error(server, worker, &text);
        Reply::new(out, client.protocol).error(&text);
        return Outcome::Done;
    }
    count_error(server, worker, text);
    Reply::new(out, client.protocol).error(text);
    Outcome::Done
}

/// Counts an error reply.
#[cold]
pub fn count_error(server: &Server, worker: &WorkerShared, text: &str) {
    worker.stats.error_replies.add(1);
    server.errors.count(text);
}
