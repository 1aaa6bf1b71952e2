//! How long the longest step of the core takes when the view changes, at nodes with many keys: the first of three nodes
//! holds all of them alone. They are in so many slots as one of 256 partitions has, so 40,000 of them stand for ten million
//! of a node. Prints milliseconds; each step counts as in the best of several rounds, which are all alike, because what
//! else runs on the machine only ever adds to one. The arguments are the number of keys and of rounds.

#[path = "../tests/ordered/mod.rs"]
mod ordered;

use ordered::Nodes;
use swytch_cluster::*;

/// Slots of a partition, and how many partitions there are.
const SLOTS: usize = 64;
const PARTS: u16 = 256;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|number| number.parse().ok());
    let (count, rounds): (u32, u32) = (arguments.next().unwrap_or(40_000), arguments.next().unwrap_or(5));
    let slot = |tag: &u32| Key::new(format!("{{{tag}}}").as_bytes()).slot().part(PARTS) == 0;
    let tags: Vec<u32> = (0..).filter(slot).take(SLOTS).collect();
    let names: Vec<Key> = (0..count as usize)
        .map(|number| Key::new(format!("{{{}}}{number}", tags[number % SLOTS]).as_bytes()))
        .collect();
    let mut best: Vec<Phase> = round(&names);
    for _ in 1..rounds {
        for (known, phase) in best.iter_mut().zip(round(&names)) {
            assert_eq!(known.steps_ns.len(), phase.steps_ns.len(), "rounds are alike");
            known.steps_ns.iter_mut().zip(phase.steps_ns).for_each(|(best, step)| *best = step.min(*best));
        }
    }
    for Phase { what, steps_ns, looked } in best {
        let longest_ns = steps_ns.into_iter().max().unwrap_or_default();
        println!("{what}: {:.2} ms, {looked} keys", longest_ns as f64 / 1e6);
    }
}

/// What happens, how long each step takes, and the most keys that one looks at.
struct Phase {
    what: &'static str,
    steps_ns: Vec<u64>,
    looked: u64,
}

fn round(names: &[Key]) -> Vec<Phase> {
    let (first, last) = (NodeId(0), NodeId(2));
    let mut nodes = Nodes::new(3);
    for key in names {
        nodes.ask(first, Class::W, key, b"set");
        nodes.deliver();
    }
    nodes.run(5_000);
    let mut found = Vec::new();
    let mut tell = |what: &'static str, nodes: &mut Nodes| {
        let looked = nodes.looked_most;
        found.push(Phase { what, steps_ns: nodes.measure(), looked });
    };
    nodes.measure();
    nodes.run(5_000);
    tell("nothing happens", &mut nodes);
    nodes.attempt(last, NodeSet::only(last));
    nodes.run(10_000);
    tell("members come from different views", &mut nodes);
    nodes.cut = Some(last);
    nodes.run(40_000);
    tell("one is out of reach, and expired", &mut nodes);
    nodes.cut = None;
    nodes.run(10_000);
    tell("it comes back", &mut nodes);
    nodes.cut = Some(first);
    nodes.run(40_000);
    tell("the one with the keys is expired", &mut nodes);
    nodes.cut = None;
    nodes.run(10_000);
    tell("it comes back with them", &mut nodes);
    found
}
