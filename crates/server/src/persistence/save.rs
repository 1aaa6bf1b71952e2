//! The whole data into its file.
//!
//! It is written under the locks of all shards, and everybody waits meanwhile, or in the background from a moment of the data. The
//! file is written beside the one that is there, forced to the disk and only then put in its place: what was saved before
//! is there until what is saved now is.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use swytch_rdb::{FileWriter, KeyFacts, WriteOptions};
use swytch_store::Keyspace;

use super::payload::write_options;
use super::source::{Source, is_useless};
use super::{background, replicate, value};
use crate::clients::introduction::DataPart;
use crate::config::Config;
use crate::server::background::{Moment, cancelled};
use crate::server::{Conditions, Server};
use crate::system::disk::{self, DiskFile, directory_of};
use crate::system::{allocator, clock};
use crate::{REDIS_VERSION, SWYTCH_VERSION};

/// Bytes that are forced to the disk at a time (Redis: `REDIS_AUTOSYNC_BYTES`).
const SYNC_BYTES: u64 = 4 << 20;

/// Between two looks at whether a delay is of use.
const LOOK: Duration = Duration::from_millis(20);

/// Where the data is saved; nothing where `dbfilename` is empty.
pub fn path(server: &Server) -> Option<PathBuf> {
    let name = server.config.dbfilename().filter(|name| !name.is_empty())?;
    Some(server.config.resolve(OsString::from_vec(name)))
}

fn temporary_path(server: &Server) -> PathBuf {
    server.config.resolve(format!("temp-{}.rdb", std::process::id()))
}

/// Saves the data. The view holds all locks.
///
/// # Errors
/// If the file cannot be written. The one that was there before is untouched. The log says it too.
pub fn save(server: &Server, keyspace: &Keyspace<'_>) -> io::Result<()> {
    let began = Instant::now();
    server.saves.begin();
    match try_save(server, keyspace) {
        Ok((path, bytes)) => {
            server.saves.succeeded(server.total(|stats| stats.dirty.get()));
            server.set_conditions(Conditions::SAVE_FAILED, false);
            let took_ms = began.elapsed().as_millis() as u64;
            tracing::info!(bytes, took_ms, "DB saved on disk: {}", path.display());
            Ok(())
        }
        Err(error) => {
            tracing::error!(%error, "saving the data failed; the file that was there before is untouched");
            Err(error)
        }
    }
}

fn try_save(server: &Server, keyspace: &Keyspace<'_>) -> io::Result<(PathBuf, u64)> {
    let path = path(server).ok_or_else(|| io::Error::other("dbfilename is empty"))?;
    let disk = &*server.disk;
    let bytes = disk::replace(disk, &temporary_path(server), &path, |file| {
        write_whole(server, &mut Source::Held(keyspace), file, Use::Snapshot)
    })?;
    // The name is on the disk when the directory is.
    disk.sync_directory(&directory_of(&path))?;
    Ok((path, bytes))
}

/// What a file of the whole data is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is all there is.
    Snapshot,
    /// An append-only log follows.
    LogBase,
    /// The stream of effects follows, for those who want this part of the data.
    Followers(DataPart),
}

/// Writes the whole data; how many bytes that were.
///
/// # Errors
/// If it cannot be written.
pub fn write_whole(
    server: &Server,
    source: &mut Source<'_>,
    file: &mut dyn DiskFile,
    purpose: Use,
) -> io::Result<u64> {
    let mut options = write_options(&server.config);
    if let Source::Moment(_) = source {
        // It is read once: what the last file has needed is known before this one begins.
        options.version = options.version.max(server.saves.version_needed());
    }
    loop {
        let in_steps = match purpose {
            Use::LogBase => server.config.aof_rewrite_incremental_fsync(),
            Use::Snapshot | Use::Followers(_) => server.config.rdb_save_incremental_fsync(),
        };
        let step_bytes = if in_steps { SYNC_BYTES } else { u64::MAX };
        let target = Stepwise { file: &mut *file, step_bytes, unsynced_bytes: 0 };
        match write(server, source, target, options, purpose)? {
            Written::Whole(bytes) => return Ok(bytes),
            Written::NeedsVersion(version) => {
                options.version = version;
                file.truncate(0)?;
                if let Source::Moment(moment) = source {
                    background::take_again(server, moment)?;
                }
            }
        }
    }
}

/// What came of writing a file.
pub(super) enum Written {
    /// It has this many bytes.
    Whole(u64),
    /// A value needs a newer version, so the file has to begin anew.
    NeedsVersion(u32),
}

/// Writes the whole data to wherever it goes.
///
/// # Errors
/// If that fails.
pub(super) fn write(
    server: &Server,
    source: &mut Source<'_>,
    target: impl Write,
    options: WriteOptions,
    purpose: Use,
) -> io::Result<Written> {
    let config = &server.config;
    let mut writer = FileWriter::new(target, options, config.rdbchecksum());
    writer.remark("redis-ver", REDIS_VERSION);
    writer.remark("redis-bits", &usize::BITS.to_string());
    writer.remark("ctime", &(clock::unix_ms() / 1000).to_string());
    writer.remark("used-mem", &allocator::used_bytes().to_string());
    writer.remark("aof-base", if purpose == Use::LogBase { "1" } else { "0" });
    writer.remark("swytch-ver", SWYTCH_VERSION);
    let history = match (purpose, &source) {
        // Whoever follows may go on when this is read at a start.
        (Use::Snapshot, Source::Held(_)) => replicate::history(server),
        (Use::Snapshot, Source::Moment(moment)) => moment.history.clone(),
        _ => None,
    };
    if history.is_some() || matches!(purpose, Use::Followers(_)) {
        // Where the stream selects no database it is this one.
        writer.remark("repl-stream-db", "0");
    }
    if let Some((name, end)) = history {
        writer.remark("repl-id", &name);
        writer.remark("repl-offset", &end.to_string());
    }
    let part = if let Use::Followers(part) = purpose { part } else { DataPart::All };
    if part != DataPart::None {
        source.libraries(server).iter().for_each(|library| writer.function(&library.source));
    }
    let transfer = match &source {
        Source::Moment(moment) => Some(moment.transfer.clone()),
        Source::Held(_) => None,
    };
    let is_useless = || transfer.as_ref().is_some_and(|transfer| is_useless(server, transfer.as_deref()));
    let sizes: Vec<(usize, usize)> =
        (0..server.shards.databases() as u32).map(|db| source.sizes(db)).collect();
    let (mut begun, mut db_now, mut needed) = (vec![false; sizes.len()], None, None);
    let written = source.each(server, &mut |db, entry| {
        if part != DataPart::All {
            return Ok(());
        }
        if db_now.replace(db) != Some(db) {
            let (keys, expiring) = sizes[db as usize];
            match std::mem::replace(&mut begun[db as usize], true) {
                false => writer.database(u64::from(db), keys as u64, expiring as u64),
                true => writer.database_again(u64::from(db)),
            }
        }
        let facts = KeyFacts { expires_ms: entry.expire_at_ms(), ..KeyFacts::default() };
        let written = value::with_written(entry, |value| writer.key(entry.key(), facts, value));
        needed = written.err();
        if needed.is_some() || writer.has_failed() {
            return Err(io::Error::other("the rest is not looked at"));
        }
        if config.rdb_key_save_delay() > 0 && !delay(config, is_useless) {
            return Err(cancelled());
        }
        Ok(())
    });
    if let Some(version) = needed {
        server.saves.set_version_needed(version);
        return Ok(Written::NeedsVersion(version));
    }
    if !writer.has_failed() {
        written?;
    }
    server.saves.set_version_needed(writer.version_needed());
    let (_, bytes) = writer.finish()?;
    Ok(Written::Whole(bytes))
}

/// Waits as long as a key is to take (`rdb-key-save-delay`); false where that is of no use any more.
fn delay(config: &Config, is_useless: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    loop {
        let delay = Duration::from_micros(u64::try_from(config.rdb_key_save_delay()).unwrap_or(0));
        let left = delay.saturating_sub(began.elapsed());
        if left.is_zero() || is_useless() {
            return left.is_zero();
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// Writes a moment of the data to the data's file.
///
/// # Errors
/// If it cannot be written, or was cancelled. The file that was there before is untouched.
pub(super) fn write_moment(server: &Server, moment: &mut Moment) -> io::Result<()> {
    let path = path(server).ok_or_else(|| io::Error::other("dbfilename is empty"))?;
    let temporary = background::temporary_path(server, "rdb");
    let disk = &*server.disk;
    let write =
        |file: &mut dyn DiskFile| write_whole(server, &mut Source::Moment(moment), file, Use::Snapshot);
    let bytes = disk::put_in_place(disk, &temporary, write, |_| {
        server.background.publish(|| {
            disk.rename(&temporary, &path)?;
            disk.sync_directory(&directory_of(&path))
        })
    })?;
    tracing::info!(bytes, "DB saved on disk: {}", path.display());
    Ok(())
}

/// A moment of the data was written, or was not.
pub(super) fn ended(server: &Server, moment: &Moment, result: io::Result<()>, took: Duration) {
    let saved = result.is_ok();
    match result {
        Ok(()) => {
            server.saves.succeeded(moment.changes);
            let took_ms = took.as_millis() as u64;
            tracing::info!(took_ms, "Background saving terminated with success");
        }
        Err(error) => {
            tracing::error!(%error, "Background saving error; the file that was there before is untouched");
        }
    }
    server.saves.ended_in_background(saved, took);
    server.set_conditions(Conditions::SAVE_FAILED, !saved && server.config.stop_writes_on_bgsave_error());
}

/// A file that goes to the disk step by step, so that the last step is short.
struct Stepwise<'f> {
    file: &'f mut dyn DiskFile,
    step_bytes: u64,
    unsynced_bytes: u64,
}

impl Write for Stepwise<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced_bytes += written as u64;
        if self.unsynced_bytes >= self.step_bytes {
            self.file.sync()?;
            self.unsynced_bytes = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes what a save has left that is cut short by the end of the process.
pub fn remove_temporary_file(server: &Server) {
    // There is none, most likely.
    let of_background = ["rdb", "aof", "sync"].map(|end| background::temporary_path(server, end));
    for path in of_background.into_iter().chain([temporary_path(server)]) {
        let _ = std::fs::remove_file(path);
    }
}
