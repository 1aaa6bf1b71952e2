//! What MONITOR shows of a command.

use std::borrow::Cow;

use crate::clients::{Client, ClientFlags};
use crate::command::{Call, Flags, Origin, Outcome};
use crate::request::redact;
use crate::server::{Conditions, Mail, Outbox};
use crate::system::{clock, escape};

/// Shows a command that has run, or is certain to, to those who monitor. Its locks are held, so lines about a key are in
/// the order of what happened to it. A command that waits for the end of a pause has not run.
pub(super) fn show(call: &Call<'_>) {
    if !call.command.spec.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN) {
        show_script(call);
    }
}

/// Shows a script, which does so itself: before the commands that it calls.
pub fn show_script(call: &Call<'_>) {
    if call.server.conditions().contains(Conditions::MONITORED)
        && call.origin.is_shown()
        && !matches!(call.outcome, Outcome::Paused)
    {
        let line = line(call);
        call.server.monitors.show(clock::unix_us(), &line, |monitor, bytes| {
            let mail = Mail::Deliver { client: monitor.client, bytes };
            Outbox::send(call.server, monitor.worker, mail);
        });
    }
}

/// `[0 127.0.0.1:60866] "keys" "*"`
fn line(call: &Call<'_>) -> Vec<u8> {
    let (sender, args) = (&*call.client, &call.args);
    let address = if call.origin == Origin::Script { Cow::Borrowed("lua") } else { shown_address(sender) };
    let mut line = format!("[{} {address}]", sender.db).into_bytes();
    for index in 0..args.len() {
        line.push(b' ');
        escape::push_quoted(&mut line, redact::shown(args, index));
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// The sender's address; for the unix socket, its path.
fn shown_address(sender: &Client) -> Cow<'_, str> {
    let address = sender.shared.address.as_str();
    if sender.flags.contains(ClientFlags::UNIX_SOCKET) {
        return Cow::Owned(format!("unix:{}", address.strip_suffix(":0").unwrap_or(address)));
    }
    Cow::Borrowed(address)
}
