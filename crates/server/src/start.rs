//! Start and stop: from a loaded configuration to a serving process, and back.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::command::CommandTable;
use crate::commands;
use crate::config::{Config, Loaded, LogFormat, SetContext};
use crate::net::{Arrivals, Listeners, Worker, listen};
use crate::observe::{logging, metrics};
use crate::server::{Mail, Server};
use crate::system::{huge_pages, open_files};

/// Exit code when the server could not start or failed.
const FAILURE: u8 = 1;

/// Runs the server until a signal or SHUTDOWN stops it.
pub fn serve(loaded: Loaded) -> ExitCode {
    match try_serve(loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swytch: {error}");
            ExitCode::from(FAILURE)
        }
    }
}

fn try_serve(loaded: Loaded) -> io::Result<()> {
    let level = logging::start(&loaded.config)?;
    install_panic_hook();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    fit_maxclients(&loaded.config);
    let threads = match loaded.config.threads() {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    if let Err(error) = loaded.config.apply_oom_score() {
        tracing::warn!("oom-score-adj could not be set: {}", error.reason);
    }
    let commands = CommandTable::new(commands::SPECS, &loaded.renamed_commands).map_err(io::Error::other)?;
    let server = Server::new(loaded.config, threads, commands)?;
    server.set_level_handle(level);
    let listeners = listen(&server)?;
    if listeners.is_empty() {
        return Err(io::Error::other("nothing to listen on: give --port, --unixsocket or both"));
    }
    stop_on_signals(&server)?;
    let arrivals: Vec<Arc<Arrivals>> = (0..threads).map(|_| Arc::default()).collect();
    let workers = (0..threads)
        .map(|index| {
            let worker = Worker::new(Arc::clone(&server), index, Arc::clone(&arrivals[index]))?;
            std::thread::Builder::new().name(format!("swytch-{index}")).spawn(move || worker.run())
        })
        .collect::<io::Result<Vec<_>>>()?;
    let metrics = metrics::start(&server)?;
    let _pid_file = PidFile::create(&server.config);
    huge_pages::switch_on();
    announce(&server, &listeners, &metrics);
    listeners.accept(&server, &arrivals)?;
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("a worker had failed");
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Says on standard output that the server is ready: what a user who has just started it looks for, past the log's
/// level. Redis's test suite waits for these words.
fn announce(server: &Server, listeners: &Listeners, metrics: &[String]) {
    let addresses = listeners.describe().join(", ");
    let metrics = match metrics {
        [] => String::new(),
        metrics => format!(", metrics on {}", metrics.join(", ")),
    };
    let threads = server.workers.len();
    let text = format!(
        "swytch {}: Ready to accept connections on {addresses} with {threads} thread{}{metrics}, PID: {}",
        env!("CARGO_PKG_VERSION"),
        if threads == 1 { "" } else { "s" },
        std::process::id()
    );
    // A reader that has gone away is no reason to end.
    let _ = match server.config.log_format() {
        LogFormat::Text => writeln!(io::stdout(), "{text}"),
        LogFormat::Json => {
            writeln!(io::stdout(), "{{\"level\":\"INFO\",\"fields\":{{\"message\":{text:?}}}}}")
        }
    };
}

/// The file with the process id, for service managers; removed when dropped.
struct PidFile(PathBuf);

impl PidFile {
    /// Writes `pidfile`, if there is one. As in Redis, a failure is no reason not to serve.
    fn create(config: &Config) -> Option<PidFile> {
        let path = config.resolve(OsString::from_vec(config.pidfile()?));
        match std::fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(PidFile(path)),
            Err(error) => {
                tracing::warn!(%error, "cannot write the pid file {}", path.display());
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Lowers `maxclients` to what the operating system's limit on open files allows.
fn fit_maxclients(config: &Config) {
    let Err(possible) = open_files::allow_clients(config.maxclients()) else { return };
    tracing::warn!(
        "maxclients is {possible} instead of {}: the system allows no more open files",
        config.maxclients()
    );
    let value = possible.to_string();
    let pair: (&[u8], &[u8]) = (b"maxclients", value.as_bytes());
    if let Err(error) = config.set_many(&[pair], SetContext::default(), &mut |_, _| Ok(())) {
        tracing::warn!("{}", error.reply());
    }
}

/// The first SIGTERM or SIGINT stops the server cleanly, the second at once.
fn stop_on_signals(server: &Arc<Server>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let server = Arc::clone(server);
    std::thread::Builder::new().name("swytch-signals".into()).spawn(move || {
        for signal in signals.forever() {
            if server.stopping.load(Ordering::Acquire) {
                tracing::warn!("a second signal: stopping at once");
                std::process::exit(128 + signal);
            }
            tracing::info!("received signal {signal}, stopping");
            server.stop();
        }
    })?;
    Ok(())
}

impl Server {
    /// Lets every thread come to its end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for worker in &self.workers {
            worker.mailbox.send(Mail::Stop);
        }
    }
}

/// A panic is a bug: its place and backtrace go to the log, where an operator finds them.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(%panic, %backtrace, "internal error");
    }));
}
