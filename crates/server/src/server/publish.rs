//! What is told to clients of other threads: into their inboxes, and mail to the workers that have them.
//!
//! Invariant: nobody hears of a group of effects before it has its place in their order. What a client does because of a
//! message would come before its cause else, in the log and at those who follow. So what a group tells waits in the
//! [`Outbox`] of its thread until it has its place, where anybody reads the order.

use std::cell::RefCell;
use std::sync::Arc;

use super::{Mail, Server};
use crate::clients::channels::{Kind, Message};
use crate::clients::{ClientShared, Subscriber, telling};
use crate::config::ClientClass;

impl Server {
    /// Publishes a message to a channel: how many receive it, each as often as it is subscribed to something that matches.
    /// `first` happens before anybody does, in the order in which the messages of the channel are received.
    pub fn publish(&self, kind: Kind, channel: &[u8], message: &[u8], first: impl FnOnce()) -> usize {
        let mut woken = Woken::default();
        let given = woken.publish(self, kind, channel, message, first);
        woken.wake(self);
        given
    }
}

/// What this thread's group of effects has to tell clients when it has its place; nothing collects where there is no such group,
/// and what is to be told is told at once.
#[derive(Clone, Copy, Debug)]
pub struct Outbox;

thread_local! {
    /// No lock: nearly every write opens it, where anybody reads the order.
    static LETTERS: RefCell<Option<Vec<Letter>>> = const { RefCell::new(None) };
}

/// What is to be told.
#[derive(Debug)]
enum Letter {
    /// A message to a channel.
    Published { kind: Kind, channel: Box<[u8]>, message: Box<[u8]> },
    /// Something to one client.
    Told { client: Arc<ClientShared>, message: Message },
    /// Something to a worker.
    Mail { worker: usize, mail: Mail },
}

impl Outbox {
    /// A group begins. It has its place when what is returned is dropped, which tells what was collected.
    pub fn open(server: &Server) -> Collecting<'_> {
        Collecting { before: LETTERS.replace(Some(Vec::new())), server }
    }

    /// Until what is returned is dropped commands run that are no part of the group.
    pub fn set_aside(server: &Server) -> Collecting<'_> {
        Collecting { before: LETTERS.take(), server }
    }

    /// As [`Server::publish`], as a part of the group if there is one. Who is counted is given the message unless it
    /// unsubscribes meanwhile.
    pub fn publish(server: &Server, kind: Kind, channel: &[u8], message: &[u8]) -> usize {
        telling::tell(|| {
            let collected = collect(|letters| {
                let given = server.channels.receivers_of(kind, channel);
                if given > 0 {
                    letters.push(Letter::Published {
                        kind,
                        channel: channel.into(),
                        message: message.into(),
                    });
                }
                given
            });
            collected.unwrap_or_else(|| server.publish(kind, channel, message, || ()))
        })
    }

    /// Sends a worker mail.
    pub fn send(server: &Server, worker: usize, mail: Mail) {
        let mut mail = Some(mail);
        collect(|letters| letters.extend(mail.take().map(|mail| Letter::Mail { worker, mail })));
        if let Some(mail) = mail {
            server.workers[worker].mailbox.send(mail);
        }
    }

    /// Tells what was collected although the group goes on: who receives it is about to change by the group's own doing.
    pub fn tell_now(server: &Server) {
        deliver(server, collect(std::mem::take).unwrap_or_default());
    }
}

/// Does something to what is collected, if anything is.
fn collect<R>(act: impl FnOnce(&mut Vec<Letter>) -> R) -> Option<R> {
    LETTERS.with_borrow_mut(|letters| letters.as_mut().map(act))
}

/// A group whose messages are collected.
#[must_use]
#[derive(Debug)]
pub struct Collecting<'s> {
    /// What the outbox was before.
    before: Option<Vec<Letter>>,
    server: &'s Server,
}

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        let letters = LETTERS.replace(self.before.take()).unwrap_or_default();
        if !letters.is_empty() {
            deliver(self.server, letters);
        }
    }
}

#[cold]
fn deliver(server: &Server, letters: Vec<Letter>) {
    telling::tell(|| {
        let mut woken = Woken::default();
        for letter in letters {
            match letter {
                Letter::Published { kind, channel, message } => {
                    woken.publish(server, kind, &channel, &message, || ());
                }
                Letter::Told { client, message } => woken.tell(server, &client, &message),
                Letter::Mail { worker, mail } => {
                    // In the order in which it came about.
                    std::mem::take(&mut woken).wake(server);
                    server.workers[worker].mailbox.send(mail);
                }
            }
        }
        woken.wake(server);
    });
}

/// Clients with something in their inboxes of which their workers do not know, by worker.
#[derive(Debug, Default)]
pub struct Woken {
    by_worker: Vec<Vec<u64>>,
    /// What they are told waits for this thread's group, if there is one.
    waits: bool,
}

impl Woken {
    /// Of those who are told behind this thread's group.
    pub fn behind_group() -> Woken {
        Woken { by_worker: Vec::new(), waits: true }
    }

    fn note(&mut self, server: &Server, subscriber: &Subscriber) {
        if self.by_worker.is_empty() {
            self.by_worker = vec![Vec::new(); server.workers.len()];
        }
        self.by_worker[subscriber.worker].push(subscriber.client);
    }

    fn publish(
        &mut self,
        server: &Server,
        kind: Kind,
        channel: &[u8],
        message: &[u8],
        first: impl FnOnce(),
    ) -> usize {
        // What waits in an inbox is output that nobody has read, and has its limit.
        let bytes_max = server.config.output_bytes_max(ClientClass::Pubsub);
        let wake = &mut |subscriber: &Subscriber| self.note(server, subscriber);
        server.channels.publish(kind, channel, message, bytes_max, first, wake)
    }

    /// Tells a client something.
    pub fn tell(&mut self, server: &Server, client: &Arc<ClientShared>, message: &Message) {
        let letter = || Letter::Told { client: Arc::clone(client), message: message.clone() };
        if self.waits && collect(|letters| letters.push(letter())).is_some() {
            return;
        }
        let subscriber = client.as_subscriber();
        if subscriber.receive(message, server.config.output_bytes_max(ClientClass::Normal)) {
            self.note(server, subscriber);
        }
    }

    /// Tells the workers.
    pub fn wake(self, server: &Server) {
        for (worker, clients) in server.workers.iter().zip(self.by_worker) {
            if !clients.is_empty() {
                worker.mailbox.send(Mail::Messages(clients));
            }
        }
    }
}
