//! Keys that expire: by themselves, when they are asked for, and at once when their time is already over.

mod support;

use std::time::{Duration, Instant};

use support::connection::Connection;
use support::{Reply, Server};

const FILE: &str = "enable-debug-command yes\nthreads 2\n";
const PATIENCE: Duration = Duration::from_secs(30);

fn stat(connection: &mut Connection, name: &str) -> u64 {
    let Reply::Text(info) = connection.say("INFO stats") else { panic!("INFO answers a text") };
    let info = String::from_utf8_lossy(&info).into_owned();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::to_owned);
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {info}"))
}

fn set_many(connection: &mut Connection, count: usize, expiry: &[&str]) {
    for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
        for number in chunk {
            let key = format!("key:{number}");
            let mut words = vec!["SET", &key, "v"];
            words.extend_from_slice(expiry);
            connection.send(&words);
        }
        for _ in chunk {
            assert_eq!(connection.receive(), Reply::text("OK"));
        }
    }
}

#[test]
fn keys_go_by_themselves_and_are_counted() {
    let server = Server::swytch("expiry-active", FILE);
    let mut connection = Connection::open(server.port);
    const KEYS: usize = 50_000;
    // Half of them together, half spread over a second; some more that stay.
    connection.say("DEBUG POPULATE 1000 stay");
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let at = (now_ms.as_millis() + 1500).to_string();
    set_many(&mut connection, KEYS / 2, &["PXAT", &at]);
    for number in KEYS / 2..KEYS {
        let at = (now_ms.as_millis() + 1500 + (number % 1000) as u128).to_string();
        connection.send(&["SET", &format!("key:{number}"), "v", "PXAT", &at]);
        assert_eq!(connection.receive(), Reply::text("OK"));
    }
    let begin = Instant::now();
    while connection.say("DBSIZE") != Reply::text("1000") {
        assert!(begin.elapsed() < PATIENCE, "{:?} keys are left", connection.say("DBSIZE"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stat(&mut connection, "expired_keys"), KEYS as u64);
}

#[test]
fn without_active_expiry_a_key_goes_when_it_is_asked_for() {
    let server = Server::swytch("expiry-lazy", FILE);
    let mut connection = Connection::open(server.port);
    connection.say("DEBUG SET-ACTIVE-EXPIRE 0");
    set_many(&mut connection, 20, &["PX", "5"]);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(connection.say("DBSIZE"), Reply::text("20"), "nobody has asked for them");
    assert_eq!(stat(&mut connection, "expired_keys"), 0);
    // A read, writes of several kinds, commands on several keys and scans all meet expired keys.
    assert_eq!(connection.say("GET key:0"), Reply::Nil);
    assert_eq!(connection.say("TTL key:1"), Reply::text("-2"));
    assert_eq!(connection.say("APPEND key:2 x"), Reply::text("1"));
    assert_eq!(connection.say("DEL key:3 key:4"), Reply::text("0"));
    assert_eq!(connection.say("RENAME key:5 other"), Reply::Error("ERR no such key".to_owned()));
    assert_eq!(connection.say("EXPIRE key:6 100"), Reply::text("0"));
    assert_eq!(connection.say("COPY key:7 other"), Reply::text("0"));
    assert_eq!(stat(&mut connection, "expired_keys"), 8);
    assert_eq!(connection.say("KEYS *"), Reply::Array(vec![Reply::text("key:2")]));
    let Reply::Array(scanned) = connection.say("SCAN 0 COUNT 100") else { panic!("SCAN answers an array") };
    assert_eq!(scanned[1], Reply::Array(vec![Reply::text("key:2")]));
    assert_eq!(connection.say("DBSIZE"), Reply::text("1"));
    assert_eq!(stat(&mut connection, "expired_keys"), 20);
    connection.say("DEBUG SET-ACTIVE-EXPIRE 1");
}

#[test]
fn a_time_already_over_deletes_at_once_and_is_no_expiry() {
    let mut server = Server::swytch("expiry-past", FILE);
    for line in ["EXPIRE key -1", "PEXPIRE key 0", "EXPIREAT key 1", "PEXPIREAT key -5"] {
        server.say("SET key v");
        assert_eq!(server.say(line), Reply::text("1"), "{line}");
        assert_eq!(server.say("EXISTS key"), Reply::text("0"), "{line}");
    }
    assert_eq!(stat(&mut Connection::open(server.port), "expired_keys"), 0);
}

#[test]
fn milliseconds_count() {
    let mut server = Server::swytch("expiry-ms", FILE);
    server.say("SET key v PX 300");
    let Reply::Text(left) = server.say("PTTL key") else { panic!("PTTL answers a number") };
    let left: u64 = String::from_utf8_lossy(&left).parse().expect("a number");
    assert!((1..=300).contains(&left), "{left}");
    let begin = Instant::now();
    while server.say("EXISTS key") == Reply::text("1") {
        assert!(begin.elapsed() < PATIENCE);
    }
    assert!(begin.elapsed() >= Duration::from_millis(left - 1), "gone after {:?}", begin.elapsed());
}
