//! Commands that write or delete only where a key holds what they say, and BITOP's newer operations: what Redis 8.6.3
//! answers, here and, if it is at hand, there.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::{Program, transcript};

const FILE: &str = "save \"\"\n";

#[track_caller]
fn plays(name: &str, lines: &str) {
    let redis = Program::redis_since("8.4").map(|redis| redis.start(&format!("{name}-redis"), FILE));
    for server in [ours().start(&format!("{name}-swytch"), FILE)].iter().chain(&redis) {
        transcript::play(server, lines);
    }
}

#[test]
fn a_string_is_set_where_it_compares_so() {
    plays(
        "compare-set",
        "
        c: SET a one = OK
        c: SET a two IFEQ one = OK
        c: SET a three IFEQ one = null
        c: SET a three IFEQ one GET = two
        c: SET a three IFEQ two GET = two
        c: SET a four IFNE three = null
        c: SET a four IFNE x EX 100 = OK
        c: SET a five IFEQ four KEEPTTL = OK
        c: TTL a = :100
        c: SET a five IFEQ five = OK
        c: TTL a = :-1
        c: SET none x IFEQ y = null
        c: SET none x IFEQ y GET = null
        c: SET none x IFDEQ y = null
        c: EXISTS none = :0
        c: SET none x IFNE y GET = null
        c: GET none = x
        c: SET other x IFDNE no = OK
        c: RPUSH list x = :1
        c: SET list x IFEQ x = -WRONGTYPE Operation against a key holding the wrong kind of value
        c: SET list x IFNE x GET = -WRONGTYPE Operation against a key holding the wrong kind of value
        c: SET list x IFDEQ no = -WRONGTYPE Operation against a key holding the wrong kind of value
        c: TYPE list = list
        c: SET a 12345 = OK
        c: DIGEST a = f34099ede96b5581
        c: DIGEST absent = null
        c: DIGEST list = -WRONGTYPE Operation against a key holding the wrong kind of value
        c: SET a x IFDEQ f34099ede96b5580 = null
        c: SET a x IFDEQ f34099 = -ERR must be exactly 16 hexadecimal characters
        c: SET a x IFDNE f34099ede96b5581 = null
        c: SET a 12345 IFDEQ F34099EDE96B5581 = OK
        c: SET a 12346 IFEQ x IFEQ 12345 = OK
        c: SET a x IFEQ 12346 IFEQ x = null
        c: SET a x IFEQ 12346 IFNE x = -ERR syntax error
        c: SET a x XX IFEQ 12346 = -ERR syntax error
        c: SET a x IFEQ = -ERR syntax error
        c: SET a x IFEQ 12346 EX 1 KEEPTTL = -ERR syntax error
        c: SET a x EX 0 IFEQ nothing = -ERR invalid expire time in 'set' command
        ",
    );
}

#[test]
fn a_key_is_deleted_where_it_compares_so() {
    plays(
        "compare-delete",
        "
        c: SET a one = OK
        c: DELEX a IFEQ two = :0
        c: DELEX a IFNE one = :0
        c: DELEX a IFDEQ 0000000000000000 = :0
        c: DELEX a IFDEQ 00 = -ERR must be exactly 16 hexadecimal characters
        c: DELEX a NX one = -ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE
        c: DELEX a IFEQ = -ERR wrong number of arguments for 'delex' command
        c: DELEX a IFEQ one more = -ERR wrong number of arguments for 'delex' command
        c: DELEX a IFEQ one = :1
        c: DELEX a IFEQ one = :0
        c: DELEX a IFNE one = :0
        c: DELEX a IFDEQ x = :0
        c: SET a one = OK
        c: DELEX a IFDNE 0000000000000000 = :1
        c: RPUSH list x = :1
        c: DELEX list IFEQ x = -ERR Key should be of string type if conditions are specified
        c: DELEX list = :1
        c: DELEX list = :0
        ",
    );
}

/// Valkey's command, which no Redis has, and a second condition behind a comparison, which Redis takes.
#[test]
fn what_redis_does_not_have_or_does_otherwise() {
    let server = ours().start("delifeq", FILE);
    let lines = "
        c: SET a one = OK
        c: DELIFEQ a two = :0
        c: DELIFEQ a one = :1
        c: DELIFEQ a one = :0
        c: RPUSH list x = :1
        c: SET a x IFNE one NX = -ERR syntax error
        c: DELIFEQ list x = -WRONGTYPE Operation against a key holding the wrong kind of value
    ";
    transcript::play(&server, lines);
}

#[test]
fn several_keys_are_set_with_one_expiry() {
    plays(
        "msetex",
        "
        c: MSETEX 2 a 1 b 2 = :1
        c: MSETEX 2 a 3 c 3 NX = :0
        c: MSETEX 2 a 3 c 3 XX = :0
        c: MGET a b c = [1, 2, null]
        c: MSETEX 2 c 3 d 3 NX EX 100 = :1
        c: MSETEX 2 c 4 d 4 KEEPTTL XX = :1
        c: TTL d = :100
        c: MSETEX 1 EX 1 = :1
        c: GET EX = 1
        c: MSETEX 2 e 1 e 2 NX = :1
        c: GET e = 2
        c: MSETEX 2 a 1 b = -ERR wrong number of key-value pairs
        c: MSETEX 2147483647 a 1 = -ERR wrong number of key-value pairs
        c: MSETEX 2147483648 a 1 = -ERR invalid numkeys value
        c: MSETEX 0 a 1 = -ERR invalid numkeys value
        c: MSETEX x a 1 = -ERR invalid numkeys value
        c: MSETEX 1 a 1 b 2 = -ERR syntax error
        c: MSETEX 1 a 1 EX = -ERR syntax error
        c: MSETEX 1 a 1 GET = -ERR syntax error
        c: MSETEX 1 a 1 IFEQ x = -ERR syntax error
        c: MSETEX 1 a 1 NX XX = -ERR syntax error
        c: MSETEX 1 a 1 EX 1 KEEPTTL = -ERR syntax error
        c: MSETEX 1 a 1 EX 0 = -ERR invalid expire time in 'msetex' command
        c: COMMAND GETKEYS MSETEX 2 a 1 b 2 EX 10 = [a, b]
        ",
    );
}

#[test]
fn bits_that_some_sources_have_are_found() {
    plays(
        "bitop",
        "
        c: SET a abcdef = OK
        c: SET b ABC = OK
        c: SET c zzzzzzzz = OK
        c: BITOP DIFF d a b = :6
        c: GETRANGE d 3 -1 = def
        c: BITOP DIFF1 d b a c = :8
        c: BITOP ANDOR d a b c = :8
        c: BITOP ONE d a b c = :8
        c: BITOP ONE d b = :3
        c: GET d = ABC
        c: BITOP DIFF d absent b = :3
        c: BITOP DIFF1 d absent b = :3
        c: GET d = ABC
        c: BITOP ANDOR d absent absent = :0
        c: EXISTS d = :0
        c: BITOP DIFF d a = -ERR BITOP DIFF must be called with at least two source keys.
        c: BITOP DIFF1 d a = -ERR BITOP DIFF1 must be called with at least two source keys.
        c: BITOP ANDOR d a = -ERR BITOP ANDOR must be called with at least two source keys.
        ",
    );
}
