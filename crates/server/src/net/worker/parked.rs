//! Connections that wait before their next request may run: parked by a blocking command, or held by a pause.
//!
//! What a connection waits for is said in one place, [`Connection::waits`]; all else that must agree with it (the
//! client's flags, what CLIENT UNBLOCK finds, the deadlines) is changed by [`Parked::set`] alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use swytch_store::Waiter;

use super::Worker;
use super::output::{SILENT, silence};
use crate::clients::ClientFlags;
use crate::dispatch::park;
use crate::net::connection::Connection;

/// What must happen before a connection's next request may run.
#[derive(Debug, Default)]
pub(in crate::net) enum Waits {
    /// Nothing.
    #[default]
    ForNothing,
    /// A blocking command is to be served or to give up.
    Parked {
        /// As what its client is known to those who may serve it.
        waiter: Arc<Waiter>,
        /// When it gives up, in Unix milliseconds.
        deadline_ms: Option<u64>,
    },
    /// A pause is to end; it holds the next request.
    Paused,
}

impl Waits {
    /// True when requests may run.
    pub(super) fn for_nothing(&self) -> bool {
        matches!(self, Waits::ForNothing)
    }

    fn deadline_ms(&self) -> Option<u64> {
        match self {
            Waits::Parked { deadline_ms, .. } => *deadline_ms,
            Waits::ForNothing | Waits::Paused => None,
        }
    }
}

/// The waiting connections of a worker, by their slots.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// When those that give up at some time do, in Unix milliseconds.
    deadlines: BTreeSet<(u64, usize)>,
    /// Those held by a pause.
    paused: BTreeSet<usize>,
}

impl Parked {
    /// The one way for a connection to begin or end a wait. Returns what it has waited for.
    fn set(&mut self, connection: &mut Connection, slot: usize, waits: Waits) -> Waits {
        let before = std::mem::replace(&mut connection.waits, waits);
        let now = &connection.waits;
        if let Some(deadline_ms) = before.deadline_ms() {
            self.deadlines.remove(&(deadline_ms, slot));
        }
        if let Some(deadline_ms) = now.deadline_ms() {
            self.deadlines.insert((deadline_ms, slot));
        }
        match now {
            Waits::Paused => self.paused.insert(slot),
            Waits::ForNothing | Waits::Parked { .. } => self.paused.remove(&slot),
        };
        let client = &mut connection.client;
        client.flags.set(ClientFlags::POSTPONED, matches!(now, Waits::Paused));
        client.flags.set(ClientFlags::BLOCKED, matches!(now, Waits::Parked { .. }));
        if matches!(before, Waits::Parked { .. }) {
            *client.shared.waiter.lock() = None;
        }
        before
    }

    /// How many give up at some time.
    pub(super) fn deadlines(&self) -> usize {
        self.deadlines.len()
    }

    /// When the first one gives up, in Unix milliseconds.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// The next one whose time is over.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<usize> {
        if self.next_deadline_ms()? > now_ms {
            return None;
        }
        self.deadlines.pop_first().map(|(_, slot)| slot)
    }
}

impl Worker {
    /// A blocking command has found nothing.
    pub(super) fn park(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        waiter: Arc<Waiter>,
        deadline_ms: Option<u64>,
    ) {
        self.parked.set(connection, slot, Waits::Parked { waiter, deadline_ms });
        connection.compact_input();
    }

    /// The next request must wait for the end of a pause.
    pub(super) fn pause(&mut self, connection: &mut Connection, slot: usize) {
        self.parked.set(connection, slot, Waits::Paused);
    }

    /// The connection ends, whatever it waits for.
    pub(super) fn wait_no_more(&mut self, connection: &mut Connection, slot: usize) {
        if let Waits::Parked { waiter, .. } = self.parked.set(connection, slot, Waits::ForNothing) {
            park::give_up(&self.server, &waiter);
            park::leave_queues(&self.server, &waiter);
        }
    }

    /// A parked client was served: its reply goes out and its next requests are run.
    pub(super) fn on_served(&mut self, client: u64, waiter: &Arc<Waiter>, reply: &[u8]) {
        if let Some(slot) = self.slot_parked_as(client, waiter) {
            park::leave_queues(&self.server, waiter);
            self.unpark(slot, reply);
        }
    }

    /// A parked client has stopped waiting: its time is over, or CLIENT UNBLOCK said so.
    pub(super) fn on_gave_up(&mut self, client: u64, waiter: &Arc<Waiter>, error: bool) {
        if let Some(slot) = self.slot_parked_as(client, waiter) {
            park::leave_queues(&self.server, waiter);
            let mut reply = Vec::new();
            park::answer_in_vain(&self.server, self.shared(), waiter, error, &mut reply);
            self.unpark(slot, &reply);
        }
    }

    /// The time of a parked client is over.
    pub(super) fn give_up(&mut self, slot: usize) {
        let Some(connection) = self.connection(slot) else { return };
        let Waits::Parked { waiter, .. } = &connection.waits else { return };
        let (client, waiter) = (connection.client.id(), Arc::clone(waiter));
        // If somebody was faster, the reply is in the mail.
        if park::give_up(&self.server, &waiter) {
            self.on_gave_up(client, &waiter, false);
        }
    }

    /// Nothing for mail that has come too late: the client has left, or waits for something else.
    fn slot_parked_as(&mut self, client: u64, waiter: &Arc<Waiter>) -> Option<usize> {
        let slot = *self.slots.get(&client)?;
        match &self.connection(slot)?.waits {
            Waits::Parked { waiter: mine, .. } if Arc::ptr_eq(mine, waiter) => Some(slot),
            _ => None,
        }
    }

    fn unpark(&mut self, slot: usize, reply: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        self.parked.set(connection, slot, Waits::ForNothing);
        let mark = connection.output.len();
        connection.output.extend_from_slice(reply);
        if connection.client.flags.intersects(SILENT) {
            silence(connection, mark);
        }
        self.serve(slot);
    }

    /// A pause has ended.
    pub(super) fn resume(&mut self) {
        for slot in std::mem::take(&mut self.parked.paused) {
            if let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_deref_mut) {
                self.parked.set(connection, slot, Waits::ForNothing);
            }
            self.serve(slot);
        }
    }
}
