//! The data's file: written, loaded, exchanged with other servers, damaged, in the way.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/shapes.rs"]
mod shapes;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use corpus::{fill, others};
use shapes::ours;
use swytch_testkit::{Client, Program, Reply, Server};

const FILE: &str = "save \"\"\nenable-debug-command yes\n";
const PATIENCE: Duration = Duration::from_secs(60);

fn dump_of(server: &Server) -> PathBuf {
    server.directory.join("dump.rdb")
}

/// Runs the program on the server's configuration until it ends by itself.
fn run_again(server: &Server) -> Output {
    let mut command = Command::new(&server.program().path);
    command.args(&server.program().leading_arguments).arg(server.file()).current_dir(&server.directory);
    command.output().expect("it ran before")
}

#[test]
fn what_is_saved_is_there_after_a_restart() {
    for checksum in ["yes", "no"] {
        let file = format!("{FILE}rdbchecksum {checksum}\n");
        let mut server = ours().start("saves-restart", &file);
        fill(&mut server.client);
        server.say("PEXPIREAT string:empty 9000000000000");
        server.say("PEXPIREAT list:one 9000000000000");
        server.say("SELECT 5");
        server.say("SET other database");
        server.say("SET short lived PX 1");
        let before = server.client.info_number("rdb_last_save_time");
        assert!(server.client.info_number("rdb_changes_since_last_save") > 50);
        assert_eq!(server.say("SAVE"), Reply::ok());
        assert_eq!(server.client.info_number("rdb_changes_since_last_save"), 0);
        assert!(server.client.info_number("rdb_last_save_time") >= before);
        assert_eq!(server.client.info_number("rdb_saves"), 1);
        server.say("EXISTS short");
        let (digest, keys) = (server.say("DEBUG DIGEST"), server.say("DBSIZE"));
        server.say("SET later lost");
        server.restart_with(&file);
        assert_eq!(server.say("DEBUG DIGEST"), digest);
        assert_eq!(server.say("PEXPIRETIME list:one").number(), Some(9_000_000_000_000));
        assert_eq!(server.client.info_number("rdb_changes_since_last_save"), 0);
        let expired = server.client.info_number("rdb_last_load_keys_expired");
        assert!(expired <= 1, "{expired}");
        server.say("SELECT 5");
        assert_eq!(server.say("DBSIZE"), keys);
        let entries = fs::read_dir(&server.directory).expect("the directory is there");
        let names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(names.iter().all(|name| !name.starts_with("temp-")), "{names:?}");
    }
}

/// The default version cannot say what producers have sent: such a stream is written in a later one.
#[test]
fn a_stream_knows_its_producers_after_a_restart_and_as_a_copy() {
    let mut server = ours().start("saves-producers", FILE);
    let added = server.say("XADD stream IDMP producer one * f v");
    server.say("XADD told 1-1 f v");
    server.say("XCFGSET told IDMP-DURATION 7");
    let Reply::Bulk(payload) = server.say("DUMP stream") else { panic!("it is a payload") };
    assert_eq!(server.call(&[b"RESTORE", b"copy", b"0", &payload]), Reply::ok());
    let digest = server.say("DEBUG DIGEST");
    assert_eq!(server.say("SAVE"), Reply::ok());
    server.restart_with(FILE);
    assert_eq!(server.say("DEBUG DIGEST"), digest);
    for key in ["stream", "copy"] {
        assert_eq!(server.say(&format!("XADD {key} IDMP producer one * f v")), added, "{key}");
    }
    let told = server.say("XINFO STREAM told").to_string();
    assert!(told.contains("idmp-duration, :7"), "{told}");
}

#[test]
fn files_are_exchanged_with_other_servers() {
    for (name, program) in others() {
        let mut theirs = program.start("saves-theirs", FILE);
        let mut ours = ours().start("saves-ours", FILE);
        fill(&mut ours.client);
        ours.say("PEXPIREAT list:one 9000000000000");
        ours.say("SELECT 9");
        ours.say("SET other database");
        let digest = ours.say("DEBUG DIGEST");
        let newest = if name.starts_with("redis 7.0") { 10 } else { 11 };
        for version in 9..=newest {
            ours.set("rdb-version", version.to_string());
            assert_eq!(ours.say("SAVE"), Reply::ok());
            check_by(&program, &dump_of(&ours), &name);
            fs::copy(dump_of(&ours), dump_of(&theirs)).expect("both are ours");
            theirs.restart_with(FILE);
            assert_eq!(theirs.say("DEBUG DIGEST"), digest, "{name} loads version {version}");
        }
        for compression in ["yes", "no"] {
            theirs.set("rdbcompression", compression);
            assert_eq!(theirs.say("SAVE"), Reply::ok());
            fs::copy(dump_of(&theirs), dump_of(&ours)).expect("both are ours");
            ours.restart_with(FILE);
            assert_eq!(ours.say("DEBUG DIGEST"), digest, "{name} is loaded");
        }
    }
}

/// What `redis-check-rdb` says, which is the server under another name.
#[track_caller]
fn check_by(program: &Program, file: &Path, name: &str) {
    let tool = if name.starts_with("valkey") { "valkey-check-rdb" } else { "redis-check-rdb" };
    let output = Command::new(&program.path).arg0(tool).arg(file).output().expect("it can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("RDB looks OK"), "{name}: {text}");
}

#[test]
fn a_damaged_file_stops_the_start_and_stays_as_it_is() {
    let mut server = ours().start("saves-damaged", FILE);
    fill(&mut server.client);
    assert_eq!(server.say("SAVE"), Reply::ok());
    let whole = fs::read(dump_of(&server)).expect("it was saved");
    server.write_file("save 1 1\n");
    server.kill();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    for damaged in [&whole[..whole.len() - 20], &whole[..9], b"", b"no RDB file at all", &flipped] {
        fs::write(dump_of(&server), damaged).expect("the file is ours");
        let output = run_again(&server);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("dump.rdb: ") && error.contains("(at byte "), "{error}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("Ready to accept"));
        assert_eq!(fs::read(dump_of(&server)).expect("it is there"), damaged);
    }
}

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, most likely.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn clients_wait_while_the_data_is_loaded() {
    let mut server = ours().start("saves-loading", FILE);
    server.say("DEBUG POPULATE 2000");
    assert_eq!(server.say("SAVE"), Reply::ok());
    let slow = format!("port {}\n{FILE}save 1 1\nkey-load-delay 10000000\n", server.port);
    fs::write(server.file(), &slow).expect("the file is ours");
    let whole = fs::read(dump_of(&server)).expect("it was saved");
    server.kill();
    let mut command = Command::new(&server.program().path);
    command.args(&server.program().leading_arguments).arg(server.file()).current_dir(&server.directory);
    let mut loading = Running(command.stdout(Stdio::null()).spawn().expect("it ran before"));
    let mut client = (0..6000)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            Client::connect(server.port).ok()
        })
        .expect("it listens while it loads");
    assert_eq!(client.info_number("loading"), 1);
    assert!(client.info_number("loading_total_bytes") == whole.len() as i64);
    assert!(client.info_field("loading_loaded_perc").is_some());
    for line in ["GET key:1", "SET a b", "PING", "DBSIZE", "SAVE", "CONFIG SET appendonly no"] {
        let answer = client.say(line).to_string();
        assert_eq!(answer, "-LOADING Redis is loading the dataset in memory", "{line}");
    }
    assert_eq!(client.say("CONFIG SET timeout 0"), Reply::ok());
    client.say("MULTI");
    assert!(client.say("GET key:1").is_error());
    assert!(client.say("EXEC").text().starts_with("EXECABORT"));
    // What is half loaded is not saved, although save points are set.
    client.send(&["SHUTDOWN"]);
    let deadline = Instant::now() + PATIENCE;
    while loading.0.try_wait().expect("it is a child").is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read(dump_of(&server)).expect("it is there"), whole);
}

#[test]
fn the_end_saves_as_it_is_told() {
    let with_points = "save 3600 1000000\nenable-debug-command yes\n";
    for (file, how, is_saved) in [
        (FILE, "SHUTDOWN SAVE", true),
        (FILE, "SHUTDOWN", false),
        (FILE, "TERM", false),
        (with_points, "SHUTDOWN NOSAVE", false),
        (with_points, "SHUTDOWN", true),
        (with_points, "TERM", true),
        (with_points, "INT", true),
    ] {
        let mut server = ours().start("saves-end", file);
        server.say("SET key value");
        let mut witness = server.connect();
        match how {
            "TERM" | "INT" => server.signal(how),
            command => server.client.send(&command.split(' ').collect::<Vec<_>>()),
        }
        assert_eq!(server.await_end(PATIENCE), Some(0), "{how}");
        assert!(witness.is_closed());
        assert_eq!(dump_of(&server).exists(), is_saved, "{how} with {file}");
    }
}

/// A name that no file can take the place of: a folder that is not empty.
fn block(server: &Server) {
    fs::create_dir_all(dump_of(server).join("in the way")).expect("the directory is ours");
}

#[test]
fn a_save_point_saves_and_writes_are_refused_while_it_cannot() {
    let mut server = ours().start("saves-points", "save 1 2\n");
    server.say("MSET a 1 b 2");
    server.client.until(
        "the save point saves",
        |client| client.info_number("rdb_saves") > 0 && client.info_number("rdb_bgsave_in_progress") == 0,
        |held| *held,
    );
    assert_eq!(server.client.info_field("rdb_last_bgsave_status").as_deref(), Some("ok"));
    fs::remove_file(dump_of(&server)).expect("it was saved");
    block(&server);
    // Writes until one is refused.
    server.client.until(
        "a write is refused",
        |client| client.say("INCR a").to_string().starts_with("-MISCONF Redis is configured to save"),
        |held| *held,
    );
    assert_eq!(server.client.info_field("rdb_last_bgsave_status").as_deref(), Some("err"));
    let failures = server.client.info_number("rdb_saves_consecutive_failures");
    assert!(failures >= 1);
    assert!(server.say("PING").to_string().starts_with("-MISCONF "));
    assert_eq!(server.say("GET b"), Reply::bulk("2"));
    assert_eq!(server.say("CONFIG SET stop-writes-on-bgsave-error no"), Reply::ok());
    assert_eq!(server.say("SET c 3"), Reply::ok());
    assert_eq!(server.say("CONFIG SET stop-writes-on-bgsave-error yes"), Reply::ok());
    assert!(server.say("SAVE").is_error());
    assert!(server.say("SHUTDOWN").to_string().starts_with("-ERR Errors trying to SHUTDOWN."));
    server.signal("TERM");
    let gave_up = |server: &Server| server.log_tail(100).matches("the server goes on").count();
    let deadline = Instant::now() + PATIENCE;
    while gave_up(&server) < 2 {
        assert!(Instant::now() < deadline, "the signal is not heeded");
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::remove_dir_all(dump_of(&server)).expect("it is ours");
    server.client.until("it saves again", |client| client.say("SAVE"), |reply| *reply == Reply::ok());
    assert_eq!(server.say("SET d 4"), Reply::ok());
    // It counts what is saved in the background.
    assert!(server.client.info_number("rdb_saves_consecutive_failures") >= failures);
    server.client.until("a save begins", |client| client.say("BGSAVE"), |reply| !reply.is_error());
    let failures = |client: &mut Client| client.info_number("rdb_saves_consecutive_failures");
    server.client.until("it has succeeded", failures, |failures| *failures == 0);
}

/// Deleted data does not come back from a file that was saved before.
#[test]
fn flushall_saves_that_nothing_is_left() {
    let mut server = ours().start("saves-flush", "save 3600 1000000\n");
    server.say("SET key value");
    assert_eq!(server.say("SAVE"), Reply::ok());
    let with_key = fs::metadata(dump_of(&server)).expect("it was saved").len();
    server.say("SET other value");
    assert_eq!(server.say("FLUSHALL"), Reply::ok());
    assert_eq!(server.client.info_number("rdb_changes_since_last_save"), 0);
    assert!(fs::metadata(dump_of(&server)).expect("it was saved").len() < with_key);
    server.set("save", "");
    server.say("SET key value");
    server.say("FLUSHALL");
    assert!(server.client.info_number("rdb_changes_since_last_save") > 0);
}

#[test]
fn debug_reload_gives_the_same_data_and_nothing_of_a_damaged_file() {
    let mut server = ours().start("saves-reload", FILE);
    let keys = fill(&mut server.client);
    server.say("PEXPIREAT list:one 9000000000000");
    let digest = server.say("DEBUG DIGEST");
    let encodings: Vec<Reply> =
        keys.iter().map(|key| server.client.call(&["OBJECT", "ENCODING", key])).collect();
    assert_eq!(server.say("DEBUG RELOAD"), Reply::ok());
    assert_eq!(server.say("DEBUG DIGEST"), digest);
    for (key, encoding) in keys.iter().zip(encodings) {
        assert_eq!(server.client.call(&["OBJECT", "ENCODING", key]), encoding, "{key}");
    }
    server.say("SET later value");
    server.say("DEL list:one");
    let changed = server.say("DEBUG DIGEST");
    let refused = "-ERR Error trying to load the RDB dump, check server logs.";
    assert_eq!(server.say("DEBUG RELOAD NOSAVE NOFLUSH").to_string(), refused);
    assert_eq!(server.say("DEBUG DIGEST"), changed);
    let whole = fs::read(dump_of(&server)).expect("it was saved");
    fs::write(dump_of(&server), &whole[..whole.len() - 9]).expect("the file is ours");
    assert_eq!(server.say("DEBUG RELOAD NOSAVE").to_string(), refused);
    assert_eq!(server.say("DEBUG DIGEST"), changed);
    fs::write(dump_of(&server), &whole).expect("the file is ours");
    assert_eq!(server.say("DEBUG RELOAD NOSAVE NOFLUSH MERGE"), Reply::ok());
    assert_eq!(server.say("GET later"), Reply::bulk("value"));
    assert_eq!(server.say("PEXPIRETIME list:one").number(), Some(9_000_000_000_000));
    assert_eq!(server.say("DEBUG RELOAD NOSAVE"), Reply::ok());
    assert_eq!(server.say("DEBUG DIGEST"), digest);
}
