//! The append-only log into memory, at the start and for DEBUG LOADAOF: a base, then commands, run as they stand there.
//!
//! What is read was decided when it was written: nothing expires by the clock and nothing is refused for want of memory. A
//! transaction that is not whole is not run. Where the last file ends in the middle of a command it is cut off, if
//! `aof-load-truncated` allows, and so is an end that is no commands, if it is as short as `aof-load-corrupt-tail-max-size` says;
//! anything else that is wrong ends the server before a client has seen a part of the data.
//!
//! Source: `loadSingleAppendOnlyFile` in Redis's `src/aof.c`, also for the words of errors that tools look for.

use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use swytch_resp::{Output, Reply};
use swytch_store::KeyspaceMut;

use super::append;
use super::load::{self, Counted, TakeLibraries};
use crate::aof::reader::{Bad, CommandReader, begins_as_rdb};
use crate::aof::{Files, Found};
use crate::clients::{Client, ClientFlags, ClientShared};
use crate::command::{Args, Call, Command, CommandTable, Flags, Origin, Outcome};
use crate::dispatch::{Request, changes, execute, locks, lookup};
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
        let mut replayer = Replayer::new(commands, server, &worker, None);
        let (whole, end) = load_file(&mut replayer, source, path, take_libraries)?;
        if whole == *bytes {
            continue;
        }
        let is_last = index + 1 == parts.len();
        let cut_bytes = bytes - whole;
        let (is_allowed, directive) = match end {
            End::Truncated => (server.config.aof_load_truncated(), "aof-load-truncated"),
            End::Corrupt { .. } => {
                (cut_bytes < server.config.aof_load_corrupt_tail_max_size(), "aof-load-corrupt-tail-max-size")
            }
        };
        if !is_last || !is_allowed {
            let advice = match end {
                _ if !is_last => String::new(),
                End::Truncated => format!(", or set {directive} to yes and start again"),
                End::Corrupt { .. } => {
                    format!(", or set {directive} to more than {cut_bytes} and start again")
                }
            };
            return Err(io::Error::other(format!(
                "{} reading the append only file {} at byte {}: make a copy of it, then use `swytch check-aof --fix`{advice}",
                if end == End::Truncated { "Unexpected end of file" } else { "Bad file format" },
                path.display(),
                if let End::Corrupt { at } = end { at } else { whole },
            )));
        }
        let what = if end == End::Truncated {
            "short read while loading the AOF file"
        } else {
            "corrupt AOF file tail"
        };
        tracing::warn!(whole, cut_bytes, "!!! Warning: {what} {}!!!", path.display());
        files.cut(whole)?;
        tracing::warn!("AOF loaded anyway because {directive} is enabled");
        files.parts()?;
    }
    let (keys, took_ms) =
        (server.saves.loading.keys.load(Ordering::Relaxed), began.elapsed().as_millis() as u64);
    tracing::info!(keys, took_ms, files = parts.len(), "DB loaded from append only file");
    Ok(())
}

/// Loads the log again, in the place of what is there, under all locks. What was changed is in its files first.
///
/// # Errors
/// What is wrong with it, and where; part of it is in memory then, unless there is no log.
pub fn load_again(
    call: &Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<()> {
    let server = call.server;
    append::finish(server)?;
    let (mut files, found) = append::find(server)?;
    if found == Found::Nothing {
        return Err(io::Error::other("there is no log"));
    }
    let parts = files.parts()?;
    take_libraries(Vec::new()).map_err(io::Error::other)?;
    changes::tell(server, call.worker, &[b"FUNCTION", b"FLUSH"]);
    keyspace.flush(None, 0);
    keyspace.set_ignores_expiry(true);
    let loaded = parts.iter().try_for_each(|(path, bytes)| {
        let (file, _) = files.disk().open(path)?;
        // What is told of this comes behind it.
        let source = BufReader::with_capacity(BUFFER_BYTES, file.take(*bytes));
        let mut replayer = Replayer::new(call.commands, server, call.worker, Some(&mut *keyspace));
        match load_file(&mut replayer, source, path, take_libraries)? {
            (whole, _) if whole == *bytes => Ok(()),
            (whole, _) => Err(io::Error::other(format!("{} is damaged at byte {whole}", path.display()))),
        }
    });
    keyspace.set_ignores_expiry(false);
    if loaded.is_ok() {
        keyspace.changes_mut().dirty = 0;
        server.saves.loaded(server.total(|stats| stats.dirty.get()));
    }
    loaded
}

/// What a file ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A command, or the beginning of one.
    Truncated,
    /// At this byte something that is none.
    Corrupt { at: u64 },
}

/// Loads one file; the bytes of it that are whole commands and transactions, and what is behind them.
fn load_file(
    replayer: &mut Replayer<'_, '_, '_, '_>,
    mut source: impl BufRead + Send,
    path: &Path,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<(u64, End)> {
    let mut offset = 0;
    if begins_as_rdb(source.fill_buf()?) {
        offset = match &mut replayer.held {
            None => load::load_base(replayer.server, &mut source, take_libraries),
            Some(keyspace) => load::load_base_into(replayer.server, keyspace, &mut source, take_libraries),
        }
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    }
    let mut reader = CommandReader::new(source, offset);
    let mut whole = offset;
    loop {
        let at = reader.offset();
        let end = match reader.next() {
            Ok(true) => None,
            Ok(false) | Err(Bad::Truncated) => Some(End::Truncated),
            Err(Bad::Format) => Some(End::Corrupt { at }),
            Err(Bad::Unreadable(error)) => return Err(error),
        };
        if let Some(end) = end {
            return Ok((if replayer.is_in_transaction() { whole } else { at }, end));
        }
        if replayer.server.stopping.load(Ordering::Relaxed) {
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
struct Replayer<'s, 'k, 'v, 'c> {
    commands: &'static CommandTable,
    server: &'s Server,
    worker: &'s WorkerShared,
    client: Client,
    output: Output,
    clock: Ticks,
    /// All of the keyspace, if its locks are held.
    held: Option<&'k mut KeyspaceMut<'v, 'c>>,
}

impl<'s, 'k, 'v, 'c> Replayer<'s, 'k, 'v, 'c> {
    fn new(
        commands: &'static CommandTable,
        server: &'s Server,
        worker: &'s WorkerShared,
        held: Option<&'k mut KeyspaceMut<'v, 'c>>,
    ) -> Replayer<'s, 'k, 'v, 'c> {
        let (id, user) = (server.clients.next_id(), server.users.own());
        let shared = ClientShared::new(id, 0, String::new(), String::new(), -1, Arc::clone(user));
        let mut client = Client::of(shared.into(), Arc::clone(user), true);
        client.flags |= ClientFlags::REPLAYS;
        Replayer { commands, server, worker, client, output: Output::default(), clock: Ticks::now(), held }
    }

    fn is_in_transaction(&self) -> bool {
        self.client.in_multi()
    }

    /// Runs a command. One that answers an error changes nothing, as it did not where it was written.
    fn run(&mut self, args: Args<'_>) -> Result<(), String> {
        let name = || String::from_utf8_lossy(args.get(0)).into_owned();
        let command =
            lookup::lookup(self.commands, &args).ok_or_else(|| format!("Unknown command '{}'", name()))?;
        if command.is(Flags::ADMIN) && !command.is(Flags::WRITE) {
            // It would act on the server, at each start again: nobody writes one.
            return Err(format!("Command '{}', which changes no data,", name()));
        }
        if self.held.is_some() {
            self.run_within(command, args);
        } else if !self.run_alone(command, args) {
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

    /// Under the locks that it takes; false if it waits.
    fn run_alone(&mut self, command: &'static Command, args: Args<'_>) -> bool {
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
        matches!(outcome, Outcome::Done)
    }

    /// Under the locks that are held: of a transaction, which nobody sees in the middle, only its commands are run.
    fn run_within(&mut self, command: &'static Command, args: Args<'_>) {
        let Some(keyspace) = &mut self.held else { return };
        let (server, worker, now_ms) = (self.server, self.worker, clock::unix_ms());
        let mut reply = Reply::new(&mut self.output, self.client.protocol);
        if command.is(Flags::RUNS_QUEUE) {
            self.client.flags -= ClientFlags::MULTI;
            return reply.ok();
        }
        let origin = Origin::Transaction;
        let mut call =
            Call::new(self.commands, server, worker, &mut self.client, command, args, reply, now_ms, origin);
        if let Err(error) = locks::handle_within(&mut call, keyspace) {
            call.reply.error(error.reply());
        }
    }
}
