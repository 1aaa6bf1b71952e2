//! Many keys: independent ones, which a check divides, and transactions over several, which it cannot divide.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;

use crate::check::linearizable::Model;

/// A keyspace of independent keys of one type; the input names the key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keyed<M>(pub M);

impl<M: Model> Model for Keyed<M> {
    type State = M::State;
    type Input = (u64, M::Input);
    type Output = M::Output;
    type Key = u64;

    fn initial(&self) -> Self::State {
        self.0.initial()
    }

    fn step(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> Option<Self::State> {
        self.0.step(state, &input.1, output)
    }

    fn step_unknown(&self, state: &Self::State, input: &Self::Input) -> Vec<Self::State> {
        self.0.step_unknown(state, &input.1)
    }

    fn partition(&self, input: &Self::Input) -> u64 {
        input.0
    }
}

/// Transactions (MULTI/EXEC, scripts) over a small keyspace of one type. The state is the whole keyspace, so keep the
/// keys few and the histories short.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transactions<M>(pub M);

/// The reply of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionOutput<O> {
    /// One reply for each request.
    Applied(Vec<O>),
    /// Nothing was applied: a WATCHed key had changed.
    Aborted,
}

impl<M: Model> Model for Transactions<M>
where
    M::State: Hash + fmt::Debug,
{
    type State = BTreeMap<u64, M::State>;
    type Input = Vec<(u64, M::Input)>;
    type Output = TransactionOutput<M::Output>;
    type Key = ();

    fn initial(&self) -> Self::State {
        BTreeMap::new()
    }

    fn step(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> Option<Self::State> {
        let TransactionOutput::Applied(replies) = output else { return Some(state.clone()) };
        if replies.len() != input.len() {
            return None;
        }
        let mut next = state.clone();
        for ((key, request), reply) in input.iter().zip(replies) {
            let value = next.get(key).cloned().unwrap_or_else(|| self.0.initial());
            let value = self.0.step(&value, request, reply)?;
            self.put(&mut next, *key, value);
        }
        Some(next)
    }

    fn step_unknown(&self, state: &Self::State, input: &Self::Input) -> Vec<Self::State> {
        let mut states = vec![state.clone()];
        for (key, request) in input {
            let mut reached = Vec::new();
            for state in &states {
                let value = state.get(key).cloned().unwrap_or_else(|| self.0.initial());
                let mut values = self.0.step_unknown(&value, request);
                if values.is_empty() {
                    values.push(value);
                }
                for value in values {
                    let mut next = state.clone();
                    self.put(&mut next, *key, value);
                    reached.push(next);
                }
            }
            states = reached;
        }
        states
    }

    fn partition(&self, _: &Self::Input) {}
}

impl<M: Model> Transactions<M> {
    /// Keeps the state canonical: a key in its initial state is absent.
    fn put(&self, state: &mut BTreeMap<u64, M::State>, key: u64, value: M::State) {
        if value == self.0.initial() {
            state.remove(&key);
        } else {
            state.insert(key, value);
        }
    }
}
