//! Server processes: ours, a real Redis, any other; each with a port, a directory and a connection of its own.
//!
//! A [`Server`] owns its process: dropping it ends the process and removes its directory, and shows the end of its
//! log where a test is failing. A port is held by a socket of another protocol for as long as the server lives, so no
//! two tests of this machine take the same one; it lies below those that the system gives to outgoing connections.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, Judge, field_of};
use crate::reply::Reply;

/// How long a server may take to start, or to answer.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a log shown where a test fails.
const LOG_LINES: usize = 30;
/// Ports that are tried.
const PORTS: std::ops::Range<u16> = 30_000..32_500;
/// Attempts to start where somebody else has taken the port after it was found free.
const ATTEMPTS: usize = 4;

/// A server binary and how it is called.
#[derive(Clone, Debug)]
pub struct Program {
    /// The name in tables and messages, for example `swytch` or `valkey`.
    pub name: String,
    /// The binary.
    pub path: PathBuf,
    /// Arguments before all others: `redis` for swytch, none for the peers.
    pub leading_arguments: Vec<String>,
    /// Judges every reply that a [`Server`]'s own connections receive.
    pub judge: Option<Judge>,
}

impl Program {
    /// A binary that is called the way its file name suggests: `swytch redis ...`, `redis-server ...`.
    pub fn at(name: &str, path: impl AsRef<Path>) -> Program {
        let path = path.as_ref().to_owned();
        let is_swytch = path.file_name().is_some_and(|file| file.to_string_lossy().starts_with("swytch"));
        let leading_arguments = if is_swytch { vec!["redis".to_owned()] } else { Vec::new() };
        Program { name: name.to_owned(), path, leading_arguments, judge: None }
    }

    /// The `redis-server` on the path, or the one that `SWYTCH_TEST_REDIS` names; `None`, with the reason printed,
    /// when there is none.
    pub fn redis() -> Option<Program> {
        let path = std::env::var_os("SWYTCH_TEST_REDIS").unwrap_or_else(|| "redis-server".into());
        if Command::new(&path).arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("skipped: redis-server is not installed");
            return None;
        }
        Some(Program::at("redis", path))
    }

    /// The same if it is of this version or a later one (`"8.4"`).
    pub fn redis_since(version: &str) -> Option<Program> {
        let numbers =
            |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
        let redis = Program::redis()?;
        let is = redis.version();
        if numbers(&is) < numbers(version) {
            println!("skipped: Redis {is} is older than {version}");
            return None;
        }
        Some(redis)
    }

    /// The same with every reply judged.
    pub fn judged(self, judge: Judge) -> Program {
        Program { judge: Some(judge), ..self }
    }

    /// The newest Redis and Valkey, where `cargo xtask peers` has built them.
    pub fn peers() -> Vec<Program> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/peers");
        let mut found = Vec::new();
        for name in ["redis", "valkey"] {
            let releases = std::fs::read_dir(tools.join(name)).into_iter().flatten().flatten();
            let servers = releases.map(|release| release.path().join("src").join(format!("{name}-server")));
            let mut servers: Vec<PathBuf> = servers.filter(|server| server.is_file()).collect();
            // Releases of one name differ in their numbers only.
            servers.sort();
            match servers.pop() {
                Some(server) => found.push(Program::at(name, server)),
                None => println!("skipped: no {name} was built by `cargo xtask peers`"),
            }
        }
        found
    }

    /// Whether this is our server rather than a peer.
    pub fn is_swytch(&self) -> bool {
        self.leading_arguments.first().is_some_and(|first| first == "redis")
    }

    /// The version the binary reports, for example `8.0.6`; `unknown` where it reports none.
    pub fn version(&self) -> String {
        let flag = if self.is_swytch() { "version" } else { "--version" };
        let output = Command::new(&self.path).arg(flag).output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        version_in(&text).unwrap_or_else(|| "unknown".to_owned())
    }

    /// How a server of this program is to be started; `name` tells its directory from others.
    pub fn launch(&self, name: &str) -> Launch {
        Launch {
            program: self.clone(),
            name: name.to_owned(),
            file: None,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            cores: Vec::new(),
        }
    }

    /// Starts a server with `file` as its configuration.
    ///
    /// # Panics
    /// When it does not start; with its log.
    #[track_caller]
    pub fn start(&self, name: &str, file: &str) -> Server {
        self.launch(name).file(file).start()
    }
}

/// A server about to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    program: Program,
    name: String,
    file: Option<String>,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    cores: Vec<usize>,
}

impl Launch {
    /// The text of its configuration file.
    pub fn file(mut self, text: &str) -> Launch {
        self.file = Some(text.to_owned());
        self
    }

    /// Arguments: `["--save", ""]`.
    pub fn arguments<A: AsRef<str>>(mut self, arguments: &[A]) -> Launch {
        self.arguments.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// A variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Launch {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Pins all of its threads to these cores.
    pub fn cores(mut self, cores: &[usize]) -> Launch {
        self.cores = cores.to_vec();
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// When it does not; with its log.
    #[track_caller]
    pub fn start(self) -> Server {
        self.run().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Like [`Launch::start`], for programs that go on.
    ///
    /// # Errors
    /// When the binary cannot be started, ends at once or does not answer; with the end of its log.
    pub fn run(self) -> io::Result<Server> {
        let directory = scratch(&self.name);
        if let Some(file) = &self.file {
            std::fs::write(directory.join("redis.conf"), file)?;
        }
        let mut failure = io::Error::other("never tried");
        for _ in 0..ATTEMPTS {
            let port = HeldPort::take()?;
            match self.attempt(port, &directory) {
                Ok(server) => return Ok(server),
                Err(error) => failure = error,
            }
            let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            if !log.contains("in use") {
                break;
            }
        }
        // What is left of it is only litter.
        let _ = std::fs::remove_dir_all(&directory);
        Err(failure)
    }

    fn attempt(&self, port: HeldPort, directory: &Path) -> io::Result<Server> {
        let mut child = self.spawn(directory, Some(port.0))?;
        let client = self.first_answer(&mut child, port.0, directory)?;
        Ok(Server {
            launch: self.clone(),
            child,
            client,
            port: port.0,
            _held: port,
            directory: directory.to_owned(),
        })
    }

    /// The first connection that is answered; a process that never answers is ended.
    fn first_answer(&self, child: &mut Child, port: u16, directory: &Path) -> io::Result<Client> {
        let deadline = Instant::now() + PATIENCE;
        let reason = loop {
            if let Ok(Some(status)) = child.try_wait() {
                break format!("ended with {status}");
            }
            if let Some(mut client) = answered(port, child.id()) {
                client.judged_by(self.program.judge);
                return Ok(client);
            }
            if Instant::now() > deadline {
                break format!("does not answer on port {port}");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let _ = child.kill();
        let _ = child.wait();
        let log = log_tail(&directory.join("log"), LOG_LINES);
        Err(io::Error::other(format!("{} {reason}; its log ends:\n{log}", self.program.name)))
    }

    fn spawn(&self, directory: &Path, port: Option<u16>) -> io::Result<Child> {
        let mut command = match &self.cores[..] {
            [] => Command::new(&self.program.path),
            cores => pinned(cores, &self.program.path),
        };
        command.args(&self.program.leading_arguments);
        if self.file.is_some() {
            command.arg(directory.join("redis.conf"));
        }
        if let Some(port) = port {
            command.args(["--port", &port.to_string()]);
        }
        let log = directory.join("log");
        command
            .args(&self.arguments)
            .envs(&self.environment)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let path = self.program.path.display();
        command.spawn().map_err(|error| io::Error::other(format!("starting {path}: {error}")))
    }
}

/// A running server and a connection to it.
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    child: Child,
    /// A connection, the first.
    pub client: Client,
    /// Where it listens on this machine.
    pub port: u16,
    _held: HeldPort,
    /// Its working directory, with its configuration file `redis.conf` if it was given one, and its log.
    pub directory: PathBuf,
}

impl Server {
    /// The `redis-server` of this machine with `file` as its configuration; `None` where there is none.
    #[track_caller]
    pub fn redis(name: &str, file: &str) -> Option<Server> {
        Program::redis().map(|redis| redis.start(name, file))
    }

    /// A further connection.
    #[track_caller]
    pub fn connect(&self) -> Client {
        let mut client = Client::open(self.port);
        client.judged_by(self.program().judge);
        client
    }

    /// Ends the process and starts another one with the file as it is now, in which the port must be if there is one.
    ///
    /// # Panics
    /// When that does not answer; with its log.
    #[track_caller]
    pub fn restart(&mut self) {
        self.start_again().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Makes `text` and the port the file. Only for servers that have one.
    ///
    /// # Panics
    /// When it cannot be written.
    #[track_caller]
    pub fn write_file(&self, text: &str) {
        std::fs::write(self.file(), format!("port {}\n{text}", self.port)).expect("the file is the server's");
    }

    /// Ends the process without a word, starts it with `text` and its port as the file, and waits for its data.
    ///
    /// # Panics
    /// When that does not answer; with its log.
    #[track_caller]
    pub fn restart_with(&mut self, text: &str) {
        self.write_file(text);
        self.restart();
        self.client.until("the data is loaded", |client| client.info_number("loading") == 0, |held| *held);
    }

    /// Like [`Server::restart`], for programs that go on.
    ///
    /// # Errors
    /// When it cannot be started or does not answer; with the end of its log.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.kill();
        let port = self.launch.file.is_none().then_some(self.port);
        self.child = self.launch.spawn(&self.directory, port)?;
        self.client = self.launch.first_answer(&mut self.child, self.port, &self.directory)?;
        Ok(())
    }

    /// Ends the process at once, without a word.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Connects again, to `port`.
    #[track_caller]
    pub fn reconnect(&mut self, port: u16) {
        self.port = port;
        self.client = self.connect();
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.directory.join("redis.conf")
    }

    /// What runs.
    pub fn program(&self) -> &Program {
        &self.launch.program
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by name: `TERM`.
    pub fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.pid().to_string()];
        let _ = Command::new("kill").args(arguments).stderr(Stdio::null()).status();
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the process has ended; its exit code, or none when it runs on or a signal ended it.
    pub fn await_end(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.try_wait().ok().flatten().and_then(|status| status.code())
    }

    /// The end of what it wrote to standard output and standard error.
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.directory.join("log"), lines)
    }

    /// [`Client::call`] on the first connection.
    #[track_caller]
    pub fn call(&mut self, words: &[&[u8]]) -> Reply {
        self.client.call(words)
    }

    /// [`Client::call_exact`] on the first connection.
    #[track_caller]
    pub fn call_exact(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.client.call_exact(words)
    }

    /// [`Client::say`] on the first connection.
    #[track_caller]
    pub fn say(&mut self, line: &str) -> Reply {
        self.client.say(line)
    }

    /// [`Client::get_all`] on the first connection.
    #[track_caller]
    pub fn get_all(&mut self) -> BTreeMap<String, Vec<u8>> {
        self.client.get_all()
    }

    /// [`Client::get`] on the first connection.
    #[track_caller]
    pub fn get(&mut self, name: &str) -> Vec<u8> {
        self.client.get(name)
    }

    /// [`Client::set`] on the first connection.
    #[track_caller]
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Option<String> {
        self.client.set(name, value)
    }

    /// The version it reports, as far as the second dot: `7.0` of `7.0.15`.
    #[track_caller]
    pub fn minor_version(&mut self) -> String {
        let version = field_of(&self.client.info("server"), "redis_version").expect("INFO has a version");
        version.split('.').take(2).collect::<Vec<_>>().join(".")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let name = &self.launch.program.name;
        if std::thread::panicking() {
            let end = match self.child.try_wait() {
                Ok(Some(status)) => format!("has ended with {status}"),
                _ => "runs".to_owned(),
            };
            println!("{name} on port {} {end}; its log ends:\n{}", self.port, self.log_tail(LOG_LINES));
        }
        self.kill();
        // A directory that cannot be removed is only litter.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A connection to the process, when it answers; another server that took the port a moment before is not it.
fn answered(port: u16, pid: u32) -> Option<Client> {
    let mut client = Client::connect(port).ok()?;
    client.send_raw(b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n").ok()?;
    match client.receive().ok()? {
        Reply::Error(text) if text.starts_with("LOADING") => None,
        Reply::Bulk(info) => {
            let answering = field_of(&String::from_utf8_lossy(&info), "process_id");
            answering.is_none_or(|answering| answering == pid.to_string()).then_some(client)
        }
        // It wants a password, or is no Redis.
        _ => Some(client),
    }
}

/// A port that is ours for as long as this lives.
#[derive(Debug)]
struct HeldPort(u16, #[allow(dead_code, reason = "it is held, not used")] UdpSocket);

impl HeldPort {
    fn take() -> io::Result<HeldPort> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let length = PORTS.end - PORTS.start;
        // Processes begin at different places, so that they seldom look at the same port.
        let begin = (std::process::id().wrapping_mul(2_654_435_761) >> 16) as u16 % length;
        for _ in 0..length {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % length;
            let port = PORTS.start + (begin + step) % length;
            let Ok(held) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
            // Somebody who does not hold ports this way may listen.
            if TcpListener::bind(("0.0.0.0", port)).is_ok() {
                return Ok(HeldPort(port, held));
            }
        }
        Err(io::Error::other("no port is free"))
    }
}

/// A port of this machine that nobody listens on now, for what is not started here.
///
/// # Panics
/// When none is left.
pub fn free_port() -> u16 {
    HeldPort::take().expect("a free port").0
}

/// An address of this machine that is not the loopback's.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: this only chooses a route.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// An empty directory that nobody else has.
///
/// # Panics
/// When it cannot be made.
pub fn scratch(name: &str) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("swytch-test-{name}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a scratch directory");
    std::fs::canonicalize(path).expect("it is there")
}

/// A command for `program` that runs on the given cores alone.
pub fn pinned(cores: &[usize], program: &Path) -> Command {
    let list: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &list.join(",")]).arg(program);
    command
}

fn log_tail(path: &Path, lines: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
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
        assert_eq!(Program::at("ours", "target/release/swytch").leading_arguments, ["redis"]);
        assert!(Program::at("redis", "/usr/bin/redis-server").leading_arguments.is_empty());
    }

    #[test]
    fn a_binary_that_ends_at_once_is_an_error() {
        let failure = Program::at("false", "false").launch("false").run();
        assert!(failure.is_err_and(|error| error.to_string().contains("ended with")));
    }

    #[test]
    fn a_held_port_is_given_once() {
        let held: Vec<HeldPort> = (0..20).map(|_| HeldPort::take().expect("a free port")).collect();
        let ports: std::collections::BTreeSet<u16> = held.iter().map(|held| held.0).collect();
        assert_eq!(ports.len(), held.len());
        let taken = ports.iter().all(|port| UdpSocket::bind(("127.0.0.1", *port)).is_err());
        assert!(taken);
    }
}
