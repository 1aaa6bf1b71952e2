//! The checker on histories whose verdict is known, and against exhaustive search on small random ones.

use std::collections::BTreeSet;

use super::{Limits, Model, Verdict, check};
use crate::check::Operation;
use crate::check::model::*;
use crate::rng::Rng;

fn done<I, O>(client: u32, input: I, output: O, invoked: u64, returned: u64) -> Operation<I, O> {
    Operation::completed(client, input, output, invoked, returned)
}

#[track_caller]
fn accepts<M: Model>(model: M, history: &[Operation<M::Input, M::Output>]) {
    let verdict = check(&model, history, Limits::default());
    assert!(verdict.is_ok(), "{verdict:?}");
}

#[track_caller]
fn refutes<M: Model>(model: M, history: &[Operation<M::Input, M::Output>]) {
    let verdict = check(&model, history, Limits::default());
    assert!(verdict.is_violation(), "{verdict:?}");
}

#[test]
fn an_empty_history_is_linearizable() {
    accepts(Register, &[]);
}

#[test]
fn a_concurrent_write_may_or_may_not_be_read() {
    use RegisterInput::*;
    use RegisterOutput::*;
    for seen in [None, Some(1)] {
        accepts(Register, &[done(0, Write(1), Written, 0, 10), done(1, Read, Value(seen), 2, 5)]);
    }
}

#[test]
fn a_stale_read_is_refuted() {
    use RegisterInput::*;
    use RegisterOutput::*;
    refutes(
        Register,
        &[
            done(0, Write(1), Written, 0, 1),
            done(0, Write(2), Written, 2, 3),
            done(1, Read, Value(Some(1)), 4, 5),
        ],
    );
}

#[test]
fn two_readers_may_not_see_a_write_appear_and_vanish() {
    use RegisterInput::*;
    use RegisterOutput::*;
    let write = done(0, Write(1), Written, 0, 20);
    accepts(
        Register,
        &[write.clone(), done(1, Read, Value(None), 1, 2), done(2, Read, Value(Some(1)), 3, 4)],
    );
    refutes(Register, &[write, done(1, Read, Value(Some(1)), 1, 2), done(2, Read, Value(None), 3, 4)]);
}

#[test]
fn two_winners_of_one_set_nx_are_refuted() {
    use RegisterInput::*;
    use RegisterOutput::*;
    let first = done(0, WriteIfAbsent(1), Done(true), 0, 10);
    accepts(Register, &[first.clone(), done(1, WriteIfAbsent(2), Done(false), 5, 15)]);
    refutes(Register, &[first, done(1, WriteIfAbsent(2), Done(true), 5, 15)]);
}

#[test]
fn an_open_operation_may_happen_late_or_never_but_not_before_its_call() {
    use RegisterInput::*;
    use RegisterOutput::*;
    let open = Operation::indeterminate(0, Write(9), 5);
    let read = |seen, at| done(1, Read, Value(seen), at, at + 1);
    accepts(Register, &[open.clone(), read(None, 10), read(None, 20)]);
    accepts(Register, &[open.clone(), read(None, 10), read(Some(9), 20)]);
    refutes(Register, &[open.clone(), read(Some(9), 10), read(None, 20)]);
    refutes(Register, &[open, read(Some(9), 1)]);
}

#[test]
fn an_operation_that_failed_cleanly_and_is_left_out_may_not_have_an_effect() {
    // INCR answered -UNREACHABLE is not in the history; the read that shows it has no explanation.
    refutes(
        Counter,
        &[
            done(0, CounterInput::Add(1), CounterOutput(1), 0, 1),
            done(1, CounterInput::Read, CounterOutput(2), 2, 3),
        ],
    );
}

#[test]
fn a_lost_increment_is_refuted() {
    let add = |client, value, invoked| {
        done(client, CounterInput::Add(1), CounterOutput(value), invoked, invoked + 10)
    };
    accepts(Counter, &[add(0, 2, 0), add(1, 1, 0), add(2, 3, 1)]);
    refutes(Counter, &[add(0, 1, 0), add(1, 1, 0)]);
}

#[test]
fn a_set_member_popped_twice_is_refuted() {
    use SetInput::*;
    let history = |second| {
        vec![
            done(0, Add(1), SetOutput::Done(true), 0, 1),
            done(0, Add(2), SetOutput::Done(true), 2, 3),
            done(1, Pop, SetOutput::Popped(Some(1)), 4, 9),
            done(2, Pop, SetOutput::Popped(Some(second)), 4, 9),
            done(2, Members, SetOutput::Members(BTreeSet::new()), 10, 11),
        ]
    };
    accepts(Set, &history(2));
    refutes(Set, &history(1));
}

#[test]
fn an_open_pop_may_have_taken_any_one_member() {
    use SetInput::*;
    let history = |left: &[u64]| {
        vec![
            done(0, Add(1), SetOutput::Done(true), 0, 1),
            done(0, Add(2), SetOutput::Done(true), 2, 3),
            Operation::indeterminate(1, Pop, 4),
            done(0, Members, SetOutput::Members(left.iter().copied().collect()), 5, 6),
        ]
    };
    accepts(Set, &history(&[1]));
    accepts(Set, &history(&[2]));
    accepts(Set, &history(&[1, 2]));
    refutes(Set, &history(&[]));
}

#[test]
fn list_order_and_blocking_pops() {
    use ListInput::{Pop, Push};
    use ListOutput::{Length, Popped};
    // BLPOP waits from 0, the push comes at 5.
    accepts(
        List,
        &[
            done(0, Pop(Side::Left), Popped(Some(7)), 0, 8),
            done(1, Push(Side::Right, vec![7]), Length(1), 5, 6),
        ],
    );
    // A timeout in the presence of an element all along.
    refutes(
        List,
        &[done(1, Push(Side::Right, vec![7]), Length(1), 0, 1), done(0, Pop(Side::Left), Popped(None), 2, 8)],
    );
    // LPUSH 1 2 leaves 2 at the head.
    accepts(
        List,
        &[
            done(0, Push(Side::Left, vec![1, 2]), Length(2), 0, 1),
            done(0, Pop(Side::Left), Popped(Some(2)), 2, 3),
            done(0, Pop(Side::Right), Popped(Some(1)), 4, 5),
        ],
    );
    refutes(
        List,
        &[
            done(0, Push(Side::Left, vec![1, 2]), Length(2), 0, 1),
            done(0, Pop(Side::Left), Popped(Some(1)), 2, 3),
        ],
    );
    // Two poppers got the same element.
    refutes(
        List,
        &[
            done(0, Push(Side::Right, vec![1, 2]), Length(2), 0, 1),
            done(1, Pop(Side::Left), Popped(Some(1)), 2, 9),
            done(2, Pop(Side::Left), Popped(Some(1)), 2, 9),
        ],
    );
}

#[test]
fn a_violation_on_one_key_names_it() {
    use RegisterInput::*;
    use RegisterOutput::*;
    let history = vec![
        done(0, (1, Write(1)), Written, 0, 1),
        done(0, (2, Write(1)), Written, 2, 3),
        done(0, (1, Read), Value(Some(1)), 4, 5),
        done(0, (2, Read), Value(Some(5)), 6, 7),
    ];
    match check(&Keyed(Register), &history, Limits::default()) {
        Verdict::Violation { key, report } => {
            assert_eq!(key, "2");
            assert!(report.contains("refused"), "{report}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_torn_transaction_is_refuted() {
    use CounterInput::*;
    let transfer = done(
        0,
        vec![(1, Add(-1)), (2, Add(1))],
        TransactionOutput::Applied(vec![CounterOutput(-1), CounterOutput(1)]),
        0,
        10,
    );
    let read = |one, two| {
        done(
            1,
            vec![(1, Read), (2, Read)],
            TransactionOutput::Applied(vec![CounterOutput(one), CounterOutput(two)]),
            1,
            9,
        )
    };
    accepts(Transactions(Counter), &[transfer.clone(), read(0, 0)]);
    accepts(Transactions(Counter), &[transfer.clone(), read(-1, 1)]);
    refutes(Transactions(Counter), &[transfer.clone(), read(-1, 0)]);
    // Divided by key the same history would pass: each key has an order of its own.
    let aborted = done(2, vec![(1, Add(5))], TransactionOutput::Aborted, 11, 12);
    let after = |one| done(3, vec![(1, Read)], TransactionOutput::Applied(vec![CounterOutput(one)]), 13, 14);
    accepts(Transactions(Counter), &[transfer.clone(), aborted.clone(), after(-1)]);
    refutes(Transactions(Counter), &[transfer, aborted, after(4)]);
}

#[test]
fn the_search_says_when_it_gave_up() {
    let history: Vec<_> =
        (0..40).map(|i| done(i, CounterInput::Add(1 << i), CounterOutput(-1), 0, 100)).collect();
    let limits = Limits { steps_max: 100, memo_max: 1000 };
    // Refused at once: nothing can be taken, so this is a violation, not a surrender.
    assert!(check(&Counter, &history, limits).is_violation());
    let mut open: Vec<_> =
        (0..40).map(|i| Operation::indeterminate(i, CounterInput::Add(1 << i), 0)).collect();
    open.push(done(50, CounterInput::Read, CounterOutput(-5), 1, 2));
    assert!(matches!(check(&Counter, &open, limits), Verdict::GaveUp { .. }));
}

/// Tries every order: the definition, spelled out.
fn exhaustive<M: Model>(model: &M, left: &[&Operation<M::Input, M::Output>], state: &M::State) -> bool {
    let completed: Vec<_> = left.iter().filter(|o| o.output.is_some()).collect();
    let Some(first_return) = completed.iter().map(|o| o.returned).min() else { return true };
    (0..left.len()).filter(|&i| left[i].invoked <= first_return).any(|i| {
        let rest: Vec<_> = left.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, o)| *o).collect();
        let next = match &left[i].output {
            Some(output) => model.step(state, &left[i].input, output).into_iter().collect(),
            None => model.step_unknown(state, &left[i].input),
        };
        next.iter().any(|state| exhaustive(model, &rest, state))
    })
}

fn random_history(rng: &mut Rng) -> Vec<Operation<RegisterInput, RegisterOutput>> {
    use RegisterInput::*;
    use RegisterOutput::{Done, Value, Written};
    (0..rng.between(1, 7) as u32)
        .map(|client| {
            let invoked = rng.below(12);
            let returned = invoked + rng.below(8);
            let (a, b) = (rng.below(3), rng.below(3));
            let seen = rng.chance(2, 3).then_some(a);
            let (input, output) = match rng.below(6) {
                0 | 1 => (Write(a), Written),
                2 => (WriteIfAbsent(a), Done(rng.chance(1, 2))),
                3 => (CompareAndSet(seen, b), Done(rng.chance(1, 2))),
                4 => (Take, Value(seen)),
                _ => (Read, Value(seen)),
            };
            if rng.chance(1, 5) {
                Operation::indeterminate(client, input, invoked)
            } else {
                done(client, input, output, invoked, returned)
            }
        })
        .collect()
}

#[test]
fn the_search_agrees_with_exhaustive_search() {
    let (mut yes, mut no) = (0, 0);
    for seed in 0..4000 {
        let history = random_history(&mut Rng::new(seed));
        let all: Vec<_> = history.iter().collect();
        let expected = exhaustive(&Register, &all, &None);
        let verdict = check(&Register, &history, Limits::default());
        assert_eq!(verdict.is_ok(), expected, "seed {seed}: {verdict:?}\n{history:#?}");
        if expected { yes += 1 } else { no += 1 }
    }
    assert!(yes > 500 && no > 500, "the random histories are one-sided: {yes} {no}");
}
