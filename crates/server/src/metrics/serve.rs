//! The thread behind the metrics port: an event loop of its own with a bounded number of connections.
//!
//! Invariant: who asks at once is answered at once, whatever others do. Nothing in the loop waits: the page of metrics,
//! which takes the shards' locks and so may have to, is made by a thread of its own, and one page answers all who wait
//! for it. When all places are taken, the connection that is nearest to its deadline gives up its place to a new one.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use parking_lot::Mutex;

use super::connection::{Connection, End, Progress};
use super::http::{Request, Response};
use super::{exposition, health, page};
use crate::command::CommandTable;
use crate::net::is_refused_by_protected_mode;
use crate::observe::logging;
use crate::server::Server;
use crate::system::allocator;
use crate::system::clock::MonotonicMs;
use crate::system::open_files::METRICS_CONNECTIONS_MAX as CONNECTIONS_MAX;

/// Longest wait without events; deadlines are kept to that.
const TURN: Duration = Duration::from_millis(100);
/// Connections accepted in one turn, so that those who were there are heard.
const ACCEPTS_PER_TURN: usize = CONNECTIONS_MAX / 2;

const WAKE: Token = Token(usize::MAX);
/// Tokens from here on are listeners.
const LISTENERS: usize = usize::MAX / 2;

/// What the thread of the pages and the loop have in common.
struct Pages {
    /// An order for a page; one is enough, whoever waits for it.
    orders: SyncSender<()>,
    ready: Arc<Mutex<Option<Arc<Response>>>>,
}

/// Serves until the process ends.
pub(super) struct Service {
    server: Arc<Server>,
    poll: Poll,
    listeners: Vec<TcpListener>,
    /// By token, in the order they came.
    connections: BTreeMap<usize, Connection>,
    next_token: usize,
    pages: Pages,
}

impl Service {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no event loop or thread.
    pub(super) fn start(
        commands: &'static CommandTable,
        server: &Arc<Server>,
        listeners: Vec<StdTcpListener>,
    ) -> io::Result<()> {
        let poll = Poll::new()?;
        let mut listeners: Vec<TcpListener> = listeners.into_iter().map(TcpListener::from_std).collect();
        for (index, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(LISTENERS + index), Interest::READABLE)?;
        }
        let waker = Waker::new(poll.registry(), WAKE)?;
        let (orders, incoming) = sync_channel(1);
        let ready = Arc::new(Mutex::new(None));
        let (server, of_pages) = (Arc::clone(server), (Arc::clone(server), Arc::clone(&ready)));
        let spawn = |name: &str| std::thread::Builder::new().name(name.into());
        spawn("swytch-pages")
            .spawn(move || make_pages(commands, &of_pages.0, &incoming, &of_pages.1, &waker))
            .and_then(|_| {
                let pages = Pages { orders, ready };
                let connections = BTreeMap::new();
                let service = Service { server, poll, listeners, connections, next_token: 0, pages };
                spawn("swytch-metrics").spawn(move || service.run())
            })?;
        Ok(())
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(CONNECTIONS_MAX);
        loop {
            if let Err(error) = self.poll.poll(&mut events, Some(TURN))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "waiting for events failed; the metrics port is no longer served");
                return;
            }
            for event in &events {
                self.advance(event.token().0);
            }
            // Each turn, whether or not there was an event: an accept that failed leaves nobody waiting for the next.
            for index in 0..self.listeners.len() {
                self.accept(index);
            }
            if let Some(page) = self.pages.ready.lock().take() {
                self.connections.retain(|_, connection| connection.give_page(&page).is_ok());
            }
            let now = MonotonicMs::now();
            self.connections
                .retain(|_, connection| connection.deadline() > now || connection.expire().is_ok());
            allocator::settle();
        }
    }

    fn accept(&mut self, listener: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let (mut stream, peer) = match self.listeners[listener].accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    logging::limited!(warn, "metrics accepts", %error, "accepting for metrics failed");
                    return;
                }
            };
            let token = self.next_token;
            // The tokens of the listeners are a lifetime away.
            self.next_token += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(token), interest).is_err() {
                continue;
            }
            let mut connection = Connection::new(stream);
            if is_refused_by_protected_mode(&self.server, peer.ip()) {
                let refusal = Response::text(403, PROTECTED_MODE);
                if connection.answer(refusal, false) == Err(End) {
                    continue;
                }
            }
            self.make_place();
            self.connections.insert(token, connection);
            self.advance(token);
        }
    }

    /// Closes the connection whose time is over first, if all places are taken.
    fn make_place(&mut self) {
        if self.connections.len() < CONNECTIONS_MAX {
            return;
        }
        let first = self.connections.iter().min_by_key(|(_, connection)| connection.deadline());
        if let Some(token) = first.map(|(token, _)| *token) {
            self.connections.remove(&token);
        }
    }

    fn advance(&mut self, token: usize) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let result = match connection.advance() {
            Ok(Progress::Waits) => Ok(()),
            Ok(Progress::Asked(request)) => respond(&self.server, &self.pages, connection, &request),
            Err(end) => Err(end),
        };
        if result == Err(End) {
            self.connections.remove(&token);
        }
    }
}

fn respond(
    server: &Server,
    pages: &Pages,
    connection: &mut Connection,
    request: &Request,
) -> Result<(), End> {
    let response = match request.path.as_str() {
        "/metrics" => {
            return match pages.orders.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => {
                    connection.promise_page(request.head_only);
                    Ok(())
                }
                Err(TrySendError::Disconnected(())) => {
                    connection.answer(Response::error(503), request.head_only)
                }
            };
        }
        "/health" | "/healthz" => health(server),
        "/" => Response::new(200, "text/html; charset=utf-8", OVERVIEW),
        _ => Response::text(404, "not found"),
    };
    connection.answer(response, request.head_only)
}

/// Makes pages as they are ordered; each answers all who wait when it is ready.
fn make_pages(
    commands: &CommandTable,
    server: &Server,
    orders: &Receiver<()>,
    ready: &Mutex<Option<Arc<Response>>>,
    waker: &Waker,
) {
    while orders.recv().is_ok() {
        let answer = Response::new(200, page::CONTENT_TYPE, &exposition::text(commands, server));
        *ready.lock() = Some(Arc::new(answer));
        // The loop looks by itself before long.
        let _ = waker.wake();
    }
}

/// For a person. It reads `/metrics` itself, and nothing from elsewhere.
const OVERVIEW: &str = include_str!("overview.html");

const PROTECTED_MODE: &str = "swytch is running in protected mode because no password is set for the default user, \
and this request does not come from the loopback interface. Set a password with 'requirepass', or turn protected mode \
off if the server cannot be reached from outside.";
