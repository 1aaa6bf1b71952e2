//! Metrics and health over HTTP on a running server.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use swytch_testkit::{Reply, Server, free_port, ours, own_address};

/// Sends `head` and answers everything that comes back.
fn ask(port: u16, head: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    stream.write_all(head.as_bytes()).expect("written");
    let mut answer = Vec::new();
    // A connection that is refused may be reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

fn start(name: &str) -> (Server, u16) {
    let port = free_port();
    let mut server = ours!().start(name, &format!("bind 127.0.0.1\nmetrics-port {port}\n"));
    // It listens for clients before it listens for scrapers, but answers them after.
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    (server, port)
}

#[test]
fn metrics_follow_what_happens() {
    let (mut server, port) = start("metrics");
    for line in ["SET a 1", "SET b 2 EX 100", "GET a", "GET missing"] {
        assert!(!matches!(server.say(line), Reply::Error(_)), "{line}");
    }
    assert!(matches!(server.say("INCR a b"), Reply::Error(_)));
    assert!(matches!(server.say("LPUSH a x"), Reply::Error(_)));
    let answer = ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    for line in [
        "redis_up 1",
        "redis_connected_clients 1",
        "redis_db_keys{db=\"db0\"} 2",
        "redis_db_keys_expiring{db=\"db0\"} 1",
        "redis_keyspace_hits_total 1",
        "redis_keyspace_misses_total 1",
        "redis_commands_total{cmd=\"set\"} 2",
        "redis_commands_rejected_calls_total{cmd=\"incr\"} 1",
        "redis_commands_failed_calls_total{cmd=\"lpush\"} 1",
        "redis_errors_total{err=\"WRONGTYPE\"} 1",
    ] {
        assert!(body.lines().any(|other| other == line), "{line} is not in\n{body}");
    }
}

#[test]
fn health_and_what_is_not_served() {
    let (_server, port) = start("health");
    let answer = ask(port, "GET /health HTTP/1.1\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n{\"status\":\"ok\"}\n"),
        "{answer}"
    );
    let answer = ask(port, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    for (head, status) in [
        ("GET /nothing HTTP/1.1\r\n\r\n".to_owned(), 404),
        ("DELETE /metrics HTTP/1.1\r\n\r\n".to_owned(), 405),
        ("*1\r\n$4\r\nPING\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(9_000)), 431),
    ] {
        let answer = ask(port, &head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:.40}: {answer}");
    }
}

fn is_healthy(port: u16) -> bool {
    ask(port, "GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 ")
}

/// Connections that never ask for anything hold up neither commands nor other requests, and do not stay.
#[test]
fn idle_connections_are_in_nobodys_way() {
    let (mut server, port) = start("idle");
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    let idle: Vec<TcpStream> = (0..300).map(|_| connect()).collect();
    for _ in 0..20 {
        assert!(is_healthy(port));
        assert!(ask(port, "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    for mut stream in idle {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut answer = Vec::new();
        // Told that its time is over, or closed to make place for another.
        assert!(stream.read_to_end(&mut answer).is_ok() || answer.is_empty());
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "));
    }
}

/// A probe that is answered late, or not at all, makes an orchestrator restart the server.
#[test]
fn slow_clients_do_not_make_the_server_look_ill() {
    const SLOW: usize = 64;
    const CHECKS: usize = 100;
    let (_server, port) = start("slow");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let connect = || TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
            let mut streams: Vec<TcpStream> = (0..SLOW).map(|_| connect()).collect();
            while !done.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    if stream.write_all(b"G").is_err() {
                        *stream = connect();
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let healthy = (0..CHECKS).filter(|_| is_healthy(port)).count();
        done.store(true, Ordering::Relaxed);
        slow.join().expect("no panic");
        assert_eq!(healthy, CHECKS);
    });
}

/// A command that holds all locks holds up the page of metrics, but not the health check.
#[test]
fn a_page_that_waits_does_not_hold_up_the_health_check() {
    let port = free_port();
    let file = format!("bind 127.0.0.1\nmetrics-port {port}\nenable-debug-command yes\nthreads 2\n");
    let mut server = ours!().start("page", &file);
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || {
            assert_eq!(server.say("DEBUG SLEEP 3"), Reply::ok());
            server
        });
        let page = scope.spawn(|| ask(port, "GET /metrics HTTP/1.1\r\n\r\n"));
        let mut checks = 0;
        while !sleeper.is_finished() {
            assert!(ask(port, "GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 "));
            checks += 1;
        }
        assert!(checks > 1, "{checks} checks");
        assert!(page.join().expect("no panic").starts_with("HTTP/1.1 200 "));
    });
}

/// Without a password the metrics are for this host alone, as the commands are.
#[test]
fn protected_mode_holds_for_metrics() {
    let Some(own) = own_address() else {
        println!("skipped: this machine has no address but the loopback's");
        return;
    };
    let port = free_port();
    let mut server = ours!().start("protected", &format!("metrics-port {port}\n"));
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    let ask_from_outside = || {
        let mut stream = TcpStream::connect((own, port)).expect("somebody listens");
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    };
    let refused = ask_from_outside();
    assert!(refused.starts_with("HTTP/1.1 403 ") && !refused.contains("redis_up"), "{refused}");
    assert!(is_healthy(port), "this host is served");
    assert_eq!(server.set("protected-mode", b"no"), None);
    assert!(ask_from_outside().starts_with("HTTP/1.1 200 "));
    assert_eq!(server.set("protected-mode", b"yes"), None);
    assert_eq!(server.set("requirepass", b"secret"), None);
    assert!(ask_from_outside().starts_with("HTTP/1.1 200 "));
}

/// What redis_exporter shows of a server by itself, a name a line.
const EXPORTER_NAMES: &str = include_str!("exporter_names.txt");

/// The names of metrics, and of labels that are called so, in a text.
fn names_in(text: &str) -> HashSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("redis_") || word.starts_with("swytch_")).collect()
}

/// The page for a person, the dashboard and the alerts.
const ASKED_BY_OTHERS: [&str; 3] = [
    include_str!("../src/metrics/overview.html"),
    include_str!("../../../packaging/monitoring/dashboard.json"),
    include_str!("../../../packaging/monitoring/alerts.yml"),
];

#[test]
fn the_page_for_a_person_needs_nothing_from_elsewhere() {
    let (_server, port) = start("overview");
    let answer = ask(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    assert_eq!(body, ASKED_BY_OTHERS[0]);
    assert!(body.contains("connect-src 'self'") && body.contains("fetch(\"/metrics\""));
    let rest = body.replace("http://www.w3.org/2000/svg", "").replace("href=\"data:,\"", "");
    let rest = rest.replace("href=\"/metrics\"", "");
    for elsewhere in ["//www", "http:", "https:", "src=", "href=", "url(", "@import", "innerHTML"] {
        assert!(!rest.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn all_that_the_exporter_shows_is_on_the_page() {
    let port = free_port();
    let file = format!(
        "bind 127.0.0.1\nmetrics-port {port}\nappendonly yes\nlatency-monitor-threshold 1\nenable-debug-command yes\n"
    );
    let mut server = ours!().start("names", &file);
    // An event of LATENCY, an error, a key that expires: what they are called depends on their being there.
    for line in ["SET a 1 EX 1000", "LPUSH a 1", "DEBUG SLEEP 0.01"] {
        server.say(line);
    }
    let page = ask(port, "GET /metrics HTTP/1.1\r\n\r\n");
    let shown: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let missing: Vec<&str> = EXPORTER_NAMES.lines().filter(|name| !shown.contains(name)).collect();
    assert!(EXPORTER_NAMES.lines().count() > 100 && missing.is_empty(), "{missing:?}");
    let shown: String =
        page.lines().filter(|line| !line.starts_with('#')).map(|line| line.to_owned() + "\n").collect();
    let shown = names_in(&shown);
    for text in ASKED_BY_OTHERS {
        let asked = names_in(text);
        let missing: Vec<_> = asked.difference(&shown).collect();
        assert!(asked.len() >= 10 && missing.is_empty(), "{missing:?}");
    }
}
