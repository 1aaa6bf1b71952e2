//! What an operator does to a server from outside: signals, log rotation, limits on files, sockets.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use swytch_testkit::{Client, PATIENCE, Program, Reply, Server, free_port, ours, scratch};

fn pid_of(server: &Server) -> Pid {
    Pid::from_raw(server.pid() as i32).expect("a process")
}

/// Waits until `met`; panics with `what` when it takes too long.
#[track_caller]
fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn contains(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|log| log.contains(text))
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn swytch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swytch"));
    command.arg("redis").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn signals_that_nobody_means_do_not_end_the_server() {
    let mut server = ours!().start("signals", "");
    assert_eq!(server.say("SET k v"), Reply::ok());
    for signal in
        [Signal::HUP, Signal::USR1, Signal::USR2, Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::IO]
    {
        kill_process(pid_of(&server), signal).expect("sent");
        assert_eq!(server.say("GET k"), Reply::bulk("v"), "{signal:?}");
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.say("GET k"), Reply::bulk("v"));
}

#[test]
fn the_log_goes_on_in_a_new_file_after_rotation() {
    let mut server = ours!().start("rotation", "enable-debug-command yes\nlogfile server.log\n");
    let (log, first, second) = (
        server.directory.join("server.log"),
        server.directory.join("server.log.1"),
        server.directory.join("server.log.2"),
    );
    assert_eq!(server.say("DEBUG LOG one"), Reply::ok());
    wait_until("one is logged", || contains(&log, "one"));
    fs::rename(&log, &first).expect("renamed");
    assert_eq!(server.say("DEBUG LOG two"), Reply::ok());
    wait_until("two is logged in a new file", || contains(&log, "two"));
    assert!(!contains(&first, "two"));
    fs::rename(&log, &second).expect("renamed");
    kill_process(pid_of(&server), Signal::HUP).expect("sent");
    wait_until("SIGHUP makes a new file", || log.exists());
    assert_eq!(server.say("DEBUG LOG three"), Reply::ok());
    wait_until("three is logged", || contains(&log, "three"));
}

#[test]
fn a_log_file_that_cannot_be_opened_refuses_the_start() {
    let directory = scratch("no-log");
    let port = free_port().to_string();
    let started = swytch()
        .args(["--port", &port, "--bind", "127.0.0.1", "--logfile", "missing/log"])
        .current_dir(&directory)
        .spawn()
        .expect("a process");
    let mut process = Process(started);
    wait_until("it refuses", || process.0.try_wait().expect("asked").is_some());
    let mut error = String::new();
    process.0.stderr.take().expect("piped").read_to_string(&mut error).expect("text");
    assert!(error.contains("missing/log") && error.contains("No such file"), "{error}");
    assert!(!process.0.wait().expect("ended").success());
    fs::remove_dir(&directory).expect("nothing was made there");
}

#[test]
fn a_log_that_nobody_reads_delays_nobody() {
    const LINES: usize = 20_000;
    let directory = scratch("unread");
    let (port, metrics) = (free_port(), free_port());
    let started = swytch()
        .args(["--port", &port.to_string(), "--metrics-port", &metrics.to_string()])
        .args(["--bind", "127.0.0.1", "--threads", "1", "--enable-debug-command", "yes"])
        .current_dir(&directory)
        .spawn()
        .expect("a process");
    let mut process = Process(started);
    wait_until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut client = Client::open(port);
    let line = "x".repeat(1000);
    for _ in 0..LINES / 100 {
        (0..100).for_each(|_| client.send(&["DEBUG", "LOG", &line]));
        (0..100).for_each(|_| assert_eq!(client.reply(), Reply::ok()));
    }
    let mut http = TcpStream::connect(("127.0.0.1", metrics)).expect("somebody listens");
    http.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("written");
    let mut page = String::new();
    http.read_to_string(&mut page).expect("text");
    let missing = page.lines().find_map(|line| line.strip_prefix("swytch_log_lines_missing_total "));
    assert!(missing.expect("a metric").parse::<usize>().expect("a number") > LINES / 2, "{missing:?}");
    // Once somebody reads, the log says what is missing.
    let output = BufReader::new(process.0.stdout.take().expect("piped"));
    let told = output.lines().map_while(Result::ok).any(|line| line.contains("lines are missing here"));
    assert!(told);
    fs::remove_dir_all(&directory).expect("removed");
}

#[test]
fn strangers_cannot_fill_the_log() {
    let mut server = ours!().start("flood", "requirepass secret\nlogfile server.log\n");
    let log = server.directory.join("server.log");
    for _ in 0..300 {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("somebody listens");
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").expect("written");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    wait_until("the log says how many lines were left out", || contains(&log, "lines were left out"));
    let lines = fs::read_to_string(&log).expect("a log");
    let about = lines.lines().filter(|line| line.contains("POST")).count();
    assert!((1..=100).contains(&about), "{about} lines");
    assert_eq!(server.say("AUTH secret"), Reply::ok());
}

#[test]
fn the_announcement_is_valid_json_whatever_the_path() {
    let directory = scratch("banner");
    let started = swytch()
        .args(["--port", "0", "--log-format", "json", "--save", "", "--unixsocket", "so\u{1b}ck\"et"])
        .current_dir(&directory)
        .spawn()
        .expect("a process");
    let mut process = Process(started);
    let output = BufReader::new(process.0.stdout.take().expect("piped"));
    let banner = output
        .lines()
        .map_while(Result::ok)
        .inspect(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        })
        .find(|line| line.contains("Ready to accept"));
    assert!(banner.is_some_and(|line| line.contains("so\\u001bck\\\"et")));
    drop(process);
    fs::remove_dir_all(&directory).expect("removed");
}

/// systemd waits for a service of `Type=notify` to say that it is ready, and ends it when it does not.
#[test]
fn systemd_is_told_of_start_and_stop() {
    let directory = scratch("systemd");
    let path = directory.join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let launch = ours!().launch("supervised").arguments(&["--supervised", "systemd"]);
    let server = launch.variable("NOTIFY_SOCKET", path.to_str().expect("a path")).start();
    let heard = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    assert!(heard().starts_with("READY=1\n"));
    server.signal("TERM");
    assert_eq!(heard(), "STOPPING=1\n");
    fs::remove_dir_all(&directory).expect("removed");
}

/// Runs `program` with a hard limit on open files, as a user who cannot raise it, and answers its `maxclients`.
fn maxclients_with(program: &[&str], files: usize) -> Option<String> {
    let port = free_port();
    let limited = format!("ulimit -n {files}; exec \"$@\"");
    // Root may raise any limit, unless this capability is taken from it.
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_resource", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let directory = scratch("files");
    command.args(["-c", &limited, "sh"]).args(program).current_dir(&directory);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process(command.spawn().ok()?);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if process.0.try_wait().expect("asked").is_some() || Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(String::from_utf8_lossy(&Client::open(port).get("maxclients")).into_owned())
}

#[test]
fn as_many_clients_fit_as_with_redis() {
    let ours = [env!("CARGO_BIN_EXE_swytch"), "redis", "--threads", "2"];
    for (files, expected) in [(1024, Some("992")), (40, Some("8")), (32, None)] {
        assert_eq!(maxclients_with(&ours, files).as_deref(), expected, "{files} files");
        if let Some(redis) = Program::redis() {
            let path = redis.path.to_str().expect("a path");
            assert_eq!(maxclients_with(&[path], files).as_deref(), expected, "Redis, {files} files");
        }
    }
}

#[test]
fn whoever_was_rejected_was_not_received() {
    let mut server = ours!().start("rejected", "maxclients 1\n");
    for _ in 0..5 {
        let mut refused = TcpStream::connect(("127.0.0.1", server.port)).expect("somebody listens");
        let mut answer = String::new();
        refused.read_to_string(&mut answer).expect("text");
        assert_eq!(answer, "-ERR max number of clients reached\r\n");
    }
    let info = server.client.info("stats");
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    // A start may be looked for before the one connection that counts.
    assert_eq!(value("rejected_connections:").as_deref(), Some("5"));
    assert_eq!(value("total_connections_received:").as_deref(), Some("1"));
}

/// Connections that come while no descriptor is left are served as soon as there is one, although nobody else comes.
#[cfg(target_os = "linux")]
#[test]
fn a_lack_of_descriptors_strands_nobody() {
    let mut server = ours!().start("stranded", "");
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its files").count() as u64;
    let limit = |files: u64| {
        let limit = Rlimit { current: Some(files), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Some(pid_of(&server)), Resource::Nofile, limit)
    };
    let before = limit(open).expect("lowered");
    let mut stranded: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(("127.0.0.1", server.port)).expect("the system accepts")).collect();
    // They are noticed, and cannot be accepted.
    std::thread::sleep(Duration::from_millis(300));
    prlimit(Some(pid_of(&server)), Resource::Nofile, before).expect("raised");
    for stream in &mut stranded {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(b"PING\r\n").expect("written");
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"+PONG\r\n");
    }
}
