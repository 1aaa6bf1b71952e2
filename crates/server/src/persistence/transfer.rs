//! Values go to another server: MIGRATE's round.
//!
//! No lock is held while the network is waited for. So a key may change on the way, and what is here is removed only if it
//! still is what was sent.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use swytch_store::{EntryRef, Keyspace, LockScope};

use super::payload;
use crate::dispatch::{changes, scope};
use crate::effects::forms::Commands;
use crate::request::CommandError;
use crate::server::transfers::Target;
use crate::server::{Server, WorkerShared};
use crate::system::clock;
use crate::system::outbound::Outbound;
use crate::tls;

/// Bytes sent before their replies are read, about, and keys.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_KEYS: usize = 128;

/// Where values go, and how.
#[derive(Debug)]
pub struct Route {
    /// The other server.
    pub target: Target,
    /// The database there.
    pub to_db: u32,
    /// The database here.
    pub from_db: u32,
    /// How long nothing may come or go.
    pub patience: Duration,
    /// Keys that are there already are replaced.
    pub replaces: bool,
    /// What logs in there, if anything.
    pub login: Option<Vec<Vec<u8>>>,
}

/// What has arrived there: a key, and what tells whether it still is what was sent.
#[derive(Debug)]
pub struct Arrived {
    /// The key.
    pub key: Box<[u8]>,
    mark: Mark,
}

type Mark = (u64, Option<u64>);

/// What has come of it.
#[derive(Debug, Default)]
pub struct Round {
    /// Keys whose values are there now.
    pub arrived: Vec<Arrived>,
    /// What did not work.
    pub error: Option<String>,
}

/// The payload's own checksum, and when the key expires.
fn mark(payload: &[u8], expire_at_ms: Option<u64>) -> Mark {
    let checksum = payload.last_chunk().copied().unwrap_or_default();
    (u64::from_le_bytes(checksum), expire_at_ms)
}

fn dump(entry: EntryRef<'_>, server: &Server) -> Vec<u8> {
    payload::dump(entry, payload::write_options(&server.config))
}

/// Sends the values of keys; those that are not there any more are left out. `replaces` whatever the route says: what is there
/// is what was sent before.
pub fn carry(server: &Server, route: &Route, keys: &[Box<[u8]>], replaces: bool) -> Round {
    let mut round = Round::default();
    let replaces = replaces || route.replaces;
    let over = |connection, round: &mut Round| {
        let carrier = Carrier { server, route, replaces, connection, round };
        carrier.carry(keys)
    };
    let wants_tls = server.config.tls_cluster();
    let kept = if route.login.is_none() { server.transfers.take(&route.target) } else { None };
    if let Some(connection) = kept.filter(|connection| connection.is_secure() == wants_tls) {
        match over(connection, &mut round) {
            // It may have been closed long ago.
            Err((_, error)) if round.arrived.is_empty() && !is_over_time(&error) => {}
            done => return conclude(round, done),
        }
    }
    let tls = match wants_tls.then(|| tls::outgoing(&server.config)).transpose() {
        Ok(tls) => tls,
        Err(reason) => {
            round.error = Some(format!("ERR tls-cluster is yes, and {reason}"));
            return round;
        }
    };
    let (host, port) = &route.target;
    match Outbound::open(host, *port, route.patience, tls) {
        Ok(connection) => {
            let done = over(connection, &mut round);
            conclude(round, done)
        }
        Err(_) => {
            round.error = Some("IOERR error or timeout connecting to the client".to_owned());
            round
        }
    }
}

fn is_over_time(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn conclude(mut round: Round, done: Result<(), (Doing, io::Error)>) -> Round {
    if let Err((doing, _)) = done {
        let doing = match doing {
            Doing::Writing => "writing",
            Doing::Reading => "reading",
        };
        round.error.get_or_insert(format!("IOERR error or timeout {doing} to target instance"));
    }
    round
}

/// Removes what has arrived and has not changed since; returns the keys that have. Called by a worker, which holds no locks.
///
/// # Errors
/// If a script has a key for too long.
pub fn settle(
    server: &Server,
    worker: &WorkerShared,
    from_db: u32,
    arrived: Vec<Arrived>,
) -> Result<Vec<Box<[u8]>>, CommandError> {
    // No client does this: whoever tracks a key hears of it.
    let writer = worker.serving.swap(0, Ordering::Relaxed);
    let settle_one = |arrived: Arrived| {
        let key = server.shards.key(from_db, &arrived.key);
        let locked = scope::lock_in_time(server, LockScope::One(server.shards.shard_of(&key)))?;
        let keyspace = Keyspace::new(locked, clock::unix_ms());
        let Some(entry) = keyspace.peek(&key) else { return Ok(None) };
        if mark(&dump(entry, server), entry.expire_at_ms()) != arrived.mark {
            return Ok(Some(arrived.key));
        }
        changes::make(server, worker, keyspace, |keyspace| keyspace.delete(&key));
        Ok(None)
    };
    let changed = arrived.into_iter().filter_map(|arrived| settle_one(arrived).transpose()).collect();
    worker.serving.store(writer, Ordering::Relaxed);
    changed
}

/// What was being done when the connection broke.
#[derive(Clone, Copy)]
enum Doing {
    Writing,
    Reading,
}

struct Carrier<'a> {
    server: &'a Server,
    route: &'a Route,
    replaces: bool,
    connection: Outbound,
    round: &'a mut Round,
}

impl Carrier<'_> {
    fn carry(mut self, keys: &[Box<[u8]>]) -> Result<(), (Doing, io::Error)> {
        let route = self.route;
        self.connection.set_patience(route.patience).map_err(|error| (Doing::Writing, error))?;
        let mut requests = Vec::new();
        let mut greetings = 0;
        if let Some(login) = &route.login {
            let words: Vec<&[u8]> = login.iter().map(Vec::as_slice).collect();
            Commands::new(&mut requests).push(&words);
            greetings += 1;
        }
        if self.connection.db != route.to_db {
            Commands::new(&mut requests).push(&[b"SELECT", route.to_db.to_string().as_bytes()]);
            greetings += 1;
        }
        let mut keys = keys.iter();
        let mut is_in_order = true;
        loop {
            let mut sent = Vec::new();
            while requests.len() < BATCH_BYTES
                && sent.len() < BATCH_KEYS
                && let Some(key) = keys.next()
            {
                sent.extend(self.push(&mut requests, key));
            }
            if sent.is_empty() && greetings == 0 {
                break;
            }
            self.connection.send(&requests).map_err(|error| (Doing::Writing, error))?;
            requests.clear();
            for _ in 0..std::mem::take(&mut greetings) {
                is_in_order &= self.heard()?;
            }
            for arrived in sent {
                if self.heard()? && is_in_order {
                    self.round.arrived.push(arrived);
                }
            }
        }
        // What one client has logged in is not for another one.
        if is_in_order && route.login.is_none() {
            self.connection.db = route.to_db;
            self.server.transfers.keep(route.target.clone(), self.connection);
        }
        Ok(())
    }

    /// Reads a reply; false if it is an error.
    fn heard(&mut self) -> Result<bool, (Doing, io::Error)> {
        let reply = self.connection.status().map_err(|error| (Doing::Reading, error))?;
        if let Err(text) = &reply {
            self.round.error.get_or_insert(format!("ERR Target instance replied with error: {text}"));
        }
        Ok(reply.is_ok())
    }

    /// Appends the request that makes a key there.
    fn push(&self, requests: &mut Vec<u8>, key: &[u8]) -> Option<Arrived> {
        let server = self.server;
        let named = server.shards.key(self.route.from_db, key);
        let locked = server.shards.lock_one(server.shards.shard_of(&named));
        let now_ms = clock::unix_ms();
        let keyspace = Keyspace::new(locked, now_ms);
        let entry = keyspace.peek(&named)?;
        let expire_at_ms = entry.expire_at_ms();
        let payload = dump(entry, server);
        drop(keyspace);
        let name: &[u8] = if server.config.cluster_enabled() { b"RESTORE-ASKING" } else { b"RESTORE" };
        let ttl_ms = expire_at_ms.map_or(0, |at_ms| at_ms.saturating_sub(now_ms).max(1)).to_string();
        let mut words = vec![name, key, ttl_ms.as_bytes(), &payload];
        if self.replaces {
            words.push(b"REPLACE");
        }
        Commands::new(requests).push(&words);
        Some(Arrived { key: key.into(), mark: mark(&payload, expire_at_ms) })
    }
}
