//! A connection's turn: its bytes are read, its requests run, its replies written.

use std::sync::atomic::Ordering;

use swytch_resp::{LONG_ARGUMENT_BYTES_MIN, Limits, Protocol, ProtocolError, Reply};

use super::output::{OUTPUT_BYTES_UNLIMITED, SILENT, is_held, silence};
use super::{End, Worker};
use crate::clients::ClientFlags;
use crate::command::{Call, Flags};
use crate::dispatch::{Outcome, count, execute, tracking};
use crate::net::connection::{Connection, KEPT_BYTES_MAX, READ_BYTES, ReadOutcome};
use crate::net::waits::Waits;
use crate::system::clock::Ticks;

/// Bytes read from one connection before others have their turn. A long argument is read in larger pieces.
const READ_BYTES_PER_TURN: usize = READ_BYTES;
/// Unparsed input that a client may have before it has authenticated (Redis: 1 MB).
const UNAUTHENTICATED_INPUT_BYTES_MAX: usize = 1 << 20;
/// Longest request: places in it are numbers of 32 bits.
const REQUEST_BYTES_MAX: usize = u32::MAX as usize;

impl Worker<'_> {
    /// Gives a connection its share of a turn.
    pub(super) fn serve(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else { return };
        let began = Ticks::now();
        let end = self.serve_connection(&mut connection, slot, began);
        // A handshake is work for somebody who is not yet known.
        let ended = Ticks::now();
        connection.is_slow =
            ended.since(began) > self.share.slow_ticks || connection.transport.is_handshaking();
        if connection.wrote_its_share {
            self.go_on_later(&mut connection, slot);
        }
        self.connections[slot] = Some(connection);
        if end.is_err() {
            self.close(slot);
        }
        if !self.late.is_empty() && ended.since(self.late_since) > self.share.late_ticks {
            self.write_late();
        }
    }

    /// Reads, runs and answers what a connection has to say, until nothing is left or its share is used up.
    fn serve_connection(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        began: Ticks,
    ) -> Result<(), End> {
        connection.active = self.now;
        connection.is_shrunk = false;
        connection.client.shared.active.set(self.now);
        if connection.wrote_its_share {
            connection.wrote_its_share = false;
            self.write_out(connection)?;
        }
        if let Waits::ForTheEnd = connection.waits {
            // Replies that wait leave although the peer sends nothing more.
            return if connection.hung_up && connection.held.is_empty() { Err(End) } else { Ok(()) };
        }
        self.lend(connection);
        let mut read_total = 0;
        let result = loop {
            // Whoever sends a request because of something has first the messages that came before it.
            if let Err(end) = self.take_messages(connection) {
                break Err(end);
            }
            // What was parsed or read before comes first.
            match self.run_input(connection, slot, began) {
                Err(end) => break Err(end),
                Ok(Ran::ItsShare) => {
                    self.go_on_later(connection, slot);
                    break Ok(());
                }
                Ok(Ran::All) => {}
            }
            if let Err(end) = self.check_query_limit(connection, slot) {
                break Err(end);
            }
            // A client that waits is read on: else nobody would notice that it has hung up.
            if !connection.unread || matches!(connection.waits, Waits::ForTheEnd) {
                break Ok(());
            }
            if read_total >= READ_BYTES_PER_TURN {
                self.go_on_later(connection, slot);
                break Ok(());
            }
            let (outcome, read) = connection.read();
            read_total += read;
            self.shared().stats.reads.add(1);
            if let Err(end) = self.look_at_transport(connection, read) {
                break Err(end);
            }
            if self.server.client_memory.is_limited() {
                connection.count_arguments(self.server);
            }
            // The system tells of the end once, possibly together with the last bytes.
            connection.unread = outcome == ReadOutcome::More || connection.hung_up;
            if outcome == ReadOutcome::Closed {
                // Requests that were held have been sent all the same.
                connection.hung_up = true;
                connection.unread = true;
                break match self.run_input(connection, slot, began) {
                    Ok(Ran::All) => self.part_with(connection, slot),
                    Ok(Ran::ItsShare) => {
                        self.go_on_later(connection, slot);
                        Ok(())
                    }
                    Err(end) => Err(end),
                };
            }
        };
        self.shared().stats.input_bytes.add(read_total as u64);
        if read_total > 0 {
            let total = &connection.client.shared.input_total;
            total.store(total.load(Ordering::Relaxed) + read_total as u64, Ordering::Relaxed);
        }
        // First, because whoever has read the reply may look at what it has changed.
        connection.client.publish();
        let result = result.and_then(|()| match self.may_be_late(connection, began) {
            true => {
                self.be_late(connection, slot, began);
                Ok(())
            }
            false => self.write_out(connection),
        });
        self.take_back(connection);
        connection.publish(self.server);
        result
    }

    /// A connection has more to do than its share of a turn allows.
    pub(super) fn go_on_later(&mut self, connection: &mut Connection, slot: usize) {
        if !connection.is_queued {
            connection.is_queued = true;
            self.unfinished.push_back(slot);
        }
    }

    /// The peer will send nothing more, but may still read: it gets the replies to what it has sent.
    fn part_with(&mut self, connection: &mut Connection, slot: usize) -> Result<(), End> {
        // The connection ends in any case.
        let _ = connection.write(usize::MAX, self.released());
        if connection.held.is_empty() {
            return Err(End);
        }
        self.end_after_replies(connection, slot);
        Ok(())
    }

    /// Gives an idle connection the worker's buffers.
    fn lend(&mut self, connection: &mut Connection) {
        if connection.query.bytes.is_empty() && connection.query.bytes.capacity() < self.lent_input.capacity()
        {
            std::mem::swap(&mut connection.query.bytes, &mut self.lent_input);
        }
        connection.output.lend(&mut self.lent_output);
        connection.output.set_limit(self.output_bytes_max(connection));
    }

    /// Takes the worker's buffers back; what is left in them moves to buffers of the connection. One that has nothing
    /// left keeps no buffer, whatever made it grow.
    fn take_back(&mut self, connection: &mut Connection) {
        take_back(&mut self.lent_input, &mut connection.query.bytes);
        connection.output.give_back(&mut self.lent_output);
        if connection.output.is_empty() {
            connection.output.shrink();
        }
    }

    /// Bounds what has arrived and is not yet parsed, together with the commands that MULTI queues: they too have not
    /// run. Arguments of a request that is still arriving do not count, as in Redis.
    fn check_query_limit(&mut self, connection: &mut Connection, slot: usize) -> Result<(), End> {
        let client = &connection.client;
        let waiting = connection.unparsed_bytes() + client.queued_bytes as usize;
        let limit = match client.authenticated {
            true => self.server.config.client_query_buffer_limit(),
            false => self.server.config.client_query_buffer_limit().min(UNAUTHENTICATED_INPUT_BYTES_MAX),
        };
        if waiting <= limit && connection.query.bytes.len() <= REQUEST_BYTES_MAX {
            return Ok(());
        }
        tracing::warn!(
            client = client.id(),
            waiting_bytes = waiting,
            "closing a client that exceeds client-query-buffer-limit"
        );
        self.shared().stats.query_limit_disconnections.add(1);
        self.part_with(connection, slot)
    }

    /// Runs every complete request in the query buffer, until the client has to wait or its share is used up.
    fn run_input(&mut self, connection: &mut Connection, slot: usize, began: Ticks) -> Result<Ran, End> {
        connection.batch.forget_buckets();
        while connection.waits.for_nothing() {
            if is_held(connection) {
                connection.compact_input();
                break;
            }
            if Ticks::now().since(began) > self.share.ticks {
                connection.compact_input();
                return Ok(Ran::ItsShare);
            }
            let mark = self.mark(connection);
            let end = run_batch(self, connection);
            self.hold(connection, mark);
            if std::mem::take(&mut self.has_served_others) {
                // Events of this connection found nobody in its slot.
                connection.unread = true;
                connection.awaits_writable = false;
            }
            match end {
                BatchEnd::Done => {}
                BatchEnd::Wrote(outcome, mark) => {
                    self.after_command(connection, slot, outcome, mark)?;
                    continue;
                }
            }
            if connection.client.shared.killed.load(Ordering::Relaxed) {
                return Err(End);
            }
            let limits = Limits {
                bulk_bytes_max: self.server.config.proto_max_bulk_len() as u64,
                authenticated: connection.client.authenticated,
                long_argument_bytes_min: LONG_ARGUMENT_BYTES_MIN,
            };
            let filled = connection.batch.fill(
                self.commands,
                self.server,
                &mut connection.parser,
                &mut connection.query,
                &limits,
                &mut connection.client,
            );
            if !connection.batch.is_done() {
                // An error behind these requests is found again once they have run.
                continue;
            }
            if let Err(error) = filled {
                self.refuse(connection, slot, &error);
                break;
            }
            connection.compact_input();
            break;
        }
        Ok(Ran::All)
    }

    /// The peer has broken the protocol: it is told so, unless it wants no replies, and nothing more is read.
    #[cold]
    fn refuse(&mut self, connection: &mut Connection, slot: usize, error: &ProtocolError) {
        let text = error.reply();
        count::error(self.server, self.shared(), &text);
        if !connection.client.flags.intersects(SILENT) {
            Reply::new(&mut connection.output, Protocol::Resp2).error(&text);
        }
        self.end_after_replies(connection, slot);
    }

    /// What is to be done after a command that has not simply answered.
    fn after_command(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        outcome: Outcome,
        mark: usize,
    ) -> Result<(), End> {
        if connection.client.flags.contains(ClientFlags::TOOK_LONG) {
            connection.client.flags -= ClientFlags::TOOK_LONG;
            self.read_clocks();
        }
        connection.output.set_silent(false);
        if connection.client.flags.intersects(SILENT) && !matches!(outcome, Outcome::Blocked(..)) {
            silence(connection, mark);
        }
        if let Outcome::Paused = outcome {
            self.pause(connection, slot);
            return Ok(());
        }
        connection.batch.go_on_at(connection.batch.next() + 1);
        if let Outcome::Blocked(waiter, deadline) = outcome {
            self.park(connection, slot, waiter, deadline);
            return Ok(());
        }
        if connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY) {
            self.end_after_replies(connection, slot);
            return Ok(());
        }
        if connection.client.flags.contains(ClientFlags::CACHING) {
            let command =
                self.commands.by_index(connection.client.shared.last_command.load(Ordering::Relaxed));
            let goes_on = command.is_some_and(|command| command.is(Flags::KEEPS_CACHING));
            if !goes_on && !connection.client.in_multi() {
                tracking::speak_of_next(&mut connection.client, false);
            }
        }
        if connection.client.flags.contains(ClientFlags::PUBSUB) {
            // What it has published to itself comes behind the reply.
            connection.output.set_limit(self.output_bytes_max(connection));
            self.take_messages(connection)?;
        }
        if connection.client.flags.contains(ClientFlags::FOLLOWER) {
            self.let_go_of_talker(connection, mark)?;
            self.begin_to_feed(connection);
        }
        self.relieve_output(connection)
    }

    /// What a follower reads is the data and the stream: one that has itself answered would take the reply for a part of them.
    #[cold]
    fn let_go_of_talker(&self, connection: &Connection, mark: usize) -> Result<(), End> {
        let reply_bytes = connection.output.position().saturating_sub(mark);
        if connection.follower.is_none() || reply_bytes == 0 {
            return Ok(());
        }
        let client = &connection.client.shared;
        let command = self.commands.by_index(client.last_command.load(Ordering::Relaxed));
        let name = command.map_or("", |command| &command.full_name);
        let (id, output) = (client.id, connection.output.to_vec());
        if let [b'-', error @ ..] = &output[output.len() - reply_bytes..] {
            let error = String::from_utf8_lossy(error);
            let error = error.trim_end();
            tracing::warn!(
                "== CRITICAL == This master is sending an error to its replica: '{error}' after processing the command '{name}'"
            );
        }
        tracing::warn!("Replica generated a reply to command '{name}', disconnecting it: client {id}");
        Err(End)
    }
}

fn take_back(lent: &mut Vec<u8>, buffer: &mut Vec<u8>) {
    if lent.capacity() < READ_BYTES {
        let kept = buffer.as_slice().to_vec();
        *lent = std::mem::replace(buffer, kept);
        lent.clear();
        if !(READ_BYTES..=KEPT_BYTES_MAX).contains(&lent.capacity()) {
            *lent = Vec::with_capacity(READ_BYTES);
        }
    } else if buffer.is_empty() {
        *buffer = Vec::new();
    }
}

/// How far [`Worker::run_input`] has come.
enum Ran {
    /// To the end of what has arrived, or to a request after which others must wait.
    All,
    /// To the end of the connection's share of the turn.
    ItsShare,
}

/// Where the running of a batch has stopped.
enum BatchEnd {
    /// All its requests have run.
    Done,
    /// At a request after which something is to be done; its reply begins at this byte of the output.
    Wrote(Outcome, usize),
}

/// Runs a batch's requests as long as each simply answers: the innermost loop of the server, kept small so that what it
/// needs stays in registers.
#[inline(never)]
fn run_batch(worker: &mut Worker<'_>, connection: &mut Connection) -> BatchEnd {
    let (commands, server, shared, now_ms) = (worker.commands, worker.server, worker.shared(), worker.now_ms);
    let mut clock = Ticks::now();
    let mut next = connection.batch.next();
    let (batch, query) = (&connection.batch, &connection.query);
    let (client, output) = (&mut connection.client, &mut connection.output);
    // A command in silence is run alone, whatever it answers.
    let silent = client.flags.intersects(SILENT);
    let look_beyond = if silent { 0 } else { OUTPUT_BYTES_UNLIMITED };
    if silent {
        output.set_silent(true);
    }
    let served = shared.serving.swap(client.id(), Ordering::Relaxed);
    let mut call = Call::without_request(commands, server, shared, client, output, now_ms);
    call.others = Some(worker);
    let end = loop {
        let Some(request) = batch.request(next, query) else { break BatchEnd::Done };
        call.reply.begin();
        let outcome = execute(&mut call, request, &mut clock);
        if !matches!(outcome, Outcome::Done)
            || call.reply.position() > look_beyond
            || call.client.flags.intersects(AFTER_COMMAND)
        {
            break BatchEnd::Wrote(outcome, call.reply.began());
        }
        next += 1;
        batch.prefetch_ahead(next);
    };
    shared.serving.store(served, Ordering::Relaxed);
    connection.batch.go_on_at(next);
    if silent && matches!(end, BatchEnd::Done) {
        // There was nothing to run, and an empty request may be the one that is skipped.
        connection.output.set_silent(false);
    }
    end
}

const AFTER_COMMAND: ClientFlags = SILENT
    .union(ClientFlags::CLOSE_AFTER_REPLY)
    .union(ClientFlags::TOOK_LONG)
    .union(ClientFlags::PUBSUB)
    .union(ClientFlags::CACHING)
    .union(ClientFlags::FOLLOWER);
