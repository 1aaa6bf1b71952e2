//! Commands by which servers follow one another.

pub mod failover;
pub mod follow;
pub mod introduce;
pub mod replicaof;

use crate::command::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &failover::FAILOVER,
    &follow::PSYNC,
    &introduce::REPLCONF,
    &replicaof::REPLICAOF,
    &replicaof::SLAVEOF,
    &follow::SYNC,
];
