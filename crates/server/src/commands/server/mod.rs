//! Commands about the server and its keyspace as a whole.

pub mod command;
pub mod command_log;
pub mod config;
pub mod debug;
pub mod flush;
pub mod hot_keys;
pub mod info;
pub mod latency;
pub mod lolwut;
pub mod memory;
pub mod module;
pub mod monitor;
pub mod role;
pub mod save;
pub mod shutdown;
pub mod swapdb;
pub mod time;

use crate::command::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &command::COMMAND,
    &command_log::COMMANDLOG,
    &config::CONFIG,
    &debug::DEBUG,
    &flush::DBSIZE,
    &flush::FLUSHALL,
    &flush::FLUSHDB,
    &hot_keys::HOTKEYS,
    &info::INFO,
    &memory::MEMORY,
    &module::MODULE,
    &swapdb::SWAPDB,
    &latency::LATENCY,
    &lolwut::LOLWUT,
    &monitor::MONITOR,
    &role::ROLE,
    &shutdown::SHUTDOWN,
    &command_log::SLOWLOG,
    &save::BGREWRITEAOF,
    &save::LASTSAVE,
    &save::BGSAVE,
    &save::SAVE,
    &time::TIME,
];
