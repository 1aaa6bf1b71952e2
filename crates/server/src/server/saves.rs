//! What is known of the data's file: when it was written and how that went, and how far it has been read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::system::clock;

/// Saves and loads of this process.
#[derive(Debug)]
pub struct Saves {
    /// Changes that the last save has in it, of those counted since the start.
    changes: AtomicU64,
    last_s: AtomicU64,
    count: AtomicU64,
    failed: AtomicBool,
    running_since_s: AtomicU64,
    last_took_s: AtomicU64,
    /// The file that is read at the start.
    pub loading: Loading,
}

/// How far a file has been read.
#[derive(Debug, Default)]
pub struct Loading {
    /// When that began, in Unix seconds.
    pub began_s: AtomicU64,
    /// Bytes that the file has.
    pub bytes_total: AtomicU64,
    /// Bytes that were read.
    pub bytes: AtomicU64,
    /// Keys that were put in place.
    pub keys: AtomicU64,
    /// Keys whose time was over.
    pub expired: AtomicU64,
}

/// [`Saves::last_took_s`] before there was one.
const NEVER: u64 = u64::MAX;

impl Default for Saves {
    /// As in Redis, a server that has never saved answers the time of its start.
    fn default() -> Saves {
        Saves {
            changes: AtomicU64::new(0),
            last_s: AtomicU64::new(clock::unix_ms() / 1000),
            count: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            running_since_s: AtomicU64::new(NEVER),
            last_took_s: AtomicU64::new(NEVER),
            loading: Loading::default(),
        }
    }
}

impl Saves {
    /// A save has begun.
    pub fn begin(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A save point's save has begun.
    pub fn begin_by_itself(&self) {
        self.running_since_s.store(clock::unix_ms() / 1000, Ordering::Relaxed);
    }

    /// A save point's save has ended.
    pub fn end_by_itself(&self, saved: bool) {
        let began_s = self.running_since_s.swap(NEVER, Ordering::Relaxed);
        self.last_took_s.store((clock::unix_ms() / 1000).saturating_sub(began_s), Ordering::Relaxed);
        if !saved {
            self.failed.store(true, Ordering::Relaxed);
        }
    }

    /// The data is in its file, with this many changes.
    pub fn succeeded(&self, changes: u64) {
        self.changes.store(changes, Ordering::Relaxed);
        self.last_s.store(clock::unix_ms() / 1000, Ordering::Relaxed);
        self.failed.store(false, Ordering::Relaxed);
    }

    /// The data is what its file has, after this many changes.
    pub fn loaded(&self, changes: u64) {
        self.changes.store(changes, Ordering::Relaxed);
    }

    /// Changes that are in the file.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// When the data was saved last, in Unix seconds.
    pub fn last_s(&self) -> u64 {
        self.last_s.load(Ordering::Relaxed)
    }

    /// How often the data was saved, or that was tried.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether the last save of a save point has failed, and none has succeeded since.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Since when a save point's save runs, in Unix seconds.
    pub fn running_since_s(&self) -> Option<u64> {
        Some(self.running_since_s.load(Ordering::Relaxed)).filter(|since_s| *since_s != NEVER)
    }

    /// How long the last save of a save point took, in seconds.
    pub fn last_took_s(&self) -> Option<u64> {
        Some(self.last_took_s.load(Ordering::Relaxed)).filter(|took_s| *took_s != NEVER)
    }
}
