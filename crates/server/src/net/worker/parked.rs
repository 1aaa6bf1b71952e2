//! Connections that wait before their next request may run: parked by a blocking command, or held by a pause.
//!
//! What a connection waits for is said in one place, [`Connection::waits`]; all else that must agree with it (the
//! client's flags, what CLIENT UNBLOCK finds, the deadlines) is changed by [`Parked::set`] alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swytch_resp::Output;
use swytch_store::Waiter;

use super::output::{SILENT, silence};
use super::{Happened, Worker};
use crate::clients::ClientFlags;
use crate::dispatch::park;
use crate::net::connection::Connection;
use crate::net::waits::Waits;
use crate::server::Mail;
use crate::system::clock::MonotonicMs;

/// The waiting connections of a worker, by their slots.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// When those that give up at some time do.
    deadlines: BTreeSet<(MonotonicMs, usize)>,
    /// Those held by a pause.
    paused: BTreeSet<usize>,
    /// Those that wait until somebody has come far enough.
    awaiting: BTreeSet<usize>,
}

impl Parked {
    /// The one way for a connection to begin or end a wait. Returns what it has waited for.
    fn set(&mut self, connection: &mut Connection, slot: usize, waits: Waits) -> Waits {
        let before = std::mem::replace(&mut connection.waits, waits);
        let now = &connection.waits;
        if let Some(deadline) = before.deadline() {
            self.deadlines.remove(&(deadline, slot));
        }
        if let Some(deadline) = now.deadline() {
            self.deadlines.insert((deadline, slot));
        }
        for (slots, is_among) in [
            (&mut self.paused, matches!(now, Waits::Paused)),
            (
                &mut self.awaiting,
                matches!(now, Waits::Parked { waiter, .. } if park::awaits_progress(waiter)),
            ),
        ] {
            if is_among {
                slots.insert(slot);
            } else if !slots.is_empty() {
                slots.remove(&slot);
            }
        }
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

    /// When the first one gives up.
    pub(super) fn next_deadline(&self) -> Option<MonotonicMs> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The next one whose time is over.
    pub(super) fn pop_due(&mut self, now: MonotonicMs) -> Option<usize> {
        if self.next_deadline()? > now {
            return None;
        }
        self.deadlines.pop_first().map(|(_, slot)| slot)
    }
}

impl Worker<'_> {
    /// A blocking command has found nothing.
    pub(super) fn park(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        waiter: Arc<Waiter>,
        deadline: Option<MonotonicMs>,
    ) {
        let awaits = park::awaits_progress(&waiter).then(|| Arc::clone(&waiter));
        self.parked.set(connection, slot, Waits::Parked { waiter, deadline });
        connection.compact_input();
        if let Some(waiter) = awaits {
            // Before it is looked: whoever comes further behind this sees it.
            self.shared().holds.store(true, Ordering::SeqCst);
            if park::has_reached(self.server, self.shared(), &waiter) {
                self.shared().mailbox.send(Mail::Released);
            }
        }
    }

    /// Somebody has come further: clients that have waited for it are answered.
    pub(super) fn answer_awaiting(&mut self) {
        let slots: Vec<usize> = self.parked.awaiting.iter().copied().collect();
        if slots.is_empty() {
            return;
        }
        self.shared().holds.store(true, Ordering::SeqCst);
        for slot in slots {
            let Some(connection) = self.connection(slot) else { continue };
            let Waits::Parked { waiter, .. } = &connection.waits else { continue };
            let (client, waiter) = (connection.client.id(), Arc::clone(waiter));
            if park::has_reached(self.server, self.shared(), &waiter) && park::give_up(self.server, &waiter) {
                self.on_gave_up(client, &waiter, false);
            }
        }
    }

    /// The next request must wait for the end of a pause.
    pub(super) fn pause(&mut self, connection: &mut Connection, slot: usize) {
        self.parked.set(connection, slot, Waits::Paused);
    }

    /// Nothing behind the last request is to run: the peer said QUIT, or has broken the protocol.
    pub(super) fn end_after_replies(&mut self, connection: &mut Connection, slot: usize) {
        connection.client.flags |= ClientFlags::CLOSE_AFTER_REPLY;
        connection.forget_requests();
        self.parked.set(connection, slot, Waits::ForTheEnd);
    }

    /// The connection ends, whatever it waits for.
    pub(super) fn wait_no_more(&mut self, connection: &mut Connection, slot: usize) {
        if let Waits::Parked { waiter, .. } = self.parked.set(connection, slot, Waits::ForNothing) {
            park::give_up(self.server, &waiter);
            park::leave_queues(self.server, &waiter);
        }
    }

    /// A parked client was served: its reply goes out and its next requests are run.
    pub(super) fn on_served(&mut self, client: u64, waiter: &Arc<Waiter>, reply: Output) {
        if let Some(slot) = self.slot_parked_as(client, waiter) {
            park::leave_queues(self.server, waiter);
            self.unpark(slot, reply);
        }
    }

    /// A parked client has stopped waiting: its time is over, or CLIENT UNBLOCK said so.
    pub(super) fn on_gave_up(&mut self, client: u64, waiter: &Arc<Waiter>, error: bool) {
        if let Some(slot) = self.slot_parked_as(client, waiter) {
            park::leave_queues(self.server, waiter);
            let mut reply = Output::default();
            park::answer_in_vain(self.server, self.shared(), waiter, error, &mut reply);
            self.unpark(slot, reply);
        }
    }

    /// The time of a parked client is over.
    pub(super) fn give_up(&mut self, slot: usize) {
        let Some(connection) = self.connection(slot) else { return };
        let Waits::Parked { waiter, .. } = &connection.waits else { return };
        let (client, waiter) = (connection.client.id(), Arc::clone(waiter));
        if let Some(next) = park::look_again(self.server, self.shared(), &waiter) {
            if let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_deref_mut) {
                self.parked.set(connection, slot, Waits::Parked { waiter, deadline: next });
            }
            return;
        }
        // If somebody was faster, the reply is in the mail.
        if park::give_up(self.server, &waiter) {
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

    fn unpark(&mut self, slot: usize, reply: Output) {
        let Some(mut connection) = self.connections.get_mut(slot).and_then(Option::take) else { return };
        self.parked.set(&mut connection, slot, Waits::ForNothing);
        let (mark, before) = (connection.output.position(), self.mark(&mut connection));
        connection.output.set_silent(connection.client.flags.intersects(SILENT));
        connection.output.append(reply);
        connection.output.set_silent(false);
        if connection.client.flags.intersects(SILENT) {
            silence(&mut connection, mark);
        }
        self.hold_served(&mut connection, before);
        self.connections[slot] = Some(connection);
        self.serve(slot);
    }

    /// A pause has ended.
    pub(super) fn resume(&mut self) {
        for slot in std::mem::take(&mut self.parked.paused) {
            if let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_deref_mut) {
                self.parked.set(connection, slot, Waits::ForNothing);
            }
            self.happened.push_back(Happened { slot, is_writable: false, is_readable: true, is_over: false });
        }
    }
}
