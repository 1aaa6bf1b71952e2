//! The append-only log of the server: its thread, its bases, and how it is switched on and off.
//!
//! A rewrite writes a moment of the data in the background. The log's next file begins at that moment ([`mark_turn`]), and when
//! the base is whole the list names both and forgets what was before. A log that is switched on begins with a rewrite: as in
//! Redis nothing is promised before its base is there. One that a server starts with, and a base that is made because the disk
//! has failed, are written under the locks of all shards.
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

use super::source::Source;
use super::{background, replicate, save};
use crate::aof::{BaseForm, Files, Found, Policy, Rest, Writer, annotation};
use crate::config::{AppendFsync, Config};
use crate::effects::Place;
use crate::effects::forms::{Commands, rebuild};
use crate::observe::logging::limited;
use crate::server::background::{Moment, Task, cancelled};
use crate::server::{Conditions, Server};
use crate::system::disk::{self, DiskFile};
use crate::system::{clock, files};

/// Between two looks whether the log's next file has begun.
const NAP: Duration = Duration::from_millis(10);
/// As long as there is no log.
const NO_LOG_PATIENCE: Duration = Duration::from_secs(1);
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
    Policy { sync: config.appendfsync(), annotate_s, now: Instant::now() }
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
    } else {
        // What comes now is not to have offsets that were given before.
        server.replication.begin_at(files.end_offset()?);
    }
    files.begin(server.replication.offset())?;
    let state = &server.log.state;
    state.base_bytes.store(files.bytes(), Ordering::Relaxed);
    state.is_on.store(true, Ordering::SeqCst);
    switch_on(server, &mut server.log.writer.lock(), files);
    Ok(())
}

/// Switches the log on or off, as `appendonly` says: on, it begins with a rewrite, now or when what is written in the background
/// is. The caller holds no locks.
///
/// # Errors
/// If its files cannot be written. Nothing has changed.
pub fn follow_config(server: &Server) -> io::Result<()> {
    // Who has this decides by the directive alone, whoever has set it last.
    let differs = || server.config.appendonly() != server.log.state.is_on.load(Ordering::SeqCst);
    if server.config.appendonly() {
        let mut waiting = server.log.waiting.lock();
        if differs() {
            let mut files = find(server)?.0;
            files.begin_aside()?;
            *waiting = Some(files);
            server.log.state.is_aside.store(true, Ordering::SeqCst);
            server.log.state.is_on.store(true, Ordering::SeqCst);
            drop(waiting);
            if background::begin(server, Task::Rewrite).is_err() {
                server.background.schedule(Task::Rewrite);
            }
        }
    } else {
        // Nobody takes a moment of the data meanwhile.
        let _keyspace =
            server.whole_in_time().ok_or_else(|| io::Error::other("a script runs for too long"))?;
        let mut waiting = server.log.waiting.lock();
        if differs() {
            *waiting = None;
            switch_off(server);
        }
    }
    Ok(())
}

fn switch_off(server: &Server) {
    let offset = replicate::offset(server);
    if let Some(mut writer) = server.log.writer.lock().take() {
        let finished = writer.finish(policy(&server.config)).and_then(|()| writer.files().close(offset));
        if let Err(error) = finished {
            tracing::error!(%error, "the end of the append-only log could not be written");
        }
    }
    server.log.state.is_on.store(false, Ordering::SeqCst);
    server.log.state.is_aside.store(false, Ordering::SeqCst);
    *server.log.state.fault.lock() = None;
    server.set_conditions(Conditions::RECORDING, server.effects.is_read());
    server.set_conditions(Conditions::HOLDING | Conditions::LOG_FAILED, false);
    release(server, server.effects.next());
}

/// Replies are held back, or not, as `appendfsync` says.
pub fn apply_policy(server: &Server) {
    let holds = server.log.state.promises() && server.config.appendfsync() == AppendFsync::Always;
    server.set_conditions(Conditions::HOLDING, holds);
    server.effects.ring();
}

/// The place that it begins at.
fn switch_on(server: &Server, writer: &mut Option<Writer>, files: Files) -> Place {
    let begun = Writer::new(files, &server.effects, &server.log.state.turn);
    // Everything before it is in the files.
    server.effects.release(server.effects.next());
    let from = begun.reached().0;
    *writer = Some(begun);
    server.set_conditions(Conditions::RECORDING, true);
    apply_policy(server);
    from
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
    let mut has_failed = false;
    while !server.stopping.load(Ordering::Acquire) {
        let policy = policy(&server.config);
        match server.log.state.sleep_us.load(Ordering::Relaxed) {
            0 => {}
            sleep_us => std::thread::sleep(Duration::from_micros(sleep_us)),
        }
        let (round, consumer) = {
            let mut log = server.log.writer.lock();
            let Some(writer) = &mut *log else {
                drop(log);
                has_failed = false;
                server.effects.wait_for_ring(NO_LOG_PATIENCE);
                continue;
            };
            let round = writer.round(policy);
            // First, because who is woken looks at it.
            measure(server, writer);
            release(server, writer.acknowledged(policy));
            let round = match round {
                Ok(has_written) => Ok(writer.rest(policy, has_written)),
                Err(error) => Err((error, writer.files().is_broken())),
            };
            (round, writer.consumer())
        };
        match round {
            Ok(rest) => {
                if std::mem::take(&mut has_failed) {
                    recovered(server);
                }
                match rest {
                    Rest::For(time) => std::thread::sleep(time),
                    Rest::UntilNews(time) => server.effects.wait(consumer, time),
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
                    if server.whole_in_time().is_some_and(|keyspace| repair(server, &keyspace).is_ok()) {
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
    state.safe_until.store(writer.reached().1, Ordering::SeqCst);
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
pub(super) fn rewrite_is_due(server: &Server) -> bool {
    let (config, state) = (&server.config, &server.log.state);
    if !state.is_on.load(Ordering::SeqCst) {
        return false;
    }
    if state.is_aside.load(Ordering::SeqCst) {
        return true;
    }
    let (bytes, base) =
        (state.bytes.load(Ordering::Relaxed), state.base_bytes.load(Ordering::Relaxed).max(1));
    let percent = u64::from(config.auto_aof_rewrite_percentage());
    percent > 0
        && bytes > config.auto_aof_rewrite_min_size()
        && bytes.saturating_sub(base) as u128 * 100 / u128::from(base) >= u128::from(percent)
}

/// Marks the place that the log's next file begins at, or its first: what was published until now is in the data. The caller holds
/// all locks.
pub(super) fn mark_turn(server: &Server) -> Place {
    let offset = replicate::offset(server);
    if let Some(mut files) = server.log.waiting.lock().take() {
        files.begin_at(offset);
        return switch_on(server, &mut server.log.writer.lock(), files);
    }
    let logs = server.log.state.is_on.load(Ordering::SeqCst);
    server.effects.boundary(|place| {
        if logs {
            server.log.state.turn.want(place, offset);
        }
    })
}

/// Writes a moment of the data as a base, and puts it in the place of all that the log had before.
///
/// # Errors
/// If it cannot be written, or is of no use any more. The log goes on as it was.
pub(super) fn write_moment(server: &Server, moment: &mut Moment) -> io::Result<()> {
    let logs = server.log.state.is_on.load(Ordering::SeqCst);
    let temporary = background::temporary_path(server, "aof");
    let form = base_form(&server.config);
    let keeps_history = server.config.aof_disable_auto_gc();
    let write = |file: &mut dyn DiskFile| {
        write_base(server, form, &mut Source::Moment(moment), file)?;
        // It may be of a later moment than it was begun with.
        Ok(moment.place)
    };
    let put = |place: &Place| {
        await_turn(server, logs, *place)?;
        server.background.publish(|| {
            // Who switches the log on looks at its files, too.
            let _waiting = server.log.waiting.lock();
            let mut log = server.log.writer.lock();
            match &mut *log {
                Some(writer) if logs && writer.turned_at() == Some(*place) => {
                    writer.put_base(&temporary, form, keeps_history)?;
                    based(server, writer);
                    Ok(())
                }
                None if !logs => {
                    if server.log.state.is_on.load(Ordering::SeqCst) {
                        return Err(cancelled());
                    }
                    let (mut files, _) = find(server)?;
                    files.replace_before_last(&temporary, form, keeps_history)
                }
                // It was switched, or begun anew.
                _ => Err(cancelled()),
            }
        })
    };
    disk::put_in_place(&*server.disk, &temporary, write, put).map(drop)
}

/// The log has a base that it had not.
fn based(server: &Server, writer: &mut Writer) {
    measure(server, writer);
    server.log.state.base_bytes.store(writer.files().bytes(), Ordering::Relaxed);
    if server.log.state.is_aside.swap(false, Ordering::SeqCst) {
        apply_policy(server);
    }
    release(server, writer.reached().1);
}

/// Waits until the log's next file has begun.
fn await_turn(server: &Server, logs: bool, place: Place) -> io::Result<()> {
    let turn = &server.log.state.turn;
    while logs && turn.place() == place {
        let has_stopped = server.stopping.load(Ordering::Acquire) || server.background.is_cancelled();
        if has_stopped || server.log.state.has_failed() {
            // Whatever follows belongs to the file that is written.
            turn.give_up_at(place);
            return Err(io::Error::other("the log's next file could not be begun"));
        }
        server.effects.ring();
        std::thread::sleep(NAP);
    }
    Ok(())
}

/// A base was put in its place, or was not.
pub(super) fn ended(server: &Server, result: io::Result<()>, took: Duration) {
    let state = &server.log.state;
    state.rewrite_took_s.store(took.as_secs(), Ordering::Relaxed);
    match result {
        Ok(()) => {
            state.failed_rewrites.store(0, Ordering::Relaxed);
            let took_ms = took.as_millis() as u64;
            tracing::info!(took_ms, "Background AOF rewrite finished successfully");
        }
        Err(error) => {
            state.failed_rewrites.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "Background AOF rewrite failed: the log goes on as it was");
        }
    }
}

/// The log begins anew with a base of the data, because nobody knows what the disk has. The view holds all locks.
fn repair(server: &Server, keyspace: &Keyspace<'_>) -> io::Result<()> {
    let (began, config) = (Instant::now(), &server.config);
    server.log.state.rewrites.fetch_add(1, Ordering::Relaxed);
    let offset = replicate::offset(server);
    let mut log = server.log.writer.lock();
    let Some(writer) = &mut *log else { return Ok(()) };
    let form = base_form(config);
    let repaired = writer.begin_anew(policy(config), form, config.aof_disable_auto_gc(), offset, |file| {
        write_base(server, form, &mut Source::Held(keyspace), file)
    });
    if repaired.is_ok() {
        based(server, writer);
    }
    drop(log);
    let told = repaired.as_ref().copied().map_err(|error| io::Error::from(error.kind()));
    ended(server, told, began.elapsed());
    repaired
}

fn begin_anew_in(server: &Server, keyspace: &Keyspace<'_>, files: &mut Files) -> io::Result<()> {
    let config = &server.config;
    let form = base_form(config);
    files.begin_anew(form, config.aof_disable_auto_gc(), server.replication.offset(), |file| {
        write_base(server, form, &mut Source::Held(keyspace), file)
    })?;
    server.log.state.base_bytes.store(files.bytes(), Ordering::Relaxed);
    Ok(())
}

fn base_form(config: &Config) -> BaseForm {
    if config.aof_use_rdb_preamble() { BaseForm::Rdb } else { BaseForm::Commands }
}

fn write_base(
    server: &Server,
    form: BaseForm,
    source: &mut Source<'_>,
    file: &mut dyn DiskFile,
) -> io::Result<u64> {
    match form {
        BaseForm::Rdb => save::write_whole(server, source, file, save::Use::LogBase),
        BaseForm::Commands => write_commands(server, source, file),
    }
}

fn write_commands(server: &Server, source: &mut Source<'_>, file: &mut dyn DiskFile) -> io::Result<u64> {
    let (mut commands, mut total, mut db_now) = (Vec::new(), 0, None);
    if let Some(now_s) = policy(&server.config).annotate_s {
        commands.extend_from_slice(annotation(now_s).as_bytes());
    }
    for library in source.libraries(server).iter() {
        Commands::new(&mut commands).push(&[b"FUNCTION", b"LOAD", &library.source]);
    }
    source.each(server, &mut |db, entry| {
        if db_now.replace(db) != Some(db) {
            Commands::new(&mut commands).push(&[b"SELECT", db.to_string().as_bytes()]);
        }
        rebuild(entry.key(), entry.value(), entry.expire_at_ms(), &mut commands);
        if commands.len() >= BASE_BYTES {
            total += commands.len() as u64;
            file.write_all(&commands)?;
            commands.clear();
        }
        Ok(())
    })?;
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

/// Nothing comes behind what [`finish`] has forced to the disk: the list of files says the replication offset there. The caller
/// holds all locks.
pub fn close(server: &Server) {
    let offset = replicate::offset(server);
    let Some(writer) = &mut *server.log.writer.lock() else { return };
    if let Err(error) = writer.files().close(offset) {
        // It is estimated then.
        tracing::warn!(%error, "the append-only log does not say where it has ended");
    }
}

/// Files that the log no longer needs go, if `aof-disable-auto-gc` does not keep them.
pub fn forget_history(server: &Server) {
    if server.config.aof_disable_auto_gc() {
        return;
    }
    if let Some(writer) = &mut *server.log.writer.lock()
        && let Err(error) = writer.files().forget_history()
    {
        tracing::warn!(%error, "files of the append-only log that are not needed are still named");
    }
}
