//! Clients that come, wait, listen, pause, kill each other and go in every bad way; and what the server has left of them.
//!
//! A healthy server has nothing left: no client, no key, no waiter, no subscription, no descriptor, and its memory is what it was. The
//! state to compare with is taken after a first round, because some things are made on first use and kept. How many of
//! them a first round makes and how large queues grow depends on the machine; so the server holds data that nobody
//! touches, beside which they are little.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, field_of};
use crate::process::{Program, Server};
use crate::random::Random;

/// Threads of clients.
const ACTORS: usize = 6;
/// Connections that one of them has at a time.
const CONNECTIONS: usize = 8;
/// Keys that they share.
const KEYS: u64 = 50;
/// How long the server may take to forget.
const FORGETTING: Duration = Duration::from_secs(60);
/// Keys that nobody touches, in a database of their own.
const KEPT_KEYS: i64 = 1_600;
/// Bytes of the value of each.
const KEPT_BYTES: usize = 10_000;
/// What memory may be at the end, in parts of what it was.
const MEMORY_MAX: f64 = 1.01;

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remains {
    /// Clients but the one that asks.
    pub clients: i64,
    /// Clients in blocking commands.
    pub blocked: i64,
    /// Keys that clients wait for.
    pub blocking_keys: i64,
    /// Channels and patterns that somebody is subscribed to.
    pub channels: i64,
    /// Keys of the clients.
    pub keys: i64,
    /// Keys that nobody has touched.
    pub kept: i64,
    /// Open descriptors of the process.
    pub descriptors: usize,
    /// `used_memory`.
    pub memory: i64,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Things done to the server.
    pub acts: u64,
    /// After the first round.
    pub before: Remains,
    /// At the end.
    pub after: Remains,
}

impl Report {
    /// Whether nothing is left.
    pub fn is_clean(&self) -> bool {
        let (before, after) = (&self.before, &self.after);
        after.clients == 0
            && after.blocked == 0
            && after.blocking_keys == 0
            && after.channels == 0
            && after.keys == 0
            && after.kept == KEPT_KEYS
            && after.descriptors <= before.descriptors
            && (after.memory as f64) <= before.memory as f64 * MEMORY_MAX
    }
}

/// Goes on for a time on a server with this many threads.
///
/// # Errors
/// When the server does not start or ends.
pub fn run(program: &Program, threads: usize, time: Duration, random: &mut Random) -> io::Result<Report> {
    let threads = threads.to_string();
    let arguments: &[&str] = if program.is_swytch() { &["--threads", &threads] } else { &[] };
    let mut server = program.launch("chaos").arguments(arguments).arguments(&["--save", ""]).run()?;
    keep(&mut server)?;
    let first = (time / 4).min(Duration::from_secs(5));
    let mut acts = rage(&server, first, random);
    let before = forget(&mut server, None)?;
    acts += rage(&server, time, random);
    let after = forget(&mut server, Some(before))?;
    Ok(Report { acts, before, after })
}

/// Stores what nobody touches.
fn keep(server: &mut Server) -> io::Result<()> {
    server.client.ask(&["SELECT", "1"])?;
    for number in 0..KEPT_KEYS {
        server.client.ask(&["SET", &format!("kept:{number}"), &"v".repeat(KEPT_BYTES)])?;
    }
    Ok(())
}

/// All actors at once.
fn rage(server: &Server, time: Duration, random: &mut Random) -> u64 {
    let (over, acts) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..ACTORS {
            let (mut random, over, acts) = (random.fork(), &over, &acts);
            scope.spawn(move || {
                let mut connections = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    // Who was killed or thrown out begins anew.
                    let _ = act(server.port, &mut connections, &mut random);
                    acts.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
    });
    acts.into_inner()
}

/// One bad deed.
fn act(port: u16, connections: &mut Vec<Client>, random: &mut Random) -> io::Result<()> {
    if connections.len() < CONNECTIONS || random.once_in(4) {
        let client = Client::connect(port)?;
        client.socket().set_read_timeout(Some(Duration::from_millis(300)))?;
        client.socket().set_write_timeout(Some(Duration::from_millis(300)))?;
        connections.push(client);
    }
    let at = random.below(connections.len());
    let key = format!("key:{}", random.below(KEYS));
    let other = format!("key:{}", random.below(KEYS));
    let client = &mut connections[at];
    let gone = match random.below(28) {
        0..=3 => client.ask(&["SET", &key, &"v".repeat(random.below(3000))]).is_err(),
        4 => client.ask(&["RPUSH", &key, "a", "b"]).is_err_and(is_broken),
        5 => client.ask(&["DEL", &key, &other]).is_err_and(is_broken),
        6 => client.ask(&["GET", &key]).is_err_and(is_broken),
        7 => client.ask(&["MULTI"]).is_err_and(is_broken),
        8 => client.ask(&["EXEC"]).is_err_and(is_broken),
        9 => client.ask(&["WATCH", &key, &other]).is_err_and(is_broken),
        10 | 11 => client.send_raw(format!("BLPOP {key} {other} 0\r\n").as_bytes()).is_err(),
        12 => client.send_raw(format!("BLMOVE {key} {other} LEFT RIGHT 0.05\r\n").as_bytes()).is_err(),
        13 => client
            .send_raw(&[b"BLPOP ", &vec![b'k'; 1 + random.below(60_000_usize)][..], b" 0\r\n"].concat())
            .is_err(),
        // Half a request, large or small.
        14 => client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100").is_err(),
        15 => {
            let half = vec![b'v'; random.below(200_000)];
            client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$400000\r\n").is_err()
                || client.send_raw(&half).is_err()
        }
        // More replies than anybody reads.
        16 => {
            let _ = client.send_raw(format!("GET {key}\r\n").repeat(500).as_bytes());
            true
        }
        17 => {
            client.ask(&["CLIENT", "KILL", "ID", &(random.below(2000) + 1).to_string()]).is_err_and(is_broken)
        }
        18 => {
            let reply = client.ask(&["CLIENT", "LIST"]);
            let ids: Vec<String> = reply.map_or_else(|_| Vec::new(), |reply| ids_of(&reply.to_string()));
            match ids.len() {
                0 => true,
                count => {
                    client.ask(&["CLIENT", "KILL", "ID", &ids[random.below(count)]]).is_err_and(is_broken)
                }
            }
        }
        19 => {
            let what = random.pick(&["ALL", "WRITE"]);
            client.ask(&["CLIENT", "PAUSE", &(1 + random.below(30)).to_string(), what]).is_err_and(is_broken)
        }
        20 => client.ask(&["MONITOR"]).is_err_and(is_broken),
        21 => {
            client.shut_down_sending();
            random.once_in(2)
        }
        22 => client.ask(&["CLIENT", "REPLY", random.pick(&["OFF", "SKIP", "ON"])]).is_err(),
        // Messages and replies are not told apart: whoever listens is as often taken for broken as for well.
        23 => {
            let word = random.pick(&["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE"]);
            client.send_raw(format!("{word} {key} {other}\r\n").as_bytes()).is_err()
        }
        24 => client.ask(&["HELLO", random.pick(&["2", "3"])]).is_err_and(is_broken),
        25 | 26 => {
            let message = "m".repeat(1 << random.below(17));
            client.ask(&[random.pick(&["PUBLISH", "SPUBLISH"]), &key, &message]).is_err_and(is_broken)
        }
        _ => true,
    };
    if gone || connections.len() > CONNECTIONS {
        let client = connections.swap_remove(at);
        if random.once_in(2) { client.reset() } else { drop(client) }
    }
    Ok(())
}

/// An error that the server answered says nothing about the connection.
fn is_broken(error: io::Error) -> bool {
    error.kind() != io::ErrorKind::Other
}

fn ids_of(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| Some(line.strip_prefix("id=")?.split(' ').next()?.to_owned())).collect()
}

/// Empties the server and looks until nothing is left, or for as long as it may take.
fn forget(server: &mut Server, before: Option<Remains>) -> io::Result<Remains> {
    server.reconnect(server.port);
    server.client.ask(&["CLIENT", "UNPAUSE"])?;
    let deadline = Instant::now() + FORGETTING;
    loop {
        server.client.ask(&["FLUSHDB"])?;
        // The slower the machine, the more commands are remembered as slow.
        server.client.ask(&["SLOWLOG", "RESET"])?;
        std::thread::sleep(Duration::from_millis(500));
        let remains = Remains::of(server)?;
        let is_clean = match before {
            Some(before) => Report { acts: 0, before, after: remains }.is_clean(),
            // Long enough for buffers of idle clients and retired memory to be given back.
            None => Instant::now() + FORGETTING > deadline + Duration::from_secs(4) && remains.clients == 0,
        };
        if is_clean || Instant::now() > deadline {
            return Ok(remains);
        }
    }
}

impl Remains {
    fn of(server: &mut Server) -> io::Result<Remains> {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.pid()))?.count();
        let info = server.client.info("everything");
        let field = |name: &str| field_of(&info, name).and_then(|value| value.parse::<i64>().ok());
        // db1:keys=1600,expires=0,...
        let keys_of = |database: &str| {
            let described = field_of(&info, database)?;
            described.strip_prefix("keys=")?.split(',').next()?.parse::<i64>().ok()
        };
        Ok(Remains {
            clients: field("connected_clients").unwrap_or(0) - 1,
            blocked: field("blocked_clients").unwrap_or(0),
            // Redis 7.0 does not tell.
            blocking_keys: field("total_blocking_keys").unwrap_or(0),
            memory: field("used_memory").unwrap_or(0),
            channels: ["pubsub_channels", "pubsub_patterns", "pubsubshard_channels"]
                .map(|name| field(name).unwrap_or(0))
                .iter()
                .sum(),
            keys: keys_of("db0").unwrap_or(0),
            kept: keys_of("db1").unwrap_or(0),
            descriptors,
        })
    }
}
