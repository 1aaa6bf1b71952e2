//! The rules of views and bases as pure functions: what a proposer may propose, what a member may accept.
//!
//! A *base* is the set of node lives that may hold current copies; a *view* is the set of nodes that work together
//! right now. Bases form one chain: every new base is accepted by a set of nodes that meets every other set able to
//! make one (all of the old base, more than half of it, half of it with its lowest member, or any half when the rest is known
//! to be dead; lives that were declared over do not count). A base that was accepted somewhere and is not known to be installed is a
//! *vote*: it may have been made, so it is made again by such a set, or shown never to have been made; until one of
//! the two is possible the base before it stays, and whoever gave the vote supports nobody's lease on that one.
//! Neighbour: `membership` runs these rules over messages.

use std::collections::{BTreeMap, BTreeSet};

use crate::databases::Changes;
use crate::ids::{Contact, Generation, Incarnation, NODES_MAX, NodeId, NodeSet, Uid, ViewId};
use crate::key::Space;
use crate::message::{Base, BaseTag, Vote};

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
    /// Whether most of the base are in it.
    pub fn has_most(&self) -> bool {
        self.base.is_most(self.members, self.base.members.len())
    }

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
    /// The base of its installed view; generation 0 for a node that never had one.
    pub base: Base,
    /// A later base it has accepted.
    pub vote: Option<Vote>,
    /// The view it has installed.
    pub view: ViewId,
    /// It remembers what its earlier lives have agreed to.
    pub is_heir: bool,
    /// Who and where it is.
    pub contact: Contact,
    /// Spaces of which it may hold what no database has any more.
    pub waste: BTreeSet<Space>,
    /// How many members are to hold each key, as far as it is concerned.
    pub copies: u8,
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
    /// Bases that nobody has a lease on any more, for all the candidates know: an installed one has come after, or
    /// they were never made.
    pub settled: BTreeSet<BaseTag>,
    /// The view that all members come from that do not start empty; the default if they come from different ones.
    pub from: ViewId,
}

/// How many of the base must be present for the rest to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Any half is enough even for the merely silent: a seeded fault.
    pub half_expires: bool,
    /// Half never is, not even with the lowest member: a seeded fault.
    pub half_is_less: bool,
    /// Any half is enough where the rest has restarted: a seeded fault.
    pub half_outlives: bool,
}

impl Base {
    /// Whether these members meet every other set of which that can be said: they are more than half of the `counted`, or
    /// half with the lowest member of the base. Everybody has to take the same one for the lowest, so it is that of the
    /// base, alive or not.
    pub fn is_most(&self, members: NodeSet, counted: usize) -> bool {
        let twice = 2 * members.len() as usize;
        let breaks_tie = || self.members.keys().next().is_some_and(|lowest| members.contains(*lowest));
        twice > counted || twice == counted && breaks_tie()
    }
}

/// Bases that were never made are remembered until one is installed, at most this many: nodes have one vote each.
const NEVER_MAX: usize = NODES_MAX as usize;

/// The view that candidates can form: the highest installed base, or one that may have been made after it, changed if
/// it can be.
///
/// A base of which every member is a candidate takes in all candidates. A base with members missing may drop them
/// when they are silent or dead, and most are present ([`Base::is_most`]).
/// Otherwise the base stays and only its members form the view.
pub fn plan(
    view: ViewId,
    candidates: &BTreeMap<NodeId, Candidate>,
    absence: impl Fn(NodeId, Incarnation) -> Absence,
    changes: &Changes,
    quorum: Quorum,
) -> Option<Plan> {
    let plan = plan_base(view, candidates, absence, changes, quorum)?;
    Some(Plan { from: common_view(candidates, &plan), ..plan })
}

/// The view that those members come from that keep what they hold; the default if they come from different ones.
fn common_view(candidates: &BTreeMap<NodeId, Candidate>, plan: &Plan) -> ViewId {
    let members = plan.members.iter().filter_map(|node| Some((node, candidates.get(&node)?)));
    let keeping = members.filter(|(node, candidate)| candidate.base.kept_from(&plan.base).contains(*node));
    let mut views = keeping.map(|(_, candidate)| candidate.view);
    let first = views.next().unwrap_or_default();
    if views.all(|view| view == first) { first } else { ViewId::default() }
}

fn plan_base(
    view: ViewId,
    candidates: &BTreeMap<NodeId, Candidate>,
    absence: impl Fn(NodeId, Incarnation) -> Absence,
    changes: &Changes,
    quorum: Quorum,
) -> Option<Plan> {
    let bases = candidates.values().map(|candidate| &candidate.base);
    let votes = || candidates.values().filter_map(|candidate| candidate.vote.as_ref());
    let chosen = bases.max_by_key(|base| base.tag)?;
    if chosen.tag.generation == Generation(0) {
        // Nobody here has installed anything, and the base that was to take them in may never have been made.
        return None;
    }
    let mut later: Vec<&Vote> =
        votes().filter(|vote| vote.base.tag.generation > chosen.tag.generation).collect();
    later.sort_by_key(|vote| std::cmp::Reverse(vote.view));
    // Later votes hide who had not accepted an earlier base; what was found out then has come along with them.
    let known: BTreeSet<BaseTag> = votes()
        .flat_map(|vote| vote.settled.iter().copied())
        .filter(|tag| tag.generation > chosen.tag.generation)
        .collect();
    let fate = |vote: &Vote| match known.contains(&vote.base.tag) {
        true => Fate::Never,
        false => fate_of(&vote.base, candidates, &later, &absence),
    };
    let fates: Vec<(&Vote, Fate)> = later.iter().map(|vote| (*vote, fate(vote))).collect();
    let found = fates.iter().filter(|(_, fate)| *fate == Fate::Never).map(|(vote, _)| vote.base.tag);
    let mut never: BTreeSet<BaseTag> = known.iter().copied().chain(found).collect();
    while never.len() > NEVER_MAX {
        never.pop_first();
    }
    let bases = candidates.values().map(|candidate| candidate.base.tag);
    let before = bases.chain(votes().map(|vote| vote.base.tag));
    let mut settled: BTreeSet<BaseTag> =
        before.filter(|tag| tag.generation <= chosen.tag.generation && *tag != chosen.tag).collect();
    settled.extend(&never);
    let Some((open, _)) = fates.iter().find(|(_, fate)| *fate == Fate::Open) else {
        let plan = plan_on(view, chosen, candidates, &absence, changes, quorum, !later.is_empty())?;
        return Some(Plan { settled, ..plan });
    };
    let next = plan_on(view, &open.base, candidates, &absence, changes, quorum, false)?;
    let voters = voters_of(chosen, candidates, &absence);
    let accepting = voters & next.members;
    let drops_candidates = !voters.is_subset(next.base.nodes());
    if !drops_candidates && decides(chosen, accepting, absence) {
        return Some(Plan { settled: never, ..next });
    }
    let members = present_of(chosen, candidates);
    let from = ViewId::default();
    let stay = Plan { members, base: chosen.clone(), previous: chosen.clone(), settled, from };
    (!members.is_empty() && changes.wanted.is_empty()).then_some(stay)
}

impl Candidate {
    /// Whether it votes as a member of the base although only an earlier life of it is one. It may have accepted later bases
    /// since, in this life as well.
    fn is_heir_in(&self, node: NodeId, base: &Base) -> bool {
        self.is_heir && base.members.get(&node).is_some_and(|life| *life < self.incarnation)
    }
}

/// Candidates that have a vote in changes of the base: its members, and those whose earlier lives are, unless these were
/// declared over.
fn voters_of(
    base: &Base,
    candidates: &BTreeMap<NodeId, Candidate>,
    absence: impl Fn(NodeId, Incarnation) -> Absence,
) -> NodeSet {
    let votes = |(node, candidate): &(&NodeId, &Candidate)| {
        base.has(**node, candidate.incarnation)
            || candidate.is_heir_in(**node, base)
                && base.members.get(node).is_some_and(|life| absence(**node, *life) < Absence::Declared)
    };
    candidates.iter().filter(votes).map(|(node, _)| *node).collect()
}

/// Candidates that are members of the base in the very same life.
fn present_of(base: &Base, candidates: &BTreeMap<NodeId, Candidate>) -> NodeSet {
    let here = candidates.iter().filter(|(node, candidate)| base.has(**node, candidate.incarnation));
    here.map(|(node, _)| *node).collect()
}

/// What can have become of a base that was accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It may have been made.
    Open,
    /// Those who can have installed it are silent and not most of it: their lease is over, and who drops them
    /// drops them from this base as well.
    Silent,
    /// No living node has installed it, nor ever will: all its members are here, or dead, and none has; or one of them
    /// had to accept it at its birth and did not.
    Never,
}

fn fate_of(
    base: &Base,
    candidates: &BTreeMap<NodeId, Candidate>,
    votes: &[&Vote],
    absence: impl Fn(NodeId, Incarnation) -> Absence,
) -> Fate {
    let here = voters_of(base, candidates, &absence);
    let born = base.tag.born;
    let only_at_birth = votes.iter().all(|vote| vote.base.tag != base.tag || vote.view == born);
    let refused = |node: NodeId| {
        let vote = candidates.get(&node).and_then(|candidate| candidate.vote.as_ref());
        vote.is_none_or(|vote| vote.view < born)
    };
    let at_hand = |(node, life): (&NodeId, &Incarnation)| {
        here.contains(*node) || absence(*node, *life) >= Absence::Dead
    };
    let away: BTreeMap<NodeId, Absence> = base
        .members
        .iter()
        .filter(|member| !at_hand(*member))
        .map(|(node, life)| (*node, absence(*node, *life)))
        .collect();
    let most_are_away = base.is_most(away.keys().copied().collect(), base.members.len());
    if away.is_empty() || only_at_birth && here.iter().any(refused) {
        Fate::Never
    } else if !most_are_away && away.values().all(|absence| *absence == Absence::Silent) {
        Fate::Silent
    } else {
        Fate::Open
    }
}

/// Whether these members meet every other set that could change the base.
fn decides(base: &Base, accepting: NodeSet, absence: impl Fn(NodeId, Incarnation) -> Absence) -> bool {
    let absent = base.members.iter().filter(|(node, _)| !accepting.contains(**node));
    let absences: Vec<Absence> = absent.map(|(node, life)| absence(*node, *life)).collect();
    let declared = absences.iter().filter(|absence| **absence == Absence::Declared).count();
    let counted = base.members.len() - declared;
    let is_half = 2 * accepting.len() as usize == counted;
    base.is_most(accepting, counted) || is_half && absences.iter().all(|absence| *absence >= Absence::Dead)
}

/// `renew`: makes a new base of the old members when it would not change otherwise, so that votes for others end.
fn plan_on(
    view: ViewId,
    previous: &Base,
    candidates: &BTreeMap<NodeId, Candidate>,
    absence: impl Fn(NodeId, Incarnation) -> Absence,
    changes: &Changes,
    quorum: Quorum,
    renew: bool,
) -> Option<Plan> {
    let previous = previous.clone();
    let present = present_of(&previous, candidates);
    let voters = voters_of(&previous, candidates, &absence);
    let missing = previous.nodes() - voters;
    let lives = |nodes: NodeSet| -> BTreeMap<NodeId, Incarnation> {
        nodes.iter().filter_map(|node| Some((node, candidates.get(&node)?.incarnation))).collect()
    };
    let wanted = if missing.is_empty() {
        lives(candidates.keys().copied().collect())
    } else if !changes.wanted.is_empty() {
        return None;
    } else if may_drop(&previous, voters, &absence, quorum) {
        lives(voters)
    } else {
        previous.members.clone()
    };
    let wants = |node: &NodeId| candidates.get(node).map(|candidate| candidate.copies);
    let copies = wanted.keys().filter_map(wants).max().unwrap_or_default();
    let mut base = previous.clone();
    let generation = Generation(previous.tag.generation.0 + 1);
    let flush = changes.flushes_all();
    let databases = changes.make(&previous, generation, candidates);
    let changed = flush || databases != previous.databases;
    let is_renewed = missing.is_empty() && (renew || copies.max(1) != previous.copies.max(1));
    if wanted != previous.members || changed || is_renewed {
        let since = |(node, life): (&NodeId, &Incarnation)| {
            let kept = previous.since.get(node).filter(|_| previous.has(*node, *life));
            (*node, kept.copied().unwrap_or(generation))
        };
        let contact = |node: &NodeId| {
            let fresh = candidates.get(node).map(|candidate| &candidate.contact);
            let contact = fresh.filter(|contact| contact.uid != Uid::default());
            Some((*node, contact.or(previous.contacts.get(node))?.clone()))
        };
        base = Base {
            tag: BaseTag { generation, born: view, cluster: previous.tag.cluster },
            flush: previous.flush + u64::from(flush),
            databases,
            copies,
            since: wanted.iter().map(since).collect(),
            contacts: wanted.keys().filter_map(contact).collect(),
            former: previous.all_so_far().filter(|(node, _)| !wanted.contains_key(node)).collect(),
            members: wanted,
        };
    }
    let members = if missing.is_empty() {
        base.nodes()
    } else if base.tag == previous.tag {
        present
    } else {
        voters
    };
    let (settled, from) = (BTreeSet::new(), ViewId::default());
    (!members.is_empty()).then_some(Plan { members, base, previous, settled, from })
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
        Some(Absence::Silent) if quorum.half_expires => twice >= counted,
        Some(Absence::Silent) if quorum.half_is_less => twice > counted,
        Some(Absence::Dead) if quorum.half_outlives => twice >= counted,
        // Who has restarted may have dropped those present before, if it was most.
        Some(Absence::Silent | Absence::Dead | Absence::Declared) => base.is_most(present, counted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::interface::Change;

    const STRICT: Quorum = Quorum { half_expires: false, half_is_less: false, half_outlives: false };

    fn none() -> Changes {
        Changes::none(Config::new(NodeId(0)))
    }

    fn base(generation: u64, nodes: &[u8]) -> Base {
        Base {
            tag: BaseTag { generation: Generation(generation), born: ViewId::default(), cluster: 1 },
            flush: 0,
            members: nodes.iter().map(|node| (NodeId(*node), Incarnation(1))).collect(),
            since: nodes.iter().map(|node| (NodeId(*node), Generation(1))).collect(),
            ..Base::default()
        }
    }

    fn candidate(incarnation: u64, base: Base) -> Candidate {
        Candidate {
            incarnation: Incarnation(incarnation),
            base,
            vote: None,
            view: ViewId::default(),
            is_heir: false,
            contact: Contact::default(),
            waste: BTreeSet::new(),
            copies: 0,
        }
    }

    fn candidates(nodes: &[u8], base: &Base) -> BTreeMap<NodeId, Candidate> {
        let candidate = candidate(1, base.clone());
        nodes.iter().map(|node| (NodeId(*node), candidate.clone())).collect()
    }

    fn nodes(plan: &Plan) -> (u64, u64, u64) {
        (plan.members.0, plan.base.nodes().0, plan.base.tag.generation.0)
    }

    #[test]
    fn a_whole_base_takes_joiners_in() {
        let old = base(3, &[0, 1]);
        let mut all = candidates(&[0, 1], &old);
        all.insert(NodeId(2), candidate(9, Base::default()));
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Missing, &none(), STRICT).expect("a plan");
        assert_eq!(nodes(&plan), (0b111, 0b111, 4));
    }

    #[test]
    fn joiners_wait_while_a_member_is_missing() {
        let old = base(3, &[0, 1]);
        let mut all = candidates(&[0], &old);
        all.insert(NodeId(2), candidate(9, Base::default()));
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Missing, &none(), STRICT).expect("a plan");
        assert_eq!(nodes(&plan), (0b001, 0b011, 3));
    }

    #[test]
    fn a_majority_drops_the_silent_and_half_only_with_the_lowest_member() {
        let view = ViewId::default();
        let three = base(1, &[0, 1, 2]);
        let majority =
            plan(view, &candidates(&[0, 1], &three), |_, _| Absence::Silent, &none(), STRICT).expect("plan");
        assert_eq!(nodes(&majority), (0b011, 0b011, 2));
        let two = base(1, &[0, 1]);
        let half =
            plan(view, &candidates(&[1], &two), |_, _| Absence::Silent, &none(), STRICT).expect("plan");
        assert_eq!(nodes(&half), (0b010, 0b011, 1));
        let lowest =
            plan(view, &candidates(&[0], &two), |_, _| Absence::Silent, &none(), STRICT).expect("plan");
        assert_eq!(nodes(&lowest), (0b001, 0b001, 2));
        let dead = plan(view, &candidates(&[0], &two), |_, _| Absence::Dead, &none(), STRICT).expect("plan");
        assert_eq!(nodes(&dead), (0b001, 0b001, 2));
    }

    /// A later base of these nodes, born in view 4, and the votes of those that accepted it there.
    fn with_votes(all: &mut BTreeMap<NodeId, Candidate>, nodes: &[u8], votes: &[u8]) {
        let born = ViewId::new(4, NodeId(1));
        let mut later = base(2, nodes);
        later.tag.born = born;
        for node in votes {
            let candidate = all.get_mut(&NodeId(*node)).expect("a candidate");
            candidate.vote = Some(Vote { view: born, base: later.clone(), settled: BTreeSet::new() });
        }
    }

    #[test]
    fn the_highest_installed_base_wins() {
        let mut all = candidates(&[0, 1], &base(1, &[0, 1, 2]));
        let candidate = candidate(1, base(2, &[1, 2]));
        all.insert(NodeId(2), candidate);
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Missing, &none(), STRICT).expect("a plan");
        assert_eq!(nodes(&plan), (0b111, 0b111, 3));
        assert_eq!(plan.previous.nodes().0, 0b110, "node 0 is not in it and starts empty");
    }

    /// After a one-way cut node 1 alone accepts its own base without node 0; the others go on with node 0, may even
    /// drop node 1, and node 1 must not take its vote for a base.
    #[test]
    fn a_vote_of_one_makes_no_base() {
        let mut all = candidates(&[1], &base(1, &[0, 1, 2]));
        with_votes(&mut all, &[1, 2], &[1]);
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Silent, &none(), STRICT).expect("a plan");
        assert_eq!(nodes(&plan), (0b010, 0b111, 1));
    }

    #[test]
    fn a_vote_that_may_have_won_is_made_a_base_by_a_majority() {
        let mut all = candidates(&[1, 2], &base(1, &[0, 1, 2, 3]));
        with_votes(&mut all, &[1, 2, 3], &[1, 2]);
        let half = plan(ViewId::default(), &all, |_, _| Absence::Silent, &none(), STRICT).expect("a plan");
        assert_eq!(nodes(&half), (0b0110, 0b1111, 1), "two of four decide nothing");
        let mut all = candidates(&[1, 2], &base(1, &[0, 1, 2]));
        with_votes(&mut all, &[1, 2, 3], &[1, 2]);
        let most = plan(ViewId::default(), &all, |_, _| Absence::Missing, &none(), STRICT).expect("a plan");
        assert_eq!(nodes(&most), (0b0110, 0b1110, 2));
    }

    #[test]
    fn a_vote_that_cannot_have_won_is_void() {
        let mut all = candidates(&[0, 1, 2], &base(1, &[0, 1, 2]));
        with_votes(&mut all, &[1, 2], &[1]);
        let whole = plan(ViewId::default(), &all, |_, _| Absence::Missing, &none(), STRICT).expect("a plan");
        assert_eq!(nodes(&whole), (0b111, 0b111, 2), "a new base of the old members ends the vote");
        all.remove(&NodeId(0));
        let part = plan(ViewId::default(), &all, |_, _| Absence::Missing, &none(), STRICT).expect("a plan");
        assert_eq!(nodes(&part), (0b110, 0b111, 1), "node 2 never accepted it");
    }

    /// Who has been away since has a vote, or a base, that an installed one has overtaken: it must not refuse this plan
    /// for the sake of whom only those have.
    #[test]
    fn what_an_installed_base_has_overtaken_is_settled() {
        let installed = base(3, &[0, 1, 2]);
        let mut all = candidates(&[0, 1], &installed);
        let older = base(1, &[0, 1, 2, 3]);
        let candidate = candidate(1, older.clone());
        all.insert(NodeId(2), candidate);
        with_votes(&mut all, &[0, 1, 2, 4], &[2]);
        let vote = all[&NodeId(2)].vote.clone().expect("a vote");
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Missing, &none(), STRICT).expect("a plan");
        assert_eq!(plan.settled, [older.tag, vote.base.tag].into());
    }

    /// Node 1 refused the base of view 4 and has voted again since, for another: what was found out before goes with
    /// its vote.
    #[test]
    fn what_was_never_made_stays_known() {
        let mut all = candidates(&[0, 1, 2], &base(1, &[0, 1, 2]));
        with_votes(&mut all, &[0, 1, 2, 3], &[0]);
        let never = all[&NodeId(0)].vote.clone().expect("a vote").base.tag;
        let again = ViewId::new(6, NodeId(2));
        let mut other = base(2, &[0, 1, 2, 4]);
        other.tag.born = ViewId::new(3, NodeId(2));
        for node in [1, 2] {
            let vote = Vote { view: again, base: other.clone(), settled: [never].into() };
            all.get_mut(&NodeId(node)).expect("a candidate").vote = Some(vote);
        }
        let plan = plan(ViewId::default(), &all, |_, _| Absence::Missing, &none(), STRICT).expect("a plan");
        assert_eq!((plan.previous.tag, plan.settled), (other.tag, [never].into()));
    }

    #[test]
    fn a_flush_needs_everyone() {
        let old = base(1, &[0, 1]);
        let view = ViewId::default();
        let flush = Changes { wanted: [(1, Change::FlushAll)].into(), ..none() };
        assert!(plan(view, &candidates(&[0], &old), |_, _| Absence::Dead, &flush, STRICT).is_none());
        let plan = plan(view, &candidates(&[0, 1], &old), |_, _| Absence::Missing, &flush, STRICT);
        assert_eq!(plan.map(|plan| (plan.base.flush, plan.base.tag.generation.0)), Some((1, 2)));
    }
}
