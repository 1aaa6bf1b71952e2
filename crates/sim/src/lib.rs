//! swytch-sim: a seeded simulator of whole clusters, and the checkers that judge recorded histories.
//!
//! Purpose: run the sans-IO core of `swytch-cluster` on virtual time with a hostile network, and decide from what
//! the clients saw whether the promises were kept. The checkers know nothing of the protocol; the server's own
//! multi-thread stress tests use them as well.
//!
//! Invariant: nothing in this crate reads a clock, a thread id, an address or a hash seed that differs between
//! two runs: a seed replays bit for bit.

pub mod availability;
pub mod check;
pub mod cluster;
pub mod model;
pub mod rng;
