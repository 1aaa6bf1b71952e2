//! The swytch server: the only crate with threads, sockets and clocks.
//!
//! The life of a byte: `net/worker` reads it, `net/batch` parses and prefetches, `dispatch/execute` checks,
//! `dispatch/run` locks, a handler in `commands/` decides, the store changes, `swytch_resp::Reply` answers,
//! `net/worker` writes.

pub use swytch_script::REDIS_VERSION;

/// The version of this server.
pub const SWYTCH_VERSION: &str = env!("CARGO_PKG_VERSION");

pub mod acl;
pub mod aof;
pub mod cli;
pub mod clients;
pub mod command;
pub mod commands;
pub mod config;
pub mod dispatch;
pub mod effects;
pub mod metrics;
pub mod net;
pub mod observe;
pub mod persistence;
pub mod replication;
pub mod request;
pub mod scripting;
pub mod server;
pub mod start;
pub mod system;
pub mod tls;
