//! The log: lines for people or JSON for machines, to standard output, as Redis writes it, or to a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;

use crate::config::{Config, LogFormat, LogLevel};

/// Changes the level while the server runs (CONFIG SET loglevel).
pub type LevelHandle = reload::Handle<LevelFilter, tracing_subscriber::Registry>;

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

/// Starts logging as configured. A log file that cannot be opened is a warning on standard output, which then gets
/// the log: a redis.conf made for another machine, or for another user, still starts the server.
///
/// # Errors
/// When logging was started before.
pub fn start(config: &Config) -> io::Result<LevelHandle> {
    let (file, warning) = match open_file(config) {
        Ok(file) => (file, None),
        Err(warning) => (None, Some(warning)),
    };
    let writer = match file {
        Some(file) => BoxMakeWriter::new(Mutex::new(file)),
        None => BoxMakeWriter::new(io::stdout),
    };
    let (level, handle) = reload::Layer::new(filter(config.loglevel()));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).with_target(false);
    let registry = tracing_subscriber::registry().with(level);
    let started = match config.log_format() {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    started.map_err(io::Error::other)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}; logging to standard output");
    }
    Ok(handle)
}

/// Opens `logfile`, if there is one; the error names it.
fn open_file(config: &Config) -> Result<Option<File>, String> {
    let Some(path) = config.logfile().filter(|path| !path.is_empty()) else { return Ok(None) };
    let path = config.resolve(std::ffi::OsString::from_vec(path));
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    opened.map(Some).map_err(|error| format!("cannot open the log file {}: {error}", path.display()))
}
