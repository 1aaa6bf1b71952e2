//! Replies on their way out: written when a connection's turn ends, and bounded by what a peer may leave unread.

use std::sync::atomic::Ordering;

use super::{End, Worker};
use crate::clients::ClientFlags;
use crate::config::ClientClass;
use crate::net::connection::Connection;

/// Output up to this size is below every sensible limit and not compared with it after each command; Redis
/// does not count its first 16 kB either.
pub(super) const OUTPUT_BYTES_UNLIMITED: usize = 16 * 1024;
/// Output beyond this is written before further requests run.
const OUTPUT_BYTES_BEFORE_WRITE: usize = 256 * 1024;
/// Output that a client may leave unread before it has authenticated (Redis:
/// REPLY_BUFFER_SIZE_UNAUTHENTICATED_CLIENT).
const UNAUTHENTICATED_OUTPUT_BYTES_MAX: u64 = 1024;

impl Worker {
    /// After a command: nothing, as long as little has come together; else limits are applied and replies written.
    pub(super) fn relieve_output(&mut self, connection: &mut Connection) -> Result<(), End> {
        if connection.output.len() > OUTPUT_BYTES_UNLIMITED {
            self.check_hard_output_limit(connection)?;
        }
        if connection.output.len() > OUTPUT_BYTES_BEFORE_WRITE {
            self.write_out(connection)?;
        }
        Ok(())
    }

    /// Writes what a connection has to say and applies the limits to what the peer does not read.
    pub(super) fn write_out(&mut self, connection: &mut Connection) -> Result<(), End> {
        if connection.pending_output() > 0 && !connection.awaits_writable {
            self.shared().stats.writes.add(1);
            let written = connection.write().map_err(|()| End)?;
            self.shared().stats.output_bytes.add(written as u64);
            let total = &connection.client.shared.output_total;
            total.store(total.load(Ordering::Relaxed) + written as u64, Ordering::Relaxed);
        }
        if connection.pending_output() == 0 {
            connection.over_soft_limit_since = None;
            if connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY) {
                return Err(End);
            }
            return Ok(());
        }
        self.check_output_limit(connection)
    }

    fn check_output_limit(&mut self, connection: &mut Connection) -> Result<(), End> {
        let pending = connection.pending_output() as u64;
        let limit = self.server.config.output_buffer_limit(ClientClass::Normal);
        let over_soft = limit.soft_bytes > 0 && pending > limit.soft_bytes;
        let now = self.now;
        let since = over_soft.then(|| connection.over_soft_limit_since.unwrap_or(now));
        connection.over_soft_limit_since = since;
        let soft_reached = since.is_some_and(|since| now.since(since) >= limit.soft_seconds * 1000);
        let unknown = !connection.client.authenticated && pending > UNAUTHENTICATED_OUTPUT_BYTES_MAX;
        if unknown || soft_reached || (limit.hard_bytes > 0 && pending > limit.hard_bytes) {
            return self.close_for_output(connection);
        }
        Ok(())
    }

    /// A reply over the hard limit closes the connection before anything of it is written, as in Redis.
    #[cold]
    fn check_hard_output_limit(&self, connection: &Connection) -> Result<(), End> {
        let hard_bytes = self.server.config.output_buffer_limit(ClientClass::Normal).hard_bytes;
        if hard_bytes == 0 || connection.pending_output() as u64 <= hard_bytes {
            return Ok(());
        }
        self.close_for_output(connection)
    }

    fn close_for_output(&self, connection: &Connection) -> Result<(), End> {
        tracing::warn!(
            client = connection.client.id(),
            pending_bytes = connection.pending_output(),
            "closing a client that does not read its replies (client-output-buffer-limit)"
        );
        self.shared().stats.output_limit_disconnections.add(1);
        Err(End)
    }

    pub(super) fn flush(&mut self, slot: usize) -> Result<(), End> {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else {
            return Ok(());
        };
        connection.awaits_writable = false;
        let result = self.write_out(&mut connection);
        connection.publish();
        self.connections[slot] = Some(connection);
        result
    }

    /// Sends a client what it did not ask for just now.
    pub(super) fn deliver(&mut self, client: u64, bytes: &[u8]) {
        // Mail for a client that has left is dropped.
        let Some(&slot) = self.slots.get(&client) else { return };
        let Some(connection) = self.connection(slot) else { return };
        connection.output.extend_from_slice(bytes);
        if self.flush(slot).is_err() {
            self.close(slot);
        }
    }

    /// Gives a client that is to be told something at shutdown a last chance to be told.
    pub(super) fn flush_before_stop(&mut self, slot: usize) {
        if let Some(connection) = self.connection(slot) {
            // The connection ends in any case.
            let _ = connection.write();
        }
    }
}

/// Replies are taken back while any of these is set.
pub(super) const SILENT: ClientFlags =
    ClientFlags::REPLY_OFF.union(ClientFlags::REPLY_SKIP).union(ClientFlags::REPLY_SKIP_NEXT);

/// Takes back the reply of a command whose client does not want one (CLIENT REPLY).
#[cold]
pub(super) fn silence(connection: &mut Connection, mark: usize) {
    let flags = &mut connection.client.flags;
    if flags.contains(ClientFlags::REPLY_OFF) {
        connection.output.truncate(mark);
    } else if flags.contains(ClientFlags::REPLY_SKIP_NEXT) {
        // CLIENT REPLY SKIP itself is silent; the command after it is the one to skip.
        connection.output.truncate(mark);
        *flags &= !ClientFlags::REPLY_SKIP_NEXT;
        *flags |= ClientFlags::REPLY_SKIP;
    } else if flags.contains(ClientFlags::REPLY_SKIP) {
        connection.output.truncate(mark);
        *flags &= !ClientFlags::REPLY_SKIP;
    }
}
