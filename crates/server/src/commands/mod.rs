//! The commands: one folder per group, one file per command or close family, each with its
//! [`CommandSpec`] beside its handler.
//!
//! [`SPECS`] is the one list of them; a command that is not in it does not exist.

use crate::command::CommandSpec;

pub mod acl;
pub mod bitmap;
pub mod cluster;
pub mod connection;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod keys;
pub mod list;
pub mod pubsub;
pub mod replication;
pub mod scripting;
pub mod server;
pub mod set;
pub mod sort;
pub mod sorted_set;
pub mod stream;
pub mod string;
pub mod transactions;

/// Every command, by group.
pub const SPECS: &[&[&CommandSpec]] = &[
    acl::SPECS,
    bitmap::SPECS,
    cluster::SPECS,
    connection::SPECS,
    geo::SPECS,
    hash::SPECS,
    hyperloglog::SPECS,
    keys::SPECS,
    list::SPECS,
    pubsub::SPECS,
    replication::SPECS,
    scripting::SPECS,
    server::SPECS,
    set::SPECS,
    sort::SPECS,
    sorted_set::SPECS,
    stream::SPECS,
    string::SPECS,
    transactions::SPECS,
];
