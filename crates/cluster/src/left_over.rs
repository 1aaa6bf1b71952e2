//! Operations of views that are over: in the next one they are looked at some at a time.
//!
//! Invariants: of one that is left over nothing has happened in the installed view, and nobody there has heard of it; what
//! became of its batch is known as long as it is left over. Neighbours: `enter` leaves them over, `operation` takes them on.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::databases::Era;
use crate::ids::{Blob, FlightId, OpId};
use crate::interface::{Action, Answer, ClientError};
use crate::key::Key;
use crate::message::Base;
use crate::mutant::Mutant;
use crate::operation::{Operation, Stage};
use crate::rubbish::Litter;
use crate::table::Table;
use crate::turn::Turn;
use crate::values::Values;
use crate::write::Flight;

/// What was in progress when a view ended, with undos of the type `U`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LeftOver<U> {
    pub(crate) operations: BTreeMap<OpId, Box<Operation>>,
    /// Batches of class W.
    flights: Table<Flight<U>, FlightId>,
    /// What retries are recognised by is gone.
    lost_history: bool,
    /// Where their keys belong.
    era: Era,
}

impl<U> LeftOver<U> {
    /// The first operation, as its view left it.
    fn next(&mut self) -> Option<(OpId, Box<Operation>)> {
        let (op, mut operation) = self.operations.pop_first()?;
        if let Stage::Flying { flight } = operation.stage
            && let Some(flight) = self.flights.get(&flight)
            && let Some((_, reply)) = flight.replies.iter().find(|(other, _)| *other == op)
        {
            operation.stage = Stage::Applied { reply: reply.clone() };
        }
        Some((op, operation))
    }
}

/// What becomes of an operation in a new view.
enum Fate {
    /// It goes on.
    Known,
    /// Nobody will ever know what became of it.
    Lost,
    /// It was executed on keys that have been flushed since.
    Done(Blob),
}

impl Operation {
    /// The databases of its keys may have changed: if nobody else can have run it, it means the keys of now. What was run comes
    /// before the change, and what may have been elsewhere could come after it on the keys of before.
    fn change_databases(&mut self, era: &Era, base: &Base, config: &Config) -> Fate {
        if !era.is_past(base) {
            return Fate::Known;
        }
        let all = self.all_keys();
        let stays = |key: &Key| era.now(key, base, config).as_ref() == Some(key);
        let is_gone = !all.iter().all(stays);
        let moves = is_gone || era.renamed(&all, base).as_ref() != Some(&all);
        match &self.stage {
            _ if !moves => Fate::Known,
            Stage::Applied { reply } if is_gone => Fate::Done(reply.clone()),
            Stage::Doubt { .. } if is_gone => Fate::Lost,
            Stage::Applied { .. } | Stage::Doubt { .. } => Fate::Known,
            _ if self.exposed || self.forwarded => {
                let goes_on = config.without(Mutant::RunMovedOperations) && !is_gone;
                if goes_on { Fate::Known } else { Fate::Lost }
            }
            _ if config.without(Mutant::OperationsKeepSpaces) => Fate::Known,
            _ => match (era.renamed(&self.keys, base), era.renamed(&self.watched_keys(), base)) {
                (Some(keys), Some(watched)) => {
                    self.keys = keys;
                    self.watches.iter_mut().zip(watched).for_each(|((key, _), now)| *key = now);
                    Fate::Known
                }
                _ => Fate::Lost,
            },
        }
    }

    fn watched_keys(&self) -> Vec<Key> {
        self.watches.iter().map(|(key, _)| key.clone()).collect()
    }

    /// It starts afresh in a new view. False: nobody will ever know what became of it.
    fn start_afresh(&mut self, lost_history: bool) -> bool {
        let stage = std::mem::replace(&mut self.stage, Stage::Routing);
        match stage {
            Stage::Doubt { .. } if lost_history => return false,
            Stage::Applied { .. } | Stage::Doubt { .. } => {
                self.stage = stage;
                return true;
            }
            Stage::Forwarded(_) => self.exposed = true,
            _ => self.exposed |= self.forwarded,
        }
        !(lost_history && self.exposed)
    }
}

impl<V: Values> Turn<'_, V> {
    /// A view is over. `lost_history`: what retries are recognised by is gone.
    pub(crate) fn leave_over(&mut self, lost_history: bool, era: Era) {
        self.part.left_over.iter_mut().for_each(|left| left.lost_history |= lost_history);
        let operations = std::mem::take(&mut self.part.operations);
        let flights = std::mem::take(&mut self.part.flights);
        self.part.left_over.push_back(LeftOver { operations, flights, lost_history, era });
        self.reroute_some();
    }

    /// Starts some of this node's own operations afresh, the first in line. Others look after theirs.
    pub(crate) fn reroute_some(&mut self) {
        let mut room = self.config.limits.walk_max.max(1);
        while let Some(left) = self.part.left_over.front_mut().filter(|_| room > 0) {
            room -= 1;
            let lost_history = left.lost_history;
            let Some((op, mut operation)) = left.next() else {
                if let Some(left) = self.part.left_over.pop_front() {
                    self.part.rubbish.throw(Litter::Flights(left.flights));
                }
                continue;
            };
            if op.node != self.config.id {
                continue;
            }
            let base = &self.installed.view.base;
            let fate = operation.change_databases(&left.era, base, self.config);
            let fate = if operation.start_afresh(lost_history) { fate } else { Fate::Lost };
            self.part.operations.insert(op, operation);
            let result = match fate {
                Fate::Known => {
                    self.part.ready.insert(op);
                    self.part.due.operations.open(op);
                    continue;
                }
                Fate::Done(reply) => Ok(Answer { reply, watches: Vec::new() }),
                Fate::Lost => Err(ClientError::InDoubt),
            };
            if let Some(ticket) = self.take_operation(op).and_then(|operation| operation.ticket) {
                self.out.actions.push(Action::Reply { ticket, result });
            }
        }
    }
}
