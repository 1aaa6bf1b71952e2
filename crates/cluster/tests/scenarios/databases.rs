//! Several databases: FLUSHDB and SWAPDB.

use swytch_cluster::*;

use super::support::{Cluster, key};

/// All that the nodes hold, by what clients call it.
fn names(cluster: &Cluster) -> Vec<Option<Key>> {
    let node = |node: &Node<_>| node.keys().iter().map(|key| node.name_of(key)).collect::<Vec<_>>();
    cluster.nodes.values().flat_map(node).collect()
}

/// Delivers messages until only some are left.
fn deliver_until(cluster: &mut Cluster, left: impl Fn(&Message) -> bool) {
    while let Some(next) = cluster.wire.iter().position(|envelope| !left(&envelope.message)) {
        let envelope = cluster.wire.remove(next).expect("it is there");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
}

#[test]
pub(crate) fn keys_of_two_databases_are_apart() {
    let mut cluster = Cluster::new(3);
    assert_eq!(key("k").slot(), key("1:k").slot());
    cluster.add(0, "k", "a").expect("add");
    cluster.add(1, "1:k", "b").expect("add");
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("a".into()));
        assert_eq!(cluster.read(node, "1:k"), Ok("b".into()));
        assert_eq!(cluster.read(node, "2:k"), Ok(String::new()));
    }
    assert_eq!(cluster.op(2, Class::X, &["k", "1:k"], "add c"), Ok("OK".into()));
    assert_eq!(cluster.read(0, "1:k"), Ok("b c".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
pub(crate) fn flushdb_empties_one_database_and_leaves_nothing() {
    let mut cluster = Cluster::with(3, |config| config.limits.walk_max = 1);
    for node in 0..3 {
        for name in 0..3 {
            cluster.add(node, &format!("1:k{name}"), "a").expect("add");
        }
        cluster.add(node, &format!("1:only{node}"), "a").expect("add");
    }
    cluster.add(0, "k0", "a").expect("add");
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(3_000);
    assert_eq!(cluster.change_databases(1, Change::FlushDb(1)), Err(ClientError::Unreachable));
    assert_eq!(cluster.change_databases(1, Change::FlushDb(16)), Err(ClientError::NotServing));
    cluster.heal();
    cluster.run(3_000);
    assert_eq!(cluster.change_databases(1, Change::FlushDb(1)), Ok(()));
    for node in 0..3 {
        assert_eq!(cluster.read(node, "1:k0"), Ok(String::new()));
        assert_eq!(cluster.read(node, "1:only0"), Ok(String::new()));
        assert_eq!(cluster.read(node, "k0"), Ok("a".into()));
    }
    assert_eq!(cluster.add(0, "1:k0", "b"), Ok("OK".into()));
    assert_eq!(cluster.read(2, "1:k0"), Ok("b".into()));
    cluster.run(8_000);
    let mut left = names(&cluster);
    left.sort();
    left.dedup();
    assert_eq!(left, [Some(key("k0")), Some(key("1:k0"))]);
    let known: usize = cluster.nodes.values().map(Node::known).sum();
    assert_eq!(known, 2, "homes know of nothing else");
    cluster.assert_converged();
}

#[test]
pub(crate) fn swapdb_exchanges_two_databases() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "k", "a").expect("add");
    cluster.add(0, "alone", "solo").expect("add");
    for node in 0..3 {
        cluster.read(node, "k").expect("read");
    }
    cluster.add(1, "1:k", "b").expect("add");
    cluster.run(3_000);
    let ticket = cluster.submit(2, Class::Read, &["k"], "watch");
    cluster.run(200);
    let watches = cluster.replies[&ticket].clone().expect("read").watches;
    assert_eq!(watches[0].0, key("k"));
    assert_eq!(cluster.change_databases(2, Change::SwapDb(0, 1)), Ok(()));
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("b".into()));
        assert_eq!(cluster.read(node, "1:k"), Ok("a".into()));
        assert_eq!(cluster.read(node, "1:alone"), Ok("solo".into()));
        assert_eq!(cluster.read(node, "alone"), Ok(String::new()));
    }
    let ticket = cluster.submit_watching(2, Class::X, &["k"], "add c", watches);
    cluster.run(500);
    assert_eq!(cluster.replies[&ticket], Err(ClientError::WatchFailed));
    assert_eq!(cluster.add(0, "k", "d"), Ok("OK".into()));
    assert_eq!(cluster.change_databases(0, Change::SwapDb(1, 0)), Ok(()));
    assert_eq!(cluster.change_databases(0, Change::SwapDb(3, 3)), Ok(()));
    assert_eq!(cluster.read(1, "1:k"), Ok("b d".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// As with a FLUSHALL: a member has accepted it and does not know that it is installed.
#[test]
pub(crate) fn a_flushdb_is_not_over_before_every_member_has_heard_of_it() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
        cluster.add(node, "1:k", &format!("n{node}")).expect("add");
    }
    cluster.run(1_000);
    let flush = cluster.ask_change(0, Change::FlushDb(1));
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
    assert_eq!(cluster.read(0, "1:k"), Ok(String::new()), "it is flushed where it is installed");
    assert_eq!(cluster.add(2, "1:k", "late"), Ok("OK".into()));
    assert!(!matches!(cluster.replies.get(&flush), Some(Ok(_))), "{:?}", cluster.replies.get(&flush));
    cluster.heal();
    cluster.run(8_000);
    assert_eq!(cluster.read(2, "1:k"), Ok(String::new()));
    assert_eq!(cluster.read(2, "k"), Ok("n0 n1 n2".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// There are no more spaces than the one database and what it had before: that one is given out again.
#[test]
pub(crate) fn what_was_flushed_does_not_come_back_with_its_space() {
    let adjust = |config: &mut Config| {
        config.databases = 1;
        config.limits.walk_max = 1;
    };
    let mut cluster = Cluster::with(2, adjust);
    for name in 0..8 {
        cluster.add(0, &format!("k{name}"), "old").expect("add");
        cluster.read(1, &format!("k{name}")).expect("read");
    }
    cluster.run(1_000);
    for round in 0..3 {
        assert_eq!(cluster.change_databases(round % 2, Change::FlushDb(0)), Ok(()));
        for name in 0..8 {
            for node in 0..2 {
                assert_eq!(cluster.read(node, &format!("k{name}")), Ok(String::new()), "round {round}");
            }
        }
        cluster.add(1, "k0", "new").expect("add");
    }
    assert_eq!(cluster.read(0, "k0"), Ok("new".into()));
    cluster.run(5_000);
    cluster.assert_converged();
}

/// A node is expired and goes on; the database in which it does so is flushed twice, and has the space of before again.
#[test]
pub(crate) fn what_an_expired_node_writes_in_a_database_goes_when_that_is_flushed() {
    let mut cluster = Cluster::with(3, |config| config.databases = 1);
    for node in 0..3 {
        cluster.read(node, "k").expect("read");
    }
    cluster.add(0, "k", "first").expect("add");
    cluster.add(2, "alone", "first").expect("add");
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(40_000);
    assert_eq!(cluster.add(2, "k", "expired"), Ok("OK".into()));
    assert_eq!(cluster.add(2, "alone", "expired"), Ok("OK".into()));
    for _ in 0..2 {
        assert_eq!(cluster.change_databases(0, Change::FlushDb(0)), Ok(()));
        cluster.run(2_000);
    }
    assert_eq!(cluster.add(1, "k", "after"), Ok("OK".into()));
    cluster.heal();
    cluster.run(8_000);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("after".into()), "at {node}");
        assert_eq!(cluster.read(node, "alone"), Ok(String::new()), "at {node}");
    }
    cluster.run(3_000);
    cluster.assert_converged();
}

/// A client asks when its node has promised the view of a SWAPDB and begins nothing any more.
#[test]
pub(crate) fn an_operation_that_comes_during_a_swap_means_the_database_of_then() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "zero").expect("add");
    cluster.add(0, "1:k", "one").expect("add");
    for name in ["k", "1:k"] {
        cluster.read(1, name).expect("read");
    }
    cluster.run(1_000);
    let swap = cluster.ask_change(0, Change::SwapDb(0, 1));
    deliver_until(&mut cluster, |message| matches!(message, Message::Promise { .. }));
    let write = cluster.submit(1, Class::W, &["k"], "add late");
    let transaction = cluster.submit(1, Class::X, &["k", "1:k"], "add both");
    cluster.run(1_000);
    for ticket in [swap, write, transaction] {
        assert!(matches!(cluster.replies.get(&ticket), Some(Ok(_))), "{:?}", cluster.replies.get(&ticket));
    }
    assert_eq!(cluster.read(0, "k"), Ok("both late one".into()));
    assert_eq!(cluster.read(1, "1:k"), Ok("both zero".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A write may have been executed by its owner, but was not: after the SWAPDB it would change what its client has not named.
#[test]
pub(crate) fn what_may_have_been_run_is_not_run_after_a_swap() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "zero").expect("add");
    cluster.read(1, "k").expect("read");
    cluster.run(1_000);
    let write = cluster.submit(1, Class::W, &["k"], "add late");
    let kept = cluster.submit(1, Class::W, &["2:k"], "add kept");
    cluster.deliver_but(|message| matches!(message, Message::Forward(_)));
    assert_eq!(cluster.change_databases(0, Change::SwapDb(0, 1)), Ok(()));
    assert_eq!(cluster.read(0, "1:k"), Ok("zero".into()));
    cluster.run(3_000);
    assert_eq!(cluster.replies.get(&write), Some(&Err(ClientError::InDoubt)));
    assert!(matches!(cluster.replies.get(&kept), Some(Ok(_))), "other databases stay as they are");
    assert_eq!(cluster.read(1, "1:k"), Ok("zero".into()));
    assert_eq!(cluster.read(1, "k"), Ok(String::new()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
pub(crate) fn clients_wait_for_the_key_of_their_database() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "1:k", "a").expect("add");
    cluster.input(1, Input::Wait { ticket: 901, key: key("k") });
    cluster.run(1_000);
    assert!(cluster.woken.is_empty());
    assert_eq!(cluster.change_databases(0, Change::SwapDb(0, 1)), Ok(()));
    cluster.run(1_000);
    assert_eq!(cluster.woken, [901]);
    let claim = cluster.claim(1, "k", 901);
    cluster.run(500);
    assert_eq!(cluster.told(claim), Some(Ok("a".into())));
    cluster.input(0, Input::Wait { ticket: 902, key: key("k") });
    cluster.run(500);
    assert_eq!(cluster.change_databases(1, Change::FlushDb(0)), Ok(()));
    cluster.run(1_000);
    cluster.add(1, "k", "b").expect("add");
    cluster.run(500);
    assert_eq!(cluster.woken, [901, 902]);
    let claim = cluster.claim(0, "k", 902);
    cluster.run(500);
    assert_eq!(cluster.told(claim), Some(Ok("b".into())));
    cluster.run(3_000);
    cluster.assert_converged();
}

/// A transaction on keys of two databases is prepared and not decided when one of these is flushed.
#[test]
pub(crate) fn a_batch_in_doubt_goes_on_without_what_was_flushed() {
    let mut cluster = Cluster::new(3);
    for name in ["k", "1:k"] {
        cluster.add(0, name, "before").expect("add");
        cluster.read(1, name).expect("read");
    }
    cluster.run(1_000);
    let transaction = cluster.submit(0, Class::X, &["k", "1:k"], "add tx");
    cluster.deliver_but(|message| matches!(message, Message::Ack { .. }));
    assert_eq!(cluster.change_databases(2, Change::FlushDb(1)), Ok(()));
    cluster.run(5_000);
    assert_eq!(cluster.replies.get(&transaction), Some(&Err(ClientError::InDoubt)));
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("before tx".into()), "at {node}");
        assert_eq!(cluster.read(node, "1:k"), Ok(String::new()), "at {node}");
        assert_eq!(cluster.node(node).records(), 0, "at {node}");
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A write was applied by its owner and had not reached its subscriber when its database was flushed.
#[test]
pub(crate) fn a_write_that_was_applied_comes_before_the_flush() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "1:k", "before").expect("add");
    cluster.read(1, "1:k").expect("read");
    cluster.run(1_000);
    let write = cluster.submit(0, Class::W, &["1:k"], "add late");
    cluster.deliver_but(|message| matches!(message, Message::Inv { .. }));
    assert_eq!(cluster.change_databases(2, Change::FlushDb(1)), Ok(()));
    assert!(matches!(cluster.replies.get(&write), Some(Ok(_))), "{:?}", cluster.replies.get(&write));
    assert_eq!(cluster.read(1, "1:k"), Ok(String::new()));
    cluster.run(3_000);
    cluster.assert_converged();
}
