//! Operations whose answers are lost, late or doubled: executed once, and refused only if never executed.

use swytch_cluster::*;

use super::support::{Cluster, key};

/// Three nodes hold `k`, whose token follows every operation and whose queue takes one more. Node 1 has sent `add late`
/// to node 0; the request is returned, undelivered. Then the token has come to node 1.
fn operation_left_behind(wait_for_it: bool) -> (Cluster, u64, Envelope) {
    let mut cluster = Cluster::with(3, |config| {
        config.limits.queue_max = 1;
        config.limits.token_run = 1;
    });
    for node in [2, 1, 0] {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    let ticket = cluster.submit(1, Class::W, &["k"], "add late");
    let request = cluster.wire.pop_front().expect("the request");
    assert!(matches!(request.message, Message::Forward(_)) && request.to == NodeId(0));
    if wait_for_it {
        cluster.wire.push_back(request.clone());
    } else {
        cluster.submit(1, Class::W, &["k"], "add next");
    }
    cluster.deliver_but(|message| matches!(message, Message::Answered { .. }));
    assert_eq!(cluster.owners("k"), [NodeId(1)]);
    assert!(!cluster.replies.contains_key(&ticket));
    (cluster, ticket, request)
}

/// Node 1 looks at its operations again while the queue of `k` is full.
fn retry_with_a_full_queue(cluster: &mut Cluster) {
    cluster.submit(1, Class::W, &["k"], "add more1");
    cluster.submit(1, Class::W, &["k"], "add more2");
    cluster.now += 500;
    cluster.input(1, Input::Tick);
    cluster.input(1, Input::Tick);
}

#[test]
pub(crate) fn an_operation_that_was_executed_is_not_refused_for_a_full_queue() {
    let (mut cluster, ticket, _) = operation_left_behind(true);
    retry_with_a_full_queue(&mut cluster);
    assert!(cluster.replies[&ticket].is_ok(), "{:?}", cluster.replies[&ticket]);
    cluster.run(2_000);
    assert_eq!(cluster.read(2, "k"), Ok("late more1 more2 n0 n1 n2".into()));
}

/// Its origin owns the key by now and refuses it; the request that it sent to the former owner arrives only when that
/// node owns the key again.
#[test]
pub(crate) fn a_request_that_comes_after_the_refusal_is_not_executed() {
    let (mut cluster, ticket, request) = operation_left_behind(false);
    retry_with_a_full_queue(&mut cluster);
    assert_eq!(cluster.replies[&ticket], Err(ClientError::TryAgain));
    cluster.deliver_all();
    cluster.add(0, "k", "back").expect("add");
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    cluster.wire.push_back(request);
    cluster.run(2_000);
    assert_eq!(cluster.read(2, "k"), Ok("back more1 more2 n0 n1 n2 next".into()));
}

/// A pop of node 1 finds nothing and leaves no entry, so only the answers that go with the token tell of it. With node 1's
/// next operation the owner forgets what it had answered, but not below which number all of node 1's are answered. The
/// pop arrives once more when another node has the token and there is something to take.
#[test]
pub(crate) fn a_duplicate_of_what_was_answered_before_the_token_moved_is_not_executed() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        // Whoever reads it alone does not become a subscriber of what is not there.
        assert_eq!(cluster.op(node, Class::Read, &["k", "other"], "list"), Ok("|".into()));
    }
    cluster.submit(1, Class::X, &["k"], "take");
    let request = cluster.wire.front().expect("the request").clone();
    assert!(matches!(request.message, Message::Forward(_)) && request.to == NodeId(0));
    cluster.deliver_all();
    assert_eq!(cluster.take(1, "k"), Ok(String::new()));
    for word in 0..9 {
        cluster.add(2, "k", &format!("w{word}")).expect("add");
    }
    assert_eq!(cluster.owners("k"), [NodeId(2)]);
    cluster.wire.push_back(Envelope { to: NodeId(2), ..request });
    cluster.run(2_000);
    assert_eq!(cluster.read(1, "k"), Ok("w0 w1 w2 w3 w4 w5 w6 w7 w8".into()));
    cluster.assert_converged();
}

/// The origin of a transaction has taken it over and waits for a token that does not come, while the node that it had
/// asked first has the token of the first key: it cannot know what becomes of the transaction there.
#[test]
pub(crate) fn an_operation_out_of_time_without_its_first_token_is_in_doubt() {
    let mut cluster = Cluster::new(3);
    for name in ["a", "b"] {
        for node in 0..3 {
            cluster.add(node, name, "x").expect("add");
        }
    }
    let ticket = cluster.submit(1, Class::X, &["a", "b"], "swap y");
    let request = cluster.wire.pop_front().expect("the request");
    assert!(matches!(request.message, Message::Forward(_)));
    for word in 0..8 {
        cluster.op(2, Class::W, &["b"], &format!("add w{word}")).expect("add");
    }
    assert_eq!((cluster.owners("a"), cluster.owners("b")), (vec![NodeId(0)], vec![NodeId(2)]));
    let lost = |message: &Message| matches!(message, Message::TokenRequest { .. });
    for _ in 0..110 {
        cluster.now += 50;
        for node in 0..3 {
            cluster.input(node, Input::Tick);
        }
        cluster.deliver_but(lost);
    }
    assert_eq!(cluster.replies[&ticket], Err(ClientError::InDoubt));
}

/// A message that node 1 sends to node 0 in its view.
fn said_by_1(cluster: &Cluster, message: Message) -> Envelope {
    let part = match &message {
        Message::Forward(forwarded) => forwarded.op.part(),
        _ => 0,
    };
    let (from, to) = (NodeId(1), NodeId(0));
    let node = cluster.node(1);
    let (incarnation, view) = (node.incarnation(), node.view().id);
    Envelope { from, incarnation, to, view, part, from_part: part, message }
}

/// A node that promised the highest view there is could promise no other, and one that had heard of it propose none.
#[test]
pub(crate) fn a_view_far_ahead_of_all_others_shuts_nobody_out() {
    let mut cluster = Cluster::new(3);
    cluster.run(500);
    let far = ViewId::new(u64::MAX >> 8, NodeId(63));
    cluster.attempt(0, &[0, 1, 2]);
    let view = ViewId::new(2, NodeId(0));
    assert!(cluster.wire.iter().any(|envelope| envelope.message == Message::Collect { view }));
    for message in [Message::Refuse { view, promised: far }, Message::Collect { view: far }] {
        cluster.wire.push_front(said_by_1(&cluster, message));
    }
    cluster.run(8_000);
    assert_eq!(cluster.node(0).view().members.len(), 3);
    for node in 0..3 {
        assert_eq!(cluster.add(node, "k", &format!("n{node}")), Ok("OK".into()), "at {node}");
    }
}

/// A request that says of more operations than its node can have asked for that they are answered.
#[test]
pub(crate) fn a_request_far_ahead_of_its_node_does_not_end_the_others() {
    let mut cluster = Cluster::new(2);
    for node in 0..2 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.run(500);
    cluster.submit(1, Class::W, &["k"], "add word");
    let request = cluster.wire.pop_back().expect("the request");
    let Message::Forward(forwarded) = &request.message else { panic!("{request:?}") };
    assert_eq!(request.to, NodeId(0));
    for (counter, floor) in [(u64::MAX << 8, u64::MAX << 8), (forwarded.op.counter, u64::MAX)] {
        let mut far = forwarded.clone();
        (far.op.counter, far.floor) = (counter | u64::from(request.part), floor);
        cluster.wire.push_back(said_by_1(&cluster, Message::Forward(far)));
    }
    cluster.deliver_all();
    cluster.wire.push_back(request);
    assert_eq!(cluster.add(1, "k", "more"), Ok("OK".into()));
    cluster.run(1_000);
    assert_eq!(cluster.read(0, "k"), Ok("more n0 n1 word".into()));
}

/// A join comes once more when its node has left the key again: the owner waits for nobody to take the value.
#[test]
pub(crate) fn a_join_that_comes_again_after_its_node_has_left_stops_nothing() {
    let mut cluster = Cluster::new(3);
    let home = cluster.node(0).home_of(&key("k")).expect("a home");
    let others: Vec<u8> = (0..3).filter(|node| NodeId(*node) != home).collect();
    let (owner, joiner) = (others[0], others[1]);
    cluster.add(owner, "k", "word").expect("add");
    cluster.run(500);
    let read = cluster.submit(joiner, Class::Read, &["k"], "list");
    let mut join = None;
    while let Some(envelope) = cluster.wire.pop_front() {
        if matches!(envelope.message, Message::Join { .. }) {
            join = Some(envelope.clone());
        }
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    assert!(cluster.replies[&read].is_ok());
    cluster.input(joiner, Input::Evict(key("k")));
    cluster.run(1_000);
    assert_eq!(cluster.evicted, [(NodeId(joiner), key("k"), Evicted::Dropped)]);
    cluster.wire.push_back(join.expect("a join"));
    cluster.deliver_all();
    assert_eq!(cluster.add(owner, "k", "more"), Ok("OK".into()));
    assert_eq!(cluster.take(owner, "k"), Ok("more".into()));
    let holders = cluster.node(owner).copy_of(&key("k")).expect("a copy").meta.subscribers;
    assert_eq!(holders, NodeSet::only(NodeId(owner)));
    assert_eq!(cluster.read(joiner, "k"), Ok("word".into()));
    cluster.run(2_000);
    cluster.assert_converged();
}

/// A batch is aborted because nobody hears that it is prepared. Once that is over nobody remembers it, and a duplicate of
/// it is not prepared again.
#[test]
pub(crate) fn what_was_aborted_is_forgotten_and_stays_aborted() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    cluster.run(500);
    let ticket = cluster.submit(0, Class::X, &["k"], "take");
    let is_prep = |envelope: &&Envelope| matches!(envelope.message, Message::Prep { .. });
    let prep = cluster.wire.iter().find(is_prep).expect("a PREP").clone();
    for _ in 0..60 {
        cluster.deliver_but(|message| matches!(message, Message::Ack { .. }));
        cluster.now += 50;
        (0..3).for_each(|node| cluster.input(node, Input::Tick));
    }
    cluster.run(500);
    assert_eq!(cluster.replies[&ticket], Err(ClientError::Aborted));
    let receiver = prep.to.0;
    cluster.wire.push_back(prep);
    cluster.deliver_all();
    assert!(cluster.node(receiver).copy_of(&key("k")).is_some_and(|copy| copy.prepared.is_none()));
    for node in 0..3 {
        assert_eq!(cluster.node(node).records(), 0, "at {node}");
    }
    assert_eq!(cluster.take(1, "k"), Ok("n0".into()));
}

/// Clients block for long: the owner hears of them now and then. One whose wake was lost hears of it in the end.
#[test]
pub(crate) fn waits_are_registered_again_less_and_less_often() {
    let mut cluster = Cluster::new(2);
    for node in 0..2 {
        cluster.add(node, "k", "word").expect("add");
    }
    assert_eq!(cluster.take(0, "k"), Ok("word".into()));
    cluster.input(1, Input::Wait { ticket: 900, key: key("k") });
    let mut messages = 0;
    for _ in 0..1_200 {
        cluster.now += 50;
        (0..2).for_each(|node| cluster.input(node, Input::Tick));
        let is_wait = |envelope: &&Envelope| matches!(envelope.message, Message::WaitFor { .. });
        messages += cluster.wire.iter().filter(is_wait).count();
        cluster.deliver_all();
    }
    assert!(messages < 15, "{messages} in a minute");
    cluster.submit(0, Class::W, &["k"], "add again");
    cluster.deliver_but(|message| matches!(message, Message::Wake { .. }));
    assert_eq!(cluster.woken, []);
    cluster.run(15_000);
    assert_eq!(cluster.woken, [900]);
}

/// The owner of a key that stands still has as many operations of its own clients as it may have: of those of another node
/// it takes that one's share.
#[test]
pub(crate) fn an_owner_takes_a_share_of_operations_from_each_node() {
    let mut cluster = Cluster::with(3, |config| config.limits.ops_max = 6);
    for node in 0..3 {
        cluster.add(node, "k", "word").expect("add");
    }
    let owner = cluster.owners("k")[0].0;
    let other = (owner + 1) % 3;
    let submit = |cluster: &mut Cluster, node: u8, word: u32| {
        let ticket = cluster.submit(node, Class::W, &["k"], &format!("add {node}{word}"));
        cluster.deliver_but(|message| matches!(message, Message::Ack { .. }));
        ticket
    };
    let mut tickets: Vec<u64> = (0..6).map(|word| submit(&mut cluster, owner, word)).collect();
    tickets.extend((0..6).map(|word| submit(&mut cluster, other, word)));
    assert_eq!(cluster.node(owner).unfinished().0, 8);
    cluster.run(3_000);
    for ticket in tickets {
        assert!(cluster.replies[&ticket].is_ok(), "{:?}", cluster.replies[&ticket]);
    }
    cluster.assert_converged();
}

/// All hold a batch that its coordinator wants to take back, and none hears of that: they go on without it.
#[test]
pub(crate) fn what_was_not_taken_back_everywhere_is_in_doubt() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    assert_eq!(cluster.take(0, "k"), Ok("n0".into()));
    let take = cluster.submit(0, Class::X, &["k"], "take");
    let is_lost = |message: &Message| matches!(message, Message::Ack { .. } | Message::Abort { .. });
    cluster.run_but(8_000, is_lost);
    let reply = cluster.replies.get(&take).cloned();
    cluster.crash(0);
    cluster.run(45_000);
    assert_eq!(cluster.read(1, "k"), Ok("n2".into()), "the others have settled it as committed");
    assert_eq!(reply, Some(Err(ClientError::InDoubt)));
}

/// One that node 0 has applied and one that node 1 has sent there, when views are tried for longer than an operation takes
/// and none of them comes about.
#[test]
pub(crate) fn a_write_that_may_have_been_applied_waits_for_its_answer() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.op(node, Class::W, &["k"], "more 1").expect("more");
    }
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    let tickets = [0, 1].map(|node| cluster.submit(node, Class::W, &["k"], "more 10"));
    cluster.deliver_but(|message| matches!(message, Message::Inv { .. } | Message::Answered { .. }));
    for _ in 0..16 {
        cluster.attempt(2, &[0, 1, 2]);
        cluster
            .run_but(500, |message| !matches!(message, Message::Heartbeat { .. } | Message::Collect { .. }));
    }
    assert!(tickets.iter().all(|ticket| !cluster.replies.contains_key(ticket)), "{:?}", cluster.replies);
    cluster.run(4_000);
    for ticket in tickets {
        assert!(cluster.replies[&ticket].is_ok(), "{:?}", cluster.replies[&ticket]);
    }
    assert_eq!(cluster.read(2, "k"), Ok("#23".into()));
    // It does not wait for ever.
    let ticket = cluster.submit(1, Class::W, &["k"], "more 10");
    cluster.deliver_but(|message| matches!(message, Message::Answered { .. }));
    for _ in 0..130 {
        cluster.attempt(2, &[0, 1, 2]);
        cluster
            .run_but(500, |message| !matches!(message, Message::Heartbeat { .. } | Message::Collect { .. }));
    }
    assert_eq!(cluster.replies.get(&ticket), Some(&Err(ClientError::InDoubt)));
}

/// The node begins one operation again with each step. Those that come meanwhile tell the owner below which number all are
/// answered.
#[test]
pub(crate) fn what_is_left_over_from_an_earlier_view_is_not_answered_yet() {
    let mut cluster = Cluster::with(2, |config| config.limits.walk_max = 1);
    for node in 0..2 {
        cluster.add(node, "k", &format!("n{node}")).expect("add");
    }
    assert_eq!(cluster.owners("k"), [NodeId(0)]);
    let tickets = ["first", "second"].map(|word| cluster.submit(1, Class::W, &["k"], &format!("add {word}")));
    cluster.wire.clear();
    cluster.attempt(0, &[0, 1]);
    cluster.deliver_all();
    let is_answered = |cluster: &Cluster, ticket: u64| cluster.replies.contains_key(&ticket);
    assert_eq!(tickets.map(|ticket| is_answered(&cluster, ticket)), [true, false]);
    let third = cluster.submit(1, Class::W, &["k"], "add third");
    cluster.deliver_all();
    assert!(is_answered(&cluster, third));
    cluster.run(2_000);
    assert!(cluster.replies[&tickets[1]].is_ok(), "{:?}", cluster.replies[&tickets[1]]);
    assert_eq!(cluster.read(0, "k"), Ok("first n0 n1 second third".into()));
}

/// A counter that all sides of a partition would go on with gives the same number twice.
#[test]
pub(crate) fn writes_on_a_key_of_a_pattern_are_decided_once() {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.op(node, Class::W, &["once"], "more 1").expect("all are here");
    }
    // A key that only one node holds, and that is written without asking anybody.
    cluster.op(2, Class::W, &["once alone"], "more 1").expect("it has a lease");
    cluster.run(5_000);
    assert!(cluster.node(2).copy_of(&key("once alone")).is_some_and(|copy| copy.is_solo()));
    cluster.partition(&[&[0, 1], &[2]]);
    cluster.run(12_000);
    for name in ["once", "once alone"] {
        assert_eq!(cluster.op(2, Class::W, &[name], "more 1"), Err(ClientError::Unreachable));
        let alone = cluster
            .nodes
            .get_mut(&NodeId(2))
            .is_some_and(|node| node.write_alone(&key(name), Class::W, true));
        assert!(!alone, "{name} is written by a node that has no lease");
    }
    assert_eq!(cluster.op(0, Class::W, &["once"], "more 1"), Err(ClientError::Unreachable));
    cluster.run(30_000);
    cluster.op(0, Class::W, &["once"], "more 1").expect("the one that is missing is expired");
    cluster.heal();
    cluster.run(10_000);
    assert_eq!(cluster.read(2, "once"), Ok("#4".into()));
}

/// One side has its time to live made longer, which the other one has not heard.
#[test]
pub(crate) fn a_key_that_is_decided_once_is_not_expired_on_one_side() {
    let mut cluster = Cluster::new(3);
    for name in ["once", "often"] {
        for node in 0..3 {
            cluster.op(node, Class::W, &[name], "add mortal").expect("all are here");
        }
        assert_eq!(cluster.owners(name), [NodeId(0)]);
    }
    cluster.partition(&[&[0], &[1, 2]]);
    cluster.run(3_000);
    // They are regrouped in the view that node 0 is alone in.
    for name in ["once", "often"] {
        assert_eq!(cluster.read(0, name), Ok("mortal".into()));
        cluster.input(0, Input::Expire(key(name)));
    }
    cluster.deliver_all();
    assert_eq!(cluster.read(0, "often"), Ok(String::new()));
    assert_eq!(cluster.read(0, "once"), Ok("mortal".into()));
    cluster.heal();
    cluster.run(5_000);
    assert_eq!(cluster.read(1, "once"), Ok("mortal".into()));
    let owner = cluster.owners("once")[0];
    cluster.input(owner.0, Input::Expire(key("once")));
    cluster.deliver_all();
    assert_eq!(cluster.read(1, "once"), Ok(String::new()));
}

/// As in Redis Cluster, where such a command is sent in parts: no key waits for another one.
#[test]
pub(crate) fn a_write_on_several_keys_may_go_for_each_by_itself() {
    let mut cluster = Cluster::with(3, |config| config.multi_key = MultiKey::Each);
    for (node, name) in [(0, "a"), (1, "b"), (2, "b")] {
        cluster.add(node, name, "old").expect("add");
    }
    assert_eq!(cluster.op(0, Class::W, &["a", "b", "c"], "add w"), Ok("OK OK OK".into()));
    assert_eq!(
        cluster.op(1, Class::X, &["a", "b"], "swap x"),
        Ok("old w".into()),
        "what is decided once is so"
    );
    assert_eq!(cluster.op(2, Class::W, &["a", "b"], "swap y"), Ok("x".into()), "and what cannot be divided");
    // The owner of one of them does not answer: the client is told when that has it as well.
    cluster.run(1_000);
    let owner = cluster.owners("b")[0].0;
    let other = (0..3).find(|node| *node != owner).expect("another");
    cluster.add(other, "a", "z").expect("add");
    let write = cluster.submit(other, Class::W, &["a", "b"], "add late");
    cluster.deliver_but(|message| matches!(message, Message::Forward(_)));
    assert_eq!(cluster.replies.get(&write), None);
    cluster.run(3_000);
    assert!(matches!(cluster.replies.get(&write), Some(Ok(_))), "{:?}", cluster.replies.get(&write));
    for name in ["a", "b"] {
        assert!(cluster.read(owner, name).expect("read").contains("late"), "{name}");
    }
    // On a side where nothing could be decided once.
    cluster.partition(&[&[owner], &[(owner + 1) % 3, (owner + 2) % 3]]);
    cluster.run(3_000);
    assert_eq!(cluster.op(owner, Class::W, &["a", "b"], "add cut"), Ok("OK OK".into()));
    assert_eq!(cluster.op(owner, Class::X, &["a", "b"], "swap x"), Err(ClientError::Unreachable));
    cluster.heal();
    cluster.run(3_000);
    assert_eq!(cluster.node(0).unfinished(), (0, 0, 0));
    cluster.assert_converged();
}

/// One of two keys is decided once, and its holders are not all here: the other one has its share.
#[test]
pub(crate) fn a_write_that_some_of_its_keys_have_is_not_refused_cleanly() {
    let mut cluster = Cluster::with(2, |config| config.multi_key = MultiKey::Each);
    for name in ["k", "once"] {
        cluster.add(0, name, "old").expect("add");
        cluster.read(1, name).expect("read");
    }
    cluster.partition(&[&[0], &[1]]);
    cluster.run(3_000);
    assert_eq!(cluster.op(0, Class::W, &["once"], "add w"), Err(ClientError::Unreachable));
    assert_eq!(cluster.op(0, Class::W, &["k", "once"], "add w"), Err(ClientError::InDoubt));
    assert_eq!(cluster.read(0, "k"), Ok("old w".into()));
    cluster.heal();
    cluster.run(3_000);
    assert_eq!(cluster.read(1, "once"), Ok("old".into()));
    cluster.assert_converged();
}

/// Clients wait for a key at nodes 1, 2 and 0 of three, in this order. Who owns it.
fn three_in_line() -> (Cluster, u8) {
    let mut cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.read(node, "k").expect("read");
    }
    for (node, ticket) in [(1, 901), (2, 902), (0, 903)] {
        cluster.input(node, Input::Wait { ticket, key: key("k") });
        cluster.run(100);
    }
    let owner = cluster.owners("k")[0].0;
    (cluster, owner)
}

/// A node adds an element, and the client that waits at another one with this ticket is woken and takes it.
fn serve(cluster: &mut Cluster, by: u8, node: u8, word: &str, ticket: u64) {
    cluster.add(by, "k", word).expect("add");
    cluster.deliver_all();
    assert_eq!(cluster.woken.last(), Some(&ticket));
    let claim = cluster.claim(node, "k", ticket);
    cluster.deliver_all();
    assert_eq!(cluster.told(claim), Some(Ok(word.into())));
}

/// Other clients ask for the element, at the owner and elsewhere, before the one that waits for it has heard that it is there.
#[test]
pub(crate) fn who_waits_is_served_before_who_comes_later() {
    let (mut cluster, owner) = three_in_line();
    let push = cluster.submit(owner, Class::W, &["k"], "add a");
    let wakes = |message: &Message| matches!(message, Message::Wake { .. });
    while let Some(next) = cluster.wire.iter().position(|envelope| !wakes(&envelope.message)) {
        let envelope = cluster.wire.remove(next).expect("it is there");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    assert_eq!(cluster.told(push), Some(Ok("OK".into())));
    let late: Vec<u64> = (0..3).map(|node| cluster.submit(node, Class::X, &["k"], "take")).collect();
    cluster.deliver_all();
    assert_eq!(cluster.woken, [901]);
    assert!(late.iter().all(|ticket| cluster.told(*ticket).is_none()));
    let claim = cluster.claim(1, "k", 901);
    cluster.deliver_all();
    assert_eq!(cluster.told(claim), Some(Ok("a".into())));
    assert!(late.iter().all(|ticket| cluster.told(*ticket) == Some(Ok(String::new()))), "they found nothing");
    for (node, word, ticket) in [(2, "b", 902), (0, "c", 903)] {
        serve(&mut cluster, 1, node, word, ticket);
    }
    cluster.run(3_000);
    cluster.assert_converged();
}

/// Clients wait at each of three nodes when the token moves, because an operation on several keys goes to another node.
#[test]
pub(crate) fn a_line_goes_with_the_token() {
    let (mut cluster, owner) = three_in_line();
    let other = (owner + 1) % 3;
    cluster.add(other, "own", "word").expect("add");
    assert_eq!(cluster.op(other, Class::X, &["k", "own"], "take"), Ok("word".into()));
    assert_eq!(cluster.owners("k")[0].0, other);
    for (node, word, ticket) in [(1, "a", 901), (2, "b", 902), (0, "c", 903)] {
        serve(&mut cluster, other, node, word, ticket);
    }
    cluster.run(3_000);
    cluster.assert_converged();
}

/// A client is gone when it is woken, or is served by another key, or its node says nothing: the next in line gets the element.
#[test]
pub(crate) fn who_is_gone_takes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.add(0, "k", "first").expect("add");
    for node in 0..3 {
        cluster.read(node, "k").expect("read");
    }
    cluster.take(0, "k").expect("take");
    let owner = cluster.owners("k")[0].0;
    let (one, other) = ((owner + 1) % 3, (owner + 2) % 3);
    for (node, ticket) in [(one, 901), (one, 902), (one, 903), (other, 904)] {
        cluster.input(node, Input::Wait { ticket, key: key("k") });
        cluster.run(100);
    }
    // It goes when the wake is on its way.
    cluster.input(owner, Input::Client(push("a")));
    let wakes = |message: &Message| matches!(message, Message::Wake { .. });
    while let Some(next) = cluster.wire.iter().position(|envelope| !wakes(&envelope.message)) {
        let envelope = cluster.wire.remove(next).expect("it is there");
        cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
    }
    cluster.input(one, Input::CancelWait { ticket: 901 });
    let late = cluster.submit(owner, Class::X, &["k"], "take");
    cluster.deliver_all();
    assert_eq!(cluster.woken, [902]);
    // That one is served by another key.
    cluster.input(one, Input::CancelWait { ticket: 902 });
    cluster.deliver_all();
    assert_eq!(cluster.woken, [902, 903]);
    assert_eq!(cluster.told(late), None);
    // And of that one nothing is heard.
    for _ in 0..100 {
        if cluster.woken.len() < 3 {
            cluster.run(50);
        }
    }
    assert_eq!(cluster.woken, [902, 903, 904]);
    let claim = cluster.claim(other, "k", 904);
    cluster.deliver_all();
    assert_eq!((cluster.told(claim), cluster.told(late)), (Some(Ok("a".into())), Some(Ok(String::new()))));
    cluster.run(3_000);
    cluster.assert_converged();
}

fn push(word: &str) -> Request {
    let (keys, command) = (vec![key("k")], format!("add {word}").as_str().into());
    let (watches, local_read, watch) = (Vec::new(), false, false);
    Request { ticket: 1_000_000, class: Class::W, keys, command, watches, local_read, watch, claims: None }
}
