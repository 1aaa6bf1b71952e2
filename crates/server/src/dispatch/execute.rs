//! Checks a request in Redis's order, queues it in a transaction, or runs it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swytch_store::Waiter;

use super::run;
use crate::clients::{Client, ClientFlags};
use crate::command::{Args, Call, Command, CommandError, Flags, Handler};
use crate::commands::server::debug;
use crate::server::{Conditions, Server, WorkerShared};
use crate::system::clock::Ticks;

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

/// Runs one request of the call's client and appends its reply. What the call holds of another request is replaced.
/// `clock` is read where the last request ended and set to where this one did.
#[inline(always)]
pub fn execute<'a>(call: &mut Call<'a>, request: Request<'a>, clock: &mut Ticks) -> Outcome {
    call.args = request.args;
    call.key_hash = request.key_hash;
    if let Some(command) = request.command
        && command.runs_with(request.args.len())
        && call.client.is_plain()
        && call.server.conditions().is_empty()
    {
        // The common case: nothing can refuse or delay the command, and nobody watches it.
        return run_now(call, command, clock);
    }
    execute_checked(call, request.command, clock)
}

/// [`execute`] where something may refuse, delay, queue or show the command.
#[inline(never)]
fn execute_checked(call: &mut Call<'_>, command: Option<&'static Command>, clock: &mut Ticks) -> Outcome {
    let (server, args) = (call.server, call.args);
    let command = match command {
        Some(command) if command.subcommands.is_empty() => command,
        _ => match resolve(server, &args) {
            Ok(command) => command,
            Err(_) if is_of_a_web_page(&args) => return turn_away(call.client),
            Err(error) => return reject(call, None, &error.reply()),
        },
    };
    call.client.shared.last_command.store(command.index, Ordering::Relaxed);
    if let Err(text) = admit(server, call.client, command, &args) {
        return reject(call, Some(command), &text);
    }
    let conditions = server.conditions();
    if conditions.contains(Conditions::PAUSED) && server.is_paused_for(command, call.client, call.now_ms) {
        return Outcome::Paused;
    }
    if call.client.in_multi() && !is_transaction_control(command) {
        if command.is(Flags::NO_MULTI) {
            return reject(call, Some(command), "ERR Command not allowed inside a transaction");
        }
        if command.spec.name == "debug"
            && let Err(error) = debug::check_allowed(server, call.client)
        {
            return reject(call, Some(command), &error.reply());
        }
        call.client.enqueue(command, args.to_owned());
        call.reply.simple("QUEUED");
        return Outcome::Done;
    }
    let outcome = run_now(call, command, clock);
    // Afterwards, so that EXEC is shown behind the commands of its transaction.
    if conditions.contains(Conditions::MONITORED)
        && !command.spec.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN)
    {
        server.show_to_monitors(call.client.db, call.client, &args);
    }
    outcome
}

/// Runs a command that has passed all checks.
#[inline(always)]
fn run_now(call: &mut Call<'_>, command: &'static Command, clock: &mut Ticks) -> Outcome {
    call.client.shared.last_command.store(command.index, Ordering::Relaxed);
    call.command = command;
    run::run(call, clock)
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

/// Lines of an HTTP request that no client of ours sends, but a browser does that a web page has sent here.
fn is_of_a_web_page(args: &Args<'_>) -> bool {
    args.get(0).eq_ignore_ascii_case(b"host:") || args.get(0).eq_ignore_ascii_case(b"post")
}

/// Closes the connection before a page's author can hide commands in the rest of the request ("cross protocol
/// scripting").
#[cold]
fn turn_away(client: &mut Client) -> Outcome {
    crate::observe::logging::limited!(
        warn,
        "web pages' requests",
        client = client.id(),
        address = %client.shared.address,
        "closing a connection that sent POST or Host:, as if a web page were made to send commands"
    );
    client.flags |= ClientFlags::CLOSE_AFTER_REPLY;
    Outcome::Done
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
fn reject(call: &mut Call<'_>, command: Option<&'static Command>, text: &str) -> Outcome {
    if call.client.in_multi() {
        call.client.flags |= ClientFlags::DIRTY_EXEC;
    }
    if let Some(command) = command {
        call.worker.stats.commands[command.index].rejected.add(1);
    }
    // EXEC that cannot run ends the transaction, if there is one, with its own error.
    let text = if command.is_some_and(|command| command.spec.name == "exec") {
        super::transaction::discard(call.server, call.client);
        let reason = text.trim_start_matches("ERR ");
        Cow::Owned(format!("EXECABORT Transaction discarded because of: {reason}"))
    } else {
        Cow::Borrowed(text)
    };
    count_error(call.server, call.worker, &text);
    call.reply.error(&text);
    Outcome::Done
}

/// Counts an error reply.
#[cold]
pub fn count_error(server: &Server, worker: &WorkerShared, text: &str) {
    worker.stats.error_replies.add(1);
    server.errors.count(text);
}
