//! Readers of streams that wait, as transcripts of several connections: the same words and replies from swytch and from a
//! real Redis, of a version whose groups wake as those of Redis 8 do.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::Server;
use swytch_testkit::transcript::play;

const FILE: &str = "threads 4\nenable-debug-command yes\nsave \"\"\n";
/// The same for a server that knows no threads.
const REDIS_FILE: &str = "enable-debug-command yes\nsave \"\"\n";

/// Plays transcripts to swytch and to Redis, if that is as new.
fn check(transcripts: &[&str]) {
    let redis = Server::redis("stream-blocking-redis", REDIS_FILE).and_then(|mut redis| {
        let is_new = redis.say("INFO server").to_string().contains("redis_version:8.");
        is_new.then_some(redis)
    });
    let servers = [Some(ours().start("stream-blocking", FILE)), redis];
    for server in servers.iter().flatten() {
        transcripts.iter().for_each(|transcript| play(server, transcript));
    }
}

#[test]
fn an_entry_serves_all_who_wait_for_it() {
    check(&[
        "a> XREAD BLOCK 0 STREAMS s $\nblocked 1\nb> XREAD BLOCK 0 STREAMS s 0\nblocked 2
         p: XADD s 1-1 f v = 1-1\na< [[s, [[1-1, [f, v]]]]]\nb< [[s, [[1-1, [f, v]]]]]",
        "p: XADD s 5-0 f v = 5-0\na> XREAD BLOCK 0 STREAMS s $\nblocked 1\nb> XREAD BLOCK 0 STREAMS s 7\nblocked 2
         p: XADD s 6-0 f v = 6-0\na< [[s, [[6-0, [f, v]]]]]\nb silent\np: XADD s 8-0 f v = 8-0\nb< [[s, [[8-0, [f, v]]]]]",
        "a> XREAD BLOCK 0 STREAMS s t $ $\nblocked 1\np: XADD t 1-1 f v = 1-1\na< [[t, [[1-1, [f, v]]]]]",
        "a> XREAD BLOCK 0 COUNT 1 STREAMS s $\nblocked 1\np: MULTI = OK\np: XADD s 1-1 f v = QUEUED
         p: XADD s 1-2 f v = QUEUED\np: EXEC = [1-1, 1-2]\na< [[s, [[1-1, [f, v]]]]]",
        "a> XREAD BLOCK 0 STREAMS s +\nblocked 1\np: XADD s 1-1 f v = 1-1\na< [[s, [[1-1, [f, v]]]]]",
        "a: XREAD BLOCK 10 STREAMS s $ = null-array\na: XREAD BLOCK 10 STREAMS s 5-5 = null-array",
        "a: MULTI = OK\na: XREAD BLOCK 0 STREAMS s $ = QUEUED\na: EXEC = [null-array]",
    ]);
}

#[test]
fn every_kind_of_write_wakes_a_reader_that_it_serves() {
    check(&[
        "a> XREAD BLOCK 0 STREAMS s 0\nblocked 1\np: XADD o 1-1 f v = 1-1\np: RENAME o s = OK\na< [[s, [[1-1, [f, v]]]]]",
        "a> XREAD BLOCK 0 STREAMS s 0\nblocked 1\np: XADD o 1-1 f v = 1-1\np: COPY o s = :1\na< [[s, [[1-1, [f, v]]]]]",
        "a> XREAD BLOCK 0 STREAMS s 0\nblocked 1\np: MULTI = OK\np: XADD s 1-1 f v = QUEUED\np: DEL s = QUEUED
         p: EXEC = [1-1, :1]\na silent\np: RPUSH s x = :1\na silent\np: DEL s = :1\np: XADD s 1-2 f v = 1-2
         a< [[s, [[1-2, [f, v]]]]]",
        "p: XGROUP CREATE s g $ MKSTREAM = OK\na> XREAD BLOCK 0 STREAMS s $\nblocked 1\np: XGROUP DESTROY s g = :1
         a silent\np: XADD s 1-1 f v = 1-1\na< [[s, [[1-1, [f, v]]]]]",
    ]);
}

#[test]
fn one_of_a_group_is_served_and_the_next_waits_on() {
    check(&[
        "p: XGROUP CREATE s g $ MKSTREAM = OK\na> XREADGROUP GROUP g alice BLOCK 0 STREAMS s >\nblocked 1
         b> XREADGROUP GROUP g bob BLOCK 0 STREAMS s >\nblocked 2\np: XADD s 1-1 f v = 1-1
         a< [[s, [[1-1, [f, v]]]]]\nb silent\np: XADD s 1-2 f v = 1-2\nb< [[s, [[1-2, [f, v]]]]]",
        "p: XGROUP CREATE s g $ MKSTREAM = OK\np: XADD s 1-1 f v = 1-1\np: XADD s 1-2 f v = 1-2
         a: XREADGROUP GROUP g alice COUNT 1 BLOCK 0 STREAMS s > = [[s, [[1-1, [f, v]]]]]
         a: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > = [[s, [[1-2, [f, v]]]]]
         a> XREADGROUP GROUP g alice BLOCK 0 STREAMS s >\nblocked 1\np: XADD s 1-3 f v = 1-3\na< [[s, [[1-3, [f, v]]]]]",
        "p: XGROUP CREATE s g $ MKSTREAM = OK\na: XREADGROUP GROUP g alice BLOCK 0 STREAMS s 0 = [[s, []]]
         a: XREADGROUP GROUP g alice BLOCK 10 STREAMS s > = null-array",
    ]);
}

#[test]
fn who_claims_waits_until_there_is_something_to_claim() {
    check(&[
        "p: XGROUP CREATE s g $ MKSTREAM = OK\np: XADD s 1-1 f v = 1-1
         b: XREADGROUP GROUP g bob STREAMS s > = [[s, [[1-1, [f, v]]]]]
         a: XREADGROUP GROUP g alice BLOCK 1 CLAIM 1000000 STREAMS s > = null-array
         a> XREADGROUP GROUP g alice BLOCK 0 CLAIM 80 STREAMS s >\nblocked 1\na< *
         p: XPENDING s g = [:1, 1-1, 1-1, [[alice, 1]]]",
        "p: XGROUP CREATE s g $ MKSTREAM = OK\na> XREADGROUP GROUP g alice BLOCK 0 CLAIM 30 STREAMS s >\nblocked 1
         a silent\np: XADD s 1-2 f v = 1-2\na< [[s, [[1-2, [f, v], :0, :0]]]]",
        "p: XGROUP CREATE s g $ MKSTREAM = OK\na> XREADGROUP GROUP g alice BLOCK 0 CLAIM 40 STREAMS s >\nblocked 1
         b> XREADGROUP GROUP g bob BLOCK 0 CLAIM 40 STREAMS s >\nblocked 2\np: XADD s 1-2 f v = 1-2
         a< [[s, [[1-2, [f, v], :0, :0]]]]\nb< *\np: XPENDING s g = [:1, 1-2, 1-2, [[bob, 1]]]",
    ]);
    // Who is served in the very millisecond in which there is something to claim finds it.
    let at_once = "p: DEL s = *\np: XGROUP CREATE s g $ MKSTREAM = OK\np: XADD s 1-1 f v = 1-1
         b: XREADGROUP GROUP g bob STREAMS s > = [[s, [[1-1, [f, v]]]]]
         a> XREADGROUP GROUP g alice BLOCK 0 CLAIM 20 STREAMS s >\nblocked 1\na< *
         p: XPENDING s g = [:1, 1-1, 1-1, [[alice, 1]]]\n";
    check(&[&at_once.repeat(30)]);
}

#[test]
fn who_waits_for_a_group_that_goes_is_told() {
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    for (how, reply) in [
        ("XGROUP DESTROY s g", ":1"),
        ("DEL s", ":1"),
        ("RENAME s t", "OK"),
        ("FLUSHALL", "OK"),
        ("FLUSHDB", "OK"),
    ] {
        check(&[&format!(
            "p: XGROUP CREATE s g $ MKSTREAM = OK\na> XREADGROUP GROUP g alice BLOCK 0 STREAMS s >\nblocked 1
             p: {how} = {reply}\na< {gone}"
        )]);
    }
    check(&[
        "p: XGROUP CREATE s g $ MKSTREAM = OK\na> XREADGROUP GROUP g alice BLOCK 0 STREAMS s >\nblocked 1
         p: SET s x = OK\na< -WRONGTYPE Operation against a key holding the wrong kind of value",
    ]);
}
