//! Servers for tests, ours or Redis, each a process of its own with a scratch directory and a connection.

#![allow(dead_code, unreachable_pub, reason = "each test file includes this and uses another part")]

pub mod connection;
pub mod random;
pub mod replay;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start or to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, and a connection to it. Dropping it kills the process and removes its directory.
pub struct Server {
    program: Program,
    child: Child,
    connection: BufReader<TcpStream>,
    /// The port it was started with.
    pub port: u16,
    /// Its working directory, which holds its configuration file `redis.conf`.
    pub directory: PathBuf,
}

#[derive(Clone, Copy)]
enum Program {
    Redis,
    Swytch,
}

/// A reply, for comparisons: integers and simple strings are text, maps are arrays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    Text(Vec<u8>),
    Error(String),
    Array(Vec<Reply>),
    Nil,
}

impl Server {
    /// Starts Redis with `file` as its configuration; `None`, with the reason printed, when there is none.
    pub fn redis(name: &str, file: &str) -> Option<Server> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("skipped: redis-server is not installed");
            return None;
        }
        Some(Server::start(Program::Redis, name, file))
    }

    /// Starts swytch with `file` as its configuration.
    pub fn swytch(name: &str, file: &str) -> Server {
        Server::start(Program::Swytch, name, file)
    }

    fn start(program: Program, name: &str, file: &str) -> Server {
        let directory = scratch(name);
        let port = free_port();
        std::fs::write(directory.join("redis.conf"), file).expect("a scratch file");
        let child = spawn(program, &directory, &["--port", &port.to_string()]);
        let connection = connect(port);
        Server { program, child, connection, port, directory }
    }

    /// Ends the process and starts another one with the file as it is now; the port must be in it.
    pub fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(self.program, &self.directory, &[]);
        self.reconnect(self.port);
    }

    /// Connects again, to `port`.
    pub fn reconnect(&mut self, port: u16) {
        self.port = port;
        self.connection = connect(port);
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.directory.join("redis.conf")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a command and answers its reply.
    pub fn call(&mut self, words: &[&[u8]]) -> Reply {
        self.try_call(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Like [`Server::call`], with the reply's very bytes.
    pub fn call_exact(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.send(words)
            .and_then(|()| copy_reply(&mut self.connection, &mut bytes))
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        bytes
    }

    /// Like [`Server::call`], for words separated by spaces.
    pub fn say(&mut self, line: &str) -> Reply {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.call(&words)
    }

    fn try_call(&mut self, words: &[&[u8]]) -> std::io::Result<Reply> {
        self.send(words)?;
        read_reply(&mut self.connection)
    }

    fn send(&mut self, words: &[&[u8]]) -> std::io::Result<()> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).into_bytes());
            request.extend_from_slice(word);
            request.extend(b"\r\n");
        }
        self.connection.get_mut().write_all(&request)
    }

    /// CONFIG GET *.
    pub fn get_all(&mut self) -> BTreeMap<String, Vec<u8>> {
        let Reply::Array(parts) = self.say("CONFIG GET *") else {
            panic!("CONFIG GET answers an array");
        };
        parts
            .chunks_exact(2)
            .map(|pair| match pair {
                [Reply::Text(name), Reply::Text(value)] => {
                    (String::from_utf8_lossy(name).into_owned(), value.clone())
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// CONFIG GET of one directive.
    pub fn get(&mut self, name: &str) -> Vec<u8> {
        match self.call(&[b"CONFIG", b"GET", name.as_bytes()]) {
            Reply::Array(parts) => match parts.into_iter().nth(1) {
                Some(Reply::Text(value)) => value,
                other => panic!("{name}: {other:?}"),
            },
            other => panic!("{name}: {other:?}"),
        }
    }

    /// CONFIG SET; the error, or `None` for OK.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Option<String> {
        match self.call(&[b"CONFIG", b"SET", name.as_bytes(), value]) {
            Reply::Error(text) => Some(text),
            _ => None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Reply {
    /// `OK` and other texts.
    pub fn text(text: &str) -> Reply {
        Reply::Text(text.as_bytes().to_vec())
    }
}

fn spawn(program: Program, directory: &PathBuf, arguments: &[&str]) -> Child {
    let mut command = match program {
        Program::Redis => Command::new("redis-server"),
        Program::Swytch => Command::new(env!("CARGO_BIN_EXE_swytch")),
    };
    if matches!(program, Program::Swytch) {
        command.arg("redis");
    }
    command
        .arg(directory.join("redis.conf"))
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts")
}

/// An empty directory of this process.
pub fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("swytch-test-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a scratch directory");
    std::fs::canonicalize(path).expect("it is there")
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn connect(port: u16) -> BufReader<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                return BufReader::new(stream);
            }
            Err(error) if Instant::now() > deadline => panic!("the server did not start: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn read_reply(input: &mut impl BufRead) -> std::io::Result<Reply> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at(1);
    let length = || rest.parse::<i64>().expect("a length");
    match kind {
        "+" | ":" => Ok(Reply::Text(rest.as_bytes().to_vec())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        "$" if length() < 0 => Ok(Reply::Nil),
        "$" => {
            let mut text = vec![0; length() as usize + 2];
            input.read_exact(&mut text)?;
            text.truncate(text.len() - 2);
            Ok(Reply::Text(text))
        }
        "*" => (0..length()).map(|_| read_reply(input)).collect::<Result<_, _>>().map(Reply::Array),
        other => panic!("unexpected reply type {other:?}"),
    }
}

/// Appends one reply of either protocol as it comes.
fn copy_reply(input: &mut impl BufRead, out: &mut Vec<u8>) -> std::io::Result<()> {
    let start = out.len();
    if input.read_until(b'\n', out)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let line = String::from_utf8_lossy(&out[start..]).into_owned();
    let (kind, rest) = line.trim_end().split_at(1);
    let length = rest.parse().unwrap_or(-1_i64);
    match kind {
        "$" | "=" | "!" if length >= 0 => {
            let start = out.len();
            out.resize(start + length as usize + 2, 0);
            input.read_exact(&mut out[start..])?;
        }
        "*" | "~" | ">" => (0..length).try_for_each(|_| copy_reply(input, out))?,
        "%" => (0..length * 2).try_for_each(|_| copy_reply(input, out))?,
        _ => {}
    }
    Ok(())
}
