//! What goes into a node and what comes out: [`Input`], [`Action`], requests and their answers.

use crate::durable::Durable;
use crate::forming::Greeting;
use crate::ids::{Blob, FlightId, NodeId, NodeSet, Version, ViewId};
use crate::key::Key;
use crate::message::Envelope;
use std::fmt;

/// Anything that happens to a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Time has passed; at least every [`Timers::tick_ms`](crate::config::Timers::tick_ms).
    Tick,
    /// A message has come in, of a node that is the one that it says ([`Node::admit`](crate::Node::admit)).
    Message(Box<Envelope>),
    /// A client of this node wants something.
    Client(Request),
    /// A client of this node wants another keyspace; answered by [`Action::Reply`].
    Change {
        /// The caller's name for it, given back in the reply.
        ticket: u64,
        /// What is to be changed.
        change: Change,
    },
    /// A client of this node blocks until `key` can serve it; answered by [`Action::Wake`].
    Wait {
        /// The caller's name of the wait.
        ticket: u64,
        /// The key waited for, as the client names it.
        key: Key,
    },
    /// The client is gone or was served by another key. Also of a wait that was woken and is not going to be claimed.
    CancelWait {
        /// The wait to forget.
        ticket: u64,
    },
    /// The store found the key past its deadline.
    Expire(Key),
    /// The store wants the memory of this key back; answered by [`Action::Evict`].
    Evict(Key),
    /// This node's address became known: heartbeats go there.
    Peer(NodeId),
    /// A node without a number, or of a cluster that this node is not in, has said this to this node's address.
    Greeting(Box<Greeting>),
    /// An operator asserts that the node is dead for good.
    Forget(NodeId),
    /// This node is to leave soon: other members take over what only it holds; answered by [`Action::Evacuated`]. Until then
    /// it goes on as before.
    Evacuate,
    /// This node leaves for good. What only it holds goes with it.
    Leave,
}

/// What kind of operation a request is; the classes of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Changes nothing; answered from the local copies.
    Read,
    /// Mergeable: goes on in a partition.
    W,
    /// Decided once: needs every subscriber. Any operation on several keys that writes is of this class.
    X,
    /// FLUSHALL: needs every member of the base.
    Flush,
}

/// A change of all keys of some databases, which all of the base makes at once. Numbers are below
/// [`Config::databases`](crate::Config::databases).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// FLUSHALL.
    FlushAll,
    /// FLUSHDB on this database.
    FlushDb(u16),
    /// SWAPDB of these.
    SwapDb(u16, u16),
}

/// A client's operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The caller's name for it, given back in the reply; less than 2^63.
    pub ticket: u64,
    /// Its class.
    pub class: Class,
    /// Keys it reads or writes, as its client names them, without duplicates. The command's effects name keys by index into this list.
    pub keys: Vec<Key>,
    /// The command, opaque.
    pub command: Blob,
    /// WATCHed keys and what was seen of them.
    pub watches: Vec<(Key, Watch)>,
    /// READMODE local: a read does not wait for a pending W.
    pub local_read: bool,
    /// A read for WATCH: its versions are wanted as well.
    pub watch: bool,
    /// The wait for its one key that was woken for it: it comes before what others have asked for since.
    pub claims: Option<u64>,
}

/// What WATCH remembers of a key. Versions of one creation of it differ; another creation counts from the start again.
/// The default is that of a key that nobody holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch {
    /// Which creation of the key.
    pub birth: FlightId,
    /// The last entry of the value seen.
    pub version: Version,
}

/// What a client is told when all went well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The reply of the command.
    pub reply: Blob,
    /// For a read that asked for them: the versions of its keys, to be given back as watches of a later EXEC.
    pub watches: Vec<(Key, Watch)>,
}

/// Why an operation failed, and what that says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientError {
    /// An X whose subscribers are not all reachable, or whose lease is over. Nothing was applied.
    Unreachable,
    /// No owner could be reached in time, or a queue is full. Nothing was applied.
    TryAgain,
    /// Prepared and taken back everywhere. Nothing was applied.
    Aborted,
    /// A watched key changed: the nil reply of EXEC. Nothing was applied.
    WatchFailed,
    /// It may have been applied or may be applied later.
    InDoubt,
    /// This node is in no view, or in one that has not most of the base and does not serve without
    /// ([`Minority`](crate::config::Minority)). Nothing was applied.
    NotServing,
}

impl ClientError {
    /// Whether the error says that nothing was and nothing will be applied.
    pub fn is_clean(self) -> bool {
        self != Self::InDoubt
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => {
                "UNREACHABLE a node that holds the key cannot be reached, nothing was applied"
            }
            Self::TryAgain => "TRYAGAIN the key's owner could not be reached in time, nothing was applied",
            Self::Aborted => "UNREACHABLE the operation was taken back, nothing was applied",
            Self::WatchFailed => "a watched key changed",
            Self::InDoubt => "INDOUBT the operation may or may not have been applied",
            Self::NotServing => {
                "CLUSTERDOWN this node cannot reach the cluster, or most of it, nothing was applied"
            }
        })
    }
}

impl std::error::Error for ClientError {}

/// How an eviction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evicted {
    /// The copy is gone; other nodes hold the key.
    Dropped,
    /// It was the last copy: the key was deleted by an ordered write.
    Deleted,
    /// The copy stays: a subscriber is out of reach and may know less than this copy.
    Refused,
    /// This node did not hold the key.
    NotHeld,
}

/// Anything a node wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send this; it may be lost, doubled or overtaken.
    Send(Box<Envelope>),
    /// Say this to an address; it may be lost, doubled or overtaken.
    Greet {
        /// The address.
        to: Blob,
        /// What to say.
        greeting: Box<Greeting>,
    },
    /// Another node has this one's number, and this one is in no cluster yet: it begins again without a number
    /// ([`Newcomer`](crate::Newcomer)).
    Nameless,
    /// Answer a client.
    Reply {
        /// The request's ticket.
        ticket: u64,
        /// What to say.
        result: Result<Answer, ClientError>,
    },
    /// A waiting client may try now: what it asks for with this ticket ([`Request::claims`]) comes before anything else for a
    /// while. The wait is over.
    Wake {
        /// The wait's ticket.
        ticket: u64,
    },
    /// An eviction has ended.
    Evict {
        /// The key.
        key: Key,
        /// How.
        outcome: Evicted,
    },
    /// At this moment all that this node holds is held by another member as well. What its clients create from now on is
    /// not; the caller lets it leave, or wants to know again.
    Evacuated,
    /// Write this down, and do what follows only when it is safe: the node's next life is to start with it
    /// ([`Node::restore`](crate::Node::restore)).
    Persist(Box<Durable>),
    /// A new view was installed.
    View {
        /// Its name.
        id: ViewId,
        /// Its members.
        members: NodeSet,
    },
}
