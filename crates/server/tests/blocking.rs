//! Blocking commands and transactions, as transcripts of several connections: the same words and replies from
//! swytch and from a real Redis.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use std::time::Instant;
use swytch_testkit::transcript::play;
use swytch_testkit::{Reply, Server};

const FILE: &str = "threads 4\nenable-debug-command yes\nsave \"\"\n";
/// The same for a server that knows no threads.
const REDIS_FILE: &str = "enable-debug-command yes\nsave \"\"\n";

/// Plays transcripts to swytch and to Redis.
fn check(transcripts: &[&str]) {
    let servers = [Some(ours().start("blocking", FILE)), Server::redis("blocking-redis", REDIS_FILE)];
    for server in servers.iter().flatten() {
        transcripts.iter().for_each(|transcript| play(server, transcript));
    }
}

#[test]
fn whoever_came_first_is_served_first() {
    check(&[
        "a> BLPOP k 0\nblocked 1\nb> BLPOP k 0\nblocked 2\nc> BRPOP k 0\nblocked 3
         p: RPUSH k 1 2 3 4 = :4
         a< [k, 1]\nb< [k, 2]\nc< [k, 4]\np: LRANGE k 0 -1 = [3]",
        "a> BLPOP k1 k2 0\nblocked 1\nb> BLPOP k2 k1 0\nblocked 2
         p: RPUSH k2 x = :1\na< [k2, x]\nb silent\np: RPUSH k1 y = :1\nb< [k1, y]",
        "a> BLMPOP 0 2 k1 k2 RIGHT COUNT 2\nblocked 1\nb> BLPOP k2 0\nblocked 2
         p: RPUSH k2 1 2 3 = :3\na< [k2, [3, 2]]\nb< [k2, 1]\np: EXISTS k2 = :0",
        // A key named twice is waited for once.
        "a> BLPOP k k j k 0\nblocked 1\np: RPUSH k 1 2 = :2\na< [k, 1]\np: LRANGE k 0 -1 = [2]",
        // What waits behind a blocking command in the pipeline is run after it.
        "a> BLPOP k 0\na> RPUSH j 1\nblocked 1\np: EXISTS j = :0\np: LPUSH k x = :1\na< [k, x]\na< :1",
        "a> BLPOP k 0\na> BLPOP k 0\nblocked 1\np: RPUSH k 1 2 3 = :3\na< [k, 1]\na< [k, 2]\np: LLEN k = :1",
    ]);
}

#[test]
fn whoever_waits_for_a_member_is_served_in_turn() {
    check(&[
        "a> BZPOPMIN z 0\nblocked 1\nb> BZPOPMAX z 0\nblocked 2\nc> BZPOPMIN z 0\nblocked 3
         p: ZADD z 1 a 2 b 3 c 4 d = :4
         a< [z, a, 1]\nb< [z, d, 4]\nc< [z, b, 2]\np: ZRANGE z 0 -1 = [c]",
        "a> BZMPOP 0 2 z1 z2 MAX COUNT 2\nblocked 1\nb> BZPOPMIN z2 0\nblocked 2
         p: ZADD z2 1 a 2 b 3 c = :3\na< [z2, [[c, 3], [b, 2]]]\nb< [z2, a, 1]\np: EXISTS z2 = :0",
        // A key of another type lets them wait on.
        "a> BZPOPMIN k 0\nblocked 1\np: RPUSH k x = :1\na silent\np: DEL k = :1\np: ZINCRBY k 1.5 x = 1.5\na< [k, x, 1.5]",
        "a> BZPOPMIN z 0\nblocked 1\np: ZADD o 1 x = :1\np: RENAME o z = OK\na< [z, x, 1]",
        "a> BZPOPMIN z 0\nblocked 1\np: ZADD o 1 x = :1\np: COPY o z = :1\na< [z, x, 1]",
        "a> BZPOPMIN z 0\nblocked 1\np: ZADD o 1 x = :1\np: ZUNIONSTORE z 1 o = :1\na< [z, x, 1]",
        "a> BZPOPMIN z 0\nblocked 1\np: ZADD o 1 x = :1\np: ZRANGESTORE z o 0 -1 = :1\na< [z, x, 1]",
        "a> BZPOPMIN z 0\nblocked 1\np: MULTI = OK\np: ZADD z 2 a = QUEUED\np: ZADD z 1 b = QUEUED\np: EXEC = [:1, :1]
         a< [z, b, 1]\np: ZRANGE z 0 -1 = [a]",
    ]);
}

#[test]
fn every_kind_of_write_wakes() {
    check(&[
        "a> BLPOP k 0\nblocked 1\np: RPUSH other 1 = :1\np: RENAME other k = OK\na< [k, 1]",
        "a> BLPOP k 0\nblocked 1\np: RPUSH other 1 = :1\np: RENAMENX other k = :1\na< [k, 1]",
        "a> BLPOP k 0\nblocked 1\np: RPUSH other 1 = :1\np: COPY other k = :1\na< [k, 1]\np: LLEN other = :1",
        "a> BLPOP k 0\nblocked 1\np: SELECT 3 = OK\np: RPUSH k 1 = :1\na silent\np: MOVE k 0 = :1\na< [k, 1]",
        "a> BLPOP k 0\nblocked 1\np: RPUSH o 1 = :1\np: COPY o k DB 3 = :1\na silent\np: SWAPDB 0 3 = OK\na< [k, 1]",
        "a> BLPOP k 0\nblocked 1\np: MULTI = OK\np: RPUSH k 1 = QUEUED\np: RPUSH k 2 = QUEUED\np: EXEC = [:1, :2]
         a< [k, 1]",
        "a> BLPOP k 0\nblocked 1\np: RPUSH s 1 = :1\np: LMOVE s k LEFT LEFT = 1\na< [k, 1]",
        "a> BRPOPLPUSH s k 0\nblocked 1\nb> BLPOP k 0\nblocked 2\np: RPUSH s 1 = :1\na< 1\nb< [k, 1]\np: DBSIZE = :0",
        // A chain of waiters across keys.
        "d> BLPOP k4 0\nblocked 1\nc> BLMOVE k3 k4 LEFT RIGHT 0\nblocked 2\nb> BLMOVE k2 k3 LEFT RIGHT 0\nblocked 3
         a> BLMOVE k1 k2 LEFT RIGHT 0\nblocked 4\np: RPUSH k1 x = :1\na< x\nb< x\nc< x\nd< [k4, x]\np: DBSIZE = :0",
        // A circle of two, and a list that feeds itself.
        "a> BRPOPLPUSH k1 k2 0\nblocked 1\nb> BRPOPLPUSH k2 k1 0\nblocked 2\np: RPUSH k1 x = :1\na< x\nb< x
         p: LRANGE k1 0 -1 = [x]\np: EXISTS k2 = :0",
        "a> BRPOPLPUSH k k 0\nblocked 1\np: RPUSH k x = :1\na< x\np: LRANGE k 0 -1 = [x]",
    ]);
}

#[test]
fn what_is_no_list_any_more_wakes_nobody() {
    check(&[
        "a> BLPOP k 0\nblocked 1\np: MULTI = OK\np: RPUSH k 1 = QUEUED\np: DEL k = QUEUED\np: EXEC = [:1, :1]\na silent
         p: SET k x = OK\na silent\np: DEL k = :1\np: RPUSH k 2 = :1\na< [k, 2]",
        "a> BLPOP k 0\nblocked 1\np: MULTI = OK\np: RPUSH k 1 = QUEUED\np: DEL k = QUEUED\np: SET k s = QUEUED
         p: EXEC = [:1, :1, OK]\na silent\nblocked 1",
        "a> BLPOP k 0\nblocked 1\np: MULTI = OK\np: RPUSH k 1 = QUEUED\np: PEXPIRE k 20 = QUEUED
         p: DEBUG SLEEP 0.05 = QUEUED\np: EXEC = [:1, :1, OK]\na silent\np: EXISTS k = :0\nblocked 1",
        // Time goes on between the commands of a pipeline.
        "a>> SET k 1 PX 30; DEBUG SLEEP 0.1; EXISTS k\na< OK\na< OK\na< :0",
        // A transaction is seen as a whole.
        "a> BLPOP k 0\nblocked 1\np: MULTI = OK\np: RPUSH k 1 = QUEUED\np: LPUSH k 0 = QUEUED\np: LREM k 0 1 = QUEUED
         p: EXEC = [:1, :2, :1]\na< [k, 0]",
        // The destination is of another type: the client is answered, the element stays.
        "a> BRPOPLPUSH s d 0\nblocked 1\nb> BLPOP s 0\nblocked 2\np: SET d x = OK\np: RPUSH s 1 = :1
         a< -WRONGTYPE Operation against a key holding the wrong kind of value\nb< [s, 1]",
        "p: SET k x = OK\na: BLPOP k 1 = -WRONGTYPE Operation against a key holding the wrong kind of value
         a: BLPOP j k 1 = -WRONGTYPE Operation against a key holding the wrong kind of value",
    ]);
}

#[test]
fn waiting_ends_by_timeout_or_by_others() {
    check(&[
        "a: BLPOP k 0.01 = null-array\na: BLMOVE k j LEFT LEFT 0.01 = null-array\na: BRPOPLPUSH k j 0.01 = null-array
         a: BLMPOP 0.01 1 k LEFT = null-array",
        "a: BLPOP k 0x.01 = null-array\na: BLPOP k 0X1P-8 = null-array\na: BLPOP k 0x = -ERR timeout is not a float or out of range",
        "a: BLPOP k -1 = -ERR timeout is negative\na: BLPOP k x = -ERR timeout is not a float or out of range
         a: BLPOP k nan = -ERR timeout is not a float or out of range",
        "a> BLPOP k 0\nblocked 1\np: CLIENT UNBLOCK $a = :1\np: RPUSH k 1 = :1\na< null-array\np: LLEN k = :1
         p: CLIENT UNBLOCK $a = :0\np: CLIENT UNBLOCK 123456 = :0",
        "a> BLPOP k 0\nblocked 1\np: CLIENT UNBLOCK $a ERROR = :1\na< -UNBLOCKED client unblocked via CLIENT UNBLOCK
         a> BLPOP k 0\nblocked 1\np: CLIENT UNBLOCK $a TIMEOUT = :1\na< null-array\na: PING = PONG",
        // Inside a transaction too, and from then on the element is nobody's.
        "a> BLPOP k 0\nblocked 1\np: MULTI = OK\np: CLIENT UNBLOCK $a = QUEUED\np: RPUSH k 1 = QUEUED\np: EXEC = [:1, :1]
         a< null-array\np: LRANGE k 0 -1 = [1]",
        // Who has left is not served.
        "a> BLPOP k 0\nblocked 1\np: CLIENT KILL ID $a = :1\np: RPUSH k 1 = :1\np: LLEN k = :1\nblocked 0",
        "a> BLPOP k 0\nblocked 1\na closes\nblocked 0\np: RPUSH k 1 = :1\np: LLEN k = :1",
        "a> BLPOP k 0\na> PING\nblocked 1\na closes\nblocked 0\np: RPUSH k 1 = :1\np: LLEN k = :1",
        "a> BLPOP k 0\nblocked 1\na half-closes\nblocked 0\np: RPUSH k 1 = :1\np: LLEN k = :1",
        "a> PING\na> BLPOP k 0\na half-closes\na< PONG\nblocked 0\np: RPUSH k 1 = :1\np: LLEN k = :1",
        // A client that is not answered is silent for the late reply as well.
        "a> CLIENT REPLY SKIP\na> BLPOP k 0\na> PING\nblocked 1\np: RPUSH k 1 = :1\na< PONG",
    ]);
}

/// What a command did before it panicked counts; the bug is not one of those who wait.
#[test]
fn a_panic_after_a_push_leaves_nobody_waiting() {
    let failed = "-ERR internal error: the command failed and the server's log says where";
    let server = ours().start("blocking", FILE);
    play(&server, &format!("a> BLPOP k 0\nblocked 1\np: DEBUG PANIC k = {failed}\na< [k, pushed]"));
}

#[test]
fn nothing_blocks_inside_a_transaction() {
    check(&[
        "a: MULTI = OK\na: BLPOP k 0 = QUEUED\na: BLMOVE k j LEFT LEFT 0 = QUEUED\na: BRPOPLPUSH k j 0 = QUEUED
         a: BLMPOP 0 1 k LEFT = QUEUED\na: RPUSH k 1 = QUEUED\na: BLPOP k 0 = QUEUED
         a: EXEC = [null-array, null, null, null-array, :1, [k, 1]]",
        "w: WATCH d = OK\na> BRPOPLPUSH s d 0\nblocked 1\nw: MULTI = OK\nw: PING = QUEUED\nw: EXEC = [PONG]
         w: WATCH d = OK\np: RPUSH s 1 = :1\na< 1\nw: MULTI = OK\nw: PING = QUEUED\nw: EXEC = null-array",
    ]);
}

#[test]
fn transactions_end_as_they_should() {
    check(&[
        "a: EXEC = -ERR EXEC without MULTI\na: DISCARD = -ERR DISCARD without MULTI
         a: EXEC x = -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
        "a: MULTI = OK\na: MULTI = -ERR MULTI calls can not be nested\na: WATCH k = -ERR WATCH inside MULTI is not allowed
         a: SET k 1 = QUEUED\na: EXEC = [OK]",
        "a: MULTI = OK\na: NOSUCH x = -ERR unknown command 'NOSUCH', with args beginning with: 'x' \na: SET k 1 = QUEUED
         a: EXEC = -EXECABORT Transaction discarded because of previous errors.\na: EXISTS k = :0\na: EXEC = -ERR EXEC without MULTI",
        "a: MULTI = OK\na: GET = -ERR wrong number of arguments for 'get' command
         a: EXEC = -EXECABORT Transaction discarded because of previous errors.",
        "a: MULTI = OK\na: EXEC x = -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
         a: EXEC = -ERR EXEC without MULTI",
        "a: MULTI = OK\na: SET k x = QUEUED\na: LPUSH k y = QUEUED\na: INCR k = QUEUED\na: GET k = QUEUED
         a: EXEC = [OK, -WRONGTYPE Operation against a key holding the wrong kind of value, -ERR value is not an integer or out of range, x]",
        "a: MULTI = OK\na: SELECT 3 = QUEUED\na: SET k 3 = QUEUED\na: SELECT 0 = QUEUED\na: GET k = QUEUED\na: SELECT 3 = QUEUED
         a: EXEC = [OK, OK, OK, null, OK]\na: GET k = 3\na: DEL k = :1",
        "a: MULTI = OK\na: CLIENT SETNAME me = QUEUED\na: CLIENT GETNAME = QUEUED\na: UNWATCH = QUEUED\na: EXEC = [OK, me, OK]",
        "a: MULTI = OK\na: SET k 1 = QUEUED\na: DISCARD = OK\na: EXISTS k = :0\na: MULTI = OK\na: EXEC = []",
        "a: MULTI = OK\na: SET k 1 = QUEUED\na: RESET = RESET\na: EXEC = -ERR EXEC without MULTI\na: EXISTS k = :0",
        "a: MULTI = OK\na: FLUSHALL = QUEUED\na: DBSIZE = QUEUED\na: KEYS * = QUEUED\na: EXEC = [OK, :0, []]",
        "a: CONFIG SET maxmemory 1 = OK\na: SET k 1 = -OOM command not allowed when used memory > 'maxmemory'.
         a: CONFIG SET maxmemory 0 = OK
         a: MULTI = OK\na: SET k 1 = QUEUED\nb: CONFIG SET maxmemory 1 = OK
         a: EXEC = -EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.
         b: CONFIG SET maxmemory 0 = OK\na: MULTI = OK\na: GET k = QUEUED\nb: CONFIG SET maxmemory 1 = OK\na: EXEC = [null]
         a: MULTI = OK\na: DISCARD = OK\nb: CONFIG SET maxmemory 0 = OK",
    ]);
}

#[test]
fn watched_keys_guard_a_transaction() {
    let aborts = "a: MULTI = OK\na: PING = QUEUED\na: EXEC = null-array";
    let runs = "a: MULTI = OK\na: PING = QUEUED\na: EXEC = [PONG]";
    let cases = [
        ("a: WATCH k = OK\nb: SET k 1 = OK", aborts),
        ("a: WATCH k = OK\na: SET k 1 = OK", aborts),
        ("a: WATCH k = OK\nb: SET j 1 = OK", runs),
        ("a: WATCH k = OK\nb: SET k 1 = OK\na: UNWATCH = OK", runs),
        ("a: WATCH k = OK\nb: SET k 1 = OK\na: MULTI = OK\na: DISCARD = OK", runs),
        ("a: WATCH i j k l = OK\nb: RPUSH k 1 = :1", aborts),
        ("b: RPUSH k 1 = :1\na: WATCH k = OK\nb: LTRIM k 0 -1 = OK", aborts),
        ("b: RPUSH k 1 = :1\na: WATCH k = OK\nb: LREM k 0 x = :0", runs),
        ("a: WATCH k = OK\nb: DEL k = :0", runs),
        ("b: SET k 1 = OK\na: WATCH k = OK\nb: EXPIRE k 100 = :1", aborts),
        ("b: SET k 1 = OK\na: WATCH k = OK\nb: FLUSHDB = OK", aborts),
        ("a: WATCH k = OK\nb: FLUSHALL = OK", runs),
        ("b: SET k 1 = OK\na: SELECT 1 = OK\na: WATCH k = OK\nb: SET k 2 = OK", runs),
        ("b: SET k 1 = OK\na: WATCH k = OK\nb: SWAPDB 0 1 = OK", aborts),
        ("b: SELECT 1 = OK\nb: SET k 1 = OK\na: WATCH k = OK\nb: SWAPDB 0 1 = OK", aborts),
        ("b: SELECT 1 = OK\nb: SET j 1 = OK\na: WATCH k = OK\nb: SWAPDB 0 1 = OK", runs),
        ("b: SELECT 1 = OK\nb: SET k 1 = OK\na: WATCH k = OK\nb: MOVE k 0 = :1", aborts),
        ("b: SET j 1 = OK\na: WATCH k = OK\nb: RENAME j k = OK", aborts),
        ("b: SET j 1 = OK\na: WATCH k = OK\nb: COPY j k = :1", aborts),
        // What expired before WATCH is absent, and stays so whoever removes it.
        ("b: SET k 1 PX 1 = OK\nsilent silent\na: WATCH k = OK", runs),
        ("b: SET k 1 PX 1 = OK\nsilent silent\na: WATCH k = OK\nb: DEL k = :0", runs),
        ("b: SET k 1 PX 1 = OK\nsilent silent\na: WATCH k = OK\nb: FLUSHDB = OK", runs),
        ("b: SET k 1 PX 1 = OK\nsilent silent\na: WATCH k = OK\nb: SWAPDB 0 1 = OK", runs),
        ("b: SET k 1 PX 1 = OK\nsilent silent\na: WATCH k = OK\nb: SET k 2 = OK", aborts),
        ("b: SELECT 1 = OK\nb: SET k 1 PX 1 = OK\nsilent silent\na: WATCH k = OK\nb: SWAPDB 0 1 = OK", runs),
        // What expires afterwards has changed.
        ("a>> SET k 1 PX 200; WATCH k\na< OK\na< OK\nafter 250 ms", aborts),
        ("a>> SET k 1 PX 200; WATCH k\na< OK\na< OK\nafter 250 ms\nb: EXISTS k = :0", aborts),
    ];
    let transcripts: Vec<String> =
        cases.iter().map(|(before, outcome)| format!("{before}\n{outcome}\n{runs}")).collect();
    let quiet = "q: DEBUG SET-ACTIVE-EXPIRE 0 = OK";
    let all: Vec<&str> = std::iter::once(quiet).chain(transcripts.iter().map(String::as_str)).collect();
    check(&all);
}

#[test]
fn a_timeout_is_kept_to_the_millisecond() {
    // The machine may be busy with other tests: one attempt of these must be as quick as it should be.
    const ATTEMPTS: usize = 40;
    const LATE_MS: u128 = 25;
    let server = ours().start("blocking", FILE);
    let mut connection = server.connect();
    for (timeout, least_ms) in [("0.001", 1), ("0.02", 20), ("0.1", 100), ("0.2501", 251)] {
        let in_time = (0..ATTEMPTS).any(|_| {
            let began = Instant::now();
            assert_eq!(connection.call(&["BLPOP", "k", timeout]), Reply::NullArray);
            let took_ms = began.elapsed().as_millis();
            assert!(took_ms + 1 >= least_ms, "{timeout}: gave up after {took_ms} ms");
            took_ms <= least_ms + LATE_MS
        });
        assert!(in_time, "{timeout}: always gave up more than {LATE_MS} ms late");
    }
}
