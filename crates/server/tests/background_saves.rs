//! Files that are written while the data goes on changing have one moment of it, and delay nobody.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/forms.rs"]
mod forms;
#[path = "support/shapes.rs"]
mod shapes;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use corpus::{fill, others};
use forms::disturb;
use shapes::ours;
use swytch_testkit::{Client, Random, Reply, Server};

const FILE: &str = "save \"\"\nenable-debug-command yes\nthreads 3\n";
const ACCOUNTS: u64 = 300;
const EACH: i64 = 1000;
/// What a key's turn is delayed by where a save is to last, in microseconds.
const DELAY_US: &str = "300";

fn dump_of(server: &Server) -> PathBuf {
    server.directory.join("dump.rdb")
}

#[track_caller]
fn await_end(client: &mut Client, field: &str) {
    client.until("it is written", |client| client.info_number(field), |running| *running == 0);
}

/// A server that has loaded the file of another one.
fn loaded(from: &Server) -> Server {
    let mut server = ours().start("background-loaded", FILE);
    fs::copy(dump_of(from), dump_of(&server)).expect("it was written");
    server.restart_with(FILE);
    server
}

fn fill_accounts(client: &mut Client) {
    for account in 0..ACCOUNTS {
        client.call(&["SET", &format!("account:{account}"), &EACH.to_string()]);
    }
}

/// Moves amounts from account to account, by transactions and scripts, and takes accounts away and puts them back, until it
/// is told to stop.
fn transfer(port: u16, mut random: Random, stop: &AtomicBool) {
    let mut client = Client::open(port);
    let (script, amount) = ("redis.call('DECRBY',KEYS[1],ARGV[1]) redis.call('INCRBY',KEYS[2],ARGV[1])", "7");
    while !stop.load(Ordering::Relaxed) {
        let [from, to] = [(); 2].map(|()| format!("account:{}", random.below(ACCOUNTS)));
        match random.below(4) {
            0 => {
                client.say("MULTI");
                client.call(&["DECRBY", &from, amount]);
                client.call(&["INCRBY", &to, amount]);
                client.say("EXEC");
            }
            1 => _ = client.call(&["EVAL", script, "2", &from, &to, amount]),
            2 => {
                // It is in another database for a while, and nobody finds it half way.
                client.say("MULTI");
                client.call(&["MOVE", &from, "1"]);
                client.say("SWAPDB 1 2");
                client.say("SELECT 2");
                client.call(&["RENAME", &from, "in between"]);
                client.call(&["RENAME", "in between", &from]);
                client.call(&["MOVE", &from, "0"]);
                client.say("SELECT 0");
                client.say("EXEC");
            }
            _ => {
                // Beside them, keys that do not count.
                client.say("MULTI");
                client.say("SELECT 3");
                client.call(&["SET", &to, "1", "PX", "1"]);
                client.call(&["COPY", &to, "copy", "REPLACE"]);
                if random.once_in(20) {
                    client.say("FLUSHDB");
                }
                client.say("SELECT 0");
                client.say("EXEC");
            }
        }
    }
}

/// Stops the others also where a test fails.
struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[track_caller]
fn assert_sum(client: &mut Client, what: &str) {
    let mut request = vec!["MGET".to_owned()];
    request.extend((0..ACCOUNTS).map(|account| format!("account:{account}")));
    let reply = client.call(&request);
    let sum: i64 =
        reply.elements().iter().map(|amount| amount.text().parse::<i64>().expect("a number")).sum();
    assert_eq!(sum, ACCOUNTS as i64 * EACH, "{what}");
}

#[test]
fn a_save_in_the_background_has_one_moment_whatever_clients_do() {
    let mut server = ours().start("background-moment", FILE);
    let mut random = Random::from_environment();
    fill_accounts(&mut server.client);
    // Any of the others can read it.
    server.set("rdb-version", "10");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        for _ in 0..3 {
            let (port, random, stop) = (server.port, random.fork(), &stop);
            scope.spawn(move || transfer(port, random, stop));
        }
        for round in 0..5 {
            server.set("rdb-key-save-delay", if round % 2 == 0 { DELAY_US } else { "0" });
            assert_eq!(server.say("BGSAVE"), Reply::simple("Background saving started"));
            await_end(&mut server.client, "rdb_bgsave_in_progress");
            assert_eq!(server.client.info_field("rdb_last_bgsave_status").as_deref(), Some("ok"));
            assert_sum(&mut loaded(&server).client, &format!("round {round}"));
        }
    });
    assert_sum(&mut server.client, "at the end");
    for (name, program) in others() {
        let mut theirs = program.start("background-theirs", "save \"\"\n");
        fs::copy(dump_of(&server), dump_of(&theirs)).expect("it was written");
        theirs.restart_with("save \"\"\n");
        assert_sum(&mut theirs.client, &name);
    }
}

#[test]
fn a_save_in_the_background_has_what_there_was_when_it_was_answered() {
    let mut server = ours().start("background-digest", FILE);
    let mut random = Random::from_environment();
    disturb(server.port, &mut random, 200, |form| !form.contains("EX") && !form.contains(" PX"));
    fill(&mut server.client);
    for key in 0..2000 {
        server.client.call(&["SET", &format!("key {key}"), "value"]);
    }
    let big: Vec<String> = (0..5000).map(|member| format!("member {member}")).collect();
    server.client.call(&[vec!["SADD".to_owned(), "big".to_owned()], big].concat());
    // A value may need a newer version than files are written in by default, which the first file finds out.
    assert_eq!(server.say("BGSAVE"), Reply::simple("Background saving started"));
    await_end(&mut server.client, "rdb_bgsave_in_progress");
    let digest = server.say("DEBUG DIGEST");
    assert_eq!(loaded(&server).say("DEBUG DIGEST"), digest);
    server.set("rdb-key-save-delay", DELAY_US);
    assert_eq!(server.say("BGSAVE"), Reply::simple("Background saving started"));
    // On the same connection what comes behind is not in it.
    server.say("SET big 1");
    // FLUSHALL ends a save, as in Redis.
    disturb(server.port, &mut random, 300, |form| !form.contains("FLUSHALL"));
    await_end(&mut server.client, "rdb_bgsave_in_progress");
    assert_ne!(server.say("DEBUG DIGEST"), digest);
    assert_eq!(loaded(&server).say("DEBUG DIGEST"), digest);
}

#[test]
fn one_thing_is_written_at_a_time_and_redis_words_say_so() {
    let mut server = ours().start("background-words", &format!("{FILE}appendonly yes\n"));
    for key in 0..3000 {
        server.client.call(&["SET", &format!("key {key}"), "value"]);
    }
    server.set("rdb-key-save-delay", "1000");
    let started = Reply::simple("Background saving started");
    let last = server.say("LASTSAVE");
    assert_eq!(server.say("BGSAVE"), started);
    assert_eq!(server.client.info_number("rdb_bgsave_in_progress"), 1);
    assert_eq!(server.client.info_number("current_save_keys_total"), 3000);
    let saving = "-ERR Background save already in progress";
    for command in ["BGSAVE", "BGSAVE SCHEDULE", "SAVE"] {
        assert_eq!(server.say(command).to_string(), saving, "{command}");
    }
    let scheduled = Reply::simple("Background append only file rewriting scheduled");
    assert_eq!(server.say("BGREWRITEAOF"), scheduled);
    assert_eq!(server.client.info_number("aof_rewrite_scheduled"), 1);
    assert!(server.say("BGSAVE NOW").is_error());
    assert_eq!(server.say("BGSAVE CANCEL"), Reply::simple("Background saving cancelled"));
    server.client.until(
        "what was scheduled begins",
        |client| client.info_number("aof_rewrite_in_progress"),
        |running| *running == 1,
    );
    assert_eq!(server.say("LASTSAVE"), last);
    assert!(!dump_of(&server).exists());
    let rewriting = "-ERR Background append only file rewriting already in progress";
    assert_eq!(server.say("BGREWRITEAOF").to_string(), rewriting);
    let other = "-ERR Another child process is active (AOF?): can't BGSAVE right now. \
        Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.";
    assert_eq!(server.say("BGSAVE").to_string(), other);
    assert_eq!(server.say("BGSAVE SCHEDULE"), Reply::simple("Background saving scheduled"));
    assert_eq!(server.say("BGSAVE CANCEL"), Reply::simple("Scheduled background saving cancelled"));
    assert!(server.say("BGSAVE CANCEL").is_error());
    server.set("rdb-key-save-delay", "0");
    await_end(&mut server.client, "aof_rewrite_in_progress");
    server.say("MULTI");
    server.say("BGSAVE");
    server.say("BGREWRITEAOF");
    let replies = server.say("EXEC");
    assert_eq!(replies.elements(), [Reply::simple("Background saving scheduled"), scheduled]);
    server.client.until(
        "both are done",
        |client| (client.info_number("rdb_saves"), client.info_number("aof_rewrites")),
        |done| *done == (2, 2),
    );
    await_end(&mut server.client, "rdb_bgsave_in_progress");
    assert!(dump_of(&server).exists());
}

#[test]
fn what_is_flushed_does_not_come_back_from_a_save_that_was_under_way() {
    let mut server = ours().start("background-flush", &FILE.replace("save \"\"", "save 3600 1000000"));
    for key in 0..3000 {
        server.client.call(&["SET", &format!("key {key}"), "value"]);
    }
    server.set("rdb-key-save-delay", "1000");
    assert_eq!(server.say("BGSAVE"), Reply::simple("Background saving started"));
    assert_eq!(server.say("FLUSHALL"), Reply::ok());
    await_end(&mut server.client, "rdb_bgsave_in_progress");
    assert_eq!(server.client.info_field("rdb_last_bgsave_status").as_deref(), Some("ok"));
    assert_eq!(loaded(&server).say("DBSIZE").number(), Some(0));
    // The end of the server waits for no save, and leaves nothing of it.
    server.say("SET key value");
    server.set("rdb-key-save-delay", "10000000");
    assert_eq!(server.say("BGSAVE"), Reply::simple("Background saving started"));
    server.client.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(server.await_end(std::time::Duration::from_secs(60)), Some(0));
    let entries = fs::read_dir(&server.directory).expect("the directory is there").flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| !name.starts_with("temp-")), "{names:?}");
}

/// Clients' threads have the processor of whoever writes the data as soon as they wake: it says so to the system.
#[cfg(target_os = "linux")]
#[test]
fn who_saves_in_the_background_computes_as_a_batch() {
    const SCHED_BATCH: &str = "3";
    let mut server = ours().start("background-batch", FILE);
    server.say("BGSAVE");
    await_end(&mut server.client, "rdb_bgsave_in_progress");
    let policy = |name: &str| {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs").flatten();
        let mut states = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        let state = states.find(|state| state.contains(&format!("({name})"))).expect("the thread is there");
        // The 41st, two of which lie before the end of the name.
        let (_, behind) = state.rsplit_once(") ").expect("a name");
        behind.split(' ').nth(38).expect("a policy").to_owned()
    };
    assert_eq!(policy("swytch-save"), SCHED_BATCH);
    assert_ne!(policy("swytch-0"), SCHED_BATCH);
}
