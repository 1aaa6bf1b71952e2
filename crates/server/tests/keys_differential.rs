//! Random commands on keys, given to this server and to a real Redis: the same replies and, every so often, the
//! same DEBUG DIGEST.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::differential::{self, ENCODING_OF_LISTS, ENCODING_OF_SHORT_STRINGS, Options};
use swytch_testkit::{Reply, Server};

const STEPS: usize = 12_000;

const FILE: &str = "save \"\"\nenable-debug-command yes\n";

/// The others have weights because a flush leaves little to work on. Times in Unix seconds from 9,000,000,000 on never
/// come while the test runs.
const GRAMMAR: &str = "
    key = a|b|c|d|e|f:1|f:2|f[3]|''|long-key-that-does-not-fit-anywhere
    option = | NX | XX | GT | LT | xx lt | gt XX | NX GT | GT LT | NOPE
    amount = -1|0|abc|''|9223372036854775807|-9223372036854775808|1.5
    digit = <number:10>
    fault = COUNT 0 | COUNT x | COUNT | MATCH | TYPE | NOPE | COUNT -1 | MATCH a COUNT
    narrow = | MATCH f* | TYPE string | TYPE LIST | COUNT 1 | TYPE nosuch | MATCH *

    30 SET <key> value:<number:1000>
    10 SET <key> <number:1000>
    10 SET <key> v PXAT 9000000000<digit><digit><digit>
    10 SET <key> v EX 10000
    20 RPUSH <key> <number:1000> x y
    10 LPUSH <key> <number:1000>
    20 LPOP|INCR|UNLINK|TYPE <key>
    10 DEL|TOUCH|RENAME|RENAMENX|COPY <key> <key>
    30 RENAME|RENAMENX|COPY <key> <key>
    10 EXISTS <key> <key> <key>
    10 COPY <key> <key> REPLACE DB <number:5>
    10 COPY <key> <key> DB x|16|-1|1|99999999999
    20 MOVE <key> 0|1|2|3|99|x|-1
    10 SELECT <number:4>
    20 EXPIREAT <key> 9000000<digit><digit><digit> <option>
    10 PEXPIREAT <key> 9000000000<digit><digit><digit> <option>
    10 EXPIRE|PEXPIRE|EXPIREAT|PEXPIREAT <key> <amount>
    10 EXPIRE <key> 10000|50000|1000000
    10 PEXPIRE <key> 10000000 [ NX|XX ]
    10 TTL|EXPIRETIME <key> ~seconds
    10 PTTL|PEXPIRETIME <key> ~milliseconds
    10 PERSIST <key>
    10 DBSIZE
    10 KEYS *|?|f:*|f\\[3\\]|[a-c]|[^a]|*o*g*|nothing|f[:[]* ~sorted
    10 SCAN 0 <narrow> ~scan
    10 SCAN 0 <fault>
    10 RANDOMKEY ~exists
    10 SWAPDB 0|1|2|3|16|x 0|1|2|3|16|x
    10 OBJECT ENCODING|FREQ|NOPE <key>
    10 DEBUG DIGEST-VALUE <key> <key>
    10 COPY|RENAME|EXPIRE <key>
    10 SCAN x <key>
    FLUSHDB|FLUSHALL|FLUSHDB [ ASYNC|NOPE ]
";

#[test]
fn random_commands_on_keys_answer_and_leave_what_they_do_in_redis() {
    let options =
        Options { explained: &[ENCODING_OF_LISTS, ENCODING_OF_SHORT_STRINGS], ..Options::default() };
    differential::compare(&ours(), "keys", FILE, GRAMMAR, STEPS, &options);
}

#[test]
fn populated_keyspaces_have_the_digest_they_have_in_redis() {
    let file = "save \"\"\nenable-debug-command yes\n";
    let Some(mut redis) = Server::redis("populate-redis", file) else { return };
    let mut ours = ours().start("populate-swytch", file);
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
    let mut ours = ours().start("options-swytch", file);
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
    for (setting, expected) in [("no", refused), ("local", Reply::ok()), ("yes", Reply::ok())] {
        let file = format!("enable-debug-command {setting}\n");
        let mut ours = ours().start(&format!("debug-{setting}"), &file);
        assert_eq!(ours.say("DEBUG SLEEP 0"), expected, "{setting}");
        ours.say("MULTI");
        let queued = if setting == "no" { expected } else { Reply::simple("QUEUED") };
        assert_eq!(ours.say("DEBUG SLEEP 0"), queued, "{setting}");
        assert_eq!(matches!(ours.say("EXEC"), Reply::Error(_)), setting == "no", "{setting}");
    }
}

#[test]
fn a_panic_is_answered_and_the_server_goes_on() {
    let mut ours = ours().start("panic", "enable-debug-command yes\n");
    ours.say("SET key v");
    for line in ["DEBUG PANIC", "DEBUG ASSERT", "DEBUG OOM"] {
        let reply = ours.say(line);
        assert!(
            matches!(&reply, Reply::Error(text) if text.starts_with("ERR internal error")),
            "{line}: {reply:?}"
        );
    }
    assert_eq!(ours.say("GET key"), Reply::bulk("v"));
    ours.say("MULTI");
    ours.say("APPEND key w");
    ours.say("DEBUG PANIC");
    ours.say("APPEND key x");
    let Reply::Array(replies) = ours.say("EXEC") else { panic!("EXEC answers an array") };
    assert!(matches!(replies[1], Reply::Error(_)), "{replies:?}");
    assert_eq!(ours.say("GET key"), Reply::bulk("vwx"));
    assert_eq!(ours.say("DBSIZE"), Reply::Integer(1), "every shard's lock is free");
}
