//! Commands on sets.

pub mod algebra;
pub mod draw;
pub mod members;
pub mod scan;

use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &members::SADD,
    &members::SCARD,
    &algebra::SDIFF,
    &algebra::SDIFFSTORE,
    &algebra::SINTER,
    &algebra::SINTERCARD,
    &algebra::SINTERSTORE,
    &members::SISMEMBER,
    &members::SMEMBERS,
    &members::SMISMEMBER,
    &members::SMOVE,
    &draw::SPOP,
    &draw::SRANDMEMBER,
    &members::SREM,
    &scan::SSCAN,
    &algebra::SUNION,
    &algebra::SUNIONSTORE,
];

/// How a command uses a key whose members it shows.
const SHOWN: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
