//! Operations over several keys: watches, batches in doubt, keys that are lost.

use swytch_cluster::*;

use super::support::{Cluster, key};

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
    let other = |envelope: &Envelope| !matches!(envelope.message, Message::Ack { .. });
    while let Some(next) = cluster.wire.iter().position(other) {
        let envelope = cluster.wire.remove(next).expect("it is there");
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
pub(crate) fn one_participant_that_has_committed_is_enough() {
    let mut cluster = transaction_half_committed(3, [1, 2], true);
    cluster.crash(0);
    cluster.run(4_000);
    for node in [1, 2] {
        assert_eq!(cluster.read(node, "b"), Ok("before tx".into()), "at {node}");
        assert_eq!(cluster.read(node, "a"), Ok("before tx".into()), "at {node}");
    }
}

/// The store of a node wants a copy back while a transaction that its client has asked for is under way: the copy stays
/// until that is answered, so the transaction cannot lose one of its keys with the owner.
#[test]
pub(crate) fn a_copy_stays_while_its_transaction_is_under_way() {
    let mut cluster = Cluster::with(3, |config| config.timers.op_ms = 60_000);
    for name in ["a", "c"] {
        cluster.add(0, name, "before").expect("add");
    }
    for (node, name) in [(1, "a"), (2, "a"), (2, "c")] {
        cluster.read(node, name).expect("read");
    }
    // Node 2 sends it to the owner of both keys.
    let ticket = cluster.submit(2, Class::X, &["a", "c"], "add tx");
    let forwarded = std::mem::take(&mut cluster.wire);
    cluster.input(2, Input::Evict(key("c")));
    cluster.deliver_all();
    assert!(cluster.node(2).copy_of(&key("c")).is_some());
    cluster.wire = forwarded;
    cluster.deliver_but(|message| matches!(message, Message::Commit { .. } | Message::Answered { .. }));
    cluster.crash(0);
    cluster.restart(0, 2);
    cluster.run(10_000);
    assert!(cluster.replies.get(&ticket).is_some_and(Result::is_ok), "{:?}", cluster.replies.get(&ticket));
    assert_eq!(cluster.read(1, "a"), Ok("before tx".into()));
    cluster.run(2_000);
    assert_eq!(cluster.evicted.len(), 1);
}

/// The outcome is learned from a copy of `a` after `b` had been brought together without it.
#[test]
pub(crate) fn a_batch_that_is_settled_late_is_brought_in() {
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
pub(crate) fn a_transaction_over_several_keys_sees_its_watches() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "a", "1").expect("add");
    cluster.add(1, "b", "2").expect("add");
    let watch = cluster.submit(2, Class::Read, &["a", "b"], "watch");
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
pub(crate) fn a_watch_does_not_take_a_new_creation_for_the_old_one() {
    let mut cluster = Cluster::new(2);
    cluster.add(0, "k", "old").expect("add");
    let watch = cluster.submit(0, Class::Read, &["k"], "watch");
    let watches = cluster.replies[&watch].as_ref().expect("read").watches.clone();
    cluster.input(0, Input::Evict(key("k")));
    cluster.run(500);
    assert_eq!(cluster.evicted, [(NodeId(0), key("k"), Evicted::Deleted)]);
    cluster.add(0, "k", "new").expect("add");
    let again = cluster.submit(0, Class::Read, &["k"], "watch");
    let version = |watches: &[(Key, Watch)]| watches[0].1.version;
    assert_eq!(version(&watches), version(&cluster.replies[&again].as_ref().expect("read").watches));
    let stale = cluster.submit_watching(0, Class::X, &["k"], "swap x", watches);
    cluster.run(500);
    assert_eq!(cluster.replies[&stale], Err(ClientError::WatchFailed));
    assert_eq!(cluster.read(0, "k"), Ok("new".into()));
}
