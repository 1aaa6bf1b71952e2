//! Folding changes no state and no merge: random executions, each replayed with and without it. Stretches that are
//! folded are those that no other side has seen in part, as the protocol guarantees.

use std::rc::Rc;

use super::laws::{Execution, Happened, Step, base, cases, step};
use super::*;

/// What a side did, in order.
#[derive(Clone, Debug)]
enum Event {
    Write(Origin, Effect),
    /// Another side has taken this one in as it was here.
    Seen,
    Merge(Rc<Vec<Event>>),
}

/// Runs an execution and gives the history of each side.
fn histories(base: &Option<Object>, replicas: usize, steps: &[Step]) -> Vec<Vec<Event>> {
    let mut execution = Execution::new(base, replicas);
    let mut events: Vec<Vec<Event>> = vec![Vec::new(); replicas];
    for step in steps {
        match execution.take(step) {
            Happened::Wrote { replica, effect } => {
                events[replica].push(Event::Write(execution.sides[replica].last_origin(), effect));
            }
            Happened::Merged { into, from } => {
                events[from].push(Event::Seen);
                let seen = Rc::new(events[from].clone());
                events[into].push(Event::Merge(seen));
            }
            Happened::Nothing => {}
        }
    }
    events
}

/// Replays a history; `folds` chooses by the first write of a stretch whether it is folded.
fn replay(base: &Option<Object>, events: &[Event], folds: &impl Fn(Dot) -> bool) -> Forked {
    let mut forked = Forked::new(base.clone());
    let mut stretch: Vec<(Origin, Effect)> = Vec::new();
    let finish = |forked: &mut Forked, stretch: &mut Vec<(Origin, Effect)>| {
        let run = std::mem::take(stretch);
        let wanted = run.first().is_some_and(|(origin, _)| folds(origin.dot));
        let placed = if wanted { fold(forked, &run) } else { None };
        let all = || run.iter().enumerate().map(|(at, (_, effect))| (at, effect.clone())).collect();
        for (at, effect) in placed.unwrap_or_else(all) {
            forked.apply(run[at].0, &effect).expect("what was folded fits");
        }
    };
    for event in events {
        match event {
            Event::Write(origin, effect) => stretch.push((*origin, effect.clone())),
            Event::Seen => finish(&mut forked, &mut stretch),
            Event::Merge(other) => {
                finish(&mut forked, &mut stretch);
                forked.merge(replay(base, other, folds).log());
            }
        }
    }
    finish(&mut forked, &mut stretch);
    forked
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn folding_changes_no_state_and_no_merge(
        base in base(),
        steps in prop::collection::vec(step(3), 1..60),
        chosen in any::<u64>(),
    ) {
        let events = histories(&base, 3, &steps);
        let some = |dot: Dot| chosen >> ((dot.side.hash * 7 + dot.sequence) % 64) & 1 == 1;
        let mut plain = Vec::new();
        let mut folded = Vec::new();
        for history in &events {
            plain.push(replay(&base, history, &|_| false));
            for replayed in [replay(&base, history, &|_| true), replay(&base, history, &some)] {
                prop_assert_eq!(replayed.state(), plain[plain.len() - 1].state(), "{:#?}", history);
            }
            folded.push(replay(&base, history, &some));
        }
        for (into, from) in [(0, 1), (1, 0), (0, 2), (2, 1)] {
            let (mut expected, mut merged) = (plain[into].clone(), folded[into].clone());
            expected.merge(plain[from].log());
            merged.merge(folded[from].log());
            prop_assert_eq!(merged.state(), expected.state());
            expected.merge(plain[3 - into - from].log());
            merged.merge(folded[3 - into - from].log());
            prop_assert_eq!(merged.state(), expected.state());
        }
    }
}

/// Plays `writes` on one side, folding what has doubled since, and gives what is left of the log and the fork.
fn play(
    base: Option<Object>,
    writes: u64,
    write: impl Fn(u64, Option<&Object>) -> Effect,
) -> (usize, Forked) {
    let before = Forked::new(base);
    let (mut state, mut log, mut kept) = (before.state.clone(), Vec::new(), 0);
    for number in 0..writes {
        let effect = write(number, state.as_ref());
        effect.apply(&mut state).expect("the effect fits");
        let dot = Dot { side: side(1), sequence: number + 1 };
        log.push((Origin { dot, stamp: Stamp { physical_ms: 2 * number, logical: 0, node: 1 } }, effect));
        if log.len() >= 64.max(2 * kept) {
            if let Some(folded) = fold(&before, &log) {
                log = folded.into_iter().map(|(at, effect)| (log[at].0, effect)).collect();
            }
            kept = log.len();
        }
    }
    let mut forked = before;
    for (origin, effect) in &log {
        forked.apply(*origin, effect).expect("what was folded fits");
    }
    assert_eq!(forked.state(), state.as_ref());
    (log.len(), forked)
}

/// A partition in which a hundred thousand writes hit few cells: the log stays at a small multiple of the cells, and
/// the merge with another side is what it should be.
#[test]
fn a_log_grows_with_the_cells() {
    let writes = 100_000;
    let other = |base: &Option<Object>, effects: &[Effect]| {
        let mut other = Replica::new(base, 2);
        effects.iter().for_each(|effect| drop(other.apply(effect).expect("the effect fits")));
        other
    };
    let merge = |mut forked: Forked, other: Replica| {
        forked.merge(other.forked.log());
        forked.state.map(|object| object.value)
    };

    let (left, forked) = play(text("7"), writes, |_, _| Effect::Add(3));
    assert!(left <= 64, "{left} increments");
    let by_five = other(&text("7"), &[Effect::Add(5)]);
    assert_eq!(merge(forked, by_five), Some(Value::String(bytes("300012"))));

    let (left, forked) = play(text("7"), writes, |number, _| Effect::Set(bytes(&number.to_string())));
    assert!(left <= 64, "{left} SETs");
    let earlier = other(&text("7"), &[Effect::Set(bytes("x"))]);
    assert_eq!(merge(forked, earlier), Some(Value::String(bytes("99999"))));

    let fields = hash(&[("0", "1")]);
    let (left, forked) =
        play(fields.clone(), writes, |number, _| Effect::HashAdd(bytes(&(number % 50).to_string()), 1));
    assert!(left <= 128, "{left} increments of 50 fields");
    let Some(Value::Hash(merged)) = merge(forked, other(&fields, &[Effect::HashAdd(bytes("0"), 10)])) else {
        panic!("the hash is gone")
    };
    assert_eq!(
        (merged.len(), &merged[&bytes("0")], &merged[&bytes("49")]),
        (50, &bytes("2011"), &bytes("2000"))
    );

    // A queue of some ten jobs: each is pushed, and popped a little later.
    let queue = list(&["b0", "b1"]);
    let (left, forked) = play(queue.clone(), writes, |number, state| {
        let length = match state.map(|object| &object.value) {
            Some(Value::List(elements)) => elements.len(),
            _ => 0,
        };
        let full = number % 20 >= 10;
        if full && length > 3 {
            Effect::ListRemove(0)
        } else {
            Effect::ListPush(End::Tail, bytes(&number.to_string()))
        }
    });
    assert!(left <= 128, "{left} pushes and pops");
    let Some(Value::List(here)) = forked.state().map(|object| object.value.clone()) else {
        panic!("the queue is gone")
    };
    let pushed = other(&queue, &[Effect::ListRemove(1), Effect::ListPush(End::Tail, bytes("y"))]);
    let mut expected = vec![bytes("y")];
    expected.extend(here);
    assert_eq!(merge(forked, pushed), Some(Value::List(expected)));
}
