//! SCAN over a connection while other connections change the database.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use swytch_testkit::{Client, Random, Reply};

const STAY: usize = 2000;
/// Scans in full for each COUNT.
const SCANS: usize = 4;
/// Steps after which a scan has clearly gone astray.
const STEPS_MAX: usize = 200_000;

fn scan_all(connection: &mut Client, count: usize) -> (Vec<Vec<u8>>, usize) {
    let (mut found, mut cursor, mut steps) = (Vec::new(), b"0".to_vec(), 0);
    loop {
        steps += 1;
        assert!(steps < STEPS_MAX, "COUNT {count}: no end");
        let reply = connection.call(&[&b"SCAN"[..], &cursor, b"COUNT", count.to_string().as_bytes()]);
        let Reply::Array(parts) = reply else { panic!("{reply:?}") };
        let [Reply::Bulk(next), Reply::Array(keys)] = &parts[..] else { panic!("{parts:?}") };
        found.extend(keys.iter().map(|key| match key {
            Reply::Bulk(key) => key.clone(),
            other => panic!("{other:?}"),
        }));
        cursor.clone_from(next);
        if cursor == b"0" {
            return (found, steps);
        }
    }
}

/// Inserts and deletes keys in waves, so that tables grow and shrink, until told to stop.
fn disturb(port: u16, mut random: Random, stop: &AtomicBool) {
    let mut connection = Client::open(port);
    while !stop.load(Ordering::Relaxed) {
        let (wave, size) = (random.below(4), 2000 + random.below(10_000));
        for command in ["SET", "DEL"] {
            for chunk in (0..size).collect::<Vec<_>>().chunks(200) {
                for number in chunk {
                    let key = format!("moving:{wave}:{number}");
                    match command {
                        "SET" => connection.send(&["SET", &key, "v"]),
                        _ => connection.send(&["DEL", &key]),
                    }
                }
                for _ in chunk {
                    assert!(!matches!(connection.reply(), Reply::Error(_)));
                }
            }
        }
    }
}

#[test]
fn every_key_that_stays_is_found_while_others_come_and_go() {
    let server = ours().start("scan", "threads 2\n");
    let mut random = Random::from_environment();
    let mut connection = Client::open(server.port);
    for number in 0..STAY {
        connection.call(&["SET", &format!("stay:{number}"), "v"]);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let disturbers = [random.fork(), random.fork()];
        for random in disturbers {
            let stop = &stop;
            scope.spawn(move || disturb(server.port, random, stop));
        }
        for count in [10, 100, 1000, 7] {
            for _ in 0..SCANS {
                let (found, _) = scan_all(&mut connection, count);
                let found: HashSet<Vec<u8>> = found.into_iter().collect();
                for number in 0..STAY {
                    assert!(
                        found.contains(format!("stay:{number}").as_bytes()),
                        "COUNT {count} missed stay:{number}"
                    );
                }
                let known = |key: &[u8]| key.starts_with(b"stay:") || key.starts_with(b"moving:");
                assert!(found.iter().all(|key| known(key)), "COUNT {count} found a key nobody made");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_database_smaller_than_the_count_is_returned_by_one_call() {
    let mut server = ours().start("scan-small", "threads 8\n");
    for keys in 0..10 {
        let (found, steps) = scan_all(&mut Client::open(server.port), 10);
        assert_eq!((found.len(), steps), (keys, 1), "{keys} keys");
        server.say(&format!("SET key:{keys} v"));
    }
}

#[test]
fn a_quiet_database_is_returned_once_in_about_as_many_calls_as_the_count_asks_for() {
    let mut server = ours().start("scan-quiet", "enable-debug-command yes\n");
    server.say("DEBUG POPULATE 50000");
    let (found, steps) = scan_all(&mut Client::open(server.port), 100);
    assert_eq!(found.len(), 50_000, "each key exactly once");
    assert_eq!(found.into_iter().collect::<HashSet<_>>().len(), 50_000);
    assert!((100..=600).contains(&steps), "{steps} calls");
}

#[test]
fn any_number_is_a_cursor() {
    let mut server = ours().start("scan-cursor", "");
    server.say("SET key v");
    for cursor in ["1", "18446744073709551615", "9223372036854775808", "123456789", "007"] {
        assert!(matches!(server.say(&format!("SCAN {cursor}")), Reply::Array(_)), "{cursor}");
    }
    for cursor in ["", "x", "1x", "-1", "18446744073709551616", "1 "] {
        let reply = server.call(&[b"SCAN", cursor.as_bytes()]);
        assert_eq!(reply, Reply::Error("ERR invalid cursor".to_owned()), "{cursor:?}");
    }
}
