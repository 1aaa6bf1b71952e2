//! A file's data into memory: at the start, and for DEBUG RELOAD.
//!
//! At the start the file is read on a thread of its own while the workers run: clients are told to wait, and INFO says
//! how far it is. A damaged file ends the server before anybody has seen a part of it, and is left as it is.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use swytch_rdb::{Fault, FaultKind, KeyFacts, Kind, Part, Shape, Sink, Unread, Writer, read_file};
use swytch_store::{EncodingLimits, Event, Key, Keyspace, KeyspaceMut, LockScope, OwnedValue};

use super::value::{self, Reader};
use super::{append, replay, replicate, save};
use crate::aof::{Files, Found};
use crate::command::CommandTable;
use crate::server::{Conditions, Server};
use crate::system::clock;

/// Bytes read from the file at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// Keys whose place is sent for before it is needed.
const AHEAD: usize = 6;
/// Between two lines of the log about how far the file is.
const PROGRESS: Duration = Duration::from_secs(5);

/// A key with its value, as a file has them.
#[derive(Debug)]
pub struct Record<'a> {
    /// Its database, which there is.
    pub db: u32,
    /// Its name.
    pub key: &'a [u8],
    /// Its value.
    pub value: OwnedValue,
    /// Its expiry, which is to come, and when it was used.
    pub facts: KeyFacts,
}

/// Who takes the sources of the libraries of functions that a file has.
pub type TakeLibraries<'p> = dyn FnMut(Vec<Vec<u8>>) -> Result<(), String> + 'p;

/// What is loaded at the start.
#[derive(Debug)]
pub enum StartFile {
    /// A snapshot, and the log that begins with its data where there is to be one and is none yet.
    Snapshot { path: PathBuf, source: Box<dyn Source>, log: Option<Box<Files>> },
    /// The append-only log.
    Log(Box<Files>),
}

/// A file that is read.
pub trait Source: Read + Send {}

impl<R: Read + Send> Source for R {}

impl std::fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl StartFile {
    /// Opens the log or, where there is none, the snapshot, if there is one, and lets clients know that they have to wait.
    ///
    /// # Errors
    /// If it is there and cannot be opened.
    pub fn open(server: &Server) -> io::Result<Option<StartFile>> {
        let file = StartFile::find(server)?;
        server.set_conditions(Conditions::LOADING, file.is_some());
        Ok(file)
    }

    fn find(server: &Server) -> io::Result<Option<StartFile>> {
        let mut log = None;
        if server.config.appendonly() {
            let (mut files, found) = append::find(server)?;
            if found != Found::Nothing {
                begin(server, files.parts()?.iter().map(|(_, bytes)| bytes).sum());
                return Ok(Some(StartFile::Log(Box::new(files))));
            }
            log = Some(Box::new(files));
        }
        if let Some(path) = save::path(server) {
            match server.disk.open(&path) {
                Ok((file, bytes)) => {
                    begin(server, bytes);
                    return Ok(Some(StartFile::Snapshot { path, source: Box::new(file), log }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(named(&path, &error)),
            }
        }
        log.map(|files| begin_log(server, *files)).transpose()?;
        Ok(None)
    }

    /// Loads it into the keyspace, which is empty; then clients need not wait any longer.
    ///
    /// # Errors
    /// What is wrong with it, and where. Part of it is in memory.
    pub fn load(
        self,
        commands: &'static CommandTable,
        server: &Server,
        take_libraries: &mut TakeLibraries<'_>,
    ) -> io::Result<()> {
        match self {
            StartFile::Snapshot { path, source, log } => {
                load_snapshot(server, &path, source, take_libraries)?;
                if let Some(files) = log {
                    tracing::warn!(
                        "appendonly is set and there was no log yet: it begins with the data of the snapshot"
                    );
                    begin_log(server, *files)?;
                }
            }
            StartFile::Log(mut files) => {
                replay::load(commands, server, &mut files, take_libraries)?;
                begin_log(server, *files)?;
            }
        }
        server.saves.loaded(server.total(|stats| stats.dirty.get()));
        server.set_conditions(Conditions::LOADING, false);
        Ok(())
    }
}

/// From now on changes are written behind what the log has, which is what is in memory.
fn begin_log(server: &Server, files: Files) -> io::Result<()> {
    let keyspace = Keyspace::new(server.shards.lock(LockScope::All), clock::unix_ms());
    append::go_on(server, &keyspace, files)
}

fn load_snapshot(
    server: &Server,
    path: &Path,
    source: Box<dyn Source>,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<()> {
    let time = Instant::now();
    let source = BufReader::with_capacity(BUFFER_BYTES, Counted::new(source, server));
    load_into(server, source, Overdue::Told, take_libraries).map_err(|error| named(path, &error))?;
    let (progress, took_ms) = (&server.saves.loading, time.elapsed().as_millis() as u64);
    let keys = progress.keys.load(Ordering::Relaxed);
    tracing::info!(keys, took_ms, "DB loaded from disk: {}", path.display());
    let empty = progress.empty.load(Ordering::Relaxed);
    if empty > 0 {
        tracing::warn!("empty keys skipped: {empty}");
    }
    Ok(())
}

/// The base of a log into the keyspace, which is empty; the bytes that it has. What follows it is left in `source`.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn load_base(
    server: &Server,
    source: &mut impl BufRead,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<u64> {
    load_into(server, source, Overdue::Kept, take_libraries)
}

/// What becomes of keys whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    /// They are not loaded.
    LeftOut,
    /// They are not loaded, and followers that go on with the history of the file are told.
    Told,
    /// What follows says when they went, or that they did not.
    Kept,
}

fn load_into(
    server: &Server,
    source: impl BufRead,
    overdue: Overdue,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<u64> {
    let (libraries, bytes) = read_on_all_cores(server, source, overdue)?;
    take(libraries, take_libraries).map(|()| bytes)
}

/// Something is about to be read that has this many bytes.
fn begin(server: &Server, bytes: u64) {
    let progress = &server.saves.loading;
    progress.bytes_total.store(bytes, Ordering::Relaxed);
    progress.began_s.store(clock::unix_ms() / 1000, Ordering::Relaxed);
    for counter in [&progress.bytes, &progress.keys, &progress.expired, &progress.empty] {
        counter.store(0, Ordering::Relaxed);
    }
}

fn take(libraries: Vec<Vec<u8>>, take_libraries: &mut TakeLibraries<'_>) -> io::Result<()> {
    if libraries.is_empty() { Ok(()) } else { take_libraries(libraries).map_err(io::Error::other) }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot load {}: {error}", path.display()))
}

fn place(keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>, record: Record<'_>) {
    let facts = record.facts;
    keyspace.replace(key, record.value, facts.expires_ms, Event::SILENT);
    keyspace.set_usage(key, facts.idle_s, facts.frequency);
}

/// What is to become of the data that is there when a file is loaded beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// It stays.
    pub keep: bool,
    /// Where it stays and a key is in the file too, the file's takes its place.
    pub merge: bool,
}

/// Loads the file into the keyspace, under all locks. The file is read twice: nothing is changed before all of it is
/// known to be sound.
///
/// # Errors
/// What is wrong with it, and where. Nothing has changed.
pub fn reload(
    server: &Server,
    keyspace: &mut KeyspaceMut<'_, '_>,
    beside: Beside,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<()> {
    let path = save::path(server).ok_or_else(|| io::Error::other("dbfilename is empty"))?;
    let open = || -> io::Result<_> {
        let (file, bytes) = server.disk.open(&path).map_err(|error| named(&path, &error))?;
        begin(server, bytes);
        Ok(BufReader::with_capacity(BUFFER_BYTES, Counted::new(file, server)))
    };
    let mut check = |record: Record<'_>| {
        let is_there = || keyspace.is_live(&keyspace.key(record.db, record.key));
        if beside.keep && !beside.merge && is_there() {
            return Err("a key is in memory already".to_owned());
        }
        Ok(())
    };
    let left_out = Overdue::LeftOut;
    let (libraries, _) = read(server, open()?, left_out, &mut check).map_err(|error| named(&path, &error))?;
    take_libraries(libraries).map_err(|error| named(&path, &io::Error::other(error)))?;
    if !beside.keep {
        keyspace.flush(None, 0);
    }
    let mut put = put_into(keyspace);
    read(server, open()?, left_out, &mut put).map(drop).map_err(|error| named(&path, &error))
}

/// [`load_base`] under locks that are held.
pub(super) fn load_base_into(
    server: &Server,
    keyspace: &mut KeyspaceMut<'_, '_>,
    source: &mut impl BufRead,
    take_libraries: &mut TakeLibraries<'_>,
) -> io::Result<u64> {
    let (libraries, bytes) = read(server, source, Overdue::Kept, &mut put_into(keyspace))?;
    take(libraries, take_libraries).map(|()| bytes)
}

fn put_into(keyspace: &mut KeyspaceMut<'_, '_>) -> impl FnMut(Record<'_>) -> Result<(), String> {
    |record| {
        let key = keyspace.key(record.db, record.key);
        place(keyspace, &key, record);
        Ok(())
    }
}

/// Reads a file and hands out its records; the sources of its libraries, and its bytes.
fn read(
    server: &Server,
    source: impl BufRead,
    overdue: Overdue,
    put: &mut dyn FnMut(Record<'_>) -> Result<(), String>,
) -> io::Result<(Vec<Vec<u8>>, u64)> {
    let limits = server.shards.encoding_limits();
    let mut take = |unmade: Unmade<'_>| match make(server, limits, overdue, unmade)? {
        Some(record) => put(record).map_err(|why| refused(unmade.value, why)),
        None => Ok(()),
    };
    split(server, source, overdue, &mut take).map_err(io::Error::other)
}

/// Reads a file into the keyspace, with a thread that finds where values begin and end, and others that make them; the
/// sources of its libraries, and its bytes.
fn read_on_all_cores(
    server: &Server,
    source: impl BufRead,
    overdue: Overdue,
) -> io::Result<(Vec<Vec<u8>>, u64)> {
    let threads = server.workers.len();
    let (sender, receiver) = mpsc::sync_channel::<Batch>(threads);
    let (receiver, faults) = (Mutex::new(receiver), Mutex::new(Vec::new()));
    let failed = AtomicBool::new(false);
    let note = |fault: Fault| {
        faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
        failed.store(true, Ordering::Relaxed);
    };
    let read = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                // Batches are taken in the order of the file: what is taken after a fault lies behind it.
                while let Ok(batch) = next() {
                    if !failed.load(Ordering::Relaxed) {
                        put_all(server, &batch, overdue).unwrap_or_else(note);
                    }
                }
            });
        }
        let mut batch = Batch::default();
        let send = |batch: &mut Batch| {
            let nobody_takes_it = sender.send(std::mem::take(batch)).is_err();
            nobody_takes_it || failed.load(Ordering::Relaxed)
        };
        let mut take = |unmade: Unmade<'_>| {
            batch.add(&unmade);
            if server.stopping.load(Ordering::Relaxed) {
                return Err(refused(unmade.value, "the server stops".into()));
            }
            if batch.is_full() && send(&mut batch) {
                return Err(refused(unmade.value, "the threads that make values have failed".into()));
            }
            Ok(())
        };
        let read = split(server, source, overdue, &mut take);
        send(&mut batch);
        drop(sender);
        read
    });
    let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (content, fault) = read.map_or_else(|fault| (None, Some(fault)), |content| (Some(content), None));
    let first = faults.into_iter().chain(fault).min_by_key(|fault| fault.offset);
    first.map_or(Ok(content.unwrap_or_default()), |fault| Err(io::Error::other(fault)))
}

/// Puts the keys of a batch into the keyspace, those of a shard under one lock.
fn put_all(server: &Server, batch: &Batch, overdue: Overdue) -> Result<(), Fault> {
    let (shards, limits) = (&server.shards, server.shards.encoding_limits());
    let mut made = Vec::with_capacity(batch.items.len());
    let mut order = Vec::with_capacity(batch.items.len());
    batch.each(|unmade| {
        if let Some(record) = make(server, limits, overdue, unmade)? {
            let key = shards.key(record.db, record.key);
            order.push((shards.shard_of(&key), made.len()));
            made.push(Some((key, record, unmade.value)));
        }
        Ok(())
    })?;
    order.sort_unstable();
    for of_one in order.chunk_by(|(shard, _), (next, _)| shard == next) {
        let keyspace = Keyspace::new(shards.lock_one(of_one[0].0), clock::unix_ms()).ignoring_expiry(true);
        let mut keyspace = KeyspaceMut::new(keyspace, None);
        let ended = of_one.iter().enumerate().try_for_each(|(number, &(_, at))| {
            let ahead = of_one.get(number + AHEAD).and_then(|(_, ahead)| made[*ahead].as_ref());
            ahead.iter().for_each(|(key, ..)| keyspace.prefetch(key));
            let Some((key, record, value)) = made[at].take() else { return Ok(()) };
            if keyspace.stored(&key).is_some() {
                return Err(refused(value, "a key is in the file twice".to_owned()));
            }
            place(&mut keyspace, &key, record);
            Ok(())
        });
        let (keyspace, mut changes) = keyspace.finish();
        drop(keyspace);
        server.reclaimer.retire(changes.take_retired());
        ended?;
    }
    Ok(())
}

fn refused(value: Unread<'_>, why: String) -> Fault {
    Fault { offset: value.offset, kind: FaultKind::Refused(why) }
}

/// A key whose value is not looked into yet.
#[derive(Clone, Copy, Debug)]
struct Unmade<'a> {
    db: u32,
    key: &'a [u8],
    facts: KeyFacts,
    value: Unread<'a>,
}

/// Some of them.
#[derive(Debug, Default)]
struct Batch {
    /// Each key, and behind it its value.
    bytes: Vec<u8>,
    items: Vec<Item>,
}

/// What else is to be known of a key in a batch.
#[derive(Debug)]
struct Item {
    db: u32,
    key_bytes: usize,
    facts: KeyFacts,
    kind: Kind,
    shape: Shape,
    offset: u64,
    value_bytes: usize,
}

impl Batch {
    /// From here on it is worth handing it on.
    const FULL_BYTES: usize = 256 << 10;
    const FULL_ITEMS: usize = 4096;

    fn is_full(&self) -> bool {
        self.bytes.len() >= Batch::FULL_BYTES || self.items.len() >= Batch::FULL_ITEMS
    }

    fn add(&mut self, unmade: &Unmade<'_>) {
        let Unmade { db, key, facts, value } = *unmade;
        let Unread { kind, shape, offset, bytes } = value;
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(bytes);
        let (key_bytes, value_bytes) = (key.len(), bytes.len());
        self.items.push(Item { db, key_bytes, facts, kind, shape, offset, value_bytes });
    }

    fn each<'a>(&'a self, mut act: impl FnMut(Unmade<'a>) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut rest = &self.bytes[..];
        self.items.iter().try_for_each(|item| {
            let (key, behind) = rest.split_at(item.key_bytes);
            let (bytes, behind) = behind.split_at(item.value_bytes);
            rest = behind;
            let &Item { db, facts, kind, shape, offset, .. } = item;
            act(Unmade { db, key, facts, value: Unread { kind, shape, offset, bytes } })
        })
    }
}

/// Makes a key's value; nothing if it is not to be loaded.
fn make<'a>(
    server: &Server,
    limits: EncodingLimits,
    overdue: Overdue,
    unmade: Unmade<'a>,
) -> Result<Option<Record<'a>>, Fault> {
    let Unmade { db, key, facts, value } = unmade;
    let refused = |why| refused(value, why);
    let mut reader = Reader::new(value.kind, value.shape, limits).map_err(refused)?;
    value.parts(&mut |part| reader.part(part))?;
    let progress = &server.saves.loading;
    Ok(match reader.finish().map_err(refused)? {
        value::Read::Empty => {
            tracing::warn!("skipping empty key: {}", key.escape_ascii());
            progress.empty.fetch_add(1, Ordering::Relaxed);
            None
        }
        value::Read::Value(_)
            if overdue != Overdue::Kept && facts.expires_ms.is_some_and(|at_ms| at_ms < clock::unix_ms()) =>
        {
            progress.expired.fetch_add(1, Ordering::Relaxed);
            if overdue == Overdue::Told {
                replicate::tell_gone(server, db, key);
            }
            None
        }
        value::Read::Value(value) => {
            progress.keys.fetch_add(1, Ordering::Relaxed);
            Some(Record { db, key, value, facts })
        }
    })
}

/// Reads a file and hands out its keys with their values as they stand there; the sources of its libraries, and its bytes.
fn split(
    server: &Server,
    source: impl BufRead,
    overdue: Overdue,
    take: &mut dyn FnMut(Unmade<'_>) -> Result<(), Fault>,
) -> Result<(Vec<Vec<u8>>, u64), Fault> {
    let delay = Duration::from_micros(u64::try_from(server.config.key_load_delay()).unwrap_or(0));
    let mut splitter = Splitter {
        server,
        take,
        db: 0,
        key: Vec::new(),
        facts: KeyFacts::default(),
        delay,
        libraries: Vec::new(),
        history: (overdue == Overdue::Told).then(History::default),
    };
    let bytes = read_file(source, &mut splitter)?;
    Ok((splitter.libraries, bytes))
}

/// A file, and how much of it was read.
pub(super) struct Counted<'a, R> {
    file: R,
    server: &'a Server,
    logged: Instant,
}

impl<'a, R> Counted<'a, R> {
    pub(super) fn new(file: R, server: &'a Server) -> Counted<'a, R> {
        Counted { file, server, logged: Instant::now() }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(target)?;
        let progress = &self.server.saves.loading;
        let bytes = progress.bytes.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
        if self.logged.elapsed() >= PROGRESS {
            self.logged = Instant::now();
            let total = progress.bytes_total.load(Ordering::Relaxed).max(1);
            let keys = progress.keys.load(Ordering::Relaxed);
            tracing::info!(keys, "loading the data: {} % of {total} bytes", bytes * 100 / total);
        }
        Ok(read)
    }
}

/// Hands on what a file tells.
struct Splitter<'a> {
    server: &'a Server,
    take: &'a mut dyn FnMut(Unmade<'_>) -> Result<(), Fault>,
    db: u32,
    key: Vec<u8>,
    facts: KeyFacts,
    delay: Duration,
    libraries: Vec<Vec<u8>>,
    /// What the file says of the history of its data, where that may go on.
    history: Option<History>,
}

/// The name of a history and where it ended, as a file tells them one after the other.
#[derive(Debug, Default)]
struct History {
    name: Option<String>,
    end: Option<u64>,
}

impl History {
    fn remark(&mut self, name: &[u8], value: &[u8]) {
        let text = || std::str::from_utf8(value).ok();
        match name {
            b"repl-id" => self.name = text().filter(|text| text.len() == 40).map(str::to_owned),
            b"repl-offset" => self.end = text().and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
}

impl Sink for Splitter<'_> {
    fn head(&mut self, version: u32, writer: Writer) {
        tracing::info!(version, "loading RDB of {writer:?}'s dialect");
    }

    fn remark(&mut self, name: &[u8], value: &[u8]) {
        if matches!(name, b"redis-ver" | b"valkey-ver" | b"swytch-ver") {
            let [name, value] = [name, value].map(String::from_utf8_lossy);
            tracing::info!("loading RDB written with {name} {value}");
        }
        let Some(history) = &mut self.history else { return };
        history.remark(name, value);
        if let (Some(name), Some(end)) = (&history.name, history.end) {
            replicate::resume(self.server, name.clone(), end);
            self.history = None;
        }
    }

    fn database(&mut self, index: u64) -> Result<(), String> {
        let databases = self.server.shards.databases();
        self.db = u32::try_from(index)
            .ok()
            .filter(|db| (*db as usize) < databases)
            .ok_or_else(|| format!("database {index} is none of the {databases} that there are"))?;
        Ok(())
    }

    fn function(&mut self, code: &[u8]) -> Result<(), String> {
        self.libraries.push(code.to_vec());
        Ok(())
    }

    fn begin(&mut self, key: &[u8], facts: KeyFacts, _: Kind, _: Shape) -> Result<(), String> {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.facts = facts;
        Ok(())
    }

    fn wants_parts(&self) -> bool {
        false
    }

    fn unread(&mut self, value: Unread<'_>) -> Result<(), Fault> {
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        (self.take)(Unmade { db: self.db, key: &self.key, facts: self.facts, value })
    }

    fn part(&mut self, _: Part<'_>) -> Result<(), String> {
        Ok(())
    }

    fn end(&mut self, _: u64) -> Result<(), String> {
        Ok(())
    }
}
