//! A load generator that costs little: one thread, one event loop, requests made once and replies only counted.
//!
//! It takes as much of the machine as it must and no more, because on a small machine generator and server share
//! cores. What it can do is what the rows need: send without end, and one request at a time on very many connections.
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// How long one turn of the loop waits for events, so that it hears when it is over.
const TICK: Duration = Duration::from_millis(20);
/// How long nothing may come where something should.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes read or written for one connection before the next one's turn.
const SHARE: usize = 1 << 18;

/// Round trips in microseconds, one count per microsecond up to [`Latencies::MAX_US`].
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    total: u64,
    worst: Duration,
}

impl Latencies {
    /// Longer ones are counted together, but for the worst.
    const MAX_US: usize = 2_000_000;

    pub(crate) fn new() -> Latencies {
        Latencies { counts: vec![0; Latencies::MAX_US + 1], total: 0, worst: Duration::ZERO }
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.counts[(time.as_micros() as usize).min(Latencies::MAX_US)] += 1;
        self.total += 1;
        self.worst = self.worst.max(time);
    }

    /// The milliseconds that this share of the round trips did not exceed.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        });
        found.map_or(f64::NAN, |us| us as f64 / 1e3)
    }

    pub(crate) fn worst_ms(&self) -> f64 {
        self.worst.as_secs_f64() * 1e3
    }
}

/// One connection of either kind.
struct Connection {
    stream: TcpStream,
    /// Bytes of the request that are sent already.
    sent: usize,
    /// Bytes of the reply that are still to come.
    awaited: usize,
    asked: Instant,
    request: usize,
}

struct Loop {
    poll: Poll,
    connections: Vec<Connection>,
}

impl Loop {
    fn connect(port: u16, count: usize) -> Result<Loop> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        for number in 0..count {
            // Blocking, so that a full backlog only makes it take longer.
            let stream = std::net::TcpStream::connect(("127.0.0.1", port)).context("connecting the load")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
            let asked = Instant::now();
            connections.push(Connection { stream, sent: 0, awaited: 0, asked, request: number });
        }
        Ok(Loop { poll, connections })
    }
}

/// Sends the same requests on so many connections without end, reads what comes and looks at nothing, until told.
///
/// # Errors
/// When the server closes a connection.
pub(crate) fn flood(port: u16, count: usize, requests: &[u8], over: &AtomicBool) -> Result<()> {
    let mut all = Loop::connect(port, count)?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 1 << 16];
    // Events are edges: who did not come to an end is looked at again.
    let mut unfinished: Vec<usize> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let wait = if unfinished.is_empty() { TICK } else { Duration::ZERO };
        wait_for(&mut all.poll, &mut events, wait)?;
        let mut ready = std::mem::take(&mut unfinished);
        ready.extend(events.iter().map(|event| event.token().0));
        ready.sort_unstable();
        ready.dedup();
        for number in ready {
            let connection = &mut all.connections[number];
            let wrote_all = send_some(connection, requests)?;
            let read_all = read_some(connection, &mut buffer, |_| {})?;
            if !(wrote_all && read_all) {
                unfinished.push(number);
            }
        }
    }
    Ok(())
}

/// What one-at-a-time clients saw.
pub(crate) struct Served {
    pub(crate) operations_s: f64,
    pub(crate) latencies: Latencies,
}

/// Each of `count` clients sends one request, waits for a reply of `reply_bytes`, and sends the next, for a time.
///
/// # Errors
/// When the server closes a connection or answers with an error.
pub(crate) fn one_at_a_time(
    port: u16,
    count: usize,
    requests: &[Vec<u8>],
    reply_bytes: usize,
    time: Duration,
) -> Result<Served> {
    let mut all = Loop::connect(port, count)?;
    let mut events = Events::with_capacity(4096);
    let mut buffer = vec![0; 1 << 16];
    let mut latencies = Latencies::new();
    let begin = Instant::now();
    for connection in &mut all.connections {
        ask(connection, requests, reply_bytes)?;
    }
    while begin.elapsed() < time {
        wait_for(&mut all.poll, &mut events, TICK)?;
        for event in &events {
            let connection = &mut all.connections[event.token().0];
            let mut failed = false;
            let mut arrived = 0;
            read_some(connection, &mut buffer, |bytes| {
                failed |= arrived == 0 && bytes.first() == Some(&b'-');
                arrived += bytes.len();
            })?;
            if failed {
                bail!("the server answered the load with an error");
            }
            connection.awaited = connection.awaited.saturating_sub(arrived);
            if arrived > 0 && connection.awaited == 0 {
                latencies.add(connection.asked.elapsed());
                connection.request += count;
                ask(connection, requests, reply_bytes)?;
            }
        }
    }
    Ok(Served { operations_s: latencies.total as f64 / begin.elapsed().as_secs_f64(), latencies })
}

/// Connections that only read.
pub(crate) struct Listeners {
    all: Loop,
    events: Events,
    buffer: Vec<u8>,
}

impl Listeners {
    /// `count` connections, each of which has sent the same request.
    ///
    /// # Errors
    /// When the server refuses one.
    pub(crate) fn connect(port: u16, count: usize, request: &[u8]) -> Result<Listeners> {
        let mut all = Loop::connect(port, count)?;
        for connection in &mut all.connections {
            connection.stream.write_all(request).context("sending to the server")?;
        }
        Ok(Listeners { all, events: Events::with_capacity(4096), buffer: vec![0; 1 << 16] })
    }

    /// Reads until they have received so many bytes together.
    ///
    /// # Errors
    /// When the server closes a connection or sends nothing for [`SILENCE_MAX`].
    pub(crate) fn receive(&mut self, bytes: usize) -> Result<()> {
        let mut missing = bytes;
        let mut heard = Instant::now();
        while missing > 0 {
            wait_for(&mut self.all.poll, &mut self.events, TICK)?;
            for event in &self.events {
                let connection = &mut self.all.connections[event.token().0];
                while !read_some(connection, &mut self.buffer, |read| {
                    missing = missing.saturating_sub(read.len());
                    heard = Instant::now();
                })? {}
            }
            if heard.elapsed() > SILENCE_MAX {
                bail!("{missing} bytes have not come");
            }
        }
        Ok(())
    }
}

/// A request of one packet always fits into the socket of a client that waits for its reply.
fn ask(connection: &mut Connection, requests: &[Vec<u8>], reply_bytes: usize) -> Result<()> {
    connection.asked = Instant::now();
    connection.awaited = reply_bytes;
    let request = &requests[connection.request % requests.len()];
    connection.stream.write_all(request).context("sending to the server")
}

/// Writes until the socket is full or its share is spent; true when it is full.
fn send_some(connection: &mut Connection, requests: &[u8]) -> Result<bool> {
    let mut written = 0;
    while written < SHARE {
        match connection.stream.write(&requests[connection.sent..]) {
            Ok(bytes) => {
                written += bytes;
                connection.sent = (connection.sent + bytes) % requests.len();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("sending to the server"),
        }
    }
    Ok(false)
}

/// Reads until nothing is there or the share is spent; true when nothing is there.
fn read_some(connection: &mut Connection, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> Result<bool> {
    let mut taken = 0;
    while taken < SHARE {
        match connection.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(bytes) => {
                taken += bytes;
                take(&buffer[..bytes]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("reading from the server"),
        }
    }
    Ok(false)
}

fn wait_for(poll: &mut Poll, events: &mut Events, time: Duration) -> Result<()> {
    match poll.poll(events, Some(time)) {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error).context("waiting for sockets"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_round_trips_are_found() {
        let mut latencies = Latencies::new();
        (1..=1000).for_each(|us| latencies.add(Duration::from_micros(us)));
        latencies.add(Duration::from_secs(9));
        assert_eq!((latencies.at(0.5), latencies.at(0.999)), (0.501, 1.0));
        assert_eq!(latencies.worst_ms(), 9000.0);
    }
}
