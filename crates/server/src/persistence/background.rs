//! Who writes in the background: the thread that saves for BGSAVE and at save points, begins the log anew for BGREWRITEAOF and
//! when it has grown, and sends followers the data.
//!
//! All locks are held for as long as it takes to mark the moment (`swytch_store::cut`), and the thread reads it piece by piece.
//! A file is published as one step, unless something has made it useless: the end of the server, FLUSHALL, BGSAVE CANCEL.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use swytch_store::Keyspace;
use swytch_store::cut::Cut;

use super::{append, replicate, save};
use crate::server::background::{Moment, Task};
use crate::server::{Conditions, Server};
use crate::system::{clock, scheduling};

/// Between two looks at what is due.
const ROUND: Duration = Duration::from_millis(100);
/// Seconds between two tries of a save that has failed (Redis: `CONFIG_BGSAVE_RETRY_DELAY`).
const SAVE_RETRY_S: u64 = 5;
/// Rewrites that fail one after another before a log that has grown waits for the next one, and for how long it does (Redis:
/// `AOF_REWRITE_LIMITE_THRESHOLD`).
const REWRITES_FAILED_MAX: u64 = 3;
const REWRITE_RETRY: Duration = Duration::from_secs(60);

/// Why nothing has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This is written already.
    Running(Task),
    /// A script has some of the data for too long.
    Busy,
}

/// Begins to write the data as it is now. The caller holds no locks.
///
/// # Errors
/// Why that cannot be now.
pub fn begin(server: &Server, task: Task) -> Result<(), Refused> {
    // Little is left of it for when everybody waits.
    replicate::catch_up(server);
    let mut keyspace = server.whole_in_time().ok_or(Refused::Busy)?;
    server.background.begin(task, || take(server, &mut keyspace, task)).map_err(Refused::Running)?;
    drop(keyspace);
    let kind = match task {
        Task::Save => {
            server.saves.begin();
            "saving"
        }
        Task::Rewrite => {
            server.log.state.rewrites.fetch_add(1, Ordering::Relaxed);
            // Its thread closes the file that what follows is not in.
            server.effects.ring();
            "append only file rewriting"
        }
        Task::Sync => {
            server.effects.ring();
            "synchronisation of followers"
        }
    };
    tracing::info!("Background {kind} started");
    Ok(())
}

/// Marks a moment of the data; none where the one before is still looked over.
fn take(server: &Server, keyspace: &mut Keyspace<'_>, task: Task) -> Option<Moment> {
    if task == Task::Sync && server.replication.waiting().is_none() {
        return None;
    }
    let cut = Cut::begin(keyspace.locked_mut())?;
    let keys: usize = (0..keyspace.databases()).map(|db| cut.sizes(db).0).sum();
    server.background.keys.store(0, Ordering::Relaxed);
    server.background.keys_total.store(keys as u64, Ordering::Relaxed);
    let mut history = None;
    let (place, transfer) = match task {
        Task::Save => {
            history = replicate::history(server);
            (server.effects.next(), None)
        }
        Task::Rewrite => (append::mark_turn(server), None),
        Task::Sync => replicate::mark(server),
    };
    let (libraries, changes) = (server.scripts.libraries(), server.total(|stats| stats.dirty.get()));
    Some(Moment { task, cut, libraries, changes, place, history, transfer })
}

/// Another moment in the place of one that was not read to its end.
///
/// # Errors
/// If it cannot be had.
pub(super) fn take_again(server: &Server, moment: &mut Moment) -> io::Result<()> {
    moment.cut.pass_over(&server.shards);
    moment.retire(&server.reclaimer);
    let again = loop {
        if server.stopping.load(Ordering::Acquire) {
            return Err(io::Error::other("the server ends"));
        }
        match server.whole_in_time() {
            Some(mut keyspace) => break take(server, &mut keyspace, moment.task),
            None => std::thread::sleep(ROUND),
        }
    };
    *moment = again.ok_or_else(|| io::Error::other("there is another moment that was not read"))?;
    Ok(())
}

/// Starts the thread. It ends with the server.
///
/// # Errors
/// When the system gives no thread.
pub fn start(server: &Arc<Server>) -> io::Result<()> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("swytch-save".into()).spawn(move || run(&server)).map(drop)
}

fn run(server: &Arc<Server>) {
    scheduling::compute_in_background();
    let mut tried = Tried { save_s: 0, rewrite: None, has_told: false };
    while !server.stopping.load(Ordering::Acquire) {
        if let Some(moment) = server.background.next(ROUND) {
            write(server, moment, &mut tried);
            server.background.end();
        } else if let Some((task, reason)) = due(server, &mut tried) {
            if let Some(reason) = reason {
                tracing::info!("{reason}");
            }
            // Where a script has some of the data it is tried again in the next round.
            let _ = begin(server, task);
        }
    }
}

/// When something was tried last.
struct Tried {
    save_s: u64,
    rewrite: Option<Instant>,
    /// The log says that the next rewrite waits.
    has_told: bool,
}

fn write(server: &Arc<Server>, mut moment: Moment, tried: &mut Tried) {
    let began = Instant::now();
    let result = match moment.task {
        Task::Save => save::write_moment(server, &mut moment),
        Task::Rewrite => append::write_moment(server, &mut moment),
        Task::Sync => replicate::write_moment(server, &mut moment),
    };
    if result.is_err() {
        moment.cut.pass_over(&server.shards);
    }
    moment.retire(&server.reclaimer);
    let is_cancelled = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
    match (moment.task, result) {
        (task, Err(_)) if is_cancelled => tracing::warn!("Background writing cancelled: {task:?}"),
        (Task::Save, result) => {
            tried.save_s = clock::unix_ms() / 1000;
            save::ended(server, &moment, result, began.elapsed());
        }
        (Task::Rewrite, result) => {
            (tried.rewrite, tried.has_told) = (Some(Instant::now()), false);
            append::ended(server, result, began.elapsed());
        }
        // It may go on, and says itself what has come of it.
        (Task::Sync, _) => {}
    }
}

/// What is to be written now, and why if nobody has asked for it.
fn due(server: &Server, tried: &mut Tried) -> Option<(Task, Option<String>)> {
    if server.conditions().intersects(Conditions::LOADING | Conditions::OVERDUE) {
        return None;
    }
    let background = &server.background;
    if replicate::is_due(server) {
        return Some((Task::Sync, None));
    }
    if background.is_scheduled(Task::Rewrite) {
        return Some((Task::Rewrite, None));
    }
    let (changes, now_s) = (server.dirty(), clock::unix_ms() / 1000);
    let may_save = !server.saves.has_failed() || now_s.saturating_sub(tried.save_s) > SAVE_RETRY_S;
    if may_save {
        let since_s = now_s.saturating_sub(server.saves.last_s());
        let points = server.config.save_points();
        let reached = |changes_min: u64, seconds: u64| changes >= changes_min && since_s > seconds;
        if let Some(point) = points.iter().find(|point| reached(point.changes as u64, point.seconds as u64)) {
            let reason = format!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
            return Some((Task::Save, Some(reason)));
        }
        if background.is_scheduled(Task::Save) {
            return Some((Task::Save, None));
        }
    }
    if !append::rewrite_is_due(server) {
        return None;
    }
    let failed = server.log.state.failed_rewrites.load(Ordering::Relaxed);
    if failed < REWRITES_FAILED_MAX || tried.rewrite.is_none_or(|at| at.elapsed() > REWRITE_RETRY) {
        return Some((Task::Rewrite, Some("the append-only log has grown; it is rewritten".to_owned())));
    }
    if !std::mem::replace(&mut tried.has_told, true) {
        tracing::warn!(
            "{failed} rewrites of the log have failed, which has triggered the limit: the next one is in a minute"
        );
    }
    None
}

/// A name that a file has until it is whole.
pub(super) fn temporary_path(server: &Server, end: &str) -> PathBuf {
    server.config.resolve(format!("temp-bg-{}.{end}", std::process::id()))
}
