//! Who hears of changes: recorders of effects, those who are subscribed to keyspace events, and those who are told of the names
//! of all keys that change.
//!
//! An event is published under the locks of its key, so that a key's events are in the order of its changes: when it happens,
//! or where there are recorders once they have been given what it is about. Whoever caused one by a command has its reply before it.

use std::sync::atomic::Ordering;

use swytch_store::{Effect, EffectUndo, Event, EventClass, Sink, Wants};

use super::tracking::Broadcast;
use crate::clients::channels::Kind;
use crate::config::keyspace_events as classes;
use crate::effects::Recorder;
use crate::server::{Collecting, Conditions, Outbox, Server, WorkerShared};

/// The listeners of one command or transaction.
pub(super) struct Listeners<'s> {
    server: &'s Server,
    worker: &'s WorkerShared,
    /// What is recorded, and what is told of it once that has its place.
    recorder: Option<(Box<Recorder>, Collecting<'s>)>,
    /// `notify-keyspace-events`, if there is anything to be told.
    events: Option<u32>,
    /// What is to be told of names, if anybody is.
    broadcast: Option<Broadcast>,
}

impl<'s> Listeners<'s> {
    /// Those there are now.
    pub(super) fn of(server: &'s Server, worker: &'s WorkerShared) -> Listeners<'s> {
        let conditions = server.conditions();
        let recorder =
            conditions.contains(Conditions::RECORDING).then(|| (Recorder::of_thread(), Outbox::open(server)));
        let events =
            conditions.contains(Conditions::NOTIFYING).then(|| server.config.notify_keyspace_events());
        let broadcast = conditions.contains(Conditions::BROADCASTING).then(Broadcast::default);
        Listeners { server, worker, recorder, events, broadcast }
    }

    fn publish_event(&self, channel: &[u8], message: &[u8]) {
        Outbox::publish(self.server, Kind::Channel, channel, message);
    }

    /// Hands over what was recorded. Called before the locks are released.
    pub(super) fn publish(self) {
        if let Some((recorder, collecting)) = self.recorder {
            self.server.effects.publish(&self.worker.lane, recorder);
            drop(collecting);
        }
        if let Some(broadcast) = self.broadcast {
            broadcast.tell(self.server);
        }
    }
}

impl Sink for Listeners<'_> {
    fn wants(&self) -> Wants {
        Wants { undo: false, events: self.events.is_some() }
    }

    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        if let Some((recorder, _)) = &mut self.recorder {
            recorder.changed(effect, undo);
        }
    }

    fn event(&mut self, db: u32, event: Event, key: &[u8]) {
        let Some(events) = self.events else { return };
        if events & bit(event.class) == 0 {
            return;
        }
        if events & classes::KEYSPACE != 0 {
            let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
            self.publish_event(&channel, event.name.as_bytes());
        }
        if events & classes::KEYEVENT != 0 {
            self.publish_event(format!("__keyevent@{db}__:{}", event.name).as_bytes(), key);
        }
    }

    fn message(&mut self, db: u32, words: &[&[u8]]) {
        if let Some((recorder, _)) = &mut self.recorder {
            recorder.message(db, words);
        }
    }

    fn touched(&mut self, key: &[u8], has_expired: bool) {
        if let Some(broadcast) = &mut self.broadcast {
            // That its time is over is nobody's doing.
            let by = if has_expired { 0 } else { self.worker.serving.load(Ordering::Relaxed) };
            broadcast.note(self.server, key, by);
        }
    }
}

/// The bit of `notify-keyspace-events` that selects a class.
fn bit(class: EventClass) -> u32 {
    match class {
        EventClass::Generic => classes::GENERIC,
        EventClass::String => classes::STRING,
        EventClass::List => classes::LIST,
        EventClass::Set => classes::SET,
        EventClass::Hash => classes::HASH,
        EventClass::SortedSet => classes::ZSET,
        EventClass::Stream => classes::STREAM,
        EventClass::Expired => classes::EXPIRED,
        EventClass::Evicted => classes::EVICTED,
        EventClass::New => classes::NEW,
        EventClass::Overwritten => classes::OVERWRITTEN,
        EventClass::TypeChanged => classes::TYPE_CHANGED,
        EventClass::KeyMiss => classes::KEY_MISS,
    }
}
