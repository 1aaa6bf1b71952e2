//! Room is made: keys are evicted until memory is within `maxmemory`.
//!
//! Whoever is to run a command while memory is over its limit makes room first, and so do workers when their turn ends.
//! Each does it for a bounded time, which `maxmemory-eviction-tenacity` says; what is left to be done is done by the next.
//! It holds one lock at a time. `server/room` says when memory is over its limit.
//!
//! Source: `performEvictions` in Redis's `src/evict.c`.

use std::sync::atomic::Ordering;

use swytch_store::Keyspace;
use swytch_store::eviction::Picked;

use super::changes;
use crate::clients::telling::Evicting;
use crate::server::{Conditions, Server, WorkerShared};
use crate::system::allocator;
use crate::system::clock::{self, Ticks};

/// Keys that go between two looks at the clock, and so go whatever the time.
const KEYS_AT_ONCE: usize = 16;
/// Searches without a key before the next command goes on searching.
const VAIN_SEARCHES_MAX: usize = 64;

/// Conditions under which nothing goes: the keyspace must not change, or whoever hears of it lags behind.
const NOTHING_GOES: Conditions = Conditions::PAUSED
    .union(Conditions::LAGGING)
    .union(Conditions::LOADING)
    .union(Conditions::OVERDUE)
    .union(Conditions::STOPPING);

/// Evicts keys until memory is within its limit, for a bounded time, and sets the conditions that go by it.
#[cold]
pub fn make(server: &Server, worker: &WorkerShared) {
    allocator::settle();
    if server.conditions().intersects(NOTHING_GOES) {
        return;
    }
    let (Some(rule), Some(mut picker)) = (server.evictable(), worker.picker.try_lock()) else {
        return server.check_memory();
    };
    // Nobody evicts: whoever tracks a key hears of it, also where it is the one whose command makes room.
    let writer = worker.serving.swap(0, Ordering::Relaxed);
    let began = Ticks::now();
    let budget = clock::us_to_ticks(tenacity_us(server.config.maxmemory_eviction_tenacity()));
    let (mut gone, mut vain) = (0, 0);
    let evicting = Evicting::begin();
    let has_room = loop {
        if !server.wants_room() {
            break Some(true);
        }
        if gone % KEYS_AT_ONCE == 0 && gone > 0 && Ticks::now().since(began) > budget {
            break None;
        }
        let now_ms = clock::unix_ms();
        match picker.pick(&server.shards, &rule, now_ms) {
            Picked::Nothing => break (!is_freeing(server)).then_some(false),
            Picked::NotYet if vain == VAIN_SEARCHES_MAX => break None,
            Picked::NotYet => vain += 1,
            Picked::Key(candidate) => {
                gone += 1;
                let shard = server.shards.shard_of(&candidate.key());
                let Some(locked) = server.shards.lock_one_in_time(shard) else { continue };
                changes::make(server, worker, Keyspace::new(locked, now_ms), |keyspace| {
                    keyspace.evict_picked(&rule, &candidate);
                });
            }
        }
    };
    drop((picker, evicting));
    worker.serving.store(writer, Ordering::Relaxed);
    allocator::settle();
    match has_room {
        Some(has_room) => server.has_room(has_room),
        None => server.excess.note(true),
    }
    if gone > 0 {
        note_latency(server, began);
    }
}

/// Values of which nobody knows how large they are wait to be freed: room comes without anybody's doing.
fn is_freeing(server: &Server) -> bool {
    server.reclaimer.pending() > 0
}

fn note_latency(server: &Server, began: Ticks) {
    let threshold_ms = server.config.latency_monitor_threshold();
    let took_ms = clock::ticks_to_ns(Ticks::now().since(began)) / 1_000_000;
    if threshold_ms > 0 && took_ms >= threshold_ms {
        server.latency.add("eviction-cycle", clock::unix_ms() / 1000, took_ms);
    }
}

/// How long one command may make room: nothing to half a millisecond up to 10, from there on 15 percent more each, about
/// two minutes at 99, and at 100 as long as it takes (Redis: evictionTimeLimitUs).
fn tenacity_us(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50 * u64::from(tenacity),
        11..=99 => (500.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX >> 24,
    }
}

#[cfg(test)]
mod tests {
    use super::tenacity_us;

    #[test]
    fn tenacity_rises_from_nothing_to_minutes() {
        assert_eq!([0, 1, 10, 11].map(tenacity_us), [0, 50, 500, 575]);
        assert!((100_000_000..150_000_000).contains(&tenacity_us(99)));
        assert!(tenacity_us(100) > 1 << 39);
    }
}
