//! How long the longest step of the core takes when the view changes, at nodes with many keys: the first of three nodes
//! holds all of them alone. Prints milliseconds; the argument is the number of keys.

#[path = "../tests/ordered/mod.rs"]
mod ordered;

use ordered::Nodes;
use swytch_cluster::*;

fn main() {
    let count: u32 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(300_000);
    let (first, last) = (NodeId(0), NodeId(2));
    let mut nodes = Nodes::new(3);
    for number in 0..count {
        nodes.ask(first, Class::W, &Key::new(format!("k{number}").as_bytes()), b"set");
        nodes.deliver();
    }
    nodes.run(5_000);
    let tell = |what: &str, nodes: &mut Nodes| {
        println!("{what}: {:.2} ms, {} keys", nodes.longest_ns as f64 / 1e6, nodes.looked_most);
        nodes.measure();
    };
    tell("before", &mut nodes);
    nodes.attempt(last, NodeSet::only(last));
    nodes.run(10_000);
    tell("members come from different views", &mut nodes);
    nodes.cut = Some(last);
    nodes.run(40_000);
    tell("one is expired", &mut nodes);
    nodes.cut = None;
    nodes.run(10_000);
    tell("and comes back", &mut nodes);
    nodes.cut = Some(first);
    nodes.run(40_000);
    tell("the one with the keys is expired", &mut nodes);
    nodes.cut = None;
    nodes.run(10_000);
    tell("and comes back", &mut nodes);
}
