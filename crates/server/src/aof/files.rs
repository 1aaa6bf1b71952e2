//! The files of an append-only log on their disk: a list, a base, and increments, of which the last one is written.
//!
//! What a crash may come between: bytes count as safe when [`Files::sync`] has returned; a new base is whole and forced to
//! the disk before the list names it, an increment is there before the list names it, and what the list no longer names is
//! deleted when the new list is safe. So at every moment the list on the disk names files that are all there.
//!
//! A write that fails half way is cut off again, so that nothing but whole groups lies before what is written next. After a
//! sync that has failed nobody knows what the disk has, and a later one that succeeds proves nothing: the log is
//! broken until a new base takes its place.
//!
//! A log that is switched on begins aside: what is appended goes to an increment that no list names, until the base is there that
//! it follows. A crash before that leaves what there was before.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::{self, BaseForm, Manifest};
use crate::system::disk::{self, Disk, DiskFile, directory_of};

/// The log's files.
#[derive(Debug)]
pub struct Files {
    disk: Arc<dyn Disk>,
    /// The directory that the log's own is in, where a base is written before it has its name.
    parent: PathBuf,
    directory: PathBuf,
    name: Vec<u8>,
    manifest: Manifest,
    last: Option<Last>,
    /// Bytes of the base, and of the increments before the last.
    base_bytes: u64,
    earlier_bytes: u64,
    is_broken: bool,
    /// The increment that is written is not in the list.
    is_aside: bool,
}

/// The increment that is written.
#[derive(Debug)]
struct Last {
    file: Box<dyn DiskFile>,
    bytes: u64,
    /// The replication offset that it begins at, if it is not in the list yet.
    start_offset: u64,
    /// A write has left something behind them that could not be cut off.
    is_ragged: bool,
}

/// What a directory has of a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A list, which was read.
    Log,
    /// A file of the time before there were lists; it is the base now.
    OneFile,
}

impl Files {
    /// The log of this name in `parent/directory`; nothing is written yet.
    ///
    /// # Errors
    /// If it is damaged, with what and where; if it cannot be read.
    pub fn find(
        disk: Arc<dyn Disk>,
        parent: PathBuf,
        directory: &OsStr,
        name: Vec<u8>,
    ) -> io::Result<(Files, Found)> {
        let directory = parent.join(directory);
        let mut files = Files {
            disk,
            parent,
            directory,
            name,
            manifest: Manifest::default(),
            last: None,
            base_bytes: 0,
            earlier_bytes: 0,
            is_broken: false,
            is_aside: false,
        };
        let found = files.read_manifest()?;
        Ok((files, found))
    }

    fn read_manifest(&mut self) -> io::Result<Found> {
        let path = self.manifest_path("");
        let (file, _) = match self.disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.find_one_file(),
            other => other.map_err(|error| named(&path, &error))?,
        };
        let mut text = Vec::new();
        file.take(manifest::BYTES_MAX).read_to_end(&mut text).map_err(|error| named(&path, &error))?;
        self.manifest = Manifest::parse(&text).map_err(|fault| named(&path, &io::Error::other(fault)))?;
        // An upgrade that was cut short: the list is there, and the file not yet in its place.
        if self.manifest.base.as_ref().is_some_and(|base| base.name == self.name) {
            self.move_one_file()?;
        }
        Ok(Found::Log)
    }

    /// A log of one file, if there is one, becomes the base of one with a list.
    fn find_one_file(&mut self) -> io::Result<Found> {
        if self.disk.open(&self.parent.join(OsStr::from_bytes(&self.name))).is_err() {
            return Ok(Found::Nothing);
        }
        self.disk.create_directory(&self.directory)?;
        self.persist(Manifest::of_one_file(&self.name))?;
        self.move_one_file()?;
        Ok(Found::OneFile)
    }

    fn move_one_file(&self) -> io::Result<()> {
        let name = OsStr::from_bytes(&self.name);
        let (from, to) = (self.parent.join(name), self.directory.join(name));
        if self.disk.open(&from).is_err() || self.disk.open(&to).is_ok() {
            return Ok(());
        }
        self.disk.rename(&from, &to)?;
        self.disk.sync_directory(&self.directory)?;
        self.disk.sync_directory(&self.parent)
    }

    fn manifest_path(&self, prefix: &str) -> PathBuf {
        let name = [prefix.as_bytes(), &self.name, b".manifest"].concat();
        self.directory.join(OsStr::from_bytes(&name))
    }

    /// Puts a list in the place of the one there is. Where it has its place and that may not be safe, the log is broken: a
    /// crash brings back either of the two, and what is written to the files of one is not in the other.
    fn persist(&mut self, manifest: Manifest) -> io::Result<()> {
        let (temporary, path) = (self.manifest_path("temp-"), self.manifest_path(""));
        disk::replace(&*self.disk, &temporary, &path, |file| file.write_all(&manifest.text()))?;
        self.manifest = manifest;
        self.disk.sync_directory(&self.directory).inspect_err(|_| self.is_broken = true)
    }

    /// The files to read, in order: where they are, and how many bytes they have.
    ///
    /// # Errors
    /// If one is not there, or cannot be read.
    pub fn parts(&mut self) -> io::Result<Vec<(PathBuf, u64)>> {
        let parts = self.opened()?;
        self.base_bytes = match self.manifest.base {
            Some(_) => parts[0].1,
            None => 0,
        };
        self.earlier_bytes = parts.iter().map(|(_, bytes)| bytes).sum::<u64>() - self.base_bytes;
        Ok(parts)
    }

    /// The files that the list names, with their bytes.
    fn opened(&self) -> io::Result<Vec<(PathBuf, u64)>> {
        let paths = self.manifest.parts().map(|part| part.path(&self.directory));
        let opened = paths.map(|path| match self.disk.open(&path) {
            Ok((_, bytes)) => Ok((path, bytes)),
            Err(error) => Err(named(&path, &error)),
        });
        opened.collect()
    }

    /// Cuts the last of the files off behind this many bytes, which are whole.
    ///
    /// # Errors
    /// If that fails.
    pub fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let Some(last) = self.manifest.parts().last() else { return Ok(()) };
        let mut file = self.disk.append(&last.path(&self.directory))?;
        file.truncate(bytes)?;
        file.sync()
    }

    /// The disk that it lies on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// True where there is a base.
    pub fn has_base(&self) -> bool {
        self.manifest.base.is_some()
    }

    /// Opens the last increment to write behind it, or a first one, which begins at this replication offset. The log has been
    /// read; files that it no longer needs go.
    ///
    /// # Errors
    /// If that fails.
    pub fn begin(&mut self, offset: u64) -> io::Result<()> {
        let last = match self.manifest.increments.last() {
            Some(part) => {
                let path = part.path(&self.directory);
                let (_, bytes) = self.disk.open(&path)?;
                Last { file: self.disk.append(&path)?, bytes, start_offset: offset, is_ragged: false }
            }
            None => self.add_increment(offset)?,
        };
        self.earlier_bytes = self.earlier_bytes.saturating_sub(last.bytes);
        self.last = Some(last);
        // It goes on.
        self.set_end(None)?;
        self.forget_history()
    }

    /// The replication offset behind the log, which has been read: what it was closed at or, where it was not, its last increment's
    /// bytes behind where that has begun, which is no less (Redis: `updateReplOffsetAndResetEndOffset`).
    ///
    /// # Errors
    /// If the increment cannot be read.
    pub fn end_offset(&self) -> io::Result<u64> {
        let Some(last) = self.manifest.increments.last() else { return Ok(0) };
        match last.end_offset {
            Some(end) => Ok(end),
            None => Ok(last.start_offset.unwrap_or(0) + self.disk.open(&last.path(&self.directory))?.1),
        }
    }

    /// Nothing more comes behind this replication offset.
    ///
    /// # Errors
    /// If the list cannot be written.
    pub fn close(&mut self, offset: u64) -> io::Result<()> {
        if self.is_aside { Ok(()) } else { self.set_end(Some(offset)) }
    }

    fn set_end(&mut self, end_offset: Option<u64>) -> io::Result<()> {
        let mut manifest = self.manifest.clone();
        match manifest.increments.last_mut() {
            Some(last) if last.start_offset.is_some() && last.end_offset != end_offset => {
                last.end_offset = end_offset;
                self.persist(manifest)
            }
            _ => Ok(()),
        }
    }

    /// An increment that is aside begins at this replication offset.
    pub fn begin_at(&mut self, offset: u64) {
        if let Some(last) = &mut self.last {
            last.start_offset = offset;
        }
    }

    /// Opens an increment that the list does not name before a base is put before it.
    ///
    /// # Errors
    /// If that fails.
    pub fn begin_aside(&mut self) -> io::Result<()> {
        self.create_directory()?;
        let part = self.manifest.clone().add_increment(&self.name, 0);
        let file = self.disk.create(&part.path(&self.directory))?;
        self.last = Some(Last { file, bytes: 0, start_offset: 0, is_ragged: false });
        (self.base_bytes, self.earlier_bytes, self.is_aside) = (0, 0, true);
        Ok(())
    }

    /// Whether what is appended is of no use yet: there is no base that it follows.
    pub fn is_aside(&self) -> bool {
        self.is_aside
    }

    fn add_increment(&mut self, start_offset: u64) -> io::Result<Last> {
        self.disk.create_directory(&self.directory)?;
        let mut manifest = self.manifest.clone();
        let part = manifest.add_increment(&self.name, start_offset);
        let file = self.disk.create(&part.path(&self.directory))?;
        self.disk.sync_directory(&self.directory)?;
        self.persist(manifest)?;
        Ok(Last { file, bytes: 0, start_offset, is_ragged: false })
    }

    /// Appends groups: all of them, or none.
    ///
    /// # Errors
    /// If they could not be written, or the log is broken.
    pub fn append(&mut self, groups: &[u8]) -> io::Result<()> {
        self.ensure_whole()?;
        let Some(last) = &mut self.last else { return Err(io::Error::other("the log was not begun")) };
        if last.is_ragged {
            last.file.truncate(last.bytes)?;
            last.is_ragged = false;
        }
        if let Err(error) = last.file.write_all(groups) {
            last.is_ragged = last.file.truncate(last.bytes).is_err();
            return Err(error);
        }
        last.bytes += groups.len() as u64;
        Ok(())
    }

    /// What was appended is safe when this returns.
    ///
    /// # Errors
    /// If it may not be. Then the log is broken.
    pub fn sync(&mut self) -> io::Result<()> {
        self.ensure_whole()?;
        let Some(last) = &mut self.last else { return Ok(()) };
        let synced = last.file.sync();
        self.is_broken = synced.is_err();
        synced
    }

    /// True when nothing can be appended before there is a new base.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Asked before anything is done to the last file.
    ///
    /// # Errors
    /// If the log is broken.
    pub fn ensure_whole(&self) -> io::Result<()> {
        match self.is_broken {
            true => Err(io::Error::other("the log's file could not be forced to the disk")),
            false => Ok(()),
        }
    }

    /// Puts a new base, and behind it an empty increment, which begins at this replication offset, in the place of everything there
    /// is. All of it is safe when this returns.
    ///
    /// # Errors
    /// If that fails. The log is as it was, or broken.
    pub fn begin_anew(
        &mut self,
        form: BaseForm,
        keeps_history: bool,
        offset: u64,
        write_base: impl FnOnce(&mut dyn DiskFile) -> io::Result<u64>,
    ) -> io::Result<()> {
        self.create_directory()?;
        let temporary = self.parent.join(format!("temp-rewriteaof-{}.aof", std::process::id()));
        let mut manifest = self.manifest.clone();
        let base = manifest.next_base(&self.name, form);
        manifest.begin_anew(base.clone());
        let increment = manifest.add_increment(&self.name, offset);
        let base_bytes = disk::replace(&*self.disk, &temporary, &base.path(&self.directory), write_base)?;
        let file = self.disk.create(&increment.path(&self.directory))?;
        // Their names, before the list that has them.
        self.disk.sync_directory(&self.directory)?;
        self.persist(manifest)?;
        self.last = Some(Last { file, bytes: 0, start_offset: offset, is_ragged: false });
        (self.base_bytes, self.earlier_bytes) = (base_bytes, 0);
        (self.is_broken, self.is_aside) = (false, false);
        if keeps_history { Ok(()) } else { self.forget_history().or(Ok(())) }
    }

    fn create_directory(&self) -> io::Result<()> {
        self.disk.create_directory(&self.directory)?;
        self.disk.sync_directory(&directory_of(&self.directory))
    }

    /// Begins another increment at this replication offset: what is appended from now on goes there. What was appended before is
    /// safe.
    ///
    /// # Errors
    /// If that fails. The log goes on as it was, or is broken.
    pub fn turn(&mut self, offset: u64) -> io::Result<()> {
        self.sync()?;
        if self.is_aside {
            // All of it will be in the base.
            self.begin_aside()?;
            self.begin_at(offset);
            return Ok(());
        }
        // What somebody has removed only a new base brings back.
        self.opened().inspect_err(|_| self.is_broken = true)?;
        let next = self.add_increment(offset)?;
        if let Some(last) = self.last.replace(next) {
            self.earlier_bytes += last.bytes;
        }
        Ok(())
    }

    /// Puts a file, which is whole and safe, as the base in the place of everything before the increment that is written, or of
    /// everything where none is.
    ///
    /// # Errors
    /// If that fails. The log goes on as it was, or is broken.
    pub fn replace_before_last(
        &mut self,
        temporary: &Path,
        form: BaseForm,
        keeps_history: bool,
    ) -> io::Result<()> {
        self.ensure_whole()?;
        let mut manifest = self.manifest.clone();
        let base = manifest.next_base(&self.name, form);
        match &self.last {
            None => {
                self.create_directory()?;
                manifest.begin_anew(base.clone());
            }
            Some(last) if self.is_aside => {
                manifest.begin_anew(base.clone());
                manifest.add_increment(&self.name, last.start_offset);
            }
            Some(_) => manifest.replace_before_last(base.clone()),
        }
        let path = base.path(&self.directory);
        self.disk.rename(temporary, &path)?;
        let (_, base_bytes) = self.disk.open(&path)?;
        // Its name, before the list that has it.
        self.disk.sync_directory(&self.directory)?;
        self.persist(manifest)?;
        (self.base_bytes, self.earlier_bytes, self.is_aside) = (base_bytes, 0, false);
        if keeps_history { Ok(()) } else { self.forget_history().or(Ok(())) }
    }

    /// Deletes what the list has as history.
    ///
    /// # Errors
    /// If the list cannot be written without it.
    pub fn forget_history(&mut self) -> io::Result<()> {
        if self.manifest.history.is_empty() {
            return Ok(());
        }
        let mut manifest = self.manifest.clone();
        for part in manifest.history.drain(..) {
            // One that is gone already is as good.
            let _ = self.disk.remove(&part.path(&self.directory));
        }
        self.persist(manifest)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.base_bytes + self.earlier_bytes + self.last.as_ref().map_or(0, |last| last.bytes)
    }

    /// Bytes of the base.
    pub fn base_bytes(&self) -> u64 {
        self.base_bytes
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} of the append-only log: {error}", path.display()))
}
