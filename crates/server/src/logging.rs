//! The log: lines for people or JSON for machines, to standard output, as Redis writes it, or to a file.

use std::fs::OpenOptions;
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

/// Starts logging as configured.
///
/// # Errors
/// When the log file cannot be opened, or logging was started before.
pub fn start(config: &Config) -> io::Result<LevelHandle> {
    let writer = match config.logfile().filter(|path| !path.is_empty()) {
        Some(path) => {
            let path = config.resolve(std::ffi::OsString::from_vec(path));
            let file = OpenOptions::new().create(true).append(true).open(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot open the log file {}: {error}", path.display()))
            })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
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
    Ok(handle)
}
