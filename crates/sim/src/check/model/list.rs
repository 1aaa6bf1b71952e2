//! A list key: pushes and pops on both sides, blocking pops, LRANGE 0 -1, LLEN.
//!
//! A blocking pop is an ordinary pop whose reply comes late. One that timed out replies nothing, which says that the
//! list was empty at some moment between request and reply; the order in which waiters are served is not part of
//! linearizability and is not judged here.

use std::collections::VecDeque;

use crate::check::linearizable::Model;

/// The list model.
#[derive(Clone, Copy, Debug, Default)]
pub struct List;

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The left end, index 0.
    Left,
    /// The right end.
    Right,
}

/// Requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListInput {
    /// LPUSH or RPUSH; several elements are pushed one after the other.
    Push(Side, Vec<u64>),
    /// LPOP, RPOP, BLPOP or BRPOP of one element.
    Pop(Side),
    /// LRANGE 0 -1.
    Range,
    /// LLEN.
    Length,
}

/// Replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListOutput {
    /// The length after a push, or the reply of Length.
    Length(u64),
    /// What Pop took; nothing for an empty list or a timeout.
    Popped(Option<u64>),
    /// The reply of Range.
    Range(Vec<u64>),
}

impl Model for List {
    type State = VecDeque<u64>;
    type Input = ListInput;
    type Output = ListOutput;
    type Key = ();

    fn initial(&self) -> Self::State {
        VecDeque::new()
    }

    fn step(&self, state: &Self::State, input: &ListInput, output: &ListOutput) -> Option<Self::State> {
        let (next, expected) = apply(state, input);
        (expected == *output).then_some(next)
    }

    fn step_unknown(&self, state: &Self::State, input: &ListInput) -> Vec<Self::State> {
        vec![apply(state, input).0]
    }

    fn partition(&self, _: &ListInput) {}
}

fn apply(state: &VecDeque<u64>, input: &ListInput) -> (VecDeque<u64>, ListOutput) {
    let mut next = state.clone();
    let output = match input {
        ListInput::Push(side, values) => {
            for &value in values {
                match side {
                    Side::Left => next.push_front(value),
                    Side::Right => next.push_back(value),
                }
            }
            ListOutput::Length(next.len() as u64)
        }
        ListInput::Pop(Side::Left) => ListOutput::Popped(next.pop_front()),
        ListInput::Pop(Side::Right) => ListOutput::Popped(next.pop_back()),
        ListInput::Range => ListOutput::Range(next.iter().copied().collect()),
        ListInput::Length => ListOutput::Length(next.len() as u64),
    };
    (next, output)
}
