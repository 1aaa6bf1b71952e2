//! Random commands on streams, given to this server and to a real Redis 8.6: the same entries, groups and pending entries in
//! every reply and, every so often, the same DEBUG DIGEST. Identifiers are few and small, so that commands meet what others
//! have left; pages are of a few entries, so that trimming by pages has something to stop at. Times are compared with
//! some tolerance.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::Server;
use swytch_testkit::differential::{self, Options};

const STEPS: usize = 8_000;

const FILE: &str =
    "save \"\"\nenable-debug-command yes\nstream-node-max-entries 5\nstream-node-max-bytes 300\n";

const GRAMMAR: &str = "
    key = a|b|c|absent|text
    group = g|h|gone
    consumer = alice|bob|carol
    ms = <number:12> | <number:12> | <number:12> | 18446744073709551615
    id = <ms>-<number:3> | <ms>-<number:3> | <ms>-<number:3> | <ms> | 0-0 | 18446744073709551615-18446744073709551615
    odd = x|1-x|-1|1-2-3|''|$|+|-|>|18446744073709551616 | <ms>-*
    some = <id> | <id> | <id> | <id> | <id> | <id> | <odd>
    start = - | - | <id> | (<id> | <some>
    end = + | + | <id> | (<id> | <some>
    count = 0|1|2|3|5|100|-1|x
    field = f|f|f|field|''|7 | <letters:3>
    value = <number:200> | -<number:70000> | 9223372036854775807 | <letters:4> | <long:90> | ''|007
    next = <ms>-* | <ms>-* | <number:90>-* | <number:90>-<number:4> | <some>
    condition = KEEPREF|DELREF|ACKED
    trim = MAXLEN <count> | MAXLEN ~ <count> | MAXLEN = <count> | MINID <some> | MINID ~ <some> | MAXLEN ~ <count> LIMIT <count> | MINID ~ <some> LIMIT <count> | MAXLEN 3 LIMIT <count> | LIMIT 3 | MAXLEN | MAXLEN 1 MINID 1 | MAXLEN ~

    9 XADD <key> <next> <field> <value> [ <field> <value> ]
    3 XADD a|b <number:300>-* f <value> g <value>
    XADD <key> [ NOMKSTREAM ] [ <trim> ] <next> <field> <value> [ <field> ]
    XLEN <key>
    2 XRANGE <key> <start> <end> [ COUNT <count> ]
    XRANGE <key> - + [ NOPE|COUNT ]
    2 XREVRANGE <key> <end> <start> [ COUNT <count> ]
    2 XDEL <key> <some> [ <some> ] [ <some> ]
    2 XTRIM <key> <trim> [ NOPE ]
    XREAD [ COUNT <count> ] STREAMS <key> <some>
    XREAD COUNT 2 STREAMS <key> <key> <some> <some> [ <key> ]
    XREAD [ BLOCK x|-1|9223372036854775807 ] [ NOACK ] [ GROUP g a ] STREAMS <key> <some>
    XSETID <key> <some> [ ENTRIESADDED <count> ] [ MAXDELETEDID <some> ]
    4 XGROUP CREATE <key> <group> 0|$|<some> [ MKSTREAM ] [ ENTRIESREAD <count> ]
    XGROUP CREATE <key> <group> <some> [ NOPE|ENTRIESREAD ]
    XGROUP SETID <key> <group> 0|$|-|+|<some> [ ENTRIESREAD <count> ] [ NOPE ]
    XGROUP DESTROY <key> <group>
    XGROUP CREATECONSUMER|DELCONSUMER <key> <group> <consumer>
    XGROUP NOPE <key> <group>
    5 XREADGROUP GROUP <group> <consumer> [ COUNT <count> ] [ NOACK ] STREAMS <key> >
    2 XREADGROUP GROUP <group> <consumer> [ COUNT <count> ] STREAMS <key> <some>
    XREADGROUP GROUP <group> <consumer> COUNT <count> STREAMS <key> <key> > >
    XREADGROUP GROUP <group> <consumer> STREAMS <key> <key> > <some>
    3 XACK <key> <group> <some> [ <some> ] [ <some> ]
    2 XPENDING <key> <group>
    2 XPENDING <key> <group> [ IDLE 0|100000 ] <start> <end> <count> [ <consumer> ] ~times
    XPENDING <key> <group> <start> [ <end> ]
    3 XCLAIM <key> <group> <consumer> 0|100000|x|-1 <id> [ <id> ] [ IDLE|TIME <count> ] [ RETRYCOUNT <count> ] [ FORCE ] [ JUSTID ] [ LASTID <some> ]
    XCLAIM <key> <group> <consumer> 0 <some> NOPE|FORCE
    3 XAUTOCLAIM <key> <group> <consumer> 0|100000|x <start> [ COUNT <count> ] [ JUSTID ] [ NOPE ]
    2 XINFO STREAM <key> ~times
    2 XINFO STREAM <key> FULL [ COUNT <count> ] ~times
    2 XINFO GROUPS <key>
    2 XINFO CONSUMERS <key> <group> ~times
    XINFO STREAM <key> NOPE
    TYPE|EXISTS <key>
    COPY|RENAME <key> <key>
    OBJECT ENCODING <key>
    DEBUG DIGEST-VALUE <key>
    DEL b|c
    SET text value
    2 XADD <key> [ <condition> ] [ <trim> ] [ <condition> ] <next> f v
    2 XTRIM <key> <trim> <condition> [ <condition> ]
    2 XADD <key> IDMP|IDMPAUTO <letters:2> <letters:2> [ IDMP p i ] <next> f <number:3>
    2 XDELEX <key> [ <condition> ] IDS <count> <some> [ <some> ] [ <condition> ]
    3 XACKDEL <key> <group> [ <condition> ] IDS <count> <some> [ <some> ]
    XREADGROUP GROUP <group> <consumer> [ COUNT <count> ] CLAIM 0|100000|-1|x [ COUNT <count> ] STREAMS <key> >|0 ~times
    XREAD [ COUNT <count> ] STREAMS <key> +
    XREAD CLAIM 3 STREAMS <key> 0
    XCFGSET <key> [ IDMP-DURATION <count> ] [ IDMP-MAXSIZE 0|1|2|10001|x ] [ IDMP-DURATION 7 ]
    XIDMPRECORD <key> p|'' i|'' 99-99|<odd>
";

#[test]
fn random_commands_on_streams_answer_and_leave_what_they_do_in_redis() {
    if new_redis("streams-8-redis").is_none() {
        return;
    }
    differential::compare(&ours(), "streams", FILE, GRAMMAR, STEPS, &Options::default());
}

/// A Redis, if it has all that streams have since 8.6.
fn new_redis(name: &str) -> Option<Server> {
    let mut redis = Server::redis(name, FILE)?;
    redis.say("INFO server").to_string().contains("redis_version:8.6").then_some(redis)
}

/// What producers have sent, with identifiers of a time to come, so that nothing is forgotten meanwhile.
const PRODUCERS: &str = "
    XADD s 9000000000001-1 f v
    XADD s 9000000000001-2 f v
    XIDMPRECORD s p i 9000000000001-1
    XIDMPRECORD s p i 9000000000001-1
    XIDMPRECORD s p i 9000000000001-2
    XIDMPRECORD s p j 9000000000001-2
    XIDMPRECORD s q i 9000000000001-2
    XIDMPRECORD s q i 1-1
    XADD s IDMP p i * f v
    XADD s IDMP p j MAXLEN 1 * f v
    XADD s IDMP q k * f v
    XADD s IDMP q k * f w
    XADD s IDMPAUTO q * a 1 b 2
    XADD s IDMPAUTO q * b 2 a 1
    XADD s IDMPAUTO q * a 1 b 3
    XLEN s
    XINFO STREAM s
    XCFGSET s IDMP-MAXSIZE 100
    XADD s IDMP p i * f v
    XCFGSET s IDMP-MAXSIZE 2
    XINFO STREAM s
    XIDMPRECORD s p 1 9000000000001-1
    XIDMPRECORD s p 2 9000000000001-1
    XIDMPRECORD s p 3 9000000000001-2
    XADD s IDMP p 3 * f v
    XADD s IDMP p 2 * f v
    XADD s IDMP p 1 * f v
    XINFO STREAM s
    DEBUG DIGEST-VALUE s
    XADD none NOMKSTREAM IDMP p i * f v
    XCFGSET none IDMP-MAXSIZE 2
";

#[test]
fn what_producers_send_again_is_added_once() {
    let Some(mut redis) = new_redis("stream-producers-redis") else { return };
    let mut ours = ours().start("stream-producers", FILE);
    for line in PRODUCERS.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [mine, theirs] = [&mut ours, &mut redis].map(|server| {
            let reply = server.say(line).to_string();
            // How many nodes a tree has that is not there is nothing to compare.
            let (before, behind) = reply.split_once("radix-tree-nodes, :").unwrap_or((&reply, ""));
            format!("{before}{}", behind.trim_start_matches(|letter: char| letter.is_ascii_digit()))
        });
        assert_eq!(mine, theirs, "{line}");
    }
}
