//! Checkers: what a recorded history proves or refutes, with no knowledge of how it was produced.
//!
//! - [`linearizable`]: is there one order of the operations that explains every reply (Wing-Gong-Lowe)?
//! - [`serializable`]: are list-append transactions strictly serializable (cycle search)?
//! - [`queue`]: was every acknowledged push popped exactly once, or left over?
//! - [`session`]: did each session read its own writes, and never go backwards?
//! - [`convergence`]: do the replicas hold the same state?
//!
//! All of them treat an operation with no known outcome as one that may or may not have happened. An operation that
//! failed with a clean error promised that it did not happen: leave it out of the history of a linearizability check
//! (its effect, if there was one, then has no explanation), and hand it as failed to the others.

pub mod convergence;
pub mod history;
pub mod linearizable;
pub mod model;
pub mod queue;
pub mod serializable;
pub mod session;

pub use history::{Operation, Recorder};
pub use linearizable::{Limits, Model, Verdict, check};
