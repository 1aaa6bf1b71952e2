//! The leaderless protocol of a swytch cluster as a sans-IO core: (state, input, now) -> actions.
//!
//! Keys are held by the nodes whose clients touch them; one of these, the owner, orders a key's writes. Membership
//! is agreed in views. While nodes can reach each other the cluster behaves like one server; when they cannot,
//! mergeable writes go on on every side and are merged later, and what must happen exactly once stops with a clear
//! error. `docs/cluster-promises.md` states what is promised in which situation, `docs/cluster-protocol.md` the rules.
//!
//! Invariant of the crate: no sockets, no clocks, no threads, no data types, no hash-map order in behaviour. The
//! same inputs give the same actions, bit for bit. [`Values`] is the only door to the data.

mod absence;
mod agenda;
mod attic;
pub mod config;
mod copies;
mod copy;
mod creation;
pub mod databases;
mod deadlines;
mod directory;
mod durable;
mod each;
mod enter;
mod evacuate;
mod exec;
mod flush;
mod fold;
pub mod forming;
mod heal;
mod holders;
pub mod ids;
mod installed;
pub mod interface;
mod keeper;
pub mod key;
mod leave;
mod left_over;
mod members;
pub mod message;
pub mod mutant;
mod naming;
pub mod node;
mod operation;
mod over;
mod part;
pub mod participants;
mod reach;
mod read;
mod regroup;
mod repair;
mod report;
mod rubbish;
mod settle;
mod solo;
mod table;
pub mod tally;
mod token;
mod turn;
mod unowned;
pub mod values;
pub mod view;
mod wait;
pub mod wire;
mod write;

pub use config::{Config, Limits, Minority, MultiKey, Timers};
pub use copy::{Answered, CopyState, Done, Log, Meta, PreparedPart, Replies, Reply, Whole};
pub use databases::{Databases, Given};
pub use durable::Durable;
pub use forming::{Ballot, Draft, Forming, Greeting, Newcomer, Pledge, Says, Start};
pub use ids::{
    Blob, Contact, FlightId, Generation, Incarnation, NodeId, NodeSet, OpId, Stamp, Time, Uid, Version,
    ViewId,
};
pub use interface::{Action, Answer, Change, Class, ClientError, Evicted, Input, Request, Watch};
pub use key::{Key, Mark, Slot, Space};
pub use message::{Base, BaseTag, Envelope, Former, Message, Token, Vote};
pub use mutant::Mutant;
pub use node::{CopyInfo, Node};
pub use participants::Participants;
pub use repair::Repairs;
pub use tally::{Rule, Tally};
pub use values::{Aside, Entry, EntryOp, Executed, History, MergeBy, MergeInput, Step, Values};
pub use view::View;
