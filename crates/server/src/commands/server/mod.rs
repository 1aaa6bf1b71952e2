//! Commands about the server and its keyspace as a whole.

pub mod config;
pub mod flush;

use super::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[&config::CONFIG, &flush::DBSIZE, &flush::FLUSHALL, &flush::FLUSHDB];
