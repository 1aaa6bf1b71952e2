//! The laws of merging, as properties over random executions, and the table of docs/cluster-merge.md by example.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

mod fold;
mod laws;
mod table;

/// A side by its precedence.
fn side(precedence: u64) -> Side {
    Side { generation: precedence, epoch: 1, hash: precedence }
}

fn bytes(text: &str) -> Bytes {
    text.as_bytes().to_vec()
}

fn stream_id(ms: u64) -> StreamId {
    StreamId { ms, sequence: 0 }
}

fn object(value: Value) -> Option<Object> {
    Some(Object { value, deadline_ms: None })
}

fn text(value: &str) -> Option<Object> {
    object(Value::String(bytes(value)))
}

fn list(elements: &[&str]) -> Option<Object> {
    object(Value::List(elements.iter().map(|element| bytes(element)).collect()))
}

fn set(members: &[&str]) -> Option<Object> {
    object(Value::Set(members.iter().map(|member| bytes(member)).collect()))
}

fn hash(fields: &[(&str, &str)]) -> Option<Object> {
    object(Value::Hash(fields.iter().map(|(field, value)| (bytes(field), bytes(value))).collect()))
}

fn sorted_set(members: &[(&str, f64)]) -> Option<Object> {
    object(Value::SortedSet(
        members.iter().map(|(member, score)| (bytes(member), Score::new(*score))).collect(),
    ))
}

/// One side of a partition in the tests: a forked key, who orders it, and its clock.
#[derive(Clone, Debug)]
struct Replica {
    forked: Forked,
    side: Side,
    sequence: u64,
    clock_ms: u64,
}

impl Replica {
    fn new(base: &Option<Object>, precedence: u64) -> Self {
        Self { forked: Forked::new(base.clone()), side: side(precedence), sequence: 0, clock_ms: precedence }
    }

    /// Applies an effect at the next moment of this side's clock.
    fn apply(&mut self, effect: &Effect) -> Result<Undo, EffectError> {
        let clock_ms = self.clock_ms + 10;
        self.apply_at(clock_ms, effect)
    }

    fn apply_at(&mut self, clock_ms: u64, effect: &Effect) -> Result<Undo, EffectError> {
        assert!(clock_ms > self.clock_ms, "a hybrid clock goes forward");
        self.clock_ms = clock_ms;
        self.sequence += 1;
        self.forked.apply(self.last_origin(), effect)
    }

    /// Of the last effect.
    fn last_origin(&self) -> Origin {
        Origin {
            dot: Dot { side: self.side, sequence: self.sequence },
            stamp: Stamp { physical_ms: self.clock_ms, logical: 0, node: self.side.hash },
        }
    }

    /// Takes in another side's log; what follows is ordered by a new view.
    fn merge(&mut self, other: &Replica, precedence: u64) -> Losses {
        let losses = self.forked.merge(other.forked.log());
        self.side = side(precedence);
        self.sequence = 0;
        self.clock_ms = self.clock_ms.max(other.clock_ms);
        losses
    }

    fn state(&self) -> Option<Object> {
        self.forked.state().cloned()
    }
}

/// Every order of joining the logs must give the same state; this gives it.
#[track_caller]
fn merged(replicas: &[&Replica]) -> (Option<Object>, Losses) {
    let base = replicas[0].forked.base().cloned();
    let mut results = Vec::new();
    for first in 0..replicas.len() {
        let mut order: Vec<usize> = (0..replicas.len()).collect();
        order.rotate_left(first);
        for reverse in [false, true] {
            if reverse {
                order.reverse();
            }
            let mut key = Forked::new(base.clone());
            let mut losses = Losses::default();
            for &index in &order {
                losses = key.merge(replicas[index].forked.log());
            }
            results.push((key.state().cloned(), losses));
        }
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "the order of merging matters: {results:#?}");
    results.remove(0)
}

/// A base and the effects of each side on it, from the lowest to the highest precedence.
#[track_caller]
fn fork(base: Option<Object>, sides: &[&[Effect]]) -> (Option<Object>, Losses) {
    let replicas: Vec<Replica> = sides
        .iter()
        .enumerate()
        .map(|(index, effects)| {
            let mut replica = Replica::new(&base, index as u64 + 1);
            for effect in *effects {
                replica.apply(effect).expect("the test's effects fit");
            }
            replica
        })
        .collect();
    merged(&replicas.iter().collect::<Vec<_>>())
}
