//! What follows from changes of the keyspace, before the locks are released and after.

use swytch_store::{Keyspace, KeyspaceMut, Sink};

use super::listeners::Listeners;
use super::{guard, park};
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
    let mut listeners = Listeners::of(server);
    let sink: &mut dyn Sink = &mut listeners;
    let mut keyspace = KeyspaceMut::new(keyspace, Some(sink));
    let result = guard::catch(|| act(&mut keyspace));
    park::serve_ready(server, worker, &mut keyspace);
    let (keyspace, changes) = keyspace.finish();
    listeners.publish();
    drop(keyspace);
    count(server, worker, changes);
    guard::go_on(result)
}

/// Releases the locks of a view that has changed something, counts it, and hands over what is to be freed.
pub fn finish(server: &Server, worker: &WorkerShared, keyspace: KeyspaceMut<'_, '_>) {
    let (keyspace, changes) = keyspace.finish();
    drop(keyspace);
    count(server, worker, changes);
}

/// Removes the expired keys that a reader met and tells of those it did not find, then releases the locks. While clients are
/// paused nothing changes.
#[cold]
pub fn attend_to_met(server: &Server, worker: &WorkerShared, keyspace: Keyspace<'_>) {
    if keyspace.has_met() && !server.conditions().contains(Conditions::PAUSED) {
        make(server, worker, keyspace, |_| ());
    }
}

fn count(server: &Server, worker: &WorkerShared, mut changes: swytch_store::Changes) {
    worker.stats.dirty.add(changes.dirty);
    if changes.expired > 0 {
        worker.stats.expired_keys.add(changes.expired);
    }
    if changes.expired_parts > 0 {
        worker.stats.expired_parts.add(changes.expired_parts);
    }
    let retired = changes.take_retired();
    if !retired.is_empty() {
        server.reclaimer.retire(retired);
    }
}
