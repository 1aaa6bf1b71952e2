//! What must be looked after however busy the workers are: memory, rates, the end of a pause. It has a thread
//! of its own, which takes no lock of the keyspace.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Conditions, Server, compaction};
use crate::system::clock::{JumpWatch, MonotonicMs};
use crate::system::{allocator, clock};

/// Between two looks, in milliseconds.
const ROUND_MS: u64 = 100;
/// Between two looks at the memory in use where it has a limit: what fast writers may take beyond it grows with this.
const MEMORY_ROUND_MS: u64 = 10;

/// Starts the thread. It ends with the server.
///
/// # Errors
/// When the system gives no thread.
pub fn start(server: &Arc<Server>) -> std::io::Result<()> {
    let server = Arc::clone(server);
    // Compares from now on, however long the thread takes to begin.
    let watch = JumpWatch::new();
    std::thread::Builder::new()
        .name("swytch-housekeeping".into())
        .spawn(move || run(&server, watch))
        .map(drop)
}

fn run(server: &Arc<Server>, mut watch: JumpWatch) {
    let mut compaction = compaction::Watch::default();
    while !server.stopping.load(Ordering::Acquire) {
        if let Some(by_ms) = watch.look() {
            tracing::warn!(by_ms, "the system's clock was set; keys expire by it");
        }
        let now = MonotonicMs::now();
        sample_rates(server, now);
        if server.conditions().contains(Conditions::PAUSED) {
            server.end_pause(now, None);
        }
        server.check_followers();
        compaction.look(server, now);
        allocator::settle();
        allocator::note_peak(clock::unix_ms() / 1000);
        server.expect_keys();
        server.transfers.tidy();
        let mut slept_ms = 0;
        while slept_ms < ROUND_MS {
            server.check_memory();
            let nap_ms = if server.config.maxmemory() > 0 { MEMORY_ROUND_MS } else { ROUND_MS };
            std::thread::sleep(Duration::from_millis(nap_ms));
            slept_ms += nap_ms;
        }
    }
}

/// Adds a sample of the workers' counters to the rates.
fn sample_rates(server: &Server, now: MonotonicMs) {
    let totals = [
        server.total(|stats| stats.commands_processed()),
        server.total(|stats| stats.input_bytes.get()),
        server.total(|stats| stats.output_bytes.get()),
        server.total(|stats| stats.follower_bytes.get()),
        server.total(|stats| stats.turns.get()),
    ];
    server.rates.sample(now, totals);
}
