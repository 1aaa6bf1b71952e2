//! CLIENT between several connections of a running server with two threads, so that most of it crosses threads.

mod support;

use std::time::{Duration, Instant};

use support::connection::Connection;
use support::{Reply, Server};

fn start(name: &str) -> Server {
    Server::swytch(name, "threads 2\n")
}

fn id(connection: &mut Connection) -> String {
    match connection.say("CLIENT ID") {
        Reply::Text(id) => String::from_utf8(id).expect("digits"),
        other => panic!("{other:?}"),
    }
}

fn list(connection: &mut Connection) -> String {
    match connection.say("CLIENT LIST") {
        Reply::Text(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// Asks again until the list of clients is as wanted.
fn wait_for(connection: &mut Connection, what: &str, wanted: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !wanted(&list(connection)) {
        assert!(Instant::now() < deadline, "{what}:\n{}", list(connection));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_client_is_gone_at_once_and_takes_nothing() {
    let server = start("kill");
    let mut killer = Connection::open(server.port);
    for round in 0..20 {
        let mut victim = Connection::open(server.port);
        let victim_id = id(&mut victim);
        victim.send(&["BLPOP", "queue", "0"]);
        wait_for(&mut killer, "the victim waits", |list| list.contains("flags=b"));
        assert_eq!(killer.say(&format!("CLIENT KILL ID {victim_id}")), Reply::text("1"), "round {round}");
        assert!(!list(&mut killer).contains(&format!("id={victim_id} ")));
        // What is pushed now belongs to nobody yet.
        assert_eq!(killer.say("RPUSH queue element"), Reply::text("1"));
        assert_eq!(killer.say("LPOP queue"), Reply::text("element"), "round {round}");
        assert!(victim.is_closed());
    }
}

#[test]
fn a_client_kills_itself_after_its_reply() {
    let server = start("kill-self");
    let mut client = Connection::open(server.port);
    let own_id = id(&mut client);
    assert_eq!(client.say(&format!("CLIENT KILL ID {own_id} SKIPME no")), Reply::text("1"));
    assert!(client.is_closed());
}

#[test]
fn unblocking_ends_a_wait_with_null_or_error() {
    let server = start("unblock");
    let (mut waiting, mut other) = (Connection::open(server.port), Connection::open(server.port));
    let waiting_id = id(&mut waiting);
    assert_eq!(other.say(&format!("CLIENT UNBLOCK {waiting_id}")), Reply::text("0"));
    for (how, expected) in [
        ("TIMEOUT", Reply::Array(Vec::new())),
        ("ERROR", Reply::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK".to_owned())),
    ] {
        waiting.send(&["BLPOP", "nothing", "0"]);
        wait_for(&mut other, "it waits", |list| list.contains("flags=b"));
        assert_eq!(other.say(&format!("CLIENT UNBLOCK {waiting_id} {how}")), Reply::text("1"));
        assert_eq!(waiting.receive(), expected, "{how}");
    }
    let Reply::Text(info) = other.say("INFO commandstats") else { panic!("INFO answers a text") };
    let info = String::from_utf8_lossy(&info).into_owned();
    let line = info.lines().find(|line| line.starts_with("cmdstat_blpop:")).expect("it was called");
    assert!(line.starts_with("cmdstat_blpop:calls=2,") && line.ends_with("failed_calls=1"), "{line}");
}

#[test]
fn the_request_that_is_run_is_shown_in_the_query_buffer() {
    let server = start("query-buffer");
    let mut client = Connection::open(server.port);
    let Reply::Text(line) = client.say("CLIENT INFO") else { panic!("CLIENT INFO answers a text") };
    let line = String::from_utf8_lossy(&line).into_owned();
    // *2 $6 CLIENT $4 INFO, as in Redis.
    assert!(line.contains(" qbuf=26 ") && line.contains(" argv-mem=10 "), "{line}");
}

#[test]
fn a_monitor_is_shown_the_database_after_the_command() {
    let server = start("monitor-database");
    let (mut monitor, mut client) = (Connection::open(server.port), Connection::open(server.port));
    assert_eq!(monitor.say("MONITOR"), Reply::text("OK"));
    assert_eq!(client.say("SELECT 3"), Reply::text("OK"));
    let Reply::Text(line) = monitor.receive() else { panic!("a monitor is sent lines") };
    let line = String::from_utf8_lossy(&line).into_owned();
    assert!(line.contains(" [3 127.0.0.1:") && line.ends_with("\"SELECT\" \"3\""), "{line}");
}

#[test]
fn a_client_is_listed_with_its_type_and_its_last_command() {
    let server = start("listed");
    let (mut monitor, mut queueing) = (Connection::open(server.port), Connection::open(server.port));
    let mut other = Connection::open(server.port);
    assert_eq!(monitor.say("MONITOR"), Reply::text("OK"));
    assert_eq!(queueing.say("MULTI"), Reply::text("OK"));
    assert_eq!(queueing.say("SET a b"), Reply::text("QUEUED"));
    wait_for(&mut other, "they are listed", |list| list.contains("flags=O") && list.contains("cmd=set"));
    assert_eq!(other.say("CLIENT LIST TYPE replica"), Reply::text(""));
    let Reply::Text(normal) = other.say("CLIENT LIST TYPE normal") else {
        panic!("CLIENT LIST answers a text")
    };
    assert_eq!(String::from_utf8_lossy(&normal).lines().count(), 4, "with the one of `Server`");
    assert_eq!(other.say("CLIENT KILL TYPE replica"), Reply::text("0"));
    assert_eq!(other.say("CLIENT KILL TYPE normal"), Reply::text("3"));
    assert!(monitor.receive() != Reply::text("OK"), "it was shown commands before");
}

/// A page in somebody's browser can make it send such requests, with a body of the page's choice.
#[test]
fn a_web_page_cannot_send_commands() {
    let server = start("web-page");
    for line in [["POST", "/", "HTTP/1.1"], ["Host:", "localhost", "x"], ["hOST:", "", ""]] {
        let (mut browser, mut other) = (Connection::open(server.port), Connection::open(server.port));
        browser.send(&line);
        assert!(browser.is_closed(), "{line:?}");
        assert_eq!(other.say("PING"), Reply::text("PONG"));
    }
}

#[test]
fn replies_can_be_turned_off_and_skipped() {
    let server = start("reply");
    let mut client = Connection::open(server.port);
    client.send(&["CLIENT", "REPLY", "OFF"]);
    client.send(&["SET", "a", "1"]);
    client.send(&["NOSUCH"]);
    assert_eq!(client.say("CLIENT REPLY ON"), Reply::text("OK"));
    client.send(&["CLIENT", "REPLY", "SKIP"]);
    client.send(&["SET", "a", "2"]);
    assert_eq!(client.say("GET a"), Reply::text("2"));
}

#[test]
fn a_pause_of_writes_holds_writes_alone() {
    let server = start("pause");
    let (mut writer, mut other) = (Connection::open(server.port), Connection::open(server.port));
    assert_eq!(other.say("SET a old PX 30"), Reply::text("OK"));
    assert_eq!(other.say("CLIENT PAUSE 60000 WRITE"), Reply::text("OK"));
    writer.send(&["SET", "b", "new"]);
    wait_for(&mut other, "it is held back", |list| list.contains("flags=b"));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(other.say("GET a"), Reply::Nil, "its time is over");
    assert_eq!(other.say("GET b"), Reply::Nil);
    assert_eq!(other.say("CLIENT UNPAUSE"), Reply::text("OK"));
    assert_eq!(writer.receive(), Reply::text("OK"));
    assert_eq!(other.say("GET b"), Reply::text("new"));
}
