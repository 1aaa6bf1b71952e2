//! A connection's turn: its bytes are read, its requests run, its replies written.

use std::sync::atomic::Ordering;

use swytch_resp::{Limits, Protocol, Reply};

use super::output::{OUTPUT_BYTES_UNLIMITED, SILENT, silence};
use super::{End, Worker};
use crate::clients::ClientFlags;
use crate::command::Call;
use crate::dispatch::execute::count_error;
use crate::dispatch::{Outcome, execute};
use crate::net::connection::{Connection, KEPT_BYTES_MAX, READ_BYTES, ReadOutcome};
use crate::server::{Server, WorkerShared};
use crate::system::clock::{self, Ticks};

/// Bytes read from one connection before others have their turn.
const READ_BYTES_PER_TURN: usize = 4 << 20;

impl Worker {
    /// Reads, runs and answers what a connection has to say.
    pub(super) fn serve(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else { return };
        let end = self.serve_connection(&mut connection, slot);
        self.connections[slot] = Some(connection);
        if end.is_err() {
            self.close(slot);
        }
    }

    fn serve_connection(&mut self, connection: &mut Connection, slot: usize) -> Result<(), End> {
        connection.unread = true;
        connection.active_ms = self.now_ms;
        if !connection.waits.for_nothing() {
            return self.notice_hangup(connection);
        }
        self.lend(connection);
        let mut read_total = 0;
        let result = loop {
            // What was parsed or read before comes first.
            if let Err(end) = self.run_input(connection, slot) {
                break Err(end);
            }
            let waits = !connection.waits.for_nothing();
            if waits && connection.hung_up {
                break self.part_with(connection);
            }
            if waits || !connection.unread || connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY)
            {
                break Ok(());
            }
            if read_total >= READ_BYTES_PER_TURN {
                self.unfinished.push(slot);
                break Ok(());
            }
            let (outcome, read) = connection.read();
            read_total += read;
            self.shared().stats.reads.add(1);
            // The system tells of the end once, possibly together with the last bytes.
            connection.unread = outcome == ReadOutcome::More || connection.hung_up;
            if outcome == ReadOutcome::Closed {
                break self.part_with(connection);
            }
            if let Err(end) = self.check_query_limit(connection) {
                break Err(end);
            }
        };
        self.shared().stats.input_bytes.add(read_total as u64);
        if read_total > 0 {
            let total = &connection.client.shared.input_total;
            total.store(total.load(Ordering::Relaxed) + read_total as u64, Ordering::Relaxed);
        }
        // First, because whoever has read the reply may look at what it has changed.
        connection.client.publish();
        if result.is_ok() {
            self.write_out(connection)?;
        } else if connection.output.capacity() > READ_BYTES {
            // What is not written is not kept.
            connection.output = Vec::with_capacity(READ_BYTES);
        }
        self.take_back(connection);
        connection.publish();
        result
    }

    /// The peer will send nothing more, but may still read: it gets the replies to what it has sent.
    fn part_with(&mut self, connection: &mut Connection) -> Result<(), End> {
        // The connection ends in any case.
        let _ = connection.write();
        Err(End)
    }

    /// A connection whose client waits is not read, but a peer that hangs up must be noticed.
    fn notice_hangup(&mut self, connection: &mut Connection) -> Result<(), End> {
        if connection.hung_up {
            return Err(End);
        }
        let mut byte = [0u8; 1];
        match rustix::net::recv(&connection.stream, &mut byte, rustix::net::RecvFlags::PEEK) {
            Ok((0, _)) => Err(End),
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                connection.unread = false;
                Ok(())
            }
            Err(_) => Err(End),
        }
    }

    /// Gives an idle connection the worker's buffers.
    fn lend(&mut self, connection: &mut Connection) {
        if connection.input.is_empty() && connection.input.capacity() < self.lent_input.capacity() {
            std::mem::swap(&mut connection.input, &mut self.lent_input);
        }
        if connection.output.is_empty() && connection.output.capacity() < self.lent_output.capacity() {
            std::mem::swap(&mut connection.output, &mut self.lent_output);
        }
    }

    /// Takes the worker's buffers back; what is left in them moves to buffers of the connection.
    fn take_back(&mut self, connection: &mut Connection) {
        if self.lent_input.capacity() < READ_BYTES {
            let kept = connection.input.as_slice().to_vec();
            self.lent_input = std::mem::replace(&mut connection.input, kept);
            self.lent_input.clear();
        }
        if self.lent_output.capacity() < READ_BYTES {
            let kept = connection.output.as_slice().to_vec();
            self.lent_output = std::mem::replace(&mut connection.output, kept);
            self.lent_output.clear();
        }
        for buffer in [&mut self.lent_input, &mut self.lent_output] {
            if buffer.capacity() > KEPT_BYTES_MAX {
                *buffer = Vec::with_capacity(READ_BYTES);
            }
        }
    }

    fn check_query_limit(&mut self, connection: &Connection) -> Result<(), End> {
        let limit = self.server.config.client_query_buffer_limit().min(u32::MAX as usize);
        if connection.input.len() <= limit {
            return Ok(());
        }
        tracing::warn!(
            client = connection.client.id(),
            "closing a client that exceeds client-query-buffer-limit"
        );
        self.shared().stats.query_limit_disconnections.add(1);
        Err(End)
    }

    /// Runs every complete request in the query buffer, until the client has to wait.
    fn run_input(&mut self, connection: &mut Connection, slot: usize) -> Result<(), End> {
        connection.batch.forget_buckets();
        loop {
            match run_batch(&self.server, self.shared(), connection, self.now_ms) {
                BatchEnd::Done => {}
                BatchEnd::Wrote(outcome, mark) => {
                    if self.after_command(connection, slot, outcome, mark)? {
                        return Ok(());
                    }
                    continue;
                }
            }
            if connection.client.shared.killed.load(Ordering::Relaxed) {
                return Err(End);
            }
            let limits = Limits {
                bulk_bytes_max: self.server.config.proto_max_bulk_len() as u64,
                authenticated: connection.client.authenticated,
            };
            let filled = connection.batch.fill(
                &self.server,
                &mut connection.parser,
                &mut connection.input,
                &limits,
                connection.client.db,
            );
            if !connection.batch.is_done() {
                // An error behind these requests is found again once they have run.
                continue;
            }
            if let Err(error) = filled {
                count_error(&self.server, self.shared(), &error.to_string());
                Reply::new(&mut connection.output, Protocol::Resp2).error(&format!("ERR {error}"));
                connection.client.flags |= ClientFlags::CLOSE_AFTER_REPLY;
                connection.input.clear();
                connection.parser = Default::default();
                return Ok(());
            }
            connection.compact_input();
            return Ok(());
        }
    }

    /// What is to be done after a command that has not simply answered; true when no more of the connection's requests
    /// may run now.
    fn after_command(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        outcome: Outcome,
        mark: usize,
    ) -> Result<bool, End> {
        if connection.client.flags.contains(ClientFlags::TOOK_LONG) {
            connection.client.flags -= ClientFlags::TOOK_LONG;
            self.now_ms = clock::unix_ms();
        }
        if connection.client.flags.intersects(SILENT) && !matches!(outcome, Outcome::Blocked(..)) {
            silence(connection, mark);
        }
        if let Outcome::Paused = outcome {
            self.pause(connection, slot);
            return Ok(true);
        }
        connection.batch.go_on_at(connection.batch.next() + 1);
        if let Outcome::Blocked(waiter, deadline_ms) = outcome {
            self.park(connection, slot, waiter, deadline_ms);
            return Ok(true);
        }
        if connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY) {
            return Ok(true);
        }
        self.relieve_output(connection)?;
        Ok(false)
    }
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
fn run_batch(server: &Server, worker: &WorkerShared, connection: &mut Connection, now_ms: u64) -> BatchEnd {
    let mut clock = Ticks::now();
    let mut next = connection.batch.next();
    let (batch, input) = (&connection.batch, &connection.input);
    let (client, output) = (&mut connection.client, &mut connection.output);
    let mut call = Call::without_request(server, worker, client, output, now_ms);
    let end = loop {
        let Some(request) = batch.request(next, input) else { break BatchEnd::Done };
        let mark = call.reply.mark();
        let outcome = execute(&mut call, request, &mut clock);
        if !matches!(outcome, Outcome::Done)
            || call.reply.mark() > OUTPUT_BYTES_UNLIMITED
            || call.client.flags.intersects(AFTER_COMMAND)
        {
            break BatchEnd::Wrote(outcome, mark);
        }
        next += 1;
        batch.prefetch_ahead(next);
    };
    connection.batch.go_on_at(next);
    end
}

const AFTER_COMMAND: ClientFlags = SILENT.union(ClientFlags::CLOSE_AFTER_REPLY).union(ClientFlags::TOOK_LONG);
