//! Many connections to one server process: what the tests of concurrency share.

#![allow(dead_code, unreachable_pub, reason = "each test file includes this and uses another part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start, or a reply that must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server process, killed when dropped.
pub struct Process {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Process {
    /// Starts swytch with this many worker threads, and environment variables.
    pub fn swytch(threads: usize, environment: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swytch"));
        command.args(["redis", "--threads", &threads.to_string()]).envs(environment.iter().copied());
        Process::start(command, &["--enable-debug-command", "yes"])
    }

    /// Starts Redis; `None`, with the reason printed, where it is not installed.
    pub fn redis() -> Option<Process> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("skipped: redis-server is not installed");
            return None;
        }
        Some(Process::start(Command::new("redis-server"), &["--enable-debug-command", "yes"]))
    }

    fn start(mut command: Command, arguments: &[&str]) -> Process {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let child = command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(arguments)
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        Process { child, port }
    }

    /// A connection; waits for the server to listen.
    pub fn connect(&self) -> Connection {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                    stream.set_nodelay(true).expect("a socket option");
                    return Connection { stream: BufReader::with_capacity(512, stream) };
                }
                Err(error) if Instant::now() > deadline => panic!("the server did not start: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A simple string.
    Simple(String),
    /// An error.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A bulk string; tests use text only.
    Bulk(String),
    /// An array.
    Array(Vec<Reply>),
    /// The null bulk string, or RESP3's null.
    Null,
    /// The null array.
    NullArray,
}

impl Reply {
    /// The number in an integer or a bulk string.
    pub fn number(&self) -> Option<u64> {
        match self {
            Reply::Integer(number) => u64::try_from(*number).ok(),
            Reply::Bulk(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn elements(&self) -> &[Reply] {
        match self {
            Reply::Array(elements) => elements,
            other => panic!("not an array: {other:?}"),
        }
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reply::Simple(text) | Reply::Bulk(text) => write!(f, "{text}"),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(number) => write!(f, ":{number}"),
            Reply::Null => write!(f, "null"),
            Reply::NullArray => write!(f, "null-array"),
            Reply::Array(elements) => {
                write!(f, "[")?;
                for (index, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if index > 0 { ", " } else { "" })?;
                }
                write!(f, "]")
            }
        }
    }
}

/// One connection, blocking.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Sends a command without reading its reply.
    pub fn send(&mut self, words: &[&str]) {
        self.stream.get_mut().write_all(encode(words).as_bytes()).expect("the server reads");
    }

    /// Sends commands in one write.
    pub fn send_all(&mut self, commands: &[Vec<&str>]) {
        let requests: String = commands.iter().map(|words| encode(words)).collect();
        self.stream.get_mut().write_all(requests.as_bytes()).expect("the server reads");
    }

    /// Reads a reply.
    pub fn receive(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()),
            "_" => Reply::Null,
            "$" if number() < 0 => Reply::Null,
            "$" => {
                let mut text = vec![0; number() as usize + 2];
                self.stream.read_exact(&mut text)?;
                text.truncate(text.len() - 2);
                Reply::Bulk(String::from_utf8(text).expect("tests use text only"))
            }
            "*" if number() < 0 => Reply::NullArray,
            "*" => Reply::Array((0..number()).map(|_| self.receive()).collect::<Result<_, _>>()?),
            other => panic!("unexpected reply type {other:?}"),
        })
    }

    /// Sends a command and reads its reply.
    pub fn call(&mut self, words: &[&str]) -> Reply {
        self.send(words);
        self.receive().unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// [`Connection::call`] with words separated by spaces.
    pub fn say(&mut self, line: &str) -> Reply {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    /// Whether a reply, or the end, arrives within a time.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(time)).expect("a timeout");
        let heard = self.stream.fill_buf().is_ok();
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
        heard
    }

    /// Sends nothing more, but still reads.
    pub fn shut_down_sending(&mut self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).expect("the socket is open");
    }

    /// Clients that wait in blocking commands.
    pub fn blocked_clients(&mut self) -> usize {
        let Reply::Bulk(info) = self.say("INFO clients") else { panic!("INFO answers a text") };
        let field = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        field.and_then(|number| number.trim().parse().ok()).expect("INFO has the field")
    }

    /// Waits until this many clients wait in blocking commands.
    pub fn await_blocked(&mut self, wanted: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.blocked_clients() != wanted {
            assert!(Instant::now() < deadline, "{} clients wait, not {wanted}", self.blocked_clients());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn encode(words: &[&str]) -> String {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    request
}

/// A small generator (splitmix64): the same numbers for the same seed.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A seed from the clock, or from `SEED` in the environment; printed, so that a failure can be repeated.
    pub fn seed(test: &str) -> u64 {
        let seed = match std::env::var("SEED") {
            Ok(seed) => seed.parse().expect("SEED is a number"),
            Err(_) => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.map_or(1, |since| since.subsec_nanos().into())
            }
        };
        println!("{test}: SEED={seed}");
        seed
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }
}
