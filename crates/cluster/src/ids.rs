//! Names of things: nodes, views, versions, operations, points in time.
//!
//! All of them are small `Copy` values with a total order, because every decision of the protocol that picks "the
//! highest" must come out the same on every node. `Blob` is the one owner of bytes the core never looks into.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};
use std::sync::Arc;

/// The most nodes a cluster can have; a node set is one machine word.
pub const NODES_MAX: u8 = 64;

/// The highest number that shares its word with a node: counters of views and numbers of batches. At a million a second
/// that lasts for 2,000 years.
pub(crate) const COUNTER_MAX: u64 = u64::MAX >> 8;

/// How far a number that a message tells may be ahead of what its receiver knows. No absence is that long, and whoever
/// believed any number could be talked into one that leaves none for those who come after.
const JUMP_MAX: u64 = 1 << 32;

/// Whether a number may come next to one that is known.
pub(crate) fn is_near(told: u64, known: u64) -> bool {
    told <= known.saturating_add(JUMP_MAX)
}

/// Index of a node in the cluster, below [`NODES_MAX`]. A restarted node keeps it and raises its [`Incarnation`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u8);

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Who a node is, whatever its number: drawn at its first start, and kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u128);

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Who a node is and where it is found. The default is that of a node whose number says it all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contact {
    /// Who.
    pub uid: Uid,
    /// Where, in a form that only the transport reads.
    pub address: Blob,
}

/// Which life of a node this is; strictly larger after every restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The first incarnation of the `life`-th start. A node that has to drop its state while running counts on from
    /// here, so lives are 2^16 apart.
    pub fn of_life(life: u32) -> Self {
        Self(u64::from(life) << 16)
    }

    /// Which start it goes back to.
    pub(crate) fn life(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// A set of nodes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeSet(pub u64);

impl NodeSet {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// The set of one node.
    pub fn only(node: NodeId) -> Self {
        Self(1 << node.0)
    }

    /// Whether `node` is a member.
    pub fn contains(self, node: NodeId) -> bool {
        self.0 >> node.0 & 1 == 1
    }

    /// Whether every member is also in `other`.
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether there is no member.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Number of members.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Adds `node`.
    pub fn insert(&mut self, node: NodeId) {
        self.0 |= 1 << node.0;
    }

    /// Takes `node` out.
    pub fn remove(&mut self, node: NodeId) {
        self.0 &= !(1 << node.0);
    }

    /// The set and `node`.
    #[must_use]
    pub fn with(self, node: NodeId) -> Self {
        Self(self.0 | 1 << node.0)
    }

    /// The set without `node`.
    #[must_use]
    pub fn without(self, node: NodeId) -> Self {
        Self(self.0 & !(1 << node.0))
    }

    /// The lowest member.
    pub fn first(self) -> Option<NodeId> {
        (self.0 != 0).then(|| NodeId(self.0.trailing_zeros() as u8))
    }

    /// The next member after `node`, in a circle.
    pub fn after(self, node: NodeId) -> Option<NodeId> {
        let above = Self(self.0 & !(u64::MAX >> (63 - node.0)));
        above.first().or(self.first())
    }

    /// Members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = (rest != 0).then(|| NodeId(rest.trailing_zeros() as u8))?;
            rest &= rest - 1;
            Some(next)
        })
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        nodes.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl BitAnd for NodeSet {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for NodeSet {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sub for NodeSet {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Name of a view; ordered, and never used twice because the proposer is part of it. One word, like every part of a
/// name that messages and logs are full of: a counter larger than every one the proposer had seen, above the proposer.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(u64);

impl ViewId {
    /// The name of the view that `proposer` proposes with `counter`, at most `COUNTER_MAX`.
    pub fn new(counter: u64, proposer: NodeId) -> Self {
        Self(counter << 8 | u64::from(proposer.0))
    }

    /// Larger than every counter the proposer had seen.
    pub fn counter(self) -> u64 {
        self.0 >> 8
    }

    /// Who proposed it.
    pub fn proposer(self) -> NodeId {
        NodeId(self.0 as u8)
    }
}

impl fmt::Debug for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.counter(), self.proposer().0)
    }
}

/// Number of a base; each change of the base adds one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// The dot of an entry: where in the history of a key it stands. `seq` rises by one per entry along a history,
/// across epochs; two histories that fork differ in the epoch from the fork on.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Generation of the base under which the entry was ordered.
    pub generation: Generation,
    /// View in which the entry was ordered; one owner per key and view makes (epoch, seq) unique.
    pub epoch: ViewId,
    /// Position in the key's history.
    pub seq: u64,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}/{:?}#{}", self.generation.0, self.epoch, self.seq)
    }
}

/// Name of a client's operation, the same through every retry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The node the client is connected to.
    pub node: NodeId,
    /// Rises within and across that node's incarnations, above the partition of the operation's first key.
    pub counter: u64,
}

impl OpId {
    /// Which life of its node it is of.
    pub(crate) fn life(self) -> u64 {
        self.counter >> 40
    }

    /// The partition of the operation's first key.
    pub fn part(self) -> u8 {
        self.counter as u8
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op{}.{}", self.node.0, self.counter)
    }
}

/// Name of one batch of one owner (a group commit): the unit of INV, PREP, ACK, COMMIT and ABORT.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId {
    /// View in which the batch was sent.
    pub view: ViewId,
    /// The coordinator above a number that rises per coordinator and ends in the coordinating partition.
    name: u64,
}

impl FlightId {
    /// The batch of that number, at most `COUNTER_MAX`, of the coordinator `node`.
    pub fn new(view: ViewId, node: NodeId, number: u64) -> Self {
        Self { view, name: u64::from(node.0) << 56 | number }
    }

    /// The coordinator.
    pub fn node(self) -> NodeId {
        NodeId((self.name >> 56) as u8)
    }

    /// Rises per coordinator and partition.
    pub fn number(self) -> u64 {
        self.name & COUNTER_MAX
    }

    /// The partition that coordinates it: the lowest byte of its number.
    pub fn part(self) -> u8 {
        self.name as u8
    }
}

impl fmt::Debug for FlightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}.{}@{:?}", self.node().0, self.number(), self.view)
    }
}

/// Hybrid logical clock reading. Only merges look at it; no ordering inside a history depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Wall clock of the owner, milliseconds since the Unix epoch, never behind a stamp it had seen.
    pub wall_ms: u64,
    /// Ties within one millisecond.
    pub logical: u32,
    /// The owner that ordered the write.
    pub node: NodeId,
}

impl Stamp {
    /// Moves the clock of `node` on to its next reading, when the wall clock stands at `wall_ms`.
    pub(crate) fn tick(&mut self, wall_ms: u64, node: NodeId) -> Self {
        *self = if wall_ms > self.wall_ms {
            Self { wall_ms, logical: 0, node }
        } else {
            match self.logical.checked_add(1) {
                Some(logical) => Self { logical, ..*self },
                None => Self { wall_ms: self.wall_ms + 1, logical: 0, node },
            }
        };
        *self
    }
}

impl Default for Stamp {
    fn default() -> Self {
        Self { wall_ms: 0, logical: 0, node: NodeId(0) }
    }
}

/// The time, as the caller knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Monotonic milliseconds since any fixed point. Clocks of two nodes may run at rates up to a factor of 3 apart.
    pub mono_ms: u64,
    /// Wall clock, milliseconds since the Unix epoch; may jump either way.
    pub wall_ms: u64,
}

/// Bytes the core carries but never reads: commands, effects, replies, snapshots. None where there are no bytes, so
/// that the many empty replies in logs are nothing to count references of.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(Option<Arc<[u8]>>);

impl Blob {
    /// Takes a copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        Self((!bytes.is_empty()).then(|| Arc::from(bytes)))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(&bytes)
    }
}

impl From<&str> for Blob {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stands_behind_a_stamp_never_runs_out_of_readings() {
        let (node, other) = (NodeId(0), NodeId(1));
        let seen = Stamp { wall_ms: 100, logical: u32::MAX - 1, node };
        let mut clock = seen;
        let readings = [clock.tick(50, node), clock.tick(50, node), clock.tick(50, other)];
        assert!(seen < readings[0] && readings.is_sorted());
        assert_eq!((readings[1].wall_ms, readings[1].logical), (101, 0));
    }

    #[test]
    fn node_sets_behave_like_sets() {
        let set: NodeSet = [NodeId(3), NodeId(0), NodeId(63)].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [NodeId(0), NodeId(3), NodeId(63)]);
        assert_eq!((set.len(), set.first()), (3, Some(NodeId(0))));
        assert_eq!((set.after(NodeId(0)), set.after(NodeId(63))), (Some(NodeId(3)), Some(NodeId(0))));
        assert!(set.without(NodeId(63)).is_subset(set) && !set.is_subset(set.without(NodeId(63))));
        assert_eq!((set - NodeSet::only(NodeId(3))) & NodeSet::only(NodeId(3)), NodeSet::EMPTY);
    }
}
