//! What clients wait while the whole data is written: BGSAVE, a rewrite of the log, the data for a follower; and how long
//! that takes, what memory it costs, and how long reading it takes.
//!
//! Clients write at a fixed rate, so a server that stands still is late for all that was to be sent meanwhile: a time begins
//! when a request is due, unless the generator itself has slept for too long. The same load before is what the machine adds.
//! Server, generator and whoever receives the data share the cores.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use swytch_testkit::Program;
use swytch_testkit::client::field_of;

use crate::client::{Client, encode};
use crate::generator::Latencies;
use crate::load::fill;
use crate::process;
use crate::server::{LOGGED, Server};
use crate::throughput::VALUE;

/// Writes a second.
const RATE: u64 = 50_000;
/// Connections that write, how many of them send at the same time, and how many commands each sends then: one at a time would
/// keep two cores from what the data is written with, and measure that they are busy.
const CONNECTIONS: usize = 50;
const AT_A_TIME: usize = 5;
const PIPELINE: usize = 10;
/// Between two looks at whether it is done.
const LOOK: Duration = Duration::from_millis(10);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);
const OK: &[u8] = b"+OK\r\n";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// The file of the data.
    Save,
    /// A new base of the log.
    Rewrite,
    /// What a follower begins with.
    Synchronisation,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Median, 99.9 % and worst of the clients before, in milliseconds.
    pub(crate) before_ms: [f64; 3],
    /// And meanwhile.
    pub(crate) during_ms: [f64; 3],
    pub(crate) time: Duration,
    /// Memory that came on top, of both processes where there are two, as a share of what there was.
    pub(crate) growth: f64,
    /// How long it takes to read the data again at a start.
    pub(crate) loading: Option<Duration>,
}

impl Writing {
    /// The rows.
    pub(crate) const ALL: [Writing; 3] = [Writing::Save, Writing::Rewrite, Writing::Synchronisation];

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Writing::Save => "BGSAVE",
            Writing::Rewrite => "BGREWRITEAOF",
            Writing::Synchronisation => "full synchronisation",
        }
    }

    /// Starts the program, fills it with `keys` and has all of them written; clients write for at least `time` before.
    ///
    /// # Errors
    /// When the server refuses something, or does not come to an end.
    pub(crate) fn measure(
        self,
        program: &Program,
        directives: &[&str],
        keys: u64,
        time: Duration,
    ) -> Result<Written> {
        let mut directives = directives.to_vec();
        if self == Writing::Rewrite {
            directives.extend(LOGGED);
        }
        let mut server = Server::start(program, &directives, None)?;
        let mut client = server.connect()?;
        fill(&mut client, keys, |number| {
            vec!["SET".to_owned(), format!("key:{number:012}"), VALUE.to_owned()]
        })?;
        let mut load = Load::connect(server.port(), keys)?;
        load.run(|begun| begun.elapsed() < time / 4)?;
        let before = load.run(|begun| begun.elapsed() < time)?;
        let resident = server.resident_bytes()?;
        process::forget_peak(server.pid())?;
        let is_over = AtomicBool::new(false);
        let (during, took) = std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let took = self.write(&server, &mut client);
                is_over.store(true, Ordering::Release);
                took
            });
            let during = load.run(|_| !is_over.load(Ordering::Acquire));
            anyhow::Ok((during?, writing.join().expect("nobody panics")?))
        })?;
        let info = client.call(&["INFO", "persistence"])?.text();
        let copied = field_of(&info, self.copied_field()).and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        let grown = process::peak_bytes(server.pid())?.saturating_sub(resident) + copied;
        let loading = match self {
            Writing::Save => Some(server.load_again()?),
            Writing::Rewrite | Writing::Synchronisation => None,
        };
        Ok(Written {
            before_ms: figures_ms(&before),
            during_ms: figures_ms(&during),
            time: took,
            growth: grown as f64 / resident as f64,
            loading,
        })
    }

    /// Has the data written: how long it took.
    fn write(self, server: &Server, client: &mut Client) -> Result<Duration> {
        let (command, running) = match self {
            Writing::Save => ("BGSAVE", "rdb_bgsave_in_progress"),
            Writing::Rewrite => ("BGREWRITEAOF", "aof_rewrite_in_progress"),
            Writing::Synchronisation => return receive_all(server.port()),
        };
        let began = Instant::now();
        client.call(&[command])?;
        while client.info_number("persistence", running)? != 0 {
            ensure!(began.elapsed() < PATIENCE, "{command} does not end");
            std::thread::sleep(LOOK);
        }
        Ok(began.elapsed())
    }

    /// Where a server with two processes says what they do not share any more.
    fn copied_field(self) -> &'static str {
        match self {
            Writing::Save | Writing::Synchronisation => "rdb_last_cow_size",
            Writing::Rewrite => "aof_last_cow_size",
        }
    }
}

fn figures_ms(latencies: &Latencies) -> [f64; 3] {
    [latencies.at(0.5), latencies.at(0.999), latencies.worst_ms()]
}

/// Follows until the data has arrived, and no longer.
fn receive_all(port: u16) -> Result<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"SYNC\r\n")?;
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut line = String::new();
    // Newlines say that it is being made.
    while line.trim().is_empty() {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "the server closed the connection");
    }
    let Some(bytes) = line.trim().strip_prefix('$') else { bail!("SYNC was answered {line:?}") };
    let bytes: u64 = bytes.parse().with_context(|| format!("SYNC was answered {line:?}"))?;
    let received = std::io::copy(&mut reader.take(bytes), &mut std::io::sink())?;
    ensure!(received == bytes, "{received} of {bytes} bytes have arrived");
    Ok(began.elapsed())
}

/// Clients that write at a fixed rate.
struct Load {
    connections: Vec<TcpStream>,
    keys: u64,
    sent: u64,
}

impl Load {
    fn connect(port: u16, keys: u64) -> Result<Load> {
        let connect = |_| {
            let stream = TcpStream::connect(("127.0.0.1", port)).context("connecting the load")?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            anyhow::Ok(stream)
        };
        Ok(Load { connections: (0..CONNECTIONS).map(connect).collect::<Result<_>>()?, keys, sent: 0 })
    }

    /// Writes for as long as it is to go on.
    fn run(&mut self, goes_on: impl Fn(Instant) -> bool) -> Result<Latencies> {
        let between = Duration::from_secs(1) * (AT_A_TIME * PIPELINE) as u32 / RATE as u32;
        let mut latencies = Latencies::new();
        // What is counted with is there before anything is due.
        let (begun, mut turn) = (Instant::now(), 0);
        let mut due = begun;
        while goes_on(begun) {
            let now = Instant::now();
            let is_late = now >= due;
            if !is_late {
                std::thread::sleep(due - now);
            }
            let from = if is_late { due } else { Instant::now() };
            let first = turn * AT_A_TIME % CONNECTIONS;
            let group = first..first + AT_A_TIME;
            for stream in &mut self.connections[group.clone()] {
                let mut requests = Vec::with_capacity(128 * PIPELINE);
                for _ in 0..PIPELINE {
                    // Strides of a large prime visit keys all over the table.
                    let key = self.sent.wrapping_mul(1_000_003) % self.keys;
                    self.sent += 1;
                    encode(&mut requests, &["SET", &format!("key:{key:012}"), VALUE]);
                }
                stream.write_all(&requests).context("sending to the server")?;
            }
            for stream in &mut self.connections[group] {
                let mut replies = [0; OK.len() * PIPELINE];
                stream.read_exact(&mut replies).context("reading replies")?;
                let all_ok = replies.chunks(OK.len()).all(|reply| reply == OK);
                ensure!(all_ok, "SET was answered {:?}", String::from_utf8_lossy(&replies));
                latencies.add(from.elapsed());
            }
            turn += 1;
            due += between;
        }
        Ok(latencies)
    }
}
