//! Nodes that come back with what their earlier lives have agreed to.

use std::cell::Cell;

use swytch_cluster::*;

use super::support::Cluster;

/// A key that all nodes hold.
fn shared(nodes: u8) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    for node in 0..nodes {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.run(2_000);
    cluster
}

/// All nodes are in one view and decide.
#[track_caller]
fn goes_on(cluster: &mut Cluster) {
    let count = cluster.nodes.len();
    for node in cluster.nodes.keys().map(|node| node.0).collect::<Vec<_>>() {
        assert_eq!(cluster.node(node).view().members.len() as usize, count, "at {node}");
        let name = format!("new{node}");
        cluster.add(node, &name, "word").expect("add");
        assert_eq!(cluster.take(node, &name), Ok("word".into()));
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
pub(crate) fn a_cluster_of_which_most_have_restarted_goes_on_by_itself() {
    for (nodes, crashed) in [(3, 1..3), (5, 1..5), (2, 0..1)] {
        let mut cluster = shared(nodes);
        crashed.clone().for_each(|node| cluster.crash(node));
        cluster.run(1_000);
        crashed.clone().for_each(|node| cluster.come_back(node, 2));
        cluster.run(8_000);
        goes_on(&mut cluster);
        let words: Vec<String> = (0..nodes).map(|node| format!("n{node}")).collect();
        assert_eq!(cluster.read(crashed.start, "k"), Ok(words.join(" ")), "who has not crashed has the key");
    }
}

#[test]
pub(crate) fn a_cluster_of_which_all_have_restarted_goes_on_by_itself() {
    for at_once in [true, false] {
        let mut cluster = shared(3);
        (0..3).for_each(|node| cluster.crash(node));
        cluster.run(1_000);
        for node in 0..3 {
            cluster.come_back(node, 2);
            if !at_once {
                cluster.run(3_000);
            }
        }
        cluster.run(8_000);
        goes_on(&mut cluster);
        assert_eq!(cluster.read(0, "k"), Ok(String::new()), "nobody has what they had");
    }
}

/// One after another is killed until one is left, and they come back one after another.
#[test]
pub(crate) fn a_cluster_survives_its_attrition() {
    let mut cluster = shared(5);
    for node in (1..5).rev() {
        cluster.crash(node);
        cluster.run(3_000);
    }
    cluster.run(60_000);
    assert_eq!(cluster.take(0, "k"), Err(ClientError::Unreachable), "the others may go on somewhere");
    for (node, together) in (1..5).zip(2..) {
        cluster.come_back(node, 2);
        // Who has come back has to hear nothing of the others for as long as an expiry takes.
        cluster.run(40_000);
        // Three of five are most of them.
        let expected = if together < 3 { 1 } else { together };
        assert_eq!(cluster.node(0).view().members.len(), expected, "{together} are up");
    }
    goes_on(&mut cluster);
    assert_eq!(cluster.read(4, "k"), Ok("n0 n1 n2 n3 n4".into()));
}

/// The first attempts fail, because what the others promise is lost.
#[test]
pub(crate) fn a_voter_tries_again() {
    let mut cluster = shared(2);
    (0..2).for_each(|node| cluster.crash(node));
    (0..2).for_each(|node| cluster.come_back(node, 2));
    for _ in 0..200 {
        cluster.now += 50;
        (0..2).for_each(|node| cluster.input(node, Input::Tick));
        cluster.deliver_but(|message| matches!(message, Message::Promise { .. }));
    }
    assert!(!cluster.node(0).is_serving());
    cluster.run(20_000);
    goes_on(&mut cluster);
}

/// Most of them have come back; the rest is dropped when it has been silent for long enough.
#[test]
pub(crate) fn most_voters_go_on_without_those_that_do_not_come_back() {
    let mut cluster = shared(3);
    (0..3).for_each(|node| cluster.crash(node));
    (1..3).for_each(|node| cluster.come_back(node, 2));
    cluster.run(20_000);
    assert!(!cluster.node(1).is_serving(), "the third may still be at work");
    cluster.run(20_000);
    goes_on(&mut cluster);
}

/// Nodes 1 and 2 have gone on without node 0 and taken a word. Node 2 comes back to node 0, and node 1 is out of sight.
#[test]
pub(crate) fn a_voter_that_comes_back_knows_what_it_has_agreed_to() {
    let mut cluster = shared(3);
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(40_000);
    assert_eq!(cluster.take(1, "k"), Ok("n0".into()));
    cluster.partition(&[&[0, 2], &[1]]);
    cluster.crash(2);
    cluster.come_back(2, 2);
    cluster.run(60_000);
    assert_ne!(cluster.take(0, "k"), Ok("n0".into()), "it was taken before");
    cluster.heal();
    cluster.run(10_000);
    goes_on(&mut cluster);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("n1 n2".into()), "at {node}");
    }
}

/// Node 2 is taken in, and crashes before it hears of it; the base that is to have its next life is accepted by node 2, but
/// not made.
#[test]
pub(crate) fn a_voter_that_has_accepted_a_later_base_is_one_still() {
    let mut cluster = Cluster::new(2);
    cluster.restart(2, 1);
    let made = Cell::new(false);
    while !made.get() {
        cluster.now += 50;
        (0..3).for_each(|node| cluster.input(node, Input::Tick));
        cluster.deliver_but(|message| {
            made.set(made.get() || matches!(message, Message::Install { .. }));
            made.get()
        });
    }
    cluster.crash(2);
    cluster.come_back(2, 2);
    for _ in 0..100 {
        cluster.now += 50;
        (0..3).for_each(|node| cluster.input(node, Input::Tick));
        cluster.deliver_but(|message| matches!(message, Message::Accept { .. }));
    }
    let vote = cluster.disks[&NodeId(2)].vote.as_ref().expect("it has accepted one");
    assert!(vote.base.has(NodeId(2), Incarnation::of_life(2)));
    cluster.run(20_000);
    goes_on(&mut cluster);
}

/// Node 2 has supported the lease of node 0, which hears node 1 but is not heard by it, and comes back to node 1.
#[test]
pub(crate) fn a_voter_that_comes_back_has_heard_nobody_for_as_long_as_it_runs() {
    let mut cluster = Cluster::new(3);
    cluster.cut = [(NodeId(0), NodeId(1))].into();
    cluster.run(40_000);
    assert!(cluster.node(0).has_lease());
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.crash(2);
    cluster.come_back(2, 2);
    let mut waited = 0;
    while cluster.node(1).view().base.nodes().contains(NodeId(0)) {
        cluster.run(50);
        waited += 1;
        assert!(waited < 1_000, "node 0 is never dropped");
    }
    assert!(!cluster.node(0).has_lease());
}

/// Node 2 and 3 hear 0 and 1, which have come back and hear neither of them.
#[test]
pub(crate) fn a_life_that_is_remembered_is_not_out_of_the_way() {
    let mut cluster = shared(4);
    let one_way = [(2, 0), (2, 1), (3, 0), (3, 1)];
    cluster.cut = one_way.map(|(from, to)| (NodeId(from), NodeId(to))).into();
    (0..2).for_each(|node| cluster.crash(node));
    (0..2).for_each(|node| cluster.come_back(node, 2));
    cluster.run(60_000);
    let goes_on = |node| {
        let node = cluster.node(node);
        node.is_serving() && node.view().base.tag.generation > Generation(1)
    };
    assert_eq!((goes_on(0), goes_on(2)), (true, false), "one half goes on");
}

/// What the half with the lowest member has agreed to may be forgotten with it: whom it had expired must not go on beside whom
/// it has taken in.
#[test]
pub(crate) fn half_does_not_go_on_because_the_rest_has_restarted() {
    let mut cluster = Cluster::new(2);
    cluster.partition(&[&[0], &[1]]);
    cluster.run(45_000);
    cluster.restart(2, 1);
    cluster.partition(&[&[0, 2], &[1]]);
    cluster.run(8_000);
    let base = |cluster: &Cluster, node| cluster.node(node).view().base.nodes();
    assert_eq!(base(&cluster, 2), [NodeId(0), NodeId(2)].into_iter().collect(), "it has expired 1");
    cluster.crash(0);
    cluster.restart(0, 2);
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(60_000);
    cluster.partition(&[&[0, 2], &[1]]);
    cluster.run(60_000);
    let before = Incarnation::of_life(1);
    let goes_on = |node| !cluster.node(node).view().base.has(NodeId(0), before);
    assert!(!(goes_on(1) && goes_on(2)), "two bases: {:?} and {:?}", base(&cluster, 1), base(&cluster, 2));
    // An operator knows that there is nobody else.
    cluster.input(2, Input::Forget(NodeId(0)));
    cluster.run(8_000);
    assert!(cluster.node(2).is_serving() && !cluster.node(2).view().base.has(NodeId(0), before));
}
