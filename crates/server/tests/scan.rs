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
    walk(connection, "SCAN", &["COUNT", &count.to_string()])
}

/// All that a walk finds, and how many steps it takes.
fn walk(connection: &mut Client, command: &str, options: &[&str]) -> (Vec<Vec<u8>>, usize) {
    let (mut found, mut cursor, mut steps) = (Vec::new(), b"0".to_vec(), 0);
    loop {
        steps += 1;
        assert!(steps < STEPS_MAX, "{command} {options:?}: no end");
        let mut request = vec![command.as_bytes(), &cursor];
        request.extend(options.iter().map(|option| option.as_bytes()));
        let reply = connection.call(&request);
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

/// A node that has all slots: walks of all of them, of those from one on, of one, and with cursors of another process.
#[test]
fn a_cluster_is_walked_through_by_slots() {
    let mut server = ours().start("clusterscan", "threads 2\ncluster-enabled yes\n");
    let keys: HashSet<Vec<u8>> = (0..500)
        .map(|number| if number % 5 == 0 { format!("{{Qi}}:{number}") } else { format!("key:{number}") })
        .map(String::into_bytes)
        .collect();
    keys.iter().for_each(|key| assert_eq!(server.call(&[&b"SET"[..], key, b"v"]), Reply::ok()));
    let mut connection = server.connect();
    let mut found = |options: &[&str]| {
        let (found, _) = walk(&mut connection, "CLUSTERSCAN", options);
        found.into_iter().collect::<HashSet<_>>()
    };
    let tagged = || keys.iter().filter(|key| key.starts_with(b"{Qi}")).cloned().collect::<HashSet<_>>();
    assert_eq!(found(&[]), keys);
    assert_eq!(found(&["COUNT", "1"]), keys);
    assert_eq!(found(&["MATCH", "{Qi}*", "COUNT", "3"]), tagged());
    assert_eq!(found(&["SLOT", "1"]), tagged());
    assert_eq!(found(&["SLOT", "1", "MATCH", "{06S}*"]), HashSet::new());
    assert_eq!(found(&["SLOT", "0"]), HashSet::new());
    assert_eq!(found(&["TYPE", "list"]), HashSet::new());

    let step =
        |server: &mut swytch_testkit::Server, request: &str| server.say(&format!("CLUSTERSCAN {request}"));
    let cursor = |cursor: &str| Reply::Array(vec![Reply::Bulk(cursor.into()), Reply::Array(Vec::new())]);
    assert_eq!(step(&mut server, "0"), cursor("0-{06S}-0"));
    assert_eq!(step(&mut server, "0 SLOT 2"), cursor("0-{5L5}-0"));
    assert_eq!(step(&mut server, "0-{06S}-0 MATCH {Qi}*"), cursor("0-{Qi}-0"));
    assert_eq!(step(&mut server, "0-{Qi}-0 MATCH {06S}*"), cursor("0"));
    // Slots behind the last key's, and a place in a walk of another process, which begins anew.
    assert_eq!(step(&mut server, "0-{6ZJ}-0 COUNT 10000"), cursor("0"));
    let elsewhere = format!("abcdef-{{Qi}}-{}", u64::MAX);
    let Reply::Array(parts) = step(&mut server, &format!("{elsewhere} SLOT 1 COUNT 10000")) else {
        panic!("no step")
    };
    assert!(matches!(&parts[1], Reply::Array(keys) if keys.len() == 100));
    for (request, error) in [
        ("invalid", "ERR Invalid cursor"),
        ("0-{0}", "ERR Invalid cursor"),
        ("0-{0}-x", "ERR Invalid cursor"),
        ("0-{06S}-0 SLOT 1", "ERR Cursor slot mismatch with SLOT argument"),
        ("0 SLOT 16384", "ERR Invalid or out of range slot"),
        ("0 SLOT 1 SLOT 1", "ERR SLOT option can only be specified once"),
        ("0 COUNT 0", "ERR syntax error"),
        ("0 TYPE nosuch", "ERR unknown type name 'nosuch'"),
    ] {
        assert_eq!(step(&mut server, request), Reply::Error(error.into()), "{request}");
    }
    let mut alone = ours().start("clusterscan-alone", "");
    assert_eq!(step(&mut alone, "0"), Reply::Error("ERR This instance has cluster support disabled".into()));
}
