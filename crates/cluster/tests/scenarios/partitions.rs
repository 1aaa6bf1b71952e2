//! Operations on keys of several partitions: one batch, whose parts are kept, decided and settled by partition.

use swytch_cluster::*;

use super::support::{Cluster, config, key};

/// Enough partitions for the keys used here to be in different ones.
const PARTS: u16 = 4;

/// Nodes with several partitions, all of which hold `a` and `b`.
fn shared(nodes: u8) -> Cluster {
    assert_ne!(key("a").part(PARTS), key("b").part(PARTS));
    let mut cluster = Cluster::with(nodes, |config| config.parts = PARTS);
    for name in ["a", "b"] {
        for node in 0..nodes {
            cluster.add(node, name, "before").expect("add");
        }
    }
    cluster.run(2_000);
    cluster
}

/// Delivers everything until this many acknowledgements of a PREP are on their way to the coordinator, and keeps those back.
fn until_prepared(cluster: &mut Cluster, acknowledgements: usize) {
    let is_ack = |envelope: &Envelope| matches!(envelope.message, Message::Ack { .. });
    while cluster.wire.iter().filter(|envelope| is_ack(envelope)).count() < acknowledgements {
        let next = cluster.wire.iter().position(|envelope| !is_ack(envelope)).expect("a message");
        let envelope = cluster.wire.remove(next).expect("it is there");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
}

#[test]
pub(crate) fn each_partition_of_a_subscriber_prepares_its_part() {
    let mut cluster = shared(3);
    let ticket = cluster.submit(0, Class::X, &["a", "b"], "add tx");
    // Two partitions at each of two subscribers.
    until_prepared(&mut cluster, 4);
    assert!(!cluster.replies.contains_key(&ticket));
    let decided = cluster.wire.pop_back().expect("an acknowledgement");
    cluster.deliver_all();
    assert!(!cluster.replies.contains_key(&ticket), "committed without one partition's acknowledgement");
    cluster.wire.push_back(decided);
    cluster.deliver_all();
    assert!(cluster.replies[&ticket].is_ok());
    for node in 0..3 {
        assert_eq!(cluster.op(node, Class::Read, &["a", "b"], "list"), Ok("before tx|before tx".into()));
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// One partition of a subscriber has the COMMIT and the other has not: a read of both keys waits for it.
#[test]
pub(crate) fn a_read_of_several_partitions_sees_a_transaction_on_all_of_them() {
    let mut cluster = shared(2);
    cluster.submit(0, Class::X, &["a", "b"], "add tx");
    until_prepared(&mut cluster, 2);
    cluster.deliver_but(|message| matches!(message, Message::Commit { .. }));
    let read = cluster.submit(1, Class::Read, &["a", "b"], "list");
    assert!(!cluster.replies.contains_key(&read));
    let first = key("a").part(PARTS);
    cluster.now += 500;
    cluster.input(0, Input::Tick);
    cluster.wire.retain(|envelope| envelope.part == first);
    cluster.deliver_all();
    assert_eq!(cluster.read(1, "a"), Ok("before tx".into()));
    assert!(!cluster.replies.contains_key(&read), "one key with the transaction and one without");
    cluster.run(2_000);
    assert_eq!(
        cluster.replies[&read].as_ref().map(|answer| answer.reply.clone()),
        Ok("before tx|before tx".into())
    );
}

/// The lease is lost between PREP and the last acknowledgement: what was executed is taken back in every partition.
#[test]
pub(crate) fn what_is_aborted_is_taken_back_in_all_partitions() {
    let mut cluster = shared(2);
    let ticket = cluster.submit(0, Class::X, &["a", "b"], "swap tx");
    let lost = |message: &Message| matches!(message, Message::Ack { .. });
    for _ in 0..60 {
        cluster.now += 50;
        for node in 0..2 {
            cluster.input(node, Input::Tick);
        }
        cluster.deliver_but(lost);
    }
    assert_eq!(cluster.replies.get(&ticket), Some(&Err(ClientError::Aborted)));
    cluster.run(2_000);
    for node in 0..2 {
        assert_eq!(
            cluster.op(node, Class::Read, &["a", "b"], "list"),
            Ok("before|before".into()),
            "at {node}"
        );
    }
    cluster.assert_converged();
}

/// The view ends while a batch is prepared in several partitions: each settles its own part, and all come to the same.
#[test]
pub(crate) fn partitions_settle_a_batch_alike() {
    for (prepared_everywhere, expected) in [(true, "before tx|before tx"), (false, "before|before")] {
        let mut cluster = shared(3);
        let last = key("b").part(PARTS).max(key("a").part(PARTS));
        let ticket = cluster.submit(0, Class::X, &["a", "b"], "add tx");
        let withheld = |envelope: &Envelope| {
            matches!(envelope.message, Message::Prep { .. })
                && envelope.part == last
                && envelope.to == NodeId(2)
                && !prepared_everywhere
        };
        cluster.wire.retain(|envelope| !withheld(envelope));
        cluster.deliver_but(|message| matches!(message, Message::Ack { .. }));
        cluster.attempt(0, &[0, 1, 2]);
        cluster.run(4_000);
        assert_eq!(cluster.replies[&ticket].is_ok(), prepared_everywhere, "{:?}", cluster.replies[&ticket]);
        for node in 0..3 {
            let read = cluster.op(node, Class::Read, &["a", "b"], "list");
            assert_eq!(read, Ok(expected.into()), "at {node}, prepared everywhere: {prepared_everywhere}");
        }
        cluster.run(2_000);
        cluster.assert_converged();
    }
}

/// The coordinator of a committed batch crashes when one partition of one subscriber has heard of the decision.
#[test]
pub(crate) fn one_partition_that_has_committed_is_enough() {
    let mut cluster = shared(3);
    cluster.submit(0, Class::X, &["a", "b"], "add tx");
    until_prepared(&mut cluster, 4);
    let first = key("a").part(PARTS);
    while let Some(envelope) = cluster.wire.pop_front() {
        let commit = matches!(envelope.message, Message::Commit { .. });
        if !commit || envelope.to == NodeId(1) && envelope.part == first {
            cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
        }
    }
    cluster.crash(0);
    cluster.run(4_000);
    for node in [1, 2] {
        let read = cluster.op(node, Class::Read, &["a", "b"], "list");
        assert_eq!(read, Ok("before tx|before tx".into()), "at {node}");
    }
}

/// A node that was expired has forks of both keys: an operation on them waits for each in the key's own partition.
#[test]
pub(crate) fn an_operation_that_waits_for_a_fork_looks_at_each_key_in_its_partition() {
    let mut cluster = shared(3);
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(40_000);
    cluster.add(0, "b", "left").expect("add");
    cluster.add(1, "b", "right").expect("add");
    cluster.heal();
    while !cluster.node(0).has_fork(&key("b")) {
        cluster.now += 50;
        (0..3).for_each(|node| cluster.input(node, Input::Tick));
        cluster.deliver_but(|message| matches!(message, Message::ForkLog { .. }));
    }
    let read = cluster.submit(0, Class::Read, &["a", "b"], "list");
    cluster.run(4_000);
    assert_eq!(
        cluster.replies[&read].as_ref().map(|answer| answer.reply.clone()),
        Ok("before|before left right".into())
    );
    cluster.assert_converged();
    assert_eq!(cluster.owners("b").len(), 1);
}

/// A node with as many partitions as a server will have.
#[test]
pub(crate) fn a_node_may_have_256_partitions() {
    let mut cluster = Cluster::empty();
    for node in 0..3 {
        let config = Config { parts: config::PARTS_MAX, bootstrap: node == 0, ..config(node) };
        cluster.nodes.insert(NodeId(node), Node::new(config, Default::default()));
        cluster.input(node, Input::Peer(NodeId(0)));
    }
    cluster.run(5_000);
    let names: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.op(1, Class::X, &names, "add all").expect("add");
    assert_eq!(cluster.op(2, Class::Read, &names, "list"), Ok(["all"; 20].join("|")));
    cluster.run(2_000);
    cluster.assert_converged();
}
