//! Signals, files, sockets, limits of the system, the log and the metrics port.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use swytch_testkit::{Program, free_port, scratch};

use super::{Attack, Limit, PATIENCE, fault, serve, settled, under};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "signals",
        what: "SIGHUP is sent",
        unit: "whether the process ends",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| after_signals(program, &["HUP"]),
    },
    Attack {
        name: "other-signals",
        what: "SIGUSR2 and SIGALRM are sent",
        unit: "whether the process ends",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| after_signals(program, &["USR2", "ALRM"]),
    },
    Attack {
        name: "rewritten-file",
        what: "the configuration file that Redis, Sentinel or Valkey has rewritten, with its default user",
        unit: "forms that are refused",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let forms =
                ["user default on nopass sanitize-payload ~* &* +@all", "user default on nopass ~* &* +@all"];
            let refused =
                |form: &&&str| program.launch("rewritten").file(&format!("{form}\n")).run().is_err();
            Ok(forms.iter().filter(refused).count() as f64)
        },
    },
    Attack {
        name: "socket-mode",
        what: "20 starts with umask 0 and unixsocketperm 700 beside somebody who tries to connect all the time",
        unit: "starts with a socket that let others in",
        limit: Limit::None,
        has_peer: false,
        is_for_ci: true,
        act: |program| {
            let open = under(program, "sh", &["-c", "umask 0; exec \"$0\" \"$@\""]);
            let mut seen = 0.0;
            for _ in 0..20 {
                seen += fault(socket_seen_open(&open)?);
            }
            Ok(seen)
        },
    },
    Attack {
        name: "log-rotation",
        what: "the log is renamed, SIGHUP is sent, and there is something to log",
        unit: "whether no new file appears",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let directory = scratch("rotation");
            let log = directory.join("server.log");
            let mut server = serve(program, 1, &["--logfile", &log.display().to_string()])?;
            fs::rename(&log, directory.join("server.log.1"))?;
            server.signal("HUP");
            let missing = settled(PATIENCE, || {
                server.say("DEBUG LOG something");
                Ok(fault(!log.exists()))
            })?;
            fs::remove_dir_all(&directory)?;
            Ok(missing)
        },
    },
    Attack {
        name: "unwritable-log",
        what: "a logfile in a folder that does not exist",
        unit: "whether the server starts all the same",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| Ok(fault(serve(program, 1, &["--logfile", "/no/such/folder/log"]).is_ok())),
    },
    Attack {
        name: "ignored-directives",
        what: "directives that a user relies on: a TLS port, an ACL file, the append-only log",
        unit: "those that are accepted and do nothing",
        limit: Limit::None,
        has_peer: false,
        is_for_ci: true,
        act: |program| {
            let port = free_port().to_string();
            let tls =
                serve(program, 1, &["--tls-port", &port, "--tls-cert-file", "c", "--tls-key-file", "k"]);
            let acl = serve(program, 1, &["--aclfile", "/no/such/file"]);
            let mut log = serve(program, 1, &["--appendonly", "yes"]);
            let is_kept = log.as_mut().is_ok_and(|server| {
                server.say("SET k v");
                server.directory.join("appendonlydir").exists()
            });
            Ok(fault(tls.is_ok()) + fault(acl.is_ok()) + fault(log.is_ok() && !is_kept))
        },
    },
    Attack {
        name: "few-descriptors",
        what: "ulimit -n 1024",
        unit: "clients fewer than 992",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| clients_missing(program, "1024", 992.0),
    },
    Attack {
        name: "very-few-descriptors",
        what: "ulimit -n 40",
        unit: "clients fewer than 8",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| clients_missing(program, "40", 8.0),
    },
    Attack {
        name: "log-flood",
        what: "1,000 connections that speak HTTP to the command port",
        unit: "kB of log",
        limit: Limit::AtMost(20.0),
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let server = serve(program, 1, &[])?;
            let before = server.log_tail(usize::MAX).len();
            flood(server.port, 1000);
            Ok((server.log_tail(usize::MAX).len() - before) as f64 / 1e3)
        },
    },
    Attack {
        name: "blocked-log",
        what: "nobody reads the pipe that the log goes to, while 2,000 connections speak HTTP",
        unit: "whether clients are no longer answered",
        limit: Limit::None,
        // Redis waits for its log, and for ever.
        has_peer: false,
        is_for_ci: true,
        act: |program| {
            let directory = scratch("pipe");
            let pipe = directory.join("pipe");
            std::process::Command::new("mkfifo").arg(&pipe).status()?;
            // Open for both directions, so that opening waits for nobody; nothing is ever read.
            let _held = fs::File::options().read(true).write(true).open(&pipe)?;
            let script = format!("exec \"$0\" \"$@\" > {0} 2>&1", pipe.display());
            let server = serve(&under(program, "sh", &["-c", &script]), 1, &["--loglevel", "debug"])?;
            flood(server.port, 2000);
            let mut client = server.connect();
            client.set_patience(PATIENCE);
            let hangs = fault(client.ask(&["PING"]).is_err());
            fs::remove_dir_all(&directory)?;
            Ok(hangs)
        },
    },
    Attack {
        name: "slow-scrapers",
        what: "64 clients of the metrics port send a byte each 100 ms",
        unit: "of 50 questions for /health, those that failed",
        limit: Limit::None,
        has_peer: false,
        is_for_ci: true,
        act: |program| health_beside(program, 64, true),
    },
    Attack {
        name: "idle-scrapers",
        what: "16 clients of the metrics port send nothing",
        unit: "of 50 questions for /health, those that failed",
        limit: Limit::None,
        has_peer: false,
        is_for_ci: true,
        act: |program| health_beside(program, 16, false),
    },
];

fn after_signals(program: &Program, names: &[&str]) -> io::Result<f64> {
    let mut server = serve(program, 1, &[])?;
    for name in names {
        server.signal(name);
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(fault(!server.is_running()))
}

/// Whether, at any moment of a start, the socket was there with a mode that lets others connect, and listened.
fn socket_seen_open(program: &Program) -> io::Result<bool> {
    let directory = scratch("socket");
    let path = directory.join("socket");
    let watching = std::sync::atomic::AtomicBool::new(true);
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while watching.load(std::sync::atomic::Ordering::Relaxed) {
                let is_open = |metadata: &fs::Metadata| metadata.permissions().mode() & 0o077 != 0;
                // Root gets in whatever the mode; so it must still have been open when somebody had got in.
                if UnixStream::connect(&path).is_ok()
                    && fs::metadata(&path).is_ok_and(|metadata| is_open(&metadata))
                {
                    return true;
                }
            }
            false
        });
        let socket = path.display().to_string();
        let started =
            program.launch("mode").arguments(&["--unixsocket", &socket, "--unixsocketperm", "700"]).run();
        watching.store(false, std::sync::atomic::Ordering::Relaxed);
        let seen = watcher.join().unwrap_or(true);
        started.map(|_| seen)
    })?;
    fs::remove_dir_all(&directory)?;
    Ok(seen)
}

fn clients_missing(program: &Program, descriptors: &str, wanted: f64) -> io::Result<f64> {
    let limited = under(program, "prlimit", &[&format!("--nofile={descriptors}")]);
    let mut server = limited.launch("few").run()?;
    let most = String::from_utf8_lossy(&server.get("maxclients")).parse().unwrap_or(0.0);
    Ok(f64::max(wanted - most, 0.0))
}

/// Connections that speak HTTP, one after the other.
fn flood(port: u16, count: usize) {
    for _ in 0..count {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
            let _ = stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n");
            let _ = stream.read(&mut [0; 64]);
        }
    }
}

/// Questions for /health that fail while so many others hold connections, slow or silent ones.
fn health_beside(program: &Program, others: usize, is_slow: bool) -> io::Result<f64> {
    let port = free_port();
    let server = serve(program, 1, &["--metrics-port", &port.to_string()])?;
    let connect = || TcpStream::connect(("127.0.0.1", port));
    let mut streams: Vec<TcpStream> = (0..others).filter_map(|_| connect().ok()).collect();
    let mut failures = 0;
    for _ in 0..50 {
        let next = Instant::now() + Duration::from_millis(100);
        if is_slow {
            // Who was thrown out comes back.
            for stream in &mut streams {
                if stream.write_all(b"G").is_err()
                    && let Ok(again) = connect()
                {
                    *stream = again;
                }
            }
        }
        failures += u32::from(!is_healthy(port));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    drop(server);
    Ok(f64::from(failures))
}

fn is_healthy(port: u16) -> bool {
    let ask = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200 "))
}
