//! The protocol's situations one by one, on whole clusters with a clock of their own.

mod support;

use support::{Cluster, key};
use swytch_cluster::key::SLOTS;
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

/// A forwarded write is everywhere, its answer is lost, its origin drops the copy and asks again behind a cut, where it
/// creates the key anew: the write runs twice and counts once, whatever was folded meanwhile.
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
    cluster.input(1, Input::Evict(key("k")));
    cluster.deliver_but(lost);
    assert!(cluster.node(1).copy_of(&key("k")).is_none() && !cluster.replies.contains_key(&ticket));
    cluster.partition(&[&[0, 2], &[1], &[3]]);
    cluster.run(4_500);
    assert!(cluster.replies.get(&ticket).is_some_and(Result::is_ok));
    assert_eq!(cluster.read(1, "k"), Ok("#1".into()));
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

/// Node 0 runs a transaction over `a`, which it shares with node 1, and `b`, which it shares with node 2. Everyone has
/// prepared it, and node 0 has committed it; the COMMIT reaches node 1 if that is wanted, and never node 2.
fn transaction_half_committed(nodes: u8, others: [u8; 2], reaches_first: bool) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    for (name, other) in [("a", others[0]), ("b", others[1])] {
        cluster.add(0, name, "before").expect("add");
        cluster.read(other, name).expect("read");
    }
    cluster.run(2_000);
    cluster.submit(0, Class::X, &["a", "b"], "add tx");
    let acknowledged = |cluster: &Cluster| {
        let acks = cluster.wire.iter().filter(|envelope| matches!(envelope.message, Message::Ack { .. }));
        acks.map(|envelope| envelope.from).collect::<NodeSet>().len()
    };
    let participants = if others[0] == others[1] { 1 } else { 2 };
    while acknowledged(&cluster) < participants {
        let next = cluster.wire.iter().position(|envelope| !matches!(envelope.message, Message::Ack { .. }));
        let envelope = cluster.wire.remove(next.expect("a message")).expect("it is there");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    cluster.cut.insert((NodeId(0), NodeId(others[1])));
    if !reaches_first {
        cluster.cut.insert((NodeId(0), NodeId(others[0])));
    }
    cluster.deliver_all();
    cluster
}

#[test]
fn one_participant_that_has_committed_is_enough() {
    let mut cluster = transaction_half_committed(3, [1, 2], true);
    cluster.crash(0);
    cluster.run(4_000);
    for node in [1, 2] {
        assert_eq!(cluster.read(node, "b"), Ok("before tx".into()), "at {node}");
        assert_eq!(cluster.read(node, "a"), Ok("before tx".into()), "at {node}");
    }
}

/// A transaction is settled as committed, but one of its keys went with its only holder: who asks again is told that it
/// is in doubt.
#[test]
fn a_transaction_that_has_lost_a_key_is_not_answered_with_ok() {
    let mut cluster = Cluster::with(3, |config| config.timers.op_ms = 60_000);
    for name in ["a", "c"] {
        cluster.add(0, name, "before").expect("add");
    }
    for (node, name) in [(1, "a"), (2, "a"), (2, "c")] {
        cluster.read(node, name).expect("read");
    }
    // Node 2 sends it to the owner of both keys, and drops one of them meanwhile.
    let ticket = cluster.submit(2, Class::X, &["a", "c"], "add tx");
    let forwarded = std::mem::take(&mut cluster.wire);
    cluster.input(2, Input::Evict(key("c")));
    cluster.deliver_all();
    assert!(cluster.node(2).copy_of(&key("c")).is_none());
    cluster.wire = forwarded;
    cluster.deliver_but(|message| matches!(message, Message::Commit { .. } | Message::Answered { .. }));
    cluster.crash(0);
    cluster.restart(0, 2);
    cluster.run(10_000);
    assert_eq!(cluster.replies.get(&ticket), Some(&Err(ClientError::InDoubt)));
    assert_eq!(cluster.read(1, "a"), Ok("before tx".into()));
    assert_eq!(cluster.read(1, "c"), Ok(String::new()));
}

/// The outcome is learned from a copy of `a` after `b` had been brought together without it.
#[test]
fn a_batch_that_is_settled_late_is_brought_in() {
    let mut cluster = transaction_half_committed(4, [2, 2], false);
    cluster.partition(&[&[0, 1, 3], &[2]]);
    cluster.run(4_000);
    assert_eq!(cluster.read(3, "a"), Ok("before tx".into()));
    cluster.crash(0);
    cluster.crash(1);
    cluster.heal();
    cluster.run(4_000);
    assert_eq!(cluster.read(2, "b"), Ok("before".into()));
    assert_eq!(cluster.read(2, "a"), Ok("before tx".into()));
    assert_eq!(cluster.read(2, "b"), Ok("before tx".into()));
    assert!(cluster.node(2).tally().of(Rule::SettledLate) > 0);
}

#[test]
fn a_transaction_over_several_keys_sees_its_watches() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "a", "1").expect("add");
    cluster.add(1, "b", "2").expect("add");
    let watch = cluster.submit(2, Class::Read, &["a", "b"], "list");
    cluster.run(200);
    let watches = cluster.replies[&watch].as_ref().expect("read").watches.clone();
    cluster.add(0, "a", "0").expect("add");
    let stale = cluster.submit_watching(2, Class::X, &["a", "b"], "swap x", watches);
    cluster.run(500);
    assert_eq!(cluster.replies[&stale], Err(ClientError::WatchFailed));
    assert_eq!(cluster.op(2, Class::X, &["a", "b"], "swap y"), Ok("2".into()));
    assert_eq!(cluster.op(1, Class::X, &["b", "a"], "swap z"), Ok("y".into()));
    for node in 0..3 {
        assert_eq!(cluster.op(node, Class::Read, &["a", "b"], "list"), Ok("z|z".into()));
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// The only copy of a watched key is deleted to make room, and the key comes into being anew with as many writes as it
/// had before.
#[test]
fn a_watch_does_not_take_a_new_creation_for_the_old_one() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "old").expect("add");
    let watch = cluster.submit(0, Class::Read, &["k"], "list");
    let watches = cluster.replies[&watch].as_ref().expect("read").watches.clone();
    cluster.input(0, Input::Evict(key("k")));
    cluster.run(500);
    assert_eq!(cluster.evicted, [(NodeId(0), key("k"), Evicted::Deleted)]);
    cluster.add(0, "k", "new").expect("add");
    let again = cluster.submit(0, Class::Read, &["k"], "list");
    let version = |watches: &[(Key, Watch)]| watches[0].1.version;
    assert_eq!(version(&watches), version(&cluster.replies[&again].as_ref().expect("read").watches));
    let stale = cluster.submit_watching(0, Class::X, &["k"], "swap x", watches);
    cluster.run(500);
    assert_eq!(cluster.replies[&stale], Err(ClientError::WatchFailed));
    assert_eq!(cluster.read(0, "k"), Ok("new".into()));
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
    assert_eq!(cluster.take(1, "k"), Ok("a".into()));
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
        let config = Config { bootstrap: node == 0, ..Config::new(NodeId(node)) };
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
    let version = node.write_alone(&key("k"), Class::X).expect("alone");
    assert_eq!(version.seq, 2);
    cluster.read(1, "k").expect("read");
    let node = cluster.nodes.get_mut(&NodeId(0)).expect("node 0");
    assert_eq!(node.write_alone(&key("k"), Class::W), None);
}

/// Three nodes hold `k`, whose token follows every operation and whose queue takes one more. Node 1 has sent `add late`
/// to node 0; the request is returned, undelivered. Then the token has come to node 1.
fn operation_left_behind(wait_for_it: bool) -> (Cluster, u64, Envelope) {
    let mut cluster = Cluster::with(3, |config| {
        config.limits.queue_max = 1;
        config.limits.token_run = 1;
    });
    for node in [2, 1, 0] {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    let ticket = cluster.submit(1, Class::W, &["k"], "add late");
    let request = cluster.wire.pop_front().expect("the request");
    assert!(matches!(request.message, Message::Forward(_)) && request.to == NodeId(0));
    if wait_for_it {
        cluster.wire.push_back(request.clone());
    } else {
        cluster.submit(1, Class::W, &["k"], "add next");
    }
    cluster.deliver_but(|message| matches!(message, Message::Answered { .. }));
    assert_eq!(cluster.owners("k"), [NodeId(1)]);
    assert!(!cluster.replies.contains_key(&ticket));
    (cluster, ticket, request)
}

/// Node 1 looks at its operations again while the queue of `k` is full.
fn retry_with_a_full_queue(cluster: &mut Cluster) {
    cluster.submit(1, Class::W, &["k"], "add more1");
    cluster.submit(1, Class::W, &["k"], "add more2");
    cluster.now += 500;
    cluster.input(1, Input::Tick);
    cluster.input(1, Input::Tick);
}

#[test]
fn an_operation_that_was_executed_is_not_refused_for_a_full_queue() {
    let (mut cluster, ticket, _) = operation_left_behind(true);
    retry_with_a_full_queue(&mut cluster);
    assert!(cluster.replies[&ticket].is_ok(), "{:?}", cluster.replies[&ticket]);
    cluster.run(2_000);
    assert_eq!(cluster.read(2, "k"), Ok("late more1 more2 n0 n1 n2".into()));
}

/// Its origin owns the key by now and refuses it; the request that it sent to the former owner arrives only when that
/// node owns the key again.
#[test]
fn a_request_that_comes_after_the_refusal_is_not_executed() {
    let (mut cluster, ticket, request) = operation_left_behind(false);
    retry_with_a_full_queue(&mut cluster);
    assert_eq!(cluster.replies[&ticket], Err(ClientError::TryAgain));
    cluster.deliver_all();
    cluster.add(0, "k", "back").expect("add");
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    cluster.wire.push_back(request);
    cluster.run(2_000);
    assert_eq!(cluster.read(2, "k"), Ok("back more1 more2 n0 n1 n2 next".into()));
}

/// A pop of node 1 finds nothing and leaves no entry, so only the answers that go with the token tell of it. With node 1's
/// next operation the owner forgets what it had answered, but not below which number all of node 1's are answered. The
/// pop arrives once more when another node has the token and there is something to take.
#[test]
fn a_duplicate_of_what_was_answered_before_the_token_moved_is_not_executed() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok(String::new()));
    }
    cluster.submit(1, Class::X, &["k"], "take");
    let request = cluster.wire.front().expect("the request").clone();
    assert!(matches!(request.message, Message::Forward(_)) && request.to == NodeId(0));
    cluster.deliver_all();
    assert_eq!(cluster.take(1, "k"), Ok(String::new()));
    for word in 0..9 {
        cluster.add(2, "k", &format!("w{word}")).expect("add");
    }
    assert_eq!(cluster.owners("k"), [NodeId(2)]);
    cluster.wire.push_back(Envelope { to: NodeId(2), ..request });
    cluster.run(2_000);
    assert_eq!(cluster.read(1, "k"), Ok("w0 w1 w2 w3 w4 w5 w6 w7 w8".into()));
    cluster.assert_converged();
}

/// The origin of a transaction has taken it over and waits for a token that does not come, while the node that it had
/// asked first has the token of the first key: it cannot know what becomes of the transaction there.
#[test]
fn an_operation_out_of_time_without_its_first_token_is_in_doubt() {
    let mut cluster = Cluster::new(3);
    for name in ["a", "b"] {
        for node in 0..3 {
            cluster.add(node, name, "x").expect("add");
        }
    }
    let ticket = cluster.submit(1, Class::X, &["a", "b"], "swap y");
    let request = cluster.wire.pop_front().expect("the request");
    assert!(matches!(request.message, Message::Forward(_)));
    for word in 0..8 {
        cluster.op(2, Class::W, &["b"], &format!("add w{word}")).expect("add");
    }
    assert_eq!((cluster.owners("a"), cluster.owners("b")), (vec![NodeId(0)], vec![NodeId(2)]));
    let lost = |message: &Message| matches!(message, Message::TokenRequest { .. });
    for _ in 0..110 {
        cluster.now += 50;
        for node in 0..3 {
            cluster.input(node, Input::Tick);
        }
        cluster.deliver_but(lost);
    }
    assert_eq!(cluster.replies[&ticket], Err(ClientError::InDoubt));
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

/// A home that is not `node`, and names of keys of one of its slots.
fn slot_of_another_home(cluster: &Cluster, node: u8) -> (NodeId, impl Fn(u32) -> String + use<>) {
    let home = |tag: u32| Some((cluster.node(node).home_of(&key(&format!("{{{tag}}}")))?, tag));
    let (home, tag) = (0..100)
        .filter_map(home)
        .find(|(home, _)| *home != NodeId(node))
        .expect("every node is home of some slots");
    (home, move |number| format!("{{{tag}}}{number}"))
}

#[test]
fn a_new_key_costs_no_round_trip_under_a_creation_lease() {
    let mut cluster = Cluster::new(3);
    let (home, name) = slot_of_another_home(&cluster, 0);
    cluster.add(0, &name(0), "first").expect("add");
    for number in 1..100 {
        let class = if number % 2 == 0 { Class::W } else { Class::X };
        let ticket = cluster.submit(0, class, &[&name(number)], "add word");
        assert!(cluster.replies.contains_key(&ticket), "{class:?} waits for another node");
        assert!(cluster.wire.is_empty(), "{class:?} sends {:?}", cluster.wire);
    }
    assert_eq!(cluster.node(0).tally().of(Rule::CreatedByLease), 99);
    // The home learns the names in few messages, and whoever comes next finds the keys.
    cluster.run(200);
    assert_eq!(cluster.node(home.0).names_in(0..SLOTS).len(), 100);
    assert_eq!(cluster.take(1, &name(50)), Ok("word".into()));
    let ticket = cluster.submit(0, Class::W, &[&name(100)], "add word");
    assert!(!cluster.replies.contains_key(&ticket), "the lease was recalled");
    cluster.run(2_000);
    cluster.assert_converged();
}

/// What was created under a lease and not reported when the view changed is known to the home, although the slot has
/// not moved.
#[test]
fn unreported_creations_survive_a_view_change() {
    let mut cluster = Cluster::new(3);
    let (home, name) = slot_of_another_home(&cluster, 0);
    let third = (1..3).find(|node| NodeId(*node) != home).expect("three nodes");
    cluster.add(0, &name(0), "first").expect("add");
    cluster.submit(0, Class::W, &[&name(1)], "add word");
    // The report is lost with the view: the third node crashes.
    cluster.partition(&[&[0], &[home.0, third]]);
    cluster.run(100);
    cluster.crash(third);
    cluster.heal();
    cluster.run(6_000);
    assert_eq!(cluster.node(0).home_of(&key(&name(1))), Some(home));
    assert_eq!(cluster.take(home.0, &name(1)), Ok("word".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
fn touches_of_a_leased_slot_wait_for_a_lessee_that_is_gone_until_the_view_changes() {
    let mut cluster = Cluster::new(3);
    let (home, name) = slot_of_another_home(&cluster, 0);
    cluster.add(0, &name(0), "first").expect("add");
    cluster.crash(0);
    assert_eq!(cluster.add(home.0, &name(1), "word"), Ok("OK".into()));
    assert_eq!(cluster.read(home.0, &name(1)), Ok("word".into()));
}

#[test]
fn leases_and_unreported_names_are_bounded() {
    let mut cluster = Cluster::with(2, |config| {
        config.limits = Limits { leases_max: 1, unreported_max: 3, report_max: 2, ..config.limits };
    });
    let (_, name) = slot_of_another_home(&cluster, 0);
    let other = |number: u32| name(number).replace('{', "other{x");
    cluster.add(0, &name(0), "first").expect("add");
    cluster.add(0, &other(0), "first").expect("add");
    let replies: Vec<bool> = (1..6)
        .map(|number| {
            let ticket = cluster.submit(0, Class::W, &[&name(number)], "add word");
            cluster.replies.contains_key(&ticket)
        })
        .collect();
    assert_eq!(replies, [true, true, true, false, false]);
    cluster.run(1_000);
    for number in 0..6 {
        assert_ne!(cluster.read(1, &name(number)), Ok(String::new()));
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// Node 0 has created keys of a slot of `home` under a lease and reported none of them but the first.
fn unreported_creations(cluster: &mut Cluster) -> (NodeId, impl Fn(u32) -> String + use<>) {
    let (home, name) = slot_of_another_home(cluster, 0);
    cluster.add(0, &name(0), "first").expect("add");
    for number in 1..10 {
        cluster.submit(0, Class::W, &[&name(number)], "add word");
    }
    assert!(cluster.wire.is_empty());
    (home, name)
}

#[test]
fn a_scan_recalls_the_leases_of_its_slots() {
    let mut cluster = Cluster::new(3);
    let (home, name) = unreported_creations(&mut cluster);
    let slot = key(&name(0)).slot().0;
    let view = cluster.node(0).view().id;
    // Other slots, and another node, which is not home of this one: nothing to ask for.
    cluster.input(home.0, Input::Scan { ticket: 1, slots: slot + 1..SLOTS });
    cluster.input(
        (0..3).find(|node| *node != home.0).expect("another"),
        Input::Scan { ticket: 2, slots: 0..SLOTS },
    );
    assert_eq!(cluster.scanned, [(1, Ok(view)), (2, Ok(view))]);
    assert_eq!(cluster.node(home.0).names_in(slot..slot + 1).len(), 1);
    cluster.input(home.0, Input::Scan { ticket: 3, slots: slot..slot + 1 });
    assert_eq!(cluster.scanned.len(), 2, "answered before the lessee was");
    cluster.deliver_all();
    assert_eq!(cluster.scanned.last(), Some(&(3, Ok(view))));
    let names: Vec<Key> = (0..10).map(|number| key(&name(number))).collect();
    assert_eq!(cluster.node(home.0).names_in(slot..slot + 1), names);
    // The next creation brings the lease back.
    cluster.add(0, &name(10), "word").expect("add");
    let ticket = cluster.submit(0, Class::W, &[&name(11)], "add word");
    assert!(cluster.replies.contains_key(&ticket));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// The home of a slot crashes. The next one knows no name until the members have reported, and says so.
#[test]
fn a_scan_waits_for_the_reports_of_a_new_view() {
    let mut cluster = Cluster::new(3);
    let (home, name) = unreported_creations(&mut cluster);
    cluster.run(200);
    cluster.crash(home.0);
    let survivors: Vec<u8> = (0..3).filter(|node| NodeId(*node) != home).collect();
    let old = cluster.node(0).view().id;
    while survivors.iter().any(|node| cluster.node(*node).view().id == old) {
        cluster.now += 50;
        for node in &survivors {
            cluster.input(*node, Input::Tick);
        }
        cluster.deliver_but(|message| matches!(message, Message::Report { .. }));
    }
    let next = cluster.node(0).home_of(&key(&name(0))).expect("a home");
    cluster.input(next.0, Input::Scan { ticket: 1, slots: 0..SLOTS });
    assert!(cluster.scanned.is_empty());
    cluster.run(1_000);
    assert_eq!(cluster.scanned, [(1, Ok(cluster.node(0).view().id))]);
    assert_eq!(cluster.node(next.0).names_in(0..SLOTS).len(), 10);
}

/// The lessee is cut off: it will answer no recall, and its names are not held by anybody here. With the next view
/// the scan goes on without it.
#[test]
fn a_scan_goes_on_when_the_view_changes() {
    let mut cluster = Cluster::new(3);
    let (home, name) = unreported_creations(&mut cluster);
    let old = cluster.node(home.0).view().id;
    let rest: Vec<u8> = (1..3).collect();
    cluster.partition(&[&[0], &rest]);
    cluster.input(home.0, Input::Scan { ticket: 1, slots: 0..SLOTS });
    cluster.run(4_000);
    let view = cluster.node(home.0).view().id;
    assert!(view != old);
    assert_eq!(cluster.scanned, [(1, Ok(view))]);
    cluster.heal();
    cluster.run(4_000);
    cluster.input(home.0, Input::Scan { ticket: 2, slots: 0..SLOTS });
    cluster.run(100);
    let names = cluster.node(home.0).names_in(0..SLOTS);
    assert!((0..10).all(|number| names.contains(&key(&name(number)))), "{names:?}");
}

#[test]
fn scans_are_bounded_in_number_and_time() {
    let mut cluster = Cluster::with(3, |config| config.limits.scans_max = 1);
    let (home, _) = unreported_creations(&mut cluster);
    cluster.input(home.0, Input::Scan { ticket: 1, slots: 0..SLOTS });
    cluster.input(home.0, Input::Scan { ticket: 2, slots: 0..SLOTS });
    assert_eq!(cluster.scanned, [(2, Err(ClientError::TryAgain))]);
    for _ in 0..110 {
        cluster.now += 50;
        for node in 0..3 {
            cluster.input(node, Input::Tick);
        }
        cluster.deliver_but(|message| matches!(message, Message::Recalled { .. }));
    }
    assert_eq!(cluster.scanned.last(), Some(&(1, Err(ClientError::TryAgain))));
    cluster.nodes.insert(NodeId(3), Node::new(Config::new(NodeId(3)), support::Words::default()));
    cluster.input(3, Input::Scan { ticket: 3, slots: 0..SLOTS });
    assert_eq!(cluster.scanned.last(), Some(&(3, Err(ClientError::NotServing))));
}
