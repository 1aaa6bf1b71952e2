//! Scans: a home that says so knows the name of every key of its slots.
//!
//! Invariant: only seeds in which a creation lease covers several keys have scans, for a scan recalls leases; all others
//! run as they did before there were any. Neighbours: `world` asks with its looks at the cluster and hands answers over.

use std::collections::BTreeMap;

use swytch_cluster::key::SLOTS;
use swytch_cluster::{ClientError, FlightId, Input, ViewId};

use super::world::World;

/// Each host scans its slots once in this many looks of the observer.
const SCAN_EVERY: u64 = 16;

/// A copy that was there when a scan was asked for.
#[derive(Debug)]
pub(super) struct Holding {
    key: usize,
    host: usize,
    /// Which creation of the key.
    birth: FlightId,
    /// The view its host was in: what a host holds in a later view than the answer's is not promised.
    view: ViewId,
}

/// Scans that are not answered, by ticket.
pub(super) type Scans = BTreeMap<u64, Vec<Holding>>;

impl World {
    /// Asks a host for all names of its slots, when it is time.
    pub(super) fn scan_now_and_then(&mut self, host: usize) {
        if self.profile.tags == 0 || !(self.looks + host as u64).is_multiple_of(SCAN_EVERY) {
            return;
        }
        let ticket = self.looks * self.hosts.len() as u64 + host as u64;
        let holdings = self.holdings();
        self.scans.insert(ticket, holdings);
        self.input(host, Input::Scan { ticket, slots: 0..SLOTS });
    }

    fn holdings(&self) -> Vec<Holding> {
        let mut holdings = Vec::new();
        for (host, state) in self.hosts.iter().enumerate() {
            let Some(node) = &state.node else { continue };
            for (key, planned) in self.profile.keys.iter().enumerate() {
                if let Some(copy) = node.copy_of(&planned.key) {
                    holdings.push(Holding { key, host, birth: copy.meta.birth, view: node.view().id });
                }
            }
        }
        holdings
    }

    /// A host knows all names of its slots: those that a member of its view had when it was asked and still has.
    pub(super) fn observe_scan(&mut self, host: usize, ticket: u64, known: Result<ViewId, ClientError>) {
        self.note((host, ticket, known));
        let holdings = self.scans.remove(&ticket).unwrap_or_default();
        let Some(node) = self.hosts[host].node.as_ref().filter(|node| Ok(node.view().id) == known) else {
            return;
        };
        let view = node.view();
        let names = node.names_in(0..SLOTS);
        let is_missed = |held: &&Holding| {
            let key = &self.profile.keys[held.key].key;
            let still_held = self.hosts[held.host].node.as_ref().is_some_and(|holder| {
                let id = holder.config().id;
                view.members.contains(id)
                    && view.base.has(id, holder.incarnation())
                    && holder.copy_of(key).is_some_and(|copy| copy.meta.birth == held.birth)
            });
            held.view <= view.id
                && still_held
                && node.home_of(key) == Some(node.config().id)
                && names.binary_search(key).is_err()
        };
        let missed: Vec<&Holding> = holdings.iter().filter(is_missed).collect();
        if !missed.is_empty() {
            self.violate("a scan misses a key", format!("{missed:?} at host {host}"));
        }
    }
}
