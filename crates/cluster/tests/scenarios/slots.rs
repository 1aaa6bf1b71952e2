//! What a home knows of the keys of its slots, creation leases, and what a scan is told.

use swytch_cluster::key::SLOTS;
use swytch_cluster::*;

use super::support::{Cluster, key};

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
pub(crate) fn a_new_key_costs_no_round_trip_under_a_creation_lease() {
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
    // The home learns of the keys in few messages, and whoever comes next finds them.
    cluster.run(200);
    assert_eq!(cluster.node(home.0).known(), 100);
    assert_eq!(cluster.take(1, &name(50)), Ok("word".into()));
    let ticket = cluster.submit(0, Class::W, &[&name(100)], "add word");
    assert!(!cluster.replies.contains_key(&ticket), "the lease was recalled");
    cluster.run(2_000);
    cluster.assert_converged();
}

/// What was created under a lease and not reported when the view changed is known to the home, although the slot has
/// not moved.
#[test]
pub(crate) fn unreported_creations_survive_a_view_change() {
    let mut cluster = Cluster::new(3);
    let (home, name) = slot_of_another_home(&cluster, 0);
    let third = (1..3).find(|node| NodeId(*node) != home).expect("three nodes");
    cluster.add(0, &name(0), "first").expect("add");
    cluster.submit(0, Class::W, &[&name(1)], "add word");
    // The news is lost with the view: the third node crashes.
    cluster.crash(third);
    cluster.run_but(6_000, |message| matches!(message, Message::News { .. }));
    assert_eq!(cluster.node(0).view().members.len(), 2);
    assert_eq!(cluster.node(0).home_of(&key(&name(1))), Some(home));
    assert_eq!(cluster.take(home.0, &name(1)), Ok("word".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

#[test]
pub(crate) fn touches_of_a_leased_slot_wait_for_a_lessee_that_is_gone_until_the_view_changes() {
    let mut cluster = Cluster::new(3);
    let (home, name) = slot_of_another_home(&cluster, 0);
    cluster.add(0, &name(0), "first").expect("add");
    cluster.crash(0);
    assert_eq!(cluster.add(home.0, &name(1), "word"), Ok("OK".into()));
    assert_eq!(cluster.read(home.0, &name(1)), Ok("word".into()));
}

#[test]
pub(crate) fn leases_and_unreported_names_are_bounded() {
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
pub(crate) fn a_touch_waits_for_what_the_lessee_has_created() {
    let mut cluster = Cluster::new(3);
    let (home, name) = unreported_creations(&mut cluster);
    assert_eq!(cluster.node(home.0).known(), 1);
    cluster.add(home.0, &name(1), "more").expect("add");
    assert_eq!(cluster.node(home.0).known(), 10);
    assert_eq!(cluster.owners(&name(1)).len(), 1);
    assert_eq!(cluster.read(0, &name(1)), Ok("more word".into()));
    // The next creation brings the lease back.
    cluster.run(5_000);
    cluster.add(0, &name(10), "word").expect("add");
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A scan asks one member after another. While it does, a key moves to one that it has passed already.
#[test]
pub(crate) fn a_scan_is_told_of_what_was_dropped_meanwhile() {
    let mut cluster = Cluster::new(2);
    for name in ["k", "stays"] {
        cluster.add(0, name, "word").expect("add");
    }
    let names = |cluster: &Cluster, node: u8| cluster.node(node).names_in(0..SLOTS);
    let slot = key("stays").slot().0;
    assert_eq!(names(&cluster, 1), []);
    assert_eq!(cluster.node(0).names_in(slot..slot + 1), [key("stays")]);
    assert_eq!(cluster.read(1, "k"), Ok("word".into()));
    cluster.input(0, Input::Evict(key("k")));
    cluster.run(1_000);
    assert_eq!(cluster.evicted, [(NodeId(0), key("k"), Evicted::Dropped)]);
    assert_eq!(names(&cluster, 0), [key("k"), key("stays")]);
    cluster.run(20_000);
    assert_eq!((names(&cluster, 0), names(&cluster, 1)), (vec![key("stays")], vec![key("k")]));
}

/// A home that has heard the first part of a report only does not take what is in the others for absent.
#[test]
pub(crate) fn a_home_waits_for_all_parts_of_a_report() {
    let mut cluster = Cluster::with(3, |config| {
        config.limits = Limits { report_max: 1, leases_max: 0, ..config.limits };
    });
    let home = |nodes: &[u8], name: &str| key(name).slot().home(nodes.iter().copied().map(NodeId).collect());
    let moves =
        |name: &String| home(&[0, 1, 2], name) == Some(NodeId(2)) && home(&[0, 1], name) == Some(NodeId(0));
    let names: Vec<String> = (0..500).map(|number| format!("k{number}")).filter(moves).take(6).collect();
    for name in &names {
        cluster.add(1, name, "one").expect("add");
    }
    cluster.run(500);
    cluster.crash(2);
    for _ in 0..80 {
        cluster.now += 50;
        (0..2).for_each(|node| cluster.input(node, Input::Tick));
        cluster.deliver_but(|message| matches!(message, Message::Report { part, .. } if *part > 0));
    }
    assert_eq!(cluster.node(0).view().members.len(), 2);
    for name in &names {
        cluster.add(0, name, "zero").expect("add");
        assert_eq!(cluster.owners(name).len(), 1);
        assert_eq!(cluster.read(1, name), Ok("one zero".into()));
    }
}

/// A home that has heard of some of a member's keys does not take the others for absent.
#[test]
pub(crate) fn a_report_is_over_when_all_keys_were_looked_at() {
    let mut cluster = Cluster::with(3, |config| {
        config.limits = Limits { report_max: 1, walk_max: 1, leases_max: 0, ..config.limits };
    });
    let home = |nodes: &[u8], name: &str| key(name).slot().home(nodes.iter().copied().map(NodeId).collect());
    let moves =
        |name: &String| home(&[0, 1, 2], name) == Some(NodeId(2)) && home(&[0, 1], name) == Some(NodeId(0));
    let mut names: Vec<String> =
        (0..1_000).map(|number| format!("k{number}")).filter(moves).take(40).collect();
    names.sort_by_key(|name| key(name).mark());
    for name in &names {
        cluster.add(1, name, "one").expect("add");
    }
    cluster.run(500);
    cluster.crash(2);
    while cluster.node(0).view().members.len() > 2 {
        cluster.run(50);
    }
    for name in names.iter().rev() {
        cluster.add(0, name, "zero").expect("add");
        assert_eq!(cluster.owners(name).len(), 1);
        assert_eq!(cluster.read(1, name), Ok("one zero".into()));
    }
}

/// Node 0 may create a key, and with it the others of its slot. Before it hears that, the lease is recalled for another node.
#[test]
pub(crate) fn a_lease_that_comes_after_its_recall_is_void() {
    let mut cluster = Cluster::new(3);
    let (home, name) = slot_of_another_home(&cluster, 0);
    let third = (1..3).find(|node| NodeId(*node) != home).expect("three nodes");
    cluster.submit(0, Class::W, &[&name(0)], "add first");
    let late = loop {
        let envelope = cluster.wire.pop_front().expect("the permission");
        if matches!(envelope.message, Message::Create { lease: Some(_), .. }) {
            break envelope;
        }
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    };
    cluster.add(third, &name(1), "word").expect("add");
    cluster.input(0, Input::Message(Box::new(late)));
    assert_eq!(cluster.read(0, &name(1)), Ok("word".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}
