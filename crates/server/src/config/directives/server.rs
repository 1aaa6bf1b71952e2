//! Directives about how the server listens, whom it lets in, and what it says about itself.

use super::super::directive::{
    AclPubsubDefault, Directive as D, EndpointType, Group, INT_MAX, Known, LONG_MAX, LogFormat, LogLevel,
    ProtectedAction, ShutdownFlags, SlotMetrics, Special, TlsAuthClients, TlsAuthClientsUser, TlsMinVersion,
};
use super::super::rules;

const NO_PRIMARY: &str = "no other server is followed";

const fn network(directive: D) -> D {
    directive.in_group(Group::Network)
}

const fn tls(directive: D) -> D {
    directive.in_group(Group::Tls)
}

const fn security(directive: D) -> D {
    directive.in_group(Group::Security)
}

const fn clients(directive: D) -> D {
    directive.in_group(Group::Clients)
}

const fn cluster(directive: D) -> D {
    directive.in_group(Group::Cluster)
}

const fn observed(directive: D) -> D {
    directive.in_group(Group::Observability)
}

pub(super) const LIST: &[D] = &[
    network(D::special("bind", Special::Bind).several_words())
        .summary("Addresses to listen on; - before one makes it optional; \"\" for no TCP at all."),
    network(D::integer("port", 0, 65535, 6379)).summary("TCP port; 0 for no TCP listener."),
    network(D::integer("tcp-backlog", 0, INT_MAX, 511).immutable())
        .summary("Length of the queue of connections not yet accepted."),
    network(D::optional_text("unixsocket").immutable()).summary("Path of a unix socket to listen on."),
    network(D::octal("unixsocketperm", 0o777, 0).immutable())
        .summary("File mode of the unix socket, octal; 0 leaves it to the umask."),
    network(D::integer("timeout", 0, INT_MAX, 0))
        .summary("Close a client idle for this many seconds; 0 for never."),
    network(D::integer("tcp-keepalive", 0, INT_MAX, 300))
        .summary("Seconds between TCP keepalive probes; 0 for none."),
    network(D::flag("protected-mode", true)).summary("Refuse remote clients while no password is set."),
    network(D::integer("metrics-port", 0, 65535, 0).start_only().known(Known::Swytch))
        .summary("Port for Prometheus metrics and /health; 0 for none."),
    network(
        D::optional_text("bind-source-addr")
            .harmless("MIGRATE connects from the address that the system chooses"),
    )
    .summary("Local address of outgoing connections."),
    network(
        D::unsigned("socket-mark-id", 0, u32::MAX as i128, 0).immutable().refused("sockets are not marked"),
    )
    .summary("Mark of the listening sockets, for packet filters."),
    network(
        D::unsigned("max-new-connections-per-cycle", 1, 1000, 10)
            .known(Known::Redis8)
            .harmless("every thread accepts for itself"),
    )
    .summary("New connections accepted in one turn of the event loop."),
    tls(D::unsigned("max-new-tls-connections-per-cycle", 1, 1000, 1)
        .known(Known::Redis8)
        .harmless("handshakes wait behind established connections"))
    .summary("New TLS connections accepted in one turn of the event loop."),
    tls(D::integer("tls-port", 0, 65535, 0)).summary("TCP port for TLS connections; 0 for none."),
    tls(D::optional_text("tls-cert-file")).summary("The server's certificate, PEM."),
    tls(D::optional_text("tls-key-file")).summary("The key of the server's certificate, PEM."),
    tls(D::optional_text("tls-key-file-pass").sensitive()).summary("Passphrase of the key file."),
    tls(D::optional_text("tls-client-cert-file"))
        .summary("Certificate for outgoing connections, PEM, if it is not the server's."),
    tls(D::optional_text("tls-client-key-file")).summary("Key of that certificate, PEM."),
    tls(D::optional_text("tls-client-key-file-pass").sensitive()).summary("Passphrase of that key's file."),
    tls(D::optional_text("tls-dh-params-file").refused("keys are agreed on elliptic curves only"))
        .summary("Diffie-Hellman parameters, PEM."),
    tls(D::optional_text("tls-ca-cert-file")).summary("Certificates of the trusted authorities."),
    tls(D::optional_text("tls-ca-cert-dir")).summary("Directory of the trusted authorities' certificates."),
    tls(D::choice("tls-auth-clients", TlsAuthClients::NAMES, TlsAuthClients::Yes as i64))
        .summary("Whether clients must present a certificate."),
    tls(D::choice("tls-auth-clients-user", TlsAuthClientsUser::NAMES, TlsAuthClientsUser::Off as i64)
        .known(Known::Redis8))
    .summary("What of a client's certificate names the user that it is logged in as."),
    tls(D::choice("tls-min-version", TlsMinVersion::NAMES, TlsMinVersion::Tls12 as i64).known(Known::Swytch))
        .summary("The oldest version of TLS that is accepted."),
    tls(D::optional_text("tls-protocols"))
        .summary("Accepted protocol versions, TLSv1.2 and TLSv1.3 if it is empty."),
    tls(D::optional_text("tls-ciphers")).summary("Accepted ciphers up to TLS 1.2."),
    tls(D::optional_text("tls-ciphersuites")).summary("Accepted cipher suites of TLS 1.3."),
    tls(D::flag("tls-prefer-server-ciphers", false)).summary("Prefer the server's order of ciphers."),
    tls(D::flag("tls-session-caching", true)).summary("Let clients resume TLS sessions."),
    tls(D::integer("tls-session-cache-size", 0, INT_MAX, 20 * 1024)).summary("TLS sessions remembered."),
    tls(D::integer("tls-session-cache-timeout", 0, INT_MAX, 300))
        .summary("Seconds a TLS session is remembered."),
    tls(D::flag("tls-cluster", false)).summary("MIGRATE speaks TLS."),
    tls(D::flag("tls-replication", false).harmless(NO_PRIMARY)).summary("Use TLS towards a primary."),
    D::integer("threads", 0, 1024, 0)
        .start_only()
        .known(Known::Swytch)
        .summary("Worker threads; 0 for one per processor."),
    D::integer("databases", 1, INT_MAX, 16)
        .immutable()
        .summary("Number of databases SELECT can choose from."),
    D::optional_text("pidfile").immutable().summary("File to write the process id to."),
    D::special("dir", Special::Directory)
        .protected()
        .denied_while_loading()
        .summary("Working directory: every relative path is relative to it."),
    D::integer("hz", 0, INT_MAX, 10)
        .clamped(1, 500)
        .summary("Rounds of background work per second, 10 to 500; less counts as 10."),
    D::choice("oom-score-adj", &[("no", 0), ("yes", 1), ("relative", 1), ("absolute", 2)], 0)
        .summary("Whether to adjust the kernel's out-of-memory score."),
    D::special("oom-score-adj-values", Special::OomScoreValues)
        .several_words()
        .summary("The score of a primary; Redis's others have no meaning."),
    D::integer("shutdown-timeout", 0, INT_MAX, 10)
        .summary("Seconds a shutdown waits for replicas that lag behind."),
    D::integer("shutdown-notice", 0, 3600, 0)
        .known(Known::Swytch)
        .summary("Seconds for which clients that asked to be told can go elsewhere before a shutdown."),
    D::optional_text("shutdown-notice-endpoint")
        .checked(rules::endpoint)
        .known(Known::Swytch)
        .summary("host:port that they are told to go to; unset for where the name leads that they came by."),
    D::choice("shutdown-on-sigint", ShutdownFlags::NAMES, 0)
        .several_words()
        .combined(rules::shutdown_flags)
        .summary("How SIGINT shuts down: default, or of save, nosave, now, force."),
    D::choice("shutdown-on-sigterm", ShutdownFlags::NAMES, 0)
        .several_words()
        .combined(rules::shutdown_flags)
        .summary("How SIGTERM shuts down: default, or of save, nosave, now, force."),
    security(D::optional_text("requirepass").sensitive())
        .summary("Password of the default user; empty for none."),
    security(D::text("aclfile", "").immutable()).summary("File with the users and what they may do."),
    security(D::choice(
        "acl-pubsub-default",
        AclPubsubDefault::NAMES,
        AclPubsubDefault::Resetchannels as i64,
    ))
    .summary("Channels a new user may use."),
    security(D::unsigned("acllog-max-len", 0, LONG_MAX, 128)).summary("Entries kept by ACL LOG."),
    security(protected_action("enable-protected-configs"))
        .summary("Who may change protected directives with CONFIG SET."),
    security(protected_action("enable-debug-command")).summary("Who may use DEBUG."),
    security(protected_action("enable-module-command"))
        .harmless("modules cannot be loaded")
        .summary("Who may use MODULE."),
    security(D::flag("hide-user-data-from-log", false).known(Known::Redis8))
        .harmless("the log never holds keys or values")
        .summary("Keep users' data out of the log."),
    clients(D::unsigned("maxclients", 1, u32::MAX as i128, 10_000))
        .summary("Clients connected at the same time."),
    clients(D::special("client-output-buffer-limit", Special::OutputBufferLimits).several_words())
        .summary("CLASS HARD SOFT SECONDS, for normal, replica and pubsub clients; 0 for none."),
    clients(D::unsigned_memory("client-query-buffer-limit", 1024 * 1024, LONG_MAX, 1024 * 1024 * 1024))
        .summary("Bytes of one client's unprocessed input."),
    clients(D::memory("proto-max-bulk-len", 1024 * 1024, LONG_MAX, 512 * 1024 * 1024))
        .summary("Bytes of one argument."),
    clients(D::memory_or_percent("maxmemory-clients", 0))
        .summary("Bytes that all clients together may hold, or a percentage of maxmemory; 0 for no limit."),
    clients(D::unsigned("tracking-table-max-keys", 0, LONG_MAX, 1_000_000))
        .summary("Keys remembered for client-side caching."),
    observed(D::choice("loglevel", LogLevel::NAMES, LogLevel::Notice as i64).alias("log-level"))
        .summary("Least important log lines to write."),
    observed(D::choice("log-format", LogFormat::NAMES, LogFormat::Text as i64))
        .start_only()
        .known(Known::Swytch)
        .summary("Log lines as text or as JSON."),
    observed(D::text("logfile", "").immutable())
        .summary("File to write the log to; empty for standard output."),
    cluster(D::flag("cluster-enabled", false))
        .immutable()
        .summary("Serve clients of Redis Cluster, as a cluster of one node."),
    cluster(D::flag("cluster-allow-cross-slot", false))
        .immutable()
        .known(Known::Swytch)
        .summary("With cluster-enabled, let the keys of a request be in several slots."),
    cluster(D::integer("cluster-compatibility-sample-ratio", 0, 100, 0))
        .known(Known::Redis8)
        .summary("Percentage of commands looked at whether a cluster would refuse them."),
    cluster(D::choice("cluster-slot-stats-enabled", SlotMetrics::NAMES, 0))
        .several_words()
        .known(Known::Redis8)
        .summary("What CLUSTER SLOT-STATS tells besides keys: no, yes, or of cpu, net, mem."),
    cluster(D::optional_text("cluster-announce-ip")).summary("Address that clients of a cluster are told."),
    cluster(D::optional_text("cluster-announce-hostname"))
        .checked(rules::announced_host_name)
        .summary("Host name that clients of a cluster are told."),
    cluster(D::optional_text("cluster-announce-human-nodename"))
        .known(Known::Redis8)
        .checked(rules::announced_node_name)
        .harmless("the log names no node")
        .summary("Node name for people."),
    cluster(D::integer("cluster-announce-port", 0, 65535, 0))
        .summary("Port that clients of a cluster are told; 0 for the one listened on."),
    cluster(D::integer("cluster-announce-tls-port", 0, 65535, 0))
        .summary("TLS port that clients of a cluster are told; 0 for the one listened on."),
    cluster(D::integer("cluster-announce-bus-port", 0, 65535, 0))
        .summary("Port of the cluster's bus that clients are told; 0 for none."),
    cluster(D::choice("cluster-preferred-endpoint-type", EndpointType::NAMES, EndpointType::Ip as i64))
        .summary("What clients of a cluster are told to connect to: ip, hostname or unknown-endpoint."),
    cluster(D::text("sentinel-master-name", "mymaster"))
        .known(Known::Swytch)
        .summary("The name under which clients of Sentinel find this server, which answers them itself."),
    observed(D::integer("slowlog-log-slower-than", -1, LONG_MAX, 10_000))
        .alias("commandlog-execution-slower-than")
        .summary("Microseconds from which a command is in SLOWLOG; -1 for never."),
    observed(D::unsigned("slowlog-max-len", 0, LONG_MAX, 128))
        .alias("commandlog-slow-execution-max-len")
        .summary("Entries kept by SLOWLOG."),
    observed(D::integer("commandlog-request-larger-than", -1, LONG_MAX, 1 << 20))
        .known(Known::Swytch)
        .summary("Bytes from which a command is in COMMANDLOG's large-request; -1 for never."),
    observed(D::unsigned("commandlog-large-request-max-len", 0, LONG_MAX, 128))
        .known(Known::Swytch)
        .summary("Entries kept by COMMANDLOG's large-request."),
    observed(D::integer("commandlog-reply-larger-than", -1, LONG_MAX, 1 << 20))
        .known(Known::Swytch)
        .summary("Bytes of its reply from which a command is in COMMANDLOG's large-reply; -1 for never."),
    observed(D::unsigned("commandlog-large-reply-max-len", 0, LONG_MAX, 128))
        .known(Known::Swytch)
        .summary("Entries kept by COMMANDLOG's large-reply."),
    observed(D::integer("latency-monitor-threshold", 0, LONG_MAX, 0))
        .summary("Milliseconds from which LATENCY records an event; 0 for never."),
    observed(D::flag("key-memory-histograms", false).known(Known::Redis8))
        .summary("INFO keysizes walks through all keys and counts collections by the memory that they take."),
    observed(D::flag("latency-tracking", true)).summary("Keep a histogram of every command's latency."),
    observed(D::special("latency-tracking-info-percentiles", Special::Percentiles).several_words())
        .summary("Percentiles shown by INFO latencystats."),
    observed(D::optional_text("otel-endpoint").start_only().known(Known::Swytch))
        .checked(rules::http_url)
        .summary("URL of an OpenTelemetry collector to send traces to, such as http://localhost:4318."),
    observed(D::optional_text("otel-headers").start_only().known(Known::Swytch))
        .sensitive()
        .checked(rules::http_headers)
        .summary("Headers for the collector: name=value, separated by commas."),
    observed(D::text("otel-service-name", "swytch").start_only().known(Known::Swytch))
        .summary("Name of this service in traces."),
    observed(D::integer("otel-samples-per-million", 0, 1_000_000, 0).known(Known::Swytch))
        .summary("Commands of a million that are traced, besides those that are in SLOWLOG."),
    observed(D::special("notify-keyspace-events", Special::KeyspaceEvents))
        .summary("Classes of keyspace notifications, characters of Ag$lshzxeKEtmdnoc."),
];

const fn protected_action(name: &'static str) -> D {
    D::choice(name, ProtectedAction::NAMES, ProtectedAction::No as i64).immutable()
}
