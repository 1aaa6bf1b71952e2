//! Metrics and health over HTTP on a running server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use swytch_testkit::{Reply, Server, free_port, ours};

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

/// Connections that never ask for anything neither hold up commands nor stay.
#[test]
fn silent_connections_are_bounded_in_number_and_time() {
    let (mut server, port) = start("silent");
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    let silent: Vec<TcpStream> = (0..40).map(|_| connect()).collect();
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ask(port, "GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "the silent connections stay");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(silent);
}
