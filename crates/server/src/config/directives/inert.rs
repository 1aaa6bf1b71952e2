//! Directives of Redis's own architecture: replication from a primary, Redis Cluster, its allocator,
//! its way of becoming a daemon. They are known, checked, stored and answered, so that a redis.conf and
//! the tools around it keep working; the reason why they do nothing here is given in one line of the log each. What a
//! user would lose by that is refused instead.

use super::super::directive::{Directive as D, Group, INT_MAX, Known, LONG_MAX, Special, Supervised};
use super::super::rules;

const NO_PRIMARY: &str = "this server does not replicate from a primary";
const NO_CLUSTER: &str = "the leaderless cluster takes the place of Redis Cluster";
const NO_DEFRAGMENTATION: &str =
    "data moves together by itself where most of the resident memory is not in use";
const MANAGER: &str = "the service manager does this";
const NOT_PINNED: &str = "threads are not pinned; give the process its processors from outside";

const fn replication(directive: D) -> D {
    directive.in_group(Group::Replication).harmless(NO_PRIMARY)
}

const fn cluster(directive: D) -> D {
    directive.in_group(Group::Cluster).harmless(NO_CLUSTER)
}

const fn pinning(name: &'static str, alias: &'static str) -> D {
    D::optional_text(name).alias(alias).start_only().harmless(NOT_PINNED)
}

const fn defragmentation(directive: D) -> D {
    directive.in_group(Group::Memory).harmless(NO_DEFRAGMENTATION)
}

pub(super) const LIST: &[D] = &[
    D::flag("daemonize", false).immutable().harmless(MANAGER).summary("Run in the background."),
    D::choice("supervised", Supervised::NAMES, Supervised::No as i64)
        .immutable()
        .refused_unless(&["systemd", "auto"], "upstart is not told of anything")
        .summary("Tell systemd when the server is ready: no, systemd, or auto where it listens."),
    D::flag("syslog-enabled", false)
        .immutable()
        .harmless("the log goes to standard output, or to logfile")
        .summary("Log to syslog."),
    D::text("syslog-ident", "redis")
        .immutable()
        .harmless("the log goes to standard output, or to logfile")
        .summary("Name in syslog."),
    D::choice("syslog-facility", SYSLOG_FACILITIES, 16)
        .immutable()
        .harmless("the log goes to standard output, or to logfile")
        .summary("Facility of syslog."),
    D::flag("always-show-logo", false)
        .immutable()
        .harmless("there is no logo")
        .summary("Show the logo at the start."),
    D::flag("set-proc-title", true)
        .immutable()
        .harmless("the process keeps its title")
        .summary("Put the address into the process title."),
    D::text("proc-title-template", "{title} {listen-addr} {server-mode}")
        .checked(rules::process_title_template)
        .harmless("the process keeps its title")
        .summary("What the process title says."),
    D::flag("crash-log-enabled", true)
        .harmless("a crash is always logged")
        .summary("Log a report when the server crashes."),
    D::flag("crash-memcheck-enabled", true)
        .harmless("memory is not tested after a crash")
        .summary("Test the memory when the server crashes."),
    D::flag("use-exit-on-panic", false)
        .hidden()
        .harmless("a failed command never ends the process")
        .summary("For tests: exit instead of abort."),
    D::integer("watchdog-period", 0, INT_MAX, 0)
        .hidden()
        .harmless("there is no software watchdog")
        .summary("Milliseconds after which a stuck event loop is logged."),
    D::text("ignore-warnings", "")
        .harmless("no warning stops the start")
        .summary("Warnings of the start to leave out."),
    D::flag("disable-thp", true)
        .immutable()
        .harmless("nothing is forked, so huge pages do no harm")
        .summary("Switch transparent huge pages off for this process."),
    D::flag("dynamic-hz", true)
        .harmless("background work is bounded by time, not by rounds")
        .summary("Work more often when there are many clients."),
    D::flag("activerehashing", true)
        .in_group(Group::Keyspace)
        .harmless("tables grow segment by segment")
        .summary("Rehash tables in the background."),
    D::integer("lookahead", 1, INT_MAX, 16)
        .known(Known::Redis8)
        .in_group(Group::Clients)
        .harmless("all commands that have arrived are looked through")
        .summary("Commands of a connection that are read ahead."),
    D::integer("prefetch-batch-max-size", 0, 128, 16)
        .known(Known::Redis8)
        .hidden()
        .harmless("every thread asks for the keys of what it has read")
        .summary("Commands whose keys are asked for together."),
    D::integer("io-threads", 1, 128, 1)
        .immutable()
        .harmless("every thread reads, runs and writes; see threads")
        .summary("Threads that read and write for the main thread."),
    D::flag("io-threads-do-reads", false)
        .immutable()
        .known(Known::Redis7Only)
        .harmless("every thread reads, runs and writes; see threads")
        .summary("Whether I/O threads read, too."),
    pinning("server-cpulist", "server_cpulist").summary("Processors of the server's threads."),
    pinning("bio-cpulist", "bio_cpulist").summary("Processors of the background threads."),
    pinning("aof-rewrite-cpulist", "aof_rewrite_cpulist").summary("Processors of the log's rewriter."),
    pinning("bgsave-cpulist", "bgsave_cpulist").summary("Processors of the snapshot's writer."),
    defragmentation(D::flag("jemalloc-bg-thread", true)).summary("Let jemalloc purge in the background."),
    defragmentation(D::flag("activedefrag", false))
        .harmless(NO_DEFRAGMENTATION)
        .summary("Defragment memory while serving."),
    defragmentation(D::unsigned_memory("active-defrag-ignore-bytes", 1, LONG_MAX, 100 << 20))
        .summary("Wasted bytes below which nothing is defragmented."),
    defragmentation(D::integer("active-defrag-threshold-lower", 0, 1000, 10))
        .summary("Wasted percentage below which nothing is defragmented."),
    defragmentation(D::integer("active-defrag-threshold-upper", 0, 1000, 100))
        .summary("Wasted percentage from which all effort is spent."),
    defragmentation(D::integer("active-defrag-cycle-min", 1, 99, 1))
        .summary("Least percentage of processor time to spend."),
    defragmentation(D::integer("active-defrag-cycle-max", 1, 99, 25))
        .summary("Largest percentage of processor time to spend."),
    defragmentation(D::unsigned("active-defrag-max-scan-fields", 1, LONG_MAX, 1000))
        .summary("Items of a value above which it is defragmented in steps."),
    D::special("replicaof", Special::ReplicaOf)
        .alias("slaveof")
        .immutable()
        .several_words()
        .in_group(Group::Replication)
        .refused(NO_PRIMARY)
        .summary("HOST PORT of the primary to replicate from; no one for none."),
    replication(D::optional_text("masterauth").sensitive()).summary("Password at the primary."),
    replication(D::optional_text("masteruser").sensitive()).summary("User at the primary."),
    replication(D::flag("replica-serve-stale-data", true))
        .alias("slave-serve-stale-data")
        .summary("Serve while the primary is away."),
    replication(D::flag("replica-read-only", true))
        .alias("slave-read-only")
        .summary("Refuse writes on a replica."),
    replication(D::flag("replica-ignore-maxmemory", true))
        .alias("slave-ignore-maxmemory")
        .summary("Leave eviction to the primary."),
    replication(D::flag("replica-lazy-flush", false))
        .alias("slave-lazy-flush")
        .summary("Free the old data in the background before a full synchronisation."),
    replication(D::flag("replica-announced", true)).summary("Show this replica in Sentinel's reports."),
    replication(D::flag("replica-ignore-disk-write-errors", false))
        .summary("Go on after a replica could not write to its disk."),
    replication(D::optional_text("replica-announce-ip"))
        .alias("slave-announce-ip")
        .summary("Address a replica tells its primary."),
    replication(D::integer("replica-announce-port", 0, 65535, 0))
        .alias("slave-announce-port")
        .summary("Port a replica tells its primary."),
    replication(D::integer("replica-priority", 0, INT_MAX, 100))
        .alias("slave-priority")
        .summary("Sentinel's preference for this replica; 0 for never."),
    replication(
        D::flag("repl-disable-tcp-nodelay", false).harmless("what there is for replicas is sent together"),
    )
    .summary("Send fewer, larger packets to replicas."),
    replication(D::choice("repl-diskless-load", &[("disabled", 0), ("on-empty-db", 1), ("swapdb", 2)], 0))
        .denied_while_loading()
        .summary("Load a snapshot from the primary without writing it to disk."),
    replication(D::flag("repl-rdb-channel", true))
        .known(Known::Redis8)
        .hidden()
        .summary("Send the snapshot on a connection of its own."),
    replication(D::memory("replica-full-sync-buffer-limit", 0, LONG_MAX, 0))
        .known(Known::Redis8)
        .summary("Bytes of the stream kept during a full synchronisation."),
    replication(D::choice(
        "propagation-error-behavior",
        &[("ignore", 0), ("panic", 1), ("panic-on-replicas", 2)],
        0,
    ))
    .summary("What to do when the stream cannot be applied."),
    cluster(D::text("cluster-config-file", "nodes.conf"))
        .immutable()
        .summary("File a node keeps the cluster's state in."),
    cluster(D::integer("cluster-node-timeout", 0, LONG_MAX, 15_000))
        .summary("Milliseconds after which a node counts as failed."),
    cluster(D::integer("cluster-ping-interval", 0, LONG_MAX, 0))
        .known(Known::Redis8)
        .hidden()
        .summary("Milliseconds between PINGs to nodes."),
    cluster(D::integer("cluster-port", 0, 65535, 0)).immutable().summary("Port of the cluster bus."),
    cluster(D::integer("cluster-replica-validity-factor", 0, INT_MAX, 10))
        .alias("cluster-slave-validity-factor")
        .summary("How old a replica's data may be for a failover."),
    cluster(D::flag("cluster-replica-no-failover", false))
        .alias("cluster-slave-no-failover")
        .summary("Never fail over to this replica by itself."),
    cluster(D::integer("cluster-migration-barrier", 0, INT_MAX, 1))
        .summary("Replicas a primary keeps when one migrates."),
    cluster(D::flag("cluster-allow-replica-migration", true))
        .summary("Let replicas move to primaries without one."),
    cluster(D::flag("cluster-require-full-coverage", true))
        .summary("Refuse queries while a slot has no node."),
    cluster(D::flag("cluster-allow-reads-when-down", false))
        .summary("Serve reads while the cluster is down."),
    cluster(D::flag("cluster-allow-pubsubshard-when-down", true))
        .summary("Serve sharded pub/sub while the cluster is down."),
    cluster(D::unsigned_memory("cluster-link-sendbuf-limit", 0, u64::MAX as i128, 0))
        .summary("Bytes waiting for a node; 0 for no limit."),
    cluster(D::integer("cluster-slot-migration-max-archived-tasks", 1, INT_MAX, 32))
        .known(Known::Redis8)
        .hidden()
        .summary("Past migrations of slots that are remembered."),
    cluster(D::memory("cluster-slot-migration-handoff-max-lag-bytes", 0, LONG_MAX, 1 << 20))
        .known(Known::Redis8)
        .summary("Bytes that the target of a migration may be behind at the hand-over."),
    cluster(D::integer("cluster-slot-migration-write-pause-timeout", 0, LONG_MAX, 10_000))
        .known(Known::Redis8)
        .summary("Milliseconds that writes may wait at the hand-over of a migration."),
    cluster(D::integer("cluster-slot-migration-sync-buffer-drain-timeout", 0, LONG_MAX, 60_000))
        .known(Known::Redis8)
        .hidden()
        .summary("Milliseconds that a migration may take to send what it has kept."),
];

/// Numbers as in `syslog(3)`.
const SYSLOG_FACILITIES: &[(&str, i64)] = &[
    ("user", 1),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];
