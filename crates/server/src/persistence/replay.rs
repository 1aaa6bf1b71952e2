//! The append-only log into memory, at the start: a base, then commands, run as they stand there.
//!
//! What is read was decided when it was written: nothing expires by the clock and nothing is refused for want of memory. A
//! transaction that is not whole is not run. Where the last file ends in the middle of a command it is cut off, if
//! `aof-load-truncated` allows; anything else that is wrong ends the server before a client has seen a part of the data.
//!
//! Source: `loadSingleAppendOnlyFile` in Redis's `src/aof.c`, also for the words of errors that tools look for.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use swytch_resp::Output;

use super::load::{self, Counted, TakeLibraries};
use crate::aof::Files;
use crate::aof::reader::{Bad, CommandReader, begins_as_rdb};
use crate::clients::{Client, ClientFlags, ClientShared};
use crate::command::{Args, Call, CommandTable, Outcome};
use crate::dispatch::{Request, execute, lookup};
use crate::observe::logging::limited;
use crate::server::{Server, WorkerShared};
use crate::system::clock::{self, Ticks};

/// Bytes read from a file at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// Loads the log into the keyspace, which is empty.
///
/// # Errors
/// What is wrong with it, and where. Part of it is in memory.
pub(super) fn load(
    commands: &'static CommandTable,
    server: &Server,
    files: &mut Files,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<()> {
    let began = Instant::now();
    let parts = files.parts()?;
    let worker = WorkerShared::new(commands.len())?;
    for (index, (path, bytes)) in parts.iter().enumerate() {
        let (file, _) = files.disk().open(path)?;
        let source = BufReader::with_capacity(BUFFER_BYTES, Counted::new(file, server));
        let whole = load_file(commands, server, &worker, source, path, take_libraries)?;
        if whole == *bytes {
            continue;
        }
        let is_last = index + 1 == parts.len();
        if !is_last || !server.config.aof_load_truncated() {
            let advice = if is_last { ", or set aof-load-truncated to yes and start again" } else { "" };
            return Err(io::Error::other(format!(
                "Unexpected end of file reading the append only file {} at byte {whole}: make a copy of it, then use \
                 `swytch check-aof --fix`{advice}",
                path.display()
            )));
        }
        let cut_bytes = bytes - whole;
        tracing::warn!(
            whole,
            cut_bytes,
            "!!! Warning: short read while loading the AOF file {}!!!",
            path.display()
        );
        files.cut(whole)?;
        tracing::warn!("AOF loaded anyway because aof-load-truncated is enabled");
        files.parts()?;
    }
    let (keys, took_ms) =
        (server.saves.loading.keys.load(Ordering::Relaxed), began.elapsed().as_millis() as u64);
    tracing::info!(keys, took_ms, files = parts.len(), "DB loaded from append only file");
    Ok(())
}

/// Loads one file; the bytes of it that are whole commands and transactions.
fn load_file(
    commands: &'static CommandTable,
    server: &Server,
    worker: &WorkerShared,
    mut source: impl BufRead + Send,
    path: &Path,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<u64> {
    let mut offset = 0;
    if begins_as_rdb(source.fill_buf()?) {
        offset = load::load_base(server, &mut source, take_libraries)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    }
    let mut reader = CommandReader::new(source, offset);
    let mut replayer = Replayer::new(commands, server, worker);
    let mut whole = offset;
    loop {
        let at = reader.offset();
        match reader.next() {
            Ok(true) => {}
            Ok(false) => return Ok(if replayer.is_in_transaction() { whole } else { at }),
            Err(Bad::Truncated) => return Ok(if replayer.is_in_transaction() { whole } else { at }),
            Err(Bad::Unreadable(error)) => return Err(error),
            Err(Bad::Format) => {
                return Err(io::Error::other(format!(
                    "Bad file format reading the append only file {} at byte {at}: make a copy of it, then use \
                     `swytch check-aof --fix`",
                    path.display()
                )));
            }
        }
        if server.stopping.load(Ordering::Relaxed) {
            return Err(io::Error::other("the server stops"));
        }
        if !replayer.is_in_transaction() {
            whole = at;
        }
        replayer.run(reader.command()).map_err(|why| {
            io::Error::other(format!("{why} reading the append only file {} at byte {at}", path.display()))
        })?;
    }
}

/// Runs the commands of a log.
struct Replayer<'s> {
    commands: &'static CommandTable,
    server: &'s Server,
    worker: &'s WorkerShared,
    client: Client,
    output: Output,
    clock: Ticks,
}

impl<'s> Replayer<'s> {
    fn new(commands: &'static CommandTable, server: &'s Server, worker: &'s WorkerShared) -> Replayer<'s> {
        let (id, user) = (server.clients.next_id(), server.users.own());
        let shared = ClientShared::new(id, 0, String::new(), String::new(), -1, Arc::clone(user));
        let mut client = Client::of(shared.into(), Arc::clone(user), true);
        client.flags |= ClientFlags::REPLAYS;
        Replayer { commands, server, worker, client, output: Output::default(), clock: Ticks::now() }
    }

    fn is_in_transaction(&self) -> bool {
        self.client.in_multi()
    }

    /// Runs a command. One that answers an error changes nothing, as it did not where it was written.
    fn run(&mut self, args: Args<'_>) -> Result<(), String> {
        let name = || String::from_utf8_lossy(args.get(0)).into_owned();
        let command =
            lookup::lookup(self.commands, &args).ok_or_else(|| format!("Unknown command '{}'", name()))?;
        let key_hash =
            command.single_key.and_then(|at| args.try_get(at)).map(|key| self.server.shards.hash(key));
        let now_ms = clock::unix_ms();
        let mut call = Call::without_request(
            self.commands,
            self.server,
            self.worker,
            &mut self.client,
            &mut self.output,
            now_ms,
        );
        let outcome = execute(&mut call, Request { args, command: Some(command), key_hash }, &mut self.clock);
        if !matches!(outcome, Outcome::Done) {
            return Err(format!("Command '{}', which waits,", name()));
        }
        if self.output.only_slice().is_none_or(|reply| reply.first() == Some(&b'-')) {
            let reply = self.output.to_vec();
            let reply = String::from_utf8_lossy(&reply[..reply.len().min(256)]);
            limited!(
                warn,
                "errors in the log",
                command = name(),
                error = reply.trim_end(),
                "a command of the append-only log has failed"
            );
        }
        self.output = Output::default();
        Ok(())
    }
}
