//! Two copies of each key: keepers, the last two holders, and repair.

use swytch_cluster::*;

use super::support::{Cluster, key};

fn two_copies(nodes: u8) -> Cluster {
    Cluster::with(nodes, |config| config.copies = 2)
}

/// Two nodes where a base of one has solo keys at once.
fn alone_but_for_a_joiner() -> Cluster {
    Cluster::with(2, |config| (config.copies, config.timers.return_ms) = (2, 0))
}

/// Who has a value of the key.
fn holders(cluster: &Cluster, name: &str) -> Vec<u8> {
    let holds = |node: &&u8| cluster.node(**node).values().holds(&key(name));
    let nodes: Vec<u8> = cluster.nodes.keys().map(|node| node.0).collect();
    nodes.iter().filter(holds).copied().collect()
}

/// Whoever else is to hold a key of this owner.
fn keeper(cluster: &Cluster, name: &str, owner: u8) -> u8 {
    let members = cluster.node(owner).view().members.without(NodeId(owner));
    key(name).slot().home(members).expect("another member").0
}

/// A name of a key, and of others of its slot, that has this home.
fn name_at(cluster: &Cluster, home: u8) -> impl Fn(u32) -> String + use<> {
    let is_home = |tag: &u32| cluster.node(home).home_of(&key(&format!("{{{tag}}}"))) == Some(NodeId(home));
    let tag = (0..100).find(is_home).expect("every node is home of some slots");
    move |number| format!("{{{tag}}}{number}")
}

/// Takes messages out of those on their way.
fn catch(cluster: &mut Cluster, is_it: impl Fn(&Message) -> bool) -> Vec<Envelope> {
    let is_it = |envelope: &Envelope| is_it(&envelope.message);
    let (caught, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut cluster.wire).into_iter().partition(is_it);
    cluster.wire = rest.into();
    caught
}

fn is_keep(message: &Message) -> bool {
    matches!(message, Message::Keep { .. })
}

/// Delivers one message after another until the ticket is answered.
fn until_answered(cluster: &mut Cluster, ticket: u64) {
    for _ in 0..10_000 {
        if cluster.replies.contains_key(&ticket) {
            break;
        }
        match cluster.wire.pop_front() {
            Some(envelope) if cluster.cut.contains(&(envelope.from, envelope.to)) => {}
            Some(envelope) => cluster.input(envelope.to.0, Input::Message(Box::new(envelope))),
            None => cluster.run(50),
        }
    }
    assert!(cluster.replies[&ticket].is_ok(), "{:?}", cluster.replies[&ticket]);
}

#[test]
pub(crate) fn what_was_answered_outlives_its_owner() {
    let ways: [(Class, &[&str], &str); 3] =
        [(Class::W, &["a"], "add w"), (Class::X, &["a"], "swap x"), (Class::X, &["a", "b"], "add y")];
    for (class, keys, command) in ways {
        let mut cluster = two_copies(3);
        let ticket = cluster.submit(2, class, keys, command);
        until_answered(&mut cluster, ticket);
        // What is on its way goes with its sender.
        cluster.wire.retain(|envelope| envelope.from != NodeId(2));
        cluster.crash(2);
        // What is decided once may have to wait until the other one who knows of it is expired.
        cluster.run(50_000);
        for name in keys {
            let word = command.split(' ').nth(1).expect("a word");
            assert_eq!(cluster.read(0, name), Ok(word.into()), "{class:?} on {keys:?}");
        }
    }
}

/// The first write of a key whose slot is leased to its node: one message there and one back.
#[test]
pub(crate) fn a_keeper_costs_a_new_key_one_round_trip() {
    let mut cluster = two_copies(3);
    let name = name_at(&cluster, 1);
    cluster.add(0, &name(0), "first").expect("add");
    for number in 1..20 {
        let ticket = cluster.submit(0, Class::W, &[&name(number)], "add word");
        assert!(cluster.wire.len() == 1 && is_keep(&cluster.wire[0].message), "{:?}", cluster.wire);
        assert!(!cluster.replies.contains_key(&ticket), "nobody else has it yet");
        cluster.deliver_all();
        assert!(cluster.replies.contains_key(&ticket));
        assert_eq!(holders(&cluster, &name(number)), [0, 1]);
    }
    assert_eq!(cluster.read(1, &name(7)), Ok("word".into()));
    cluster.run(2_000);
    assert_eq!(cluster.node(0).recorded(), 20, "a key with two holders keeps its record");
    cluster.assert_converged();
}

/// The value comes again when the key is long gone: nobody would know of whoever took it.
#[test]
pub(crate) fn what_is_to_be_kept_is_taken_once() {
    let mut cluster = two_copies(3);
    let name = name_at(&cluster, 1)(0);
    let ticket = cluster.submit(0, Class::W, &[&name], "add word");
    while !cluster.wire.iter().any(|envelope| is_keep(&envelope.message)) {
        let envelope = cluster.wire.pop_front().expect("the value is to come");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    let again =
        cluster.wire.iter().find(|envelope| is_keep(&envelope.message)).cloned().expect("it is there");
    cluster.deliver_all();
    assert!(cluster.replies.contains_key(&ticket));
    assert_eq!(cluster.take(0, &name), Ok("word".into()));
    cluster.run(5_000);
    assert!((0..3).all(|node| cluster.node(node).keys().is_empty()));
    cluster.wire.push_back(again);
    cluster.run(5_000);
    assert_eq!(holders(&cluster, &name), []);
    assert_eq!(cluster.read(2, &name), Ok(String::new()));
    cluster.assert_converged();
}

#[test]
pub(crate) fn an_eviction_leaves_two_holders() {
    let mut cluster = two_copies(3);
    cluster.add(0, "k", "word").expect("add");
    for node in 0..3 {
        cluster.read(node, "k").expect("read");
    }
    for node in [2, 1, 0] {
        cluster.input(node, Input::Evict(key("k")));
    }
    cluster.run(3_000);
    assert_eq!(holders(&cluster, "k").len(), 2);
    let outcomes = cluster.evicted.iter().map(|(_, _, outcome)| *outcome);
    assert_eq!(outcomes.clone().filter(|outcome| *outcome == Evicted::Dropped).count(), 1);
    assert_eq!(outcomes.filter(|outcome| *outcome == Evicted::Refused).count(), 2);
    // Who is alone with the others out of reach has the only one that is known to be left.
    cluster.partition(&[&[0], &[1], &[2]]);
    cluster.run(3_000);
    for node in 0..3 {
        cluster.input(node, Input::Evict(key("k")));
    }
    cluster.heal();
    cluster.run(5_000);
    assert_eq!(holders(&cluster, "k").len(), 2);
    assert_eq!(cluster.take(0, "k"), Ok("word".into()));
    // Of what has no value there is nothing to keep.
    cluster.run(5_000);
    assert!((0..3).all(|node| cluster.node(node).keys().is_empty()));
    cluster.assert_converged();
}

/// One after another crashes for good, with time in between for the others to repair what has one holder left.
#[test]
pub(crate) fn what_has_come_to_have_one_holder_is_repaired() {
    let mut cluster = two_copies(4);
    let names: Vec<String> = (0..60).map(|number| format!("k{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        cluster.add((number % 4) as u8, name, "word").expect("add");
    }
    for gone in [3, 1] {
        cluster.crash(gone);
        cluster.run(5_000);
        // It may come back: what only it and one other hold waits until it is dropped.
        assert!(names.iter().any(|name| holders(&cluster, name).len() == 1));
        cluster.run(40_000);
        for name in &names {
            assert_eq!(holders(&cluster, name).len(), 2, "{name} after {gone}");
        }
        for node in cluster.nodes.values() {
            assert_eq!(node.repairs(), Repairs { alone: 0, all_seen: true });
            assert!(node.tally().of(Rule::Repaired) > 0);
        }
    }
    cluster.crash(0);
    cluster.run(2_000);
    for name in &names {
        assert_eq!(cluster.read(2, name), Ok("word".into()), "{name}");
    }
    // Nobody is left who could hold them as well; what has one copy is counted.
    cluster.run(2_000);
    assert_eq!(cluster.node(2).repairs().alone, 0, "the others may come back");
}

/// A joiner has never got the value that it was sent, and has no use for it any more when the view ends: its owner does not
/// take it for the second holder.
#[test]
pub(crate) fn who_was_about_to_hold_a_key_is_no_holder() {
    let mut cluster = two_copies(3);
    cluster.add(0, "k", "word").expect("add");
    let other = keeper(&cluster, "k", 0);
    let third = 3 - other;
    cluster.submit(third, Class::Read, &["k"], "list");
    let lost = |message: &Message| matches!(message, Message::Align { .. });
    cluster.run_but(7_000, lost);
    cluster.crash(other);
    while cluster.node(0).view().members.len() == 3 {
        cluster.run_but(50, lost);
    }
    cluster.run(50_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 2);
    assert_eq!(holders(&cluster, "k").len(), 2);
    cluster.assert_converged();
}

/// What a node has written alone is brought to the others when they are back, whether or not anybody asks for it.
#[test]
pub(crate) fn what_was_written_alone_is_repaired() {
    let mut cluster = two_copies(3);
    cluster.add(0, "k", "word").expect("add");
    let other = keeper(&cluster, "k", 0);
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(3_000);
    cluster.add(0, "k", "late").expect("add");
    cluster.heal();
    cluster.run(5_000);
    cluster.crash(0);
    cluster.run(3_000);
    assert_eq!(cluster.read(other, "k"), Ok("late word".into()));
}

/// A repair is paced, and says how much is left to do.
#[test]
pub(crate) fn a_repair_goes_step_by_step() {
    let mut cluster = alone_but_for_a_joiner();
    cluster.crash(1);
    cluster.run(40_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 1);
    let names: Vec<String> = (0..1_000).map(|number| format!("k{number}")).collect();
    names.iter().for_each(|name| drop(cluster.add(0, name, "word").expect("add")));
    cluster.run(3_000);
    assert_eq!(cluster.node(0).recorded(), 0, "a base of one has solo keys");
    cluster.restart(1, 2);
    while cluster.node(0).view().members.len() == 1 {
        cluster.run_but(50, is_keep);
    }
    let mut seen = 0;
    for _ in 0..10 {
        cluster.run_but(50, is_keep);
        let repairs = cluster.node(0).repairs();
        let per_part = cluster.node(0).config().limits.walk_max * 2;
        assert!(repairs.alone - seen <= per_part * usize::from(cluster.node(0).config().parts));
        seen = repairs.alone;
    }
    assert_eq!(cluster.node(0).repairs(), Repairs { alone: 1_000, all_seen: true });
    cluster.run(10_000);
    assert_eq!(cluster.node(0).repairs(), Repairs { alone: 0, all_seen: true });
    assert!(names.iter().all(|name| holders(&cluster, name) == [0, 1]));
    cluster.assert_converged();
}

/// Whoever joins a base of one node does not hold its keys yet: what is written to them goes there first.
#[test]
pub(crate) fn a_solo_key_is_kept_when_somebody_could_hold_it_as_well() {
    let mut cluster = alone_but_for_a_joiner();
    cluster.crash(1);
    cluster.run(40_000);
    cluster.add(0, "k", "word").expect("add");
    cluster.run(3_000);
    assert_eq!(cluster.node(0).recorded(), 0);
    cluster.restart(1, 2);
    while cluster.node(0).view().members.len() == 1 {
        cluster.run_but(50, is_keep);
    }
    assert_eq!(holders(&cluster, "k"), [0]);
    let ticket = cluster.submit(0, Class::W, &["k"], "add more");
    until_answered(&mut cluster, ticket);
    cluster.wire.retain(|envelope| envelope.from != NodeId(0));
    cluster.crash(0);
    cluster.run(3_000);
    assert_eq!(cluster.read(1, "k"), Ok("more word".into()));
}

/// A write is applied at its owner when the other holder goes out of sight, and found done in the next view.
#[test]
pub(crate) fn what_turns_out_to_be_done_is_not_answered_by_one_holder() {
    let mut cluster = two_copies(3);
    cluster.add(0, "k", "word").expect("add");
    let other = keeper(&cluster, "k", 0);
    let third = 3 - other;
    cluster.partition(&[&[0, third], &[other]]);
    let ticket = cluster.submit(0, Class::W, &["k"], "add late");
    until_answered(&mut cluster, ticket);
    cluster.wire.retain(|envelope| envelope.from != NodeId(0));
    cluster.crash(0);
    cluster.run(3_000);
    assert_eq!(cluster.read(third, "k"), Ok("late word".into()));
    cluster.heal();
    cluster.run(5_000);
    assert_eq!(cluster.read(other, "k"), Ok("late word".into()));
}

/// The home comes to own a key of a slot that it has leased, because it keeps that key. The lessee leaves it when it has no
/// value, and does not create it anew while the home writes to it again.
#[test]
pub(crate) fn a_lessee_that_has_left_a_key_to_others_creates_no_more() {
    let mut cluster = two_copies(3);
    let name = name_at(&cluster, 1);
    cluster.add(0, &name(0), "first").expect("add");
    cluster.add(0, &name(1), "word").expect("add");
    for word in 0..12 {
        cluster.add(1, &name(1), &format!("w{word}")).expect("add");
    }
    assert_eq!(cluster.owners(&name(1)), [NodeId(1)]);
    cluster.op(1, Class::X, &[&name(1)], "swap  ").expect("it has no value any more");
    for _ in 0..200 {
        cluster.run(10);
        cluster.now += 10;
        cluster.input(1, Input::Tick);
        cluster.deliver_but(|message| matches!(message, Message::Noted { .. }));
        if cluster.node(0).copy_of(&key(&name(1))).is_none() {
            break;
        }
    }
    assert!(cluster.node(0).copy_of(&key(&name(1))).is_none() && cluster.owners(&name(1)) == [NodeId(1)]);
    cluster.submit(1, Class::W, &[&name(1)], "add here");
    let kept = catch(&mut cluster, is_keep);
    cluster.submit(0, Class::W, &[&name(1)], "add there");
    assert_eq!(cluster.owners(&name(1)), [NodeId(1)]);
    cluster.wire.extend(kept);
    cluster.run(3_000);
    assert_eq!(cluster.read(2, &name(1)), Ok("here there".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// The home, node 0, leaves a key that it has given another node to keep without having heard that the token is there. It knows of
/// that one all the same when a third one writes.
fn home_leaves_and_knows(mut cluster: Cluster, name: &str, other: u8) {
    let third = 3 - other;
    let lost = |message: &Message| matches!(message, Message::Owned { .. });
    for word in 0..12 {
        cluster.submit(other, Class::W, &[name], &format!("add w{word}"));
        cluster.run_but(50, lost);
    }
    assert_eq!(cluster.owners(name), [NodeId(other)]);
    cluster.submit(other, Class::X, &[name], "swap  ");
    for _ in 0..200 {
        cluster.run_but(50, lost);
        if cluster.node(0).copy_of(&key(name)).is_none() {
            break;
        }
    }
    assert!(cluster.node(0).copy_of(&key(name)).is_none() && cluster.owners(name) == [NodeId(other)]);
    cluster.submit(other, Class::W, &[name], "add here");
    let kept = catch(&mut cluster, is_keep);
    cluster.submit(third, Class::W, &[name], "add there");
    cluster.deliver_but(lost);
    assert_eq!(cluster.owners(name), [NodeId(other)]);
    cluster.wire.extend(kept);
    cluster.run(3_000);
    assert_eq!(cluster.read(0, name), Ok("here there".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A home has left a key that it had given somebody to keep: it knows of that one by what it has sent it, whether or not it
/// has heard that the token is there.
#[test]
pub(crate) fn a_home_knows_whom_it_has_given_a_key() {
    let mut cluster = two_copies(3);
    let name = name_at(&cluster, 0)(0);
    cluster.add(0, &name, "word").expect("add");
    let other = keeper(&cluster, &name, 0);
    home_leaves_and_knows(cluster, &name, other);
}

/// A keeper has left a key and is given it again before its home has heard of that. The home leaves it in its turn, and knows who
/// has it all the same.
#[test]
pub(crate) fn a_home_does_not_take_old_news_for_those_of_a_new_copy() {
    let mut cluster = two_copies(3);
    let name = name_at(&cluster, 0)(0);
    cluster.add(0, &name, "word").expect("add");
    let other = keeper(&cluster, &name, 0);
    cluster.op(0, Class::X, &[&name], "swap  ").expect("it has no value any more");
    let is_news = |message: &Message| matches!(message, Message::News { .. });
    while cluster.node(other).copy_of(&key(&name)).is_some() {
        cluster.run_but(50, is_news);
    }
    assert_eq!(cluster.owners(&name), [NodeId(0)]);
    let ticket = cluster.submit(0, Class::W, &[&name], "add again");
    cluster.run_but(1_000, is_news);
    cluster.run(1_000);
    assert!(cluster.replies[&ticket].is_ok());
    assert_eq!(holders(&cluster, &name), [0, other]);
    home_leaves_and_knows(cluster, &name, other);
}

/// One of three wants two copies, so all have them; when it is gone for good, and another one starts, nobody does.
#[test]
pub(crate) fn the_base_wants_as_many_copies_as_any_of_its_members() {
    let mut cluster = Cluster::empty();
    for node in 0..3 {
        let copies = if node == 2 { 2 } else { 1 };
        let config = Config { bootstrap: node == 0, copies, ..super::support::config(node) };
        cluster.nodes.insert(NodeId(node), Node::new(config, Default::default()));
    }
    for node in 0..3 {
        (0..3)
            .filter(|other| *other != node)
            .for_each(|other| cluster.input(node, Input::Peer(NodeId(other))));
    }
    cluster.run(10_000);
    assert_eq!(cluster.node(0).view().base.nodes().len(), 3);
    assert_eq!(cluster.node(0).view().base.copies, 2);
    cluster.add(0, "k", "word").expect("add");
    assert_eq!(holders(&cluster, "k").len(), 2);
    cluster.crash(2);
    cluster.run(50_000);
    assert_eq!(cluster.node(0).view().base.copies, 1);
    cluster.add(0, "other", "word").expect("add");
    assert_eq!(holders(&cluster, "other"), [0]);
    cluster.run(3_000);
    cluster.assert_converged();
}

/// What another node holds as well needs no evacuation, and is repaired when its holder has left.
#[test]
pub(crate) fn a_leave_moves_nothing_that_has_another_holder() {
    let mut cluster = two_copies(3);
    let names: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
    names.iter().for_each(|name| drop(cluster.add(0, name, "word").expect("add")));
    cluster.input(0, Input::Evacuate);
    assert_eq!(cluster.evacuated, [NodeId(0)], "nothing is to be handed over");
    assert!(cluster.wire.iter().all(|envelope| !matches!(envelope.message, Message::Invite { .. })));
    cluster.input(0, Input::Leave);
    cluster.deliver_all();
    cluster.crash(0);
    cluster.run(10_000);
    assert!(names.iter().all(|name| holders(&cluster, name) == [1, 2]));
    cluster.assert_converged();
}
