//! The node: its membership and its partitions as one state machine with one entry point.
//!
//! A server holds its partitions apart, each under the lock of the shard that has its values; [`Node`] is their sum, for
//! the model, the simulator and tests. It hands each input to who it is for, gives every turn just the partitions that
//! its scope names, and does all work that follows before [`Node::handle`] returns.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use crate::attic::Attic;
use crate::config::{Config, PARTS_MAX};
use crate::copy::Prepared;
use crate::durable::Durable;
use crate::each::Shared;
use crate::forming::Greeting;
use crate::ids::{Contact, FlightId, Generation, Incarnation, NodeId, NodeSet, OpId, Time, Version, ViewId};
use crate::interface::{Action, Change, Class, Input, Request};
use crate::key::Key;
use crate::members::Members;
use crate::message::{Base, BaseTag, Message};
use crate::mutant::Mutant;
use crate::part::Part;
use crate::repair::{Repair, Repairs};
use crate::tally::Tally;
use crate::turn::{Mail, Outbox, Turn};
use crate::values::Values;
use crate::view::View;

/// One node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node<V: Values> {
    values: V,
    members: Members,
    parts: Vec<Part<V::Undo>>,
    out: Outbox,
    /// The caller waits to hear that nothing is held here only.
    evacuating: bool,
    /// Writes that go for each of their keys by itself.
    shared: Shared,
}

/// What an observer may see of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyInfo<'a> {
    /// Versions and subscribers. Those of a solo key say little more than that it is one.
    pub meta: Cow<'a, crate::copy::Meta>,
    /// Whether this node orders the key's writes in the installed view.
    pub owns: bool,
    /// The owner, once the key is regrouped in the installed view.
    pub owner: Option<NodeId>,
    /// Whether a read would have to wait.
    pub pending: bool,
    /// A batch of class X that is prepared here and not decided, and the last of its entries for this key.
    pub prepared: Option<(FlightId, Option<Version>)>,
    /// Entries not yet known to be everywhere.
    pub log_len: usize,
    /// The log cannot stand for what happened: a fork would be decided whole.
    pub overflowed: bool,
}

impl CopyInfo<'_> {
    /// Whether the key has no record here, because only this node holds it.
    pub fn is_solo(&self) -> bool {
        self.meta.birth.view == ViewId::default()
    }
}

/// Which partitions a turn needs: that of the operation or message, and those of further keys.
type Scope = BTreeSet<u8>;

impl<V: Values> Node<V> {
    /// A node that has just started, with an empty store.
    ///
    /// # Panics
    /// If the number of partitions is no power of two or too large.
    pub fn new(config: Config, values: V) -> Self {
        assert!(config.parts.is_power_of_two() && config.parts <= PARTS_MAX, "{} partitions", config.parts);
        let parts = (0..config.parts).map(|id| Part::new(&config, id as u8)).collect();
        let members = Members::new(&config);
        let mut node = Self {
            values,
            members,
            parts,
            out: Outbox::default(),
            evacuating: false,
            shared: Shared::default(),
        };
        node.enter_all(true);
        node.settle_down();
        node.out.actions.clear();
        node
    }

    /// A node that has just started, with an empty store, and remembers what its earlier lives have agreed to.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn restore(config: Config, values: V, durable: Durable, now: Time) -> Self {
        let mut node = Self::new(Config { bootstrap: false, ..config }, values);
        node.with_members(|members| members.remember(durable, now));
        node
    }

    /// What is to be written down as long as nothing else is ([`Action::Persist`]).
    pub fn durable(&self) -> Durable {
        self.members.durable()
    }

    /// A node that starts in an installed first view of `members`, all in the life `config.incarnation`: for tests,
    /// models and benches that do not care how a cluster comes together.
    pub fn in_view(config: Config, values: V, members: NodeSet, now: Time) -> Self {
        let mut node = Self::new(Config { bootstrap: false, ..config }, values);
        let view = ViewId::new(1, NodeId(0));
        let tag = BaseTag { generation: Generation(1), born: view, cluster: 1 };
        let since = members.iter().map(|member| (member, tag.generation)).collect();
        let lives = members.iter().map(|member| (member, config.incarnation)).collect();
        node.members.now = now;
        node.members.adopt(
            view,
            Base { tag, copies: config.copies, members: lives, since, ..Base::default() },
            now.mono_ms,
        );
        node.members.adopt_peers(config.id, now.mono_ms, Some(now.mono_ms));
        node.enter_all(true);
        node
    }

    /// A node that has just got its number, with an empty store.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn named(config: Config, values: V, contact: Contact) -> Self {
        let mut node = Self::new(config, values);
        node.members.contact = contact;
        node
    }

    /// A node that starts as one of those who have made a first base, with an empty store.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn found(config: Config, values: V, contact: Contact, base: Base, now: Time) -> Self {
        let mut node = Self::named(Config { bootstrap: false, ..config }, values, contact);
        node.members.now = now;
        node.members.adopt(base.tag.born, base, now.mono_ms);
        node.members.adopt_peers(config.id, now.mono_ms, None);
        node.enter_all(true);
        node
    }

    /// The same as who it is and where it is found: for a node that is restored, perhaps at another place.
    #[must_use]
    pub fn at(mut self, contact: Contact) -> Self {
        self.members.contact = contact;
        self
    }

    /// A node that has shown that it is this one comes with that number. Its messages are to be handed in only if the number
    /// is its own, as far as this node knows; which changes with the base.
    ///
    /// # Errors
    /// If it is somebody else's: this is to be said to its address.
    pub fn admit(&mut self, now: Time, id: NodeId, contact: &Contact) -> Result<(), Box<Greeting>> {
        self.set_now(now);
        self.with_members(|members| members.admit(id, contact))
    }

    /// Who has the number, and where, as far as this node knows.
    pub fn contact_of(&self, id: NodeId) -> Option<&Contact> {
        self.members.contact_of(id)
    }

    /// What this node says to an address that discovery names and that it knows no member of.
    pub fn greeting(&self) -> Greeting {
        self.members.greeting()
    }

    /// Takes one input at `now` and appends what is to be done to `out`.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Action>) {
        self.set_now(now);
        match input {
            Input::Tick => {
                self.members.tick();
                self.gather();
                for id in 0..self.parts.len() {
                    self.turn_of(id as u8, |turn| turn.tick());
                }
            }
            Input::Message(envelope) => {
                let envelope = self.members.take(envelope);
                self.gather();
                if let Some(envelope) =
                    envelope.filter(|envelope| usize::from(envelope.part) < self.parts.len())
                {
                    let scope = self.scope_of(envelope.part, &envelope.message);
                    self.turn(envelope.part, scope.as_ref(), |turn| {
                        turn.on_message(envelope.from, envelope.from_part, envelope.message)
                    });
                }
            }
            Input::Client(request) if request.class == Class::Flush => {
                self.with_members(|members| members.change(request.ticket, Change::FlushAll));
            }
            Input::Change { ticket, change } => {
                self.with_members(|members| members.change(ticket, change));
            }
            Input::Client(request) => {
                match self.shared.divide(&request, &self.members.config, &self.values) {
                    Some(shares) => shares.into_iter().for_each(|share| self.ask(share)),
                    None => self.ask(request),
                }
            }
            Input::Wait { ticket, key } => self.turn_at(&key.clone(), |turn| turn.on_wait(ticket, key)),
            Input::CancelWait { ticket } => {
                for id in 0..self.parts.len() {
                    self.turn_of(id as u8, |turn| turn.on_cancel_wait(ticket));
                }
            }
            Input::Expire(key) => self.turn_at(&key.clone(), |turn| turn.on_expire(key)),
            Input::Evict(key) => self.turn_at(&key.clone(), |turn| turn.on_evict(key)),
            Input::Peer(node) => self.with_members(|members| members.meet(node)),
            Input::Greeting(greeting) => self.with_members(|members| members.on_greeting(*greeting)),
            Input::Forget(node) => self.with_members(|members| members.forget(node)),
            Input::Evacuate => {
                self.evacuating = true;
                for id in 0..self.parts.len() {
                    self.turn_of(id as u8, |turn| turn.evacuate());
                }
            }
            Input::Leave => self.with_members(Members::leave),
        }
        self.finish(out);
    }

    fn ask(&mut self, request: Request) {
        let keys = request.keys.iter().chain(request.watches.iter().map(|(key, _)| key));
        let part = keys.min().map_or(0, |key| key.part(self.parts()));
        self.turn_of(part, |turn| turn.on_client(request));
    }

    /// Starts an attempt at a view of `candidates` whatever the failure detector says: for models, which explore
    /// every choice of it.
    pub fn propose_view(&mut self, now: Time, candidates: NodeSet, out: &mut Vec<Action>) {
        self.set_now(now);
        self.with_members(|members| members.propose_view(candidates));
        self.finish(out);
    }

    /// Has membership do something, and what follows from it. Nothing else changes what partitions may do.
    fn with_members<R>(&mut self, act: impl FnOnce(&mut Members) -> R) -> R {
        let result = act(&mut self.members);
        self.members.settle_down();
        result
    }

    fn set_now(&mut self, now: Time) {
        let mono_ms = now.mono_ms.max(self.members.now.mono_ms);
        self.members.now = Time { mono_ms, ..now };
    }

    fn finish(&mut self, out: &mut Vec<Action>) {
        self.gather();
        self.settle_down();
        self.end_evacuation();
        self.shared.gather(&mut self.out.actions, &self.members.config, &self.values);
        out.append(&mut self.out.actions);
    }

    /// Takes over what membership wants done, and has partitions enter a view that it has installed.
    fn gather(&mut self) {
        if !self.out.doubted.is_empty() {
            self.members.probe(std::mem::take(&mut self.out.doubted));
        }
        self.enter_all(false);
        for (space, given_up) in std::mem::take(&mut self.out.emptied) {
            self.members.note_emptied(space, given_up);
        }
        if !self.members.out.is_empty() {
            self.out.actions.append(&mut self.members.out);
        }
    }

    fn enter_all(&mut self, at_start: bool) {
        let view = self.members.installed.view.id;
        if self.parts.iter().any(|part| part.view != view) {
            if at_start {
                let base = &self.members.installed.view.base;
                let members = self.members.installed.view.members;
                for part in &mut self.parts {
                    part.start_in(view, members, base);
                }
                return;
            }
            for id in 0..self.parts.len() {
                self.turn_of(id as u8, |_| {});
            }
        }
    }

    /// Does all work that follows from what was done so far.
    fn settle_down(&mut self) {
        loop {
            if let Some(mail) = self.out.mail.pop_front() {
                self.deliver(mail);
            } else if let Some(id) = self.parts.iter().position(Part::has_work) {
                self.turn_of(id as u8, |turn| turn.step());
            } else if let Some(op) = self.parts.iter_mut().find_map(|part| part.ready.pop_first()) {
                let scope = self.scope_of_operation(op);
                self.turn(op.part(), scope.as_ref(), |turn| turn.advance(op));
            } else {
                break;
            }
        }
    }

    fn deliver(&mut self, mail: Mail) {
        let (part, scope) = match &mail {
            Mail::Message { part, message, .. } => (*part, self.scope_of(*part, message)),
            Mail::Ready(op) => (op.part(), None),
            Mail::Learned(part, _) => (*part, None),
            Mail::Late(op) => (op.part(), self.scope_of_operation(*op)),
            Mail::Disengage(_, key) => (key.part(self.parts()), None),
            Mail::Pinned(op, key) => (op.part(), self.scope_of_keys(op.part(), std::iter::once(key))),
            Mail::Decide(flight) | Mail::Close(flight) => {
                let part = flight.part();
                let flight = self.parts[usize::from(part)].flights.get(flight);
                (part, flight.and_then(|flight| self.scope_of_keys(part, flight.keys.iter())))
            }
        };
        self.turn(part, scope.as_ref(), |turn| turn.on_mail(mail));
    }

    /// The partitions that a message needs; `None`: just the one that it is for.
    fn scope_of(&self, part: u8, message: &Message) -> Option<Scope> {
        match message {
            Message::Forward(operation) => {
                let keys = operation.keys.iter().chain(operation.watches.iter().map(|(key, _)| key));
                self.scope_of_keys(part, keys)
            }
            Message::Redirect { owner: Some((key, _)), .. } => self.scope_of_keys(part, std::iter::once(key)),
            _ => None,
        }
    }

    fn scope_of_operation(&self, op: OpId) -> Option<Scope> {
        let operation = self.parts.get(usize::from(op.part()))?.operations.get(&op)?;
        let keys = operation.keys.iter().chain(operation.watches.iter().map(|(key, _)| key));
        self.scope_of_keys(op.part(), keys)
    }

    fn scope_of_keys<'a>(&self, part: u8, keys: impl Iterator<Item = &'a Key>) -> Option<Scope> {
        let mut scope: Option<Scope> = None;
        for other in keys.map(|key| key.part(self.parts())).filter(|other| *other != part) {
            scope.get_or_insert_default().insert(other);
        }
        scope
    }

    fn parts(&self) -> u16 {
        self.parts.len() as u16
    }

    fn turn_at(&mut self, key: &Key, act: impl FnOnce(&mut Turn<'_, V>)) {
        self.turn_of(key.part(self.parts()), act);
    }

    /// A turn of one partition.
    fn turn_of(&mut self, id: u8, act: impl FnOnce(&mut Turn<'_, V>)) {
        self.turn(id, None, act);
    }

    /// A turn of the partition `focus` and those of the scope, if there is one.
    fn turn(&mut self, focus: u8, scope: Option<&Scope>, act: impl FnOnce(&mut Turn<'_, V>)) {
        let members = &self.members;
        let (part, others) = match scope {
            None => (self.parts.get_mut(usize::from(focus)), Vec::new()),
            Some(scope) => {
                let is_held = |part: &&mut Part<V::Undo>| part.id == focus || scope.contains(&part.id);
                let mut held = self.parts.iter_mut().filter(is_held);
                (held.next(), held.collect())
            }
        };
        let Some(part) = part else { return };
        let mut turn = Turn {
            part,
            others,
            values: &mut self.values,
            installed: &members.installed,
            fence: members.fence(),
            life: members.incarnation,
            config: &members.config,
            now: members.now,
            out: &mut self.out,
        };
        for id in scope.into_iter().flatten() {
            turn.focus(*id);
            turn.enter();
        }
        turn.focus(focus);
        turn.enter();
        act(&mut turn);
        if turn.part.has_much_to_ask() {
            let when = turn.when();
            turn.part.ask_some(when);
        }
    }

    /// An evacuation is over when every partition has looked at all its keys and found none to hand over.
    fn end_evacuation(&mut self) {
        if !self.evacuating || self.parts.iter().any(Part::has_forks) {
            return;
        }
        let mut is_over = true;
        for id in 0..self.parts.len() {
            self.turn_of(id as u8, |turn| is_over &= turn.is_evacuated());
        }
        if is_over {
            self.evacuating = false;
            self.parts.iter_mut().for_each(|part| part.evacuation = None);
            self.out.actions.push(Action::Evacuated);
        }
    }

    /// The key that a client means by a name, in the installed view. All that takes or gives a key besides
    /// [`Input::Client`], [`Input::Wait`] and their answers means these.
    #[inline]
    pub fn key_of(&self, name: &Key) -> Key {
        self.view().base.databases.key_of(name)
    }

    /// What clients call a key; nothing if its database was flushed.
    pub fn name_of(&self, key: &Key) -> Option<Key> {
        self.view().base.databases.name_of(key)
    }

    /// The fast path: whether a write on a key that `exists` here may be executed by the caller at once, because only this
    /// node holds it and nothing is waiting for it; if so, it is counted. Afterwards the caller answers, and tells by
    /// [`Self::gone_alone`] if the key has no value any more; nobody else needs to know. `false`: go through
    /// [`Input::Client`].
    #[inline]
    pub fn write_alone(&mut self, key: &Key, class: Class, exists: bool) -> bool {
        let (fence, now) = (self.members.fence(), self.members.now);
        let is_decided = class == Class::X || self.values.is_decided_once(key);
        if !fence.serving
            || !fence.may.writes
            || fence.keepers
            || is_decided && now.mono_ms >= fence.lease_until_ms
        {
            return false;
        }
        let (id, view) = (key.part(self.parts()), self.members.installed.view.id);
        let unstamped = self.members.config.without(Mutant::FastPathWithoutStamp);
        let wall_ms = (!unstamped).then_some(now.wall_ms);
        let part = &mut self.parts[usize::from(id)];
        match part.write_recorded(key, view, wall_ms) {
            Some(written) => written,
            None => {
                let owned = part.unowned.lacks(key.mark())
                    || self.members.config.without(Mutant::FastPathBeforeOwning);
                exists && owned && part.write_solo(fence, now)
            }
        }
    }

    /// The fast path for reads: whether the caller may read a key that `exists` here at once, because only this node
    /// holds it.
    #[inline]
    pub fn read_alone(&self, key: &Key, exists: bool) -> bool {
        let (part, fence) = (self.part_of(key), self.members.fence());
        let may = fence.serving && fence.may.reads;
        exists && may && !part.copies.contains(key) && part.unowned.lacks(key.mark())
    }

    /// What was written on the fast path has left the key without a value.
    pub fn gone_alone(&mut self, key: &Key, out: &mut Vec<Action>) {
        self.turn_at(key, |turn| turn.forget_solo(key));
        self.finish(out);
    }

    fn is_solo(&self, key: &Key) -> bool {
        !self.part_of(key).copies.contains(key) && self.values.holds(key)
    }

    /// The store.
    pub fn values(&self) -> &V {
        &self.values
    }

    /// The store, for what happens beside the protocol (tests, memory accounting).
    pub fn values_mut(&mut self) -> &mut V {
        &mut self.values
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.members.config
    }

    /// Whether this node orders the key's writes in the installed view: `copy_of(key).owns` without the rest.
    pub fn owns(&self, key: &Key) -> bool {
        if self.is_solo(key) {
            return self.part_of(key).unowned.lacks(key.mark());
        }
        let owning = self.part_of(key).owning(key, self.view().id);
        owning.is_some_and(|owning| !owning.hands_over())
    }

    /// Which creation of the key this node has a record of and owns, and which clients stand in line for it: by node and ticket,
    /// the first one first.
    pub fn line_of(&self, key: &Key) -> Option<(FlightId, Vec<(NodeId, u64)>)> {
        let copy = self.part_of(key).copies.get(key)?;
        let owning = copy.owning(self.view().id).filter(|owning| !owning.hands_over())?;
        Some((copy.meta.birth, owning.waiters.iter().copied().collect()))
    }

    /// The installed view.
    pub fn view(&self) -> &View {
        &self.members.installed.view
    }

    /// The base this node stands on: newer than the view's while it is accepted and not known to be installed.
    pub fn accepted_base(&self) -> &Base {
        self.members.stands_on()
    }

    /// Which life of the node this is.
    pub fn incarnation(&self) -> Incarnation {
        self.members.incarnation
    }

    /// Whether data messages are handled: a view is installed and no newer one is promised.
    pub fn is_serving(&self) -> bool {
        self.members.fence().serving
    }

    /// Whether X is allowed at present as far as the lease goes.
    pub fn has_lease(&self) -> bool {
        self.members.now.mono_ms < self.members.fence().lease_until_ms
    }

    fn part_of(&self, key: &Key) -> &Part<V::Undo> {
        &self.parts[usize::from(key.part(self.parts()))]
    }

    /// Keys held here, in order.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.parts.iter().flat_map(|part| part.copies.keys().cloned()).collect();
        keys.extend(self.values.keys_in(&|_| true));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// How many keys have a record here besides their value. That a key is solo or not there costs none.
    pub fn recorded(&self) -> usize {
        self.parts.iter().map(|part| part.copies.len()).sum()
    }

    /// What is known of a copy.
    pub fn copy_of(&self, key: &Key) -> Option<CopyInfo<'_>> {
        let part = self.part_of(key);
        if self.is_solo(key) {
            let meta = Cow::Owned(part.solo_meta(key.mark()));
            let owns = self.owns(key);
            let owner = owns.then_some(self.config().id);
            let (pending, overflowed) = (false, false);
            return Some(CopyInfo { meta, owns, owner, pending, prepared: None, log_len: 0, overflowed });
        }
        let copy = part.copies.get(key)?;
        let view = self.view().id;
        Some(CopyInfo {
            meta: Cow::Borrowed(&copy.meta),
            owns: self.owns(key),
            owner: copy.owner(view, self.config().id),
            pending: copy.is_pending(view),
            prepared: copy.prepared.map(|Prepared { flight, .. }| {
                let parts = part.records.get(&flight).map_or(&[][..], |record| &record.parts);
                let own = parts.iter().find(|part| part.key == *key);
                (flight, own.and_then(|part| part.entries.last()).map(|entry| entry.dot))
            }),
            log_len: copy.log.entries.len(),
            overflowed: copy.log.overflow,
        })
    }

    /// Whether a fork of the key waits here to be merged.
    pub fn has_fork(&self, key: &Key) -> bool {
        let part = self.part_of(key);
        let is_in = |attic: &Attic| attic.has(key, &self.values, &self.view().base, self.config());
        part.has_stashed(key) || part.attics.iter().any(is_in)
    }

    /// The home of a key in the installed view.
    pub fn home_of(&self, key: &Key) -> Option<NodeId> {
        key.slot().home(self.view().members)
    }

    /// What this node contributes to a scan of these slots: the names of the keys that it holds, in order, and of those
    /// whose copies it has dropped a while ago. Some may have no value: what was just taken out may come back, as long as that is
    /// not decided.
    ///
    /// A scan asks all members of its node's view. If their answers are of this view, and come within `op_ms` of the
    /// scan, each key is among them that was held by members of it all the time.
    pub fn names_in(&self, slots: Range<u16>) -> Vec<Key> {
        let mut names = self.values.keys_in(&|slot| slots.contains(&slot.0));
        let records = self.parts.iter().flat_map(|part| part.copies.in_slots(slots.clone()));
        names.extend(records.cloned());
        let left = self.parts.iter().flat_map(|part| &part.left).map(|(_, key)| key);
        names.extend(left.filter(|key| slots.contains(&key.slot().0)).cloned());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Of how many keys this node knows as their home who holds them; keys that agree in slot and hash count as one.
    pub fn known(&self) -> usize {
        self.parts.iter().map(|part| part.directory.len()).sum()
    }

    /// Client operations, forks and in-doubt batches not finished: all zero in a healthy cluster at rest.
    pub fn unfinished(&self) -> (usize, usize, usize) {
        let asked = self.members.flushes.len() + self.shared.len();
        self.parts.iter().fold((asked, 0, 0), |(operations, forks, batches), part| {
            let open = part.records.values().filter(|record| !record.closed).count();
            (
                operations + part.operations_len(),
                forks + part.stash.len() + part.attics.len(),
                batches + open + part.flights.len() + part.guests.len(),
            )
        })
    }

    /// How many keys are known to lack the second holder that the base wants each to have.
    pub fn repairs(&self) -> Repairs {
        let seen = Repairs { alone: 0, all_seen: true };
        let repairs = self.parts.iter().filter_map(|part| part.repair.as_ref()).map(Repair::so_far);
        repairs.fold(seen, |all, of_part| Repairs {
            alone: all.alone + of_part.alone,
            all_seen: all.all_seen && of_part.all_seen,
        })
    }

    /// Batches of class X of which this node keeps a record.
    pub fn records(&self) -> usize {
        self.parts.iter().map(|part| part.records.len()).sum()
    }

    /// How often each rule was used.
    pub fn tally(&self) -> Tally {
        let mut tally = self.out.tally.clone();
        tally.add_all(&self.members.tally);
        tally
    }
}
