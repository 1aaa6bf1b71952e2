//! The list of the files that an append-only log is made of, in Redis's form.
//!
//! Each line names a file, with its number and what it is: the base, which the log begins with, increments, which follow it in the
//! order of their numbers, and history, which is to be deleted. The list is replaced as a whole, so a log changes from one
//! set of files to the next at one moment.
//!
//! Source: the head of Redis's `src/aof.c`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::config::words;

/// Longest line of the list (Redis: `MANIFEST_MAX_LINE`).
const LINE_BYTES_MAX: usize = 1024;
/// Most bytes of the list: far more than any number of rewrites leaves behind.
pub(super) const BYTES_MAX: u64 = 16 << 20;
/// Words of the shortest line.
const WORDS_MIN: usize = 6;

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in the log's directory.
    pub name: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// The replication offset that an increment has begun at, where that is known.
    pub start_offset: Option<u64>,
    /// The one that it has ended at, if nothing has come since it was closed.
    pub end_offset: Option<u64>,
}

impl Part {
    /// Where it lies.
    pub fn path(&self, directory: &Path) -> PathBuf {
        directory.join(OsString::from_vec(self.name.clone()))
    }
}

/// The files of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// What the log begins with.
    pub base: Option<Part>,
    /// What follows, in order.
    pub increments: Vec<Part>,
    /// What is to be deleted.
    pub history: Vec<Part>,
    base_number: u64,
    increment_number: u64,
}

/// How the files of a base are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseForm {
    /// As RDB.
    Rdb,
    /// As commands.
    Commands,
}

impl Manifest {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it, in Redis's words, and in which line.
    pub fn parse(text: &[u8]) -> Result<Manifest, String> {
        let mut manifest = Manifest::default();
        if text.is_empty() {
            return Err("Found an empty AOF manifest".to_owned());
        }
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let at = |what: &str| format!("{what} (line {} of the manifest)", index + 1);
            if line.first() == Some(&b'#') {
                continue;
            }
            if line.len() >= LINE_BYTES_MAX || !line.ends_with(b"\n") {
                return Err(at("The AOF manifest file contains too long line"));
            }
            manifest.add(line).map_err(at)?;
        }
        Ok(manifest)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), &'static str> {
        const FORMAT: &str = "Invalid AOF manifest file format";
        let words = words::split(line).ok_or(FORMAT)?;
        if words.len() < WORDS_MIN || !words.len().is_multiple_of(2) {
            return Err(FORMAT);
        }
        let (mut name, mut number, mut kind) = (None, 0, None);
        let (mut start_offset, mut end_offset) = (None, None);
        let offset =
            |value: &[u8]| swytch_decimal::parse_i64(value).and_then(|number| u64::try_from(number).ok());
        for pair in words.chunks_exact(2) {
            let [key, value] = [&pair[0], &pair[1]];
            match key.to_ascii_lowercase().as_slice() {
                b"file" if value.contains(&b'/') => return Err("File can't be a path, just a filename"),
                b"file" => name = Some(value.clone()),
                b"seq" => number = swytch_decimal::parse_i64(value).unwrap_or(0),
                b"type" => kind = value.first().copied(),
                b"startoffset" => start_offset = offset(value),
                b"endoffset" => end_offset = offset(value),
                // Later versions say more.
                _ => {}
            }
        }
        let (Some(name), Ok(number @ 1..), Some(kind)) = (name, u64::try_from(number), kind) else {
            return Err(FORMAT);
        };
        let part = Part { name, number, start_offset, end_offset };
        match kind {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => {
                self.base_number = number;
                self.base = Some(part);
            }
            b'h' => self.history.push(part),
            b'i' if number <= self.increment_number => return Err("Found a non-monotonic sequence number"),
            b'i' => {
                self.increment_number = number;
                self.increments.push(part);
            }
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    /// The list as a file has it.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let groups = [(self.base.as_slice(), 'b'), (&self.history, 'h'), (&self.increments, 'i')];
        for (parts, kind) in groups {
            for Part { name, number, start_offset, end_offset } in parts {
                let is_plain = !name.is_empty()
                    && name
                        .iter()
                        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\'));
                text.extend_from_slice(b"file ");
                text.extend_from_slice(&if is_plain { name.clone() } else { words::quote(name) });
                text.extend_from_slice(format!(" seq {number} type {kind}").as_bytes());
                if let Some(start) = start_offset {
                    text.extend_from_slice(format!(" startoffset {start}").as_bytes());
                    let end = end_offset.map(|end| format!(" endoffset {end}")).unwrap_or_default();
                    text.extend_from_slice(end.as_bytes());
                }
                text.push(b'\n');
            }
        }
        text
    }

    /// The files that are to be read, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments)
    }

    /// Takes a file of the time before there were lists as the base.
    pub(super) fn of_one_file(name: &[u8]) -> Manifest {
        Manifest {
            base: Some(Part { name: name.to_vec(), number: 1, start_offset: None, end_offset: None }),
            base_number: 1,
            ..Manifest::default()
        }
    }

    /// Adds an increment to a log of this name, which begins at a replication offset.
    pub(super) fn add_increment(&mut self, name: &[u8], start_offset: u64) -> Part {
        self.increment_number += 1;
        let start_offset = Some(start_offset);
        let part = Part { start_offset, ..part(name, self.increment_number, "incr.aof") };
        self.increments.push(part.clone());
        part
    }

    /// The base that comes after the one there is.
    pub(super) fn next_base(&self, name: &[u8], form: BaseForm) -> Part {
        let kind = if form == BaseForm::Rdb { "base.rdb" } else { "base.aof" };
        part(name, self.base_number + 1, kind)
    }

    /// Puts another base in the place of everything before the last increment.
    pub(super) fn replace_before_last(&mut self, base: Part) {
        let last = self.increments.pop();
        self.begin_anew(base);
        self.increments.extend(last);
    }

    /// Puts another base in the place of everything there is.
    pub(super) fn begin_anew(&mut self, base: Part) {
        // The latest first, as in Redis.
        let gone = self.increments.drain(..).rev().chain(self.base.take());
        drop(self.history.splice(0..0, gone));
        self.base_number = base.number;
        self.base = Some(base);
    }
}

fn part(name: &[u8], number: u64, kind: &str) -> Part {
    let name = [name, format!(".{number}.{kind}").as_bytes()].concat();
    Part { name, number, start_offset: None, end_offset: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = match Manifest::parse(text.as_bytes()) {
            Ok(manifest) => String::from_utf8(manifest.text()).expect("it is text"),
            Err(error) => error,
        };
        assert_eq!(told, expected, "{text:?}");
    }

    #[test]
    fn what_redis_writes_is_read_and_written_again() {
        let text = "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.base.rdb seq 1 type h\n\
            file appendonly.aof.4.incr.aof seq 4 type i\nfile \"with space.5.incr.aof\" seq 5 type i\n";
        check(text, text);
        check(&format!("# a remark\n{text}"), text);
        check("FILE a seq 1 type b later word\n", "file a seq 1 type b\n");
        let offsets = "file a seq 1 type i startoffset 7 endoffset 9\nfile b seq 2 type i startoffset 9\n";
        check(offsets, offsets);
        // Where it has begun is not known, so where it has ended is of no use.
        check("file a seq 1 type i startoffset -1 endoffset 9\n", "file a seq 1 type i\n");
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_redis() {
        check("", "Found an empty AOF manifest");
        for line in [
            "\n",
            "file a seq 1\n",
            "file a seq 1 type\n",
            "file a seq 1 typo b\n",
            "file a seq 0 type b\n",
            "file \"a seq 1 type b\n",
        ] {
            check(line, "Invalid AOF manifest file format (line 1 of the manifest)");
        }
        check("file a seq 1 type x\n", "Unknown AOF file type (line 1 of the manifest)");
        check("file ../a seq 1 type b\n", "File can't be a path, just a filename (line 1 of the manifest)");
        let twice = "file a seq 1 type b\nfile b seq 2 type b\n";
        check(twice, "Found duplicate base file information (line 2 of the manifest)");
        let falling = "file a seq 2 type i\nfile b seq 2 type i\n";
        check(falling, "Found a non-monotonic sequence number (line 2 of the manifest)");
        let long = format!("file {} seq 1 type b\n", "a".repeat(LINE_BYTES_MAX));
        check(&long, "The AOF manifest file contains too long line (line 1 of the manifest)");
        check("file a seq 1 type b", "The AOF manifest file contains too long line (line 1 of the manifest)");
    }

    #[test]
    fn a_new_base_makes_history_of_what_was_there() {
        let mut manifest = Manifest::of_one_file(b"old.aof");
        manifest.add_increment(b"log", 0);
        let base = manifest.next_base(b"log", BaseForm::Rdb);
        manifest.begin_anew(base);
        manifest.add_increment(b"log", 5);
        let text = "file log.2.base.rdb seq 2 type b\nfile log.1.incr.aof seq 1 type h startoffset 0\n\
            file old.aof seq 1 type h\nfile log.2.incr.aof seq 2 type i startoffset 5\n";
        check(text, text);
        assert_eq!(manifest.text(), text.as_bytes());
    }
}
