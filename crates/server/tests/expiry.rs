//! Keys that expire: by themselves, when somebody reads them, and at once when their time is already over.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use std::time::{Duration, Instant};
use swytch_testkit::{Client, Reply};

const FILE: &str = "enable-debug-command yes\nthreads 2\n";
const PATIENCE: Duration = Duration::from_secs(60);

fn stat(connection: &mut Client, name: &str) -> u64 {
    connection.info_number(name) as u64
}

/// Sets `key:NUMBER` for each number, to expire at a time since 1970.
fn set_many(connection: &mut Client, numbers: std::ops::Range<usize>, due_ms: impl Fn(usize) -> u128) {
    for chunk in numbers.collect::<Vec<_>>().chunks(500) {
        for &number in chunk {
            let (key, due_ms) = (format!("key:{number}"), due_ms(number).to_string());
            connection.send(&["SET", &key, "v", "PXAT", &due_ms]);
        }
        for _ in chunk {
            assert_eq!(connection.reply(), Reply::ok());
        }
    }
}

fn now_ms() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis()
}

#[test]
fn keys_go_by_themselves_and_are_counted() {
    const KEYS: usize = 50_000;
    let server = ours().start("expiry-active", FILE);
    let mut connection = Client::open(server.port);
    // Half of them together, half spread over a second; some more that stay.
    let mut fill = |lead_ms: u128| {
        connection.say("FLUSHALL");
        connection.say("CONFIG RESETSTAT");
        connection.say("DEBUG POPULATE 1000 stay");
        let due_ms = now_ms() + lead_ms;
        set_many(&mut connection, 0..KEYS / 2, |_| due_ms);
        set_many(&mut connection, KEYS / 2..KEYS, |number| due_ms + (number % 1000) as u128);
        now_ms() < due_ms
    };
    // What is set when its time is already over is deleted at once and is no expiry, so a slow machine needs a longer
    // lead.
    let mut leads_ms = [1500, 6000, 24_000, 96_000].into_iter();
    assert!(leads_ms.any(&mut fill), "setting {KEYS} keys takes for ever");
    let begin = Instant::now();
    while connection.say("DBSIZE") != Reply::Integer(1000) {
        assert!(begin.elapsed() < PATIENCE, "{:?} keys are left", connection.say("DBSIZE"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stat(&mut connection, "expired_keys"), KEYS as u64);
}

#[test]
fn without_active_expiry_a_key_goes_when_it_is_asked_for() {
    let server = ours().start("expiry-lazy", FILE);
    let mut connection = Client::open(server.port);
    connection.say("DEBUG SET-ACTIVE-EXPIRE 0");
    for number in 0..20 {
        assert_eq!(connection.say(&format!("SET key:{number} v PX 5")), Reply::ok());
    }
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(connection.say("DBSIZE"), Reply::Integer(20), "nobody has asked for them");
    assert_eq!(stat(&mut connection, "expired_keys"), 0);
    // A read, writes of several kinds, commands on several keys and scans all meet expired keys.
    assert_eq!(connection.say("GET key:0"), Reply::Null);
    assert_eq!(connection.say("TTL key:1"), Reply::Integer(-2));
    assert_eq!(connection.say("APPEND key:2 x"), Reply::Integer(1));
    assert_eq!(connection.say("DEL key:3 key:4"), Reply::Integer(0));
    assert_eq!(connection.say("RENAME key:5 other"), Reply::Error("ERR no such key".to_owned()));
    assert_eq!(connection.say("EXPIRE key:6 100"), Reply::Integer(0));
    assert_eq!(connection.say("COPY key:7 other"), Reply::Integer(0));
    assert_eq!(stat(&mut connection, "expired_keys"), 8);
    assert_eq!(connection.say("KEYS *"), Reply::Array(vec![Reply::bulk("key:2")]));
    let Reply::Array(scanned) = connection.say("SCAN 0 COUNT 100") else { panic!("SCAN answers an array") };
    assert_eq!(scanned[1], Reply::Array(vec![Reply::bulk("key:2")]));
    assert_eq!(connection.say("DBSIZE"), Reply::Integer(1));
    assert_eq!(stat(&mut connection, "expired_keys"), 20);
    connection.say("DEBUG SET-ACTIVE-EXPIRE 1");
}

#[test]
fn a_time_already_over_deletes_at_once_and_is_no_expiry() {
    let mut server = ours().start("expiry-past", FILE);
    for line in ["EXPIRE key -1", "PEXPIRE key 0", "EXPIREAT key 1", "PEXPIREAT key -5"] {
        server.say("SET key v");
        assert_eq!(server.say(line), Reply::Integer(1), "{line}");
        assert_eq!(server.say("EXISTS key"), Reply::Integer(0), "{line}");
    }
    assert_eq!(stat(&mut Client::open(server.port), "expired_keys"), 0);
}

#[test]
fn milliseconds_count() {
    const LIFE_MS: u64 = 300;
    let mut server = ours().start("expiry-ms", FILE);
    let before = Instant::now();
    assert_eq!(server.say(&format!("SET key v PX {LIFE_MS}")), Reply::ok());
    let after = Instant::now();
    loop {
        let asked_ms = after.elapsed().as_millis() as u64;
        let Reply::Integer(left) = server.say("PTTL key") else { panic!("PTTL answers a number") };
        // Both times count from the same moment, which lies between `before` and `after`; the server's clock shows
        // whole milliseconds.
        let answered_ms = before.elapsed().as_millis() as u64 + 1;
        match left {
            -2 => {
                assert!(answered_ms >= LIFE_MS, "gone after {answered_ms} ms");
                break;
            }
            left => {
                let left = u64::try_from(left).expect("it expires");
                assert!(left + asked_ms <= LIFE_MS + 1, "{left} ms left {asked_ms} ms after it was set");
                assert!(left + answered_ms >= LIFE_MS, "{left} ms left within {answered_ms} ms");
            }
        }
        assert!(before.elapsed() < PATIENCE);
    }
}

/// Who brings data over sees keys whose time is over and deletes them itself; for others they are gone, and nothing goes.
#[test]
fn in_import_mode_keys_stay_for_who_brings_them() {
    let mut server = ours().start("import-mode", "threads 2\n");
    let refused = Reply::Error("ERR Server is not in import mode".into());
    assert_eq!(server.say("CLIENT IMPORT-SOURCE ON"), refused);
    assert_eq!(server.say("CONFIG SET import-mode yes"), Reply::ok());
    let mut source = server.connect();
    assert_eq!(source.say("CLIENT IMPORT-SOURCE ON"), Reply::ok());
    assert!(source.say("CLIENT INFO").text().contains(" flags=I "));
    for words in ["SET k 1 PXAT 1", "HSET h f v", "PEXPIRE h -1", "SET stays 1"] {
        assert!(!source.say(words).is_error(), "{words}");
    }
    assert_eq!((server.say("GET k"), server.say("TTL h")), (Reply::Null, Reply::Integer(-2)));
    assert_eq!(server.say("KEYS *"), Reply::Array(vec![Reply::bulk("stays")]));
    assert_eq!(server.say("DBSIZE"), Reply::Integer(3));
    assert_eq!((source.say("INCR k"), source.say("TTL k")), (Reply::Integer(2), Reply::Integer(0)));
    assert_eq!(source.say("HGET h f"), Reply::bulk("v"));
    let seen = |server: &mut Client| server.say("SCAN 0 COUNT 1000").elements()[1].elements().len();
    assert_eq!((seen(&mut source), seen(&mut server.client)), (3, 1));
    assert_eq!(source.say("KEYS *").elements().len(), 3);
    assert_eq!(source.say("EVAL return(redis.call('GET','k')) 0"), Reply::bulk("2"));
    assert_eq!((source.say("DEL h"), source.say("DBSIZE")), (Reply::Integer(1), Reply::Integer(2)));
    // Who still says that it brings something sees no more than others when that is over.
    assert_eq!(server.say("CONFIG SET import-mode no"), Reply::ok());
    assert_eq!(source.say("GET k"), Reply::Null);
    source.until("what is over goes", |source| source.say("DBSIZE"), |size| *size == Reply::Integer(1));
    assert_eq!(source.say("CLIENT IMPORT-SOURCE OFF"), Reply::ok());
}

/// Whoever walks or draws removes what he comes across and does not name, but for transactions and scripts that are told
/// to leave it.
#[test]
fn expired_keys_that_nobody_names_stay_where_they_are_told_to() {
    let server = ours().start("expiry-strangers", FILE);
    let mut connection = server.connect();
    connection.say("DEBUG SET-ACTIVE-EXPIRE 0");
    for leaves in [false, true] {
        let directive = "CONFIG SET lazyexpire-nested-arbitrary-keys";
        connection.say(&format!("{directive} {}", if leaves { "no" } else { "yes" }));
        for walk in ["SCAN 0 COUNT 100", "RANDOMKEY"] {
            let script = walk.split(' ').map(|word| format!("'{word}'")).collect::<Vec<_>>().join(",");
            for nested in ["alone", "transaction", "script"] {
                connection.say("FLUSHALL");
                connection.say("SET key value PX 1");
                std::thread::sleep(Duration::from_millis(3));
                match nested {
                    "alone" => _ = connection.say(walk),
                    "transaction" => ["MULTI", walk, "EXEC"].iter().for_each(|line| _ = connection.say(line)),
                    _ => {
                        let call = format!("redis.call({script}) return 1");
                        assert_eq!(connection.call(&[b"EVAL", call.as_bytes(), b"0"]), Reply::Integer(1));
                    }
                }
                let left = i64::from(leaves && nested != "alone");
                assert_eq!(connection.say("DBSIZE"), Reply::Integer(left), "{walk}, {nested}, {leaves}");
            }
        }
    }
}
