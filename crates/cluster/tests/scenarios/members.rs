//! Who counts as reachable, and how one leaves.

use swytch_cluster::*;

use super::support::{Cluster, key};

/// Heartbeats reach node 2, and nothing else does.
#[test]
pub(crate) fn a_peer_whom_only_heartbeats_reach_is_suspected() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.run(1_000);
    cluster.grey = (0..2).map(|node| (NodeId(node), NodeId(2))).collect();
    for node in 0..2 {
        assert_eq!(cluster.add(node, "k", &format!("more{node}")), Ok("OK".into()), "at {node}");
    }
    assert_eq!(cluster.node(0).view().members.len(), 2);
    assert_eq!(cluster.take(0, "k"), Err(ClientError::Unreachable), "it may do the same");
    cluster.run(10_000);
    assert_eq!(cluster.node(0).view().members.len(), 2);
    cluster.grey.clear();
    cluster.run(5_000);
    assert_eq!(cluster.node(0).view().members.len(), 3);
    assert_eq!(cluster.read(2, "k"), Ok("more0 more1 n0 n1 n2".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A node with keys of its own, shared ones, and one that is gone.
#[test]
pub(crate) fn a_node_that_leaves_takes_nothing_with_it() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "shared", "word").expect("add");
    for number in 0..40 {
        cluster.add(2, &format!("k{number}"), &format!("w{number}")).expect("add");
    }
    assert_eq!(cluster.read(2, "shared"), Ok("word".into()));
    assert_eq!(cluster.take(2, "k0"), Ok("w0".into()));
    cluster.input(2, Input::Evacuate);
    // Invitations and what follows from them are lost at first.
    cluster.deliver_but(|message| matches!(message, Message::Invite { .. } | Message::Align { .. }));
    assert_eq!(cluster.evacuated, []);
    assert_eq!(cluster.add(2, "k1", "more"), Ok("OK".into()), "it goes on serving");
    cluster.run(2_000);
    assert_eq!(cluster.evacuated, [NodeId(2)]);
    cluster.input(2, Input::Leave);
    cluster.run(100);
    cluster.crash(2);
    cluster.run(3_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 2);
    assert_eq!(cluster.read(0, "k0"), Ok(String::new()));
    assert_eq!(cluster.take(1, "k1"), Ok("more".into()));
    for number in 1..40 {
        assert_eq!(cluster.read(number % 2, &format!("k{number}")), Ok(format!("w{number}")));
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A node that leaves has written without the others, and nobody has used the key since they are together again.
#[test]
pub(crate) fn a_node_that_leaves_brings_back_what_it_has_written_alone() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(3_000);
    cluster.add(2, "k", "alone").expect("add");
    cluster.heal();
    cluster.run(4_000);
    cluster.input(2, Input::Evacuate);
    cluster.run(1_000);
    assert_eq!(cluster.evacuated, [NodeId(2)]);
    cluster.input(2, Input::Leave);
    cluster.run(100);
    cluster.crash(2);
    cluster.run(3_000);
    assert_eq!(cluster.read(0, "k"), Ok("alone n0 n1 n2".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// As long as nobody is there who could take over what only it holds, a node is not told that it may go.
#[test]
pub(crate) fn a_node_leaves_when_somebody_is_there_to_take_over() {
    let mut cluster = Cluster::new(2);
    cluster.add(1, "k", "word").expect("add");
    cluster.partition(&[&[0], &[1]]);
    cluster.run(3_000);
    cluster.input(1, Input::Evacuate);
    cluster.run(3_000);
    assert_eq!(cluster.evacuated, []);
    cluster.heal();
    cluster.run(5_000);
    assert_eq!(cluster.evacuated, [NodeId(1)]);
    assert!(cluster.node(0).copy_of(&key("k")).is_some());
}

/// Keys come into being where the leaving node has looked already, and one is left by whoever had taken it over.
#[test]
pub(crate) fn what_comes_into_being_while_its_node_leaves_is_handed_over() {
    let mut cluster = Cluster::with(3, |config| config.limits.walk_max = 1);
    let mut names: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    names.sort_by_key(|name| key(name).mark());
    let (early, late) = names.split_at(3);
    for name in late {
        cluster.add(2, name, "word").expect("add");
    }
    cluster.add(0, &late[0], "more").expect("add");
    cluster.input(2, Input::Evacuate);
    cluster.run(500);
    assert_eq!(cluster.evacuated, [], "it has looked at some of them");
    for name in early {
        cluster.add(2, name, "word").expect("add");
    }
    cluster.input(0, Input::Evict(key(&late[0])));
    while cluster.evacuated.is_empty() {
        cluster.run(50);
    }
    cluster.input(2, Input::Leave);
    cluster.run(100);
    cluster.crash(2);
    cluster.run(3_000);
    for name in &names {
        let expected = if *name == late[0] { "more word" } else { "word" };
        assert_eq!(cluster.read(0, name), Ok(expected.into()), "{name}");
    }
}

/// Node 1 hears nothing of node 2, which node 0 hears all the time: its lease goes on.
#[test]
pub(crate) fn a_member_that_hears_a_node_does_not_let_it_be_expired() {
    let mut cluster = Cluster::new(3);
    cluster.cut = [(1, 2), (2, 1)].map(|(from, to)| (NodeId(from), NodeId(to))).into();
    for _ in 0..60 {
        cluster.run(1_000);
        assert_eq!(cluster.node(0).view().base.nodes().len(), 3);
    }
}

/// Clients of a node that is cut off from most of the base are refused; what it had applied for one before waits.
#[test]
pub(crate) fn a_minority_serves_nobody_if_it_is_told_so() {
    let or_refused =
        |may: bool, shows: &str| if may { Ok(shows.into()) } else { Err(ClientError::NotServing) };
    for (reads, writes) in [(true, false), (false, true), (false, false)] {
        let mut cluster = Cluster::with(3, |config| config.minority = Minority { reads, writes });
        for node in 0..3 {
            cluster.op(node, Class::W, &["k"], "more 1").expect("more");
        }
        cluster.add(0, "alone", "word").expect("add");
        cluster.run(5_000);
        cluster.partition(&[&[0], &[1, 2]]);
        let ticket = cluster.submit(0, Class::W, &["k"], "more 10");
        cluster.run(4_000);
        assert_eq!(cluster.node(0).view().members.len(), 1);
        assert_eq!(cluster.replies.contains_key(&ticket), writes);
        for (name, shows) in [("k", "#13"), ("alone", "word"), ("new", "")] {
            assert_eq!(cluster.read(0, name), or_refused(reads, shows), "{name}");
        }
        assert_eq!(cluster.op(0, Class::X, &["alone"], "swap word"), or_refused(writes, "word"));
        let node = cluster.nodes.get_mut(&NodeId(0)).expect("node 0");
        assert_eq!(node.read_alone(&key("alone"), true), reads);
        assert!(writes || !node.write_alone(&key("alone"), Class::W, true));
        for name in ["k", "alone", "new"] {
            assert_eq!(cluster.op(0, Class::W, &[name], "more 0"), or_refused(writes, "OK"), "{name}");
        }
        assert_eq!(cluster.op(1, Class::W, &["k"], "more 100"), Ok("OK".into()), "most go on");
        assert_eq!(cluster.read(2, "k"), Ok("#103".into()));
        cluster.heal();
        cluster.run(8_000);
        assert!(cluster.replies[&ticket].is_ok(), "{:?}", cluster.replies[&ticket]);
        for node in 0..3 {
            assert_eq!(cluster.read(node, "k").expect("read").split(' ').next(), Some("#113"), "at {node}");
        }
    }
}

/// A write was executed by an owner that is out of reach now, and had come to the node of its client by then. Reads go on, so
/// that node comes to own the key, and sees that it is done.
#[test]
pub(crate) fn a_minority_does_not_answer_what_it_finds_done() {
    let mut cluster = Cluster::with(3, |config| config.minority = Minority { reads: true, writes: false });
    for node in 0..3 {
        cluster.op(node, Class::W, &["k"], "more 1").expect("more");
    }
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    let ticket = cluster.submit(2, Class::W, &["k"], "more 10");
    cluster.deliver_but(|message| matches!(message, Message::Answered { .. }));
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(4_000);
    assert_eq!(cluster.read(2, "k"), Ok("#13".into()));
    cluster.run(12_000);
    assert_eq!(cluster.replies.get(&ticket), Some(&Err(ClientError::InDoubt)));
}
