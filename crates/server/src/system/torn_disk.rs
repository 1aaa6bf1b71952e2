//! A disk for tests that forgets, at a crash, whatever it has not promised to keep: bytes that were not forced to it are
//! there, are not, or are there in part and without those before them; names that were not forced are the old ones or the
//! new ones, each on its own. Besides it can be full, fail, and stall.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::disk::{Disk, DiskFile};

/// The disk. A clone is the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct TornDisk {
    state: Arc<Mutex<State>>,
    stall: Arc<Stall>,
}

/// Syncs that do not return.
#[derive(Debug, Default)]
struct Stall {
    /// Whether they do not, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Every file ever made: its bytes as written.
    files: Vec<TornFile>,
    /// Names as programs see them, and as they are sure to be after a crash.
    names: BTreeMap<PathBuf, usize>,
    safe_names: BTreeMap<PathBuf, usize>,
    /// Bytes that may still be written.
    room: Option<usize>,
    sync_fails: bool,
    /// Changes that are still made before the machine stops, if it is to stop.
    left: Option<usize>,
    /// Grows at every crash: handles from before it are dead.
    age: u64,
}

#[derive(Clone, Debug, Default)]
struct TornFile {
    bytes: Vec<u8>,
    /// What is sure to be there after a crash.
    safe: Vec<u8>,
}

/// Bytes that are written, or not, as one.
const SECTOR_BYTES: usize = 16;

impl TornDisk {
    /// Only this many bytes more can be written; any number where none is given.
    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.state.lock().room = room;
    }

    /// Whether syncs fail.
    pub(crate) fn set_sync_fails(&self, fails: bool) {
        self.state.lock().sync_fails = fails;
    }

    /// Whether syncs of files stall: they return when they do so no longer.
    pub(crate) fn set_sync_stalls(&self, stalls: bool) {
        self.stall.state.lock().0 = stalls;
        self.stall.changed.notify_all();
    }

    /// Waits until a sync has stalled.
    pub(crate) fn await_stalled_sync(&self) {
        let mut state = self.stall.state.lock();
        self.stall.changed.wait_while(&mut state, |(stalls, waiting)| !*stalls || *waiting == 0);
    }

    /// After this many changes more the machine stands still, until the crash.
    pub(crate) fn stop_after(&self, changes: usize) {
        self.state.lock().left = Some(changes);
    }

    /// The machine stops; `chance` says of each thing that was not safe whether it is there afterwards.
    pub(crate) fn crash(&self, mut chance: impl FnMut() -> bool) {
        let mut state = self.state.lock();
        state.age += 1;
        let paths: BTreeSet<PathBuf> = state.names.keys().chain(state.safe_names.keys()).cloned().collect();
        let mut names = BTreeMap::new();
        for path in paths {
            let from = if chance() { &state.names } else { &state.safe_names };
            if let Some(&file) = from.get(&path) {
                names.insert(path, file);
            }
        }
        // What has no name is gone.
        let mut files = Vec::new();
        for number in names.values_mut() {
            let kept = state.files[*number].torn(&mut chance);
            files.push(TornFile { bytes: kept.clone(), safe: kept });
            *number = files.len() - 1;
        }
        state.files = files;
        state.names.clone_from(&names);
        state.safe_names = names;
        state.room = None;
        state.sync_fails = false;
        state.left = None;
    }

    fn file(&self, number: usize) -> Box<dyn DiskFile> {
        let age = self.state.lock().age;
        Box::new(Handle { disk: self.clone(), number, age })
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.state.lock().names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Stall {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.1 += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |(stalls, _)| *stalls);
        state.1 -= 1;
    }
}

impl State {
    /// A change is about to be made.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the machine has stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl TornFile {
    /// What a crash leaves of it: safe bytes, and of the sectors behind them some.
    fn torn(&self, chance: &mut impl FnMut() -> bool) -> Vec<u8> {
        let len = if chance() { self.bytes.len() } else { self.safe.len() };
        let mut kept = self.safe.clone();
        kept.resize(len, 0);
        for start in (0..len).step_by(SECTOR_BYTES) {
            let end = (start + SECTOR_BYTES).min(len).min(self.bytes.len());
            if start < end && chance() {
                // What is safe does not change by being written again.
                kept[start..end].copy_from_slice(&self.bytes[start..end]);
            }
        }
        kept
    }
}

impl Disk for TornDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.change()?;
        state.files.push(TornFile::default());
        let number = state.files.len() - 1;
        state.names.insert(path.to_owned(), number);
        drop(state);
        Ok(self.file(number))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.find(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let number = self.find(path)?;
        let bytes = self.state.lock().files[number].bytes.clone();
        let len = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), len))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let number = self.find(from)?;
        let mut state = self.state.lock();
        state.change()?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let mut state = self.state.lock();
        state.change()?;
        state.names.remove(path);
        Ok(())
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        if state.sync_fails {
            return Err(io::Error::other("the disk has failed"));
        }
        let is_in = |name: &PathBuf| name.parent() == Some(path);
        let names: Vec<_> = state
            .names
            .iter()
            .filter(|(name, _)| is_in(name))
            .map(|(name, file)| (name.clone(), *file))
            .collect();
        state.safe_names.retain(|name, _| !is_in(name));
        state.safe_names.extend(names);
        Ok(())
    }
}

struct Handle {
    disk: TornDisk,
    number: usize,
    age: u64,
}

impl Handle {
    fn with<R>(&self, act: impl FnOnce(&mut State, usize) -> io::Result<R>) -> io::Result<R> {
        let mut state = self.disk.state.lock();
        if state.age != self.age {
            return Err(io::Error::other("the machine has stopped"));
        }
        state.change()?;
        act(&mut state, self.number)
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|state, number| {
            let len = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
            if len == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.room = state.room.map(|room| room - len);
            state.files[number].bytes.extend_from_slice(&bytes[..len]);
            Ok(len)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Handle {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.stall.pass();
        self.with(|state, number| {
            if state.sync_fails {
                return Err(io::Error::other("the disk has failed"));
            }
            let file = &mut state.files[number];
            file.safe.clone_from(&file.bytes);
            Ok(())
        })
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.with(|state, number| {
            state.files[number].bytes.truncate(bytes as usize);
            Ok(())
        })
    }
}
