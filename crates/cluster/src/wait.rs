//! Blocking waits: the owner keeps the waiting nodes in order of arrival and wakes one per write.
//!
//! A woken client claims with an ordinary pop, which decides. For it the key is *reserved*: whatever else is asked for at its owner
//! waits until the claim has come, its client turns out to be gone, or a retry's time is over. So a wait is served before what
//! came later, and who is gone takes nothing. A wait that is lost with an
//! owner or a message is registered again by its own node, and the owner wakes at once when the key is ready. That is
//! done less and less often, because most clients wait for long and nothing is lost.

use crate::copy::{Busy, Queued};
use crate::ids::{NodeId, OpId, ViewId};
use crate::interface::Action;
use crate::key::Key;
use crate::message::Message;
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;

/// A client of this node that blocks on a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Waiting {
    /// As the client names it.
    name: Key,
    /// What that meant when it was registered last.
    key: Key,
    /// In which view it was registered last, and when.
    sent: Option<(ViewId, u64)>,
    /// Until it is registered again.
    pause_ms: u64,
}

/// Of retry intervals, the longest pause before a wait is registered again.
const PAUSE_MAX: u64 = 32;

impl<V: Values> Turn<'_, V> {
    pub(crate) fn on_wait(&mut self, ticket: u64, name: Key) {
        let key = self.part.databases.key_of(&name);
        let waiting = Waiting { name, key: key.clone(), sent: None, pause_ms: 0 };
        if self.part.waits.insert(ticket, waiting).is_none() {
            *self.part.waited_for.entry(key).or_default() += 1;
        }
        self.part.due.waits.open(ticket);
        self.register_wait(ticket);
    }

    pub(crate) fn on_cancel_wait(&mut self, ticket: u64) {
        let waited = self.end_wait(ticket).map(|waiting| waiting.key);
        let Some(key) = waited.or_else(|| self.part.woken.remove(&ticket)) else { return };
        let me = self.config.id;
        if !self.is_serving() {
            return;
        }
        if let Some(owner) = self.owner_of(&key) {
            self.send(owner, Message::WaitOver { key, node: me, ticket });
        }
    }

    fn register_wait(&mut self, ticket: u64) {
        let (me, now) = (self.config.id, self.now.mono_ms);
        let retry = self.config.timers.retry_ms;
        let pause_max = if self.config.without(Mutant::RegisterWithoutPause) { 1 } else { PAUSE_MAX };
        let Some(waiting) = self.part.waits.get_mut(&ticket) else { return };
        let view = self.installed.view.id;
        let before_ms = if waiting.is_known_in(view) { waiting.pause_ms } else { 0 };
        waiting.sent = Some((view, now));
        waiting.pause_ms = (2 * before_ms).clamp(retry, retry * pause_max);
        let key = match self.config.without(Mutant::WaitsKeepSpaces) {
            true => waiting.key.clone(),
            false => self.part.databases.key_of(&waiting.name),
        };
        let before = std::mem::replace(&mut waiting.key, key.clone());
        if before != key {
            *self.part.waited_for.entry(key.clone()).or_default() += 1;
            self.waits_no_more_for(&before);
        }
        if !self.is_serving() {
            return;
        }
        match self.owner_of(&key) {
            Some(owner) => self.send(owner, Message::WaitFor { key, node: me, ticket }),
            None => {
                // With the next tick, when the key may have an owner.
                self.part.waits.entry(ticket).and_modify(|waiting| waiting.sent = None);
                self.touch(&key);
            }
        }
    }

    pub(crate) fn wait_tick(&mut self) {
        // Some of those that no owner of this view knows of.
        if let Some(next) = self.part.unregistered_from {
            let mut tickets = self.part.waits.range(next..).map(|(ticket, _)| *ticket);
            for ticket in tickets.by_ref().take(self.config.limits.walk_max) {
                self.part.due.waits.open(ticket);
            }
            self.part.unregistered_from = tickets.next();
        }
        for ticket in self.part.due_waits(self.when()) {
            self.register_wait(ticket);
        }
    }

    pub(crate) fn on_wait_for(&mut self, from: NodeId, key: Key, node: NodeId, ticket: u64) {
        if !self.owns_or_tells(from, &key) {
            return;
        }
        let queued = Queued::Wait(node, ticket);
        if self.owning(&key).is_some_and(|owning| !owning.queue.contains(&queued)) {
            // Behind what was asked for before.
            self.enqueue(&key, queued);
        }
    }

    /// A wait has come to its turn among what is asked for: it stands in line from now on.
    pub(crate) fn line_up(&mut self, key: &Key, node: NodeId, ticket: u64) {
        let waiters_max = self.config.limits.waiters_max;
        let Some(owning) = self.owning_mut(key) else { return };
        if !owning.waiters.contains(&(node, ticket)) && owning.waiters.len() < waiters_max {
            owning.waiters.push_back((node, ticket));
        }
        // A waiter that comes back found the key ready or missed its wake: either way it may look again.
        owning.woken_seq = None;
    }

    pub(crate) fn on_wait_over(&mut self, key: Key, node: NodeId, ticket: u64) {
        if let Some(owning) = self.owning_mut(&key) {
            owning.waiters.retain(|waiter| *waiter != (node, ticket));
            owning.queue.retain(|queued| *queued != Queued::Wait(node, ticket));
        }
        if self.is_reserved_for(&key, node, ticket) && !self.config.without(Mutant::ReserveForTheGone) {
            self.end_reservation(&key);
        }
    }

    fn is_reserved_for(&self, key: &Key, node: NodeId, ticket: u64) -> bool {
        let busy = self.owning(key).and_then(|owning| owning.busy.as_ref());
        matches!(busy, Some(Busy::Reserved { node: of, ticket: reserved, .. }) if (*of, *reserved) == (node, ticket))
    }

    /// Whether the operation is what its key is reserved for.
    pub(crate) fn claims_now(&self, key: &Key, op: OpId) -> bool {
        let claims = self.part.operations.get(&op).and_then(|operation| operation.claims);
        claims.is_some_and(|ticket| self.is_reserved_for(key, op.node, ticket))
    }

    /// Whoever the key was reserved for has not come: the next in line is woken.
    pub(crate) fn end_reservation(&mut self, key: &Key) {
        if let Some(owning) = self.owning_mut(key) {
            owning.woken_seq = None;
        }
        self.release(key);
    }

    /// Wakes the first waiter when the key is ready and nobody was woken for this version yet. True: the key is reserved for it.
    pub(crate) fn wake_next(&mut self, key: &Key) -> bool {
        let view = self.installed.view.id;
        if self.owning(key).is_none_or(|owning| owning.waiters.is_empty()) || !self.values.ready(key) {
            return false;
        }
        let Some(copy) = self.part.copies.get_mut(key) else { return false };
        let seq = copy.meta.version.seq;
        let Some(owning) = copy.owning_mut(view).filter(|owning| owning.woken_seq != Some(seq)) else {
            return false;
        };
        let latest = self.config.without(Mutant::WakeTheLatest);
        let waiters = &mut owning.waiters;
        let next = if latest { waiters.pop_back() } else { waiters.pop_front() };
        let Some((node, ticket)) = next else { return false };
        owning.woken_seq = Some(seq);
        self.count(Rule::Woke);
        let reserves = !self.config.without(Mutant::WakeWithoutReserving);
        if reserves {
            self.set_busy(key, Busy::Reserved { node, ticket, sent_ms: self.now.mono_ms });
        }
        self.send(node, Message::Wake { key: key.clone(), ticket });
        reserves
    }

    pub(crate) fn on_wake(&mut self, from: NodeId, key: Key, ticket: u64) {
        if self.part.waits.get(&ticket).is_some_and(|waiting| waiting.key == key) {
            self.end_wait(ticket);
            self.part.woken.insert(ticket, key);
            self.out.actions.push(Action::Wake { ticket });
        } else if !self.part.woken.contains_key(&ticket) {
            let node = self.config.id;
            self.send(from, Message::WaitOver { key, node, ticket });
        }
    }

    fn end_wait(&mut self, ticket: u64) -> Option<Waiting> {
        let waiting = self.part.waits.remove(&ticket)?;
        self.waits_no_more_for(&waiting.key);
        Some(waiting)
    }

    fn waits_no_more_for(&mut self, key: &Key) {
        if let Some(count) = self.part.waited_for.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.part.waited_for.remove(key);
            }
        }
    }
}

impl Waiting {
    /// Whether an owner of this view was told of it.
    fn is_known_in(&self, view: ViewId) -> bool {
        self.sent.is_some_and(|(of, _)| of == view)
    }

    /// When it is to be registered again.
    pub(crate) fn due_ms(&self, view: ViewId) -> u64 {
        self.sent.filter(|(of, _)| *of == view).map_or(0, |(_, sent_ms)| sent_ms + self.pause_ms)
    }
}
