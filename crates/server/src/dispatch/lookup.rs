//! The command that a request names, and the errors for one that names none.

use crate::clients::{Client, ClientFlags};
use crate::command::{Args, Command, CommandError, CommandTable, Handler};
use crate::request::{QUOTED_BYTES_MAX, start_of};
use crate::system::escape::up_to_zero;

/// The command or subcommand that the arguments name.
pub fn lookup(commands: &CommandTable, args: &Args<'_>) -> Option<&'static Command> {
    let command = commands.find(args.try_get(0)?)?;
    match args.try_get(1) {
        Some(name) if !command.subcommands.is_empty() => command.subcommand(name),
        _ => Some(command),
    }
}

/// Finds the command or subcommand that the arguments name, for running it.
pub fn resolve(commands: &CommandTable, args: &Args<'_>) -> Result<&'static Command, CommandError> {
    if let Some(command) = lookup(commands, args) {
        return match command.spec.handler {
            Handler::Container => Err(CommandError::wrong_arity(command.spec.name)),
            _ => Ok(command),
        };
    }
    let Some(container) = commands.find(args.get(0)) else { return Err(unknown_command(args)) };
    let sub = args.try_get(1).unwrap_or_default();
    let after = format!("'. Try {} HELP.", container.spec.name.to_uppercase());
    Err(CommandError::quoting("ERR unknown subcommand '", start_of(sub), &after))
}

/// `ERR unknown command 'FOO', with args beginning with: 'a' 'b' `, bounded as in Redis, if there are arguments.
fn unknown_command(args: &Args<'_>) -> CommandError {
    let mut shown = Vec::new();
    for argument in args.from(1) {
        let Some(room) = QUOTED_BYTES_MAX.checked_sub(shown.len()).filter(|room| *room > 0) else { break };
        shown.push(b'\'');
        shown.extend_from_slice(up_to_zero(&argument[..argument.len().min(room)]));
        shown.extend_from_slice(b"' ");
    }
    let name = up_to_zero(start_of(args.get(0)));
    let between: &[u8] = if shown.is_empty() { b"'" } else { b"', with args beginning with: " };
    CommandError::owned([b"ERR unknown command '", name, between, &shown].concat())
}

/// Lines of an HTTP request that no client of ours sends, but a browser does that a web page has sent here.
pub(super) fn is_of_a_web_page(args: &Args<'_>) -> bool {
    args.get(0).eq_ignore_ascii_case(b"host:") || args.get(0).eq_ignore_ascii_case(b"post")
}

/// Closes the connection before a page's author can hide commands in the rest of the request ("cross protocol
/// scripting").
#[cold]
pub(super) fn turn_away(client: &mut Client) {
    crate::observe::logging::limited!(
        warn,
        "web pages' requests",
        client = client.id(),
        address = %client.shared.address,
        "closing a connection that sent POST or Host:, as if a web page were made to send commands"
    );
    client.flags |= ClientFlags::CLOSE_AFTER_REPLY;
}
