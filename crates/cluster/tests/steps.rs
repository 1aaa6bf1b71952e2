//! What one step of the core may cost when views change, counted by an allocator: how often it is asked for memory or given
//! some back, and how much that is. Nothing is walked, moved or dropped as a whole if that does not grow with the keys.
//!
//! An allocator cannot be written without unsafe code.

#![allow(unsafe_code, reason = "an allocator that counts")]

mod ordered;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use ordered::Nodes;
use swytch_cluster::*;

struct Counting;

static SPENT: AtomicU64 = AtomicU64::new(0);

/// A call counts as much as so many bytes.
const CALL: u64 = 64;

fn spend(size: usize) {
    SPENT.fetch_add(CALL + size as u64, Ordering::Relaxed);
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        spend(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        spend(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A phase, what its most expensive step has spent, and which that was.
type Phase = (&'static str, u64, String);

/// Nodes whose steps are counted from now on, and what their phases have come to.
struct Metered {
    nodes: Nodes,
    found: Vec<Phase>,
}

impl Metered {
    /// Three of them, of which one holds all keys.
    fn holding(holder: NodeId, keys: &[Key]) -> Metered {
        let mut nodes = Nodes::new(3);
        for key in keys {
            nodes.ask(holder, Class::W, key, b"set");
            nodes.deliver();
        }
        nodes.run(5_000);
        nodes.meter = Some(|| SPENT.load(Ordering::Relaxed));
        nodes.measure();
        Metered { nodes, found: Vec::new() }
    }

    /// Goes on for so many milliseconds, with which a phase ends.
    fn run(&mut self, time_ms: u64, what: &'static str) {
        self.nodes.run(time_ms);
        let (spent, step) = std::mem::take(&mut self.nodes.spent_most);
        self.found.push((what, spent, step));
    }
}

fn keys(count: u32) -> Vec<Key> {
    (0..count).map(|number| Key::new(format!("{{{}}}{number}", number % 64).as_bytes())).collect()
}

/// What the most expensive step spends in each phase with so many keys, all of which one node holds at first.
fn phases(count: u32) -> Vec<Phase> {
    let (first, last) = (NodeId(0), NodeId(2));
    let mut metered = Metered::holding(first, &keys(count));
    metered.nodes.attempt(last, NodeSet::only(last));
    metered.run(10_000, "members come from different views");
    for (node, gone, back) in [
        (last, "one is out of reach, and expired", "it comes back"),
        (first, "the one with the keys is expired", "it comes back with them"),
    ] {
        metered.nodes.cut = Some(node);
        metered.run(40_000, gone);
        metered.nodes.cut = None;
        metered.run(10_000, back);
    }
    metered.run(40_000, "all is as before");
    metered.found
}

/// What one may spend, of bytes and calls: several times what it does for each of the keys that it looks at.
const SPENT_MAX: u64 = 2_500_000;

/// The same with so many operations that are open, all of one node's clients, on keys that another one holds.
fn phases_with_operations(count: u32) -> Vec<Phase> {
    let (holder, asker) = (NodeId(0), NodeId(1));
    let keys = keys(count);
    let mut metered = Metered::holding(holder, &keys);
    metered.nodes.cut = Some(holder);
    let tickets: Vec<u64> = keys.iter().map(|key| metered.nodes.ask(asker, Class::W, key, b"set")).collect();
    metered.run(1_000, "they come");
    metered.run(4_000, "the view changes");
    metered.nodes.cut = None;
    metered.run(2_000, "it changes once more");
    metered.run(20_000, "they are over");
    let has_answer = |ticket| metered.nodes.answer(ticket).is_some();
    assert!(tickets.into_iter().all(has_answer), "an operation has no answer");
    metered.found
}

/// One test, because all that this process does is counted.
#[test]
fn no_step_costs_more_with_more_keys_or_operations() {
    for count in [4_000, 16_000] {
        for (what, spent, step) in phases(count).into_iter().chain(phases_with_operations(count)) {
            assert!(spent <= SPENT_MAX, "{count}, {what}: {spent} for {step}");
        }
    }
}
