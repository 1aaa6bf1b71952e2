//! Random commands on keys, given to this server and to a real Redis: the same replies and, every so often, the
//! same DEBUG DIGEST.

mod support;

use std::time::Instant;

use support::random::Random;
use support::{Reply, Server};

const STEPS: usize = 12_000;
/// Steps between two comparisons of the whole keyspace.
const STEPS_PER_DIGEST: usize = 40;

/// How two replies are compared.
#[derive(Clone, Copy, Debug)]
enum Compare {
    Exact,
    /// Times in units of so many milliseconds: they may differ by the time that passes between the two servers.
    Time(u128),
    /// The order of an array says nothing.
    Sorted,
    /// All keys of a full scan, whatever the steps.
    Scan,
    /// A key that exists, or none.
    Random,
}

struct Step {
    words: Vec<String>,
    compare: Compare,
}

fn step(line: &str, compare: Compare) -> Step {
    Step { words: line.split(' ').map(str::to_owned).collect(), compare }
}

const KEYS: &[&str] =
    &["a", "b", "c", "d", "e", "f:1", "f:2", "f[3]", "", "long-key-that-does-not-fit-anywhere"];
const OPTIONS: &[&str] = &["", " NX", " XX", " GT", " LT", " xx lt", " gt XX", " NX GT", " GT LT", " NOPE"];

/// Far enough in the future never to come while the test runs, in Unix seconds.
const FUTURE_S: u64 = 9_000_000_000;

fn random_step(random: &mut Random) -> Step {
    let (key, other) = (random.pick(KEYS), random.pick(KEYS));
    let number = random.below(1000);
    let exact = |line: String| step(&line, Compare::Exact);
    match random.below(44) {
        0..=2 => exact(format!("SET {key} value:{number}")),
        3 => exact(format!("SET {key} {number}")),
        4 => exact(format!("SET {key} v PXAT {}", FUTURE_S * 1000 + number as u64)),
        5 => exact(format!("SET {key} v EX 10000")),
        6 | 7 => exact(format!("RPUSH {key} {number} x y")),
        8 => exact(format!("LPUSH {key} {number}")),
        9 => exact(format!("LPOP {key}")),
        10 => exact(format!("INCR {key}")),
        11 => exact(format!("DEL {key} {other}")),
        12 => exact(format!("UNLINK {key}")),
        13 => exact(format!("EXISTS {key} {other} {key}")),
        14 => exact(format!("TYPE {key}")),
        15 => exact(format!("TOUCH {key} {other}")),
        16 => exact(format!("RENAME {key} {other}")),
        17 => exact(format!("RENAMENX {key} {other}")),
        18 => exact(format!("COPY {key} {other}")),
        19 => exact(format!("COPY {key} {other} REPLACE DB {}", random.below(5))),
        20 => exact(format!("COPY {key} {other} DB {}", random.pick(&["x", "16", "-1", "1", "99999999999"]))),
        21 | 22 => exact(format!("MOVE {key} {}", random.pick(&["0", "1", "2", "3", "99", "x", "-1"]))),
        23 => exact(format!("SELECT {}", random.below(4))),
        24 | 25 => {
            let at = FUTURE_S + number as u64;
            exact(format!("EXPIREAT {key} {at}{}", random.pick(OPTIONS)))
        }
        26 => {
            let at = FUTURE_S * 1000 + number as u64;
            exact(format!("PEXPIREAT {key} {at}{}", random.pick(OPTIONS)))
        }
        27 => {
            let amount =
                random.pick(&["-1", "0", "abc", "", "9223372036854775807", "-9223372036854775808", "1.5"]);
            exact(format!("{} {key} {amount}", random.pick(&["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"])))
        }
        28 => exact(format!("EXPIRE {key} {}", random.pick(&["10000", "50000", "1000000"]))),
        29 => exact(format!("PEXPIRE {key} 10000000{}", random.pick(&["", " NX", " XX"]))),
        30 => step(&format!("TTL {key}"), Compare::Time(1000)),
        31 => step(&format!("PTTL {key}"), Compare::Time(1)),
        32 => step(&format!("EXPIRETIME {key}"), Compare::Time(1000)),
        33 => step(&format!("PEXPIRETIME {key}"), Compare::Time(1)),
        34 => exact(format!("PERSIST {key}")),
        35 => exact("DBSIZE".to_owned()),
        36 => {
            let patterns = ["*", "?", "f:*", "f\\[3\\]", "[a-c]", "[^a]", "*o*g*", "nothing", "f[:[]*"];
            step(&format!("KEYS {}", random.pick(&patterns)), Compare::Sorted)
        }
        37 => {
            let options =
                ["", " MATCH f*", " TYPE string", " TYPE LIST", " COUNT 1", " TYPE nosuch", " MATCH *"];
            step(&format!("SCAN 0{}", random.pick(&options)), Compare::Scan)
        }
        38 => {
            let faults =
                ["COUNT 0", "COUNT x", "COUNT", "MATCH", "TYPE", "NOPE", "COUNT -1", "MATCH a COUNT"];
            exact(format!("SCAN 0 {}", random.pick(&faults)))
        }
        39 => step("RANDOMKEY", Compare::Random),
        40 => {
            let index = |random: &mut Random| random.pick(&["0", "1", "2", "3", "16", "x"]).to_owned();
            exact(format!("SWAPDB {} {}", index(random), index(random)))
        }
        41 => exact(format!("OBJECT {} {key}", random.pick(&["ENCODING", "FREQ", "NOPE"]))),
        42 => exact(format!("DEBUG DIGEST-VALUE {key} {other}")),
        _ if random.once_in(20) => {
            exact(random.pick(&["FLUSHDB", "FLUSHALL ASYNC", "FLUSHDB NOPE"]).to_owned())
        }
        _ => exact(format!("{} {key}", random.pick(&["COPY", "RENAME", "EXPIRE", "SCAN x", "WAIT 0 0"]))),
    }
}

/// What a step answers, in a form that two servers can be compared by.
fn answer(server: &mut Server, step: &Step) -> Reply {
    let words: Vec<&[u8]> = step.words.iter().map(String::as_bytes).collect();
    let reply = server.call(&words);
    match (step.compare, reply) {
        (Compare::Sorted, Reply::Array(mut parts)) => {
            parts.sort();
            Reply::Array(parts)
        }
        (Compare::Scan, Reply::Array(first)) => {
            let mut found = Vec::new();
            let mut parts = first;
            loop {
                let [Reply::Text(cursor), Reply::Array(keys)] = &parts[..] else { panic!("{parts:?}") };
                found.extend(keys.iter().cloned());
                if cursor == b"0" {
                    break;
                }
                let mut words = words.clone();
                words[1] = cursor;
                let Reply::Array(next) = server.call(&words) else { panic!("{words:?}") };
                parts = next;
            }
            found.sort();
            found.dedup();
            Reply::Array(found)
        }
        // Redis 7.0 knows one encoding of lists, later versions two.
        (_, Reply::Text(text)) if text == b"listpack" => Reply::text("quicklist"),
        (Compare::Random, Reply::Text(key)) => server.call(&[b"EXISTS", &key]),
        (_, reply) => reply,
    }
}

/// Whether two replies are the same, when a command reached both servers within `apart_ms`.
fn agree(compare: Compare, apart_ms: u128, ours: &Reply, theirs: &Reply) -> bool {
    let number = |reply: &Reply| match reply {
        Reply::Text(text) => std::str::from_utf8(text).ok()?.parse::<i64>().ok(),
        _ => None,
    };
    match (compare, number(ours), number(theirs)) {
        (Compare::Time(unit_ms), Some(one), Some(other)) if one >= 0 && other >= 0 => {
            // Apart when the time was set and again now; rounded on both sides.
            u128::from(one.abs_diff(other)) <= 2 * apart_ms / unit_ms + 1
        }
        _ => ours == theirs,
    }
}

#[test]
fn random_commands_on_keys_answer_and_leave_what_they_do_in_redis() {
    let file = "save \"\"\nenable-debug-command yes\n";
    let Some(mut redis) = Server::redis("keys-redis", file) else { return };
    let mut ours = Server::swytch("keys-swytch", file);
    let mut random = Random::from_environment();
    let mut apart_ms = 0;
    for count in 0..STEPS {
        let step = random_step(&mut random);
        let begin = Instant::now();
        let (one, other) = (answer(&mut ours, &step), answer(&mut redis, &step));
        apart_ms = apart_ms.max(begin.elapsed().as_millis() + 1);
        assert!(
            agree(step.compare, apart_ms, &one, &other),
            "step {count} {:?}: {one:?}, Redis {other:?}",
            step.words
        );
        if count % STEPS_PER_DIGEST == 0 {
            let digest = ours.say("DEBUG DIGEST");
            assert_eq!(digest, redis.say("DEBUG DIGEST"), "digest after step {count} {:?}", step.words);
        }
    }
}

#[test]
fn populated_keyspaces_have_the_digest_they_have_in_redis() {
    let file = "save \"\"\nenable-debug-command yes\n";
    let Some(mut redis) = Server::redis("populate-redis", file) else { return };
    let mut ours = Server::swytch("populate-swytch", file);
    for line in [
        "DEBUG POPULATE 1000",
        "DEBUG POPULATE 300 prefix",
        "DEBUG POPULATE 300 sized 100",
        "DEBUG POPULATE 20 short 3",
        "SELECT 7",
        "DEBUG POPULATE 10",
        "DEBUG POPULATE -1",
        "DEBUG POPULATE x",
        "DEBUG POPULATE 1 p x",
        "DEBUG DIGEST",
    ] {
        assert_eq!(ours.say(line), redis.say(line), "{line}");
    }
}

/// Options, errors and rare replies, each after the ones before it.
const FIXED: &[&str] = &[
    "RPUSH l a b c 5 x",
    "SET i 5",
    "SET big aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "OBJECT ENCODING i",
    "OBJECT ENCODING big",
    "OBJECT ENCODING nokey",
    "OBJECT REFCOUNT i",
    "OBJECT REFCOUNT big",
    "OBJECT REFCOUNT nokey",
    "OBJECT FREQ i",
    "OBJECT IDLETIME nokey",
    "OBJECT foo bar",
    "OBJECT FREQ",
    "OBJECT",
    "TYPE l",
    "TYPE i",
    "TYPE nokey",
    "TOUCH i big nokey",
    "COPY l l2 DB 3 REPLACE",
    "COPY l l2 DB",
    "COPY l l2 NOPE",
    "MOVE l 0",
    "MOVE l",
    "SWAPDB a 1",
    "SWAPDB 1 b",
    "SWAPDB 1 400",
    "SWAPDB -1 1",
    "SWAPDB 99999999999 1",
    "SWAPDB 0 3",
    "DBSIZE",
    "LRANGE l2 0 -1",
    "SWAPDB 3 0",
    "RENAME nokey x",
    "RENAME nokey nokey",
    "RENAMENX nokey x",
    "RENAMENX l l",
    "RENAME l",
    "EXPIRE l 100 NX XX",
    "EXPIRE l 100 GT LT",
    "EXPIRE l 100 FOO",
    "EXPIRE l abc NX NX",
    "EXPIRE l 9223372036854775807",
    "EXPIRE l 9223372036854775",
    "EXPIRE l -9223372036854775808",
    "PEXPIRE l 9223372036854775807",
    "PEXPIREAT l 9223372036854775807",
    "PEXPIRETIME l",
    "EXPIRETIME l",
    "PERSIST l",
    "PERSIST l",
    "PERSIST nokey",
    "EXPIRE l 100 GT",
    "EXPIRE l 100 LT",
    "EXPIRE l 100 XX NX",
    "TTL nokey",
    "PTTL l extra",
    "SCAN 0 COUNT 0",
    "SCAN 0 COUNT a",
    "SCAN 0 COUNT 9223372036854775807",
    "SCAN",
    "RANDOMKEY x",
    "KEYS",
    "WAIT 0 0",
    "WAIT x 0",
    "WAIT 0 x",
    "WAIT 0 -1",
    "MEMORY USAGE nokey",
    "MEMORY USAGE i SAMPLES -1",
    "MEMORY USAGE i SAMPLES x",
    "MEMORY USAGE i SAMPLES",
    "MEMORY USAGE i FOO",
    "MEMORY USAGE",
    "MEMORY FOO",
    "DEBUG FOO",
    "DEBUG SLEEP",
    "DEBUG OBJECT nokey",
    "DEBUG SDSLEN nokey",
    "DEBUG SDSLEN l",
    "DEBUG LISTPACK i",
    "DEBUG QUICKLIST i",
    "DEBUG HTSTATS 99",
    "DEBUG HTSTATS x",
    "DEBUG HTSTATS-KEY i",
    "DEBUG HTSTATS-KEY nokey",
    "DEBUG ERROR HELLO",
    "DEBUG ERROR",
    "DEBUG LOG message",
    "DEBUG RELOAD FOO",
    "DEBUG QUICKLIST-PACKED-THRESHOLD 5gb",
    "DEBUG QUICKLIST-PACKED-THRESHOLD 200b",
    "DEBUG QUICKLIST-PACKED-THRESHOLD x",
    "DEBUG REPLYBUFFER RESIZING 0",
    "DEBUG REPLYBUFFER FOO 0",
    "DEBUG PAUSE-CRON 0",
    "DEBUG CHANGE-REPL-ID",
    "DEBUG PROTOCOL string",
    "DEBUG PROTOCOL integer",
    "DEBUG PROTOCOL double",
    "DEBUG PROTOCOL bignum",
    "DEBUG PROTOCOL null",
    "DEBUG PROTOCOL array",
    "DEBUG PROTOCOL set",
    "DEBUG PROTOCOL map",
    "DEBUG PROTOCOL attrib",
    "DEBUG PROTOCOL push",
    "DEBUG PROTOCOL verbatim",
    "DEBUG PROTOCOL true",
    "DEBUG PROTOCOL false",
    "DEBUG PROTOCOL foo",
    "DEBUG DIGEST-VALUE",
    "DEBUG DIGEST-VALUE l i big nokey",
    "DEBUG DIGEST",
];

#[test]
fn options_and_errors_are_those_of_redis() {
    let file = "save \"\"\nenable-debug-command yes\n";
    let Some(mut redis) = Server::redis("options-redis", file) else { return };
    let mut ours = Server::swytch("options-swytch", file);
    for line in FIXED {
        let (one, other) = (ours.say(line), redis.say(line));
        let scan = line.starts_with("SCAN 0 COUNT 9");
        assert!(one == other || scan && same_keys(&one, &other), "{line}: {one:?}, Redis {other:?}");
    }
}

/// Whether two whole scans list the same keys, in whatever order.
fn same_keys(one: &Reply, other: &Reply) -> bool {
    let sorted = |reply: &Reply| match reply {
        Reply::Array(parts) => match &parts[..] {
            [_, Reply::Array(keys)] => {
                let mut keys = keys.clone();
                keys.sort();
                keys
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    sorted(one) == sorted(other)
}

#[test]
fn debug_is_refused_unless_it_is_enabled() {
    let refusal = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
                   run it from a local connection, otherwise you need to set this option in the configuration \
                   file, and then restart the server.";
    let refused = Reply::Error(refusal.to_owned());
    for (setting, expected) in [("no", refused), ("local", Reply::text("OK")), ("yes", Reply::text("OK"))] {
        let file = format!("enable-debug-command {setting}\n");
        let mut ours = Server::swytch(&format!("debug-{setting}"), &file);
        assert_eq!(ours.say("DEBUG SLEEP 0"), expected, "{setting}");
        ours.say("MULTI");
        let queued = if setting == "no" { expected } else { Reply::text("QUEUED") };
        assert_eq!(ours.say("DEBUG SLEEP 0"), queued, "{setting}");
        assert_eq!(matches!(ours.say("EXEC"), Reply::Error(_)), setting == "no", "{setting}");
    }
}

#[test]
fn a_panic_is_answered_and_the_server_goes_on() {
    let mut ours = Server::swytch("panic", "enable-debug-command yes\n");
    ours.say("SET key v");
    for line in ["DEBUG PANIC", "DEBUG ASSERT", "DEBUG OOM"] {
        let reply = ours.say(line);
        assert!(
            matches!(&reply, Reply::Error(text) if text.starts_with("ERR internal error")),
            "{line}: {reply:?}"
        );
    }
    assert_eq!(ours.say("GET key"), Reply::text("v"));
    ours.say("MULTI");
    ours.say("APPEND key w");
    ours.say("DEBUG PANIC");
    ours.say("APPEND key x");
    let Reply::Array(replies) = ours.say("EXEC") else { panic!("EXEC answers an array") };
    assert!(matches!(replies[1], Reply::Error(_)), "{replies:?}");
    assert_eq!(ours.say("GET key"), Reply::text("vwx"));
    assert_eq!(ours.say("DBSIZE"), Reply::text("1"), "every shard's lock is free");
}
