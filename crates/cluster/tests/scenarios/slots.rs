//! What a home knows of the keys of its slots: creation leases and scans.

use swytch_cluster::key::SLOTS;
use swytch_cluster::*;

use super::support::{Cluster, Words, config, key};

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
pub(crate) fn unreported_creations_survive_a_view_change() {
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
pub(crate) fn a_scan_recalls_the_leases_of_its_slots() {
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
pub(crate) fn a_scan_waits_for_the_reports_of_a_new_view() {
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
pub(crate) fn a_scan_goes_on_when_the_view_changes() {
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
pub(crate) fn scans_are_bounded_in_number_and_time() {
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
    cluster.nodes.insert(NodeId(3), Node::new(config(3), Words::default()));
    cluster.input(3, Input::Scan { ticket: 3, slots: 0..SLOTS });
    assert_eq!(cluster.scanned.last(), Some(&(3, Err(ClientError::NotServing))));
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
