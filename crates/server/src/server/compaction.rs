//! Compaction: where most of the resident memory is not in use, what is left of the data moves together.
//!
//! Keys that are deleted one by one leave holes in the allocator's pages, and a page goes back to the system only when all
//! of it is free. So all entries move: a thread made for that, whose heap has no pages with holes, allocates each anew, a
//! few at a time under their shard's lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Server;
use crate::system::clock::MonotonicMs;
use crate::system::{allocator, process};

/// Between two looks at the resident memory.
const LOOK_MS: u64 = 1000;
/// Too much is resident above one and a half times what is in use, and so many bytes.
const SPARE_BYTES: u64 = 32 << 20;
/// Looks in a row that must find too much: what was freed a moment ago goes back without moving anything.
const LOOKS: u32 = 3;
/// The part of the memory in use that must have been freed since the data moved last.
const FALL_PART: u64 = 8;
/// Entries that move under one lock, but for those that lie together.
const ENTRIES_PER_STEP: usize = 64;
/// Longest work at a time, as long as the pause behind it.
const SLICE: Duration = Duration::from_millis(1);
/// Between two times that the workers give back what has been moved away.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

/// What INFO tells of it.
#[derive(Debug, Default)]
pub struct Compaction {
    /// Entries are moving.
    pub running: AtomicBool,
}

/// Looks at the resident memory now and then.
#[derive(Debug, Default)]
pub(super) struct Watch {
    next: MonotonicMs,
    looks: u32,
    /// The most that was in use since the data moved last.
    high_bytes: u64,
}

impl Watch {
    /// Starts a pass if there is much to gain.
    pub(super) fn look(&mut self, server: &Arc<Server>, now: MonotonicMs) {
        let used_bytes = allocator::used_bytes();
        self.high_bytes = self.high_bytes.max(used_bytes);
        if now < self.next || server.compaction.running.load(Ordering::Relaxed) {
            return;
        }
        self.next = now.after(LOOK_MS);
        let resident_bytes = process::resident_bytes();
        if !self.finds_too_much(used_bytes, resident_bytes) {
            return;
        }
        tracing::info!(used_bytes, resident_bytes, "moving data together");
        self.high_bytes = 0;
        server.compaction.running.store(true, Ordering::Relaxed);
        let of_thread = Arc::clone(server);
        let name = "swytch-compaction".into();
        if std::thread::Builder::new().name(name).spawn(move || move_all(&of_thread)).is_err() {
            server.compaction.running.store(false, Ordering::Relaxed);
        }
    }

    fn finds_too_much(&mut self, used_bytes: u64, resident_bytes: u64) -> bool {
        let has_fallen = self.high_bytes - used_bytes > self.high_bytes / FALL_PART;
        if has_fallen && resident_bytes > used_bytes + used_bytes / 2 + SPARE_BYTES {
            self.looks += 1;
        } else {
            self.looks = 0;
        }
        if self.looks < LOOKS {
            return false;
        }
        self.looks = 0;
        true
    }
}

/// Moves the entries of all tables.
fn move_all(server: &Server) {
    let (mut slice, mut given_back) = (Instant::now(), Instant::now());
    for shard in 0..server.shards.count() {
        for db in 0..server.shards.databases() as u32 {
            let mut next = Some(0);
            while let Some(prefix) = next {
                next = server.shards.lock_one(shard as u16).move_entries(
                    shard as u16,
                    db,
                    prefix,
                    ENTRIES_PER_STEP,
                );
                if slice.elapsed() < SLICE {
                    continue;
                }
                if server.stopping.load(Ordering::Acquire) {
                    return;
                }
                if given_back.elapsed() > GIVE_BACK_EVERY {
                    allocator::purge();
                    given_back = Instant::now();
                }
                std::thread::sleep(slice.elapsed());
                slice = Instant::now();
            }
        }
    }
    allocator::purge();
    tracing::info!("data has moved together");
    server.compaction.running.store(false, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lasting_excess_after_a_fall_is_too_much() {
        const MIB: u64 = 1 << 20;
        let mut watch = Watch::default();
        let mut look = |used, resident| {
            watch.high_bytes = watch.high_bytes.max(used * MIB);
            watch.finds_too_much(used * MIB, resident * MIB)
        };
        assert!(!look(1000, 2000) && !look(1000, 2000) && !look(1000, 2000), "nothing was freed");
        assert!(!look(500, 1000) && !look(500, 1000));
        assert!(!look(500, 600), "what was freed has gone back");
        assert!(!look(500, 1000) && !look(500, 1000) && look(500, 1000));
        assert!(!look(10, 40), "little is little, whatever the ratio");
    }
}
