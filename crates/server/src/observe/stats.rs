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
    /// Those of them that were written to followers.
    follower_bytes,
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
    /// Ticks of looking for what has expired, and how often that was broken off because it took too long.
    expiry_ticks,
    expiry_cuts,
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

/// Error replies by their code (INFO errorstats). Scripts make up codes as they like, so both their number and their length
/// have bounds.
#[derive(Debug, Default)]
pub struct ErrorStats(Mutex<ErrorCodes>);

#[derive(Debug, Default)]
struct ErrorCodes {
    counts: BTreeMap<String, u64>,
    /// There were too many: none is counted until CONFIG RESETSTAT.
    given_up: bool,
}

/// Distinct codes that are counted.
const ERROR_CODES_MAX: usize = 128;
/// Most bytes of a code; what begins with a longer word has none.
const ERROR_CODE_BYTES_MAX: usize = 30;

impl ErrorStats {
    /// Counts the error whose reply text is `text`.
    pub fn count(&self, text: &[u8]) {
        let begin = &text[..text.len().min(ERROR_CODE_BYTES_MAX + 1)];
        let code = begin.iter().position(|byte| *byte == b' ').map_or(&b"ERR"[..], |end| &begin[..end]);
        self.0.lock().count(&String::from_utf8_lossy(code));
    }

    /// All codes with their counts, in alphabetical order.
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        self.0.lock().counts.iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        *self.0.lock() = ErrorCodes::default();
    }
}

impl ErrorCodes {
    fn count(&mut self, code: &str) {
        if self.given_up {
            return;
        }
        if let Some(count) = self.counts.get_mut(code) {
            *count += 1;
        } else if self.counts.len() < ERROR_CODES_MAX {
            self.counts.insert(code.to_owned(), 1);
        } else {
            let codes = self.counts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                "Errorstats stopped adding new errors: there are more than {ERROR_CODES_MAX} codes, which scripts may have \
                 made up; CONFIG RESETSTAT lets them be counted anew"
            );
            tracing::warn!("Current errors code list: {codes}");
            self.counts = BTreeMap::from([("ERRORSTATS_DISABLED".to_owned(), 1)]);
            self.given_up = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_errors_have_bounds() {
        let errors = ErrorStats::default();
        let counted = |errors: &ErrorStats| errors.snapshot();
        errors.count(b"WRONGTYPE of value");
        errors.count(b"nothing-that-would-be-the-code-of-an-error but a word");
        errors.count(b"word");
        assert_eq!(counted(&errors), [("ERR".to_owned(), 2), ("WRONGTYPE".to_owned(), 1)]);
        for code in 0..ERROR_CODES_MAX {
            errors.count(format!("CODE{code} text").as_bytes());
        }
        errors.count(b"WRONGTYPE of value");
        assert_eq!(counted(&errors), [("ERRORSTATS_DISABLED".to_owned(), 1)]);
        errors.reset();
        errors.count(b"WRONGTYPE of value");
        assert_eq!(counted(&errors), [("WRONGTYPE".to_owned(), 1)]);
    }
}
