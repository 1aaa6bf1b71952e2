//! Operations of views that are over: in the next one they are looked at some at a time.
//!
//! Invariants: of one that is left over nothing has happened in the installed view, and nobody there has heard of it; what
//! became of its batch is known as long as it is left over. Neighbours: `enter` leaves them over, `operation` takes them on.

use std::collections::BTreeMap;

use crate::ids::{FlightId, OpId};
use crate::interface::{Action, ClientError};
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

impl Operation {
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
    pub(crate) fn leave_over(&mut self, lost_history: bool) {
        self.part.left_over.iter_mut().for_each(|left| left.lost_history |= lost_history);
        let operations = std::mem::take(&mut self.part.operations);
        let flights = std::mem::take(&mut self.part.flights);
        self.part.left_over.push_back(LeftOver { operations, flights, lost_history });
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
            let is_known = operation.start_afresh(lost_history);
            self.part.operations.insert(op, operation);
            if is_known {
                self.part.ready.insert(op);
                self.part.due.operations.open(op);
            } else if let Some(ticket) = self.take_operation(op).and_then(|operation| operation.ticket) {
                self.out.actions.push(Action::Reply { ticket, result: Err(ClientError::InDoubt) });
            }
        }
    }
}
