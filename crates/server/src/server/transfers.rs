//! Values on their way to other servers (MIGRATE): who carries them, and the connections that are kept for the next.

use std::collections::{HashMap, VecDeque};
use std::sync::{OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Server;
use crate::system::outbound::Outbound;

/// Threads that carry at the same time.
const CARRIERS_MAX: usize = 16;
/// How long a connection is kept that nobody uses (Redis: MIGRATE_SOCKET_CACHE_TTL).
const KEPT: Duration = Duration::from_secs(10);
/// Connections kept at most (Redis: MIGRATE_SOCKET_CACHE_ITEMS).
const KEPT_MAX: usize = 64;

/// What a thread is to do.
type Task = Box<dyn FnOnce(&Server) + Send>;

/// A host and a port.
pub type Target = (String, u16);

/// Who carries values to other servers.
#[derive(Default)]
pub struct Transfers {
    server: OnceLock<Weak<Server>>,
    queue: Mutex<Queue>,
    kept: Mutex<HashMap<Target, (Outbound, Instant)>>,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    carriers: usize,
}

impl std::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfers").finish_non_exhaustive()
    }
}

impl Transfers {
    /// Whose they are.
    pub(super) fn attach(&self, server: Weak<Server>) {
        self.server.set(server).expect("a server is made once");
    }

    /// Does something on a thread that may wait, at once or when one is free.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn begin(&self, task: impl FnOnce(&Server) + Send + 'static) -> std::io::Result<()> {
        let mut queue = self.queue.lock();
        queue.tasks.push_back(Box::new(task));
        if queue.carriers == CARRIERS_MAX {
            return Ok(());
        }
        let server = self.server.get().and_then(Weak::upgrade).ok_or(std::io::ErrorKind::NotConnected)?;
        let carry = move || {
            while let Some(task) = server.transfers.next() {
                task(&server);
            }
        };
        match std::thread::Builder::new().name("swytch-transfer".into()).spawn(carry) {
            Ok(_) => queue.carriers += 1,
            Err(error) if queue.carriers == 0 => {
                queue.tasks.pop_back();
                return Err(error);
            }
            // Those that are there do it.
            Err(_) => {}
        }
        Ok(())
    }

    fn next(&self) -> Option<Task> {
        let mut queue = self.queue.lock();
        let task = queue.tasks.pop_front();
        if task.is_none() {
            queue.carriers -= 1;
        }
        task
    }

    /// Takes the connection to a server that was kept.
    pub fn take(&self, target: &Target) -> Option<Outbound> {
        self.kept.lock().remove(target).map(|(connection, _)| connection)
    }

    /// Keeps a connection, on which nothing is awaited, for the next who wants one.
    pub fn keep(&self, target: Target, connection: Outbound) {
        let mut kept = self.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.insert(target, (connection, Instant::now()));
        }
    }

    /// Closes what nobody has used for too long.
    pub fn tidy(&self) {
        self.kept.lock().retain(|_, (_, since)| since.elapsed() < KEPT);
    }

    /// Connections that are kept (INFO migrate_cached_sockets).
    pub fn kept(&self) -> usize {
        self.kept.lock().len()
    }
}
