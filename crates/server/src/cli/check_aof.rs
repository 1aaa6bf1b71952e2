//! `swytch check-aof PATH [--fix]`: reads an append-only log to its end, and cuts off what is not whole.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use swytch_rdb::{KeyFacts, Kind, Part, Shape, Sink, read_file};

use super::{FAILURE, UsageError, check_rdb};
use crate::aof::manifest::Manifest;
use crate::aof::reader::{Bad, CommandReader, begins_as_rdb};

/// What the usage is.
pub(super) const USAGE: &str = "\
Usage: swytch check-aof PATH [--fix]

Reads an append-only log to its end: a file of commands, with an RDB part in front or without, or all files that a
manifest (NAME.manifest) names. It says how many commands each file has, or where it is damaged.

  --fix   cut off everything from the first byte that is wrong, in the last file; make a copy first

The exit status is 0 for a sound log and for one that was cut, 1 for a damaged one or one that cannot be read.

Examples:
  swytch check-aof appendonlydir/appendonly.aof.manifest
  swytch check-aof appendonlydir/appendonly.aof.7.incr.aof --fix
";

/// What `swytch check-aof` was given.
#[derive(Debug, PartialEq, Eq)]
pub struct CheckAof {
    /// A file, or a manifest.
    pub path: PathBuf,
    /// What is not whole is cut off.
    pub fix: bool,
}

/// Understands the arguments; nothing for a question about usage.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Option<CheckAof>, UsageError> {
    let (mut path, mut fix) = (None, false);
    for word in arguments {
        match word.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--fix") => fix = true,
            Some(option) if option.starts_with("--") => {
                return Err(UsageError(format!("check-aof: unknown option '{option}'")));
            }
            _ if path.is_none() => path = Some(PathBuf::from(word)),
            _ => return Err(UsageError("check-aof: one log at a time".into())),
        }
    }
    let path =
        path.ok_or_else(|| UsageError("check-aof: which file? See 'swytch check-aof --help'.".into()))?;
    Ok(Some(CheckAof { path, fix }))
}

/// Reads the log, and says what is in it.
pub(super) fn run(wanted: &CheckAof) -> ExitCode {
    match check(wanted) {
        Ok(text) => super::print(&text),
        Err(text) => {
            eprintln!("swytch: {text}");
            ExitCode::from(FAILURE)
        }
    }
}

fn check(wanted: &CheckAof) -> Result<String, String> {
    let files = files_of(&wanted.path)?;
    let mut report = String::new();
    for (index, file) in files.iter().enumerate() {
        let name = file.display();
        let found = read(file).map_err(|error| format!("cannot read {name}: {error}"))?;
        let Some(why) = &found.damage else {
            report.push_str(&format!("{name}: sound, {found}\n", found = found.content()));
            continue;
        };
        let text =
            format!("{name}: DAMAGED behind byte {}: {why}; {} before", found.whole_bytes, found.content());
        if found.whole_bytes == 0 && found.keys.is_some() {
            // Keys come in no order that a shorter file would keep.
            return Err(format!(
                "{report}{text}. It is the RDB part, of which nothing is left when it is cut"
            ));
        }
        let lost = found.bytes - found.whole_bytes;
        if !wanted.fix {
            return Err(format!("{report}{text}. --fix would cut off {lost} bytes"));
        }
        if index + 1 < files.len() {
            return Err(format!("{report}{text}. Other files follow it, so nothing was cut off"));
        }
        let cut = OpenOptions::new().write(true).open(file).and_then(|file| {
            file.set_len(found.whole_bytes)?;
            file.sync_all()
        });
        cut.map_err(|error| format!("{report}{text}. It cannot be cut: {error}"))?;
        report.push_str(&format!("{text}. {lost} bytes were cut off\n"));
    }
    Ok(report)
}

/// The files of a log, in the order in which they are read.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path.extension().is_none_or(|extension| extension != "manifest") {
        return Ok(vec![path.to_owned()]);
    }
    let name = path.display();
    let text = std::fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let manifest = Manifest::parse(&text).map_err(|error| format!("{name} is damaged: {error}"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let files: Vec<PathBuf> = manifest.parts().map(|part| part.path(folder)).collect();
    if files.is_empty() { Err(format!("{name} names no file")) } else { Ok(files) }
}

/// What a file has.
#[derive(Debug, Default)]
struct Found {
    bytes: u64,
    /// Bytes up to the end of the last command, or transaction, that is whole.
    whole_bytes: u64,
    /// Keys of the part that is RDB.
    keys: Option<u64>,
    commands: u64,
    damage: Option<String>,
}

impl Found {
    fn content(&self) -> String {
        let keys = self.keys.map(|keys| format!("{keys} keys and ")).unwrap_or_default();
        format!("{keys}{} commands in {} bytes", self.commands, self.whole_bytes)
    }
}

fn read(path: &Path) -> io::Result<Found> {
    let file = File::open(path)?;
    let mut found = Found { bytes: file.metadata()?.len(), ..Found::default() };
    let mut source = BufReader::with_capacity(check_rdb::BUFFER_BYTES, check_rdb::shown_while_read(file)?);
    if begins_as_rdb(source.fill_buf()?) {
        let mut keys = Keys(0);
        let outcome = read_file(&mut source, &mut keys);
        found.keys = Some(keys.0);
        match outcome {
            Ok(bytes) => found.whole_bytes = bytes,
            Err(fault) => {
                found.damage = Some(fault.to_string());
                return Ok(found);
            }
        }
    }
    let mut reader = CommandReader::new(source, found.whole_bytes);
    // Commands of a transaction that has not ended yet.
    let mut open: Option<u64> = None;
    loop {
        match reader.next() {
            Ok(true) => {}
            Ok(false) => break,
            Err(Bad::Truncated) => {
                found.damage = Some("the file ends in the middle of a command".to_owned());
                break;
            }
            Err(Bad::Format) => {
                found.damage = Some(format!("there is no command at byte {}", reader.offset()));
                break;
            }
            Err(Bad::Unreadable(error)) => return Err(error),
        }
        let name = reader.command().get(0);
        if name.eq_ignore_ascii_case(b"MULTI") && open.is_none() {
            open = Some(1);
            continue;
        }
        if let Some(commands) = &mut open {
            *commands += 1;
            if !name.eq_ignore_ascii_case(b"EXEC") {
                continue;
            }
        }
        found.commands += open.take().unwrap_or(1);
        found.whole_bytes = reader.offset();
    }
    if open.is_some() && found.damage.is_none() {
        found.damage = Some("the file ends in the middle of a transaction".to_owned());
    }
    // Times may stand behind the last command.
    if found.damage.is_none() {
        found.whole_bytes = reader.offset();
    }
    Ok(found)
}

/// Counts keys.
struct Keys(u64);

impl Sink for Keys {
    fn begin(&mut self, _: &[u8], _: KeyFacts, _: Kind, _: Shape) -> Result<(), String> {
        self.0 += 1;
        Ok(())
    }

    fn part(&mut self, _: Part<'_>) -> Result<(), String> {
        Ok(())
    }

    fn end(&mut self, _: u64) -> Result<(), String> {
        Ok(())
    }
}
