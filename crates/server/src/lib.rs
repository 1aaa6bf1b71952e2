//! The swytch server: the only crate with threads, sockets and clocks.
//!
//! The life of a byte: `net/worker` reads it, `net/batch` parses and prefetches, `dispatch/execute` checks,
//! `dispatch/run` locks, a handler in `commands/` decides, the store changes, `swytch_resp::Reply` answers,
//! `net/worker` writes.

/// The version of Redis whose commands and behaviour clients are promised.
///
/// It is the release the command table is compared with. Client libraries switch features on by this
/// number, and scanners look for known defects by it, so the patch level is a current one.
pub const REDIS_VERSION: &str = "8.0.6";

/// The version of this server.
pub const SWYTCH_VERSION: &str = env!("CARGO_PKG_VERSION");

pub mod allocator;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod commands;
pub mod config;
pub mod digest;
pub mod dispatch;
pub mod effects;
pub mod escape;
pub mod glob;
pub mod histogram;
pub mod huge_pages;
pub mod latency;
pub mod logging;
pub mod metrics;
pub mod monitor;
pub mod net;
pub mod open_files;
pub mod pause;
pub mod process;
pub mod random;
pub mod rates;
pub mod reclaim;
pub mod redact;
pub mod seeded_bug;
pub mod server;
pub mod slowlog;
pub mod start;
pub mod stats;
