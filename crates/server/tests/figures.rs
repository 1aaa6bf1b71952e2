//! What INFO and OBJECT say of keys that nobody has looked through: times to live, lengths, encodings.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::Reply;

#[test]
fn the_average_time_to_live_is_that_of_the_keys_that_expire() {
    const SLACK_MS: i64 = 600_000;
    let mut server = ours().start("figures-ttl", "threads 2\n");
    let average_ms = |info: &str| -> i64 {
        let value = info.split("avg_ttl=").nth(1).and_then(|rest| rest.split(',').next());
        value.and_then(|number| number.parse().ok()).expect("it is a number")
    };
    let mut after = |command: &str| {
        server.say(command);
        average_ms(&server.client.info("keyspace"))
    };
    assert_eq!(after("SET stays v"), 0);
    for (command, expected_ms) in [
        ("SET a v PX 10000000", 10_000_000),
        ("SET b v PX 30000000", 20_000_000),
        ("PEXPIRE a 50000000", 40_000_000),
        ("SET a other KEEPTTL", 40_000_000),
        ("PERSIST b", 50_000_000),
        ("RENAME a c", 50_000_000),
        ("COPY c d", 50_000_000),
    ] {
        let is_ms = after(command);
        assert!((expected_ms - SLACK_MS..=expected_ms).contains(&is_ms), "{command}: {is_ms}");
    }
    assert_eq!(after("DEL c d"), 0);
}

#[test]
fn keys_are_counted_by_the_lengths_of_their_values() {
    let mut server = ours().start("figures-lengths", "threads 2\n");
    server.client.call(&["SET", "b", ""]);
    let mut after = |commands: &[&str]| -> Vec<String> {
        commands.iter().for_each(|command| _ = server.say(command));
        let info = server.client.info("keysizes");
        info.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    // The lines are those of Redis 8.6.3.
    let first = ["SET a hello", "SET n 12345", "RPUSH l 1 2 3", "SETRANGE big 5000 x"];
    let strings = "db0_distrib_strings_sizes:0=1,4=2,4K=1";
    assert_eq!(after(&first), [strings, "db0_distrib_lists_items:2=1"]);
    assert_eq!(after(&["RPUSH l 4", "APPEND big x"]), [strings, "db0_distrib_lists_items:4=1"]);
    let strings = "db0_distrib_strings_sizes:0=1,1=1,2=1,4K=1";
    assert_eq!(after(&["DEL l", "SET a abc", "SET n 7"]), [strings]);
    assert_eq!(after(&["DECRBY n 1000", "DEL a b big"]), ["db0_distrib_strings_sizes:4=1"]);
    let both = ["db0_distrib_strings_sizes:4=1", "db1_distrib_strings_sizes:2=1"];
    assert_eq!(after(&["SELECT 1", "SET x yy"]), both);
    assert_eq!(after(&["SWAPDB 0 1", "FLUSHDB"]), ["db0_distrib_strings_sizes:2=1"]);
}

#[test]
fn collections_are_counted_by_the_memory_that_they_take_where_that_is_asked_for() {
    let mut server = ours().start("figures-memory", "threads 2\nkey-memory-histograms yes\n");
    for words in ["RPUSH list a", "SADD set a b", "SET text a", "SELECT 1", "HSET hash f v"] {
        assert!(!server.say(words).is_error(), "{words}");
    }
    let long = "x".repeat(5000);
    server.client.call(&["HSET", "long", "f", &long]);
    let sizes = |info: String| {
        let is_size = |line: &&str| line.contains("_sizes:") && !line.contains("strings");
        info.lines().filter(is_size).map(str::to_owned).collect::<Vec<_>>()
    };
    let told = sizes(server.client.info("keysizes"));
    let names: Vec<_> = told.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["db0_distrib_lists_sizes", "db0_distrib_sets_sizes", "db1_distrib_hashes_sizes"]);
    assert!(told[0].ends_with("=1") && told[2].ends_with("=1,4K=1"), "{told:?}");
    assert_eq!(sizes(server.client.info("keyspace")), Vec::<String>::new());
    assert_eq!(server.say("CONFIG SET key-memory-histograms no"), Reply::ok());
    assert_eq!(sizes(server.client.info("keysizes")), Vec::<String>::new());
}

#[test]
fn encodings_of_strings_are_those_of_redis_8() {
    let mut server = ours().start("figures-encodings", "");
    let mut encoding = |commands: &[&str], key: &str| {
        commands.iter().for_each(|command| _ = server.say(command));
        server.say(&format!("OBJECT ENCODING {key}"))
    };
    assert_eq!(encoding(&["INCRBYFLOAT f 3"], "f"), Reply::bulk("embstr"));
    assert_eq!(encoding(&["INCRBYFLOAT f 1.5"], "f"), Reply::bulk("embstr"));
    assert_eq!(encoding(&["INCRBYFLOAT f 1.5", "INCR f"], "f"), Reply::bulk("int"));
    let (key, text) = ("k".repeat(11), "t".repeat(30));
    assert_eq!(encoding(&[&format!("SET {key} {text}")], &key), Reply::bulk("embstr"));
    assert_eq!(encoding(&[&format!("SET {key}k {text}")], &format!("{key}k")), Reply::bulk("raw"));
}
