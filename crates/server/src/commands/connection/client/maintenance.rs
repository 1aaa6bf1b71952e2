//! CLIENT MAINT_NOTIFICATIONS: the calling connection wants to hear of it before the server ends, so that it can go elsewhere.
//!
//! Redis Software speaks this protocol and its clients ask for it when they connect; Redis itself does not know it. What such a
//! client is told is in `persistence/shutdown.rs`.

use swytch_resp::Protocol;

use super::SUB;
use crate::clients::ClientFlags;
use crate::command::prelude::*;

/// What may name the server that is moved to. There is one name for it here, that of `shutdown-notice-endpoint`.
const ENDPOINT_TYPES: &[Arg] = &[
    Arg::flag("internal-ip", "internal-ip"),
    Arg::flag("internal-fqdn", "internal-fqdn"),
    Arg::flag("external-ip", "external-ip"),
    Arg::flag("external-fqdn", "external-fqdn"),
    Arg::flag(NO_ENDPOINT, NO_ENDPOINT),
];
const NO_ENDPOINT: &str = "none";

pub(super) static MAINT_NOTIFICATIONS: CommandSpec = CommandSpec {
    name: "maint_notifications",
    summary: "Chooses whether this connection is told, by a push message, before the server ends.",
    since: "8.0.0",
    arity: -3,
    arguments: &[
        Arg::one_of("status", &[Arg::flag("on", "ON"), Arg::flag("off", "OFF")]),
        Arg::one_of("endpoint-type", ENDPOINT_TYPES).token("moving-endpoint-type").optional(),
    ],
    reply: ReplyShape::OK,
    differs: "Redis Software. Of its messages only MOVING is sent, before a shutdown.",
    handler: Handler::Session(maint_notifications),
    ..SUB
};

fn maint_notifications(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    let on = match (arguments.word("ON"), arguments.word("OFF")) {
        (true, _) => true,
        (false, true) => false,
        (false, false) => return Err(CommandError::Syntax),
    };
    let mut wants_address = false;
    if arguments.remaining() > 0 {
        let is_named = arguments.word("moving-endpoint-type");
        let named = ENDPOINT_TYPES.iter().find(|known| is_named && arguments.word(known.name));
        if named.is_none() || arguments.remaining() > 0 {
            return Err(CommandError::Syntax);
        }
        wants_address = named.is_some_and(|known| known.name != NO_ENDPOINT);
    }
    if on && call.client.protocol == Protocol::Resp2 {
        return Err(CommandError::text(
            "ERR Maintenance notifications are push messages, which RESP2 does not have: say HELLO 3 first",
        ));
    }
    call.client.flags.set(ClientFlags::HEARS_OF_END, on);
    call.client.flags.set(ClientFlags::WANTS_ADDRESS, on && wants_address);
    call.reply.ok();
    Ok(())
}
