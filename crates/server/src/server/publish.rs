//! Publishing: a message into the inboxes of its receivers, and mail to the workers that have them.

use super::{Mail, Server};
use crate::clients::Subscriber;
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
        let mut woken: Vec<Vec<u64>> = Vec::new();
        let given = give(self.config.output_bytes_max(ClientClass::Pubsub), &mut |subscriber| {
            if woken.is_empty() {
                woken = vec![Vec::new(); self.workers.len()];
            }
            woken[subscriber.worker].push(subscriber.client);
        });
        for (worker, clients) in self.workers.iter().zip(woken) {
            if !clients.is_empty() {
                worker.mailbox.send(Mail::Messages(clients));
            }
        }
        given
    }
}
