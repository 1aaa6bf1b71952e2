//! Keyspace events as transcripts, the same from swytch and from a real Redis. The events of random commands are compared
//! in the tests of each group of commands.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::transcript::play;
use swytch_testkit::{Program, Server};

const FILE: &str = "save \"\"\nenable-debug-command yes\nhz 100\n";

/// Plays transcripts to swytch, with and without a log, and to Redis, if that knows all classes; `e` hears all events.
fn check(classes: &str, transcripts: &[&str]) {
    let redis = Program::redis_since("8.6").map(|redis| redis.start("events-redis", FILE));
    let [ours, logs] = ["", "appendonly yes\n"]
        .map(|line| Some(ours().start("events", &format!("{FILE}threads 4\n{line}"))));
    let servers: [Option<Server>; 3] = [ours, logs, redis];
    for server in servers.iter().flatten() {
        for transcript in transcripts {
            let begin = format!(
                "p: CONFIG SET notify-keyspace-events {classes} = OK\ne: PSUBSCRIBE __key* = [psubscribe, __key*, :1]"
            );
            play(server, &format!("{begin}\n{transcript}\ne silent"));
        }
    }
}

#[test]
fn events_go_to_the_channels_of_the_key_and_of_the_event() {
    check(
        "KEA",
        &[
            "p: SET k v = OK\ne< [pmessage, __key*, __keyspace@0__:k, set]\ne< [pmessage, __key*, __keyevent@0__:set, k]
             p: GET k = v\np: DEL k none = :1\ne< [pmessage, __key*, __keyspace@0__:k, del]
             e< [pmessage, __key*, __keyevent@0__:del, k]\np: GET k = null",
            "p: SELECT 3 = OK\np: LPUSH l a = :1\ne< [pmessage, __key*, __keyspace@3__:l, lpush]
             e< [pmessage, __key*, __keyevent@3__:lpush, l]\np: MOVE l 4 = :1
             e< [pmessage, __key*, __keyspace@3__:l, move_from]\ne< [pmessage, __key*, __keyevent@3__:move_from, l]
             e< [pmessage, __key*, __keyspace@4__:l, move_to]\ne< [pmessage, __key*, __keyevent@4__:move_to, l]",
            "b: SUBSCRIBE __keyevent@0__:hset = [subscribe, __keyevent@0__:hset, :1]\np: HSET h f v = :1
             b< [message, __keyevent@0__:hset, h]\ne< [pmessage, __key*, __keyspace@0__:h, hset]
             e< [pmessage, __key*, __keyevent@0__:hset, h]\np: PUBLISH __keyspace@0__:h mine = :1
             e< [pmessage, __key*, __keyspace@0__:h, mine]",
        ],
    );
    check(
        "K$l",
        &["p: SET k v = OK\ne< [pmessage, __key*, __keyspace@0__:k, set]\np: SADD s a = :1\np: DEL k s = :2
         p: RPUSH l a = :1\ne< [pmessage, __key*, __keyspace@0__:l, rpush]"],
    );
    check("Eg", &["p: SET k v = OK\np: DEL k = :1\ne< [pmessage, __key*, __keyevent@0__:del, k]"]);
    // Channels without classes, and classes without channels.
    for nothing in ["KE", "Agmnoc$"] {
        check(nothing, &["p: SET k v = OK\np: GET none = null\np: DEL k = :1"]);
    }
}

#[test]
fn time_misses_and_what_is_overwritten_are_told() {
    check(
        "KAmnoc",
        &[
            "p: GET a = null\ne< [pmessage, __key*, __keyspace@0__:a, keymiss]\np: HGETDEL a FIELDS 1 f = [null]
             p: HGETEX a FIELDS 1 f = [null]\np: HEXPIRE a 10 FIELDS 1 f = [:-2]\np: HPERSIST a FIELDS 1 f = [:-2]
             p: MGET a b = [null, null]
             e< [pmessage, __key*, __keyspace@0__:a, keymiss]\ne< [pmessage, __key*, __keyspace@0__:b, keymiss]
             p: EXISTS a = :0\ne< [pmessage, __key*, __keyspace@0__:a, keymiss]\np: SET a 1 = OK
             e< [pmessage, __key*, __keyspace@0__:a, new]\ne< [pmessage, __key*, __keyspace@0__:a, set]
             p: SET a 2 = OK\ne< [pmessage, __key*, __keyspace@0__:a, overwritten]\ne< [pmessage, __key*, __keyspace@0__:a, set]
             p: DEL a = :1\ne< [pmessage, __key*, __keyspace@0__:a, del]\np: RPUSH a x = :1
             e< [pmessage, __key*, __keyspace@0__:a, new]\ne< [pmessage, __key*, __keyspace@0__:a, rpush]
             p: SET a 3 = OK\ne< [pmessage, __key*, __keyspace@0__:a, overwritten]
             e< [pmessage, __key*, __keyspace@0__:a, type_changed]\ne< [pmessage, __key*, __keyspace@0__:a, set]",
            // The sources of a store are missed before anything is stored.
            "p: SADD d x = :1\ne< [pmessage, __key*, __keyspace@0__:d, new]\ne< [pmessage, __key*, __keyspace@0__:d, sadd]
             p: BITOP NOT d s = :0\ne< [pmessage, __key*, __keyspace@0__:s, keymiss]\ne< [pmessage, __key*, __keyspace@0__:d, del]",
            // Whoever meets a key whose time is over tells of that first.
            "q: DEBUG SET-ACTIVE-EXPIRE 0 = OK\np: SET k v PX 1 = OK\ne< [pmessage, __key*, __keyspace@0__:k, new]
             e< [pmessage, __key*, __keyspace@0__:k, set]\ne< [pmessage, __key*, __keyspace@0__:k, expire]\nafter 20 ms
             p: GET k = null\ne< [pmessage, __key*, __keyspace@0__:k, expired]\ne< [pmessage, __key*, __keyspace@0__:k, keymiss]
             p: SET k v PX 1 = OK\ne< [pmessage, __key*, __keyspace@0__:k, new]\ne< [pmessage, __key*, __keyspace@0__:k, set]
             e< [pmessage, __key*, __keyspace@0__:k, expire]\nafter 20 ms\np: SET k w = OK
             e< [pmessage, __key*, __keyspace@0__:k, expired]\ne< [pmessage, __key*, __keyspace@0__:k, new]
             e< [pmessage, __key*, __keyspace@0__:k, set]\np: SET j v PX 1 = OK\ne< [pmessage, __key*, __keyspace@0__:j, new]
             e< [pmessage, __key*, __keyspace@0__:j, set]\ne< [pmessage, __key*, __keyspace@0__:j, expire]\nafter 20 ms
             p: MULTI = OK\np: GET j = QUEUED\np: SET k x = QUEUED\np: EXEC = [null, OK]
             e< [pmessage, __key*, __keyspace@0__:j, expired]\ne< [pmessage, __key*, __keyspace@0__:j, keymiss]
             e< [pmessage, __key*, __keyspace@0__:k, overwritten]\ne< [pmessage, __key*, __keyspace@0__:k, set]
             q: DEBUG SET-ACTIVE-EXPIRE 1 = OK",
            // What nobody asks for goes by itself, and so do fields.
            "p: SET k v PX 1 = OK\ne< [pmessage, __key*, __keyspace@0__:k, new]\ne< [pmessage, __key*, __keyspace@0__:k, set]
             e< [pmessage, __key*, __keyspace@0__:k, expire]\ne< [pmessage, __key*, __keyspace@0__:k, expired]
             p: HSET h f v g w = :2\ne< [pmessage, __key*, __keyspace@0__:h, new]\ne< [pmessage, __key*, __keyspace@0__:h, hset]
             p: HPEXPIRE h 1 FIELDS 1 f = [:1]\ne< [pmessage, __key*, __keyspace@0__:h, hexpire]
             e< [pmessage, __key*, __keyspace@0__:h, hexpired]\np: HPEXPIRE h 1 FIELDS 1 g = [:1]
             e< [pmessage, __key*, __keyspace@0__:h, hexpire]\ne< [pmessage, __key*, __keyspace@0__:h, hexpired]
             e< [pmessage, __key*, __keyspace@0__:h, del]",
        ],
    );
}

#[test]
fn a_transaction_a_parked_client_and_oneself() {
    check(
        "EAn",
        &[
            "p: MULTI = OK\np: SET k v = QUEUED\ne silent\np: DEL k = QUEUED\np: PUBLISH __keyevent@0__:mine x = QUEUED\np: EXEC = [OK, :1, :1]
             e< [pmessage, __key*, __keyevent@0__:new, k]\ne< [pmessage, __key*, __keyevent@0__:set, k]
             e< [pmessage, __key*, __keyevent@0__:del, k]\ne< [pmessage, __key*, __keyevent@0__:mine, x]",
            "b> BLPOP l 0\nblocked 1\np: RPUSH l x = :1\nb< [l, x]\ne< [pmessage, __key*, __keyevent@0__:new, l]
             e< [pmessage, __key*, __keyevent@0__:rpush, l]\ne< [pmessage, __key*, __keyevent@0__:lpop, l]
             e< [pmessage, __key*, __keyevent@0__:del, l]",
            "a> HELLO 3\na< *\na: PSUBSCRIBE *:set = >[psubscribe, *:set, :1]\na>> SET k v; ECHO after\na< OK
             a< >[pmessage, *:set, __keyevent@0__:set, k]\na< after\ne< [pmessage, __key*, __keyevent@0__:new, k]
             e< [pmessage, __key*, __keyevent@0__:set, k]",
        ],
    );
}
