//! Typed getters. A number is one relaxed atomic load; text is cloned under a read lock.
//!
//! A getter names its directive once; a name that is not declared does not compile.

use super::directives::slot;
use super::special::{ClientClass, OutputBufferLimit, SavePoint};
use super::value::Value;
use super::{
    AclPubsubDefault, AppendFsync, Config, EndpointType, LogFormat, LogLevel, MaxmemoryPolicy,
    ProtectedAction, SanitizeDumpPayload, ShutdownFlags, SlotMetrics, Supervised, TlsAuthClients,
    TlsAuthClientsUser, TlsMinVersion,
};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $directive:literal;)+) => {
        impl Config {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nDirective `", $directive, "`.")]
                #[inline]
                pub fn $name(&self) -> $type {
                    const SLOT: usize = slot($directive);
                    <$type as FromNumber>::from_number(self.numbers[SLOT].load(Ordering::Relaxed))
                }
            )+
        }

        /// The directives with a getter, and the numbers its type can hold.
        #[cfg(test)]
        const NUMBERS: &[(&str, std::ops::RangeInclusive<i128>)] =
            &[$(($directive, <$type as FromNumber>::RANGE)),+];
    };
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $directive:literal;)+) => {
        impl Config {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nDirective `", $directive, "`; `None` when unset.")]
                pub fn $name(&self) -> Option<Vec<u8>> {
                    const SLOT: usize = slot($directive);
                    match &self.values()[SLOT] {
                        Value::Text(text) => text.clone(),
                        other => unreachable!("{} holds {other:?}", $directive),
                    }
                }
            )+
        }

        #[cfg(test)]
        const TEXTS: &[&str] = &[$($directive),+];
    };
}

numbers! {
    /// TCP port; 0 for no TCP listener.
    port: u16 = "port";
    /// Length of the accept queue.
    tcp_backlog: u32 = "tcp-backlog";
    /// File mode of the unix socket; 0 leaves it to the umask.
    unixsocketperm: u32 = "unixsocketperm";
    /// Seconds that the end of the server waits for followers.
    shutdown_timeout_seconds: u64 = "shutdown-timeout";
    /// Seconds between the news that the server ends and its end.
    shutdown_notice_seconds: u64 = "shutdown-notice";
    /// Idle seconds before a client is closed; 0 for never.
    timeout_seconds: u64 = "timeout";
    /// Seconds between TCP keepalive probes; 0 for none.
    tcp_keepalive_seconds: u32 = "tcp-keepalive";
    /// Whether remote clients are refused while no password is set.
    protected_mode: bool = "protected-mode";
    /// Port of metrics and health; 0 for none.
    metrics_port: u16 = "metrics-port";
    /// TCP port for TLS; 0 for none.
    tls_port: u16 = "tls-port";
    /// Whether TLS clients must present a certificate.
    tls_auth_clients: TlsAuthClients = "tls-auth-clients";
    /// What of a TLS client's certificate names its user.
    tls_auth_clients_user: TlsAuthClientsUser = "tls-auth-clients-user";
    /// The oldest version of TLS.
    tls_min_version: TlsMinVersion = "tls-min-version";
    /// Whether the server's order of ciphers counts.
    tls_prefer_server_ciphers: bool = "tls-prefer-server-ciphers";
    /// Whether TLS sessions can be resumed.
    tls_session_caching: bool = "tls-session-caching";
    /// How many of them are kept.
    tls_session_cache_size: usize = "tls-session-cache-size";
    /// For how many seconds.
    tls_session_cache_timeout_seconds: u64 = "tls-session-cache-timeout";
    /// Whether values go to other servers with TLS.
    tls_cluster: bool = "tls-cluster";
    /// Worker threads; 0 for one per processor.
    threads: usize = "threads";
    /// Number of databases.
    databases: usize = "databases";
    /// Rounds of background work per second.
    hz: u32 = "hz";
    /// Most clients at a time.
    maxclients: usize = "maxclients";
    /// Bytes of one client's unprocessed input.
    client_query_buffer_limit: usize = "client-query-buffer-limit";
    /// Bytes of one argument.
    proto_max_bulk_len: usize = "proto-max-bulk-len";
    /// Bytes of all clients' buffers; negative is a percentage of `maxmemory`, 0 no limit.
    maxmemory_clients: i64 = "maxmemory-clients";
    /// Keys remembered for client-side caching.
    tracking_table_max_keys: usize = "tracking-table-max-keys";
    /// Who may use DEBUG.
    enable_debug_command: ProtectedAction = "enable-debug-command";
    /// Who may use MODULE.
    enable_module_command: ProtectedAction = "enable-module-command";
    /// Who may change protected directives.
    enable_protected_configs: ProtectedAction = "enable-protected-configs";
    /// Channels of a new user.
    acl_pubsub_default: AclPubsubDefault = "acl-pubsub-default";
    /// Entries of ACL LOG.
    acllog_max_len: usize = "acllog-max-len";
    /// Least important log lines.
    loglevel: LogLevel = "loglevel";
    /// Who is told when the server is ready.
    supervised: Supervised = "supervised";
    /// Form of log lines.
    log_format: LogFormat = "log-format";
    /// Whether keys stay when their time is over.
    import_mode: bool = "import-mode";
    /// Whether INFO counts keys by the memory that they take.
    key_memory_histograms: bool = "key-memory-histograms";
    /// Commands of a hundred that are looked at for a cluster.
    cluster_compatibility_sample_ratio: u32 = "cluster-compatibility-sample-ratio";
    /// Commands of a million that are traced.
    otel_samples_per_million: u32 = "otel-samples-per-million";
    /// Microseconds from which a command is in SLOWLOG; negative for never.
    slowlog_log_slower_than: i64 = "slowlog-log-slower-than";
    /// Entries of SLOWLOG.
    slowlog_max_len: usize = "slowlog-max-len";
    /// What the directive says, which means nothing here.
    io_threads: u32 = "io-threads";
    /// Whether clients of Redis Cluster are served.
    cluster_enabled: bool = "cluster-enabled";
    /// Whether the keys of a request may be in several slots all the same.
    cluster_allow_cross_slot: bool = "cluster-allow-cross-slot";
    /// What is counted of each slot.
    cluster_slot_stats_enabled: SlotMetrics = "cluster-slot-stats-enabled";
    /// Ports that clients of a cluster are told; 0 for those listened on.
    cluster_announce_port: u16 = "cluster-announce-port";
    cluster_announce_tls_port: u16 = "cluster-announce-tls-port";
    /// The port of the cluster's bus that they are told.
    cluster_announce_bus_port: u16 = "cluster-announce-bus-port";
    /// What they are told to connect to.
    cluster_preferred_endpoint_type: EndpointType = "cluster-preferred-endpoint-type";
    /// Bytes from which a command is in COMMANDLOG; negative for never.
    commandlog_request_larger_than: i64 = "commandlog-request-larger-than";
    /// Entries of its log of large requests.
    commandlog_large_request_max_len: usize = "commandlog-large-request-max-len";
    /// Bytes of its reply from which a command is in COMMANDLOG; negative for never.
    commandlog_reply_larger_than: i64 = "commandlog-reply-larger-than";
    /// Entries of its log of large replies.
    commandlog_large_reply_max_len: usize = "commandlog-large-reply-max-len";
    /// Milliseconds from which LATENCY records an event; 0 for never.
    latency_monitor_threshold: u64 = "latency-monitor-threshold";
    /// Whether commands' latencies are kept in histograms.
    latency_tracking: bool = "latency-tracking";
    /// Classes of keyspace notifications, bits of [`super::keyspace_events`].
    notify_keyspace_events: u32 = "notify-keyspace-events";
    /// Bytes the data may take; 0 for no limit.
    maxmemory: u64 = "maxmemory";
    /// What happens at `maxmemory`.
    maxmemory_policy: MaxmemoryPolicy = "maxmemory-policy";
    /// Keys looked at to find one to evict.
    maxmemory_samples: usize = "maxmemory-samples";
    /// How long a command may wait for eviction, 0 to 100.
    maxmemory_eviction_tenacity: u32 = "maxmemory-eviction-tenacity";
    /// Growth of the access counter.
    lfu_log_factor: u32 = "lfu-log-factor";
    /// Minutes after which the access counter decays.
    lfu_decay_time: u32 = "lfu-decay-time";
    /// Free evicted values in the background.
    lazyfree_lazy_eviction: bool = "lazyfree-lazy-eviction";
    /// Free expired values in the background.
    lazyfree_lazy_expire: bool = "lazyfree-lazy-expire";
    /// Free replaced values in the background.
    lazyfree_lazy_server_del: bool = "lazyfree-lazy-server-del";
    /// DEL frees like UNLINK.
    lazyfree_lazy_user_del: bool = "lazyfree-lazy-user-del";
    /// FLUSHALL and FLUSHDB free in the background by default.
    lazyfree_lazy_user_flush: bool = "lazyfree-lazy-user-flush";
    /// Effort of active expiry, 1 to 10.
    active_expire_effort: u32 = "active-expire-effort";
    /// How far payloads are checked.
    sanitize_dump_payload: SanitizeDumpPayload = "sanitize-dump-payload";
    /// Items of a list node, or -1 to -5 for 4 kB to 64 kB.
    list_max_listpack_size: i32 = "list-max-listpack-size";
    /// Uncompressed nodes at each end of a list.
    list_compress_depth: u32 = "list-compress-depth";
    /// Fields up to which a hash is a listpack.
    hash_max_listpack_entries: usize = "hash-max-listpack-entries";
    /// Bytes of a field or value up to which a hash is a listpack.
    hash_max_listpack_value: usize = "hash-max-listpack-value";
    /// Members up to which a set of integers is an intset.
    set_max_intset_entries: usize = "set-max-intset-entries";
    /// Members up to which a set is a listpack.
    set_max_listpack_entries: usize = "set-max-listpack-entries";
    /// Bytes of a member up to which a set is a listpack.
    set_max_listpack_value: usize = "set-max-listpack-value";
    /// Members up to which a sorted set is a listpack.
    zset_max_listpack_entries: usize = "zset-max-listpack-entries";
    /// Bytes of a member up to which a sorted set is a listpack.
    zset_max_listpack_value: usize = "zset-max-listpack-value";
    /// Bytes up to which a HyperLogLog is sparse.
    hll_sparse_max_bytes: usize = "hll-sparse-max-bytes";
    /// Bytes of a stream's node; 0 for no limit.
    stream_node_max_bytes: usize = "stream-node-max-bytes";
    /// Entries of a stream's node; 0 for no limit.
    stream_node_max_entries: u64 = "stream-node-max-entries";
    /// Seconds for which a stream knows the identifiers of its producers.
    stream_idmp_duration: u32 = "stream-idmp-duration";
    /// How many of a producer it knows.
    stream_idmp_maxsize: u32 = "stream-idmp-maxsize";
    /// Milliseconds after which a script is busy.
    busy_reply_threshold: u64 = "busy-reply-threshold";
    /// Whether changes go to an append-only log.
    appendonly: bool = "appendonly";
    /// Whether a file has a checksum.
    rdbchecksum: bool = "rdbchecksum";
    /// Whether a file goes to the disk in steps.
    rdb_save_incremental_fsync: bool = "rdb-save-incremental-fsync";
    /// Whether writes are refused after a save point's save has failed.
    stop_writes_on_bgsave_error: bool = "stop-writes-on-bgsave-error";
    /// Microseconds to wait after each key that is saved.
    rdb_key_save_delay: i64 = "rdb-key-save-delay";
    /// Microseconds to wait after each key that is loaded.
    key_load_delay: i64 = "key-load-delay";
    /// How SIGINT shuts down.
    shutdown_on_sigint: ShutdownFlags = "shutdown-on-sigint";
    /// How SIGTERM shuts down.
    shutdown_on_sigterm: ShutdownFlags = "shutdown-on-sigterm";
    /// Whether transactions and scripts remove expired keys that they come across and do not name.
    lazyexpire_nested_arbitrary_keys: bool = "lazyexpire-nested-arbitrary-keys";
    /// Whether strings are compressed in files and payloads.
    rdbcompression: bool = "rdbcompression";
    /// The version of files and payloads that are written.
    rdb_version: u32 = "rdb-version";
    /// When the append-only log is forced to disk.
    appendfsync: AppendFsync = "appendfsync";
    /// Growth of the log, in percent, that starts a rewrite; 0 for never.
    auto_aof_rewrite_percentage: u32 = "auto-aof-rewrite-percentage";
    /// Bytes below which the log is not rewritten by itself.
    auto_aof_rewrite_min_size: u64 = "auto-aof-rewrite-min-size";
    /// Whether a base goes to the disk in steps.
    aof_rewrite_incremental_fsync: bool = "aof-rewrite-incremental-fsync";
    /// Whether a log is loaded whose end is missing.
    aof_load_truncated: bool = "aof-load-truncated";
    /// How long an end of the log that is no commands has to be for it not to be cut off.
    aof_load_corrupt_tail_max_size: u64 = "aof-load-corrupt-tail-max-size";
    /// Whether a base is written as RDB.
    aof_use_rdb_preamble: bool = "aof-use-rdb-preamble";
    /// Whether the time is written into the log.
    aof_timestamp_enabled: bool = "aof-timestamp-enabled";
    /// Whether followers are sent the data without a file.
    repl_diskless_sync: bool = "repl-diskless-sync";
    /// Seconds to wait for more of them before that.
    repl_diskless_sync_delay_seconds: u64 = "repl-diskless-sync-delay";
    /// So many of them are not waited for any longer; 0 for no such number.
    repl_diskless_sync_max_replicas: usize = "repl-diskless-sync-max-replicas";
    /// Bytes of the stream that are kept.
    repl_backlog_size: u64 = "repl-backlog-size";
    /// Seconds for which they are once nobody follows; 0 for ever.
    repl_backlog_ttl_seconds: u64 = "repl-backlog-ttl";
    /// Seconds of silence after which a follower is let go.
    repl_timeout_seconds: u64 = "repl-timeout";
    /// Seconds between two signs of life to followers.
    repl_ping_replica_period_seconds: u64 = "repl-ping-replica-period";
    /// So many followers have to keep up for writes to be accepted.
    min_replicas_to_write: usize = "min-replicas-to-write";
    /// Seconds of silence after which one does not.
    min_replicas_max_lag_seconds: u64 = "min-replicas-max-lag";
    /// Whether files that the log no longer needs are kept.
    aof_disable_auto_gc: bool = "aof-disable-auto-gc";
}

texts! {
    /// Base name of the log's files.
    appendfilename = "appendfilename";
    /// Directory of the log in `dir`.
    appenddirname = "appenddirname";
    /// Path of the unix socket; make it absolute with [`Config::resolve`].
    unixsocket = "unixsocket";
    /// The default user's password.
    requirepass = "requirepass";
    /// File of the users.
    aclfile = "aclfile";
    /// File of the log; empty for standard output.
    logfile = "logfile";
    /// File of the process id.
    pidfile = "pidfile";
    /// Where clients are told to go before the server ends.
    shutdown_notice_endpoint = "shutdown-notice-endpoint";
    /// Where traces go.
    otel_endpoint = "otel-endpoint";
    /// Headers for it.
    otel_headers = "otel-headers";
    /// Name of this service in traces.
    otel_service_name = "otel-service-name";
    /// Name of the snapshot file.
    dbfilename = "dbfilename";
    /// Certificate file.
    tls_cert_file = "tls-cert-file";
    /// Key file.
    tls_key_file = "tls-key-file";
    /// Passphrase of the key file.
    tls_key_file_pass = "tls-key-file-pass";
    /// Certificate file for connections to other servers.
    tls_client_cert_file = "tls-client-cert-file";
    /// Its key file.
    tls_client_key_file = "tls-client-key-file";
    /// Passphrase of that key file.
    tls_client_key_file_pass = "tls-client-key-file-pass";
    /// Trusted authorities' certificates.
    tls_ca_cert_file = "tls-ca-cert-file";
    /// Directory of trusted authorities' certificates.
    tls_ca_cert_dir = "tls-ca-cert-dir";
    /// Accepted protocol versions.
    tls_protocols = "tls-protocols";
    /// The address that clients of a cluster are told.
    cluster_announce_ip = "cluster-announce-ip";
    /// The host name that they are told.
    cluster_announce_hostname = "cluster-announce-hostname";
    /// The name under which clients of Sentinel find this server; empty for none.
    sentinel_master_name = "sentinel-master-name";
    /// Accepted ciphers of TLS 1.2.
    tls_ciphers = "tls-ciphers";
    /// Accepted ciphers of TLS 1.3.
    tls_ciphersuites = "tls-ciphersuites";
}

impl Config {
    /// What clients are told that they speak with.
    pub fn mode(&self) -> &'static str {
        if self.cluster_enabled() { "cluster" } else { "standalone" }
    }

    /// When a client of this class that does not read its replies is closed.
    #[inline]
    pub fn output_buffer_limit(&self, class: ClientClass) -> OutputBufferLimit {
        let [hard, soft, seconds] = &self.output_limits[class as usize];
        OutputBufferLimit {
            hard_bytes: hard.load(Ordering::Relaxed),
            soft_bytes: soft.load(Ordering::Relaxed),
            soft_seconds: seconds.load(Ordering::Relaxed),
        }
    }

    /// Bytes of replies that a client may leave unread before it is closed at once.
    #[inline]
    pub fn output_bytes_max(&self, class: ClientClass) -> usize {
        match self.output_buffer_limit(class).hard_bytes {
            0 => usize::MAX,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }

    /// The working directory: `dir`, absolute.
    pub fn directory(&self) -> PathBuf {
        const SLOT: usize = slot("dir");
        match &self.values()[SLOT] {
            Value::Directory(path) => path.clone(),
            other => unreachable!("dir holds {other:?}"),
        }
    }

    /// Absolute path of the unix socket, if there is to be one.
    pub fn unixsocket_path(&self) -> Option<PathBuf> {
        let path = self.unixsocket()?;
        Some(self.resolve(OsString::from_vec(path)))
    }

    /// Addresses to listen on, as written: `*` and `::*` for every one, a leading `-` for optional.
    pub fn bind(&self) -> Vec<String> {
        const SLOT: usize = slot("bind");
        match &self.values()[SLOT] {
            Value::Bind(addresses) => {
                addresses.iter().map(|address| String::from_utf8_lossy(address).into_owned()).collect()
            }
            other => unreachable!("bind holds {other:?}"),
        }
    }

    /// The save points.
    pub fn save_points(&self) -> Vec<SavePoint> {
        const SLOT: usize = slot("save");
        match &self.values()[SLOT] {
            Value::Save(points) => points.clone(),
            other => unreachable!("save holds {other:?}"),
        }
    }

    /// The percentiles of INFO latencystats, 0 to 100.
    pub fn latency_tracking_info_percentiles(&self) -> Vec<f64> {
        const SLOT: usize = slot("latency-tracking-info-percentiles");
        match &self.values()[SLOT] {
            Value::Percentiles(percentiles) => percentiles.clone(),
            other => unreachable!("latency-tracking-info-percentiles holds {other:?}"),
        }
    }
}

/// A typed reading of a stored number. The directive's bounds make each conversion exact; the bounds are
/// checked against the type in the tests.
trait FromNumber {
    /// The numbers that the type can tell apart.
    #[cfg(test)]
    const RANGE: std::ops::RangeInclusive<i128>;
    fn from_number(number: i64) -> Self;
}

macro_rules! from_integer {
    ($($type:ty),+) => {
        $(impl FromNumber for $type {
            #[cfg(test)]
            const RANGE: std::ops::RangeInclusive<i128> = <$type>::MIN as i128..=<$type>::MAX as i128;

            #[inline]
            fn from_number(number: i64) -> $type { number as $type }
        })+
    };
}

macro_rules! from_choice {
    ($($type:ty),+) => {
        $(impl FromNumber for $type {
            #[cfg(test)]
            const RANGE: std::ops::RangeInclusive<i128> = 0..=<$type>::NAMES.len() as i128 - 1;

            #[inline]
            fn from_number(number: i64) -> $type { <$type>::from_number(number) }
        })+
    };
}

from_integer!(u16, u32, u64, usize, i32, i64);
from_choice!(
    AclPubsubDefault,
    AppendFsync,
    LogFormat,
    LogLevel,
    MaxmemoryPolicy,
    ProtectedAction,
    SanitizeDumpPayload,
    Supervised,
    EndpointType,
    TlsAuthClients,
    TlsAuthClientsUser,
    TlsMinVersion
);

impl FromNumber for ShutdownFlags {
    #[cfg(test)]
    const RANGE: std::ops::RangeInclusive<i128> = 0..=ShutdownFlags::all().bits() as i128;

    #[inline]
    fn from_number(number: i64) -> ShutdownFlags {
        ShutdownFlags::from_bits_truncate(number as u8)
    }
}

impl FromNumber for SlotMetrics {
    #[cfg(test)]
    const RANGE: std::ops::RangeInclusive<i128> = 0..=SlotMetrics::all().bits() as i128;

    #[inline]
    fn from_number(number: i64) -> SlotMetrics {
        SlotMetrics::from_bits_truncate(number as u8)
    }
}

impl FromNumber for bool {
    #[cfg(test)]
    const RANGE: std::ops::RangeInclusive<i128> = 0..=1;

    #[inline]
    fn from_number(number: i64) -> bool {
        number != 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::directive::{Kind, Standing};
    use super::super::directives::{DIRECTIVES, find};
    use super::*;

    #[test]
    fn every_value_fits_its_getter() {
        for (name, range) in NUMBERS {
            let (_, directive) = find(name.as_bytes()).expect("it compiled");
            let (min, max) = match directive.kind {
                Kind::Integer(bounds, _) | Kind::Octal(bounds, _) | Kind::Memory(bounds, _) => {
                    (bounds.min, bounds.max)
                }
                Kind::MemoryOrShare(bounds, _) | Kind::MemoryOrPercent(bounds, _) => (bounds.min, bounds.max),
                Kind::Flag(_) => (0, 1),
                Kind::Choice(names, _) => (0, names.len() as i128 - 1),
                Kind::Special(_) => (0, u32::MAX as i128),
                Kind::Text { .. } => panic!("{name} is text"),
            };
            assert!(range.contains(&min) && range.contains(&max), "{name}: {min} to {max}");
        }
    }

    /// A directive that nothing can read cannot be honoured.
    #[test]
    fn every_honoured_directive_has_a_getter() {
        let others =
            ["bind", "dir", "save", "client-output-buffer-limit", "latency-tracking-info-percentiles"];
        let applied = ["oom-score-adj", "oom-score-adj-values"];
        let numbers: Vec<&str> = NUMBERS.iter().map(|(name, _)| *name).collect();
        for directive in DIRECTIVES.iter().filter(|directive| directive.standing == Standing::Honoured) {
            let known = [&numbers, TEXTS, &others, &applied];
            assert!(known.iter().any(|names| names.contains(&directive.name)), "{}", directive.name);
        }
    }
}
