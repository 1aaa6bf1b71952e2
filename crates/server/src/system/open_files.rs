//! The operating system's limit on open files, of which every client needs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files the server has open besides clients: listeners, event loops, the log, files being written
/// (Redis: `CONFIG_MIN_RESERVED_FDS`).
const RESERVED: u64 = 32;
/// Worker threads that [`RESERVED`] covers, and what each further one has open: its event loop and its wake-up channel.
const THREADS_COVERED: usize = 8;
const FILES_PER_THREAD: u64 = 2;

/// Connections to the metrics port at the same time.
pub const METRICS_CONNECTIONS_MAX: usize = 128;

/// Files that `threads` workers and the metrics port take.
fn reserved(threads: usize, has_metrics: bool) -> u64 {
    let metrics = if has_metrics { METRICS_CONNECTIONS_MAX as u64 } else { 0 };
    RESERVED + FILES_PER_THREAD * threads.saturating_sub(THREADS_COVERED) as u64 + metrics
}

/// Raises the limit so far that `clients` clients can be connected, beside `threads` workers and the metrics port.
///
/// # Errors
/// The number of clients that are possible, when it is smaller.
pub fn allow_clients(clients: usize, threads: usize, has_metrics: bool) -> Result<(), usize> {
    let reserved = reserved(threads, has_metrics);
    let needed = clients as u64 + reserved;
    let limit = getrlimit(Resource::Nofile);
    let reached = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if reached(limit.current) {
        return Ok(());
    }
    // A privileged process may raise the hard limit, too.
    let raised = limit.maximum.map(|maximum| maximum.max(needed));
    let wanted = Rlimit { current: Some(needed), maximum: raised };
    if setrlimit(Resource::Nofile, wanted).is_ok() {
        return Ok(());
    }
    if reached(limit.maximum) {
        let within = Rlimit { current: Some(needed), maximum: limit.maximum };
        if setrlimit(Resource::Nofile, within).is_ok() {
            return Ok(());
        }
    }
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where even this fails the limit stays as it was, and that is what is answered.
    let _ = setrlimit(Resource::Nofile, most);
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Err(current.saturating_sub(reserved) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_possible_is_answered() {
        allow_clients(1, 1, false).expect("every system has that many files");
        // More than any kernel allows (fs.nr_open is at most 2^31).
        let possible = allow_clients(1 << 40, 1, false).expect_err("no system has that many");
        assert!(possible > 0 && allow_clients(possible, 1, false).is_ok(), "{possible}");
    }

    #[test]
    fn as_many_are_reserved_as_by_redis_and_more_for_many_threads() {
        assert_eq!(reserved(1, false), 32);
        assert_eq!(reserved(8, false), 32);
        assert_eq!(reserved(64, false), 32 + 2 * 56);
        assert_eq!(reserved(2, true), 32 + 128);
    }
}
