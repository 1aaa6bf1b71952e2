//! Twins: keys that their home does not tell from each other, because slot and hash are the same.

use swytch_cluster::*;

use super::support::{Cluster, key};

const A: &str = "twin-t-0";
const B: &str = "twin-t-1";

/// The home of the twins and the other nodes of three.
fn nodes(cluster: &Cluster) -> (u8, u8, u8) {
    let home = cluster.node(0).home_of(&key(A)).expect("a home").0;
    (home, (home + 1) % 3, (home + 2) % 3)
}

#[test]
pub(crate) fn twins_are_keys_of_their_own() {
    let mut cluster = Cluster::new(3);
    assert!(key(A).is_twin_of(&key(B)));
    let (home, one, other) = nodes(&cluster);
    for (node, name, word) in [(one, A, "a"), (other, B, "b"), (home, A, "c"), (home, B, "d")] {
        cluster.add(node, name, word).expect("add");
        cluster.run(2_500);
    }
    assert_eq!((0..3).map(|node| cluster.node(node).known()).sum::<usize>(), 1);
    for node in 0..3 {
        assert_eq!(cluster.read(node, A), Ok("a c".into()), "at {node}");
        assert_eq!(cluster.read(node, B), Ok("b d".into()), "at {node}");
    }
    cluster.run(2_000);
    cluster.assert_converged();
    for name in [A, B] {
        assert_eq!(
            cluster.op(one, Class::X, &[name], "swap "),
            Ok(if name == A { "a c" } else { "b d" }.into())
        );
    }
    cluster.run(15_000);
    assert!((0..3).all(|node| cluster.node(node).known() == 0 && cluster.node(node).keys().is_empty()));
}

/// Whoever deletes a key, or is asked for one that it has not, does not let the home forget what it has of a twin.
#[test]
pub(crate) fn a_home_does_not_forget_a_key_when_its_twin_goes() {
    let mut cluster = Cluster::new(3);
    let (_, holder, other) = nodes(&cluster);
    for name in [A, B] {
        cluster.add(holder, name, "word").expect("add");
    }
    cluster.run(2_500);
    assert_eq!(cluster.take(holder, B), Ok("word".into()));
    cluster.run(500);
    cluster.add(other, A, "more").expect("add");
    assert_eq!(cluster.owners(A).len(), 1);
    assert_eq!(cluster.read(holder, A), Ok("more word".into()));
}

#[test]
pub(crate) fn a_home_does_not_forget_a_key_when_it_asks_for_its_twin() {
    let mut cluster = Cluster::new(3);
    let (home, holder, other) = nodes(&cluster);
    cluster.add(holder, A, "word").expect("add");
    cluster.run(2_500);
    cluster.add(home, B, "twin").expect("add");
    cluster.add(other, A, "more").expect("add");
    assert_eq!(cluster.owners(A).len(), 1);
    assert_eq!(cluster.read(holder, A), Ok("more word".into()));
}

/// Hands over all messages but those that are to be kept, which come back. The node `still` sends no touches.
fn deliver_around(cluster: &mut Cluster, still: u8, kept: impl Fn(&Envelope) -> bool) -> Vec<Envelope> {
    let mut caught = Vec::new();
    while let Some(envelope) = cluster.wire.pop_front() {
        if kept(&envelope) {
            caught.push(envelope);
        } else if envelope.from != NodeId(still) || !matches!(envelope.message, Message::Touch { .. }) {
            cluster.input(envelope.to.0, Input::Message(Box::new(envelope)));
        }
    }
    caught
}

/// A node may create `A`, and the permission takes long. Meanwhile it is asked for `B`.
#[test]
pub(crate) fn a_home_does_not_forget_who_may_create_a_twin() {
    let mut cluster = Cluster::with(3, |config| config.limits.leases_max = 0);
    let (home, late, first) = nodes(&cluster);
    let ticket = cluster.submit(late, Class::W, &[A], "add late");
    let permission =
        deliver_around(&mut cluster, home, |envelope| matches!(envelope.message, Message::Create { .. }));
    assert_eq!(permission.len(), 1);
    cluster.submit(first, Class::W, &[B], "add twin");
    deliver_around(&mut cluster, late, |_| false);
    assert_eq!(cluster.owners(B).len(), 1);
    cluster.wire.extend(permission);
    cluster.deliver_but(|message| matches!(message, Message::Owned { .. }));
    cluster.attempt(home, &[0, 1, 2]);
    cluster.run(200);
    cluster.add(first, A, "first").expect("add");
    cluster.run(500);
    assert!(cluster.replies[&ticket].is_ok());
    assert_eq!(cluster.owners(A).len(), 1);
    assert_eq!(cluster.read(late, A), Ok("first late".into()));
}

/// A node asks for `A` to read it, and the value takes long. Meanwhile it is asked for `B`.
#[test]
pub(crate) fn a_home_does_not_forget_who_is_to_read_a_twin() {
    let mut cluster = Cluster::with(3, |config| config.limits.leases_max = 0);
    let (home, holder, reader) = nodes(&cluster);
    cluster.add(holder, A, "word").expect("add");
    cluster.run(200);
    let is_value = |envelope: &Envelope| matches!(envelope.message, Message::Align { .. });
    cluster.submit(reader, Class::Read, &[A], "list");
    let value = deliver_around(&mut cluster, home, is_value);
    assert_eq!(value.len(), 1);
    let twin = cluster.submit(home, Class::W, &[B], "add twin");
    while !cluster.replies.contains_key(&twin) {
        deliver_around(&mut cluster, reader, is_value);
        cluster.now += 50;
        [home, holder].into_iter().for_each(|node| cluster.input(node, Input::Tick));
    }
    cluster.wire.extend(value);
    cluster.run(1_000);
    assert_eq!(cluster.read(reader, A), Ok("word".into()));
    cluster.crash(holder);
    cluster.run(6_000);
    cluster.add(home, A, "more").expect("add");
    assert_eq!(cluster.read(reader, A), Ok("more word".into()));
    assert_eq!(cluster.owners(A).len(), 1);
}
