//! The data at one moment on its way to followers.
//!
//! Who writes it waits while the slowest of them is behind by more than a window; who takes nothing for too long is left behind,
//! and when nobody is left the writing ends.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use swytch_rdb::{VERSION_VALKEY, version_says};
use swytch_resp::Output;
use swytch_resp::output::CHUNK_BYTES;

use super::chunks::Chunks;
use super::follower::Follower;
use crate::clients::introduction::{DataPart, Introduction};

/// How far the slowest may be behind before who writes waits.
const WINDOW_BYTES: u64 = 4 << 20;
/// Between two looks at whether waiting is of use.
const ROUND: Duration = Duration::from_millis(100);

/// How followers want the data: those of one form share what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The version of RDB, and the newest that it may be.
    pub version: u32,
    /// The newest version of Redis that it may be, if that is known.
    pub version_max: Option<u32>,
    /// It may be the version of Valkey's own.
    pub reads_valkey: bool,
    /// Its end is marked; else its length is told before.
    pub is_marked: bool,
    /// What of the data.
    pub part: DataPart,
    /// Strings are compressed where the configuration says so.
    pub may_compress: bool,
}

impl Form {
    /// What a follower is sent from memory, whose length nobody knows before, or from a file.
    pub(super) fn of(introduction: &Introduction, from_memory: bool) -> Form {
        Form {
            version: introduction.rdb_version(),
            version_max: introduction.rdb_version_max(),
            reads_valkey: introduction.reads_valkey_version(),
            is_marked: introduction.finds_mark && from_memory,
            part: introduction.part,
            may_compress: !introduction.uncompressed,
        }
    }

    /// The version in which data is sent that needs this one, if the follower reads any.
    pub fn version_for(&self, needed: u32) -> Option<u32> {
        match self.version_max {
            Some(max) if needed > max => {
                (self.reads_valkey && version_says(VERSION_VALKEY, needed)).then_some(VERSION_VALKEY)
            }
            _ => Some(needed),
        }
    }
}

/// Data on its way.
#[derive(Debug)]
pub struct Transfer {
    /// Its form.
    pub form: Form,
    state: Mutex<State>,
    /// Somebody has taken something, or left.
    moved: Condvar,
}

#[derive(Debug)]
struct State {
    chunks: Chunks,
    readers: Vec<Reader>,
    /// Where the stream goes on, once that is known.
    stream_from: Option<u64>,
    /// The data itself has begun.
    has_begun: bool,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More comes.
    NotYet,
    /// That was all.
    Whole,
    /// No more comes, and it is not whole.
    Broken,
}

#[derive(Debug)]
struct Reader {
    follower: Arc<Follower>,
    at: u64,
    moved: Instant,
}

/// What a follower finds.
pub(super) enum Found {
    /// Bytes, which have been appended; perhaps more.
    Bytes,
    /// Nothing at present; whether the data has begun.
    Nothing(bool),
    /// The end; the stream goes on at this position.
    End(u64),
    /// No more comes.
    Broken,
}

impl Transfer {
    pub(super) fn new(form: Form, followers: &[Arc<Follower>]) -> Transfer {
        let (at, moved) = (0, Instant::now());
        let reader = |follower: &Arc<Follower>| Reader { follower: Arc::clone(follower), at, moved };
        let readers = followers.iter().map(reader).collect();
        let chunks = Chunks::new(0);
        let state = State { chunks, readers, stream_from: None, has_begun: false, end: End::NotYet };
        Transfer { form, state: Mutex::new(state), moved: Condvar::new() }
    }

    /// The stream goes on at this position, of the history with this name: what a follower is told first.
    pub(super) fn go_on_at(&self, name: &str, position: u64, wake: impl Fn(&Follower)) {
        let mut state = self.state.lock();
        let greeting = format!("+FULLRESYNC {name} {position}\r\n");
        state.chunks.append(greeting.as_bytes(), CHUNK_BYTES);
        for reader in state.readers.iter_mut().filter(|reader| reader.follower.is_plain) {
            reader.at = greeting.len() as u64;
        }
        state.stream_from = Some(position);
        state.wake(wake);
        drop(state);
        self.moved.notify_all();
    }

    /// Waits until it is known where the stream goes on.
    ///
    /// # Errors
    /// If `is_over` says that this is of no use, or nobody is left.
    pub fn stream_from(&self, is_over: impl Fn() -> bool) -> io::Result<u64> {
        let mut state = self.state.lock();
        loop {
            if state.readers.is_empty() || is_over() {
                return Err(left());
            }
            if let Some(from) = state.stream_from {
                return Ok(from);
            }
            self.moved.wait_for(&mut state, ROUND);
        }
    }

    /// Appends bytes, when there is room; clients that are to be woken are told to `wake`. Who takes nothing for `patience` is
    /// handed to `leave`, who has to make it leave.
    ///
    /// # Errors
    /// As [`Transfer::stream_from`].
    pub fn write(
        &self,
        bytes: &[u8],
        patience: Duration,
        is_over: impl Fn() -> bool,
        wake: impl Fn(&Follower),
        leave: impl Fn(&Arc<Follower>),
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.readers.is_empty() || is_over() {
                return Err(left());
            }
            let slowest = state.readers.iter().map(|reader| reader.at).min().unwrap_or(0);
            state.chunks.forget(slowest);
            if state.chunks.end() - slowest <= WINDOW_BYTES {
                break;
            }
            if self.moved.wait_for(&mut state, ROUND).timed_out() {
                let is_late = |reader: &Reader| reader.at == slowest && reader.moved.elapsed() > patience;
                let late: Vec<_> = state
                    .readers
                    .iter()
                    .filter(|reader| is_late(reader))
                    .map(|r| Arc::clone(&r.follower))
                    .collect();
                if !late.is_empty() {
                    // It leaves by the way that everybody does, which takes the lock.
                    drop(state);
                    late.iter().for_each(&leave);
                    state = self.state.lock();
                }
            }
        }
        state.has_begun = true;
        state.chunks.append(bytes, CHUNK_BYTES);
        state.wake(wake);
        Ok(())
    }

    /// That was all, or it has failed.
    pub fn end(&self, is_whole: bool, wake: impl Fn(&Follower)) {
        let mut state = self.state.lock();
        state.end = if is_whole { End::Whole } else { End::Broken };
        state.wake(wake);
    }

    /// Appends what there is for a follower, up to about `bytes_max`.
    pub(super) fn read(&self, follower: &Follower, bytes_max: usize, out: &mut Output) -> Found {
        let mut state = self.state.lock();
        let State { chunks, readers, stream_from, has_begun, end } = &mut *state;
        let reader = readers.iter_mut().find(|reader| std::ptr::eq(&*reader.follower, follower));
        let Some(reader) = reader else { return Found::Broken };
        let next = chunks.read(reader.at, bytes_max, out);
        if next > reader.at {
            (reader.at, reader.moved) = (next, Instant::now());
            drop(state);
            self.moved.notify_all();
            return Found::Bytes;
        }
        match (*end, *stream_from) {
            (End::NotYet, _) => {
                follower.is_hungry.store(true, std::sync::atomic::Ordering::SeqCst);
                Found::Nothing(*has_begun)
            }
            (End::Whole, Some(from)) => Found::End(from),
            (End::Whole | End::Broken, _) => Found::Broken,
        }
    }

    /// A follower reads no more.
    pub(super) fn leave(&self, follower: &Follower) {
        self.state.lock().readers.retain(|reader| !std::ptr::eq(&*reader.follower, follower));
        self.moved.notify_all();
    }

    /// It is in a file, and on its way from there.
    pub(super) fn is_sent_from_file(&self) -> bool {
        !self.form.is_marked && self.state.lock().has_begun
    }

    /// Nobody wants it any more.
    pub fn is_left(&self) -> bool {
        self.state.lock().readers.is_empty()
    }

    /// Bytes of memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.state.lock().chunks.held_bytes()
    }
}

impl State {
    fn wake(&self, wake: impl Fn(&Follower)) {
        let hungry =
            |follower: &Follower| follower.is_hungry.swap(false, std::sync::atomic::Ordering::SeqCst);
        self.readers
            .iter()
            .map(|reader| &reader.follower)
            .filter(|one| hungry(one))
            .for_each(|one| wake(one));
    }
}

fn left() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads the data any more")
}
