//! From a parsed request to its reply: checks, locks, execution, and what follows from it.
//!
//! - `execute`: everything between a request's arguments and its handler, in Redis's order of checks
//! - `run`: lock sets, views, effects, statistics
//! - `prefetch`: the entries of several keys, fetched together
//! - `park`: clients parked on keys and how a writer serves them
//! - `transaction`: queued commands under one lock set

pub mod execute;
pub mod park;
pub mod prefetch;
pub mod run;
pub mod transaction;

pub use execute::{Outcome, Request, execute};
