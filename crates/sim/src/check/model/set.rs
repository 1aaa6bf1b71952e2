//! A set key: SADD, SREM, SISMEMBER, SPOP, SMEMBERS, SCARD.

use std::collections::BTreeSet;

use crate::check::linearizable::Model;

/// The set model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Set;

/// Requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetInput {
    /// SADD of one member.
    Add(u64),
    /// SREM of one member.
    Remove(u64),
    /// SISMEMBER.
    Contains(u64),
    /// SPOP of one member: any member may be taken.
    Pop,
    /// SMEMBERS.
    Members,
    /// SCARD.
    Count,
}

/// Replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetOutput {
    /// Whether Add added, Remove removed, Contains found.
    Done(bool),
    /// What Pop took.
    Popped(Option<u64>),
    /// What Members saw.
    Members(BTreeSet<u64>),
    /// What Count counted.
    Count(u64),
}

impl Model for Set {
    type State = BTreeSet<u64>;
    type Input = SetInput;
    type Output = SetOutput;
    type Key = ();

    fn initial(&self) -> Self::State {
        BTreeSet::new()
    }

    fn step(&self, state: &Self::State, input: &SetInput, output: &SetOutput) -> Option<Self::State> {
        let mut next = state.clone();
        let possible = match (input, output) {
            (SetInput::Add(member), SetOutput::Done(done)) => next.insert(*member) == *done,
            (SetInput::Remove(member), SetOutput::Done(done)) => next.remove(member) == *done,
            (SetInput::Contains(member), SetOutput::Done(done)) => next.contains(member) == *done,
            (SetInput::Pop, SetOutput::Popped(Some(member))) => next.remove(member),
            (SetInput::Pop, SetOutput::Popped(None)) => next.is_empty(),
            (SetInput::Members, SetOutput::Members(members)) => next == *members,
            (SetInput::Count, SetOutput::Count(count)) => next.len() as u64 == *count,
            _ => false,
        };
        possible.then_some(next)
    }

    fn step_unknown(&self, state: &Self::State, input: &SetInput) -> Vec<Self::State> {
        let mut next = state.clone();
        match input {
            SetInput::Add(member) => {
                next.insert(*member);
            }
            SetInput::Remove(member) => {
                next.remove(member);
            }
            SetInput::Pop => {
                return state
                    .iter()
                    .map(|member| {
                        let mut without = state.clone();
                        without.remove(member);
                        without
                    })
                    .collect();
            }
            SetInput::Contains(_) | SetInput::Members | SetInput::Count => {}
        }
        vec![next]
    }

    fn partition(&self, _: &SetInput) {}
}
