//! Directives about the data: memory, keys, encodings, and what of it reaches the disk.

use super::super::directive::{
    AppendFsync, Directive as D, Group, INT_MAX, Known, LONG_MAX, MaxmemoryPolicy, SanitizeDumpPayload,
    Special,
};
use super::super::rules;

const SYNCED_ALL_THE_SAME: &str = "the log is forced to the disk all the same";
const NO_FORK: &str = "no snapshot is made for a replica by this build";
const ALWAYS_LAZY: &str = "everything is freed in the background";
const NO_ENVIRONMENTS: &str = "scripts cannot look at or change the surroundings of functions";

const fn memory(directive: D) -> D {
    directive.in_group(Group::Memory)
}

const fn keyspace(directive: D) -> D {
    directive.in_group(Group::Keyspace)
}

const fn encoding(name: &'static str, default: i64) -> D {
    D::unsigned(name, 0, LONG_MAX, default).in_group(Group::Encodings)
}

const fn encoding_bytes(name: &'static str, default: i64) -> D {
    D::unsigned_memory(name, 0, LONG_MAX, default).in_group(Group::Encodings)
}

const fn disk(directive: D) -> D {
    directive.in_group(Group::Persistence)
}

pub(super) const LIST: &[D] = &[
    memory(D::memory_or_share("maxmemory", u64::MAX as i128, 0))
        .summary("Bytes, or a share of all memory, beyond which keys go or writes fail; 0 for none."),
    memory(D::choice("maxmemory-policy", MaxmemoryPolicy::NAMES, MaxmemoryPolicy::NoEviction as i64))
        .summary("What is evicted at maxmemory: noeviction, allkeys-lru, volatile-ttl, ..."),
    memory(D::integer("maxmemory-samples", 1, 64, 5)).summary("Keys looked at to find one to evict."),
    memory(D::integer("maxmemory-eviction-tenacity", 0, 100, 10))
        .summary("How long a command may wait for eviction, 0 to 100."),
    memory(D::integer("lfu-log-factor", 0, INT_MAX, 10)).summary("How slowly a key's access counter grows."),
    memory(D::integer("lfu-decay-time", 0, INT_MAX, 1))
        .summary("Minutes after which a key's access counter is less by one; 0 for never."),
    memory(D::flag("lazyfree-lazy-eviction", false))
        .harmless(ALWAYS_LAZY)
        .summary("Free evicted values in the background."),
    memory(D::flag("lazyfree-lazy-expire", false))
        .harmless(ALWAYS_LAZY)
        .summary("Free expired values in the background."),
    memory(D::flag("lazyfree-lazy-server-del", false))
        .harmless(ALWAYS_LAZY)
        .summary("Free values replaced by a command in the background."),
    memory(D::flag("lazyfree-lazy-user-del", false)).harmless(ALWAYS_LAZY).summary("DEL frees like UNLINK."),
    memory(D::flag("lazyfree-lazy-user-flush", false))
        .summary("FLUSHALL and FLUSHDB are answered before memory is freed unless told SYNC."),
    keyspace(D::flag("import-mode", false).known(Known::Swytch))
        .summary("Keep keys whose time is over until an importing client deletes them."),
    keyspace(D::integer("active-expire-effort", 1, 10, 1))
        .summary("How eagerly expired keys are looked for, 1 to 10."),
    keyspace(D::flag("lazyexpire-nested-arbitrary-keys", true).known(Known::Redis8).hidden())
        .summary("Remove expired keys that transactions come across and do not name."),
    keyspace(D::text("locale-collate", "").known(Known::Redis8))
        .harmless("SORT ALPHA compares bytes")
        .summary("Locale in which SORT ALPHA compares."),
    keyspace(D::choice("sanitize-dump-payload", SanitizeDumpPayload::NAMES, SanitizeDumpPayload::No as i64))
        .harmless("every payload is checked before it is used")
        .summary("Whether RESTORE checks a payload to the last byte."),
    D::integer("list-max-listpack-size", i32::MIN as i128, INT_MAX, -2)
        .in_group(Group::Encodings)
        .alias("list-max-ziplist-size")
        .summary("Items in a node of a list, or -1 to -5 for 4 kB to 64 kB."),
    D::integer("list-compress-depth", 0, INT_MAX, 0)
        .in_group(Group::Encodings)
        .harmless("nodes of a list are not compressed")
        .summary("Nodes at each end of a list that are not compressed; 0 compresses none."),
    encoding("hash-max-listpack-entries", 512)
        .alias("hash-max-ziplist-entries")
        .summary("Fields of a hash up to which it is a listpack."),
    encoding_bytes("hash-max-listpack-value", 64)
        .alias("hash-max-ziplist-value")
        .summary("Bytes of a field or value up to which a hash is a listpack."),
    encoding("set-max-intset-entries", 512)
        .summary("Members of a set of integers up to which it is an intset."),
    encoding("set-max-listpack-entries", 128)
        .known(Known::Redis8)
        .summary("Members of a set up to which it is a listpack."),
    encoding("set-max-listpack-value", 64)
        .known(Known::Redis8)
        .summary("Bytes of a member up to which a set is a listpack."),
    encoding("zset-max-listpack-entries", 128)
        .alias("zset-max-ziplist-entries")
        .summary("Members of a sorted set up to which it is a listpack."),
    encoding_bytes("zset-max-listpack-value", 64)
        .alias("zset-max-ziplist-value")
        .summary("Bytes of a member up to which a sorted set is a listpack."),
    encoding_bytes("hll-sparse-max-bytes", 3000).summary("Bytes of a HyperLogLog up to which it is sparse."),
    encoding_bytes("stream-node-max-bytes", 4096).summary("Bytes of a node of a stream; 0 for no limit."),
    D::integer("stream-node-max-entries", 0, LONG_MAX, 100)
        .in_group(Group::Encodings)
        .summary("Entries of a node of a stream; 0 for no limit."),
    D::integer("stream-idmp-duration", 1, 86_400, 100)
        .known(Known::Redis8)
        .summary("Seconds for which the identifier that a producer gave to an entry of a stream is known."),
    D::integer("stream-idmp-maxsize", 1, 10_000, 100)
        .known(Known::Redis8)
        .summary("Identifiers of a producer that a stream knows at a time."),
    D::integer("busy-reply-threshold", 0, LONG_MAX, 5000)
        .in_group(Group::Scripting)
        .alias("lua-time-limit")
        .summary("Milliseconds after which other clients are told that a script is busy."),
    D::flag("lua-enable-deprecated-api", false)
        .in_group(Group::Scripting)
        .known(Known::Redis8)
        .immutable()
        .hidden()
        .refused(NO_ENVIRONMENTS)
        .summary("Let scripts use what Redis has deprecated."),
    D::special("save", Special::Save)
        .several_words()
        .in_group(Group::Persistence)
        .summary("SECONDS CHANGES pairs: save when this many changes are this old; \"\" for never."),
    disk(D::text("dbfilename", "dump.rdb").protected())
        .checked(rules::database_file_name)
        .summary("Name of the snapshot file in dir."),
    disk(D::flag("appendonly", false))
        .denied_while_loading()
        .summary("Write every change to an append-only log."),
    disk(D::text("appendfilename", "appendonly.aof").immutable())
        .checked(rules::append_file_name)
        .summary("Base name of the append-only log's files."),
    disk(D::text("appenddirname", "appendonlydir").immutable())
        .checked(rules::append_directory_name)
        .summary("Directory of the append-only log in dir."),
    disk(D::choice("appendfsync", AppendFsync::NAMES, AppendFsync::Everysec as i64))
        .summary("When the append-only log is forced to disk: always, everysec, no."),
    D::flag("rdbcompression", true)
        .in_group(Group::Persistence)
        .summary("Compress strings in the file and in what DUMP returns."),
    D::integer("rdb-version", 9, 13, 11)
        .in_group(Group::Persistence)
        .known(Known::Swytch)
        .summary("RDB version of the file and of what DUMP returns; 9 is read by Redis 5."),
    disk(D::flag("rdbchecksum", true).immutable())
        .summary("Put a checksum at the snapshot's end and check it when loading."),
    disk(D::flag("stop-writes-on-bgsave-error", true)).summary("Refuse writes after a snapshot failed."),
    disk(D::flag("rdb-del-sync-files", false))
        .harmless(NO_FORK)
        .summary("Delete snapshots made for a replica."),
    disk(D::flag("rdb-save-incremental-fsync", true)).summary("Force a snapshot to disk in steps."),
    disk(D::flag("no-appendfsync-on-rewrite", false))
        .harmless(SYNCED_ALL_THE_SAME)
        .summary("Do not force the log to disk while a snapshot is written."),
    disk(D::integer("auto-aof-rewrite-percentage", 0, INT_MAX, 100))
        .summary("Growth of the append-only log that starts a rewrite; 0 for never."),
    disk(D::memory("auto-aof-rewrite-min-size", 0, LONG_MAX, 64 * 1024 * 1024))
        .summary("Bytes below which the append-only log is not rewritten."),
    disk(D::flag("aof-rewrite-incremental-fsync", true)).summary("Force a rewritten log to disk in steps."),
    disk(D::flag("aof-load-truncated", true)).summary("Load an append-only log whose end is missing."),
    disk(D::integer("aof-load-corrupt-tail-max-size", 0, LONG_MAX, 0).known(Known::Redis8))
        .summary("Bytes below which a corrupt end of the log is cut off."),
    disk(D::flag("aof-use-rdb-preamble", true)).summary("Start a rewritten log with a snapshot."),
    disk(D::flag("aof-timestamp-enabled", false)).summary("Write timestamps into the append-only log."),
    disk(D::flag("aof-disable-auto-gc", false).hidden()).summary("Keep old files of the append-only log."),
    disk(D::integer("rdb-key-save-delay", i32::MIN as i128, INT_MAX, 0).hidden())
        .summary("For tests: microseconds to wait after each key saved."),
    disk(D::integer("key-load-delay", i32::MIN as i128, INT_MAX, 0).hidden())
        .summary("For tests: microseconds to wait after each key loaded."),
    disk(D::integer("loading-process-events-interval-bytes", 1024, INT_MAX, 512 * 1024).hidden())
        .harmless("clients are served all the time")
        .summary("For tests: bytes loaded between two rounds of serving clients."),
];
