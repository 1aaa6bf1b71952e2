//! What follows from changes of the keyspace, before the locks are released and after.

use swytch_store::{Changes, Effect, EffectUndo, Event, Keyspace, KeyspaceMut, Sink, Undo, Wants};

use super::listeners::Listeners;
use super::{guard, park, tracking};
use crate::command::{Call, Flags};
use crate::effects::Recorder;
use crate::server::{Conditions, Server, WorkerShared};

/// Runs `act` on a write view: with the listeners if there are any, and with everything that
/// follows from changes, before the locks are released.
#[inline]
pub fn make<'s, R>(
    server: &'s Server,
    worker: &WorkerShared,
    keyspace: Keyspace<'s>,
    act: impl FnOnce(&mut KeyspaceMut<'s, '_>) -> R,
) -> R {
    if server.conditions().intersects(Conditions::LISTENED) {
        return make_heard(server, worker, keyspace, act);
    }
    let mut keyspace = KeyspaceMut::new(keyspace, None);
    let result = guard::catch(|| act(&mut keyspace));
    park::serve_ready(server, worker, &mut keyspace);
    finish(server, worker, keyspace);
    guard::go_on(result)
}

#[cold]
fn make_heard<'s, R>(
    server: &'s Server,
    worker: &WorkerShared,
    keyspace: Keyspace<'s>,
    act: impl FnOnce(&mut KeyspaceMut<'s, '_>) -> R,
) -> R {
    let mut listeners = Listeners::of(server, worker);
    let sink: &mut dyn Sink = &mut listeners;
    let mut keyspace = KeyspaceMut::new(keyspace, Some(sink));
    let result = guard::catch(|| act(&mut keyspace));
    park::serve_ready(server, worker, &mut keyspace);
    let (keyspace, mut changes) = keyspace.finish();
    listeners.publish();
    tracking::tell(server, worker, &mut changes);
    drop(keyspace);
    count(server, worker, changes);
    guard::go_on(result)
}

/// As [`make`], where what `act` does may have to be taken back: it returns nothing then. Under all locks it has no
/// reason to.
pub fn make_or_take_back<'s, R>(
    server: &'s Server,
    worker: &WorkerShared,
    keyspace: Keyspace<'s>,
    act: impl FnOnce(&mut KeyspaceMut<'s, '_>) -> Option<R>,
) -> Option<R> {
    if keyspace.locked().covers_all() {
        return make(server, worker, keyspace, act);
    }
    let listeners =
        server.conditions().intersects(Conditions::LISTENED).then(|| Listeners::of(server, worker));
    let mut journal = Journal { undos: Vec::new(), told: Vec::new(), listeners };
    let mut keyspace = KeyspaceMut::new(keyspace, Some(&mut journal));
    let result = guard::catch(|| act(&mut keyspace));
    if let Ok(None) = result {
        let (keyspace, changes) = keyspace.finish();
        // First: what is told now has no group to wait for, and is told before the locks are released.
        drop(journal.listeners);
        take_back(server, worker, keyspace, changes, journal.undos);
        return None;
    }
    park::serve_ready(server, worker, &mut keyspace);
    let (keyspace, mut changes) = keyspace.finish();
    journal.publish();
    tracking::tell(server, worker, &mut changes);
    drop(keyspace);
    count(server, worker, changes);
    guard::go_on(result)
}

/// Takes changes back that nobody has heard of, and releases the locks.
#[cold]
fn take_back<'s>(
    server: &'s Server,
    worker: &WorkerShared,
    keyspace: Keyspace<'s>,
    mut changes: Changes,
    undos: Vec<KeyUndo>,
) {
    let mut keyspace = KeyspaceMut::new(keyspace, None);
    for KeyUndo { db, key, undo } in undos.into_iter().rev() {
        keyspace.undo(&server.shards.key(db, &key), &undo);
    }
    let (keyspace, mut undone) = keyspace.finish();
    // It is no longer noted who had read what was changed and is as it was again.
    tracking::tell(server, worker, &mut changes);
    tracking::tell(server, worker, &mut undone);
    drop(keyspace);
    for retired in [changes.take_retired(), undone.take_retired()] {
        server.reclaimer.retire(retired);
    }
}

/// What takes changes back, and what is to be told of them if they stay.
struct Journal<'s> {
    undos: Vec<KeyUndo>,
    told: Vec<(Told, Box<[u8]>)>,
    listeners: Option<Listeners<'s>>,
}

impl Journal<'_> {
    /// The changes stay: listeners hear of them.
    fn publish(self) {
        let Some(mut listeners) = self.listeners else { return };
        for (told, key) in &self.told {
            match told {
                Told::Event(db, event) => listeners.event(*db, *event, key),
                Told::Touched { has_expired } => listeners.touched(key, *has_expired),
            }
        }
        listeners.publish();
    }
}

/// What listeners are told of a key beside its effects.
enum Told {
    Event(u32, Event),
    Touched { has_expired: bool },
}

/// What takes a change of one key back.
struct KeyUndo {
    db: u32,
    key: Box<[u8]>,
    undo: Undo,
}

impl Sink for Journal<'_> {
    fn wants(&self) -> Wants {
        Wants {
            undo: true,
            events: self.listeners.as_ref().is_some_and(|listeners| listeners.wants().events),
        }
    }

    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        debug_assert!(undo.is_some(), "what cannot be taken back happens under all locks only: {effect:?}");
        if let Some(undo) = undo {
            undo.each_key(effect, |db, key, undo| self.undos.push(KeyUndo { db, key: key.into(), undo }));
        }
        if let Some(listeners) = &mut self.listeners {
            listeners.changed(effect, None);
        }
    }

    fn event(&mut self, db: u32, event: Event, key: &[u8]) {
        if self.listeners.is_some() {
            self.told.push((Told::Event(db, event), key.into()));
        }
    }

    fn message(&mut self, db: u32, words: &[&[u8]]) {
        if let Some(listeners) = &mut self.listeners {
            listeners.message(db, words);
        }
    }

    fn touched(&mut self, key: &[u8], has_expired: bool) {
        if self.listeners.is_some() {
            self.told.push((Told::Touched { has_expired }, key.into()));
        }
    }
}

/// Releases the locks of a view that has changed something, counts it, and hands over what is to be freed.
pub fn finish(server: &Server, worker: &WorkerShared, keyspace: KeyspaceMut<'_, '_>) {
    let (keyspace, mut changes) = keyspace.finish();
    tracking::tell(server, worker, &mut changes);
    drop(keyspace);
    count(server, worker, changes);
}

/// Tells whoever reads the order of effects of a command that has changed what is no key. Called when it has: a log that begins
/// meanwhile has it twice rather than not at all.
pub fn tell(server: &Server, worker: &WorkerShared, words: &[&[u8]]) {
    tell_together(server, worker, [words]);
}

/// The same of what several commands do at once.
pub fn tell_together<'w>(
    server: &Server,
    worker: &WorkerShared,
    commands: impl IntoIterator<Item = &'w [&'w [u8]]>,
) {
    if server.conditions().contains(Conditions::RECORDING) {
        let mut group = Recorder::of_thread();
        commands.into_iter().for_each(|words| group.command(words));
        server.effects.publish(&worker.lane, group);
    }
}

/// Forwards a command that changes nothing to those who follow: behind the changes that came before it, and not behind what
/// comes of it.
pub fn forward(call: &Call<'_>) {
    if call.server.replication.is_kept() {
        let mut group = Recorder::of_thread();
        group.message(call.client.db, &forwarded(call));
        call.server.effects.publish(&call.worker.lane, group);
    }
}

/// The same of one that runs under the locks of a view, if it is to be forwarded: as a part of its group.
#[inline]
pub(super) fn forward_within(call: &Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) {
    if call.command.is(Flags::FORWARDED) && call.server.replication.is_kept() {
        keyspace.message(call.client.db, &forwarded(call));
    }
}

fn forwarded<'c>(call: &Call<'c>) -> Vec<&'c [u8]> {
    // Who has renamed it has done so here.
    std::iter::once(call.command.spec.name.as_bytes()).chain(call.args.from(1)).collect()
}

/// Removes the expired keys that a reader met and tells of those it did not find, then releases the locks. While clients are
/// paused nothing changes; while data is imported its source says which keys go.
#[cold]
pub fn attend_to_met(server: &Server, worker: &WorkerShared, keyspace: Keyspace<'_>) {
    let stay = Conditions::PAUSED | Conditions::IMPORTING;
    if keyspace.has_met() && !server.conditions().intersects(stay) {
        make(server, worker, keyspace, |_| ());
    }
}

/// Counts what has changed, and hands over what is to be freed.
pub(super) fn count(server: &Server, worker: &WorkerShared, mut changes: Changes) {
    worker.stats.dirty.add(changes.dirty);
    if changes.expired > 0 {
        worker.stats.expired_keys.add(changes.expired);
    }
    if changes.evicted > 0 {
        worker.stats.evicted_keys.add(changes.evicted);
    }
    if changes.expired_parts > 0 {
        worker.stats.expired_parts.add(changes.expired_parts);
    }
    server.reclaimer.retire(changes.take_retired());
}
