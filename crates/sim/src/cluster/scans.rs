//! Scans: what all members hold, put together, has every key that was there all the time.
//!
//! A scan asks one member after another, as the network would have it, while keys move and nodes drop their copies. One
//! that meets another view is given up. Neighbour: `world` asks with its looks at the cluster, and tells who has acted.

use std::collections::BTreeSet;

use swytch_cluster::key::SLOTS;
use swytch_cluster::{Key, NodeId, NodeSet, Values, ViewId};

use super::profile::DatabaseUse;
use super::world::World;

/// One host scans in this many looks of the observer.
const SCAN_EVERY: u64 = 8;

/// Looks that a scan takes, at most: less than `op_ms` on the fastest clock.
const LOOKS_MAX: usize = 3;

/// A scan under way.
#[derive(Debug)]
pub(super) struct Scan {
    view: ViewId,
    members: NodeSet,
    /// Who was not asked yet, the next one last.
    unasked: Vec<NodeId>,
    /// Keys that a member has held all the time, by index.
    present: BTreeSet<usize>,
    found: BTreeSet<Key>,
}

impl World {
    /// Begins a scan when it is time, or asks the next members.
    pub(super) fn scan_now_and_then(&mut self) {
        if matches!(self.profile.databases, DatabaseUse::Flushed | DatabaseUse::Swapped) {
            return;
        }
        let host = (self.looks / SCAN_EVERY) as usize % self.hosts.len();
        if let Some(scan) = self.scan.take() {
            self.scan = self.go_on(scan);
        } else if self.looks.is_multiple_of(SCAN_EVERY)
            && let Some(node) = self.hosts[host].node.as_ref().filter(|node| node.is_serving())
        {
            let (view, members) = (node.view().id, node.view().members);
            let mut unasked: Vec<NodeId> = members.iter().collect();
            let first = host % unasked.len();
            unasked.rotate_left(first);
            let mut scan = Scan { view, members, unasked, present: BTreeSet::new(), found: BTreeSet::new() };
            scan.present = (0..self.profile.keys.len()).filter(|key| self.is_present(&scan, *key)).collect();
            self.scan = self.go_on(scan);
        }
    }

    fn go_on(&mut self, mut scan: Scan) -> Option<Scan> {
        for _ in 0..scan.members.len().div_ceil(LOOKS_MAX as u32) {
            let Some(member) = scan.unasked.pop() else { break };
            let node = self.hosts[usize::from(member.0)].node.as_ref();
            let node = node.filter(|node| node.view().id == scan.view)?;
            scan.found.extend(node.names_in(0..SLOTS));
        }
        if !scan.unasked.is_empty() {
            return Some(scan);
        }
        self.note(("scan", scan.found.len()));
        let is_missed = |key: &&usize| !scan.found.contains(&self.profile.keys[**key].key);
        let missed: Vec<&usize> = scan.present.iter().filter(is_missed).collect();
        if !missed.is_empty() {
            self.violate("a scan misses a key", format!("{missed:?} in {:?}", scan.view));
        }
        None
    }

    /// A host has acted: what it has given up may be nowhere any more.
    pub(super) fn follow_scan(&mut self, host: usize) {
        let Some(mut scan) = self.scan.take() else { return };
        if let Some(node) = &self.hosts[host].node {
            let mut present = std::mem::take(&mut scan.present);
            present.retain(|key| {
                node.values().holds(&self.profile.keys[*key].key) || self.is_present(&scan, *key)
            });
            scan.present = present;
        }
        self.scan = Some(scan);
    }

    fn is_present(&self, scan: &Scan, key: usize) -> bool {
        let key = &self.profile.keys[key].key;
        self.hosts.iter().filter_map(|host| host.node.as_ref()).any(|node| {
            node.view().id == scan.view && scan.members.contains(node.config().id) && node.values().holds(key)
        })
    }
}
