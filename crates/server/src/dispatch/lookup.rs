//! The command that a request names, and the errors for one that names none.

use crate::clients::{Client, ClientFlags};
use crate::command::{Args, Command, CommandError, CommandTable, Handler};

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
