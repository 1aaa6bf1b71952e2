//! Commands about the server and its keyspace as a whole.

pub mod command;
pub mod config;
pub mod flush;
pub mod info;
pub mod time;

use super::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &command::COMMAND,
    &config::CONFIG,
    &flush::DBSIZE,
    &flush::FLUSHALL,
    &flush::FLUSHDB,
    &info::INFO,
    &time::LASTSAVE,
    &time::TIME,
];
