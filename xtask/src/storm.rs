//! `cargo xtask storm`: all commands at random, from many clients at once, half of them over TLS, on a server that evicts.
//!
//! The server may not end, must keep to `maxmemory`, what it has done must be the effects that it has recorded, and in the end
//! its memory is what it was. A build with debug assertions judges more.
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use swytch_bench::server::{Secret, Server};
use swytch_testkit::client::encode;
use swytch_testkit::commands::Vocabulary;
use swytch_testkit::{Client, Program, Random, Reply, scratch};

use crate::arguments::Arguments;
use crate::conformance::Summary;
use crate::conformance::replay::Recording;
use crate::{server_option, workspace};

/// Seconds, unless it is told.
const SECONDS: u64 = 600;
/// Seconds that every change must pass.
const CI_SECONDS: u64 = 20;
/// Threads of clients, each of which has so many connections.
const THREADS: u64 = 10;
const CONNECTIONS: usize = 5;
/// How long a client waits for a reply before it goes: blocking commands may wait for ever.
const REPLY_TIME: Duration = Duration::from_millis(200);
/// Keys that values are put into until memory is full.
const KEYS: u64 = 100_000;
const VALUE_BYTES_MAX: usize = 800;
/// Longest string, so that none of a few commands takes all memory.
const STRING_BYTES_MAX: &str = "1mb";
const MEMORY_BYTES: i64 = 24 << 20;
/// What may be used beyond that: clients, and what is on its way.
const BEYOND_BYTES: i64 = 16 << 20;
/// What may be used in the end beyond what was used in the beginning: tables and buffers that are made at first use.
const LEFT_BYTES: i64 = 4 << 20;

/// Commands that are not sent: they change what the server is, end their connection, or make it speak by itself.
const LEFT_OUT: &[&str] = &[
    "acl",
    "auth",
    "bgrewriteaof",
    "bgsave",
    "client",
    "config",
    "debug",
    "exec",
    "failover",
    "flushall",
    "flushdb",
    "hello",
    "migrate",
    "module",
    "monitor",
    "multi",
    "psubscribe",
    "psync",
    "quit",
    "replconf",
    "replicaof",
    "reset",
    "save",
    "shutdown",
    "slaveof",
    "ssubscribe",
    "subscribe",
    "sync",
    "wait",
    "waitaof",
];

/// Runs the storm, and looks at what it has left.
///
/// # Errors
/// When the server is gone, or something is not as it should be.
pub(crate) fn run(mut arguments: Arguments) -> Result<Summary> {
    let seconds = arguments.number("--seconds")?.unwrap_or(SECONDS);
    let path = server_option(&mut arguments)?.map_or_else(workspace::build_server, Ok)?;
    arguments.nothing_else()?;
    blow(&path, seconds)
}

/// The share that every change must pass.
///
/// # Errors
/// As [`run`].
pub(crate) fn some() -> Result<Summary> {
    blow(&workspace::build_server()?, CI_SECONDS)
}

fn blow(path: &Path, seconds: u64) -> Result<Summary> {
    let program = Program::at("swytch", path);
    let (secret, folder) = (Secret::new()?, scratch("storm"));
    std::fs::create_dir_all(&folder)?;
    let memory = MEMORY_BYTES.to_string();
    let alike = [
        "--threads",
        "2",
        "--save",
        "",
        "--enable-debug-command",
        "yes",
        "--proto-max-bulk-len",
        STRING_BYTES_MAX,
    ];
    let limited = ["--maxmemory", &memory, "--maxmemory-policy", "allkeys-lfu"];
    let mut server = Server::start_secured(&program, &[&alike[..], &limited].concat(), None, &secret)?;
    let mut admin = Client::connect(server.port())?;
    let used_before = admin.info_number("used_memory");
    let recording = Recording::begin(&server, &folder)?;
    let storm = Storm {
        vocabulary: Vocabulary::without(&mut admin, LEFT_OUT),
        port: server.port(),
        tls_port: server.tls_port().context("a port")?,
        tls: tls(secret.certificate())?,
        until: Instant::now() + Duration::from_secs(seconds),
        commands: AtomicU64::new(0),
    };
    let mut random = Random::from_environment();
    let most_used = std::thread::scope(|scope| -> Result<i64> {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (storm, mut random) = (&storm, Random::new(random.below(u64::MAX)));
                scope.spawn(move || storm.blow(&mut random))
            })
            .collect();
        let mut most_used = 0;
        while Instant::now() < storm.until {
            most_used = most_used.max(admin.info_number("used_memory"));
            std::thread::sleep(Duration::from_millis(200));
        }
        for thread in threads {
            thread.join().ok().context("a client has failed")??;
        }
        Ok(most_used)
    })?;
    ensure!(server.is_running(), "the server has ended: {}", server.log_tail(30));
    let evicted = admin.info_number("evicted_keys");
    ensure!(most_used < MEMORY_BYTES + BEYOND_BYTES, "{most_used} bytes were used, {MEMORY_BYTES} allowed");
    recording.prove(&server, &program, &alike)?;
    for command in ["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH", "SLOWLOG RESET"] {
        ensure!(!admin.say(command).is_error(), "{command} is refused");
    }
    let left = |used: &i64| *used < used_before + LEFT_BYTES;
    let used = admin.until("memory is given back", |admin| admin.info_number("used_memory"), left);
    println!(
        "storm: {} commands of {}, {evicted} keys evicted, at most {most_used} bytes used, {used} in the end, {used_before} in the \
         beginning",
        storm.commands.load(Ordering::Relaxed),
        storm.vocabulary.len()
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(Summary { passed: 1, failed: 0 })
}

fn tls(certificate: PathBuf) -> Result<Arc<ClientConfig>> {
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(authorities).with_no_client_auth()))
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// A connection of either kind.
type Connection = BufReader<Box<dyn Stream>>;

struct Storm {
    vocabulary: Vocabulary,
    port: u16,
    tls_port: u16,
    tls: Arc<ClientConfig>,
    until: Instant,
    commands: AtomicU64,
}

impl Storm {
    /// One thread's part. A connection that is closed or waits for too long is made anew.
    fn blow(&self, random: &mut Random) -> Result<()> {
        let mut connections: Vec<Option<Connection>> = (0..CONNECTIONS).map(|_| None).collect();
        while Instant::now() < self.until {
            let place = random.below(connections.len());
            let is_secured = place.is_multiple_of(2);
            let connection = match &mut connections[place] {
                Some(connection) => connection,
                // Where nobody listens any more it is all over.
                none => none.insert(self.connect(is_secured).context("the server is gone")?),
            };
            let requests = self.requests(random);
            self.commands.fetch_add(requests.len() as u64, Ordering::Relaxed);
            if ask(connection, &requests).is_err() {
                connections[place] = None;
            }
        }
        Ok(())
    }

    fn connect(&self, is_secured: bool) -> Result<Connection> {
        let port = if is_secured { self.tls_port } else { self.port };
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIME))?;
        if !is_secured {
            return Ok(BufReader::new(Box::new(stream)));
        }
        let session = ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from("127.0.0.1")?)?;
        Ok(BufReader::new(Box::new(StreamOwned::new(session, stream))))
    }

    /// What is sent together: a command, several, a transaction, a script that calls one.
    fn requests(&self, random: &mut Random) -> Vec<Vec<Vec<u8>>> {
        let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        match random.below(10) {
            0 => {
                let mut requests = vec![words("MULTI")];
                requests.extend((0..random.below(4)).map(|_| self.command(random)));
                requests.push(words("EXEC"));
                requests
            }
            1 => {
                let mut call =
                    vec![b"EVAL".to_vec(), b"return redis.call(unpack(ARGV))".to_vec(), b"0".to_vec()];
                call.extend(self.command(random));
                vec![call]
            }
            2 => (0..random.below(20)).map(|_| self.command(random)).collect(),
            _ => vec![self.command(random)],
        }
    }

    fn command(&self, random: &mut Random) -> Vec<Vec<u8>> {
        if random.once_in(2) {
            return self.vocabulary.step(random).words;
        }
        let (key, value) = (random.below(KEYS), vec![b'v'; random.below(VALUE_BYTES_MAX)]);
        let field = random.below(100_u64).to_string();
        let start: &[&str] = match random.below(6) {
            0 => &["HSET", "hash", &field],
            1 => &["RPUSH", "list"],
            2 => &["ZADD", "zset", &field],
            3 => &["SADD", "set"],
            4 => &["XADD", "stream", "*", &field],
            _ => &["SET", "string"],
        };
        let mut words: Vec<Vec<u8>> = start.iter().map(|word| word.as_bytes().to_vec()).collect();
        words[1].extend(format!(":{key}").bytes());
        words.push(value);
        words
    }
}

/// Sends requests and reads a reply for each.
fn ask(connection: &mut Connection, requests: &[Vec<Vec<u8>>]) -> io::Result<()> {
    let bytes: Vec<u8> = requests.iter().flat_map(|words| encode(words)).collect();
    connection.get_mut().write_all(&bytes)?;
    connection.get_mut().flush()?;
    requests.iter().try_for_each(|_| Reply::read(connection).map(drop))
}
