//! The thread that writes the log.
//!
//! Who logs puts a line into a queue and goes on: a full disk, or a pipe that nobody reads, delays nobody and takes no
//! more memory than twice [`QUEUE_BYTES_MAX`]. Lines that find no place, or cannot be written, are counted, and the log
//! says how many are missing as soon as it can.
//!
//! A log file that was renamed or removed is opened anew before the next line, as if opened for each, which is what
//! Redis does; SIGHUP asks for it as well.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use super::limit;
use crate::system::allocator;
use crate::system::clock::MonotonicMs;

/// Bytes that wait to be written; as many again are being written.
const QUEUE_BYTES_MAX: usize = 4 << 20;
/// How often the thread looks for something to report when nothing is logged.
const ROUND: Duration = Duration::from_secs(1);
/// Milliseconds between two reports of missing lines: a report that cannot be written must not cause the next one.
const REPORT_MS: u64 = 10_000;

/// The way to the log.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    written: Condvar,
    missing: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    entries: Vec<Entry>,
    bytes: usize,
    /// The file is to be opened anew.
    reopen: bool,
    /// The thread is writing what it has taken out.
    busy: bool,
}

#[derive(Debug)]
enum Entry {
    /// For the log.
    Line(Vec<u8>),
    /// For standard output, wherever the log goes.
    Announcement(Vec<u8>),
}

impl LogWriter {
    /// Starts the thread; `file` is where the log goes instead of standard output.
    ///
    /// # Errors
    /// When the file cannot be opened, or no thread started.
    pub(super) fn start(file: Option<&Path>) -> io::Result<LogWriter> {
        let mut target = match file {
            Some(path) => Target::File(LogFile::open(path)?),
            None => Target::StandardOutput,
        };
        let writer = LogWriter(Arc::default());
        let shared = Arc::clone(&writer.0);
        std::thread::Builder::new().name("swytch-log".into()).spawn(move || shared.run(&mut target))?;
        Ok(writer)
    }

    /// Says something on standard output, behind the lines logged so far.
    pub(super) fn announce(&self, text: Vec<u8>) {
        self.put(Entry::Announcement(text));
    }

    /// Has the file opened anew.
    pub(super) fn reopen(&self) {
        self.0.queue.lock().reopen = true;
        self.0.filled.notify_one();
    }

    /// Waits until everything is written; false when that takes longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut queue = self.0.queue.lock();
        while queue.busy || !queue.entries.is_empty() {
            if self.0.written.wait_until(&mut queue, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    /// Lines that are not in the log, since the start.
    pub(super) fn missing(&self) -> u64 {
        self.0.missing.load(Ordering::Relaxed)
    }

    fn put(&self, entry: Entry) {
        let (Entry::Line(text) | Entry::Announcement(text)) = &entry;
        let bytes = text.len();
        let mut queue = self.0.queue.lock();
        if queue.bytes + bytes > QUEUE_BYTES_MAX {
            self.0.missing.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += bytes;
        queue.entries.push(entry);
        self.0.filled.notify_one();
    }
}

/// One call is one line.
impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(Entry::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a LogWriter;

    fn make_writer(&'a self) -> &'a LogWriter {
        self
    }
}

impl Shared {
    /// Writes until the process ends.
    fn run(&self, target: &mut Target) {
        let mut reported = 0;
        let mut next_report = MonotonicMs::now();
        loop {
            let (entries, reopen) = self.take();
            target.follow(reopen);
            for entry in entries {
                if target.write(&entry).is_err() {
                    self.missing.fetch_add(1, Ordering::Relaxed);
                }
            }
            let missing = self.missing.load(Ordering::Relaxed);
            if missing > reported && MonotonicMs::now() >= next_report {
                tracing::warn!(
                    lines = missing - reported,
                    "lines are missing here: the log could not take them"
                );
                reported = missing;
                next_report = MonotonicMs::now().after(REPORT_MS);
            }
            limit::report();
            allocator::settle();
        }
    }

    /// Waits for entries, an order to open the file anew, or the end of a round.
    fn take(&self) -> (Vec<Entry>, bool) {
        let mut queue = self.queue.lock();
        queue.busy = false;
        self.written.notify_all();
        if queue.entries.is_empty() && !queue.reopen {
            self.filled.wait_for(&mut queue, ROUND);
        }
        queue.busy = true;
        queue.bytes = 0;
        (std::mem::take(&mut queue.entries), std::mem::take(&mut queue.reopen))
    }
}

enum Target {
    StandardOutput,
    File(LogFile),
}

impl Target {
    /// Goes on in another file where the present one is no longer at its path, or when told to.
    fn follow(&mut self, reopen: bool) {
        if let Target::File(file) = self
            && (reopen || file.has_moved())
            && let Ok(new) = LogFile::open(&file.path)
        {
            *file = new;
        }
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        match (entry, self) {
            (Entry::Line(line), Target::File(log)) => log.file.write_all(line),
            (Entry::Line(text) | Entry::Announcement(text), _) => {
                let mut output = io::stdout().lock();
                output.write_all(text)?;
                output.flush()
            }
        }
    }
}

struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
}

impl LogFile {
    fn open(path: &Path) -> io::Result<LogFile> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let metadata = file.metadata()?;
        Ok(LogFile { path: path.to_owned(), file, identity: (metadata.dev(), metadata.ino()) })
    }

    fn has_moved(&self) -> bool {
        std::fs::metadata(&self.path)
            .map_or(true, |metadata| (metadata.dev(), metadata.ino()) != self.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer whose thread is not running: a target that never takes anything.
    fn stuck() -> LogWriter {
        LogWriter(Arc::default())
    }

    #[test]
    fn a_log_that_is_not_written_takes_bounded_memory_and_delays_nobody() {
        let log = stuck();
        let line = vec![b'x'; 1000];
        for _ in 0..10_000 {
            (&log).write_all(&line).expect("never fails");
        }
        let kept = log.0.queue.lock().entries.len();
        assert_eq!(kept, QUEUE_BYTES_MAX / line.len());
        assert_eq!(log.missing(), 10_000 - kept as u64);
        assert!(!log.flush(Duration::from_millis(1)));
    }

    #[test]
    fn a_file_that_was_moved_is_opened_anew() {
        let directory = std::env::temp_dir().join(format!("swytch-log-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let (path, moved) = (directory.join("log"), directory.join("log.1"));
        let log = LogWriter::start(Some(&path)).expect("a log");
        let say = |text: &[u8]| {
            (&log).write_all(text).expect("never fails");
            assert!(log.flush(Duration::from_secs(60)));
        };
        say(b"one\n");
        std::fs::rename(&path, &moved).expect("renamed");
        say(b"two\n");
        std::fs::remove_file(&path).expect("removed");
        say(b"three\n");
        assert_eq!(std::fs::read_to_string(&moved).expect("kept"), "one\n");
        assert_eq!(std::fs::read_to_string(&path).expect("new"), "three\n");
        std::fs::remove_dir_all(&directory).expect("removed");
        say(b"four\n");
        assert_eq!(log.missing(), 0, "the old file takes what no new one can");
        assert!(LogWriter::start(Some(&path)).is_err());
    }
}
