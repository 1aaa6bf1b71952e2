//! A subscriber's state of one key: versions, the log of entries not yet known to be everywhere, its role.
//!
//! Invariants:
//! - Every copy with the same `birth` shares the history up to the highest `stable` any of them has.
//! - The log holds all entries after `stable` (or is marked overflowed), so a fork needs no extra bookkeeping: it is
//!   a log that could not be trimmed because a subscriber was missing.
//! - A role counts only in the view it was given in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::config::Config;
use crate::fold::Folding;
use crate::ids::{Blob, FlightId, Generation, NodeId, NodeSet, OpId, Stamp, Version, ViewId};
use crate::interface::{ClientError, Watch};
use crate::message::{Alignment, Part};
use crate::mutant::Mutant;
use crate::participants::Participants;
use crate::values::{Entry, History, Step};

/// Versions and subscribers of a copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meta {
    /// Which creation of the key this copy descends from.
    pub birth: FlightId,
    /// The last entry applied.
    pub version: Version,
    /// Every subscriber of the base is known to hold all up to here.
    pub stable: Version,
    /// Who holds a copy, reachable or not.
    pub subscribers: NodeSet,
    /// Members of the base that could not be asked when the key was created and may hold it as well.
    pub doubt: NodeSet,
    /// Former subscribers that were expired and may come back with a fork.
    pub lost: NodeSet,
    /// Epochs before the current one whose entries the value contains, and up to which seq. They outlive the log, because a
    /// node that was expired may bring its fork back twice, or two such nodes the same one.
    pub covers: BTreeMap<ViewId, u64>,
    /// Of epochs up to this one it is not known any more what the value contains besides what `covers` says.
    pub forgotten: ViewId,
    /// Stamp of the last entry that has changed the value or taken in a fork.
    pub written: Stamp,
}

impl Meta {
    /// Of a key that one node holds and nobody else has seen since.
    pub(crate) fn alone(
        birth: FlightId,
        (generation, epoch): (Generation, ViewId),
        seq: u64,
        written: Stamp,
    ) -> Self {
        let version = Version { generation, epoch, seq };
        Self {
            birth,
            version,
            stable: version,
            subscribers: NodeSet::only(birth.node()),
            doubt: NodeSet::EMPTY,
            lost: NodeSet::EMPTY,
            covers: BTreeMap::new(),
            forgotten: ViewId::default(),
            written,
        }
    }

    /// Whether the value contains an entry.
    pub fn covers_dot(&self, dot: Version) -> bool {
        let seq = if dot.epoch == self.version.epoch {
            Some(&self.version.seq)
        } else {
            self.covers.get(&dot.epoch)
        };
        seq.is_some_and(|seq| dot.seq <= *seq)
    }

    /// Moves on to the next entry.
    pub(crate) fn advance(&mut self, entry: &Entry) {
        if entry.dot.epoch != self.version.epoch {
            self.covers.insert(self.version.epoch, self.version.seq);
        }
        self.version = entry.dot;
        self.written = self.written.max(entry.written());
    }

    /// Whether it is not known any more if the value contains one of these entries.
    pub(crate) fn has_forgotten(&self, entries: &[Entry], version: Version) -> bool {
        let mut dots = entries.iter().map(|entry| entry.dot).chain([version]);
        self.forgotten != ViewId::default()
            && dots.any(|dot| dot.epoch <= self.forgotten && !self.covers_dot(dot))
    }

    /// Takes over what another copy contains, after its entries were merged in.
    pub(crate) fn absorb(&mut self, other: &Self) {
        let theirs = other.covers.iter().map(|(epoch, seq)| (*epoch, *seq));
        for (epoch, seq) in theirs.chain([(other.version.epoch, other.version.seq)]) {
            if epoch != self.version.epoch {
                let known = self.covers.entry(epoch).or_default();
                *known = seq.max(*known);
            }
        }
        self.forgotten = self.forgotten.max(other.forgotten);
    }
}

/// Entries after `stable`: all that led from the state there to the value, each behind everything that it had seen.
///
/// Entries that came in by a merge stand directly before the merge, under their own dots. The *main line* is what one
/// finds going back from the version from each entry to its prior: the states the value itself went through.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    /// In order.
    pub entries: Vec<Entry>,
    /// It grew too long and was dropped.
    pub overflow: bool,
    /// When the state where it starts was written last. Without entries that is [`Meta::written`].
    pub since: Stamp,
}

impl Log {
    /// The log as a store is shown it.
    pub(crate) fn history(&self, meta: &Meta) -> History<'_> {
        let since = if self.entries.is_empty() { meta.written } else { self.since };
        History { since, entries: &self.entries }
    }

    /// Appends to the log of a value that was `written` last then, or gives it up.
    pub(crate) fn extend(&mut self, mut entries: Vec<Entry>, written: Stamp, entries_max: usize) {
        if self.entries.len() + entries.len() > entries_max {
            self.give_up();
        }
        if self.overflow {
            return;
        }
        if self.entries.is_empty() {
            (self.entries, self.since) = (entries, written);
        } else {
            self.entries.append(&mut entries);
        }
    }

    /// The entries cannot stand for what happened any more.
    pub(crate) fn give_up(&mut self) {
        self.overflow = true;
        self.entries.clear();
    }

    /// Drops everything up to `until`, and returns it and when it started if the log starts at another state now. Not while
    /// the rest has taken something in that had not seen that state: on top of it, it would come out otherwise.
    fn trim(&mut self, meta: &Meta, until: Version) -> Option<(Stamp, Vec<Entry>)> {
        if until == meta.version {
            let restarts = std::mem::take(&mut self.overflow) || !self.entries.is_empty();
            return restarts.then(|| (self.since, std::mem::take(&mut self.entries)));
        }
        let last = self.entries.iter().position(|entry| entry.dot == until)?;
        if !Self::follows(&self.entries[last + 1..], until) {
            return None;
        }
        let settled: Vec<Entry> = self.entries.drain(..=last).collect();
        let until = settled.iter().map(Entry::written).fold(self.since, Stamp::max);
        Some((std::mem::replace(&mut self.since, until), settled))
    }

    /// Whether these entries, which come after the state at `start` in a log, have all seen it. What a merge took in may
    /// have forked before, or belong to another creation of the key.
    pub(crate) fn follows(entries: &[Entry], start: Version) -> bool {
        if entries.iter().all(|entry| entry.step == Step::Write) {
            return true;
        }
        let dots: BTreeSet<Version> = entries.iter().map(|entry| entry.dot).collect();
        entries.iter().all(|entry| entry.prior == start || dots.contains(&entry.prior))
    }

    /// For each entry whether it is on the main line that ends at `version`.
    pub(crate) fn main_line(entries: &[Entry], version: Version) -> Vec<bool> {
        let mut next = version;
        let mut main: Vec<bool> = entries
            .iter()
            .rev()
            .map(|entry| {
                let on_line = entry.dot == next;
                if on_line {
                    next = entry.prior;
                }
                on_line
            })
            .collect();
        main.reverse();
        main
    }

    /// The state the log starts from.
    pub(crate) fn start(&self, meta: &Meta) -> Version {
        let mut start = meta.version;
        for entry in self.entries.iter().rev() {
            if entry.dot == start {
                start = entry.prior;
            }
        }
        start
    }

    /// The entries after the state at `version`, if the value went through that state and the log reaches back to it.
    pub(crate) fn since(&self, meta: &Meta, version: Version) -> Option<&[Entry]> {
        if version == meta.version {
            return Some(&[]);
        }
        if self.overflow {
            return None;
        }
        let mut next = meta.version;
        for (index, entry) in self.entries.iter().enumerate().rev() {
            if entry.dot == next {
                next = entry.prior;
                if next == version {
                    // What a merge took in stands before it.
                    let start = self.entries[..index].iter().rposition(|earlier| earlier.dot == version);
                    return Some(&self.entries[start.map_or(0, |start| start + 1)..]);
                }
            }
        }
        None
    }
}

/// Answered operations, by the node and the partition they came from: what makes their retries idempotent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Done(pub BTreeMap<(NodeId, u8), Answered>);

/// Answered operations of one partition of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answered {
    /// Every operation below this counter is answered and will not be retried; 0 as long as nothing is known.
    pub floor: u64,
    /// Replies at or above the floor.
    pub replies: Replies,
    /// Of those below, the operations that may have run on another side as well, whose fork may come when no log knows it any
    /// more; the last ones, in their order.
    pub elsewhere: Vec<u64>,
}

/// So many operations of one origin that may have run on another side are remembered.
const ELSEWHERE_MAX: usize = 64;

/// Replies in the order of their operations' counters. They come nearly in that order and go from the front, mostly one by
/// one: a queue keeps its room, where a tree is made and given back with each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replies(pub(crate) VecDeque<(u64, Reply)>);

/// What is remembered of an answered operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reply {
    /// What the client was told.
    pub text: Blob,
    /// How many keys it has changed. Not all of them may be left.
    pub keys: u32,
    /// It may have run on another side as well.
    pub exposed: bool,
}

impl Replies {
    fn place(&self, counter: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&counter, |(other, _)| *other)
    }

    fn get(&self, counter: u64) -> Option<&Reply> {
        self.0.get(self.place(counter).ok()?).map(|(_, reply)| reply)
    }

    fn insert(&mut self, counter: u64, reply: Reply) {
        match self.place(counter) {
            Ok(place) => self.0[place].1 = reply,
            Err(place) => self.0.insert(place, (counter, reply)),
        }
    }
}

impl Answered {
    /// Forgets what will not be requested again.
    fn raise(&mut self, floor: u64) {
        if floor > self.floor {
            self.floor = floor;
            while self.replies.0.front().is_some_and(|(counter, _)| *counter < floor) {
                if let Some((counter, _)) = self.replies.0.pop_front().filter(|(_, reply)| reply.exposed) {
                    self.note_elsewhere(counter);
                }
            }
        }
    }

    fn note_elsewhere(&mut self, counter: u64) {
        if let Err(place) = self.elsewhere.binary_search(&counter) {
            self.elsewhere.insert(place, counter);
            if self.elsewhere.len() > ELSEWHERE_MAX {
                self.elsewhere.remove(0);
            }
        }
    }
}

impl Done {
    /// Remembers the operation behind an entry.
    pub(crate) fn learn(&mut self, entry: &Entry) {
        if let Some(origin) = &entry.origin {
            let answered = self.0.entry((origin.id.node, origin.id.part())).or_default();
            answered.raise(origin.floor);
            if origin.id.counter >= answered.floor {
                let reply = Reply { text: origin.reply.clone(), keys: origin.keys, exposed: origin.exposed };
                answered.replies.insert(origin.id.counter, reply);
            } else if origin.exposed {
                answered.note_elsewhere(origin.id.counter);
            }
        }
    }

    /// Forgets what will not be requested again: operations of the same node and partition before this one.
    pub(crate) fn raise(&mut self, floor: OpId) {
        self.0.entry((floor.node, floor.part())).or_default().raise(floor.counter);
    }

    /// Operations before which all of the same node and partition are answered.
    pub(crate) fn floors(&self) -> Vec<OpId> {
        self.0.iter().map(|((node, _), answered)| OpId { node: *node, counter: answered.floor }).collect()
    }

    /// What the operation was answered.
    pub(crate) fn reply(&self, op: OpId) -> Option<&Reply> {
        self.0.get(&(op.node, op.part()))?.replies.get(op.counter)
    }

    /// Whether the value contains the operation, as far as is known without a log.
    pub(crate) fn counts(&self, op: OpId) -> bool {
        let elsewhere =
            || Some(self.0.get(&(op.node, op.part()))?.elsewhere.binary_search(&op.counter).is_ok());
        self.reply(op).is_some() || elsewhere() == Some(true)
    }

    /// Whether the operation was answered so long ago that only a stray duplicate can ask for it.
    pub(crate) fn is_over(&self, op: OpId) -> bool {
        self.0.get(&(op.node, op.part())).is_some_and(|answered| op.counter < answered.floor)
    }

    /// Takes over another copy's knowledge.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (origin, theirs) in &other.0 {
            let ours = self.0.entry(*origin).or_default();
            for (counter, reply) in &theirs.replies.0 {
                if ours.replies.get(*counter).is_none() {
                    ours.replies.insert(*counter, reply.clone());
                }
            }
            ours.raise(theirs.floor);
            theirs.elsewhere.iter().for_each(|counter| ours.note_elsewhere(*counter));
        }
    }
}

/// A copy as it is sent to a regrouping owner, or kept as a fork.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyState {
    /// Versions and subscribers.
    pub meta: Meta,
    /// Entries after `stable`.
    pub log: Log,
    /// Answered operations.
    pub done: Done,
    /// A batch of class X whose effects this copy does not contain yet.
    pub prepared: Option<PreparedPart>,
    /// The value, when the log cannot stand for it.
    pub value: Option<Whole>,
}

/// A whole value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Whole {
    /// `None`: absent.
    pub snapshot: Option<Blob>,
}

/// A prepared batch as seen from one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PreparedPart {
    /// The batch.
    pub flight: FlightId,
    /// Its participants.
    pub participants: Participants,
    /// This key's part.
    pub part: Part,
    /// Its effects, entry by entry, in a form that can follow on any later state.
    pub detached: Vec<Vec<Blob>>,
    /// Already known to be committed.
    pub committed: bool,
}

impl PreparedPart {
    /// Where its last entry stands.
    pub(crate) fn last_dot(&self) -> Option<Version> {
        self.part.entries.last().map(|entry| entry.dot)
    }

    /// Its entries with effects that can follow on any later state.
    pub(crate) fn detached_entries(&self) -> Vec<Entry> {
        let entries = self.part.entries.iter().zip(&self.detached);
        entries.map(|(entry, effects)| Entry { effects: effects.clone(), ..entry.clone() }).collect()
    }
}

/// What a node is to a key in the view [`Copy::view`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Not regrouped yet.
    Idle,
    /// Somebody else orders.
    Follower {
        /// Who, as far as this node knows.
        owner: NodeId,
        /// How often the token had moved then.
        tenure: u64,
    },
    /// This node orders.
    Owner(Box<Owning>),
}

/// A subscriber's state of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Copy {
    pub(crate) meta: Meta,
    pub(crate) log: Log,
    pub(crate) folding: Folding,
    pub(crate) done: Done,
    pub(crate) role: Role,
    /// The view `role` belongs to.
    pub(crate) view: ViewId,
    /// The base up to which dropped members were taken out of `meta`.
    pub(crate) generation: Generation,
    /// A batch of class X with a part here that is neither applied nor aborted.
    pub(crate) prepared: Option<Prepared>,
    /// Reads wait until this is confirmed to be everywhere.
    pub(crate) invalid: Option<Invalid>,
    /// When a client was told the version last, to watch the key.
    pub(crate) watched_ms: Option<u64>,
}

/// A batch of class X that a copy may have to take in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prepared {
    pub(crate) flight: FlightId,
    /// The version it was ordered on top of: the log reaches back to it as long as the batch is in doubt.
    pub(crate) prior: Version,
}

/// Why a copy may not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Invalid {
    /// A batch was applied but not validated.
    Flight(FlightId),
    /// An alignment is not done.
    Align(u64),
}

/// Whether the copies of a key were brought together without a batch that could not be settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Doubt {
    /// No.
    #[default]
    None,
    /// Yes: X stops.
    Open,
    /// The batch has been settled since: they are brought together once more, with it.
    Settled,
}

/// What only the owner of a key keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Owning {
    pub(crate) tenure: u64,
    pub(crate) queue: VecDeque<Queued>,
    /// The one batch, join, leave or grant in progress.
    pub(crate) busy: Option<Busy>,
    /// Reserved by an operation on several keys.
    pub(crate) pinned: Option<OpId>,
    /// Whether a batch of an earlier view stands in the way of X.
    pub(crate) doubt: Doubt,
    /// The last origin and how many operations came from it in a row.
    pub(crate) run: Option<(NodeId, u32)>,
    pub(crate) waiters: VecDeque<(NodeId, u64)>,
    /// What other nodes were told in this view about operations that left no entry.
    pub(crate) answers: BTreeMap<OpId, Result<Blob, ClientError>>,
    /// The version at which a waiter was last woken: one write wakes one.
    pub(crate) woken_seq: Option<u64>,
}

/// What stands in a key's queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Queued {
    Op(OpId),
    Pin(OpId),
    /// Whose client waits, and its ticket.
    Wait(NodeId, u64),
    Grant(NodeId),
    /// Joiner and the name of its touch.
    Join(NodeId, u64),
    /// Who, and the name of its leave.
    Leave(NodeId, u64),
    Expire,
    /// The last copy is to be deleted.
    Delete,
    Fork(NodeId, Box<CopyState>),
}

/// What keeps a key's queue from moving.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Busy {
    Flight(FlightId),
    Regroup(Box<Regroup>),
    Align(Box<Aligning>),
    Leaving {
        node: NodeId,
        leave: u64,
        sent_ms: u64,
    },
    Granting {
        to: NodeId,
        sent_ms: u64,
    },
    /// For a client of this node that was woken.
    Reserved {
        node: NodeId,
        ticket: u64,
        sent_ms: u64,
    },
}

impl Busy {
    /// When what it waits for was asked for last; a batch says so itself.
    pub(crate) fn sent_ms(&self) -> Option<u64> {
        match self {
            Self::Flight(_) => None,
            Self::Regroup(regroup) => Some(regroup.sent_ms),
            Self::Align(aligning) => Some(aligning.sent_ms),
            Self::Leaving { sent_ms, .. }
            | Self::Granting { sent_ms, .. }
            | Self::Reserved { sent_ms, .. } => Some(*sent_ms),
        }
    }
}

/// The first two steps of a regroup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Regroup {
    /// Holders that have not sent their state.
    pub(crate) waiting: NodeSet,
    pub(crate) states: BTreeMap<NodeId, CopyState>,
    /// Batches that have to be settled first.
    pub(crate) settling: BTreeSet<FlightId>,
    pub(crate) sent_ms: u64,
}

/// Messages that bring the other copies up to date, until all have answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Aligning {
    pub(crate) round: u64,
    pub(crate) waiting: NodeSet,
    pub(crate) all: NodeSet,
    pub(crate) bodies: BTreeMap<NodeId, Alignment>,
    pub(crate) sent_ms: u64,
}

impl Aligning {
    /// Whether this is a joiner's first snapshot, which goes by the name of its touch.
    pub(crate) fn is_join(&self) -> bool {
        self.round >> 63 == 1
    }
}

impl Copy {
    /// A copy of a key that has just come into being, without a value.
    pub(crate) fn new(meta: Meta, view: ViewId) -> Self {
        let generation = meta.version.generation;
        Self {
            meta,
            log: Log::default(),
            folding: Folding::default(),
            done: Done::default(),
            role: Role::Idle,
            view,
            generation,
            prepared: None,
            invalid: None,
            watched_ms: None,
        }
    }

    /// Whether this batch is prepared and not decided here.
    pub(crate) fn is_prepared_for(&self, flight: FlightId) -> bool {
        self.prepared.is_some_and(|prepared| prepared.flight == flight)
    }

    /// Whether a batch of this view is prepared and not decided here.
    pub(crate) fn is_preparing_in(&self, view: ViewId) -> bool {
        self.prepared.is_some_and(|prepared| prepared.flight.view == view)
    }

    /// Whether a read of the copy would return what not every subscriber has yet, or miss what others may have.
    pub(crate) fn is_pending(&self, view: ViewId) -> bool {
        let busy = self.owning(view).and_then(|owning| owning.busy.as_ref());
        // A batch left over from an earlier view is in doubt: reads return the last committed state.
        self.invalid.is_some()
            || self.is_preparing_in(view)
            || matches!(busy, Some(Busy::Flight(_) | Busy::Regroup(_) | Busy::Align(_)))
    }

    pub(crate) fn owning(&self, view: ViewId) -> Option<&Owning> {
        match &self.role {
            Role::Owner(owning) if self.view == view => Some(owning),
            _ => None,
        }
    }

    pub(crate) fn owning_mut(&mut self, view: ViewId) -> Option<&mut Owning> {
        match &mut self.role {
            Role::Owner(owning) if self.view == view => Some(owning),
            _ => None,
        }
    }

    /// The owner in `view`, once the key is regrouped there.
    pub(crate) fn owner(&self, view: ViewId, me: NodeId) -> Option<NodeId> {
        match &self.role {
            _ if self.view != view => None,
            Role::Idle => None,
            Role::Follower { owner, .. } => Some(*owner),
            Role::Owner(_) => Some(me),
        }
    }

    /// What WATCH remembers of the value as it is.
    pub(crate) fn watch(&self) -> Watch {
        Watch { birth: self.meta.birth, version: self.meta.version }
    }

    /// Whether the value is what `watch` remembers. A key that nobody held has no version: it is as it was if it has come
    /// into being only to be written to now.
    pub(crate) fn is_as_watched(&self, watch: Watch) -> bool {
        self.watch() == watch || watch == Watch::default() && self.meta.version.seq == 0
    }

    /// Everything of the base that may hold the key.
    pub(crate) fn possible_holders(&self) -> NodeSet {
        self.meta.subscribers | self.meta.doubt
    }

    /// Adds entries that the value already contains.
    pub(crate) fn append(&mut self, entries: Vec<Entry>, config: &Config) {
        let written = self.meta.written;
        for entry in &entries {
            self.meta.advance(entry);
            self.done.learn(entry);
        }
        self.log.extend(entries, written, config.limits.log_max);
        self.bound_covers(config);
    }

    /// Forgets of the oldest epochs what the value contains. Not of those that the log leads through, nor of as many before
    /// it: a fork begins in one of them.
    pub(crate) fn bound_covers(&mut self, config: &Config) {
        let mut covers_max = config.limits.covers_max;
        if !config.without(Mutant::ForgetWhatTheLogNeeds) {
            covers_max += self.log.entries.len();
        }
        while self.meta.covers.len() > covers_max
            && let Some((epoch, _)) = self.meta.covers.pop_first()
        {
            self.meta.forgotten = self.meta.forgotten.max(epoch);
        }
    }

    /// Notes that all subscribers hold everything up to `stable`, and returns what the log need not keep any more and when
    /// that started, if it starts at another state now.
    pub(crate) fn settle_stable(&mut self, stable: Version, config: &Config) -> Option<(Stamp, Vec<Entry>)> {
        // News of long ago may name a state in the middle of what was folded since.
        let reachable = stable.seq > self.meta.stable.seq && stable.seq >= self.folding.from_seq;
        if reachable && self.log.since(&self.meta, stable).is_some() {
            self.meta.stable = stable;
        }
        // A batch in doubt may have to be merged on top of an entry that everyone has.
        let prior =
            self.prepared.map(|prepared| prepared.prior).filter(|prior| prior.seq < self.meta.stable.seq);
        let settled = self.log.trim(&self.meta, prior.unwrap_or(self.meta.stable));
        if settled.is_some() {
            self.bound_covers(config);
        }
        settled
    }
}
