//! What is told to clients of other threads: into their inboxes, and mail to the workers that have them.

use super::{Mail, Server};
use crate::clients::channels::Message;
use crate::clients::{ClientShared, Subscriber};
use crate::config::ClientClass;

impl Server {
    /// Publishes a message to a channel; how many receive it, each as often as it is subscribed to something that matches.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        self.publish_by(|bytes_max, wake| self.channels.publish(channel, message, bytes_max, wake))
    }

    /// As [`Server::publish`], to a shard channel.
    pub fn publish_to_shard(&self, channel: &[u8], message: &[u8]) -> usize {
        self.publish_by(|bytes_max, wake| self.channels.publish_to_shard(channel, message, bytes_max, wake))
    }

    /// What waits in an inbox is output that nobody has read, and has its limit.
    fn publish_by(&self, give: impl FnOnce(usize, &mut dyn FnMut(&Subscriber)) -> usize) -> usize {
        let mut woken = Woken::default();
        let bytes_max = self.config.output_bytes_max(ClientClass::Pubsub);
        let given = give(bytes_max, &mut |subscriber| woken.note(self, subscriber));
        woken.wake(self);
        given
    }
}

/// Clients with something in their inboxes of which their workers do not know, by worker.
#[derive(Debug, Default)]
pub struct Woken(Vec<Vec<u64>>);

impl Woken {
    fn note(&mut self, server: &Server, subscriber: &Subscriber) {
        if self.0.is_empty() {
            self.0 = vec![Vec::new(); server.workers.len()];
        }
        self.0[subscriber.worker].push(subscriber.client);
    }

    /// Puts a message into a client's inbox.
    pub fn tell(&mut self, server: &Server, client: &ClientShared, message: &Message) {
        let subscriber = client.as_subscriber();
        if subscriber.receive(message, server.config.output_bytes_max(ClientClass::Normal)) {
            self.note(server, subscriber);
        }
    }

    /// Tells the workers.
    pub fn wake(self, server: &Server) {
        for (worker, clients) in server.workers.iter().zip(self.0) {
            if !clients.is_empty() {
                worker.mailbox.send(Mail::Messages(clients));
            }
        }
    }
}
