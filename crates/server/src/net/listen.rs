//! Listening sockets and the thread that accepts.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::{Events, Interest, Poll, Token, Waker};
use parking_lot::Mutex;
use rustix::net::sockopt;

use super::arrivals::Arrivals;
use super::connection::Stream;
use crate::clients::{ClientShared, Names};
use crate::config::Config;
use crate::server::{Mail, Server, WAKE};
use crate::system::clock;

/// A listening socket.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Everything the server listens on. Dropping it removes the unix socket's file.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<Listener>,
    unix_path: Option<PathBuf>,
    /// What the TCP listeners were opened for; unknown after a failure.
    opened_for: Option<(u16, Vec<String>)>,
}

/// Opens what the configuration asks for.
///
/// # Errors
/// When an address cannot be used; the text names it.
pub fn listen(server: &Server) -> io::Result<Listeners> {
    let config = &server.config;
    let mut listeners = listen_tcp(config)?;
    let unix_path = config.unixsocket_path().filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = &unix_path {
        listeners.push(Listener::Unix(bind_unix(path, config.unixsocketperm())?));
    }
    Ok(Listeners { listeners, unix_path, opened_for: Some((config.port(), config.bind())) })
}

fn listen_tcp(config: &Config) -> io::Result<Vec<Listener>> {
    let opened = match config.port() {
        0 => Vec::new(),
        port => open_tcp(&config.bind(), port, config.tcp_backlog())?,
    };
    Ok(opened.into_iter().map(|listener| Listener::Tcp(TcpListener::from_std(listener))).collect())
}

/// Opens non-blocking listeners on addresses as `bind` writes them: `*` and `::*` for every one, `-` before one
/// that may be missing.
///
/// # Errors
/// When an address cannot be used; the text names it.
pub fn open_tcp(addresses: &[String], port: u16, backlog: u32) -> io::Result<Vec<StdTcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let (address, optional) = match address.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (address.as_str(), false),
        };
        match bind_tcp(address, port, backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) if optional => {
                tracing::debug!(%error, address, "an optional address is not available");
            }
            Err(error) => {
                let text = format!("cannot listen on {address} port {port}: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
    Ok(listeners)
}

fn bind_tcp(address: &str, port: u16, backlog: u32) -> io::Result<StdTcpListener> {
    let resolved = match address {
        "*" => SocketAddr::from(([0, 0, 0, 0], port)),
        "::*" => SocketAddr::from(([0u16; 8], port)),
        name => (name, port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?,
    };
    let family =
        if resolved.is_ipv4() { rustix::net::AddressFamily::INET } else { rustix::net::AddressFamily::INET6 };
    let socket = rustix::net::socket(family, rustix::net::SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if resolved.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &resolved)?;
    rustix::net::listen(&socket, backlog as i32)?;
    let listener = StdTcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind_unix(path: &PathBuf, mode: u32) -> io::Result<UnixListener> {
    let refused = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot replace {} by a socket: {error}", path.display()))
    };
    match std::fs::symlink_metadata(path) {
        // Left by a server that was killed; a live server would lose its socket as with Redis.
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map_err(refused)?,
        Ok(_) => {
            let kind = io::ErrorKind::AlreadyExists;
            return Err(refused(io::Error::new(kind, "something else is there, and it is kept")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(error)),
    }
    let listener = UnixListener::bind(path).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
    })?;
    if mode != 0 {
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode as _))?;
    }
    Ok(listener)
}

impl Listeners {
    /// True when there is nothing to listen on.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// The addresses, for people.
    pub fn describe(&self) -> Vec<String> {
        self.listeners
            .iter()
            .map(|listener| match listener {
                Listener::Tcp(listener) => listener
                    .local_addr()
                    .map_or_else(|error| error.to_string(), |address| address.to_string()),
                Listener::Unix(_) => {
                    self.unix_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
                }
            })
            .collect()
    }

    /// Accepts until the server stops. Runs on the main thread.
    ///
    /// # Errors
    /// When the system does not let it wait for connections.
    pub fn accept(mut self, server: &Server, arrivals: &[Arc<Arrivals>]) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(64);
        self.register(&poll)?;
        server.listen_requests.wake_by(Waker::new(poll.registry(), WAKE)?);
        while !server.stopping.load(Ordering::Acquire) {
            match poll.poll(&mut events, Some(Duration::from_millis(100))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in events.iter().filter(|event| event.token() != WAKE) {
                self.accept_all(event.token().0, server, arrivals);
            }
            for request in server.listen_requests.take() {
                // Who asked may have given up waiting.
                let _ = request.send(self.listen_anew(&poll, &server.config));
            }
        }
        Ok(())
    }

    fn register(&mut self, poll: &Poll) -> io::Result<()> {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let (registry, token) = (poll.registry(), Token(index));
            match listener {
                Listener::Tcp(listener) => registry.register(listener, token, Interest::READABLE)?,
                Listener::Unix(listener) => registry.register(listener, token, Interest::READABLE)?,
            }
        }
        Ok(())
    }

    fn deregister(&mut self, poll: &Poll) -> io::Result<()> {
        for listener in &mut self.listeners {
            match listener {
                Listener::Tcp(listener) => poll.registry().deregister(listener)?,
                Listener::Unix(listener) => poll.registry().deregister(listener)?,
            }
        }
        Ok(())
    }

    /// Replaces the TCP listeners by those that are configured now.
    fn listen_anew(&mut self, poll: &Poll, config: &Config) -> io::Result<()> {
        let wanted = (config.port(), config.bind());
        if self.opened_for.as_ref() == Some(&wanted) {
            return Ok(());
        }
        self.deregister(poll)?;
        let is_unix = |listener: &Listener| matches!(listener, Listener::Unix(_));
        // With another port, new listeners are opened before the old ones close, so that a failure costs nothing.
        // With the same port, old ones may be in the way of new ones (0.0.0.0 of 127.0.0.1).
        if self.opened_for.as_ref().is_none_or(|(port, _)| *port == wanted.0) {
            self.listeners.retain(is_unix);
            self.opened_for = None;
        }
        let opened = listen_tcp(config).map(|opened| {
            self.listeners.retain(is_unix);
            self.listeners.extend(opened);
            self.opened_for = Some(wanted);
        });
        self.register(poll)?;
        opened
    }

    fn accept_all(&self, index: usize, server: &Server, arrivals: &[Arc<Arrivals>]) {
        loop {
            let accepted = match &self.listeners[index] {
                Listener::Tcp(listener) => listener.accept().map(|(stream, peer)| {
                    let local = stream.local_addr().map(|address| address.to_string()).unwrap_or_default();
                    prepare(&stream, server);
                    (Stream::Tcp(stream), peer.to_string(), local)
                }),
                Listener::Unix(listener) => listener.accept().map(|(stream, _)| {
                    let path =
                        self.unix_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
                    (Stream::Unix(stream), format!("{path}:0"), format!("{path}:0"))
                }),
            };
            match accepted {
                Ok((stream, peer, local)) => hand_over(stream, peer, local, server, arrivals),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Out of descriptors, most likely: let some be closed before trying again.
                    tracing::warn!(%error, "accepting a connection failed");
                    std::thread::sleep(Duration::from_millis(10));
                    return;
                }
            }
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some(path) = &self.unix_path {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn prepare(stream: &TcpStream, server: &Server) {
    // Both only tune the connection; it works without.
    let _ = stream.set_nodelay(true);
    let keepalive = server.config.tcp_keepalive_seconds();
    if keepalive > 0 {
        let _ = sockopt::set_socket_keepalive(stream, true);
        let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(u64::from(keepalive)));
    }
}

/// Gives a connection to the worker with the fewest, or refuses it.
fn hand_over(
    stream: Stream,
    address: String,
    local_address: String,
    server: &Server,
    arrivals: &[Arc<Arrivals>],
) {
    use std::os::fd::AsFd;
    server.clients.accepted.fetch_add(1, Ordering::Relaxed);
    if server.clients.connected() >= server.config.maxclients() {
        server.clients.rejected.fetch_add(1, Ordering::Relaxed);
        // The peer may be gone already.
        let _ = rustix::io::write(&stream, b"-ERR max number of clients reached\r\n");
        return;
    }
    if is_refused_by_protected_mode(server, &address, &stream) {
        server.clients.rejected.fetch_add(1, Ordering::Relaxed);
        let _ = rustix::io::write(&stream, PROTECTED_MODE.as_bytes());
        return;
    }
    let (worker, _) = server
        .workers
        .iter()
        .enumerate()
        .min_by_key(|(_, worker)| worker.connections.load(Ordering::Relaxed))
        .expect("a server has a worker");
    server.workers[worker].connections.fetch_add(1, Ordering::Relaxed);
    let now_ms = clock::unix_ms();
    let shared = Arc::new(ClientShared {
        id: server.clients.next_id(),
        worker,
        address,
        local_address,
        fd: stream.as_fd().as_raw_fd(),
        created_ms: now_ms,
        active_ms: AtomicU64::new(now_ms),
        db: AtomicU32::new(0),
        flags: AtomicU32::new(0),
        queued: AtomicI64::new(-1),
        queued_bytes: AtomicU64::new(0),
        watched: AtomicU64::new(0),
        protocol: AtomicU8::new(2),
        last_command: AtomicUsize::new(usize::MAX),
        query_bytes: AtomicU64::new(0),
        query_capacity: AtomicU64::new(0),
        argument_bytes: AtomicU64::new(0),
        output_bytes: AtomicU64::new(0),
        input_total: AtomicU64::new(0),
        output_total: AtomicU64::new(0),
        commands: AtomicU64::new(0),
        killed: AtomicBool::new(false),
        waiter: Mutex::default(),
        names: Mutex::new(Names::default()),
        user: Mutex::new("default".into()),
    });
    server.clients.add(&shared);
    arrivals[worker].add(stream, shared);
    server.workers[worker].mailbox.send(Mail::Arrivals);
}

const PROTECTED_MODE: &str = "-DENIED swytch is running in protected mode because no password is set for the \
default user, and this connection does not come from the loopback interface. To accept connections from other \
hosts set a password with 'requirepass', or, if the server cannot be reached from outside, turn protected mode \
off with 'CONFIG SET protected-mode no' from this host.\r\n";

/// Without a password only this host may connect, as in Redis.
fn is_refused_by_protected_mode(server: &Server, address: &str, stream: &Stream) -> bool {
    let Stream::Tcp(_) = stream else { return false };
    if !server.config.protected_mode()
        || server.config.requirepass().is_some_and(|password| !password.is_empty())
    {
        return false;
    }
    address.parse::<SocketAddr>().is_ok_and(|address| {
        let ip = address.ip().to_canonical();
        !ip.is_loopback()
    })
}
