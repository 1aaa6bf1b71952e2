//! FLUSHALL, FLUSHDB and SWAPDB as changes of the base: they need all of it, and every view from then on stands on them.
//!
//! Invariant: they are answered OK only when all members are known to have made them. One that has accepted it
//! and was cut off before it learned the outcome, or never heard of it, goes on with W in the old base, and what it
//! acknowledges there comes before the change.
//!
//! Neighbours: `members` makes the base, `databases` says what it is to be, `enter` empties the partitions.

use std::collections::BTreeSet;

use crate::databases::Changes;
use crate::ids::{Blob, Generation, NodeId};
use crate::interface::{Action, Answer, Change, ClientError};
use crate::key::Space;
use crate::members::Members;
use crate::mutant::Mutant;

/// A change that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flushing {
    ticket: u64,
    change: Change,
    /// Of a FLUSHALL, how many of them the base is to have seen.
    target: Option<u64>,
    /// It has been sent to others: from then on it may happen.
    proposed: bool,
    deadline_ms: u64,
    since_ms: u64,
    /// Until when it has to wait for a space.
    waits_ms: u64,
}

impl Members {
    /// A client wants another keyspace.
    pub(crate) fn change(&mut self, ticket: u64, change: Change) {
        let exists = |database: u16| database < self.config.databases;
        let is_known = match change {
            Change::FlushAll => true,
            Change::FlushDb(database) => exists(database),
            Change::SwapDb(one, other) => exists(one) && exists(other),
        };
        if self.left || !is_known {
            self.answer_flush(ticket, Err(ClientError::NotServing));
            return;
        }
        if self.flushes.len() >= self.config.limits.ops_max {
            self.answer_flush(ticket, Err(ClientError::TryAgain));
            return;
        }
        let now = self.now.mono_ms;
        let deadline_ms = now + self.config.timers.op_ms;
        let flushing = Flushing {
            ticket,
            change,
            target: None,
            proposed: false,
            deadline_ms,
            since_ms: now,
            waits_ms: 0,
        };
        self.next_flush += 1;
        self.flushes.insert(self.next_flush, flushing);
        self.advance_flush(self.next_flush);
    }

    /// What this node's clients want changed.
    pub(crate) fn changes(&self) -> Changes {
        let wanted = self.flushes.iter().map(|(number, flushing)| (*number, flushing.change)).collect();
        Changes { by: self.config, wanted }
    }

    /// Spaces that were given up, and may not be empty here.
    pub(crate) fn waste(&self) -> BTreeSet<Space> {
        self.waste.keys().copied().collect()
    }

    /// A partition holds nothing any more of a space that was given up in this generation.
    pub(crate) fn note_emptied(&mut self, space: Space, given_up: Generation) {
        if let Some((at, parts)) = self.waste.get_mut(&space)
            && *at == given_up
        {
            *parts -= 1;
            if *parts == 0 {
                self.waste.remove(&space);
            }
        }
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

    /// Takes all changes as far as they can go.
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
        let (now, retry) = (self.now.mono_ms, self.config.timers.retry_ms);
        let is_proposing = self.is_proposing();
        let anyway = self.config.without(Mutant::ReuseSpacesAtOnce);
        let is_empty = |space, _| anyway || !self.waste.contains_key(&space);
        let has_space = view.base.databases.free_space(self.config.databases, is_empty).is_some();
        let made = view.base.databases.made.get(&self.config.id).is_some_and(|made| *made >= number);
        let Some(flushing) = self.flushes.get_mut(&number).filter(|_| self.fence.serving) else { return };
        let target = *flushing.target.get_or_insert(now_flush + 1);
        let is_made = made || flushing.change == Change::FlushAll && now_flush >= target;
        if is_made && !everywhere {
            flushing.proposed = true;
        } else if is_made {
            self.end_flush(number, Ok(Answer { reply: Blob::new(b""), watches: Vec::new() }));
        } else if !complete {
            if !flushing.proposed {
                self.end_flush(number, Err(ClientError::Unreachable));
            }
        } else if matches!(flushing.change, Change::FlushDb(_)) && (!has_space || now < flushing.waits_ms) {
            // Until what was flushed before is dropped.
        } else if !is_proposing {
            // Another node may hold something yet of the space.
            flushing.waits_ms = now + retry;
            self.start_attempt(members, true);
        }
    }

    /// They have been sent to others: from now on they may happen.
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
