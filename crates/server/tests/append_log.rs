//! The append-only log: nothing acknowledged is lost, and it is exchanged with other servers.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/forms.rs"]
mod forms;
#[path = "support/shapes.rs"]
mod shapes;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use corpus::{fill, others};
use forms::{disturb, is_told_alike};
use shapes::ours;
use swytch_testkit::{Client, Random, Reply, Server};

const FILE: &str = "save \"\"\nenable-debug-command yes\nappendonly yes\n";
/// Commands of each client where many disturb a log.
const COMMANDS: usize = 800;

fn directory(server: &Server) -> PathBuf {
    server.directory.join("appendonlydir")
}

/// The files of the log, by what their names end with.
fn file_of(server: &Server, end: &str) -> PathBuf {
    let entries = fs::read_dir(directory(server)).expect("there is a log").flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(end));
    assert_eq!(paths.len(), 1, "{end}: {paths:?}");
    paths.remove(0)
}

/// Runs the program on the server's configuration, which ends by itself.
fn run_again(server: &Server, file: &str) -> Output {
    server.write_file(file);
    let mut command = Command::new(&server.program().path);
    command.args(&server.program().leading_arguments).arg(server.file()).current_dir(&server.directory);
    command.output().expect("it ran before")
}

/// The log of one server in the place of another's.
fn copy_log(from: &Server, to: &Server) {
    // There may be none.
    let _ = fs::remove_dir_all(directory(to));
    fs::create_dir(directory(to)).expect("it is gone");
    for entry in fs::read_dir(directory(from)).expect("there is a log").flatten() {
        fs::copy(entry.path(), directory(to).join(entry.file_name())).expect("both are ours");
    }
}

/// Waits until nothing changes by itself any more, and everything is in the file.
#[track_caller]
fn settle(server: &mut Server) -> String {
    let expires = |client: &mut Client| {
        let text = client.info("keyspace");
        let is_expiring = |field: &str| {
            field
                .split_once('=')
                .is_some_and(|(name, count)| matches!(name, "expires" | "subexpiry") && count != "0")
        };
        text.split([',', ':', '\r', '\n']).any(is_expiring)
    };
    server.client.until("nothing expires any more", expires, |held| !held);
    let digest = server.say("DEBUG DIGEST").text();
    await_safety(server);
    digest
}

/// Waits until all is in the file.
#[track_caller]
fn await_safety(server: &mut Server) {
    let field = if server.program().is_swytch() { "aof_unsynced_groups" } else { "aof_buffer_length" };
    server.client.until("all is safe", |client| client.info_number(field), |left| *left == 0);
}

#[track_caller]
fn await_rewrite(server: &mut Server) {
    let is_left = |client: &mut Client| {
        ["aof_rewrite_scheduled", "aof_rewrite_in_progress"].map(|field| client.info_number(field))
    };
    server.client.until("it is rewritten", is_left, |left| *left == [0, 0]);
}

/// The second one, which has loaded what the first one wrote, has the same data.
#[track_caller]
fn assert_same(wrote: &mut Server, loaded: &mut Server, digest: &str, what: &str) {
    if loaded.say("DEBUG DIGEST").text() == digest {
        return;
    }
    for db in 0..6 {
        let mut keys = Vec::new();
        for server in [&mut *wrote, &mut *loaded] {
            server.say(&format!("SELECT {db}"));
            keys.extend(server.say("KEYS *").elements().iter().map(Reply::text));
        }
        for key in keys {
            let command = format!("DEBUG DIGEST-VALUE {key}");
            assert_eq!(wrote.say(&command), loaded.say(&command), "{what}: {key} in database {db}");
        }
    }
    panic!("{what}: the digests differ and those of the values do not");
}

fn is_any(_: &str) -> bool {
    true
}

#[test]
fn what_many_clients_were_answered_is_there_after_a_kill() {
    for sync in ["always", "everysec", "no"] {
        let file = format!("{FILE}appendfsync {sync}\nthreads 4\n");
        let mut server = ours().start("append-kill", &file);
        let mut random = Random::from_environment();
        disturb(server.port, &mut random, COMMANDS, is_any);
        server.say("SET last one");
        let digest = match sync {
            "no" => {
                server.set("appendfsync", "everysec");
                settle(&mut server)
            }
            _ => settle(&mut server),
        };
        server.restart_with(&file);
        assert_eq!(server.say("DEBUG DIGEST").text(), digest, "{sync}");
        server.restart_with(&file);
        assert_eq!(server.say("DEBUG DIGEST").text(), digest, "{sync}, once more");
    }
}

#[test]
fn an_answer_under_always_is_never_taken_back() {
    let file = format!("{FILE}appendfsync always\n");
    let mut server = ours().start("append-always", &file);
    for round in 0..5 {
        // Killed right behind the last reply: there is no time in which anything could be lost.
        for number in 0..100 {
            assert_eq!(server.say(&format!("SET key:{round}:{number} value")), Reply::ok());
        }
        assert_eq!(server.say(&format!("RPUSH rounds {round}")).number(), Some(round + 1));
        server.restart_with(&file);
        assert_eq!(server.say("LLEN rounds").number(), Some(round + 1));
        assert_eq!(server.say("DBSIZE").number(), Some((round + 1) * 100 + 1));
    }
}

#[test]
fn logs_are_exchanged_with_other_servers() {
    for (name, program) in others() {
        let is_old = name.starts_with("redis 7.0");
        for preamble in ["yes", "no"] {
            let version = if is_old { "rdb-version 10\n" } else { "" };
            let shared = format!("{FILE}aof-use-rdb-preamble {preamble}\n");
            let mut random = Random::from_environment();
            let mut ours = ours().start("append-ours", &format!("{shared}{version}threads 3\n"));
            let mut theirs = program.start("append-theirs", &shared);
            fill(&mut ours.client);
            assert!(matches!(ours.say("BGREWRITEAOF"), Reply::Simple(_)));
            ours.say("SELECT 5");
            ours.say("SET other database");
            disturb(ours.port, &mut random, COMMANDS, is_told_alike);
            let digest = settle(&mut ours);
            copy_log(&ours, &theirs);
            theirs.restart_with(&shared);
            assert_same(&mut ours, &mut theirs, &digest, &format!("{name} loads ours, preamble {preamble}"));

            disturb(theirs.port, &mut random, COMMANDS, is_told_alike);
            theirs.say("BGREWRITEAOF");
            theirs.client.until(
                "the rewrite has ended",
                |client| client.info_number("aof_rewrite_in_progress"),
                |running| *running == 0,
            );
            disturb(theirs.port, &mut random, COMMANDS / 4, is_told_alike);
            let digest = settle(&mut theirs);
            copy_log(&theirs, &ours);
            ours.restart_with(&shared);
            assert_same(&mut theirs, &mut ours, &digest, &format!("{name} is loaded, preamble {preamble}"));
        }
    }
}

#[test]
fn a_torn_end_is_cut_off_and_anything_else_ends_the_start() {
    let mut server = ours().start("append-torn", FILE);
    server.say("SET whole 1");
    server.say("MULTI");
    server.say("SET one 1");
    server.say("SET two 2");
    server.say("EXEC");
    settle(&mut server);
    let path = file_of(&server, ".incr.aof");
    let whole = fs::read(&path).expect("it is there");
    let begin = whole.windows(5).position(|bytes| bytes == b"MULTI").expect("it is a transaction")
        - "*1\r\n$5\r\n".len();
    for len in begin..whole.len() {
        server.kill();
        fs::write(&path, &whole[..len]).expect("it is ours");
        server.restart_with(FILE);
        let all: Vec<Reply> = ["whole", "one", "two"].map(|key| server.say(&format!("EXISTS {key}"))).into();
        assert_eq!(all, [1, 0, 0].map(Reply::Integer), "cut at {len}");
        assert_eq!(fs::read(&path).expect("it is there"), whole[..begin], "what is torn goes as a whole");
    }
    server.kill();
    let refused = |server: &Server, bytes: &[u8], file: &str, why: &str| {
        fs::write(&path, bytes).expect("it is ours");
        let output = run_again(server, file);
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(!output.status.success() && told.contains(why), "{why}: {told}");
        assert_eq!(fs::read(&path).expect("it is there"), bytes, "it stays as it is");
    };
    refused(
        &server,
        &whole[..whole.len() - 3],
        &format!("{FILE}aof-load-truncated no\n"),
        "Unexpected end of file reading the append only file",
    );
    refused(
        &server,
        &[&whole[..begin], b"!\r\n"].concat(),
        FILE,
        "Bad file format reading the append only file",
    );
    refused(&server, &[&whole[..begin], b"*1\r\n$x\r\n"].concat(), FILE, "Bad file format");
    refused(
        &server,
        &[&whole[..begin], b"*1\r\n$3\r\nbla\r\n"].concat(),
        FILE,
        "Unknown command 'bla' reading the append only file",
    );
    refused(
        &server,
        &[&whole[..begin], b"*3\r\n$5\r\nBLPOP\r\n$1\r\nx\r\n$1\r\n0\r\n"].concat(),
        FILE,
        "which waits",
    );
    refused(
        &server,
        &[&whole[..begin], b"*1\r\n$8\r\nSHUTDOWN\r\n"].concat(),
        FILE,
        "Command 'SHUTDOWN', which changes no data, reading the append only file",
    );
    // An end that is no commands is cut off if it is short enough, with the transaction that it is in.
    let in_transaction = begin + "*1\r\n$5\r\nMULTI\r\n".len();
    for good in [begin, in_transaction] {
        let bytes = [&whole[..good], b"!bad"].concat();
        let bad_bytes = bytes.len() - begin;
        let file = |bytes: usize| format!("{FILE}aof-load-corrupt-tail-max-size {bytes}\n");
        refused(
            &server,
            &bytes,
            &file(bad_bytes),
            &format!("set aof-load-corrupt-tail-max-size to more than {bad_bytes}"),
        );
        server.restart_with(&file(bad_bytes + 1));
        assert_eq!(server.say("DBSIZE").number(), Some(1));
        assert_eq!(fs::read(&path).expect("it is there"), whole[..begin]);
        server.kill();
    }
    let manifest = file_of(&server, ".manifest");
    fs::write(&manifest, "file appendonly.aof.9.incr.aof seq 9 type i\n").expect("it is ours");
    let output = run_again(&server, FILE);
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        told.contains("appendonly.aof.9.incr.aof of the append-only log: No such file or directory"),
        "{told}"
    );
}

#[test]
fn what_expires_functions_and_annotations_are_kept() {
    let file = format!("{FILE}aof-timestamp-enabled yes\n");
    let mut server = ours().start("append-kinds", &file);
    let library =
        "#!lua name=lib\nredis.register_function('f', function() return redis.call('INCR', 'n') end)";
    server.call(&[b"FUNCTION", b"LOAD", library.as_bytes()]);
    assert_eq!(server.say("FCALL f 0").number(), Some(1));
    server.say("SET gone 1 PX 1");
    server.say("SET later 1 PXAT 9000000000000");
    server.say("HSET hash f v");
    server.say("HINCRBYFLOAT hash g 1.5");
    server.client.until(
        "it has expired",
        |client| client.say("EXISTS gone").number(),
        |there| *there == Some(0),
    );
    let digest = server.say("DEBUG DIGEST");
    await_safety(&mut server);
    let text =
        String::from_utf8_lossy(&fs::read(file_of(&server, ".incr.aof")).expect("it is there")).into_owned();
    assert!(text.starts_with("#TS:"), "{text}");
    assert!(text.contains("DEL\r\n$4\r\ngone") && text.contains("PXAT"), "{text}");
    assert!(!text.contains("HSETEX"), "an older server reads it: {text}");
    assert_eq!(server.say("DEBUG LOADAOF"), Reply::ok());
    assert_eq!(server.say("DEBUG DIGEST"), digest, "loaded beside its clients");
    assert_eq!(server.say("FUNCTION LIST").elements().len(), 1);
    await_safety(&mut server);
    server.restart_with(&file);
    assert_eq!(server.say("DEBUG DIGEST"), digest);
    assert_eq!(server.say("PEXPIRETIME later").number(), Some(9_000_000_000_000));
    assert_eq!(server.say("FCALL f 0").number(), Some(2));
    // A rewrite has them in its base.
    for preamble in ["yes", "no"] {
        server.set("aof-use-rdb-preamble", preamble);
        server.say("BGREWRITEAOF");
        await_rewrite(&mut server);
        let digest = server.say("DEBUG DIGEST");
        let incr = fs::read(file_of(&server, ".incr.aof")).expect("it is there");
        assert_eq!(incr, b"", "everything is in the base");
        server.restart_with(&file);
        assert_eq!(server.say("DEBUG DIGEST"), digest, "preamble {preamble}");
        assert_eq!(server.say("FUNCTION LIST").elements().len(), 1);
    }
}

#[test]
fn the_log_is_switched_on_and_off_while_clients_write() {
    let file = "save \"\"\nenable-debug-command yes\nthreads 3\n";
    let mut server = ours().start("append-switch", file);
    let mut random = Random::from_environment();
    disturb(server.port, &mut random, 100, is_any);
    assert!(!directory(&server).exists());
    std::thread::scope(|scope| {
        let (port, mut random) = (server.port, random.fork());
        scope.spawn(move || disturb(port, &mut random, COMMANDS, is_any));
        for value in ["yes", "no", "yes", "no", "yes"] {
            assert_eq!(server.set("appendonly", value), None);
            let reply = server.say("BGREWRITEAOF").to_string();
            assert!(reply.contains(" rewriting started") || reply.contains("already in progress"), "{reply}");
        }
    });
    await_rewrite(&mut server);
    assert_eq!(server.client.info_number("aof_enabled"), 1);
    assert_eq!(server.client.info_field("aof_last_bgrewrite_status").as_deref(), Some("ok"));
    let digest = settle(&mut server);
    server.restart_with(&format!("{file}appendonly yes\n"));
    assert_eq!(server.say("DEBUG DIGEST").text(), digest);
    server.say("MULTI");
    server.say("CONFIG SET appendonly no");
    let Reply::Array(replies) = server.say("EXEC") else { panic!("EXEC answers an array") };
    assert!(matches!(&replies[0], Reply::Error(_)), "{replies:?}");
}

#[test]
fn a_log_that_is_begun_beside_a_snapshot_begins_with_its_data() {
    let mut server = ours().start("append-beside", "save \"\"\n");
    server.say("MSET a 1 b 2");
    server.say("SAVE");
    server.restart_with(FILE);
    assert_eq!(server.say("MGET a b").to_string(), "[1, 2]");
    server.say("SET c 3");
    await_safety(&mut server);
    // From now on the log decides, not the older snapshot.
    server.restart_with(FILE);
    assert_eq!(server.say("DBSIZE").number(), Some(3));
    server.say("FLUSHALL");
    await_safety(&mut server);
    server.restart_with(FILE);
    assert_eq!(server.say("DBSIZE").number(), Some(0));
}

/// What WAITAOF answers.
fn counts(local: i64, replicas: i64) -> Reply {
    Reply::Array(vec![Reply::Integer(local), Reply::Integer(replicas)])
}

#[test]
fn waitaof_waits_until_what_its_client_has_written_is_safe_as_in_redis() {
    const NO_LOG: &str = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    let with_it = others().into_iter().filter(|(name, _)| !name.starts_with("redis 7.0"));
    for program in std::iter::once(ours()).chain(with_it.map(|(_, program)| program)) {
        let mut server = program.start("append-wait", "save \"\"\nappendonly no\n");
        assert_eq!(server.say("WAITAOF 0 0 0"), counts(0, 0));
        let errors = [
            ("WAITAOF 1 0 0", NO_LOG),
            ("WAITAOF 2 0 0", "ERR value is out of range, value must between 0 and 1"),
            ("WAITAOF 0 -1 0", "ERR value is out of range, must be positive"),
            ("WAITAOF 0 0 -1", "ERR timeout is negative"),
            ("WAITAOF 0 0 x", "ERR timeout is not an integer or out of range"),
        ];
        for (line, error) in errors {
            assert_eq!(server.say(line), Reply::error(error), "{line}");
        }
        server.set("appendonly", "yes");
        await_rewrite(&mut server);
        assert_eq!(server.say("WAITAOF 1 0 0"), counts(1, 0), "it has written nothing");
        server.set("appendfsync", "no");
        let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
        let [one, two, three] = &mut clients[..] else { unreachable!("three") };
        one.say("SET n 1");
        assert_eq!(one.say("WAITAOF 1 0 1"), counts(0, 0));
        assert_eq!(one.say("WAITAOF 0 0 0"), counts(0, 0));
        assert_eq!(three.say("WAITAOF 1 0 0"), counts(1, 0), "others have written");
        one.say("MULTI");
        one.say("WAITAOF 1 1 0");
        assert_eq!(one.say("EXEC"), Reply::Array(vec![counts(0, 0)]));
        let script = "return #redis.call('WAITAOF', 1, 0, 0)";
        assert_eq!(one.call(&["EVAL", script, "0"]).number(), Some(2), "it does not wait");
        let id = one.say("CLIENT ID").text();
        for client in [&mut *one, &mut *two] {
            client.send_all(&[vec!["SET", "n", "2"], vec!["WAITAOF", "1", "0", "0"], vec!["GET", "n"]]);
            assert_eq!(client.reply(), Reply::ok());
        }
        server.client.await_blocked(2);
        assert_eq!(server.say(&format!("CLIENT UNBLOCK {id}")).number(), Some(1));
        assert_eq!((one.reply(), one.reply()), (counts(0, 0), Reply::bulk("2")));
        server.set("appendfsync", "everysec");
        assert_eq!((two.reply(), two.reply()), (counts(1, 0), Reply::bulk("2")));
        server.set("appendfsync", "always");
        one.say("SET n 3");
        assert_eq!(one.say("WAITAOF 1 0 0"), counts(1, 0));
        assert_eq!(one.say("WAITAOF 1 1 1"), counts(1, 0), "there is no replica");
        server.set("appendfsync", "no");
        one.send_all(&[vec!["SET", "n", "4"], vec!["WAITAOF", "1", "0", "0"]]);
        assert_eq!(one.reply(), Reply::ok());
        server.client.await_blocked(1);
        server.set("appendonly", "no");
        assert_eq!(one.reply(), Reply::error(NO_LOG));
    }
}

#[test]
fn waitaof_waits_for_the_base_of_a_log_that_is_switched_on() {
    let mut server = ours().start("waits-for-base", "save \"\"\nappendonly no\n");
    // The second time something was safe already, in the log before.
    for round in 0..2 {
        server.say(&format!("SET before {round}"));
        // A save that lasts keeps the base from being made.
        for command in
            ["CONFIG SET rdb-key-save-delay 100000000", "BGSAVE", "CONFIG SET appendonly yes", "SET n 1"]
        {
            assert!(!matches!(server.say(command), Reply::Error(_)), "{command}");
        }
        assert_eq!(server.say("WAITAOF 1 0 20"), counts(0, 0), "round {round}");
        server.set("rdb-key-save-delay", "0");
        assert_eq!(server.say("WAITAOF 1 0 0"), counts(1, 0), "round {round}");
        assert!(file_of(&server, ".base.rdb").metadata().is_ok_and(|base| base.len() > 0));
        server.set("appendonly", "no");
    }
}

#[test]
fn a_log_that_is_rewritten_while_clients_write_has_all_of_it() {
    for preamble in ["yes", "no"] {
        let file =
            format!("{FILE}threads 3\nauto-aof-rewrite-percentage 0\naof-use-rdb-preamble {preamble}\n");
        let mut server = ours().start("append-rewrite", &file);
        let mut random = Random::from_environment();
        disturb(server.port, &mut random, 200, is_any);
        std::thread::scope(|scope| {
            let (port, mut random) = (server.port, random.fork());
            scope.spawn(move || disturb(port, &mut random, COMMANDS, is_any));
            for round in 1..=4 {
                server.set("rdb-key-save-delay", if round % 2 == 0 { "2000" } else { "0" });
                assert_eq!(
                    server.say("BGREWRITEAOF"),
                    Reply::simple("Background append only file rewriting started")
                );
                await_rewrite(&mut server);
                assert_eq!(server.client.info_field("aof_last_bgrewrite_status").as_deref(), Some("ok"));
            }
        });
        let digest = settle(&mut server);
        // The list has one base, and one increment behind it.
        file_of(&server, ".incr.aof");
        file_of(&server, if preamble == "yes" { ".base.rdb" } else { ".base.aof" });
        server.restart_with(&file);
        assert_eq!(server.say("DEBUG DIGEST").text(), digest, "preamble {preamble}");
    }
}

#[test]
fn a_disk_that_is_full_refuses_writes_and_recovers_by_itself() {
    for sync in ["everysec", "always"] {
        let mut server = ours().start("append-full", &format!("{FILE}appendfsync {sync}\n"));
        server.say("SET before 1");
        await_safety(&mut server);
        limit_files(&server, "64");
        let mut other = server.connect();
        // Under `always` it is not answered as long as it is not safe.
        other.send(&["SET", "during", &"x".repeat(200)]);
        let status = |client: &mut Client| client.info_field("aof_last_write_status");
        server.client.until("it is known", status, |status| status.as_deref() == Some("err"));
        let misconf = server.say("SET refused 1");
        assert!(misconf.text().starts_with("MISCONF Errors writing to the AOF file: "), "{misconf:?}");
        assert!(matches!(server.say("PING"), Reply::Error(_)), "and whoever watches is told");
        assert_eq!(server.say("GET before").text(), "1", "reading goes on");
        assert_eq!(server.client.info_field("aof_last_write_status").as_deref(), Some("err"));
        limit_files(&server, "unlimited");
        let accepted = |client: &mut Client| client.say("SET after 1");
        server.client.until("writes are accepted", accepted, |reply| *reply == Reply::ok());
        assert_eq!(other.reply(), Reply::ok());
        let digest = settle(&mut server);
        server.restart_with(FILE);
        assert_eq!(server.say("DEBUG DIGEST").text(), digest, "{sync}");
    }
}

#[test]
fn a_log_whose_files_were_removed_begins_anew_with_all_of_the_data() {
    let mut server = ours().start("append-removed", FILE);
    server.say("SET before 1");
    await_safety(&mut server);
    fs::remove_dir_all(&server.directory).expect("it is there");
    server.say("BGREWRITEAOF");
    let status = |client: &mut Client| client.info_field("aof_last_write_status");
    server.client.until("it is known", status, |status| status.as_deref() == Some("err"));
    let tries = |client: &mut Client| {
        assert!(matches!(client.say("SET refused 3"), Reply::Error(_)), "it has nowhere to go");
        client.info_field("aof_rewrites").and_then(|tries| tries.parse::<u64>().ok())
    };
    server.client.until("it is tried again and again", tries, |tries| *tries >= Some(3));
    fs::create_dir(&server.directory).expect("it is gone");
    let accepted = |client: &mut Client| client.say("SET after 2");
    server.client.until("writes are accepted", accepted, |reply| *reply == Reply::ok());
    await_safety(&mut server);
    server.restart_with(FILE);
    assert_eq!(server.say("MGET before after refused").to_string(), "[1, 2, null]");
}

/// How long any file of the server may become.
fn limit_files(server: &Server, bytes: &str) {
    let status = Command::new("prlimit")
        .args([format!("--pid={}", server.pid()), format!("--fsize={bytes}:unlimited")])
        .status()
        .expect("util-linux is installed");
    assert!(status.success());
}

#[test]
fn a_log_of_one_file_from_before_there_were_lists_is_taken_over() {
    let mut server = ours().start("append-one-file", "save \"\"\nenable-debug-command yes\n");
    server.say("SET in snapshot");
    server.say("SAVE");
    let snapshot = fs::read(server.directory.join("dump.rdb")).expect("it was saved");
    let commands = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$4\r\nthen\r\n$1\r\n1\r\n";
    let files = [("plain", commands.to_vec()), ("preamble", [&snapshot[..], commands].concat())];
    for (name, bytes) in files {
        server.kill();
        let _ = fs::remove_dir_all(directory(&server));
        fs::write(server.directory.join("appendonly.aof"), bytes).expect("it is ours");
        for round in 0..2 {
            server.restart_with(FILE);
            assert_eq!(server.say("GET then").text(), "1", "{name}, {round}");
            assert_eq!(
                server.say("EXISTS in").number(),
                Some(u64::from(name == "preamble")),
                "{name}, {round}"
            );
        }
        assert!(!server.directory.join("appendonly.aof").exists());
    }
}

/// The lines of the list of files, without the names.
fn list_of(server: &Server) -> Vec<String> {
    let text = fs::read_to_string(file_of(server, ".manifest")).expect("there is a list");
    text.lines().map(|line| line.split_once(" seq ").expect("a number").1.to_owned()).collect()
}

/// Redis 8.6 says in the list where each increment has begun in the history that followers are told, and where a log that was closed
/// has ended; so do we, each goes on from there with the other's, and what Redis 7 makes of such a list is what it makes of any.
#[test]
fn the_list_says_where_the_log_is_in_the_history() {
    for (name, program) in std::iter::once(("swytch".to_owned(), ours())).chain(others()) {
        let file = format!("{FILE}rdb-version 10\n");
        let mut server = ours().start("append-offsets", &file);
        assert_eq!(list_of(&server), ["1 type b", "1 type i startoffset 0"]);
        server.say("SET k1 v1");
        server.say("SET k2 v2");
        server.set("appendonly", "no");
        assert_eq!(list_of(&server), ["1 type b", "1 type i startoffset 0 endoffset 2"]);
        server.set("appendonly", "yes");
        await_rewrite(&mut server);
        assert_eq!(list_of(&server), ["2 type b", "2 type i startoffset 2"]);
        server.say("SET k3 v3");
        assert_eq!(server.client.info_number("master_repl_offset"), 3);
        server.signal("TERM");
        assert_eq!(server.await_end(swytch_testkit::PATIENCE), Some(0), "{}", server.log_tail(20));
        assert_eq!(list_of(&server), ["2 type b", "2 type i startoffset 2 endoffset 3"]);

        // Whoever goes on with it says that it has not ended.
        let mut heir = program.start("append-heir", "save \"\"\nappendonly no\n");
        heir.kill();
        copy_log(&server, &heir);
        heir.restart_with("save \"\"\nappendonly yes\n");
        assert_eq!(heir.say("DBSIZE").number(), Some(3), "{name}");
        if name.starts_with("redis 7.0") || name.starts_with("valkey") {
            // They pass over what they do not know, and say no more of it once they write the list.
            heir.say("BGREWRITEAOF");
            await_rewrite(&mut heir);
            heir.signal("TERM");
            heir.await_end(swytch_testkit::PATIENCE);
            assert_eq!(list_of(&heir), ["3 type b", "3 type i"], "{name}");
            continue;
        }
        assert_eq!(heir.client.info_number("master_repl_offset"), 3, "{name}");
        assert_eq!(list_of(&heir), ["2 type b", "2 type i startoffset 2"], "{name}");
        heir.say("SET k4 v4");
        heir.signal("TERM");
        heir.await_end(swytch_testkit::PATIENCE);
        assert_eq!(list_of(&heir), ["2 type b", "2 type i startoffset 2 endoffset 4"], "{name}");
        server.kill();
        copy_log(&heir, &server);
        server.restart_with(&file);
        assert_eq!(server.client.info_number("master_repl_offset"), 4, "{name}");
        assert_eq!(server.say("DBSIZE").number(), Some(4), "{name}");
        // One that was not closed has ended no further than its bytes behind its beginning.
        server.say("SET k5 v5");
        await_safety(&mut server);
        server.kill();
        let bytes = fs::metadata(file_of(&server, ".incr.aof")).expect("it is there").len();
        server.restart_with(&file);
        assert_eq!(server.client.info_number("master_repl_offset") as u64, 2 + bytes, "{name}");
    }
}

/// A log that is off is rewritten to a base alone, as in Redis: nothing is written behind it.
#[test]
fn a_log_that_is_off_has_no_increment_behind_its_new_base() {
    let programs = others().into_iter().map(|(_, program)| program);
    for program in std::iter::once(ours()).chain(programs) {
        let mut server = program.start("append-off", "save \"\"\nenable-debug-command yes\n");
        server.say("SET k v");
        let rewrite = |server: &mut Server| {
            server.say("BGREWRITEAOF");
            await_rewrite(server);
            let kinds = |line: String| line.split(" startoffset").next().expect("a line").to_owned();
            list_of(server).into_iter().map(kinds).collect::<Vec<_>>()
        };
        assert_eq!(rewrite(&mut server), ["1 type b"], "there was no log");
        assert_eq!(server.say("DEBUG LOADAOF"), Reply::ok());
        assert_eq!(server.say("GET k").text(), "v");
        server.set("aof-disable-auto-gc", "yes");
        server.set("appendonly", "yes");
        await_rewrite(&mut server);
        assert_eq!(rewrite(&mut server), ["3 type b", "1 type h", "2 type h", "1 type h", "2 type i"]);
        server.set("aof-disable-auto-gc", "no");
        assert_eq!(list_of(&server).len(), 2, "what is not needed goes at once");
        server.set("appendonly", "no");
        assert_eq!(rewrite(&mut server), ["4 type b"]);
        // Who has read that there is none counts them from the beginning.
        assert_eq!(server.say("DEBUG LOADAOF"), Reply::ok());
        server.set("appendonly", "yes");
        await_rewrite(&mut server);
        assert_eq!(rewrite(&mut server), ["6 type b", "2 type i"]);
    }
}

/// DEBUG LOADAOF leaves nothing that would have to be saved, as in Redis.
#[test]
fn a_log_that_is_loaded_again_has_no_changes_to_save() {
    for program in std::iter::once(ours()).chain(others().into_iter().map(|(_, program)| program)) {
        let mut server = program.start("append-again", FILE);
        for number in 0..10 {
            server.say(&format!("SET key:{number} value"));
        }
        let changes = |server: &mut Server| server.client.info_number("rdb_changes_since_last_save");
        assert_eq!(changes(&mut server), 10);
        assert_eq!(server.say("DEBUG LOADAOF"), Reply::ok());
        assert_eq!(changes(&mut server), 0);
        server.say("SET key:0 other");
        assert_eq!(changes(&mut server), 1);
    }
}

/// A rewrite that has failed is tried again at once, so that a log that is switched on has a base soon; three fail before the next one
/// waits, and whoever asks for one has it at once all the same.
#[test]
fn a_rewrite_that_fails_is_tried_again_at_once_and_three_times() {
    let mut server = ours().start("append-again-and-again", "save \"\"\nenable-debug-command yes\n");
    server.say("SET key value");
    // No file can be written where a directory is.
    let in_the_way = server.directory.join(format!("temp-bg-{}.aof", server.pid()));
    fs::create_dir(&in_the_way).expect("the directory is ours");
    assert_eq!(server.set("appendonly", "yes"), None);
    let waits = |_: &mut Client| {
        server.log_tail(100).contains(" 3 rewrites of the log have failed, which has triggered the limit")
    };
    Client::open(server.port).until("the next one waits", waits, |waits| *waits);
    assert_eq!(server.client.info_field("aof_last_bgrewrite_status").as_deref(), Some("err"));
    fs::remove_dir(&in_the_way).expect("it is ours");
    assert!(matches!(server.say("BGREWRITEAOF"), Reply::Simple(_)));
    await_rewrite(&mut server);
    assert_eq!(server.client.info_field("aof_last_bgrewrite_status").as_deref(), Some("ok"));
    server.say("SET behind it");
    await_safety(&mut server);
    server.restart_with(FILE);
    assert_eq!(server.say("DBSIZE").number(), Some(2));
}
