//! The append-only log.
//!
//! - `manifest`: the list of its files; `files`: the files on their disk
//! - `reader`: the commands of a file
//! - `writer`: from the order of effects into the files
//!
//! What the server makes of it (its thread, a base from the data, reading it at the start) is in `persistence`.

pub mod files;
pub mod manifest;
pub mod reader;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::effects::Place;
pub use files::{Files, Found};
pub use manifest::BaseForm;

pub use writer::{Policy, Rest, Writer, annotation};

/// The log of a server.
#[derive(Debug, Default)]
pub struct AppendLog {
    /// Its writer, while it is on. Whoever holds shards' locks besides has taken them before.
    pub writer: Mutex<Option<Writer>>,
    /// Its files, while it is on and waits for a moment of the data to begin at. Taken before `writer`.
    pub waiting: Mutex<Option<Files>>,
    /// What is known of it.
    pub state: State,
}

/// What is known of a log, from any thread.
#[derive(Debug)]
pub struct State {
    /// It is on.
    pub is_on: AtomicBool,
    /// It is on, and there is no base of it yet.
    pub is_aside: AtomicBool,
    /// Bytes of all its files.
    pub bytes: AtomicU64,
    /// Bytes of them when its base was made, or the server started.
    pub base_bytes: AtomicU64,
    /// Bytes that are not forced to the disk yet.
    pub unsynced_bytes: AtomicU64,
    /// For how long the oldest of them is there, in milliseconds.
    pub unsynced_ms: AtomicU64,
    /// Syncs that were late because the disk was busy.
    pub late_syncs: AtomicU64,
    /// Where the next increment is to begin.
    pub turn: Arc<Turn>,
    /// Groups of effects before this place are on the disk.
    pub safe_until: AtomicU64,
    /// What the last write or sync has failed with.
    pub fault: Mutex<Option<String>>,
    /// Rewrites tried.
    pub rewrites: AtomicU64,
    /// Those that have failed since the last one that has not.
    pub failed_rewrites: AtomicU64,
    /// How long the last one took, in seconds.
    pub rewrite_took_s: AtomicU64,
    /// How long the log's thread sleeps before it writes, in microseconds (DEBUG AOF-FLUSH-SLEEP).
    pub sleep_us: AtomicU64,
}

/// Where the next increment of a log is to begin, if one is.
#[derive(Debug)]
pub struct Turn {
    place: AtomicU64,
    offset: AtomicU64,
}

/// [`Turn::place`] while no increment is to begin.
const NOWHERE: u64 = u64::MAX;

impl Default for Turn {
    fn default() -> Turn {
        Turn { place: AtomicU64::new(NOWHERE), offset: AtomicU64::new(0) }
    }
}

impl Turn {
    /// Effects before this place, which has this replication offset, belong to the increment that is written; one begins there.
    pub fn want(&self, place: Place, offset: u64) {
        self.offset.store(offset, Ordering::SeqCst);
        self.place.store(place, Ordering::SeqCst);
    }

    /// The place.
    pub fn place(&self) -> Place {
        self.place.load(Ordering::SeqCst)
    }

    /// Its replication offset.
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::SeqCst)
    }

    /// No increment is to begin any more.
    pub fn give_up(&self) {
        self.place.store(NOWHERE, Ordering::SeqCst);
    }

    /// None is to begin at this place any more.
    pub fn give_up_at(&self, place: Place) {
        let _ = self.place.compare_exchange(place, NOWHERE, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// [`State::rewrite_took_s`] before there was one.
const NEVER: u64 = u64::MAX;

impl Default for State {
    fn default() -> State {
        State {
            is_on: AtomicBool::new(false),
            is_aside: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            base_bytes: AtomicU64::new(0),
            unsynced_bytes: AtomicU64::new(0),
            unsynced_ms: AtomicU64::new(0),
            late_syncs: AtomicU64::new(0),
            turn: Arc::default(),
            safe_until: AtomicU64::new(0),
            fault: Mutex::new(None),
            rewrites: AtomicU64::new(0),
            failed_rewrites: AtomicU64::new(0),
            rewrite_took_s: AtomicU64::new(NEVER),
            sleep_us: AtomicU64::new(0),
        }
    }
}

impl State {
    /// Whether it promises anything: it is on, and there is a base.
    pub fn promises(&self) -> bool {
        // It is aside before it is on.
        self.is_on.load(Ordering::SeqCst) && !self.is_aside.load(Ordering::SeqCst)
    }

    /// How long the last rewrite took, in seconds.
    pub fn rewrite_took_s(&self) -> Option<u64> {
        Some(self.rewrite_took_s.load(Ordering::Relaxed)).filter(|took_s| *took_s != NEVER)
    }

    /// True while the last write or sync has failed.
    pub fn has_failed(&self) -> bool {
        self.fault.lock().is_some()
    }
}

#[cfg(test)]
mod tests;
