//! Random commands on strings, given to this server and to a real Redis in both protocols: the same bytes in every
//! reply, the same counts of changes, hits and misses, and every so often the same DEBUG DIGEST.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::Server;
use swytch_testkit::differential::{self, ENCODING_OF_LISTS, ENCODING_OF_SHORT_STRINGS, Explained, Options};

const STEPS: usize = 6_000;

const FILE: &str = "save \"\"\nenable-debug-command yes\n";

const GRAMMAR: &str = "
    key = a|b|c|d|e|absent|list
    small = 0|1|-1|2|7|8|9|-3|15|100|-100|255|256|-129|4294967295
    integer = <small> | 9223372036854775807|-9223372036854775808|9223372036854775808|1.0|abc|''|\\s1|+1|01
    float = 0.1|0.2|-0.1|3|1e3|1.5e-3|5e-324|1e17|-1e-18|123456789.123456789|inf|-inf|nan|abc|'' | <odd>
    odd = 0x1p-3|1e400|1e5000|17179869184.25|.5|5.|-0|1\\s|99999999999999999999
    value = <integer> | <float> | <number:1000> | <bytes:2500> | <bits:100> | <letters:40> | <letters:40>
    position = 0|1|2|3|5|8|17|40|100|-1|-2|-5|-17|-200|x|''|70
    absolute = EXAT 9000000000 | PXAT 9000000000123 | PXAT 9000000000555 | EXAT x | PXAT 9223372036854775807
    relative = EX 0 | PX -1 | EX 9223372036854775807 | EX
    option = NX|XX|GET|get|KEEPTTL|PERSIST|NOPE | NX|XX|GET | <absolute> | <relative>
    getex = PERSIST | <absolute> | PXAT 1 | <relative> | PERSIST EX 1 | NX | KEEPTTL | EX 1 PX 1 | EXAT -1 |
    expiry = 0|-1|x|9223372036854775807|9223372036854775|''
    lcs = LEN | IDX | IDX WITHMATCHLEN | IDX MINMATCHLEN 3 | LEN IDX | MINMATCHLEN | IDX MINMATCHLEN -1 | NOPE | x |

    4 SET <key> <value> [ <option>*3 ]
    GET|GETDEL|STRLEN <key>
    2 INCR|DECR <key>
    GETSET|SETNX|APPEND <key> <value>
    2 APPEND <key> <value>
    GETEX <key> <getex>
    SETEX|PSETEX <key> <expiry> <value>
    2 SETRANGE <key> <position> <value>
    2 GETRANGE|SUBSTR <key> <position> <position>
    INCRBY|DECRBY <key> <integer>
    3 INCRBYFLOAT <key> <float>
    MGET <key> <key> <key> absent
    MSET|MSETNX <key> <value> <key> [ <value> ]
    2 LCS <key> <key> <lcs>
    TYPE|PERSIST|DEL <key>
    PEXPIRETIME <key> ~milliseconds
    OBJECT ENCODING <key>
    RPUSH list x
    DEL list a b
    SET|GETEX
    INCRBY|LCS a
";

/// Differences that are meant.
const EXPLAINED: &[Explained] = &[ENCODING_OF_LISTS, ENCODING_OF_SHORT_STRINGS];

#[test]
fn random_commands_on_strings_do_what_they_do_in_redis() {
    let options = Options { counted: Some(|_| true), explained: EXPLAINED, ..Options::default() };
    differential::compare(&ours(), "strings", FILE, GRAMMAR, STEPS, &options);
}

#[test]
fn a_set_with_a_time_in_the_past_leaves_nothing_to_read() {
    let Some(mut redis) = Server::redis("past-redis", FILE) else { return };
    let mut ours = ours().start("past-swytch", FILE);
    for line in [
        "SET a v",
        "SET a w PXAT 1",
        "GET a",
        "SET a v EXAT 1 GET",
        "STRLEN a",
        "SET a v",
        "SET a w EXAT 1 GET",
        "EXISTS a",
        "SET a v",
        "GETEX a EXAT 1",
        "EXISTS a",
        "SET a v PX 1",
        "MSETNX b 1 b 2",
        "GET b",
    ] {
        assert_eq!(ours.say(line), redis.say(line), "{line}");
    }
}

#[test]
fn the_longest_strings_are_those_of_redis() {
    let Some(mut redis) = Server::redis("long-redis", FILE) else { return };
    let mut ours = ours().start("long-swytch", FILE);
    for line in [
        "SETBIT a 4294967295 1",
        "STRLEN a",
        "GETBIT a 4294967295",
        "BITCOUNT a",
        "BITPOS a 1",
        "BITPOS a 0 -1",
        "APPEND a x",
        "SETRANGE a 536870911 xy",
        "SETRANGE a 536870911 x",
        "GETRANGE a -2 -1",
        "SETBIT a 4294967296 1",
        "GETBIT a 4294967296",
        "BITFIELD a GET u8 4294967288 SET u8 4294967288 7 GET u8 4294967292",
        "BITFIELD b SET u8 4294967296 1",
        "SETRANGE b 536870912 x",
        "SETRANGE b 9223372036854775807 x",
        "SETRANGE b -1 x",
        "SETRANGE b 536870913 ",
        "EXISTS b",
        "LCS a a LEN",
        "BITOP NOT c a",
        "BITPOS c 0",
        "BITCOUNT c 0 -1",
        "DEL a c",
        "CONFIG SET proto-max-bulk-len 1048576",
        "SETRANGE a 1048575 x",
        "APPEND a y",
        "SETBIT a 8388608 1",
        "SET b xxxxxxxxxxxxxxxxxxxx",
        "LCS a b",
    ] {
        assert_eq!(ours.say(line), redis.say(line), "{line}");
    }
}
