//! Metrics for Prometheus, and a health check, over HTTP on `metrics-port`.
//!
//! `GET /metrics` answers the text of `exposition.rs`, `GET /health` says whether the server serves. `http.rs` is all
//! of HTTP that this takes: each connection is one small request and one answer.
//!
//! Invariants: metrics never hold up commands: they run on threads of their own, read counters, and lock one shard
//! at a time for a few loads. A scraper that is slow, or many of them, cannot pile up: their number
//! ([`CONNECTIONS_MAX`]), the size of their requests and their time are bounded.

mod exposition;
mod http;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::net::open_tcp;
use crate::server::Server;
use http::{Request, Response};

/// Connections served at the same time; further ones are closed at once.
const CONNECTIONS_MAX: usize = 16;
/// A worker turns several times a second; one that has not for this long is stuck in a command.
const STUCK_MS: u64 = 5000;
/// Pause after a failure to accept, so that a lack of descriptors does not keep a processor busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Begins to serve metrics, if `metrics-port` asks for it, on the addresses of `bind`, or on all when there are
/// none (`--bind ""`). Answers the addresses.
///
/// # Errors
/// When an address cannot be used, or no thread can be started; the text names it.
pub fn start(server: &Arc<Server>) -> io::Result<Vec<String>> {
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
    let connections = Arc::new(AtomicUsize::new(0));
    let mut described = Vec::new();
    for listener in listeners {
        described.push(listener.local_addr()?.to_string());
        listener.set_nonblocking(false)?;
        let (server, connections) = (Arc::clone(server), Arc::clone(&connections));
        std::thread::Builder::new()
            .name("swytch-metrics".into())
            .spawn(move || accept(&listener, &server, &connections))?;
    }
    Ok(described)
}

/// Serves until the process ends.
fn accept(listener: &TcpListener, server: &Arc<Server>, connections: &Arc<AtomicUsize>) {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let place = Place::take(connections);
        if place.0.load(Ordering::Relaxed) > CONNECTIONS_MAX {
            continue;
        }
        let server = Arc::clone(server);
        let served = std::thread::Builder::new().name("swytch-metrics".into()).spawn(move || {
            // The scraper learns of a failure by itself; there is nobody else to tell.
            let _ = serve(stream, &server);
            drop(place);
        });
        if let Err(error) = served {
            tracing::warn!(%error, "no thread for a metrics connection");
        }
    }
}

/// One of the connections that are served now; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(connections: &Arc<AtomicUsize>) -> Place {
        connections.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(connections))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(mut stream: TcpStream, server: &Server) -> io::Result<()> {
    let bytes = match http::read(&mut stream) {
        Ok(request) => answer(&request, server).encode(request.head_only),
        Err(response) => response.encode(false),
    };
    http::write(&mut stream, &bytes)
}

fn answer(request: &Request, server: &Server) -> Response {
    match request.path.as_str() {
        "/metrics" => Response::new(200, exposition::CONTENT_TYPE, exposition::text(server)),
        "/health" | "/healthz" => health(server),
        "/" => Response::new(200, "text/plain; charset=utf-8", "/metrics\n/health\n".to_owned()),
        _ => Response::new(404, "text/plain; charset=utf-8", "not found\n".to_owned()),
    }
}

fn health(server: &Server) -> Response {
    let now_ms = crate::system::clock::unix_ms();
    let stuck = server
        .workers
        .iter()
        .any(|worker| now_ms.saturating_sub(worker.turned_ms.load(Ordering::Relaxed)) > STUCK_MS);
    let (status, word) = match server.stopping.load(Ordering::Acquire) {
        true => (503, "stopping"),
        false if stuck => (503, "stuck"),
        false => (200, "ok"),
    };
    Response::new(status, "application/json", format!("{{\"status\":\"{word}\"}}\n"))
}
