//! What clients of Redis Cluster and of Sentinel ask: with `cluster-enabled` this server is a cluster of one node, which has all slots.
//!
//! `topology.rs` says so in all forms that there are, `slots.rs` tells of single slots, `scan.rs` walks
//! through all, `mode.rs` has what connections say about themselves, `sentinel.rs` answers who looks for a primary. That the keys of a request are in one slot is seen to
//! before a command runs (`dispatch/admit`).

mod mode;
mod scan;
mod sentinel;
mod slots;
mod topology;

use crate::command::help::reply_help;
use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] =
    &[&mode::ASKING, &CLUSTER, &scan::CLUSTERSCAN, &mode::READONLY, &mode::READWRITE, &sentinel::SENTINEL];

pub static CLUSTER: CommandSpec = CommandSpec {
    name: "cluster",
    summary: "Groups the commands about the cluster that this node is all of.",
    since: "3.0.0",
    group: Group::Cluster,
    subcommands: &[
        &topology::COUNT_FAILURE_REPORTS,
        &slots::COUNTKEYSINSLOT,
        &slots::GETKEYSINSLOT,
        &HELP,
        &topology::INFO,
        &slots::KEYSLOT,
        &topology::LINKS,
        &topology::MYID,
        &topology::MYSHARDID,
        &topology::NODES,
        &topology::REPLICAS,
        &topology::SHARDS,
        &topology::SLAVES,
        &slots::SLOT_STATS,
        &topology::SLOTS,
    ],
    ..CommandSpec::CONTAINER
};

static HELP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Cluster,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

/// A subcommand without arguments.
const SUB: CommandSpec = CommandSpec {
    since: "3.0.0",
    group: Group::Cluster,
    arity: 2,
    flags: Flags::STALE,
    ..CommandSpec::DEFAULT
};

const CHANGING: &[&str] = &["nondeterministic_output"];

/// Nothing of this group is answered to whom `cluster-enabled` does not speak of a cluster.
fn must_be_enabled(call: &Call<'_>) -> CommandResult {
    if call.server.config.cluster_enabled() {
        return Ok(());
    }
    Err(CommandError::text("ERR This instance has cluster support disabled"))
}

fn help(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    reply_help(
        call,
        &[
            "COUNT-FAILURE-REPORTS <node-id>",
            "    Failures that other nodes have reported of a node: none.",
            "COUNTKEYSINSLOT <slot>",
            "    Number of keys in a slot.",
            "GETKEYSINSLOT <slot> <count>",
            "    Keys in a slot, at most <count>.",
            "INFO",
            "    State of the cluster.",
            "KEYSLOT <key>",
            "    The slot of a key.",
            "LINKS",
            "    Connections to other nodes: none.",
            "MYID",
            "    The id of this node.",
            "MYSHARDID",
            "    The id of its shard.",
            "NODES",
            "    All nodes, a line each: this one.",
            "REPLICAS <node-id>",
            "    Replicas of a node: none.",
            "SHARDS",
            "    Slots and nodes of each shard.",
            "SLOTS",
            "    Nodes by ranges of slots.",
            "SLOT-STATS (SLOTSRANGE <first> <last>|ORDERBY <metric> [LIMIT <count>] [ASC|DESC])",
            "    What is known of slots: key-count.",
        ],
    );
    Ok(())
}
