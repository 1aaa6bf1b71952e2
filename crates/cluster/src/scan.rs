//! What a SCAN needs of a home: to know every key of some slots.
//!
//! A home may know less than there is, for a while: after a view change until all members have reported, and of a
//! leased slot until the lessee has reported what it created. A scan waits for the one and recalls the other.
//!
//! Invariants:
//! - A scan has ended well when this node knows the name of every key of the slots it is home of that a member of the
//!   view has held since the call came. What is created after the call may be missing: a lease that is given while others
//!   are still being recalled is not recalled as well, so scans end although keys are created all the time.
//! - A view change begins a scan again, among the slots this node is home of now, and the answer names the view.
//! - A scan ends: with an error when its time is out, and at once when too many wait.
//!
//! Neighbours: `creation` recalls the leases, `directory` has the reports and the names.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::ids::ViewId;
use crate::interface::{Action, ClientError};
use crate::key::Slot;
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;

/// A scan that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scan {
    slots: Range<u16>,
    deadline_ms: u64,
    /// The leased slots whose recall is not over; `None` as long as not all members have reported.
    recalling: Option<BTreeSet<Slot>>,
}

impl<V: Values> Turn<'_, V> {
    /// A client's SCAN wants to know every key of these slots.
    pub(crate) fn on_scan(&mut self, ticket: u64, slots: Range<u16>) {
        if self.fence.left || self.installed.view.id == ViewId::default() {
            self.end_scan(ticket, Err(ClientError::NotServing));
        } else if self.part.scans.len() >= self.config.limits.scans_max {
            self.end_scan(ticket, Err(ClientError::TryAgain));
        } else {
            let deadline_ms = self.now.mono_ms + self.config.timers.op_ms;
            self.part.scans.insert(ticket, Scan { slots, deadline_ms, recalling: None });
            self.begin_scans();
        }
    }

    /// Recalls the leases of slots to be scanned, once all members have reported.
    pub(crate) fn begin_scans(&mut self) {
        let ready = self.is_serving() && self.part.directory.have_reported(self.installed.view.members);
        if !ready || self.part.scans.is_empty() {
            return;
        }
        let waits = !self.config.without(Mutant::AnswerBeforeRecall);
        let mut leased = BTreeSet::new();
        for scan in self.part.scans.values_mut().filter(|scan| scan.recalling.is_none()) {
            let of_scan: BTreeSet<Slot> = self.part.directory.leases.leased(&scan.slots).collect();
            leased.extend(&of_scan);
            scan.recalling = Some(if waits { of_scan } else { BTreeSet::new() });
        }
        for slot in leased {
            self.recall(slot);
        }
        self.end_scans();
    }

    /// The recall of this slot's lease is over.
    pub(crate) fn recalled_for_scans(&mut self, slot: Slot) {
        for recalling in self.part.scans.values_mut().filter_map(|scan| scan.recalling.as_mut()) {
            recalling.remove(&slot);
        }
        self.end_scans();
    }

    /// Answers the scans that have nothing to wait for.
    fn end_scans(&mut self) {
        let is_over = |scan: &Scan| scan.recalling.as_ref().is_some_and(BTreeSet::is_empty);
        let over: Vec<u64> =
            self.part.scans.iter().filter(|(_, scan)| is_over(scan)).map(|(ticket, _)| *ticket).collect();
        for ticket in over {
            self.count(Rule::Scanned);
            self.end_scan(ticket, Ok(self.installed.view.id));
        }
    }

    fn end_scan(&mut self, ticket: u64, known: Result<ViewId, ClientError>) {
        self.part.scans.remove(&ticket);
        self.out.actions.push(Action::Scan { ticket, known });
    }

    /// The view has changed: leases and reports are others.
    pub(crate) fn restart_scans(&mut self) {
        self.part.scans.values_mut().for_each(|scan| scan.recalling = None);
    }

    pub(crate) fn scan_tick(&mut self) {
        let now = self.now.mono_ms;
        let late: Vec<u64> = self
            .part
            .scans
            .iter()
            .filter(|(_, scan)| now >= scan.deadline_ms)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in late {
            self.end_scan(ticket, Err(ClientError::TryAgain));
        }
        self.begin_scans();
    }
}
