//! What the server asks of a disk, so that a test can stand in for one.
//!
//! The rules that a crash holds everybody to: bytes are safe once [`DiskFile::sync`] has returned, names (of new, renamed and
//! removed files) once [`Disk::sync_directory`] has. What a failed sync leaves on the disk is not known, and a later sync
//! that succeeds says nothing about it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Writes a file under a temporary name, forces it to the disk and gives it its name, in place of a file that has it: a crash
/// leaves one or the other. That it has the name is safe when its directory is synced.
///
/// # Errors
/// Those of `write` and of the disk; the file that had the name is as it was.
pub fn replace<R>(
    disk: &dyn Disk,
    temporary: &Path,
    path: &Path,
    write: impl FnOnce(&mut dyn DiskFile) -> io::Result<R>,
) -> io::Result<R> {
    put_in_place(disk, temporary, write, |_| disk.rename(temporary, path))
}

/// Writes a file under a temporary name, forces it to the disk and has it put in its place, by what was said when it was
/// written. If something fails the temporary file is gone.
///
/// # Errors
/// Those of `write`, `put` and of the disk.
pub fn put_in_place<R>(
    disk: &dyn Disk,
    temporary: &Path,
    write: impl FnOnce(&mut dyn DiskFile) -> io::Result<R>,
    put: impl FnOnce(&R) -> io::Result<()>,
) -> io::Result<R> {
    let written = disk.create(temporary).and_then(|mut file| {
        let result = write(&mut *file)?;
        file.sync()?;
        Ok(result)
    });
    let placed = written.and_then(|result| put(&result).map(|()| result));
    placed.inspect_err(|_| {
        // What is left of it is only litter.
        let _ = disk.remove(temporary);
    })
}

/// A disk.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// A new file to write to, in place of one that is there.
    ///
    /// # Errors
    /// If it cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A file that is there, to be written to behind its last byte.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A file to be read, and how many bytes it has.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read + Send>, u64)>;

    /// Gives a file another name, in place of a file that has it.
    ///
    /// # Errors
    /// If that cannot be done; then nothing was.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory, if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory are safe when this returns.
    ///
    /// # Errors
    /// If they may not be.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// A file that is written.
pub trait DiskFile: Write + Send {
    /// The bytes of the file are safe when this returns.
    ///
    /// # Errors
    /// If they may not be, now or ever.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file off behind this many bytes; what is written next comes there.
    ///
    /// # Errors
    /// If it cannot be cut.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
}

impl std::fmt::Debug for dyn DiskFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiskFile")
    }
}

/// The operating system's.
#[derive(Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok((Box::new(file), bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        use std::io::Seek;
        self.set_len(bytes)?;
        self.seek(io::SeekFrom::Start(bytes)).map(drop)
    }
}

/// The directory that a file lies in.
pub fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
