//! Memory is kept within `maxmemory`: what goes first, who hears of it, and what is refused.

use std::path::Path;
use std::thread;

use swytch_testkit::replay::replay;
use swytch_testkit::transcript::play;
use swytch_testkit::{Client, Program, Random, Reply, Server, ours};

const EVICTING: [&str; 11] = [
    "allkeys-lru",
    "allkeys-lrm",
    "allkeys-lfu",
    "allkeys-random",
    "allkeys-adaptive",
    "volatile-adaptive",
    "volatile-lru",
    "volatile-lrm",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

fn start(name: &str, file: &str) -> Server {
    ours!().start(name, &format!("save \"\"\nenable-debug-command yes\n{file}"))
}

fn is_out_of_memory(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("OOM command not allowed"))
}

/// What DUMP answers.
fn dump(client: &mut Client, key: &str) -> Vec<u8> {
    match client.call(&["DUMP", key]) {
        Reply::Bulk(payload) => payload,
        other => panic!("{other:?}"),
    }
}

/// Sends many SETs of new keys at once, as a fast client does.
fn fill(client: &mut Client, prefix: &str, count: usize, value_bytes: usize) {
    let value = "v".repeat(value_bytes);
    // What is sent is memory, too: not much at once.
    let at_once = 50_000 / value_bytes;
    for first in (0..count).step_by(at_once) {
        let keys = first..count.min(first + at_once);
        let set =
            |at| vec!["SET".to_owned(), format!("{prefix}:{at}"), value.clone(), "EX".into(), "5000".into()];
        let sets: Vec<Vec<String>> = keys.map(set).collect();
        client.send_all(&sets);
        for _ in &sets {
            assert_eq!(client.reply(), Reply::ok());
        }
    }
}

/// What the server's clock says, in Unix seconds.
fn seconds(client: &mut Client) -> i64 {
    client.say("TIME").elements()[0].text().parse().expect("seconds")
}

#[test]
fn memory_stays_within_two_percent_of_its_limit_under_writes_whatever_goes_first() {
    const LIMIT: i64 = 16 << 20;
    for policy in EVICTING {
        let server = start("evict", &format!("threads 2\nmaxmemory {LIMIT}\nmaxmemory-policy {policy}\n"));
        let mut admin = server.connect();
        let began_s = seconds(&mut admin);
        thread::scope(|scope| {
            for number in 0..3 {
                let mut writer = server.connect();
                let sizes = [1000, 4000, 10_000];
                scope.spawn(move || {
                    for round in 0..3 {
                        let bytes = sizes[(number + round) % sizes.len()];
                        fill(&mut writer, &format!("{number}:{round}"), 4_000_000 / bytes, bytes);
                    }
                });
            }
        });
        let peak = admin.info_number("used_memory_peak");
        assert!(peak < LIMIT + LIMIT / 50, "{policy}: {peak} bytes at a limit of {LIMIT}");
        let [since_s, now_s] = [admin.info_number("used_memory_peak_time"), seconds(&mut admin)];
        assert!((began_s..=now_s).contains(&since_s), "{policy}: {began_s}, {since_s}, {now_s}");
        let used = admin.info_number("used_memory");
        assert!(used > LIMIT - LIMIT / 20, "{policy}: only {used} bytes are left of {LIMIT}");
        assert!(admin.info_number("evicted_keys") > 1000, "{policy}");
        assert_eq!(admin.info_number("current_eviction_exceeded_time"), 0, "{policy}");
    }
}

/// A server with keys of two kinds, of which those called `first` are to go before those called `last`, and how many of
/// each are left after memory for about a third of them was taken away.
fn left(policy: &str) -> (i64, i64) {
    const KEYS: usize = 120;
    // One thread, so that the limit is exact.
    let server =
        start("evict-first", &format!("threads 1\nmaxmemory-policy {policy}\nmaxmemory-samples 64\n"));
    let mut client = server.connect();
    client.say(&format!("SET value {}", "v".repeat(5000)));
    let payload = dump(&mut client, "value");
    client.say("DEL value");
    for number in 0..KEYS {
        for kind in ["first", "last"] {
            let key = format!("{kind}:{number}");
            let options: &[&str] = match (policy, kind) {
                ("allkeys-lru" | "allkeys-lrm", "first") => &["0", "IDLETIME", "5000"],
                ("allkeys-lru" | "allkeys-lrm", _) => &["0", "IDLETIME", "1000"],
                ("allkeys-lfu", "first") => &["0", "FREQ", "9"],
                ("allkeys-lfu", _) => &["0", "FREQ", "12"],
                ("volatile-ttl", "first") => &["500000"],
                ("volatile-ttl", _) => &["900000"],
                ("volatile-lru", "first") => &["500000"],
                _ => &["0"],
            };
            let mut words: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), options[0].as_bytes(), &payload];
            words.extend(options[1..].iter().map(|word| word.as_bytes()));
            assert_eq!(client.call(&words), Reply::ok());
        }
    }
    let used = client.info_number("used_memory");
    client.say(&format!("CONFIG SET maxmemory {}", used - 400_000));
    // INFO counts its own memory too.
    client.until("room", |client| client.info_number("used_memory"), |now| *now < used - 350_000);
    let mut count = |kind: &str| {
        let Reply::Array(keys) = client.say(&format!("KEYS {kind}:*")) else {
            panic!("KEYS answers an array")
        };
        keys.len() as i64
    };
    (count("first"), count("last"))
}

#[test]
fn what_a_policy_says_goes_first() {
    for policy in ["allkeys-lru", "allkeys-lrm", "allkeys-lfu", "volatile-ttl", "volatile-lru"] {
        let (first, last) = left(policy);
        assert!((30..60).contains(&first), "{policy}: {first} are left of those that go first");
        assert_eq!(last, 120, "{policy}");
    }
    let (first, last) = left("allkeys-random");
    assert!(first > 60 && last > 60 && first + last < 180, "{first} and {last}");
}

#[test]
fn where_nothing_may_go_writes_are_refused_and_come_again_when_something_may() {
    for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
        let server = start("evict-none", &format!("threads 1\nmaxmemory-policy {policy}\n"));
        let mut client = server.connect();
        client.say(&format!("SET lasting {}", "v".repeat(4_000_000)));
        client.say("SADD set 1 2 3");
        client.say("CONFIG SET maxmemory 1mb");
        for line in ["SET k v", "EVAL \"return redis.call('SET', KEYS[1], 'v')\" 1 k", "LPUSH l v"] {
            let reply = client.call(&words(line));
            let text = format!("{reply:?}");
            assert!(text.contains("OOM command not allowed"), "{policy}: {line}: {text}");
        }
        client.say("MULTI");
        assert!(is_out_of_memory(&client.say("SET k v")), "{policy}");
        let aborted = "EXECABORT Transaction discarded because of previous errors.";
        assert_eq!(client.say("EXEC"), Reply::Error(aborted.into()));
        // What takes no memory goes on.
        assert_eq!(client.say("SCARD set"), Reply::Integer(3));
        assert!(matches!(client.say("SPOP set 1"), Reply::Array(members) if members.len() == 1));
        assert_eq!(client.say("STRLEN lasting"), Reply::Integer(4_000_000));
        assert_eq!(client.say("EXISTS lasting k"), Reply::Integer(1));
        assert!(client.info_number("current_eviction_exceeded_time") >= 0);
        if policy != "noeviction" {
            assert_eq!(client.say("EXPIRE lasting 1000"), Reply::Integer(1));
            assert_eq!(client.say("SET k v"), Reply::ok(), "{policy}");
            assert_eq!(client.say("EXISTS lasting"), Reply::Integer(0));
            assert_eq!(client.info_number("evicted_keys"), 1);
        }
    }
}

/// The words of a line in which quotes keep a word together.
fn words(line: &str) -> Vec<String> {
    line.split('"')
        .enumerate()
        .flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

#[test]
fn whoever_watches_waits_or_listens_hears_that_a_key_has_gone() {
    let server = start("evict-heard", "threads 1\n");
    let mut client = server.connect();
    let mut listener = server.connect();
    client.say("CONFIG SET notify-keyspace-events Ee");
    client.say("SET big x");
    client.say("XADD s 1-1 f v");
    client.say("XGROUP CREATE s g $");
    let mut watcher = server.connect();
    watcher.say("WATCH big");
    watcher.say("MULTI");
    watcher.say("PING");
    let mut reader = server.connect();
    reader.send(&["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"]);
    client.await_blocked(1);
    listener.say("SUBSCRIBE __keyevent@0__:evicted");
    client.say("CONFIG SET maxmemory-policy allkeys-lru");
    client.say("CONFIG SET maxmemory 1");
    client.until("nothing is left", |client| client.say("DBSIZE"), |size| *size == Reply::Integer(0));
    client.say("CONFIG SET maxmemory 0");
    let mut gone: Vec<String> = (0..2)
        .map(|_| match listener.reply() {
            Reply::Array(parts) => parts[2].text(),
            other => panic!("{other:?}"),
        })
        .collect();
    gone.sort();
    assert_eq!(gone, ["big", "s"]);
    assert_eq!(watcher.say("EXEC"), Reply::NullArray);
    let reply = format!("{:?}", reader.reply());
    assert!(reply.contains("NOGROUP") || reply.contains("UNBLOCKED"), "{reply}");
}

#[test]
fn what_clients_are_told_of_a_key_that_goes_lets_no_other_go() {
    const LISTENERS: usize = 100;
    let server = start("evict", "threads 2\nmaxmemory-eviction-tenacity 100\nnotify-keyspace-events Ke\n");
    let mut admin = server.connect();
    for listens in ["CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST", "PSUBSCRIBE __keyspace@0__:*"] {
        admin.say("CONFIG SET maxmemory 0 maxmemory-policy allkeys-lru");
        admin.say("FLUSHALL");
        let keys: Vec<String> = (0..300).map(|number| format!("{number}{}", "x".repeat(1000))).collect();
        keys.iter().for_each(|key| assert_eq!(admin.call(&["SET", key, "v"]), Reply::ok()));
        // They read nothing of what they are told: it lies in their sockets.
        let listeners: Vec<Client> = (0..LISTENERS)
            .map(|_| {
                let mut listener = server.connect();
                listener.say("HELLO 3");
                listener.say(listens);
                if listens == "CLIENT TRACKING ON" {
                    keys.iter().for_each(|key| assert_eq!(listener.call(&["GET", key]), Reply::bulk("v")));
                }
                listener
            })
            .collect();
        let limit = admin.info_number("used_memory") - 20_000;
        admin.say(&format!("CONFIG SET maxmemory {limit}"));
        admin.until("within the limit", |admin| admin.info_number("used_memory"), |used| *used <= limit);
        let left = admin.say("DBSIZE").number().expect("a number");
        // Each inbox has taken some room, once.
        assert!((150..290).contains(&left), "{listens}: {left} keys of 300 are left");
        drop(listeners);
    }
}

#[test]
fn the_effects_of_evictions_give_the_same_keyspace() {
    // Of that, what is on its way from clients and into the recording is a small part, however slow the machine.
    let server = start("evict-effects", "threads 2\nmaxmemory 12mb\nmaxmemory-policy allkeys-lru\n");
    let path = server.directory.join("effects.resp");
    let mut admin = server.connect();
    assert_eq!(admin.say(&format!("DEBUG RECORD-EFFECTS {}", path.display())), Reply::ok());
    let mut random = Random::from_environment();
    thread::scope(|scope| {
        for number in 0..3 {
            let (mut client, seed) = (server.connect(), random.below(1000));
            scope.spawn(move || fill(&mut client, &format!("{number}:{seed}"), 16_000, 300));
        }
    });
    assert!(admin.info_number("evicted_keys") > 1000);
    admin.say("MULTI");
    admin.say("DEBUG RECORD-EFFECTS STOP");
    admin.say("DEBUG DIGEST");
    let Reply::Array(replies) = admin.say("EXEC") else { panic!("EXEC answers an array") };
    let digest = replies[1].text();
    let other = start("evict-replayed", "");
    let replayed = replay(Path::new(&path), other.port).expect("the recording can be sent");
    assert_eq!(replayed.errors, Vec::<String>::new());
    assert_eq!(replayed.digest, digest);
}

/// What OBJECT tells under each policy, as Redis does.
#[test]
fn object_tells_what_the_policy_keeps() {
    let transcripts = [
        "a: CONFIG SET maxmemory-policy allkeys-lru = OK\na: SET k v = OK\na: OBJECT IDLETIME k = :0
         a: OBJECT FREQ k = -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that \
         when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        "a: CONFIG SET maxmemory-policy volatile-lfu = OK\na: DEL k = *\na: SET k v = OK\na: OBJECT FREQ k = :5
         a: OBJECT IDLETIME k = -ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
         switching between policies at runtime LRU and LFU data will take some time to adjust.
         a: OBJECT FREQ nosuch = null\na: OBJECT IDLETIME nosuch = null
         a: CONFIG SET lfu-log-factor 0 = OK\na: GET k = v\na: GET k = v\na: OBJECT FREQ k = :7\na: TTL k = :-1
         a: APPEND k w = :2\na: SET k other = OK\na: OBJECT FREQ k = :9\na: RENAME k l = OK\na: OBJECT FREQ l = :5
         a: LPUSH list 1 2 = :2\na: LPUSH list 3 = :3\na: LRANGE list 0 0 = [3]\na: OBJECT FREQ list = :7
         a: CLIENT NO-TOUCH ON = OK\na: GET l = other\na: OBJECT FREQ l = :5
         a: EVAL return(redis.call('touch',KEYS[1])) 1 l = :1\na: OBJECT FREQ l = :6\na: CLIENT NO-TOUCH OFF = OK
         a: COPY list copy = :1\na: OBJECT FREQ copy = :5",
    ];
    let redis = Program::redis_since("8.0").map(|redis| redis.start("evict-object-redis", "save \"\"\n"));
    for server in [Some(start("evict-object", "threads 1\n")), redis].iter().flatten() {
        transcripts.iter().for_each(|transcript| play(server, transcript));
    }
}

#[test]
fn restored_keys_are_as_idle_or_as_often_used_as_was_said() {
    let redis = Program::redis_since("8.0").map(|redis| redis.start("evict-restore-redis", "save \"\"\n"));
    for server in [Some(start("evict-restore", "threads 1\n")), redis].iter().flatten() {
        let mut client = server.connect();
        client.say("SET k v");
        let payload = dump(&mut client, "k");
        let mut restore = |policy: &str, options: &[&str], ask: &str| {
            client.say(&format!("CONFIG SET maxmemory-policy {policy}"));
            let mut words: Vec<&[u8]> = vec![b"RESTORE", b"k", b"0", &payload, b"REPLACE"];
            words.extend(options.iter().map(|word| word.as_bytes()));
            assert_eq!(client.call(&words), Reply::ok());
            match client.say(&format!("OBJECT {ask} k")) {
                Reply::Integer(number) => number,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(restore("allkeys-lfu", &["FREQ", "100"], "FREQ"), 100);
        assert_eq!(restore("allkeys-lfu", &["IDLETIME", "1000"], "FREQ"), 5);
        assert!((1000..1010).contains(&restore("allkeys-lru", &["IDLETIME", "1000"], "IDLETIME")));
        assert!((0..10).contains(&restore("volatile-lru", &["FREQ", "100"], "IDLETIME")));
    }
}

/// Under a policy of modification reads leave no trace.
#[test]
fn what_was_changed_last_is_told_from_what_was_read_last() {
    let mut server = start("evict-lrm", "threads 1\nmaxmemory-policy allkeys-lrm\n");
    let mut client = server.connect();
    for (make, read, change) in [
        ("SET k v", "GET k", "APPEND k w"),
        ("SADD k a", "SADD k a", "SADD k b"),
        ("HSET k f v", "HGETALL k", "HSET k f w"),
        ("LPUSH k a b", "LRANGE k 0 -1", "LPOP k"),
    ] {
        client.say("DEL k");
        client.say(make);
        let payload = dump(&mut client, "k");
        let words: [&[u8]; 7] = [b"RESTORE", b"k", b"0", &payload, b"REPLACE", b"IDLETIME", b"500"];
        assert_eq!(client.call(&words), Reply::ok());
        let mut idle = |line: &str| {
            client.say(line);
            let Reply::Integer(idle) = client.say("OBJECT IDLETIME k") else { panic!("a key") };
            idle
        };
        assert!(idle(read) >= 500, "{read}");
        assert!(idle(change) < 100, "{change}");
    }
    assert_eq!(server.say("DBSIZE"), Reply::Integer(1));
}

#[test]
fn an_adaptive_policy_keeps_some_of_a_loop_that_is_too_long() {
    let server = start("adaptive", "threads 1\nmaxmemory 8mb\nmaxmemory-policy allkeys-adaptive\n");
    let mut client = server.connect();
    let value = "v".repeat(1000);
    let mut keys: Vec<String> = Vec::new();
    // Twice as many as fit.
    while keys.is_empty() || client.info_number("evicted_keys") < keys.len() as i64 / 2 {
        for _ in 0..100 {
            keys.push(format!("key:{}", keys.len()));
            assert_eq!(client.call(&["SET", &keys[keys.len() - 1], &value]), Reply::ok());
        }
    }
    // A round finds a share of them; by their last use it would find none.
    client.until(
        "a part of the loop stays",
        |client| {
            let mut found = 0;
            for key in &keys {
                match client.call(&["GET", key]) {
                    Reply::Null => assert_eq!(client.call(&["SET", key, &value]), Reply::ok()),
                    _ => found += 1,
                }
            }
            found
        },
        |found| *found > keys.len() / 4,
    );
    assert!(client.info_number("adaptive_half_life") > 0);
    let reply = client.call(&["OBJECT", "IDLETIME", &keys[0]]);
    assert!(reply == Reply::Null || reply.text().contains("adaptive"), "{reply}");
    // Another policy begins with what it finds.
    assert_eq!(client.say("CONFIG SET maxmemory-policy allkeys-lru"), Reply::ok());
    assert_eq!(client.info_field("adaptive_half_life"), None);
    fill(&mut client, "others", 2000, 1000);
}
