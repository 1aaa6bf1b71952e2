//! What a connection looks like to others: a line of CLIENT LIST, of CLIENT INFO and of the log of users, fields and order
//! as in Redis 8.

use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use super::CommandTable;
use crate::clients::channels::Kind;
use crate::clients::{ClientFlags, ClientShared};
use crate::system::clock::MonotonicMs;

/// What Redis's buffer of a client holds.
const SHORT_OUTPUT_BYTES_MAX: u64 = 16 * 1024;

/// Appends a connection's line, without a line end. Sizes are in bytes, ages in seconds.
pub fn client_line(out: &mut Vec<u8>, commands: &CommandTable, client: &ClientShared) {
    let flags = client.flags();
    let names = client.names.lock().clone();
    let queued = client.queued.load(Relaxed);
    let query = client.query_bytes.load(Relaxed);
    let query_free = client.query_capacity.load(Relaxed).saturating_sub(query);
    let arguments = client.argument_bytes.load(Relaxed);
    let queued_bytes = client.queued_bytes.load(Relaxed);
    let (pending, held) = (client.output_bytes.load(Relaxed), client.output_held_bytes.load(Relaxed));
    // As in Redis, a short output lies in the buffer that every client has, and a long one in a list.
    let chunks = client.output_chunks.load(Relaxed);
    let is_short = chunks == 0 && pending <= SHORT_OUTPUT_BYTES_MAX;
    let (buffer, in_buffer, listed) = if is_short { (held, pending, 0) } else { (0, 0, held) };
    let chunks = if is_short { 0 } else { chunks.max(1) };
    let total = client.memory_bytes();
    let command = commands.by_index(client.last_command.load(Relaxed));
    let now = MonotonicMs::now();
    let subscribed = |kind| client.subscriber.get().map_or(0, |subscriber| subscriber.count(kind));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={queued} \
         watch={} qbuf={query} qbuf-free={query_free} argv-mem={arguments} multi-mem={queued_bytes} \
         rbs={buffer} rbp={buffer} obl={in_buffer} oll={chunks} omem={listed} tot-mem={total} events={} cmd={} user={} redir={} \
         resp={} lib-name={} lib-ver={} io-thread={} tot-net-in={} tot-net-out={} tot-cmds={}",
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
        text(client.user.lock().name()),
        client.redirection.load(Relaxed),
        client.protocol.load(Relaxed),
        text(&names.library_name),
        text(&names.library_version),
        client.worker,
        client.input_total.load(Relaxed),
        client.output_total.load(Relaxed),
        client.commands.load(Relaxed),
    );
    // Writing to memory cannot fail.
    let _ = out.write_all(line.as_bytes());
}

fn flag_letters(flags: ClientFlags, client: &ClientShared) -> String {
    let letters = [
        (ClientFlags::MONITOR, 'O'),
        (ClientFlags::FOLLOWER, 'S'),
        (ClientFlags::PUBSUB, 'P'),
        (ClientFlags::MULTI, 'x'),
        (ClientFlags::BLOCKED, 'b'),
        (ClientFlags::POSTPONED, 'b'),
        (ClientFlags::TRACKING, 't'),
        (ClientFlags::BROKEN_REDIRECTION, 'R'),
        (ClientFlags::BROADCAST, 'B'),
        (ClientFlags::DIRTY_WATCH, 'd'),
        (ClientFlags::CLOSE_AFTER_REPLY, 'c'),
        (ClientFlags::UNIX_SOCKET, 'U'),
        (ClientFlags::READS_ONLY, 'r'),
        (ClientFlags::IMPORT_SOURCE, 'I'),
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
