//! Freed memory goes back to the system without a command.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use swytch_testkit::{Client, PATIENCE, Reply, Server, ours};

fn resident_bytes(server: &Server) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.pid())).expect("a running process");
    let pages = statm.split(' ').nth(1).expect("a second field").parse::<usize>().expect("a number");
    pages * rustix::param::page_size()
}

/// Connections are made by one thread and end on another; each of them counts memory for itself in between. What is
/// remembered of slow commands is switched off: on a busy machine it grows, and that is no miscount.
#[test]
fn the_memory_in_use_is_told_exactly_where_nothing_happens() {
    // A thread that does not tell what it has counted is off by up to 32 KiB. What two clients at once make a worker
    // keep, on a busy machine, is a kilobyte or two.
    const DIFFERENCE_BYTES_MAX: u64 = 8 << 10;
    let remembers_nothing = "slowlog-log-slower-than -1\nlatency-tracking no\n";
    let server = ours!().start("memory-exact", &format!("threads 2\nsave \"\"\n{remembers_nothing}"));
    let mut admin = server.connect();
    let mut first = None;
    for round in 0..12 {
        let mut others: Vec<_> = (0..20).map(|_| server.connect()).collect();
        others.iter_mut().for_each(|other| assert_eq!(other.say("SET k v"), Reply::ok()));
        drop(others);
        // One client is this, one that of the start.
        let used = |admin: &mut Client| {
            (admin.info_number("connected_clients") <= 2).then(|| admin.info_number("used_memory"))
        };
        if round == 2 {
            // What is made at first use is there; now every thread comes round.
            let (mut seen, mut since) = (None, Instant::now());
            first = admin.until("the memory in use stays", used, |used| {
                let near = |(one, other): (i64, i64)| one.abs_diff(other) <= DIFFERENCE_BYTES_MAX;
                if !seen.zip(*used).is_some_and(near) {
                    (seen, since) = (*used, Instant::now());
                }
                used.is_some() && since.elapsed() > Duration::from_secs(3)
            });
        }
        admin.until("the memory in use", used, |used| {
            used.is_some_and(|used| {
                first.is_none_or(|first: i64| first.abs_diff(used) <= DIFFERENCE_BYTES_MAX)
            })
        });
    }
}

/// The reply of a flush that is not lazy says that the memory is there; nobody else waits for it, and a transaction does not.
#[test]
fn whoever_has_flushed_may_write_at_once_where_memory_was_full() {
    const LIMIT_BYTES: i64 = 20 << 20;
    let config = format!("threads 2\nsave \"\"\nenable-debug-command yes\nmaxmemory {LIMIT_BYTES}\n");
    let mut server = ours!().start("memory-flushed", &config);
    for how in ["FLUSHALL", "FLUSHALL SYNC", "FLUSHDB", "FLUSHDB SYNC"] {
        for round in 0..2 {
            assert_eq!(server.say("CONFIG SET maxmemory 0"), Reply::ok());
            assert_eq!(server.say("DEBUG POPULATE 50000 a 1000"), Reply::ok());
            assert_eq!(server.say(&format!("CONFIG SET maxmemory {LIMIT_BYTES}")), Reply::ok());
            assert!(server.say("SET k v").is_error(), "{how}, round {round}");
            assert_eq!(server.say(how), Reply::ok());
            assert_eq!(server.say("SET k v"), Reply::ok(), "{how}, round {round}");
            let used = server.client.info_number("used_memory");
            assert!(used < LIMIT_BYTES, "{how}, round {round}: {used}");
        }
    }
    assert_eq!(server.say("CONFIG SET lazyfree-lazy-user-flush yes"), Reply::ok());
    assert_eq!(server.say("FLUSHALL"), Reply::ok());
    let script = "redis.call('SET', 'k', 'v'); return redis.call('FLUSHALL', 'SYNC')";
    assert_eq!(server.client.call(&["EVAL", script, "0"]), Reply::ok());
    assert_eq!(server.say("MULTI"), Reply::ok());
    server.say("SET k v");
    server.say("FLUSHALL SYNC");
    assert_eq!(server.say("EXEC").elements(), [Reply::ok(), Reply::ok()]);
    assert!(server.say("FLUSHALL LATER").is_error());
}

/// Data of two workers, removed in three ways: each time the resident memory is near that of the start soon after.
#[test]
fn what_is_freed_goes_back_to_the_system() {
    const FILLED_BYTES: usize = 80 << 20;
    const LEFT_BYTES: usize = 20 << 20;
    let mut server = ours!().start("memory-returns", "threads 2\nenable-debug-command yes\n");
    let mut other = server.connect();
    let start = resident_bytes(&server);
    for how in ["FLUSHALL", "DEL", "expiry"] {
        assert_eq!(server.say("DEBUG POPULATE 50000 a 1000"), Reply::ok());
        assert_eq!(other.say("DEBUG POPULATE 50000 b 1000"), Reply::ok());
        assert!(resident_bytes(&server) > start + FILLED_BYTES, "{how}");
        match how {
            "FLUSHALL" => assert_eq!(server.say("FLUSHALL"), Reply::ok()),
            _ => {
                let words: &[&str] = if how == "DEL" { &["DEL"] } else { &["PEXPIRE", "1"] };
                for number in 0..50_000 {
                    for prefix in ["a", "b"] {
                        let key = format!("{prefix}:{number}");
                        let mut request = vec![words[0], &key];
                        request.extend(&words[1..]);
                        other.send(&request);
                    }
                    (0..2).for_each(|_| assert!(!other.reply().is_error()));
                }
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while resident_bytes(&server) > start + LEFT_BYTES {
            let resident = resident_bytes(&server) >> 20;
            assert!(
                Instant::now() < deadline,
                "{how}: {resident} MiB are resident, {} at the start",
                start >> 20
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Nine keys of ten are deleted, each of which leaves a hole: what is left moves together and is what it was.
#[test]
fn what_is_left_of_much_data_moves_together() {
    let mut server = ours!().start("memory-moves", "threads 2\nenable-debug-command yes\n");
    let mut other = server.connect();
    assert_eq!(server.say("DEBUG POPULATE 100000 a 1000"), Reply::ok());
    assert_eq!(other.say("DEBUG POPULATE 100000 b 1000"), Reply::ok());
    for number in 0..20_000 {
        let element = vec![b'e'; number % 300];
        other.send(&[b"RPUSH", format!("list:{number}").as_bytes(), &element, b"17", &element]);
        other.send(&["SET", &format!("expires:{number}"), &"v".repeat(number % 2000), "EX", "100000"]);
        other.send(&["SET", &format!("number:{number}"), &number.to_string()]);
    }
    (0..60_000).for_each(|_| assert!(!other.reply().is_error()));
    for number in (0..100_000).filter(|number| number % 10 != 0) {
        ["a", "b"].iter().for_each(|name| other.send(&["DEL", &format!("{name}:{number}")]));
    }
    (0..180_000).for_each(|_| assert_eq!(other.reply(), Reply::Integer(1)));
    let before = server.say("DEBUG DIGEST");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (resident, used) = (resident_bytes(&server), other.info_number("used_memory") as usize);
        if resident < used + used / 2 + (40 << 20) {
            break;
        }
        assert!(Instant::now() < deadline, "{resident} bytes are resident, {used} in use");
        other.until("a write beside it", |other| other.say("SET k v"), |reply| *reply == Reply::ok());
        std::thread::sleep(Duration::from_millis(100));
    }
    other.say("DEL k");
    assert_eq!(server.say("DEBUG DIGEST"), before);
}
