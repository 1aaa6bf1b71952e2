//! What a client was promised holds from the moment of the promise on, although other threads were already running
//! commands: after the OK of CLIENT PAUSE nothing is written, a client that was killed changes nothing more, memory
//! over its limit takes nothing more, and MONITOR shows what happens to a key in the order in which it happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use swytch_testkit::client::encode;
use swytch_testkit::{Client, Reply, Server, ours};

/// Commands of a pipeline that is sent in one write.
const PIPELINE: usize = 64;
/// Clients that write without a pause.
const WRITERS: usize = 4;

fn start(threads: usize) -> Server {
    ours!().start("conditions", &format!("threads {threads}\nsave \"\"\n"))
}

/// Keeps `WRITERS` connections busy with pipelines of what `command` makes of a connection's number and a round's,
/// while `act` runs.
fn beside_writers<R>(
    server: &Server,
    command: impl Fn(usize, usize) -> Vec<String> + Sync,
    act: impl FnOnce(&[u64]) -> R,
) -> R {
    let over = AtomicBool::new(false);
    let mut connections: Vec<Client> = (0..WRITERS).map(|_| server.connect()).collect();
    let ids: Vec<u64> =
        connections.iter_mut().map(|own| own.say("CLIENT ID").number().expect("an id")).collect();
    std::thread::scope(|scope| {
        for (number, connection) in connections.iter_mut().enumerate() {
            let (over, command) = (&over, &command);
            scope.spawn(move || {
                let mut round = 0;
                while !over.load(Ordering::Relaxed) {
                    let commands: Vec<Vec<String>> =
                        (0..PIPELINE).map(|step| command(number, round * PIPELINE + step)).collect();
                    if send(connection, &commands).is_err() {
                        return;
                    }
                    for _ in 0..PIPELINE {
                        if connection.receive().is_err() {
                            return;
                        }
                    }
                    round += 1;
                }
            });
        }
        let result = act(&ids);
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// Sends commands in one write; the server may have closed the connection.
fn send(client: &mut Client, commands: &[Vec<String>]) -> std::io::Result<()> {
    client.send_raw(&commands.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>())
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// What the writers' keys were at first and what they were later, if that is not the same.
fn changes(observer: &mut Client) -> Option<String> {
    let mut state = || -> Vec<Reply> {
        (0..WRITERS).map(|number| observer.call(&["GET", &format!("key-{number}")])).collect()
    };
    let (at_first, later) = (state(), state());
    (at_first != later).then(|| format!("{at_first:?} became {later:?}"))
}

/// Says `begin` again and again beside writers and looks whether anything is written behind it, until `end` is said.
/// The judgement comes when the writers have ended, so that a failure leaves nobody waiting.
fn nothing_is_written_between(
    server: &Server,
    command: impl Fn(usize, usize) -> Vec<String> + Sync,
    (begin, end): (&[&str], &str),
    rounds: usize,
) {
    let mut observer = server.connect();
    let found = beside_writers(server, command, |_| {
        (0..rounds).find_map(|round| {
            begin.iter().for_each(|line| assert!(!matches!(observer.say(line), Reply::Error(_)), "{line}"));
            let changes = changes(&mut observer);
            observer.say(end);
            std::thread::sleep(Duration::from_micros(300));
            changes.map(|changes| format!("round {round}: {changes}"))
        })
    });
    assert_eq!(found, None, "{begin:?}");
}

#[test]
fn nothing_is_written_after_the_ok_of_a_pause() {
    let pause = (["CLIENT PAUSE 60000 WRITE"].as_slice(), "CLIENT UNPAUSE");
    for threads in [2, 4] {
        let server = start(threads);
        let one_key = |number: usize, _| words(&format!("INCR key-{number}"));
        nothing_is_written_between(&server, one_key, pause, 150);
        let two_keys =
            |number: usize, step| words(&format!("MSET key-{number} {step} other-{number} {step}"));
        nothing_is_written_between(&server, two_keys, pause, 75);
        let transaction = |number: usize, step: usize| match step % 3 {
            0 => words("MULTI"),
            1 => words(&format!("SET key-{number} {step}")),
            _ => words("EXEC"),
        };
        nothing_is_written_between(&server, transaction, pause, 75);
    }
}

#[test]
fn a_transaction_may_pause_and_nothing_is_written_after_it() {
    let server = start(2);
    let pause = ["MULTI", "GET key-0", "CLIENT PAUSE 60000 WRITE", "EXEC"];
    let one_key = |number: usize, _| words(&format!("INCR key-{number}"));
    nothing_is_written_between(&server, one_key, (&pause, "CLIENT UNPAUSE"), 100);
}

#[test]
fn a_pause_is_answered_when_whoever_holds_locks_is_done() {
    const HELD: Duration = Duration::from_millis(500);
    let server = ours!().start("conditions", "threads 4\nsave \"\"\nenable-debug-command yes\n");
    let (mut holder, mut observer) = (server.connect(), server.connect());
    for line in ["MULTI", "SET k v", "CLIENT SETNAME inside", "DEBUG SLEEP 0.5"] {
        assert!(!matches!(holder.say(line), Reply::Error(_)), "{line}");
    }
    let began = Instant::now();
    holder.send(&["EXEC"]);
    let list = |observer: &mut Client| observer.say("CLIENT LIST").to_string();
    observer.until("EXEC has its locks", list, |list| list.contains("name=inside"));
    assert_eq!(observer.say("CLIENT PAUSE 60000 WRITE"), Reply::ok());
    assert!(began.elapsed() >= HELD, "answered after {:?}, while locks were held", began.elapsed());
}

#[test]
fn nothing_is_taken_after_the_ok_of_a_memory_limit() {
    let server = start(4);
    let limit = (["CONFIG SET maxmemory 1"].as_slice(), "CONFIG SET maxmemory 0");
    nothing_is_written_between(&server, |number, _| words(&format!("INCR key-{number}")), limit, 150);
}

#[test]
fn a_killed_client_changes_nothing_more() {
    for threads in [2, 4] {
        let server = start(threads);
        let mut observer = server.connect();
        for round in 0..60 {
            let found = beside_writers(
                &server,
                |number, _| words(&format!("INCR key-{number}")),
                |ids| {
                    std::thread::sleep(Duration::from_micros(500));
                    ids.iter().for_each(|id| drop(observer.say(&format!("CLIENT KILL ID {id}"))));
                    changes(&mut observer)
                },
            );
            assert_eq!(found, None, "{threads} threads, round {round}");
        }
    }
}

/// The time and the words of a line of MONITOR.
fn parse_line(line: &str) -> (f64, Vec<String>) {
    let (time, rest) = line.split_once(' ').expect("a time");
    let (_, quoted) = rest.split_once("] ").expect("a sender");
    (time.parse().expect("a number"), quoted.split(' ').map(|word| word.trim_matches('"').into()).collect())
}

#[test]
fn monitor_shows_a_key_in_the_order_of_execution() {
    const PUSHES: usize = 1000;
    for threads in [2, 4] {
        let server = start(threads);
        let mut monitor = server.connect();
        assert_eq!(monitor.say("MONITOR"), Reply::ok());
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let mut connection = server.connect();
                scope.spawn(move || {
                    for step in 0..PUSHES {
                        let element = format!("{writer}-{step}");
                        match step % 4 {
                            0 => {
                                connection.call(&["MULTI"]);
                                connection.call(&["RPUSH", "list", &element]);
                                connection.call(&["EXEC"]);
                            }
                            _ => {
                                connection.call(&["RPUSH", "list", &element]);
                            }
                        }
                    }
                });
            }
        });
        let mut last = server.connect();
        let list: Vec<String> =
            last.say("LRANGE list 0 -1").elements().iter().map(ToString::to_string).collect();
        last.say("PING the-end");
        let (mut shown, mut before) = (Vec::new(), 0.0);
        loop {
            let Reply::Simple(line) = monitor.receive().expect("a line") else { panic!("a simple string") };
            let (time, words) = parse_line(&line);
            assert!(time >= before, "times go back: {before} {line}");
            before = time;
            match words[0].as_str() {
                "RPUSH" => shown.push(words[2].clone()),
                "PING" => break,
                _ => {}
            }
        }
        assert!(list == shown, "{threads} threads: MONITOR shows another order than that of execution");
    }
}

#[test]
fn a_monitor_may_not_touch_the_keyspace() {
    let server = start(2);
    let mut monitor = server.connect();
    monitor.say("MONITOR");
    let mut answers = BTreeMap::new();
    for line in ["SET k v", "GET k", "PING", "DBSIZE", "ECHO hello"] {
        monitor.send(&line.split(' ').collect::<Vec<_>>());
        // Its own commands are shown to it, too, if they run.
        let answer = loop {
            match monitor.receive().expect("an answer") {
                Reply::Simple(line) if line.contains(" [0 ") => {}
                other => break other.to_string(),
            }
        };
        answers.insert(line, answer);
    }
    let refused = "-ERR Replica can't interact with the keyspace";
    assert_eq!(answers["SET k v"], refused);
    assert_eq!(answers["GET k"], refused);
    assert_eq!(answers["DBSIZE"], refused);
    assert_eq!(answers["PING"], "PONG");
    assert_eq!(answers["ECHO hello"], "hello");
}

/// Processor time that the server has used, in the system's clock ticks (a hundredth of a second).
fn processor_ticks(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Processor time of the server for a pipeline, in ticks.
fn cost(server: &Server, commands: &[Vec<String>], replies: usize) -> u64 {
    let mut connection = server.connect();
    let before = processor_ticks(server);
    for part in commands.chunks(500) {
        send(&mut connection, part).expect("the server reads");
        for _ in 0..part.len().min(replies) {
            connection.receive().expect("a reply");
        }
    }
    drop(connection);
    // What a departed client leaves is part of it.
    std::thread::sleep(Duration::from_millis(200));
    processor_ticks(server) - before
}

#[test]
fn watching_many_keys_costs_no_more_for_each() {
    const KEYS: usize = 40_000;
    let server = start(1);
    let watch = |step: usize| words(&format!("WATCH key-{step}"));
    let few: Vec<_> = (0..KEYS).map(|step| watch(step % 100)).collect();
    let many: Vec<_> = (0..KEYS).map(watch).collect();
    let (few, many) = (cost(&server, &few, KEYS), cost(&server, &many, KEYS));
    println!("{few} ticks for few keys, {many} for many");
    assert!(
        many <= few.max(10) * 6,
        "{few} ticks for watching 100 keys {KEYS} times, {many} for as many keys"
    );
}
