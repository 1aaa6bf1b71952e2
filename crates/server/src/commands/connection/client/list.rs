//! CLIENT LIST, CLIENT INFO: one line per connection, fields and order as in Redis 8.

use std::sync::atomic::Ordering::Relaxed;

use super::{OTHERS, SUB};
use crate::clients::{ClientFlags, ClientShared};
use crate::command::client_line;
use crate::command::prelude::*;
use crate::dispatch::client_room;

pub(super) static LIST: CommandSpec = CommandSpec {
    name: "list",
    summary: "Describes the open connections, or those that match a filter, in one line each.",
    since: "2.4.0",
    complexity: "O(N) for N open connections.",
    arity: -2,
    flags: OTHERS,
    tips: &["nondeterministic_output"],
    history: &[
        ("2.8.12", "The field `id`."),
        ("5.0.0", "The filter TYPE."),
        ("6.0.0", "The field `user`."),
        ("6.2.0", "The fields `argv-mem`, `tot-mem`, `laddr` and `redir`; the filter ID."),
        ("7.0.0", "The fields `resp`, `multi-mem`, `rbs` and `rbp`."),
        ("7.0.3", "The field `ssub`."),
        ("7.2.0", "The fields `lib-name` and `lib-ver`."),
        ("7.4.0", "The field `watch`."),
        ("8.0.0", "The field `io-thread`."),
    ],
    arguments: &[
        Arg::one_of(
            "client-type",
            &[
                Arg::flag("normal", "NORMAL"),
                Arg::flag("master", "MASTER"),
                Arg::flag("replica", "REPLICA"),
                Arg::flag("pubsub", "PUBSUB"),
            ],
        )
        .token("TYPE")
        .optional()
        .since("5.0.0"),
        Arg::integer("client-id").token("ID").optional().multiple().since("6.2.0"),
    ],
    reply: ReplyShape::Report,
    handler: Handler::Session(list),
    ..SUB
};

pub(super) static INFO: CommandSpec = CommandSpec {
    name: "info",
    summary: "Describes this connection in one line, as CLIENT LIST does.",
    since: "6.2.0",
    tips: &["nondeterministic_output"],
    reply: ReplyShape::Report,
    handler: Handler::Session(info),
    ..SUB
};

/// What a connection is used for, as CLIENT LIST TYPE and CLIENT KILL TYPE tell connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientType {
    /// Sends commands.
    Normal,
    /// The primary of a replica.
    Master,
    /// A replica.
    Replica,
    /// Subscribed to channels.
    PubSub,
}

impl ClientType {
    /// The type with this name, in any case.
    ///
    /// # Errors
    /// Redis's error for an unknown type.
    pub fn parse(name: &[u8]) -> Result<ClientType, CommandError> {
        let names: [(&[u8], ClientType); 5] = [
            (b"normal", ClientType::Normal),
            (b"master", ClientType::Master),
            (b"slave", ClientType::Replica),
            (b"replica", ClientType::Replica),
            (b"pubsub", ClientType::PubSub),
        ];
        let found = names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found
            .map(|(_, kind)| *kind)
            .ok_or_else(|| CommandError::quoting("ERR Unknown client type '", name, "'"))
    }

    /// The type of a connection. A monitoring client is a normal one, as in Redis.
    pub fn of(client: &ClientShared) -> ClientType {
        let flags = client.flags();
        if flags.contains(ClientFlags::FOLLOWER) {
            ClientType::Replica
        } else if flags.contains(ClientFlags::PUBSUB) {
            ClientType::PubSub
        } else {
            ClientType::Normal
        }
    }
}

fn list(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    let server = call.server;
    publish(call);
    client_room::make_before_looking(call);
    let clients = if arguments.remaining() == 0 {
        server.clients.snapshot()
    } else if arguments.remaining() == 2 && arguments.word("TYPE") {
        let wanted = ClientType::parse(arguments.expect()?)?;
        server.clients.snapshot().into_iter().filter(|client| ClientType::of(client) == wanted).collect()
    } else if arguments.remaining() >= 2 && arguments.word("ID") {
        let mut clients = Vec::new();
        while let Some(id) = arguments.next() {
            let id =
                swytch_decimal::parse_i64(id).ok_or_else(|| CommandError::text("ERR Invalid client ID"))?;
            clients.extend(u64::try_from(id).ok().and_then(|id| server.clients.get(id)));
        }
        clients
    } else {
        return Err(CommandError::Syntax);
    };
    let mut text = Vec::new();
    for client in clients {
        client_line(&mut text, call.commands, &client);
        text.push(b'\n');
    }
    call.reply.verbatim("txt", &text);
    Ok(())
}

fn info(call: &mut Call<'_>) -> CommandResult {
    publish(call);
    let mut text = Vec::new();
    client_line(&mut text, call.commands, &call.client.shared);
    text.push(b'\n');
    call.reply.verbatim("txt", &text);
    Ok(())
}

/// Shows the connection as it is now, with the request that is being run: as in Redis its bytes are still in the
/// query buffer.
fn publish(call: &Call<'_>) {
    call.client.publish();
    let (shared, args) = (&call.client.shared, &call.args);
    shared.query_bytes.store(args.request_bytes() as u64, Relaxed);
    shared.argument_bytes.store(args.bytes() as u64, Relaxed);
}
