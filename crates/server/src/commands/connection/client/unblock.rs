//! CLIENT UNBLOCK

use super::{OTHERS, SUB};
use crate::command::prelude::*;
use crate::dispatch::park;

pub(super) static UNBLOCK: CommandSpec = CommandSpec {
    name: "unblock",
    summary: "Ends the wait of another connection's blocking command, as if its time had run out or with an error.",
    since: "5.0.0",
    complexity: "O(log(N)) for N open connections.",
    arity: -3,
    flags: OTHERS,
    arguments: &[
        Arg::integer("client-id"),
        Arg::one_of("unblock-type", &[Arg::flag("timeout", "TIMEOUT"), Arg::flag("error", "ERROR")])
            .optional(),
    ],
    reply: ReplyShape::Flag,
    handler: Handler::Session(unblock),
    ..SUB
};

fn unblock(call: &mut Call<'_>) -> CommandResult {
    let error = match call.args.len() {
        3 => false,
        4 => {
            let mut kind = call.args.cursor(3);
            let error = kind.word("ERROR");
            if !error && !kind.word("TIMEOUT") {
                return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
            }
            error
        }
        _ => return Err(call.subcommand_syntax()),
    };
    let id = call.args.integer(2)?;
    let target = u64::try_from(id).ok().and_then(|id| call.server.clients.get(id));
    let unblocked = target.is_some_and(|target| park::unblock(call.server, &target, error));
    call.reply.integer(i64::from(unblocked));
    Ok(())
}
