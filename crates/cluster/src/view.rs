//! The rules of views and bases as pure functions: what a proposer may propose, what a member may accept.
//!
//! A *base* is the set of node lives that may hold current copies; a *view* is the set of nodes that work together
//! right now. Bases form one chain: every new base is accepted by a set of nodes that meets every other set able to
//! make one (all of the old base, a strict majority of it, or at least half when the rest is known to be dead; lives
//! that were declared over do not count).
//! Neighbours: `membership` runs these rules over messages; the abstract model in `crates/sim` runs them too.

use std::collections::BTreeMap;

use crate::ids::{Generation, Incarnation, NodeId, NodeSet, ViewId};
use crate::message::{Base, BaseTag};

/// An installed view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// Its name; the default before the first.
    pub id: ViewId,
    /// Who works together.
    pub members: NodeSet,
    /// The base it stands on; members are always part of it.
    pub base: Base,
}

impl View {
    /// Members of the base that are out of reach.
    pub fn missing(&self) -> NodeSet {
        self.base.nodes() - self.members
    }
}

/// What a candidate said in its promise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The view in which it accepted `base`.
    pub accepted: ViewId,
    /// The base it accepted last; generation 0 for a node that never had one.
    pub base: Base,
}

/// What is known of a member of the base that is not a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Absence {
    /// Out of reach, for a while.
    Missing,
    /// Silent for longer than the expiry.
    Silent,
    /// This life is over: a newer one was seen.
    Dead,
    /// This life is over and was declared so: it left, or the operator had it forgotten. It no longer counts when
    /// the base is asked for a majority.
    Declared,
}

/// A view worth proposing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Members of the view.
    pub members: NodeSet,
    /// The base to accept.
    pub base: Base,
    /// The base it builds on.
    pub previous: Base,
}

/// How many of the base must be present for the rest to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Half is enough even for the merely silent: a seeded fault.
    pub half_expires: bool,
}

/// The view that candidates can form: the highest accepted base, changed if it can be.
///
/// A base of which every member is a candidate takes in all candidates. A base with members missing may drop them
/// when they are silent and a strict majority is present, or when they are dead and at least half is present.
/// Otherwise the base stays and only its members form the view.
pub fn plan(
    view: ViewId,
    candidates: &BTreeMap<NodeId, Candidate>,
    absence: impl Fn(NodeId, Incarnation) -> Absence,
    flush: bool,
    quorum: Quorum,
) -> Option<Plan> {
    let highest = candidates.values().max_by_key(|candidate| {
        (candidate.base.tag.generation, candidate.accepted, candidate.base.tag.cluster)
    })?;
    let previous = highest.base.clone();
    if previous.tag.generation == Generation(0) {
        return None;
    }
    let present: NodeSet = candidates
        .iter()
        .filter(|(node, candidate)| previous.has(**node, candidate.incarnation))
        .map(|(node, _)| *node)
        .collect();
    let missing = previous.nodes() - present;
    let lives = |nodes: NodeSet| -> BTreeMap<NodeId, Incarnation> {
        nodes.iter().filter_map(|node| Some((node, candidates.get(&node)?.incarnation))).collect()
    };
    let wanted = if missing.is_empty() {
        lives(candidates.keys().copied().collect())
    } else if !flush && may_drop(&previous, present, &absence, quorum) {
        lives(present)
    } else if flush {
        return None;
    } else {
        previous.members.clone()
    };
    let mut base = previous.clone();
    if wanted != previous.members || flush {
        let generation = Generation(previous.tag.generation.0 + 1);
        let since = |(node, life): (&NodeId, &Incarnation)| {
            let kept = previous.since.get(node).filter(|_| previous.has(*node, *life));
            (*node, kept.copied().unwrap_or(generation))
        };
        base = Base {
            tag: BaseTag { generation, born: view, cluster: previous.tag.cluster },
            flush: previous.flush + u64::from(flush),
            since: wanted.iter().map(since).collect(),
            members: wanted,
        };
    }
    let members = if missing.is_empty() { base.nodes() } else { present };
    (!members.is_empty()).then_some(Plan { members, base, previous })
}

/// Whether those present may drop the rest of the base.
pub fn may_drop(
    base: &Base,
    present: NodeSet,
    absence: impl Fn(NodeId, Incarnation) -> Absence,
    quorum: Quorum,
) -> bool {
    let absences: Vec<Absence> = base
        .members
        .iter()
        .filter(|(node, _)| !present.contains(**node))
        .map(|(node, incarnation)| absence(*node, *incarnation))
        .collect();
    let declared = absences.iter().filter(|absence| **absence == Absence::Declared).count();
    let counted = base.members.len() - declared;
    let twice = 2 * present.len() as usize;
    match absences.iter().min() {
        None | Some(Absence::Missing) => false,
        Some(Absence::Silent) => twice > counted || (quorum.half_expires && twice == counted),
        Some(Absence::Dead | Absence::Declared) => twice >= counted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Quorum = Quorum { half_expires: false };

    fn base(generation: u64, nodes: &[u8]) -> Base {
        Base {
            tag: BaseTag { generation: Generation(generation), born: ViewId::default(), cluster: 1 },
            flush: 0,
            members: nodes.iter().map(|node| (NodeId(*node), Incarnation(1))).collect(),
            since: nodes.iter().map(|node| (NodeId(*node), Generation(1))).collect(),
        }
    }

    fn candidates(nodes: &[u8], base: &Base) -> BTreeMap<NodeId, Candidate> {
        let candidate =
            Candidate { incarnation: Incarnation(1), accepted: ViewId::default(), base: base.clone() };
        nodes.iter().map(|node| (NodeId(*node), candidate.clone())).collect()
    }

    fn nodes(plan: &Plan) -> (u64, u64, u64) {
        (plan.members.0, plan.base.nodes().0, plan.base.tag.generation.0)
    }

    #[test]
    fn a_whole_base_takes_joiners_in() {
        let old = base(3, &[0, 1]);
        let mut all = candidates(&[0, 1], &old);
        all.insert(
            NodeId(2),
            Candidate { incarnation: Incarnation(9), accepted: ViewId::default(), base: Base::default() },
        );
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Missing, false, STRICT).expect("a plan");
        assert_eq!(nodes(&plan), (0b111, 0b111, 4));
    }

    #[test]
    fn joiners_wait_while_a_member_is_missing() {
        let old = base(3, &[0, 1]);
        let mut all = candidates(&[0], &old);
        all.insert(
            NodeId(2),
            Candidate { incarnation: Incarnation(9), accepted: ViewId::default(), base: Base::default() },
        );
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Missing, false, STRICT).expect("a plan");
        assert_eq!(nodes(&plan), (0b001, 0b011, 3));
    }

    #[test]
    fn a_strict_majority_drops_the_silent_and_half_does_not() {
        let view = ViewId::default();
        let three = base(1, &[0, 1, 2]);
        let majority =
            plan(view, &candidates(&[0, 1], &three), |_, _| Absence::Silent, false, STRICT).expect("plan");
        assert_eq!(nodes(&majority), (0b011, 0b011, 2));
        let two = base(1, &[0, 1]);
        let half = plan(view, &candidates(&[0], &two), |_, _| Absence::Silent, false, STRICT).expect("plan");
        assert_eq!(nodes(&half), (0b001, 0b011, 1));
        let dead = plan(view, &candidates(&[0], &two), |_, _| Absence::Dead, false, STRICT).expect("plan");
        assert_eq!(nodes(&dead), (0b001, 0b001, 2));
    }

    #[test]
    fn the_highest_accepted_base_wins() {
        let mut all = candidates(&[0, 1], &base(1, &[0, 1, 2]));
        all.insert(
            NodeId(2),
            Candidate {
                incarnation: Incarnation(1),
                accepted: ViewId { counter: 4, proposer: 0 },
                base: base(2, &[1, 2]),
            },
        );
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Missing, false, STRICT).expect("a plan");
        assert_eq!(nodes(&plan), (0b111, 0b111, 3));
        assert_eq!(plan.previous.nodes().0, 0b110, "node 0 is not in it and starts empty");
    }

    #[test]
    fn a_flush_needs_everyone() {
        let old = base(1, &[0, 1]);
        let view = ViewId::default();
        assert!(plan(view, &candidates(&[0], &old), |_, _| Absence::Dead, true, STRICT).is_none());
        let plan = plan(view, &candidates(&[0, 1], &old), |_, _| Absence::Missing, true, STRICT);
        assert_eq!(plan.map(|plan| (plan.base.flush, plan.base.tag.generation.0)), Some((1, 2)));
    }
}
