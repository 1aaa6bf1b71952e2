//! Metrics for Prometheus, and a health check, over HTTP on `metrics-port`.
//!
//! `GET /metrics` answers the text of `exposition.rs`, written with `page.rs`; `names.rs` says what INFO's fields are called
//! there. `GET /health` says whether the server serves. `http.rs` is all of HTTP that this takes, `connection.rs` one
//! request and its answer, `serve.rs` the event loop.
//!
//! Invariants: metrics never hold up commands: they run on threads of their own, read counters, and lock one shard
//! at a time for a few loads. Connections are bounded in number (`METRICS_CONNECTIONS_MAX`), bytes and time. Who would
//! be refused on the command port (`bind`, `protected-mode`) is refused here.

mod connection;
mod exposition;
mod http;
mod names;
mod page;
mod serve;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::command::CommandTable;
use crate::net::open_tcp;
use crate::server::{Conditions, Server};
use crate::system::clock::MonotonicMs;
use http::Response;

/// A worker turns several times a second; one that has not for this long is stuck in a command.
const STUCK_MS: u64 = 5000;

/// Begins to serve metrics, if `metrics-port` asks for it, on the addresses of `bind`, or on all when there are
/// none (`--bind ""`). Answers the addresses.
///
/// # Errors
/// When an address cannot be used, or no thread can be started; the text names it.
pub fn start(commands: &'static CommandTable, server: &Arc<Server>) -> io::Result<Vec<String>> {
    let config = &server.config;
    let port = config.metrics_port();
    if port == 0 {
        return Ok(Vec::new());
    }
    let mut addresses = config.bind();
    if addresses.is_empty() {
        addresses = vec!["*".to_owned(), "-::*".to_owned()];
    }
    let listeners = open_tcp(&addresses, port, config.tcp_backlog())?;
    let described = listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.to_string()))
        .collect::<io::Result<Vec<_>>>()?;
    serve::Service::start(commands, server, listeners)?;
    Ok(described)
}

fn health(server: &Server) -> Response {
    let now = MonotonicMs::now();
    let stuck = server.workers.iter().any(|worker| now.since(worker.turned.get()) > STUCK_MS);
    let is_ending = server.stopping.load(Ordering::Acquire) || server.ending.is_going_on();
    let (status, word) = match () {
        () if is_ending => (503, "stopping"),
        () if stuck => (503, "stuck"),
        () if server.conditions().contains(Conditions::LOADING) => (503, "loading"),
        () => (200, "ok"),
    };
    Response::new(status, "application/json", &format!("{{\"status\":\"{word}\"}}\n"))
}
