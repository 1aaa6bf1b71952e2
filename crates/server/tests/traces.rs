//! What a collector of OpenTelemetry is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;
use swytch_testkit::{PATIENCE, Reply, Server, ours};

/// A request: its head, in lower case, and its body.
type Request = (String, Value);

/// A collector that answers with these statuses, and with the last of them from then on.
fn collector(statuses: &'static [u16]) -> (u16, Receiver<Request>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        let mut status = 200;
        for stream in listener.incoming() {
            answer_all(stream.expect("a connection"), &tell, || {
                status = *statuses.next().unwrap_or(&status);
                status
            });
        }
    });
    (port, told)
}

fn answer_all(stream: TcpStream, tell: &Sender<Request>, mut status: impl FnMut() -> u16) {
    let mut requests = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if requests.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        requests.read_exact(&mut body).expect("a body");
        // Who only wants connections answered has gone.
        let _ = tell.send((head, serde_json::from_slice(&body).expect("JSON")));
        let answer = format!(
            "HTTP/1.1 {} x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
            status()
        );
        requests.get_mut().write_all(answer.as_bytes()).expect("written");
    }
}

fn start(name: &str, port: u16, file: &str) -> Server {
    ours!().start(name, &format!("save \"\"\notel-endpoint http://127.0.0.1:{port}\n{file}"))
}

/// The requests up to the one that tells of a command with this name.
fn until(requests: &Receiver<Request>, name: &str) -> Vec<Request> {
    let mut all = Vec::new();
    while all.last().is_none_or(|last| !names(&spans(last)).contains(&name)) {
        all.push(requests.recv_timeout(PATIENCE).expect("a request"));
    }
    all
}

fn spans((_, body): &Request) -> Vec<Value> {
    body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default()
}

/// Their names, but for what the launcher asks.
fn names(spans: &[Value]) -> Vec<&str> {
    spans.iter().filter_map(|span| span["name"].as_str()).filter(|name| *name != "INFO").collect()
}

#[test]
fn slow_commands_are_told_without_what_was_sent() {
    let (port, requests) = collector(&[200]);
    let file =
        "slowlog-log-slower-than 0\notel-headers \"Api-Key=s3cret, x-tenant=a\"\notel-service-name cache\n";
    let mut server = start("traces", port, file);
    assert_eq!(server.say("SET confidential_key confidential_value"), Reply::ok());
    assert!(server.say("LPUSH confidential_key a").is_error());
    assert_eq!(server.say("CONFIG SET slowlog-log-slower-than -1"), Reply::ok());
    assert_eq!(server.say("GET confidential_key"), Reply::bulk("confidential_value"));
    let told = until(&requests, "LPUSH");
    let (head, body) = &told[0];
    for line in
        ["post /v1/traces http/1.1", "content-type: application/json", "api-key: s3cret", "x-tenant: a"]
    {
        assert!(head.lines().any(|other| other == line), "{line} is not in\n{head}");
    }
    assert!(!body.to_string().contains("confidential"));
    assert!(
        body["resourceSpans"][0]["resource"]
            .to_string()
            .contains(r#"{"key":"service.name","value":{"stringValue":"cache"}}"#)
    );
    let spans: Vec<Value> = told.iter().flat_map(spans).collect();
    assert_eq!(names(&spans), ["SET", "LPUSH"]);
    let failed: Vec<_> = spans.iter().filter(|span| span["status"]["code"] == 2).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].to_string().contains(r#"{"key":"error.type","value":{"stringValue":"WRONGTYPE"}}"#));
}

#[test]
fn so_many_of_a_million_are_told() {
    let (port, requests) = collector(&[200]);
    let mut server = start("traces-samples", port, "otel-samples-per-million 1000000\n");
    assert_eq!(server.say("EVAL return(redis.call('PING')) 0"), Reply::simple("PONG"));
    assert_eq!(server.say("CONFIG SET otel-samples-per-million 0"), Reply::ok());
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    assert_eq!(server.say("CONFIG SET otel-samples-per-million 250000"), Reply::ok());
    (0..2000).for_each(|_| server.client.send(&["ECHO", "x"]));
    (0..2000).for_each(|_| assert_eq!(server.client.reply(), Reply::bulk("x")));
    assert_eq!(server.say("CONFIG SET otel-samples-per-million 1000000"), Reply::ok());
    server.say("TIME");
    let spans: Vec<Value> = until(&requests, "TIME").iter().flat_map(spans).collect();
    assert_eq!(names(&spans)[0], "EVAL", "what a script calls is part of it");
    assert!(!names(&spans).contains(&"PING"));
    let echoes = names(&spans).iter().filter(|name| **name == "ECHO").count();
    assert!((300..=700).contains(&echoes), "{echoes} of 2000");
}

#[test]
fn a_collector_that_is_busy_is_told_again() {
    let (port, requests) = collector(&[503, 200]);
    let mut server = start("traces-again", port, "otel-samples-per-million 1000000\n");
    (0..600).for_each(|_| server.client.send(&["PING"]));
    (0..600).for_each(|_| assert_eq!(server.client.reply(), Reply::simple("PONG")));
    // A full batch is sent at once.
    let first = requests.recv_timeout(PATIENCE).expect("a request").1;
    let again = requests.recv_timeout(PATIENCE).expect("the same again").1;
    assert_eq!(first, again);
    server.say("TIME");
    until(&requests, "TIME");
}

#[test]
fn without_a_collector_commands_run_as_ever() {
    let closed =
        TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address").port();
    let mut server = start("traces-nobody", closed, "otel-samples-per-million 1000000\n");
    for _ in 0..5000 {
        server.client.send(&["PING"]);
    }
    (0..5000).for_each(|_| assert_eq!(server.client.reply(), Reply::simple("PONG")));
    server.client.send(&["SHUTDOWN"]);
    assert_eq!(server.await_end(PATIENCE), Some(0));
}

#[test]
fn what_is_no_collector_is_refused() {
    for (directive, value, complaint) in [
        ("--otel-endpoint", "collector:4318", "must be a URL such as http://localhost:4318"),
        ("--otel-headers", "nothing", "must be name=value, separated by commas"),
        ("--otel-samples-per-million", "1000001", "must be between 0 and 1000000 inclusive"),
    ] {
        let arguments = ["redis", directive, value, "--port", "0"];
        let output = Command::new(env!("CARGO_BIN_EXE_swytch")).args(arguments).output().expect("started");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(complaint), "{directive}: {told}");
    }
}
