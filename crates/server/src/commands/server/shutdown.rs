//! SHUTDOWN

use swytch_resp::Reply;

use crate::command::Progress;
use crate::command::prelude::*;
use crate::dispatch::park;
use crate::dispatch::scope::busy;
use crate::persistence::shutdown::{GoesOn, has_to_wait, shut_down};
use crate::server::ending::{AtEnd, How};
use crate::server::{Conditions, Server, WorkerShared};

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
    reply: ReplyShape::OK,
    handler: Handler::Session(shutdown),
    ..CommandSpec::DEFAULT
};

const FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

/// An end that waits for followers: its client hears of it only where it comes to nothing.
#[derive(Debug)]
struct InVain {
    attempt: u64,
}

impl Progress for InVain {
    fn is_enough(&self, server: &Server, _: &WorkerShared) -> bool {
        server.ending.was_in_vain(self.attempt)
    }

    fn answer(&self, _: &Server, reply: &mut Reply<'_>) {
        reply.error(FAILED.as_bytes());
    }
}

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
        if !call.server.ending.give_up() {
            return Err(CommandError::text("ERR No shutdown in progress."));
        }
        call.server.wake_holders();
        call.reply.ok();
        return Ok(());
    }
    tracing::info!(client = call.client.shared.address, "SHUTDOWN: stopping");
    if !nosave && call.server.conditions().contains(Conditions::OVERDUE) {
        return Err(busy(call.server));
    }
    let how = How { at_end: AtEnd::asked(save, nosave), force, now };
    if call.server.ending.is_going_on() || has_to_wait(call.server, how) {
        let attempt = call.server.ending.begin(how);
        park::until(call, Box::new(InVain { attempt }), None);
        return Ok(());
    }
    shut_down(call.server, how).map_err(|reason| match reason {
        GoesOn::Busy => busy(call.server),
        GoesOn::NotSaved => CommandError::text(FAILED),
    })?;
    call.close_after_reply();
    Ok(())
}
