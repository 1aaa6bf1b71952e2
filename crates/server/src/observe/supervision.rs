//! Tells systemd that the server is ready, and that it stops (directive `supervised`).
//!
//! A unit of `Type=notify`, as Debian's redis-server.service is one, waits for that, and ends a service that never says
//! so. Source: sd_notify(3).

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::{Config, Supervised};

/// Where systemd listens, if it does.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// The server accepts connections.
pub fn ready(config: &Config) {
    tell(config, "READY=1\nSTATUS=Ready to accept connections\n");
}

/// The server is about to end.
pub fn stopping(config: &Config) {
    tell(config, "STOPPING=1\n");
}

fn tell(config: &Config, state: &str) {
    let socket = std::env::var(VARIABLE).ok().filter(|path| !path.is_empty());
    let result = match (config.supervised(), socket) {
        (Supervised::Systemd | Supervised::Auto, Some(path)) => send(&path, state),
        (Supervised::Systemd, None) => Err(io::Error::other(format!("{VARIABLE} is not set"))),
        _ => Ok(()),
    };
    if let Err(error) = result {
        tracing::warn!(%error, "systemd could not be told about this server");
    }
}

fn send(path: &str, state: &str) -> io::Result<()> {
    let address = match path.strip_prefix('@') {
        Some(name) => abstract_address(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
