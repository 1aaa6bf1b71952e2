//! SLOWLOG and COMMANDLOG: the most recent commands that took long, or were large, or had large replies.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::request::{Args, redact};

/// One command.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Number, rising.
    pub id: u64,
    /// When, in Unix seconds.
    pub time_s: u64,
    /// What it is there for: how long it took, in microseconds, or how many bytes it or its reply had.
    pub amount: u64,
    /// Arguments, shortened.
    pub arguments: Vec<Vec<u8>>,
    /// The client's address.
    pub address: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// Arguments kept of a command (Redis: SLOWLOG_ENTRY_MAX_ARGC).
pub const ARGUMENTS_MAX: usize = 32;
/// Bytes kept of an argument (Redis: SLOWLOG_ENTRY_MAX_STRING).
pub const ARGUMENT_BYTES_MAX: usize = 128;

/// The logs of a server.
#[derive(Debug, Default)]
pub struct CommandLogs {
    /// Of commands that took long.
    pub slow: CommandLog,
    /// Of those that were large.
    pub large_requests: CommandLog,
    /// Of those that were answered much.
    pub large_replies: CommandLog,
}

/// A log.
#[derive(Debug, Default)]
pub struct CommandLog(Mutex<(VecDeque<Entry>, u64)>);

impl CommandLog {
    /// Adds an entry as the newest, with a number of its own, and keeps at most `len_max`.
    pub fn push(&self, entry: Entry, len_max: usize) {
        if len_max == 0 {
            return;
        }
        let mut log = self.0.lock();
        let id = log.1;
        log.1 += 1;
        log.0.push_front(Entry { id, ..entry });
        log.0.truncate(len_max);
    }

    /// The newest `count` entries.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.0.lock().0.iter().take(count).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.lock().0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries; numbers go on.
    pub fn reset(&self) {
        self.0.lock().0.clear();
    }
}

/// Arguments as the log keeps them: at most 32, each at most 128 bytes, with a note of what is missing.
pub fn shorten(arguments: &Args<'_>) -> Vec<Vec<u8>> {
    let total = arguments.len();
    let kept = total.min(ARGUMENTS_MAX);
    let mut shortened: Vec<Vec<u8>> = (0..kept)
        .map(|index| {
            let argument = redact::shown(arguments, index);
            if argument.len() <= ARGUMENT_BYTES_MAX {
                return argument.to_vec();
            }
            let mut start = argument[..ARGUMENT_BYTES_MAX].to_vec();
            start.extend_from_slice(
                format!("... ({} more bytes)", argument.len() - ARGUMENT_BYTES_MAX).as_bytes(),
            );
            start
        })
        .collect();
    if total > kept {
        shortened[kept - 1] = format!("... ({} more arguments)", total - kept + 1).into_bytes();
    }
    shortened
}
