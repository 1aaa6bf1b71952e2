//! Directives about those who follow this server.

use super::super::directive::{Directive as D, Group, INT_MAX, LONG_MAX};

const fn replication(directive: D) -> D {
    directive.in_group(Group::Replication)
}

pub(super) const LIST: &[D] = &[
    replication(D::flag("repl-diskless-sync", true))
        .summary("Send a snapshot to replicas without writing it to disk."),
    replication(D::integer("repl-diskless-sync-delay", 0, INT_MAX, 5))
        .summary("Seconds to wait for more replicas before a snapshot is sent."),
    replication(D::integer("repl-diskless-sync-max-replicas", 0, INT_MAX, 0))
        .summary("Replicas after which a snapshot is sent without more waiting."),
    replication(D::memory("repl-backlog-size", 1, LONG_MAX, 1024 * 1024).clamped(16 * 1024, i64::MAX))
        .summary("Bytes of the stream kept for replicas that reconnect."),
    replication(D::integer("repl-backlog-ttl", 0, LONG_MAX, 3600))
        .summary("Seconds the stream is kept after the last replica left."),
    replication(D::integer("repl-timeout", 1, INT_MAX, 60))
        .summary("Seconds of silence after which a replication link is given up."),
    replication(D::integer("repl-ping-replica-period", 1, INT_MAX, 10))
        .alias("repl-ping-slave-period")
        .summary("Seconds between PINGs to replicas."),
    replication(D::integer("min-replicas-to-write", 0, INT_MAX, 0))
        .alias("min-slaves-to-write")
        .summary("Replicas that must be connected for writes to be accepted."),
    replication(D::integer("min-replicas-max-lag", 0, INT_MAX, 10))
        .alias("min-slaves-max-lag")
        .summary("Seconds a replica may lag behind and still count."),
];
