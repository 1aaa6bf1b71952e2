//! A connection: how its bytes travel, its buffers, its client.
//!
//! Buffers of a connection that has nothing pending are empty and own no memory: they are lent by the worker
//! while requests are read and replies written, and only what is left over is copied into buffers of
//! its own.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use swytch_resp::{Output, Parser, Query};

use super::batch::Batch;
use super::held::{Held, Released};
use super::transport::Transport;
use super::waits::Waits;
use crate::clients::Client;
use crate::dispatch::client_room;
use crate::replication::Follower;
use crate::server::Server;
use crate::system::clock::MonotonicMs;

/// Bytes read at a time, and the size of the worker's lent query buffer.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// A buffer that has grown beyond this is given back to the system when it is empty again.
pub(super) const KEPT_BYTES_MAX: usize = 1 << 20;

/// What stands behind an argument.
const LINE_END_BYTES: usize = 2;

/// What reading from a socket has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// Everything that had arrived was read.
    Drained,
    /// There may be more.
    More,
    /// The peer has closed, or the connection is broken.
    Closed,
}

/// One client's connection, owned by one worker.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) client: Client,
    pub(super) parser: Parser,
    pub(super) batch: Batch,
    pub(super) query: Query,
    pub(super) output: Output,
    /// What of the output waits.
    pub(super) held: Held,
    /// Bytes of output that were ever written.
    sent: u64,
    /// Something was read from it.
    pub(super) has_spoken: bool,
    /// The socket took less than all; wait until it is writable.
    pub(super) awaits_writable: bool,
    /// As much was written as a turn allows; the rest is written in the next one.
    pub(super) wrote_its_share: bool,
    /// Its replies wait for those of others ([`super::worker`]'s `late`).
    pub(super) is_late: bool,
    /// Input may be waiting that was not read, to be fair to others or because the client is parked.
    pub(super) unread: bool,
    /// The peer has closed its side: what is left is read up to the end, and nobody waits for more.
    pub(super) hung_up: bool,
    /// What must happen before its next request may run.
    pub(super) waits: Waits,
    /// Since when the output has been over the soft limit.
    pub(super) over_soft_limit_since: Option<MonotonicMs>,
    /// What it is given, if it follows.
    pub(super) follower: Option<Arc<Follower>>,
    /// Its last event.
    pub(super) active: MonotonicMs,
    /// It stands in the worker's queue of those with more to do.
    pub(super) is_queued: bool,
    /// Its last share of a turn took so long that it waits behind others.
    pub(super) is_slow: bool,
    /// It keeps no more room than it needs since its last event.
    pub(super) is_shrunk: bool,
}

impl Connection {
    pub(super) fn new(transport: Transport, client: Client, now: MonotonicMs) -> Connection {
        let is_slow = transport.is_handshaking();
        Connection {
            transport,
            client,
            parser: Parser::default(),
            batch: Batch::default(),
            query: Query::default(),
            output: Output::default(),
            held: Held::default(),
            sent: 0,
            has_spoken: false,
            awaits_writable: false,
            wrote_its_share: false,
            is_late: false,
            unread: true,
            hung_up: false,
            waits: Waits::default(),
            over_soft_limit_since: None,
            follower: None,
            active: now,
            is_queued: false,
            is_slow,
            is_shrunk: true,
        }
    }

    /// Reads once into the query buffer.
    pub(super) fn read(&mut self) -> (ReadOutcome, usize) {
        self.parser.settle(&mut self.query);
        let buffer = match self.parser.long_argument() {
            // Its memory grows with what arrives, not with what was announced.
            Some((argument, missing)) => {
                if argument.len() == argument.capacity() {
                    argument.reserve_exact((missing + LINE_END_BYTES).min(argument.len().max(READ_BYTES)));
                }
                argument
            }
            None => {
                if self.query.bytes.capacity() - self.query.bytes.len() < READ_BYTES / 4 {
                    self.query.bytes.reserve(READ_BYTES);
                }
                &mut self.query.bytes
            }
        };
        let arrived = match self.transport.read(buffer) {
            Ok(arrived) if arrived.bytes > 0 => arrived,
            Err(rustix::io::Errno::AGAIN) => return (ReadOutcome::Drained, 0),
            Ok(_) | Err(_) => return (ReadOutcome::Closed, 0),
        };
        self.parser.settle(&mut self.query);
        (if arrived.is_all { ReadOutcome::Drained } else { ReadOutcome::More }, arrived.bytes)
    }

    /// True while something is to be written, or was and has not left.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        !self.output.is_empty() || self.transport.has_unsent()
    }

    /// How many bytes of output there were ever.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.sent + self.output.pending() as u64
    }

    /// Writes as much of the output as the socket takes, a turn allows, and need not wait; `Err` when the connection is broken.
    pub(super) fn write(&mut self, bytes_max: usize, released: Released) -> Result<usize, ()> {
        let mut total = 0;
        self.awaits_writable = false;
        self.transport.flush().map_err(drop)?;
        let mut free = self.held.free_bytes(self.sent, released);
        while !self.output.is_empty() && free > 0 {
            if total >= bytes_max {
                self.wrote_its_share = true;
                break;
            }
            match self.transport.write(&self.output, free) {
                Ok(0) => return Err(()),
                Ok(count) => {
                    self.output.advance(count);
                    total += count;
                    free -= count;
                    self.sent += count as u64;
                }
                Err(rustix::io::Errno::AGAIN) => {
                    self.awaits_writable = true;
                    break;
                }
                Err(_) => return Err(()),
            }
        }
        self.awaits_writable |= self.transport.has_unsent();
        Ok(total)
    }

    /// Drops the part of the query buffer that nobody needs any more.
    pub(super) fn compact_input(&mut self) {
        let keep = match self.batch.keep_from() {
            Some(at) => at.min(self.parser.keep_from()),
            None => self.parser.keep_from(),
        };
        if keep == self.query.bytes.len() {
            self.query.bytes.clear();
            self.parser.rebase(keep);
        } else if keep * 2 >= self.query.bytes.len() {
            // At least half: what is moved over all is less than what has arrived.
            self.query.bytes.drain(..keep);
            self.parser.rebase(keep);
            self.batch.rebase(keep);
        }
    }

    /// Bytes received of which nothing is known yet.
    pub(super) fn unparsed_bytes(&self) -> usize {
        self.query.bytes.len() - self.parser.position().min(self.query.bytes.len()) + self.parser.long_bytes()
    }

    /// Gives back what the connection keeps and does not need: its last requests may have been large ones.
    pub(super) fn shrink(&mut self, server: &Server) {
        self.compact_input();
        self.query.bytes.shrink_to_fit();
        self.query.long.shrink_to_fit();
        self.output.shrink();
        self.parser.shrink();
        self.batch.shrink();
        self.client.queue.shrink_to_fit();
        self.is_shrunk = true;
        self.publish(server);
    }

    /// Drops everything that was received and has not run.
    pub(super) fn forget_requests(&mut self) {
        self.parser = Parser::default();
        self.batch = Batch::default();
        self.query.bytes.clear();
        self.query.long.clear();
    }

    /// Bytes that it holds beside its buffers.
    fn held_bytes(&self) -> usize {
        self.query.long_bytes() + self.parser.held_bytes() + self.batch.held_bytes() + self.waits.held_bytes()
    }

    /// In the middle of a turn: a request whose arguments are too much does not run. The buffers are lent, and do not count.
    #[cold]
    pub(super) fn count_arguments(&self, server: &Server) {
        let long_bytes = self.query.long_bytes() + self.parser.long_bytes();
        if server.client_memory.has_no_room_for(long_bytes) {
            self.client.shared.held_bytes.store(self.held_bytes() as u64, Relaxed);
            client_room::count(server, &self.client.shared);
        }
    }

    /// Tells other threads what CLIENT LIST shows of the buffers, which count together; [`Client::publish`] tells the rest.
    pub(super) fn publish(&self, server: &Server) {
        let shared = &self.client.shared;
        let unused = self.query.bytes.len() - self.parser.keep_from().min(self.query.bytes.len());
        shared.query_bytes.store((unused + self.parser.long_bytes()) as u64, Relaxed);
        shared.query_capacity.store(self.query.bytes.capacity() as u64, Relaxed);
        let arguments = self.parser.partial_argument_bytes() + self.batch.argument_bytes(&self.query);
        shared.argument_bytes.store(arguments as u64, Relaxed);
        shared.held_bytes.store(self.held_bytes() as u64, Relaxed);
        shared.output_bytes.store(self.output.pending() as u64, Relaxed);
        shared.output_held_bytes.store(self.output.held_bytes() as u64, Relaxed);
        shared.output_chunks.store(self.output.chunk_count() as u64, Relaxed);
        if server.client_memory.is_limited() {
            client_room::count(server, shared);
        }
    }
}
