//! Replies on their way out: written when a connection's turn ends, and bounded by what a peer may leave unread.

use std::sync::atomic::Ordering;

use swytch_resp::output::CHUNK_BYTES;
use swytch_resp::{Reply, SharedBytes};

use super::{End, Worker};
use crate::clients::ClientFlags;
use crate::config::ClientClass;
use crate::dispatch::subscriptions;
use crate::net::connection::Connection;
use crate::replication::Fed;
use crate::system::clock::Ticks;

/// Output up to this size is below every sensible limit and not compared with it after each command; Redis
/// does not count its first 16 kB either.
pub(super) const OUTPUT_BYTES_UNLIMITED: usize = 16 * 1024;
/// Output beyond this is written before further requests run: what fits into the buffer that is lent.
const OUTPUT_BYTES_BEFORE_WRITE: usize = CHUNK_BYTES * 3 / 4;
/// Output that a client may leave unread before it has authenticated (Redis:
/// REPLY_BUFFER_SIZE_UNAUTHENTICATED_CLIENT).
const UNAUTHENTICATED_OUTPUT_BYTES_MAX: u64 = 1024;
/// Requests that wait, in bytes, while the peer does not take the replies to earlier ones. With more it may be one that
/// sends everything before it reads: then they run as they come, and the output grows, as in Redis.
const HELD_INPUT_BYTES_MAX: usize = 512 * 1024;
/// Bytes written to one connection before others have their turn.
const WRITE_BYTES_PER_TURN: usize = 1 << 20;

impl Worker<'_> {
    /// Bytes of output at which a connection is closed. A follower is given no more than it can take, so it has no such bound.
    pub(super) fn output_bytes_max(&self, connection: &Connection) -> usize {
        match connection.follower {
            Some(_) => usize::MAX,
            None => self.server.config.output_bytes_max(class_of(connection)),
        }
    }

    /// The client follows from now on.
    #[cold]
    pub(super) fn begin_to_feed(&self, connection: &mut Connection) {
        if connection.follower.is_none() {
            connection.follower = self.server.replication.follower(connection.client.id());
            connection.output.set_limit(usize::MAX);
        }
    }

    /// There is more for a follower to read.
    pub(super) fn feed(&mut self, client: u64) {
        // One that has left needs nothing.
        let Some(&slot) = self.slots.get(&client) else { return };
        if self.flush(slot).is_err() {
            self.close(slot);
        }
    }

    /// After a command: nothing, as long as little has come together; else limits are applied and replies written.
    pub(super) fn relieve_output(&mut self, connection: &mut Connection) -> Result<(), End> {
        let output = &connection.output;
        let bytes_max = self.output_bytes_max(connection);
        if output.is_full() || output.pending() > bytes_max {
            // A reply over the hard limit closes the connection before anything of it is written, as in Redis.
            return self.close_for_output(connection);
        }
        if output.pending() > OUTPUT_BYTES_BEFORE_WRITE || !connection.client.authenticated {
            self.write_out(connection)?;
        }
        Ok(())
    }

    /// Writes what a connection has to say and applies the limits to what the peer does not read.
    pub(super) fn write_out(&mut self, connection: &mut Connection) -> Result<(), End> {
        let fed = match &connection.follower {
            Some(follower) => self.server.replication.feed(follower, &mut connection.output),
            None => Fed::All,
        };
        if connection.has_unsent() && !connection.awaits_writable {
            self.shared().stats.writes.add(1);
            let released = self.released();
            let written = connection.write(WRITE_BYTES_PER_TURN, released).map_err(|()| End)?;
            self.shared().stats.output_bytes.add(written as u64);
            if connection.follower.is_some() {
                self.shared().stats.follower_bytes.add(written as u64);
            }
            let total = &connection.client.shared.output_total;
            total.store(total.load(Ordering::Relaxed) + written as u64, Ordering::Relaxed);
        }
        if !connection.has_unsent() && !connection.output.is_full() {
            connection.over_soft_limit_since = None;
            if connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY) || fed == Fed::Last {
                return Err(End);
            }
            connection.wrote_its_share |= fed == Fed::Part;
            return Ok(());
        }
        // How far a follower may be behind is looked after where the stream is kept.
        if connection.follower.is_some() { Ok(()) } else { self.check_output_limit(connection) }
    }

    fn check_output_limit(&mut self, connection: &mut Connection) -> Result<(), End> {
        let pending = connection.output.pending() as u64;
        let limit = self.server.config.output_buffer_limit(class_of(connection));
        let over_soft = limit.soft_bytes > 0 && pending > limit.soft_bytes;
        let over_hard = limit.hard_bytes > 0 && pending > limit.hard_bytes;
        let now = self.now;
        let since = over_soft.then(|| connection.over_soft_limit_since.unwrap_or(now));
        connection.over_soft_limit_since = since;
        let soft_reached = since.is_some_and(|since| now.since(since) >= limit.soft_seconds * 1000);
        let unknown = !connection.client.authenticated && pending > UNAUTHENTICATED_OUTPUT_BYTES_MAX;
        if connection.output.is_full() || unknown || soft_reached || over_hard {
            return self.close_for_output(connection);
        }
        Ok(())
    }

    #[cold]
    fn close_for_output(&self, connection: &Connection) -> Result<(), End> {
        tracing::warn!(
            client = connection.client.id(),
            pending_bytes = connection.output.pending(),
            "closing a client that does not read its replies (client-output-buffer-limit)"
        );
        self.shared().stats.output_limit_disconnections.add(1);
        Err(End)
    }

    /// The socket takes more again: what is left is written, and the requests that have waited for it run.
    pub(super) fn on_writable(&mut self, slot: usize) {
        if !self.connection(slot).is_some_and(|connection| connection.awaits_writable) {
            return;
        }
        if self.flush(slot).is_err() {
            return self.close(slot);
        }
        if self.connection(slot).is_some_and(|connection| !connection.has_unsent()) {
            self.serve(slot);
        }
    }

    pub(super) fn flush(&mut self, slot: usize) -> Result<(), End> {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else {
            return Ok(());
        };
        connection.awaits_writable = false;
        let result = self.write_out(&mut connection);
        if connection.wrote_its_share {
            self.go_on_later(&mut connection, slot);
        }
        if std::mem::take(&mut connection.is_late) && connection.output.is_empty() {
            connection.output.shrink();
        }
        connection.publish(self.server);
        self.connections[slot] = Some(connection);
        result
    }

    /// Whether what a connection has to say may wait for others that are served in this turn. A write wakes a client that
    /// sleeps, which costs as much as many a command: of replies that leave together, all but the first find it awake.
    /// Behind short commands it does not come to sleep, and a connection that is looked at twice costs more.
    pub(super) fn may_be_late(&self, connection: &Connection, began: Ticks) -> bool {
        let pending = connection.output.pending();
        !self.happened.is_empty()
            && (1..=OUTPUT_BYTES_UNLIMITED).contains(&pending)
            && !connection.awaits_writable
            && !connection.hung_up
            && connection.held.is_empty()
            && connection.follower.is_none()
            && connection.client.authenticated
            && !connection.client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY)
            && Ticks::now().since(began) > self.share.long_ticks
    }

    /// What a connection has to say waits.
    pub(super) fn be_late(&mut self, connection: &mut Connection, slot: usize, since: Ticks) {
        if self.late.is_empty() {
            self.late_since = since;
        }
        connection.is_late = true;
        self.late.push(slot);
    }

    /// Writes what has waited for others.
    pub(super) fn write_late(&mut self) {
        let mut late = std::mem::take(&mut self.late);
        for slot in late.drain(..) {
            // One that has left has been answered.
            let Some(connection) = self.connection(slot) else { continue };
            if connection.is_late && self.flush(slot).is_err() {
                self.close(slot);
            }
        }
        self.late = late;
    }

    /// Sends a client what others do (MONITOR).
    pub(super) fn deliver(&mut self, client: u64, bytes: &SharedBytes) {
        // Mail for a client that has left is dropped.
        let Some(&slot) = self.slots.get(&client) else { return };
        let Some(connection) = self.connection(slot) else { return };
        let len = bytes.len();
        connection.output.extend_message(bytes, 0..len);
        if self.flush(slot).is_err() {
            self.close(slot);
        }
    }

    /// Sends clients the messages in their inboxes for as long as the queue is served; then those who are left stand in it.
    pub(super) fn deliver_messages(&mut self, clients: &[u64]) {
        let began = Ticks::now();
        for client in clients {
            // One that has left needs none, and its inbox is gone with it.
            let Some(&slot) = self.slots.get(client) else { continue };
            let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_deref_mut) else {
                continue;
            };
            if Ticks::now().since(began) <= self.share.queue_ticks {
                self.deliver_inbox(slot);
            } else if !connection.is_queued {
                connection.is_queued = true;
                self.unfinished.push_back(slot);
            }
        }
    }

    fn deliver_inbox(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else { return };
        connection.output.lend(&mut self.lent_output);
        connection.output.set_limit(self.output_bytes_max(&connection));
        let result = self.take_messages(&mut connection).and_then(|()| self.write_out(&mut connection));
        connection.output.give_back(&mut self.lent_output);
        if connection.wrote_its_share {
            self.go_on_later(&mut connection, slot);
        }
        connection.publish(self.server);
        self.connections[slot] = Some(connection);
        if result.is_err() {
            self.close(slot);
        }
    }

    /// Moves the messages in a connection's inbox to its output.
    pub(super) fn take_messages(&self, connection: &mut Connection) -> Result<(), End> {
        let client = &connection.client;
        let Some(subscriber) = client.shared.subscriber.get() else { return Ok(()) };
        // Behind the reply to its last request a client is told nothing.
        if client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY) {
            return Ok(());
        }
        let mut reply = Reply::new(&mut connection.output, client.protocol);
        let is_subscribed = client.flags.contains(ClientFlags::PUBSUB);
        // A reply that is on its way tells of what was before.
        let wait = || connection.waits.is_served();
        if subscriber.take_messages(wait, |message| subscriptions::write(&mut reply, message, is_subscribed))
        {
            return Ok(());
        }
        self.close_for_output(connection)
    }

    /// Gives a client that is to be told something at shutdown a last chance to be told.
    pub(super) fn flush_before_stop(&mut self, slot: usize) {
        let released = self.released();
        let server = self.server;
        let Some(connection) = self.connection(slot) else { return };
        // The connection ends in any case. A follower is given what it can take without a pause.
        while connection.write(usize::MAX, released).is_ok() && !connection.has_unsent() {
            let Some(follower) = &connection.follower else { return };
            server.replication.feed(follower, &mut connection.output);
            if !connection.has_unsent() {
                return;
            }
        }
    }
}

/// True when a connection's next request waits until the replies to earlier ones have left and the peer has taken them.
pub(super) fn is_held(connection: &Connection) -> bool {
    let is_behind = connection.awaits_writable || connection.wrote_its_share;
    // What a follower says has no replies: it is heard while it cannot take more.
    let waits =
        is_behind && connection.follower.is_none() && connection.unparsed_bytes() < HELD_INPUT_BYTES_MAX
            || connection.held.is_full(connection.output.pending());
    waits && !connection.hung_up
}

/// What a connection is used for, as limits of output tell connections apart.
pub(super) fn class_of(connection: &Connection) -> ClientClass {
    match connection.client.flags.contains(ClientFlags::PUBSUB) {
        true => ClientClass::Pubsub,
        false => ClientClass::Normal,
    }
}

/// Replies are taken back while any of these is set.
pub(super) const SILENT: ClientFlags =
    ClientFlags::REPLY_OFF.union(ClientFlags::REPLY_SKIP).union(ClientFlags::REPLY_SKIP_NEXT);

/// Takes back the reply of a command whose client does not want one (CLIENT REPLY). CLIENT REPLY SKIP itself is silent;
/// the command after it is the one to skip.
#[cold]
pub(super) fn silence(connection: &mut Connection, mark: usize) {
    connection.output.rewind(mark);
    let flags = &mut connection.client.flags;
    flags.set(ClientFlags::REPLY_SKIP, flags.contains(ClientFlags::REPLY_SKIP_NEXT));
    *flags -= ClientFlags::REPLY_SKIP_NEXT;
}
