//! The append-only log of the server: its thread, its bases, and how it is switched on and off.
//!
//! A base is made under the locks of all shards, as a save is: everybody waits meanwhile, and the log has one moment of the
//! data in it. What is published later follows in the log's next file.
//!
//! While the disk fails writes are refused, and once a second it is tried again. After a sync that has failed a new base is
//! made from the data, because what the disk has of the last file is not known.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use swytch_store::Keyspace;

use super::save;
use crate::aof::{BaseForm, Files, Found, Policy, Writer};
use crate::config::{AppendFsync, Config};
use crate::effects::forms::{Commands, rebuild};
use crate::observe::logging::limited;
use crate::server::{Conditions, Server};
use crate::system::disk::DiskFile;
use crate::system::{clock, files};

/// Between two rounds where the log need not be on the disk before replies: what a killed process may lose.
const NAP: Duration = Duration::from_millis(10);
/// Longest time between two rounds.
const PATIENCE: Duration = Duration::from_millis(100);
/// As long as there is no log.
const NO_LOG_PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries to rewrite a log that has grown.
const REWRITE_RETRY: Duration = Duration::from_secs(60);
/// Between two tries while the disk fails.
const RETRY: Duration = Duration::from_secs(1);
/// A sync that is later than this is counted as late (Redis: the time a write waits for one).
const LATE: Duration = Duration::from_secs(2);
/// Bytes of commands of a base that are written at a time.
const BASE_BYTES: usize = 1 << 20;

/// The files of the log, read and not yet begun.
///
/// # Errors
/// If they are damaged.
pub fn find(server: &Server) -> io::Result<(Files, Found)> {
    let config = &server.config;
    let directory = OsString::from_vec(config.appenddirname().unwrap_or_default());
    Files::find(
        Arc::clone(&server.disk),
        config.directory(),
        &directory,
        config.appendfilename().unwrap_or_default(),
    )
}

fn policy(config: &Config) -> Policy {
    let annotate_s = config.aof_timestamp_enabled().then(|| clock::unix_ms() / 1000);
    Policy { sync: config.appendfsync(), annotate_s }
}

/// From now on changes are written behind what the files have, which is what is in memory. The caller holds all locks.
///
/// # Errors
/// If the files cannot be written.
pub fn go_on(server: &Server, keyspace: &Keyspace<'_>, mut files: Files) -> io::Result<()> {
    let is_new = files.parts()?.is_empty();
    if is_new {
        tracing::info!("Creating AOF base file on server start");
        begin_anew_in(server, keyspace, &mut files)?;
    }
    files.begin()?;
    let state = &server.log.state;
    state.base_bytes.store(files.bytes(), Ordering::Relaxed);
    switch_on(server, files);
    Ok(())
}

/// Switches the log on or off, as `appendonly` says: on, it begins with a base of the data. The caller holds no locks.
///
/// # Errors
/// If its files cannot be written. Nothing has changed.
pub fn follow_config(server: &Server) -> io::Result<()> {
    let keyspace = server.whole_in_time().ok_or_else(|| io::Error::other("a script runs for too long"))?;
    match (server.config.appendonly(), server.log.state.is_on.load(Ordering::SeqCst)) {
        (true, false) => {
            let (mut files, _) = find(server)?;
            begin_anew_in(server, &keyspace, &mut files)?;
            switch_on(server, files);
        }
        (false, true) => switch_off(server),
        _ => {}
    }
    Ok(())
}

fn switch_off(server: &Server) {
    let Some(mut writer) = server.log.writer.lock().take() else { return };
    if let Err(error) = writer.finish(policy(&server.config)) {
        tracing::error!(%error, "the end of the append-only log could not be written");
    }
    drop(writer);
    server.log.state.is_on.store(false, Ordering::SeqCst);
    *server.log.state.fault.lock() = None;
    server.set_conditions(Conditions::RECORDING, server.effects.is_read());
    server.set_conditions(Conditions::HOLDING | Conditions::LOG_FAILED, false);
    release(server, server.effects.next());
}

/// Replies are held back, or not, as `appendfsync` says.
pub fn apply_policy(server: &Server) {
    let holds =
        server.log.state.is_on.load(Ordering::SeqCst) && server.config.appendfsync() == AppendFsync::Always;
    server.set_conditions(Conditions::HOLDING, holds);
    server.effects.ring();
}

fn switch_on(server: &Server, files: Files) {
    let writer = Writer::new(files, &server.effects);
    // Everything before it is in the files.
    server.effects.release(server.effects.next());
    *server.log.writer.lock() = Some(writer);
    server.log.state.is_on.store(true, Ordering::SeqCst);
    server.set_conditions(Conditions::RECORDING, true);
    apply_policy(server);
}

/// Starts the log's thread, which has nothing to do while there is none. It ends with the server.
///
/// # Errors
/// When the system gives no thread.
pub fn start_thread(server: &Arc<Server>) -> io::Result<JoinHandle<()>> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("swytch-log".into()).spawn(move || run(&server))
}

fn run(server: &Server) {
    let (mut has_failed, mut rewrite_from) = (false, Instant::now());
    while !server.stopping.load(Ordering::Acquire) {
        let policy = policy(&server.config);
        let is_always = policy.sync == AppendFsync::Always;
        let mut due_in = None;
        let round = {
            let mut log = server.log.writer.lock();
            let Some(writer) = &mut *log else {
                drop(log);
                has_failed = false;
                server.effects.wait(NO_LOG_PATIENCE);
                continue;
            };
            let round = writer.round(policy);
            let (written, safe) = writer.reached();
            release(server, if is_always { safe } else { written });
            measure(server, writer);
            if policy.sync == AppendFsync::Everysec {
                due_in = writer.due_in();
            }
            round.map_err(|error| (error, writer.files().is_broken()))
        };
        match round {
            Ok(has_written) => {
                if std::mem::take(&mut has_failed) {
                    recovered(server);
                }
                if rewrite_is_due(server) && rewrite_from <= Instant::now() {
                    tracing::info!("the append-only log has grown; it is rewritten");
                    // What a script has for too long is written later.
                    if server.whole_in_time().is_none_or(|keyspace| rewrite(server, &keyspace).is_err()) {
                        rewrite_from = Instant::now() + REWRITE_RETRY;
                    }
                } else if !has_written {
                    server.effects.wait(due_in.unwrap_or(PATIENCE).clamp(NAP / 10, PATIENCE));
                } else if !is_always {
                    std::thread::sleep(NAP);
                }
            }
            Err((error, is_broken)) => {
                limited!(error, "failures of the log", %error, "writing the append-only log failed");
                *server.log.state.fault.lock() = Some(files::error_text(&error));
                server.set_conditions(Conditions::LOG_FAILED, true);
                // Those who wait for what others have written wait no longer.
                server.wake_holders();
                has_failed = true;
                if is_broken {
                    if server.whole_in_time().is_some_and(|keyspace| rewrite(server, &keyspace).is_ok()) {
                        continue;
                    }
                }
                std::thread::sleep(RETRY);
            }
        }
    }
}

fn recovered(server: &Server) {
    *server.log.state.fault.lock() = None;
    server.set_conditions(Conditions::LOG_FAILED, false);
    tracing::warn!("the append-only log can be written again: writes are accepted");
}

/// Lets replies leave that tell of groups before a place.
fn release(server: &Server, until: u64) {
    server.effects.release(until);
    server.wake_holders();
}

/// Shows others how far the log is.
fn measure(server: &Server, writer: &mut Writer) {
    let state = &server.log.state;
    state.safe_until.store(writer.reached().1, Ordering::Relaxed);
    let (bytes, since) = writer.unsynced();
    let age = since.map_or(Duration::ZERO, |since| since.elapsed());
    let was_ms = state.unsynced_ms.swap(age.as_millis() as u64, Ordering::Relaxed);
    if age >= LATE && was_ms < LATE.as_millis() as u64 {
        state.late_syncs.fetch_add(1, Ordering::Relaxed);
    }
    state.unsynced_bytes.store(bytes, Ordering::Relaxed);
    state.bytes.store(writer.files().bytes(), Ordering::Relaxed);
}

/// Whether the log has grown as much as `auto-aof-rewrite-percentage` allows.
fn rewrite_is_due(server: &Server) -> bool {
    let (config, state) = (&server.config, &server.log.state);
    let (bytes, base) =
        (state.bytes.load(Ordering::Relaxed), state.base_bytes.load(Ordering::Relaxed).max(1));
    let percent = u64::from(config.auto_aof_rewrite_percentage());
    percent > 0
        && bytes > config.auto_aof_rewrite_min_size()
        && bytes.saturating_sub(base) as u128 * 100 / u128::from(base) >= u128::from(percent)
}

/// BGREWRITEAOF: the log begins anew with a base of the data. The view holds all locks.
///
/// # Errors
/// If it cannot be written. The log goes on as it was.
pub fn rewrite(server: &Server, keyspace: &Keyspace<'_>) -> io::Result<()> {
    let (began, state) = (Instant::now(), &server.log.state);
    state.rewrites.fetch_add(1, Ordering::Relaxed);
    let mut log = server.log.writer.lock();
    let config = &server.config;
    let rewritten = match &mut *log {
        Some(writer) => {
            writer.begin_anew(policy(config), base_form(config), config.aof_disable_auto_gc(), |file| {
                write_base(server, keyspace, file)
            })
        }
        None => find(server).and_then(|(mut files, _)| begin_anew_in(server, keyspace, &mut files)),
    };
    let took = began.elapsed();
    state.rewrite_took_s.store(took.as_secs(), Ordering::Relaxed);
    if let Err(error) = rewritten {
        state.failed_rewrites.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, "Background AOF rewrite failed: the log goes on as it was");
        return Err(error);
    }
    state.failed_rewrites.store(0, Ordering::Relaxed);
    if let Some(writer) = &mut *log {
        let (_, safe) = writer.reached();
        release(server, safe);
        measure(server, writer);
        state.base_bytes.store(writer.files().bytes(), Ordering::Relaxed);
    }
    let took_ms = took.as_millis() as u64;
    tracing::info!(took_ms, "Background AOF rewrite finished successfully");
    Ok(())
}

fn begin_anew_in(server: &Server, keyspace: &Keyspace<'_>, files: &mut Files) -> io::Result<()> {
    let config = &server.config;
    files.begin_anew(base_form(config), config.aof_disable_auto_gc(), |file| {
        write_base(server, keyspace, file)
    })?;
    server.log.state.base_bytes.store(files.bytes(), Ordering::Relaxed);
    Ok(())
}

fn base_form(config: &Config) -> BaseForm {
    if config.aof_use_rdb_preamble() { BaseForm::Rdb } else { BaseForm::Commands }
}

fn write_base(server: &Server, keyspace: &Keyspace<'_>, file: &mut dyn DiskFile) -> io::Result<u64> {
    match base_form(&server.config) {
        BaseForm::Rdb => save::write_whole(server, keyspace, file, save::Use::LogBase),
        BaseForm::Commands => write_commands(server, keyspace, file),
    }
}

fn write_commands(server: &Server, keyspace: &Keyspace<'_>, file: &mut dyn DiskFile) -> io::Result<u64> {
    let (mut commands, mut total) = (Vec::new(), 0);
    for library in server.scripts.libraries().iter() {
        Commands::new(&mut commands).push(&[b"FUNCTION", b"LOAD", &library.source]);
    }
    for db in 0..keyspace.databases() {
        if keyspace.sizes(db).0 == 0 {
            continue;
        }
        Commands::new(&mut commands).push(&[b"SELECT", db.to_string().as_bytes()]);
        for entry in keyspace.stored_entries(db) {
            rebuild(entry.key(), entry.value(), entry.expire_at_ms(), &mut commands);
            if commands.len() >= BASE_BYTES {
                total += commands.len() as u64;
                file.write_all(&commands)?;
                commands.clear();
            }
        }
    }
    file.write_all(&commands)?;
    Ok(total + commands.len() as u64)
}

/// The server ends: everything is forced to the disk. The caller holds all locks.
///
/// # Errors
/// If that fails.
pub fn finish(server: &Server) -> io::Result<()> {
    let mut log = server.log.writer.lock();
    let Some(writer) = &mut *log else { return Ok(()) };
    writer.finish(policy(&server.config)).inspect_err(|error| {
        tracing::error!(%error, "the append-only log could not be forced to the disk");
    })?;
    release(server, writer.reached().1);
    Ok(())
}
