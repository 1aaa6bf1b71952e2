//! What connections hold: bounded, given back, and called by its name.

use std::time::{Duration, Instant};

use swytch_testkit::client::encode;
use swytch_testkit::{Client, PATIENCE, Reply, Server, ours};

fn start(file: &str) -> Server {
    ours!().start("held-memory", &format!("save \"\"\n{file}"))
}

/// The first answer of `ask` below `limit`, or the last one when that does not come.
fn settle(limit: i64, mut ask: impl FnMut() -> i64) -> i64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = ask();
        if found < limit || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn idle_connections_keep_no_large_buffers() {
    let server = start("maxmemory 100mb\n");
    let mut admin = server.connect();
    let value = "v".repeat(10 << 20);
    let mut idle: Vec<Client> = Vec::new();
    for _ in 0..8 {
        let mut client = server.connect();
        assert_eq!(client.call(&["SET", "k", &value]), Reply::Simple("OK".into()));
        client.call(&["DEL", "k"]);
        idle.push(client);
    }
    // Half a request, at the end of a large one, and many small arguments.
    let mut half = server.connect();
    let mut bytes = encode(&["SET", "k", &value]);
    bytes.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$9\r\nhalf");
    half.send_raw(&bytes).expect("a socket");
    assert_eq!(half.reply(), Reply::Simple("OK".into()));
    let mut words = vec!["DEL"];
    words.resize(500_000, "none");
    let mut many = server.connect();
    many.call(&words);
    admin.call(&["DEL", "k"]);
    let held = settle(4 << 20, || admin.info_number("mem_clients_normal"));
    assert!(held < 4 << 20, "idle connections hold {held} bytes");
    let used = settle(20 << 20, || admin.info_number("used_memory"));
    assert!(used < 20 << 20, "{used} bytes are used by an empty server");
    assert_eq!(admin.call(&["SET", "a", "b"]), Reply::Simple("OK".into()));
}

#[test]
fn what_a_connection_holds_is_not_called_data() {
    let server = start("");
    let mut admin = server.connect();
    let value = "v".repeat(10 << 20);
    let mut queues = server.connect();
    queues.call(&["MULTI"]);
    queues.call(&["SET", "k", &value]);
    let mut waits = server.connect();
    waits.send(&["BLPOP", &value, "0"]);
    admin.await_blocked(1);
    let mut sends = server.connect();
    sends.send_raw(&encode(&["SET", "k", &value])[..9 << 20]).expect("a socket");
    let enough = 29 << 20;
    let missing = settle(1, || enough - admin.info_number("mem_clients_normal"));
    assert!(missing <= 0, "{missing} bytes of 29 MB are in no connection's name");
    let data = admin.info_number("used_memory_dataset");
    assert!(data < 8 << 20, "{data} bytes of an empty server are called data");
}

#[test]
fn those_that_hold_most_are_closed_when_all_hold_too_much() {
    let server = start("threads 2\nmaxmemory-clients 8mb\n");
    let mut admin = server.connect();
    admin.say("CLIENT NO-EVICT ON");
    let holder = |name: &str, kilobytes: usize, evict: &str| {
        let mut client = server.connect();
        client.say(&format!("CLIENT SETNAME {name}"));
        client.say(&format!("CLIENT NO-EVICT {evict}"));
        client.say("MULTI");
        // In small pieces: one that has arrived and is queued is held twice for a moment.
        for _ in 0..kilobytes / 32 {
            client.call(&["SET", "k", &"v".repeat(32 << 10)]);
        }
        client
    };
    let mut holders = |names: &[&str]| {
        let list = admin.say("CLIENT LIST").text();
        let found: Vec<&str> =
            names.iter().copied().filter(|name| list.contains(&format!("name={name} "))).collect();
        (found.join(" "), admin.info_number("evicted_clients"))
    };
    let names = ["small", "large", "spared", "one", "two"];
    let _small = holder("small", 1024, "OFF");
    let mut large = holder("large", 2048, "OFF");
    let mut spared = holder("spared", 3072, "ON");
    let _one = holder("one", 1536, "OFF");
    assert_eq!(holders(&names), ("small large spared one".to_owned(), 0));
    let _two = holder("two", 1536, "OFF");
    assert_eq!(holders(&names), ("small spared one two".to_owned(), 1));
    assert!(large.is_closed());
    assert_eq!(server.connect().say("CONFIG SET maxmemory-clients 3500kb"), Reply::Simple("OK".into()));
    assert_eq!(holders(&names), ("spared".to_owned(), 4));
    assert_eq!(spared.say("DISCARD"), Reply::Simple("OK".into()));
}

#[test]
fn queued_commands_and_unparsed_input_have_one_limit() {
    let server = start("client-query-buffer-limit 1mb\n");
    let mut client = server.connect();
    client.call(&["MULTI"]);
    let value = "v".repeat(100 << 10);
    let queued = (0..30)
        .take_while(|_| {
            let sent = client.send_raw(&encode(&["SET", "k", &value]));
            sent.is_ok() && client.receive().is_ok()
        })
        .count();
    assert!((9..=10).contains(&queued), "{queued} commands of 100 kB were queued with a limit of 1 MB");
}

#[test]
fn arguments_that_have_arrived_do_not_count() {
    let server = start("client-query-buffer-limit 1mb\n");
    let value = "v".repeat(700_000);
    let mut client = server.connect();
    assert_eq!(client.call(&["MSET", "a", &value, "b", &value, "c", &value]), Reply::Simple("OK".into()));
    // One argument that is longer than the limit is still refused.
    let long = "v".repeat(2 << 20);
    let _ = client.send_raw(&encode(&["SET", "k", &long]));
    assert!(client.is_closed());
}
