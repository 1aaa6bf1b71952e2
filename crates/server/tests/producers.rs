//! What producers have sent is known wherever a stream goes: through logs, files and payloads and to followers, between
//! this server and a Redis that knows producers. What is sent again is added nowhere.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/shapes.rs"]
mod shapes;

use std::fs;
use std::path::PathBuf;

use corpus::others;
use shapes::ours;
use swytch_testkit::client::encode;
use swytch_testkit::{Client, Program, Reply, Server};

const FILE: &str = "save \"\"\nenable-debug-command yes\nrepl-diskless-sync-delay 0\n";

/// A Redis that knows producers.
fn redis() -> Option<Program> {
    let newest =
        others().into_iter().rfind(|(name, _)| name.starts_with("redis ")).map(|(_, program)| program);
    newest.filter(|program| !program.version().starts_with("7."))
}

fn log(server: &Server) -> PathBuf {
    server.directory.join("appendonlydir")
}

/// Additions and what they have become.
type Added = Vec<(Vec<String>, Reply)>;

/// Adds something in every way, and sends all of it again.
fn add(client: &mut Client) -> Added {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut added: Added = Vec::new();
    for line in
        ["IDMP p one * f v", "IDMP q one * f v", "IDMPAUTO p * a 1 b 2", "NOMKSTREAM IDMP p two * f w"]
    {
        let line = words(&format!("XADD s {line}"));
        let id = client.call(&line);
        added.push((line, id));
    }
    let mut long = words("XADD s IDMPAUTO p * name");
    long.push("a value that is longer than others ".repeat(20));
    let id = client.call(&long);
    added.push((long, id));
    for line in ["XADD s IDMP p three * f x", "XADD s IDMPAUTO q * a 1 b 2"] {
        client.say("MULTI");
        client.say(line);
        added.push((words(line), client.say("EXEC").elements()[0].clone()));
    }
    let code = "return redis.call('XADD', KEYS[1], 'IDMP', 'p', 'four', '*', 'f', 'y')";
    added.push((words("XADD s IDMP p four * f y"), client.call(&["EVAL", code, "1", "s"])));
    let gone = words("XADD t IDMP p gone * f v");
    let id = client.call(&gone);
    client.say("XADD t * f v");
    client.call(&["XDEL", "t", &id.text()]);
    added.push((gone, id));
    client.say("XCFGSET t IDMP-DURATION 77");
    client.say("XADD t IDMP p kept * f v");
    // To be told otherwise has made it forget.
    let line = added.pop().expect("it is the last").0;
    let id = client.call(&line);
    client.call(&["XDEL", "t", &id.text()]);
    added.push((line, id));
    assert_known(client, &added, "where it was sent");
    added
}

#[track_caller]
fn assert_known(client: &mut Client, added: &[(Vec<String>, Reply)], what: &str) {
    for (words, id) in added {
        assert!(matches!(id, Reply::Bulk(_)), "{words:?} answers {id}");
        let len = client.call(&["XLEN", &words[1]]);
        assert_eq!(client.call(words), *id, "{what}: {words:?}");
        assert_eq!(client.call(&["XLEN", &words[1]]), len, "{what}: {words:?}");
    }
}

/// What XINFO tells of producers.
fn told(client: &mut Client, key: &str) -> String {
    let text = client.call(&["XINFO", "STREAM", key]).to_string();
    text.split_once("idmp-duration").map(|(_, behind)| behind.to_owned()).unwrap_or_default()
}

#[test]
fn they_are_known_after_a_restart() {
    let mut server =
        ours().start("producers-restart", &format!("{FILE}appendonly yes\nappendfsync always\n"));
    let added = add(&mut server.client);
    for preamble in ["as it was written", "no", "yes"] {
        let file = format!("{FILE}appendonly yes\nappendfsync always\n");
        if preamble != "as it was written" {
            server.set("aof-use-rdb-preamble", preamble);
            server.say("BGREWRITEAOF");
            let running = |client: &mut Client| {
                ["aof_rewrite_scheduled", "aof_rewrite_in_progress"].map(|field| client.info_number(field))
            };
            server.client.until("it is rewritten", running, |running| *running == [0, 0]);
        }
        server.restart_with(&file);
        assert_known(&mut server.client, &added, preamble);
        assert!(told(&mut server.client, "t").contains(":77"));
    }
}

#[test]
fn they_are_known_in_the_other_server() {
    let Some(redis) = redis() else { return };
    for preamble in ["yes", "no"] {
        let file = format!("{FILE}appendonly yes\nappendfsync always\naof-use-rdb-preamble {preamble}\n");
        for directions in [[true, false], [false, true]] {
            let [mut from, mut to] = directions.map(|is_ours| {
                if is_ours { ours() } else { redis.clone() }.start("producers-exchange", &file)
            });
            let what = format!("{} reads {}, preamble {preamble}", to.program().name, from.program().name);
            let added = add(&mut from.client);
            // As it was written.
            exchange_logs(&from, &mut to, &file);
            assert_known(&mut to.client, &added, &format!("{what}, the log"));

            from.say("BGREWRITEAOF");
            let running = |client: &mut Client| {
                ["aof_rewrite_scheduled", "aof_rewrite_in_progress"].map(|field| client.info_number(field))
            };
            from.client.until("it is rewritten", running, |running| *running == [0, 0]);
            exchange_logs(&from, &mut to, &file);
            // What has gone is no part of a log of commands that Redis takes.
            let there = if preamble == "no" { &added[..added.len() - 1] } else { &added[..] };
            assert_known(&mut to.client, there, &format!("{what}, the log made anew"));
            if preamble == "no" {
                continue;
            }
            for key in ["s", "t"] {
                let Reply::Bulk(payload) = from.client.call(&["DUMP", key]) else { panic!("{key} is there") };
                let words: [&[u8]; 5] = [b"RESTORE", key.as_bytes(), b"0", &payload, b"REPLACE"];
                assert_eq!(to.call(&words), Reply::ok(), "{what}");
                assert_eq!(told(&mut to.client, key), told(&mut from.client, key), "{what}");
            }
            assert_known(&mut to.client, &added, &format!("{what}, payloads"));
            to.say("FLUSHALL");
            assert_eq!(from.say("SAVE"), Reply::ok());
            fs::copy(from.directory.join("dump.rdb"), to.directory.join("dump.rdb"))
                .expect("both are the test's");
            to.restart_with(FILE);
            assert_known(&mut to.client, &added, &format!("{what}, a file"));
        }
    }
}

/// The log of one server in the place of another's, who reads it.
#[track_caller]
fn exchange_logs(from: &Server, to: &mut Server, file: &str) {
    to.kill();
    fs::remove_dir_all(log(to)).expect("it has one");
    fs::create_dir(log(to)).expect("it is gone");
    for entry in fs::read_dir(log(from)).expect("there is a log").flatten() {
        fs::copy(entry.path(), log(to).join(entry.file_name())).expect("both are the test's");
    }
    to.restart_with(file);
}

#[test]
fn they_are_known_to_a_follower() {
    let Some(redis) = redis() else { return };
    let mut server = ours().start("producers-followed", FILE);
    let mut follower = redis.start("producers-follower", FILE);
    let follow = |follower: &mut Server, port: u16| {
        assert_eq!(follower.say(&format!("REPLICAOF 127.0.0.1 {port}")), Reply::ok());
        let link = |client: &mut Client| client.info_field("master_link_status");
        follower.client.until("the link is up", link, |link| link.as_deref() == Some("up"));
    };
    let added = add(&mut server.client);
    follow(&mut follower, server.port);
    follower.say("REPLICAOF NO ONE");
    assert_known(&mut follower.client, &added, "who was sent the data");

    follow(&mut follower, server.port);
    server.say("DEL s t");
    let added = add(&mut server.client);
    server.say("COPY s copied");
    assert_eq!(server.say("WAIT 1 30000").number(), Some(1));
    follower.say("REPLICAOF NO ONE");
    assert_known(&mut follower.client, &added, "who was sent the changes");
    let copied = added.iter().filter(|(words, _)| words[1] == "s").map(|(words, id)| {
        let rest = words[2..].iter().cloned();
        (["XADD", "copied"].map(str::to_owned).into_iter().chain(rest).collect(), id.clone())
    });
    assert_known(&mut follower.client, &copied.collect::<Added>(), "a copy");
}

/// A log that was written when its identifiers were young is read when they are old: what it names was added, and what it
/// leaves to the server came again.
#[test]
fn a_log_is_read_as_it_was_meant_however_old_it_is() {
    let lines = [
        "XADD s IDMP p one 1-1 f v",
        "XADD s IDMP p one * f v",
        "MULTI",
        "XADD s IDMP q two 1-2 f v",
        "XADD s IDMP q two * f v",
        "EXEC",
        "XADD s IDMPAUTO q 1-3 a 1",
        "XADD s IDMPAUTO q * a 1",
        "XADD s IDMPAUTO q 0-4 a 1",
    ];
    let written = |lines: &[&str]| {
        lines.iter().flat_map(|line| encode(&line.split(' ').collect::<Vec<_>>())).collect::<Vec<u8>>()
    };
    let file = format!("{FILE}appendonly yes\n");
    let mut heard = Vec::new();
    for program in [Some(ours()), redis()].into_iter().flatten() {
        let mut server = program.start("producers-old", &file);
        server.kill();
        let entries = fs::read_dir(log(&server)).expect("there is a log").flatten().map(|entry| entry.path());
        let increment = entries.into_iter().find(|path| path.to_string_lossy().ends_with(".incr.aof"));
        let increment = increment.expect("it is written to");
        fs::write(&increment, written(&lines)).expect("it is the test's");
        server.restart_with(&file);
        heard.push(server.say("XRANGE s - +"));
        if program.is_swytch() {
            assert_eq!(server.say("XLEN s").number(), Some(3));
            // It was forgotten meanwhile, and sent once more.
            server.kill();
            fs::write(&increment, written(&[lines[0], "XADD s IDMP p one 9-1 f w"]))
                .expect("it is the test's");
            server.restart_with(&file);
            assert_eq!(server.say("XLEN s").number(), Some(2));
        }
    }
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:?}");
}
