//! The directives with a syntax of their own, each with its parser, its CONFIG GET form and its lines
//! for CONFIG REWRITE.

use super::directive::Special;
use super::value::{Reason, Value, memory, memory_with_unit};
use super::words;
use crate::system::files;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `save SECONDS CHANGES`: save when this many changes are older than this many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last save, at least 1.
    pub seconds: i64,
    /// Changes since the last save.
    pub changes: i64,
}

/// The client classes that have output-buffer limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClientClass {
    /// Plain clients, and MONITOR.
    Normal = 0,
    /// Followers of the effect stream; `slave` in CONFIG GET, `replica` in files.
    Replica = 1,
    /// Clients subscribed to a channel.
    Pubsub = 2,
}

/// How many client classes there are.
pub const CLIENT_CLASSES: usize = 3;

/// When a client whose replies are not read is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputBufferLimit {
    /// At once beyond this many bytes; 0 for no limit.
    pub hard_bytes: u64,
    /// Beyond this many bytes for `soft_seconds` on end; 0 for no limit.
    pub soft_bytes: u64,
    /// See `soft_bytes`.
    pub soft_seconds: u64,
}

/// The limits of every class, by [`ClientClass`].
pub(super) type OutputBufferLimits = [OutputBufferLimit; CLIENT_CLASSES];

/// Values of `oom-score-adj-values`.
pub(super) const OOM_SCORES: usize = 3;

/// Most addresses `bind` takes (`CONFIG_BINDADDR_MAX`).
const BIND_ADDRESSES_MAX: usize = 16;

/// Addresses listened on by default: every one, of IPv6 only if it is there.
const BIND_DEFAULT: [&str; 2] = ["*", "-::*"];

const SAVE_DEFAULT: [(i64, i64); 3] = [(3600, 1), (300, 100), (60, 10_000)];
const PERCENTILES_DEFAULT: [f64; 3] = [50.0, 99.0, 99.9];
const OUTPUT_LIMITS_DEFAULT: OutputBufferLimits =
    [limit(0, 0, 0), limit(256 << 20, 64 << 20, 60), limit(32 << 20, 8 << 20, 60)];

const fn limit(hard_bytes: u64, soft_bytes: u64, soft_seconds: u64) -> OutputBufferLimit {
    OutputBufferLimit { hard_bytes, soft_bytes, soft_seconds }
}

/// Bits of `notify-keyspace-events`.
pub mod keyspace_events {
    /// `K`: publish to `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: u32 = 1 << 0;
    /// `E`: publish to `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: u32 = 1 << 1;
    /// `g`: DEL, EXPIRE, RENAME and their like.
    pub const GENERIC: u32 = 1 << 2;
    /// `$`: strings.
    pub const STRING: u32 = 1 << 3;
    /// `l`: lists.
    pub const LIST: u32 = 1 << 4;
    /// `s`: sets.
    pub const SET: u32 = 1 << 5;
    /// `h`: hashes.
    pub const HASH: u32 = 1 << 6;
    /// `z`: sorted sets.
    pub const ZSET: u32 = 1 << 7;
    /// `x`: a key expired.
    pub const EXPIRED: u32 = 1 << 8;
    /// `e`: a key was evicted.
    pub const EVICTED: u32 = 1 << 9;
    /// `t`: streams.
    pub const STREAM: u32 = 1 << 10;
    /// `m`: a read missed; not part of `A`.
    pub const KEY_MISS: u32 = 1 << 11;
    /// `d`: module types.
    pub const MODULE: u32 = 1 << 13;
    /// `n`: a key was created; not part of `A`.
    pub const NEW: u32 = 1 << 14;
    /// `o`: a value took the place of another; not part of `A`.
    pub const OVERWRITTEN: u32 = 1 << 15;
    /// `c`: a value took the place of another of a different type; not part of `A`.
    pub const TYPE_CHANGED: u32 = 1 << 16;
    /// `A`: every class but misses, new keys and overwritten values.
    pub const ALL: u32 = GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE;

    /// Characters of the classes that `A` stands for, in the order CONFIG GET writes them.
    const CLASSES: [(u8, u32); 10] = [
        (b'g', GENERIC),
        (b'$', STRING),
        (b'l', LIST),
        (b's', SET),
        (b'h', HASH),
        (b'z', ZSET),
        (b'x', EXPIRED),
        (b'e', EVICTED),
        (b't', STREAM),
        (b'd', MODULE),
    ];

    /// The characters outside `A`. Redis forgets `n`, `o` and `c` beside `A` when it writes the value back; here
    /// reading back what was written changes nothing.
    const OTHERS: [(u8, u32); 6] = [
        (b'n', NEW),
        (b'o', OVERWRITTEN),
        (b'c', TYPE_CHANGED),
        (b'K', KEYSPACE),
        (b'E', KEYEVENT),
        (b'm', KEY_MISS),
    ];

    pub(super) fn parse(characters: &[u8]) -> Option<u32> {
        characters.iter().try_fold(0, |flags, character| {
            if *character == b'A' {
                return Some(flags | ALL);
            }
            let known = CLASSES.iter().chain(&OTHERS);
            known.into_iter().find(|(name, _)| name == character).map(|(_, flag)| flags | flag)
        })
    }

    pub(super) fn format(flags: u32) -> Vec<u8> {
        let mut text = Vec::new();
        if flags & ALL == ALL {
            text.push(b'A');
        } else {
            text.extend(named(&CLASSES, flags));
        }
        text.extend(named(&OTHERS, flags));
        text
    }

    fn named(names: &[(u8, u32)], flags: u32) -> impl Iterator<Item = u8> {
        names.iter().filter(move |(_, flag)| flags & flag != 0).map(|(name, _)| *name)
    }
}

/// The value when nothing is configured.
pub(super) fn default(kind: Special, start_directory: &Path) -> Value {
    match kind {
        Special::Directory => Value::Directory(start_directory.to_path_buf()),
        Special::Save => {
            Value::Save(SAVE_DEFAULT.map(|(seconds, changes)| SavePoint { seconds, changes }).to_vec())
        }
        Special::OutputBufferLimits => Value::OutputBufferLimits(OUTPUT_LIMITS_DEFAULT),
        Special::OomScoreValues => Value::OomScores([0, 200, 800]),
        Special::KeyspaceEvents => Value::Number(0),
        Special::Bind => Value::Bind(BIND_DEFAULT.map(|address| address.as_bytes().to_vec()).into()),
        Special::ReplicaOf => Value::ReplicaOf(None),
        Special::Percentiles => Value::Percentiles(PERCENTILES_DEFAULT.to_vec()),
    }
}

pub(super) fn parse(
    kind: Special,
    words: &[&[u8]],
    current: &Value,
    accumulate: bool,
) -> Result<Value, Reason> {
    match kind {
        Special::Directory => parse_directory(words, current),
        Special::Save => parse_save(words, current, accumulate),
        Special::OutputBufferLimits => parse_output_limits(words, current),
        Special::OomScoreValues => parse_oom_scores(words),
        Special::KeyspaceEvents => {
            let [characters] = words else {
                return Err("wrong number of arguments".to_owned());
            };
            keyspace_events::parse(characters)
                .map(|flags| Value::Number(i64::from(flags)))
                .ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned())
        }
        Special::Bind => parse_bind(words),
        Special::ReplicaOf => parse_replica_of(words),
        Special::Percentiles => parse_percentiles(words),
    }
}

/// The value as CONFIG GET answers it.
pub(super) fn format(kind: Special, value: &Value) -> Vec<u8> {
    match value {
        Value::Directory(path) => path.as_os_str().as_bytes().to_vec(),
        Value::Save(points) => join(points.iter().map(|p| format!("{} {}", p.seconds, p.changes))),
        Value::OutputBufferLimits(limits) => {
            join(["normal", "slave", "pubsub"].iter().zip(limits).map(|(class, limit)| {
                format!("{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
            }))
        }
        Value::OomScores(scores) => join(scores.iter().map(i32::to_string)),
        Value::Number(flags) => keyspace_events::format(*flags as u32),
        Value::Bind(addresses) => addresses.join(&b' '),
        Value::ReplicaOf(None) => Vec::new(),
        Value::ReplicaOf(Some((host, port))) => [host.as_slice(), format!(" {port}").as_bytes()].concat(),
        Value::Percentiles(percentiles) => join(percentiles.iter().map(percentile_text)),
        Value::Text(_) => unreachable!("{kind:?} is not text"),
    }
}

/// The lines CONFIG REWRITE writes.
pub(super) fn rewrite(name: &str, kind: Special, value: &Value) -> Vec<Vec<u8>> {
    let line = |text: &[u8]| [name.as_bytes(), b" ", text].concat();
    let quoted_if_empty = |text: Vec<u8>| match text.as_slice() {
        b"" => line(b"\"\""),
        _ => line(&text),
    };
    match value {
        Value::Directory(path) => vec![line(&words::quote(path.as_os_str().as_bytes()))],
        Value::Save(points) if points.is_empty() => vec![line(b"\"\"")],
        Value::Save(points) => {
            let text = points.iter().map(|p| format!("{} {}", p.seconds, p.changes));
            text.map(|text| line(text.as_bytes())).collect()
        }
        Value::OutputBufferLimits(limits) => {
            let text = ["normal", "replica", "pubsub"].iter().zip(limits).map(|(class, limit)| {
                let hard = memory_with_unit(limit.hard_bytes);
                let soft = memory_with_unit(limit.soft_bytes);
                format!("{class} {hard} {soft} {}", limit.soft_seconds)
            });
            text.map(|text| line(text.as_bytes())).collect()
        }
        Value::Number(_) => vec![line(&words::quote(&format(kind, value)))],
        Value::ReplicaOf(None) => Vec::new(),
        // The addresses every interface has by default are better left to the default.
        Value::Bind(addresses) if addresses.iter().map(Vec::as_slice).eq(BIND_DEFAULT.map(str::as_bytes)) => {
            Vec::new()
        }
        _ => vec![quoted_if_empty(format(kind, value))],
    }
}

/// Like `chdir`: relative to the directory so far, and the directory must be there.
fn parse_directory(words: &[&[u8]], current: &Value) -> Result<Value, Reason> {
    let ([word], Value::Directory(current)) = (words, current) else {
        return Err("wrong number of arguments".to_owned());
    };
    if word.is_empty() {
        return Err("No such file or directory".to_owned());
    }
    // The trailing dot makes this fail for what is no directory, and for one that may not be entered.
    let path = current.join(OsStr::from_bytes(word)).join(".");
    std::fs::canonicalize(path).map(Value::Directory).map_err(|error| files::error_text(&error))
}

fn parse_save(words: &[&[u8]], current: &Value, accumulate: bool) -> Result<Value, Reason> {
    const INVALID: &str = "Invalid save parameters";
    if matches!(words, [] | [b""]) {
        return Ok(Value::Save(Vec::new()));
    }
    let mut points = match current {
        Value::Save(points) if accumulate => points.clone(),
        _ => Vec::new(),
    };
    if !words.len().is_multiple_of(2) {
        return Err(INVALID.to_owned());
    }
    for pair in words.chunks_exact(2) {
        let seconds = c_integer(pair[0]).filter(|seconds| *seconds >= 1);
        let changes = c_integer(pair[1]).filter(|c| (0..=i64::from(i32::MAX)).contains(c));
        let (Some(seconds), Some(changes)) = (seconds, changes) else {
            return Err(INVALID.to_owned());
        };
        points.push(SavePoint { seconds, changes });
    }
    Ok(Value::Save(points))
}

fn parse_output_limits(words: &[&[u8]], current: &Value) -> Result<Value, Reason> {
    if !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    let mut limits = match current {
        Value::OutputBufferLimits(limits) => *limits,
        _ => OUTPUT_LIMITS_DEFAULT,
    };
    for words in words.chunks_exact(4) {
        let class = match words[0].to_ascii_lowercase().as_slice() {
            b"normal" => ClientClass::Normal,
            b"slave" | b"replica" => ClientClass::Replica,
            b"pubsub" => ClientClass::Pubsub,
            _ => {
                return Err("Invalid client class specified in buffer limit configuration.".to_owned());
            }
        };
        let seconds = c_integer(words[3]).and_then(|seconds| u64::try_from(seconds).ok());
        let (Some(hard), Some(soft), Some(seconds)) = (memory(words[1]), memory(words[2]), seconds) else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned()
            );
        };
        limits[class as usize] = limit(hard, soft, seconds);
    }
    Ok(Value::OutputBufferLimits(limits))
}

fn parse_oom_scores(words: &[&[u8]]) -> Result<Value, Reason> {
    if words.len() != OOM_SCORES {
        return Err("wrong number of arguments".to_owned());
    }
    let mut scores = [0; OOM_SCORES];
    for (score, word) in scores.iter_mut().zip(words) {
        *score = c_integer(word)
            .filter(|score| (-2000..=2000).contains(score))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?
            as i32;
    }
    Ok(Value::OomScores(scores))
}

fn parse_bind(words: &[&[u8]]) -> Result<Value, Reason> {
    if words.len() > BIND_ADDRESSES_MAX {
        return Err("Too many bind addresses specified.".to_owned());
    }
    let addresses = match words {
        [b""] => Vec::new(),
        _ => words.iter().map(|word| word.to_vec()).collect(),
    };
    Ok(Value::Bind(addresses))
}

fn parse_replica_of(words: &[&[u8]]) -> Result<Value, Reason> {
    let [host, port] = words else {
        return Err("wrong number of arguments".to_owned());
    };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Value::ReplicaOf(None));
    }
    let port = c_integer(port).and_then(|port| u16::try_from(port).ok()).ok_or("Invalid master port")?;
    Ok(Value::ReplicaOf(Some((host.to_vec(), port))))
}

fn parse_percentiles(words: &[&[u8]]) -> Result<Value, Reason> {
    if matches!(words, [b""]) {
        return Ok(Value::Percentiles(Vec::new()));
    }
    let parse = |word: &&[u8]| -> Result<f64, Reason> {
        let percentile: f64 = std::str::from_utf8(word)
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|percentile: &f64| !percentile.is_nan())
            .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&percentile) {
            return Err(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned()
            );
        }
        Ok(percentile)
    };
    let percentiles: Result<Vec<f64>, Reason> = words.iter().map(parse).collect();
    percentiles.map(Value::Percentiles)
}

/// Reads an integer as C's `strtoll` does when the whole word must be used: nothing is 0.
fn c_integer(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?.trim_ascii_start();
    if text.is_empty() {
        return Some(0);
    }
    text.parse().ok()
}

fn percentile_text(percentile: &f64) -> String {
    let text = format!("{percentile:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn join(parts: impl Iterator<Item = String>) -> Vec<u8> {
    parts.collect::<Vec<_>>().join(" ").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(kind: Special, text: &str) -> String {
        let words: Vec<&[u8]> = match text {
            "" => vec![b""],
            _ => text.split(' ').map(str::as_bytes).collect(),
        };
        match parse(kind, &words, &default(kind, Path::new("/")), false) {
            Ok(value) => String::from_utf8(format(kind, &value)).expect("ascii"),
            Err(reason) => format!("error: {reason}"),
        }
    }

    #[track_caller]
    fn check(kind: Special, text: &str, expected: &str) {
        assert_eq!(round(kind, text), expected, "{kind:?} {text:?}");
    }

    #[test]
    fn save_points() {
        check(Special::Save, "3600 1 300 100", "3600 1 300 100");
        check(Special::Save, "", "");
        for bad in ["100", "0 1", "10 -1", "x 1", "1 y", "100 1 200", "-100 1"] {
            check(Special::Save, bad, "error: Invalid save parameters");
        }
    }

    #[test]
    fn save_lines_of_a_file_add_up() {
        let current = Value::Save(vec![SavePoint { seconds: 900, changes: 1 }]);
        let value = parse(Special::Save, &[b"100", b"100"], &current, true).expect("valid");
        assert_eq!(format(Special::Save, &value), b"900 1 100 100");
        let value = parse(Special::Save, &[b""], &current, true).expect("valid");
        assert_eq!(format(Special::Save, &value), b"");
        assert_eq!(rewrite("save", Special::Save, &value), [b"save \"\""]);
    }

    #[test]
    fn output_buffer_limits_change_only_the_named_classes() {
        check(
            Special::OutputBufferLimits,
            "pubsub 1mb 2k 3 replica 5 6 7",
            "normal 0 0 0 slave 5 6 7 pubsub 1048576 2000 3",
        );
        check(
            Special::OutputBufferLimits,
            "pubsub 1 2",
            "error: Wrong number of arguments in buffer limit configuration.",
        );
        check(
            Special::OutputBufferLimits,
            "master 1 2 3",
            "error: Invalid client class specified in buffer limit configuration.",
        );
        check(
            Special::OutputBufferLimits,
            "normal 1 2 -3",
            "error: Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        );
    }

    #[test]
    fn keyspace_event_classes() {
        check(Special::KeyspaceEvents, "KEA", "AKE");
        check(Special::KeyspaceEvents, "Kgxn", "gxnK");
        check(Special::KeyspaceEvents, "An", "An");
        check(Special::KeyspaceEvents, "g$lshzxetd", "A");
        check(Special::KeyspaceEvents, "", "");
        check(Special::KeyspaceEvents, "q", "error: Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }

    #[test]
    fn addresses_primaries_scores_percentiles() {
        check(Special::Bind, "", "");
        check(Special::Bind, "127.0.0.1 -::1", "127.0.0.1 -::1");
        check(Special::Bind, &["1"; 17].join(" "), "error: Too many bind addresses specified.");
        check(Special::ReplicaOf, "host 6379", "host 6379");
        check(Special::ReplicaOf, "NO ONE", "");
        check(Special::ReplicaOf, "host abc", "error: Invalid master port");
        check(Special::ReplicaOf, "host 65536", "error: Invalid master port");
        check(Special::OomScoreValues, "-5 0 800", "-5 0 800");
        check(
            Special::OomScoreValues,
            "1 2 2001",
            "error: Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
        );
        check(Special::Percentiles, "50 99.90 100", "50 99.9 100");
        check(Special::Percentiles, "", "");
        check(
            Special::Percentiles,
            "101",
            "error: latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        );
        check(Special::Percentiles, "nan", "error: Invalid latency-tracking-info-percentiles parameters");
    }

    #[test]
    fn directories_must_exist() {
        check(Special::Directory, "/", "/");
        check(Special::Directory, "usr/..", "/");
        check(Special::Directory, "/no/such/place", "error: No such file or directory");
        check(Special::Directory, "/etc/passwd", "error: Not a directory");
    }
}
