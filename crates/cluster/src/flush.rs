//! FLUSHALL as a change of the base: it needs all of it, and every view from then on stands on it.
//!
//! Invariant: it is answered OK only when all members are known to have emptied their stores. One that has accepted it
//! and was cut off before it learned the outcome, or never heard of it, goes on with W in the old base, and what it
//! acknowledges there goes with the FLUSHALL.
//!
//! Neighbours: `members` makes the base, `enter` empties the partitions.

use crate::ids::{Blob, NodeId};
use crate::interface::{Action, Answer, ClientError};
use crate::members::Members;
use crate::mutant::Mutant;

/// A FLUSHALL that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flushing {
    ticket: u64,
    /// How many FLUSHALLs the base is to have seen.
    target: Option<u64>,
    /// It has been sent to others: from then on it may happen.
    proposed: bool,
    deadline_ms: u64,
    since_ms: u64,
}

impl Members {
    /// A client wants everything gone.
    pub(crate) fn flush(&mut self, ticket: u64) {
        if self.left {
            self.answer_flush(ticket, Err(ClientError::NotServing));
            return;
        }
        if self.flushes.len() >= self.config.limits.ops_max {
            self.answer_flush(ticket, Err(ClientError::TryAgain));
            return;
        }
        let now = self.now.mono_ms;
        let deadline_ms = now + self.config.timers.op_ms;
        let flushing = Flushing { ticket, target: None, proposed: false, deadline_ms, since_ms: now };
        self.next_flush += 1;
        self.flushes.insert(self.next_flush, flushing);
        self.advance_flush(self.next_flush);
    }

    /// A message came from a node in this very view: it has installed every FLUSHALL that this view stands on.
    pub(crate) fn note_flushed(&mut self, node: NodeId) {
        if self.unflushed.contains(node) {
            self.unflushed.remove(node);
            if self.unflushed.is_empty() {
                self.advance_flushes();
                self.settle_down();
            }
        }
    }

    /// Takes all FLUSHALLs as far as they can go.
    pub(crate) fn advance_flushes(&mut self) {
        for number in self.flushes.keys().copied().collect::<Vec<_>>() {
            self.advance_flush(number);
        }
    }

    fn advance_flush(&mut self, number: u64) {
        let view = &self.installed.view;
        let complete = view.base.nodes() == view.members;
        let everywhere = self.unflushed.is_empty() || self.config.without(Mutant::AnswerFlushWhenInstalled);
        let (now_flush, members) = (view.base.flush, view.members);
        let Some(flushing) = self.flushes.get_mut(&number).filter(|_| self.fence.serving) else { return };
        let wanted = *flushing.target.get_or_insert(now_flush + 1);
        if now_flush >= wanted && !everywhere {
            flushing.proposed = true;
        } else if now_flush >= wanted {
            self.end_flush(number, Ok(Answer { reply: Blob::new(b""), watches: Vec::new() }));
        } else if !complete {
            if !flushing.proposed {
                self.end_flush(number, Err(ClientError::Unreachable));
            }
        } else if !self.is_proposing() {
            self.start_attempt(members, true);
        }
    }

    /// A FLUSHALL has been sent to others: from now on it may happen.
    pub(crate) fn flush_is_proposed(&mut self) {
        self.flushes.values_mut().for_each(|flushing| flushing.proposed = true);
    }

    pub(crate) fn flush_tick(&mut self) {
        let (now, retry) = (self.now.mono_ms, self.config.timers.retry_ms);
        for number in self.flushes.keys().copied().collect::<Vec<_>>() {
            let Some(flushing) = self.flushes.get_mut(&number) else { continue };
            if now >= flushing.deadline_ms {
                let error = if flushing.proposed { ClientError::InDoubt } else { ClientError::Unreachable };
                self.end_flush(number, Err(error));
            } else if now >= flushing.since_ms + retry {
                flushing.since_ms = now;
                self.advance_flush(number);
            }
        }
    }

    fn end_flush(&mut self, number: u64, result: Result<Answer, ClientError>) {
        if let Some(flushing) = self.flushes.remove(&number) {
            self.answer_flush(flushing.ticket, result);
        }
    }

    fn answer_flush(&mut self, ticket: u64, result: Result<Answer, ClientError>) {
        self.out.push(Action::Reply { ticket, result });
    }
}
