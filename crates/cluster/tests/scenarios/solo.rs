//! Keys that only one node holds.

use swytch_cluster::*;

use super::support::{Cluster, key};

/// Long enough for records that nobody needs to go.
const A_WHILE_MS: u64 = 2_500;

/// A cluster in which node 0 alone holds `k`, which is `value` and has no record any more.
fn solo(nodes: u8, command: &str) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    cluster.op(0, Class::W, &["k"], command).expect("written");
    cluster.run(A_WHILE_MS);
    assert_eq!(cluster.node(0).recorded(), 0);
    cluster
}

/// The operation is answered before anything is sent.
fn answers_at_once(cluster: &mut Cluster, class: Class, command: &str) {
    let ticket = cluster.submit(0, class, &["k"], command);
    let (node, reply) = (cluster.node(0), cluster.replies.get(&ticket));
    let state = (node.is_serving(), node.recorded(), node.view().id);
    assert!(reply.is_some_and(Result::is_ok), "{class:?} waits: {state:?}");
}

#[test]
pub(crate) fn a_key_that_only_one_node_holds_has_no_record() {
    let mut cluster = solo(3, "add a");
    answers_at_once(&mut cluster, Class::W, "add b");
    let node = cluster.nodes.get_mut(&NodeId(0)).expect("node 0");
    assert!(node.write_alone(&key("k"), Class::X, true) && node.read_alone(&key("k"), true));
    assert!(!node.write_alone(&key("never"), Class::W, false) && !node.read_alone(&key("never"), false));
    assert_eq!(cluster.node(0).recorded(), 0);
    // Others find it.
    for node in [1, 2] {
        assert_eq!(cluster.read(node, "k"), Ok("a b".into()));
    }
    for node in [1, 2] {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    assert_eq!(cluster.read(0, "k"), Ok("a b n1 n2".into()));
    cluster.run(A_WHILE_MS);
    cluster.assert_converged();
    assert_eq!(cluster.node(0).recorded(), 1);
    // They leave it again.
    for node in [1, 2] {
        cluster.input(node, Input::Evict(key("k")));
        cluster.run(1_000);
    }
    cluster.run(A_WHILE_MS);
    assert_eq!(cluster.node(0).recorded(), 0);
    answers_at_once(&mut cluster, Class::X, "take");
    assert_eq!(cluster.read(1, "k"), Ok("b n1 n2".into()));
}

#[test]
pub(crate) fn a_solo_key_is_deleted_without_a_trace() {
    let mut cluster = Cluster::new(3);
    let names: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
    for name in &names {
        cluster.add(0, name, "a").expect("add");
    }
    cluster.run(A_WHILE_MS);
    let known = |cluster: &Cluster| (0..3).map(|node| cluster.node(node).known()).sum::<usize>();
    assert_eq!(known(&cluster), 30);
    for name in &names {
        assert_eq!(cluster.take(0, name), Ok("a".into()));
    }
    cluster.run(200);
    assert_eq!((cluster.node(0).recorded(), cluster.node(0).keys(), known(&cluster)), (0, vec![], 0));
    cluster.add(1, "k0", "b").expect("add");
    assert_eq!(cluster.read(0, "k0"), Ok("b".into()));
}

/// Nobody can have created the key elsewhere when all members come from one view, or start empty.
#[test]
pub(crate) fn a_solo_key_keeps_its_owner_when_others_crash_and_start_again() {
    let mut cluster = solo(3, "add a");
    for life in [None, Some(2)] {
        match life {
            None => cluster.crash(2),
            Some(life) => cluster.restart(2, life),
        }
        cluster.run(5_000);
        answers_at_once(&mut cluster, Class::Read, "list");
    }
    assert_eq!(cluster.node(0).view().members.len(), 3);
    answers_at_once(&mut cluster, Class::W, "add b");
    assert_eq!(cluster.read(2, "k"), Ok("a b".into()));
}

/// On the other side of a partition the key was created as well.
#[test]
pub(crate) fn a_solo_key_is_brought_together_with_what_others_come_back_with() {
    let mut cluster = solo(2, "add a");
    cluster.partition(&[&[0], &[1]]);
    cluster.run(5_000);
    cluster.add(1, "k", "b").expect("add");
    cluster.heal();
    cluster.run(5_000);
    for node in 0..2 {
        assert_eq!(cluster.read(node, "k"), Ok("a b".into()), "at {node}");
    }
    assert_eq!(cluster.owners("k").len(), 1);
    cluster.run(A_WHILE_MS);
    cluster.assert_converged();
}

/// Node 1 was in a view of its own that node 0 has never heard of, and created the key there.
#[test]
pub(crate) fn a_solo_key_is_asked_for_when_a_member_comes_from_another_view() {
    let mut cluster = solo(2, "add a");
    cluster.attempt(1, &[1]);
    cluster.wire.clear();
    assert_eq!(cluster.node(1).view().members.len(), 1);
    let ticket = cluster.submit(1, Class::W, &["k"], "add b");
    assert!(cluster.replies[&ticket].is_ok());
    assert_eq!(cluster.node(0).view().members.len(), 2);
    cluster.attempt(1, &[0, 1]);
    cluster.run(2_000);
    assert_eq!(cluster.node(0).view().id, cluster.node(1).view().id);
    for node in 0..2 {
        assert_eq!(cluster.read(node, "k"), Ok("a b".into()), "at {node}");
    }
}

/// A view in which members meet costs nothing for each key; who asks for one does not wait for the others.
#[test]
pub(crate) fn solo_keys_of_an_earlier_view_get_their_records_little_by_little() {
    let mut cluster = Cluster::new(2);
    let names: Vec<String> = (0..300).map(|number| format!("k{number}")).collect();
    for name in &names {
        cluster.add(0, name, "a").expect("add");
    }
    cluster.run(2 * A_WHILE_MS);
    assert_eq!(cluster.node(0).recorded(), 0);
    cluster.attempt(1, &[1]);
    cluster.wire.clear();
    let ticket = cluster.submit(1, Class::W, &["k7"], "add b");
    assert!(cluster.replies[&ticket].is_ok());
    cluster.attempt(1, &[0, 1]);
    cluster.deliver_all();
    assert_eq!((cluster.node(0).view().members.len(), cluster.node(0).recorded()), (2, 0));
    let node = cluster.nodes.get_mut(&NodeId(0)).expect("node 0");
    assert!(!node.write_alone(&key("k8"), Class::W, true) && !node.read_alone(&key("k8"), true));
    assert!(!node.owns(&key("k8")));
    assert_eq!(cluster.read(0, "k7"), Ok("a b".into()));
    assert!(cluster.node(0).recorded() < 10);
    for _ in 0..20 {
        cluster.run(50);
        cluster.add(0, "k9", "c").expect("add");
    }
    cluster.run(2 * A_WHILE_MS);
    assert_eq!(cluster.node(0).recorded(), 1);
    for name in &names {
        let all = match name.as_str() {
            "k7" => "a b",
            "k9" => "a c",
            _ => "a",
        };
        assert_eq!(cluster.read(1, name), Ok(all.into()));
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// What is written while another node is out of sight is stamped key by key: of two creations the later write stays.
#[test]
pub(crate) fn a_write_in_a_partition_counts_from_its_own_time() {
    let mut cluster = solo(2, "set old");
    cluster.op(0, Class::W, &["z"], "set old").expect("set");
    cluster.run(A_WHILE_MS);
    cluster.partition(&[&[0], &[1]]);
    cluster.run(5_000);
    for (node, name, command) in [(0, "k", "set mine"), (1, "k", "set theirs"), (0, "z", "set last")] {
        cluster.op(node, Class::W, &[name], command).expect("set");
        cluster.run(1_000);
    }
    cluster.heal();
    cluster.run(5_000);
    for node in 0..2 {
        assert_eq!(cluster.read(node, "k"), Ok("=theirs".into()), "at {node}");
    }
}

/// The home of `k` crashes: the next one hears of it although it has no record.
#[test]
pub(crate) fn reports_have_solo_keys_as_well() {
    let mut cluster = Cluster::new(3);
    let home = cluster.node(0).home_of(&key("k")).expect("a home").0;
    let (holder, other) = ((home + 1) % 3, (home + 2) % 3);
    cluster.add(holder, "k", "a").expect("add");
    cluster.run(A_WHILE_MS);
    assert_eq!(cluster.node(holder).recorded(), 0);
    cluster.crash(home);
    cluster.run(5_000);
    assert_eq!(cluster.read(other, "k"), Ok("a".into()));
    cluster.add(other, "k", "b").expect("add");
    assert_eq!(cluster.read(holder, "k"), Ok("a b".into()));
}

/// A snapshot that node 1 had got comes again when it has left and subscribed anew: the key has had no record between.
#[test]
pub(crate) fn versions_go_on_where_a_record_ended() {
    let mut cluster = solo(2, "add a");
    cluster.read(1, "k").expect("read");
    for word in ["b", "c", "d"] {
        cluster.add(0, "k", word).expect("add");
    }
    cluster.input(1, Input::Evict(key("k")));
    cluster.run(500);
    let ticket = cluster.submit(1, Class::Read, &["k"], "list");
    let mut snapshot = None;
    while let Some(envelope) = cluster.wire.pop_front() {
        if matches!(envelope.message, Message::Align { .. }) {
            snapshot = Some(envelope.clone());
        }
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    assert!(cluster.replies[&ticket].is_ok());
    cluster.input(1, Input::Evict(key("k")));
    cluster.run(A_WHILE_MS);
    assert_eq!(cluster.node(0).recorded(), 0);
    answers_at_once(&mut cluster, Class::W, "add late");
    assert_eq!(cluster.read(1, "k"), Ok("a b c d late".into()));
    cluster.wire.extend(snapshot);
    cluster.run(1_000);
    assert_eq!(cluster.read(1, "k"), Ok("a b c d late".into()));
    cluster.assert_converged();
}

#[test]
pub(crate) fn a_watched_key_keeps_its_record_for_a_while() {
    let mut cluster = solo(2, "add a");
    for changed in [false, true] {
        let read = cluster.submit(0, Class::Read, &["k"], "watch");
        cluster.run(10_000);
        let watches = cluster.replies[&read].clone().expect("read").watches;
        if changed {
            answers(&mut cluster, "add b");
        }
        let exec = cluster.submit_watching(0, Class::X, &["k"], "add c", watches);
        cluster.run(100);
        let expected = if changed { Some(ClientError::WatchFailed) } else { None };
        assert_eq!(cluster.replies[&exec].as_ref().err().copied(), expected);
    }
    cluster.run(70_000);
    assert_eq!(cluster.node(0).recorded(), 0);
}

fn answers(cluster: &mut Cluster, command: &str) {
    assert!(cluster.op(0, Class::W, &["k"], command).is_ok());
}

/// What a node held alone when it was expired is a fork like any other.
#[test]
pub(crate) fn an_expired_node_comes_back_with_its_solo_keys() {
    let mut cluster = solo(3, "add a");
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(40_000);
    assert_eq!(cluster.node(1).view().base.nodes().len(), 2, "node 0 is expired");
    cluster.add(1, "k", "b").expect("add");
    cluster.heal();
    cluster.run(10_000);
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k"), Ok("a b".into()), "at {node}");
    }
    assert_eq!(cluster.owners("k").len(), 1);
    cluster.run(A_WHILE_MS);
    cluster.assert_converged();
}

#[test]
pub(crate) fn a_flush_and_a_leave_see_solo_keys() {
    let mut cluster = solo(2, "add a");
    cluster.input(0, Input::Evacuate);
    cluster.run(500);
    assert_eq!(cluster.evacuated, [NodeId(0)]);
    assert!(cluster.node(1).keys().contains(&key("k")));
    let mut cluster = solo(2, "add a");
    cluster.op(1, Class::Flush, &[], "").expect("flushed");
    assert_eq!(cluster.node(0).keys(), []);
    assert_eq!(cluster.read(1, "k"), Ok(String::new()));
}

/// A node that has been expired sends what it held little by little; its own clients see all of it from the beginning.
#[test]
pub(crate) fn what_is_set_aside_is_seen_by_its_own_clients() {
    let mut cluster = Cluster::with(3, |config| config.limits.walk_max = 1);
    let mut names: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for name in &names {
        cluster.add(0, name, "a").expect("add");
    }
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(40_000);
    assert_eq!(cluster.node(1).view().base.nodes().len(), 2, "node 0 is expired");
    cluster.heal();
    while cluster.node(0).view().members.len() < 3 {
        cluster.run(50);
    }
    names.sort_by_key(|name| key(name).mark());
    for name in names.iter().rev() {
        assert_eq!(cluster.read(0, name), Ok("a".into()), "{name}");
    }
    cluster.run(10_000);
    assert_eq!(cluster.node(0).unfinished(), (0, 0, 0));
    for name in &names {
        assert_eq!(cluster.read(1, name), Ok("a".into()), "{name}");
    }
}
