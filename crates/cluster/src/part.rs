//! A partition: everything a node keeps of the keys of some slots.
//!
//! The slots are divided among 2^n partitions by their lowest bits, in the same way at all nodes, so a partition talks to
//! the partition of the same number elsewhere. It knows no other partition of its node; what concerns several (an
//! operation on several keys) is done by a [`Turn`](crate::turn::Turn) that holds all of them.
//!
//! Invariant: a partition may be used by whoever holds it alone, wherever the others are: each has its own clock, numbers
//! and floors, and enters a view when it is next used.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::absence::Listed;
use crate::agenda::Agenda;
use crate::attic::Attic;
use crate::config::Config;
use crate::copies::Copies;
use crate::copy::{CopyState, Owning};
use crate::creation::HeldLeases;
use crate::databases::{Databases, Waste};
use crate::deadlines::Due;
use crate::directory::{Directory, Touches};
use crate::evacuate::Evacuation;
use crate::ids::{FlightId, Generation, NodeId, NodeSet, OpId, Stamp, Version, ViewId};
use crate::keeper::Kept;
use crate::key::Key;
use crate::leave::Eviction;
use crate::left_over::LeftOver;
use crate::message::Base;
use crate::operation::{Operation, Stage};
use crate::repair::Repair;
use crate::report::Reports;
use crate::rubbish::Rubbish;
use crate::settle::{Record, Settling};
use crate::table::Table;
use crate::unowned::Unowned;
use crate::wait::Waiting;
use crate::write::{Flight, Guest};

/// A partition of a node, with undos of the type `U`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Part<U> {
    /// Its number.
    pub(crate) id: u8,
    /// The view it has entered.
    pub(crate) view: ViewId,
    /// The members of that view.
    pub(crate) members: NodeSet,
    /// The view it had entered before, and its members.
    pub(crate) previous: (ViewId, NodeSet),
    /// The base of the view it has entered: its cluster, its number, its databases, its FLUSHALLs; and rebirths and meetings of
    /// the node so far.
    pub(crate) cluster: u64,
    pub(crate) generation: Generation,
    pub(crate) databases: Arc<Databases>,
    pub(crate) flush: u64,
    pub(crate) rebirths: u64,
    pub(crate) meetings: u64,
    pub(crate) clock: Stamp,
    pub(crate) copies: Copies,
    pub(crate) directory: Directory,
    /// What homes are told in this view.
    pub(crate) reports: Reports,
    /// Batches this partition coordinates.
    pub(crate) flights: Table<Flight<U>, FlightId>,
    /// Its parts of batches that another partition of this node coordinates, as long as they are not decided.
    pub(crate) guests: Table<Guest<U>, FlightId>,
    /// Records of batches of class X this partition takes part in or has decided.
    pub(crate) records: Table<Record, FlightId>,
    /// By coordinator and its partition, the number below which its batches of this view are over.
    pub(crate) over: BTreeMap<(NodeId, u8), u64>,
    /// Likewise, by number, batches of this view that were aborted and of which it has not said so yet.
    pub(crate) aborted: BTreeMap<(NodeId, u8), BTreeMap<u64, FlightId>>,
    pub(crate) settling: BTreeMap<FlightId, Settling>,
    pub(crate) operations: BTreeMap<OpId, Box<Operation>>,
    /// Those of earlier views that are still to be looked at in this one.
    pub(crate) left_over: VecDeque<LeftOver<U>>,
    /// Operations that wait for something to happen to a key.
    pub(crate) parked: BTreeMap<Key, BTreeSet<OpId>>,
    /// Keys without a value.
    pub(crate) fading: Listed,
    /// Keys that only this node holds and has a record of.
    pub(crate) lonely: Listed,
    /// Keys without a record that are of an earlier view.
    pub(crate) unowned: Unowned,
    /// Versions that are still to come of a key that only this node holds have a higher seq.
    pub(crate) solo_seq: u64,
    /// When a key without a record was written to last, at most.
    pub(crate) solo_written: Stamp,
    /// Keys of operations of this node's own clients that other nodes have copies of.
    pub(crate) engaged: BTreeMap<Key, BTreeSet<OpId>>,
    /// Keys requested at their home.
    pub(crate) touches: Touches,
    /// Slots whose unseen keys this node creates by itself.
    pub(crate) leases: HeldLeases,
    /// Keys it has just created so: whoever waits for them is to be told.
    pub(crate) born: BTreeSet<Key>,
    /// Copies whose last change is not confirmed to be everywhere: whom to ask, and when that was done last.
    pub(crate) unconfirmed: Table<(NodeId, u64)>,
    pub(crate) waits: BTreeMap<u64, Waiting>,
    /// Keys of those that were woken and whose clients have not asked yet.
    pub(crate) woken: BTreeMap<u64, Key>,
    /// From which of them on they are still to be registered in this view.
    pub(crate) unregistered_from: Option<u64>,
    /// How many of these wait for a key.
    pub(crate) waited_for: BTreeMap<Key, u32>,
    /// Copies that were dropped in this view, and until when a scan is told of them.
    pub(crate) left: VecDeque<(u64, Key)>,
    /// Forks kept from the time before this node was dropped from the base.
    pub(crate) stash: BTreeMap<(Key, Version), Stashed>,
    /// What this node held before it was dropped, as far as it is not in the stash.
    pub(crate) attics: Vec<Attic>,
    /// Keys that nobody can name any more.
    pub(crate) waste: Waste,
    pub(crate) rubbish: Rubbish<U>,
    pub(crate) next_number: u64,
    pub(crate) next_operation: u64,
    /// Keys whose queue may move.
    pub(crate) work: Agenda<Key>,
    /// Operations that may go on.
    pub(crate) ready: Agenda<OpId>,
    /// Keys owned here that somebody is about to hold, or to hold no more.
    pub(crate) busy_keys: BTreeSet<Key>,
    /// The node wants to leave.
    pub(crate) evacuation: Option<Evacuation>,
    /// Keys may have fewer holders than they are to have.
    pub(crate) repair: Option<Repair>,
    /// Numbers of batches that give a key to a keeper.
    pub(crate) enlisting: BTreeSet<u64>,
    /// What was taken of values that others have sent, by them and their partition.
    pub(crate) kept: BTreeMap<(NodeId, u8), Kept>,
    /// Copies the store wants back.
    pub(crate) evicting: BTreeMap<Key, Eviction>,
    /// When what is under way is to be looked at again.
    pub(crate) due: Due,
    /// Keys whose queue waits for the lease.
    pub(crate) stalled: BTreeSet<Key>,
}

/// A fork to be merged once this node is back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stashed {
    pub(crate) state: CopyState,
    pub(crate) sent_ms: Option<u64>,
}

impl<U> Part<U> {
    /// A partition without keys, outside all views.
    pub(crate) fn new(config: &Config, id: u8) -> Self {
        let life = config.incarnation.0 >> 16;
        Self {
            id,
            view: ViewId::default(),
            members: NodeSet::EMPTY,
            previous: Default::default(),
            cluster: 0,
            generation: Generation::default(),
            databases: Arc::default(),
            flush: 0,
            rebirths: 0,
            meetings: 0,
            clock: Stamp { node: config.id, ..Stamp::default() },
            copies: Copies::default(),
            directory: Directory::default(),
            reports: Reports::default(),
            flights: Table::default(),
            guests: Table::default(),
            records: Table::default(),
            over: BTreeMap::new(),
            aborted: BTreeMap::new(),
            settling: BTreeMap::new(),
            operations: BTreeMap::new(),
            left_over: VecDeque::new(),
            parked: BTreeMap::new(),
            fading: Listed::default(),
            lonely: Listed::default(),
            unowned: Unowned::default(),
            solo_seq: 0,
            solo_written: Stamp::default(),
            engaged: BTreeMap::new(),
            touches: Touches::default(),
            leases: HeldLeases::default(),
            born: BTreeSet::new(),
            unconfirmed: Table::default(),
            waits: BTreeMap::new(),
            woken: BTreeMap::new(),
            unregistered_from: None,
            waited_for: BTreeMap::new(),
            left: VecDeque::new(),
            stash: BTreeMap::new(),
            attics: Vec::new(),
            waste: Waste::default(),
            rubbish: Rubbish::default(),
            next_number: 1,
            next_operation: (life << 32) + 1,
            work: Agenda::default(),
            ready: Agenda::default(),
            busy_keys: BTreeSet::new(),
            evacuation: None,
            repair: None,
            enlisting: BTreeSet::new(),
            kept: BTreeMap::new(),
            evicting: BTreeMap::new(),
            due: Due::default(),
            stalled: BTreeSet::new(),
        }
    }

    /// What this node keeps as the owner of `key` in the view.
    pub(crate) fn owning(&self, key: &Key, view: ViewId) -> Option<&Owning> {
        self.copies.get(key)?.owning(view)
    }

    /// Begins in a first view, with nothing to bring into it.
    pub(crate) fn start_in(&mut self, view: ViewId, members: NodeSet, base: &Base) {
        (self.view, self.members) = (view, members);
        (self.generation, self.flush) = (base.tag.generation, base.flush);
        (self.cluster, self.databases) = (base.tag.cluster, Arc::clone(&base.databases));
        self.directory.start_complete(members);
    }

    /// Whether something is left to be done that needs no other partition.
    pub(crate) fn has_work(&self) -> bool {
        !self.born.is_empty() || !self.work.is_empty()
    }

    /// Whether there are forks.
    pub(crate) fn has_forks(&self) -> bool {
        !self.stash.is_empty() || !self.attics.is_empty()
    }

    /// Whether a fork of the key waits here to be merged, besides what is set aside.
    pub(crate) fn has_stashed(&self, key: &Key) -> bool {
        let first = (key.clone(), Version::default());
        !self.stash.is_empty()
            && self.stash.range(first..).next().is_some_and(|((forked, _), _)| forked == key)
    }

    /// What is in progress, those included that are still to be looked at in this view.
    pub(crate) fn all_operations(&self) -> impl Iterator<Item = &BTreeMap<OpId, Box<Operation>>> {
        self.left_over.iter().map(|left| &left.operations).chain([&self.operations])
    }

    /// How many those are.
    pub(crate) fn operations_len(&self) -> usize {
        self.all_operations().map(BTreeMap::len).sum()
    }

    /// Whether an operation of this node's own clients waits to hear what became of the batch.
    pub(crate) fn is_awaited(&self, flight: FlightId) -> bool {
        let waits = |op: &OpId| {
            let mut all = self.all_operations().filter_map(|operations| operations.get(op));
            all.any(|operation| operation.stage == Stage::Doubt { flight })
        };
        let record = self.records.get(&flight);
        record.is_some_and(|record| record.replies.iter().any(|(op, _)| waits(op)))
    }

    /// A number that no other of this partition's or of another partition's equals.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.number_after(0)
    }

    /// The number that was given last, or one that comes some numbers after it.
    pub(crate) fn number_after(&self, further: u64) -> u64 {
        (self.next_number + further) << 8 | u64::from(self.id)
    }

    /// Keeps the hybrid clock ahead of every stamp seen.
    pub(crate) fn see_stamp(&mut self, stamp: Stamp) {
        if (stamp.wall_ms, stamp.logical) > (self.clock.wall_ms, self.clock.logical) {
            self.clock = Stamp { node: self.clock.node, ..stamp };
        }
    }
}
