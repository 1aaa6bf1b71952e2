//! Keys that nobody holds.

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
        assert_eq!(cluster.node(node).known(), 0);
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
    let read = cluster.submit(0, Class::Read, &["k"], "watch");
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
pub(crate) fn a_home_does_not_take_an_old_answer_for_the_lessee() {
    create_beside_a_question(0, |tag| [format!("{{{tag}}}a"), format!("{{{tag}}}b"), format!("{{{tag}}}b")]);
}

/// The home wants to write `b` and asks everybody; its own answer is there at once, the other one takes long. Meanwhile the slot
/// is leased to it, `b` is created, and the other node asks for it.
#[test]
pub(crate) fn a_home_does_not_take_its_own_answer_from_before_it_was_the_lessee() {
    let mut cluster = Cluster::new(2);
    let tag =
        ('a'..='z').find(|tag| others(&cluster, &format!("{{{tag}}}")).0 == 1).expect("a slot of node 1");
    let [a, b] = ["a", "b"].map(|name| format!("{{{tag}}}{name}"));
    cluster.attempt(0, &[0, 1]);
    let reports = |message: &Message| matches!(message, Message::Report { .. } | Message::Reported { .. });
    cluster.deliver_but(reports);
    let first = cluster.submit(1, Class::W, &[&b], "add first");
    let is_answer = |message: &Message| matches!(message, Message::Holding { .. });
    while !cluster.wire.iter().any(|envelope| is_answer(&envelope.message) && envelope.from == NodeId(0)) {
        let envelope = cluster.wire.pop_front().expect("an answer is to come");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    let holding = catch(&mut cluster, |envelope| is_answer(&envelope.message) && envelope.from == NodeId(0));
    cluster.now += 500;
    (0..2).for_each(|node| cluster.input(node, Input::Tick));
    let is_asked = |message: &Message| matches!(message, Message::Query { .. });
    cluster.deliver_but(|message| is_answer(message) || is_asked(message));
    cluster.add(1, &a, "word").expect("it brings the lease");
    cluster.submit(1, Class::W, &[&b], "add second");
    cluster.deliver_but(is_asked);
    let read = cluster.submit(0, Class::Read, &[&b], "list");
    cluster.deliver_but(is_asked);
    cluster.now += 50;
    cluster.input(1, Input::Tick);
    cluster.deliver_but(is_asked);
    cluster.wire.extend(holding);
    cluster.run(2_000);
    assert!(cluster.replies[&first].is_ok());
    let seen = cluster.told(read).expect("an answer").expect("what is there");
    assert!(seen.contains("second"), "{seen}");
}

/// It was another node that had asked to read `b`.
#[test]
pub(crate) fn a_home_does_not_take_an_old_answer_for_a_new_holder() {
    create_beside_a_question(1, |tag| [format!("{{{tag}}}a"), format!("{{{tag}}}b"), format!("{{{tag}}}b")]);
}

/// The answer was about a twin of what is created.
#[test]
pub(crate) fn a_home_does_not_take_an_old_answer_for_the_creator_of_a_twin() {
    create_beside_a_question(0, |tag| {
        [format!("{{{tag}}}a"), format!("twin-{tag}-0"), format!("twin-{tag}-1")]
    });
}

/// A node has asked for a key; names of a slot: of a key that brings the lease, of the one that was asked for, and of one to
/// be created.
fn create_beside_a_question(node: u8, names: impl Fn(char) -> [String; 3]) {
    let mut cluster = Cluster::new(2);
    let tag =
        ('a'..='z').find(|tag| others(&cluster, &format!("{{{tag}}}")).0 == 1).expect("a slot of node 1");
    let [a, asked, b] = names(tag);
    // As long as not all have reported, the home asks all.
    cluster.attempt(0, &[0, 1]);
    let reports = |message: &Message| matches!(message, Message::Report { .. } | Message::Reported { .. });
    cluster.deliver_but(reports);
    cluster.submit(node, Class::Read, &[&asked], "list");
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

/// `k` is held by these nodes, and has no value.
fn emptied(nodes: &[u8], adjust: impl Fn(&mut Config)) -> Cluster {
    let mut cluster = Cluster::with(3, adjust);
    for node in nodes {
        cluster.add(*node, "k", "word").expect("add");
    }
    cluster.run(200);
    assert_eq!(cluster.take(nodes[0], "k"), Ok("word".into()));
    cluster
}

fn is_forgotten(cluster: &Cluster) -> bool {
    (0..3).all(|node| cluster.node(node).keys().is_empty() && cluster.node(node).known() == 0)
}

#[test]
pub(crate) fn what_was_deleted_leaves_nothing() {
    let mut cluster = Cluster::new(3);
    for number in 0..40_u8 {
        let name = format!("k{number}");
        for node in 0..=number % 3 {
            cluster.add(node, &name, "word").expect("add");
        }
        assert_eq!(cluster.take(number % 2, &name), Ok("word".into()));
        assert_eq!(cluster.op(2, Class::Read, &[&name, "never"], "list"), Ok("|".into()));
    }
    // One that is evicted.
    cluster.add(0, "evicted", "word").expect("add");
    cluster.input(0, Input::Evict(key("evicted")));
    cluster.run(15_000);
    for node in 0..3 {
        assert_eq!(cluster.node(node).keys(), [], "at {node}");
        assert_eq!(cluster.node(node).known(), 0, "at {node}");
    }
    for node in 0..3 {
        cluster.add(node, "k1", &format!("n{node}")).expect("add");
    }
    assert_eq!(cluster.read(0, "k1"), Ok("n0 n1 n2".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A view change does not keep what has no value.
#[test]
pub(crate) fn what_was_deleted_before_a_view_change_is_forgotten_after_it() {
    let mut cluster = emptied(&[0, 1, 2], |_| {});
    cluster.attempt(0, &[0, 1, 2]);
    cluster.run(15_000);
    assert!(is_forgotten(&cluster));
}

#[test]
pub(crate) fn a_key_that_others_hold_is_not_forgotten() {
    let mut cluster = emptied(&[0, 1], |_| {});
    for _ in 0..80 {
        cluster.now += 50;
        (0..3).for_each(|node| cluster.input(node, Input::Tick));
        cluster.deliver_but(|message| matches!(message, Message::Fade { .. }));
    }
    assert_eq!(cluster.add(1, "k", "more"), Ok("OK".into()));
    assert_eq!(cluster.read(2, "k"), Ok("more".into()));
}

/// The answer to a pop is lost again and again, while the key has no value any more: whoever waits for it keeps its copy.
#[test]
pub(crate) fn a_key_is_not_forgotten_while_a_retry_has_to_find_its_answer() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "k", "word").expect("add");
    assert_eq!(cluster.read(1, "k"), Ok("word".into()));
    cluster.run(500);
    let ticket = cluster.submit(1, Class::X, &["k"], "take");
    for _ in 0..80 {
        cluster.deliver_but(|message| matches!(message, Message::Answered { .. }));
        cluster.now += 50;
        (0..3).for_each(|node| cluster.input(node, Input::Tick));
    }
    cluster.run(1_000);
    assert_eq!(cluster.replies[&ticket].as_ref().map(|answer| answer.reply.clone()), Ok("word".into()));
    cluster.run(10_000);
    assert!(is_forgotten(&cluster));
}

/// A duplicate of a request that was answered long ago finds its key created anew.
#[test]
pub(crate) fn what_was_asked_for_one_creation_of_a_key_is_not_run_on_another() {
    let mut cluster = Cluster::new(3);
    for node in [0, 1] {
        cluster.add(node, "k", "word").expect("add");
    }
    cluster.run(500);
    let ticket = cluster.submit(1, Class::W, &["k"], "add late");
    let request = cluster.wire.front().expect("the request").clone();
    assert!(matches!(request.message, Message::Forward(_)) && request.to == NodeId(0));
    cluster.run(100);
    assert!(cluster.replies[&ticket].is_ok());
    assert_eq!((cluster.take(0, "k"), cluster.take(0, "k")), (Ok("late".into()), Ok("word".into())));
    cluster.run(10_000);
    assert!(is_forgotten(&cluster));
    cluster.add(0, "k", "new").expect("add");
    // Node 1 subscribes and asks for nothing that would tell the owner how far its requests are answered.
    assert_eq!(cluster.read(1, "k"), Ok("new".into()));
    cluster.wire.push_back(request);
    cluster.run(1_000);
    assert_eq!(cluster.read(1, "k"), Ok("new".into()));
}

/// A node that is not home of `k` is about to tell its home that it has dropped its copy.
fn about_to_tell() -> (Cluster, u8, u8, Vec<Envelope>) {
    let names = Cluster::new(3);
    let (_, others) = others(&names, "k");
    let (holder, other) = (others[0], others[1]);
    let mut cluster = emptied(&[holder], |config| config.limits.leases_max = 0);
    let is_news = |envelope: &Envelope| matches!(envelope.message, Message::News { .. });
    loop {
        cluster.now += 50;
        (0..3).for_each(|node| cluster.input(node, Input::Tick));
        let news = catch(&mut cluster, is_news);
        if !news.is_empty() {
            assert!(cluster.node(holder).keys().is_empty());
            return (cluster, holder, other, news);
        }
        cluster.deliver_all();
    }
}

#[test]
pub(crate) fn a_key_is_touched_again_only_when_its_home_has_heard_that_it_was_dropped() {
    let (mut cluster, holder, other, news) = about_to_tell();
    let ticket = cluster.submit(holder, Class::W, &["k"], "add again");
    let is_news = |message: &Message| matches!(message, Message::News { .. });
    cluster.deliver_but(is_news);
    cluster.wire.extend(news);
    cluster.run(100);
    assert!(cluster.replies[&ticket].is_ok());
    cluster.add(other, "k", "more").expect("add");
    assert_eq!(cluster.owners("k").len(), 1);
    assert_eq!(cluster.read(holder, "k"), Ok("again more".into()));
}

#[test]
pub(crate) fn what_a_home_has_heard_before_is_no_news() {
    let (mut cluster, holder, other, news) = about_to_tell();
    cluster.wire.extend(news.clone());
    cluster.deliver_all();
    cluster.add(holder, "k", "again").expect("add");
    cluster.wire.extend(news);
    cluster.deliver_all();
    cluster.add(other, "k", "more").expect("add");
    assert_eq!(cluster.owners("k").len(), 1);
    assert_eq!(cluster.read(holder, "k"), Ok("again more".into()));
}

/// The permission to create `k` takes long. Meanwhile its home has asked again, was told that nobody holds the key, and has
/// let another node create it.
#[test]
pub(crate) fn a_permission_to_create_is_void_once_its_node_has_said_that_it_holds_nothing() {
    let mut cluster = Cluster::with(3, |config| config.limits.leases_max = 0);
    let (_, others) = others(&cluster, "k");
    let (late, first) = (others[0], others[1]);
    let is_permission = |envelope: &Envelope| matches!(envelope.message, Message::Create { .. });
    cluster.submit(late, Class::W, &["k"], "add late");
    while !cluster.wire.iter().any(is_permission) {
        let envelope = cluster.wire.pop_front().expect("the permission is to come");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    let permission = catch(&mut cluster, is_permission);
    let ticket = cluster.submit(first, Class::W, &["k"], "add first");
    for _ in 0..40 {
        while let Some(envelope) = cluster.wire.pop_front() {
            if envelope.from != NodeId(late) || !matches!(envelope.message, Message::Touch { .. }) {
                cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
            }
        }
        cluster.now += 50;
        (0..3).for_each(|node| cluster.input(node, Input::Tick));
    }
    assert!(cluster.replies[&ticket].is_ok());
    cluster.wire.extend(permission);
    cluster.deliver_all();
    assert_eq!(cluster.owners("k").len(), 1);
    cluster.run(1_000);
    assert_eq!(cluster.read(late, "k"), Ok("first late".into()));
}
