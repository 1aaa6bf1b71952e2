//! Lines: clients that block on a key are served in the order in which they have come to its owner, wherever they and it are.
//!
//! Whenever a host has acted, the observer looks at the line of each queue that it owns, and notes who has come to stand there.
//! Invariants that it judges, as long as a view lasts: who is woken came before all who stand there still; and when the token
//! goes, the line goes with it. Neighbour: `world` tells who has acted.

use swytch_cluster::{Action, FlightId, Message, NodeId, ViewId};

use super::profile::KeyUse;
use super::world::World;

/// A client by its node, and the ticket of its wait.
type Waiter = (NodeId, u64);

/// Who stands in line for a key, in the order in which they were seen to come.
#[derive(Debug)]
pub(super) struct Line {
    owner: usize,
    /// In which view, and for which creation of the key.
    of: (ViewId, FlightId),
    waiters: Vec<Waiter>,
}

impl World {
    /// A host has acted. `is_wake`: because it was told that one of its clients is woken.
    pub(super) fn follow_lines(&mut self, host: usize, actions: &[Action], is_wake: bool) {
        let is_queue = |index: &usize| self.profile.keys[*index].used_as == KeyUse::Queue;
        let queues: Vec<usize> = (0..self.profile.keys.len()).filter(is_queue).collect();
        for index in queues {
            self.follow_line(host, index, actions, is_wake);
        }
    }

    fn follow_line(&mut self, host: usize, index: usize, actions: &[Action], is_wake: bool) {
        let Some(node) = &self.hosts[host].node else { return };
        let key = self.key_at(node, index);
        let Some((birth, waiters)) = node.line_of(&key) else { return };
        let of = (node.view().id, birth);
        let before = self.lines.remove(&index).filter(|line| line.of == of);
        let before = before.unwrap_or(Line { owner: host, of, waiters: Vec::new() });
        let woken = actions.iter().filter_map(|action| match action {
            Action::Send(envelope) => match &envelope.message {
                Message::Wake { key: of, ticket } if *of == key => Some((envelope.to, *ticket)),
                _ => None,
            },
            Action::Wake { ticket } if !is_wake => Some((NodeId(host as u8), *ticket)),
            _ => None,
        });
        let woken: Vec<Waiter> = woken.filter(|woken| self.waits_for(woken.1) == Some(index)).collect();
        let mut found = Vec::new();
        for waiter in &woken {
            let came_before = before.waiters.iter().take_while(|other| *other != waiter);
            if let Some(first) = came_before.clone().find(|other| waiters.contains(other)) {
                let detail = format!("key {index} at host {host}: {waiter:?} is woken before {first:?}");
                found.push(("a client that waits is passed over", detail));
            }
        }
        if before.owner != host {
            let is_lost = |waiter: &&Waiter| {
                !waiters.contains(waiter)
                    && !woken.contains(waiter)
                    && self.waits_for(waiter.1) == Some(index)
            };
            if let Some(waiter) = before.waiters.iter().find(is_lost) {
                let detail = format!("key {index} goes from host {} to {host}: {waiter:?}", before.owner);
                found.push(("a client that waits has lost its place", detail));
            }
        }
        let mut stand: Vec<Waiter> = before.waiters;
        stand.retain(|waiter| waiters.contains(waiter));
        let came: Vec<Waiter> = waiters.into_iter().filter(|waiter| !stand.contains(waiter)).collect();
        stand.extend(came);
        self.lines.insert(index, Line { owner: host, of, waiters: stand });
        for (kind, detail) in found {
            self.violate(kind, detail);
        }
    }
}
