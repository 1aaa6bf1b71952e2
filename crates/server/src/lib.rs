//! The swytch server: the only crate with threads, sockets and clocks.

pub mod cli;
pub mod config;
pub mod glob;
