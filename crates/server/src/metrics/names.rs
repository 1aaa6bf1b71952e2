//! What the fields of INFO are called on the page of metrics: the names that redis_exporter gives them, and ours.

use super::page::Metric;

/// Fields whose texts label `redis_instance_info`.
pub(super) const INSTANCE: &[&str] = &[
    "redis_version",
    "swytch_version",
    "redis_build_id",
    "redis_mode",
    "os",
    "process_id",
    "run_id",
    "tcp_port",
    "maxmemory_policy",
    "role",
    "master_replid",
];

/// What a field is called, and what its value is multiplied with.
type Row = (&'static str, Metric, f64);

const fn gauge(field: &'static str, name: &'static str, help: &'static str) -> Row {
    (field, Metric::gauge(name, help), 1.0)
}

const fn counter(field: &'static str, name: &'static str, help: &'static str) -> Row {
    (field, Metric::counter(name, help), 1.0)
}

/// The metrics that a field is: one, or one more with a name from before.
pub(super) fn of_field(field: &str) -> impl Iterator<Item = &'static Row> {
    CHAPTERS.iter().copied().flatten().filter(move |row| row.0 == field)
}

/// The fields that are metrics.
#[cfg(test)]
pub(super) fn fields() -> impl Iterator<Item = &'static str> {
    CHAPTERS.iter().copied().flatten().map(|row| row.0)
}

const CHAPTERS: &[&[Row]] = &[SERVER, CLIENTS, MEMORY, PERSISTENCE, COMMANDS, KEYS, REPLICATION];

const SERVER: &[Row] = &[
    gauge("uptime_in_seconds", "redis_uptime_in_seconds", "Seconds since the start."),
    gauge("process_id", "redis_process_id", "The system's number of the process."),
    gauge("hz", "redis_hz", "hz, as it is in force."),
    gauge("configured_hz", "redis_configured_hz", "hz, as it is configured."),
    gauge("io_threads_active", "redis_io_threads_active", "1 if several threads serve clients."),
    gauge("cluster_enabled", "redis_cluster_enabled", "1 if clients of Redis Cluster are served."),
    gauge("cluster_connections", "redis_cluster_connections", "Connections of the cluster's bus."),
    gauge("threads", "swytch_threads", "Worker threads."),
    gauge("shards", "swytch_shards", "Shards of the keyspace."),
    counter("shard_lock_waits", "swytch_shard_lock_waits_total", "How often a shard's lock was found taken."),
    counter("used_cpu_sys", "redis_cpu_sys_seconds_total", "Processor time in system mode."),
    counter("used_cpu_user", "redis_cpu_user_seconds_total", "Processor time in user mode."),
    counter(
        "used_cpu_sys_children",
        "redis_cpu_sys_children_seconds_total",
        "Processor time of ended children in system mode.",
    ),
    counter(
        "used_cpu_user_children",
        "redis_cpu_user_children_seconds_total",
        "Processor time of ended children in user mode.",
    ),
    counter(
        "used_cpu_sys_main_thread",
        "redis_cpu_sys_main_thread_seconds_total",
        "Processor time of the first worker thread in system mode.",
    ),
    counter(
        "used_cpu_user_main_thread",
        "redis_cpu_user_main_thread_seconds_total",
        "Processor time of the first worker thread in user mode.",
    ),
    counter("eventloop_cycles", "redis_eventloop_cycles_total", "Turns of the event loops."),
    counter(
        "eventloop_duration_sum",
        "redis_eventloop_duration_sum_usec_total",
        "Microseconds that the turns of the event loops took, waiting excluded.",
    ),
    counter(
        "eventloop_duration_cmd_sum",
        "redis_eventloop_duration_cmd_sum_usec_total",
        "Microseconds that commands took.",
    ),
    gauge(
        "instantaneous_eventloop_cycles_per_sec",
        "redis_instantaneous_eventloop_cycles_per_sec",
        "Recent turns of the event loops per second.",
    ),
    gauge(
        "instantaneous_eventloop_duration_usec",
        "redis_instantaneous_eventloop_duration_usec",
        "Microseconds that a turn of an event loop takes on average.",
    ),
];

const CLIENTS: &[Row] = &[
    gauge("connected_clients", "redis_connected_clients", "Clients connected."),
    gauge("blocked_clients", "redis_blocked_clients", "Clients that wait in a blocking command."),
    gauge("maxclients", "redis_max_clients", "Clients that may be connected."),
    gauge("tracking_clients", "redis_tracking_clients", "Clients that track keys."),
    gauge("pubsub_clients", "redis_pubsub_clients", "Clients with a subscription."),
    gauge("watching_clients", "redis_watching_clients", "Clients that watch keys."),
    gauge(
        "clients_in_timeout_table",
        "redis_clients_in_timeout_table",
        "Clients whose blocking command gives up at some time.",
    ),
    gauge("total_watched_keys", "redis_total_watched_keys", "Keys that are watched."),
    gauge("total_blocking_keys", "redis_total_blocking_keys", "Keys that clients wait for."),
    gauge(
        "total_blocking_keys_on_nokey",
        "redis_total_blocking_keys_on_nokey",
        "Keys whose absence ends a wait.",
    ),
    gauge(
        "client_recent_max_input_buffer",
        "redis_client_recent_max_input_buffer_bytes",
        "Most bytes of requests that a client has waiting.",
    ),
    gauge(
        "client_recent_max_output_buffer",
        "redis_client_recent_max_output_buffer_bytes",
        "Most bytes of replies that a client has waiting.",
    ),
    counter("total_connections_received", "redis_connections_received_total", "Connections accepted."),
    counter(
        "rejected_connections",
        "redis_rejected_connections_total",
        "Connections refused because of maxclients or protected mode.",
    ),
    counter("evicted_clients", "redis_evicted_clients_total", "Clients closed because of maxmemory-clients."),
    counter(
        "client_query_buffer_limit_disconnections",
        "redis_client_query_buffer_limit_disconnections_total",
        "Clients closed because of a request that was too large.",
    ),
    counter(
        "client_output_buffer_limit_disconnections",
        "redis_client_output_buffer_limit_disconnections_total",
        "Clients closed because they did not read their replies.",
    ),
    counter("reply_buffer_shrinks", "redis_reply_buffer_shrinks_total", "Reply buffers made smaller."),
    counter("reply_buffer_expands", "redis_reply_buffer_expands_total", "Reply buffers made larger."),
    gauge("pubsub_channels", "redis_pubsub_channels", "Channels with a subscriber."),
    gauge("pubsub_patterns", "redis_pubsub_patterns", "Patterns with a subscriber."),
    gauge("pubsubshard_channels", "redis_pubsubshard_channels", "Shard channels with a subscriber."),
    gauge("tracking_total_keys", "redis_tracking_total_keys", "Keys that clients track."),
    gauge(
        "tracking_total_items",
        "redis_tracking_total_items",
        "Pairs of a key and a client that tracks it.",
    ),
    gauge("tracking_total_prefixes", "redis_tracking_total_prefixes", "Prefixes that clients track."),
    counter("acl_access_denied_auth", "redis_acl_access_denied_auth_total", "Logins refused."),
    counter("acl_access_denied_cmd", "redis_acl_access_denied_cmd_total", "Commands refused to their user."),
    counter("acl_access_denied_key", "redis_acl_access_denied_key_total", "Keys refused to a user."),
    counter(
        "acl_access_denied_channel",
        "redis_acl_access_denied_channel_total",
        "Channels refused to a user.",
    ),
    counter(
        "acl_access_denied_tls_cert",
        "redis_acl_access_denied_tls_cert_total",
        "Logins by certificate refused.",
    ),
];

const MEMORY: &[Row] = &[
    gauge("used_memory", "redis_memory_used_bytes", "Bytes allocated."),
    gauge("used_memory_rss", "redis_memory_used_rss_bytes", "Bytes resident."),
    gauge("used_memory_peak", "redis_memory_used_peak_bytes", "Most bytes allocated."),
    gauge(
        "used_memory_peak_time",
        "swytch_memory_used_peak_timestamp_seconds",
        "Unix time since when that is the most.",
    ),
    gauge("used_memory_overhead", "redis_memory_used_overhead_bytes", "Bytes allocated for other than data."),
    gauge("used_memory_startup", "redis_memory_used_startup_bytes", "Bytes allocated at the start."),
    gauge("used_memory_dataset", "redis_memory_used_dataset_bytes", "Bytes allocated for data."),
    gauge("used_memory_lua", "redis_memory_used_lua_bytes", "Bytes of the interpreters of scripts."),
    gauge("used_memory_vm_eval", "redis_memory_used_vm_eval_bytes", "Bytes of the interpreters of scripts."),
    gauge(
        "used_memory_vm_functions",
        "redis_memory_used_vm_functions_bytes",
        "Bytes of the interpreters of functions.",
    ),
    gauge("used_memory_vm_total", "redis_memory_used_vm_total", "Bytes of all interpreters."),
    gauge("used_memory_scripts_eval", "redis_memory_used_scripts_eval_bytes", "Bytes of cached scripts."),
    gauge("used_memory_functions", "redis_memory_used_functions_bytes", "Bytes of libraries of functions."),
    gauge("used_memory_scripts", "redis_memory_used_scripts_bytes", "Bytes of scripts and libraries."),
    gauge("number_of_cached_scripts", "redis_number_of_cached_scripts", "Scripts that are cached."),
    gauge("number_of_functions", "redis_number_of_functions", "Functions loaded."),
    gauge("number_of_libraries", "redis_number_of_libraries", "Libraries of functions loaded."),
    counter("evicted_scripts", "redis_evicted_scripts_total", "Cached scripts that were forgotten."),
    gauge("total_system_memory", "redis_total_system_memory_bytes", "Bytes of memory that the machine has."),
    gauge("maxmemory", "redis_memory_max_bytes", "maxmemory; 0 for no limit."),
    gauge(
        "allocator_allocated",
        "redis_allocator_allocated_bytes",
        "Bytes that the allocator has handed out.",
    ),
    gauge("allocator_active", "redis_allocator_active_bytes", "Bytes that the allocator uses."),
    gauge(
        "allocator_resident",
        "redis_allocator_resident_bytes",
        "Bytes of the allocator that are resident.",
    ),
    gauge("allocator_muzzy", "redis_allocator_muzzy_bytes", "Bytes that the system may take back."),
    gauge("allocator_frag_ratio", "redis_allocator_frag_ratio", "Bytes used to bytes handed out."),
    gauge("allocator_frag_bytes", "redis_allocator_frag_bytes", "Bytes used and not handed out."),
    gauge("allocator_rss_ratio", "redis_allocator_rss_ratio", "Bytes resident to bytes used."),
    gauge("allocator_rss_bytes", "redis_allocator_rss_bytes", "Bytes resident and not used."),
    gauge("mem_fragmentation_ratio", "redis_mem_fragmentation_ratio", "Bytes resident to bytes allocated."),
    gauge("mem_fragmentation_bytes", "redis_mem_fragmentation_bytes", "Bytes resident and not allocated."),
    gauge(
        "mem_not_counted_for_evict",
        "redis_mem_not_counted_for_eviction_bytes",
        "Bytes allocated that maxmemory does not count.",
    ),
    gauge("mem_clients_normal", "redis_mem_clients_normal", "Bytes of clients."),
    gauge("mem_clients_slaves", "redis_mem_clients_slaves", "Bytes of replicas' connections."),
    gauge("mem_cluster_links", "redis_mem_cluster_links_bytes", "Bytes of links to other nodes."),
    gauge("mem_aof_buffer", "redis_mem_aof_buffer_bytes", "Bytes that wait for the append-only log."),
    gauge(
        "mem_replication_backlog",
        "redis_mem_replication_backlog_bytes",
        "Bytes of the replication backlog.",
    ),
    gauge(
        "mem_total_replication_buffers",
        "redis_mem_total_replication_buffers_bytes",
        "Bytes of all that is kept for replicas.",
    ),
    gauge(
        "mem_overhead_db_hashtable_rehashing",
        "redis_mem_overhead_db_hashtable_rehashing_bytes",
        "Bytes of hash tables that are being replaced.",
    ),
    gauge(
        "lazyfree_pending_objects",
        "redis_lazyfree_pending_objects",
        "Values that wait to be freed in the background.",
    ),
    gauge("lazyfreed_objects", "redis_lazyfreed_objects", "Values freed in the background."),
    gauge("active_defrag_running", "redis_active_defrag_running", "1 while data is moved together."),
    gauge("active_defrag_hits", "redis_defrag_hits", "Values moved."),
    gauge("active_defrag_misses", "redis_defrag_misses", "Values looked at and not moved."),
    gauge("active_defrag_key_hits", "redis_defrag_key_hits", "Keys moved."),
    gauge("active_defrag_key_misses", "redis_defrag_key_misses", "Keys looked at and not moved."),
];

const PERSISTENCE: &[Row] = &[
    gauge("loading", "redis_loading_dump_file", "1 while the data is loaded."),
    gauge("async_loading", "redis_async_loading", "1 while data is loaded and the old data served."),
    gauge("rdb_changes_since_last_save", "redis_rdb_changes_since_last_save", "Changes since the last save."),
    gauge("rdb_bgsave_in_progress", "redis_rdb_bgsave_in_progress", "1 while a save runs in the background."),
    gauge("rdb_last_save_time", "redis_rdb_last_save_timestamp_seconds", "Unix time of the last save."),
    gauge("rdb_last_bgsave_status", "redis_rdb_last_bgsave_status", "1 if the last save succeeded."),
    gauge(
        "rdb_last_bgsave_time_sec",
        "redis_rdb_last_bgsave_duration_sec",
        "Seconds that the last save took.",
    ),
    gauge(
        "rdb_current_bgsave_time_sec",
        "redis_rdb_current_bgsave_duration_sec",
        "Seconds that the present save has taken, or -1.",
    ),
    gauge("rdb_saves", "redis_rdb_saves_total", "Saves since the start."),
    gauge(
        "rdb_saves_consecutive_failures",
        "swytch_rdb_saves_consecutive_failures",
        "Saves in the background that have failed since one that has not.",
    ),
    gauge("rdb_last_cow_size", "redis_rdb_last_cow_size_bytes", "Bytes that the last save had copied."),
    gauge(
        "rdb_last_load_keys_expired",
        "redis_rdb_last_load_expired_keys",
        "Keys found expired when loading.",
    ),
    gauge("rdb_last_load_keys_loaded", "redis_rdb_last_load_loaded_keys", "Keys loaded."),
    gauge("aof_enabled", "redis_aof_enabled", "1 if the append-only log is on."),
    gauge("aof_rewrite_in_progress", "redis_aof_rewrite_in_progress", "1 while the log is rewritten."),
    gauge("aof_rewrite_scheduled", "redis_aof_rewrite_scheduled", "1 if a rewrite waits for another task."),
    gauge(
        "aof_last_rewrite_time_sec",
        "redis_aof_last_rewrite_duration_sec",
        "Seconds that the last rewrite took, or -1.",
    ),
    gauge(
        "aof_current_rewrite_time_sec",
        "redis_aof_current_rewrite_duration_sec",
        "Seconds that the present rewrite has taken, or -1.",
    ),
    gauge("aof_last_bgrewrite_status", "redis_aof_last_bgrewrite_status", "1 if the last rewrite succeeded."),
    gauge("aof_last_write_status", "redis_aof_last_write_status", "1 if the log can be written."),
    gauge("aof_last_cow_size", "redis_aof_last_cow_size_bytes", "Bytes that the last rewrite had copied."),
    gauge("aof_current_size", "redis_aof_current_size_bytes", "Bytes of the log."),
    gauge("aof_base_size", "redis_aof_base_size_bytes", "Bytes of the log after the last rewrite."),
    gauge("aof_pending_rewrite", "redis_aof_pending_rewrite", "1 if a rewrite waits for another task."),
    gauge("aof_buffer_length", "redis_aof_buffer_length", "Bytes that wait to be written to the log."),
    gauge(
        "aof_pending_bio_fsync",
        "redis_aof_pending_bio_fsync",
        "1 if bytes wait to be forced to the disk.",
    ),
    gauge("aof_delayed_fsync", "redis_aof_delayed_fsync", "How often the disk was late."),
    gauge("aof_unsynced_bytes", "swytch_aof_unsynced_bytes", "Bytes of the log that are not on the disk."),
    gauge("aof_unsynced_groups", "swytch_aof_unsynced_groups", "Changes that are not on the disk."),
    gauge("aof_unsynced_ms", "swytch_aof_unsynced_ms", "Age of the oldest byte that is not on the disk."),
    gauge("module_fork_in_progress", "redis_module_fork_in_progress", "1 while a module's child runs."),
    gauge(
        "module_fork_last_cow_size",
        "redis_module_fork_last_cow_size",
        "Bytes a module's child had copied.",
    ),
    (
        "latest_fork_usec",
        Metric::gauge("redis_latest_fork_seconds", "Seconds that the last fork took."),
        1e-6,
    ),
    gauge("latest_fork_usec", "redis_latest_fork_usec", "Microseconds that the last fork took."),
];

const COMMANDS: &[Row] = &[
    counter("total_commands_processed", "redis_commands_processed_total", "Commands run."),
    gauge("instantaneous_ops_per_sec", "redis_instantaneous_ops_per_sec", "Recent commands per second."),
    gauge(
        "instantaneous_input_kbps",
        "redis_instantaneous_input_kbps",
        "Recent kilobytes read from clients per second.",
    ),
    gauge(
        "instantaneous_output_kbps",
        "redis_instantaneous_output_kbps",
        "Recent kilobytes written to clients per second.",
    ),
    counter("total_net_input_bytes", "redis_net_input_bytes_total", "Bytes read."),
    counter("total_net_output_bytes", "redis_net_output_bytes_total", "Bytes written."),
    counter("total_error_replies", "redis_total_error_replies", "Error replies."),
    counter(
        "unexpected_error_replies",
        "redis_unexpected_error_replies",
        "Errors that a link got as a reply.",
    ),
    counter("dump_payload_sanitizations", "redis_dump_payload_sanitizations", "Payloads checked in depth."),
    counter("total_reads_processed", "redis_total_reads_processed", "Reads from sockets."),
    counter("total_writes_processed", "redis_total_writes_processed", "Writes to sockets."),
    counter(
        "io_threaded_reads_processed",
        "redis_io_threaded_reads_processed",
        "Reads from sockets by other workers than the first.",
    ),
    counter(
        "io_threaded_writes_processed",
        "redis_io_threaded_writes_processed",
        "Writes to sockets by other workers than the first.",
    ),
];

const KEYS: &[Row] = &[
    counter("keyspace_hits", "redis_keyspace_hits_total", "Reads of keys that existed."),
    counter("keyspace_misses", "redis_keyspace_misses_total", "Reads of keys that did not exist."),
    counter("expired_keys", "redis_expired_keys_total", "Keys expired."),
    counter("expired_subkeys", "redis_expired_subkeys_total", "Fields of hashes expired."),
    gauge(
        "expired_stale_perc",
        "redis_expired_stale_percentage",
        "Percentage of keys that may have expired.",
    ),
    counter(
        "expired_time_cap_reached_count",
        "redis_expired_time_cap_reached_total",
        "How often expiring keys was cut short.",
    ),
    counter(
        "expire_cycle_cpu_milliseconds",
        "redis_expire_cycle_cpu_time_ms_total",
        "Milliseconds taken to expire keys.",
    ),
    counter("evicted_keys", "redis_evicted_keys_total", "Keys evicted."),
    counter(
        "total_eviction_exceeded_time",
        "redis_eviction_exceeded_time_ms_total",
        "Milliseconds for which memory was over its limit.",
    ),
    gauge(
        "current_eviction_exceeded_time",
        "redis_current_eviction_exceeded_time_ms",
        "Milliseconds for which memory has been over its limit now.",
    ),
    gauge("migrate_cached_sockets", "redis_migrate_cached_sockets_total", "Connections kept for MIGRATE."),
];

const REPLICATION: &[Row] = &[
    gauge("connected_slaves", "redis_connected_slaves", "Replicas connected."),
    gauge("repl_backlog_size", "redis_replication_backlog_bytes", "Bytes that the backlog may have."),
    gauge("repl_backlog_active", "redis_repl_backlog_is_active", "1 if there is a backlog."),
    gauge(
        "repl_backlog_first_byte_offset",
        "redis_repl_backlog_first_byte_offset",
        "Offset of the backlog's first byte.",
    ),
    gauge("repl_backlog_histlen", "redis_repl_backlog_history_bytes", "Bytes in the backlog."),
    gauge("master_repl_offset", "redis_master_repl_offset", "Offset of the replication stream."),
    gauge("second_repl_offset", "redis_second_repl_offset", "Offset up to which the second id holds."),
    gauge(
        "slave_expires_tracked_keys",
        "redis_slave_expires_tracked_keys",
        "Keys a replica may have to expire.",
    ),
    counter("total_net_repl_input_bytes", "redis_net_repl_input_bytes_total", "Bytes read for replication."),
    counter(
        "total_net_repl_output_bytes",
        "redis_net_repl_output_bytes_total",
        "Bytes written for replication.",
    ),
    gauge("sync_full", "redis_replica_resyncs_full", "Full synchronisations."),
    gauge("sync_partial_ok", "redis_replica_partial_resync_accepted", "Partial synchronisations."),
    gauge("sync_partial_err", "redis_replica_partial_resync_denied", "Partial synchronisations refused."),
];

/// Fields that there are several of, each made of parts.
pub(super) struct Family {
    /// What their names begin with.
    prefix: &'static str,
    /// What their metrics are told apart by.
    pub(super) label: &'static str,
    /// What a part is called, and what its value is multiplied with.
    pub(super) parts: &'static [(&'static str, Metric, f64)],
}

pub(super) const DB_KEYS: Metric = Metric::gauge("redis_db_keys", "Keys in a database.");
pub(super) const DB_KEYS_EXPIRING: Metric =
    Metric::gauge("redis_db_keys_expiring", "Keys in a database that expire.");

const FAMILIES: &[Family] = &[
    Family {
        prefix: "cmdstat_",
        label: "cmd",
        parts: &[
            ("calls", Metric::counter("redis_commands_total", "Calls of a command."), 1.0),
            (
                "usec",
                Metric::counter("redis_commands_duration_seconds_total", "Time that a command took."),
                1e-6,
            ),
            (
                "rejected_calls",
                Metric::counter("redis_commands_rejected_calls_total", "Calls refused before they ran."),
                1.0,
            ),
            (
                "failed_calls",
                Metric::counter("redis_commands_failed_calls_total", "Calls that answered an error."),
                1.0,
            ),
        ],
    },
    Family {
        prefix: "errorstat_",
        label: "err",
        parts: &[("count", Metric::counter("redis_errors_total", "Error replies by code."), 1.0)],
    },
    Family {
        prefix: "db",
        label: "db",
        parts: &[
            ("keys", DB_KEYS, 1.0),
            ("expires", DB_KEYS_EXPIRING, 1.0),
            (
                "avg_ttl",
                Metric::gauge(
                    "redis_db_avg_ttl_seconds",
                    "Time that the keys that expire have left on average.",
                ),
                1e-3,
            ),
        ],
    },
];

impl Family {
    /// The family of a field, and its label's value: what follows the prefix, or for a database its whole name.
    pub(super) fn of(field: &str) -> Option<(&'static Family, &str)> {
        let family = FAMILIES.iter().find(|family| field.starts_with(family.prefix))?;
        let value = if family.prefix == family.label { field } else { &field[family.prefix.len()..] };
        Some((family, value))
    }
}
