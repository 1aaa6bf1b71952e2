//! One client that wants everything, and what the others and the server's own work get meanwhile.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use swytch_testkit::{Program, Reply, Server};

use super::{Attack, Limit, PATIENCE, fault, serve};

/// How long each of them goes on.
const TIME: Duration = Duration::from_secs(3);

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "one-pipeliner",
        what: "a client pipelines GET without end on one thread",
        unit: "worst PING of another, ms",
        limit: Limit::OfPeer(2.0, 50.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| worst_ping(program, 1, 1, "GET k\r\n"),
    },
    Attack {
        name: "ten-pipeliners",
        what: "ten clients pipeline GET without end on two threads",
        unit: "worst PING of another, ms",
        limit: Limit::OfPeer(2.0, 100.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| worst_ping(program, 2, 10, "GET k\r\n"),
    },
    Attack {
        name: "slow-commands-ping",
        what: "a client pipelines KEYS over 10,000 keys without end on two threads",
        unit: "worst PING of another, ms",
        limit: Limit::OfPeer(2.0, 200.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| worst_ping(program, 2, 1, "KEYS nothing\r\n"),
    },
    Attack {
        name: "slow-commands-end",
        what: "SIGTERM while a client pipelines KEYS over 10,000 keys without end",
        unit: "seconds until the process has ended",
        limit: Limit::AtMost(3.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            server.client.ask(&["DEBUG", "POPULATE", "10000"])?;
            let (stop, pid) = (AtomicBool::new(false), server.pid().to_string());
            std::thread::scope(|scope| {
                pipeline(scope, &server, "KEYS nothing\r\n", &stop);
                std::thread::sleep(Duration::from_secs(1));
                std::process::Command::new("kill").args(["-TERM", &pid]).status()?;
                let asked = Instant::now();
                let running = || swytch_bench::process::cpu_time(pid.parse().unwrap_or(0)).is_ok();
                while running() && asked.elapsed() < Duration::from_secs(30) && !is_zombie(&pid) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                stop.store(true, Ordering::Relaxed);
                Ok(asked.elapsed().as_secs_f64())
            })
        },
    },
    Attack {
        name: "busy-worker-memory",
        what: "clients fill memory past maxmemory 100mb while another pipelines KEYS without end",
        unit: "MB of data beyond the limit",
        limit: Limit::AtMost(20.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| {
            let mut server = serve(program, 2, &["--maxmemory", "100mb"])?;
            server.client.ask(&["DEBUG", "POPULATE", "10000"])?;
            let stop = AtomicBool::new(false);
            let peak = std::thread::scope(|scope| {
                pipeline(scope, &server, "KEYS nothing\r\n", &stop);
                let peak = fill(&server);
                stop.store(true, Ordering::Relaxed);
                peak
            })?;
            Ok((peak / 1e6 - 105.0).max(0.0))
        },
    },
    Attack {
        name: "departed-waiter",
        what: "a client waits in BLPOP, sends 3 MB behind it and hangs up; a second later an element comes",
        unit: "elements lost",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            let mut waiter = server.connect();
            waiter.send_raw(b"BLPOP q 0\r\n")?;
            server.client.await_blocked(1);
            waiter.socket().set_write_timeout(Some(Duration::from_millis(500)))?;
            // Where the server does not read on, some of it does not get away.
            let _ = waiter.send_raw(&b"PING\r\n".repeat(500_000));
            drop(waiter);
            std::thread::sleep(Duration::from_secs(1));
            server.client.ask(&["RPUSH", "q", "precious"])?;
            Ok(fault(server.say("LLEN q") != Reply::Integer(1)))
        },
    },
    Attack {
        name: "stranded-accept",
        what: "descriptors run out, a client connects, and then there are some again",
        unit: "whether the client is still not served",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            let limit = |server: &Server, limit: &str| {
                std::process::Command::new("prlimit")
                    .args(["--pid", &server.pid().to_string(), &format!("--nofile={limit}")])
                    .status()
            };
            limit(&server, "3:4096")?;
            let mut stranded = server.connect();
            stranded.send_raw(b"PING\r\n")?;
            std::thread::sleep(Duration::from_millis(500));
            limit(&server, "4096:4096")?;
            // Clients that were there are heard, which proves that the server runs.
            server.client.ask(&["PING"])?;
            stranded.set_patience(PATIENCE);
            Ok(fault(stranded.receive().is_err()))
        },
    },
];

/// The longest PING of another client beside so many that send the line without end.
fn worst_ping(program: &Program, threads: u32, clients: usize, line: &str) -> io::Result<f64> {
    let mut server = serve(program, threads, &[])?;
    server.client.ask(&["DEBUG", "POPULATE", "10000"])?;
    server.client.ask(&["SET", "k", &"v".repeat(100)])?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        (0..clients).for_each(|_| pipeline(scope, &server, line, &stop));
        let worst = measure(&server);
        stop.store(true, Ordering::Relaxed);
        worst
    })
}

/// Each client asks on a connection of its own, so that every worker is asked.
fn measure(server: &Server) -> io::Result<f64> {
    let mut others: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let begin = Instant::now();
    let mut worst = Duration::ZERO;
    while begin.elapsed() < TIME {
        for other in &mut others {
            let sent = Instant::now();
            other.ask(&["PING"])?;
            worst = worst.max(sent.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(worst.as_secs_f64() * 1e3)
}

/// Sends a line without end and reads what comes, until told to stop.
fn pipeline<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    server: &Server,
    line: &str,
    stop: &'scope AtomicBool,
) {
    let (mut writer, requests) = (server.connect(), line.repeat(2000));
    let reader = writer.socket().try_clone();
    writer.socket().set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout is not zero");
    scope.spawn(move || {
        while !stop.load(Ordering::Relaxed) && send_all(&mut writer, requests.as_bytes(), stop) {}
        let _ = writer.socket().shutdown(std::net::Shutdown::Both);
    });
    scope.spawn(move || {
        let Ok(mut reader) = reader else { return };
        let mut buffer = vec![0; 1 << 16];
        let _ = reader.set_read_timeout(Some(Duration::from_millis(200)));
        while !stop.load(Ordering::Relaxed) {
            match io::Read::read(&mut reader, &mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if swytch_testkit::client::is_timeout(&error) => {}
                Err(_) => return,
            }
        }
    });
}

/// Sends everything, waiting as long as it takes; false when the connection ended or nothing more is wanted.
fn send_all(client: &mut swytch_testkit::Client, mut bytes: &[u8], stop: &AtomicBool) -> bool {
    let mut socket = client.socket();
    while !bytes.is_empty() && !stop.load(Ordering::Relaxed) {
        match io::Write::write(&mut socket, bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if swytch_testkit::client::is_timeout(&error) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Writes until it is refused, or 300 MB are written; the most memory used.
fn fill(server: &Server) -> io::Result<f64> {
    let mut client = server.connect();
    let value = "v".repeat(1 << 20);
    for number in 0..300 {
        client.send(&["SET", &format!("big:{number}"), &value]);
        if client.receive()?.is_error() {
            break;
        }
    }
    Ok(client.info_number("used_memory") as f64)
}

fn is_zombie(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
}
