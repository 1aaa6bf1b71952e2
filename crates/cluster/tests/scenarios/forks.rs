//! Forks that come back: what is kept for them, and what becomes of them.

use swytch_cluster::*;

use super::support::{Cluster, key};

/// Node 1 has collected the state of node 0 to own `k`, and is cut off before that one hears of it. It is expired; nobody
/// knows it for a holder.
#[test]
pub(crate) fn a_key_is_not_forgotten_while_one_that_was_expired_may_come_back_with_it() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "a").expect("add");
    cluster.partition(&[&[0], &[1]]);
    cluster.run(3_000);
    cluster.add(1, "k", "b").expect("add");
    cluster.heal();
    // Before the nodes bring the key together by themselves.
    while cluster.node(1).view().members.len() < 2 {
        cluster.run(50);
    }
    cluster.submit(1, Class::Read, &["k"], "list");
    cluster.deliver_but(|message| matches!(message, Message::Align { .. }));
    assert_eq!(cluster.owners("k"), [NodeId(1)]);
    cluster.partition(&[&[0], &[1]]);
    cluster.run(40_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 1, "node 1 is expired");
    assert_eq!(cluster.take(0, "k"), Ok("a".into()));
    cluster.run(3_000);
    cluster.heal();
    cluster.run(8_000);
    assert_eq!(cluster.read(0, "k"), Ok("b".into()), "what was taken stays away");
    cluster.run(2_000);
    cluster.assert_converged();
}

/// Nodes 1 and 2 hold `k`; node 0 subscribes at 1, which crashes before 2 hears of it.
#[test]
pub(crate) fn a_log_is_kept_for_those_whom_a_lost_holder_may_have_taken_in() {
    let mut cluster = Cluster::new(3);
    cluster.add(1, "k", "one").expect("add");
    cluster.read(2, "k").expect("read");
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(4_000);
    cluster.add(0, "k", "zero").expect("add");
    cluster.crash(1);
    cluster.restart(1, 2);
    cluster.heal();
    // Its old life is over. The others do not meet before that for long enough to bring the key together.
    while !cluster.node(2).view().base.has(NodeId(1), Incarnation::of_life(2)) {
        cluster.run(50);
    }
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(4_000);
    cluster.add(2, "k", "two").expect("add");
    assert!(cluster.node(2).copy_of(&key("k")).expect("a copy").log_len > 0);
    cluster.heal();
    cluster.run(6_000);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("one two zero".into()), "at {node}");
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// Node 2 writes while it is cut off and long expired; the others write in `views` views meanwhile. Then it comes back.
fn exile(adjust: impl Fn(&mut Config), fork: &[&str], views: u32) -> Cluster {
    let mut cluster = Cluster::with(3, adjust);
    for node in 0..3 {
        cluster.op(node, Class::W, &["k"], "more 1").expect("more");
    }
    cluster.op(0, Class::W, &["k"], "set first").expect("set");
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(3_000);
    for command in fork {
        cluster.op(2, Class::W, &["k"], command).expect("a write on the other side");
    }
    cluster.run(40_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 2, "node 2 is expired");
    for _ in 0..views {
        cluster.attempt(0, &[0, 1]);
        cluster.run(200);
        cluster.op(0, Class::W, &["k"], "more 1").expect("more");
    }
    cluster.op(1, Class::W, &["k"], "set newest").expect("set");
    cluster.run(1_000);
    cluster
}

/// All have this value, and nothing is left to be done.
fn comes_to(cluster: &mut Cluster, value: &str) {
    cluster.heal();
    cluster.run(8_000);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok(value.into()), "at {node}");
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// However many views have passed: as long as the log reaches back to the fork it is known what is contained.
#[test]
pub(crate) fn a_fork_is_merged_once_after_any_number_of_views() {
    let mut cluster = exile(|config| config.limits.covers_max = 2, &["more 100", "add word"], 12);
    comes_to(&mut cluster, "#115 =newest word");
    let tally = [0, 1].map(|node| cluster.node(node).tally());
    assert_eq!(tally.iter().map(|tally| tally.of(Rule::MergedStash)).sum::<u64>(), 1);
    assert!(tally.iter().all(|tally| tally.of(Rule::DecidedForgotten) == 0));
}

fn for_five_seconds(config: &mut Config) {
    config.timers.retain_ms = 5_000;
}

/// Nobody has kept a log for it any more: what it has added is added, what was written later stays.
#[test]
pub(crate) fn a_late_fork_overwrites_nothing_newer() {
    let mut cluster = exile(for_five_seconds, &["set old", "more 100", "add word"], 2);
    assert_eq!(cluster.node(0).copy_of(&key("k")).map(|copy| copy.log_len), Some(0));
    comes_to(&mut cluster, "#105 =newest word");
}

/// A cut comes when the owner has executed an operation, which its origin has executed on its own side. No log knows it any
/// more when the owner's fork comes.
#[test]
pub(crate) fn what_ran_on_both_sides_counts_once_however_late_a_fork_comes() {
    let mut cluster = Cluster::with(3, for_five_seconds);
    for node in [2, 0, 1] {
        cluster.op(node, Class::W, &["k"], "more 1").expect("more");
    }
    assert_eq!(cluster.owners("k"), [NodeId(2)]);
    let ticket = cluster.submit(0, Class::W, &["k"], "more 100");
    let forwarded = cluster.wire.pop_front().expect("it goes to the owner");
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.input(2, Input::Message(Box::new(forwarded)));
    cluster.run(45_000);
    assert!(cluster.replies[&ticket].is_ok());
    assert_eq!(cluster.node(0).view().base.nodes().len(), 2, "node 2 is expired");
    for _ in 0..3 {
        cluster.op(0, Class::W, &["k"], "more 10").expect("more");
    }
    cluster.op(2, Class::W, &["k"], "more 1000").expect("more");
    cluster.run(1_000);
    assert_eq!(cluster.node(0).copy_of(&key("k")).map(|copy| copy.log_len), Some(0));
    comes_to(&mut cluster, "#1133");
}

/// It is not even known any more what of it is contained: the key stays as it is, and the fork is over.
#[test]
pub(crate) fn a_fork_that_is_forgotten_is_over() {
    let adjust = |config: &mut Config| {
        for_five_seconds(config);
        config.limits.covers_max = 2;
    };
    let mut cluster = exile(adjust, &["set old", "more 100"], 12);
    comes_to(&mut cluster, "#15 =newest");
    // Unless it has the last write.
    let mut cluster = exile(adjust, &["set old", "more 100"], 12);
    cluster.op(2, Class::W, &["k"], "set last").expect("set");
    comes_to(&mut cluster, "#103 =last");
}

/// A node is lost for good and nobody has said so: after a while what comes into being costs no log, is written on the
/// fast path, and is forgotten when it is deleted.
#[test]
pub(crate) fn new_keys_do_not_wait_long_for_a_node_that_was_expired_before() {
    let mut cluster = Cluster::with(3, |config| config.timers.return_ms = 20_000);
    cluster.crash(2);
    cluster.run(40_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 2, "node 2 is expired");
    cluster.add(0, "early", "a").expect("add");
    assert!(
        cluster.node(0).copy_of(&key("early")).is_some_and(|copy| copy.log_len > 0),
        "it may be back soon"
    );
    cluster.run(20_000);
    assert_eq!(cluster.add(0, "early", "b"), Ok("OK".into()));
    assert_eq!((cluster.take(0, "early"), cluster.take(0, "early")), (Ok("a".into()), Ok("b".into())));
    for word in ["a", "b", "c"] {
        cluster.add(0, "new", word).expect("add");
    }
    cluster.run(200);
    assert_eq!(cluster.node(0).copy_of(&key("new")).map(|copy| copy.log_len), Some(0));
    let node = cluster.nodes.get_mut(&NodeId(0)).expect("node 0");
    assert!(node.write_alone(&key("new"), Class::X, true));
    cluster.add(1, "new", "d").expect("add");
    for word in ["a", "b", "c", "d"] {
        assert_eq!(cluster.take(1, "new"), Ok(word.into()));
    }
    cluster.run(10_000);
    for node in 0..2 {
        assert_eq!(cluster.node(node).keys(), [], "at {node}");
    }
}

/// Node 2 is expired with a fork, node 1 starts anew, and is left with the only copy besides that.
fn left_with_a_newcomer() -> Cluster {
    let mut cluster = exile(|_| {}, &["more 100", "add word"], 0);
    cluster.crash(1);
    cluster.restart(1, 2);
    cluster.run(6_000);
    assert_eq!(cluster.read(1, "k"), Ok("#3 =newest".into()));
    cluster.input(0, Input::Evict(key("k")));
    cluster.run(5_000);
    assert_eq!(cluster.node(0).copy_of(&key("k")), None);
    cluster.op(1, Class::W, &["k"], "more 10").expect("more");
    cluster.run(5_000);
    cluster
}

/// What it adds and what the fork has added both count.
#[test]
pub(crate) fn a_node_that_is_taken_in_waits_for_those_who_were_expired_before() {
    comes_to(&mut left_with_a_newcomer(), "#113 =newest word");
}

/// It does so no longer than the others: the base says as well when a fork is known to be gone.
#[test]
pub(crate) fn a_node_that_is_taken_in_waits_for_nobody_who_is_gone() {
    let mut cluster = exile(|_| {}, &["more 100"], 0);
    cluster.crash(2);
    cluster.input(0, Input::Forget(NodeId(2)));
    cluster.run(2_000);
    cluster.crash(1);
    cluster.restart(1, 2);
    cluster.run(6_000);
    cluster.add(1, "k", "word").expect("add");
    cluster.run(2_000);
    for node in 0..2 {
        assert_eq!(cluster.node(node).copy_of(&key("k")).map(|copy| copy.log_len), Some(0), "at {node}");
    }
    cluster.add(1, "new", "word").expect("add");
    cluster.run(2_000);
    assert!(cluster.node(1).copy_of(&key("new")).is_none_or(|copy| copy.log_len == 0));
}

/// Node 3 is expired while node 1 is missing, which may have subscribed at that one; then an operator says that both are
/// gone.
#[test]
pub(crate) fn a_node_that_was_forgotten_while_it_was_missing_costs_no_logs() {
    let mut cluster = Cluster::new(4);
    for node in [3, 0] {
        cluster.add(node, "k", "word").expect("add");
    }
    cluster.crash(3);
    cluster.run(40_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 3, "node 3 is expired");
    cluster.crash(1);
    cluster.run(4_000);
    cluster.add(0, "k", "a").expect("add");
    let meta = cluster.node(0).copy_of(&key("k")).expect("a copy").meta;
    assert!(meta.lost.contains(NodeId(1)) && meta.lost.contains(NodeId(3)), "{:?}", meta.lost);
    for node in [1, 3] {
        cluster.input(0, Input::Forget(NodeId(node)));
    }
    cluster.run(2_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 2);
    for word in ["b", "c"] {
        cluster.add(0, "k", word).expect("add");
    }
    cluster.run(1_000);
    assert_eq!(cluster.node(0).copy_of(&key("k")).map(|copy| copy.log_len), Some(0));
}

/// Node 2 is back, and what it has written meanwhile is on its way, when everything is flushed.
#[test]
pub(crate) fn a_fork_that_is_not_merged_yet_goes_with_a_flush() {
    let mut cluster = exile(|_| {}, &["add word"], 0);
    let is_fork = |message: &Message| matches!(message, Message::ForkLog { .. });
    cluster.heal();
    cluster.run_but(8_000, is_fork);
    assert_eq!(cluster.node(2).view().base.nodes().len(), 3, "node 2 is back");
    let flush = cluster.submit(0, Class::Flush, &[], "");
    cluster.run_but(2_000, is_fork);
    assert!(matches!(cluster.replies.get(&flush), Some(Ok(_))), "{:?}", cluster.replies.get(&flush));
    cluster.run(5_000);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok(String::new()), "at {node}");
    }
}

/// All holders of a key were expired together, and it was created anew: with a log all that was done to either counts,
/// without one both are united and the later write stays.
#[test]
pub(crate) fn a_key_created_anew_is_united_with_that_of_expired_holders() {
    for return_ms in [600_000, 0] {
        created_anew(return_ms);
    }
}

fn created_anew(return_ms: u64) {
    let mut cluster = Cluster::with(5, |config| config.timers.return_ms = return_ms);
    for node in [3, 4] {
        cluster.op(node, Class::W, &["k"], "set old").expect("set");
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.partition(&[&[0, 1, 2], &[3, 4]]);
    cluster.run(40_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 3, "nodes 3 and 4 are expired");
    cluster.add(4, "k", "there").expect("add");
    cluster.run(100);
    cluster.op(0, Class::W, &["k"], "set new").expect("set");
    cluster.add(1, "k", "here").expect("add");
    cluster.heal();
    cluster.run(10_000);
    for node in 0..5 {
        assert_eq!(cluster.read(node, "k"), Ok("=new here n3 n4 there".into()), "at {node}");
    }
    let united: u64 = (0..5).map(|node| cluster.node(node).tally().of(Rule::UnitedCreations)).sum();
    assert_eq!(united > 0, return_ms == 0);
    cluster.run(2_000);
    cluster.assert_converged();
}

/// Node 0 has created a key out of sight of node 2, and node 1 has then subscribed at that one, which is gone.
#[test]
pub(crate) fn a_doubt_is_about_those_as_well_who_were_out_of_sight_since() {
    let mut cluster = Cluster::new(3);
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(4_000);
    for (node, word) in [(0, "a"), (2, "b")] {
        cluster.add(node, "k", word).expect("add");
    }
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(6_000);
    assert_eq!(cluster.read(1, "k"), Ok("b".into()));
    cluster.crash(2);
    cluster.heal();
    cluster.run(50_000);
    assert_eq!(cluster.node(0).view().base.nodes(), [NodeId(0), NodeId(1)].into_iter().collect());
    cluster.partition(&[&[0], &[1]]);
    cluster.run(5_000);
    assert!(cluster.node(0).has_lease());
    assert_eq!(cluster.take(0, "k"), Err(ClientError::Unreachable));
    cluster.heal();
    cluster.run(6_000);
    assert_eq!(cluster.take(0, "k"), Ok("a".into()));
    assert_eq!(cluster.read(1, "k"), Ok("b".into()));
}
