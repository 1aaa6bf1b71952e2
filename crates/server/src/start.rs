//! Start and stop: from a loaded configuration to a serving process, and back.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXFSZ,
};
use signal_hook::iterator::Signals;

#[cfg(test)]
mod tests;

use crate::SWYTCH_VERSION;
use crate::acl;
use crate::command::CommandTable;
use crate::commands;
use crate::config::{Config, Loaded, SetContext, ShutdownFlags};
use crate::metrics;
use crate::net::{Arrivals, Listeners, Worker, listen};
use crate::observe::traces::Exporter;
use crate::observe::{logging, supervision};
use crate::persistence::load::StartFile;
use crate::persistence::{append, background, replicate, save, shutdown};
use crate::scripting::libraries::{self, Policy};
use crate::server::ending::{AtEnd, How};
use crate::server::{Mail, Server, housekeeping};
use crate::system::disk::SystemDisk;
use crate::system::{huge_pages, open_files};

/// Exit code when the server could not start or failed.
const FAILURE: u8 = 1;

/// Signals whose usual effect is the end of the process, and with it of the data, although nobody who sends them to a
/// server means that.
const HARMLESS: [i32; 7] = [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXFSZ];

/// Runs the server until a signal or SHUTDOWN stops it.
pub fn serve(loaded: Loaded) -> ExitCode {
    let served = try_serve(loaded);
    logging::flush();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swytch: {error}");
            ExitCode::from(FAILURE)
        }
    }
}

fn try_serve(loaded: Loaded) -> io::Result<()> {
    // From the first moment on: what comes before there is a server to stop is handled as soon as there is.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP].iter().chain(&HARMLESS))?;
    let level = logging::start(&loaded.config)?;
    install_panic_hook();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let threads = match loaded.config.threads() {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    fit_maxclients(&loaded.config, threads)?;
    if let Err(error) = loaded.config.apply_oom_score() {
        tracing::warn!("oom-score-adj could not be set: {}", error.reason);
    }
    let commands = CommandTable::new(commands::SPECS, &loaded.renamed_commands).map_err(io::Error::other)?;
    let server = Server::new(loaded.config, threads, commands, Arc::new(SystemDisk))?;
    acl::start(&server.users, &server.config, &loaded.users).map_err(io::Error::other)?;
    server.set_level_handle(level);
    run(commands, &server, |server| heed(signals, server))
}

/// Loads the data and serves until somebody stops the server. `heed` lets others do that; it is called when there is something
/// to stop.
fn run(
    commands: &'static CommandTable,
    server: &Arc<Server>,
    heed: impl FnOnce(&Arc<Server>) -> io::Result<()>,
) -> io::Result<()> {
    server.tls.follow(&server.config).map_err(|error| io::Error::other(format!("TLS: {error}")))?;
    if server.config.tls_port() == 0 && server.config.tls_cert_file().is_some_and(|file| !file.is_empty()) {
        tracing::warn!("tls-cert-file is set, and nobody is served with TLS: tls-port is 0");
    }
    let listeners = listen(server)?;
    if listeners.is_empty() {
        return Err(io::Error::other("nothing to listen on: give --port, --tls-port or --unixsocket"));
    }
    warn_of_open_doors(server);
    // Who has started it finds its process although it does not come to serve, and may connect.
    tracing::info!("swytch {SWYTCH_VERSION} starts, PID: {}", std::process::id());
    let start_file = StartFile::open(server)
        .inspect_err(|error| tracing::error!(%error, "the data was not found as it should be"))?;
    shutdown::start_thread(server)?;
    heed(server)?;
    let arrivals: Vec<Arc<Arrivals>> = server.workers.iter().map(|_| Arc::default()).collect();
    let workers = (0..server.workers.len())
        .map(|index| {
            let (server, arrivals) = (Arc::clone(server), Arc::clone(&arrivals[index]));
            let run = move || Worker::new(commands, &server, index, arrivals).map(Worker::run);
            std::thread::Builder::new().name(format!("swytch-{index}")).spawn(run)
        })
        .collect::<io::Result<Vec<_>>>()?;
    housekeeping::start(server)?;
    let log = append::start_thread(server)?;
    let stream = replicate::start_thread(server)?;
    let metrics = metrics::start(commands, server)?;
    let traces = Exporter::start(&server.config, &server.traces, &server.run_id)?;
    server.apply_sampling();
    let _pid_file = PidFile::create(&server.config);
    huge_pages::switch_on();
    let announcement = announcement(server, &listeners, &metrics);
    let loading = start_file.map(|file| load(commands, server, file, announcement.clone())).transpose()?;
    if loading.is_none() {
        announce(server, &announcement);
    }
    background::start(server)?;
    listeners.accept(server, &arrivals)?;
    supervision::stopping(&server.config);
    for worker in workers {
        if !matches!(worker.join(), Ok(Ok(()))) {
            tracing::error!("a worker had failed");
        }
    }
    if let Some(loading) = loading {
        loading
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that loads the data has failed")))?;
    }
    if log.join().is_err() {
        tracing::error!("the thread of the append-only log had failed");
    }
    if stream.join().is_err() {
        tracing::error!("the thread of the stream for followers had failed");
    }
    if let Some(traces) = traces {
        traces.finish();
    }
    // A save in the background that was under way has left its file.
    save::remove_temporary_file(server);
    tracing::info!("stopped and ready to exit, bye bye");
    Ok(())
}

/// Says who gets in where nobody is asked for a password.
fn warn_of_open_doors(server: &Server) {
    let config = &server.config;
    if !server.users.lets_everybody_in() || config.port() == 0 && config.tls_port() == 0 {
        return;
    }
    let everywhere = config.bind().iter().any(|address| {
        matches!(address.strip_prefix('-').unwrap_or(address), "*" | "0.0.0.0" | "::" | "::*")
    });
    let who = match (config.protected_mode(), everywhere) {
        (true, _) => "clients of this machine",
        (false, true) => "whoever reaches this machine, and nothing protects the data",
        (false, false) => "whoever reaches the addresses that it is bound to",
    };
    tracing::warn!("no password is set: the server is open to {who}");
}

/// Loads the data beside the workers, which tell clients to wait. Damaged data ends the server.
fn load(
    commands: &'static CommandTable,
    server: &Arc<Server>,
    file: StartFile,
    announcement: String,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("swytch-load".into()).spawn(move || {
        let mut take = |sources: Vec<Vec<u8>>| libraries::restore(&server, &sources, Policy::Append);
        let loaded = file.load(commands, &server, &mut take);
        match &loaded {
            Ok(()) => announce(&server, &announcement),
            // Who has stopped the server while it was loading meant no less.
            Err(_) if server.stopping.load(Ordering::Acquire) => return Ok(()),
            Err(error) => {
                tracing::error!(%error, "the data was not loaded; its file is left as it is");
                server.stop();
            }
        }
        loaded
    })
}

/// Says on standard output that the server is ready: what a user who has just started it looks for, past the log's
/// level. Redis's test suite waits for these words.
fn announce(server: &Server, announcement: &str) {
    logging::announce(server.config.log_format(), announcement);
    supervision::ready(&server.config);
}

fn announcement(server: &Server, listeners: &Listeners, metrics: &[String]) -> String {
    let addresses = listeners.describe().join(", ");
    let metrics = match metrics {
        [] => String::new(),
        metrics => format!(", metrics on {}", metrics.join(", ")),
    };
    let threads = server.workers.len();
    format!(
        "swytch {SWYTCH_VERSION}: Ready to accept connections on {addresses} with {threads} thread{}{metrics}, PID: {}",
        if threads == 1 { "" } else { "s" },
        std::process::id()
    )
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
fn fit_maxclients(config: &Config, threads: usize) -> io::Result<()> {
    let Err(possible) = open_files::allow_clients(config.maxclients(), threads, config.metrics_port() != 0)
    else {
        return Ok(());
    };
    if possible == 0 {
        return Err(io::Error::other(
            "the system allows too few open files to serve a single client; raise the limit (ulimit -n)",
        ));
    }
    tracing::warn!(
        "maxclients is {possible} instead of {}: the system allows no more open files",
        config.maxclients()
    );
    let value = possible.to_string();
    let pair: (&[u8], &[u8]) = (b"maxclients", value.as_bytes());
    if let Err(error) = config.set_many(&[pair], SetContext::default(), &mut |_, _| Ok(())) {
        tracing::warn!("{}", String::from_utf8_lossy(&error.reply()));
    }
    Ok(())
}

/// SIGTERM and SIGINT stop the server as `shutdown-on-sigterm` and `shutdown-on-sigint` say. While it comes to its end because of
/// one of them, SIGINT ends it at once, as whoever presses the keys a second time wants it, and SIGTERM does nothing more. SIGHUP
/// has the log file opened anew. The others do nothing.
fn heed(mut signals: Signals, server: &Arc<Server>) -> io::Result<()> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("swytch-signals".into()).spawn(move || {
        let mut begun = None;
        for signal in signals.forever() {
            match signal {
                SIGHUP => logging::reopen(),
                SIGINT if begun.is_some_and(|attempt| !server.ending.was_in_vain(attempt)) => {
                    tracing::warn!("a second signal: stopping at once");
                    save::remove_temporary_file(&server);
                    logging::flush();
                    std::process::exit(i32::from(FAILURE));
                }
                SIGTERM | SIGINT => {
                    tracing::info!("received signal {signal}, stopping");
                    let config = &server.config;
                    let flags = if signal == SIGINT {
                        config.shutdown_on_sigint()
                    } else {
                        config.shutdown_on_sigterm()
                    };
                    let (saves, leaves) =
                        (flags.contains(ShutdownFlags::SAVE), flags.contains(ShutdownFlags::NOSAVE));
                    begun = Some(server.ending.begin(How {
                        at_end: AtEnd::asked(saves, leaves),
                        force: flags.contains(ShutdownFlags::FORCE),
                        now: flags.contains(ShutdownFlags::NOW),
                    }));
                }
                _ => tracing::info!("received signal {signal}, which means nothing here"),
            }
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
        self.listen_requests.await_end();
    }
}

/// A panic is a bug: its place and backtrace go to the log, where an operator finds them.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        logging::limited!(error, "internal errors", %panic, %backtrace, "internal error");
    }));
}
