//! What the design allows to be lost, noted while it happens, so that the judge counts on promises only.
//!
//! A crash takes what only that host had; an eviction deletes a last copy; a full log decides a key whole; a key that is
//! created out of sight of its holders is another one than theirs. Neighbours: `world` tells of what happens, `judge`
//! looks at what was noted here.

use swytch_cluster::{
    Base, CopyInfo, Envelope, Incarnation, Key, Limits, Node, NodeId, NodeSet, Repairs, Timers,
};

use super::profile::KeyUse;
use super::store::Store;
use super::values::Operation;
use super::world::World;
use crate::check::model::ListInput;

impl World {
    /// A node has crashed: what only it had is gone, and nobody is to blame.
    pub(super) fn note_losses(&mut self, node: &Node<Store>) {
        if self.profile.one_by_one {
            return;
        }
        let stashed = node.unfinished().1 > 0;
        for index in 0..self.profile.keys.len() {
            let planned = &self.profile.keys[index];
            if stashed {
                self.lenient.insert(index);
            }
            let Some(copy) = node.copy_of(&self.key_at(node, index)) else { continue };
            let others: Vec<_> = self.hosts.iter().filter_map(|other| other.node.as_ref()).collect();
            let heir = others.iter().any(|other| {
                copy.meta.subscribers.contains(other.config().id)
                    && other
                        .copy_of(&self.key_at(other, index))
                        .is_some_and(|theirs| theirs.meta.birth == copy.meta.birth)
            });
            // A decided batch goes with the last host that holds it; those that joined meanwhile never heard of it.
            let decides = copy.prepared.and_then(|(flight, dot)| Some((flight, dot?)));
            let decided = decides.is_none_or(|(flight, dot)| {
                others.iter().filter_map(|other| other.copy_of(&self.key_at(other, index))).any(|theirs| {
                    theirs.meta.covers_dot(dot) || theirs.prepared.is_some_and(|(other, _)| other == flight)
                })
            });
            let object = node.values().object(&self.key_at(node, index));
            if !decided || !heir && object.is_some() {
                self.tainted.insert(index);
            }
            let Some(object) = object else { continue };
            let same = others.iter().any(|other| {
                let version = other.copy_of(&self.key_at(other, index)).map(|theirs| theirs.meta.version);
                version == Some(copy.meta.version)
                    && other.values().object(&self.key_at(other, index)).as_ref() == Some(&object)
            });
            if !same {
                let gone = super::judge::elements(&object).into_iter().filter(|element| {
                    !others.iter().any(|other| {
                        let theirs = other.values().object(&self.key_at(other, index));
                        theirs.is_some_and(|theirs| super::judge::elements(&theirs).contains(element))
                    })
                });
                let gone: Vec<u64> = gone.collect();
                // Of a transaction in doubt, the part that nobody else holds is gone; of an acknowledged one, that which
                // was in doubt when others subscribed, with the last of those who held it from the beginning.
                let promised = |element: &u64| self.is_promised(index, *element);
                if planned.used_as == KeyUse::Transactional && !gone.iter().all(promised) {
                    self.tainted.insert(index);
                }
                self.excused.extend(gone.iter().map(|element| (index, *element)));
                if planned.used_as == KeyUse::Counter {
                    self.lenient.insert(index);
                }
            }
        }
    }

    /// Whether all hosts are there, have agreed on two copies, and nothing is left to repair.
    pub(super) fn is_whole(&self) -> bool {
        let all: NodeSet = (0..self.hosts.len() as u8).map(NodeId).collect();
        let is_repaired = |node: &Node<Store>| node.repairs() == Repairs { alone: 0, all_seen: true };
        self.nodes().count() == self.hosts.len()
            && self.nodes().all(|node| {
                let view = node.view();
                node.is_serving() && view.members == all && view.base.copies > 1 && is_repaired(node)
            })
    }

    /// Whether a key has a value at one host, and nothing is under way that would change that.
    pub(super) fn has_one_holder(&self, key: &Key) -> bool {
        let is_open = |copy: &CopyInfo<'_>| copy.pending || copy.prepared.is_some();
        let has_value = |node: &&Node<Store>| node.values().object(&node.key_of(key)).is_some();
        self.nodes().filter(has_value).count() == 1
            && !self.nodes().filter_map(|node| node.copy_of(&node.key_of(key))).any(|copy| is_open(&copy))
    }

    /// An operation was answered with OK: notes who holds what it has pushed.
    pub(super) fn note_promises(&mut self, requests: &[(usize, Operation)]) {
        for (index, operation) in requests {
            let planned = &self.profile.keys[*index];
            let Operation::List(ListInput::Push(_, values)) = operation else { continue };
            if planned.used_as != KeyUse::Transactional {
                continue;
            }
            for element in values {
                let holds = |node: &&Node<Store>| {
                    let key = self.key_at(node, *index);
                    let object = node.values().object(&key);
                    object.is_some_and(|object| super::judge::elements(&object).contains(element))
                        || node.copy_of(&key).is_some_and(|copy| copy.prepared.is_some())
                };
                let holders = self.nodes().filter(holds);
                let holders = holders.map(|node| (node.config().id, node.incarnation())).collect();
                self.promised.insert((*index, *element), holders);
            }
        }
    }

    /// Whether one of those who held an acknowledged element at first still runs.
    fn is_promised(&self, index: usize, element: u64) -> bool {
        let runs = |(id, life): &(NodeId, Incarnation)| {
            self.nodes().any(|node| (node.config().id, node.incarnation()) == (*id, *life))
        };
        self.promised.get(&(index, element)).is_some_and(|holders| holders.iter().any(runs))
    }

    /// Whether this host works on a base that others have left behind for one without it, and flushed.
    pub(super) fn is_flushed_behind(&self, host: usize) -> bool {
        let Some(node) = &self.hosts[host].node else { return false };
        let (id, life, flush) = (node.config().id, node.incarnation(), node.view().base.flush);
        let databases = &node.view().base.databases;
        let is_behind = |base: &Base| base.flush > flush || base.databases != *databases;
        self.nodes().map(|other| &other.view().base).any(|base| is_behind(base) && !base.has(id, life))
    }

    /// Nobody is to blame for what this key loses.
    pub(super) fn forgive(&mut self, index: usize) {
        self.tainted.insert(index);
        self.lenient.insert(index);
    }

    /// A copy is about to be dropped. If whoever permitted that has crashed since, it is as if the copy had gone before.
    pub(super) fn observe_permission(&mut self, permission: &Envelope, key: &Key) {
        let owner = self.hosts[usize::from(permission.from.0)].node.as_ref();
        let lives = owner.is_some_and(|owner| owner.incarnation() == permission.incarnation);
        let index = self.key_index(usize::from(permission.to.0), key);
        if let (false, Some(index)) = (lives, index) {
            self.forgive(index);
        }
    }

    /// A key was decided by its last writer: what the others wrote is gone, which only an overflow excuses.
    pub(super) fn observe_decided_whole(&mut self, host: usize) {
        let Some(node) = &self.hosts[host].node else { return };
        let is_over =
            |index: &usize| node.copy_of(&self.key_at(node, *index)).is_some_and(|copy| copy.overflowed);
        let decided: Vec<usize> = (0..self.profile.keys.len()).filter(is_over).collect();
        self.tainted.extend(&decided);
        self.lenient.extend(&decided);
        if self.profile.limits == Limits::default() && !self.comes_back_late() {
            self.violate(
                "a key was decided whole although no log is full",
                format!("{decided:?} at host {host}"),
            );
        }
    }

    /// A fork came that was forgotten: only one that is late, or bounds that are narrow, excuse what is lost by that.
    pub(super) fn observe_forgotten_fork(&mut self, host: usize) {
        for index in 0..self.profile.keys.len() {
            self.forgive(index);
        }
        if self.profile.limits.covers_max == Limits::default().covers_max && !self.comes_back_late() {
            self.violate("a fork is forgotten although nothing is late", format!("at host {host}"));
        }
    }

    /// Whether hosts come back when nobody keeps logs for them any more.
    fn comes_back_late(&self) -> bool {
        self.profile.timers.retain_ms < Timers::default().retain_ms
    }

    /// Keys were created.
    pub(super) fn observe_creations(&mut self, host: usize) {
        for index in self.note_births(host) {
            self.observe_creation(host, index);
        }
    }

    /// Births at this host that are new. Those of records that were made for keys without one are no creations: their keys
    /// were there before, and others may have created them since without asking this host.
    pub(super) fn note_births(&mut self, host: usize) -> Vec<usize> {
        let (births, node) = (&mut self.births, self.hosts[host].node.as_ref());
        let keys = self.profile.keys.iter().enumerate();
        let found = keys.filter_map(|(index, planned)| {
            let node = node?;
            Some((index, node.copy_of(&node.key_of(&planned.key))?.meta.birth))
        });
        let own = found.filter(|(_, birth)| usize::from(birth.node().0) == host);
        own.filter(|birth| births.insert(*birth)).map(|(index, _)| index).collect()
    }

    /// A key was created: was that right, and what does it say about an older one?
    fn observe_creation(&mut self, host: usize, index: usize) {
        let Some(node) = &self.hosts[host].node else { return };
        let key = &self.key_at(node, index);
        let Some(copy) = node.copy_of(key) else { return };
        let base = node.view().base.clone();
        let mut found = Vec::new();
        // Held by nodes that were expired and are back.
        let returned = self.nodes().any(|other| other.has_fork(key));
        for other in self.nodes() {
            if other.config().id == node.config().id {
                continue;
            }
            let Some(theirs) = other.copy_of(key).filter(|theirs| theirs.meta.birth != copy.meta.birth)
            else {
                continue;
            };
            let (id, life) = (other.config().id, other.incarnation());
            // Either side may be the one that knows that it could not ask the other, or those the other has it from. Who
            // has gone on to another view may have it from somebody that has dropped it since.
            let moved_on = other.view().id > node.view().id && !copy.meta.doubt.is_empty();
            let in_doubt = copy.meta.doubt.contains(id)
                || theirs.meta.doubt.contains(node.config().id)
                || !(theirs.meta.subscribers & copy.meta.doubt).is_empty()
                || moved_on;
            found.push((id, life, base.has(id, life), in_doubt));
        }
        if returned {
            self.forgive(index);
        }
        for (id, life, in_base, in_doubt) in found {
            if in_doubt {
                self.doubts.push((index, id, life));
            } else if in_base {
                self.violate(
                    "created although a member holds it",
                    format!("{key:?} at host {host}, held by {id:?}"),
                );
            } else {
                self.forgive(index);
            }
        }
    }

    /// A holder that could not be asked when a key was created has been dropped from the base: its copy is a fork now.
    pub(super) fn resolve_doubts(&mut self, host: usize) {
        let Some(node) = &self.hosts[host].node else { return };
        let base = node.view().base.clone();
        let (tainted, lenient) = (&mut self.tainted, &mut self.lenient);
        self.doubts.retain(|(index, id, life)| {
            let kept = base.has(*id, *life);
            if !kept {
                tainted.insert(*index);
                lenient.insert(*index);
            }
            kept
        });
    }
}
