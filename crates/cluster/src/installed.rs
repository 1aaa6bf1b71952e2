//! What the partitions of a node are shown of its membership: the installed view, and what may be done in it now.
//!
//! Invariants: [`Installed`] does not change once it is published; a partition that meets a newer one than it has entered
//! enters it before it does anything else (`enter`), however many it has skipped. Everything in it is therefore either
//! about the view itself or adds up: how often the node was reborn, and by which generation each member was dropped last.

use std::collections::BTreeMap;

use crate::config::Minority;
use crate::databases::Given;
use crate::ids::{Generation, Incarnation, NodeId, NodeSet, ViewId};
use crate::key::Space;
use crate::members::Members;
use crate::message::Base;
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::view::{Candidate, Plan, View};

/// An installed view and what partitions need to know to enter it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Installed {
    /// The view.
    pub(crate) view: View,
    /// When it was installed.
    pub(crate) at_ms: u64,
    /// How often the node was outside the base and had to start empty.
    pub(crate) rebirths: u64,
    /// How often it met members that had been in another view before and did not start empty.
    pub(crate) meetings: u64,
    /// By node, when it was dropped from the base since the last rebirth.
    pub(crate) drops: BTreeMap<NodeId, Dropped>,
    /// Nodes that were expired, once each.
    pub(crate) retired: BTreeMap<NodeId, Retired>,
    /// Spaces that were given up by these generations and may not be empty here.
    pub(crate) waste: BTreeMap<Space, Generation>,
}

/// An expired node, whose fork may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Retired {
    /// When it was expired.
    pub(crate) at_ms: u64,
    /// The first view here without it: what came into being in that view or later is not part of its fork.
    pub(crate) view: ViewId,
}

/// The last generations that dropped a node. Earlier ones do not matter: a copy that has not been looked at since knows
/// nothing of what the node has done in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Dropped {
    last: Generation,
    /// When it was only silent, and may come back.
    expired: Option<Generation>,
}

impl Installed {
    /// Nodes that generations after this one have dropped, and those of them that were only silent.
    pub(crate) fn dropped_since(&self, generation: Generation) -> (NodeSet, NodeSet) {
        let since = |dropped: Option<Generation>| dropped.is_some_and(|dropped| dropped > generation);
        let nodes = |of: fn(&Dropped) -> Option<Generation>| {
            self.drops.iter().filter(|(_, dropped)| since(of(dropped))).map(|(node, _)| *node).collect()
        };
        (nodes(|dropped| Some(dropped.last)), nodes(|dropped| dropped.expired))
    }
}

/// What may be done at present in the installed view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    /// A view is installed and no newer one is promised.
    pub(crate) serving: bool,
    /// This node has left for good.
    pub(crate) left: bool,
    /// What clients may do.
    pub(crate) may: Minority,
    /// X is allowed as long as the monotonic clock stands below this.
    pub(crate) lease_until_ms: u64,
    /// Each key is to have a second holder.
    pub(crate) keepers: bool,
    /// Writes on solo keys need no record from then on.
    pub(crate) solo_from_ms: u64,
    /// Expired nodes that do not come back with forks, because the life that was expired is over.
    pub(crate) over: NodeSet,
}

impl Members {
    /// Installs the accepted proposal.
    pub(crate) fn install_view(&mut self) {
        let (accepted, old) = (self.accepted.clone(), &self.installed);
        let (old_base, now) = (self.known_base().clone(), self.now.mono_ms);
        let mut next = Installed {
            view: View { id: accepted.view, members: accepted.members, base: accepted.base },
            at_ms: now,
            meetings: old.meetings + u64::from(accepted.from != old.view.id),
            ..Installed::clone(old)
        };
        let base = next.view.base.clone();
        self.tally.add(Rule::InstalledView);
        self.end_votes(base.tag.generation);
        self.note_base_change(&old_base, &base, &mut next);
        if base.changes_keys_of(&old_base) {
            let (before, after) = (old_base.nodes() | accepted.previous.nodes(), base.nodes());
            self.unflushed = (before | after).without(self.config.id);
            self.tally.add(Rule::Flushed);
        }
        for (space, at) in base.databases.waste() {
            if old_base.databases.given.get(&space) != Some(&Given::Up(at)) {
                self.waste.insert(space, (at, self.config.parts));
            }
        }
        next.waste = self.waste.iter().map(|(space, (at, _))| (*space, *at)).collect();
        if !old_base.kept_from(&base).contains(self.config.id) {
            self.tally.add(Rule::Reborn);
            next.rebirths += 1;
            next.drops.clear();
        }
        self.publish(next);
        self.persist();
    }

    /// Says in a base that is made now which of the former members may still come back with forks, for those who are taken in.
    pub(crate) fn note_awaited(&self, plan: &mut Plan, candidates: &BTreeMap<NodeId, Candidate>) {
        let bases = candidates.values().map(|candidate| &candidate.base);
        let others = bases.filter(|base| base.tag.cluster != plan.base.tag.cluster);
        let members = &plan.base.members;
        // Those of another cluster who are not here may bring what they have written there.
        for (node, former) in
            others.flat_map(Base::all_so_far).filter(|(node, _)| !members.contains_key(node))
        {
            if !self.config.without(Mutant::MeetNoneButMembers) {
                plan.base.former.entry(node).or_insert(former);
            }
        }
        let retain_ms = self.config.timers.retain_ms;
        let was_awaited = |node: &NodeId| {
            let retired =
                self.installed.retired.get(node).filter(|_| !plan.previous.members.contains_key(node));
            retired.is_none_or(|retired| self.now.mono_ms < retired.at_ms.saturating_add(retain_ms))
        };
        for (node, former) in &mut plan.base.former {
            former.is_awaited &= !self.is_over(*node, former.life) && was_awaited(node);
        }
    }

    fn note_base_change(&mut self, old: &Base, new: &Base, next: &mut Installed) {
        if old.tag == new.tag {
            return;
        }
        let mut nodes = old.nodes() - new.kept_from(old);
        if !old.has(self.config.id, self.incarnation) {
            // An earlier life of this very node.
            nodes.remove(self.config.id);
        }
        let alive = |node: &NodeId| !self.is_over(*node, old.members.get(node).copied().unwrap_or_default());
        let expired: NodeSet = nodes.iter().filter(alive).collect();
        for (rule, happened) in [
            (Rule::Joined, !(new.nodes() - old.nodes()).is_empty()),
            (Rule::Expired, !expired.is_empty()),
            (Rule::DroppedDead, !(nodes - expired).is_empty()),
        ] {
            if happened {
                self.tally.add(rule);
            }
        }
        let generation = new.tag.generation;
        for node in nodes.iter() {
            let dropped = next.drops.entry(node).or_default();
            dropped.last = generation;
            if expired.contains(node) {
                dropped.expired = Some(generation);
                next.retired.insert(node, Retired { at_ms: next.at_ms, view: next.view.id });
                self.exiles.insert(node, old.members.get(&node).copied().unwrap_or_default());
            }
        }
        if self.config.without(Mutant::NewcomersAwaitNobody) {
            return;
        }
        // Those who went in bases that this life has not seen. When they did is not known here: they may be gone for less
        // time, and have held more, than this node takes for granted.
        for (node, former) in
            new.former.iter().filter(|(node, former)| former.is_awaited && !nodes.contains(**node))
        {
            if !next.retired.contains_key(node) || old.former.get(node) != Some(former) {
                next.retired.insert(*node, Retired { at_ms: next.at_ms, view: next.view.id });
                self.exiles.insert(*node, former.life);
            }
        }
    }

    /// What partitions may do at present.
    pub(crate) fn fence(&self) -> Fence {
        self.fence
    }

    /// Works out anew what partitions may do, after anything that it depends on.
    pub(crate) fn refresh_fence(&mut self) {
        let serving = self.installed.view.id != Default::default() && !self.frozen();
        let over = |(node, life): &(&NodeId, &Incarnation)| self.is_over(**node, **life);
        let over = match self.config.without(Mutant::AwaitTheOver) {
            true => NodeSet::EMPTY,
            false => self.exiles.iter().filter(over).map(|(node, _)| *node).collect(),
        };
        let (lease_until_ms, solo_from_ms) = (self.lease_until_ms(), self.solo_from_ms(over));
        let may = if self.installed.view.has_most() { Minority::default() } else { self.config.minority };
        let keepers = self.installed.view.base.wants_keepers();
        self.fence = Fence { serving, left: self.left, may, lease_until_ms, keepers, solo_from_ms, over };
    }

    /// From when on all of the base is here, and nobody is likely to come back: until then what is written is to be
    /// told from what others have written meanwhile. Never where it is to have a second holder.
    fn solo_from_ms(&self, over: NodeSet) -> u64 {
        let installed = &self.installed;
        if installed.view.base.wants_keepers() && !self.config.without(Mutant::SoloAmongOthers) {
            return u64::MAX;
        }
        if !installed.view.missing().is_empty() && !self.config.without(Mutant::SoloWritesWithoutTheRest) {
            return u64::MAX;
        }
        let awaited = installed.retired.iter().filter(|(node, _)| !over.contains(**node));
        let timers = &self.config.timers;
        let until = |retired: &Retired| retired.at_ms.saturating_add(timers.retain_ms.min(timers.return_ms));
        awaited.map(|(_, retired)| until(retired)).max().unwrap_or(0)
    }

    /// Until when most of the base are known to count on this node still.
    fn lease_until_ms(&self) -> u64 {
        if self.config.without(Mutant::NoFence) {
            return u64::MAX;
        }
        let base = &self.installed.view.base;
        if !base.has(self.config.id, self.incarnation) {
            return 0;
        }
        let mut echoes = self.supporting_echoes();
        if self.supports_itself() {
            echoes.push((u64::MAX, self.config.id));
        }
        echoes.sort_unstable_by_key(|echo| std::cmp::Reverse(*echo));
        let any_half = self.config.without(Mutant::LeaseOfAnyHalf);
        let mut supporters = NodeSet::EMPTY;
        let completes = |(_, node): &&(u64, NodeId)| {
            supporters.insert(*node);
            let is_half = 2 * supporters.len() as usize == base.members.len();
            base.is_most(supporters, base.members.len()) || any_half && is_half
        };
        let until = |(sent_ms, _): &(u64, NodeId)| sent_ms.saturating_add(self.config.timers.lease_ms);
        echoes.iter().find(completes).map_or(0, until)
    }
}
