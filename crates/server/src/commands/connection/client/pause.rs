//! CLIENT PAUSE, CLIENT UNPAUSE

use super::{OTHERS, SUB};
use crate::command::prelude::*;
use crate::dispatch::conditions;
use crate::system::clock::MonotonicMs;

pub(super) static PAUSE: CommandSpec = CommandSpec {
    name: "pause",
    summary: "Makes clients wait for a time before the server runs their commands, all of them or only those that write.",
    since: "3.0.0",
    arity: -3,
    flags: OTHERS,
    history: &[("6.2.0", "WRITE leaves commands that only read alone.")],
    arguments: &[
        Arg::integer("timeout"),
        Arg::one_of("mode", &[Arg::flag("write", "WRITE"), Arg::flag("all", "ALL")])
            .optional()
            .since("6.2.0"),
    ],
    reply: ReplyShape::OK,
    handler: Handler::Session(pause),
    ..SUB
};

pub(super) static UNPAUSE: CommandSpec = CommandSpec {
    name: "unpause",
    summary: "Ends CLIENT PAUSE: commands that have waited run at once.",
    since: "6.2.0",
    complexity: "O(N) for N clients that wait.",
    flags: OTHERS,
    reply: ReplyShape::OK,
    handler: Handler::Session(unpause),
    ..SUB
};

fn pause(call: &mut Call<'_>) -> CommandResult {
    let writes_only = match call.args.len() {
        3 => false,
        4 => {
            let mut mode = call.args.cursor(3);
            let writes_only = mode.word("WRITE");
            if !writes_only && !mode.word("ALL") {
                return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL"));
            }
            writes_only
        }
        _ => return Err(call.subcommand_syntax()),
    };
    let timeout_ms = swytch_decimal::parse_i64(call.args.get(2))
        .ok_or_else(|| CommandError::text("ERR timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| CommandError::TimeoutNegative)?;
    // Redis refuses what is no date of its clock.
    if call.now_ms.checked_add(timeout_ms).is_none_or(|date_ms| date_ms > i64::MAX as u64) {
        return Err(CommandError::TimeoutOutOfRange);
    }
    conditions::pause(call, MonotonicMs::now().after(timeout_ms), writes_only);
    call.reply.ok();
    Ok(())
}

fn unpause(call: &mut Call<'_>) -> CommandResult {
    conditions::unpause(call.server);
    call.reply.ok();
    Ok(())
}
