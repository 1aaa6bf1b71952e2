//! Client tracking: reads are noted, and whoever has read a key is told when it changes.
//!
//! Invariant: nobody is left with something that is no longer true. A read is noted under the lock that it reads under, and
//! a change takes the note out under the lock that it changes under and puts the message into an inbox before it releases it.
//! What is in the inbox leaves behind the reply that was read before the change.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/client-side-caching/>, and what Redis 8 does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swytch_store::{Changes, Keyspace, Stale};

use super::conditions;
use crate::acl::KeyAccess;
use crate::clients::channels::Message;
use crate::clients::tracking::{Modes, Tracker};
use crate::clients::{Client, ClientFlags, ClientShared, telling};
use crate::command::{Call, Flags};
use crate::server::{Conditions, Server, Woken, WorkerShared};

/// Keys of one shard that are forgotten before others may have its lock.
const FORGOTTEN_PER_LOCK_MAX: usize = 512;

/// The call's client tracks from now on, in this way and no other.
pub fn begin(call: &mut Call<'_>, tracker: Tracker) {
    let (server, tracker) = (call.server, Arc::new(tracker));
    server.trackers.begin(&tracker, |broadcasts| set_broadcasting(server, broadcasts));
    if tracker.modes.contains(Modes::BROADCAST) {
        conditions::changed(call);
    }
    call.client.tracker = Some(tracker);
    call.client.flags |= ClientFlags::TRACKING;
    speak_of_next(call.client, false);
}

/// It tracks no more. What is noted of it stays until the keys change, and is no concern of its then.
pub fn end(call: &mut Call<'_>) {
    leave(call.server, call.client.id());
    call.client.tracker = None;
    call.client.flags -= ClientFlags::TRACKING | ClientFlags::CACHING | ClientFlags::NOTES_READS;
}

/// A client is told nothing any more.
pub(super) fn leave(server: &Server, client: u64) {
    server.trackers.end(client, |broadcasts| set_broadcasting(server, broadcasts));
}

fn set_broadcasting(server: &Server, on: bool) {
    if on != server.conditions().contains(Conditions::BROADCASTING) {
        server.set_conditions(Conditions::BROADCASTING, on);
    }
}

/// A client speaks of its next command (CLIENT CACHING), or what it has said is over.
pub fn speak_of_next(client: &mut Client, said: bool) {
    let notes_reads = client.tracker.as_ref().is_some_and(|tracker| tracker.notes_reads(said));
    client.flags.set(ClientFlags::CACHING, said);
    client.flags.set(ClientFlags::NOTES_READS, notes_reads);
}

/// Notes that the call's client has read the keys of its command, whose locks are held.
#[inline(never)]
pub(super) fn note_reads(call: &Call<'_>, keyspace: &mut Keyspace<'_>) {
    if !call.command.is(Flags::READONLY) || call.command.is(Flags::PUBSUB) {
        return;
    }
    match (call.command.single_key, call.key_hash) {
        (Some(at), Some(hash)) => note_read(call, keyspace, hash, call.args.get(at)),
        _ => {
            for at in call.command.key_positions(&call.args) {
                let name = call.args.get(at);
                note_read(call, keyspace, call.server.shards.hash(name), name);
            }
        }
    }
}

fn note_read(call: &Call<'_>, keyspace: &mut Keyspace<'_>, hash: u64, name: &[u8]) {
    let (server, reader) = (call.server, call.client.id());
    let trackers = &server.trackers;
    let shard = server.shards.shard_of_hash(hash);
    let names_max = server.config.tracking_table_max_keys();
    let forgotten = keyspace.locked_mut().with_observers(shard, |observers| {
        let readers = &mut observers.readers;
        let before = (readers.len(), readers.items());
        let replaced = readers.add(hash, name, reader, |other| trackers.reads_on(other));
        let others = trackers.names() + readers.len() - before.0;
        let is_over = names_max > 0 && readers.len() > before.0 && others > names_max;
        let crowded_out = if is_over { readers.take_any((hash >> 16) as usize) } else { None };
        let after = (readers.len(), readers.items());
        if after != before {
            trackers.note(after.0 as isize - before.0 as isize, after.1 as isize - before.1 as isize);
        }
        replaced.into_iter().chain(crowded_out)
    });
    let mut woken = Woken::behind_group();
    forgotten.for_each(|stale| tell_readers(server, &stale, 0, &mut woken));
    woken.wake(server);
}

/// Tells whoever has read what has changed. The locks are held that it changed under.
#[inline]
pub(super) fn tell(server: &Server, worker: &WorkerShared, changes: &mut Changes) {
    if changes.has_stale() {
        tell_stale(server, worker, changes);
    }
}

#[cold]
fn tell_stale(server: &Server, worker: &WorkerShared, changes: &mut Changes) {
    let mut woken = Woken::behind_group();
    let by = worker.serving.load(Ordering::Relaxed);
    for stale in changes.take_stale() {
        server.trackers.note(-1, -(stale.readers.len() as isize));
        tell_readers(server, &stale, by, &mut woken);
    }
    if let Some((names, items)) = changes.take_all_stale() {
        server.trackers.note(-(names as isize), -(items as isize));
        for tracker in server.trackers.all() {
            send(server, &tracker, None, &mut woken);
        }
    }
    woken.wake(server);
}

/// Tells the readers of a key that it has changed by a client's doing.
fn tell_readers(server: &Server, stale: &Stale, by: u64, woken: &mut Woken) {
    telling::tell(|| {
        let names: Arc<[Box<[u8]>]> = Arc::new([stale.name.clone()]);
        for reader in &stale.readers {
            let Some(tracker) = server.trackers.get(*reader) else { continue };
            let is_own = tracker.modes.contains(Modes::NO_LOOP) && *reader == by;
            if !is_own && !tracker.modes.contains(Modes::BROADCAST) {
                send(server, &tracker, Some(&names), woken);
            }
        }
    });
}

/// Puts it into an inbox that these keys have changed, or all.
fn send(server: &Server, tracker: &Tracker, names: Option<&Arc<[Box<[u8]>]>>, woken: &mut Woken) {
    let speaks_resp3 = |client: &ClientShared| client.protocol.load(Ordering::Relaxed) == 3;
    let Some(receiver) = tracker.receiver() else {
        if speaks_resp3(&tracker.client) {
            woken.tell(server, &tracker.client, &Message::RedirectionEnded(tracker.redirection_id()));
        }
        return;
    };
    let is_redirected = tracker.redirection.is_some();
    // RESP2 has no way to say it in between replies, except among the messages of a channel.
    if is_redirected || speaks_resp3(receiver) {
        woken.tell(server, receiver, &Message::Stale { names: names.cloned(), is_redirected });
    }
}

/// Forgets who has read what until no more names are noted than `tracking-table-max-keys` allows.
pub fn keep_limit(server: &Server) {
    let names_max = server.config.tracking_table_max_keys();
    if names_max == 0 {
        return;
    }
    let mut choice = 0;
    while server.trackers.names() > names_max {
        let mut is_stuck = true;
        for shard in 0..server.shards.count() as u16 {
            // What a script has for too long is looked at when it reads on.
            let Some(mut locked) = server.shards.lock_one_in_time(shard) else { continue };
            let mut woken = Woken::default();
            locked.with_observers(shard, |observers| {
                for _ in 0..FORGOTTEN_PER_LOCK_MAX {
                    if server.trackers.names() <= names_max {
                        break;
                    }
                    choice += 1;
                    let Some(stale) = observers.readers.take_any(choice) else { break };
                    is_stuck = false;
                    server.trackers.note(-1, -(stale.readers.len() as isize));
                    tell_readers(server, &stale, 0, &mut woken);
                }
            });
            woken.wake(server);
        }
        if is_stuck {
            return;
        }
    }
}

/// Names that a command or transaction has changed and that clients in broadcasting mode are told of, by prefix.
#[derive(Debug, Default)]
pub(super) struct Broadcast(BTreeMap<Box<[u8]>, Changed>);

/// Names, each with who was the last to change it, or 0.
type Changed = BTreeMap<Box<[u8]>, u64>;

impl Broadcast {
    /// A key of this name has changed by a client's doing.
    pub(super) fn note(&mut self, server: &Server, name: &[u8], by: u64) {
        server.trackers.prefixes_of(name, |prefix| {
            if !self.0.contains_key(prefix) {
                self.0.insert(prefix.into(), Changed::new());
            }
            let names = self.0.get_mut(prefix).expect("it is there now");
            names.insert(name.into(), by);
        });
    }

    /// Tells those who are to be told. The locks are held that the keys have changed under.
    pub(super) fn tell(self, server: &Server) {
        telling::tell(|| self.tell_each(server));
    }

    fn tell_each(&self, server: &Server) {
        let mut woken = Woken::default();
        for (prefix, changed) in &self.0 {
            let all: Arc<[Box<[u8]>]> = changed.keys().cloned().collect();
            for tracker in server.trackers.trackers_of(prefix) {
                let user = Arc::clone(&tracker.client.user.lock());
                if user.is_free() && !tracker.modes.contains(Modes::NO_LOOP) {
                    send(server, &tracker, Some(&all), &mut woken);
                    continue;
                }
                let rights = user.rights();
                // Redis tells of keys that the client must not read, too.
                let may_read = |name: &[u8]| {
                    rights.selectors().iter().any(|selector| selector.allows_key(name, KeyAccess::READ))
                };
                let is_own = |by: u64| tracker.modes.contains(Modes::NO_LOOP) && by == tracker.client.id;
                let some = changed.iter().filter(|(name, by)| !is_own(**by) && may_read(name));
                let some: Arc<[Box<[u8]>]> = some.map(|(name, _)| name.clone()).collect();
                if !some.is_empty() {
                    send(server, &tracker, Some(&some), &mut woken);
                }
            }
        }
        woken.wake(server);
    }
}
