//! Configuration of a node: its name, its timers, its bounds.

use std::hash::{Hash, Hasher};

use crate::ids::{Incarnation, NodeId};
use crate::interface::Class;
use crate::key::SLOTS;
use crate::mutant::Mutant;

/// The most partitions a node can have: their number is one byte.
pub const PARTS_MAX: u16 = 256;

/// What `cluster-node-timeout` is when nobody says otherwise.
pub const NODE_TIMEOUT_MS: u64 = 15_000;

/// How one node is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// Which life of it; larger than in every earlier life.
    pub incarnation: Incarnation,
    /// Partitions of the keys: a power of two, at most [`PARTS_MAX`], the same at all nodes.
    pub parts: u16,
    /// Databases, at most [`DATABASES_MAX`](crate::databases::DATABASES_MAX), the same at all nodes. The store has twice as
    /// many spaces.
    pub databases: u16,
    /// How many members are to hold each key: 1, or 2. The base says the highest of what its members want.
    pub copies: u8,
    /// Starts a cluster of its own. Without it the node waits until a view takes it in.
    pub bootstrap: bool,
    /// Timers.
    pub timers: Timers,
    /// Bounds.
    pub limits: Limits,
    /// What its clients may do while most of the base is out of reach.
    pub minority: Minority,
    /// How writes on several keys go.
    pub multi_key: MultiKey,
    /// The rule to leave out; has no effect without the feature `mutants`.
    pub mutant: Option<Mutant>,
}

/// By name and life: the settings of a node never change while it lives.
impl Hash for Config {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.id, self.incarnation).hash(state);
    }
}

impl Config {
    /// The defaults for a node.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            incarnation: Incarnation::of_life(1),
            parts: 1,
            databases: 16,
            copies: 1,
            bootstrap: false,
            timers: Timers::default(),
            limits: Limits::default(),
            minority: Minority::default(),
            multi_key: MultiKey::default(),
            mutant: None,
        }
    }

    /// Whether the rule `mutant` names is left out.
    #[inline]
    pub(crate) fn without(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.mutant == Some(mutant)
    }
}

/// How an ordinary write on several keys goes (`cluster-multi-key`), if the store can divide it by key
/// ([`Values::share`](crate::Values::share)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MultiKey {
    /// On all of them at once, decided once.
    #[default]
    Atomic,
    /// For each key by itself.
    Each,
}

/// What clients may do at a node whose view has not most of the base (`cluster-minority-reads`, `cluster-minority-writes`):
/// everything, unless somebody says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Minority {
    /// Read what may be old.
    pub reads: bool,
    /// Write what may have to be merged.
    pub writes: bool,
}

impl Default for Minority {
    fn default() -> Self {
        Self { reads: true, writes: true }
    }
}

impl Minority {
    /// Whether this is possible.
    #[inline]
    pub(crate) fn allows(self, class: Class) -> bool {
        if class == Class::Read { self.reads } else { self.writes }
    }
}

/// Intervals, in milliseconds of the node's own monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timers {
    /// The caller ticks at least this often.
    pub tick_ms: u64,
    /// Between two heartbeats to a peer.
    pub heartbeat_ms: u64,
    /// A peer silent for longer is suspected.
    pub suspect_ms: u64,
    /// Without an echo from most of the base for longer, every X stops.
    pub lease_ms: u64,
    /// Most of the base may drop a peer silent for longer: by then its lease is over, however its clock runs compared with
    /// theirs. So this is longer than a lease by as much as clocks may run apart.
    pub expiry_ms: u64,
    /// Between two sendings of an unanswered request.
    pub retry_ms: u64,
    /// A client operation is answered within this time, with an error when need be.
    pub op_ms: u64,
    /// One of class W that may have been applied is so within this time: longer, because an error would tell its client
    /// nothing, and most clients take it for a write that was not applied.
    pub write_ms: u64,
    /// An X that is not acknowledged for longer is aborted by its coordinator. Less than `op_ms`.
    pub abort_ms: u64,
    /// An unfinished attempt at a view is given up after this time.
    pub propose_ms: u64,
    /// A key without a value is forgotten after this time.
    pub forget_ms: u64,
    /// What a client watches of a key that only its node holds is known for at least this long.
    pub watch_ms: u64,
    /// Fork logs are kept for an expired node this long.
    pub retain_ms: u64,
    /// Those of keys that come into being after its expiry only this long: who comes back has mostly done so by then, and
    /// who does not is not to cost every new key a log.
    pub return_ms: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self::of_node_timeout(NODE_TIMEOUT_MS)
    }
}

impl Timers {
    /// Those of a node that may be silent for this long before the others go on without it (`cluster-node-timeout`): lease and
    /// expiry give clocks a quarter, and two seconds, to run apart.
    pub fn of_node_timeout(timeout_ms: u64) -> Self {
        let suspect_ms = 1_500;
        let lease_ms = timeout_ms / 3;
        Self {
            tick_ms: 50,
            heartbeat_ms: 250,
            suspect_ms,
            lease_ms,
            expiry_ms: (lease_ms + suspect_ms) * 5 / 4 + 2_000,
            retry_ms: 400,
            op_ms: 5_000,
            write_ms: 12_000,
            abort_ms: 2_500,
            propose_ms: 1_000,
            forget_ms: 1_000,
            watch_ms: 60_000,
            retain_ms: 24 * 3_600 * 1_000,
            return_ms: 10 * 60 * 1_000,
        }
    }

    /// Those for clocks of which one may run three times as fast as another: what the model, the simulator and the scenarios
    /// play.
    pub fn of_any_clocks() -> Self {
        Self { lease_ms: 10_000, expiry_ms: 31_000, ..Self::default() }
    }
}

/// Bounds on everything that could grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Client operations of this node in progress; more are refused with TryAgain.
    pub ops_max: usize,
    /// Operations waiting at one key's owner; more are refused with TryAgain.
    pub queue_max: usize,
    /// Operations in one batch.
    pub batch_max: usize,
    /// Entries in a key's log, after folding about one for each cell touched; a longer fork falls back to the
    /// whole-key last writer.
    pub log_max: usize,
    /// Epochs before those of its log of which a copy remembers what it contains. A fork from before them is decided
    /// whole as well.
    pub covers_max: usize,
    /// A log with fewer entries is not folded while its view lasts.
    pub fold_min: usize,
    /// Waiting clients per key at its owner.
    pub waiters_max: usize,
    /// Keys per part of a report of a member to a home.
    pub report_max: usize,
    /// Keys with a record that one step looks at because of a new view, and as many without one.
    pub walk_max: usize,
    /// Creation leases a node holds, and those a home gives; none at 0. A slot has one, so more than there are slots
    /// are never used.
    pub leases_max: usize,
    /// News for one home that it has not acknowledged. What comes then is created by the home, and not forgotten.
    pub unreported_max: usize,
    /// Consecutive operations from one node after which the token moves there.
    pub token_run: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ops_max: 65_536,
            queue_max: 4_096,
            batch_max: 128,
            log_max: 65_536,
            covers_max: 64,
            fold_min: 64,
            waiters_max: 4_096,
            report_max: 512,
            walk_max: 256,
            leases_max: SLOTS as usize,
            unreported_max: 16_384,
            token_run: 8,
        }
    }
}
