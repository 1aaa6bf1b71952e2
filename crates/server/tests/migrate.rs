//! MIGRATE: keys go to another server, whoever made it, and are here or there or both, but never nowhere.

#[path = "support/corpus.rs"]
mod corpus;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use corpus::{fill, others};
use swytch_testkit::{Client, Reply, Server, ours};

const FILE: &str = "save \"\"\nenable-debug-command yes\n";

#[track_caller]
fn migrate(from: &mut Server, to: u16, rest: &str) -> Reply {
    from.say(&format!("MIGRATE 127.0.0.1 {to} {rest}"))
}

#[track_caller]
fn migrate_all(from: &mut Server, to: &Server, keys: &[String]) -> Reply {
    let port = to.port.to_string();
    let head = ["MIGRATE", "127.0.0.1", &port, "", "0", "60000", "KEYS"];
    from.client.call(&head.into_iter().chain(keys.iter().map(String::as_str)).collect::<Vec<_>>())
}

#[test]
fn values_of_every_type_go_to_every_server_and_come_back() {
    for (name, program) in others() {
        let version = if name.starts_with("redis 7.0") { "rdb-version 10\n" } else { "" };
        let mut server = ours!().start("migrate", &format!("{FILE}{version}"));
        let mut other = program.start("target", FILE);
        for key in fill(&mut server.client) {
            // What an older server cannot read stays here.
            let digest = server.say(&format!("DEBUG DIGEST-VALUE {key}"));
            let keys = [key.clone()];
            let reply = migrate_all(&mut server, &other, &keys);
            let is_there = other.say(&format!("EXISTS {key}")).number() == Some(1);
            let is_here = server.say(&format!("EXISTS {key}")).number() == Some(1);
            assert_eq!((is_here, is_there), (reply.is_error(), !reply.is_error()), "{name}: {key}: {reply}");
            if is_there {
                assert_eq!(migrate_all(&mut other, &server, &keys), Reply::ok(), "{name}: {key}");
                assert_eq!(server.say(&format!("DEBUG DIGEST-VALUE {key}")), digest, "{name}: {key}");
            } else {
                assert!(reply.text().contains("Bad data format"), "{name}: {key}: {reply}");
            }
        }
        assert_eq!(other.say("DBSIZE").number(), Some(0), "{name}");
    }
}

#[test]
fn options_and_errors_are_those_of_redis() {
    for (name, program) in [("ours".to_owned(), ours!())].into_iter().chain(others()) {
        let mut server = program.start("from", FILE);
        let mut target = ours!().start("to", FILE);
        let to = target.port;
        let mut says = |line: &str, wanted: &str| {
            let reply = migrate(&mut server, to, line).to_string();
            assert!(reply.contains(wanted), "{name}: {line}: {reply}, not {wanted}");
        };
        says("nothing 0 1000", "NOKEY");
        says("a 0 1000 COPY NOTHING", "syntax error");
        says("a 0 1000 AUTH", "syntax error");
        says("a 0 1000 AUTH2 user", "syntax error");
        says("a 0 1000 KEYS a b", "the key argument must be set to the empty string");
        says("a zero 1000", "not an integer");
        says("a 0 soon", "not an integer");
        server.say("MSET a 1 b 2 c 3 d 4");
        server.say("PEXPIRE b 100000000");
        target.say("SET c there");
        target.say("SELECT 5");
        let mut says = |line: &str, wanted: &str| {
            let reply = migrate(&mut server, to, line).to_string();
            assert!(reply.contains(wanted), "{name}: {line}: {reply}, not {wanted}");
        };
        says("a 5 1000 COPY", "OK");
        says("a 5 1000 COPY", "Target instance replied with error: BUSYKEY");
        says("a 5 1000 COPY REPLACE", "OK");
        says("a 5 1000 REPLACE", "OK");
        // Both words at once: an empty key, and several names of which one is there already.
        let reply = server.client.call(&[
            "MIGRATE",
            "127.0.0.1",
            &to.to_string(),
            "",
            "0",
            "1000",
            "KEYS",
            "b",
            "c",
            "d",
        ]);
        assert!(reply.text().contains("BUSYKEY"), "{name}: {reply}");
        assert_eq!(server.say("KEYS *"), Reply::Array(vec![Reply::Bulk(b"c".to_vec())]), "{name}");
        assert!(migrate(&mut server, to, "c 99 1000").text().contains("DB index"), "{name}");
        assert!(
            migrate(&mut server, to, "c 0 1000 AUTH wrong").text().contains("replied with error: ERR AUTH")
        );
        assert!(migrate(&mut server, 1, "c 0 1000").text().contains("IOERR error or timeout"), "{name}");
        assert_eq!(server.say("GET c").text(), "3", "{name}");
        // One that was logged in is not used by the next who has no password.
        if name == "ours" {
            target.say("CONFIG SET requirepass secret");
            assert_eq!(migrate(&mut server, to, "c 3 1000 COPY AUTH secret"), Reply::ok());
            assert!(migrate(&mut server, to, "c 4 1000 COPY").text().contains("NOAUTH"));
            target.say("CONFIG SET requirepass \"\"");
        }
        target.say("SELECT 0");
        assert!((1..=100_000_000).contains(&target.say("PTTL b").number().expect("a time")), "{name}");
        assert_eq!(target.say("MGET b c d").to_string(), "[2, there, 4]", "{name}");
    }
}

/// The next request of a server that is answered by hand.
fn request(lines: &mut BufReader<TcpStream>) -> Vec<Vec<u8>> {
    let mut number = |mark: char| {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        line.trim_end().strip_prefix(mark).and_then(|digits| digits.parse::<usize>().ok()).expect("a number")
    };
    let words = number('*');
    let mut read = Vec::new();
    for _ in 0..words {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        let len: usize = line.trim_end()[1..].parse().expect("a length");
        let mut word = vec![0; len + 2];
        lines.read_exact(&mut word).expect("a word");
        word.truncate(len);
        read.push(word);
    }
    read
}

#[test]
fn a_key_that_changes_on_the_way_is_sent_again_and_nobody_else_waits() {
    let mut server = ours!().start("migrate", FILE);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    server.say("SET key first");
    let mut sender = server.connect();
    sender.send(&["MIGRATE", "127.0.0.1", &port.to_string(), "key", "0", "60000"]);
    let (stream, _) = listener.accept().expect("a connection");
    let mut answers = stream.try_clone().expect("the same connection");
    let mut lines = BufReader::new(stream);
    let sent = request(&mut lines);
    assert_eq!(sent[..2], [b"RESTORE".to_vec(), b"key".to_vec()]);
    assert_eq!(sent.len(), 4);
    // It is on its way, and others are served.
    assert_eq!(server.say("APPEND key !"), Reply::Integer(6));
    answers.write_all(b"+OK\r\n").expect("a reply");
    let again = request(&mut lines);
    assert_eq!((again.len(), &again[4][..]), (5, &b"REPLACE"[..]));
    assert_ne!(again[3], sent[3]);
    assert_eq!(server.say("GET key").text(), "first!");
    answers.write_all(b"+OK\r\n").expect("a reply");
    assert_eq!(sender.reply(), Reply::ok());
    assert_eq!(server.say("EXISTS key").number(), Some(0));
    assert_eq!(server.client.info_number("migrate_cached_sockets"), 1);
    let kept = |client: &mut Client| client.info_number("migrate_cached_sockets");
    server.client.until("what nobody uses is closed", kept, |kept| *kept == 0);
    // The other end goes away without an answer.
    server.say("SET key second");
    sender.send(&["MIGRATE", "127.0.0.1", &port.to_string(), "key", "0", "60000"]);
    let (stream, _) = listener.accept().expect("a connection");
    drop(stream);
    let reply = sender.reply().to_string();
    assert!(reply.contains("IOERR error or timeout"), "{reply}");
    // It is silent for longer than the client wants to wait.
    sender.send(&["MIGRATE", "127.0.0.1", &port.to_string(), "key", "0", "50"]);
    let silent = listener.accept().expect("a connection");
    let reply = sender.reply().to_string();
    assert!(reply.contains("IOERR error or timeout reading to target instance"), "{reply}");
    drop(silent);
    assert_eq!(server.say("GET key").text(), "second");
}

#[test]
fn a_transaction_and_a_script_do_not_wait_for_another_server() {
    let mut server = ours!().start("migrate", FILE);
    server.say("SET key value");
    server.say("MULTI");
    server.say("MIGRATE 127.0.0.1 1 key 0 1000");
    let refused = "ERR MIGRATE waits for another server and cannot be called in a transaction or a script";
    assert_eq!(server.say("EXEC"), Reply::Array(vec![Reply::Error(refused.to_owned())]));
    let script = "return redis.pcall('MIGRATE', '127.0.0.1', 1, KEYS[1], 0, 1000)";
    let reply = server.client.call(&["EVAL", script, "1", "key"]);
    assert!(reply.text().contains("cannot be called in a transaction or a script"), "{reply}");
    assert_eq!(server.say("GET key").text(), "value");
}
