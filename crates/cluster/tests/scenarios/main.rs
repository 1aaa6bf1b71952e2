//! The protocol's situations one by one, on whole clusters with a clock of their own. `table` plays them all again: with
//! several partitions, and with each seeded fault.

mod absence;
mod databases;
mod forks;
mod forming;
mod keepers;
mod members;
mod operations;
mod partitions;
mod slots;
mod solo;
mod support;
mod table;
mod transactions;
mod twins;
mod voters;

use support::{Cluster, key};
use swytch_cluster::*;

#[test]
fn a_write_reaches_every_subscriber_before_its_answer() {
    let mut cluster = Cluster::new(3);
    assert_eq!(cluster.add(0, "k", "a"), Ok("OK".into()));
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("a".into()));
    }
    assert_eq!(cluster.add(2, "k", "b"), Ok("OK".into()));
    for node in 0..3 {
        assert_eq!(cluster.node(node).copy_of(&key("k")).map(|copy| copy.meta.version.seq), Some(4));
        assert_eq!(cluster.read(node, "k"), Ok("a b".into()));
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn a_pop_happens_once() {
    let mut cluster = Cluster::new(3);
    for word in ["a", "b", "c", "d"] {
        cluster.add(0, "k", word).expect("add");
    }
    let tickets: Vec<u64> =
        [0, 1, 2, 1, 2, 0].iter().map(|node| cluster.submit(*node, Class::X, &["k"], "take")).collect();
    cluster.run(3_000);
    let mut taken: Vec<String> = tickets
        .iter()
        .map(|ticket| cluster.replies[ticket].as_ref().expect("taken"))
        .map(|answer| String::from_utf8(answer.reply.bytes().to_vec()).expect("text"))
        .filter(|word| !word.is_empty())
        .collect();
    taken.sort();
    assert_eq!(taken, ["a", "b", "c", "d"]);
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn the_token_follows_the_work() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "k", "a").expect("add");
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    for word in 0..12 {
        cluster.add(2, "k", &format!("w{word}")).expect("add");
    }
    assert_eq!(cluster.owners("k"), [NodeId(2)]);
    cluster.run(1_000);
    cluster.assert_converged();
}

/// Ten thousand writes of fifty words, at the owner and forwarded to it, while a subscriber is away.
#[test]
fn a_log_in_a_partition_grows_with_the_cells() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", "first").expect("add");
    }
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(4_000);
    for round in 0..200 {
        for word in 0..50 {
            let node = (round + word) % 2;
            cluster.submit(node, Class::W, &["k"], &format!("add word{word}"));
            cluster.submit(2, Class::W, &["k"], &format!("add there{word}"));
        }
        cluster.deliver_all();
    }
    for node in 0..3 {
        let entries = cluster.node(node).copy_of(&key("k")).map_or(0, |copy| copy.log_len);
        assert!((50..=300).contains(&entries), "{entries} entries at {node}");
        assert!(cluster.node(node).tally().of(Rule::Folded) > 0);
    }
    cluster.heal();
    cluster.run(4_000);
    let words = (0..50).flat_map(|word| [format!("word{word}"), format!("there{word}")]);
    let mut words: Vec<String> = words.chain(["first".to_owned()]).collect();
    words.sort();
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok(words.join(" ")), "at {node}");
        assert_eq!(cluster.node(node).tally().of(Rule::DecidedWhole), 0);
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A forwarded write is everywhere, its answer is lost, and its origin asks again behind a cut: it finds the write in its
/// own copy, and that counts once, whatever was folded meanwhile.
#[test]
fn an_operation_that_may_be_asked_for_again_keeps_its_entry() {
    let mut cluster = Cluster::new(4);
    // While an expired node may come back a new key keeps its log from the start, and copies of it may be dropped.
    cluster.partition(&[&[0, 1, 2], &[3]]);
    cluster.run(40_000);
    for node in [0, 1] {
        cluster.add(node, "k", "first").expect("add");
    }
    cluster.op(0, Class::W, &["k"], "more 1000").expect("more");
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    let ticket = cluster.submit(1, Class::W, &["k"], "more 1");
    let lost = |message: &Message| matches!(message, Message::Answered { .. });
    cluster.deliver_but(lost);
    for _ in 0..200 {
        cluster.submit(0, Class::W, &["k"], "more 10");
        cluster.deliver_but(lost);
    }
    assert!(cluster.node(0).tally().of(Rule::Folded) > 0);
    assert!(!cluster.replies.contains_key(&ticket));
    cluster.partition(&[&[0, 2], &[1], &[3]]);
    cluster.run(4_500);
    assert!(cluster.replies.get(&ticket).is_some_and(Result::is_ok));
    assert_eq!(cluster.read(1, "k"), Ok("#3001 first".into()));
    cluster.partition(&[&[0, 1, 2], &[3]]);
    cluster.run(4_000);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("#3001 first".into()), "at {node}");
    }
}

#[test]
fn writes_go_on_in_a_partition_and_merge() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(4_000);
    assert_eq!(cluster.add(0, "k", "left"), Ok("OK".into()));
    assert_eq!(cluster.add(1, "k", "right"), Ok("OK".into()));
    assert_eq!(cluster.take(0, "k"), Err(ClientError::Unreachable));
    assert_eq!(cluster.take(2, "k"), Err(ClientError::Unreachable));
    cluster.heal();
    cluster.run(4_000);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("left n0 n1 n2 right".into()), "at {node}");
    }
    assert_eq!(cluster.take(1, "k"), Ok("left".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn a_majority_goes_on_after_the_expiry_and_the_expired_node_comes_back_with_its_fork() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.add(0, "solo", "x").expect("add");
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(3_000);
    assert_eq!(cluster.add(0, "k", "left"), Ok("OK".into()));
    assert_eq!(cluster.take(0, "solo"), Ok("x".into()), "wholly present and the lease still holds");
    cluster.run(12_000);
    assert_eq!(cluster.take(0, "solo"), Err(ClientError::Unreachable), "the lease is over");
    cluster.run(30_000);
    assert_eq!(cluster.node(1).view().base.nodes().len(), 2, "node 0 is expired");
    assert_eq!(cluster.take(1, "k"), Ok("n0".into()));
    cluster.heal();
    cluster.run(6_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 3, "node 0 is back");
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("left n1 n2".into()), "at {node}");
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A base falls apart in halves: the one with the lowest member is most of it, and the other has no lease.
#[test]
fn the_half_with_the_lowest_member_goes_on() {
    for sides in [[&[0][..], &[1]], [&[0, 2], &[1, 3]]] {
        let [left, right] = sides;
        let nodes = (left.len() + right.len()) as u8;
        let mut cluster = Cluster::new(nodes);
        for node in 0..nodes {
            cluster.add(node, "k", &format!("n{node}")).expect("add");
        }
        cluster.add(1, "solo", "right").expect("add");
        cluster.partition(&[left, right]);
        cluster.run(12_000);
        assert_eq!(cluster.take(1, "solo"), Err(ClientError::Unreachable), "half without a lease");
        cluster.run(30_000);
        assert_eq!(cluster.node(0).view().base.nodes().len() as usize, left.len());
        assert_eq!(cluster.node(1).view().base.nodes().len() as u8, nodes);
        assert_eq!(cluster.take(0, "k"), Ok("n0".into()));
        cluster.add(0, "solo", "left").expect("add");
        assert_eq!(cluster.take(0, "solo"), Ok("left".into()));
        assert_eq!(cluster.take(1, "solo"), Err(ClientError::Unreachable));
        assert_eq!(cluster.add(1, "k", "more"), Ok("OK".into()));
        cluster.heal();
        cluster.run(8_000);
        assert_eq!(cluster.node(0).view().base.nodes().len() as u8, nodes);
        assert_eq!(cluster.take(1, "solo"), Ok("right".into()));
        assert_eq!(cluster.take(0, "k"), Ok("more".into()));
        cluster.run(2_000);
        cluster.assert_converged();
    }
}

/// Nobody waits for the fork of a node of which the operator has said that it is dead, or that has come back without its
/// memory: no logs are kept for it, neither of new keys nor of old ones that are written to.
#[test]
fn a_node_that_is_lost_for_good_costs_no_logs() {
    for comes_back in [false, true] {
        let mut cluster = Cluster::new(3);
        cluster.crash(2);
        cluster.run(40_000);
        assert_eq!(cluster.node(0).view().base.nodes().len(), 2, "node 2 is expired");
        let write = |cluster: &mut Cluster, name: &str| {
            for word in ["a", "b", "c"] {
                cluster.add(0, name, word).expect("add");
            }
            cluster.node(0).copy_of(&key(name)).expect("a copy").log_len
        };
        assert!(write(&mut cluster, "old") > 0, "it may bring a fork back");
        if comes_back {
            cluster.restart(2, 2);
            cluster.run(8_000);
            assert_eq!(cluster.node(0).view().base.nodes().len(), 3, "another life of it");
        } else {
            cluster.input(1, Input::Forget(NodeId(2)));
            cluster.run(100);
        }
        assert_eq!((write(&mut cluster, "new"), write(&mut cluster, "old")), (0, 0), "{comes_back}");
        let meta = cluster.node(0).copy_of(&key("old")).expect("a copy").meta;
        assert_eq!(meta.lost, NodeSet::EMPTY);
    }
}

/// A node that was expired and has promised a view nobody installs tries to bring another one about. It must not
/// freeze the members of the new base again and again while they cannot take it in.
#[test]
fn an_expired_node_does_not_disturb_a_base_that_cannot_take_it_in() {
    let mut cluster = Cluster::new(4);
    cluster.partition(&[&[0], &[1, 2, 3]]);
    cluster.run(40_000);
    assert_eq!(cluster.node(1).view().base.nodes().len(), 3, "node 0 is expired");
    cluster.partition(&[&[0, 1, 2], &[3]]);
    cluster.run(2_000);
    cluster.attempt(0, &[0, 1, 2]);
    cluster.run(10_000);
    let view = cluster.node(1).view().id;
    cluster.run(10_000);
    assert_eq!(cluster.node(1).view().id, view, "one attempt, no more");
    assert_eq!(cluster.add(0, "k", "left"), Ok("OK".into()), "alone it goes on");
    assert_eq!(cluster.add(1, "k", "right"), Ok("OK".into()));
    cluster.heal();
    cluster.run(6_000);
    assert_eq!(cluster.read(3, "k"), Ok("left right".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn a_crashed_owner_loses_nothing_that_others_hold() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "k", "a").expect("add");
    cluster.add(1, "k", "b").expect("add");
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    cluster.crash(0);
    cluster.run(4_000);
    assert_eq!(cluster.read(1, "k"), Ok("a b".into()));
    assert_eq!(cluster.take(1, "k"), Err(ClientError::Unreachable));
    cluster.restart(0, 2);
    cluster.run(8_000);
    assert_eq!(cluster.node(1).view().base.nodes().len(), 3, "the new life replaces the old one at once");
    assert_eq!(cluster.take(1, "k"), Ok("a".into()));
    assert_eq!(cluster.read(0, "k"), Ok("b".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn flushall_needs_everyone_and_leaves_nothing() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, &format!("k{node}"), "a").expect("add");
    }
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(3_000);
    assert_eq!(cluster.op(1, Class::Flush, &[], ""), Err(ClientError::Unreachable));
    cluster.heal();
    cluster.run(3_000);
    assert_eq!(cluster.op(1, Class::Flush, &[], ""), Ok(String::new()));
    cluster.run(1_000);
    for node in 0..3 {
        for name in 0..3 {
            assert_eq!(cluster.read(node, &format!("k{name}")), Ok(String::new()));
        }
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A member has accepted a FLUSHALL and does not know that it is installed. What it acknowledges in the old base goes with
/// it, so nobody may have been told that it is over.
#[test]
fn a_flush_is_not_over_before_every_member_has_heard_of_it() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.run(1_000);
    let flush = cluster.submit(0, Class::Flush, &[], "");
    let tells = |message: &Message| {
        matches!(
            message,
            Message::Install { .. }
                | Message::Heartbeat { .. }
                | Message::Report { .. }
                | Message::Reported { .. }
        )
    };
    cluster.deliver_but(tells);
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(3_000);
    assert_eq!(cluster.node(0).view().base.flush, 1);
    assert_eq!(cluster.add(2, "k", "late"), Ok("OK".into()));
    assert!(!matches!(cluster.replies.get(&flush), Some(Ok(_))), "{:?}", cluster.replies.get(&flush));
    cluster.heal();
    cluster.run(8_000);
    assert_eq!(cluster.read(2, "k"), Ok(String::new()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn evictions_hand_over_and_only_the_last_deletes() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "k", "a").expect("add");
    cluster.read(1, "k").expect("read");
    cluster.input(0, Input::Evict(key("k")));
    cluster.run(2_000);
    assert_eq!(cluster.evicted, [(NodeId(0), key("k"), Evicted::Dropped)]);
    assert_eq!(cluster.owners("k"), [NodeId(1)]);
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(3_000);
    cluster.add(0, "k", "b").expect("add");
    cluster.input(0, Input::Evict(key("k")));
    cluster.run(1_000);
    assert_eq!(cluster.evicted.last(), Some(&(NodeId(0), key("k"), Evicted::Refused)));
    cluster.heal();
    cluster.run(3_000);
    assert_eq!(cluster.read(2, "k"), Ok("a b".into()));
    for node in 0..3 {
        cluster.input(node, Input::Evict(key("k")));
    }
    cluster.run(4_000);
    let outcomes: Vec<Evicted> = cluster.evicted[2..].iter().map(|(_, _, outcome)| *outcome).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Evicted::Deleted).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Evicted::Dropped).count(), 2);
    assert_eq!(cluster.read(1, "k"), Ok(String::new()));
}

#[test]
fn waiters_are_woken_in_order() {
    let mut cluster = Cluster::new(3);
    cluster.read(0, "k").expect("read");
    cluster.input(1, Input::Wait { ticket: 901, key: key("k") });
    cluster.run(100);
    cluster.input(2, Input::Wait { ticket: 902, key: key("k") });
    cluster.run(100);
    assert!(cluster.woken.is_empty());
    cluster.add(0, "k", "a").expect("add");
    cluster.deliver_all();
    assert_eq!(cluster.woken, [901]);
    let claim = cluster.claim(1, "k", 901);
    cluster.deliver_all();
    assert_eq!(cluster.told(claim), Some(Ok("a".into())));
    cluster.add(0, "k", "b").expect("add");
    cluster.deliver_all();
    assert_eq!(cluster.woken, [901, 902]);
}

#[test]
fn only_the_owner_expires() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "mortal").expect("add");
    cluster.read(1, "k").expect("read");
    cluster.input(1, Input::Expire(key("k")));
    cluster.run(200);
    assert_eq!(cluster.read(1, "k"), Ok("mortal".into()));
    cluster.input(0, Input::Expire(key("k")));
    cluster.run(200);
    assert_eq!(cluster.read(1, "k"), Ok(String::new()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn a_key_created_in_a_partition_takes_no_x_until_everyone_was_asked() {
    let mut cluster = Cluster::new(2);
    cluster.partition(&[&[0], &[1]]);
    cluster.run(3_000);
    cluster.add(0, "k", "a").expect("add");
    cluster.add(1, "k", "b").expect("add");
    assert_eq!(cluster.take(0, "k"), Err(ClientError::Unreachable));
    cluster.heal();
    cluster.run(3_000);
    assert_eq!(cluster.read(0, "k"), Ok("a b".into()));
    assert_eq!(cluster.take(1, "k"), Ok("a".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn a_cluster_comes_together_from_nothing() {
    let mut cluster = Cluster::empty();
    for node in 0..3 {
        let config = Config { bootstrap: node == 0, ..support::config(node) };
        cluster.nodes.insert(NodeId(node), Node::new(config, support::Words::default()));
        cluster.input(node, Input::Peer(NodeId(0)));
    }
    cluster.run(5_000);
    for node in 0..3 {
        assert_eq!(cluster.node(node).view().base.nodes().len(), 3);
    }
    cluster.add(1, "k", "a").expect("add");
    assert_eq!(cluster.take(2, "k"), Ok("a".into()));
}

#[test]
fn an_unshared_key_is_written_on_the_fast_path() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "a").expect("add");
    let node = cluster.nodes.get_mut(&NodeId(0)).expect("node 0");
    assert!(node.write_alone(&key("k"), Class::X, true));
    assert_eq!(node.copy_of(&key("k")).map(|copy| copy.meta.version.seq), Some(2));
    cluster.read(1, "k").expect("read");
    let node = cluster.nodes.get_mut(&NodeId(0)).expect("node 0");
    assert!(!node.write_alone(&key("k"), Class::W, true));
}

/// Two creations of a key of which neither kept its log are united by their stamps: a write on the fast path is one as well.
#[test]
fn a_write_on_the_fast_path_is_stamped() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "a").expect("add");
    cluster.run(500);
    let written = |cluster: &Cluster| cluster.node(0).copy_of(&key("k")).map(|copy| copy.meta.written);
    let before = written(&cluster);
    let node = cluster.nodes.get_mut(&NodeId(0)).expect("node 0");
    let writes = [(); 2].map(|()| node.write_alone(&key("k"), Class::W, true));
    assert_eq!(writes, [true, true]);
    assert!(written(&cluster) > before);
    assert_eq!(written(&cluster).map(|stamp| (stamp.wall_ms, stamp.logical)), Some((cluster.now, 1)));
}

/// Node 1 drops its copy of `k` and subscribes again. Gives what it has said about the leave: LeaveKey and Dropped.
fn left_and_back() -> (Cluster, Vec<Envelope>) {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "a").expect("add");
    cluster.read(1, "k").expect("read");
    let mut said = Vec::new();
    cluster.input(1, Input::Evict(key("k")));
    while let Some(envelope) = cluster.wire.pop_front() {
        if matches!(envelope.message, Message::Dropped { .. } | Message::LeaveKey { .. }) {
            said.push(envelope.clone());
        }
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    assert_eq!(cluster.evicted, [(NodeId(1), key("k"), Evicted::Dropped)]);
    assert!(matches!(said[..], [_, Envelope { message: Message::Dropped { .. }, .. }]));
    cluster.read(1, "k").expect("read");
    (cluster, said)
}

/// All that a subscriber had said about a leave arrives once more after it has come back: the owner allows the leave
/// again, and takes the end of the first one for no end of this.
#[test]
fn a_leave_that_was_asked_for_twice_ends_once() {
    let (mut cluster, said) = left_and_back();
    for envelope in said {
        cluster.wire.push_back(envelope);
        cluster.deliver_but(|message| matches!(message, Message::MayDrop { .. }));
    }
    cluster.run(2_000);
    cluster.add(0, "k", "b").expect("add");
    assert_eq!(cluster.read(1, "k"), Ok("a b".into()));
    cluster.assert_converged();
}

/// A subscriber leaves, comes back and leaves again; what it had said about its first leave arrives once more.
#[test]
fn the_end_of_a_former_leave_ends_no_other() {
    let (mut cluster, mut doubled) = left_and_back();
    cluster.input(1, Input::Evict(key("k")));
    cluster.deliver_but(|message| matches!(message, Message::MayDrop { .. }));
    cluster.wire.push_back(doubled.remove(1));
    cluster.deliver_but(|message| matches!(message, Message::MayDrop { .. }));
    assert!(cluster.node(0).copy_of(&key("k")).expect("a copy").meta.subscribers.contains(NodeId(1)));
    cluster.run(2_000);
    assert_eq!(cluster.evicted.len(), 2);
    assert!(!cluster.node(0).copy_of(&key("k")).expect("a copy").meta.subscribers.contains(NodeId(1)));

    // The same with what it had asked: the permission that follows is declined, and must not be used when it comes
    // again after the owner has gone on.
    cluster.read(1, "k").expect("read");
    cluster.wire.push_back(doubled.remove(0));
    let mut permissions = Vec::new();
    while let Some(envelope) = cluster.wire.pop_front() {
        if matches!(envelope.message, Message::MayDrop { .. }) {
            permissions.push(envelope.clone());
        }
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    cluster.input(1, Input::Evict(key("k")));
    cluster.wire.clear();
    cluster.wire.push_back(permissions.pop().expect("a permission"));
    cluster.deliver_all();
    assert!(cluster.node(1).copy_of(&key("k")).is_some(), "dropped by a leave that had been declined");
}
