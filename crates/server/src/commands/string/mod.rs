//! Commands on strings and counters.

pub mod get;
pub mod incr;
pub mod mset;
pub mod set;

use super::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &get::GET,
    &incr::DECR,
    &incr::DECRBY,
    &incr::INCR,
    &incr::INCRBY,
    &mset::MGET,
    &mset::MSET,
    &mset::MSETNX,
    &set::SET,
];
