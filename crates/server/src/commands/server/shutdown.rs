//! SHUTDOWN

use crate::command::prelude::*;
use crate::dispatch::scope::busy;
use crate::persistence::save::{AtEnd, GoesOn, shut_down};
use crate::server::Conditions;

pub static SHUTDOWN: CommandSpec = CommandSpec {
    name: "shutdown",
    summary: "Ends the server process and every connection to it.",
    since: "1.0.0",
    group: Group::Server,
    arity: -1,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::NO_MULTI)
        .union(Flags::ALLOW_BUSY),
    history: &[("7.0.0", "NOW, FORCE and ABORT.")],
    arguments: &[
        Arg::one_of("save-selector", &[Arg::flag("nosave", "NOSAVE"), Arg::flag("save", "SAVE")]).optional(),
        Arg::flag("now", "NOW").optional().since("7.0.0"),
        Arg::flag("force", "FORCE").optional().since("7.0.0"),
        Arg::flag("abort", "ABORT").optional().since("7.0.0"),
    ],
    handler: Handler::Session(shutdown),
    ..CommandSpec::DEFAULT
};

fn shutdown(call: &mut Call<'_>) -> CommandResult {
    let (mut save, mut nosave, mut now, mut force, mut abort) = (false, false, false, false, false);
    let mut arguments = call.args.cursor(1);
    while arguments.remaining() > 0 {
        let known = [
            ("NOSAVE", &mut nosave),
            ("SAVE", &mut save),
            ("NOW", &mut now),
            ("FORCE", &mut force),
            ("ABORT", &mut abort),
        ]
        .into_iter()
        .any(|(word, given)| {
            let is_next = arguments.word(word);
            *given |= is_next;
            is_next
        });
        if !known {
            return Err(CommandError::Syntax);
        }
    }
    if (abort && (save || nosave || now || force)) || (save && nosave) {
        return Err(CommandError::Syntax);
    }
    if abort {
        // A shutdown waits for nothing, so there is never one to be aborted.
        return Err(CommandError::text("ERR No shutdown in progress."));
    }
    tracing::info!(client = call.client.shared.address, "SHUTDOWN: stopping");
    if !nosave && call.server.conditions().contains(Conditions::OVERDUE) {
        return Err(busy(call.server));
    }
    shut_down(call.server, AtEnd::asked(save, nosave), force).map_err(|reason| match reason {
        GoesOn::Busy => busy(call.server),
        GoesOn::NotSaved => CommandError::text("ERR Errors trying to SHUTDOWN. Check logs."),
    })?;
    call.close_after_reply();
    Ok(())
}
