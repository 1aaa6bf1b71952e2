//! `swytch check-rdb FILE`: reads an RDB file to its end and says what is in it.
//!
//! The whole file is read with the reader that loads it, so a file that passes is one that loads. Keys and values are
//! counted and measured, none is kept but the names of the biggest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use swytch_rdb::{Fault, KeyFacts, Kind, Part, Shape, Sink, StreamPart, Writer, read_file};

use super::{FAILURE, UsageError};
use crate::system::{clock, escape};

/// What the usage is.
pub(super) const USAGE: &str = "\
Usage: swytch check-rdb FILE [--biggest N]

Reads an RDB file of any version of Redis or Valkey to its end, checks it, and prints what is in it: keys by type
and encoding, expiry, and the biggest keys by the bytes they take in the file. '-' reads standard input.

  --biggest N   how many of the biggest keys to name (default 10, at most 1000)

The exit status is 0 for a sound file, 1 for a damaged one or one that cannot be read.

Examples:
  swytch check-rdb /var/lib/redis/dump.rdb
  redis-cli --rdb - | swytch check-rdb - --biggest 3
";

/// Bytes read from the file at a time.
pub(super) const BUFFER_BYTES: usize = 1 << 20;
/// Bytes shown of a name.
const NAME_BYTES_MAX: usize = 60;
const BIGGEST_DEFAULT: usize = 10;
const BIGGEST_MAX: usize = 1000;

/// What `swytch check-rdb` was given.
#[derive(Debug, PartialEq, Eq)]
pub struct CheckRdb {
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// How many keys to name.
    pub biggest: usize,
}

/// Understands the arguments; nothing for a question about usage.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Option<CheckRdb>, UsageError> {
    let mut file = None;
    let mut biggest = BIGGEST_DEFAULT;
    let mut words = arguments.into_iter();
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--biggest") => {
                let number = words.next().and_then(|word| word.to_str()?.parse().ok());
                let wrong = || UsageError(format!("check-rdb: --biggest takes a number up to {BIGGEST_MAX}"));
                biggest = number.filter(|number| *number <= BIGGEST_MAX).ok_or_else(wrong)?;
            }
            Some(option) if option.starts_with("--") => {
                return Err(UsageError(format!("check-rdb: unknown option '{option}'")));
            }
            _ if file.is_none() => file = Some(PathBuf::from(word)),
            _ => return Err(UsageError("check-rdb: one file at a time".into())),
        }
    }
    let file =
        file.ok_or_else(|| UsageError("check-rdb: which file? See 'swytch check-rdb --help'.".into()))?;
    Ok(Some(CheckRdb { file, biggest }))
}

/// Reads the file and prints the report.
pub(super) fn run(wanted: &CheckRdb) -> ExitCode {
    let mut survey = Survey::new(wanted.biggest, clock::unix_ms());
    let outcome = if wanted.file == Path::new("-") {
        Ok(read_file(BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock()), &mut survey))
    } else {
        open(&wanted.file).map(|source| read_file(source, &mut survey))
    };
    let name = wanted.file.display();
    match outcome {
        Err(error) => {
            eprintln!("swytch: cannot read {name}: {error}");
            ExitCode::from(FAILURE)
        }
        Ok(Err(fault)) => {
            super::print(&survey.report(&name.to_string(), Some(&fault)));
            eprintln!("swytch: {name} is damaged: {fault}");
            ExitCode::from(FAILURE)
        }
        Ok(Ok(_)) => super::print(&survey.report(&name.to_string(), None)),
    }
}

fn open(path: &Path) -> io::Result<impl BufRead + use<>> {
    Ok(BufReader::with_capacity(BUFFER_BYTES, shown_while_read(File::open(path)?)?))
}

/// The file behind a bar on standard error, where somebody looks at it.
pub(super) fn shown_while_read(file: File) -> io::Result<impl Read + use<>> {
    let bar = ProgressBar::with_draw_target(Some(file.metadata()?.len()), ProgressDrawTarget::stderr());
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).map_err(io::Error::other)?);
    Ok(bar.wrap_read(file))
}

/// Keys of one kind, counted.
#[derive(Debug, Default)]
struct Count {
    keys: u64,
    elements: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Database {
    keys: u64,
    expiring: u64,
    expired: u64,
}

/// A key as the list of the biggest knows it: by its bytes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Big {
    bytes: u64,
    elements: u64,
    kind: Kind,
    database: u64,
    key: Vec<u8>,
}

/// What has been seen of the file.
struct Survey {
    now_ms: u64,
    head: Option<(u32, Writer)>,
    remarks: BTreeMap<String, String>,
    databases: BTreeMap<u64, Database>,
    kinds: BTreeMap<(Kind, Shape), Count>,
    functions: u64,
    /// The biggest so far, the smallest of them on top.
    biggest: BinaryHeap<Reverse<Big>>,
    biggest_max: usize,
    /// The database of the keys that come.
    database: u64,
    /// The key that is being read, its shape, and how many elements it has so far.
    key: Vec<u8>,
    kind: Kind,
    shape: Shape,
    elements: u64,
}

impl Survey {
    fn new(biggest_max: usize, now_ms: u64) -> Survey {
        Survey {
            now_ms,
            head: None,
            remarks: BTreeMap::new(),
            databases: BTreeMap::new(),
            kinds: BTreeMap::new(),
            functions: 0,
            biggest: BinaryHeap::new(),
            biggest_max,
            database: 0,
            key: Vec::new(),
            kind: Kind::String,
            shape: Shape::Plain,
            elements: 0,
        }
    }

    fn report(self, name: &str, fault: Option<&Fault>) -> String {
        let mut text = String::new();
        let state = if fault.is_some() { "DAMAGED" } else { "sound" };
        let _ = writeln!(text, "{name}: {state}{}", self.origin());
        if fault.is_some() && !self.key.is_empty() {
            let _ = writeln!(text, "the last key that begins before the damage: {}", shown(&self.key));
        }
        let table: Vec<Vec<String>> = self
            .databases
            .iter()
            .map(|(index, seen)| {
                let numbers = [*index, seen.keys, seen.expiring, seen.expired];
                numbers.iter().map(u64::to_string).collect()
            })
            .collect();
        push_table(&mut text, &["database", "keys", "expiring", "expired"], table);
        let table: Vec<Vec<String>> = self
            .kinds
            .iter()
            .map(|((kind, shape), count)| {
                let names = [kind.name().to_owned(), shape.name().to_owned()];
                let numbers = [count.keys, count.elements, count.bytes].map(|number| number.to_string());
                [names.as_slice(), &numbers].concat()
            })
            .collect();
        push_table(&mut text, &["type", "written as", "keys", "elements", "bytes"], table);
        let table: Vec<Vec<String>> = self
            .biggest
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse(big)| {
                let numbers = [big.bytes, big.elements, big.database].map(|number| number.to_string());
                [numbers.as_slice(), &[big.kind.name().to_owned(), shown(&big.key)]].concat()
            })
            .collect();
        push_table(&mut text, &["bytes", "elements", "database", "type", "biggest keys"], table);
        if self.functions > 0 {
            let _ = writeln!(text, "\nlibraries of functions: {}", self.functions);
        }
        text
    }

    /// Who wrote the file, and when.
    fn origin(&self) -> String {
        let Some((version, _)) = self.head else { return String::new() };
        let by = [("valkey-ver", "Valkey"), ("redis-ver", "Redis")];
        let by = by.iter().find_map(|(name, who)| Some(format!(" by {who} {}", self.remarks.get(*name)?)));
        let saved_s: Option<u64> = self.remarks.get("ctime").and_then(|seconds| seconds.parse().ok());
        let age = saved_s.map(|saved_s| (self.now_ms / 1000).saturating_sub(saved_s));
        let age = age.map(|age_s| match age_s {
            0..=119 => format!(", saved {age_s} seconds ago"),
            120..=7199 => format!(", saved {} minutes ago", age_s / 60),
            7200..=172_799 => format!(", saved {} hours ago", age_s / 3600),
            _ => format!(", saved {} days ago", age_s / 86_400),
        });
        format!(", RDB version {version}{}{}", by.unwrap_or_default(), age.unwrap_or_default())
    }
}

impl Sink for Survey {
    fn head(&mut self, version: u32, writer: Writer) {
        self.head = Some((version, writer));
    }

    fn remark(&mut self, name: &[u8], value: &[u8]) {
        /// Writers say about ten things.
        const REMARKS_MAX: usize = 100;
        if self.remarks.len() < REMARKS_MAX {
            self.remarks.insert(shown(name), shown(value));
        }
    }

    fn database(&mut self, index: u64) -> Result<(), String> {
        self.database = index;
        Ok(())
    }

    fn function(&mut self, _: &[u8]) -> Result<(), String> {
        self.functions += 1;
        Ok(())
    }

    fn begin(&mut self, key: &[u8], facts: KeyFacts, kind: Kind, shape: Shape) -> Result<(), String> {
        self.key.clear();
        self.key.extend_from_slice(key);
        (self.kind, self.shape, self.elements) = (kind, shape, 0);
        let database = self.databases.entry(self.database).or_default();
        database.keys += 1;
        if let Some(expires_ms) = facts.expires_ms {
            database.expiring += 1;
            database.expired += u64::from(expires_ms <= self.now_ms);
        }
        Ok(())
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), String> {
        let counts = match part {
            Part::Stream(part) => matches!(part, StreamPart::Item { .. }),
            _ => true,
        };
        self.elements += u64::from(counts);
        Ok(())
    }

    fn end(&mut self, bytes: u64) -> Result<(), String> {
        let count = self.kinds.entry((self.kind, self.shape)).or_default();
        count.keys += 1;
        count.elements += self.elements;
        count.bytes += bytes;
        if self.biggest.len() == self.biggest_max {
            if self.biggest.peek().is_none_or(|Reverse(smallest)| smallest.bytes >= bytes) {
                return Ok(());
            }
            self.biggest.pop();
        }
        let (elements, kind, database) = (self.elements, self.kind, self.database);
        self.biggest.push(Reverse(Big { bytes, elements, kind, database, key: self.key.clone() }));
        Ok(())
    }
}

/// A name as a person can read it, cut where it is long.
fn shown(name: &[u8]) -> String {
    let mut line = Vec::new();
    escape::push_quoted(&mut line, &name[..name.len().min(NAME_BYTES_MAX)]);
    let mut text = String::from_utf8_lossy(&line).trim_matches('"').to_owned();
    if name.len() > NAME_BYTES_MAX {
        let _ = write!(text, "… ({} bytes)", name.len());
    }
    text
}

/// Appends a table, numbers to the right and words to the left; nothing for one without rows.
fn push_table(text: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let head = head.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    text.push('\n');
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let is_number = rows[1][column].bytes().all(|byte| byte.is_ascii_digit());
            let last = column + 1 == row.len();
            let _ = match (is_number, last) {
                (true, _) => write!(text, "{cell:>width$}"),
                (false, false) => write!(text, "{cell:<width$}"),
                (false, true) => write!(text, "{cell}"),
            };
            text.push_str(if last { "\n" } else { "  " });
        }
    }
}
