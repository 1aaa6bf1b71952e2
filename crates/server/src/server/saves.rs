//! What is known of the data's file: when it was written and how that went, and how far it has been read.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::system::clock;

/// Saves and loads of this process.
#[derive(Debug)]
pub struct Saves {
    /// Changes that the last save has in it, of those counted since the start.
    changes: AtomicU64,
    last_s: AtomicU64,
    count: AtomicU64,
    failed: AtomicBool,
    failures: AtomicU64,
    last_took_s: AtomicU64,
    version_needed: AtomicU32,
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
    /// Keys without members.
    pub empty: AtomicU64,
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
            failures: AtomicU64::new(0),
            last_took_s: AtomicU64::new(NEVER),
            version_needed: AtomicU32::new(0),
            loading: Loading::default(),
        }
    }
}

impl Saves {
    /// A save has begun.
    pub fn begin(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A save in the background has ended.
    pub fn ended_in_background(&self, saved: bool, took: Duration) {
        self.last_took_s.store(took.as_secs(), Ordering::Relaxed);
        if saved {
            self.failures.store(0, Ordering::Relaxed);
        } else {
            self.failed.store(true, Ordering::Relaxed);
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The version that the values of the last file have needed.
    pub fn version_needed(&self) -> u32 {
        self.version_needed.load(Ordering::Relaxed)
    }

    /// The version that the values of a file need.
    pub fn set_version_needed(&self, version: u32) {
        self.version_needed.store(version, Ordering::Relaxed);
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

    /// How many saves in the background have failed since the last one that has not.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// CONFIG RESETSTAT: what is counted begins anew.
    pub fn reset(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Whether the last save in the background has failed, and none has succeeded since.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// How long the last save in the background took, in seconds.
    pub fn last_took_s(&self) -> Option<u64> {
        Some(self.last_took_s.load(Ordering::Relaxed)).filter(|took_s| *took_s != NEVER)
    }
}
