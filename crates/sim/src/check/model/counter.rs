//! A counter key: INCRBY replies the new value, GET reads it.

use crate::check::linearizable::Model;

/// The counter model; the counter starts at 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter;

/// Requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterInput {
    /// INCRBY.
    Add(i64),
    /// GET.
    Read,
}

/// The value after the operation (0 for an absent key).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterOutput(pub i64);

impl Model for Counter {
    type State = i64;
    type Input = CounterInput;
    type Output = CounterOutput;
    type Key = ();

    fn initial(&self) -> i64 {
        0
    }

    fn step(&self, state: &i64, input: &CounterInput, output: &CounterOutput) -> Option<i64> {
        let next = apply(*state, *input);
        (next == output.0).then_some(next)
    }

    fn step_unknown(&self, state: &i64, input: &CounterInput) -> Vec<i64> {
        vec![apply(*state, *input)]
    }

    fn partition(&self, _: &CounterInput) {}
}

fn apply(state: i64, input: CounterInput) -> i64 {
    match input {
        CounterInput::Add(delta) => state.wrapping_add(delta),
        CounterInput::Read => state,
    }
}
