//! Sections Server, Modules, Cluster.

use super::{Facts, Visitor};

pub(super) fn server(info: &mut dyn Visitor, facts: &Facts<'_>) {
    let server = facts.server;
    let config = &server.config;
    let system = rustix::system::uname();
    let word = |word: &std::ffi::CStr| word.to_string_lossy().into_owned();
    let os = format!("{} {} {}", word(system.sysname()), word(system.release()), word(system.machine()));
    let uptime_s = server.started.elapsed().as_secs();
    let port = if config.port() != 0 { config.port() } else { config.tls_port() };
    let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    let config_file = config.file().map(|path| path.display().to_string()).unwrap_or_default();
    info.section("Server");
    info.fields(&[
        ("redis_version", &crate::REDIS_VERSION),
        ("swytch_version", &crate::SWYTCH_VERSION),
        ("server_name", &"swytch"),
        ("redis_git_sha1", &"00000000"),
        ("redis_git_dirty", &0),
        ("redis_build_id", &"0000000000000000"),
        ("redis_mode", &config.mode()),
        ("os", &os),
        ("arch_bits", &usize::BITS),
        ("monotonic_clock", &crate::system::clock::SOURCE),
        ("multiplexing_api", &if cfg!(target_os = "linux") { "epoll" } else { "kqueue" }),
        ("atomicvar_api", &"rust-std"),
        ("gcc_version", &"0.0.0"),
        ("process_id", &std::process::id()),
        ("process_supervised", &"no"),
        ("run_id", &server.run_id),
        ("tcp_port", &port),
        ("server_time_usec", &crate::system::clock::unix_us()),
        ("uptime_in_seconds", &uptime_s),
        ("uptime_in_days", &(uptime_s / 86_400)),
        ("hz", &config.hz()),
        ("configured_hz", &config.hz()),
        ("lru_clock", &swytch_store::access_clock(facts.now_ms)),
        ("executable", &executable),
        ("config_file", &config_file),
        ("io_threads_active", &u8::from(server.workers.len() > 1)),
    ]);
    if let Some(time) = server.ending.time_left() {
        info.field("shutdown_in_milliseconds", &time.as_millis());
    }
    info.fields(&[("threads", &server.workers.len()), ("shards", &server.shards.count())]);
    listeners(info, facts);
}

/// `listener0:name=tcp,bind=127.0.0.1,bind=-::1,port=6379`
fn listeners(info: &mut dyn Visitor, facts: &Facts<'_>) {
    let config = &facts.server.config;
    let mut listeners = Vec::new();
    let addresses: String = config.bind().iter().map(|address| format!(",bind={address}")).collect();
    for (name, port) in [("tcp", config.port()), ("tls", config.tls_port())] {
        if port != 0 && !addresses.is_empty() {
            listeners.push(format!("name={name}{addresses},port={port}"));
        }
    }
    if let Some(path) = config.unixsocket_path().filter(|path| !path.as_os_str().is_empty()) {
        listeners.push(format!("name=unix,bind={}", path.display()));
    }
    for (index, listener) in listeners.iter().enumerate() {
        info.field(&format!("listener{index}"), &listener);
    }
}

pub(super) fn modules(info: &mut dyn Visitor, _: &Facts<'_>) {
    info.section("Modules");
}

pub(super) fn cluster(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Cluster");
    info.field("cluster_enabled", &u8::from(facts.server.config.cluster_enabled()));
}
