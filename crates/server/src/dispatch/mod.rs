//! From a parsed request to its reply: checks, locks, execution, and what follows from it.
//!
//! - `execute`: takes a request; `lookup`: which command it names
//! - `admit`: what can refuse or delay a command, in Redis's order; `conditions`: who sets that, and when it holds
//! - `rights`: what a client's user may do
//! - `run`: how a command runs, on one page
//! - `scope`: which shards a command needs; `locks`: the views of them; `changes`: what follows from changes; `listeners`: who
//!   hears of them; `guard`: what happens on a panic; `count`:
//!   statistics
//! - `room`: keys that are evicted; `client_room`: clients that are
//! - `inner`: commands that a script calls
//! - `show`: what MONITOR is shown
//! - `prefetch`: the entries of several keys, fetched together
//! - `park`: clients parked on keys and how a writer serves them
//! - `subscriptions`: how a client begins and ends to listen to channels
//! - `tracking`: who has read what, and is told when it changes
//! - `transaction`: queued commands under one lock set; `watch`: what a client has queued and watches until then
//!
//! No command is known here by its name: what is special about one is a flag of its declaration.

mod admit;
pub mod changes;
pub mod client_room;
pub mod conditions;
pub mod count;
pub mod execute;
pub mod guard;
pub mod inner;
mod listeners;
pub mod locks;
pub mod lookup;
pub mod park;
pub mod prefetch;
pub mod rights;
pub mod room;
pub mod run;
pub mod scope;
mod show;
pub mod subscriptions;
pub mod tracking;
pub mod transaction;
pub mod watch;

pub use crate::command::Outcome;
pub use admit::SlotRule;
pub use execute::{Request, execute};
use show::show;
pub use show::show_script;
