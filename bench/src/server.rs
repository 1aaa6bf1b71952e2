//! Starting a server binary, ours or a peer's, on a port of its own, and stopping it again.
//!
//! A [`Server`] owns its process: dropping it stops the process and removes its working directory, so a
//! failing run leaves nothing behind. Ports are taken from the operating system and never the well-known ones.
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::process;

/// How long a server may take to answer its first PING.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long a server may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A server binary and how it is called.
#[derive(Clone, Debug)]
pub struct Program {
    /// The name in tables and plots, for example `swytch` or `valkey`.
    pub name: String,
    /// The binary.
    pub path: PathBuf,
    /// Arguments before the directives: `redis` for swytch, none for the peers.
    pub leading_arguments: Vec<String>,
}

impl Program {
    /// A binary that is called the way its file name suggests: `swytch redis ...`, `redis-server ...`.
    pub fn new(name: &str, path: &Path) -> Program {
        let is_swytch = path.file_name().is_some_and(|file| file.to_string_lossy().starts_with("swytch"));
        let leading_arguments = if is_swytch { vec!["redis".to_owned()] } else { Vec::new() };
        Program { name: name.to_owned(), path: path.to_owned(), leading_arguments }
    }

    /// The loop of [`crate::floor`], which `path` runs when it is called with this one argument.
    pub fn floor(path: &Path, argument: &str) -> Program {
        Program {
            name: "floor".to_owned(),
            path: path.to_owned(),
            leading_arguments: vec![argument.to_owned()],
        }
    }

    /// Whether this is our server rather than a peer.
    pub fn is_swytch(&self) -> bool {
        self.leading_arguments == ["redis"]
    }

    /// The version the binary reports, for example `8.0.6`; `unknown` where it reports none.
    pub fn version(&self) -> String {
        let flag = if self.is_swytch() { "version" } else { "--version" };
        let output = Command::new(&self.path).arg(flag).output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        version_in(&text).unwrap_or_else(|| "unknown".to_owned())
    }
}

/// A running server that is stopped when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    directory: PathBuf,
}

impl Server {
    /// Starts the program with the given directives (`["--save", ""]`) and waits until it answers.
    /// `cores` pins every thread of the server to these cores.
    ///
    /// # Errors
    /// When the binary cannot be started, ends at once, or does not answer within 20 seconds; the error carries
    /// the end of the server's log.
    pub fn start(program: &Program, directives: &[&str], cores: Option<&[usize]>) -> Result<Server> {
        let port = free_port()?;
        let directory = working_directory()?;
        let log = directory.join("log");
        let mut command = match cores {
            Some(cores) => pinned(cores, &program.path),
            None => Command::new(&program.path),
        };
        command
            .args(&program.leading_arguments)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(directives)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let child = command.spawn().with_context(|| format!("starting {}", program.path.display()))?;
        let mut server = Server { child, port, directory };
        server.wait_until_ready().with_context(|| format!("{} did not start", program.name))?;
        Ok(server)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(self.port)
    }

    /// CPU time used so far, see [`process::cpu_time`].
    pub fn cpu_time(&self) -> Result<Duration> {
        process::cpu_time(self.pid())
    }

    /// Resident memory now, see [`process::resident_bytes`].
    pub fn resident_bytes(&self) -> Result<u64> {
        process::resident_bytes(self.pid())
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what the server wrote to standard output and standard error, at most `lines` lines.
    pub fn log_tail(&self, lines: usize) -> String {
        let bytes = std::fs::read(self.directory.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                bail!("it ended with {status}; its log ends:\n{}", self.log_tail(20));
            }
            // A peer that is still loading answers -LOADING, which is an answer too, but no PONG.
            if self.connect().and_then(|mut client| client.call(&["PING"])).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "no answer on port {} within {START_LIMIT:?}; its log ends:\n{}",
                    self.port,
                    self.log_tail(20)
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_running() {
            terminate(&mut self.child);
        }
        // A directory that cannot be removed is only litter under the temporary directory.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A command for `program` that runs on the given cores alone.
pub fn pinned(cores: &[usize], program: &Path) -> Command {
    let list: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &list.join(",")]).arg(program);
    command
}

/// A TCP port on 127.0.0.1 that nothing listens on and that no Redis would take by default.
pub fn free_port() -> Result<u16> {
    const WELL_KNOWN: std::ops::RangeInclusive<u16> = 6379..=6399;
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if !WELL_KNOWN.contains(&port) {
            return Ok(port);
        }
    }
}

/// A fresh directory for one server's files.
fn working_directory() -> Result<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("swytch-server-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    Ok(directory)
}

/// SIGTERM, and SIGKILL when that was not enough.
fn terminate(child: &mut Child) {
    let _ = Command::new("kill").arg(child.id().to_string()).stderr(Stdio::null()).status();
    let deadline = Instant::now() + STOP_LIMIT;
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The first dotted number in the text: `Redis server v=7.0.15 sha=...` gives `7.0.15`.
fn version_in(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .find(|part| part.contains('.') && part.starts_with(|c: char| c.is_ascii_digit()))
        .map(|part| part.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_servers_print() {
        assert_eq!(version_in("Redis server v=7.0.15 sha=00000000:0").as_deref(), Some("7.0.15"));
        assert_eq!(version_in("swytch 0.1.0\n").as_deref(), Some("0.1.0"));
        assert_eq!(version_in("nothing"), None);
    }

    #[test]
    fn our_binary_is_called_with_its_subcommand() {
        assert_eq!(Program::new("ours", Path::new("target/release/swytch")).leading_arguments, ["redis"]);
        assert!(Program::new("redis", Path::new("/usr/bin/redis-server")).leading_arguments.is_empty());
    }

    #[test]
    fn a_binary_that_ends_at_once_is_an_error() {
        let failure = Server::start(&Program::new("false", Path::new("false")), &[], None);
        assert!(failure.is_err());
    }
}
