//! The end of the server: clients that asked for it are told and may go elsewhere, followers are given what they lack, the log is forced to the disk and the data saved, as it is told.
//!
//! For clients it waits up to `shutdown-notice` and serves them meanwhile; for followers up to `shutdown-timeout`, and writes wait
//! with it. It does so on a thread of its own; SHUTDOWN ABORT ends that.
//!
//! Source: `prepareForShutdown` and `finishShutdown` in Redis's `src/server.c`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{append, save};
use crate::clients::channels::Message;
use crate::clients::{ClientFlags, ClientShared};
use crate::dispatch::conditions;
use crate::replication::{Awaited, Phase};
use crate::server::background::Task;
use crate::server::ending::{AtEnd, How};
use crate::server::{Conditions, Server, Woken};
use crate::system::clock::MonotonicMs;

/// How long the thread waits for somebody to ask for the end before it looks whether there was one.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at followers, and between two tries to end.
const NAP: Duration = Duration::from_millis(10);
/// Between two requests that followers say what they have.
const REQUEST: Duration = Duration::from_millis(500);

/// Why the server goes on although it was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesOn {
    /// A script runs for too long, and the data cannot be saved meanwhile.
    Busy,
    /// The data could not be saved.
    NotSaved,
}

/// Ends the server. If the data is to be saved and cannot be, it goes on unless it is forced. Nothing changes between the save
/// and the end.
///
/// # Errors
/// Why it goes on.
pub fn shut_down(server: &Server, how: How) -> Result<(), GoesOn> {
    let result = try_to_end(server, how);
    if result == Err(GoesOn::NotSaved) {
        tracing::error!("Errors trying to shut down: the server goes on. Look above for why.");
    }
    result
}

fn try_to_end(server: &Server, how: How) -> Result<(), GoesOn> {
    let is_loading = server.conditions().contains(Conditions::LOADING);
    let saves = match how.at_end {
        AtEnd::AsConfigured => !server.config.save_points().is_empty(),
        AtEnd::Save => true,
        AtEnd::Leave => false,
    };
    let logs = server.log.state.is_on.load(Ordering::SeqCst);
    if (!saves && !logs) || is_loading {
        server.stop();
        return Ok(());
    }
    // An older moment must not take the place of what is saved now.
    server.background.cancel(Task::Save);
    let keyspace = server.whole_in_time().ok_or(GoesOn::Busy)?;
    if server.log.state.is_aside.load(Ordering::SeqCst) && !how.force {
        tracing::warn!("Writing initial AOF, can't exit");
        return Err(GoesOn::NotSaved);
    }
    if append::finish(server).is_err() && !how.force {
        tracing::error!("what was acknowledged would be lost, can't exit");
        return Err(GoesOn::NotSaved);
    }
    if saves {
        tracing::info!("saving the data before the end");
        // Whoever has the stream up to what the file says is its end is to have no more when it comes back.
        server.replication.is_silent.store(true, Ordering::SeqCst);
        if save::save(server, &keyspace).is_err() && !how.force {
            server.replication.is_silent.store(false, Ordering::SeqCst);
            tracing::error!("Error trying to save the DB, can't exit");
            return Err(GoesOn::NotSaved);
        }
    }
    append::close(server);
    // Whoever waits for a lock finds this behind it.
    server.set_conditions(Conditions::STOPPING, true);
    server.stop();
    Ok(())
}

/// Whether there is somebody that the end of the server has to wait for.
pub fn has_to_wait(server: &Server, how: How) -> bool {
    has_to_tell(server, how) || has_to_wait_for_followers(server, how)
}

fn has_to_wait_for_followers(server: &Server, how: How) -> bool {
    let may_wait =
        !how.now && server.config.shutdown_timeout_seconds() > 0 && server.replication.has_followers();
    may_wait && !Awaited::new(server.effects.next()).lacking(&server.replication).is_empty()
}

fn has_to_tell(server: &Server, how: How) -> bool {
    !how.now && server.config.shutdown_notice_seconds() > 0 && !who_hears(server).is_empty()
}

/// Clients that are told before the server ends.
fn who_hears(server: &Server) -> Vec<Arc<ClientShared>> {
    let has_address = server.config.shutdown_notice_endpoint().is_some();
    let hears = |client: &Arc<ClientShared>| {
        client.flags().contains(ClientFlags::HEARS_OF_END) && (has_address || does_without_address(client))
    };
    server.clients.snapshot().into_iter().filter(hears).collect()
}

/// Whether a client can be told to go without being told where. To node-redis that is a fault where it has not asked for just
/// that, and one that nobody catches, so that the application's process ends.
fn does_without_address(client: &ClientShared) -> bool {
    !client.flags().contains(ClientFlags::WANTS_ADDRESS)
        || !client.names.lock().library_name.starts_with(b"node-redis")
}

/// Starts the thread that ends the server where that is not at once. It ends with the server.
///
/// # Errors
/// When the system gives no thread.
pub fn start_thread(server: &Arc<Server>) -> io::Result<()> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("swytch-shutdown".into()).spawn(move || run(&server)).map(drop)
}

fn run(server: &Server) {
    while !server.stopping.load(Ordering::Acquire) {
        let Some((how, attempt)) = server.ending.wait(PATIENCE) else { continue };
        let goes_on = !give_notice(server, how, attempt) || !await_followers(server, how, attempt);
        if goes_on || !end(server, how, attempt) {
            conditions::release_writes(server);
            server.ending.fail(attempt);
            server.wake_holders();
        }
    }
}

/// Tells clients that the server ends and waits until they are gone, or long enough; false where the server is to go on.
fn give_notice(server: &Server, how: How, attempt: u64) -> bool {
    if !has_to_tell(server, how) {
        return true;
    }
    let seconds = server.config.shutdown_notice_seconds();
    let endpoint = server.config.shutdown_notice_endpoint().map(Arc::from);
    let news = Message::Moving { number: attempt + 1, seconds, endpoint };
    let (told, mut woken) = (who_hears(server), Woken::default());
    told.iter().for_each(|client| woken.tell(server, client, &news));
    woken.wake(server);
    tracing::info!("{} clients are told to go elsewhere within {seconds} seconds", told.len());
    wait(server, attempt, seconds, || told.iter().all(|client| client.killed.load(Ordering::Acquire)))
}

/// Waits until it is so, or so many seconds; false where the server is to go on.
fn wait(server: &Server, attempt: u64, seconds: u64, mut is_so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(seconds);
    server.ending.wait_until(until);
    loop {
        if server.ending.was_in_vain(attempt) {
            tracing::warn!("Shutdown manually aborted.");
            return false;
        }
        if is_so() || Instant::now() >= until {
            return true;
        }
        std::thread::sleep(NAP);
    }
}

/// Waits until followers have everything, or long enough; false where the server is to go on.
fn await_followers(server: &Server, how: How, attempt: u64) -> bool {
    if !has_to_wait_for_followers(server, how) {
        return true;
    }
    tracing::info!("Waiting for replicas before shutting down.");
    conditions::hold_writes(server);
    let everything = Awaited::new(server.effects.next());
    let mut requested = None::<Instant>;
    let have_all = || {
        if everything.lacking(&server.replication).is_empty() {
            return true;
        }
        if requested.is_none_or(|at| at.elapsed() >= REQUEST) {
            requested = Some(Instant::now());
            server.replication.want_acknowledgements();
            server.effects.ring();
        }
        false
    };
    if !wait(server, attempt, server.config.shutdown_timeout_seconds(), have_all) {
        return false;
    }
    let (all, lagging) = (server.replication.followers().len(), everything.lacking(&server.replication));
    let (end, now) = (server.replication.facts().end, MonotonicMs::now());
    for one in &lagging {
        let ((host, port), phase) = (one.address(), one.phase().map_or("gone", Phase::name));
        let (bytes, lag_s) = (end.saturating_sub(one.acknowledged()), one.silent_ms(now) / 1000);
        tracing::warn!("Lagging replica {host}:{port} is {bytes} bytes behind, lag={lag_s}, state={phase}.");
    }
    let in_sync = all.saturating_sub(lagging.len());
    tracing::info!("{in_sync} of {all} replicas are in sync when shutting down.");
    true
}

/// [`shut_down`], which waits for the end of a script.
fn end(server: &Server, how: How, attempt: u64) -> bool {
    loop {
        match shut_down(server, how) {
            Err(GoesOn::Busy) if !server.ending.was_in_vain(attempt) => std::thread::sleep(NAP),
            // Why the data was not saved is in the log.
            result => return result.is_ok(),
        }
    }
}
