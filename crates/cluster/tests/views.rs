//! What a new view costs: no step of the core looks at more than a constant number of keys, however many there are.

mod ordered;

use ordered::Nodes;
use swytch_cluster::*;

/// Several times as many as a step may look at.
const KEYS: u32 = 4_000;
/// A step may look at so many keys with a record and as many without; twins aside, which these keys are not.
const LOOKED_MAX: u64 = 1_024;

const FIRST: NodeId = NodeId(0);
const LAST: NodeId = NodeId(2);

fn keys() -> impl Iterator<Item = Key> {
    (0..KEYS).map(|number| Key::new(format!("k{number}").as_bytes()))
}

/// Three nodes of which the first holds all keys, and the second half of them as well if they are `shared`.
fn filled(shared: bool) -> Nodes {
    let mut nodes = Nodes::new(3);
    for (number, key) in keys().enumerate() {
        nodes.ask(FIRST, Class::W, &key, b"set");
        nodes.deliver();
        if shared && number % 2 == 0 {
            nodes.ask(NodeId(1), Class::Read, &key, b"get");
            nodes.deliver();
        }
    }
    nodes.run(10_000);
    let recorded = nodes.nodes[&FIRST].recorded();
    assert_eq!(recorded, if shared { KEYS as usize / 2 } else { 0 });
    nodes.measure();
    nodes
}

#[track_caller]
fn is_bounded(nodes: &Nodes) {
    assert!((100..=LOOKED_MAX).contains(&nodes.looked_most), "{} keys in one step", nodes.looked_most);
}

/// Some of the keys, by clients of each node.
#[track_caller]
fn are_found(nodes: &mut Nodes) {
    for (number, key) in keys().enumerate().step_by(97) {
        let ids: Vec<NodeId> = nodes.nodes.keys().copied().collect();
        assert!(nodes.finds(ids[number % ids.len()], &key), "{key:?}");
    }
}

#[test]
fn a_crash_costs_a_constant_number_of_keys_a_step() {
    for shared in [false, true] {
        let mut nodes = filled(shared);
        nodes.nodes.remove(&LAST);
        nodes.run(10_000);
        assert_eq!(nodes.nodes[&FIRST].view().members.len(), 2);
        is_bounded(&nodes);
        are_found(&mut nodes);
        let known: usize = nodes.nodes.values().map(Node::known).sum();
        assert_eq!(known, KEYS as usize, "homes know all keys");
    }
}

#[test]
fn members_that_come_from_different_views_cost_no_more() {
    let mut nodes = filled(false);
    nodes.attempt(LAST, NodeSet::only(LAST));
    nodes.run(20_000);
    assert_eq!(nodes.nodes[&FIRST].view().members.len(), 3);
    is_bounded(&nodes);
    are_found(&mut nodes);
    nodes.run(120_000);
    assert!(nodes.nodes[&FIRST].recorded() < 100, "{} records stay", nodes.nodes[&FIRST].recorded());
}

#[test]
fn a_node_that_was_expired_brings_its_keys_back_little_by_little() {
    for shared in [false, true] {
        let mut nodes = filled(shared);
        nodes.cut = Some(FIRST);
        nodes.run(40_000);
        assert_eq!(nodes.nodes[&LAST].view().base.nodes().len(), 2);
        nodes.cut = None;
        while nodes.nodes[&FIRST].view().members.len() < 3 {
            nodes.run(50);
        }
        // Its own clients do not wait until all are back.
        let last = keys().max_by_key(Key::mark).expect("keys");
        assert!(nodes.finds(FIRST, &last));
        assert!(nodes.nodes[&FIRST].unfinished().1 > 0);
        nodes.run(20_000);
        is_bounded(&nodes);
        assert_eq!(nodes.nodes[&FIRST].unfinished(), (0, 0, 0));
        are_found(&mut nodes);
    }
}

#[test]
fn a_flush_costs_no_more() {
    let mut nodes = filled(true);
    let flush = Request {
        ticket: u64::MAX,
        class: Class::Flush,
        keys: Vec::new(),
        command: Blob::new(b""),
        watches: Vec::new(),
        local_read: false,
        watch: false,
        claims: None,
    };
    nodes.input(LAST, Input::Client(flush));
    nodes.run(5_000);
    assert!(nodes.answer(u64::MAX).is_some_and(Result::is_ok));
    assert!(nodes.looked_most <= LOOKED_MAX, "{} keys in one step", nodes.looked_most);
    assert_eq!(nodes.nodes[&FIRST].recorded(), 0);
    assert!(!keys().step_by(97).any(|key| nodes.finds(FIRST, &key)));
}

#[test]
fn a_node_that_leaves_looks_at_some_keys_at_a_time() {
    let mut nodes = filled(true);
    nodes.input(FIRST, Input::Evacuate);
    // Meanwhile its clients go on.
    let late = Key::new(b"late");
    let mut asked = 0;
    while !nodes.evacuated {
        nodes.run(50);
        asked += 1;
        assert!(asked < 1_000, "it never ends");
        if asked == 3 {
            nodes.ask(FIRST, Class::W, &late, b"set");
        }
    }
    assert!(asked > 3);
    is_bounded(&nodes);
    nodes.input(FIRST, Input::Leave);
    nodes.run(100);
    nodes.nodes.remove(&FIRST);
    nodes.run(5_000);
    assert!(nodes.finds(LAST, &late));
    are_found(&mut nodes);
}
