//! Followers served: the thread that makes the stream out of the order of effects, and the data that they are sent first.
//!
//! The data is that of a moment (`swytch_store::cut`). It goes to the followers while it is written, its end marked, or through a
//! file where its length has to be told before; a thread sends that while others go on to use the disk. The stream goes on at the
//! moment's place, and is kept from there.

use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use swytch_rdb::WriteOptions;
use swytch_resp::output::CHUNK_BYTES;
use swytch_store::{Keyspace, LockScope};

use super::background;
use super::save::{self, Use, Written};
use super::source::Source;
use crate::clients::introduction::DataPart;
use crate::config::ClientClass;
use crate::effects::Place;
use crate::effects::order::Consumer;
use crate::replication::{Follower, Phase, Reader, Transfer, new_name};
use crate::server::background::Moment;
use crate::server::{Conditions, Mail, Server};
use crate::system::clock::{self, MonotonicMs};
use crate::system::{process, scheduling};

/// Between two rounds of the stream's thread while there is something to read.
const NAP: Duration = Duration::from_micros(500);
/// Longest time between two rounds.
const PATIENCE: Duration = Duration::from_millis(100);
/// Between two looks at what time asks for, in milliseconds.
const TICK_MS: u64 = 100;
/// Bytes of a file that are sent between two pauses. A worker hands them to the socket in one go, and its clients wait meanwhile.
const SHARE_BYTES: u64 = CHUNK_BYTES as u64;
/// Whoever sends a file pauses for so many times the processor's time that this has taken: else the worker would always have
/// more for the socket, which takes it as fast as it is copied where the network is faster than that.
const PAUSE_FACTOR: u32 = 4;
/// Between two signs of life to those who have nothing to read yet, in milliseconds.
const SIGN_MS: u64 = 1000;

/// Starts the thread that makes the stream. It ends with the server.
///
/// # Errors
/// When the system gives no thread.
pub fn start_thread(server: &Arc<Server>) -> io::Result<JoinHandle<()>> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("swytch-stream".into()).spawn(move || run(&server))
}

fn run(server: &Server) {
    let now = MonotonicMs::now();
    let mut due = Due { tick: now, sign: now, pinged: now };
    while !server.stopping.load(Ordering::Acquire) {
        let advanced = advance(server);
        if let Some((true, _)) = advanced {
            let_go_of_slow(server);
        }
        due.look(server);
        match advanced {
            Some((true, _)) => std::thread::sleep(NAP),
            Some((false, consumer)) => server.effects.wait(consumer, PATIENCE),
            None => server.effects.wait_for_ring(PATIENCE),
        }
    }
}

/// Reads what has come into the stream: whether there was anything, and as what it is read, if it is.
fn advance(server: &Server) -> Option<(bool, Consumer)> {
    let (has_read, consumer) = {
        let mut reader = server.replication.reader.lock();
        let reader = reader.as_mut()?;
        let has_read = reader.advance(&server.replication, kept_bytes(server), |one| wake(server, one));
        (has_read, reader.consumer())
    };
    if has_read {
        // Some may have waited for less than was acknowledged.
        server.wake_holders();
    }
    Some((has_read, consumer))
}

/// Reads into the stream what was published before: who has seen a reply and then asks where the stream ends is told of a place
/// behind it, as by Redis.
pub fn catch_up(server: &Server) {
    if server.replication.is_kept() {
        advance(server);
    }
}

/// The name of the history and where it ends, if it is kept. The caller holds all shards' locks.
pub(super) fn history(server: &Server) -> Option<(String, u64)> {
    catch_up(server);
    let facts = server.replication.facts();
    facts.kept.map(|_| (facts.name, facts.end))
}

/// The replication offset now. The caller holds all shards' locks.
pub(super) fn offset(server: &Server) -> u64 {
    catch_up(server);
    server.replication.offset()
}

/// The data that is read at the start is that of a history with this name, which ended here: it goes on.
pub(super) fn resume(server: &Server, name: String, end: u64) {
    let _keyspace = Keyspace::new(server.shards.lock(LockScope::All), clock::unix_ms());
    let mut reader = server.replication.reader.lock();
    server.replication.resume(name, end, server.effects.next());
    *reader = Some(Reader::new(&server.effects));
    server.set_conditions(Conditions::RECORDING, true);
    tracing::info!("followers that have the stream up to {end} may go on from there");
}

/// Whoever goes on is told that a key of that history is over, which is not read.
pub(super) fn tell_gone(server: &Server, db: u32, key: &[u8]) {
    if let Some(reader) = &mut *server.replication.reader.lock() {
        reader.tell_gone(&server.replication, kept_bytes(server), db, key);
    }
}

/// Tells followers something that is no effect, behind what was published before.
pub fn say(server: &Server, words: &[&[u8]]) {
    catch_up(server);
    tell(server, words);
}

/// Tells followers something that is no effect.
fn tell(server: &Server, words: &[&[u8]]) {
    if let Some(reader) = &mut *server.replication.reader.lock() {
        reader.tell(&server.replication, kept_bytes(server), words, |one| wake(server, one));
    }
}

fn kept_bytes(server: &Server) -> u64 {
    server.config.repl_backlog_size()
}

fn wake(server: &Server, follower: &Follower) {
    server.workers[follower.client.worker].mailbox.send(Mail::Feed(follower.client.id));
}

/// When something is to be done next.
struct Due {
    tick: MonotonicMs,
    sign: MonotonicMs,
    /// When followers were told PING.
    pinged: MonotonicMs,
}

impl Due {
    fn look(&mut self, server: &Server) {
        let now = MonotonicMs::now();
        if now < self.tick {
            return;
        }
        self.tick = now.after(TICK_MS);
        let followers = server.replication.followers();
        if now >= self.sign {
            self.sign = now.after(SIGN_MS);
            for follower in followers.iter().filter(|one| one.phase() != Some(Phase::Online)) {
                follower.let_wait();
                wake(server, follower);
            }
        }
        if now.since(self.pinged) >= server.config.repl_ping_replica_period_seconds() * 1000 {
            self.pinged = now;
            if !followers.is_empty() {
                tell(server, &[b"PING"]);
            }
        }
        let silence_ms = server.config.repl_timeout_seconds() * 1000;
        for follower in followers {
            if follower.phase() == Some(Phase::Online)
                && !follower.is_plain
                && follower.silent_ms(now) > silence_ms
            {
                let_go(server, &follower, "it was not heard of for repl-timeout");
            }
        }
        let_go_of_slow(server);
        // Nothing, but what nobody needs any more is forgotten.
        server.replication.append(&[], kept_bytes(server), |_| ());
        end_alone(server, now);
    }
}

/// A follower is let go: its connection is closed, and nothing is kept for it.
fn let_go(server: &Server, follower: &Arc<Follower>, reason: &str) {
    tracing::warn!(client = follower.client.id, "closing the connection of a follower: {reason}");
    server.replication.leave(follower);
    server.workers[follower.client.worker].mailbox.send(Mail::Close(follower.client.id));
}

/// Those are let go for whom more of the stream is kept than `client-output-buffer-limit` allows.
fn let_go_of_slow(server: &Server) {
    let limit = server.config.output_buffer_limit(ClientClass::Replica);
    // What is kept in any case is no follower's fault.
    let hard_bytes = limit.hard_bytes.max(kept_bytes(server));
    for (follower, behind) in server.replication.behind() {
        let over_hard = limit.hard_bytes > 0 && behind > hard_bytes;
        let over_soft = limit.soft_bytes > 0 && behind > limit.soft_bytes;
        if over_hard || follower.is_over_for(over_soft) > Some(limit.soft_seconds * 1000) {
            let_go(server, &follower, "it is too far behind (client-output-buffer-limit)");
        }
    }
}

/// When nobody has followed for long enough nothing is kept for who may come back, and nothing is read.
fn end_alone(server: &Server, now: MonotonicMs) {
    let ttl_ms = server.config.repl_backlog_ttl_seconds() * 1000;
    let is_over = server.replication.alone_since().is_some_and(|since| now.since(since) > ttl_ms);
    if ttl_ms == 0 || !is_over {
        return;
    }
    // Where a script has some of the data it is tried again.
    let Some(_keyspace) = server.whole_in_time() else { return };
    let mut reader = server.replication.reader.lock();
    if server.replication.keep_no_more() {
        *reader = None;
        server.set_conditions(Conditions::RECORDING, server.effects.is_read());
        tracing::info!("nobody has followed for repl-backlog-ttl: the stream is not kept any more");
    }
}

/// Whether somebody is to be sent the data now.
pub(super) fn is_due(server: &Server) -> bool {
    let Some(waiting) = server.replication.waiting() else { return false };
    let config = &server.config;
    // Others are waited for where they cannot come in later. Whoever is sent a file waits for nobody, as with Redis.
    let delay_ms = match config.repl_diskless_sync() && waiting.all_find_marks {
        true => config.repl_diskless_sync_delay_seconds() * 1000,
        false => 0,
    };
    let enough = config.repl_diskless_sync_max_replicas();
    (enough > 0 && waiting.count >= enough) || MonotonicMs::now().since(waiting.since) >= delay_ms
}

/// Those who wait are to be sent the data as it is now, which is the order's next place. The caller holds all locks.
pub(super) fn mark(server: &Server) -> (Place, Option<Arc<Transfer>>) {
    if server.replication.keep() {
        *server.replication.reader.lock() = Some(Reader::new(&server.effects));
        server.set_conditions(Conditions::RECORDING, true);
    }
    match server.replication.mark(&server.effects, server.config.repl_diskless_sync()) {
        Some((place, transfer)) => (place, Some(transfer)),
        None => (server.effects.next(), None),
    }
}

/// Sends followers a moment of the data, or has it sent from a file that has all of it.
///
/// # Errors
/// If it cannot be read, or nobody is left. Those who are have to begin again.
pub(super) fn write_moment(server: &Arc<Server>, moment: &mut Moment) -> io::Result<()> {
    let (began, transfer) = (Instant::now(), moment.transfer.clone());
    let transfer = transfer.ok_or_else(|| io::Error::other("nobody waits for the data"))?;
    let sent = match send(server, moment, &transfer) {
        Ok(Some(file)) => match start_sending(server, &transfer, file, began) {
            Ok(()) => return Ok(()),
            failed => failed,
        },
        sent => sent.map(drop),
    };
    ended(server, &transfer, &sent, began);
    sent
}

/// Data in a file, and how many bytes it has.
type Whole = (Box<dyn Read + Send>, u64);

/// Sends followers a moment, or writes it to a file.
fn send(server: &Server, moment: &mut Moment, transfer: &Transfer) -> io::Result<Option<Whole>> {
    let (config, form) = (&server.config, transfer.form);
    transfer.stream_from(|| server.stopping.load(Ordering::Acquire))?;
    let needed = form.version.min(config.rdb_version()).max(server.saves.version_needed());
    let Some(version) = form.version_for(needed) else {
        let text = format!("the data needs RDB version {needed}, which the follower does not read");
        return Err(io::Error::other(text));
    };
    let options = WriteOptions { version, compress: config.rdbcompression() && form.may_compress };
    let mut source = Source::Moment(moment);
    if form.is_marked {
        let mut target = BufWriter::with_capacity(CHUNK_BYTES, ToFollowers { server, transfer });
        let mark = new_name();
        write!(target, "$EOF:{mark}\r\n")?;
        write_data(server, &mut source, &mut target, options, form.part)?;
        target.write_all(mark.as_bytes())?;
        return target.flush().map(|()| None);
    }
    let (disk, path) = (&*server.disk, background::temporary_path(server, "sync"));
    let written = disk.create(&path).and_then(|file| {
        let mut file = BufWriter::with_capacity(CHUNK_BYTES, file);
        write_data(server, &mut source, &mut file, options, form.part)?;
        file.flush()?;
        disk.open(&path)
    });
    // It is only a way: who has it open reads it on.
    let _ = disk.remove(&path);
    written.map(Some)
}

/// Has a thread send followers what a file has: as long as they take for it, nobody else waits.
fn start_sending(
    server: &Arc<Server>,
    transfer: &Arc<Transfer>,
    file: Whole,
    began: Instant,
) -> io::Result<()> {
    let (server, transfer) = (Arc::clone(server), Arc::clone(transfer));
    let run = move || {
        scheduling::compute_in_background();
        let sent = send_file(&server, &transfer, file);
        ended(&server, &transfer, &sent, began);
    };
    std::thread::Builder::new().name("swytch-send".into()).spawn(run).map(drop)
}

fn send_file(server: &Server, transfer: &Transfer, (file, bytes): Whole) -> io::Result<()> {
    let mut target = BufWriter::with_capacity(CHUNK_BYTES, ToFollowers { server, transfer });
    write!(target, "${bytes}\r\n")?;
    copy_in_shares(file, bytes, &mut target, process::own_cpu_time, std::thread::sleep)?;
    target.flush()
}

/// Copies a file share by share, `used` saying how long the processor has worked for this thread, and `pause` letting others work.
fn copy_in_shares(
    mut file: impl Read,
    bytes: u64,
    target: &mut impl Write,
    used: impl Fn() -> Duration,
    mut pause: impl FnMut(Duration),
) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let before = used();
        let copied = io::copy(&mut (&mut file).take(left.min(SHARE_BYTES)), target)?;
        if copied == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= copied;
        pause((used() - before) * PAUSE_FACTOR);
    }
    Ok(())
}

fn write_data(
    server: &Server,
    source: &mut Source<'_>,
    target: impl Write,
    options: WriteOptions,
    part: DataPart,
) -> io::Result<()> {
    match save::write(server, source, target, options, Use::Followers(part))? {
        Written::Whole(_) => Ok(()),
        Written::NeedsVersion(version) => {
            let text = format!("a value needs RDB version {version}: followers have to begin again");
            Err(io::Error::other(text))
        }
    }
}

/// What is written goes to followers, when they can take it.
struct ToFollowers<'s> {
    server: &'s Server,
    transfer: &'s Transfer,
}

impl Write for ToFollowers<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let server = self.server;
        let patience = Duration::from_secs(server.config.repl_timeout_seconds());
        let is_over = || server.stopping.load(Ordering::Acquire);
        let leave = |follower: &Arc<Follower>| {
            let_go(server, follower, "it has taken nothing of the data for repl-timeout")
        };
        self.transfer.write(bytes, patience, is_over, |one| wake(server, one), leave)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Followers were sent the data, or were not.
fn ended(server: &Server, transfer: &Transfer, result: &io::Result<()>, began: Instant) {
    transfer.end(result.is_ok(), |one| wake(server, one));
    match result {
        Ok(()) => {
            tracing::info!(took_ms = began.elapsed().as_millis() as u64, "followers were sent the data")
        }
        Err(error) => tracing::warn!(%error, "followers could not be sent the data"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The worker that a follower's connection is of may not always have more for it: a share goes, and then its clients have four
    /// times as long as that took.
    #[test]
    fn a_file_goes_in_shares_with_pauses_in_proportion() {
        const BYTES: u64 = 10 * SHARE_BYTES + 1;
        // A nanosecond for each byte that has gone.
        struct Costly<'c>(&'c Cell<u64>);
        impl Write for Costly<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.set(self.0.get() + bytes.len() as u64);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (gone, mut until_pause, mut pauses) = (Cell::new(0), 0, 0);
        let used = || Duration::from_nanos(gone.get());
        let pause = |time: Duration| {
            let share = gone.get() - until_pause;
            assert!(share <= SHARE_BYTES, "{share} bytes without a pause");
            assert_eq!(time, Duration::from_nanos(share) * 4);
            (until_pause, pauses) = (gone.get(), pauses + 1);
        };
        copy_in_shares(io::repeat(7), BYTES, &mut Costly(&gone), used, pause).expect("nothing fails");
        assert_eq!((gone.get(), until_pause, pauses), (BYTES, BYTES, 11));
        let short = copy_in_shares(io::empty(), 1, &mut Costly(&gone), used, |_| ());
        assert_eq!(short.map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
    }
}
