//! Fields of hashes that expire: random commands beside a real Redis that has them, and what time does.

#[path = "support/shapes.rs"]
mod shapes;

use std::time::{Duration, Instant};

use shapes::ours;
use swytch_testkit::differential::{self, Options};
use swytch_testkit::{Client, Program, Reply, Server};

const STEPS: usize = 8_000;

const FILE: &str =
    "save \"\"\nenable-debug-command yes\nhash-max-listpack-entries 12\nhash-max-listpack-value 40\n";

/// Times are long ago or far away: what is about to expire depends on how fast a server is. Those from now on are at keys of
/// their own, whose times are not compared.
const GRAMMAR: &str = "
    key = a|b|c|d|absent|string
    field = f|g|h|'' | <letters:2> | <letters:1> | <number:6> | <number:6> | <number:30> | <long:41>
    value = <number:9> | x | '' | <long:41>
    fields = FIELDS 1 <field> | FIELDS 2 <field> <field> | FIELDS 3 <field> <field> <field> | fields 1 <field>
    wrong = FIELDS 0 <field> | FIELDS 2 <field> | FIELDS x <field> | FIELDS | FIELDS 1 | NOPE 1 <field> | FIELDS 1 <field> <field> | FIELDS 99999999999 f | FIELDS 1 f FIELDS 1 g | FIELDS -1 f
    count = <fields> | <fields> | <fields> | <fields> | <fields> | <fields> | <wrong>
    pairs = FIELDS 1 <field> <value> | FIELDS 2 <field> <value> <field> <value> | FIELDS 3 <field> <value> <field> <value> <field> <value>
    wrongpairs = FIELDS 1 f | FIELDS 2 f 1 g | FIELDS 0 f 1 | FIELDS x f 1 | FIELDS 1 f 1 FIELDS 1 f 1 | NOPE | FIELDS 1 f 1 NOPE | FIELDS
    far = 40000000|50000000|60000000|70000000|<number:9>0000000
    farms = 40000000000|50000000000|60000000000
    at = 3000000000|4000000000|5000000000|3000000001
    atms = 3000000000000|4000000000000|5000000000000|3000000000001
    badtime = x|-1|9999999999999999|70368744177663|70368744177|70368744178|9223372036854775807|0|''
    condition = NX|XX|GT|LT|nx|NOPE

    2 HSET <key> <field> <value>
    HSET <key> <field> <value> <field> <value> <field> <value> <field> <value>
    HSETNX <key> <field> <value>
    2 HDEL <key> <field>*4
    2 HEXPIRE r|s <far> [ <condition> ] <count> ~any
    HEXPIRE <key> <far> [ <condition> ] <wrong>
    3 HEXPIREAT <key> <at> [ <condition> ] <count>
    3 HPEXPIREAT <key> <atms> [ <condition> ] [ <condition> ] <count>
    HPEXPIRE r|s <farms> <fields>
    HSET r|s <field> <value> <field> <value>
    HPEXPIREAT <key> 0|1|1000|70368744177663 [ <condition> ] <fields>
    HEXPIREAT <key> 0|1|1000|70368744177 <fields> [ <condition> ]
    HEXPIREAT|HPEXPIREAT <key> <badtime> <fields>
    HEXPIRE|HPEXPIRE <key> x|-1|''|0|70368744177663|9223372036854775807 <fields>
    HEXPIRE|HPEXPIRE <key> 9223372036854775807|70368744177664|x FIELDS 1 f
    2 HPERSIST <key> <count>
    2 HEXPIRETIME|HPEXPIRETIME <key> <count>
    HTTL|HPTTL <key>|r <count> ~any
    HTTL r|s FIELDS 1 <field> ~any
    HTTL r|s <wrong>
    2 HGETDEL <key> <count>
    2 HGETEX <key> EXAT <at> <count>
    HGETEX <key> PXAT <atms> <fields>
    HGETEX r|s EX <far> <fields>
    HGETEX <key> PERSIST <count>
    HGETEX <key> <count>
    HGETEX <key> EXAT|PXAT 0|1|x|-1|99999999999999999 <fields>
    HGETEX <key> PX|EX 0|x|-1|99999999999999999 <fields>
    HGETEX r|s [ EX ] [ 40000000 ] [ PERSIST ] [ KEEPTTL ] [ FXX ] <fields> [ EXAT ] [ 3000000000 ]
    2 HSETEX <key> [ FNX|FXX ] EXAT <at> <pairs>
    HSETEX <key> [ FNX|FXX ] <pairs>
    HSETEX <key> KEEPTTL [ FNX|FXX|fnx ] <pairs>
    HSETEX r|s PX <farms> <pairs>
    HSETEX <key> <pairs> PXAT <atms>
    HSETEX <key> EXAT|PXAT 0|1|x|-1|99999999999999999 <pairs>
    HSETEX <key> PX|EX 0|x|-1|99999999999999999 <pairs>
    HSETEX r|s [ FNX ] [ FXX ] [ PERSIST ] [ EX ] [ 40000000 ] [ KEEPTTL ] <pairs>
    HSETEX r|s [ EX ] [ 40000000 ] <wrongpairs>
    HINCRBY <key> <field> <number:9>
    HINCRBYFLOAT <key> <field> 0.5
    HGETALL|HKEYS|HVALS <key> ~sorted
    HGET|HSTRLEN|HEXISTS <key> <field>
    HMGET <key> <field>*4
    HRANDFIELD <key> 1000 WITHVALUES ~sorted
    HSCAN <key> 0 COUNT 100000 ~sorted
    HLEN <key>
    2 RENAME|COPY|RENAMENX <key> <key>
    COPY <key> <key> REPLACE
    DEL <key>
    2 OBJECT ENCODING <key>
    DEBUG DIGEST-VALUE <key>
    SET string value
";

/// True for a Redis whose fields can expire by all the commands here.
fn has_fields_that_expire(redis: &Program) -> bool {
    redis
        .version()
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major >= 8)
}

#[test]
fn random_commands_on_expiring_fields_answer_and_leave_what_they_do_in_redis() {
    if Program::redis().is_some_and(|redis| has_fields_that_expire(&redis)) {
        differential::compare(&ours(), "expiring fields", FILE, GRAMMAR, STEPS, &Options::default());
    }
}

fn start(name: &str) -> Server {
    ours().start(name, "enable-debug-command yes\nhash-max-listpack-entries 50\n")
}

fn figure(server: &mut Server, name: &str) -> String {
    server.client.info_field(name).unwrap_or_default()
}

/// Waits until a command answers what it should: nothing depends on how long that takes.
fn comes_to(server: &mut Server, line: &str, expected: &str) {
    let begin = Instant::now();
    loop {
        let answer = server.say(line).to_string();
        if answer == expected {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{line}: {answer} and not {expected}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_field_whose_time_is_over_is_seen_by_nobody_and_goes_when_somebody_looks() {
    for fields in [0, 100] {
        let mut server = start("lazy-fields");
        server.say("DEBUG SET-ACTIVE-EXPIRE 0");
        for number in 0..fields {
            server.say(&format!("HSET h field{number} {number}"));
        }
        server.say("HSET h f 5 stays 7");
        assert_eq!(server.say("HPEXPIRE h 1 FIELDS 1 f").to_string(), "[:1]");
        assert!(figure(&mut server, "db0").ends_with("subexpiry=1"));
        std::thread::sleep(Duration::from_millis(5));
        // Nobody has looked.
        assert_eq!(server.say("HLEN h"), Reply::Integer(fields + 2));
        assert_eq!(server.say("HGET h f"), Reply::Null);
        for line in ["HEXISTS h f", "HSTRLEN h f", "HDEL h f"] {
            assert_eq!(server.say(line), Reply::Integer(0), "{line}");
        }
        assert_eq!(server.say("HTTL h FIELDS 2 f stays").to_string(), "[:-2, :-1]");
        assert_eq!(server.say("HLEN h"), Reply::Integer(fields + 1));
        assert_eq!(figure(&mut server, "expired_subkeys"), "1");
        assert!(figure(&mut server, "db0").ends_with("subexpiry=0"));
        // To those who write it is not there either.
        for (line, answer) in [("HSETNX h x 1", 1), ("HINCRBY h y 3", 3)] {
            server.say("HSETEX h PX 1 FIELDS 2 x 40 y 40");
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(server.say(line), Reply::Integer(answer), "{line}");
        }
        assert_eq!(server.say("HTTL h FIELDS 1 y").to_string(), "[:-1]");
    }
}

#[test]
fn fields_go_although_nobody_looks_and_their_hash_with_the_last() {
    let mut server = start("active-fields");
    for number in 0..1_000 {
        server.say(&format!("HSETEX big PX 20 FIELDS 1 field{number} {number}"));
    }
    server.say("HSET big stays 1");
    server.say("HSETEX small PX 20 FIELDS 1 f 1");
    server.say("COPY small copy");
    server.say("RENAME copy renamed");
    server.say("HSETEX later EX 1000 FIELDS 1 f 1");
    comes_to(&mut server, "DBSIZE", ":2");
    comes_to(&mut server, "HLEN big", ":1");
    let subkeys = figure(&mut server, "expired_subkeys");
    assert_eq!((&*subkeys, &*figure(&mut server, "expired_keys")), ("1002", "0"));
    assert!(figure(&mut server, "db0").ends_with("subexpiry=1"));
    assert_eq!(server.say("HGETALL big").to_string(), "[stays, 1]");
}

#[test]
fn a_watched_hash_that_loses_a_field_has_changed() {
    let mut server = start("watched-fields");
    server.say("DEBUG SET-ACTIVE-EXPIRE 0");
    server.say("HSET h f 1 g 2");
    server.say("HPEXPIRE h 1 FIELDS 1 f");
    server.say("WATCH h");
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(Client::open(server.port).say("HGET h f"), Reply::Null);
    server.say("MULTI");
    server.say("HGETALL h");
    assert_eq!(server.say("EXEC"), Reply::NullArray);
}

/// Payloads of hashes, small and large, with fields that expire, in both directions.
#[test]
fn fields_expire_after_dump_and_restore_when_they_did_before() {
    let Some(redis) = Program::redis().filter(has_fields_that_expire) else { return };
    let mut servers = [ours().start("dump-ours", FILE), redis.start("dump-theirs", FILE)];
    for from in 0..2 {
        for fields in [3, 200] {
            for number in 0..fields {
                let server = &mut servers[from];
                server.say(&format!(
                    "HSETEX h EXAT {} FIELDS 1 field{number} {number}",
                    3_000_000_000_u64 + number * 7
                ));
                server.say(&format!("HSET h always{number} {number}"));
            }
            let payload = servers[from].client.call(&["DUMP", "h"]);
            let Reply::Bulk(payload) = payload else { panic!("{payload:?}") };
            let restored: [&[u8]; 5] = [b"RESTORE", b"h", b"0", &payload, b"REPLACE"];
            assert_eq!(servers[1 - from].client.call(&restored), Reply::ok(), "from {from}");
            for line in [
                "DEBUG DIGEST-VALUE h",
                "HLEN h",
                "OBJECT ENCODING h",
                "HPEXPIRETIME h FIELDS 3 field0 field2 always1",
            ] {
                let answers = servers.each_mut().map(|server| server.say(line));
                assert_eq!(answers[0], answers[1], "from {from}: {line}");
            }
            servers.iter_mut().for_each(|server| _ = server.say("DEL h"));
        }
    }
}
