//! Commands about the server and its keyspace as a whole.

pub mod command;
pub mod config;
pub mod debug;
pub mod flush;
pub mod info;
pub mod memory;
pub mod swapdb;
pub mod time;

use super::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &command::COMMAND,
    &config::CONFIG,
    &debug::DEBUG,
    &flush::DBSIZE,
    &flush::FLUSHALL,
    &flush::FLUSHDB,
    &info::INFO,
    &memory::MEMORY,
    &swapdb::SWAPDB,
    &time::LASTSAVE,
    &time::TIME,
];
