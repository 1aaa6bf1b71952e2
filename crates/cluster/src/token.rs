//! Movement of a key's token: the right to order its writes.
//!
//! Invariants: the old owner orders nothing from the moment it sends the grant; a grant is good only for the copy at
//! exactly the version it names; the count of moves (`tenure`) makes duplicates harmless. The token is granted only
//! while nothing is in progress, so every reachable subscriber is at that version.

use crate::copy::{Busy, Doubt, Owning, Queued, Role};
use crate::ids::NodeId;
use crate::key::Key;
use crate::message::{Message, Token};
use crate::mutant::Mutant;
use crate::operation::Stage;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;

impl<V: Values> Turn<'_, V> {
    pub(crate) fn on_token_request(&mut self, from: NodeId, key: Key, to: NodeId) {
        let me = self.config.id;
        let Some(owner) = self.owner_of(&key) else { return };
        if owner != me {
            if owner != from && owner != to {
                self.send(owner, Message::TokenRequest { key, to });
            }
            return;
        }
        let queued = self.owning(&key).is_some_and(|owning| {
            owning.queue.contains(&Queued::Grant(to))
                || matches!(owning.busy, Some(Busy::Granting { to: granted, .. }) if granted == to)
        });
        if !queued && to != me {
            self.enqueue(&key, Queued::Grant(to));
        }
    }

    /// Whether this node owns the key; if not, the sender of something meant for the owner is told who does.
    pub(crate) fn owns_or_tells(&mut self, from: NodeId, key: &Key) -> bool {
        let me = self.config.id;
        match self.owner_of(key) {
            Some(owner) if owner == me => return true,
            Some(owner) if owner != from => self.send(from, Message::OwnerIs { key: key.clone(), owner }),
            _ => {}
        }
        false
    }

    pub(crate) fn on_owner_is(&mut self, from: NodeId, key: &Key, owner: NodeId) {
        let me = self.config.id;
        // Only who was taken for the owner can say better.
        if owner != me && self.owner_of(key) == Some(from) {
            self.follow(key, owner);
        }
    }

    /// Gives the token away, when the receiver can hold it.
    pub(crate) fn grant(&mut self, key: &Key, to: NodeId) {
        let members = self.installed.view.members;
        let can_own =
            self.part.copies.get(key).is_some_and(|copy| (copy.meta.subscribers & members).contains(to));
        if !can_own || to == self.config.id {
            return;
        }
        self.set_busy(key, Busy::Granting { to, sent_ms: self.now.mono_ms });
        self.send_grant(key, to);
        if self.config.without(Mutant::KeepTokenOnGrant) {
            self.release(key);
        }
    }

    pub(crate) fn send_grant(&mut self, key: &Key, to: NodeId) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get(key) else { return };
        let Some(owning) = copy.owning(view) else { return };
        let left = self.config.without(Mutant::LeaveTheLine);
        let token = Box::new(Token {
            tenure: owning.tenure + 1,
            version: copy.meta.version,
            stable: copy.meta.stable,
            subscribers: copy.meta.subscribers,
            waiters: owning.waiters.iter().filter(|_| !left).copied().collect(),
            answers: owning.answers.clone(),
            floors: copy.done.floors(),
            doubtful: owning.doubt != Doubt::None,
        });
        self.send(to, Message::Grant { key: key.clone(), token });
    }

    pub(crate) fn on_grant(&mut self, from: NodeId, key: Key, token: Token) {
        let view = self.installed.view.id;
        let tenure = token.tenure;
        let floors = if self.config.without(Mutant::LeaveFloorsBehind) { Vec::new() } else { token.floors };
        let Some(copy) = self.copy_now(&key) else { return };
        let known = match &copy.role {
            Role::Idle => return,
            Role::Follower { tenure, .. } => *tenure,
            Role::Owner(owning) => owning.tenure,
        };
        if tenure > known {
            let ready = copy.meta.version == token.version
                && !copy.is_preparing_in(view)
                && copy.owning(view).is_none();
            if !ready {
                return;
            }
            copy.meta.subscribers = token.subscribers;
            copy.invalid = None;
            floors.into_iter().for_each(|floor| copy.done.raise(floor));
            let doubtful = token.doubtful || copy.prepared.is_some();
            let doubt = if doubtful { Doubt::Open } else { Doubt::None };
            let prepared = copy.prepared.map(|prepared| prepared.flight);
            copy.role = Role::Owner(Box::new(Owning {
                tenure,
                waiters: token.waiters.into(),
                answers: token.answers,
                doubt,
                ..Owning::default()
            }));
            self.settle_stable(&key, token.stable);
            if let Some(flight) = prepared {
                self.bring_in_settled(flight);
            }
            self.part.unconfirmed.remove(&key);
            if let Some(eviction) = self.part.evicting.get_mut(&key) {
                // Others want to drop the key as well, or bring a fork: they can reach this owner before it passes
                // the token on again. It takes them one retry to hear of it and one to ask it.
                eviction.sent_ms = self.now.mono_ms + self.config.timers.retry_ms;
            }
            self.count(Rule::MovedToken);
            self.tell_owned(&key, false);
            self.part.work.insert(key.clone());
            self.key_changed(&key);
        }
        self.send(from, Message::GrantAck { key, tenure });
    }

    pub(crate) fn on_grant_ack(&mut self, from: NodeId, key: Key, tenure: u64) {
        let view = self.installed.view.id;
        let Some(copy) = self.part.copies.get_mut(&key) else { return };
        let given =
            copy.owning(view).is_some_and(|owning| owning.hands_over_to(from) && owning.tenure + 1 == tenure);
        if !given {
            return;
        }
        let old = std::mem::replace(&mut copy.role, Role::Follower { owner: from, tenure });
        self.part.busy_keys.remove(&key);
        let Role::Owner(owning) = old else { return };
        for queued in owning.queue {
            self.send_after_token(&key, from, queued);
        }
        self.key_changed(&key);
    }

    /// Sends what was waiting for the old owner on to the new one. What is left out here is repeated by its sender.
    fn send_after_token(&mut self, key: &Key, owner: NodeId, queued: Queued) {
        match queued {
            Queued::Op(op) | Queued::Pin(op) => {
                if let Some(operation) = self.part.operations.get_mut(&op) {
                    operation.stage = Stage::Routing;
                    self.part.due.operations.open(op);
                    self.part.ready.insert(op);
                }
            }
            Queued::Wait(node, ticket) => {
                self.send(owner, Message::WaitFor { key: key.clone(), node, ticket });
            }
            Queued::Grant(to) if to != owner => {
                self.send(owner, Message::TokenRequest { key: key.clone(), to });
            }
            Queued::Join(joiner, nonce) => {
                self.send(owner, Message::Join { key: key.clone(), joiner, nonce });
            }
            Queued::Grant(_) | Queued::Leave(..) | Queued::Expire | Queued::Delete | Queued::Fork(..) => {}
        }
    }
}

impl Owning {
    fn hands_over_to(&self, node: NodeId) -> bool {
        matches!(self.busy, Some(Busy::Granting { to, .. }) if to == node)
    }
}
