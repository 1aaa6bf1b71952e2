//! Pub/sub: who is subscribed to which channels and patterns, and how a message reaches them.
//!
//! The registry is cut into parts by the hash of a channel's name, so that publishers to different channels do not meet.
//! A message is encoded once, whatever protocols its receivers speak, and put by reference into the inbox of each
//! ([`Subscriber`]); the worker that has a receiver's connection moves it to the output. Where the receivers are many, short
//! messages that come one after the other are put there as one ([`run`]).
//!
//! Invariants:
//! - A channel's messages are put into all inboxes under the lock of its part, so all receivers see them in one order,
//!   and who was told that a subscription began or ended is sent what came in between and nothing else.
//! - The registry and what a subscriber holds agree: both are changed under the subscriber's lock, by whichever thread.
//! - Locks are taken in this order: a subscriber's holdings, a part, the patterns, an inbox, a run.

mod run;
mod subscriber;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use swytch_resp::PushMessage;

use run::{Part, Run};
use subscriber::{Holdings, KINDS};
pub use subscriber::{Kind, Message, Subscriber};

use crate::system::glob;

/// Parts of each registry of channels: more than there are cores that publish at once.
const PARTS: usize = 64;
/// Receivers of a channel whose messages lie in runs: for few of them each message alone costs less.
const RUN_RECEIVERS_MIN: usize = 8;

/// Those who are given the messages of one channel or pattern, by the numbers of their clients.
type Receivers = BTreeMap<u64, Arc<Subscriber>>;
type ByName = HashMap<Arc<[u8]>, Channel>;

/// A channel that somebody is subscribed to.
#[derive(Debug, Default)]
struct Channel {
    receivers: Receivers,
    /// The last messages, where somebody has not been given them.
    run: Weak<Run>,
}

/// All channels that anybody is subscribed to.
#[derive(Debug)]
pub struct Channels {
    channels: Registry,
    shard_channels: Registry,
    patterns: RwLock<BTreeMap<Arc<[u8]>, Receivers>>,
    /// Clients with a subscription.
    subscribers: AtomicUsize,
}

/// The channels of one kind.
#[derive(Debug)]
struct Registry {
    parts: Box<[Mutex<ByName>]>,
    hasher: RandomState,
    count: AtomicUsize,
}

impl Default for Channels {
    fn default() -> Channels {
        Channels {
            channels: Registry::new(),
            shard_channels: Registry::new(),
            patterns: RwLock::default(),
            subscribers: AtomicUsize::new(0),
        }
    }
}

impl Channels {
    /// Subscribes to a channel or pattern, once. One who has left for good stays away.
    pub fn subscribe(&self, subscriber: &Arc<Subscriber>, kind: Kind, name: &[u8]) {
        let mut holdings = subscriber.holdings();
        if holdings.has_left || holdings.of(kind).contains(name) {
            return;
        }
        let name: Arc<[u8]> = name.into();
        match self.registry(kind) {
            Some(registry) => registry.add(&name, subscriber),
            None => add(self.patterns.write().entry(Arc::clone(&name)).or_default(), subscriber),
        }
        if holdings.is_empty() {
            self.subscribers.fetch_add(1, Ordering::Relaxed);
        }
        holdings.insert(kind, name);
        subscriber.tell(&holdings);
    }

    /// Takes back [`Channels::subscribe`].
    pub fn unsubscribe(&self, subscriber: &Subscriber, kind: Kind, name: &[u8]) {
        self.unsubscribe_from(subscriber, &mut subscriber.holdings(), kind, name);
    }

    fn unsubscribe_from(&self, subscriber: &Subscriber, holdings: &mut Holdings, kind: Kind, name: &[u8]) {
        if !holdings.remove(kind, name) {
            return;
        }
        match self.registry(kind) {
            Some(registry) => registry.remove(name, subscriber),
            None => {
                let mut patterns = self.patterns.write();
                if let Some(receivers) = patterns.get_mut(name) {
                    receivers.remove(&subscriber.client);
                    if receivers.is_empty() {
                        patterns.remove(name);
                    }
                }
            }
        }
        if holdings.is_empty() {
            self.subscribers.fetch_sub(1, Ordering::Relaxed);
        }
        subscriber.tell(holdings);
    }

    /// Ends all subscriptions of a client, and with `for_good` keeps it from having any again.
    pub fn leave(&self, subscriber: &Subscriber, for_good: bool) {
        let mut holdings = subscriber.holdings();
        holdings.has_left |= for_good;
        for kind in KINDS {
            while let Some(name) = holdings.of(kind).first().cloned() {
                self.unsubscribe_from(subscriber, &mut holdings, kind, &name);
            }
        }
    }

    /// Gives a message to those who are subscribed to its channel, and to patterns that match the name unless it is a shard
    /// channel: how often it was given to somebody. `first` happens before, in the order of the channel's messages. `wake` is
    /// told who had nothing in the inbox before. Nobody's inbox takes more than `inbox_bytes_max`.
    pub fn publish(
        &self,
        kind: Kind,
        channel: &[u8],
        message: &[u8],
        inbox_bytes_max: usize,
        first: impl FnOnce(),
        wake: &mut dyn FnMut(&Subscriber),
    ) -> usize {
        let Some(registry) = self.registry(kind) else { return 0 };
        let mut part = registry.part(channel).lock();
        first();
        let word: &[u8] = if kind == Kind::ShardChannel { b"smessage" } else { b"message" };
        let mut given = 0;
        if let Some(by_name) = part.get_mut(channel) {
            let message = by_name.message(PushMessage::new(&[word, channel, message]));
            given += give(&by_name.receivers, &message, inbox_bytes_max, wake);
        }
        if kind == Kind::ShardChannel {
            return given;
        }
        for (pattern, receivers) in self.patterns.read().iter() {
            if glob::matches(pattern, channel, false) {
                let message = PushMessage::new(&[b"pmessage", pattern, channel, message]);
                given += give(receivers, &Message::Published(message), inbox_bytes_max, wake);
            }
        }
        given
    }

    /// How often a message to this channel would be given to somebody.
    pub fn receivers_of(&self, kind: Kind, channel: &[u8]) -> usize {
        let by_name = self.subscribers_of(kind, channel);
        if kind == Kind::ShardChannel {
            return by_name;
        }
        let patterns = self.patterns.read();
        let matching = patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel, false));
        by_name + matching.map(|(_, receivers)| receivers.len()).sum::<usize>()
    }

    /// The names that anybody is subscribed to, of those that match a pattern.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        let wanted = |name: &&Arc<[u8]>| pattern.is_none_or(|pattern| glob::matches(pattern, name, false));
        match self.registry(kind) {
            None => self.patterns.read().keys().filter(wanted).cloned().collect(),
            Some(registry) => {
                let of_part =
                    |part: &Mutex<ByName>| part.lock().keys().filter(wanted).cloned().collect::<Vec<_>>();
                registry.parts.iter().flat_map(of_part).collect()
            }
        }
    }

    /// How many names anybody is subscribed to.
    pub fn count(&self, kind: Kind) -> usize {
        match self.registry(kind) {
            Some(registry) => registry.count.load(Ordering::Relaxed),
            None => self.patterns.read().len(),
        }
    }

    /// How many are subscribed to a channel by its name.
    pub fn subscribers_of(&self, kind: Kind, name: &[u8]) -> usize {
        match self.registry(kind) {
            Some(registry) => {
                registry.part(name).lock().get(name).map_or(0, |channel| channel.receivers.len())
            }
            None => self.patterns.read().get(name).map_or(0, BTreeMap::len),
        }
    }

    /// How many clients are subscribed to anything.
    pub fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    /// Where channels of this kind are; patterns are elsewhere.
    fn registry(&self, kind: Kind) -> Option<&Registry> {
        match kind {
            Kind::Channel => Some(&self.channels),
            Kind::ShardChannel => Some(&self.shard_channels),
            Kind::Pattern => None,
        }
    }
}

impl Registry {
    fn new() -> Registry {
        Registry {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
        }
    }

    fn part(&self, name: &[u8]) -> &Mutex<ByName> {
        &self.parts[self.hasher.hash_one(name) as usize % PARTS]
    }

    fn add(&self, name: &Arc<[u8]>, subscriber: &Arc<Subscriber>) {
        let mut part = self.part(name).lock();
        if !part.contains_key(name) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        add(&mut part.entry(Arc::clone(name)).or_default().receivers, subscriber);
    }

    fn remove(&self, name: &[u8], subscriber: &Subscriber) {
        let mut part = self.part(name).lock();
        let Some(channel) = part.get_mut(name) else { return };
        channel.receivers.remove(&subscriber.client);
        if channel.receivers.is_empty() {
            part.remove(name);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Channel {
    /// What its receivers are given.
    fn message(&mut self, message: PushMessage) -> Message {
        if self.receivers.len() < RUN_RECEIVERS_MIN || !Part::fits(&message) {
            return Message::Published(message);
        }
        let part = Part::of(&message, self.run.upgrade());
        self.run = Arc::downgrade(part.run());
        Message::Several(part)
    }
}

/// Gives all of them a message: how many they are.
fn give(
    receivers: &Receivers,
    message: &Message,
    inbox_bytes_max: usize,
    wake: &mut dyn FnMut(&Subscriber),
) -> usize {
    receivers.values().filter(|to| to.receive(message, inbox_bytes_max)).for_each(|to| wake(to));
    receivers.len()
}

fn add(receivers: &mut Receivers, subscriber: &Arc<Subscriber>) {
    receivers.insert(subscriber.client, Arc::clone(subscriber));
}

#[cfg(test)]
mod tests;
