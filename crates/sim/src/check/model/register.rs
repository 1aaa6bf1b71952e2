//! A string key used as a register: GET, SET, SET NX, SET GET, GETDEL, DEL and compare-and-set (WATCH/EXEC).

use crate::check::linearizable::Model;

/// The register model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register;

/// Requests. Values are numbers; a real client writes them as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterInput {
    /// GET.
    Read,
    /// SET.
    Write(u64),
    /// SET NX.
    WriteIfAbsent(u64),
    /// SET GET (or GETSET).
    Swap(u64),
    /// GETDEL.
    Take,
    /// DEL.
    Delete,
    /// Write the second value if the first is there.
    CompareAndSet(Option<u64>, u64),
}

/// Replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutput {
    /// The value found: of Read, Swap (the old one) and Take.
    Value(Option<u64>),
    /// +OK.
    Written,
    /// Whether WriteIfAbsent, Delete or CompareAndSet did something.
    Done(bool),
}

impl Model for Register {
    type State = Option<u64>;
    type Input = RegisterInput;
    type Output = RegisterOutput;
    type Key = ();

    fn initial(&self) -> Self::State {
        None
    }

    fn step(
        &self,
        state: &Self::State,
        input: &RegisterInput,
        output: &RegisterOutput,
    ) -> Option<Self::State> {
        let (next, expected) = apply(*state, *input);
        (expected == *output).then_some(next)
    }

    fn step_unknown(&self, state: &Self::State, input: &RegisterInput) -> Vec<Self::State> {
        vec![apply(*state, *input).0]
    }

    fn partition(&self, _: &RegisterInput) {}
}

fn apply(state: Option<u64>, input: RegisterInput) -> (Option<u64>, RegisterOutput) {
    use RegisterOutput::{Done, Value, Written};
    match input {
        RegisterInput::Read => (state, Value(state)),
        RegisterInput::Write(value) => (Some(value), Written),
        RegisterInput::WriteIfAbsent(value) => (state.or(Some(value)), Done(state.is_none())),
        RegisterInput::Swap(value) => (Some(value), Value(state)),
        RegisterInput::Take => (None, Value(state)),
        RegisterInput::Delete => (None, Done(state.is_some())),
        RegisterInput::CompareAndSet(expected, value) if expected == state => (Some(value), Done(true)),
        RegisterInput::CompareAndSet(..) => (state, Done(false)),
    }
}
