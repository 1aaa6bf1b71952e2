//! CLIENT LIST, CLIENT INFO: one line per connection, fields and order as in Redis 8.

use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use super::{OTHERS, SUB};
use crate::clients::channels::Kind;
use crate::clients::{ClientFlags, ClientShared};
use crate::command::CommandTable;
use crate::command::prelude::*;
use crate::system::clock::MonotonicMs;

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

    /// The type of a connection. A monitoring client is a normal one, as in Redis; there are no replicas.
    pub fn of(client: &ClientShared) -> ClientType {
        match ClientFlags::from_bits_retain(client.flags.load(Relaxed)).contains(ClientFlags::PUBSUB) {
            true => ClientType::PubSub,
            false => ClientType::Normal,
        }
    }
}

fn list(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    let server = call.server;
    publish(call);
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
        describe(&mut text, call.commands, &client);
        text.push(b'\n');
    }
    call.reply.verbatim("txt", &text);
    Ok(())
}

fn info(call: &mut Call<'_>) -> CommandResult {
    publish(call);
    let mut text = Vec::new();
    describe(&mut text, call.commands, &call.client.shared);
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

/// Appends a connection's line, without a line end. Sizes are in bytes, ages in seconds.
pub fn describe(out: &mut Vec<u8>, commands: &CommandTable, client: &ClientShared) {
    let flags = ClientFlags::from_bits_retain(client.flags.load(Relaxed));
    let names = client.names.lock().clone();
    let queued = client.queued.load(Relaxed);
    let query = client.query_bytes.load(Relaxed);
    let query_free = client.query_capacity.load(Relaxed).saturating_sub(query);
    let arguments = client.argument_bytes.load(Relaxed);
    let queued_bytes = client.queued_bytes.load(Relaxed);
    let (pending, held) = (client.output_bytes.load(Relaxed), client.output_held_bytes.load(Relaxed));
    // As in Redis, a short output lies in the buffer that every client has, and a long one in a list.
    let chunks = client.output_chunks.load(Relaxed);
    let (buffer, in_buffer, listed) = if chunks == 0 { (held, pending, 0) } else { (0, 0, held) };
    let total = client.memory_bytes();
    let command = commands.by_index(client.last_command.load(Relaxed));
    let now = MonotonicMs::now();
    let subscribed = |kind| client.subscriber.get().map_or(0, |subscriber| subscriber.count(kind));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={queued} \
         watch={} qbuf={query} qbuf-free={query_free} argv-mem={arguments} multi-mem={queued_bytes} \
         rbs={buffer} rbp={buffer} obl={in_buffer} oll={chunks} omem={listed} tot-mem={total} events={} cmd={} user={} redir=-1 \
         resp={} lib-name={} lib-ver={} io-thread={}",
        client.id,
        client.address,
        client.local_address,
        client.fd,
        text(&names.name),
        now.since(client.created) / 1000,
        now.since(client.active.get()) / 1000,
        flag_letters(flags, client),
        client.db.load(Relaxed),
        subscribed(Kind::Channel),
        subscribed(Kind::Pattern),
        subscribed(Kind::ShardChannel),
        client.watched.load(Relaxed),
        if pending > 0 { "rw" } else { "r" },
        command.map_or("NULL", |command| command.full_name.as_str()),
        client.user.lock(),
        client.protocol.load(Relaxed),
        text(&names.library_name),
        text(&names.library_version),
        client.worker,
    );
    // Writing to memory cannot fail.
    let _ = out.write_all(line.as_bytes());
}

fn flag_letters(flags: ClientFlags, client: &ClientShared) -> String {
    let letters = [
        (ClientFlags::MONITOR, 'O'),
        (ClientFlags::PUBSUB, 'P'),
        (ClientFlags::MULTI, 'x'),
        (ClientFlags::BLOCKED, 'b'),
        (ClientFlags::POSTPONED, 'b'),
        (ClientFlags::DIRTY_WATCH, 'd'),
        (ClientFlags::CLOSE_AFTER_REPLY, 'c'),
        (ClientFlags::UNIX_SOCKET, 'U'),
        (ClientFlags::NO_EVICT, 'e'),
        (ClientFlags::NO_TOUCH, 'T'),
    ];
    let mut text: String =
        letters.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, letter)| *letter).collect();
    if client.killed.load(Relaxed) {
        text.push('A');
    }
    if text.is_empty() {
        text.push('N');
    }
    text
}
