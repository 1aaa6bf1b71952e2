//! Listening sockets and the thread that accepts.
//!
//! Invariant: nobody is stranded. The event loop only wakes the thread; whether a listener has connections waiting is
//! learnt by asking it, each turn and at least every [`TURN`]. So a connection that could not be accepted (no descriptors
//! left, the peer gone meanwhile) delays the others by that much at most, and needs nobody else to come.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::net::sockopt;
use rustls::ServerConnection;

use super::arrivals::Arrivals;
use super::stream::Stream;
use super::transport::Transport;
use crate::clients::ClientShared;
use crate::config::Config;
use crate::observe::logging;
use crate::server::{Mail, Server, WAKE};
use crate::system::allocator;

/// A listening socket.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener, Security),
    Unix(UnixListener),
}

/// Whether connections of a TCP listener are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Plain,
    Tls,
}

impl Security {
    const ALL: [Security; 2] = [Security::Plain, Security::Tls];

    fn port(self, config: &Config) -> u16 {
        match self {
            Security::Plain => config.port(),
            Security::Tls => config.tls_port(),
        }
    }
}

/// Everything the server listens on. Dropping it removes the unix socket's file.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<Listener>,
    unix_path: Option<PathBuf>,
    /// What the TCP listeners were opened for, in the order of [`Security::ALL`]; unknown after a failure.
    opened_for: [Option<(u16, Vec<String>)>; 2],
}

/// Longest wait without events.
const TURN: Duration = Duration::from_millis(100);
/// Connections accepted from one listener before the others, and orders, have their turn.
const ACCEPTS_PER_TURN: usize = 256;

/// Opens what the configuration asks for.
///
/// # Errors
/// When an address cannot be used; the text names it.
pub fn listen(server: &Server) -> io::Result<Listeners> {
    let config = &server.config;
    let mut listeners = Vec::new();
    for security in Security::ALL {
        listeners.extend(listen_tcp(config, security)?);
    }
    let unix_path = config.unixsocket_path().filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = &unix_path {
        let listener = bind_unix(path, config.unixsocketperm(), config.tcp_backlog())?;
        listeners.push(Listener::Unix(UnixListener::from_std(listener)));
    }
    Ok(Listeners {
        listeners,
        unix_path,
        opened_for: Security::ALL.map(|security| Some((security.port(config), config.bind()))),
    })
}

fn listen_tcp(config: &Config, security: Security) -> io::Result<Vec<Listener>> {
    let opened = match security.port(config) {
        0 => Vec::new(),
        port => open_tcp(&config.bind(), port, config.tcp_backlog())?,
    };
    let listener = |opened| Listener::Tcp(TcpListener::from_std(opened), security);
    Ok(opened.into_iter().map(listener).collect())
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

fn bind_unix(path: &Path, mode: u32, backlog: u32) -> io::Result<StdUnixListener> {
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
    listen_unix(path, mode, backlog).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
    })
}

/// The socket has its mode before it listens: whoever connects in between, while the umask alone keeps the door, is
/// refused by the system.
fn listen_unix(path: &Path, mode: u32, backlog: u32) -> io::Result<StdUnixListener> {
    let address = rustix::net::SocketAddrUnix::new(path)?;
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::net::bind(&socket, &address)?;
    if mode != 0 {
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode as _))?;
    }
    rustix::net::listen(&socket, backlog as i32)?;
    let listener = StdUnixListener::from(socket);
    listener.set_nonblocking(true)?;
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
                Listener::Tcp(listener, security) => {
                    let address = listener.local_addr();
                    let address =
                        address.map_or_else(|error| error.to_string(), |address| address.to_string());
                    if *security == Security::Tls { format!("{address} (TLS)") } else { address }
                }
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
        let mut wait = Duration::ZERO;
        while !server.stopping.load(Ordering::Acquire) {
            match poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let accept = |listener: &&Listener| self.accept_some(listener, server, arrivals);
            let more = self.listeners.iter().filter(accept).count();
            wait = if more > 0 { Duration::ZERO } else { TURN };
            for request in server.listen_requests.take() {
                // Who asked may have given up waiting.
                let _ = request.send(self.listen_anew(&poll, &server.config));
            }
            allocator::settle();
        }
        drop(self);
        server.listen_requests.note_end();
        Ok(())
    }

    fn register(&mut self, poll: &Poll) -> io::Result<()> {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let (registry, token) = (poll.registry(), Token(index));
            match listener {
                Listener::Tcp(listener, _) => registry.register(listener, token, Interest::READABLE)?,
                Listener::Unix(listener) => registry.register(listener, token, Interest::READABLE)?,
            }
        }
        Ok(())
    }

    fn deregister(&mut self, poll: &Poll) -> io::Result<()> {
        for listener in &mut self.listeners {
            match listener {
                Listener::Tcp(listener, _) => poll.registry().deregister(listener)?,
                Listener::Unix(listener) => poll.registry().deregister(listener)?,
            }
        }
        Ok(())
    }

    /// Replaces the TCP listeners by those that are configured now.
    fn listen_anew(&mut self, poll: &Poll, config: &Config) -> io::Result<()> {
        let wanted = Security::ALL.map(|security| (security.port(config), config.bind()));
        let changed: Vec<usize> =
            (0..wanted.len()).filter(|at| self.opened_for[*at].as_ref() != Some(&wanted[*at])).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.deregister(poll)?;
        // With other ports, new listeners are opened before the old ones close, so that a failure costs nothing. At a port
        // that is wanted again, old ones may be in the way of new ones (0.0.0.0 of 127.0.0.1).
        let is_wanted = |port: u16| wanted.iter().any(|(other, _)| *other == port);
        for &at in &changed {
            if self.opened_for[at].as_ref().is_none_or(|(port, _)| is_wanted(*port)) {
                self.close_of(Security::ALL[at]);
                self.opened_for[at] = None;
            }
        }
        let opened = changed.into_iter().try_for_each(|at| {
            let security = Security::ALL[at];
            let opened = listen_tcp(config, security)?;
            self.close_of(security);
            self.listeners.extend(opened);
            self.opened_for[at] = Some(wanted[at].clone());
            Ok(())
        });
        self.register(poll)?;
        opened
    }

    fn close_of(&mut self, security: Security) {
        self.listeners.retain(|listener| !matches!(listener, Listener::Tcp(_, other) if *other == security));
    }

    /// Accepts what waits at a listener, up to a bound; true when there may be more.
    fn accept_some(&self, listener: &Listener, server: &Server, arrivals: &[Arc<Arrivals>]) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            let accepted = match listener {
                Listener::Tcp(listener, security) => listener.accept().map(|(stream, peer)| {
                    let local = stream.local_addr().map(|address| address.to_string()).unwrap_or_default();
                    prepare(&stream, server);
                    (Stream::Tcp(stream), Some((peer.ip(), *security)), peer.to_string(), local)
                }),
                Listener::Unix(listener) => listener.accept().map(|(stream, _)| {
                    let path =
                        self.unix_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
                    (Stream::Unix(stream), None, format!("{path}:0"), format!("{path}:0"))
                }),
            };
            match accepted {
                Ok((stream, peer, address, local)) => {
                    hand_over(stream, peer, address, local, server, arrivals);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Out of descriptors, most likely: let some be closed before trying again.
                    logging::limited!(warn, "accept failures", %error, "accepting a connection failed");
                    return false;
                }
            }
        }
        true
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

/// Gives a connection to the worker with the fewest, or refuses it: with a reason where the peer could read it. `peer` is
/// there for TCP.
fn hand_over(
    stream: Stream,
    peer: Option<(IpAddr, Security)>,
    address: String,
    local_address: String,
    server: &Server,
    arrivals: &[Arc<Arrivals>],
) {
    use std::os::fd::AsFd;
    let is_plain = peer.is_none_or(|(_, security)| security == Security::Plain);
    let refuse = |why: &[u8]| {
        server.clients.rejected.fetch_add(1, Ordering::Relaxed);
        if is_plain {
            // The peer may be gone already.
            let _ = rustix::io::write(&stream, why);
        }
    };
    if server.clients.connected() >= server.config.maxclients() {
        return refuse(b"-ERR max number of clients reached\r\n");
    }
    // With TLS the reason can be read once the handshake has ended.
    if is_plain && peer.is_some_and(|(peer, _)| is_refused_by_protected_mode(server, peer)) {
        return refuse(PROTECTED_MODE.as_bytes());
    }
    let session = match is_plain {
        true => None,
        // Who comes between the end of TLS and that of its port finds neither.
        false => match server.tls.current().map(ServerConnection::new) {
            Some(Ok(session)) => Some(session),
            Some(Err(_)) | None => return refuse(b""),
        },
    };
    // As in Redis, who was refused was not received.
    server.clients.accepted.fetch_add(1, Ordering::Relaxed);
    let (worker, _) = server
        .workers
        .iter()
        .enumerate()
        // One that a script keeps busy could not answer even SCRIPT KILL.
        .min_by_key(|(_, worker)| (worker.script.is_overdue(), worker.connections.load(Ordering::Relaxed)))
        .expect("a server has a worker");
    server.workers[worker].connections.fetch_add(1, Ordering::Relaxed);
    let (id, fd) = (server.clients.next_id(), stream.as_fd().as_raw_fd());
    let user = Arc::clone(server.users.default());
    let shared = Arc::new(ClientShared::new(id, worker, address, local_address, fd, user));
    server.clients.add(&shared);
    arrivals[worker].add(Transport::new(stream, session), shared);
    server.workers[worker].mailbox.send(Mail::Arrivals);
}

/// What those are told whom protected mode keeps out.
pub(super) const PROTECTED_MODE: &str = "-DENIED swytch is running in protected mode because no password is set for the \
default user, and this connection does not come from the loopback interface. To accept connections from other \
hosts set a password with 'requirepass', or, if the server cannot be reached from outside, turn protected mode \
off with 'CONFIG SET protected-mode no' from this host.\r\n";

/// Without a password only this host may connect, as in Redis.
pub fn is_refused_by_protected_mode(server: &Server, peer: IpAddr) -> bool {
    server.config.protected_mode() && server.users.lets_everybody_in() && !peer.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicUsize;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("swytch-{name}-{}", std::process::id()));
        // Left by a process that had the same number.
        let _ = std::fs::remove_file(&path);
        path
    }

    /// Whoever tries all the time to connect must not get in while the socket has another mode than the one configured.
    #[test]
    fn nobody_connects_to_a_unix_socket_before_it_has_its_mode() {
        const ROUNDS: usize = 2000;
        let paths: Vec<PathBuf> = (0..ROUNDS).map(|round| scratch(&format!("mode-{round}"))).collect();
        let round = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let intruder = scope.spawn(|| {
                let mut early = 0;
                while let Some(path) = paths.get(round.load(Ordering::Relaxed)) {
                    let is_open = |path| {
                        std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o77 != 0)
                    };
                    early += usize::from(UnixStream::connect(path).is_ok() && is_open(path));
                }
                early
            });
            for path in &paths {
                let _listener = bind_unix(path, 0o700, 16).expect("a socket");
                round.fetch_add(1, Ordering::Relaxed);
                std::fs::remove_file(path).expect("there");
            }
            assert_eq!(intruder.join().expect("no panic"), 0, "connections too early");
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn as_many_wait_at_a_unix_socket_as_the_backlog_says() {
        let path = scratch("backlog");
        let _listener = bind_unix(&path, 0, 7).expect("a socket");
        let address = rustix::net::SocketAddrUnix::new(&path).expect("a path");
        let connect = || {
            let kind = rustix::net::SocketType::STREAM;
            let flags = rustix::net::SocketFlags::NONBLOCK;
            let socket = rustix::net::socket_with(rustix::net::AddressFamily::UNIX, kind, flags, None)?;
            rustix::net::connect(&socket, &address).map(|()| socket)
        };
        let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).take(100).collect();
        // Linux lets one more wait.
        assert_eq!(waiting.len(), 8);
        std::fs::remove_file(&path).expect("there");
    }
}
