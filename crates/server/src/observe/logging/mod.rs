//! The log: lines for people or JSON for machines, to standard output, as Redis writes it, or to a file.
//!
//! Invariants: no thread that serves clients waits for the log (`writer.rs`), and no client can make it grow without
//! bound (`limit.rs`: lines that clients cause go through [`limited!`]). A process has one log.

mod limit;
mod writer;

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;

use crate::config::{Config, LogFormat, LogLevel};
pub use limit::LineLimit;
pub(crate) use limit::limited;
use writer::LogWriter;

/// Changes the level while the server runs (CONFIG SET loglevel).
pub type LevelHandle = reload::Handle<LevelFilter, tracing_subscriber::Registry>;

/// The process's log, once started.
static LOG: OnceLock<LogWriter> = OnceLock::new();

/// How long an end of the process waits for the log.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The filter for one of Redis's log levels.
pub fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

/// Starts logging as configured.
///
/// # Errors
/// When `logfile` cannot be opened, as in Redis: a log that is silently elsewhere is missed when it is needed. When
/// logging was started before.
pub fn start(config: &Config) -> io::Result<LevelHandle> {
    let file = config.logfile().filter(|path| !path.is_empty());
    let file = file.map(|path| config.resolve(OsString::from_vec(path)));
    let writer = LogWriter::start(file.as_deref()).map_err(|error| {
        let file = file.unwrap_or_default();
        io::Error::new(error.kind(), format!("cannot open the log file {}: {error}", file.display()))
    })?;
    let writer = LOG.get_or_init(|| writer).clone();
    let (level, handle) = reload::Layer::new(filter(config.loglevel()));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).with_target(false);
    let registry = tracing_subscriber::registry().with(level);
    let started = match config.log_format() {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    started.map_err(io::Error::other)?;
    Ok(handle)
}

/// Says something on standard output, whatever the log's level and place: as a line, or in the form of a JSON log line.
pub fn announce(format: LogFormat, text: &str) {
    let Some(log) = LOG.get() else { return };
    let line = match format {
        LogFormat::Text => format!("{text}\n"),
        LogFormat::Json => format!("{}\n", json_line(text)),
    };
    log.announce(line.into_bytes());
}

fn json_line(message: &str) -> serde_json::Value {
    let mut timestamp = String::new();
    // Writing to memory cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    serde_json::json!({ "timestamp": timestamp, "level": "INFO", "fields": { "message": message } })
}

/// Opens the log file anew (SIGHUP), for the lines to come.
pub fn reopen() {
    if let Some(log) = LOG.get() {
        log.reopen();
    }
}

/// Waits a moment for what was logged to be written, before the process ends.
pub fn flush() {
    if let Some(log) = LOG.get() {
        // Where it cannot be written, the end does not wait for it.
        let _ = log.flush(FLUSH_TIME);
    }
}

/// Lines that could not be written, since the start.
pub fn missing_lines() -> u64 {
    LOG.get().map_or(0, LogWriter::missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_json_whatever_it_says() {
        let text = "on /tmp/a\u{1b}\"\\\n\u{7f}ü";
        let line = json_line(text).to_string();
        assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).expect("valid");
        assert_eq!(read["fields"]["message"], text);
        assert_eq!(read["level"], "INFO");
    }
}
