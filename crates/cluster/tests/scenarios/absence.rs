//! Keys that nobody holds.

use swytch_cluster::key::SLOTS;
use swytch_cluster::*;

use super::support::{Cluster, key};

/// Nodes that are not home of the key.
fn others(cluster: &Cluster, name: &str) -> (u8, Vec<u8>) {
    let home = cluster.node(0).home_of(&key(name)).expect("a home").0;
    (home, (0..cluster.nodes.len() as u8).filter(|node| *node != home).collect())
}

#[test]
pub(crate) fn a_read_of_what_is_not_there_leaves_nothing() {
    let mut cluster = Cluster::new(3);
    for number in 0..50 {
        assert_eq!(cluster.read(number % 3, &format!("k{number}")), Ok(String::new()));
    }
    for node in 0..3 {
        assert_eq!(cluster.node(node).keys(), []);
        assert_eq!(cluster.node(node).names_in(0..SLOTS), []);
    }
    cluster.add(1, "k0", "word").expect("add");
    for node in 0..3 {
        assert_eq!(cluster.read(node, "k0"), Ok("word".into()));
    }
    cluster.run(2_000);
    cluster.assert_converged();
}

/// The home's answer that nobody holds the key is on its way when the key is created; the read that comes then must see it.
#[test]
pub(crate) fn a_read_sees_what_was_written_after_an_earlier_one_had_asked() {
    let mut cluster = Cluster::new(3);
    let (_, others) = others(&cluster, "k");
    let (reader, writer) = (others[0], others[1]);
    let early = cluster.submit(reader, Class::Read, &["k"], "list");
    cluster.deliver_but(|message| matches!(message, Message::Absent { .. }));
    // What was lost comes late instead: the question is repeated before the key is there.
    cluster.now += 500;
    cluster.input(reader, Input::Tick);
    let is_absent = |envelope: &Envelope| matches!(envelope.message, Message::Absent { .. });
    while !cluster.wire.iter().any(is_absent) {
        let envelope = cluster.wire.pop_front().expect("the answer is to come");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    let at = cluster.wire.iter().position(is_absent).expect("it is there");
    let absent = cluster.wire.remove(at).expect("it is there");
    cluster.add(writer, "k", "word").expect("add");
    let late = cluster.submit(reader, Class::Read, &["k"], "list");
    cluster.wire.push_front(absent);
    cluster.run(1_000);
    assert_eq!(cluster.replies[&early].as_ref().map(|answer| answer.reply.clone()), Ok("".into()));
    assert_eq!(cluster.replies[&late].as_ref().map(|answer| answer.reply.clone()), Ok("word".into()));
}

#[test]
pub(crate) fn a_watch_of_what_is_not_there_fails_once_it_is() {
    let mut cluster = Cluster::new(2);
    let read = cluster.submit(0, Class::Read, &["k"], "list");
    cluster.deliver_all();
    let watches = cluster.replies[&read].clone().expect("a read").watches;
    assert_eq!(watches, [(key("k"), Watch::default())]);
    let good = cluster.submit_watching(0, Class::X, &["other"], "add one", watches.clone());
    cluster.deliver_all();
    assert!(cluster.replies[&good].is_ok(), "{:?}", cluster.replies[&good]);
    cluster.add(1, "k", "word").expect("add");
    let late = cluster.submit_watching(0, Class::X, &["other"], "add two", watches);
    cluster.run(100);
    assert_eq!(cluster.replies[&late], Err(ClientError::WatchFailed));
}

/// Takes messages out of those on their way.
fn catch(cluster: &mut Cluster, is_it: impl Fn(&Envelope) -> bool) -> Vec<Envelope> {
    let (caught, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut cluster.wire).into_iter().partition(is_it);
    cluster.wire = rest.into();
    caught
}

/// The home asks everybody whether `b` is there, because one has asked to read it; this one answers that it is not, and
/// the answer takes long. Meanwhile the slot is leased to it.
#[test]
pub(crate) fn a_lessee_does_not_create_by_itself_what_it_has_asked_for() {
    let mut cluster = Cluster::new(2);
    let tag = (0..100).find(|tag| others(&cluster, &format!("{{{tag}}}")).0 == 1).expect("a slot of node 1");
    let (a, b) = (format!("{{{tag}}}a"), format!("{{{tag}}}b"));
    // As long as not all have reported, the home asks all.
    cluster.attempt(0, &[0, 1]);
    let reports = |message: &Message| matches!(message, Message::Report { .. } | Message::Reported { .. });
    cluster.deliver_but(reports);
    cluster.submit(0, Class::Read, &[&b], "list");
    while !cluster.wire.iter().any(|envelope| matches!(envelope.message, Message::Holding { .. })) {
        let envelope = cluster.wire.pop_front().expect("an answer is to come");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    let holding = catch(&mut cluster, |envelope| matches!(envelope.message, Message::Holding { .. }));
    cluster.now += 500;
    (0..2).for_each(|node| cluster.input(node, Input::Tick));
    cluster.deliver_but(|message| matches!(message, Message::Holding { .. } | Message::Query { .. }));
    cluster.add(0, &a, "word").expect("add");
    assert_eq!(cluster.node(0).tally().of(Rule::Created), 1);
    let ticket = cluster.submit(0, Class::W, &[&b], "add zero");
    cluster.deliver_but(|message| matches!(message, Message::Query { .. }));
    cluster.now += 50;
    cluster.input(0, Input::Tick);
    cluster.deliver_all();
    cluster.wire.extend(holding);
    cluster.deliver_all();
    cluster.add(1, &b, "one").expect("add");
    cluster.run(1_000);
    assert!(cluster.replies[&ticket].is_ok());
    assert_eq!(cluster.owners(&b).len(), 1);
    assert_eq!(cluster.read(0, &b), Ok("one zero".into()));
}
