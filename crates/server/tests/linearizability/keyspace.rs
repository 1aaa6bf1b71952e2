//! The sequential meaning of commands on several keys, for the linearizability checker: a few strings and a few
//! lists as one state, since what touches several keys cannot be judged key by key.

#![allow(unreachable_pub, reason = "a module of one test file")]

use std::collections::BTreeMap;

use swytch_sim::check::Model;

/// The model.
#[derive(Debug)]
pub struct Keyspace;

/// Strings and lists; an absent key is not in the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    texts: BTreeMap<u8, u64>,
    lists: BTreeMap<u8, Vec<u64>>,
}

/// Requests.
#[derive(Clone, Debug)]
pub enum Input {
    /// MSET.
    Set(Vec<(u8, u64)>),
    /// MSETNX.
    SetIfAbsent(Vec<(u8, u64)>),
    /// MGET.
    Get(Vec<u8>),
    /// RENAME of a string.
    Rename(u8, u8),
    /// COPY of a string, with REPLACE.
    Copy(u8, u8),
    /// DEL of strings.
    Delete(Vec<u8>),
    /// RPUSH.
    Push(u8, u64),
    /// LMOVE source destination LEFT RIGHT.
    Transfer(u8, u8),
    /// MULTI, LRANGE 0 -1 of each list, EXEC.
    Ranges(Vec<u8>),
}

/// Replies.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// +OK.
    Written,
    /// Whether something was done.
    Done(bool),
    /// Values.
    Values(Vec<Option<u64>>),
    /// A count or a length.
    Count(u64),
    /// The element moved.
    Moved(Option<u64>),
    /// Contents of lists.
    Lists(Vec<Vec<u64>>),
}

impl Model for Keyspace {
    type State = State;
    type Input = Input;
    type Output = Output;
    /// Whether it is about lists: strings and lists have keys of their own.
    type Key = bool;

    fn initial(&self) -> State {
        State::default()
    }

    fn step(&self, state: &State, input: &Input, output: &Output) -> Option<State> {
        let (next, expected) = apply(state, input);
        (expected == *output).then_some(next)
    }

    fn step_unknown(&self, state: &State, input: &Input) -> Vec<State> {
        vec![apply(state, input).0]
    }

    fn partition(&self, input: &Input) -> bool {
        matches!(input, Input::Push(..) | Input::Transfer(..) | Input::Ranges(..))
    }
}

fn apply(state: &State, input: &Input) -> (State, Output) {
    let mut next = state.clone();
    let texts = &mut next.texts;
    let output = match input {
        Input::Set(pairs) => {
            texts.extend(pairs.iter().copied());
            Output::Written
        }
        Input::SetIfAbsent(pairs) => {
            let absent = pairs.iter().all(|(key, _)| !texts.contains_key(key));
            if absent {
                texts.extend(pairs.iter().copied());
            }
            Output::Done(absent)
        }
        Input::Get(keys) => Output::Values(keys.iter().map(|key| texts.get(key).copied()).collect()),
        Input::Rename(from, to) => match texts.remove(from) {
            Some(value) => {
                texts.insert(*to, value);
                Output::Done(true)
            }
            None => Output::Done(false),
        },
        Input::Copy(from, to) => match texts.get(from).copied() {
            Some(value) => {
                texts.insert(*to, value);
                Output::Done(true)
            }
            None => Output::Done(false),
        },
        Input::Delete(keys) => {
            Output::Count(keys.iter().filter(|key| texts.remove(key).is_some()).count() as u64)
        }
        Input::Push(key, value) => {
            let list = next.lists.entry(*key).or_default();
            list.push(*value);
            Output::Count(list.len() as u64)
        }
        Input::Transfer(from, to) => match next.lists.remove(from) {
            None => Output::Moved(None),
            Some(mut list) => {
                let value = list.remove(0);
                if !list.is_empty() {
                    next.lists.insert(*from, list);
                }
                next.lists.entry(*to).or_default().push(value);
                Output::Moved(Some(value))
            }
        },
        Input::Ranges(keys) => {
            Output::Lists(keys.iter().map(|key| next.lists.get(key).cloned().unwrap_or_default()).collect())
        }
    };
    (next, output)
}
