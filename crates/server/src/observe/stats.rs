//! Counters: each worker has its own and is the only one to write them, so a count is a load and a
//! store, never a locked instruction. INFO adds them up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::observe::histogram::Histogram;

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    pub const fn zero() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// Adds; only the owning worker calls this.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Reads, from any thread.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Back to zero; a concurrent addition may survive or be lost, as CONFIG RESETSTAT allows.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

macro_rules! worker_counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The counters of one worker.
        #[derive(Debug)]
        pub struct WorkerStats {
            $($(#[$doc])* pub $name: Counter,)+
            /// One for every command, by its index.
            pub commands: Box<[CommandStats]>,
        }

        impl WorkerStats {
            /// Zeroed counters for a table of `commands` commands.
            pub fn new(commands: usize) -> Self {
                WorkerStats {
                    $($name: Counter::default(),)+
                    commands: (0..commands).map(|_| CommandStats::default()).collect(),
                }
            }

            /// Commands run: each counts once, among the calls of its own kind.
            pub fn commands_processed(&self) -> u64 {
                self.commands.iter().map(|command| command.calls.get()).sum()
            }

            /// CONFIG RESETSTAT: everything but the changes, which are counted since the last save.
            pub fn reset(&self) {
                let dirty = self.dirty.get();
                $(self.$name.reset();)+
                self.dirty.add(dirty);
                for command in &self.commands {
                    command.calls.reset();
                    command.ticks.reset();
                    command.rejected.reset();
                    command.failed.reset();
                    command.latency.reset();
                }
            }
        }
    };
}

worker_counters! {
    /// Turns of the event loop.
    turns,
    /// Ticks that those turns took, waiting excluded.
    turn_ticks,
    /// Bytes read from clients.
    input_bytes,
    /// Bytes written to clients.
    output_bytes,
    /// Reads of keys that existed.
    keyspace_hits,
    /// Reads of keys that did not.
    keyspace_misses,
    /// Keys removed because their time had come.
    expired_keys,
    /// Fields of hashes removed because theirs had.
    expired_parts,
    /// Those of both that went although nobody asked for them.
    expired_keys_active,
    expired_parts_active,
    /// Keys removed to make room.
    evicted_keys,
    /// Changes to the keyspace.
    dirty,
    /// Error replies.
    error_replies,
    /// Reads from sockets.
    reads,
    /// Writes to sockets.
    writes,
    /// Clients closed because of their output buffer.
    output_limit_disconnections,
    /// Clients closed because of their query buffer.
    query_limit_disconnections,
}

/// The counters of one command on one worker.
#[derive(Debug, Default)]
pub struct CommandStats {
    /// Times it ran.
    pub calls: Counter,
    /// Ticks it ran for.
    pub ticks: Counter,
    /// Times it was refused before running.
    pub rejected: Counter,
    /// Times it ran and answered an error.
    pub failed: Counter,
    /// How long it ran, while `latency-tracking` is on.
    pub latency: Histogram,
}

/// Error replies by their code (INFO errorstats).
#[derive(Debug, Default)]
pub struct ErrorStats(Mutex<BTreeMap<String, u64>>);

/// Distinct codes that are counted; a client that makes up codes must not fill the memory.
const ERROR_CODES_MAX: usize = 128;

impl ErrorStats {
    /// Counts the error whose reply text is `text`.
    pub fn count(&self, text: &[u8]) {
        let code = String::from_utf8_lossy(text.split(|byte| *byte == b' ').next().unwrap_or(b"ERR"));
        let mut codes = self.0.lock();
        if let Some(count) = codes.get_mut(code.as_ref()) {
            *count += 1;
        } else if codes.len() < ERROR_CODES_MAX {
            codes.insert(code.into_owned(), 1);
        }
    }

    /// All codes with their counts, in alphabetical order.
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        self.0.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.0.lock().clear();
    }
}
