//! Followers: stock servers that were told REPLICAOF have our data at every moment that they say they have it, and so does
//! whatever else reads as they do.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/forms.rs"]
mod forms;
#[path = "support/shapes.rs"]
mod shapes;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corpus::{fill, others};
use forms::{disturb, is_told_alike};
use shapes::ours;
use swytch_testkit::{Client, Program, Random, Reply, Server};

const FILE: &str = "save \"\"\nenable-debug-command yes\nthreads 3\nrepl-diskless-sync-delay 0\n";
/// What others are started with.
const THEIRS: &str = "save \"\"\nenable-debug-command yes\n";
/// Commands of each client in a part of the load.
const COMMANDS: usize = 300;

#[track_caller]
fn follow(server: &Server, follower: &mut Server) {
    assert_eq!(follower.say(&format!("REPLICAOF 127.0.0.1 {}", server.port)), Reply::ok());
}

#[track_caller]
fn await_link(follower: &mut Server) {
    let link = |client: &mut Client| client.info_field("master_link_status");
    follower.client.until("the link is up", link, |link| link.as_deref() == Some("up"));
}

#[track_caller]
fn await_followers(server: &mut Server, count: i64) {
    let connected = |client: &mut Client| client.info_number("connected_slaves");
    server.client.until(&format!("{count} follow"), connected, |found| *found == count);
}

/// Waits until nothing is left that goes by itself.
#[track_caller]
fn await_expiry(server: &mut Server) {
    let left = |client: &mut Client| {
        let text = client.info("keyspace");
        text.split([',', '\r', '\n']).any(|field| field.starts_with("expires=") && field != "expires=0")
    };
    server.client.until("nothing expires any more", left, |left| !left);
}

/// All followers have what was written until now.
#[track_caller]
fn await_acknowledgements(server: &mut Server, count: usize) {
    let reply = server.say(&format!("WAIT {count} 30000"));
    assert_eq!(reply.number(), Some(count as u64), "{}", server.client.info("replication"));
}

#[track_caller]
fn assert_same(server: &mut Server, follower: &mut Server, what: &str) {
    let digests = [&mut *server, follower].map(|one| one.say("DEBUG DIGEST").text());
    if digests[0] == digests[1] {
        return;
    }
    for db in 0..6 {
        let mut keys: Vec<String> = Vec::new();
        for one in [&mut *server, follower] {
            one.say(&format!("SELECT {db}"));
            keys.extend(one.say("KEYS *").elements().iter().map(Reply::text));
        }
        for key in keys {
            let command = format!("DEBUG DIGEST-VALUE {key}");
            assert_eq!(server.say(&command), follower.say(&command), "{what}: {key} in database {db}");
        }
    }
    panic!("{what}: the digests differ and those of the values do not");
}

/// Loads one more library of functions.
#[track_caller]
fn load_library(server: &mut Server, number: usize) {
    let source =
        format!("#!lua name=lib{number}\nredis.register_function('f{number}', function() return 1 end)");
    let reply = server.call(&[b"FUNCTION", b"LOAD", source.as_bytes()]);
    assert!(!reply.is_error(), "{reply}");
}

/// Takes a library away and has it back from a payload, which is of a version that not every follower reads.
#[track_caller]
fn restore_library(server: &mut Server, number: usize) {
    let Reply::Bulk(payload) = server.say("FUNCTION DUMP") else { panic!("a payload") };
    assert_eq!(server.say(&format!("FUNCTION DELETE lib{number}")), Reply::ok());
    assert_eq!(server.call(&[&b"FUNCTION"[..], b"RESTORE", &payload, b"REPLACE"]), Reply::ok());
}

/// Says at its end that something is over.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn servers_of_every_family_follow_under_load_and_through_cut_links() {
    let mut random = Random::from_environment();
    let mut server = ours().start("followed", &format!("{FILE}repl-backlog-size 64mb\n"));
    fill(&mut server.client);
    load_library(&mut server, 0);
    let mut followers: Vec<(String, Server)> =
        others().into_iter().map(|(name, program)| (name, program.start("follower", THEIRS))).collect();
    let count = followers.len();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also where something is not as it should be.
        let _ends = Ends(&is_over);
        let (port, mut random, is_over) = (server.port, random.fork(), &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                disturb(port, &mut random, COMMANDS, is_told_alike);
            }
        });
        for (_, follower) in &mut followers {
            // One after the other, so that some begin while others read.
            follow(&server, follower);
            await_link(follower);
        }
        for cut in 1..=2 {
            server.say("CLIENT KILL TYPE replica");
            let went_on = |client: &mut Client| client.info_number("sync_partial_ok");
            let wanted = (cut * count) as i64;
            server.client.until("they go on where they were", went_on, |found| *found >= wanted);
            followers.iter_mut().for_each(|(_, follower)| await_link(follower));
            // What is acknowledged is there, whatever else is on its way. Nobody flushes functions.
            load_library(&mut server, cut);
            restore_library(&mut server, cut - 1);
            await_acknowledgements(&mut server, count);
            for (name, follower) in &mut followers {
                assert_eq!(follower.say("FUNCTION LIST").elements().len(), cut + 1, "{name}");
            }
        }
    });
    await_expiry(&mut server);
    server.say("SET last one");
    await_acknowledgements(&mut server, count);
    assert_eq!(server.client.info_number("sync_full"), count as i64, "a cut link costs no second copy");
    for (name, follower) in &mut followers {
        assert_same(&mut server, follower, name);
    }
    let mut before = None;
    for _ in 0..100 {
        // In one piece, so that nobody has time between them.
        server.client.send_all(&[vec!["INCR", "offsets"], vec!["INFO", "replication"]]);
        server.client.receive().expect("the new number");
        let text = server.client.receive().expect("what INFO says").text();
        let end = text.lines().find_map(|line| line.strip_prefix("master_repl_offset:")?.parse::<u64>().ok());
        assert!(end > before, "the end of the stream is told without what was answered: {before:?}, {end:?}");
        before = end;
    }
    let told = server.say("ROLE");
    let [role, end, online] = told.elements() else { panic!("three parts") };
    assert_eq!((role.text(), online.elements().len()), ("master".to_owned(), count));
    let offsets: Vec<u64> =
        online.elements().iter().filter_map(|one| one.elements()[2].text().parse().ok()).collect();
    assert!(offsets.iter().all(|offset| *offset <= end.number().unwrap_or(0)), "{offsets:?} of {end}");
    let lines = server.say("CLIENT LIST TYPE replica").text();
    assert_eq!(lines.lines().filter(|line| line.contains(" flags=S ")).count(), count, "{lines}");
}

#[test]
fn a_follower_that_comes_back_too_late_or_elsewhere_is_sent_everything_again() {
    let Some((name, program)) = others().into_iter().next() else { return };
    // A file is sent where its length has to be known before.
    let file = format!("{FILE}repl-backlog-size 16kb\nrepl-diskless-sync no\n");
    let mut server = ours().start("followed-again", &file);
    let mut follower = program.start("follower-again", THEIRS);
    server.say("SET key value");
    follow(&server, &mut follower);
    await_link(&mut follower);
    // As a secret of the server, so that the follower is refused while much is written.
    server.set("requirepass", "secret");
    server.say("AUTH secret");
    server.say("CLIENT KILL TYPE replica");
    for number in 0..200 {
        server.call(&[b"SET", format!("key:{number}").as_bytes(), &[b'v'; 2000]]);
    }
    await_followers(&mut server, 0);
    follower.set("masterauth", "secret");
    await_followers(&mut server, 1);
    await_link(&mut follower);
    await_acknowledgements(&mut server, 1);
    assert_eq!(server.client.info_number("sync_full"), 2);
    assert!(server.client.info_number("sync_partial_err") >= 1);
    assert_same(&mut server, &mut follower, &name);

    // Another history has another name.
    let mut other = ours().start("followed-else", FILE);
    other.say("SET other 1");
    follower.set("masterauth", "");
    follow(&other, &mut follower);
    await_followers(&mut other, 1);
    await_link(&mut follower);
    await_acknowledgements(&mut other, 1);
    assert_same(&mut other, &mut follower, &name);
    await_followers(&mut server, 0);
}

/// A server that is ended and started again goes on with its history, and with nobody who has more of it than was saved.
#[test]
fn a_restart_costs_followers_that_have_all_no_second_copy() {
    let saves = FILE.replace("save \"\"", "save 3600 1");
    for (name, program) in others() {
        let mut server = ours().start("followed-restarted", &saves);
        fill(&mut server.client);
        let mut follower = program.start("follower-restarted", THEIRS);
        follow(&server, &mut follower);
        await_followers(&mut server, 1);
        await_link(&mut follower);
        // They are over when they are read again, and nobody has said so before.
        server.say("DEBUG SET-ACTIVE-EXPIRE 0");
        for number in 0..100 {
            server.say(&format!("SELECT {}", number % 3));
            server.say(&format!("SET short:{number} 1 PX 1"));
        }
        server.say("SELECT 0");
        await_acknowledgements(&mut server, 1);
        let history = server.client.info_field("master_replid").expect("it has a name");
        server.signal("TERM");
        assert_eq!(server.await_end(swytch_testkit::PATIENCE), Some(0), "{}", server.log_tail(20));
        server.restart_with(&saves);
        await_followers(&mut server, 1);
        await_link(&mut follower);
        assert_eq!(server.client.info_field("master_replid2").as_ref(), Some(&history), "{name}");
        assert_ne!(server.client.info_field("master_replid").as_ref(), Some(&history), "{name}");
        let [goes_on, first] = ["second_repl_offset", "repl_backlog_first_byte_offset"]
            .map(|field| server.client.info_number(field));
        assert_eq!(goes_on, first, "{name}");
        assert!(server.client.info_number("rdb_last_load_keys_expired") >= 100, "{name}");
        server.say("SET behind it");
        await_acknowledgements(&mut server, 1);
        let counts = |server: &mut Server| {
            ["sync_full", "sync_partial_ok"].map(|field| server.client.info_number(field))
        };
        assert_eq!(counts(&mut server), [0, 1], "{name}: {}", server.log_tail(20));
        assert_same(&mut server, &mut follower, &name);

        // What was written behind the file that is read is there no more, but with who follows.
        assert_eq!(server.say("SAVE"), Reply::ok());
        server.say("SET lost 1");
        await_acknowledgements(&mut server, 1);
        server.restart_with(&saves);
        await_followers(&mut server, 1);
        await_link(&mut follower);
        await_acknowledgements(&mut server, 1);
        assert_eq!(server.say("GET behind").text(), "it");
        assert_eq!(counts(&mut server), [1, 0], "{name}");
        assert_same(&mut server, &mut follower, &name);

        // A file of the background says where the history was at its moment: whoever has no more goes on after a kill.
        let says_nothing = format!("{saves}repl-ping-replica-period 3600\n");
        for partial in [0, 1] {
            server.restart_with(&says_nothing);
            await_followers(&mut server, 1);
            await_link(&mut follower);
            await_acknowledgements(&mut server, 1);
            assert_eq!(counts(&mut server), [1 - partial, partial], "{name}: {}", server.log_tail(20));
            server.say("BGSAVE");
            let running = |client: &mut Client| client.info_number("rdb_bgsave_in_progress");
            server.client.until("it is saved", running, |running| *running == 0);
        }
        assert_same(&mut server, &mut follower, &name);
    }
}

#[test]
fn wait_and_min_replicas_tell_who_keeps_up() {
    let Some((_, program)) = others().into_iter().next() else { return };
    let mut server = ours().start("followed-wait", FILE);
    assert_eq!(server.say("WAIT 0 0").number(), Some(0));
    assert_eq!(server.say("WAIT 1 10").number(), Some(0), "nobody follows");
    server.set("min-replicas-to-write", "1");
    let refused = Reply::error("NOREPLICAS Not enough good replicas to write.");
    assert_eq!(server.say("SET key 1"), refused);
    assert_eq!(server.call(&[b"EVAL", b"return redis.pcall('SET', 'key', 1)", b"0"]), refused);
    assert_eq!(server.say("GET key"), Reply::Null);
    let mut follower = program.start("follower-wait", THEIRS);
    follow(&server, &mut follower);
    server.client.until(
        "writes are accepted",
        |client| client.say("SET key 1"),
        |reply| *reply == Reply::ok(),
    );
    assert_eq!(server.say("WAIT 1 30000").number(), Some(1));
    assert_eq!(server.say("WAIT 2 10").number(), Some(1), "as many as there are");
    // In a transaction nobody waits.
    server.say("MULTI");
    server.say("INCR key");
    server.say("WAIT 9 0");
    assert_eq!(server.say("EXEC").elements().len(), 2);

    // One that does not answer, and those who wait for it.
    follower.signal("STOP");
    let mut waiting = server.connect();
    waiting.say("SET key 2");
    assert_eq!(waiting.say("WAIT 1 50").number(), Some(0));
    waiting.send(&["WAIT", "1", "0"]);
    server.client.await_blocked(1);
    follower.signal("CONT");
    assert_eq!(waiting.reply().number(), Some(1));
    waiting.send(&["WAIT", "2", "0"]);
    server.client.await_blocked(1);
    let id = waiting_id(&mut server);
    assert_eq!(server.say(&format!("CLIENT UNBLOCK {id} ERROR")).number(), Some(1));
    assert!(waiting.reply().is_error());

    assert_eq!(follower.say("REPLICAOF NO ONE"), Reply::ok());
    await_followers(&mut server, 0);
    server.client.until(
        "writes are refused again",
        |client| client.say("SET key 1"),
        |reply| *reply == refused,
    );
    assert_eq!(server.say("REPLICAOF no one"), Reply::ok());
    assert!(server.say("REPLICAOF 127.0.0.1 1").is_error());
}

#[test]
fn messages_reach_the_clients_of_followers_in_their_place_among_the_changes() {
    let Some((_, program)) = others().into_iter().next() else { return };
    let mut server = ours().start("followed-messages", &format!("{FILE}appendonly yes\n"));
    let mut follower = program.start("follower-messages", THEIRS);
    // What changes there is heard as well, so it is heard in which order all comes.
    follower.set("notify-keyspace-events", "K$");
    follow(&server, &mut follower);
    await_followers(&mut server, 1);
    await_link(&mut follower);
    let mut hearing = follower.connect();
    for command in ["SUBSCRIBE channel", "SUBSCRIBE __keyspace@0__:key", "SSUBSCRIBE channel"] {
        hearing.say(command);
    }
    let mut assert_heard = |expected: &[&str]| {
        for message in expected {
            let heard: Vec<String> = hearing.reply().elements().iter().map(Reply::text).collect();
            assert_eq!([&heard[0], &heard[2]].map(String::as_str).join(" "), *message, "{heard:?}");
        }
    };
    let change = "message set";
    server.client.send_all(&[vec!["SET", "key", "1"], vec!["PUBLISH", "channel", "1"], vec!["INCR", "key"]]);
    (0..3).for_each(|_| drop(server.client.reply()));
    assert_heard(&[change, "message 1", "message incrby"]);
    for command in ["MULTI", "SET key 2", "SPUBLISH channel 2", "SET key 3", "PUBLISH channel 3", "EXEC"] {
        assert!(!server.say(command).is_error());
    }
    assert_heard(&[change, "smessage 2", change, "message 3"]);
    let script: &[u8] =
        b"redis.call('SET', 'key', 4) redis.call('PUBLISH', 'channel', 4) redis.call('SET', 'key', 5)";
    assert!(!server.call(&[b"EVAL", script, b"0"]).is_error());
    assert_heard(&[change, "message 4", change]);

    // Who comes back hears what it has missed.
    server.say("CLIENT KILL TYPE replica");
    server.say("PUBLISH channel missed");
    assert_heard(&["message missed"]);
    assert_eq!(server.client.info_number("sync_full"), 1);

    // The second one when nothing else is on its way to the disk.
    for _ in 0..2 {
        server.say("PUBLISH channel last");
        assert_eq!(server.say("WAITAOF 1 0 10000").elements()[0].number(), Some(1));
    }
    let files = std::fs::read_dir(server.directory.join("appendonlydir")).expect("there is a log");
    let log: String = files
        .flatten()
        .map(|file| String::from_utf8_lossy(&std::fs::read(file.path()).expect("it is there")).to_uppercase())
        .collect();
    assert!(log.contains("SET") && !log.contains("PUBLISH"), "messages change nothing: {log}");
}

/// What was written before anybody followed lies before the first position of the stream.
#[test]
fn who_may_not_have_read_the_data_yet_is_not_counted() {
    let mut server = ours().start("followed-unread", FILE);
    server.say("SET key 1");
    let (_reader, _) = begin_by_hand(&server, "capa eof capa psync2");
    let info = |client: &mut Client| client.info("replication");
    server.client.until("the data is sent", info, |text| text.contains(",state=online,"));
    assert_eq!(server.say("WAIT 1 10").number(), Some(0));
}

#[test]
fn the_end_waits_for_followers_that_lag_behind() {
    let Some((_, program)) = others().into_iter().next() else { return };
    let mut server = ours().start("followed-end", FILE);
    let mut follower = program.start("follower-end", THEIRS);
    follow(&server, &mut follower);
    await_followers(&mut server, 1);
    await_link(&mut follower);
    await_acknowledgements(&mut server, 1);

    follower.signal("STOP");
    server.say("SET key 1");
    let mut ending = server.connect();
    ending.send(&["SHUTDOWN", "NOSAVE"]);
    server.client.await_blocked(1);
    let left = |client: &mut Client| client.info_field("shutdown_in_milliseconds");
    server.client.until("it is told how long the end waits", left, Option::is_some);
    let clients = server.say("CLIENT LIST").text().lines().count() as i64;
    assert_eq!(server.client.info_number("connected_clients"), clients - 1, "followers are no clients");
    assert_eq!(server.say("GET key").text(), "1", "who only reads is served");
    let mut writing = server.connect();
    writing.send(&["SET", "key", "2"]);
    assert_eq!(server.say("SHUTDOWN ABORT"), Reply::ok());
    assert_eq!(ending.reply(), Reply::error("ERR Errors trying to SHUTDOWN. Check logs."));
    assert_eq!(writing.reply(), Reply::ok());
    assert!(server.say("SHUTDOWN ABORT").is_error());
    assert_eq!(server.client.info_field("shutdown_in_milliseconds"), None);

    server.signal("TERM");
    server.client.until("it is to end", |client| client.say("SHUTDOWN ABORT"), |reply| *reply == Reply::ok());
    server.set("shutdown-timeout", "100000");
    ending.send(&["SHUTDOWN"]);
    server.client.await_blocked(1);
    follower.signal("CONT");
    assert_eq!(server.await_end(swytch_testkit::PATIENCE), Some(0), "{}", server.log_tail(20));
    assert!(ending.is_closed());
    assert_eq!(follower.say("GET key").text(), "2");

    // Nobody waits for long, nor at all who says so.
    server.write_file(FILE);
    for (timeout, words) in [("1", "SHUTDOWN"), ("100000", "SHUTDOWN NOW")] {
        server.restart();
        await_followers(&mut server, 1);
        await_link(&mut follower);
        server.set("shutdown-timeout", timeout);
        follower.signal("STOP");
        server.say("SET key 3");
        ending = server.connect();
        ending.send(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(server.await_end(swytch_testkit::PATIENCE), Some(0), "{words}");
        let lags = format!("Lagging replica 127.0.0.1:{}", follower.port);
        assert!(words != "SHUTDOWN" || server.log_tail(1000).contains(&lags), "{}", server.log_tail(20));
        follower.signal("CONT");
    }

    // A service manager that says it again changes nothing; whoever presses the keys does.
    server.restart();
    await_followers(&mut server, 1);
    await_link(&mut follower);
    server.set("shutdown-timeout", "100000");
    follower.signal("STOP");
    server.say("SET key 4");
    let heeded = |server: &Server| server.log_tail(1000).matches("received signal 15").count();
    for _ in 0..2 {
        let (before, deadline) = (heeded(&server), Instant::now() + swytch_testkit::PATIENCE);
        server.signal("TERM");
        while heeded(&server) == before {
            assert!(server.is_running() && Instant::now() < deadline, "{}", server.log_tail(20));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(server.say("GET key").text(), "4");
    server.signal("INT");
    assert_eq!(server.await_end(swytch_testkit::PATIENCE), Some(1), "{}", server.log_tail(20));
    follower.signal("CONT");
}

#[track_caller]
fn waiting_id(server: &mut Server) -> String {
    let lines = server.say("CLIENT LIST").text();
    let line = lines.lines().find(|line| line.contains(" cmd=wait ")).expect("somebody waits");
    line.split(' ').next().and_then(|field| field.strip_prefix("id=")).expect("it has an id").to_owned()
}

/// A connection that says what followers say and reads no more than it has to, and the line before the data.
fn begin_by_hand(server: &Server, capabilities: &str) -> (BufReader<TcpStream>, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
    write!(stream, "REPLCONF {capabilities}\r\nPSYNC ? -1\r\n").expect("it reads");
    let mut reader = BufReader::new(stream);
    let (mut line, deadline) = (String::new(), Instant::now() + swytch_testkit::PATIENCE);
    let mut next = || {
        line.clear();
        // Until there is something to say, line ends say that somebody is there.
        while line.trim().is_empty() {
            assert!(Instant::now() < deadline, "there is nothing to say");
            reader.read_line(&mut line).expect("it answers");
        }
        line.trim_start().to_owned()
    };
    assert_eq!(next(), "+OK\r\n");
    assert!(next().starts_with("+FULLRESYNC "));
    let line = next();
    assert!(line.starts_with('$'), "{line}");
    (reader, line)
}

#[test]
fn what_a_follower_has_not_been_sent_lets_no_key_go() {
    let file =
        format!("{FILE}repl-backlog-size 16kb\nmaxmemory-policy allkeys-random\nlatency-tracking no\n");
    let mut server = ours().start("followed", &file);
    for number in 0..100 {
        server.say(&format!("SETRANGE key:{number} 9999 x"));
    }
    // It reads nothing of the stream.
    let follower = begin_by_hand(&server, "capa psync2");
    let is_online = |info: &String| info.contains("state=online");
    server.client.until("it is sent the stream", |client| client.info("replication"), is_online);
    let limit = server.client.info_number("used_memory")
        - server.client.info_number("mem_not_counted_for_evict")
        + 400_000;
    server.say(&format!("CONFIG SET maxmemory {limit}"));
    let change = ["SETRANGE", "key:0", "0", &"y".repeat(100)].map(str::to_owned).to_vec();
    for _ in 0..150 {
        server.client.send_all(&vec![change.clone(); 1000]);
        for _ in 0..1000 {
            assert_eq!(server.client.reply(), Reply::Integer(10_000));
        }
    }
    let memory = server.client.info("memory");
    for field in ["mem_clients_slaves", "mem_not_counted_for_evict"] {
        assert!(server.client.info_number(field) > 8_000_000, "{memory}");
    }
    assert_eq!(server.say("DBSIZE"), Reply::Integer(100), "{memory}");
    let written = server.client.info_number("total_net_repl_output_bytes");
    assert!((50_000..server.client.info_number("total_net_output_bytes")).contains(&written), "{written}");
    drop(follower);
}

#[test]
fn a_follower_that_does_not_read_is_let_go_and_its_memory_comes_back() {
    let file = format!("{FILE}repl-backlog-size 16kb\nclient-output-buffer-limit replica 8mb 0 0\n");
    let mut server = ours().start("followed-slow", &file);
    // It hangs up in the middle of the data.
    for number in 0..64 {
        server.say(&format!("SETRANGE big:{number} 1000000 x"));
    }
    server.set("rdbcompression", "no");
    let (reader, _) = begin_by_hand(&server, "capa eof capa psync2");
    await_followers(&mut server, 1);
    drop(reader);
    await_followers(&mut server, 0);
    let saves = |client: &mut Client| client.say("BGSAVE");
    server.client.until("nobody writes the rest", saves, |reply| matches!(reply, Reply::Simple(_)));
    let running = |client: &mut Client| client.info_number("rdb_bgsave_in_progress");
    server.client.until("the data is saved", running, |running| *running == 0);
    assert_eq!(server.client.info_field("rdb_last_bgsave_status").as_deref(), Some("ok"));
    server.say("FLUSHALL");

    let (mut reader, _) = begin_by_hand(&server, "capa eof capa psync2");
    let before = server.client.info_number("mem_total_replication_buffers");
    let value = vec![b'v'; 1 << 20];
    let mut written = 0;
    while server.client.info_number("connected_slaves") == 1 {
        server.call(&[b"SET", b"key", &value]);
        written += 1;
        assert!(written < 100, "nobody is let go");
    }
    assert!(written >= 8, "it had a limit: {written}");
    let held = |client: &mut Client| client.info_number("mem_total_replication_buffers");
    server.client.until("memory comes back", held, |held| *held <= before + (2 << 20));
    // What it was sent before it is told by the end of the connection.
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest);
}

#[test]
fn a_follower_that_has_itself_answered_is_let_go() {
    let mut server = ours().start("followed-talker", FILE);
    server.say("SET key 1");
    for (words, told) in [
        ("PING", "Replica generated a reply to command 'ping', disconnecting it"),
        ("GET key", "sending an error to its replica: 'ERR Replica can't interact with the keyspace'"),
        ("CLIENT ID", "Replica generated a reply to command 'client|id', disconnecting it"),
    ] {
        let (mut reader, _) = begin_by_hand(&server, "capa eof capa psync2");
        await_followers(&mut server, 1);
        write!(reader.get_mut(), "{words}\r\n").expect("it reads");
        await_followers(&mut server, 0);
        let log = |_: &mut Client| server.log_tail(100).contains(told);
        Client::open(server.port).until(told, log, |told| *told);
    }
}

/// What is written for nobody any more is written no further, whatever it goes through.
#[test]
fn data_that_nobody_waits_for_is_not_written_to_its_end() {
    for from_memory in ["no", "yes"] {
        let file = format!("{FILE}repl-diskless-sync {from_memory}\nrdb-key-save-delay 1000000\n");
        let mut server = ours().start("followed-useless", &file);
        server.say("DEBUG POPULATE 1000");
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
        write!(stream, "REPLCONF capa eof capa psync2\r\nPSYNC ? -1\r\n").expect("it reads");
        let running = |client: &mut Client| client.info_number("rdb_bgsave_in_progress");
        server.client.until("the data is written", running, |running| *running == 1);
        drop(stream);
        server.client.until("it is written no more", running, |running| *running == 0);
    }
}

#[test]
fn what_time_asks_for_follows_its_directive_at_once() {
    let Some((_, program)) = others().into_iter().next() else { return };
    let mut server = ours().start("followed-pings", &format!("{FILE}repl-ping-replica-period 3600\n"));
    let mut follower = program.start("follower-pings", THEIRS);
    follow(&server, &mut follower);
    await_followers(&mut server, 1);
    await_link(&mut follower);
    let before = server.client.info_number("master_repl_offset");
    server.set("repl-ping-replica-period", "1");
    let end = |client: &mut Client| client.info_number("master_repl_offset");
    server.client.until("followers are told PING", end, |end| *end > before);

    // A command that is not run here.
    assert_eq!(server.say("DEBUG REPLICATE SET there alone"), Reply::ok());
    let there = |client: &mut Client| client.say("GET there");
    follower.client.until("it is told", there, |reply| *reply == Reply::Bulk(b"alone".to_vec()));
    assert_eq!(server.say("GET there"), Reply::Null);
}

#[test]
fn nobody_waits_for_a_follower_that_takes_its_time_with_a_file() {
    let mut server =
        ours().start("followed-file", &format!("{FILE}repl-diskless-sync no\nrdbcompression no\n"));
    for number in 0..32 {
        server.say(&format!("SETRANGE big:{number} 1000000 x"));
    }
    let (mut reader, line) = begin_by_hand(&server, "capa eof capa psync2");
    let saves = |client: &mut Client| client.say("BGSAVE");
    server.client.until("a save begins", saves, |reply| matches!(reply, Reply::Simple(_)));
    let running = |client: &mut Client| client.info_number("rdb_bgsave_in_progress");
    server.client.until("the data is saved", running, |running| *running == 0);
    assert!(server.client.info("replication").contains(",state=send_bulk,"));
    let entries = std::fs::read_dir(&server.directory).expect("the directory is there");
    let names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().into_string().unwrap_or_default()).collect();
    assert!(names.iter().all(|name| !name.starts_with("temp-")), "{names:?}");

    server.say("SET behind it");
    let bytes = line[1..].trim_end().parse().expect("the length of the data");
    assert!(bytes > 32_000_000, "{line}");
    let mut data = vec![0; bytes];
    reader.read_exact(&mut data).expect("the data");
    assert!(data.starts_with(b"REDIS00"));
    assert!(reader.lines().map_while(Result::ok).any(|line| line == "behind"), "the stream comes then");
}

#[test]
fn who_is_sent_a_file_waits_for_no_others() {
    let server = ours().start("followed-alone", &format!("{FILE}repl-diskless-sync-delay 3600\n"));
    let (_reader, line) = begin_by_hand(&server, "capa psync2");
    assert!(line[1..].trim_end().parse::<u64>().is_ok(), "{line}");
}

#[test]
fn tools_that_read_as_followers_do_are_served() {
    let beside =
        |(_, program): (String, Program)| program.path.with_file_name(format!("{}-cli", program.name));
    let Some(tool) = others().into_iter().map(beside).find(|tool| tool.is_file()) else {
        println!("skipped: there is no redis-cli beside redis-server");
        return;
    };
    let mut server = ours().start("followed-tools", FILE);
    fill(&mut server.client);
    let port = server.port.to_string();
    let copy = server.directory.join("copy.rdb");
    let output = Command::new(&tool).args(["-p", &port, "--rdb"]).arg(&copy).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let check =
        Command::new(env!("CARGO_BIN_EXE_swytch")).arg("check-rdb").arg(&copy).output().expect("it runs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    await_followers(&mut server, 0);

    let mut shown = Command::new(&tool)
        .args(["-p", &port, "--replica"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    await_followers(&mut server, 1);
    let online = |client: &mut Client| client.info("replication").contains("state=online");
    server.client.until("it reads the stream", online, |online| *online);
    server.say("SET seen 1");
    let lines = BufReader::new(shown.stdout.take().expect("it is a pipe")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("SET") && line.contains("seen")));
    // It ends with the test in any case.
    let _ = shown.kill();
    let _ = shown.wait();
    await_followers(&mut server, 0);
}

/// Fields of a hash that expire are no matter of the version that Redis and Valkey share: each has one of its own.
#[test]
fn deadlines_of_fields_reach_whoever_has_them() {
    let mut server = ours().start("followed", FILE);
    for (name, program) in others() {
        let mut follower = program.start("follower", THEIRS);
        if follower.say("HTTL none FIELDS 1 field").is_error() {
            continue;
        }
        server.say("FLUSHALL");
        for (key, filler) in [("small", 2), ("big", 600)] {
            for number in 0..filler {
                server.say(&format!("HSET {key} field:{number} value:{number}"));
            }
            server.say(&format!("HPEXPIREAT {key} 4102444800123 FIELDS 2 field:0 field:1"));
        }
        follow(&server, &mut follower);
        await_link(&mut follower);
        server.say("HPEXPIREAT small 4102444800456 FIELDS 1 field:1");
        await_acknowledgements(&mut server, 1);
        for key in ["small", "big"] {
            for question in [
                format!("HPEXPIRETIME {key} FIELDS 3 field:0 field:1 field:2"),
                format!("HLEN {key}"),
                format!("HGET {key} field:1"),
            ] {
                assert_eq!(server.say(&question), follower.say(&question), "{name}: {question}");
            }
        }
        follower.say("REPLICAOF NO ONE");
        await_followers(&mut server, 0);
    }
}
