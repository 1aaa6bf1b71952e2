//! Thousands of parked clients: timeouts, CLIENT UNBLOCK, CLIENT KILL, hang-ups and writers at once. Nobody is
//! forgotten, nobody is answered twice, no element is lost.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use swytch_testkit::random::{self, Random};
use swytch_testkit::{Client, PATIENCE, Reply, Server};

const WAITERS: usize = 2000;
const KEYS: u64 = 40;

/// A configuration with this many threads.
fn file(threads: usize) -> String {
    format!("threads {threads}\nenable-debug-command yes\nsave \"\"\n")
}

fn start(threads: usize) -> Server {
    ours().start("parking", &file(threads))
}

/// What a waiter was told in the end.
#[derive(Debug, PartialEq)]
enum Fate {
    Element(u64),
    InVain,
    Unblocked,
    Cut,
}

fn fate(reply: std::io::Result<Reply>) -> Fate {
    match reply {
        Ok(Reply::Array(parts)) => match &parts[1] {
            Reply::Array(elements) => Fate::Element(elements[0].number().expect("a number")),
            single => Fate::Element(single.number().expect("a number")),
        },
        Ok(Reply::NullArray) => Fate::InVain,
        Ok(Reply::Error(text)) if text.starts_with("UNBLOCKED") => Fate::Unblocked,
        Ok(other) => panic!("unexpected reply {other}"),
        Err(error) => {
            let waited =
                matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            assert!(!waited, "a parked client was forgotten");
            Fate::Cut
        }
    }
}

fn park(connection: &mut Client, random: &mut Random) {
    let key = |random: &mut Random| format!("key-{}", random.below(KEYS));
    let (one, other, third) = (key(random), key(random), key(random));
    // A third waits until it is served, or ended by others.
    let timeout = match random.below(3) {
        0 => "0".to_owned(),
        _ => format!("0.{:03}", 1 + random.below(900)),
    };
    match random.below(4) {
        0 => connection.send(&["BLPOP", &one, &timeout]),
        1 => connection.send(&["BRPOP", &one, &other, &third, &timeout]),
        2 => connection.send(&["BLMPOP", &timeout, "3", &one, &one, &other, "RIGHT", "COUNT", "1"]),
        _ => connection.send(&["BLPOP", &one, &other, &timeout]),
    }
}

#[test]
fn nobody_is_forgotten() {
    let seed = random::seed();
    let server = start(4);
    let mut random = Random::new(seed);
    let mut observer = server.connect();
    let mut waiters: Vec<(u64, Client)> = (0..WAITERS)
        .map(|_| {
            let mut connection = server.connect();
            (connection.call(&["CLIENT", "ID"]).number().expect("an id"), connection)
        })
        .collect();
    let ids: Vec<u64> = waiters.iter().map(|(id, _)| *id).collect();
    let pushed = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let killed = std::thread::scope(|scope| {
        for thread in 0..2 {
            let (mut connection, mut random) = (server.connect(), Random::new(seed ^ (77 + thread)));
            let (pushed, over) = (&pushed, &over);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    push(&mut connection, &mut random, pushed);
                }
            });
        }
        let killer = {
            let (mut connection, mut random) = (server.connect(), Random::new(seed ^ 99));
            let (ids, over) = (&ids, &over);
            scope.spawn(move || {
                let mut killed = BTreeSet::new();
                while !over.load(Ordering::SeqCst) && killed.len() < WAITERS / 10 {
                    let id = ids[random.below(ids.len() as u64) as usize];
                    if random.below(3) == 0 {
                        if connection.call(&["CLIENT", "KILL", "ID", &id.to_string()]) == Reply::Integer(1) {
                            killed.insert(id);
                        }
                    } else {
                        connection.call(&["CLIENT", "UNBLOCK", &id.to_string(), "ERROR"]);
                    }
                }
                killed
            })
        };
        waiters.iter_mut().for_each(|(_, connection)| park(connection, &mut random));
        // Some hang up without a word.
        waiters.retain(|_| random.below(20) != 0);
        std::thread::sleep(std::time::Duration::from_millis(1200));
        over.store(true, Ordering::SeqCst);
        killer.join().expect("the killer's thread")
    });
    // All timeouts are over; those that wait forever and were not served yet are served now.
    for key in 0..KEYS {
        let name = format!("key-{key}");
        let mut words = vec!["RPUSH".to_owned(), name];
        let first = pushed.fetch_add(WAITERS as u64, Ordering::SeqCst);
        words.extend((first..first + WAITERS as u64).map(|element| element.to_string()));
        observer.call(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    observer.await_blocked(0);
    let mut seen = BTreeSet::new();
    let mut cut = 0;
    for (id, connection) in &mut waiters {
        match fate(connection.receive()) {
            Fate::Element(element) => assert!(seen.insert(element), "{element} was given twice"),
            Fate::Cut => {
                assert!(killed.contains(id), "client {id} was cut off by nobody");
                cut += 1;
            }
            Fate::InVain | Fate::Unblocked => {}
        }
    }
    let delivered = seen.len();
    for key in 0..KEYS {
        let reply = observer.call(&["LRANGE", &format!("key-{key}"), "0", "-1"]);
        for element in reply.elements().iter().filter_map(Reply::number) {
            assert!(seen.insert(element), "{element} was given to a client and is still there");
        }
    }
    // An element may have been on its way to a client that hung up or was killed.
    let gone = pushed.load(Ordering::SeqCst) - seen.len() as u64;
    let departed = (WAITERS - waiters.len() + cut) as u64;
    println!("{delivered} delivered, {cut} cut off, {departed} departed, {gone} gone with them");
    assert!(gone <= departed, "{gone} elements are gone with {departed} clients");
    assert!(delivered > WAITERS / 10, "hardly anybody was served: {delivered}");
    // What the server kept about those who waited is gone.
    let fields = ["blocked_clients:0", "clients_in_timeout_table:0", "total_blocking_keys:0"];
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let info = observer.info("clients");
        if fields.iter().all(|field| info.lines().any(|line| line == *field)) {
            break;
        }
        // Workers publish what they have at the end of a turn.
        assert!(std::time::Instant::now() < deadline, "not {fields:?}:\n{info}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// One element, by one of the writes that make a list.
fn push(connection: &mut Client, random: &mut Random, pushed: &AtomicU64) {
    let element = pushed.fetch_add(1, Ordering::SeqCst).to_string();
    let key = format!("key-{}", random.below(KEYS));
    match random.below(3) {
        0 => {
            let own = format!("own-{element}");
            connection.call(&["RPUSH", &own, &element]);
            connection.call(&["LMOVE", &own, &key, "LEFT", "RIGHT"]);
        }
        1 => {
            connection.send(&["MULTI"]);
            connection.send(&["LPUSH", &key, &element]);
            connection.send(&["EXEC"]);
            (0..3).for_each(|_| {
                connection.receive().expect("a reply");
            });
        }
        _ => {
            connection.call(&["RPUSH", &key, &element]);
        }
    }
}

/// A pop and a push that meet find each other, whichever comes first.
#[test]
fn who_parks_while_others_push_is_served() {
    const ROUNDS: usize = 2000;
    let server = start(4);
    let (mut popper, mut pusher) = (server.connect(), server.connect());
    for round in 0..ROUNDS {
        popper.send(&["BLPOP", "meeting", "0"]);
        pusher.send(&["RPUSH", "meeting", &round.to_string()]);
        assert_eq!(fate(popper.receive()), Fate::Element(round as u64));
        assert_eq!(pusher.reply(), Reply::Integer(1));
    }
}

/// BLMOVE in circles, with elements thrown in: waiters that need each other's shards make no deadlock, and what goes
/// round stays whole.
#[test]
fn circles_of_moves_neither_lock_up_nor_lose() {
    const ROUNDS: usize = 150;
    let seed = random::seed();
    let server = start(4);
    let mut observer = server.connect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (mut connection, mut random) = (server.connect(), Random::new(seed ^ thread));
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let from = format!("circle-{}", random.below(6));
                    let to = format!("circle-{}", random.below(6));
                    if thread == 0 {
                        connection.call(&["RPUSH", &from, &round.to_string()]);
                    } else {
                        connection.call(&["BLMOVE", &from, &to, "LEFT", "RIGHT", "0.02"]);
                    }
                }
            });
        }
    });
    let mut elements = Vec::new();
    for list in 0..6 {
        let reply = observer.call(&["LRANGE", &format!("circle-{list}"), "0", "-1"]);
        elements.extend(reply.elements().iter().filter_map(Reply::number));
    }
    elements.sort_unstable();
    assert_eq!(elements, (0..ROUNDS as u64).collect::<Vec<_>>());
    observer.await_blocked(0);
}
